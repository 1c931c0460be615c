/** Which of an application's headers reach the engine, under which names, and what is added. Pure. */
import {
  type HeaderField,
  type RequestSpec,
  type ResponseFields,
  canonicalName,
  param,
  parseNameAddr,
} from '../sip/index.js';
import type { AppMessage, AppRequest, AppResponse } from './appMessage.js';

/** The engine's own: whatever the application writes there is dropped silently. */
const IMMUTABLE = new Set(['Via', 'Route', 'Record-Route', 'RSeq', 'Content-Length']);
/** Taken from the transaction or dialog, never from the application's text. */
const IDENTITY = new Set(['From', 'To', 'Call-ID', 'CSeq']);
/** Of a CANCEL everything but the reason and extensions comes from the INVITE (RFC 3261 §9.1). */
const NOT_IN_CANCEL = new Set([
  ...['Contact', 'P-Asserted-Identity', 'Max-Forwards', 'Require', 'Proxy-Require', 'Supported'],
  ...['Content-Type', 'Content-Encoding', 'Content-Disposition', 'Authorization', 'Proxy-Authorization'],
]);

/** Not passed on unless their value is a number of at most ten digits. */
const NUMERIC = new Set(['Expires', 'Max-Forwards', 'Min-Expires']);

const hasContentType = (headers: readonly HeaderField[]): boolean => headers.some(([name]) => name === 'Content-Type');

/** Canonical name of a known header; otherwise capitals after dashes, unless it is an `X-` header. */
export function headerName(written: string): string {
  const known = canonicalName(written);
  if (known !== written || /^x-/i.test(written)) return known;
  return written.replace(/(^|-)([a-z])/g, (match) => match.toUpperCase());
}

function allowedHeaders(message: AppMessage): HeaderField[] {
  const fields: HeaderField[] = [];
  for (const [written, value] of message.headers) {
    const name = headerName(written);
    if (IMMUTABLE.has(name) || (NUMERIC.has(name) && !/^\d{1,10}$/.test(value))) continue;
    fields.push([name, value]);
  }
  return fields;
}

const isSdp = (body: Buffer): boolean => body.length > 2 && body.toString('latin1', 0, 3) === 'v=0';

/** Adds `application/sdp` to a body that begins like SDP. */
function labelled(headers: HeaderField[], body: Buffer): HeaderField[] {
  return isSdp(body) && !hasContentType(headers) ? [...headers, ['Content-Type', 'application/sdp']] : headers;
}

/** First value of a header, any spelling of its name. */
export function headerOf(message: AppMessage, name: string): string | undefined {
  return message.headers.find(([written]) => headerName(written) === name)?.[1];
}

/** A body that says neither by its first bytes nor by a header what it is. */
export function lacksContentType(message: AppMessage): boolean {
  return message.body.length > 0 && !isSdp(message.body) && headerOf(message, 'Content-Type') === undefined;
}

/** Sequence number in the application's CSeq header. */
function cseqOf(message: AppMessage): number | undefined {
  const digits = /^(\d{1,10})\b/.exec(headerOf(message, 'CSeq') ?? '')?.[1];
  const seq = digits === undefined ? undefined : Number(digits);
  // RFC 3261 §8.1.1.5
  return seq !== undefined && seq < 2 ** 31 ? seq : undefined;
}

/** A next hop as drachtio-srf accepts it: a SIP URI, or `host[:port]`. */
const nextHopUri = (written: string): string => (/^sips?:/i.test(written) ? written : `sip:${written}`);

/** Out-of-dialog request. */
export function requestSpec(message: AppRequest, nextHop: string): RequestSpec {
  const headers = allowedHeaders(message).filter(([name]) => !IDENTITY.has(name) && name !== 'Contact');
  return {
    method: message.method,
    uri: message.uri,
    nextHop: nextHop === '' ? undefined : nextHopUri(nextHop),
    from: headerOf(message, 'From'),
    to: headerOf(message, 'To'),
    callId: headerOf(message, 'Call-ID'),
    cseq: cseqOf(message),
    contact: headerOf(message, 'Contact'),
    headers: labelled(headers, message.body),
    body: message.body,
  };
}

/** Request within a dialog, ACK included. */
export function inDialogFields(message: AppRequest): ResponseFields & { readonly cseq?: number | undefined } {
  const headers = allowedHeaders(message).filter(([name]) => !IDENTITY.has(name));
  return { headers: labelled(headers, message.body), body: message.body, cseq: cseqOf(message) };
}

export function cancelHeaders(message: AppRequest): HeaderField[] {
  return allowedHeaders(message).filter(([name]) => !IDENTITY.has(name) && !NOT_IN_CANCEL.has(name));
}

/** Fields to set on the copies of a proxied request. */
export function proxiedHeaders(message: AppRequest): HeaderField[] {
  return allowedHeaders(message).filter(([name]) => !IDENTITY.has(name) && name !== 'Contact');
}

export interface ResponsePlan {
  readonly fields: ResponseFields;
  /** The application asks for a reliable provisional (RFC 3262 §3). */
  readonly reliable: boolean;
}

export function responsePlan(message: AppResponse): ResponsePlan {
  const reliable = message.status > 100 && message.status < 200 && requires100rel(message);
  const headers: HeaderField[] = [];
  for (const [name, value] of allowedHeaders(message)) {
    if (IDENTITY.has(name)) continue;
    // The engine puts 100rel there itself.
    const kept = name === 'Require' && reliable ? without100rel(value) : value;
    if (kept !== '') headers.push([name, kept]);
  }
  const to = parseNameAddr(headerOf(message, 'To') ?? '');
  return {
    reliable,
    fields: {
      reason: message.reason === '' ? undefined : message.reason,
      headers: labelled(headers, message.body),
      body: message.body,
      toTag: (to === undefined ? undefined : param(to.params, 'tag')) || undefined,
    },
  };
}

const optionTags = (value: string): string[] => value.split(',').map((tag) => tag.trim());
const is100rel = (tag: string): boolean => tag.toLowerCase() === '100rel';

function requires100rel(message: AppMessage): boolean {
  return message.headers.some(([name, value]) => headerName(name) === 'Require' && optionTags(value).some(is100rel));
}

function without100rel(value: string): string {
  return optionTags(value)
    .filter((tag) => !is100rel(tag))
    .join(', ');
}
