import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { DecidedCall } from '../../src/call/record/callFacts.js';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { FileCallRecorder, type FileRecorderOptions, type RecorderAlarm } from '../../src/call/record/fileRecorder.js';
import { JsonLines } from '../../src/call/record/jsonLines.js';
import { recordsOfLeftCalls } from '../../src/call/record/leftCalls.js';
import { MemoryCallRecorder } from '../../src/call/record/memoryRecorder.js';
import { chargesOf } from '../../src/call/record/chargesToday.js';
import { chargeOf } from '../../src/call/record/rating.js';
import { OpenCalls } from '../../src/call/record/openCalls.js';
import { endedByOf, outcomeOf, q850OfStatus } from '../../src/call/record/outcome.js';
import { recordLine } from '../../src/call/record/recordLine.js';
import { ManualClock } from '../../src/kernel/index.js';
import { callRecord } from '../support/callRecord.js';

const setUp = (t: Test, options: Partial<FileRecorderOptions> = {}) => {
  const folder = options.folder ?? t.testdir({});
  const clock = new ManualClock(Date.UTC(2026, 10, 22, 23, 59, 58));
  const alarms: RecorderAlarm[] = [];
  const recorder = new FileCallRecorder({
    folder,
    rotateBytes: 1_000_000,
    rotateDaily: true,
    clock,
    onAlarm: (alarm) => alarms.push(alarm),
    ...options,
  });
  const open = join(folder, 'cdr.jsonl');
  const closed = () =>
    readdirSync(folder)
      .filter((name) => /^cdr\.2.*jsonl$/.test(name))
      .sort();
  return { folder, clock, alarms, recorder, open, closed };
};

const idsIn = (path: string): string[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as CallRecord).callId);

const turn = () => new Promise((resolve) => setImmediate(resolve));

t.test('a record is in the file when write returns, one line each, in order', async (t) => {
  const { recorder, open } = setUp(t);
  recorder.write(callRecord({ callId: 'one', callerReceived: 'line\nbreak' }));
  t.same(idsIn(open), ['one']);
  recorder.write(callRecord({ callId: 'two' }));
  t.same(idsIn(open), ['one', 'two']);
  t.equal(recorder.pending, 0);
  await recorder.flush();
  await recorder.close();
  t.match(JSON.parse(readFileSync(open, 'utf8').split('\n')[0] as string), { callerReceived: 'line\nbreak' });
});

t.test('what one turn has to write is written at once, and when whoever sends asks for it', async (t) => {
  const ends: (() => void)[] = [];
  const atEndOfTurn = (settle: () => void): void => void ends.push(settle);
  let written = 0;
  const { recorder, open, folder } = setUp(t, { atEndOfTurn, onWritten: () => written++ });
  recorder.write(callRecord({ callId: 'one' }));
  recorder.write(callRecord({ callId: 'two' }));
  t.same(idsIn(open), []);
  t.equal(recorder.pending, 2);
  recorder.settle();
  t.same(idsIn(open), ['one', 'two']);
  t.equal(written, 1, 'by one write');
  recorder.settle();
  t.equal(written, 1);
  t.equal(ends.length, 1, 'one end of the turn is waited for');
  recorder.write(callRecord({ callId: 'three' }));
  ends.shift()?.();
  t.same(idsIn(open), ['one', 'two', 'three'], 'nobody sent anything: written all the same');
  t.equal(recorder.pending, 0);
  recorder.write(callRecord({ callId: 'four' }));
  t.equal(ends.length, 1);
  await recorder.close();
  t.same(idsIn(open), ['one', 'two', 'three', 'four']);
  ends.shift()?.();
  t.same(idsIn(join(folder, 'cdr.jsonl')).length, 4);
});

