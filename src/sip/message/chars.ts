/**
 * Character classes of RFC 3261 §25.1, one table look-up per octet: the scanners of this folder use no regular
 * expressions. They take a text and borders rather than a piece of it: reading a slice char by char costs three times
 * as much as reading the flat text it was cut from.
 */

/** token (header names, methods, parameter names, transports) */
export const TOKEN = 1;
/** user and password part of a SIP URI, liberal: any visible octet but `<`, `>`, `"`, `@`, `%` (checked apart) */
export const USER = 2;
/** host name and IPv4 address, with the underscore that people use */
export const HOST = 4;
/** URI parameters and headers after the host, liberal like USER */
export const URI_TAIL = 8;
/** unquoted value of a header parameter */
export const VALUE = 16;
export const HEX = 32;
/** a URI between angle brackets, whatever its scheme */
export const BRACKETED = 64;
/** a URI without angle brackets: ends at `;`, and must have neither comma nor question mark (RFC 3261 §20.10) */
export const BARE = 128;

export const TAB = 9;
export const LF = 10;
export const CR = 13;
export const SP = 32;
export const QUOTE = 34;
export const COMMA = 44;
export const DOT = 46;
export const SLASH = 47;
export const COLON = 58;
export const SEMI = 59;
export const LESS = 60;
export const EQUAL = 61;
export const GREATER = 62;
export const AT = 64;
export const BRACKET_OPEN = 91;
export const BACKSLASH = 92;

const ALPHANUM = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Bits of the classes above, by octet. */
export const CLASS = new Uint8Array(256);
/** Lower case of ASCII letters, by octet. */
export const LOWER = new Uint8Array(256);

const mark = (chars: string, bit: number): void => {
  for (let i = 0; i < chars.length; i++) CLASS[chars.charCodeAt(i)]! |= bit;
};
const markVisibleBut = (excluded: string, bit: number): void => {
  for (let c = 0x21; c < 256; c++) {
    if (c !== 0x7f && !excluded.includes(String.fromCharCode(c))) CLASS[c]! |= bit;
  }
};

mark(`${ALPHANUM}-.!%*_+\`'~`, TOKEN);
mark(`${ALPHANUM}-._`, HOST);
mark('0123456789abcdefABCDEF', HEX);
markVisibleBut('<>"@', USER);
markVisibleBut('<>"@', URI_TAIL);
markVisibleBut('<>";,', VALUE);
markVisibleBut('<>"', BRACKETED);
markVisibleBut('<>";,?', BARE);
for (let c = 0; c < 256; c++) LOWER[c] = c >= 65 && c <= 90 ? c + 32 : c;

/** First position at or after `i` that is not a space or tab. */
export function skipSpace(text: string, i: number): number {
  while (i < text.length) {
    const c = text.charCodeAt(i);
    if (c !== SP && c !== TAB) break;
    i++;
  }
  return i;
}

/** First position at or after `i` whose octet lacks the class. */
export function skipClass(text: string, i: number, bit: number): number {
  while (i < text.length && (CLASS[text.charCodeAt(i)]! & bit) !== 0) i++;
  return i;
}

/**
 * @param i position of an opening quote
 * @returns the position after the closing one, -1 when there is none before `end`
 */
export function skipQuoted(text: string, i: number, end: number): number {
  for (i++; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) return i + 1;
    if (c === BACKSLASH) i++;
  }
  return -1;
}

/** True for a non-empty token: what a header name, a method or a parameter name must be. */
export function isToken(text: string): boolean {
  return text.length > 0 && skipClass(text, 0, TOKEN) === text.length;
}

/** ASCII case-insensitive comparison of `text[start, end)` with a word given in lower case. */
export function matchesWord(text: string, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let k = 0; k < lower.length; k++) {
    if (LOWER[text.charCodeAt(start + k)] !== lower.charCodeAt(k)) return false;
  }
  return true;
}

/** ASCII case-insensitive equality. */
export function sameLetters(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  for (let k = 0; k < a.length; k++) {
    const x = a.charCodeAt(k);
    const y = b.charCodeAt(k);
    if (x !== y && (x > 255 || y > 255 || LOWER[x] !== LOWER[y])) return false;
  }
  return true;
}

/**
 * Decimal digits of `text[start, end)`.
 * @returns the number; -1 when empty, not all digits, or above `max` (at most 2**48: leading zeros are free)
 */
export function decimal(text: string, start: number, end: number, max: number): number {
  if (start >= end) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
    if (value > max) return -1;
  }
  return value;
}

/** True when each `%` of `text[start, end)` is followed by two hexadecimal digits. */
export function escapesAreWhole(text: string, start: number, end: number): boolean {
  for (let i = text.indexOf('%', start); i >= 0 && i < end; i = text.indexOf('%', i + 3)) {
    if (i + 2 >= end) return false;
    if ((CLASS[text.charCodeAt(i + 1)]! & CLASS[text.charCodeAt(i + 2)]! & HEX) === 0) return false;
  }
  return true;
}
