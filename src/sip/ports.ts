/**
 * What the engine needs of the outside world. `src/net` implements these with sockets, `src/net/sim` in memory;
 * the engine itself never imports either.
 */

/** Transports of RFC 3261 §18 and RFC 7118, in lower case as in URI parameters. */
export type TransportName = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';

/** A numeric IP address (IPv6 without brackets) and a port. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

export interface DatagramSocket {
  /** The bound address; the port is the real one when 0 was asked for. */
  readonly local: SocketAddress;
  /**
   * Sends one datagram. Never throws and never waits.
   * @param expectAnswer true for requests: the implementation then reports an ICMP "unreachable" for this peer
   * through `onUnreachable`, where the system can tell.
   */
  send(data: Buffer, address: string, port: number, expectAnswer: boolean): void;
  close(): void;
}

export interface DatagramSink {
  onDatagram(data: Buffer, address: string, port: number): void;
  /** The peer refused a datagram (ICMP port or host unreachable), or sending failed at once. `code` as in errno. */
  onUnreachable(address: string, port: number, code: string): void;
}

/** What runs on a stream: SIP at once, or within TLS; a stream of octets, or whole messages (WebSocket, RFC 7118). */
export type StreamProtocol = 'tcp' | 'tls' | 'ws' | 'wss';

/** How to dial. */
export interface StreamDial {
  /** Default `tcp`. */
  readonly protocol: StreamProtocol;
  /** For TLS: the name (or numeric address) that the peer's certificate must hold, RFC 5922. */
  readonly serverName?: string | undefined;
  /** Give up with ETIMEDOUT after this long; default: as long as the network thinks right. */
  readonly timeoutMs?: number | undefined;
  /** The listener's address, which peers know us by: the connection comes from there. A wildcard leaves it open. */
  readonly from?: string | undefined;
}

/** One stream connection: accepted or dialled. Data written before it is up is queued (bounded). */
export interface StreamConnection {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** True: each `write` and each `onData` is one whole message, and nothing has to be framed. */
  readonly messages?: boolean;
  /** False once closed; data is then dropped. */
  write(data: Buffer): boolean;
  /** Flushes, then closes. `onClose` of the sink is told exactly once, whoever closed. */
  close(): void;
}

export interface StreamSink {
  onConnected?(): void;
  onData(chunk: Buffer): void;
  /** Exactly once. `code` (ECONNREFUSED, ETIMEDOUT ...) when it ended by an error. */
  onClose(code?: string): void;
}

export interface StreamListener {
  readonly local: SocketAddress;
  close(): void;
}

export interface SipNetwork {
  bindDatagram(local: SocketAddress, sink: DatagramSink): Promise<DatagramSocket>;
  listenStream(
    local: SocketAddress,
    accept: (connection: StreamConnection) => StreamSink,
    protocol?: StreamProtocol,
  ): Promise<StreamListener>;
  /** Dials at once and returns; the outcome reaches the sink. */
  connectStream(remote: SocketAddress, sink: StreamSink, how?: StreamDial): StreamConnection;
}

export type ResolveOutcome =
  { readonly ok: true; readonly addresses: readonly string[] } | { readonly ok: false; readonly code: string };

/** An SRV record, RFC 2782. Target `.`: the service is decidedly not offered. */
export interface ServiceRecord {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
}

/** A NAPTR record, RFC 3403 §4, as far as RFC 3263 §4.1 looks at it. */
export interface NamingRecord {
  readonly order: number;
  readonly preference: number;
  readonly flags: string;
  readonly service: string;
  readonly replacement: string;
}

export type RecordsOutcome<R> =
  { readonly ok: true; readonly records: readonly R[] } | { readonly ok: false; readonly code: string };

/** Each may answer within the call when it knows; each answers exactly once, at the latest after a bounded time. */
export interface HostResolver {
  /** Host name to addresses (A and AAAA). */
  resolve(host: string, answer: (outcome: ResolveOutcome) => void): void;
  /** SRV records of a name; absent: nobody asks, and names mean their addresses only. */
  resolveServices?(name: string, answer: (outcome: RecordsOutcome<ServiceRecord>) => void): void;
  /** NAPTR records of a name. */
  resolveNaming?(name: string, answer: (outcome: RecordsOutcome<NamingRecord>) => void): void;
}
