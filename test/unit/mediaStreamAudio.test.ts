import fc from 'fast-check';
import t from 'tap';
import { botAddress } from '../../src/media/stream/address.js';
import { AudioFromBot, AudioToBot } from '../../src/media/stream/audio.js';
import { Budget } from '../../src/kernel/index.js';
import { audioOf, parseJson } from '../../src/media/stream/dialect.js';
import { egressPolicy } from '../../src/media/stream/egress.js';
import { BotSpeech } from '../../src/media/stream/botSpeech.js';
import { Playout } from '../../src/media/stream/playout.js';
import { FakeBot, pcmBytes } from '../support/fakeBot.js';

t.test('whatever a bot sends, nothing is thrown and at most one report is given', async () => {
  const word = fc.oneof(
    fc.constantFrom('media', 'mark', 'clear', 'playAudio', 'checkpoint', 'clearAudio', 'sendDTMF', 'killAudio'),
    fc.constantFrom('clearMarks', 'disconnect', 'stop', '__proto__', 'constructor'),
    fc.string(),
  );
  const shaped = fc.record(
    {
      event: word,
      type: word,
      name: fc.jsonValue(),
      dtmf: fc.jsonValue(),
      mark: fc.oneof(fc.jsonValue(), fc.record({ name: fc.jsonValue() })),
      media: fc.record(
        {
          payload: fc.oneof(fc.base64String(), fc.jsonValue()),
          sampleRate: fc.jsonValue(),
          contentType: fc.jsonValue(),
        },
        { requiredKeys: [] },
      ),
      data: fc.record(
        {
          name: fc.jsonValue(),
          id: fc.jsonValue(),
          sampleRate: fc.oneof(fc.integer(), fc.jsonValue()),
          audioContentType: fc.constantFrom('raw', 'wav', 7),
          audioContent: fc.oneof(fc.base64String(), fc.jsonValue()),
        },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: [] },
  );
  const message = fc.oneof(
    shaped,
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.uint8Array({ maxLength: 700 }).map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(
      fc.constantFrom('exotel', 'twilio', 'plivo', 'jambonz'),
      fc.constantFrom('bidirectional', 'fork'),
      fc.array(message, { maxLength: 80 }),
      (dialect, direction, messages) => {
        const bot = new FakeBot({ dialect, direction });
        for (const one of messages) {
          bot.say(one);
          bot.ticks(1);
        }
        return bot.reports.length <= 1;
      },
    ),
    { numRuns: 300 },
  );
});

t.test('the playout keeps every sample, in order, and each mark in its place', async () => {
  const step = fc.oneof(
    fc.integer({ min: 0, max: 9000 }).map((add) => ({ add })),
    fc.constant({ mark: true as const }),
    fc.integer({ min: 1, max: 60 }).map((take) => ({ take })),
    fc.constant({ clear: true as const }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const playout = new Playout();
      let next = 1;
      let heard = 1;
      let marks = 0;
      const due = new Map<string, number>();
      const passed = (): void => {
        for (const { name } of playout.passed()) {
          if ((due.get(name) as number) > heard) throw new Error(`mark ${name} came early`);
          due.delete(name);
        }
      };
      const take = (): boolean => {
        passed();
        const frame = playout.take();
        for (const sample of frame ?? []) {
          if (sample === 0) continue;
          if (sample !== ((heard - 1) % 32_000) + 1) throw new Error(`heard ${sample}, not ${heard}`);
          heard++;
        }
        return playout.queued > 0;
      };
      for (const one of steps) {
        if ('add' in one) {
          playout.add(Int16Array.from({ length: one.add }, () => ((next++ - 1) % 32_000) + 1));
        } else if ('mark' in one) {
          due.set(`${marks}`, next);
          playout.mark({ kind: 'mark', name: `${marks++}` });
        } else if ('take' in one) for (let i = 0; i < one.take; i++) take();
        else {
          for (const { name } of playout.clear()) due.delete(name);
          heard = next;
          if (playout.take() !== undefined) return false;
        }
      }
      while (take());
      passed();
      return heard === next && due.size === 0;
    }),
    { numRuns: 300 },
  );
});

