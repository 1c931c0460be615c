/** From the facts of a finished call to the words of its record. Pure. */
import type { Direction } from '../routing/decision.js';
import type { EndedBy, Outcome } from './cdr.js';

/**
 * SIP status to ITU-T Q.850 cause: RFC 3398 §8.2.6.1, without the pairs that follow their class. 3xx, 487, 488 and
 * 606 have no fixed cause there: a redirection that was not followed is 23, a call taken back is cleared normally,
 * and media that do not match are an incompatible destination.
 */
const Q850: { readonly [status: number]: number } = {
  400: 41,
  401: 21,
  402: 21,
  403: 21,
  404: 1,
  405: 63,
  406: 79,
  407: 21,
  408: 102,
  410: 22,
  415: 79,
  480: 18,
  481: 41,
  482: 25,
  483: 25,
  484: 28,
  485: 1,
  486: 17,
  487: 16,
  488: 88,
  500: 41,
  501: 79,
  502: 38,
  503: 41,
  504: 102,
  505: 127,
  513: 127,
  580: 47,
  600: 17,
  603: 21,
  604: 1,
  606: 88,
};

/** Q.850 cause (1-127) of a final SIP status. */
export const q850OfStatus = (status: number): number => {
  const listed = Q850[status];
  if (listed !== undefined) return listed;
  if (status < 300) return 16;
  if (status < 400) return 23;
  if (status >= 500 && status < 600) return 41;
  return status >= 600 ? 21 : 127;
};

/** What is known when a call is over. */
export interface FinalFacts {
  readonly answered: boolean;
  /** The caller withdrew before an answer. */
  readonly cancelled: boolean;
  /** False when the decision, or the node itself (draining), refused the call: nobody was asked. */
  readonly accepted: boolean;
  /** What the caller was told. */
  readonly sipStatus: number;
  /** `AttemptRecord.result` of the attempt that gave the last word; undefined when none was made. */
  readonly lastResult: string | undefined;
}

const BUSY = new Set([486, 600]);
const NO_ANSWER = new Set([408, 480, 487]);
const DECLINED = new Set([401, 403, 407, 433, 436, 437, 438, 603, 607, 608]);

/** The one outcome of a call. */
export const outcomeOf = (facts: FinalFacts): Outcome => {
  if (facts.answered) return 'answered';
  if (facts.cancelled) return 'cancelled';
  if (!facts.accepted) return 'rejected';
  // Our own 408 or 480 may stand for a destination that was never reached: the result knows, the status does not.
  if (facts.lastResult === 'ring_timeout') return 'no_answer';
  if (facts.lastResult !== undefined && facts.lastResult !== 'response') return 'failed';
  if (BUSY.has(facts.sipStatus)) return 'busy';
  if (NO_ANSWER.has(facts.sipStatus)) return 'no_answer';
  return DECLINED.has(facts.sipStatus) ? 'rejected' : 'failed';
};

/** Which leg brought the end about: the one that hung up, answered with a failure, or could not be reached. */
export interface EndingSide {
  readonly leg: 'a' | 'b' | 'tandem';
  readonly direction: Direction | undefined;
  /** A person's or a PBX's act (hang-up, busy, decline, no answer), not a fault on the way. */
  readonly deliberate: boolean;
}

/** The side to name in the record. Beyond the B leg of an outbound call stands the carrier, and it answers for faults. */
export const endedByOf = (side: EndingSide): EndedBy => {
  if (side.leg === 'tandem') return 'tandem';
  if (side.leg === 'a') return side.direction === 'inbound' && !side.deliberate ? 'carrier' : 'caller';
  return side.direction === 'outbound' && !side.deliberate ? 'carrier' : 'callee';
};
