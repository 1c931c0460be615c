import {
  BACKSLASH,
  BARE,
  BRACKETED,
  CLASS,
  COLON,
  COMMA,
  GREATER,
  LESS,
  QUOTE,
  skipClass,
  skipQuoted,
  skipSpace,
  SP,
  TAB,
  TOKEN,
} from './chars.js';
import { ParamCursor } from './params.js';
import { sliceTrimmed } from './text.js';

export { param } from './params.js';

/** From, To, Contact, Route ... : name-addr or addr-spec with header parameters (RFC 3261 §20.10). */
export interface NameAddr {
  /** As written, quotes included (see `unquote`); undefined when absent. */
  readonly display: string | undefined;
  /** As written, without brackets. Only its scheme and characters have been checked. */
  readonly uri: string;
  /** Header parameters as written, '' or beginning with `;`. */
  readonly params: string;
  readonly bracketed: boolean;
  /** The `tag` parameter, known from the parsing. */
  readonly tag?: string | undefined;
}

/** True when `text[start, end)` begins with `scheme:` and something follows. */
function hasScheme(text: string, start: number, end: number): boolean {
  const first = text.charCodeAt(start) | 32;
  if (first < 97 || first > 122) return false;
  for (let i = start + 1; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === COLON) return i + 1 < end;
    // scheme = ALPHA *(ALPHA / DIGIT / "+" / "-" / "."): a subset of token without harm in the rest of it.
    if ((CLASS[c]! & TOKEN) === 0) return false;
  }
  return false;
}

/** One for the thread: no walk begins within another. */
const cursor = new ParamCursor();

/** Checks the header parameters of `text[at, end)`. @returns null when malformed, else the tag among them, if any */
function tagOf(text: string, at: number, end: number): string | undefined | null {
  cursor.over(text, at, end);
  let tag: string | undefined;
  let step = cursor.next();
  for (; step === 1; step = cursor.next()) {
    if (tag === undefined && cursor.nameEnd - cursor.nameStart === 3 && cursor.is('tag')) tag = cursor.value();
  }
  return step === 0 && cursor.at === end ? tag : null;
}

/** name-addr whose `<` is at `less`. */
function bracketedAt(text: string, less: number, end: number, display: string | undefined): NameAddr | undefined {
  const start = less + 1;
  const uriEnd = skipClass(text, start, BRACKETED);
  if (uriEnd >= end || text.charCodeAt(uriEnd) !== GREATER || !hasScheme(text, start, uriEnd)) return undefined;
  const rest = skipSpace(text, uriEnd + 1);
  const tag = rest >= end ? undefined : tagOf(text, rest, end);
  if (tag === null) return undefined;
  return { display, uri: text.slice(start, uriEnd), params: sliceTrimmed(text, rest, end), bracketed: true, tag };
}

/** addr-spec at `start`. */
function bareAt(text: string, start: number, end: number): NameAddr | undefined {
  const uriEnd = skipClass(text, start, BARE);
  if (uriEnd > end || !hasScheme(text, start, uriEnd)) return undefined;
  const rest = skipSpace(text, uriEnd);
  const tag = rest >= end ? undefined : tagOf(text, rest, end);
  if (tag === null) return undefined;
  const params = sliceTrimmed(text, rest, end);
  return { display: undefined, uri: text.slice(start, uriEnd), params, bracketed: false, tag };
}

/**
 * Parses one value. Strict where leniency would hide who is meant: an unterminated quote, display names that are
 * neither quoted nor tokens, spaces within the URI, a bare URI with `?`, empty parameters, a second value: undefined.
 */
export function parseNameAddr(value: string): NameAddr | undefined {
  return nameAddrIn(value, 0, value.length);
}

/** The same for a value at `text[from, end)`, which a character that no address contains must follow. */
export function nameAddrIn(text: string, from: number, end: number): NameAddr | undefined {
  const start = skipSpace(text, from);
  const c = text.charCodeAt(start);
  if (c === LESS) return bracketedAt(text, start, end, undefined);
  if (c === QUOTE) {
    const quoteEnd = skipQuoted(text, start, end);
    if (quoteEnd < 0) return undefined;
    const less = skipSpace(text, quoteEnd);
    if (less >= end || text.charCodeAt(less) !== LESS) return undefined;
    return bracketedAt(text, less, end, text.slice(start, quoteEnd));
  }
  let i = start;
  while (i < end) {
    const x = text.charCodeAt(i);
    if ((CLASS[x]! & TOKEN) === 0 && x !== SP && x !== TAB) break;
    i++;
  }
  if (i < end && text.charCodeAt(i) === LESS) return bracketedAt(text, i, end, sliceTrimmed(text, start, i));
  return bareAt(text, start, end);
}

/**
 * Splits a header value at its commas, those within quotes and angle brackets excepted. Elements are trimmed; empty
 * ones are left out.
 */
export function splitList(value: string): string[] {
  if (!value.includes(',')) {
    const only = sliceTrimmed(value, 0, value.length);
    return only === '' ? [] : [only];
  }
  const out: string[] = [];
  eachElement(value, (start, end) => {
    const element = sliceTrimmed(value, start, end);
    if (element !== '') out.push(element);
  });
  return out;
}

/** Calls back with the borders of each element, empty ones too. */
function eachElement(value: string, element: (start: number, end: number) => void): void {
  let start = 0;
  let quoted = false;
  let inUri = false;
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if (quoted) {
      if (c === BACKSLASH) i++;
      else if (c === QUOTE) quoted = false;
    } else if (c === QUOTE) quoted = !inUri;
    else if (c === LESS) inUri = true;
    else if (c === GREATER) inUri = false;
    else if (c === COMMA && !inUri) {
      element(start, i);
      start = i + 1;
    }
  }
  element(start, value.length);
}

/** True when the value is one or more well-formed addresses, separated by commas: no empty elements. */
export function isAddressList(value: string): boolean {
  let good = true;
  eachElement(value, (start, end) => {
    good &&= nameAddrIn(value, start, end) !== undefined;
  });
  return good;
}
