/**
 * Two whole nodes on one redis-server. What is changed through one is met by calls on the other; limits hold for both
 * together, also when one is killed; Redis dies, hangs, is replaced by something else and comes back, and no call fails.
 */
import { setTimeout as after } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import {
  ACCOUNT,
  ClusterRig,
  Impostor,
  LANES,
  LANE_NAMES,
  type NodeName,
  destinationOf,
} from '../support/clusterRig.js';
import { Load, type Placed } from '../support/clusterTown.js';
import { bounded } from '../support/endpoints.js';
import { until } from '../support/signalRig.js';

const rig = await ClusterRig.start();
t.teardown(() => rig.stop(/routing store|event loop|sink|spending|limits go by|record/));
const { caller, callees } = rig;

const numberPath = (number: string): string => `/api/numbers/${encodeURIComponent(number)}`;
const v2 = (path: string): string => `/v2/accounts/${ACCOUNT}/${path}`;

/** Calls one after the other until one is answered as wanted. @returns milliseconds since `sinceMs` */
const untilStatus = async (node: NodeName, number: string, status: number, sinceMs: number): Promise<number> => {
  for (;;) {
    const call = await caller.call(rig.place(node), number);
    const tookMs = performance.now() - sinceMs;
    await call.hangUp();
    if (call.status === status) return tookMs;
    if (tookMs > 10_000) throw new Error(`${number} on ${node} is ${call.status} (${call.reason}) after ${tookMs} ms`);
  }
};

const spread = (values: readonly number[]): string => {
  const sorted = [...values].sort((x, y) => x - y);
  const at = (part: number): string => (sorted[Math.floor(part * (sorted.length - 1))] ?? 0).toFixed(1);
  return `median ${at(0.5)} ms, most ${at(1)} ms of ${sorted.length}`;
};

const revisionsOf = async (node: NodeName): Promise<{ revision: string; author: string }[]> =>
  (await rig.api(node, 'GET', '/api/revisions?limit=1000')).json.revisions;

void t.test('a document that one node was given is served by both', async (t) => {
  for (const node of ['a', 'b'] as const) {
    await untilStatus(node, LANES.free.number, 200, performance.now());
    t.equal((await caller.call(rig.place(node), '+918040000099')).reason, 'number_not_found');
  }
});

void t.test('a change through one node is met by its next call, and by calls on the other', async (t) => {
  const ways: { readonly [way: string]: (number: string) => Promise<{ readonly status: number }> } = {
    '/api': (number) => rig.api('a', 'PUT', numberPath(number), { trunk_sid: 'trk_api', mode: 'pstn' }),
    '/v2': (number) => rig.api('a', 'POST', v2('trunks/trk_api/phone-numbers'), { phone_number: number }),
  };
  for (const [way, put] of Object.entries(ways)) {
    const tookMs: number[] = [];
    for (let i = 0; i < 12; i++) {
      const number = `+9180400${way === '/api' ? 1 : 2}00${10 + i}`;
      for (const node of ['a', 'b'] as const) {
        const before = await caller.call(rig.place(node), number);
        if (before.status !== 404) t.fail(`${number} is there before it was made: ${before.status}`);
      }
      const { status } = await put(number);
      const servedMs = performance.now();
      if (status !== 200 && status !== 201) t.fail(`${way} answered ${status}`);
      const [own] = await Promise.all([
        caller.call(rig.place('a'), number),
        untilStatus('b', number, 200, servedMs).then((ms) => tookMs.push(ms)),
      ]);
      t.equal(own.status, 200, `${way}: the next call of this node is by the change`);
      await own.hangUp();
    }
    t.comment(`${way}: from the answer until a call on the other node went by it: ${spread(tookMs)}`);
    t.ok(Math.max(...tookMs) < 5000);
  }
  t.equal((await rig.api('a', 'DELETE', numberPath('+918040010010'))).status, 200);
  t.equal((await caller.call(rig.place('a'), '+918040010010')).status, 404, 'gone');
  await untilStatus('b', '+918040010010', 404, performance.now());
});

