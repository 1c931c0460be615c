import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import { ManualClock, SeededRandom, SystemMetronome } from '../../src/kernel/index.js';
import { decodeMulaw, encodeMulaw } from '../../src/media/codec/g711.js';
import { decodeL16Be, encodeL16Be } from '../../src/media/codec/l16.js';
import { type CoreListener, EndpointCore } from '../../src/media/engine/core.js';
import { egressPolicy } from '../../src/media/stream/egress.js';
import { EmbeddedMedia } from '../../src/media/engine/embedded.js';
import { farPeer } from '../../src/media/engine/farBridge.js';
import { FrameQueue } from '../../src/media/engine/frameQueue.js';
import { PortPool, QUARANTINE_MS } from '../../src/media/engine/portPool.js';
import type { Command, FromWorker, Reply, WorkerSink } from '../../src/media/engine/protocol.js';
import { Player } from '../../src/media/play/player.js';
import { parseRtcp } from '../../src/media/rtp/rtcp.js';
import { parseRtp, type RtpPacket, writeRtp } from '../../src/media/rtp/packet.js';
import type { NegotiatedAudio } from '../../src/media/sdp/description.js';
import type { BotStream } from '../../src/media/stream/port.js';
import { EventLog } from '../contract/media/events.js';
import { AUDIO } from '../support/negotiatedAudio.js';

const level = (value: number): Int16Array => new Int16Array(160).fill(value);
const sineAt = (rate: number, hz: number, samples: number, from = 0): Int16Array =>
  Int16Array.from({ length: samples }, (_, i) => Math.round(10_000 * Math.sin((2 * Math.PI * hz * (from + i)) / rate)));
/** Amplitude of a tone in a signal. */
const toneAt = (rate: number, pcm: Int16Array, hz: number): number => {
  let [re, im] = [0, 0];
  pcm.forEach((value, i) => {
    re += value * Math.cos((2 * Math.PI * hz * i) / rate);
    im += value * Math.sin((2 * Math.PI * hz * i) / rate);
  });
  return (2 * Math.hypot(re, im)) / pcm.length;
};
const constant = (value: number, length = 1e9) =>
  new Player([{ length, rewind: () => {}, read: (_, target) => target.fill(value).length }], 1);

/** A core with its time and its wire. */
const rig = (
  options: { comfortSilence?: boolean; mediaTimeoutMs?: number; negotiated?: Partial<NegotiatedAudio> } = {},
) => {
  const sent: { packet: RtpPacket; atMs: number; port: number }[] = [];
  const rtcp: Buffer[] = [];
  const told: string[] = [];
  let nowMs = 0;
  const listener: CoreListener = {
    onKey: (key, by) => told.push(`${key.digit} ${by}`),
    onPlayFinished: () => told.push('finished'),
    onMediaTimeout: () => told.push(`timeout at ${nowMs}`),
  };
  const core = new EndpointCore(
    {
      random: new SeededRandom(5),
      nowMs: 0,
      wallOffsetMs: Date.UTC(2026, 0, 1),
      comfortSilence: options.comfortSilence ?? true,
      nat: false,
      mediaTimeoutMs: options.mediaTimeoutMs,
    },
    {
      sendRtp: (data, _address, port) => {
        const packet = parseRtp(Buffer.from(data));
        if (packet !== undefined) sent.push({ packet, atMs: nowMs, port });
      },
      sendRtcp: (data) => rtcp.push(Buffer.from(data)),
    },
    listener,
  );
  core.configure({ ...AUDIO, ...options.negotiated }, undefined, 0);
  let sequence = 0;
  const say = (value: number, port = 4000): void => {
    const payload = new Uint8Array(160);
    encodeMulaw(level(value), payload);
    const packet = Buffer.alloc(172);
    writeRtp(
      packet,
      { payloadType: 0, marker: false, sequence: ++sequence & 0xffff, timestamp: sequence * 160, ssrc: 7 },
      payload,
    );
    core.onRtp(packet, '192.0.2.9', port, nowMs);
  };
  const tick = (times = 1, speech?: number): void => {
    for (let i = 0; i < times; i++) {
      if (speech !== undefined) say(speech);
      nowMs += 20;
      core.tick(nowMs);
    }
  };
  const lastLevel = (): number => {
    const pcm = new Int16Array(1);
    decodeMulaw(sent.at(-1)?.packet.payload.subarray(-1) ?? Buffer.alloc(0), pcm);
    return pcm[0] ?? 0;
  };
  return { core, sent, rtcp, told, tick, say, lastLevel, now: () => nowMs };
};

