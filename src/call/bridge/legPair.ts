/** Both legs at the end of a call: each is ended once, in the way that its state allows. */
import type { Content, HeaderEntry, IncomingLeg } from '../../signal/port.js';
import type { Attempt } from './attempt.js';

export class LegPair {
  readonly a: IncomingLeg;
  /** The caller's leg has not reported its end. */
  aOpen = true;
  /** Attempts whose legs have not reported their end. */
  bOpen = 0;
  /** A 2xx went to the caller. */
  answered = false;
  /** The ACK of that 2xx has not come. */
  #ackAwaited = false;
  /** The callee's 2xx has not been acknowledged. */
  #ackOwed = false;
  #aReleased = false;
  #bReleased = false;
  #heldBye: readonly HeaderEntry[] | undefined;

  constructor(a: IncomingLeg) {
    this.a = a;
  }

  get gone(): boolean {
    return !this.aOpen && this.bOpen === 0;
  }

  /** The callee answered; the 2xx to the caller follows. In a late offer our ACK waits for the caller's. */
  answer(attempt: Attempt, lateOffer: boolean): void {
    this.answered = this.#ackAwaited = true;
    this.#ackOwed = lateOffer;
    if (!lateOffer) attempt.leg?.ack();
  }

  /** The caller's ACK came: its content goes into the ACK that is owed. */
  acked(attempt: Attempt | undefined, content: Content): void {
    this.#ackAwaited = false;
    if (this.#ackOwed) attempt?.leg?.ack(content);
    this.#ackOwed = false;
  }

  /** Sends the BYE that waited for the caller's ACK. Returns false when there is none. */
  sendHeldBye(): boolean {
    this.#ackAwaited = false;
    const headers = this.#heldBye;
    this.#heldBye = undefined;
    if (headers === undefined) return false;
    this.a.bye(headers);
    return true;
  }

  releaseA(headers: readonly HeaderEntry[]): void {
    if (!this.aOpen || this.#aReleased) return;
    this.#aReleased = true;
    // RFC 3261 §15: a callee must not send BYE before the ACK of its 2xx has come, or is given up.
    if (this.#ackAwaited) this.#heldBye = headers;
    else this.a.bye(headers);
  }

  /** BYE after an answer, CANCEL before. */
  releaseB(attempt: Attempt | undefined, headers: readonly HeaderEntry[]): void {
    if (attempt?.open !== true || this.#bReleased) return;
    this.#bReleased = true;
    if (!this.answered) attempt.cancel(headers);
    else {
      if (this.#ackOwed) attempt.leg?.ack();
      this.#ackOwed = false;
      attempt.leg?.bye(headers);
    }
  }

  /** @param attempt whose leg is shown */
  dump(attempt: Attempt | undefined): object {
    return {
      aLeg: this.aOpen ? this.a.dump() : null,
      bLeg: attempt?.open === true ? (attempt.leg?.dump() ?? null) : null,
      bLegsOpen: this.bOpen,
    };
  }

  /** Waits for no leg any more; returns how many it had waited for. */
  abandon(): number {
    const legs = this.bOpen + (this.aOpen ? 1 : 0);
    this.aOpen = false;
    this.bOpen = 0;
    return legs;
  }
}
