import { CR, LF } from './chars.js';
import { contentLength, scanFields } from './fields.js';
import { limitsWith, type MessageLimits } from './limits.js';
import { byteString } from './text.js';

export type FramerEvent =
  /** One whole message, for `parseMessage`. */
  | { readonly type: 'message'; readonly data: Buffer }
  /** Keep-alive of RFC 5626 §3.5.1 (double CRLF): answer with a single CRLF. */
  | { readonly type: 'ping' }
  /**
   * The stream can no longer be framed. Answer 400 to what `parseMessage(data)` makes of the head, then close;
   * the framer takes nothing more. `reason`: missing_content_length, malformed_content_length, message_too_large,
   * head_too_large, or what makes the head doubtful: bare_lf, bare_cr, too_many_headers, malformed_header.
   */
  | { readonly type: 'fatal'; readonly reason: string; readonly data: Buffer };

const EMPTY = Buffer.alloc(0);
const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * Cuts a stream into messages by Content-Length (RFC 3261 §18.3). Each octet is looked at once and copied at most a
 * constant number of times, however the stream is cut into chunks. A whole message in one chunk is not copied at all.
 */
export class StreamFramer {
  private readonly limits: MessageLimits;
  private buffer: Buffer = EMPTY;
  /** Octets of `buffer` in use: [start, end). */
  private start = 0;
  private end = 0;
  /** True when `buffer` is ours to append to. */
  private owned = false;
  /** How far the end of the head has been looked for. */
  private scanned = 0;
  /** Whole length of the message whose head is complete; 0 while the head is not. */
  private needed = 0;
  /** CRLFs seen since the last message or ping. */
  private breaks = 0;
  private dead = false;

  constructor(limits?: Partial<MessageLimits>) {
    this.limits = limitsWith(limits);
  }

  /** Octets of an unfinished message; for the owner's read timeout. */
  get pending(): number {
    return this.end - this.start;
  }

  /** Takes a chunk, which must not change afterwards: messages are views into it. */
  push(chunk: Buffer): FramerEvent[] {
    const events: FramerEvent[] = [];
    if (this.dead || chunk.length === 0) return events;
    this.append(chunk);
    while (!this.dead && this.step(events));
    if (this.start === this.end || this.dead) {
      this.buffer = EMPTY;
      this.start = this.end = this.scanned = 0;
      this.owned = false;
    }
    return events;
  }

  private append(chunk: Buffer): void {
    const held = this.end - this.start;
    if (held === 0) {
      this.buffer = chunk;
      this.start = this.scanned = 0;
      this.end = chunk.length;
      this.owned = false;
      return;
    }
    if (!this.owned || this.end + chunk.length > this.buffer.length) {
      const size = Math.max(this.needed, 2 * (held + chunk.length));
      const grown = Buffer.allocUnsafeSlow(size);
      this.buffer.copy(grown, 0, this.start, this.end);
      this.buffer = grown;
      this.scanned -= this.start;
      this.start = 0;
      this.end = held;
      this.owned = true;
    }
    chunk.copy(this.buffer, this.end);
    this.end += chunk.length;
  }

  /** Takes one thing off the front; false when more octets are needed. */
  private step(events: FramerEvent[]): boolean {
    if (this.needed === 0) {
      if (this.skipBreaks(events)) return true;
      if (this.start === this.end || !this.readHead(events)) return false;
    }
    if (this.end - this.start < this.needed) return false;
    const stop = this.start + this.needed;
    events.push({ type: 'message', data: this.buffer.subarray(this.start, stop) });
    this.start = this.scanned = stop;
    this.needed = 0;
    return true;
  }

  /** Line breaks between messages; true when two of them made a ping. */
  private skipBreaks(events: FramerEvent[]): boolean {
    while (this.end - this.start >= 2 && this.buffer[this.start] === CR && this.buffer[this.start + 1] === LF) {
      this.start += 2;
      this.scanned = this.start;
      if (++this.breaks === 2) {
        this.breaks = 0;
        events.push({ type: 'ping' });
        return true;
      }
    }
    return false;
  }

  /** Looks for the end of the head; sets `needed` when it is there. */
  private readHead(events: FramerEvent[]): boolean {
    const from = Math.max(this.start, this.scanned - 3);
    const found = this.headEnd(from);
    this.scanned = this.end;
    const size = (found < 0 ? this.end : found) - this.start;
    if (size > this.limits.maxHeaderBytes) return this.die(events, 'head_too_large', this.limits.maxHeaderBytes);
    if (found < 0) return false;
    this.breaks = 0;
    const text = byteString(this.buffer, this.start, found);
    const octets = this.buffer.subarray(this.start, found);
    const line = text.indexOf('\n') + 1;
    // The same scanner as the parser's: both must agree on where a message ends.
    const fields = scanFields({ text, octets }, line, this.limits.maxHeaders);
    if (isDoubtful(fields.flaw, fields.flawAt)) return this.die(events, fields.flaw, size);
    const length = contentLength(fields);
    if (length === -1) return this.die(events, 'missing_content_length', size);
    if (length < 0) return this.die(events, 'malformed_content_length', size);
    if (size + length > this.limits.maxMessageBytes) return this.die(events, 'message_too_large', size);
    this.needed = size + length;
    return true;
  }

  private headEnd(from: number): number {
    // Our own buffer has room after `end`: what lies there is not to be searched.
    const filled = this.end === this.buffer.length ? this.buffer : this.buffer.subarray(0, this.end);
    const at = filled.indexOf(HEAD_END, from);
    return at < 0 ? -1 : at + 4;
  }

  private die(events: FramerEvent[], reason: string, size: number): false {
    events.push({ type: 'fatal', reason, data: Buffer.from(this.buffer.subarray(this.start, this.start + size)) });
    this.dead = true;
    return false;
  }
}

/**
 * Heads in which somebody else on the way may have read another Content-Length than we do, or found the end of the head
 * elsewhere: what follows on the stream would be a message to one and part of a body to the other.
 */
const isDoubtful = (flaw: string, at: string): boolean =>
  flaw === 'bare_lf' ||
  flaw === 'bare_cr' ||
  flaw === 'too_many_headers' ||
  (flaw === 'malformed_header' && LENGTH_LIKE.test(at));

/** A line that is no field to us, but may be a Content-Length to a lenient reader. */
const LENGTH_LIKE = /^[^a-z]{0,8}(?:content.?length|l[^a-z0-9-])/i;
