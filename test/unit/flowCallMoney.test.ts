/** What the calls that flows make cost: in the record, in the day's sums while they are up and after, against a cap. */
import t from 'tap';
import type { DecidedCall } from '../../src/call/record/callFacts.js';
import type { CallEvent } from '../../src/call/session/events.js';
import { FlowRig, type FlowRigOptions, TRUNK_NUMBER } from '../support/flowRig.js';

const NEAR = '+919811111111';
const FAR = '+14155550100';
const PULSES = { currency: 'EUR', first_seconds: 10, next_seconds: 1 };
/** 10,000 micros a second to India, 20,000 to America, 1,000 for being called. */
const group = (country_iso: string, prefix: string, outbound_price: string) => ({
  carrier: 'telco',
  country_iso,
  name: 'all',
  prefixes: [prefix],
  outbound_price,
  inbound_price: '0.06',
  ...PULSES,
});
const PRICES = { groups: [group('IN', '91', '0.6'), group('US', '1', '1.2')] };

const TONE = { tone: [440], duration_ms: 1000 };
const connect = (params: object, exits: object = {}) => ({ applet: 'connect', params, exits });
const greet = { applet: 'greeting', params: { play: [TONE] }, exits: { next: 'dial' } };
const bye = { applet: 'hangup' };

const create = (nodes: object, more: Partial<FlowRigOptions> = {}): Promise<FlowRig> =>
  FlowRig.create({ nodes, ...PRICES, ...more });

const spent = (rig: FlowRig, key = 'trunk:trk') => rig.spend.committedMicros(key, 'EUR');
const types = (rig: FlowRig): CallEvent['type'][] => rig.events.map(({ type }) => type);

t.test(
  'a call that is connected to a number pays twice: for the caller, and for the callee from its answer on',
  async (t) => {
    const rig = await create({ first: connect({ to: [FAR] }) });
    const a = rig.calls();
    await rig.turn();
    t.equal(spent(rig), 10_000 + 200_000, 'both count with their first pulses while it rings');
    const b = rig.signal.b(1);
    b.tries();
    b.progresses(180);
    await rig.pass(7000);
    t.equal(spent(rig), 210_000, 'ringing costs nothing more');
    b.answers('answer');
    await rig.turn();
    a.acks();
    await rig.pass(25_000);
    t.equal(spent(rig), 25_000 + 500_000);
    t.equal(spent(rig, 'account:demo'), 525_000);
    b.byes();
    await rig.turn();
    a.confirms();
    t.match(rig.record, { talkMs: 25_000, charge: { micros: 25_000, networkGroup: 'telco/IN/all' } });
    t.same(rig.record.dials, [
      {
        uri: `sip:${FAR}@127.0.20.10:5060`,
        carrierId: 'telco',
        answeredAt: rig.record.answeredAt,
        talkMs: 25_000,
        charge: {
          currency: 'EUR',
          micros: 500_000,
          billedSeconds: 25,
          rate: { inbound_price: '0.06', outbound_price: '1.2', first_seconds: 10, next_seconds: 1 },
          networkGroup: 'telco/US/all',
          prefix: '1',
        },
      },
    ]);
    const keys = Object.keys(rig.record);
    t.ok(keys.indexOf('dials') === keys.indexOf('charge') + 1 && keys.indexOf('dials') < keys.indexOf('decision'));
    t.equal(spent(rig), 525_000);
    await rig.pass(60_000);
    t.equal(spent(rig), 525_000, 'settled once');
    t.same(
      types(rig).filter((type) => type.startsWith('dial_')),
      ['dial_started', 'dial_answered', 'dial_ended'],
    );
    t.same(rig.leftovers(), []);
  },
);

t.test('nobody who did not answer costs anything; who was tried is in the attempts', async (t) => {
  const rig = await create({ first: connect({ to: [FAR] }, { busy: 'bye' }), bye });
  const a = rig.calls();
  await rig.turn();
  rig.signal.b(1).refuses(486);
  await rig.turn();
  a.confirms();
  await rig.pass(1000);
  t.equal(rig.record.dials, undefined);
  t.match(rig.record, { charge: null, attempts: [{ sipStatus: 486 }] });
  t.equal(spent(rig), 0);
  t.match(
    rig.events.find(({ type }) => type === 'dial_ended'),
    { record: undefined },
  );
  t.same(rig.leftovers(), []);
});

t.test('trunks are called for nothing, and are told with the others', async (t) => {
  const rig = await create({ first: connect({ to: ['sip:trk'] }) });
  const a = rig.calls();
  await rig.turn();
  rig.signal.b(1).answers('answer');
  await rig.turn();
  a.acks();
  await rig.pass(20_000);
  t.equal(spent(rig), 20_000, 'being called has its price');
  a.byes();
  await rig.turn();
  rig.signal.b(1).confirms();
  await rig.pass(1000);
  t.match(rig.record.dials, [{ carrierId: null, talkMs: 20_000, charge: null }]);
  t.equal(spent(rig), 20_000);
  t.same(rig.leftovers(), []);
});

