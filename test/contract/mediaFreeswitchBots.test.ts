/** Voice bots on FreeSWITCH: every dialect over mod_audio_fork, by way of the relay. */
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import type { StreamSpec } from '../../src/media/index.js';
import { FreeswitchSite } from '../support/freeswitch/site.js';
import { EventLog } from './media/events.js';
import { RtpPeer, amplitudeAt, sine } from './media/peer.js';

const site = new FreeswitchSite({
  address: '127.0.61.21',
  servers: [{ address: '127.0.61.22', sipPort: 26_600, eslPort: 26_601, rtpPorts: [26_620, 26_659] }],
});
await site.start();
t.teardown(() => site.stop());

const BOT = '127.0.61.25';
let port = 26_700;

interface Bot {
  readonly url: string;
  readonly texts: Record<string, unknown>[];
  readonly sockets: WebSocket[];
  /** Resolves with the first text that has this in it, now or later. */
  said(pattern: RegExp): Promise<Record<string, unknown>>;
}

/** Listens; what it is told is kept, and given to `on`. */
const bot = async (t: Test, on: (socket: WebSocket, data: Buffer, binary: boolean) => void): Promise<Bot> => {
  const server = new WebSocketServer({ host: BOT, port: port++ });
  await once(server, 'listening');
  const texts: Record<string, unknown>[] = [];
  const sockets: WebSocket[] = [];
  let wake = (): void => undefined;
  server.on('connection', (socket) => {
    sockets.push(socket);
    socket.on('message', (data, binary) => {
      if (!binary) texts.push(JSON.parse((data as Buffer).toString()) as Record<string, unknown>);
      on(socket, data as Buffer, binary);
      wake();
    });
  });
  t.teardown(() => {
    for (const socket of sockets) socket.terminate();
    server.close();
  });
  const said = (pattern: RegExp): Promise<Record<string, unknown>> => {
    const find = () => texts.find((text) => pattern.test(JSON.stringify(text)));
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the bot was not told ${String(pattern)}`)), 5000);
      wake = () => {
        const found = find();
        if (found === undefined) return;
        clearTimeout(late);
        resolve(found);
      };
      wake();
    });
  };
  const place = server.address() as { port: number };
  return { url: `ws://${BOT}:${place.port}/bot`, texts, sockets, said };
};

const stream = (url: string, more: Partial<StreamSpec>): StreamSpec => ({
  ...{ url, dialect: 'exotel', direction: 'bidirectional', sampleRate: 8000, encoding: 'l16' },
  ...{ accountSid: 'acc', callSid: 'call', streamSid: 'str', from: '+911', to: '+912' },
  ...{ customParameters: {}, frameMs: 20 },
  ...more,
});

const call = async (t: Test) => {
  const peer = await RtpPeer.bind('127.0.61.23', (port += 2) & ~1);
  const events = new EventLog();
  const opened = await site.open({ callId: `call ${peer.port}`, leg: 'a', offer: peer.sdp() }, events);
  if (!opened.ok) throw new Error(opened.problem.message);
  peer.pointAt(opened.sdp);
  t.teardown(async () => {
    await opened.endpoint.close();
    await peer.close();
  });
  return { peer, events, endpoint: opened.endpoint };
};

const hears = (peer: RtpPeer, hz: number, from = 0): Promise<void> =>
  peer.until(() => {
    const pcm = peer.audio(from);
    for (let at = 0; at + 1600 <= pcm.length; at += 160) {
      if (amplitudeAt(pcm.subarray(at, at + 1600), hz) > 8000) return true;
    }
    return false;
  });

const echoes: readonly (readonly [StreamSpec['dialect'], (message: Record<string, unknown>) => object | undefined])[] =
  [
    [
      'exotel',
      (m) => (m['event'] === 'media' ? { event: 'media', stream_sid: m['stream_sid'], media: m['media'] } : undefined),
    ],
    [
      'twilio',
      (m) => (m['event'] === 'media' ? { event: 'media', streamSid: m['streamSid'], media: m['media'] } : undefined),
    ],
    [
      'plivo',
      (m) =>
        m['event'] === 'media'
          ? {
              event: 'playAudio',
              media: {
                contentType: 'audio/x-l16',
                sampleRate: 8000,
                payload: (m['media'] as { payload: string }).payload,
              },
            }
          : undefined,
    ],
  ];

for (const [dialect, answer] of echoes) {
  t.test(`a caller hears itself through an echo bot that speaks ${dialect}, which hears the keys`, async (t) => {
    const echo = await bot(t, (socket, data) => {
      const said = answer(JSON.parse(data.toString()) as Record<string, unknown>);
      if (said !== undefined) socket.send(JSON.stringify(said));
    });
    const { peer, events, endpoint } = await call(t);
    const streamId = endpoint.startStream(stream(echo.url, { dialect }));
    t.match(await events.next('streamStarted'), { id: streamId });
    const heard = hears(peer, 440);
    await peer.say(sine(440, 12_000));
    await heard;
    await peer.press(4);
    await echo.said(/dtmf.*"4"/);
    endpoint.injectDtmf('6', 100);
    await echo.said(/dtmf.*"6"/);
    endpoint.stopStream(streamId, 'stopped');
    t.match(await events.next('streamEnded'), { id: streamId, status: 'completed', by: 'user' });
    if (dialect !== 'plivo') await echo.said(/"event":"stop"/);
    t.equal(events.count('streamEnded'), 1);
  });
}

t.test('a bot that speaks jambonz echoes linear audio at 16 kHz', async (t) => {
  const echo = await bot(t, (socket, data, binary) => {
    if (binary) socket.send(data);
  });
  const { peer, events, endpoint } = await call(t);
  endpoint.startStream(stream(echo.url, { dialect: 'jambonz', sampleRate: 16_000 }));
  await events.next('streamStarted');
  const heard = hears(peer, 440);
  await peer.say(sine(440, 12_000));
  await heard;
  t.match(echo.texts[0], { callSid: 'call', sampleRate: 16_000 });
});

t.test('a mark comes back when it has been heard, the end of what is said among it; clear silences', async (t) => {
  const bots = await bot(t, () => undefined);
  const { peer, events, endpoint } = await call(t);
  endpoint.startStream(stream(bots.url, {}));
  await events.next('streamStarted');
  const say = (hz: number, ms: number): void => {
    const pcm = sine(hz, ms * 8);
    const payload = Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength).toString('base64');
    bots.sockets[0]?.send(JSON.stringify({ event: 'media', stream_sid: 'str', media: { payload } }));
  };
  say(600, 700);
  bots.sockets[0]?.send(JSON.stringify({ event: 'mark', stream_sid: 'str', mark: { name: 'm1' } }));
  await bots.said(/"mark".*m1/);
  const loud = (): number => peer.audio().filter((sample) => Math.abs(sample) > 500).length;
  await peer.until(() => loud() > 700 * 8 * 0.9);
  t.ok(loud() < 700 * 8, 'all of it, once, its end included');
  say(800, 20_000);
  const from = peer.heard.length;
  await hears(peer, 800, from);
  bots.sockets[0]?.send(JSON.stringify({ event: 'clear', stream_sid: 'str' }));
  await peer.next(20);
  const silent = peer.heard.length;
  await peer.next(10);
  t.ok(
    peer.audio(silent).every((sample) => Math.abs(sample) < 100),
    'silence, once the media server has let go of what it held',
  );
});

