/**
 * Takes datagrams in batches while many come, as network cards do (interrupt moderation): waking up for each single one
 * can cost a process more than handling it.
 */

/** Rates are measured over this long. */
const WINDOW_MS = 100;
/** So many datagrams a rest must bring on average, or it is not worth the delay. */
const WORTHWHILE = 2;
/** A thread that works for a larger part of the time than this takes each datagram as it comes: batches form by themselves. */
const MOST_BUSY = 0.4;
/** A shorter rest costs more than it saves. */
const SHORTEST_MS = 0.2;

/** When to rest, and for how long: (datagrams, now) -> milliseconds. */
export class PaceRule {
  readonly #intervalMs: number;
  readonly #busyMs: () => number;
  #busyBeforeMs = 0;
  #restedMs = 0;
  #turnMs = -Infinity;
  #windowMs = -Infinity;
  #datagrams = 0;
  #worthwhile = false;

  /**
   * @param intervalMs longest time that a datagram is left to wait for others
   * @param busyMs how long the loop has not waited for anything, rests included; only ever grows
   */
  constructor(intervalMs: number, busyMs: () => number) {
    this.#intervalMs = intervalMs;
    this.#busyMs = busyMs;
  }

  took(): void {
    this.#datagrams++;
  }

  /**
   * After a turn of the loop that took datagrams: how long to rest before the next one. 0 while few come, since nothing
   * would gather, and where the thread is busy: its turns are long enough by themselves.
   */
  restMs(nowMs: number): number {
    if (nowMs - this.#windowMs >= WINDOW_MS) this.#measure(nowMs);
    const leftMs = this.#turnMs + this.#intervalMs - nowMs;
    if (!this.#worthwhile || leftMs < SHORTEST_MS) {
      this.#turnMs = nowMs;
      return 0;
    }
    this.#turnMs = nowMs + leftMs;
    this.#restedMs += leftMs;
    return leftMs;
  }

  #measure(nowMs: number): void {
    const windowMs = nowMs - this.#windowMs;
    const busyMs = this.#busyMs();
    const isBusy = busyMs - this.#busyBeforeMs - this.#restedMs > MOST_BUSY * windowMs;
    this.#worthwhile = !isBusy && this.#datagrams * this.#intervalMs >= WORTHWHILE * windowMs;
    this.#busyBeforeMs = busyMs;
    this.#restedMs = 0;
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
  readonly #beforeRest: () => void;
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));
  #scheduled = false;
  #restedMs = 0;

  /** @param beforeRest what must not wait for the end of a rest: the turn's datagrams leave */
  constructor(intervalMs: number, beforeRest: () => void) {
    this.#beforeRest = beforeRest;
    this.#rule = new PaceRule(intervalMs, () => performance.eventLoopUtilization().active);
  }

  /** All rests so far, in milliseconds. A rest that lasts longer than it should is a wait for a core, and not counted. */
  get restedMs(): number {
    return this.#restedMs;
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
    this.#beforeRest();
    const restMs = this.#rule.restMs(performance.now());
    if (restMs === 0) return;
    this.#restedMs += restMs;
    Atomics.wait(this.#cell, 0, 0, restMs);
  };
}
