/** Limits that nodes share through a real redis-server: never more than the limit, whatever happens. */
import t, { type Test } from 'tap';
import { type LeaseEvent, LimitLeases } from '../../src/call/admission/limitLeases.js';
import type { HeldLimits } from '../../src/call/admission/limiter.js';
import { SharedLimiter } from '../../src/call/admission/sharedLimiter.js';
import type { LimitClaim } from '../../src/call/routing/decision.js';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { RedisLimitExchange } from '../../src/store/redis/limitExchange.js';
import { RedisServer } from '../support/redisServer.js';

const LEASE_MS = 1500;

/** One node: its limiter, its leases, and the calls that are up on it. */
class TestNode {
  readonly clock = new SystemClock();
  readonly limiter = new SharedLimiter();
  readonly events: LeaseEvent[] = [];
  readonly calls: HeldLimits[] = [];
  readonly exchange: RedisLimitExchange;
  readonly leases: LimitLeases;
  started = 0;

  constructor(url: string, nodeId: string) {
    this.exchange = new RedisLimitExchange({ url, nodeId, leaseMs: LEASE_MS }, this.clock);
    this.leases = new LimitLeases({
      limiter: this.limiter,
      exchange: this.exchange,
      clock: this.clock,
      random: new SystemRandom(),
      onEvent: (event) => this.events.push(event),
    });
  }

  call(...claims: LimitClaim[]): boolean {
    const nowMs = this.clock.nowMs();
    const view = this.limiter.at(nowMs);
    for (const { key, concurrentCalls, callsPerSecond } of claims) {
      if (concurrentCalls !== undefined && view.concurrent(key, concurrentCalls) >= concurrentCalls) return false;
      if (callsPerSecond !== undefined && !view.rateAllows(key, callsPerSecond, nowMs)) return false;
    }
    const held = this.limiter.claim(claims, nowMs);
    if (!held.ok) return false;
    this.calls.push(held.value);
    this.started++;
    return true;
  }

  hangUp(): void {
    const call = this.calls.shift();
    if (call !== undefined) this.limiter.release(call, this.clock.nowMs());
  }

  hangUpAll(): void {
    while (this.calls.length > 0) this.hangUp();
  }

  /** As if the process were gone: its connections are closed, and nobody says goodbye. */
  async vanish(): Promise<void> {
    this.exchange.leave = () => this.exchange.close();
    await this.leases.close();
  }
}

const slots = (key: string, concurrentCalls: number): LimitClaim => ({
  key,
  concurrentCalls,
  callsPerSecond: undefined,
});
const rate = (key: string, callsPerSecond: number): LimitClaim => ({ key, concurrentCalls: undefined, callsPerSecond });

/** Waits for something that other processes bring about; looks again whenever the loop has nothing else to do. */
const until = async (what: string, holds: () => boolean, limitMs = 5000): Promise<void> => {
  const late = performance.now() + limitMs;
  const clock = new SystemClock();
  while (!holds()) {
    if (performance.now() > late) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise<void>((resolve) => {
      clock.setTimer('look', 2, resolve);
      // The clock's own timer does not keep a process alive.
      setImmediate(() => {});
    });
  }
};

const cluster = async (
  t: Test,
  claims: LimitClaim[],
  count = 2,
): Promise<{ redis: RedisServer; nodes: TestNode[] }> => {
  const redis = await RedisServer.start();
  const keepAlive = setInterval(() => {}, 1000);
  const nodes: TestNode[] = [];
  t.teardown(async () => {
    for (const node of nodes) await node.leases.close();
    clearInterval(keepAlive);
    await redis.close();
  });
  for (let i = 0; i < count; i++) {
    const node = new TestNode(redis.url, `n${i}`);
    nodes.push(node);
    node.leases.prepare(claims);
    await node.leases.start(2000);
  }
  await until('everybody has its part', () =>
    nodes.every(({ limiter }) => limiter.company.nodes === count && limiter.pending + limiter.lacking === 0),
  );
  return { redis, nodes };
};

