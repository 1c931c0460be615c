// Publishes a routing document from a file to Redis, for a first start: publish.mjs FILE REDIS_URL [PREFIX]
// What Redis holds besides stays as it is. Needs `npm run build`.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SystemClock } from '../dist/kernel/index.js';
import { openStore } from '../dist/store/index.js';

/** Changes in one revision; the store takes at most 200,000. */
const CHUNK = 10_000;

const [path, url, prefix] = process.argv.slice(2);
if (path === undefined || url === undefined) throw new Error('usage: publish.mjs FILE REDIS_URL [PREFIX]');

const deps = { clock: new SystemClock(), pause: () => nextTurn() };
const file = openStore({ kind: 'file', path }, deps);
/** @type {any[]} */
const resources = [];
await file.follow(
  async (update) => {
    if (update.kind !== 'full') return;
    for await (const batch of update.batches) resources.push(...batch);
  },
  (problem) => process.stderr.write(`${problem.message}\n`),
);
await file.close();

const redis = openStore({ kind: 'redis', url, ...(prefix === undefined ? {} : { prefix }) }, deps);
for (let i = 0; i < resources.length; i += CHUNK) {
  const upserts = resources.slice(i, i + CHUNK);
  const revision = await redis.publish({ author: 'publish.mjs', upserts, deletes: [] });
  process.stdout.write(`revision ${revision}: ${upserts.length} resources\n`);
}
await redis.close();
