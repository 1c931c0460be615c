import { encodeAlaw, encodeMulaw } from '../codec/g711.js';
import { encodeL16Be } from '../codec/l16.js';
import { type Rate, frameSamples } from '../codec/rate.js';
import { DtmfGenerator } from '../dtmf/generator.js';
import { eventOfDigit } from '../dtmf/telephoneEvent.js';
import type { Random } from '../../kernel/index.js';
import type { MediaSource } from '../rtp/latch.js';
import { RTP_MAX_BYTES } from '../rtp/packet.js';
import { RtpSender } from '../rtp/sender.js';
import { MAX_PAYLOAD_BYTES, type NegotiatedAudio, type RtpCodec, bytesPerSample } from '../sdp/description.js';
import type { Protection } from './protection.js';

/** Datagrams that may wait in the system before one is overwritten. */
const RING = 8;
const SLOT_BYTES = RTP_MAX_BYTES / 2;
/** The longest packet, and the frame that completes it. */
const BACKLOG_BYTES = 2 * MAX_PAYLOAD_BYTES;

const ENCODE: { readonly [codec in RtpCodec]: (pcm: Int16Array, target: Uint8Array) => number } = {
  PCMU: encodeMulaw,
  PCMA: encodeAlaw,
  L16: encodeL16Be,
};

export type SendDatagram = (data: Buffer, address: string, port: number) => void;

/** The way out: from 20 ms frames to datagrams. One `frame` or `idle` per tick. */
export class Transmitter {
  sender: RtpSender;
  readonly #random: Random;
  readonly #send: SendDatagram;
  readonly #slots: Buffer[];
  /** A slot cut to the length that nearly all packets have. */
  readonly #cut: Buffer[];
  #slot = 0;
  readonly #backlog = Buffer.alloc(BACKLOG_BYTES);
  #filled = 0;
  #rate: Rate = 8000;
  #width = 1;
  #frameBytes = frameSamples(8000);
  #packet: Buffer = this.#backlog.subarray(0, this.#frameBytes);
  /** Packets of streams before a change of the clock. */
  #sentBefore = 0;
  #negotiated: NegotiatedAudio | undefined;
  #protection: Protection | undefined;
  #tones = new DtmfGenerator();
  #toneFrame = new Int16Array(frameSamples(8000));

  constructor(random: Random, send: SendDatagram) {
    this.#send = send;
    this.#random = random;
    this.sender = new RtpSender({ random, payloadType: 0 });
    const ring = Buffer.alloc(RING * SLOT_BYTES);
    this.#slots = Array.from({ length: RING }, (_, i) => ring.subarray(i * SLOT_BYTES, (i + 1) * SLOT_BYTES));
    this.#cut = [...this.#slots];
  }

  configure(negotiated: NegotiatedAudio, protection: Protection | undefined): void {
    this.#negotiated = negotiated;
    this.#protection = protection;
    const { payloadType, clockRate, codec, sendEvents, packetMs } = negotiated;
    if (clockRate !== this.#rate) this.#useRate(clockRate);
    this.sender.use(payloadType, sendEvents);
    this.#width = bytesPerSample(codec);
    this.#frameBytes = frameSamples(clockRate) * this.#width;
    this.#packet = this.#backlog.subarray(0, ((packetMs * clockRate) / 1000) * this.#width);
    this.#filled = 0;
  }

  /** Of all its streams. */
  get packets(): number {
    return this.#sentBefore + this.sender.packets;
  }

  /** Something is being pressed on our side: audio given to `frame` is not heard meanwhile. */
  get pressing(): boolean {
    return this.sender.sendingDigits || this.#tones.active;
  }

  /** Presses a key towards the peer, after those that wait. Unknown characters are passed over. */
  press(digit: string, durationMs: number): void {
    const event = eventOfDigit(digit);
    if (event === undefined) return;
    if (this.#negotiated?.sendEvents === undefined) this.#tones.queue(digit);
    else this.sender.sendEvent(event, durationMs);
  }

  /** Sends a frame; a key being pressed as tones takes its place. @returns what is sent, as samples. */
  frame(pcm: Int16Array, target: MediaSource | undefined): Int16Array {
    let heard = pcm;
    if (this.#tones.active) {
      heard = this.#toneFrame;
      this.#tones.fill(heard);
    }
    if (this.#negotiated === undefined) return heard;
    const bytes = this.#frameBytes;
    const whole = this.#filled === 0 && this.#packet.length === bytes;
    const room = whole ? this.#packet : this.#backlog.subarray(this.#filled, this.#filled + bytes);
    ENCODE[this.#negotiated.codec](heard, room);
    this.#filled += bytes;
    this.#flush(target);
    return heard;
  }

  /** A tick in which there is nothing to say, or nobody to say it to. */
  idle(target: MediaSource | undefined): void {
    const length = this.sender.skip(this.#slots[this.#slot] as Buffer, frameSamples(this.#rate));
    if (length > 0 && target !== undefined && this.#negotiated?.sends === true) this.#dispatch(length, target);
    this.#filled = 0;
  }

  /** Ticks that never came: a receiver must not take what follows for late. */
  miss(frames: number): void {
    this.sender.pass(frames * frameSamples(this.#rate));
    this.#filled = 0;
  }

  #flush(target: MediaSource | undefined): void {
    const size = this.#packet.length;
    const samples = size / this.#width;
    const to = this.#negotiated?.sends === true ? target : undefined;
    let at = 0;
    for (; this.#filled - at >= size; at += size) {
      const slot = this.#slots[this.#slot] as Buffer;
      const payload = at === 0 ? this.#packet : this.#backlog.subarray(at, at + size);
      if (to === undefined) {
        this.sender.skip(slot, samples);
        continue;
      }
      const length = this.sender.next(slot, payload, samples);
      if (length > 0) this.#dispatch(length, to);
    }
    if (at > 0 && at < this.#filled) this.#backlog.copyWithin(0, at, this.#filled);
    this.#filled -= at;
  }

  /** RFC 7160 §4.1: another clock is another stream, or no receiver can tell its timestamps. */
  #useRate(rate: Rate): void {
    this.#rate = rate;
    this.#sentBefore += this.sender.packets;
    this.sender = new RtpSender({ random: this.#random, payloadType: 0, clockRate: rate });
    this.#tones = new DtmfGenerator({ sampleRate: rate });
    this.#toneFrame = new Int16Array(frameSamples(rate));
  }

  #dispatch(plainLength: number, target: MediaSource): void {
    const slot = this.#slots[this.#slot] as Buffer;
    const length = this.#protection === undefined ? plainLength : this.#protection.send.protectRtp(slot, plainLength);
    if (length === 0) return;
    let cut = this.#cut[this.#slot] as Buffer;
    if (cut.length !== length) {
      cut = slot.subarray(0, length);
      this.#cut[this.#slot] = cut;
    }
    this.#slot = (this.#slot + 1) % RING;
    this.#send(cut, target.address, target.port);
  }
}
