import { type Result, err, ok } from '../../kernel/index.js';
import { decodeAlaw, decodeMulaw } from './g711.js';
import { decodeL16Le } from './l16.js';

export type WavEncoding = 'pcm16' | 'pcm8' | 'mulaw' | 'alaw';

export interface WavFormat {
  readonly encoding: WavEncoding;
  readonly channels: number;
  readonly sampleRate: number;
}

export interface WavAudio extends WavFormat {
  /** A view of the file: interleaved samples, whole frames. */
  readonly data: Buffer;
  /** Length in milliseconds. */
  readonly durationMs: number;
}

export type WavProblem = 'not_wav' | 'no_format' | 'no_data' | 'unsupported_encoding' | 'unsupported_layout';

const TAG_PCM = 1;
const TAG_ALAW = 6;
const TAG_MULAW = 7;
const TAG_EXTENSIBLE = 0xfffe;
const MAX_CHUNKS = 64;
const MAX_CHANNELS = 8;
const MIN_RATE = 4000;
const MAX_RATE = 192_000;

const bytesPerSample = (encoding: WavEncoding): number => (encoding === 'pcm16' ? 2 : 1);

function encodingOf(tag: number, bits: number): WavEncoding | undefined {
  if (tag === TAG_PCM) return bits === 16 ? 'pcm16' : bits === 8 ? 'pcm8' : undefined;
  if (bits !== 8) return undefined;
  return tag === TAG_MULAW ? 'mulaw' : tag === TAG_ALAW ? 'alaw' : undefined;
}

function parseFormat(file: Buffer, start: number, size: number): Result<WavFormat, WavProblem> {
  if (size < 16) return err('no_format');
  let tag = file.readUInt16LE(start);
  // WAVE_FORMAT_EXTENSIBLE: the real tag begins the sub-format identifier.
  if (tag === TAG_EXTENSIBLE && size >= 26) tag = file.readUInt16LE(start + 24);
  const channels = file.readUInt16LE(start + 2);
  const sampleRate = file.readUInt32LE(start + 4);
  const encoding = encodingOf(tag, file.readUInt16LE(start + 14));
  if (encoding === undefined) return err('unsupported_encoding');
  if (channels < 1 || channels > MAX_CHANNELS || sampleRate < MIN_RATE || sampleRate > MAX_RATE) {
    return err('unsupported_layout');
  }
  return ok({ encoding, channels, sampleRate });
}

/**
 * Reads a RIFF/WAVE file that is in memory. Chunks other than `fmt ` and `data` are stepped over; a data chunk longer
 * than the file (a recording that was cut off, a stream of unknown length) ends with the file.
 */
export function parseWav(file: Buffer): Result<WavAudio, WavProblem> {
  if (file.length < 12 || file.toString('latin1', 0, 4) !== 'RIFF' || file.toString('latin1', 8, 12) !== 'WAVE') {
    return err('not_wav');
  }
  let format: WavFormat | undefined;
  let at = 12;
  for (let chunk = 0; chunk < MAX_CHUNKS && at + 8 <= file.length; chunk++) {
    const id = file.toString('latin1', at, at + 4);
    const start = at + 8;
    const size = Math.min(file.readUInt32LE(at + 4), file.length - start);
    if (id === 'fmt ') {
      const parsed = parseFormat(file, start, size);
      if (!parsed.ok) return parsed;
      format = parsed.value;
    } else if (id === 'data') {
      if (format === undefined) return err('no_format');
      const frame = bytesPerSample(format.encoding) * format.channels;
      const frames = Math.floor(size / frame);
      const data = file.subarray(start, start + frames * frame);
      return ok({ ...format, data, durationMs: (frames * 1000) / format.sampleRate });
    }
    // Chunks begin at even offsets.
    at = start + size + (size & 1);
  }
  return err(format === undefined ? 'no_format' : 'no_data');
}

function decode(encoding: WavEncoding, data: Buffer, target: Int16Array): void {
  if (encoding === 'pcm16') decodeL16Le(data, target);
  else if (encoding === 'mulaw') decodeMulaw(data, target);
  else if (encoding === 'alaw') decodeAlaw(data, target);
  else for (let i = 0; i < data.length; i++) target[i] = ((data[i] as number) - 128) << 8;
}

/** All samples, at the file's own rate, its channels averaged into one. */
export function wavSamples(wav: WavAudio): Int16Array {
  const interleaved = new Int16Array(wav.data.length / bytesPerSample(wav.encoding));
  decode(wav.encoding, wav.data, interleaved);
  if (wav.channels === 1) return interleaved;
  const mono = new Int16Array(interleaved.length / wav.channels);
  for (let i = 0; i < mono.length; i++) {
    let sum = 0;
    for (let c = 0; c < wav.channels; c++) sum += interleaved[i * wav.channels + c] as number;
    mono[i] = Math.round(sum / wav.channels);
  }
  return mono;
}

/** Length of every header that {@link wavHeader} makes: it can be written again over itself. */
export const WAV_HEADER_BYTES = 58;

/**
 * Header for `dataBytes` octets of audio. A writer that does not know the length yet begins with 0 and, at the end,
 * writes the header once more at offset 0; a reader finds what is there until then.
 */
export function wavHeader(format: WavFormat, dataBytes: number): Buffer {
  const { encoding, channels, sampleRate } = format;
  const width = bytesPerSample(encoding);
  const header = Buffer.alloc(WAV_HEADER_BYTES);
  const bounded = Math.min(dataBytes, 0xffffffff - WAV_HEADER_BYTES);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(WAV_HEADER_BYTES - 8 + bounded + (bounded & 1), 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(18, 16);
  header.writeUInt16LE(encoding === 'mulaw' ? TAG_MULAW : encoding === 'alaw' ? TAG_ALAW : TAG_PCM, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(sampleRate, 24);
  header.writeUInt32LE(sampleRate * channels * width, 28);
  header.writeUInt16LE(channels * width, 32);
  header.writeUInt16LE(width * 8, 34);
  // Encodings other than PCM need the extension size (0) and a fact chunk with the number of samples.
  header.write('fact', 38, 'latin1');
  header.writeUInt32LE(4, 42);
  header.writeUInt32LE(Math.floor(bounded / (width * channels)), 46);
  header.write('data', 50, 'latin1');
  header.writeUInt32LE(bounded, 54);
  return header;
}

/** Counts what goes into a file, so that its header can be put right at the end. */
export class WavWriter {
  readonly format: WavFormat;
  #dataBytes = 0;

  constructor(format: WavFormat) {
    this.format = format;
  }

  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** What the file begins with. */
  start(): Buffer {
    return wavHeader(this.format, 0);
  }

  /** Call for every piece of audio that is appended. */
  appended(bytes: number): void {
    this.#dataBytes += bytes;
  }

  /** Written over the file's beginning (offset 0) when the audio is complete, or now and then before. */
  fixUp(): Buffer {
    return wavHeader(this.format, this.#dataBytes);
  }

  /** Octets to append before the last {@link fixUp}: RIFF chunks have an even length. */
  padding(): Buffer {
    return Buffer.alloc(this.#dataBytes & 1);
  }
}
