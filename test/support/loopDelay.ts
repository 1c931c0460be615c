import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Runs `work` and tells the longest time for which it held the event loop, in milliseconds; exact to 5 ms. */
export async function longestHoldMs(work: () => Promise<void>): Promise<number> {
  const histogram = monitorEventLoopDelay({ resolution: 5 });
  histogram.enable();
  try {
    await work();
  } finally {
    histogram.disable();
  }
  return histogram.max / 1e6;
}
