import { type RtpPacket, sequenceDelta, timestampDelta, uint16At } from '../rtp/packet.js';

/**
 * RFC 4733 §2.3:
 *
 *     0                   1                   2                   3
 *     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    |     event     |E|R| volume    |          duration             |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
export interface TelephoneEvent {
  /** 0-9, 10 = *, 11 = #, 12-15 = A-D; others are not keys. */
  readonly event: number;
  readonly end: boolean;
  /** Power of the tone as -dBm0, 0-63. */
  readonly volume: number;
  /** In samples since the packet's timestamp. */
  readonly duration: number;
}

/** One key, pressed once. */
export interface KeyPress {
  /** 0-9 * # A-D */
  readonly digit: string;
  readonly durationMs: number;
}

export const TELEPHONE_EVENT_BYTES = 4;
const DIGITS = '0123456789*#ABCD';

export const digitOfEvent = (event: number): string | undefined => DIGITS[event];
/** The event of a key (letters in either case); undefined when it is none. */
export function eventOfDigit(digit: string): number | undefined {
  const event = digit.length === 1 ? DIGITS.indexOf(digit.toUpperCase()) : -1;
  return event < 0 ? undefined : event;
}

/** The first event of a payload; undefined when it is too short. */
export function parseTelephoneEvent(payload: Buffer): TelephoneEvent | undefined {
  if (payload.length < TELEPHONE_EVENT_BYTES) return undefined;
  const flags = payload[1] as number;
  return {
    event: payload[0] as number,
    end: (flags & 0x80) !== 0,
    volume: flags & 0x3f,
    duration: uint16At(payload, 2),
  };
}

export function writeTelephoneEvent(target: Buffer, event: TelephoneEvent): void {
  target[0] = event.event;
  target[1] = (event.end ? 0x80 : 0) | (event.volume & 0x3f);
  target[2] = event.duration >>> 8;
  target[3] = event.duration;
}

interface Press {
  readonly event: number;
  /** Timestamp of the first segment. */
  readonly start: number;
  /** Timestamp of the latest packet's event or segment. */
  segment: number;
  /** Samples before the current segment. */
  before: number;
  duration: number;
  sequence: number;
  lastMs: number;
}

const NONE: readonly KeyPress[] = [];
/** A key whose packets stop coming is released: three updates at the slowest usual rate (50 ms). */
const RELEASE_AFTER_MS = 150;
/** Events that were told, to know their late copies by. */
const REMEMBERED = 8;
const MAX_SEGMENT = 0xffff;
/** A copy of an event that was not told yet may be this late, in seconds of its clock. */
const LATE_S = 1;

/**
 * Turns the packets of a telephone-event stream into key presses: one for each key, whichever of its packets come, in
 * whatever order, however often. It is told when the key is released, so that its duration is known; call `poll`
 * regularly, or a press whose end packets were all lost waits for the next.
 */
export class TelephoneEventReceiver {
  readonly #clockRate: number;
  #ssrc: number | undefined;
  #current: Press | undefined;
  readonly #told: Press[] = [];

  constructor(clockRate = 8000) {
    this.#clockRate = clockRate;
  }

  /** The key that is down now. */
  get pressed(): string | undefined {
    return this.#current === undefined ? undefined : digitOfEvent(this.#current.event);
  }

