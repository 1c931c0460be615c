import { decimal, skipClass, skipSpace, TOKEN } from './chars.js';

export interface CSeq {
  readonly seq: number;
  readonly method: string;
}

/** `1*DIGIT LWS Method`. Senders stay under 2**31 (RFC 3261 §8.1.1.5); up to 2**32-1 is understood. */
export function parseCSeq(value: string): CSeq | undefined {
  return cseqIn(value, 0, value.length);
}

/** The same for a value at `text[from, end)`. */
export function cseqIn(text: string, from: number, end: number): CSeq | undefined {
  const start = skipSpace(text, from);
  const space = skipClass(text, start, TOKEN);
  const methodStart = skipSpace(text, space);
  const methodEnd = skipClass(text, methodStart, TOKEN);
  const seq = decimal(text, start, space, 0xffff_ffff);
  if (seq < 0 || methodStart === space || methodEnd === methodStart || methodEnd > end) return undefined;
  return skipSpace(text, methodEnd) >= end ? { seq, method: text.slice(methodStart, methodEnd) } : undefined;
}
