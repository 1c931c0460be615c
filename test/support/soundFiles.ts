/** WAV files that telephones play and record, and what is in them. */
import { readFileSync } from 'node:fs';
import { parseWav } from '../../src/media/codec/wav.js';
import { toneGenerator } from '../../src/media/codec/tone.js';

const RATE = 8000;
/** 50 ms: frequencies 20 Hz apart are told from each other, and a break of 50 ms is seen. */
const WINDOW = 400;
/** Share of a window's power that a tone must have to be what is heard. */
const SHARE = 0.8;
/** Mean square of what counts as silence. */
const SILENCE = 100 * 100;

/** 8000 Hz, 16 bit, one channel: one frequency all along. */
export function toneWav(hz: number, seconds: number): Buffer {
  const samples = new Int16Array(seconds * RATE);
  toneGenerator([hz], { amplitude: 8000 }).fill(samples);
  return wavFile(samples);
}

export function wavFile(samples: Int16Array): Buffer {
  const head = Buffer.alloc(44);
  const bytes = samples.length * 2;
  head.write('RIFF', 0, 'latin1');
  head.writeUInt32LE(36 + bytes, 4);
  head.write('WAVEfmt ', 8, 'latin1');
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(RATE, 24);
  head.writeUInt32LE(RATE * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36, 'latin1');
  head.writeUInt32LE(bytes, 40);
  return Buffer.concat([head, Buffer.from(samples.buffer, samples.byteOffset, bytes)]);
}

/** Samples of a file of 16 bit at 8000 Hz, even one that is being written. @throws when it is something else */
export function samplesOf(path: string): Int16Array {
  const file = readFileSync(path);
  // A file that was not closed says 0 octets: the rest of it is meant.
  const data = file.indexOf('data', 12, 'latin1');
  if (data < 0) return new Int16Array(0);
  if (data > 0 && file.readUInt32LE(data + 4) === 0) file.writeUInt32LE(0xffff_ffff, data + 4);
  const wav = parseWav(file);
  if (!wav.ok) throw new Error(`${path}: ${wav.error}`);
  const { encoding, sampleRate, channels, data: pcm } = wav.value;
  if (encoding !== 'pcm16' || sampleRate !== RATE) throw new Error(`${path}: ${encoding} at ${sampleRate} Hz`);
  return Int16Array.from({ length: pcm.length / 2 / channels }, (_, i) => pcm.readInt16LE(i * 2 * channels));
}

/** For how many milliseconds this frequency is what is heard. */
export function msOf(samples: Int16Array, hz: number): number {
  return windowsOf(samples).filter((window) => share(window, hz) >= SHARE).length * (WINDOW / 8);
}

/** For how many milliseconds there is any sound. */
export function soundMsOf(samples: Int16Array): number {
  return windowsOf(samples).filter((window) => meanSquare(window) > SILENCE).length * (WINDOW / 8);
}

/** The frequencies of `candidates` in the order in which they are heard, repeats left out: at least 100 ms of each. */
export function orderOf(samples: Int16Array, candidates: readonly number[]): number[] {
  const heard: number[] = [];
  let before = 0;
  for (const window of windowsOf(samples)) {
    const now = candidates.find((hz) => share(window, hz) >= SHARE) ?? 0;
    if (now !== 0 && now === before && heard.at(-1) !== now) heard.push(now);
    before = now;
  }
  return heard;
}

function windowsOf(samples: Int16Array): Int16Array[] {
  return Array.from({ length: Math.floor(samples.length / WINDOW) }, (_, i) =>
    samples.subarray(i * WINDOW, (i + 1) * WINDOW),
  );
}

const meanSquare = (window: Int16Array): number =>
  window.reduce((sum, sample) => sum + sample * sample, 0) / window.length;

/** Goertzel: the part of the window's power that lies at `hz`; 0 for silence. */
function share(window: Int16Array, hz: number): number {
  const all = meanSquare(window);
  if (all <= SILENCE) return 0;
  const coefficient = 2 * Math.cos((2 * Math.PI * hz) / RATE);
  let s1 = 0;
  let s2 = 0;
  for (const sample of window) {
    const s = sample + coefficient * s1 - s2;
    s2 = s1;
    s1 = s;
  }
  const power = (2 * (s1 * s1 + s2 * s2 - coefficient * s1 * s2)) / (window.length * window.length);
  return power / all;
}
