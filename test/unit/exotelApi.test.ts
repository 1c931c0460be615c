/** Exotel's trunk API: trunks, envelopes, paging, who may ask, how often. */
import t from 'tap';
import { EXOTEL_DOCUMENT, NOW, exotelRig, isFault } from '../support/exotelRig.js';

const made = (n: number) => ({ trunk_name: `trunk_${n}` });

t.test('a trunk is made as Exotel makes one', async (t) => {
  const { ask, directory } = await exotelRig(t);
  const answer = await ask('POST', 'trunks', { trunk_name: 'outbound_trunk', nso_code: 'ANY-ANY' });
  t.equal(answer.status, 200);
  const sid = String(answer.json.response.data.trunk_sid);
  t.match(sid, /^tr[a-z0-9]{24}$/);
  const path = `/v2/accounts/acme/trunks/${sid}`;
  t.strictSame(answer.json, {
    request_id: answer.json.request_id,
    method: 'POST',
    http_code: 200,
    response: {
      code: 200,
      error_data: null,
      status: 'success',
      data: {
        trunk_name: 'outbound_trunk',
        date_created: NOW,
        date_updated: NOW,
        trunk_sid: sid,
        status: 'active',
        domain_name: 'acme.pstn.tandem.test',
        auth_type: 'IP-WHITELIST',
        registration_enabled: 'disabled',
        edge_preference: 'auto',
        nso_code: 'ANY-ANY',
        secure_trunking: 'disabled',
        destination_uris: `${path}/destination-uris`,
        whitelisted_ips: `${path}/whitelisted-ips`,
        credentials: `${path}/credentials`,
        phone_numbers: `${path}/phone-numbers`,
      },
    },
  });
  t.match(answer.json.request_id, /^[0-9a-f]{32}$/);
  t.equal(answer.headers['etag'], `"${directory().revision}"`, 'the revision that it is in');
  const own = await ask('POST', 'trunks', {
    trunk_name: 'two',
    domain_name: 'acme.pstn.exotel.com',
    nso_code: 'any any',
  });
  t.match(own.json.response.data, { domain_name: 'acme.pstn.exotel.com', nso_code: 'any any' });
  const one = await ask('GET', `trunks/${sid}`);
  t.strictSame(one.json.response, answer.json.response);
  t.strictSame([one.json.method, one.json.http_code], ['GET', 200]);
  t.not(one.json.request_id, answer.json.request_id);
});

t.test('trunk names: mandatory, checked, one of a kind within the account', async (t) => {
  const { ask, directory } = await exotelRig(t);
  const before = directory().revision;
  isFault(t, await ask('POST', 'trunks', {}), [400, 1001, 'trunk_name']);
  const rule = 'trunk_name must be alphanumeric with underscores only, max 16 characters';
  for (const trunk_name of ['', 'with space', 'seventeen_letters', 'dash-ed', 7, null, ['x'], 'é']) {
    const answer = await ask('POST', 'trunks', { trunk_name });
    isFault(t, answer, [400, 1002, rule]);
    t.equal(answer.json.response.error_data.message, 'Invalid parameter');
  }
  const taken = await ask('POST', 'trunks', { trunk_name: 'by_hand' });
  isFault(t, taken, [409, 1008]);
  t.equal(taken.json.response.error_data.message, 'Duplicate resource');
  t.equal(directory().revision, before, 'nothing of it was published');
  t.equal((await ask('POST', 'trunks', { trunk_name: 'theirs' })).status, 200, 'other accounts do not matter');
});

t.test('bodies that are none: 1007, and 1011 for other types', async (t) => {
  const { ask } = await exotelRig(t);
  for (const body of ['{', '', '[]', '"x"', 'null', '7', '{"trunk_name":"x",}', '{"__proto__":{"trunk_name":"x"}}']) {
    const answer = await ask('POST', 'trunks', body);
    isFault(t, answer, [400, 1007]);
    t.equal(answer.json.response.error_data.message, 'Invalid request body', body);
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'nonsense']) {
    const answer = await ask('POST', 'trunks', 'trunk_name=x', { headers: { 'content-type': type } });
    isFault(t, answer, [415, 1011]);
    t.equal(answer.json.response.error_data.message, 'Unsupported content type', type);
  }
  isFault(t, await ask('POST', 'trunks', { trunk_name: 'x'.repeat(70_000) }), [413, 1007]);
  const utf8 = await ask('POST', 'trunks', made(1), { headers: { 'content-type': 'application/json; charset=utf-8' } });
  t.equal(utf8.status, 200);
  t.equal((await ask('POST', 'trunks', { ...made(2), unheard_of: true })).status, 200, 'unknown members do no harm');
});

