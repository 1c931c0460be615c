import t from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import type { CallEvent } from '../../src/call/session/events.js';
import { EventChannel, ManualClock } from '../../src/kernel/index.js';
import { GatheredLines } from '../../src/observe/gatheredLines.js';
import { CallLog, callLogger, createLogger, createMetrics, maskSipText } from '../../src/observe/index.js';
import { callRecord } from '../support/callRecord.js';

const capture = (level: 'info' | 'debug' = 'info') => {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const { logger } = createLogger({ level, nodeId: 'node-1', destination: { write } });
  return { logger, lines };
};

const ended = (over: Partial<CallRecord>, atMs = 0): CallEvent => {
  const record = callRecord(over);
  return { type: 'call_ended', callId: record.callId, atMs, record };
};

const wholeCall = (): CallEvent[] => {
  const of = { callId: 'f3a1c2d4', atMs: 0 };
  const record = callRecord({});
  const request = {
    sourceAddress: '127.0.20.10',
    sourcePort: 5060,
    transport: 'udp',
    calledNumber: '1',
    callerNumber: '2',
  };
  return [
    { ...of, type: 'call_started', request, aLegCallId: 'a' },
    { ...of, type: 'call_decided', decision: record.decision },
    { ...of, type: 'attempt_started', attempt: 1, uri: 'sip:x', gateway: 'x', bLegCallId: 'b' },
    { ...of, type: 'call_ringing', status: 180, earlyMedia: false, afterMs: 7 },
    {
      ...of,
      type: 'attempt_ended',
      attempt: 1,
      gateway: 'x',
      targetsLeft: 0,
      record: record.attempts[0] as (typeof record.attempts)[0],
    },
    { ...of, type: 'call_answered', setupMs: 1500, bLegCallId: 'b', decision: undefined, priced: undefined },
    { ...of, type: 'call_ended', record },
    { ...of, type: 'call_released', abandonedLegs: 0 },
  ];
};

/** Value of a series, by the start of its line. */
const value = (page: string, series: string): number | undefined => {
  const line = page.split('\n').find((l) => l.startsWith(`${series} `) || l.startsWith(`${series}{`));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
};

t.test('at info a call is one line, at debug each step has its own', async (t) => {
  for (const [level, count] of [
    ['info', 1],
    ['debug', 7],
  ] as const) {
    const { logger, lines } = capture(level);
    wholeCall().forEach(new CallLog(logger).observe);
    t.equal(lines.length, count, level);
    t.match(lines.at(-1), {
      level: 'info',
      node: 'node-1',
      msg: 'call ended',
      callId: 'f3a1c2d4',
      trunk: 'trk_demo',
      outcome: 'answered',
      reason: 'routed',
      status: 200,
      setupMs: 2000,
    });
  }
});

t.test('a flood of refusals is told in part, and says how much was left out', async (t) => {
  const { logger, lines } = capture();
  const log = new CallLog(logger);
  const refused = { outcome: 'rejected', trunkSid: null, reasonCode: 'source_not_allowed' } as const;
  for (let i = 0; i < 500; i++) log.observe(ended(refused, 5000 + i));
  log.observe(ended({}, 5800));
  t.equal(lines.length, 21, 'twenty refusals, and the call that was routed');
  log.observe(ended(refused, 6000));
  t.match(lines[21], { level: 'warn', untold: 480 });
  t.match(lines[22], { msg: 'call ended' });
});

t.test('trouble is told at its level', async (t) => {
  const { logger, lines } = capture();
  const log = new CallLog(logger);
  log.observe({ type: 'call_fault', callId: 'x', atMs: 0, where: 'bridge', error: new Error('broken') });
  log.observe({ type: 'signalling', atMs: 0, up: false, detail: 'gone' });
  log.observe({ type: 'call_released', callId: 'x', atMs: 0, abandonedLegs: 1 });
  log.observe({ type: 'drain_started', atMs: 0, liveCalls: 2, limitMs: 1000 });
  log.observeRecorder({ type: 'write_failed', code: 'ENOSPC', pending: 1 });
  log.observeRecorder({ type: 'write_recovered', written: 1 });
  t.same(
    lines.map((line) => line['level']),
    ['error', 'error', 'warn', 'info', 'error', 'info'],
  );
  t.match(lines[0], { err: { message: 'broken', stack: /observe\.test/ } });
});

