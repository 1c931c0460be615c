// N calls with a bot each on one media thread of a whole node: CPU a stream, frames lost, pacing, mouth to ear, from a
// bot's `clear` to silence, and what signalling beside it takes. Everything but the node is in processes of its own.
import { fork } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertFree, end, launch, machineBusySeconds, rssBytes, untilBound } from '../calls/processes.mjs';
import { leaveLastCore, takeLastCore } from '../cores.mjs';
import {
  ADMIN_PORT,
  BOT,
  BOT_PORT,
  CALLER,
  ECHO_NUMBER,
  FRAME_MS,
  NODE,
  PBX,
  PSTN_NUMBER,
  RTP_PORTS,
  SIGNALLER,
  SIP_PORT,
  TALKER_NUMBER,
  quantiles,
} from './places.mjs';

const here = new URL('.', import.meta.url).pathname;
const DRAIN_MS = 1500;
const SIGNALLING_RATE = 100;
const TICKS_PER_SECOND = 100;
const DIALECT_FRAME_MS = { exotel: 100, twilio: 20, plivo: 20, jambonz: 20 };

const flowOf = (id, role, { dialect, frameMs }) => ({
  id,
  start: 'bot',
  nodes: {
    bot: {
      applet: 'voicebot',
      params: { url: `ws://${BOT}:${BOT_PORT}/${role}/${dialect}`, dialect, frame_ms: frameMs },
      exits: { next: 'bye', failed: 'bye' },
    },
    bye: { applet: 'hangup' },
  },
});

const writeConfig = (folder, options) => {
  const config = {
    sip: { listen: [`udp://${NODE}:${SIP_PORT}`] },
    store: { kind: 'file', path: './routing.yaml' },
    admin: { listen: `${NODE}:${ADMIN_PORT}` },
    cdr: { path: './cdr' },
    log: { level: 'info' },
    media: {
      rtpPorts: RTP_PORTS,
      address: NODE,
      workers: 1,
      egress: ['127.0.0.0/8'],
      recordingsPath: './recordings',
    },
  };
  const carriers = [
    {
      id: 'telco',
      source_acl: [CALLER, SIGNALLER].map((ip) => ({ ip, mask: 32 })),
      gateways: [{ uri: `sip:${CALLER}:${SIP_PORT}` }],
    },
  ];
  const trunk = {
    trunk_sid: 'trk_bench',
    account_sid: 'bench',
    trunk_name: 'bench',
    whitelisted_ips: [{ ip: PBX, mask: 32 }],
    destination_uris: [{ destination: `${PBX}:${SIP_PORT}` }],
    phone_numbers: [
      { phone_number: ECHO_NUMBER, mode: 'flow', flow: 'echo', carrier: 'telco' },
      { phone_number: TALKER_NUMBER, mode: 'flow', flow: 'talk', carrier: 'telco' },
      { phone_number: PSTN_NUMBER, mode: 'pstn', carrier: 'telco' },
    ],
  };
  const flows = [flowOf('echo', 'echo', options), flowOf('talk', 'talk', options)];
  const file = join(folder, 'config.yaml');
  writeFileSync(file, JSON.stringify(config));
  writeFileSync(
    join(folder, 'routing.yaml'),
    JSON.stringify({ accounts: [{ sid: 'bench' }], carriers, trunks: [trunk], flows }),
  );
  return file;
};

/** CPU-seconds of each thread, to the nanosecond, and how long it waited for a core. */
const threadTimes = (pid) =>
  new Map(
    readdirSync(`/proc/${pid}/task`).flatMap((tid) => {
      try {
        const [ran, waited] = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ').map(Number);
        const text = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'latin1');
        const kernel = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[12]) / TICKS_PER_SECOND;
        return [[Number(tid), { ran: ran / 1e9, waited: waited / 1e9, kernel }]];
      } catch {
        return [];
      }
    }),
  );

