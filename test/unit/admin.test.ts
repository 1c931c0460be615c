import { connect } from 'node:net';
import { Ajv } from 'ajv';
import t, { type Test } from 'tap';
import { type AdminDeps, createAdmin, keyChecker } from '../../src/admin/index.js';
import * as schemas from '../../src/admin/schemas.js';
import type { CallRequest } from '../../src/call/routing/decision.js';
import { loadConfig } from '../../src/config/index.js';
import { Control, DirectoryHolder } from '../../src/control/index.js';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { MemoryDocument, MemoryStore } from '../../src/store/index.js';
import { callRecord } from '../support/callRecord.js';

const CALLS = [
  { callId: 'c1', accountSid: 'demo', state: 'ringing' },
  { callId: 'c2', accountSid: 'other', state: 'answered' },
  { callId: 'c3', accountSid: null, state: 'deciding' },
];
const ACCOUNTS = [
  { sid: 'demo', api_keys: [{ key: 'k1', token: 't:1' }] },
  { sid: 'other', api_keys: [{ key: 'k2', token: 't2' }] },
  { sid: 'keyless' },
  {
    sid: 'ops',
    api_keys: [
      { key: 'k3', token: 't3', scope: 'admin' },
      { key: 'k4', token: 't4', scope: 'read' },
    ],
  },
] as const;

const setUp = (t: Test, over: Partial<AdminDeps> = {}, listen = '127.0.0.1:0') => {
  const asked: CallRequest[] = [];
  const errors: unknown[] = [];
  const clock = new ManualClock();
  const store = new MemoryStore(new MemoryDocument(), { clock, pause: () => Promise.resolve() });
  const admin = createAdmin({
    config: loadConfig({
      env: {},
      flags: ['--admin.listen', listen, '--node.id', 'n1', '--sip.drachtio.secret', 'hush', '--admin.operators', 'ops'],
    }),
    version: '9.9.9',
    clock,
    random: new SeededRandom(1),
    control: new Control({ store, directory: new DirectoryHolder(), clock }),
    state: () => ({ tableLoaded: true, signallingUp: true, draining: false }),
    explain: (request) => {
      asked.push(request);
      return callRecord({}).decision;
    },
    liveCalls: () => CALLS,
    liveCall: (id) => CALLS.find((call) => call.callId === id),
    dump: () => ({ engine: { dialogs: 0 } }),
    metrics: () => Promise.resolve({ contentType: 'text/plain; version=0.0.4', body: 'tandem_info 1\n' }),
    authenticate: keyChecker(() => ACCOUNTS, ['ops']),
    onError: (error) => errors.push(error),
    ...over,
  });
  t.teardown(() => admin.close());
  const get = async (url: string, headers: Record<string, string> = {}) => {
    const response = await admin.app.inject({ method: 'GET', url, headers });
    return {
      status: response.statusCode,
      headers: response.headers,
      body: response.body,
      json: () => response.json<never>(),
    };
  };
  const explain = async (payload: unknown, headers: Record<string, string> = {}, query = '') => {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
    const url = `/api/explain${query}`;
    const all = { 'content-type': 'application/json', ...headers };
    const response = await admin.app.inject({ method: 'POST', url, payload: text, headers: all });
    return {
      status: response.statusCode,
      headers: response.headers,
      body: response.body,
      json: () => response.json<never>(),
    };
  };
  return { admin, get, explain, asked, errors };
};

const basic = (key: string, token: string) => ({
  authorization: `Basic ${Buffer.from(`${key}:${token}`).toString('base64')}`,
});

t.test('health is the process, readiness is table, signalling and not draining', async (t) => {
  const state = { tableLoaded: false, signallingUp: false, draining: true };
  const { get } = setUp(t, { state: () => state });
  t.same((await get('/healthz')).json(), { status: 'ok', node: 'n1', version: '9.9.9' });
  let answer = await get('/readyz');
  t.equal(answer.status, 503);
  t.same(answer.json(), { ready: false, reasons: ['table_not_loaded', 'signalling_down', 'draining'] });
  Object.assign(state, { tableLoaded: true, signallingUp: true, draining: false });
  answer = await get('/readyz');
  t.equal(answer.status, 200);
  t.same(answer.json(), { ready: true, reasons: [] });
});

t.test('metrics come as they are', async (t) => {
  const { get } = setUp(t);
  const answer = await get('/metrics');
  t.equal(answer.body, 'tandem_info 1\n');
  t.equal(answer.headers['content-type'], 'text/plain; version=0.0.4');
});

