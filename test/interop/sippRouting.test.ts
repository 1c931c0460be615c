/** Where calls go and why not: failover, refusals, limits, transports, IPv6. */
import { networkInterfaces } from 'node:os';
import t, { type Test } from 'tap';
import { bounded } from '../support/endpoints.js';
import { Sipp } from '../support/sipp.js';
import { attempts, crossed, has, ofKind, verdict, went } from '../support/sippChecks.js';
import { SipPeer } from '../support/sipPeer.js';
import { type Lane, type LanePlan, Site, type Way, placeCall, placeRefusedCall } from '../support/tandemNodeSite.js';

const SILENCE_MS = 500;
/** Port of a lane's first destination where there are two; on both sides. */
const firstPort = (lane: Lane): number => 18_300 + lane.index;
const NOBODY = 9;

const twoTargets =
  (port: (lane: Lane) => number) =>
  (lane: Lane, { pbx, carrier }: Site): LanePlan => ({
    trunk: {
      destination_uris: [
        { destination: `${pbx}:${port(lane)}`, priority: 0 },
        { destination: `${pbx}:${lane.pbxPort}`, priority: 1 },
      ],
    },
    carrier: {
      gateways: [
        { uri: `sip:${carrier}:${port(lane)}`, priority: 0 },
        { uri: `sip:${carrier}:${lane.gatewayPort}`, priority: 1 },
      ],
    },
  });
const deadTcpFirst = (lane: Lane, { pbx, carrier }: Site): LanePlan => ({
  trunk: {
    destination_uris: [
      { destination: `${pbx}:${NOBODY};transport=tcp`, priority: 0 },
      { destination: `${pbx}:${lane.pbxPort}`, priority: 1 },
    ],
  },
  carrier: {
    gateways: [
      { uri: `sip:${carrier}:${NOBODY};transport=tcp`, priority: 0 },
      { uri: `sip:${carrier}:${lane.gatewayPort}`, priority: 1 },
    ],
  },
});
const alone = (address: string) => ({ whitelisted_ips: [{ ip: address }] });
const ALIAS_PBX = '127.0.38.52';
const STRICT_PBX = '127.0.38.62';
const OTHER_CARRIER = '127.0.38.72';

const site: Site = new Site(
  2,
  {
    dead: twoTargets(() => NOBODY),
    deadTcp: deadTcpFirst,
    silent: twoTargets(firstPort),
    unavailable: twoTargets(firstPort),
    timedOut: twoTargets(firstPort),
    busy: twoTargets(firstPort),
    earlyMedia: twoTargets(firstPort),
    allDead: (_lane, { pbx, carrier }) => ({
      trunk: { destination_uris: [{ destination: `${pbx}:${NOBODY}` }] },
      carrier: { gateways: [{ uri: `sip:${carrier}:${NOBODY}` }] },
    }),
    flow: () => ({ number: { mode: 'flow', flow: 'flw_welcome' } }),
    noDestination: () => ({ trunk: { destination_uris: [] }, carrier: { gateways: [] } }),
    alias: (lane) => ({ trunk: { ...alone(ALIAS_PBX), settings: { trunk_external_alias: lane.number } } }),
    strict: () => ({ trunk: alone(STRICT_PBX) }),
    otherCarrier: () => ({ carrier: { source_acl: [{ ip: OTHER_CARRIER }] } }),
    concurrent: () => ({ trunk: { limits: { concurrent_calls: 1 } } }),
    rate: () => ({ trunk: { limits: { calls_per_second: 0.1 } } }),
    toTcp: () => ({ uriParams: ';transport=tcp' }),
    bothTcp: () => ({ uriParams: ';transport=tcp' }),
    ipv6: (lane, { carrier }) => ({
      trunk: { destination_uris: [{ destination: `[::1]:${lane.pbxPort}` }] },
      carrier: { source_acl: [{ ip: '::1' }, { ip: carrier }] },
    }),
  },
  20,
);
const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
const listen = [`udp://${site.node}:18000`, `tcp://${site.node}:18000`];
const node = await site.start({
  calls: { silenceTimeoutMs: SILENCE_MS },
  sip: { listen: hasIpv6 ? [...listen, 'udp://[::1]:18000', 'tcp://[::1]:18000'] : listen },
});
t.teardown(() => node.stop());

const both = (name: string, run: (t: Test, way: Way) => Promise<void>): void => {
  for (const way of site.ways) void t.test(`${way.name}: ${name}`, (t) => run(t, way));
};

