/** The compiled routing table: what the call path reads. Immutable; a change is a new table that shares the rest. */
import { Acl, type AclMatch, type AclOwner } from './acl.js';
import { DigitTrie, type PrefixMatch } from './digitTrie.js';
import { type NumberFormat, e164Key } from './numbers.js';
import type { DialFormat } from './dialFormat.js';
import type { LimitClaim } from './decision.js';
import type { PrefixRules } from './prefixRules.js';
import type { RegisteredUser } from './registeredTarget.js';
import type { Quote, SpendCap } from './outboundPrice.js';
import type { Account, AgentVersion, Carrier, FailoverPolicy, Flow, NetworkGroup, Trunk } from './resources.js';
import { NumberKeyMap, TextKeyMap } from './shardedMap.js';

/** Where a number leads. One record serves all numbers of a trunk that are set alike. */
export interface NumberRoute {
  readonly trunkSid: string;
  readonly mode: 'pstn' | 'flow';
  readonly flow: string | undefined;
  /** Answers in place of `flow`. */
  readonly agent: AgentVersion | undefined;
  readonly carrier: string | undefined;
}

/** A destination or gateway, ready to have a number put before it. */
export interface Target {
  /** `host[:port][;transport=x]`. */
  readonly text: string;
  readonly priority: number;
  readonly weight: number;
  /** How numbers are written to it; undefined: in E.164. */
  readonly dial: DialFormat | undefined;
  /** It is no place: `text` names registered users. */
  readonly registered?: RegisteredUser | undefined;
}

export interface TrunkRecord {
  readonly trunk: Trunk;
  /** By priority; order among equals is drawn per call. */
  readonly targets: readonly Target[];
  readonly format: NumberFormat;
  readonly failover: FailoverPolicy;
  readonly claim: LimitClaim;
  /** Undefined: it may call every number. */
  readonly prefixes: PrefixRules | undefined;
  readonly cap: SpendCap | undefined;
}

export interface CarrierRecord {
  readonly carrier: Carrier;
  readonly targets: readonly Target[];
  /** Undefined: the trunk's policy holds. */
  readonly failover: FailoverPolicy | undefined;
  readonly claim: LimitClaim;
  /** Order among carriers that could take a call. */
  readonly priority: number;
  readonly weight: number;
  /** Of every destination that no network group prices. */
  readonly flat: Quote;
}

export interface AccountRecord {
  readonly account: Account;
  readonly claim: LimitClaim;
  readonly cap: SpendCap | undefined;
  /** Ids of network groups that the account has switched off; undefined: none. */
  readonly disabledGroups: ReadonlySet<string> | undefined;
}

export interface GroupRecord {
  readonly group: NetworkGroup;
  /** `carrier/country/name`. */
  readonly id: string;
  readonly quote: Quote;
}

/** The parts of a table. The builder writes them through forks of their own; a table only reads. */
export interface TableParts {
  readonly acl: Acl;
  readonly numbers: NumberKeyMap<NumberRoute>;
  readonly trunks: TextKeyMap<TrunkRecord>;
  readonly carriers: TextKeyMap<CarrierRecord>;
  readonly accounts: TextKeyMap<AccountRecord>;
  /** Trunks by the user names of their credentials. */
  readonly users: TextKeyMap<readonly string[]>;
  readonly flows: TextKeyMap<Flow>;
  readonly groups: TextKeyMap<GroupRecord>;
  /** Network groups of each carrier by prefix. Several groups may claim one prefix. */
  readonly prefixes: TextKeyMap<DigitTrie<readonly GroupRecord[]>>;
}

export function emptyParts(): TableParts {
  return {
    acl: new Acl(),
    numbers: new NumberKeyMap(),
    trunks: new TextKeyMap(),
    carriers: new TextKeyMap(),
    accounts: new TextKeyMap(),
    users: new TextKeyMap(),
    flows: new TextKeyMap(),
    groups: new TextKeyMap(),
    prefixes: new TextKeyMap(),
  };
}

export interface TableSize {
  readonly numbers: number;
  readonly trunks: number;
  readonly carriers: number;
  readonly accounts: number;
  readonly flows: number;
  readonly networkGroups: number;
  readonly aclNetworks: number;
}

export class RoutingTable {
  readonly revision: string;
  /** False for the table before the first load: every call is refused with `table_not_loaded`. */
  readonly loaded: boolean;
  /** How numbers are written where no trunk says otherwise. */
  readonly format: NumberFormat;
  readonly #parts: TableParts;
  #registersOut: boolean | undefined;
  /** Carriers that a call may use whose number names none: everybody's, and those that one account brought along. */
  #open: { readonly shared: readonly CarrierRecord[]; readonly own: Map<string, readonly CarrierRecord[]> } | undefined;

  /** @param parts frozen; see `TableBuilder` */
  constructor(
    parts: TableParts,
    revision: string,
    options: { readonly loaded: boolean; readonly format: NumberFormat },
  ) {
    this.#parts = parts;
    this.revision = revision;
    this.loaded = options.loaded;
    this.format = options.format;
  }

  /** The table of a process that has not loaded one yet. */
  static unloaded(format: NumberFormat = {}): RoutingTable {
    return new RoutingTable(emptyParts(), 'none', { loaded: false, format });
  }

