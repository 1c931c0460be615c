/** Flows that connect: callees by trunk, number and URI, with direct and anchored media, on fake legs and fake media. */
import t from 'tap';
import type { FakeIncomingLeg, FakeOutgoingLeg } from '../support/fakeSignal.js';
import { FLOW_NUMBER, FlowRig, type FlowRigOptions } from '../support/flowRig.js';

const TONE = { tone: [440], duration_ms: 1000 };
const bye = { applet: 'hangup' };
const greet = (next: string) => ({ applet: 'greeting', params: { play: [TONE] }, exits: { next } });
const connect = (params: object = {}, exits: object = {}) => ({
  applet: 'connect',
  params: { to: ['sip:trk'], ...params },
  exits,
});

const create = (first: object, more: object = {}, options: Partial<FlowRigOptions> = {}): Promise<FlowRig> =>
  FlowRig.create({ nodes: { first, ...more }, ...options });

/** A flow with a greeting before the connect: its media are anchored, then released. */
const anchored = async (params: object = {}, exits: object = {}, more: object = {}) => {
  const rig = await create(greet('dial'), { dial: connect(params, exits), ...more });
  const a = await rig.answered();
  rig.media.last.playEnds();
  await rig.turn();
  return { rig, a };
};

t.test('a plain connect rings, answers and ends as a bridge would, without touching media', async (t) => {
  const rig = await create(connect());
  const a = rig.calls();
  await rig.turn();
  const b = rig.signal.b(1);
  t.match(b.spec, { uri: `sip:${FLOW_NUMBER}@127.0.20.20:5060`, to: `<sip:${FLOW_NUMBER}@127.0.20.20>` });
  t.equal(b.spec.from, '"Ann" <sip:+919820000000@localhost>');
  t.equal(rig.limiter.concurrent('trunk:trk'), 2, 'each leg takes a channel');
  b.tries();
  b.progresses(183, 'early');
  b.answers('answer');
  await rig.turn();
  a.acks();
  await rig.turn();
  t.same(rig.signal.ladder, [
    'A -> INVITE [offer]',
    'B1 <- INVITE [offer]',
    'B1 -> 100',
    'B1 -> 183 [early]',
    'A <- 183 [early]',
    'B1 -> 200 [answer]',
    'B1 <- ACK',
    'A <- 200 [answer]',
    'A -> ACK',
  ]);
  await rig.pass(5000);
  b.byes([['Reason', 'Q.850;cause=16']]);
  await rig.turn();
  a.confirms();
  t.same(rig.media.endpoints, []);
  t.match(rig.record, {
    mode: 'flow',
    outcome: 'answered',
    endedBy: 'callee',
    reasonCode: 'normal_clearing',
    q850: 16,
    talkMs: 5000,
    destination: `sip:${FLOW_NUMBER}@127.0.20.20:5060`,
    bLegCallId: 'B1@fake',
    attempts: [{ result: 'answered', sipStatus: 200 }],
    flow: { path: [{ node: 'first', applet: 'connect', exit: 'answered' }] },
  });
  t.match(
    rig.events.map(({ type }) => type),
    [
      'call_started',
      'call_decided',
      'dial_started',
      'attempt_started',
      'call_ringing',
      'attempt_ended',
      'dial_answered',
      'call_answered',
      'dial_ended',
      'flow_step',
      'call_ended',
      'call_released',
    ],
  );
  t.same(rig.leftovers(), []);
});

t.test('the caller hangs up on a direct talk; requests cross while it lasts', async (t) => {
  const rig = await create(connect());
  const a = rig.calls();
  await rig.turn();
  const b = rig.signal.b(1);
  b.answers('answer');
  await rig.turn();
  a.acks();
  const hold = a.reinvitesWith('hold');
  t.equal(rig.signal.ladder.at(-1), 'B1 <- re-INVITE [hold]');
  b.respondsReinvite(200, 'held');
  t.match(hold.owed.answers, [{ status: 200, spec: { body: Buffer.from('held') } }]);
  hold.acks();
  const reasonOf = (leg: FakeIncomingLeg | FakeOutgoingLeg) => leg.asks('REFER').answers[0]?.spec.headers;
  t.strictSame(
    reasonOf(b),
    [['Reason', 'SIP;cause=400;text="refer_to_invalid"']],
    'a trunk that may transfer, and does not say whither',
  );
  t.strictSame(reasonOf(a), [['Reason', 'SIP;cause=603;text="refer_off"']], 'a carrier that may not');
  const info = b.asks('INFO', { contentType: 'application/dtmf-relay', body: 'Signal=5' });
  t.match(rig.signal.ladder.at(-1), /^A <- INFO/);
  a.responds(200);
  t.equal(info.answers[0]?.status, 200);
  a.byes([['Reason', 'Q.850;cause=31']]);
  await rig.turn();
  t.match(b.byeHeaders, [['Reason', 'Q.850;cause=31']], 'the callee hears why');
  b.confirms();
  t.match(rig.record, { endedBy: 'caller', reasonCode: 'normal_clearing', q850: 31 });
  t.same(rig.leftovers(), []);
});

