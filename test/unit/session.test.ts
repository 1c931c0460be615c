import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import type { CallRequest, Decision, ReasonCode } from '../../src/call/routing/decision.js';
import { Draft } from '../../src/call/routing/draft.js';
import { CallIds } from '../../src/call/session/callId.js';
import { callRequestOf, sourceText } from '../../src/call/session/request.js';
import { CALLER, FakeMessage } from '../support/fakeSignal.js';
import { CallRig } from '../support/callRig.js';

const reject =
  (code: ReasonCode, retryAfterSeconds?: number) =>
  (request: CallRequest): Decision =>
    new Draft('r9', request).reject(code, { retryAfterSeconds });

t.test('a refused call', async (t) => {
  t.test('gets the status and the reason of its decision, and a record', async (t) => {
    const rig = new CallRig({ decide: reject('caller_id_not_mapped') });
    const a = rig.signal.call();
    t.equal(a.rejected?.status, 403);
    t.strictSame(a.rejected?.spec.headers, [['Reason', 'SIP;cause=403;text="caller_id_not_mapped"']]);
    t.match(rig.record, {
      outcome: 'rejected',
      endedBy: 'tandem',
      sipStatus: 403,
      q850: 21,
      reasonCode: 'caller_id_not_mapped',
      bLegCallId: null,
      destination: null,
      answeredAt: null,
      revision: 'r9',
      attempts: [],
      source: 'udp/127.0.20.10:5060',
      calledReceived: '08040000001',
      callerReceived: '+919820000000',
      decision: { accepted: false },
    });
    t.strictSame(rig.eventTypes(), ['call_started', 'call_decided', 'call_ended', 'call_released']);
    t.strictSame(rig.leftovers(), []);
  });

  t.test('a 503 always says when to come again', async (t) => {
    for (const [seconds, header] of [
      [1, '1'],
      [undefined, '10'],
    ] as const) {
      const rig = new CallRig({ decide: reject('trunk_calls_per_second', seconds) });
      t.strictSame(rig.signal.call().rejected?.spec.headers?.[1], ['Retry-After', header]);
    }
  });

  t.test('at its last hop: 483, and its limits are given back', async (t) => {
    const rig = new CallRig();
    const a = rig.signal.call({ headers: [['Max-Forwards', '0']] });
    t.equal(a.rejected?.status, 483);
    t.match(rig.record, { reasonCode: 'too_many_hops', outcome: 'rejected' });
    t.equal(rig.released, 1);
    t.strictSame(rig.leftovers(), []);
  });

  t.test('because the node is full, until a call ends', async (t) => {
    const rig = new CallRig({ maxCalls: 1 });
    const first = rig.signal.call();
    t.equal(rig.signal.call().rejected?.status, 503);
    t.match(rig.record, { reasonCode: 'node_full', outcome: 'rejected' });
    first.cancels();
    rig.signal.b().confirmsCancel();
    t.equal(rig.signal.call().rejected, undefined);
  });

  t.test('still answers what its leg says', async (t) => {
    const rig = new CallRig({ decide: reject('number_not_found') });
    const a = rig.signal.call();
    t.equal(a.asks('INFO').answers[0]?.status, 481);
    t.equal(a.reinvitesWith('x').owed.answers[0]?.status, 481);
  });
});

t.test('an exception in admission: 500, one record, and the next call is served', async (t) => {
  let broken = true;
  const rig = new CallRig({
    decide: (request) => {
      if (broken) throw new Error('boom');
      return new Draft('r', request).reject('number_not_found');
    },
  });
  const a = rig.signal.call();
  t.equal(a.rejected?.status, 500);
  t.match(rig.record, { outcome: 'failed', reasonCode: 'internal_error', sipStatus: 500, endedBy: 'tandem' });
  t.ok(rig.eventTypes().includes('call_fault'));
  broken = false;
  t.equal(rig.signal.call().rejected?.status, 404);
});

t.test('an exception in the recorder is reported and ends nothing else', async (t) => {
  const rig = new CallRig();
  const a = rig.signal.call();
  rig.recorder.write = () => {
    throw new Error('disk');
  };
  a.cancels();
  rig.signal.b().confirmsCancel();
  t.equal(rig.service.registry.size, 0);
  t.equal(rig.released, 1);
  t.strictSame(rig.leftovers(), ['fault Error: disk']);
});

