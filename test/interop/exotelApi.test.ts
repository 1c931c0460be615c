/**
 * The steps that Exotel's guide walks a new customer through, with curl against a running node, and the calls that each
 * step allows or forbids.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';
import { parse } from 'yaml';
import { type Curled, curlJson, curlText } from '../support/curl.js';
import { bounded } from '../support/endpoints.js';
import { Sipp, type SippPlan } from '../support/sipp.js';
import { answeredAt, refusedWith } from '../support/sippCalls.js';
import { attempts, has, went } from '../support/sippChecks.js';
import { TandemNode } from '../support/tandemNode.js';

const NODE = '127.0.66.1';
const CARRIER = '127.0.66.20';
const PBX = '127.0.66.30';
const STRANGER = '127.0.66.40';
const PORT = 32_000;
const GATEWAY_PORT = 32_100;
const PBX_PORT = 32_200;
const SECOND_PBX_PORT = 32_201;
const BOT = '127.0.66.50';
const BOT_PORT = 32_400;
const NUMBER = '+918040000001';
const FOREIGN = '+919812345678';

/** What the operator brings: accounts, carriers, flows. The customer makes the rest. */
const node = await TandemNode.start({
  address: NODE,
  port: PORT,
  routing: {
    accounts: [
      { sid: 'acme', api_keys: [{ key: 'acme_key', token: 'acme_token' }] },
      { sid: 'rival', api_keys: [{ key: 'rival_key', token: 'rival_token' }] },
    ],
    carriers: [
      {
        id: 'telco',
        kind: 'byo',
        source_acl: [{ ip: CARRIER }],
        gateways: [{ uri: `sip:${CARRIER}:${GATEWAY_PORT}` }],
      },
    ],
    flows: [
      { id: 'flw_closed', start: 'no', nodes: { no: { applet: 'reject', params: { status: 603 } } } },
      {
        id: 'flw_bot',
        start: 'bot',
        nodes: {
          bot: { applet: 'voicebot', params: { url: `ws://${BOT}:${BOT_PORT}/` }, exits: { next: 'bye' } },
          bye: { applet: 'hangup' },
        },
      },
      { id: 'flw_busy', start: 'no', nodes: { no: { applet: 'reject', params: { status: 486 } } } },
    ],
  },
  config: {
    admin: { listen: `${NODE}:${PORT + 1}`, trunkDomain: 'tandem.test' },
    media: { address: NODE, rtpPorts: [32_600, 32_699], workers: 1, egress: [`${BOT}/32`] },
    calls: { silenceTimeoutMs: 1000, health: { probeDownMs: 0 } },
  },
});
t.teardown(() => node.stop());

/** `curl -X METHOD http://key:token@host/v2/accounts/acme/PATH`, as the guide writes it. */
const curl = (method: string, path: string, body?: object, keys = 'acme_key:acme_token'): Promise<Curled> =>
  curlJson(method, `http://${keys}@${NODE}:${PORT + 1}/v2/accounts/acme/${path}`, body);

const done = async (t: Test, method: string, path: string, body?: object): Promise<Curled['json']> => {
  const { status, json } = await curl(method, path, body);
  t.equal(status, 200, `${method} ${path}`);
  return json.response.data ?? json.response;
};

let callerPort = 32_300;
const caller = (address: string, called: string, from: string, scenario: string): SippPlan => ({
  scenario: `uac/${scenario}`,
  address,
  port: callerPort++,
  remote: `${NODE}:${PORT}`,
  service: called,
  keys: { caller: from },
});

const refused = (t: Test, plan: SippPlan, status: number, reasonCode: string): Promise<void> =>
  refusedWith(t, node, plan, [status, reasonCode]);

const inbound = (scenario: string) => caller(CARRIER, NUMBER, FOREIGN, scenario);
const outbound = (scenario: string, from = NUMBER, address = PBX) => caller(address, FOREIGN, from, scenario);

let trunk = '';
let numberId = '';
let ipId = '';

void t.test('without a key nothing is served, nor with that of another account', async (t) => {
  t.equal((await curl('GET', 'trunks', undefined, 'acme_key:wrong')).status, 401);
  t.equal((await curl('GET', 'trunks', undefined, 'rival_key:rival_token')).status, 404);
});

