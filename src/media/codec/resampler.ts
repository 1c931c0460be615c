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

/** One of the L sub-filters, without the taps that are zero. */
interface SubFilter {
  readonly weights: Float64Array;
  /** Which input each weight is for, counted from the oldest that the filter reaches. */
  readonly offsets: Int32Array;
}

interface Filter {
  readonly up: number;
  readonly down: number;
  /** Inputs that a sub-filter reaches. */
  readonly reach: number;
  readonly phases: readonly SubFilter[];
}

const designed = new Map<string, Filter>();

function design(up: number, down: number): Filter {
  const widest = Math.max(up, down);
  const half = (TAPS / 2) * widest;
  const reach = Math.ceil((2 * half + 1) / up);
  const norm = bessel0(KAISER_BETA);
  // The prototype runs at the common rate in * L, has its centre at `half` and is symmetric about it.
  const prototype = (k: number): number => {
    const x = k - half;
    if (Math.abs(x) > half) return 0;
    const window = bessel0(KAISER_BETA * Math.sqrt(1 - (x / half) ** 2)) / norm;
    const angle = (Math.PI * x) / widest;
    return (x === 0 ? 1 : Math.sin(angle) / angle) * window;
  };
  const phases = Array.from({ length: up }, (_, phase): SubFilter => {
    const all = Array.from({ length: reach }, (_, j) => prototype(phase + (reach - 1 - j) * up));
    // Each sub-filter passes a constant unchanged: no ripple at the input rate.
    const sum = all.reduce((total, weight) => total + weight, 0);
    const used = all
      .map((weight, offset) => ({ weight: weight / sum, offset }))
      .filter((tap) => tap.weight ** 2 > 1e-20);
    return {
      weights: Float64Array.from(used, (tap) => tap.weight),
      offsets: Int32Array.from(used, (tap) => tap.offset),
    };
  });
  return { up, down, reach, phases };
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

const rounded = (value: number): number => (value >= 32767 ? 32767 : value <= -32768 ? -32768 : Math.round(value));

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
    this.#kept = (this.#filter?.reach ?? 1) - 1;
    this.#line = new Float64Array(this.#kept + 480);
  }

  /** Delay of the filter, in samples of the input. */
  get delaySamples(): number {
    const filter = this.#filter;
    return filter === undefined ? 0 : ((TAPS / 2) * Math.max(filter.up, filter.down)) / filter.up;
  }

  /** After n inputs in all, ceil(n * outRate / inRate) outputs have come. The result is the caller's own. */
  process(input: Int16Array): Int16Array {
    const filter = this.#filter;
    if (filter === undefined) return input.slice();
    const line = this.#lineFor(input.length);
    line.set(input, this.#kept);
    const end = input.length * filter.up;
    const output = new Int16Array(Math.max(0, Math.ceil((end - this.#position) / filter.down)));
    // Output after output of one sub-filter, so that four of them share the reading of its weights.
    for (let first = 0; first < filter.up && first < output.length; first++) {
      const at = this.#position + first * filter.down;
      const phase = filter.phases[at % filter.up] as SubFilter;
      run(phase, filter, { line, oldest: Math.floor(at / filter.up), output, first });
    }
    this.#position += output.length * filter.down - end;
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

interface Run {
  readonly line: Float64Array;
  /** Where the first output's reach begins. */
  readonly oldest: number;
  readonly output: Int16Array;
  /** The first output of this sub-filter; every L-th is its own. */
  readonly first: number;
}

function run(phase: SubFilter, filter: Filter, { line, oldest, output, first }: Run): void {
  const { weights, offsets } = phase;
  const { up, down } = filter;
  let x = oldest;
  let n = first;
  for (; n + 3 * up < output.length; n += 4 * up, x += 4 * down) {
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    for (let t = 0; t < weights.length; t++) {
      const weight = weights[t] as number;
      const i = x + (offsets[t] as number);
      a += weight * (line[i] as number);
      b += weight * (line[i + down] as number);
      c += weight * (line[i + 2 * down] as number);
      d += weight * (line[i + 3 * down] as number);
    }
    output[n] = rounded(a);
    output[n + up] = rounded(b);
    output[n + 2 * up] = rounded(c);
    output[n + 3 * up] = rounded(d);
  }
  for (; n < output.length; n += up, x += down) {
    let a = 0;
    for (let t = 0; t < weights.length; t++) a += (weights[t] as number) * (line[x + (offsets[t] as number)] as number);
    output[n] = rounded(a);
  }
}
