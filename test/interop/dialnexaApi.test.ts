/**
 * A customer brings a number along with curl, as DialNexa's guide has it, against a running node; then the calls that this
 * allows and forbids.
 */
import t, { type Test } from 'tap';
import { type Curled, curlJson } from '../support/curl.js';
import { Sipp, type SippPlan } from '../support/sipp.js';
import { answeredAt, refusedWith } from '../support/sippCalls.js';
import { has, went } from '../support/sippChecks.js';
import { TandemNode } from '../support/tandemNode.js';

const NODE = '127.0.69.1';
const PROVIDER = '127.0.69.20';
const PBX = '127.0.69.30';
const PORT = 35_100;
const ADMIN = `${NODE}:35101`;
const PROVIDER_PORT = 35_200;
const PBX_PORT = 35_300;
const NUMBER = '+14155550100';
const FOREIGN = '+442071234567';

/** The customer has a PBX with a trunk; the node's own carrier calls listed numbers only. */
const node = await TandemNode.start({
  address: NODE,
  port: PORT,
  routing: {
    accounts: [{ sid: 'acme', prefix_mode: 'allow_only_listed', api_keys: [{ key: 'KEY', token: 'SECRET' }] }],
    carriers: [{ id: 'telco', gateways: [{ uri: `sip:127.0.69.40:${PROVIDER_PORT}` }] }],
    network_groups: [{ carrier: 'telco', country_iso: 'IN', name: 'India', prefixes: ['91'] }],
    trunks: [
      {
        trunk_sid: 'trk_pbx',
        account_sid: 'acme',
        trunk_name: 'default',
        whitelisted_ips: [{ ip: PBX }],
        destination_uris: [{ destination: `${PBX}:${PBX_PORT}` }],
        phone_numbers: [{ phone_number: '+14155550199', mode: 'pstn', carrier: 'telco' }],
      },
    ],
    flows: [
      { id: 'desk', version: 4, start: 'no', nodes: { no: { applet: 'reject', params: { status: 603 } } } },
      { id: 'desk@3', version: 3, start: 'no', nodes: { no: { applet: 'reject', params: { status: 486 } } } },
    ],
  },
  config: { admin: { listen: ADMIN }, media: { address: NODE, rtpPorts: [35_600, 35_699], workers: 1 } },
});
t.teardown(() => node.stop());

const curl = (method: string, path: string, body?: object, key = 'KEY:SECRET'): Promise<Curled> =>
  curlJson(method, `http://${ADMIN}${path}`, body, ['-H', `Authorization: Bearer ${key}`]);

let callerPort = 35_400;
const caller = (address: string, called: string, from: string, scenario: string): SippPlan => ({
  scenario: `uac/${scenario}`,
  address,
  port: callerPort++,
  remote: `${NODE}:${PORT}`,
  service: called,
  keys: { caller: from },
});
const outbound = (scenario: string, from = NUMBER) => caller(PBX, FOREIGN, from, scenario);
const inbound = (scenario: string) => caller(PROVIDER, NUMBER, FOREIGN, scenario);

const refused = (t: Test, plan: SippPlan, status: number, reasonCode: string): Promise<void> =>
  refusedWith(t, node, plan, [status, reasonCode]);

const NUMBERS = '/v1/organization-phone-numbers';
const asked = {
  phoneNumber: NUMBER,
  terminationUri: `${PROVIDER}:${PROVIDER_PORT}`,
  authMode: 'userpass',
  sipTrunkUserName: 'tandem',
  sipTrunkPassword: 'geheim',
  nickname: 'main line',
};
let id = '';

void t.test('a number is brought along once its provider answers', async (t) => {
  t.equal((await curl('GET', NUMBERS, undefined, 'KEY:WRONG')).status, 401);
  await refused(t, inbound('refused'), 403, 'source_not_allowed');
  const away = await curl('POST', `${NUMBERS}/sip-trunks`, asked);
  t.match(away, { status: 502, json: { statusCode: 502, error: 'Bad Gateway', message: /does not answer/ } });
  const provider = await Sipp.start({ scenario: 'uas/options_challenged', address: PROVIDER, port: PROVIDER_PORT });
  const made = await curl('POST', `${NUMBERS}/sip-trunks`, asked);
  t.match(made, { status: 201, json: { phone_number: NUMBER, provider: 'byo_sip', status: 'active' } });
  went(t, await provider.result);
  id = String(made.json.id);
  t.equal((await curl('POST', `${NUMBERS}/sip-trunks`, asked)).status, 409);
  t.match((await curl('GET', NUMBERS)).json, { total: 2, items: [{ id }, {}] });
});

void t.test('calls that show it leave through its provider, whose challenge is answered', async (t) => {
  const { called, record } = await answeredAt(t, node, outbound('answer'), [PROVIDER, PROVIDER_PORT, 'challenge']);
  has(t, record, { direction: 'outbound', trunkSid: 'trk_pbx', callerSent: NUMBER });
  t.match(record.carrierId, /^byo_/);
  const invites = called.received.filter((message) => message.startLine.startsWith('INVITE '));
  const last = invites.at(-1)?.raw.toString('latin1');
  t.match(last, /Authorization: Digest username="tandem"/);
  t.match(last, new RegExp(`From: [^\r]*\\${NUMBER}@`));
  await refused(t, outbound('refused', '+14155550199'), 403, 'destination_not_listed');
});

void t.test('calls from its provider reach the PBX, or the agent version that answers', async (t) => {
  const { record } = await answeredAt(t, node, inbound('answer'), [PBX, PBX_PORT, 'answer']);
  has(t, record, { direction: 'inbound', trunkSid: 'trk_pbx' });
  for (const [version, status] of [
    [3, 486],
    [4, 603],
  ] as const) {
    const inbound_agent = { agent_id: 'desk', agent_version_number: version };
    t.equal((await curl('PATCH', `${NUMBERS}/${id}`, { inbound_agent })).status, 200);
    await refused(t, inbound('refused'), status, 'flow_reject');
  }
  t.equal((await curl('DELETE', `${NUMBERS}/${id}`)).status, 409, 'in use');
  t.equal((await curl('PATCH', `${NUMBERS}/${id}`, { inbound_agent: null })).status, 200);
  await answeredAt(t, node, inbound('answer'), [PBX, PBX_PORT, 'answer']);
});

void t.test('the one toggle of numbers brought along', async (t) => {
  t.equal((await curl('PATCH', '/api/telephony/config', { byo_enabled: false })).status, 200);
  await refused(t, outbound('refused'), 403, 'byo_disabled');
  t.equal((await curl('PATCH', '/api/telephony/config', { byo_enabled: true })).status, 200);
  await answeredAt(t, node, outbound('answer'), [PROVIDER, PROVIDER_PORT, 'challenge']);
});

void t.test('a deleted number is nobody’s, and its provider a stranger', async (t) => {
  t.equal((await curl('DELETE', `${NUMBERS}/${id}`)).status, 200);
  await refused(t, inbound('refused'), 403, 'source_not_allowed');
  await refused(t, outbound('refused', NUMBER), 403, 'caller_id_not_mapped');
  await node.quiet();
});
