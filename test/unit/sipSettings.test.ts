/** Settings of `sip` in trunks and carriers: what a document may say, and how it reaches the legs of a call. */
import t from 'tap';
import { TableBuilder } from '../../src/call/routing/compile.js';
import { NO_LIMITS, decide } from '../../src/call/routing/decide.js';
import { decideDial } from '../../src/call/routing/decideDial.js';
import type { CallRequest } from '../../src/call/routing/decision.js';
import { formatDecision } from '../../src/call/routing/explain.js';
import type { SipSettings } from '../../src/call/routing/resources.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import type { RoutingTable } from '../../src/call/routing/table.js';

const ofCarrier: SipSettings = { reliable_provisionals: 'terminate' };
const ofTrunk: SipSettings = { reliable_provisionals: 'off' };
const context = { limits: NO_LIMITS, nowMs: 0, random: () => 0 };

const documentWith = (carrier: unknown, trunk: unknown): unknown => ({
  accounts: [{ sid: 'acc' }],
  carriers: [
    { id: 'telco', source_acl: [{ ip: '192.0.2.1' }], gateways: [{ uri: 'sip:192.0.2.1' }], ...(carrier as object) },
  ],
  trunks: [
    {
      trunk_sid: 'trk',
      account_sid: 'acc',
      trunk_name: 'alpha',
      whitelisted_ips: [{ ip: '10.0.0.1' }],
      destination_uris: [{ destination: '10.0.0.1' }],
      phone_numbers: [{ phone_number: '+918040000001', carrier: 'telco' }],
      ...(trunk as object),
    },
  ],
});

const tableOf = async (carrier: unknown, trunk: unknown): Promise<RoutingTable> => {
  const checked = validateDocument(documentWith(carrier, trunk));
  if (!checked.ok) throw new Error(JSON.stringify(checked.error));
  return new TableBuilder().compile({ kind: 'full', revision: 'r1', batches: [flatten(checked.value)] });
};

const inbound: CallRequest = {
  sourceAddress: '192.0.2.1',
  sourcePort: 5060,
  transport: 'udp',
  calledNumber: '+918040000001',
  callerNumber: '+442071838750',
};
const outbound: CallRequest = {
  ...inbound,
  sourceAddress: '10.0.0.1',
  calledNumber: '+442071838750',
  callerNumber: '+918040000001',
};

t.test('each leg has the settings of whoever is at its far end', async (t) => {
  const table = await tableOf({ sip: ofCarrier }, { sip: ofTrunk });
  const coming = decide(table, inbound, context);
  t.same([coming.sip, coming.destinations[0]?.sip], [ofCarrier, ofTrunk]);
  const leaving = decide(table, outbound, context);
  t.same([leaving.sip, leaving.destinations[0]?.sip], [ofTrunk, ofCarrier]);
  const origin = { decision: coming, request: inbound };
  const dialled = (target: Parameters<typeof decideDial>[2]['target']): SipSettings | undefined =>
    decideDial(table, origin, { target, callerId: undefined }, context).destinations[0]?.sip;
  t.same(dialled({ kind: 'number', number: '+442071838751' }), ofCarrier);
  t.same(dialled({ kind: 'trunk', trunkSid: 'trk' }), ofTrunk);
  t.equal(dialled({ kind: 'uri', uri: 'sip:bob@198.51.100.1' }), undefined);
});

t.test('explain shows them', async (t) => {
  const text = formatDecision(decide(await tableOf({ sip: ofCarrier }, { sip: ofTrunk }), inbound, context));
  t.match(text, /sip: {5}\{"reliable_provisionals":"terminate"\}/);
  t.match(text, /weight 1, sip \{"reliable_provisionals":"off"\}\)/);
});

t.test('a decision that nobody set anything for says nothing of them', async (t) => {
  const decision = decide(await tableOf({}, {}), inbound, context);
  t.equal(decision.sip, undefined);
  t.equal(decision.destinations[0]?.sip, undefined);
  t.notMatch(formatDecision(decision), /sip \{/);
});

t.test('words and keys that do not exist are refused by name', async (t) => {
  for (const [sip, rule] of [
    [{ reliable_provisionals: 'always' }, /carriers\[0\]\.sip\.reliable_provisionals/],
    [{ reliable_provisional: 'off' }, /reliable_provisional/],
  ] as const) {
    const checked = validateDocument(documentWith({ sip }, {}));
    t.match(checked.ok ? 'accepted' : JSON.stringify(checked.error), rule);
  }
});