t.test('explain asks the call path and gives its decision, as JSON or as text', async (t) => {
  const { explain, asked } = setUp(t);
  const question = { from: '::ffff:127.0.20.10', to: '08040000001', caller: '+919820000000' };
  const answer = await explain(question);
  t.equal(answer.status, 200);
  t.match(answer.json(), { accepted: true, reasonCode: 'routed', trunkSid: 'trk_demo' });
  const validate = new Ajv({ strict: false }).compile(schemas.DecisionSchema);
  t.ok(validate(answer.json()), JSON.stringify(validate.errors));
  t.same(asked[0], {
    sourceAddress: '127.0.20.10',
    sourcePort: 5060,
    transport: 'udp',
    calledNumber: '08040000001',
    callerNumber: '+919820000000',
    assertedNumber: undefined,
  });
  for (const text of [await explain(question, {}, '?format=text'), await explain(question, { accept: 'text/plain' })]) {
    t.match(text.headers['content-type'], /^text\/plain/);
    t.match(text.body, /telco-a/);
  }
});

t.test('a bad question is answered in the one error shape', async (t) => {
  const { explain, get, admin, asked } = setUp(t);
  const good = { from: '127.0.0.1', to: '1' };
  const cases: [number, string, { status: number; json(): never }][] = [
    [400, 'invalid_request', await explain({ ...good, from: 'nowhere' })],
    [400, 'invalid_request', await explain({ from: '127.0.0.1' })],
    [400, 'invalid_request', await explain({ ...good, to: 5 })],
    [400, 'invalid_request', await explain({ ...good, too: 1 })],
    [400, 'invalid_request', await explain({ ...good, to: '1'.repeat(129) })],
    [400, 'invalid_request', await explain(good, {}, '?format=xml')],
    [400, 'invalid_json', await explain('{')],
    [400, 'invalid_json', await explain('')],
    [413, 'body_too_large', await explain({ ...good, to: '1'.repeat(70_000) })],
    [415, 'unsupported_media_type', await explain('x', { 'content-type': 'text/plain' })],
    [404, 'not_found', await get('/api/nothing')],
    [404, 'call_not_found', await get('/api/calls/c9')],
    [405, 'method_not_allowed', await get('/api/explain')],
    [400, 'bad_request', await get('/api/%zz')],
    [400, 'invalid_request', await get('/api/calls?limit=-1')],
  ];
  const validate = new Ajv({ strict: false }).compile(schemas.ErrorSchema);
  for (const [status, code, answer] of cases) {
    t.equal(answer.status, status, code);
    t.match(answer.json(), { error: { code, message: /./, remedy: /./ } });
    t.ok(validate(answer.json()));
  }
  t.equal((await admin.app.inject({ method: 'DELETE', url: '/healthz' })).headers.allow, 'GET');
  t.equal(asked.length, 0, 'nothing of it reached the call path');
});

t.test('an exception inside is told to the log and not to the client', async (t) => {
  const { get, errors } = setUp(t, {
    dump: () => {
      throw new Error('inner secret');
    },
  });
  const answer = await get('/api/dump');
  t.equal(answer.status, 500);
  t.match(answer.json(), { error: { code: 'internal_error' } });
  t.notMatch(answer.body, /inner secret/);
  t.match(errors, [{ message: 'inner secret' }]);
});

t.test('live calls are listed, in bounds, and shown one by one', async (t) => {
  const { get } = setUp(t);
  t.same((await get('/api/calls')).json(), { total: 3, calls: CALLS });
  t.same((await get('/api/calls?limit=1')).json(), { total: 3, calls: CALLS.slice(0, 1) });
  t.same((await get('/api/calls/c2')).json(), CALLS[1]);
});

