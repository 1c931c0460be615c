import t from 'tap';
import type { BotLocate } from '../../src/media/stream/port.js';
import { FakeBot, mediaMessage, pcmBytes, sine } from '../support/fakeBot.js';

const TONE = sine(160, 8000);
const say100ms = (bot: FakeBot): void => bot.say(mediaMessage(pcmBytes(sine(800, 8000))));
const mark = (name: string) => ({ event: 'mark', stream_sid: 'MZ1', mark: { name } });
const CLEAR = { event: 'clear', stream_sid: 'MZ1' };
const names = (messages: object[]): unknown[] =>
  messages.map((one) => (one as { mark?: { name: string } }).mark?.name).filter((name) => name !== undefined);

t.test('a mark is answered when the audio before it has been played, not before', async (t) => {
  const bot = new FakeBot();
  bot.say(mark('first'));
  t.strictSame(names(bot.sent), ['first'], 'at once while nothing is queued');
  say100ms(bot);
  bot.say(mark('a'));
  say100ms(bot);
  bot.say(mark('b'));
  bot.say(mark('c'));
  t.strictSame(names(bot.during(() => bot.ticks(5))), [], 'the last frame before it is on its way');
  t.strictSame(names(bot.during(() => bot.ticks(1))), ['a']);
  t.strictSame(names(bot.during(() => bot.ticks(4))), []);
  t.strictSame(names(bot.during(() => bot.say(mark('d')))), [], 'the frame just taken is being heard');
  t.strictSame(names(bot.during(() => bot.ticks(1))), ['b', 'c', 'd']);
  t.strictSame(names(bot.during(() => bot.say(mark('e')))), ['e']);
});

t.test('a clear silences the very next frame and brings back the marks', async (t) => {
  const bot = new FakeBot();
  say100ms(bot);
  bot.say(mark('a'));
  say100ms(bot);
  bot.say(mark('b'));
  t.not(bot.ticks(1)[0], undefined);
  t.strictSame(names(bot.during(() => bot.say(CLEAR))), ['a', 'b']);
  t.equal(bot.stream.toCaller(), undefined);
  bot.say(mediaMessage(pcmBytes(TONE)));
  t.strictSame(bot.ticks(1), [TONE], 'what comes after it is heard from its first sample');
});

t.test('an odd octet waits for its other half, but not beyond a clear', async (t) => {
  const bot = new FakeBot();
  const bytes = pcmBytes(TONE);
  bot.say(mediaMessage(bytes.subarray(0, 101)));
  bot.say(mediaMessage(bytes.subarray(101, 102)));
  bot.say(mediaMessage(bytes.subarray(102, 319)));
  bot.say(mediaMessage(bytes.subarray(319)));
  t.strictSame(bot.ticks(1), [TONE]);
  bot.say(mediaMessage(bytes.subarray(0, 31)));
  bot.say(CLEAR);
  bot.say(mediaMessage(bytes));
  t.strictSame(bot.ticks(1), [TONE]);
});

t.test('keys are told once the bot is there', async (t) => {
  const bot = new FakeBot({}, { answers: false });
  bot.stream.dtmf('1', 100);
  bot.ticks(10, TONE);
  t.strictSame(bot.sent, [], 'nothing is kept for later');
  bot.socket.sink.onOpen();
  t.equal(bot.started, 1);
  t.equal(bot.sent.length, 2);
});

t.test('the handshake has ten seconds and one more try', async (t) => {
  const bot = new FakeBot({}, { answers: false });
  t.equal(bot.socket.options.handshakeTimeoutMs, 10_000);
  bot.clock.advance(10_000);
  t.equal(bot.sockets.length, 2);
  t.equal(bot.reports.length, 0);
  bot.clock.advance(10_000);
  t.equal(bot.sockets.length, 2);
  t.match(bot.reports, [{ status: 'failed', disconnectedBy: 'NA', detail: 'no answer', durationMs: 0 }]);
  t.equal(bot.clock.pending, 0);

  const second = new FakeBot({}, { answers: false });
  second.socket.sink.onClosed({ detail: 'connect ECONNREFUSED' });
  second.socket.sink.onOpen();
  second.ticks(5);
  t.equal(second.sent.length, 3, 'the second try serves the call');

  const refused = new FakeBot({}, { answers: false });
  refused.socket.sink.onClosed({ status: 401, detail: '' });
  t.equal(refused.sockets.length, 1, "a refusal is the bot's word");
  t.match(refused.reports, [{ status: 'rejected', disconnectedBy: 'bot', detail: /401/ }]);
});

