/** RFC 3263 and RFC 2782: from a URI to the places to try. */
import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { SimResolver } from '../../src/net/index.js';
import { Locator, type Target, type TransportName, nextHopOfText } from '../../src/sip/index.js';
import type { ServiceRecord } from '../../src/sip/index.js';
import { orderServices } from '../../src/sip/locate/weights.js';

const ALL: readonly TransportName[] = ['udp', 'tcp', 'tls', 'ws', 'wss'];

const setUp = (options: { serves?: readonly TransportName[]; clock?: ManualClock } = {}) => {
  const { clock = new ManualClock(), serves = ALL } = options;
  const resolver = new SimResolver({}, options.clock === undefined ? {} : { clock });
  const random = new SeededRandom(3);
  const locator = new Locator({ resolver, clock, random, serves: (transport) => serves.includes(transport) });
  let answers = 0;
  /** Places as `transport address:port`; undefined while it is not known. */
  const ask = (uri: string): { places: string[] | undefined; targets: readonly Target[] } => {
    const heard: { places: string[] | undefined; targets: readonly Target[] } = { places: undefined, targets: [] };
    const next = nextHopOfText(uri);
    if (next === undefined) throw new Error(`no next hop: ${uri}`);
    locator.locate(next, (targets) => {
      answers++;
      heard.targets = targets;
      heard.places = targets.map(({ transport, address, port }) => `${transport} ${address}:${port}`);
    });
    return heard;
  };
  return { clock, resolver, locator, ask, answers: () => answers };
};

t.test('what the URI says is not asked of DNS', async (t) => {
  const { resolver, ask } = setUp();
  resolver.set('pbx.example', ['10.0.0.9', '2001:db8::9']);
  resolver.setServices('_sip._udp.pbx.example', ['0 0 5555 pbx.example']);
  const expected: [string, string[]][] = [
    ['sip:10.0.0.2', ['udp 10.0.0.2:5060']],
    ['sip:10.0.0.2:5070;transport=tcp', ['tcp 10.0.0.2:5070']],
    ['sips:10.0.0.2', ['tls 10.0.0.2:5061']],
    ['sips:10.0.0.2;transport=tcp', ['tls 10.0.0.2:5061']],
    ['sip:[2001:db8::2];transport=tls', ['tls 2001:db8::2:5061']],
    ['sip:pbx.example:5080', ['udp 10.0.0.9:5080', 'udp 2001:db8::9:5080']],
    ['sip:pbx.example:5080;transport=tcp', ['tcp 10.0.0.9:5080', 'tcp 2001:db8::9:5080']],
    ['sip:pbx.example;transport=ws', ['ws 10.0.0.9:80', 'ws 2001:db8::9:80']],
  ];
  for (const [uri, places] of expected) t.same(ask(uri).places, places, uri);
  t.equal(nextHopOfText('sips:10.0.0.2;transport=udp'), undefined, 'RFC 3261 §26.2.2: no datagrams under sips');
});

t.test('NAPTR chooses the transport by order and preference, among those that we serve', async (t) => {
  const naming = (order: number, preference: number, service: string, replacement: string) => ({
    order,
    preference,
    flags: 's',
    service,
    replacement,
  });
  const records = [
    naming(50, 50, 'SIPS+D2T', '_sips._tcp.example.com'),
    naming(90, 50, 'SIP+D2T', '_sip._tcp.example.com'),
    naming(100, 50, 'SIP+D2U', '_sip._udp.elsewhere.example'),
  ];
  const prepare = (serves: readonly TransportName[]) => {
    const stage = setUp({ serves });
    stage.resolver.setNaming('example.com', records);
    stage.resolver.setServices('_sips._tcp.example.com', ['0 1 5061 a.example.com']);
    stage.resolver.setServices('_sip._tcp.example.com', ['0 1 5070 a.example.com', '1 1 5071 b.example.com']);
    stage.resolver.setServices('_sip._udp.elsewhere.example', ['0 1 5090 b.example.com']);
    stage.resolver.set('a.example.com', ['10.0.0.1']);
    stage.resolver.set('b.example.com', ['10.0.0.2', '10.0.0.3']);
    return stage;
  };
  const secure = prepare(ALL).ask('sip:bob@example.com');
  t.same(secure.places, ['tls 10.0.0.1:5061']);
  t.equal(secure.targets[0]?.serverName, 'example.com', 'RFC 5922 §4: the certificate is for the name asked for');
  t.same(prepare(['udp', 'tcp']).ask('sip:example.com').places, [
    'tcp 10.0.0.1:5070',
    'tcp 10.0.0.2:5071',
    'tcp 10.0.0.3:5071',
  ]);
  t.same(prepare(['udp']).ask('sip:example.com').places, ['udp 10.0.0.2:5090', 'udp 10.0.0.3:5090']);
  t.same(prepare(['udp', 'tcp']).ask('sips:example.com').places, [], 'sips never falls back to the clear');
  t.same(
    prepare(ALL).ask('sip:example.com;transport=tcp').places?.[0],
    'tcp 10.0.0.1:5070',
    'the URI has the last word',
  );
});

