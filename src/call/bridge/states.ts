/**
 * The bridge as a table: what each event means in each state. The actions are in `bridge.ts`; which may follow which is
 * here, and nowhere else.
 *
 * `a` is the caller's leg, `b` the callee's: the attempt that is current, later the one that answered. Events of
 * attempts that were given up do not get here.
 */

import type { LegEnd } from '../../signal/port.js';

export type BridgeState =
  /** Nobody has been called yet. */
  | 'deciding'
  /** An attempt is under way and has brought nothing, or only 100 Trying. */
  | 'attempting'
  /** The caller was told of progress without media. */
  | 'ringing'
  /** The caller hears the far end: this attempt is the last. */
  | 'early_media'
  /** The callee answered, our 2xx went to the caller, its ACK is awaited. */
  | 'answering'
  | 'established'
  /** An heir has the call: whatever happens is told to it. */
  | 'handed_over'
  /** The call is over and accounted for; the legs are confirming their end. */
  | 'releasing'
  /** Nothing of the call lives. */
  | 'ended';

export type BridgeEvent =
  | 'begin'
  | 'a_ack'
  | 'a_cancelled'
  | 'a_bye'
  /** Dialog, acknowledgement or engine lost. */
  | 'a_lost'
  /** The end that we asked for is confirmed. */
  | 'a_over'
  | 'a_request'
  | 'a_reinvite'
  | 'b_trying'
  | 'b_progress'
  | 'b_answered'
  | 'b_failed'
  | 'b_bye'
  | 'b_lost'
  | 'b_over'
  | 'b_request'
  | 'b_reinvite'
  /** Somebody else of the destination's trunk takes the call that rings there. */
  | 'picked_up'
  | 'silence'
  | 'ring_timeout'
  | 'duration_limit'
  | 'release_timeout'
  /** Tandem itself wants the call to end: drain, an operator. */
  | 'hang_up'
  /** An exception. */
  | 'fault';

/** The end of the caller's leg, as an event. */
export const A_END: { readonly [K in LegEnd['kind']]: BridgeEvent } = {
  remote_bye: 'a_bye',
  local_bye: 'a_over',
  cancelled: 'a_cancelled',
  rejected: 'a_over',
  ack_timeout: 'a_lost',
  dialog_lost: 'a_lost',
  engine_lost: 'a_lost',
};

/** The end of the callee's leg, as an event. */
export const B_END: { readonly [K in LegEnd['kind']]: BridgeEvent } = {
  remote_bye: 'b_bye',
  local_bye: 'b_over',
  cancelled: 'b_over',
  rejected: 'b_over',
  ack_timeout: 'b_lost',
  dialog_lost: 'b_lost',
  engine_lost: 'b_lost',
};

export type BridgeAction =
  | 'ignore'
  /** INVITE to the next destination; the final answer when there is none. */
  | 'tryNext'
  | 'noteTrying'
  | 'forwardProgress'
  | 'forwardAnswer'
  /** ACK and BYE to an answer that nobody wants any more. */
  | 'releaseAnswer'
  /** Next destination or final answer, by the failover policy. */
  | 'attemptFailed'
  /** Final answer, whatever the policy says. */
  | 'lastAttemptFailed'
  /** CANCEL, then as attemptFailed: nothing came back at all. */
  | 'giveUpSilent'
  /** CANCEL, then as attemptFailed: it rang for too long. */
  | 'giveUpRinging'
  /** CANCEL, then as lastAttemptFailed. */
  | 'giveUpLast'
  /** The caller is gone before an answer: CANCEL. */
  | 'withdraw'
  /** CANCEL to whoever rings; who takes the call is the callee. */
  | 'pickUp'
  | 'callerAcked'
  | 'callerGone'
  | 'calleeGone'
  /** Final answer of our own before an answer of the callee. */
  | 'refuse'
  /** BYE to both. */
  | 'hangUpBoth'
  | 'endAtLimit'
  /** BYE that had to wait for the caller's ACK. */
  | 'sendHeldBye'
  /** After a fault: release whatever has not been. */
  | 'finishRelease'
  /** Forget the legs that do not confirm their end. */
  | 'abandon'
  | 'relayRequest'
  | 'relayReinvite'
  /** 500 with Retry-After. */
  | 'defer'
  /** 491. */
  | 'glare'
  /** 481. */
  | 'noDialog'
  /** To whoever has the call now. */
  | 'toHeir';

export interface Cell {
  readonly action: BridgeAction;
  /** Entered before the action runs. Without it the action decides, or the state stays. */
  readonly to?: BridgeState;
}

export type BridgeTable = { readonly [S in BridgeState]: { readonly [E in BridgeEvent]: Cell } };

const NOTHING: Cell = { action: 'ignore' };
const INHERITED: Cell = { action: 'toHeir' };
const over = (action: BridgeAction): Cell => ({ action, to: 'releasing' });

