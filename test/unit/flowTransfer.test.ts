/** Transfers of calls that a flow's `connect` has connected: ladders with direct and anchored media, and what is left. */
import t, { type Test } from 'tap';
import type { FakeIncomingLeg, FakeOutgoingLeg } from '../support/fakeSignal.js';
import { FLOW_NUMBER, FlowRig, type FlowRigOptions, TRUNK_NUMBER } from '../support/flowRig.js';

const sdp = (host: string): string => `v=0\r\nc=IN IP4 ${host}\r\nm=audio 4000 RTP/AVP 0\r\n`;
const A = sdp('127.0.72.1');
const B = sdp('127.0.72.2');
const C = sdp('127.0.72.3');
const D = sdp('127.0.72.4');
const TARGET = '+919811111111';
const TONE = { tone: [440], duration_ms: 1000 };
const greet = (next: string): object => ({ applet: 'greeting', params: { play: [TONE] }, exits: { next } });
const connect = (params: object = {}, exits: object = {}): object => ({
  applet: 'connect',
  params: { to: ['sip:trk'], ...params },
  exits,
});

const short = (lines: readonly string[]): string[] =>
  lines.map((line) =>
    line
      .replaceAll(
        /\[v=0[^\]]*127\.0\.72\.(\d)[^\]]*\]/g,
        (_all, host: string) => `[${'ABCD'[Number(host) - 1] ?? host}]`,
      )
      .replaceAll('\r\n', ''),
  );

interface Talk {
  readonly rig: FlowRig;
  readonly a: FakeIncomingLeg;
  readonly b: FakeOutgoingLeg;
}

/** A flow call whose caller talks to the trunk's PBX, B1; their media flow directly. */
const direct = async (params: object = {}, options: Partial<FlowRigOptions> = {}): Promise<Talk> => {
  const rig = await FlowRig.create({ nodes: { first: connect(params) }, ...options });
  const a = rig.calls({ body: A });
  await rig.turn();
  const b = rig.signal.b(1);
  b.answers(B);
  await rig.turn();
  a.acks();
  await rig.turn();
  rig.signal.takeLadder();
  return { rig, a, b };
};

/** The same with the audio of both in the media plane: m1 is the caller's endpoint, m2 the callee's. */
const anchored = async (exits: object = {}, more: object = {}, params: object = {}): Promise<Talk> => {
  const dial = connect({ media: 'anchored', ...params }, exits);
  const rig = await FlowRig.create({ nodes: { first: greet('dial'), dial, ...more } });
  const a = await rig.answered({ body: A });
  rig.media.last.playEnds();
  await rig.turn();
  const b = rig.signal.b(1);
  b.answers(B);
  await rig.turn();
  t.equal(rig.media.log.at(-1), 'm1 bridge m2');
  rig.signal.takeLadder();
  rig.media.log.length = 0;
  return { rig, a, b };
};

const refer = async (
  rig: FlowRig,
  leg: FakeOutgoingLeg | FakeIncomingLeg,
  to = `<sip:${TARGET}@tandem>`,
): Promise<ReturnType<FakeOutgoingLeg['asks']>> => {
  const owed = leg.asks('REFER', { headers: [['Refer-To', to]], uri: 'sip:tandem@127.0.72.9:33000' });
  await rig.turn();
  return owed;
};

const replacing = (leg: FakeOutgoingLeg | FakeIncomingLeg): string =>
  `<sip:x@tandem?Replaces=${encodeURIComponent(`${leg.callId};to-tag=${leg.localTag};from-tag=${leg.remoteTag}`)}>`;

const refusal = (owed: ReturnType<FakeOutgoingLeg['asks']>): unknown =>
  owed.answers.map(({ status, spec }) => [status, spec.headers]);

const COMPLETED = { outcome: 'completed', sipStatus: 200, reasonCode: 'transfer_completed' } as const;

