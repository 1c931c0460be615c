import { Histogram, type Registry } from 'prom-client';

/** Durations that wait to be counted, at most. */
const GATHERED = 512;

/**
 * A histogram of durations in seconds. They are gathered, and counted by the hundred or when the page is read: what a
 * histogram does for a single value costs a call as much as its timers do.
 */
export class DurationHistogram {
  readonly #histogram: Histogram;
  readonly #gathered = new Float64Array(GATHERED);
  #count = 0;

  constructor(registry: Registry, spec: { name: string; help: string; buckets: readonly number[] }) {
    const count = (): void => this.#countAll();
    const { name, help } = spec;
    this.#histogram = new Histogram({ name, help, buckets: [...spec.buckets], registers: [registry], collect: count });
  }

  observe(seconds: number): void {
    this.#gathered[this.#count++] = seconds;
    if (this.#count === GATHERED) this.#countAll();
  }

  #countAll(): void {
    for (let i = 0; i < this.#count; i++) this.#histogram.observe(this.#gathered[i] as number);
    this.#count = 0;
  }
}
