/** Records found again: by what was asked, page by page, on a thread of their own, and over HTTP. */
import { readFileSync, readdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fastify } from 'fastify';
import t, { type Test } from 'tap';
import { cdrRoutes } from '../../src/admin/cdrs.js';
import type { AdminDeps } from '../../src/admin/deps.js';
import { installErrors } from '../../src/admin/errors.js';
import { LOCAL_OPERATOR, type Principal } from '../../src/admin/principal.js';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { FileCallRecorder } from '../../src/call/record/fileRecorder.js';
import type { DialRecord } from '../../src/call/record/dialRecord.js';
import { RecordArchive } from '../../src/call/record/query/archive.js';
import { CSV_HEAD, csvLine } from '../../src/call/record/query/csv.js';
import type { QueryAnswer, RecordFilter, RecordQuery } from '../../src/call/record/query/filter.js';
import { RecordQueries } from '../../src/call/record/query/recordQueries.js';
import { ManualClock, SystemClock } from '../../src/kernel/index.js';
import { closedNames } from '../../src/call/record/recordFile.js';
import { callRecord } from '../support/callRecord.js';

const START_MS = Date.UTC(2026, 10, 20);
const iso = (ms: number): string => new Date(ms).toISOString();

/** Call i began i minutes after the start. */
const record = (i: number): CallRecord =>
  callRecord({
    callId: `call-${String(i).padStart(4, '0')}`,
    startedAt: iso(START_MS + i * 60_000),
    trunkSid: `trk_${i % 3}`,
    accountSid: i % 2 === 0 ? 'even' : 'odd',
    direction: i % 5 === 0 ? 'outbound' : 'inbound',
    outcome: i % 4 === 0 ? 'busy' : 'answered',
    reasonCode: i % 4 === 0 ? 'callee_busy' : 'normal_clearing',
    callerE164: `+9198200000${String(i % 10).padStart(2, '0')}`,
    callerReceived: '=cmd|calc',
  });

const setUp = (t: Test, count: number, rotateBytes = 30_000) => {
  const folder = t.testdir({});
  const clock = new ManualClock();
  const options = { folder, rotateBytes, rotateDaily: false, clock, onAlarm: () => {} };
  const recorder = new FileCallRecorder(options);
  for (let i = 0; i < count; i++) recorder.write(record(i));
  t.teardown(() => recorder.close());
  return { folder, recorder };
};

const idsOf = (answer: QueryAnswer): string[] => {
  if (!answer.ok) throw new Error(answer.message);
  const records = JSON.parse(`[${Buffer.from(answer.body).toString()}]`) as CallRecord[];
  return records.map(({ callId }) => callId);
};

const all = (archive: RecordArchive, filter: RecordFilter, limit: number): string[] => {
  const ids: string[] = [];
  for (let cursor: string | undefined; ;) {
    const answer = archive.query({ filter, limit, cursor, format: 'json', trimmed: false });
    ids.push(...idsOf(answer));
    if (!answer.ok || answer.cursor === undefined) return ids;
    cursor = answer.cursor;
  }
};

t.test('every filter finds what it names, newest first, in pages of any size', async (t) => {
  const { folder } = setUp(t, 200);
  t.ok(readdirSync(folder).filter((name) => name.endsWith('.jsonl')).length > 10);
  const archive = new RecordArchive(folder);
  const newestFirst = Array.from({ length: 200 }, (_, i) => record(199 - i));
  const cases: [RecordFilter, (one: CallRecord) => boolean][] = [
    [{}, () => true],
    [{ trunk: 'trk_1' }, (one) => one.trunkSid === 'trk_1'],
    [{ account: 'odd', outcome: 'busy' }, () => false],
    [{ account: 'even', outcome: 'busy' }, (one) => one.accountSid === 'even' && one.outcome === 'busy'],
    [{ number: '+919820000003' }, (one) => one.callerE164 === '+919820000003'],
    [{ number: '+918040000001' }, () => true],
    [{ caller: '+918040000001' }, () => false],
    [{ called: '+918040000001', direction: 'outbound' }, (one) => one.direction === 'outbound'],
    [{ reason: 'callee_busy', trunk: 'trk_2' }, (one) => one.reasonCode === 'callee_busy' && one.trunkSid === 'trk_2'],
    [{ callId: 'call-0042' }, (one) => one.callId === 'call-0042'],
    [
      { fromMs: START_MS + 10 * 60_000, toMs: START_MS + 20 * 60_000 },
      (one) => Date.parse(one.startedAt) >= START_MS + 600_000 && Date.parse(one.startedAt) < START_MS + 1_200_000,
    ],
  ];
  for (const [filter, holds] of cases) {
    const expected = newestFirst.filter(holds).map(({ callId }) => callId);
    for (const limit of [1, 7, 1000]) t.same(all(archive, filter, limit), expected, JSON.stringify({ filter, limit }));
  }
});

