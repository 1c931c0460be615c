import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Resource } from '../../src/call/routing/resources.js';
import { ManualClock } from '../../src/kernel/index.js';
import { readSnapshot, writeSnapshot } from '../../src/store/redis/snapshotFile.js';
import { ResourceTable } from '../../src/store/resourceTable.js';

const deps = { clock: new ManualClock(), pause: (): Promise<void> => Promise.resolve() };

const numbers = (count: number): Resource[] =>
  Array.from({ length: count }, (_, i) => ({
    type: 'phone_number',
    value: { phone_number: `+9180${40_000_000 + i}`, trunk_sid: 'trk_demo', mode: 'pstn' },
  }));

void t.test('a snapshot', async (test) => {
  const directory = await mkdtemp(join(tmpdir(), 'tandem-snapshot-'));
  test.teardown(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'deep', 'routing.snapshot');
  const table = new ResourceTable(numbers(5_000));
  await writeSnapshot(path, { table, revision: '7-abc', position: '5-1' }, '2026-01-01T00:00:00Z', deps);
  const text = await readFile(path, 'utf8');

  await test.test('reads back as it was written', async (sub) => {
    const read = await readSnapshot(path, deps);
    if (!read.ok || read.value === undefined) throw new Error('refused');
    sub.match(read.value, { revision: '7-abc', position: '5-1' });
    sub.equal(read.value.table.size, 5_000);
    const [first] = numbers(1) as [Resource];
    sub.strictSame(read.value.table.get({ type: 'phone_number', id: '+918040000000' }), first);
  });

  await test.test('that is missing is none, not an error', async (sub) => {
    sub.strictSame(await readSnapshot(join(directory, 'none'), deps), { ok: true, value: undefined });
  });

  const lines = text.trimEnd().split('\n');
  const without = (index: number): string => `${lines.filter((_, i) => i !== index).join('\n')}\n`;
  const spoiled: readonly (readonly [string, string, RegExp])[] = [
    ['with one digit changed', text.replace('+918040000001', '+918040099999'), /checksum/],
    ['without one line', without(100), /4999 resources, not 5000/],
    ['without its trailer', without(lines.length - 1), /trailer is missing/],
    ['without its header', without(0), /not a snapshot/],
    ['cut off', text.slice(0, -20), /cut off/],
    ['followed by more', `${text}${lines[1]}\n`, /after the trailer/],
    ['of an invalid resource', text.replace('"mode":"pstn"', '"mode":"tuba"'), /mode/],
    ['that is empty', '', /trailer is missing/],
    ['that is binary', '\u0000\u0001\n', /JSON/],
  ];
  for (const [name, content, why] of spoiled) {
    await test.test(`${name} is refused`, async (sub) => {
      await writeFile(path, content);
      const read = await readSnapshot(path, deps);
      sub.match(read, { ok: false, error: { code: 'snapshot_corrupt', message: why } });
    });
  }
});