const ANSWERED = { outcome: 'answered', sipStatus: 200, reasonCode: 'normal_clearing' } as const;
const answered = { caller: 'answer', callee: 'answer' } as const;

// ------------------------------------------------------------------------------------------------ failover

for (const [name, result, what] of [
  ['dead', '0 transport_error', 'at whose port nobody listens'],
  ['deadTcp', '0 transport_error', 'that refuses TCP connections'],
] as const) {
  both(`failover past a destination ${what}`, async (t, way) => {
    const { caller, callee, record } = await placeCall(site, node, { way, lane: site.lane(name), ...answered });
    went(t, caller, callee);
    has(t, record, { ...ANSWERED, endedBy: 'caller' });
    t.strictSame(attempts(record), [result, '200 answered']);
    t.ok(record.setupMs < 1000, `at once: ${record.setupMs} ms`);
    crossed(t, caller, callee, 'INVITE');
  });
}

both('failover past a destination that never says anything', async (t, way) => {
  const lane = site.lane('silent');
  const silent = await SipPeer.open({ address: way.to, port: firstPort(lane), name: 'silent' });
  t.teardown(() => silent.close());
  const { caller, callee, record } = await placeCall(site, node, { way, lane, ...answered });
  went(t, caller, callee);
  has(t, record, { ...ANSWERED, endedBy: 'caller' });
  t.strictSame(attempts(record), ['0 silence', '200 answered']);
  t.ok(record.setupMs >= SILENCE_MS && record.setupMs < SILENCE_MS + 1000, `after the silence: ${record.setupMs} ms`);
  t.ok(silent.count('INVITE') === 1, 'it was asked');
});

for (const [name, scenario, status] of [
  ['unavailable', 'unavailable', 503],
  ['timedOut', 'timed_out', 408],
] as const) {
  both(`failover past a destination that answers ${status}`, async (t, way) => {
    const lane = site.lane(name);
    const first = await Sipp.start(site.calleePlan(way, lane, scenario, { port: firstPort(lane) }));
    t.teardown(() => first.stop());
    const { caller, callee, record } = await placeCall(site, node, { way, lane, ...answered });
    went(t, caller, callee, await first.result);
    has(t, record, { ...ANSWERED, endedBy: 'caller' });
    t.strictSame(attempts(record), [`${status} response`, '200 answered']);
    t.equal(record.destination?.endsWith(`:${way.calleePort(lane)}`), true, 'record: the second destination');
  });
}

for (const [name, scenario, status, outcome] of [
  ['busy', 'busy', 486, 'busy'],
  ['earlyMedia', 'early_media_then_unavailable', 503, 'failed'],
] as const) {
  both(`no failover after ${name === 'busy' ? 'busy' : 'early media'}`, async (t, way) => {
    const lane = site.lane(name);
    const first = await Sipp.start(site.calleePlan(way, lane, scenario, { port: firstPort(lane) }));
    const second = await SipPeer.open({ address: way.to, port: way.calleePort(lane), name: 'second' });
    t.teardown(() => Promise.all([first.stop(), second.close()]));
    const { caller, record } = await placeRefusedCall(site, node, { way, lane });
    went(t, caller, await first.result);
    t.equal(verdict(caller).status, status);
    has(t, record, { outcome, sipStatus: status });
    t.strictSame(attempts(record), [`${status} response`]);
    t.equal(second.count('INVITE'), 0, 'the second destination was not asked');
  });
}

both('a redirection is not followed and not shown', async (t, way) => {
  const lane = site.lane();
  const callee = await Sipp.start(site.calleePlan(way, lane, 'redirect'));
  t.teardown(() => callee.stop());
  const { caller, record } = await placeRefusedCall(site, node, { way, lane });
  went(t, caller, await callee.result);
  t.equal(verdict(caller).status, 480);
  t.notMatch(verdict(caller).raw.toString('latin1'), 'elsewhere', 'the Contact stays inside');
  has(t, record, { outcome: 'no_answer', sipStatus: 480, reasonCode: 'destination_3xx' });
  t.strictSame(attempts(record), ['302 response']);
});

both('all destinations dead', async (t, way) => {
  const { caller, record } = await placeRefusedCall(site, node, { way, lane: site.lane('allDead') });
  went(t, caller);
  t.equal(verdict(caller).status, 503);
  has(t, record, {
    outcome: 'failed',
    endedBy: way.name === 'inbound' ? 'callee' : 'carrier',
    sipStatus: 503,
    reasonCode: 'destination_unreachable',
  });
});

// ------------------------------------------------------------------------------------------------ refusals

