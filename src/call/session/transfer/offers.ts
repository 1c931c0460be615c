/** Descriptions that are offered in a transfer, and what their outcomes say. */
import type { Content, ReinviteOutcome } from '../../../signal/port.js';
import { reasonOf } from '../../bridge/dialogRelay.js';
import { reasonCodeOf } from '../../bridge/ending.js';
import type { DialEnd } from '../flow/dial.js';
import type { Conversation } from './conversation.js';
import type { Party } from './party.js';
import type { TransferCode } from './reasons.js';

const SDP = 'application/sdp';

/** Why a transfer came to nothing: what its sender is told, and the record. */
export interface Failure {
  readonly status: number;
  readonly code: TransferCode;
  readonly reason?: string | undefined;
}

export const MEDIA_REFUSED: Failure = { status: 488, code: 'media_not_acceptable' };
export const TARGET_GONE: Failure = { status: 480, code: 'target_gone' };

export const sdpOf = (description: string): Content => ({
  contentType: SDP,
  body: Buffer.from(description, 'latin1'),
});

/** A leg's latest description: what was kept of it, else the offer of its INVITE. */
export const descriptionOf = ({ relay }: Conversation, { leg, seat, call }: Party): string | undefined => {
  const kept = relay.described?.of(leg);
  if (kept !== undefined || seat.side === 'b' || call.aLeg.callId !== leg.callId) return kept;
  const { body } = call.aLeg.message;
  return body.length === 0 ? undefined : body.toString('latin1');
};

/** RFC 3261 §14.1: 491, or an INVITE of the leg that is still open here. */
export const isBusy = (outcome: ReinviteOutcome): boolean =>
  outcome.kind === 'transport_error' || (outcome.kind === 'response' && outcome.message.status === 491);

/** Every 2xx is acknowledged, wanted or not. */
export const settleUnwanted = (outcome: ReinviteOutcome): void => {
  if (outcome.kind === 'answered') outcome.ack();
};

export const failureOf = ({ sipStatus, failure }: DialEnd): Failure => ({
  status: sipStatus > 0 ? sipStatus : 503,
  code: failure === undefined ? 'target_gone' : reasonCodeOf(failure),
  reason: failure?.kind === 'response' && failure.status === sipStatus ? reasonOf(failure.message) : undefined,
});