t.test('direct media', async (t: Test) => {
  t.test('blind: the caller is offered the target’s media, the flow waits on, one record tells all', async (t) => {
    const { rig, a, b } = await direct();
    await refer(rig, b);
    b.responds(200);
    const c = rig.signal.b(2);
    c.progresses(180);
    b.responds(200);
    c.answers(C);
    a.respondsReinvite(200, A);
    b.responds(200);
    b.confirms();
    t.strictSame(short(rig.signal.takeLadder()), [
      'B1 -> REFER',
      'B1 <- 202 (REFER)',
      'B1 <- NOTIFY [SIP/2.0 100 Trying]',
      'B2 <- INVITE [A]',
      'B1 -> 200 (NOTIFY)',
      'B2 -> 180',
      'B1 <- NOTIFY [SIP/2.0 180 Ringing]',
      'B1 -> 200 (NOTIFY)',
      'B2 -> 200 [C]',
      'B2 <- ACK',
      'A <- re-INVITE [C]',
      'A -> 200 (re-INVITE) [A]',
      'A <- ACK (re-INVITE)',
      'B1 <- NOTIFY [SIP/2.0 200 OK]',
      'B1 -> 200 (NOTIFY)',
      'B1 <- BYE',
      'B1 -> 200 (BYE)',
    ]);
    t.match(c.spec, { uri: `sip:${TARGET}@127.0.20.10:5060`, from: /<sip:\+918040000002@localhost>/ });
    const changed = c.reinvitesWith(C);
    a.respondsReinvite(200, A);
    changed.acks();
    const hold = a.reinvitesWith(A);
    c.respondsReinvite(200, C);
    t.match(hold.owed.answers, [{ status: 200 }], 'and so it goes on');
    hold.acks();
    c.asks('INFO');
    a.responds(200);
    await rig.pass(10_000);
    rig.signal.takeLadder();
    c.byes();
    await rig.turn();
    t.match(rig.signal.takeLadder(), ['B2 -> BYE', /^A <- BYE/]);
    a.confirms();
    t.match(rig.record, {
      mode: 'flow',
      outcome: 'answered',
      endedBy: 'callee',
      reasonCode: 'normal_clearing',
      talkMs: 10_000,
      attempts: [{ result: 'answered' }],
      transfers: [
        {
          referrer: 'callee',
          trunkSid: 'trk',
          kind: 'blind',
          target: `sip:${TARGET}@tandem`,
          ...COMPLETED,
          attempts: [{ sipStatus: 200 }],
        },
      ],
      dials: [{ carrierId: null }, { carrierId: 'telco', talkMs: 10_000 }],
      flow: { steps: 1, path: [{ node: 'first', exit: 'answered' }] },
    });
    const step = rig.events.find((event) => event.type === 'flow_step');
    t.match(step, { step: { inputs: { transferred_to: `sip:${TARGET}@tandem` } } }, 'the trace shows it');
    t.strictSame(rig.leftovers(), []);
  });

  t.test('a target that fails, or does not answer in time: the agent keeps the caller', async (t) => {
    const { rig, a, b } = await direct();
    await refer(rig, b);
    b.responds(200);
    rig.signal.b(2).refuses(486, { reason: 'Busy Here' });
    t.match(rig.signal.takeLadder().at(-1), 'B1 <- NOTIFY [SIP/2.0 486 Busy Here');
    b.responds(200);
    await refer(rig, b);
    b.responds(200);
    rig.signal.b(3).progresses(180);
    b.responds(200);
    await rig.pass(60_000);
    rig.signal.b(3).confirmsCancel();
    await rig.turn();
    t.match(
      rig.signal.takeLadder().filter((line) => line.includes('480')),
      ['B1 <- NOTIFY [SIP/2.0 480'],
    );
    b.responds(200);
    b.asks('INFO');
    t.equal(rig.signal.takeLadder().at(-1), 'A <- INFO', 'the two talk on');
    a.responds(200);
    b.byes();
    await rig.turn();
    a.confirms();
    t.match(rig.record, {
      endedBy: 'callee',
      transfers: [
        { outcome: 'failed', sipStatus: 486, reasonCode: 'callee_busy' },
        { outcome: 'failed', sipStatus: 480, reasonCode: 'no_answer' },
      ],
      flow: { path: [{ exit: 'answered' }] },
    });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('an agent that hangs up after 202, and a target that fails then, end the call', async (t) => {
    const { rig, a, b } = await direct();
    await refer(rig, b);
    b.byes();
    await rig.turn();
    t.equal(rig.service.registry.size, 1, 'the flow knows nothing of it');
    rig.signal.b(2).refuses(404);
    await rig.turn();
    a.confirms();
    t.match(rig.record, { endedBy: 'callee', transfers: [{ outcome: 'failed', sipStatus: 404 }] });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('a caller that hangs up while the target rings', async (t) => {
    const { rig, a, b } = await direct();
    await refer(rig, b);
    b.responds(200);
    rig.signal.b(2).progresses(180);
    a.byes();
    await rig.turn();
    rig.signal.b(2).confirmsCancel();
    b.responds(200);
    b.confirms();
    await rig.turn();
    t.match(rig.record, {
      endedBy: 'caller',
      reasonCode: 'normal_clearing',
      transfers: [{ outcome: 'failed', sipStatus: 487, reasonCode: 'transferee_gone' }],
    });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('limits, prefixes and the trunk’s word hold for the new call', async (t) => {
    const denied = await direct({}, { trunk: { deny_prefixes: ['91981'] } });
    t.match(refusal(await refer(denied.rig, denied.b)), [
      [403, [['Reason', 'SIP;cause=403;text="destination_denied"']]],
    ]);
    const off = await direct({}, { trunk: { sip: { refer: 'off' } } });
    t.match(refusal(await refer(off.rig, off.b)), [[603, [['Reason', 'SIP;cause=603;text="refer_off"']]]]);
    const full = await direct({}, { trunk: { limits: { concurrent_calls: 2 } } });
    t.match(refusal(await refer(full.rig, full.b)), [
      [603, [['Reason', 'SIP;cause=503;text="trunk_concurrent_calls"']]],
    ]);
    for (const { rig, a, b } of [denied, off, full]) {
      b.byes();
      await rig.turn();
      a.confirms();
      t.match(rig.record.transfers, [{ outcome: 'refused' }]);
      t.strictSame(rig.leftovers(), []);
    }
  });

  t.test('relay: the REFER goes on to the caller, its word comes back', async (t) => {
    const { rig, a, b } = await direct({}, { trunk: { sip: { refer: 'relay' } } });
    const owed = await refer(rig, b);
    t.match(a.pending[0]?.spec, { method: 'REFER', headers: [['Refer-To', `<sip:${TARGET}@tandem>`]] });
    a.responds(202);
    t.match(owed.answers, [{ status: 202 }]);
    a.asks('NOTIFY', { headers: [['Event', 'refer']], body: 'SIP/2.0 200 OK' });
    t.equal(rig.signal.ladder.at(-1), 'B1 <- NOTIFY [SIP/2.0 200 OK]');
    b.responds(200);
    a.byes();
    await rig.turn();
    b.confirms();
    t.match(rig.record.transfers, [{ kind: 'relayed', outcome: 'passed_on', sipStatus: 202 }]);
    t.strictSame(rig.leftovers(), []);
  });

  t.test('a caller whose carrier may transfer leaves: the call goes on without it', async (t) => {
    const { rig, a, b } = await direct({}, { carrier: { sip: { refer: 'terminate' } } });
    await refer(rig, a, `<sip:${TRUNK_NUMBER}@tandem>`);
    a.responds(200);
    rig.signal.b(2).answers(C);
    b.respondsReinvite(200, B);
    a.responds(200);
    t.match(short(rig.signal.takeLadder()).slice(-2), ['A -> 200 (NOTIFY)', 'A <- BYE']);
    a.confirms();
    await rig.pass(5000);
    t.equal(rig.service.registry.size, 1);
    b.byes();
    await rig.pass(300);
    rig.signal.b(2).confirms();
    t.match(rig.record, { outcome: 'answered', endedBy: 'callee', transfers: [{ referrer: 'caller', ...COMPLETED }] });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('ended over the administration, and by the limit of the talk', async (t) => {
    for (const end of ['api', 'limit'] as const) {
      const { rig, a, b } = await direct(end === 'limit' ? { talk_ms: 30_000 } : {});
      await refer(rig, b);
      b.responds(200);
      rig.signal.b(2).answers(C);
      a.respondsReinvite(200, A);
      b.responds(200);
      b.confirms();
      if (end === 'api') rig.service.endByApi([...rig.service.registry.values()][0]?.id ?? '');
      else await rig.pass(30_000);
      await rig.turn();
      t.ok(rig.signal.b(2).byeSent, end);
      rig.signal.b(2).confirms();
      a.confirms();
      await rig.turn();
      t.match(rig.record, { outcome: 'answered', transfers: [COMPLETED] });
      t.strictSame(rig.leftovers(), []);
    }
  });
});

/** The agent's PBX calls somebody else meanwhile. @returns its leg, and that of whom it called */
const consults = async (rig: FlowRig): Promise<{ middle: FakeIncomingLeg; far: FakeOutgoingLeg }> => {
  const middle = rig.signal.call({
    uri: `sip:${TARGET}@127.0.0.1:5060`,
    source: { transport: 'udp', address: '127.0.20.20', port: 5060 },
    from: `<sip:${TRUNK_NUMBER}@127.0.20.20>;tag=1`,
    body: D,
  });
  await rig.turn();
  const far = rig.signal.b(2);
  far.answers(C);
  middle.acks();
  rig.signal.takeLadder();
  return { middle, far };
};

const records = (rig: FlowRig): readonly string[] => rig.leftovers().filter((line) => !/^\d records$/.test(line));

t.test('attended: the far ends of both calls are joined, whichever dialog the REFER comes in', async (t: Test) => {
  for (const within of ['flow', 'other'] as const) {
    const { rig, a, b } = await direct();
    const { middle, far } = await consults(rig);
    if (within === 'flow') {
      await refer(rig, b, replacing(middle));
      b.responds(200);
      far.respondsReinvite(200, C);
      a.respondsReinvite(200, A);
      b.responds(200);
    } else {
      await refer(rig, middle, replacing(b));
      middle.responds(200);
      a.respondsReinvite(200, A);
      far.respondsReinvite(200, C);
      middle.responds(200);
    }
    await rig.turn();
    const said = short(rig.signal.takeLadder());
    t.ok(
      said.includes('A <- re-INVITE [C]') && said.some((line) => line.endsWith('<- re-INVITE [A]')),
      said.join('\n'),
    );
    b.confirms();
    middle.confirms();
    await rig.pass(4000);
    a.byes();
    await rig.turn();
    far.confirms();
    await rig.turn();
    t.equal(rig.recorder.records.length, 2);
    for (const record of rig.recorder.records) {
      t.match(record, { outcome: 'answered', transfers: [{ kind: 'attended', ...COMPLETED }] });
    }
    t.strictSame(records(rig), [], within);
  }
});

t.test('anchored media: the caller’s endpoint is joined with one for the target', async (t: Test) => {
  t.test('blind, and once more by the target; the caller hears of none of it', async (t) => {
    const { rig, a, b } = await anchored();
    await refer(rig, b);
    b.responds(200);
    t.match(rig.media.endpoints[2]?.spec, { leg: 'b', peerAddresses: ['127.0.20.10'] });
    rig.signal.b(2).progresses(180);
    b.responds(200);
    rig.signal.b(2).answers(C);
    await rig.turn();
    t.strictSame(rig.media.log, ['m1 bridge m3']);
    b.responds(200);
    b.confirms();
    await rig.turn();
    t.strictSame(rig.media.log, ['m1 bridge m3', 'm2 close'], 'nothing takes the new pair apart');
    t.strictSame(short(rig.signal.takeLadder()), [
      'B1 -> REFER',
      'B1 <- 202 (REFER)',
      'B1 <- NOTIFY [SIP/2.0 100 Trying]',
      'B2 <- INVITE [m3 offer 1]',
      'B1 -> 200 (NOTIFY)',
      'B2 -> 180',
      'B1 <- NOTIFY [SIP/2.0 180 Ringing]',
      'B1 -> 200 (NOTIFY)',
      'B2 -> 200 [C]',
      'B2 <- ACK',
      'B1 <- NOTIFY [SIP/2.0 200 OK]',
      'B1 -> 200 (NOTIFY)',
      'B1 <- BYE',
      'B1 -> 200 (BYE)',
    ]);
    const hold = rig.signal.b(2).reinvitesWith('hold');
    await rig.turn();
    t.match(hold.owed.answers, [{ status: 200, spec: { body: Buffer.from('m3 answers [hold]') } }]);
    hold.acks();
    const late = rig.signal.b(2).reinvitesWith('');
    await rig.turn();
    late.acks('late answer');
    t.match(rig.media.endpoints[2]?.answers, [/127\.0\.72\.3/, 'late answer']);
    const update = rig.signal.b(2).asks('UPDATE', { body: 'again' });
    const info = rig.signal.b(2).asks('INFO');
    await rig.turn();
    t.match([update.answers, info.answers], [[{ status: 200 }], [{ status: 200 }]]);
    a.byes();
    await rig.pass(300);
    rig.signal.b(2).confirms();
    await rig.turn();
    t.match(rig.record, { endedBy: 'caller', transfers: [COMPLETED], media: { a: { mos: 4.4 }, b: { mos: 4.4 } } });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('a target that fails, whose media do not fit, or no media at all: as before', async (t) => {
    const { rig, a, b } = await anchored();
    await refer(rig, b);
    b.responds(200);
    rig.signal.b(2).refuses(486);
    b.responds(200);
    await refer(rig, b);
    b.responds(200);
    const fourth = rig.media.endpoints[3];
    if (fourth !== undefined) fourth.refuses = { code: 'no_common_codec', message: 'none', sipStatus: 488 };
    rig.signal.b(3).answers(C);
    await rig.turn();
    rig.signal.b(3).confirms();
    b.responds(200);
    rig.media.refuses = { code: 'no_port_free', message: 'none', sipStatus: 503 };
    await refer(rig, b);
    b.responds(200);
    b.responds(200);
    t.strictSame(rig.media.log, ['m3 close', 'm4 close'], 'the two were never taken apart');
    b.byes();
    await rig.turn();
    a.confirms();
    t.match(rig.record, {
      endedBy: 'callee',
      transfers: [{ sipStatus: 486 }, { sipStatus: 488, reasonCode: 'media_not_acceptable' }, { sipStatus: 488 }],
    });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('when the target has left, the caller is the flow’s again', async (t) => {
    const { rig, a, b } = await anchored({ answered: 'survey' }, { survey: greet('bye'), bye: { applet: 'hangup' } });
    await refer(rig, b);
    b.byes();
    await rig.turn();
    rig.signal.b(2).answers(C);
    await rig.turn();
    await rig.pass(2000);
    rig.media.log.length = 0;
    rig.signal.b(2).byes();
    await rig.turn();
    t.strictSame(rig.media.log, ['m1 unbridge', 'm3 close', 'm1 play tone'], 'and hears the next node');
    rig.media.endpoints[0]?.playEnds();
    await rig.turn();
    a.confirms();
    t.match(rig.record, {
      reasonCode: 'flow_hangup',
      flow: { path: [{}, { exit: 'answered' }, { node: 'survey' }, {}] },
    });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('attended: the other call’s far end is offered an endpoint of ours', async (t) => {
    for (const within of ['flow', 'other'] as const) {
      const { rig, a, b } = await anchored();
      const { middle, far } = await consults(rig);
      await refer(rig, within === 'flow' ? b : middle, replacing(within === 'flow' ? middle : b));
      (within === 'flow' ? b : middle).responds(200);
      far.respondsReinvite(200, C);
      await rig.turn();
      if (within === 'other') t.match(rig.media.endpoints[2]?.spec.offer?.toString(), C, 'whose answer it is told');
      t.ok(rig.media.log.includes('m1 bridge m3'), rig.media.log.join('\n'));
      (within === 'flow' ? b : middle).responds(200);
      b.confirms();
      middle.confirms();
      await rig.turn();
      t.same(a.reinvites, [], 'the caller is not asked');
      far.byes();
      await rig.turn();
      a.confirms();
      await rig.turn();
      t.equal(rig.recorder.records.length, 2);
      t.strictSame(records(rig), [], within);
    }
  });

  t.test('an endpoint that is lost ends the talk', async (t) => {
    const { rig, a, b } = await anchored();
    await refer(rig, b);
    b.byes();
    rig.signal.b(2).answers(C);
    await rig.turn();
    rig.media.endpoints[2]?.fails();
    await rig.turn();
    t.ok(rig.signal.b(2).byeSent);
    rig.signal.b(2).confirms();
    a.confirms();
    t.match(rig.record, { outcome: 'answered' });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('relay: the NOTIFYs of the caller’s telephone find their way', async (t) => {
    const rig = await FlowRig.create({
      nodes: { first: greet('dial'), dial: connect({ media: 'anchored' }) },
      trunk: { sip: { refer: 'relay' } },
    });
    const a = await rig.answered({ body: A });
    rig.media.last.playEnds();
    await rig.turn();
    const b = rig.signal.b(1);
    b.answers(B);
    await rig.turn();
    const owed = await refer(rig, b);
    a.responds(202);
    t.match(owed.answers, [{ status: 202 }]);
    a.asks('NOTIFY', { headers: [['Event', 'refer']], body: 'SIP/2.0 200 OK' });
    t.equal(rig.signal.ladder.at(-1), 'B1 <- NOTIFY [SIP/2.0 200 OK]');
    b.responds(200);
    a.byes();
    await rig.turn();
    b.confirms();
    t.strictSame(rig.leftovers(), []);
  });
});

t.test('INVITE with Replaces takes the agent’s place', async (t: Test) => {
  /** Another telephone of the trunk. */
  const newcomer = (rig: FlowRig, b: FakeOutgoingLeg, body: string, host = '127.0.20.20'): FakeIncomingLeg =>
    rig.signal.call({
      uri: 'sip:tandem@127.0.0.1:5060',
      body,
      source: { transport: 'udp', address: host, port: 5060 },
      headers: [
        ['Replaces', `${b.callId};to-tag=${b.localTag};from-tag=${b.remoteTag}`],
        ['Require', 'replaces'],
      ],
    });
  /** Of the flow's call, and of the newcomer's, in the order in which they ended. */
  const recordsOf = (rig: FlowRig, z: FakeIncomingLeg) => ({
    flows: rig.recorder.records.find(({ mode }) => mode === 'flow'),
    newcomers: rig.recorder.records.find(({ aLegCallId }) => aLegCallId === z.callId),
    count: rig.recorder.records.length,
  });

  t.test(
    'direct media: the caller is offered its media, the agent is released, the flow goes on afterwards',
    async (t) => {
      const { rig, a, b } = await direct();
      const z = newcomer(rig, b, C);
      await rig.turn();
      a.respondsReinvite(200, A);
      z.acks();
      await rig.turn();
      t.strictSame(short(rig.signal.takeLadder()), [
        'A2 -> INVITE [C]',
        'A <- re-INVITE [C]',
        'A -> 200 (re-INVITE) [A]',
        'A <- ACK (re-INVITE)',
        'A2 <- 200 [A]',
        'A2 -> ACK',
        'B1 <- BYE',
      ]);
      b.confirms();
      const hold = a.reinvitesWith('hold');
      z.respondsReinvite(200, 'held');
      t.match(hold.owed.answers, [{ status: 200 }], 'the two talk to each other');
      hold.acks();
      await rig.pass(5_000);
      z.byes();
      await rig.turn();
      a.confirms();
      await rig.turn();
      const { flows, newcomers, count } = recordsOf(rig, z);
      t.equal(count, 2);
      t.match(flows, {
        outcome: 'answered',
        talkMs: 5_000,
        transfers: [
          {
            kind: 'replaced',
            referrer: 'callee',
            outcome: 'completed',
            target: 'sip:ann@10.9.8.7:5060',
            otherCallId: newcomers?.callId,
          },
        ],
        flow: { path: [{ node: 'first', exit: 'answered' }] },
      });
      const step = rig.events.find((event) => event.type === 'flow_step');
      t.match(step, { step: { inputs: { transferred_to: 'sip:ann@10.9.8.7:5060' } } });
      t.match(newcomers, { outcome: 'answered', trunkSid: 'trk', charge: null });
      t.strictSame(rig.leftovers(), [`${count} records`]);
    },
  );

  t.test('anchored media: the newcomer is answered by an endpoint of ours, the caller hears of nothing', async (t) => {
    const { rig, a, b } = await anchored();
    const z = newcomer(rig, b, C);
    await rig.turn();
    z.acks();
    await rig.turn();
    t.strictSame(short(rig.signal.takeLadder()), [
      'A2 -> INVITE [C]',
      'A2 <- 200 [m3 answers [C]]',
      'A2 -> ACK',
      'B1 <- BYE',
    ]);
    t.match(rig.media.log, [/^m3 answers/, 'm1 bridge m3', 'm2 close']);
    b.confirms();
    await rig.pass(5_000);
    a.byes();
    await rig.pass(300);
    z.confirms();
    await rig.turn();
    const { flows, count } = recordsOf(rig, z);
    t.equal(count, 2);
    t.match(flows, { endedBy: 'caller', transfers: [{ kind: 'replaced', outcome: 'completed' }] });
    t.strictSame(rig.leftovers(), [`${count} records`]);
  });

  t.test('the caller will not have its media, or it is somebody else: the agent keeps the caller', async (t) => {
    const { rig, a, b } = await direct();
    const refused = newcomer(rig, b, C);
    await rig.turn();
    a.respondsReinvite(488);
    await rig.turn();
    t.equal(refused.rejected?.status, 488);
    const stranger = newcomer(rig, b, C, '127.0.20.99');
    await rig.turn();
    t.equal(stranger.rejected?.status, 403);
    t.match(stranger.rejected?.spec.headers, [['Reason', /replaces_not_allowed/]]);
    b.byes();
    await rig.turn();
    a.confirms();
    await rig.turn();
    const { flows, count } = recordsOf(rig, refused);
    t.equal(count, 3, 'one each');
    t.match(flows, { outcome: 'answered', endedBy: 'callee', transfers: [{ sipStatus: 488 }] });
    t.strictSame(rig.leftovers(), [`${count} records`]);
  });
});

t.test('REFERs that are refused, with what to do about it', async (t: Test) => {
  const alone = await FlowRig.create({
    nodes: { first: greet('bye'), bye: { applet: 'hangup' } },
    carrier: { sip: { refer: 'terminate' } },
  });
  const a = await alone.answered({ body: A });
  t.strictSame(
    refusal(await refer(alone, a)),
    [[603, [['Reason', 'SIP;cause=603;text="refer_in_flow"']]]],
    'an announcement',
  );
  a.byes();
  await alone.pass(300);
  t.strictSame(alone.leftovers(), []);

  const dial = connect({ media: 'anchored', record: true });
  const rig = await FlowRig.create({ nodes: { first: dial }, carrier: { sip: { refer: 'terminate' } } });
  const caller = rig.calls({ body: A });
  await rig.turn();
  const b = rig.signal.b(1);
  const early = await refer(rig, b);
  t.match(refusal(early), [[603]], 'before it has answered');
  b.answers(B);
  await rig.turn();
  caller.acks();
  await rig.turn();
  t.match(refusal(await refer(rig, caller, `<sip:${TRUNK_NUMBER}@x>`)), [
    [603, [['Reason', 'SIP;cause=603;text="refer_in_flow"']]],
  ]);
  t.match(rig.signal.b(1).spec.uri, FLOW_NUMBER);
  rig.media.endpoints[0]?.recordEnds('stopped');
  b.byes();
  await rig.pass(4000);
  caller.confirms();
  t.match(rig.record.transfers, [{ outcome: 'refused', reasonCode: 'refer_in_flow' }]);
  t.strictSame(rig.leftovers(), []);
});