const IGNORED: { readonly [E in BridgeEvent]: Cell } = {
  begin: NOTHING,
  a_ack: NOTHING,
  a_cancelled: NOTHING,
  a_bye: NOTHING,
  a_lost: NOTHING,
  a_over: NOTHING,
  a_request: { action: 'noDialog' },
  a_reinvite: { action: 'noDialog' },
  b_trying: NOTHING,
  b_progress: NOTHING,
  // RFC 3261 §13.2.2.4: a 2xx that comes too late is acknowledged and its dialog ended.
  b_answered: { action: 'releaseAnswer' },
  b_failed: NOTHING,
  b_bye: NOTHING,
  b_lost: NOTHING,
  b_over: NOTHING,
  b_request: { action: 'noDialog' },
  b_reinvite: { action: 'noDialog' },
  picked_up: NOTHING,
  silence: NOTHING,
  ring_timeout: NOTHING,
  duration_limit: NOTHING,
  release_timeout: NOTHING,
  hang_up: NOTHING,
  fault: NOTHING,
};

/** Common to all states before an answer. */
const UNANSWERED: { readonly [E in BridgeEvent]: Cell } = {
  ...IGNORED,
  // RFC 3261 §9.2; §15: a caller may also send BYE on an early dialog.
  a_cancelled: over('withdraw'),
  a_bye: over('withdraw'),
  a_lost: over('withdraw'),
  a_over: over('withdraw'),
  // RFC 3311 §5.2 and RFC 3261 §14.2: a request that cannot be served yet is put off, not refused for good.
  a_request: { action: 'defer' },
  b_request: { action: 'defer' },
  a_reinvite: { action: 'defer' },
  b_reinvite: { action: 'defer' },
  hang_up: over('refuse'),
  fault: over('refuse'),
};

const UNDER_WAY: { readonly [E in BridgeEvent]: Cell } = {
  ...UNANSWERED,
  b_progress: { action: 'forwardProgress' },
  b_answered: { action: 'forwardAnswer', to: 'answering' },
  b_failed: { action: 'attemptFailed' },
  // A leg that ends without having answered or failed: the adapter lost it.
  b_bye: { action: 'attemptFailed' },
  b_lost: { action: 'attemptFailed' },
  b_over: { action: 'attemptFailed' },
  picked_up: { action: 'pickUp' },
  ring_timeout: { action: 'giveUpRinging' },
};

/** Common to both states after the answer: whoever goes, the other is told (RFC 3261 §15). */
const ANSWERED: { readonly [E in BridgeEvent]: Cell } = {
  ...IGNORED,
  b_answered: NOTHING,
  a_cancelled: over('callerGone'),
  a_bye: over('callerGone'),
  a_lost: over('callerGone'),
  a_over: over('callerGone'),
  b_bye: over('calleeGone'),
  b_lost: over('calleeGone'),
  b_over: over('calleeGone'),
  b_failed: over('calleeGone'),
  a_request: { action: 'relayRequest' },
  b_request: { action: 'relayRequest' },
  duration_limit: over('endAtLimit'),
  hang_up: over('hangUpBoth'),
  fault: over('hangUpBoth'),
};

export const BRIDGE_TABLE: BridgeTable = {
  deciding: {
    ...UNANSWERED,
    begin: { action: 'tryNext', to: 'attempting' },
  },
  attempting: {
    ...UNDER_WAY,
    b_trying: { action: 'noteTrying' },
    silence: { action: 'giveUpSilent' },
  },
  ringing: {
    ...UNDER_WAY,
    // INFO and UPDATE live in early dialogs, too (RFC 6086 §4.2.2, RFC 3311 §5.1).
    a_request: { action: 'relayRequest' },
    b_request: { action: 'relayRequest' },
  },
  early_media: {
    ...UNDER_WAY,
    a_request: { action: 'relayRequest' },
    b_request: { action: 'relayRequest' },
    // The caller has heard this destination: another would be a different call.
    b_failed: { action: 'lastAttemptFailed' },
    b_bye: { action: 'lastAttemptFailed' },
    b_lost: { action: 'lastAttemptFailed' },
    b_over: { action: 'lastAttemptFailed' },
    ring_timeout: { action: 'giveUpLast' },
  },
  answering: {
    ...ANSWERED,
    a_ack: { action: 'callerAcked', to: 'established' },
    // RFC 3261 §14.1: no INVITE while another INVITE transaction of the dialog is open, on either leg.
    a_reinvite: { action: 'glare' },
    b_reinvite: { action: 'glare' },
  },
  established: {
    ...ANSWERED,
    a_reinvite: { action: 'relayReinvite' },
    b_reinvite: { action: 'relayReinvite' },
  },
  handed_over: {
    ...IGNORED,
    a_cancelled: INHERITED,
    a_bye: INHERITED,
    a_lost: INHERITED,
    a_over: INHERITED,
    a_request: INHERITED,
    a_reinvite: INHERITED,
    b_bye: INHERITED,
    b_lost: INHERITED,
    b_over: INHERITED,
    b_request: INHERITED,
    b_reinvite: INHERITED,
    duration_limit: INHERITED,
    release_timeout: INHERITED,
    hang_up: INHERITED,
    fault: INHERITED,
  },
  releasing: {
    ...IGNORED,
    // RFC 3261 §15: a callee must not send BYE before the ACK of its 2xx has come.
    a_ack: { action: 'sendHeldBye' },
    release_timeout: { action: 'abandon' },
    fault: { action: 'finishRelease' },
  },
  ended: IGNORED,
};