  /** Takes a packet of the telephone-event payload type. @returns keys released by it: mostly none, at most two */
  push(packet: RtpPacket, nowMs: number): readonly KeyPress[] {
    const state = parseTelephoneEvent(packet.payload);
    if (state === undefined || digitOfEvent(state.event) === undefined) return NONE;
    const released: KeyPress[] = [];
    if (packet.ssrc !== this.#ssrc) {
      this.#release(released);
      this.#told.length = 0;
      this.#ssrc = packet.ssrc;
    }
    if (this.#isCopy(packet, state)) return released.length === 0 ? NONE : released;
    if (this.#current === undefined || !continues(this.#current, packet, state)) {
      if (this.#current !== undefined && timestampDelta(packet.timestamp, this.#current.segment) < 0) {
        return this.#stray(packet, state, released);
      }
      this.#release(released);
      this.#current = begin(packet, state, nowMs);
    }
    const press = this.#current as Press;
    update(press, packet, state);
    press.lastMs = nowMs;
    if (state.end) this.#release(released);
    return released;
  }

  /** @returns the key whose packets have stopped coming, once */
  poll(nowMs: number): readonly KeyPress[] {
    if (this.#current === undefined || nowMs - this.#current.lastMs < RELEASE_AFTER_MS) return NONE;
    const released: KeyPress[] = [];
    this.#release(released);
    return released;
  }

  #release(into: KeyPress[]): void {
    const press = this.#current;
    if (press === undefined) return;
    this.#current = undefined;
    this.#tell(press, into);
  }

  #tell(press: Press, into: KeyPress[]): void {
    this.#told.push(press);
    if (this.#told.length > REMEMBERED) this.#told.shift();
    const durationMs = Math.round(((press.before + press.duration) * 1000) / this.#clockRate);
    into.push({ digit: digitOfEvent(press.event) as string, durationMs });
  }

  /** A packet of a press that was told already. */
  #isCopy(packet: RtpPacket, state: TelephoneEvent): boolean {
    return this.#told.some((press) => {
      if (press.event !== state.event) return false;
      const sinceStart = timestampDelta(packet.timestamp, press.start);
      if (sinceStart >= 0 && timestampDelta(packet.timestamp, press.segment) <= 0) return true;
      // Senders that move the timestamp on with each packet repeat the end under new ones.
      const ahead = sequenceDelta(packet.sequence, press.sequence);
      return state.end && !packet.marker && state.duration === press.duration && Math.abs(ahead) <= 2;
    });
  }

  /** Came after a later key had begun, and is the first packet of its own: told by itself, without touching that key. */
  #stray(packet: RtpPacket, state: TelephoneEvent, released: KeyPress[]): readonly KeyPress[] {
    const current = this.#current as Press;
    if (timestampDelta(current.segment, packet.timestamp) > LATE_S * this.#clockRate) return released;
    const press = begin(packet, state, current.lastMs);
    update(press, packet, state);
    this.#tell(press, released);
    return released;
  }
}

const begin = (packet: RtpPacket, state: TelephoneEvent, nowMs: number): Press => ({
  event: state.event,
  start: packet.timestamp,
  segment: packet.timestamp,
  before: 0,
  duration: 0,
  sequence: packet.sequence,
  lastMs: nowMs,
});

/** True when the packet belongs to the key that is down. */
function continues(press: Press, packet: RtpPacket, state: TelephoneEvent): boolean {
  if (state.event !== press.event) return false;
  const moved = timestampDelta(packet.timestamp, press.segment);
  if (moved === 0) return true;
  if (moved < 0) return timestampDelta(packet.timestamp, press.start) >= 0;
  if (packet.marker) return false;
  // RFC 4733 §2.5.1.3: a long press goes on in a new segment where the last one was full.
  if (moved <= MAX_SEGMENT && press.duration > MAX_SEGMENT / 2 && moved >= press.duration) return true;
  // Against §2.5.1.2, some senders move the timestamp on with each update; the growing duration gives them away.
  return state.duration > press.duration && sequenceDelta(packet.sequence, press.sequence) <= 3;
}

function update(press: Press, packet: RtpPacket, state: TelephoneEvent): void {
  const moved = timestampDelta(packet.timestamp, press.segment);
  if (moved < 0) return;
  if (moved > 0 && state.duration <= press.duration) {
    press.before += moved;
    press.duration = state.duration;
  } else if (state.duration > press.duration) press.duration = state.duration;
  press.segment = packet.timestamp;
  if (sequenceDelta(packet.sequence, press.sequence) > 0) press.sequence = packet.sequence;
}
