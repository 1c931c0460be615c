import t from 'tap';
import { SeededRandom } from '../../src/kernel/index.js';
import { LossConcealer } from '../../src/media/rtp/concealment.js';
import { JitterBuffer, type JitterBufferOptions } from '../../src/media/rtp/jitterBuffer.js';
import type { RtpPacket } from '../../src/media/rtp/packet.js';
import { amplitudeAt, joined, rms, steepest, tone } from '../support/mediaSignal.js';

/** A packet whose octets all say which one it is. */
const packet = (n: number, options: Partial<RtpPacket> = {}, samples = 160): RtpPacket => ({
  payloadType: 0,
  marker: false,
  sequence: (65_530 + n) & 0xffff,
  timestamp: (0xfffffc00 + n * samples) >>> 0,
  ssrc: 1,
  payload: Buffer.alloc(samples, n & 0xff),
  ...options,
});

interface Arrival {
  readonly atMs: number;
  readonly packet: RtpPacket;
}

/** What is played: the number of a packet, `lost` or `-` for silence; a pull every 20 ms, 7 ms after the packets. */
function play(buffer: JitterBuffer, arrivals: readonly Arrival[], options: { untilMs: number; phaseMs?: number }) {
  const queue = [...arrivals].sort((a, b) => a.atMs - b.atMs);
  const played: (number | 'lost' | '-')[] = [];
  for (let nowMs = options.phaseMs ?? 7; nowMs < options.untilMs; nowMs += 20) {
    while (queue[0] !== undefined && queue[0].atMs <= nowMs) {
      const next = queue.shift() as Arrival;
      buffer.push(next.packet, next.atMs);
    }
    const frame = buffer.pull(nowMs);
    played.push(frame.kind === 'audio' ? (frame.payload[80] as number) : frame.kind === 'lost' ? 'lost' : '-');
  }
  return played;
}

const steady = (count: number, delayMs: (n: number) => number = () => 0): Arrival[] =>
  Array.from({ length: count }, (_, n) => ({ atMs: n * 20 + delayMs(n), packet: packet(n) }));
const numbers = (played: readonly (number | string)[]) => played.filter((one) => typeof one === 'number');
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n & 0xff);

t.test('a steady stream is played whole, in order, over both wraps, with little delay', async (t) => {
  const buffer = new JitterBuffer();
  t.same(numbers(play(buffer, steady(200), { untilMs: 4100 })), upTo(200));
  const stats = buffer.stats();
  t.match(stats, { received: 200, played: 200, late: 0, skipped: 0, restarts: 0 });
  t.ok(stats.targetMs <= 25, `aims at ${stats.targetMs} ms`);
  for (let phaseMs = 0; phaseMs < 20; phaseMs++) {
    const played = play(new JitterBuffer(), steady(100), { untilMs: 1990, phaseMs });
    t.ok(played.indexOf(0) <= 1, `first packet played within 25 ms at phase ${phaseMs}`);
    t.notOk(played.includes('lost'));
  }
});

t.test('nothing came yet: silence', async (t) => {
  const buffer = new JitterBuffer();
  t.same(buffer.pull(0), { kind: 'silence' });
  buffer.push(packet(0, { payload: Buffer.alloc(0) }), 0);
  t.same(buffer.pull(20), { kind: 'silence' });
});

t.test('one lost packet is one concealed frame, and costs no delay', async (t) => {
  const arrivals = steady(200).filter(({ packet: { payload } }) => payload[0] !== 50 && payload[0] !== 120);
  const buffer = new JitterBuffer();
  const played = play(buffer, arrivals, { untilMs: 4000 });
  const first = played.indexOf(0);
  t.same(
    played.slice(first, first + 199),
    upTo(199).map((n) => (n === 50 || n === 120 ? 'lost' : n)),
  );
  t.match(buffer.stats(), { concealed: 2, skipped: 0, late: 0 });
});

t.test('reordered and repeated packets are played once and in order', async (t) => {
  const arrivals = steady(300, (n) => (n % 5 === 2 ? 24 : 0)).flatMap((arrival) =>
    arrival.packet.payload[0] === 9 ? [arrival, arrival, { ...arrival, atMs: arrival.atMs + 5 }] : [arrival],
  );
  const buffer = new JitterBuffer();
  const played = play(buffer, arrivals, { untilMs: 6200 });
  const heard = numbers(played);
  t.same(heard.slice(-250), upTo(300).slice(-250), 'all, once the delay has grown');
  t.ok(heard.length >= 297, `${heard.length} of 300`);
  t.match(buffer.stats(), { duplicates: 4 });
  t.ok(buffer.stats().reordered >= 50);
});

