/** Session timers, RFC 4028, kept on behalf of an application: it says what it wants in Session-Expires, or nothing. */
import type { Clock, Timer } from '../kernel/index.js';
import type { Dialog, HeaderField, ResponseFields, SipMessage } from '../sip/index.js';

/** RFC 4028 §5: nobody has to accept less. */
export const MIN_SECONDS = 90;
/** How soon a refresh that met another request is tried again: RFC 3261 §14.1. */
const AGAIN_MS = 3_000;

export interface SessionWish {
  readonly seconds: number;
  readonly refresher: 'uac' | 'uas' | undefined;
}

const parse = (value: string | undefined): SessionWish | undefined => {
  const match = /^\s*(\d{1,9})\s*(;.*)?$/.exec(value ?? '');
  if (match === null) return undefined;
  const refresher = /;\s*refresher\s*=\s*(uac|uas)\s*(;|$)/i.exec(match[2] ?? '')?.[1]?.toLowerCase();
  return { seconds: Number(match[1]), refresher: refresher as 'uac' | 'uas' | undefined };
};

export const sessionIn = (message: SipMessage): SessionWish | undefined => parse(message.header('Session-Expires'));

/** A refresh of the peer's that asks for too little (§6): the application is not bothered with it. */
export const isTooBrief = (request: SipMessage): boolean => {
  const wish = sessionIn(request);
  return wish !== undefined && wish.seconds < MIN_SECONDS;
};

/**
 * What goes into a 2xx (§9): the application's own Session-Expires, or the caller's wish where it names who refreshes.
 * @returns the fields with it, and what then holds
 */
export const answerSession = (
  request: SipMessage,
  fields: ResponseFields,
): { readonly fields: ResponseFields; readonly agreed: SessionWish | undefined } => {
  const headers = fields.headers ?? [];
  const own = headers.find(([name]) => name === 'Session-Expires');
  if (own !== undefined) return { fields, agreed: parse(own[1]) };
  const offered = sessionIn(request);
  if (offered?.refresher === undefined) return { fields, agreed: undefined };
  const seconds = Math.max(MIN_SECONDS, offered.seconds);
  const added: HeaderField[] = [['Session-Expires', `${seconds};refresher=${offered.refresher}`]];
  const speaksTimer = request.headerList('Supported').some((tag) => tag.toLowerCase() === 'timer');
  if (offered.refresher === 'uac' && speaksTimer) added.push(['Require', 'timer']);
  return { fields: { ...fields, headers: [...headers, ...added] }, agreed: { ...offered, seconds } };
};

export interface SessionParts {
  readonly clock: Clock;
  readonly dialog: () => Dialog | undefined;
  /** Nobody refreshed the session in time, or its refresh failed. */
  readonly expired: () => void;
}

export class SessionTimer {
  /** The application's last description of its media, for refreshes of our own. */
  localSdp: Buffer | undefined;
  readonly #parts: SessionParts;
  #seconds = 0;
  #weRefresh = false;
  #timer: Timer | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  /** Keeps what the application sent last, where it is SDP. */
  noteSdp(body: Buffer): void {
    if (body.length > 2 && body.toString('latin1', 0, 3) === 'v=0') this.localSdp = Buffer.from(body);
  }

  /** A 2xx to an INVITE or UPDATE has passed, with this agreement; none: the timer is off (§7.2). */
  agreed(wish: SessionWish | undefined, weRefresh: boolean): void {
    this.stop();
    this.#seconds = wish === undefined ? 0 : Math.max(MIN_SECONDS, wish.seconds);
    this.#weRefresh = weRefresh;
    if (this.#seconds > 0) this.#arm(weRefresh ? this.#seconds * 500 : this.#seconds * 1000);
  }

  /** For a re-INVITE or UPDATE of ours: the timer would be off without them. */
  get headers(): readonly HeaderField[] {
    if (this.#seconds === 0) return [];
    const refresher = this.#weRefresh ? 'uac' : 'uas';
    return [
      ['Supported', 'timer'],
      ['Session-Expires', `${this.#seconds};refresher=${refresher}`],
    ];
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(ms: number): void {
    this.#timer = this.#parts.clock.setTimer('drachtio session', ms, () => {
      if (this.#weRefresh) this.#refresh();
      else this.#parts.expired();
    });
  }

  /** A re-INVITE with what is in force, or an UPDATE where that is not known. The application hears nothing of it. */
  #refresh(): void {
    const dialog = this.#parts.dialog();
    if (dialog === undefined) return;
    const done = (status: number, answer: SipMessage): void => {
      if (status < 300) this.#refreshed(answer);
      else if (status === 491 || status === 500) this.#arm(AGAIN_MS);
      else if (status !== 481 && status !== 408) this.#parts.expired(); // those two end the dialog by themselves
    };
    const { headers, localSdp } = this;
    const sent =
      localSdp === undefined
        ? dialog.request('UPDATE', { headers }, { onResponse: (answer) => done(answer.status, answer) })
        : dialog.invite(
            { headers, body: localSdp },
            {
              onProvisional: () => undefined,
              onAnswered: (answer) => {
                dialog.ack();
                done(200, answer);
              },
              onFailed: (answer) => done(answer.status, answer),
            },
          );
    if ('refusal' in sent && sent.refusal === 'request_pending') this.#arm(AGAIN_MS);
  }

  #refreshed(answer: SipMessage): void {
    const wish = sessionIn(answer);
    // §7.2: whoever answers without it keeps no timer; it does no harm to go on refreshing.
    this.agreed(wish ?? { seconds: this.#seconds, refresher: 'uac' }, wish?.refresher !== 'uas');
  }
}