void t.test('two writers at once: both succeed or one is told, and nothing is lost', async (t) => {
  const before = (await revisionsOf('a')).length;
  let published = 0;
  const statuses: number[] = [];
  for (let i = 0; i < 10; i++) {
    const numbers = [`+9180400300${10 + i}`, `+9180400400${10 + i}`] as const;
    const [one, other] = await Promise.all([
      rig.api('a', 'PUT', numberPath(numbers[0]), { trunk_sid: 'trk_api', mode: 'pstn' }),
      rig.api('b', 'PUT', numberPath(numbers[1]), { trunk_sid: 'trk_api', mode: 'pstn' }),
    ]);
    t.strictSame([one.status, other.status], [201, 201], 'of two resources both succeed');
    published += 2;
  }
  // One list of one trunk: who read the older list must not write it back.
  const answers = await Promise.all(
    Array.from({ length: 24 }, (_, i) =>
      rig.api(i % 2 === 0 ? 'a' : 'b', 'POST', v2('trunks/trk_api/whitelisted-ips'), { ip: `192.0.2.${i}`, mask: 32 }),
    ),
  );
  for (const { status } of answers) statuses.push(status);
  t.strictSame(
    statuses.filter((status) => ![200, 409, 503].includes(status)),
    [],
    'taken or told',
  );
  const taken = answers.flatMap(({ status, json }) => (status === 200 ? [String(json.response.data.ip)] : []));
  published += taken.length;
  t.comment(`${taken.length} of 24 entries by two writers were taken, the others told`);
  await bounded('both nodes list what was taken', 5000, async () => {
    for (const node of ['a', 'b'] as const) {
      const { json } = await rig.api(node, 'GET', v2('trunks/trk_api/whitelisted-ips'));
      const ips = (json.response as { data: { ip: string } }[]).map(({ data }) => data.ip);
      if (JSON.stringify(ips.sort()) !== JSON.stringify([...taken].sort())) return false;
    }
    return true;
  });
  for (let i = 0; i < 8; i++) {
    const revision = String((await rig.api('a', 'GET', '/api/trunks')).json.revision);
    const both = await Promise.all(
      (['a', 'b'] as const).map((node) =>
        rig.api(
          node,
          'PUT',
          numberPath(LANES.api.number),
          { trunk_sid: 'trk_api', friendly_name: `${node}${i}` },
          revision,
        ),
      ),
    );
    t.strictSame(both.map(({ status }) => status).sort(), [200, 412], 'If-Match: one is taken, the other told');
    published++;
    const winner = both[0]?.status === 200 ? 'a' : 'b';
    for (const node of ['a', 'b'] as const) {
      await bounded('both nodes show the winner', 5000, async () => {
        const { json } = await rig.api(node, 'GET', numberPath(LANES.api.number));
        return json.friendly_name === `${winner}${i}`;
      });
    }
  }
  t.equal((await revisionsOf('b')).length - before, published, 'a revision for each that was taken');
});

const slotLimit = LANES.slots.limits.concurrent_calls;
const isRefusal =
  (reason: string) =>
  (call: Placed): boolean =>
    call.status !== 200 && call.reason !== reason;

void t.test('calls at a time: never more than the limit over both nodes, and no fewer than possible', async (t) => {
  const callee = callees.slots;
  callee.average();
  const load = new Load({ caller, nodes: rig.places, to: LANES.slots.number, callsPerSecond: 150, talkMs: [50, 300] });
  await after(2500);
  const average = callee.average();
  await load.stop();
  t.strictSame(load.calls.filter(isRefusal('trunk_concurrent_calls')), [], 'refused for the limit alone');
  t.equal(load.badEnds, 0);
  t.equal(callee.mostUp, slotLimit);
  t.comment(
    `${load.count(200)} of ${load.calls.length} let in, ${average.toFixed(1)} of ${slotLimit} up on the average`,
  );
  t.ok(average > 0.6 * slotLimit, `${average} up on the average`);
});

