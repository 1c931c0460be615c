import type { Timer } from '../../kernel/index.js';
import type { StreamReport, StreamSpec } from '../port.js';
import { AudioToBot } from './audio.js';
import { BotSpeech } from './botSpeech.js';
import type { Rate } from '../codec/rate.js';
import type { BotMessage, Counters, Dialect, DialectContext, Outgoing } from './dialect.js';
import { DIALECTS } from './dialects.js';
import type { Mark } from './playout.js';
import type {
  BotSocket,
  BotSocketSink,
  BotStream,
  BotStreamDeps,
  BotStreamListener,
  OpenBotStream,
  StreamStop,
} from './port.js';
import { type BotAddress, botAddress } from './address.js';

/** Exotel's bounds, good for every dialect. */
const HANDSHAKE_MS = 10_000;
const MAX_STREAM_MS = 3_600_000;
/** A minute of mu-law, twelve seconds of 24 kHz. With what it takes to put it together, one bot costs 1 MB (S16). */
const MAX_MESSAGE_BYTES = 768 * 1024;
const TRIES = 2;

/** R7: what a bot that does not read may cost us, and how long it may go on. */
const MAX_BUFFERED_BYTES = 256 * 1024;
const STALL_MS = 1000;
/** What a message has around its audio. */
const WRAPPING_BYTES = 1024;
/** Of one UTF-16 unit in UTF-8: a text is counted only when this might be too much. */
const MOST_BYTES = 3;

/** Messages that make no sense; a bot that sends nothing else is no bot. */
const MAX_MALFORMED = 50;

const CLOSE_NORMAL = 1000;
const CLOSE_GOING_AWAY = 1001;
const CLOSE_NO_STATUS = 1005;
const CLOSE_POLICY = 1008;
/** Codes from here on are the application's own (RFC 6455 §7.4.2). */
const CLOSE_PRIVATE = 3000;