t.test('lines say what JSON.stringify says, octet by octet', async (t) => {
  const lines = new JsonLines();
  const every = String.fromCharCode(...Array.from({ length: 0x180 }, (_, code) => code));
  class Said {
    toJSON(): object {
      return { said: 'so', absent: undefined };
    }
  }
  const said = new Said();
  const values: object[] = [
    callRecord({ callerReceived: 'Zoë ☎ "Жук" \\ \u{1f4de}' }),
    { every, lone: '\ud800', quote: '"', slash: '\\', empty: '', [every]: every },
    {
      whole: 0,
      minus: -0,
      part: -1.5e-7,
      large: 1e21,
      most: 2 ** 53,
      below: -1,
      ten: 10,
      odd: 1_000_000_007,
      moment: Date.UTC(2026, 10, 22, 23, 59, 58),
      parts: [1e9, 10_000_000_005, 1e18, 1e15, -1_000_000_000_000, 999_999_999_999, 4_503_599_627_370_497],
      safe: [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER + 1],
      small: 999_999_999,
      nan: NaN,
      inf: -Infinity,
      no: false,
      yes: true,
    },
    { none: null, absent: undefined, method: () => 1, list: [undefined, null, 1, 'x', [[]], {}, () => 1], said },
    [],
    {},
  ];
  for (const value of values) {
    lines.clear();
    lines.add(value);
    t.equal(lines.octets.toString('utf8', 0, lines.length), `${JSON.stringify(value)}\n`);
  }
  lines.clear();
  const long = { text: 'x'.repeat(70_000), umlauts: 'ü'.repeat(70_000), list: Array.from({ length: 9000 }, () => []) };
  for (let i = 0; i < 3; i++) lines.add(long);
  t.equal(lines.octets.toString('utf8', 0, lines.length), `${JSON.stringify(long)}\n`.repeat(3), 'however long');
  lines.clear();
  t.ok(lines.octets.length < 100_000, 'and memory is given back');
});

t.test('a process killed right after the write loses nothing', async (t) => {
  const folder = t.testdir({});
  const from = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);
  const script = `
    import { FileCallRecorder } from ${from('src/call/record/fileRecorder.js')};
    import { SystemClock } from ${from('src/kernel/index.js')};
    const recorder = new FileCallRecorder({ folder: process.argv[1], rotateBytes: 1e6, rotateDaily: true,
      clock: new SystemClock(), onAlarm() {} });
    for (let i = 0; i < 50; i++) recorder.write({ callId: 'c' + i });
    process.kill(process.pid, 'SIGKILL');`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script, folder]);
  t.equal(child.signal, 'SIGKILL', child.stderr.toString());
  t.equal(idsIn(join(folder, 'cdr.jsonl')).length, 50);
});

t.test('what a crash cut off is moved aside, whole lines stay', async (t) => {
  const folder = t.testdir({});
  const path = join(folder, 'cdr.jsonl');
  for (const [before, after] of [
    ['{"callId":"a"}\n{"callId":"b', ['a', 'new']],
    ['{"callId":"torn', ['new']],
    [`{"callId":"a"}\n{"x":"${'y'.repeat(200_000)}`, ['a', 'new']],
  ] as const) {
    writeFileSync(path, before);
    const { recorder, alarms } = setUp(t, { folder, rotateDaily: false });
    recorder.write(callRecord({ callId: 'new' }));
    await recorder.close();
    t.same(idsIn(path), after);
    const [alarm] = alarms;
    if (alarm?.type !== 'partial_line_moved') return t.fail('no alarm');
    t.ok(readFileSync(alarm.path, 'utf8').endsWith(before.slice(before.lastIndexOf('\n') + 1)));
    unlinkSync(alarm.path);
  }
  const { recorder, alarms } = setUp(t, { folder, rotateDaily: false });
  await recorder.close();
  t.same(alarms, [], 'a file in order is left as it is');
  t.same(idsIn(path), ['a', 'new']);
});

