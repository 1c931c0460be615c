/**
 * The routing document in flat form: what stores carry, revisions list and tables are compiled from. A trunk's phone
 * numbers are resources of their own, so that one number among a million changes alone. The JSON Schemas beside
 * (`schema.ts`) are the single source of these shapes for files, Redis and the API.
 */

import type { FlowDocument } from '../flow/document.js';
import type { HeaderSettings } from './headerSettings.js';
import type { RoutingHistory } from './history.js';

/** When something was made and last changed: UTC, RFC 3339, whole seconds. Hand-written documents may leave it out. */
export interface Dates {
  readonly date_created?: string;
  readonly date_updated?: string;
}

/** What an API shows of an entry in a list; an entry without an `id` has one derived from what it holds. */
export interface Listed extends Dates {
  readonly id?: string;
  readonly friendly_name?: string;
}

export interface IpRange extends Listed {
  /** IPv4 or IPv6 address. */
  readonly ip: string;
  /** Prefix length in bits; default: the whole address. */
  readonly mask?: number;
}

/** How a called number is written to a gateway: `+44..`, `44..`, or in the gateway's own country without its code. */
export type NumberStyle = 'e164' | 'digits' | 'national';

export interface Gateway {
  /** `sip:host[:port][;transport=udp|tcp]`. */
  readonly uri: string;
  /** Lower first. */
  readonly priority: number;
  /** Share among gateways of equal priority. */
  readonly weight: number;
  /** Digits put before the number, after its style was applied. */
  readonly tech_prefix?: string;
  /** Default `e164`. */
  readonly number_style?: NumberStyle;
  /** For `national`: the country code that is left out, digits; the national prefix `0` is not added. */
  readonly country_code?: string;
}

export interface ApiKey extends Listed {
  readonly key: string;
  /** In clear, as people write it into a file; keys made by the API have `token_hash` instead. */
  readonly token?: string;
  /** `sha256:<salt hex>:<hex of SHA-256 over salt and token>`. */
  readonly token_hash?: string;
  /** Default `admin`. */
  readonly scope?: 'read' | 'write' | 'admin';
}

export interface Money {
  /** Decimal text in major units. */
  readonly amount: string;
  readonly currency: string;
}

export interface Account extends Dates {
  readonly sid: string;
  readonly name?: string;
  readonly api_keys?: readonly ApiKey[];
  readonly limits?: Limits;
  /** How carriers that could take a call are ordered: by their priority (default), or by price, lowest first. */
  readonly carrier_order?: 'priority' | 'least_cost';
  /** Carriers for numbers that name none, in order; default: the only carrier there is. */
  readonly carriers?: readonly string[];
  /** Network groups (`carrier/country/name`) that this account has switched off. */
  readonly disabled_network_groups?: readonly string[];
  /**
   * Numbers that no network group of a carrier names, where the carrier has groups: open (default), or refused. Carriers
   * that the account brought along carry them in any case.
   */
  readonly prefix_mode?: 'open' | 'allow_only_listed';
  /** Calls of numbers brought along (carriers of kind `byo` that belong to the account); default true. */
  readonly byo_enabled?: boolean;
  readonly spend_per_day?: Money;
}

/** Audio of a leg towards this trunk or carrier, where a flow answers or dials. */
export interface MediaSettings {
  /** In order of preference. `opus` is refused by name: no media engine here speaks it. */
  readonly codecs?: readonly ('PCMU' | 'PCMA' | 'L16' | 'opus')[];
  /** SDES (RFC 4568). `mandatory` refuses calls without it. */
  readonly srtp?: 'off' | 'optional' | 'mandatory';
  /** The far end is behind NAT: its audio's source is learned once. */
  readonly nat?: boolean;
  readonly ptime_ms?: number;
  /** No packet for this long ends what the flow runs in the audio: its error exit; 0: never. Default: the node's. */
  readonly timeout_seconds?: number;
}

/**
 * SIP towards this trunk or carrier, on both legs. Decisions, and with them call records, show it: nothing secret belongs
 * in it. Whatever is absent costs a call nothing.
 */
