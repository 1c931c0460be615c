/**
 * Streams made to be misread: a table of cases, each over TCP in every way of cutting it. Nothing inside a body may be
 * taken for a message, no message may be lost, and where the border cannot be told there is a 400 and the end.
 */
import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { SimResolver } from '../../src/net/index.js';
import { type SipNetwork, type StreamConnection, type StreamSink, createEngine } from '../../src/sip/index.js';

const request = (call: string, lines: readonly string[], body = ''): string =>
  [
    'OPTIONS sip:127.0.37.1 SIP/2.0',
    `Via: SIP/2.0/TCP 127.0.37.9:5060;branch=z9hG4bK${call}`,
    'Max-Forwards: 70',
    'From: <sip:a@127.0.37.9>;tag=1',
    'To: <sip:b@127.0.37.1>',
    `Call-ID: ${call}`,
    'CSeq: 1 OPTIONS',
    ...lines,
    '',
    body,
  ].join('\r\n');

const sized = (call: string, body = ''): string => request(call, [`Content-Length: ${body.length}`], body);
/** What must never be heard: it lies within a body, or behind a border that cannot be told. */
const SMUGGLED = sized('smuggled');
const with5 = (...lines: string[]): string => request('a', lines, 'hello') + sized('b');
/** A body that is a whole request, behind a length that one may read in two ways. */
const hidden = (...lines: string[]): string => request('a', lines, SMUGGLED);

interface Case {
  readonly name: string;
  readonly stream: string;
  /** Call-IDs that are answered 200, in order. */
  readonly heard: readonly string[];
  /** The stream ends, with a 400 before it unless that is `silently`. */
  readonly ends?: true | 'silently';
  readonly pongs?: number;
}

const CASES: readonly Case[] = [
  { name: 'two messages in one segment', stream: sized('a') + sized('b'), heard: ['a', 'b'] },
  { name: 'a request within a body', stream: sized('a', SMUGGLED) + sized('b'), heard: ['a', 'b'] },
  { name: 'a keep-alive before a message', stream: `\r\n\r\n${sized('a')}`, heard: ['a'], pongs: 1 },
  { name: 'a single CRLF before a message', stream: `\r\n${sized('a')}`, heard: ['a'], pongs: 0 },
  {
    name: 'keep-alives between messages',
    stream: `${sized('a')}\r\n\r\n\r\n\r\n${sized('b')}`,
    heard: ['a', 'b'],
    pongs: 2,
  },
  { name: 'the same length twice', stream: with5('Content-Length: 5', 'l: 5'), heard: ['a', 'b'] },
  { name: 'leading zeros', stream: with5('Content-Length: 0005'), heard: ['a', 'b'] },
  { name: 'blanks before the colon', stream: with5('Content-Length \t: 5'), heard: ['a', 'b'] },
  { name: 'a folded length', stream: with5('Content-Length:\r\n 5'), heard: ['a', 'b'] },
  { name: 'the compact name in capitals', stream: with5('L: 5'), heard: ['a', 'b'] },
  {
    name: 'two lengths',
    stream: hidden('Content-Length: 0', `Content-Length: ${SMUGGLED.length}`),
    heard: [],
    ends: true,
  },
  {
    name: 'two lengths, one compact',
    stream: hidden(`l: ${SMUGGLED.length}`, 'Content-Length: 0'),
    heard: [],
    ends: true,
  },
  { name: 'a list of lengths', stream: hidden(`Content-Length: 0, ${SMUGGLED.length}`), heard: [], ends: true },
  { name: 'a negative length', stream: hidden('Content-Length: -1'), heard: [], ends: true },
  { name: 'a signed length', stream: hidden('Content-Length: +0'), heard: [], ends: true },
  { name: 'a length in hexadecimal', stream: hidden('Content-Length: 0x0'), heard: [], ends: true },
  { name: 'a length with a fraction', stream: hidden('Content-Length: 0.0'), heard: [], ends: true },
  { name: 'a length with something behind it', stream: hidden('Content-Length: 0 0'), heard: [], ends: true },
  { name: 'an empty length', stream: hidden('Content-Length:'), heard: [], ends: true },
  { name: 'a length of 2 to the 32nd', stream: hidden('Content-Length: 4294967296'), heard: [], ends: true },
  { name: 'a length beyond every number', stream: hidden(`Content-Length: ${'9'.repeat(400)}`), heard: [], ends: true },
  { name: 'a length beyond the bound', stream: hidden('Content-Length: 65537'), heard: [], ends: true },
  { name: 'no length', stream: hidden(), heard: [], ends: true },
  {
    name: 'a length behind half a line end',
    stream: hidden(`X: y\nContent-Length: ${SMUGGLED.length}`, 'Content-Length: 0'),
    heard: [],
    ends: true,
  },
  { name: 'half line ends alone', stream: hidden('X: y\nZ: y', 'Content-Length: 0'), heard: [], ends: true },
  {
    name: 'a CR by itself',
    stream: hidden(`X: y\rContent-Length: ${SMUGGLED.length}`, 'Content-Length: 0'),
    heard: [],
    ends: true,
  },
  {
    name: 'a NUL in the name',
    stream: hidden(`Content-Length\0: ${SMUGGLED.length}`, 'Content-Length: 0'),
    heard: [],
    ends: true,
  },
  {
    name: 'a length behind too many fields',
    stream: hidden(
      'Content-Length: 0',
      ...Array.from({ length: 300 }, () => 'X: y'),
      `Content-Length: ${SMUGGLED.length}`,
    ),
    heard: [],
    ends: true,
  },
  { name: 'a head without end', stream: request('a', [`X: ${'y'.repeat(40_000)}`]), heard: [], ends: true },
  { name: 'something else', stream: `GET / HTTP/1.1\r\nHost: x\r\n\r\n${SMUGGLED}`, heard: [], ends: 'silently' },
  {
    name: 'a response without length',
    stream: `SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h\r\n\r\n${SMUGGLED}`,
    heard: [],
    ends: 'silently',
  },
];

