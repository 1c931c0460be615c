/**
 * New calls that wait for the thread while it does what calls that are there ask of it. Which of them are served and which
 * refused is a matter of how long they wait (RFC 8289, CoDel): a burst may wait longer than a queue that stands. Nothing is
 * estimated, so nothing has to be learnt when load or speed change, and the thread is never idle while somebody waits.
 */

/** Room for a surge until those who come later are refused: on a thread of 3000 calls a second, a wait of 0.7 s. */
export const MOST_WAITING = 2048;
/** Shorter than T1 (RFC 3261 §17.1.1.1), after which an INVITE is sent again. */
const BURST_MS = 400;
/** A queue in which everybody has waited too long for this time is no burst (CoDel's interval, for calls). */
const STANDING_MS = 1000;
/** So long without a refusal, and it is over. */
const CALM_MS = 1000;
/** Places of those who are gone are given back by so many. */
const GONE_AT_ONCE = 256;
/** Whoever was let in is served until his wait is this many times the target. */
const LATE = 2;

interface Waiting<T> {
  readonly call: T;
  readonly sinceMs: number;
}

export class WaitingCalls<T> {
  readonly #targetMs: number;
  #waiting: Waiting<T>[] = [];
  #first = 0;
  /** When somebody last was served in time, or could have been. */
  #promptMs = -Infinity;
  #refusedMs = -Infinity;
  #isStanding = false;

  /** @param targetMs longest wait in a queue that stands, in milliseconds */
  constructor(targetMs: number) {
    this.#targetMs = targetMs;
  }

  get size(): number {
    return this.#waiting.length - this.#first;
  }

  /** True from the first refusal until a second after the last. */
  isRefusing(nowMs: number): boolean {
    return nowMs - this.#refusedMs < CALM_MS;
  }

  /** @returns false when it is to be refused */
  enter(call: T, nowMs: number): boolean {
    const { size } = this;
    if (size === 0) this.#promptMs = nowMs;
    else if (size >= MOST_WAITING || nowMs - this.#waiting[this.#first]!.sinceMs > this.#longestMs(nowMs)) {
      this.#refusedMs = nowMs;
      return false;
    }
    this.#waiting.push({ call, sinceMs: nowMs });
    return true;
  }

  /** Whoever has waited longest, and whether for too long; undefined when nobody waits. */
  next(nowMs: number): { readonly call: T; readonly isLate: boolean } | undefined {
    const next = this.#waiting[this.#first];
    if (next === undefined) return undefined;
    this.#first++;
    if (this.#first === this.#waiting.length || this.#first === GONE_AT_ONCE) {
      this.#waiting.splice(0, this.#first);
      this.#first = 0;
    }
    const waitedMs = nowMs - next.sinceMs;
    if (waitedMs <= this.#targetMs) this.#promptMs = nowMs;
    const isLate = waitedMs > LATE * this.#longestMs(nowMs);
    if (isLate) this.#refusedMs = nowMs;
    return { call: next.call, isLate };
  }

  #longestMs(nowMs: number): number {
    if (!this.isRefusing(nowMs)) this.#isStanding = false;
    if (nowMs - this.#promptMs > STANDING_MS) this.#isStanding = true;
    return this.#isStanding ? this.#targetMs : BURST_MS;
  }
}
