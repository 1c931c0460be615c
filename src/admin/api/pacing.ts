import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../kernel/index.js';

/** How long one turn may hold the thread: packets wait meanwhile. */
const BUDGET_MS = 8;

/** Cuts work on large bodies into turns: `await pacer.step()` now and then. */
export class Pacer {
  readonly #clock: Clock;
  #startedMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedMs = clock.nowMs();
  }

  /** A promise only where the turn is over. */
  step(): Promise<void> | undefined {
    if (this.#clock.nowMs() - this.#startedMs < BUDGET_MS) return undefined;
    return nextTurn().then(() => {
      this.#startedMs = this.#clock.nowMs();
    });
  }
}
