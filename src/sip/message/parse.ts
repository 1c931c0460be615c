import { err, ok, type Result } from '../../kernel/index.js';
import { CR, decimal, LF } from './chars.js';
import { cseqIn } from './cseq.js';
import { contentLength, hasMisplacedNul, type ScannedFields, scanFields } from './fields.js';
import { HOT_CALL_ID, HOT_CONTACT, HOT_CSEQ, HOT_FROM, HOT_MAX_FORWARDS, HOT_TO, HOT_VIA } from './headerNames.js';
import { limitsWith, type MessageLimits } from './limits.js';
import { type SipMessage, SipRequest, SipResponse } from './message.js';
import { isAddressList, nameAddrIn, parseNameAddr } from './nameAddr.js';
import { uriIn } from './uri.js';
import { isKnownMethod, isStatusLine, readRequestLine, readStatusLine } from './startLine.js';
import { byteString, lineSafe } from './text.js';
import { emptyAfter, firstViaIn } from './via.js';

export { DEFAULT_LIMITS, type MessageLimits } from './limits.js';

export type ParseFailure = {
  /** snake_case, one of a fixed set: fit for a metric's label. */
  readonly reason: string;
  /** The field or text concerned; may be ''. */
  readonly detail: string;
  readonly kind: 'request' | 'response' | 'unknown';
  /** What to answer; 0: nothing (responses, ACK, noise, a request that names no Via). */
  readonly status: number;
  /** Enough of the request to print a response. Its From, To, Call-ID, CSeq may be absent or malformed. */
  readonly partial: SipRequest | undefined;
};

interface Flaw {
  readonly reason: string;
  readonly detail: string;
  readonly status: number;
}

/** The packet and where its parts are. */
interface Packet {
  readonly data: Buffer;
  /** Where the start line begins in `data`. */
  readonly start: number;
  /** From the start line on; may end after the head or hold more. */
  readonly text: string;
  /** `data` from the start line on. */
  readonly octets: Uint8Array;
  readonly oversize: Flaw | undefined;
}

/** Up to this size decoding the whole packet costs less than looking for the end of the head first. */
const DECODE_WHOLE = 2048;
const HEAD_END = Buffer.from('\r\n\r\n');

const flaw = (reason: string, detail = '', status = 400): Flaw => ({ reason, detail, status });

/**
 * Parses one message: a datagram, or what the framer cut from a stream. Octets after Content-Length are ignored
 * (RFC 3261 §18.3); without Content-Length the body is the rest. Never throws; linear in the size of the data.
 */
export function parseMessage(
  data: Buffer,
  limits?: Partial<MessageLimits>,
): Result<SipRequest | SipResponse, ParseFailure> {
  const bounds = limitsWith(limits);
  const packet = open(data, bounds);
  const { text } = packet;
  const lf = text.indexOf('\n');
  const lineEnd = lf > 0 && text.charCodeAt(lf - 1) === CR ? lf - 1 : lf;
  if (lf < 1) return err(noise('no_start_line'));
  const isResponse = isStatusLine(text);
  const line = isResponse ? undefined : readRequestLine(text, lineEnd);
  if (!isResponse && line === undefined) return err(noise('not_sip'));
  const fields = scanFields(packet, lf + 1, bounds.maxHeaders);
  const broken = brokenHead(packet, fields, lineEnd, lf);
  if (line === undefined) return parseResponse(packet, fields, broken, lineEnd);
  const request = new SipRequest(line.method, line.uri, fields.names, fields.values);
  const found =
    line.flaw !== ''
      ? flaw(line.flaw, '', line.status)
      : (broken ?? checkRequest(packet, fields, request) ?? takeBody(packet, fields, request));
  return found === undefined ? ok(request) : err(refuse(request, found));
}

