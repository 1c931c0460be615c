import t from 'tap';
import { CallRig } from '../support/callRig.js';

const TWO = ['192.0.2.1', '192.0.2.2'];

t.test('an answered call', async (t) => {
  t.test('early offer: B is acknowledged at once, SDP crosses untouched, BYE carries its Reason across', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    signal.b().tries();
    rig.clock.advance(100);
    signal.b().progresses(180);
    rig.clock.advance(900);
    signal.b().answers();
    a.acks();
    t.equal(rig.state, 'established');
    rig.clock.advance(5000);
    a.byes([['Reason', 'Q.850;cause=16;text="bye"']]);
    t.equal(rig.state, 'releasing');
    signal.b().confirms();
    t.strictSame(signal.ladder, [
      'A -> INVITE [offer]',
      'B1 <- INVITE [offer]',
      'B1 -> 100',
      'B1 -> 180',
      'A <- 180',
      'B1 -> 200 [answer]',
      'B1 <- ACK',
      'A <- 200 [answer]',
      'A -> ACK',
      'A -> BYE',
      'B1 <- BYE {Q.850;cause=16;text="bye"}',
      'B1 -> 200 (BYE)',
    ]);
    t.match(rig.record, {
      outcome: 'answered',
      endedBy: 'caller',
      sipStatus: 200,
      q850: 16,
      reasonCode: 'normal_clearing',
      setupMs: 1000,
      ringMs: 900,
      talkMs: 5000,
      attempts: [{ result: 'answered', sipStatus: 200, durationMs: 1000 }],
    });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('late offer: B makes the offer, and its ACK waits for the answer in the ACK of A', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call({ body: '' });
    signal.b().answers('B offer');
    a.acks('A answer');
    signal.b().byes();
    a.confirms();
    t.strictSame(signal.ladder, [
      'A -> INVITE',
      'B1 <- INVITE',
      'B1 -> 200 [B offer]',
      'A <- 200 [B offer]',
      'A -> ACK [A answer]',
      'B1 <- ACK [A answer]',
      'B1 -> BYE',
      'A <- BYE',
      'A -> 200 (BYE)',
    ]);
    t.match(rig.record, { outcome: 'answered', endedBy: 'callee' });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('late offer that A never acknowledges: B gets ACK and BYE, nothing hangs', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call({ body: '' });
    signal.b().answers('B offer');
    signal.takeLadder();
    rig.clock.advance(32_000);
    a.ends({ kind: 'ack_timeout' });
    signal.b().confirms();
    t.strictSame(signal.ladder, ['B1 <- ACK', 'B1 <- BYE {SIP;cause=408;text="ACK timeout"}', 'B1 -> 200 (BYE)']);
    t.match(rig.record, { outcome: 'failed', endedBy: 'carrier', reasonCode: 'ack_timeout', q850: 102 });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('B hangs up before the ACK of A: the BYE to A waits for it', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    signal.b().answers();
    signal.takeLadder();
    signal.b().byes();
    t.equal(rig.state, 'releasing');
    t.strictSame(signal.takeLadder(), ['B1 -> BYE']);
    a.acks();
    t.strictSame(signal.takeLadder(), ['A -> ACK', 'A <- BYE']);
    a.confirms();
    t.strictSame(rig.leftovers(), []);
  });

  t.test('an answer that came only in an early 183 is in the 200, too', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    signal.b().progresses(183, 'early answer');
    signal.b().answers('');
    t.equal(a.answered?.body?.toString(), 'early answer');
    a.acks();
    a.byes();
    signal.b().confirms();
    t.strictSame(rig.leftovers(), []);
  });

  t.test('bodies and types cross byte by byte', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const bytes = Buffer.from([0, 255, 13, 10, 0xc3, 0x28]);
    const a = signal.call({ body: bytes, contentType: 'multipart/mixed;boundary="x y"' });
    t.ok(signal.b().spec.body?.equals(bytes));
    t.equal(signal.b().spec.contentType, 'multipart/mixed;boundary="x y"');
    signal.b().answers('v=0', { contentType: 'application/sdp;q=1' });
    t.equal(a.answered?.contentType, 'application/sdp;q=1');
  });

  t.test('a call ends at its longest duration, for both', async (t) => {
    const rig = new CallRig({ settings: { maxCallMs: 60_000 } });
    const { signal } = rig;
    const a = signal.call();
    signal.b().answers();
    a.acks();
    signal.takeLadder();
    rig.clock.advance(60_000);
    t.strictSame(signal.takeLadder(), [
      'B1 <- BYE {SIP;cause=408;text="max_duration" | Q.850;cause=102}',
      'A <- BYE {SIP;cause=408;text="max_duration" | Q.850;cause=102}',
    ]);
    a.confirms();
    signal.b().confirms();
    t.match(rig.record, { outcome: 'answered', endedBy: 'tandem', reasonCode: 'max_duration', talkMs: 60_000 });
    t.strictSame(rig.leftovers(), []);
  });
});