t.test('dump, configuration without secrets, and the list of routes', async (t) => {
  const { get } = setUp(t);
  t.same((await get('/api/dump')).json(), { engine: { dialogs: 0 } });
  const config = await get('/api/config');
  t.match(config.json(), { node: { id: 'n1' }, sip: { drachtio: { secret: '********' } } });
  t.notMatch(config.body, /hush/);
  const { routes } = (await get('/')).json() as { routes: { path: string; summary: string }[] };
  // Below /v1 and /v2: APIs of others, with tests of their own.
  const paths = routes.map((route) => route.path).filter((path) => !/^\/v\d\//.test(path));
  for (const path of ['/', '/healthz', '/readyz', '/metrics', '/api/explain', '/api/calls', '/api/calls/:id']) {
    t.ok(paths.includes(path), path);
  }
  t.ok(routes.every((route) => route.summary !== ''));
});

t.test('on loopback no key is asked for, but a foreign host name is refused', async (t) => {
  const { get } = setUp(t);
  for (const host of ['localhost:8080', '127.0.0.1:8080', '127.0.0.1', '[::1]:8080', '[::1]']) {
    t.equal((await get('/api/config', { host })).status, 200, host);
  }
  const answer = await get('/api/config', { host: 'rebound.example:8080' });
  t.equal(answer.status, 403);
  t.match(answer.json(), { error: { code: 'host_not_allowed' } });
  t.equal((await get('/healthz', { host: 'rebound.example' })).status, 200);
});

t.test('elsewhere an account key is needed, and shows that account alone', async (t) => {
  const { get } = setUp(t, {}, '0.0.0.0:0');
  t.equal((await get('/healthz')).status, 200);
  t.equal((await get('/readyz')).status, 200);
  for (const path of ['/', '/metrics', '/api/calls', '/api/dump', '/api/config', '/nothing']) {
    const answer = await get(path);
    t.equal(answer.status, 401, path);
    t.match(answer.headers['www-authenticate'], /^Basic realm/);
    t.match(answer.json(), { error: { code: 'credentials_missing' } });
  }
  for (const wrong of [basic('k1', 't1'), basic('k1', ''), basic('', ''), basic('k2', 't:1'), basic('k1t', ':1')]) {
    t.match((await get('/api/calls', wrong)).json(), { error: { code: 'credentials_wrong' } });
  }
  t.equal((await get('/api/calls', { authorization: 'Bearer x' })).status, 401);
  t.equal((await get('/api/calls', { authorization: 'Bearer k1:t:1' })).status, 200);
  t.same((await get('/api/calls', basic('k1', 't:1'))).json(), { total: 1, calls: [CALLS[0]] });
  t.equal((await get('/api/calls/c1', basic('k1', 't:1'))).status, 200);
  t.equal((await get('/api/calls/c2', basic('k1', 't:1'))).status, 404);
});

t.test('a key may do what its scope says, and only operators see the node', async (t) => {
  const { get, explain } = setUp(t, {}, '0.0.0.0:0');
  const question = { from: '127.0.0.1', to: '1' };
  for (const path of ['/metrics', '/api/dump', '/api/config']) {
    for (const key of [basic('k1', 't:1'), basic('k4', 't4')]) {
      const refused = await get(path, key);
      t.equal(refused.status, 403, path);
      t.match(refused.json(), { error: { code: 'operator_only' } });
    }
    t.equal((await get(path, basic('k3', 't3'))).status, 200, path);
  }
  t.match((await get('/api/calls', basic('k3', 't3'))).json(), { total: 3 });
  t.match((await get('/api/calls', basic('k4', 't4'))).json(), { total: 0 });
  t.equal((await explain(question, basic('k1', 't:1'))).status, 200);
  t.equal((await explain(question, basic('k4', 't4'))).status, 200, 'asking changes nothing');
});

t.test('the APIs of other programs ask for a key on loopback, too, and a key that comes is heeded', async (t) => {
  const { get } = setUp(t);
  for (const path of ['/v1/x', '/v2/accounts/demo/trunks']) t.equal((await get(path)).status, 401, path);
  t.equal((await get('/v2/accounts/demo/none', basic('k1', 't:1'))).status, 404);
  t.match((await get('/api/calls', basic('k1', 't:1'))).json(), { total: 1 });
  t.equal((await get('/api/calls', basic('k1', 'wrong'))).status, 401);
  t.equal((await get('/api/dump', basic('k1', 't:1'))).status, 403);
});

t.test('over a socket: serves, answers what is not HTTP, closes with connections open', async (t) => {
  const { admin } = setUp(t, {}, '127.0.33.1:13080');
  t.equal(await admin.listen(), 'http://127.0.33.1:13080');
  const answer = await fetch('http://127.0.33.1:13080/healthz');
  t.equal(answer.status, 200);
  const text = await new Promise<string>((resolve) => {
    let all = '';
    const socket = connect(13080, '127.0.33.1', () => socket.write('INVITE sip:x SIP/2.0\r\n\r\n'));
    socket.on('data', (chunk) => (all += chunk.toString())).on('close', () => resolve(all));
  });
  t.match(text, /^HTTP\/1\.1 400[^]*"code":"bad_request"/);
  const second = setUp(t, {}, '127.0.33.1:13080');
  await t.rejects(second.admin.listen(), { code: 'admin_listen_failed', message: /EADDRINUSE/ });
  const idle = connect(13080, '127.0.33.1');
  await new Promise((resolve) => idle.once('connect', resolve));
  const closed = new Promise((resolve) => idle.once('close', resolve));
  await admin.close();
  await closed;
});
