/** How many requests an account may make. */
import type { Clock } from '../../kernel/index.js';

export const REQUESTS_PER_MINUTE = 200;
const WINDOW_MS = 60_000;
/** Accounts that are remembered before those without a recent request are forgotten. */
const SWEEP_FROM = 256;

/** Times of an account's last requests, as a ring: `next` is the oldest. */
interface Recent {
  readonly times: Float64Array;
  next: number;
  lastMs: number;
}

/**
 * At most so many requests of one account in any 60 seconds: exact, by the times of the last ones. Requests that are
 * refused do not count, so that a client that keeps trying gets through again.
 */
export class RequestLimiter {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #recent = new Map<string, Recent>();
  #sweepAt = SWEEP_FROM;

  constructor(clock: Clock, limit = REQUESTS_PER_MINUTE) {
    this.#clock = clock;
    this.#limit = limit;
  }

  get limit(): number {
    return this.#limit;
  }

  /** @returns 0 when the request may go on, else the whole seconds after which one may. */
  take(accountSid: string): number {
    const now = this.#clock.nowMs();
    const recent = this.#recent.get(accountSid) ?? this.#begin(accountSid, now);
    const freeMs = (recent.times[recent.next] as number) + WINDOW_MS;
    if (freeMs > now) return Math.max(1, Math.ceil((freeMs - now) / 1000));
    recent.times[recent.next] = now;
    recent.next = (recent.next + 1) % this.#limit;
    recent.lastMs = now;
    return 0;
  }

  #begin(accountSid: string, now: number): Recent {
    if (this.#recent.size >= this.#sweepAt) this.#sweep(now);
    const recent = { times: new Float64Array(this.#limit).fill(-Infinity), next: 0, lastMs: now };
    this.#recent.set(accountSid, recent);
    return recent;
  }

  #sweep(now: number): void {
    for (const [sid, { lastMs }] of this.#recent) if (lastMs + WINDOW_MS <= now) this.#recent.delete(sid);
    this.#sweepAt = Math.max(SWEEP_FROM, this.#recent.size * 2);
  }
}