void t.test('step 1: a trunk, and its number is still nobody’s', async (t) => {
  const body = { trunk_name: 'outbound_trunk', nso_code: 'ANY-ANY', domain_name: 'acme.pstn.exotel.com' };
  const made = await done(t, 'POST', 'trunks', body);
  t.match(made, { trunk_name: 'outbound_trunk', domain_name: 'acme.pstn.exotel.com', status: 'active' });
  trunk = String(made.trunk_sid);
  t.equal((await curl('POST', 'trunks', body)).status, 409, 'not twice');
  await refused(t, inbound('refused'), 404, 'number_not_found');
  await refused(t, outbound('refused'), 403, 'source_not_allowed');
});

void t.test('step 2: a number is mapped; without a destination it leads nowhere', async (t) => {
  const made = await done(t, 'POST', `trunks/${trunk}/phone-numbers`, { phone_number: NUMBER });
  t.match(made, { phone_number: NUMBER, mode: null });
  numberId = String(made.id);
  const again = await curl('POST', `trunks/${trunk}/phone-numbers`, { phone_number: NUMBER });
  t.strictSame([again.status, again.json.http_code, again.json.response.code], [200, 200, 409]);
  await refused(t, inbound('refused'), 480, 'trunk_has_no_destination');
  t.match(await done(t, 'GET', `trunk-maps?exophone=${encodeURIComponent(NUMBER)}`), { trunk_sid: trunk });
});

void t.test('step 3: the address is whitelisted, and calls from it go out', async (t) => {
  const early = { destinations: [{ destination: `${PBX}:${PBX_PORT};transport=udp` }] };
  const refusal = await curl('POST', `trunks/${trunk}/destination-uris`, early);
  t.equal(refusal.status, 207);
  t.equal(refusal.json.response[0].error_data.description, 'Destination not whitelisted');
  const made = await done(t, 'POST', `trunks/${trunk}/whitelisted-ips`, { ip: PBX, mask: 32 });
  t.match(made, { ip: PBX, mask: 32 });
  ipId = String(made.id);
  const { record } = await answeredAt(t, node, outbound('answer'), [CARRIER, GATEWAY_PORT]);
  has(t, record, { direction: 'outbound', trunkSid: trunk, carrierId: 'telco', callerSent: NUMBER });
  await refused(t, outbound('refused', NUMBER, STRANGER), 403, 'source_not_allowed');
  await refused(t, outbound('refused', '+914412345678'), 403, 'caller_id_not_mapped');
});

void t.test('step 4: a destination, and the number reaches the PBX', async (t) => {
  const body = { destinations: [{ destination: `${PBX}:${PBX_PORT};transport=udp` }] };
  const [item] = (await curl('POST', `trunks/${trunk}/destination-uris`, body)).json.response;
  t.equal(item.data.destination, `sip:${PBX}:${PBX_PORT};transport=udp`);
  const { record } = await answeredAt(t, node, inbound('answer'), [PBX, PBX_PORT]);
  has(t, record, { direction: 'inbound', trunkSid: trunk });
  t.strictSame(attempts(record), ['200 answered']);
});

void t.test('a second destination of higher priority comes first', async (t) => {
  const body = { destinations: [{ destination: `${PBX}:${SECOND_PBX_PORT};transport=udp` }] };
  await curl('POST', `trunks/${trunk}/destination-uris`, body);
  const [first] = await done(t, 'GET', `trunks/${trunk}/destination-uris`);
  await done(t, 'PUT', `trunks/${trunk}/destination-uris/${first.data.id}`, { priority: 5, weight: 1 });
  await answeredAt(t, node, inbound('answer'), [PBX, SECOND_PBX_PORT]);
  const { record } = await answeredAt(t, node, inbound('answer'), [PBX, PBX_PORT]);
  t.equal(record.attempts.length, 2, 'and the first when that is away');
});

void t.test('mode: a flow answers, then the trunk again', async (t) => {
  const path = `trunks/${trunk}/phone-numbers/${numberId}`;
  await done(t, 'PUT', path, { phone_number: NUMBER, mode: 'flow', flow: 'flw_closed' });
  await refused(t, inbound('refused'), 603, 'flow_reject');
  await done(t, 'PUT', path, { phone_number: NUMBER, mode: 'flow', flow: 'flw_busy' });
  await refused(t, inbound('refused'), 486, 'flow_reject');
  await done(t, 'PUT', path, { phone_number: NUMBER, mode: 'pstn' });
  await answeredAt(t, node, inbound('answer'), [PBX, SECOND_PBX_PORT]);
});

