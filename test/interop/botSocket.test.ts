import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type Server, type Socket, createServer } from 'node:net';
import t from 'tap';
import { WebSocketServer } from 'ws';
import { type Clock, ManualClock, SeededRandom, SystemClock } from '../../src/kernel/index.js';
import type { StreamReport, StreamSpec } from '../../src/media/port.js';
import { openBotStream } from '../../src/media/stream/botStream.js';
import { egressPolicy } from '../../src/media/stream/egress.js';
import type { BotStream } from '../../src/media/stream/port.js';
import { locateBot, webSocketDialer } from '../../src/media/stream/webSocket.js';
import { SPEC } from '../support/fakeBot.js';

const HOST = '127.0.42.10';
const LOOPBACK = egressPolicy(['127.0.0.0/8']);
let nextPort = 21_100;

interface Opened {
  readonly stream: BotStream;
  readonly started: Promise<void>;
  readonly ended: Promise<StreamReport>;
}

const open = (spec: Partial<StreamSpec>, clock: Clock = new SystemClock(), mayConnect = LOOPBACK): Opened => {
  let started = (): void => {};
  let ended = (_report: StreamReport): void => {};
  const opened = {
    started: new Promise<void>((resolve) => (started = resolve)),
    ended: new Promise<StreamReport>((resolve) => (ended = resolve)),
  };
  const deps = { clock, random: new SeededRandom(1), mayConnect, locate: locateBot, dial: webSocketDialer(clock) };
  const listener = {
    onStarted: () => started(),
    onEnded: (report: StreamReport) => ended(report),
    onSendDtmf: () => {},
  };
  const stream = openBotStream({ ...SPEC, ...spec }, deps, listener);
  if (clock instanceof ManualClock) clock.advance(1);
  return { ...opened, stream };
};

/** A bare TCP server: hostile bots are written by hand. */
const raw = async (t: Tap, serve: (socket: Socket) => void): Promise<{ url: string; server: Server }> => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  const port = nextPort++;
  server.listen(port, HOST);
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `ws://${HOST}:${port}/`, server };
};
interface Tap {
  teardown(after: () => unknown): void;
}

const web = async (t: Tap, serve: RequestListener): Promise<string> => {
  const server = createHttpServer(serve);
  const port = nextPort++;
  server.listen(port, HOST);
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://${HOST}:${port}/`;
};

const bots = async (t: Tap, options: object = {}): Promise<{ url: string; server: WebSocketServer }> => {
  const port = nextPort++;
  const server = new WebSocketServer({ host: HOST, port, ...options });
  await once(server, 'listening');
  t.teardown(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  return { url: `ws://${HOST}:${port}/`, server };
};

/** Answers the handshake, with more header lines if wanted. */
const accept = (socket: Socket, more = ''): Promise<void> =>
  new Promise((resolve) => {
    socket.once('data', (head) => {
      const key = /sec-websocket-key: (.*)\r\n/i.exec(head.toString('latin1'))?.[1] ?? '';
      const digest = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          `${more}Sec-WebSocket-Accept: ${digest}\r\n\r\n`,
      );
      resolve();
    });
  });

t.test('a server that never answers has ten seconds, twice', async (t) => {
  const seen: Socket[] = [];
  const { url, server } = await raw(t, (socket) => seen.push(socket.resume()));
  const clock = new ManualClock();
  const { ended } = open({ url }, clock);
  for (let attempt = 1; attempt <= 2; attempt++) {
    if (seen.length < attempt) await once(server, 'connection');
    const closed = once(seen[attempt - 1] as Socket, 'close');
    clock.advance(9998);
    t.notOk((seen[attempt - 1] as Socket).destroyed);
    clock.advance(2);
    await closed;
  }
  t.match(await ended, { status: 'failed', disconnectedBy: 'NA', detail: /10000 ms/ });
  t.equal(seen.length, 2);
  t.equal(clock.pending, 0);
});

t.test('a server that answers an octet now and then gains no time', async (t) => {
  const drip = 'HTTP/1.1 101 Switching Protocols\r\n'.repeat(100);
  const { url } = await raw(t, (socket) => {
    let at = 0;
    socket.resume();
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(drip[at++] ?? '')), 5);
    timer.unref();
  });
  const clock = new SystemClock();
  const startedMs = clock.nowMs();
  const detail = await new Promise((resolve) => {
    const options = { url, protocols: [], headers: {}, handshakeTimeoutMs: 200, maxMessageBytes: 1000 };
    const sink = { onOpen: () => {}, onText: () => {}, onBinary: () => {} };
    webSocketDialer(clock)({ ...options, mayConnect: LOOPBACK }, { ...sink, onClosed: (end) => resolve(end.detail) });
  });
  t.match(detail, /200 ms/);
  t.ok(clock.nowMs() - startedMs < 1000);
});

