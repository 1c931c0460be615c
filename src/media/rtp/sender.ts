import type { Random } from '../../kernel/index.js';
import { type TelephoneEvent, TELEPHONE_EVENT_BYTES, writeTelephoneEvent } from '../dtmf/telephoneEvent.js';
import { RTP_HEADER_BYTES, writeRtp } from './packet.js';

export interface RtpSenderOptions {
  readonly random: Random;
  readonly payloadType: number;
  /** Payload type of telephone-event; absent: the peer takes none and digits are refused. */
  readonly telephoneEventType?: number | undefined;
  /** Samples a second. Default 8000. */
  readonly clockRate?: number | undefined;
}

interface Digit {
  readonly event: number;
  readonly samples: number;
}

interface ActiveDigit {
  readonly event: number;
  /** Timestamp of the current segment. */
  start: number;
  /** Samples since the segment's start. */
  elapsed: number;
  /** Samples still to come, this segment and later ones. */
  remaining: number;
  fresh: boolean;
  /** End packets still to be sent. */
  ends: number;
}

interface MutableHeader {
  payloadType: number;
  marker: boolean;
  sequence: number;
  timestamp: number;
  readonly ssrc: number;
}

const END_PACKETS = 3;
const MAX_DURATION = 0xffff;
/** Silence between two digits that a receiver can count on: ITU-T Q.24 asks for 40 ms at least. */
const DIGIT_GAP_MS = 60;
const MAX_QUEUED_DIGITS = 128;
const VOLUME_DBM0 = 10;

const random32 = (random: Random): number => parseInt(random.hex(4), 16);

/**
 * Numbers the packets of one outgoing stream. Call `next` (or `skip`) exactly once per packet interval: the timestamp
 * counts sampling instants, sent or not (RFC 3550 §5.1), and a digit takes the place of audio while it lasts
 * (RFC 4733 §2.6.1: audio is not sent beside it).
 */
export class RtpSender {
  readonly #header: MutableHeader;
  readonly #clockRate: number;
  #telephoneEventType: number | undefined;
  readonly #queue: Digit[] = [];
  #active: ActiveDigit | undefined;
  #gap = 0;
  #talking = false;
  #packets = 0;
  #octets = 0;
  readonly #eventPayload = Buffer.alloc(TELEPHONE_EVENT_BYTES);