t.test('lines of a call carry the call; secrets are blanked', async (t) => {
  const { logger, lines } = capture();
  callLogger(logger, { callId: 'c1', leg: 'b', trunk: 'trk' }).info(
    { password: 'p', account: { token: 't' } },
    'hello',
  );
  t.match(lines[0], { callId: 'c1', leg: 'b', trunk: 'trk', password: '***', account: { token: '***' } });
});

t.test('passwords of URIs are masked, and what looks alike is not', async (t) => {
  const same = ['X: sip:@h', 'a@b', 'sip:a:@h', 'https://h:80/@x', '//u:p@h', 'To: <sip:+91@h:5060>;x=1', 'u:p'];
  for (const text of same) t.equal(maskSipText(text), text);
  t.equal(maskSipText('INVITE sip:a:pw@h SIP/2.0'), 'INVITE sip:a:***@h SIP/2.0');
  t.equal(maskSipText('X: wss://user:se:cret@bot/x?y'), 'X: wss://user:***@bot/x?y');
  t.equal(maskSipText('X: <sips:u:p@h>, sip:v:q@h'), 'X: <sips:u:***@h>, sip:v:***@h');
});

t.test('a SIP message is masked where it tells secrets, and only there', async (t) => {
  const head = 'REGISTER sip:bob:hunter2@h SIP/2.0\r\nVia: SIP/2.0/UDP h:5060\r\n';
  const auth = 'Authorization: Digest username="u",\r\n response="cafe"\r\nProxy-Authorization : Basic dTpw\r\n';
  const masked = maskSipText(`${head}${auth}CSeq: 1 REGISTER\r\n\r\n`);
  t.notMatch(masked, /cafe|dTpw|hunter2/);
  t.match(masked, /Authorization: Digest \*\*\*\r\nProxy-Authorization : Basic \*\*\*\r\nCSeq: 1 REGISTER\r\n\r\n$/);
  const info = (type: string, body: string) =>
    maskSipText(`INFO sip:x SIP/2.0\r\nContent-Type: ${type}\r\n\r\n${body}`);
  t.match(info('application/dtmf-relay', 'Signal=5\r\nDuration=160'), /\r\n\r\nSignal=\*\*\*\r\nDuration=160$/);
  t.match(info('application/dtmf', '5'), /\r\n\r\n\*\*\*$/);
  t.match(info('application/sdp', 'v=0'), /\r\n\r\nv=0$/);
  const started = performance.now();
  maskSipText('Authorization: x\r\n'.repeat(4000) + ' a:'.repeat(20_000));
  t.ok(performance.now() - started < 1000, 'linear');
});

t.test('metrics count what happened', async (t) => {
  const channel = new EventChannel<CallEvent>();
  const metrics = createMetrics({ nodeId: 'node-1', version: '0.1.0' });
  t.teardown(() => metrics.close());
  channel.subscribe(metrics.observe);
  wholeCall().forEach((event) => channel.emit(event));
  wholeCall()
    .slice(0, 2)
    .forEach((event) => channel.emit(event));
  channel.emit(
    ended({ direction: null, outcome: 'rejected', reasonCode: 'source_not_allowed', endedBy: 'tandem', talkMs: 0 }),
  );
  channel.emit(wholeCall()[0] as CallEvent);
  metrics.observeRecorder({ type: 'write_failed', code: 'ENOSPC', pending: 3 });
  for (let scrape = 0; scrape < 2; scrape++) {
    const { body, contentType } = await metrics.render();
    t.match(contentType, /^text\/plain; version=0\.0\.4/);
    t.equal(value(body, 'tandem_calls_started_total'), 3);
    t.equal(value(body, 'tandem_calls_live'), 1);
    const answered = '{direction="inbound",outcome="answered",reason="routed",ended_by="caller"}';
    t.equal(value(body, `tandem_calls_ended_total${answered}`), 1);
    t.match(body, 'direction="none",outcome="rejected",reason="source_not_allowed",ended_by="tandem"} 1');
    t.equal(value(body, 'tandem_attempts_total{result="answered"}'), 1);
    t.equal(value(body, 'tandem_call_setup_seconds_count'), 1);
    t.match(body, 'tandem_call_ringing_seconds_bucket{le="0.01"} 1');
    t.equal(value(body, 'tandem_call_talk_seconds_total'), 60);
    t.equal(value(body, 'tandem_cdr_alarms_total{type="write_failed"}'), 1);
    t.ok((value(body, 'process_resident_memory_bytes') ?? 0) > 1e6);
    t.match(body, /tandem_event_loop_lag_seconds\{quantile="0\.99"\} \d/);
    t.match(body, 'tandem_info{node="node-1",version="0.1.0"');
  }
});