t.test('an announcement goes before what the bot says, which waits for its end', async (t) => {
  const bots = await bot(t, () => undefined);
  const { peer, events, endpoint } = await call(t);
  endpoint.startStream(stream(bots.url, {}));
  await events.next('streamStarted');
  endpoint.play({ sources: [{ kind: 'tone', frequenciesHz: [900], durationMs: 600 }] });
  await hears(peer, 900);
  const pcm = sine(600, 4800);
  const payload = Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength).toString('base64');
  bots.sockets[0]?.send(JSON.stringify({ event: 'media', stream_sid: 'str', media: { payload } }));
  t.match(await events.next('playEnded'), { end: 'finished' });
  await hears(peer, 600);
  const audio = peer.audio();
  for (let at = 0; at + 800 <= audio.length; at += 160) {
    const both = [600, 900].every((hz) => amplitudeAt(audio.subarray(at, at + 800), hz) > 4000);
    if (both) return t.fail('both at once');
  }
});

t.test('a fork only listens', async (t) => {
  const bots = await bot(t, (socket, _data, binary) => {
    if (binary) socket.send(Buffer.alloc(320, 0x30));
  });
  const { peer, events, endpoint } = await call(t);
  endpoint.startStream(stream(bots.url, { dialect: 'jambonz', direction: 'fork' }));
  await events.next('streamStarted');
  await peer.say(sine(440, 4800));
  t.ok(
    peer.audio().every((sample) => Math.abs(sample) < 100),
    'nothing comes back',
  );
  t.ok(site.standIns[0]?.commands.some((line) => /uuid_audio_fork .*\|false\|false\|$/.test(line)));
});

t.test('a bot that is not there, one that may not be, and one that leaves are reported', async (t) => {
  const { events, endpoint } = await call(t);
  endpoint.startStream(stream(`ws://${BOT}:1/`, {}));
  t.match(await events.next('streamEnded'), { status: 'failed', by: 'NA' });
  endpoint.startStream(stream('ws://10.0.0.1/', {}));
  t.match(await events.next('streamEnded'), { status: 'failed', by: 'NA' });
  const leaver = await bot(t, (socket) => socket.close(1000));
  endpoint.startStream(stream(leaver.url, {}));
  t.match(await events.next('streamEnded'), { status: 'completed', by: 'bot' });
});

t.test('nobody but the media server gets at the audio', async (t) => {
  const bots = await bot(t, () => undefined);
  const { endpoint, events } = await call(t);
  endpoint.startStream(stream(bots.url, {}));
  await events.next('streamStarted');
  await bots.said(/"event":"media"/);
  const line = site.standIns[0]?.commands.findLast((one) => /^uuid_audio_fork .*\|start\|/.test(one)) ?? '';
  const url = new URL(/\|(ws:[^|]+)\|/.exec(line)?.[1] ?? '');
  for (const path of [url.pathname, '/', '/0123456789abcdef0123456789abcdef']) {
    const client = new WebSocket(`ws://${url.host}${path}`, 'audio.drachtio.org');
    const [error] = (await once(client, 'error')) as [Error];
    t.match(error.message, /401/, `${path === url.pathname ? 'the used one' : path} is refused`);
  }
});
