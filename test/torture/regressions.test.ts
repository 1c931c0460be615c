/** Inputs that once hurt an oracle of the fuzzer (`npm run fuzz`), replayed under the same bounds. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runBounded } from '../fuzz/oracles.js';
import { TARGETS } from '../fuzz/targets/index.js';

const FOLDER = join('test', 'torture', 'regressions');

for (const target of TARGETS) {
  t.test(`${target.name}: its seeds and what was found once hold all oracles`, async (t) => {
    const seeds = target.seeds();
    for (const seed of seeds) await runBounded(target, seed);
    const folder = join(FOLDER, target.name);
    const files = existsSync(folder) ? readdirSync(folder) : [];
    for (const file of files) {
      await t.resolves((async () => runBounded(target, readFileSync(join(folder, file))))(), `${target.name}/${file}`);
    }
    t.ok(seeds.length > 0, `${seeds.length} seeds, ${files.length} found once`);
  });
}

t.test('every folder of findings belongs to a target', async (t) => {
  const names = new Set(TARGETS.map(({ name }) => name));
  const folders = existsSync(FOLDER) ? readdirSync(FOLDER, { withFileTypes: true }).filter((e) => e.isDirectory()) : [];
  for (const { name } of folders) t.ok(names.has(name), name);
  t.equal(names.size, TARGETS.length);
});