/** An engine whose one stream is fed by hand. */
const serve = async () => {
  const clock = new ManualClock();
  const heard: string[] = [];
  const faults: unknown[] = [];
  let accept: (connection: StreamConnection) => StreamSink = () => {
    throw new Error('nobody listens');
  };
  const network: SipNetwork = {
    bindDatagram: () => Promise.reject(new Error('no datagrams here')),
    listenStream: (local, accepting) => {
      accept = accepting;
      return Promise.resolve({ local, close: () => {} });
    },
    connectStream: () => {
      throw new Error('nobody is called');
    },
  };
  const engine = await createEngine({
    network,
    clock,
    random: new SeededRandom(1),
    resolver: new SimResolver({}, { clock }),
    listen: [{ transport: 'tcp', address: '127.0.37.1', port: 5060 }],
    handler: {
      onInvite: (invite) => void invite.respond(486),
      onRequest: (offered) => {
        heard.push(offered.request.callId);
        offered.respond(200);
      },
    },
    onEvent: (event) => {
      if (event.type === 'user_error') faults.push(event.error);
    },
  });
  const local = { address: '127.0.37.1', port: 5060 };
  /** @returns what the peer of one connection hears */
  const connect = (messages = false) => {
    const wire = { text: '', closed: false };
    const remote = { address: '127.0.37.9', port: 40_000 + heard.length };
    const sink = accept({
      local,
      remote,
      messages,
      write: (data) => {
        if (!wire.closed) wire.text += data.toString('latin1');
        return !wire.closed;
      },
      close: () => {
        if (wire.closed) return;
        wire.closed = true;
        sink.onClose();
      },
    });
    return {
      wire,
      send: (piece: Buffer): void => void (wire.closed || sink.onData(Buffer.from(piece))),
      end: () => sink.onClose(),
    };
  };
  return { engine, heard, faults, connect };
};

/** All ways of cutting that matter: whole, octet by octet, and in two at each place around line ends and numbers. */
function* cutsOf(stream: Buffer): Generator<readonly Buffer[]> {
  yield [stream];
  if (stream.length <= 4096) yield Array.from(stream, (_octet, i) => stream.subarray(i, i + 1));
  const step = stream.length > 4096 ? 997 : 1;
  for (let at = 1; at < stream.length; at += step) yield [stream.subarray(0, at), stream.subarray(at)];
}

t.equal(CASES.length >= 24, true, `${CASES.length} cases`);

for (const { name, stream, heard, ends, pongs } of CASES) {
  t.test(`${name}: ${ends === undefined ? 'all is heard' : 'the stream ends'}`, async (t) => {
    const site = await serve();
    t.teardown(() => site.engine.stop());
    const wanted = { heard, closed: ends !== undefined, refusals: ends === true ? 1 : 0, pongs: pongs ?? 0 };
    let ways = 0;
    for (const pieces of cutsOf(Buffer.from(stream, 'latin1'))) {
      site.heard.length = 0;
      const { wire, send, end } = site.connect();
      for (const piece of pieces) send(piece);
      const found = {
        heard: [...site.heard],
        closed: wire.closed,
        refusals: wire.text.split('SIP/2.0 400').length + wire.text.split('SIP/2.0 513').length - 2,
        pongs:
          wire.text
            .split('Content-Length: 0\r\n\r\n')
            .join('')
            .split(/(?<=^|\n)\r\n(?=\r\n|SIP|$)/).length - 1,
      };
      if (pongs === undefined) found.pongs = 0;
      ways++;
      if (JSON.stringify(found) !== JSON.stringify(wanted))
        t.same(found, wanted, `cut into ${pieces[0]?.length} and more`);
      if (!wire.closed) end();
    }
    t.same(site.faults, []);
    t.ok(ways > 1, `${ways} ways of cutting it`);
  });
}

t.test('over a WebSocket each message is one of SIP, whatever it says of its length', async (t) => {
  const site = await serve();
  t.teardown(() => site.engine.stop());
  const { wire, send } = site.connect(true);
  send(Buffer.from(sized('a') + SMUGGLED, 'latin1'));
  send(Buffer.from(request('b', ['Content-Length: 0'], SMUGGLED), 'latin1'));
  send(Buffer.from(request('c', []), 'latin1'));
  send(Buffer.from(request('d', ['Content-Length: 5000'], SMUGGLED), 'latin1'));
  send(Buffer.from('\r\n\r\n'));
  send(Buffer.from('\r\n'));
  t.same(site.heard, ['a', 'b', 'c']);
  t.equal(wire.text.split('SIP/2.0 400').length - 1, 1, 'the one that is shorter than it says');
  t.ok(wire.text.endsWith('\r\n\r\n\r\n'), 'a keep-alive is answered');
  t.equal(wire.closed, false);
  t.same(site.faults, []);
});
