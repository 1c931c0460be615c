import type { Clock, Random } from '../../kernel/index.js';
import { glanceAtInvite } from '../message/glance.js';
import type { SipRequest } from '../message/message.js';
import type { Via } from '../message/via.js';
import type { Arrival } from '../transport/layer.js';
import { type OverloadGate, RefusedLately, acknowledges, refusalOf, withLoss } from '../transport/overload.js';
import { portOf, stampedVia } from '../transport/responsePath.js';
import { MAGIC_COOKIE } from './cookie.js';

/** The key of a server transaction by a branch of RFC 3261. */
export const keyOfVia = (via: Via, arrival: Arrival, method: string): string =>
  `${via.branch ?? ''}|${arrival.address}|${via.host}:${via.port ?? 0}|${method}`;

/**
 * New calls refused under overload: early and cheap. At ten times what a node can serve, parsing what it refuses would
 * leave it no time to serve anybody.
 */
export class Pressure {
  readonly gate: OverloadGate;
  readonly #clock: Clock;
  /** To tag of the refusals. One for all: nobody remembers them (RFC 3261 §8.2.7). */
  readonly #tag: string;
  readonly #octets: Buffer;
  #refused: RefusedLately | undefined;

  constructor(gate: OverloadGate, clock: Clock, random: Random) {
    this.gate = gate;
    this.#clock = clock;
    this.#tag = `ovl${random.hex(8)}`;
    this.#octets = Buffer.from(`;tag=${this.#tag}`, 'latin1');
  }

  /**
   * @param knows whether a server transaction has this key: what repeats its request is not new
   * @returns true when the message was an INVITE that may not come in, now refused, or the ACK of such a refusal
   */
  takes(data: Buffer, arrival: Arrival, knows: (key: string) => boolean): boolean {
    if (acknowledges(data, this.#octets)) return true;
    const glance = glanceAtInvite(data);
    if (glance === undefined || glance.inDialog || glance.topVia.branch?.startsWith(MAGIC_COOKIE) !== true)
      return false;
    const key = keyOfVia(glance.topVia, arrival, 'INVITE');
    if (knows(key)) return false;
    const refused = (this.#refused ??= new RefusedLately());
    if (!refused.has(key)) {
      if (this.gate.admits(arrival.address, glance.uri)) {
        arrival.admitted = true;
        return false;
      }
      refused.add(key);
    }
    const stamped = stampedVia(glance.topVia, arrival);
    const answer = refusalOf(glance, this.#told(stamped) ?? stamped, {
      tag: this.#tag,
      retryAfterS: this.gate.retryAfterS,
    });
    const { socket } = arrival.listener;
    if (socket === undefined) arrival.hop?.connection?.write(answer);
    else socket.send(answer, arrival.address, portOf(glance.topVia, arrival), false);
    return true;
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
