import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { CallHold } from '../../src/call/admission/callHold.js';
import { CallLimiter } from '../../src/call/admission/limiter.js';
import { TableBuilder, applyPatch } from '../../src/call/routing/compile.js';
import { NO_LIMITS, decide } from '../../src/call/routing/decide.js';
import type { CallRequest, DecideContext, Decision, Destination } from '../../src/call/routing/decision.js';
import { dialFormatOf, dialString } from '../../src/call/routing/dialFormat.js';
import { orderTargets } from '../../src/call/routing/order.js';
import { outboundPrice } from '../../src/call/routing/outboundPrice.js';
import { PrefixRules } from '../../src/call/routing/prefixRules.js';
import { lintDocument } from '../../src/call/routing/lint.js';
import { flatten, validateDocument, validateShape } from '../../src/call/routing/schema.js';
import type { Trunk } from '../../src/call/routing/resources.js';
import type { RoutingTable } from '../../src/call/routing/table.js';
import { CallerLogin } from '../../src/call/session/callerLogin.js';
import { DigestClient } from '../../src/sip/auth/client.js';
import { FakeMessage } from '../support/fakeSignal.js';

const PBX = '10.0.0.1';

interface Parts {
  readonly account?: object;
  readonly trunk?: object;
  readonly carriers?: readonly object[];
  readonly groups?: readonly object[];
  readonly number?: object;
}

/** One trunk of account `acc` with the number +918040000001, a neighbour of account `other`, and carriers. */
const build = async (parts: Parts = {}): Promise<RoutingTable> => {
  const checked = validateDocument({
    accounts: [{ sid: 'acc', ...parts.account }, { sid: 'other' }],
    carriers: (parts.carriers ?? [carrier('a')]).map((one) => ({ ...one })),
    trunks: [
      {
        trunk_sid: 'trk',
        account_sid: 'acc',
        trunk_name: 'pbx',
        whitelisted_ips: [{ ip: PBX }],
        phone_numbers: [{ phone_number: '+918040000001', ...parts.number }, { phone_number: '+918040000002' }],
        ...parts.trunk,
      },
      {
        trunk_sid: 'trk_other',
        account_sid: 'other',
        trunk_name: 'neighbour',
        phone_numbers: [{ phone_number: '+918050000001' }],
      },
    ],
    network_groups: parts.groups ?? [],
  });
  if (!checked.ok) throw new Error(checked.error.map((problem) => problem.message).join('; '));
  return new TableBuilder().compile({ kind: 'full', revision: 'r', batches: [flatten(checked.value)] });
};

const carrier = (id: string, more: object = {}): object => ({
  id,
  source_acl: [],
  gateways: [{ uri: `sip:gw.${id}.example` }],
  ...more,
});

const group = (of: string, prefixes: string[], price?: string, more: object = {}): object => ({
  carrier: of,
  country_iso: 'XX',
  name: `${of}-${prefixes[0] ?? ''}`,
  prefixes,
  ...(price === undefined ? {} : { outbound_price: price, currency: 'USD' }),
  ...more,
});

const ask = (table: RoutingTable, request: Partial<CallRequest> = {}, context: Partial<DecideContext> = {}): Decision =>
  decide(
    table,
    {
      sourceAddress: PBX,
      sourcePort: 5060,
      transport: 'udp',
      calledNumber: '+447700900000',
      callerNumber: '+918040000001',
      ...request,
    },
    { limits: NO_LIMITS, nowMs: 0, random: () => 0, ...context },
  );

const hosts = (decision: Decision): string =>
  decision.accepted ? decision.destinations.map((one) => one.gateway).join(' ') : decision.reasonCode;

