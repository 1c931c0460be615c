import { HIGH_HZ, KEYPAD, LOW_HZ } from './frequencies.js';
import type { KeyPress } from './telephoneEvent.js';

export interface InbandOptions {
  /** Default 8000. */
  readonly sampleRate?: number | undefined;
  /** Shortest tone that counts, at least 25 ms by the length of a block. Default 40 (ITU-T Q.24). */
  readonly minMs?: number | undefined;
}

/** 12.75 ms: bins 78 Hz wide, that hold a tone 1.5 % off its frequency and leave one 3.5 % off visibly weaker. */
const BLOCK_S = 0.01275;
/** Weakest tone, about -40 dBm0 each: mean square of the sine. */
const MIN_POWER = 100 * 100;
/** High over low at most 4 dB, low over high at most 8 dB: lines weaken high tones more. */
const TWIST = 2.51;
const REVERSE_TWIST = 6.31;
/** A tone stands out from its group's others by 8 dB. */
const STAND_OUT = 6.3;
/** Part of all power that the two tones must have: speech spreads over many more frequencies. */
const PURITY = 0.62;
/** Speech has harmonics; a key's second ones are weak. 12 dB. */
const HARMONIC = 1 / 16;
const NONE: readonly KeyPress[] = [];

/** |X(f)|^2 over samples^2 / 4: the mean square, times 2, of a sine at `f` filling the block. */
function power(block: Float64Array, coefficient: number): number {
  let s1 = 0;
  let s2 = 0;
  for (let i = 0; i < block.length; i++) {
    const s = (block[i] as number) + coefficient * s1 - s2;
    s2 = s1;
    s1 = s;
  }
  return ((s1 * s1 + s2 * s2 - coefficient * s1 * s2) * 4) / (block.length * block.length);
}

/** Index of the strongest, or -1 when it does not stand out. */
function strongest(powers: Float64Array): number {
  let best = 0;
  for (let i = 1; i < powers.length; i++) if ((powers[i] as number) > (powers[best] as number)) best = i;
  const enough = (powers[best] as number) / STAND_OUT;
  for (let i = 0; i < powers.length; i++) if (i !== best && (powers[i] as number) > enough) return -1;
  return best;
}

/** Finds keys that come as tones in the audio. A key is told when it is released, once. */
export class InbandDtmfDetector {
  readonly #sampleRate: number;
  readonly #block: Float64Array;
  readonly #minBlocks: number;
  readonly #lowCoefficients: readonly number[];
  readonly #highCoefficients: readonly number[];
  readonly #low = new Float64Array(4);
  readonly #high = new Float64Array(4);
  #filled = 0;
  #candidate = -1;
  #hits = 0;
  #misses = 0;
  #blocks = 0;

  constructor(options: InbandOptions = {}) {
    this.#sampleRate = options.sampleRate ?? 8000;
    const samples = Math.round(BLOCK_S * this.#sampleRate);
    this.#block = new Float64Array(samples);
    // A tone of n blocks' length, begun anywhere, fills n - 1 of them for certain.
    this.#minBlocks = Math.max(2, Math.floor(((options.minMs ?? 40) * this.#sampleRate) / 1000 / samples) - 1);
    const coefficient = (hz: number) => 2 * Math.cos((2 * Math.PI * hz) / this.#sampleRate);
    this.#lowCoefficients = LOW_HZ.map(coefficient);
    this.#highCoefficients = HIGH_HZ.map(coefficient);
  }

  /** The key that is down now. */
  get pressed(): string | undefined {
    return this.#hits >= this.#minBlocks ? KEYPAD[this.#candidate] : undefined;
  }

  /** Takes audio of any length. @returns keys released in it */
  push(pcm: Int16Array): readonly KeyPress[] {
    let released: KeyPress[] | undefined;
    for (let i = 0; i < pcm.length; i++) {
      this.#block[this.#filled++] = pcm[i] as number;
      if (this.#filled < this.#block.length) continue;
      this.#filled = 0;
      const press = this.#step(this.#classify());
      if (press !== undefined) (released ??= []).push(press);
    }
    return released ?? NONE;
  }

  #step(key: number): KeyPress | undefined {
    if (key >= 0 && key === this.#candidate) {
      this.#hits++;
      this.#blocks += 1 + this.#misses;
      this.#misses = 0;
      return undefined;
    }
    // One block may fail in the middle of a tone: a click, a concealed packet.
    if (key < 0 && this.#candidate >= 0 && this.#misses < 1) {
      this.#misses++;
      return undefined;
    }
    const released = this.#release();
    if (key >= 0) {
      this.#candidate = key;
      this.#hits = 1;
      this.#blocks = 1;
    }
    return released;
  }

  #release(): KeyPress | undefined {
    const digit = this.pressed;
    const durationMs = Math.round((this.#blocks * this.#block.length * 1000) / this.#sampleRate);
    this.#candidate = -1;
    this.#hits = 0;
    this.#misses = 0;
    this.#blocks = 0;
    return digit === undefined ? undefined : { digit, durationMs };
  }

  /** The key whose pair of tones fills the block; -1: none. */
  #classify(): number {
    const block = this.#block;
    let total = 0;
    for (let i = 0; i < block.length; i++) total += (block[i] as number) ** 2;
    total = (total * 2) / block.length;
    // Most of a call is silence: no need to look closer.
    if (total < MIN_POWER * 2) return -1;
    for (let i = 0; i < 4; i++) this.#low[i] = power(block, this.#lowCoefficients[i] as number);
    const row = strongest(this.#low);
    if (row < 0 || (this.#low[row] as number) < MIN_POWER) return -1;
    for (let i = 0; i < 4; i++) this.#high[i] = power(block, this.#highCoefficients[i] as number);
    const column = strongest(this.#high);
    if (column < 0) return -1;
    const low = this.#low[row] as number;
    const high = this.#high[column] as number;
    if (high < MIN_POWER || high > low * TWIST || low > high * REVERSE_TWIST) return -1;
    if (low + high < total * PURITY || this.#hasHarmonics(row, low + high)) return -1;
    return row * 4 + column;
  }

  #hasHarmonics(row: number, sum: number): boolean {
    const hz = 2 * (LOW_HZ[row] as number);
    return power(this.#block, 2 * Math.cos((2 * Math.PI * hz) / this.#sampleRate)) > sum * HARMONIC * 4;
  }
}
