/** Walks the OpenAPI document: no route without credentials, none beyond the key's scope, nothing of another account. */
import t, { type Test } from 'tap';
import { ok } from '../../src/kernel/index.js';
import { type AdminRig, adminRig } from '../support/adminRig.js';
import { callRecord } from '../support/callRecord.js';

// Some thousands of requests.
t.setTimeout(120_000);

const KEYS = (name: string) => [
  { key: `${name}-read`, token: 't', scope: 'read' },
  { key: `${name}-write`, token: 't', scope: 'write' },
  { key: `${name}-admin`, token: 't', scope: 'admin' },
];

/** Everything of `other` carries this word; `acme` has a resource of each kind, too. */
const OTHER = 'zebra';
const NUMBER = '+447000000099';

const account = (name: string, number: string) => ({
  trunk: {
    trunk_sid: `trk_${name}`,
    account_sid: name,
    trunk_name: `${name} pbx`,
    domain_name: `${name}.pstn.example`,
    whitelisted_ips: [{ ip: '203.0.113.7', mask: 32, id: `${name}-ip` }],
    credentials: [{ user_name: `${name}-user`, password: 'hush', id: `${name}-cred` }],
    destination_uris: [{ destination: '203.0.113.7:5060', priority: 0, weight: 1, id: `${name}-dest` }],
    phone_numbers: [{ phone_number: number, mode: 'pstn', id: `${name}-num`, friendly_name: `${name} desk` }],
  },
  carrier: { id: `car_${name}`, kind: 'byo', account_sid: name, nickname: `${name} telco`, gateways: [] },
});

const [acme, other] = [account('acme', '+447000000001'), account(OTHER, NUMBER)];

const DOCUMENT = {
  accounts: [
    { sid: 'acme', api_keys: KEYS('acme') },
    { sid: OTHER, name: `${OTHER} corp`, api_keys: KEYS(OTHER) },
    { sid: 'ops', api_keys: KEYS('ops') },
  ],
  carriers: [acme.carrier, other.carrier, { id: 'shared', kind: 'byo', gateways: [] }],
  trunks: [acme.trunk, other.trunk],
  flows: [
    {
      id: `flw_${OTHER}`,
      account_sid: OTHER,
      name: `${OTHER} desk`,
      start: 'end',
      nodes: { end: { applet: 'hangup' } },
    },
  ],
  network_groups: [{ carrier: `car_${OTHER}`, country_iso: 'GB', name: OTHER, prefixes: ['44'] }],
};

interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly open: boolean;
  readonly description: string;
}

const routesOf = async (rig: AdminRig): Promise<Route[]> => {
  const { body } = await rig.ask('GET', '/docs/openapi.json');
  const { paths } = body as { paths: Record<string, Record<string, { security?: unknown[]; description: string }>> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security, description }]) => ({
      method: method.toUpperCase() as Route['method'],
      path,
      open: security?.length === 0,
      description,
    })),
  );
};

/** Values of `other` for each parameter by its name, and any that an id could be. */
const IDS = [
  `trk_${OTHER}`,
  `car_${OTHER}`,
  OTHER,
  NUMBER,
  `flw_${OTHER}`,
  `car_${OTHER}/GB/${OTHER}`,
  `${OTHER}-admin`,
  `${OTHER}-ip`,
  `${OTHER}-cred`,
  `${OTHER}-dest`,
  `${OTHER}-num`,
];

/** Every way to put a foreign id into the path: as the account, or within one's own. */
const urlsOf = (path: string): string[] => {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string);
  if (names.length === 0) return [path];
  const fill = (value: (name: string, last: boolean) => string): string =>
    path.replace(/\{(\w+)\}/g, (_whole, name: string) =>
      encodeURIComponent(value(name, name === names[names.length - 1])),
    );
  const isAccount = (name: string): boolean => /^(sid|account_?sid)$/i.test(name);
  const urls = new Set<string>();
  for (const id of IDS) {
    urls.add(fill((name, last) => (isAccount(name) ? OTHER : last ? id : `trk_${OTHER}`)));
    urls.add(fill((name, last) => (isAccount(name) && !last ? 'acme' : last ? id : `trk_${OTHER}`)));
    urls.add(fill((name, last) => (isAccount(name) && !last ? 'acme' : last ? id : 'trk_acme')));
  }
  return [...urls];
};

