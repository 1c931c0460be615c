import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { ManualClock } from '../../src/kernel/index.js';
import { NodeNetwork, type StreamConnection, type StreamListener } from '../../src/net/index.js';
import { echoStream, HeardStream } from '../support/netSinks.js';

const IP = '127.0.31.1';
const NOTHING = { datagramSockets: 0, connectedPeers: 0, listeners: 0, streams: 0 };
const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some((one) => one.address === '::1'));

interface Accepted {
  readonly connection: StreamConnection;
  readonly heard: HeardStream;
}

const listenEcho = async (network: NodeNetwork, address = IP): Promise<[StreamListener, Accepted[]]> => {
  const accepted: Accepted[] = [];
  const listener = await network.listenStream({ address, port: 0 }, (connection) => {
    const heard = echoStream(connection);
    accepted.push({ connection, heard });
    return heard;
  });
  return [listener, accepted];
};

/** A listener whose connections are never read. */
const deafServer = async (): Promise<{ server: Server; sockets: Socket[]; port: number }> => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.pause();
    socket.on('error', () => {});
    sockets.push(socket);
  });
  server.listen(0, IP);
  await once(server, 'listening');
  return { server, sockets, port: (server.address() as { port: number }).port };
};

for (const address of [IP, '::1']) {
  t.test(`a stream over ${address} carries what was written before and after it was up`, async (t) => {
    if (address === '::1' && !hasIpv6) return void t.comment('this machine has no ::1: not run');
    const network = new NodeNetwork();
    const [listener, accepted] = await listenEcho(network, address);
    const heard = new HeardStream();
    const connection = network.connectStream(listener.local, heard);
    t.equal(connection.local.port, 0);
    t.same(connection.remote, listener.local);
    t.ok(connection.write(Buffer.from('early ')));
    t.equal(heard.connected, 0, 'nothing was told within the call');
    await heard.until(() => heard.connected === 1);
    t.ok(connection.local.port > 0);
    t.ok(connection.write(Buffer.from('late')));
    await heard.until(() => heard.text === 'early late');
    t.same(accepted[0]?.connection.remote, connection.local);
    t.same(accepted[0]?.connection.local, listener.local);
    t.equal(network.dump().streams, 2);
    connection.close();
    t.notOk(connection.write(Buffer.from('closed')));
    await heard.until(() => heard.closes.length === 1);
    await accepted[0]?.heard.until(() => accepted[0]?.heard.closes.length === 1);
    t.same(heard.closes, [undefined]);
    t.same(accepted[0]?.heard.closes, [undefined]);
    listener.close();
    t.same(network.dump(), NOTHING);
  });
}

t.test('a connection comes from the address that it was told to come from', async (t) => {
  const network = new NodeNetwork();
  const [listener, accepted] = await listenEcho(network);
  for (const [from, seen] of [
    ['127.0.31.9', '127.0.31.9'],
    ['0.0.0.0', undefined],
  ] as const) {
    const heard = new HeardStream();
    const connection = network.connectStream(listener.local, heard, { protocol: 'tcp', from });
    await heard.until(() => heard.connected === 1);
    if (seen !== undefined) t.equal(connection.local.address, seen);
    connection.write(Buffer.from('x'));
    await heard.until(() => heard.text === 'x');
    if (seen !== undefined) t.equal(accepted.at(-1)?.connection.remote.address, seen);
    connection.close();
    await heard.until(() => heard.closes.length === 1);
  }
  listener.close();
});

t.test('a refused connection is told once, with its code, after the call', async (t) => {
  const network = new NodeNetwork();
  const [listener] = await listenEcho(network);
  listener.close();
  const heard = new HeardStream();
  network.connectStream(listener.local, heard).write(Buffer.from('x'));
  t.same(heard.closes, []);
  await heard.until(() => heard.closes.length > 0);
  t.same(heard.closes, ['ECONNREFUSED']);
  t.equal(heard.connected, 0);
  t.same(network.dump(), NOTHING);
});

