import { createSocket, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { ManualClock, TandemError } from '../../src/kernel/index.js';
import { answerAtOnce } from '../../src/net/addresses.js';
import { ANSWERS_WORTH_A_SOCKET, MAX_PEERS } from '../../src/net/connectedPeers.js';
import { type DatagramSocket, NodeNetwork, SimWorld, SystemResolver } from '../../src/net/index.js';
import type { HostResolver, SipNetwork } from '../../src/sip/ports.js';
import { MOST_WAITING, Outbox } from '../../src/net/outbox.js';
import { PaceRule, ReceivePace } from '../../src/net/receivePace.js';
import { echoDatagrams, HeardDatagrams, HeardStream } from '../support/netSinks.js';

const IP = '127.0.31.1';
const PEER = '127.0.31.2';
const NOTHING = { datagramSockets: 0, connectedPeers: 0, listeners: 0, streams: 0 };
const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some((one) => one.address === '::1'));

/** Everything that tests opened is closed before the next one. */
const opened: { close(): void }[] = [];
const keep = <T extends { close(): void }>(socket: T): T => {
  opened.push(socket);
  return socket;
};
t.afterEach(() => {
  for (const socket of opened.splice(0)) socket.close();
});

const bind = async (network: NodeNetwork, port: number, address = IP): Promise<[DatagramSocket, HeardDatagrams]> => {
  const heard = new HeardDatagrams();
  return [keep(await network.bindDatagram({ address, port }, heard)), heard];
};

t.test('the networks and the resolver fit the ports of the engine', async (t) => {
  const takesNetwork = (network: SipNetwork): boolean => typeof network.bindDatagram === 'function';
  const takesResolver = (resolver: HostResolver): boolean => typeof resolver.resolve === 'function';
  const resolver = new SystemResolver();
  t.ok(takesNetwork(new NodeNetwork()));
  t.ok(
    takesNetwork(
      new SimWorld({ clock: new ManualClock(), random: { hex: () => '', float: () => 0, uuid: () => '' } }).host(
        '10.0.0.1',
      ),
    ),
  );
  t.ok(takesResolver(resolver));
  resolver.close();
});

