/** How busy this thread is. */
export interface LoadProbe {
  /** Share of the time since the last call in which the thread worked, or waited for a core to work on: 0 to 1. */
  busy(): number;
}

/**
 * The event loop's own account: how long it had something to do, less what the thread rested within its turns to let
 * datagrams gather. A thread that sleeps for another reason (helpers of the collector) is one that has something to do.
 */
export class SystemLoadProbe implements LoadProbe {
  readonly #restedMs: () => number;
  #rested: number;
  #loop = performance.eventLoopUtilization();

  /** @param restedMs how long the thread has meant to rest so far; only ever grows */
  constructor(restedMs: () => number) {
    this.#restedMs = restedMs;
    this.#rested = restedMs();
  }

  busy(): number {
    const loopBefore = this.#loop;
    const restedBefore = this.#rested;
    this.#loop = performance.eventLoopUtilization();
    this.#rested = this.#restedMs();
    const { active, idle } = performance.eventLoopUtilization(this.#loop, loopBefore);
    const elapsed = active + idle;
    if (elapsed <= 0) return 0;
    return Math.min(1, Math.max(0, (active - (this.#rested - restedBefore)) / elapsed));
  }
}
