/** Digest fields as text: challenges (WWW-Authenticate, Proxy-Authenticate) and credentials (Authorization), RFC 7616 §3. */
import { quote, unquote } from '../message/text.js';
import { isToken } from '../message/chars.js';

/** Longer ones, and more parameters, are nobody's honest challenge. */
const MAX_FIELD = 4096;
const MAX_PARAMS = 32;

/**
 * Parameters of a `Digest` field, names in lower case, values unquoted.
 * @returns undefined for another scheme, a parameter that stands twice, and anything that cannot be read
 */
export function parseDigest(field: string): Map<string, string> | undefined {
  if (field.length > MAX_FIELD) return undefined;
  const text = field.trimStart();
  if (text.slice(0, 6).toLowerCase() !== 'digest' || !/^[ \t]/.test(text.slice(6, 7))) return undefined;
  const params = new Map<string, string>();
  let at = 7;
  for (;;) {
    while (text[at] === ' ' || text[at] === '\t' || text[at] === ',') at++;
    if (at >= text.length) return params;
    const equals = text.indexOf('=', at);
    const name = equals < 0 ? '' : text.slice(at, equals).trim().toLowerCase();
    if (!isToken(name) || params.has(name) || params.size >= MAX_PARAMS) return undefined;
    let start = equals + 1;
    while (text[start] === ' ' || text[start] === '\t') start++;
    const end = text[start] === '"' ? endOfQuoted(text, start) : endOfToken(text, start);
    if (end < 0) return undefined;
    params.set(name, unquote(text.slice(start, end).trim()));
    at = end;
    while (text[at] === ' ' || text[at] === '\t') at++;
    if (at < text.length && text[at] !== ',') return undefined;
  }
}

/** Index behind the closing quote, or -1. */
function endOfQuoted(text: string, from: number): number {
  for (let i = from + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '"') return i + 1;
  }
  return -1;
}

function endOfToken(text: string, from: number): number {
  const comma = text.indexOf(',', from);
  return comma < 0 ? text.length : comma;
}

/** Parameters whose values are not quoted on the wire, RFC 7616 §3.4. */
const BARE = new Set(['algorithm', 'qop', 'nc', 'stale']);
/** In a challenge qop is a quoted list, RFC 7616 §3.3. */
const BARE_IN_CHALLENGE = new Set(['algorithm', 'stale']);

/** The field with its parameters in the order given; undefined values are left out. */
export function printDigest(
  params: readonly (readonly [name: string, value: string | undefined])[],
  kind: 'challenge' | 'credentials',
): string {
  const bare = kind === 'challenge' ? BARE_IN_CHALLENGE : BARE;
  const parts: string[] = [];
  for (const [name, value] of params) {
    if (value !== undefined) parts.push(`${name}=${bare.has(name) ? value : quote(value)}`);
  }
  return `Digest ${parts.join(', ')}`;
}