t.test('a network that sends everything twice is no reason to call packets late', async (t) => {
  const buffer = new JitterBuffer();
  const arrivals = steady(100).flatMap((arrival) => [arrival, { ...arrival, atMs: arrival.atMs + 60 }]);
  t.same(numbers(play(buffer, arrivals, { untilMs: 2100 })), upTo(100));
  t.match(buffer.stats(), { duplicates: 100, late: 0, restarts: 0 });
});

t.test('late packets of a source that was replaced do not bring it back; its return does', async (t) => {
  const buffer = new JitterBuffer();
  const arrivals = steady(50).concat(
    Array.from({ length: 50 }, (_, i) => ({ atMs: (50 + i) * 20, packet: packet(50 + i, { ssrc: 2 }) })),
    [0, 1, 2].map((i) => ({ atMs: 1011 + i * 20, packet: packet(i + 50, { ssrc: 1 }) })),
    Array.from({ length: 50 }, (_, i) => ({ atMs: (100 + i + 10) * 20, packet: packet(100 + i, { ssrc: 1 }) })),
  );
  t.same(numbers(play(buffer, arrivals, { untilMs: 3400 })), upTo(150));
  t.equal(buffer.stats().restarts, 2);
});

t.test('the delay follows the jitter: up within packets, down again in seconds', async (t) => {
  const random = new SeededRandom(4);
  const delays = Array.from({ length: 3000 }, (_, n) => (n >= 500 && n < 1500 ? random.float() * 80 : 0));
  const buffer = new JitterBuffer();
  const arrivals = steady(3000, (n) => delays[n] as number);
  const early = play(buffer, arrivals.slice(0, 500), { untilMs: 10_000 });
  t.equal(early.filter((one) => one === 'lost').length, 0);
  const shaken: (number | 'lost' | '-')[] = [];
  let aim = 0;
  const queue = arrivals.slice(500).sort((a, b) => a.atMs - b.atMs);
  for (let nowMs = 10_007; nowMs < 60_000; nowMs += 20) {
    while (queue[0] !== undefined && queue[0].atMs <= nowMs) {
      const next = queue.shift() as Arrival;
      buffer.push(next.packet, next.atMs);
    }
    const frame = buffer.pull(nowMs);
    if (nowMs > 12_000 && nowMs < 30_000)
      shaken.push(frame.kind === 'lost' ? 'lost' : frame.kind === 'audio' ? 1 : '-');
    if (nowMs < 30_000) aim = Math.max(aim, buffer.stats().targetMs);
  }
  const lost = shaken.filter((one) => one !== 1).length;
  t.ok(lost < shaken.length * 0.03, `${lost} of ${shaken.length} not in time under 80 ms of jitter`);
  t.ok(aim > 60 && aim <= 130, `aimed at up to ${aim.toFixed(0)} ms`);
  const after = buffer.stats();
  t.ok(after.targetMs < 30, `back at ${after.targetMs.toFixed(0)} ms`);
  t.ok(after.delayMs < 55, `and ${after.delayMs.toFixed(0)} ms`);
  t.ok(after.skipped >= 2);
});

t.test('quiet frames are left out first when the delay is to shrink', async (t) => {
  const buffer = new JitterBuffer({ quiet: (payload) => (payload[0] as number) % 10 >= 7 });
  const played = play(
    buffer,
    steady(900, (n) => (n < 100 && n % 4 === 3 ? 70 : 0)),
    { untilMs: 17_900 },
  );
  const { skipped, delayMs } = buffer.stats();
  t.ok(skipped >= 2, `${skipped} skipped`);
  t.ok(delayMs < 50, `${delayMs.toFixed(0)} ms`);
  const later = played.slice(110, 880).map(Number);
  t.notOk(later.some(Number.isNaN), 'nothing had to be concealed for it');
  const leftOut = later.flatMap((n, i) =>
    i > 0 && n !== (((later[i - 1] as number) + 1) & 0xff) ? [(n - 1) & 0xff] : [],
  );
  t.equal(leftOut.length, skipped);
  for (const n of leftOut) t.ok(n % 10 >= 7, `${n} was quiet`);
});

