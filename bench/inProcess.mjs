// A call through everything but the sockets, on simulated time: what the code itself costs when it runs warm, and a
// thing to profile without noise. node bench/inProcess.mjs [calls] [dist]
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setImmediate as turn } from 'node:timers/promises';

const calls = Number(process.argv[2] ?? 60_000);
const dist = resolve(process.argv[3] ?? new URL('../dist', import.meta.url).pathname);
const load = (file) => import(pathToFileURL(join(dist, file)).href);
const { ManualClock, SystemRandom, EventChannel } = await load('kernel/index.js');
const { TableHolder } = await load('call/routing/compile.js');
const { FileCallRecorder } = await load('call/record/fileRecorder.js');
const { CallService } = await load('call/session/service.js');
const { LiveAdmission } = await load('cli/admission.js');
const { createDirectSignal } = await load('signal/index.js');
const { CallLog, createLogger, createMetrics } = await load('observe/index.js');

const SYSTEM = '10.0.0.1';
const CALLER = '10.0.0.2';
const CALLEE = '10.0.0.3';
const NUMBER = '+918040000001';
const CALLS_PER_SECOND = 300;

const resources = [
  {
    type: 'carrier',
    value: {
      id: 'telco',
      kind: 'byo',
      source_acl: [{ ip: CALLER, mask: 32 }],
      gateways: [{ uri: `sip:${CALLER}:5060`, priority: 0, weight: 1 }],
    },
  },
  {
    type: 'trunk',
    value: {
      trunk_sid: 'trk_bench',
      account_sid: 'bench',
      trunk_name: 'bench',
      status: 'active',
      whitelisted_ips: [{ ip: CALLEE, mask: 32 }],
      destination_uris: [{ destination: `${CALLEE}:5060;transport=udp`, priority: 0, weight: 1 }],
    },
  },
  {
    type: 'phone_number',
    value: { phone_number: NUMBER, trunk_sid: 'trk_bench', mode: 'pstn', carrier: 'telco' },
  },
];

const clock = new ManualClock();
const random = new SystemRandom();
const folder = mkdtempSync(join(tmpdir(), 'tandem-inprocess-'));
/** What the system has sent and the peers have not read yet. */
const wire = [];
let sink;
const network = {
  bindDatagram: (local, receiver) => {
    sink = receiver;
    return Promise.resolve({ local, send: (data, address) => wire.push([data, address]), close: () => {} });
  },
};

const holder = new TableHolder();
await holder.apply({ kind: 'full', revision: 'bench', batches: [resources] });
const { logger } = createLogger({
  level: 'info',
  nodeId: 'bench',
  fd: openSync('/dev/null', 'w'),
});
const log = new CallLog(logger);
const metrics = createMetrics({ nodeId: 'bench', version: '0', sources: {} });
const events = new EventChannel((error) => {
  throw error;
});
events.subscribe(log.observe);
events.subscribe(metrics.observe);
const recorder = new FileCallRecorder({
  folder,
  rotateBytes: 64e6,
  rotateDaily: true,
  clock,
  onAlarm: (alarm) => {
    throw new Error(JSON.stringify(alarm));
  },
});
const admission = new LiveAdmission(holder, { clock, random, unlisted: 'reject' });
const signal = createDirectSignal({
  network,
  clock,
  random,
  resolver: { resolve: () => {} },
  listen: [{ transport: 'udp', address: SYSTEM, port: 5060 }],
  userAgent: 'tandem/0',
  gate: admission,
  onEvent: (event) => {
    throw new Error(JSON.stringify(event), { cause: event.error });
  },
});
const service = new CallService({ port: signal, clock, random, admission, recorder, events, nodeId: 'bench' });
await signal.start(service);

const sdp = (host) =>
  [
    'v=0',
    `o=user 53655765 2353687637 IN IP4 ${host}`,
    's=-',
    `c=IN IP4 ${host}`,
    't=0 0',
    'm=audio 6000 RTP/AVP 0 8 101',
    'a=rtpmap:0 PCMU/8000',
    'a=rtpmap:8 PCMA/8000',
    'a=rtpmap:101 telephone-event/8000',
    'a=fmtp:101 0-16',
    'a=sendrecv',
    '',
  ].join('\r\n');
const CALLER_SDP = sdp(CALLER);
const CALLEE_SDP = sdp(CALLEE);