t.test('the caller cancels while it rings', async (t) => {
  const rig = await create(connect());
  const a = rig.calls();
  await rig.turn();
  const b = rig.signal.b(1);
  b.progresses(180);
  t.equal(a.sent1xx[0]?.status, 180);
  a.cancels();
  await rig.turn();
  t.ok(b.cancelSent);
  b.confirmsCancel();
  t.match(rig.record, { outcome: 'cancelled', sipStatus: 487, attempts: [{ result: 'cancelled', sipStatus: 180 }] });
  t.same(rig.leftovers(), []);
});

t.test('a CANCEL that crosses the callee’s answer: the answer is released', async (t) => {
  const rig = await create(connect());
  const a = rig.calls();
  await rig.turn();
  const b = rig.signal.b(1);
  b.answers('answer');
  a.cancels();
  await rig.turn();
  b.confirms();
  t.equal(b.acks, 1);
  t.ok(b.byeSent);
  t.match(rig.record, { outcome: 'cancelled' });
  t.same(rig.leftovers(), []);
});

t.test('failover within the trunk, and the callee’s own word at the end', async (t) => {
  const rig = await create(connect());
  const a = rig.calls();
  await rig.turn();
  rig.signal.b(1).refuses(503);
  await rig.turn();
  t.equal(rig.signal.b(2).spec.uri, `sip:${FLOW_NUMBER}@127.0.20.21:5060`);
  rig.signal.b(2).refuses(486);
  await rig.turn();
  t.match(a.rejected, { status: 486 });
  t.match(rig.record, {
    outcome: 'busy',
    endedBy: 'callee',
    sipStatus: 486,
    reasonCode: 'callee_busy',
    attempts: [{ sipStatus: 503 }, { sipStatus: 486 }],
  });
  t.same(rig.leftovers(), []);
});

t.test('nobody answers in time; nobody is there at all', async (t) => {
  const rings = await create(connect({ ring_ms: 10_000 }));
  const a = rings.calls();
  await rings.turn();
  rings.signal.b(1).progresses(180);
  await rings.pass(10_000);
  rings.signal.b(1).confirmsCancel();
  await rings.turn();
  t.match(a.rejected, { status: 480 });
  t.match(rings.record, { outcome: 'no_answer', reasonCode: 'no_answer', q850: 19 });
  t.same(rings.leftovers(), []);

  const silent = await create(connect());
  const quiet = silent.calls();
  await silent.turn();
  await silent.pass(3000);
  t.equal(silent.signal.outgoing.length, 2, 'the next destination');
  silent.signal.b(1).confirmsCancel();
  silent.signal.b(2).fails({ kind: 'transport_error', code: 'ECONNREFUSED' });
  await silent.turn();
  t.match(quiet.rejected, { status: 503 });
  t.match(silent.record, { outcome: 'failed', attempts: [{ result: 'silence' }, { result: 'transport_error' }] });
  t.same(silent.leftovers(), []);
});

t.test('an exit for a busy callee goes on with the flow', async (t) => {
  const rig = await create(connect({}, { busy: 'sorry' }), { sorry: greet('bye'), bye });
  const a = rig.calls();
  await rig.turn();
  rig.signal.b(1).refuses(486);
  await rig.turn();
  a.acks();
  await rig.turn();
  t.equal(rig.media.log.at(-1), 'm1 play tone');
  rig.media.last.playEnds();
  await rig.turn();
  a.confirms();
  t.match(rig.record, { outcome: 'answered', reasonCode: 'flow_hangup', endedBy: 'tandem' });
  t.same(rig.leftovers(), []);
});

