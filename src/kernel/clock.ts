import { TimerQueue } from './timerQueue.js';

/** A pending timer. Names are for `dump()`: whoever leaves one behind can be found. */
export interface Timer {
  readonly name: string;
  readonly active: boolean;
  cancel(): void;
}

/** The only source of time. Durations come from `nowMs`, dates for people and CDRs from `wallMs`. */
export interface Clock {
  /** Monotonic milliseconds with a fraction; arbitrary origin; never steps. */
  nowMs(): number;
  /** Milliseconds since 1970-01-01 UTC; may step. */
  wallMs(): number;
  setTimer(name: string, delayMs: number, fire: () => void): Timer;
  /** Count of live timers by name. */
  dump(): Record<string, number>;
}

/** Called after what the event loop handles now, and before it waits for anything: for what may gather, not for time. */
export const atEndOfTurn = (done: () => void): void => void setImmediate(done);

/** Coarsest step of SystemClock: timers within it share one wake-up of the process. */
const TICK_MS = 4;

/**
 * Long timers (32 s after each transaction, in the main) may come this much late, so that those of many calls share a
 * wake-up: each costs the process as much as a datagram.
 */
const SLACK_MS = 64;
const SLACK_FROM_MS = 4_000;

/** Real time. All timers share one Node timer, armed for the earliest. */
export class SystemClock implements Clock {
  readonly #queue = new TimerQueue();
  #armed: NodeJS.Timeout | undefined;
  #armedForMs = Infinity;
  readonly #onError: (error: unknown) => void;

  /** @param onError told of what a timer's callback threw; the other timers go on. Default: rethrow as uncaught. */
  constructor(onError?: (error: unknown) => void) {
    this.#onError =
      onError ??
      ((error) => {
        queueMicrotask(() => {
          throw error;
        });
      });
  }

  nowMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  setTimer(name: string, delayMs: number, fire: () => void): Timer {
    const now = performance.now();
    const from = delayMs >= SLACK_FROM_MS ? Math.ceil(now / SLACK_MS) * SLACK_MS : now;
    const timer = this.#queue.add(name, delayMs, from, fire);
    const dueMs = from + delayMs;
    if (dueMs < this.#armedForMs) this.#arm(dueMs, now);
    return timer;
  }

  dump(): Record<string, number> {
    return this.#queue.dump();
  }

  #arm(dueMs: number, nowMs: number): void {
    if (this.#armed !== undefined) clearTimeout(this.#armed);
    this.#armedForMs = dueMs;
    this.#armed = setTimeout(this.#run, Math.max(1, Math.ceil(dueMs - nowMs)));
    // Sockets keep a process alive; a timer that outlives them must not.
    this.#armed.unref();
  }

  readonly #run = (): void => {
    this.#armed = undefined;
    this.#armedForMs = Infinity;
    const now = performance.now();
    for (;;) {
      try {
        if (!this.#queue.fireNext(now)) break;
      } catch (error) {
        this.#onError(error);
      }
    }
    const next = this.#queue.nextDueMs();
    if (next !== undefined && next < this.#armedForMs) this.#arm(Math.max(next, now + TICK_MS), now);
  };
}

/** Simulated time: stands still until advanced. */
export class ManualClock implements Clock {
  readonly #queue = new TimerQueue();
  #nowMs = 0;
  #wallOffsetMs: number;

  constructor(wallStartMs = Date.UTC(2026, 0, 1)) {
    this.#wallOffsetMs = wallStartMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs;
  }

  /** Steps the wall clock alone, as an operator or NTP would. */
  stepWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  setTimer(name: string, delayMs: number, fire: () => void): Timer {
    return this.#queue.add(name, delayMs, this.#nowMs, fire);
  }

  get pending(): number {
    return this.#queue.size;
  }

  dump(): Record<string, number> {
    return this.#queue.dump();
  }

  /** Runs every timer due within the next `byMs`, each at its own time, then stands at now + byMs. */
  advance(byMs: number): void {
    const until = this.#nowMs + byMs;
    for (;;) {
      const due = this.#queue.nextDueMs();
      if (due === undefined || due > until) break;
      this.#nowMs = Math.max(this.#nowMs, due);
      this.#queue.fireNext(this.#nowMs);
    }
    this.#nowMs = until;
  }

  /** As advance, but lets promise continuations run after each timer. */
  async advanceAsync(byMs: number): Promise<void> {
    const until = this.#nowMs + byMs;
    for (;;) {
      await flushMicrotasks();
      const due = this.#queue.nextDueMs();
      if (due === undefined || due > until) break;
      this.#nowMs = Math.max(this.#nowMs, due);
      this.#queue.fireNext(this.#nowMs);
    }
    this.#nowMs = until;
    await flushMicrotasks();
  }
}

const flushMicrotasks = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
};