t.test('caller IDs: a number of the trunk, else what the rule of the trunk says', async (t) => {
  const rule = async (settings: object, callerNumber: string, more: Partial<CallRequest> = {}) => {
    const {
      reasonCode,
      callerNumber: caller,
      diverting,
    } = ask(await build({ trunk: { settings } }), {
      callerNumber,
      ...more,
    });
    return [reasonCode, caller.sent, caller.asserted, diverting];
  };
  const alias = { trunk_external_alias: '+918040000002' };
  const stranger = '+14155550199';
  const no = ['caller_id_not_mapped', undefined, undefined, undefined];
  t.same(await rule({ caller_id: 'reject', ...alias }, stranger), no);
  t.same(await rule({ caller_id: 'replace' }, stranger), no, 'nothing to replace it with');
  t.same(await rule({}, stranger), no, 'as before: without an alias it is refused');
  t.same(await rule(alias, stranger), ['routed', '+918040000002', '+918040000002', undefined]);
  t.same(await rule({ caller_id: 'replace', ...alias }, stranger), [
    'routed',
    '+918040000002',
    '+918040000002',
    undefined,
  ]);
  t.same(await rule({ caller_id: 'pass' }, stranger), ['routed', stranger, undefined, undefined]);
  t.same(
    await rule({ caller_id: 'pass', ...alias }, stranger),
    ['routed', stranger, '+918040000002', '+918040000002'],
    'we vouch for the alias, not for a number that anybody may write',
  );
  t.same(await rule({ caller_id: 'pass' }, ''), ['routed', undefined, undefined, undefined], 'anonymous stays so');
  t.same(await rule({ caller_id: 'pass' }, '+918050000001'), no, "another account's number is nobody else's");
  t.same(
    await rule({ caller_id: 'pass' }, '+918040000001', { divertingNumber: '+918040000002' }),
    ['routed', '+918040000001', '+918040000001', '+918040000002'],
    'who sent the call on is told if it is a number of the trunk',
  );
  t.equal((await rule({}, '+918040000001', { divertingNumber: '+918050000001' }))[3], undefined);
});

t.test('gateways get the number as they write it', async (t) => {
  const cases: [object, string, string][] = [
    [{}, '+447700900000', '+447700900000'],
    [{ number_style: 'digits' }, '+447700900000', '447700900000'],
    [{ number_style: 'national', country_code: '44' }, '+447700900000', '7700900000'],
    [{ number_style: 'national', country_code: '44' }, '+14155550100', '+14155550100'],
    [{ number_style: 'digits', tech_prefix: '9011#' }, '+447700900000', '9011%23447700900000'],
    [{ tech_prefix: '*7' }, '+447700900000', '*7+447700900000'],
  ];
  for (const [gateway, number, expected] of cases)
    t.equal(dialString(number, dialFormatOf(gateway)), expected, JSON.stringify(gateway));
  const table = await build({
    carriers: [carrier('a', { gateways: [{ uri: 'sip:gw', number_style: 'digits', tech_prefix: '77' }] })],
  });
  t.equal(ask(table).destinations[0]?.uri, 'sip:77447700900000@gw');
});

t.test('which carriers may take a call', async (t) => {
  const two = [carrier('a'), carrier('b')];
  t.equal(hosts(ask(await build({ carriers: two, number: { carrier: 'b' } }))), 'gw.b.example', "the number's");
  t.equal(
    hosts(ask(await build({ carriers: two, account: { carriers: ['b'] } }))),
    'gw.b.example',
    "those of the account's list",
  );
  t.equal(
    hosts(ask(await build({ carriers: two, account: { carriers: ['b', 'a'] } }), {}, { random: () => 0.99 })),
    'gw.b.example gw.a.example',
    'in its order, where none has a weight of its own',
  );
  t.equal(hosts(ask(await build({ carriers: two }))), 'gw.a.example gw.b.example', 'else all');
  const foreign = carrier('x', { account_sid: 'other' });
  const mine = carrier('m', { account_sid: 'acc' });
  t.equal(hosts(ask(await build({ carriers: [foreign, carrier('a')] }))), 'gw.a.example', 'never a stranger’s');
  t.equal(hosts(ask(await build({ carriers: [foreign] }))), 'carrier_not_found');
  t.equal(hosts(ask(await build({ carriers: [foreign], number: { carrier: 'x' } }))), 'carrier_not_found');
  t.equal(hosts(ask(await build({ carriers: [mine], number: { carrier: 'm' } }))), 'gw.m.example');
  const off = await build({ carriers: [mine, carrier('a')], account: { byo_enabled: false } });
  t.equal(hosts(ask(off)), 'gw.a.example');
  t.match(ask(off).carriers, [{ carrierId: 'a' }, { carrierId: 'm', reasonCode: 'byo_disabled' }]);
  t.equal(
    hosts(ask(await build({ carriers: [mine], account: { byo_enabled: false }, number: { carrier: 'm' } }))),
    'byo_disabled',
  );
});

