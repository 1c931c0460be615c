/** Writes resources into the parts of a table that is being built. Costs are counted, so that builders can pause. */
import { TandemError } from '../../kernel/index.js';
import { checkFlow } from '../applets/catalogue.js';
import type { AclOwner } from './acl.js';
import type { LimitClaim } from './decision.js';
import { dialFormatOf } from './dialFormat.js';
import { DigitTrie } from './digitTrie.js';
import { parseEndpoint } from './endpoint.js';
import { parseNetwork } from './ipAddress.js';
import { type NumberFormat, e164Key } from './numbers.js';
import { PrefixRules } from './prefixRules.js';
import { NO_QUOTE, type Quote, capOf, outboundPrice, rateOf } from './outboundPrice.js';
import type {
  Account,
  Carrier,
  Flow,
  Gateway,
  IpRange,
  Limits,
  NetworkGroup,
  PhoneNumber,
  Resource,
  ResourceKey,
  Trunk,
} from './resources.js';
import { parseRegistered } from './registeredTarget.js';
import { groupId } from './semantics.js';
import { type AccountRecord, type GroupRecord, type NumberRoute, RoutingTable, type TableParts } from './table.js';
import type { Target } from './table.js';

const NO_FAILOVER = Object.freeze({});

export class TableWriter {
  readonly #parts: TableParts;
  readonly #format: NumberFormat;
  readonly #routes = new Map<string, NumberRoute>();
  readonly #tries = new Set<DigitTrie<readonly GroupRecord[]>>();
  #lastRoute: NumberRoute | undefined;

  constructor(parts: TableParts, format: NumberFormat) {
    this.#parts = parts;
    this.#format = format;
  }

  /**
   * Stores a resource in place of the one of the same identity.
   * @throws TandemError `routing_update_invalid` for a number, address or target that cannot be read
   */
  *upsert(resource: Resource): Generator<number> {
    switch (resource.type) {
      case 'phone_number':
        this.number(resource.value);
        yield 1;
        break;
      case 'trunk':
        yield* this.#trunk(resource.value);
        break;
      case 'carrier':
        yield* this.#carrier(resource.value);
        break;
      case 'network_group':
        yield* this.#removeGroup(groupId(resource.value));
        yield* this.#addGroup(resource.value);
        break;
      case 'account':
        this.#parts.accounts.set(resource.value.sid, accountRecord(resource.value));
        yield 1;
        break;
      case 'flow':
        this.#flow(resource.value);
        yield 1;
        break;
    }
  }

