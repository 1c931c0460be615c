import type { Clock, Timer } from '../../kernel/index.js';

/** The longest that one round of questions takes. */
const ROUND_MS = 8_000;

/** Asks one thing; answers once. */
export type Ask<A> = (answer: (outcome: A) => void) => void;

/** What becomes of the answers to a round of questions. */
export interface Gatherer<A> {
  /** How long the rest is still waited for once this is there, ms: some servers never answer what they do not know. */
  patience(answer: A): number | undefined;
  /** Once, in the order of the questions; undefined where no answer came in time. */
  done(answers: readonly (A | undefined)[]): void;
}

/** Several questions asked side by side. */
export class Gathering<A> {
  readonly #answers: (A | undefined)[] = [];
  readonly #clock: Clock;
  readonly #gatherer: Gatherer<A>;
  #missing = 0;
  #asking = true;
  #untilMs = 0;
  #timer: Timer | undefined;
  #over = false;

  constructor(clock: Clock, gatherer: Gatherer<A>) {
    this.#clock = clock;
    this.#gatherer = gatherer;
  }

  /** Done within the call when all of them are answered there. */
  start(asks: readonly Ask<A>[]): void {
    this.#missing = asks.length;
    this.#answers.length = asks.length;
    this.#untilMs = this.#clock.nowMs() + ROUND_MS;
    asks.forEach((ask, i) => ask((answer) => this.#answered(i, answer)));
    this.#asking = false;
    if (this.#missing === 0) this.#finish();
    else this.#wait();
  }

  cancel(): void {
    this.#over = true;
    this.#timer?.cancel();
  }

  #answered(i: number, answer: A): void {
    if (this.#over) return;
    this.#answers[i] = answer;
    this.#missing--;
    const patienceMs = this.#gatherer.patience(answer);
    const sooner = patienceMs !== undefined && this.#clock.nowMs() + patienceMs < this.#untilMs;
    if (sooner) this.#untilMs = this.#clock.nowMs() + patienceMs;
    if (this.#asking) return;
    if (this.#missing === 0) this.#finish();
    else if (sooner) this.#wait();
  }

  #wait(): void {
    this.#timer?.cancel();
    const ms = Math.max(0, this.#untilMs - this.#clock.nowMs());
    this.#timer = this.#clock.setTimer('sip.locate', ms, () => this.#finish());
  }

  #finish(): void {
    if (this.#over) return;
    this.cancel();
    this.#gatherer.done(this.#answers);
  }
}