t.test('the playout is bounded, and cheap for single samples', async (t) => {
  const playout = new Playout();
  let taken = 0;
  const one = Int16Array.of(1);
  while (taken < 3_000_000 && playout.add(one)) taken++;
  t.equal(taken, 2_408_000, 'five minutes, and what rounding may add');
  let frames = 0;
  while (playout.take() !== undefined) frames++;
  t.equal(frames, 15_050);
  t.ok(playout.add(new Int16Array(160)));
});

/** Takes until nothing comes any more. */
const drain = (source: { take(): Int16Array | undefined; readonly idle: boolean }): number[] => {
  const samples: number[] = [];
  for (let ticks = 0; ticks < 20_000; ticks++) {
    samples.push(...(source.take() ?? []));
    if (source.idle) return samples;
  }
  throw new Error('it never ends');
};

t.test('long messages are converted a piece a tick, and nothing of them is lost or moved', async (t) => {
  for (const [sampleRate, encoding] of [
    [8000, 'mulaw'],
    [8000, 'l16'],
    [24_000, 'l16'],
    [11_025, 'l16'],
  ] as const) {
    const format = { sampleRate, encoding };
    const audio = pcmBytes(Int16Array.from({ length: sampleRate * 3 }, (_, i) => ((i * 7919) % 20_000) + 5000));
    const [head, long, tail] = [audio.subarray(0, 1001), audio.subarray(1001, -777), audio.subarray(-777)];
    const speech = new BotSpeech(8000);
    const atOnce = new Playout(8000);
    const decoder = new AudioFromBot(8000);
    for (const piece of [head, long, tail]) {
      t.ok(speech.add(piece, format));
      atOnce.add(decoder.decode(piece, format));
      speech.mark({ kind: 'mark', name: `${piece.length}` });
      atOnce.mark({ kind: 'mark', name: `${piece.length}` });
    }
    const expected = atOnce.queued;
    t.ok(speech.queuedMs > (expected / 8) * 0.99 && speech.queuedMs < (expected / 8) * 1.01);
    const passedAt = (source: BotSpeech | Playout): object[] => {
      const found: object[] = [];
      for (let tick = 0; !source.idle || tick === 0; tick++) {
        source.take();
        for (const { name } of source.passed()) found.push({ name, tick });
      }
      return found;
    };
    const again = new BotSpeech(8000);
    for (const piece of [head, long, tail]) again.add(piece, format);
    const reference = new Playout(8000);
    const second = new AudioFromBot(8000);
    for (const piece of [head, long, tail]) reference.add(second.decode(piece, format));
    t.same(drain(again), drain(reference), `${sampleRate} Hz of ${encoding}, sample for sample`);
    t.same(passedAt(speech), passedAt(atOnce), 'marks at the same ticks');
  }
});

t.test('what waits for its conversion is bounded, and gone with a clear', async (t) => {
  const speech = new BotSpeech(8000);
  const format = { sampleRate: 24_000, encoding: 'l16' } as const;
  let messages = 0;
  while (messages < 1000 && speech.add(Buffer.alloc(480_000), format)) messages++;
  t.equal(messages, 30, 'five minutes, in messages of ten seconds');
  t.notOk(speech.add(Buffer.alloc(48_000), format));
  for (let i = 0; i < 1000; i++) t.ok(speech.mark({ kind: 'mark', name: `${i}` }));
  t.notOk(speech.mark({ kind: 'mark', name: 'one too many' }));
  t.equal(speech.clearMarks().length, 1000);
  t.ok(speech.mark({ kind: 'mark', name: 'again' }));
  t.ok(speech.mark({ kind: 'clip', name: 'clip' }));
  t.same(
    speech.clear().map(({ name }) => name),
    ['again', 'clip'],
  );
  t.equal(speech.queuedMs, 0);
  t.ok(speech.idle);
  t.equal(speech.take(), undefined);
});

const frameOf = (value: number): Int16Array => new Int16Array(160).fill(value);