t.test('events of an answered call come in order', async (t) => {
  const rig = new CallRig({ destinations: ['192.0.2.1', '192.0.2.2'] });
  const a = rig.signal.call();
  rig.signal.b().refuses(503);
  rig.signal.b().progresses(183, 'early');
  rig.signal.b().progresses(180);
  rig.clock.advance(250);
  rig.signal.b().answers();
  a.acks();
  rig.clock.advance(1000);
  rig.signal.b().byes([['Reason', 'Q.850;cause=31']]);
  a.confirms();
  t.strictSame(rig.eventTypes(), [
    'call_started',
    'call_decided',
    'attempt_started',
    'attempt_ended',
    'attempt_started',
    'call_ringing',
    'attempt_ended',
    'call_answered',
    'call_ended',
    'call_released',
  ]);
  t.match(rig.events, [{}, {}, { attempt: 1, gateway: '192.0.2.1' }, {}, { attempt: 2, bLegCallId: 'B2@fake' }]);
  t.equal(new Set(rig.events.map((event) => ('callId' in event ? event.callId : ''))).size, 1);
  t.match(rig.record, { q850: 31, endedBy: 'callee', talkMs: 1000, setupMs: 250 });
});

t.test('durations come from the monotonic clock, dates from the wall', async (t) => {
  const rig = new CallRig();
  const a = rig.signal.call();
  rig.signal.b().answers();
  a.acks();
  rig.clock.advance(7000);
  rig.clock.stepWall(-3_600_000);
  a.byes();
  t.match(rig.record, {
    talkMs: 7000,
    startedAt: '2026-01-01T00:00:00.000Z',
    endedAt: '2025-12-31T23:00:07.000Z',
  });
});

t.test('a call is charged what the destination that answered costs', async (t) => {
  const rig = new CallRig({
    direction: 'outbound',
    destinations: ['192.0.2.1', '192.0.2.2'],
    prices: [
      { rate: { outbound_price: '9', inbound_price: '5' }, networkGroup: 'dear/IN/all', prefix: '91' },
      { rate: { outbound_price: '0.012', currency: 'INR', next_seconds: 1 }, networkGroup: 'b/IN/x', prefix: '9180' },
    ],
  });
  const a = rig.signal.call();
  rig.signal.b().refuses(503);
  rig.signal.b().answers();
  a.acks();
  rig.clock.advance(90_500);
  a.byes();
  t.strictSame(rig.record.charge, {
    currency: 'INR',
    micros: 18_200,
    billedSeconds: 91,
    rate: { outbound_price: '0.012', next_seconds: 1 },
    networkGroup: 'b/IN/x',
    prefix: '9180',
  });
});

t.test('a call that comes in is charged by the decision, one that nobody answered not at all', async (t) => {
  const inboundPrice = { rate: { inbound_price: '0.01' } };
  const rig = new CallRig({ inboundPrice });
  const a = rig.signal.call();
  rig.signal.b().answers();
  a.acks();
  rig.clock.advance(1);
  a.byes();
  t.match(rig.record.charge, { micros: 10_000, billedSeconds: 60, currency: 'USD', networkGroup: null });
  const refused = new CallRig({ inboundPrice });
  refused.signal.call();
  refused.signal.b().refuses(486);
  t.equal(refused.record.charge, null);
  const unpriced = new CallRig();
  const b = unpriced.signal.call();
  unpriced.signal.b().answers();
  b.acks();
  b.byes();
  t.equal(unpriced.record.charge, null);
});

t.test('drain', async (t) => {
  t.test('new calls are refused, live ones run to their end', async (t) => {
    const rig = new CallRig();
    const a = rig.signal.call();
    rig.signal.b().answers();
    a.acks();
    const drained = rig.service.drain(60_000);
    const late = rig.signal.call();
    t.match(late.rejected, {
      status: 503,
      spec: {
        headers: [
          ['Reason', 'SIP;cause=503;text="draining"'],
          ['Retry-After', '10'],
        ],
      },
    });
    t.match(rig.recorder.records, [{ reasonCode: 'draining', outcome: 'rejected' }]);
    t.equal(rig.signal.asks('OPTIONS').answers[0]?.status, 503);
    a.byes();
    rig.signal.b().confirms();
    await drained;
    t.equal(rig.recorder.records.length, 2);
    t.strictSame(rig.leftovers(), []);
  });

  t.test('at the limit answered calls get BYE, ringing ones 503, and every record is written', async (t) => {
    const rig = new CallRig();
    const up = rig.signal.call();
    rig.signal.b().answers();
    up.acks();
    const ringing = rig.signal.call();
    rig.signal.b().progresses(180);
    const drained = rig.service.drain(5000);
    void rig.service.drain(5000);
    rig.clock.advance(5000);
    t.ok(up.byeSent);
    t.equal(ringing.rejected?.status, 503);
    t.match(rig.recorder.records, [
      { outcome: 'answered', reasonCode: 'drain_limit', endedBy: 'tandem' },
      { outcome: 'failed', reasonCode: 'drain_limit', endedBy: 'tandem', sipStatus: 503 },
    ]);
    up.confirms();
    rig.signal.b(1).confirms();
    rig.signal.b(2).confirmsCancel();
    await drained;
    await Promise.resolve();
    t.strictSame(rig.leftovers(), []);
    t.equal(rig.eventTypes().filter((type) => type === 'drain_started').length, 1);
  });

  t.test('an idle node has drained at once', async (t) => {
    const rig = new CallRig();
    await rig.service.drain(5000);
    t.equal(rig.clock.pending, 0);
  });
});

