/** Each streaming dialect over a real call: what the bot is sent, message by message, and what its words bring about. */
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import { sine } from '../contract/media/peer.js';
import { Phone } from '../support/flowSite.js';
import { FlowTown, wayOf, webServer } from '../support/flowTown.js';
import { type Json, RecordingBot } from '../support/recordingBot.js';

const INDEX = 15;
const BOT = `127.0.64.${INDEX * 10 + 3}`;
const WEB = `127.0.64.${INDEX * 10 + 4}`;
const BOT_PORT = 30_050;
const BOT_HZ = 700;
type Dialect = 'exotel' | 'twilio' | 'plivo' | 'jambonz';
const DIALECTS: readonly Dialect[] = ['exotel', 'twilio', 'plivo', 'jambonz'];
const bye = { applet: 'hangup' };
const flowOf = (dialect: Dialect) => ({
  id: dialect,
  start: 'bot',
  nodes: {
    bot: {
      applet: 'voicebot',
      params: {
        url: `ws://me:s%20cret@${BOT}:${BOT_PORT}/${dialect}?a=b`,
        dialect,
        custom_parameters: { tier: '{{ custom.x_tier }}' },
      },
      exits: { next: 'bye', failed: 'bye' },
    },
    bye,
  },
});

const server = new WebSocketServer({
  host: BOT,
  port: BOT_PORT,
  handleProtocols: (offered) => (offered.has('audio.jambonz.org') ? 'audio.jambonz.org' : false),
});
await once(server, 'listening');
const closeServer = (): void => {
  for (const client of server.clients) client.terminate();
  server.close();
};
t.teardown(closeServer);
const nextBot = async (): Promise<RecordingBot> => {
  const [socket, request] = (await once(server, 'connection')) as ConstructorParameters<typeof RecordingBot>;
  return new RecordingBot(socket, request);
};

const indirect = {
  id: 'indirect',
  start: 'bot',
  nodes: {
    bot: { applet: 'voicebot', params: { url: `http://${WEB}:30060/where` }, exits: { next: 'bye', failed: 'bye' } },
    bye,
  },
};
const town = await FlowTown.start({ index: INDEX, flows: [...DIALECTS.map(flowOf), indirect] });
t.teardown(() => town.node.destroy());
t.setTimeout(110_000);

const l16 = (hz: number, ms: number): Buffer => {
  const pcm = sine(hz, ms * 8);
  return Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength);
};
const AUDIO = l16(BOT_HZ, 600);

/** How a bot of each dialect speaks. */
const WORDS: {
  readonly [D in Dialect]: {
    readonly audio: (id: string) => object | Buffer;
    readonly mark: (id: string) => object;
    readonly clear: (id: string) => object;
  };
} = {
  exotel: {
    audio: (stream_sid) => ({ event: 'media', stream_sid, media: { payload: AUDIO.toString('base64') } }),
    mark: (stream_sid) => ({ event: 'mark', stream_sid, mark: { name: 'said' } }),
    clear: (stream_sid) => ({ event: 'clear', stream_sid }),
  },
  twilio: {
    audio: (streamSid) => ({ event: 'media', streamSid, media: { payload: mulaw(AUDIO).toString('base64') } }),
    mark: (streamSid) => ({ event: 'mark', streamSid, mark: { name: 'said' } }),
    clear: (streamSid) => ({ event: 'clear', streamSid }),
  },
  plivo: {
    audio: () => ({
      event: 'playAudio',
      media: { contentType: 'audio/x-l16', sampleRate: 8000, payload: AUDIO.toString('base64') },
    }),
    mark: (streamId) => ({ event: 'checkpoint', streamId, name: 'said' }),
    clear: (streamId) => ({ event: 'clearAudio', streamId }),
  },
  jambonz: {
    audio: () => AUDIO,
    mark: () => ({ type: 'mark', data: { name: 'said' } }),
    clear: () => ({ type: 'killAudio' }),
  },
};

/** G.711 by its formula (ITU-T G.711, biased logarithm), not by the code under test. */
function mulaw(pcm: Buffer): Buffer {
  return Buffer.from(
    Array.from({ length: pcm.length / 2 }, (_, i) => {
      const sample = pcm.readInt16LE(2 * i);
      const magnitude = Math.min(32_635, Math.abs(sample)) + 132;
      const exponent = Math.floor(Math.log2(magnitude)) - 7;
      return ~((sample < 0 ? 0x80 : 0) | (exponent << 4) | ((magnitude >> (exponent + 3)) & 15)) & 0xff;
    }),
  );
}

const kindOf = (message: Json): string => String(message['event'] ?? message['type'] ?? 'call');

