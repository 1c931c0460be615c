import { isAscii } from 'node:buffer';
import { lookup as systemLookup } from 'node:dns';
import type { ClientRequest, ClientRequestArgs } from 'node:http';
import { WebSocket } from 'ws';
import { Budget, type Clock, Scratch, type Timer, numericHostRefused, permittedLookup } from '../../kernel/index.js';
import type { BotDial, BotDialOptions, BotSocket, BotSocketSink } from './port.js';

export { locateBot } from './locate.js';

/** How long the other side may take to answer our close. */
const CLOSE_MS = 2000;
/** RFC 6455 §5.5: a control frame holds 125 octets, two of which are the close code. */
const MAX_CLOSE_REASON_BYTES = 123;
/** So many pings without a sign of life make a dead bot. */
const PINGS = 3;
/** From a bot's last word to its end: a beat that may still see the word, one that asks, and the pings' answers. */
const BEATS = PINGS + 2;

/**
 * A bot may send speech faster than it is spoken, but not more than waits for the caller (five minutes): so many
 * messages of 20 ms, and so many octets of 24 kHz in base64. Then a multiple of what is spoken in a second.
 */
const MESSAGES = { atOnce: 15_000, perSecond: 500 };
const OCTETS = { atOnce: 20 * 1024 * 1024, perSecond: 512 * 1024 };

const AS_TEXT = { binary: false };

/** The library masks a message into a buffer of its own before it returns. */
const octets = new Scratch(Buffer.alloc(16 * 1024));
const MOST_BYTES = 3;

/** UTF-8, valid until the next call. */
const octetsOf = (text: string): Buffer => {
  const { room } = octets;
  return text.length * MOST_BYTES > room.length ? Buffer.from(text, 'utf8') : octets.first(room.write(text));
};

export interface WebSocketDialerOptions {
  /**
   * A bot that answered one ping and then says nothing at all for this long is taken for dead: its process may have
   * been stopped, or the way to it cut, which TCP alone tells only after minutes. Infinity: never. Default 1500 ms, so
   * that the caller hears something else within 2 s (R7).
   */
  readonly silenceMs?: number | undefined;
  /** Opens the connections that need no TLS. Default: as Node does. */
  readonly connect?: BotConnect | undefined;
}

export type BotConnect = NonNullable<ClientRequestArgs['createConnection']>;

/** The real BotDial, on `ws`: no compression, bounded messages, no redirects. */
export const webSocketDialer =
  (clock: Clock, { silenceMs = 1500, connect }: WebSocketDialerOptions = {}): BotDial =>
  (options, sink) => {
    const connection = new Connection(clock, sink, silenceMs, connect);
    connection.dial(options);
    return connection;
  };

class Connection implements BotSocket {
  readonly #clock: Clock;
  readonly #sink: BotSocketSink;
  readonly #silenceMs: number;
  readonly #connect: BotConnect | undefined;
  readonly #messages: Budget;
  readonly #octets: Budget;
  #socket: WebSocket | undefined;
  #opened = false;
  #told = false;
  #status: number | undefined;
  #detail = '';
  /** Handshake, then closing handshake. */
  #deadline: Timer | undefined;
  #nextPing: Timer | undefined;
  #answersPings = false;
  /** Pings sent since the bot said anything. Counted, not timed: a pause of our own must not be laid at its door. */
  #unanswered = 0;
  /** It said something since the last beat: there is no need to ask. */
  #spoke = false;

  constructor(clock: Clock, sink: BotSocketSink, silenceMs: number, connect: BotConnect | undefined) {
    this.#clock = clock;
    this.#sink = sink;
    this.#silenceMs = silenceMs;
    this.#connect = connect;
    this.#messages = new Budget(MESSAGES.atOnce, MESSAGES.perSecond, clock.nowMs());
    this.#octets = new Budget(OCTETS.atOnce, OCTETS.perSecond, clock.nowMs());
  }

