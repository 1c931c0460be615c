/**
 * The routing document in flat form: what stores carry, revisions list and tables are compiled from. A trunk's phone
 * numbers are resources of their own, so that one number among a million changes alone. The JSON Schemas beside
 * (`schema.ts`) are the single source of these shapes for files, Redis and the API.
 */

import type { FlowDocument } from '../flow/document.js';

export interface IpRange {
  /** IPv4 or IPv6 address. */
  readonly ip: string;
  /** Prefix length in bits; default: the whole address. */
  readonly mask?: number;
}

export interface Gateway {
  /** `sip:host[:port][;transport=udp|tcp]`. */
  readonly uri: string;
  /** Lower first. */
  readonly priority: number;
  /** Share among gateways of equal priority. */
  readonly weight: number;
}

export interface Account {
  readonly sid: string;
  readonly api_keys?: readonly { readonly key: string; readonly token: string }[];
}

export interface Carrier {
  readonly id: string;
  readonly kind: 'plivo' | 'twilio' | 'byo';
  readonly nickname?: string;
  readonly source_acl: readonly IpRange[];
  readonly gateways: readonly Gateway[];
  readonly credentials?: { readonly user_name: string; readonly password: string };
  readonly limits?: Limits;
  /** For calls that leave through this carrier. */
  readonly failover?: FailoverPolicy;
}

export interface Limits {
  readonly calls_per_second?: number;
  readonly concurrent_calls?: number;
}

export interface Trunk {
  readonly trunk_sid: string;
  readonly account_sid: string;
  readonly trunk_name: string;
  readonly domain_name?: string;
  readonly status?: 'active' | 'inactive';
  readonly whitelisted_ips: readonly IpRange[];
  readonly credentials?: readonly { readonly user_name: string; readonly password: string }[];
  readonly destination_uris: readonly {
    /** `host:port;transport=...` or with `sip:` before it. */
    readonly destination: string;
    readonly priority: number;
    readonly weight: number;
  }[];
  readonly settings?: {
    readonly trunk_external_alias?: string;
    /** Trunk dial plan: the country code that completes national numbers, digits only. */
    readonly country_code?: string;
    /** What marks a national number and is removed; default `0`. Empty: every number without `+` or `00` is national. */
    readonly national_prefix?: string;
  };
  readonly limits?: Limits;
  readonly failover?: FailoverPolicy;
}

/** Response code (`503`), class (`5xx`) or event (`transport_error`, `ring_timeout`, `silence`) -> what to do. */
export type FailoverAction = 'next' | 'stop' | { readonly rewrite: number };
export type FailoverPolicy = { readonly [codeOrEvent: string]: FailoverAction };

export interface PhoneNumber {
  /** E.164 with `+`. */
  readonly phone_number: string;
  readonly trunk_sid: string;
  readonly mode: 'pstn' | 'flow' | null;
  readonly flow?: string;
  readonly carrier?: string;
}

export interface NetworkGroup {
  readonly carrier: string;
  readonly country_iso: string;
  readonly name: string;
  /** Digits without `+`. */
  readonly prefixes: readonly string[];
  readonly enabled: boolean;
  /** Decimal text in major units per minute, for example `0.0125`. */
  readonly inbound_price?: string;
  readonly outbound_price?: string;
  readonly currency?: string;
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
    readonly upserts: readonly Resource[];
    readonly deletes: readonly ResourceKey[];
  }): Promise<string>;
  status(): RoutingStoreStatus;
  close(): Promise<void>;
}