t.test('lists come in pages', async (t) => {
  const { ask, clock } = await exotelRig(t);
  for (let n = 1; n <= 4; n++) {
    await ask('POST', 'trunks', made(n));
    clock.advance(1000);
  }
  const names = (answer: { json: { response: { data: { trunk_name: string } }[] } }) =>
    answer.json.response.map((item) => item.data.trunk_name);
  const all = await ask('GET', 'trunks');
  t.strictSame(all.json.metadata, {
    page_size: 50,
    first_page_uri: '/v2/accounts/acme/trunks?offset=0&page_size=50',
    prev_page_uri: null,
    next_page_uri: null,
  });
  t.strictSame(names(all), ['by_hand', 'trunk_1', 'trunk_2', 'trunk_3', 'trunk_4']);
  t.match(all.json.response[0], { code: 200, error_data: null, status: 'success' });
  t.match(all.json, { method: 'GET', http_code: 200 });
  const middle = await ask('GET', 'trunks?page_size=2&offset=2');
  t.strictSame(names(middle), ['trunk_2', 'trunk_3']);
  t.strictSame(middle.json.metadata, {
    page_size: 2,
    first_page_uri: '/v2/accounts/acme/trunks?offset=0&page_size=2',
    prev_page_uri: '/v2/accounts/acme/trunks?offset=0&page_size=2',
    next_page_uri: '/v2/accounts/acme/trunks?offset=4&page_size=2',
  });
  const last = await ask('GET', String(middle.json.metadata.next_page_uri));
  t.strictSame(names(last), ['trunk_4']);
  t.equal(last.json.metadata.next_page_uri, null);
  t.strictSame(names(await ask('GET', 'trunks?trunk_sid=trk_hand')), ['by_hand']);
  t.strictSame(names(await ask('GET', 'trunks?trunk_sid=')), names(all));
  t.strictSame(names(await ask('GET', 'trunks?trunk_sid=trk_rival')), []);
  t.strictSame(names(await ask('GET', 'trunks?offset=99')), []);
  t.equal((await ask('GET', 'trunks?page_size=9999')).json.metadata.page_size, 1000);
  for (const query of ['page_size=0', 'page_size=x', 'offset=-1', 'offset=1.5', 'page_size=1&page_size=2']) {
    isFault(t, await ask('GET', `trunks?${query}`), [400, 1002]);
  }
});

t.test('a hand-written trunk is shown with what a document may leave out', async (t) => {
  const { ask } = await exotelRig(t);
  const { data } = (await ask('GET', 'trunks/trk_hand')).json.response;
  t.match(data, { domain_name: null, auth_type: 'IP-WHITELIST', nso_code: 'ANY-ANY', status: 'active' });
  t.strictSame([data.date_created, data.date_updated], [null, null]);
});

t.test('PUT changes what it names', async (t) => {
  const { ask } = await exotelRig(t);
  const { trunk_sid } = (await ask('POST', 'trunks', made(1))).json.response.data;
  const before = (await ask('GET', `trunks/${trunk_sid}`)).json.response.data;
  const answer = await ask('PUT', `trunks/${trunk_sid}`, { trunk_name: 'renamed', nso_code: 'IN-IN' });
  t.equal(answer.status, 200);
  t.strictSame(answer.json.response.data, { ...before, trunk_name: 'renamed', nso_code: 'IN-IN' });
  t.equal((await ask('PUT', `trunks/${trunk_sid}`, { trunk_name: 'renamed' })).status, 200, 'its own name is free');
  isFault(t, await ask('PUT', `trunks/${trunk_sid}`, { trunk_name: 'by_hand' }), [409, 1008]);
  isFault(t, await ask('PUT', `trunks/${trunk_sid}`, {}), [400, 1001]);
  isFault(t, await ask('PUT', `trunks/${trunk_sid}`, { status: 'asleep' }), [400, 1002, 'status must be']);
  isFault(t, await ask('PUT', 'trunks/none', { trunk_name: 'x' }), [404, 1000]);
  t.match((await ask('PUT', `trunks/${trunk_sid}`, { status: 'inactive' })).json.response.data, { status: 'inactive' });
});

