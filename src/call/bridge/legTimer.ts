/** Runs the session timer of one leg by its table: one kernel timer at a time, and none while there is nothing to time. */
import type { Clock, Random, Timer } from '../../kernel/index.js';
import { TIMER_TABLE, type TimerAction, type TimerEvent, type TimerState } from './sessionTable.js';

export interface LegTimerUser {
  /** Send a refresh; its outcome comes back as `ours`, `theirs`, `none` or `refused`. */
  refresh(): void;
  /** Nobody refreshed the session in time. */
  expired(): void;
}

/** RFC 4028 §10: whoever does not refresh ends the session this much before its end, or a third of it if that is less. */
const MARGIN_MS = 32_000;
/** Before a refused refresh is tried again; RFC 3261 §14.1 has the same after a 491. */
const RETRY_MS = 2000;
const RETRY_SPREAD_MS = 2000;

export class LegTimer {
  /** Of the interval that is agreed; undefined: none. */
  seconds: number | undefined;
  #state: TimerState = 'off';
  #timer: Timer | undefined;
  #deadlineMs = 0;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #user: LegTimerUser;
  readonly #marginMs: number;

  /** @param marginMs how long before the end of the interval a peer that does not refresh is given up */
  constructor(clock: Clock, random: Random, user: LegTimerUser, marginMs = MARGIN_MS) {
    this.#marginMs = marginMs;
    this.#clock = clock;
    this.#random = random;
    this.#user = user;
  }

  get state(): TimerState {
    return this.#state;
  }

  /** A 2xx has settled who refreshes. @param seconds undefined: the session does not expire */
  agree(who: 'ours' | 'theirs', seconds: number | undefined): void {
    this.seconds = seconds;
    this.on(seconds === undefined ? 'none' : who);
  }

  on(event: TimerEvent): void {
    const { action, to } = TIMER_TABLE[this.#state][event];
    this.#state = to;
    this.#act(action);
  }

  dump(): object {
    return { state: this.#state, seconds: this.seconds ?? null };
  }

  #act(action: TimerAction): void {
    const intervalMs = (this.seconds ?? 0) * 1000;
    const nowMs = this.#clock.nowMs();
    switch (action) {
      case 'ignore':
        return;
      case 'armRefresh':
        this.#deadlineMs = nowMs + intervalMs;
        return this.#arm(intervalMs / 2);
      case 'armRetry':
        return this.#arm(Math.min(RETRY_MS + RETRY_SPREAD_MS * this.#random.float(), this.#deadlineMs - nowMs));
      case 'armDeadline':
        this.#deadlineMs = nowMs + intervalMs - Math.min(this.#marginMs, intervalMs / 3);
        return this.#arm(this.#deadlineMs - nowMs);
      case 'refresh':
        this.#arm(this.#deadlineMs - nowMs);
        return this.#user.refresh();
      case 'disarm':
        return this.#disarm();
      case 'expire':
        this.#disarm();
        return this.#user.expired();
    }
  }

  #arm(delayMs: number): void {
    this.#disarm();
    this.#timer = this.#clock.setTimer('session_timer', Math.max(0, delayMs), this.#due);
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  readonly #due = (): void => {
    this.#timer = undefined;
    this.on(this.#clock.nowMs() >= this.#deadlineMs ? 'deadline' : 'half_time');
  };
}
