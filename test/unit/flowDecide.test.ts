/** Numbers that flows answer, and where flows dial, by the routing table alone. */
import t from 'tap';
import { decide, NO_LIMITS } from '../../src/call/routing/decide.js';
import { decideDial } from '../../src/call/routing/decideDial.js';
import { TableHolder } from '../../src/call/routing/compile.js';
import type { CallRequest } from '../../src/call/routing/decision.js';
import { flattenBatches, validateDocument, validateResource } from '../../src/call/routing/schema.js';
import type { RoutingTable } from '../../src/call/routing/table.js';

const CONTEXT = { limits: NO_LIMITS, nowMs: 0, random: () => 0 };
const nodes = { end: { applet: 'hangup' } };

const document = (flows: readonly object[], flow = 'flw_welcome') => ({
  carriers: [{ id: 'telco', source_acl: [{ ip: '192.0.2.1' }], gateways: [{ uri: 'sip:192.0.2.1:5060' }] }],
  trunks: [
    {
      trunk_sid: 'trk',
      account_sid: 'demo',
      trunk_name: 'pbx',
      destination_uris: [{ destination: '192.0.2.9:5060' }],
      phone_numbers: [{ phone_number: '+918040000002', mode: 'flow', flow, carrier: 'telco' }],
    },
    { trunk_sid: 'trk_off', account_sid: 'demo', trunk_name: 'off', status: 'inactive' },
    { trunk_sid: 'trk_bare', account_sid: 'demo', trunk_name: 'bare' },
  ],
  flows,
});

const tableOf = async (data: object): Promise<RoutingTable> => {
  const checked = validateDocument(data);
  if (!checked.ok) throw new Error(checked.error.map(({ message }) => message).join('\n'));
  const holder = new TableHolder();
  await holder.apply({ kind: 'full', revision: 'r1', batches: flattenBatches(checked.value) });
  return holder.current;
};

const request: CallRequest = {
  sourceAddress: '192.0.2.1',
  sourcePort: 5060,
  transport: 'udp',
  calledNumber: '+918040000002',
  callerNumber: '+919812345678',
};

t.test('a number whose flow is published is routed to it; one whose flow is not says what is near', async (t) => {
  const table = await tableOf(document([{ id: 'flw_welcome', version: 3, start: 'end', nodes }]));
  const decision = decide(table, request, CONTEXT);
  t.match(decision, { accepted: true, mode: 'flow', flow: { id: 'flw_welcome', version: 3 }, destinations: [] });
  t.match(
    decision.limits.map(({ key }) => key),
    ['trunk:trk', 'carrier:telco'],
  );
  t.equal(decision.callerNumber.sent, '+919812345678');
  t.equal(decision.steps.find(({ step }) => step === 'mode')?.detail, 'mode flow: flw_welcome, version 3');

  const near = await tableOf(document([{ id: 'flw_welcom', start: 'end', nodes }]));
  const refused = decide(near, request, CONTEXT);
  t.match(refused, {
    accepted: false,
    sipStatus: 480,
    reasonCode: 'flow_not_available',
    nearestMiss: 'there is a flow flw_welcom',
  });
  t.equal(refused.flow, undefined);
});

t.test('a flow that could not be run is no part of a document, of a change, or of a table', async (t) => {
  const broken = { id: 'flw_welcome', start: 'gone', nodes: { a: { applet: 'greting' } } };
  const checked = validateDocument(document([broken]));
  t.equal(checked.ok, false);
  const messages = checked.ok ? [] : checked.error.map(({ message }) => message);
  t.match(messages[0], /^flows\[0\]\.start leads to 'gone'/);
  t.match(messages[1], /^flows\[0\]\.nodes\.a\.applet .*did you mean 'greeting'\?/);
  const resource = validateResource({ type: 'flow', value: structuredClone(broken) });
  t.match(resource, { ok: false, error: [{ path: 'start' }, { path: 'nodes.a.applet' }] });
  const holder = new TableHolder();
  const update = { kind: 'full', revision: 'r', batches: [[{ type: 'flow', value: broken as never }]] } as const;
  await t.rejects(holder.apply(update as never), { code: 'routing_update_invalid' });
});

t.test('dials: trunks, numbers, URIs, and what each refuses', async (t) => {
  const table = await tableOf(document([{ id: 'flw_welcome', start: 'end', nodes }]));
  const origin = { decision: decide(table, request, CONTEXT), request };
  const dial = (target: Parameters<typeof decideDial>[2]['target'], callerId?: string) =>
    decideDial(table, origin, { target, callerId }, CONTEXT);
  t.match(dial({ kind: 'trunk', trunkSid: 'trk' }), {
    accepted: true,
    direction: 'inbound',
    destinations: [{ uri: 'sip:+918040000002@192.0.2.9:5060' }],
    callerNumber: { sent: '+919812345678' },
    limits: [{ key: 'trunk:trk' }],
  });
  t.match(dial({ kind: 'number', number: '0014155550100' }), {
    accepted: true,
    direction: 'outbound',
    destinations: [{ uri: 'sip:+14155550100@192.0.2.1:5060' }],
    callerNumber: { sent: '+918040000002' },
  });
  t.match(dial({ kind: 'uri', uri: 'sip:ann@[2001:db8::1]:5070;transport=tcp' }), {
    accepted: true,
    destinations: [{ gateway: '[2001:db8::1]:5070;transport=tcp' }],
    limits: [],
  });
  const refusals = [
    [dial({ kind: 'trunk', trunkSid: 'trk_none' }), 'trunk_not_found'],
    [dial({ kind: 'trunk', trunkSid: 'trk_off' }), 'trunk_inactive'],
    [dial({ kind: 'trunk', trunkSid: 'trk_bare' }), 'trunk_has_no_destination'],
    [dial({ kind: 'number', number: '12' }), 'number_invalid'],
    [dial({ kind: 'number', number: '+14155550100' }, '+442012345678'), 'caller_id_not_mapped'],
    [dial({ kind: 'uri', uri: 'sip:ann@host>evil' }), 'number_invalid'],
    [dial({ kind: 'uri', uri: 'http://ann@host' }), 'number_invalid'],
  ] as const;
  for (const [decision, code] of refusals) t.match(decision, { accepted: false, reasonCode: code, destinations: [] });
});
