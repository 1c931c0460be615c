import { createServer, isIP, Socket } from 'node:net';
import { type Clock, SystemClock } from '../kernel/index.js';
import { errorCode } from './addresses.js';
import { bindSocket, NodeDatagramSocket } from './datagram.js';
import { listenError } from './listenErrors.js';
import type {
  DatagramSink,
  DatagramSocket,
  Network,
  SocketAddress,
  StreamConnection,
  StreamListener,
  StreamSink,
} from './ports.js';
import { NodeStreamConnection, type StreamOptions } from './stream.js';

export interface NodeNetworkOptions {
  /** Default: a SystemClock of its own. */
  readonly clock?: Clock;
  /**
   * Give each UDP peer that owes an answer a connected socket, so that refusals are seen at once. Default: true on
   * Linux, whose rules for sockets that share a port it relies on; false elsewhere.
   */
  readonly connectPeers?: boolean;
  /** Default 5000. */
  readonly connectTimeoutMs?: number;
  /** Accepted connections of one listener that may be open at a time; more are closed at once. Default 10000. */
  readonly maxAccepted?: number;
}

export interface NetworkDump {
  readonly datagramSockets: number;
  readonly connectedPeers: number;
  readonly listeners: number;
  readonly streams: number;
}

/** The machine's own network: UDP and TCP over IPv4 and IPv6. Addresses are numeric; names are the resolver's work. */
export class NodeNetwork implements Network {
  readonly #clock: Clock;
  readonly #connectPeers: boolean;
  readonly #connectTimeoutMs: number;
  readonly #maxAccepted: number;
  readonly #datagramSockets = new Set<NodeDatagramSocket>();
  readonly #listeners = new Set<StreamListener>();
  readonly #streams = new Set<NodeStreamConnection>();
  readonly #streamOptions: StreamOptions;

  constructor(options: NodeNetworkOptions = {}) {
    this.#clock = options.clock ?? new SystemClock();
    this.#connectPeers = options.connectPeers ?? process.platform === 'linux';
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
    this.#maxAccepted = options.maxAccepted ?? 10_000;
    this.#streamOptions = { clock: this.#clock, onClosed: (stream) => this.#streams.delete(stream) };
  }

  /**
   * Opens a UDP port; port 0 takes a free one. `::` means IPv6 only.
   * @throws TandemError address_in_use, address_not_available, address_not_permitted, address_invalid, listen_failed.
   */
  async bindDatagram(local: SocketAddress, sink: DatagramSink): Promise<DatagramSocket> {
    if (!isBindable(local)) throw listenError('udp', local, { code: 'EINVAL' });
    try {
      const bound = new NodeDatagramSocket(await bindSocket(local, this.#connectPeers), sink, {
        clock: this.#clock,
        connectPeers: this.#connectPeers,
        onClosed: (socket) => this.#datagramSockets.delete(socket),
      });
      this.#datagramSockets.add(bound);
      return bound;
    } catch (error) {
      throw listenError('udp', local, error);
    }
  }

  /**
   * Opens a TCP port; port 0 takes a free one. `::` means IPv6 only.
   * @throws TandemError as bindDatagram.
   */
  listenStream(local: SocketAddress, accept: (connection: StreamConnection) => StreamSink): Promise<StreamListener> {
    if (!isBindable(local)) return Promise.reject(listenError('tcp', local, { code: 'EINVAL' }));
    const server = createServer({ noDelay: true }, (socket) => {
      const remote = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
      const connection = this.#adopt(socket, remote);
      connection.feed(accept(connection));
    });
    server.maxConnections = this.#maxAccepted;
    return new Promise((resolve, reject) => {
      const failed = (error: unknown): void => reject(listenError('tcp', local, error));
      server.once('error', failed);
      const opened = (): void => {
        server.off('error', failed);
        // Out of file descriptors while accepting: the listener goes on, the caller tries again.
        server.on('error', () => {});
        const listener = this.#listener(server.address() as SocketAddress, () => server.close());
        resolve(listener);
      };
      try {
        const ipv6Only = local.address.includes(':');
        server.listen({ host: local.address, port: local.port, ipv6Only, exclusive: true }, opened);
      } catch (error) {
        failed(error);
      }
    });
  }

  /** Dials a numeric address. Everything that can go wrong reaches the sink's `onClose`, never within this call. */
  connectStream(remote: SocketAddress, sink: StreamSink): StreamConnection {
    const socket = new Socket();
    const connection = this.#adopt(socket, remote);
    connection.feed(sink);
    connection.limitConnect(this.#connectTimeoutMs);
    try {
      socket.connect({ host: remote.address, port: remote.port, lookup: refuseNames });
    } catch (error) {
      connection.destroy(errorCode(error, 'EINVAL'));
    }
    return connection;
  }

  /** What is open. */
  dump(): NetworkDump {
    let connectedPeers = 0;
    for (const socket of this.#datagramSockets) connectedPeers += socket.peerCount;
    return {
      datagramSockets: this.#datagramSockets.size,
      connectedPeers,
      listeners: this.#listeners.size,
      streams: this.#streams.size,
    };
  }

  #adopt(socket: Socket, remote: SocketAddress): NodeStreamConnection {
    const connection = new NodeStreamConnection(socket, remote, this.#streamOptions);
    this.#streams.add(connection);
    return connection;
  }

  #listener(bound: SocketAddress, close: () => void): StreamListener {
    const listener: StreamListener = {
      local: { address: bound.address, port: bound.port },
      close: () => {
        if (this.#listeners.delete(listener)) close();
      },
    };
    this.#listeners.add(listener);
    return listener;
  }
}

/** dgram wraps a port above 65535 around, and both modules would look a name up. */
const isBindable = ({ address, port }: SocketAddress): boolean =>
  isIP(address) !== 0 && Number.isInteger(port) && port >= 0 && port <= 65_535;

/** Numeric addresses never come here. */
const refuseNames = (
  host: string,
  _options: unknown,
  answer: (error: NodeJS.ErrnoException | null, address: string, family: number) => void,
): void => {
  process.nextTick(() => answer(Object.assign(new Error(`${host} is not numeric`), { code: 'EINVAL' }), '', 4));
};