t.test('a gap that the bot did not mean is made up for in its next silence', async (t) => {
  const playout = new Playout();
  const heard = (): number | undefined => playout.take()?.[0];
  const say = (...values: number[]): void => values.forEach((value) => playout.add(frameOf(value)));
  say(1000);
  t.equal(heard(), 1000);
  t.same([heard(), heard(), heard()], [undefined, undefined, undefined], 'its words are 60 ms late');
  say(1001, 1002, 1003, 1004);
  t.same([heard(), heard()], [1001, 1002], 'speech is never left out');
  say(0, 0, 1005, 0, 0, 0, 0, 0, 1006);
  t.same([heard(), heard(), heard(), heard()], [1003, 1004, 0, 1005], 'a frame of silence less');
  t.same([heard(), heard(), heard(), heard()], [0, 0, 0, 1006], 'two less, and no more than the gap was');
});

t.test('a pause between two utterances is no gap, and marks keep their place', async (t) => {
  const playout = new Playout();
  playout.add(frameOf(1000));
  playout.take();
  for (let i = 0; i < 11; i++) t.equal(playout.take(), undefined);
  for (const value of [1001, 0, 0, 1002]) playout.add(frameOf(value));
  const frames = [1, 2, 3, 4].map(() => playout.take()?.[0]);
  t.same(frames, [1001, 0, 0, 1002]);
  t.equal(playout.take(), undefined);
  playout.add(frameOf(1003));
  playout.add(frameOf(0));
  playout.mark({ kind: 'mark', name: 'after silence' });
  playout.add(frameOf(1004));
  t.equal(playout.take()?.[0], 1003);
  t.same(playout.passed(), []);
  t.equal(playout.take()?.[0], 1004, 'the silence is left out');
  t.match(playout.passed(), [{ name: 'after silence' }]);
});

t.test('any division of the audio into messages gives the same samples', async () => {
  const pcm = Int16Array.from({ length: 960 }, (_, i) => (i * 7919) % 30_000);
  const bytes = pcmBytes(pcm);
  for (const sampleRate of [8000, 16_000, 24_000]) {
    const format = { encoding: 'l16', sampleRate } as const;
    const whole = new AudioFromBot().decode(bytes, format).slice();
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
        const decoder = new AudioFromBot();
        const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const parts = edges.slice(1).map((end, i) => decoder.decode(bytes.subarray(edges[i], end), format).slice());
        return Buffer.from(Int16Array.from(parts.flatMap((part) => [...part])).buffer).equals(
          Buffer.from(whole.buffer),
        );
      }),
      { numRuns: 50 },
    );
  }
});

t.test('frames of another length than 20 ms do no harm', async (t) => {
  const toBot = new AudioToBot({ encoding: 'l16', sampleRate: 8000 }, 20);
  t.equal(toBot.add(new Int16Array(999).fill(5))?.length, 320);
  t.strictSame(toBot.add(Int16Array.of(7)), pcmBytes([7, ...Array(159).fill(0)]), 'the rest is silence');
});

t.test('base64 is taken as bots write it, and nothing else is', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const text = Buffer.from(bytes).toString('base64');
      return (
        audioOf(text)?.equals(bytes) === true &&
        audioOf(text.replace(/=+$/, ''))?.equals(bytes) === true &&
        audioOf(Buffer.from(bytes).toString('base64url'))?.equals(bytes) === true
      );
    }),
  );
  for (const text of ['A', 'A===', 'AAAA=A', 'AA AA', 'AA\n', 'AAA!', '\u{1F600}', 'AAAAA', 'AAAA====']) {
    t.equal(audioOf(text), undefined, JSON.stringify(text));
  }
  t.equal(audioOf(undefined), undefined);
  t.equal(audioOf('')?.length, 0);
});

t.test('a long text of very many parts is not parsed at all', async (t) => {
  const nest = '['.repeat(300_000) + ']'.repeat(300_000);
  const wide = `{${Array.from({ length: 30_000 }, (_, i) => `"k${i}":1`).join(',')}}`;
  for (const text of [nest, wide, `[${'1,'.repeat(100_000)}1]`, '{"a":'.repeat(50_000)]) {
    t.equal(parseJson(text), undefined);
  }
  t.match(parseJson(JSON.stringify({ event: 'media', media: { payload: 'A'.repeat(1_000_000) } })), { event: 'media' });
});

