import { EventEmitter, once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ManualClock } from '../../src/kernel/index.js';
import { type ResolveOutcome, SimResolver, SystemResolver } from '../../src/net/index.js';
import { type DnsServer, startDnsServer } from '../support/dnsServer.js';

const IP = '127.0.31.5';
const NAME = 'pbx.example';

interface Setting {
  readonly clock: ManualClock;
  readonly dns: DnsServer;
  readonly resolver: SystemResolver;
  readonly hostsFile: string;
  /** The addresses of a name, or the code of the failure. */
  addresses(host: string): Promise<readonly string[] | string>;
}

let current: Setting | undefined;

const setUp = async (
  options: { timeoutMs?: number; hosts?: string; systemLookup?: boolean } = {},
): Promise<Setting> => {
  const clock = new ManualClock();
  const dns = await startDnsServer(IP, 0);
  const hostsFile = join(t.testdir({ hosts: options.hosts ?? '' }), 'hosts');
  const timeoutMs = options.timeoutMs ?? 250;
  const servers = [dns.address];
  const systemLookup = options.systemLookup ?? false;
  const resolver = new SystemResolver({ clock, servers, timeoutMs, tries: 1, hostsFile, systemLookup });
  const addresses = (host: string): Promise<readonly string[] | string> => {
    let answers = 0;
    return new Promise((resolve, reject) => {
      resolver.resolve(host, (outcome) => {
        if (++answers > 1) reject(new Error(`${host} was answered twice`));
        resolve(outcome.ok ? outcome.addresses : outcome.code);
      });
    });
  };
  return (current = { clock, dns, resolver, hostsFile, addresses });
};

t.afterEach(async () => {
  const setting = current;
  current = undefined;
  if (setting === undefined) return;
  setting.resolver.close();
  await setting.dns.close();
  if (setting.clock.pending > 0) throw new Error(`timers are left: ${JSON.stringify(setting.clock.dump())}`);
  if (setting.resolver.dump().pending > 0) throw new Error('lookups are left');
});

t.test('addresses and localhost are answered within the call, without DNS', async (t) => {
  const { dns, resolver } = await setUp();
  const expected: [string, string[]][] = [
    ['192.0.2.7', ['192.0.2.7']],
    ['::1', ['::1']],
    ['[2001:db8::1]', ['2001:db8::1']],
    ['localhost', ['127.0.0.1', '::1']],
    ['LocalHost.', ['127.0.0.1', '::1']],
  ];
  for (const [host, addresses] of expected) {
    let answer: ResolveOutcome | undefined;
    resolver.resolve(host, (outcome) => (answer = outcome));
    t.same(answer, { ok: true, addresses });
  }
  for (const host of ['', 'x'.repeat(254)]) {
    let answer: ResolveOutcome | undefined;
    resolver.resolve(host, (outcome) => (answer = outcome));
    t.same(answer, { ok: false, code: 'EBADNAME' });
  }
  t.same(dns.questions, []);
});

t.test('A and AAAA records come together, IPv4 first, and are kept for the shortest TTL', async (t) => {
  const { clock, dns, addresses } = await setUp();
  dns.set(NAME, 'a', { addresses: ['192.0.2.1', '192.0.2.2'], ttlSeconds: 60 });
  dns.set(NAME, 'aaaa', { addresses: ['2001:db8::7'], ttlSeconds: 30 });
  const all = ['192.0.2.1', '192.0.2.2', '2001:db8::7'];
  t.same([...(await addresses(NAME))].sort(), all);
  t.equal(dns.questions.length, 2);
  clock.advance(29_999);
  t.equal((await addresses('PBX.example.')).at(-1), '2001:db8::7', 'names have no case and no final dot');
  t.equal(dns.questions.length, 2, 'from memory');
  dns.set(NAME, 'a', { addresses: ['192.0.2.9'], ttlSeconds: 60 });
  clock.advance(2);
  t.same(await addresses(NAME), ['192.0.2.9', '2001:db8::7']);
  t.equal(dns.questions.length, 4);
});

t.test('a TTL of 0 counts as a second, one of a week as an hour', async (t) => {
  const { clock, dns, addresses } = await setUp();
  dns.set('short.example', 'a', { addresses: ['192.0.2.1'], ttlSeconds: 0 });
  dns.set('long.example', 'a', { addresses: ['192.0.2.2'], ttlSeconds: 604_800 });
  for (const name of ['short.example', 'long.example']) await addresses(name);
  clock.advance(999);
  for (const name of ['short.example', 'long.example']) await addresses(name);
  t.equal(dns.questions.length, 4);
  clock.advance(1);
  await addresses('short.example');
  t.equal(dns.questions.length, 6);
  clock.advance(3_598_999);
  await addresses('long.example');
  t.equal(dns.questions.length, 6);
  clock.advance(1);
  await addresses('long.example');
  t.equal(dns.questions.length, 8);
});