  dial(options: BotDialOptions): void {
    try {
      if (numericHostRefused(new URL(options.url), options.mayConnect)) throw new Error('not a permitted address');
      this.#socket = new WebSocket(options.url, [...options.protocols], {
        headers: { ...options.headers },
        maxPayload: options.maxMessageBytes,
        perMessageDeflate: false,
        followRedirects: false,
        lookup: permittedLookup(systemLookup, options.mayConnect),
        ...(this.#connect !== undefined && options.url.startsWith('ws:') && { createConnection: this.#connect }),
      });
    } catch (error) {
      this.#detail = error instanceof Error ? error.message : String(error);
      queueMicrotask(() => this.#closed(undefined));
      return;
    }
    // Not the library's own timeout, which a server prolongs by sending an octet now and then.
    this.#deadline = this.#clock.setTimer('stream_handshake', options.handshakeTimeoutMs, () => {
      this.#fail(`no answer to the handshake in ${options.handshakeTimeoutMs} ms`);
    });
    this.#listen(this.#socket);
  }

  sendText(text: string): void {
    // As octets: the library then puts header and message into one write, where text would take two.
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(octetsOf(text), AS_TEXT);
  }

  sendBinary(data: Uint8Array): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(data);
  }

  close(code: number, reason: string): void {
    const socket = this.#socket;
    if (socket === undefined || this.#told) return;
    if (socket.readyState === WebSocket.CONNECTING) return socket.terminate();
    socket.close(code, shortened(reason, MAX_CLOSE_REASON_BYTES));
    this.#deadline?.cancel();
    this.#deadline = this.#clock.setTimer('stream_close', CLOSE_MS, () => socket.terminate());
  }

  get bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  #listen(socket: WebSocket): void {
    socket.on('open', () => {
      this.#deadline?.cancel();
      this.#opened = true;
      this.#sink.onOpen();
      if (Number.isFinite(this.#silenceMs)) this.#ping();
    });
    socket.on('unexpected-response', (request, response) => {
      this.#refused(request, response.statusCode);
    });
    socket.on('error', (error) => {
      if (this.#detail === '') this.#detail = error.message;
      // The library would go on reading for half a minute, for an answer to its close frame.
      if (this.#opened) socket.terminate();
    });
    socket.on('close', (code) => this.#closed(this.#opened ? code : undefined));
    socket.on('ping', () => this.#heard(0));
    socket.on('pong', () => {
      if (this.#heard(0)) this.#answersPings = true;
    });
    socket.on('message', (data, isBinary) => {
      const bytes = Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
      if (!this.#heard(bytes.length)) return;
      if (isBinary) this.#sink.onBinary(bytes);
      // Seen to be UTF-8 already, and nearly always plain, which is read much faster.
      else this.#sink.onText(isAscii(bytes) ? bytes.toString('latin1') : bytes.toString('utf8'));
    });
  }

  #refused(request: ClientRequest, status: number | undefined): void {
    this.#status = status;
    this.#detail = `handshake answered with ${status ?? 'nothing'}`;
    request.destroy();
    this.#socket?.terminate();
  }

  /** @returns false when the bot has said more than it may; the connection is over then. */
  #heard(octets: number): boolean {
    if (this.#told || this.#socket?.readyState === WebSocket.CLOSED) return false;
    this.#unanswered = 0;
    this.#spoke = true;
    const nowMs = this.#clock.nowMs();
    if (this.#messages.spend(1, nowMs) && this.#octets.spend(octets, nowMs)) return true;
    this.#fail('the bot sends more than a caller could ever hear');
    return false;
  }

  #ping(): void {
    if (this.#told || this.#socket?.readyState !== WebSocket.OPEN) return;
    if (this.#answersPings && this.#unanswered >= PINGS) {
      return this.#fail(`the bot has not answered for ${this.#silenceMs} ms`);
    }
    if (!this.#spoke || !this.#answersPings) {
      this.#unanswered++;
      this.#socket.ping();
    }
    this.#spoke = false;
    this.#nextPing = this.#clock.setTimer('stream_ping', this.#silenceMs / BEATS, () => this.#ping());
  }

  #fail(detail: string): void {
    if (this.#detail === '') this.#detail = detail;
    this.#socket?.terminate();
  }

  #closed(code: number | undefined): void {
    if (this.#told) return;
    this.#told = true;
    this.#deadline?.cancel();
    this.#nextPing?.cancel();
    this.#sink.onClosed({ status: this.#status, code, detail: this.#detail });
  }
}

/** Cut to so many octets of UTF-8, between characters. */
const shortened = (text: string, maxBytes: number): string => {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
};