t.test('progress', async (t) => {
  t.test('keeps its order, whatever mix of 180, 183 and 181 comes; 199 stays behind', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    signal.b().progresses(181);
    signal.b().progresses(180);
    signal.b().progresses(199);
    signal.b().progresses(183, 'early', { headers: [['P-Early-Media', 'sendrecv']] });
    signal.b().progresses(180);
    t.strictSame(
      a.sent1xx.map(({ status, spec }) => `${status}${spec.body?.toString() ?? ''}`),
      ['181', '180', '183early', '180'],
    );
    t.strictSame(a.sent1xx[2]?.spec.headers, [['P-Early-Media', 'sendrecv']]);
    t.equal(rig.state, 'early_media');
    t.equal(rig.eventTypes().filter((type) => type === 'call_ringing').length, 1);
    a.cancels();
    signal.b().confirmsCancel();
    t.strictSame(rig.leftovers(), []);
  });
});

t.test('failover', async (t) => {
  t.test('503, then an answer: attempts are numbered and recorded one by one', async (t) => {
    const rig = new CallRig({ destinations: TWO });
    const { signal } = rig;
    const a = signal.call();
    signal.b(1).refuses(503);
    signal.b(2).answers();
    a.acks();
    a.byes();
    signal.b(2).confirms();
    t.strictSame(signal.takeLadder().slice(0, 5), [
      'A -> INVITE [offer]',
      'B1 <- INVITE [offer]',
      'B1 -> 503',
      'B2 <- INVITE [offer]',
      'B2 -> 200 [answer]',
    ]);
    t.match(rig.record.attempts, [
      { uri: 'sip:+918040000001@192.0.2.1', result: 'response', sipStatus: 503 },
      { uri: 'sip:+918040000001@192.0.2.2', result: 'answered', sipStatus: 200 },
    ]);
    t.match(rig.record, { bLegCallId: 'B2@fake', destination: 'sip:+918040000001@192.0.2.2' });
    t.strictSame(rig.leftovers(), []);
  });

  t.test(
    'a carrier that is full is passed over, and the record says so; when all are, the caller may come back',
    async (t) => {
      const rig = new CallRig({
        destinations: TWO,
        enter: ({ gateway }) => (gateway === TWO[0] ? 'carrier_concurrent_calls' : undefined),
      });
      const a = rig.signal.call();
      rig.signal.b(1).answers();
      a.acks();
      a.byes();
      rig.signal.b(1).confirms();
      t.match(rig.record, {
        outcome: 'answered',
        destination: `sip:+918040000001@${TWO[1]}`,
        attempts: [{ result: 'carrier_concurrent_calls', sipStatus: 0, durationMs: 0 }, { result: 'answered' }],
      });
      t.strictSame(rig.leftovers(), []);

      const full = new CallRig({ destinations: TWO, enter: () => 'carrier_calls_per_second' });
      full.signal.call();
      t.match(full.signal.ladder, ['A -> INVITE [offer]', /^A <- 503 /]);
      t.match(full.record, {
        outcome: 'rejected',
        endedBy: 'tandem',
        sipStatus: 503,
        reasonCode: 'carrier_calls_per_second',
        destination: null,
      });
      t.strictSame(full.leftovers(), []);
    },
  );

  t.test('silence for three seconds: CANCEL, next, and a late answer of the silent one is nobody’s', async (t) => {
    const rig = new CallRig({ destinations: TWO });
    const { signal } = rig;
    const a = signal.call();
    rig.clock.advance(2999);
    t.equal(signal.outgoing.length, 1);
    rig.clock.advance(1);
    t.equal(signal.outgoing.length, 2);
    t.strictSame(signal.b(1).cancelHeaders, [['Reason', 'SIP;cause=408;text="No response"']]);
    signal.b(2).answers();
    signal.b(1).confirmsCancel();
    a.acks();
    a.byes();
    signal.b(2).confirms();
    t.match(rig.record.attempts, [{ result: 'silence', sipStatus: 0, durationMs: 3000 }, { result: 'answered' }]);
    t.strictSame(rig.leftovers(), []);
  });

  t.test('100 Trying ends the silence; a port that does not report it gets the ring timeout only', async (t) => {
    for (const reportsTrying of [true, false]) {
      const rig = new CallRig({ destinations: TWO, reportsTrying });
      rig.signal.call();
      if (reportsTrying) rig.signal.b(1).tries();
      rig.clock.advance(59_999);
      t.equal(rig.signal.outgoing.length, 1);
      rig.clock.advance(1);
      t.equal(rig.signal.outgoing.length, 2);
      t.match(
        rig.events.find((event) => event.type === 'attempt_ended'),
        { record: { result: 'ring_timeout' } },
      );
    }
  });

  t.test('nobody answers the phone: 480 to the caller, outcome no_answer', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    signal.b().progresses(180);
    rig.clock.advance(60_000);
    t.equal(a.rejected?.status, 480);
    t.strictSame(signal.b().cancelHeaders, [['Reason', 'Q.850;cause=19;text="No answer"']]);
    signal.b().confirmsCancel();
    t.match(rig.record, { outcome: 'no_answer', endedBy: 'callee', reasonCode: 'no_answer', sipStatus: 480 });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('a decline is not asked elsewhere; code, phrase and headers reach the caller', async (t) => {
    const rig = new CallRig({ destinations: TWO });
    const { signal } = rig;
    const a = signal.call();
    signal.b().refuses(486, {
      reason: 'On the other line',
      headers: [
        ['Reason', 'Q.850;cause=17'],
        ['Retry-After', '30'],
        ['Warning', '399 inside.example "x"'],
        ['Server', 'pbx'],
      ],
    });
    t.equal(signal.outgoing.length, 1);
    t.match(a.rejected, {
      status: 486,
      spec: {
        reason: 'On the other line',
        headers: [
          ['Reason', 'Q.850;cause=17'],
          ['Retry-After', '30'],
        ],
      },
    });
    t.equal(a.rejected?.spec.headers?.length, 2);
    t.match(rig.record, { outcome: 'busy', endedBy: 'callee', sipStatus: 486, q850: 17, reasonCode: 'callee_busy' });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('all fail: the caller hears the last that a destination said, not the last that failed', async (t) => {
    const rig = new CallRig({ destinations: ['192.0.2.1', '192.0.2.2', '192.0.2.3'] });
    const { signal } = rig;
    const a = signal.call();
    signal.b(1).fails({ kind: 'unresolved_host', code: 'ENOTFOUND' });
    signal.b(2).refuses(500, { reason: 'Oops' });
    signal.b(3).fails({ kind: 'transport_error', code: 'ECONNREFUSED' });
    t.match(a.rejected, { status: 500, spec: { reason: 'Oops' } });
    t.strictSame(
      rig.record.attempts.map(({ result }) => result),
      ['unresolved_host', 'response', 'transport_error'],
    );
    t.match(rig.record, { outcome: 'failed', reasonCode: 'destination_5xx' });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('nothing reachable: 503 with the reason', async (t) => {
    const rig = new CallRig({ direction: 'outbound' });
    const { signal } = rig;
    const a = signal.call();
    signal.b().fails({ kind: 'transport_error', code: 'ECONNREFUSED' });
    t.match(a.rejected, {
      status: 503,
      spec: { headers: [['Reason', 'SIP;cause=503;text="destination_unreachable"']] },
    });
    t.match(rig.record, { outcome: 'failed', endedBy: 'carrier', reasonCode: 'destination_unreachable' });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('never after early media: the failure is the call’s', async (t) => {
    const rig = new CallRig({ destinations: TWO });
    const { signal } = rig;
    const a = signal.call();
    signal.b().progresses(183, 'early');
    signal.b().refuses(503);
    t.equal(a.rejected?.status, 503);
    t.equal(signal.outgoing.length, 1);
    t.strictSame(rig.leftovers(), []);
  });

  t.test('goes on after ringing without media, and A hears the second ring, too', async (t) => {
    const rig = new CallRig({ destinations: TWO });
    const { signal } = rig;
    const a = signal.call();
    signal.b(1).progresses(180);
    signal.b(1).refuses(480);
    signal.b(2).progresses(180);
    t.equal(a.sent1xx.length, 2);
    a.cancels();
    signal.b(2).confirmsCancel();
    t.match(rig.record, { outcome: 'cancelled', endedBy: 'caller', reasonCode: 'caller_cancelled', sipStatus: 487 });
    t.strictSame(rig.leftovers(), []);
  });

  for (const [status, told] of [
    [302, 480],
    [401, 403],
    [407, 403],
    [487, 480],
  ] as const) {
    t.test(`${status} of a destination is told as ${told}, without its headers`, async (t) => {
      const rig = new CallRig();
      const { signal } = rig;
      const a = signal.call();
      signal.b().refuses(status, {
        headers: [
          ['Contact', '<sip:10.0.0.1>'],
          ['WWW-Authenticate', 'Digest x'],
        ],
      });
      t.equal(a.rejected?.status, told);
      t.strictSame(
        a.rejected?.spec.headers?.map(([name]) => name),
        ['Reason'],
      );
      t.equal(rig.record.attempts[0]?.sipStatus, status);
      t.strictSame(rig.leftovers(), []);
    });
  }

  t.test('a trunk’s policy outranks the default, with rewriting', async (t) => {
    const rig = new CallRig({ destinations: TWO, failover: { '486': 'next', '5xx': { rewrite: 480 } } });
    const { signal } = rig;
    const a = signal.call();
    signal.b(1).refuses(486);
    signal.b(2).refuses(503);
    t.equal(a.rejected?.status, 480);
    t.strictSame(rig.leftovers(), []);
  });
});

t.test('the caller gives up', async (t) => {
  t.test('CANCEL carries its Reason across, and nobody else is called', async (t) => {
    const rig = new CallRig({ destinations: TWO });
    const { signal } = rig;
    const a = signal.call();
    signal.b().progresses(180);
    a.cancels([['Reason', 'SIP;cause=200;text="Call completed elsewhere"']]);
    t.strictSame(signal.b().cancelHeaders, [['Reason', 'SIP;cause=200;text="Call completed elsewhere"']]);
    signal.b().confirmsCancel();
    t.equal(signal.outgoing.length, 1);
    t.match(rig.record, { outcome: 'cancelled', attempts: [{ result: 'cancelled', sipStatus: 180 }] });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('a CANCEL that crosses our 200: B has answered and gets BYE', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    signal.b().answers();
    a.cancels();
    signal.b().confirms();
    t.strictSame(signal.takeLadder().slice(-3), ['A -> CANCEL', 'B1 <- BYE', 'B1 -> 200 (BYE)']);
    t.match(rig.record, { outcome: 'cancelled', endedBy: 'caller' });
    t.strictSame(rig.leftovers(), []);
  });

  t.test('an answer after CANCEL is acknowledged and released, should a port deliver it', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    a.cancels();
    signal.b().cancelSent = false;
    signal.b().answers();
    signal.b().confirms();
    t.equal(a.answered, undefined);
    t.match(rig.record, { outcome: 'cancelled' });
    t.strictSame(rig.leftovers(), []);
  });
});

t.test('a leg dies', async (t) => {
  for (const [kind, reason] of [
    ['dialog_lost', 'SIP;cause=481;text="Other leg lost"'],
    ['engine_lost', 'SIP;cause=503;text="Signalling lost"'],
  ] as const) {
    t.test(`${kind} of either leg ends the other`, async (t) => {
      for (const side of ['a', 'b'] as const) {
        const rig = new CallRig();
        const { signal } = rig;
        const a = signal.call();
        signal.b().answers();
        a.acks();
        signal.takeLadder();
        const [dead, other] = side === 'a' ? [a, signal.b()] : [signal.b(), a];
        dead.ends(kind === 'dialog_lost' ? { kind, status: undefined } : { kind });
        t.strictSame(signal.takeLadder(), [`${other.id} <- BYE {${reason}}`]);
        other.confirms();
        t.match(rig.record, { outcome: 'answered', q850: 41 });
        t.strictSame(rig.leftovers(), []);
      }
    });
  }

  t.test('a leg that never confirms is forgotten after a bound, and the event says so', async (t) => {
    const rig = new CallRig({ settings: { releaseTimeoutMs: 40_000 } });
    const { signal } = rig;
    const a = signal.call();
    signal.b().answers();
    a.acks();
    a.byes();
    t.equal(rig.recorder.records.length, 1, 'the record does not wait for it');
    rig.clock.advance(39_999);
    t.equal(rig.service.registry.size, 1);
    rig.clock.advance(1);
    t.match(rig.events.at(-1), { type: 'call_released', abandonedLegs: 1 });
    t.strictSame(rig.leftovers(), []);
  });
});

t.test('requests within the call', async (t) => {
  const established = (): { rig: CallRig; a: ReturnType<CallRig['signal']['call']> } => {
    const rig = new CallRig();
    const a = rig.signal.call();
    rig.signal.b().answers();
    a.acks();
    rig.signal.takeLadder();
    return { rig, a };
  };

  t.test('INFO, UPDATE, MESSAGE, NOTIFY and SUBSCRIBE cross, and so does the answer', async (t) => {
    for (const method of ['INFO', 'UPDATE', 'MESSAGE', 'NOTIFY', 'SUBSCRIBE']) {
      const { rig, a } = established();
      const owed = a.asks(method, { body: 'question', contentType: 'application/dtmf-relay' });
      t.equal(rig.signal.b().pending[0]?.spec.contentType, 'application/dtmf-relay');
      rig.signal.b().responds(202, { reason: 'Later', body: 'reply', contentType: 'text/plain' });
      t.match(owed.answers, [{ status: 202, spec: { reason: 'Later', contentType: 'text/plain' } }]);
      rig.signal.b().asks(method);
      a.responds(407);
      t.ok(rig.signal.ladder.includes(`B1 <- 403 (${method})`), 'a challenge does not cross');
    }
  });

  t.test('REFER is declined, OPTIONS and PRACK are answered here', async (t) => {
    const { rig, a } = established();
    t.equal(a.asks('REFER').answers[0]?.status, 603);
    t.equal(a.asks('OPTIONS').answers[0]?.status, 200);
    t.equal(rig.signal.b().asks('PRACK').answers[0]?.status, 200);
    t.equal(rig.signal.b().pending.length, 0);
  });

  t.test('a request that is pending when the call ends is answered 487', async (t) => {
    const { rig, a } = established();
    const owed = rig.signal.b().asks('INFO');
    a.byes();
    t.equal(owed.answers[0]?.status, 487);
    rig.signal.b().confirms();
    t.strictSame(rig.leftovers(), []);
  });

  t.test('INFO crosses during early media, UPDATE before any progress is put off', async (t) => {
    const rig = new CallRig();
    const a = rig.signal.call();
    const early = a.asks('UPDATE');
    t.equal(early.answers[0]?.status, 500);
    t.equal(early.answers[0]?.spec.headers?.[0]?.[0], 'Retry-After');
    rig.signal.b().progresses(183, 'early');
    const owed = a.asks('INFO');
    rig.signal.b().responds(200);
    t.equal(owed.answers[0]?.status, 200);
  });

  t.test('hold: re-INVITE and its answer cross, byte for byte, from either side', async (t) => {
    const { rig, a } = established();
    const hold = a.reinvitesWith('a=sendonly');
    rig.signal.b().respondsReinvite(200, 'a=recvonly');
    hold.acks();
    const resume = rig.signal.b().reinvitesWith('a=sendrecv');
    a.respondsReinvite(200, 'a=sendrecv');
    resume.acks();
    t.strictSame(rig.signal.takeLadder(), [
      'A -> re-INVITE [a=sendonly]',
      'B1 <- re-INVITE [a=sendonly]',
      'B1 -> 200 (re-INVITE) [a=recvonly]',
      'B1 <- ACK (re-INVITE)',
      'A <- 200 (re-INVITE) [a=recvonly]',
      'A -> ACK (re-INVITE)',
      'B1 -> re-INVITE [a=sendrecv]',
      'A <- re-INVITE [a=sendrecv]',
      'A -> 200 (re-INVITE) [a=sendrecv]',
      'A <- ACK (re-INVITE)',
      'B1 <- 200 (re-INVITE) [a=sendrecv]',
      'B1 -> ACK (re-INVITE)',
    ]);
  });

  t.test('late offer re-INVITE: the ACK body crosses', async (t) => {
    const { rig, a } = established();
    const reinvite = a.reinvitesWith();
    rig.signal.b().respondsReinvite(200, 'B offer');
    reinvite.acks('A answer');
    t.strictSame(rig.signal.takeLadder(), [
      'A -> re-INVITE',
      'B1 <- re-INVITE',
      'B1 -> 200 (re-INVITE) [B offer]',
      'A <- 200 (re-INVITE) [B offer]',
      'A -> ACK (re-INVITE) [A answer]',
      'B1 <- ACK (re-INVITE) [A answer]',
    ]);
  });

  t.test(
    'glare: 491 to the later side, 500 with Retry-After to an impatient one, and 491 of a peer crosses',
    async (t) => {
      const { rig, a } = established();
      const first = a.reinvitesWith('1');
      const other = rig.signal.b().reinvitesWith('2');
      t.equal(other.owed.answers[0]?.status, 491);
      const again = a.reinvitesWith('3');
      t.equal(again.owed.answers[0]?.status, 500);
      t.match(again.owed.answers[0]?.spec.headers, [['Retry-After', /^\d+$/]]);
      const update = rig.signal.b().asks('UPDATE', { body: 'offer' });
      t.equal(update.answers[0]?.status, 491);
      rig.signal.b().respondsReinvite(491);
      t.equal(first.owed.answers[0]?.status, 491);
      t.equal(rig.signal.b().reinvitesWith('4').owed.answers.length, 0, 'and the way is free again');
    },
  );

  t.test('a failed, lost or timed-out re-INVITE leaves the call up', async (t) => {
    const { rig, a } = established();
    for (const [outcome, status] of [
      [488, 488],
      [{ kind: 'timeout' }, 504],
      [{ kind: 'transport_error', code: 'x' }, 502],
    ] as const) {
      const reinvite = a.reinvitesWith('offer');
      rig.signal.b().respondsReinvite(outcome);
      t.equal(reinvite.owed.answers[0]?.status, status);
    }
    t.equal(rig.state, 'established');
  });

  t.test('a withdrawn re-INVITE: the answer is acknowledged, and goes nowhere', async (t) => {
    const { rig, a } = established();
    const reinvite = a.reinvitesWith('offer');
    reinvite.cancels();
    t.equal(a.reinvitesWith('other').owed.answers[0]?.status, 500, 'no second offer until it is settled');
    rig.signal.b().respondsReinvite(200, 'answer');
    t.strictSame(rig.signal.takeLadder().slice(-2), ['B1 -> 200 (re-INVITE) [answer]', 'B1 <- ACK (re-INVITE)']);
    t.equal(a.reinvitesWith('next').owed.answers.length, 0);
  });

  t.test('a re-INVITE before the ACK of A meets 491', async (t) => {
    const rig = new CallRig();
    const a = rig.signal.call();
    rig.signal.b().answers();
    t.equal(rig.signal.b().reinvitesWith('x').owed.answers[0]?.status, 491);
    t.equal(a.reinvitesWith('x').owed.answers[0]?.status, 491);
  });

  t.test('BYE amid a re-INVITE: the pending one gets 487, an owed ACK is sent', async (t) => {
    for (const answered of [false, true]) {
      const { rig, a } = established();
      const reinvite = a.reinvitesWith();
      if (answered) rig.signal.b().respondsReinvite(200, 'B offer');
      rig.signal.b().byes();
      if (!answered) t.equal(reinvite.owed.answers[0]?.status, 487);
      a.confirms();
      t.strictSame(rig.leftovers(), []);
    }
  });
});

t.test('faults', async (t) => {
  t.test('an exception before the answer: 500, CANCEL, one record', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    const poison = { headers: undefined as never };
    Object.defineProperty(poison, 'body', {
      get: () => {
        throw new Error('boom');
      },
    });
    signal.b().sink.onProgress(signal.b(), poison as never);
    t.equal(a.rejected?.status, 500);
    t.ok(signal.b().cancelSent);
    signal.b().confirmsCancel();
    t.match(rig.record, { outcome: 'failed', reasonCode: 'internal_error', endedBy: 'tandem', sipStatus: 500 });
    t.match(rig.leftovers(), ['fault Error: boom']);
    t.equal(rig.leftovers().length, 1);
  });

  t.test('an exception in an established call: both legs get BYE', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    signal.b().answers();
    a.acks();
    a.sink.onRequest(a, null as never);
    t.ok(a.byeSent && signal.b().byeSent);
    a.confirms();
    signal.b().confirms();
    t.match(rig.record, { outcome: 'answered', reasonCode: 'internal_error', endedBy: 'tandem' });
    t.equal(rig.leftovers().length, 1);
  });

  t.test('an exception in the outcome of a relayed request', async (t) => {
    const rig = new CallRig();
    const { signal } = rig;
    const a = signal.call();
    signal.b().answers();
    a.acks();
    a.asks('INFO');
    signal
      .b()
      .pending.shift()
      ?.done({ kind: 'response', message: null as never });
    a.confirms();
    signal.b().confirms();
    t.equal(rig.record.reasonCode, 'internal_error');
    t.equal(rig.leftovers().length, 1);
  });
});
