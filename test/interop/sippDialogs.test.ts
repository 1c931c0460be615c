/** Calls between two SIPp through a running node that use more of SIP than an INVITE: 100rel, UPDATE, session timers. */
import t, { type Test } from 'tap';
import { Sipp } from '../support/sipp.js';
import { crossed, has, ofKind, went } from '../support/sippChecks.js';
import type { PeerMessage } from '../support/sipText.js';
import { type PlacedCall, Site, type Way, callIdOf, placeCall } from '../support/tandemNodeSite.js';

const reliable = (mode: string) => (): { trunk: object; carrier: object } => {
  const sip = { reliable_provisionals: mode };
  return { trunk: { sip }, carrier: { sip } };
};

const timed = (session_timer: object) => (): { trunk: object; carrier: object } => ({
  trunk: { sip: { session_timer } },
  carrier: { sip: { session_timer } },
});

const special = {
  terminate: reliable('terminate'),
  off: reliable('off'),
  timer: timed({ mode: 'terminate' }),
  asking: timed({ mode: 'terminate', expires: 600 }),
};
const site = new Site(1, special, 20, '127.0.32');
const node = await site.start();
t.teardown(() => node.stop());

const both = (name: string, run: (t: Test, way: Way) => Promise<void>): void => {
  for (const way of site.ways) void t.test(`${way.name}: ${name}`, (t) => run(t, way));
};

interface Ends {
  readonly caller: string;
  readonly callee: string;
  readonly lane?: string;
  readonly keys?: Readonly<Record<string, string>>;
}

const call = async (t: Test, way: Way, ends: Ends): Promise<PlacedCall> => {
  const lane = site.lane(ends.lane);
  const keys = { caller: way.caller(lane), ...ends.keys };
  const placed = await placeCall(site, node, { ...ends, way, lane, callerMore: { keys } });
  went(t, placed.caller, placed.callee);
  return placed;
};

const ANSWERED = { outcome: 'answered', sipStatus: 200, reasonCode: 'normal_clearing' } as const;

both('a reliable 183 and its PRACK cross, with offer and answer octet by octet', async (t, way) => {
  for (const reliability of ['Supported', 'Require']) {
    const ends = { caller: 'reliable', callee: 'reliable', keys: { reliability } };
    const { caller, callee, record } = await call(t, way, ends);
    has(t, record, ANSWERED);
    crossed(t, caller, callee, 'INVITE');
    crossed(t, callee, caller, '183 INVITE');
    crossed(t, caller, callee, 'PRACK');
    crossed(t, callee, caller, '200 PRACK');
    const [early] = ofKind(caller.received, '183 INVITE');
    t.not(early?.header('RSeq'), '4711', 'each leg counts for itself');
  }
});

both('a caller who requires 100rel of callees without it is served by the node', async (t, way) => {
  const ends = { caller: 'reliable_alone', callee: 'early_media', keys: { reliability: 'Require' } };
  const { caller, callee, record } = await call(t, way, ends);
  has(t, record, ANSWERED);
  t.equal(ofKind(callee.received, 'PRACK').length, 0);
  t.equal(ofKind(caller.received, '200 PRACK').length, 1);
});

both('terminate: a callee’s 183 is acknowledged by the node, and reaches the caller unreliably', async (t, way) => {
  const { caller, callee, record } = await call(t, way, {
    caller: 'early_media',
    callee: 'reliable_alone',
    lane: 'terminate',
  });
  has(t, record, ANSWERED);
  t.equal(ofKind(callee.received, 'PRACK').length, 1);
  t.equal(ofKind(caller.received, '183 INVITE')[0]?.header('RSeq'), undefined);
});

both('off: a caller who requires it gets 420', async (t, way) => {
  const caller = await Sipp.run(site.callerPlan(way, site.lane('off'), 'reliable_refused'));
  went(t, caller);
  const record = await node.record(callIdOf(caller));
  has(t, record, { outcome: 'rejected', sipStatus: 420, reasonCode: 'extension_off' });
});

both('UPDATE before the answer, and a session timer that the ends agree on, cross', async (t, way) => {
  const { caller, callee, record } = await call(t, way, { caller: 'refreshing', callee: 'refreshing' });
  has(t, record, ANSWERED);
  const bodies = (messages: readonly PeerMessage[]): string[] =>
    messages.map(({ body }) => body.toString('latin1')).filter((body) => body !== '');
  t.strictSame(bodies(ofKind(callee.received, 'UPDATE')), bodies(ofKind(caller.sent, 'UPDATE')), 'octet by octet');
  t.strictSame(bodies(ofKind(caller.received, '200 UPDATE')), bodies(ofKind(callee.sent, '200 UPDATE')));
  t.equal(ofKind(callee.received, 'UPDATE').length, 2);
});

both('a session timer of the caller’s leg alone: granted, refreshed, and not too short', async (t, way) => {
  const ends = { caller: 'refreshing_here', callee: 'answer', lane: 'timer' };
  const { callee, record } = await call(t, way, ends);
  has(t, record, ANSWERED);
  t.equal(ofKind(callee.received, 'UPDATE').length, 0);
  t.equal(ofKind(callee.received, 'INVITE')[0]?.header('Session-Expires'), undefined);
});
