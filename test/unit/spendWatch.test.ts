import t from 'tap';
import { AlarmGate } from '../../src/call/admission/alarms.js';
import { chargeOf } from '../../src/call/record/rating.js';
import type { CallRequest, Decision } from '../../src/call/routing/decision.js';
import { Draft } from '../../src/call/routing/draft.js';
import { SpendWatch } from '../../src/call/session/spendWatch.js';
import { ManualClock } from '../../src/kernel/index.js';
import { callRecord } from '../support/callRecord.js';
import { CallRig } from '../support/callRig.js';

const REQUEST: CallRequest = {
  sourceAddress: '127.0.67.1',
  sourcePort: 5060,
  transport: 'udp',
  calledNumber: '+1900',
  callerNumber: '',
};

const decided = (rate: object, maxSeconds?: number): Decision => {
  const draft = new Draft('r', REQUEST);
  draft.direction = 'outbound';
  draft.trunkSid = 'trk';
  draft.accountSid = 'acc';
  draft.destinations = [
    { uri: 'sip:1@a', gateway: 'a', priority: 0, weight: 1, rate, ...(maxSeconds === undefined ? {} : { maxSeconds }) },
  ];
  return draft.accept();
};

t.test('calls end before the pulse that there is no money for, the youngest first', async (t) => {
  const clock = new ManualClock();
  const rate = { outbound_price: '6', currency: 'USD', first_seconds: 1, next_seconds: 1 };
  const priced = { rate };
  const up = new Map<string, number>();
  let settled = 0;
  const ended: string[] = [];
  const cost = (answeredMs: number) => chargeOf(priced, 'outbound', clock.nowMs() - answeredMs)?.micros ?? 0;
  const watch = new SpendWatch({
    clock,
    spend: { committedMicros: () => settled + [...up.values()].reduce((sum, from) => sum + cost(from), 0) },
    capsOf: () => [{ key: 'trunk:trk', limitMicros: 10_000_000, currency: 'USD' }],
    end: (callId, key) => {
      ended.push(`${callId} ${key} at ${clock.nowMs()}`);
      settled += cost(up.get(callId) ?? 0);
      up.delete(callId);
      watch.observe({ type: 'call_ended', callId, atMs: 0, record: callRecord({ callId }) });
    },
  });
  const call = (callId: string): void => {
    watch.observe({ type: 'call_decided', callId, atMs: 0, decision: decided(rate, 99) });
    watch.observe({ type: 'attempt_started', callId, atMs: 0, attempt: 1, uri: '', gateway: '', bLegCallId: '' });
    const answer = { setupMs: 0, bLegCallId: '', decision: undefined, priced };
    watch.observe({ type: 'call_answered', callId, atMs: 0, ...answer });
    up.set(callId, clock.nowMs());
  };
  call('one');
  clock.advance(10_000);
  call('two');
  t.same(watch.dump(), { calls: 2 });
  for (let i = 0; i < 120; i++) clock.advance(1000);
  t.same(
    ended.map((line) => line.split(' ')[0]),
    ['two', 'one'],
  );
  t.ok(settled <= 10_000_000 && settled > 9_000_000, `${settled} micros, within the set spend`);
  t.equal(clock.pending, 0, 'nothing is looked at when nothing is up');
  watch.observe({ type: 'call_decided', callId: 'x', atMs: 0, decision: decided(rate) });
  t.same(watch.dump(), { calls: 0 }, 'calls without a cap are not watched');
});

t.test('alarms are told once a minute for each rule of each trunk', async (t) => {
  const gate = new AlarmGate();
  const refuse = (code: 'destination_denied' | 'account_calls_per_second' | 'number_invalid', trunk = 'trk') => {
    const draft = new Draft('r', REQUEST);
    draft.trunkSid = trunk;
    draft.accountSid = 'acc';
    return draft.reject(code);
  };
  t.same(gate.refused(refuse('destination_denied'), 0), {
    alarm: 'premium_prefix_denied',
    key: 'trunk:trk',
    untold: 0,
  });
  for (let i = 0; i < 50; i++) t.equal(gate.refused(refuse('destination_denied'), 1000 + i), undefined);
  t.match(gate.refused(refuse('destination_denied', 'other'), 1000), { key: 'trunk:other' });
  t.match(gate.refused(refuse('account_calls_per_second'), 1000), { alarm: 'cps_exceeded', key: 'account:acc' });
  t.equal(gate.refused(refuse('number_invalid'), 1000), undefined);
  t.equal(gate.refused(decided({}), 1000), undefined);
  t.match(gate.refused(refuse('destination_denied'), 60_000), { untold: 50 });
});

t.test('a refused call raises its alarm as an event; a call that runs out of money ends for both', async (t) => {
  const rig = new CallRig({
    decide: (request) => {
      const draft = new Draft('r', request);
      draft.trunkSid = 'trk';
      return draft.reject('destination_denied');
    },
  });
  rig.signal.call();
  rig.signal.call();
  t.match(
    rig.events.filter(({ type }) => type === 'fraud_alarm'),
    [{ alarm: 'premium_prefix_denied', key: 'trunk:trk' }],
  );
  const up = new CallRig();
  const a = up.signal.call();
  up.signal.b().answers();
  a.acks();
  const callId = up.service.registry.dump()[0]?.callId ?? '';
  up.service.endUnpaid(callId, 'trunk:trk_demo');
  up.signal.b().confirms();
  a.confirms();
  t.match(up.record, { outcome: 'answered', endedBy: 'tandem', reasonCode: 'spend_cap_reached' });
  t.ok(up.eventTypes().includes('fraud_alarm'));
  up.service.endUnpaid(callId, 'trunk:trk_demo');
  t.strictSame(up.leftovers(), []);
});
