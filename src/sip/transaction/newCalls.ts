/**
 * What becomes of new calls in a turn of the event loop, and between turns. While few come they go on at once. Where many
 * come together, those behind the first wait until the sockets are read: what calls that are there want, and what is refused
 * at once, must not stand behind them in the system's buffers, which overflow.
 */
import type { Clock } from '../../kernel/index.js';
import { WaitingCalls } from './waitingCalls.js';

/** So many of a turn go on at once. */
const MOST_AT_ONCE = 8;
/** Those who waited are served for so long, before the sockets are read again; milliseconds. */
const SERVING_MS = 2;
/** From so many messages in a turn on a socket may hold more (libuv takes 32 at a time). */
export const MORE_TO_READ = 32;
/** Sockets that hold more are read for so long before anybody who waits is served. */
const READING_MS = 20;

export interface NewCallsOptions<T> {
  readonly clock: Clock;
  /** Longest wait in a queue that stands, in milliseconds. */
  readonly targetMs: number;
  /** See the kernel. */
  readonly atEndOfTurn: (done: () => void) => void;
  /** One that has waited; `isLate`: it is to be refused. Must not throw. */
  readonly onNext: (call: T, isLate: boolean) => void;
}

export class NewCalls<T> {
  readonly #options: NewCallsOptions<T>;
  readonly #waiting: WaitingCalls<T>;
  #isTurnMarked = false;
  /** Of this turn. */
  #messages = 0;
  #atOnce = 0;
  /** Since when sockets have been read while somebody waits. */
  #readingSinceMs: number | undefined;
  #wasRefusing = false;

  constructor(options: NewCallsOptions<T>) {
    this.#options = options;
    this.#waiting = new WaitingCalls(options.targetMs);
  }

  /** True from the first refusal until a second after the last. */
  get isRefusing(): boolean {
    return this.#wasRefusing && (this.#wasRefusing = this.#waiting.isRefusing(this.#options.clock.nowMs()));
  }

  /** To be called for each message, whatever it is. */
  heard(): void {
    this.#messages++;
  }

  /** Whether a new call may go on at once; otherwise it has to `enter`. */
  mayGoOn(): boolean {
    this.#markTurn();
    if (this.#waiting.size > 0 || this.#atOnce >= MOST_AT_ONCE || this.isRefusing) return false;
    this.#atOnce++;
    return true;
  }

  /** @returns false when it is to be refused; otherwise `onNext` will have it */
  enter(call: T): boolean {
    this.#markTurn();
    if (this.#waiting.enter(call, this.#options.clock.nowMs())) return true;
    this.#wasRefusing = true;
    return false;
  }

  #markTurn(): void {
    if (this.#isTurnMarked) return;
    this.#isTurnMarked = true;
    this.#options.atEndOfTurn(this.#turnOver);
  }

  readonly #turnOver = (): void => {
    const isMoreToRead = this.#messages >= MORE_TO_READ;
    this.#isTurnMarked = false;
    this.#messages = this.#atOnce = 0;
    if (this.#waiting.size === 0) return;
    const nowMs = this.#options.clock.nowMs();
    this.#readingSinceMs ??= nowMs;
    if (!isMoreToRead || nowMs - this.#readingSinceMs >= READING_MS) this.#serve(nowMs);
    if (this.#waiting.size > 0) this.#markTurn();
  };

  #serve(fromMs: number): void {
    this.#readingSinceMs = undefined;
    const { clock, onNext } = this.#options;
    for (let nowMs = fromMs; nowMs < fromMs + SERVING_MS; nowMs = clock.nowMs()) {
      const next = this.#waiting.next(nowMs);
      if (next === undefined) return;
      if (next.isLate) this.#wasRefusing = true;
      onNext(next.call, next.isLate);
    }
  }
}