t.test('what lives is read when the page is asked for', async (t) => {
  let revision = 'r1';
  const metrics = createMetrics({
    nodeId: 'n',
    version: '1',
    sources: {
      engine: () => ({ dialogs: 4, transport: { connections: 2, listeners: ['udp/1.2.3.4:5060'] }, name: 'x' }),
      timers: () => ({ 'cdr.sync': 1 }),
      table: () => ({ revision, loaded: true, size: { numbers: 7 } }),
      recordsPending: () => 2,
      store: () => ({ connected: false, stale: true }),
      draining: () => false,
    },
  });
  t.teardown(() => metrics.close());
  const page = (await metrics.render()).body;
  t.equal(value(page, 'tandem_sip_objects{kind="dialogs"}'), 4);
  t.equal(value(page, 'tandem_sip_objects{kind="transport.listeners"}'), 1);
  t.equal(value(page, 'tandem_timers{name="cdr.sync"}'), 1);
  t.equal(value(page, 'tandem_routing_table_objects{kind="numbers"}'), 7);
  t.equal(value(page, 'tandem_cdr_pending'), 2);
  t.equal(value(page, 'tandem_store_connected'), 0);
  t.equal(value(page, 'tandem_store_stale'), 1);
  revision = 'r2';
  const next = (await metrics.render()).body;
  t.match(next, 'tandem_routing_table_info{revision="r2"} 1');
  t.notMatch(next, 'revision="r1"');
});

const REPORT = { streamSid: 's', durationMs: 1, framesSent: 1, framesReceived: 1 };

