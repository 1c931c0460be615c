import t from 'tap';
import { TableBuilder } from '../../src/call/routing/compile.js';
import { NO_LIMITS, decide, refuse } from '../../src/call/routing/decide.js';
import type { CallRequest, Decision, LimitsView } from '../../src/call/routing/decision.js';
import { formatDecision } from '../../src/call/routing/explain.js';
import { describeReasons } from '../../src/call/routing/reasons.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import { RoutingTable } from '../../src/call/routing/table.js';

const document = {
  accounts: [{ sid: 'acc' }],
  carriers: [
    {
      id: 'telco-a',
      source_acl: [{ ip: '192.0.2.1' }, { ip: '192.0.2.99' }, { ip: '192.0.2.98' }],
      gateways: [
        { uri: 'sip:192.0.2.1:5060;transport=tcp', priority: 1 },
        { uri: 'sip:192.0.2.2', priority: 0 },
      ],
      limits: { calls_per_second: 50 },
    },
    {
      id: 'telco-b',
      source_acl: [{ ip: '192.0.2.2' }, { ip: '192.0.2.99' }],
      gateways: [{ uri: 'sip:[2001:db8::5]:5080' }],
    },
    { id: 'dry', source_acl: [{ ip: '192.0.2.3' }] },
  ],
  trunks: [
    {
      trunk_sid: 'trk_a',
      account_sid: 'acc',
      trunk_name: 'alpha',
      whitelisted_ips: [{ ip: '10.0.0.1' }, { ip: '10.0.9.0', mask: 24 }, { ip: '192.0.2.98' }],
      destination_uris: [
        { destination: '10.0.0.1:5060;transport=udp', priority: 0 },
        { destination: 'pbx.example.com', priority: 1 },
      ],
      phone_numbers: [
        { phone_number: '+918040000001', mode: 'pstn', carrier: 'telco-a' },
        { phone_number: '+918040000002', mode: 'flow', flow: 'flw', carrier: 'telco-a' },
        { phone_number: '+918040000003', carrier: 'dry' },
        { phone_number: '+918040000004' },
      ],
      settings: { country_code: '91', national_prefix: '0' },
      limits: { calls_per_second: 20, concurrent_calls: 100 },
      failover: { '486': 'next' },
    },
    {
      trunk_sid: 'trk_b',
      account_sid: 'acc',
      trunk_name: 'beta',
      whitelisted_ips: [{ ip: '10.0.0.2' }, { ip: '10.0.9.0', mask: 24 }],
      phone_numbers: [{ phone_number: '+918050000001', carrier: 'telco-b' }],
      settings: { trunk_external_alias: '+918050000001' },
    },
    {
      trunk_sid: 'trk_off',
      account_sid: 'acc',
      trunk_name: 'off',
      status: 'inactive',
      whitelisted_ips: [{ ip: '10.0.0.3' }],
      destination_uris: [{ destination: '10.0.0.3' }],
      phone_numbers: [{ phone_number: '+918060000001' }],
    },
    {
      trunk_sid: 'trk_thief',
      account_sid: 'acc',
      trunk_name: 'thief',
      whitelisted_ips: [{ ip: '10.0.0.4' }],
      settings: { trunk_external_alias: '+918040000001' },
    },
  ],
  network_groups: [
    { carrier: 'telco-a', country_iso: 'US', name: 'US', prefixes: ['1'], enabled: true },
    { carrier: 'telco-a', country_iso: 'US', name: 'US premium', prefixes: ['1900', '1976'], enabled: false },
  ],
};

const table = async (): Promise<RoutingTable> => {
  const checked = validateDocument(structuredClone(document));
  if (!checked.ok) throw new Error(checked.error.map((problem) => problem.message).join('; '));
  return new TableBuilder().compile({ kind: 'full', revision: 'r7', batches: [flatten(checked.value)] });
};

const ask = (on: RoutingTable, request: Partial<CallRequest>, limits: LimitsView = NO_LIMITS): Decision =>
  decide(
    on,
    {
      sourceAddress: '10.0.0.1',
      sourcePort: 5060,
      transport: 'udp',
      calledNumber: '+14155550100',
      callerNumber: '+918040000001',
      ...request,
    },
    { limits, nowMs: 0, random: () => 0 },
  );

