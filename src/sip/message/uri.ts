import { bracketHost } from '../../kernel/index.js';
import {
  AT,
  CLASS,
  escapesAreWhole,
  matchesWord,
  sameLetters,
  SEMI,
  skipClass,
  TOKEN,
  URI_TAIL,
  USER,
} from './chars.js';
import { readHostPort } from './host.js';
import { unescapeUser } from './uriParams.js';

export { equalUri } from './uriEqual.js';
export { unescapeUser } from './uriParams.js';

/** A URI of any scheme; taken apart for sip, sips (RFC 3261 §19.1) and tel (RFC 3966). */
export interface SipUri {
  /** Lower case. */
  readonly scheme: string;
  /** As written, escapes included (see `unescapeUser`). For tel: the number. */
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** Lower case, IPv6 without brackets; '' for schemes other than sip and sips. */
  readonly host: string;
  readonly port: number | undefined;
  /** As written, '' or beginning with `;`. */
  readonly params: string;
  /** As written, '' or beginning with `?`. */
  readonly headers: string;
  /** All after the scheme, for schemes other than sip and sips; printed instead of the parts. */
  readonly opaque: string;
}

const TEL_CHARS = '0123456789ABCDEFabcdef+*#-.()';
const isTelNumber = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (!TEL_CHARS.includes(text.charAt(i))) return false;
  return text.length > 0;
};

/** Parses a URI. @returns undefined when malformed; unknown schemes are well formed and opaque. */
export function parseUri(text: string): SipUri | undefined {
  return uriIn(text, 0, text.length);
}

/** The same for a URI at `text[from, end)`. */
export function uriIn(text: string, from: number, end: number): SipUri | undefined {
  const colon = text.indexOf(':', from);
  if (colon <= from || colon >= end) return undefined;
  if (matchesWord(text, from, colon, 'sip')) return parseSip('sip', text, colon + 1, end);
  if (matchesWord(text, from, colon, 'sips')) return parseSip('sips', text, colon + 1, end);
  return parseOther(text.slice(from, end), colon - from);
}

function parseOther(text: string, colon: number): SipUri | undefined {
  const first = text.charCodeAt(0) | 32;
  if (first < 97 || first > 122 || skipClass(text, 0, TOKEN) < colon) return undefined;
  const opaque = text.slice(colon + 1);
  for (let i = 0; i < opaque.length; i++) {
    const c = opaque.charCodeAt(i);
    if (c !== AT && (CLASS[c]! & URI_TAIL) === 0) return undefined;
  }
  if (opaque === '') return undefined;
  const scheme = text.slice(0, colon).toLowerCase();
  const base = { scheme, password: undefined, host: '', port: undefined, headers: '', opaque };
  if (scheme !== 'tel') return { ...base, user: undefined, params: '' };
  const semi = opaque.indexOf(';');
  const user = semi < 0 ? opaque : opaque.slice(0, semi);
  const params = semi < 0 ? '' : opaque.slice(semi);
  return isTelNumber(user) && uriParamsAreWhole(params, 0, params.length) ? { ...base, user, params } : undefined;
}

function parseSip(scheme: string, text: string, start: number, end: number): SipUri | undefined {
  let user: string | undefined;
  let password: string | undefined;
  let hostStart = start;
  // userinfo may hold `;`, `?` and `/`: everything up to the only `@` belongs to it.
  const userEnd = skipClass(text, start, USER);
  if (userEnd < end && text.charCodeAt(userEnd) === AT) {
    if (userEnd === start || !escapesAreWhole(text, start, userEnd)) return undefined;
    const colon = text.indexOf(':', start);
    if (colon === start) return undefined;
    const hasPassword = colon > 0 && colon < userEnd;
    user = text.slice(start, hasPassword ? colon : userEnd);
    if (hasPassword) password = text.slice(colon + 1, userEnd);
    hostStart = userEnd + 1;
  }
  const hostPort = readHostPort(text, hostStart, false);
  if (hostPort === undefined || hostPort.end > end) return undefined;
  const { host, port, end: tail } = hostPort;
  if (tail === end) return { scheme, user, password, host, port, params: '', headers: '', opaque: '' };
  if (skipClass(text, tail, URI_TAIL) < end || !escapesAreWhole(text, tail, end)) return undefined;
  const mark = text.indexOf('?', tail);
  const hasHeaders = mark >= 0 && mark < end;
  const paramsEnd = hasHeaders ? mark : end;
  if (!uriParamsAreWhole(text, tail, paramsEnd)) return undefined;
  const headers = hasHeaders ? text.slice(mark, end) : '';
  return { scheme, user, password, host, port, params: text.slice(tail, paramsEnd), headers, opaque: '' };
}

/** True for `;name[=value]` repeated: no name is empty. */
function uriParamsAreWhole(text: string, start: number, end: number): boolean {
  for (let i = start; i < end;) {
    if (text.charCodeAt(i) !== SEMI) return false;
    const next = text.charCodeAt(i + 1);
    if (i + 1 >= end || next === SEMI || next === 0x3d) return false;
    const semi = text.indexOf(';', i + 1);
    i = semi < 0 || semi > end ? end : semi;
  }
  return true;
}

export function printUri(uri: SipUri): string {
  if (uri.scheme !== 'sip' && uri.scheme !== 'sips') return `${uri.scheme}:${uri.opaque}`;
  let out = uri.scheme + ':';
  if (uri.user !== undefined) {
    out += uri.password === undefined ? uri.user + '@' : uri.user + ':' + uri.password + '@';
  }
  out += bracketHost(uri.host);
  if (uri.port !== undefined) out += ':' + uri.port;
  return out + uri.params + uri.headers;
}

/**
 * A URI parameter, unescaped; names compare without case and escapes (`%6C%72` is `lr`).
 * @returns '' for a flag, undefined when absent
 */
export function uriParam(uri: SipUri, name: string): string | undefined {
  const { params } = uri;
  for (let i = 1; i < params.length;) {
    const semi = params.indexOf(';', i);
    const end = semi < 0 ? params.length : semi;
    const equal = params.indexOf('=', i);
    const keyEnd = equal >= i && equal < end ? equal : end;
    const key = params.slice(i, keyEnd);
    if (sameLetters(unescapeUser(key), name)) return unescapeUser(params.slice(keyEnd + 1, end));
    i = end + 1;
  }
  return undefined;
}