t.test('files are rotated by size and by day, and no record is lost or split', async (t) => {
  const { recorder, clock, closed, folder, open } = setUp(t, { rotateBytes: 5000 });
  for (let i = 0; i < 10; i++) {
    recorder.write(callRecord({ callId: `size-${i}` }));
    await Promise.resolve();
  }
  const bySize = closed().length;
  t.ok(bySize >= 2, `${bySize} files`);
  t.match(closed()[0], /^cdr\.2026-11-22T23-59-58\.000Z(\.\d)?\.jsonl$/);
  clock.advance(3000);
  recorder.write(callRecord({ callId: 'tomorrow' }));
  await Promise.resolve();
  t.same(idsIn(open), ['tomorrow']);
  t.equal(closed().length, bySize + 1);
  await recorder.close();
  const ids = [...closed().map((name) => join(folder, name)), open].flatMap(idsIn).sort();
  t.same(ids, [...Array.from({ length: 10 }, (_, i) => `size-${i}`), 'tomorrow']);
});

t.test('the size of the file is counted in octets, whatever letters a caller has', async (t) => {
  const { recorder, open } = setUp(t, { rotateDaily: false });
  recorder.write(callRecord({ callId: 'plain' }));
  recorder.write(callRecord({ callId: 'letters', callerReceived: 'Zoë ☎ Жук' }));
  t.match(recorder.dump(), { openBytes: statSync(open).size, pending: 0 });
  t.same(idsIn(open), ['plain', 'letters']);
  t.match(readFileSync(open, 'utf8'), '"callerReceived":"Zoë ☎ Жук"');
  await recorder.close();
});

t.test('with the disk full records wait, in bounds, and calls go on', async (t) => {
  const folder = t.testdir({});
  const open = join(folder, 'cdr.jsonl');
  symlinkSync('/dev/full', open);
  const { recorder, alarms, clock } = setUp(t, { folder, maxPending: 3, rotateDaily: false });
  for (const callId of ['1', '2', '3', '4']) {
    recorder.write(callRecord({ callId }));
    await Promise.resolve();
  }
  t.match(alarms, [
    { type: 'write_failed', code: 'ENOSPC', pending: 1 },
    { type: 'record_dropped', callId: '4', line: /"callId":"4"/ },
  ]);
  clock.advance(1500);
  t.equal(alarms.length, 2, 'one alarm, not one a second');
  t.equal(recorder.pending, 3);
  await t.rejects(recorder.flush(), { code: 'cdr_not_written' });
  unlinkSync(open);
  clock.advance(1000);
  t.match(alarms[2], { type: 'write_recovered', written: 3 });
  t.same(idsIn(open), ['1', '2', '3']);
  recorder.write(callRecord({ callId: '5' }));
  await recorder.close();
  t.same(idsIn(open), ['1', '2', '3', '5']);
  t.equal(clock.pending, 0);
});

t.test('closing with the disk still full reports every record', async (t) => {
  const folder = t.testdir({});
  symlinkSync('/dev/full', join(folder, 'cdr.jsonl'));
  const { recorder, alarms, clock } = setUp(t, { folder });
  recorder.write(callRecord({ callId: '1' }));
  await recorder.close();
  t.match(alarms.at(-1), { type: 'record_dropped', line: /"callId":"1"/ });
  t.equal(clock.pending, 0);
  recorder.write(callRecord({ callId: 'late' }));
  t.match(alarms.at(-1), { type: 'record_dropped', callId: 'late' });
});

t.test('disk flushes are grouped, and a file moved away is followed by a new one', async (t) => {
  const { recorder, clock, open, folder } = setUp(t);
  recorder.write(callRecord({ callId: '1' }));
  recorder.write(callRecord({ callId: '2' }));
  await Promise.resolve();
  t.same(clock.dump(), { 'cdr.sync': 1 });
  renameSync(open, join(folder, 'taken-away'));
  clock.advance(200);
  await recorder.flush();
  for (let i = 0; i < 100 && !existsSync(open); i++) await turn();
  recorder.write(callRecord({ callId: '3' }));
  await recorder.close();
  t.same(idsIn(open), ['3']);
  t.same(idsIn(join(folder, 'taken-away')), ['1', '2']);
  t.equal(clock.pending, 0);
});

