/** What happens to calls, as it happens. Logs, metrics, ladders and the live view subscribe; nobody is called. */
import type { Alarm } from '../admission/alarms.js';
import type { AttemptRecord, CallRecord } from '../record/cdr.js';
import type { DialRecord } from '../record/dialRecord.js';
import type { TransferRecord } from '../record/transferRecord.js';
import type { TraceStep } from '../flow/trace.js';
import type { SignalTarget } from '../../signal/port.js';
import type { CallRequest, Decision, Priced } from '../routing/decision.js';

interface OfCall {
  /** Tandem's own id of the call: the same in logs, CDR and API. */
  readonly callId: string;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly atMs: number;
}

/**
 * Per call, in this order: `call_started`, `call_decided` (unless deciding failed), then for each destination tried
 * `attempt_started` and `attempt_ended`, `call_ringing` at the first 18x, `call_answered`, and in any case exactly one
 * `call_ended`; a call that a flow answers has a `flow_step` for each node left, and for each
 * dial that was let through one `dial_started` and one `dial_ended`, with `dial_answered` between them if it was. `call_released` follows when both legs are gone.
 */
export type CallEvent =
  | (OfCall & {
      readonly type: 'call_started';
      readonly request: CallRequest;
      /** SIP Call-ID of the caller's leg. */
      readonly aLegCallId: string;
    })
  | (OfCall & { readonly type: 'call_decided'; readonly decision: Decision })
  | (OfCall & {
      readonly type: 'attempt_started';
      /** 1 for the first. */
      readonly attempt: number;
      readonly uri: string;
      readonly gateway: string;
      readonly bLegCallId: string;
    })
  | (OfCall & {
      readonly type: 'attempt_ended';
      readonly attempt: number;
      readonly gateway: string;
      /** Of several places that the gateway's name leads to. */
      readonly target?: SignalTarget | undefined;
      /** Places of the same gateway that were not tried yet. */
      readonly targetsLeft: number;
      readonly record: AttemptRecord;
    })
  | (OfCall & {
      readonly type: 'call_ringing';
      /** 180, 183 ... */
      readonly status: number;
      /** The caller hears the far end: there was a body. */
      readonly earlyMedia: boolean;
      /** From the INVITE's arrival, in milliseconds of the monotonic clock. */
      readonly afterMs: number;
    })
  | (OfCall & {
      readonly type: 'call_answered';
      readonly setupMs: number;
      readonly bLegCallId: string;
      readonly decision: Decision | undefined;
      /** What the call is charged by; undefined where nothing prices it. */
      readonly priced: Priced | undefined;
    })
  /** A node of the call's flow was left. */
  | (OfCall & { readonly type: 'flow_step'; readonly step: TraceStep })
  /** Its attempts follow. The decision's trunk and account are those that pay. */
  | (OfCall & { readonly type: 'dial_started'; readonly dialId: string; readonly decision: Decision })
  | (OfCall & {
      readonly type: 'dial_answered';
      readonly dialId: string;
      readonly uri: string;
      readonly decision: Decision;
      /** What the dial is charged by; undefined where nothing prices it. */
      readonly priced: Priced | undefined;
    })
  /** Before the call's own end. Without a record where nobody answered. */
  | (OfCall & { readonly type: 'dial_ended'; readonly dialId: string; readonly record: DialRecord | undefined })
  /** A transfer was refused, or has come to its end. */
  | (OfCall & { readonly type: 'call_transfer'; readonly transfer: TransferRecord })
  | (OfCall & { readonly type: 'call_ended'; readonly record: CallRecord })
  | (OfCall & {
      readonly type: 'call_released';
      /** Legs that did not confirm their end in time. 0 in good order. */
      readonly abandonedLegs: number;
    })
  /** An exception inside Tandem; the call was ended for it. Empty callId where no call was concerned. */
  | (OfCall & { readonly type: 'call_fault'; readonly where: string; readonly error: unknown })
  /** A rule against toll fraud refused or ended a call: at most one a minute for a rule of a trunk or an account. */
  | (OfCall & Alarm & { readonly type: 'fraud_alarm' })
  /** A user of a trunk said where it is, or is there no more. */
  | {
      readonly type: 'registration';
      readonly atMs: number;
      readonly act: 'registered' | 'refreshed' | 'removed' | 'expired' | 'flow_closed' | 'refused';
      readonly trunkSid?: string;
      readonly userName: string;
      readonly contact?: string;
      readonly source: string;
      /** Why it was refused. */
      readonly reasonCode?: string;
    }
  | { readonly type: 'drain_started'; readonly atMs: number; readonly liveCalls: number; readonly limitMs: number }
  | { readonly type: 'signalling'; readonly atMs: number; readonly up: boolean; readonly detail: string };