/** The busiest thread but the first is the media worker; the rest collect garbage and compile for both. */
const threadsBetween = (pid, before, after) => {
  const spent = [...after].map(([tid, { ran, waited, kernel }]) => ({
    tid,
    ran: ran - (before.get(tid)?.ran ?? 0),
    waited: waited - (before.get(tid)?.waited ?? 0),
    kernel: kernel - (before.get(tid)?.kernel ?? 0),
  }));
  const main = spent.find(({ tid }) => tid === pid);
  const [media, ...others] = spent.filter(({ tid }) => tid !== pid).sort((a, b) => b.ran - a.ran);
  return { main, media, others: others.reduce((sum, { ran }) => sum + ran, 0) };
};

const startBot = async () => {
  const bot = fork(join(here, 'bot.mjs'), { stdio: 'inherit' });
  const cleared = [];
  await new Promise((resolve, reject) => {
    bot.once('exit', () => reject(new Error('the bot did not start')));
    bot.on('message', (message) => {
      if (message.ready) resolve();
      else cleared.push(message.clearedMs);
    });
  });
  return { cleared, pid: bot.pid, stop: () => bot.disconnect() };
};

/** The telephones, when every one of them is in a call and hears its bot. */
const startCaller = async (streams) => {
  const caller = fork(join(here, 'caller.mjs'), [String(streams)], { stdio: 'inherit' });
  const ended = [];
  const reports = [];
  const patience = 15_000 + streams * 50;
  await new Promise((resolve, reject) => {
    let last = 'nothing';
    const timer = setTimeout(() => reject(new Error(`not all calls came up: ${last} ${ended[0] ?? ''}`)), patience);
    caller.once('exit', () => reject(new Error('the caller died')));
    caller.on('message', (message) => {
      if (message.ended !== undefined) ended.push(message.ended);
      if (message.report !== undefined) reports.shift()?.(message.report);
      if (message.connected === undefined) return;
      last = JSON.stringify(message);
      if (message.hearing <= streams) return;
      clearTimeout(timer);
      resolve();
    });
  });
  return {
    pid: caller.pid,
    ended,
    tell: (command) => caller.send(command),
    report: () => new Promise((resolve) => reports.push(resolve) && caller.send('report')),
    stop: async () => {
      caller.send('end');
      await new Promise((resolve) => caller.once('exit', resolve));
    },
  };
};

const signalling = (seconds) =>
  new Promise((resolve) => {
    const child = fork(join(here, 'signaller.mjs'), [String(SIGNALLING_RATE), String(seconds)], { stdio: 'inherit' });
    child.once('message', resolve);
    child.once('exit', () => resolve(undefined));
  });

/** From each `clear` to the first packet without the bot's voice. */
const silences = (cleared, talk) =>
  cleared.flatMap((clearedMs) => {
    const at = talk.findIndex(({ atMs }) => atMs >= clearedMs);
    if (at < 1 || !talk[at - 1].loud) return [];
    const quiet = talk.slice(at).find(({ loud }) => !loud);
    return quiet === undefined ? [] : [quiet.atMs - clearedMs];
  });

const measure = async (node, { bot, caller }, options) => {
  const { seconds, streams, withSignalling } = options;
  const settling = threadTimes(node.pid);
  await sleep(options.warmUp * 1000);
  const before = threadTimes(node.pid);
  if (options.ownCore) takeLastCore(threadsBetween(node.pid, settling, before).media.tid);
  const busyBefore = machineBusySeconds();
  const ownBefore = [bot, caller].map(({ pid }) => sumOf(threadTimes(pid)));
  const startedMs = performance.now();
  caller.tell('measure');
  const calls = withSignalling ? signalling(seconds) : undefined;
  await sleep(seconds * 1000);
  const tookSeconds = (performance.now() - startedMs) / 1000;
  const threads = threadsBetween(node.pid, before, threadTimes(node.pid));
  const busy = (machineBusySeconds() - busyBefore) / tookSeconds;
  const [botCpu, callerCpu] = [bot, caller].map(({ pid }, i) => (sumOf(threadTimes(pid)) - ownBefore[i]) / tookSeconds);
  caller.tell('rest');
  await sleep(DRAIN_MS);
  const { talk, ...heard } = await caller.report();
  const per = (cpu) => cpu / tookSeconds / (streams + 1);
  return {
    ...options,
    ...heard,
    ended: caller.ended.length,
    clear: quantiles(silences(bot.cleared, talk)),
    signalling: await calls,
    perStream: per(threads.media.ran),
    perStreamAll: per(threads.media.ran + threads.others),
    kernelShare: threads.media.kernel / threads.media.ran,
    mainCores: threads.main.ran / tookSeconds,
    mediaWaited: threads.media.waited / tookSeconds,
    botCpu,
    callerCpu,
    busy,
    load: readFileSync('/proc/loadavg', 'latin1').split(' ').slice(0, 2).join(' '),
    rssMb: rssBytes(node.pid) / 1e6,
  };
};