t.test('an INVITE without an offer crosses, too: the callee offers, the caller’s ACK answers', async (t) => {
  const rig = await create(connect());
  const a = rig.calls({ body: '' });
  await rig.turn();
  const b = rig.signal.b(1);
  b.answers('its offer');
  await rig.turn();
  t.equal(b.acks, 0);
  a.acks('his answer');
  await rig.turn();
  t.same(rig.signal.ladder.slice(-4), [
    'B1 -> 200 [its offer]',
    'A <- 200 [its offer]',
    'A -> ACK [his answer]',
    'B1 <- ACK [his answer]',
  ]);
  a.byes();
  b.confirms();
  await rig.turn();
  t.same(rig.leftovers(), []);
});

t.test('after a greeting the callee is bridged in the media plane, then the media go direct', async (t) => {
  const { rig, a } = await anchored();
  const b = rig.signal.b(1);
  t.equal(b.spec.body?.toString(), 'm2 offer 1');
  b.progresses(180);
  b.answers('b answer');
  await rig.turn();
  t.equal(b.acks, 1);
  t.same(rig.media.endpoints[1]?.answers, ['b answer']);
  t.ok(rig.media.log.includes('m1 bridge m2'));
  t.equal(rig.signal.ladder.at(-1), 'A <- re-INVITE');
  a.respondsReinvite(200, 'a offer');
  t.equal(rig.signal.ladder.at(-1), 'B1 <- re-INVITE [a offer]');
  const glare = a.reinvitesWith('now');
  t.equal(glare.owed.answers[0]?.status, 491);
  b.respondsReinvite(200, 'b direct');
  t.same(rig.signal.ladder.slice(-2), ['B1 <- ACK (re-INVITE)', 'A <- ACK (re-INVITE) [b direct]']);
  await rig.turn();
  t.ok(
    rig.media.endpoints.every(({ closed }) => closed),
    'nothing of the call is left in the media plane',
  );
  const hold = b.reinvitesWith('hold');
  t.equal(rig.signal.ladder.at(-1), 'A <- re-INVITE [hold]');
  a.respondsReinvite(200, 'held');
  t.equal(hold.owed.answers[0]?.status, 200);
  hold.acks();
  b.byes();
  await rig.turn();
  a.confirms();
  t.match(rig.record, {
    endedBy: 'callee',
    reasonCode: 'normal_clearing',
    media: { a: { mos: 4.4 }, b: { mos: 4.4 } },
  });
  t.same(rig.leftovers(), []);
});

t.test('where an end refuses direct media, the bridge stays', async (t) => {
  for (const who of ['a', 'b', 'a says nothing'] as const) {
    const { rig, a } = await anchored();
    const b = rig.signal.b(1);
    b.answers('b answer');
    await rig.turn();
    if (who === 'a') a.respondsReinvite(488);
    else {
      a.respondsReinvite(200, who === 'b' ? 'a offer' : '');
      if (who === 'b') b.respondsReinvite(488);
      await rig.turn();
    }
    if (who === 'b') t.equal(rig.signal.ladder.at(-1), 'A <- ACK (re-INVITE) [m1 answers [a offer]]');
    t.equal(rig.media.endpoints[0]?.peer?.id, 'm2', who);
    const hold = a.reinvitesWith('hold');
    await rig.turn();
    t.match(hold.owed.answers, [{ status: 200, spec: { body: Buffer.from('m1 answers [hold]') } }]);
    const resume = b.reinvitesWith('resume');
    await rig.turn();
    t.match(resume.owed.answers, [{ status: 200, spec: { body: Buffer.from('m2 answers [resume]') } }]);
    a.byes();
    await rig.turn();
    b.confirms();
    t.same(rig.leftovers(), [], who);
  }
});

t.test('an offer of an end that is in the way (491) only delays direct media (RFC 3261 §14.1)', async (t) => {
  const { rig, a } = await anchored();
  const b = rig.signal.b(1);
  b.answers('b answer');
  await rig.turn();
  a.respondsReinvite(491);
  const theirs = a.reinvitesWith('a hold');
  await rig.turn();
  t.match(theirs.owed.answers, [{ status: 200, spec: { body: Buffer.from('m1 answers [a hold]') } }]);
  let asked = rig.signal.ladder.length;
  await rig.pass(2000);
  t.same(rig.signal.ladder.slice(asked), ['A <- re-INVITE'], 'the Call-ID is the caller’s: within 2 s');
  a.respondsReinvite(200, 'a offer');
  b.respondsReinvite(491);
  await rig.turn();
  t.equal(rig.signal.ladder.at(-1), 'A <- ACK (re-INVITE) [m1 answers [a offer]]', 'nobody waits meanwhile');
  asked = rig.signal.ladder.length;
  await rig.pass(2099);
  t.same(rig.signal.ladder.slice(asked), [], 'the Call-ID is ours: not before 2.1 s');
  await rig.pass(1901);
  a.respondsReinvite(200, 'a offer');
  b.respondsReinvite(200, 'b direct');
  await rig.turn();
  t.equal(rig.signal.ladder.at(-1), 'A <- ACK (re-INVITE) [b direct]');
  a.byes();
  await rig.turn();
  b.confirms();
  t.same(rig.leftovers(), []);
});

