/** Exotel's trunk API: what hangs on a trunk. */
import t from 'tap';
import { numberId } from '../../src/admin/exotel/data.js';
import type { PhoneNumber } from '../../src/call/routing/resources.js';
import { EXOTEL_DOCUMENT, type ExotelRig, NOW, exotelRig, isFault } from '../support/exotelRig.js';

const LATER = '2026-01-23T09:25:09Z';
const DATES = { date_created: NOW, date_updated: NOW };
const success = (data: object) => ({ code: 200, error_data: null, status: 'success', data });

const newTrunk = async ({ ask }: ExotelRig): Promise<string> =>
  String((await ask('POST', 'trunks', { trunk_name: 'new' })).json.response.data.trunk_sid);
const listMetadata = (path: string) => ({
  page_size: 50,
  first_page_uri: `/v2/accounts/acme/trunks/${path}?offset=0&page_size=50`,
  prev_page_uri: null,
  next_page_uri: null,
});

t.test('phone numbers: mapped, listed, their mode changed, taken away', async (t) => {
  const rig = await exotelRig(t);
  const { ask, clock, directory } = rig;
  const sid = await newTrunk(rig);
  const made = await ask('POST', `trunks/${sid}/phone-numbers`, { phone_number: '+919876543210' });
  const { id } = made.json.response.data;
  t.match(id, /^[0-9]+$/, 'a number as a string');
  const data = { id, phone_number: '+919876543210', trunk_sid: sid, ...DATES, mode: null };
  t.strictSame(made.json, {
    request_id: made.json.request_id,
    method: 'POST',
    http_code: 200,
    response: success(data),
  });
  const listed = await ask('GET', `trunks/${sid}/phone-numbers`);
  t.strictSame(listed.json.metadata, listMetadata(`${sid}/phone-numbers`));
  t.strictSame(listed.json.response, [success(data)]);
  t.strictSame((await ask('GET', `trunks/${sid}/phone-numbers/${id}`)).json.response, success(data));

  clock.advance(10_000);
  const path = `trunks/${sid}/phone-numbers/${id}`;
  const flow = await ask('PUT', path, { phone_number: '+919876543210', mode: 'flow' });
  const inFlow = { ...data, date_updated: LATER, mode: 'flow', flow: 'flw_one' };
  t.strictSame(flow.json.response, success(inFlow), 'the only flow there is');
  const back = await ask('PUT', path, { phone_number: '+919876543210', mode: 'pstn' });
  t.match(back.json.response.data, { mode: 'pstn', date_created: NOW });
  isFault(t, await ask('PUT', path, { mode: 'pstn' }), [400, 1001, 'phone_number']);
  isFault(t, await ask('PUT', path, { phone_number: '+919876543210' }), [400, 1001, 'mode']);
  isFault(t, await ask('PUT', path, { phone_number: '+919876543211', mode: 'pstn' }), [400, 1002, 'phone_number']);
  isFault(t, await ask('PUT', path, { phone_number: '+918040000001', mode: 'pstn' }), [400, 1002, 'phone_number']);
  isFault(t, await ask('PUT', path, { phone_number: '+919876543210', mode: 'sip' }), [400, 1002, 'mode']);
  const elsewhere = `trunks/trk_hand/phone-numbers/${id}`;
  isFault(t, await ask('PUT', elsewhere, { phone_number: '+919876543210', mode: 'pstn' }), [404, 1000]);

  isFault(t, await ask('DELETE', `trunks/${sid}/phone-numbers`), [400, 1001, 'id']);
  isFault(t, await ask('DELETE', `trunks/${sid}/phone-numbers?id=1`), [404, 1000]);
  const gone = await ask('DELETE', `trunks/${sid}/phone-numbers?id=${id}`);
  t.match(gone.json.response, { code: 200, data: { id, phone_number: '+919876543210' } });
  t.equal(directory().number('+919876543210'), undefined);
  t.strictSame((await ask('GET', `trunks/${sid}/phone-numbers`)).json.response, []);
});

t.test('a number that is mapped already: 200 with a failure of 409 inside, whoever has it', async (t) => {
  const rig = await exotelRig(t);
  const sid = await newTrunk(rig);
  const told: string[] = [];
  for (const number of ['+918040000001', '+918040000009']) {
    const answer = await rig.ask('POST', `trunks/${sid}/phone-numbers`, { phone_number: number });
    const wanted = `Unable to create DidTrunkMapping with TrunkSid ${sid}`;
    isFault(t, answer, [409, 1008, wanted], 200);
    t.equal(answer.json.response.error_data.message, 'Duplicate resource');
    t.notMatch(answer.text, /rival|trk_hand/);
    told.push(JSON.stringify(answer.json.response).replace(number, '*'));
  }
  t.equal(told[0], told[1], 'the same words for a number of another account');
  t.equal(rig.directory().number('+918040000009')?.trunk_sid, 'trk_rival');
});

