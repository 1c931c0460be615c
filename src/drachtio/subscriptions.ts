/** Dialogs that SUBSCRIBE made: what is subscribed to in them, and when they are over. RFC 6665. */
import type { Clock, Timer } from '../kernel/index.js';
import { type SipMessage, type SipRequest, splitList } from '../sip/index.js';

/** How long a dialog stays after its last subscription should have ended: the last NOTIFY may still be under way. */
const GRACE_MS = 32_000;
/** RFC 6665 §4.2.1.1 lets event packages name a default; most that name one say an hour. */
const DEFAULT_SECONDS = 3600;

/** Package and id, which tell subscriptions in one dialog apart (RFC 6665 §4.4.1). */
const eventOf = (message: SipMessage): string => {
  const [name = '', ...params] = (message.header('Event') ?? '').split(';').map((each) => each.trim().toLowerCase());
  const id = params.find((param) => param.startsWith('id='));
  return id === undefined ? name : `${name};${id}`;
};

const isTerminated = (notify: SipMessage): boolean =>
  /^\s*terminated\b/i.test(splitList(notify.header('Subscription-State') ?? '')[0] ?? '');

const secondsIn = (message: SipMessage | undefined): number | undefined => {
  const value = message?.header('Expires');
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
};

export class SubscriptionUsage {
  readonly #clock: Clock;
  readonly #onOver: () => void;
  readonly #events = new Set<string>();
  #timer: Timer | undefined;
  #over = false;

  /** @param onOver nothing is subscribed to in the dialog any more; called once */
  constructor(clock: Clock, onOver: () => void) {
    this.#clock = clock;
    this.#onOver = onOver;
  }

  /** What is subscribed to, as in Event fields. */
  get events(): readonly string[] {
    return [...this.#events];
  }

  /** A final answer was given to a request in the dialog, by whichever side; the SUBSCRIBE that made it included. */
  settled(request: SipRequest, status: number, response: SipMessage | undefined): void {
    if (this.#over) return;
    if (status === 481 || status === 404 || status === 489) {
      // RFC 6665 §4.2.2 and RFC 5057 §5.1: the other side knows nothing of it.
      if (request.method === 'NOTIFY' || (status === 481 && request.method === 'SUBSCRIBE'))
        this.#drop(eventOf(request));
      return;
    }
    if (request.method === 'NOTIFY' && isTerminated(request)) return this.#drop(eventOf(request));
    if (request.method === 'SUBSCRIBE' && status < 300) this.#subscribed(request, response);
  }

  stop(): void {
    this.#over = true;
    this.#timer?.cancel();
  }

  #subscribed(request: SipRequest, response: SipMessage | undefined): void {
    this.#events.add(eventOf(request));
    const seconds = secondsIn(response) ?? secondsIn(request) ?? DEFAULT_SECONDS;
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer('drachtio subscription', seconds * 1000 + GRACE_MS, () => this.#end());
  }

  #drop(event: string): void {
    this.#events.delete(event);
    if (this.#events.size === 0) this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.stop();
    this.#onOver();
  }
}