t.test('credentials, path and subprotocol reach the bot; compression is not offered', async (t) => {
  const { url, server } = await bots(t);
  const opened = open({ url: `${url.replace('ws://', 'ws://me:s%20cret@')}talk?a=1`, dialect: 'jambonz' });
  const [, request] = (await once(server, 'connection')) as [unknown, { url: string; headers: Record<string, string> }];
  t.equal(request.url, '/talk?a=1');
  t.equal(request.headers['authorization'], `Basic ${Buffer.from('me:s cret').toString('base64')}`);
  t.equal(request.headers['sec-websocket-protocol'], 'audio.jambonz.org');
  t.equal(request.headers['sec-websocket-extensions'], undefined);
  await opened.started;
  opened.stream.stop('stopped');
  t.match(await opened.ended, { status: 'completed' });
});

t.test('refusals are the last word, faults are tried again, redirects are not followed', async (t) => {
  let elsewhere = 0;
  const target = await raw(t, () => elsewhere++);
  for (const [status, tries, expected] of [
    [401, 1, 'rejected'],
    [404, 1, 'rejected'],
    [302, 2, 'failed'],
    [503, 2, 'failed'],
  ] as const) {
    let asked = 0;
    const url = await web(t, (_request, response) => {
      asked++;
      response.writeHead(status, { Location: target.url.replace('ws:', 'http:') }).end('no');
    });
    t.match(await open({ url: url.replace('http:', 'ws:') }).ended, {
      status: expected,
      detail: new RegExp(`${status}`),
    });
    t.equal(asked, tries, `${status}`);
  }
  t.equal(elsewhere, 0);
});

t.test('hostile WebSocket servers end their own stream', async (t) => {
  const frame = (...bytes: number[]) => Buffer.from(bytes);
  for (const [name, more, data] of [
    ['a frame of 1 GB', '', frame(0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0)],
    ['a frame of 2^63 octets', '', frame(0x82, 127, 0xff, 255, 255, 255, 255, 255, 255, 255)],
    ['a frame just above 1 MB', '', frame(0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 1)],
    ['compression that was not offered', 'Sec-WebSocket-Extensions: permessage-deflate\r\n', frame()],
    ['a compressed frame', '', frame(0xc1, 1, 0)],
    ['a masked frame', '', frame(0x81, 0x81, 0, 0, 0, 0, 0x41)],
    ['text that is no UTF-8', '', frame(0x81, 2, 0xc3, 0x28)],
    ['an unknown opcode', '', frame(0x83, 0)],
    ['a subprotocol that was not asked for', 'Sec-WebSocket-Protocol: soap\r\n', frame()],
    ['headers of 100 kB', `X-A: ${'x'.repeat(100_000)}\r\n`, frame()],
    ['a cut connection', '', undefined],
  ] as const) {
    const { url } = await raw(t, (socket) => {
      void accept(socket, more).then(() => (data === undefined ? socket.destroy() : socket.write(data)));
    });
    const report = await open({ url }).ended;
    t.match(report, { status: 'failed' }, `${name}: ${report.detail}`);
  }
});

t.test('3,000 headers are survived', async (t) => {
  const { url } = await raw(t, (socket) => {
    void accept(socket, 'a:1\r\n'.repeat(3000)).then(() => socket.write(Buffer.of(0x88, 2, 3, 0xe8)));
  });
  const report = await open({ url }).ended;
  t.ok(['completed', 'failed'].includes(report.status), report.detail);
});