t.test('names and impossible ports are refused without a lookup', async (t) => {
  const network = new NodeNetwork();
  for (const remote of [
    { address: 'pbx.example', port: 5060 },
    { address: IP, port: 99_999 },
  ]) {
    const heard = new HeardStream();
    network.connectStream(remote, heard);
    await heard.until(() => heard.closes.length > 0);
    t.match(heard.closes, [/EINVAL|ERR_SOCKET_BAD_PORT/]);
  }
  await t.rejects(
    network.listenStream({ address: 'pbx.example', port: 5060 }, () => new HeardStream()),
    {
      code: 'address_invalid',
    },
  );
  t.same(network.dump(), NOTHING);
});

t.test('a connection that does not come up in time ends with ETIMEDOUT', async (t) => {
  const clock = new ManualClock();
  const network = new NodeNetwork({ clock, connectTimeoutMs: 300 });
  const heard = new HeardStream();
  const [listener] = await listenEcho(network);
  network.connectStream(listener.local, heard).write(Buffer.from('x'));
  clock.advance(301);
  await heard.until(() => heard.closes.length > 0);
  t.same(heard.closes, ['ETIMEDOUT']);
  t.equal(heard.connected, 0);
  listener.close();
  t.same(clock.dump(), {});
});

t.test('a taken port is refused with its address; the listener closes without its connections', async (t) => {
  const network = new NodeNetwork();
  const [listener, accepted] = await listenEcho(network);
  await t.rejects(
    network.listenStream(listener.local, () => new HeardStream()),
    {
      code: 'address_in_use',
      message: new RegExp(`tcp://${IP}:${listener.local.port}`),
    },
  );
  const heard = new HeardStream();
  const connection = network.connectStream(listener.local, heard);
  connection.write(Buffer.from('one'));
  await heard.until(() => heard.text === 'one');
  listener.close();
  listener.close();
  connection.write(Buffer.from(' two'));
  await heard.until(() => heard.text === 'one two');
  accepted[0]?.connection.close();
  await heard.until(() => heard.closes.length === 1);
  await accepted[0]?.heard.until(() => accepted[0]?.heard.closes.length === 1);
  const again = await network.listenStream(listener.local, () => new HeardStream());
  again.close();
  t.same(network.dump(), NOTHING);
});

t.test('more than 256 kB for a connection that is not up ends it with EQUEUEFULL', async (t) => {
  const network = new NodeNetwork();
  const [listener] = await listenEcho(network);
  const heard = new HeardStream();
  const connection = network.connectStream(listener.local, heard);
  t.ok(connection.write(Buffer.alloc(200 * 1024)));
  t.notOk(connection.write(Buffer.alloc(57 * 1024)));
  t.notOk(connection.write(Buffer.from('x')));
  await heard.until(() => heard.closes.length > 0);
  t.same(heard.closes, ['EQUEUEFULL']);
  listener.close();
  t.same(network.dump(), NOTHING);
});

t.test('a peer that does not read is given up when 1 MB waits for it', async (t) => {
  const network = new NodeNetwork();
  const deaf = await deafServer();
  const heard = new HeardStream();
  const connection = network.connectStream({ address: IP, port: deaf.port }, heard);
  await heard.until(() => heard.connected === 1);
  const piece = Buffer.alloc(64 * 1024);
  let written = 0;
  while (written < 1000 && connection.write(piece)) written++;
  t.ok(written >= 15 && written < 1000, `${written} pieces were taken`);
  await heard.until(() => heard.closes.length > 0);
  t.same(heard.closes, ['EQUEUEFULL']);
  for (const socket of deaf.sockets) socket.destroy();
  deaf.server.close();
  t.same(network.dump(), NOTHING);
});

t.test('close flushes first; a peer that never closes its side is not waited for longer than 2 s', async (t) => {
  const clock = new ManualClock();
  const network = new NodeNetwork({ clock });
  const received: Buffer[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', (chunk) => received.push(chunk));
    socket.on('error', () => {});
    socket.on('end', () => server.emit('peerEnded', socket));
  });
  server.listen(0, IP);
  await once(server, 'listening');
  const heard = new HeardStream();
  const connection = network.connectStream({ address: IP, port: (server.address() as { port: number }).port }, heard);
  const ended = once(server, 'peerEnded') as Promise<[Socket]>;
  connection.write(Buffer.alloc(100_000, 'x'));
  connection.close();
  const [peer] = await ended;
  t.equal(Buffer.concat(received).length, 100_000);
  t.same(heard.closes, []);
  clock.advance(2_000);
  await heard.until(() => heard.closes.length > 0);
  t.same(heard.closes, [undefined]);
  t.equal(heard.connected, 0, 'a closed connection is not announced');
  peer.destroy();
  server.close();
  t.same(network.dump(), NOTHING);
  t.same(clock.dump(), {});
});

