/** What calls go through: lost packets, no ACK, many at once, a node that drains, a node that is killed. */
import t from 'tap';
import { bounded } from '../support/endpoints.js';
import { SipPeer } from '../support/sipPeer.js';
import { Sipp } from '../support/sipp.js';
import { attempts, has, ofKind, verdict, went } from '../support/sippChecks.js';
import { Site, callIdOf, placeCall, placeRefusedCall } from '../support/tandemNodeSite.js';

const ANSWERED = { outcome: 'answered', sipStatus: 200, reasonCode: 'normal_clearing' } as const;
const SDP = 'v=0\r\no=- 1 1 IN IP4 127.0.38.13\r\ns=-\r\nc=IN IP4 127.0.38.13\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n';

const site = new Site(3, {}, 20);
// With few packets left, silence is no sign of death: only the transaction's own timer ends an attempt here.
const node = await site.start({ calls: { silenceTimeoutMs: 10_000 } });
t.teardown(() => node.stop());

// The ACK is waited for 32 s (RFC 3261 §13.3.1.4): these two wait beside everything else.
const unacknowledged = site.ways.map((way) =>
  placeCall(site, node, {
    way,
    lane: site.lane(),
    caller: 'no_ack',
    callee: 'answer',
    callerMore: { limitMs: 60_000 },
    calleeMore: { limitMs: 60_000 },
  }).catch((error: unknown) => error as Error),
);

/**
 * What SIPp itself does not survive, about one call in forty at 10 percent: it repeats no answer of which it lost the
 * first copy together with the 180, and takes a repeated 200 of INVITE for that of its BYE. Seeded loss between ends that
 * do is in test/sim.
 */
const SIPP_GAVE_UP = ['destination_silent', 'ack_timeout'];

void t.test('lost packets: calls go through, each has one record, and ends', async (t) => {
  const calls = 25;
  const runs = [5, 10].flatMap((lost) =>
    site.ways.map(async (way) => {
      const lane = site.lane();
      const more = { calls, lost, limitMs: 45_000, rate: 10 };
      // A repeat of an ended call counts as a call to SIPp: it is to stay until it is stopped.
      const callee = await Sipp.start(site.calleePlan(way, lane, 'answer_lossy', { ...more, calls: 10 * calls }));
      const caller = await Sipp.run(site.callerPlan(way, lane, 'answer', more));
      await callee.stop();
      return { lost, way, lane, caller };
    }),
  );
  for (const { lost, way, lane, caller } of await Promise.all(runs)) {
    const name = `${way.name}, ${lost} percent lost`;
    t.ok(caller.succeeded >= calls * 0.7, `${name}: ${caller.succeeded} of ${calls} were answered and ended`);
    t.ok(caller.retransmissions > 0, `${name}: packets were repeated`);
    const ofLane = () => node.records().filter((record) => record.trunkSid === lane.trunkSid);
    await bounded(`${name}: records`, 40_000, () => ofLane().length >= calls);
    const records = ofLane();
    t.equal(records.length, calls, `${name}: a record each`);
    t.equal(new Set(records.map((record) => record.aLegCallId)).size, calls, `${name}: of that call`);
    const others = records.filter((record) => record.outcome !== 'answered').map(({ reasonCode }) => reasonCode);
    t.ok(
      others.length <= calls * 0.3 && others.every((reason) => SIPP_GAVE_UP.includes(reason)),
      `${name}: ${others.join()}`,
    );
  }
});

void t.test('200 calls at 50 a second: as many records, and nothing left', async (t) => {
  const calls = 100;
  const startedBefore = await node.metric('tandem_calls_started_total');
  const results = await Promise.all(
    site.ways.map(async (way) => {
      const lane = site.lane();
      const callee = await Sipp.start(site.calleePlan(way, lane, 'answer', { calls, limitMs: 30_000 }));
      const caller = await Sipp.run(site.callerPlan(way, lane, 'answer', { calls, rate: 25, limitMs: 30_000 }));
      return { lane, caller, callee: await callee.result };
    }),
  );
  for (const { lane, caller, callee } of results) {
    went(t, caller, callee);
    t.equal(caller.succeeded, calls);
    const records = node.records().filter((record) => record.trunkSid === lane.trunkSid);
    t.equal(records.length, calls, 'exactly one record a call');
    const ids = new Set(ofKind(caller.sent, 'INVITE').map((message) => message.callId));
    t.strictSame(new Set(records.map((record) => record.aLegCallId)), ids, 'of these calls');
    for (const record of records) {
      if (record.outcome !== 'answered' || record.endedBy !== 'caller') t.fail(`record: ${JSON.stringify(record)}`);
    }
  }
  t.equal((await node.metric('tandem_calls_started_total')) - startedBefore, 2 * calls, 'metrics agree');
});