export interface SipSettings {
  /**
   * Reliable provisional responses (RFC 3262). `relay` (default): what the ends agree on passes, PRACK and the offers in
   * it included. `terminate`: each leg on its own. `off`: not here; callers who require it are refused with 420.
   */
  readonly reliable_provisionals?: 'relay' | 'terminate' | 'off';
  /** Session timers (RFC 4028). */
  readonly session_timer?: {
    /** `relay` (default): what the ends agree on passes. `terminate`: this end's own, with Tandem. `off`: none. */
    readonly mode?: 'relay' | 'terminate' | 'off';
    /** For `terminate`: seconds that Tandem asks for. Absent: it asks for none, and takes what this end asks for. */
    readonly expires?: number;
    /** For `terminate`: an end that asks for less gets 422. */
    readonly min_se?: number;
    /** Who refreshes, where Tandem may choose. */
    readonly refresher?: 'local' | 'remote';
  };
  /**
   * REFER within calls (RFC 3515) from this end. `terminate`: Tandem calls the target itself, as a call of this end.
   * `relay`: to the other end. `off`: 603. Default: `terminate` for trunks, `off` for carriers.
   */
  readonly refer?: 'relay' | 'terminate' | 'off';
  /** 300, 301, 302 to an INVITE that went to this end. `map` (default): the caller is told 480. `follow`: see `redirect_hosts`. */
  readonly redirects?: 'follow' | 'map';
  /** Hosts that redirections may name, besides those of the destinations or gateways themselves. */
  readonly redirect_hosts?: readonly string[];
  /** This end is behind NAT: requests within its dialogs go to where its own messages come from, not to its Contact. */
  readonly nat?: boolean;
  /** SIP URI that INVITEs to this end are sent to; their Request-URI stays the destination's. */
  readonly next_hop?: string;
  /** What crosses to and from here, and how identities are told. */
  readonly headers?: HeaderSettings;
}

/** What a call costs. Times are rounded up: to `first_seconds` once, then in steps of `next_seconds`. */
export interface Rate {
  /** Decimal text in major units per minute, for example `0.0125`. */
  readonly inbound_price?: string;
  readonly outbound_price?: string;
  readonly currency?: string;
  /** Per answered call, major units. */
  readonly setup_fee?: string;
  /** Least charge of an answered call, major units. */
  readonly minimum_charge?: string;
  /** Default 60. */
  readonly first_seconds?: number;
  /** Default 60. */
  readonly next_seconds?: number;
}

export interface Credential extends Listed {
  readonly user_name: string;
  readonly password: string;
}

export interface Carrier extends Dates {
  readonly id: string;
  readonly kind: 'plivo' | 'twilio' | 'byo';
  /** A carrier that one account brought along; others cannot use it. */
  readonly account_sid?: string;
  readonly nickname?: string;
  readonly source_acl: readonly IpRange[];
  readonly gateways: readonly Gateway[];
  /**
   * For its digest challenges (RFC 7616). `realm`: the only one that is answered; default: the gateway's own host, or a
   * domain that it is in.
   */
  readonly credentials?: { readonly user_name: string; readonly password: string; readonly realm?: string };
  readonly limits?: Limits;
  /** For calls that leave through this carrier. */
  readonly failover?: FailoverPolicy;
  /** Order among carriers that could take a call; lower first, default 0. */
  readonly priority?: number;
  /** Share among carriers of equal priority; default 1. */
  readonly weight?: number;
  /** Price of every destination of a carrier without network groups. */
  readonly flat_rate?: Rate;
  /** Identity headers for calls that leave here; both default to false. */
  readonly identity?: { readonly p_asserted_identity?: boolean; readonly diversion?: boolean };
  readonly media?: MediaSettings;
  readonly sip?: SipSettings;
  /**
   * It wants us to register (RFC 3261 §10.2), with `credentials`. Beside `sip`, not in it: it is nothing of a call's, and
   * decisions and records need not show it.
   */
  readonly register?: CarrierRegister;
}

export interface CarrierRegister {
  /** `host[:port][;transport=x]`. */
  readonly registrar: string;
  /** Of the address of record; default: `user_name` of the credentials. */
  readonly user?: string;
  /** Of the address of record; default: the registrar's host. */
  readonly domain?: string;
  /** What the carrier calls us by; a call to it is for the number in To. Default: `user`. */
  readonly contact_user?: string;
  /** Default 3600. */
  readonly expires_seconds?: number;
}

export interface Limits {
  readonly calls_per_second?: number;
  readonly concurrent_calls?: number;
}

