export interface QualityInput {
  /** Packets that were not heard, lost or late, of those expected: 0-1. */
  readonly lossRatio: number;
  /** Mouth to ear in one direction, jitter buffer included. */
  readonly delayMs: number;
  /** Jitter that the buffer does not cover yet; counts twice as delay, as in common practice. Default 0. */
  readonly jitterMs?: number | undefined;
}

/** R of an undisturbed G.711 call with the default values of ITU-T G.107. */
const R_BEST = 93.2;
/** Robustness of G.711 with loss concealment against random loss, ITU-T G.113 appendix I. */
const BPL_G711 = 25.1;
/** Packets, codec and playing take this long even on a perfect network: one frame of 20 ms and its look. */
const FIXED_DELAY_MS = 20;

/** Transmission rating of ITU-T G.107, simplified: delay and loss are what varies between calls. 0-93.2 */
export function ratingFactor(input: QualityInput): number {
  const delay = Math.max(0, input.delayMs) + 2 * Math.max(0, input.jitterMs ?? 0) + FIXED_DELAY_MS;
  const delayImpairment = 0.024 * delay + (delay > 177.3 ? 0.11 * (delay - 177.3) : 0);
  const lossPercent = Math.max(0, Math.min(1, input.lossRatio)) * 100;
  const lossImpairment = (95 * lossPercent) / (lossPercent + BPL_G711);
  return Math.max(0, Math.min(R_BEST, R_BEST - delayImpairment - lossImpairment));
}

/** Mean opinion score, 1 to 4.5 (ITU-T G.107 annex B). */
export function estimateMos(input: QualityInput): number {
  const r = ratingFactor(input);
  // The cubic of the standard dips below 1 for very small R.
  return Math.max(1, Math.min(4.5, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6));
}
