import { mkdir, mkdtemp, open, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import type { Resource, RoutingStore } from '../../src/call/routing/resources.js';
import { SystemClock } from '../../src/kernel/index.js';
import { openStore } from '../../src/store/index.js';
import { longestHoldMs } from '../support/loopDelay.js';
import { StoreFollower } from '../support/storeFollower.js';

const ONE = '+918040000001';
const TWO = '+918040000002';

/** As a person would write it. */
const yaml = (...numbers: string[]): string => `# routes of the office
trunks:
  - trunk_sid: trk_demo
    account_sid: demo
    trunk_name: my_pbx
    whitelisted_ips: [{ ip: 127.0.32.20, mask: 32 }]
    destination_uris: [{ destination: "127.0.32.20:12060", priority: 0, weight: 1 }]
    phone_numbers:
${numbers.map((number) => `      - { phone_number: "${number}", mode: pstn }\n`).join('')}
accounts: [{ sid: demo }]
carriers: []
flows: []
network_groups: []
`;

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
  readonly path: string;
  readonly clock: SystemClock;
  readonly open: (path?: string) => RoutingStore;
}

const scenario = (name: string, body: (test: Test, world: World) => Promise<void>): void => {
  void t.test(name, { timeout: 60_000 }, async (test) => {
    const directory = await mkdtemp(join(tmpdir(), 'tandem-store-'));
    const path = join(directory, 'routing.yaml');
    await writeFile(path, yaml(ONE));
    const clock = new SystemClock();
    const stores: RoutingStore[] = [];
    const openIt = (at = path): RoutingStore => {
      const deps = { clock, pause: (): Promise<void> => new Promise((resolve) => setImmediate(resolve)) };
      const store = openStore({ kind: 'file', path: at }, deps);
      stores.push(store);
      return store;
    };
    try {
      await body(test, { directory, path, clock, open: openIt });
    } finally {
      for (const store of stores) await store.close();
      await rm(directory, { recursive: true, force: true });
      test.strictSame(clock.dump(), {}, 'no timer lives on');
    }
  });
};

const has = (follower: StoreFollower, phoneNumber: string): Promise<void> =>
  follower.until(phoneNumber, () => follower.numbers.includes(phoneNumber));

scenario('an editor that writes in place is seen, and one that renames', async (test, world) => {
  const follower = await new StoreFollower().follow(world.open());
  await writeFile(world.path, yaml(ONE, TWO));
  await has(follower, TWO);
  const startedMs = world.clock.nowMs();
  await writeFile(join(world.directory, '.routing.yaml.swp'), yaml(ONE, TWO, '+918040000003'));
  await rename(join(world.directory, '.routing.yaml.swp'), world.path);
  await has(follower, '+918040000003');
  const tookMs = world.clock.nowMs() - startedMs;
  test.comment(`${tookMs.toFixed(0)} ms`);
  test.ok(tookMs < 500, `${tookMs} ms`);
  await rename(world.path, `${world.path}~`);
  await writeFile(world.path, yaml(ONE));
  await follower.until('one number only', () => follower.numbers.length === 1);
  test.strictSame(new Set(follower.updates.slice(1).map((update) => update.kind)), new Set(['patch']));
  test.equal(new Set(follower.updates.map((update) => update.revision)).size, follower.updates.length);
});

scenario('a mounted configuration that swaps a link is seen', async (test, world) => {
  for (const [name, numbers] of [
    ['v1', [ONE]],
    ['v2', [ONE, TWO]],
  ] as const) {
    await mkdir(join(world.directory, name));
    await writeFile(join(world.directory, name, 'table.yaml'), yaml(...numbers));
  }
  await symlink('v1', join(world.directory, 'data'));
  await symlink(join('data', 'table.yaml'), join(world.directory, 'table.yaml'));
  const follower = await new StoreFollower().follow(world.open(join(world.directory, 'table.yaml')));
  test.strictSame(follower.numbers, [ONE]);
  await symlink('v2', join(world.directory, 'data.new'));
  await rename(join(world.directory, 'data.new'), join(world.directory, 'data'));
  await has(follower, TWO);
});

scenario('a half-written file is a problem with its place, and good again once whole', async (test, world) => {
  const store = world.open();
  const follower = await new StoreFollower().follow(store);
  const text = yaml(ONE, TWO);
  const file = await open(world.path, 'w');
  await file.write(text.slice(0, text.indexOf(TWO) + 4));
  await follower.untilProblem('invalid_document');
  test.match(follower.problems[0]?.message, /not YAML: .*line \d+, column \d+/);
  test.match(store.status(), { stale: true, detail: /not YAML/ });
  test.strictSame(follower.numbers, [ONE]);
  await file.write(text.slice(text.indexOf(TWO) + 4));
  await file.close();
  await has(follower, TWO);
  test.equal(store.status().stale, false);
});

