import { encodeAlaw, encodeMulaw } from '../codec/g711.js';
import { DtmfGenerator } from '../dtmf/generator.js';
import { eventOfDigit } from '../dtmf/telephoneEvent.js';
import type { Random } from '../../kernel/index.js';
import type { MediaSource } from '../rtp/latch.js';
import { RTP_MAX_BYTES } from '../rtp/packet.js';
import { RtpSender } from '../rtp/sender.js';
import type { NegotiatedAudio } from '../sdp/description.js';
import { FRAME_SAMPLES } from '../stream/port.js';
import type { Protection } from './protection.js';

/** Datagrams that may wait in the system before one is overwritten. */
const RING = 8;
const SLOT_BYTES = RTP_MAX_BYTES / 2;
/** 60 ms, the longest packet, and the frame that completes it. */
const BACKLOG_BYTES = 480 + FRAME_SAMPLES;
const SAMPLES_PER_MS = 8;

export type SendDatagram = (data: Buffer, address: string, port: number) => void;

/** The way out: from 20 ms frames to datagrams. One `frame` or `idle` per tick. */
export class Transmitter {
  readonly sender: RtpSender;
  readonly #send: SendDatagram;
  readonly #slots: Buffer[];
  /** A slot cut to the length that nearly all packets have. */
  readonly #cut: Buffer[];
  #slot = 0;
  readonly #backlog = Buffer.alloc(BACKLOG_BYTES);
  #filled = 0;
  #packet: Buffer = this.#backlog.subarray(0, FRAME_SAMPLES);
  #negotiated: NegotiatedAudio | undefined;
  #protection: Protection | undefined;
  readonly #tones = new DtmfGenerator();
  readonly #toneFrame = new Int16Array(FRAME_SAMPLES);

  constructor(random: Random, send: SendDatagram) {
    this.#send = send;
    this.sender = new RtpSender({ random, payloadType: 0 });
    const ring = Buffer.alloc(RING * SLOT_BYTES);
    this.#slots = Array.from({ length: RING }, (_, i) => ring.subarray(i * SLOT_BYTES, (i + 1) * SLOT_BYTES));
    this.#cut = [...this.#slots];
  }

  configure(negotiated: NegotiatedAudio, protection: Protection | undefined): void {
    this.#negotiated = negotiated;
    this.#protection = protection;
    this.sender.use(negotiated.payloadType, negotiated.sendEvents);
    this.#packet = this.#backlog.subarray(0, negotiated.packetMs * SAMPLES_PER_MS);
    this.#filled = 0;
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
    const whole = this.#filled === 0 && this.#packet.length === FRAME_SAMPLES;
    const room = whole ? this.#packet : this.#backlog.subarray(this.#filled, this.#filled + FRAME_SAMPLES);
    if (this.#negotiated.law === 'PCMA') encodeAlaw(heard, room);
    else encodeMulaw(heard, room);
    this.#filled += FRAME_SAMPLES;
    this.#flush(target);
    return heard;
  }

  /** A tick in which there is nothing to say, or nobody to say it to. */
  idle(target: MediaSource | undefined): void {
    const length = this.sender.skip(this.#slots[this.#slot] as Buffer, FRAME_SAMPLES);
    if (length > 0 && target !== undefined && this.#negotiated?.sends === true) this.#dispatch(length, target);
    this.#filled = 0;
  }

  #flush(target: MediaSource | undefined): void {
    const size = this.#packet.length;
    const to = this.#negotiated?.sends === true ? target : undefined;
    let at = 0;
    for (; this.#filled - at >= size; at += size) {
      const slot = this.#slots[this.#slot] as Buffer;
      const payload = at === 0 ? this.#packet : this.#backlog.subarray(at, at + size);
      if (to === undefined) {
        this.sender.skip(slot, size);
        continue;
      }
      const length = this.sender.next(slot, payload, size);
      if (length > 0) this.#dispatch(length, to);
    }
    if (at > 0 && at < this.#filled) this.#backlog.copyWithin(0, at, this.#filled);
    this.#filled -= at;
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
