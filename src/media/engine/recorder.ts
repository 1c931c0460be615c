import { type FileHandle, open } from 'node:fs/promises';
import { mixInto } from '../codec/mix.js';
import { FRAME_MS, type Rate, frameSamples } from '../codec/rate.js';
import { WavWriter } from '../codec/wav.js';
import type { RecordEnd, RecordSpec } from '../port.js';
import type { FrameTap } from './core.js';

/** Written at once. */
const CHUNK_MS = 1000;
/** A disk that is this far behind will not catch up. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** Mean magnitude below which the peer says nothing: about -46 dBFS. */
const SILENCE_LEVEL = 160;

/** Writes one call's audio to a WAV file, a chunk a second, and ends by itself where the spec says so. */
export class Recorder implements FrameTap {
  readonly rate: Rate;
  readonly #spec: RecordSpec;
  readonly #ended: (end: RecordEnd, durationMs: number) => void;
  readonly #wav: WavWriter;
  readonly #frameSamples: number;
  readonly #mix: Int16Array;
  #chunk: Int16Array;
  #filled = 0;
  #frames = 0;
  #silentFrames = 0;
  #waitingBytes = 0;
  #file: FileHandle | undefined;
  /** The file's operations, one after the other. */
  #work: Promise<void>;
  #closing: Promise<void> | undefined;
  #failed = false;

  /**
   * @param ended called once, when the file is complete or given up
   * @param rate of the file, and of the frames that it is given
   */
  constructor(spec: RecordSpec, ended: (end: RecordEnd, durationMs: number) => void, rate: Rate) {
    this.rate = rate;
    this.#spec = spec;
    this.#ended = ended;
    const channels = spec.channels === 'stereo' ? 2 : 1;
    this.#wav = new WavWriter({ encoding: 'pcm16', channels, sampleRate: rate });
    this.#mix = new Int16Array(frameSamples(rate));
    this.#frameSamples = this.#mix.length * channels;
    this.#chunk = new Int16Array((CHUNK_MS / FRAME_MS) * this.#frameSamples);
    this.#work = this.#open().catch(() => this.#fail());
  }

  frame(peer: Int16Array, heard: Int16Array): void {
    if (this.#closing !== undefined) return;
    if (this.#spec.channels === 'stereo') this.#interleave(peer, heard);
    else {
      this.#mix.set(peer);
      mixInto(this.#mix, heard);
      this.#chunk.set(this.#mix, this.#filled);
    }
    this.#filled += this.#frameSamples;
    this.#frames++;
    if (this.#filled === this.#chunk.length) this.#flush();
    this.#silentFrames = isSilent(peer) ? this.#silentFrames + 1 : 0;
    const { maxMs, silenceMs } = this.#spec;
    if (maxMs !== undefined && this.#frames * FRAME_MS >= maxMs) void this.end('max_duration');
    else if (silenceMs !== undefined && this.#silentFrames * FRAME_MS >= silenceMs) void this.end('silence');
  }

  /** Resolves when the file is closed and `ended` was called; the first reason counts. */
  end(reason: RecordEnd): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  async #open(): Promise<void> {
    this.#file = await open(this.#spec.path, 'w');
    await this.#file.write(this.#wav.start());
  }

  #flush(): void {
    const bytes = this.#filled * 2;
    if (bytes === 0) return;
    const data = new Uint8Array(this.#chunk.buffer, 0, bytes);
    this.#chunk = new Int16Array(this.#chunk.length);
    this.#filled = 0;
    this.#waitingBytes += bytes;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#fail();
    this.#work = this.#work.then(() => this.#append(data)).catch(() => this.#fail());
  }

  async #append(data: Uint8Array): Promise<void> {
    if (this.#file !== undefined && !this.#failed) {
      await this.#file.write(data);
      this.#wav.appended(data.length);
    }
    this.#waitingBytes -= data.length;
  }

  #fail(): void {
    if (this.#failed) return;
    this.#failed = true;
    void this.end('failed');
  }

  async #close(reason: RecordEnd): Promise<void> {
    // Its caller still has to learn of this promise.
    await Promise.resolve();
    this.#flush();
    await this.#work;
    try {
      if (this.#file !== undefined && !this.#failed) await this.#file.write(this.#wav.fixUp(), 0, undefined, 0);
    } catch {
      this.#failed = true;
    }
    await this.#file?.close().catch(() => {});
    this.#ended(this.#failed ? 'failed' : reason, this.#frames * FRAME_MS);
  }

  #interleave(peer: Int16Array, heard: Int16Array): void {
    const chunk = this.#chunk;
    let at = this.#filled;
    for (let i = 0; i < peer.length; i++) {
      chunk[at++] = peer[i] as number;
      chunk[at++] = heard[i] as number;
    }
  }
}

const isSilent = (frame: Int16Array): boolean => {
  let sum = 0;
  for (let i = 0; i < frame.length; i++) sum += Math.abs(frame[i] as number);
  return sum < SILENCE_LEVEL * frame.length;
};
