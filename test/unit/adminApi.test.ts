import t from 'tap';
import { type AdminRig, adminRig } from '../support/adminRig.js';

const trunk = (trunk_sid: string, account_sid: string, ...numbers: string[]) => ({
  trunk_sid,
  account_sid,
  trunk_name: trunk_sid,
  credentials: [{ user_name: 'pbx', password: `hush-${trunk_sid}` }],
  phone_numbers: numbers.map((phone_number) => ({ phone_number, mode: 'pstn' })),
});

const DOCUMENT = {
  accounts: [
    {
      sid: 'acme',
      api_keys: [
        { key: 'a', token: 'ta' },
        { key: 'ar', token: 'tar', scope: 'read' },
        { key: 'aw', token: 'taw', scope: 'write' },
      ],
    },
    { sid: 'bolt', api_keys: [{ key: 'b', token: 'tb' }] },
    { sid: 'ops', api_keys: [{ key: 'o', token: 'to' }] },
  ],
  carriers: [
    { id: 'telco', kind: 'byo', gateways: [], credentials: { user_name: 'u', password: 'hush-telco' } },
    { id: 'bolt-own', kind: 'byo', account_sid: 'bolt', gateways: [] },
  ],
  flows: [{ id: 'flw', start: 'end', nodes: { end: { applet: 'hangup' } } }],
  network_groups: [{ carrier: 'telco', country_iso: 'IN', name: 'all', prefixes: ['91'] }],
  trunks: [trunk('trk_a', 'acme', '+918040000001', '+918040000002'), trunk('trk_b', 'bolt', '+442070000001')],
};

const ACME = 'a:ta';
const OPS = 'o:to';

const setUp = async (t: { teardown: (f: () => unknown) => void }, listen?: string): Promise<AdminRig> => {
  const rig = await adminRig(DOCUMENT, listen);
  t.teardown(() => rig.close());
  return rig;
};

const codeIs = (code: string) => ({ error: { code, message: /./, remedy: /./ } });

t.test('a resource is created, read, replaced and deleted; each change is a revision', async (t) => {
  const { ask, control } = await setUp(t);
  const made = await ask('PUT', '/api/trunks/trk_n', { as: ACME, body: { trunk_name: 'n' } });
  t.equal(made.status, 201);
  t.match(made.body, { trunk_sid: 'trk_n', account_sid: 'acme', date_created: '2026-01-01T00:00:00Z' });
  t.equal(made.headers.etag, '"1"');
  const read = await ask('GET', '/api/trunks/trk_n', { as: ACME });
  t.same(read.body, made.body);
  const renamed = await ask('PUT', '/api/trunks/trk_n', {
    as: ACME,
    body: { trunk_name: 'm', date_created: '2000-01-01T00:00:00Z' },
  });
  t.equal(renamed.status, 200);
  t.match(renamed.body, { trunk_name: 'm', date_created: '2026-01-01T00:00:00Z' }, 'dates are not for clients');
  t.equal((await ask('DELETE', '/api/trunks/trk_n', { as: ACME })).status, 200);
  t.equal((await ask('GET', '/api/trunks/trk_n', { as: ACME })).status, 404);
  const used = await ask('DELETE', '/api/trunks/trk_a', { as: ACME });
  t.equal(used.status, 409);
  t.match(used.body, codeIs('resource_in_use'));
  const odd = await ask('PUT', '/api/trunks/trk_n', { as: ACME, body: { trunk_name: 'n', trunk_sid: 'trk_other' } });
  t.match(odd.body, codeIs('invalid_document'));
  const unknown = await ask('PUT', '/api/trunks/trk_n', { as: ACME, body: { trunk_name: 'n', role: 'admin' } });
  t.match(unknown.body, codeIs('invalid_request'), 'unknown members are refused, not taken');
  const group = await ask('PUT', `/api/network-groups/${encodeURIComponent('telco/GB/mobile')}`, {
    as: OPS,
    body: { prefixes: ['447'], outbound_price: '0.02', currency: 'USD' },
  });
  t.equal(group.status, 201);
  t.match(control.directory().group('telco/GB/mobile'), { prefixes: ['447'], enabled: true });
});

