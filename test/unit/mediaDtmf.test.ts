import t from 'tap';
import { SeededRandom } from '../../src/kernel/index.js';
import { decodeMulaw, encodeMulaw } from '../../src/media/codec/g711.js';
import { KEYPAD, frequenciesOf } from '../../src/media/dtmf/frequencies.js';
import { DtmfGenerator } from '../../src/media/dtmf/generator.js';
import { InbandDtmfDetector } from '../../src/media/dtmf/goertzel.js';
import {
  type KeyPress,
  TelephoneEventReceiver,
  digitOfEvent,
  eventOfDigit,
  parseTelephoneEvent,
  writeTelephoneEvent,
} from '../../src/media/dtmf/telephoneEvent.js';
import { type RtpPacket, parseRtp } from '../../src/media/rtp/packet.js';
import { RtpSender } from '../../src/media/rtp/sender.js';
import { amplitudeAt, joined, tone } from '../support/mediaSignal.js';

const KEYS = '0123456789*#ABCD';

t.test('keys, events and their four octets', async (t) => {
  [...KEYS].forEach((digit, event) => {
    t.equal(eventOfDigit(digit), event);
    t.equal(digitOfEvent(event), digit);
  });
  t.equal(eventOfDigit('d'), 15);
  for (const none of ['', 'E', '12', 'x']) t.equal(eventOfDigit(none), undefined, `"${none}"`);
  t.equal(digitOfEvent(16), undefined);
  const octets = Buffer.alloc(4);
  const event = { event: 11, end: true, volume: 10, duration: 0x0640 };
  writeTelephoneEvent(octets, event);
  t.equal(octets.toString('hex'), '0b8a0640');
  t.same(parseTelephoneEvent(octets), event);
  t.equal(parseTelephoneEvent(octets.subarray(0, 3)), undefined);
});

/** The telephone-event packets of keys pressed one after another, as our sender makes them. */
function pressed(digits: string, durationMs = 100): RtpPacket[] {
  const sender = new RtpSender({ random: new SeededRandom(3), payloadType: 0, telephoneEventType: 101 });
  for (const digit of digits) sender.sendEvent(eventOfDigit(digit) as number, durationMs);
  const packets: RtpPacket[] = [];
  const target = Buffer.alloc(200);
  while (sender.sendingDigits) {
    const packet = parseRtp(Buffer.from(target.subarray(0, sender.next(target, Buffer.alloc(160), 160))));
    if (packet?.payloadType === 101) packets.push(packet);
  }
  return packets;
}

/** What a receiver tells of packets 20 ms apart, and of half a second of silence after them. */
function heard(packets: readonly RtpPacket[]): KeyPress[] {
  const receiver = new TelephoneEventReceiver();
  const keys: KeyPress[] = [];
  packets.forEach((packet, i) => keys.push(...receiver.poll(i * 20), ...receiver.push(packet, i * 20)));
  for (let i = 0; i < 25; i++) keys.push(...receiver.poll((packets.length + i) * 20));
  return keys;
}

const digitsOf = (keys: readonly KeyPress[]) => keys.map((key) => key.digit).join('');

t.test('one key press each, with its duration, however often its end is told', async (t) => {
  t.same(heard(pressed('5')), [{ digit: '5', durationMs: 100 }]);
  t.same(digitsOf(heard(pressed(KEYS))), KEYS);
  t.same(digitsOf(heard(pressed('1111'))), '1111', 'the same key again');
  const twice = pressed('12').flatMap((packet) => [packet, packet]);
  t.same(digitsOf(heard(twice)), '12', 'every packet twice');
});

t.test('whatever packets are lost: as long as one of a key comes, the key comes once', async (t) => {
  const packets = pressed('7', 100);
  t.equal(packets.length, 7);
  for (let kept = 1; kept < 1 << packets.length; kept++) {
    const some = packets.filter((_, i) => (kept & (1 << i)) !== 0);
    const keys = heard(some);
    if (digitsOf(keys) !== '7') t.fail(`kept ${kept.toString(2)}: ${digitsOf(keys)}`);
  }
  const two = pressed('77', 60);
  t.equal(two.length, 10);
  for (let kept = 0; kept < 1 << two.length; kept++) {
    const some = two.filter((_, i) => (kept & (1 << i)) !== 0);
    const wanted = ((kept & 0b11111) !== 0 ? 1 : 0) + (kept >> 5 !== 0 ? 1 : 0);
    if (heard(some).length !== wanted) t.fail(`kept ${kept.toString(2)}: ${heard(some).length} of ${wanted}`);
  }
});

