/**
 * One change to a table of 1,000,000 numbers in Redis: how long until a node's call path has it, and what the directory
 * beside the table costs. Needs redis-server. Runs on the build: `npm run build && node --expose-gc bench/publish.mjs`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate, setTimeout as after } from 'node:timers/promises';

const BUILD = process.env.BUILD ?? new URL('../dist/', import.meta.url).href;
const NUMBERS = Number(process.env.NUMBERS ?? 1_000_000);
const TRUNKS = 10_000;
const ROUNDS = Number(process.env.ROUNDS ?? 100);
const [HOST, PORT] = [process.env.REDIS_HOST ?? '127.0.65.20', Number(process.env.REDIS_PORT ?? 31_600)];

const load = (path) => import(new URL(path, BUILD).href);
const { openStore } = await load('store/index.js');
const { TableHolder } = await load('call/routing/compile.js');
const { Control, DirectoryHolder } = await load('control/index.js');
const { SystemClock, ok } = await load('kernel/index.js');

const clock = new SystemClock();
const pause = () => setImmediate();
const number = (i) => `+9180${String(i).padStart(8, '0')}`;
const megabytes = () => {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 1_048_576;
};
const say = (name, value) => console.log(`${name.padEnd(64)}${value}`);
const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.floor(values.length * q)];

/** Longest time that the thread was held while `work` ran. */
const watched = async (work) => {
  let [longest, last, running] = [0, performance.now(), true];
  const watch = (async () => {
    while (running) {
      await after(1);
      longest = Math.max(longest, performance.now() - last - 1);
      last = performance.now();
    }
  })();
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const took = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  running = false;
  await watch;
  return { result, took, cpu: (user + system) / 1000, longest };
};

const server = spawn('redis-server', ['--bind', HOST, '--port', String(PORT), '--save', '', '--appendonly', 'no'], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
await once(server.stdout, 'data');
const url = `redis://${HOST}:${PORT}`;
const stores = [];
const open = () => {
  const store = openStore({ kind: 'redis', url }, { clock, pause });
  stores.push(store);
  return store;
};

try {
  const seed = open();
  const trunks = Array.from({ length: TRUNKS }, (_, t) => ({
    type: 'trunk',
    value: {
      trunk_sid: `trk_${t}`,
      account_sid: 'acc',
      trunk_name: `t${t}`,
      whitelisted_ips: [],
      destination_uris: [],
    },
  }));
  const account = { type: 'account', value: { sid: 'acc' } };
  await seed.publish({ author: 'bench', upserts: [account, ...trunks], deletes: [] });
  const CHUNK = 100_000;
  for (let start = 0; start < NUMBERS; start += CHUNK) {
    const upserts = Array.from({ length: Math.min(CHUNK, NUMBERS - start) }, (_, i) => ({
      type: 'phone_number',
      value: { phone_number: number(start + i), trunk_sid: `trk_${(start + i) % TRUNKS}`, mode: 'pstn' },
    }));
    const one = await watched(() => seed.publish({ author: 'bench', upserts, deletes: [] }));
    if (start === 0) {
      say(
        `one revision of ${CHUNK} changes: wall / CPU of this process`,
        `${one.took.toFixed(0)} / ${one.cpu.toFixed(0)} ms`,
      );
      say('  longest turn', `${one.longest.toFixed(0)} ms`);
    }
  }
  await seed.close();

  // The directory alone, of what is in memory already: its own time and memory.
  const alone = new DirectoryHolder(pause);
  const batches = function* () {
    yield [account, ...trunks];
    for (let start = 0; start < NUMBERS; start += 1000) {
      yield Array.from({ length: 1000 }, (_, i) => ({
        type: 'phone_number',
        value: { phone_number: number(start + i), trunk_sid: `trk_${(start + i) % TRUNKS}`, mode: 'pstn' },
      }));
    }
  };
  const before = megabytes();
  const filled = await watched(() => alone.apply({ kind: 'full', revision: 'x', batches: batches() }));
  say(`directory of ${NUMBERS} numbers: wall / CPU`, `${filled.took.toFixed(0)} / ${filled.cpu.toFixed(0)} ms`);
  say('  longest turn', `${filled.longest.toFixed(1)} ms`);
  say('  memory', `${(megabytes() - before).toFixed(1)} MB`);
  if (alone.current.size.numbers !== NUMBERS) throw new Error('numbers are missing');

  const store = open();
  const table = new TableHolder({ pause });
  const directory = new DirectoryHolder(pause);
  const follow = (update) => {
    const draft = directory.begin(update);
    return table.apply(draft.update).then(() => draft.commit());
  };
  const loaded = await watched(() => store.follow(follow, (problem) => console.error(problem)));
  say(
    'full load from Redis, table and directory: wall / CPU',
    `${loaded.took.toFixed(0)} / ${loaded.cpu.toFixed(0)} ms`,
  );
  say('  longest turn', `${loaded.longest.toFixed(1)} ms`);

  // Another node publishes; this one's call path is looked at.
  const otherStore = open();
  const otherDirectory = new DirectoryHolder(pause);
  await otherStore.follow(
    (update) => otherDirectory.apply(update),
    (problem) => console.error(problem),
  );
  const control = new Control({ store: otherStore, directory: otherDirectory, clock });
  const author = { accountSid: 'acc', key: 'k', via: 'api' };
  const reached = [];
  const answered = [];
  const cpu = process.cpuUsage();
  for (let i = 0; i < ROUNDS; i++) {
    const moved = number((i * 7919) % NUMBERS);
    const sid = `trk_${(i * 31) % TRUNKS}`;
    const began = performance.now();
    const served = new Promise((resolve) => {
      const stop = table.swapped.subscribe(() => {
        if (table.current.number(moved)?.trunkSid !== sid) return;
        stop();
        resolve(performance.now() - began);
      });
    });
    const change = {
      upserts: [{ type: 'phone_number', value: { phone_number: moved, trunk_sid: sid, mode: 'pstn' } }],
      deletes: [],
    };
    const result = await control.change(author, () => ok({ ...change, result: undefined }));
    if (!result.ok) throw new Error(result.error.message);
    answered.push(performance.now() - began);
    reached.push(await served);
  }
  const { user, system } = process.cpuUsage(cpu);
  say('one change, published elsewhere, in the call path after: p50', `${quantile(reached, 0.5).toFixed(1)} ms`);
  say('  p99', `${quantile(reached, 0.99).toFixed(1)} ms`);
  say('  answered to its author, who reads it: p50', `${quantile(answered, 0.5).toFixed(1)} ms`);
  say('  CPU of both nodes together, per change', `${((user + system) / 1000 / ROUNDS).toFixed(2)} ms`);
} finally {
  for (const store of stores) await store.close();
  server.kill('SIGKILL');
}
