import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { type RtpPair, bindRtpPair } from '../../src/net/index.js';
import { PolledSocket } from '../../src/net/polledSocket.js';

const IP = '127.0.30.1';
const PEER = '127.0.30.2';
const STRANGER = '127.0.30.3';
/** More often than a narrowed socket takes to be heard by polling alone. */
const SETTLED = 70;

interface Heard {
  readonly text: string;
  readonly from: string;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Pair {
  readonly heard: Heard[] = [];
  pair!: RtpPair;
  port = 0;

  static async open(t: Test): Promise<Pair> {
    const one = new Pair();
    const note = (data: Buffer, address: string): void => {
      one.heard.push({ text: data.toString('latin1'), from: address });
    };
    for (let port = 30_200; one.port === 0; port += 2) {
      const pair = await bindRtpPair(IP, port, { onRtp: note, onRtcp: note });
      if (pair === undefined) continue;
      one.pair = pair;
      one.port = port;
    }
    t.teardown(() => one.pair.close());
    return one;
  }

  get texts(): string[] {
    return this.heard.map(({ text }) => text);
  }

  /** Turns of the event loop, with their input, until so much was heard; false after many in vain. */
  async hears(count: number): Promise<boolean> {
    for (let i = 0; i < 500 && this.heard.length < count; i++) await turn();
    return this.heard.length >= count;
  }

  /** Asks until so much was heard. */
  async collects(count: number): Promise<boolean> {
    for (let i = 0; i < 500 && this.heard.length < count; i++) {
      this.pair.collect(true);
      await turn();
    }
    return this.heard.length >= count;
  }

  /** Narrows, and asks until the socket no longer speaks up by itself. */
  async settle(t: Test, port: number): Promise<void> {
    t.equal(this.pair.narrow(PEER, port), true, 'this system can poll');
    for (let i = 0; i < SETTLED; i++) {
      this.pair.collect(false);
      await turn();
    }
  }
}

const openSocket = async (t: Test, address: string): Promise<Socket> => {
  const socket = createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  let open = true;
  socket.once('close', () => (open = false));
  t.teardown(() => open && socket.close());
  return socket;
};

const send = (from: Socket, text: string, to: Pair): Promise<void> =>
  new Promise((resolve, reject) => {
    from.send(text, to.port, IP, (error) => (error === null ? resolve() : reject(error)));
  });

const nextText = async (socket: Socket): Promise<string> => {
  const [data] = (await once(socket, 'message')) as [Buffer];
  return data.toString('latin1');
};

t.test('a narrowed pair hears its peer when it is asked, and nobody else', async (t) => {
  const one = await Pair.open(t);
  const peer = await openSocket(t, PEER);
  const stranger = await openSocket(t, STRANGER);
  await one.settle(t, peer.address().port);
  for (const text of ['a', 'b', 'c']) {
    await send(stranger, 'spray', one);
    await send(peer, text, one);
  }
  for (let i = 0; i < 20; i++) await turn();
  t.same(one.heard, [], 'nothing comes unasked');
  one.pair.collect(false);
  t.same(one.heard, [{ text: 'a', from: PEER }], 'one at a time as a rule');
  one.pair.collect(true);
  t.same(one.texts, ['a', 'b', 'c']);
  for (let i = 0; i < 3; i++) one.pair.collect(true);
  t.equal(one.heard.length, 3, 'an empty socket is no error');
});

t.test('more than one datagram at a time is noticed without being told', async (t) => {
  const one = await Pair.open(t);
  const peer = await openSocket(t, PEER);
  await one.settle(t, peer.address().port);
  for (let i = 0; i < 40; i++) await send(peer, `${i}`, one);
  for (let i = 0; i < 20; i++) one.pair.collect(false);
  t.same(
    one.texts,
    Array.from({ length: 40 }, (_, i) => `${i}`),
    'within a few beats the backlog is gone',
  );
});

t.test('what a stranger sent before the pair was narrowed does not pass for the peer', async (t) => {
  const one = await Pair.open(t);
  const peer = await openSocket(t, PEER);
  const stranger = await openSocket(t, STRANGER);
  // All of it lies in the socket when it is connected.
  const before = Array.from({ length: 60 }, () => send(stranger, 'spray', one));
  await Promise.all(before);
  await one.settle(t, peer.address().port);
  await send(peer, 'voice', one);
  t.ok(await one.collects(one.heard.length + 1));
  t.same(
    one.heard.filter(({ from }) => from === PEER),
    [{ text: 'voice', from: PEER }],
  );
});

t.test('while it settles the peer is heard by events, and nothing is lost', async (t) => {
  const one = await Pair.open(t);
  const peer = await openSocket(t, PEER);
  t.equal(one.pair.narrow(PEER, peer.address().port), true);
  for (let i = 0; i < SETTLED * 2; i++) {
    await send(peer, `${i}`, one);
    one.pair.collect(false);
  }
  t.ok(await one.collects(SETTLED * 2));
  t.same(
    one.texts,
    Array.from({ length: SETTLED * 2 }, (_, i) => `${i}`),
  );
});

t.test('a widened pair hears everybody again', async (t) => {
  const one = await Pair.open(t);
  const peer = await openSocket(t, PEER);
  const stranger = await openSocket(t, STRANGER);
  await one.settle(t, peer.address().port);
  one.pair.widen();
  await send(stranger, 'who', one);
  await send(peer, 'me', one);
  t.ok(await one.hears(2));
  t.same(one.texts.sort(), ['me', 'who']);
  await one.settle(t, peer.address().port);
  await send(peer, 'again', one);
  t.ok(await one.collects(3), 'and can be narrowed again');
});

t.test('audio goes to the peer, and elsewhere when it is sent elsewhere', async (t) => {
  const one = await Pair.open(t);
  const peer = await openSocket(t, PEER);
  const other = await openSocket(t, STRANGER);
  await one.settle(t, peer.address().port);
  const atPeer = nextText(peer);
  one.pair.sendRtp(Buffer.from('to the peer'), PEER, peer.address().port);
  t.equal(await atPeer, 'to the peer');
  const atOther = nextText(other);
  one.pair.sendRtp(Buffer.from('to another'), STRANGER, other.address().port);
  t.equal(await atOther, 'to another');
  await send(other, 'heard', one);
  t.ok(await one.hears(1), 'and who is sent to elsewhere may speak');
});

t.test('a peer that closed its port is no error, and is heard when it comes back', async (t) => {
  const one = await Pair.open(t);
  const peer = await openSocket(t, PEER);
  const { port } = peer.address();
  await one.settle(t, port);
  await new Promise<void>((resolve) => peer.close(resolve));
  const gone = createSocket('udp4');
  for (let i = 0; i < 3; i++) {
    one.pair.sendRtp(Buffer.from('hello'), PEER, port);
    one.pair.collect(true);
  }
  gone.bind(port, PEER);
  await once(gone, 'listening');
  t.teardown(() => gone.close());
  await send(gone, 'back', one);
  t.ok(await one.collects(1));
  t.same(one.texts, ['back']);
});

t.test('a closed pair neither sends nor hears', async (t) => {
  const one = await Pair.open(t);
  const peer = await openSocket(t, PEER);
  await one.settle(t, peer.address().port);
  await one.pair.close();
  one.pair.sendRtp(Buffer.from('late'), PEER, peer.address().port);
  one.pair.collect(true);
  t.equal(one.pair.narrow(PEER, peer.address().port), false);
  t.same(one.heard, []);
});

t.test('a socket that looks otherwise inside is left alone', (t) => {
  const strange = { connect: () => t.fail('connected') } as unknown as Socket;
  t.equal(PolledSocket.open(strange, PEER, 4000), undefined);
  t.end();
});
