import { matchesWord, skipClass, TOKEN } from './chars.js';

/** What the first line says; `flaw` is '' when it is as RFC 3261 §7.1 and §7.2 want it. */
export interface RequestLine {
  readonly method: string;
  readonly uri: string;
  readonly flaw: string;
  /** 505 for another version of SIP, else 400. */
  readonly status: number;
}

export interface StatusLine {
  readonly status: number;
  readonly reason: string;
}

export function isStatusLine(text: string): boolean {
  return matchesWord(text, 0, 4, 'sip/');
}

/**
 * `Method SP Request-URI SP SIP-Version`, exactly.
 * @param end where the line ends, its line break excluded
 * @returns undefined when it does not even begin with a method and a space
 */
export function readRequestLine(text: string, end: number): RequestLine | undefined {
  const methodEnd = skipClass(text, 0, TOKEN);
  if (methodEnd === 0 || methodEnd >= end || text.charCodeAt(methodEnd) !== 0x20) return undefined;
  const method = text.slice(0, methodEnd);
  const uriEnd = text.indexOf(' ', methodEnd + 1);
  if (uriEnd + 8 === end && uriEnd > methodEnd + 1 && text.startsWith('SIP/2.0', uriEnd + 1)) {
    return { method, uri: text.slice(methodEnd + 1, uriEnd), flaw: '', status: 400 };
  }
  return oddRequestLine(method, text.slice(methodEnd + 1, end));
}

function oddRequestLine(method: string, rest: string): RequestLine {
  const uriEnd = rest.indexOf(' ');
  const flawed = { method, uri: '', flaw: 'malformed_start_line', status: 400 };
  if (uriEnd < 1) return flawed;
  const uri = rest.slice(0, uriEnd);
  const version = rest.slice(uriEnd + 1);
  // RFC 3261 §7.1: the version is compared without regard to case.
  if (matchesWord(version, 0, version.length, 'sip/2.0')) return { method, uri, flaw: '', status: 400 };
  if (!isSipVersion(version)) return flawed;
  return { method, uri, flaw: 'unsupported_version', status: 505 };
}

function isSipVersion(text: string): boolean {
  if (!matchesWord(text, 0, 4, 'sip/')) return false;
  const dot = text.indexOf('.');
  return dot > 4 && allDigits(text, 4, dot) && allDigits(text, dot + 1, text.length);
}

function allDigits(text: string, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c < 48 || c > 57) return false;
  }
  return end > start;
}

/** `SIP/2.0 SP 3DIGIT [SP reason]`: the space before an empty reason is often forgotten. Undefined when malformed. */
export function readStatusLine(text: string, end: number): StatusLine | undefined {
  if (!matchesWord(text, 0, 7, 'sip/2.0') || end < 11 || !allDigits(text, 8, 11)) return undefined;
  if (text.charCodeAt(7) !== 0x20 || (end > 11 && text.charCodeAt(11) !== 0x20)) return undefined;
  const status = Number(text.slice(8, 11));
  if (status < 100 || status > 699) return undefined;
  return { status, reason: end > 12 ? text.slice(12, end) : '' };
}

const KNOWN_METHODS = new Set([
  'INVITE',
  'ACK',
  'BYE',
  'CANCEL',
  'OPTIONS',
  'REGISTER',
  'PRACK',
  'UPDATE',
  'INFO',
  'SUBSCRIBE',
  'NOTIFY',
  'REFER',
  'MESSAGE',
  'PUBLISH',
]);

/** True for the methods of the RFCs; others deserve 501 rather than 400. */
export function isKnownMethod(method: string): boolean {
  return KNOWN_METHODS.has(method);
}