scenario('an emptied or missing file keeps the last good document', async (test, world) => {
  const store = world.open();
  const follower = await new StoreFollower().follow(store);
  await writeFile(world.path, '');
  await follower.untilProblem('invalid_document');
  await rm(world.path);
  await follower.untilProblem('unreadable_document');
  test.match(store.status(), { connected: false, stale: true, detail: /ENOENT/ });
  test.strictSame(follower.numbers, [ONE]);
  await writeFile(world.path, yaml(ONE, TWO));
  await has(follower, TWO);
  test.match(store.status(), { connected: true, stale: false });
});

scenario('a start on a bad or missing file fails and names it', async (test, world) => {
  await writeFile(world.path, yaml(ONE).replace('mask: 32', 'mask: 320'));
  const failure = { code: 'no_routing_document', message: /routing\.yaml: .*whitelisted_ips\[0\]\.mask/ };
  await test.rejects(new StoreFollower().follow(world.open()), failure);
  const missing = world.open(join(world.directory, 'none.yaml'));
  await test.rejects(new StoreFollower().follow(missing), { code: 'no_routing_document', message: /none\.yaml/ });
  const nowhere = world.open(join(world.directory, 'no', 'where.yaml'));
  await test.rejects(new StoreFollower().follow(nowhere), { code: 'no_routing_document', message: /where\.yaml/ });
});

scenario('comments and order are no change', async (test, world) => {
  const follower = await new StoreFollower().follow(world.open());
  await writeFile(world.path, `# a remark\n${yaml(ONE)}`);
  await writeFile(world.path, `${yaml(TWO, ONE)}# another\n`);
  await has(follower, TWO);
  test.equal(follower.updates.length, 2);
});

scenario('publications are journalled, the order of the document and its mode are kept', async (test, world) => {
  await writeFile(world.path, yaml(TWO, ONE), { mode: 0o640 });
  const mode = (await stat(world.path)).mode;
  const store = world.open();
  const revisions: string[] = [];
  for (let i = 0; i < 25; i++)
    revisions.push(await store.publish({ ...add(`+9180400001${10 + i}`), author: `user ${i}` }));
  const journal = `${world.path}.revisions`;
  const index = (await readFile(join(journal, 'index.jsonl'), 'utf8')).trimEnd().split('\n');
  const entries = index.map((line) => JSON.parse(line) as { revision: string; author: string; file: string });
  test.strictSame(
    entries.map((entry) => entry.revision),
    revisions,
  );
  test.equal(entries.at(-1)?.author, 'user 24');
  const files = await readdir(journal);
  test.strictSame(
    files.filter((name) => name.endsWith('.yaml')).sort(),
    entries
      .slice(-20)
      .map((entry) => entry.file)
      .sort(),
    'whole documents of the last twenty',
  );
  test.equal(files.filter((name) => name.endsWith('.changes.jsonl')).length, 25);
  const text = await readFile(world.path, 'utf8');
  test.equal(await readFile(join(journal, entries.at(-1)?.file as string), 'utf8'), text);
  test.ok(text.indexOf(TWO) < text.indexOf(ONE), 'order kept');
  test.equal((await stat(world.path)).mode, mode);
  const left = (await readdir(world.directory)).filter((name) => /lock|tmp/.test(name));
  test.strictSame(left, [], 'no lock and no temporary file is left');
});

scenario('what an editor writes is a revision of the history, once, whoever sees it first', async (test, world) => {
  const stores = [world.open(), world.open()] as const;
  const followers = await Promise.all(stores.map((store) => new StoreFollower().follow(store)));
  await writeFile(world.path, yaml(ONE, TWO));
  await Promise.all(followers.map((follower) => has(follower, TWO)));
  const { revisions } = await stores[0].history.list({ limit: 10 });
  test.match(revisions, [{ author: 'file', changes: 1 }]);
  test.equal(revisions.length, 1);
  test.strictSame(new Set(followers.map((follower) => follower.revision)).size, 1, 'by one name');
  test.equal(revisions[0]?.revision, followers[0]?.revision);
  test.equal(revisions[0]?.base, followers[0]?.updates[0]?.revision);
  const { changes } = await stores[1].history.get(revisions[0]?.revision as string);
  test.match(changes, [
    { key: { type: 'phone_number', id: TWO }, before: undefined, after: { trunk_sid: 'trk_demo' } },
  ]);
  const published = await stores[1].publish(add('+918040000003'));
  test.match((await stores[0].history.list({ limit: 1 })).revisions, [
    { revision: published, base: revisions[0]?.revision, author: 'test' },
  ]);
});

