import { decodeAlaw, decodeMulaw, quietAlaw, quietMulaw } from '../codec/g711.js';
import { decodeL16Be, quietL16Be } from '../codec/l16.js';
import { type Rate, frameSamples } from '../codec/rate.js';
import { type KeyPress, TelephoneEventReceiver } from '../dtmf/telephoneEvent.js';
import { LossConcealer } from '../rtp/concealment.js';
import { JitterBuffer } from '../rtp/jitterBuffer.js';
import { type MediaSource, SourceLatch } from '../rtp/latch.js';
import { type RtpPacket, parseRtp } from '../rtp/packet.js';
import { parseRtcp } from '../rtp/rtcp.js';
import { RtcpStats } from '../rtp/rtcpStats.js';
import type { NegotiatedAudio, RtpCodec } from '../sdp/description.js';
import { isUnspecified } from '../sdp/numericAddress.js';
import type { Protection } from './protection.js';

/** Packets of a peer after which it is taken to be where it is: a second of audio. */
const STEADY = 50;

const NO_KEYS: readonly KeyPress[] = [];

interface Decoding {
  readonly bytesPerSample: number;
  readonly decode: (payload: Buffer, target: Int16Array) => number;
  /** True for a frame whose loss nobody hears. */
  readonly quiet: (payload: Buffer) => boolean;
}

const DECODING: { readonly [codec in RtpCodec]: Decoding } = {
  PCMU: { bytesPerSample: 1, decode: decodeMulaw, quiet: quietMulaw },
  PCMA: { bytesPerSample: 1, decode: decodeAlaw, quiet: quietAlaw },
  L16: { bytesPerSample: 2, decode: decodeL16Be, quiet: quietL16Be },
};

const jitterBufferFor = (codec: RtpCodec, clockRate: Rate): JitterBuffer => {
  const { bytesPerSample, quiet } = DECODING[codec];
  return new JitterBuffer({ clockRate, frameSamples: frameSamples(clockRate), bytesPerSample, quiet });
};

export interface ReceiverOptions {
  readonly nat: boolean;
  readonly peerAddresses: readonly string[] | undefined;
  /** Makes `nowMs` a date, for RTCP. */
  readonly wallOffsetMs: number;
}

/** The way in: from datagrams of whoever to 20 ms frames of the peer's voice, at its rate,, and its key presses. */
export class Receiver {
  readonly latch: SourceLatch;
  readonly stats: RtcpStats;
  #events = new TelephoneEventReceiver();
  #concealer = new LossConcealer();
  readonly #nat: boolean;
  #jitter = jitterBufferFor('PCMU', 8000);
  #negotiated: NegotiatedAudio | undefined;
  #protection: Protection | undefined;
  #rejected = 0;
  /** Packets of the peer since the last offer and answer. */
  #accepted = 0;
  /** When the last packet of the peer came. */
  lastPacketMs = 0;

  constructor(options: ReceiverOptions) {
    this.#nat = options.nat;
    this.latch = new SourceLatch({ nat: options.nat, expectedAddresses: options.peerAddresses });
    this.stats = new RtcpStats({ wallOffsetMs: options.wallOffsetMs });
  }

  /** Applies the outcome of an offer and answer. */
  configure(negotiated: NegotiatedAudio, protection: Protection | undefined, nowMs: number): void {
    const before = this.#negotiated;
    this.#negotiated = negotiated;
    this.#protection = protection;
    this.lastPacketMs = nowMs;
    this.#accepted = 0;
    // RFC 3264 §8.4: an address of 0.0.0.0 says where not to send, not where the peer is.
    if (!isUnspecified(negotiated.remoteAddress))
      this.latch.point({ address: negotiated.remoteAddress, port: negotiated.remotePort });
    if (!negotiated.receives) this.#jitter.reset();
    const { codec, clockRate } = negotiated;
    if (before?.codec === codec && before.clockRate === clockRate) return;
    this.#jitter = jitterBufferFor(codec, clockRate);
    this.#concealer = new LossConcealer(clockRate);
    if ((before?.clockRate ?? 8000) === clockRate) return;
    this.#events = new TelephoneEventReceiver(clockRate);
    this.stats.useClock(clockRate);
  }