void t.test('ActiveStreams counts the streams of the account while they run', async (t) => {
  const count = async (): Promise<string | undefined> => {
    const place = `acme_key:acme_token@${NODE}:${PORT + 1}/v1/Accounts/acme/ActiveStreams`;
    return /<ActiveStreamCount>(\d+)</.exec((await curlText('GET', `http://${place}`)).text)?.[1];
  };
  const path = `trunks/${trunk}/phone-numbers/${numberId}`;
  await done(t, 'PUT', path, { phone_number: NUMBER, mode: 'flow', flow: 'flw_bot' });
  const bot = new WebSocketServer({ host: BOT, port: BOT_PORT });
  t.teardown(() => bot.close());
  const connected = once(bot, 'connection') as Promise<[WebSocket]>;
  t.equal(await count(), '0');
  const callerThere = await Sipp.start(inbound('hung_up_on'));
  t.teardown(() => callerThere.stop());
  const [socket] = await connected;
  await bounded('the stream is counted', 5000, async () => (await count()) === '1');
  socket.close();
  went(t, await callerThere.result);
  await bounded('and no more', 5000, async () => (await count()) === '0');
  await done(t, 'PUT', path, { phone_number: NUMBER, mode: 'pstn' });
});

void t.test('settings: the alias speaks for callers that are not mapped, limits hold, both can go', async (t) => {
  const path = `trunks/${trunk}/settings`;
  await done(t, 'POST', path, { settings: [{ name: 'trunk_external_alias', value: NUMBER }] });
  const { record } = await answeredAt(t, node, outbound('answer', '1001'), [CARRIER, GATEWAY_PORT]);
  has(t, record, { callerReceived: '1001', callerSent: NUMBER });
  await done(t, 'DELETE', `${path}?name=trunk_external_alias`);
  await refused(t, outbound('refused', '1001'), 403, 'caller_id_not_mapped');
  await done(t, 'POST', path, { settings: [{ name: 'limits', value: { concurrent_calls: 0 } }] });
  await refused(t, inbound('refused'), 503, 'trunk_concurrent_calls');
  await done(t, 'DELETE', `${path}?name=limits`);
  await answeredAt(t, node, inbound('answer'), [PBX, SECOND_PBX_PORT]);
});

void t.test('an inactive trunk takes no calls, and an active one does', async (t) => {
  await done(t, 'PUT', `trunks/${trunk}`, { status: 'inactive' });
  await refused(t, inbound('refused'), 480, 'trunk_inactive');
  await done(t, 'PUT', `trunks/${trunk}`, { status: 'active', trunk_name: 'renamed' });
  await answeredAt(t, node, outbound('answer'), [CARRIER, GATEWAY_PORT]);
});

void t.test('credentials are kept, and shown without the password', async (t) => {
  const made = await done(t, 'POST', `trunks/${trunk}/credentials`, { user_name: 'pbx', password: 'S3cretWord' });
  const listed = await curl('GET', `trunks/${trunk}/credentials`);
  t.strictSame(listed.json.response[0].data, made);
  t.notMatch(JSON.stringify(listed.json), 'S3cretWord');
  await done(t, 'DELETE', `trunks/${trunk}/credentials?id=${made.id}`);
});

void t.test('what is taken away is forbidden at once', async (t) => {
  await done(t, 'DELETE', `trunks/${trunk}/whitelisted-ips?id=${ipId}`);
  await refused(t, outbound('refused'), 403, 'source_not_allowed');
  await done(t, 'DELETE', `trunks/${trunk}/phone-numbers?id=${numberId}`);
  await refused(t, inbound('refused'), 404, 'number_not_found');
  await done(t, 'POST', `trunks/${trunk}/phone-numbers`, { phone_number: NUMBER, mode: 'pstn' });
  await answeredAt(t, node, inbound('answer'), [PBX, SECOND_PBX_PORT]);
  const gone = await done(t, 'DELETE', `trunks?trunk_sid=${trunk}`);
  t.equal(gone.trunk_name, 'renamed');
  await refused(t, inbound('refused'), 404, 'number_not_found');
  t.equal((await curl('GET', `trunks/${trunk}`)).status, 404);
});

void t.test('every change is one revision of the file, signed by the key', async (t) => {
  const file = join(node.folder, 'routing.yaml');
  t.strictSame((parse(readFileSync(file, 'utf8')) as { trunks: unknown[] }).trunks, []);
  const history = readFileSync(join(`${file}.revisions`, 'index.jsonl'), 'utf8')
    .trim()
    .split('\n');
  const authors = new Set(history.map((line) => (JSON.parse(line) as { author: string }).author));
  t.strictSame([...authors], ['v2:acme/acme_key']);
  await node.quiet();
});