scenario(
  'an edit made while no process ran is noticed at the start, and one before a publication, too',
  async (test, world) => {
    const first = world.open();
    await new StoreFollower().follow(first);
    await first.publish(add(TWO));
    await first.close();
    await writeFile(world.path, yaml(ONE));
    const second = world.open();
    const follower = await new StoreFollower().follow(second);
    const { revisions } = await second.history.list({ limit: 10 });
    test.match(revisions, [{ author: 'file', revision: follower.revision }, { author: 'test' }]);
    const { changes } = await second.history.get(follower.revision as string);
    test.match(changes, [{ key: { id: TWO }, before: { mode: 'pstn' }, after: undefined }]);
    await second.close();
    await writeFile(world.path, yaml(ONE, '+918040000004'));
    const third = world.open();
    await third.publish(add('+918040000005'));
    const after = await third.history.list({ limit: 2 });
    test.strictSame(
      after.revisions.map((one) => one.author),
      ['test', 'file'],
    );
  },
);

scenario('a look at a document leaves no trace, and a folder that cannot be written is served', async (test, world) => {
  const deps = { clock: world.clock, pause: (): Promise<void> => new Promise((resolve) => setImmediate(resolve)) };
  const look = openStore({ kind: 'file', path: world.path, readOnly: true }, deps);
  const follower = await new StoreFollower().follow(look);
  await writeFile(world.path, yaml(ONE, TWO));
  await has(follower, TWO);
  await look.close();
  test.notOk((await readdir(world.directory)).includes('routing.yaml.revisions'));
  // What cannot be a folder stands for what may not be made.
  await writeFile(`${world.path}.revisions`, '');
  const other = await new StoreFollower().follow(world.open());
  await writeFile(world.path, yaml(TWO));
  await other.until('one number', () => other.numbers.length === 1);
  test.strictSame(other.numbers, [TWO]);
});

scenario('a publication that changes nothing is a revision all the same', async (test, world) => {
  const store = world.open();
  const follower = await new StoreFollower().follow(store);
  const revision = await store.publish(add(ONE));
  await follower.untilRevision(revision);
  test.strictSame(follower.numbers, [ONE]);
});

scenario('a number without its trunk is refused as a document', async (test, world) => {
  const orphan = { type: 'phone_number', value: { phone_number: TWO, trunk_sid: 'trk_none', mode: 'pstn' } } as const;
  const store = world.open();
  await test.rejects(store.publish({ author: 'test', upserts: [orphan], deletes: [] }), {
    code: 'invalid_document',
    message: /trk_none/,
  });
});

const large = (name: string, write: (world: World, numbers: string[]) => Promise<string>, count: number): void => {
  scenario(`a ${name} document is read and edited off the thread, and comes in batches`, async (test, world) => {
    const numbers = Array.from({ length: count }, (_, i) => `+9180${String(41_000_000 + i)}`);
    const path = await write(world, numbers);
    test.comment(`${(await stat(path)).size} bytes`);
    const longestMs = await longestHoldMs(async () => {
      const store = world.open(path);
      const follower = await new StoreFollower().follow(store);
      test.equal(follower.resources.size, numbers.length + 2);
      test.ok(follower.largestBatch <= 2_000);
      const revision = await store.publish(add(TWO));
      await follower.untilRevision(revision);
      test.equal(follower.updates.at(-1)?.kind, 'patch');
      test.ok(follower.resources.has(`phone_number ${TWO}`));
      await writeFile(path, '{ "trunks": 7 }');
      await follower.untilProblem('invalid_document');
    });
    test.comment(`longest turn ${longestMs.toFixed(1)} ms`);
    test.ok(longestMs < 250, `${longestMs} ms; 50 are the aim`);
  });
};

const writeJson = async (world: World, numbers: string[]): Promise<string> => {
  const path = join(world.directory, 'large.json');
  const document = parse(yaml(ONE)) as { trunks: { phone_numbers: unknown[] }[] };
  document.trunks[0]?.phone_numbers.splice(0, 1, ...numbers.map((one) => ({ phone_number: one, mode: 'pstn' })));
  await writeFile(path, JSON.stringify(document, null, 1));
  return path;
};

const writeYaml = async (world: World, numbers: string[]): Promise<string> => {
  await writeFile(world.path, yaml(...numbers));
  return world.path;
};

large('3 MB JSON', writeJson, 40_000);
large('200 kB YAML', writeYaml, 4_000);
