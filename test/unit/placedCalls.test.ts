/** Calls that Tandem places: on fake legs and fake media, from the order to the record. */
import t from 'tap';
import { type OriginateOrder } from '../../src/call/session/originate/order.js';
import { FlowRig, TRUNK_NUMBER } from '../support/flowRig.js';

const TONE = { tone: [440], duration_ms: 1000 };
const NODES = {
  first: { applet: 'greeting', params: { play: [TONE] }, exits: { next: 'bye' } },
  bye: { applet: 'hangup' },
};
const ORDER: OriginateOrder = {
  accountSid: 'demo',
  from: TRUNK_NUMBER,
  to: '+919812345678',
  flow: 'flw',
  custom: { customer_id: 'Zoë 7' },
  callerName: 'Support',
  source: { address: '127.0.0.1', port: 40_000 },
};

async function placed(order: Partial<OriginateOrder> = {}, nodes: object = NODES) {
  const rig = await FlowRig.create({ nodes });
  const result = rig.service.originate({ ...ORDER, ...order });
  await rig.turn();
  return { rig, result };
}

t.test('somebody is called through a carrier, answers, hears the flow, and one record tells it', async (t) => {
  const { rig, result } = await placed();
  t.ok(result.ok);
  t.equal(rig.service.registry.dump()[0]?.state, 'dialling');
  const b = rig.signal.b();
  t.equal(b.spec.uri, 'sip:+919812345678@127.0.20.10:5060');
  t.equal(b.spec.from, `"Support" <sip:${TRUNK_NUMBER}@localhost>`);
  t.equal(b.spec.body?.toString(), 'm1 offer 1', 'our own offer, so that every carrier can answer');
  b.tries();
  b.progresses(180);
  t.equal(rig.limiter.concurrent('trunk:trk'), 1);
  await rig.pass(2000);
  b.answers('callee');
  await rig.turn();
  t.equal(rig.service.registry.dump()[0]?.state, 'in_flow');
  t.ok(rig.media.log.includes('m1 play tone'), 'the flow begins with the answer');
  await rig.pass(1000);
  rig.media.last.playEnds();
  await rig.turn();
  t.match(rig.signal.ladder.at(-1), /^B1 <- BYE .*flow_hangup/);
  b.confirms();
  await rig.turn();
  t.match(rig.record, {
    callId: result.ok ? result.value.callId : '',
    direction: 'outbound',
    mode: 'flow',
    accountSid: 'demo',
    trunkSid: 'trk',
    carrierId: 'telco',
    source: 'api/127.0.0.1:40000',
    callerSent: TRUNK_NUMBER,
    calledE164: '+919812345678',
    outcome: 'answered',
    endedBy: 'tandem',
    reasonCode: 'flow_hangup',
    ringMs: 2000,
    talkMs: 1000,
    attempts: [{ result: 'answered', sipStatus: 200 }],
    flow: { id: 'flw', steps: 2 },
  });
  t.equal(rig.record.aLegCallId, b.callId);
  t.same(rig.leftovers(), []);
});

t.test('whoever was called hangs up: the record says that it was the callee', async (t) => {
  const { rig } = await placed();
  const b = rig.signal.b();
  b.answers();
  await rig.turn();
  b.byes();
  await rig.pass(1000);
  t.match(rig.record, { outcome: 'answered', endedBy: 'callee', reasonCode: 'normal_clearing' });
  t.same(rig.leftovers(), []);
});

t.test(
  'nobody to talk with: busy, no answer in time, a withdrawn order; each with one record and nothing left',
  async (t) => {
    const busy = await placed();
    busy.rig.signal.b().refuses(486);
    await busy.rig.turn();
    t.match(busy.rig.record, { outcome: 'busy', endedBy: 'callee', sipStatus: 486, attempts: [{ sipStatus: 486 }] });
    t.same(busy.rig.leftovers(), []);

    const silent = await placed({ ringMs: 20_000 });
    const b = silent.rig.signal.b();
    b.tries();
    b.progresses(180);
    await silent.rig.pass(20_000);
    t.match(silent.rig.signal.ladder.at(-1), /CANCEL/);
    b.confirmsCancel();
    await silent.rig.turn();
    t.match(silent.rig.record, { outcome: 'no_answer', reasonCode: 'no_answer', flow: { steps: 0 } });
    t.same(silent.rig.leftovers(), []);

    const withdrawn = await placed();
    const callId = withdrawn.result.ok ? withdrawn.result.value.callId : '';
    withdrawn.rig.signal.b().tries();
    t.ok(withdrawn.rig.service.endByApi(callId));
    withdrawn.rig.signal.b().confirmsCancel();
    await withdrawn.rig.turn();
    t.match(withdrawn.rig.record, { endedBy: 'tandem', reasonCode: 'ended_by_api' });
    t.notOk(withdrawn.rig.service.endByApi(callId));
    t.same(withdrawn.rig.leftovers(), []);
  },
);