t.test('pages stay what they were while records come and files are closed', async (t) => {
  const { folder, recorder } = setUp(t, 50);
  const archive = new RecordArchive(folder);
  const first = archive.query({ filter: {}, limit: 20, format: 'json', trimmed: false });
  for (let i = 50; i < 90; i++) recorder.write(record(i));
  const second = archive.query({
    filter: {},
    limit: 100,
    cursor: first.ok ? first.cursor : '',
    format: 'json',
    trimmed: false,
  });
  t.same(
    [...idsOf(first), ...idsOf(second)],
    Array.from({ length: 50 }, (_, i) => record(49 - i).callId),
  );
  t.equal(idsOf(archive.query({ filter: {}, limit: 1, format: 'json', trimmed: false }))[0], 'call-0089');
  for (const cursor of ['x', Buffer.from(`${'0'.repeat(20)}.5`).toString('base64url')]) {
    t.match(archive.query({ filter: {}, limit: 1, cursor, format: 'json', trimmed: false }), {
      ok: false,
      code: 'cursor_unknown',
    });
  }
});

t.test('indexes are kept beside the files; damaged or lost ones are made again', async (t) => {
  const { folder } = setUp(t, 60);
  t.equal(all(new RecordArchive(folder), {}, 1000).length, 60);
  const kept = readdirSync(join(folder, 'index'));
  t.ok(kept.length > 3);
  writeFileSync(join(folder, 'index', kept[0] as string), 'nonsense');
  unlinkSync(join(folder, 'index', kept[1] as string));
  const before = readFileSync(join(folder, 'index', kept[2] as string));
  t.equal(all(new RecordArchive(folder), { trunk: 'trk_0' }, 7).length, 20);
  t.same(readdirSync(join(folder, 'index')).sort(), kept.sort());
  t.same(readFileSync(join(folder, 'index', kept[2] as string)), before);
});

t.test('the thread answers, and its end is told', async (t) => {
  const { folder } = setUp(t, 30);
  const queries = new RecordQueries(folder, new SystemClock());
  const answer = await queries.query({ filter: { trunk: 'trk_0' }, limit: 5, format: 'json', trimmed: true });
  t.equal(idsOf(answer).length, 5);
  t.notMatch(Buffer.from(answer.ok ? answer.body : []).toString(), /"decision"/);
  const late = queries.query({ filter: {}, limit: 5, format: 'json', trimmed: false });
  await queries.close();
  t.ok(await late);
  t.match(await queries.query({ filter: {}, limit: 1, format: 'json', trimmed: false }), { ok: false });
});

t.test('the thread makes the indexes of closed files, and ends when nobody asks anything', async (t) => {
  const { folder } = setUp(t, 40);
  const clock = new ManualClock();
  const queries = new RecordQueries(folder, clock);
  queries.start();
  t.equal(queries.hasThread, false, 'there is none before it is needed');
  clock.advance(60_000);
  t.equal(queries.hasThread, true);
  const gone = async (): Promise<void> => {
    while (queries.hasThread) await new Promise((resolve) => setImmediate(resolve));
  };
  await gone();
  t.same(readdirSync(join(folder, 'index')).length, closedNames(folder).length);
  const question = { filter: {}, limit: 5, format: 'json', trimmed: false } as const;
  t.equal(idsOf(await queries.query(question)).length, 5);
  clock.advance(59_000);
  t.equal(queries.hasThread, true, 'a question keeps it');
  clock.advance(1_000);
  t.equal(queries.hasThread, false);
  t.equal(idsOf(await queries.query(question)).length, 5, 'the next question has a new one');
  clock.advance(60_000);
  clock.advance(600_000);
  t.equal(queries.hasThread, false, 'nothing was closed since');
  renameSync(join(folder, 'cdr.jsonl'), join(folder, 'cdr.2031-01-02T03-04-05.678Z.jsonl'));
  clock.advance(600_000);
  t.equal(queries.hasThread, true);
  await gone();
  t.same(readdirSync(join(folder, 'index')).length, closedNames(folder).length);
  await queries.close();
  t.equal(clock.pending, 0);
});

