/** Session timers (RFC 4028): fields, the table, and calls whose ends, or we, keep them up. */
import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { LegTimer } from '../../src/call/bridge/legTimer.js';
import { agreedFields, answerTimer, askedFields, intervalOf } from '../../src/call/bridge/sessionFields.js';
import { TIMER_TABLE, type TimerEvent, type TimerState } from '../../src/call/bridge/sessionTable.js';
import type { SipSettings } from '../../src/call/routing/resources.js';
import type { HeaderEntry } from '../../src/signal/port.js';
import { CallRig, type RigOptions } from '../support/callRig.js';
import { FakeMessage } from '../support/fakeSignal.js';

const message = (...headers: HeaderEntry[]): FakeMessage => new FakeMessage({ headers });
const asks = (expires: string, ...more: HeaderEntry[]): FakeMessage =>
  message(['Supported', 'timer'], ['Session-Expires', expires], ...more);

t.test('Session-Expires is read as far as it makes sense', async (t) => {
  for (const [value, wanted] of [
    ['1800', { seconds: 1800, refresher: undefined }],
    ['1800;refresher=uac', { seconds: 1800, refresher: 'uac' }],
    [' 90 ; x=1 ; Refresher = UAS ', { seconds: 90, refresher: 'uas' }],
    ['1800;refresher=me', { seconds: 1800, refresher: undefined }],
    ['4294967295', { seconds: 86_400, refresher: undefined }],
    ['0', undefined],
    ['', undefined],
    ['soon', undefined],
    ['-5', undefined],
    ['99999999999', undefined],
  ] as const) {
    t.same(intervalOf(message(['Session-Expires', value])), wanted, value);
  }
});

t.test('who refreshes: RFC 4028 table 2, and whose least holds', async (t) => {
  const fields = (invite: FakeMessage, ours: SipSettings['session_timer'] = {}): string => {
    const verdict = answerTimer(invite, ours ?? {});
    return verdict.kind === 'too_small'
      ? `422 ${verdict.least}`
      : agreedFields(verdict)
          .map(([name, value]) => `${name}: ${value}`)
          .join(', ');
  };
  t.equal(fields(message()), '');
  t.equal(fields(message(['Supported', 'timer'])), '', 'never uninvited');
  t.equal(fields(message(['Session-Expires', '600'])), 'Session-Expires: 600;refresher=uas', 'a proxy has asked');
  t.equal(fields(asks('600')), 'Require: timer, Session-Expires: 600;refresher=uac');
  t.equal(fields(asks('600'), { refresher: 'local' }), 'Session-Expires: 600;refresher=uas');
  t.equal(fields(asks('600;refresher=uas')), 'Session-Expires: 600;refresher=uas');
  t.equal(
    fields(asks('600;refresher=uac'), { refresher: 'local' }),
    'Require: timer, Session-Expires: 600;refresher=uac',
  );
  t.equal(fields(asks('80')), '422 90');
  t.equal(fields(asks('600'), { min_se: 900 }), '422 900');
  t.equal(
    fields(message(['Session-Expires', '80'])),
    'Session-Expires: 80;refresher=uas',
    'cannot be told to ask again',
  );
  t.equal(fields(asks('1800'), { expires: 300 }), 'Require: timer, Session-Expires: 300;refresher=uac');
  t.equal(
    fields(asks('1800', ['Min-SE', '400']), { expires: 300 }),
    'Require: timer, Session-Expires: 400;refresher=uac',
  );
  t.equal(fields(asks('200'), { expires: 300 }), 'Require: timer, Session-Expires: 200;refresher=uac');
  t.equal(fields(message(), { expires: 300 }), 'Session-Expires: 300;refresher=uas');
  t.equal(
    fields(message(['Supported', 'timer'], ['Min-SE', '400']), { expires: 300 }),
    'Require: timer, Session-Expires: 400;refresher=uac',
  );
});

