import { isIP, Socket } from 'node:net';
import { type PeerCertificate, connect as connectTls } from 'node:tls';
import { WebSocket } from 'ws';
import {
  type Clock,
  type DatagramSink,
  type DatagramSocket,
  type Network,
  type SocketAddress,
  type StreamConnection,
  type StreamDial,
  type StreamListener,
  type StreamProtocol,
  type StreamSink,
  SystemClock,
  TandemError,
  hostPort,
} from '../kernel/index.js';
import { errorCode, isLoopback, isWildcard } from './addresses.js';
import { bindSocket, NodeDatagramSocket } from './datagram.js';
import { listenError } from './listenErrors.js';
import { Outbox } from './outbox.js';
import { ReceivePace } from './receivePace.js';
import { createStreamServer } from './servers.js';
import { NodeStreamConnection, type StreamOptions } from './stream.js';
import { MIN_TLS, type TlsIdentity, checkSipIdentity } from './tlsIdentity.js';
import {
  SIP_SUBPROTOCOL,
  SipWebSocketGate,
  type WebSocketDeps,
  type WebSocketLimits,
  WebSocketStream,
} from './webSocketStream.js';

export interface NodeNetworkOptions {
  /** Default: a SystemClock of its own. */
  readonly clock?: Clock;
  /**
   * Give each UDP peer that owes an answer a connected socket, so that refusals are seen at once. Default: true on
   * Linux, whose rules for sockets that share a port it relies on; false elsewhere.
   */
  readonly connectPeers?: boolean;
  /** Longest time in milliseconds that a datagram waits for others while many come (see ReceivePace); 0 or absent: none. */
  readonly gatherMs?: number | undefined;
  /** Called before anything leaves by UDP or a stream, at least once a turn in which something does. Must not throw, nor send. */
  readonly beforeSending?: (() => void) | undefined;
  /** Default 5000. */
  readonly connectTimeoutMs?: number;
  /** Accepted connections of one listener that may be open at a time; more are closed at once. Default 10000. */
  readonly maxAccepted?: number;
  /** For TLS and WSS: without it neither is served, and peers are checked against the authorities that Node knows. */
  readonly tls?: TlsIdentity | undefined;
  readonly webSocket?: WebSocketLimits | undefined;
}

const WEB_SOCKET_LIMITS: WebSocketLimits = { maxMessageBytes: 65_536 };

export interface NetworkDump {
  readonly datagramSockets: number;
  readonly connectedPeers: number;
  readonly listeners: number;
  readonly streams: number;
}

/** The machine's own network: UDP, TCP, TLS and WebSocket over IPv4 and IPv6. Addresses are numeric; names are the resolver's work. */
export class NodeNetwork implements Network {
  readonly #clock: Clock;
  readonly #connectPeers: boolean;
  readonly #outbox: Outbox;
  readonly #beforeSending: () => void;
  readonly #pace: ReceivePace | undefined;
  readonly #connectTimeoutMs: number;
  readonly #maxAccepted: number;
  readonly #datagramSockets = new Set<NodeDatagramSocket>();
  readonly #listeners = new Set<StreamListener>();
  readonly #streams = new Set<NodeStreamConnection | WebSocketStream>();
  readonly #streamOptions: StreamOptions;
  readonly #tls: TlsIdentity | undefined;
  readonly #webSocket: WebSocketLimits;