function open(data: Buffer, bounds: MessageLimits): Packet {
  let start = 0;
  // RFC 3261 §7.5: line breaks before the start line are ignored.
  while (start + 1 < data.length && data[start] === CR && data[start + 1] === LF) start += 2;
  let end = data.length;
  let oversize = end > bounds.maxMessageBytes ? flaw('message_too_large', '', 513) : undefined;
  if (end - start > DECODE_WHOLE) {
    const headEnd = data.indexOf(HEAD_END, start);
    if (headEnd >= 0) end = headEnd + 4;
  }
  if (end - start > bounds.maxHeaderBytes) {
    const headEnd = data.indexOf(HEAD_END, start);
    if (headEnd < 0 || headEnd + 4 - start > bounds.maxHeaderBytes) {
      oversize ??= flaw('head_too_large', '', 513);
      end = start + bounds.maxHeaderBytes;
    }
  }
  const octets = start === 0 ? data : data.subarray(start);
  return { data, start, text: byteString(data, start, end), octets, oversize };
}

/** What is wrong with the head as a whole. */
function brokenHead(packet: Packet, fields: ScannedFields, lineEnd: number, lf: number): Flaw | undefined {
  if (packet.oversize !== undefined) return packet.oversize;
  if (lineEnd === lf) return flaw('bare_lf', 'start line');
  if (packet.text.indexOf('\r') !== lineEnd) return flaw('bare_cr', 'start line');
  if (fields.flaw !== '') return flaw(fields.flaw, fields.flawAt);
  if (hasMisplacedNul(packet.text, fields.end)) return flaw('nul_in_head');
  return undefined;
}

function parseResponse(
  packet: Packet,
  fields: ScannedFields,
  broken: Flaw | undefined,
  lineEnd: number,
): Result<SipResponse, ParseFailure> {
  const line = readStatusLine(packet.text, lineEnd);
  if (line === undefined) return brokenResponse(flaw('malformed_start_line'));
  if (broken !== undefined) return brokenResponse(broken);
  const response = new SipResponse(line.status, line.reason, fields.names, fields.values);
  const found = checkMandatory(packet, fields, response) ?? takeBody(packet, fields, response);
  return found === undefined ? ok(response) : brokenResponse(found);
}

const brokenResponse = ({ reason, detail }: Flaw): Result<SipResponse, ParseFailure> =>
  err({ reason, detail, kind: 'response', status: 0, partial: undefined });

/** Structured values are read from the packet's text, not from the slices: see chars.ts. */
function readAt<T>(
  packet: Packet,
  fields: ScannedFields,
  hot: number,
  read: (text: string, from: number, end: number) => T | undefined,
): T | undefined {
  const i = fields.first[hot]!;
  if (i < 0) return undefined;
  const start = fields.starts[i]!;
  const { length } = fields.values[i]!;
  return start < 0 ? read(fields.values[i]!, 0, length) : read(packet.text, start, start + length);
}

/** RFC 3261 §8.1.1: what each message must have, in a form that can be read. */
function checkMandatory(packet: Packet, fields: ScannedFields, message: SipMessage): Flaw | undefined {
  const via = readAt(packet, fields, HOT_VIA, firstViaIn);
  if (via === undefined) return absentOr(fields, 'Via', 'malformed_via');
  if (emptyAfter(fields.values[fields.first[HOT_VIA]!]!, via.length)) return flaw('malformed_via', 'Via');
  const from = readAt(packet, fields, HOT_FROM, nameAddrIn);
  if (from === undefined) return absentOr(fields, 'From', 'malformed_from');
  const to = readAt(packet, fields, HOT_TO, nameAddrIn);
  if (to === undefined) return absentOr(fields, 'To', 'malformed_to');
  const cseq = readAt(packet, fields, HOT_CSEQ, cseqIn);
  if (cseq === undefined) return absentOr(fields, 'CSeq', 'malformed_cseq');
  if (readAt(packet, fields, HOT_CALL_ID, callIdIn) === undefined) {
    return absentOr(fields, 'Call-ID', 'malformed_call_id');
  }
  message.adoptRead(from, to, cseq, via);
  return undefined;
}

const absentOr = (fields: ScannedFields, name: string, reason: string): Flaw =>
  flaw(fields.names.includes(name) ? reason : 'missing_header', name);

