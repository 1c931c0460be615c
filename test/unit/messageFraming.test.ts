import t from 'tap';
import { type FramerEvent, StreamFramer } from '../../src/sip/message/framing.js';
import { parseMessage } from '../../src/sip/message/parse.js';

const message = (id: string, body = '', length: string | undefined = `Content-Length: ${body.length}`): Buffer =>
  Buffer.from(
    [
      'MESSAGE sip:bob@example.com SIP/2.0',
      `Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK${id}`,
      'From: <sip:a@b>;tag=1',
      'To: <sip:c@d>',
      `Call-ID: ${id}`,
      'CSeq: 1 MESSAGE',
      ...(length === undefined || length === '' ? [] : [length]),
      '',
      body,
    ].join('\r\n'),
  );

const brief = (events: FramerEvent[]): string[] =>
  events.map((event) => {
    if (event.type === 'ping') return 'ping';
    if (event.type === 'fatal') return event.reason;
    const parsed = parseMessage(event.data);
    return parsed.ok ? `${parsed.value.callId}/${parsed.value.body.length}` : parsed.error.reason;
  });

const pushAll = (framer: StreamFramer, chunks: Buffer[]): string[] =>
  chunks.flatMap((chunk) => brief(framer.push(chunk)));

t.test('messages in one chunk, keep-alives between them', async (t) => {
  const framer = new StreamFramer();
  const stream = Buffer.concat([
    Buffer.from('\r\n\r\n'),
    message('one', 'body'),
    message('two'),
    Buffer.from('\r\n'),
    message('three', 'x'.repeat(3000)),
    Buffer.from('\r\n\r\n\r\n\r\n'),
  ]);
  t.same(brief(framer.push(stream)), ['ping', 'one/4', 'two/0', 'three/3000', 'ping', 'ping']);
  t.equal(framer.pending, 0);
});

t.test('a stream cut at every octet gives the same', async (t) => {
  const stream = Buffer.concat([
    Buffer.from('\r\n\r\n'),
    message('one', 'a\r\n\r\nb'),
    message('two', '', 'l :\r\n 0'),
  ]);
  const whole = ['ping', 'one/6', 'two/0'];
  for (let cut = 0; cut <= stream.length; cut++) {
    t.same(pushAll(new StreamFramer(), [stream.subarray(0, cut), stream.subarray(cut)]), whole, `cut at ${cut}`);
  }
  const single = Array.from(stream, (octet) => Buffer.from([octet]));
  t.same(pushAll(new StreamFramer(), single), whole, 'octet by octet');
});

t.test('messages handed out do not change when more comes', async (t) => {
  const framer = new StreamFramer();
  const stream = Buffer.concat([message('one', 'first'), message('two', 'second'), message('three', 'third')]);
  const kept: FramerEvent[] = [];
  for (let i = 0; i < stream.length; i += 7) kept.push(...framer.push(Buffer.from(stream.subarray(i, i + 7))));
  t.same(brief(kept), ['one/5', 'two/6', 'three/5']);
  t.same(Buffer.concat(kept.flatMap((event) => (event.type === 'message' ? [event.data] : []))), stream);
});

t.test('a single CRLF is a pong, not a ping, wherever it is cut', async (t) => {
  const framer = new StreamFramer();
  t.same(brief(framer.push(Buffer.from('\r\n'))), []);
  t.same(brief(framer.push(message('one'))), ['one/0']);
  t.same(brief(framer.push(Buffer.from('\r'))), []);
  t.same(brief(framer.push(Buffer.from('\n\r'))), []);
  t.same(brief(framer.push(Buffer.from('\n'))), ['ping']);
});

t.test('a stream whose messages cannot be told apart is given up', async (t) => {
  const faults: [string, string][] = [
    ['', 'missing_content_length'],
    ['Content-Length: -1', 'malformed_content_length'],
    ['Content-Length: +4', 'malformed_content_length'],
    ['Content-Length: 4 ', ''],
    ['Content-Length: 4\r\nl: 4', ''],
    ['Content-Length: 4\r\nl: 5', 'malformed_content_length'],
    ['Content-Length: 4, 4', 'malformed_content_length'],
    ['Content-Length: 0x4', 'malformed_content_length'],
    ['Content-Length:', 'malformed_content_length'],
    ['Content-Length: 99999999999999999999', 'malformed_content_length'],
    ['Content-Length: 4294967295', 'malformed_content_length'],
    ['Content-Length: 1000000000', 'message_too_large'],
    ['Content-Length: 70000', 'message_too_large'],
    ['content-LENGTH : 4', ''],
    ['X-Content-Length: 4', 'missing_content_length'],
  ];
  for (const [length, reason] of faults) {
    const framer = new StreamFramer();
    const events = framer.push(message('one', 'body', length));
    if (reason === '') {
      t.same(brief(events), ['one/4'], length);
      continue;
    }
    t.same(brief(events), [reason], length);
    t.same(brief(framer.push(message('two'))), [], 'nothing is taken afterwards');
    t.equal(framer.pending, 0);
    const [fatal] = events;
    if (fatal?.type !== 'fatal') continue;
    const parsed = parseMessage(fatal.data);
    t.ok(parsed.ok || parsed.error.partial !== undefined, 'the head can be answered');
  }
});

t.test('bounds: a head or message over the limit', async (t) => {
  const wide = Buffer.from(`OPTIONS sip:h SIP/2.0\r\nX: ${'x'.repeat(40_000)}`);
  t.same(brief(new StreamFramer().push(wide)), ['head_too_large']);
  const slow = new StreamFramer({ maxHeaderBytes: 1000 });
  const events = pushAll(
    slow,
    Array.from({ length: 300 }, () => Buffer.from('XXXX')),
  );
  t.same(events, ['head_too_large']);
  t.same(brief(new StreamFramer({ maxMessageBytes: 300 }).push(message('one', 'x'.repeat(290)))), [
    'message_too_large',
  ]);
  t.same(brief(new StreamFramer({ maxHeaderBytes: 100 }).push(message('one'))), ['head_too_large']);
  const many = message('one', '', Array.from({ length: 300 }, (_, i) => `X-${i}: 1`).join('\r\n') + '\r\nl: 0');
  t.same(brief(new StreamFramer().push(many)), ['too_many_headers']);
});

t.test('line breaks of half a kind do not move the border between messages', async (t) => {
  const framer = new StreamFramer();
  const stream = Buffer.concat([
    message('one', '', 'Content-Length: 0\r\nX: y\n\r\nINVITE sip:evil SIP/2.0'),
    message('two'),
  ]);
  t.same(brief(framer.push(stream)), ['bare_lf']);
});

t.test('many small chunks cost no more than their octets', async (t) => {
  const body = 'x'.repeat(60_000);
  const stream = message('big', body);
  const framer = new StreamFramer();
  const started = process.hrtime.bigint();
  const events: string[] = [];
  for (let i = 0; i < stream.length; i++) events.push(...brief(framer.push(stream.subarray(i, i + 1))));
  t.same(events, ['big/60000']);
  const slow = new StreamFramer({ maxHeaderBytes: 1 << 20, maxMessageBytes: 1 << 20 });
  const octet = Buffer.from('a');
  for (let i = 0; i < 100_000; i++) slow.push(octet);
  t.equal(slow.pending, 100_000);
  t.ok(Number(process.hrtime.bigint() - started) / 1e6 < 5000, 'linear, not quadratic');
});