const setUp = async (t: Test, listen?: string): Promise<AdminRig> => {
  const rig = await adminRig(DOCUMENT, listen, {
    // The other account has a live call, and calls can be placed and ended.
    liveCall: (callId) => (callId === OTHER ? { callId, accountSid: OTHER } : undefined),
    originate: () => ok({ callId: 'new', decision: callRecord({}).decision }),
    hangUp: (callId) => {
      t.notMatch(callId, OTHER);
      return false;
    },
  });
  t.teardown(() => rig.close());
  return rig;
};

const bodyFor = ({ method }: Route): { body?: unknown } =>
  method === 'GET' || method === 'DELETE' ? {} : { body: {} };

t.test('the document names every route, and is whole without the network', async (t) => {
  const rig = await setUp(t);
  const routes = await routesOf(rig);
  t.ok(routes.length > 40, `${routes.length} routes`);
  const index = (await rig.ask('GET', '/', { as: 'ops-admin:t' })).body as {
    routes: { method: string; path: string }[];
  };
  const told = new Set(routes.map((route) => `${route.method} ${route.path}`));
  const left = index.routes
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
    .filter((line) => !told.has(line) && !/ \/(docs.*)?$/.test(line));
  t.same(left, [], 'all but the index and the document itself');
  const page = await rig.ask('GET', '/docs');
  t.match(page.headers['content-type'], /html/);
  t.notMatch(page.text, /https?:\/\//, 'nothing from elsewhere');
  t.equal((await rig.ask('GET', '/docs/page.js')).status, 200);
});

t.test('off loopback every route refuses who brings no credentials, or wrong ones', async (t) => {
  const rig = await setUp(t);
  let source = 0;
  for (const route of await routesOf(rig)) {
    if (route.open) continue;
    for (const url of urlsOf(route.path).slice(0, 2)) {
      for (const as of [undefined, 'acme-admin:wrong', `${OTHER}-admin:`]) {
        const from = `198.51.${Math.floor(++source / 250)}.${source % 250}`;
        const refused = await rig.ask(route.method, url, { ...bodyFor(route), as, from });
        t.equal(refused.status, 401, `${route.method} ${url}`);
        t.match(refused.headers['www-authenticate'], /^Basic/);
        t.notMatch(refused.text, /zebra corp|hush/);
        if (url.startsWith('/v1')) t.not(refused.text, '', 'in words');
        else t.match(refused.body, url.startsWith('/v2') ? { http_code: 401 } : { error: { remedy: /./ } });
      }
    }
  }
  t.equal(rig.document.revision, '0');
});

t.test('on loopback the APIs of other programs ask for a key, too', async (t) => {
  const rig = await setUp(t, '127.0.65.1:31081');
  for (const route of await routesOf(rig)) {
    if (!/^\/v[12]\//.test(route.path)) continue;
    const refused = await rig.ask(route.method, urlsOf(route.path)[0] as string, {
      ...bodyFor(route),
      headers: { host: '127.0.65.1:31081' },
    });
    t.equal(refused.status, 401, `${route.method} ${route.path}`);
  }
});

t.test('a read key writes nothing, and operators alone see the node', async (t) => {
  const rig = await setUp(t);
  for (const route of await routesOf(rig)) {
    if (route.open) continue;
    for (const url of urlsOf(route.path).slice(0, 3)) {
      const asRead = await rig.ask(route.method, url, { ...bodyFor(route), as: 'acme-read:t' });
      if (!/Scope: read|Operators/.test(route.description)) t.equal(asRead.status, 403, `${route.method} ${url}`);
      if (!/Operators/.test(route.description)) continue;
      for (const as of ['acme-admin:t', 'ops-read:t', 'ops-write:t']) {
        t.equal(
          (await rig.ask(route.method, url, { ...bodyFor(route), as })).status,
          403,
          `${as} ${route.method} ${url}`,
        );
      }
    }
  }
  t.equal(rig.document.revision, '0', 'nothing was published');
});

t.test("an account's key learns nothing of another account's resources, and changes none", async (t) => {
  const rig = await setUp(t);
  const answers = new Map<string, string>();
  for (const route of await routesOf(rig)) {
    if (route.open) continue;
    for (const url of urlsOf(route.path)) {
      // A minute for each: limits of requests are another test's matter.
      rig.clock.advance(61_000);
      const asked = await rig.ask(route.method, url, { ...bodyFor(route), as: 'acme-admin:t' });
      const line = `${route.method} ${url} ${asked.status}`;
      // What the question itself says may be said back.
      const learnt = asked.text.replaceAll(decodeURIComponent(url), '').replace(/zebra (pbx|corp|desk|telco)/g, 'LEAK');
      if (/LEAK|hush|zebra\.pstn/.test(learnt)) t.fail(`${line}: ${asked.text}`);
      t.ok(asked.status < 500, line);
      // Whether something is there makes no difference to the answer.
      const absent = url
        .replaceAll(OTHER, 'zebrb')
        .replaceAll(encodeURIComponent(NUMBER), encodeURIComponent('+447000000098'));
      if (absent === url || route.path.startsWith('/api/explain')) continue;
      rig.clock.advance(61_000);
      const nothing = await rig.ask(route.method, absent, { ...bodyFor(route), as: 'acme-admin:t' });
      answers.set(line, `${nothing.status}`);
      t.equal(asked.status, nothing.status, `${line}, and ${nothing.status} where nothing is: ${asked.text}`);
    }
  }
  t.ok(answers.size > 100, `${answers.size} questions`);
  const untouched = rig.control.directory();
  t.match(untouched.trunk(`trk_${OTHER}`), { ...other.trunk, phone_numbers: undefined });
  t.match(untouched.number(NUMBER), { trunk_sid: `trk_${OTHER}` });
  t.same(rig.errors, []);
});

t.test('whole and well-formed changes of what is not theirs are refused as if it were not there', async (t) => {
  const rig = await setUp(t);
  const put = (url: string, body: unknown) => rig.ask('PUT', url, { as: 'acme-admin:t', body });
  const number = encodeURIComponent(NUMBER);
  const attempts: [string, Promise<{ status: number }>][] = [
    ['takes a trunk', put(`/api/trunks/trk_${OTHER}`, { trunk_name: 'mine' })],
    ['gives a trunk away', put('/api/trunks/trk_acme', { trunk_name: 'x', account_sid: OTHER })],
    ['takes a number', put(`/api/numbers/${number}`, { trunk_sid: 'trk_acme', mode: 'pstn' })],
    ['puts a number into it', put('/api/numbers/%2B447000000077', { trunk_sid: `trk_${OTHER}`, mode: 'pstn' })],
  ];
  const transaction = (...changes: unknown[]) =>
    rig.ask('POST', '/api/revisions', { as: 'acme-admin:t', body: { changes } });
  attempts.push(
    ['deletes in a transaction', transaction({ delete: 'phone_number', id: NUMBER })],
    ['makes an account', transaction({ put: 'account', value: { sid: 'new', api_keys: [{ key: 'k', token: 't' }] } })],
    ['raises its limits', transaction({ put: 'account', value: { sid: 'acme', limits: { concurrent_calls: 9 } } })],
    ['makes a carrier', transaction({ put: 'carrier', value: { id: 'mine', kind: 'byo', account_sid: 'acme' } })],
    ['writes a flow', transaction({ put: 'flow', value: { id: 'f', start: 'e', nodes: { e: { applet: 'hangup' } } } })],
    [
      'sets a price',
      transaction({ put: 'network_group', value: { carrier: 'shared', country_iso: 'GB', name: 'x', prefixes: [] } }),
    ],
  );
  for (const [name, attempt] of attempts) t.equal((await attempt).status, 404, name);
  const carrier = await put('/api/numbers/%2B447000000001', {
    trunk_sid: 'trk_acme',
    mode: 'pstn',
    carrier: `car_${OTHER}`,
  });
  const missing = await put('/api/numbers/%2B447000000001', {
    trunk_sid: 'trk_acme',
    mode: 'pstn',
    carrier: 'car_none',
  });
  t.equal(carrier.status, 422);
  t.equal(carrier.text.replaceAll(`car_${OTHER}`, 'car_none'), missing.text, 'carriers of others do not exist');
  const [flow, none] = [`flw_${OTHER}`, 'flw_none'].map((id) =>
    put('/api/numbers/%2B447000000001', { trunk_sid: 'trk_acme', mode: 'flow', flow: id }),
  ) as [ReturnType<typeof put>, ReturnType<typeof put>];
  t.equal((await flow).text.replaceAll(`flw_${OTHER}`, 'flw_none'), (await none).text, 'nor do flows');
  t.equal(rig.document.revision, '0');
});