t.test('without NAPTR the services are asked for one by one, and without SRV the address', async (t) => {
  const { resolver, ask } = setUp();
  resolver.setServices('_sip._tcp.example.com', ['0 1 5070 a.example.com']);
  resolver.set('a.example.com', ['10.0.0.1']);
  resolver.set('example.com', ['10.0.0.8']);
  t.same(ask('sip:example.com').places, ['tcp 10.0.0.1:5070'], 'the only transport that it offers');
  t.same(ask('sips:example.com').places, ['tls 10.0.0.8:5061']);
  t.same(ask('sip:example.com;transport=udp').places, ['udp 10.0.0.8:5060']);
  resolver.set('plain.example', ['10.0.0.5']);
  t.same(ask('sip:plain.example').places, ['udp 10.0.0.5:5060']);
  t.same(ask('sip:unknown.example').places, []);
  resolver.setServices('_sip._udp.shut.example', ['0 0 0 .']);
  resolver.set('shut.example', ['10.0.0.6']);
  t.same(ask('sip:shut.example;transport=udp').places, [], 'RFC 2782: decidedly not available');
});

t.test('targets that cannot be resolved are left out, the others stay in order', async (t) => {
  const { resolver, ask } = setUp();
  resolver.setServices('_sip._udp.example.com', ['2 0 5062 c.example', '0 0 5060 gone.example', '1 0 5061 b.example']);
  resolver.set('b.example', ['10.0.0.2']);
  resolver.set('c.example', ['10.0.0.3']);
  t.same(ask('sip:example.com').places, ['udp 10.0.0.2:5061', 'udp 10.0.0.3:5062']);
});

t.test('however many records there are, sixteen places are enough', async (t) => {
  const { resolver, ask } = setUp();
  const addresses = Array.from({ length: 100 }, (_, i) => `10.0.1.${i}`);
  resolver.set('many.example', addresses);
  resolver.setServices(
    '_sip._udp.example.com',
    addresses.map((_, i) => `${i} 0 5060 many.example`),
  );
  t.equal(ask('sip:example.com').places?.length, 16);
  t.equal(ask('sip:many.example:5060').places?.length, 16);
});

t.test('weights share the load as RFC 2782 says', async (t) => {
  const record = (priority: number, weight: number, target: string): ServiceRecord => ({
    priority,
    weight,
    port: 5060,
    target,
  });
  const random = new SeededRandom(7);
  const records = [
    record(1, 60, 'a'),
    record(1, 30, 'b'),
    record(1, 10, 'c'),
    record(1, 0, 'd'),
    record(0, 0, 'first'),
  ];
  const firsts: Record<string, number> = {};
  const draws = 20_000;
  for (let i = 0; i < draws; i++) {
    const ordered = orderServices(records, () => random.float()).map(({ target }) => target);
    if (ordered[0] !== 'first' || new Set(ordered).size !== 5) t.fail(`draw ${i}: ${ordered.join(' ')}`);
    const second = ordered[1] ?? '';
    firsts[second] = (firsts[second] ?? 0) + 1;
  }
  const share = (name: string): number => (firsts[name] ?? 0) / draws;
  t.ok(Math.abs(share('a') - 0.6) < 0.02 && Math.abs(share('b') - 0.3) < 0.02 && Math.abs(share('c') - 0.1) < 0.02);
  t.ok(share('d') > 0 && share('d') < 0.02, 'weight 0 is chosen only seldom');
});

t.test('a server that never answers for NAPTR or SRV costs a bounded time', async (t) => {
  const clock = new ManualClock();
  const { resolver, ask, locator } = setUp({ clock });
  resolver.set('pbx.example', ['10.0.0.2']);
  for (const name of ['_sip._udp', '_sip._tcp', '_sips._tcp']) resolver.fail(`${name}.pbx.example`, 'silence');
  const heard = ask('sip:pbx.example');
  clock.advance(999);
  t.equal(heard.places, undefined);
  clock.advance(1);
  t.same(heard.places, ['udp 10.0.0.2:5060'], 'a second after the address is known');
  resolver.setServices('_sip._udp.pbx.example', ['0 0 5062 pbx.example']);
  const again = ask('sip:pbx.example');
  clock.advance(250);
  t.same(again.places, ['udp 10.0.0.2:5062'], 'with SRV in hand the others are waited for a quarter of a second');
  resolver.fail('dead.example', 'silence');
  const dead = ask('sip:dead.example:5060');
  clock.advance(8_000);
  t.same(dead.places, [], 'nothing at all: eight seconds');
  t.same(locator.dump(), { searches: 0 });
  t.equal(clock.pending, 0);
});

t.test('closing leaves nothing behind and tells nobody', async (t) => {
  const clock = new ManualClock();
  const { locator, ask, answers } = setUp({ clock });
  ask('sip:pbx.example');
  ask('sip:other.example:5060');
  locator.close();
  clock.advance(60_000);
  t.equal(answers(), 0);
  t.equal(clock.pending, 0);
});