t.test(
  'the longest duration counts from the answer, and an order may be ended in the middle of its flow',
  async (t) => {
    const { rig } = await placed(
      { maxMs: 5000 },
      {
        first: { applet: 'greeting', params: { play: [{ silence_ms: 60_000 }] }, exits: { next: 'bye' } },
        bye: { applet: 'hangup' },
      },
    );
    const b = rig.signal.b();
    b.tries();
    b.progresses(180);
    await rig.pass(10_000);
    b.answers();
    await rig.turn();
    await rig.pass(4999);
    t.equal(rig.recorder.records.length, 0);
    await rig.pass(500);
    b.confirms();
    await rig.turn();
    t.match(rig.record, { outcome: 'answered', reasonCode: 'max_duration', talkMs: 5000 });
    t.same(rig.leftovers(), []);
  },
);

t.test('a flow that connects: its callee is dialled with the number that placed the call', async (t) => {
  const nodes = {
    first: { applet: 'connect', params: { to: ['+919800000001'] }, exits: { failed: 'bye' } },
    bye: { applet: 'hangup' },
  };
  const { rig } = await placed({}, nodes);
  rig.signal.b(1).answers();
  await rig.turn();
  const second = rig.signal.b(2);
  t.equal(second.spec.uri, 'sip:+919800000001@127.0.20.10:5060');
  t.match(second.spec.from, TRUNK_NUMBER);
  second.answers();
  await rig.turn();
  rig.signal.b(1).byes();
  await rig.turn();
  second.confirms();
  await rig.pass(1000);
  t.match(rig.record, { outcome: 'answered', attempts: [{ result: 'answered' }, { result: 'answered' }] });
  t.same(rig.leftovers(), []);
});

t.test('what the order tells reaches the flow and no header line', async (t) => {
  const nodes = {
    first: {
      applet: 'passthru',
      params: { url: 'https://crm.example/hook?id={{custom.x_customer_id}}' },
      exits: { a: 'bye' },
    },
    bye: { applet: 'hangup' },
  };
  const { rig } = await placed({ callerName: 'A"\r\nX-Evil: 1', custom: { customer_id: 'Zoë\r\n7' } }, nodes);
  const b = rig.signal.b();
  t.notMatch(b.spec.from, /[\r\n]/);
  for (const [, value] of b.spec.headers ?? []) t.notMatch(value, /[\r\n]/);
  b.answers();
  await rig.turn();
  t.match(rig.http.asked[0]?.ask.url, /id=Zo%C3%AB/);
  rig.http.answers(200);
  await rig.turn();
  b.confirms();
  await rig.turn();
  t.same(rig.leftovers(), []);
});

t.test('orders that make no call at all', async (t) => {
  const rig = await FlowRig.create({ nodes: NODES });
  const code = (order: Partial<OriginateOrder>): unknown => {
    const result = rig.service.originate({ ...ORDER, ...order });
    return result.ok ? result.value.decision.reasonCode : result.error;
  };
  t.equal(code({ from: '+918099999999' }), 'caller_number_unknown');
  t.equal(code({ accountSid: 'other' }), 'caller_number_unknown', 'a number of another account');
  t.equal(code({ flow: 'none' }), 'flow_unknown');
  t.equal(rig.signal.outgoing.length, 0);
  t.equal(rig.recorder.records.length, 0);
  t.equal(code({ to: 'nonsense' }), 'number_invalid', 'a decision refuses, with its record');
  await rig.turn();
  t.match(rig.record, { outcome: 'rejected', endedBy: 'tandem', reasonCode: 'number_invalid' });
  const drained = rig.service.drain(1000);
  t.equal(code({}), 'draining');
  await drained;
  t.same(rig.leftovers(), []);
});

t.test('whom it is put through to may transfer whoever was called, who may not transfer in turn', async (t) => {
  const { rig } = await placed({}, { first: { applet: 'connect', params: { to: ['sip:trk'], media: 'anchored' } } });
  const person = rig.signal.b(1);
  person.answers('callee');
  await rig.turn();
  const agent = rig.signal.b(2);
  agent.answers('agent');
  await rig.turn();
  t.equal(rig.media.log.at(-1), 'm1 bridge m2');
  const headers = [['Refer-To', '<sip:+919811111111@tandem>']] as const;
  t.match(person.asks('REFER', { headers }).answers, [
    { status: 603, spec: { headers: [['Reason', 'SIP;cause=603;text="refer_off"']] } },
  ]);
  t.match(agent.asks('REFER', { headers }).answers, [{ status: 202 }]);
  await rig.turn();
  agent.responds(200);
  const target = rig.signal.b(3);
  t.equal(target.spec.from, `<sip:${TRUNK_NUMBER}@localhost>`, "with the trunk's own number");
  target.answers('target');
  await rig.turn();
  t.equal(rig.media.log.at(-1), 'm1 bridge m3');
  agent.responds(200);
  agent.confirms();
  person.byes();
  await rig.pass(1000);
  target.confirms();
  await rig.turn();
  t.match(rig.record, {
    endedBy: 'callee',
    transfers: [
      { referrer: 'caller', outcome: 'refused', reasonCode: 'refer_off' },
      { referrer: 'callee', trunkSid: 'trk', outcome: 'completed' },
    ],
  });
  t.same(rig.leftovers(), []);
});
