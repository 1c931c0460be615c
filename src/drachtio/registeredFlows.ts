/** Connections over which registered contacts are reached: behind NAT, and in browsers, nobody can connect to them. */
import type { Clock } from '../kernel/index.js';
import { type SipRequest, type SipResponse, param, parseNameAddr, parseUri } from '../sip/index.js';

const MAX_CONTACTS = 100_000;
/** Contacts looked at for one that is over, when there is no room: keeps the price of a registration constant. */
const LOOKS = 16;
const DEFAULT_SECONDS = 3600;

interface Registered {
  readonly flow: string;
  readonly untilMs: number;
}

/** What a contact is known by: user and host, whatever the parameters. */
const keyOf = (uri: string): string | undefined => {
  const parsed = parseUri(uri);
  return parsed === undefined || parsed.host === '' ? undefined : `${parsed.user ?? ''}@${parsed.host}`;
};

const seconds = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;

export class RegisteredFlows {
  readonly #clock: Clock;
  readonly #contacts = new Map<string, Registered>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#contacts.size;
  }

  /** A 2xx to a REGISTER or SUBSCRIBE that came over a connection: its contacts are reached by that, as long as it says. */
  learn(request: SipRequest, response: SipResponse, flow: string): void {
    const granted = new Map(
      response.headerList('Contact').map((value) => {
        const contact = parseNameAddr(value);
        return [keyOf(contact?.uri ?? ''), seconds(param(contact?.params ?? '', 'expires'))] as const;
      }),
    );
    const common = seconds(response.header('Expires')) ?? seconds(request.header('Expires')) ?? DEFAULT_SECONDS;
    for (const value of request.headerList('Contact')) {
      const contact = parseNameAddr(value);
      const key = keyOf(contact?.uri ?? '');
      if (key === undefined || contact === undefined) continue;
      const lifetime = granted.get(key) ?? seconds(param(contact.params, 'expires')) ?? common;
      this.#contacts.delete(key);
      if (lifetime > 0 && this.#hasRoom()) {
        this.#contacts.set(key, { flow, untilMs: this.#clock.nowMs() + lifetime * 1000 });
      }
    }
  }

  /** The flow to a contact; undefined when it is to be reached like any other URI. */
  flowTo(uri: string): string | undefined {
    if (this.#contacts.size === 0) return undefined;
    const key = keyOf(uri);
    const known = key === undefined ? undefined : this.#contacts.get(key);
    if (known === undefined || key === undefined) return undefined;
    if (known.untilMs > this.#clock.nowMs()) return known.flow;
    this.#contacts.delete(key);
    return undefined;
  }

  /** Its connection is closed. */
  forget(uri: string): void {
    const key = keyOf(uri);
    if (key !== undefined) this.#contacts.delete(key);
  }

  #hasRoom(): boolean {
    if (this.#contacts.size < MAX_CONTACTS) return true;
    let looks = LOOKS;
    const now = this.#clock.nowMs();
    for (const [key, { untilMs }] of this.#contacts) {
      if (untilMs <= now) return this.#contacts.delete(key);
      if (--looks === 0) return false;
    }
    return false;
  }
}
