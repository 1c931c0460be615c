import { BRACKET_OPEN, CLASS, COLON, decimal, DOT, HEX, HOST, skipClass, skipSpace } from './chars.js';

/** Host and port read from the middle of a text. */
export interface HostPort {
  /** Lower case, IPv6 without brackets. */
  host: string;
  port: number | undefined;
  /** Position after them. */
  end: number;
}

/** One for the thread: whoever reads host and port takes them out at once. */
const found: HostPort = { host: '', port: undefined, end: 0 };

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

/** @returns the end of the IPv6 reference at `i`, -1 when malformed */
function referenceEnd(text: string, i: number): number {
  const close = text.indexOf(']', i + 1);
  return close > 0 && close - i <= 46 && isIpv6(text.slice(i + 1, close)) ? close + 1 : -1;
}

/** @returns the end of the name or IPv4 address at `i`, negative when it holds capitals; 0 when malformed */
function nameEnd(text: string, i: number): number {
  const start = i;
  let before = DOT;
  let capitals = false;
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if ((CLASS[c]! & HOST) === 0) break;
    // No empty labels: neither a leading dot nor two in a row.
    if (c === DOT && before === DOT) return 0;
    if (c >= 65 && c <= 90) capitals = true;
    before = c;
  }
  if (i === start) return 0;
  return capitals ? -i : i;
}

/**
 * Reads `host [":" port]` at `i`.
 * @param spaced whether spaces may stand around the colon (Via, RFC 3261 §25.1 sent-by), or not (URI)
 * @returns undefined when malformed; else what the next call changes
 */
export function readHostPort(text: string, i: number, spaced: boolean): Readonly<HostPort> | undefined {
  let host: string;
  let end: number;
  if (text.charCodeAt(i) === BRACKET_OPEN) {
    end = referenceEnd(text, i);
    if (end < 0) return undefined;
    host = text.slice(i + 1, end - 1).toLowerCase();
  } else {
    end = nameEnd(text, i);
    if (end === 0) return undefined;
    host = end > 0 ? text.slice(i, end) : text.slice(i, -end).toLowerCase();
    if (end < 0) end = -end;
  }
  const colon = spaced ? skipSpace(text, end) : end;
  found.host = host;
  found.port = undefined;
  found.end = end;
  if (text.charCodeAt(colon) !== COLON) return found;
  let at = spaced ? skipSpace(text, colon + 1) : colon + 1;
  let port = 0;
  for (; at < text.length && port <= 65535; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) break;
    port = port * 10 + digit;
  }
  // Port 0 cannot be sent to.
  if (port <= 0 || port > 65535) return undefined;
  found.port = port;
  found.end = at;
  return found;
}