  /** Longest-prefix match of a socket's address over carriers' and trunks' networks. */
  matchSource(address: string): AclMatch | undefined {
    return this.#parts.acl.match(address);
  }

  /** Everybody who lists a socket's address, those of the longest prefix first. */
  ownersOf(address: string): readonly AclOwner[] {
    return this.#parts.acl.ownersOf(address);
  }

  /** @param e164 `+` and digits; anything else finds nothing */
  number(e164: string): NumberRoute | undefined {
    const key = e164Key(e164);
    return key === 0 ? undefined : this.#parts.numbers.get(key);
  }

  trunk(trunkSid: string): TrunkRecord | undefined {
    return this.#parts.trunks.get(trunkSid);
  }

  carrier(id: string): CarrierRecord | undefined {
    return this.#parts.carriers.get(id);
  }

  /** Every carrier that calls of this account may use: those that it brought along, and those of nobody in particular. */
  openCarriers(accountSid: string): readonly CarrierRecord[] {
    this.#open ??= sortCarriers(this.#parts.carriers.values());
    return this.#open.own.get(accountSid) ?? this.#open.shared;
  }

  account(sid: string): AccountRecord | undefined {
    return this.#parts.accounts.get(sid);
  }

  /** Whether we register with any carrier, so that a call's To may say more than its Request-URI. */
  get registersOut(): boolean {
    return (this.#registersOut ??= hasRegister(this.#parts.carriers.values()));
  }

  /** Whether any trunk has credentials. */
  get hasUsers(): boolean {
    return this.#parts.users.size > 0;
  }

  /** Trunks whose callers may prove themselves by this name. */
  trunksOfUser(userName: string): readonly string[] {
    return this.#parts.users.get(userName) ?? NO_TRUNKS;
  }

  /** What the trunk and its account may spend a day; those that have no such limit are left out. */
  capsOf(trunkSid: string | undefined, accountSid: string | undefined): SpendCap[] {
    const caps = [this.trunk(trunkSid ?? '')?.cap, this.account(accountSid ?? '')?.cap];
    return caps.filter((cap) => cap !== undefined);
  }

  /** A flow, checked when the table was made. */
  flow(id: string): Flow | undefined {
    return this.#parts.flows.get(id);
  }

  flows(): Iterable<Flow> {
    return this.#parts.flows.values();
  }

  /** Whether the carrier has network groups at all. */
  hasNetworkGroups(carrierId: string): boolean {
    return (this.#parts.prefixes.get(carrierId)?.size ?? 0) > 0;
  }

  /** The network groups of a carrier that hold the longest prefix of a number. */
  networkGroups(carrierId: string, e164: string): PrefixMatch<readonly GroupRecord[]> | undefined {
    return this.#parts.prefixes.get(carrierId)?.match(e164, 1);
  }

  trunks(): Iterable<TrunkRecord> {
    return this.#parts.trunks.values();
  }

  /** All accounts: for checking keys, never for a call. */
  *accounts(): Generator<Account> {
    for (const record of this.#parts.accounts.values()) yield record.account;
  }

  carriers(): Iterable<CarrierRecord> {
    return this.#parts.carriers.values();
  }

  /** All numbers, in no order; for dumps, never for a call. */
  *numbers(): Generator<{ readonly e164: string; readonly route: NumberRoute }> {
    for (const [key, route] of this.#parts.numbers.entries()) yield { e164: `+${key}`, route };
  }

  size(): TableSize {
    const parts = this.#parts;
    return {
      numbers: parts.numbers.size,
      trunks: parts.trunks.size,
      carriers: parts.carriers.size,
      accounts: parts.accounts.size,
      flows: parts.flows.size,
      networkGroups: parts.groups.size,
      aclNetworks: parts.acl.size,
    };
  }

  dump(): { readonly revision: string; readonly loaded: boolean; readonly size: TableSize } {
    return { revision: this.revision, loaded: this.loaded, size: this.size() };
  }

  /** Writable copies that share everything until written: for the builder of the next table. */
  fork(): TableParts {
    const parts = this.#parts;
    return {
      acl: parts.acl.fork(),
      numbers: parts.numbers.fork(),
      trunks: parts.trunks.fork(),
      carriers: parts.carriers.fork(),
      accounts: parts.accounts.fork(),
      users: parts.users.fork(),
      flows: parts.flows.fork(),
      groups: parts.groups.fork(),
      prefixes: parts.prefixes.fork(),
    };
  }
}

const NO_TRUNKS: readonly string[] = [];

function hasRegister(carriers: Iterable<CarrierRecord>): boolean {
  for (const { carrier } of carriers) if (carrier.register !== undefined) return true;
  return false;
}

/** Made when the first call asks, once a table: few carriers, and a change of one number must not walk them. */
function sortCarriers(carriers: Iterable<CarrierRecord>): {
  readonly shared: readonly CarrierRecord[];
  readonly own: Map<string, readonly CarrierRecord[]>;
} {
  const shared: CarrierRecord[] = [];
  const owned = new Map<string, CarrierRecord[]>();
  for (const record of carriers) {
    const owner = record.carrier.account_sid;
    if (owner === undefined) shared.push(record);
    else owned.set(owner, [...(owned.get(owner) ?? []), record]);
  }
  const own = new Map([...owned].map(([sid, records]) => [sid, [...records, ...shared]]));
  return { shared, own };
}
