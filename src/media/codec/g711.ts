/**
 * ITU-T G.711 by table. The rules are those of the ITU-T G.191 software tool library: linear samples are 16 bits,
 * left-justified (mu-law uses the upper 14, A-law the upper 12), and a negative sample is folded by one's complement.
 */

/** Mu-law code of zero. */
export const MULAW_SILENCE = 0xff;
/** A-law code of the smallest positive step. */
export const ALAW_SILENCE = 0xd5;

const MULAW_BIAS = 33;
const MULAW_CLIP = 0x1fff;

function expandMulaw(code: number): number {
  const folded = ~code & 0xff;
  const exponent = (folded >> 4) & 7;
  const step = 8 << exponent;
  const magnitude = (0x80 << exponent) + step * (folded & 0x0f) + step / 2 - 4 * MULAW_BIAS;
  return code < 0x80 ? 0 - magnitude : magnitude;
}

function compressMulaw(sample: number): number {
  const magnitude = Math.min(((sample < 0 ? ~sample : sample) >> 2) + MULAW_BIAS, MULAW_CLIP);
  let segment = 1;
  for (let rest = magnitude >> 6; rest !== 0; rest >>= 1) segment++;
  const code = ((8 - segment) << 4) | (0x0f - ((magnitude >> segment) & 0x0f));
  return sample < 0 ? code : code | 0x80;
}

function expandAlaw(code: number): number {
  const folded = (code ^ 0x55) & 0x7f;
  const exponent = folded >> 4;
  let magnitude = ((folded & 0x0f) + (exponent > 0 ? 16 : 0)) * 16 + 8;
  if (exponent > 1) magnitude <<= exponent - 1;
  return code < 0x80 ? -magnitude : magnitude;
}

function compressAlaw(sample: number): number {
  let folded = (sample < 0 ? ~sample : sample) >> 4;
  if (folded > 15) {
    let exponent = 1;
    for (; folded > 31; folded >>= 1) exponent++;
    folded += (exponent << 4) - 16;
  }
  return (sample < 0 ? folded : folded | 0x80) ^ 0x55;
}

const codes = (value: (code: number) => number) => Array.from({ length: 256 }, (_, code) => value(code));

/** Code to sample. */
const MULAW_TO_LINEAR = Int16Array.from(codes((code) => expandMulaw(code) | 0));
const ALAW_TO_LINEAR = Int16Array.from(codes(expandAlaw));
/** Upper 14 (12) bits of the sample, as an unsigned index, to code: small enough for the first-level cache. */
const LINEAR_TO_MULAW = Uint8Array.from({ length: 0x4000 }, (_, i) => compressMulaw((i << 18) >> 16));
const LINEAR_TO_ALAW = Uint8Array.from({ length: 0x1000 }, (_, i) => compressAlaw((i << 20) >> 16));
const MULAW_TO_ALAW = Uint8Array.from(codes((code) => compressAlaw(expandMulaw(code) | 0)));
const ALAW_TO_MULAW = Uint8Array.from(codes((code) => compressMulaw(expandAlaw(code))));

function expand(table: Int16Array, source: Uint8Array, target: Int16Array): number {
  const count = Math.min(source.length, target.length);
  for (let i = 0; i < count; i++) target[i] = table[source[i] as number] as number;
  return count;
}

function translate(table: Uint8Array, source: Uint8Array, target: Uint8Array): number {
  const count = Math.min(source.length, target.length);
  for (let i = 0; i < count; i++) target[i] = table[source[i] as number] as number;
  return count;
}

/** Every function below handles as many samples as both sides hold and returns that number. */
export const decodeMulaw = (source: Uint8Array, target: Int16Array): number => expand(MULAW_TO_LINEAR, source, target);
export const decodeAlaw = (source: Uint8Array, target: Int16Array): number => expand(ALAW_TO_LINEAR, source, target);
/** Code for code; source and target may be the same array. */
export const mulawToAlaw = (source: Uint8Array, target: Uint8Array): number => translate(MULAW_TO_ALAW, source, target);
export const alawToMulaw = (source: Uint8Array, target: Uint8Array): number => translate(ALAW_TO_MULAW, source, target);

export function encodeMulaw(source: Int16Array, target: Uint8Array): number {
  const count = Math.min(source.length, target.length);
  for (let i = 0; i < count; i++) target[i] = LINEAR_TO_MULAW[((source[i] as number) >> 2) & 0x3fff] as number;
  return count;
}

export function encodeAlaw(source: Int16Array, target: Uint8Array): number {
  const count = Math.min(source.length, target.length);
  for (let i = 0; i < count; i++) target[i] = LINEAR_TO_ALAW[((source[i] as number) >> 4) & 0x0fff] as number;
  return count;
}

export const mulawToLinear = (code: number): number => MULAW_TO_LINEAR[code & 0xff] as number;
export const alawToLinear = (code: number): number => ALAW_TO_LINEAR[code & 0xff] as number;
export const linearToMulaw = (sample: number): number => LINEAR_TO_MULAW[(sample >> 2) & 0x3fff] as number;
export const linearToAlaw = (sample: number): number => LINEAR_TO_ALAW[(sample >> 4) & 0x0fff] as number;

/** True when no sample of the frame is louder than about -44 dBFS: a frame nobody misses. */
export function quietMulaw(payload: Uint8Array): boolean {
  // The codes of small magnitude are the large ones, in both halves.
  for (let i = 0; i < payload.length; i++) if (((payload[i] as number) & 0x7f) < 0x57) return false;
  return true;
}

/** As {@link quietMulaw}. */
export function quietAlaw(payload: Uint8Array): boolean {
  for (let i = 0; i < payload.length; i++) if ((((payload[i] as number) ^ 0x55) & 0x7f) > 0x13) return false;
  return true;
}