t.test('a trunk goes with its numbers, in one revision', async (t) => {
  const { ask, directory } = await exotelRig(t);
  isFault(t, await ask('DELETE', 'trunks'), [400, 1001, 'trunk_sid']);
  isFault(t, await ask('DELETE', 'trunks?trunk_sid=trk_rival'), [404, 1000]);
  const count = (revision: string): number => Number.parseInt(revision, 10);
  const before = count(directory().revision);
  const answer = await ask('DELETE', 'trunks?trunk_sid=trk_hand', undefined, {
    headers: { 'content-type': 'application/json' },
  });
  t.equal(answer.status, 200);
  t.match(answer.json, { method: 'DELETE', response: { code: 200, data: { trunk_sid: 'trk_hand' } } });
  t.equal(count(directory().revision), before + 1);
  t.equal(directory().trunk('trk_hand'), undefined);
  t.equal(directory().number('+918040000001'), undefined);
  isFault(t, await ask('DELETE', 'trunks?trunk_sid=trk_hand'), [404, 1000]);
  const { trunk_sid } = (await ask('POST', 'trunks', made(1))).json.response.data;
  t.equal((await ask('DELETE', `trunks/${trunk_sid}`)).status, 200, 'by path as well');
});

t.test('additions: shown where they are set, taken from POST and PUT, removed by null', async (t) => {
  const { ask, directory } = await exotelRig(t);
  const additions = {
    limits: { calls_per_second: 5, concurrent_calls: 10 },
    failover: { '503': 'stop', '486': { rewrite: 480 } },
    allow_prefixes: ['91'],
    deny_prefixes: ['9190'],
    spend_per_day: { amount: '10.50', currency: 'USD' },
    media: { codecs: ['PCMA'], srtp: 'optional' },
    country_code: '91',
    national_prefix: '0',
    caller_id: 'reject',
  };
  const answer = await ask('POST', 'trunks', { ...made(1), ...additions });
  const { trunk_sid } = answer.json.response.data;
  for (const [name, value] of Object.entries(additions)) t.strictSame(answer.json.response.data[name], value, name);
  t.match(directory().trunk(trunk_sid), { limits: additions.limits, settings: { caller_id: 'reject' } });
  const gone = Object.fromEntries(Object.keys(additions).map((name) => [name, null]));
  const bare = await ask('PUT', `trunks/${trunk_sid}`, gone);
  const plain = await ask('POST', 'trunks', made(2));
  t.strictSame(Object.keys(bare.json.response.data), Object.keys(plain.json.response.data));
  t.notOk(Object.hasOwn(directory().trunk(trunk_sid) ?? {}, 'settings'), 'no empty settings stay behind');
  for (const [name, value] of Object.entries({
    limits: { calls_per_second: -1 },
    failover: { '99': 'next' },
    allow_prefixes: ['+91'],
    spend_per_day: { amount: 'much', currency: 'USD' },
    media: { codecs: ['G729'] },
    country_code: '+91',
    national_prefix: 'x',
    caller_id: 'anything',
  })) {
    isFault(t, await ask('PUT', `trunks/${trunk_sid}`, { [name]: value }), [400, 1002, name]);
  }
});

