import { toneGenerator, type ToneGenerator } from '../codec/tone.js';
import { frequenciesOf } from './frequencies.js';

export interface DtmfGeneratorOptions {
  /** Default 8000. */
  readonly sampleRate?: number | undefined;
  /** Default 100 ms on, 80 ms off; ITU-T Q.24 receivers need 40 and 40. */
  readonly toneMs?: number | undefined;
  readonly gapMs?: number | undefined;
  /** Peak of each of the two frequencies, of 32767. Default 5800: about -9 dBm0 each. */
  readonly amplitude?: number | undefined;
}

/** Rise and fall of a tone: an abrupt start would click. */
const RAMP_S = 0.002;
const MAX_QUEUED = 128;

/** Plays keys as tones in the audio. */
export class DtmfGenerator {
  readonly #sampleRate: number;
  readonly #toneSamples: number;
  readonly #gapSamples: number;
  readonly #amplitude: number;
  #queue = '';
  #tone: ToneGenerator | undefined;
  /** Samples of the present key that were played, its gap included. */
  #played = 0;

  constructor(options: DtmfGeneratorOptions = {}) {
    this.#sampleRate = options.sampleRate ?? 8000;
    this.#toneSamples = Math.round(((options.toneMs ?? 100) * this.#sampleRate) / 1000);
    this.#gapSamples = Math.round(((options.gapMs ?? 80) * this.#sampleRate) / 1000);
    this.#amplitude = options.amplitude ?? 5800;
  }

  get active(): boolean {
    return this.#tone !== undefined || this.#queue.length > 0;
  }

  /** Characters that are no keys are left out. @returns false: too many wait, none of these was taken */
  queue(digits: string): boolean {
    const keys = [...digits].filter((digit) => frequenciesOf(digit) !== undefined).join('');
    if (this.#queue.length + keys.length > MAX_QUEUED) return false;
    this.#queue += keys;
    return true;
  }

  /** Writes the next samples, silence where nothing is to be played. @returns false: there was nothing at all */
  fill(target: Int16Array): boolean {
    target.fill(0);
    let at = 0;
    while (at < target.length) {
      if (this.#tone === undefined && !this.#begin()) break;
      at = this.#play(target, at);
    }
    return at > 0;
  }

  #begin(): boolean {
    const pair = frequenciesOf(this.#queue.slice(0, 1));
    if (pair === undefined) return false;
    this.#queue = this.#queue.slice(1);
    this.#tone = toneGenerator(pair, { sampleRate: this.#sampleRate, amplitude: this.#amplitude });
    this.#played = 0;
    return true;
  }

  #play(target: Int16Array, at: number): number {
    const toneLeft = Math.min(target.length - at, Math.max(0, this.#toneSamples - this.#played));
    const part = target.subarray(at, at + toneLeft);
    this.#tone?.fill(part);
    const ramp = RAMP_S * this.#sampleRate;
    for (let i = 0; i < part.length; i++) {
      const edge = Math.min(this.#played + i + 1, this.#toneSamples - this.#played - i);
      if (edge < ramp) part[i] = Math.round(((part[i] as number) * edge) / ramp);
    }
    this.#played += toneLeft;
    const gapLeft = Math.min(target.length - at - toneLeft, this.#toneSamples + this.#gapSamples - this.#played);
    this.#played += gapLeft;
    if (this.#played >= this.#toneSamples + this.#gapSamples) this.#tone = undefined;
    return at + toneLeft + gapLeft;
  }
}
