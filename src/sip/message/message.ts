import { decimal, isToken, sameLetters } from './chars.js';
import { type CSeq, parseCSeq } from './cseq.js';
import { knownName, lineStart } from './headerNames.js';
import { type NameAddr, parseNameAddr, splitList } from './nameAddr.js';
import { reasonPhrase, statusLine } from './reasons.js';
import { lineSafe, sliceTrimmed, trimSpace, writeByteString } from './text.js';
import { parseUri, type SipUri } from './uri.js';
import { firstVia, type Via } from './via.js';

export { detach } from './text.js';

export type { CSeq } from './cseq.js';

const NO_BODY = Buffer.alloc(0);
const NO_ADDRESS: NameAddr = { display: undefined, uri: '', params: '', bracketed: false };
const NO_CSEQ: CSeq = { seq: 0, method: '' };
const NO_VIA: Via = {
  transport: '',
  host: '',
  port: undefined,
  branch: undefined,
  received: undefined,
  rport: undefined,
  maddr: undefined,
  raw: '',
  length: 0,
};

/**
 * A request or response: header fields in order, names canonical, values unfolded byte strings; structured values are
 * parsed when first asked for. Text given to the building methods is made line-safe; a field whose name is no token is
 * not added.
 */
export abstract class SipMessage {
  /** Byte-exact; may be a view into the received packet. */
  body: Buffer = NO_BODY;
  private names: string[];
  private values: string[];
  private fromRead: NameAddr | undefined;
  private toRead: NameAddr | undefined;
  private cseqRead: CSeq | undefined;
  private viaRead: Via | undefined;
  private contactRead: NameAddr | undefined;

  /** Start line without its line end. */
  abstract startLine(): string;

  /** Takes fields over as they are: canonical names, clean values. For the parser and for `responseTo`. */
  constructor(names: string[] = [], values: string[] = []) {
    this.names = names;
    this.values = values;
  }

  /** Keeps the structured values that the parser has read while it checked them. */
  adoptRead(from: NameAddr, to: NameAddr, cseq: CSeq, via: Via): void {
    this.fromRead = from;
    this.toRead = to;
    this.cseqRead = cseq;
    this.viaRead = via;
  }

  /** Keeps the first contact that the parser has read. */
  adoptContact(contact: NameAddr): void {
    this.contactRead ??= contact;
  }

  /** Number of field lines. */
  get size(): number {
    return this.names.length;
  }

  /** Canonical name of a field line. */
  nameAt(i: number): string {
    return this.names[i]!;
  }

  valueAt(i: number): string {
    return this.values[i]!;
  }

  /** Hands each field to the visitor, in order. */
  eachField(visit: (canonical: string, value: string) => void): void {
    for (let i = 0; i < this.names.length; i++) visit(this.names[i]!, this.values[i]!);
  }

  /** First field of this name (any spelling); trimmed and unfolded. */
  header(name: string): string | undefined {
    const i = this.find(knownName(name), name, 0);
    return i < 0 ? undefined : this.values[i];
  }

  /** Values of all field lines of this name. */
  headerAll(name: string): string[] {
    const known = knownName(name);
    const out: string[] = [];
    for (let i = this.find(known, name, 0); i >= 0; i = this.find(known, name, i + 1)) out.push(this.values[i]!);
    return out;
  }

  /** All lines of this name, split at commas outside quotes and angle brackets. */
  headerList(name: string): string[] {
    const lines = this.headerAll(name);
    return lines.length === 1 ? splitList(lines[0]!) : lines.flatMap(splitList);
  }

  /** All fields in order, with canonical names. */
  headers(): [string, string][] {
    return this.names.map((name, i) => [name, this.values[i]!]);
  }

  /** Number of field lines of this name. */
  count(name: string): number {
    const known = knownName(name);
    let n = 0;
    for (let i = this.find(known, name, 0); i >= 0; i = this.find(known, name, i + 1)) n++;
    return n;
  }

  /** Replaces all fields of this name by one, at the place of the first. */
  set(name: string, value: string): this {
    const known = knownName(name);
    const first = this.find(known, name, 0);
    if (first < 0) return this.add(name, value);
    this.values[first] = trimSpace(lineSafe(value));
    this.removeFrom(known, name, first + 1);
    this.forget(known);
    return this;
  }