void t.test('drain: live calls run on, new ones get 503, every call has its record, exit code 0', async (t) => {
  const place = new Site(4, {}, 4);
  const leaving = await place.start();
  t.teardown(() => leaving.destroy());
  const live = place.ways.map(async (way) => {
    const lane = place.lane();
    return placeCall(place, leaving, {
      way,
      lane,
      caller: 'hung_up_on',
      callee: 'hang_up',
      calleeMore: { pauseMs: 2500 },
    });
  });
  await bounded('both calls are up', 5000, async () => (await leaving.dump()).signal.dialogs === 4);
  leaving.signal('SIGTERM');
  await leaving.logged(/"msg":"draining"/);
  const { caller, record } = await placeRefusedCall(place, leaving, { way: place.inbound, lane: place.lane() });
  t.strictSame([verdict(caller).status, verdict(caller).header('Retry-After')], [503, '10']);
  has(t, record, { outcome: 'rejected', endedBy: 'tandem', sipStatus: 503, reasonCode: 'draining' });
  for (const call of await Promise.all(live)) {
    went(t, call.caller, call.callee);
    has(t, call.record, { ...ANSWERED, endedBy: 'callee' });
    t.ok(call.record.talkMs >= 2300, 'it was not cut short');
  }
  t.strictSame(await leaving.ended(), [0, null], 'exit code');
  t.equal(leaving.records().length, 3);
});

void t.test('drain: calls beyond the limit are ended on both sides', async (t) => {
  const place = new Site(5, {}, 2);
  const leaving = await place.start({ calls: { drainSeconds: 1 } });
  t.teardown(() => leaving.destroy());
  const live = placeCall(place, leaving, {
    way: place.inbound,
    lane: place.lane(),
    caller: 'hung_up_on',
    callee: 'answer',
  });
  await bounded('the call is up', 5000, async () => (await leaving.dump()).signal.dialogs === 2);
  leaving.signal('SIGTERM');
  const { caller, callee, record } = await live;
  went(t, caller, callee);
  has(t, record, { outcome: 'answered', endedBy: 'tandem', reasonCode: 'drain_limit' });
  t.strictSame(await leaving.ended(), [0, null], 'exit code');
});

void t.test('SIGKILL right after the end of a call: its record is there', async (t) => {
  const place = new Site(6, {}, 2);
  const doomed = await place.start();
  const caller = await SipPeer.open({ address: place.carrier, name: 'caller' });
  const lane = place.lane();
  const callee = await SipPeer.open({ address: place.pbx, port: lane.pbxPort, name: 'callee' });
  t.teardown(() => Promise.all([doomed.destroy(), caller.close(), callee.close()]));
  const invite = caller.sendInvite({
    target: doomed.hostPort,
    uri: `sip:${lane.number}@${doomed.hostPort}`,
    body: SDP,
  });
  (await callee.expectRequest('INVITE')).respond(200, { body: SDP });
  const dialog = invite.confirm(await caller.expect('200 INVITE'));
  await callee.expect('ACK');
  dialog.send('BYE');
  await caller.expect('200 BYE');
  doomed.signal('SIGKILL');
  t.strictSame(await doomed.ended(), [null, 'SIGKILL']);
  const records = doomed.records();
  t.strictSame(
    records.map((record) => record.aLegCallId),
    [invite.callId],
    'exactly this one',
  );
  has(t, records[0] as (typeof records)[0], { ...ANSWERED, endedBy: 'caller' });
});

void t.test('a caller that never acknowledges the answer: both legs end, 32 s later', async (t) => {
  for (const placed of await Promise.all(unacknowledged)) {
    if (placed instanceof Error) throw placed;
    const { caller, callee, record } = placed;
    went(t, caller, callee);
    t.ok(ofKind(caller.received, '200 INVITE').length >= 8, 'the 200 was repeated');
    t.equal(ofKind(caller.received, 'BYE').length >= 1, true, 'then BYE');
    // Beyond the caller's leg of an inbound call stands the carrier, and it answers for faults.
    const endedBy = record.direction === 'inbound' ? 'carrier' : 'caller';
    has(t, record, { outcome: 'failed', endedBy, reasonCode: 'ack_timeout' });
    t.strictSame(attempts(record), ['200 answered']);
    t.equal(record.aLegCallId, callIdOf(caller));
  }
});
