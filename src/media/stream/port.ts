/**
 * The seam between an endpoint of the media engine and a voice bot's stream. Both run on the same worker thread.
 *
 * The endpoint is the only source of pace: on every 20 ms tick it hands over what the caller said and takes what the
 * caller shall hear. A stream therefore needs no timer for its audio, and "played" means "taken by `toCaller`".
 */
import type { Clock, Random } from '../../kernel/index.js';
import type { Rate } from '../codec/rate.js';
import type { StreamReport, StreamSpec, StreamStop } from '../port.js';

export type { StreamStop } from '../port.js';

/** Samples of one frame on this seam: 20 ms of linear PCM, at 8 kHz unless the stream says otherwise. */
export const FRAME_SAMPLES = 160;

export interface BotStream {
  /** Of the frames that it takes and gives. Default 8000. */
  readonly rate?: Rate | undefined;
  /**
   * 20 ms of the caller's voice; once per tick, silence included. The array is the endpoint's own and is overwritten on
   * the next tick: copy what is kept. Before the bot is connected the frames are dropped.
   */
  fromCaller(pcm: Int16Array): void;
  /**
   * The next 20 ms for the caller, or undefined when nothing is queued. Called once per tick while the stream has the
   * caller's ear (not while an announcement plays). The array is the stream's own and is valid until the next call.
   */
  toCaller(): Int16Array | undefined;
  /** The caller pressed a key. */
  dtmf(digit: string, durationMs: number): void;
  /**
   * Says goodbye to the bot (`stop` message) and closes the socket. The listener's `onEnded` has run, synchronously,
   * when this returns; a socket that lingers in its closing handshake is the stream's own affair, bounded in time.
   */
  stop(reason: StreamStop): void;
  /** Held for a bot that reads slowly; never above 256 kB (R7). */
  readonly bufferedBytes: number;
  dump(): object;
}

/** Receiver of a stream's events. Must not throw. Nothing follows `onEnded`. */
export interface BotStreamListener {
  /** The bot's side is open and has been told of the call. At most once. */
  onStarted(): void;
  /** Exactly once, whatever happens. */
  onEnded(report: StreamReport): void;
  /** The bot asks for keys to be pressed towards the caller (Plivo `sendDTMF`). */
  onSendDtmf(digits: string): void;
}

export interface BotStreamDeps {
  readonly clock: Clock;
  readonly random: Random;
  /**
   * May a socket be opened to this numeric address? Asked at connect time with the resolved address, which is then the
   * one used: a name cannot resolve to something else in between (S15). The real one is `egressPolicy`.
   */
  readonly mayConnect: (address: string) => boolean;
  /** Asks an http(s) URL for the WebSocket URL; the real one is in `webSocket.ts`. */
  readonly locate: BotLocate;
  /** Opens WebSockets; the real one stands on `ws`, tests give their own. */
  readonly dial: BotDial;
}

export interface BotLocateOptions {
  /** http or https, without credentials. */
  readonly url: string;
  readonly headers: { readonly [name: string]: string };
  readonly timeoutMs: number;
  readonly mayConnect: (address: string) => boolean;
}

/** Answers once, never within the call; not at all after `cancel`. */
export type BotLocate = (
  options: BotLocateOptions,
  done: (found: { readonly ok: true; readonly url: string } | { readonly ok: false; readonly detail: string }) => void,
) => { cancel(): void };

export interface BotDialOptions {
  /** ws or wss, without credentials. */
  readonly url: string;
  readonly protocols: readonly string[];
  readonly headers: { readonly [name: string]: string };
  readonly handshakeTimeoutMs: number;
  readonly maxMessageBytes: number;
  readonly mayConnect: (address: string) => boolean;
}

/** Opens one WebSocket. Never throws: what goes wrong is told by `onClosed`, once. */
export type BotDial = (options: BotDialOptions, sink: BotSocketSink) => BotSocket;

export interface BotSocket {
  sendText(text: string): void;
  /** @param data is valid within the call */
  sendBinary(data: Uint8Array): void;
  /** Starts the closing handshake; the socket is destroyed if the other side does not answer it soon. */
  close(code: number, reason: string): void;
  /** Written, but not yet taken by the system. */
  readonly bufferedBytes: number;
}

/** Receiver of one WebSocket's events. Must not throw. */
export interface BotSocketSink {
  onOpen(): void;
  onText(text: string): void;
  onBinary(data: Buffer): void;
  /**
   * Exactly once. `status`: the HTTP status of a refused handshake; `code`: the WebSocket close code of an open one;
   * neither: the connection failed, `detail` says how.
   */
  onClosed(end: {
    readonly status?: number | undefined;
    readonly code?: number | undefined;
    readonly detail: string;
  }): void;
}

/**
 * Opens a stream to a bot; always returns one, and its failure is told by `onEnded`, never before this returns.
 * @param rate of the leg, which the stream takes up where its own is as high. Default 8000.
 */
export type OpenBotStream = (
  spec: StreamSpec,
  deps: BotStreamDeps,
  listener: BotStreamListener,
  rate?: Rate,
) => BotStream;
