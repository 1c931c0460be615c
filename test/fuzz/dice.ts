import { SeededRandom } from '../../src/kernel/index.js';

/** Reproducible chance. */
export class Dice {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  /** 0 ... n-1; 0 for n below 1. */
  below(n: number): number {
    return Math.floor(this.#random.float() * Math.max(1, n));
  }

  /** True once in `n`. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}
