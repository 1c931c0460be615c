/** Money of several nodes, and records as a stream, in a real redis-server. */
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { SystemClock } from '../../src/kernel/index.js';
import { RedisRecordStream } from '../../src/store/redis/recordStream.js';
import { RedisSpendStore } from '../../src/store/redis/spendStore.js';
import { RedisServer } from '../support/redisServer.js';

const setUp = async (t: Test): Promise<{ redis: RedisServer; client: Redis }> => {
  const redis = await RedisServer.start();
  const client = new Redis(redis.url);
  t.teardown(async () => {
    client.disconnect();
    await redis.close();
  });
  return { redis, client };
};

t.test('each node writes its own sums and reads those of the others', async (t) => {
  const { redis, client } = await setUp(t);
  const clock = new SystemClock();
  const [a, b] = ['a', 'b'].map((nodeId) => new RedisSpendStore({ url: redis.url, nodeId }, clock)) as [
    RedisSpendStore,
    RedisSpendStore,
  ];
  const key = { key: 'trunk:t', currency: 'EUR' };
  t.same(await a.exchange(20_000, [{ ...key, micros: 100 }], [key]), [{ ...key, micros: 0 }]);
  t.same(await b.exchange(20_000, [{ ...key, micros: 7 }], [key]), [{ ...key, micros: 100 }]);
  await a.exchange(20_000, [{ ...key, micros: 250 }], []);
  await a.exchange(20_000, [{ ...key, micros: 250 }], []);
  t.same(await b.exchange(20_000, [], [key]), [{ ...key, micros: 250 }], 'twice is once');
  t.same(await b.exchange(20_001, [], [key]), [{ ...key, micros: 0 }], 'another day');
  const [name] = await client.keys('*');
  t.equal(name, '{tandem}:spend:2024-10-04:EUR:trunk:t');
  t.ok((await client.ttl(name as string)) > 86_400);
  await redis.stop();
  await t.rejects(a.exchange(20_000, [{ ...key, micros: 1 }], []), { code: 'store_unreachable' });
  a.close();
  b.close();
});

t.test('records are entries that a consumer group reads', async (t) => {
  const { redis, client } = await setUp(t);
  const stream = new RedisRecordStream({ url: redis.url, stream: 'cdr', maxLength: 1000 }, new SystemClock());
  await client.xgroup('CREATE', 'cdr', 'billing', '$', 'MKSTREAM');
  const json = Buffer.from('{"callId":"c1","name":"Zoë"}');
  await stream.deliver([
    { callId: 'c1', json },
    { callId: 'c2', json: Buffer.from('{"callId":"c2"}') },
  ]);
  const read = (await client.xreadgroup('GROUP', 'billing', 'me', 'COUNT', 10, 'STREAMS', 'cdr', '>')) as [
    string,
    [string, string[]][],
  ][];
  t.same(
    read[0]?.[1].map(([, fields]) => fields),
    [
      ['callId', 'c1', 'record', json.toString()],
      ['callId', 'c2', 'record', '{"callId":"c2"}'],
    ],
  );
  await client.set('text', 'x');
  const wrong = new RedisRecordStream({ url: redis.url, stream: 'text', maxLength: 1000 }, new SystemClock());
  await t.rejects(wrong.deliver([{ callId: 'c1', json }]), { code: 'cdr_stream_refused' });
  await wrong.close();
  await redis.stop();
  await t.rejects(stream.deliver([{ callId: 'c3', json }]), { code: 'store_unreachable' });
  await redis.restart();
  await stream.deliver([{ callId: 'c3', json }]);
  t.pass('goes on when Redis is back');
  await stream.close();
});