t.test('network groups are enabled for all and for the account, or the refusal says what is near', async (t) => {
  const groups = [group('a', ['44']), group('a', ['4477'], undefined, { enabled: false }), group('a', ['1'])];
  const all = ask(await build({ groups }));
  t.equal(all.reasonCode, 'destination_not_enabled');
  t.equal(all.nearestMiss, 'prefix 4477 of a is a-4477 (XX), disabled for everybody; prefix 44, a-44, is enabled');
  t.equal(hosts(ask(await build({ groups }), { calledNumber: '+442071838750' })), 'gw.a.example');
  const account = { disabled_network_groups: ['a/XX/a-44'] };
  const mine = ask(await build({ groups, account }), { calledNumber: '+442071838750' });
  t.match(mine, { reasonCode: 'destination_not_enabled', nearestMiss: /disabled for account acc$/ });
  t.equal(mine.sipStatus, 403);
  const carriers = [carrier('a'), carrier('b', { flat_rate: { outbound_price: '0.5', currency: 'USD' } })];
  const second = ask(await build({ groups, carriers }));
  t.equal(hosts(second), 'gw.b.example', 'a carrier without groups skips the rules of countries');
  t.match(second.destinations, [{ carrierId: 'b', rate: { outbound_price: '0.5' } }]);
  t.match(second.carriers?.[1], {
    carrierId: 'a',
    reasonCode: 'destination_not_enabled',
    networkGroup: 'a/XX/a-4477',
    prefix: '4477',
  });
});

t.test('carriers in order: priority, then weight; or the lowest price', async (t) => {
  const carriers = [
    carrier('dear', { priority: 0 }),
    carrier('cheap', { priority: 5 }),
    carrier('euro', { priority: 0, flat_rate: { outbound_price: '0.0001', currency: 'EUR' } }),
    carrier('none', { priority: 0, weight: 0 }),
  ];
  const groups = [group('dear', ['4'], '0.02'), group('cheap', ['44'], '0.019999'), group('cheap', ['4479'], '9')];
  const order = (decision: Decision) => decision.destinations.map((one) => one.carrierId).join(' ');
  t.equal(order(ask(await build({ carriers, groups }))), 'dear euro none cheap');
  const account = { carrier_order: 'least_cost' };
  const least = await build({ carriers, groups, account });
  t.equal(
    order(ask(least)),
    'dear cheap euro none'.replace('dear cheap', 'cheap dear'),
    'then other currencies, for no rate of exchange is known, then no price',
  );
  t.equal(order(ask(least, { calledNumber: '+447911123456' })), 'dear cheap euro none', 'the longest prefix prices');
  const euro = await build({
    carriers,
    groups,
    account: { ...account, spend_per_day: { amount: '1000000', currency: 'EUR' } },
  });
  t.equal(order(ask(euro)), 'euro', 'under a cap in euros only what costs euros is used');
  const drawn = await build({ carriers: [carrier('x', { weight: 1 }), carrier('y', { weight: 3 })] });
  const first = (draw: number) => ask(drawn, {}, { random: () => draw }).carrierId;
  t.same([0, 0.24, 0.26, 0.9].map(first), ['x', 'x', 'y', 'y']);
  t.same(
    orderTargets([{ priority: 1, weight: 1 }], () => 0.5),
    [{ priority: 1, weight: 1 }],
  );
});

t.test('each destination carries its carrier, its price and its policies', async (t) => {
  const carriers = [
    carrier('a', {
      failover: { '486': 'next' },
      identity: { p_asserted_identity: true },
      limits: { concurrent_calls: 5 },
    }),
    carrier('b', { priority: 1 }),
  ];
  const decision = ask(
    await build({ carriers, groups: [group('a', ['44'], '0.0125')], trunk: { failover: { '404': 'next' } } }),
  );
  t.match(decision.destinations, [
    {
      carrierId: 'a',
      rate: { outbound_price: '0.0125', currency: 'USD' },
      networkGroup: 'a/XX/a-44',
      prefix: '44',
      failover: { '486': 'next' },
      identity: { p_asserted_identity: true },
    },
    { carrierId: 'b', rate: undefined, failover: undefined },
  ]);
  t.same(decision.failover, { '404': 'next' }, 'the trunk’s, for carriers that have none');
  t.same(
    decision.limits.map(({ key }) => key),
    ['trunk:trk', 'account:acc'],
  );
  t.match(decision.carriers?.[0]?.claim, { key: 'carrier:a', concurrentCalls: 5 });
  t.notMatch(
    JSON.stringify(
      ask(await build({ carriers: [carrier('a', { credentials: { user_name: 'u', password: 'geheim' } })] })),
    ),
    /geheim/,
  );
});

