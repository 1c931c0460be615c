import { hostPort } from '../../kernel/index.js';
import type { Content, HeaderEntry, InviteSpec } from '../port.js';

/*
 * srf speaks JavaScript strings in UTF-8 frames; the port speaks byte strings and octets. Both conversions are exact
 * for valid UTF-8, which is what SDP, XML and RFC 3261 text are. Octets that are not UTF-8 do not survive srf.
 */
const isAscii = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
};

/** Byte string to the string that srf will encode into the same octets. A value can never start a line of its own. */
export function toSrf(value: string): string {
  const text = isAscii(value) ? value : Buffer.from(value, 'latin1').toString('utf8');
  return /[\r\n\0]/.test(text) ? text.replace(/[\r\n\0]+/g, ' ') : text;
}

/** Where the server is to send a request; undefined: where its URI leads. */
export function proxyOf({ nextHop, target }: Pick<InviteSpec, 'nextHop' | 'target'>): string | undefined {
  // Over TLS the server must know the name, to ask for it and to check it.
  if (target === undefined || target.transport === 'tls' || target.transport === 'wss') {
    return nextHop === undefined ? undefined : toSrf(nextHop);
  }
  return `sip:${hostPort(target.address, target.port)};transport=${target.transport}`;
}

/** Text of a frame to the byte string that was on the wire. */
export function fromSrf(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

export const hasLineBreak = (text: string): boolean => /[\r\n\0]/.test(text);

/** Fields that belong to the dialog or the transaction; the server writes them. */
const OWNED = new Set(['via', 'v', 'from', 'f', 'to', 't', 'call-id', 'i', 'cseq', 'content-length', 'l']);

/**
 * srf takes one value per field name. Further values of a field become further lines of the same text: joining them
 * with commas would be wrong for some fields (RFC 3261 §7.3.1).
 */
export function headerObject(
  headers: readonly HeaderEntry[] | undefined,
  content: Content = {},
): Record<string, string> {
  const fields: Record<string, string> = {};
  const spelling = new Map<string, string>();
  const add = (name: string, value: string): void => {
    const lower = name.toLowerCase();
    if (OWNED.has(lower) || !/^[\w.!%*+`'~-]+$/.test(name)) return;
    const known = spelling.get(lower);
    spelling.set(lower, known ?? name);
    const text = toSrf(value);
    fields[known ?? name] = known === undefined ? text : `${fields[known] ?? ''}\r\n${known}: ${text}`;
  };
  for (const [name, value] of headers ?? []) {
    if (content.contentType !== undefined && /^(content-type|c)$/i.test(name)) continue;
    add(name, value);
  }
  if (content.contentType !== undefined && content.body !== undefined) add('Content-Type', content.contentType);
  return fields;
}

function bodyText(content: Content | undefined): string | undefined {
  const body = content?.body;
  return body === undefined || body.length === 0 ? undefined : body.toString('utf8');
}

/** What srf takes along with a request, a response or an ACK. */
export function srfContent(
  headers: readonly HeaderEntry[] | undefined,
  content: Content = {},
): { headers: Record<string, string>; body?: string } {
  const body = bodyText(content);
  const fields = headerObject(headers, content);
  return body === undefined ? { headers: fields } : { headers: fields, body };
}

/** From field with our tag. A bare URI is bracketed: its parameters would otherwise be the field's (RFC 3261 §20.10). */
export function taggedFrom(from: string, tag: string): string {
  const text = toSrf(from).trim();
  return `${text.includes('<') ? text : `<${text}>`};tag=${tag}`;
}

export function tagOf(field: string | undefined): string {
  return /;\s*tag\s*=\s*([^;,\s>]+)/i.exec((field ?? '').replace(/^[^<]*<[^>]*>/, ''))?.[1] ?? '';
}

/**
 * The server names a dialog by Call-ID and the From tag of its first INVITE, whichever side sent that. The name is a
 * token of a frame's first line, so what would end a token or the line is replaced.
 */
export function dialogIdOf(callId: string, fromTag: string): string {
  return `${callId};from-tag=${fromTag}`.replace(/[|\r\n]/g, '_');
}