const sumOf = (threads) => [...threads.values()].reduce((sum, { ran }) => sum + ran, 0);

const runOnce = async (folder, options) => {
  mkdirSync(folder, { recursive: true });
  assertFree(NODE, SIP_PORT);
  if (options.ownCore) leaveLastCore();
  const args = [...options.nodeFlags, join(options.dist, 'main.js'), 'start', '--config', writeConfig(folder, options)];
  const node = launch(options.runtime, args, { log: join(folder, 'tandem.log'), cwd: folder });
  await untilBound(node, NODE, SIP_PORT);
  const bot = await startBot();
  try {
    const caller = await startCaller(options.streams);
    try {
      return await measure(node, { bot, caller }, options);
    } finally {
      await caller.stop();
    }
  } finally {
    bot.stop();
    await end(node, 'SIGTERM', 15_000);
  }
};

const ms = ({ p50, p99, max }, less = 0) =>
  `${[p50, p99, max].map((value) => (value - less).toFixed(1)).join(' / ')} ms`;

const print = (run) => {
  const framing = run.frameMs - FRAME_MS;
  const rows = {
    'CPU of the media thread': `${(run.perStream * 100).toFixed(3)} % of a core a stream: ${(1 / run.perStream).toFixed(0)} streams a core; ${(run.kernelShare * 100).toFixed(0)} % of it in the kernel`,
    'with garbage collectors': `${(run.perStreamAll * 100).toFixed(3)} %: ${(1 / run.perStreamAll).toFixed(0)} streams a core`,
    'main thread': `${(run.mainCores * 100).toFixed(1)} % of a core`,
    'frames sent, lost, twice': `${run.sent}, ${run.lost}, ${run.twice}; other audio ${run.foreign}; gaps in RTP ${run.gaps}; calls ended ${run.ended}`,
    'mouth to ear': `${ms(run.bursts, framing)} (p50 / p99 / max), ${run.bursts.count} tone bursts; framing of ${framing} ms taken off`,
    'speech without a pause': `${ms(run.mouthToEar, framing)}, every frame of it`,
    pacing: `${ms(run.jitter)} off the grid`,
    'clear to silence': `${ms(run.clear)}, ${run.clear.count} times`,
    'signalling beside it':
      run.signalling === undefined
        ? '-'
        : `${ms(run.signalling)} at ${SIGNALLING_RATE} calls/s, ${run.signalling.placed} calls, ${run.signalling.failed} failed`,
    "of which receiver's own": `${ms(run.receiver)}; sender late by ${ms(run.sender)}`,
    machine: `busy ${run.busy.toFixed(2)} cores (bot ${run.botCpu.toFixed(2)}, callers ${run.callerCpu.toFixed(2)}); media thread waited for a core ${(run.mediaWaited * 100).toFixed(1)} % of the time; load ${run.load}; RSS ${run.rssMb.toFixed(0)} MB`,
  };
  for (const [name, value] of Object.entries(rows)) console.log(`  ${name.padEnd(26)}${value}`);
};

/** @param options streams, seconds, dialect, frameMs (of a message to the bot), signalling, dist, nodeFlags */
export const media = async (folder, options) => {
  const { streams, dialect, seconds } = options.media;
  const frameMs = options.media.frameMs ?? DIALECT_FRAME_MS[dialect];
  if (frameMs === undefined) throw new Error(`no such dialect: ${dialect}`);
  console.log(`\nMedia: ${streams} streams of ${dialect}, ${frameMs} ms a message, one media thread, ${seconds} s`);
  const run = await runOnce(join(folder, 'media'), {
    ...options.media,
    frameMs,
    dist: options.dist,
    nodeFlags: options.nodeFlags,
  });
  print(run);
  return run;
};
