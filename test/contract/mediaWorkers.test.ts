import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { parseWav, wavSamples } from '../../src/media/codec/wav.js';
import type { SpawnWorker, WorkerLink } from '../../src/media/engine/protocol.js';
import {
  EmbeddedMedia,
  type EndpointSpec,
  type MediaEndpoint,
  type StreamSpec,
  spawnThread,
} from '../../src/media/index.js';
import { EventLog } from './media/events.js';
import { RtpPeer, usualAmplitude, sine } from './media/peer.js';

const entry = new URL('../../src/cli/mediaWorker.js', import.meta.url);

/** An engine whose workers can be killed. */
const engine = async (workers: number, rtpPorts: readonly [number, number]) => {
  const links: WorkerLink[] = [];
  const crashes: string[] = [];
  const spawn: SpawnWorker = (settings, sink) => {
    const link = spawnThread(entry)(settings, sink);
    links.push(link);
    return link;
  };
  const media = new EmbeddedMedia(
    { workers, address: '127.0.41.11', rtpPorts, botNetworks: ['127.0.0.0/8'] },
    { clock: new SystemClock(), random: new SystemRandom(), spawn, onCrash: (reason) => crashes.push(reason) },
  );
  await media.start();
  return { media, links, crashes };
};

const opened = async (media: EmbeddedMedia, spec: EndpointSpec, events = new EventLog()) => {
  const result = await media.open(spec, events);
  if (!result.ok) throw new Error(result.problem.message);
  return { endpoint: result.endpoint as MediaEndpoint, sdp: result.sdp, events };
};

const stream = (url: string, more: Partial<StreamSpec> = {}): StreamSpec => ({
  url,
  dialect: 'exotel',
  direction: 'bidirectional',
  sampleRate: 8000,
  encoding: 'l16',
  accountSid: 'acc',
  callSid: 'call',
  streamSid: 'str',
  from: '+911',
  to: '+912',
  customParameters: {},
  frameMs: 20,
  ...more,
});

/** A bot that says back what it hears. */
const echoBot = async (port: number): Promise<{ server: WebSocketServer; sockets: WebSocket[]; digits: string[] }> => {
  const server = new WebSocketServer({ host: '127.0.41.15', port });
  const sockets: WebSocket[] = [];
  const digits: string[] = [];
  server.on('connection', (socket) => {
    sockets.push(socket);
    socket.on('message', (data) => {
      const message = JSON.parse(data.toString()) as {
        event: string;
        stream_sid: string;
        media?: object;
        dtmf?: { digit: string };
      };
      if (message.event === 'dtmf') digits.push(message.dtmf?.digit ?? '');
      if (message.event === 'media')
        socket.send(JSON.stringify({ event: 'media', stream_sid: message.stream_sid, media: message.media }));
    });
  });
  await new Promise((resolve) => server.once('listening', resolve));
  return { server, sockets, digits };
};

const peerOf = async (port: number): Promise<RtpPeer> => RtpPeer.bind('127.0.41.12', port);

t.test('calls of two workers are bridged past the main thread', async (t) => {
  const { media } = await engine(2, [20_200, 20_239]);
  const [a, b] = [await peerOf(20_700), await peerOf(20_702)];
  t.teardown(async () => {
    await media.stop();
    await Promise.all([a.close(), b.close()]);
  });
  const one = await opened(media, { callId: 'one', leg: 'a', offer: a.sdp() });
  const other = await opened(media, { callId: 'other', leg: 'a', offer: b.sdp() });
  const dump = (await media.dump()) as { workers: { load: number }[] };
  t.same(
    dump.workers.map((worker) => worker.load),
    [1, 1],
    'shared out',
  );
  a.pointAt(one.sdp);
  b.pointAt(other.sdp);
  one.endpoint.bridge(other.endpoint);
  await Promise.all([a.say(sine(440, 8000)), b.say(sine(900, 8000))]);
  t.ok(usualAmplitude(b.audio().subarray(-6400, -1600), 440) > 9000);
  t.ok(usualAmplitude(a.audio().subarray(-6400, -1600), 900) > 9000);
  await a.press(3);
  await b.until(() => b.heard.some((packet) => packet.payloadType === 101 && packet.payload[0] === 3));
  await other.endpoint.close();
  const from = a.heard.length;
  await a.say(sine(440, 1600));
  t.ok(a.heard.length > from, 'the other end goes on alone');
});