/** Calls on one node until so many are up at the callee. */
const fill = async (node: NodeName, count: number, limitMs: number): Promise<Placed[]> => {
  const calls: Placed[] = [];
  await bounded(`${count} calls are up through ${node}`, limitMs, async () => {
    const call = await caller.call(rig.place(node), LANES.slots.number);
    if (call.status === 200) calls.push(call);
    return calls.length >= count;
  });
  return calls;
};

void t.test('one node may have the whole limit; what it lets go of is the other’s', async (t) => {
  const all = await fill('a', slotLimit, 10_000);
  t.equal(callees.slots.up.size, slotLimit);
  t.equal((await caller.call(rig.place('b'), LANES.slots.number)).reason, 'trunk_concurrent_calls');
  for (const call of all.splice(0, 4)) t.equal(await call.hangUp(), 200);
  const others = await fill('b', 4, 10_000);
  t.equal(callees.slots.up.size, slotLimit);
  for (const call of [...all, ...others]) await call.hangUp();
  t.equal(callees.slots.mostUp, slotLimit);
});

/** Most calls beyond what a limit allows in any time: a full second's calls at once, and the rate from then on. */
const excess = (startsMs: readonly number[], perSecond: number): number => {
  let most = -Infinity;
  for (let from = 0; from < startsMs.length; from++) {
    for (let to = from; to < startsMs.length; to++) {
      const seconds = ((startsMs[to] as number) - (startsMs[from] as number)) / 1000;
      most = Math.max(most, to - from + 1 - perSecond - perSecond * seconds);
    }
  }
  return most;
};

void t.test('calls per second: the sum over both nodes keeps to the limit', async (t) => {
  const perSecond = LANES.rate.limits.calls_per_second;
  const beganMs = performance.now();
  const load = new Load({ caller, nodes: rig.places, to: LANES.rate.number, callsPerSecond: 100, talkMs: [10, 30] });
  await after(2500);
  const seconds = (performance.now() - beganMs) / 1000;
  await load.stop();
  t.strictSame(load.calls.filter(isRefusal('trunk_calls_per_second')), [], 'refused for the limit alone');
  const answered = load.count(200);
  const started = (): CallRecord[] =>
    rig.records().filter(({ trunkSid, outcome }) => trunkSid === 'trk_rate' && outcome === 'answered');
  await bounded('their records', 5000, () => started().length === answered);
  const startsMs = started().map(({ startedAt }) => Date.parse(startedAt));
  startsMs.sort((x, y) => x - y);
  const beyond = excess(startsMs, perSecond);
  t.comment(
    `${answered} of ${load.calls.length} in ${seconds.toFixed(1)} s; most beyond the limit ${beyond.toFixed(2)}`,
  );
  // A call was decided up to a millisecond before or after what its record says, and takes its token then.
  t.ok(beyond <= 1, `${beyond} beyond the limit`);
  t.ok(answered >= 0.6 * perSecond * seconds, `${answered} in ${seconds} s`);
});

void t.test(
  'a node that is killed: the other has the whole limit when its lease ends, its calls have records',
  async (t) => {
    const own = await fill('a', 4, 10_000);
    const lost = await fill('b', 6, 10_000);
    const lostIds = new Set(callees.slots.up);
    t.equal(lostIds.size, slotLimit);
    const free = new Load({
      caller,
      nodes: [rig.place('a')],
      to: LANES.free.number,
      callsPerSecond: 10,
      talkMs: [10, 200],
    });
    rig.node('b').signal('SIGKILL');
    await rig.node('b').ended();
    const killedMs = performance.now();
    await after(500);
    t.equal((await caller.call(rig.place('a'), LANES.slots.number)).reason, 'trunk_concurrent_calls', 'not at once');
    own.push(...(await fill('a', 6, 40_000)));
    t.comment(
      `the other node has the whole limit ${((performance.now() - killedMs) / 1000).toFixed(1)} s after the kill`,
    );
    t.equal((await caller.call(rig.place('a'), LANES.slots.number)).reason, 'trunk_concurrent_calls', 'and no more');
    await rig.startNode('b');
    await free.stop();
    t.equal(free.count(200), free.calls.length, 'all other calls went through');
    for (const { callId } of lost) {
      const record = await rig.node('b').record(callId);
      t.match(record, { reasonCode: 'node_lost', outcome: 'answered', nodeId: 'cluster-b' });
    }
    for (const call of own) t.equal(await call.hangUp(), 200);
    callees.slots.forget(lostIds);
    // The caller's 200 and the callee's BYE leave together: which is heard first is open.
    await until('no call is up at the callee', () => callees.slots.up.size === 0);
    callees.slots.mostUp = 0;
    const back = await fill('b', slotLimit, 10_000);
    for (const call of back) await call.hangUp();
  },
);

