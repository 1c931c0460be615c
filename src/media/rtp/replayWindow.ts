const WORDS = 4;
/** Packets behind the newest that are still told apart (RFC 3711 §3.3.2 asks for 64 at least). */
const WINDOW = WORDS * 32;

/** Which of the last indices were received already. Indices are whole numbers below 2^48. */
export class ReplayWindow {
  #newest = -1;
  readonly #seen = new Int32Array(WORDS);

  /** The highest index received; -1 before any. */
  get newest(): number {
    return this.#newest;
  }

  /** False: received before, or too old to know. */
  fresh(index: number): boolean {
    const behind = this.#newest - index;
    if (behind < 0) return true;
    return (
      behind < WINDOW && ((this.#seen[Math.floor(index / 32) & (WORDS - 1)] as number) & (1 << (index % 32))) === 0
    );
  }

  /** Call it only for a packet whose authenticity is proven. */
  take(index: number): void {
    if (index > this.#newest) {
      // The words that the window moves into belonged to indices that are too old now.
      const from = Math.floor(this.#newest / 32);
      const to = Math.floor(index / 32);
      for (let word = Math.max(from + 1, to - WORDS + 1); word <= to; word++) this.#seen[word & (WORDS - 1)] = 0;
      this.#newest = index;
    }
    const word = Math.floor(index / 32) & (WORDS - 1);
    this.#seen[word] = (this.#seen[word] as number) | (1 << (index % 32));
  }
}
