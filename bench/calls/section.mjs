// CPU a call, time to answer and the highest clean rate, of Tandem and of Kamailio (bare, and with the work of a trunk), in turns.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { placeCalls, probe, startCallee } from './load.mjs';
import { cpuSeconds, machineBusySeconds, rssBytes } from './processes.mjs';
import { startSystem } from './systems.mjs';

/** Transaction timers fire 32 s after the last message; a system that is not asked for them looks too cheap. */
const DRAIN_SECONDS = 35;
const PROBES_PER_SECOND = 20;
const LADDER = [300, 600, 900, 1200, 1500, 1800, 2100, 2400];
const MAX_RETRANSMISSIONS = 0.001;
/** SIPp that cannot keep its rate measures itself. */
const MIN_OF_RATE = 0.97;
/** `trunking`: Kamailio with the work of a trunk, see kamailio-trunk.cfg. */
export const SYSTEMS = ['kamailio', 'trunking', 'tandem'];

const withSystem = async (name, folder, options, work) => {
  const callee = await startCallee(join(folder, 'callee'));
  try {
    const system = await startSystem(name, join(folder, name), options);
    try {
      return await work(system, callee);
    } finally {
      await system.stop();
    }
  } finally {
    await callee.stop();
  }
};

/** One measured run: warm-up, then load and drain, all of the system's CPU counted. */
const measureCost = (name, folder, options) =>
  withSystem(name, folder, options, async (system, callee) => {
    const { rate, seconds, drain, warmUp } = options;
    await placeCalls(join(folder, 'warm'), { address: system.address, rate, seconds: warmUp });
    const cpuBefore = cpuSeconds(system.pid);
    const busyBefore = machineBusySeconds();
    const [load, probes] = await Promise.all([
      placeCalls(join(folder, 'load'), { address: system.address, rate, seconds }),
      probe(join(folder, 'probe'), { address: system.address, rate: PROBES_PER_SECOND, seconds: seconds - 1 }),
    ]);
    const busy = machineBusySeconds() - busyBefore;
    const cpuLoaded = cpuSeconds(system.pid) - cpuBefore;
    await sleep(drain ? DRAIN_SECONDS * 1000 : 2000);
    const cpu = cpuSeconds(system.pid) - cpuBefore;
    const calls = load.calls + probes.calls;
    return {
      name,
      calls,
      cpuPer1000: (cpu / calls) * 1000,
      cpuLoadedPer1000: (cpuLoaded / calls) * 1000,
      failed: load.failed + load.refused + probes.lost,
      retransmissions: load.retransmissions + callee.retransmissions(),
      p50: probes.p50,
      p99: probes.p99,
      rssMb: rssBytes(system.pid) / 1e6,
      machineBusy: busy / (seconds + 5),
    };
  });

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const fixed = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : '-');

const COST_HEAD = 'system      calls  CPU-s/1000 (load only)  failed  retrans  p50 ms  p99 ms  RSS MB  machine busy';
const costLine = (run) =>
  [
    run.name.padEnd(9),
    String(run.calls).padStart(8),
    fixed(run.cpuPer1000, 3).padStart(12),
    `(${fixed(run.cpuLoadedPer1000, 3)})`.padStart(12),
    String(run.failed).padStart(7),
    String(run.retransmissions).padStart(8),
    fixed(run.p50, 2).padStart(7),
    fixed(run.p99, 2).padStart(7),
    fixed(run.rssMb, 0).padStart(7),
    `${fixed(run.machineBusy, 2)} cores`.padStart(13),
  ].join(' ');