  /** Removes a resource; one that is not there is no error. */
  *remove(key: ResourceKey): Generator<number> {
    switch (key.type) {
      case 'phone_number':
        this.#parts.numbers.delete(e164Key(key.id));
        yield 1;
        break;
      case 'trunk':
        yield* this.#replaceAcl(
          { kind: 'trunk', id: key.id },
          this.#parts.trunks.get(key.id)?.trunk.whitelisted_ips,
          [],
        );
        this.#nameUsers(key.id, undefined);
        this.#parts.trunks.delete(key.id);
        break;
      case 'carrier':
        yield* this.#replaceAcl(
          { kind: 'carrier', id: key.id },
          this.#parts.carriers.get(key.id)?.carrier.source_acl,
          [],
        );
        this.#parts.carriers.delete(key.id);
        break;
      case 'network_group':
        yield* this.#removeGroup(key.id);
        break;
      case 'account':
        this.#parts.accounts.delete(key.id);
        yield 1;
        break;
      case 'flow':
        this.#parts.flows.delete(key.id);
        yield 1;
        break;
    }
  }

  /** The common case apart, without a generator: a million numbers pass here. */
  number(number: PhoneNumber): void {
    const key = e164Key(number.phone_number);
    if (key === 0) throw invalid('phone_number', number.phone_number, 'is not E.164');
    this.#parts.numbers.set(key, this.#route(number));
  }

  finish(revision: string): RoutingTable {
    for (const trie of this.#tries) trie.freeze();
    const parts = this.#parts;
    parts.acl.freeze();
    parts.numbers.freeze();
    const { trunks, carriers, accounts, users, flows, groups, prefixes } = parts;
    for (const map of [trunks, carriers, accounts, users, flows, groups, prefixes]) map.freeze();
    return new RoutingTable(parts, revision, { loaded: true, format: this.#format });
  }

  #route(number: PhoneNumber): NumberRoute {
    const mode = number.mode ?? 'pstn';
    const last = this.#lastRoute;
    const { trunk_sid: trunkSid, flow, carrier, inbound_agent: agent } = number;
    const same = last?.trunkSid === trunkSid && last.mode === mode && last.flow === flow && last.carrier === carrier;
    if (same && last.agent === undefined && agent === undefined) return last;
    const name = JSON.stringify([trunkSid, mode, flow, carrier, agent?.agent_id, agent?.version]);
    let route = this.#routes.get(name);
    if (route === undefined) {
      route = { trunkSid, mode, flow, carrier, agent };
      this.#routes.set(name, route);
    }
    this.#lastRoute = route;
    return route;
  }

  /** The call path runs what is in the table, so nothing comes into it unchecked, whatever the store let pass. */
  #flow(flow: Flow): void {
    const checked = checkFlow(flow);
    if (!checked.ok) throw invalid('flow', flow.id, checked.error[0]?.message ?? 'is no flow');
    this.#parts.flows.set(flow.id, checked.value.flow);
  }

  *#trunk(trunk: Trunk): Generator<number> {
    const owner: AclOwner = { kind: 'trunk', id: trunk.trunk_sid };
    const before = this.#parts.trunks.get(trunk.trunk_sid)?.trunk.whitelisted_ips;
    const targets = readTargets(
      'trunk',
      trunk.trunk_sid,
      trunk.destination_uris.map(({ destination: uri, priority, weight }) => ({ uri, priority, weight })),
    );
    yield* this.#replaceAcl(owner, before, trunk.whitelisted_ips);
    this.#nameUsers(trunk.trunk_sid, trunk);
    const { country_code: countryCode, national_prefix: nationalPrefix } = trunk.settings ?? {};
    this.#parts.trunks.set(trunk.trunk_sid, {
      trunk,
      targets,
      format: countryCode === undefined ? this.#format : { ...this.#format, countryCode, nationalPrefix },
      failover: trunk.failover ?? NO_FAILOVER,
      claim: claim(`trunk:${trunk.trunk_sid}`, trunk.limits),
      prefixes: PrefixRules.of(trunk.allow_prefixes, trunk.deny_prefixes),
      cap: capOf(`trunk:${trunk.trunk_sid}`, trunk.spend_per_day),
    });
  }

  /** User names of the trunk's credentials, in place of those that it had. */
  #nameUsers(sid: string, next: Trunk | undefined): void {
    const { users, trunks } = this.#parts;
    for (const { user_name: name } of trunks.get(sid)?.trunk.credentials ?? []) {
      const rest = (users.get(name) ?? []).filter((other) => other !== sid);
      if (rest.length === 0) users.delete(name);
      else users.set(name, rest);
    }
    for (const { user_name: name } of next?.credentials ?? []) {
      const others = users.get(name) ?? [];
      if (!others.includes(sid)) users.set(name, [...others, sid]);
    }
  }

  *#carrier(carrier: Carrier): Generator<number> {
    const targets = readTargets('carrier', carrier.id, carrier.gateways);
    const before = this.#parts.carriers.get(carrier.id)?.carrier.source_acl;
    yield* this.#replaceAcl({ kind: 'carrier', id: carrier.id }, before, carrier.source_acl);
    this.#parts.carriers.set(carrier.id, {
      carrier,
      targets,
      failover: carrier.failover,
      claim: claim(`carrier:${carrier.id}`, carrier.limits),
      priority: carrier.priority ?? 0,
      weight: carrier.weight ?? 1,
      flat: flatQuote(carrier),
    });
  }

  *#replaceAcl(owner: AclOwner, before: readonly IpRange[] | undefined, after: readonly IpRange[]): Generator<number> {
    yield 2;
    if (before !== undefined && sameRanges(before, after)) return;
    for (const range of before ?? []) {
      this.#parts.acl.remove(network(owner, range), owner);
      yield 1;
    }
    const self = [owner] as const;
    for (const range of after) {
      this.#parts.acl.add(network(owner, range), self);
      yield 1;
    }
  }

  *#addGroup(group: NetworkGroup): Generator<number> {
    const id = groupId(group);
    const record = groupRecord(group, id);
    this.#parts.groups.set(id, record);
    const trie = this.#trieOf(group.carrier);
    // Most prefixes are of one group: they share one list of it.
    const alone = [record] as const;
    for (const prefix of group.prefixes) {
      const others = trie.get(prefix);
      trie.set(prefix, others === undefined ? alone : [...others, record]);
      yield 1;
    }
  }

  *#removeGroup(id: string): Generator<number> {
    yield 1;
    const record = this.#parts.groups.get(id);
    if (record === undefined) return;
    this.#parts.groups.delete(id);
    const trie = this.#trieOf(record.group.carrier);
    for (const prefix of record.group.prefixes) {
      const rest = (trie.get(prefix) ?? []).filter((other) => other !== record);
      trie.set(prefix, rest.length === 0 ? undefined : rest);
      yield 1;
    }
  }

  #trieOf(carrierId: string): DigitTrie<readonly GroupRecord[]> {
    const stored = this.#parts.prefixes.get(carrierId);
    if (stored !== undefined && this.#tries.has(stored)) return stored;
    const trie = stored === undefined ? new DigitTrie<readonly GroupRecord[]>() : stored.fork();
    this.#tries.add(trie);
    this.#parts.prefixes.set(carrierId, trie);
    return trie;
  }
}