const near = (value: number, wanted: number): boolean => Math.abs(value - wanted) < wanted * 0.05;

t.test('what the peer hears: keys before announcements before the bot before the bridge before silence', async (t) => {
  const { core, sent, tick, lastLevel, told } = rig();
  tick();
  t.equal(lastLevel(), 0);
  core.frame(level(1000));
  tick();
  t.ok(near(lastLevel(), 1000), 'the bridge');
  let bot: Int16Array | undefined = level(2000);
  const stream: BotStream = {
    fromCaller: () => {},
    toCaller: () => bot,
    dtmf: () => {},
    stop: () => {},
    bufferedBytes: 0,
    dump: () => ({}),
  };
  core.streams(stream, []);
  core.frame(level(1000));
  tick();
  t.ok(near(lastLevel(), 2000), 'the bot');
  core.play(constant(4000));
  tick();
  t.ok(near(lastLevel(), 4000), 'the announcement');
  core.press('5', 100);
  tick();
  t.equal(sent.at(-1)?.packet.payloadType, 101, 'the key');
  core.play(undefined);
  tick(20);
  t.ok(near(lastLevel(), 2000));
  bot = undefined;
  tick();
  t.equal(lastLevel(), 0, 'within one frame of the bot falling silent');
  core.play(
    new Player(
      [
        {
          length: 200,
          rewind: () => {},
          read: (from, target) =>
            target.fill(500, 0, Math.min(target.length, 200 - from)).length && Math.min(target.length, 200 - from),
        },
      ],
      1,
    ),
  );
  tick(2);
  t.same(told, ['finished']);
});

/** Two cores and a network between them that delays, loses, reorders and repeats. */
const lossyCall = (path: { delayMs: number; spreadMs: number; loss: number; seconds: number }) => {
  const random = new SeededRandom(11);
  const air: { atMs: number; deliver: () => void }[] = [];
  let nowMs = 0;
  const lost = [0, 0];
  const cores: EndpointCore[] = [];
  const put = (to: number, kind: 'onRtp' | 'onRtcp') => (data: Buffer) => {
    if (kind === 'onRtp' && random.float() < path.loss) return void (lost[to] = (lost[to] ?? 0) + 1);
    const atMs = nowMs + path.delayMs + random.float() * path.spreadMs;
    const copy = Buffer.from(data);
    const port = kind === 'onRtp' ? 4000 : 4001;
    air.push({ atMs, deliver: () => cores[to]?.[kind](copy, '192.0.2.9', port, nowMs) });
  };
  const listener = { onKey: () => {}, onPlayFinished: () => {}, onMediaTimeout: () => {} };
  for (const to of [1, 0]) {
    const shared = { nowMs: 0, comfortSilence: true, nat: false, mediaTimeoutMs: undefined };
    const core = new EndpointCore(
      { ...shared, random: new SeededRandom(to), wallOffsetMs: Date.UTC(2026, 0, 1) + to * 100_000 },
      { sendRtp: put(to, 'onRtp'), sendRtcp: put(to, 'onRtcp') },
      listener,
    );
    core.configure(AUDIO, undefined, 0);
    cores.push(core);
  }
  for (; nowMs < path.seconds * 1000; nowMs++) {
    for (let i = 0; i < air.length; i++) {
      if ((air[i]?.atMs ?? 0) > nowMs) continue;
      air.splice(i--, 1)[0]?.deliver();
    }
    // The two tick at different moments.
    if (nowMs % 20 === 0) cores[0]?.tick(nowMs);
    if (nowMs % 20 === 7) cores[1]?.tick(nowMs);
  }
  return cores.map((core, i) => ({ ...core.quality(), dropped: lost[i] ?? 0 }));
};

