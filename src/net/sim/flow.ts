import type { SocketAddress, Timer } from '../../kernel/index.js';
import type { SimFabric } from './fabric.js';
import type { SimPacket } from './packet.js';

/** What travels one way of a stream, in order. */
export type FlowItem = Buffer | 'syn' | 'up' | 'fin';

export interface FlowEnds {
  deliver(item: FlowItem): void;
  /** `fin` has left: nothing follows. */
  finished(): void;
  failed(code: string): void;
}

/** TCP's first retransmission timeout, doubled each time. */
const FIRST_RETRY_MS = 200;
/** An item that does not get through for this long ends the stream. */
const GIVE_UP_MS = 20_000;
const MOST_CUTS = 3;

/**
 * One direction of a simulated stream: reliable and in order. Writes lose their boundaries as in TCP: what was
 * written within a turn is joined, then cut at random places. A lost piece holds up all that follow it.
 */
export class SimFlow {
  readonly #fabric: SimFabric;
  readonly #from: () => SocketAddress;
  readonly #to: SocketAddress;
  readonly #ends: FlowEnds;
  #written: Buffer[] = [];
  #ending = false;
  readonly #unsent: FlowItem[] = [];
  readonly #travelling: FlowItem[] = [];
  readonly #timers = new Set<Timer>();
  #sending: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  #stuckSinceMs: number | undefined;
  #lastDueMs = 0;
  #corked: boolean;
  #stopped = false;
  /** Octets not yet on their way. */
  queuedBytes = 0;

  /** @param corked data waits until `uncork`; only what `sendFirst` is given leaves before. */
  constructor(
    fabric: SimFabric,
    between: { from: () => SocketAddress; to: SocketAddress },
    ends: FlowEnds,
    corked: boolean,
  ) {
    this.#fabric = fabric;
    this.#from = between.from;
    this.#to = between.to;
    this.#ends = ends;
    this.#corked = corked;
  }

  sendFirst(item: 'syn' | 'up'): void {
    this.#unsent.push(item);
    this.#schedule(0);
  }

  uncork(): void {
    this.#corked = false;
    this.#schedule(0);
  }

  write(data: Buffer): void {
    this.queuedBytes += data.length;
    this.#written.push(Buffer.from(data));
    this.#schedule(0);
  }

  end(): void {
    this.#ending = true;
    this.#schedule(0);
  }

  /** Nothing more is delivered. */
  stop(): void {
    this.#stopped = true;
    this.#sending?.cancel();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#written = [];
    this.#unsent.length = this.#travelling.length = this.queuedBytes = 0;
  }

  #schedule(delayMs: number): void {
    if (this.#stopped || this.#sending?.active === true) return;
    this.#sending = this.#fabric.clock.setTimer('sim.tcp.send', delayMs, () => this.#pump());
  }

  #pump(): void {
    if (!this.#corked && this.#written.length > 0) {
      this.#unsent.push(...this.#cut(Buffer.concat(this.#written)));
      this.#written = [];
    }
    if (!this.#corked && this.#ending) {
      this.#ending = false;
      this.#unsent.push('fin');
    }
    for (let item = this.#unsent[0]; item !== undefined; item = this.#unsent[0]) {
      if (!this.#send(item)) return;
      this.#unsent.shift();
      if (typeof item !== 'string') this.queuedBytes -= item.length;
      else if (item === 'fin') this.#ends.finished();
      if (this.#stopped) return;
    }
  }

  /** False: the item stays at the head of the queue. */
  #send(item: FlowItem): boolean {
    const { clock } = this.#fabric;
    const from = this.#from();
    const path = this.#fabric.path(from.address, this.#to.address);
    const packet: SimPacket | undefined =
      typeof item === 'string' ? undefined : { kind: 'tcp', from, to: this.#to, data: item };
    const verdict = packet === undefined ? 'pass' : this.#fabric.judge(packet);
    if (verdict === 'refuse') {
      if (packet !== undefined) this.#fabric.record(packet, 'refused');
      this.#ends.failed('ECONNRESET');
      return false;
    }
    if (verdict === 'drop' || path.loses()) {
      if (packet !== undefined) this.#fabric.record(packet, verdict === 'drop' ? 'dropped' : 'lost');
      this.#retry();
      return false;
    }
    if (packet !== undefined) this.#fabric.record(packet, 'sent');
    this.#stuckSinceMs = undefined;
    this.#retryMs = FIRST_RETRY_MS;
    const nowMs = clock.nowMs();
    const delayMs = typeof verdict === 'object' && verdict.delayMs !== undefined ? verdict.delayMs : path.delayMs();
    this.#lastDueMs = Math.max(this.#lastDueMs, nowMs + delayMs);
    this.#travelling.push(item);
    const timer = clock.setTimer('sim.tcp', this.#lastDueMs - nowMs, () => {
      this.#timers.delete(timer);
      // The head, whichever timer this is: order does not hang on the rounding of times.
      const arrived = this.#travelling.shift();
      if (arrived !== undefined) this.#ends.deliver(arrived);
    });
    this.#timers.add(timer);
    return true;
  }

  #retry(): void {
    const nowMs = this.#fabric.clock.nowMs();
    this.#stuckSinceMs ??= nowMs;
    if (nowMs - this.#stuckSinceMs >= GIVE_UP_MS) return this.#ends.failed('ETIMEDOUT');
    this.#schedule(this.#retryMs);
    this.#retryMs *= 2;
  }

  #cut(data: Buffer): Buffer[] {
    const cuts = Math.floor(this.#fabric.random.float() * (MOST_CUTS + 1));
    const places = Array.from({ length: cuts }, () => Math.floor(this.#fabric.random.float() * data.length));
    const pieces: Buffer[] = [];
    let start = 0;
    for (const place of [...places.sort((a, b) => a - b), data.length]) {
      if (place === start) continue;
      pieces.push(data.subarray(start, place));
      start = place;
    }
    return pieces;
  }
}
