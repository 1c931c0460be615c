// Memory of Tandem over many calls: resident size while they run, live heap when the timers of all have fired.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { placeCalls, startCallee } from './load.mjs';
import { rssBytes } from './processes.mjs';
import { startSystem } from './systems.mjs';

const DRAIN_SECONDS = 36;
const SAMPLE_MS = 1000;

/** Flags with which a process writes its live heap to the file when asked. */
export const collecting = ({ nodeFlags }, heapFile) => {
  process.env.BENCH_HEAP_FILE = heapFile;
  return [...nodeFlags, '--expose-gc', '--import', new URL('collector.mjs', import.meta.url).pathname];
};

const LONGEST_COLLECTION_MS = 60_000;

const linesOf = (file) => (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []);

/** Live heap after a full collection, in bytes. One of 600 MB takes seconds. */
export const liveHeap = async (system, file) => {
  const before = linesOf(file).length;
  process.kill(system.pid, 'SIGWINCH');
  for (let waitedMs = 0; waitedMs < LONGEST_COLLECTION_MS; waitedMs += 100) {
    await sleep(100);
    const lines = linesOf(file);
    if (lines.length > before) return JSON.parse(lines.at(-1)).heapUsed;
  }
  throw new Error(`no collection within ${LONGEST_COLLECTION_MS / 1000} s`);
};

/** Slope of the least-squares line through [x, y] points. */
export const slope = (points) => {
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return above / points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
};

export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** Warm-up of 60 s (until calls leave at the rate at which they come), drain, `calls` calls, drain. */
export const memory = async (folder, options) => {
  const { memoryCalls: calls, memoryRate: rate } = options;
  const warmSeconds = options.quick ? 5 : 60;
  console.log(`\nMemory of tandem over ${calls} calls at ${rate}/s`);
  const heapFile = join(folder, 'heap.jsonl');
  const nodeFlags = collecting(options, heapFile);
  const callee = await startCallee(join(folder, 'callee'));
  const system = await startSystem('tandem', join(folder, 'tandem'), { ...options, nodeFlags });
  let sampler;
  try {
    const { address, pid } = system;
    const startRss = rssBytes(pid);
    const warm = await placeCalls(join(folder, 'warm'), { address, rate, seconds: warmSeconds });
    await sleep(DRAIN_SECONDS * 1000);
    const heapBefore = await liveHeap(system, heapFile);
    const samples = [];
    const from = performance.now();
    sampler = setInterval(() => samples.push([(performance.now() - from) / 1000, rssBytes(pid)]), SAMPLE_MS);
    const load = await placeCalls(join(folder, 'load'), { address, rate, seconds: calls / rate });
    clearInterval(sampler);
    await sleep(DRAIN_SECONDS * 1000);
    const heapAfter = await liveHeap(system, heapFile);
    // Timers of 32 s fill up first.
    const steady = samples.filter(([second]) => second > 40);
    const perThousandOf = (points) => (points.length > 10 ? (slope(points) / rate) * 1000 : NaN);
    const perThousand = perThousandOf(steady);
    // A process finds its size in some minutes; what leaks goes on.
    const laterPerThousand = perThousandOf(samples.slice(samples.length >> 1));
    const failed = warm.failed + load.failed;
    const refused = warm.refused + load.refused;
    console.log(`calls ${warm.calls} + ${load.calls}, failed ${failed}, refused ${refused}`);
    console.log(`RSS at start ${megabytes(startRss)}; every tenth of the run:`);
    const tenth = Math.max(1, Math.floor(samples.length / 10));
    console.log(
      `  ${samples
        .filter((_, i) => i % tenth === 0)
        .map(([, rss]) => (rss / 1e6).toFixed(0))
        .join(' ')} MB`,
    );
    console.log(
      `RSS slope in MB per million calls: ${(perThousand / 1000).toFixed(1)} after 40 s, ${(laterPerThousand / 1000).toFixed(1)} in the second half`,
    );
    console.log(`live heap after full collection: ${megabytes(heapBefore)} before, ${megabytes(heapAfter)} after`);
    console.log(`growth of the live heap: ${((heapAfter - heapBefore) / load.calls).toFixed(1)} bytes a call`);
    console.log(`call records written to the open file: ${system.records()}`);
    return {
      calls: load.calls,
      failed,
      refused,
      samples,
      rssSlopePer1000: perThousand,
      rssSlopeLaterPer1000: laterPerThousand,
      heapBefore,
      heapAfter,
    };
  } finally {
    clearInterval(sampler);
    await system.stop();
    await callee.stop();
  }
};
