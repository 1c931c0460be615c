const MISSING = 0;
export const PRESENT = 1;
/** Part of a pause that the sender announced. */
export const PAUSE = 2;
export type SampleState = typeof MISSING | typeof PRESENT | typeof PAUSE;

/** Coded samples by timestamp, and which of them are there. Timestamps are extended: they do not wrap. */
export class SampleRing {
  readonly #width: number;
  readonly #samples: Buffer;
  readonly #state: Uint8Array;
  readonly #mask: number;

  /** Holds at least `samples` samples of `width` octets. */
  constructor(samples: number, width: number) {
    let length = 1024;
    while (length < samples) length *= 2;
    this.#width = width;
    this.#mask = length - 1;
    this.#samples = Buffer.alloc(length * width);
    this.#state = new Uint8Array(length);
  }

  get length(): number {
    return this.#state.length;
  }

  clear(): void {
    this.#state.fill(MISSING);
  }

  /** Stores whole samples from timestamp `at`. @returns false: the first of them is there already */
  put(at: number, octets: Buffer): boolean {
    const index = this.#index(at);
    if (this.#state[index] === PRESENT) return false;
    const width = this.#width;
    const count = octets.length / width;
    const first = Math.min(count, this.length - index);
    octets.copy(this.#samples, index * width, 0, first * width);
    if (first < count) octets.copy(this.#samples, 0, first * width);
    this.#mark(at, count, PRESENT);
    return true;
  }

  /** What is missing from `from` to before `to` was never meant to be there. */
  pause(from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const index = this.#index(at);
      if (this.#state[index] === MISSING) this.#state[index] = PAUSE;
    }
  }

  /** Makes room: the samples were played or given up. */
  drop(at: number, count: number): void {
    this.#mark(at, count, MISSING);
  }

  /** How many of `count` samples are in the state `wanted`. */
  count(at: number, count: number, wanted: SampleState): number {
    let found = 0;
    let index = this.#index(at);
    for (let i = 0; i < count; i++) {
      if (this.#state[index] === wanted) found++;
      index = (index + 1) & this.#mask;
    }
    return found;
  }

  /** Copies as many samples as `target` holds, whatever is in those that are missing. */
  read(at: number, target: Buffer): void {
    const width = this.#width;
    const index = this.#index(at);
    const count = target.length / width;
    const first = Math.min(count, this.length - index);
    this.#samples.copy(target, 0, index * width, (index + first) * width);
    if (first < count) this.#samples.copy(target, first * width, 0, (count - first) * width);
  }

  /** Fills the holes of a frame that was read with the mirror image of what is beside them: no step at their edge. */
  fillHoles(at: number, target: Buffer): void {
    const count = target.length / this.#width;
    const there = (i: number) => this.#state[this.#index(at + i)] === PRESENT;
    let before = -1;
    for (let i = 0; i < count; i++) {
      if (there(i)) {
        before = i;
        continue;
      }
      let edge = before;
      if (edge < 0) for (edge = i; edge < count - 1 && !there(edge);) edge++;
      const mirrored = before < 0 ? 2 * edge - i - 1 : 2 * edge - i + 1;
      const source = mirrored >= 0 && mirrored < count && there(mirrored) ? mirrored : edge;
      target.copy(target, i * this.#width, source * this.#width, (source + 1) * this.#width);
    }
  }

  #index(at: number): number {
    // Extended timestamps pass 2^32, and lie below 0 for packets older than the first.
    return (((at % 4294967296) + 4294967296) % 4294967296) & this.#mask;
  }

  #mark(at: number, count: number, state: SampleState): void {
    const index = this.#index(at);
    const first = Math.min(count, this.length - index);
    this.#state.fill(state, index, index + first);
    if (first < count) this.#state.fill(state, 0, count - first);
  }
}