const HTTP_ANSWER = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';

void t.test('Redis is killed, silent, speaks HTTP, comes back, hangs: no call fails, limits hold', async (t) => {
  for (const node of ['a', 'b'] as const) await rig.node(node).metric('tandem_live_calls');
  const plan = { caller, nodes: rig.places };
  const free = new Load({ ...plan, to: LANES.free.number, callsPerSecond: 40, talkMs: [10, 500] });
  const slots = new Load({ ...plan, to: LANES.slots.number, callsPerSecond: 60, talkMs: [50, 400] });
  const stage = async (what: string, ms: number): Promise<void> => {
    const [calls, refused] = [free.calls.length, free.calls.length - free.count(200)];
    callees.slots.average();
    await after(ms);
    const failed = free.calls.length - free.count(200) - refused;
    const average = callees.slots.average().toFixed(1);
    t.comment(`${what}: ${failed} of ${free.calls.length - calls} failed; ${average} of ${slotLimit} limited calls up`);
  };
  await stage('Redis answers', 1000);
  await rig.redis.stop();
  await stage('refused', 1500);
  for (const [what, answer] of [['black hole', undefined] as const, ['HTTP', HTTP_ANSWER] as const]) {
    const impostor = await Impostor.listen(rig.redis, answer);
    await stage(what, 1500);
    t.ok(impostor.connections > 0, `${impostor.connections} connections`);
    await impostor.close();
  }
  t.ok(await rig.redis.restart());
  await stage('back', 2000);
  rig.redis.freeze();
  await stage('held', 1500);
  rig.redis.thaw();
  await stage('back again', 1000);
  await Promise.all([free.stop(), slots.stop()]);

  t.strictSame(
    free.calls.filter(({ status }) => status !== 200),
    [],
    `none of ${free.calls.length} calls failed`,
  );
  t.equal(free.badEnds + slots.badEnds, 0);
  t.strictSame(slots.calls.filter(isRefusal('trunk_concurrent_calls')), []);
  t.ok(callees.slots.mostUp <= slotLimit, `${callees.slots.mostUp} up at most`);
  for (const node of ['a', 'b'] as const) {
    const page = await (await rig.node(node).get('/metrics')).text();
    const lag = (quantile: string): number =>
      1000 * Number(new RegExp(`event_loop_lag_seconds\\{.*quantile="${quantile}".*\\} (\\S+)`).exec(page)?.[1]);
    t.comment(`${node}: event loop late by ${lag('0.99').toFixed(1)} ms (p99), ${lag('1').toFixed(1)} ms at most`);
    t.ok(lag('0.99') < 1000 && lag('1') < 5000);
  }
  const changed = await rig.api('b', 'PUT', numberPath('+918040050010'), { trunk_sid: 'trk_api', mode: 'pstn' });
  t.equal(changed.status, 201, 'changes are taken again');
  await untilStatus('a', '+918040050010', 200, performance.now());
});

const moveTo = (side: 'even' | 'odd'): object => {
  const other = side === 'even' ? 'odd' : 'even';
  const trunk = (name: 'even' | 'odd', live: boolean): object => ({
    trunk_sid: `trk_${name}`,
    account_sid: ACCOUNT,
    trunk_name: name,
    destination_uris: live ? [destinationOf(name)] : [],
  });
  const number = { phone_number: LANES.even.number, mode: 'pstn', trunk_sid: `trk_${side}` };
  return {
    changes: [
      { put: 'trunk', value: trunk(side, true) },
      { put: 'trunk', value: trunk(other, false) },
      { put: 'phone_number', value: number },
    ],
  };
};

