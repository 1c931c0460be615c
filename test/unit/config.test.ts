import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { DocumentSchema, validateDocument } from '../../src/call/routing/schema.js';
import {
  ConfigError,
  type ConfigProblem,
  type ConfigSources,
  assertSafeExposure,
  configKeys,
  isLoopbackHost,
  loadConfig,
  configSchema,
  publishedSchema,
  redactedConfig,
  clusterListener,
  sipListeners,
  splitArguments,
  variableOf,
} from '../../src/config/index.js';

const load = (sources: Partial<ConfigSources> = {}) => loadConfig({ env: {}, flags: [], ...sources });

const problemsOf = (sources: Partial<ConfigSources>): readonly ConfigProblem[] => {
  try {
    load(sources);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

const withFile = (test: Test, yaml: string): string => {
  const folder = test.testdir({ 'tandem.yaml': yaml });
  return join(folder, 'tandem.yaml');
};

t.test('without any source there are defaults, complete and frozen', async (t) => {
  const config = load();
  t.same(config.sip.listen, ['udp://127.0.0.1:5060', 'tcp://127.0.0.1:5060']);
  t.equal(config.sip.engine, 'embedded');
  t.equal(config.admin.listen, '127.0.0.1:8080');
  t.equal(config.calls.maxSetupMs, 60_000);
  t.same(config.calls.failover, {}, 'rules over the built-in ones: none');
  t.same(config.store, { kind: 'file', path: resolve('routing.yaml') });
  t.equal(config.cdr.path, resolve('var/cdr'));
  t.match(config.node.id, /^[A-Za-z0-9._-]+$/);
  t.ok(Object.isFrozen(config) && Object.isFrozen(config.sip.listen) && Object.isFrozen(config.calls.failover));
});

t.test('flags win over the environment, the environment over the file', async (t) => {
  const file = withFile(t, 'calls: { maxSetupMs: 1000, silenceTimeoutMs: 1000, maxCalls: 1 }');
  const config = load({
    file,
    env: { TANDEM_CALLS_MAX_SETUP_MS: '2000', TANDEM_CALLS_SILENCE_TIMEOUT_MS: '2000', PATH: '/bin' },
    flags: ['--calls.maxSetupMs', '3000'],
  });
  t.equal(config.calls.maxSetupMs, 3000);
  t.equal(config.calls.silenceTimeoutMs, 2000);
  t.equal(config.calls.maxCalls, 1);
});

t.test('text is read by the type of its key', async (t) => {
  const config = load({
    env: {
      TANDEM_SIP_LISTEN: 'udp://127.0.33.1:13000, tcp://[::1]:13000',
      TANDEM_CDR_ROTATE_DAILY: 'false',
      TANDEM_NODE_ID: '12',
      TANDEM_MEDIA_RTP_PORTS: '30000,30100',
      TANDEM_CALLS_DEFAULT_COUNTRY_CODE: '91',
    },
    flags: ['--set', 'headers.pass=["X-One","P-*"]', '--set', 'calls.failover.486=next', '--log.level=debug'],
  });
  t.same(sipListeners(config), [
    { transport: 'udp', host: '127.0.33.1', port: 13000, advertise: undefined, localNets: [] },
    { transport: 'tcp', host: '::1', port: 13000, advertise: undefined, localNets: [] },
  ]);
  t.equal(config.cdr.rotateDaily, false);
  t.equal(config.node.id, '12');
  t.same(config.media.rtpPorts, [30000, 30100]);
  t.equal(config.calls.defaultCountryCode, '91');
  t.same(config.headers.pass, ['X-One', 'P-*']);
  t.same(config.calls.failover, { 486: 'next' });
  t.equal(config.log.level, 'debug');
});

t.test('another kind of store replaces the one below it whole', async (t) => {
  const file = withFile(t, 'store: { kind: file, path: ./r.yaml }');
  t.same(load({ file }).store, { kind: 'file', path: join(file, '../r.yaml') });
  const { store } = load({ file, env: { TANDEM_STORE_KIND: 'redis', TANDEM_STORE_URL: 'redis://127.0.33.1' } });
  t.match(store, { kind: 'redis', url: 'redis://127.0.33.1', prefix: 'tandem:' });
  t.equal(store.kind === 'redis' && store.snapshotPath, resolve('var/routing.snapshot.ndjson'));
  t.match(problemsOf({ flags: ['--store.kind', 'redis'] }), [{ path: 'store', rule: 'required' }]);
  t.match(problemsOf({ flags: ['--store.kind', 'rediss'] }), [{ path: 'store', rule: 'discriminator' }]);
});

t.test('relative paths start at the file, or at the working directory when not from a file', async (t) => {
  const file = withFile(t, 'store: { kind: file, path: ./r.yaml }\ncdr: { path: ../cdr }');
  t.equal(load({ file }).cdr.path, resolve(file, '../../cdr'));
  t.equal(load({ file, flags: ['--cdr.path', 'here'] }).cdr.path, resolve('here'));
  t.equal(load({ env: { TANDEM_CONFIG: file } }).cdr.path, resolve(file, '../../cdr'));
});

t.test('unknown keys name the nearest one and the line they stand on', async (t) => {
  const file = withFile(t, 'sip:\n  lisen: []\ncalls:\n  maxsetupms: 3\nlevel: info\nrouting: {}\n');
  t.match(problemsOf({ file }), [
    { path: 'level', rule: 'unknown_key', remedy: 'did you mean log.level?', where: `${file}:5` },
    { path: 'routing', remedy: /store\.path/ },
    { path: 'sip.lisen', remedy: 'did you mean sip.listen?', where: `${file}:2` },
    { path: 'calls.maxsetupms', remedy: 'did you mean calls.maxSetupMs?', where: `${file}:4` },
  ]);
  t.match(problemsOf({ env: { TANDEM_SIP_LISTENS: 'x' } }), [{ remedy: 'did you mean TANDEM_SIP_LISTEN?' }]);
  t.match(problemsOf({ flags: ['--sip.lsiten', 'x'] }), [{ remedy: 'did you mean --sip.listen?' }]);
  t.match(problemsOf({ flags: ['--set', 'x'] }), [{ rule: 'flag_form' }]);
  t.same(problemsOf({ env: { TANDEM_SERVICE_HOST: 'x', TANDEM_SIP_PORT_5060_UDP_ADDR: 'x' } }), []);
});

t.test('all problems are told at once, each with rule and remedy', async (t) => {
  const file = withFile(
    t,
    'calls: { maxSetupMs: soon, unlistedSources: maybe, failover: { 503: skip } }\nlog: { level: loud }',
  );
  const problems = problemsOf({ file });
  t.same(problems.map((p) => p.path).sort(), [
    'calls.failover.503',
    'calls.maxSetupMs',
    'calls.unlistedSources',
    'log.level',
  ]);
  for (const p of problems) t.ok(p.rule !== '' && p.remedy !== '' && p.where?.startsWith(file), p.path);
  t.match(problems.find((p) => p.path === 'log.level')?.remedy, /silent.*info/);
});

t.test(
  'listeners for TLS need a certificate, whose paths start at the file; nonsense is refused by its form',
  async (t) => {
    const refuse = (listen: string) => problemsOf({ flags: ['--sip.listen', listen] })[0];
    for (const transport of ['tls', 'wss']) {
      t.match(refuse(`${transport}://127.0.0.1:5061`), { path: 'sip.tls.certificates', rule: 'certificate_present' });
    }
    t.same(problemsOf({ flags: ['--sip.listen', 'ws://127.0.0.1:5066'] }), []);
    const tls = '{ certificates: [{ certificate: a.pem, key: keys/a.key }], authorities: /etc/ca.pem }';
    const file = withFile(t, `sip: { listen: ["tls://127.0.0.1:5061"], tls: ${tls} }`);
    t.same(load({ file }).sip.tls, {
      certificates: [{ certificate: resolve(file, '../a.pem'), key: resolve(file, '../keys/a.key') }],
      authorities: '/etc/ca.pem',
      clientCertificates: false,
    });
    for (const bad of [
      'sctp://1.1.1.1:1',
      '127.0.0.1:5060',
      'udp://localhost:5060',
      'udp://127.0.0.1',
      'udp://::1:5060',
    ]) {
      t.match(refuse(bad), { rule: 'listen_uri', path: 'sip.listen.0' }, bad);
    }
    t.match(refuse('udp://127.0.0.1:99999'), { rule: 'listen_uri' });
  },
);

t.test('a wildcard address needs a name that peers are told', async (t) => {
  const flags = ['--sip.listen', 'udp://0.0.0.0:5060'];
  t.match(problemsOf({ flags }), [{ rule: 'reachable_address', path: 'sip.listen.0' }]);
  const advertise = (told: string) => [...flags, '--set', `sip.advertise={"udp://0.0.0.0:5060": "${told}"}`];
  t.same(sipListeners(load({ flags: advertise('sip.example.com:5070') }))[0]?.advertise, {
    host: 'sip.example.com',
    port: 5070,
  });
  t.match(problemsOf({ flags: advertise('a b') }), [{ rule: 'host' }]);
  t.match(problemsOf({ flags: ['--set', 'sip.advertise={"udp://1.2.3.4:5060": "x"}'] }), [{ rule: 'listener_exists' }]);
  const nets = (text: string) => ['--set', `sip.localNets=${text}`];
  t.same(sipListeners(load({ flags: nets('["10.0.0.0/8", "fd00::/8"]') }))[0]?.localNets, ['10.0.0.0/8', 'fd00::/8']);
  t.match(problemsOf({ flags: nets('["10.0.0.0/33"]') }), [{ rule: 'network' }]);
  t.match(problemsOf({ flags: [...advertise('203.0.113.5'), ...nets('["10.0.0.0/8"]')] }), [{ rule: 'inner_address' }]);
});

t.test('other nodes are heard at a port of its own, on Redis, by the embedded engine', async (t) => {
  const redis = ['--store.kind', 'redis', '--store.url', 'redis://127.0.0.1:6379'];
  const at = (listen: string, more = redis) => ({ flags: [...more, '--sip.cluster.listen', listen] });
  t.equal(clusterListener(load({ flags: redis })), undefined, 'off, unless it is asked for');
  t.same(clusterListener(load(at('tcp://10.0.0.1:5070'))), { transport: 'tcp', host: '10.0.0.1', port: 5070 });
  for (const [listen, rule] of [
    ['10.0.0.1:5070', 'listen_uri'],
    ['tls://10.0.0.1:5070', 'transport'],
    ['tcp://0.0.0.0:5070', 'reachable_address'],
    ['udp://10.0.0.1:0', 'reachable_address'],
    ['udp://127.0.0.1:5060', 'own_port'],
  ] as const) {
    t.match(problemsOf(at(listen)), [{ rule, path: 'sip.cluster.listen' }], listen);
  }
  t.match(problemsOf(at('tcp://10.0.0.1:5070', [])), [{ rule: 'store' }]);
  t.match(problemsOf(at('tcp://10.0.0.1:5070', [...redis, '--sip.engine', 'drachtio'])), [{ rule: 'engine' }]);
});

t.test('rules between keys', async (t) => {
  t.match(problemsOf({ flags: ['--drachtio.listen', '127.0.0.1:9022'] }), [{ path: 'drachtio.secret' }]);
  const tlsAlone = { flags: ['--drachtio.tlsListen', '127.0.0.1:9023'] };
  t.match(problemsOf(tlsAlone), [{ path: 'drachtio.tlsListen', message: /needs drachtio.listen/ }]);
  const noCertificate = ['--drachtio.listen', '127.0.0.1:9022', '--drachtio.secret', 's', ...tlsAlone.flags];
  t.match(problemsOf({ flags: noCertificate }), [
    { path: 'drachtio.tlsListen', message: /needs sip.tls.certificates/ },
  ]);
  t.match(problemsOf({ flags: ['--admin.listen', '8080'] }), [{ path: 'admin.listen', rule: 'host_port' }]);
  t.match(problemsOf({ flags: ['--set', 'calls.failover.77=next'] }), [{ rule: 'failover_key' }]);
  t.match(problemsOf({ flags: ['--media.rtpPorts', '2000,1999'] }), [{ rule: 'port_range' }]);
  const freeswitch = (more: object) => [
    ...['--media.engine', 'freeswitch', '--set'],
    `media.freeswitch=${JSON.stringify([{ address: '127.0.0.1', secret: 's', ...more }])}`,
  ];
  t.match(problemsOf({ flags: ['--media.engine', 'freeswitch'] }), [{ rule: 'media_server_named' }]);
  t.match(problemsOf({ flags: freeswitch({ listenAddress: 'here' }) }), [{ rule: 'numeric_address' }]);
  t.match(problemsOf({ flags: [...freeswitch({}), '--media.recordingsPath', '/var/${x}'] }), [{ rule: 'plain_path' }]);
  t.match(load({ flags: freeswitch({}) }).media.freeswitch, [{ port: 8021, profile: 'drachtio_mrf' }]);
  t.match(redactedConfig(load({ flags: freeswitch({}) })), { media: { freeswitch: [{ secret: /^\*+$/ }] } });
});

t.test('a file that is missing or is no YAML says so', async (t) => {
  t.match(problemsOf({ file: '/nowhere/x.yaml' }), [{ path: '/nowhere/x.yaml', rule: 'file_readable' }]);
  t.match(problemsOf({ file: withFile(t, 'a: [') }), [{ rule: 'yaml', message: /line 1/ }]);
  writeFileSync(join(t.testdirName, 'tandem.yaml'), '- 1');
  t.match(problemsOf({ file: join(t.testdirName, 'tandem.yaml') }), [{ rule: 'type' }]);
});

t.test('each key has one variable and a description', async (t) => {
  const variables = [...configKeys.keys()].map(variableOf);
  t.equal(new Set(variables).size, variables.length);
  t.ok(variables.includes('TANDEM_CALLS_MAX_SETUP_MS') && variables.includes('TANDEM_SIP_DRACHTIO_PORT'));
});

t.test('arguments of a command are told apart from configuration', async (t) => {
  t.same(
    splitArguments([
      '--config',
      'a.yaml',
      '--from',
      '1.2.3.4',
      '--sip.listen',
      'x',
      '--set',
      'a.b=c',
      '--log.level=info',
      'go',
    ]),
    {
      file: 'a.yaml',
      flags: ['--sip.listen', 'x', '--set', 'a.b=c', '--log.level=info'],
      rest: ['--from', '1.2.3.4', 'go'],
    },
  );
});

t.test('secrets do not show', async (t) => {
  const config = load({
    flags: ['--sip.drachtio.secret', 'hush', '--store.kind=redis', '--store.url=redis://user:pa:ss@h:1/0'],
  });
  const text = JSON.stringify(redactedConfig(config));
  t.notMatch(text, /hush|pa:ss/);
  t.match(redactedConfig(config), { store: { url: 'redis://user:********@h:1/0' }, sip: { engine: 'embedded' } });
});

t.test('demonstration credentials and an open administration exclude each other', async (t) => {
  const demo = { accounts: [{ sid: 'demo', api_keys: [{ key: 'demo', token: 'demo' }] }] };
  const other = { accounts: [{ sid: 'demo', api_keys: [{ key: 'demo', token: 'long-and-random' }] }, { sid: 'x' }] };
  const at = (listen: string) => load({ flags: ['--admin.listen', listen] });
  for (const open of ['0.0.0.0:8080', '[::]:8080', '192.0.2.1:8080', 'tandem.example:8080']) {
    t.throws(() => assertSafeExposure(at(open), demo), { code: 'demo_credentials_exposed' }, open);
    t.doesNotThrow(() => assertSafeExposure(at(open), other));
  }
  for (const local of ['127.0.0.1:8080', '127.9.9.9:1', '[::1]:8080', 'localhost:8080', '[::ffff:127.0.0.1]:80']) {
    t.doesNotThrow(() => assertSafeExposure(at(local), demo), local);
  }
  t.notOk(isLoopbackHost('1271.example') || isLoopbackHost('127.0.0.1.example.com') || isLoopbackHost('::2'));
});

t.test('the shipped files are valid, and the schemas beside them fresh', async (t) => {
  const demo = load({ file: 'config/demo.yaml' });
  t.same(
    sipListeners(demo).map((l) => `${l.transport}/${l.host}:${l.port}`),
    ['udp/127.0.0.1:5060', 'tcp/127.0.0.1:5060'],
  );
  t.match(demo, { admin: { listen: '127.0.0.1:8080' }, store: { path: resolve('config/demo.routing.yaml') } });
  t.equal(demo.cdr.path, resolve('var/cdr'));
  const document = parse(readFileSync('config/demo.routing.yaml', 'utf8')) as { accounts: [] };
  t.doesNotThrow(() => assertSafeExposure(demo, document));
  t.match(load({ file: 'config/production.example.yaml' }), { node: { id: 'edge-1' }, store: { kind: 'redis' } });
  for (const [name, title, schema] of [
    ['tandem', 'Tandem configuration', configSchema],
    ['routing', 'Tandem routing document', DocumentSchema],
  ] as const) {
    const written: unknown = JSON.parse(readFileSync(`config/${name}.schema.json`, 'utf8'));
    t.same(written, JSON.parse(JSON.stringify(publishedSchema(title, schema))), 'run: npm run schemas');
  }
  t.match(validateDocument(document), { ok: true });
});
