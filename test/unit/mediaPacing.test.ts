import fc from 'fast-check';
import t from 'tap';
import { BeatGrid, ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { decodeMulaw } from '../../src/media/codec/g711.js';
import { EndpointCore } from '../../src/media/engine/core.js';
import { MediaWorker } from '../../src/media/engine/mediaWorker.js';
import type { Command, FromWorker, OpenReply } from '../../src/media/engine/protocol.js';
import type { MediaQuality } from '../../src/media/port.js';
import type { RtpSink } from '../../src/media/engine/sockets.js';
import { parseRtp, writeRtp } from '../../src/media/rtp/packet.js';
import { FakeBot, mediaMessage, pcmBytes } from '../support/fakeBot.js';
import { AUDIO } from '../support/negotiatedAudio.js';

const PERIOD = 5;
/** A grid that is never more than so many beats behind makes up for all of them. */
const MADE_UP_FOR = 13;

t.test('beats are due on a grid that lateness does not move', async (t) => {
  const grid = new BeatGrid(1000, PERIOD);
  t.equal(grid.take(1004), undefined);
  let beats = 0;
  for (let nowMs = 1000; nowMs <= 3000; nowMs += 7.3) while (grid.take(nowMs) === 0) beats++;
  t.equal(beats, Math.floor((1000 + Math.floor(2000 / 7.3) * 7.3 - 1000 + 0.25) / PERIOD));
});

t.test('a short stop is made up for beat by beat, a long one is not', async (t) => {
  const grid = new BeatGrid(0, PERIOD);
  for (let i = 0; i < 12; i++) t.equal(grid.take(62), 0, 'twelve are overdue after 62 ms');
  t.equal(grid.take(62), undefined);
  t.equal(grid.take(3_600_000), 3_600_000 / PERIOD - 12 - 1, 'all but the present one are given up');
  t.equal(grid.take(3_600_000), undefined, 'no burst follows');
});

t.test('however a process stops and starts, no beat is forgotten and no burst is long', async () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 }), (stops) => {
      const grid = new BeatGrid(0, PERIOD);
      let nowMs = 0;
      let counted = 0;
      for (const stop of stops) {
        nowMs += stop;
        let atOnce = 0;
        for (let lost = grid.take(nowMs); lost !== undefined; lost = grid.take(nowMs)) {
          counted += 1 + lost;
          if (++atOnce > MADE_UP_FOR) return false;
        }
        if (counted !== Math.floor(nowMs / PERIOD)) return false;
      }
      return true;
    }),
  );
});

const OFFER = Buffer.from(
  'v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n',
);

interface Ear {
  readonly sink: RtpSink;
  narrowedTo: string;
  readonly collected: boolean[];
  /** Packets in the socket of a narrowed pair. */
  readonly waiting: number[];
}

const hear = (sink: RtpSink | undefined, number: number): void => {
  const packet = Buffer.alloc(172, 0xff);
  writeRtp(
    packet,
    { payloadType: 0, marker: false, sequence: number, timestamp: number * 160, ssrc: 7 },
    Buffer.alloc(160, 0x90),
  );
  sink?.onRtp(packet, '192.0.2.9', 4000);
};

