import t from 'tap';
import { encodeMulaw } from '../../src/media/codec/g711.js';
import { FakeBot, mediaMessage, pcmBytes, purity, sine } from '../support/fakeBot.js';

const TONE = sine(160, 8000);
const b64 = (audio: Uint8Array): string => Buffer.from(audio).toString('base64');
const mulaw = (pcm: Int16Array): Buffer => {
  const coded = Buffer.alloc(pcm.length);
  encodeMulaw(pcm, coded);
  return coded;
};
const times = (pcm: Int16Array, count: number): Buffer => Buffer.concat(Array(count).fill(pcmBytes(pcm)));

t.test('Exotel: a whole call, message by message', async (t) => {
  const bot = new FakeBot();
  bot.ticks(10, TONE);
  bot.stream.dtmf('5', 120);
  bot.say(mediaMessage(pcmBytes(TONE)));
  bot.say({ event: 'mark', stream_sid: 'MZ1', mark: { name: 'hello' } });
  bot.ticks(2, TONE);
  bot.say({ event: 'mark', stream_sid: 'MZ1', mark: { name: 'now' } });
  bot.stream.stop('callended');
  const sids = { call_sid: 'CA1', account_sid: 'AC1' };
  const payload = b64(times(TONE, 5));
  t.strictSame(bot.sent, [
    { event: 'connected' },
    {
      event: 'start',
      sequence_number: 1,
      stream_sid: 'MZ1',
      start: {
        stream_sid: 'MZ1',
        ...sids,
        from: '+918040000001',
        to: '+442071234567',
        custom_parameters: { lang: 'en' },
        media_format: { encoding: 'raw', sample_rate: '8000', bit_rate: '128kbps' },
      },
    },
    { event: 'media', sequence_number: 2, stream_sid: 'MZ1', media: { chunk: 1, timestamp: '0', payload } },
    { event: 'media', sequence_number: 3, stream_sid: 'MZ1', media: { chunk: 2, timestamp: '100', payload } },
    { event: 'dtmf', sequence_number: 4, stream_sid: 'MZ1', dtmf: { digit: '5', duration: '120' } },
    { event: 'mark', sequence_number: 5, stream_sid: 'MZ1', mark: { name: 'hello' } },
    { event: 'mark', sequence_number: 6, stream_sid: 'MZ1', mark: { name: 'now' } },
    { event: 'stop', sequence_number: 7, stream_sid: 'MZ1', stop: { ...sids, reason: 'callended' } },
  ]);
  t.match(bot.socket.closed, { code: 1000 });
  t.match(bot.reports, [{ status: 'completed', disconnectedBy: 'user', framesSent: 2, framesReceived: 1 }]);
});

t.test('Twilio: a whole call, message by message', async (t) => {
  const bot = new FakeBot({ dialect: 'twilio', sampleRate: 16_000 });
  bot.ticks(2, TONE);
  bot.stream.dtmf('#', 100);
  bot.say(mediaMessage(mulaw(TONE)));
  bot.say({ event: 'mark', streamSid: 'MZ1', mark: { name: 'hello' } });
  bot.say({ event: 'clear', streamSid: 'MZ1' });
  bot.stream.stop('stopped');
  const payload = b64(mulaw(TONE));
  const media = (chunk: string, timestamp: string) => ({ track: 'inbound', chunk, timestamp, payload });
  t.strictSame(bot.sent, [
    { event: 'connected', protocol: 'Call', version: '1.0.0' },
    {
      event: 'start',
      sequenceNumber: '1',
      start: {
        streamSid: 'MZ1',
        accountSid: 'AC1',
        callSid: 'CA1',
        tracks: ['inbound'],
        customParameters: { lang: 'en' },
        mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
      },
      streamSid: 'MZ1',
    },
    { event: 'media', sequenceNumber: '2', media: media('1', '0'), streamSid: 'MZ1' },
    { event: 'media', sequenceNumber: '3', media: media('2', '20'), streamSid: 'MZ1' },
    { event: 'dtmf', streamSid: 'MZ1', sequenceNumber: '4', dtmf: { track: 'inbound_track', digit: '#' } },
    { event: 'mark', sequenceNumber: '5', streamSid: 'MZ1', mark: { name: 'hello' } },
    { event: 'stop', sequenceNumber: '6', streamSid: 'MZ1', stop: { accountSid: 'AC1', callSid: 'CA1' } },
  ]);
});

