/** Why a call is over, in the words of its record; and what the surviving leg is told of it. */
import type { HeaderEntry, LegEnd } from '../../signal/port.js';
import type { RecordedEnding } from '../record/callFacts.js';
import type { ReasonCode } from '../routing/decision.js';
import type { EndingCode } from './endingReasons.js';
import type { AttemptFailure } from './failover.js';
import type { HeaderPolicy } from './headerPolicy.js';
import { q850Of, reasonHeader } from './reason.js';

/** With the reasons of a call that Tandem saw end. */
export interface CallEnding extends RecordedEnding {
  readonly reasonCode: EndingCode | ReasonCode;
}

/** An end that Tandem itself decides on. */
export interface HangUpReason {
  /** Status for a caller who has no answer yet. */
  readonly sipStatus: number;
  readonly reasonCode: EndingCode;
  readonly q850: number;
  readonly retryAfterS?: number;
}

export const INTERNAL_ERROR: HangUpReason = { sipStatus: 500, reasonCode: 'internal_error', q850: 41 };
export const SPEND_LIMIT: HangUpReason = { sipStatus: 403, reasonCode: 'spend_cap_reached', q850: 21 };
export const ENDED_BY_API: HangUpReason = { sipStatus: 480, reasonCode: 'ended_by_api', q850: 16 };
/** RFC 4028 §10. */
export const SESSION_EXPIRED: HangUpReason = { sipStatus: 408, reasonCode: 'session_expired', q850: 102 };
export const DURATION_LIMIT: HangUpReason = { sipStatus: 408, reasonCode: 'max_duration', q850: 102 };

/** Reason code of a lost or ended leg. */
const REASON_OF_END: Record<LegEnd['kind'], EndingCode> = {
  remote_bye: 'normal_clearing',
  local_bye: 'normal_clearing',
  cancelled: 'caller_cancelled',
  rejected: 'leg_lost',
  ack_timeout: 'ack_timeout',
  dialog_lost: 'leg_lost',
  engine_lost: 'signalling_lost',
};

/** Cause of ends that no peer explains. */
const Q850_OF_END: { readonly [K in LegEnd['kind']]?: number } = { ack_timeout: 102, dialog_lost: 41, engine_lost: 41 };

/** The ending that the end of one leg of an answered call, or of the caller's leg before, makes. */
export const endingOf = (side: 'a' | 'b', end: LegEnd, answered: boolean): CallEnding => {
  const message = end.kind === 'remote_bye' || end.kind === 'cancelled' ? end.message : undefined;
  const q850 = message === undefined ? Q850_OF_END[end.kind] : q850Of(message.headers());
  // A 2xx that was never acknowledged made no session; a CANCEL that the adapter took for good means none was sent.
  const cancelled = end.kind === 'cancelled' || (!answered && end.kind === 'remote_bye');
  return {
    side: end.kind === 'engine_lost' ? 'tandem' : side,
    sipStatus: cancelled ? 487 : answered ? 200 : 500,
    reasonCode: cancelled ? 'caller_cancelled' : REASON_OF_END[end.kind],
    q850,
    cancelled,
    answered: answered && !cancelled && end.kind !== 'ack_timeout',
    deliberate: cancelled || end.kind === 'remote_bye',
    lastResult: answered ? 'answered' : undefined,
  };
};

/** The ending of a call that no destination took. */
export const endingOfFailure = (failure: AttemptFailure | undefined, sipStatus: number, q850?: number): CallEnding => ({
  side: failure === undefined || failure.kind === 'limit' ? 'tandem' : 'b',
  sipStatus,
  reasonCode: reasonCodeOf(failure),
  q850,
  cancelled: false,
  answered: false,
  // 5xx is a machine's word, and so is 408: it stands for a transaction that nobody answered.
  deliberate:
    failure?.kind === 'ring_timeout' ||
    (failure?.kind === 'response' && failure.status !== 408 && Math.floor(failure.status / 100) !== 5),
  lastResult: failure === undefined ? undefined : failure.kind,
});