/** A worker whose beats, time and wire are in our hands. */
const worker = async (endpoints: number) => {
  const clock = new ManualClock();
  const wire: { atMs: number; port: number; timestamp: number }[] = [];
  const opened: OpenReply[] = [];
  const ears = new Map<number, Ear>();
  let beat: (nowMs: number, lost: number) => void = () => {};
  let command: (command: Command) => void = () => {};
  const metronomes = { running: 0 };
  const media = new MediaWorker({
    main: {
      post: (message: FromWorker) => message.type === 'reply' && opened.push(message.reply as OpenReply),
      onCommand: (receive) => (command = receive),
    },
    settings: { address: '192.0.2.1', bindAddress: '192.0.2.1', comfortSilence: true, botNetworks: [] },
    clock,
    random: new SeededRandom(3),
    metronome: {
      start: (_periodMs, onBeat) => {
        beat = onBeat;
        metronomes.running++;
        return () => metronomes.running--;
      },
    },
    bind: async (_address, rtpPort, sink) => {
      const ear: Ear = { sink, narrowedTo: '', collected: [], waiting: [] };
      ears.set(rtpPort, ear);
      return {
        sendRtp: (data) => {
          wire.push({ atMs: clock.nowMs(), port: rtpPort, timestamp: parseRtp(Buffer.from(data))?.timestamp ?? 0 });
        },
        sendRtcp: () => {},
        narrow: (address, port) => {
          ear.narrowedTo = `${address}:${port}`;
          return true;
        },
        widen: () => (ear.narrowedTo = ''),
        collect: (all) => {
          ear.collected.push(all);
          for (const number of ear.waiting.splice(0)) hear(sink, number);
        },
        close: async () => {},
      };
    },
    onDefect: (error) => t.fail(String(error)),
  });
  media.start();
  for (let i = 0; i < endpoints; i++) {
    command({
      op: 'open',
      ref: i,
      id: `${i}`,
      spec: { callId: `${i}`, leg: 'a', offer: OFFER },
      rtpPort: 6000 + 2 * i,
    });
  }
  await clock.advanceAsync(0);
  const tick = (lost = 0): void => {
    clock.advance(PERIOD * (lost + 1));
    beat(clock.nowMs(), lost);
  };
  return { media, wire, opened, ears, tick, clock, metronomes, command: (order: Command) => command(order) };
};

t.test('a thread without endpoints does not beat', async (t) => {
  const { media, metronomes, command, clock } = await worker(0);
  t.equal(metronomes.running, 0, 'before the first');
  const open = async (id: string): Promise<void> => {
    const spec = { callId: id, leg: 'a', offer: OFFER } as const;
    command({ op: 'open', ref: 1, id, spec, rtpPort: 6000 });
    await clock.advanceAsync(0);
  };
  const close = async (id: string): Promise<void> => {
    command({ op: 'close', ref: 2, id });
    await clock.advanceAsync(0);
  };
  await open('a');
  await open('b');
  t.equal(metronomes.running, 1, 'one for all');
  await close('a');
  t.equal(metronomes.running, 1);
  await close('b');
  t.equal(metronomes.running, 0, 'after the last');
  await open('c');
  t.equal(metronomes.running, 1, 'and again');
  await media.stop();
  t.equal(metronomes.running, 0);
});

t.test('endpoints take turns, so that packets leave in small bursts', async (t) => {
  const { media, wire, opened, tick } = await worker(40);
  t.ok(opened.every((reply) => reply.ok));
  for (let i = 0; i < 4; i++) tick();
  t.equal(wire.length, 40, 'each spoke once in 20 ms');
  for (let atMs = 5; atMs <= 20; atMs += 5) t.equal(wire.filter((packet) => packet.atMs === atMs).length, 10);
  await media.stop();
});

t.test('on a crowded thread packets of known peers are asked for, once a tick', async (t) => {
  const CROWD = 64;
  const { media, ears, tick, command } = await worker(CROWD);
  const frame = (): void => {
    for (let i = 0; i < 4; i++) tick();
  };
  const [quiet, known] = [ears.get(6000), ears.get(6002)];
  for (let number = 0; number < 49; number++) {
    hear(known?.sink, number);
    frame();
  }
  t.equal(known?.narrowedTo, '', 'not before it has spoken for a second');
  hear(known?.sink, 49);
  frame();
  t.equal(known?.narrowedTo, '192.0.2.9:4000');
  for (let i = 0; i < 3; i++) frame();
  t.same(known?.collected, [true, false, false], 'all of it at first, then one a tick');
  tick(8);
  for (let i = 0; i < 3; i++) tick();
  t.equal(known?.collected.at(-1), true, 'and all of it after a pause');
  t.same([quiet?.narrowedTo, quiet?.collected], ['', []], 'a peer that has not spoken may come from anywhere');
  command({ op: 'answerOffer', ref: 900, id: '1', offer: OFFER });
  t.equal(known?.narrowedTo, '', 'a new offer may name a new place');
  await media.stop();
});

