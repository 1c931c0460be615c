/** The last steps of both directions: where the call goes, and whether it may start now. */
import type { DecideContext, Decision, Destination, LimitClaim, ReasonCode } from './decision.js';
import { dialString } from './dialFormat.js';
import type { Draft } from './draft.js';
import { orderTargets } from './order.js';
import { contactsOf } from './registeredTarget.js';
import { sayOrder } from './sentences.js';
import type { TrunkRecord } from './table.js';

/**
 * Where a trunk's numbers are called.
 * @param user E.164: `+` and digits, so that nothing a caller wrote reaches a URI unread
 */
export function destinationsOf(
  { targets, trunk }: Pick<TrunkRecord, 'targets' | 'trunk'>,
  user: string,
  context: DecideContext,
  draft: Draft,
): readonly Destination[] {
  const destinations: Destination[] = [];
  for (const target of orderTargets(targets, context.random)) {
    const { text, priority, weight } = target;
    if (target.registered !== undefined) {
      for (const contact of contactsOf(target, trunk, context, draft)) destinations.push(withSip(contact, trunk.sip));
      continue;
    }
    const uri = `sip:${dialString(user, target.dial)}@${text}`;
    destinations.push({ uri, gateway: text, priority, weight, sip: trunk.sip });
  }
  return settleDestinations(destinations, context, draft);
}

const withSip = (contact: Omit<Destination, 'sip'>, sip: Destination['sip']): Destination =>
  contact.beside === undefined
    ? { ...contact, sip }
    : { ...contact, sip, beside: contact.beside.map((other) => ({ ...other, sip })) };

/**
 * The order as it will be tried: those that answer before those that did not lately. None is left out, as the news of a
 * gateway may be old, and a call has nowhere else to go.
 */
export function settleDestinations(
  destinations: readonly Destination[],
  { health }: DecideContext,
  draft: Draft,
): readonly Destination[] {
  const isDown = ({ gateway }: Destination): boolean => health?.isDown(gateway) === true;
  if (destinations.length === 0) return destinations;
  const ailing = destinations.some(isDown);
  const ordered = ailing
    ? [
        ...destinations.filter((destination) => !isDown(destination)),
        ...destinations.filter(isDown).map((destination) => ({ ...destination, down: true as const })),
      ]
    : destinations;
  const down = ailing ? ordered.filter((destination) => destination.down).length : 0;
  draft.pass('destinations', { count: ordered.length, first: ordered[0]?.gateway ?? '', down }, sayOrder);
  return ordered;
}

/** A rate refuses for part of a second; the header's unit is the second. */
const RETRY_AFTER_SECONDS = 1;

/** Refuses with 503: to the sender this exchange is busy, another may not be (486 would speak for the callee). */
export function checkLimits(draft: Draft, context: DecideContext, claims: readonly LimitClaim[]): Decision {
  for (const claim of claims) {
    const code = exceeded(claim, context);
    if (code !== undefined) return rejectLimit(draft, claim, code);
  }
  draft.limits = claims;
  draft.pass('limits', { claims: claims.length }, () => claims.map(describeClaim).join('; '));
  return draft.accept();
}

export type LimitCode = Extract<ReasonCode, `${string}_concurrent_calls` | `${string}_calls_per_second`>;

const OWNERS = ['trunk', 'account', 'carrier'] as const;

/** The limit that leaves no room for one more call now; nothing is taken. */
export function exceeded(claim: LimitClaim, { limits, nowMs }: DecideContext): LimitCode | undefined {
  const { key, callsPerSecond, concurrentCalls } = claim;
  if (concurrentCalls !== undefined && limits.concurrent(key, concurrentCalls) >= concurrentCalls)
    return limitCode(key, 'concurrent_calls');
  if (callsPerSecond !== undefined && !limits.rateAllows(key, callsPerSecond, nowMs))
    return limitCode(key, 'calls_per_second');
  return undefined;
}

/** @param key of a claim: its owner stands before the colon */
export function limitCode(key: string, limit: 'concurrent_calls' | 'calls_per_second'): LimitCode {
  const owner = OWNERS.find((kind) => key.startsWith(kind)) ?? 'trunk';
  return `${owner}_${limit}`;
}

/** Refuses a call for a limit that `exceeded` has found. */
export function rejectLimit(draft: Draft, claim: LimitClaim, code: LimitCode): Decision {
  const { key, concurrentCalls = 0, callsPerSecond = 0 } = claim;
  if (code.endsWith('_concurrent_calls')) {
    draft.fail(
      'limits',
      { key, concurrentCalls },
      (d) => `${d.key} has ${d.concurrentCalls} calls up, as many as it may`,
    );
    return draft.reject(code);
  }
  draft.fail('limits', { key, callsPerSecond }, (d) => `${d.key} may start ${d.callsPerSecond} calls per second`);
  return draft.reject(code, { retryAfterSeconds: RETRY_AFTER_SECONDS });
}

function describeClaim({ key, callsPerSecond, concurrentCalls }: LimitClaim): string {
  if (callsPerSecond === undefined && concurrentCalls === undefined) return `${key} has no limits`;
  const parts: string[] = [];
  if (callsPerSecond !== undefined) parts.push(`${callsPerSecond} calls per second`);
  if (concurrentCalls !== undefined) parts.push(`${concurrentCalls} calls at a time`);
  return `${key} within ${parts.join(', ')}`;
}