t.test('a budget is spent and fills again', async (t) => {
  const budget = new Budget(10, 100, 0);
  for (let i = 0; i < 10; i++) t.ok(budget.spend(1, 0));
  t.notOk(budget.spend(1, 0));
  t.ok(budget.spend(1, 10));
  t.notOk(budget.spend(1, 5), 'time does not run backwards');
  t.notOk(budget.spend(11, 10_000), 'never more than fits');
  t.ok(budget.spend(10, 10_000));
});

t.test('bot URLs: credentials become Basic auth and leave the URL', async (t) => {
  t.strictSame(botAddress('wss://a%40b:c%3Ad@bot.example:8443/x?y=1#z', 'exotel'), {
    url: 'wss://bot.example:8443/x?y=1',
    headers: { Authorization: `Basic ${Buffer.from('a@b:c:d').toString('base64')}` },
    indirect: false,
  });
  t.match(botAddress('https://bot.example', 'exotel'), { indirect: true, headers: {} });
  t.match(botAddress('ws://%zz@bot.example', 'exotel'), { headers: {} });
  t.type(botAddress(`ws://bot.example/${'x'.repeat(600)}`, 'exotel'), 'string');
  t.type(botAddress(`ws://bot.example/${'x'.repeat(600)}`, 'twilio'), 'object');
  for (const url of [
    '',
    'x',
    'http:',
    'javascript:alert(1)',
    'ws://',
    'ws://[::1',
    'ws://1.2.3.4.5/',
    'ws+unix:///x',
  ]) {
    t.type(botAddress(url, 'jambonz'), 'string', url);
  }
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.webUrl()), (url) => {
      const address = botAddress(url, 'twilio');
      return typeof address === 'string' || /^(ws|http)s?:/.test(address.url);
    }),
  );
});

const INTERNAL = [
  '127.0.0.1',
  '127.255.255.254',
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '100.64.0.1',
  '100.100.100.200',
  '169.254.169.254',
  '192.0.0.192',
  '192.0.2.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '168.63.129.16',
  '::',
  '::1',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::ffff:169.254.169.254',
  '0:0:0:0:0:ffff:a00:1',
  '::127.0.0.1',
  '::ffff:0:127.0.0.1',
  '64:ff9b::7f00:1',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::7f00:1',
  '2002:7f00:1::',
  '2001::1',
  '2001:db8::1',
  'fe80::1',
  'fe80::1%eth0',
  'fc00::1',
  'fd00:ec2::254',
  'fec0::1',
  'ff02::1',
  '100::1',
  '4000::1',
];
const NO_ADDRESS = [
  '',
  'localhost',
  '2130706433',
  '0x7f000001',
  '0177.0.0.1',
  '127.1',
  '8.8.8.8.',
  ' 8.8.8.8',
  '8.8.8.8/32',
];

t.test('the egress policy refuses what is not public, in any notation', async (t) => {
  const policy = egressPolicy([]);
  for (const address of [...INTERNAL, ...NO_ADDRESS]) t.notOk(policy(address), address);
  for (const address of [
    '8.8.8.8',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '2606:4700::1111',
    '172.32.0.1',
    '11.0.0.1',
  ]) {
    t.ok(policy(address), address);
  }
  fc.assert(fc.property(fc.string(), (text) => typeof policy(text) === 'boolean'));
});

t.test('the egress policy lets through what is listed, and no more', async (t) => {
  const policy = egressPolicy(['127.0.0.0/8', '10.1.2.3', 'fd00::/16', '::1']);
  for (const address of ['127.0.0.1', '::ffff:127.9.9.9', '10.1.2.3', 'fd00::9', '::1', '8.8.8.8'])
    t.ok(policy(address));
  for (const address of ['10.1.2.4', 'fd01::1', '169.254.169.254', '::', '2130706433'])
    t.notOk(policy(address), address);
  t.ok(egressPolicy(['*'])('169.254.169.254'));
  for (const bad of ['', 'localhost', '127.0.0.0/33', '127.1/8', '10.0.0.0/x', 'fd00::/129']) {
    t.throws(() => egressPolicy([bad]), { code: 'bad_network' }, bad);
  }
});
