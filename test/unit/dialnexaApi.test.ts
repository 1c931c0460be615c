/** DialNexa's telephony API: numbers, SIP trunks, country rules, prices; its errors, its limits. */
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { Answer } from '../support/askApp.js';
import { NOW, dialnexaRig } from '../support/dialnexaRig.js';

const NUMBERS = 'organization-phone-numbers';
const TRUNKS = `${NUMBERS}/sip-trunks`;
const NEW = '+14155550100';

const isFault = (t: Test, answer: Answer, status: number, message: RegExp | string, error: string): void => {
  t.equal(answer.status, status);
  t.strictSame(Object.keys(answer.json as object).sort(), ['error', 'message', 'statusCode']);
  t.match(answer.json, { statusCode: status, message, error });
};

t.test('numbers of the account, page by page', async (t) => {
  const { ask } = await dialnexaRig(t);
  const all = (await ask('GET', NUMBERS)).json;
  t.match(all, { total: 3, page: 1, limit: 20 });
  t.match(
    all.items.map((item: object) => item),
    [
      { phone_number: '+442070000001', provider: null, status: 'active' },
      { phone_number: '+442070000002', status: 'pending' },
      { phone_number: '+918040000001', provider: 'plivo', status: 'active' },
    ],
  );
  t.match((await ask('GET', `${NUMBERS}?limit=2&page=2`)).json, {
    items: [{ phone_number: '+918040000001' }],
    total: 3,
    page: 2,
    limit: 2,
  });
  t.strictSame((await ask('GET', `${NUMBERS}?page=9`)).json.items, []);
  t.equal((await ask('GET', `${NUMBERS}?limit=9999`)).json.limit, 200);
  t.strictSame((await ask('GET', NUMBERS, undefined, { as: 'bare:b' })).json, {
    items: [],
    total: 0,
    page: 1,
    limit: 20,
  });
  for (const query of ['limit=0', 'limit=x', 'page=-1', 'page=1.5']) {
    isFault(t, await ask('GET', `${NUMBERS}?${query}`), 400, /querystring/, 'Bad Request');
  }
  const [first] = all.items;
  t.strictSame((await ask('GET', `${NUMBERS}/${first.id}`)).json, first);
  isFault(t, await ask('GET', `${NUMBERS}/12`), 404, 'Phone number not found', 'Not Found');
  isFault(t, await ask('GET', `${NUMBERS}/${first.id}`, undefined, { as: 'rival:x' }), 404, /not found/, 'Not Found');
});

