/**
 * What programs do with a network: the shapes that sockets and name servers take. `net` implements them with sockets,
 * `net/sim` in memory; their users, of which the SIP engine is one, import neither.
 */

/** A numeric IP address (IPv6 without brackets) and a port. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** A bound UDP socket. */
export interface DatagramSocket {
  /** The bound address; the port is the real one when 0 was asked for. */
  readonly local: SocketAddress;
  /**
   * Sends one datagram; never throws and never waits. It may leave at the end of the turn: `data` must stay as it is.
   * @param expectAnswer true asks for what prevents it (an ICMP refusal of this peer, an address that cannot be sent to)
   * to be reported through `onUnreachable`.
   */
  send(data: Buffer, address: string, port: number, expectAnswer: boolean): void;
  /** Datagrams already handed to `send` still leave. The sink hears nothing more. */
  close(): void;
}

/** Receiver of a UDP socket's events. Must not throw. */
export interface DatagramSink {
  onDatagram(data: Buffer, address: string, port: number): void;
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

/** One stream connection: accepted or dialled. */
export interface StreamConnection {
  /** Of a dialled connection: port 0 until it is up. */
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** True: each `write` and each `onData` is one whole message, and nothing has to be framed. */
  readonly messages?: boolean;
  /** False once closed; data is then dropped. Data written before the connection is up is queued, up to a bound. */
  write(data: Buffer): boolean;
  /** Flushes, then closes. */
  close(): void;
}

/** Receiver of a stream's events. Must not throw. */
export interface StreamSink {
  onConnected?(): void;
  onData(chunk: Buffer): void;
  /** Exactly once, whoever closed. `code` as in errno when it ended by an error. */
  onClose(code?: string): void;
}

/** A listening stream socket. Closing it leaves the accepted connections to their owners. */
export interface StreamListener {
  readonly local: SocketAddress;
  close(): void;
}

/** What a program does with a network; `NodeNetwork` and `SimHost` are the two implementations. */
export interface Network {
  bindDatagram(local: SocketAddress, sink: DatagramSink): Promise<DatagramSocket>;
  listenStream(
    local: SocketAddress,
    accept: (connection: StreamConnection) => StreamSink,
    protocol?: StreamProtocol,
  ): Promise<StreamListener>;
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
export interface NameResolver {
  /** Host name to addresses (A and AAAA). */
  resolve(host: string, answer: (outcome: ResolveOutcome) => void): void;
  /** SRV records of a name; absent: nobody asks, and names mean their addresses only. */
  resolveServices?(name: string, answer: (outcome: RecordsOutcome<ServiceRecord>) => void): void;
  /** NAPTR records of a name. */
  resolveNaming?(name: string, answer: (outcome: RecordsOutcome<NamingRecord>) => void): void;
}
