/** Attempts to reach the targets of a plan: one after the other or several at once, each with its own limit. */
import type { NodeRun } from '../flow/applet.js';
import type { DialOutcome } from '../flow/events.js';
import { type DialPlan, nameOfTarget } from './dialPlan.js';

export interface RingingAttempt {
  readonly dialId: string;
  readonly name: string;
}

/** How the search stands. */
export interface Ringing {
  readonly plan: DialPlan;
  /** The caller's own offer goes out: nothing of the call touches the media plane. */
  readonly direct: boolean;
  /** Id of the caller's music; empty: none. */
  readonly music: string;
  /** Index of the next target. */
  readonly next: number;
  readonly live: readonly RingingAttempt[];
  /** The most telling end so far. */
  readonly verdict: Verdict | undefined;
}

export interface Verdict {
  readonly outcome: 'busy' | 'no_answer' | 'failed' | 'cancelled';
  readonly sipStatus: number;
  readonly whom: string;
}

/** What says more of the callee stands before what says less; of equals, the later. */
const RANK: { readonly [O in Verdict['outcome']]: number } = { busy: 3, no_answer: 2, cancelled: 1, failed: 0 };

/** Q.850: no answer from the user; and, for those who lost against a faster one, call answered elsewhere. */
const NO_ANSWER = 19;
const ANSWERED_ELSEWHERE = 26;

/** Calls as many of the remaining targets as may ring at once. */
export function fill(run: NodeRun, ringing: Ringing): Ringing {
  const { plan, direct } = ringing;
  const live = [...ringing.live];
  let { next } = ringing;
  while (live.length < plan.parallel && next < plan.targets.length) {
    const target = plan.targets[next++];
    if (target === undefined) break;
    const dialId = run.newId('dial');
    live.push({ dialId, name: nameOfTarget(target) });
    run.emit({ type: 'dial', dialId, target, callerId: plan.callerId, media: direct ? 'direct' : 'anchored' });
    run.setTimer(`ring ${dialId}`, plan.ringMs);
  }
  return { ...ringing, live, next };
}

/** Whether nobody rings, and nobody is left to ring. */
export const isSpent = (ringing: Ringing): boolean =>
  ringing.live.length === 0 && ringing.next >= ringing.plan.targets.length;

/** Takes an attempt that is over out of the search. Unknown ids change nothing. */
export function conclude(
  run: NodeRun,
  ringing: Ringing,
  dialId: string,
  how: { outcome: DialOutcome; sipStatus: number },
): Ringing {
  const attempt = ringing.live.find((candidate) => candidate.dialId === dialId);
  if (attempt === undefined) return ringing;
  run.cancelTimer(`ring ${dialId}`);
  // A leg that says it was completed without ever having answered has failed.
  const outcome = how.outcome === 'completed' ? 'failed' : how.outcome;
  const verdict = { outcome, sipStatus: how.sipStatus, whom: attempt.name };
  const { verdict: best } = ringing;
  return {
    ...ringing,
    live: ringing.live.filter((candidate) => candidate !== attempt),
    verdict: best === undefined || RANK[outcome] >= RANK[best.outcome] ? verdict : best,
  };
}

/** An attempt that rang for too long. @returns its id; undefined when the event is none of its timers */
export function overdue(run: NodeRun, ringing: Ringing, isTimer: (name: string) => boolean): string | undefined {
  const attempt = ringing.live.find(({ dialId }) => isTimer(`ring ${dialId}`));
  if (attempt === undefined) return undefined;
  run.emit({ type: 'hangUpDial', dialId: attempt.dialId, cause: NO_ANSWER });
  return attempt.dialId;
}

/** One has answered: the others are called off. */
export function settleOn(run: NodeRun, ringing: Ringing, winner: RingingAttempt): Ringing {
  for (const { dialId } of ringing.live) {
    run.cancelTimer(`ring ${dialId}`);
    if (dialId !== winner.dialId) run.emit({ type: 'hangUpDial', dialId, cause: ANSWERED_ELSEWHERE });
  }
  return { ...ringing, live: [] };
}
