// SIPp as caller and callee around a system, the prober beside it, and what they counted.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CALLEE, CALLER, NUMBER, PORT } from './places.mjs';
import { assertFree, end, launch, untilBound } from './processes.mjs';

const bench = new URL('.', import.meta.url).pathname;
/** For the last calls of a run to end. */
const TAIL_SECONDS = 8;

/** Last line of a -trace_stat file as an object; cumulative columns end in (C). */
const readCounters = (file) => {
  try {
    const lines = readFileSync(file, 'latin1').trimEnd().split('\n');
    const names = lines[0].split(';');
    const values = lines.length > 1 ? lines.at(-1).split(';') : [];
    return Object.fromEntries(names.map((name, i) => [name, values[i] ?? '']));
  } catch {
    return {};
  }
};

const sipp = (folder, role, local, more, port = PORT) =>
  launch(
    'sipp',
    [
      ...['-sf', join(bench, `${role}.xml`), '-i', local, '-p', String(port), '-t', 'u1'],
      ...['-nostdin', '-trace_stat', '-fd', '1', '-stf', join(folder, `${role}.csv`)],
      ...['-buff_size', '4194304', '-d', '0'],
      // The machine may stall for a moment; SIPp would end itself.
      ...['-watchdog_minor_threshold', '10000', '-watchdog_major_threshold', '30000'],
      ...more,
    ],
    { log: join(folder, `${role}.log`), cwd: folder },
  );

/** Starts the callee; it answers until stopped. */
export const startCallee = async (folder, role = 'uas') => {
  mkdirSync(folder, { recursive: true });
  assertFree(CALLEE, PORT);
  const child = sipp(folder, role, CALLEE, ['-default_behaviors', 'all,-abortunexp']);
  await untilBound(child, CALLEE, PORT);
  return {
    pid: child.pid,
    retransmissions: () => Number(readCounters(join(folder, `${role}.csv`))['Retransmissions(C)'] ?? 0),
    stop: () => end(child, 'SIGKILL'),
  };
};

/**
 * Places `rate` calls a second for `seconds` and waits until the last has ended. Several may run at a time.
 * @param more port: of the caller; holdMs: from answer to BYE
 * @returns calls, good (answered and ended in order), refused (503), failed (anything else, or never placed),
 *   retransmissions of the caller, achievedRate, finished (false: cut off)
 */
export const placeCalls = async (folder, { address, rate, seconds, port = PORT, holdMs = 0 }) => {
  mkdirSync(folder, { recursive: true });
  const count = Math.round(rate * seconds);
  const load = ['-r', String(rate), '-m', String(count), '-l', '60000', '-d', String(holdMs)];
  // Behind several processes a 200 may overtake the 180, which then is no failure of the call.
  const lenient = ['-default_behaviors', 'all,-abortunexp'];
  const child = sipp(folder, 'uac', CALLER, [...lenient, `${address}:${PORT}`, '-s', NUMBER, ...load], port);
  const from = process.hrtime.bigint();
  const most = (seconds + TAIL_SECONDS) * 1000 + holdMs;
  const finished = await Promise.race([child.exited.then(() => true), sleep(most, false, { ref: false })]);
  const elapsed = Number(process.hrtime.bigint() - from) / 1e9;
  if (!finished) await end(child, 'SIGKILL');
  const counters = readCounters(join(folder, 'uac.csv'));
  const calls = Number(counters['TotalCallCreated'] ?? 0);
  const ended = Number(counters['SuccessfulCall(C)'] ?? 0);
  const refused = Number(counters['GenericCounter1(C)'] ?? 0);
  return {
    calls,
    good: ended - refused,
    refused,
    failed: count - ended,
    retransmissions: Number(counters['Retransmissions(C)'] ?? 0),
    achievedRate: calls / Math.max(seconds, elapsed - holdMs / 1000),
    finished,
  };
};

/**
 * Places `count` calls that stay up, with a re-INVITE from the caller in the middle of each.
 * @returns a promise of what SIPp counted, once the last has ended
 */
export const holdCalls = async (folder, { address, rate, count, halfSeconds }) => {
  mkdirSync(folder, { recursive: true });
  const child = sipp(folder, 'uac-held', CALLER, [
    ...['-default_behaviors', 'all,-abortunexp', '-d', String(halfSeconds * 1000)],
    ...[`${address}:${PORT}`, '-s', NUMBER, '-r', String(rate), '-m', String(count), '-l', String(count + 1000)],
  ]);
  const atMost = (count / rate + 2 * halfSeconds + 60) * 1000;
  const finished = await Promise.race([child.exited.then(() => true), sleep(atMost, false, { ref: false })]);
  if (!finished) await end(child, 'SIGKILL');
  const counters = readCounters(join(folder, 'uac-held.csv'));
  const done = Number(counters['SuccessfulCall(C)'] ?? 0);
  return { done, failed: count - done, retransmissions: Number(counters['Retransmissions(C)'] ?? 0) };
};

/** Times single calls beside the load. Resolves to what prober.mjs prints. */
export const probe = async (folder, { address, rate, seconds }) => {
  mkdirSync(folder, { recursive: true });
  const child = launch(process.execPath, [join(bench, 'prober.mjs'), address, String(rate), String(seconds)], {
    log: join(folder, 'prober.json'),
  });
  await child.exited;
  return JSON.parse(readFileSync(child.log, 'utf8'));
};