const outcome = (decision: Decision): string =>
  decision.accepted
    ? `${decision.direction} ${decision.trunkSid} ${decision.carrierId} ${decision.destinations.map((d) => d.uri).join(' ')}`
    : `${decision.sipStatus} ${decision.reasonCode}`;

const inbound = (calledNumber: string, sourceAddress = '192.0.2.1', callerNumber = '919812345678') => ({
  calledNumber,
  sourceAddress,
  callerNumber,
});

t.test('a carrier delivers a number: to the destinations of its trunk, in order', async (t) => {
  const decision = ask(await table(), inbound('918040000001'));
  t.match(decision, {
    accepted: true,
    reasonCode: 'routed',
    sipStatus: undefined,
    revision: 'r7',
    direction: 'inbound',
    mode: 'pstn',
    accountSid: 'acc',
    trunkSid: 'trk_a',
    carrierId: 'telco-a',
    calledNumber: { received: '918040000001', e164: '+918040000001' },
    callerNumber: { received: '919812345678', e164: '+919812345678', sent: '+919812345678' },
    failover: { '486': 'next' },
    limits: [
      { key: 'trunk:trk_a', callsPerSecond: 20, concurrentCalls: 100 },
      { key: 'carrier:telco-a', callsPerSecond: 50, concurrentCalls: undefined },
      { key: 'account:acc', callsPerSecond: undefined, concurrentCalls: undefined },
    ],
  });
  t.same(decision.destinations, [
    {
      uri: 'sip:+918040000001@10.0.0.1:5060;transport=udp',
      gateway: '10.0.0.1:5060;transport=udp',
      priority: 0,
      weight: 1,
    },
    { uri: 'sip:+918040000001@pbx.example.com', gateway: 'pbx.example.com', priority: 1, weight: 1 },
  ]);
  t.same(
    decision.steps.map((step) => step.step),
    ['source', 'direction', 'called_number', 'did', 'trunk', 'mode', 'caller_id', 'destinations', 'limits'],
  );
});

t.test('what a carrier sends that cannot be routed is refused with its reason', async (t) => {
  const on = await table();
  const cases: [string, Partial<CallRequest>, string][] = [
    ['unlisted source', { sourceAddress: '203.0.113.1' }, '403 source_not_allowed'],
    ['no address at all', { sourceAddress: '' }, '403 source_not_allowed'],
    ['number of nobody', inbound('+918049999999'), '404 number_not_found'],
    ['no number', inbound('alice'), '484 number_invalid'],
    ['number of another carrier', inbound('+918050000001'), '403 number_on_other_carrier'],
    ['flow', inbound('+918040000002'), '480 flow_not_available'],
    ['no destination', inbound('+918050000001', '192.0.2.2'), '480 trunk_has_no_destination'],
    ['inactive trunk', inbound('+918060000001'), '480 trunk_inactive'],
  ];
  for (const [name, request, expected] of cases) {
    const decision = ask(on, request);
    t.equal(outcome(decision), expected, name);
    t.equal(decision.steps.at(-1)?.result, 'fail', name);
    t.ok(decision.remedy, name);
    t.same([decision.destinations, decision.limits], [[], []], name);
  }
});

t.test('the nearest miss names what was nearly right', async (t) => {
  const on = await table();
  t.match(
    ask(on, { sourceAddress: '203.0.113.1' }).nearestMiss,
    /\+918040000001 is mapped to trunk trk_a \(alpha\), whose/,
  );
  t.match(
    ask(on, { ...inbound('+918040000001', '203.0.113.1'), callerNumber: '' }).nearestMiss,
    /delivered by carrier telco-a/,
  );
  t.equal(ask(on, inbound('+9180400000011')).nearestMiss, '+918040000001 is mapped to trunk trk_a (alpha)');
  t.match(ask(on, inbound('+918050000001')).nearestMiss, /delivered by carrier telco-b, the source is carrier telco-a/);
  t.equal(
    ask(on, { sourceAddress: '10.0.0.1', callerNumber: '+918050000001' }).nearestMiss,
    '+918050000001 is mapped to trunk trk_b (beta), the source IP is on trunk trk_a (alpha)',
  );
});

