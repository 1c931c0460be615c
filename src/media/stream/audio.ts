import { Scratch } from '../../kernel/index.js';
import { decodeMulaw, encodeMulaw } from '../codec/g711.js';
import { decodeL16Le, encodeL16Le } from '../codec/l16.js';
import { Resampler } from '../codec/resampler.js';
import { FRAME_MS, type Rate, frameSamples } from '../codec/rate.js';
import type { AudioFormat } from './dialect.js';

/** Collects 20 ms frames of the caller's voice into the bot's format and message length. */
export class AudioToBot {
  readonly format: AudioFormat;
  readonly frameMs: number;
  readonly #resampler: Resampler | undefined;
  readonly #frameSamples: number;
  readonly #pcm: Int16Array;
  /** The message before, as octets: the next of its length takes their place. */
  #octets = Buffer.alloc(0);
  #filled = 0;

  /**
   * @param frameMs rounded to whole frames of 20 ms, 20 to 1000
   * @param rate of the frames; 8000 for mu-law
   */
  constructor(format: AudioFormat, frameMs: number, rate: Rate = 8000) {
    this.format = format;
    const frames = Math.min(50, Math.max(1, Math.round(frameMs / FRAME_MS)));
    this.frameMs = frames * FRAME_MS;
    this.#frameSamples = frameSamples(rate);
    this.#pcm = new Int16Array(frames * this.#frameSamples);
    if (format.sampleRate !== rate) this.#resampler = new Resampler(rate, format.sampleRate);
  }

  /** @returns the audio of one message when it is complete; valid until the next call */
  add(frame: Int16Array): Buffer | undefined {
    const samples = this.#frameSamples;
    const target = this.#pcm.subarray(this.#filled, this.#filled + samples);
    target.set(frame.length > samples ? frame.subarray(0, samples) : frame);
    if (frame.length < samples) target.fill(0, frame.length);
    this.#filled += samples;
    if (this.#filled < this.#pcm.length) return undefined;
    this.#filled = 0;
    if (this.format.encoding === 'mulaw') encodeMulaw(this.#pcm, this.#room(this.#pcm.length));
    else {
      const pcm = this.#resampler === undefined ? this.#pcm : this.#resampler.process(this.#pcm);
      encodeL16Le(pcm, this.#room(pcm.length * 2));
    }
    return this.#octets;
  }

  #room(octets: number): Buffer {
    if (this.#octets.length !== octets) this.#octets = Buffer.allocUnsafeSlow(octets);
    return this.#octets;
  }
}

/** What messages are turned into before it is copied to where it waits. */
const scratch = new Scratch(new Int16Array(8192));

const roomFor = (samples: number): Int16Array =>
  samples > scratch.room.length ? new Int16Array(samples) : scratch.first(samples);

/** Turns what bots send into samples of the seam. */
export class AudioFromBot {
  readonly #seamRate: Rate;
  #resampler: Resampler | undefined;
  #rate = 0;
  /** The odd octet of a message that ended within a sample. */
  #odd: number | undefined;

  /** @param rate of what is given back */
  constructor(rate: Rate = 8000) {
    this.#seamRate = rate;
  }

  /** @returns samples that are valid until the next call, of whatever decoder */
  decode(audio: Buffer, format: AudioFormat): Int16Array {
    let pcm: Int16Array;
    if (format.encoding === 'mulaw') {
      pcm = roomFor(audio.length);
      decodeMulaw(audio, pcm);
    } else {
      pcm = this.#samples(audio);
    }
    if (format.sampleRate === this.#seamRate) return pcm;
    if (this.#resampler === undefined || this.#rate !== format.sampleRate) {
      this.#resampler = new Resampler(format.sampleRate, this.#seamRate);
      this.#rate = format.sampleRate;
    }
    return this.#resampler.process(pcm);
  }

  /** What comes next does not go on from what came before. */
  reset(): void {
    this.#odd = undefined;
    this.#resampler?.reset();
  }

  #samples(audio: Buffer): Int16Array {
    const data = this.#odd === undefined ? audio : Buffer.concat([Buffer.of(this.#odd), audio]);
    const count = data.length >> 1;
    this.#odd = data.length & 1 ? data[data.length - 1] : undefined;
    const pcm = roomFor(count);
    decodeL16Le(data, pcm);
    return pcm;
  }
}