t.test('how a bot leaves says whether it failed', async (t) => {
  for (const [code, status] of [
    [1000, 'completed'],
    [1001, 'completed'],
    [1005, 'completed'],
    [4000, 'completed'],
    [1006, 'failed'],
    [1009, 'failed'],
    [1011, 'failed'],
    [undefined, 'failed'],
  ] as const) {
    const bot = new FakeBot();
    bot.ticks(5);
    say100ms(bot);
    bot.socket.sink.onClosed({ code, detail: '' });
    t.match(bot.reports, [{ status, disconnectedBy: 'bot', durationMs: 100, framesSent: 1, framesReceived: 1 }]);
    t.equal(bot.ticks(1)[0], undefined);
    bot.stream.stop('stopped');
    bot.say(mark('late'));
    t.equal(bot.reports.length, 1, 'once');
    t.equal(bot.clock.pending, 0);
  }
});

t.test('an hour is the limit, or what the call was given', async (t) => {
  for (const [maxMs, limit] of [
    [undefined, 3_600_000],
    [5000, 5000],
  ] as const) {
    const bot = new FakeBot(maxMs === undefined ? {} : { maxMs });
    bot.clock.advance(limit - 1);
    t.equal(bot.reports.length, 0);
    bot.clock.advance(1);
    t.match(bot.reports, [{ status: 'completed', disconnectedBy: 'NA', detail: 'time limit', durationMs: limit }]);
    t.match(bot.sent.at(-1), { event: 'stop', stop: { reason: 'stopped' } });
  }
});

t.test('a bot that reads slowly is held in 256 kB and left within two seconds', async (t) => {
  const bot = new FakeBot();
  bot.ticks(10, TONE);
  bot.socket.bufferedBytes = 255 * 1024;
  t.strictSame(
    bot.during(() => bot.ticks(50, TONE)),
    [],
    'audio is dropped',
  );
  t.equal(bot.reports.length, 0);
  const stalledMs = bot.clock.nowMs();
  while (bot.reports.length === 0 && bot.clock.nowMs() < stalledMs + 3000) bot.ticks(1, TONE);
  t.ok(bot.clock.nowMs() - stalledMs + 1000 <= 2000);
  t.match(bot.reports, [{ status: 'failed', disconnectedBy: 'bot', detail: 'the bot reads too slowly' }]);

  const recovering = new FakeBot();
  recovering.socket.bufferedBytes = 255 * 1024;
  recovering.ticks(40);
  recovering.socket.bufferedBytes = 0;
  recovering.ticks(5);
  recovering.socket.bufferedBytes = 255 * 1024;
  recovering.ticks(40);
  t.equal(recovering.reports.length, 0, 'a pause that ends is forgiven');

  const asking = new FakeBot();
  asking.socket.bufferedBytes = 262_000;
  asking.say(mark('m'));
  t.match(asking.reports, [{ status: 'failed' }], 'answers that find no room end the stream');
});

t.test('the widest frames stay within the bound, too', async (t) => {
  const bot = new FakeBot({ url: 'ws://b/?sample-rate=24000', frameMs: 1000 });
  let most = 0;
  for (let i = 0; i < 40 && bot.reports.length === 0; i++) {
    const sent = bot.during(() => bot.ticks(50));
    bot.socket.bufferedBytes += sent.reduce((sum, one) => sum + Buffer.byteLength(JSON.stringify(one)) + 14, 0);
    most = Math.max(most, bot.socket.bufferedBytes);
  }
  t.ok(most > 128 * 1024 && most <= 256 * 1024, `${most}`);
  t.match(bot.reports, [{ status: 'failed' }]);
});

t.test('what a bot sends without sense is counted, and in the end is enough', async (t) => {
  const bot = new FakeBot();
  for (const text of ['', '{', '[]', 'null', '7', '{"event":1}', '{"event":"mark","mark":{"name":7}}']) bot.say(text);
  bot.say({ event: 'media', media: { payload: 'not base64!' } });
  bot.say({ event: 'media', media: { payload: 'AAAAA' } });
  bot.say({ event: 'media', media: 'AAAA' });
  bot.say({ event: 'mark', mark: { name: 'x'.repeat(257) } });
  bot.say({ event: 'something new' });
  bot.say(Buffer.from('{"event":"clear"}'));
  t.equal(bot.reports.length, 0);
  t.equal(bot.ticks(1)[0], undefined);
  for (let i = 0; i < 60; i++) bot.say('nonsense');
  t.match(bot.reports, [{ status: 'failed', disconnectedBy: 'bot', detail: /malformed/ }]);
  t.match(bot.socket.closed, { code: 1008 });
});