for (const dialect of DIALECTS) {
  t.test(`${dialect}: the shape of a call`, async (t) => {
    const phone = await Phone.open(town.address('caller'), 30_500 + 2 * DIALECTS.indexOf(dialect));
    t.teardown(() => phone.close());
    const connecting = nextBot();
    await phone.calls(town.numberOf(dialect), town.node.hostPort);
    const bot = await connecting;
    t.equal(bot.path, `/${dialect}?a=b`);
    t.equal(bot.headers['authorization'], `Basic ${Buffer.from('me:s cret').toString('base64')}`);
    t.equal(bot.headers['sec-websocket-protocol'], dialect === 'jambonz' ? 'audio.jambonz.org' : undefined);
    await phone.rtp.say(sine(440, 4000));
    const begun = (): boolean =>
      dialect === 'jambonz'
        ? bot.texts.length > 0 && bot.binaryMessages > 5
        : bot.texts.some(({ event }) => event === 'media');
    await bot.until('a beginning and audio', begun);
    const id = streamIdOf(dialect, bot.texts);

    // A key, then words with a mark behind them.
    await phone.rtp.press(7);
    await bot.until('the key', () => bot.texts.some((message) => kindOf(message) === 'dtmf'));
    const heard = phone.hears(BOT_HZ, 300);
    const saidMs = performance.now();
    bot.say(WORDS[dialect].audio(id));
    bot.say(WORDS[dialect].mark(id));
    const marked = (): boolean => bot.texts.some((message) => ['mark', 'playedStream'].includes(kindOf(message)));
    await bot.until('the mark', marked);
    t.ok(performance.now() - saidMs > 500, 'the mark comes once its 600 ms have been played');
    await heard;

    // Words that are taken back.
    bot.say(WORDS[dialect].audio(id));
    bot.say(WORDS[dialect].mark(id));
    bot.say(WORDS[dialect].clear(id));
    const answers = (): number =>
      bot.texts.filter((one) => ['mark', 'playedStream', 'clearedAudio'].includes(kindOf(one))).length;
    await bot.until('word of the clear', () => answers() >= 2);
    if (dialect === 'plivo') {
      bot.say({ event: 'sendDTMF', dtmf: '5' });
      await phone.rtp.until(() =>
        phone.rtp.heard.some(({ payloadType, payload }) => payloadType === 101 && payload[0] === 5),
      );
    }
    await phone.hangsUp();
    await bot.until('the end', () => !bot.open);
    const record = await town.node.record(phone.callId);
    check(t, dialect, bot, record.callId);
    t.same(wayOf(record), ['bot:next']);
    t.match(record.streams, [{ streamSid: id === '' ? String : id, status: 'completed', disconnectedBy: 'user' }]);
  });
}

function streamIdOf(dialect: Dialect, texts: readonly Json[]): string {
  if (dialect === 'jambonz') return '';
  const start = texts.find(({ event }) => event === 'start')?.['start'] as Json;
  return String(start[{ exotel: 'stream_sid', twilio: 'streamSid', plivo: 'streamId' }[dialect]]);
}

