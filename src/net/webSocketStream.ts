/** SIP over WebSocket, RFC 7118: each message of the socket is one of SIP. */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import {
  Budget,
  type Clock,
  type SocketAddress,
  type StreamConnection,
  type StreamSink,
  type Timer,
} from '../kernel/index.js';
import { errorCode } from './addresses.js';
import { LINGER_MS, MAX_DIAL_QUEUE_BYTES } from './stream.js';

/** RFC 7118 §4.1. */
export const SIP_SUBPROTOCOL = 'sip';
/** Proxies between close idle sockets after a minute or so. */
const PING_MS = 25_000;
const GOING_AWAY = 1001;
/** Messages that a peer may send: more than a busy trunk does. */
const MESSAGES = { atOnce: 10_000, perSecond: 5_000 };
/** Pings and pongs; each ping is answered, and who does not read the answers makes us keep them. */
const CONTROLS = { atOnce: 100, perSecond: 10 };
/** Frames of one message: each costs a buffer of its own while the message lasts. */
const MAX_FRAGMENTS = 256;
/** Pieces that one frame comes in: a frame that trickles in by octets would cost hundreds for each. */
const MAX_CHUNKS = 1024;
/**
 * Octets that wait for a slow reader, beyond what the system takes. A quarter of a megabyte: small messages cost three
 * times their length while they wait, and one connection is to cost no more than a megabyte.
 */
const MAX_QUEUE_BYTES = 256 * 1024;

export interface WebSocketDeps {
  readonly clock: Clock;
  /** See NodeNetworkOptions. */
  readonly beforeSending: () => void;
  readonly onClosed: (stream: WebSocketStream) => void;
}

export interface WebSocketLimits {
  readonly maxMessageBytes: number;
  /** Origins of web pages that may connect (RFC 6454, as the browser writes them); undefined: any. */
  readonly origins?: readonly string[] | undefined;
}

/** One WebSocket as a stream of whole messages. */
export class WebSocketStream implements StreamConnection {
  readonly messages = true;
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #beforeSending: () => void;
  readonly #onClosed: (stream: WebSocketStream) => void;
  /** Written before the socket was up. */
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  readonly #messages: Budget;
  readonly #controls: Budget;
  #timer: Timer | undefined;
  #alive = true;
  #closing = false;
  #code: string | undefined;

  constructor(
    socket: WebSocket,
    ends: { readonly local: SocketAddress; readonly remote: SocketAddress },
    deps: WebSocketDeps,
  ) {
    this.#socket = socket;
    this.local = ends.local;
    this.remote = ends.remote;
    this.#clock = deps.clock;
    this.#beforeSending = deps.beforeSending;
    this.#onClosed = deps.onClosed;
    const nowMs = deps.clock.nowMs();
    this.#messages = new Budget(MESSAGES.atOnce, MESSAGES.perSecond, nowMs);
    this.#controls = new Budget(CONTROLS.atOnce, CONTROLS.perSecond, nowMs);
  }