t.test('what an INVITE of ours asks for', async (t) => {
  const fields = (ours: NonNullable<SipSettings['session_timer']>, least?: number): string =>
    askedFields(ours, least)
      .map(([name, value]) => `${name}: ${value}`)
      .join(', ');
  t.equal(fields({}), 'Supported: timer');
  t.equal(fields({ expires: 1800 }), 'Supported: timer, Session-Expires: 1800');
  t.equal(
    fields({ expires: 600, min_se: 300, refresher: 'remote' }),
    'Supported: timer, Session-Expires: 600;refresher=uas, Min-SE: 300',
  );
  t.equal(fields({ expires: 600 }, 900), 'Supported: timer, Session-Expires: 900, Min-SE: 900');
});

/** What each event leads to: action and next state. */
const GRID: { readonly [state in TimerState]: { readonly [event in TimerEvent]: string } } = {
  off: {
    ours: 'armRefresh ours',
    theirs: 'armDeadline theirs',
    none: 'disarm off',
    half_time: '-',
    refused: '-',
    deadline: '-',
    over: 'disarm off',
  },
  ours: {
    ours: 'armRefresh ours',
    theirs: 'armDeadline theirs',
    none: 'disarm off',
    half_time: 'refresh refreshing',
    refused: '-',
    deadline: 'expire expired',
    over: 'disarm off',
  },
  refreshing: {
    ours: 'armRefresh ours',
    theirs: 'armDeadline theirs',
    none: 'disarm off',
    half_time: '-',
    refused: 'armRetry ours',
    deadline: 'expire expired',
    over: 'disarm off',
  },
  theirs: {
    ours: 'armRefresh ours',
    theirs: 'armDeadline theirs',
    none: 'disarm off',
    half_time: '-',
    refused: '-',
    deadline: 'expire expired',
    over: 'disarm off',
  },
  expired: { ours: '-', theirs: '-', none: '-', half_time: '-', refused: '-', deadline: '-', over: '-' },
};

/** Events that lead from `off` to a state. */
const WAY: { readonly [state in TimerState]: readonly TimerEvent[] } = {
  off: [],
  ours: ['ours'],
  refreshing: ['ours', 'half_time'],
  theirs: ['theirs'],
  expired: ['theirs', 'deadline'],
};

t.test('every cell of the table, and what it does to the clock', async (t) => {
  for (const [state, row] of Object.entries(TIMER_TABLE) as [TimerState, (typeof TIMER_TABLE)[TimerState]][]) {
    for (const [event, { action, to }] of Object.entries(row) as [TimerEvent, { action: string; to: string }][]) {
      const wanted = GRID[state][event];
      t.equal(action === 'ignore' ? '-' : `${action} ${to}`, wanted, `${state} x ${event}`);
      if (action === 'ignore') t.equal(to, state, `${state} x ${event} stays`);
      const clock = new ManualClock();
      const done: string[] = [];
      const user = { refresh: () => done.push('refresh'), expired: () => done.push('expire') };
      const timer = new LegTimer(clock, new SeededRandom(1), {
        refresh: () => void user.refresh(),
        expired: () => void user.expired(),
      });
      timer.seconds = 300;
      for (const step of WAY[state]) timer.on(step);
      t.equal(timer.state, state);
      done.length = 0;
      timer.on(event);
      t.equal(timer.state, to);
      t.same(done, action === 'refresh' || action === 'expire' ? [action] : [], `${state} x ${event} tells`);
      t.equal(clock.pending, ['ours', 'refreshing', 'theirs'].includes(to) ? 1 : 0, `${state} x ${event} times`);
      timer.on('over');
      t.equal(clock.pending, 0);
    }
  }
});

const fieldsOf = (headers: readonly HeaderEntry[] | undefined): string =>
  (headers ?? [])
    .filter(([name, value]) => /^(Session-Expires|Min-SE)$/.test(name) || value === 'timer')
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ');

const timed = (expires: string, ...more: HeaderEntry[]) => ({
  headers: [
    ['Supported', 'timer, 100rel'],
    ['Allow', 'INVITE, UPDATE'],
    ['Session-Expires', expires],
    ...more,
  ] as const,
});
const TERMINATE = { session_timer: { mode: 'terminate' } } as const;