t.test('late packets of a key neither repeat it nor disturb the next', async (t) => {
  const first = pressed('1');
  const all = pressed('12');
  const second = all.slice(first.length);
  const [start, ...rest] = second as [RtpPacket, ...RtpPacket[]];
  t.same(digitsOf(heard([...first.slice(0, 5), start, ...first.slice(5), ...rest])), '12');
  t.same(digitsOf(heard([start, ...first, ...rest])), '12', 'wholly late: told first, being over already');
  const shuffled = [...first].reverse();
  t.same(digitsOf(heard([...shuffled, ...second])), '12');
});

t.test('a key held longer than the duration field can say is one key', async (t) => {
  const packets = pressed('9', 20_000);
  t.same(heard(packets), [{ digit: '9', durationMs: 20_000 }]);
  const thinned = packets.filter((_, i) => i % 7 === 3);
  t.same(digitsOf(heard(thinned)), '9', 'six of seven packets lost');
});

t.test('senders that move the timestamp with every update press one key all the same', async (t) => {
  const moving = pressed('4').map((packet, i) => ({ ...packet, timestamp: (packet.timestamp + i * 160) >>> 0 }));
  t.same(digitsOf(heard(moving)), '4');
});

t.test('a key whose end never comes is released after a while, and one that is no key is not told', async (t) => {
  const receiver = new TelephoneEventReceiver();
  const [one, two] = pressed('3') as [RtpPacket, RtpPacket];
  t.same(receiver.push(one, 0), []);
  t.same(receiver.push(two, 20), []);
  t.equal(receiver.pressed, '3');
  t.same(receiver.poll(100), []);
  t.same(receiver.poll(200), [{ digit: '3', durationMs: 40 }]);
  t.same(receiver.poll(400), []);
  t.equal(receiver.pressed, undefined);
  t.same(receiver.push({ ...one, timestamp: 9, payload: Buffer.from('20800320', 'hex') }, 500), [], 'event 32');
  t.same(receiver.push({ ...one, payload: Buffer.alloc(2) }, 500), []);
  const [other] = pressed('8') as [RtpPacket];
  t.same(receiver.push(other, 600), [], 'another key begins');
  t.same(receiver.push({ ...other, ssrc: 99 }, 620), [{ digit: '8', durationMs: 20 }], 'another source ends it');
});

const split = (pcm: Int16Array): Int16Array[] =>
  Array.from({ length: Math.ceil(pcm.length / 160) }, (_, i) => pcm.subarray(i * 160, (i + 1) * 160));

function detected(pcm: Int16Array): KeyPress[] {
  const detector = new InbandDtmfDetector();
  return [...split(pcm).flatMap((frame) => [...detector.push(frame)]), ...detector.push(new Int16Array(800))];
}

function generated(digits: string, options: { toneMs?: number; gapMs?: number } = {}): Int16Array {
  const generator = new DtmfGenerator(options);
  generator.queue(digits);
  const frames: Int16Array[] = [];
  while (generator.active) {
    const frame = new Int16Array(160);
    generator.fill(frame);
    frames.push(frame);
  }
  return joined(frames);
}

t.test('the generator plays the two frequencies of each key, then silence', async (t) => {
  for (const digit of KEYPAD) {
    const pcm = generated(digit).subarray(0, 800);
    const [low, high] = frequenciesOf(digit) as [number, number];
    t.ok(amplitudeAt(pcm, low, 8000) > 5000 && amplitudeAt(pcm, high, 8000) > 5000, digit);
    t.ok(amplitudeAt(pcm, 1100, 8000) < 100);
  }
  const generator = new DtmfGenerator({ toneMs: 30, gapMs: 10 });
  t.equal(generator.fill(new Int16Array(160)), false);
  t.ok(generator.queue('1 x2'), 'what is no key is left out');
  t.notOk(generator.queue('1'.repeat(200)));
  const pcm = new Int16Array(800);
  t.equal(generator.fill(pcm), true);
  t.equal(generator.active, false);
  t.same(pcm.subarray(240, 320), new Int16Array(80));
  t.not(pcm[400], 0);
  t.same(pcm.subarray(560), new Int16Array(240));
});

