import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { type DatagramSocket, type SimHost, type SimLink, SimWorld } from '../../src/net/index.js';
import { echoDatagrams, echoStream, HeardDatagrams, HeardStream } from '../support/netSinks.js';

const A = '10.0.0.1';
const B = '10.0.0.2';
const SIP = 5060;

interface Setting {
  readonly clock: ManualClock;
  readonly world: SimWorld;
  readonly a: SimHost;
  readonly b: SimHost;
}

const setUp = (link: Partial<SimLink> = {}, seed = 1): Setting => {
  const clock = new ManualClock();
  const world = new SimWorld({ clock, random: new SeededRandom(seed), link });
  return { clock, world, a: world.host(A), b: world.host(B) };
};

const bind = async (host: SimHost, port = SIP): Promise<[DatagramSocket, HeardDatagrams]> => {
  const heard = new HeardDatagrams();
  return [await host.bindDatagram({ address: host.addresses[0] ?? '', port }, heard), heard];
};

/** A sends 0, 1, 2 ... to B, one a millisecond; what B heard, as numbers. */
const sendNumbers = async ({ clock, a, b }: Setting, count: number): Promise<number[]> => {
  const [from] = await bind(a);
  const [, heard] = await bind(b);
  for (let i = 0; i < count; i++) {
    from.send(Buffer.from(`${i}`), B, SIP, false);
    clock.advance(1);
  }
  clock.advance(1_000);
  return heard.texts.map(Number);
};
const ascending = (numbers: number[]): boolean => numbers.every((n, i) => i === 0 || n > (numbers[i - 1] ?? 0));

t.test('a datagram crosses by timer, never within the call, and is copied on the way', async (t) => {
  const { clock, world, a, b } = setUp();
  const [from, heardByA] = await bind(a);
  await echoDatagrams(b, { address: B, port: SIP });
  const data = Buffer.from('INVITE');
  from.send(data, B, SIP, true);
  data.fill('x');
  t.same(heardByA.datagrams, []);
  clock.advance(0);
  t.same(heardByA.texts, ['INVITE']);
  t.same(heardByA.datagrams[0]?.from, { address: B, port: SIP });
  t.same(
    world.trace.map((each) => [each.from.address, each.to.address, each.fate]),
    [
      [A, B, 'sent'],
      [B, A, 'sent'],
    ],
  );
  t.same(world.dump(), [`udp ${A}:${SIP}`, `udp ${B}:${SIP}`]);
});

t.test('delays stay in their range and keep the order', async (t) => {
  const setting = setUp({ delayMs: { min: 20, max: 80 } });
  const sentAt: number[] = [];
  const delays: number[] = [];
  const [from] = await bind(setting.a);
  await setting.b.bindDatagram(
    { address: B, port: SIP },
    {
      onDatagram: (data) => delays.push(setting.clock.nowMs() - (sentAt[Number(data.toString())] ?? 0)),
      onUnreachable: () => {},
    },
  );
  for (let i = 0; i < 300; i++) {
    sentAt.push(setting.clock.nowMs());
    from.send(Buffer.from(`${i}`), B, SIP, false);
    setting.clock.advance(100);
  }
  t.equal(delays.length, 300);
  t.ok(Math.min(...delays) >= 20 && Math.max(...delays) <= 80);
  t.ok(new Set(delays).size > 30, 'spread over the range');
  t.ok(ascending(await sendNumbers(setUp({ delayMs: { min: 20, max: 80 } }), 300)));
});

t.test('a link loses, doubles and reorders its share, and a seed reproduces it', async (t) => {
  const lossy = await sendNumbers(setUp({ lossRate: 0.2 }), 2_000);
  t.ok(lossy.length > 1_500 && lossy.length < 1_700, `${lossy.length} of 2000 arrive`);
  t.ok(ascending(lossy));
  const doubled = await sendNumbers(setUp({ duplicateRate: 0.1 }), 2_000);
  t.ok(doubled.length > 2_120 && doubled.length < 2_280, `${doubled.length} arrive`);
  t.equal(new Set(doubled).size, 2_000);
  const reordered = await sendNumbers(setUp({ reorderRate: 0.1 }), 2_000);
  t.equal(new Set(reordered).size, 2_000);
  const overtaken = reordered.filter((n, i) => n < (reordered[i - 1] ?? 0)).length;
  t.ok(overtaken > 100 && overtaken < 250, `${overtaken} are overtaken`);
  const all: Partial<SimLink> = { lossRate: 0.1, duplicateRate: 0.1, reorderRate: 0.1, delayMs: { min: 1, max: 9 } };
  t.same(await sendNumbers(setUp(all, 7), 500), await sendNumbers(setUp(all, 7), 500));
  t.notSame(await sendNumbers(setUp(all, 7), 500), await sendNumbers(setUp(all, 8), 500));
});

