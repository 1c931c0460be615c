import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** How the server answers one record type of a name: 'silence' never does. */
export type DnsReply =
  | { readonly addresses: readonly string[]; readonly ttlSeconds: number }
  /** SRV: `priority weight port target`. NAPTR: `order preference flags service replacement`. */
  | { readonly records: readonly string[]; readonly ttlSeconds: number }
  | 'nxdomain'
  | 'servfail'
  | 'silence';

export type DnsType = 'a' | 'aaaa' | 'srv' | 'naptr';

export interface DnsServer {
  /** 'address:port', as resolvers take it. */
  readonly address: string;
  /** Questions so far, such as 'a pbx.example'. */
  readonly questions: string[];
  /** Tells the server what to answer; a type it was not told of has no records. */
  set(name: string, type: DnsType, reply: DnsReply): void;
  /** Answers nothing at all any more, or again. */
  mute(muted: boolean): void;
  close(): Promise<void>;
}

const HEADER_BYTES = 12;
const TYPES: Record<number, DnsType> = { 1: 'a', 28: 'aaaa', 33: 'srv', 35: 'naptr' };
const NO_ERROR = 0;
const SERVER_FAILURE = 2;
const NAME_ERROR = 3;

const readName = (query: Buffer): { name: string; end: number } => {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  while (at < query.length && query[at] !== 0) {
    const length = query[at] ?? 0;
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += length + 1;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 5 };
};

/** The 4 or 16 octets of a written address (IPv6 with at most one '::' and no embedded IPv4). */
const addressBytes = (address: string): Buffer => {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
};

const nameBytes = (name: string): Buffer => {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([...labels.map(textBytes), Buffer.alloc(1)]);
};

/** RFC 1035 §3.3: a character-string. */
const textBytes = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text, 'latin1')]);

const numbers = (...values: readonly (string | undefined)[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, i) => bytes.writeUInt16BE(Number(value), i * 2));
  return bytes;
};

const serviceBytes = (record: string): Buffer => {
  const [priority, weight, port, target = ''] = record.split(' ');
  return Buffer.concat([numbers(priority, weight, port), nameBytes(target)]);
};

const namingBytes = (record: string): Buffer => {
  const [order, preference, flags = '', service = '', replacement = ''] = record.split(' ');
  const texts = [flags, service, ''].map(textBytes);
  return Buffer.concat([numbers(order, preference), ...texts, nameBytes(replacement)]);
};

/** What the records hold. */
const dataOf = (type: DnsType, reply: DnsReply): readonly Buffer[] => {
  if (typeof reply === 'string') return [];
  if ('addresses' in reply) return reply.addresses.map(addressBytes);
  return reply.records.map(type === 'srv' ? serviceBytes : namingBytes);
};

const encodeReply = (query: Buffer, end: number, type: DnsType, reply: DnsReply): Buffer => {
  const records = dataOf(type, reply);
  const rcode = reply === 'nxdomain' ? NAME_ERROR : reply === 'servfail' ? SERVER_FAILURE : NO_ERROR;
  const head = Buffer.alloc(HEADER_BYTES);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8580 | rcode, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  const answers = records.map((data) => {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    query.copy(record, 2, end - 4, end - 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(typeof reply === 'string' ? 0 : reply.ttlSeconds, 6);
    record.writeUInt16BE(data.length, 10);
    return Buffer.concat([record, data]);
  });
  return Buffer.concat([head, query.subarray(HEADER_BYTES, end), ...answers]);
};

/** A DNS server on a loopback address for A, AAAA, SRV and NAPTR questions over UDP. */
export const startDnsServer = async (address: string, port: number): Promise<DnsServer> => {
  const replies = new Map<string, DnsReply>();
  const questions: string[] = [];
  let muted = false;
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const { name, end } = readName(query);
    const type = TYPES[query.readUInt16BE(end - 4)];
    if (type === undefined) return;
    questions.push(`${type} ${name}`);
    const reply = replies.get(`${type} ${name}`) ?? { addresses: [], ttlSeconds: 0 };
    if (muted || reply === 'silence') return;
    socket.send(encodeReply(query, end, type, reply), from.port, from.address);
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  return {
    address: `${address}:${socket.address().port}`,
    questions,
    set: (name, type, reply) => replies.set(`${type} ${name}`, reply),
    mute: (value) => {
      muted = value;
    },
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
};
