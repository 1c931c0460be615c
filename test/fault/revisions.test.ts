/**
 * R14: the routing table is rewritten ten times a second while calls come. Each revision moves the number to the other
 * trunk, gives that trunk its destination and takes the destination from the trunk it left: a call that saw half of a
 * revision would find a trunk without a destination, and fail.
 */
import { setTimeout as after } from 'node:timers/promises';
import t from 'tap';
import { openStore } from '../../src/store/index.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import { SystemClock } from '../../src/kernel/index.js';
import { bounded } from '../support/endpoints.js';
import { RedisServer } from '../support/redisServer.js';
import { Sipp } from '../support/sipp.js';
import { TandemNode } from '../support/tandemNode.js';

const NODE = '127.0.65.10';
const CARRIER = '127.0.65.11';
const PBX = '127.0.65.12';
const PORT = 31_100;
const NUMBER = '+918040000001';
const CALLS = 400;
const RATE = 40;
const EVERY_MS = 100;
const PORTS = { even: 31_200, odd: 31_201 } as const;

type Side = keyof typeof PORTS;
const otherThan = (side: Side): Side => (side === 'even' ? 'odd' : 'even');

const trunk = (side: Side, live: boolean): object => ({
  trunk_sid: `trk_${side}`,
  account_sid: 'acme',
  trunk_name: side,
  destination_uris: live ? [{ destination: `${PBX}:${PORTS[side]}`, priority: 0, weight: 1 }] : [],
});
const number = (side: Side): object => ({
  phone_number: NUMBER,
  mode: 'pstn',
  carrier: 'telco',
  trunk_sid: `trk_${side}`,
});

/** All three at once: the number's trunk, and who has a destination. */
const moveTo = (side: Side): object => ({
  note: side,
  changes: [
    { put: 'trunk', value: trunk(side, true) },
    { put: 'trunk', value: trunk(otherThan(side), false) },
    { put: 'phone_number', value: number(side) },
  ],
});

const document = (): object => {
  const { trunk_sid: _trunk, ...mapped } = number('even') as { trunk_sid: string };
  return {
    accounts: [{ sid: 'acme' }],
    carriers: [{ id: 'telco', kind: 'byo', source_acl: [{ ip: CARRIER }], gateways: [] }],
    trunks: [{ ...trunk('even', true), phone_numbers: [mapped] }, trunk('odd', false)],
  };
};

const redis = await RedisServer.start();
t.teardown(() => redis.close());
const store = { kind: 'redis', url: redis.url } as const;
const seed = openStore(store, { clock: new SystemClock(), pause: () => after(0) });
const valid = validateDocument(document());
if (!valid.ok) throw new Error(JSON.stringify(valid.error));
await seed.publish({ author: 'test', upserts: flatten(valid.value), deletes: [] });
await seed.close();
const node = await TandemNode.start({
  address: NODE,
  port: PORT,
  routing: {},
  config: { store: { ...store, snapshotPath: './snapshot.ndjson' } },
});
t.teardown(() => node.stop());

const publish = async (side: Side): Promise<string> => {
  const response = await fetch(`http://${NODE}:${PORT + 1}/api/revisions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(moveTo(side)),
  });
  const body = (await response.json()) as { revision: string };
  if (response.status !== 201) throw new Error(`${response.status} ${JSON.stringify(body)}`);
  return body.revision;
};

void t.test('R14: ten revisions a second under load: no call fails, none sees half a revision', async (t) => {
  const callees = await Promise.all(
    (['even', 'odd'] as const).map((side) =>
      Sipp.start({ scenario: 'uas/answer', address: PBX, port: PORTS[side], calls: 10 * CALLS, limitMs: 90_000 }),
    ),
  );
  const sides = new Map<string, Side>();
  const publishing = new AbortController();
  /** Each at its tenth of a second, whether the one before was quick or slow. */
  const writer = (async () => {
    const began = performance.now();
    for (let i = 1; !publishing.signal.aborted; i++) {
      const side = i % 2 === 0 ? 'even' : 'odd';
      sides.set(await publish(side), side);
      const waitMs = began + i * EVERY_MS - performance.now();
      if (waitMs > 0) await after(waitMs, undefined, { signal: publishing.signal }).catch(() => undefined);
    }
    return performance.now() - began;
  })();
  const caller = await Sipp.run({
    scenario: 'uac/answer',
    address: CARRIER,
    port: 31_300,
    remote: `${NODE}:${PORT}`,
    service: NUMBER,
    keys: { caller: '+919812345678' },
    calls: CALLS,
    rate: RATE,
    limitMs: 80_000,
  });
  publishing.abort();
  const tookMs = await writer;
  for (const callee of callees) await callee.stop();
  t.equal(caller.failed, 0, caller.errors);
  t.equal(caller.succeeded, CALLS);
  const rate = (sides.size * 1000) / tookMs;
  t.comment(`${sides.size} revisions in ${Math.round(tookMs)} ms: ${rate.toFixed(1)} a second`);
  t.ok(sides.size >= 20, `${sides.size} revisions`);

  await bounded('a record of each call', 10_000, () => node.records().length >= CALLS);
  const records = node.records();
  t.equal(records.length, CALLS);
  const pinned = new Set<string>();
  for (const { reasonCode, revision, trunkSid } of records) {
    pinned.add(revision);
    const side = sides.get(revision) ?? 'even';
    if (reasonCode !== 'normal_clearing' || trunkSid !== `trk_${side}`) {
      t.fail(`${String(reasonCode)} at ${revision}, which is ${side}, on ${String(trunkSid)}`);
    }
  }
  t.ok(pinned.size >= 20, `calls were decided by ${pinned.size} revisions`);
  const page = (await (await node.get('/api/revisions?limit=1000')).json()) as { revisions: { revision: string }[] };
  t.equal(page.revisions.length, sides.size + 1, 'history has each');
});
