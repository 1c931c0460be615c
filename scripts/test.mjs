// Runs the compiled tests and ends with one line that counts them: test.mjs [PART OF A PATH ...]
//
// A node process speaks TAP for one file, or for a few that need none to themselves (testTogether.mjs). The tap command
// is not in between: for tests that are compiled already it would rebuild its test class inside node_modules and load a
// compiler for every file.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = 'build/test';
const JOBS = Number(process.env.TEST_JOBS ?? 3);
/** A file that takes longer has hung. */
const FILE_LIMIT_MS = 240_000;
/** Files that may fail beside others and be run again. */
const MOST_AGAIN = 5;
/** Runs several files in one process; after each it prints a test point of the name `end of <file>`. */
const TOGETHER = fileURLToPath(new URL('testTogether.mjs', import.meta.url));
const END_OF = 'end of ';
const REST_OF = 'rest of ';
/** To start a process and load tap and the sources takes longer than most tests do: so many files share one. */
const MOST_TOGETHER = 6;
/** Kinds of test without sockets, processes and clocks of the outside. */
const SHARING = /\/(unit|property|sim)\//;
/** Those among them that measure or change their process, keep files in a test directory, or work long. */
const ALONE = new RegExp(
  `/(${[
    'property/(exotelApi|flow)',
    'sim/loss',
    'unit/(admin|adminIsolation|cdrs|config|docs|exchanges|kernel|media[A-Z]\\w*|net[A-Z]\\w*|observe|overload)',
    'unit/(record|recordSinks|schemaCheck|spend)',
  ].join('|')})\\.test\\.js$`,
);
/** What TAP calls one test: ok or not ok without indentation. */
const TEST_POINT = /^(not )?ok \d+(?: - (.*?))?(?: # (SKIP|TODO)\b.*| # time=\S+)?(?: \{)?$/i;

/** @param {string} folder @returns {string[]} */
const testsUnder = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? testsUnder(path) : path.endsWith('.test.js') ? [path] : [];
  });

/** A compiled test whose source is gone still lies in build/. @param {string} file */
const hasSource = (file) => existsSync(`${relative('build', file).slice(0, -'.js'.length)}.ts`);

/**
 * Those that talk to other programs take longest, so they begin first; the fuzzer, which takes what time others leave,
 * when none of them runs any more. @param {string} file
 */
const rank = (file) =>
  file.includes('/interop/') ? 0 : file.includes('/fault/') ? 1 : file.includes('/torture/fuzz') ? 2 : 3;

/** Process groups of files that run, to be ended with us. @type {Set<number>} */
const groups = new Set();

/** @param {number} group @param {NodeJS.Signals} signal */
const signalGroup = (group, signal) => {
  try {
    process.kill(-group, signal);
  } catch {
    // Nobody is left in it.
  }
};

/** @param {string} file */
const blank = (file) => ({ file, passed: 0, failed: 0, skipped: [], complaints: [], ms: 0 });

/**
 * @param {readonly string[]} files
 * @param {string[]} [flags] of node
 * @returns {Promise<{ file: string, passed: number, failed: number, skipped: string[], complaints: string[], ms: number }[]>}
 * one for each file; none if several were to share a process and not all went well
 */
const run = async (files, flags = []) => {
  let began = performance.now();
  const together = files.length > 1;
  const child = spawn(process.execPath, [...flags, ...(together ? [TOGETHER] : []), ...files], {
    env: { ...process.env, TAP_TIMEOUT: String(FILE_LIMIT_MS / 1000 - 10) },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Its own group: a peer that the test started ends with it, come what may.
    detached: true,
  });
  const group = child.pid ?? 0;
  groups.add(group);
  const results = [];
  let result = blank(files[0] ?? '');
  const ended = () => {
    result.ms = performance.now() - began;
    began = performance.now();
    results.push(result);
    result = blank(files[results.length] ?? '');
  };
  let planned = false;
  /** Lines since the last test point: what a failure has to say. @type {string[]} */
  let said = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (/^1\.\.\d+/.test(line)) planned = true;
    const point = TEST_POINT.exec(line);
    if (point === null) {
      if (said.push(line) > 20_000) said.splice(0, 10_000);
      return;
    }
    const [, failed, name = '', directive] = point;
    if (together && name === END_OF + result.file) ended();
    else if (together && name === REST_OF + result.file) said = [];
    else if (directive !== undefined) result.skipped.push(name);
    else if (failed === undefined) result.passed++;
    else {
      result.failed++;
      result.complaints.push(`not ok - ${name}`, ...explain(said));
    }
    said = [];
  });
  /** @type {string[]} */
  const errors = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (errors.push(line) > 200) errors.shift();
  });
  let hung = false;
  const limit = setTimeout(() => {
    hung = true;
    signalGroup(group, 'SIGTERM');
    setTimeout(() => signalGroup(group, 'SIGKILL'), 3000).unref();
  }, FILE_LIMIT_MS);
  const [code, signal] = await once(child, 'close');
  clearTimeout(limit);
  signalGroup(group, 'SIGKILL');
  groups.delete(group);
  if (together) {
    // Whose doing it was is sure only of a file alone.
    for (const one of [...results, result]) if (one.failed > 0) tell(one, ' (with others)');
    const late = result.passed + result.failed + result.skipped.length > 0;
    return code === 0 && !hung && planned && !late && results.length === files.length ? results : [];
  }
  // What no test point says: the file died, hung, or ended before its plan.
  if (hung) fault(result, `took longer than ${FILE_LIMIT_MS / 1000} s`, [...said, ...errors]);
  else if (code !== 0 && result.failed === 0) fault(result, `ended with ${signal ?? code}`, [...said, ...errors]);
  else if (!planned) fault(result, 'ended without a plan: no tests ran to their end', [...said, ...errors]);
  ended();
  return results;
};

