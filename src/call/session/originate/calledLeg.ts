/**
 * Whoever was called, in the caller's place of a flow: a flow talks with one party, and does not ask who called whom.
 * The leg is answered before the flow begins.
 */
import type {
  HeaderEntry,
  InDialogSpec,
  IncomingLeg,
  Leg,
  ReinviteOutcome,
  RequestOutcome,
  ResponseSpec,
  SignalMessage,
  SignalSource,
} from '../../../signal/port.js';
import { escapeUser } from '../../bridge/headerText.js';
import { ImaginedInvite } from '../imaginedInvite.js';
import type { OriginateOrder } from './order.js';

const MAX_NAME = 64;

/** The INVITE that an order stands for: what a caller's INVITE tells routing, headers and flows. */
const inviteOf = ({ from, to, callerName, custom }: OriginateOrder): ImaginedInvite => {
  const name = callerName === undefined ? '' : `"${latin1(callerName).replaceAll(/["\\]/g, '\\$&')}" `;
  const uri = `sip:${escapeUser(to)}@localhost`;
  return new ImaginedInvite(uri, [
    ['From', `${name}<sip:${escapeUser(from)}@localhost>`],
    ['To', `<${uri}>`],
    ...Object.entries(custom).map(([key, value]): HeaderEntry => [`X-${key.replaceAll('_', '-')}`, latin1(value)]),
  ]);
};

/** As on the wire: UTF-8 in a byte string, without anything that could end a line. */
const latin1 = (text: string): string =>
  // eslint-disable-next-line no-control-regex
  Buffer.from(text.replaceAll(/[\u0000-\u001f\u007f]/g, ' ').slice(0, MAX_NAME * 4)).toString('latin1');

export class CalledLeg implements IncomingLeg {
  readonly id: string;
  readonly message: SignalMessage;
  readonly source: SignalSource;
  #leg: Leg | undefined;
  #callId = '';

  /** @param id unique within the process */
  constructor(id: string, order: OriginateOrder) {
    this.id = id;
    this.message = inviteOf(order);
    this.source = { transport: 'api', ...order.source };
  }

  /** The dialog is there. */
  up(leg: Leg): void {
    this.#leg = leg;
    this.#callId = leg.callId;
  }

  get callId(): string {
    return this.#callId;
  }

  get localTag(): string {
    return this.#leg?.localTag ?? '';
  }

  get remoteTag(): string {
    return this.#leg?.remoteTag ?? '';
  }

  request(spec: InDialogSpec, done: (outcome: RequestOutcome) => void): void {
    this.#leg?.request(spec, done);
  }

  reinvite(spec: ResponseSpec, done: (outcome: ReinviteOutcome) => void): void {
    this.#leg?.reinvite(spec, done);
  }

  bye(headers?: readonly HeaderEntry[]): void {
    this.#leg?.bye(headers);
  }

  dump(): object {
    return this.#leg?.dump() ?? {};
  }

  /** It was answered before; nobody waits for a response. */
  progress(): void {}

  answer(): void {}

  reject(): void {
    this.bye();
  }
}
