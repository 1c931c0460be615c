/**
 * SIP text as an application writes it into a frame: a start line and some headers, neither complete nor meant for
 * the wire. Content-Length is not believed (drachtio-srf counts characters): the body is what follows the blank line.
 */
import { type Result, err, ok } from '../kernel/index.js';
import type { HeaderField } from '../sip/index.js';

interface AppContent {
  readonly startLine: string;
  /** In the order and with the names written; names and values are byte strings (latin1). */
  readonly headers: readonly HeaderField[];
  readonly body: Buffer;
}

export interface AppRequest extends AppContent {
  readonly kind: 'request';
  readonly method: string;
  readonly uri: string;
}

export interface AppResponse extends AppContent {
  readonly kind: 'response';
  readonly status: number;
  /** Empty when none was written. */
  readonly reason: string;
}

export type AppMessage = AppRequest | AppResponse;

/** RFC 3261 §25.1 token. */
const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]+$/;
const STATUS_LINE = /^SIP\/2\.0 ([1-6]\d\d)(?: (.*))?$/i;
const REQUEST_LINE = /^([^ ]+) ([^ ]+) SIP\/2\.0$/i;
// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const UNPRINTABLE = /[\x00-\x08\x0a-\x1f\x7f]/;

/** The failure is the start line that could not be read. */
export function parseAppMessage(text: Buffer): Result<AppMessage, string> {
  const headEnd = text.indexOf('\r\n\r\n');
  const head = text.toString('latin1', 0, headEnd < 0 ? text.length : headEnd);
  const body = headEnd < 0 ? Buffer.alloc(0) : Buffer.from(text.subarray(headEnd + 4));
  const lines = head.split('\r\n');
  const startLine = (lines[0] as string).trim();
  if (UNPRINTABLE.test(startLine)) return err('');
  const content = { startLine, headers: parseHeaders(lines), body };
  const status = STATUS_LINE.exec(startLine);
  if (status !== null) {
    return ok({ ...content, kind: 'response', status: Number(status[1]), reason: status[2] ?? '' });
  }
  const request = REQUEST_LINE.exec(startLine);
  if (request === null || !TOKEN.test(request[1] as string)) return err(startLine);
  return ok({ ...content, kind: 'request', method: request[1] as string, uri: request[2] as string });
}

/** Fields with an impossible name or value are left out, as the reference server does. */
function parseHeaders(lines: readonly string[]): HeaderField[] {
  const fields: [string, string][] = [];
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string;
    const last = fields.at(-1);
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (last !== undefined) last[1] += ` ${line.trim()}`;
      continue;
    }
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    fields.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
  }
  return fields.filter(([name, value]) => TOKEN.test(name) && !UNPRINTABLE.test(value));
}