function readTargets(kind: string, id: string, configured: readonly Gateway[]): Target[] {
  const targets = configured.map((gateway) => {
    const { uri, priority, weight } = gateway;
    const registered = kind === 'trunk' ? parseRegistered(uri) : undefined;
    if (registered !== undefined) {
      return { text: uri, priority: priority ?? 0, weight: weight ?? 1, dial: undefined, registered };
    }
    const endpoint = parseEndpoint(uri);
    if (!endpoint.ok) throw invalid(kind, id, `has a target '${uri}' that ${endpoint.error}`);
    return { text: endpoint.value.text, priority: priority ?? 0, weight: weight ?? 1, dial: dialFormatOf(gateway) };
  });
  return targets.sort((a, b) => a.priority - b.priority);
}

function flatQuote({ flat_rate: rate }: Carrier): Quote {
  return rate === undefined ? NO_QUOTE : { priced: { rate }, price: outboundPrice(rate) };
}

function groupRecord(group: NetworkGroup, id: string): GroupRecord {
  const price = outboundPrice(group);
  return { group, id, quote: { priced: { rate: rateOf(group), networkGroup: id }, price } };
}

function accountRecord(account: Account): AccountRecord {
  const disabled = account.disabled_network_groups ?? [];
  return {
    account,
    claim: claim(`account:${account.sid}`, account.limits),
    cap: capOf(`account:${account.sid}`, account.spend_per_day),
    disabledGroups: disabled.length === 0 ? undefined : new Set(disabled),
  };
}

function claim(key: string, limits: Limits | undefined): LimitClaim {
  return { key, callsPerSecond: limits?.calls_per_second, concurrentCalls: limits?.concurrent_calls };
}

function network(owner: AclOwner, range: IpRange) {
  const parsed = parseNetwork(range.ip, range.mask);
  if (parsed === undefined)
    throw invalid(owner.kind, owner.id, `lists ${range.ip}/${range.mask ?? ''}, which is no network`);
  return parsed;
}

function sameRanges(a: readonly IpRange[], b: readonly IpRange[]): boolean {
  return a.length === b.length && a.every((range, i) => range.ip === b[i]?.ip && range.mask === b[i]?.mask);
}

function invalid(kind: string, id: string, what: string): TandemError {
  return new TandemError({ code: 'routing_update_invalid', message: `${kind} ${id} ${what}` });
}
