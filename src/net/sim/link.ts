import type { Random } from '../../kernel/index.js';

/** How the way from one host to another treats packets. Rates are probabilities, 0 to 1. */
export interface SimLink {
  readonly lossRate: number;
  readonly duplicateRate: number;
  /** Uniform. Without reordering, packets of one way never overtake each other. */
  readonly delayMs: { readonly min: number; readonly max: number };
  /** Share of packets that are held back so that later ones overtake them. */
  readonly reorderRate: number;
}

export const PERFECT_LINK: SimLink = { lossRate: 0, duplicateRate: 0, delayMs: { min: 0, max: 0 }, reorderRate: 0 };

/** How long a held packet waits beyond the slowest packet of its link. */
const HOLD_MS = 20;

/** A one-way path with the memory that keeps it in order. */
export class Path {
  link: SimLink;
  up = true;
  readonly #random: Random;
  #lastDueMs = 0;

  constructor(link: SimLink, random: Random) {
    this.link = link;
    this.#random = random;
  }

  /** True when the packet is lost on the way. */
  loses(): boolean {
    return !this.up || this.#hits(this.link.lossRate);
  }

  duplicates(): boolean {
    return this.#hits(this.link.duplicateRate);
  }

  /** A delay from the link's range, in whole milliseconds. */
  delayMs(): number {
    const { min, max } = this.link.delayMs;
    return Math.round(max > min ? min + this.#random.float() * (max - min) : min);
  }

  /** When a datagram sent now arrives: in order, except for those that reorderRate picks. */
  arrivalMs(nowMs: number): number {
    if (this.#hits(this.link.reorderRate)) {
      const { min, max } = this.link.delayMs;
      return nowMs + Math.round(max + 1 + this.#random.float() * Math.max(HOLD_MS, max - min));
    }
    this.#lastDueMs = Math.max(this.#lastDueMs, nowMs + this.delayMs());
    return this.#lastDueMs;
  }

  #hits(rate: number): boolean {
    return rate > 0 && this.#random.float() < rate;
  }
}