t.test('a trunk calls out through the carrier of its calling number', async (t) => {
  const on = await table();
  const decision = ask(on, {});
  t.equal(
    outcome(decision),
    'outbound trk_a telco-a sip:+14155550100@192.0.2.2 sip:+14155550100@192.0.2.1:5060;transport=tcp',
  );
  t.equal(decision.callerNumber.sent, '+918040000001');
  t.equal(
    ask(on, { callerNumber: '08040000001', calledNumber: '09812345678' }).calledNumber.e164,
    '+919812345678',
    "the trunk's national format",
  );
  t.match(ask(on, { sourceAddress: '10.0.0.2', callerNumber: '+918050000001' }).destinations, [
    { uri: 'sip:+14155550100@[2001:db8::5]:5080' },
  ]);
  t.match(ask(on, { callerNumber: 'anonymous', assertedNumber: '+918040000001' }), {
    accepted: true,
    callerNumber: { sent: '+918040000001' },
  });
  t.match(
    ask(on, { sourceAddress: '10.0.0.2', callerNumber: '+14155550199' }),
    { accepted: true, carrierId: 'telco-b', callerNumber: { e164: '+14155550199', sent: '+918050000001' } },
    'the alias replaces a number that is not mapped',
  );
  t.match(
    ask(on, { calledNumber: '+918050000001' }),
    { accepted: true, carrierId: 'telco-a' },
    'no hairpin: numbers of ours go out too',
  );
});

t.test('what a trunk may not call is refused with its reason', async (t) => {
  const on = await table();
  const cases: [string, Partial<CallRequest>, string][] = [
    ['caller not mapped', { callerNumber: '+14155550199' }, '403 caller_id_not_mapped'],
    ['caller of another trunk', { callerNumber: '+918050000001' }, '403 caller_id_not_mapped'],
    ['nobody', { callerNumber: '' }, '403 caller_id_not_mapped'],
    ['alias of another trunk', { sourceAddress: '10.0.0.4' }, '403 caller_id_not_mapped'],
    ['inactive', { sourceAddress: '10.0.0.3', callerNumber: '+918060000001' }, '480 trunk_inactive'],
    ['no number', { calledNumber: '0' }, '484 number_invalid'],
    ['injection', { calledNumber: '+1415\r\nX: y' }, '484 number_invalid'],
    ['carrier without gateway', { callerNumber: '+918040000003' }, '480 carrier_has_no_gateway'],
    ['disabled group', { calledNumber: '+19005550100' }, '403 destination_not_enabled'],
    [
      'shared address, number on neither',
      { sourceAddress: '10.0.9.9', callerNumber: '+14155550199' },
      '403 caller_id_not_mapped',
    ],
  ];
  for (const [name, request, expected] of cases) t.equal(outcome(ask(on, request)), expected, name);
  t.equal(ask(on, { calledNumber: '+447700900000' }).accepted, true, 'a destination that no group names is open');
  t.same(
    ask(on, { callerNumber: '+918040000004' }).carriers?.map(({ carrierId, reasonCode }) => [carrierId, reasonCode]),
    [
      ['telco-a', 'routed'],
      ['telco-b', 'routed'],
      ['dry', 'carrier_has_no_gateway'],
    ],
    'a number without carrier leaves through any that the account may use',
  );
});

t.test('an address of several owners belongs to the one whose number is used', async (t) => {
  const on = await table();
  t.match(ask(on, { sourceAddress: '10.0.9.9' }), { accepted: true, trunkSid: 'trk_a' });
  t.match(ask(on, { sourceAddress: '10.0.9.9', callerNumber: '+918050000001' }), { accepted: true, trunkSid: 'trk_b' });
  t.match(ask(on, inbound('+918050000001', '192.0.2.99')), { direction: 'inbound', carrierId: 'telco-b' });
  t.match(ask(on, inbound('+918040000001', '192.0.2.99')), { accepted: true, carrierId: 'telco-a' });
  const both = { sourceAddress: '192.0.2.98', callerNumber: '+918040000001' };
  t.match(ask(on, { ...both, calledNumber: '+918040000001' }), { direction: 'inbound' });
  t.match(ask(on, { ...both, calledNumber: '+14155550100' }), { direction: 'outbound', trunkSid: 'trk_a' });
  t.match(ask(on, { ...both, calledNumber: '+918050000001' }), { direction: 'outbound' });
});

