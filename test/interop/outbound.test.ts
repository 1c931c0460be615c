/** Calls out of a real node, between SIPp and SIPp: by price, past a failing carrier, as gateways write numbers, proved, refused. */
import t from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { Sipp, type SippResult } from '../support/sipp.js';
import { attempts, has, verdict, went } from '../support/sippChecks.js';
import { TandemNode } from '../support/tandemNode.js';
import { callIdOf } from '../support/tandemNodeSite.js';

const NODE = '127.0.67.1';
const PBX = '127.0.67.2';
const STRICT_PBX = '127.0.67.3';
const CARRIERS = '127.0.67.10';
const PORT = 33_000;
const NUMBER = '+918040000001';
const ALIAS = '+918040000002';
const CALLED = '+447700900123';

/** Another exchange: to this one a carrier, and for it this one is a PBX that proves a password. */
const FAR = '127.0.67.4';
const FAR_PORT = 33_010;

const gatewayPort = { far: FAR_PORT, dear: 33_101, cheap: 33_102, prefixed: 33_103, strict: 33_104 } as const;
type CarrierName = keyof typeof gatewayPort;

const carrier = (id: CarrierName, price: string | undefined, gateway: object = {}, more: object = {}): object => ({
  id,
  source_acl: [{ ip: CARRIERS }],
  gateways: [{ uri: `sip:${CARRIERS}:${gatewayPort[id]}`, ...gateway }],
  ...(price === undefined ? {} : { flat_rate: { outbound_price: price, currency: 'USD' } }),
  ...more,
});

const node = await TandemNode.start({
  address: NODE,
  port: PORT,
  // An OPTIONS to a gateway that was down would meet a SIPp that waits for an INVITE.
  config: { calls: { health: { probeDownMs: 0 } } },
  routing: {
    accounts: [{ sid: 'demo', carrier_order: 'least_cost', carriers: ['dear', 'cheap'] }],
    carriers: [
      carrier('dear', '0.02', {}, { identity: { p_asserted_identity: true, diversion: true } }),
      carrier('cheap', '0.019999'),
      carrier('prefixed', undefined, { tech_prefix: '9011', number_style: 'digits' }),
      carrier(
        'far',
        undefined,
        { uri: `sip:${FAR}:${FAR_PORT}` },
        { credentials: { user_name: 'pbx', password: 'geheim', realm: 'tandem' } },
      ),
      carrier('strict', undefined, {}, { credentials: { user_name: 'tandem', password: 'geheim', realm: 'carrier' } }),
    ],
    trunks: [
      {
        trunk_sid: 'trk',
        account_sid: 'demo',
        trunk_name: 'pbx',
        whitelisted_ips: [{ ip: PBX }],
        phone_numbers: [
          { phone_number: NUMBER },
          { phone_number: ALIAS },
          { phone_number: '+918040000003', carrier: 'prefixed' },
          { phone_number: '+918040000004', carrier: 'strict' },
          { phone_number: '+918040000005', carrier: 'far' },
        ],
        settings: { trunk_external_alias: ALIAS },
        deny_prefixes: ['4490'],
      },
      {
        trunk_sid: 'trk_strict',
        account_sid: 'demo',
        trunk_name: 'strict',
        whitelisted_ips: [{ ip: STRICT_PBX }],
        phone_numbers: [{ phone_number: '+918040000009' }],
      },
    ],
  },
});
t.teardown(() => node.stop());

const far = await TandemNode.start({
  address: FAR,
  port: FAR_PORT,
  routing: {
    accounts: [{ sid: 'demo' }],
    carriers: [carrier('cheap', undefined)],
    trunks: [
      {
        trunk_sid: 'trk_far',
        account_sid: 'demo',
        trunk_name: 'far',
        credentials: [{ user_name: 'pbx', password: 'geheim' }],
        phone_numbers: [{ phone_number: '+918040000005' }],
      },
    ],
  },
});
t.teardown(() => far.stop());

let callerPort = 33_300;

interface Placed {
  readonly caller: SippResult;
  readonly record: CallRecord;
  readonly callees: { readonly [name in CarrierName]?: SippResult };
}

/** @param callees scenario of each carrier that is there */
const place = async (
  callees: { readonly [name in CarrierName]?: string },
  { from = NUMBER, to = CALLED, address = PBX, scenario = 'answer' } = {},
): Promise<Placed> => {
  const started: [CarrierName, Sipp][] = [];
  for (const [name, behaviour] of Object.entries(callees) as [CarrierName, string][]) {
    const plan = { scenario: `uas/${behaviour}`, address: CARRIERS, port: gatewayPort[name] };
    started.push([name, await Sipp.start(plan)]);
  }
  try {
    const caller = await Sipp.run({
      scenario: `uac/${scenario}`,
      address,
      port: callerPort++,
      remote: `${NODE}:${PORT}`,
      service: to,
      keys: { caller: from },
    });
    const record = await node.record(callIdOf(caller));
    const results: { [name in CarrierName]?: SippResult } = {};
    for (const [name, sipp] of started) results[name] = await sipp.result;
    return { caller, record, callees: results };
  } finally {
    for (const [, sipp] of started) await sipp.stop();
  }
};