t.test('an end whose offers are always in the way keeps its media here; the call may end while we wait', async (t) => {
  for (const ends of [false, true]) {
    const { rig, a } = await anchored();
    const b = rig.signal.b(1);
    b.answers('b answer');
    await rig.turn();
    for (let i = 0; i < 3 && !ends; i++) {
      a.respondsReinvite(491);
      await rig.pass(2000);
    }
    a.respondsReinvite(491);
    const asked = rig.signal.ladder.length;
    if (!ends) await rig.pass(10_000);
    t.same(rig.signal.ladder.slice(asked), []);
    t.equal(rig.media.endpoints[0]?.peer?.id, 'm2');
    a.byes();
    await rig.turn();
    b.confirms();
    t.same(rig.leftovers(), []);
  }
});

t.test('a leg that ends in the middle of the release ends the call', async (t) => {
  for (const who of ['a', 'b'] as const) {
    const { rig, a } = await anchored();
    const b = rig.signal.b(1);
    b.answers('b answer');
    await rig.turn();
    a.respondsReinvite(200, 'a offer');
    if (who === 'a') a.byes();
    else b.byes();
    await rig.turn();
    if (who === 'a') {
      b.respondsReinvite({ kind: 'timeout' });
      b.confirms();
    } else a.confirms();
    await rig.turn();
    t.match(rig.record, { outcome: 'answered', endedBy: who === 'a' ? 'caller' : 'callee' });
    t.same(rig.leftovers(), [], who);
  }
});

t.test('a recorded talk stays anchored; its recording is waited for', async (t) => {
  const { rig, a } = await anchored({ record: true, recording_channels: 'dual', send_digits: '12' });
  const b = rig.signal.b(1);
  b.answers('b answer');
  await rig.turn();
  t.same(rig.media.log.slice(-3), ['m1 bridge m2', 'm1 record stereo', 'm2 dtmf 12']);
  t.same(a.reinvites, [], 'nobody is asked for direct media');
  b.byes();
  await rig.turn();
  a.confirms();
  t.match(rig.record, { endedBy: 'callee', reasonCode: 'normal_clearing' });
  t.same(rig.leftovers(), []);
});

t.test('whisper, music on hold, and the flow that goes on after the talk', async (t) => {
  const params = { music_on_hold: [TONE], whisper: [TONE] };
  const rig = await create(connect(params, { answered: 'rate' }), { rate: greet('bye'), bye });
  const a = rig.calls();
  await rig.turn();
  a.acks();
  await rig.turn();
  t.equal(
    rig.media.log.find((line) => line.includes('for ever')),
    'm1 play tone for ever',
  );
  const b = rig.signal.b(1);
  b.answers('b answer');
  await rig.turn();
  t.equal(rig.media.log.at(-1), 'm2 play tone', 'the callee hears the whisper');
  rig.media.endpoints[1]?.playEnds();
  await rig.turn();
  t.equal(rig.media.log.at(-1), 'm1 bridge m2');
  b.byes();
  await rig.turn();
  t.equal(rig.media.log.at(-1), 'm1 play tone', 'the caller is asked to rate the talk');
  rig.media.endpoints[0]?.playEnds();
  await rig.turn();
  a.confirms();
  t.match(
    rig.record.flow?.path.map(({ node }) => node),
    ['first', 'rate', 'bye'],
  );
  t.same(rig.leftovers(), []);
});

