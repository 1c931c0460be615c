/** Calls that flows of a real node answer with FreeSWITCH below them: greeting, keys, a bot, a media server that dies. */
import { once } from 'node:events';
import t from 'tap';
import { WebSocketServer } from 'ws';
import { sine } from '../contract/media/peer.js';
import { Phone } from '../support/flowSite.js';
import { FreeswitchStandIn } from '../support/freeswitch/standIn.js';
import { TandemNode } from '../support/tandemNode.js';

const NODE = '127.0.61.50';
const SIP_PORT = 26_200;
const CARRIER = '127.0.61.60';
const BOT = '127.0.61.61';
const BOT_PORT = 26_210;
const SECRET = 'not the usual one';
const GREETING_HZ = 600;
const SORRY_HZ = 800;
const POUND = 11;

const standIns = [51, 52].map(
  (host) =>
    new FreeswitchStandIn({
      ...{ address: `127.0.61.${host}`, sipPort: 26_220, eslPort: 26_221, rtpPorts: [26_230, 26_259], secret: SECRET },
    }),
);

const greet = (next: string, hz: number, ms: number) => ({
  applet: 'greeting',
  params: { play: [{ tone: [hz], duration_ms: ms }] },
  exits: { next },
});
const bye = { applet: 'hangup' };
const bot = { url: `ws://${BOT}:${BOT_PORT}/`, frame_ms: 20 };
const flows = [
  {
    id: 'story',
    start: 'greeting',
    nodes: {
      greeting: greet('ask', GREETING_HZ, 400),
      ask: {
        applet: 'gather',
        params: { max_digits: 2, type_ahead: true },
        exits: { digits: 'bot', timeout: 'bye', invalid: 'bye' },
      },
      bot: { applet: 'voicebot', params: bot, exits: { next: 'bye', failed: 'bye' } },
      bye,
    },
  },
  {
    id: 'long',
    start: 'long',
    fallback: 'sorry',
    nodes: { long: greet('bye', GREETING_HZ, 60_000), sorry: greet('bye', SORRY_HZ, 600), bye },
  },
];
const numberOf = (index: number): string => `+918040002${index}00`;
const routing = {
  accounts: [{ sid: 'demo' }],
  carriers: [{ id: 'telco', source_acl: [{ ip: CARRIER }], gateways: [{ uri: `sip:${CARRIER}:26211` }] }],
  trunks: [
    {
      ...{ trunk_sid: 'trk', account_sid: 'demo', trunk_name: 'pbx' },
      phone_numbers: flows.map(({ id }, i) => ({
        phone_number: numberOf(i),
        mode: 'flow',
        flow: id,
        carrier: 'telco',
      })),
    },
  ],
  flows,
};

/** Says back what it hears, until the caller presses the pound key. */
const echoBot = async (): Promise<WebSocketServer> => {
  const server = new WebSocketServer({ host: BOT, port: BOT_PORT });
  server.on('connection', (socket) => {
    socket.on('message', (data) => {
      const message = JSON.parse((data as Buffer).toString()) as {
        readonly event: string;
        readonly stream_sid: string;
        readonly media?: object;
        readonly dtmf?: { readonly digit: string };
      };
      const { event, stream_sid, media, dtmf } = message;
      if (event === 'media') socket.send(JSON.stringify({ event, stream_sid, media }));
      if (dtmf?.digit === '#') socket.close(1000);
    });
  });
  await once(server, 'listening');
  return server;
};

for (const standIn of standIns) await standIn.start();
const server = await echoBot();
const node = await TandemNode.start({
  address: NODE,
  port: SIP_PORT,
  routing,
  config: {
    media: {
      engine: 'freeswitch',
      freeswitch: [51, 52].map((host) => ({
        ...{ address: `127.0.61.${host}`, port: 26_221, secret: SECRET, listenAddress: NODE },
      })),
      egress: ['127.0.0.0/8'],
      recordingsPath: './recordings',
    },
  },
});
t.teardown(async () => {
  await node.destroy();
  server.close();
  for (const standIn of standIns) await standIn.stop();
});

t.test('greeting, keys and a voice bot, all of it heard', async (t) => {
  const caller = await Phone.open(CARRIER, 26_270);
  t.teardown(() => caller.close());
  await caller.calls(numberOf(0), `${NODE}:${SIP_PORT}`);
  t.match(caller.rtp.target.address, /^127\.0\.61\.5[12]$/, 'audio is with a media server');
  await caller.hears(GREETING_HZ, 300, 0);
  await caller.rtp.press(4);
  await caller.rtp.press(2);
  const heard = caller.hears(440, 500);
  await caller.rtp.say(sine(440, 20_000));
  await heard;
  await caller.rtp.press(POUND);
  await caller.isHungUp();
  const record = await node.record(caller.callId);
  t.match(record, {
    outcome: 'answered',
    endedBy: 'tandem',
    flow: { id: 'story', path: [{ node: 'greeting' }, { node: 'ask' }, { node: 'bot' }, { node: 'bye' }] },
    streams: [{ disconnectedBy: 'bot', status: 'completed' }],
    media: { a: { codec: 'PCMU' } },
  });
  t.ok((record.media?.a?.packetsReceived ?? 0) > 50);
  await node.quiet();
});

t.test('a media server dies in mid-call: the caller hears the fallback from the other one', async (t) => {
  const caller = await Phone.open(CARRIER, 26_280);
  t.teardown(() => caller.close());
  await caller.calls(numberOf(1), `${NODE}:${SIP_PORT}`);
  await caller.hears(GREETING_HZ, 200);
  const before = caller.rtp.target.address;
  const sorry = caller.hears(SORRY_HZ, 300);
  await standIns.find((standIn) => standIn.channels.size > 0)?.die();
  await caller.renegotiates(2);
  t.not(caller.rtp.target.address, before);
  await sorry;
  await caller.isHungUp();
  t.match(await node.record(caller.callId), { outcome: 'answered', endedBy: 'tandem', reasonCode: 'flow_hangup' });
});

t.test('nothing is left; it ends in good order', async (t) => {
  const { media } = (await node.dump()) as unknown as { media: object };
  t.match(media, { endpoints: 0, channels: [] });
  t.same(
    standIns.map((standIn) => standIn.channels.size),
    [0, 0],
  );
  await node.stop();
});