t.test('a folder that cannot be used is refused at start, with what to do', async (t) => {
  const folder = t.testdir({ file: 'x' });
  t.throws(() => setUp(t, { folder: join(folder, 'file') }), { code: 'cdr_path_unusable', message: /cdr\.path/ });
});

t.test('an existing file of today is continued', async (t) => {
  const folder = t.testdir({});
  const path = join(folder, 'cdr.jsonl');
  appendFileSync(path, '{"callId":"earlier"}\n');
  const { recorder } = setUp(t, { folder, rotateDaily: false });
  recorder.write(callRecord({ callId: 'later' }));
  await recorder.close();
  t.same(idsIn(path), ['earlier', 'later']);
});

t.test('a record costs microseconds', async (t) => {
  const { recorder } = setUp(t, { rotateBytes: 1e9 });
  const record = callRecord({});
  const count = 2000;
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    recorder.write(record);
    await Promise.resolve();
  }
  const each = ((performance.now() - start) * 1000) / count;
  await recorder.close();
  t.comment(`${each.toFixed(1)} us a record of ${recordLine(record).length} bytes`);
  t.ok(each < 500);
});

t.test('the recorder in memory keeps what it gets until it is closed', async (t) => {
  const recorder = new MemoryCallRecorder();
  recorder.write(callRecord({ callId: 'x' }));
  await recorder.flush();
  await recorder.close();
  recorder.write(callRecord({ callId: 'y' }));
  t.same(
    recorder.records.map((r) => r.callId),
    ['x'],
  );
});

t.test('SIP status to Q.850 cause', async (t) => {
  const expected = {
    200: 16,
    302: 23,
    403: 21,
    404: 1,
    408: 102,
    480: 18,
    484: 28,
    486: 17,
    487: 16,
    499: 127,
    500: 41,
  };
  for (const [status, cause] of Object.entries({
    ...expected,
    502: 38,
    503: 41,
    555: 41,
    600: 17,
    603: 21,
    604: 1,
    699: 21,
  })) {
    t.equal(q850OfStatus(Number(status)), cause, status);
  }
  for (let status = 300; status < 700; status++) {
    const cause = q850OfStatus(status);
    if (!(cause >= 1 && cause <= 127)) t.fail(`${status} -> ${cause}`);
  }
});

t.test('every end has one outcome', async (t) => {
  const facts = { answered: false, cancelled: false, accepted: true, sipStatus: 503, lastResult: 'response' };
  const outcome = (over: Partial<typeof facts>) => outcomeOf({ ...facts, ...over });
  t.equal(outcome({ answered: true, sipStatus: 200 }), 'answered');
  t.equal(outcome({ cancelled: true, sipStatus: 487 }), 'cancelled');
  t.equal(outcome({ accepted: false, sipStatus: 480 }), 'rejected');
  t.equal(outcome({ sipStatus: 486 }), 'busy');
  t.equal(outcome({ sipStatus: 600 }), 'busy');
  t.equal(outcome({ sipStatus: 480 }), 'no_answer');
  t.equal(outcome({ sipStatus: 480, lastResult: 'ring_timeout' }), 'no_answer');
  t.equal(outcome({ sipStatus: 408, lastResult: 'silence' }), 'failed');
  t.equal(outcome({ sipStatus: 603 }), 'rejected');
  t.equal(outcome({ sipStatus: 404 }), 'failed');
  t.equal(outcome({ sipStatus: 503, lastResult: 'transport_error' }), 'failed');
});

