import { type Result, err, ok } from '../kernel/index.js';

/** Why a byte stream is no frame stream. Nothing after it can be trusted: close the connection. */
export type FrameFault = 'bad_length' | 'frame_too_long';

const HASH = 0x23;
const ZERO = 0x30;
const NINE = 0x39;
const MAX_LENGTH_DIGITS = 10;

/**
 * Cuts a byte stream into frames `<decimal byte count>#<payload>`. Each byte is looked at once and copied at most
 * once, however the stream was cut.
 */
export class FrameReader {
  /** Longest payload accepted, in bytes. May be raised between frames. */
  maxPayloadBytes: number;
  #length = 0;
  #digits = 0;
  #payload: Buffer | undefined;
  #filled = 0;
  #broken: FrameFault | undefined;

  constructor(maxPayloadBytes: number) {
    this.maxPayloadBytes = maxPayloadBytes;
  }

  /**
   * Calls `onPayload` for each payload that `chunk` completes. The buffer may share memory with `chunk`.
   * @param onPayload returns false to stop: the rest is discarded and the reader is dead.
   * @returns an error after which every further call fails alike.
   */
  push(chunk: Buffer, onPayload: (payload: Buffer) => boolean): Result<void, FrameFault> {
    let at = 0;
    while (at < chunk.length && this.#broken === undefined) {
      if (this.#payload !== undefined) {
        const taken = Math.min(chunk.length - at, this.#payload.length - this.#filled);
        chunk.copy(this.#payload, this.#filled, at, at + taken);
        this.#filled += taken;
        at += taken;
        if (this.#filled < this.#payload.length) break;
        const payload = this.#payload;
        this.#payload = undefined;
        if (!onPayload(payload)) return this.#fail('bad_length');
        continue;
      }
      const byte = chunk[at++] as number;
      if (byte !== HASH) {
        this.#digit(byte);
        continue;
      }
      const length = this.#endOfLength();
      if (length === 0) break;
      if (chunk.length - at < length) {
        this.#payload = Buffer.allocUnsafe(length);
        this.#filled = 0;
      } else {
        at += length;
        if (!onPayload(chunk.subarray(at - length, at))) return this.#fail('bad_length');
      }
    }
    return this.#broken === undefined ? ok(undefined) : err(this.#broken);
  }

  #digit(byte: number): void {
    if (byte < ZERO || byte > NINE || ++this.#digits > MAX_LENGTH_DIGITS) {
      this.#broken = 'bad_length';
      return;
    }
    this.#length = this.#length * 10 + (byte - ZERO);
    if (this.#length > this.maxPayloadBytes) this.#broken = 'frame_too_long';
  }

  /** The length just completed; 0 when there was none. */
  #endOfLength(): number {
    const length = this.#length;
    if (this.#digits === 0 || length === 0) this.#broken = 'bad_length';
    this.#length = 0;
    this.#digits = 0;
    return this.#broken === undefined ? length : 0;
  }

  #fail(fault: FrameFault): Result<void, FrameFault> {
    this.#broken = fault;
    return err(fault);
  }
}

/**
 * One frame, length included.
 * @param leader first line without line end; a byte string (latin1).
 * @param message SIP message that follows it, if any.
 */
export function encodeFrame(leader: string, message?: Buffer): Buffer {
  if (message === undefined) return Buffer.from(`${leader.length}#${leader}`, 'latin1');
  const head = Buffer.from(`${leader.length + 2 + message.length}#${leader}\r\n`, 'latin1');
  return Buffer.concat([head, message], head.length + message.length);
}

/** A payload taken apart: the `|`-separated tokens of its first line, and what follows the line. */
export interface Frame {
  readonly tokens: readonly string[];
  /** Bytes after the first line end; undefined when there is none. */
  readonly message: Buffer | undefined;
}

export function parsePayload(payload: Buffer): Frame {
  const lineEnd = payload.indexOf('\r\n');
  if (lineEnd < 0) return { tokens: payload.toString('latin1').split('|'), message: undefined };
  return { tokens: payload.toString('latin1', 0, lineEnd).split('|'), message: payload.subarray(lineEnd + 2) };
}