t.test('the quality that goes into the record is that of the path', async (t) => {
  const seconds = 60;
  const [clean] = lossyCall({ delayMs: 20, spreadMs: 0, loss: 0, seconds });
  t.match(clean, { packetsLost: 0, packetsLate: 0, packetsRejected: 0, codec: 'PCMU' });
  t.ok((clean?.jitterMs ?? 9) < 0.5, `jitter ${clean?.jitterMs} ms`);
  t.ok(Math.abs((clean?.roundTripMs ?? 0) - 40) < 5, `round trip ${clean?.roundTripMs} ms of 40`);
  t.ok((clean?.mos ?? 0) > 4.3, `MOS ${clean?.mos}`);
  for (const one of lossyCall({ delayMs: 50, spreadMs: 30, loss: 0.05, seconds })) {
    t.ok(Math.abs(one.packetsLost - one.dropped) <= 3, `${one.packetsLost} lost, ${one.dropped} dropped`);
    t.ok(one.packetsSent >= seconds * 50 - 1);
    // Uniform within 30 ms: two of them differ by 10 ms on average.
    t.ok(one.jitterMs > 7 && one.jitterMs < 13, `jitter ${one.jitterMs} ms`);
    t.ok(Math.abs((one.roundTripMs ?? 0) - 130) < 35, `round trip ${one.roundTripMs} ms of 130`);
    t.ok(one.mos > 3 && one.mos < 4, `MOS ${one.mos} at 5 % loss`);
  }
  const [bad] = lossyCall({ delayMs: 300, spreadMs: 100, loss: 0.2, seconds });
  t.ok((bad?.mos ?? 5) < 2.5, `MOS ${bad?.mos} at 20 % loss and 350 ms`);
});

t.test('comfort noise and a change of source are part of the stream: no loss, no words twice', async (t) => {
  const { core, tick, say, now } = rig();
  const heard: number[] = [];
  core.record({ frame: (peer) => heard.push(...peer) });
  tick(25, 3000);
  const noise = Buffer.alloc(13);
  // RFC 3389: the level of the noise, for as long as nothing else comes.
  writeRtp(noise, { payloadType: 13, marker: false, sequence: 26, timestamp: 26 * 160, ssrc: 7 }, Uint8Array.of(60));
  core.onRtp(noise, '192.0.2.9', 4000, now());
  const quiet = heard.length;
  tick(25);
  t.ok(
    heard.slice(quiet + 1600).every((sample) => sample === 0),
    'silence where nobody speaks',
  );
  t.match(core.quality(), { packetsReceived: 26, packetsLost: 0, packetsRejected: 0 });
  for (let i = 0; i < 25; i++) {
    const payload = new Uint8Array(160);
    encodeMulaw(level(5000), payload);
    const packet = Buffer.alloc(172);
    const header = { payloadType: 0, marker: i === 0, sequence: (40_000 + i) & 0xffff, timestamp: 9_000_000 + i * 160 };
    writeRtp(packet, { ...header, ssrc: 8 }, payload);
    core.onRtp(packet, '192.0.2.9', 4000, now());
    tick();
  }
  t.ok(near(heard.at(-1) ?? 0, 5000), 'the new source is heard');
  t.match(core.quality(), { packetsReceived: 51, packetsLost: 0 });
  say(3000);
  t.match(core.quality(), { packetsLost: 0 }, 'a late word of the old one');
});