t.test('lists come in pages, in order, each resource once', async (t) => {
  const { ask } = await setUp(t);
  const changes = Array.from({ length: 250 }, (_, i) => ({
    put: 'phone_number',
    value: { phone_number: `+9180500${1000 + i}`, trunk_sid: i % 2 === 0 ? 'trk_a' : 'trk_c', mode: 'pstn' },
  }));
  const put = { put: 'trunk', value: { trunk_sid: 'trk_c', account_sid: 'acme', trunk_name: 'c' } };
  t.equal((await ask('POST', '/api/revisions', { as: ACME, body: { changes: [put, ...changes] } })).status, 201);
  for (const [as, total] of [
    [ACME, 252],
    [OPS, 253],
  ] as const) {
    const seen: string[] = [];
    let after = '';
    do {
      const page = (await ask('GET', `/api/numbers?limit=40${after}`, { as })).body as {
        items: { phone_number: string }[];
        next: string | null;
      };
      seen.push(...page.items.map((one) => one.phone_number));
      after = page.next === null ? '' : `&after=${encodeURIComponent(page.next)}`;
    } while (after !== '');
    t.equal(seen.length, total);
    t.equal(new Set(seen).size, total);
  }
  const foreign = await ask('GET', `/api/numbers?after=${encodeURIComponent('trk_b/+4')}`, { as: ACME });
  t.notMatch(foreign.text, /\+44/, 'a cursor opens nothing');
});

t.test('several changes are one revision, all of them or none', async (t) => {
  const { ask, control } = await setUp(t);
  const bad = await ask('POST', '/api/revisions', {
    as: ACME,
    body: {
      changes: [
        { delete: 'phone_number', id: '+918040000001' },
        { put: 'phone_number', value: { phone_number: 'x', trunk_sid: 'trk_a', mode: 'pstn' } },
      ],
    },
  });
  t.equal(bad.status, 422);
  t.equal(control.directory().revision, '0');
  const good = await ask('POST', '/api/revisions', {
    as: ACME,
    body: {
      note: 'goodbye',
      changes: [
        { delete: 'phone_number', id: '+918040000001' },
        { delete: 'phone_number', id: '+918040000002' },
        { delete: 'trunk', id: 'trk_a' },
      ],
    },
  });
  t.equal(good.status, 201);
  t.same(good.body, { revision: '1' });
  const listed = (await ask('GET', '/api/revisions', { as: OPS })).body;
  t.match(listed, {
    current: '1',
    revisions: [{ revision: '1', base: '0', author: 'api:acme/a', note: 'goodbye', changes: 3 }],
  });
});

t.test('If-Match guards every change', async (t) => {
  const { ask } = await setUp(t);
  const body = { trunk_name: 'x' };
  t.equal((await ask('PUT', '/api/trunks/trk_x', { as: ACME, body, headers: { 'if-match': '"0"' } })).status, 201);
  const stale = { as: ACME, headers: { 'if-match': '"0"' } };
  const attempts = [
    await ask('PUT', '/api/trunks/trk_x', { ...stale, body }),
    await ask('DELETE', '/api/trunks/trk_x', stale),
    await ask('POST', '/api/revisions', { ...stale, body: { changes: [{ delete: 'trunk', id: 'trk_x' }] } }),
    await ask('PUT', '/api/document', { ...stale, body: {} }),
    await ask('POST', '/api/accounts/acme/keys', { ...stale, body: {} }),
    await ask('POST', '/api/revisions/0/rollback', { as: OPS, headers: stale.headers, body: {} }),
  ];
  for (const refused of attempts) {
    t.equal(refused.status, 412);
    t.match(refused.body, { error: { code: 'revision_conflict', revision: '1' } });
    t.equal(refused.headers.etag, '"1"');
  }
  t.equal((await ask('DELETE', '/api/trunks/trk_x', { as: ACME, headers: { 'if-match': '*' } })).status, 200);
});