export interface Trunk extends Dates {
  readonly trunk_sid: string;
  readonly account_sid: string;
  readonly trunk_name: string;
  readonly domain_name?: string;
  readonly status?: 'active' | 'inactive';
  /** Shown by the API, without effect on calls. */
  readonly nso_code?: string;
  readonly auth_type?: string;
  readonly whitelisted_ips: readonly IpRange[];
  readonly credentials?: readonly Credential[];
  readonly destination_uris: readonly (Listed & {
    /** `host:port;transport=...` or with `sip:` before it. */
    readonly destination: string;
    readonly priority: number;
    readonly weight: number;
  })[];
  readonly settings?: {
    readonly trunk_external_alias?: string;
    /** Trunk dial plan: the country code that completes national numbers, digits only. */
    readonly country_code?: string;
    /** What marks a national number and is removed; default `0`. Empty: every number without `+` or `00` is national. */
    readonly national_prefix?: string;
    /**
     * A caller ID that is not mapped to the trunk: refuse it, send the alias in its place (default, where there is an
     * alias), or pass it on as it is.
     */
    readonly caller_id?: 'reject' | 'replace' | 'pass';
  };
  readonly limits?: Limits;
  readonly failover?: FailoverPolicy;
  /** Against toll fraud: digits of numbers that may be called (absent: all), and that may not; the longest decides. */
  readonly allow_prefixes?: readonly string[];
  readonly deny_prefixes?: readonly string[];
  readonly spend_per_day?: Money;
  readonly media?: MediaSettings;
  readonly sip?: SipSettings;
}

/** Response code (`503`), class (`5xx`) or event (`transport_error`, `ring_timeout`, `silence`) -> what to do. */
export type FailoverAction = 'next' | 'stop' | { readonly rewrite: number };
export type FailoverPolicy = { readonly [codeOrEvent: string]: FailoverAction };

/** An agent in one of its published versions: see `flowOfAgent`. */
export interface AgentVersion {
  readonly agent_id: string;
  readonly version: number;
}

export interface PhoneNumber extends Listed {
  /** E.164 with `+`. */
  readonly phone_number: string;
  readonly trunk_sid: string;
  readonly mode: 'pstn' | 'flow' | null;
  readonly flow?: string;
  /** Answers in mode `flow`, before `flow`. */
  readonly inbound_agent?: AgentVersion;
  /** Speaks in calls that are placed from the number. */
  readonly outbound_agent?: AgentVersion;
  readonly carrier?: string;
  readonly status?: 'pending' | 'active' | 'unavailable';
}

export interface NetworkGroup extends Rate, Dates {
  readonly carrier: string;
  readonly country_iso: string;
  readonly name: string;
  /** Digits without `+`. */
  readonly prefixes: readonly string[];
  readonly enabled: boolean;
}

export type Flow = FlowDocument;

export type Resource =
  | { readonly type: 'account'; readonly value: Account }
  | { readonly type: 'carrier'; readonly value: Carrier }
  | { readonly type: 'trunk'; readonly value: Trunk }
  | { readonly type: 'phone_number'; readonly value: PhoneNumber }
  | { readonly type: 'network_group'; readonly value: NetworkGroup }
  | { readonly type: 'flow'; readonly value: Flow };

export type ResourceType = Resource['type'];

/** Identity of a resource within its type: sid, id, E.164 number, `carrier/country/name` of a network group. */
export interface ResourceKey {
  readonly type: ResourceType;
  readonly id: string;
}

/** What a store delivers. Revisions are opaque, unique and ordered by arrival. */
export type RoutingUpdate =
  | {
      readonly kind: 'full';
      readonly revision: string;
      /** In batches, so that a table of a million numbers never blocks the process. */
      readonly batches: AsyncIterable<readonly Resource[]> | Iterable<readonly Resource[]>;
    }
  | {
      readonly kind: 'patch';
      readonly revision: string;
      /** Applies to this revision only; any other needs a full load. */
      readonly base: string;
      readonly upserts: readonly Resource[];
      readonly deletes: readonly ResourceKey[];
    };

export interface RoutingStoreStatus {
  readonly connected: boolean;
  /** True while what is served comes from the last snapshot on disk or an older revision. */
  readonly stale: boolean;
  readonly detail: string;
}

/** Port that `src/store` implements. */
export interface RoutingStore {
  /**
   * Delivers one full update, then each change. Waits for `deliver` before the next.
   * A document that does not validate is reported through `onProblem` and not delivered.
   * @returns when the first update was delivered (from a snapshot, if the store is out of reach).
   * @throws TandemError `no_routing_document` when there is neither store nor snapshot.
   */
  follow(
    deliver: (update: RoutingUpdate) => Promise<void>,
    onProblem: (problem: { readonly code: string; readonly message: string }) => void,
  ): Promise<void>;
  /** Publishes changes as one revision; returns its id. Rejects with `revision_conflict` when base is not current. */
  publish(change: {
    readonly base?: string;
    readonly author: string;
    /** Why, in a line: kept in the history. */
    readonly note?: string;
    readonly upserts: readonly Resource[];
    readonly deletes: readonly ResourceKey[];
  }): Promise<string>;
  /** What was published, as long as it is kept. */
  readonly history: RoutingHistory;
  status(): RoutingStoreStatus;
  close(): Promise<void>;
}