  constructor(options: RtpSenderOptions) {
    const { random } = options;
    // RFC 3550 §5.1: all three start at random, so that a stream cannot be guessed or known by its plain text. The
    // sequence in the lower half: a receiver of SRTP that misses the first packets must not see a wrap among them.
    this.#header = {
      payloadType: options.payloadType,
      marker: false,
      sequence: random32(random) & 0x7fff,
      timestamp: random32(random),
      ssrc: random32(random),
    };
    this.#clockRate = options.clockRate ?? 8000;
    this.#telephoneEventType = options.telephoneEventType;
  }

  get ssrc(): number {
    return this.#header.ssrc;
  }

  /** Timestamp of the next sampling instant: what a sender report pairs with the time now. */
  get timestamp(): number {
    return this.#header.timestamp;
  }

  get sequence(): number {
    return this.#header.sequence;
  }

  get packets(): number {
    return this.#packets;
  }

  /** Payload octets, headers not counted (RFC 3550 §6.4.1). */
  get octets(): number {
    return this.#octets;
  }

  /** A digit is being sent or waits: audio given to `next` is not heard. */
  get sendingDigits(): boolean {
    return this.#active !== undefined || this.#queue.length > 0;
  }

  /** After a new offer and answer. The stream goes on: same SSRC, same numbering. */
  use(payloadType: number, telephoneEventType: number | undefined): void {
    this.#header.payloadType = payloadType;
    this.#telephoneEventType = telephoneEventType;
  }

  /** Queues one telephone event (0-15: see `eventOfDigit`). @returns false: the peer takes none, or too many wait */
  sendEvent(event: number, durationMs: number): boolean {
    if (this.#telephoneEventType === undefined || this.#queue.length >= MAX_QUEUED_DIGITS) return false;
    const samples = Math.max(1, Math.round((durationMs * this.#clockRate) / 1000));
    this.#queue.push({ event, samples });
    return true;
  }

  /**
   * Writes the packet that is due: `payload`, or the state of a digit in its place.
   * @param samples length of this interval
   * @param marker first packet after silence; set by itself after `skip`
   * @returns the packet's length; 0: `target` is too small, nothing was counted
   */
  next(target: Buffer, payload: Uint8Array, samples: number, marker = false): number {
    if (target.length < RTP_HEADER_BYTES + Math.max(payload.length, TELEPHONE_EVENT_BYTES)) return 0;
    const digit = this.#digitDue(samples);
    if (digit !== undefined) return this.#sendDigit(target, digit, samples);
    const header = this.#header;
    header.marker = marker || !this.#talking;
    this.#talking = true;
    const length = writeRtp(target, header, payload);
    this.#count(payload.length);
    this.#advance(samples);
    return length;
  }

  /** An interval in which nothing is sent, except a digit that is due. @returns as `next`, 0: nothing to send */
  skip(target: Buffer, samples: number): number {
    const digit = this.#digitDue(samples);
    if (digit !== undefined && target.length >= RTP_HEADER_BYTES + TELEPHONE_EVENT_BYTES) {
      return this.#sendDigit(target, digit, samples);
    }
    this.#talking = false;
    this.#advance(samples);
    return 0;
  }

  /** Time in which nothing could be sent, not even a digit. */
  pass(samples: number): void {
    this.#talking = false;
    this.#advance(samples);
  }

  #digitDue(samples: number): ActiveDigit | undefined {
    if (this.#active !== undefined) return this.#active;
    if (this.#gap > 0) {
      this.#gap = Math.max(0, this.#gap - samples);
      return undefined;
    }
    const digit = this.#queue.shift();
    if (digit === undefined) return undefined;
    this.#active = {
      event: digit.event,
      start: this.#header.timestamp,
      elapsed: 0,
      remaining: digit.samples,
      fresh: true,
      ends: END_PACKETS,
    };
    return this.#active;
  }

  /** RFC 4733 §2.5.1: one timestamp for the whole event, a growing duration, the end told three times. */
  #sendDigit(target: Buffer, digit: ActiveDigit, samples: number): number {
    if (digit.remaining > 0) this.#prolong(digit, samples);
    const ended = digit.remaining === 0;
    const state: TelephoneEvent = { event: digit.event, end: ended, volume: VOLUME_DBM0, duration: digit.elapsed };
    writeTelephoneEvent(this.#eventPayload, state);
    const header = this.#header;
    const { payloadType, timestamp } = header;
    header.payloadType = this.#telephoneEventType ?? payloadType;
    header.timestamp = digit.start;
    header.marker = digit.fresh;
    const length = writeRtp(target, header, this.#eventPayload);
    header.payloadType = payloadType;
    header.timestamp = timestamp;
    digit.fresh = false;
    this.#count(TELEPHONE_EVENT_BYTES);
    this.#advance(samples);
    if (ended && --digit.ends === 0) {
      this.#active = undefined;
      this.#gap = (DIGIT_GAP_MS * this.#clockRate) / 1000;
      this.#talking = false;
    }
    return length;
  }

  /** RFC 4733 §2.5.1.3: what the 16 bits of a duration cannot hold goes on as a new segment, without marker. */
  #prolong(digit: ActiveDigit, samples: number): void {
    const step = Math.min(samples, digit.remaining);
    if (digit.elapsed + step > MAX_DURATION) {
      digit.start = (digit.start + digit.elapsed) >>> 0;
      digit.elapsed = 0;
    }
    digit.elapsed += step;
    digit.remaining -= step;
  }

  #count(octets: number): void {
    this.#packets++;
    this.#octets += octets;
    this.#header.sequence = (this.#header.sequence + 1) & 0xffff;
  }

  #advance(samples: number): void {
    this.#header.timestamp = (this.#header.timestamp + samples) >>> 0;
  }
}