t.test('flows, streams and audio are counted, by labels that tenants cannot multiply', async (t) => {
  const metrics = createMetrics({
    nodeId: 'n',
    version: '1',
    sources: { streams: () => 3, mediaPorts: () => ({ used: 2, resting: 1, free: 97 }) },
  });
  t.teardown(() => metrics.close());
  const step = (applet: string, exit: string, code?: string): void => {
    const error = code === undefined ? null : { code, message: 'm' };
    const of = {
      step: 1,
      flowId: 'f',
      flowVersion: 1,
      nodeId: 'n',
      inputs: {},
      next: null,
      enteredMs: 0,
      durationMs: 1,
    };
    metrics.observe({ type: 'flow_step', callId: 'c', atMs: 0, step: { ...of, applet, exit, error } });
  };
  step('menu', '4');
  step('menu', '*');
  step('voicebot', 'failed');
  step('greeting', 'error', 'speech_failed');
  for (let i = 0; i < 1000; i++) {
    step('switchcase', `tier_${i}`);
    step(`applet_${i}`, 'error', `code_${i}`);
  }
  const quality = { packetsReceived: 1000, packetsSent: 990, packetsLost: 7, packetsLate: 2, packetsRejected: 1 };
  const a = { ...quality, jitterMs: 1, roundTripMs: null, mos: 4, codec: 'PCMU' };
  const details = [
    ['failed', 'not a permitted address', 'egress_refused'],
    ['rejected', 'the bot refused the handshake with 401', 'handshake_refused'],
    ['failed', 'no answer to the handshake in 10000 ms', 'handshake_timeout'],
    ['failed', 'getaddrinfo ENOTFOUND bot.example', 'unresolved'],
    ['failed', 'connect ECONNREFUSED 192.0.2.1:80', 'unreachable'],
    ['failed', 'closed with 1006: the bot has not answered for 1500 ms', 'silent'],
    ['failed', 'closed with 1006', 'broke_off'],
    ['failed', 'the bot reads too slowly', 'too_slow'],
    ['failed', 'something new', 'other'],
  ] as const;
  const streams = details.map(([status, detail]) => ({ ...REPORT, status, detail, disconnectedBy: 'bot' as const }));
  const path = { id: 'f', version: 1, steps: 1, path: [] };
  metrics.observe(ended({ flow: { ...path, reasonCode: 'flow_hangup' }, media: { a, b: null }, streams }));
  metrics.observe(ended({ flow: { ...path, reasonCode: 'of_a_tenant' }, media: { a, b: a }, streams: [] }));
  const page = (await metrics.render()).body;
  t.equal(value(page, 'tandem_flow_calls_total{reason="flow_hangup"}'), 1);
  t.equal(value(page, 'tandem_flow_calls_total{reason="other"}'), 1);
  t.equal(value(page, 'tandem_flow_steps_total{applet="menu",exit="key"}'), 2);
  t.equal(value(page, 'tandem_flow_steps_total{applet="voicebot",exit="failed"}'), 1);
  t.equal(value(page, 'tandem_flow_steps_total{applet="switchcase",exit="case"}'), 1000);
  t.equal(value(page, 'tandem_flow_errors_total{applet="greeting",code="speech_failed"}'), 1);
  t.equal(value(page, 'tandem_flow_errors_total{applet="other",code="other"}'), 1000);
  t.equal(value(page, 'tandem_streams_ended_total{status="rejected",disconnected_by="bot"}'), 1);
  for (const [, detail, reason] of details) {
    t.equal(value(page, `tandem_stream_failures_total{reason="${reason}"}`), 1, detail);
  }
  t.equal(value(page, 'tandem_media_packets_total{leg="a",fate="received"}'), 2000);
  t.equal(value(page, 'tandem_media_packets_total{leg="b",fate="lost"}'), 7);
  t.equal(value(page, 'tandem_streams_open'), 3);
  t.equal(value(page, 'tandem_media_ports{state="used"}'), 2);
  t.ok(page.split('\n').filter((line) => /^tandem_(flow|stream)/.test(line)).length < 40);
});

t.test('observing a whole call costs microseconds', async (t) => {
  const metrics = createMetrics({ nodeId: 'n', version: '1' });
  t.teardown(() => metrics.close());
  const events = wholeCall();
  const calls = 20_000;
  const start = performance.now();
  for (let i = 0; i < calls; i++) for (const event of events) metrics.observe(event);
  const each = ((performance.now() - start) * 1000) / calls;
  t.comment(`${each.toFixed(2)} us a call of ${events.length} events`);
  t.ok(each < 100);
});

t.test('lines go to their sink by the dozen, after 200 ms at the latest, and all at the end', async (t) => {
  const clock = new ManualClock();
  const written: string[] = [];
  let flushed = 0;
  const sink = { write: (lines: string) => void written.push(lines), flushSync: () => void flushed++ };
  const lines = new GatheredLines(sink, clock);
  lines.write('one\n');
  clock.advance(150);
  lines.write('two\n');
  t.same(written, []);
  clock.advance(50);
  t.same(written, ['one\ntwo\n']);
  t.equal(clock.pending, 0, 'and nothing wakes up while nobody writes');
  const long = `${'x'.repeat(999)}\n`;
  for (let i = 0; i < 9; i++) lines.write(long);
  t.same(written.slice(1), [long.repeat(9)], '8 kB do not wait');
  t.equal(clock.pending, 0);
  lines.write('last\n');
  lines.flushSync();
  t.equal(written.at(-1), 'last\n');
  t.equal(flushed, 1);
  t.equal(clock.pending, 0);
  const broken = new GatheredLines(
    {
      write: () => {
        throw new Error('closed');
      },
      flushSync: () => {
        throw new Error('closed');
      },
    },
    clock,
  );
  broken.write('lost\n');
  broken.flushSync();
  broken.write('lost\n');
  t.doesNotThrow(() => clock.advance(200), 'a sink that is closed breaks nothing');
});