for (const connectPeers of [true, false]) {
  t.test(`with connectPeers ${connectPeers}`, async (t) => {
    t.test('datagrams come back over IPv4, with the addresses of both ends', async (t) => {
      const network = new NodeNetwork({ connectPeers });
      const echo = keep(await echoDatagrams(network, { address: PEER, port: 0 }));
      const [socket, heard] = await bind(network, 0);
      t.ok(socket.local.port > 0, 'port 0 became a real one');
      for (const expectAnswer of [true, false]) socket.send(Buffer.from('ping'), PEER, echo.local.port, expectAnswer);
      await heard.until(() => heard.datagrams.length === 2);
      t.same(heard.texts, ['ping', 'ping']);
      t.same(heard.datagrams[0]?.from, { address: PEER, port: echo.local.port });
    });

    t.test('datagrams come back over IPv6', async (t) => {
      if (!hasIpv6) return void t.comment('this machine has no ::1: not run');
      const network = new NodeNetwork({ connectPeers });
      const echo = keep(await echoDatagrams(network, { address: '::1', port: 0 }));
      const [socket, heard] = await bind(network, 0, '::1');
      socket.send(Buffer.from('six'), '::1', echo.local.port, true);
      await heard.until(() => heard.datagrams.length === 1);
      t.same(heard.datagrams[0]?.from, { address: '::1', port: echo.local.port });
    });

    t.test('a datagram of 60 kB arrives whole; a longer one than UDP can carry is reported', async (t) => {
      const network = new NodeNetwork({ connectPeers });
      const echo = keep(await echoDatagrams(network, { address: PEER, port: 0 }));
      const [socket, heard] = await bind(network, 0);
      socket.send(Buffer.alloc(60_000, 'x'), PEER, echo.local.port, true);
      await heard.until(() => heard.datagrams.length === 1);
      t.equal(heard.datagrams[0]?.bytes, 60_000);
      socket.send(Buffer.alloc(70_000), PEER, echo.local.port, true);
      await heard.until(() => heard.unreachable.length === 1);
      t.same(
        heard.unreachable.map(({ code }) => code),
        ['EMSGSIZE'],
      );
      t.same(
        heard.unreachable.map(({ peer }) => peer.port),
        [echo.local.port],
      );
    });

    t.test('addresses that cannot be sent to are reported, later and never thrown', async (t) => {
      const [socket, heard] = await bind(new NodeNetwork({ connectPeers }), 0);
      const impossible: [string, number][] = [
        ['pbx.example', 5060],
        ['::1', 5060],
        [PEER, 0],
        [PEER, 99_999],
        ['', 1],
      ];
      for (const expectAnswer of [true, false]) {
        for (const [address, port] of impossible) socket.send(Buffer.from('x'), address, port, expectAnswer);
      }
      t.equal(heard.unreachable.length, 0, 'nothing was told within the calls');
      await heard.until(() => heard.unreachable.length === impossible.length);
      t.same(
        heard.unreachable.map(({ peer }) => [peer.address, peer.port]),
        impossible,
        'those of whom an answer was expected',
      );
    });

    t.test('a taken port is refused with its address and the remedy, and is free again after close', async (t) => {
      const network = new NodeNetwork({ connectPeers });
      const [first, heard] = await bind(network, 0);
      const local = first.local;
      const error = await network.bindDatagram(local, heard).then(
        () => undefined,
        (reason: unknown) => reason as TandemError,
      );
      t.type(error, TandemError);
      t.equal(error?.code, 'address_in_use');
      t.match(error?.message, `udp://${IP}:${local.port}`);
      t.match(error?.message, /stop the other program|choose another port/);
      await t.rejects(network.bindDatagram({ address: '0.0.0.0', port: local.port }, heard), {
        code: 'address_in_use',
      });
      first.close();
      keep(await network.bindDatagram(local, heard));
      t.equal(network.dump().datagramSockets, 1);
    });

    t.test('addresses that cannot be bound are refused by name', async (t) => {
      const network = new NodeNetwork({ connectPeers });
      const sink = new HeardDatagrams();
      await t.rejects(network.bindDatagram({ address: '192.0.2.1', port: 11_100 }, sink), {
        code: 'address_not_available',
        message: /udp:\/\/192\.0\.2\.1:11100/,
      });
      await t.rejects(network.bindDatagram({ address: 'localhost', port: 11_100 }, sink), { code: 'address_invalid' });
      await t.rejects(network.bindDatagram({ address: IP, port: 70_000 }, sink), { code: 'address_invalid' });
      t.same(network.dump(), NOTHING);
    });

    t.test('what was sent before close still leaves, and afterwards the sink hears nothing', async (t) => {
      const network = new NodeNetwork({ connectPeers });
      const [peer, heardByPeer] = await bind(network, 0, PEER);
      const [socket, heard] = await bind(network, 0);
      socket.send(Buffer.from('request'), PEER, peer.local.port, true);
      socket.send(Buffer.from('response'), PEER, peer.local.port, false);
      socket.close();
      socket.close();
      socket.send(Buffer.from('too late'), PEER, peer.local.port, true);
      await heardByPeer.until(() => heardByPeer.datagrams.length === 2);
      t.same(heardByPeer.texts.sort(), ['request', 'response']);
      peer.send(Buffer.from('anybody?'), IP, socket.local.port, true);
      if (connectPeers) await heardByPeer.until(() => heardByPeer.unreachable.length === 1);
      t.same(heard.datagrams, []);
      peer.close();
      t.same(network.dump(), NOTHING);
    });

    t.test('20,000 datagrams in bursts all arrive and all come back', async (t) => {
      const network = new NodeNetwork({ connectPeers });
      const echo = keep(await echoDatagrams(network, { address: PEER, port: 0 }));
      const [socket, heard] = await bind(network, 0);
      const data = Buffer.alloc(800, 'i');
      for (let sent = 0; sent < 20_000;) {
        for (let burst = 0; burst < 50; burst++, sent++) socket.send(data, PEER, echo.local.port, true);
        const wanted = sent;
        await heard.until(() => heard.datagrams.length >= wanted);
      }
      t.equal(heard.datagrams.length, 20_000);
      t.same(heard.unreachable, []);
    });
  });
}