t.test('who may ask, and how often', async (t) => {
  const { ask, clock } = await dialnexaRig(t);
  isFault(t, await ask('GET', NUMBERS, undefined, { as: '' }), 401, 'Unauthorized', 'Unauthorized');
  isFault(t, await ask('GET', NUMBERS, undefined, { as: 'admin:wrong' }), 401, 'Unauthorized', 'Unauthorized');
  for (const as of ['read:r', 'write:w']) {
    isFault(t, await ask('POST', TRUNKS, {}, { as }), 403, /scope admin/, 'Forbidden');
  }
  const basic = { as: '', headers: { authorization: `Basic ${Buffer.from('read:r').toString('base64')}` } };
  const first = await ask('GET', NUMBERS, undefined, basic);
  t.match(
    [first.status, first.headers['x-ratelimit-limit'], first.headers['x-ratelimit-remaining']],
    [200, '150', '149'],
  );
  for (let n = 2; n <= 150; n++) await ask('GET', NUMBERS);
  const refused = await ask('GET', NUMBERS);
  isFault(t, refused, 429, /60 s/, 'Too Many Requests');
  t.match(refused.headers, { 'retry-after': '60', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': /^\d+$/ });
  t.equal((await ask('GET', NUMBERS, undefined, { as: 'rival:x' })).status, 200, 'each account by itself');
  clock.advance(60_000);
  t.equal((await ask('GET', NUMBERS)).status, 200);
  isFault(t, await ask('GET', 'nothing'), 404, 'Cannot GET /v1/nothing', 'Not Found');
  isFault(t, await ask('PUT', NUMBERS, {}), 404, /Cannot PUT/, 'Not Found');
  isFault(t, await ask('POST', TRUNKS, '{'), 400, /JSON/, 'Bad Request');
  const text = await ask('POST', TRUNKS, 'x', { headers: { 'content-type': 'text/plain' } });
  isFault(t, text, 415, /Media Type/i, 'Unsupported Media Type');
  isFault(t, await ask('POST', TRUNKS, { nickname: 'x'.repeat(70_000) }), 413, /large/, 'Payload Too Large');
});

const userpass = {
  phoneNumber: NEW,
  terminationUri: 'sip.provider.example:5070',
  authMode: 'userpass',
  sipTrunkUserName: 'acme-1',
  sipTrunkPassword: 'S3cretWord',
  nickname: 'main line',
};

t.test('a number brought along: carrier, trunk and number in one revision', async (t) => {
  const { ask, directory, control } = await dialnexaRig(t);
  const made = await ask('POST', TRUNKS, userpass, { as: 'bare:b' });
  t.equal(made.status, 201);
  t.notMatch(made.text, 'S3cretWord');
  t.match(made.json, {
    id: /^\d+$/,
    phone_number: NEW,
    provider: 'byo_sip',
    status: 'active',
    is_sip_trunk: true,
    nickname: 'main line',
    termination_uri: 'sip.provider.example:5070',
    auth_mode: 'userpass',
    sip_trunk_user_name: 'acme-1',
    inbound_agent: null,
    outbound_agent: null,
    created_at: NOW,
  });
  t.equal(directory().revision, '1', 'one');
  const number = directory().number(NEW);
  t.match(number, { mode: 'pstn', friendly_name: 'main line', date_created: NOW });
  t.match(directory().trunk(number?.trunk_sid ?? ''), { account_sid: 'bare', trunk_name: 'default', status: 'active' });
  t.match(directory().carrier(number?.carrier ?? ''), {
    kind: 'byo',
    account_sid: 'bare',
    gateways: [{ uri: 'sip:sip.provider.example:5070' }],
    source_acl: [{ ip: '203.0.113.5' }],
    credentials: { user_name: 'acme-1', password: 'S3cretWord' },
  });
  const page = await control.revisions({ limit: 1 });
  t.match(page.ok && page.value.revisions, [{ author: 'v1:bare/bare', changes: 3 }]);
  const second = { ...userpass, phoneNumber: '+14155550101', authMode: 'ip', terminationUri: 'sip.provider.example' };
  const { sipTrunkUserName: _name, sipTrunkPassword: _password, ...byIp } = second;
  const other = (await ask('POST', TRUNKS, byIp, { as: 'bare:b' })).json;
  t.match(other, { auth_mode: 'ip', sip_trunk_user_name: null });
  const of = directory().number('+14155550101');
  t.equal(of?.trunk_sid, number?.trunk_sid, 'the same trunk');
  t.strictSame(directory().carrier(of?.carrier ?? '')?.source_acl, [{ ip: '203.0.113.5' }, { ip: '2001:db8::5' }]);
  t.equal(directory().carrier(of?.carrier ?? '')?.credentials, undefined);
  t.match((await ask('GET', `${NUMBERS}/${other.id}`, undefined, { as: 'bare:b' })).json, other);
  const mine = await ask('POST', TRUNKS, { ...userpass, phoneNumber: '+14155550102' });
  t.equal(mine.status, 201, 'two accounts may have one provider');
  t.equal(directory().number('+14155550102')?.trunk_sid, 'trk_acme', 'its first trunk where none is named default');
});

t.test('what is wrong with a SIP trunk is said before anything is made', async (t) => {
  const { ask, directory, probed } = await dialnexaRig(t);
  const bad: [object, RegExp][] = [
    [{ phoneNumber: undefined }, /phoneNumber/],
    [{ phoneNumber: '04155550100' }, /E\.164/],
    [{ phoneNumber: '+0415' }, /E\.164/],
    [{ phoneNumber: 7 }, /phoneNumber/],
    [{ terminationUri: undefined }, /terminationUri/],
    [{ terminationUri: 'sip:sip.provider.example' }, /must not begin with sip:/],
    [{ terminationUri: 'SIPS:sip.provider.example' }, /must not begin with sip:/],
    [{ terminationUri: 'user@sip.provider.example' }, /host/],
    [{ terminationUri: 'sip.provider.example;transport=tcp' }, /host/],
    [{ terminationUri: 'sip.provider.example:99999' }, /port/],
    [{ terminationUri: 'no host' }, /host/],
    [{ authMode: 'both' }, /authMode/],
    [{ authMode: undefined }, /authMode/],
    [{ sipTrunkUserName: undefined }, /required when authMode is userpass/],
    [{ sipTrunkPassword: undefined }, /required when authMode is userpass/],
    [{ authMode: 'ip' }, /must not be set when authMode is ip/],
    [{ sipTrunkPassword: '' }, /sipTrunkPassword/],
  ];
  for (const [change, message] of bad) {
    isFault(t, await ask('POST', TRUNKS, { ...userpass, ...change }), 400, message, 'Bad Request');
  }
  t.strictSame(probed, []);
  for (const phoneNumber of ['+918040000001', '+918040000009']) {
    const taken = await ask('POST', TRUNKS, { ...userpass, phoneNumber });
    isFault(t, taken, 409, /already registered/, 'Conflict');
  }
  t.strictSame(probed, [], 'no host is asked for a number that is taken');
  const away = await ask('POST', TRUNKS, { ...userpass, terminationUri: 'away.example' });
  isFault(t, away, 502, /registration failed: away\.example does not answer/, 'Bad Gateway');
  for (const terminationUri of ['reserved.example', '192.0.2.200']) {
    isFault(t, await ask('POST', TRUNKS, { ...userpass, terminationUri }), 400, /reserved/, 'Bad Request');
  }
  t.equal(directory().revision, '0');
  t.equal((await ask('POST', TRUNKS, { ...userpass, terminationUri: '203.0.113.77' })).status, 201);
});

const idOf = async (ask: (method: string, path: string) => Promise<Answer>, number: string): Promise<string> =>
  (await ask('GET', NUMBERS)).json.items.find((item: { phone_number: string }) => item.phone_number === number).id;

t.test('inbound and outbound agents apart, in published versions only', async (t) => {
  const { ask, directory } = await dialnexaRig(t);
  const id = await idOf(ask, '+442070000002');
  const patch = (body: unknown) => ask('PATCH', `${NUMBERS}/${id}`, body);
  const sales = (agent_version_number: number) => ({ agent_id: 'sales', agent_version_number });
  t.match((await patch({ inbound_agent: sales(3) })).json, { id, inbound_agent: sales(3), outbound_agent: null });
  t.match(directory().number('+442070000002'), {
    mode: 'flow',
    flow: 'sales',
    inbound_agent: { agent_id: 'sales', version: 3 },
  });
  t.match((await patch({ outbound_agent: sales(2), nickname: 'desk' })).json, {
    inbound_agent: sales(3),
    outbound_agent: sales(2),
    nickname: 'desk',
  });
  await patch({ inbound_agent: sales(2) });
  t.match(directory().number('+442070000002'), { mode: 'flow', flow: 'sales@2' });
  isFault(t, await patch({ inbound_agent: sales(4) }), 404, /no published version 4/, 'Not Found');
  isFault(
    t,
    await patch({ inbound_agent: { agent_id: 'theirs', agent_version_number: 1 } }),
    404,
    /does not exist/,
    'Not Found',
  );
  isFault(t, await patch({ inbound_agent: { agent_id: 'sales' } }), 400, /agent_version_number/, 'Bad Request');
  isFault(t, await ask('DELETE', `${NUMBERS}/${id}`), 409, /an agent uses it/, 'Conflict');
  await patch({ inbound_agent: null, outbound_agent: null });
  t.strictSame(directory().number('+442070000002')?.mode, 'pstn');
  t.equal((await ask('DELETE', `${NUMBERS}/${id}`)).status, 200);
});

t.test('numbers go with the carrier that came with them, unless they are needed', async (t) => {
  const { ask, directory } = await dialnexaRig(t);
  isFault(t, await ask('DELETE', `${NUMBERS}/${await idOf(ask, '+918040000001')}`), 409, /default number/, 'Conflict');
  isFault(
    t,
    await ask('DELETE', `${NUMBERS}/${await idOf(ask, '+442070000001')}`),
    409,
    /a flow answers it/,
    'Conflict',
  );
  const { id } = (await ask('POST', TRUNKS, userpass)).json;
  const carrier = directory().number(NEW)?.carrier ?? '';
  isFault(t, await ask('DELETE', `${NUMBERS}/${id}`, undefined, { as: 'rival:x' }), 404, /not found/, 'Not Found');
  t.strictSame((await ask('DELETE', `${NUMBERS}/${id}`)).json, { id, message: 'Phone number deleted successfully' });
  t.strictSame([directory().number(NEW), directory().carrier(carrier)], [undefined, undefined]);
  t.equal(directory().revision, '2', 'in one revision');
  isFault(t, await ask('DELETE', `${NUMBERS}/${id}`), 404, /not found/, 'Not Found');
});

t.test('countries, network groups and prices of what is enabled', async (t) => {
  const { ask } = await dialnexaRig(t);
  t.match((await ask('GET', 'phone-country-rules/countries')).json, [
    {
      id: /^\d+$/,
      country_iso: 'GB',
      country_name: 'United Kingdom',
      calling_code: '+44',
      prefixes: ['44'],
      is_deleted: false,
    },
    { country_iso: 'IN', country_name: 'India', calling_code: '+91', max_length: 13, prefixes: ['91', '919'] },
  ]);
  const groups = (await ask('GET', 'phone-country-rules/enabled-network-groups')).json;
  t.strictSame(
    groups.map((one: { from_phone_number_country_code: string; countryRule: { country_iso: string } }) => [
      one.from_phone_number_country_code,
      one.countryRule.country_iso,
    ]),
    [
      ['+44', 'GB'],
      ['+44', 'IN'],
      ['+91', 'GB'],
      ['+91', 'IN'],
    ],
  );
  t.match(groups[0], { prefix_mode: 'allow_only_listed', countryRule: { calling_code: '+44', prefixes: ['44'] } });
  const open = (await ask('GET', 'phone-country-rules/enabled-network-groups', undefined, { as: 'bare:b' })).json;
  t.match(open[0], {
    prefix_mode: 'open',
    from_phone_number_country_code: null,
    countryRule: { prefixes: ['44', '447'] },
  });
  t.match((await ask('GET', 'phone-number-pricing')).json, [
    {
      telephony_provider_id: 'telco',
      country_iso: 'GB',
      credit_cost: 2,
      telephonyProvider: { id: 'telco', name: 'plivo' },
    },
    { country_iso: 'IN', credit_cost: 0.4, outbound_price: '0.40', inbound_price: '0.1', currency: 'INR' },
  ]);
  t.match((await ask('GET', 'phone-number-pricing', undefined, { as: 'rival:x' })).text, /"FR"/);
});

t.test('no body and no query makes a 500', async (t) => {
  const { ask, clock, errors } = await dialnexaRig(t);
  const id = await idOf(ask, '+442070000002');
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(NEW, 'sip.provider.example', 'ip', 'userpass', 'sales', '__proto__'),
  );
  const value = fc.oneof(
    word,
    fc.integer(),
    fc.constant(null),
    fc.boolean(),
    fc.array(word, { maxLength: 2 }),
    fc.dictionary(word, word),
  );
  const member = fc.constantFrom(
    'phoneNumber',
    'terminationUri',
    'authMode',
    'sipTrunkUserName',
    'sipTrunkPassword',
    'nickname',
    'inbound_agent',
    'outbound_agent',
    'agent_id',
  );
  const body = fc.oneof(
    fc.dictionary(member, value),
    value,
    fc.string().map((text) => `{${text}`),
  );
  const place = fc.constantFrom(
    ['POST', TRUNKS],
    ['PATCH', `${NUMBERS}/${id}`],
    ['DELETE', NUMBERS],
    ['GET', `${NUMBERS}?`],
  );
  await fc.assert(
    fc.asyncProperty(place, body, word, async ([method = '', path = ''], sent, tail) => {
      clock.advance(1000);
      const asked =
        method === 'GET'
          ? `${path}${encodeURIComponent(tail)}=1`
          : method === 'DELETE'
            ? `${path}/${encodeURIComponent(tail)}`
            : path;
      const answer = await ask(method, asked, method === 'GET' || method === 'DELETE' ? undefined : (sent ?? 'null'));
      if (answer.status >= 400 && answer.json.statusCode !== answer.status) throw new Error(answer.text);
      return answer.status < 500 || answer.status === 502;
    }),
    { numRuns: 200 },
  );
  t.strictSame(errors, []);
});

const CONFIG = '/api/telephony/config';
const GROUPS = '/api/telephony/network-groups';
const OPS = { as: 'ops:o' };

t.test("our own: an account's switches, its providers, its flat rate", async (t) => {
  const { ask, directory } = await dialnexaRig(t);
  t.match((await ask('GET', CONFIG)).json, {
    account_sid: 'acme',
    byo_enabled: true,
    byo_flat_rate: null,
    prefix_mode: 'allow_only_listed',
  });
  t.match((await ask('PATCH', CONFIG, { byo_enabled: false })).json, { byo_enabled: false });
  t.match([directory().revision, directory().account('acme')?.byo_enabled], ['1', false]);
  t.equal((await ask('PATCH', CONFIG, { byo_enabled: true }, { as: 'write:w' })).status, 403, 'a guard');
  t.equal((await ask('PATCH', CONFIG, { prefix_mode: 'open' })).json.error.code, 'operator_only');
  t.equal((await ask('PATCH', CONFIG, {})).status, 400);
  t.equal((await ask('PATCH', `${CONFIG}?account_sid=rival`, { byo_enabled: false })).status, 404);
  t.equal((await ask('GET', CONFIG, undefined, OPS)).json.account_sid, undefined);
  const rate = { outbound_price: '0.3', currency: 'INR' };
  const set = await ask('PATCH', `${CONFIG}?account_sid=rival`, { byo_flat_rate: rate, prefix_mode: 'open' }, OPS);
  t.match(set.json, { account_sid: 'rival', byo_flat_rate: rate, prefix_mode: 'open' });
  t.match([directory().revision, directory().carrier('rivals_own')], ['2', { flat_rate: rate }]);
  t.strictSame(
    (await ask('GET', '/api/telephony/providers')).json.items.map((one: { id: string }) => one.id),
    ['telco'],
  );
  t.match((await ask('GET', '/api/telephony/providers', undefined, { as: 'rival:x' })).json.items, [
    { id: 'telco', brought_along: false, enabled_network_groups: 4 },
    { id: 'rivals_own', brought_along: true, flat_rate: rate },
  ]);
});

t.test('our own: countries and network groups, searched, paged, switched, priced', async (t) => {
  const { ask, directory } = await dialnexaRig(t);
  const ids = (answer: Answer): string[] => answer.json.items.map((one: { id: string }) => one.id);
  t.match((await ask('GET', '/api/telephony/countries')).json.items, [
    { country_iso: 'IN', calling_code: '91', network_groups: 2, enabled_network_groups: 2 },
    { country_iso: 'GB', network_groups: 2, enabled_network_groups: 1 },
    { country_iso: 'US', network_groups: 1, enabled_network_groups: 0 },
  ]);
  t.equal((await ask('GET', '/api/telephony/countries?search=king')).json.items.length, 1);
  const first = await ask('GET', `${GROUPS}?limit=2`);
  t.strictSame([ids(first), first.json.next], [['telco/GB/UK', 'telco/GB/UK Mobile'], 'telco/GB/UK Mobile']);
  const rest = await ask('GET', `${GROUPS}?limit=9&after=${encodeURIComponent(first.json.next)}`);
  t.strictSame([ids(rest), rest.json.next], [['telco/IN/India', 'telco/IN/India Mobile', 'telco/US/USA'], null]);
  t.strictSame(ids(await ask('GET', `${GROUPS}?search=MOBILE`)), ['telco/GB/UK Mobile', 'telco/IN/India Mobile']);
  t.strictSame(ids(await ask('GET', `${GROUPS}?prefix=9198`)), ['telco/IN/India', 'telco/IN/India Mobile']);
  t.strictSame(ids(await ask('GET', `${GROUPS}?prefix=4&country=GB&carrier=telco`)).length, 2);
  t.match((await ask('GET', `${GROUPS}?search=UK`)).json.items, [
    { enabled: true, enabled_for_account: true, outbound_price: '2', prefixes: ['44'], prefix_count: 1 },
    { enabled: true, enabled_for_account: false },
  ]);
  t.strictSame(ids(await ask('GET', `${GROUPS}?carrier=rivals_own`)), [], 'not of others');
  const india = `${GROUPS}/${encodeURIComponent('telco/IN/India')}`;
  t.match((await ask('PATCH', india, { enabled: false })).json, { enabled: true, enabled_for_account: false });
  t.strictSame(directory().account('acme')?.disabled_network_groups, ['telco/GB/UK Mobile', 'telco/IN/India']);
  await ask('PATCH', india, { enabled: true });
  t.strictSame(directory().account('acme')?.disabled_network_groups, ['telco/GB/UK Mobile']);
  t.equal((await ask('PATCH', india, { outbound_price: '9' })).status, 400);
  t.equal(
    (await ask('PATCH', `${GROUPS}/${encodeURIComponent('rivals_own/FR/France')}`, { enabled: false })).status,
    404,
  );
  const priced = await ask('PATCH', india, { outbound_price: '0.7', inbound_price: '0.2', enabled: false }, OPS);
  t.match(priced.json, { outbound_price: '0.7', inbound_price: '0.2', enabled: false, currency: 'INR' });
  t.match(directory().group('telco/IN/India'), { outbound_price: '0.7', enabled: false, prefixes: ['91'] });
  t.equal(directory().revision, '3', 'each change one revision');
});
