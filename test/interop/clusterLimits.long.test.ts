/** Two nodes under more load than a limit allows, while Redis goes and comes back empty: told by both nodes' records. */
import t from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import { SystemClock } from '../../src/kernel/index.js';
import { RedisStore } from '../../src/store/redis/redisStore.js';
import { CallLoad } from '../support/callLoad.js';
import { bounded } from '../support/endpoints.js';
import { RedisServer } from '../support/redisServer.js';
import { TandemNode } from '../support/tandemNode.js';

const LIMIT = 12;
const CALLER = '127.0.68.12';
const CALLEE = { address: '127.0.68.13', port: 34_120 };
const NUMBER = '+18005550100';
const PORT = 34_100;

const document = {
  accounts: [{ sid: 'demo' }],
  carriers: [
    { id: 'telco', kind: 'byo', gateways: [0, 1].map((i) => ({ uri: `sip:${CALLEE.address}:${CALLEE.port + i}` })) },
  ],
  trunks: [
    {
      trunk_sid: 'trk',
      account_sid: 'demo',
      trunk_name: 'pbx',
      whitelisted_ips: [{ ip: CALLER }],
      phone_numbers: [{ phone_number: NUMBER, mode: 'pstn', carrier: 'telco' }],
      limits: { concurrent_calls: LIMIT },
    },
  ],
};

interface Dump {
  readonly limits: { readonly nodes: number; readonly alone: boolean };
}

/** Records hold a call's limits from its beginning to its end; both nodes have the same clock. */
const mostAtATime = (records: readonly CallRecord[]): number => {
  const changes = records.flatMap(({ startedAt, endedAt }) => [
    [Date.parse(startedAt), 1] as const,
    [Date.parse(endedAt), -1] as const,
  ]);
  // Within a millisecond the order is not known: what can have been one after the other was.
  changes.sort(([a, up], [b, down]) => a - b || up - down);
  let most = 0;
  let now = 0;
  for (const [, change] of changes) most = Math.max(most, (now += change));
  return most;
};

t.test('calls at a time of both nodes, Redis stopped and started under load', { timeout: 110_000 }, async (t) => {
  const redis = await RedisServer.start();
  t.teardown(() => redis.close());
  const store = new RedisStore({ url: redis.url }, { clock: new SystemClock(), pause: () => Promise.resolve() });
  const valid = validateDocument(document);
  if (!valid.ok) throw new Error(JSON.stringify(valid.error));
  await store.publish({ author: 'test', upserts: flatten(valid.value), deletes: [] });
  await store.close();

  const nodes: TandemNode[] = [];
  for (const i of [0, 1]) {
    const node = await TandemNode.start({
      address: `127.0.68.${10 + i}`,
      port: PORT,
      routing: {},
      config: { node: { id: `n${i}` }, store: { kind: 'redis', url: redis.url, snapshotPath: './snapshot.ndjson' } },
    });
    nodes.push(node);
    t.teardown(() => node.destroy());
  }
  const loads = nodes.map(
    (node, i) =>
      new CallLoad({
        node: { address: node.address, port: PORT },
        caller: { address: CALLER, port: 34_130 + i, number: NUMBER },
        callee: { address: CALLEE.address, port: CALLEE.port + i },
        callsPerSecond: 40,
        mostTalkMs: 600,
      }),
  );
  for (const load of loads) {
    await load.open();
    t.teardown(() => load.close());
  }
  const limitsAre = (alone: boolean) => async (): Promise<boolean> => {
    const dumps = await Promise.all(nodes.map(async (node) => (await node.dump()) as unknown as Dump));
    return dumps.every(({ limits }) => limits.nodes === 2 && limits.alone === alone);
  };
  const answerMore = (count: number): Promise<unknown> =>
    Promise.all(loads.map((load) => load.untilAnswered(load.answered.size + count)));

  await bounded('both know each other', 10_000, limitsAre(false));
  for (const load of loads) load.start();
  await answerMore(50);
  await redis.stop();
  await bounded('both go by their part', 10_000, limitsAre(true));
  await answerMore(20);
  t.ok(await redis.restart());
  await bounded('both are together again', 30_000, limitsAre(false));
  await answerMore(20);
  for (const load of loads) load.pause(false);
  await bounded('all calls are over', 10_000, () => loads.every(({ unfinished }) => unfinished === 0));
  for (const { refused } of loads) t.same([...refused.keys()], [503], 'refused by the limit and nothing else');
  for (const node of nodes) await node.quiet();
  const held = nodes.flatMap((node) => node.records()).filter(({ outcome }) => outcome !== 'rejected');
  t.equal(mostAtATime(held), LIMIT, `${held.length} calls: the limit is reached, and never exceeded`);
  for (const node of nodes) {
    const reasons = new Set(node.records().map(({ reasonCode }) => reasonCode));
    t.same([...reasons].sort(), ['normal_clearing', 'trunk_concurrent_calls']);
    node.signal('SIGTERM');
    t.same(await node.ended(), [0, null]);
  }
});
