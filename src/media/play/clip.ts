import { Resampler } from '../codec/resampler.js';
import { type WavAudio, parseWav, wavSamples } from '../codec/wav.js';
import { type Result, err, ok } from '../../kernel/index.js';

/** The rate of everything inside the engine. */
export const RATE = 8000;
/** Converted at a time: a tenth of a second costs some ten microseconds, so no tick is late for a long file. */
const SLICE_MS = 100;
/** Four hours of speech at 8 kHz; nobody waits longer on a line. */
const MAX_SAMPLES = 4 * 3600 * RATE;

/**
 * The audio of one WAV file at 8 kHz. It is converted while it is first played and remembered: whoever plays it next
 * finds it done.
 */
export class Clip {
  readonly #wav: WavAudio;
  readonly #resampler: Resampler;
  readonly #samples: Int16Array;
  readonly #sliceBytes: number;
  #taken = 0;
  #filled = 0;
  #lead: number;

  private constructor(wav: WavAudio) {
    const frameBytes = wav.data.length === 0 ? 1 : Math.max(1, Math.round(wav.data.length / framesOf(wav)));
    this.#wav = wav;
    this.#resampler = new Resampler(wav.sampleRate, RATE);
    this.#samples = new Int16Array(Math.min(MAX_SAMPLES, Math.ceil((framesOf(wav) * RATE) / wav.sampleRate)));
    this.#sliceBytes = Math.ceil((wav.sampleRate * SLICE_MS) / 1000) * frameBytes;
    // What the filter puts before the first sample is cut off: a short prompt keeps its end.
    this.#lead = Math.round((this.#resampler.delaySamples * RATE) / wav.sampleRate);
  }

  /** @returns why the file cannot be played, for logs. */
  static fromWav(file: Buffer): Result<Clip, string> {
    const wav = parseWav(file);
    return wav.ok ? ok(new Clip(wav.value)) : err(wav.error);
  }

  get length(): number {
    return this.#samples.length;
  }

  get bytes(): number {
    return this.#samples.byteLength + this.#wav.data.length;
  }

  /** Copies samples from `from` on. @returns how many; 0 at the end. */
  read(from: number, target: Int16Array): number {
    const until = Math.min(this.#samples.length, from + target.length);
    if (until <= from) return 0;
    while (this.#filled < until) this.#convert();
    for (let i = from; i < until; i++) target[i - from] = this.#samples[i] as number;
    return until - from;
  }

  #convert(): void {
    const { data } = this.#wav;
    const slice = data.subarray(this.#taken, this.#taken + this.#sliceBytes);
    this.#taken += slice.length;
    // Behind the last sample comes silence, until the filter has given back all it holds.
    const input =
      slice.length === 0 ? new Int16Array(this.#wav.sampleRate / 10) : wavSamples({ ...this.#wav, data: slice });
    let output = this.#resampler.process(input);
    if (this.#lead > 0) {
      const cut = Math.min(this.#lead, output.length);
      output = output.subarray(cut);
      this.#lead -= cut;
    }
    const room = this.#samples.length - this.#filled;
    this.#samples.set(output.length > room ? output.subarray(0, room) : output, this.#filled);
    this.#filled += Math.min(room, output.length);
  }
}

const framesOf = (wav: WavAudio): number => Math.round((wav.durationMs * wav.sampleRate) / 1000);