t.test('the longest of the allowed and denied prefixes decides', async (t) => {
  const rules = PrefixRules.of(['44', '4490123'], ['4490']);
  const verdicts = ['+442000', '+44901000', '+449012345', '+33100'].map((number) => rules?.judge(number).allowed);
  t.same(verdicts, [true, false, true, false]);
  t.equal(
    new PrefixRules(undefined, ['44']).judge('+331').allowed,
    true,
    'without a list of the allowed all others are',
  );
  t.equal(new PrefixRules(['44'], ['44']).judge('+441').allowed, false, 'in both lists: denied');
  t.equal(new PrefixRules([]).judge('+441').allowed, false, 'an empty list allows nothing');
  t.equal(PrefixRules.of(undefined, []), undefined);
  const table = await build({ trunk: { deny_prefixes: ['44'] } });
  t.match(ask(table), { sipStatus: 403, reasonCode: 'destination_denied' });
  t.equal(ask(table, { calledNumber: '+14155550100' }).accepted, true);
});

t.test('a day’s money: what is left must pay for the first pulse, and bounds the call', async (t) => {
  const rate = { outbound_price: '0.60', currency: 'USD', setup_fee: '0.10' };
  t.same(outboundPrice(rate), {
    currency: 'USD',
    perMinuteMicros: 600_000,
    setupMicros: 100_000,
    firstMicros: 700_000,
  });
  t.match(outboundPrice({ ...rate, minimum_charge: '5', first_seconds: 1 }), { firstMicros: 5_000_000 });
  t.equal(outboundPrice({ inbound_price: '1' }), undefined);
  const money = { amount: '3', currency: 'USD' };
  const table = await build({
    carriers: [carrier('a', { flat_rate: rate })],
    trunk: { spend_per_day: money },
    account: { spend_per_day: { amount: '100', currency: 'USD' } },
  });
  const spent = (micros: number): Decision =>
    ask(table, {}, { spend: { committedMicros: (key) => (key === 'trunk:trk' ? micros : 0) } });
  t.equal(spent(0).destinations[0]?.maxSeconds, 290);
  t.equal(spent(2_300_000).destinations[0]?.maxSeconds, 60);
  t.match(spent(2_300_001), { accepted: false, sipStatus: 403, reasonCode: 'spend_cap_reached' });
  t.match(spent(2_300_001).steps.at(-1)?.detail, /trunk:trk has spent 2.300001 of 3 USD today: .* needs 0.7/);
  t.equal(ask(table).accepted, true, 'where nothing is rated');
  const unpriced = await build({ carriers: [carrier('a')], trunk: { spend_per_day: money } });
  t.equal(ask(unpriced).reasonCode, 'price_unknown', 'what cannot be weighed is not let at the money');
});

t.test('limits of the account refuse; a full carrier comes last; full carriers everywhere refuse', async (t) => {
  const limits = { concurrent_calls: 1, calls_per_second: 1 };
  const table = await build({
    account: { limits },
    carriers: [carrier('a', { limits }), carrier('b', { priority: 9, limits })],
  });
  const busy = (...full: string[]) => ({
    limits: { concurrent: (key: string) => (full.includes(key) ? 1 : 0), rateAllows: () => true },
  });
  const fast = (...keys: string[]) => ({
    limits: { concurrent: () => 0, rateAllows: (key: string) => !keys.includes(key) },
  });
  t.match(ask(table, {}, busy('account:acc')), { sipStatus: 503, reasonCode: 'account_concurrent_calls' });
  t.match(ask(table, {}, fast('account:acc')), { reasonCode: 'account_calls_per_second', retryAfterSeconds: 1 });
  t.equal(hosts(ask(table, {}, busy('carrier:a'))), 'gw.b.example gw.a.example');
  t.match(ask(table, {}, busy('carrier:a')).carriers?.[1], { reasonCode: 'carrier_concurrent_calls' });
  t.equal(hosts(ask(table, {}, busy('carrier:a', 'carrier:b'))), 'carrier_concurrent_calls');
  t.match(ask(table, {}, fast('carrier:a', 'carrier:b')), { sipStatus: 503, reasonCode: 'carrier_calls_per_second' });
});

