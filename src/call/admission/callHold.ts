/** What one call has taken of the limits: its own for as long as it lasts, and those of the carrier that is tried. */
import type { Clock, Result } from '../../kernel/index.js';
import type { Decision, Destination, LimitClaim } from '../routing/decision.js';
import { type LimitCode, limitCode } from '../routing/finish.js';
import type { HeldLimits, LimitRefusal } from './limiter.js';

/** The limiter, as a call sees it. */
export interface Limits {
  /** @param nowMs monotonic */
  claim(claims: readonly LimitClaim[], nowMs: number): Result<HeldLimits, LimitRefusal>;
  release(held: HeldLimits): void;
}

export class CallHold {
  readonly #limits: Limits;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #decision: Decision;
  readonly #own: HeldLimits;
  #carrier: { readonly id: string; readonly held: HeldLimits } | undefined;
  #released = false;

  /** @param own the claims of `decision.limits`, already taken */
  constructor(limits: Limits, clock: Pick<Clock, 'nowMs'>, decision: Decision, own: HeldLimits) {
    this.#limits = limits;
    this.#clock = clock;
    this.#decision = decision;
    this.#own = own;
  }

  /**
   * A destination is about to be tried: takes its carrier's limits, and gives back those of the carrier tried before. The
   * gateways of one carrier share one hold.
   * @returns why it must not be tried; then nothing is held of any carrier
   */
  enter({ carrierId }: Destination): LimitCode | undefined {
    if (this.#released || carrierId === this.#carrier?.id) return undefined;
    this.#leave();
    const claim = this.#decision.carriers?.find((one) => one.carrierId === carrierId)?.claim;
    if (claim === undefined || carrierId === undefined) return undefined;
    const taken = this.#limits.claim([claim], this.#clock.nowMs());
    if (!taken.ok) return limitCode(taken.error.key, taken.error.limit);
    this.#carrier = { id: carrierId, held: taken.value };
    return undefined;
  }

  /** Once; more change nothing. */
  release(): void {
    if (this.#released) return;
    this.#leave();
    this.#released = true;
    this.#limits.release(this.#own);
  }

  #leave(): void {
    if (this.#carrier !== undefined) this.#limits.release(this.#carrier.held);
    this.#carrier = undefined;
  }
}
