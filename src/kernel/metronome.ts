/** A steady beat. The real one is `SystemMetronome`; tests beat by hand. */
export interface Metronome {
  /**
   * Calls `beat` every `periodMs` until the returned function is called. `nowMs` is monotonic, as of the Clock; `lost`:
   * so many beats before this one were given up.
   */
  start(periodMs: number, beat: (nowMs: number, lost: number) => void): () => void;
}

/** A process that stood still for longer than this does not make up for it beat by beat: it goes on from now. */
const MOST_BEHIND = 12;
/** Node's timers count whole milliseconds and may come that much early; a beat this close is on time. */
const EARLY_MS = 0.25;

/** Which beat is due when: each a whole number of periods after the first, however late the one before was taken. */
export class BeatGrid {
  readonly #periodMs: number;
  #dueMs: number;

  constructor(startMs: number, periodMs: number) {
    this.#periodMs = periodMs;
    this.#dueMs = startMs + periodMs;
  }

  /** How long until the next beat; 0 or less: it is overdue. */
  waitMs(nowMs: number): number {
    return this.#dueMs - nowMs - EARLY_MS;
  }

  /** Takes the beat that is due. @returns how many before it were given up; undefined: none is due */
  take(nowMs: number): number | undefined {
    if (this.waitMs(nowMs) > 0) return undefined;
    this.#dueMs += this.#periodMs;
    const overdue = Math.floor((nowMs + EARLY_MS - this.#dueMs) / this.#periodMs) + 1;
    if (overdue <= MOST_BEHIND) return 0;
    this.#dueMs += overdue * this.#periodMs;
    return overdue;
  }
}

/**
 * Beats that do not drift. When several are overdue they come one by one, with the event loop's input between them:
 * what arrived while the process was busy is seen by the beat that it was meant for.
 */
export class SystemMetronome implements Metronome {
  start(periodMs: number, beat: (nowMs: number, lost: number) => void): () => void {
    const grid = new BeatGrid(performance.now(), periodMs);
    let timer: NodeJS.Timeout;
    const arm = (nowMs: number): void => {
      timer = setTimeout(run, Math.max(0, Math.ceil(grid.waitMs(nowMs))));
      timer.unref();
    };
    const run = (): void => {
      const nowMs = performance.now();
      const lost = grid.take(nowMs);
      if (lost !== undefined) beat(nowMs, lost);
      if (!stopped) arm(performance.now());
    };
    let stopped = false;
    arm(performance.now());
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }
}