  /** Refused or unreadable packets. */
  get rejected(): number {
    return this.#rejected + this.latch.rejected;
  }

  /** Undefined until it has sent for a while; from then on its source stays until the next offer and answer. */
  get steadyPeer(): MediaSource | undefined {
    return this.#accepted < STEADY ? undefined : this.latch.target;
  }

  get late(): number {
    return this.#jitter.stats().late;
  }

  get delayMs(): number {
    return this.#jitter.stats().delayMs;
  }

  jitterStats(): object {
    return this.#jitter.stats();
  }

  /** @returns keys that this packet released. */
  onRtp(data: Buffer, address: string, port: number, nowMs: number): readonly KeyPress[] {
    const negotiated = this.#negotiated;
    if (negotiated === undefined) return this.#refuse();
    const packet = this.#protection === undefined ? parseRtp(data) : this.#authentic(data, address, port);
    if (packet === undefined) return this.#refuse();
    if (!this.latch.accept(address, port, packet)) return NO_KEYS;
    this.lastPacketMs = nowMs;
    this.#accepted++;
    if (!negotiated.receives) return NO_KEYS;
    this.stats.received(packet, nowMs);
    if (packet.payloadType === negotiated.receiveEvents) {
      this.#jitter.note(packet);
      return this.#events.push(packet, nowMs);
    }
    // Comfort noise and the like are part of the stream, but nothing to hear.
    if (negotiated.receive.has(packet.payloadType)) this.#jitter.push(packet, nowMs);
    else this.#jitter.note(packet);
    return NO_KEYS;
  }

  onRtcp(data: Buffer, address: string, port: number, nowMs: number): void {
    const negotiated = this.#negotiated;
    if (negotiated === undefined || !this.latch.acceptControl(address, port, negotiated.remoteRtcpPort)) return;
    const plain = this.#protection === undefined ? data : this.#protection.receive.unprotectRtcp(data);
    const packets = plain === undefined ? undefined : parseRtcp(plain);
    if (packets === undefined) {
      this.#rejected++;
      return;
    }
    for (const packet of packets) {
      if (packet.kind === 'sr') this.stats.senderReport(packet.sender, nowMs);
      if (packet.kind !== 'sr' && packet.kind !== 'rr') continue;
      for (const report of packet.reports) this.stats.receptionReport(report, nowMs);
    }
  }

  /** Keys whose end was lost. Once per tick. */
  poll(nowMs: number): readonly KeyPress[] {
    return this.#events.poll(nowMs);
  }

  /**
   * Takes the frame that is due; once per tick, wanted or not, so that the delay follows the network.
   * @param target filled with it when given @returns false: nothing is being said
   */
  pull(target: Int16Array | undefined, nowMs: number): boolean {
    const frame = this.#jitter.pull(nowMs);
    if (target === undefined) return frame.kind !== 'silence';
    switch (frame.kind) {
      case 'audio':
        DECODING[this.#negotiated?.receive.get(frame.payloadType) ?? 'PCMU'].decode(frame.payload, target);
        this.#concealer.feed(target);
        return true;
      case 'lost':
        this.#concealer.conceal(target);
        return true;
      case 'silence':
        target.fill(0);
        this.#concealer.feed(target);
        return false;
    }
  }

  /** A stranger's packet is not worth the price of its authentication, unless the peer is still to be found. */
  #authentic(data: Buffer, address: string, port: number): RtpPacket | undefined {
    const target = this.latch.target;
    const known = target !== undefined && target.port === port && target.address === address;
    if (!known && (!this.#nat || this.latch.latched)) return undefined;
    const opened = this.#protection?.receive.unprotectRtp(data);
    return opened === undefined ? undefined : parseRtp(opened);
  }

  #refuse(): readonly KeyPress[] {
    this.#rejected++;
    return NO_KEYS;
  }
}
