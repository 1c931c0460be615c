import { err, ok, type Result } from '../../kernel/index.js';
import { CR, decimal, LF } from './chars.js';
import { contentLength, hasMisplacedNul, type ScannedFields, scanFields } from './fields.js';
import { limitsWith, type MessageLimits } from './limits.js';
import { type SipMessage, SipRequest, SipResponse } from './message.js';
import { isAddressList } from './nameAddr.js';
import { isKnownMethod, isStatusLine, readRequestLine, readStatusLine } from './startLine.js';
import { byteString, lineSafe } from './text.js';
import { emptyAfter, firstVia } from './via.js';

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
  const fields = scanFields(text, lf + 1, bounds.maxHeaders);
  const broken = brokenHead(packet, fields, lineEnd, lf);
  if (line === undefined) return parseResponse(packet, fields, broken, lineEnd);
  const request = new SipRequest(line.method, line.uri);
  request.adoptFields(fields.names, fields.values);
  const found =
    line.flaw !== ''
      ? flaw(line.flaw, '', line.status)
      : (broken ?? checkRequest(request, fields) ?? takeBody(packet, fields, request));
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
  return { data, start, text: byteString(data, start, end), oversize };
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
  const fail = ({ reason, detail }: Flaw): Result<SipResponse, ParseFailure> =>
    err({ reason, detail, kind: 'response', status: 0, partial: undefined });
  if (line === undefined) return fail(flaw('malformed_start_line'));
  if (broken !== undefined) return fail(broken);
  const response = new SipResponse(line.status, line.reason);
  response.adoptFields(fields.names, fields.values);
  const found = checkMandatory(response) ?? takeBody(packet, fields, response);
  return found === undefined ? ok(response) : fail(found);
}

/** RFC 3261 §8.1.1: what each message must have, in a form that can be read. */
function checkMandatory(message: SipMessage): Flaw | undefined {
  const top = message.readTopVia();
  if (top === undefined) return flaw(absentOr(message, 'Via'), 'Via');
  if (emptyAfter(message.header('Via')!, top.end)) return flaw('malformed_via', 'Via');
  if (message.readFrom() === undefined) return flaw(absentOr(message, 'From'), 'From');
  if (message.readTo() === undefined) return flaw(absentOr(message, 'To'), 'To');
  if (message.readCSeq() === undefined) return flaw(absentOr(message, 'CSeq'), 'CSeq');
  if (!isCallId(message.header('Call-ID'))) return flaw(absentOr(message, 'Call-ID'), 'Call-ID');
  return undefined;
}

const MALFORMED: Record<string, string> = {
  Via: 'malformed_via',
  From: 'malformed_from',
  To: 'malformed_to',
  CSeq: 'malformed_cseq',
  'Call-ID': 'malformed_call_id',
};
const absentOr = (message: SipMessage, name: string): string =>
  message.header(name) === undefined ? 'missing_header' : (MALFORMED[name] ?? 'malformed_header');

function isCallId(value: string | undefined): boolean {
  if (value === undefined || value === '') return false;
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if (c <= 0x20 || c === 0x7f) return false;
  }
  return true;
}

function checkRequest(request: SipRequest, fields: ScannedFields): Flaw | undefined {
  const missing = checkMandatory(request);
  if (missing !== undefined) return missing;
  if (request.cseq.method !== request.method) {
    return flaw('cseq_method_mismatch', request.cseq.method, isKnownMethod(request.method) ? 400 : 501);
  }
  const uri = request.parsedUri;
  if (uri === undefined) return flaw('malformed_request_uri', request.uri);
  // RFC 3261 §19.1.1: headers are not allowed in a Request-URI; they could smuggle a Route.
  if (uri.headers !== '') return flaw('request_uri_with_headers', request.uri);
  for (let i = 0; i < fields.names.length; i++) {
    const name = fields.names[i]!;
    const value = fields.values[i]!;
    if (name === 'Max-Forwards') {
      if (decimal(value, 0, value.length, 255) < 0) return flaw('malformed_max_forwards', 'Max-Forwards');
    } else if (name === 'Contact' && value !== '*' && !isContact(request, value)) {
      return flaw('malformed_contact', 'Contact');
    }
  }
  return undefined;
}

/** Asks for the first contact through the message, which keeps what it parsed. */
function isContact(request: SipRequest, value: string): boolean {
  return value.includes(',') ? isAddressList(value) : request.isFirstContact(value) || isAddressList(value);
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
  const salvaged = line === undefined ? undefined : firstVia(line, true);
  if (salvaged === undefined) return { reason, detail, kind: 'request', status: 0, partial: undefined };
  const names: string[] = [];
  const values: string[] = [];
  request.eachField((name, value) => {
    // What is echoed must not carry on what made the request malformed.
    values.push(
      lineSafe(
        name === 'Via' && !names.includes('Via') ? salvaged.via.raw + value.slice(salvaged.end) : value,
      ).replaceAll('\0', ' '),
    );
    names.push(name);
  });
  const partial = new SipRequest(request.method, request.uri);
  partial.adoptFields(names, values);
  // RFC 3261 §17.1.1.3: an ACK is never answered.
  return { reason, detail, kind: 'request', status: request.method === 'ACK' ? 0 : found.status, partial };
}
