// Preloaded into the process under test (node --expose-gc --import): on SIGWINCH, which nobody else minds, it collects
// all garbage and appends what the heap then holds to BENCH_HEAP_FILE, as one line of JSON.
import { appendFileSync } from 'node:fs';

process.on('SIGWINCH', () => {
  globalThis.gc();
  globalThis.gc();
  appendFileSync(process.env.BENCH_HEAP_FILE, `${JSON.stringify(process.memoryUsage())}\n`);
});