t.test('a wide-band leg is joined to wide-band bots without loss, and to others at their rate', async (t) => {
  const wide = { codec: 'L16', clockRate: 16_000, payloadType: 96, receive: new Map([[96, 'L16' as const]]) } as const;
  const { core, sent, tick, now } = rig({ negotiated: { ...wide, sendEvents: 97, receiveEvents: 97 } });
  const heard: { [who: string]: number[] } = { wide: [], narrow: [], tap: [], bridge: [] };
  const hear = (who: string) => (pcm: Int16Array) => heard[who]?.push(...pcm);
  let spoken: Int16Array | undefined;
  const stream = (who: string, rate?: 16_000): BotStream => ({
    rate,
    fromCaller: hear(who),
    toCaller: () => spoken,
    dtmf: () => {},
    stop: () => {},
    bufferedBytes: 0,
    dump: () => ({}),
  });
  core.streams(stream('wide', 16_000), [stream('narrow')]);
  core.record({ rate: 16_000, frame: hear('tap') });
  core.bridge({ frame: hear('bridge'), key: () => {} });
  let sequence = 0;
  const say = (hz: number): void => {
    const payload = Buffer.alloc(640);
    encodeL16Be(sineAt(16_000, hz, 320, sequence * 320), payload);
    const packet = Buffer.alloc(652);
    writeRtp(packet, { payloadType: 96, marker: false, sequence, timestamp: sequence * 320, ssrc: 7 }, payload);
    core.onRtp(packet, '192.0.2.9', 4000, now());
    sequence++;
    spoken = sineAt(16_000, 6500, 320, sequence * 320);
    tick();
  };
  for (let i = 0; i < 50; i++) say(6000);
  const last = (who: string, samples: number) => Int16Array.from(heard[who]?.slice(-samples) ?? []);
  for (const who of ['wide', 'tap', 'bridge'])
    t.ok(near(toneAt(16_000, last(who, 8000), 6000), 10_000), `6 kHz reaches the ${who}`);
  t.equal(heard['narrow']?.length, 50 * 160);
  t.ok(toneAt(8000, last('narrow', 4000), 2000) < 100, 'what is too high for narrow band does not fold into it');
  const out = Buffer.concat(sent.slice(-25).map(({ packet }) => packet.payload));
  const pcm = new Int16Array(out.length / 2);
  decodeL16Be(out, pcm);
  t.ok(near(toneAt(16_000, pcm, 6500), 10_000), 'and what the bot says comes back whole');
  const [one, two] = sent.slice(-2);
  t.equal(((two?.packet.timestamp ?? 0) - (one?.packet.timestamp ?? 0)) >>> 0, 320);
  t.equal(core.quality().codec, 'L16/16000');
  core.press('5', 40);
  tick(2);
  t.match(sent.at(-1)?.packet, { payloadType: 97 });
  t.equal(sent.at(-1)?.packet.payload.readUInt16BE(2), 640, 'events count by the clock of the audio');

  // An end at 8 kHz on the bridge, and an announcement.
  core.streams(undefined, []);
  tick(20);
  const hz = (at: number) => sineAt(8000, 1000, 160, at * 160);
  sent.length = 0;
  for (let i = 0; i < 25; i++) {
    core.frame(hz(i));
    tick();
  }
  const bridged = new Int16Array(25 * 320);
  decodeL16Be(Buffer.concat(sent.map(({ packet }) => packet.payload)), bridged);
  t.ok(near(toneAt(16_000, bridged.subarray(1600), 1000), 10_000), 'an end at 8 kHz is heard');
  core.play(constant(4000));
  tick(5);
  t.ok(near(sent.at(-1)?.packet.payload.readInt16BE(600) ?? 0, 4000), 'and an announcement');

  const before = sent.at(-1)?.packet;
  core.configure({ ...AUDIO, payloadType: 0 }, undefined, now());
  tick(2);
  t.equal(sent.at(-1)?.packet.payload.length, 160);
  t.not(sent.at(-1)?.packet.ssrc, before?.ssrc, 'another clock is another stream (RFC 7160)');
  t.ok(core.quality().packetsSent > 100, 'that counts on');
});

t.test('the peer is heard by streams, forks, taps and the other end of a bridge', async (t) => {
  const { core, tick, say } = rig();
  const heard: Record<string, number> = {};
  const stream = (name: string): BotStream => ({
    fromCaller: (pcm) => (heard[name] = pcm[80] ?? 0),
    toCaller: () => undefined,
    dtmf: (digit) => (heard[digit] = 1),
    stop: () => {},
    bufferedBytes: 0,
    dump: () => ({}),
  });
  core.streams(stream('bot'), [stream('fork')]);
  core.bridge({ frame: (pcm) => (heard['bridge'] = pcm[80] ?? 0), key: () => {} });
  core.record({ frame: (peer) => (heard['tap'] = peer[80] ?? 0) });
  say(3000);
  tick(10, 3000);
  for (const name of ['bot', 'fork', 'bridge', 'tap']) t.ok(near(heard[name] ?? 0, 3000), name);
  core.tellStreams('8', 100);
  t.equal(heard['8'], 1);
});

