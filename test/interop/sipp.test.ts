/** Calls between two SIPp through a running node, in both directions: carrier to PBX and PBX to carrier. */
import t, { type Test } from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { describe, type SippResult } from '../support/sipp.js';
import type { PeerMessage } from '../support/sipText.js';
import { type CallPlan, type PlacedCall, Site, type Way, placeCall } from '../support/tandemNodeSite.js';

const site = new Site(1, {}, 30);
const node = await site.start();

/** Both ends followed their scenarios to the end. */
const went = (t: Test, ...results: readonly SippResult[]): void => {
  for (const result of results) {
    t.equal(result.exitCode, 0, `${result.plan.scenario} went as written`);
    if (result.exitCode !== 0) t.comment(describe(result));
  }
};

const has = (t: Test, record: CallRecord, wanted: Partial<CallRecord>): void => {
  for (const [field, value] of Object.entries(wanted)) {
    t.strictSame(record[field as keyof CallRecord], value, `record: ${field}`);
  }
};

const bodies = (messages: readonly PeerMessage[], kind: string): string[] =>
  messages
    .filter((message) => (message.isRequest ? message.method : `${message.status} ${message.method}`) === kind)
    .map((message) => message.body.toString('latin1'));

/** Every body that one end sent reached the other octet by octet, in order. Repeats count once. */
const crossed = (t: Test, from: SippResult, to: SippResult, kind: string): void => {
  const unique = (list: string[]): string[] => list.filter((body, i) => list.indexOf(body) === i);
  const sent = unique(bodies(from.sent, kind));
  t.not(sent.length, 0, `${kind} was sent`);
  t.strictSame(unique(bodies(to.received, kind)), sent, `${kind}: the body crossed octet by octet`);
};

const both = (name: string, run: (t: Test, way: Way) => Promise<void>): void => {
  for (const way of site.ways) void t.test(`${way.name}: ${name}`, (t) => run(t, way));
};

const call = async (t: Test, way: Way, plan: Pick<CallPlan, 'caller' | 'callee'>): Promise<PlacedCall> => {
  const placed = await placeCall(site, node, { way, lane: site.lane(), ...plan });
  went(t, placed.caller, placed.callee);
  return placed;
};

both('answered, and the caller hangs up', async (t, way) => {
  const { caller, callee, record } = await call(t, way, { caller: 'answer', callee: 'answer' });
  has(t, record, { outcome: 'answered', endedBy: 'caller', sipStatus: 200, reasonCode: 'normal_clearing', q850: 16 });
  crossed(t, caller, callee, 'INVITE');
  crossed(t, callee, caller, '200 INVITE');
});

t.teardown(() => node.stop());
