/**
 * Small, linear readers and writers of header text for the bridge. The engine parses messages; what is needed here is
 * only the number, the name and the host in an address, and that nothing which is written can break out of its line.
 */

const SPACE = 0x20;
const DELETE = 0x7f;

/** Text is octets. What is none leaves as its low octet, and is judged by that: U+010D would be a CR. */
const isControl = (code: number): boolean => {
  const octet = code & 0xff;
  return octet < SPACE || octet === DELETE;
};

/** True when a byte of the text could end or corrupt a header line. */
const hasControl = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (isControl(text.charCodeAt(i))) return true;
  return false;
};

/** The text with every control character (CR, LF, NUL, tab ...) replaced by a space. */
export const cleanText = (text: string): string => {
  if (!hasControl(text)) return text;
  let clean = '';
  for (let i = 0; i < text.length; i++) clean += isControl(text.charCodeAt(i)) ? ' ' : text[i];
  return clean;
};

const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]+$/;

/** RFC 3261 §25.1 `token`: what a field name may consist of. */
export const isToken = (name: string): boolean => name.length <= 128 && TOKEN.test(name);

export interface Address {
  /** Without quotes and escapes; undefined when there is none. */
  readonly display: string | undefined;
  readonly uri: string;
}

/** End of the quoted string that begins at `from`, or -1. */
const closingQuote = (text: string, from: number): number => {
  for (let i = from + 1; i < text.length; i++) {
    const char = text[i];
    if (char === '\\') i++;
    else if (char === '"') return i;
  }
  return -1;
};

/** Reads a name-addr or addr-spec (RFC 3261 §20.10). Never fails: nonsense gives an empty URI. */
export const parseAddress = (value: string): Address => {
  const text = value.trimStart();
  let display: string | undefined;
  let rest = text;
  if (text.startsWith('"')) {
    const end = closingQuote(text, 0);
    if (end < 0) return { display: undefined, uri: '' };
    const quoted = text.slice(1, end);
    display = quoted.includes('\\') ? quoted.replaceAll(/\\(.)/g, '$1') : quoted;
    rest = text.slice(end + 1);
  }
  const open = rest.indexOf('<');
  if (open < 0) return { display, uri: display === undefined ? cut(rest, ';').trim() : '' };
  const close = rest.indexOf('>', open);
  if (close < 0) return { display, uri: '' };
  if (display === undefined && open > 0) display = rest.slice(0, open).trim();
  return { display: display === '' ? undefined : display, uri: rest.slice(open + 1, close).trim() };
};

const cut = (text: string, at: string): string => {
  const index = text.indexOf(at);
  return index < 0 ? text : text.slice(0, index);
};

/** Letters in either case; the length, which nearly always differs, is looked at first. */
export const isWord = (text: string, lower: string): boolean =>
  text.length === lower.length && text.toLowerCase() === lower;

const HEX_PAIR = /^[0-9A-Fa-f]{2}$/;

/** Resolves %HH once; malformed escapes stay as they are. */
export const unescapeUser = (user: string): string => {
  if (!user.includes('%')) return user;
  let text = '';
  for (let i = 0; i < user.length; i++) {
    const pair = user[i] === '%' ? user.slice(i + 1, i + 3) : '';
    if (!HEX_PAIR.test(pair)) {
      text += user[i];
      continue;
    }
    text += String.fromCharCode(parseInt(pair, 16));
    i += 2;
  }
  return text;
};

/** Digits, `+`, `*`, `#`: a number that can be shown as it is. */
export const isDialable = (user: string): boolean => /^[0-9+*#]{1,32}$/.test(user);

const PLAIN_USER = /^[A-Za-z0-9\-_.!~*'()&=+$,]*$/;

/** Writes a user part so that nothing in it can leave it (RFC 3261 §25.1 `user`). */
export const escapeUser = (user: string): string => {
  if (PLAIN_USER.test(user)) return user;
  let text = '';
  for (const char of user) {
    const code = char.charCodeAt(0) & 0xff;
    text += PLAIN_USER.test(char) ? char : `%${code.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
};

const isTel = (uri: string, colon: number): boolean => colon === 3 && isWord(uri.slice(0, 3), 'tel');

/**
 * User part of a sip or sips URI, number of a tel URI, as written (escaped, without password and parameters); empty
 * when there is none.
 */
export const userOf = (uri: string): string => {
  const colon = uri.indexOf(':');
  if (colon < 0) return '';
  const rest = uri.slice(colon + 1);
  if (isTel(uri, colon)) return cut(cut(rest, ';'), '?');
  const at = rest.indexOf('@');
  // RFC 3261 §19.1.1: a user may carry telephone parameters (`+1;phone-context=..@`); they are not the number.
  return at < 0 ? '' : cut(cut(rest.slice(0, at), ':'), ';');
};

/** Host of a sip or sips URI, IPv6 in brackets, without port; empty when there is none. */
export const hostOf = (uri: string): string => {
  const colon = uri.indexOf(':');
  if (colon < 0 || isTel(uri, colon)) return '';
  const at = uri.indexOf('@', colon);
  const rest = uri.slice((at < 0 ? colon : at) + 1);
  if (rest.startsWith('[')) return rest.slice(0, rest.indexOf(']') + 1);
  return cut(cut(cut(rest, ';'), '?'), ':');
};

const PRIVATE_IPV4 =
  /(?:^|[^0-9.])(?:(?:10|127)\.\d{1,3}|192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\.\d{1,3}\.\d{1,3}(?![0-9])/;
const PRIVATE_IPV6 = /(?:^|[^0-9a-z:])(?:f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]):[0-9a-f:]{2,}|\[::1\]/i;
const PRIVATE_NAME = /\blocalhost\b|[a-z0-9-]\.(?:local|internal|lan|localdomain|intranet|home\.arpa)\b/i;

/**
 * True when the text names a host that means nothing, or too much, outside: private, shared, loopback and link-local
 * addresses (RFC 1918, 6598, 3927, 4193) and names of internal domains.
 */
export const mentionsPrivateHost = (text: string): boolean =>
  PRIVATE_IPV4.test(text) || PRIVATE_IPV6.test(text) || PRIVATE_NAME.test(text);
