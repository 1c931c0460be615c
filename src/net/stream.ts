import type { Socket } from 'node:net';
import type { Clock, SocketAddress, StreamConnection, StreamSink, Timer } from '../kernel/index.js';
import { errorCode } from './addresses.js';

/** Most octets that wait for a connection to come up. */
export const MAX_DIAL_QUEUE_BYTES = 256 * 1024;
/** Most octets that wait for a slow reader. */
export const MAX_WRITE_QUEUE_BYTES = 1024 * 1024;
/** How long a closed connection waits for its data to leave and for the peer to close too. */
export const LINGER_MS = 2_000;
const KEEP_ALIVE_MS = 30_000;

export interface StreamOptions {
  readonly clock: Clock;
  /** See NodeNetworkOptions. */
  readonly beforeSending: () => void;
  readonly onClosed: (connection: NodeStreamConnection) => void;
}

/** A stream over a Node socket: plain TCP, or anything that extends `net.Socket` such as TLS. */
export class NodeStreamConnection implements StreamConnection {
  readonly remote: SocketAddress;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #beforeSending: () => void;
  readonly #upEvent: 'connect' | 'secureConnect';
  #local: SocketAddress;
  #timer: Timer | undefined;
  #closing = false;
  #up: boolean;
  #code: string | undefined;

  /** @param upEvent what tells that a dialled socket can be used */
  constructor(
    socket: Socket,
    remote: SocketAddress,
    options: StreamOptions,
    upEvent: 'connect' | 'secureConnect' = 'connect',
  ) {
    this.#socket = socket;
    this.#clock = options.clock;
    this.#beforeSending = options.beforeSending;
    this.#upEvent = upEvent;
    this.remote = remote;
    this.#up = upEvent === 'connect' && !socket.pending;
    this.#local = this.#up
      ? { address: socket.localAddress ?? '', port: socket.localPort ?? 0 }
      : { address: remote.address.includes(':') ? '::' : '0.0.0.0', port: 0 };
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('error', (error) => {
      this.#code ??= errorCode(error, 'EIO');
    });
    socket.once('close', () => {
      this.#closing = true;
      this.#timer?.cancel();
      options.onClosed(this);
    });
  }

  get local(): SocketAddress {
    return this.#local;
  }

  /** Attaches the receiver; called once, before the socket's first event. */
  feed(sink: StreamSink): void {
    const socket = this.#socket;
    socket.on(this.#upEvent, () => {
      this.#timer?.cancel();
      this.#up = true;
      this.#local = { address: socket.localAddress ?? '', port: socket.localPort ?? 0 };
      if (!this.#closing) sink.onConnected?.();
      else this.#linger();
    });
    socket.on('data', (chunk) => {
      if (!this.#closing) sink.onData(chunk);
    });
    // The peer closed; Node closes our side once what waits has left, which a peer that no longer reads can stop.
    socket.once('end', () => {
      if (this.#closing) return;
      this.#closing = true;
      this.#linger();
    });
    socket.once('close', () => {
      if (this.#code === undefined) sink.onClose();
      else sink.onClose(this.#code);
    });
  }

  /** Gives up with ETIMEDOUT unless the connection is up in time. */
  limitConnect(timeoutMs: number): void {
    this.#timer = this.#clock.setTimer('net.stream.connect', timeoutMs, () => this.destroy('ETIMEDOUT'));
  }

  write(data: Buffer): boolean {
    if (this.#closing || !this.#socket.writable) return false;
    const most = this.#up ? MAX_WRITE_QUEUE_BYTES : MAX_DIAL_QUEUE_BYTES;
    if (this.#socket.writableLength + data.length > most) {
      this.destroy('EQUEUEFULL');
      return false;
    }
    this.#beforeSending();
    this.#socket.write(data);
    return true;
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (!this.#up && this.#socket.writableLength === 0) {
      this.#socket.destroy();
      return;
    }
    this.#socket.end();
    if (this.#up) this.#linger();
  }

  /** Ends at once, without flushing. */
  destroy(code: string): void {
    this.#closing = true;
    this.#code ??= code;
    this.#socket.destroy();
  }

  /** Destroying right after the last write could reset the connection and take that data with it. */
  #linger(): void {
    this.#timer = this.#clock.setTimer('net.stream.linger', LINGER_MS, () => this.#socket.destroy());
  }
}