t.test('differences and rollback, without secrets', async (t) => {
  const { ask, control } = await setUp(t);
  const before = control.directory();
  const password = {
    ...trunk('trk_a', 'acme'),
    phone_numbers: undefined,
    credentials: [{ user_name: 'pbx', password: 'hush-new' }],
  };
  await ask('PUT', '/api/trunks/trk_a', { as: ACME, body: password });
  await ask('DELETE', '/api/numbers/%2B918040000002', { as: ACME });
  await ask('PUT', '/api/numbers/%2B918040000003', { as: ACME, body: { trunk_sid: 'trk_a', mode: 'pstn' } });
  await ask('DELETE', '/api/numbers/%2B918040000003', { as: ACME });
  const diff = await ask('GET', '/api/revisions/diff?from=0', { as: OPS });
  t.match(diff.body, { from: '0', to: '4' });
  const { changes } = diff.body as { changes: { key: { id: string }; before?: object; after?: object }[] };
  t.same(changes.map((one) => one.key.id).sort(), ['+918040000002', 'trk_a'], 'what came back is no difference');
  t.match(
    changes.find((one) => one.key.id === 'trk_a'),
    {
      before: { credentials: [{ password: '********' }] },
      after: { credentials: [{ password: '******** (changed)' }] },
    },
  );
  const back = (await ask('GET', '/api/revisions/diff?from=4&to=0', { as: OPS })).body as { changes: object[] };
  t.equal(back.changes.length, 2);
  t.notMatch(JSON.stringify([diff.body, back]), /hush/);
  t.notMatch((await ask('GET', '/api/revisions/1', { as: OPS })).text, /hush/);
  const rolled = await ask('POST', '/api/revisions/0/rollback', { as: OPS, body: { note: 'undo' } });
  t.same(rolled.body, { revision: '5', changes: 2 });
  t.same(control.directory().number('+918040000002'), before.number('+918040000002'));
  t.same(control.directory().trunk('trk_a'), before.trunk('trk_a'));
  t.match((await ask('GET', '/api/revisions?limit=1', { as: OPS })).body, {
    revisions: [{ note: 'undo', author: 'api:ops/o' }],
  });
  t.match((await ask('GET', '/api/revisions/99', { as: OPS })).body, codeIs('revision_not_found'));
  t.match((await ask('GET', '/api/revisions/diff?from=77&to=5', { as: OPS })).body, codeIs('revision_not_found'));
});

t.test('a document that was shown can be published again, and secrets stay', async (t) => {
  const { ask, control } = await setUp(t);
  const shown = await ask('GET', '/api/document', { as: OPS });
  t.notMatch(shown.text, /hush|"t[abo]r?w?"/);
  const document = shown.body as { trunks: { trunk_name: string; phone_numbers: unknown[] }[]; carriers: object[] };
  const same = await ask('PUT', '/api/document', { as: OPS, body: document });
  t.same(same.body, { revision: '0', changes: 0 }, 'nothing changed');
  (document.trunks[0] as { trunk_name: string }).trunk_name = 'renamed';
  document.trunks[1]?.phone_numbers.pop();
  const changed = await ask('PUT', '/api/document?note=by%20hand', { as: OPS, body: document });
  t.same(changed.body, { revision: '1', changes: 2 });
  t.match(control.directory().trunk('trk_a'), { trunk_name: 'renamed', credentials: [{ password: 'hush-trk_a' }] });
  document.carriers.push({ id: 'c2', kind: 'byo', credentials: { user_name: 'x', password: '********' } });
  t.match((await ask('PUT', '/api/document', { as: OPS, body: document })).body, {
    error: { code: 'invalid_document', message: /carriers\[2\].credentials.password is masked/ },
  });
  const own = (await ask('GET', '/api/document', { as: ACME })).body as typeof document;
  t.same(
    own.trunks.map((one) => one.trunk_name),
    ['renamed'],
  );
  t.same(own.carriers, []);
  t.equal((await ask('PUT', '/api/document', { as: ACME, body: own })).status, 200);
  const more = { ...own, accounts: [{ sid: 'acme', limits: { concurrent_calls: 9 } }] };
  t.equal((await ask('PUT', '/api/document', { as: ACME, body: more })).status, 404, 'its own rights are not its own');
  const none = await ask('PUT', '/api/document', { as: ACME, body: { accounts: own['accounts' as never] } });
  t.same(none.body, { revision: '2', changes: 3 });
  t.ok(control.directory().trunk('trk_b'), 'what others have is not touched');
});