/** Reports are kept and shown. */
const MAX_DETAIL = 200;
const NO_KEY = /[^0-9A-Da-d*#]/g;
const MAX_KEYS = 64;

type State = 'connecting' | 'open' | 'ended';

/** One stream between a caller and a bot, from dialling the bot to its report. */
export class BotSession implements BotStream, BotSocketSink {
  readonly #spec: StreamSpec;
  readonly #deps: BotStreamDeps;
  readonly #listener: BotStreamListener;
  readonly #dialect: Dialect;
  readonly rate: Rate;
  readonly #speech: BotSpeech;
  #toBot: AudioToBot;
  readonly #counters: Counters = { sequence: 0, chunk: 0 };
  #address: BotAddress | undefined;
  #state: State = 'connecting';
  #socket: BotSocket | undefined;
  #tries = 0;
  #openedMs = 0;
  #sentMs = 0;
  #framesSent = 0;
  #framesReceived = 0;
  #framesDropped = 0;
  #malformed = 0;
  #stalledSinceMs: number | undefined;
  #limit: Timer | undefined;
  #lookup: { cancel(): void } | undefined;

  constructor(spec: StreamSpec, deps: BotStreamDeps, listener: BotStreamListener, rate: Rate = 8000) {
    this.#spec = spec;
    this.#deps = deps;
    this.#listener = listener;
    this.#dialect = DIALECTS[spec.dialect];
    const format = this.#dialect.format(spec);
    // A narrow-band bot gets no more from a wide-band leg, and mu-law is 8 kHz.
    this.rate = format.encoding === 'l16' && format.sampleRate > 8000 ? rate : 8000;
    this.#speech = new BotSpeech(this.rate);
    this.#toBot = new AudioToBot(format, spec.frameMs ?? this.#dialect.frameMs, this.rate);
  }

  /** Begins. Failures are told later, never within this call. */
  open(): void {
    const address = botAddress(this.#spec.url, this.#spec.dialect);
    if (typeof address === 'string') {
      this.#deps.clock.setTimer('stream_refused', 0, () => this.#end('failed', 'NA', address));
      return;
    }
    this.#address = address;
    if (address.indirect) this.#ask(address);
    else this.#deps.clock.setTimer('stream_dial', 0, () => this.#dial());
  }

  // ------------------------------------------------------------------ from the endpoint

  fromCaller(pcm: Int16Array): void {
    if (this.#state !== 'open') return;
    const audio = this.#toBot.add(pcm);
    if (audio === undefined) return;
    const offsetMs = this.#sentMs;
    this.#sentMs += this.#toBot.frameMs;
    if (this.#stalled(audio.length)) this.#framesDropped++;
    else {
      this.#framesSent++;
      this.#send(this.#dialect.media(this.#context(), audio, offsetMs));
    }
  }

  toCaller(): Int16Array | undefined {
    if (this.#spec.direction === 'fork') return undefined;
    // A mark is due once the audio before it has been handed over, which was on the tick before this one.
    for (const mark of this.#speech.passed()) this.#marked(mark, false);
    return this.#speech.take();
  }

  dtmf(digit: string, durationMs: number): void {
    if (this.#state !== 'open' || this.#spec.direction === 'fork') return;
    this.#send(this.#dialect.dtmf(this.#context(), digit, durationMs));
  }

  stop(reason: StreamStop): void {
    if (this.#state === 'ended') return;
    if (this.#state === 'open') this.#send(this.#dialect.stop(this.#context(), reason));
    this.#end('completed', 'user', reason);
  }

  get bufferedBytes(): number {
    return this.#socket?.bufferedBytes ?? 0;
  }

  dump(): object {
    return {
      streamSid: this.#spec.streamSid,
      dialect: this.#dialect.name,
      state: this.#state,
      queuedMs: this.#speech.queuedMs,
      bufferedBytes: this.bufferedBytes,
      framesSent: this.#framesSent,
      framesReceived: this.#framesReceived,
      framesDropped: this.#framesDropped,
    };
  }

  // ------------------------------------------------------------------ connecting

  /** Exotel's dynamic endpoint: the URL answers with the one to use. */
  #ask(address: BotAddress): void {
    this.#lookup = this.#deps.locate(
      { url: address.url, headers: address.headers, timeoutMs: HANDSHAKE_MS, mayConnect: this.#deps.mayConnect },
      (found) => {
        if (this.#state === 'ended') return;
        const next = found.ok ? botAddress(found.url, this.#spec.dialect) : found.detail;
        if (typeof next === 'string') return this.#end('failed', 'NA', next);
        if (next.indirect) return this.#end('failed', 'NA', 'the URL answered with one that is no WebSocket URL');
        // Credentials are for the host that they were written for.
        const known = new URL(next.url).hostname === new URL(address.url).hostname;
        this.#address = { ...next, headers: { ...(known ? address.headers : {}), ...next.headers } };
        this.#reformat(next.url);
        this.#dial();
      },
    );
  }

  /** The URL that the bot gave may ask for another rate than the one that led to it. */
  #reformat(url: string): void {
    const { sampleRate } = this.#toBot.format;
    const format = this.#dialect.format({ ...this.#spec, url, sampleRate: sampleRate as StreamSpec['sampleRate'] });
    if (format.sampleRate !== sampleRate) this.#toBot = new AudioToBot(format, this.#toBot.frameMs, this.rate);
  }

  #dial(): void {
    const address = this.#address;
    if (this.#state === 'ended' || address === undefined) return;
    this.#tries++;
    this.#socket = this.#deps.dial(
      {
        url: address.url,
        protocols: this.#dialect.protocols,
        headers: address.headers,
        handshakeTimeoutMs: HANDSHAKE_MS,
        maxMessageBytes: MAX_MESSAGE_BYTES,
        mayConnect: this.#deps.mayConnect,
      },
      this,
    );
  }

  onOpen(): void {
    if (this.#state !== 'connecting') return;
    this.#state = 'open';
    this.#openedMs = this.#deps.clock.nowMs();
    this.#limit = this.#deps.clock.setTimer('stream_limit', this.#spec.maxMs ?? MAX_STREAM_MS, () => {
      this.#send(this.#dialect.stop(this.#context(), 'stopped'));
      this.#end('completed', 'NA', 'time limit');
    });
    for (const message of this.#dialect.opening(this.#context())) this.#send(message);
    this.#listener.onStarted();
  }

  onClosed(end: {
    readonly status?: number | undefined;
    readonly code?: number | undefined;
    readonly detail: string;
  }): void {
    this.#socket = undefined;
    if (this.#state === 'ended') return;
    if (this.#state === 'open') return this.#closedByBot(end.code, end.detail);
    // A refusal by HTTP status is the bot's word; anything else is worth the one retry.
    const refused = end.status !== undefined && end.status >= 400 && end.status < 500;
    if (refused) this.#end('rejected', 'bot', `the bot refused the handshake with ${end.status}`);
    else if (this.#tries < TRIES) this.#dial();
    else this.#end('failed', 'NA', end.detail);
  }

  /** A bot that takes its leave has done its work; one that vanishes, or complains, has failed. */
  #closedByBot(code: number | undefined, detail: string): void {
    const left =
      code === CLOSE_NORMAL ||
      code === CLOSE_GOING_AWAY ||
      code === CLOSE_NO_STATUS ||
      (code !== undefined && code >= CLOSE_PRIVATE);
    const word = `closed with ${code ?? 'no code'}`;
    this.#end(left ? 'completed' : 'failed', 'bot', detail === '' ? word : `${word}: ${detail}`);
  }

  // ------------------------------------------------------------------ from the bot

  onText(text: string): void {
    if (this.#state === 'open') this.#receive(this.#dialect.read(text, this.#toBot.format));
  }

  onBinary(data: Buffer): void {
    if (this.#state !== 'open') return;
    const { readBinary } = this.#dialect;
    if (readBinary === undefined) this.#receive(this.#dialect.read(data.toString('utf8'), this.#toBot.format));
    else this.#receive(readBinary(data, this.#toBot.format));
  }

  #receive(message: BotMessage): void {
    if (message.kind === 'media' || message.kind === 'clip') this.#framesReceived++;
    if (message.kind === 'malformed') return this.#mistook(message.detail);
    // What goes one way only is neither played nor answered.
    if (this.#spec.direction === 'fork' && message.kind !== 'disconnect') return;
    switch (message.kind) {
      case 'media':
        if (!this.#speech.add(message.audio, message.format)) this.#framesDropped++;
        return;
      case 'clip':
        if (!this.#speech.addClip(message.audio, message.format)) this.#framesDropped++;
        return this.#mark({ kind: 'clip', name: message.id });
      case 'mark':
        return this.#mark({ kind: 'mark', name: message.name });
      case 'clear':
        return this.#clear();
      case 'clearMarks':
        for (const mark of this.#speech.clearMarks()) this.#marked(mark, true);
        return;
      case 'dtmf': {
        const keys = message.digits.replace(NO_KEY, '').slice(0, MAX_KEYS);
        if (keys !== '') this.#listener.onSendDtmf(keys);
        return;
      }
      case 'disconnect':
        return this.#end('completed', 'bot', 'disconnect');
      case 'ignored':
        return;
    }
  }

  #mistook(detail: string): void {
    if (++this.#malformed > MAX_MALFORMED) this.#end('failed', 'bot', `malformed messages: ${detail}`);
  }

  #mark(mark: Mark): void {
    if (this.#speech.idle) this.#marked(mark, false);
    else if (!this.#speech.mark(mark)) this.#mistook('too many marks wait');
  }

  #clear(): void {
    for (const mark of this.#speech.clear()) this.#marked(mark, true);
    this.#send(this.#dialect.cleared(this.#context()));
  }

  /** A clip that was thrown away has not been played, and nothing else is said of it. */
  #marked({ kind, name }: Mark, cleared: boolean): void {
    if (this.#state !== 'open') return;
    if (kind === 'mark') this.#send(this.#dialect.marked(this.#context(), name, cleared));
    else if (!cleared) this.#send(this.#dialect.clipPlayed?.(this.#context(), name));
  }

  // ------------------------------------------------------------------ to the bot

  #context(): DialectContext {
    return {
      spec: this.#spec,
      format: this.#toBot.format,
      counters: this.#counters,
      wallMs: this.#deps.clock.wallMs(),
    };
  }

  #send(message: Outgoing | undefined): void {
    if (message === undefined || this.#socket === undefined) return;
    // Audio has been dropped before it comes to this. Without its answers a bot cannot go on.
    const most = MAX_BUFFERED_BYTES - WRAPPING_BYTES - this.bufferedBytes;
    if (message.length * MOST_BYTES > most && Buffer.byteLength(message) > most) return this.#tooSlow();
    if (typeof message === 'string') this.#socket.sendText(message);
    else this.#socket.sendBinary(message);
  }

  /** A bot that reads too slowly loses audio, and after a while the call. */
  #stalled(audioBytes: number): boolean {
    const needed = Math.ceil((audioBytes * 4) / 3) + 2 * WRAPPING_BYTES;
    if (this.bufferedBytes + needed <= MAX_BUFFERED_BYTES) {
      this.#stalledSinceMs = undefined;
      return false;
    }
    const nowMs = this.#deps.clock.nowMs();
    this.#stalledSinceMs ??= nowMs;
    if (nowMs - this.#stalledSinceMs >= STALL_MS) this.#tooSlow();
    return true;
  }

  #tooSlow(): void {
    this.#end('failed', 'bot', 'the bot reads too slowly');
  }

  #end(status: StreamReport['status'], disconnectedBy: StreamReport['disconnectedBy'], detail: string): void {
    if (this.#state === 'ended') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'ended';
    this.#limit?.cancel();
    this.#lookup?.cancel();
    this.#speech.clear();
    this.#socket?.close(status === 'failed' ? CLOSE_POLICY : CLOSE_NORMAL, detail);
    this.#socket = undefined;
    this.#listener.onEnded({
      streamSid: this.#spec.streamSid,
      disconnectedBy,
      status,
      detail: detail.slice(0, MAX_DETAIL),
      durationMs: wasOpen ? Math.round(this.#deps.clock.nowMs() - this.#openedMs) : 0,
      framesSent: this.#framesSent,
      framesReceived: this.#framesReceived,
    });
  }
}

/** Opens a stream to a bot. See OpenBotStream. */
export const openBotStream: OpenBotStream = (spec, deps, listener, rate) => {
  const session = new BotSession(spec, deps, listener, rate);
  session.open();
  return session;
};