t.test('over HTTP', async (t) => {
  const { folder } = setUp(t, 40);
  const archive = new RecordArchive(folder);
  let principal: Principal = LOCAL_OPERATOR;
  const app = fastify({ ajv: { customOptions: { removeAdditional: false, coerceTypes: false } } });
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  installErrors(app, { onError: (error) => t.fail(String(error)) });
  app.decorateRequest('principal', null as unknown as Principal);
  app.addHook('onRequest', async (request) => {
    request.principal = principal;
  });
  cdrRoutes(app, { searchRecords: (query: RecordQuery) => Promise.resolve(archive.query(query)) } as AdminDeps);
  t.teardown(() => app.close());
  const get = async (url: string, headers = {}) => {
    const response = await app.inject({ url, headers });
    return { status: response.statusCode, headers: response.headers, text: response.body };
  };
  const body = (text: string) => JSON.parse(text) as { cdrs: CallRecord[]; next: string | null };

  const page = await get('/api/cdrs?limit=15');
  t.equal(page.status, 200);
  t.equal(body(page.text).cdrs.length, 15);
  t.match(page.headers['link'], /rel="next"/);
  const rest = await get(`/api/cdrs?limit=100&cursor=${body(page.text).next ?? ''}`);
  t.equal(body(rest.text).cdrs.length, 25);
  t.equal(body(rest.text).next, null);
  t.equal(body((await get('/api/cdrs?number=+919820000003')).text).cdrs.length, 4, 'a bare + is one');
  t.equal(body((await get('/api/cdrs?from=2026-11-20T00:10:00Z&to=2026-11-20T00:12:00Z')).text).cdrs.length, 2);
  for (const bad of ['from=yesterday-at-ten', 'limit=0', 'cursor=zzz', 'outcome=odd', 'unknown=1']) {
    t.equal((await get(`/api/cdrs?${bad}`)).status, 400, bad);
  }
  const one = await get('/api/cdrs/call-0007');
  t.match(JSON.parse(one.text), { callId: 'call-0007', decision: {} });
  t.equal((await get('/api/cdrs/nobody')).status, 404);

  const csv = await get('/api/cdrs?limit=3', { accept: 'text/csv' });
  t.match(csv.headers['content-type'], /text\/csv/);
  const lines = csv.text.split('\r\n');
  t.equal(lines.length, 5);
  t.match(lines[0], /^callId,startedAt,/);
  t.match(lines[1], /,"'\+9198200000/, 'a number is no formula');

  principal = { accountSid: 'odd', key: 'k', scope: 'read', operator: false };
  const own = body((await get('/api/cdrs?limit=100')).text).cdrs;
  t.equal(own.length, 20);
  t.ok(own.every((cdr) => cdr.accountSid === 'odd' && !('decision' in cdr)));
  t.equal(body((await get('/api/cdrs?account=even')).text).cdrs.length, 0);
  t.equal((await get('/api/cdrs/call-0006')).status, 404, 'another account’s call is no call');
  t.equal((await get('/api/cdrs/call-0007')).status, 200);
});

t.test('dials of a call are summed up in its line, each currency by itself', async (t) => {
  const dial = (currency: string, micros: number) => {
    const charge = { currency, micros, billedSeconds: 1, rate: {}, networkGroup: null, prefix: null };
    return { uri: 'sip:x', carrierId: 'telco', answeredAt: '', talkMs: 1, charge };
  };
  const cells = (...dials: object[]) =>
    csvLine(callRecord({ dials: dials as DialRecord[] }))
      .trim()
      .split(',')
      .slice(-2);
  t.match(CSV_HEAD, /,dial_charge_micros,dial_currency\r\n$/);
  t.same(cells(), ['', '']);
  t.same(cells({ ...dial('EUR', 1), charge: null }), ['', '']);
  t.same(cells(dial('EUR', 1200), dial('EUR', 34)), ['1234', 'EUR']);
  t.same(cells(dial('EUR', 1), dial('USD', 5), dial('EUR', 2)), ['3;5', 'EUR;USD']);
  t.same(csvLine(callRecord({})).trim().split(',').slice(-2), ['', '']);
});

t.test('cells that spreadsheets would run', async (t) => {
  const folder = t.testdir({});
  const clock = new ManualClock();
  const recorder = new FileCallRecorder({ folder, rotateBytes: 1e9, rotateDaily: false, clock, onAlarm: () => {} });
  for (const evil of ['=1+1', '+1', '-1', '@x', '\tx', '\rx', 'a"b,c', 'plain']) {
    recorder.write(callRecord({ callerE164: null, callerReceived: evil, callId: 'c' }));
  }
  await recorder.close();
  const answer = new RecordArchive(folder).query({ filter: {}, limit: 100, format: 'csv', trimmed: false });
  const text = Buffer.from(answer.ok ? answer.body : []).toString();
  for (const safe of [`"'=1+1"`, `"'+1"`, `"'-1"`, `"'@x"`, `"'\tx"`, `"'\rx"`, '"a""b,c"', ',plain,']) {
    t.ok(text.includes(safe), JSON.stringify(safe));
  }
});
