import type { Clock, Random } from '../../kernel/index.js';

/** A port that served a call is not given to the next one at once: late packets of the old call would land in it. */
export const QUARANTINE_MS = 5000;

interface Resting {
  readonly port: number;
  readonly freeAtMs: number;
}

/** Even UDP ports for RTP; the odd one above each is its RTCP port (RFC 3550 §11). */
export class PortPool {
  readonly #clock: Clock;
  /** Shuffled once: which port comes next is nobody's to guess (S14). */
  readonly #free: number[] = [];
  /** In the order of release, so the first is the first to be free again. */
  #resting: Resting[] = [];
  #restingHead = 0;
  readonly #used = new Set<number>();

  /** @param range first and last port, both included. */
  constructor(range: readonly [number, number], clock: Clock, random: Random) {
    this.#clock = clock;
    for (let port = range[0] + (range[0] & 1); port + 1 <= range[1]; port += 2) this.#free.push(port);
    for (let i = this.#free.length - 1; i > 0; i--) {
      const j = Math.floor(random.float() * (i + 1));
      const swapped = this.#free[i] as number;
      this.#free[i] = this.#free[j] as number;
      this.#free[j] = swapped;
    }
  }

  /** @returns an even port, or undefined when all are in use or in quarantine. */
  take(): number | undefined {
    this.#wake();
    const port = this.#free.pop();
    if (port !== undefined) this.#used.add(port);
    return port;
  }

  /** Ends the use of a port and begins its quarantine. */
  release(port: number): void {
    if (this.#used.delete(port)) this.#resting.push({ port, freeAtMs: this.#clock.nowMs() + QUARANTINE_MS });
  }

  dump(): { used: number; resting: number; free: number } {
    this.#wake();
    return { used: this.#used.size, resting: this.#resting.length - this.#restingHead, free: this.#free.length };
  }

  #wake(): void {
    const nowMs = this.#clock.nowMs();
    for (; this.#restingHead < this.#resting.length; this.#restingHead++) {
      const { port, freeAtMs } = this.#resting[this.#restingHead] as Resting;
      if (freeAtMs > nowMs) break;
      this.#free.unshift(port);
    }
    if (this.#restingHead > 64) {
      this.#resting = this.#resting.slice(this.#restingHead);
      this.#restingHead = 0;
    }
  }
}