const fault = (result, what, lines) => {
  result.failed++;
  result.complaints.push(`not ok - ${result.file} ${what}`, ...lines.slice(-80));
};

/** The failed points of a test and their diagnostics, without the rest. @param {string[]} lines */
const explain = (lines) => {
  /** @type {string[]} */
  const kept = [];
  let inside = false;
  for (const line of lines) {
    if (/^\s*not ok /.test(line)) inside = true;
    else if (/^\s*(ok \d|# Subtest)/.test(line)) inside = false;
    if (inside) kept.push(line);
  }
  return (kept.length > 0 ? kept : lines).slice(-200);
};

const wanted = process.argv.slice(2);
/** Tests that repeat at length what others show in brief: they run when they are named, as `npm run test:long` does. */
const isLong = (/** @type {string} */ file) => file.endsWith('.long.test.js');
const known = (existsSync(ROOT) && statSync(ROOT).isDirectory() ? testsUnder(ROOT) : []).filter(hasSource);
const left = wanted.length === 0 ? known.filter(isLong) : [];
if (left.length > 0) console.log(`left to npm run test:long: ${left.join(', ')}`);
const files = known
  .filter((file) => (wanted.length === 0 ? !isLong(file) : wanted.some((part) => file.includes(part))))
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.once(signal, () => {
    for (const group of groups) signalGroup(group, 'SIGKILL');
    process.exit(130);
  });
}

/** @param {Awaited<ReturnType<typeof run>>[number]} result @param {string} [when] */
const tell = ({ file, passed, failed, skipped, complaints, ms }, when = '') => {
  console.log(
    `${failed === 0 ? 'ok    ' : 'FAILED'} ${file}${when}  ${passed} passed${failed ? `, ${failed} failed` : ''}  ${(ms / 1000).toFixed(1)} s`,
  );
  for (const name of skipped) console.log(`       skipped: ${name}`);
  for (const line of complaints) console.log(`       ${line}`);
};

/** @type {Map<string, Awaited<ReturnType<typeof run>>[number]>} */
const byFile = new Map();
/** What each process runs. @type {string[][]} */
const queue = [];
/** @type {string[] | undefined} */
let together;
for (const file of files) {
  const shares = SHARING.test(file) && !ALONE.test(file);
  if (shares && together !== undefined && together.length < MOST_TOGETHER) together.push(file);
  else queue.push([file]);
  if (shares && !together?.includes(file)) together = queue.at(-1);
}
const work = async () => {
  for (let some = queue.shift(); some !== undefined; some = queue.shift()) {
    const ended = await run(some);
    for (const result of ended) {
      byFile.set(result.file, result);
      tell(result);
    }
    const missing = some.filter((file) => !byFile.has(file));
    if (missing.length > 0)
      console.log(`did not all go well in one process, so each has its own: ${missing.join(', ')}`);
    queue.unshift(...missing.map((file) => [file]));
  }
};
await Promise.all(Array.from({ length: Math.max(1, JOBS) }, work));

// Calls have timers, and audio has a beat: on a machine too busy with other files they come late. What failed beside
// others has one more run with the machine to itself, and that one counts; the first stays in what was printed. Where
// much fails, something is broken.
const broken = [...byFile.values()].filter((result) => result.failed > 0);
if (JOBS > 1 && files.length > 1 && broken.length <= MOST_AGAIN) {
  for (const { file } of broken) {
    // Places in the source cost a tenth of the CPU: they are for those who will read them.
    const [again] = await run([file], ['--enable-source-maps']);
    if (again === undefined) continue;
    byFile.set(file, again);
    tell(again, ' (again, alone)');
  }
}

const results = [...byFile.values()];
const sum = (key) => results.reduce((total, result) => total + result[key], 0);
const passed = sum('passed');
// No test is no success: a filter that matches nothing, or a build that is missing.
const failed = sum('failed') + (passed === 0 && sum('failed') === 0 ? 1 : 0);
if (files.length === 0) console.log(`no tests in ${ROOT}${wanted.length > 0 ? ` match ${wanted.join(', ')}` : ''}`);
for (const { file, failed: count } of results) if (count > 0) console.log(`failed: ${file}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