/** Seconds after which there may be room for a call that a carrier's limit kept out. */
const LIMIT_RETRY_S = 1;

/** Of a final answer of our own making. RFC 3261 §21.5.4: a 503 without Retry-After may take us out of service. */
export const refusalHeaders = (
  sipStatus: number,
  failure: AttemptFailure | undefined,
  { reasonCode }: CallEnding,
): HeaderEntry[] => {
  const headers: HeaderEntry[] = [reasonHeader('SIP', sipStatus, reasonCode)];
  if (failure?.kind === 'limit') headers.push(['Retry-After', String(LIMIT_RETRY_S)]);
  return headers;
};

/** The ending that Tandem decides on. */
export const endingOfHangUp = (reason: HangUpReason, answered: boolean): CallEnding => ({
  side: 'tandem',
  sipStatus: answered ? 200 : reason.sipStatus,
  reasonCode: reason.reasonCode,
  q850: reason.q850,
  cancelled: false,
  answered,
  deliberate: false,
  lastResult: answered ? 'answered' : undefined,
});

/** What the other leg is told: the Reason that came, or one of ours where the leg died without a word. */
export const releaseHeaders = (end: LegEnd, policy: HeaderPolicy): readonly HeaderEntry[] => {
  switch (end.kind) {
    case 'remote_bye':
      return policy.relay('release', end.message.headers());
    case 'cancelled':
      return end.message === undefined ? [] : policy.relay('release', end.message.headers());
    case 'ack_timeout':
      return [reasonHeader('SIP', 408, 'ACK timeout')];
    case 'dialog_lost':
      return [reasonHeader('SIP', end.status ?? 481, 'Other leg lost')];
    case 'engine_lost':
      return [reasonHeader('SIP', 503, 'Signalling lost')];
    default:
      return [];
  }
};

/** The ending of a call that was refused before anybody was called. */
export const endingOfRefusal = (sipStatus: number, reasonCode: ReasonCode): CallEnding => ({
  side: 'tandem',
  sipStatus,
  reasonCode,
  q850: undefined,
  cancelled: false,
  answered: false,
  deliberate: true,
  lastResult: undefined,
});

/** What legs are told of an end that Tandem decides on. */
export const hangUpHeaders = (reason: HangUpReason): HeaderEntry[] => {
  const headers = [reasonHeader('SIP', reason.sipStatus, reason.reasonCode), reasonHeader('Q.850', reason.q850)];
  if (reason.retryAfterS !== undefined) headers.push(['Retry-After', String(reason.retryAfterS)]);
  return headers;
};

/** Reason code for an attempt that failed for good. */
export const reasonCodeOf = (failure: AttemptFailure | undefined): EndingCode | ReasonCode => {
  if (failure === undefined) return 'trunk_has_no_destination';
  switch (failure.kind) {
    case 'response':
      return REASON_OF_STATUS[failure.status] ?? REASON_OF_CLASS[Math.floor(failure.status / 100)] ?? 'destination_5xx';
    case 'silence':
    case 'timeout':
      return 'destination_silent';
    case 'ring_timeout':
      return 'no_answer';
    case 'transport_error':
      return 'destination_unreachable';
    case 'unresolved_host':
      return 'destination_unresolved';
    case 'invalid_request':
      return 'destination_invalid';
    case 'limit':
      return failure.code;
    default:
      return 'attempt_cancelled';
  }
};

const REASON_OF_CLASS: { readonly [digit: number]: EndingCode } = {
  3: 'destination_3xx',
  4: 'destination_4xx',
  6: 'destination_6xx',
};

const REASON_OF_STATUS: { readonly [status: number]: EndingCode } = {
  401: 'credentials_refused',
  407: 'credentials_refused',
  404: 'callee_unknown',
  408: 'no_answer',
  410: 'callee_unknown',
  480: 'callee_unavailable',
  484: 'number_incomplete',
  486: 'callee_busy',
  488: 'media_not_acceptable',
  600: 'callee_busy',
  603: 'callee_declined',
  604: 'callee_unknown',
  606: 'media_not_acceptable',
};