/** A caller whom the decision refuses: status and reason in the answer, in the record and in its decision. */
const refused = (
  name: string,
  { status, reason }: { readonly status: number; readonly reason: string },
  who: () => { readonly way: Way; readonly lane: Lane; readonly more?: Parameters<typeof placeRefusedCall>[2]['more'] },
  more?: (t: Test, placed: Awaited<ReturnType<typeof placeRefusedCall>>) => void,
): void => {
  void t.test(`${name}: ${status} ${reason}`, async (t) => {
    const placed = await placeRefusedCall(site, node, who());
    const { caller, record } = placed;
    went(t, caller);
    t.equal(verdict(caller).status, status);
    t.equal(verdict(caller).header('Reason'), `SIP;cause=${status};text="${reason}"`);
    has(t, record, { outcome: 'rejected', endedBy: 'tandem', sipStatus: status, reasonCode: reason, attempts: [] });
    t.strictSame([record.decision.accepted, record.decision.reasonCode], [false, reason], 'record: decision');
    t.equal(verdict(caller).header('Retry-After') !== undefined, status === 503, 'Retry-After with 503, and only then');
    more?.(t, placed);
  });
};

refused('an address that nobody listed', { status: 403, reason: 'source_not_allowed' }, () => ({
  way: site.inbound,
  lane: site.lane(),
  more: { address: site.stranger },
}));
refused('a number that nobody has', { status: 404, reason: 'number_not_found' }, () => ({
  way: site.inbound,
  lane: site.lane(),
  more: { service: '+918049999999' },
}));
refused('what is no number', { status: 484, reason: 'number_invalid' }, () => ({
  way: site.inbound,
  lane: site.lane(),
  more: { service: 'reception' },
}));
refused('a number that another carrier delivers', { status: 403, reason: 'number_on_other_carrier' }, () => ({
  way: site.inbound,
  lane: site.lane('otherCarrier'),
}));
refused('a number that a flow answers', { status: 480, reason: 'flow_not_available' }, () => ({
  way: site.inbound,
  lane: site.lane('flow'),
}));
refused('a trunk without destination', { status: 480, reason: 'trunk_has_no_destination' }, () => ({
  way: site.inbound,
  lane: site.lane('noDestination'),
}));
refused('a carrier without gateway', { status: 480, reason: 'carrier_has_no_gateway' }, () => ({
  way: site.outbound,
  lane: site.lane('noDestination'),
}));
refused('a caller ID that no trunk has', { status: 403, reason: 'caller_id_not_mapped' }, () => ({
  way: site.outbound,
  lane: site.lane(),
  more: { keys: { caller: '+441234567890' } },
}));
refused(
  'a caller ID of another trunk',
  { status: 403, reason: 'caller_id_not_mapped' },
  () => ({
    way: site.outbound,
    lane: site.lane('strict'),
    more: { address: STRICT_PBX, keys: { caller: site.lane('alias').number } },
  }),
  (t, { record, caller }) => {
    const { number, trunkSid } = site.lane('alias');
    t.match(record.decision.nearestMiss, number, 'the decision names the number');
    t.match(record.decision.nearestMiss, trunkSid, 'and the trunk that has it');
    t.notMatch(verdict(caller).raw.toString('latin1'), trunkSid, 'the caller is not told');
  },
);

void t.test('the alias takes the place of a caller ID that is not mapped', async (t) => {
  const lane = site.lane('alias');
  const callerMore = { address: ALIAS_PBX, keys: { caller: '1001' } };
  const placed = await placeCall(site, node, { way: site.outbound, lane, ...answered, callerMore });
  went(t, placed.caller, placed.callee);
  has(t, placed.record, { ...ANSWERED, callerReceived: '1001', callerSent: lane.number });
  const invite = placed.callee.received[0];
  t.match(invite?.header('From'), `<sip:${lane.number}@`, 'From of the alias');
  t.match(invite?.header('P-Asserted-Identity'), `<sip:${lane.number}@`, 'asserted to the carrier');
});

// ------------------------------------------------------------------------------------------------ limits

