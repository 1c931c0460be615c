import { once } from 'node:events';
import { watch } from 'node:fs';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Resource, RoutingStore } from '../../src/call/routing/resources.js';
import { SystemClock } from '../../src/kernel/index.js';
import { openStore, type StoreDeps } from '../../src/store/index.js';
import { longestHoldMs } from '../support/loopDelay.js';
import { RedisServer } from '../support/redisServer.js';
import { StoreFollower } from '../support/storeFollower.js';

const ONE = '+918040000001';
const TWO = '+918040000002';
const STREAM = '{tandem}:routing:changes';

const number = (phone_number: string): Resource => ({
  type: 'phone_number',
  value: { phone_number, trunk_sid: 'trk_demo', mode: 'pstn' },
});

const add = (...numbers: string[]): Parameters<RoutingStore['publish']>[0] => ({
  author: 'test',
  upserts: numbers.map(number),
  deletes: [],
});

interface World {
  readonly directory: string;
  readonly snapshotPath: string;
  readonly clock: SystemClock;
  readonly server: () => Promise<RedisServer>;
  readonly open: (url: string, withSnapshot?: boolean) => RoutingStore;
}

/** Runs a test with what it opens closed again, in the right order, whatever happens. */
const scenario = (name: string, body: (test: Test, world: World) => Promise<void>): void => {
  void t.test(name, { timeout: 60_000 }, async (test) => {
    const directory = await mkdtemp(join(tmpdir(), 'tandem-store-'));
    const snapshotPath = join(directory, 'routing.snapshot');
    const clock = new SystemClock();
    const deps: StoreDeps = { clock, pause: () => new Promise((resolve) => setImmediate(resolve)) };
    const stores: RoutingStore[] = [];
    const servers: RedisServer[] = [];
    const server = async (): Promise<RedisServer> => {
      const started = await RedisServer.start();
      servers.push(started);
      return started;
    };
    const open = (url: string, withSnapshot = true): RoutingStore => {
      const store = openStore({ kind: 'redis', url, ...(withSnapshot ? { snapshotPath } : {}) }, deps);
      stores.push(store);
      return store;
    };
    try {
      await body(test, { directory, snapshotPath, clock, server, open });
    } finally {
      for (const store of stores) await store.close();
      for (const one of servers) await one.close();
      await rm(directory, { recursive: true, force: true });
      test.strictSame(clock.dump(), {}, 'no timer lives on');
    }
  });
};

/** Publishes two numbers, lets a store write its snapshot, and leaves. */
const makeSnapshot = async (world: World, server: RedisServer): Promise<string> => {
  const store = world.open(server.url);
  const revision = await store.publish(add(ONE, TWO));
  await new StoreFollower().follow(store);
  await store.close();
  return revision;
};

/** Listens on loopback and treats each connection as told. */
const listen = async (test: Test, treat: (socket: Socket) => void): Promise<string> => {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    treat(socket);
  });
  const port = 12_000 + Math.floor(Math.random() * 1_000);
  server.listen(port, '127.0.32.2');
  await once(server, 'listening');
  test.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `redis://127.0.32.2:${port}`;
};

const speakHttp = (socket: Socket): void => {
  socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'));
};

scenario('Redis stopped: the last good table serves on; restarted without its data: still', async (test, world) => {
  const server = await world.server();
  const store = world.open(server.url, false);
  await store.publish(add(ONE, TWO));
  const follower = await new StoreFollower().follow(store);
  await server.stop();
  await follower.untilProblem('store_unreachable');
  test.match(store.status(), { connected: false, stale: true });
  await test.rejects(store.publish(add('+918040000003')), { code: 'store_unreachable', retryable: true });
  test.strictSame(follower.numbers, [ONE, TWO]);
  test.ok(await server.restart());
  await follower.untilProblem('routing_document_lost');
  test.strictSame(follower.numbers, [ONE, TWO]);
  test.match(store.status(), { connected: true, stale: true });
  const revision = await store.publish(add(ONE, TWO, '+918040000003'));
  await follower.untilRevision(revision);
  test.strictSame(follower.numbers, [ONE, TWO, '+918040000003']);
  test.match(store.status(), { connected: true, stale: false });
  test.strictSame(
    follower.problems.map((problem) => problem.code),
    ['store_unreachable', 'routing_document_lost'],
  );
});

