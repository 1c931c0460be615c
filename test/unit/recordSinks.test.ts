/** Records on their way to sinks: at least once, in order, across rotation, outages and restarts. */
import { createHmac } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FileCallRecorder } from '../../src/call/record/fileRecorder.js';
import { type RecordSink, type SinkAlarm, SinkDrain, type SinkRecord } from '../../src/call/record/sink/drain.js';
import { type PostAsk, WebhookSink, signatureOf } from '../../src/call/record/sink/webhook.js';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { callRecord } from '../support/callRecord.js';

class TestSink implements RecordSink {
  readonly name = 'test';
  readonly batch = 7;
  readonly got: string[] = [];
  down = false;
  tries = 0;
  onBatch = (): void => {};
  /** Takes them and dies before it can say so. */
  forgetful = false;

  deliver(records: readonly SinkRecord[]): Promise<void> {
    this.tries++;
    if (this.down) return Promise.reject(new Error('away'));
    this.onBatch();
    for (const { callId, json } of records) {
      if ((JSON.parse(json.toString()) as { callId: string }).callId !== callId)
        throw new Error('key and record differ');
      this.got.push(callId);
    }
    return this.forgetful ? Promise.reject(new Error('cut off')) : Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const setUp = (t: Test, options: { folder?: string; rotateBytes?: number } = {}) => {
  const folder = options.folder ?? t.testdir({});
  const clock = new ManualClock();
  const alarms: SinkAlarm[] = [];
  const sink = new TestSink();
  const drain = new SinkDrain({
    folder,
    sink,
    clock,
    random: new SeededRandom(1),
    onAlarm: (alarm) => alarms.push(alarm),
  });
  const recorder = new FileCallRecorder({
    folder,
    rotateBytes: options.rotateBytes ?? 1_000_000,
    rotateDaily: false,
    clock,
    onAlarm: () => {},
    onWritten: drain.wake,
  });
  return { folder, clock, alarms, sink, drain, recorder };
};

type Rig = ReturnType<typeof setUp>;

/** File reads come when the thread pool has them: looks again each turn of the event loop. */
const until = async (what: string, holds: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 20_000; turn++) {
    if (holds()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`never: ${what}`);
};

const write = (rig: Rig, from: number, to: number): void => {
  for (let i = from; i < to; i++) rig.recorder.write(callRecord({ callId: `c${i}` }));
};
const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `c${from + i}`);

const end = async ({ drain, recorder, clock }: Rig): Promise<void> => {
  await drain.close();
  await recorder.close();
  if (clock.pending > 0) throw new Error(JSON.stringify(clock.dump()));
};

t.test('a new sink gets what is recorded from then on, each once, across rotation', async (t) => {
  const rig = setUp(t, { rotateBytes: 6000 });
  write(rig, 0, 5);
  await rig.drain.start();
  write(rig, 5, 40);
  await until('all are there', () => rig.sink.got.length >= 35);
  t.same(rig.sink.got, ids(5, 40));
  t.ok(readdirSync(rig.folder).length > 10);
  t.same(rig.alarms, []);
  await end(rig);
});

t.test(
  'a sink that is away gets everything when it is back, and the next process goes on where the last was',
  async (t) => {
    const rig = setUp(t, { rotateBytes: 6000 });
    await rig.drain.start();
    write(rig, 0, 3);
    await until('the first three', () => rig.sink.got.length === 3);
    rig.sink.down = true;
    write(rig, 3, 30);
    await until('it failed', () => rig.alarms.length > 0);
    for (let i = 0; i < 20; i++) {
      rig.clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    t.match(rig.alarms, [{ type: 'sink_failed', reason: 'away' }]);
    t.equal(rig.alarms.length, 1, 'told once');
    t.ok(rig.sink.tries < 30, `${rig.sink.tries} tries: backs off`);
    await end(rig);
    const next = setUp(t, { folder: rig.folder });
    await next.drain.start();
    write(next, 30, 33);
    await until('the rest', () => next.sink.got.length >= 30);
    t.same(next.sink.got, ids(3, 33));
    await end(next);
  },
);

t.test('an outage ends: drained within ten seconds of the clock', async (t) => {
  const rig = setUp(t);
  await rig.drain.start();
  rig.sink.down = true;
  write(rig, 0, 600);
  await until('it failed', () => rig.alarms.length > 0);
  for (let i = 0; i < 60; i++) {
    rig.clock.advance(1000);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  rig.sink.down = false;
  const backMs = rig.clock.nowMs();
  const { tries } = rig.sink;
  await until('it tries again', () => {
    rig.clock.advance(1);
    return rig.sink.tries > tries;
  });
  // The rest takes the time of the disk, which is not the clock's.
  await until('all are there', () => rig.sink.got.length === 600);
  t.ok(rig.clock.nowMs() - backMs <= 10_000);
  t.equal(rig.sink.got.length, 600);
  t.match(rig.alarms, [{ type: 'sink_failed' }, { type: 'sink_recovered' }]);
  await end(rig);
});

t.test('a stop gives a sink that has failed one more try, at once, and no more than five seconds', async (t) => {
  const rig = setUp(t);
  await rig.drain.start();
  rig.sink.down = true;
  write(rig, 0, 70);
  await until('it failed', () => rig.alarms.length > 0);
  rig.sink.down = false;
  await end(rig);
  t.same(rig.sink.got, ids(0, 70), 'the pause after the failure is not waited for');

  const slow = setUp(t, { folder: rig.folder });
  await slow.drain.start();
  slow.sink.down = true;
  write(slow, 70, 140);
  await until('it failed', () => slow.alarms.length > 0);
  slow.sink.down = false;
  slow.sink.onBatch = () => slow.clock.advance(2000);
  await end(slow);
  t.same(slow.sink.got, ids(70, 91), 'three batches: none is begun after the fifth second');
  const next = setUp(t, { folder: rig.folder });
  await next.drain.start();
  await until('the rest', () => next.sink.got.length >= 49);
  t.same(next.sink.got, ids(91, 140), "the rest is the next start's");
  await end(next);
});

t.test('what may or may not have arrived comes again', async (t) => {
  const rig = setUp(t);
  await rig.drain.start();
  rig.sink.forgetful = true;
  write(rig, 0, 10);
  await until('a batch was taken', () => rig.alarms.length > 0);
  rig.sink.forgetful = false;
  await until('everything is there', () => {
    rig.clock.advance(10);
    return new Set(rig.sink.got).size === 10;
  });
  t.ok(rig.sink.got.length > 10, 'some twice');
  await end(rig);
});

t.test('cursors: a damaged one begins anew, a removed file is told of', async (t) => {
  const rig = setUp(t, { rotateBytes: 6000 });
  await rig.drain.start();
  rig.sink.down = true;
  write(rig, 0, 20);
  await until('it failed', () => rig.alarms.length > 0);
  await end(rig);
  const closed = readdirSync(rig.folder).filter((name) => /^cdr\.2.*jsonl$/.test(name));
  unlinkSync(join(rig.folder, closed.sort()[0] as string));
  const gap = setUp(t, { folder: rig.folder });
  await gap.drain.start();
  await until('what is left', () => gap.sink.got.at(-1) === 'c19');
  t.equal(gap.sink.got.length < 20 && gap.sink.got.length > 10, true);
  await end(gap);
  writeFileSync(join(rig.folder, 'sink.test.cursor'), '{"mark":');
  const again = setUp(t, { folder: rig.folder });
  await again.drain.start();
  await until('all of it again', () => again.sink.got.at(-1) === 'c19');
  t.same(again.sink.got, gap.sink.got);
  await end(again);
});

t.test('lines that are no records are passed over; a file renamed under the reader is read to its end', async (t) => {
  const rig = setUp(t);
  await rig.drain.start();
  write(rig, 0, 2);
  await until('two', () => rig.sink.got.length === 2);
  writeFileSync(join(rig.folder, 'cdr.jsonl'), 'rubbish\n', { flag: 'a' });
  write(rig, 2, 3);
  renameSync(join(rig.folder, 'cdr.jsonl'), join(rig.folder, 'cdr.2999-01-01T00-00-00.000Z.jsonl'));
  await rig.recorder.flush();
  write(rig, 3, 5);
  await until('five', () => rig.sink.got.length === 5);
  t.same(rig.sink.got, ids(0, 5));
  await end(rig);
});

t.test('webhook', async (t) => {
  const posts: PostAsk[] = [];
  let answers: (number | string)[] = [];
  const refused: object[] = [];
  const sinkOf = (t: Test, batch: number) =>
    new WebhookSink({
      url: 'https://billing.example/cdr',
      secret: 's3cret',
      batch,
      post: (ask) => {
        posts.push(ask);
        const answer = answers.shift() ?? 200;
        return Promise.resolve(
          typeof answer === 'number' ? { ok: true, status: answer } : { ok: false, reason: answer },
        );
      },
      wallMs: () => 1_790_000_000_999,
      refusedPath: join(t.testdir({}), 'refused.jsonl'),
      onRefused: (refusal) => refused.push(refusal),
    });
  const records = (count: number): SinkRecord[] =>
    ids(0, count).map((callId) => ({ callId, json: Buffer.from(JSON.stringify({ callId, name: 'Zoë' })) }));

  t.test('one record a request, signed over the raw body with its time', async (t) => {
    posts.length = 0;
    await sinkOf(t, 1).deliver(records(2));
    t.equal(posts.length, 2);
    const [post] = posts as [PostAsk];
    t.equal(post.body.toString(), '{"callId":"c0","name":"Zoë"}');
    const headers = Object.fromEntries(post.headers) as Record<string, string>;
    t.match(headers, { 'Content-Type': 'application/json', 'Idempotency-Key': 'c0' });
    const hex = createHmac('sha256', 's3cret').update(`1790000000.${post.body.toString()}`).digest('hex');
    t.equal(headers['Tandem-Signature'], `t=1790000000,v1=${hex}`);
    t.not(signatureOf('other', 1_790_000_000, post.body), headers['Tandem-Signature']);
  });

  t.test('several records as lines', async (t) => {
    posts.length = 0;
    await sinkOf(t, 3).deliver(records(4));
    t.same(
      posts.map(({ body }) => body.toString().split('\n').length - 1),
      [3, 1],
    );
    t.equal(Object.fromEntries(posts[0]?.headers ?? [])['Content-Type'], 'application/x-ndjson');
  });

  t.test('anything but a 2xx is no delivery', async (t) => {
    for (const answer of [500, 503, 429, 404, 401, 302, 'no connection']) {
      answers = [answer];
      await t.rejects(sinkOf(t, 1).deliver(records(1)), String(answer));
    }
  });

  t.test('a record that is refused for good is left aside after three tries', async (t) => {
    const sink = sinkOf(t, 1);
    for (let i = 0; i < 2; i++) {
      answers = [200, 422, 200];
      await t.rejects(sink.deliver(records(3)));
    }
    answers = [200, 422, 200];
    await sink.deliver(records(3));
    t.same(refused, [{ callId: 'c1', status: 422 }]);
    const path = join(t.testdirName, 'refused.jsonl');
    t.ok(existsSync(path));
    t.match(readFileSync(path, 'utf8'), /^\{"callId":"c1".*\}\n$/);
  });
});