both('as many calls as the trunk may have: the next gets 503', async (t, way) => {
  const lane = site.lane('concurrent');
  const callee = await Sipp.start(site.calleePlan(way, lane, 'hang_up', { pauseMs: 1000 }));
  const first = await Sipp.start(site.callerPlan(way, lane, 'hung_up_on'));
  t.teardown(() => Promise.all([callee.stop(), first.stop()]));
  await bounded('the first call is up', 5000, async () => (await node.dump()).service.liveCalls === 1);
  const { caller, record } = await placeRefusedCall(site, node, { way, lane });
  went(t, caller, await first.result, await callee.result);
  t.strictSame([verdict(caller).status, verdict(caller).header('Retry-After')], [503, '10']);
  has(t, record, { outcome: 'rejected', endedBy: 'tandem', sipStatus: 503, reasonCode: 'trunk_concurrent_calls' });
  const after = await placeCall(site, node, { way, lane, ...answered });
  went(t, after.caller, after.callee);
  has(t, after.record, { ...ANSWERED });
});

void t.test('more calls a second than the trunk may start: 503 with Retry-After: 1', async (t) => {
  const lane = site.lane('rate');
  const first = await placeCall(site, node, { way: site.inbound, lane, ...answered });
  went(t, first.caller, first.callee);
  const { caller, record } = await placeRefusedCall(site, node, { way: site.inbound, lane });
  t.strictSame([verdict(caller).status, verdict(caller).header('Retry-After')], [503, '1']);
  has(t, record, { outcome: 'rejected', sipStatus: 503, reasonCode: 'trunk_calls_per_second' });
});

// ------------------------------------------------------------------------------------------------ transports

for (const [name, callerTransport, calleeTransport] of [
  [undefined, 'tcp', 'udp'],
  ['toTcp', 'udp', 'tcp'],
  ['bothTcp', 'tcp', 'tcp'],
] as const) {
  for (const ends of [
    { caller: 'answer', callee: 'answer' },
    { caller: 'held', callee: 'hold' },
  ] as const) {
    both(`${callerTransport} to ${calleeTransport}, ${ends.callee}`, async (t, way) => {
      const { caller, callee, record } = await placeCall(site, node, {
        way,
        lane: site.lane(name),
        ...ends,
        callerMore: { transport: callerTransport },
        calleeMore: { transport: calleeTransport },
      });
      went(t, caller, callee);
      has(t, record, { ...ANSWERED });
      t.match(record.source, `${callerTransport}/${way.from}:`);
      crossed(t, callee, caller, '200 INVITE');
      const via = callee.received[0]?.header('Via');
      t.match(
        via,
        `SIP/2.0/${calleeTransport.toUpperCase()} ${site.node}:18000;`,
        'the Via of the leg’s own transport',
      );
      t.match(
        callee.received[0]?.header('Contact'),
        calleeTransport === 'tcp' ? /transport=tcp/i : /^<sip:[^>]*127/,
        'and its Contact',
      );
    });
  }
}

void t.test('TCP refused: the final answer comes on the caller’s connection', async (t) => {
  const lane = site.lane();
  const callee = await Sipp.start(site.calleePlan(site.inbound, lane, 'busy'));
  t.teardown(() => callee.stop());
  const more = { transport: 'tcp' } as const;
  const { caller, record } = await placeRefusedCall(site, node, { way: site.inbound, lane, more });
  went(t, caller, await callee.result);
  has(t, record, { outcome: 'busy', sipStatus: 486 });
});

for (const from of ['::1', site.carrier]) {
  void t.test(`IPv6: a call from ${from} to a destination at ::1`, async (t) => {
    if (!hasIpv6) return t.pass('not tried: this machine has no ::1');
    const lane = site.lane('ipv6');
    const { caller, callee, record } = await placeCall(site, node, {
      way: site.inbound,
      lane,
      caller: 'hold',
      callee: 'held',
      callerMore: { address: from, ...(from === '::1' ? { remote: '[::1]:18000' } : {}) },
      calleeMore: { address: '::1' },
    });
    went(t, caller, callee);
    has(t, record, { ...ANSWERED, destination: `sip:${lane.number}@[::1]:${lane.pbxPort}` });
    crossed(t, caller, callee, 'INVITE');
    crossed(t, callee, caller, '200 INVITE');
    t.match(
      ofKind(callee.received, 'INVITE')[0]?.header('Contact'),
      'sip:[::1]:18000',
      'Contact of the leg’s own address',
    );
  });
}

void t.test('OPTIONS: 200 for listed sources, 403 for others', async (t) => {
  for (const [address, status] of [
    [site.pbx, 200],
    [site.stranger, 403],
  ] as const) {
    const peer = await SipPeer.open({ address, name: 'pinger' });
    peer.sendRequest('OPTIONS', { target: node.hostPort, uri: `sip:${node.hostPort}` });
    t.equal((await peer.expect(status)).status, status, address);
    await peer.close();
  }
});
