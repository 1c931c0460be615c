import { Resampler } from './resampler.js';

/** Samples a second of a leg, and of everything that is joined to it: narrow or wide band. */
export type Rate = 8000 | 16_000;

/** Length of a frame inside the engine. */
export const FRAME_MS = 20;

/** Samples of one frame. */
export const frameSamples = (rate: Rate): number => rate / (1000 / FRAME_MS);

/** Brings the frames of one signal to another rate. A frame's length tells its rate, so that the giver may change. */
export class RateAdapter {
  #resampler: Resampler | undefined;
  #from = 0;
  #to = 0;

  /** @returns the frame itself where the rates are equal, else an array of its own. */
  adapt(frame: Int16Array, rate: Rate): Int16Array {
    const wanted = frameSamples(rate);
    if (frame.length === wanted) return frame;
    if (this.#resampler === undefined || this.#from !== frame.length || this.#to !== wanted) {
      this.#resampler = new Resampler(frame.length, wanted);
      this.#from = frame.length;
      this.#to = wanted;
    }
    return this.#resampler.process(frame);
  }
}
