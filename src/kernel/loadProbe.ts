import { openSync, readSync } from 'node:fs';

/** How busy this thread is. */
export interface LoadProbe {
  /** Share of the time since the last call in which the thread worked, or waited for a core to work on: 0 to 1. */
  busy(): number;
}

/** Nanoseconds on a core, nanoseconds of waiting for one, and a count: of the process's first thread. */
const SCHEDSTAT = '/proc/self/schedstat';

/**
 * The event loop's own account: how long it had something to do.
 *
 * A thread that rests within its loop, to let datagrams gather, looks busy to that. For such a one the lesser of it and
 * the scheduler's account counts (Linux; the process's first thread): how long the thread worked or waited for a core.
 * That errs downwards where the collector's helpers are kept from the cores and the thread sleeps until they are done.
 */
export class SystemLoadProbe implements LoadProbe {
  readonly #file: number | undefined;
  readonly #room = Buffer.alloc(96);
  #workedMs = 0;
  #atMs = performance.now();
  #loop = performance.eventLoopUtilization();

  /** @param rests whether the thread rests within its loop */
  constructor(rests: boolean) {
    this.#file = rests ? openOr(SCHEDSTAT) : undefined;
    this.#workedMs = this.#worked() ?? 0;
  }

  busy(): number {
    const nowMs = performance.now();
    const elapsedMs = nowMs - this.#atMs;
    this.#atMs = nowMs;
    const before = this.#loop;
    this.#loop = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(this.#loop, before);
    const worked = this.#worked();
    if (worked === undefined || elapsedMs <= 0) return utilization;
    const spentMs = worked - this.#workedMs;
    this.#workedMs = worked;
    return Math.min(utilization, Math.max(0, spentMs / elapsedMs));
  }

  /** Milliseconds of work and of waiting since the thread began. */
  #worked(): number | undefined {
    if (this.#file === undefined) return undefined;
    try {
      const length = readSync(this.#file, this.#room, 0, this.#room.length, 0);
      const [ran = '', waited = ''] = this.#room.toString('latin1', 0, length).split(' ');
      return (Number(ran) + Number(waited)) / 1e6;
    } catch {
      return undefined;
    }
  }
}

const openOr = (file: string): number | undefined => {
  try {
    return openSync(file, 'r');
  } catch {
    return undefined;
  }
};
