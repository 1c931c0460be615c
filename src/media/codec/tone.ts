export interface ToneOptions {
  /** Default 8000. */
  readonly sampleRate?: number | undefined;
  /** Peak of each frequency, of 32767. Default: 16384 shared among the frequencies. */
  readonly amplitude?: number | undefined;
}

export interface ToneGenerator {
  /** Writes the next samples; the phase goes on from call to call. */
  fill(target: Int16Array): void;
}

const TURN = 2 * Math.PI;

/** One sine or a chord of several. Frequencies at or above half the sampling rate are left out: they would fold. */
export function toneGenerator(frequenciesHz: readonly number[], options: ToneOptions = {}): ToneGenerator {
  const sampleRate = options.sampleRate ?? 8000;
  const heard = frequenciesHz.filter((hz) => hz > 0 && hz < sampleRate / 2);
  const amplitude = options.amplitude ?? 16384 / Math.max(1, heard.length);
  const steps = heard.map((hz) => (TURN * hz) / sampleRate);
  const phases = steps.map(() => 0);
  return {
    fill(target) {
      for (let i = 0; i < target.length; i++) {
        let sum = 0;
        for (let tone = 0; tone < steps.length; tone++) {
          const phase = phases[tone] as number;
          sum += Math.sin(phase);
          const next = phase + (steps[tone] as number);
          phases[tone] = next >= TURN ? next - TURN : next;
        }
        target[i] = Math.max(-32768, Math.min(32767, Math.round(sum * amplitude)));
      }
    },
  };
}