void t.test(
  'ten revisions a second through one node: no call on either fails, none sees half a revision',
  async (t) => {
    const sides = new Map<string, string>();
    const publish = async (side: 'even' | 'odd'): Promise<void> => {
      const { status, json } = await rig.api('a', 'POST', '/api/revisions', moveTo(side));
      if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`);
      sides.set(String(json.revision), side);
    };
    await publish('even');
    await untilStatus('b', LANES.even.number, 200, performance.now());
    const load = new Load({
      caller,
      nodes: rig.places,
      to: LANES.even.number,
      callsPerSecond: 40,
      talkMs: [10, 100],
    });
    const beganMs = performance.now();
    for (let i = 1; i <= 50; i++) {
      await publish(i % 2 === 0 ? 'even' : 'odd');
      const waitMs = beganMs + i * 100 - performance.now();
      if (waitMs > 0) await after(waitMs);
    }
    const seconds = (performance.now() - beganMs) / 1000;
    await load.stop();
    t.equal(load.count(200), load.calls.length, 'no call failed');
    t.equal(load.badEnds, 0);
    const ids = new Set(load.calls.map(({ callId }) => callId));
    const records = (): CallRecord[] => rig.records().filter(({ aLegCallId }) => ids.has(aLegCallId));
    await bounded('a record of each call', 10_000, () => records().length >= ids.size);
    const pinned = new Map<string, Set<string>>();
    for (const { nodeId, revision, trunkSid, destination } of records()) {
      pinned.set(nodeId, (pinned.get(nodeId) ?? new Set()).add(revision));
      const side = (sides.get(revision) ?? 'unknown') as 'even' | 'odd';
      if (trunkSid !== `trk_${side}` || destination?.includes(`:${LANES[side].port}`) !== true) {
        t.fail(`${nodeId} at ${revision}, which is ${side}: ${String(trunkSid)} to ${String(destination)}`);
      }
    }
    const counts = [...pinned.values()].map(({ size }) => size);
    t.comment(`${(50 / seconds).toFixed(1)} revisions a second; calls were decided by ${counts.join(' and ')} of them`);
    t.ok(counts.length === 2 && Math.min(...counts) >= 10, 'on both nodes');
  },
);

/** Also those that were cut, refused, or ended while Redis was away. */
const complete = async (t: Test): Promise<void> => {
  const records = rig.records();
  const ids = new Set(records.map(({ callId }) => callId));
  t.equal(ids.size, records.length, 'each record has a key of its own');
  const legs = new Map<string, number>();
  for (const { aLegCallId } of records) legs.set(aLegCallId, (legs.get(aLegCallId) ?? 0) + 1);
  const reached = LANE_NAMES.flatMap((name) => [...callees[name].seen]);
  t.ok(reached.length > 500);
  const bLegs = new Set(records.map(({ bLegCallId }) => bLegCallId));
  t.strictSame(
    reached.filter((callId) => !bLegs.has(callId)),
    [],
    'every call that reached somebody has a record',
  );
  t.strictSame(
    [...legs].filter(([, times]) => times > 1),
    [],
    'and one alone',
  );
  let streamed = new Map<string, string[]>();
  await bounded('the stream has every record', 20_000, async () => {
    streamed = await rig.streamed();
    return streamed.size >= ids.size;
  });
  t.strictSame(
    [...streamed.keys()].filter((callId) => !ids.has(callId)),
    [],
  );
  const byId = new Map(records.map((record) => [record.callId, JSON.stringify(record)]));
  for (const [callId, entries] of streamed) {
    if (entries.some((entry) => entry !== byId.get(callId))) t.fail(`${callId} differs in the stream`);
  }
  const twice = [...streamed.values()].filter(({ length }) => length > 1).length;
  t.comment(`${records.length} records; ${twice} came to the stream more than once`);
};

void t.test('records are complete in the files and in the stream, one of each call', complete);