t.test('one dial after the other: each has its own time, its own price, and the sums are exact', async (t) => {
  const again = connect({ to: [FAR] }, { answered: 'bye' });
  const rig = await create({ first: greet, dial: connect({ to: [NEAR] }, { answered: 'again' }), again, bye });
  const notes: DecidedCall[] = [];
  Object.assign(rig.recorder, { note: (call: DecidedCall) => notes.push({ ...call }) });
  const a = await rig.answered();
  await rig.pass(1000);
  rig.media.last.playEnds();
  await rig.turn();
  rig.signal.b(1).answers('one');
  await rig.pass(12_345);
  t.match(notes.at(-1), { dials: undefined, openDials: [{ answeredMs: 1000, priced: { prefix: '91' } }] });
  rig.signal.b(1).byes();
  await rig.turn();
  t.match(notes.at(-1), { openDials: [], dials: [{ talkMs: 12_345, charge: { micros: 130_000 } }] });
  t.equal(spent(rig), 14_000 + 130_000 + 200_000, 'the first is over and still counts, the next rings');
  rig.signal.b(2).answers('two');
  await rig.pass(30_001);
  t.equal(notes.at(-1)?.openDials?.length, 1);
  t.equal(spent(rig), 44_000 + 130_000 + 620_000);
  a.byes();
  await rig.turn();
  rig.signal.b(2).confirms();
  await rig.pass(1000);
  const { charge, dials = [] } = rig.record;
  t.match(dials, [
    {
      carrierId: 'telco',
      talkMs: 12_345,
      charge: { micros: 130_000, billedSeconds: 13, networkGroup: 'telco/IN/all' },
    },
    {
      carrierId: 'telco',
      talkMs: 30_001,
      charge: { micros: 620_000, billedSeconds: 31, networkGroup: 'telco/US/all' },
    },
  ]);
  const sum = dials.reduce((micros, dial) => micros + (dial.charge?.micros ?? 0), charge?.micros ?? 0);
  t.equal(spent(rig), sum);
  t.equal(sum, 44_000 + 130_000 + 620_000);
  t.same(rig.leftovers(), []);
});

t.test('an answer whose audio does not fit was an answer: the carrier is paid', async (t) => {
  const rig = await create({ first: greet, dial: connect({ to: [NEAR] }, { failed: 'bye' }), bye });
  const a = await rig.answered();
  rig.media.last.playEnds();
  await rig.turn();
  rig.media.last.refuses = { code: 'no_common_codec', message: 'none', sipStatus: 488 };
  rig.signal.b(1).answers('odd');
  await rig.turn();
  rig.signal.b(1).confirms();
  a.confirms();
  await rig.pass(1000);
  t.match(rig.record.dials, [{ talkMs: 0, charge: { micros: 100_000, billedSeconds: 10 } }]);
  t.equal(spent(rig), 110_000);
  t.same(rig.leftovers(), []);
});

t.test('a cap sees what the dial costs: the call ends before the pulse that nobody can pay', async (t) => {
  const money = { amount: '1', currency: 'EUR' };
  const rig = await create({ first: connect({ to: [FAR] }) }, { trunk: { spend_per_day: money } });
  const a = rig.calls();
  await rig.turn();
  rig.signal.b(1).answers('answer');
  await rig.turn();
  a.acks();
  for (let i = 0; i < 60 && !rig.signal.b(1).byeSent; i++) await rig.pass(1000);
  rig.signal.b(1).confirms();
  a.confirms();
  await rig.pass(1000);
  t.match(rig.record, { endedBy: 'tandem', reasonCode: 'spend_cap_reached' });
  const total = spent(rig);
  t.ok(total > 900_000 && total <= 1_000_000, `${total} micros of a million`);
  t.ok(types(rig).includes('fraud_alarm'));
  t.same(rig.leftovers(), []);

  const poor = await create(
    { first: connect({ to: [FAR] }, { failed: 'bye' }), bye },
    {
      trunk: { spend_per_day: { amount: '0.205', currency: 'EUR' } },
    },
  );
  const b = poor.calls();
  await poor.turn();
  t.equal(poor.signal.outgoing.length, 0, 'no money for its first pulse beside that of the caller');
  b.confirms();
  await poor.pass(1000);
  t.equal(spent(poor), 0);
  t.same(poor.leftovers(), []);
});

t.test('a placed call is charged as the call, and what its flow dials as dials', async (t) => {
  const rig = await create(
    { first: connect({ to: [FAR] }) },
    { trunk: { spend_per_day: { amount: '9', currency: 'EUR' } } },
  );
  const placed = rig.service.originate({
    accountSid: 'demo',
    from: TRUNK_NUMBER,
    to: NEAR,
    flow: 'flw',
    custom: {},
    source: { address: '127.0.72.1', port: 38_000 },
  });
  t.ok(placed.ok);
  await rig.turn();
  t.equal(spent(rig), 100_000);
  rig.signal.b(1).answers('callee');
  await rig.turn();
  t.equal(spent(rig), 300_000);
  rig.signal.b(2).tries();
  await rig.pass(5000);
  rig.signal.b(2).answers('other');
  await rig.pass(15_000);
  t.equal(spent(rig), 200_000 + 300_000);
  rig.signal.b(1).byes();
  await rig.turn();
  rig.signal.b(2).confirms();
  await rig.pass(1000);
  const { charge, dials } = rig.record;
  t.match(charge, { micros: 200_000, networkGroup: 'telco/IN/all' });
  t.match(dials, [{ uri: `sip:${FAR}@127.0.20.10:5060`, talkMs: 15_000, charge: { micros: 300_000, prefix: '1' } }]);
  t.equal(dials?.length, 1, 'the call itself is no dial');
  t.equal(spent(rig), 500_000);
  t.same(rig.leftovers(), []);
});
