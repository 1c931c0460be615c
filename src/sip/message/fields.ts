import { CLASS, COLON, CR, decimal, LF, LOWER, QUOTE, BACKSLASH, skipSpace, SP, TAB, TOKEN } from './chars.js';
import {
  type FieldName,
  findField,
  findPrefix,
  HOT_CONTACT,
  HOT_CONTENT_LENGTH,
  HOT_NAMES,
  HOT_ONCE,
  nextHash,
} from './headerNames.js';
import { DEFAULT_LIMITS } from './limits.js';
import { sliceTrimmed, trimSpace } from './text.js';

/** Header fields as the scanner found them. */
export interface ScannedFields {
  names: string[];
  values: string[];
  /** Where each value begins in the text; -1 for a folded one, which is not there as it is. */
  starts: Int32Array;
  /** Index of the first field of each HOT_ name; -1 when absent. */
  readonly first: Int32Array;
  /** True when there are several Contact or several Content-Length fields. */
  severalContacts: boolean;
  severalLengths: boolean;
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

/** One for the thread: whoever has a head scanned is done with it, but for names and values, before the next one is. */
const found: ScannedFields = {
  names: [],
  values: [],
  starts: new Int32Array(DEFAULT_LIMITS.maxHeaders),
  first: new Int32Array(HOT_NAMES),
  severalContacts: false,
  severalLengths: false,
  end: 0,
  flaw: '',
  flawAt: '',
};

/** For a head of up to so many fields. */
const nothingFound = (maxHeaders: number): ScannedFields => {
  found.names = [];
  found.values = [];
  if (found.starts.length < maxHeaders) found.starts = new Int32Array(maxHeaders);
  found.first.fill(-1);
  found.severalContacts = found.severalLengths = false;
  found.flaw = found.flawAt = '';
  return found;
};

const isBlank = (octet: number | undefined): boolean => octet === SP || octet === TAB;

/** A head as text, to cut from, and as the octets it was decoded from, to read: octets read twice as fast. */
export interface HeadText {
  readonly text: string;
  /** `octets[i]` is `text.charCodeAt(i)`. */
  readonly octets: Uint8Array;
}

/**
 * Scans header fields from `start` to the empty line, in one pass. Malformed lines are noted and skipped, so that
 * what remains may serve to answer with.
 * @returns what the next call changes, `names` and `values` excepted: those are the caller's
 */
export function scanFields(head: HeadText, start: number, maxHeaders: number): ScannedFields {
  const { text, octets } = head;
  const fields = nothingFound(maxHeaders);
  fields.end = text.length;
  let i = start;
  for (let lines = 0; i < text.length; lines++) {
    if (octets[i] === CR && octets[i + 1] === LF) {
      fields.end = i + 2;
      return fields;
    }
    if (lines >= maxHeaders) {
      // Where the head ends no longer matters: the message is refused.
      note(fields, 'too_many_headers', '');
      return fields;
    }
    const known = findPrefix(octets, i);
    i = known === undefined ? scanOddName(fields, head, i) : scanValue(fields, head, known, i + known.prefix.length);
  }
  note(fields, 'head_not_terminated', '');
  return fields;
}

/** A field whose name is not written as registered. @returns where the next field begins */
function scanOddName(fields: ScannedFields, head: HeadText, start: number): number {
  const { text, octets } = head;
  let hash = 0;
  let at = start;
  for (; at < text.length; at++) {
    const c = octets[at]!;
    if ((CLASS[c]! & TOKEN) === 0) break;
    hash = nextHash(hash, LOWER[c]!);
  }
  const nameEnd = at;
  // RFC 3261 §25.1 HCOLON allows blanks before the colon: the name is without them, or `Via :` could hide a Via.
  at = skipSpace(text, at);
  if (nameEnd > start && text.charCodeAt(at) === COLON) {
    const known = findField(text, start, nameEnd, hash);
    return scanValue(fields, head, known ?? text.slice(start, nameEnd), at + 1);
  }
  let lf = text.indexOf('\n', start);
  if (lf < 0) lf = text.length;
  note(fields, 'malformed_header', text.slice(start, Math.min(lf, start + 40)));
  return lf + 1;
}

/** The value after the colon. @returns where the next field begins */
function scanValue(fields: ScannedFields, head: HeadText, name: FieldName | string, at: number): number {
  const { text, octets } = head;
  let end = crlfAfter(head, at);
  let lf = end + 1;
  if (end < 0) {
    lf = text.indexOf('\n', at);
    if (lf < 0) {
      note(fields, 'head_not_terminated', '');
      lf = text.length;
    }
    end = lineBreak(fields, text, at, lf);
  }
  const index = fields.names.length;
  if (typeof name === 'string') fields.names.push(name);
  else {
    fields.names.push(name.canonical);
    if (name.hot >= 0) noteHot(fields, name, index);
  }
  let start = at;
  while (start < end && isBlank(octets[start])) start++;
  let stop = end;
  while (stop > start && isBlank(octets[stop - 1])) stop--;
  const value = text.slice(start, stop);
  if (lf + 1 < text.length && isBlank(octets[lf + 1])) {
    const folded = unfold(fields, text, value, lf + 1);
    fields.starts[index] = -1;
    fields.values.push(folded.value);
    return folded.next;
  }
  fields.starts[index] = start;
  fields.values.push(value);
  return lf + 1;
}

function noteHot(fields: ScannedFields, name: FieldName, index: number): void {
  const { hot } = name;
  if (fields.first[hot]! < 0) fields.first[hot] = index;
  else if (hot < HOT_ONCE) note(fields, 'repeated_header', name.canonical);
  else if (hot === HOT_CONTACT) fields.severalContacts = true;
  else if (hot === HOT_CONTENT_LENGTH) fields.severalLengths = true;
}

/** @returns where the line's CRLF is; -1 where a CR or LF that stands alone comes first, or none */
function crlfAfter({ text, octets }: HeadText, from: number): number {
  const last = text.length - 1;
  for (let i = from; i < last; i++) {
    const c = octets[i]!;
    if (c > CR) continue;
    if (c === CR) return octets[i + 1] === LF ? i : -1;
    if (c === LF) return -1;
  }
  return -1;
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
  while (i < text.length && isBlank(text.charCodeAt(i))) {
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
  const first = fields.first[HOT_CONTENT_LENGTH]!;
  if (first < 0) return -1;
  const length = lengthAt(fields, first);
  if (!fields.severalLengths) return length;
  for (let i = first + 1; i < fields.names.length; i++) {
    if (fields.names[i] === 'Content-Length' && lengthAt(fields, i) !== length) return -2;
  }
  return length;
}

function lengthAt(fields: ScannedFields, i: number): number {
  const value = fields.values[i]!;
  const length = decimal(value, 0, value.length, 0x7fff_ffff);
  return length < 0 ? -2 : length;
}
