/** What a flow stands on dies in the middle of calls: bots, a media worker, Redis. The calls go on, one record each. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { flattenBatches, validateDocument } from '../../src/call/routing/schema.js';
import { Node } from '../../src/cli/node.js';
import { loadConfig } from '../../src/config/index.js';
import { SystemClock } from '../../src/kernel/index.js';
import { type EmbeddedMediaDeps, spawnThread } from '../../src/media/index.js';
import { openStore } from '../../src/store/index.js';
import { sine } from '../contract/media/peer.js';
import { bounded } from '../support/endpoints.js';
import { Phone } from '../support/flowSite.js';
import { BotProcess, FlowTown, wayOf } from '../support/flowTown.js';
import { recordsIn } from '../support/nodeProcess.js';
import { RedisServer } from '../support/redisServer.js';

const GREETING_HZ = 600;
const SORRY_HZ = 800;
const VOICE_HZ = 440;
const CALLEE_HZ = 900;
const FALLBACK_LIMIT_MS = 2000;

const tone = (hz: number, ms: number, exits: object): object => ({
  applet: 'greeting',
  params: { play: [{ tone: [hz], duration_ms: ms }] },
  exits,
});
const sorry = tone(SORRY_HZ, 500, { next: 'bye' });
const bye = { applet: 'hangup' };
const botFlow = (id: string, url: string) => ({
  id,
  start: 'bot',
  fallback: 'sorry',
  nodes: {
    bot: { applet: 'voicebot', params: { url, frame_ms: 20 }, exits: { next: 'bye', failed: 'sorry' } },
    sorry,
    bye,
  },
});
t.setTimeout(110_000);

t.test('bots that are killed or stopped: their calls take the branch for it, others lose nothing', async (t) => {
  const host = '127.0.64.23';
  const [killed, frozen, healthy] = await Promise.all(
    [30_050, 30_051, 30_052].map((port) => BotProcess.start(host, port)),
  );
  if (killed === undefined || frozen === undefined || healthy === undefined) throw new Error('three bots');
  t.teardown(() => Promise.all([killed, frozen, healthy].map((bot) => bot.kill())));
  const flows = [botFlow('killed', killed.url), botFlow('frozen', frozen.url), botFlow('healthy', healthy.url)];
  const town = await FlowTown.start({ index: 2, flows });
  const { node } = town;
  t.teardown(() => node.destroy());
  const names = ['killed', 'killed', 'killed', 'killed', 'frozen', 'frozen', 'healthy', 'healthy', 'healthy'];
  const phones = await Promise.all(names.map((_, i) => Phone.open(town.address('caller'), 30_500 + 2 * i)));
  t.teardown(() => Promise.all(phones.map((phone) => phone.close())));
  const calls = names.map((name, i) => ({ name, phone: phones[i] as Phone }));
  await Promise.all(calls.map(({ name, phone }) => phone.calls(town.numberOf(name), node.hostPort)));

  const talk = calls.map(({ phone }) => phone.rtp.say(sine(VOICE_HZ, 8000 * 5)));
  await Promise.all(calls.map(({ phone }) => phone.hears(VOICE_HZ, 300, 0)));
  const fails = calls.filter(({ name }) => name !== 'healthy');
  const apologies = fails.map(async ({ name, phone }) => {
    const fromMs = performance.now();
    await phone.hears(SORRY_HZ, 200);
    return { name, afterMs: performance.now() - fromMs };
  });
  t.equal(await node.metric('tandem_streams_open'), calls.length);
  t.equal(await node.metric('tandem_media_ports{state="used"}'), calls.length);
  frozen.freeze();
  await killed.kill();
  for (const { name, afterMs } of await Promise.all(apologies)) {
    // 200 ms of it were awaited; the rest is for a busy machine.
    t.ok(afterMs < FALLBACK_LIMIT_MS + 700, `${name}: the caller hears the branch after ${Math.round(afterMs)} ms`);
  }
  await Promise.all(fails.map(({ phone }) => phone.isHungUp()));
  await Promise.all(talk);
  const well = calls.filter(({ name }) => name === 'healthy');
  await Promise.all(well.map(({ phone }) => phone.hangsUp()));
  for (const { name, phone } of calls) {
    const record = await node.record(phone.callId);
    const ok = name === 'healthy';
    t.equal(record.streams?.length, 1, name);
    t.match(
      record.streams?.[0],
      ok ? { status: 'completed', disconnectedBy: 'user' } : { status: 'failed', disconnectedBy: 'bot' },
    );
    t.same(wayOf(record), ok ? ['bot:next'] : ['bot:failed', 'sorry:next', 'bye:call_ended'], name);
    t.match(record, ok ? { endedBy: 'caller' } : { endedBy: 'tandem', reasonCode: 'flow_hangup' });
    if (!ok) continue;
    // As many beats of the engine: what went to the caller, and what went to the bot once it was there.
    const { framesSent = 0, durationMs = 0 } = record.streams?.[0] ?? {};
    const { packetsSent = 0 } = record.media?.a ?? {};
    const without = Math.round(((record.talkMs ?? 0) - durationMs) / 20);
    t.ok(
      framesSent > 150 && packetsSent - framesSent < without + 10,
      `${framesSent} frames to the bot, ${packetsSent} packets, ${without} beats without a bot`,
    );
  }
  t.equal(node.records().length, calls.length, 'one record each');
  t.equal(await node.metric('tandem_stream_failures_total{reason="broke_off"}'), 4, 'killed');
  t.equal(await node.metric('tandem_stream_failures_total{reason="silent"}'), 2, 'stopped');
  t.equal(await node.metric('tandem_flow_steps_total{applet="voicebot",exit="failed"}'), 6);
  t.equal(await node.metric('tandem_streams_open'), 0);
  t.equal(await node.metric('tandem_media_ports{state="used"}'), 0);
  await town.mediaQuiet();
  await node.stop();
});

/** Records that a node in this process has written. */
t.test('a media worker dies under a greeting, a bot, a recording and a bridge: each falls back once', async (t) => {
  const town = new FlowTown({
    index: 3,
    flows: [
      {
        id: 'greeting',
        start: 'long',
        fallback: 'sorry',
        nodes: { long: tone(GREETING_HZ, 60_000, { next: 'bye' }), sorry, bye },
      },
      botFlow('bot', 'ws://127.0.64.33:30050/'),
      {
        id: 'record',
        start: 'record',
        nodes: {
          record: { applet: 'record', params: { beep: false }, exits: { next: 'bye', error: 'sorry' } },
          sorry,
          bye,
        },
      },
      {
        id: 'bridge',
        start: 'hello',
        fallback: 'sorry',
        nodes: {
          hello: tone(GREETING_HZ, 100, { next: 'dial' }),
          dial: { applet: 'connect', params: { to: ['sip:trk'], media: 'anchored' }, exits: { answered: 'sorry' } },
          sorry,
          bye,
        },
      },
    ],
  });
  const bot = await BotProcess.start(town.address('bot'), 30_050);
  t.teardown(() => bot.kill());
  const plan = town.nodePlan();
  const folder = await mkdtemp(join(tmpdir(), 'tandem-flow-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await writeFile(
    join(folder, 'tandem.yaml'),
    JSON.stringify({
      node: { id: 'faults' },
      sip: { listen: [`udp://${plan.address}:30000`] },
      store: { kind: 'file', path: './routing.yaml' },
      admin: { listen: `${plan.address}:30001` },
      cdr: { path: './cdr' },
      log: { level: 'silent' },
      ...plan.config,
    }),
  );
  await writeFile(join(folder, 'routing.yaml'), JSON.stringify(plan.routing));
  const threads = spawnThread(new URL('../../src/cli/mediaWorker.js', import.meta.url));
  const links: ReturnType<EmbeddedMediaDeps['spawn']>[] = [];
  const node = new Node(loadConfig({ file: join(folder, 'tandem.yaml'), env: {}, flags: [] }), {
    spawnWorker: (settings, sink) => {
      const link = threads(settings, sink);
      links.push(link);
      return link;
    },
  });
  await node.start();
  t.teardown(() => node.stop());
  const names = ['greeting', 'bot', 'record', 'bridge'];
  const phones = await Promise.all(names.map((_, i) => Phone.open(town.address('caller'), 30_500 + 2 * i)));
  const [greeting, talker, recorder, connected] = phones as [Phone, Phone, Phone, Phone];
  const pbx = await Phone.open(town.address('pbx'), 30_600, 30_040);
  t.teardown(() => Promise.all([pbx, ...phones].map((phone) => phone.close())));
  const target = `${plan.address}:30000`;
  const answering = pbx.answers();
  await Promise.all(phones.map((phone, i) => phone.calls(town.numberOf(names[i] as string), target)));
  await Promise.all([greeting.hears(GREETING_HZ, 200, 0), answering]);
  const echo = talker.hears(VOICE_HZ, 300);
  const across = pbx.hears(VOICE_HZ, 300);
  const back = connected.hears(CALLEE_HZ, 300);
  await Promise.all([
    ...[talker, recorder, connected].map((phone) => phone.rtp.say(sine(VOICE_HZ, 12_000))),
    pbx.rtp.say(sine(CALLEE_HZ, 12_000)),
  ]);
  await Promise.all([echo, across, back]);

  const apologies = phones.map((phone) => phone.hears(SORRY_HZ, 300));
  const renewed = phones.map((phone) => phone.renegotiates(2));
  const calleeOver = pbx.isHungUp();
  await links[0]?.terminate();
  await Promise.all([...renewed, ...apologies, calleeOver]);
  await Promise.all(phones.map((phone) => phone.isHungUp()));

  // The next call finds everything in place.
  const next = await Phone.open(town.address('caller'), 30_620);
  t.teardown(() => next.close());
  await next.calls(town.numberOf('greeting'), target);
  await next.hears(GREETING_HZ, 200, 0);
  await next.hangsUp();
  await node.drain();
  const records = recordsIn(join(folder, 'cdr'));
  t.equal(records.length, phones.length + 1, 'one record each');
  const ways = Object.fromEntries(
    names.map((name, i) => [name, wayOf(records.find((one) => one.aLegCallId === phones[i]?.callId) as CallRecord)]),
  );
  t.same(ways, {
    greeting: ['long:error', 'sorry:next', 'bye:call_ended'],
    bot: ['bot:error', 'sorry:next', 'bye:call_ended'],
    record: ['record:error', 'sorry:next', 'bye:call_ended'],
    bridge: ['hello:next', 'dial:error', 'sorry:next', 'bye:call_ended'],
  });
  for (const record of records) t.match(record, { outcome: 'answered', sipStatus: 200 });
});

t.test(
  'SIGKILL of redis-server in the middle of calls: they go on, new ones are served, all have a record',
  async (t) => {
    const redis = await RedisServer.start();
    t.teardown(() => redis.close());
    const plan = {
      index: 4,
      flows: [
        botFlow('bot', 'ws://127.0.64.43:30050/'),
        {
          id: 'moved',
          start: 'go',
          nodes: { go: { applet: 'transfer', params: { flow: 'bot' }, exits: { failed: 'sorry' } }, sorry, bye },
        },
      ],
      config: { store: { kind: 'redis', url: redis.url, snapshotPath: './routing.snapshot' } },
    };
    const document = validateDocument(new FlowTown(plan).routing());
    if (!document.ok) throw new Error(JSON.stringify(document));
    const clock = new SystemClock();
    const store = openStore(
      { kind: 'redis', url: redis.url },
      { clock, pause: () => new Promise((done) => setImmediate(done)) },
    );
    const upserts = [...flattenBatches(document.value)].flat();
    await store.publish({ author: 'test', upserts, deletes: [] });
    await store.close();
    const bot = await BotProcess.start('127.0.64.43', 30_050);
    t.teardown(() => bot.kill());
    const town = await FlowTown.start(plan);
    const { node } = town;
    t.teardown(() => node.destroy());
    const [during, after, killedBot] = (await Promise.all(
      [30_500, 30_502, 30_504].map((port) => Phone.open(town.address('caller'), port)),
    )) as [Phone, Phone, Phone];
    t.teardown(() => Promise.all([during, after, killedBot].map((phone) => phone.close())));
    await during.calls(town.numberOf('bot'), node.hostPort);
    const first = during.hears(VOICE_HZ, 300);
    await during.rtp.say(sine(VOICE_HZ, 8000));
    await first;
    t.equal(await node.metric('tandem_store_connected'), 1);
    await redis.stop();
    await bounded(
      'the node sees that Redis is gone',
      5000,
      async () => (await node.metric('tandem_store_connected')) === 0,
    );

    await after.calls(town.numberOf('moved'), node.hostPort);
    const heard = [during.hears(VOICE_HZ, 300), after.hears(VOICE_HZ, 300)];
    await Promise.all([during, after].map((phone) => phone.rtp.say(sine(VOICE_HZ, 8000))));
    await Promise.all(heard);
    await Promise.all([during.hangsUp(), after.hangsUp()]);
    t.match(await node.record(during.callId), {
      endedBy: 'caller',
      flow: { id: 'bot' },
      streams: [{ status: 'completed' }],
    });
    const moved = await node.record(after.callId);
    t.same(wayOf(moved), ['go:transferred', 'bot:next']);

    // Two at once: the store is away, and the bot dies.
    await killedBot.calls(town.numberOf('bot'), node.hostPort);
    const apology = killedBot.hears(SORRY_HZ, 300);
    await bounded('the stream is open', 5000, async () => (await node.dump()).limits.calls > 0);
    await bot.kill();
    await apology;
    await killedBot.isHungUp();
    t.same(wayOf(await node.record(killedBot.callId)), ['bot:failed', 'sorry:next', 'bye:call_ended']);
    t.equal(node.records().length, 3);
    await town.mediaQuiet();
    await node.stop(/store_unreachable/);
  },
);