t.test('a worker that dies fails its endpoints, once, and the next calls are served', async (t) => {
  const { media, links, crashes } = await engine(1, [20_240, 20_259]);
  const peer = await peerOf(20_710);
  t.teardown(async () => {
    await media.stop();
    await peer.close();
  });
  const { endpoint, events } = await opened(media, { callId: 'x', leg: 'a', offer: peer.sdp() });
  const playId = endpoint.play({ sources: [{ kind: 'silence', durationMs: 60_000 }] });
  const streamId = endpoint.startStream(stream('ws://127.0.41.15:1'));
  void links[0]?.terminate();
  await events.next('failed');
  t.match(
    events.told.filter((told) => told.on !== 'streamEnded' || told.by === 'NA'),
    [
      { on: 'playEnded', id: playId, end: 'failed' },
      { on: 'streamEnded', id: streamId, status: 'failed', by: 'NA' },
      { on: 'failed', code: 'engine_down' },
    ],
  );
  t.equal(crashes.length, 1);
  t.match(await endpoint.makeOffer(), { ok: false, problem: { code: 'engine_down' } });
  const late = endpoint.play({ sources: [] });
  t.match(await events.next('playEnded'), { id: late, end: 'failed' });
  t.match(await endpoint.close(), { packetsReceived: 0 });
  const next = await opened(media, { callId: 'y', leg: 'a', offer: peer.sdp() });
  await peer.next(3);
  await next.endpoint.close();
  const dump = (await media.dump()) as { workers: { load: number; crashes: number }[] };
  t.match(dump.workers, [{ load: 0, crashes: 1 }]);
});

t.test('two endpoints talk SRTP with each other', async (t) => {
  const { media } = await engine(2, [20_260, 20_299]);
  const folder = await mkdtemp(join(tmpdir(), 'media-'));
  t.teardown(async () => {
    await media.stop();
    await rm(folder, { recursive: true });
  });
  const caller = await opened(media, { callId: 'a', leg: 'b', srtp: 'mandatory' });
  const called = await opened(media, { callId: 'b', leg: 'a', srtp: 'optional', offer: caller.sdp });
  t.match(called.sdp.toString(), /RTP\/SAVP[^]*a=crypto:1 /);
  t.match(await caller.endpoint.acceptAnswer(called.sdp), { ok: true });
  caller.endpoint.play({ sources: [{ kind: 'tone', frequenciesHz: [440], durationMs: 60_000 }] });
  const path = join(folder, 'srtp.wav');
  called.endpoint.record({ path, channels: 'mono', maxMs: 600 });
  await called.events.next('recordEnded');
  caller.endpoint.sendDtmf('9');
  t.match(await called.events.next('dtmf'), { digit: '9' });
  const wav = parseWav(await readFile(path));
  if (!wav.ok) return t.fail(wav.error);
  t.ok(usualAmplitude(wavSamples(wav.value).subarray(1600), 440) > 10_000);
  t.match(await called.endpoint.quality(), { packetsLost: 0, packetsRejected: 0 });
});

