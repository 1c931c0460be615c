/** A routing decision as data: what the call path acts on, what `explain` prints, what the CDR keeps. */
import type { Carrier, FailoverPolicy, Rate, SipSettings } from './resources.js';

/** What is known of a call when it arrives. */
export interface CallRequest {
  /** The socket's address, IPv4-mapped IPv6 already unmapped. Never a header's. */
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly transport: string;
  /** User part of the Request-URI, unescaped, as received. */
  readonly calledNumber: string;
  /** User part of To, where it may be what is called: by carriers that we register with. */
  readonly toNumber?: string | undefined;
  /** User part of From, unescaped; empty when anonymous. */
  readonly callerNumber: string;
  /** User part of P-Asserted-Identity, when present. */
  readonly assertedNumber?: string | undefined;
  /** User part of the first Diversion, when present: who sent the call on (RFC 5806). */
  readonly divertingNumber?: string | undefined;
  /** Trunks whose credentials the caller has proved, and by which user name. */
  readonly provedTrunks?: readonly string[] | undefined;
  readonly userName?: string | undefined;
}

export type Direction = 'inbound' | 'outbound';

/**
 * Machine-readable result. The registry with SIP status, sentence and remedy is `reasons.ts`; `docs/errors.md` is
 * generated from it.
 */
export type ReasonCode =
  | 'routed'
  | 'source_not_allowed'
  | 'credentials_required'
  | 'number_not_found'
  | 'number_on_other_carrier'
  | 'number_invalid'
  | 'trunk_not_found'
  | 'trunk_inactive'
  | 'trunk_has_no_destination'
  | 'not_registered'
  | 'carrier_not_found'
  | 'carrier_has_no_gateway'
  | 'caller_id_not_mapped'
  | 'destination_denied'
  | 'destination_not_enabled'
  | 'destination_not_listed'
  | 'byo_disabled'
  | 'price_unknown'
  | 'spend_cap_reached'
  | 'flow_not_available'
  | 'trunk_calls_per_second'
  | 'trunk_concurrent_calls'
  | 'account_calls_per_second'
  | 'account_concurrent_calls'
  | 'carrier_calls_per_second'
  | 'carrier_concurrent_calls'
  | 'destination_overloaded'
  | 'table_not_loaded'
  /** Given by the call session, before or instead of the table's word: */
  | 'draining'
  | 'node_full'
  | 'too_many_hops'
  | 'replaces_invalid'
  | 'replaces_unknown'
  | 'replaces_not_allowed'
  | 'replaces_confirmed'
  | 'replaces_media'
  | 'replaces_busy'
  | 'extension_off'
  | 'privacy_not_served'
  | 'session_interval_too_small'
  | 'internal_error';

export interface DecisionStep {
  /**
   * `source`, `direction`, `called_number`, `did`, `trunk`, `mode`, `caller_id`, `prefixes`, `carrier`, `network_group`,
   * `spend`, `order`, `limits`, `registration`, `destinations`.
   */
  readonly step: string;
  readonly result: 'pass' | 'fail' | 'info';
  readonly detail: string;
  /** The facts behind the sentence: the rule that matched, the numbers compared. */
  readonly data?: { readonly [key: string]: string | number | boolean | null };
}

/** What a call costs, and which rule of the document says so. */
export interface Priced {
  readonly rate?: Rate | undefined;
  /** `carrier/country/name` of the network group that the rate is of; absent for a carrier's flat rate. */
  readonly networkGroup?: string | undefined;
  /** Digits of the number that chose the group. */
  readonly prefix?: string | undefined;
}

export interface Destination extends Priced {
  /** Request-URI to send, for example `sip:+918040000001@192.0.2.1:5060;transport=tcp`. */
  readonly uri: string;
  /** Host, port, transport part as configured, for logs and health. */
  readonly gateway: string;
  readonly priority: number;
  readonly weight: number;
  /** Of a carrier's gateway. Its limits are taken when it is tried, see `Decision.carriers`. */
  readonly carrierId?: string | undefined;
  /** The carrier's own policy; absent: `Decision.failover`. */
  readonly failover?: FailoverPolicy | undefined;
  /** What this carrier is told of identities. */
  readonly identity?: NonNullable<Carrier['identity']> | undefined;
  /** SIP towards it: of its carrier, or of its trunk; absent where they say nothing, and for URIs that a flow dials. */
  readonly sip?: SipSettings | undefined;
  /** What is left of a day's money pays for so many seconds here. */
  readonly maxSeconds?: number | undefined;
  /** It did not answer lately, and so comes after those that do. */
  readonly down?: true;
  /** Of a registered user's contact: how it is reached, as its URI may lead nowhere. `gateway` names the user. */
  readonly reach?: (ContactWay & { /** Host of To. */ readonly domain: string }) | undefined;
  /** Others of equal preference that ring together with it (RFC 3261 §16.6); none of them has any beside it. */
  readonly beside?: readonly Destination[] | undefined;
}

/** How a registered contact is reached. None of them: by its URI. */
export interface ContactWay {
  /** A connection, or the ends of its datagrams, that the engine knows by this name. */
  readonly flow?: string | undefined;
  /** Where there is no such thing. */
  readonly nextHop?: string | undefined;
  /** RFC 3327. */
  readonly route?: readonly string[] | undefined;
  /** The other node, by its id, over whose connection it is reached: `flow` and `route` lead there. */
  readonly node?: string | undefined;
}