/** An established call; the callee's 200 as given. */
const up = (options: RigOptions, invite: Parameters<CallRig['signal']['call']>[0], ok: HeaderEntry[] = []) => {
  const rig = new CallRig({ settings: { maxCallMs: 0 }, ...options });
  const a = rig.signal.call(invite);
  const b = rig.signal.b();
  b.answers('answer', { headers: ok });
  a.acks();
  rig.signal.takeLadder();
  return { rig, a, b };
};
const over = (t: { same(found: unknown, wanted: unknown): unknown }, { rig, a, b }: ReturnType<typeof up>): void => {
  a.byes();
  b.confirms();
  t.same(rig.leftovers(), []);
};

t.test('relay: the ends agree between themselves, and refreshes cross with their fields', async (t) => {
  const agreed: HeaderEntry[] = [
    ['Require', 'timer'],
    ['Session-Expires', '1800;refresher=uac'],
  ];
  const call = up({}, timed('1800', ['Min-SE', '120']), agreed);
  const { a, b } = call;
  t.equal(fieldsOf(b.spec.headers), 'Session-Expires: 1800, Min-SE: 120, Supported: timer');
  t.equal(fieldsOf(a.answered?.headers), 'Session-Expires: 1800;refresher=uac, Require: timer');
  for (let round = 0; round < 5; round++) {
    call.rig.clock.advance(900_000);
    const refresh = a.asks('UPDATE', { headers: [['Session-Expires', '1800;refresher=uac']] });
    t.equal(fieldsOf(b.pending[0]?.spec.headers), 'Session-Expires: 1800;refresher=uac');
    b.responds(200, { headers: agreed });
    t.equal(fieldsOf(refresh.answers[0]?.spec.headers), 'Session-Expires: 1800;refresher=uac, Require: timer');
  }
  const refresh = b.reinvitesWith('offer', [['Session-Expires', '600;refresher=uac']]);
  t.equal(fieldsOf(a.reinvites[0]?.spec.headers), 'Session-Expires: 600;refresher=uac');
  a.respondsReinvite(200, 'answer');
  refresh.acks();
  call.rig.clock.advance(10_000_000);
  t.equal(call.rig.state, 'established', 'the last 200 said that the session does not expire');
  over(t, call);
});

t.test('relay: a session that nobody refreshes ends with BYE to both, and its record says so', async (t) => {
  const { rig, a, b } = up({}, timed('1800'), [['Session-Expires', '1800;refresher=uac']]);
  rig.clock.advance(1_799_000);
  t.equal(rig.state, 'established');
  rig.clock.advance(1000);
  const reason = '{SIP;cause=408;text="session_expired" | Q.850;cause=102}';
  t.same(rig.signal.takeLadder(), [`B1 <- BYE ${reason}`, `A <- BYE ${reason}`]);
  a.confirms();
  b.confirms();
  t.match(rig.record, { outcome: 'answered', reasonCode: 'session_expired', q850: 102, endedBy: 'tandem' });
  t.same(rig.leftovers(), []);
});

t.test('relay: 422 of the callee is the caller’s to answer', async (t) => {
  const rig = new CallRig();
  const a = rig.signal.call(timed('90'));
  rig.signal.b().refuses(422, { headers: [['Min-SE', '600']] });
  t.equal(a.rejected?.status, 422);
  t.equal(fieldsOf(a.rejected?.spec.headers), 'Min-SE: 600');
  t.same(rig.leftovers(), []);
});

t.test('nobody speaks of timers: no field, no timer', async (t) => {
  const call = up({}, {});
  t.equal(fieldsOf(call.b.spec.headers), '');
  t.equal(fieldsOf(call.a.answered?.headers), '');
  t.equal(call.rig.clock.pending, 0);
  over(t, call);
});