t.test('a peer that closes its side is closed to, after its last words', async (t) => {
  const clock = new ManualClock();
  const network = new NodeNetwork({ clock });
  const deaf = await deafServer();
  const heard = new HeardStream();
  const accepted = once(deaf.server, 'connection');
  const connection = network.connectStream({ address: IP, port: deaf.port }, heard);
  connection.write(Buffer.alloc(60_000));
  await accepted;
  deaf.sockets[0]?.end(Buffer.from('bye'));
  await heard.until(() => heard.closes.length > 0);
  t.equal(heard.text, 'bye');
  t.same(heard.closes, [undefined]);
  t.notOk(connection.write(Buffer.from('x')));
  for (const socket of deaf.sockets) socket.destroy();
  deaf.server.close();
  t.same(network.dump(), NOTHING);
  t.same(clock.dump(), {});
});

t.test('closing an unwritten connection before it is up ends it at once', async (t) => {
  const clock = new ManualClock();
  const network = new NodeNetwork({ clock });
  const [listener] = await listenEcho(network);
  const heard = new HeardStream();
  network.connectStream(listener.local, heard).close();
  await heard.until(() => heard.closes.length > 0);
  t.same(heard.closes, [undefined]);
  listener.close();
  t.same(clock.dump(), {});
});

t.test('a connection reset by its peer ends with ECONNRESET, and writing to it then is refused', async (t) => {
  const network = new NodeNetwork();
  const deaf = await deafServer();
  const heard = new HeardStream();
  const connection = network.connectStream({ address: IP, port: deaf.port }, heard);
  const up = once(deaf.server, 'connection');
  await up;
  deaf.sockets[0]?.resetAndDestroy();
  await heard.until(() => heard.closes.length > 0);
  t.same(heard.closes, ['ECONNRESET']);
  t.notOk(connection.write(Buffer.from('x')));
  connection.close();
  deaf.server.close();
  t.same(network.dump(), NOTHING);
});

t.test('a listener that is full closes further connections', async (t) => {
  const network = new NodeNetwork({ maxAccepted: 1 });
  const [listener, accepted] = await listenEcho(network);
  const first = new HeardStream();
  const one = network.connectStream(listener.local, first);
  one.write(Buffer.from('1'));
  await first.until(() => first.text === '1');
  const second = new HeardStream();
  network.connectStream(listener.local, second);
  await second.until(() => second.closes.length === 1);
  t.equal(accepted.length, 1);
  one.close();
  await first.until(() => first.closes.length === 1);
  listener.close();
});

t.test('10 MB in small pieces arrive in order, with the writer heeding the bound', async (t) => {
  const network = new NodeNetwork();
  let received = 0;
  const done = new HeardStream();
  const listener = await network.listenStream({ address: IP, port: 0 }, () => ({
    onData: (chunk) => {
      for (const octet of chunk) if (octet !== received++ % 251) t.fail('out of order');
      if (received % 65_536 === 0 || received >= 10 * 1024 * 1024) done.onData(Buffer.from('.'));
    },
    onClose: () => {},
  }));
  const heard = new HeardStream();
  const connection = network.connectStream(listener.local, heard);
  let sent = 0;
  while (sent < 10 * 1024 * 1024) {
    const piece = Buffer.alloc(65_536);
    for (let i = 0; i < piece.length; i++) piece[i] = (sent + i) % 251;
    sent += piece.length;
    t.ok(connection.write(piece) || t.fail('refused'));
    const wanted = sent;
    await Promise.race([done.until(() => received >= wanted), heard.until(() => heard.closes.length > 0)]);
  }
  t.equal(received, sent);
  connection.close();
  await heard.until(() => heard.closes.length === 1);
  listener.close();
});
