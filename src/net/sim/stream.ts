import type { SocketAddress, StreamConnection, StreamSink, Timer } from '../../kernel/index.js';
import { LINGER_MS, MAX_DIAL_QUEUE_BYTES, MAX_WRITE_QUEUE_BYTES } from '../stream.js';
import type { SimFabric, SimSocket, SimStation } from './fabric.js';
import { SimFlow, type FlowItem } from './flow.js';

/** One end of a simulated stream. */
export class SimStream implements StreamConnection, SimSocket {
  readonly kind = 'tcp';
  readonly remote: SocketAddress;
  readonly #fabric: SimFabric;
  readonly #station: SimStation;
  readonly #own: SocketAddress;
  readonly #flow: SimFlow;
  #sink: StreamSink | undefined;
  #peer: SimStream | undefined;
  #timer: Timer | undefined;
  #up: boolean;
  #closing = false;
  #finSent = false;
  #finReceived = false;
  #closed = false;

  /** @param onSyn the dialled end's: what its request to connect does when it arrives. */
  constructor(
    fabric: SimFabric,
    station: SimStation,
    ends: { readonly local: SocketAddress; readonly remote: SocketAddress },
    onSyn?: (dialled: SimStream) => void,
  ) {
    this.#fabric = fabric;
    this.#station = station;
    this.#own = ends.local;
    this.remote = ends.remote;
    this.#up = onSyn === undefined;
    this.#flow = new SimFlow(
      fabric,
      { from: () => this.#own, to: ends.remote },
      {
        deliver: (item) => (item === 'syn' ? onSyn?.(this) : this.#peer?.receive(item)),
        finished: () => {
          this.#finSent = true;
          this.#endWhenBothDone();
        },
        failed: (code) => this.destroy(code),
      },
      !this.#up,
    );
    station.opened(this);
  }

  get local(): SocketAddress {
    return this.#own;
  }

  feed(sink: StreamSink): void {
    this.#sink = sink;
  }

  /** The dialled end: asks to be connected. */
  dial(timeoutMs = this.#fabric.connectTimeoutMs): void {
    this.#flow.sendFirst('syn');
    this.#timer = this.#fabric.clock.setTimer('sim.tcp.connect', timeoutMs, () => this.destroy('ETIMEDOUT'));
  }

  /** The accepted end: tells the dialled end that it is up. */
  answer(dialled: SimStream): void {
    this.#peer = dialled;
    dialled.#peer = this;
    this.#flow.sendFirst('up');
  }

  write(data: Buffer): boolean {
    if (this.#closing || this.#closed) return false;
    const most = this.#up ? MAX_WRITE_QUEUE_BYTES : MAX_DIAL_QUEUE_BYTES;
    if (this.#flow.queuedBytes + data.length > most) {
      this.destroy('EQUEUEFULL');
      return false;
    }
    this.#flow.write(data);
    return true;
  }

  close(): void {
    if (this.#closing || this.#closed) return;
    this.#closing = true;
    if (!this.#up && this.#flow.queuedBytes === 0) return this.#finish('abort');
    this.#flow.end();
    if (this.#up) this.#linger();
  }

  /** Ends at once: this end is told `code`, the other ECONNRESET. */
  destroy(code: string): void {
    this.#finish('abort', code);
  }

  /** What the other end sent, in order. */
  receive(item: FlowItem): void {
    if (this.#closed) {
      this.#resetPeer();
    } else if (item === 'up') {
      this.#timer?.cancel();
      this.#up = true;
      this.#flow.uncork();
      if (this.#closing) this.#linger();
      else this.#sink?.onConnected?.();
    } else if (item === 'fin') {
      this.#finReceived = true;
      if (!this.#closing) {
        this.#closing = true;
        this.#flow.end();
        this.#linger();
      }
      this.#endWhenBothDone();
    } else if (typeof item !== 'string' && !this.#closing) {
      this.#sink?.onData(item);
    }
  }

  /** The other end's reset or refusal has arrived. */
  reset(code: string): void {
    this.#finish('reset', code);
  }

  #endWhenBothDone(): void {
    if (this.#finReceived && this.#finSent) this.#finish('drained');
  }

  /** As in TCP, data that is still on its way after this goes on without its owner. */
  #linger(): void {
    this.#timer = this.#fabric.clock.setTimer('sim.tcp.linger', LINGER_MS, () => this.#finish('drained'));
  }

  #finish(how: 'drained' | 'reset' | 'abort', code?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    // After an orderly end the last data and `fin` may still be on their way.
    if (how !== 'drained') this.#flow.stop();
    if (how === 'abort') this.#resetPeer();
    this.#station.closed(this);
    this.#fabric.clock.setTimer('sim.tcp.close', 0, () => {
      if (code === undefined) this.#sink?.onClose();
      else this.#sink?.onClose(code);
    });
  }

  #resetPeer(): void {
    const peer = this.#peer;
    if (peer === undefined || peer.#closed) return;
    const path = this.#fabric.path(this.#own.address, this.remote.address);
    if (path.loses()) return;
    this.#fabric.clock.setTimer('sim.tcp.reset', path.delayMs(), () => peer.reset('ECONNRESET'));
  }
}
