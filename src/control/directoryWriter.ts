import { e164Key } from '../call/routing/numbers.js';
import type { Carrier, NetworkGroup, PhoneNumber, Resource, ResourceKey, Trunk } from '../call/routing/resources.js';
import { groupId } from '../call/routing/semantics.js';
import type { TextKeyMap } from '../call/routing/shardedMap.js';
import {
  type Collection,
  type DirectoryParts,
  DirectoryView,
  type Index,
  emptyParts,
  trunkOrder,
} from './directory.js';
import { NumberPacker } from './numberEntry.js';
import { SortedKeys } from './sortedKeys.js';

/** Writes the next directory beside the one that is read. */
export class DirectoryWriter {
  readonly #edit = {};
  readonly #parts: DirectoryParts;
  readonly #packer = new NumberPacker();

  /** @param from what it changes; without it, everything is written anew. */
  constructor(from?: DirectoryView) {
    this.#parts = from === undefined ? emptyParts(this.#edit) : from.fork();
  }

  upsert(resource: Resource): void {
    switch (resource.type) {
      case 'phone_number':
        return this.#number(resource.value);
      case 'trunk':
        return this.#trunk(resource.value.trunk_sid, resource.value);
      case 'carrier':
        return this.#carrier(resource.value.id, resource.value);
      case 'network_group':
        return this.#group(groupId(resource.value), resource.value);
      case 'account':
        return this.#store(this.#parts.accounts, resource.value.sid, resource.value);
      case 'flow':
        return this.#store(this.#parts.flows, resource.value.id, resource.value);
    }
  }

  delete({ type, id }: ResourceKey): void {
    switch (type) {
      case 'phone_number':
        return this.#removeNumber(e164Key(id));
      case 'trunk':
        return this.#trunk(id, undefined);
      case 'carrier':
        return this.#carrier(id, undefined);
      case 'network_group':
        return this.#group(id, undefined);
      case 'account':
        return this.#store(this.#parts.accounts, id, undefined);
      case 'flow':
        return this.#store(this.#parts.flows, id, undefined);
    }
  }

  /** No writes after this. */
  finish(revision: string): DirectoryView {
    return new DirectoryView(this.#parts, revision);
  }

  #number(number: PhoneNumber): void {
    const key = e164Key(number.phone_number);
    if (key === 0) return;
    const { numbers, numbersOfTrunk, carrierUses, flowUses } = this.#parts;
    const old = numbers.get(key);
    numbers.set(key, this.#packer.pack(number, key));
    if (old?.trunk_sid !== number.trunk_sid) {
      if (old !== undefined) this.#unlink(numbersOfTrunk, old.trunk_sid, key);
      this.#link(numbersOfTrunk, number.trunk_sid, key);
    }
    recount(carrierUses, old?.carrier, number.carrier);
    recount(flowUses, old?.flow, number.flow);
  }

  #removeNumber(key: number): void {
    const { numbers, numbersOfTrunk, carrierUses, flowUses } = this.#parts;
    const old = key === 0 ? undefined : numbers.get(key);
    if (old === undefined) return;
    numbers.delete(key);
    this.#unlink(numbersOfTrunk, old.trunk_sid, key);
    recount(carrierUses, old.carrier, undefined);
    recount(flowUses, old.flow, undefined);
  }

  #trunk(sid: string, value: Trunk | undefined): void {
    const { trunks, trunksOfAccount } = this.#parts;
    const old = trunks.byId.get(sid);
    if (old !== undefined) this.#unlink(trunksOfAccount, old.account_sid, trunkOrder(old));
    if (value !== undefined) this.#link(trunksOfAccount, value.account_sid, trunkOrder(value));
    this.#store(trunks, sid, value);
  }

  #carrier(id: string, value: Carrier | undefined): void {
    const { carriers, carriersOfAccount } = this.#parts;
    const owner = carriers.byId.get(id)?.account_sid;
    if (owner !== undefined) this.#unlink(carriersOfAccount, owner, id);
    if (value?.account_sid !== undefined) this.#link(carriersOfAccount, value.account_sid, id);
    this.#store(carriers, id, value);
  }

  #group(id: string, value: NetworkGroup | undefined): void {
    const { groups, groupsOfCarrier } = this.#parts;
    const carrier = groups.byId.get(id)?.carrier;
    if (carrier !== undefined && value === undefined) this.#unlink(groupsOfCarrier, carrier, id);
    if (value !== undefined) this.#link(groupsOfCarrier, value.carrier, id);
    this.#store(groups, id, value);
  }

  #store<T>(collection: Collection<T>, id: string, value: T | undefined): void {
    if (value === undefined) {
      collection.byId.delete(id);
      collection.ids = collection.ids.without(this.#edit, id);
    } else {
      collection.byId.set(id, value);
      collection.ids = collection.ids.with(this.#edit, id);
    }
  }

  #link<K extends string | number>(index: Index<K>, owner: string, key: K): void {
    const before = index.get(owner) ?? new SortedKeys<K>(this.#edit);
    const after = before.with(this.#edit, key);
    if (after !== before || after.size === 1) index.set(owner, after);
  }

  #unlink<K extends string | number>(index: Index<K>, owner: string, key: K): void {
    const after = index.get(owner)?.without(this.#edit, key);
    if (after === undefined) return;
    if (after.size === 0) index.delete(owner);
    else index.set(owner, after);
  }
}

function recount(uses: TextKeyMap<number>, before: string | undefined, after: string | undefined): void {
  if (before === after) return;
  if (before !== undefined) {
    const left = (uses.get(before) ?? 1) - 1;
    if (left === 0) uses.delete(before);
    else uses.set(before, left);
  }
  if (after !== undefined) uses.set(after, (uses.get(after) ?? 0) + 1);
}