/** A contact of a registered user, which this node can reach. */
export interface ReachableContact {
  readonly uri: string;
  readonly userName: string;
  /** Preference in thousandths (RFC 3261 §10.2.1.2). */
  readonly q: number;
  /** The device, where it says so; its contacts are ways to one telephone (RFC 5626 §5.3). */
  readonly instance?: string | undefined;
  readonly way: ContactWay;
}

/** Who is registered where; read by `decide`. */
export interface ContactsView {
  /** @param userName undefined: all users of the trunk */
  find(
    trunkSid: string,
    userName: string | undefined,
  ): {
    /** The preferred first. */
    readonly reachable: readonly ReachableContact[];
    /** Contacts over connections of other nodes. */
    readonly elsewhere: number;
  };
}

/** A carrier that could take an outbound call, and what became of that. */
export interface CarrierCandidate extends Priced {
  readonly carrierId: string;
  /** `routed`: among the destinations. Else why it is not, or, for a limit, why it comes after all others. */
  readonly reasonCode: ReasonCode;
  readonly priority: number;
  readonly weight: number;
  readonly claim: LimitClaim;
}

/** A counter that this call takes when it is admitted, and gives back at its end. */
export interface LimitClaim {
  /** `trunk:<sid>`, `account:<sid>` or `carrier:<id>`. */
  readonly key: string;
  readonly callsPerSecond: number | undefined;
  readonly concurrentCalls: number | undefined;
}

export interface Decision {
  readonly accepted: boolean;
  readonly reasonCode: ReasonCode;
  /** SIP status for a rejected call. */
  readonly sipStatus: number | undefined;
  /** What to do about a rejection, for people. */
  readonly remedy: string | undefined;
  readonly nearestMiss: string | undefined;
  readonly revision: string;
  readonly direction: Direction | undefined;
  readonly mode: 'pstn' | 'flow' | undefined;
  readonly accountSid: string | undefined;
  readonly trunkSid: string | undefined;
  /** By whose password the caller has proved itself. */
  readonly userName?: string | undefined;
  readonly carrierId: string | undefined;
  readonly calledNumber: { readonly received: string; readonly e164: string | undefined };
  readonly callerNumber: {
    readonly received: string;
    readonly e164: string | undefined;
    readonly sent: string | undefined;
    /** What we vouch for to carriers that ask: a number of the trunk. */
    readonly asserted?: string | undefined;
  };
  /** A number of the trunk that sent the call on, for carriers that ask. */
  readonly diverting?: string | undefined;
  /** SIP towards the caller: of the carrier that delivers the call, or of the trunk that sends it. */
  readonly sip?: SipSettings | undefined;
  /** In the order in which they are to be tried. */
  readonly destinations: readonly Destination[];
  /** Outbound: every carrier that was looked at, in the order of the destinations, then those that were left out. */
  readonly carriers?: readonly CarrierCandidate[] | undefined;
  readonly failover: FailoverPolicy;
  /** The flow that answers, in the version that the call keeps; mode `flow` only. */
  readonly flow?: { readonly id: string; readonly version: number } | undefined;
  /** Inbound calls: the price of being called. Outbound calls have it on the destinations. */
  readonly inbound?: Priced | undefined;
  /** Taken for as long as the call lasts. Those of an outbound call's carriers are taken as each is tried. */
  readonly limits: readonly LimitClaim[];
  /** For a call refused by a rate: the value of a Retry-After header. */
  readonly retryAfterSeconds?: number | undefined;
  readonly steps: readonly DecisionStep[];
}

/** Counters as they stand; read by `decide`, changed only by the call path's limiter. */
export interface LimitsView {
  /**
   * Calls now up under this key; at least `limit` when no further one may start here. Where nodes share a limit, the
   * part of it that the others hold counts as up.
   */
  concurrent(key: string, limit: number): number;
  /** Whether one more call may start now under this rate. */
  rateAllows(key: string, callsPerSecond: number, nowMs: number): boolean;
}

/** Money spent; read by `decide`, written at the end of calls. Never waits. */
export interface SpendView {
  /**
   * What calls under `trunk:<sid>` or `account:<sid>` have cost since midnight UTC, in micros (1/1,000,000) of the
   * currency, on all nodes; calls that are up count as if they ended now, calls being set up with their first pulse.
   */
  committedMicros(key: string, currency: string): number;
}

/** Which gateways answer; read by `decide`. */
export interface GatewayView {
  /** @param gateway as in `Destination.gateway` */
  isDown(gateway: string): boolean;
}

/** What `decide` needs besides the table and the request. */
export interface DecideContext {
  readonly limits: LimitsView;
  /** Absent where nothing is rated. */
  readonly spend?: SpendView | undefined;
  /** Absent: every gateway is taken for well. */
  readonly health?: GatewayView | undefined;
  /** Absent where nobody registers. */
  readonly contacts?: ContactsView | undefined;
  /** Monotonic, the clock of the limiter. */
  readonly nowMs: number;
  /** Uniform in [0, 1): draws the order of targets of equal priority. */
  readonly random: () => number;
}