t.test('off, and relay towards a side that does not: nothing of it crosses', async (t) => {
  for (const sides of [
    { callerSip: { session_timer: { mode: 'off' } } },
    { calleeSip: { session_timer: { mode: 'off' } } },
  ] as const) {
    const call = up(sides, timed('1800'), [['Session-Expires', '1800;refresher=uac']]);
    t.equal(fieldsOf(call.b.spec.headers), '');
    t.equal(fieldsOf(call.a.answered?.headers), '');
    t.equal(call.rig.clock.pending, 0);
    over(t, call);
  }
  const rig = new CallRig({ callerSip: { session_timer: { mode: 'off' } } });
  const a = rig.signal.call({ headers: [['Require', 'timer']] });
  t.equal(a.rejected?.status, 420);
  t.same(
    a.rejected?.spec.headers?.filter(([name]) => name === 'Unsupported'),
    [['Unsupported', 'timer']],
  );
});

t.test('terminate: the caller’s refreshes are answered here, the callee hears nothing of them', async (t) => {
  const call = up({ callerSip: TERMINATE }, timed('300'));
  const { rig, a, b } = call;
  t.equal(fieldsOf(b.spec.headers), '');
  t.equal(fieldsOf(a.answered?.headers), 'Require: timer, Session-Expires: 300;refresher=uac');
  for (let round = 0; round < 3; round++) {
    rig.clock.advance(150_000);
    const refresh = a.asks('UPDATE', timed('300;refresher=uac'));
    t.equal(fieldsOf(refresh.answers[0]?.spec.headers), 'Require: timer, Session-Expires: 300;refresher=uac');
  }
  t.equal(a.asks('UPDATE', timed('60')).answers[0]?.status, 422);
  rig.clock.advance(150_000);
  const changing = a.reinvitesWith('offer', timed('300;refresher=uac').headers);
  t.equal(fieldsOf(b.reinvites[0]?.spec.headers), '', 'the offer crosses, the timer does not');
  b.respondsReinvite(200, 'answer');
  t.equal(changing.owed.answers[0]?.status, 200);
  t.equal(fieldsOf(changing.owed.answers[0]?.spec.headers), 'Require: timer, Session-Expires: 300;refresher=uac');
  changing.acks();
  rig.signal.takeLadder();
  // RFC 4028 §10: 32 s before the end, or a third of it, the other end is given up.
  rig.clock.advance(267_000);
  t.same(rig.signal.takeLadder(), []);
  rig.clock.advance(1000);
  t.equal(rig.signal.takeLadder().length, 2);
  a.confirms();
  b.confirms();
  t.equal(rig.record.reasonCode, 'session_expired');
  t.same(rig.leftovers(), []);
});

t.test('terminate: we refresh where we said so, by UPDATE where the caller takes it', async (t) => {
  const call = up({ callerSip: TERMINATE }, timed('300;refresher=uas'));
  const { rig, a } = call;
  t.equal(fieldsOf(a.answered?.headers), 'Session-Expires: 300;refresher=uas');
  rig.clock.advance(150_000);
  t.same(rig.signal.takeLadder(), ['A <- UPDATE']);
  t.equal(fieldsOf(a.pending[0]?.spec.headers), 'Supported: timer, Session-Expires: 300;refresher=uac');
  a.responds(200, { headers: [['Session-Expires', '300;refresher=uac']] });
  rig.clock.advance(150_000);
  // A refusal is no end: it is tried again, with more where more is asked for.
  a.responds(491);
  rig.clock.advance(4000);
  a.responds(422, { headers: [['Min-SE', '400']] });
  rig.clock.advance(4000);
  t.equal(fieldsOf(a.pending[0]?.spec.headers), 'Supported: timer, Session-Expires: 400;refresher=uac, Min-SE: 400');
  a.responds(200, { headers: [['Session-Expires', '400;refresher=uas']] });
  rig.signal.takeLadder();
  rig.clock.advance(300_000);
  t.same(rig.signal.takeLadder(), [], 'from now on the caller refreshes');
  a.asks('UPDATE', timed('400;refresher=uac'));
  over(t, call);
});

