import type { CallRequest, Decision } from '../call/routing/decision.js';
import type { Explanation } from '../call/session/explanation.js';
import type { PastCall } from '../call/session/pastCall.js';
import type { OriginateOrder, OriginateRefusal } from '../call/session/originate/order.js';
import type { Config } from '../config/index.js';
import type { QueryAnswer, RecordQuery } from '../call/record/query/filter.js';
import type { Control } from '../control/index.js';
import type { Clock, Random, Result } from '../kernel/index.js';
import type { Principal } from './principal.js';

/** A live call as it is shown: at least these members. */
export interface LiveCallView {
  readonly callId: string;
  readonly accountSid: string | null;
  /** Streams to bots that run. */
  readonly streams?: number;
}

export interface NodeState {
  readonly tableLoaded: boolean;
  readonly signallingUp: boolean;
  readonly draining: boolean;
}

/** Whether a SIP host is there. */
export interface ProbeResult {
  /** What it resolves to. */
  readonly addresses: readonly string[];
  /** Of the challenge that it answered with (RFC 7616). */
  readonly realm?: string | undefined;
  /** Why it is not there, in words; undefined: it is. */
  readonly fault: string | undefined;
}

/** A contact as it is shown: at least these members. */
export interface ContactView {
  readonly trunkSid: string;
  readonly accountSid: string | null;
  readonly userName: string;
  readonly contact: string;
}

export interface RegistrationDeps {
  /** Of all users. */
  list(): Iterable<ContactView>;
  /** @param contact undefined: all of the user @returns how many were dropped */
  remove(trunkSid: string, userName: string, contact?: string): Promise<number>;
  /** Where carriers are registered at. */
  carriers(): readonly object[];
}

/** What the administration needs of the rest of the process. Functions are called once per HTTP request. */
export interface AdminDeps {
  readonly config: Config;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  /** The only way to change anything. */
  readonly control: Control;
  state(): NodeState;
  /** The function that the call path runs. */
  explain(request: CallRequest): Decision;
  /** What an operator wants to know besides: what would be sent, room, money. */
  explanation?(decision: Decision, request: CallRequest): Explanation;
  /** A call that lives or has a record; undefined when none has this id. */
  pastCall?(callId: string): Promise<PastCall | undefined>;
  /** Asks `host[:port]` for any answer to OPTIONS. Absent where nothing is signalled. */
  probe?(place: string): Promise<ProbeResult>;
  /** Absent where no records are kept. */
  searchRecords?(query: RecordQuery): Promise<QueryAnswer>;
  liveCalls(): Iterable<LiveCallView>;
  /** One live call in full; undefined when there is none of that id. */
  liveCall(callId: string): LiveCallView | undefined;
  /** Gateways of carriers and destinations of trunks, with what is thought of them. */
  gateways?(): readonly object[];
  /** Contacts of registered users, and registrations of ours at carriers. Absent where there can be none. */
  readonly registrations?: RegistrationDeps | undefined;
  /** Places a call; absent where none can be placed. */
  originate?(order: OriginateOrder): Result<{ readonly callId: string; readonly decision: Decision }, OriginateRefusal>;
  /** @returns false when no live call has this id */
  hangUp?(callId: string): boolean;
  dump(): object | Promise<object>;
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>;
  /** Whom the key and token belong to; undefined when they do not fit. See `keyChecker`. */
  authenticate(key: string, token: string): Principal | undefined;
  /** Told of exceptions inside a handler; the client sees no detail. */
  onError(error: unknown, url: string): void;
}
