/** A few lines of SIP text handling for test peers. It shares nothing with the product, so that it can bear witness. */

export type PeerHeader = readonly [name: string, value: string];

const COMPACT: Record<string, string> = {
  v: 'via', f: 'from', t: 'to', i: 'call-id', m: 'contact', l: 'content-length',
  c: 'content-type', k: 'supported', s: 'subject', e: 'content-encoding', r: 'refer-to',
}; // prettier-ignore

const fullName = (name: string): string => COMPACT[name.toLowerCase()] ?? name.toLowerCase();

/** A message as it was read: head as latin1 text, body as octets. */
export class PeerMessage {
  readonly startLine: string;
  readonly headers: PeerHeader[] = [];
  readonly body: Buffer;
  readonly raw: Buffer;
  readonly address: string;
  readonly port: number;

  constructor(raw: Buffer, address = '', port = 0) {
    this.raw = raw;
    this.address = address;
    this.port = port;
    const end = raw.indexOf('\r\n\r\n');
    const head = raw.toString('latin1', 0, end < 0 ? raw.length : end);
    this.body = end < 0 ? Buffer.alloc(0) : raw.subarray(end + 4);
    const lines = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n');
    this.startLine = lines[0] ?? '';
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      if (colon > 0) this.headers.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
    }
  }

  get isRequest(): boolean {
    return !this.startLine.startsWith('SIP/2.0');
  }
  /** Method of a request, or of the request that a response answers. */
  get method(): string {
    return this.isRequest ? (this.startLine.split(' ')[0] ?? '') : (this.cseq.split(' ')[1] ?? '');
  }
  get uri(): string {
    return this.isRequest ? (this.startLine.split(' ')[1] ?? '') : '';
  }
  get status(): number {
    return this.isRequest ? 0 : Number(this.startLine.split(' ')[1]);
  }
  get reason(): string {
    return this.isRequest ? '' : this.startLine.split(' ').slice(2).join(' ');
  }
  get text(): string {
    return this.body.toString('utf8');
  }
  get cseq(): string {
    return this.header('CSeq') ?? '';
  }
  get cseqNumber(): number {
    return Number(this.cseq.split(' ')[0]);
  }
  get callId(): string {
    return this.header('Call-ID') ?? '';
  }
  get fromTag(): string {
    return tagOf(this.header('From') ?? '');
  }
  get toTag(): string {
    return tagOf(this.header('To') ?? '');
  }
  get branch(): string {
    return /;branch=([^;,\s]+)/i.exec(this.header('Via') ?? '')?.[1] ?? '';
  }

  header(name: string): string | undefined {
    return this.headerAll(name)[0];
  }

  headerAll(name: string): string[] {
    const wanted = fullName(name);
    return this.headers.filter(([n]) => fullName(n) === wanted).map(([, value]) => value);
  }

  toString(): string {
    return this.isRequest ? `${this.method} ${this.uri}` : `${this.status} ${this.reason} (${this.method})`;
  }
}

export function tagOf(field: string): string {
  return /;tag=([^;,\s>]+)/i.exec(field)?.[1] ?? '';
}

/** URI of a name-addr or addr-spec, without header parameters. */
export function uriOf(field: string): string {
  return /<([^>]*)>/.exec(field)?.[1] ?? field.split(';')[0]?.trim() ?? '';
}

/** `host:port` of a SIP URI; port 5060 where it has none. */
export function hostPortOf(uri: string): { readonly address: string; readonly port: number } {
  const rest =
    uri
      .replace(/^sips?:/i, '')
      .replace(/^[^@;?]*@/, '')
      .split(/[;?]/)[0] ?? '';
  const bracket = /^\[([^\]]+)\](?::(\d+))?$/.exec(rest);
  if (bracket) return { address: bracket[1] as string, port: Number(bracket[2] ?? 5060) };
  const [address = '', port = '5060'] = rest.split(':');
  return { address, port: Number(port) };
}

/** Content-Length is appended. */
export function printMessage(startLine: string, headers: readonly PeerHeader[], body: Buffer): Buffer {
  const lines = [startLine, ...headers.map(([n, v]) => `${n}: ${v}`), `Content-Length: ${body.length}`, '', ''];
  return Buffer.concat([Buffer.from(lines.join('\r\n'), 'latin1'), body]);
}

export function toBody(body: string | Buffer | undefined): Buffer {
  return body === undefined ? Buffer.alloc(0) : typeof body === 'string' ? Buffer.from(body, 'utf8') : body;
}

/** Cuts complete messages off the front of a stream's buffer. */
export function cutStream(buffer: Buffer): { readonly messages: Buffer[]; readonly rest: Buffer } {
  const messages: Buffer[] = [];
  let rest = buffer;
  for (;;) {
    while (rest.length > 0 && (rest[0] === 13 || rest[0] === 10)) rest = rest.subarray(1);
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return { messages, rest };
    const head = rest.toString('latin1', 0, end);
    const length = Number(/^(?:content-length|l)\s*:\s*(\d+)/im.exec(head)?.[1] ?? 0);
    if (rest.length < end + 4 + length) return { messages, rest };
    messages.push(Buffer.from(rest.subarray(0, end + 4 + length)));
    rest = rest.subarray(end + 4 + length);
  }
}