const message = (lines, body = '') =>
  Buffer.from(
    [
      ...lines,
      ...(body === '' ? [] : ['Content-Type: application/sdp']),
      `Content-Length: ${body.length}`,
      '',
      body,
    ].join('\r\n'),
    'latin1',
  );

const requestOf = (call, method, { uri, seq, to }) => [
  `${method} ${uri} SIP/2.0`,
  `Via: SIP/2.0/UDP ${CALLER}:5060;branch=z9hG4bK-1-${call}-${method}`,
  `From: "Bench" <sip:+919812345678@${CALLER}:5060>;tag=1b${call}`,
  `To: <sip:${NUMBER}@${SYSTEM}:5060>${to}`,
  `Call-ID: ${call}-1@${CALLER}`,
  `CSeq: ${seq} ${method}`,
  `Contact: <sip:bench@${CALLER}:5060>`,
  'Max-Forwards: 70',
];

const line = (text, name) => {
  const from = text.indexOf(`\r\n${name}: `) + 2;
  return text.slice(from, text.indexOf('\r\n', from));
};

const answerOf = (text, status, tag) => [
  `SIP/2.0 ${status}`,
  ...['Via', 'From'].map((name) => line(text, name)),
  `${line(text, 'To')}${tag}`,
  ...['Call-ID', 'CSeq'].map((name) => line(text, name)),
  `Contact: <sip:${CALLEE}:5060;transport=UDP>`,
];

const fromCaller = (data) => sink.onDatagram(data, CALLER, 5060);
const fromCallee = (data) => sink.onDatagram(data, CALLEE, 5060);
let ended = 0;

/** Whoever is written to reads all that has come. */
const settle = (call) => {
  for (let item = wire.shift(); item !== undefined; item = wire.shift()) {
    const [data, address] = item;
    const text = data.latin1Slice();
    if (address === CALLEE) {
      if (text.startsWith('INVITE')) {
        fromCallee(message(answerOf(text, '180 Ringing', `;tag=1c${call}`)));
        fromCallee(message(answerOf(text, '200 OK', `;tag=1c${call}`), CALLEE_SDP));
      } else if (text.startsWith('BYE')) fromCallee(message(answerOf(text, '200 OK', '')));
    } else if (text.startsWith('SIP/2.0 200')) {
      if (line(text, 'CSeq').endsWith('BYE')) ended++;
      else {
        const uri = /<(.*)>/.exec(line(text, 'Contact'))[1];
        const to = /;tag=.*/.exec(line(text, 'To'))[0];
        fromCaller(message(requestOf(call, 'ACK', { uri, seq: 1, to })));
        fromCaller(message(requestOf(call, 'BYE', { uri, seq: 2, to })));
      }
    }
  }
};

const run = async (from, to) => {
  for (let call = from; call < to; call++) {
    const uri = `sip:${NUMBER}@${SYSTEM}:5060`;
    fromCaller(message(requestOf(call, 'INVITE', { uri, seq: 1, to: '' }), CALLER_SDP));
    settle(call);
    clock.advance(1000 / CALLS_PER_SECOND);
    settle(call);
    if (call % 10 === 0) await turn();
  }
};

const warmUp = Math.min(calls, 15_000);
await run(0, warmUp);
/** A chunk that another process disturbed costs more (caches, the sibling thread): the quietest fifth counts. */
const CHUNK = 1000;
const chunks = [];
const total = process.cpuUsage();
for (let from = warmUp; from < warmUp + calls; from += CHUNK) {
  const before = process.cpuUsage();
  await run(from, Math.min(from + CHUNK, warmUp + calls));
  const { user, system } = process.cpuUsage(before);
  chunks.push((user + system) / CHUNK);
}
const { user, system } = process.cpuUsage(total);
if (ended !== warmUp + calls) throw new Error(`${ended} of ${warmUp + calls} calls ended`);
chunks.sort((a, b) => a - b);
const quiet = chunks[Math.floor(chunks.length / 5)];
console.log(
  `in process, no sockets: ${((user + system) / calls).toFixed(0)} us of CPU a call, ${quiet.toFixed(0)} in the quietest fifth; peers included`,
);
metrics.close();
await recorder.close();
rmSync(folder, { recursive: true });
process.exit();