t.test('Plivo: a whole call, message by message', async (t) => {
  const bot = new FakeBot({ dialect: 'plivo', customParameters: {} });
  const wallMs = String(bot.clock.wallMs() + 20);
  bot.ticks(1, TONE);
  bot.stream.dtmf('1', 100);
  const play = (sampleRate: number, contentType: string, audio: Buffer) =>
    bot.say({ event: 'playAudio', media: { contentType, sampleRate, payload: b64(audio) } });
  play(8000, 'audio/x-l16', pcmBytes(TONE));
  bot.say({ event: 'checkpoint', streamId: 'MZ1', name: 'first' });
  bot.ticks(1).forEach((frame) => t.strictSame(frame, TONE));
  bot.stream.toCaller();
  play(8000, 'audio/x-mulaw', mulaw(TONE));
  bot.say({ event: 'checkpoint', streamId: 'MZ1', name: 'second' });
  bot.say({ event: 'clearAudio', streamId: 'MZ1' });
  bot.say({ event: 'sendDTMF', dtmf: '12x3#' });
  bot.stream.stop('stopped');
  const payload = b64(pcmBytes(TONE));
  const quiet = b64(Buffer.alloc(320));
  const laterMs = String(Number(wallMs) + 20);
  const media = (chunk: number, timestamp: string, audio: string) => ({
    track: 'inbound',
    timestamp,
    chunk,
    payload: audio,
  });
  const streamId = 'MZ1';
  t.strictSame(bot.sent, [
    {
      sequenceNumber: 0,
      event: 'start',
      start: {
        callId: 'CA1',
        streamId,
        accountId: 'AC1',
        tracks: ['inbound'],
        mediaFormat: { encoding: 'audio/x-l16', sampleRate: 8000 },
      },
      extra_headers: '{}',
    },
    { sequenceNumber: 1, streamId, event: 'media', media: media(1, wallMs, payload), extra_headers: '{}' },
    { sequenceNumber: 2, streamId, event: 'dtmf', dtmf: { track: 'inbound', digit: '1', timestamp: wallMs } },
    { sequenceNumber: 3, streamId, event: 'media', media: media(2, laterMs, quiet), extra_headers: '{}' },
    { sequenceNumber: 4, streamId, event: 'playedStream', name: 'first' },
    { sequenceNumber: 5, streamId, event: 'clearedAudio' },
    { sequenceNumber: 6, streamId, event: 'stop' },
  ]);
  t.strictSame(bot.keys, ['123#'], 'keys for the caller, and nothing but keys');
});

t.test('jambonz: a whole call, message by message', async (t) => {
  const bot = new FakeBot({
    dialect: 'jambonz',
    sampleRate: 16_000,
    customParameters: { lang: 'en', callSid: 'forged' },
  });
  t.strictSame(bot.socket.options.protocols, ['audio.jambonz.org']);
  bot.ticks(1, TONE);
  bot.stream.dtmf('9', 100);
  bot.say(pcmBytes(sine(320, 16_000)));
  bot.say({ type: 'mark', data: { name: 'streamed' } });
  bot.ticks(2);
  const clip = { audioContentType: 'raw', sampleRate: 8000, audioContent: b64(pcmBytes(TONE)), id: 'clip1' };
  bot.say({ type: 'playAudio', data: clip });
  bot.ticks(2);
  bot.say({ type: 'playAudio', data: { ...clip, id: 'killed' } });
  bot.say({ type: 'mark', data: { name: 'killed too' } });
  bot.say({ type: 'killAudio' });
  bot.say({ type: 'disconnect' });
  t.strictSame(bot.sent[0], {
    lang: 'en',
    callSid: 'CA1',
    accountSid: 'AC1',
    from: '+918040000001',
    to: '+442071234567',
    sampleRate: 16_000,
    mixType: 'mono',
  });
  const audio = bot.socket.sent.filter((one) => Buffer.isBuffer(one));
  t.ok(audio.length === 5 && audio.every((one) => one.length === 640), 'binary L16, 20 ms at 16 kHz');
  t.strictSame(
    bot.sent.slice(1).filter((message) => !Buffer.isBuffer(message)),
    [
      { event: 'dtmf', dtmf: '9', duration: '100' },
      { type: 'mark', data: { name: 'streamed', event: 'playout' } },
      { type: 'playDone', data: { id: 'clip1' } },
      { type: 'mark', data: { name: 'killed too', event: 'cleared' } },
    ],
  );
  t.match(bot.reports, [{ status: 'completed', disconnectedBy: 'bot', detail: 'disconnect' }]);
});

