// What the machine does beside the programs: cores that halt, and threads that share one.
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { launch } from './calls/processes.mjs';

const ours = (program, args) => {
  const { status, error } = spawnSync(program, args, { stdio: 'ignore' });
  if (error !== undefined || status !== 0) throw new Error(`${program} (of util-linux) failed: ${args.join(' ')}`);
};

/**
 * A program of the lowest scheduling class a core, so that none of them halts. On a virtual machine each wake-up of a
 * halted core waits for the host, 50 us and at times 100 ms, whatever runs on it; whoever has work goes before these.
 * They end with the bench.
 */
export const keepCoresAwake = () => {
  for (let i = 0; i < cpus().length; i++) {
    launch('chrt', ['-i', '0', process.execPath, '-e', 'for (;;);'], { log: '/dev/null' }).unref();
  }
};

/** All that this process starts from here on shares the cores but the last. */
export const leaveLastCore = () => ours('taskset', ['-cp', `0-${cpus().length - 2}`, String(process.pid)]);

/** Gives that one to a thread. */
export const takeLastCore = (tid) => ours('taskset', ['-cp', String(cpus().length - 1), String(tid)]);
