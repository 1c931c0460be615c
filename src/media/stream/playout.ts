import { FRAME_SAMPLES } from './port.js';

/** Ten minutes: a bot may send speech much faster than it is spoken, but not without end. */
const MAX_SAMPLES = 10 * 60 * 8000;

/** A mark and the sample before which it stands. */
interface Mark {
  readonly name: string;
  readonly atSample: number;
}

const NO_MARKS: readonly string[] = [];

/**
 * What the bot wants the caller to hear, in 8 kHz samples, with its marks between them. A mark is due when the audio
 * before it has been taken, and not earlier.
 */
export class Playout {
  readonly #chunks: Int16Array[] = [];
  readonly #marks: Mark[] = [];
  readonly #frame = new Int16Array(FRAME_SAMPLES);
  /** Read position in the first chunk. */
  #offset = 0;
  #queued = 0;
  #taken = 0;
  #starved = false;

  /** Samples that wait. */
  get queued(): number {
    return this.#queued;
  }

  /** @returns false when the queue is full: the audio is not taken. The array must not change afterwards. */
  add(pcm: Int16Array): boolean {
    if (pcm.length === 0) return true;
    if (this.#queued + pcm.length > MAX_SAMPLES) return false;
    this.#chunks.push(pcm);
    this.#queued += pcm.length;
    return true;
  }

  mark(name: string): void {
    this.#marks.push({ name, atSample: this.#taken + this.#queued });
  }

  /** Marks that the audio taken so far has passed. Each is given once. */
  passed(): readonly string[] {
    if (this.#marks.length === 0 || (this.#marks[0] as Mark).atSample > this.#taken) return NO_MARKS;
    const names: string[] = [];
    while (this.#marks.length > 0 && (this.#marks[0] as Mark).atSample <= this.#taken) {
      names.push((this.#marks.shift() as Mark).name);
    }
    return names;
  }

  /**
   * The next frame, or undefined. The tail of an utterance that fills no frame waits one tick for more, then is filled
   * up with silence.
   */
  take(): Int16Array | undefined {
    if (this.#queued === 0) return undefined;
    if (this.#queued < FRAME_SAMPLES && !this.#starved) {
      this.#starved = true;
      return undefined;
    }
    this.#starved = false;
    const frame = this.#frame;
    let filled = 0;
    while (filled < FRAME_SAMPLES && this.#chunks.length > 0) {
      const chunk = this.#chunks[0] as Int16Array;
      const count = Math.min(FRAME_SAMPLES - filled, chunk.length - this.#offset);
      frame.set(chunk.subarray(this.#offset, this.#offset + count), filled);
      filled += count;
      this.#offset += count;
      if (this.#offset === chunk.length) {
        this.#chunks.shift();
        this.#offset = 0;
      }
    }
    frame.fill(0, filled);
    this.#queued -= filled;
    this.#taken += filled;
    return frame;
  }

  /** Empties the queue. @returns the marks that were in it */
  clear(): string[] {
    this.#taken += this.#queued;
    this.#queued = 0;
    this.#chunks.length = 0;
    this.#offset = 0;
    return this.#marks.splice(0).map((mark) => mark.name);
  }
}