t.test('the side that ended a call', async (t) => {
  t.equal(endedByOf({ leg: 'tandem', direction: undefined, deliberate: true }), 'tandem');
  t.equal(endedByOf({ leg: 'a', direction: 'outbound', deliberate: true }), 'caller');
  t.equal(endedByOf({ leg: 'a', direction: 'inbound', deliberate: false }), 'carrier');
  t.equal(endedByOf({ leg: 'b', direction: 'inbound', deliberate: false }), 'callee');
  t.equal(endedByOf({ leg: 'b', direction: 'outbound', deliberate: true }), 'callee');
  t.equal(endedByOf({ leg: 'b', direction: 'outbound', deliberate: false }), 'carrier');
});

t.test('calls that were open when the process died', async (t) => {
  const priced = { rate: { outbound_price: '0.6', first_seconds: 1, next_seconds: 1 } };
  const wallMs = Date.UTC(2026, 10, 22, 23, 59, 58);
  const open = (callId: string, answeredMs?: number): DecidedCall => {
    const { nodeId, aLegCallId, bLegCallId, source, destination, decision } = callRecord({});
    return {
      callId,
      nodeId,
      aLegCallId,
      bLegCallId,
      source,
      destination,
      callerReceived: '+919820000000',
      calledReceived: '08040000001',
      placed: false,
      started: { ms: 0, wallMs },
      decision: { ...decision, direction: 'outbound' },
      carrierId: undefined,
      ringing: undefined,
      answered: answeredMs === undefined ? undefined : { ms: answeredMs, wallMs: wallMs + answeredMs },
      priced,
      attempts: [],
      transfers: undefined,
      dials: undefined,
      openDials: undefined,
    };
  };

  t.test('the first note says how a call began, the second what has become of it', async (t) => {
    const first = setUp(t);
    const call = { ...open('c1'), bLegCallId: null, destination: null };
    first.recorder.note(call);
    const attempts = [{ uri: 'sip:b@192.0.2.1', startedAt: '', sipStatus: 200, result: 'answered', durationMs: 5 }];
    const became = { bLegCallId: 'b1', destination: 'sip:b@192.0.2.1', carrierId: 'telco-b', attempts };
    const moments = { ringing: { ms: 120.4, wallMs: wallMs + 120 }, answered: { ms: 700, wallMs: wallMs + 700 } };
    Object.assign(call, became, moments);
    first.recorder.note(call);
    const lines = readFileSync(join(first.folder, 'calls.wal'), 'utf8').trim().split('\n');
    const [opened, more] = lines.slice(-2).map((line) => JSON.parse(line) as Record<string, Record<string, object>>);
    t.same(opened?.['open']?.['course'], { aLegCallId: call.aLegCallId, priced });
    t.same(Object.keys(opened?.['open']?.['decision'] ?? {}).includes('steps'), false, 'steps would be most of it');
    t.same(Object.keys(more?.['more'] ?? {}), ['callId', 'course']);
    first.clock.advance(2_000);
    const second = setUp(t, { folder: first.folder, rotateDaily: false });
    const record = JSON.parse(readFileSync(second.open, 'utf8')) as CallRecord;
    const { decision } = call;
    t.match(record, {
      ...became,
      callId: 'c1',
      source: call.source,
      callerReceived: '+919820000000',
      accountSid: decision.accountSid,
      trunkSid: decision.trunkSid,
      revision: decision.revision,
      calledE164: decision.calledNumber.e164,
      startedAt: '2026-11-22T23:59:58.000Z',
      ringingAt: '2026-11-22T23:59:58.120Z',
      answeredAt: '2026-11-22T23:59:58.700Z',
      setupMs: 700,
      ringMs: 580,
      talkMs: 1300,
      outcome: 'answered',
      endedBy: 'tandem',
      sipStatus: 200,
      reasonCode: 'node_lost',
      decision: { accepted: true, reasonCode: decision.reasonCode, steps: [] },
    });
    t.same(Object.keys(record).sort(), Object.keys(callRecord({})).sort(), 'a record like any other');
    await second.recorder.close();
    await first.recorder.close();
  });

  t.test('get one record each, charged until the last sign of life', async (t) => {
    const first = setUp(t);
    first.recorder.note(open('talking', 0));
    first.recorder.note(open('ringing'));
    first.recorder.note(open('over', 0));
    first.recorder.write(callRecord({ callId: 'over' }));
    first.clock.advance(7_300);
    // No close: the process is gone. What it had in the kernel is what the next one finds.
    const second = setUp(t, { folder: first.folder, rotateDaily: false });
    t.match(second.alarms, [{ type: 'calls_recovered', count: 2 }]);
    const records = readFileSync(second.open, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as CallRecord);
    t.same(
      records.map(({ callId }) => callId),
      ['over', 'talking', 'ringing'],
    );
    t.match(records[1], { talkMs: 7000, reasonCode: 'node_lost', endedAt: '2026-11-23T00:00:05.000Z' });
    t.match(records[1]?.charge, { micros: 70_000, billedSeconds: 7 });
    t.match(records[2], { talkMs: 0, charge: null });
    await second.recorder.close();
    const third = setUp(t, { folder: first.folder, rotateDaily: false });
    t.same(third.alarms, [], 'and no second one');
    await third.recorder.close();
    await first.recorder.close();
  });

  t.test(
    'and the dials of their flows: those that were up until then, those that were over as they were',
    async (t) => {
      const dial = { uri: 'sip:1@192.0.2.1', carrierId: 'telco', answeredAt: '2026-11-22T23:59:57.000Z' };
      const charge = chargeOf(priced, 'outbound', 3000);
      const left = open('talking', 0);
      const first = setUp(t);
      first.recorder.note(left);
      const over = { ...dial, talkMs: 3000, charge };
      const up = [
        { ...dial, answeredMs: 2000, priced },
        { ...dial, carrierId: null, answeredMs: 6500, priced: undefined },
      ];
      first.recorder.note({ ...left, dials: [over], openDials: up });
      first.recorder.note({ ...open('other', 0), openDials: [{ ...dial, answeredMs: 9_000_000, priced }] });
      first.clock.advance(7_300);
      const second = setUp(t, { folder: first.folder, rotateDaily: false });
      const [talking, other] = readFileSync(second.open, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as CallRecord);
      t.same(talking?.dials, [
        over,
        { ...dial, talkMs: 5000, charge: chargeOf(priced, 'outbound', 5000) },
        { ...dial, carrierId: null, talkMs: 500, charge: null },
      ]);
      t.match(other?.dials, [{ talkMs: 0, charge: { micros: 10_000 } }], 'answered after the last sign of life');
      const settled: number[] = [];
      for await (const one of chargesOf(first.folder, '2026-11-23', () => Promise.resolve()))
        settled.push(one.charge.micros);
      t.same(settled, [70_000, 30_000, 50_000, 70_000, 10_000], 'and today has cost all of it');
      await second.recorder.close();
      await first.recorder.close();
    },
  );

  t.test('notes that gather are there when whoever sends has asked, and a process after that goes on so', async (t) => {
    const gathering = { atEndOfTurn: () => {} };
    const first = setUp(t, gathering);
    for (const callId of ['a', 'b', 'c']) first.recorder.note(open(callId, 0));
    t.notMatch(readFileSync(join(first.folder, 'calls.wal'), 'utf8'), /"open"/);
    first.recorder.settle();
    first.recorder.write(callRecord({ callId: 'b' }));
    first.recorder.note(open('told to nobody', 0));
    const second = setUp(t, { ...gathering, folder: first.folder, rotateDaily: false });
    t.match(second.alarms, [{ type: 'calls_recovered', count: 3 }], 'its record had not been settled');
    t.same(idsIn(second.open), ['a', 'b', 'c']);
    second.recorder.note(open('d', 0));
    second.recorder.settle();
    const third = setUp(t, { ...gathering, folder: first.folder, rotateDaily: false });
    t.match(third.alarms, [{ type: 'calls_recovered', count: 1 }]);
    for (const { recorder } of [third, second, first]) await recorder.close();
  });

  t.test('are found recorded across rotated files, and a cut-off line is nobody’s', async (t) => {
    const first = setUp(t, { rotateBytes: 2000 });
    for (let i = 0; i < 20; i++) {
      first.recorder.note(open(`c${i}`, 0));
      if (i % 2 === 0) first.recorder.write(callRecord({ callId: `c${i}` }));
    }
    t.ok(first.closed().length > 3);
    appendFileSync(join(first.folder, 'calls.wal'), '{"open":{"callId":"half');
    const second = setUp(t, { folder: first.folder, rotateDaily: false });
    t.match(second.alarms, [{ type: 'calls_recovered', count: 10 }]);
    const all = [...second.closed().map((name) => join(first.folder, name)), second.open].flatMap(idsIn);
    t.equal(all.length, 20);
    t.equal(new Set(all).size, 20);
    await second.recorder.close();
    await first.recorder.close();
  });

  t.test(
    'are copied bit by bit when the file has grown long, and are all there whenever the process dies',
    async (t) => {
      const { folder, clock, recorder } = setUp(t);
      await recorder.close();
      const failures: string[] = [];
      const calls = new OpenCalls({
        folder,
        clock,
        onFailure: (code) => failures.push(code),
        turnBytes: 16_384,
      });
      calls.begin();
      const old = join(folder, 'calls.wal.old');
      const steady = Array.from({ length: 40 }, (_, i) => `steady${i}`);
      for (const callId of steady) calls.note(open(callId, 0));
      const left = (): string[] => recordsOfLeftCalls(folder).map(({ callId }) => callId);
      let seenOld = 0;
      let longest = 0;
      let { size } = statSync(join(folder, 'calls.wal'));
      const missing: string[] = [];
      for (let i = 0; i < 400; i++) {
        calls.note(open(`brief${i}`, 0));
        const there = new Set(left());
        missing.push(...[...steady, `brief${i}`].filter((callId) => !there.has(callId)));
        calls.over(`brief${i}`);
        appendFileSync(join(folder, 'cdr.jsonl'), `{"callId":"brief${i}"}\n`);
        if (existsSync(old)) seenOld++;
        const before = size;
        size = statSync(join(folder, 'calls.wal')).size;
        longest = Math.max(longest, size - before);
        // The old file goes by itself.
        if (i % 20 === 0) await turn();
      }
      t.same(missing, []);
      t.ok(seenOld > 20, 'a file was left while calls were copied out of it');
      t.ok(longest < 8_000, `${longest} octets at most at a time: not all that is open`);
      t.same(left(), steady, 'what was recorded meanwhile is nobody’s');
      t.same(failures, []);
      for (const callId of steady) calls.over(callId);
      calls.close();
      t.equal(clock.pending, 0);
    },
  );

  t.test('leave no timer and no file that only grows', async (t) => {
    const { recorder, clock, folder } = setUp(t);
    for (let i = 0; i < 9000; i++) {
      recorder.note(open(`n${i}`, 0));
      recorder.write(callRecord({ callId: `n${i}` }));
    }
    await recorder.flush();
    clock.advance(5000);
    t.equal(clock.dump()['cdr.alive'], undefined);
    t.ok(readFileSync(join(folder, 'calls.wal')).length < 9_000_000);
    await recorder.close();
    t.equal(clock.pending, 0);
  });
});

t.test('names of closed files only grow, whatever the wall clock does', async (t) => {
  const { recorder, clock, closed, folder } = setUp(t, { rotateBytes: 4000 });
  for (let i = 0; i < 12; i++) {
    recorder.write(callRecord({ callId: `c${i}` }));
    clock.stepWall(-3_600_000);
  }
  const ids = closed().flatMap((name) => idsIn(join(folder, name)));
  t.same(
    ids,
    ids.map((_, i) => `c${i}`),
  );
  await recorder.close();
});
