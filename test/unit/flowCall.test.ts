/** Calls that flows answer: on fake legs and fake media, from the INVITE to the record. */
import t from 'tap';
import { FlowRig } from '../support/flowRig.js';

const TONE = { tone: [440], duration_ms: 1000 };
const greet = (next = 'bye') => ({ applet: 'greeting', params: { play: [TONE] }, exits: { next } });
const bye = { applet: 'hangup' };

t.test('a flow answers, plays, hangs up, and one record tells it', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  const a = rig.calls();
  t.equal(rig.service.registry.dump()[0]?.state, 'deciding');
  await rig.turn();
  t.match(rig.signal.ladder, ['A -> INVITE [offer]', 'A <- 200 [m1 answers [offer]]']);
  t.same(rig.media.log, ['m1 answers [offer]'], 'nothing plays before the ACK');
  a.acks();
  await rig.turn();
  t.equal(rig.service.registry.dump()[0]?.state, 'in_flow');
  t.equal(rig.limiter.concurrent('trunk:trk'), 1);
  t.same(rig.media.log.slice(1), ['m1 play tone']);
  await rig.pass(1000);
  rig.media.last.playEnds();
  await rig.turn();
  t.match(rig.signal.ladder.at(-1), /^A <- BYE \{SIP;cause=200;text="flow_hangup" \| Q.850;cause=16\}$/);
  t.equal(rig.recorder.records.length, 1, 'the record is written before the BYE is confirmed');
  a.confirms();
  t.match(rig.record, {
    mode: 'flow',
    outcome: 'answered',
    endedBy: 'tandem',
    sipStatus: 200,
    q850: 16,
    reasonCode: 'flow_hangup',
    talkMs: 1000,
    destination: null,
    attempts: [],
    decision: { flow: { id: 'flw', version: 1 }, revision: 'r1' },
    flow: {
      id: 'flw',
      version: 1,
      reasonCode: 'flow_hangup',
      steps: 2,
      path: [
        { node: 'first', applet: 'greeting', exit: 'next', durationMs: 1000 },
        { node: 'bye', applet: 'hangup', exit: 'call_ended', durationMs: 0 },
      ],
    },
    media: { a: { codec: 'PCMA', mos: 4.4 }, b: null },
    streams: [],
  });
  t.same(
    rig.events.map(({ type }) => type),
    ['call_started', 'call_decided', 'call_answered', 'flow_step', 'flow_step', 'call_ended', 'call_released'],
  );
  t.same(rig.leftovers(), []);
});

t.test('the caller hangs up in the middle of an announcement', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  const a = await rig.answered();
  await rig.pass(300);
  a.byes([['Reason', 'Q.850;cause=16']]);
  await rig.turn();
  t.match(rig.record, { outcome: 'answered', endedBy: 'caller', reasonCode: 'normal_clearing', talkMs: 300 });
  t.match(rig.record.flow, { reasonCode: 'caller_hung_up', path: [{ node: 'first', exit: 'caller_hung_up' }] });
  t.same(rig.leftovers(), []);
});

t.test('a caller who cancels before the answer is ready never gets one', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  const a = rig.calls();
  a.cancels();
  await rig.turn();
  t.equal(a.answered, undefined);
  t.match(rig.record, { outcome: 'cancelled', endedBy: 'caller', sipStatus: 487, reasonCode: 'caller_cancelled' });
  t.same(rig.leftovers(), []);
});

t.test('a 2xx that is never acknowledged ends the call', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  const a = rig.calls();
  await rig.turn();
  a.ends({ kind: 'ack_timeout' });
  await rig.turn();
  t.match(rig.record, { outcome: 'failed', reasonCode: 'ack_timeout' });
  t.same(rig.leftovers(), []);
});