t.test('a call holds the limits of the carrier that it tries, and of no other', async (t) => {
  const limits = { concurrent_calls: 1 };
  const decision = ask(await build({ carriers: [carrier('a', { limits }), carrier('b', { priority: 9, limits })] }));
  const limiter = new CallLimiter();
  const clock = new ManualClock();
  const own = limiter.claim(decision.limits, 0);
  if (!own.ok) throw new Error('no room');
  const hold = new CallHold(limiter, clock, decision, own.value);
  const [first, second] = decision.destinations as [Destination, Destination];
  const up = () => ['trunk:trk', 'carrier:a', 'carrier:b'].map((key) => limiter.concurrent(key));
  t.same(up(), [1, 0, 0], 'none before it is tried');
  t.equal(hold.enter(first), undefined);
  t.equal(hold.enter(first), undefined, 'another gateway of the same carrier');
  t.same(up(), [1, 1, 0]);
  const rival = limiter.claim([decision.carriers?.[1]?.claim ?? { key: '', callsPerSecond: 0, concurrentCalls: 0 }], 0);
  t.equal(hold.enter(second), 'carrier_concurrent_calls');
  t.same(up(), [1, 0, 1], 'the one that was left is free');
  if (rival.ok) limiter.release(rival.value);
  t.equal(hold.enter(second), undefined);
  t.same(up(), [1, 0, 1]);
  hold.release();
  hold.release();
  t.equal(hold.enter(first), undefined, 'after the end nothing is taken');
  t.same(up(), [0, 0, 0]);
  t.same(limiter.dump().calls, 0);
});

t.test('lint finds what only calls out would show', async (t) => {
  const shape = validateShape({
    accounts: [
      {
        sid: 'acc',
        carriers: ['a', 'x', 'gone'],
        disabled_network_groups: ['a/XX/a-44', 'a/XX/none'],
        spend_per_day: { amount: '5', currency: 'EUR' },
      },
    ],
    carriers: [
      carrier('a', {
        flat_rate: { outbound_price: '1' },
        gateways: [{ uri: 'sip:g', number_style: 'national' }, { uri: 'sip:h', tech_prefix: '9' }, { uri: 'sip:i' }],
      }),
      carrier('x', { account_sid: 'other' }),
    ],
    trunks: [
      {
        trunk_sid: 'trk',
        account_sid: 'acc',
        trunk_name: 'pbx',
        settings: { caller_id: 'replace' },
        spend_per_day: { amount: '5', currency: 'USD' },
        phone_numbers: [{ phone_number: '+918040000001' }, { phone_number: '+4477' }, { phone_number: '+9991234567' }],
      },
    ],
    network_groups: [group('a', ['44'])],
  });
  if (!shape.ok) throw new Error(JSON.stringify(shape.error));
  const findings = lintDocument(shape.value);
  const at = (code: string) => findings.filter((finding) => finding.code === code).map(({ path }) => path);
  t.same(at('unknown_carrier_listed'), ['accounts[0].carriers[1]', 'accounts[0].carriers[2]']);
  t.same(at('unknown_network_group'), ['accounts[0].disabled_network_groups[1]']);
  t.same(at('national_without_country'), ['carriers[0].gateways[0]']);
  t.same(at('prefix_before_plus'), ['carriers[0].gateways[1]']);
  t.same(at('replace_without_alias'), ['trunks[0].settings']);
  t.same(at('spend_without_price'), ['accounts[0].spend_per_day'], 'prices without a currency are USD');
  t.same(at('impossible_number'), ['trunks[0].phone_numbers[1]', 'trunks[0].phone_numbers[2]']);
});

