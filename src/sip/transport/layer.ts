import { type Clock, hostPort } from '../../kernel/index.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import { limitsWith } from '../message/limits.js';
import { type MessageLimits, type ParseFailure, parseMessage } from '../message/parse.js';
import type {
  SipNetwork,
  SocketAddress,
  StreamConnection,
  StreamListener,
  StreamProtocol,
  StreamSink,
  TransportName,
} from '../ports.js';
import { Flows } from './flows.js';
import { Hop, type ListenSpec, type Listener, familyOf, hopKey } from './hop.js';
import { type BoundPort, describePort, faceTo } from './listeners.js';
import type { OverloadGate } from './overload.js';
import { type StreamOwner, StreamPeer } from './streamPeer.js';
import { StreamUpkeep } from './upkeep.js';

/** A message's origin, with the listener that took it and the hop that leads back to its socket. */
export interface Arrival {
  readonly transport: TransportName;
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly bytes: number;
  readonly listener: Listener;
  /** For streams: the connection it came over. */
  readonly hop: Hop | undefined;
  /** An INVITE that overload control has let in. */
  admitted?: boolean;
}

export interface TransportSink {
  onRequest(request: SipRequest, arrival: Arrival): void;
  onResponse(response: SipResponse, arrival: Arrival): void;
  onMalformed(failure: ParseFailure, arrival: Arrival): void;
  /** Where there is overload control. @returns true when the message is dealt with, or will be, and is not to be parsed now */
  onPressed(data: Buffer, arrival: Arrival): boolean;
  /** A connection that is somebody's way to a registered contact is gone. */
  onFlowClosed(flow: string): void;
  /** A message made the engine itself throw: reported, and the socket's callback returns as ever. */
  onFault(error: unknown): void;
}

export interface TransportOptions {
  readonly network: SipNetwork;
  readonly clock: Clock;
  readonly limits?: Partial<MessageLimits> | undefined;
  /** A stream whose message is not whole by then, the first one counted from the start, is closed. */
  readonly firstMessageMs?: number | undefined;
  /** Hops kept for ICMP errors and connections; idle datagram hops beyond it go. */
  readonly maxHops?: number | undefined;
  /** Refuses new calls while there are too many; absent: nobody does. */
  readonly overload?: OverloadGate | undefined;
  /** Most streams open at a time, accepted and dialled; beyond it silent ones give way, then new ones are closed. */
  readonly maxConnections?: number | undefined;
  /** A stream that nobody needs and that was silent for so long is closed; 0 or absent: never. */
  readonly idleConnectionMs?: number | undefined;
  /** How often a silent stream that we dialled gets a double CRLF (RFC 5626 §3.5.1); 0 or absent: never. */
  readonly keepAliveMs?: number | undefined;
}

/** The most that fits a UDP datagram over IPv4. */
export const MAX_DATAGRAM_BYTES = 65_507;
/** Hops looked at when the table is full: keeps the price of a new hop constant. */
const SWEEP = 64;
/** A connection that had a message within this time is not given up for a new one. */
const BUSY_WITHIN_MS = 60_000;

const DEAF: StreamSink = { onData: () => {}, onClose: () => {} };

/** RFC 3261 §18: listeners, connections, and which of them a message takes. */
export class TransportLayer implements StreamOwner {
  readonly options: TransportOptions;
  readonly clock: Clock;
  readonly limits: MessageLimits;
  readonly messageMs: number;
  readonly listeners: Listener[] = [];
  readonly flows = new Flows(this.listeners);
  stopped = false;
  readonly #sink: TransportSink;
  readonly #hops = new Map<string, Hop>();
  readonly #streams = new Set<StreamPeer>();
  /** Accepted streams that have not delivered a message yet, oldest first. */
  readonly #unproven = new Set<StreamPeer>();
  readonly #streamListeners: StreamListener[] = [];
  readonly #upkeep: StreamUpkeep;

