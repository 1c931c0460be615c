/**
 * Overload control: how many new calls a second a node takes while more are offered than it can serve. Without it a
 * saturated SIP server collapses: what it cannot serve in time is sent again, and it works for calls that have given up
 * (RFC 5390 §3, RFC 6357 §2). The controller measures the processor (RFC 6357 §5.1: occupancy), not the length of any
 * queue: the queue that matters is in the kernel, where nobody sees it.
 *
 * Rates, not shares: a share that was right a moment ago lets a tenfold burst in tenfold.
 */

export interface OverloadSettings {
  /** How busy the thread should be at most, 0 to 1. */
  readonly target: number;
}

/** What was seen since the sample before. */
export interface LoadSample {
  readonly periodMs: number;
  /** 0 to 1. */
  readonly busy: number;
  /** New calls that asked to be let in, and those that were. */
  readonly offered: number;
  readonly admitted: number;
}

export interface OverloadState {
  /** New calls a second that are let in; Infinity: all. */
  readonly limit: number;
  /** Smoothed. */
  readonly busy: number;
  readonly admittedPerS: number;
  readonly offeredPerS: number;
  /** Calls offered a second, over some two seconds and over some ten. */
  readonly recentPerS: number;
  readonly usualPerS: number;
  /** Calls let in since the start, until they are enough for the thread to be at its speed. */
  readonly served: number;
  /** Samples in a row that were saturated, while nothing is limited; without a reason to limit, while something is. */
  readonly streak: number;
}

export const NO_OVERLOAD: OverloadState = {
  limit: Infinity,
  busy: 0,
  admittedPerS: 0,
  offeredPerS: 0,
  recentPerS: 0,
  usualPerS: 0,
  served: 0,
  streak: 0,
};

/** Where fewer calls come in than this a second, it is something else that makes the node busy. */
const LEAST_PER_S = 50;
/** Usual length of a sample, in milliseconds. */
const SAMPLE_MS = 100;
/** Weight of the newest sample of that length. */
const QUICK = 0.5;
const SLOW = 0.3;
/** Of the way from the target to a full processor: above it the limit falls. */
const SATURATED = 0.7;
const FALL = 0.88;
/** What the limit gains, of what the processor has left below the target; at most so much a sample. */
const RISE = 0.3;
const STEEPEST = 0.06;
/** What the limit begins with, of the rate that was being served when the processor was full. */
const FIRST = 0.85;
/** So many saturated samples in a row begin the control: a collection of garbage or a new routing table makes fewer. */
const HOT = 6;
/**
 * So many where no more calls are offered than usual. A thread that stood still for 300 ms, as the host or the disk may
 * make it, is saturated for a second until it has caught up; one that stood still for a second, with as much sent again, for
 * several: refusing calls that can be served would only cost them. Where it is no pause but a machine that has become too
 * slow, it is so by little, and waiting costs little.
 */
const HOT_AS_USUAL = 50;
/**
 * So many while the process is new: until its code has been compiled a call costs three times as much, and a node that has
 * just started would refuse calls which it can serve a few seconds later.
 */
const HOT_NEW = 30;
const NEW_CALLS = 3000;
const RECENT = 0.05;
const USUAL = 0.01;
const SURGE = 1.25;
/** So many calm samples end it. */
const CALM = 10;

const smoothed = (before: number, now: number, weight: number): number => before + weight * (now - before);

/** Of a sample that took so many times as long as usual: after a pause it counts for all of the pause. */
const weightFor = (weight: number, times: number): number => (times === 1 ? weight : 1 - (1 - weight) ** times);

/** One sample's work. */
export const nextOverload = (
  state: OverloadState,
  { periodMs, busy: seen, offered, admitted }: LoadSample,
  { target }: OverloadSettings,
): OverloadState => {
  const busy = smoothed(state.busy, seen, QUICK);
  const perS = 1000 / Math.max(1, periodMs);
  const times = Math.max(1, periodMs / SAMPLE_MS);
  const admittedPerS = smoothed(state.admittedPerS, admitted * perS, SLOW);
  const offeredPerS = smoothed(state.offeredPerS, offered * perS, SLOW);
  // What comes after a pause is what was offered in it, and no surge.
  const recentPerS = smoothed(state.recentPerS, offered * perS, weightFor(RECENT, times));
  const usualPerS = smoothed(state.usualPerS, offered * perS, weightFor(USUAL, times));
  const served = Math.min(NEW_CALLS, state.served + admitted);
  const next = { ...state, busy, admittedPerS, offeredPerS, recentPerS, usualPerS, served };
  const saturated = target + SATURATED * (1 - target);
  if (state.limit === Infinity) {
    const streak = seen < saturated ? 0 : state.streak + 1;
    const hot = served < NEW_CALLS ? HOT_NEW : recentPerS > SURGE * usualPerS ? HOT : HOT_AS_USUAL;
    if (streak < hot || admittedPerS < LEAST_PER_S) return { ...next, streak };
    return { ...next, limit: Math.max(LEAST_PER_S, FIRST * admittedPerS), streak: 0 };
  }
  // Both the smoothed and the last sample: what the limit has mended already must not lower it again.
  if (busy >= saturated && seen >= saturated) {
    return { ...next, limit: Math.max(LEAST_PER_S, FALL * state.limit), streak: 0 };
  }
  if (busy >= target) return { ...next, streak: 0 };
  const streak = offeredPerS < state.limit ? state.streak + 1 : 0;
  if (streak >= CALM) return { ...next, limit: Infinity, streak: 0 };
  // Gently: the load of a call that is let in comes later than the call.
  return { ...next, limit: state.limit * (1 + Math.min(STEEPEST, RISE * (target - busy))), streak };
};