/** Fields, types, order and counters of everything that the bot was sent. */
function check(t: Test, dialect: Dialect, bot: RecordingBot, callSid: string): void {
  const kinds = bot.texts.map(kindOf).filter((kind, i, all) => kind !== 'media' || all[i - 1] !== 'media');
  const talk = kinds.filter((kind) => kind !== 'media');
  const to = town.numberOf(dialect);
  const first = bot.texts[0] as Json;
  switch (dialect) {
    case 'exotel': {
      t.same(talk, ['connected', 'start', 'dtmf', 'mark', 'mark', 'stop']);
      t.same(first, { event: 'connected' });
      const id = streamIdOf(dialect, bot.texts);
      t.match(bot.texts[1], {
        sequence_number: 1,
        stream_sid: id,
        start: {
          stream_sid: id,
          call_sid: callSid,
          account_sid: 'demo',
          from: '+919812345678',
          to,
          custom_parameters: { tier: '' },
          media_format: { encoding: 'raw', sample_rate: '8000', bit_rate: '128kbps' },
        },
      });
      counted(
        t,
        bot.texts.slice(1).map((one) => one['sequence_number']),
        1,
      );
      const media = bot.texts.filter(({ event }) => event === 'media').map((one) => one['media'] as Json);
      counted(
        t,
        media.map(({ chunk }) => chunk),
        1,
      );
      t.same(
        media.map(({ timestamp }) => timestamp),
        media.map((_, i) => String(i * 100)),
        'timestamps are texts',
      );
      t.ok(
        media.every(({ payload }) => Buffer.from(String(payload), 'base64').length === 1600),
        '100 ms each',
      );
      t.match(
        bot.texts.find(({ event }) => event === 'dtmf'),
        { dtmf: { digit: '7', duration: /^\d+$/ } },
      );
      t.match(bot.texts.at(-1), { stop: { call_sid: callSid, account_sid: 'demo', reason: 'callended' } });
      break;
    }
    case 'twilio': {
      t.same(talk, ['connected', 'start', 'dtmf', 'mark', 'mark', 'stop']);
      t.same(first, { event: 'connected', protocol: 'Call', version: '1.0.0' });
      t.match(bot.texts[1], {
        sequenceNumber: '1',
        start: { callSid, accountSid: 'demo', tracks: ['inbound'], customParameters: { tier: '' } },
      });
      t.same((bot.texts[1]?.['start'] as Json)['mediaFormat'], {
        encoding: 'audio/x-mulaw',
        sampleRate: 8000,
        channels: 1,
      });
      counted(
        t,
        bot.texts.slice(1).map((one) => Number(one['sequenceNumber'])),
        1,
      );
      t.ok(
        bot.texts.slice(1).every(({ sequenceNumber }) => typeof sequenceNumber === 'string'),
        'numbers are texts',
      );
      const media = bot.texts.filter(({ event }) => event === 'media').map((one) => one['media'] as Json);
      t.same(
        media.map(({ chunk }) => chunk),
        media.map((_, i) => String(i + 1)),
      );
      t.same(
        media.map(({ timestamp }) => timestamp),
        media.map((_, i) => String(i * 20)),
      );
      t.ok(
        media.every(
          ({ track, payload }) => track === 'inbound' && Buffer.from(String(payload), 'base64').length === 160,
        ),
      );
      t.match(
        bot.texts.find(({ event }) => event === 'dtmf'),
        { dtmf: { track: 'inbound_track', digit: '7' } },
      );
      t.same(bot.texts.at(-1)?.['stop'], { accountSid: 'demo', callSid });
      break;
    }
    case 'plivo': {
      t.same(talk, ['start', 'dtmf', 'playedStream', 'clearedAudio', 'stop']);
      t.match(first, {
        sequenceNumber: 0,
        start: {
          callId: callSid,
          accountId: 'demo',
          tracks: ['inbound'],
          mediaFormat: { encoding: 'audio/x-l16', sampleRate: 8000 },
        },
        extra_headers: '{"tier":""}',
      });
      counted(
        t,
        bot.texts.map((one) => one['sequenceNumber']),
        0,
      );
      t.match(
        bot.texts.find(({ event }) => event === 'dtmf'),
        { dtmf: { track: 'inbound', digit: '7', timestamp: /^\d+$/ } },
      );
      t.match(
        bot.texts.find(({ event }) => event === 'playedStream'),
        { name: 'said' },
      );
      break;
    }
    case 'jambonz': {
      t.same(talk, ['call', 'dtmf', 'mark', 'mark']);
      t.match(first, {
        callSid,
        accountSid: 'demo',
        from: '+919812345678',
        to,
        sampleRate: 8000,
        mixType: 'mono',
        tier: '',
      });
      t.match(
        bot.texts.find(({ event }) => event === 'dtmf'),
        { dtmf: '7', duration: /^\d+$/ },
      );
      const marks = bot.texts.filter(({ type }) => type === 'mark');
      t.same(
        marks.map(({ data }) => data),
        [
          { name: 'said', event: 'playout' },
          { name: 'said', event: 'cleared' },
        ],
      );
      t.equal(bot.binaryBytes, bot.binaryMessages * 320, '20 ms of L16 each');
    }
  }
}

/** Whole numbers, one more each time. */
const counted = (t: Test, numbers: readonly unknown[], from: number): void => {
  t.same(
    numbers,
    numbers.map((_, i) => from + i),
    'counted without a gap',
  );
};

t.test('an http URL answers with the URL of the bot', async (t) => {
  const web = await webServer({ host: WEB, port: 30_060 }, (_request, response) => {
    response.end(JSON.stringify({ url: `ws://${BOT}:${BOT_PORT}/found?sample-rate=16000` }));
  });
  t.teardown(() => web.close());
  const phone = await Phone.open(town.address('caller'), 30_520);
  t.teardown(() => phone.close());
  const connecting = nextBot();
  await phone.calls(town.numberOf('indirect'), town.node.hostPort);
  const bot = await connecting;
  t.equal(bot.path, '/found?sample-rate=16000');
  await bot.until('the start', () => bot.texts.length > 1);
  t.match(bot.texts[1], { start: { media_format: { sample_rate: '16000', bit_rate: '256kbps' } } });
  bot.leave();
  await phone.isHungUp();
  t.match(await town.node.record(phone.callId), { streams: [{ disconnectedBy: 'bot', status: 'completed' }] });
});

t.test('nothing is left', async () => {
  await town.mediaQuiet();
  await town.node.stop();
  closeServer();
});