t.test('sound without a pause loses nothing to a delay that was needed once, for half a minute', async (t) => {
  const held = (count: number, quiet: (payload: Buffer) => boolean) => {
    const buffer = new JitterBuffer({ quiet });
    const arrivals = steady(count, (n) => (n >= 100 && n < 103 ? 45 : 0));
    const heard = numbers(play(buffer, arrivals, { untilMs: count * 20 }));
    return { heard, ...buffer.stats() };
  };
  const music = held(1400, () => false);
  t.ok(music.heard.length > 1395);
  t.same(music.heard, upTo(music.heard.length), '28 s: every frame of it');
  const more = held(2400, () => false);
  t.ok(more.skipped >= 1 && more.skipped <= 3, `48 s: ${more.skipped} skipped`);
  t.ok(more.delayMs <= music.delayMs - 19, `${music.delayMs.toFixed(0)}, then ${more.delayMs.toFixed(0)} ms`);
  const speech = held(400, (payload) => (payload[0] as number) % 50 === 0);
  t.ok(speech.skipped >= 1, `8 s of speech: ${speech.skipped} skipped`);
  t.ok(speech.delayMs <= music.delayMs - 19, `${speech.delayMs.toFixed(0)} ms`);
});

t.test('a pause that the sender announces by its timestamp is silence, not loss, and keeps its length', async (t) => {
  const talk = Array.from({ length: 50 }, (_, n) => ({ atMs: n * 20, packet: packet(n) }));
  // 600 ms of nothing: the timestamp moves on, the sequence number does not.
  const more = Array.from({ length: 50 }, (_, i) => {
    const n = 50 + i;
    return {
      atMs: (n + 30) * 20,
      packet: packet(n, { timestamp: (0xfffffc00 + (n + 30) * 160) >>> 0, marker: i === 0 }),
    };
  });
  const buffer = new JitterBuffer();
  const played = play(buffer, [...talk, ...more], { untilMs: 2700 });
  t.same(numbers(played), upTo(100));
  t.equal(played.indexOf(50) - played.indexOf(49), 31);
  const lost = played.slice(0, played.indexOf(50)).filter((one) => one === 'lost').length;
  // Until the next packet comes a pause looks like loss: concealment fades out, then silence.
  t.ok(lost <= 7, `${lost} frames concealed`);
  t.equal(buffer.stats().restarts, 0);
});

t.test('digits in the place of audio leave no doubt about the sequence', async (t) => {
  const buffer = new JitterBuffer();
  for (let n = 0; n < 10; n++) buffer.push(packet(n), n * 20);
  for (let n = 10; n < 15; n++) buffer.note(packet(n));
  buffer.note(packet(3));
  buffer.note(packet(99, { ssrc: 7 }));
  buffer.push(packet(15), 300);
  const kinds = Array.from({ length: 16 }, (_, n) => buffer.pull(10 + n * 20).kind);
  t.same(kinds.slice(11, 15), ['silence', 'silence', 'silence', 'silence']);
});

t.test('a new source, another payload type or a leaping timestamp begins anew at once', async (t) => {
  const changes: Record<string, (n: number) => RtpPacket> = {
    'new SSRC': (n) => packet(n, { ssrc: 2, sequence: n, timestamp: n * 160 }),
    'new SSRC with the same numbers': (n) => packet(n, { ssrc: 2 }),
    'other payload type': (n) => packet(n, { payloadType: 8 }),
    'timestamp leaps ahead': (n) => packet(n, { timestamp: (5_000_000 + n * 160) >>> 0 }),
    'timestamp falls back': (n) => packet(n, { timestamp: (0xff000000 + n * 160) >>> 0 }),
    'timestamp falls back a little': (n) => packet(n, { timestamp: (0xfffffc00 + (n - 20) * 160) >>> 0 }),
  };
  for (const [what, make] of Object.entries(changes)) {
    const arrivals = steady(200).map(({ atMs }, n) => ({ atMs, packet: n < 100 ? packet(n) : make(n) }));
    const buffer = new JitterBuffer();
    const played = play(buffer, arrivals, { untilMs: 4100 });
    const missing = 200 - new Set(numbers(played)).size;
    t.ok(missing <= 5, `${what}: ${missing} packets not heard`);
    t.equal(buffer.stats().restarts, 1, what);
  }
});

t.test('after a network stall the sound is in time again, without waiting for what is too old', async (t) => {
  // Nothing for 600 ms, then all of it in one burst.
  const arrivals = steady(300, (n) => (n >= 100 && n < 130 ? (130 - n) * 20 : 0));
  const buffer = new JitterBuffer();
  const played = play(buffer, arrivals, { untilMs: 6100 });
  t.same(numbers(played).slice(-100), upTo(300).slice(-100));
  const { delayMs } = buffer.stats();
  t.ok(delayMs <= 220, `${delayMs.toFixed(0)} ms`);
  t.notOk(played.slice(140).includes('-'));
});

