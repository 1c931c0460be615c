/** Transfers on fake legs: ladders of blind and attended ones, of their failures, and what the records say. */
import t, { type Test } from 'tap';
import type { Decision, Priced } from '../../src/call/routing/decision.js';
import { Draft } from '../../src/call/routing/draft.js';
import type { TransferWish } from '../../src/call/routing/decideTransfer.js';
import { TRANSFER_TABLE, type TransferEvent, type TransferState } from '../../src/call/session/transfer/states.js';
import { CallRig, type RigOptions } from '../support/callRig.js';
import type { FakeIncomingLeg, FakeOutgoingLeg, FakeSignal } from '../support/fakeSignal.js';

const sdp = (host: string, port: number, more = ''): string =>
  `v=0\r\no=- 1 1 IN IP4 ${host}\r\ns=-\r\nc=IN IP4 ${host}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 0 8\r\n${more}`;
const A = sdp('127.0.33.1', 4000);
const B = sdp('127.0.33.2', 5000);
const C = sdp('127.0.33.3', 6000);

const accept = (wish: TransferWish, priced: Priced = {}): Decision => {
  const draft = new Draft('r2', { ...wish.request, calledNumber: wish.target });
  draft.direction = 'outbound';
  draft.mode = 'pstn';
  draft.trunkSid = 'trk_demo';
  draft.accountSid = 'demo';
  draft.calledE164 = wish.target;
  draft.callerSent = '+918040000001';
  draft.destinations = [
    {
      uri: `sip:${wish.target}@192.0.2.9`,
      gateway: '192.0.2.9',
      priority: 0,
      weight: 1,
      carrierId: 'telco-b',
      ...priced,
    },
  ];
  return draft.accept();
};

interface Talk {
  readonly rig: CallRig;
  readonly signal: FakeSignal;
  readonly a: FakeIncomingLeg;
  readonly b: FakeOutgoingLeg;
}

/** An inbound call, up: the carrier is A, the trunk's PBX is B1. */
const talk = (options: RigOptions = {}): Talk => {
  const rig = new CallRig({ transfer: accept, ...options });
  const { signal } = rig;
  const a = signal.call({ body: A });
  signal.b().answers(B);
  a.acks();
  signal.takeLadder();
  return { rig, signal, a, b: signal.b(1) };
};

const short = (lines: readonly string[]): string[] =>
  lines.map((line) =>
    line
      .replaceAll(
        /\[v=0[^\]]*c=IN IP4 127\.0\.33\.(\d)[^\]]*\]/g,
        (_whole, host: string) => `[${'ABC'[Number(host) - 1] ?? host}]`,
      )
      .replaceAll('\r\n', ''),
  );

/** An INVITE of a dial leaves a moment later. */
const refer = async (
  leg: FakeOutgoingLeg | FakeIncomingLeg,
  to: string,
  more: readonly (readonly [string, string])[] = [],
): Promise<ReturnType<FakeOutgoingLeg['asks']>> => {
  const headers = [['Refer-To', to], ['CSeq', '7 REFER'], ...more] as const;
  const owed = leg.asks('REFER', { headers, uri: 'sip:tandem@127.0.33.9:33000' });
  await Promise.resolve();
  return owed;
};

const whole = (t: Test, rig: CallRig): void => void t.strictSame(rig.leftovers(), []);

