// What a node serves of its capacity while two and ten times as many calls are offered, and how soon that is forgotten.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { placeCalls, startCallee } from './load.mjs';
import { PORT } from './places.mjs';
import { cpuSeconds } from './processes.mjs';
import { startSystem } from './systems.mjs';

/** Rates tried for the capacity: the highest at which fewer than 1% of the calls fail or are refused. */
const RUNGS = [200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1350, 1500, 1700, 1900, 2100, 2400];
const MAX_LOST = 0.01;
const HELD = 100;
const TIMES = [2, 10];
const RECOVERY_SECONDS = 5;

const withTandem = async (folder, options, work) => {
  const callee = await startCallee(join(folder, 'callee'));
  try {
    const system = await startSystem('tandem', join(folder, 'tandem'), options);
    try {
      return await work(system);
    } finally {
      await system.stop();
    }
  } finally {
    await callee.stop();
  }
};

const percent = (part, whole) => `${((100 * part) / Math.max(1e-9, whole)).toFixed(1)}%`;

/** @returns calls a second that are served with less than 1% lost; a rung that fails is tried once more */
const capacityOf = async (folder, options) => {
  let capacity = 0;
  for (const rate of RUNGS.filter((rung) => rung <= options.maxRate)) {
    let clean = false;
    for (let attempt = 0; attempt < 2 && !clean; attempt++) {
      const own = join(folder, `capacity-${rate}-${attempt}`);
      const load = await withTandem(own, options, async ({ address }) => {
        await placeCalls(join(own, 'warm'), { address, rate: Math.min(rate, 300), seconds: options.warmUp });
        return placeCalls(join(own, 'load'), { address, rate, seconds: options.rungSeconds });
      });
      clean = load.good >= (1 - MAX_LOST) * rate * options.rungSeconds && load.achievedRate > 0.95 * rate;
      console.log(
        `capacity  ${String(rate).padStart(5)}/s  good ${percent(load.good, rate * options.rungSeconds)}  refused ${load.refused}  failed ${load.failed}  ${clean ? 'clean' : 'not clean'}`,
      );
    }
    if (!clean) break;
    capacity = rate;
  }
  return capacity;
};

/** Held calls begin before, and end after, what is offered too much. */
const offer = (times, folder, { capacity, options }) =>
  withTandem(folder, options, async ({ address, pid }) => {
    const { seconds, warmUp } = options;
    await placeCalls(join(folder, 'warm'), { address, rate: Math.min(300, capacity / 2), seconds: warmUp });
    const holdMs = (seconds + RECOVERY_SECONDS + 4) * 1000;
    const held = placeCalls(join(folder, 'held'), { address, rate: HELD / 2, seconds: 2, port: PORT + 2, holdMs });
    await sleep(3000);
    const cpuBefore = cpuSeconds(pid);
    const load = await placeCalls(join(folder, 'load'), { address, rate: times * capacity, seconds });
    const cpu = cpuSeconds(pid) - cpuBefore;
    await sleep(RECOVERY_SECONDS * 1000);
    const rate = Math.max(10, capacity / 2);
    const after = await placeCalls(join(folder, 'after'), { address, rate, seconds: 5, port: PORT + 4 });
    const heldCalls = await held;
    const goodput = load.good / seconds;
    console.log(
      `${times} C: ${Math.round(load.calls / seconds)}/s offered for ${seconds} s; good ${goodput.toFixed(0)}/s = ${percent(goodput, capacity)} of C; ` +
        `503 ${load.refused}, failed ${load.failed}, retransmitted ${load.retransmissions}; ${((1000 * cpu) / load.calls).toFixed(3)} CPU-s/1000 offered`,
    );
    console.log(
      `      held ${heldCalls.good} of ${heldCalls.calls} to their end; ${RECOVERY_SECONDS} s after: ${after.good} of ${after.calls} good, ${after.refused} refused`,
    );
    return { times, offered: load.calls / seconds, goodput, share: goodput / capacity, load, held: heldCalls, after };
  });

/** R11: goodput at twice and ten times the capacity, calls that were there before, and after. */
export const overload = async (folder, options) => {
  console.log(`\nOverload: ${options.seconds} s each`);
  const capacity = options.capacity ?? (await capacityOf(folder, options));
  console.log(`C = ${capacity} calls/s`);
  const runs = [];
  for (const times of TIMES) runs.push(await offer(times, join(folder, `times-${times}`), { capacity, options }));
  return { capacity, runs };
};
