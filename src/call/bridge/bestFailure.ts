/** Which failure of several callees is the one to tell: RFC 3261 §16.7 step 6. Pure. */
import type { InviteFailure } from '../../signal/port.js';

/** Statuses of the 4xx that say how the request could succeed: preferred within their class. */
const TELLING: ReadonlySet<number> = new Set([401, 407, 415, 420, 484]);

/** The lower the better. A callee that was not reached says less than any that answered; a withdrawn one says nothing. */
const rank = (failure: InviteFailure): number => {
  if (failure.kind === 'cancelled') return 2000;
  if (failure.kind !== 'response') return 1000;
  const { status } = failure;
  if (status >= 600) return 0;
  // RFC 3261 §16.7 step 6: 503 of one is not the word of all of them. 487 only tells of our own CANCEL.
  if (status === 487) return 900;
  const hundreds = Math.floor(status / 100);
  return hundreds * 100 + (TELLING.has(status) ? 0 : 1);
};

/** @param failures at least one */
export const bestFailure = (failures: readonly InviteFailure[]): InviteFailure => {
  let best: InviteFailure = { kind: 'cancelled' };
  for (const failure of failures) if (rank(failure) < rank(best)) best = failure;
  return best;
};

/** RFC 3261 §21.6. */
export const decidesForAllCallees = (failure: InviteFailure): boolean =>
  failure.kind === 'response' && failure.status >= 600;