  /** Attaches the receiver; called once. */
  feed(sink: StreamSink): void {
    const socket = this.#socket;
    socket.on('message', (data) => {
      this.#alive = true;
      if (!this.#closing && this.#mayGoOn(this.#messages)) sink.onData(octets(data));
    });
    socket.on('ping', () => void this.#mayGoOn(this.#controls));
    socket.on('pong', () => (this.#alive = this.#mayGoOn(this.#controls)));
    socket.on('open', () => {
      this.#timer?.cancel();
      if (this.#closing) return this.#shut();
      sink.onConnected?.();
      for (const data of this.#queue.splice(0)) this.#send(data);
      this.#pingLater();
    });
    socket.on('error', (error) => {
      this.#code ??= errorCode(error, 'EPROTO');
      // The library would wait half a minute for an answer to its close frame.
      if (socket.readyState === WebSocket.CLOSING) this.#lingerOn();
    });
    socket.on('close', () => {
      this.#closing = true;
      this.#timer?.cancel();
      this.#onClosed(this);
      if (this.#code === undefined) sink.onClose();
      else sink.onClose(this.#code);
    });
    if (socket.readyState === WebSocket.OPEN) this.#pingLater();
  }

  /** Gives up with ETIMEDOUT unless the socket is up in time. */
  limitConnect(timeoutMs: number): void {
    this.#timer = this.#clock.setTimer('net.ws.connect', timeoutMs, () => this.destroy('ETIMEDOUT'));
  }

  write(data: Buffer): boolean {
    if (this.#closing) return false;
    if (this.#socket.readyState === WebSocket.CONNECTING) {
      this.#queuedBytes += data.length;
      if (this.#queuedBytes > MAX_DIAL_QUEUE_BYTES) return this.#overflow();
      this.#queue.push(data);
      return true;
    }
    const waiting = this.#socket.bufferedAmount;
    if (waiting > 0 && waiting + data.length > MAX_QUEUE_BYTES) return this.#overflow();
    this.#send(data);
    return true;
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#socket.terminate();
    else this.#shut();
  }

  /** Ends at once. */
  destroy(code: string): void {
    this.#closing = true;
    this.#code ??= code;
    this.#socket.terminate();
  }

  /** RFC 7118 §5: text where the message is text, for browsers; anything else as octets. */
  #send(data: Buffer): void {
    this.#beforeSending();
    this.#socket.send(data, { binary: !isUtf8(data) });
  }

  #shut(): void {
    this.#socket.close(GOING_AWAY);
    this.#lingerOn();
  }

  #lingerOn(): void {
    this.#closing = true;
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer('net.ws.linger', LINGER_MS, () => this.#socket.terminate());
  }

  /** @returns false when the peer has said more than it may: the connection is over then */
  #mayGoOn(budget: Budget): boolean {
    if (this.#closing) return false;
    if (budget.spend(1, this.#clock.nowMs())) return true;
    this.destroy('EFLOOD');
    return false;
  }

  #overflow(): false {
    this.destroy('EQUEUEFULL');
    return false;
  }

  /** RFC 7118 §6, by RFC 6455 §5.5.2: a peer that answers nothing between two pings is gone. */
  #pingLater(): void {
    this.#timer = this.#clock.setTimer('net.ws.ping', PING_MS, () => {
      if (!this.#alive) return this.destroy('ETIMEDOUT');
      this.#alive = false;
      this.#socket.ping();
      this.#pingLater();
    });
  }
}

/** Answers WebSocket handshakes for SIP; what it refuses gets an HTTP status and a closed connection. */
export class SipWebSocketGate {
  readonly #server: WebSocketServer;
  readonly #limits: WebSocketLimits;

  constructor(limits: WebSocketLimits) {
    this.#limits = limits;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // Compression costs memory for each connection, and lets a small frame become a large one.
      perMessageDeflate: false,
      maxPayload: limits.maxMessageBytes,
      maxFragments: MAX_FRAGMENTS,
      maxBufferedChunks: MAX_CHUNKS,
      handleProtocols: (offered) => (offered.has(SIP_SUBPROTOCOL) ? SIP_SUBPROTOCOL : false),
    });
  }

  handle(request: IncomingMessage, socket: Duplex, head: Buffer, accept: (socket: WebSocket) => void): void {
    const refusal = this.#refusal(request);
    if (refusal === undefined) return this.#server.handleUpgrade(request, socket, head, accept);
    const [status, text] = refusal;
    socket.end(
      `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    );
  }

  #refusal({ headers }: IncomingMessage): readonly [status: string, text: string] | undefined {
    const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim().toLowerCase());
    if (!offered.includes(SIP_SUBPROTOCOL)) return ['400 Bad Request', 'the subprotocol must be sip (RFC 7118)'];
    const { origins } = this.#limits;
    const { origin } = headers;
    // Programs send no Origin; a browser always does.
    if (origin === undefined || origins === undefined || origins.includes(origin.toLowerCase())) return undefined;
    return ['403 Forbidden', 'pages of this origin may not connect: see sip.webSocket.origins'];
  }
}

const octets = (data: RawData): Buffer =>
  Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
