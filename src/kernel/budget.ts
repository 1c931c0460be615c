/** What may be spent at once and per second: a token bucket, for what others send to us. */
export class Budget {
  readonly #most: number;
  readonly #perSecond: number;
  #left: number;
  #sinceMs: number;

  constructor(most: number, perSecond: number, nowMs: number) {
    this.#most = this.#left = most;
    this.#perSecond = perSecond;
    this.#sinceMs = nowMs;
  }

  /** @returns false when the budget is exceeded; nothing is taken then. */
  spend(cost: number, nowMs: number): boolean {
    this.#left = Math.min(this.#most, this.#left + (Math.max(0, nowMs - this.#sinceMs) * this.#perSecond) / 1000);
    this.#sinceMs = nowMs;
    if (cost > this.#left) return false;
    this.#left -= cost;
    return true;
  }
}