  constructor(options: TransportOptions, sink: TransportSink) {
    this.options = options;
    this.clock = options.clock;
    this.limits = limitsWith(options.limits);
    this.messageMs = options.firstMessageMs ?? 30_000;
    this.#sink = sink;
    const { idleConnectionMs: idleMs = 0, keepAliveMs = 0 } = options;
    this.#upkeep = new StreamUpkeep(options.clock, { idleMs, keepAliveMs }, this.#streams);
  }

  /** @throws TandemError when an address cannot be bound. */
  async listen(specs: readonly ListenSpec[]): Promise<void> {
    for (const spec of specs) {
      if (spec.transport === 'udp') await this.#listenDatagram(spec);
      else await this.#listenStream(spec, spec.transport);
    }
  }

  async #listenDatagram(spec: ListenSpec): Promise<void> {
    const box: { port?: BoundPort } = {};
    const socket = await this.options.network.bindDatagram(spec, {
      onDatagram: (data, address, port) => {
        if (box.port === undefined || this.stopped) return;
        const listener = faceTo(box.port, address);
        if (listener.admits?.(address) === false) return;
        this.deliver(data, {
          transport: 'udp',
          address,
          port,
          localAddress: listener.local.address,
          localPort: listener.local.port,
          bytes: data.length,
          listener,
          hop: undefined,
        });
      },
      onUnreachable: (address, port, code) => {
        // A datagram that was too long says nothing about the peer, who may owe answers to others.
        if (box.port === undefined || code === 'EMSGSIZE') return;
        this.#hops.get(hopKey(faceTo(box.port, address), address, port))?.fail(code);
      },
    });
    box.port = this.#opened(describePort(spec, socket.local, socket));
  }

  async #listenStream(spec: ListenSpec, protocol: StreamProtocol): Promise<void> {
    const box: { port?: BoundPort } = {};
    const accept = (connection: StreamConnection): StreamSink =>
      this.#accept(faceTo(box.port ?? describePort(spec, spec, undefined), connection.remote.address), connection);
    const accepted = await this.options.network.listenStream(spec, accept, protocol);
    box.port = this.#opened(describePort(spec, accepted.local, undefined));
    this.#streamListeners.push(accepted);
  }

  #opened(port: BoundPort): BoundPort {
    this.listeners.push(port.outer);
    if (port.inner !== undefined) this.listeners.push(port.inner);
    return port;
  }

  #accept(listener: Listener, connection: StreamConnection): StreamSink {
    if (this.stopped || listener.admits?.(connection.remote.address) === false || !this.#hasRoom()) {
      connection.close();
      return DEAF;
    }
    const hop = new Hop(listener, connection.remote.address, connection.remote.port, false);
    const peer = new StreamPeer(this, hop, true);
    hop.connection = peer.connection = connection;
    this.#hops.set(hopKey(listener, hop.address, hop.port), hop);
    this.#streams.add(peer);
    this.#upkeep.begin();
    this.#unproven.add(peer);
    return peer;
  }

  /** At the limit the oldest stream that never said anything gives way, then the one that was silent longest. */
  #hasRoom(): boolean {
    if (this.#streams.size < (this.options.maxConnections ?? 4096)) return true;
    let victim: StreamPeer | undefined = this.#unproven.values().next().value;
    if (victim === undefined) {
      const before = this.clock.nowMs() - BUSY_WITHIN_MS;
      for (const peer of this.#streams) {
        if (peer.activeMs > before || peer.isNeeded) continue;
        if (victim === undefined || peer.activeMs < victim.activeMs) victim = peer;
      }
    }
    if (victim === undefined) return false;
    this.#streams.delete(victim);
    this.#unproven.delete(victim);
    victim.close();
    return true;
  }

  streamMessage(peer: StreamPeer, data: Buffer): void {
    this.#unproven.delete(peer);
    this.deliver(data, arrivalOf(peer.hop, data.length));
  }

  /** A stream whose framing is lost: what there is of the message is refused, then the connection closes. */
  streamBroken(peer: StreamPeer, data: Buffer, reason: string): void {
    const parsed = parseMessage(data, this.limits);
    const failure: ParseFailure = parsed.ok
      ? 'method' in parsed.value
        ? { reason, detail: reason, kind: 'request', status: 400, partial: parsed.value }
        : { reason, detail: reason, kind: 'response', status: 0, partial: undefined }
      : parsed.error;
    try {
      this.#sink.onMalformed(failure, arrivalOf(peer.hop, data.length));
    } catch (error) {
      this.#sink.onFault(error);
    }
  }

  streamClosed(peer: StreamPeer, code: string): void {
    this.#streams.delete(peer);
    if (this.#streams.size === 0) this.#upkeep.stop();
    this.#unproven.delete(peer);
    const { hop } = peer;
    // The hop may have been dialled anew meanwhile.
    if (hop.connection !== peer.connection) return;
    hop.connection = undefined;
    const key = keyOf(hop);
    if (this.#hops.get(key) === hop) this.#hops.delete(key);
    const flow = this.flows.closed(hop);
    if (flow !== undefined) this.#sink.onFlowClosed(flow);
    hop.fail(code);
  }

  deliver(data: Buffer, arrival: Arrival): void {
    if (data.length <= 4 && isKeepAlive(data)) return; // RFC 5626 §3.5.1 keep-alive by datagram
    try {
      if (this.options.overload !== undefined && this.#sink.onPressed(data, arrival)) return;
      this.#parse(data, arrival);
    } catch (error) {
      this.#sink.onFault(error);
    }
  }

  /** What `onPressed` has kept. */
  deliverLate(data: Buffer, arrival: Arrival): void {
    if (this.stopped) return;
    try {
      this.#parse(data, arrival);
    } catch (error) {
      this.#sink.onFault(error);
    }
  }

  #parse(data: Buffer, arrival: Arrival): void {
    const parsed = parseMessage(data, this.limits);
    if (!parsed.ok) this.#sink.onMalformed(parsed.error, arrival);
    else if ('method' in parsed.value) this.#sink.onRequest(parsed.value, arrival);
    else this.#sink.onResponse(parsed.value, arrival);
  }

  /** The listener that a request to this address leaves from; undefined when none has its transport and family. */
  listenerFor(transport: TransportName, address: string, preferredLocal?: string): Listener | undefined {
    const family = familyOf(address);
    let best: Listener | undefined;
    let bestScore = -1;
    for (const listener of this.listeners) {
      if (listener.transport !== transport || listener.family !== family || listener.admits !== undefined) continue;
      if (listener.reaches?.(address) === false) continue;
      const score = listener.local.address === preferredLocal ? 1000 : commonOctets(listener, address);
      if (score > bestScore) {
        best = listener;
        bestScore = score;
      }
    }
    return best;
  }

  /**
   * The shared hop to a peer, dialling a stream connection when there is none.
   * @param serverName for TLS: a connection is shared only by requests for the name that its certificate was checked for
   */
  hopTo(listener: Listener, address: string, port: number, serverName?: string): Hop {
    const key = hopKey(listener, address, port, isSecure(listener) ? serverName : undefined);
    const known = this.#hops.get(key);
    if (known !== undefined) return known;
    const hop = new Hop(listener, address, port, true);
    if (isSecure(listener)) hop.serverName = serverName ?? address;
    return this.#openHop(key, hop);
  }

  /** As hopTo, without TLS, where a connection that has to be dialled is worth that many milliseconds and no more. */
  hopWithin(listener: Listener, { address, port }: SocketAddress, dialMs: number): Hop {
    const key = hopKey(listener, address, port);
    const known = this.#hops.get(key);
    if (known !== undefined) return known;
    const hop = new Hop(listener, address, port, true);
    hop.dialMs = dialMs;
    return this.#openHop(key, hop);
  }

  #openHop(key: string, hop: Hop): Hop {
    if (this.#hops.size >= (this.options.maxHops ?? 10_000)) this.#sweepHops();
    this.#hops.set(key, hop);
    if (hop.reliable) this.#dial(hop);
    return hop;
  }

  /** @param expectAnswer true for requests other than ACK. */
  send(hop: Hop, data: Buffer, expectAnswer: boolean): void {
    const { socket } = hop.listener;
    if (socket !== undefined) socket.send(data, hop.address, hop.port, expectAnswer);
    // Closed, or being closed by the peer: what it had is lost to it, what we have now takes a new connection.
    else if (hop.connection?.write(data) !== true && hop.dialable) this.#dial(hop)?.write(data);
  }

  #dial(hop: Hop): StreamConnection | undefined {
    if (this.stopped) return undefined;
    const peer = new StreamPeer(this, hop, false);
    this.#streams.add(peer);
    this.#upkeep.begin();
    this.#hops.set(keyOf(hop), hop);
    const protocol = hop.transport === 'udp' ? 'tcp' : hop.transport;
    const how = { protocol, serverName: hop.serverName, timeoutMs: hop.dialMs, from: hop.listener.local.address };
    peer.connection = this.options.network.connectStream({ address: hop.address, port: hop.port }, peer, how);
    hop.connection = peer.connection;
    return peer.connection;
  }

  isLocal(host: string, port: number | undefined): boolean {
    const wanted = hostPort(host, port ?? 5060);
    return this.listeners.some(
      (l) => l.sentBy === wanted || (l.local.port === (port ?? 5060) && l.local.address === host),
    );
  }

  stop(): void {
    this.stopped = true;
    this.#upkeep.stop();
    for (const listener of this.listeners) if (!listener.isInner) listener.socket?.close();
    for (const listener of this.#streamListeners) listener.close();
    for (const peer of [...this.#streams]) peer.close();
    this.#hops.clear();
  }

  dump(): Record<string, unknown> {
    const listeners = this.listeners.filter((l) => !l.isInner).map((l) => `${l.transport}/${l.sentBy}`);
    return { listeners, connections: this.#streams.size, hops: this.#hops.size, flows: this.flows.size };
  }

  /** Looks at the oldest hops only; those in use move to the end, so that the next sweep looks at others. */
  #sweepHops(): void {
    let looks = SWEEP;
    for (const [key, hop] of this.#hops) {
      if (looks-- === 0) return;
      this.#hops.delete(key);
      if (hop.connection !== undefined || hop.waiting.size > 0) this.#hops.set(key, hop);
    }
  }
}

const isSecure = ({ transport }: Listener): boolean => transport === 'tls' || transport === 'wss';

const keyOf = ({ listener, address, port, serverName }: Hop): string => hopKey(listener, address, port, serverName);

const arrivalOf = (hop: Hop, bytes: number): Arrival => {
  const local = hop.connection?.local ?? hop.listener.local;
  return {
    transport: hop.transport,
    address: hop.address,
    port: hop.port,
    localAddress: local.address,
    localPort: hop.listener.local.port,
    bytes,
    listener: hop.listener,
    hop,
  };
};

/** How many leading octets two IPv4 addresses share; loopback to loopback counts, so that 127/8 peers see 127/8. */
const commonOctets = ({ local }: Listener, address: string): number => {
  let shared = 0;
  for (let i = 0; i < address.length && shared < 4; i++) {
    const c = address.charCodeAt(i);
    if (c !== local.address.charCodeAt(i)) return shared;
    if (c === DOT) shared++;
  }
  return shared + (local.address === address ? 1 : 0);
};

const DOT = 0x2e;

const isKeepAlive = (data: Buffer): boolean => {
  for (const byte of data) if (byte !== 13 && byte !== 10 && byte !== 0) return false;
  return true;
};
