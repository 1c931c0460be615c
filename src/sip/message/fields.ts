import { CLASS, COLON, CR, decimal, LF, LOWER, QUOTE, BACKSLASH, SP, TAB, TOKEN } from './chars.js';
import { findField, nextHash } from './headerNames.js';
import { sliceTrimmed, trimSpace } from './text.js';

/** Header fields as the scanner found them. */
export interface ScannedFields {
  readonly names: string[];
  readonly values: string[];
  /** Position after the empty line; the end of the text when there was none. */
  end: number;
  /** First thing wrong, snake_case; '' when nothing is. */
  flaw: string;
  /** The field concerned. */
  flawAt: string;
}

/** Where a text goes on at the next line, and the line's value, unfolded. */
interface Folded {
  readonly value: string;
  readonly next: number;
}

const isBlank = (text: string, i: number): boolean => {
  const c = text.charCodeAt(i);
  return c === SP || c === TAB;
};

/**
 * Scans header fields from `start` to the empty line, in one pass. Malformed lines are noted and skipped, so that
 * what remains may serve to answer with.
 */
export function scanFields(text: string, start: number, maxHeaders: number): ScannedFields {
  const fields: ScannedFields = { names: [], values: [], end: text.length, flaw: '', flawAt: '' };
  let seen = 0;
  let lines = 0;
  let i = start;
  while (i < text.length) {
    if (text.charCodeAt(i) === CR && text.charCodeAt(i + 1) === LF) {
      fields.end = i + 2;
      return fields;
    }
    if (lines++ >= maxHeaders) {
      // What ends the head no longer matters: the message is refused.
      note(fields, 'too_many_headers', '');
      return fields;
    }
    let lf = text.indexOf('\n', i);
    if (lf < 0) {
      note(fields, 'head_not_terminated', '');
      lf = text.length;
    }
    let hash = 0;
    let c = 0;
    let at = i;
    for (; at < lf; at++) {
      c = text.charCodeAt(at);
      if ((CLASS[c]! & TOKEN) === 0) break;
      hash = nextHash(hash, LOWER[c]!);
    }
    const nameEnd = at;
    // RFC 3261 §25.1 HCOLON allows blanks before the colon: the name is without them, or `Via :` could hide a Via.
    while (at < lf && (c === SP || c === TAB)) c = text.charCodeAt(++at);
    const named = nameEnd > i && at < lf && c === COLON;
    const valueEnd = lineBreak(fields, text, at, lf);
    let next = lf + 1;
    let value: string | undefined;
    if (next < text.length && isBlank(text, next)) {
      const folded = unfold(fields, text, sliceTrimmed(text, at + 1, valueEnd), next);
      value = folded.value;
      next = folded.next;
    }
    if (named) {
      const known = findField(text, i, nameEnd, hash);
      if (known !== undefined && known.once !== 0) {
        if ((seen & known.once) !== 0) note(fields, 'repeated_header', known.canonical);
        seen |= known.once;
      }
      fields.names.push(known === undefined ? text.slice(i, nameEnd) : known.canonical);
      fields.values.push(value ?? sliceTrimmed(text, at + 1, valueEnd));
    } else note(fields, 'malformed_header', text.slice(i, Math.min(lf, i + 40)));
    i = next;
  }
  note(fields, 'head_not_terminated', '');
  return fields;
}

/** @returns where the line that the LF at `lf` ends has its CR; notes a CR or LF that stands alone */
function lineBreak(fields: ScannedFields, text: string, from: number, lf: number): number {
  if (text.charCodeAt(lf - 1) !== CR) {
    if (lf < text.length) note(fields, 'bare_lf', '');
    return lf;
  }
  if (text.indexOf('\r', from) !== lf - 1) note(fields, 'bare_cr', '');
  return lf - 1;
}

/** RFC 3261 §7.3.1: a line that begins with a blank continues the one before; the break counts as one space. */
function unfold(fields: ScannedFields, text: string, first: string, start: number): Folded {
  const parts = [first];
  let i = start;
  while (i < text.length && isBlank(text, i)) {
    let lf = text.indexOf('\n', i);
    if (lf < 0) lf = text.length;
    parts.push(sliceTrimmed(text, i, lineBreak(fields, text, i, lf)));
    i = lf + 1;
  }
  return { value: trimSpace(parts.join(' ')), next: i };
}

function note(fields: ScannedFields, flaw: string, at: string): void {
  if (fields.flaw !== '') return;
  fields.flaw = flaw;
  fields.flawAt = at;
}

/**
 * NUL may stand in a head only as a quoted-pair within quotes (RFC 3261 §25.1); anywhere else it serves to make two
 * readers see two different values.
 * @returns true when a NUL before `end` stands elsewhere
 */
export function hasMisplacedNul(text: string, end: number): boolean {
  const first = text.indexOf('\0');
  if (first < 0 || first >= end) return false;
  let quoted = false;
  for (let i = 0; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === 0) return true;
    if (c === LF) quoted = false;
    else if (c === QUOTE) quoted = !quoted;
    else if (c === BACKSLASH && quoted) i++;
  }
  return false;
}

/**
 * Content-Length of the scanned fields: digits only; repeated fields must all say the same (request smuggling).
 * @returns -1 when absent, -2 when malformed or contradictory
 */
export function contentLength(fields: ScannedFields): number {
  let length = -1;
  for (let i = 0; i < fields.names.length; i++) {
    if (fields.names[i] !== 'Content-Length') continue;
    const value = fields.values[i]!;
    const here = decimal(value, 0, value.length, 0x7fff_ffff);
    if (here < 0 || (length >= 0 && length !== here)) return -2;
    length = here;
  }
  return length;
}
