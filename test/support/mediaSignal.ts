import { toneGenerator } from '../../src/media/codec/tone.js';

/** Amplitude of one frequency in a signal: a single bin of the Fourier transform in a Hann window. */
export function amplitudeAt(pcm: Int16Array, hz: number, sampleRate: number): number {
  let real = 0;
  let imaginary = 0;
  let weights = 0;
  for (let i = 0; i < pcm.length; i++) {
    const weight = 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / pcm.length);
    const angle = (2 * Math.PI * hz * i) / sampleRate;
    real += weight * (pcm[i] as number) * Math.cos(angle);
    imaginary += weight * (pcm[i] as number) * Math.sin(angle);
    weights += weight;
  }
  return (2 * Math.hypot(real, imaginary)) / weights;
}

export const decibel = (ratio: number): number => 20 * Math.log10(Math.max(ratio, 1e-9));

export function tone(
  hz: readonly number[],
  samples: number,
  options: { sampleRate?: number; amplitude?: number } = {},
) {
  const pcm = new Int16Array(samples);
  toneGenerator(hz, options).fill(pcm);
  return pcm;
}

export const joined = (parts: readonly Int16Array[]): Int16Array => {
  const all = new Int16Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

export const rms = (pcm: Int16Array): number =>
  Math.sqrt(pcm.reduce((sum, value) => sum + value * value, 0) / Math.max(1, pcm.length));

/** The largest step between neighbouring samples. */
export function steepest(pcm: Int16Array): number {
  let most = 0;
  for (let i = 1; i < pcm.length; i++) most = Math.max(most, Math.abs((pcm[i] as number) - (pcm[i - 1] as number)));
  return most;
}
