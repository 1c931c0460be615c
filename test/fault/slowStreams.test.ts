/** S7: two thousand connections that are half open or slow, beside callers who mean it. */
import { readFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { once } from 'node:events';
import t from 'tap';
import { ManualClock, SystemRandom } from '../../src/kernel/index.js';
import { NodeNetwork, SimResolver } from '../../src/net/index.js';
import { type SipEngine, createEngine } from '../../src/sip/index.js';

const [US, PEER] = ['127.0.31.30', '127.0.31.31'] as const;
const WANTED = 2_000;
const KB = 1024;

/** Both ends are in this process. */
const affordable = (): number => {
  const found = /Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'latin1'));
  return Math.min(WANTED, Math.floor((Number(found?.[1] ?? 1024) - 200) / 2));
};

const open = async (): Promise<{ engine: SipEngine; clock: ManualClock; port: number }> => {
  const clock = new ManualClock();
  const engine = await createEngine({
    network: new NodeNetwork({ clock }),
    clock,
    random: new SystemRandom(),
    resolver: new SimResolver(),
    listen: [{ transport: 'tcp', address: US, port: 0 }],
    handler: { onInvite: () => {}, onRequest: (request) => void request.respond(200) },
  });
  return { engine, clock, port: Number((engine.listening[0] as string).split(':').at(-1)) };
};

const dial = async (port: number): Promise<Socket> => {
  const socket = connect({ host: US, port, localAddress: PEER });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
};

let serial = 0;
const options = (): string =>
  [
    `OPTIONS sip:${US} SIP/2.0`,
    `Via: SIP/2.0/TCP ${PEER}:5060;branch=z9hG4bK${++serial}`,
    `From: <sip:a@${PEER}>;tag=a`,
    `To: <sip:${US}>`,
    `Call-ID: c${serial}`,
    'CSeq: 1 OPTIONS',
    'Max-Forwards: 70',
    'Content-Length: 0',
    '\r\n',
  ].join('\r\n');

/** p99 of so many requests one after the other, in milliseconds: the best of three rounds, as others use this machine. */
const p99 = async (socket: Socket, between: () => void): Promise<number> => {
  const rounds: number[] = [];
  for (let round = 0; round < 3; round++) {
    const took: number[] = [];
    for (let i = 0; i < 300; i++) {
      between();
      const from = performance.now();
      socket.write(options());
      await once(socket, 'data');
      took.push(performance.now() - from);
    }
    took.sort((a, b) => a - b);
    rounds.push(took[Math.floor(took.length * 0.99)] ?? Infinity);
  }
  return Math.min(...rounds);
};

const connections = (engine: SipEngine): number => (engine.dump()['transport'] as { connections: number }).connections;

t.test('S7: 2,000 half-open or slow connections: others do not feel them, and in 30 s they are gone', async (t) => {
  const count = affordable();
  t.ok(count >= 400, `${count} connections can be opened here`);
  const { engine, clock, port } = await open();
  const honest = await dial(port);
  t.teardown(() => {
    honest.destroy();
    engine.stop();
  });
  await p99(honest, () => {}); // warm
  const before = await p99(honest, () => {});

  globalThis.gc?.();
  const rssBefore = process.memoryUsage().rss;
  const sockets: Socket[] = [];
  const gone: Promise<unknown>[] = [];
  for (let i = 0; i < count; i++) {
    const socket = await dial(port);
    sockets.push(socket);
    gone.push(once(socket, 'close'));
    socket.resume();
  }
  // Half of them say nothing; the others send a head, an octet at a time.
  const slow = sockets.filter((_, i) => i % 2 === 1);
  const text = options();
  for (const socket of slow) socket.write(text.slice(0, 60));
  let turn = 0;
  const during = await p99(honest, () => {
    const at = turn++ % slow.length;
    slow[at]?.write(text[60 + (Math.floor(turn / slow.length) % 100)] ?? 'x');
  });
  const each = (process.memoryUsage().rss - rssBefore) / count;
  t.equal(connections(engine), count + 1);
  t.ok(during <= 2 * before + 0.5, `p99 ${before.toFixed(2)} ms alone, ${during.toFixed(2)} ms beside them`);
  t.ok(each <= 64 * KB, `${(each / KB).toFixed(1)} kB each, both ends counted`);

  clock.advance(30_000);
  await Promise.all(gone);
  // Our ends are closed; those of the engine hear of it one after the other.
  for (let i = 0; i < 1_000 && connections(engine) > 1; i++) {
    honest.write(options());
    await once(honest, 'data');
  }
  t.equal(connections(engine), 1, 'all of them, and nobody else');
});