t.test('numbers: what is refused, and carrier, flow and name as additions', async (t) => {
  const rig = await exotelRig(t, {
    ...EXOTEL_DOCUMENT,
    flows: [
      ...EXOTEL_DOCUMENT.flows,
      { ...EXOTEL_DOCUMENT.flows[0], id: 'flw_two', account_sid: 'acme' },
      { ...EXOTEL_DOCUMENT.flows[0], id: 'flw_rival', account_sid: 'rival' },
    ],
  });
  const post = (body: object) => rig.ask('POST', 'trunks/trk_hand/phone-numbers', body);
  isFault(t, await post({}), [400, 1001, 'phone_number']);
  for (const phone_number of ['9876543210', '+0123456', '+91', '', 919876543210, '+9198765432101234', '+91 98765'])
    isFault(t, await post({ phone_number }), [400, 1002, 'phone_number must be E.164']);
  isFault(t, await post({ phone_number: '+919876543210', mode: 'PSTN' }), [400, 1002, 'mode must be pstn or flow']);
  isFault(t, await post({ phone_number: '+919876543210', mode: 'flow' }), [400, 1002, 'flow must name']);
  isFault(t, await post({ phone_number: '+919876543210', mode: 'flow', flow: 'flw_no' }), [
    400,
    1002,
    'no flow flw_no',
  ]);
  for (const flow of ['flw_no', 'flw_rival'])
    isFault(t, await post({ phone_number: '+919876543210', mode: 'flow', flow }), [400, 1002, `no flow ${flow}`]);
  const words = async (carrier: string) => {
    const answer = await post({ phone_number: '+919876543210', carrier });
    isFault(t, answer, [400, 1002, `no carrier ${carrier}`]);
    return JSON.stringify(answer.json.response).replace(carrier, '*');
  };
  t.equal(await words('rivals_own'), await words('nobodys'), "another account's carrier is not there");
  const made = await post({
    phone_number: '+919876543210',
    mode: 'flow',
    flow: 'flw_two',
    carrier: 'acmes_own',
    friendly_name: 'Zentrale, ünïcode',
  });
  t.match(made.json.response.data, { flow: 'flw_two', carrier: 'acmes_own', friendly_name: 'Zentrale, ünïcode' });
  isFault(t, await post({ phone_number: '+919876543219', friendly_name: 'a\u0000b' }), [400, 1002, 'friendly_name']);
});

t.test('trunk maps: the trunk of a number, of the own ones only', async (t) => {
  const { ask } = await exotelRig(t);
  const listed = (await ask('GET', 'trunks/trk_hand/phone-numbers')).json.response[0].data;
  t.match(listed, { phone_number: '+918040000001', date_created: null, mode: 'pstn' });
  for (const exophone of ['%2B918040000001', '+918040000001', '918040000001']) {
    const answer = await ask('GET', `trunk-maps?exophone=${exophone}`);
    t.strictSame(
      answer.json.response,
      success({ exophone: '+918040000001', trunk_sid: 'trk_hand', phone_number_id: listed.id, mode: 'pstn' }),
    );
  }
  isFault(t, await ask('GET', 'trunk-maps'), [400, 1001, 'exophone']);
  isFault(t, await ask('GET', 'trunk-maps?exophone=reception'), [400, 1002]);
  const foreign = await ask('GET', 'trunk-maps?exophone=%2B918040000009');
  const unknown = await ask('GET', 'trunk-maps?exophone=%2B918040000008');
  isFault(t, foreign, [404, 1000]);
  t.strictSame(
    JSON.stringify(foreign.json.response).replace('0009', '*'),
    JSON.stringify(unknown.json.response).replace('0008', '*'),
  );
  t.equal((await ask('DELETE', `trunks/trk_hand/phone-numbers?id=${listed.id}`)).status, 200, 'derived ids serve');
});