t.test('refusals', { skip: process.platform === 'linux' ? false : 'relies on Linux' }, async (t) => {
  const closedPort = async (network: NodeNetwork): Promise<number> => {
    const probe = await network.bindDatagram({ address: PEER, port: 0 }, new HeardDatagrams());
    probe.close();
    return probe.local.port;
  };

  for (const address of [IP, '0.0.0.0']) {
    t.test(`bound to ${address}: a refusing peer is reported within 50 ms, again for every burst`, async (t) => {
      const network = new NodeNetwork();
      const port = await closedPort(network);
      const [socket, heard] = await bind(network, 0, address);
      const tookMs: number[] = [];
      for (let round = 1; round <= 5; round++) {
        const startedMs = performance.now();
        const before = heard.unreachable.length;
        // The second one of a turn meets the pending refusal of the first.
        for (let burst = 0; burst < round; burst++) socket.send(Buffer.from('INVITE'), PEER, port, true);
        await heard.until(() => heard.unreachable.length > before);
        const [report] = heard.unreachable.slice(before);
        t.same(report?.peer, { address: PEER, port });
        t.equal(report?.code, 'ECONNREFUSED');
        tookMs.push((report?.atMs ?? Infinity) - startedMs);
      }
      // The best of five: a busy machine may be late, but a refusal that is not seen is late every time.
      t.ok(Math.min(...tookMs) < 50, `after ${Math.min(...tookMs).toFixed(1)} ms`);
    });

    t.test(`bound to ${address}: a peer that comes up later is talked to, and others go on meanwhile`, async (t) => {
      const network = new NodeNetwork();
      const port = await closedPort(network);
      const [socket, heard] = await bind(network, 0, address);
      socket.send(Buffer.from('too early'), PEER, port, true);
      await heard.until(() => heard.unreachable.length > 0);
      const [peer, heardByPeer] = await bind(network, port, PEER);
      const [other] = await bind(network, 0, '127.0.31.3');
      socket.send(Buffer.from('hello'), PEER, port, true);
      await heardByPeer.until(() => heardByPeer.datagrams.length === 1);
      t.same(heardByPeer.texts, ['hello']);
      const port1 = socket.local.port;
      for (let i = 0; i < 50; i++) {
        peer.send(Buffer.from(`peer ${i}`), IP, port1, false);
        other.send(Buffer.from(`other ${i}`), IP, port1, false);
        socket.send(Buffer.from(`response ${i}`), PEER, port, false);
      }
      await heard.until(() => heard.datagrams.length === 100);
      await heardByPeer.until(() => heardByPeer.datagrams.length === 51);
      t.equal(new Set(heard.texts).size, 100, 'none twice');
      t.ok(
        heardByPeer.datagrams.every(({ from }) => from.port === port1),
        'always from the bound port',
      );
    });
  }

  t.test('a refusal from before a peer came up does not count against what is sent after', async (t) => {
    const peerAt = (port: number, heard: (text: string) => void = () => {}): Socket => {
      const peer = createSocket({ type: 'udp4', lookup: answerAtOnce });
      peer.on('message', (data) => heard(data.toString()));
      peer.bind({ port, address: PEER, exclusive: true });
      return peer;
    };
    const [socket] = await bind(new NodeNetwork(), 0);
    const first = await new Promise<string>((resolve) => {
      const old = peerAt(0, (text) => {
        // All within one turn: the event loop does not hear of the refusal in between.
        const { port } = old.address();
        old.close();
        // As many as do not wait for its end.
        for (let i = 0; i < MOST_WAITING; i++) socket.send(Buffer.from('to nobody'), PEER, port, true);
        keep(peerAt(port, resolve));
        socket.send(Buffer.from(`${text}, and hello`), PEER, port, true);
      });
      socket.send(Buffer.from('hello'), PEER, old.address().port, true);
    });
    t.equal(first, 'hello, and hello');
  });

  t.test('nothing is lost or doubled while peers are being connected under traffic', async (t) => {
    const network = new NodeNetwork();
    const [socket, heard] = await bind(network, 0);
    const peers: DatagramSocket[] = [];
    for (let i = 0; i < 40; i++) {
      peers.push((await bind(network, 0, `127.0.31.${100 + i}`))[0]);
    }
    for (let round = 0; round < 10; round++) {
      for (const [i, peer] of peers.entries()) {
        peer.send(Buffer.from(`${i}/${round}`), IP, socket.local.port, false);
        if (i % 10 === round) socket.send(Buffer.from('x'), peer.local.address, peer.local.port, true);
      }
      await heard.until(() => heard.datagrams.length >= (round + 1) * peers.length);
    }
    t.equal(heard.datagrams.length, 400);
    t.equal(new Set(heard.texts).size, 400);
    t.equal(network.dump().connectedPeers, 40);
  });

  t.test('a peer gives up its socket when idle for a minute, and gets one again', async (t) => {
    const clock = new ManualClock();
    const network = new NodeNetwork({ clock });
    const echo = keep(await echoDatagrams(network, { address: PEER, port: 0 }));
    const [socket, heard] = await bind(network, 0);
    const exchange = async (): Promise<void> => {
      const before = heard.datagrams.length;
      socket.send(Buffer.from('x'), PEER, echo.local.port, true);
      await heard.until(() => heard.datagrams.length === before + 1);
    };
    await exchange();
    clock.advance(59_000);
    t.equal(network.dump().connectedPeers, 1);
    await exchange();
    clock.advance(59_000);
    t.equal(network.dump().connectedPeers, 1, 'traffic counts');
    clock.advance(40_000);
    t.equal(network.dump().connectedPeers, 0);
    t.equal(clock.pending, 0, 'and the timer is gone');
    await exchange();
    t.equal(network.dump().connectedPeers, 1);
    socket.close();
    t.equal(clock.pending, 0);
  });

  t.test('a peer that is only answered gets a socket once that pays, and half of them is for others', async (t) => {
    const clock = new ManualClock();
    const network = new NodeNetwork({ clock });
    const [socket, heard] = await bind(network, 0);
    const others = new NodeNetwork({ connectPeers: false });
    const echo = keep(await echoDatagrams(others, { address: PEER, port: 0 }));
    const crowd = keep(await echoDatagrams(others, { address: '0.0.0.0', port: 0 }));
    const answer = async (peer: string, times: number): Promise<void> => {
      const before = heard.datagrams.length;
      const { port } = peer === PEER ? echo.local : crowd.local;
      for (let i = 0; i < times; i++) socket.send(Buffer.from(`${i}`), peer, port, false);
      await heard.until(() => heard.datagrams.length === before + times);
    };
    await answer(PEER, ANSWERS_WORTH_A_SOCKET - 1);
    t.equal(network.dump().connectedPeers, 0, 'a few answers are not worth it');
    await answer(PEER, 2);
    t.equal(network.dump().connectedPeers, 1);
    t.same(heard.datagrams.at(-1)?.from, { address: PEER, port: echo.local.port }, 'what it says is heard as ever');
    clock.advance(120_000);
    t.equal(network.dump().connectedPeers, 0, 'it is given up like any other');
    await answer(PEER, 1);
    t.equal(network.dump().connectedPeers, 0, 'and counted anew');
    for (let i = 0; i < MAX_PEERS / 2 + 8; i++) await answer(`127.0.31.${100 + i}`, ANSWERS_WORTH_A_SOCKET);
    t.equal(network.dump().connectedPeers, MAX_PEERS / 2, 'who is answered leaves room for those who are asked');
    socket.send(Buffer.from('asked'), '127.0.31.99', crowd.local.port, true);
    await heard.until(() => heard.texts.includes('asked'));
    t.equal(network.dump().connectedPeers, MAX_PEERS / 2 + 1);
  });

  t.test('256 peers are the most; busy ones are not pushed out, idle ones are', async (t) => {
    const clock = new ManualClock();
    const network = new NodeNetwork({ clock });
    const [socket, heard] = await bind(network, 0);
    const echo = keep(await echoDatagrams(new NodeNetwork({ connectPeers: false }), { address: '0.0.0.0', port: 0 }));
    for (let i = 100; i < 200; i++) socket.send(Buffer.from(`${i}`), `127.0.31.${i}`, echo.local.port, true);
    await heard.until(() => heard.datagrams.length === 100);
    const port = await closedPort(network);
    for (let i = 0; i < 200; i++) socket.send(Buffer.from('x'), `127.0.31.${i + 3}`, port, true);
    t.equal(network.dump().connectedPeers, 256);
    clock.advance(6_000);
    socket.send(Buffer.from('new'), '127.0.31.250', echo.local.port, true);
    t.equal(network.dump().connectedPeers, 256);
    socket.send(Buffer.from('unconnected'), '127.0.31.251', echo.local.port, false);
    await heard.until(() => heard.texts.includes('new') && heard.texts.includes('unconnected'));
    socket.close();
    echo.close();
    t.same(network.dump(), NOTHING);
  });
});

