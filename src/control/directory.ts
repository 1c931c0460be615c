/**
 * What the process knows of the routing document beyond the compiled table: lists for those who look at it and change
 * it. The call path never touches it. A directory is a value: a change makes the next one, which shares the rest.
 */
import { e164Key } from '../call/routing/numbers.js';
import type { Account, Carrier, Flow, NetworkGroup, PhoneNumber, Trunk } from '../call/routing/resources.js';
import { NumberKeyMap, TextKeyMap } from '../call/routing/shardedMap.js';
import { type NumberEntry, unpackNumber } from './numberEntry.js';
import { SortedKeys } from './sortedKeys.js';

/** Lists are in order of their ids; `after` names the last one of the page before, which may be gone meanwhile. */
export interface Directory {
  readonly revision: string;
  account(sid: string): Account | undefined;
  accounts(after?: string): Iterable<Account>;
  trunk(sid: string): Trunk | undefined;
  trunks(after?: string): Iterable<Trunk>;
  /** In order of creation, then of sid. */
  trunksOf(accountSid: string): Iterable<Trunk>;
  /** @param e164 `+` and digits; anything else finds nothing. */
  number(e164: string): PhoneNumber | undefined;
  /** In order of their digits as an integer. */
  numbersOf(trunkSid: string, after?: string): Iterable<PhoneNumber>;
  /** Trunk by trunk, as `trunksOf` has them. */
  numbersOfAccount(accountSid: string): Iterable<PhoneNumber>;
  countNumbersOf(trunkSid: string): number;
  carrier(id: string): Carrier | undefined;
  carriers(after?: string): Iterable<Carrier>;
  /** Carriers that the account brought along. */
  carriersOf(accountSid: string): Iterable<Carrier>;
  flow(id: string): Flow | undefined;
  flows(after?: string): Iterable<Flow>;
  /** @param id `carrier/country/name` */
  group(id: string): NetworkGroup | undefined;
  groups(after?: string): Iterable<NetworkGroup>;
  groupsOf(carrierId: string): Iterable<NetworkGroup>;
  /** Numbers that name this carrier, or this flow. */
  numbersThatName(type: 'carrier' | 'flow', id: string): number;
  readonly size: DirectorySize;
}

export interface DirectorySize {
  readonly accounts: number;
  readonly trunks: number;
  readonly numbers: number;
  readonly carriers: number;
  readonly flows: number;
  readonly networkGroups: number;
}

/** Resources of one type by id, and their ids in order. */
export interface Collection<T> {
  readonly byId: TextKeyMap<T>;
  ids: SortedKeys<string>;
}

export type Index<K extends string | number> = TextKeyMap<SortedKeys<K>>;

/** The parts of a directory. A writer writes its own forks of them; a directory only reads. */
export interface DirectoryParts {
  readonly accounts: Collection<Account>;
  readonly trunks: Collection<Trunk>;
  readonly carriers: Collection<Carrier>;
  readonly flows: Collection<Flow>;
  readonly groups: Collection<NetworkGroup>;
  readonly numbers: NumberKeyMap<NumberEntry>;
  readonly numbersOfTrunk: Index<number>;
  /** Account -> `date\0sid` of its trunks. */
  readonly trunksOfAccount: Index<string>;
  readonly carriersOfAccount: Index<string>;
  readonly groupsOfCarrier: Index<string>;
  /** Carrier, flow -> numbers that name it. */
  readonly carrierUses: TextKeyMap<number>;
  readonly flowUses: TextKeyMap<number>;
}

const emptyCollection = <T>(edit: object): Collection<T> => ({ byId: new TextKeyMap(), ids: new SortedKeys(edit) });
const forkCollection = <T>({ byId, ids }: Collection<T>): Collection<T> => ({ byId: byId.fork(), ids });

export const emptyParts = (edit: object): DirectoryParts => ({
  accounts: emptyCollection(edit),
  trunks: emptyCollection(edit),
  carriers: emptyCollection(edit),
  flows: emptyCollection(edit),
  groups: emptyCollection(edit),
  numbers: new NumberKeyMap(),
  numbersOfTrunk: new TextKeyMap(),
  trunksOfAccount: new TextKeyMap(),
  carriersOfAccount: new TextKeyMap(),
  groupsOfCarrier: new TextKeyMap(),
  carrierUses: new TextKeyMap(),
  flowUses: new TextKeyMap(),
});

/** Order of an account's trunks: written into one key, so that one index serves. */
export const trunkOrder = (trunk: Trunk): string => `${trunk.date_created ?? ''}\u0000${trunk.trunk_sid}`;
const sidOfOrder = (key: string): string => key.slice(key.indexOf('\u0000') + 1);

export class DirectoryView implements Directory {
  readonly revision: string;
  readonly #parts: DirectoryParts;

