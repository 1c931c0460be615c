/**
 * Streaming sample-rate conversion by a rational polyphase FIR filter.
 *
 * The rate goes up by L and down by M in one step: only the samples that come out are computed, each from one of L
 * sub-filters. The prototype is a sinc in a Kaiser window whose half-power point lies exactly at half the lower rate;
 * going up, that makes one of the L sub-filters a plain copy of an input sample, which costs nothing.
 */

/** Length of a sub-filter when going up; the filter grows with M when going down, as its band gets narrower. */
const TAPS = 32;
/** Kaiser's parameter for 60 dB of stop-band attenuation. */
const KAISER_BETA = 5.65;

function bessel0(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

interface Filter {
  readonly up: number;
  readonly down: number;
  /** Taps of one sub-filter. */
  readonly taps: number;
  /** Sub-filter after sub-filter, each for its inputs from oldest to newest. */
  readonly weights: Float64Array;
  /** For a sub-filter that is a plain copy: which of its inputs. Otherwise -1. */
  readonly copyOf: Int32Array;
}

const designed = new Map<string, Filter>();

function design(up: number, down: number): Filter {
  const widest = Math.max(up, down);
  const half = (TAPS / 2) * widest;
  const taps = Math.ceil((2 * half + 1) / up) + (up === 1 ? 0 : 1);
  const weights = new Float64Array(taps * up);
  const norm = bessel0(KAISER_BETA);
  // The prototype runs at the common rate in * L, has its centre at `half` and is symmetric about it.
  const prototype = (k: number): number => {
    const x = k - half;
    if (Math.abs(x) > half) return 0;
    const window = bessel0(KAISER_BETA * Math.sqrt(1 - (x / half) ** 2)) / norm;
    const angle = (Math.PI * x) / widest;
    return (x === 0 ? 1 : Math.sin(angle) / angle) * window;
  };
  const copyOf = new Int32Array(up).fill(-1);
  for (let phase = 0; phase < up; phase++) {
    let sum = 0;
    for (let j = 0; j < taps; j++) {
      const weight = prototype(phase + (taps - 1 - j) * up);
      weights[phase * taps + j] = Math.abs(weight) < 1e-12 ? 0 : weight;
      sum += weight;
    }
    // Each sub-filter passes a constant unchanged: no ripple at the input rate.
    for (let j = 0; j < taps; j++) weights[phase * taps + j] = (weights[phase * taps + j] as number) / sum;
    const used = weights.subarray(phase * taps, (phase + 1) * taps).findIndex((weight) => Math.abs(weight - 1) < 1e-9);
    if (used >= 0) copyOf[phase] = used;
  }
  return { up, down, taps, weights, copyOf };
}

function filterFor(inRate: number, outRate: number): Filter {
  const common = divisor(inRate, outRate);
  const key = `${outRate / common}/${inRate / common}`;
  let filter = designed.get(key);
  if (filter === undefined) {
    filter = design(outRate / common, inRate / common);
    designed.set(key, filter);
  }
  return filter;
}

/** Keeps its state from chunk to chunk: any division of a signal into chunks gives the same output. */
export class Resampler {
  readonly #filter: Filter | undefined;
  /** The inputs that later outputs still need, then the current chunk. */
  #line: Float64Array;
  readonly #kept: number;
  /** Where the next output lies, in steps of 1 / L input samples from the first new input. */
  #position = 0;

  /** Rates in Hz; whole numbers. Equal rates copy. */
  constructor(inRate: number, outRate: number) {
    this.#filter = inRate === outRate ? undefined : filterFor(inRate, outRate);
    this.#kept = (this.#filter?.taps ?? 1) - 1;
    this.#line = new Float64Array(this.#kept + 480);
  }

  /** Delay of the filter in seconds of its input, times the input rate. */
  get delaySamples(): number {
    return this.#filter === undefined
      ? 0
      : ((TAPS / 2) * Math.max(this.#filter.up, this.#filter.down)) / this.#filter.up;
  }

  /** After n inputs in all, ceil(n * outRate / inRate) outputs have come. The result is the caller's own. */
  process(input: Int16Array): Int16Array {
    const filter = this.#filter;
    if (filter === undefined) return input.slice();
    const { up, down, taps } = filter;
    const line = this.#lineFor(input.length);
    line.set(input, this.#kept);
    const end = input.length * up;
    const output = new Int16Array(Math.max(0, Math.ceil((end - this.#position) / down)));
    let newest = Math.floor(this.#position / up);
    let phase = this.#position % up;
    const wholeStep = Math.floor(down / up);
    const phaseStep = down % up;
    for (let n = 0; n < output.length; n++) {
      const copied = filter.copyOf[phase] as number;
      const value =
        copied >= 0 ? (line[newest + copied] as number) : dot(filter.weights, phase * taps, line, newest, taps);
      output[n] = value >= 32767 ? 32767 : value <= -32768 ? -32768 : Math.round(value);
      newest += wholeStep;
      phase += phaseStep;
      if (phase >= up) {
        phase -= up;
        newest++;
      }
    }
    this.#position += output.length * down - end;
    line.copyWithin(0, input.length, input.length + this.#kept);
    return output;
  }

  /** Forgets the signal so far, as at a jump. */
  reset(): void {
    this.#line.fill(0);
    this.#position = 0;
  }

  #lineFor(chunk: number): Float64Array {
    if (this.#line.length < this.#kept + chunk) {
      const longer = new Float64Array(this.#kept + chunk);
      longer.set(this.#line.subarray(0, this.#kept));
      this.#line = longer;
    }
    return this.#line;
  }
}

// eslint-disable-next-line max-params -- the innermost loop of the media plane: no object may be built for it
function dot(weights: Float64Array, w: number, line: Float64Array, x: number, taps: number): number {
  let a = 0;
  let b = 0;
  let j = 0;
  for (; j + 3 < taps; j += 4) {
    a += (weights[w + j] as number) * (line[x + j] as number);
    b += (weights[w + j + 1] as number) * (line[x + j + 1] as number);
    a += (weights[w + j + 2] as number) * (line[x + j + 2] as number);
    b += (weights[w + j + 3] as number) * (line[x + j + 3] as number);
  }
  for (; j < taps; j++) a += (weights[w + j] as number) * (line[x + j] as number);
  return a + b;
}