t.test('a flood of marks, of long words and of strange rates is bounded', async (t) => {
  const bot = new FakeBot();
  say100ms(bot);
  for (let i = 0; i < 2000; i++) bot.say(mark(`${i}`));
  t.match(bot.reports, [{ status: 'failed', detail: /too many marks/ }]);

  const jambonz = new FakeBot({ dialect: 'jambonz' });
  const wav = Buffer.alloc(60);
  wav.write('RIFF', 0);
  wav.write('WAVEfmt ', 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt16LE(16, 34);
  wav.write('data', 36);
  for (const rate of [0, 1, 4001, 12_345, 191_999, 4_294_967_291]) {
    wav.writeUInt32LE(rate, 24);
    jambonz.say({ type: 'playAudio', data: { audioContentType: 'wav', audioContent: wav.toString('base64') } });
    jambonz.say({ type: 'playAudio', data: { sampleRate: rate, audioContent: 'AAAA' } });
  }
  t.equal(jambonz.stream.toCaller(), undefined);
  t.equal((jambonz.stream.dump() as { queuedMs: number }).queuedMs, 0);
  for (let i = 0; i < 60; i++) {
    const data = { audioContentType: '\u20ac'.repeat(1000), sampleRate: '\u20ac'.repeat(1000), audioContent: 'AAAA' };
    jambonz.say({ type: 'playAudio', data });
  }
  t.ok((jambonz.reports[0]?.detail.length ?? 999) <= 200);
});

t.test('a URL that answers with the URL', async (t) => {
  let asked: Parameters<BotLocate>[0] | undefined;
  let tell: Parameters<BotLocate>[1] = () => {};
  let cancelled = false;
  const locate: BotLocate = (options, done) => {
    asked = options;
    tell = done;
    return { cancel: () => (cancelled = true) };
  };
  const url = 'https://key:p%40ss@bot.example/where';
  const authorization = `Basic ${Buffer.from('key:p@ss').toString('base64')}`;

  const bot = new FakeBot({ url }, { locate, answers: false });
  t.match(asked, { url: 'https://bot.example/where', headers: { Authorization: authorization }, timeoutMs: 10_000 });
  tell({ ok: true, url: 'wss://bot.example/ws?sample-rate=16000' });
  t.match(bot.socket.options, { url: 'wss://bot.example/ws?sample-rate=16000' });
  t.strictSame(bot.socket.options.headers, { Authorization: authorization });
  bot.socket.sink.onOpen();
  t.match(bot.sent[1], { start: { media_format: { sample_rate: '16000' } } });

  const elsewhere = new FakeBot({ url }, { locate, answers: false });
  tell({ ok: true, url: 'wss://other.example/ws' });
  t.strictSame(elsewhere.socket.options.headers, {}, 'credentials do not travel to another host');

  for (const found of [
    { ok: true, url: 'https://bot.example/again' },
    { ok: true, url: 'file:///etc/passwd' },
    { ok: true, url: 'nonsense' },
    { ok: false, detail: 'the URL answered with 302' },
  ] as const) {
    const failing = new FakeBot({ url }, { locate, answers: false });
    tell(found);
    t.match(failing.reports, [{ status: 'failed', disconnectedBy: 'NA' }]);
    t.equal(failing.sockets.length, 0);
  }

  const leaving = new FakeBot({ url }, { locate, answers: false });
  leaving.stream.stop('callended');
  t.ok(cancelled);
  tell({ ok: true, url: 'wss://bot.example/ws' });
  t.equal(leaving.sockets.length, 0);
  t.match(leaving.reports, [{ status: 'completed', disconnectedBy: 'user', detail: 'callended' }]);
});

t.test('a URL that cannot be served is told later, never within the call that opens', async (t) => {
  for (const url of ['', 'bot.example', 'ftp://bot.example', `ws://bot.example/${'x'.repeat(600)}`]) {
    const bot = new FakeBot({ url });
    t.equal(bot.sockets.length, 0);
    t.match(bot.reports, [{ status: 'failed', disconnectedBy: 'NA' }]);
  }
});
