// Preloaded into the process under test (node --expose-gc --import): on SIGUSR2 collects all garbage and writes
// what the heap then holds, as one line of JSON, to the file named by BENCH_HEAP_FILE.
import { appendFileSync } from 'node:fs';

process.on('SIGUSR2', () => {
  globalThis.gc();
  globalThis.gc();
  appendFileSync(process.env.BENCH_HEAP_FILE, `${JSON.stringify(process.memoryUsage())}\n`);
});