t.test('who may ask', async (t) => {
  const { ask, directory, errors } = await exotelRig(t);
  for (const as of ['', 'admin:wrong', 'nobody:a', 'admin']) {
    const answer = await ask('GET', 'trunks', undefined, { as });
    isFault(t, answer, [401, 1010]);
    t.match(answer.headers['www-authenticate'], /^Basic realm=/);
  }
  isFault(t, await ask('GET', '/v2/nothing', undefined, { as: '' }), [401, 1010]);
  isFault(t, await ask('GET', '/%76%32/accounts/acme/trunks', undefined, { as: '' }), [401, 1010]);
  const before = directory().revision;
  isFault(t, await ask('POST', 'trunks', made(1), { as: 'read:r' }), [403, 1403]);
  isFault(t, await ask('DELETE', 'trunks?trunk_sid=trk_hand', undefined, { as: 'read:r' }), [403, 1403]);
  for (const guard of ['limits', 'allow_prefixes', 'deny_prefixes', 'spend_per_day', 'caller_id']) {
    isFault(t, await ask('PUT', 'trunks/trk_hand', { [guard]: null }, { as: 'write:w' }), [403, 1403, guard]);
  }
  t.equal(directory().revision, before);
  t.equal((await ask('GET', 'trunks', undefined, { as: 'read:r' })).status, 200);
  t.equal((await ask('POST', 'trunks', made(1), { as: 'write:w' })).status, 200);
  t.same(errors, []);
});

t.test('another account is as unknown as one that never was', async (t) => {
  const { ask, directory } = await exotelRig(t);
  const words = (answer: { json: { response: object } }, name: string) =>
    JSON.stringify(answer.json.response).replaceAll(name, '*');
  const paths = [
    ['GET', ''],
    ['POST', ''],
    ['GET', '/trk_rival'],
    ['DELETE', '/trk_rival'],
    ['GET', '/trk_rival/credentials'],
  ] as const;
  for (const [method, path] of paths) {
    const body = method === 'POST' ? made(1) : undefined;
    const foreign = await ask(method, `/v2/accounts/rival/trunks${path}`, body);
    const unknown = await ask(method, `/v2/accounts/nobody/trunks${path}`, body);
    isFault(t, foreign, [404, 1000]);
    t.equal(words(foreign, 'rival'), words(unknown, 'nobody'), `${method} ${path}`);
  }
  const foreign = await ask('GET', 'trunks/trk_rival/phone-numbers');
  const unknown = await ask('GET', 'trunks/trk_nobody/phone-numbers');
  isFault(t, foreign, [404, 1000]);
  t.equal(words(foreign, 'trk_rival'), words(unknown, 'trk_nobody'));
  t.equal(directory().trunk('trk_rival')?.trunk_name, 'theirs');
  const operator = await ask('GET', '/v2/accounts/rival/trunks', undefined, { as: 'ops:o' });
  t.equal(operator.json.response[0].data.trunk_sid, 'trk_rival', 'an operator sees every account');
  isFault(t, await ask('GET', '/v2/accounts/nobody/trunks', undefined, { as: 'ops:o' }), [404, 1000]);
});

t.test('unknown paths, methods and URLs', async (t) => {
  const { ask } = await exotelRig(t);
  isFault(t, await ask('GET', 'nothing'), [404, 1000]);
  isFault(t, await ask('GET', '/v2/'), [404, 1000]);
  const patch = await ask('PATCH', 'trunks/trk_hand', { trunk_name: 'x' });
  isFault(t, patch, [405, 1405]);
  t.equal(patch.headers['allow'], 'GET, HEAD, PUT, DELETE');
  isFault(t, await ask('PUT', 'trunks', {}), [405, 1405]);
  isFault(t, await ask('GET', 'trunks/%zz'), [400, 1002]);
  isFault(t, await ask('GET', `trunks/${'x'.repeat(300)}`), [400, 1002]);
  t.equal((await ask('HEAD', 'trunks')).status, 200);
});