t.test('blind', async (t) => {
  t.test(
    'the target is called with the description of whoever is left, then both are joined, and the referrer leaves',
    async (t) => {
      const { rig, signal, a, b } = talk();
      const refered = await refer(b, '<sip:+919811111111@127.0.33.9>', [['Referred-By', '<sip:200@pbx.local>']]);
      t.equal(rig.state, 'transferring');
      b.responds(200);
      signal.b(2).progresses(180);
      b.responds(200);
      signal.b(2).answers(C);
      a.respondsReinvite(200, A);
      b.responds(200);
      b.confirms();
      t.equal(rig.state, 'established');
      t.strictSame(short(signal.takeLadder()), [
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
      t.equal(refered.answers.length, 1);
      t.match(rig.wishes, [{ target: '+919811111111', referrer: { kind: 'trunk', id: 'trk_demo' }, side: 'b' }]);
      t.match(signal.b(2).spec, { from: /<sip:\+918040000001@localhost>/, to: '<sip:+919811111111@192.0.2.9>' });
      t.match(signal.b(2).spec.headers, [['Max-Forwards', '68']]);

      signal.b(2).reinvitesWith(sdp('127.0.33.3', 6002));
      t.strictSame(short(signal.takeLadder()), ['B2 -> re-INVITE [C]', 'A <- re-INVITE [C]'], 'and so it goes on');
      a.respondsReinvite(200, A);
      a.asks('INFO', { body: 'Signal=1' });
      signal.b(2).responds(200);
      rig.clock.advance(10_000);
      signal.takeLadder();
      a.byes();
      t.strictSame(signal.takeLadder(), ['A -> BYE', 'B2 <- BYE']);
      signal.b(2).confirms();
      t.match(rig.record, {
        outcome: 'answered',
        endedBy: 'caller',
        destination: 'sip:+918040000001@127.0.20.20:5060;transport=udp',
        attempts: [{ result: 'answered' }],
        transfers: [
          {
            referrer: 'callee',
            trunkSid: 'trk_demo',
            carrierId: null,
            kind: 'blind',
            target: 'sip:+919811111111@127.0.33.9',
            referredBy: '<sip:200@pbx.local>',
            revision: 'r2',
            outcome: 'completed',
            sipStatus: 200,
            reasonCode: 'transfer_completed',
            attempts: [{ uri: 'sip:+919811111111@192.0.2.9', result: 'answered' }],
          },
        ],
        dials: [{ uri: 'sip:+919811111111@192.0.2.9', carrierId: 'telco-b', talkMs: 10_000, charge: null }],
      });
      whole(t, rig);
    },
  );

  t.test('a target that fails leaves the call as it was, and NOTIFY says why', async (t) => {
    const { rig, signal, a, b } = talk();
    await refer(b, 'sip:+919811111111@x');
    b.responds(200);
    signal.takeLadder();
    signal.b(2).refuses(486, { reason: 'Busy Here' });
    t.strictSame(signal.takeLadder(), ['B2 -> 486', 'B1 <- NOTIFY [SIP/2.0 486 Busy Here\r\n]']);
    t.match(b.pending[0]?.spec.headers, [
      ['Event', 'refer'],
      ['Subscription-State', 'terminated;reason=noresource'],
    ]);
    b.responds(200);
    t.equal(rig.state, 'established');
    b.asks('INFO');
    t.strictSame(signal.takeLadder().slice(-1), ['A <- INFO'], 'the two talk on');
    a.responds(200);
    b.byes();
    a.confirms();
    t.match(rig.record, {
      endedBy: 'callee',
      transfers: [{ outcome: 'failed', sipStatus: 486, reasonCode: 'callee_busy', attempts: [{ sipStatus: 486 }] }],
    });
    t.notOk('dials' in rig.record, 'and nothing was charged');
    whole(t, rig);
  });

  t.test('the referrer may hang up as soon as it was told 202', async (t) => {
    const { rig, signal, a, b } = talk();
    await refer(b, '<sip:+919811111111@x>');
    b.byes();
    signal.takeLadder();
    signal.b(2).progresses(180);
    signal.b(2).answers(C);
    a.respondsReinvite(200, A);
    t.strictSame(short(signal.takeLadder()), [
      'B2 -> 180',
      'B2 -> 200 [C]',
      'B2 <- ACK',
      'A <- re-INVITE [C]',
      'A -> 200 (re-INVITE) [A]',
      'A <- ACK (re-INVITE)',
    ]);
    signal.b(2).byes();
    a.confirms();
    t.match(rig.record, { endedBy: 'callee', transfers: [{ outcome: 'completed' }] });
    whole(t, rig);
  });

  t.test('the referrer has gone and the target fails: whoever is left is hung up', async (t) => {
    const { rig, signal, a, b } = talk();
    await refer(b, '<sip:+919811111111@x>');
    b.byes();
    signal.takeLadder();
    signal.b(2).refuses(404);
    t.strictSame(signal.takeLadder(), ['B2 -> 404', 'A <- BYE']);
    a.confirms();
    t.match(rig.record, {
      endedBy: 'callee',
      reasonCode: 'normal_clearing',
      transfers: [{ sipStatus: 404, reasonCode: 'callee_unknown' }],
    });
    whole(t, rig);
  });

  t.test('whoever is transferred hangs up meanwhile: the target is given up, the referrer hung up', async (t) => {
    const { rig, signal, a, b } = talk();
    await refer(b, '<sip:+919811111111@x>');
    b.responds(200);
    signal.b(2).progresses(180);
    b.responds(200);
    signal.takeLadder();
    a.byes();
    t.strictSame(short(signal.takeLadder()), [
      'A -> BYE',
      'B2 <- CANCEL {Q.850;cause=16}',
      'B1 <- NOTIFY [SIP/2.0 487 Request Terminated]',
      'B1 <- BYE',
    ]);
    b.confirms();
    signal.b(2).confirmsCancel();
    t.match(rig.record, { endedBy: 'caller', transfers: [{ outcome: 'failed', reasonCode: 'transferee_gone' }] });
    whole(t, rig);
  });

  t.test('the target answers, and whoever is transferred will not have its media: all as before', async (t) => {
    const { rig, signal, a, b } = talk();
    await refer(b, '<sip:+919811111111@x>');
    b.responds(200);
    signal.b(2).answers(C);
    signal.takeLadder();
    a.respondsReinvite(488);
    t.strictSame(short(signal.takeLadder()), [
      'A -> 488 (re-INVITE)',
      'B2 <- BYE {Q.850;cause=16}',
      'B1 <- NOTIFY [SIP/2.0 488 Not Acceptable Here]',
    ]);
    b.responds(200);
    signal.b(2).confirms();
    t.equal(rig.state, 'established');
    a.byes();
    b.confirms();
    t.match(rig.record, { transfers: [{ outcome: 'failed', sipStatus: 488 }], dials: [{ carrierId: 'telco-b' }] });
    whole(t, rig);
  });

  t.test('an answer from another address is told to the target; on hold counts for nothing', async (t) => {
    const { rig, signal, a, b } = talk();
    const hold = b.reinvitesWith(sdp('127.0.33.2', 5000, 'a=sendonly\r\n'));
    a.respondsReinvite(200, sdp('127.0.33.1', 4000, 'a=recvonly\r\n'));
    hold.acks();
    await refer(b, '<sip:+919811111111@x>');
    t.match(signal.b(2).spec.body?.toString(), /a=sendrecv/);
    t.notMatch(signal.b(2).spec.body?.toString(), /recvonly/);
    b.responds(200);
    signal.b(2).answers(C);
    signal.takeLadder();
    a.respondsReinvite(200, sdp('127.0.33.1', 4444));
    t.match(short(signal.takeLadder()), ['A -> 200 (re-INVITE) [A]', 'A <- ACK (re-INVITE)', 'B2 <- re-INVITE [A]']);
    signal.b(2).respondsReinvite(200, C);
    b.responds(200);
    b.confirms();
    t.equal(rig.state, 'established');
    a.byes();
    signal.b(2).confirms();
    whole(t, rig);
  });

  t.test('a late offer left nothing to offer: the target makes the offer, and gets the answer in ACK', async (t) => {
    const rig = new CallRig({ transfer: accept });
    const { signal } = rig;
    const a = signal.call({ body: '' });
    const b = signal.b(1);
    b.answers(B);
    a.acks(A);
    signal.takeLadder();
    await refer(b, '<sip:+919811111111@x>');
    b.responds(200);
    signal.b(2).answers(C);
    a.respondsReinvite(200, A);
    t.strictSame(
      short(signal.takeLadder()).filter((line) => !line.includes('B1')),
      [
        'B2 <- INVITE',
        'B2 -> 200 [C]',
        'A <- re-INVITE [C]',
        'A -> 200 (re-INVITE) [A]',
        'A <- ACK (re-INVITE)',
        'B2 <- ACK [A]',
      ],
    );
    b.responds(200);
    b.confirms();
    a.byes();
    signal.b(2).confirms();
    whole(t, rig);
  });

  t.test('offers that meet ours are tried again, three times at most', async (t) => {
    const { rig, signal, a, b } = talk();
    await refer(b, '<sip:+919811111111@x>');
    b.responds(200);
    signal.b(2).answers(C);
    for (let i = 0; i < 3; i++) {
      a.respondsReinvite(491);
      t.equal(a.reinvites.length, 0);
      rig.clock.advance(4000);
      t.equal(a.reinvites.length, 1);
    }
    t.equal(a.reinvitesWith('x').owed.answers[0]?.status, 491, 'an offer of A meanwhile');
    signal.takeLadder();
    a.respondsReinvite(491);
    t.match(signal.takeLadder().join(), /NOTIFY \[SIP\/2.0 488/);
    b.responds(200);
    signal.b(2).confirms();
    a.byes();
    b.confirms();
    whole(t, rig);
  });

  t.test('the time limit, an operator and drain end all of it', async (t) => {
    const { rig, signal, a, b } = talk({ settings: { maxCallMs: 60_000 } });
    await refer(b, '<sip:+919811111111@x>');
    b.responds(200);
    signal.b(2).progresses(180);
    b.responds(200);
    signal.takeLadder();
    rig.clock.advance(60_000);
    t.match(short(signal.takeLadder()), [
      'B2 <- CANCEL {Q.850;cause=16}',
      'B1 <- NOTIFY [SIP/2.0 487 Request Terminated]',
      /A <- BYE \{SIP;cause=408/,
      /B1 <- BYE \{SIP;cause=408/,
    ]);
    a.confirms();
    b.confirms();
    signal.b(2).confirmsCancel();
    t.match(rig.record, { reasonCode: 'max_duration', transfers: [{ reasonCode: 'transfer_stopped' }] });
    whole(t, rig);
  });

  t.test('money: the transferred leg is charged beside the call, to the trunk that asked', async (t) => {
    const rate = { outbound_price: '0.60', currency: 'USD' };
    const { rig, signal, a, b } = talk({ transfer: (wish) => accept(wish, { rate }) });
    rig.clock.advance(120_000);
    await refer(b, '<sip:+919811111111@x>');
    b.responds(200);
    signal.b(2).answers(C);
    a.respondsReinvite(200, A);
    b.responds(200);
    b.confirms();
    rig.clock.advance(90_000);
    a.byes();
    signal.b(2).confirms();
    t.match(rig.record, {
      trunkSid: 'trk_demo',
      talkMs: 210_000,
      dials: [{ talkMs: 90_000, charge: { micros: 1_200_000 } }],
    });
    const dials = rig.events.filter((event) => event.type.startsWith('dial_'));
    t.match(dials, [
      { type: 'dial_started', decision: { trunkSid: 'trk_demo' } },
      { type: 'dial_answered', priced: { rate } },
      { type: 'dial_ended' },
    ]);
    t.match(
      rig.events.find((event) => event.type === 'call_transfer'),
      { transfer: { outcome: 'completed' } },
    );
    whole(t, rig);
  });

  t.test('a transfer after a transfer: the new end asks for the next, by its own rule, five at most', async (t) => {
    const { rig, signal, a, b } = talk({ callerSip: { refer: 'terminate' } });
    let last: FakeIncomingLeg | FakeOutgoingLeg = b;
    for (let i = 2; i <= 6; i++) {
      await refer(last, '<sip:+919811111111@x>');
      last.responds(200);
      signal.b(i).answers(C);
      a.respondsReinvite(200, A);
      last.responds(200);
      last.confirms();
      t.equal(
        signal.b(i).spec.headers?.find(([name]) => name === 'Max-Forwards')?.[1],
        String(70 - i),
        'hops are used up',
      );
      const off = await refer(signal.b(i), '<sip:+919811111111@x>');
      t.equal(off.answers[0]?.status, 603, 'whoever was called by a carrier may not');
      last = signal.b(i);
      if (i < 6) break;
    }
    const refused = await refer(a, '<sip:+919811111111@x>');
    t.equal(refused.answers[0]?.status, 202, 'the carrier may, as it was told so');
    a.byes();
    signal.b(2).confirms();
    signal.b(3).confirmsCancel();
    t.match(rig.record.transfers, [{ outcome: 'completed' }, { reasonCode: 'refer_off' }, { outcome: 'failed' }]);
    whole(t, rig);
  });
});

t.test('refused', async (t) => {
  const cases: readonly [string, RigOptions, string, number, RegExp][] = [
    ['by rule', { calleeSip: { refer: 'off' } }, '<sip:1@x>', 603, /603;text="refer_off"/],
    ['without a target', {}, '<>', 400, /400;text="refer_to_invalid"/],
    ['for another method', {}, '<sip:1@x;method=BYE>', 400, /refer_to_invalid/],
    ['for another scheme', {}, '<https://x.example/>', 400, /refer_to_invalid/],
    ['with Replaces that nobody reads', {}, '<sip:1@x?Replaces=x>', 400, /refer_to_invalid/],
    [
      'with Replaces of no dialog here',
      {},
      '<sip:1@x?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>',
      603,
      /481;text="replaces_unknown"/,
    ],
    [
      'by routing, in words that leave the dialog alone',
      {
        transfer: (wish) => new Draft('r2', { ...wish.request, calledNumber: wish.target }).reject('number_not_found'),
      },
      '<sip:1@x>',
      603,
      /404;text="number_not_found"/,
    ],
  ];
  for (const [what, options, to, status, reason] of cases) {
    t.test(what, async (t) => {
      const { rig, signal, a, b } = talk(options);
      const owed = await refer(b, to);
      t.equal(owed.answers[0]?.status, status);
      t.match(owed.answers[0]?.spec.headers, [['Reason', reason]]);
      t.equal(signal.outgoing.length, 1, 'nobody was called');
      t.equal(rig.state, 'established');
      a.byes();
      b.confirms();
      t.match(rig.record.transfers, [{ outcome: 'refused', sipStatus: status }]);
      whole(t, rig);
    });
  }

  t.test('carriers by default, and whoever asks before the call is up', async (t) => {
    const { rig, a, b } = talk();
    t.equal((await refer(a, '<sip:+919811111111@x>')).answers[0]?.status, 603);
    a.byes();
    b.confirms();
    t.match(rig.record.transfers, [{ referrer: 'caller', carrierId: 'telco-a', reasonCode: 'refer_off' }]);
    const early = new CallRig({ transfer: accept });
    const leg = early.signal.call();
    early.signal.b().progresses(180);
    t.match((await refer(early.signal.b(), '<sip:1@x>')).answers, [{ status: 500 }]);
    leg.cancels();
    early.signal.b().confirmsCancel();
    whole(t, early);
  });

  t.test('a second REFER while one is under way', async (t) => {
    const { rig, signal, a, b } = talk();
    await refer(b, '<sip:+919811111111@x>');
    t.equal((await refer(b, '<sip:+919822222222@x>')).answers[0]?.status, 491);
    b.responds(200);
    signal.b(2).refuses(603);
    b.responds(200);
    a.byes();
    b.confirms();
    t.match(rig.record.transfers, [{ outcome: 'refused', reasonCode: 'refer_not_ready' }, { outcome: 'failed' }]);
    whole(t, rig);
  });
});

t.test('without NOTIFYs where the sender wants none (RFC 4488)', async (t) => {
  const { rig, signal, a, b } = talk();
  const owed = await refer(b, '<sip:+919811111111@x>', [['Refer-Sub', 'false']]);
  t.match(owed.answers, [{ status: 202, spec: { headers: [['Refer-Sub', 'false']] } }]);
  signal.b(2).progresses(180);
  signal.b(2).answers(C);
  a.respondsReinvite(200, A);
  t.notMatch(signal.takeLadder().join('\n'), /NOTIFY/);
  b.confirms();
  a.byes();
  signal.b(2).confirms();
  whole(t, rig);
});

const replacing = (leg: { readonly callId: string }): string =>
  `<sip:+919811111111@x?Replaces=${encodeURIComponent(`${leg.callId};to-tag=lt;from-tag=rt`)}>`;

/** Two inbound calls to the same PBX: A and B1 talk, A2 and B2 talk. */
const twoTalks = (options: RigOptions = {}) => {
  const one = talk(options);
  const { rig, signal } = one;
  const a2 = signal.call({ body: C });
  signal.b(2).answers(B);
  a2.acks();
  signal.takeLadder();
  return { rig, signal, a: one.a, b: one.b, a2, b2: signal.b(2) };
};

t.test('attended', async (t) => {
  t.test(
    'the two far ends are joined, both legs in the middle released, and both calls recorded to the end',
    async (t) => {
      const { rig, signal, a, b, a2, b2 } = twoTalks();
      await refer(b, replacing(b2));
      b.responds(200);
      a2.respondsReinvite(200, C);
      a.respondsReinvite(200, A);
      b.responds(200);
      t.strictSame(short(signal.takeLadder()), [
        'B1 -> REFER',
        'B1 <- 202 (REFER)',
        'B1 <- NOTIFY [SIP/2.0 100 Trying]',
        'A2 <- re-INVITE [A]',
        'B1 -> 200 (NOTIFY)',
        'A2 -> 200 (re-INVITE) [C]',
        'A2 <- ACK (re-INVITE)',
        'A <- re-INVITE [C]',
        'A -> 200 (re-INVITE) [A]',
        'A <- ACK (re-INVITE)',
        'B2 <- BYE',
        'B1 <- NOTIFY [SIP/2.0 200 OK]',
        'B1 -> 200 (NOTIFY)',
        'B1 <- BYE',
      ]);
      b.confirms();
      b2.confirms();
      t.equal(rig.service.registry.size, 2, 'both calls go on');
      a2.asks('INFO', { body: 'x' });
      a.responds(200);
      rig.clock.advance(5000);
      signal.takeLadder();
      a2.byes();
      t.strictSame(signal.takeLadder(), ['A2 -> BYE', 'A <- BYE']);
      a.confirms();
      t.equal(rig.recorder.records.length, 2);
      const [first, second] = rig.recorder.records;
      t.match(first, {
        aLegCallId: 'A@fake',
        endedBy: 'callee',
        talkMs: 5000,
        transfers: [{ kind: 'attended', referrer: 'callee', otherCallId: second?.callId, outcome: 'completed' }],
      });
      t.match(second, {
        aLegCallId: 'A2@fake',
        endedBy: 'caller',
        talkMs: 5000,
        transfers: [{ otherCallId: first?.callId }],
      });
      whole(t, rig);
    },
  );

  t.test('the middle may hang up both its legs at once', async (t) => {
    const { rig, signal, a, b, a2, b2 } = twoTalks();
    await refer(b, replacing(b2));
    b.byes();
    b2.byes();
    a2.respondsReinvite(200, C);
    a.respondsReinvite(200, A);
    t.notMatch(signal.takeLadder().join('\n'), /A2? <- BYE/);
    a.byes();
    a2.confirms();
    t.match(rig.recorder.records, [
      { transfers: [{ outcome: 'completed' }] },
      { transfers: [{ outcome: 'completed' }] },
    ]);
    whole(t, rig);
  });

  t.test('where one end refuses, both calls are as before; the other end gets back what it had', async (t) => {
    const { rig, signal, a, b, a2, b2 } = twoTalks();
    await refer(b, replacing(b2));
    b.responds(200);
    a2.respondsReinvite(200, C);
    signal.takeLadder();
    a.respondsReinvite(488);
    t.match(
      signal.takeLadder().map((line) => line.split('\r\n')[0]),
      ['A -> 488 (re-INVITE)', 'A2 <- re-INVITE [v=0', 'B1 <- NOTIFY [SIP/2.0 488 Not Acceptable Here'],
    );
    t.match(a2.reinvites[0]?.spec.body?.toString(), /127\.0\.33\.2/, 'what the PBX had told it');
    a2.respondsReinvite(200, C);
    b.responds(200);
    a.byes();
    b.confirms();
    b2.byes();
    a2.confirms();
    t.match(rig.recorder.records, [{ transfers: [{ outcome: 'failed', sipStatus: 488 }] }, { endedBy: 'callee' }]);
    whole(t, rig);
  });

  t.test('an end that refuses at once changes nothing', async (t) => {
    const { rig, signal, a, b, a2, b2 } = twoTalks();
    await refer(b, replacing(b2));
    b.responds(200);
    signal.takeLadder();
    a2.respondsReinvite(500);
    t.match(signal.takeLadder(), ['A2 -> 500 (re-INVITE)', /B1 <- NOTIFY \[SIP\/2.0 488/]);
    b.responds(200);
    b2.byes();
    a2.confirms();
    b.byes();
    a.confirms();
    whole(t, rig);
  });

  t.test('one end goes while they are being joined', async (t) => {
    const { rig, signal, a, b, a2, b2 } = twoTalks();
    await refer(b, replacing(b2));
    b.responds(200);
    a2.respondsReinvite(200, C);
    signal.takeLadder();
    a2.byes();
    t.match(
      short(signal.takeLadder()),
      ['A2 -> BYE', /B1 <- NOTIFY \[SIP\/2.0 480/, 'B2 <- BYE'].filter(() => true),
    );
    b.responds(200);
    b2.confirms();
    a.respondsReinvite(200, A);
    t.strictSame(short(signal.takeLadder()).slice(-1), ['A <- re-INVITE [B]'], 'and A gets back what it had');
    a.respondsReinvite(200, A);
    a.byes();
    b.confirms();
    whole(t, rig);
  });

  t.test("a dialog of somebody else's is not there for the asking", async (t) => {
    const { rig, a, b, a2, b2 } = twoTalks({
      decide: (request) => {
        const draft = new Draft('r1', request);
        draft.direction = 'inbound';
        draft.mode = 'pstn';
        draft.trunkSid = request.callerNumber === '+919820000000' ? 'trk_one' : 'trk_two';
        draft.destinations = [{ uri: 'sip:1@192.0.2.1', gateway: '192.0.2.1', priority: 0, weight: 1 }];
        return draft.accept();
      },
    });
    const other = await refer(b, replacing(a2));
    t.match(other.answers, [{ status: 403, spec: { headers: [['Reason', /replaces_not_allowed/]] } }]);
    t.match((await refer(b, replacing(a))).answers, [{ status: 403 }], 'its own peer least of all');
    a.byes();
    b.confirms();
    a2.byes();
    b2.confirms();
    whole(t, rig);
  });
});

/** The PBX's switchboard takes the place of B1. */
const newcomer = (signal: FakeSignal, body: string, named = 'B1@fake;to-tag=lt;from-tag=rt', host = '127.0.20.20') =>
  signal.call({
    body,
    source: { transport: 'udp', address: host, port: 5060 },
    headers: [
      ['Replaces', named],
      ['Require', 'replaces'],
    ],
  });

t.test('INVITE with Replaces', async (t) => {
  t.test(
    'the other end is offered its media, then the one who is replaced leaves; both calls have a record',
    async (t) => {
      const { rig, signal, a, b } = talk();
      const z = newcomer(signal, C);
      a.respondsReinvite(200, A);
      t.equal(rig.state, 'transferring');
      z.acks();
      t.strictSame(short(signal.takeLadder()), [
        'A2 -> INVITE [C]',
        'A <- re-INVITE [C]',
        'A -> 200 (re-INVITE) [A]',
        'A <- ACK (re-INVITE)',
        'A2 <- 200 [A]',
        'A2 -> ACK',
        'B1 <- BYE',
      ]);
      b.confirms();
      z.asks('INFO');
      a.responds(200);
      const hold = a.reinvitesWith('hold');
      z.respondsReinvite(200, 'held');
      hold.acks();
      t.equal(signal.takeLadder().filter((line) => line.startsWith('B1')).length, 1);
      rig.clock.advance(3000);
      z.byes();
      a.confirms();
      const [first, second] = rig.recorder.records;
      t.match(first, {
        endedBy: 'callee',
        transfers: [{ kind: 'replaced', referrer: 'callee', otherCallId: second?.callId, outcome: 'completed' }],
      });
      t.match(second, { outcome: 'answered', trunkSid: 'trk_demo', destination: null, charge: null, talkMs: 3000 });
      whole(t, rig);
    },
  );

  t.test('without an offer of its own, it answers that of the other end', async (t) => {
    const { rig, signal, a, b } = talk();
    const z = newcomer(signal, '');
    a.respondsReinvite(200, A);
    z.acks(C);
    t.strictSame(short(signal.takeLadder()).slice(1), [
      'A <- re-INVITE',
      'A -> 200 (re-INVITE) [A]',
      'A2 <- 200 [A]',
      'A2 -> ACK [C]',
      'A <- ACK (re-INVITE) [C]',
      'B1 <- BYE',
    ]);
    b.confirms();
    rig.service.registry.hangUpAll({ sipStatus: 503, reasonCode: 'drain_limit', q850: 41 });
    a.confirms();
    z.confirms();
    t.match(rig.recorder.records, [{ reasonCode: 'drain_limit' }, { reasonCode: 'drain_limit' }]);
    whole(t, rig);
  });

  t.test('the other end refuses, or the newcomer gives up: all as before', async (t) => {
    const { rig, signal, a, b } = talk();
    const refused = newcomer(signal, C);
    a.respondsReinvite(488);
    t.equal(refused.rejected?.status, 488);
    const gone = newcomer(signal, C);
    gone.cancels();
    signal.takeLadder();
    a.respondsReinvite(200, A);
    t.strictSame(short(signal.takeLadder()).slice(-2), ['A <- ACK (re-INVITE)', 'A <- re-INVITE [B]']);
    a.respondsReinvite(200, A);
    const silent = newcomer(signal, C);
    a.respondsReinvite(200, A);
    silent.ends({ kind: 'ack_timeout' });
    a.respondsReinvite(200, A);
    t.equal(rig.state, 'established');
    b.byes();
    a.confirms();
    t.match(rig.recorder.records, [
      { outcome: 'rejected', sipStatus: 488 },
      { outcome: 'cancelled' },
      { reasonCode: 'ack_timeout' },
      { outcome: 'answered', transfers: [{ sipStatus: 488 }, { sipStatus: 487 }, { sipStatus: 487 }] },
    ]);
    whole(t, rig);
  });

  t.test('an end goes meanwhile', async (t) => {
    for (const answered of [false, true]) {
      const { rig, signal, a, b } = talk();
      const z = newcomer(signal, C);
      if (answered) a.respondsReinvite(200, A);
      a.byes();
      b.confirms();
      if (answered) {
        t.notOk(z.byeSent, 'BYE waits for its ACK');
        z.acks();
        z.confirms();
      } else t.equal(z.rejected?.status, 480);
      t.equal(rig.recorder.records.length, 2);
      whole(t, rig);
    }
    const { rig, signal, a, b } = talk();
    const z = newcomer(signal, C);
    b.byes();
    a.respondsReinvite(200, A);
    z.acks();
    t.equal(rig.state, 'established', 'who is replaced may leave before');
    z.byes();
    a.confirms();
    whole(t, rig);
  });

  t.test('refused: what is not there, not theirs, or not to be had', async (t) => {
    const cases: readonly [string, RigOptions, string | undefined, string | undefined, number, RegExp][] = [
      ['unknown', {}, 'x;to-tag=lt;from-tag=rt', undefined, 481, /replaces_unknown/],
      ['tags the wrong way round', {}, 'B1@fake;to-tag=rt;from-tag=lt', undefined, 481, /replaces_unknown/],
      ['unreadable', {}, 'B1@fake', undefined, 400, /replaces_invalid/],
      ['of another trunk', {}, undefined, '127.0.20.99', 403, /replaces_not_allowed/],
      ["a carrier's leg", {}, 'A@fake;to-tag=lt;from-tag=rt', undefined, 403, /replaces_not_allowed/],
      ['where transfers are off', { calleeSip: { refer: 'off' } }, undefined, undefined, 403, /replaces_not_allowed/],
      ['early only', {}, 'B1@fake;to-tag=lt;from-tag=rt;early-only', undefined, 486, /replaces_confirmed/],
    ];
    for (const [what, options, named, host, status, reason] of cases) {
      const { rig, signal, a, b } = talk(options);
      const z = newcomer(signal, C, named, host);
      t.equal(z.rejected?.status, status, what);
      t.match(z.rejected?.spec.headers, [['Reason', reason]], what);
      t.equal(a.reinvites.length, 0, what);
      a.byes();
      b.confirms();
      t.match(rig.recorder.records[0], { outcome: 'rejected', sipStatus: status }, what);
      whole(t, rig);
    }
    const ringing = new CallRig();
    const caller = ringing.signal.call();
    ringing.signal.b(1).progresses(183, C);
    const early = newcomer(ringing.signal, C, 'A@fake;to-tag=lt;from-tag=rt');
    t.equal(early.rejected?.status, 481, 'RFC 3891 §3: an early dialog that is not of our making; the call rings on');
    t.match(early.rejected?.spec.headers, [['Reason', /replaces_unknown/]]);
    ringing.signal.b(1).answers(C);
    t.ok(caller.answered);
    caller.acks();
    caller.byes();
    ringing.signal.b(1).confirms();
    whole(t, ringing);
    const { rig, signal, a, b } = talk();
    const first = newcomer(signal, C);
    t.equal(newcomer(signal, C).rejected?.status, 491, 'a second one at the same time');
    first.cancels();
    a.respondsReinvite(491);
    a.byes();
    b.confirms();
    whole(t, rig);
  });
});

t.test('relay: REFER, its answer and NOTIFYs cross', async (t) => {
  const { rig, signal, a, b } = talk({ calleeSip: { refer: 'relay' } });
  const owed = await refer(b, '<sip:+919811111111@127.0.33.9:33000;user=phone?X=1>', [['Refer-Sub', 'false']]);
  t.match(a.pending[0]?.spec, { method: 'REFER' });
  const headers = a.pending[0]?.spec.headers ?? [];
  t.strictSame(headers.find(([name]) => name === 'Refer-To')?.[1], '<sip:+919811111111@localhost;user=phone?X=1>');
  a.responds(202, {
    headers: [
      ['CSeq', '31 REFER'],
      ['Refer-Sub', 'false'],
    ],
  });
  t.match(owed.answers, [{ status: 202, spec: { headers: [['Refer-Sub', 'false']] } }]);
  a.asks('NOTIFY', {
    headers: [
      ['Event', 'refer;id=31'],
      ['Subscription-State', 'active;expires=60'],
    ],
    body: 'SIP/2.0 100 Trying',
    contentType: 'message/sipfrag',
  });
  t.strictSame(b.pending[0]?.spec.headers, [
    ['Event', 'refer;id=7'],
    ['Subscription-State', 'active;expires=60'],
  ]);
  t.equal(b.pending[0]?.spec.body?.toString(), 'SIP/2.0 100 Trying');
  b.responds(200);
  b.byes();
  a.confirms();
  t.match(rig.record.transfers, [{ kind: 'relayed', outcome: 'passed_on', sipStatus: 202 }]);
  t.equal(signal.outgoing.length, 1);
  whole(t, rig);
});

t.test('the table of a transfer: what is over stays over, and nothing waits for what cannot come', async (t) => {
  const states = Object.keys(TRANSFER_TABLE) as TransferState[];
  const events = Object.keys(TRANSFER_TABLE.reaching) as TransferEvent[];
  const order: readonly TransferState[] = ['reaching', 'connecting', 'settling', 'completed', 'failed'];
  for (const state of states) {
    for (const event of events) {
      const { action, to } = TRANSFER_TABLE[state][event];
      const over = state === 'completed' || state === 'failed';
      if (over) t.strictSame({ action, to }, { action: 'ignore', to: undefined }, `${state} x ${event}`);
      if (to !== undefined) t.ok(order.indexOf(to) > order.indexOf(state), `${state} x ${event} goes forward`);
      if (!over && /_gone$|hang_up/.test(event) && event !== 'referrer_gone')
        t.equal(to, 'failed', `${state} x ${event}`);
    }
  }
});