t.test('limits refuse with 503, the rate with a hint when to come back', async (t) => {
  const on = await table();
  const full = (key: string): LimitsView => ({
    concurrent: (asked) => (asked === key ? 100 : 0),
    rateAllows: () => true,
  });
  const fast = (key: string): LimitsView => ({ concurrent: () => 0, rateAllows: (asked) => asked !== key });
  t.equal(outcome(ask(on, {}, full('trunk:trk_a'))), '503 trunk_concurrent_calls');
  t.match(ask(on, {}, fast('trunk:trk_a')), {
    reasonCode: 'trunk_calls_per_second',
    sipStatus: 503,
    retryAfterSeconds: 1,
  });
  t.equal(outcome(ask(on, inbound('+918040000001'), fast('carrier:telco-a'))), '503 carrier_calls_per_second');
  t.equal(ask(on, {}, full('carrier:telco-a')).accepted, true, 'a limit that is not set');
});

t.test('without a table, or while draining, calls are refused', async (t) => {
  const request = { sourceAddress: '10.0.0.1', sourcePort: 1, transport: 'udp', calledNumber: '1', callerNumber: '2' };
  t.equal(outcome(ask(RoutingTable.unloaded(), request)), '503 table_not_loaded');
  t.equal(outcome(refuse(await table(), request, 'draining')), '503 draining');
});

t.test('a decision keeps readable steps as JSON, and prints', async (t) => {
  const on = await table();
  const decision = ask(on, inbound('+918040000001'));
  const kept = JSON.parse(JSON.stringify(decision)) as Decision;
  t.match(kept.steps[0], {
    step: 'source',
    result: 'pass',
    detail: '192.0.2.1 is in 192.0.2.1/32 of carrier telco-a',
    data: { cidr: '192.0.2.1/32' },
  });
  t.ok(kept.steps.every((step) => step.detail.length > 0));
  const text = formatDecision(decision);
  t.match(text, /^ok {2}source +192\.0\.2\.1 is in 192\.0\.2\.1\/32 of carrier telco-a$/m);
  t.match(text, /^sent to: sip:\+918040000001@10\.0\.0\.1:5060;transport=udp \(priority 0, weight 1\)$/m);
  t.match(text, /^ +then: sip:\+918040000001@pbx\.example\.com/m);
  t.equal(formatDecision(kept), text, 'the kept form prints the same');
  const refused = formatDecision(ask(on, { callerNumber: '+918050000001\x1b[31m' }));
  t.match(refused, /^refused: 403 caller_id_not_mapped$/m);
  t.match(refused, /^remedy: /m);
  t.notOk(refused.includes('\x1b'), 'control characters are shown, not obeyed');
  t.ok(
    JSON.stringify(ask(on, { calledNumber: '9'.repeat(60_000) })).length < 3000,
    'what a caller can blow up is bounded',
  );
});

t.test('every reason has a sentence, and every refusal a status and a remedy', async (t) => {
  for (const { code, sipStatus, sentence, remedy } of describeReasons()) {
    t.match(sentence, /\.$/, code);
    if (code === 'routed') continue;
    t.ok(sipStatus !== undefined && sipStatus >= 400 && sipStatus < 700, code);
    t.match(remedy, /\.$/, code);
  }
});

t.test('a trunk that lists an address within the network of another takes no calls away from it', async (t) => {
  const nested = structuredClone(document);
  (nested.trunks[3] as { whitelisted_ips: object[] }).whitelisted_ips.push(
    { ip: '10.0.9.9' },
    { ip: '10.0.9.0', mask: 25 },
  );
  const checked = validateDocument(nested);
  if (!checked.ok) throw new Error('document');
  const on = await new TableBuilder().compile({ kind: 'full', revision: 'r8', batches: [flatten(checked.value)] });
  t.match(ask(on, { sourceAddress: '10.0.9.9' }), { accepted: true, trunkSid: 'trk_a' });
  t.match(ask(on, { sourceAddress: '10.0.9.9', callerNumber: '+918050000001' }), { accepted: true, trunkSid: 'trk_b' });
  const unmapped = ask(on, { sourceAddress: '10.0.9.9', callerNumber: '+14155550199' });
  t.equal(outcome(unmapped), '403 caller_id_not_mapped', 'the alias of none speaks for the others');
  t.equal(on.ownersOf('10.0.9.9').length, 3);
  t.equal(on.ownersOf('10.0.9.200').length, 2);
  t.same(on.ownersOf('nonsense'), []);
});
