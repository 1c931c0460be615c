import { BRACKET_CLOSE, BRACKET_OPEN, CLASS, COLON, decimal, DOT, HEX, HOST, skipClass, skipSpace } from './chars.js';

/** Host and port read from the middle of a text. */
export interface HostPort {
  /** Lower case, IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  /** Position after them. */
  readonly end: number;
}

const isIpv4 = (text: string): boolean => {
  let parts = 0;
  for (let start = 0; start <= text.length; parts++) {
    let end = text.indexOf('.', start);
    if (end < 0) end = text.length;
    if (end - start > 3 || decimal(text, start, end, 255) < 0) return false;
    start = end + 1;
  }
  return parts === 4;
};

/** Checks the text form of an IPv6 address (RFC 4291 §2.2), without brackets and without zone. */
export function isIpv6(text: string): boolean {
  if (text.length < 2 || text.length > 45) return false;
  const gap = text.indexOf('::');
  if (gap >= 0 && text.indexOf('::', gap + 1) >= 0) return false;
  let groups = 0;
  let i = gap === 0 ? 2 : 0;
  while (i < text.length) {
    const end = skipClass(text, i, HEX);
    if (text.charCodeAt(end) === DOT) {
      if (!isIpv4(text.slice(i))) return false;
      groups += 2;
      i = text.length;
      break;
    }
    if (end === i || end - i > 4) return false;
    groups++;
    i = end;
    if (i === text.length) break;
    if (text.charCodeAt(i) !== COLON) return false;
    i += i === gap ? 2 : 1;
    // A colon must be followed by a group, unless it belongs to the gap.
    if (i === text.length && i !== gap + 2) return false;
  }
  return gap >= 0 ? groups <= 7 : groups === 8;
}

/** `::1` becomes `[::1]`; names, IPv4 addresses and what has brackets already stay as they are. */
export function bracketHost(host: string): string {
  return host.includes(':') && host.charCodeAt(0) !== BRACKET_OPEN ? `[${host}]` : host;
}

/** Reads a host name, IPv4 address or IPv6 reference at `i`; gives its end, -1 when malformed. */
function hostEnd(text: string, i: number): number {
  if (text.charCodeAt(i) === BRACKET_OPEN) {
    const close = text.indexOf(']', i + 1);
    return close > 0 && close - i <= 46 && isIpv6(text.slice(i + 1, close)) ? close + 1 : -1;
  }
  const start = i;
  let before = DOT;
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if ((CLASS[c]! & HOST) === 0) break;
    // No empty labels: neither a leading dot nor two in a row.
    if (c === DOT && before === DOT) return -1;
    before = c;
  }
  return i === start ? -1 : i;
}

const lowerHost = (text: string, start: number, end: number): string => {
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c >= 65 && c <= 90) return text.slice(start, end).toLowerCase();
  }
  return text.slice(start, end);
};

/**
 * Reads `host [":" port]` at `i`.
 * @param spaced whether spaces may stand around the colon (Via, RFC 3261 §25.1 sent-by), or not (URI)
 */
export function readHostPort(text: string, i: number, spaced: boolean): HostPort | undefined {
  let end = hostEnd(text, i);
  if (end < 0) return undefined;
  const bracketed = text.charCodeAt(end - 1) === BRACKET_CLOSE;
  const host = bracketed ? lowerHost(text, i + 1, end - 1) : lowerHost(text, i, end);
  const colon = spaced ? skipSpace(text, end) : end;
  if (colon >= text.length || text.charCodeAt(colon) !== COLON) return { host, port: undefined, end };
  const digits = spaced ? skipSpace(text, colon + 1) : colon + 1;
  end = digits;
  while (end < text.length && text.charCodeAt(end) >= 48 && text.charCodeAt(end) <= 57) end++;
  const port = decimal(text, digits, end, 65535);
  // Port 0 cannot be sent to.
  return port > 0 ? { host, port, end } : undefined;
}
