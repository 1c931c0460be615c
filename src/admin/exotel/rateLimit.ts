/** How many requests an account may make. */
import type { FastifyReply } from 'fastify';
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

  /** What is left to an account, for the fields of an answer. */
  state(accountSid: string): { readonly remaining: number; readonly resetSeconds: number } {
    const now = this.#clock.nowMs();
    const times = this.#recent.get(accountSid)?.times ?? [];
    let used = 0;
    let oldest = Infinity;
    for (const time of times) {
      if (time + WINDOW_MS <= now) continue;
      used++;
      oldest = Math.min(oldest, time);
    }
    const resetSeconds = used === 0 ? 0 : Math.ceil((oldest + WINDOW_MS - now) / 1000);
    return { remaining: this.#limit - used, resetSeconds };
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

/** Counts a request and tells the client how it stands. @returns seconds to wait; 0: the request may go on */
export const limitRate = (limiter: RequestLimiter, accountSid: string, reply: FastifyReply, clock: Clock): number => {
  const waitSeconds = limiter.take(accountSid);
  const { remaining, resetSeconds } = limiter.state(accountSid);
  reply.header('x-ratelimit-limit', limiter.limit);
  reply.header('x-ratelimit-remaining', remaining);
  reply.header('x-ratelimit-reset', Math.floor(clock.wallMs() / 1000) + resetSeconds);
  if (waitSeconds > 0) reply.header('retry-after', waitSeconds);
  return waitSeconds;
};