scenario('what was published while the connection was cut comes as patches, each once', async (test, world) => {
  const server = await world.server();
  const publisher = world.open(server.url, false);
  await publisher.publish(add(ONE));
  const follower = await new StoreFollower().follow(world.open(server.url, false));
  for (let round = 0; round < 3; round++) {
    await server.send(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    const store = world.open(server.url, false);
    for (let i = 0; i < 3; i++) await store.publish(add(`+91804000020${round}${i}`));
    await follower.untilRevision(await store.publish(add(TWO)));
  }
  test.equal(follower.numbers.length, 11);
  test.strictSame(new Set(follower.updates.slice(1).map((update) => update.kind)), new Set(['patch']));
  test.equal(follower.updates.length, 1 + 3 * 4);
});

scenario('a stream trimmed while the connection was cut is healed by a full load', async (test, world) => {
  const server = await world.server();
  const publisher = world.open(server.url, false);
  await publisher.publish(add(ONE));
  const follower = await new StoreFollower().follow(world.open(server.url, false));
  server.freeze();
  const sent = server.send(
    ['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'],
    ['HSET', '{tandem}:routing:phone_number', TWO, JSON.stringify(number(TWO).value)],
    ['HSET', '{tandem}:routing:head', 'revision', '5-x', 'counter', '5', 'position', '9999999999999-0'],
    ['XADD', STREAM, '9999999999999-0', 'revision', '5-x'],
    ['XTRIM', STREAM, 'MAXLEN', '0'],
  );
  server.thaw();
  await sent;
  await follower.untilRevision('5-x');
  test.strictSame(follower.numbers, [ONE, TWO]);
  test.equal(follower.updates.at(-1)?.kind, 'full');
});

scenario('a silent Redis holds no publisher for longer than two seconds', async (test, world) => {
  const server = await world.server();
  const store = world.open(server.url, false);
  await store.publish(add(ONE));
  server.freeze();
  const startedMs = world.clock.nowMs();
  await test.rejects(store.publish(add(TWO)), { code: 'store_unreachable', message: /no answer to publishRevision/ });
  test.ok(world.clock.nowMs() - startedMs < 3_000);
  server.thaw();
  test.match(await store.publish(add('+918040000003')), /^\d+-[0-9a-f]{8}$/);
});

const coldStart = (name: string, place: (test: Test, server: RedisServer) => Promise<string>): void => {
  scenario(`cold start: ${name}: serves from the snapshot within 3 s and says so`, async (test, world) => {
    const server = await world.server();
    const revision = await makeSnapshot(world, server);
    await server.stop();
    const store = world.open(await place(test, server));
    const startedMs = world.clock.nowMs();
    const follower = await new StoreFollower().follow(store);
    const tookMs = world.clock.nowMs() - startedMs;
    test.comment(`${name}: ${tookMs.toFixed(0)} ms`);
    test.ok(tookMs < 3_000, `${tookMs} ms`);
    test.match(follower.updates, [{ kind: 'full', revision }]);
    test.strictSame(follower.numbers, [ONE, TWO]);
    test.match(store.status(), { connected: false, stale: true, detail: /is served from/ });
    test.match(
      follower.problems.map((problem) => problem.code),
      ['store_unreachable', 'served_from_snapshot'],
    );
  });
};

coldStart('nothing listens', (_test, server) => Promise.resolve(server.url));
coldStart('a black hole', (test) => listen(test, () => {}));
coldStart('a web server', (test) => listen(test, speakHttp));
coldStart('a line of garbage', (test) => listen(test, (socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n')));

scenario('a cold start without Redis and snapshot fails, and says why', async (test, world) => {
  const url = await listen(test, (socket) => socket.destroy());
  const store = world.open(`${url.replace('redis://', 'redis://user:secret@')}`);
  const failure = await new StoreFollower().follow(store).then(
    () => undefined,
    (error: unknown) => error as Error,
  );
  test.match(failure, { code: 'no_routing_document', message: /127\.0\.32\.2/ });
  test.notMatch(failure?.message, /secret/);
});

scenario(
  'from the snapshot it goes over to Redis when that answers; an equal revision is not delivered again',
  async (test, world) => {
    const server = await world.server();
    const revision = await makeSnapshot(world, server);
    server.freeze();
    const store = world.open(server.url);
    const follower = await new StoreFollower().follow(store);
    test.match(follower.updates, [{ kind: 'full', revision }]);
    test.equal(store.status().stale, true);
    server.thaw();
    const next = await world.open(server.url).publish(add('+918040000003'));
    await follower.untilRevision(next);
    test.match(follower.updates, [
      { kind: 'full', revision },
      { kind: 'patch', revision: next },
    ]);
    test.match(store.status(), { connected: true, stale: false });
  },
);

scenario('the snapshot follows the patches', async (test, world) => {
  const server = await world.server();
  await makeSnapshot(world, server);
  const store = world.open(server.url);
  const follower = await new StoreFollower().follow(store);
  const written = new Promise<void>((resolve) => {
    const watcher = watch(world.directory, (_event, name) => {
      if (name !== 'routing.snapshot') return;
      watcher.close();
      resolve();
    });
  });
  const revision = await store.publish({ ...add('+918040000003'), deletes: [{ type: 'phone_number', id: ONE }] });
  await follower.untilRevision(revision);
  await written;
  const lines = (await readFile(world.snapshotPath, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  test.match(lines[0], { tandem_snapshot: 1, revision });
  test.match(lines.at(-1), { count: 2, sha256: /^[0-9a-f]{64}$/ });
  const numbers = lines.slice(1, -1).map((line) => (line as { value: { phone_number: string } }).value.phone_number);
  test.strictSame(numbers.sort(), [TWO, '+918040000003']);
});

scenario('a snapshot that was tampered with is refused', async (test, world) => {
  const server = await world.server();
  await makeSnapshot(world, server);
  await server.stop();
  const text = await readFile(world.snapshotPath, 'utf8');
  await writeFile(world.snapshotPath, text.replace(ONE, '+918040000009'));
  const follower = new StoreFollower();
  await test.rejects(follower.follow(world.open(server.url)), { code: 'no_routing_document', message: /checksum/ });
  test.strictSame(follower.updates, []);
  const told = follower.problems.filter((problem) => problem.code === 'snapshot_corrupt');
  test.match(told, [{ message: /routing\.snapshot: refused, its checksum does not match/ }]);
  test.equal(told.length, 1);
});

scenario('an empty Redis delivers an empty document, and the first publication is based on it', async (test, world) => {
  const server = await world.server();
  const store = world.open(server.url);
  const follower = await new StoreFollower().follow(store);
  test.match(follower.updates, [{ kind: 'full', revision: '0' }]);
  const revision = await store.publish({ ...add(ONE), base: '0' });
  await follower.untilRevision(revision);
  test.strictSame(follower.updates.at(-1), { kind: 'patch', revision });
  await store.close();
  await access(world.snapshotPath);
});

scenario(
  'a revision too large for the stream is read from the history, in turns that leave the thread free',
  async (test, world) => {
    const server = await world.server();
    const store = world.open(server.url, false);
    const follower = await new StoreFollower().follow(store);
    const numbers = Array.from({ length: 20_000 }, (_, i) => `+9180${String(41_000_000 + i)}`);
    const longestMs = await longestHoldMs(async () => {
      await follower.untilRevision(await store.publish(add(...numbers)));
    });
    test.equal(follower.updates.at(-1)?.kind, 'patch');
    test.equal(follower.numbers.length, 20_000);
    test.comment(`longest turn ${longestMs.toFixed(1)} ms`);
    test.ok(longestMs < 150, `${longestMs} ms; 50 are the aim`);
    const [one] = add(ONE).upserts;
    const upserts = Array.from({ length: 200_001 }, () => one as Resource);
    await test.rejects(store.publish({ ...add(), upserts }), { code: 'revision_too_large' });
  },
);

scenario(
  'a gap of the stream is not filled by an invalid revision, and healed when that is mended',
  async (test, world) => {
    const server = await world.server();
    const store = world.open(server.url, false);
    await store.publish(add(ONE));
    const follower = await new StoreFollower().follow(store);
    const bad = JSON.stringify([[4, TWO, JSON.stringify({ phone_number: TWO, trunk_sid: 7, mode: 'pstn' })]]);
    const position = '9999999999999-0';
    await server.send(
      ['MULTI'],
      ['HSET', '{tandem}:routing:phone_number', TWO, JSON.stringify({ phone_number: TWO, trunk_sid: 7, mode: 'pstn' })],
      ['HSET', '{tandem}:routing:head', 'revision', '2-bad', 'counter', '2', 'position', position],
      [
        'XADD',
        STREAM,
        position,
        'revision',
        '2-bad',
        'base',
        follower.revision as string,
        'upserts',
        bad,
        'deletes',
        '[]',
      ],
      ['EXEC'],
    );
    await follower.untilProblem('invalid_document');
    test.match(follower.problems.at(-1)?.message, /revision 2-bad: .*trunk_sid/);
    test.strictSame(follower.numbers, [ONE]);
    test.match(store.status(), { connected: true, stale: true });
    await follower.untilRevision(await store.publish(add(TWO)));
    test.strictSame(follower.numbers, [ONE, TWO]);
    test.match(store.status(), { connected: true, stale: false });
  },
);

scenario(
  'a follower that refuses a revision keeps the one before, and is offered the next in full',
  async (test, world) => {
    const server = await world.server();
    const store = world.open(server.url, false);
    await store.publish(add(ONE));
    const kinds: string[] = [];
    const problems: string[] = [];
    let resolve: () => void;
    const third = new Promise<void>((done) => (resolve = done));
    await store.follow(
      (update) => {
        kinds.push(update.kind);
        if (kinds.length === 2 || kinds.length === 3) return Promise.reject(new Error('no room'));
        if (kinds.length === 4) resolve();
        return Promise.resolve();
      },
      (problem) => problems.push(problem.message),
    );
    await store.publish(add(TWO));
    await store.publish(add('+918040000003'));
    await third;
    test.strictSame(kinds, ['full', 'patch', 'full', 'full']);
    test.match(problems, [/no room/, /no room/]);
  },
);
