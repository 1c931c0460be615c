import type { Random } from '../../kernel/index.js';
import { InbandDtmfDetector } from '../dtmf/goertzel.js';
import type { KeyPress } from '../dtmf/telephoneEvent.js';
import type { Player } from '../play/player.js';
import type { MediaQuality } from '../port.js';
import type { MediaSource } from '../rtp/latch.js';
import { estimateMos } from '../rtp/quality.js';
import { writeRtcp } from '../rtp/rtcp.js';
import type { NegotiatedAudio } from '../sdp/description.js';
import { type Rate, RateAdapter, frameSamples } from '../codec/rate.js';
import { RATE } from '../play/clip.js';
import type { BotStream } from '../stream/port.js';
import { FrameQueue } from './frameQueue.js';
import type { Protection } from './protection.js';
import { Receiver } from './receiver.js';
import { type SendDatagram, Transmitter } from './transmitter.js';

const RTCP_INTERVAL_MS = 5000;
/** RFC 3550 §6.2: intervals are spread, or all reports of a machine would come together. */
const RTCP_SPREAD = 0.5;
const RTCP_MAX_BYTES = 512;

/** Takes both directions of the call, a frame each per tick. */
export interface FrameTap {
  /** Of the frames that it takes. Default 8000. */
  readonly rate?: Rate | undefined;
  frame(peer: Int16Array, heard: Int16Array): void;
}

/** Where the other end of a bridge is. */
export interface BridgePeer {
  /** At whatever rate: its length tells. */
  frame(pcm: Int16Array): void;
  key(digit: string, durationMs: number): void;
}

export interface CoreListener {
  onKey(key: KeyPress, by: 'rfc4733' | 'inband'): void;
  onPlayFinished(): void;
  onMediaTimeout(): void;
}

export interface CoreOptions {
  readonly random: Random;
  readonly nowMs: number;
  readonly wallOffsetMs: number;
  readonly comfortSilence: boolean;
  readonly nat: boolean;
  readonly peerAddresses?: readonly string[] | undefined;
  readonly mediaTimeoutMs: number | undefined;
}

export interface CoreOutput {
  readonly sendRtp: SendDatagram;
  readonly sendRtcp: SendDatagram;
}

/**
 * One endpoint's audio, without sockets, files or timers: datagrams and ticks in, datagrams and events out.
 *
 * What the peer hears is, in this order: keys that we press, an announcement, the bot, the bridged endpoint, silence.
 */
