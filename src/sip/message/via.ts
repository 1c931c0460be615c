import { COMMA, decimal, SLASH, skipClass, skipSpace, TOKEN } from './chars.js';
import { readHostPort } from './host.js';
import { ParamCursor } from './params.js';
import { sliceTrimmed } from './text.js';

/** One value of a Via field (RFC 3261 §20.42, RFC 3581 for rport). */
export interface Via {
  /** Upper case: UDP, TCP, TLS, WS, WSS ... */
  readonly transport: string;
  /** Lower case, IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  /** Undefined also for the bare magic cookie: it identifies nothing, RFC 2543 matching applies. */
  readonly branch: string | undefined;
  readonly received: string | undefined;
  /** '' : asked for, not filled in. */
  readonly rport: number | '' | undefined;
  readonly maddr: string | undefined;
  /** This value as written, unfolded, without those that follow it. */
  readonly raw: string;
}

interface Mutable {
  branch: string | undefined;
  received: string | undefined;
  rport: number | '' | undefined;
  maddr: string | undefined;
}

/** The first Via of a field value, and how much of the value it takes: all, or up to a comma. */
export interface FirstVia {
  readonly via: Via;
  readonly length: number;
}

const MAGIC_COOKIE = 'z9hG4bK';

/** Position of the transport after `protocol / version /`; -1 when malformed. Any version: the start line decides. */
function afterProtocol(text: string, i: number): number {
  if (text.startsWith('SIP/2.0/', i)) return i + 8;
  for (let part = 0; part < 2; part++) {
    const end = skipClass(text, i, TOKEN);
    const slash = skipSpace(text, end);
    if (end === i || text.charCodeAt(slash) !== SLASH) return -1;
    i = skipSpace(text, slash + 1);
  }
  return i;
}

const transportName = (text: string, start: number, end: number): string => {
  if (end - start === 3) {
    if (text.startsWith('UDP', start)) return 'UDP';
    if (text.startsWith('TCP', start)) return 'TCP';
    if (text.startsWith('TLS', start)) return 'TLS';
  }
  return text.slice(start, end).toUpperCase();
};

const withoutBrackets = (host: string): string =>
  host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;

/** Stores one parameter; false when its value cannot be. The first of a name counts. */
function takeParam(cursor: ParamCursor, into: Mutable): boolean {
  switch (cursor.nameEnd - cursor.nameStart) {
    case 6:
      if (into.branch === undefined && cursor.is('branch')) into.branch = cursor.value();
      return true;
    case 8:
      if (into.received === undefined && cursor.is('received')) into.received = withoutBrackets(cursor.value());
      return true;
    case 5:
      if (into.maddr === undefined && cursor.is('maddr')) into.maddr = withoutBrackets(cursor.value());
      else if (into.rport === undefined && cursor.is('rport')) {
        if (cursor.valueStart < 0) into.rport = '';
        else {
          const port = decimal(cursor.text, cursor.valueStart, cursor.valueEnd, 65535);
          if (port < 0) return false;
          into.rport = port;
        }
      }
      return true;
    default:
      return true;
  }
}

/** Reads the first value of a Via field. */
export function firstVia(value: string): FirstVia | undefined {
  return firstViaIn(value, 0, value.length);
}

/**
 * The same for a field value at `text[from, to)`.
 * @param salvage keep transport and sent-by where the parameters are malformed (to answer the request at all)
 */
export function firstViaIn(text: string, from: number, to: number, salvage = false): FirstVia | undefined {
  const start = skipSpace(text, from);
  let i = afterProtocol(text, start);
  if (i < 0) return undefined;
  i = skipSpace(text, i);
  const transportEnd = skipClass(text, i, TOKEN);
  const hostStart = skipSpace(text, transportEnd);
  if (transportEnd === i || hostStart === transportEnd) return undefined;
  const hostPort = readHostPort(text, hostStart, true);
  if (hostPort === undefined) return undefined;
  const transport = transportName(text, i, transportEnd);
  const { host, port } = hostPort;
  const found: Mutable = { branch: undefined, received: undefined, rport: undefined, maddr: undefined };
  const cursor = new ParamCursor(text, hostPort.end, to);
  let step = cursor.next();
  while (step === 1 && takeParam(cursor, found)) step = cursor.next();
  if (step !== 0) {
    if (!salvage) return undefined;
    const raw = text.slice(start, hostPort.end);
    const none = { branch: undefined, received: undefined, rport: undefined, maddr: undefined };
    return { via: { transport, host, port, ...none, raw }, length: to - from };
  }
  const branch = found.branch === MAGIC_COOKIE ? undefined : found.branch;
  const { received, rport, maddr } = found;
  const raw = sliceTrimmed(text, start, cursor.at);
  return { via: { transport, host, port, branch, received, rport, maddr, raw }, length: cursor.at - from };
}

/** Parses one Via value; undefined when malformed, and when a comma and another one follow. */
export function parseVia(value: string): Via | undefined {
  const first = firstVia(value);
  return first !== undefined && first.length === value.length ? first.via : undefined;
}

/** True when something other than a Via begins after the comma at `end`: an empty list element. */
export function emptyAfter(text: string, end: number): boolean {
  if (end >= text.length) return false;
  const next = skipSpace(text, end + 1);
  return next >= text.length || text.charCodeAt(next) === COMMA;
}
