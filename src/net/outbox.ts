/** Where a datagram of the outbox goes. */
export interface OutboxPeer {
  /** Hands it to the system now. Must not throw, and must not put anything into the outbox within the call. */
  deliver(data: Buffer): void;
}

/** More than this never wait: a long turn would hold them up. */
export const MOST_WAITING = 64;

/**
 * What one turn of the event loop sends by UDP leaves at its end: all for the first peer, then all for the second, and so
 * on. Whoever gets two of them is then woken up once, answers both at once, and we take these answers in one turn, too: to
 * wake another process costs a sender more than to hand over the octets, on a virtual machine three times as much.
 */
export class Outbox {
  readonly #peers: (OutboxPeer | undefined)[] = new Array<OutboxPeer | undefined>(MOST_WAITING).fill(undefined);
  readonly #datagrams: (Buffer | undefined)[] = new Array<Buffer | undefined>(MOST_WAITING).fill(undefined);
  readonly #beforeSending: () => void;
  #waiting = 0;
  #scheduled = false;

  /** @param beforeSending called before datagrams leave; must not put any into the outbox */
  constructor(beforeSending: () => void) {
    this.#beforeSending = beforeSending;
  }

  /** Datagrams that wait. */
  get size(): number {
    return this.#waiting;
  }

  /** @param data must stay as it is until it has left */
  add(peer: OutboxPeer, data: Buffer): void {
    const at = this.#waiting++;
    this.#peers[at] = peer;
    this.#datagrams[at] = data;
    if (this.#waiting === MOST_WAITING) this.release();
    if (this.#scheduled || this.#waiting === 0) return;
    this.#scheduled = true;
    setImmediate(this.#turnOver);
  }

  /** Sends what waits; to one peer in the order in which it came. */
  release(): void {
    const count = this.#waiting;
    if (count === 0) return;
    this.#beforeSending();
    this.#waiting = 0;
    for (let i = 0; i < count; i++) {
      const peer = this.#peers[i];
      if (peer !== undefined) this.#deliver(peer, i, count);
    }
  }

  /** All that waits for one peer, from its first on. */
  #deliver(peer: OutboxPeer, first: number, count: number): void {
    for (let i = first; i < count; i++) {
      if (this.#peers[i] !== peer) continue;
      const data = this.#datagrams[i]!;
      this.#peers[i] = this.#datagrams[i] = undefined;
      peer.deliver(data);
    }
  }

  readonly #turnOver = (): void => {
    this.#scheduled = false;
    this.release();
  };
}
