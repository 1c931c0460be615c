import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** How the server answers one record type of a name: 'silence' never does. */
export type DnsReply =
  { readonly addresses: readonly string[]; readonly ttlSeconds: number } | 'nxdomain' | 'servfail' | 'silence';

export interface DnsServer {
  /** 'address:port', as resolvers take it. */
  readonly address: string;
  /** Questions so far, such as 'a pbx.example'. */
  readonly questions: string[];
  /** Tells the server what to answer; a type it was not told of has no records. */
  set(name: string, type: 'a' | 'aaaa', reply: DnsReply): void;
  /** Answers nothing at all any more, or again. */
  mute(muted: boolean): void;
  close(): Promise<void>;
}

const HEADER_BYTES = 12;
const TYPES: Record<number, 'a' | 'aaaa'> = { 1: 'a', 28: 'aaaa' };
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

const encodeReply = (query: Buffer, end: number, reply: DnsReply): Buffer => {
  const records = typeof reply === 'string' ? [] : reply.addresses;
  const rcode = reply === 'nxdomain' ? NAME_ERROR : reply === 'servfail' ? SERVER_FAILURE : NO_ERROR;
  const head = Buffer.alloc(HEADER_BYTES);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8580 | rcode, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  const answers = records.map((address) => {
    const data = addressBytes(address);
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(data.length === 4 ? 1 : 28, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(typeof reply === 'string' ? 0 : reply.ttlSeconds, 6);
    record.writeUInt16BE(data.length, 10);
    return Buffer.concat([record, data]);
  });
  return Buffer.concat([head, query.subarray(HEADER_BYTES, end), ...answers]);
};

/** A DNS server on a loopback address for A and AAAA questions over UDP. */
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
    socket.send(encodeReply(query, end, reply), from.port, from.address);
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