t.test('packets are as long as the peer wants them, and lose nothing', async (t) => {
  for (const packetMs of [10, 20, 30, 40, 60]) {
    const { core, sent, tick } = rig({ negotiated: { packetMs } });
    core.play(constant(1000));
    tick(30);
    t.equal(sent.length, 600 / packetMs, `${packetMs} ms`);
    t.ok(sent.every(({ packet }) => packet.payload.length === packetMs * 8));
    t.ok(
      sent.every(
        ({ packet }, i) => i === 0 || (packet.timestamp - (sent[i - 1]?.packet.timestamp ?? 0)) >>> 0 === packetMs * 8,
      ),
    );
  }
});

t.test('without comfort silence nothing is sent between talk, and talk begins with a marker', async (t) => {
  const { core, sent, tick } = rig({ comfortSilence: false });
  tick(10);
  t.equal(sent.length, 0);
  core.play(constant(1000, 320));
  tick(10);
  t.equal(sent.length, 2);
  t.equal(sent[0]?.packet.marker, true);
  core.press('1', 60);
  tick(20);
  t.ok(sent.length > 4, 'keys are sent');
});

t.test('keys go out as tones where the peer takes no events', async (t) => {
  const { core, sent, tick } = rig({ comfortSilence: false, negotiated: { sendEvents: undefined } });
  core.press('5', 100);
  tick(12);
  t.ok(sent.length >= 5 && sent.length <= 10, `${sent.length} packets`);
  t.ok(sent.every(({ packet }) => packet.payloadType === 0));
});

t.test('a silent peer is reported once, not on hold, and again after it spoke', async (t) => {
  const { core, told, tick, now } = rig({ mediaTimeoutMs: 1000 });
  tick(60);
  t.same(told, ['timeout at 1000']);
  tick(5, 1000);
  tick(60);
  t.equal(told.length, 2);
  core.configure({ ...AUDIO, receives: false }, undefined, now());
  tick(200);
  t.equal(told.length, 2);
  core.configure(AUDIO, undefined, now());
  tick(49);
  t.equal(told.length, 2, 'the time on hold does not count');
});

t.test('a report goes out every five seconds or so, and a goodbye at the end', async (t) => {
  const { core, rtcp, tick, say, now } = rig();
  for (let i = 0; i < 1500; i++) {
    if (i % 10 !== 0) say(1000);
    tick();
  }
  t.ok(rtcp.length >= 4 && rtcp.length <= 12, `${rtcp.length} reports in 30 s`);
  const last = parseRtcp(rtcp.at(-1) as Buffer);
  t.match(last?.[0], { kind: 'sr', reports: [{ ssrc: 7 }] });
  core.end(now());
  t.match(parseRtcp(rtcp.at(-1) as Buffer)?.at(-1), { kind: 'bye' });
  const quality = core.quality();
  t.equal(quality.packetsReceived, 1350);
  t.equal(quality.packetsSent, 1500);
});

t.test('frames wait in order, the oldest gives way, and a lasting surplus goes', async (t) => {
  const queue = new FrameQueue();
  t.equal(queue.take(), undefined);
  for (const value of [1, 2, 3, 4, 5]) queue.push(level(value));
  t.equal(queue.take()?.[0], 2);
  t.equal(queue.take()?.[0], 3);
  for (let i = 0; i < 100; i++) {
    queue.push(level(100 + i));
    queue.take();
  }
  t.equal(queue.take(), undefined, 'no delay is left');
});

t.test('ports: even ones, each once, five seconds of rest', async (t) => {
  const clock = new ManualClock();
  const pool = new PortPool([20_001, 20_010], clock, new SeededRandom(1));
  const taken = [pool.take(), pool.take(), pool.take(), pool.take()];
  t.same([...taken].sort(), [20_002, 20_004, 20_006, 20_008]);
  t.equal(pool.take(), undefined);
  pool.release(20_004);
  pool.release(20_004);
  pool.release(1);
  clock.advance(QUARANTINE_MS - 1);
  t.equal(pool.take(), undefined);
  t.same(pool.dump(), { used: 3, resting: 1, free: 0 });
  clock.advance(1);
  t.equal(pool.take(), 20_004);
  t.equal(pool.take(), undefined);
  for (let i = 0; i < 300; i++) {
    pool.release(20_004);
    clock.advance(QUARANTINE_MS);
    if (pool.take() !== 20_004) t.fail('the port is lost');
  }
});

