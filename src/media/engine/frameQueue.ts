import { FRAME_SAMPLES } from '../stream/port.js';

/** Frames between two ends that tick at different moments. */
const DEPTH = 4;
/** More than one in wait, tick after tick, is delay that serves nothing. */
const PATIENCE = 50;

/** A short queue of 20 ms frames, without allocation. The oldest gives way when nobody takes them. */
export class FrameQueue {
  readonly #frames: readonly Int16Array[];
  #head = 0;
  #size = 0;
  #deepFor = 0;

  /** @param samples of each frame */
  constructor(samples = FRAME_SAMPLES) {
    this.#frames = Array.from({ length: DEPTH }, () => new Int16Array(samples));
  }

  push(frame: Int16Array): void {
    if (this.#size === DEPTH) this.#drop();
    (this.#frames[(this.#head + this.#size) % DEPTH] as Int16Array).set(frame);
    this.#size++;
  }

  /** @returns the oldest frame, valid until the next `push`; undefined when there is none. */
  take(): Int16Array | undefined {
    this.#deepFor = this.#size > 1 ? this.#deepFor + 1 : 0;
    if (this.#deepFor > PATIENCE) {
      this.#drop();
      this.#deepFor = 0;
    }
    if (this.#size === 0) return undefined;
    const frame = this.#frames[this.#head];
    this.#drop();
    return frame;
  }

  clear(): void {
    this.#size = 0;
  }

  #drop(): void {
    this.#head = (this.#head + 1) % DEPTH;
    this.#size--;
  }
}