t.test('floods of messages, of octets and of pings end the stream; another one goes on', async (t) => {
  const { url: quiet, server } = await bots(t);
  const neighbour = open({ url: quiet });
  const [socket] = (await once(server, 'connection')) as [{ send(text: string): void }];
  await neighbour.started;
  const big = Buffer.concat([Buffer.from([0x81, 127, 0, 0, 0, 0, 0, 0x0b, 0, 0]), Buffer.alloc(0x0b0000, 0x20)]);
  const media = Buffer.from('{"event":"media","media":{"payload":"AAAA"}}');
  for (const [name, one, count, detail] of [
    [
      'messages',
      Buffer.concat([Buffer.from([0x81, media.length]), media]),
      100_000,
      /more than a caller could ever hear/,
    ],
    ['octets', big, 40, /more than a caller could ever hear/],
    ['pings', Buffer.concat([Buffer.from([0x89, 100]), Buffer.alloc(100)]), 100_000, /1006/],
  ] as const) {
    const { url } = await raw(t, (flooder) => {
      void accept(flooder).then(() => {
        for (let sent = 0; sent < count && !flooder.destroyed; sent++) flooder.write(one);
      });
      flooder.resume();
    });
    const before = process.memoryUsage().arrayBuffers;
    const report = await open({ url }).ended;
    t.match(report, { status: 'failed', disconnectedBy: 'bot', detail }, name);
    t.ok(report.framesReceived <= 17_000, `${report.framesReceived}`);
    t.ok(process.memoryUsage().arrayBuffers - before < 150 * 1024 * 1024, 'what the test itself has written included');
  }
  const answered = once(server.clients.values().next().value as never, 'message');
  socket.send('{"event":"mark","mark":{"name":"still here"}}');
  t.match(String((await answered)[0]), /still here/);
  neighbour.stream.stop('callended');
});

t.test('a bot that answered pings and then falls silent is left within two seconds', async (t) => {
  const { url, server } = await bots(t, { autoPong: false });
  const clock = new ManualClock();
  const opened = open({ url }, clock);
  const [bot] = (await once(server, 'connection')) as [{ on: typeof server.on; pong(): void }];
  let pings = 0;
  bot.on('ping' as never, (() => pings++ === 0 && bot.pong()) as never);
  await opened.started;
  let over = false;
  void opened.ended.then(() => (over = true));
  while (pings < 2) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    clock.advance(500);
  }
  const silentMs = clock.nowMs();
  while (!over && clock.nowMs() - silentMs < 5000) {
    clock.advance(100);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.match(await opened.ended, { status: 'failed', disconnectedBy: 'bot', detail: /not answered for 1500 ms/ });
  t.ok(clock.nowMs() - silentMs <= 2000, `${clock.nowMs() - silentMs} ms`);
});

t.test('a pause of our own, and bots that know no pings, are not taken for death', async (t) => {
  for (const autoPong of [true, false]) {
    const { url, server } = await bots(t, { autoPong });
    const clock = new ManualClock();
    const opened = open({ url }, clock);
    const connected = once(server, 'connection');
    await opened.started;
    await connected;
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (let i = 0; i < (autoPong ? 1 : 50); i++) clock.advance(autoPong ? 700 : 500);
    const [bot] = server.clients;
    const answered = once(bot as never, 'message');
    bot?.send('{"event":"mark","mark":{"name":"alive"}}');
    t.match(String((await answered)[0]), /alive/);
    opened.stream.stop('stopped');
    t.match(await opened.ended, { status: 'completed', disconnectedBy: 'user' });
  }
});

t.test('a bot that does not answer our close is cut off after two seconds', async (t) => {
  let bot: Socket | undefined;
  const { url } = await raw(t, (socket) => {
    bot = socket;
    void accept(socket).then(() => socket.resume());
  });
  const clock = new ManualClock();
  const opened = open({ url }, clock);
  await opened.started;
  opened.stream.stop('callended');
  t.match(await opened.ended, { status: 'completed' }, 'nobody waits for it');
  const closed = once(bot as Socket, 'close');
  clock.advance(1999);
  t.notOk(bot?.destroyed);
  clock.advance(1);
  await closed;
});

t.test('a reason of many characters fits the close frame', async (t) => {
  const { url, server } = await bots(t);
  const clock = new SystemClock();
  const options = { url, protocols: [], headers: {}, handshakeTimeoutMs: 2000, maxMessageBytes: 1000 };
  const sink = { onText: () => {}, onBinary: () => {}, onClosed: () => {} };
  const socket = webSocketDialer(clock)(
    { ...options, mayConnect: LOOPBACK },
    { ...sink, onOpen: () => queueMicrotask(() => socket.close(1008, '\u20ac'.repeat(100))) },
  );
  const [bot] = (await once(server, 'connection')) as [never];
  const [code, reason] = (await once(bot, 'close')) as [number, Buffer];
  t.equal(code, 1008);
  t.equal(reason.toString(), '\u20ac'.repeat(41));
});

