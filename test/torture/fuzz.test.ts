/** A bounded share of fuzzing in every run, in a process of its own that gives way to everything else. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { Fuzzer } from '../fuzz/fuzzer.js';
import { TARGETS } from '../fuzz/targets/index.js';
import { plantedTarget } from '../fuzz/targets/planted.js';

const SECONDS = 60;
const main = fileURLToPath(new URL('../fuzz/main.js', import.meta.url));

t.test(
  'the search finds a fault behind six conditions, and shrinks what leads to it',
  { timeout: 120_000 },
  async (t) => {
    const fuzzer = new Fuzzer();
    t.teardown(() => fuzzer.close());
    const { found, corpus } = await fuzzer.fuzz(plantedTarget, { seconds: 90, seed: 7, corpus: [], maxFound: 1 });
    t.equal(found[0]?.oracle, 'throws-TypeError');
    t.equal(found[0]?.input.toString(), '<;"@:%', 'as short as can be');
    t.ok(corpus.length >= 5, `${corpus.length} inputs on the way there`);
  },
);

t.test(`${SECONDS} s of fuzzing hurt no oracle`, { timeout: 200_000 }, async (t) => {
  const save = mkdtempSync(join(tmpdir(), 'tandem-fuzz-'));
  t.teardown(() => rmSync(save, { recursive: true, force: true }));
  const child = spawn(process.execPath, [main, '--seconds', String(SECONDS), '--save', save], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
  const [code] = (await once(child, 'close')) as [number | null];
  // The inputs themselves are gone with this machine: a failure shows them, shrunk and escaped.
  t.equal(code, 0, said);
  for (const { name } of TARGETS) {
    const inputs = Number(new RegExp(`^${name} +(\\d+) inputs`, 'm').exec(said)?.[1] ?? 0);
    t.ok(inputs > 20, `${name}: ${inputs} inputs`);
  }
});
