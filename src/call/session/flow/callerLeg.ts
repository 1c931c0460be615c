/** The caller's leg of a flow call: answered once, ended once, each in the way that its state allows. */
import type { HeaderEntry, IncomingLeg, ProgressSpec, ResponseSpec } from '../../../signal/port.js';

export class CallerLeg {
  readonly leg: IncomingLeg;
  /** The leg has not reported its end. */
  open = true;
  /** A 2xx was sent. */
  answered = false;
  /** The ACK of that 2xx has come. */
  acked = false;
  /** Told of PRACKs, for a caller who requires reliable provisionals (RFC 3262 §3). */
  onPrack: ProgressSpec['reliable'];
  #released = false;
  #heldBye: readonly HeaderEntry[] | undefined;

  constructor(leg: IncomingLeg) {
    this.leg = leg;
  }

  /** RFC 3261 §13.2.1: an INVITE without an offer asks for ours. */
  get lateOffer(): boolean {
    return this.leg.message.body.length === 0;
  }

  /** Answered, acknowledged, and not being ended. */
  get up(): boolean {
    return this.open && this.acked && !this.#released;
  }

  progress(status: number, spec: ResponseSpec): void {
    if (!this.open || this.answered) return;
    const { onPrack: reliable } = this;
    // RFC 3261 §13.2.1: the first reliable response to an INVITE without an offer would have to make one.
    if (reliable !== undefined && this.lateOffer) return;
    this.leg.progress(status, reliable === undefined ? spec : { ...spec, reliable });
  }

  answer(spec: ResponseSpec): void {
    if (!this.open || this.answered) return;
    this.answered = true;
    this.leg.answer(spec);
  }

  /** @returns true when a BYE that had waited for this ACK was sent */
  onAck(): boolean {
    this.acked = true;
    const headers = this.#heldBye;
    this.#heldBye = undefined;
    if (headers === undefined || !this.open) return false;
    this.leg.bye(headers);
    return true;
  }

  /** Ends the leg: a final answer where there was none, else BYE. Nothing follows a rejection. */
  release(status: number, headers: readonly HeaderEntry[]): void {
    if (!this.open || this.#released) return;
    this.#released = true;
    if (!this.answered) {
      this.open = false;
      this.leg.reject(status, { headers });
    } else if (this.acked) this.leg.bye(headers);
    // RFC 3261 §15: a callee must not send BYE before the ACK of its 2xx has come, or is given up.
    else this.#heldBye = headers;
  }
}