t.test('links differ by pair and by direction; a partition is healed', async (t) => {
  const { clock, world, a, b } = setUp({ delayMs: { min: 5, max: 5 } });
  const [from, heardByA] = await bind(a);
  await echoDatagrams(b, { address: B, port: SIP });
  world.setLink(A, B, { delayMs: { min: 50, max: 50 } });
  world.setPath(B, A, { lossRate: 1 });
  from.send(Buffer.from('lost on the way back'), B, SIP, false);
  clock.advance(100);
  t.same(
    world.trace.map((each) => each.fate),
    ['sent', 'lost'],
  );
  world.setPath(B, A, { lossRate: 0 });
  from.send(Buffer.from('there and back'), B, SIP, false);
  clock.advance(99);
  t.same(heardByA.texts, []);
  clock.advance(1);
  t.same(heardByA.texts, ['there and back']);
  world.partition(A, B);
  from.send(Buffer.from('cut off'), B, SIP, true);
  clock.advance(1_000);
  t.equal(world.trace.at(-1)?.fate, 'lost');
  world.heal(A, B);
  from.send(Buffer.from('again'), B, SIP, true);
  clock.advance(100);
  t.same(heardByA.texts, ['there and back', 'again']);
  t.same(heardByA.unreachable, []);
});

t.test('a datagram to a closed port is refused, where an answer was awaited and the host lives', async (t) => {
  const { clock, world, a, b } = setUp({ delayMs: { min: 10, max: 10 } });
  const [from, heard] = await bind(a);
  from.send(Buffer.from('INVITE'), B, SIP, true);
  from.send(Buffer.from('200 OK'), B, SIP, false);
  clock.advance(19);
  t.same(heard.unreachable, []);
  clock.advance(1);
  t.match(heard.unreachable, [{ code: 'ECONNREFUSED', peer: { address: B, port: SIP } }]);
  b.blackholed = true;
  from.send(Buffer.from('INVITE'), B, SIP, true);
  from.send(Buffer.from('INVITE'), '10.9.9.9', SIP, true);
  clock.advance(1_000);
  t.equal(heard.unreachable.length, 1, 'silence');
  from.send(Buffer.alloc(70_000), B, SIP, true);
  from.send(Buffer.from('x'), B, 0, true);
  t.equal(heard.unreachable.length, 1);
  clock.advance(0);
  t.same(
    heard.unreachable.slice(1).map(({ code }) => code),
    ['EMSGSIZE', 'EINVAL'],
  );
  from.send(Buffer.from('INVITE'), B, SIP, true);
  from.close();
  clock.advance(1_000);
  t.equal(heard.unreachable.length, 3, 'a closed socket hears nothing');
  t.same(world.dump(), []);
  t.equal(clock.pending, 0);
});

t.test('an intercept sees every packet and decides its fate', async (t) => {
  const { clock, world, a, b } = setUp();
  const [from, heardByA] = await bind(a);
  const [, heardByB] = await bind(b);
  const remove = world.intercept(({ data }) => {
    const text = data.toString();
    if (text === 'drop') return 'drop';
    if (text === 'refuse') return 'refuse';
    if (text === 'late') return { delayMs: 30 };
    if (text === 'three') return { copies: 3 };
    if (text === 'change') return { data: Buffer.from('changed') };
    return 'pass';
  });
  for (const text of ['drop', 'refuse', 'late', 'three', 'change', 'pass']) from.send(Buffer.from(text), B, SIP, true);
  clock.advance(29);
  t.same(heardByB.texts, ['three', 'three', 'three', 'changed', 'pass']);
  t.match(heardByA.unreachable, [{ code: 'ECONNREFUSED' }]);
  clock.advance(1);
  t.equal(heardByB.texts.at(-1), 'late');
  remove();
  from.send(Buffer.from('drop'), B, SIP, true);
  clock.advance(0);
  t.equal(heardByB.texts.at(-1), 'drop');
});

t.test('the trace keeps the latest packets only', async (t) => {
  const clock = new ManualClock();
  const world = new SimWorld({ clock, random: new SeededRandom(1), traceLimit: 10 });
  const [from] = await bind(world.host(A));
  for (let i = 0; i < 100; i++) from.send(Buffer.from(`${i}`), '10.9.9.9', SIP, false);
  clock.advance(0);
  t.ok(world.trace.length >= 10 && world.trace.length <= 20);
  t.equal(world.trace.at(-1)?.data.toString(), '99');
  world.clearTrace();
  t.same(world.trace, []);
});