t.test('what a turn of the loop sends leaves at its end', async (t) => {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  /** An outbox, and what has left it: the letters of two peers. */
  const letters = () => {
    const outbox = new Outbox(() => {});
    const left: string[] = [];
    const peer = (name: string) => ({ deliver: (data: Buffer): void => void left.push(`${name}${String(data)}`) });
    return { outbox, left, a: peer('a'), b: peer('b') };
  };

  t.test('peer by peer, to each in the order in which it came', async (t) => {
    const { outbox, left, a, b } = letters();
    outbox.add(a, Buffer.from('1'));
    outbox.add(b, Buffer.from('2'));
    outbox.add(a, Buffer.from('3'));
    await Promise.resolve();
    t.same(left, [], 'not before');
    t.equal(outbox.size, 3);
    await turn();
    t.same(left, ['a1', 'a3', 'b2'], 'a peer that has been woken up finds all of it');
    outbox.add(b, Buffer.from('4'));
    await turn();
    t.same(left, ['a1', 'a3', 'b2', 'b4'], 'and so with the next');
    t.equal(outbox.size, 0);
  });

  t.test('at once when asked for, and once only', async (t) => {
    const { outbox, left, a } = letters();
    outbox.add(a, Buffer.from('1'));
    outbox.release();
    t.same(left, ['a1']);
    outbox.add(a, Buffer.from('2'));
    await turn();
    t.same(left, ['a1', 'a2']);
  });

  t.test('a long turn holds up no more than there is room for', async (t) => {
    const { outbox, left, a } = letters();
    for (let i = 0; i < MOST_WAITING + 1; i++) outbox.add(a, Buffer.from(`${i}`));
    t.equal(left.length, MOST_WAITING);
    await turn();
    t.equal(left.at(-1), `a${MOST_WAITING}`);
  });

  t.test('before the thread rests', async (t) => {
    const { outbox, left, a } = letters();
    const pace = new ReceivePace(2, () => outbox.release());
    pace.took();
    // Comes after the pace's turn, and before the outbox's own.
    const seen = new Promise<number>((resolve) => setImmediate(() => resolve(left.length)));
    outbox.add(a, Buffer.from('1'));
    t.equal(await seen, 1);
  });

  t.test(
    'after what must be on record before anything leaves: by its own socket, by the main one, by a stream',
    async (t) => {
      let asked = 0;
      const network = new NodeNetwork({ beforeSending: () => asked++ });
      const [receiver, heard] = await bind(new NodeNetwork(), 0, PEER);
      const { address, port } = receiver.local;
      const [sender] = await bind(network, 0);
      sender.send(Buffer.from('answer'), address, port, false);
      t.equal(asked, 1, 'the main socket hands it to the system at once');
      for (const text of ['one', 'two']) sender.send(Buffer.from(text), address, port, true);
      t.equal(asked, 1);
      await heard.until(() => heard.datagrams.length === 3);
      t.equal(asked, 2, 'once for all that leave together');
      for (const protocol of ['tcp', 'ws'] as const) {
        const before = asked;
        const stream = new HeardStream();
        const server = new HeardStream();
        const listener = keep(await network.listenStream({ address: IP, port: 0 }, () => server, protocol));
        const connection = network.connectStream(listener.local, stream, { protocol });
        connection.write(Buffer.from(protocol));
        await server.until(() => server.text === protocol);
        t.equal(asked, before + 1, protocol);
        connection.close();
        await server.until(() => server.closes.length === 1);
      }
    },
  );

  t.test('also when the socket is closed in the same turn', async (t) => {
    const network = new NodeNetwork();
    const [receiver, heard] = await bind(network, 0, PEER);
    const [sender] = await bind(network, 0);
    const { address, port } = receiver.local;
    for (const text of ['one', 'two']) sender.send(Buffer.from(text), address, port, true);
    sender.close();
    await heard.until(() => heard.datagrams.length === 2);
    t.same(heard.texts, ['one', 'two']);
  });
});