const up = (nodes: readonly TestNode[]): number => nodes.reduce((sum, node) => sum + node.calls.length, 0);

t.test('calls at a time: the sum over nodes is the limit, exactly', async (t) => {
  const limit = slots('trunk:a', 20);
  const { nodes } = await cluster(t, [limit]);
  const [a, b] = nodes as [TestNode, TestNode];
  let refused = 0;
  for (let i = 0; i < 60; i++) {
    if (!(i % 2 === 0 ? a : b).call(limit)) refused++;
    t.ok(up(nodes) <= 20);
  }
  await until('all twenty are up', () => {
    if (up(nodes) < 20) a.call(limit);
    return up(nodes) === 20;
  });
  t.notOk(a.call(limit));
  t.notOk(b.call(limit));
  t.ok(refused >= 40);
  b.hangUpAll();
  await until('what ended on one node goes to the other', () => {
    a.call(limit);
    return a.calls.length === 20;
  });
  t.equal(up(nodes), 20);
});

t.test('all calls on one of three nodes: it gets all there is', async (t) => {
  const limit = slots('carrier:c', 30);
  const { nodes } = await cluster(t, [limit], 3);
  const [a, , c] = nodes as [TestNode, TestNode, TestNode];
  await until('thirty calls on the first', () => {
    a.call(limit);
    return a.calls.length === 30;
  });
  t.notOk(c.call(limit));
  a.hangUp();
  await until('the last place goes where it is wanted', () => c.call(limit));
  t.equal(up(nodes), 30);
});

t.test('random load over several limits never exceeds any, and uses what there is', async (t) => {
  const limits = [slots('trunk:a', 7), slots('carrier:x', 11), slots('account:q', 9)];
  const { nodes } = await cluster(t, limits, 3);
  const random = new SystemRandom();
  let most = 0;
  let wrong = 0;
  const over = performance.now() + 2500;
  await until('the load is over', () => {
    for (let i = 0; i < 8; i++) {
      const node = nodes[Math.floor(random.float() * 3)] as TestNode;
      if (random.float() < 0.85) node.call(...limits);
      else node.hangUp();
    }
    most = Math.max(most, up(nodes));
    if (up(nodes) > 7) wrong++;
    return performance.now() > over;
  });
  t.equal(wrong, 0);
  t.equal(most, 7, 'the tightest limit was reached');
});

t.test('calls per second: tokens of all nodes together', async (t) => {
  const limit = rate('trunk:r', 50);
  const { nodes } = await cluster(t, [limit]);
  const from = performance.now();
  await until('two seconds of more calls than allowed', () => {
    for (const node of nodes) node.call(limit);
    return performance.now() - from > 2000;
  });
  const seconds = (performance.now() - from) / 1000;
  const started = nodes.reduce((sum, node) => sum + node.started, 0);
  t.ok(
    started <= 50 + 50 * seconds + 1,
    `${started} in ${seconds.toFixed(2)} s: at most a burst of 50, then 50 a second`,
  );
  t.ok(started >= 50 + 50 * seconds * 0.85, `${started} in ${seconds.toFixed(2)} s: what is allowed is used`);
  const [a] = nodes as [TestNode, TestNode];
  const before = a.started;
  const again = performance.now();
  await until('all on one node', () => {
    a.call(limit);
    return performance.now() - again > 1000;
  });
  t.ok(a.started - before >= 40, `${a.started - before} on one node alone`);
});

