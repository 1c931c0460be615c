import type { Clock, Random } from '../../kernel/index.js';
import { type Glance, glanceAtInvite, mayBeInvite } from '../message/glance.js';
import type { SipRequest } from '../message/message.js';
import type { Via } from '../message/via.js';
import type { Arrival } from '../transport/layer.js';
import { type OverloadGate, RefusedLately, acknowledges, refusalOf, withLoss } from '../transport/overload.js';
import { portOf, stampedVia } from '../transport/responsePath.js';
import { MAGIC_COOKIE } from './cookie.js';
import { NewCalls } from './newCalls.js';

/** The key of a server transaction by a branch of RFC 3261. */
export const keyOfVia = (via: Via, arrival: Arrival, method: string): string =>
  `${via.branch ?? ''}|${arrival.address}|${via.host}:${via.port ?? 0}|${method}`;

/** A new INVITE that waits. */
interface Newcomer {
  readonly data: Buffer;
  readonly arrival: Arrival;
  readonly glance: Glance;
  readonly key: string;
}

/**
 * New calls while more come than the thread can serve: who waits (see NewCalls), and 503 for those who cannot, early and
 * cheap. At ten times what a node can serve, parsing what it refuses would leave it no time to serve anybody.
 */
export class Pressure {
  readonly gate: OverloadGate;
  readonly #clock: Clock;
  readonly #serve: (data: Buffer, arrival: Arrival) => void;
  /** To tag of the refusals. One for all: nobody remembers them (RFC 3261 §8.2.7). */
  readonly #tag: string;
  readonly #octets: Buffer;
  readonly #newCalls: NewCalls<Newcomer>;
  /** Those who wait. */
  readonly #newcomers = new Map<string, Newcomer>();
  #refused: RefusedLately | undefined;

  /** @param serve deals with what has waited, as with any message; must not throw */
  constructor(
    gate: OverloadGate,
    { clock, random }: { readonly clock: Clock; readonly random: Random },
    serve: (data: Buffer, arrival: Arrival) => void,
  ) {
    this.gate = gate;
    this.#clock = clock;
    this.#serve = serve;
    this.#newCalls = new NewCalls({
      clock,
      targetMs: gate.targetMs,
      atEndOfTurn: (done) => gate.atEndOfTurn(done),
      onNext: this.#next,
    });
    this.#tag = `ovl${random.hex(8)}`;
    this.#octets = Buffer.from(`;tag=${this.#tag}`, 'latin1');
  }

  /** True from the first refusal until a second after the last. */
  get isRefusing(): boolean {
    return this.#newCalls.isRefusing;
  }

  /**
   * To be asked about each message.
   * @param knows whether a server transaction has this key: what repeats its request is not new
   * @returns true when the message was a new INVITE that waits or is refused, or the ACK of a refusal
   */
  takes(data: Buffer, arrival: Arrival, knows: (key: string) => boolean): boolean {
    this.#newCalls.heard();
    if (this.#refused !== undefined && acknowledges(data, this.#octets)) return true;
    if (!mayBeInvite(data) || this.#newCalls.mayGoOn()) return false;
    const glance = glanceAtInvite(data);
    if (glance === undefined || glance.inDialog || glance.topVia.branch?.startsWith(MAGIC_COOKIE) !== true)
      return false;
    const key = keyOfVia(glance.topVia, arrival, 'INVITE');
    if (knows(key)) return false;
    if (this.#newcomers.has(key)) return true;
    if (this.gate.isExempt(arrival.address, glance.uri)) return false;
    const newcomer = { data, arrival, glance, key };
    if (this.#refused?.has(key) === true) this.#answer(newcomer);
    else if (this.#newCalls.enter(newcomer)) this.#newcomers.set(key, newcomer);
    else this.#refuse(newcomer);
    return true;
  }

  /** The INVITE of this key is served now, if it waits: it is about to be withdrawn. */
  hurry(key: string): void {
    const newcomer = this.#newcomers.get(key);
    if (newcomer !== undefined) this.#letIn(newcomer);
  }

  readonly #next = (newcomer: Newcomer, isLate: boolean): void => {
    // It may have been served in a hurry.
    if (!this.#newcomers.has(newcomer.key)) return;
    if (!isLate) return this.#letIn(newcomer);
    this.#newcomers.delete(newcomer.key);
    this.#refuse(newcomer);
  };

  #letIn({ data, arrival, key }: Newcomer): void {
    this.#newcomers.delete(key);
    arrival.admitted = true;
    this.gate.letIn();
    this.#serve(data, arrival);
  }

  #refuse(newcomer: Newcomer): void {
    (this.#refused ??= new RefusedLately()).add(newcomer.key);
    this.gate.refused();
    this.#answer(newcomer);
  }

  #answer({ glance, arrival }: Newcomer): void {
    const stamped = stampedVia(glance.topVia, arrival);
    const answer = refusalOf(glance, this.#told(stamped) ?? stamped, {
      tag: this.#tag,
      retryAfterS: this.gate.retryAfterS,
    });
    const { socket } = arrival.listener;
    if (socket === undefined) arrival.hop?.connection?.write(answer);
    else socket.send(answer, arrival.address, portOf(glance.topVia, arrival), false);
  }

  /** Peers that asked for it are told by every response how much to keep to themselves. */
  stamp(request: SipRequest): void {
    const told = this.#told(request.topVia.raw);
    if (told !== undefined) request.replaceTopVia(told);
  }

  #told(raw: string): string | undefined {
    return withLoss(raw, this.gate.lossPercent, this.#clock.nowMs());
  }
}
