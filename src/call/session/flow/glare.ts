/** Re-INVITEs of ours that met one of the peer's (RFC 3261 §14.1): 491, and what to do about it. */
import type { Random } from '../../../kernel/index.js';
import type { ReinviteOutcome } from '../../../signal/port.js';

/** Ends that never stop to meet ours are left alone. */
export const MAX_RETRIES = 3;

export const isGlare = (outcome: ReinviteOutcome): boolean =>
  outcome.kind === 'response' && outcome.message.status === 491;

/**
 * How long to wait before the next one, in steps of 10 ms: 2.1 to 4 s for the one whose Call-ID it is, up to 2 s for
 * the other, so that the two do not meet again.
 * @param owner we made the Call-ID: on legs that we called
 */
export const glareDelayMs = (owner: boolean, random: Random): number =>
  10 * Math.round(owner ? 210 + 190 * random.float() : 200 * random.float());