t.test('absence and failure are kept for 5 s', async (t) => {
  const { clock, dns, addresses } = await setUp();
  dns.set('none.example', 'a', 'nxdomain');
  dns.set('none.example', 'aaaa', 'nxdomain');
  dns.set('broken.example', 'a', 'servfail');
  dns.set('broken.example', 'aaaa', 'servfail');
  t.equal(await addresses('none.example'), 'ENOTFOUND');
  t.equal(await addresses('empty.example'), 'ENODATA');
  t.equal(await addresses('broken.example'), 'ESERVFAIL');
  const asked = dns.questions.length;
  clock.advance(4_999);
  for (const name of ['none.example', 'empty.example', 'broken.example']) await addresses(name);
  t.equal(dns.questions.length, asked);
  clock.advance(1);
  dns.set('none.example', 'a', { addresses: ['192.0.2.3'], ttlSeconds: 60 });
  t.same(await addresses('none.example'), ['192.0.2.3'], 'one family is enough');
});

t.test('questions for one name at one time are asked once', async (t) => {
  const { dns, addresses } = await setUp();
  dns.set(NAME, 'a', { addresses: ['192.0.2.1'], ttlSeconds: 60 });
  const answers = await Promise.all(Array.from({ length: 20 }, () => addresses(NAME)));
  t.same(answers, Array(20).fill(['192.0.2.1']));
  t.equal(dns.questions.length, 2);
});

t.test('while DNS is dead, answers serve on for a day: after 40 ms, then at once', async (t) => {
  const { clock, dns, resolver, addresses } = await setUp();
  dns.set(NAME, 'a', { addresses: ['192.0.2.1'], ttlSeconds: 10 });
  t.same(await addresses(NAME), ['192.0.2.1']);
  dns.mute(true);
  clock.advance(10_000);
  let told = 0;
  resolver.resolve(NAME, () => told++);
  clock.advance(39);
  t.equal(told, 0);
  clock.advance(1);
  t.equal(told, 1, 'given out of date while the question is still open');
  t.equal((await addresses(NAME)) instanceof Array, true, 'and at once to those who come now');
  t.equal(told, 1);
  for (let i = 0; resolver.dump().pending > 0 && i < 20; i++) await addresses(`wait${i}.example`);
  const asked = dns.questions.length;
  t.same(await addresses(NAME), ['192.0.2.1']);
  t.equal(dns.questions.filter((question) => question.endsWith(NAME)).length, 4, 'a failure is not retried for 5 s');
  clock.advance(5_000);
  t.same(await addresses(NAME), ['192.0.2.1'], 'then it is');
  t.ok(dns.questions.length > asked);
  clock.advance(600_000);
  t.same(await addresses(NAME), ['192.0.2.1'], 'ten minutes are nothing');
  clock.advance(86_400_000);
  t.equal(await addresses(NAME), 'ETIMEOUT', 'after a day it is too old');
  dns.mute(false);
  clock.advance(5_000);
  t.same(await addresses(NAME), ['192.0.2.1'], 'and DNS is back');
});

t.test('DNS that says a name is gone is believed, however fresh the memory', async (t) => {
  const { clock, dns, addresses } = await setUp();
  dns.set(NAME, 'a', { addresses: ['192.0.2.1'], ttlSeconds: 1 });
  await addresses(NAME);
  dns.set(NAME, 'a', 'nxdomain');
  dns.set(NAME, 'aaaa', 'nxdomain');
  clock.advance(1_000);
  t.equal(await addresses(NAME), 'ENOTFOUND');
});

t.test('a server that ignores AAAA questions costs a quarter of a second, not a timeout', async (t) => {
  const { clock, dns, resolver, addresses } = await setUp({ timeoutMs: 1_000 });
  dns.set(NAME, 'a', { addresses: ['192.0.2.1'], ttlSeconds: 60 });
  dns.set(NAME, 'aaaa', 'silence');
  const heard = new EventEmitter();
  const answered = once(heard, 'answer');
  resolver.resolve(NAME, (outcome) => heard.emit('answer', outcome));
  // The timer is set when the A record is in; other questions pass the time until then.
  for (let i = 0; clock.pending === 0 && i < 1_000; i++) await addresses(`other${i}.example`);
  clock.advance(250);
  t.same(await answered, [{ ok: true, addresses: ['192.0.2.1'] }]);
});

