/**
 * The subscription that a REFER makes (RFC 3515 §2.4): NOTIFYs tell its sender how the transfer goes, one at a time and
 * in their order, so that none overtakes another.
 */
import type { HeaderEntry, Leg } from '../../../signal/port.js';
import { cleanText } from '../../bridge/headerText.js';

const SIPFRAG = 'message/sipfrag;version=2.0';
/** Longer than any destination may ring; the final NOTIFY ends it. */
const EXPIRES_S = 300;

const PHRASES: { readonly [status: number]: string } = {
  100: 'Trying',
  180: 'Ringing',
  181: 'Call Is Being Forwarded',
  182: 'Queued',
  183: 'Session Progress',
  200: 'OK',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  480: 'Temporarily Unavailable',
  484: 'Address Incomplete',
  486: 'Busy Here',
  487: 'Request Terminated',
  488: 'Not Acceptable Here',
  503: 'Service Unavailable',
  603: 'Decline',
};

interface News {
  readonly status: number;
  readonly reason: string;
  readonly final: boolean;
}

export class ReferSubscription {
  readonly #leg: Leg;
  readonly #event: string;
  readonly #silent: boolean;
  #waiting: News | undefined;
  #busy = false;
  #told = 0;
  #over = false;
  #onOver: (() => void) | undefined;

  /**
   * @param id CSeq of the REFER, where the dialog has seen another one: RFC 3515 §2.4.6
   * @param silent the sender wants no NOTIFY (RFC 4488)
   */
  constructor(leg: Leg, id: string | undefined, silent: boolean) {
    this.#leg = leg;
    this.#event = id === undefined ? 'refer' : `refer;id=${id}`;
    this.#silent = silent;
  }

  /** Tells of progress; the same status is told once. */
  notify(status: number, reason?: string): void {
    if (this.#over || status === this.#told) return;
    this.#told = status;
    this.#say({ status, reason: phrase(status, reason), final: false });
  }

  /** The last word. `done` follows when it has been taken, or cannot be. */
  finish(status: number, reason: string | undefined, done: () => void): void {
    if (this.#over) return;
    this.#over = true;
    this.#onOver = done;
    this.#say({ status, reason: phrase(status, reason), final: true });
  }

  /** The sender of the REFER has hung up: nobody listens. */
  drop(): void {
    this.#over = true;
    this.#waiting = undefined;
    this.#onOver = undefined;
  }

  #say(news: News): void {
    if (this.#silent) return this.#done(news);
    // What has been overtaken by later news need not be told.
    this.#waiting = news;
    if (!this.#busy) this.#next();
  }

  #next(): void {
    const news = this.#waiting;
    if (news === undefined) return;
    this.#waiting = undefined;
    this.#busy = true;
    const state = news.final ? 'terminated;reason=noresource' : `active;expires=${EXPIRES_S}`;
    const headers: HeaderEntry[] = [
      ['Event', this.#event],
      ['Subscription-State', state],
    ];
    const body = Buffer.from(`SIP/2.0 ${news.status} ${news.reason}\r\n`, 'latin1');
    this.#leg.request({ method: 'NOTIFY', headers, contentType: SIPFRAG, body }, () => {
      this.#busy = false;
      if (news.final) this.#done(news);
      else this.#next();
    });
  }

  #done({ final }: News): void {
    const done = final ? this.#onOver : undefined;
    this.#onOver = undefined;
    done?.();
  }
}

const phrase = (status: number, reason: string | undefined): string =>
  cleanText(reason ?? PHRASES[status] ?? 'Failure').slice(0, 128);
