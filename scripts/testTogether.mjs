// Runs compiled test files in one process, one after the other: testTogether.mjs FILE...
//
// All share tap's root test, which runs what is queued in order; a test point `end of FILE` says that those of a file
// are done, so test.mjs can tell whose the points before it are. What the file's tests assert of the root test is
// queued while they run, behind `rest of FILE`.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';

for (const file of process.argv.slice(2)) {
  await import(pathToFileURL(resolve(file)).href);
  await t.test(`rest of ${file}`, async () => {});
  await t.test(`end of ${file}`, async () => {});
}
