// Calls that are up at once: the heap that each holds, and what re-INVITEs and their end do to it.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { holdCalls, startCallee } from './load.mjs';
import { collecting, liveHeap, megabytes } from './memory.mjs';
import { cpuSeconds, rssBytes } from './processes.mjs';
import { startSystem } from './systems.mjs';

/** Until the timers of 32 s have fired and only dialogs are left. */
const SETTLE_SECONDS = 38;

/**
 * Sets up `establishedCalls` calls, measures, lets each be renegotiated by its caller, measures, ends them, measures.
 * Nothing but time decides which phase a call is in: each half of a call is longer than setting all up and settling.
 */
export const established = async (folder, options) => {
  const { establishedCalls: count, establishedRate: rate } = options;
  const rampSeconds = count / rate;
  const halfSeconds = Math.ceil(rampSeconds + SETTLE_SECONDS + 8);
  console.log(`\n${count} established calls of tandem, set up at ${rate}/s, a re-INVITE each at the same rate`);
  const heapFile = join(folder, 'heap.jsonl');
  const callee = await startCallee(join(folder, 'callee'), 'uas-held');
  const system = await startSystem('tandem', join(folder, 'tandem'), {
    ...options,
    nodeFlags: collecting(options, heapFile),
  });
  try {
    const { address, pid } = system;
    await holdCalls(join(folder, 'warm'), { address, rate, count: Math.min(count, 3000), halfSeconds: 1 });
    await sleep(SETTLE_SECONDS * 1000);
    const heapIdle = await liveHeap(system, heapFile);
    const held = holdCalls(join(folder, 'held'), { address, rate, count, halfSeconds });
    await sleep((rampSeconds + SETTLE_SECONDS) * 1000);
    const heapUp = await liveHeap(system, heapFile);
    const rssUp = rssBytes(pid);
    // The first re-INVITE comes half a call after the first call, the last one as long as the ramp took later.
    await sleep((halfSeconds - rampSeconds - SETTLE_SECONDS) * 1000);
    const cpuBefore = cpuSeconds(pid);
    await sleep(rampSeconds * 1000);
    const cpu = cpuSeconds(pid) - cpuBefore;
    await sleep(SETTLE_SECONDS * 1000);
    const heapRenegotiated = await liveHeap(system, heapFile);
    const rssRenegotiated = rssBytes(pid);
    const { done, failed, retransmissions } = await held;
    await sleep(SETTLE_SECONDS * 1000);
    const heapAfter = await liveHeap(system, heapFile);
    const kilobytes = (heap) => ((heap - heapIdle) / count / 1000).toFixed(2);
    console.log(`calls ${done}, failed ${failed}, retransmissions ${retransmissions}`);
    console.log(
      `heap per established call: ${kilobytes(heapUp)} kB; after its re-INVITE ${kilobytes(heapRenegotiated)} kB`,
    );
    console.log(`live heap: ${[heapIdle, heapUp, heapRenegotiated, heapAfter].map(megabytes).join(', ')}`);
    console.log(`  (no calls; all up; all renegotiated; all over)`);
    console.log(`RSS with all up ${megabytes(rssUp)}, renegotiated ${megabytes(rssRenegotiated)}`);
    console.log(`CPU of a re-INVITE: ${((cpu / count) * 1000).toFixed(3)} ms`);
    return { count, done, failed, heapIdle, heapUp, heapRenegotiated, heapAfter, rssUp, rssRenegotiated, cpu };
  } finally {
    await system.stop();
    await callee.stop();
  }
};
