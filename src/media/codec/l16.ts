/**
 * Linear 16-bit samples as octets: little-endian in WAV files and in every voice-bot dialect, big-endian in RTP L16
 * (RFC 3551 §4.5.11). An odd last octet is left alone: no half samples.
 */

const NATIVE_LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

const octetsOf = (samples: Int16Array): Uint8Array =>
  new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);

function readSamples(source: Uint8Array, target: Int16Array, swap: boolean): number {
  const count = Math.min(source.length >> 1, target.length);
  const octets = octetsOf(target);
  if (!swap) octets.set(source.length === count * 2 ? source : source.subarray(0, count * 2));
  else {
    for (let i = 0; i < count * 2; i += 2) {
      octets[i] = source[i + 1] as number;
      octets[i + 1] = source[i] as number;
    }
  }
  return count;
}

function writeSamples(source: Int16Array, target: Uint8Array, swap: boolean): number {
  const count = Math.min(source.length, target.length >> 1);
  const octets = octetsOf(source);
  if (!swap) target.set(octets.length === count * 2 ? octets : octets.subarray(0, count * 2));
  else {
    for (let i = 0; i < count * 2; i += 2) {
      target[i] = octets[i + 1] as number;
      target[i + 1] = octets[i] as number;
    }
  }
  return count;
}

/** Each handles as many samples as both sides hold and returns that number of samples. */
export const decodeL16Le = (source: Uint8Array, target: Int16Array): number =>
  readSamples(source, target, !NATIVE_LITTLE);
export const decodeL16Be = (source: Uint8Array, target: Int16Array): number =>
  readSamples(source, target, NATIVE_LITTLE);
export const encodeL16Le = (source: Int16Array, target: Uint8Array): number =>
  writeSamples(source, target, !NATIVE_LITTLE);
export const encodeL16Be = (source: Int16Array, target: Uint8Array): number =>
  writeSamples(source, target, NATIVE_LITTLE);

/** As `quietMulaw`, of samples as RTP carries them. */
export function quietL16Be(payload: Uint8Array): boolean {
  for (let i = 0; i + 1 < payload.length; i += 2) {
    const high = (payload[i] as number) ^ ((payload[i] as number) > 0x7f ? 0xff : 0);
    // 256 is -42 dBFS.
    if (high > 0) return false;
  }
  return true;
}