t.test('jambonz: clearMarks forgets the marks and lets the audio go on', async (t) => {
  const bot = new FakeBot({ dialect: 'jambonz' });
  bot.say(pcmBytes(TONE));
  bot.say({ type: 'mark', data: { name: 'one' } });
  const answers = bot.during(() => bot.say({ type: 'clearMarks' }));
  t.strictSame(answers, [{ type: 'mark', data: { name: 'one', event: 'cleared' } }]);
  t.strictSame(bot.ticks(1), [TONE]);
});

t.test('the rate on the URL decides what Exotel bots hear and say', async (t) => {
  for (const [query, rate] of [
    ['?sample-rate=16000', 16_000],
    ['?a=b&sample-rate=24000#part', 24_000],
    ['?sample-rate=11025', 8000],
    ['', 8000],
  ] as const) {
    const bot = new FakeBot({ url: `ws://bot.example/${query}` });
    bot.ticks(50, sine(160, 8000, 400));
    const media = bot.sent.slice(2).map((one) => (one as { media: { payload: string } }).media.payload);
    const heard = Buffer.concat(media.map((one) => Buffer.from(one, 'base64')));
    t.equal(heard.length, rate * 2, `${rate} Hz: one second is so many octets`);
    t.match(bot.sent[1], { start: { media_format: { sample_rate: String(rate), bit_rate: `${rate / 62.5}kbps` } } });
    const pcm = new Int16Array(heard.buffer.slice(heard.byteOffset, heard.byteOffset + heard.length));
    t.ok(purity(pcm.subarray(rate / 10), rate, 400) > 0.999, `${rate} Hz: the tone is pure`);
    bot.say(mediaMessage(pcmBytes(sine(rate, rate, 400))));
    const back = Int16Array.from(bot.ticks(50).flatMap((frame) => [...(frame ?? [])]));
    t.equal(back.length, 8000, `${rate} Hz: a second comes back as a second`);
    t.ok(purity(back.subarray(800), 8000, 400) > 0.999, `${rate} Hz: and as the same tone`);
  }
});

t.test('messages hold the audio that was asked for: 20 ms where the dialect has no other custom', async (t) => {
  for (const [spec, octets] of [
    [{ dialect: 'exotel' }, 1600],
    [{ dialect: 'exotel', frameMs: 20 }, 320],
    [{ dialect: 'exotel', frameMs: 20, url: 'ws://b/?sample-rate=24000' }, 960],
    [{ dialect: 'twilio' }, 160],
    [{ dialect: 'twilio', frameMs: 60 }, 480],
    [{ dialect: 'plivo', encoding: 'mulaw' }, 160],
    [{ dialect: 'plivo', sampleRate: 16_000 }, 640],
  ] as const) {
    const bot = new FakeBot(spec);
    const messages = bot.during(() => bot.ticks(15)) as { media: { payload: string } }[];
    t.ok(messages.length > 0);
    for (const { media } of messages)
      t.equal(Buffer.from(media.payload, 'base64').length, octets, JSON.stringify(spec));
  }
});

t.test('a fork carries the voice and nothing else, and plays nothing', async (t) => {
  for (const dialect of ['exotel', 'twilio', 'plivo', 'jambonz'] as const) {
    const bot = new FakeBot({ dialect, direction: 'fork' });
    const sent = bot.during(() => {
      bot.stream.dtmf('1', 100);
      const audio = b64(pcmBytes(TONE));
      if (dialect === 'jambonz') bot.say(pcmBytes(TONE));
      else bot.say(mediaMessage(pcmBytes(TONE)));
      bot.say({ event: 'playAudio', type: 'playAudio', media: { payload: audio }, data: { audioContent: audio } });
      bot.say({ event: 'mark', type: 'mark', mark: { name: 'm' }, data: { name: 'm' } });
      bot.say({ event: 'checkpoint', type: 'clearMarks', name: 'm' });
      bot.say({ event: dialect === 'plivo' ? 'clearAudio' : 'clear', type: 'killAudio' });
      bot.say({ event: 'sendDTMF', type: 'x', dtmf: '1' });
      t.equal(bot.stream.toCaller(), undefined);
    });
    t.strictSame(sent, [], dialect);
    t.strictSame(bot.keys, [], dialect);
    t.equal(bot.reports.length, 0);
    t.ok(bot.during(() => bot.ticks(5)).length > 0);
  }
});
