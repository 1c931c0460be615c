import { type Clock, TandemError, type Timer } from '../../kernel/index.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import { type MessageLimits, type ParseFailure, parseMessage } from '../message/parse.js';
import { StreamFramer } from '../message/framing.js';
import { bracketHost } from '../message/uri.js';
import type { SipNetwork, StreamConnection, StreamListener, StreamSink, TransportName } from '../ports.js';
import { Hop, type ListenSpec, type Listener, familyOf, hopKey } from './hop.js';

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
}

export interface TransportSink {
  onRequest(request: SipRequest, arrival: Arrival): void;
  onResponse(response: SipResponse, arrival: Arrival): void;
  onMalformed(failure: ParseFailure, arrival: Arrival): void;
}

export interface TransportOptions {
  readonly network: SipNetwork;
  readonly clock: Clock;
  readonly limits?: Partial<MessageLimits> | undefined;
  /** A stream that has not delivered a whole message by then is closed. */
  readonly firstMessageMs?: number | undefined;
  /** Datagram hops kept for ICMP errors; the oldest idle ones go first. */
  readonly maxHops?: number | undefined;
}

const KEEP_ALIVE_PONG = Buffer.from('\r\n');

/** One accepted or dialled stream: framing on the way in, queueing by the network on the way out. */
class StreamPeer implements StreamSink {
  readonly hop: Hop;
  readonly #layer: TransportLayer;
  readonly #framer: StreamFramer;
  readonly #deadline: Timer | undefined;

  constructor(layer: TransportLayer, hop: Hop, accepted: boolean) {
    this.#layer = layer;
    this.hop = hop;
    this.#framer = new StreamFramer(layer.options.limits);
    if (accepted) {
      this.#deadline = layer.options.clock.setTimer(
        'stream_first_message',
        layer.options.firstMessageMs ?? 30_000,
        () => this.hop.connection?.close(),
      );
    }
  }

  onData(chunk: Buffer): void {
    for (const event of this.#framer.push(chunk)) {
      if (event.type === 'ping') {
        this.hop.connection?.write(KEEP_ALIVE_PONG); // RFC 5626 §4.4.1
        continue;
      }
      this.#deadline?.cancel();
      const arrival = this.#layer.arrivalOf(this.hop, event.data.length);
      if (event.type === 'message') {
        this.#layer.deliver(event.data, arrival);
      } else {
        this.#layer.deliverBroken(event.data, event.reason, arrival);
        this.hop.connection?.close();
        return;
      }
    }
  }

  onClose(code?: string): void {
    this.#deadline?.cancel();
    this.#layer.forget(this.hop);
    this.hop.fail(code ?? 'ECONNRESET');
  }
}

/** RFC 3261 §18: listeners, connections, and which of them a message takes. */
export class TransportLayer {
  readonly options: TransportOptions;
  readonly listeners: Listener[] = [];
  readonly #sink: TransportSink;
  readonly #hops = new Map<string, Hop>();
  readonly #streamListeners: StreamListener[] = [];
  #stopped = false;

  constructor(options: TransportOptions, sink: TransportSink) {
    this.options = options;
    this.#sink = sink;
  }

  /** @throws TandemError when an address cannot be bound. */
  async listen(specs: readonly ListenSpec[]): Promise<void> {
    for (const spec of specs) {
      if (spec.transport === 'udp') await this.#listenDatagram(spec);
      else if (spec.transport === 'tcp') await this.#listenStream(spec);
      else {
        throw new TandemError({
          code: 'transport_not_served',
          message: `cannot listen on ${spec.transport}://${spec.address}:${spec.port}: only udp and tcp are served`,
        });
      }
    }
  }

  async #listenDatagram(spec: ListenSpec): Promise<void> {
    const box: { listener?: Listener } = {};
    const socket = await this.options.network.bindDatagram(spec, {
      onDatagram: (data, address, port) => {
        const listener = box.listener;
        if (listener === undefined || this.#stopped) return;
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
        if (box.listener !== undefined) this.#hops.get(this.#datagramKey(box.listener, address, port))?.fail(code);
      },
    });
    box.listener = describeListener(spec, socket.local, socket);
    this.listeners.push(box.listener);
  }