/** CPU-seconds per 1000 calls and INVITE -> 200, in turns: kamailio, trunking, tandem, kamailio ... */
export const cost = async (folder, options) => {
  const { rate, seconds, drain, turns, systems } = options;
  console.log(
    `\nCost at ${rate} calls/s: ${seconds} s of load${drain ? ` and ${DRAIN_SECONDS} s of drain, both counted` : ', drain NOT counted'}`,
  );
  console.log(COST_HEAD);
  const runs = [];
  for (let turn = 0; turn < turns; turn++) {
    for (const name of systems) {
      const run = await measureCost(name, join(folder, `cost-${turn}-${name}`), options);
      runs.push(run);
      console.log(costLine(run));
    }
  }
  const of = (name, key) => mean(runs.filter((run) => run.name === name).map((run) => run[key]));
  const ratios = {};
  for (const yardstick of systems.includes('tandem') ? systems.filter((name) => name !== 'tandem') : []) {
    const [ours, theirs] = [of('tandem', 'cpuPer1000'), of(yardstick, 'cpuPer1000')];
    const loadOnly = of('tandem', 'cpuLoadedPer1000') / of(yardstick, 'cpuLoadedPer1000');
    ratios[yardstick] = ours / theirs;
    console.log(
      `CPU tandem/${yardstick}: ${fixed(ours, 3)} / ${fixed(theirs, 3)} = ${fixed(ours / theirs, 2)} (load only: ${fixed(loadOnly, 2)})`,
    );
  }
  return { rate, seconds, drain, runs, ratios };
};

/** One rung. A fresh system: what a burst before left behind is not this rung's. */
const climb = async (name, folder, { rate, options }) =>
  withSystem(name, folder, options, async (system, callee) => {
    const { address, pid } = system;
    await placeCalls(join(folder, 'warm'), { address, rate: Math.min(rate, 300), seconds: options.warmUp });
    const retransmittedBefore = callee.retransmissions();
    const cpuBefore = cpuSeconds(pid);
    const load = await placeCalls(join(folder, 'load'), { address, rate, seconds: options.rungSeconds });
    const cpu = cpuSeconds(pid) - cpuBefore;
    // The callee writes its counters once a second.
    await sleep(1500);
    const retransmissions = load.retransmissions + callee.retransmissions() - retransmittedBefore;
    const share = load.calls === 0 ? 1 : retransmissions / load.calls;
    const generated = load.achievedRate >= rate * MIN_OF_RATE * (options.rungSeconds / (options.rungSeconds + 1));
    const failed = load.failed + load.refused;
    const clean = failed === 0 && share < MAX_RETRANSMISSIONS && generated;
    const cpuPer1000 = (cpu / load.calls) * 1000;
    return { name, rate, ...load, failed, retransmissions, share, clean, generated, cpuPer1000 };
  });

/** The highest rate with no failed call and less than 0.1% retransmissions; a dirty rung is tried once more. */
export const ladder = async (folder, options) => {
  console.log(`\nHighest clean rate: ${options.rungSeconds} s a rung, no failed call, < 0.1% retransmissions a call`);
  console.log('system      rate   failed  retrans  CPU-s/1000');
  const systems =
    options.systems.length === 1 ? options.systems : options.systems.filter((name) => name !== 'trunking');
  const clean = Object.fromEntries(systems.map((name) => [name, 0]));
  const climbing = new Set(systems);
  const rungs = [];
  for (const rate of LADDER.filter((rung) => rung <= options.maxRate)) {
    for (const name of [...climbing]) {
      let rung;
      for (let attempt = 0; attempt < 2 && rung?.clean !== true; attempt++) {
        rung = await climb(name, join(folder, `ladder-${rate}-${name}-${attempt}`), { rate, options });
        rungs.push(rung);
        console.log(
          `${name.padEnd(9)} ${String(rate).padStart(6)} ${String(rung.failed).padStart(8)} ${String(rung.retransmissions).padStart(8)} ${fixed(rung.cpuPer1000, 3).padStart(11)}  ${rung.clean ? 'clean' : rung.generated ? 'not clean' : 'SIPp did not keep the rate'}`,
        );
      }
      if (rung.clean) clean[name] = rate;
      else climbing.delete(name);
    }
  }
  for (const name of systems) console.log(`clean up to: ${name} ${clean[name]}/s`);
  return { clean, rungs };
};