t.test('200 requests in any 60 seconds, each account for itself', async (t) => {
  const { ask, clock } = await exotelRig(t);
  for (let i = 0; i < 200; i++) {
    if (i === 100) clock.advance(30_000);
    const answer = await ask('GET', 'trunks/trk_hand');
    t.strictSame([answer.status, answer.headers['x-ratelimit-remaining']], [200, String(199 - i)]);
  }
  const refused = await ask('GET', 'trunks/trk_hand');
  isFault(t, refused, [429, 1429, 'again in 30 s']);
  t.equal(refused.headers['retry-after'], '30');
  t.match(refused.headers, {
    'x-ratelimit-limit': '200',
    'x-ratelimit-remaining': '0',
    'x-ratelimit-reset': String(Date.parse(NOW) / 1000 + 60),
  });
  t.equal((await ask('GET', 'trunks', undefined, { as: 'write:w' })).status, 429, 'its other keys too');
  t.equal((await ask('GET', '/v2/accounts/rival/trunks', undefined, { as: 'rival:x' })).status, 200);
  t.equal((await ask('GET', 'trunks', undefined, { as: '' })).status, 401, 'who is nobody uses nothing up');
  clock.advance(29_999);
  t.equal((await ask('GET', 'trunks/trk_hand')).status, 429);
  clock.advance(1);
  for (let i = 0; i < 100; i++) t.equal((await ask('GET', 'trunks/trk_hand')).status, 200);
  t.equal((await ask('GET', 'trunks/trk_hand')).headers['retry-after'], '30');
});

t.test('If-Match: a change is made to the revision that was read, or not at all', async (t) => {
  const { ask } = await exotelRig(t);
  const etag = String((await ask('GET', 'trunks/trk_hand')).headers['etag']);
  t.match(etag, /^"[^"]+"$/);
  const rename = (trunk_name: string, tag: string) =>
    ask('PUT', 'trunks/trk_hand', { trunk_name }, { headers: { 'if-match': tag } });
  const first = await rename('first', etag);
  t.equal(first.status, 200);
  isFault(t, await rename('second', etag), [412, 1412]);
  t.equal((await rename('third', String(first.headers['etag']))).status, 200);
  t.equal((await rename('fourth', '*')).status, 200);
  t.equal((await ask('GET', 'trunks/trk_hand')).json.response.data.trunk_name, 'fourth');
});

t.test('ActiveStreams: XML, of the own account', async (t) => {
  const { ask } = await exotelRig(t, {
    ...EXOTEL_DOCUMENT,
    accounts: EXOTEL_DOCUMENT.accounts.map((account) =>
      account.sid === 'rival' ? { ...account, limits: { concurrent_calls: 7 } } : account,
    ),
  });
  const path = '/v1/Accounts/acme/ActiveStreams';
  const answer = await ask('GET', path);
  t.equal(answer.status, 200);
  t.match(answer.headers['content-type'], /^application\/xml/);
  t.match(answer.text, /^<\?xml version="1.0" encoding="UTF-8"\?>\n<TwilioResponse>/);
  t.match(answer.text, '<ActiveStreamCount>3</ActiveStreamCount>');
  t.match(answer.text, '<ThrottleLimit>10000</ThrottleLimit>', 'all that the node takes');
  const rival = await ask('GET', '/v1/Accounts/rival/ActiveStreams', undefined, { as: 'rival:x' });
  t.match(rival.text, '<ActiveStreamCount>5</ActiveStreamCount>');
  t.match(rival.text, '<ThrottleLimit>7</ThrottleLimit>');
  for (const [wanted, as, status] of [
    [path, '', 401],
    [path, 'admin:no', 401],
    ['/v1/Accounts/rival/ActiveStreams', 'admin:a', 404],
    ['/v1/Accounts/nobody/ActiveStreams', 'admin:a', 404],
  ] as const) {
    const fault = await ask('GET', wanted, undefined, { as });
    t.equal(fault.status, status);
    t.match(fault.text, `<RestException>\n  <Status>${status}</Status>`);
  }
  for (let i = 0; i < 198; i++) await ask('GET', path);
  const refused = await ask('GET', path);
  t.equal(refused.status, 429);
  t.match(refused.headers['retry-after'], '60');
});

t.test('the routes tell what they are for', async (t) => {
  const { ask } = await exotelRig(t, EXOTEL_DOCUMENT);
  const { routes } = (await ask('GET', '/')).json as { routes: { path: string; summary: string }[] };
  const own = routes.filter(({ path }) => path.startsWith('/v2/accounts/:account_sid/'));
  t.ok(own.length >= 30, `${own.length} routes`);
  t.ok(own.every(({ summary }) => summary !== ''));
});