t.test('whitelisted ips: IPv4 and IPv6, one or a network', async (t) => {
  const rig = await exotelRig(t);
  const { ask, clock } = rig;
  const sid = await newTrunk(rig);
  const path = `trunks/${sid}/whitelisted-ips`;
  const made = await ask('POST', path, { ip: '44.248.146.11', mask: 32 });
  const { id } = made.json.response.data;
  const data = { id, mask: 32, trunk_sid: sid, ip: '44.248.146.11', friendly_name: null, ...DATES };
  t.strictSame(made.json.response, success(data));
  t.match(id, /^[0-9]+$/);
  t.match((await ask('POST', path, { ip: '44.248.147.0', mask: 24 })).json.response.data, { mask: 24 });
  t.match((await ask('POST', path, { ip: '2001:DB8:0::1' })).json.response.data, { ip: '2001:db8::1', mask: 128 });
  t.match((await ask('POST', path, { ip: '2001:db8:1::', mask: 48, friendly_name: 'Pune' })).json.response.data, {
    mask: 48,
    friendly_name: 'Pune',
  });
  const duplicate = await ask('POST', path, { ip: '44.248.146.11' });
  isFault(t, duplicate, [409, 1008, 'Unable to Whitelist-ip with ip 44.248.146.11'], 200);
  isFault(t, await ask('POST', path, { ip: '::ffff:44.248.146.11' }), [409, 1008], 200);
  isFault(t, await ask('POST', path, { ip: '44.248.147.9', mask: 24 }), [409, 1008], 200);
  isFault(t, await ask('POST', path, {}), [400, 1001, 'ip']);
  for (const ip of ['300.1.1.1', 'host.example', '1.2.3', '010.1.1.1', '10.0.0.0/8', 'fe80::1%eth0', '', 7])
    isFault(t, await ask('POST', path, { ip }), [400, 1002, 'ip must be a valid IPv4 or IPv6 address']);
  for (const mask of [0, 7, 33, -1, 24.5, '24', null])
    isFault(t, await ask('POST', path, { ip: '10.1.1.1', mask }), [400, 1002, 'mask']);
  for (const mask of [0, 31, 129])
    isFault(t, await ask('POST', path, { ip: '2001:db8:2::', mask }), [400, 1002, 'mask']);

  const listed = await ask('GET', path);
  t.strictSame(listed.json.metadata, listMetadata(`${sid}/whitelisted-ips`));
  t.equal(listed.json.response.length, 4);
  t.strictSame(listed.json.response[0], success(data));
  t.strictSame((await ask('GET', `${path}/${id}`)).json.response, success(data));
  clock.advance(10_000);
  const changed = await ask('PUT', `${path}/${id}`, { ip: '44.248.146.12', friendly_name: 'Delhi' });
  const after = { ...data, ip: '44.248.146.12', friendly_name: 'Delhi', date_updated: LATER };
  t.strictSame(changed.json.response, success(after));
  t.match((await ask('PUT', `${path}?id=${id}`, { mask: 31 })).json.response.data, { ip: '44.248.146.12', mask: 31 });
  isFault(t, await ask('PUT', `${path}/${id}`, { ip: '44.248.147.0', mask: 24 }), [409, 1008], 200);
  isFault(t, await ask('PUT', `${path}/${id}`, {}), [400, 1001]);
  isFault(t, await ask('PUT', `${path}/1`, { mask: 32 }), [404, 1000]);
  isFault(t, await ask('DELETE', path), [400, 1001, 'id']);
  t.match((await ask('DELETE', `${path}?id=${id}`)).json.response.data, { id, ip: '44.248.146.12' });
  isFault(t, await ask('DELETE', `${path}/${id}`), [404, 1000]);
});

t.test("nobody draws a carrier's calls to himself by whitelisting its address", async (t) => {
  const { ask } = await exotelRig(t);
  const post = (ip: string, mask: number) => ask('POST', 'trunks/trk_hand/whitelisted-ips', { ip, mask });
  for (const [ip, mask] of [
    ['198.51.100.7', 32],
    ['198.51.100.0', 24],
    ['198.51.0.0', 16],
    ['203.0.113.77', 32],
    ['::ffff:198.51.100.7', 128],
  ] as const) {
    const answer = await post(ip, mask);
    isFault(t, answer, [400, 1002, 'reserved']);
    t.notMatch(answer.text, /telco|rival/);
  }
  t.equal((await post('203.0.113.88', 32)).status, 200, 'but its own carrier may be its PBX');
});