  /** Appends a field. */
  add(name: string, value: string): this {
    const known = knownName(name);
    if (known === undefined && !isToken(name)) return this;
    this.names.push(known ?? name);
    this.values.push(trimSpace(lineSafe(value)));
    this.forget(known);
    return this;
  }

  /** Puts a field before those of its name, or, when it is the first, before all others. */
  prepend(name: string, value: string): this {
    const known = knownName(name);
    if (known === undefined && !isToken(name)) return this;
    const first = this.find(known, name, 0);
    if (first <= 0) {
      this.names.unshift(known ?? name);
      this.values.unshift(trimSpace(lineSafe(value)));
    } else {
      this.names.splice(first, 0, known ?? name);
      this.values.splice(first, 0, trimSpace(lineSafe(value)));
    }
    this.forget(known);
    return this;
  }

  /** Removes all fields of this name. */
  remove(name: string): this {
    const known = knownName(name);
    this.removeFrom(known, name, 0);
    this.forget(known);
    return this;
  }

  /** Replaces the first Via value; those after it, in the same line or not, stay untouched. */
  replaceTopVia(value: string): void {
    const i = this.find('Via', 'Via', 0);
    if (i < 0) return;
    const line = this.values[i]!;
    const end = this.readTopVia()?.length ?? line.length;
    this.values[i] = trimSpace(lineSafe(value)) + line.slice(end);
    this.viaRead = undefined;
  }

  /** Removes the first Via value, and its line when it was alone in it. */
  removeTopVia(): void {
    const i = this.find('Via', 'Via', 0);
    if (i < 0) return;
    const line = this.values[i]!;
    const end = this.readTopVia()?.length ?? line.length;
    if (end < line.length) this.values[i] = sliceTrimmed(line, end + 1, line.length);
    else {
      this.names.splice(i, 1);
      this.values.splice(i, 1);
    }
    this.viaRead = undefined;
  }

  /** '' when absent. */
  get callId(): string {
    return this.header('Call-ID') ?? '';
  }

  get fromTag(): string | undefined {
    return this.from.tag;
  }

  get toTag(): string | undefined {
    return this.to.tag;
  }

  /** An address with an empty URI when absent or malformed, which no parsed message is. */
  get from(): NameAddr {
    return this.readFrom() ?? NO_ADDRESS;
  }

  get to(): NameAddr {
    return this.readTo() ?? NO_ADDRESS;
  }

  /** `{seq: 0, method: ''}` when absent or malformed, which no parsed message is. */
  get cseq(): CSeq {
    return this.readCSeq() ?? NO_CSEQ;
  }

  /** A Via with an empty transport when absent or malformed, which no parsed message is. */
  get topVia(): Via {
    return this.readTopVia() ?? NO_VIA;
  }

  /** The first contact; undefined for none, for `*` and for a malformed one. */
  get contact(): NameAddr | undefined {
    if (this.contactRead !== undefined) return this.contactRead;
    const value = this.header('Contact');
    if (value === undefined) return undefined;
    this.contactRead = parseNameAddr(value.includes(',') ? (splitList(value)[0] ?? '') : value);
    return this.contactRead;
  }

  /** Undefined when absent or malformed. */
  readFrom(): NameAddr | undefined {
    return (this.fromRead ??= this.parsed('From', parseNameAddr));
  }

  readTo(): NameAddr | undefined {
    return (this.toRead ??= this.parsed('To', parseNameAddr));
  }

  readCSeq(): CSeq | undefined {
    return (this.cseqRead ??= this.parsed('CSeq', parseCSeq));
  }

  readTopVia(): Via | undefined {
    return (this.viaRead ??= this.parsed('Via', firstVia));
  }

  /** Start line and header fields with the empty line; Content-Length is that of the body. */
  headBytes(): Buffer {
    return Buffer.from(this.head(), 'latin1');
  }

  /** The message as it goes on the wire. Content-Length is that of the body, the body is byte-exact. */
  toBuffer(): Buffer {
    const head = this.head();
    const body = this.body;
    const out = Buffer.allocUnsafe(head.length + body.length);
    writeByteString(out, head, 0);
    if (body.length > 0) body.copy(out, head.length);
    return out;
  }

