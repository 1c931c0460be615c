import type { Clock, Timer } from '../../kernel/index.js';

const LONGEST_PAUSE_MS = 15_000;
const SHORTEST_PAUSE_MS = 50;
/** How many looks a limit is divided into: what is told is so much late at the most. */
const LOOKS = 4;

/** Notices that a peer has fallen silent, by asking the media server now and then how many packets have come. */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #count: () => Promise<number | undefined>;
  readonly #silent: () => void;
  #seen = -1;
  #heardMs: number;
  #told = false;
  #listening = true;
  #timer: Timer | undefined;
  #stopped = false;

  /** @param silent once per silence */
  constructor(clock: Clock, limitMs: number, ask: { count: () => Promise<number | undefined>; silent: () => void }) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#count = ask.count;
    this.#silent = ask.silent;
    this.#heardMs = clock.nowMs();
    this.#later();
  }

  /** @param listening whether the peer is meant to send */
  expect(listening: boolean): void {
    this.#listening = listening;
    this.#heardMs = this.#clock.nowMs();
    this.#told = false;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #later(): void {
    const pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, this.#limitMs / LOOKS));
    this.#timer = this.#clock.setTimer('freeswitch_silence', pauseMs, () => {
      if (!this.#listening) return this.#later();
      void this.#count().then((count) => this.#looked(count));
    });
  }

  #looked(count: number | undefined): void {
    if (this.#stopped) return;
    const nowMs = this.#clock.nowMs();
    if (count === undefined || !this.#listening) {
      // Nothing is known.
    } else if (count !== this.#seen) {
      this.#seen = count;
      this.#heardMs = nowMs;
      this.#told = false;
    } else if (!this.#told && nowMs - this.#heardMs >= this.#limitMs) {
      this.#told = true;
      this.#silent();
    }
    this.#later();
  }
}
