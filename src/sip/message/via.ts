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
  /** How much of its field it takes, spaces included: all, or up to a comma. */
  readonly length: number;
}

type Mutable = { -readonly [name in keyof Via]: Via[name] };

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
export function firstVia(value: string): Via | undefined {
  return firstViaIn(value, 0, value.length);
}

/** One for the thread: no walk begins within another. */
const cursor = new ParamCursor();

/**
 * The same for a field value at `text[from, to)`.
 * @param salvage keep transport and sent-by where the parameters are malformed (to answer the request at all)
 */
export function firstViaIn(text: string, from: number, to: number, salvage = false): Via | undefined {
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
  const { host, port, end } = hostPort;
  const via = bareVia(transport, host, port);
  cursor.over(text, end, to);
  let step = cursor.next();
  while (step === 1 && takeParam(cursor, via)) step = cursor.next();
  if (step !== 0) {
    if (!salvage) return undefined;
    const bare = bareVia(transport, host, port);
    bare.raw = text.slice(start, end);
    bare.length = to - from;
    return bare;
  }
  if (via.branch === MAGIC_COOKIE) via.branch = undefined;
  via.raw = sliceTrimmed(text, start, cursor.at);
  via.length = cursor.at - from;
  return via;
}

/** Without parameters, and not cut out yet. */
const bareVia = (transport: string, host: string, port: number | undefined): Mutable => ({
  transport,
  host,
  port,
  branch: undefined,
  received: undefined,
  rport: undefined,
  maddr: undefined,
  raw: '',
  length: 0,
});

/** Parses one Via value; undefined when malformed, and when a comma and another one follow. */
export function parseVia(value: string): Via | undefined {
  const first = firstVia(value);
  return first?.length === value.length ? first : undefined;
}

/** True when something other than a Via begins after the comma at `end`: an empty list element. */
export function emptyAfter(text: string, end: number): boolean {
  if (end >= text.length) return false;
  const next = skipSpace(text, end + 1);
  return next >= text.length || text.charCodeAt(next) === COMMA;
}