t.test('a bot may be public, or inside the networks named (S15)', async (t) => {
  const strict = egressPolicy([]);
  t.ok(strict('93.184.216.34') && strict('2606:2800:220:1::1'));
  for (const address of [
    '127.0.0.1',
    '10.1.2.3',
    '169.254.169.254',
    '192.168.1.1',
    '0.0.0.0',
    '::1',
    '::',
    'fe80::1',
    'fd00::1',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '224.0.0.1',
    '100.64.0.1',
    'bot.example',
    '',
  ])
    t.notOk(strict(address), address);
  const home = egressPolicy(['10.0.0.0/8', 'fd00::/8']);
  t.ok(home('10.1.2.3') && home('::ffff:10.1.2.3') && home('fd00::1') && !home('127.0.0.1'));
  t.ok(egressPolicy(['*'])('127.0.0.1'));
});

t.test('a far bridge carries frames and keys both ways, and tells when the other end left', async (t) => {
  const { port1, port2 } = new MessageChannel();
  const said: string[] = [];
  let heardBoth: () => void = () => {};
  const both = new Promise<void>((resolve) => (heardBoth = resolve));
  const say = (text: string): void => {
    if (said.push(text) === 2) heardBoth();
  };
  const log = (name: string) => ({
    frame: (pcm: Int16Array) => say(`${name} ${pcm[0]}`),
    key: (digit: string, durationMs: number) => say(`${name} ${digit} ${durationMs}`),
  });
  let left: () => void = () => {};
  const gone = new Promise<void>((resolve) => (left = resolve));
  const one = farPeer(port1, log('one'), () => t.fail('left by itself'));
  const other = farPeer(port2, log('other'), () => left());
  one.peer.frame(level(5));
  other.peer.key('#', 90);
  await both;
  one.close();
  one.peer.frame(level(6));
  await gone;
  t.same(said.sort(), ['one # 90', 'other 5']);
});

/** A worker on the test's own thread that answers as told. */
const fakeWorkers = () => {
  const workers: { sink: WorkerSink; commands: Command[]; terminated: boolean }[] = [];
  let replyTo: (command: Command) => Reply | undefined = () => ({ ok: true, sdp: new Uint8Array() });
  const spawn = (_: object, sink: WorkerSink) => {
    const commands: Command[] = [];
    const say = (message: FromWorker): void => queueMicrotask(() => sink.onMessage(message));
    const worker = { sink, commands, terminated: false };
    workers.push(worker);
    say({ type: 'ready' });
    return {
      post: (command: Command) => {
        commands.push(command);
        const reply = 'ref' in command ? replyTo(command) : undefined;
        if ('ref' in command && reply !== undefined) say({ type: 'reply', ref: command.ref, reply });
      },
      terminate: async () => {
        worker.terminated = true;
      },
    };
  };
  return { workers, spawn, answer: (next: typeof replyTo) => (replyTo = next) };
};

const media = async (workers: number, clock = new ManualClock()) => {
  const fake = fakeWorkers();
  const port = new EmbeddedMedia(
    { workers, address: '192.0.2.1', rtpPorts: [20_000, 20_039] },
    { clock, random: new SeededRandom(1), spawn: fake.spawn },
  );
  await port.start();
  return { ...fake, port, clock };
};

t.test('endpoints of one call share a worker, calls are shared out', async (t) => {
  const { port, workers } = await media(2);
  for (const callId of ['a', 'b', 'a', 'c', 'b']) await port.open({ callId, leg: 'a' }, new EventLog());
  const opens = workers.map(({ commands }) =>
    commands.filter((one) => one.op === 'open').map((one) => (one.op === 'open' ? one.spec.callId : '')),
  );
  t.same(opens, [
    ['a', 'a'],
    ['b', 'c', 'b'],
  ]);
  await port.stop();
});

