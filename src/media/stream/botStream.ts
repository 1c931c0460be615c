import type { Timer } from '../../kernel/index.js';
import type { StreamReport, StreamSpec } from '../port.js';
import { AudioFromBot, AudioToBot } from './audio.js';
import type { BotMessage, Counters, Dialect, DialectContext, Outgoing } from './dialect.js';
import { DIALECTS } from './dialects.js';
import { Playout } from './playout.js';
import type { BotSocket, BotSocketSink, BotStream, BotStreamDeps, BotStreamListener, StreamStop } from './port.js';
import { type BotAddress, botAddress } from './address.js';

/** Exotel's bounds, good for every dialect. */
const HANDSHAKE_MS = 10_000;
const MAX_STREAM_MS = 3_600_000;
const MAX_MESSAGE_BYTES = 1_048_576;
const TRIES = 2;

/** R7: what a bot that does not read may cost us, and how long it may go on. */
const MAX_BUFFERED_BYTES = 256 * 1024;
const STALL_MS = 1000;

/** Messages that make no sense; a bot that sends nothing else is no bot. */
const MAX_MALFORMED = 50;

const CLOSE_NORMAL = 1000;
const CLOSE_POLICY = 1008;

type State = 'connecting' | 'open' | 'ended';

/** One stream between a caller and a bot, from dialling the bot to its report. */
export class BotSession implements BotStream, BotSocketSink {
  readonly #spec: StreamSpec;
  readonly #deps: BotStreamDeps;
  readonly #listener: BotStreamListener;
  readonly #dialect: Dialect;
  readonly #playout = new Playout();
  readonly #toBot: AudioToBot;
  readonly #fromBot = new AudioFromBot();
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

  constructor(spec: StreamSpec, deps: BotStreamDeps, listener: BotStreamListener) {
    this.#spec = spec;
    this.#deps = deps;
    this.#listener = listener;
    this.#dialect = DIALECTS[spec.dialect];
    this.#toBot = new AudioToBot(this.#dialect.format(spec), spec.frameMs ?? this.#dialect.frameMs);
  }

  /** Begins. Failures are told later, never within this call. */
  open(): void {
    const address = botAddress(this.#spec.url);
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
    if (this.#stalled()) this.#framesDropped++;
    else {
      this.#framesSent++;
      this.#send(this.#dialect.media(this.#context(), audio, offsetMs));
    }
  }

  toCaller(): Int16Array | undefined {
    if (this.#spec.direction === 'fork') return undefined;
    // A mark is due once the audio before it has been handed over, which was on the tick before this one.
    for (const name of this.#playout.passed()) this.#marked(name, false);
    return this.#playout.take();
  }

  dtmf(digit: string, durationMs: number): void {
    if (this.#state === 'open') this.#send(this.#dialect.dtmf(this.#context(), digit, durationMs));
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
      queuedMs: this.#playout.queued / 8,
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
        const next = found.ok ? botAddress(found.url) : found.detail;
        if (typeof next === 'string') return this.#end('failed', 'NA', next);
        if (next.indirect) return this.#end('failed', 'NA', 'the URL answered with one that is no WebSocket URL');
        this.#address = { ...next, headers: { ...address.headers, ...next.headers } };
        this.#dial();
      },
    );
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
      this.#end('completed', 'user', 'time limit');
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
    if (this.#state === 'open') return this.#end('completed', 'bot', `closed ${end.code ?? 'without a word'}`);
    // A refusal by HTTP status is the bot's word; anything else is worth the one retry.
    const refused = end.status !== undefined && end.status >= 400 && end.status < 500;
    if (refused) this.#end('rejected', 'bot', `the bot refused the handshake with ${end.status}`);
    else if (this.#tries < TRIES) this.#dial();
    else this.#end('failed', 'NA', end.detail);
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
    const oneWay = this.#spec.direction === 'fork';
    switch (message.kind) {
      case 'media':
        this.#framesReceived++;
        if (!oneWay && !this.#playout.add(this.#fromBot.decode(message.audio, message.format))) {
          this.#framesDropped++;
        }
        return;
      case 'mark':
        if (!oneWay) this.#playout.mark(message.name);
        return;
      case 'clear':
        return this.#clear();
      case 'dtmf':
        if (!oneWay) this.#listener.onSendDtmf(message.digits.slice(0, 64));
        return;
      case 'disconnect':
        return this.#end('completed', 'bot', 'disconnect');
      case 'malformed':
        if (++this.#malformed > MAX_MALFORMED) this.#end('failed', 'bot', `malformed messages: ${message.detail}`);
        return;
      case 'ignored':
        return;
    }
  }

  #clear(): void {
    for (const name of this.#playout.clear()) this.#marked(name, true);
    this.#send(this.#dialect.cleared(this.#context()));
  }

  #marked(name: string, cleared: boolean): void {
    if (this.#state === 'open') this.#send(this.#dialect.marked(this.#context(), name, cleared));
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
    if (typeof message === 'string') this.#socket.sendText(message);
    else this.#socket.sendBinary(message);
  }

  /** A bot that reads too slowly loses audio, and after a while the call. */
  #stalled(): boolean {
    if (this.bufferedBytes <= MAX_BUFFERED_BYTES - 8192) {
      this.#stalledSinceMs = undefined;
      return false;
    }
    const nowMs = this.#deps.clock.nowMs();
    this.#stalledSinceMs ??= nowMs;
    if (nowMs - this.#stalledSinceMs >= STALL_MS) this.#end('failed', 'bot', 'the bot reads too slowly');
    return true;
  }

  #end(status: StreamReport['status'], disconnectedBy: StreamReport['disconnectedBy'], detail: string): void {
    if (this.#state === 'ended') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'ended';
    this.#limit?.cancel();
    this.#lookup?.cancel();
    this.#playout.clear();
    this.#socket?.close(status === 'failed' ? CLOSE_POLICY : CLOSE_NORMAL, detail.slice(0, 100));
    this.#socket = undefined;
    this.#listener.onEnded({
      streamSid: this.#spec.streamSid,
      disconnectedBy,
      status,
      detail,
      durationMs: wasOpen ? Math.round(this.#deps.clock.nowMs() - this.#openedMs) : 0,
      framesSent: this.#framesSent,
      framesReceived: this.#framesReceived,
    });
  }
}

/** Opens a stream to a bot. See OpenBotStream. */
export const openBotStream = (spec: StreamSpec, deps: BotStreamDeps, listener: BotStreamListener): BotStream => {
  const session = new BotSession(spec, deps, listener);
  session.open();
  return session;
};
