// Child processes of the bench: started, watched and ended by PID; what they cost comes from /proc.
import { spawn } from 'node:child_process';
import { openSync, closeSync, readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const TICKS_PER_SECOND = 100;
const children = new Set();

/** With all below it: a killed Kamailio leaves children that hold its port. */
const kill = (child) => {
  for (const pid of family(child.pid).reverse()) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone meanwhile.
    }
  }
};

process.on('exit', () => {
  for (const child of children) if (child.pid !== undefined) kill(child);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

/** Starts a program; its output goes to `log` (a file path). `exited` resolves to the exit code or the signal. */
export const launch = (command, args, { log, cwd }) => {
  const out = openSync(log, 'a');
  const child = spawn(command, args, { cwd, stdio: ['ignore', out, out] });
  closeSync(out);
  children.add(child);
  child.log = log;
  child.exited = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.code ?? 'error'));
    child.once('exit', (code, signal) => resolve(code ?? signal));
  }).finally(() => children.delete(child));
  return child;
};

/** Asks a child to go with `signal`; kills it when it has not gone within `graceMs`. */
export const end = async (child, signal = 'SIGTERM', graceMs = 8000) => {
  child.kill(signal);
  const gone = await Promise.race([child.exited.then(() => true), sleep(graceMs, false, { ref: false })]);
  if (!gone) {
    kill(child);
    await child.exited;
  }
};

/** Fields of /proc/PID/stat after the command's name, or undefined when the process is gone. */
const statFields = (pid) => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
};

/** The process and everything below it. */
const family = (root) => {
  const below = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number(statFields(name)?.[1]);
    below.set(parent, [...(below.get(parent) ?? []), Number(name)]);
  }
  const all = [root];
  for (let i = 0; i < all.length; i++) all.push(...(below.get(all[i]) ?? []));
  return all;
};

/** CPU-seconds that a process, all its threads, its living descendants and its ended children have used. */
export const cpuSeconds = (pid) => {
  let ticks = 0;
  for (const member of family(pid)) {
    const fields = statFields(member);
    if (fields === undefined) continue;
    ticks += Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]);
  }
  return ticks / TICKS_PER_SECOND;
};

/** Resident memory of a process and all below it in bytes; pages that they share count once. */
export const rssBytes = (pid) => {
  let kilobytes = 0;
  for (const member of family(pid)) {
    try {
      kilobytes += Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${member}/smaps_rollup`, 'latin1'))?.[1] ?? 0);
    } catch {
      // Gone meanwhile.
    }
  }
  return kilobytes * 1024;
};

/** CPU-seconds the whole machine has been busy for, but for programs that take only what nobody else wants. */
export const machineBusySeconds = () => {
  const [user, , system, , , irq, softirq] = readFileSync('/proc/stat', 'latin1')
    .split('\n', 1)[0]
    .replace(/^cpu\s+/, '')
    .split(' ')
    .map(Number);
  return (user + system + irq + softirq) / TICKS_PER_SECOND;
};

const isBound = (address, port) => {
  const host = address
    .split('.')
    .reverse()
    .map((octet) => Number(octet).toString(16).padStart(2, '0').toUpperCase())
    .join('');
  const wanted = `${host}:${port.toString(16).padStart(4, '0').toUpperCase()}`;
  return readFileSync('/proc/net/udp', 'latin1').includes(` ${wanted} `);
};

/** Waits until somebody listens on a UDP port; throws with the end of the child's log when that does not happen. */
export const untilBound = async (child, address, port, withinMs = 20_000) => {
  for (let waitedMs = 0; waitedMs < withinMs; waitedMs += 50) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    if (isBound(address, port)) return;
    await sleep(50);
  }
  const tail = readFileSync(child.log, 'utf8').slice(-2000);
  throw new Error(`${child.spawnfile} did not listen on ${address}:${port}\n${tail}`);
};

/** Throws when the port is taken before the bench has begun: figures would be somebody else's. */
export const assertFree = (address, port) => {
  if (isBound(address, port)) throw new Error(`${address}:${port}/udp is in use; is another bench running?`);
};
