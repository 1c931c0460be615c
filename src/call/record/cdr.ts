/** One call detail record per call attempt, early rejects included (docs/record.md). */
import type { MediaQuality, StreamReport } from '../../media/port.js';
import type { DecidedCall } from './callFacts.js';
import type { DialRecord } from './dialRecord.js';
import type { FlowRecord } from './flowRecord.js';
import type { Decision } from '../routing/decision.js';
import type { Charge } from './rating.js';
import type { TransferRecord } from './transferRecord.js';

export type Outcome = 'answered' | 'busy' | 'no_answer' | 'cancelled' | 'rejected' | 'failed';
export type EndedBy = 'caller' | 'callee' | 'carrier' | 'tandem';

export interface AttemptRecord {
  readonly uri: string;
  /** Where it went, `192.0.2.1:5060;transport=udp`, where the URI's name had to be looked up. */
  readonly target?: string;
  readonly startedAt: string;
  /** SIP status, or 0 where none came. */
  readonly sipStatus: number;
  /** `answered`, `response`, `silence`, `timeout`, `transport_error`, `unresolved_host`, `cancelled`, `ring_timeout` ... */
  readonly result: string;
  readonly durationMs: number;
  /** Of a 3xx that is followed: where the call went next; empty where it named no place that it may go to. */
  readonly redirectedTo?: readonly string[];
  /** Of several that rang at once (RFC 3261 §16.6): what became of each; `uri` is whose answer it was, else the first's. */
  readonly branches?: readonly { readonly uri: string; readonly sipStatus: number; readonly result: string }[];
}

export interface CallRecord {
  readonly callId: string;
  readonly nodeId: string;
  /** SIP Call-IDs of the two legs; bLeg null when none was tried. */
  readonly aLegCallId: string;
  readonly bLegCallId: string | null;
  readonly source: string;
  readonly destination: string | null;
  readonly direction: 'inbound' | 'outbound' | null;
  readonly mode: 'pstn' | 'flow' | null;
  readonly accountSid: string | null;
  readonly trunkSid: string | null;
  readonly carrierId: string | null;
  readonly callerReceived: string;
  readonly callerE164: string | null;
  readonly callerSent: string | null;
  readonly calledReceived: string;
  readonly calledE164: string | null;
  readonly revision: string;
  /** ISO 8601 UTC with milliseconds, wall clock. */
  readonly startedAt: string;
  readonly ringingAt: string | null;
  readonly answeredAt: string | null;
  readonly endedAt: string;
  /** From a monotonic clock. */
  readonly setupMs: number;
  readonly ringMs: number;
  readonly talkMs: number;
  readonly outcome: Outcome;
  readonly endedBy: EndedBy;
  /** What the caller was told; 200 for an answered call. */
  readonly sipStatus: number;
  /** ITU-T Q.850 cause. */
  readonly q850: number;
  readonly reasonCode: string;
  readonly attempts: readonly AttemptRecord[];
  /** Transfers that were asked for, in the order of their ends; absent where there were none. */
  readonly transfers?: readonly TransferRecord[];
  /** By the price of the revision that the call began with; null for calls that nobody answered or nothing prices. */
  readonly charge: Charge | null;
  /** Dials of the call's flow that were answered, in the order of their ends; absent where there were none. */
  readonly dials?: readonly DialRecord[];
  readonly decision: Decision;
  /** Of a call that a flow answered: its way through the flow. */
  readonly flow?: FlowRecord;
  /** What the audio of the legs was like, where it passed through the media plane. */
  readonly media?: { readonly a: MediaQuality | null; readonly b: MediaQuality | null };
  /** Streams to bots, in the order of their ends. */
  readonly streams?: readonly StreamReport[];
}

/** Port of the CDR sink. `write` never blocks and never throws; the record is durable soon after. */
export interface CallRecorder {
  /** A call was let in or answered, or a dial of its flow was answered or ended: were the process to die now, its record is made of this. Kept as it is, and asked again, until its record is written. Never throws. */
  note?(call: DecidedCall): void;
  write(record: CallRecord): void;
  /** Resolves when everything written so far is durable. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
