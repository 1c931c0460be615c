/** Whatever is sent to Exotel's trunk API, it answers in its envelope, and never with 500. */
import fc from 'fast-check';
import t from 'tap';
import { validateResource } from '../../src/call/routing/schema.js';
import { exotelRig } from '../support/exotelRig.js';

/** Half of a surrogate pair cannot be written in a URL. */
const escaped = (text: string): string => encodeURIComponent(text.replace(/\p{Surrogate}/gu, '?'));

/** `{trunk}` becomes a trunk that is there when the request is made. */
const id = fc.oneof(
  fc.constantFrom('{trunk}', 'trk_rival', '1', '', '..', '%2e%2e', '%00', "' or 1=1", '%F0%9F%92%A9', '__proto__'),
  fc.string({ maxLength: 30 }).map(encodeURIComponent),
);
const list = fc.constantFrom(
  'phone-numbers',
  'whitelisted-ips',
  'destination-uris',
  'credentials',
  'settings',
  'other',
);
const path = fc.oneof(
  fc.constant('trunks'),
  id.map((sid) => `trunks/${sid}`),
  fc.tuple(id, list).map(([sid, name]) => `trunks/${sid}/${name}`),
  list.map((name) => `trunks/{trunk}/${name}`),
  fc.tuple(list, id).map(([name, entry]) => `trunks/{trunk}/${name}/${entry}`),
  fc.constantFrom('trunk-maps', '/v2', '/v2/', '/v2/accounts', '/v2/accounts/', '/v2/accounts//trunks', '/v2//'),
);
const word = fc.oneof(
  fc.constantFrom(
    '+919876543210',
    '192.0.2.9',
    '2001:db8::1',
    '44.1.1.1:5060;transport=tls',
    'pbx.example.com',
    'flow',
  ),
  fc.constantFrom('ANY-ANY', 'trunk_external_alias', 'limits', 'media', 'pstn', '__proto__', 'constructor', '\u0000'),
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 10 }),
);
const query = fc.oneof(
  fc.constant(''),
  fc
    .array(fc.tuple(fc.constantFrom('id', 'trunk_sid', 'page_size', 'offset', 'exophone', 'name'), word), {
      minLength: 1,
      maxLength: 3,
    })
    .map((pairs) => `?${pairs.map(([name, value]) => `${name}=${escaped(value)}`).join('&')}`),
);
const NAMES = [
  ...['trunk_name', 'nso_code', 'domain_name', 'auth_type', 'status', 'phone_number', 'mode', 'flow', 'carrier'],
  ...['ip', 'mask', 'friendly_name', 'destinations', 'destination', 'priority', 'weight', 'user_name', 'password'],
  ...['settings', 'name', 'value', 'limits', 'failover', 'media', 'country_code', 'caller_id', 'spend_per_day'],
];
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    word,
    fc.double(),
    fc.integer({ min: -1, max: 200 }),
    fc.constantFrom(null, true, 'x'.repeat(5000)),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 5 }),
  ),
}));
/** Requests that come close to what is wanted, so that the work behind the first checks is met too. */
const onTrunk = (name: string, wanted: fc.Arbitrary<unknown>) =>
  fc.tuple(fc.constant('POST'), fc.constant(`trunks/{trunk}/${name}`), fc.constant(''), wanted);
const close = fc.oneof(
  fc.tuple(
    fc.constant('POST'),
    fc.constant('trunks'),
    fc.constant(''),
    fc.record({ trunk_name: fc.stringMatching(/^[a-z_]{1,16}$/) }),
  ),
  onTrunk(
    'phone-numbers',
    fc.record({ phone_number: fc.stringMatching(/^\+9[0-9]{9,13}$/), mode: fc.constantFrom('pstn', 'flow', null) }),
  ),
  onTrunk('whitelisted-ips', fc.record({ ip: fc.oneof(fc.ipV4(), fc.ipV6()), mask: fc.integer({ min: 0, max: 128 }) })),
  onTrunk(
    'destination-uris',
    fc.record({
      destinations: fc.array(
        fc.record({ destination: fc.oneof(fc.domain(), fc.ipV4(), word), weight: fc.integer({ min: -1, max: 9 }) }),
      ),
    }),
  ),
  onTrunk('credentials', fc.record({ user_name: word, password: word, friendly_name: word })),
  onTrunk('settings', fc.record({ settings: fc.array(fc.record({ name: fc.constantFrom(...NAMES), value })) })),
);
const body = fc.oneof(fc.constant(undefined), value, fc.string({ maxLength: 40 }));
const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS');
const request = fc.oneof(fc.tuple(method, path, query, body), close);

// On a busy machine.
t.setTimeout(110_000);

await t.test('no input makes a 500, and every answer has the one form', async (t) => {
  const { ask, clock, errors, directory } = await exotelRig(t);
  let changed = 0;
  await fc.assert(
    fc.asyncProperty(request, async ([verb, where, asked, sent]) => {
      clock.advance(1000);
      const before = directory().revision;
      const payload = verb === 'GET' || verb === 'HEAD' ? undefined : sent;
      const [trunk] = directory().trunksOf('acme');
      const there = where.replace('{trunk}', trunk?.trunk_sid ?? 'none');
      const answer = await ask(verb, `${there}${asked}`, payload);
      if (directory().revision !== before) changed++;
      if (answer.status >= 500) throw new Error(`${answer.status}: ${answer.text} ${String(errors[0])}`);
      if (verb === 'HEAD') return;
      const { request_id, http_code, response } = answer.json as Record<string, unknown>;
      if (!/^[0-9a-f]{32}$/.test(String(request_id))) throw new Error(`no request id: ${answer.text}`);
      if (http_code !== answer.status) throw new Error(`http_code ${String(http_code)}, but ${answer.status}`);
      for (const item of [response].flat() as { code: number; status: string; data: unknown; error_data: unknown }[]) {
        const failed = item.status === 'failure';
        if (failed !== (item.data === null) || failed !== (item.error_data !== null) || failed !== item.code >= 400)
          throw new Error(`neither success nor failure: ${answer.text}`);
      }
      if (answer.text.includes('hidden')) throw new Error('a password was shown');
    }),
    { numRuns: 800 },
  );
  t.same(errors, []);
  t.ok(changed > 100, `${changed} requests changed something`);
  const rival = directory().trunk('trk_rival');
  t.match(rival, { trunk_name: 'theirs', whitelisted_ips: [] }, 'what belongs to others is as it was');
  for (const trunk of directory().trunksOf('acme')) {
    const checked = validateResource({ type: 'trunk', value: structuredClone(trunk) });
    t.ok(checked.ok, `${trunk.trunk_name} is a valid trunk`);
  }
});