t.test('music before the answer: 183, and the callee is bridged to a caller who is then answered', async (t) => {
  const rig = await create(connect({ music_on_hold: [TONE], early_media: true }));
  const a = rig.calls();
  await rig.turn();
  t.equal(rig.signal.ladder[1], 'A <- 183 [m1 answers [offer]]');
  t.ok(rig.media.log.includes('m1 play tone for ever'));
  const b = rig.signal.b(1);
  t.equal(b.spec.body?.toString(), 'm2 offer 1', 'the caller has its media here');
  b.progresses(180);
  b.progresses(183, 'b early');
  await rig.turn();
  t.equal(a.sent1xx.length, 1, 'the music is what it hears');
  b.answers('b answer');
  await rig.turn();
  t.equal(rig.signal.ladder.at(-1), 'A <- 200 [m1 answers [offer]]');
  a.acks();
  await rig.turn();
  t.ok(rig.media.log.includes('m1 stopPlay') && rig.media.log.includes('m1 bridge m2'));
  t.equal(rig.signal.ladder.at(-1), 'A <- re-INVITE', 'and the media go direct');
  a.byes();
  await rig.turn();
  b.confirms();
  t.same(rig.leftovers(), []);
});

t.test('the early media of an anchored callee reach a caller who is not answered yet', async (t) => {
  const rig = await create(connect({ media: 'anchored' }));
  const a = rig.calls();
  await rig.turn();
  const b = rig.signal.b(1);
  b.progresses(180);
  await rig.turn();
  b.progresses(183, 'b early');
  await rig.turn();
  t.same(rig.signal.ladder.slice(2), ['B1 -> 180', 'A <- 180', 'B1 -> 183 [b early]', 'A <- 183 [m2 answers [offer]]']);
  t.same(rig.media.endpoints[0]?.answers, ['b early']);
  t.ok(rig.media.log.includes('m2 bridge m1'));
  b.answers('b answer');
  await rig.turn();
  t.same(rig.media.endpoints[0]?.answers, ['b early', 'b answer']);
  t.equal(rig.signal.ladder.at(-1), 'A <- 200 [m2 answers [offer]]');
  a.acks();
  await rig.turn();
  a.byes();
  await rig.turn();
  b.confirms();
  t.same(rig.leftovers(), []);
});

t.test('early media that cannot be had are a 180; direct ones keep the callee’s word about them', async (t) => {
  const rig = await create(connect({ media: 'anchored' }));
  const a = rig.calls();
  await rig.turn();
  const endpoint = rig.media.endpoints[0];
  if (endpoint !== undefined) endpoint.refuses = { code: 'no_common_codec', message: 'none', sipStatus: 488 };
  rig.signal.b(1).progresses(183, 'strange');
  await rig.turn();
  t.equal(rig.signal.ladder.at(-1), 'A <- 180');
  a.cancels();
  await rig.turn();
  rig.signal.b(1).confirmsCancel();
  await rig.turn();
  t.same(rig.leftovers(), []);

  const plain = await create(connect());
  const c = plain.calls();
  await plain.turn();
  plain.signal.b(1).progresses(183, 'early', { headers: [['P-Early-Media', 'sendonly']] });
  await plain.turn();
  t.same(c.sent1xx[0]?.spec.headers, [['P-Early-Media', 'sendonly']]);
  c.cancels();
  await plain.turn();
  plain.signal.b(1).confirmsCancel();
  await plain.turn();
  t.same(plain.leftovers(), []);
});

t.test('after a direct talk the flow goes on: the caller is brought back to the media plane', async (t) => {
  const { rig, a } = await anchored({}, {}, {});
  const b = rig.signal.b(1);
  b.answers('b answer');
  await rig.turn();
  a.respondsReinvite(200, 'a offer');
  b.respondsReinvite(200, 'b direct');
  await rig.turn();
  a.byes();
  await rig.turn();
  b.confirms();
  t.same(rig.leftovers(), []);
});

t.test(
  'legs speak what their trunk or carrier says, and audio behind NAT is learned where signalling is',
  async (t) => {
    const nodes = { first: greet('dial'), dial: connect({ record: true, to: ['sip:trk', 'sip:x@gw.example'] }) };
    const media = {
      carrier: { codecs: ['PCMA'], srtp: 'optional', nat: true, timeout_seconds: 20 },
      trunk: { codecs: ['L16', 'PCMU'], ptime_ms: 30, timeout_seconds: 0 },
    };
    const rig = await FlowRig.create({ nodes, media });
    const a = await rig.answered();
    t.match(rig.media.endpoints[0]?.spec, {
      leg: 'a',
      codecs: ['PCMA'],
      srtp: 'optional',
      nat: true,
      mediaTimeoutMs: 20_000,
      peerAddresses: ['127.0.20.10'],
    });
    rig.media.last.playEnds();
    await rig.turn();
    const spec = rig.media.endpoints[1]?.spec;
    t.match(spec, {
      leg: 'b',
      codecs: ['L16', 'PCMU'],
      ptimeMs: 30,
      nat: undefined,
      mediaTimeoutMs: undefined,
    });
    t.same(spec?.peerAddresses, ['127.0.20.20', '127.0.20.21']);
    rig.signal.b(1).refuses(486);
    await rig.turn();
    const uri = rig.media.endpoints[2]?.spec;
    t.match(uri, { leg: 'b', codecs: undefined, ptimeMs: undefined });
    t.equal(uri?.peerAddresses, undefined, 'a name may be any address');
    a.byes();
    await rig.turn();
    rig.signal.b(2).confirms();
    await rig.turn();
    t.same(rig.leftovers(), []);
  },
);

