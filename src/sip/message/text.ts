import { BACKSLASH, CR, LF, QUOTE, skipSpace, SP, TAB } from './chars.js';

/** Faster than `toString('latin1')` and `write(.., 'latin1')`: no argument juggling. Present in every Node; not in its types. */
interface Latin1Buffer extends Buffer {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
}

/** Octets as a byte string: one char per octet, 0-255. */
export function byteString(data: Buffer, start: number, end: number): string {
  return (data as Latin1Buffer).latin1Slice(start, end);
}

/** Writes a byte string; returns the octets written. */
export function writeByteString(target: Buffer, text: string, offset: number): number {
  return (target as Latin1Buffer).latin1Write(text, offset, text.length);
}

/**
 * A copy of a byte string that holds nothing but itself. A piece of a parsed message keeps the whole message's text
 * alive (V8 slices by reference): whoever stores a piece for the life of a dialog stores `detach(piece)`.
 */
export function detach(text: string): string {
  // Slices under 13 chars are copies already.
  if (text.length < 13) return text;
  // Not of Node's pool: what is kept of its pieces would keep those beside them.
  const through = text.length <= room.length ? room : Buffer.allocUnsafeSlow(text.length);
  writeByteString(through, text, 0);
  return byteString(through, 0, text.length);
}

/** One for the thread: what is in it is read at once. */
const room = Buffer.allocUnsafeSlow(8192);

/** Text to byte string: UTF-8. */
export function utf8ToBytes(text: string): string {
  const data = Buffer.from(text, 'utf8');
  return byteString(data, 0, data.length);
}

/** Byte string to text for people: UTF-8, replacement characters where it is not. */
export function bytesToUtf8(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/**
 * Makes text safe as (part of) a header line: line ends become spaces, chars beyond one octet become UTF-8. Without
 * this a value from elsewhere could start a header of its own ("\r\n", or U+0A0D whose low octet is CR).
 */
export function lineSafe(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === CR || c === LF || c > 255) return repairLine(text);
  }
  return text;
}

function repairLine(text: string): string {
  let out = '';
  for (const char of text) {
    const c = char.codePointAt(0)!;
    if (c > 255) out += utf8ToBytes(char);
    else out += c === CR || c === LF ? ' ' : char;
  }
  return out;
}

/** Without leading and trailing spaces and tabs. */
export function trimSpace(text: string): string {
  return sliceTrimmed(text, 0, text.length);
}

/** `text[start, end)` without leading and trailing spaces and tabs. */
export function sliceTrimmed(text: string, start: number, end: number): string {
  start = skipSpace(text, start);
  while (end > start) {
    const c = text.charCodeAt(end - 1);
    if (c !== SP && c !== TAB) break;
    end--;
  }
  return start >= end ? '' : text.slice(start, end);
}

/** A quoted-string without its quotes, quoted-pairs resolved; other text as it is. */
export function unquote(text: string): string {
  if (text.length < 2 || text.charCodeAt(0) !== QUOTE || text.charCodeAt(text.length - 1) !== QUOTE) return text;
  const inner = text.slice(1, -1);
  let from = inner.indexOf('\\');
  if (from < 0) return inner;
  let out = '';
  let done = 0;
  while (from >= 0 && from + 1 < inner.length) {
    out += inner.slice(done, from) + inner.charAt(from + 1);
    done = from + 2;
    from = inner.indexOf('\\', done);
  }
  return out + inner.slice(done);
}

/** Byte string to quoted-string (RFC 3261 §25.1): `"` and `\` escaped. */
export function quote(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE || c === BACKSLASH) out += '\\';
    out += text.charAt(i);
  }
  return out + '"';
}
