/**
 * Sends the caller elsewhere by REFER. 202 says only that it will be tried; the NOTIFYs that follow say how it went
 * (RFC 3515 §2.4.4). The caller is kept until then: a telephone whose call ends at once gives the transfer up.
 */
import type { Clock, Timer } from '../../../kernel/index.js';
import type { IncomingLeg, SignalMessage } from '../../../signal/port.js';

/** A caller's side that sends no NOTIFY by then sends none at all: RFC 3515 §2.4.4 asks for one at once. */
const FIRST_NOTIFY_MS = 4000;
const ACCEPTED = 202;

export class Referral {
  readonly #clock: Clock;
  #done: ((accepted: boolean, sipStatus: number) => void) | undefined;
  #timer: Timer | undefined;
  #notified = false;
  /** The caller's side has said that it will try. */
  #agreed = false;

  /** @param done once: whether the caller has gone to the new target, and the last status heard of it; 0 for none */
  constructor(clock: Clock, done: (accepted: boolean, sipStatus: number) => void) {
    this.#clock = clock;
    this.#done = done;
  }

  send(leg: IncomingLeg, uri: string): void {
    leg.request({ method: 'REFER', headers: [['Refer-To', `<${uri}>`]] }, (outcome) => {
      const message = outcome.kind === 'response' ? outcome.message : undefined;
      const status = message?.status ?? 0;
      // What the end of the call means is told by `left`.
      if (outcome.kind === 'leg_ended' && this.#agreed) return;
      if (status < 200 || status >= 300) return this.#end(false, status);
      // RFC 4488 §4: there will be no NOTIFYs.
      if (message?.header('Refer-Sub')?.trim().toLowerCase() === 'false') return this.#end(true, status);
      this.#agreed = true;
      // A NOTIFY may overtake the 202.
      if (this.#notified || this.#done === undefined) return;
      this.#timer = this.#clock.setTimer('flow.first_notify', FIRST_NOTIFY_MS, () => this.#end(true, status));
    });
  }

  /** A NOTIFY of the caller's side. Others than those about a REFER say nothing here. */
  notified(message: SignalMessage): void {
    if (!/^refer\b/i.test(message.header('Event')?.trim() ?? '')) return;
    this.#notified = this.#agreed = true;
    this.#timer?.cancel();
    const status = Number(/^SIP\/2\.0 (\d{3})\b/i.exec(message.body.toString('latin1', 0, 64))?.[1] ?? 0);
    if (status >= 200) return this.#end(status < 300, status);
    // RFC 3515 §2.4.7: the last word, even where it names no outcome.
    if (/^terminated\b/i.test(message.header('Subscription-State')?.trim() ?? '')) this.#end(true, status || ACCEPTED);
  }

  /**
   * The caller's side has hung up. Who has agreed to go elsewhere leaves so when it gets there, often before its NOTIFY has
   * said that it did, or instead of it: whichever comes first, the call is one that was transferred.
   */
  left(): void {
    if (this.#agreed) this.#end(true, ACCEPTED);
  }

  /** Nobody waits any more. */
  cancel(): void {
    this.#done = undefined;
    this.#timer?.cancel();
  }

  #end(accepted: boolean, sipStatus: number): void {
    const done = this.#done;
    this.cancel();
    done?.(accepted, sipStatus);
  }
}
