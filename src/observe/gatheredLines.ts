import type { DestinationStream } from 'pino';
import type { Clock, Timer } from '../kernel/index.js';

/** What takes the lines: several at a time. */
export interface LineSink {
  write(lines: string): unknown;
  /** Waits until all is written. */
  flushSync(): void;
}

/** Lines are written together, so that a busy node does not go to another thread and back for each. */
const GATHER_CHARACTERS = 8_192;
/** Longest time that a line waits for others. */
const GATHER_MS = 200;

/** Those that hold lines: what a process that exits by itself must still write. */
const holding = new Set<GatheredLines>();
process.on('exit', () => {
  for (const lines of holding) lines.flushSync();
});

/**
 * Lines of a log on their way to a sink, which gets them by the dozen: pino's own counts the octets of all that waits
 * with every line, which costs a call more than its line does.
 */
export class GatheredLines implements DestinationStream {
  readonly #sink: LineSink;
  readonly #clock: Clock;
  #waiting = '';
  #timer: Timer | undefined;

  constructor(sink: LineSink, clock: Clock) {
    this.#sink = sink;
    this.#clock = clock;
  }

  write(line: string): void {
    this.#waiting += line;
    if (this.#waiting.length >= GATHER_CHARACTERS) this.#release();
    else if (this.#timer === undefined) {
      this.#timer = this.#clock.setTimer('log.gather', GATHER_MS, this.#release);
      holding.add(this);
    }
  }

  /** Writes what waits, and waits for it. */
  flushSync(): void {
    this.#release();
    this.#tell(() => this.#sink.flushSync());
  }

  readonly #release = (): void => {
    const lines = this.#waiting;
    this.#waiting = '';
    this.#timer?.cancel();
    this.#timer = undefined;
    holding.delete(this);
    if (lines !== '') this.#tell(() => this.#sink.write(lines));
  };

  #tell(act: () => void): void {
    try {
      act();
    } catch {
      // The sink is closed or was never open: there is nobody left to tell.
    }
  }
}
