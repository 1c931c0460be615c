/** Bodies and addresses of requests to the three faces of the administration: whatever comes, no answer is a 500. */
import { type AdminRig, adminRig } from '../../support/adminRig.js';
import { Dice } from '../dice.js';
import { type Target, expect, show } from '../target.js';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A route of a face, and how its body is written. */
interface Door {
  readonly method: Method;
  readonly url: string;
  readonly form?: true;
}

/** What stands in paths, by the name of its place; others get the account. */
const IN_PATHS: { readonly [name: string]: string } = {
  account_sid: 'demo',
  sid: 'trk_1',
  trunk_sid: 'trk_1',
  id: 'trk_1',
  kind: 'trunks',
  number: '+918040000001',
};

/** Every route of the three faces that reads a body, as the API describes itself. */
const doorsOf = async (rig: AdminRig): Promise<Door[]> => {
  const described = await rig.ask('GET', '/docs/openapi.json', { as: 'demo:t' });
  const { paths } = described.body as {
    readonly paths: { readonly [path: string]: { readonly [method: string]: object } };
  };
  const doors: Door[] = [];
  for (const [path, methods] of Object.entries(paths)) {
    const url = path.replaceAll(/\{([^}]+)\}/g, (_, name: string) => encodeURIComponent(IN_PATHS[name] ?? 'demo'));
    for (const name of Object.keys(methods)) {
      const method = name.toUpperCase() as Method;
      if (method !== 'GET') doors.push({ method, url, ...(url.startsWith('/v1/Accounts') ? { form: true } : {}) });
    }
  }
  return doors;
};

const ip = { ip: '192.0.2.1', mask: 32 };
const SEEDS: readonly object[] = [
  {
    trunk_sid: 'trk_1',
    account_sid: 'demo',
    trunk_name: 'pbx',
    whitelisted_ips: [ip],
    destination_uris: [{ destination: '192.0.2.2:5060;transport=udp', priority: 0, weight: 1 }],
    phone_numbers: [{ phone_number: '+918040000001', mode: 'pstn', carrier: 'telco' }],
    limits: { calls_per_second: 1, concurrent_calls: 2 },
    settings: { trunk_external_alias: '+918040000001' },
  },
  { id: 'telco', kind: 'byo', source_acl: [ip], gateways: [{ uri: 'sip:192.0.2.3', priority: 0, weight: 1 }] },
  { id: 'flw_1', start: 'a', nodes: { a: { applet: 'hangup' } } },
  { from: '+918040000001', to: '+919812345678', flow: 'flw_1', custom: { a: 'b' } },
  { source_ip: '192.0.2.1', called_number: '+918040000001', calling_number: '+1', transport: 'udp' },
  { trunk_name: 'x', nso_code: 'ANY-ANY', domain_name: 'x.pstn.example' },
  { ips: [ip], ip: '192.0.2.1', mask: 32, destinations: [{ destination: '192.0.2.1:5060' }] },
  { user_name: 'u', password: 'p', settings: [{ name: 'trunk_external_alias', value: '+918040000001' }] },
  { From: '+1', CallerId: '+918040000001', Url: 'https://my.exotel.com/demo/exoml/start_voice/flw_1' },
  {
    phone_number: '+918040000001',
    mode: 'flow',
    flow: 'flw_1',
    agent_id: null,
    nickname: 'n',
    termination_uri: 'a.example',
  },
];

const WORDS = [
  ...['account_sid', 'trunk_name', 'whitelisted_ips', 'destination_uris', 'phone_numbers', 'credentials', 'limits'],
  ...[
    'null',
    '[]',
    '{}',
    '-1',
    '1e400',
    '0.1',
    '""',
    'true',
    '__proto__',
    'constructor',
    'toString',
    '\\u0000',
    '\\ud800',
  ],
  ...['%00', '%', '../', 'sip:', '0.0.0.0/0', '::', '+', '9'.repeat(40), '(((', '[[[', ';', '&', '='],
];

const DOCUMENT = {
  accounts: [{ sid: 'demo', api_keys: [{ key: 'demo', token: 't' }] }],
  carriers: [SEEDS[1]],
  trunks: [SEEDS[0]],
  flows: [],
};

/** One for the whole run; a write changes it, which is part of the game. */
let opened: Promise<{ readonly rig: AdminRig; readonly doors: readonly Door[] }> | undefined;

const open = async (): Promise<{ readonly rig: AdminRig; readonly doors: readonly Door[] }> => {
  const rig = await adminRig(DOCUMENT, '192.0.2.65:31000', {
    originate: () => ({ ok: false, error: 'flow_unknown' }),
    liveCall: () => undefined,
    hangUp: () => false,
  });
  const doors = await doorsOf(rig);
  if (doors.length < 20) throw new Error(`only ${doors.length} routes to knock at`);
  return { rig, doors };
};

const hashOf = (input: Buffer): number => input.reduce((hash, octet) => (Math.imul(hash, 31) + octet) >>> 0, 7);

export const apiTarget: Target = {
  name: 'api',
  kind: 'json',
  covers: ['/src/admin/', '/src/control/'],
  words: WORDS,
  maxBytes: 16_000,
  seeds: () => SEEDS.map((seed) => Buffer.from(JSON.stringify(seed))),
  run: async (input) => {
    const { rig, doors } = await (opened ??= open());
    const dice = new Dice(hashOf(input));
    const door = dice.pick(doors);
    const body = input.toString('utf8');
    const odd = input.length % 16 === 0;
    const url = odd ? `${door.url}/${encodeURIComponent(input.toString('latin1', 0, 40))}` : door.url;
    const type = door.form === true || odd ? 'application/x-www-form-urlencoded' : 'application/json';
    // Whoever asks too often is told so, which says nothing of the body: each asks from a place of its own.
    const from = `198.51.${dice.below(200)}.${dice.below(250)}`;
    rig.clock.advance(1000);
    const answer = await rig.ask(door.method, url, { as: 'demo:t', body, headers: { 'content-type': type }, from });
    const detail = (): string => `${door.method} ${url} ${answer.status} ${show(answer.text)} for ${show(input)}`;
    expect(answer.status < 500 || answer.status === 501 || answer.status === 503, 'api-5xx', detail);
    expect(rig.errors.length === 0, 'api-error', () => `${String(rig.errors[0])} ${detail()}`);
    expect(!/\n\s+at /.test(answer.text), 'api-stack', detail);
  },
};
