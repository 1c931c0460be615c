// npm run bench [-- section...] [options]; runs on the build. See docs/performance.md.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { keepCoresAwake } from './cores.mjs';
import { established } from './calls/established.mjs';
import { memory } from './calls/memory.mjs';
import { SYSTEMS, cost, ladder } from './calls/section.mjs';
import { overload } from './calls/overload.mjs';
import { media } from './media/section.mjs';

const root = new URL('..', import.meta.url).pathname;
const USAGE = `npm run bench [-- section...] [options]

sections  calls (default) = cost + ladder; cost; ladder; memory; established; overload; media; micro
options   --rate N        calls a second of cost (300)
          --seconds N     load of a cost run (30)
          --turns N       of cost, each kamailio, trunking, tandem (2)
          --no-drain      do not wait for and count the timers of 32 s
          --max-rate N    top of the ladder (2400)
          --rung N        seconds a rung (15)
          --warm N        seconds of load before what is measured (5; of media 3)
          --only NAME     kamailio, trunking (Kamailio with a trunk's work) or tandem alone; NAME,NAME for several
          --calls N       of memory (200000); --memory-rate N (600)
          --up N          calls that are up at once, of established (50000); --up-rate N (600)
          --streams N     of media (200); --dialect NAME exotel, twilio, plivo, jambonz; --frame-ms N of a message to
                          the bot; --no-signalling without 100 calls/s beside it; --seconds N (20)
          --capacity N    of overload: calls a second, instead of measuring it
          --awake         keep the cores from halting: a virtual machine's take long to wake
          --own-core      of media: the media thread has the last core to itself, everything else shares the others
          --dist DIR      build to run (dist)
          --node=FLAG     for the node that runs tandem; may be repeated
          --runtime PATH  the node that runs tandem, to compare releases (the one that runs the bench)
          --keep DIR      copy logs, counters and profiles of the runs there
          --quick         smoke run of about 20 s
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rate: { type: 'string', default: '300' },
    seconds: { type: 'string' },
    turns: { type: 'string' },
    'no-drain': { type: 'boolean', default: false },
    'max-rate': { type: 'string' },
    rung: { type: 'string' },
    warm: { type: 'string' },
    only: { type: 'string' },
    calls: { type: 'string' },
    'memory-rate': { type: 'string', default: '600' },
    up: { type: 'string' },
    'up-rate': { type: 'string', default: '600' },
    streams: { type: 'string' },
    dialect: { type: 'string', default: 'exotel' },
    'frame-ms': { type: 'string' },
    'no-signalling': { type: 'boolean', default: false },
    dist: { type: 'string', default: join(root, 'dist') },
    node: { type: 'string', multiple: true, default: [] },
    runtime: { type: 'string', default: process.execPath },
    keep: { type: 'string' },
    capacity: { type: 'string' },
    awake: { type: 'boolean', default: false },
    'own-core': { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const quick = values.quick;
const options = {
  quick,
  rate: Number(values.rate),
  seconds: Number(values.seconds ?? (quick ? 3 : 30)),
  turns: Number(values.turns ?? (quick ? 1 : 2)),
  drain: !values['no-drain'] && !quick,
  maxRate: Number(values['max-rate'] ?? (quick ? 300 : 2400)),
  rungSeconds: Number(values.rung ?? (quick ? 3 : 15)),
  warmUp: Number(values.warm ?? (quick ? 1 : 5)),
  systems: values.only === undefined ? SYSTEMS : SYSTEMS.filter((name) => values.only.split(',').includes(name)),
  memoryCalls: Number(values.calls ?? (quick ? 3000 : 200_000)),
  memoryRate: Number(values['memory-rate']),
  establishedCalls: Number(values.up ?? (quick ? 300 : 50_000)),
  establishedRate: Number(values['up-rate']),
  capacity: values.capacity === undefined ? undefined : Number(values.capacity),
  media: {
    streams: Number(values.streams ?? (quick ? 20 : 200)),
    seconds: Number(values.seconds ?? (quick ? 3 : 20)),
    dialect: values.dialect,
    frameMs: values['frame-ms'] === undefined ? undefined : Number(values['frame-ms']),
    withSignalling: !values['no-signalling'],
    ownCore: values['own-core'],
    warmUp: Number(values.warm ?? 3),
  },
  dist: resolve(values.dist),
  nodeFlags: values.node,
  runtime: resolve(values.runtime),
  keepLog: values.keep !== undefined,
};

const need = (program, install) => {
  if (spawnSync('which', [program]).status === 0) return true;
  process.stderr.write(`bench: ${program} is missing; install it: apt-get install ${install}\n`);
  return false;
};

const micro = () => {
  for (const name of ['parse.mjs', 'routing.mjs', 'media.mjs', 'inProcess.mjs']) {
    const file = join(root, 'bench', name);
    console.log(`\n${name}`);
    const { status } = spawnSync(process.execPath, [file], { stdio: 'inherit', cwd: root });
    if (status !== 0) throw new Error(`${name} ended with ${status}`);
  }
  return {};
};

const SECTIONS = { cost, ladder, memory, established, overload, media, micro };
const expand = (name) => (name === 'calls' ? ['cost', 'ladder'] : [name]);

const main = async () => {
  const wanted = (positionals.length === 0 ? ['calls'] : positionals).flatMap(expand);
  const unknown = wanted.find((name) => !Object.hasOwn(SECTIONS, name));
  const stranger = values.only?.split(',').find((name) => !SYSTEMS.includes(name));
  if (stranger !== undefined) {
    process.stderr.write(`bench: --only: no system ${stranger}; there are ${SYSTEMS.join(', ')}\n`);
    return 64;
  }
  if (values.help || unknown !== undefined) {
    process.stdout.write(USAGE);
    return unknown === undefined ? 0 : 64;
  }
  if (!existsSync(join(options.dist, 'main.js'))) {
    process.stderr.write(`bench: no build in ${options.dist}; run: npm run build\n`);
    return 1;
  }
  const traffic = wanted.some((name) => name !== 'micro' && name !== 'media');
  if (traffic && ![need('sipp', 'sip-tester'), need('kamailio', 'kamailio')].every(Boolean)) return 1;
  const load = readFileSync('/proc/loadavg', 'latin1').split(' ').slice(0, 2).join(' ');
  console.log(`Node ${process.version}, ${cpus().length} cores (${cpus()[0]?.model}), load before ${load}`);
  if (values.awake) keepCoresAwake();
  const folder = mkdtempSync(join(tmpdir(), 'tandem-bench-'));
  // Also when a signal ends the bench.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const results = { startedAt: new Date().toISOString(), node: process.version, options };
  try {
    for (const name of wanted) {
      const own = join(folder, name);
      mkdirSync(own);
      results[name] = await SECTIONS[name](own, options);
    }
    mkdirSync(join(root, 'bench', 'results'), { recursive: true });
    writeFileSync(join(root, 'bench', 'results', 'latest.json'), JSON.stringify(results, undefined, 1));
  } finally {
    if (values.keep !== undefined) cpSync(folder, values.keep, { recursive: true });
  }
  return 0;
};

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`bench: ${error.stack}\n`);
  process.exitCode = 1;
}
