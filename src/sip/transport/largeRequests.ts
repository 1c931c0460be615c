/** RFC 3261 §18.1.1: requests that may not fit a datagram's path go by a transport with congestion control. */
import type { Clock } from '../../kernel/index.js';
import type { SipRequest } from '../message/message.js';
import type { Way } from './hop.js';
import type { TransportLayer } from './layer.js';

/** What an unknown path MTU allows. */
const MAX_DATAGRAM_REQUEST_BYTES = 1300;
/** A Via of ours, with host, port and branch. */
const VIA_BYTES = 100;
/** TCP that is not up by then will not do; the request still goes by UDP. */
const DIAL_MS = 1_500;
/** Who has no TCP is not asked again for so long. */
const REFUSED_MS = 600_000;
const MAX_REFUSED = 10_000;
/** What a connection that never was ends with. */
const NO_TCP: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH']);

export class LargeRequests {
  readonly #transport: TransportLayer;
  readonly #clock: Clock;
  /** Until when, by address and port. */
  readonly #refused = new Map<string, number>();

  constructor(transport: TransportLayer, clock: Clock) {
    this.#transport = transport;
    this.#clock = clock;
  }

  /** The way over TCP to the same place, for a request that is too long for its own; undefined: it stays as it is. */
  instead(request: SipRequest, way: Way): Way | undefined {
    const { listener, address, port } = way;
    if (listener.transport !== 'udp' || way.pinned === true) return undefined;
    const via = request.count('Via') === 0 ? VIA_BYTES : 0;
    if (request.octets + via <= MAX_DATAGRAM_REQUEST_BYTES) return undefined;
    const untilMs = this.#refused.get(placeOf(way));
    if (untilMs !== undefined && untilMs > this.#clock.nowMs()) return undefined;
    const other = this.#transport.listenerFor('tcp', address, listener.local.address);
    if (other === undefined) return undefined;
    const hop = this.#transport.hopWithin(other, { address, port }, DIAL_MS);
    return { listener: other, address, port, serverName: way.serverName, hop, insteadOf: listener };
  }

  /** "the element SHOULD retry the request, using UDP": and those that follow. */
  refused(way: Way, code: string): void {
    if (way.insteadOf === undefined || !NO_TCP.has(code)) return;
    if (this.#refused.size >= MAX_REFUSED) this.#refused.clear();
    this.#refused.set(placeOf(way), this.#clock.nowMs() + REFUSED_MS);
  }
}

const placeOf = ({ address, port }: Way): string => `${address}>${port}`;
