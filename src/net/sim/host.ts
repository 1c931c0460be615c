import {
  type DatagramSink,
  type DatagramSocket,
  type Network,
  type SocketAddress,
  type StreamConnection,
  type StreamDial,
  type StreamListener,
  type StreamSink,
  TandemError,
} from '../../kernel/index.js';
import { isWildcard, printAddress } from '../addresses.js';
import { listenError } from '../listenErrors.js';
import { SimDatagramSocket } from './datagram.js';
import { dial } from './dial.js';
import type { SimFabric, SimSocket, SimStation } from './fabric.js';
import { SimStream } from './stream.js';

const FIRST_EPHEMERAL_PORT = 49_152;
const LAST_PORT = 65_535;

export interface SimListener extends StreamListener {
  readonly accept: (connection: StreamConnection) => StreamSink;
}

/** One machine of a SimWorld: a network with its own addresses and ports. */
export class SimHost implements Network, SimStation {
  readonly addresses: readonly string[];
  /** True: what no socket awaits vanishes, instead of being refused. As behind a firewall, or powered off. */
  blackholed = false;
  readonly #fabric: SimFabric;
  readonly #datagrams = new Map<string, SimDatagramSocket>();
  readonly #listeners = new Map<string, SimListener>();
  readonly #streams = new Set<SimStream>();
  #nextPort = FIRST_EPHEMERAL_PORT;

  constructor(fabric: SimFabric, addresses: readonly string[]) {
    this.#fabric = fabric;
    this.addresses = addresses;
  }

  /** Binds one of the host's addresses, or all with 0.0.0.0 or ::. @throws TandemError as NodeNetwork. */
  async bindDatagram(local: SocketAddress, sink: DatagramSink): Promise<DatagramSocket> {
    const at = this.#claim('udp', local, this.#datagrams);
    const socket = new SimDatagramSocket(this.#fabric, this, at, sink);
    this.#datagrams.set(printAddress(at), socket);
    return socket;
  }

  /** As bindDatagram, for streams. */
  async listenStream(
    local: SocketAddress,
    accept: (connection: StreamConnection) => StreamSink,
  ): Promise<StreamListener> {
    const at = this.#claim('tcp', local, this.#listeners);
    const key = printAddress(at);
    this.#listeners.set(key, { local: at, accept, close: () => this.#listeners.delete(key) });
    return this.#listeners.get(key) as StreamListener;
  }

  connectStream(remote: SocketAddress, sink: StreamSink, how?: StreamDial): StreamConnection {
    return dial(this.#fabric, this, remote, { sink, timeoutMs: how?.timeoutMs, from: how?.from });
  }

  dump(): string[] {
    return [
      ...[...this.#datagrams.keys()].map((key) => `udp ${key}`),
      ...[...this.#listeners.keys()].map((key) => `tcp-listen ${key}`),
      ...[...this.#streams].map((stream) => `tcp ${printAddress(stream.local)} ${printAddress(stream.remote)}`),
    ];
  }

  /** The socket that a datagram to `to` reaches. */
  datagramAt(to: SocketAddress): SimDatagramSocket | undefined {
    return this.#datagrams.get(printAddress(to)) ?? this.#datagrams.get(anyAddress(to));
  }

  listenerAt(to: SocketAddress): SimListener | undefined {
    return this.#listeners.get(printAddress(to)) ?? this.#listeners.get(anyAddress(to));
  }

  opened(stream: SimSocket): void {
    if (stream instanceof SimStream) this.#streams.add(stream);
  }

  closed(socket: SimSocket): void {
    if (socket instanceof SimStream) this.#streams.delete(socket);
    else this.#datagrams.delete(printAddress(socket.local));
  }

  resetStreams(peer: string): void {
    for (const stream of [...this.#streams]) if (stream.remote.address === peer) stream.destroy('ECONNRESET');
  }

  /** The address a packet to `peer` leaves from, when the socket is not bound to one. */
  sourceFor(peer: string): string {
    const v6 = peer.includes(':');
    return this.addresses.find((address) => address.includes(':') === v6) ?? this.addresses[0] ?? '0.0.0.0';
  }

  ephemeralPort(): number {
    const port = this.#nextPort;
    this.#nextPort = port === LAST_PORT ? FIRST_EPHEMERAL_PORT : port + 1;
    return port;
  }

  #claim(scheme: string, local: SocketAddress, taken: ReadonlyMap<string, unknown>): SocketAddress {
    if (!isWildcard(local.address) && !this.addresses.includes(local.address)) {
      throw listenError(scheme, local, { code: 'EADDRNOTAVAIL' });
    }
    if (local.port !== 0) {
      if (this.#isTaken(local, taken)) throw listenError(scheme, local, { code: 'EADDRINUSE' });
      return local;
    }
    for (let tries = FIRST_EPHEMERAL_PORT; tries <= LAST_PORT; tries++) {
      const at = { address: local.address, port: this.ephemeralPort() };
      if (!this.#isTaken(at, taken)) return at;
    }
    throw new TandemError({ code: 'address_in_use', message: `no free port left on ${local.address}` });
  }

  #isTaken(at: SocketAddress, taken: ReadonlyMap<string, unknown>): boolean {
    if (taken.has(printAddress(at)) || taken.has(anyAddress(at))) return true;
    return isWildcard(at.address) && this.addresses.some((address) => taken.has(printAddress({ ...at, address })));
  }
}

const anyAddress = (at: SocketAddress): string =>
  printAddress({ address: at.address.includes(':') ? '::' : '0.0.0.0', port: at.port });