t.test('a sender that stops its clock while silent is understood', async (t) => {
  // No packets for 5 s, and the timestamp goes on where it was.
  const arrivals = steady(200, (n) => (n >= 100 ? 5000 : 0));
  const played = play(new JitterBuffer(), arrivals, { untilMs: 9200 });
  const heard = numbers(played);
  t.ok(heard.length >= 195, `${heard.length} of 200`);
  t.same(heard.slice(-90), upTo(200).slice(-90));
});

t.test('packets of any length fill frames of 20 ms', async (t) => {
  for (const samples of [40, 80, 160, 240, 320, 480]) {
    const every = samples / 8;
    const count = 12_000 / every;
    const buffer = new JitterBuffer();
    const expected: number[] = [];
    const arrivals = Array.from({ length: count }, (_, n) => {
      expected.push(n & 0xff);
      return { atMs: n * every, packet: packet(n, {}, samples) };
    });
    const queue = [...arrivals];
    const octets: Buffer[] = [];
    let concealed = 0;
    for (let nowMs = 3; nowMs < 12_000; nowMs += 20) {
      while (queue[0] !== undefined && queue[0].atMs <= nowMs) buffer.push((queue.shift() as Arrival).packet, nowMs);
      const frame = buffer.pull(nowMs);
      if (frame.kind === 'audio') octets.push(Buffer.from(frame.payload));
      else if (frame.kind === 'lost') concealed++;
    }
    const all = Buffer.concat(octets);
    let disorder = 0;
    for (let i = 1; i < all.length; i++) {
      const step = ((all[i] as number) - (all[i - 1] as number)) & 0xff;
      if (step > 1) disorder++;
    }
    t.equal(disorder, 0, `${every} ms: in order`);
    t.ok(concealed <= 3, `${every} ms: ${concealed} concealed`);
    t.ok(all.length > 12_000 * 8 * 0.98);
  }
});

t.test('half a frame missing is filled from its other half, without a step', async (t) => {
  const buffer = new JitterBuffer();
  const ramp = (from: number) => Buffer.from(Array.from({ length: 80 }, (_, i) => (from + i) & 0xff));
  const half = (n: number) => packet(n, { payload: ramp(n * 20) }, 80);
  for (const n of [0, 1, 2, 4, 5]) buffer.push(half(n), n * 10);
  const frames = [60, 80, 100].map((nowMs) => {
    const frame = buffer.pull(nowMs);
    return frame.kind === 'audio' ? [...frame.payload] : frame.kind;
  });
  t.same(frames[1], 'lost', 'not more than half of it is there');
  const wide = new JitterBuffer();
  const quarter = (n: number) =>
    packet(n, { payload: Buffer.from(Array.from({ length: 40 }, (_, i) => n * 40 + i)) }, 40);
  for (const n of [0, 1, 3]) wide.push(quarter(n), n * 5);
  const frame = wide.pull(40);
  if (frame.kind !== 'audio') return t.fail(frame.kind);
  t.same([...frame.payload.subarray(0, 80)], upTo(80));
  for (let i = 1; i < 120; i++) {
    const step = Math.abs((frame.payload[i] as number) - (frame.payload[i - 1] as number));
    if (step > 1) t.fail(`step of ${step} at ${i}`);
  }
});

t.test('clocks that run apart by 200 ppm: an hour without drift', async (t) => {
  for (const skew of [1.0002, 0.9998]) {
    const buffer = new JitterBuffer();
    let n = 0;
    let concealed = 0;
    let worst = 0;
    for (let i = 0; i < 180_000; i++) {
      const nowMs = i * 20 + 7;
      for (; n * 20 * skew <= nowMs; n++) buffer.push(packet(n), n * 20 * skew);
      if (buffer.pull(nowMs).kind === 'lost') concealed++;
      if (i % 50 === 0) worst = Math.max(worst, buffer.stats().delayMs);
    }
    t.ok(concealed <= 60, `${skew}: ${concealed} frames concealed in an hour`);
    t.ok(worst < 80, `${skew}: delay up to ${worst.toFixed(0)} ms`);
  }
});

t.test('samples of two octets, other clocks, and what cannot be stored', async (t) => {
  const options: JitterBufferOptions = { clockRate: 16_000, frameSamples: 320, bytesPerSample: 2 };
  const buffer = new JitterBuffer(options);
  for (let n = 0; n < 5; n++) {
    buffer.push(packet(n, { payload: Buffer.alloc(640, n), timestamp: n * 320 }), n * 20);
  }
  const frame = buffer.pull(10);
  t.equal(frame.kind === 'audio' && frame.payload.length, 640);
  buffer.push(packet(6, { payload: Buffer.alloc(60_000) }), 130);
  t.equal(buffer.stats().received, 5);
  buffer.reset();
  t.same(buffer.pull(200), { kind: 'silence' });
});

