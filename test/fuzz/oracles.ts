/** The bounds that hold for every input: time and memory. Both are asked again before they count. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Finding, type Target } from './target.js';

/** CPU time of one input. */
export const MAX_INPUT_MS = 50;
/** Memory that one input may take. */
export const MAX_INPUT_BYTES = 50 * 1024 * 1024;
/** A slow input is run again so often: another program, a collection or the compiler may have been at work. */
const TRIES = 4;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const usedBytes = (): number => {
  const heap = getHeapStatistics();
  return heap.used_heap_size + heap.external_memory + heap.malloced_memory;
};

const cpuMs = async (target: Target, input: Buffer): Promise<number> => {
  const before = process.cpuUsage();
  await target.run(input);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};

/** Runs one input under all bounds. @throws Finding, or what the target threw */
export const runBounded = async (target: Target, input: Buffer): Promise<void> => {
  const bytesBefore = usedBytes();
  const began = performance.now();
  const running = target.run(input);
  if (running !== undefined) await running;
  const tookMs = performance.now() - began;
  const grownBytes = usedBytes() - bytesBefore;
  if (tookMs > MAX_INPUT_MS) await confirmSlow(target, input);
  if (grownBytes > MAX_INPUT_BYTES) await confirmLarge(target, input);
};

const confirmSlow = async (target: Target, input: Buffer): Promise<void> => {
  let best = Infinity;
  for (let i = 0; i < TRIES && best > MAX_INPUT_MS; i++) best = Math.min(best, await cpuMs(target, input));
  if (best > MAX_INPUT_MS) throw new Finding('slow', `${best.toFixed(0)} ms of CPU for ${input.length} octets`);
};

const confirmLarge = async (target: Target, input: Buffer): Promise<void> => {
  let least = Infinity;
  for (let i = 0; i < 2; i++) {
    collect();
    const before = usedBytes();
    await target.run(input);
    least = Math.min(least, usedBytes() - before);
  }
  if (least > MAX_INPUT_BYTES) throw new Finding('large', `${(least / 1e6).toFixed(0)} MB for ${input.length} octets`);
};