  constructor(options: NodeNetworkOptions = {}) {
    this.#clock = options.clock ?? new SystemClock();
    this.#connectPeers = options.connectPeers ?? process.platform === 'linux';
    const { gatherMs = 0, beforeSending = nothing } = options;
    this.#beforeSending = beforeSending;
    this.#outbox = new Outbox(beforeSending);
    this.#pace = gatherMs > 0 ? new ReceivePace(gatherMs, () => this.#outbox.release()) : undefined;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
    this.#maxAccepted = options.maxAccepted ?? 10_000;
    this.#tls = options.tls;
    this.#webSocket = options.webSocket ?? WEB_SOCKET_LIMITS;
    this.#streamOptions = { clock: this.#clock, beforeSending, onClosed: (stream) => this.#streams.delete(stream) };
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
        beforeSending: this.#beforeSending,
        outbox: this.#outbox,
        pace: this.#pace,
        onClosed: (socket) => this.#datagramSockets.delete(socket),
      });
      this.#datagramSockets.add(bound);
      return bound;
    } catch (error) {
      throw listenError('udp', local, error);
    }
  }

  /**
   * Opens a port for streams; port 0 takes a free one. `::` means IPv6 only.
   * @throws TandemError as bindDatagram; `certificate_missing` for TLS and WSS without certificates.
   */
  listenStream(
    local: SocketAddress,
    accept: (connection: StreamConnection) => StreamSink,
    protocol: StreamProtocol = 'tcp',
  ): Promise<StreamListener> {
    if (!isBindable(local)) return Promise.reject(listenError(protocol, local, { code: 'EINVAL' }));
    const server = createStreamServer(protocol, {
      tls: this.#tls,
      gate: new SipWebSocketGate(this.#webSocket),
      onSocket: (socket) => {
        const connection = this.#adopt(new NodeStreamConnection(socket, remoteOf(socket), this.#streamOptions));
        connection.feed(accept(connection));
      },
      onWebSocket: (webSocket, socket) => {
        const ends = { local: localOf(socket), remote: remoteOf(socket) };
        const connection = this.#adopt(new WebSocketStream(webSocket, ends, this.#webSocketDeps));
        connection.feed(accept(connection));
      },
    });
    if (server instanceof TandemError) return Promise.reject(server);
    server.maxConnections = this.#maxAccepted;
    return new Promise((resolve, reject) => {
      const failed = (error: unknown): void => reject(listenError(protocol, local, error));
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

  /**
   * Dials a numeric address. Everything that can go wrong reaches the sink's `onClose`, never within this call: for TLS
   * also a certificate that does not hold `serverName` (ERR_TLS_CERT_ALTNAME_INVALID), that nobody known has signed, or
   * that is out of date (CERT_HAS_EXPIRED).
   */
  connectStream(remote: SocketAddress, sink: StreamSink, how: StreamDial = { protocol: 'tcp' }): StreamConnection {
    if (how.protocol === 'ws' || how.protocol === 'wss') return this.#dialWebSocket(remote, sink, how);
    const secure = how.protocol === 'tls';
    const socket = secure ? connectTls({ ...ends(remote, how), ...this.#tlsDial(remote, how) }) : new Socket();
    const upEvent = secure ? 'secureConnect' : 'connect';
    const connection = this.#adopt(new NodeStreamConnection(socket, remote, this.#streamOptions, upEvent));
    connection.feed(sink);
    connection.limitConnect(how.timeoutMs ?? this.#connectTimeoutMs);
    if (secure) return connection;
    try {
      socket.connect(ends(remote, how));
    } catch (error) {
      connection.destroy(errorCode(error, 'EINVAL'));
    }
    return connection;
  }

  #dialWebSocket(remote: SocketAddress, sink: StreamSink, how: StreamDial): StreamConnection {
    const place = hostPort(how.serverName ?? remote.address, remote.port);
    const socket = new WebSocket(`${how.protocol}://${place}/`, SIP_SUBPROTOCOL, {
      perMessageDeflate: false,
      maxPayload: this.#webSocket.maxMessageBytes,
      followRedirects: false,
      // The name goes into Host and is what the certificate must hold; where to is decided already.
      lookup: (_host, options, answer) => {
        const family = remote.address.includes(':') ? 6 : 4;
        if (options.all === true) (answer as unknown as AllAnswer)(null, [{ address: remote.address, family }]);
        else (answer as unknown as OneAnswer)(null, remote.address, family);
      },
      ...this.#tlsDial(remote, how),
      ...sourceOf(remote, how),
    });
    const places = { local: { address: remote.address.includes(':') ? '::' : '0.0.0.0', port: 0 }, remote };
    const connection = this.#adopt(new WebSocketStream(socket, places, this.#webSocketDeps));
    connection.feed(sink);
    connection.limitConnect(how.timeoutMs ?? this.#connectTimeoutMs);
    return connection;
  }

  #tlsDial(remote: SocketAddress, { serverName = remote.address }: StreamDial) {
    const context = this.#tls === undefined ? {} : { secureContext: this.#tls.contextFor(undefined) };
    return {
      ...context,
      minVersion: MIN_TLS,
      // RFC 6066 §3: a numeric address is no server name.
      servername: isIP(serverName) === 0 ? serverName : '',
      checkServerIdentity: (_host: string, certificate: PeerCertificate) => checkSipIdentity(serverName, certificate),
    } as const;
  }

  /** How long the thread has meant to rest so far, to let datagrams gather. */
  get restedMs(): number {
    return this.#pace?.restedMs ?? 0;
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

  #adopt<T extends NodeStreamConnection | WebSocketStream>(connection: T): T {
    this.#streams.add(connection);
    return connection;
  }

  get #webSocketDeps(): WebSocketDeps {
    return {
      clock: this.#clock,
      beforeSending: this.#beforeSending,
      onClosed: (stream: WebSocketStream) => void this.#streams.delete(stream),
    };
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

const nothing = (): void => {};

type OneAnswer = (error: null, address: string, family: number) => void;
type AllAnswer = (error: null, addresses: readonly { readonly address: string; readonly family: number }[]) => void;

const remoteOf = (socket: Socket): SocketAddress => ({
  address: socket.remoteAddress ?? '',
  port: socket.remotePort ?? 0,
});

const localOf = (socket: Socket): SocketAddress => ({
  address: socket.localAddress ?? '',
  port: socket.localPort ?? 0,
});

const ends = (remote: SocketAddress, how: StreamDial) => ({
  ...{ host: remote.address, port: remote.port, lookup: refuseNames },
  ...sourceOf(remote, how),
});

/** A listener on loopback reaches no other machine from its own address; then the system chooses one that does. */
const sourceOf = (remote: SocketAddress, { from }: StreamDial): { readonly localAddress?: string } =>
  from === undefined || isWildcard(from) || (isLoopback(from) && !isLoopback(remote.address))
    ? {}
    : { localAddress: from };

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
