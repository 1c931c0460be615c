import type { Clock } from '../kernel/index.js';

/** Lets the event loop serve everything else that waits, then resolves. */
export type Pause = () => Promise<void>;

/** What every adapter needs from outside. */
export interface StoreDeps {
  readonly clock: Clock;
  readonly pause: Pause;
}

/** How long one turn of bulk work may hold the thread. Packets wait meanwhile, so it is short. */
const BUDGET_MS = 8;

/** Cuts bulk work into turns: ask `spent` now and then, and `rest` when it says so. */
export class TimeSlice {
  readonly #deps: StoreDeps;
  readonly #budgetMs: number;
  #startedMs: number;

  constructor(deps: StoreDeps, budgetMs = BUDGET_MS) {
    this.#deps = deps;
    this.#budgetMs = budgetMs;
    this.#startedMs = deps.clock.nowMs();
  }

  get spent(): boolean {
    return this.#deps.clock.nowMs() - this.#startedMs >= this.#budgetMs;
  }

  async rest(): Promise<void> {
    await this.#deps.pause();
    this.#startedMs = this.#deps.clock.nowMs();
  }
}