  /** How long it is as printed, to within a Content-Length that is not there yet. */
  get octets(): number {
    const { names, values } = this;
    let octets = this.startLine().length + 4 + this.body.length;
    for (let i = 0; i < names.length; i++) octets += names[i]!.length + values[i]!.length + 4;
    return octets;
  }

  /** Two pieces a field: each piece that is added is an object until the whole is written. */
  private head(): string {
    const names = this.names;
    const values = this.values;
    let out = this.startLine();
    let sized = false;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      if (name !== 'Content-Length') out += lineStart(name) + values[i]!;
      else if (!sized) {
        out += lengthLine(this.body.length);
        sized = true;
      }
    }
    return sized ? out + '\r\n\r\n' : out + lengthLine(this.body.length) + '\r\n\r\n';
  }

  private parsed<T>(canonical: string, parse: (value: string) => T | undefined): T | undefined {
    const i = this.find(canonical, canonical, 0);
    return i < 0 ? undefined : parse(this.values[i]!);
  }

  /** Index of the next field: `known` where the name is a registered one, else any spelling of `name`. */
  private find(known: string | undefined, name: string, from: number): number {
    const names = this.names;
    if (known !== undefined) {
      for (let i = from; i < names.length; i++) if (names[i] === known) return i;
      return -1;
    }
    for (let i = from; i < names.length; i++) if (sameLetters(names[i]!, name)) return i;
    return -1;
  }

  private removeFrom(known: string | undefined, name: string, from: number): void {
    let kept = from;
    for (let i = from; i < this.names.length; i++) {
      const here = this.names[i]!;
      if (known === undefined ? sameLetters(here, name) : here === known) continue;
      this.names[kept] = here;
      this.values[kept++] = this.values[i]!;
    }
    this.names.length = kept;
    this.values.length = kept;
  }

  private forget(known: string | undefined): void {
    if (known === 'Via') this.viaRead = undefined;
    else if (known === 'From') this.fromRead = undefined;
    else if (known === 'To') this.toRead = undefined;
    else if (known === 'CSeq') this.cseqRead = undefined;
    else if (known === 'Contact') this.contactRead = undefined;
  }
}

const NO_LENGTH = '\r\nContent-Length: 0';
const lengthLine = (octets: number): string => (octets === 0 ? NO_LENGTH : '\r\nContent-Length: ' + octets);

export class SipRequest extends SipMessage {
  readonly method: string;
  /** Request-URI as written. */
  uri: string;
  private uriOf: string | undefined;
  private uriRead: SipUri | undefined;

  constructor(method: string, uri: string, names?: string[], values?: string[]) {
    super(names, values);
    this.method = method;
    this.uri = uri;
  }

  /** Keeps the Request-URI that the parser has read. */
  adoptUri(parsed: SipUri): void {
    this.uriOf = this.uri;
    this.uriRead = parsed;
  }

  /** The Request-URI parsed; undefined when malformed. */
  get parsedUri(): SipUri | undefined {
    if (this.uriOf !== this.uri) {
      this.uriOf = this.uri;
      this.uriRead = parseUri(this.uri);
    }
    return this.uriRead;
  }

  /** 0-255; undefined when absent or malformed: then 70 applies (RFC 3261 §20.22 and §16.3). */
  get maxForwards(): number | undefined {
    const value = this.header('Max-Forwards');
    const hops = value === undefined ? -1 : decimal(value, 0, value.length, 255);
    return hops < 0 ? undefined : hops;
  }

  override startLine(): string {
    return lineSafe(this.method) + ' ' + lineSafe(this.uri) + ' SIP/2.0';
  }
}

export class SipResponse extends SipMessage {
  /** 100-699 */
  readonly status: number;
  /** Byte string; may be empty. */
  readonly reason: string;

  constructor(status: number, reason?: string, names?: string[], values?: string[]) {
    super(names, values);
    this.status = status;
    this.reason = reason ?? reasonPhrase(status);
  }

  override startLine(): string {
    return statusLine(this.status, lineSafe(this.reason));
  }
}