t.test('addresses are claimed as on a machine', async (t) => {
  const { clock, world, a } = setUp();
  const sink = new HeardDatagrams();
  const first = await a.bindDatagram({ address: A, port: SIP }, sink);
  await t.rejects(a.bindDatagram({ address: A, port: SIP }, sink), {
    code: 'address_in_use',
    message: /10\.0\.0\.1:5060/,
  });
  await t.rejects(a.bindDatagram({ address: '0.0.0.0', port: SIP }, sink), { code: 'address_in_use' });
  await t.rejects(a.bindDatagram({ address: B, port: SIP }, sink), { code: 'address_not_available' });
  await t.rejects(
    a.listenStream({ address: B, port: SIP }, () => new HeardStream()),
    { code: 'address_not_available' },
  );
  const listener = await a.listenStream({ address: A, port: SIP }, () => new HeardStream());
  await t.rejects(
    a.listenStream({ address: A, port: SIP }, () => new HeardStream()),
    { code: 'address_in_use' },
  );
  t.ok((await a.bindDatagram({ address: A, port: 0 }, sink)).local.port >= 49_152);
  first.close();
  first.close();
  listener.close();
  const any = await a.bindDatagram({ address: '0.0.0.0', port: SIP }, sink);
  const multi = world.host('10.0.1.1', '10.0.1.2', 'fd00::1');
  t.equal(world.host('10.0.1.2'), multi);
  const wide = new HeardDatagrams();
  const all = await multi.bindDatagram({ address: '0.0.0.0', port: SIP }, wide);
  any.send(Buffer.from('to its second address'), '10.0.1.2', SIP, false);
  all.send(Buffer.from('from its first'), A, SIP, false);
  clock.advance(0);
  t.same(
    wide.datagrams.map(({ from }) => from.address),
    [A],
  );
  t.same(
    sink.datagrams.map(({ from }) => from.address),
    ['10.0.1.1'],
  );
});