t.test('terminate: re-INVITE with the description that the peer has, where it does not take UPDATE', async (t) => {
  const { headers } = timed('300;refresher=uas');
  const call = up({ callerSip: TERMINATE }, { headers: headers.filter(([name]) => name !== 'Allow') });
  const { rig, a, b } = call;
  rig.clock.advance(150_000);
  t.same(rig.signal.takeLadder(), ['A <- re-INVITE [answer]']);
  a.respondsReinvite(200, 'still A');
  t.same(rig.signal.takeLadder(), ['A -> 200 (re-INVITE) [still A]', 'A <- ACK (re-INVITE)']);
  const hold = b.reinvitesWith('hold');
  a.respondsReinvite(200, 'held');
  hold.acks();
  rig.signal.takeLadder();
  rig.clock.advance(150_000);
  t.same(rig.signal.takeLadder(), []);
  over(t, call);
});

t.test('terminate: what the callee’s offers changed is what a refresh repeats', async (t) => {
  const { headers } = timed('300;refresher=uas');
  const call = up({ callerSip: TERMINATE }, { headers: headers.filter(([name]) => name !== 'Allow') });
  const { rig, a, b } = call;
  const hold = b.reinvitesWith('hold');
  t.equal(fieldsOf(a.reinvites[0]?.spec.headers), 'Supported: timer, Session-Expires: 300;refresher=uac');
  a.respondsReinvite(200, 'held');
  hold.acks();
  rig.signal.takeLadder();
  // The 200 said nothing of a timer: it does not expire any more, and nothing is refreshed.
  rig.clock.advance(1_000_000);
  t.same(rig.signal.takeLadder(), []);
  over(t, call);
});

t.test('terminate towards the callee: asked for as set, 422 answered by more, refreshed and given up', async (t) => {
  const calleeSip = { session_timer: { mode: 'terminate', expires: 600, refresher: 'local' } } as const;
  const rig = new CallRig({ calleeSip, settings: { maxCallMs: 0 } });
  const a = rig.signal.call({});
  t.equal(fieldsOf(rig.signal.b(1).spec.headers), 'Supported: timer, Session-Expires: 600;refresher=uac');
  rig.signal.b(1).refuses(422, { headers: [['Min-SE', '900']] });
  t.equal(fieldsOf(rig.signal.b(2).spec.headers), 'Supported: timer, Session-Expires: 900;refresher=uac, Min-SE: 900');
  const b = rig.signal.b(2);
  b.answers('answer', {
    headers: [
      ['Allow', 'INVITE, update, BYE'],
      ['Session-Expires', '900;refresher=uac'],
    ],
  });
  a.acks();
  t.equal(fieldsOf(a.answered?.headers), '');
  rig.signal.takeLadder();
  rig.clock.advance(450_000);
  t.same(rig.signal.takeLadder(), ['B2 <- UPDATE']);
  rig.clock.advance(450_000);
  t.match(rig.signal.takeLadder(), [/^B2 <- BYE .*session_expired/, /^A <- BYE .*session_expired/]);
  a.confirms();
  b.confirms();
  t.match(rig.record, { reasonCode: 'session_expired', attempts: [{ result: 'answered' }] });
  t.same(rig.leftovers(), []);
});

t.test('terminate towards a callee that has no timers: the call is kept up by us all the same', async (t) => {
  const calleeSip = { session_timer: { mode: 'terminate', expires: 600 } } as const;
  const call = up({ calleeSip }, {}, [['Allow', 'UPDATE']]);
  const { rig, b } = call;
  for (let round = 0; round < 3; round++) {
    rig.clock.advance(300_000);
    t.same(rig.signal.takeLadder(), ['B1 <- UPDATE']);
    b.responds(200);
    rig.signal.takeLadder();
  }
  over(t, call);
});

t.test('terminate: shorter than the least gets 422 before anybody is called', async (t) => {
  const rig = new CallRig({ callerSip: { session_timer: { mode: 'terminate', min_se: 600 } } });
  const a = rig.signal.call(timed('300'));
  t.equal(a.rejected?.status, 422);
  t.equal(fieldsOf(a.rejected?.spec.headers), 'Min-SE: 600');
  t.equal(rig.signal.outgoing.length, 0);
  t.match(rig.record, { outcome: 'rejected', reasonCode: 'session_interval_too_small', sipStatus: 422 });
  t.same(rig.leftovers(), []);
});
