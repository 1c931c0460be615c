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
import { bracketHost, readHostPort } from './host.js';
import { eachUriParam, unescapeUser } from './uriParams.js';

export { bracketHost } from './host.js';
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
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  if (matchesWord(text, 0, colon, 'sip')) return parseSip('sip', text, 4);
  if (matchesWord(text, 0, colon, 'sips')) return parseSip('sips', text, 5);
  return parseOther(text, colon);
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

function parseSip(scheme: string, text: string, start: number): SipUri | undefined {
  let user: string | undefined;
  let password: string | undefined;
  let hostStart = start;
  const at = text.indexOf('@', start);
  if (at >= 0) {
    // userinfo may hold `;`, `?` and `/`: everything up to the only `@` belongs to it.
    if (at === start || skipClass(text, start, USER) !== at || !escapesAreWhole(text, start, at)) return undefined;
    const colon = text.indexOf(':', start);
    if (colon === start) return undefined;
    user = text.slice(start, colon < at && colon > 0 ? colon : at);
    if (colon > 0 && colon < at) password = text.slice(colon + 1, at);
    hostStart = at + 1;
  }
  const hostPort = readHostPort(text, hostStart, false);
  if (hostPort === undefined) return undefined;
  const { host, port, end } = hostPort;
  if (end === text.length) return { scheme, user, password, host, port, params: '', headers: '', opaque: '' };
  if (skipClass(text, end, URI_TAIL) !== text.length || !escapesAreWhole(text, end, text.length)) return undefined;
  const mark = text.indexOf('?', end);
  const tail = mark < 0 ? text.length : mark;
  if (!uriParamsAreWhole(text, end, tail)) return undefined;
  const headers = mark < 0 ? '' : text.slice(mark);
  return { scheme, user, password, host, port, params: text.slice(end, tail), headers, opaque: '' };
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
  if (uri.params === '') return undefined;
  let found: string | undefined;
  eachUriParam(uri.params, (key, value) => {
    if (found === undefined && sameLetters(unescapeUser(key), name)) found = unescapeUser(value ?? '');
  });
  return found;
}