t.test('destination uris: several at once, addresses after they were whitelisted', async (t) => {
  const rig = await exotelRig(t);
  const { ask, clock, directory } = rig;
  const sid = await newTrunk(rig);
  const path = `trunks/${sid}/destination-uris`;
  await ask('POST', `trunks/${sid}/whitelisted-ips`, { ip: '44.248.146.0', mask: 28 });
  const first = await ask('POST', path, {
    destinations: [{ destination: '44.248.146.11:5061;transport=tls' }, { destination: 'sip.company.com:5060' }],
  });
  t.equal(first.status, 200);
  const [{ data: ip }, { data: name }] = first.json.response as [{ data: { id: string } }, { data: { id: string } }];
  const entry = { type: 'public', priority: 0, weight: 1, trunk_sid: sid, ...DATES };
  const data = { id: ip.id, destination: 'sip:44.248.146.11:5061;transport=tls', ...entry };
  t.strictSame(first.json, {
    request_id: first.json.request_id,
    method: 'POST',
    http_code: 200,
    metadata: { total: 2, success: 2, failed: 0 },
    response: [success(data), success({ id: name.id, destination: 'sip:sip.company.com:5060', ...entry })],
  });
  t.match(ip.id, /^[0-9]+$/);
  const revision = directory().revision;
  const mixed = await ask('POST', path, {
    destinations: [
      { destination: '203.0.113.5:5060;transport=tcp' },
      { destination: 'not a host' },
      { destination: 'sip:[2001:db8::1]:5060' },
      { destination: 'localhost:5060' },
      { destination: 'user@sip.company.com' },
      { destination: 'SIP.company.com:5060' },
      {},
      'sip.company.com',
      { destination: 'b.company.com', priority: 5, weight: 7 },
      { destination: 'b.company.com' },
      { destination: 'c.company.com', priority: -1 },
    ],
  });
  t.equal(mixed.status, 207);
  t.match(mixed.json, { http_code: 207, metadata: { total: 11, success: 1, failed: 10 } });
  const told = (
    mixed.json.response as { code: number; error_data: { code: number; description: string } | null }[]
  ).map(
    ({ code, error_data }) => `${code} ${error_data === null ? '' : `${error_data.code} ${error_data.description}`}`,
  );
  const notValid = '400 1002 Destination is not a valid Ip or Fqdn';
  t.strictSame(told.slice(0, 5), [
    '400 1002 Destination not whitelisted',
    notValid,
    '400 1002 Destination not whitelisted',
    notValid,
    notValid,
  ]);
  t.strictSame(told.slice(5), [
    '409 1008 Destination sip:sip.company.com:5060 exists already',
    '400 1001 destination is mandatory',
    '400 1002 Each destination must be an object',
    '200 ',
    '409 1008 Destination sip:b.company.com exists already',
    '400 1002 priority must be an integer from 0 to 65535',
  ]);
  t.match(mixed.json.response[8].data, { priority: 5, weight: 7 });
  t.equal(Number.parseInt(directory().revision, 10), Number.parseInt(revision, 10) + 1, 'one revision');
  const none = await ask('POST', path, { destinations: [{ destination: '!' }] });
  t.strictSame([none.status, none.json.metadata], [207, { total: 1, success: 0, failed: 1 }]);
  isFault(t, await ask('POST', path, {}), [400, 1001, 'destinations']);
  for (const destinations of [[], 'x', null, {}, Array(101).fill({ destination: 'a.b' })])
    isFault(t, await ask('POST', path, { destinations }), [400, 1002, 'destinations']);

  clock.advance(10_000);
  const changed = await ask('PUT', `${path}/${ip.id}`, { priority: 1, weight: 3 });
  t.strictSame(changed.json.response, success({ ...data, priority: 1, weight: 3, date_updated: LATER }));
  isFault(t, await ask('PUT', `${path}/${ip.id}`, {}), [400, 1001]);
  isFault(t, await ask('PUT', `${path}/${ip.id}`, { weight: 1.5 }), [400, 1002, 'weight']);
  isFault(t, await ask('PUT', `${path}/none`, { weight: 1 }), [404, 1000]);
  t.match((await ask('DELETE', `${path}?id=${name.id}`)).json.response.data, { id: name.id });
  const listed = await ask('GET', path);
  t.strictSame(listed.json.metadata, listMetadata(`${sid}/destination-uris`));
  t.equal(listed.json.response.length, 2);
});

