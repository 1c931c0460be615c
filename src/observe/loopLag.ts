import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Gauge, type Registry } from 'prom-client';

/** Each look wakes the process: at a tenth of this they cost a node that does little 1 % of a core. */
const RESOLUTION_MS = 100;

/** How late the event loop is: what a packet may have to wait for before it is looked at. */
export class LoopLag {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor() {
    this.#delay.enable();
  }

  /** Lag in seconds since the last `reset`. The probe sleeps 100 ms between looks; that part is no lag. */
  seconds(percentile: number): number {
    const nanoseconds = percentile >= 100 ? this.#delay.max : this.#delay.percentile(percentile);
    return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000);
  }

  register(registry: Registry): void {
    const read = (): [string, number][] => [
      ['0.5', this.seconds(50)],
      ['0.99', this.seconds(99)],
      ['1', this.seconds(100)],
    ];
    const reset = (): void => this.#delay.reset();
    new Gauge({
      name: 'tandem_event_loop_lag_seconds',
      help: 'Lateness of the event loop since the page was last read',
      labelNames: ['quantile'],
      registers: [registry],
      collect() {
        for (const [quantile, value] of read()) this.set({ quantile }, value);
        reset();
      },
    });
  }

  close(): void {
    this.#delay.disable();
  }
}