t.test('in-band: every key of 40 ms and more is heard once, through mu-law, at any phase', async (t) => {
  for (const toneMs of [45, 60, 100, 500]) {
    for (const offset of [0, 37, 71]) {
      const pcm = joined([new Int16Array(offset), generated(KEYPAD, { toneMs, gapMs: 50 })]);
      const octets = Buffer.alloc(pcm.length);
      encodeMulaw(pcm, octets);
      decodeMulaw(octets, pcm);
      const keys = detected(pcm);
      t.equal(digitsOf(keys), KEYPAD, `${toneMs} ms from sample ${offset}`);
      for (const key of keys) if (Math.abs(key.durationMs - toneMs) > 30) t.fail(`${key.durationMs} for ${toneMs}`);
    }
  }
});

t.test('in-band: the tolerances of the recommendation', async (t) => {
  const chord = (low: number, high: number, lowAmplitude: number, highAmplitude: number) => {
    const pcm = tone([low], 800, { amplitude: lowAmplitude });
    tone([high], 800, { amplitude: highAmplitude }).forEach((value, i) => (pcm[i] = (pcm[i] as number) + value));
    return digitsOf(detected(pcm));
  };
  for (const shift of [-0.015, 0, 0.015]) {
    t.equal(chord(770 * (1 + shift), 1336 * (1 + shift), 4000, 4000), '5', `${shift * 100} % off`);
  }
  for (const shift of [-0.06, 0.06]) t.equal(chord(770 * (1 + shift), 1336 * (1 + shift), 4000, 4000), '');
  t.equal(chord(770, 1336, 2000, 3000), '5', 'high louder by 3.5 dB');
  t.equal(chord(770, 1336, 3000, 1300), '5', 'low louder by 7 dB');
  t.equal(chord(770, 1336, 1000, 3000), '', 'high louder by 9.5 dB');
  t.equal(chord(770, 1336, 8000, 2000), '', 'low louder by 12 dB');
  t.equal(chord(770, 1336, 300, 300), '5', 'weak: -37 dB');
  t.equal(chord(770, 1336, 30, 30), '', 'too weak');
  t.equal(chord(770, 852, 4000, 4000), '', 'two low ones');
});

t.test('in-band: short bursts, single tones, noise and the like of speech press no keys', async (t) => {
  t.equal(digitsOf(detected(generated('5', { toneMs: 20, gapMs: 100 }))), '');
  for (const hz of [440, 697, 941, 1209, 1633]) t.equal(digitsOf(detected(tone([hz], 8000))), '', `${hz} Hz`);
  const random = new SeededRandom(11);
  const noise = Int16Array.from({ length: 80_000 }, () => (random.float() - 0.5) * 20_000);
  t.equal(digitsOf(detected(noise)), '');
  // Voiced sounds: pulses at a gliding pitch through three resonances.
  const speech = new Int16Array(160_000);
  const formants = [0, 1, 2].map(() => ({ y1: 0, y2: 0 }));
  let phase = 0;
  for (let i = 0; i < speech.length; i++) {
    const pitch = 90 + 160 * (0.5 + 0.5 * Math.sin(i / 5300)) + 15 * Math.sin(i / 700);
    phase += pitch / 8000;
    let pulse = 0;
    if (phase >= 1) {
      phase -= 1;
      pulse = 3000;
    }
    const centres = [500 + 350 * Math.sin(i / 2900), 1500 + 600 * Math.sin(i / 2100), 2600 + 300 * Math.sin(i / 3700)];
    let sum = 0;
    formants.forEach((state, f) => {
      const r = 0.97;
      const y = pulse + 2 * r * Math.cos((2 * Math.PI * (centres[f] as number)) / 8000) * state.y1 - r * r * state.y2;
      state.y2 = state.y1;
      state.y1 = y;
      sum += y;
    });
    speech[i] = Math.max(-32768, Math.min(32767, sum));
  }
  t.equal(digitsOf(detected(speech)), '');
});

t.test('in-band: a key is heard beside noise 15 dB below it, and over one spoiled block', async (t) => {
  const random = new SeededRandom(5);
  const pcm = generated('147*', { toneMs: 80, gapMs: 60 });
  pcm.forEach((value, i) => (pcm[i] = value + (random.float() - 0.5) * 2400));
  t.equal(digitsOf(detected(pcm)), '147*');
  const dented = generated('6', { toneMs: 200 });
  dented.fill(0, 800, 850);
  t.equal(digitsOf(detected(dented)), '6');
});