t.test('destination uris: users who register, once they have a password', async (t) => {
  const rig = await exotelRig(t);
  const { ask, directory } = rig;
  const sid = await newTrunk(rig);
  const path = `trunks/${sid}/destination-uris`;
  const add = (destination: string) => ask('POST', path, { destinations: [{ destination, priority: 2 }] });
  const early = await add('registered:pbx1');
  t.match(early.json.response[0].error_data, { code: 1002 });
  await ask('POST', `trunks/${sid}/credentials`, { user_name: 'pbx1', password: 'S3cret word' });
  t.match((await add('registered:pbx2')).json.response[0].error_data, { code: 1002 });
  const made = await add('registered:pbx1');
  t.match(made.json.response[0].data, { destination: 'registered:pbx1', priority: 2, weight: 1, trunk_sid: sid });
  t.match((await add('registered:pbx1')).json.response[0].error_data, { code: 1008 }, 'once');
  t.equal((await add('registered')).status, 200, 'all users of the trunk');
  t.strictSame(
    directory()
      .trunk(sid)
      ?.destination_uris.map(({ destination }) => destination),
    ['registered:pbx1', 'registered'],
  );
  const { id } = made.json.response[0].data;
  t.match((await ask('PUT', `${path}/${id}`, { priority: 5 })).json.response.data, { priority: 5 });
  t.equal((await ask('DELETE', `${path}?id=${id}`)).status, 200);
});

t.test('credentials: no answer holds a password', async (t) => {
  const rig = await exotelRig(t);
  const { ask, clock, directory } = rig;
  const sid = await newTrunk(rig);
  const path = `trunks/${sid}/credentials`;
  const made = await ask('POST', path, { user_name: 'pbx1', password: 'S3cret word', friendly_name: 'PBX' });
  const { id } = made.json.response.data;
  const data = { id, trunk_sid: sid, user_name: 'pbx1', friendly_name: 'PBX', ...DATES };
  t.strictSame(made.json.response, success(data));
  t.match(directory().trunk(sid)?.credentials?.[0], { user_name: 'pbx1', password: 'S3cret word' });
  const listed = await ask('GET', path);
  t.strictSame(listed.json.metadata, { ...listMetadata(`${sid}/credentials`), total: 1, page: 1 });
  t.strictSame(listed.json.response, [success(data)]);
  clock.advance(10_000);
  const changed = await ask('PUT', `${path}/${id}`, { password: 'An0ther' });
  t.strictSame(changed.json.response, success({ ...data, date_updated: LATER }));
  t.match(directory().trunk(sid)?.credentials?.[0], { password: 'An0ther' });
  isFault(t, await ask('POST', path, { user_name: 'pbx1', password: 'x' }), [409, 1008]);
  isFault(t, await ask('POST', path, { user_name: 'pbx2' }), [400, 1001, 'password']);
  isFault(t, await ask('POST', path, { password: 'x' }), [400, 1001, 'user_name']);
  for (const user_name of ['a:b', 'a"b', 'a b', '', 'x'.repeat(65)])
    isFault(t, await ask('POST', path, { user_name, password: 'x' }), [400, 1002, 'user_name']);
  const long = { user_name: 'pbx3', password: 'x', friendly_name: 'x'.repeat(33) };
  isFault(t, await ask('POST', path, long), [400, 1002, 'friendly_name']);
  isFault(t, await ask('PUT', `${path}/${id}`, {}), [400, 1001]);
  for (const wrong of ['Zq\u0007wrong', `${'Zqwrong'.repeat(30)}`, { Zqwrong: 1 }]) {
    const answer = await ask('PUT', `${path}/${id}`, { password: wrong });
    isFault(t, answer, [400, 1002, 'password']);
    t.notMatch(answer.text, /Zq/, 'nor a password that was refused');
  }
  t.match((await ask('DELETE', `${path}?id=${id}`)).json.response.data, { id, user_name: 'pbx1' });
  t.strictSame((await ask('GET', path)).json.metadata.total, 0);
  t.notMatch((await ask('GET', 'trunks/trk_hand/credentials')).text, /hidden/);
});