t.test('several ring at once: the first to answer wins, the others are cancelled', async (t) => {
  const to = ['sip:ann@127.0.20.31:5060', 'sip:bob@127.0.20.32:5060'];
  const { rig, a } = await anchored({ to, mode: 'parallel', media: 'anchored' });
  t.equal(rig.signal.outgoing.length, 2);
  t.equal(rig.signal.b(1).spec.to, '<sip:ann@127.0.20.31>');
  rig.signal.b(1).progresses(180);
  rig.signal.b(2).progresses(180);
  rig.signal.b(2).answers('bob answer');
  await rig.turn();
  t.ok(rig.signal.b(1).cancelSent);
  rig.signal.b(1).confirmsCancel();
  await rig.turn();
  t.ok(rig.media.endpoints[1]?.closed, 'who lost has no endpoint any more');
  a.byes();
  await rig.turn();
  rig.signal.b(2).confirms();
  t.same(rig.leftovers(), []);
});

t.test('both answer at once: the later is released', async (t) => {
  const to = ['sip:ann@127.0.20.31:5060', 'sip:bob@127.0.20.32:5060'];
  const { rig, a } = await anchored({ to, mode: 'parallel', media: 'anchored' });
  rig.signal.b(1).answers('ann answer');
  rig.signal.b(2).answers('bob answer');
  await rig.turn();
  t.ok(rig.signal.b(2).byeSent);
  rig.signal.b(2).confirms();
  a.byes();
  await rig.turn();
  rig.signal.b(1).confirms();
  t.same(rig.leftovers(), []);
});

t.test('numbers go through carriers by the table: caller ID, limits, refusals', async (t) => {
  const rig = await create(connect({ to: ['+14155550100'] }));
  const a = rig.calls();
  await rig.turn();
  const b = rig.signal.b(1);
  t.match(b.spec, { uri: 'sip:+14155550100@127.0.20.10:5060', to: '<sip:+14155550100@127.0.20.10>' });
  t.match(b.spec.from, `<sip:${FLOW_NUMBER}@localhost>`, 'the number that was called is shown: it is ours');
  t.match(
    b.spec.headers?.find(([name]) => name === 'P-Asserted-Identity'),
    ['P-Asserted-Identity', `<sip:${FLOW_NUMBER}@localhost>`],
  );
  t.match(rig.limiter.dump().concurrent, { 'trunk:trk': 2, 'carrier:telco': 2 });
  b.refuses(404);
  await rig.turn();
  t.match(a.rejected, { status: 404 });
  t.match(rig.record, { reasonCode: 'callee_unknown', sipStatus: 404 });
  t.same(rig.leftovers(), []);

  const stranger = await create(connect({ to: ['+14155550100'], caller_id: '+4930123456' }));
  const c = stranger.calls();
  await stranger.turn();
  t.equal(stranger.signal.outgoing.length, 0, 'a number that is not ours is shown to nobody');
  t.ok(c.rejected);
  t.same(stranger.leftovers(), []);
});

t.test('unknown trunks, a call that has been round too often', async (t) => {
  const nowhere = await create(connect({ to: ['sip:trk_gone'] }));
  const a = nowhere.calls();
  await nowhere.turn();
  t.ok(a.rejected);
  t.match(nowhere.record, { reasonCode: 'flow_failed', flow: { reasonCode: 'connect_failed' } });
  t.same(nowhere.leftovers(), []);

  const round = await create(connect());
  const b = round.calls({ headers: [['Max-Forwards', '0']] });
  await round.turn();
  t.match(b.rejected, { status: 483 });
  t.same(round.leftovers(), []);
});

