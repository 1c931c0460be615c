import type { Clock, Random } from '../../kernel/index.js';
import { type ClipLibrary } from '../play/library.js';
import { openPlayer } from '../play/player.js';
import type { MediaQuality, PlayEnd, PlaySpec, RecordEnd, RecordSpec, StreamSpec, StreamStop } from '../port.js';
import { type SdesCrypto, type SrtpSuite, newCrypto } from '../rtp/srtp.js';
import type { NegotiatedAudio } from '../sdp/description.js';
import { SdpSession } from '../sdp/session.js';
import type { BotStream, BotStreamDeps, BotStreamListener, OpenBotStream } from '../stream/port.js';
import { type BridgePeer, EndpointCore } from './core.js';
import { ProtectionKeeper } from './protection.js';
import type { DescribedReply, EndpointEvent, WireSpec, WorkerSettings } from './protocol.js';
import { Recorder } from './recorder.js';
import type { RtpSink, RtpSocketPair } from './sockets.js';

/** What the endpoints of one worker share. */
export interface WorkerWorld {
  readonly settings: WorkerSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly library: ClipLibrary;
  readonly openStream: OpenBotStream;
  readonly streamDeps: BotStreamDeps;
}

const DIGIT_MS = 160;
/** Weight of the newest packet in the mean time from arrival to the tick. */
const LEAD_GAIN = 1 / 16;
const TICK_MS = 20;
/** After a pause like that more than one packet waits. */
const LATE_TICK_MS = 30;

interface Playing {
  readonly playId: string;
}

interface OpenStream {
  readonly stream: BotStream;
  readonly speaks: boolean;
}

/** One endpoint on its worker: the core, and around it what the core must not know: sockets, files, bots. */
export class WorkerEndpoint implements RtpSink {
  readonly #world: WorkerWorld;
  readonly #emit: (event: EndpointEvent) => void;
  readonly #sdp: SdpSession;
  readonly #keys = new Map<SrtpSuite, SdesCrypto>();
  readonly #protection = new ProtectionKeeper();
  readonly #recorders = new Map<string, Recorder>();
  readonly #streams = new Map<string, OpenStream>();
  readonly core: EndpointCore;
  #sockets: RtpSocketPair | undefined;
  #playing: Playing | undefined;
  #recordId: string | undefined;
  #unbridge: (() => void) | undefined;
  #closed = false;
  /** The sockets hear one peer, and are asked for its packets on each tick. */
  #narrowed = false;
  #narrowable = true;
  #tickMs = 0;
  /** How long before the tick packets come, on the average. */
  #leadMs = 0;
  /** While packets are handed over that came at times unknown: when they most likely did. */
  #collectedMs: number | undefined;
  /** Which of the worker's beats it ticks on. */
  phase = 0;