t.test('requests outside calls', async (t) => {
  const rig = new CallRig();
  const status = (method: string, address = CALLER.address): number | undefined =>
    rig.signal.asks(method, { ...CALLER, address }).answers[0]?.status;
  t.equal(status('OPTIONS'), 200);
  t.equal(status('OPTIONS', '::ffff:127.0.20.10'), 200);
  for (const method of ['OPTIONS', 'REGISTER', 'MESSAGE', 'FROBNICATE']) t.equal(status(method, '192.0.2.66'), 403);
  for (const method of ['REGISTER', 'MESSAGE', 'SUBSCRIBE', 'PUBLISH', 'REFER']) t.equal(status(method), 405);
  for (const method of ['BYE', 'INFO', 'UPDATE', 'PRACK', 'NOTIFY']) t.equal(status(method), 481);
  t.equal(status('FROBNICATE'), 501);
  t.match(rig.signal.asks('REGISTER').answers[0]?.spec.headers, [['Allow', /INVITE.*BYE/]]);
  t.equal(rig.recorder.records.length, 0);
});

t.test('what routing is told of a call', async (t) => {
  const request = (uri: string, headers: [string, string][] = [], address = '192.0.2.1'): CallRequest =>
    callRequestOf(new FakeMessage({ uri, headers }), { transport: 'tcp', address, port: 5061 });
  t.strictSame(request('sip:%2B9180@x;user=phone', [['From', '"A" <sip:0982@y>;tag=1']]), {
    sourceAddress: '192.0.2.1',
    sourcePort: 5061,
    transport: 'tcp',
    calledNumber: '+9180',
    callerNumber: '0982',
  });
  t.equal(request('tel:+9180;phone-context=x').calledNumber, '+9180');
  t.equal(request('sip:x').calledNumber, '');
  t.equal(request(`sip:${'9'.repeat(500)}@x`).calledNumber.length, 128);
  t.equal(request('sip:1@x', [['From', '<sip:anonymous@anonymous.invalid>']]).callerNumber, '');
  t.equal(request('sip:1@x', [['P-Asserted-Identity', '<sip:0982@y>, <tel:+91>']]).assertedNumber, '0982');
  t.equal(request('sip:1@x', [['X-Forwarded-For', '127.0.20.10']], '::FFFF:192.0.2.1').sourceAddress, '192.0.2.1');
  t.equal(sourceText(request('sip:1@x', [], '2001:db8::1')), 'tcp/[2001:db8::1]:5061');
});

t.test('call ids sort by time and do not repeat', async (t) => {
  const clock = new ManualClock();
  const ids = new CallIds(clock, new SeededRandom(7));
  const made: string[] = [];
  for (let i = 0; i < 100; i++) {
    for (let j = 0; j < 10; j++) made.push(ids.next());
    clock.advance(1);
  }
  t.equal(new Set(made).size, 1000);
  t.ok(made.every((id) => /^[0-9A-HJKMNP-TV-Z]{26}$/.test(id)));
  const first = made.filter((_, index) => index % 10 === 0);
  t.strictSame([...first].sort(), first);
});

t.test('the live view shows numbers, state, legs and durations', async (t) => {
  const rig = new CallRig();
  const a = rig.signal.call();
  rig.signal.b().answers();
  a.acks();
  rig.clock.advance(2000);
  t.match(rig.service.registry.dump(), [
    {
      state: 'established',
      direction: 'inbound',
      trunkSid: 'trk_demo',
      caller: '+919820000000',
      called: '08040000001',
      calledE164: '+918040000001',
      durationMs: 2000,
      talkMs: 2000,
      aLegCallId: 'A@fake',
      bLegCallId: 'B1@fake',
      legs: { state: 'established', timer: 'duration_limit', aLeg: { id: 'A' }, bLeg: { id: 'B1' } },
    },
  ]);
  t.equal(rig.service.registry.dump(0).length, 0);
  t.ok(rig.service.registry.get(rig.service.registry.dump()[0]?.callId ?? ''));
  t.match(rig.service.dump(), { draining: false, liveCalls: 1 });
  rig.service.onAvailability(false, 'gone');
  t.match(rig.events.at(-1), { type: 'signalling', up: false });
});