  /** @param parts written no more */
  constructor(parts: DirectoryParts, revision: string) {
    this.#parts = parts;
    this.revision = revision;
  }

  static empty(): DirectoryView {
    return new DirectoryView(emptyParts({}), 'none');
  }

  account(sid: string): Account | undefined {
    return this.#parts.accounts.byId.get(sid);
  }

  accounts(after?: string): Iterable<Account> {
    return list(this.#parts.accounts, after);
  }

  trunk(sid: string): Trunk | undefined {
    return this.#parts.trunks.byId.get(sid);
  }

  trunks(after?: string): Iterable<Trunk> {
    return list(this.#parts.trunks, after);
  }

  *trunksOf(accountSid: string): Iterable<Trunk> {
    for (const key of this.#parts.trunksOfAccount.get(accountSid)?.keys() ?? []) {
      const trunk = this.trunk(sidOfOrder(key));
      if (trunk !== undefined) yield trunk;
    }
  }

  number(e164: string): PhoneNumber | undefined {
    const key = e164Key(e164);
    const entry = key === 0 ? undefined : this.#parts.numbers.get(key);
    return entry === undefined ? undefined : unpackNumber(entry, key);
  }

  *numbersOf(trunkSid: string, after?: string): Iterable<PhoneNumber> {
    const from = after === undefined ? undefined : e164Key(after);
    for (const key of this.#parts.numbersOfTrunk.get(trunkSid)?.keys(from) ?? []) {
      const entry = this.#parts.numbers.get(key);
      if (entry !== undefined) yield unpackNumber(entry, key);
    }
  }

  *numbersOfAccount(accountSid: string): Iterable<PhoneNumber> {
    for (const trunk of this.trunksOf(accountSid)) yield* this.numbersOf(trunk.trunk_sid);
  }

  countNumbersOf(trunkSid: string): number {
    return this.#parts.numbersOfTrunk.get(trunkSid)?.size ?? 0;
  }

  carrier(id: string): Carrier | undefined {
    return this.#parts.carriers.byId.get(id);
  }

  carriers(after?: string): Iterable<Carrier> {
    return list(this.#parts.carriers, after);
  }

  carriersOf(accountSid: string): Iterable<Carrier> {
    return pick(this.#parts.carriersOfAccount.get(accountSid), this.#parts.carriers);
  }

  flow(id: string): Flow | undefined {
    return this.#parts.flows.byId.get(id);
  }

  flows(after?: string): Iterable<Flow> {
    return list(this.#parts.flows, after);
  }

  group(id: string): NetworkGroup | undefined {
    return this.#parts.groups.byId.get(id);
  }

  groups(after?: string): Iterable<NetworkGroup> {
    return list(this.#parts.groups, after);
  }

  groupsOf(carrierId: string): Iterable<NetworkGroup> {
    return pick(this.#parts.groupsOfCarrier.get(carrierId), this.#parts.groups);
  }

  numbersThatName(type: 'carrier' | 'flow', id: string): number {
    const uses = type === 'carrier' ? this.#parts.carrierUses : this.#parts.flowUses;
    return uses.get(id) ?? 0;
  }

  get size(): DirectorySize {
    const { accounts, trunks, numbers, carriers, flows, groups } = this.#parts;
    return {
      accounts: accounts.ids.size,
      trunks: trunks.ids.size,
      numbers: numbers.size,
      carriers: carriers.ids.size,
      flows: flows.ids.size,
      networkGroups: groups.ids.size,
    };
  }

  /** Writable copies that share everything until written. */
  fork(): DirectoryParts {
    const parts = this.#parts;
    return {
      accounts: forkCollection(parts.accounts),
      trunks: forkCollection(parts.trunks),
      carriers: forkCollection(parts.carriers),
      flows: forkCollection(parts.flows),
      groups: forkCollection(parts.groups),
      numbers: parts.numbers.fork(),
      numbersOfTrunk: parts.numbersOfTrunk.fork(),
      trunksOfAccount: parts.trunksOfAccount.fork(),
      carriersOfAccount: parts.carriersOfAccount.fork(),
      groupsOfCarrier: parts.groupsOfCarrier.fork(),
      carrierUses: parts.carrierUses.fork(),
      flowUses: parts.flowUses.fork(),
    };
  }
}

function* list<T>({ byId, ids }: Collection<T>, after?: string): Generator<T> {
  for (const id of ids.keys(after)) {
    const value = byId.get(id);
    if (value !== undefined) yield value;
  }
}

function* pick<T>(ids: SortedKeys<string> | undefined, { byId }: Collection<T>): Generator<T> {
  for (const id of ids?.keys() ?? []) {
    const value = byId.get(id);
    if (value !== undefined) yield value;
  }
}