t.test('the callee’s media cannot be had, or do not match', async (t) => {
  const down = await anchored({ media: 'anchored' }, { failed: 'bye' }, { bye });
  down.rig.signal.b(1).answers('b answer');
  down.rig.media.endpoints[1]!.refuses = { code: 'no_common_codec', message: 'none', sipStatus: 488 };
  await down.rig.turn();
  t.ok(down.rig.signal.b(1).acks <= 1);
  down.rig.signal.b(1).byes();
  await down.rig.turn();
  down.a.confirms();
  await down.rig.turn();
  t.same(down.rig.leftovers(), []);
});

t.test('a media worker dies under a bridge: the callee is let go, the caller hears the fallback', async (t) => {
  const { rig, a } = await anchored({ media: 'anchored' }, { answered: 'rate' }, { rate: greet('bye'), bye });
  const b = rig.signal.b(1);
  b.answers('b answer');
  await rig.turn();
  rig.media.endpoints[1]?.fails();
  rig.media.endpoints[0]?.fails();
  await rig.turn();
  t.ok(b.byeSent);
  b.confirms();
  if (a.reinvites.length > 0) {
    a.respondsReinvite(200, 'again');
    await rig.turn();
    rig.media.last.playEnds();
    await rig.turn();
  }
  a.confirms();
  await rig.turn();
  t.same(rig.leftovers(), []);
});

t.test('a callee of whom nothing is heard for too long is hung up', async (t) => {
  const nodes = { first: greet('dial'), dial: connect({ record: true }, { answered: 'bye' }), bye };
  const rig = await FlowRig.create({ nodes, media: { trunk: { timeout_seconds: 15 } } });
  const a = await rig.answered();
  rig.media.last.playEnds();
  await rig.turn();
  const b = rig.signal.b(1);
  b.answers('b answer');
  await rig.turn();
  t.equal(rig.media.endpoints[1]?.spec.mediaTimeoutMs, 15_000);
  rig.media.endpoints[1]?.events.onMediaTimeout();
  await rig.turn();
  t.ok(
    rig.signal.ladder.some((line) => line.startsWith('B1 <- BYE')),
    'the callee gets BYE',
  );
  b.confirms();
  await rig.turn();
  a.confirms();
  await rig.turn();
  t.match(rig.record, { outcome: 'answered', flow: { path: [{}, { exit: 'answered' }, {}] } });
  t.same(rig.leftovers(), []);
});

