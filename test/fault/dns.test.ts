/** The engine over real sockets and a DNS server of the test: SRV with dead targets (R10), for calls and other requests. */
import t, { type Test } from 'tap';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { NodeNetwork, SystemResolver } from '../../src/net/index.js';
import { type EngineHandler, type SipEngine, createEngine } from '../../src/sip/index.js';
import { startDnsServer } from '../support/dnsServer.js';

const [DNS, US, BUSY, ALIVE] = ['127.0.31.20', '127.0.31.21', '127.0.31.22', '127.0.31.23'] as const;
const REFUSING = '127.0.31.24';

const open = async (
  t: Test,
  address: string,
  handler: EngineHandler,
  resolver: SystemResolver,
): Promise<{ engine: SipEngine; port: string }> => {
  const clock = new SystemClock();
  const engine = await createEngine({
    network: new NodeNetwork({ clock }),
    clock,
    random: new SystemRandom(),
    resolver,
    listen: [{ transport: 'udp', address, port: 0 }],
    handler,
  });
  t.teardown(() => engine.stop());
  return { engine, port: (engine.listening[0] as string).split(':').at(-1) as string };
};

const stage = async (t: Test) => {
  const dns = await startDnsServer(DNS, 0);
  const hostsFile = t.testdir({ hosts: '' }) + '/hosts';
  const resolver = new SystemResolver({ servers: [dns.address], timeoutMs: 250, tries: 1, hostsFile });
  t.teardown(async () => {
    resolver.close();
    await dns.close();
  });
  const seen: string[] = [];
  const answers = (name: string, status: number): EngineHandler => ({
    onInvite: (invite) => {
      seen.push(`${name} ${invite.request.method} ${invite.request.uri}`);
      invite.listener = { onCancel: () => {}, onAck: () => {} };
      invite.respond(status);
    },
    onRequest: (request) => {
      seen.push(`${name} ${request.request.method}`);
      request.respond(status);
    },
  });
  const busy = await open(t, BUSY, answers('busy', 503), resolver);
  const alive = await open(t, ALIVE, answers('alive', 200), resolver);
  const us = await open(t, US, answers('us', 200), resolver);
  dns.set('_sip._udp.pbx.example', 'srv', {
    records: [`0 1 ${alive.port} refusing.example`, `1 1 ${busy.port} busy.example`, `2 1 ${alive.port} alive.example`],
    ttlSeconds: 60,
  });
  for (const [name, address] of Object.entries({ refusing: REFUSING, busy: BUSY, alive: ALIVE })) {
    dns.set(`${name}.example`, 'a', { addresses: [address], ttlSeconds: 60 });
  }
  return { dns, us: us.engine, seen };
};

t.test('a request goes to the next SRV target after a refused port, and after a 503', async (t) => {
  const { dns, us, seen } = await stage(t);
  const final = (): Promise<string> =>
    new Promise((resolve) => {
      const sent = us.request(
        { method: 'OPTIONS', uri: 'sip:pbx.example' },
        { onResponse: (response, origin) => resolve(`${response.status} ${origin}`) },
      );
      if ('refusal' in sent) resolve(sent.refusal);
    });
  t.equal(await final(), '200 network');
  t.same(seen, ['busy OPTIONS', 'alive OPTIONS']);
  dns.mute(true);
  t.equal(await final(), '200 network', 'DNS is dead, and nobody notices');
});

t.test('an INVITE, too: each target gets a branch of its own, the Request-URI stays', async (t) => {
  const { us, seen } = await stage(t);
  const answered = await new Promise<string>((resolve) => {
    const sent = us.invite(
      { uri: 'sip:bob@pbx.example' },
      {
        onProvisional: () => {},
        onAnswered: (response, dialog) => {
          dialog.ack();
          dialog.request('BYE', {}, { onResponse: () => {} });
          resolve(`${response.status} via ${response.topVia.branch ?? ''}`);
        },
        onFailed: (response, origin) => resolve(`${response.status} ${origin}`),
      },
    );
    if ('refusal' in sent) resolve(sent.refusal);
  });
  t.match(answered, /^200 via z9hG4bK/);
  t.same(seen.slice(0, 2), ['busy INVITE sip:bob@pbx.example', 'alive INVITE sip:bob@pbx.example']);
});

t.test('locate names the places in order', async (t) => {
  const { us } = await stage(t);
  const places = await new Promise<readonly string[]>((resolve) =>
    us.locate('sip:pbx.example', (targets) =>
      resolve(targets.map(({ transport, address, serverName }) => `${transport} ${address} ${serverName}`)),
    ),
  );
  t.same(
    places,
    [REFUSING, BUSY, ALIVE].map((address) => `udp ${address} pbx.example`),
  );
});