  constructor(world: WorkerWorld, spec: WireSpec, rtpPort: number, emit: (event: EndpointEvent) => void) {
    this.#world = world;
    this.#emit = emit;
    const { settings, clock, random } = world;
    const keyFor = (tag: number, suite: SrtpSuite): SdesCrypto => {
      const key = this.#keys.get(suite) ?? newCrypto(tag, suite, random);
      this.#keys.set(suite, key);
      return { ...key, tag };
    };
    this.#sdp = new SdpSession(
      {
        address: settings.address,
        port: rtpPort,
        codecs: spec.codecs?.filter((codec) => codec !== 'opus'),
        dtmfPayloadType: spec.dtmfPayloadType ?? 101,
        ptimeMs: spec.ptimeMs,
        srtp: spec.srtp ?? 'off',
        keyFor,
      },
      // RFC 3264 §5: it has to fit 62 bits; 53 are as random and fit every reader.
      String(parseInt(random.hex(6), 16) + 1),
    );
    this.core = new EndpointCore(
      {
        random,
        nowMs: clock.nowMs(),
        wallOffsetMs: clock.wallMs() - clock.nowMs(),
        comfortSilence: settings.comfortSilence,
        nat: spec.nat ?? false,
        peerAddresses: spec.peerAddresses,
        mediaTimeoutMs: spec.mediaTimeoutMs,
      },
      {
        sendRtp: (data, address, port) => this.#sockets?.sendRtp(data, address, port),
        sendRtcp: (data, address, port) => this.#sockets?.sendRtcp(data, address, port),
      },
      {
        onKey: (key, by) => emit({ on: 'dtmf', digit: key.digit, durationMs: key.durationMs, by }),
        onPlayFinished: () => this.#playEnded('finished', ''),
        onMediaTimeout: () => emit({ on: 'mediaTimeout' }),
      },
    );
  }

  /** From now on the endpoint sends and hears. */
  attach(sockets: RtpSocketPair): void {
    this.#sockets = sockets;
  }

  /**
   * Every 20 ms.
   * @param crowded so many endpoints share the thread that the time of each packet's arrival costs more than it is worth
   */
  tick(nowMs: number, crowded: boolean): void {
    if (this.#narrowed || crowded) this.#collect(nowMs);
    this.core.tick(nowMs);
  }

  onRtp(data: Buffer, address: string, port: number): void {
    if (!this.#closed) this.core.onRtp(data, address, port, this.#collectedMs ?? this.#world.clock.nowMs());
  }

  onRtcp(data: Buffer, address: string, port: number): void {
    if (!this.#closed) this.core.onRtcp(data, address, port, this.#world.clock.nowMs());
  }

  answerOffer(offer: Uint8Array): DescribedReply {
    const answered = this.#sdp.answerOffer(bufferOf(offer));
    if (!answered.ok) return { ok: false, problem: answered.error };
    this.#configure(answered.value.negotiated);
    return { ok: true, sdp: answered.value.sdp };
  }

  makeOffer(): DescribedReply {
    return { ok: true, sdp: this.#sdp.makeOffer() };
  }

  acceptAnswer(answer: Uint8Array): DescribedReply {
    const accepted = this.#sdp.acceptAnswer(bufferOf(answer));
    if (!accepted.ok) return { ok: false, problem: accepted.error };
    this.#configure(accepted.value);
    return { ok: true, sdp: this.#sdp.sdp ?? Buffer.alloc(0) };
  }

  async play(playId: string, spec: PlaySpec): Promise<void> {
    this.#stopPlaying();
    const playing: Playing = { playId };
    this.#playing = playing;
    const player = await openPlayer(spec, this.#world.library);
    if (this.#playing !== playing) return;
    if (!player.ok) this.#playEnded('failed', player.error);
    else if (player.value.finished) this.#playEnded('finished', 'nothing to play');
    else this.core.play(player.value);
  }

  stopPlay(playId: string): void {
    if (this.#playing?.playId === playId) this.#stopPlaying();
  }

  /** One recording at a time; a new one ends the one before. */
  record(recordId: string, spec: RecordSpec): void {
    this.#stopRecording();
    const ended = (end: RecordEnd, durationMs: number): void => {
      this.#recorders.delete(recordId);
      if (this.#recordId === recordId) {
        this.#recordId = undefined;
        this.core.record(undefined);
      }
      this.#emit({ on: 'recordEnded', recordId, end, durationMs });
    };
    const recorder = new Recorder(spec, ended, this.core.rate);
    this.#recorders.set(recordId, recorder);
    this.#recordId = recordId;
    this.core.record(recorder);
  }

  stopRecord(recordId: string): void {
    void this.#recorders.get(recordId)?.end('stopped');
  }

  startStream(streamId: string, spec: StreamSpec): void {
    const { openStream, streamDeps } = this.#world;
    const listener: BotStreamListener = {
      onStarted: () => this.#emit({ on: 'streamStarted', streamId }),
      onEnded: (report) => {
        this.#streams.delete(streamId);
        this.#wireStreams();
        this.#emit({ on: 'streamEnded', streamId, report });
      },
      onSendDtmf: (digits) => this.sendDtmf(digits),
    };
    const stream = openStream(spec, streamDeps, listener, this.core.rate);
    this.#streams.set(streamId, { stream, speaks: spec.direction === 'bidirectional' });
    this.#wireStreams();
  }

  stopStream(streamId: string, reason: StreamStop): void {
    this.#streams.get(streamId)?.stream.stop(reason);
  }

  sendDtmf(digits: string): void {
    for (const digit of digits) this.core.press(digit, DIGIT_MS);
  }

  injectDtmf(digit: string, durationMs: number): void {
    this.core.tellStreams(digit, durationMs);
  }

  /** @param undo called when the bridge ends, whoever ends it. */
  bridge(peer: BridgePeer, undo: () => void): void {
    this.unbridge();
    this.#unbridge = undo;
    this.core.bridge(peer);
  }

  unbridge(): void {
    const undo = this.#unbridge;
    this.#unbridge = undefined;
    this.core.bridge(undefined);
    undo?.();
  }

  quality(): MediaQuality {
    return this.core.quality();
  }

  dump(): object {
    return { ...this.core.dump(), phase: this.phase, recordings: this.#recorders.size };
  }

  /** Resolves when files are complete and ports free; the events of what it ends come before that. */
  async close(): Promise<MediaQuality> {
    if (this.#closed) return this.quality();
    this.core.end(this.#world.clock.nowMs());
    this.#closed = true;
    this.unbridge();
    this.#stopPlaying();
    for (const { stream } of [...this.#streams.values()]) stream.stop('callended');
    await Promise.all([...this.#recorders.values()].map((recorder) => recorder.end('stopped')));
    await this.#sockets?.close();
    return this.quality();
  }

  /** Takes what has come. A peer that is known by now is heard alone; an unknown one is waited for as ever. */
  #collect(nowMs: number): void {
    const sockets = this.#sockets;
    if (sockets === undefined || !this.#narrowable) return;
    if (this.#narrowed) {
      this.#collectedMs = nowMs - this.#leadMs;
      sockets.collect(nowMs - this.#tickMs > LATE_TICK_MS);
      this.#collectedMs = undefined;
      this.#tickMs = nowMs;
      return;
    }
    const { steadyPeer, lastPacketMs } = this.core;
    const lead = nowMs - lastPacketMs;
    if (lead <= TICK_MS) this.#leadMs += (lead - this.#leadMs) * LEAD_GAIN;
    if (steadyPeer === undefined) return;
    this.#narrowed = this.#narrowable = sockets.narrow(steadyPeer.address, steadyPeer.port);
  }

  #configure(negotiated: NegotiatedAudio): void {
    if (this.#narrowed) this.#sockets?.widen();
    this.#narrowed = false;
    this.core.configure(negotiated, this.#protection.use(negotiated.crypto), this.#world.clock.nowMs());
  }

  #stopPlaying(): void {
    if (this.#playing === undefined) return;
    this.core.play(undefined);
    this.#playEnded('stopped', '');
  }

  #playEnded(end: PlayEnd, detail: string): void {
    const playId = this.#playing?.playId;
    this.#playing = undefined;
    if (playId !== undefined) this.#emit({ on: 'playEnded', playId, end, detail });
  }

  #stopRecording(): void {
    if (this.#recordId !== undefined) this.stopRecord(this.#recordId);
  }

  #wireStreams(): void {
    const all = [...this.#streams.values()];
    // The newest bot has the caller's ear.
    const bot = all.findLast((one) => one.speaks)?.stream;
    this.core.streams(
      bot,
      all.filter((one) => one.stream !== bot).map((one) => one.stream),
    );
  }
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
