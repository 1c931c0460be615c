// Copies what tsc leaves behind (Lua scripts that src reads at start) into a compiled tree: copy-assets.mjs TARGET
import { cpSync, statSync } from 'node:fs';

const target = process.argv[2];
if (target === undefined) throw new Error('usage: copy-assets.mjs TARGET, for example dist or build/src');
cpSync('src', target, {
  recursive: true,
  filter: (source) => statSync(source).isDirectory() || source.endsWith('.lua'),
});
