/** URLs of tenants that lead inside: whatever they name and however it is written, nothing inside is connected to. */
import dns from 'node:dns';
import { once } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import { type Server, type Socket, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { SeededRandom, SystemClock } from '../../src/kernel/index.js';
import type { StreamReport } from '../../src/media/port.js';
import { openBotStream } from '../../src/media/stream/botStream.js';
import { egressPolicy } from '../../src/media/stream/egress.js';
import { locateBot, webSocketDialer } from '../../src/media/stream/webSocket.js';
import { HttpClient } from '../../src/net/index.js';
import { SPEC } from '../support/fakeBot.js';
import { Phone } from '../support/flowSite.js';
import { FlowTown, webServer } from '../support/flowTown.js';

const INDEX = 14;
/** The one address inside that the operator permits; all others are not. */
const PERMITTED = `127.0.64.${INDEX * 10 + 4}`;
const INSIDE = `127.0.64.${INDEX * 10 + 5}`;
const INSIDE_PORT = 30_700;
const PERMITTED_PORT = 30_710;
const [A, B, C, D] = INSIDE.split('.').map(Number) as [number, number, number, number];
const hex = (value: number): string => value.toString(16).padStart(2, '0');
const octal = (value: number): string => `0${value.toString(8)}`;

/** The same address, and others inside, as an attacker would write them. */
const HOSTS: readonly string[] = [
  INSIDE,
  `${INSIDE}.`,
  '127.0.0.1',
  '127.1',
  '0',
  '0.0.0.0',
  'localhost',
  'LocalHost.',
  String(((A * 256 + B) * 256 + C) * 256 + D),
  `0x${[A, B, C, D].map(hex).join('')}`,
  [A, B, C, D].map((part) => `0x${hex(part)}`).join('.'),
  [A, B, C, D].map(octal).join('.'),
  `${A}.${B}.${C * 256 + D}`,
  '[::1]',
  '[::]',
  `[::ffff:${INSIDE}]`,
  `[::ffff:${hex(A)}${hex(B)}:${hex(C)}${hex(D)}]`,
  `[::${INSIDE}]`,
  `[64:ff9b::${INSIDE}]`,
  `8.8.8.8@${INSIDE}`,
  `${PERMITTED}%40x:y@${INSIDE}`,
  `${PERMITTED}:${PERMITTED_PORT}#@${INSIDE}`.replace('#', '%23'),
  INSIDE.replaceAll('.', '\u3002'),
  INSIDE.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
  '169.254.169.254',
  '[fe80::1]',
  '[fd00:ec2::254]',
  '10.0.0.1',
  '192.168.0.1',
  '172.16.0.1',
  '100.64.0.1',
  '224.0.0.1',
  '168.63.129.16',
];

/** Everything that comes in at this port, whatever local address it was sent to. */
async function trap(t: Test): Promise<{ readonly caught: string[] }> {
  const caught: string[] = [];
  const open = async (host: string): Promise<Server> => {
    const server = createServer((socket: Socket) => {
      caught.push(`${socket.localAddress} ${socket.localPort}`);
      socket.destroy();
    });
    server.listen(INSIDE_PORT, host);
    await once(server, 'listening');
    t.teardown(() => server.close());
    return server;
  };
  await open('::').catch(() => open('0.0.0.0'));
  // It does catch: a test that cannot fail would prove nothing.
  const { connect } = await import('node:net');
  for (const host of [INSIDE, '127.0.0.1']) await once(connect(INSIDE_PORT, host), 'connect');
  while (caught.length < 2) await new Promise((resolve) => setImmediate(resolve));
  caught.length = 0;
  return { caught };
}

t.setTimeout(110_000);

t.test('S15: webhook, connect URL, audio, fork and bot of a running node', async (t) => {
  const { caught } = await trap(t);
  const next = (node: string): object => ({ a: node, b: node, error: node });
  const nodes = {
    webhook: { applet: 'passthru', params: { url: '{{ custom.x_http }}' }, exits: next('ask') },
    ask: { applet: 'connect', params: { url: '{{ custom.x_http }}' }, exits: { failed: 'audio', error: 'audio' } },
    audio: {
      applet: 'greeting',
      params: { play: [{ url: '{{ custom.x_http }}' }] },
      exits: { next: 'fork', error: 'fork' },
    },
    fork: { applet: 'stream', params: { url: '{{ custom.x_ws }}' }, exits: { next: 'bot', error: 'bot' } },
    bot: { applet: 'voicebot', params: { url: '{{ custom.x_ws }}' }, exits: { next: 'located', failed: 'located' } },
    located: { applet: 'voicebot', params: { url: '{{ custom.x_http }}' }, exits: { next: 'bye', failed: 'bye' } },
    bye: { applet: 'hangup' },
  };
  const town = await FlowTown.start({
    index: INDEX,
    flows: [{ id: 'doors', start: 'webhook', nodes }],
    media: { egress: [`${PERMITTED}/32`] },
    config: { log: { level: 'debug' } },
  });
  const { node } = town;
  t.teardown(() => node.destroy());
  const phone = await Phone.open(town.address('caller'), 30_500);
  t.teardown(() => phone.close());
  /** One call that goes through all the doors. */
  const call = async (http: string, ws: string): Promise<{ way: string[]; said: string[] }> => {
    const from = node.log.length;
    const target = node.hostPort;
    const invite = phone.sip.sendInvite({
      target,
      uri: `sip:${town.numberOf('doors')}@${target}`,
      from: `<sip:+919812345678@${phone.sip.address}>;tag=ssrf${from}`,
      headers: [
        ['X-Http', Buffer.from(http, 'utf8').toString('latin1')],
        ['X-Ws', Buffer.from(ws, 'utf8').toString('latin1')],
      ],
      body: phone.rtp.sdp(),
    });
    invite.confirm(await phone.sip.expect('200 INVITE'));
    await phone.isHungUp();
    const record = await node.record(invite.callId);
    const way = (record.flow?.path ?? []).map((step) => `${step.node}:${step.exit}`);
    return { way, said: (record.streams ?? []).map(({ detail }) => detail) };
  };

  const shut = [
    'webhook:error',
    'ask:error',
    'audio:error',
    'fork:next',
    'bot:failed',
    'located:failed',
    'bye:call_ended',
  ];
  for (const host of HOSTS) {
    const { way, said } = await call(`http://${host}:${INSIDE_PORT}/`, `ws://${host}:${INSIDE_PORT}/`);
    t.same(way, shut, host);
    t.equal(said.length, 3, host);
    for (const detail of said) t.match(detail, /not a permitted address|ENOTFOUND|EAI_AGAIN|cannot be parsed/, host);
  }
  t.same(caught, [], 'no connection inside');

  const places: string[] = [];
  const lure = await webServer({ host: PERMITTED, port: PERMITTED_PORT }, (request, response) => {
    places.push(request.url ?? '');
    const inside = `${INSIDE}:${INSIDE_PORT}/`;
    if (request.url?.startsWith('/redirect') === true) {
      response.writeHead(302, { Location: `http://${inside}` }).end();
    } else response.writeHead(200).end(JSON.stringify({ url: `ws://${inside}`, destination: { numbers: [] } }));
  });
  t.teardown(() => lure.close());
  const redirected = await call(`${lure.url}redirect`, `${lure.url.replace('http', 'ws')}redirect`);
  t.same(redirected.way[0], 'webhook:b', 'a redirection is an answer');
  t.same(redirected.way.slice(1), shut.slice(1));
  const located = await call(`${lure.url}located`, `${lure.url.replace('http', 'ws')}located`);
  t.match(located.said.at(-1), /not a permitted address/, 'a URL that a URL answers with is checked like any other');
  t.ok(places.length >= 6, 'the permitted server was asked');
  t.same(caught, [], 'no connection inside');
  await town.mediaQuiet();
  await node.stop();
});

/** Names answered by the test, in the place of the system's resolver. */
function resolveAs(t: Test, answers: readonly (readonly string[])[]): { asked: number } {
  const state = { asked: 0 };
  const real = dns.lookup;
  const fake = (_host: string, _options: object, done: (error: null, found: object[]) => void): void => {
    const addresses = answers[Math.min(state.asked++, answers.length - 1)] ?? [];
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    setImmediate(() => done(null, found));
  };
  Object.assign(dns, { lookup: fake });
  syncBuiltinESMExports();
  t.teardown(() => {
    Object.assign(dns, { lookup: real });
    syncBuiltinESMExports();
  });
  return state;
}

t.test('S15: a name that means something else the next time, or several things at once', async (t) => {
  const { caught } = await trap(t);
  const served: string[] = [];
  const inside = await webServer({ host: INSIDE, port: PERMITTED_PORT }, (_request, response) =>
    response.end('secret'),
  );
  const permitted = await webServer({ host: PERMITTED, port: PERMITTED_PORT }, (request, response) => {
    served.push(request.url ?? '');
    response.end('fine');
  });
  t.teardown(() => Promise.all([inside.close(), permitted.close()]));
  const clock = new SystemClock();
  const mayConnect = egressPolicy([`${PERMITTED}/32`]);
  const client = new HttpClient({ clock, mayConnect, userAgent: 'test' });
  t.teardown(() => client.close());
  const url = `http://rebinding.example:${PERMITTED_PORT}/`;
  const ask = (): Promise<{ readonly ok: boolean; readonly reason?: string }> =>
    new Promise((done) => {
      const limits = { query: [], headers: [], timeoutMs: 5000, maxBytes: 100 } as const;
      client.fetch({ method: 'GET', url, ...limits }, done);
    });
  const dial = (botUrl: string): Promise<StreamReport> =>
    new Promise((onEnded) => {
      const deps = { clock, random: new SeededRandom(1), mayConnect, locate: locateBot, dial: webSocketDialer(clock) };
      openBotStream({ ...SPEC, url: botUrl }, deps, { onStarted: () => {}, onEnded, onSendDtmf: () => {} });
    });

  for (const [name, answers, opens] of [
    ['first outside, then inside', [[PERMITTED], [INSIDE]], true],
    ['inside and outside at once', [[INSIDE, `::ffff:${INSIDE}`, PERMITTED, '::1']], true],
    ['inside only', [[INSIDE], [PERMITTED]], false],
    ['inside in other clothes', [[`::ffff:${INSIDE}`, '::1', '169.254.169.254']], false],
    ['nothing', [[]], false],
  ] as const) {
    await t.test(name, async (t) => {
      const before = served.length;
      const asked = resolveAs(t, answers);
      const answer = await ask();
      t.equal(answer.ok, opens, JSON.stringify(answer));
      t.equal(asked.asked, 1, 'asked once: what was checked is what is connected to');
      t.equal(served.length - before, opens ? 1 : 0);
      if (opens) return;
      for (const scheme of ['ws', 'http']) {
        asked.asked = 0;
        const report = await dial(`${scheme}://rebinding.example:${PERMITTED_PORT}/`);
        if (name !== 'inside only') t.match(report, { status: 'failed', detail: /not a permitted address/ }, scheme);
      }
    });
  }
  // The one retry of a bot's socket asks anew, and is checked anew.
  await t.test('a bot, by a name that goes inside for the retry', async (t) => {
    const asked = resolveAs(t, [[PERMITTED], [INSIDE]]);
    t.match(await dial(`ws://rebinding.example:${PERMITTED_PORT + 1}/`), {
      status: 'failed',
      detail: /not a permitted/,
    });
    t.equal(asked.asked, 2);
  });
  t.same(inside.paths, [], 'nothing inside was asked');
  t.same(caught, []);
});
