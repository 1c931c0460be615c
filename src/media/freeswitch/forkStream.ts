import type { Clock, Timer } from '../../kernel/index.js';
import { decodeL16Le, encodeL16Le } from '../codec/l16.js';
import type { StreamReport, StreamSpec } from '../port.js';
import { type BotStream, type BotStreamDeps, FRAME_SAMPLES, type OpenBotStream } from '../stream/port.js';
import type { Channel } from './channel.js';
import type { AudioRelay, RelaySink, RelaySocket } from './relay.js';

const RATE = 8000;
const FRAME_BYTES = 2 * FRAME_SAMPLES;
const FRAME_MS = 20;
/** What a media server may take to bring its audio. */
const ATTACH_MS = 5000;
/**
 * mod_audio_fork holds audio back until it has 160 ms of it, 80 ms later on, and does so with the end of what is said,
 * too. So much silence after it pushes the end out.
 */
const TAIL_FRAMES = 8;
/** The media server's audio is the clock. Where it brings none, as of a caller on hold, time goes on without it. */
const QUIET_MS = 100;

export interface ForkStreamDeps {
  readonly clock: Clock;
  readonly relay: AudioRelay;
  /** Our name for the media server. */
  readonly host: string;
  readonly openStream: OpenBotStream;
  readonly streamDeps: BotStreamDeps;
  /** Whether this stream's bot has the caller's ear now. */
  readonly hasEar: () => boolean;
}

export interface ForkStreamListener {
  onStarted(): void;
  /** Exactly once. */
  onEnded(report: StreamReport): void;
  onSendDtmf(digits: string): void;
}

/**
 * A bot on a media server's channel: the server's fork brings the caller's audio to the relay and takes the bot's from
 * there. Everything between is the bot session of the embedded engine, so that every dialect is served, with the same
 * bounds, marks and reports.
 */
export class ForkStream implements RelaySink {
  readonly speaks: boolean;
  readonly #name: string;
  readonly #channel: Channel;
  readonly #deps: ForkStreamDeps;
  readonly #listener: ForkStreamListener;
  readonly #bot: BotStream;
  readonly #forget: () => void;
  readonly #frame = new Int16Array(FRAME_SAMPLES);
  readonly #bytes = Buffer.alloc(FRAME_BYTES);
  #filled = 0;
  #socket: RelaySocket | undefined;
  #tail = 0;
  #lastAudioMs = 0;
  #timer: Timer | undefined;
  #fault: string | undefined;
  #ended = false;

  /** @param name unique on the channel */
  constructor(
    { name, spec }: { readonly name: string; readonly spec: StreamSpec },
    channel: Channel,
    deps: ForkStreamDeps,
    listener: ForkStreamListener,
  ) {
    this.#name = name;
    this.#channel = channel;
    this.#deps = deps;
    this.#listener = listener;
    this.speaks = spec.direction === 'bidirectional';
    this.#bot = deps.openStream(spec, deps.streamDeps, {
      onStarted: () => listener.onStarted(),
      onEnded: (report) => this.#over(report),
      onSendDtmf: (digits) => listener.onSendDtmf(digits),
    });
    const { url, forget } = deps.relay.expect(deps.host, this);
    this.#forget = forget;
    this.#timer = deps.clock.setTimer('freeswitch_fork', ATTACH_MS, () =>
      this.fail(`the media server brought no audio in ${ATTACH_MS} ms`),
    );
    const bidirectionalAudio = {
      enabled: String(this.speaks),
      streaming: String(this.speaks),
      sampleRate: this.speaks ? String(RATE) : '',
    };
    const options = { wsUrl: url, mixType: 'mono', sampling: String(RATE), bugname: name, bidirectionalAudio } as const;
    void channel.startFork(options).then((problem) => {
      if (problem !== undefined) this.fail(`the media server refuses to bring audio: ${problem}`);
    });
  }

  get name(): string {
    return this.#name;
  }

  dtmf(digit: string, durationMs: number): void {
    this.#bot.dtmf(digit, durationMs);
  }

  stop(reason: Parameters<BotStream['stop']>[0]): void {
    this.#bot.stop(reason);
  }

  /** The media server's side has failed. */
  fail(detail: string): void {
    if (this.#ended) return;
    this.#fault = detail;
    this.#bot.stop('stopped');
  }

  dump(): object {
    return { attached: this.#socket !== undefined, ...this.#bot.dump() };
  }

  // ------------------------------------------------------------------ from the media server

  onOpen(socket: RelaySocket): void {
    if (this.#ended) return socket.close();
    this.#socket = socket;
    this.#timer?.cancel();
    this.#lastAudioMs = this.#deps.clock.nowMs();
    this.#goOn(QUIET_MS);
  }

  onAudio(data: Buffer): void {
    if (this.#ended) return;
    this.#lastAudioMs = this.#deps.clock.nowMs();
    let at = 0;
    while (at < data.length) {
      const count = Math.min(FRAME_BYTES - this.#filled, data.length - at);
      data.copy(this.#bytes, this.#filled, at, at + count);
      this.#filled += count;
      at += count;
      if (this.#filled < FRAME_BYTES) break;
      this.#filled = 0;
      decodeL16Le(this.#bytes, this.#frame);
      this.#tick();
      if (this.#ended) return;
    }
  }

  onClosed(): void {
    this.#socket = undefined;
    this.fail('the media server has closed its stream');
  }

  // ------------------------------------------------------------------

  /** Time goes on in silence, unless audio comes. */
  #goOn(inMs: number): void {
    this.#timer = this.#deps.clock.setTimer('freeswitch_fork_quiet', inMs, () => {
      if (this.#ended) return;
      const quiet = this.#deps.clock.nowMs() - this.#lastAudioMs >= QUIET_MS;
      if (quiet) {
        this.#frame.fill(0);
        this.#tick();
      }
      if (!this.#ended) this.#goOn(quiet ? FRAME_MS : QUIET_MS);
    });
  }

  /** 20 ms: what the caller has said goes to the bot, what the bot wants to be heard to the media server. */
  #tick(): void {
    this.#bot.fromCaller(this.#frame);
    if (!this.speaks || this.#ended || !this.#deps.hasEar()) return;
    const pcm = this.#bot.toCaller();
    if (pcm !== undefined) this.#tail = TAIL_FRAMES;
    else if (this.#tail === 0) return;
    else this.#tail--;
    const audio = Buffer.alloc(FRAME_BYTES);
    if (pcm !== undefined) encodeL16Le(pcm, audio);
    this.#socket?.send(audio);
  }

  #over(report: StreamReport): void {
    this.#ended = true;
    this.#timer?.cancel();
    this.#forget();
    this.#socket?.close();
    void this.#channel.stopFork(this.#name);
    const fault = this.#fault;
    this.#listener.onEnded(
      fault === undefined ? report : { ...report, status: 'failed', disconnectedBy: 'NA', detail: fault.slice(0, 200) },
    );
  }
}