t.test('a busy port is passed over, a broken worker is not', async (t) => {
  const { port, answer, workers } = await media(1);
  let busy = 3;
  answer((command) =>
    command.op === 'open' && busy-- > 0 ? { ok: false, portBusy: true } : { ok: true, sdp: new Uint8Array() },
  );
  t.match(await port.open({ callId: 'a', leg: 'a' }, new EventLog()), { ok: true });
  answer(() => undefined);
  const waiting = port.open({ callId: 'b', leg: 'a' }, new EventLog());
  workers[0]?.sink.onExit('killed');
  t.match(await waiting, { ok: false, problem: { code: 'engine_down' } });
  answer(() => ({ ok: true, sdp: new Uint8Array() }));
  t.match(await port.open({ callId: 'c', leg: 'a' }, new EventLog()), { ok: true }, 'the next worker is there already');
  await port.stop();
});

t.test('a worker that hangs does not hold up the end', async (t) => {
  const { port, answer, clock } = await media(1);
  const events = new EventLog();
  const opened = await port.open({ callId: 'a', leg: 'a' }, events);
  if (!opened.ok) return t.fail(opened.problem.message);
  const recordId = opened.endpoint.record({ path: '/x', channels: 'mono' });
  answer(() => undefined);
  const stopped = port.stop();
  await clock.advanceAsync(3000);
  await stopped;
  t.match(events.told, [{ on: 'recordEnded', id: recordId, end: 'failed' }]);
  t.equal(clock.pending, 0);
});

t.test('a worker that says nothing for ten seconds is ended', async (t) => {
  const { port, workers, answer, clock } = await media(1);
  await clock.advanceAsync(60_000);
  t.equal(workers[0]?.terminated, false, 'one that answers lives on');
  answer(() => undefined);
  await clock.advanceAsync(9000);
  t.equal(workers[0]?.terminated, false);
  await clock.advanceAsync(3000);
  t.equal(workers[0]?.terminated, true);
  await port.stop();
});

t.test('a worker that dies again and again is restarted with growing patience', async (t) => {
  const clock = new ManualClock();
  const { port, workers } = await media(1, clock);
  workers.at(-1)?.sink.onExit('1');
  t.equal(workers.length, 2, 'at once the first time');
  workers.at(-1)?.sink.onExit('2');
  t.equal(workers.length, 2);
  t.match(await port.open({ callId: 'a', leg: 'a' }, new EventLog()), {
    ok: false,
    problem: { code: 'engine_down', sipStatus: 503 },
  });
  clock.advance(100);
  t.equal(workers.length, 3);
  for (let i = 0; i < 10; i++) {
    workers.at(-1)?.sink.onExit('again');
    clock.advance(5000);
  }
  t.equal(workers.length, 13, 'never more than five seconds apart');
  clock.advance(20_000);
  workers.at(-1)?.sink.onExit('much later');
  t.equal(workers.length, 14, 'at once after a long life');
  await port.stop();
  t.equal(clock.pending, 0);
});

t.test('words from a life that is over are not heard, and each task ends once', async (t) => {
  const { port, workers } = await media(1);
  const events = new EventLog();
  const opened = await port.open({ callId: 'a', leg: 'a' }, events);
  if (!opened.ok) return t.fail(opened.problem.message);
  const playId = opened.endpoint.play({ sources: [] });
  const id = opened.endpoint.id;
  const first = workers[0];
  first?.sink.onMessage({ type: 'event', id, event: { on: 'playEnded', playId, end: 'finished', detail: '' } });
  first?.sink.onMessage({ type: 'event', id, event: { on: 'playEnded', playId, end: 'finished', detail: '' } });
  first?.sink.onExit('killed');
  first?.sink.onMessage({ type: 'event', id, event: { on: 'mediaTimeout' } });
  t.same(
    events.told.map((told) => told.on),
    ['playEnded', 'failed'],
  );
  await opened.endpoint.close();
  await port.stop();
});

t.test('the metronome does not drift', async (t) => {
  const beats: number[] = [];
  const startMs = performance.now();
  await new Promise<void>((resolve) => {
    // The metronome's own timer keeps no process alive.
    const awake = setTimeout(resolve, 5000);
    const stop = new SystemMetronome().start(5, () => {
      if (beats.push(performance.now() - startMs) < 60) return;
      stop();
      clearTimeout(awake);
      resolve();
    });
  });
  t.equal(beats.length, 60);
  t.ok((beats[59] ?? 0) >= 299, `sixty beats of 5 ms take ${beats[59]?.toFixed(1)} ms`);
});
