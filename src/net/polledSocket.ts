import type { Socket } from 'node:dgram';
import { readSync, writeSync } from 'node:fs';
import { Scratch } from '../kernel/index.js';
import { errorCode } from './addresses.js';

/** What libuv's handle of a UDP socket offers besides what `dgram` shows of it. */
export interface UdpHandle {
  readonly fd: number;
  recvStart(): number;
  recvStop(): number;
}

/** No datagram of audio is longer; what is, is cut off and then refused by whoever parses it. */
const LONGEST = 2048;
/**
 * Asked so often, an event loop that also took datagrams meanwhile has emptied the largest buffer that the system gives
 * a socket: none is left that came before the socket was connected, from somebody else.
 */
const SETTLING = 64;
/** Every so many-th time a socket is read until it is empty, though it is expected to hold one datagram. */
const EMPTY_EVERY = 16;
/** Datagrams taken at a time: what is left waits for the next. */
const MOST = 64;

const datagram = new Scratch(Buffer.alloc(LONGEST));

/**
 * A UDP socket that hears one peer only, and only when it is asked: datagrams are read from and written to its file
 * descriptor, within the call. Per datagram `dgram` makes a buffer, a description of the sender and an event, and asks
 * the system once more whether there is another; for sockets that bring one datagram each every 20 ms, by the hundred,
 * that is more than half of what receiving costs.
 *
 * Node does not document the handle. Where it looks otherwise (or descriptors have no numbers, as on Windows), there is
 * no polled socket, and `dgram` does its work as ever.
 */
export class PolledSocket {
  readonly #socket: Socket;
  readonly #handle: UdpHandle;
  #asked = 0;
  #sawMore = false;

  private constructor(socket: Socket, handle: UdpHandle) {
    this.#socket = socket;
    this.#handle = handle;
  }

  /**
   * Connects a bound socket to a numeric address. Its `message` events go on for a while (see `collect`).
   * @returns undefined where that is not possible: the socket is as before.
   */
  static open(socket: Socket, address: string, port: number): PolledSocket | undefined {
    const handle = handleOf(socket);
    if (handle === undefined) return undefined;
    try {
      socket.connect(port, address);
      socket.remoteAddress();
    } catch {
      return undefined;
    }
    return new PolledSocket(socket, handle);
  }

  /**
   * Hands over what has come since the last time. While the socket settles nothing has: it comes as events still.
   * @param take the datagram is valid within the call; must not throw
   * @param all reads until the socket is empty, which costs more than a datagram; else that is done now and then
   */
  collect(take: (datagram: Buffer) => void, all: boolean): void {
    this.#asked++;
    if (this.#asked <= SETTLING) {
      if (this.#asked === SETTLING) this.#handle.recvStop();
      return;
    }
    const whole = all || this.#sawMore || this.#asked % EMPTY_EVERY === 0;
    let count = 0;
    for (; count < (whole ? MOST : 1); count++) {
      const length = this.#read();
      if (length < 0) break;
      if (length === 0) continue;
      take(datagram.first(length));
    }
    // One at a time is the rule; any other number asks for care.
    if (whole) this.#sawMore = count > 1;
    else if (count === 0) this.#sawMore = true;
  }

  /** Sends at once; what the system has no room for is lost, as late audio is of no use. */
  send(data: Buffer): void {
    try {
      writeSync(this.#handle.fd, data, 0, data.length);
    } catch {
      // Nobody listens there (any more): media timeouts tell.
    }
  }

  /** The socket hears everybody again, by events. */
  release(): void {
    if (this.#asked >= SETTLING) this.#handle.recvStart();
    this.#socket.disconnect();
  }

  /** @returns the octets of the next datagram, now in the scratch; -1: there is none; 0: none that says anything */
  #read(): number {
    const depth = Error.stackTraceLimit;
    // "Nothing there" comes as an exception; without a stack it costs a third less.
    Error.stackTraceLimit = 0;
    try {
      return readSync(this.#handle.fd, datagram.room, 0, LONGEST, null);
    } catch (error) {
      // What a peer's host says about a datagram of ours stands before what the peer sends.
      return errorCode(error, '') === 'ECONNREFUSED' ? 0 : -1;
    } finally {
      Error.stackTraceLimit = depth;
    }
  }
}

const isUdpHandle = (value: unknown): value is UdpHandle => {
  const handle = value as Partial<UdpHandle> | undefined;
  return (
    typeof handle?.fd === 'number' &&
    handle.fd > 0 &&
    typeof handle.recvStart === 'function' &&
    typeof handle.recvStop === 'function'
  );
};

/** The handle of a socket, where it is what it is known to be. Closed, it has no descriptor: `fd` is negative. */
export const handleOf = (socket: Socket): UdpHandle | undefined => {
  const key = Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === 'state symbol');
  if (key === undefined) return undefined;
  const { handle } = (socket as unknown as Record<symbol, { readonly handle?: unknown } | undefined>)[key] ?? {};
  return isUdpHandle(handle) ? handle : undefined;
};