t.test('the hosts file comes first', async (t) => {
  const hosts =
    '127.0.0.1 localhost\n# 10.9.9.9 pbx.example\n10.1.1.1\tother PBX.example # comment\n::7 pbx.example\nbad pbx.example\n';
  const { clock, dns, hostsFile, addresses } = await setUp({ hosts });
  dns.set(NAME, 'a', { addresses: ['192.0.2.1'], ttlSeconds: 60 });
  t.same(await addresses(NAME), ['10.1.1.1', '::7']);
  t.same(dns.questions, []);
  writeFileSync(hostsFile, '');
  clock.advance(10_000);
  t.same(await addresses(NAME), ['192.0.2.1'], 'read again after 10 s');
});

t.test('a name that DNS does not know is asked of the system', async (t) => {
  const { clock, dns, addresses } = await setUp({ systemLookup: true });
  // The C library's own reading of a short address: an answer that no DNS server had a part in.
  t.same(await addresses('127.1'), ['127.0.0.1']);
  const asked = dns.questions.length;
  clock.advance(9_999);
  t.same(await addresses('127.1'), ['127.0.0.1']);
  t.equal(dns.questions.length, asked, 'kept for 10 s');
});

t.test('closing answers everybody who waits', async (t) => {
  const { dns, resolver, addresses } = await setUp();
  dns.mute(true);
  const waiting = [addresses(NAME), addresses(NAME), addresses('other.example')];
  resolver.close();
  t.same(await Promise.all(waiting), ['ECANCELLED', 'ECANCELLED', 'ECANCELLED']);
  t.equal(await addresses(NAME), 'ECANCELLED');
});

t.test('SRV and NAPTR records are found, kept, and served while DNS is dead', async (t) => {
  const { clock, dns, resolver } = await setUp();
  const services = (name: string) =>
    new Promise((resolve) => resolver.resolveServices(name, (outcome) => resolve(outcome)));
  const naming = (name: string) =>
    new Promise((resolve) => resolver.resolveNaming(name, (outcome) => resolve(outcome)));
  dns.set('_sip._udp.example.com', 'srv', { records: ['1 20 5070 a.example.com', '2 0 5060 .'], ttlSeconds: 60 });
  dns.set('example.com', 'naptr', { records: ['50 60 s SIPS+D2T _sips._tcp.example.com'], ttlSeconds: 60 });
  const found = {
    ok: true,
    records: [
      { priority: 1, weight: 20, port: 5070, target: 'a.example.com' },
      { priority: 2, weight: 0, port: 5060, target: '.' },
    ],
  };
  t.same(await services('_sip._udp.Example.com.'), found);
  t.same(await naming('example.com'), {
    ok: true,
    records: [{ order: 50, preference: 60, flags: 's', service: 'SIPS+D2T', replacement: '_sips._tcp.example.com' }],
  });
  t.same(await services('_sip._tcp.example.com'), { ok: false, code: 'ENODATA' });
  t.same(await services('localhost'), { ok: false, code: 'ENODATA' }, 'never sent to DNS');
  t.same(dns.questions, ['srv _sip._udp.example.com', 'naptr example.com', 'srv _sip._tcp.example.com']);
  await services('_sip._udp.example.com');
  t.equal(dns.questions.length, 3, 'from memory');
  dns.mute(true);
  clock.advance(60_000);
  const late = services('_sip._udp.example.com');
  clock.advance(40);
  t.same(await late, found);
});

t.test('the simulated resolver says what it is told', async (t) => {
  const clock = new ManualClock();
  const resolver = new SimResolver({ [NAME]: ['10.0.0.2'] }, { clock, delayMs: 20 });
  resolver.fail('dead.example', 'ETIMEOUT');
  resolver.fail('silent.example', 'silence');
  const answers: ResolveOutcome[] = [];
  for (const host of ['[::1]', 'PBX.example', 'dead.example', 'silent.example', 'unknown.example']) {
    resolver.resolve(host, (outcome) => answers.push(outcome));
  }
  t.same(answers, [{ ok: true, addresses: ['::1'] }]);
  clock.advance(20);
  t.same(answers.slice(1), [
    { ok: true, addresses: ['10.0.0.2'] },
    { ok: false, code: 'ETIMEOUT' },
    { ok: false, code: 'ENOTFOUND' },
  ]);
  t.same(resolver.asked, ['PBX.example', 'dead.example', 'silent.example', 'unknown.example']);
  let within = false;
  new SimResolver({ a: ['10.0.0.1'] }).resolve('a', () => (within = true));
  t.ok(within, 'without a clock it answers within the call');
});