t.test('a thread with room hears each packet as it comes', async (t) => {
  const { media, ears, tick } = await worker(63);
  for (let number = 0; number < 60; number++) {
    hear(ears.get(6000)?.sink, number);
    for (let i = 0; i < 4; i++) tick();
  }
  t.equal(ears.get(6000)?.narrowedTo, '');
  await media.stop();
});

t.test('packets that were asked for count as having come when the ones before did', async (t) => {
  const { media, ears, tick, command, opened, clock } = await worker(64);
  const ear = ears.get(6000);
  for (let number = 0; number < 70; number++) {
    // 15 ms before the tick of its endpoint.
    tick();
    if (ear?.narrowedTo === '') hear(ear.sink, number);
    else ear?.waiting.push(number);
    for (let i = 0; i < 3; i++) tick();
  }
  t.not(ear?.narrowedTo, '');
  command({ op: 'quality', ref: 900, id: '0' });
  await clock.advanceAsync(0);
  const quality = opened.at(-1) as unknown as MediaQuality;
  t.match(quality, { packetsReceived: 69, packetsLost: 0 });
  t.ok(quality.jitterMs < 0.1, `${quality.jitterMs} ms: without, it would be one or more now`);
  await media.stop();
});

t.test('after beats that were given up, timestamps say what time it is', async (t) => {
  const { media, wire, tick } = await worker(6);
  for (let i = 0; i < 8; i++) tick();
  for (const lost of [17, 1, 2, 3, 240, 0]) {
    tick(lost);
    for (let i = 0; i < 7; i++) tick();
  }
  for (let port = 6000; port < 6012; port += 2) {
    const packets = wire.filter((packet) => packet.port === port);
    const first = packets[0] as (typeof packets)[number];
    for (const packet of packets) {
      const said = ((packet.timestamp - first.timestamp) >>> 0) / 8;
      t.equal(said, packet.atMs - first.atMs, `port ${port} at ${packet.atMs} ms`);
    }
  }
  await media.stop();
});

/** Loudest sample of a packet's first and last frame. */
const loudness = (payload: Uint8Array): number => {
  const pcm = new Int16Array(payload.length);
  decodeMulaw(payload, pcm);
  return pcm.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
};

for (const packetMs of [20, 40, 60]) {
  t.test(`barge-in: from clear to silence in less than 60 ms, in packets of ${packetMs} ms`, async (t) => {
    for (let before = 1; before <= 12; before++) {
      const bot = new FakeBot({ dialect: 'exotel' });
      const loudAtMs: number[] = [];
      let nowMs = 0;
      const core = new EndpointCore(
        {
          random: new SeededRandom(5),
          nowMs: 0,
          wallOffsetMs: 0,
          comfortSilence: true,
          nat: false,
          mediaTimeoutMs: undefined,
        },
        {
          sendRtp: (data) => {
            const payload = parseRtp(data)?.payload;
            // What a packet says is over when its last loud sample has been heard.
            if (payload !== undefined && loudness(payload) > 500) loudAtMs.push(nowMs);
          },
          sendRtcp: () => {},
        },
        { onKey: () => {}, onPlayFinished: () => {}, onMediaTimeout: () => {} },
      );
      core.configure({ ...AUDIO, packetMs }, undefined, 0);
      core.streams(bot.stream, []);
      const tick = (): void => {
        nowMs += 20;
        core.tick(nowMs);
      };
      bot.say(mediaMessage(pcmBytes(new Int16Array(16_000).fill(8000))));
      for (let i = 0; i < before; i++) tick();
      const clearedMs = nowMs;
      const loudBefore = loudAtMs.length;
      bot.say({ event: 'clear', stream_sid: 'MZ1' });
      for (let i = 0; i < 20; i++) tick();
      const after = loudAtMs.slice(loudBefore);
      t.ok(after.length <= 1, 'only what was begun is sent');
      for (const atMs of after) t.ok(atMs - clearedMs < 60, `${atMs - clearedMs} ms`);
      if (packetMs === 20) t.equal(after.length, 0, 'the very next packet is silent');
      bot.stream.stop('callended');
    }
  });
}