/** A tone with every `every`-th frame concealed. */
function concealedTone(hz: readonly number[], every: number, length = 1) {
  const concealer = new LossConcealer();
  const source = tone(hz, 16_000, { amplitude: 6000 });
  const frames: Int16Array[] = [];
  for (let i = 0; i < 100; i++) {
    const frame = source.slice(i * 160, (i + 1) * 160);
    if (i > 5 && i % every < length) concealer.conceal(frame);
    else concealer.feed(frame);
    frames.push(frame);
  }
  return { source, pcm: joined(frames) };
}

t.test('concealment: a steady sound goes on through single losses, without clicks', async (t) => {
  for (const hz of [[100], [125], [200], [150, 300, 450]]) {
    const { source, pcm } = concealedTone(hz, 10);
    const kept = amplitudeAt(pcm, hz[0] as number, 8000) / amplitudeAt(source, hz[0] as number, 8000);
    t.ok(kept > 0.9, `${hz.join('+')} Hz at ${(kept * 100).toFixed(0)} %`);
    t.ok(
      steepest(pcm) < steepest(source) * 2.5,
      `${hz.join('+')} Hz: steps of ${steepest(pcm)}, were ${steepest(source)}`,
    );
    t.ok(rms(pcm) > rms(source) * 0.9);
  }
});

t.test('concealment: a long loss fades to silence within 60 ms, and the sound comes back whole', async (t) => {
  const concealer = new LossConcealer();
  const source = tone([150], 1600, { amplitude: 8000 });
  for (let i = 0; i < 10; i++) concealer.feed(source.slice(i * 160, (i + 1) * 160));
  const levels = Array.from({ length: 6 }, () => {
    const frame = new Int16Array(160);
    concealer.conceal(frame);
    return rms(frame);
  });
  t.ok((levels[0] as number) > 4500 && (levels[1] as number) < (levels[0] as number) && (levels[2] as number) < 2500);
  t.same(levels.slice(3), [0, 0, 0]);
  const back = tone([150], 320, { amplitude: 8000 });
  const first = back.slice(0, 160);
  concealer.feed(first);
  t.same(first.subarray(80), back.subarray(80, 160));
  const second = back.slice(160);
  concealer.feed(second);
  t.same(second, back.subarray(160));
  concealer.reset();
  const nothing = new Int16Array(160).fill(5);
  concealer.conceal(nothing);
  t.equal(rms(nothing), 0);
});

t.test('concealment: wide-band sound goes on through single losses as narrow-band sound does', async (t) => {
  for (const hz of [80, 125, 190]) {
    const concealer = new LossConcealer(16_000);
    const period = 16_000 / hz;
    const source = Int16Array.from({ length: 32_000 }, (_, i) =>
      Math.round(6000 * Math.sin((2 * Math.PI * i) / period)),
    );
    const frames = Array.from({ length: 100 }, (_, i) => {
      const frame = source.slice(i * 320, (i + 1) * 320);
      if (i > 5 && i % 10 === 0) concealer.conceal(frame);
      else concealer.feed(frame);
      return frame;
    });
    const pcm = joined(frames);
    t.ok(rms(pcm) > rms(source) * 0.9 && rms(pcm) < rms(source) * 1.1, `${hz} Hz`);
    t.ok(steepest(pcm) < steepest(source) * 3, `${hz} Hz: steps of ${steepest(pcm)}, were ${steepest(source)}`);
  }
  const concealer = new LossConcealer(16_000);
  concealer.feed(new Int16Array(320).fill(5000));
  const levels = Array.from({ length: 4 }, () => {
    const frame = new Int16Array(320);
    concealer.conceal(frame);
    return rms(frame);
  });
  t.equal(levels[3], 0, 'silence after 60 ms, as at 8 kHz');
});

t.test('concealment: loud noise at the limits of 16 bits does not wrap', async (t) => {
  const random = new SeededRandom(9);
  const concealer = new LossConcealer();
  for (let i = 0; i < 200; i++) {
    const frame = Int16Array.from({ length: 160 }, () => (random.float() < 0.5 ? -32768 : 32767));
    if (random.float() < 0.3) concealer.conceal(frame);
    else concealer.feed(frame);
    if (frame.some((value) => Number.isNaN(value))) t.fail('not a number');
  }
  t.pass('through');
});