const inviteOf = (result: SippResult | undefined) => result?.received.find(({ method }) => method === 'INVITE');

t.test('the cheaper carrier is called, by a price that the record keeps', async (t) => {
  const { caller, record, callees } = await place({ cheap: 'answer' });
  went(t, caller, callees.cheap as SippResult);
  has(t, record, { outcome: 'answered', carrierId: 'cheap', callerSent: NUMBER });
  t.match(record.decision.destinations, [
    { carrierId: 'cheap', rate: { outbound_price: '0.019999' } },
    { carrierId: 'dear' },
  ]);
  t.notOk(inviteOf(callees.cheap)?.header('P-Asserted-Identity'), 'it does not ask for identities');
});

t.test('a call that was is explained by its record and by the document of now', async (t) => {
  const { record } = await place({ cheap: 'answer' });
  const asked = await fetch(`http://${NODE}:${PORT + 1}/api/explain`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ callId: record.callId }),
  });
  t.equal(asked.status, 200);
  t.match(await asked.json(), {
    callId: record.callId,
    changed: [],
    then: { carrierId: 'cheap', attempts: [{ price: '0.019999' }, { price: '0.02' }] },
    now: {
      reasonCode: 'routed',
      attempts: [{ carrierId: 'cheap' }, { carrierId: 'dear', headers: [['From', `<sip:${NUMBER}@localhost>`]] }],
      limitsNow: [{ key: 'trunk:trk', callsUp: 0, room: true }],
    },
  });
});

t.test('a 503 of the cheaper one: the other is called, and told who calls', async (t) => {
  const { caller, record, callees } = await place({ cheap: 'unavailable', dear: 'answer' }, { from: '1001' });
  went(t, caller, callees.dear as SippResult);
  t.strictSame(attempts(record), ['503 response', '200 answered']);
  has(t, record, { outcome: 'answered', carrierId: 'dear', callerReceived: '1001', callerSent: ALIAS });
  const invite = inviteOf(callees.dear);
  t.match(invite?.header('From'), `<sip:${ALIAS}@`, 'the caller ID is replaced');
  t.match(invite?.header('P-Asserted-Identity'), `<sip:${ALIAS}@${NODE}`);
});

t.test('a gateway gets the number as it writes it', async (t) => {
  const { caller, callees } = await place({ prefixed: 'answer' }, { from: '+918040000003' });
  went(t, caller, callees.prefixed as SippResult);
  const invite = inviteOf(callees.prefixed);
  t.match(invite?.uri, /^sip:9011447700900123@/);
  t.match(invite?.header('To'), '<sip:9011447700900123@');
});

t.test('a carrier that challenges is proved who calls', async (t) => {
  const { caller, record, callees } = await place({ strict: 'challenge' }, { from: '+918040000004' });
  went(t, caller, callees.strict as SippResult);
  has(t, record, { outcome: 'answered', carrierId: 'strict' });
  t.strictSame(attempts(record), ['200 answered']);
  t.notMatch(JSON.stringify(record), /geheim/);
});

t.test('a caller at an address that nobody lists proves a password, and its call is routed', async (t) => {
  const { caller, record, callees } = await place({ cheap: 'answer' }, { from: '+918040000005' });
  went(t, caller, callees.cheap as SippResult);
  has(t, record, { outcome: 'answered', carrierId: 'far' });
  const there = far.records();
  t.equal(there.length, 1, 'the challenge is no call');
  t.match(there[0], { outcome: 'answered', trunkSid: 'trk_far', decision: { userName: 'pbx' } });
  const stranger = await Sipp.run({
    scenario: 'uac/refused',
    address: STRICT_PBX,
    port: callerPort++,
    remote: `${FAR}:${FAR_PORT}`,
    service: CALLED,
    keys: { caller: '+918040000005' },
    limitMs: 5000,
  });
  t.match(stranger.received[0], { status: 401 }, 'without one it is asked for it');
  t.equal((await far.dump()).service.liveCalls, 0);
  t.equal(far.records().length, 1);
});

t.test('a denied prefix and a strange caller ID are refused with the reason, and one alarm', async (t) => {
  for (let i = 0; i < 2; i++) {
    const { caller, record } = await place({}, { to: '+449012345678', scenario: 'refused' });
    t.match(verdict(caller).header('Reason'), /cause=403;text="destination_denied"/);
    has(t, record, { outcome: 'rejected', sipStatus: 403, reasonCode: 'destination_denied', destination: null });
  }
  await node.logged(/"alarm":"premium_prefix_denied"/);
  t.equal(node.log.filter((line) => line.includes('premium_prefix_denied')).length, 1);
  const stranger = await place({}, { from: '+15550001', address: STRICT_PBX, scenario: 'refused' });
  t.match(verdict(stranger.caller).header('Reason'), /caller_id_not_mapped/);
});
