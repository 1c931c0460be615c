/** S16: SIP over WebSocket under attack, frame by frame: what it ends by, what it costs, and whether others notice. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { constants, deflateRawSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { NodeNetwork, SimResolver } from '../../src/net/index.js';
import { createEngine } from '../../src/sip/index.js';

t.setTimeout(180_000);

const ADDRESS = '127.0.37.2';
const MAX_MESSAGE = 65_536;
/** S16: more than this is not kept for one attacker, whatever is alive on either side of the socket included. */
const MAX_KEPT = 1024 * 1024;

const options = (call: string): string =>
  [
    `OPTIONS sip:${ADDRESS} SIP/2.0`,
    `Via: SIP/2.0/WS x.invalid;branch=z9hG4bK${call}`,
    'Max-Forwards: 70',
    'From: <sip:a@x.invalid>;tag=1',
    `To: <sip:${ADDRESS}>`,
    `Call-ID: ${call}`,
    'CSeq: 1 OPTIONS',
    '',
    '',
  ].join('\r\n');

const site = async (t: Test) => {
  const clock = new SystemClock();
  const network = new NodeNetwork({
    clock,
    webSocket: { maxMessageBytes: MAX_MESSAGE, origins: ['https://ours.example'] },
  });
  const heard: number[] = [];
  const errors: unknown[] = [];
  const engine = await createEngine({
    network,
    clock,
    random: new SystemRandom(),
    resolver: new SimResolver({}, { clock }),
    listen: [{ transport: 'ws', address: ADDRESS, port: 0 }],
    handler: {
      onInvite: (invite) => void invite.respond(486),
      onRequest: (request) => {
        heard.push(request.source.bytes);
        request.respond(200);
      },
    },
    onEvent: (event) => {
      if (event.type === 'user_error') errors.push(event.error);
    },
  });
  t.teardown(() => engine.stop());
  const port = Number(engine.listening[0]?.split(':')[1]);
  return { engine, network, heard, errors, port };
};

type Site = Awaited<ReturnType<typeof site>>;

/** A handshake as text; resolves to the socket and what was answered. */
const shake = async (port: number, lines: readonly string[] = []): Promise<{ socket: Socket; answer: string }> => {
  const socket = connect({ host: ADDRESS, port });
  socket.on('error', () => {});
  const head = [
    'GET / HTTP/1.1',
    `Host: ${ADDRESS}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${createHash('md5').update('key').digest('base64')}`,
    'Sec-WebSocket-Version: 13',
    ...(lines.some((line) => line.startsWith('Sec-WebSocket-Protocol')) ? [] : ['Sec-WebSocket-Protocol: sip']),
    ...lines,
    '',
    '',
  ];
  socket.write(head.join('\r\n'));
  const answer = await new Promise<string>((resolve) => {
    socket.once('data', (data: Buffer) => resolve(data.toString('latin1')));
    socket.once('close', () => resolve('closed'));
  });
  return { socket, answer };
};

/** A client's frame with a mask of zeros. */
const frame = (opcode: number, payload: Buffer, { fin = true, rsv1 = false } = {}): Buffer => {
  const head = Buffer.alloc(payload.length > 125 ? 8 : 6);
  head[0] = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
  head[1] = 0x80 | (payload.length > 125 ? 126 : payload.length);
  if (payload.length > 125) head.writeUInt16BE(payload.length, 2);
  const whole = Buffer.allocUnsafeSlow(head.length + payload.length);
  whole.set(head);
  whole.set(payload, head.length);
  return whole;
};

/** Not of Node's pool, where pieces of the attacker's would lie between those of the node, and be kept with them. */
const apart = (text: string): Buffer => {
  const octets = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  octets.write(text);
  return octets;
};

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** CPU of this process that looking has taken: it is nobody's fault. */
let lookingMs = 0;

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** What is alive: a second collection waits for what the first one frees beside us. */
const heldBytes = (): number => {
  const began = cpuMs();
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  lookingMs += cpuMs() - began;
  return heapUsed + arrayBuffers;
};

/** The most that was alive beyond what was there at first, looked at now and then. */
class Held {
  readonly #before = heldBytes();
  most = 0;