t.test('a caller hears itself through an echo bot, and the bot hears the keys', async (t) => {
  const { media } = await engine(1, [20_300, 20_319]);
  const bot = await echoBot(20_900);
  const peer = await peerOf(20_720);
  t.teardown(async () => {
    await media.stop();
    await peer.close();
    bot.server.close();
  });
  const { endpoint, events, sdp } = await opened(media, { callId: 'bot', leg: 'a', offer: peer.sdp() });
  peer.pointAt(sdp);
  const streamId = endpoint.startStream(stream('ws://127.0.41.15:20900/bot'));
  t.match(await events.next('streamStarted'), { id: streamId });
  await peer.say(sine(440, 8000));
  t.ok(usualAmplitude(peer.audio().subarray(-6400, -1600), 440) > 9000, '440 Hz in, 440 Hz out');
  await peer.press(4);
  await events.next('dtmf');
  endpoint.injectDtmf('6', 100);
  await peer.say(new Int16Array(1600));
  t.same(bot.digits, ['4', '6']);
  // The way of one burst: 100 ms of silence around it would be heard as delay.
  const delays: number[] = [];
  for (let i = 0; i < 10; i++) {
    await peer.say(new Int16Array(2400));
    const from = peer.heard.length;
    const startMs = performance.now();
    await peer.say(sine(440, 800));
    await peer.until(() =>
      peer.heard.slice(from).some((packet) => packet.payload.some((code) => (code & 0x7f) < 0x40)),
    );
    const first = peer.heard.slice(from).find((packet) => packet.payload.some((code) => (code & 0x7f) < 0x40));
    delays.push((first?.atMs ?? 0) - startMs);
  }
  delays.sort((x, y) => x - y);
  t.comment(`mouth to ear, framing of 20 ms at each end included: ${delays.map((ms) => ms.toFixed(0)).join(' ')} ms`);
  t.ok((delays[5] ?? 0) < 150, 'in time to be a conversation');
  for (const socket of bot.sockets) socket.terminate();
  t.match(await events.next('streamEnded'), { id: streamId, by: 'bot' });
  const from = peer.heard.length;
  await peer.next(5);
  t.ok(
    peer.heard.slice(from).every((packet) => packet.payload.every((code) => code === 0xff)),
    'silence after it',
  );
});

t.test('16 kHz all the way: a linear leg, a 16 kHz bot, and nothing narrow in between', async (t) => {
  const { media } = await engine(1, [20_320, 20_339]);
  const bot = await echoBot(20_910);
  const peer = await peerOf(20_730);
  t.teardown(async () => {
    await media.stop();
    await peer.close();
    bot.server.close();
  });
  const { endpoint, events, sdp } = await opened(media, { callId: 'wide', leg: 'b', codecs: ['opus', 'L16'] });
  const [, type = ''] = /a=rtpmap:(\d+) L16\/16000/.exec(sdp.toString()) ?? [];
  peer.pointAt(sdp);
  const answer = peer
    .sdp()
    .toString()
    .replace(/m=audio [^]*/, `m=audio ${peer.port} RTP/AVP ${type}\r\na=rtpmap:${type} L16/16000\r\n`);
  t.match(await endpoint.acceptAnswer(Buffer.from(answer)), { ok: true });
  endpoint.startStream(stream('ws://127.0.41.15:20910/bot?sample-rate=16000', { sampleRate: 16_000 }));
  await events.next('streamStarted');
  const beat = setInterval(() => {
    const payload = Buffer.alloc(640);
    for (let i = 0; i < 320; i++) {
      const at = (peer.timestamp + i) >>> 0;
      payload.writeInt16BE(Math.round(10_000 * Math.sin((2 * Math.PI * 6000 * at) / 16_000)), i * 2);
    }
    peer.send(payload, { payloadType: Number(type) });
    peer.timestamp = (peer.timestamp + 320) >>> 0;
  }, 20);
  t.teardown(() => clearInterval(beat));
  const isLoud = (payload: Buffer) => Math.abs(payload.readInt16BE(0)) + Math.abs(payload.readInt16BE(2)) > 4000;
  const loud = (): Buffer[] =>
    peer.heard.flatMap(({ payload }) => (payload.length === 640 && isLoud(payload) ? [payload] : []));
  await peer.until(() => loud().length > 20);
  const heard = Buffer.concat(loud());
  const pcm = Int16Array.from({ length: heard.length / 2 }, (_, i) => heard.readInt16BE(i * 2));
  // Sampled at 16 kHz, seen as 8 kHz: 6 kHz lies at 3 kHz there.
  t.ok(usualAmplitude(pcm, 3000) > 9000, '6 kHz in, 6 kHz out');
  t.match(await endpoint.quality(), { codec: 'L16/16000' });
});
