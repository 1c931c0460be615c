/** The last steps of both directions: where the call goes, and whether it may start now. */
import type { DecideContext, Decision, Destination, LimitClaim, ReasonCode } from './decision.js';
import type { Draft } from './draft.js';
import { orderTargets } from './order.js';
import type { Target } from './table.js';

/** @param user E.164: `+` and digits, so that nothing a caller wrote reaches a URI unread */
export function destinationsOf(
  targets: readonly Target[],
  user: string,
  random: () => number,
  draft: Draft,
): Destination[] {
  const destinations: Destination[] = [];
  for (const target of orderTargets(targets, random)) {
    const { text, priority, weight } = target;
    destinations.push({ uri: `sip:${user}@${text}`, gateway: text, priority, weight });
  }
  draft.pass(
    'destinations',
    { count: destinations.length, first: destinations[0]?.gateway ?? '' },
    (d) => `${d.count} in order, first ${d.first}`,
  );
  return destinations;
}

/** A rate refuses for part of a second; the header's unit is the second. */
const RETRY_AFTER_SECONDS = 1;

/** Refuses with 503: to the sender this exchange is busy, another may not be (486 would speak for the callee). */
export function checkLimits(draft: Draft, context: DecideContext, claims: readonly LimitClaim[]): Decision {
  for (const claim of claims) {
    const { key, callsPerSecond, concurrentCalls } = claim;
    const owner = key.startsWith('trunk:') ? 'trunk' : 'carrier';
    if (concurrentCalls !== undefined && context.limits.concurrent(key, concurrentCalls) >= concurrentCalls) {
      draft.fail(
        'limits',
        { key, concurrentCalls },
        (d) => `${d.key} has ${d.concurrentCalls} calls up, as many as it may`,
      );
      return draft.reject(`${owner}_concurrent_calls` satisfies ReasonCode);
    }
    if (callsPerSecond !== undefined && !context.limits.rateAllows(key, callsPerSecond, context.nowMs)) {
      draft.fail('limits', { key, callsPerSecond }, (d) => `${d.key} may start ${d.callsPerSecond} calls per second`);
      return draft.reject(`${owner}_calls_per_second` satisfies ReasonCode, { retryAfterSeconds: RETRY_AFTER_SECONDS });
    }
  }
  draft.limits = claims;
  draft.pass('limits', { claims: claims.length }, () => claims.map(describeClaim).join('; '));
  return draft.accept();
}

function describeClaim({ key, callsPerSecond, concurrentCalls }: LimitClaim): string {
  if (callsPerSecond === undefined && concurrentCalls === undefined) return `${key} has no limits`;
  const parts: string[] = [];
  if (callsPerSecond !== undefined) parts.push(`${callsPerSecond} calls per second`);
  if (concurrentCalls !== undefined) parts.push(`${concurrentCalls} calls at a time`);
  return `${key} within ${parts.join(', ')}`;
}
