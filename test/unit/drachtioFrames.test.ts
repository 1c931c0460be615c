import t from 'tap';
import { FrameReader, encodeFrame, parsePayload } from '../../src/drachtio/frames.js';

function readAll(reader: FrameReader, chunks: readonly Buffer[]): { payloads: string[]; fault: string | undefined } {
  const payloads: string[] = [];
  let fault: string | undefined;
  for (const chunk of chunks) {
    const outcome = reader.push(chunk, (payload) => payloads.push(payload.toString('utf8')) > 0);
    if (!outcome.ok) fault = outcome.error;
  }
  return { payloads, fault };
}

t.test('frames come out whole however the stream was cut', async (t) => {
  const texts = ['a|ping', 'b|sip|x|\r\nSIP/2.0 200 OK\r\n\r\n', 'c|route|#', 'é|ü', 'x'.repeat(1000)];
  const stream = Buffer.concat(texts.map((text) => encodeFrame(Buffer.from(text).toString('latin1'))));
  for (let size = 1; size <= stream.length; size += size < 40 ? 1 : 97) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
    t.strictSame(readAll(new FrameReader(2000), chunks), { payloads: texts, fault: undefined }, `chunks of ${size}`);
  }
});

t.test('lengths are counted in bytes and messages are joined byte-exact', async (t) => {
  const body = Buffer.from('v=0\r\ns=ünïcödé 😀\r\n');
  const frame = encodeFrame('id|sip|network|', body);
  t.equal(frame.toString('latin1', 0, frame.indexOf('#')), String('id|sip|network|'.length + 2 + body.length));
  const parsed = parsePayload(frame.subarray(frame.indexOf('#') + 1));
  t.strictSame(parsed.tokens, ['id', 'sip', 'network', '']);
  t.ok(parsed.message?.equals(body));
  t.equal(parsePayload(Buffer.from('id|ping')).message, undefined);
});

t.test('a bad length is fatal and stays so', async (t) => {
  for (const bad of ['#x', 'x#y', '-1#a', '1 #a', '0#', '1e2#', '+5#hello', '00000000001#a', '12a#']) {
    const reader = new FrameReader(100);
    t.equal(readAll(reader, [Buffer.from(bad)]).fault, 'bad_length', bad);
    t.strictSame(readAll(reader, [Buffer.from('1#a')]), { payloads: [], fault: 'bad_length' });
  }
});

t.test('a frame longer than allowed is refused before any of it is kept', async (t) => {
  const reader = new FrameReader(10);
  t.strictSame(readAll(reader, [Buffer.from('10#0123456789')]).payloads, ['0123456789']);
  t.equal(readAll(reader, [Buffer.from('11')]).fault, 'frame_too_long');
  const raised = new FrameReader(10);
  raised.maxPayloadBytes = 11;
  t.strictSame(readAll(raised, [Buffer.from('11#01234567890')]).payloads, ['01234567890']);
});

t.test('the reader stops when told to', async (t) => {
  const reader = new FrameReader(10);
  const seen: string[] = [];
  const outcome = reader.push(Buffer.from('1#a1#b1#c'), (payload) => {
    seen.push(payload.toString());
    return seen.length < 2;
  });
  t.notOk(outcome.ok);
  t.strictSame(seen, ['a', 'b']);
});

t.test('a megabyte in one-byte chunks costs linear time', async (t) => {
  const length = 1 << 20;
  const reader = new FrameReader(length);
  let got = 0;
  const byte = Buffer.from('x');
  reader.push(Buffer.from(`${length}#`), () => true);
  for (let i = 0; i < length; i++) reader.push(byte, (payload) => (got = payload.length) > 0);
  t.equal(got, length);
});