t.test('the caller is referred elsewhere, or handed to another flow', async (t) => {
  const refer = { applet: 'transfer', params: { refer: 'sip:other@pbx.example' }, exits: { failed: 'bye' } };
  const notify = (rig: FlowRig, a: FakeIncomingLeg, body: string, state = 'active'): number => {
    const headers = [
      ['Event', 'refer'],
      ['Subscription-State', state],
    ] as const;
    const { answers } = a.asks('NOTIFY', { headers, contentType: 'message/sipfrag', body });
    t.ok(rig.service.registry.size <= 1);
    return answers[0]?.status ?? 0;
  };
  const outcomes: readonly (readonly [string, string, (rig: FlowRig, a: FakeIncomingLeg) => void])[] = [
    ['refused', 'flow_hangup', (_rig, a) => a.responds(603)],
    ['no NOTIFYs announced', 'transferred', (_rig, a) => a.responds(202, { headers: [['Refer-Sub', 'false']] })],
    [
      'no NOTIFY comes',
      'transferred',
      (rig, a) => {
        a.responds(202);
        rig.clock.advance(3999);
        t.notOk(a.byeSent, 'it may still come');
        rig.clock.advance(1);
      },
    ],
    [
      'it rings for long, then somebody answers',
      'transferred',
      (rig, a) => {
        a.responds(202);
        t.equal(notify(rig, a, 'SIP/2.0 100 Trying'), 200);
        rig.clock.advance(20_000);
        notify(rig, a, 'SIP/2.0 180 Ringing');
        t.notOk(a.byeSent, 'the caller is kept');
        notify(rig, a, 'SIP/2.0 200 OK\r\n', 'terminated;reason=noresource');
      },
    ],
    [
      'it hangs up before the NOTIFY that tells of the answer',
      'transferred',
      (rig, a) => {
        a.responds(202);
        notify(rig, a, 'SIP/2.0 180 Ringing');
        a.byes();
        t.equal(notify(rig, a, 'SIP/2.0 200 OK\r\n', 'terminated'), 200, 'nothing that changes anything');
      },
    ],
    [
      'it hangs up after that NOTIFY',
      'transferred',
      (rig, a) => {
        a.responds(202);
        notify(rig, a, 'SIP/2.0 180 Ringing');
        notify(rig, a, 'SIP/2.0 200 OK\r\n', 'terminated');
        a.byes();
      },
    ],
    ['it hangs up once it has said 202', 'transferred', (_rig, a) => (a.responds(202), a.byes())],
    [
      'it hangs up after a NOTIFY that overtakes the 202',
      'transferred',
      (rig, a) => {
        notify(rig, a, 'SIP/2.0 100 Trying');
        a.byes();
      },
    ],
    [
      'the NOTIFY overtakes the 202, and somebody is busy',
      'flow_hangup',
      (rig, a) => {
        notify(rig, a, 'SIP/2.0 100 Trying');
        a.responds(202);
        rig.clock.advance(5000);
        t.notOk(a.byeSent);
        a.asks('NOTIFY', { headers: [['Event', 'presence']], body: 'SIP/2.0 200 OK' });
        t.notOk(a.byeSent, 'news of something else');
        notify(rig, a, 'SIP/2.0 486 Busy Here', 'terminated');
      },
    ],
    [
      'the last word names no outcome',
      'transferred',
      (rig, a) => {
        a.responds(202);
        notify(rig, a, '', 'terminated');
        notify(rig, a, 'SIP/2.0 486 Busy Here', 'terminated');
      },
    ],
    [
      'it never comes to an end',
      'flow_hangup',
      (rig, a) => {
        a.responds(202);
        notify(rig, a, 'SIP/2.0 100 Trying');
        rig.clock.advance(30_000);
      },
    ],
  ];
  for (const [name, reasonCode, happens] of outcomes) {
    const rig = await create(refer, { bye });
    const a = await rig.answered();
    t.equal(a.pending[0]?.spec.headers?.[0]?.[1], '<sip:other@pbx.example>');
    happens(rig, a);
    await rig.turn();
    a.confirms();
    t.match(rig.record, { reasonCode, endedBy: 'tandem', flow: { reasonCode } }, name);
    t.same(rig.leftovers(), [], name);
  }
  const menu = { applet: 'menu', params: { choices: ['7'] }, exits: { 7: 'bye', timeout: 'bye', invalid: 'bye' } };
  for (const says of [undefined, 'SIP/2.0 486 Busy Here']) {
    const left = await create({ ...refer, exits: { failed: 'menu' } }, { menu, bye });
    const gone = await left.answered();
    if (says !== undefined) {
      gone.responds(202);
      notify(left, gone, says, 'terminated');
    }
    gone.byes();
    await left.turn();
    t.match(left.record, { endedBy: 'caller', reasonCode: 'normal_clearing' }, 'nobody had agreed to go, or went');
    t.same(left.leftovers(), []);
  }
  const nodes = { first: { applet: 'reject', params: { status: 486 } } };
  const flows = [{ id: 'other', version: 7, start: 'first', nodes }];
  const rig = await create({ applet: 'transfer', params: { flow: 'other' } }, {}, { flows });
  const a = rig.calls();
  await rig.turn();
  t.match(a.rejected, { status: 486 });
  t.match(rig.record, { reasonCode: 'flow_reject', flow: { id: 'flw', steps: 2 } });
  t.same(rig.leftovers(), []);
});

t.test('a key that comes by INFO is answered before what it leads to', async (t) => {
  const menu = { applet: 'menu', params: { choices: ['7'] }, exits: { 7: 'refer', timeout: 'bye', invalid: 'bye' } };
  const refer = { applet: 'transfer', params: { refer: 'sip:other@pbx.example' }, exits: { failed: 'bye' } };
  const rig = await create(menu, { refer, bye });
  const a = await rig.answered();
  a.asks('INFO', { contentType: 'application/dtmf-relay', body: 'Signal=7\r\nDuration=250\r\n' });
  t.match(rig.signal.ladder.slice(-2), [/200 \(INFO\)/, /REFER/]);
  a.responds(202, { headers: [['Refer-Sub', 'false']] });
  await rig.turn();
  a.confirms();
  t.same(rig.leftovers(), []);
});

t.test('callees that never confirm their end are forgotten', async (t) => {
  const rig = await create(connect());
  const a = rig.calls();
  await rig.turn();
  a.cancels();
  await rig.turn();
  await rig.pass(40_000);
  t.match(rig.events.at(-1), { type: 'call_released', abandonedLegs: 1 });
  t.same(rig.leftovers(), []);
});
