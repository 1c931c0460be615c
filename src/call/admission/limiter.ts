/** Counts calls: how many are up, and how fast they start, on this node alone. */
import { NOT_LISTED, type Result, Roster, type RosterMember, err, ok } from '../../kernel/index.js';
import type { LimitClaim, LimitsView } from '../routing/decision.js';

/** Tokens at a point of time. A rate of n calls per second lets n start at once, then one each 1/n seconds. */
interface Bucket {
  tokens: number;
  atMs: number;
  rate: number;
}

/** What a call holds until it ends. */
export interface HeldLimits extends RosterMember {
  readonly claims: readonly LimitClaim[];
}

export interface LimitRefusal {
  readonly key: string;
  readonly limit: 'calls_per_second' | 'concurrent_calls';
  /** When a rate lets the next call start; 0 for a full counter. */
  readonly retryAfterMs: number;
}

/** Counts calls and holds their limits. Synchronous: a call never waits for its limits. */
export interface Limiter {
  /** The counters as they stand at a time of the monotonic clock. */
  at(nowMs: number): LimitsView;
  /** Takes all of a call's limits, or none of them. */
  claim(claims: readonly LimitClaim[], nowMs: number): Result<HeldLimits, LimitRefusal>;
  /** Ends a call's hold on its counters. A second release of the same does nothing. */
  release(held: HeldLimits, nowMs?: number): void;
  dump(): { readonly calls: number; readonly concurrent: { readonly [key: string]: number }; readonly rates: number };
}

/** Buckets kept before full ones are looked for and dropped. */
const MIN_SWEEP = 1024;

/** Rounding of token sums must not cost a call its turn. */
const ALMOST_ONE = 1 - 1e-9;

export class CallLimiter implements Limiter, LimitsView {
  readonly #buckets = new Map<string, Bucket>();
  readonly #concurrent = new Map<string, number>();
  readonly #held = new Roster<HeldLimits>();
  #sweepAt = MIN_SWEEP;

  at(): LimitsView {
    return this;
  }

  concurrent(key: string): number {
    return this.#concurrent.get(key) ?? 0;
  }

  rateAllows(key: string, callsPerSecond: number, nowMs: number): boolean {
    return tokensAt(this.#buckets.get(key), callsPerSecond, nowMs) >= ALMOST_ONE;
  }

  /**
   * Takes all of a call's limits, or none of them.
   * @param nowMs monotonic
   * @returns what to give back with `release` when the call ends
   */
  claim(claims: readonly LimitClaim[], nowMs: number): Result<HeldLimits, LimitRefusal> {
    for (let i = 0; i < claims.length; i++) {
      const refusal = this.#take(claims[i] as LimitClaim, nowMs);
      if (refusal === undefined) continue;
      for (let taken = 0; taken < i; taken++) this.#giveBack(claims[taken] as LimitClaim, true);
      return err(refusal);
    }
    const held: HeldLimits = { claims, place: NOT_LISTED };
    this.#held.add(held);
    if (this.#buckets.size >= this.#sweepAt) this.#sweep(nowMs);
    return ok(held);
  }

  /** Ends a call's hold on its counters. A second release of the same does nothing. */
  release(held: HeldLimits): void {
    if (!this.#held.delete(held)) return;
    for (const claim of held.claims) this.#giveBack(claim, false);
  }

  dump(): { readonly calls: number; readonly concurrent: { readonly [key: string]: number }; readonly rates: number } {
    return { calls: this.#held.size, concurrent: Object.fromEntries(this.#concurrent), rates: this.#buckets.size };
  }

  #take({ key, callsPerSecond, concurrentCalls }: LimitClaim, nowMs: number): LimitRefusal | undefined {
    const up = this.concurrent(key);
    if (concurrentCalls !== undefined && up >= concurrentCalls) {
      return { key, limit: 'concurrent_calls', retryAfterMs: 0 };
    }
    if (callsPerSecond !== undefined) {
      const bucket = this.#buckets.get(key);
      const tokens = tokensAt(bucket, callsPerSecond, nowMs);
      if (tokens < ALMOST_ONE) {
        const retryAfterMs = callsPerSecond > 0 ? Math.ceil(((1 - tokens) * 1000) / callsPerSecond) : 1000;
        return { key, limit: 'calls_per_second', retryAfterMs };
      }
      const left = Math.max(0, tokens - 1);
      const atMs = bucket === undefined ? nowMs : Math.max(bucket.atMs, nowMs);
      this.#buckets.set(key, { tokens: left, atMs, rate: callsPerSecond });
    }
    this.#concurrent.set(key, up + 1);
    return undefined;
  }

  #giveBack({ key }: LimitClaim, rateToo: boolean): void {
    const up = this.concurrent(key) - 1;
    if (up > 0) this.#concurrent.set(key, up);
    else this.#concurrent.delete(key);
    const bucket = rateToo ? this.#buckets.get(key) : undefined;
    if (bucket !== undefined) bucket.tokens = Math.min(capacity(bucket.rate), bucket.tokens + 1);
  }

  /** A full bucket says what no bucket says. Runs at doubling sizes, so that its cost per call is constant. */
  #sweep(nowMs: number): void {
    for (const [key, bucket] of this.#buckets) {
      if (tokensAt(bucket, bucket.rate, nowMs) >= capacity(bucket.rate)) this.#buckets.delete(key);
    }
    this.#sweepAt = Math.max(MIN_SWEEP, this.#buckets.size * 2);
  }
}

/** Room for one second's calls, and for one call where the rate is below one. */
function capacity(callsPerSecond: number): number {
  return callsPerSecond > 0 ? Math.max(1, callsPerSecond) : 0;
}

function tokensAt(bucket: Bucket | undefined, callsPerSecond: number, nowMs: number): number {
  const full = capacity(callsPerSecond);
  if (bucket === undefined) return full;
  const elapsedMs = Math.max(0, nowMs - bucket.atMs);
  return Math.min(full, bucket.tokens + (elapsedMs * callsPerSecond) / 1000);
}