export class EndpointCore implements BridgePeer {
  readonly #options: CoreOptions;
  readonly #output: CoreOutput;
  readonly #listener: CoreListener;
  /** RFC 7022: random, says nothing about us. */
  readonly #cname: string;
  readonly #receiver: Receiver;
  readonly #transmitter: Transmitter;
  /** Of the leg. Who is joined to it at another rate gets its frames adapted. */
  #rate: Rate = RATE;
  #in = new Int16Array(frameSamples(RATE));
  #silence = new Int16Array(frameSamples(RATE));
  #bridged = new FrameQueue(frameSamples(RATE));
  readonly #played = new Int16Array(frameSamples(RATE));
  /** From and to those at other rates. */
  readonly #adapt = {
    in: new RateAdapter(),
    heard: new RateAdapter(),
    bridged: new RateAdapter(),
    played: new RateAdapter(),
    bot: new RateAdapter(),
  };
  /** This tick's `#in` at the other rate, once somebody asked. */
  #otherIn: Int16Array | undefined;
  readonly #detector = new InbandDtmfDetector();
  readonly #rtcpBuffer = Buffer.alloc(RTCP_MAX_BYTES);
  #negotiated: NegotiatedAudio | undefined;
  #protection: Protection | undefined;
  #player: Player | undefined;
  #tap: FrameTap | undefined;
  #bot: BotStream | undefined;
  #listeners: readonly BotStream[] = [];
  #peer: BridgePeer | undefined;
  #rtcpDueMs: number;
  #reportedPackets = 0;
  #timedOut = false;

  constructor(options: CoreOptions, output: CoreOutput, listener: CoreListener) {
    this.#options = options;
    this.#output = output;
    this.#listener = listener;
    this.#cname = options.random.hex(12);
    this.#receiver = new Receiver({
      nat: options.nat,
      peerAddresses: options.peerAddresses,
      wallOffsetMs: options.wallOffsetMs,
    });
    this.#transmitter = new Transmitter(options.random, output.sendRtp);
    this.#rtcpDueMs = options.nowMs + RTCP_INTERVAL_MS * options.random.float();
  }

  /** Applies the outcome of an offer and answer; at any time, any number of times. */
  configure(negotiated: NegotiatedAudio, protection: Protection | undefined, nowMs: number): void {
    if (negotiated.clockRate !== this.#rate) this.#useRate(negotiated.clockRate);
    this.#negotiated = negotiated;
    this.#protection = protection;
    this.#receiver.configure(negotiated, protection, nowMs);
    this.#transmitter.configure(negotiated, protection);
    this.#timedOut = false;
  }

  /** Who alone may send, once it has done so for a while: nobody else's packets need to be looked at. */
  get steadyPeer(): MediaSource | undefined {
    return this.#receiver.steadyPeer;
  }

  get lastPacketMs(): number {
    return this.#receiver.lastPacketMs;
  }

  /** Samples a second of the leg. */
  get rate(): Rate {
    return this.#rate;
  }

  onRtp(data: Buffer, address: string, port: number, nowMs: number): void {
    const keys = this.#receiver.onRtp(data, address, port, nowMs);
    for (const key of keys) this.#pressed(key, 'rfc4733');
  }

  onRtcp(data: Buffer, address: string, port: number, nowMs: number): void {
    this.#receiver.onRtcp(data, address, port, nowMs);
  }

  /** Replaces what is playing; undefined: stops it. The listener hears only of what ends by itself. */
  play(player: Player | undefined): void {
    this.#player = player;
  }

  record(tap: FrameTap | undefined): void {
    this.#tap = tap;
  }

  /** @param bot speaks to the peer. @param forks only listen, as the bot does. */
  streams(bot: BotStream | undefined, forks: readonly BotStream[]): void {
    this.#bot = bot;
    this.#listeners = bot === undefined ? forks : [bot, ...forks];
  }

  bridge(peer: BridgePeer | undefined): void {
    this.#peer = peer;
    this.#bridged.clear();
  }

  press(digit: string, durationMs: number): void {
    this.#transmitter.press(digit, durationMs);
  }

  /** A key that came another way than in the audio: for the streams. */
  tellStreams(digit: string, durationMs: number): void {
    for (const stream of this.#listeners) stream.dtmf(digit, durationMs);
  }

  // The two of BridgePeer: what the other end of the bridge says.
  frame(pcm: Int16Array): void {
    this.#bridged.push(this.#adapt.bridged.adapt(pcm, this.#rate));
  }

  key(digit: string, durationMs: number): void {
    this.#transmitter.press(digit, durationMs);
  }

  /** Every 20 ms. */
  tick(nowMs: number): void {
    const negotiated = this.#negotiated;
    if (negotiated === undefined) return;
    for (const key of this.#receiver.poll(nowMs)) this.#pressed(key, 'rfc4733');
    const detects = negotiated.receiveEvents === undefined;
    const wanted = this.#tap !== undefined || this.#peer !== undefined || this.#listeners.length > 0 || detects;
    this.#receiver.pull(wanted ? this.#in : undefined, nowMs);
    this.#otherIn = undefined;
    if (detects) for (const key of this.#detector.push(this.#inAt(8000))) this.#pressed(key, 'inband');
    for (const stream of this.#listeners) stream.fromCaller(this.#inAt(stream.rate));
    this.#peer?.frame(this.#in);
    const heard = this.#speak();
    const tap = this.#tap;
    tap?.frame(this.#inAt(tap.rate), this.#adapt.heard.adapt(heard, tap.rate ?? RATE));
    if (nowMs >= this.#rtcpDueMs) this.#report(nowMs, false);
    this.#watch(negotiated, nowMs);
  }

  /** So many ticks will never come. */
  miss(frames: number): void {
    this.#transmitter.miss(frames);
  }

  /** Says goodbye in RTCP. */
  end(nowMs: number): void {
    if (this.#transmitter.packets > 0) this.#report(nowMs, true);
  }

  quality(): MediaQuality {
    const summary = this.#receiver.stats.summary();
    const late = this.#receiver.late;
    const lossRatio = summary.expected === 0 ? 0 : (summary.lost + late) / summary.expected;
    const roundTripMs = summary.roundTripMs ?? null;
    const delayMs = this.#receiver.delayMs + (roundTripMs ?? 0) / 2;
    return {
      packetsReceived: summary.received,
      packetsSent: this.#transmitter.packets,
      packetsLost: summary.lost,
      packetsLate: late,
      packetsRejected: this.#receiver.rejected,
      jitterMs: round(summary.jitterMs),
      roundTripMs: roundTripMs === null ? null : round(roundTripMs),
      mos: round(estimateMos({ lossRatio, delayMs })),
      codec: codecName(this.#negotiated),
    };
  }

  dump(): object {
    return {
      codec: codecName(this.#negotiated),
      remote: this.#receiver.latch.target,
      playing: this.#player !== undefined,
      recording: this.#tap !== undefined,
      streams: this.#listeners.map((stream) => stream.dump()),
      bridged: this.#peer !== undefined,
      jitter: this.#receiver.jitterStats(),
    };
  }

  #pressed(key: KeyPress, by: 'rfc4733' | 'inband'): void {
    this.tellStreams(key.digit, key.durationMs);
    // Tones in the audio reach the other end of a bridge by themselves.
    if (by === 'rfc4733') this.#peer?.key(key.digit, key.durationMs);
    this.#listener.onKey(key, by);
  }

  /** Sends what the peer shall hear now. @returns it */
  #speak(): Int16Array {
    const target = this.#receiver.latch.target;
    const pcm = this.#nextFrame();
    if (pcm !== undefined) return this.#transmitter.frame(pcm, target);
    const silence = this.#silence;
    if (this.#options.comfortSilence || this.#transmitter.pressing) return this.#transmitter.frame(silence, target);
    this.#transmitter.idle(target);
    return silence;
  }

  #nextFrame(): Int16Array | undefined {
    // Taken in any case: what a bridged end says while something else is heard is over when that ends.
    const bridged = this.#bridged.take();
    const player = this.#player;
    if (player !== undefined) {
      player.fill(this.#played);
      if (player.finished) {
        this.#player = undefined;
        this.#listener.onPlayFinished();
      }
      return this.#adapt.played.adapt(this.#played, this.#rate);
    }
    const spoken = this.#bot?.toCaller();
    return spoken === undefined ? bridged : this.#adapt.bot.adapt(spoken, this.#rate);
  }

  #inAt(rate: Rate = RATE): Int16Array {
    if (rate === this.#rate) return this.#in;
    return (this.#otherIn ??= this.#adapt.in.adapt(this.#in, rate));
  }

  #useRate(rate: Rate): void {
    this.#rate = rate;
    this.#in = new Int16Array(frameSamples(rate));
    this.#silence = new Int16Array(frameSamples(rate));
    this.#bridged = new FrameQueue(frameSamples(rate));
  }

  #watch(negotiated: NegotiatedAudio, nowMs: number): void {
    const limitMs = this.#options.mediaTimeoutMs;
    if (limitMs === undefined || !negotiated.receives) return;
    const silentMs = nowMs - this.#receiver.lastPacketMs;
    if (silentMs < limitMs) this.#timedOut = false;
    else if (!this.#timedOut) {
      this.#timedOut = true;
      this.#listener.onMediaTimeout();
    }
  }

  #report(nowMs: number, bye: boolean): void {
    this.#rtcpDueMs = nowMs + RTCP_INTERVAL_MS * (1 - RTCP_SPREAD + 2 * RTCP_SPREAD * this.#options.random.float());
    const { stats, latch } = this.#receiver;
    const negotiated = this.#negotiated;
    const target = latch.target;
    if (negotiated === undefined || target === undefined) return;
    const { sender } = this.#transmitter;
    const sent = sender.packets > this.#reportedPackets;
    this.#reportedPackets = sender.packets;
    const report = stats.report(nowMs);
    const info = { rtpTimestamp: sender.timestamp, packets: sender.packets, octets: sender.octets };
    const plain = writeRtcp(this.#rtcpBuffer, {
      ssrc: sender.ssrc,
      cname: this.#cname,
      sender: sent || bye ? { ...stats.ntp(nowMs), ...info } : undefined,
      reports: report === undefined ? [] : [report],
      bye,
    });
    const length = this.#protection === undefined ? plain : this.#protection.send.protectRtcp(this.#rtcpBuffer, plain);
    if (length === 0) return;
    // Behind NAT the port of the SDP is as wrong as the address was: the learned one, or nothing.
    const to = latch.controlTarget ?? controlOf(negotiated, target);
    this.#output.sendRtcp(Buffer.from(this.#rtcpBuffer.subarray(0, length)), to.address, to.port);
  }
}

/** As in SDP where it is not what its name alone says: `L16/16000`. */
const codecName = (negotiated: NegotiatedAudio | undefined): string => {
  if (negotiated === undefined) return '';
  return negotiated.codec === 'L16' ? `L16/${negotiated.clockRate}` : negotiated.codec;
};

const controlOf = (negotiated: NegotiatedAudio, target: { address: string; port: number }) =>
  target.address === negotiated.remoteAddress && target.port === negotiated.remotePort
    ? { address: negotiated.remoteRtcpAddress, port: negotiated.remoteRtcpPort }
    : { address: target.address, port: target.port + 1 };

const round = (value: number): number => Math.round(value * 100) / 100;