t.test('keys are shown once, kept as hashes, rotated and deleted', async (t) => {
  const { ask, control, document } = await setUp(t);
  const made = await ask('POST', '/api/accounts/acme/keys', {
    as: ACME,
    body: { scope: 'read', friendly_name: 'grafana' },
  });
  t.equal(made.status, 201);
  t.match(made.headers, { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  const { key, token } = made.body as { key: string; token: string };
  t.match(token, /^[0-9a-f]{64}$/);
  const stored = JSON.stringify([...document.table.resources()]);
  t.notMatch(stored, new RegExp(token));
  t.match(control.directory().account('acme')?.api_keys?.at(-1), { key, scope: 'read', token_hash: /^sha256:/ });
  t.equal((await ask('GET', '/api/trunks', { as: `${key}:${token}` })).status, 200);
  t.equal((await ask('DELETE', '/api/trunks/trk_a', { as: `${key}:${token}` })).status, 403);
  const listed = await ask('GET', '/api/accounts/acme/keys', { as: ACME });
  t.match(listed.body, {
    keys: [{ key: 'a', scope: 'admin' }, { key: 'ar' }, { key: 'aw' }, { key, friendly_name: 'grafana' }],
  });
  t.notMatch(listed.text, /token|sha256/);
  t.notMatch((await ask('GET', '/api/accounts/acme', { as: ACME })).text, /"ta"|sha256:/);
  const rotated = (await ask('POST', `/api/accounts/acme/keys/${key}/rotate`, { as: ACME })).body as { token: string };
  t.equal((await ask('GET', '/api/trunks', { as: `${key}:${token}` })).status, 401);
  t.equal((await ask('GET', '/api/trunks', { as: `${key}:${rotated.token}` })).status, 200);
  t.equal((await ask('DELETE', `/api/accounts/acme/keys/${key}`, { as: ACME })).status, 200);
  t.equal((await ask('GET', '/api/trunks', { as: `${key}:${rotated.token}` })).status, 401);
  t.match((await ask('DELETE', `/api/accounts/acme/keys/${key}`, { as: ACME })).body, codeIs('resource_not_found'));
  t.equal((await ask('POST', '/api/accounts/acme/keys', { as: 'aw:taw', body: {} })).status, 403);
  t.match(await ask('GET', '/api/revisions/diff?from=0', { as: OPS }), { text: /./ });
});

t.test('wrong passwords are limited by source, and the clock lifts it', async (t) => {
  const { ask, clock } = await setUp(t);
  const wrong = (from: string) => ask('GET', '/api/trunks', { as: 'a:guess', from });
  for (let i = 0; i < 10; i++) t.equal((await wrong('2001:db8:0:7::1')).status, 401);
  for (const neighbour of ['2001:db8:0:7::1', '2001:db8:0:7:ffff::9']) {
    const blocked = await ask('GET', '/api/trunks', { as: ACME, from: neighbour });
    t.equal(blocked.status, 429, 'the right one is not looked at, either');
    t.match(blocked.body, codeIs('too_many_attempts'));
    t.equal(blocked.headers['retry-after'], '60');
  }
  t.equal((await ask('GET', '/api/trunks', { as: ACME, from: '2001:db8:0:8::1' })).status, 200);
  t.equal((await ask('GET', '/api/trunks', { as: ACME, from: '198.51.100.2' })).status, 200);
  clock.advance(60_000);
  t.equal((await ask('GET', '/api/trunks', { as: ACME, from: '2001:db8:0:7::1' })).status, 200);
});

t.test('pages of other origins change nothing', async (t) => {
  const local = await setUp(t, '127.0.65.1:31080');
  const host = '127.0.65.1:31080';
  const body = { trunk_name: 'x', account_sid: 'acme' };
  const put = (headers: Record<string, string>) =>
    local.ask('PUT', '/api/trunks/trk_x', { body, headers: { host, ...headers } });
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://127.0.65.1:3000' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: `http://${host}` },
  ] as Record<string, string>[]) {
    const refused = await put(headers);
    t.equal(refused.status, 403, JSON.stringify(headers));
    t.match(refused.body, codeIs('origin_not_allowed'));
  }
  t.match((await put({ host: 'rebound.example' })).body, codeIs('host_not_allowed'));
  t.equal((await put({ origin: `http://${host}`, 'sec-fetch-site': 'same-origin' })).status, 201);
  t.equal((await put({})).status, 200, 'what is no browser');
  const text = { host, 'content-type': 'text/plain' };
  t.equal((await local.ask('POST', '/api/revisions', { headers: text, body: '{"changes":[]}' })).status, 415);
  t.equal((await local.ask('GET', '/api/trunks', { headers: { host, origin: 'https://evil.example' } })).status, 200);
});
