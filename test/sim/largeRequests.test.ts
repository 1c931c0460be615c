/** RFC 3261 §18.1.1: requests too long for a datagram of unknown path, against real engines on a simulated network. */
import t from 'tap';
import { SimResolver } from '../../src/net/index.js';
import {
  type EngineHandler,
  type SipEngine,
  type SipNetwork,
  type TransportName,
  createEngine,
} from '../../src/sip/index.js';
import { SimEngines } from '../support/simEngines.js';

const [US, PEER, NOWHERE] = ['10.0.0.1', '10.0.0.2', '10.0.0.99'] as const;
const LONG = Buffer.from(`v=0\r\n${'a=x\r\n'.repeat(400)}`);
const SHORT = Buffer.from('v=0\r\n');

interface Seen {
  readonly transport: string;
  readonly method: string;
  readonly via: string;
  readonly contact: string;
}

const open = async (
  sim: SimEngines,
  address: string,
  transports: readonly TransportName[],
  options: { handler?: EngineHandler; largeRequests?: 'tcp' | 'udp'; network?: SipNetwork } = {},
): Promise<SipEngine> => {
  const { handler = { onInvite: () => {}, onRequest: (request) => void request.respond(200) } } = options;
  const engine = await createEngine({
    network: options.network ?? sim.world.host(address),
    clock: sim.clock,
    random: sim.random,
    resolver: new SimResolver({}, { clock: sim.clock }),
    listen: transports.map((transport) => ({ transport, address, port: 5060 })),
    handler,
    largeRequests: options.largeRequests,
    onEvent: (event) => {
      if (event.type === 'user_error') sim.errors.push(event.error);
    },
  });
  sim.engines.push(engine);
  return engine;
};

const stage = async (
  transports: readonly TransportName[],
  largeRequests: 'tcp' | 'udp' = 'tcp',
  tcpIsSwallowed = false,
) => {
  const sim = new SimEngines(41);
  const seen: Seen[] = [];
  await open(sim, PEER, transports, {
    handler: {
      onInvite: (invite) => {
        const { request, source } = invite;
        const [via = '', contact = ''] = [request.header('Via'), request.header('Contact')];
        seen.push({ transport: source.transport, method: 'INVITE', via, contact });
        invite.listener = { onCancel: () => {}, onAck: () => {} };
        invite.respond(200, { body: SHORT });
        if (invite.dialog === undefined) return;
        invite.dialog.listener = {
          onRequest: (request) => {
            seen.push({ transport: request.source.transport, method: request.request.method, via: '', contact: '' });
            request.respond(200);
          },
          onInvite: () => {},
          onTerminated: () => {},
        };
      },
      onRequest: (request) => void request.respond(200),
    },
  });
  const host = sim.world.host(US);
  sim.world.host(NOWHERE).blackholed = true;
  const network: SipNetwork = {
    bindDatagram: (local, sink) => host.bindDatagram(local, sink),
    listenStream: (local, accept) => host.listenStream(local, accept),
    connectStream: (remote, sink, how) =>
      host.connectStream(tcpIsSwallowed ? { ...remote, address: NOWHERE } : remote, sink, how),
  };
  const us = await open(sim, US, ['udp', 'tcp'], { largeRequests, network });
  /** One call; how it was answered, and after how many milliseconds. */
  const call = (body: Buffer, uri = `sip:bob@${PEER}`): { answer: string; afterMs: number } => {
    const startMs = sim.clock.nowMs();
    let answer = '';
    let afterMs = 0;
    us.invite(
      { uri, body },
      {
        onProvisional: () => {},
        onAnswered: (response, dialog) => {
          afterMs = sim.clock.nowMs() - startMs;
          dialog.ack();
          dialog.request('BYE', {}, { onResponse: () => (answer = String(response.status)) });
        },
        onFailed: (response, origin) => (answer = `${response.status} ${origin}`),
      },
    );
    for (let i = 0; i < 60_000 && answer === ''; i++) sim.clock.advance(1);
    return { answer, afterMs };
  };
  return { sim, seen, call };
};

t.test('a long INVITE goes over TCP, with a Via that says so, and our Contact stays where it was', async (t) => {
  const { sim, seen, call } = await stage(['udp', 'tcp']);
  t.equal(call(LONG).answer, '200');
  t.equal(call(SHORT).answer, '200');
  t.match(seen[0], { transport: 'tcp', via: /^SIP\/2\.0\/TCP 10\.0\.0\.1:5060/, contact: '<sip:10.0.0.1:5060>' });
  t.same(
    seen.map(({ transport, method }) => `${transport} ${method}`),
    ['tcp INVITE', 'tcp BYE', 'udp INVITE', 'udp BYE'],
    'the BYE goes where the Contact of the answer says',
  );
  t.same(sim.errors, []);
});

t.test('where the URI names UDP, or the setting does, it stays UDP', async (t) => {
  const pinned = await stage(['udp', 'tcp']);
  t.equal(pinned.call(LONG, `sip:bob@${PEER};transport=udp`).answer, '200');
  t.equal(pinned.seen[0]?.transport, 'udp');
  const off = await stage(['udp', 'tcp'], 'udp');
  t.equal(off.call(LONG).answer, '200');
  t.equal(off.seen[0]?.transport, 'udp');
});

t.test('a peer that refuses TCP gets it by UDP at once, and is not asked again', async (t) => {
  const { seen, call, sim } = await stage(['udp']);
  const first = call(LONG);
  t.equal(first.answer, '200');
  t.ok(first.afterMs < 50, `after ${first.afterMs} ms`);
  t.match(seen[0], { transport: 'udp', via: /^SIP\/2\.0\/UDP/ });
  const before = sim.world.trace.length;
  t.equal(call(LONG).answer, '200');
  t.notOk(
    sim.world.trace.slice(before).some(({ kind }) => kind === 'tcp'),
    'for ten minutes',
  );
});

t.test('TCP that a firewall swallows costs a second and a half, once', async (t) => {
  const { seen, call } = await stage(['udp', 'tcp'], 'tcp', true);
  const first = call(LONG);
  t.equal(first.answer, '200');
  t.ok(first.afterMs >= 1_500 && first.afterMs < 1_600, `after ${first.afterMs} ms`);
  t.ok(call(LONG).afterMs < 50);
  t.equal(
    seen.filter(({ method }) => method === 'INVITE').every(({ transport }) => transport === 'udp'),
    true,
  );
});
