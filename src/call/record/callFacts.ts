/** What is known of a call while it is up, and the record that becomes of it. Pure. */
import type { Decision, Priced } from '../routing/decision.js';
import type { AttemptRecord, CallRecord } from './cdr.js';
import type { DialRecord, OpenDial } from './dialRecord.js';
import { isoTime } from './isoTime.js';
import { endedByOf, outcomeOf, q850OfStatus } from './outcome.js';
import { chargeOf } from './rating.js';
import type { TransferRecord } from './transferRecord.js';

/** A point in time on both clocks. */
export interface Moment {
  /** Monotonic, of this process. */
  readonly ms: number;
  readonly wallMs: number;
}

/** Known from a call's INVITE and decision on. */
export interface CallBeginning {
  readonly callId: string;
  readonly nodeId: string;
  readonly source: string;
  readonly callerReceived: string;
  readonly calledReceived: string;
  /** Tandem called whoever is on the A leg. */
  readonly placed: boolean;
  readonly started: Moment;
}

/** What becomes of a call as it goes on. */
export interface CallCourseFacts {
  /** Of a call that Tandem places, known once somebody was called. */
  aLegCallId: string;
  bLegCallId: string | null;
  destination: string | null;
  /** Of the gateway tried last. */
  carrierId: string | undefined;
  ringing: Moment | undefined;
  answered: Moment | undefined;
  priced: Priced | undefined;
  /** Replaced, not grown: an array that grows has room for sixteen, for as long as the call lasts. */
  attempts: readonly AttemptRecord[];
  transfers: readonly TransferRecord[] | undefined;
  /** Dials of its flow that are over; replaced likewise. */
  dials: readonly DialRecord[] | undefined;
}

/** A call while it is up. */
export interface CallFacts extends CallBeginning, CallCourseFacts {
  /** Undefined until there is one. */
  decision: Decision | undefined;
  /** Dials of its flow that are up. */
  openDials: readonly OpenDial[] | undefined;
}

/** There is something to record. */
export interface DecidedCall extends CallFacts {
  decision: Decision;
}

export const isDecided = (call: CallFacts): call is DecidedCall => call.decision !== undefined;

/** How a call ended, as far as its record says it. */
export interface RecordedEnding {
  /** Whose act it was. */
  readonly side: 'a' | 'b' | 'tandem';
  /** What the caller was told; 200 once a 2xx was sent. */
  readonly sipStatus: number;
  readonly reasonCode: string;
  /** Cause that a peer named in a Reason header. */
  readonly q850: number | undefined;
  /** The caller's doing before an answer reached it. */
  readonly cancelled: boolean;
  /** The connection was made: the caller got a 2xx, and did not leave it without ACK. */
  readonly answered: boolean;
  /** A person's or a PBX's act, not a fault on the way. */
  readonly deliberate: boolean;
  /** `result` of the attempt that had the last word. */
  readonly lastResult: string | undefined;
}

/** Of a call whose process died. */
export const lostWithItsNode = (answered: boolean): RecordedEnding => ({
  side: 'tandem',
  sipStatus: answered ? 200 : 500,
  reasonCode: 'node_lost',
  q850: 41,
  cancelled: false,
  answered,
  deliberate: false,
  lastResult: answered ? 'answered' : undefined,
});

/** Milliseconds from one moment to another, none where the first never came. */
export const msBetween = (from: Moment | undefined, to: Moment): number =>
  from === undefined ? 0 : Math.max(0, Math.round(to.ms - from.ms));

const iso = (moment: Moment | undefined): string | null => (moment === undefined ? null : isoTime(moment.wallMs));

/** Ends by which a flow refuses a caller whom it never answered. */
const REFUSALS: ReadonlySet<string> = new Set(['flow_reject', 'flow_hangup', 'flow_ended']);

const outcomeOfCall = ({ decision, destination }: DecidedCall, ending: RecordedEnding): CallRecord['outcome'] => {
  const { answered, cancelled, sipStatus, lastResult, reasonCode } = ending;
  // Refused means that nobody was asked; an error of ours is a failure all the same, and so is that of a flow.
  const asked = destination !== null || (decision.mode === 'flow' && !REFUSALS.has(reasonCode));
  const accepted = reasonCode === 'internal_error' || (decision.accepted && asked);
  return outcomeOf({ answered, cancelled, accepted, sipStatus, lastResult });
};

const q850Of = ({ q850, answered, sipStatus }: RecordedEnding): number =>
  q850 ?? (answered ? 16 : q850OfStatus(sipStatus));

/** The record of a call that ended so at that time. */
export const recordOf = (call: DecidedCall, ending: RecordedEnding, ended: Moment): CallRecord => {
  const { decision, started, ringing, answered, priced, transfers, dials } = call;
  const { direction } = decision;
  const { side } = ending;
  const talkMs = msBetween(answered, ended);
  const rated = ending.answered && direction !== undefined && priced !== undefined;
  const record: CallRecord = {
    callId: call.callId,
    nodeId: call.nodeId,
    aLegCallId: call.aLegCallId,
    bLegCallId: call.bLegCallId,
    source: call.source,
    destination: call.destination,
    direction: direction ?? null,
    mode: decision.mode ?? null,
    accountSid: decision.accountSid ?? null,
    trunkSid: decision.trunkSid ?? null,
    carrierId: call.carrierId ?? decision.carrierId ?? null,
    callerReceived: call.callerReceived,
    callerE164: decision.callerNumber.e164 ?? null,
    callerSent: decision.callerNumber.sent ?? null,
    calledReceived: call.calledReceived,
    calledE164: decision.calledNumber.e164 ?? null,
    revision: decision.revision,
    startedAt: isoTime(started.wallMs),
    ringingAt: iso(ringing),
    answeredAt: iso(answered),
    endedAt: isoTime(ended.wallMs),
    setupMs: msBetween(started, answered ?? ended),
    ringMs: msBetween(ringing, answered ?? ended),
    talkMs,
    outcome: outcomeOfCall(call, ending),
    endedBy: endedByOf({
      leg: call.placed && side === 'a' ? 'b' : side,
      direction,
      deliberate: ending.deliberate,
    }),
    q850: q850Of(ending),
    sipStatus: ending.sipStatus,
    reasonCode: ending.reasonCode,
    attempts: call.attempts,
    charge: rated ? chargeOf(priced, direction, talkMs) : null,
    decision,
  };
  return transfers === undefined && dials === undefined ? record : withLists(record, transfers, dials);
};

/** The decision stays last, after whatever has cost something: most records have neither list. */
const withLists = (
  { decision, ...rest }: CallRecord,
  transfers: readonly TransferRecord[] | undefined,
  dials: readonly DialRecord[] | undefined,
): CallRecord => ({
  ...rest,
  ...(transfers === undefined ? {} : { transfers }),
  ...(dials === undefined ? {} : { dials }),
  decision,
});