t.test('calls per second: a burst on all nodes after a quiet time is one second of calls, not more', async (t) => {
  const limit = rate('trunk:r', 20);
  const { nodes } = await cluster(t, [limit]);
  const quiet = performance.now();
  await until('the pool would have filled up again', () => performance.now() - quiet > 1100);
  const startsMs: number[] = [];
  await until('half a second of more calls than allowed', () => {
    for (const node of nodes) if (node.call(limit)) startsMs.push(performance.now());
    return performance.now() - quiet > 1700;
  });
  const seconds = ((startsMs.at(-1) ?? 0) - (startsMs[0] ?? 0)) / 1000;
  t.ok(startsMs.length <= 20 + 20 * seconds + 1e-3, `${startsMs.length} in ${seconds.toFixed(3)} s`);
  t.ok(startsMs.length >= 20, 'and not less');
});

t.test('a node that dies: what it held comes back when its lease ends, and not before', async (t) => {
  const limit = slots('trunk:a', 10);
  const { nodes } = await cluster(t, [limit]);
  const [a, b] = nodes as [TestNode, TestNode];
  for (let i = 0; i < 5; i++) t.ok(b.call(limit));
  await b.vanish();
  nodes.pop();
  const gone = performance.now();
  await until('the survivor has all ten', () => {
    a.call(limit);
    if (a.calls.length > 5 && performance.now() - gone < LEASE_MS - 1100) throw new Error('too early');
    return a.calls.length === 10;
  });
  t.notOk(a.call(limit));
});

t.test('Redis stopped and started, empty: each node goes on with its part, none exceeds', async (t) => {
  const limits = [slots('trunk:a', 20), rate('trunk:a2', 1000)];
  const { redis, nodes } = await cluster(t, limits);
  const [a, b] = nodes as [TestNode, TestNode];
  for (let i = 0; i < 6; i++) t.ok(a.call(...limits));
  await redis.stop();
  await until('both have noticed', () => nodes.every((node) => node.events.at(-1)?.type === 'alone'));
  for (let i = 0; i < 40; i++) {
    a.call(...limits);
    b.call(...limits);
  }
  t.equal(up(nodes), 20, 'the parts add up to the limit');
  b.hangUp();
  t.ok(b.call(...limits), 'a part is the node’s own, without Redis');
  t.ok(await redis.restart());
  await until(
    'both are back',
    () => {
      a.call(...limits);
      b.call(...limits);
      if (up(nodes) > 20) throw new Error(`${up(nodes)} calls up`);
      return nodes.every((node) => node.events.at(-1)?.type === 'together');
    },
    10_000,
  );
  a.hangUpAll();
  await until('parts move again', () => {
    b.call(...limits);
    return b.calls.length === 20;
  });
  t.notOk(a.call(...limits));
});

t.test('Redis that answers nothing refuses no call that the node’s part allows', async (t) => {
  const limits = [slots('trunk:a', 20), rate('trunk:b', 40)];
  const { redis, nodes } = await cluster(t, limits);
  const [a] = nodes as [TestNode, TestNode];
  redis.freeze();
  const from = performance.now();
  let refused = 0;
  let slowest = 0;
  await until('two seconds at a quarter of the rate', () => {
    const due = Math.floor((performance.now() - from) / 100);
    while (a.started < due) {
      const began = performance.now();
      if (!a.call(...limits)) {
        refused++;
        a.started++;
      }
      slowest = Math.max(slowest, performance.now() - began);
      if (a.calls.length > 8) a.hangUp();
    }
    return due >= 20;
  });
  redis.thaw();
  t.equal(refused, 0);
  t.ok(slowest < 20, `a claim never waits: ${slowest.toFixed(2)} ms at most`);
});

t.test('a node that starts without Redis counts by itself', async (t) => {
  const redis = await RedisServer.start();
  await redis.stop();
  const node = new TestNode(redis.url, 'lonely');
  const keepAlive = setInterval(() => {}, 1000);
  node.leases.prepare([slots('trunk:a', 3)]);
  await node.leases.start(300);
  for (let i = 0; i < 3; i++) t.ok(node.call(slots('trunk:a', 3)));
  t.notOk(node.call(slots('trunk:a', 3)));
  t.match(node.events, [{ type: 'alone' }]);
  await node.leases.close();
  clearInterval(keepAlive);
  await redis.close();
});