  look(): void {
    this.most = Math.max(this.most, heldBytes() - this.#before);
  }
}

const LOOK_EVERY = 32;

/** Writes pieces until all are gone; resolves when the other side, which alone may, has closed. */
const flood = async (socket: Socket, pieces: Iterable<Buffer>, held?: Held): Promise<void> => {
  const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  let written = 0;
  for (const piece of pieces) {
    if (socket.destroyed) break;
    const taken = socket.write(piece);
    if (++written % LOOK_EVERY === 0) held?.look();
    if (!taken) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
  }
  await closed;
};

const connectionsOf = ({ engine }: Site): number =>
  (engine.dump() as { readonly transport: { readonly connections: number } }).transport.connections;

/** The engine hears of a closed socket when its loop comes by. */
const until = async (holds: () => boolean): Promise<void> => {
  const limit = performance.now() + 20_000;
  while (!holds() && performance.now() < limit) await new Promise<void>((resolve) => void setImmediate(resolve));
};

/** CPU between a bystander's request and its answer, the attacker's included: time says nothing on a busy machine. */
const MAX_WAIT_MS = 2000;

/** Somebody else's requests while it happens: each is answered, and soon. */
const bystander = async ({ port }: Site) => {
  const socket = new WebSocket(`ws://${ADDRESS}:${port}`, 'sip');
  await once(socket, 'open');
  let asking = true;
  let slowestMs = 0;
  let answers = 0;
  const done = (async () => {
    while (asking) {
      const asked = cpuMs() - lookingMs;
      socket.send(options(randomBytes(8).toString('hex')));
      await once(socket, 'message');
      slowestMs = Math.max(slowestMs, cpuMs() - lookingMs - asked);
      answers++;
    }
  })();
  return async (t: Test): Promise<void> => {
    asking = false;
    await done;
    socket.close();
    t.ok(
      answers > 0 && slowestMs < MAX_WAIT_MS,
      `a bystander had ${answers} answers, the slowest after ${slowestMs.toFixed(0)} ms of CPU`,
    );
  };
};

function* times(count: number, piece: Buffer, inOne = 500): Generator<Buffer> {
  const block = Buffer.concat(Array.from({ length: inOne }, () => piece));
  for (let sent = 0; sent < count; sent += inOne) yield block;
}

const giant = Buffer.alloc(14);
giant.writeUInt16BE(0x82ff, 0);
giant.writeBigUInt64BE(1n << 30n, 2);

interface Attack {
  readonly name: string;
  readonly pieces: () => Iterable<Buffer>;
}

const octet = Buffer.from('x');
const ATTACKS: readonly Attack[] = [
  { name: 'a frame of 1 GB', pieces: () => [giant, ...times(2000, Buffer.alloc(16_384), 1)] },
  {
    name: '100,000 tiny frames of one message',
    pieces: function* () {
      yield frame(1, octet, { fin: false });
      yield* times(100_000, frame(0, octet, { fin: false }));
    },
  },
  { name: '100,000 tiny messages', pieces: () => times(100_000, frame(1, octet)) },
  { name: '100,000 empty messages', pieces: () => times(100_000, frame(2, Buffer.alloc(0))) },
  { name: '100,000 pings', pieces: () => times(100_000, frame(9, Buffer.alloc(125))) },
  { name: '100,000 pongs', pieces: () => times(100_000, frame(10, octet)) },
  {
    name: 'a bomb of deflate',
    pieces: () => {
      const bomb = deflateRawSync(Buffer.alloc(50_000_000), { finishFlush: constants.Z_SYNC_FLUSH });
      return [frame(1, bomb.subarray(0, 60_000), { rsv1: true }), ...times(40, Buffer.alloc(16_384), 1)];
    },
  },
  {
    name: 'frames without a mask',
    pieces: () => times(1000, Buffer.from([0x81, 0x01, 0x41])),
  },
  {
    name: 'a control frame that is too long',
    pieces: () => times(10, frame(9, Buffer.alloc(126)), 1),
  },
  { name: 'unknown opcodes', pieces: () => times(1000, frame(3, octet)) },
];

for (const { name, pieces } of ATTACKS) {
  t.test(`${name}: ended by a limit, at little cost, and nobody else notices`, { timeout: 60_000 }, async (t) => {
    const here = await site(t);
    const { socket, answer } = await shake(here.port);
    t.match(answer, /^HTTP\/1\.1 101 /);
    const leave = await bystander(here);
    const attack = [...pieces()];
    const held = new Held();
    await flood(socket, attack, held);
    held.look();
    t.ok(held.most <= MAX_KEPT, `${held.most} octets at most`);
    await until(() => connectionsOf(here) === 1);
    t.equal(connectionsOf(here), 1, 'only the bystander is left');
    await leave(t);
    const [largest = 0] = [...here.heard].sort((a, b) => b - a);
    t.ok(largest < 1000, 'nothing of it was heard as a message');
    t.same(here.errors, []);
  });
}

t.test('while pings are not read back, what is owed is bounded', { timeout: 60_000 }, async (t) => {
  const here = await site(t);
  const { socket } = await shake(here.port);
  socket.pause();
  const held = new Held();
  void flood(socket, times(100_000, frame(9, Buffer.alloc(125))), held);
  await until(() => connectionsOf(here) === 0);
  t.equal(connectionsOf(here), 0);
  held.look();
  t.ok(held.most <= MAX_KEPT, `${held.most} octets at most`);
  socket.destroy();
});

/** What was written before has arrived when the answer to this has. */
const answered = async ({ port }: Site): Promise<void> => {
  const socket = new WebSocket(`ws://${ADDRESS}:${port}`, 'sip');
  await once(socket, 'open');
  socket.send(options(randomBytes(8).toString('hex')));
  await once(socket, 'message');
  socket.close();
  await once(socket, 'close');
};

t.test('S16: a message that trickles in by octets, and one that comes in 255 frames and never ends', async (t) => {
  const here = await site(t);
  await answered(here);
  const { socket } = await shake(here.port);
  socket.setNoDelay(true);
  const held = new Held();
  const whole = frame(1, Buffer.alloc(60_000, 0x41));
  let octets = 0;
  for (; octets < whole.length && !socket.destroyed && connectionsOf(here) > 0; octets++) {
    socket.write(whole.subarray(octets, octets + 1));
    // Each octet travels alone.
    await new Promise<void>((resolve) => void setImmediate(resolve));
    if (octets % 500 === 499) held.look();
  }
  t.ok(octets > 500 && octets < 10_000, `ended after ${octets} pieces`);
  await until(() => connectionsOf(here) === 0);
  const endless = await shake(here.port);
  endless.socket.write(frame(1, octet, { fin: false }));
  for (let i = 1; i < 255; i++) endless.socket.write(frame(0, Buffer.alloc(200, 0x41), { fin: false }));
  await answered(here);
  held.look();
  await until(() => connectionsOf(here) === 1);
  t.equal(connectionsOf(here), 1, 'it may take its time');
  t.ok(held.most <= MAX_KEPT, `${held.most} octets at most`);
  t.same(here.heard.length, 2, 'nothing of it was heard');
  endless.socket.destroy();
  await until(() => connectionsOf(here) === 0);
});

t.test('S16: who asks and does not read the answers is left, before they are a megabyte', async (t) => {
  // Twice: what the first round leaves is code that was compiled for it.
  const mosts: number[] = [];
  for (let round = 0; round < 2; round++) {
    const here = await site(t);
    await answered(here);
    const { socket } = await shake(here.port);
    socket.pause();
    const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
    const held = new Held();
    let asked = 0;
    // The system takes megabytes before anything waits with us, and a busy peer may send so many at a time.
    for (; asked < 60_000 && connectionsOf(here) > 0 && !socket.destroyed; asked++) {
      const text = apart(options(`slow${asked}`).replace('tag=1', `tag=${'x'.repeat(2000)}`));
      if (!socket.write(frame(1, text)))
        await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
      if (asked % 256 === 0) {
        await new Promise<void>((resolve) => void setImmediate(resolve));
        held.look();
      }
    }
    await until(() => connectionsOf(here) === 0);
    t.equal(connectionsOf(here), 0, `left after ${asked} requests`);
    t.ok(here.heard.length < 10_000, 'and before it could be for their number');
    mosts.push(held.most);
    socket.destroy();
  }
  t.ok(Math.min(...mosts) <= MAX_KEPT, `${mosts.join(', then ')} octets at most`);
});

t.test('handshakes: no compression, bounded headers, sip alone, origins of the list', async (t) => {
  const { port, engine } = await site(t);
  const compressed = await shake(port, ['Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits']);
  t.match(compressed.answer, /^HTTP\/1\.1 101 /);
  t.notMatch(compressed.answer, /extensions/i);
  compressed.socket.destroy();
  const many = await shake(
    port,
    Array.from({ length: 3000 }, (_, i) => `X-${i}: ${'y'.repeat(20)}`),
  );
  t.notMatch(many.answer, /101/, '3,000 fields');
  const long = await shake(port, [`X: ${'y'.repeat(100_000)}`]);
  t.notMatch(long.answer, /101/, 'a field of 100 kB');
  t.match((await shake(port, ['Origin: https://evil.example'])).answer, /^HTTP\/1\.1 403 /);
  t.match((await shake(port, ['Origin: null'])).answer, /^HTTP\/1\.1 403 /);
  const ours = await shake(port, ['Origin: https://ours.example']);
  t.match(ours.answer, /^HTTP\/1\.1 101 [^]*Sec-WebSocket-Protocol: sip/);
  ours.socket.destroy();
  t.match((await shake(port, ['Sec-WebSocket-Protocol: msrp'])).answer, /^HTTP\/1\.1 400 /);
  t.match(engine.dump(), { dialogs: 0 });
});