t.test('no internal address is connected to, however it is written', async (t) => {
  let connections = 0;
  const { url } = await raw(t, (socket) => {
    connections++;
    socket.destroy();
  });
  const { port } = new URL(url);
  const hosts = [
    HOST,
    `${HOST}.`,
    String(127 * 2 ** 24 + 42 * 256 + 10),
    '0x7f002a0a',
    '0177.0.052.012',
    '127.0.10762',
    '[::ffff:127.0.42.10]',
    '[::ffff:7f00:2a0a]',
    '[64:ff9b::7f00:2a0a]',
    `8.8.8.8@${HOST}`,
    `8.8.8.8%40${HOST}:1@${HOST}`,
    'localhost',
    'LOCALHOST.',
    '[::1]',
    '0',
    '169.254.169.254',
    '\uff11\uff12\uff17.0.42.10',
    '127\u3002 0.42.10'.replace(' ', ''),
  ];
  const policy = egressPolicy([]);
  for (const host of hosts) {
    for (const scheme of ['ws', 'wss', 'http', 'https']) {
      const report = await open({ url: `${scheme}://${host}:${port}/` }, new SystemClock(), policy).ended;
      t.match(report, { status: 'failed', detail: /not a permitted address|ENOTFOUND/ }, `${scheme}://${host}`);
    }
  }
  t.equal(connections, 0);
});

t.test('the URL that a URL answers with is checked like any other', async (t) => {
  let connections = 0;
  const { url: inner } = await raw(t, () => connections++);
  const url = await web(t, (_request, response) =>
    response.end(JSON.stringify({ url: inner.replace(HOST, '127.0.42.11') })),
  );
  const report = await open({ url }, new SystemClock(), egressPolicy([`${HOST}/32`])).ended;
  t.match(report, { status: 'failed', detail: /not a permitted address/ });
  t.equal(connections, 0);
});

t.test('a URL that answers, well and badly', async (t) => {
  const { url: bot, server } = await bots(t);
  let elsewhere = 0;
  const target = await web(t, (_request, response) => {
    elsewhere++;
    response.end(JSON.stringify({ url: bot }));
  });
  const answers: [string, RequestListener, RegExp][] = [
    ['a redirect', (_request, response) => response.writeHead(302, { Location: target }).end(), /answered with 302/],
    ['no JSON', (_request, response) => response.end(bot), /without/],
    ['no URL in it', (_request, response) => response.end('{"url":7}'), /without/],
    ['too much', (_request, response) => response.end(`{"url":"${'x'.repeat(10_000)}"}`), /too long/],
    [
      'endless',
      (_request, response) => void setInterval(() => response.write('x'.repeat(1000)), 1).unref(),
      /too long/,
    ],
    ['nothing', (request) => request.socket.destroy(), /hang up|ECONNRESET/],
    [
      'half of it',
      (_request, response) => {
        response.writeHead(200, { 'Content-Length': '500' }).write('{"url":');
        setTimeout(() => response.destroy(), 20);
      },
      /aborted|closed|ECONNRESET/,
    ],
  ];
  for (const [name, serve, detail] of answers) {
    const report = await open({ url: await web(t, serve) }).ended;
    t.match(report, { status: 'failed', disconnectedBy: 'NA', detail }, name);
  }
  t.equal(elsewhere, 0);

  let headers: Record<string, unknown> = {};
  const good = await web(t, (request, response) => {
    headers = request.headers;
    response.end(JSON.stringify({ url: bot }));
  });
  const opened = open({ url: good.replace('http://', 'http://me:secret@') });
  const [, request] = (await once(server, 'connection')) as [unknown, { headers: Record<string, string> }];
  const authorization = `Basic ${Buffer.from('me:secret').toString('base64')}`;
  t.match(headers, { authorization });
  t.match(request.headers, { authorization }, 'the same host: the same credentials');
  await opened.started;
  opened.stream.stop('stopped');
  await opened.ended;
});

t.test('a URL that never answers is left after its time', async (t) => {
  const url = await web(t, () => {});
  const detail = await new Promise((resolve) => {
    const options = { url, headers: {}, timeoutMs: 100, mayConnect: LOOPBACK };
    locateBot(options, (found) => resolve(found.ok ? found.url : found.detail));
  });
  t.equal(detail, 'the URL did not answer in 100 ms');
});
