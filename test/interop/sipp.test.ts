/** Calls between two SIPp through a running node, in both directions: carrier to PBX and PBX to carrier. */
import t, { type Test } from 'tap';
import { attempts, crossed, has, kindOf, ofKind, verdict, went } from '../support/sippChecks.js';
import { type CallPlan, type PlacedCall, Site, type Way, placeCall } from '../support/tandemNodeSite.js';

const site = new Site(1, {}, 40);
const node = await site.start();
t.teardown(() => node.stop());

const both = (name: string, run: (t: Test, way: Way) => Promise<void>): void => {
  for (const way of site.ways) void t.test(`${way.name}: ${name}`, (t) => run(t, way));
};

type Ends = Pick<CallPlan, 'caller' | 'callee'>;

const call = async (t: Test, way: Way, ends: Ends): Promise<PlacedCall> => {
  const lane = site.lane();
  const placed = await placeCall(site, node, { way, lane, ...ends });
  went(t, placed.caller, placed.callee);
  const { direction, trunkSid, carrierId, source, destination } = placed.record;
  t.strictSame([direction, trunkSid, carrierId], [way.name, lane.trunkSid, lane.carrierId], 'record: who and where');
  t.match(source, `udp/${way.from}:`, 'record: source');
  t.match(destination, new RegExp(`@${way.to}:${way.calleePort(lane)}$`), 'record: destination');
  return placed;
};

const ANSWERED = { outcome: 'answered', sipStatus: 200, reasonCode: 'normal_clearing', q850: 16 } as const;

both('answered, and the caller hangs up', async (t, way) => {
  const { caller, callee, record } = await call(t, way, { caller: 'answer', callee: 'answer' });
  has(t, record, { ...ANSWERED, endedBy: 'caller' });
  t.strictSame(attempts(record), ['200 answered']);
  t.ok(record.talkMs >= 90 && record.ringingAt !== null && record.answeredAt !== null, 'record: times');
  crossed(t, caller, callee, 'INVITE');
  crossed(t, callee, caller, '200 INVITE');
  const [sent, got] = [caller.sent[0], callee.received[0]];
  t.not(got?.callId, sent?.callId, 'the legs have their own Call-IDs');
  t.equal(record.bLegCallId, got?.callId, 'record: Call-ID of the other leg');
  t.notMatch(got?.raw.toString('latin1').split('\r\n\r\n')[0], way.from, 'nothing of the caller’s address in the head');
  t.strictSame(caller.received.map(kindOf), ['100 INVITE', '180 INVITE', '200 INVITE', '200 BYE']);
});

both('answered, and the callee hangs up', async (t, way) => {
  const { record } = await call(t, way, { caller: 'hung_up_on', callee: 'hang_up' });
  has(t, record, { ...ANSWERED, endedBy: 'callee' });
});

both('busy', async (t, way) => {
  const { caller, record } = await call(t, way, { caller: 'refused', callee: 'busy' });
  t.equal(verdict(caller).startLine, 'SIP/2.0 486 Busy Here');
  has(t, record, { outcome: 'busy', endedBy: 'callee', sipStatus: 486, reasonCode: 'callee_busy', q850: 17 });
  t.strictSame(attempts(record), ['486 response']);
  t.strictSame([record.answeredAt, record.ringingAt, record.talkMs], [null, null, 0]);
});

both('declined after ringing', async (t, way) => {
  const { caller, record } = await call(t, way, { caller: 'refused', callee: 'decline' });
  t.equal(verdict(caller).startLine, 'SIP/2.0 603 No thanks', 'the callee’s own words');
  has(t, record, { outcome: 'rejected', endedBy: 'callee', sipStatus: 603, reasonCode: 'callee_declined', q850: 21 });
  t.ok(record.ringMs >= 90, 'it rang');
});

for (const [caller, callee, when] of [
  ['cancel_before_ringing', 'try_until_cancel', 'before it rings'],
  ['cancel_ringing', 'ring_until_cancel', 'while it rings'],
] as const) {
  both(`cancelled ${when}`, async (t, way) => {
    const placed = await call(t, way, { caller, callee });
    const { record } = placed;
    has(t, record, { outcome: 'cancelled', endedBy: 'caller', sipStatus: 487, reasonCode: 'caller_cancelled' });
    t.equal(record.attempts[0]?.result, 'cancelled');
    t.equal(record.ringingAt === null, caller === 'cancel_before_ringing', 'record: ringing');
    const [cancel] = ofKind(placed.callee.received, 'CANCEL');
    t.match(cancel?.header('Reason'), /^Q\.850;\s*cause=16;\s*text="changed my mind"$/, 'the Reason crossed');
  });
}

for (const [caller, callee, who] of [
  ['hold', 'held', 'caller'],
  ['held', 'hold', 'callee'],
] as const) {
  both(`hold and back by the ${who}`, async (t, way) => {
    const placed = await call(t, way, { caller, callee });
    has(t, placed.record, { ...ANSWERED, endedBy: who });
    const [asking, asked] = who === 'caller' ? [placed.caller, placed.callee] : [placed.callee, placed.caller];
    crossed(t, asking, asked, 'INVITE');
    crossed(t, asked, asking, '200 INVITE');
    const offers = ofKind(asked.received, 'INVITE').filter((message) => message.toTag !== '');
    const modes = new Set(offers.map((message) => /a=(send\w+)/.exec(message.text)?.[1]));
    t.strictSame([...modes], ['sendonly', 'sendrecv'], 'both offers arrived, in order');
  });
}

both('late offer: the callee offers in the 200, the caller answers in the ACK', async (t, way) => {
  const { caller, callee, record } = await call(t, way, { caller: 'late_offer', callee: 'late_offer' });
  has(t, record, { ...ANSWERED, endedBy: 'caller' });
  t.equal(callee.received[0]?.body.length, 0, 'no offer was made up');
  crossed(t, callee, caller, '200 INVITE');
  crossed(t, caller, callee, 'ACK');
});

both('early media: 183 with SDP, then the answer', async (t, way) => {
  const { caller, callee, record } = await call(t, way, { caller: 'early_media', callee: 'early_media' });
  has(t, record, { ...ANSWERED, endedBy: 'caller' });
  crossed(t, callee, caller, '183 INVITE');
  crossed(t, callee, caller, '200 INVITE');
  t.strictSame(caller.received.map(kindOf), ['100 INVITE', '183 INVITE', '200 INVITE', '200 BYE']);
});

for (const [caller, callee, who] of [
  ['info', 'info_received', 'caller'],
  ['info_received', 'info', 'callee'],
] as const) {
  both(`INFO from the ${who}`, async (t, way) => {
    const placed = await call(t, way, { caller, callee });
    has(t, placed.record, { ...ANSWERED, endedBy: who });
    const [asking, asked] = who === 'caller' ? [placed.caller, placed.callee] : [placed.callee, placed.caller];
    crossed(t, asking, asked, 'INFO');
    t.equal(ofKind(asked.received, 'INFO')[0]?.header('Content-Type'), 'application/dtmf-relay');
  });
}
