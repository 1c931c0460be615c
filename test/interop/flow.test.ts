/** Calls that flows of a real node answer: telephones with audio, a bot in its own process, a web server, a PBX. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Node } from '../../src/cli/node.js';
import { loadConfig } from '../../src/config/index.js';
import { type EmbeddedMediaDeps, spawnThread } from '../../src/media/index.js';
import { sine } from '../contract/media/peer.js';
import { BOT, CARRIER, Phone, WEB, mediaConfig, numberOf, routing, startNode } from '../support/flowSite.js';
import { BotProcess, webServer } from '../support/flowTown.js';

const GREETING_HZ = 600;
const SORRY_HZ = 800;
const POUND = 11;
const greet = (next: string, hz = GREETING_HZ, ms = 400) => ({
  applet: 'greeting',
  params: { play: [{ tone: [hz], duration_ms: ms }] },
  exits: { next },
});
const bye = { applet: 'hangup' };
const bot = (port: number, exits: object) => ({
  applet: 'voicebot',
  params: { url: `ws://127.0.43.105:${port}/`, frame_ms: 20 },
  exits,
});
const connect = (params: object = {}) => ({ applet: 'connect', params: { to: ['sip:trk'], ...params } });

const FLOWS = [
  {
    id: 'story',
    start: 'greeting',
    nodes: {
      greeting: greet('ask'),
      ask: {
        applet: 'gather',
        params: { max_digits: 2, type_ahead: true },
        exits: { digits: 'hook', timeout: 'bye', invalid: 'bye' },
      },
      hook: { applet: 'passthru', params: { url: `http://${WEB}:22160/{{nodes.ask.digits}}` }, exits: { a: 'bot' } },
      bot: bot(22_150, { next: 'dial', failed: 'bye' }),
      dial: connect(),
      bye,
    },
  },
  {
    id: 'anchored',
    start: 'greeting',
    nodes: { greeting: greet('dial', 600, 100), dial: connect({ media: 'anchored' }) },
  },
  {
    id: 'fragile',
    start: 'bot',
    fallback: 'sorry',
    nodes: { bot: bot(22_151, { next: 'sorry', failed: 'sorry' }), sorry: greet('bye', SORRY_HZ), bye },
  },
  { id: 'direct', start: 'dial', nodes: { dial: connect() } },
];

t.test('with a node that is running', async (t) => {
  const node = await startNode(FLOWS);
  t.teardown(() => node.destroy());

  await t.test('greeting, digits, webhook, bot, and a callee with direct media in the end', async (t) => {
    const [echo, web] = await Promise.all([
      BotProcess.start(BOT, 22_150),
      webServer({ host: WEB, port: 22_160 }, (_request, response) => response.writeHead(200).end()),
    ]);
    const [caller, pbx] = await Promise.all([Phone.open(CARRIER, 23_500), Phone.pbx(23_510)]);
    t.teardown(async () => {
      await Promise.all([echo.kill(), web.close(), caller.close(), pbx.close()]);
    });
    await caller.calls(numberOf(0));
    await caller.hears(GREETING_HZ, 300, 0);
    await caller.rtp.press(4);
    await caller.rtp.press(2);
    await caller.rtp.until(() => web.paths.length > 0);
    t.match(web.paths[0], /^\/42\?.*CallFrom=%2B919812345678/);
    const heard = caller.hears(440, 500);
    await caller.rtp.say(sine(440, 16_000));
    await heard;
    await caller.rtp.press(POUND);
    await pbx.answers();
    const ack = await Promise.all([caller.renegotiates(2), pbx.renegotiates(2)]);
    t.ok(ack[0].body.toString().includes(`m=audio ${pbx.rtp.port} `), 'the caller is told of the callee itself');
    t.same(pbx.rtp.target, { address: CARRIER, port: caller.rtp.port }, 'and the callee of the caller');
    const direct = pbx.hears(700, 300);
    await caller.rtp.say(sine(700, 6400));
    await direct;
    await pbx.hangsUp();
    await caller.isHungUp();
    const record = await node.record(caller.callId);
    t.match(record, {
      outcome: 'answered',
      endedBy: 'callee',
      reasonCode: 'normal_clearing',
      flow: {
        id: 'story',
        path: [{ node: 'greeting' }, { node: 'ask' }, { node: 'hook' }, { node: 'bot' }, { node: 'dial' }],
      },
      streams: [{ disconnectedBy: 'bot', status: 'completed' }],
    });
    t.ok((record.media?.a?.packetsReceived ?? 0) > 50);
    await node.quiet();
  });

  await t.test('audio crosses an anchored bridge both ways; the caller hangs up', async (t) => {
    const [caller, pbx] = await Promise.all([Phone.open(CARRIER, 23_520), Phone.pbx(23_530)]);
    caller.rtp.law = 'PCMA';
    t.teardown(() => Promise.all([caller.close(), pbx.close()]));
    await caller.calls(numberOf(1));
    await pbx.answers();
    const both = Promise.all([caller.hears(900, 300), pbx.hears(440, 300)]);
    await Promise.all([caller.rtp.say(sine(440, 8000)), pbx.rtp.say(sine(900, 8000))]);
    await both;
    await caller.hangsUp();
    await pbx.isHungUp();
    t.match(await node.record(caller.callId), {
      endedBy: 'caller',
      media: { a: { codec: 'PCMA' }, b: { codec: 'PCMU' } },
    });
    await node.quiet();
  });

  await t.test('a plain connect has no media of ours at all; each side may hang up', async (t) => {
    for (const side of ['caller', 'callee'] as const) {
      const [caller, pbx] = await Promise.all([Phone.open(CARRIER, 23_540), Phone.pbx(23_550)]);
      const answering = pbx.answers();
      await caller.calls(numberOf(3));
      await answering;
      t.same(caller.rtp.target, { address: '127.0.43.120', port: 23_550 });
      const [ends, other] = side === 'caller' ? [caller, pbx] : [pbx, caller];
      await ends.hangsUp();
      await other.isHungUp();
      t.match(await node.record(caller.callId), { endedBy: side, media: { a: null, b: null } });
      await Promise.all([caller.close(), pbx.close()]);
      await node.quiet();
    }
  });

  await t.test('SIGKILL of the bot in mid-call: the caller hears the flow go on', async (t) => {
    const echo = await BotProcess.start(BOT, 22_151);
    const caller = await Phone.open(CARRIER, 23_560);
    t.teardown(() => Promise.all([echo.kill(), caller.close()]));
    await caller.calls(numberOf(2));
    const heard = caller.hears(440, 300);
    await caller.rtp.say(sine(440, 12_000));
    await heard;
    const sorry = caller.hears(SORRY_HZ, 300);
    await echo.kill();
    await sorry;
    await caller.isHungUp();
    t.match(await node.record(caller.callId), { endedBy: 'tandem', reasonCode: 'flow_hangup', streams: [{}] });
    t.equal(node.records().filter(({ aLegCallId }) => aLegCallId === caller.callId).length, 1);
    await node.quiet();
  });

  const { media } = (await node.dump()) as unknown as { media: object };
  t.match(media, { endpoints: 0, ports: { used: 0 }, http: { running: 0 } }, 'nothing is left in the media plane');
  await node.stop();
});

t.test(
  'a media worker dies in mid-call: the caller hears the fallback over new media, and one record tells it',
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-flow-'));
    const address = '127.0.43.102';
    const config = {
      node: { id: 'flow' },
      sip: { listen: [`udp://${address}:22200`] },
      store: { kind: 'file', path: './routing.yaml' },
      admin: { listen: `${address}:22201` },
      cdr: { path: './cdr' },
      log: { level: 'silent' },
      media: mediaConfig([23_200, 23_299], address),
    };
    const nodes = { long: greet('bye', GREETING_HZ, 60_000), sorry: greet('bye', SORRY_HZ), bye };
    const flows = [{ id: 'long', start: 'long', fallback: 'sorry', nodes }];
    await writeFile(join(folder, 'tandem.yaml'), JSON.stringify(config));
    await writeFile(join(folder, 'routing.yaml'), JSON.stringify(routing(flows)));
    const threads = spawnThread(new URL('../../src/cli/mediaWorker.js', import.meta.url));
    const links: ReturnType<EmbeddedMediaDeps['spawn']>[] = [];
    const spawnWorker: EmbeddedMediaDeps['spawn'] = (settings, sink) => {
      const link = threads(settings, sink);
      links.push(link);
      return link;
    };
    const node = new Node(loadConfig({ file: join(folder, 'tandem.yaml'), env: {}, flags: [] }), { spawnWorker });
    await node.start();
    const caller = await Phone.open(CARRIER, 23_570);
    t.teardown(async () => {
      await node.stop();
      await caller.close();
      await rm(folder, { recursive: true, force: true });
    });
    await caller.calls(numberOf(0), `${address}:22200`);
    await caller.hears(GREETING_HZ, 200);
    const sorry = caller.hears(SORRY_HZ, 300);
    await links[0]?.terminate();
    await caller.renegotiates(2);
    await sorry;
    await caller.isHungUp();
    await node.drain();
  },
);