t.test('the pace of taking datagrams', async (t) => {
  /** Datagrams evenly over a second, the loop turning for each, or when it has rested. @returns rests in milliseconds */
  const rests = (perSecond: number, intervalMs: number, turnMs = 0): number[] => {
    let busyMs = 0;
    const rule = new PaceRule(intervalMs, () => busyMs);
    const found: number[] = [];
    let freeMs = 0;
    for (let i = 0; i < perSecond; i++) {
      const nowMs = (i * 1000) / perSecond;
      rule.took();
      if (nowMs < freeMs) continue;
      const restMs = rule.restMs(nowMs + turnMs);
      if (i > perSecond / 2) found.push(restMs);
      freeMs = nowMs + turnMs + restMs;
      busyMs += turnMs + restMs;
    }
    return found;
  };

  t.test('few are taken as they come', async (t) => {
    t.ok(rests(600, 2).every((restMs) => restMs === 0));
  });

  t.test('many are left to gather, never longer than is allowed', async (t) => {
    const found = rests(3000, 2);
    t.ok(found.every((restMs) => restMs < 2.001));
    t.ok(found.length < 600, `${found.length} turns for 1500 datagrams`);
  });

  t.test('a thread that is busy for half of the time does not rest', async (t) => {
    t.ok(rests(1500, 2, 0.4).every((restMs) => restMs === 0));
    t.ok(
      rests(1500, 2, 0.1).some((restMs) => restMs > 0),
      'one that is less busy does',
    );
  });

  t.test('a thread that is busy for as long as the interval does not rest', async (t) => {
    t.ok(rests(3000, 2, 2).every((restMs) => restMs === 0));
  });

  t.test('all datagrams are taken, in their order, also while the thread rests', async (t) => {
    const network = new NodeNetwork({ gatherMs: 2 });
    const [socket, heard] = await bind(network, 0);
    const [sender] = await bind(new NodeNetwork(), 0);
    const count = 600;
    for (let i = 0; i < count; i++) {
      sender.send(Buffer.from(`${i}`), socket.local.address, socket.local.port, false);
      if (i % 10 === 9) await new Promise((resolve) => setImmediate(resolve));
    }
    await heard.until(() => heard.datagrams.length === count);
    t.same(
      heard.texts,
      Array.from({ length: count }, (_, i) => `${i}`),
    );
  });
});
