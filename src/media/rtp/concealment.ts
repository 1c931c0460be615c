/**
 * Loss concealment for speech at 8 or 16 kHz, in the spirit of ITU-T G.711 appendix I: what is missing is replaced
 * by repeating the last pitch period, which fades out over 60 ms, and the real signal is blended in when it returns.
 * Nothing is delayed for it: the joint to what was played already is smoothed by spreading its step over the first
 * samples of the replacement.
 */

/** All lengths are in samples at 8 kHz. */
const BASE_RATE = 8000;
/** 66 Hz to 200 Hz: the range of pitch that is looked for. */
const PITCH_MIN = 40;
const PITCH_MAX = 120;
/** Stretch that is compared with itself one pitch earlier. */
const CORRELATION = 160;
const HISTORY = 2 * PITCH_MAX + CORRELATION;
/** First 10 ms at full strength, then down to nothing at 60 ms. */
const HOLD = 80;
const GONE = 480;
/** More periods come into play as the gap gets longer, or the repetition would sound like a tone. */
const NEXT_PERIOD = 80;
const MAX_PERIODS = 3;
const BLEND = 32;

export class LossConcealer {
  /** Samples for one at 8 kHz. */
  readonly #scale: number;
  /** The last samples played, oldest first. */
  readonly #history: Int16Array;
  /** Samples concealed since the last real one. */
  #gap = 0;
  #pitch: number;
  /** The history when the gap began. */
  readonly #frozen: Int16Array;
  /** The periods that are repeated. */
  readonly #cycle: Float64Array;
  #cycleLength = 0;
  #cycleAt = 0;
  #periods = 0;
  #step = 0;

  /** @param rate samples a second, a multiple of 8000 */
  constructor(rate = BASE_RATE) {
    this.#scale = rate / BASE_RATE;
    this.#history = new Int16Array(HISTORY * this.#scale);
    this.#frozen = new Int16Array(HISTORY * this.#scale);
    this.#cycle = new Float64Array(PITCH_MAX * MAX_PERIODS * this.#scale);
    this.#pitch = PITCH_MIN * this.#scale;
  }

  /** A frame that came. After a gap its beginning is blended with the replacement, in place. */
  feed(frame: Int16Array): void {
    if (this.#gap > 0) {
      // The longer the gap, the less the two fit: a longer blend hides more.
      const blend = Math.min(frame.length, BLEND * this.#scale + Math.min(this.#gap >> 2, 48 * this.#scale));
      for (let i = 0; i < blend; i++) {
        const weight = (i + 1) / (blend + 1);
        frame[i] = Math.round((frame[i] as number) * weight + this.#next() * (1 - weight));
      }
      this.#gap = 0;
    }
    this.#remember(frame);
  }

  /** Fills a frame that did not come. */
  conceal(target: Int16Array): void {
    if (this.#gap === 0) this.#begin();
    for (let i = 0; i < target.length; i++) target[i] = Math.round(this.#next());
    this.#remember(target);
  }

  /** Forgets the signal: another talker, another stream. */
  reset(): void {
    this.#history.fill(0);
    this.#gap = 0;
  }

  #remember(frame: Int16Array): void {
    const { length } = this.#history;
    const keep = Math.max(0, length - frame.length);
    this.#history.copyWithin(0, length - keep);
    this.#history.set(frame.length > length ? frame.subarray(frame.length - length) : frame, keep);
  }

  #begin(): void {
    this.#frozen.set(this.#history);
    this.#pitch = findPitch(this.#frozen, this.#scale);
    this.#cycleAt = 0;
    this.#usePeriods(1);
    const newest = this.#history.length - 1;
    this.#step = (this.#history[newest] as number) - (this.#history[newest - this.#pitch] as number);
  }

  /** Makes the last `count` periods of the history the ones that are repeated, their two ends made to meet. */
  #usePeriods(count: number): void {
    const pitch = this.#pitch;
    const length = pitch * count;
    const start = this.#frozen.length - length;
    const overlap = pitch >> 2;
    for (let i = 0; i < length; i++) this.#cycle[i] = this.#frozen[start + i] as number;
    for (let i = 0; i < overlap; i++) {
      const weight = (i + 1) / (overlap + 1);
      const end = length - overlap + i;
      const before = this.#frozen[start - overlap + i] as number;
      this.#cycle[end] = (this.#cycle[end] as number) * (1 - weight) + before * weight;
    }
    this.#cycleLength = length;
    this.#periods = count;
  }

  #next(): number {
    const scale = this.#scale;
    const gap = this.#gap++;
    if (gap >= GONE * scale) return 0;
    if (gap === NEXT_PERIOD * scale * this.#periods && this.#periods < MAX_PERIODS) {
      // Periods lie in step: the place in one is the place in all.
      this.#cycleAt %= this.#pitch;
      this.#usePeriods(this.#periods + 1);
    }
    let value = this.#cycle[this.#cycleAt] as number;
    if (++this.#cycleAt === this.#cycleLength) this.#cycleAt = 0;
    const smooth = this.#pitch >> 1;
    if (gap < smooth) value += this.#step * (1 - (gap + 1) / (smooth + 1)) ** 2;
    const gain = gap < HOLD * scale ? 1 : 1 - (gap / scale - HOLD) / (GONE - HOLD);
    return Math.max(-32768, Math.min(32767, value * gain));
  }
}

/** The lag at which the end of the signal is most like itself: coarsely over some of the samples, then exactly. */
function findPitch(history: Int16Array, scale: number): number {
  const coarse = 2 * scale;
  const [min, max] = [PITCH_MIN * scale, PITCH_MAX * scale];
  let best = min;
  let bestScore = -Infinity;
  for (let lag = min; lag <= max; lag += coarse) {
    const score = likeness(history, lag, coarse);
    if (score > bestScore) {
      bestScore = score;
      best = lag;
    }
  }
  let exact = best;
  bestScore = -Infinity;
  for (let lag = Math.max(min, best - coarse + 1); lag <= Math.min(max, best + coarse - 1); lag++) {
    const score = likeness(history, lag, scale);
    if (score > bestScore) {
      bestScore = score;
      exact = lag;
    }
  }
  return exact;
}

/** Normalised correlation of the last stretch with the one `lag` samples before. */
function likeness(history: Int16Array, lag: number, stride: number): number {
  const end = history.length;
  let cross = 0;
  let energy = 0;
  for (let i = end - (CORRELATION * end) / HISTORY; i < end; i += stride) {
    const earlier = history[i - lag] as number;
    cross += (history[i] as number) * earlier;
    energy += earlier * earlier;
  }
  return cross / Math.sqrt(Math.max(energy, 1));
}