/** callid = word ["@" word]: visible characters. */
function callIdIn(text: string, from: number, end: number): true | undefined {
  for (let i = from; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c <= 0x20 || c === 0x7f) return undefined;
  }
  return end > from ? true : undefined;
}

function checkRequest(packet: Packet, fields: ScannedFields, request: SipRequest): Flaw | undefined {
  const missing = checkMandatory(packet, fields, request);
  if (missing !== undefined) return missing;
  if (request.cseq.method !== request.method) {
    return flaw('cseq_method_mismatch', request.cseq.method, isKnownMethod(request.method) ? 400 : 501);
  }
  const uriStart = request.method.length + 1;
  const uri = uriIn(packet.text, uriStart, uriStart + request.uri.length);
  if (uri === undefined) return flaw('malformed_request_uri', request.uri);
  // RFC 3261 §19.1.1: headers are not allowed in a Request-URI; they could smuggle a Route.
  if (uri.headers !== '') return flaw('request_uri_with_headers', request.uri);
  request.adoptUri(uri);
  const hops = fields.first[HOT_MAX_FORWARDS]!;
  if (hops >= 0) {
    const value = fields.values[hops]!;
    if (decimal(value, 0, value.length, 255) < 0) return flaw('malformed_max_forwards', 'Max-Forwards');
  }
  const contact = fields.first[HOT_CONTACT]!;
  if (contact < 0) return undefined;
  let good = readContact(packet, fields, request, contact);
  for (let i = contact + 1; fields.severalContacts && good && i < fields.names.length; i++) {
    if (fields.names[i] === 'Contact') good = readContact(packet, fields, request, i);
  }
  return good ? undefined : flaw('malformed_contact', 'Contact');
}

/** Checks the contacts of one field. */
function readContact(packet: Packet, fields: ScannedFields, request: SipRequest, i: number): boolean {
  const value = fields.values[i]!;
  if (value === '*') return true;
  if (value.includes(',')) return isAddressList(value);
  const start = fields.starts[i]!;
  const contact = start < 0 ? parseNameAddr(value) : nameAddrIn(packet.text, start, start + value.length);
  if (contact === undefined) return false;
  if (fields.first[HOT_CONTACT] === i) request.adoptContact(contact);
  return true;
}

/** RFC 3261 §18.3: the body is what Content-Length says, the rest of a datagram without it. */
function takeBody(packet: Packet, fields: ScannedFields, message: SipMessage): Flaw | undefined {
  const start = packet.start + fields.end;
  const length = contentLength(fields);
  if (length === -2) return flaw('malformed_content_length', 'Content-Length');
  if (start + length > packet.data.length) return flaw('truncated_body', 'Content-Length');
  const end = length < 0 ? packet.data.length : start + length;
  if (end > start) message.body = packet.data.subarray(start, end);
  return undefined;
}

const noise = (reason: string): ParseFailure => ({
  reason,
  detail: '',
  kind: 'unknown',
  status: 0,
  partial: undefined,
});

/** A refused request keeps what a response needs; with no readable Via there is nowhere to send one. */
function refuse(request: SipRequest, found: Flaw): ParseFailure {
  const { reason, detail } = found;
  const line = request.header('Via');
  const salvaged = line === undefined ? undefined : firstViaIn(line, 0, line.length, true);
  if (salvaged === undefined) return { reason, detail, kind: 'request', status: 0, partial: undefined };
  const names: string[] = [];
  const values: string[] = [];
  request.eachField((name, value) => {
    // What is echoed must not carry on what made the request malformed.
    values.push(
      lineSafe(
        name === 'Via' && !names.includes('Via') ? salvaged.raw + value.slice(salvaged.length) : value,
      ).replaceAll('\0', ' '),
    );
    names.push(name);
  });
  const partial = new SipRequest(request.method, request.uri, names, values);
  // RFC 3261 §17.1.1.3: an ACK is never answered.
  return { reason, detail, kind: 'request', status: request.method === 'ACK' ? 0 : found.status, partial };
}