t.test('settings: the alias and the additions, each by its name', async (t) => {
  const rig = await exotelRig(t);
  const { ask, directory } = rig;
  const sid = await newTrunk(rig);
  const path = `trunks/${sid}/settings`;
  const made = await ask('POST', path, { settings: [{ name: 'trunk_external_alias', value: '+918040000001' }] });
  const alias = { name: 'trunk_external_alias', value: '+918040000001', trunk_sid: sid, ...DATES };
  t.strictSame(made.json, {
    request_id: made.json.request_id,
    method: 'POST',
    http_code: 200,
    metadata: { total: 1, success: 1, failed: 0 },
    response: [success(alias)],
  });
  t.equal(directory().trunk(sid)?.settings?.trunk_external_alias, '+918040000001');
  const mixed = await ask('POST', path, {
    settings: [
      { name: 'limits', value: { concurrent_calls: 3 } },
      { name: 'caller_id', value: 'replace' },
      { name: 'caller_id', value: 'whatever' },
      { name: 'colour', value: 'blue' },
      { name: 'trunk_external_alias', value: '08040000001' },
      { name: 'country_code' },
      { value: '+91' },
      { name: 'media', value: null },
      7,
    ],
  });
  t.equal(mixed.status, 207);
  const codes = (mixed.json.response as { code: number; error_data: { code: number } | null }[]).map(
    ({ code, error_data }) => [code, error_data?.code ?? 0],
  );
  const refused = [400, 1002];
  t.strictSame(codes, [[200, 0], [200, 0], refused, refused, refused, [400, 1001], [400, 1001], [400, 1001], refused]);
  t.match(directory().trunk(sid), { limits: { concurrent_calls: 3 }, settings: { caller_id: 'replace' } });
  const listed = await ask('GET', path);
  t.strictSame(
    listed.json.response.map(({ data }: { data: { name: string } }) => data.name),
    ['trunk_external_alias', 'limits', 'caller_id'],
  );
  t.strictSame(listed.json.metadata, listMetadata(`${sid}/settings`));
  const guard = await ask('POST', path, { settings: [{ name: 'limits', value: {} }] }, { as: 'write:w' });
  t.strictSame([guard.status, guard.json.response[0].code], [207, 403]);
  isFault(t, await ask('DELETE', `${path}?name=limits`, undefined, { as: 'write:w' }), [403, 1403]);
  t.strictSame((await ask('DELETE', `${path}?name=trunk_external_alias`)).json.response, success(alias));
  t.equal((await ask('DELETE', `${path}?name=limits`)).status, 200);
  t.equal(directory().trunk(sid)?.limits, undefined);
  isFault(t, await ask('DELETE', `${path}?name=limits`), [404, 1000]);
  isFault(t, await ask('DELETE', path), [400, 1001, 'name']);
  isFault(t, await ask('POST', path, { settings: 'x' }), [400, 1002, 'settings']);
});

t.test('a trunk with many numbers that were written by hand', async (t) => {
  const [trunk] = EXOTEL_DOCUMENT.trunks;
  const phone_numbers = Array.from({ length: 3000 }, (_, i) => ({
    phone_number: `+91804${1_000_000 + i}`,
    mode: 'pstn',
  }));
  const { ask, directory } = await exotelRig(t, { ...EXOTEL_DOCUMENT, trunks: [{ ...trunk, phone_numbers }] });
  const last = await ask('GET', 'trunks/trk_hand/phone-numbers?page_size=10&offset=2990');
  t.equal(last.json.metadata.next_page_uri, null);
  t.equal(last.json.response.length, 10);
  const { data } = last.json.response[9];
  t.equal(data.phone_number, '+918041002999');
  const derived = numberId(directory().number('+918041002500') as PhoneNumber);
  t.match((await ask('GET', `trunks/trk_hand/phone-numbers/${derived}`)).json.response.data, {
    phone_number: '+918041002500',
  });
  isFault(t, await ask('GET', 'trunks/trk_hand/phone-numbers/7'), [404, 1000]);
  t.equal((await ask('DELETE', `trunks/trk_hand/phone-numbers?id=${data.id}`)).status, 200);
  isFault(t, await ask('DELETE', `trunks/trk_hand/phone-numbers?id=${data.id}`), [404, 1000]);
  t.equal(directory().countNumbersOf('trk_hand'), 2999);
});

t.test('a trunk has an end', async (t) => {
  const many = Array.from({ length: 256 }, (_, i) => ({ ip: `10.0.${i}.1` }));
  const [trunk] = EXOTEL_DOCUMENT.trunks;
  const { ask } = await exotelRig(t, { ...EXOTEL_DOCUMENT, trunks: [{ ...trunk, whitelisted_ips: many }] });
  isFault(t, await ask('POST', 'trunks/trk_hand/whitelisted-ips', { ip: '10.1.1.1' }), [400, 1002, 'at most 256']);
  const ninth = (await ask('GET', 'trunks/trk_hand/whitelisted-ips?page_size=1&offset=8')).json.response[0].data;
  t.equal(ninth.ip, '10.0.8.1');
});