  async #listenStream(spec: ListenSpec): Promise<void> {
    const box: { listener?: Listener } = {};
    const accepted = await this.options.network.listenStream(spec, (connection) => {
      const listener = box.listener ?? describeListener(spec, spec, undefined);
      const hop = new Hop(listener, connection.remote.address, connection.remote.port);
      hop.connection = connection;
      this.#hops.set(hopKey(hop.transport, hop.address, hop.port), hop);
      return new StreamPeer(this, hop, true);
    });
    box.listener = describeListener(spec, accepted.local, undefined);
    this.listeners.push(box.listener);
    this.#streamListeners.push(accepted);
  }

  arrivalOf(hop: Hop, bytes: number): Arrival {
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
  }

  deliver(data: Buffer, arrival: Arrival): void {
    if (data.length <= 4 && isKeepAlive(data)) return; // RFC 5626 §3.5.1 keep-alive by datagram
    const parsed = parseMessage(data, this.options.limits);
    if (!parsed.ok) this.#sink.onMalformed(parsed.error, arrival);
    else if ('method' in parsed.value) this.#sink.onRequest(parsed.value, arrival);
    else this.#sink.onResponse(parsed.value, arrival);
  }

  /** A stream whose framing is lost: what there is of the message is refused, then the connection closes. */
  deliverBroken(data: Buffer, reason: string, arrival: Arrival): void {
    const parsed = parseMessage(data, this.options.limits);
    const failure: ParseFailure = parsed.ok
      ? 'method' in parsed.value
        ? { reason, detail: reason, kind: 'request', status: 400, partial: parsed.value }
        : { reason, detail: reason, kind: 'response', status: 0, partial: undefined }
      : parsed.error;
    this.#sink.onMalformed(failure, arrival);
  }

  forget(hop: Hop): void {
    hop.connection = undefined;
    const key = hopKey(hop.transport, hop.address, hop.port);
    if (this.#hops.get(key) === hop) this.#hops.delete(key);
  }

  /** The listener that a request to this address leaves from; undefined when none has its transport and family. */
  listenerFor(transport: TransportName, address: string, preferredLocal?: string): Listener | undefined {
    const family = familyOf(address);
    let best: Listener | undefined;
    let bestScore = -1;
    for (const listener of this.listeners) {
      if (listener.transport !== transport || listener.family !== family) continue;
      const score = listener.local.address === preferredLocal ? 1000 : commonOctets(listener.local.address, address);
      if (score > bestScore) {
        best = listener;
        bestScore = score;
      }
    }
    return best;
  }

  /** The shared hop to a peer, dialling a stream connection when there is none. */
  hopTo(listener: Listener, address: string, port: number): Hop {
    const reliable = listener.transport !== 'udp';
    const key = reliable ? hopKey(listener.transport, address, port) : this.#datagramKey(listener, address, port);
    let hop = this.#hops.get(key);
    if (hop !== undefined) return hop;
    hop = new Hop(listener, address, port);
    if (reliable) {
      const peer = new StreamPeer(this, hop, false);
      hop.connection = this.options.network.connectStream({ address, port }, peer);
    } else if (this.#hops.size >= (this.options.maxHops ?? 10_000)) {
      this.#dropIdleHops();
    }
    this.#hops.set(key, hop);
    return hop;
  }

  /** @param expectAnswer true for requests other than ACK. */
  send(hop: Hop, data: Buffer, expectAnswer: boolean): void {
    if (hop.listener.socket !== undefined) hop.listener.socket.send(data, hop.address, hop.port, expectAnswer);
    else hop.connection?.write(data);
  }

  isLocal(host: string, port: number | undefined): boolean {
    const wanted = `${bracketHost(host)}:${port ?? 5060}`;
    return this.listeners.some(
      (l) => l.sentBy === wanted || (l.local.port === (port ?? 5060) && l.local.address === host),
    );
  }

  stop(): void {
    this.#stopped = true;
    for (const listener of this.listeners) listener.socket?.close();
    for (const listener of this.#streamListeners) listener.close();
    for (const hop of [...this.#hops.values()]) hop.connection?.close();
    this.#hops.clear();
  }

  dump(): Record<string, unknown> {
    let connections = 0;
    for (const hop of this.#hops.values()) if (hop.connection !== undefined) connections++;
    return { listeners: this.listeners.map((l) => `${l.transport}/${l.sentBy}`), connections, hops: this.#hops.size };
  }

  #datagramKey(listener: Listener, address: string, port: number): string {
    return `${listener.sentBy}>${address}:${port}`;
  }

  #dropIdleHops(): void {
    for (const [key, hop] of this.#hops) {
      if (hop.connection === undefined && hop.waiting.size === 0) this.#hops.delete(key);
    }
  }
}

const describeListener = (
  spec: ListenSpec,
  local: { readonly address: string; readonly port: number },
  socket: Listener['socket'],
): Listener => {
  const host = bracketHost(spec.advertise?.host ?? local.address);
  const sentBy = `${host}:${spec.advertise?.port ?? local.port}`;
  const suffix = spec.transport === 'udp' ? '' : `;transport=${spec.transport}`;
  return {
    transport: spec.transport,
    family: familyOf(local.address),
    local: { address: local.address, port: local.port },
    sentBy,
    contactUri: `sip:${sentBy}${suffix}`,
    socket,
  };
};

/** How many leading octets two IPv4 addresses share; loopback to loopback counts, so that 127/8 peers see 127/8. */
const commonOctets = (a: string, b: string): number => {
  const left = a.split('.');
  const right = b.split('.');
  let shared = 0;
  while (shared < 4 && left[shared] === right[shared]) shared++;
  return shared;
};

const isKeepAlive = (data: Buffer): boolean => {
  for (const byte of data) if (byte !== 13 && byte !== 10 && byte !== 0) return false;
  return true;
};
