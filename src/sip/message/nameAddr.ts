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
import { paramsEnd } from './params.js';
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

function bracketedAt(value: string, less: number, display: string | undefined): NameAddr | undefined {
  const start = less + 1;
  const end = skipClass(value, start, BRACKETED);
  if (value.charCodeAt(end) !== GREATER || !hasScheme(value, start, end)) return undefined;
  const rest = skipSpace(value, end + 1);
  if (paramsEnd(value, rest) !== value.length) return undefined;
  return {
    display,
    uri: value.slice(start, end),
    params: rest < value.length ? sliceTrimmed(value, rest, value.length) : '',
    bracketed: true,
  };
}

function addrSpecAt(value: string, start: number): NameAddr | undefined {
  const end = skipClass(value, start, BARE);
  if (!hasScheme(value, start, end)) return undefined;
  const rest = skipSpace(value, end);
  if (paramsEnd(value, rest) !== value.length) return undefined;
  return {
    display: undefined,
    uri: value.slice(start, end),
    params: rest < value.length ? sliceTrimmed(value, rest, value.length) : '',
    bracketed: false,
  };
}

/**
 * Parses one value. Strict where leniency would hide who is meant: an unterminated quote, display names that are
 * neither quoted nor tokens, spaces within the URI, a bare URI with `?`, empty parameters, a second value: undefined.
 */
export function parseNameAddr(value: string): NameAddr | undefined {
  const start = skipSpace(value, 0);
  const c = value.charCodeAt(start);
  if (c === LESS) return bracketedAt(value, start, undefined);
  if (c === QUOTE) {
    const end = skipQuoted(value, start);
    if (end < 0) return undefined;
    const less = skipSpace(value, end);
    return value.charCodeAt(less) === LESS ? bracketedAt(value, less, value.slice(start, end)) : undefined;
  }
  let i = start;
  while (i < value.length) {
    const x = value.charCodeAt(i);
    if ((CLASS[x]! & TOKEN) === 0 && x !== SP && x !== TAB) break;
    i++;
  }
  if (i < value.length && value.charCodeAt(i) === LESS) return bracketedAt(value, i, sliceTrimmed(value, start, i));
  return addrSpecAt(value, start);
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
  if (!value.includes(',')) return parseNameAddr(value) !== undefined;
  let good = true;
  eachElement(value, (start, end) => {
    good &&= parseNameAddr(value.slice(start, end)) !== undefined;
  });
  return good;
}
