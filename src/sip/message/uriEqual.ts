import { sameLetters } from './chars.js';
import { eachUriParam } from './uriParams.js';
import type { SipUri } from './uri.js';

/** Octets whose escape does not mean the same as themselves (RFC 3261 §25.1 reserved), and `%` itself. */
const RESERVED = ';/?:@&=+$,%';
/** Parameters that count even when only one of the URIs has them (RFC 3261 §19.1.4). */
const DECISIVE = ['user', 'ttl', 'method', 'maddr', 'transport'];

/** Escapes resolved where they change nothing, in upper case elsewhere: two spellings of one text become equal. */
function plain(text: string): string {
  if (!text.includes('%')) return text;
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const escape = text.charAt(i) === '%' ? Number.parseInt(text.slice(i + 1, i + 3), 16) : NaN;
    if (Number.isNaN(escape)) {
      out += text.charAt(i);
      continue;
    }
    const octet = String.fromCharCode(escape);
    out += RESERVED.includes(octet) ? text.slice(i, i + 3).toUpperCase() : octet;
    i += 2;
  }
  return out;
}

const table = (params: string): Map<string, string> => {
  const out = new Map<string, string>();
  eachUriParam(params, (name, value) => {
    const key = plain(name).toLowerCase();
    if (!out.has(key)) out.set(key, plain(value ?? '').toLowerCase());
  });
  return out;
};

function equalParams(a: string, b: string): boolean {
  if (a === b) return true;
  const left = table(a);
  const right = table(b);
  for (const [name, value] of left) {
    const other = right.get(name);
    if (other !== undefined && other !== value) return false;
  }
  return DECISIVE.every((name) => left.get(name) === right.get(name));
}

const headerSet = (headers: string): string =>
  headers
    .slice(1)
    .split('&')
    .map((header) => {
      const equal = header.indexOf('=');
      const name = equal < 0 ? header : header.slice(0, equal);
      return plain(name).toLowerCase() + (equal < 0 ? '' : plain(header.slice(equal)));
    })
    .sort()
    .join('&');

/** RFC 3966 §5: visual separators and case do not matter; every parameter does, in any order. */
function telKey(uri: SipUri): string {
  let digits = '';
  for (const c of uri.user ?? '') if (!'-.()'.includes(c)) digits += c.toLowerCase();
  const params = [...table(uri.params)].map(([name, value]) => `${name}=${value}`).sort();
  return [digits, ...params].join(';');
}

/** RFC 3261 §19.1.4 for sip and sips, RFC 3966 §5 for tel; other schemes compare octet by octet. */
export function equalUri(a: SipUri, b: SipUri): boolean {
  if (a.scheme !== b.scheme) return false;
  if (a.scheme === 'tel') return telKey(a) === telKey(b);
  if (a.scheme !== 'sip' && a.scheme !== 'sips') return a.opaque === b.opaque;
  if (a.port !== b.port || !sameLetters(a.host, b.host)) return false;
  if (a.user !== b.user && (a.user === undefined || b.user === undefined || plain(a.user) !== plain(b.user))) {
    return false;
  }
  if (a.password !== b.password && plain(a.password ?? '\n') !== plain(b.password ?? '\n')) return false;
  return equalParams(a.params, b.params) && (a.headers === b.headers || headerSet(a.headers) === headerSet(b.headers));
}
