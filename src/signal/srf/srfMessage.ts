import { canonicalName } from '../../sip/index.js';
import type { HeaderEntry, SignalMessage } from '../port.js';
import type { SrfRawMessage } from './srfTypes.js';
import { fromSrf, tagOf } from './srfText.js';

/**
 * A message read from the text of a frame. srf's own reading is not used: it joins repeated fields, changes the case
 * of names, and cuts a body at an empty line where Content-Length is missing.
 */
export class SrfMessage implements SignalMessage {
  readonly method: string;
  readonly uri: string | undefined;
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly body: Buffer;
  readonly #fields: HeaderEntry[] = [];

  constructor(text: string) {
    const end = text.indexOf('\r\n\r\n');
    const [start = '', ...lines] = fromSrf(end < 0 ? text : text.slice(0, end))
      .replace(/\r\n[ \t]+/g, ' ')
      .split('\r\n');
    this.body = Buffer.from(end < 0 ? '' : text.slice(end + 4), 'utf8');
    for (const line of lines) {
      const colon = line.indexOf(':');
      if (colon > 0) this.#fields.push([canonicalName(line.slice(0, colon).trim()), line.slice(colon + 1).trim()]);
    }
    const response = /^SIP\/2\.0\s+(\d{3})\s*(.*)$/i.exec(start);
    const [method = '', uri = ''] = start.split(' ');
    this.method = response === null ? method : this.cseq.method;
    this.uri = response === null ? uri : undefined;
    this.status = response === null ? undefined : Number(response[1]);
    this.reason = response?.[2];
  }

  get callId(): string {
    return this.header('Call-ID') ?? '';
  }
  get fromTag(): string {
    return tagOf(this.header('From'));
  }
  get toTag(): string {
    return tagOf(this.header('To'));
  }
  get cseq(): { readonly seq: number; readonly method: string } {
    const [seq = '0', method = ''] = (this.header('CSeq') ?? '').split(/\s+/);
    return { seq: Number(seq), method };
  }
  get contentType(): string | undefined {
    return this.header('Content-Type');
  }

  header(name: string): string | undefined {
    const wanted = canonicalName(name).toLowerCase();
    return this.#fields.find(([field]) => field.toLowerCase() === wanted)?.[1];
  }

  headers(): HeaderEntry[] {
    return [...this.#fields];
  }
}

export function readMessage(message: SrfRawMessage | undefined): SrfMessage {
  return new SrfMessage(message?.raw ?? '');
}