t.test('a trunk is known by its address, by a password, or by both', async (t) => {
  const credentials = [{ user_name: 'pbx', password: 'geheim' }];
  const both = await build({ trunk: { credentials } });
  t.match(ask(both), { sipStatus: 401, reasonCode: 'credentials_required', trunkSid: 'trk', accountSid: 'acc' });
  const proved = { provedTrunks: ['trk'], userName: 'pbx' };
  t.match(ask(both, proved), { accepted: true, userName: 'pbx' });
  t.equal(ask(both, { ...proved, sourceAddress: '203.0.113.5' }).reasonCode, 'source_not_allowed', 'both means both');
  t.equal(ask(both, { provedTrunks: ['nobody'] }).reasonCode, 'credentials_required', 'of this trunk');
  const roaming = await build({ trunk: { credentials, whitelisted_ips: [] } });
  t.equal(ask(roaming, { sourceAddress: '203.0.113.5' }).reasonCode, 'source_not_allowed');
  t.match(ask(roaming, { ...proved, sourceAddress: '203.0.113.5' }), { accepted: true, direction: 'outbound' });
  t.same([roaming.hasUsers, roaming.trunksOfUser('pbx'), roaming.trunksOfUser('x')], [true, ['trk'], []]);
  const renamed = applyPatch(roaming, {
    kind: 'patch',
    revision: 'r2',
    base: 'r',
    deletes: [],
    upserts: [
      {
        type: 'trunk',
        value: {
          ...(roaming.trunk('trk')?.trunk as Trunk),
          credentials: [
            { user_name: 'new', password: '1' },
            { user_name: 'new', password: '2' },
          ],
        },
      },
    ],
  });
  t.same([renamed.trunksOfUser('pbx'), renamed.trunksOfUser('new')], [[], ['trk']]);
  t.same(roaming.trunksOfUser('pbx'), ['trk'], 'the old table is as it was');
  const gone = applyPatch(renamed, {
    kind: 'patch',
    revision: 'r3',
    base: 'r2',
    deletes: [{ type: 'trunk', id: 'trk' }],
    upserts: [],
  });
  t.equal(gone.hasUsers, false);
});

t.test('who must prove a password is asked, and who guesses too often is not', async (t) => {
  const credentials = [{ user_name: 'pbx', password: 'geheim' }];
  const table = await build({
    trunk: { credentials, whitelisted_ips: [] },
    carriers: [carrier('a', { source_acl: [{ ip: '192.0.2.1' }] })],
  });
  const login = new CallerLogin('secret');
  const invite = (field?: string) =>
    new FakeMessage({ uri: 'sip:+1@t', headers: field === undefined ? [] : [['Authorization', field]] });
  const address = '203.0.113.5';
  t.equal(login.look(await build(), invite(), address, 0).kind, 'open', 'nobody has a password');
  t.equal(login.look(table, invite(), '192.0.2.1', 0).kind, 'open', 'a carrier is not asked');
  const answer = (password: string, nowMs: number): string => {
    const asked = login.look(table, invite(), address, nowMs);
    if (asked.kind !== 'challenge') throw new Error(asked.kind);
    const client = new DigestClient({ userName: 'pbx', password, realm: 'tandem' }, 'h', new SeededRandom(1));
    const challenges = asked.headers.map(([, value]) => value);
    const outcome = client.answer({ status: 401, challenges }, { method: 'INVITE', uri: 'sip:+1@t' });
    return outcome.ok ? outcome.header[1] : '';
  };
  const good = invite(answer('geheim', 0));
  t.same(login.look(table, good, address, 1), { kind: 'proved', userName: 'pbx', trunks: ['trk'] });
  t.equal(login.look(table, good, address, 2).kind, 'proved', 'to look is not to take');
  login.take(good);
  t.equal(login.look(table, good, address, 3).kind, 'challenge', 'an overheard answer is worth nothing');
  const guess = invite(answer('falsch', 4));
  const guesses = Array.from({ length: 12 }, () => login.look(table, guess, address, 5).kind);
  t.same(guesses, [...Array.from({ length: 10 }, () => 'challenge'), 'refused', 'refused']);
  t.equal(login.look(table, invite(), address, 60_005).kind, 'challenge', 'not for ever');
});