t.test('streams', async (t) => {
  const listenEcho = async (host: SimHost): Promise<HeardStream[]> => {
    const accepted: HeardStream[] = [];
    await host.listenStream({ address: B, port: SIP }, (connection) => {
      const heard = echoStream(connection);
      accepted.push(heard);
      return heard;
    });
    return accepted;
  };

  t.test('carry what was written before and after they are up, cut at random places', async (t) => {
    const { clock, world, a, b } = setUp({ delayMs: { min: 10, max: 10 } });
    const accepted = await listenEcho(b);
    const heard = new HeardStream();
    const connection = a.connectStream({ address: B, port: SIP }, heard);
    t.ok(connection.write(Buffer.from('early ')));
    clock.advance(19);
    t.equal(heard.connected, 0);
    clock.advance(1);
    t.equal(heard.connected, 1);
    const long = 'x'.repeat(1_000);
    for (let i = 0; i < 20; i++) {
      connection.write(Buffer.from(long));
      clock.advance(5);
    }
    clock.advance(100);
    t.equal(heard.text, `early ${long.repeat(20)}`);
    t.ok(heard.chunks > 25, `${heard.chunks} pieces`);
    t.equal(world.dump().filter((line) => line.startsWith('tcp ')).length, 2);
    connection.close();
    t.notOk(connection.write(Buffer.from('closed')));
    clock.advance(100);
    t.same([heard.closes, accepted[0]?.closes], [[undefined], [undefined]]);
    t.same(world.dump(), [`tcp-listen ${B}:${SIP}`]);
    t.equal(clock.pending, 0);
  });

  t.test('join what is written in one turn', async (t) => {
    const { clock, a, b } = setUp();
    const accepted = await listenEcho(b);
    const connection = a.connectStream({ address: B, port: SIP }, new HeardStream());
    for (let i = 0; i < 100; i++) connection.write(Buffer.from('a message'));
    clock.advance(10);
    t.equal(accepted[0]?.text.length, 900);
    t.ok((accepted[0]?.chunks ?? 99) <= 4);
  });

  t.test('stay whole and in order on a bad link', async (t) => {
    for (let seed = 1; seed <= 20; seed++) {
      const { clock, world, a, b } = setUp({ lossRate: 0.2, reorderRate: 0.3, delayMs: { min: 1, max: 50 } }, seed);
      const accepted = await listenEcho(b);
      const heard = new HeardStream();
      const connection = a.connectStream({ address: B, port: SIP }, heard);
      let sent = '';
      for (let i = 0; i < 50; i++) {
        sent += `${i},`;
        connection.write(Buffer.from(`${i},`));
        clock.advance(20);
      }
      connection.close();
      clock.advance(60_000);
      t.equal(accepted[0]?.text, sent);
      t.ok(sent.startsWith(heard.text));
      t.same([heard.closes.length, accepted[0]?.closes.length], [1, 1]);
      t.same(world.dump(), [`tcp-listen ${B}:${SIP}`]);
      t.equal(clock.pending, 0);
    }
  });

  t.test('are refused by a host that does not listen; a silent host lets them time out', async (t) => {
    const { clock, world, a, b } = setUp({ delayMs: { min: 10, max: 10 } });
    const refused = new HeardStream();
    a.connectStream({ address: B, port: SIP }, refused).write(Buffer.from('x'));
    clock.advance(20);
    t.same(refused.closes, ['ECONNREFUSED']);
    b.blackholed = true;
    const silent = new HeardStream();
    a.connectStream({ address: B, port: SIP }, silent);
    const nowhere = new HeardStream();
    a.connectStream({ address: '10.9.9.9', port: SIP }, nowhere);
    clock.advance(4_999);
    t.same([silent.closes, nowhere.closes], [[], []]);
    clock.advance(1);
    t.same([silent.closes, nowhere.closes], [['ETIMEDOUT'], ['ETIMEDOUT']]);
    t.same(world.dump(), []);
    t.equal(clock.pending, 0);
  });

  t.test('outlive a short partition and end with ETIMEDOUT in a long one', async (t) => {
    const { clock, world, a, b } = setUp({ delayMs: { min: 5, max: 5 } });
    await listenEcho(b);
    const heard = new HeardStream();
    const connection = a.connectStream({ address: B, port: SIP }, heard);
    clock.advance(100);
    world.partition(A, B);
    connection.write(Buffer.from('held'));
    clock.advance(2_000);
    t.equal(heard.text, '');
    world.heal(A, B);
    clock.advance(5_000);
    t.equal(heard.text, 'held');
    world.partition(A, B);
    connection.write(Buffer.from(' lost'));
    clock.advance(60_000);
    t.same(heard.closes, ['ETIMEDOUT']);
    t.equal(world.dump().filter((line) => line.startsWith('tcp ')).length, 1, 'the other end does not know yet');
    world.resetStreams(A, B);
    clock.advance(10);
    t.same(world.dump(), [`tcp-listen ${B}:${SIP}`]);
  });

  t.test('are reset on both sides, by the world and by an intercept', async (t) => {
    for (const how of ['world', 'intercept'] as const) {
      const { clock, world, a, b } = setUp({ delayMs: { min: 5, max: 5 } });
      const accepted = await listenEcho(b);
      const heard = new HeardStream();
      const connection = a.connectStream({ address: B, port: SIP }, heard);
      clock.advance(100);
      if (how === 'world') world.resetStreams(A, B);
      else world.intercept(() => 'refuse');
      connection.write(Buffer.from('x'));
      t.same(heard.closes, [], 'never within the call');
      clock.advance(100);
      t.same([heard.closes, accepted[0]?.closes], [['ECONNRESET'], ['ECONNRESET']]);
      t.notOk(connection.write(Buffer.from('x')));
      t.same(world.dump(), [`tcp-listen ${B}:${SIP}`]);
      t.equal(clock.pending, 0);
    }
  });

  t.test('are bounded while they are not up and while the peer takes nothing', async (t) => {
    const { clock, world, a, b } = setUp();
    await listenEcho(b);
    const dialling = new HeardStream();
    const early = a.connectStream({ address: B, port: SIP }, dialling);
    t.ok(early.write(Buffer.alloc(256 * 1024)));
    t.notOk(early.write(Buffer.from('x')));
    const stuck = new HeardStream();
    const connection = a.connectStream({ address: B, port: SIP }, stuck);
    clock.advance(10);
    t.same(dialling.closes, ['EQUEUEFULL']);
    world.partition(A, B);
    t.ok(connection.write(Buffer.alloc(1024 * 1024)));
    t.notOk(connection.write(Buffer.from('x')));
    clock.advance(10);
    t.same(stuck.closes, ['EQUEUEFULL']);
  });

  t.test('closed while dialling end at once, or after what was written has left', async (t) => {
    const { clock, world, a, b } = setUp({ delayMs: { min: 10, max: 10 } });
    const accepted = await listenEcho(b);
    const empty = new HeardStream();
    a.connectStream({ address: B, port: SIP }, empty).close();
    const full = new HeardStream();
    const connection = a.connectStream({ address: B, port: SIP }, full);
    connection.write(Buffer.from('BYE'));
    connection.close();
    clock.advance(5);
    t.same([empty.closes, full.closes], [[undefined], []]);
    clock.advance(5_000);
    t.same(
      accepted.map(({ text }) => text).filter((text) => text !== ''),
      ['BYE'],
    );
    t.same(full.closes, [undefined]);
    t.equal(full.connected, 0);
    t.same(world.dump(), [`tcp-listen ${B}:${SIP}`]);
    t.equal(clock.pending, 0);
  });
});
