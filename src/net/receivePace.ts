/**
 * Takes datagrams in batches while many come, as network cards do (interrupt moderation): waking up for each single one
 * can cost a process more than handling it.
 */

/** Rates are measured over this long. */
const WINDOW_MS = 100;
/** So many datagrams a rest must bring on average, or it is not worth the delay. */
const WORTHWHILE = 2;
/** A shorter rest costs more than it saves. */
const SHORTEST_MS = 0.2;

/** When to rest, and for how long: (datagrams, now) -> milliseconds. */
export class PaceRule {
  readonly #intervalMs: number;
  #turnMs = -Infinity;
  #windowMs = -Infinity;
  #datagrams = 0;
  #worthwhile = false;

  /** @param intervalMs longest time that a datagram is left to wait for others */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  took(): void {
    this.#datagrams++;
  }

  /**
   * After a turn of the loop that took datagrams: how long to rest before the next one. 0 while few come, since nothing
   * would gather, and near saturation, where the turns themselves are as long as the interval.
   */
  restMs(nowMs: number): number {
    if (nowMs - this.#windowMs >= WINDOW_MS) this.#measure(nowMs);
    const leftMs = this.#turnMs + this.#intervalMs - nowMs;
    if (!this.#worthwhile || leftMs < SHORTEST_MS) {
      this.#turnMs = nowMs;
      return 0;
    }
    this.#turnMs = nowMs + leftMs;
    return leftMs;
  }

  #measure(nowMs: number): void {
    this.#worthwhile = this.#datagrams * this.#intervalMs >= WORTHWHILE * (nowMs - this.#windowMs);
    this.#windowMs = nowMs;
    this.#datagrams = 0;
  }
}

/**
 * The pace of one thread's event loop: after a turn that took datagrams the whole thread sleeps as the rule says. For the
 * signalling thread only, and for a few milliseconds: timers and streams wait, too.
 */
export class ReceivePace {
  readonly #rule: PaceRule;
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));
  #scheduled = false;

  constructor(intervalMs: number) {
    this.#rule = new PaceRule(intervalMs);
  }

  /** To be called for each datagram taken. */
  took(): void {
    this.#rule.took();
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#rest);
  }

  readonly #rest = (): void => {
    this.#scheduled = false;
    const restMs = this.#rule.restMs(performance.now());
    if (restMs > 0) Atomics.wait(this.#cell, 0, 0, restMs);
  };
}
