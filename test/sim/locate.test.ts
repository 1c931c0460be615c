/** R10: names that lead to several places, and DNS that does not work. */
import t from 'tap';
import type { Clock } from '../../src/kernel/index.js';
import { type Ask, RecordCache } from '../../src/net/recordCache.js';
import { SimResolver } from '../../src/net/index.js';
import type { EngineHandler, HostResolver } from '../../src/sip/index.js';
import { CARRIER, DID, EXCHANGE, SimExchange } from '../support/simExchange.js';
import { SimEngines } from '../support/simEngines.js';

const NAME = 'pbx.example';
const NAMED_DID = '+918040000077';
const [DEAD, REFUSING, BUSY, ALIVE] = ['10.0.1.1', '10.0.1.2', '10.0.1.3', '10.0.1.4'] as const;
const TTL_MS = 30_000;

const NAMED_TRUNK = {
  trunk_sid: 'named',
  account_sid: 'acc',
  trunk_name: 'named',
  whitelisted_ips: [],
  destination_uris: [{ destination: NAME, priority: 0, weight: 1 }],
  phone_numbers: [{ phone_number: NAMED_DID, mode: 'pstn', carrier: 'telco' }],
};

const answering = (seen: string[]): EngineHandler => ({
  onInvite: (invite) => {
    seen.push('INVITE');
    invite.listener = { onCancel: () => {}, onAck: () => {} };
    invite.respond(200, { body: Buffer.from('v=0\r\n') });
    if (invite.dialog !== undefined) {
      invite.dialog.listener = {
        onRequest: (request) => void request.respond(200),
        onInvite: () => {},
        onTerminated: () => {},
      };
    }
  },
  onRequest: (request) => {
    seen.push(request.request.method);
    request.respond(200);
  },
});

/** The resolver's memory over simulated DNS: DNS that does not answer is known to be dead after 6 s. */
const remembered = (dns: SimResolver, clock: Clock): HostResolver => {
  const cache = <V extends { readonly ok: true }>(
    look: (name: string, answer: (outcome: V | { readonly ok: false; readonly code: string }) => void) => void,
  ): HostResolver['resolve'] => {
    const ask: Ask<V> = (name, question) => {
      let done = false;
      const timer = clock.setTimer('sim.dns.timeout', 6_000, () => {
        done = true;
        question.onDone({ code: 'ETIMEOUT' });
      });
      look(name, (outcome) => {
        if (done) return;
        timer.cancel();
        question.onDone(outcome.ok ? { value: outcome, ttlMs: TTL_MS } : { code: outcome.code });
      });
      return () => timer.cancel();
    };
    const records = new RecordCache<V>(clock, ask);
    return (name, answer) =>
      records.look(name, (found) => (answer as (outcome: unknown) => void)(found.ok ? found.value : found));
  };
  return {
    resolve: cache((name, answer) => dns.resolve(name, answer as never)),
    resolveServices: cache((name, answer) => dns.resolveServices(name, answer as never)) as never,
    resolveNaming: cache((name, answer) => dns.resolveNaming(name, answer as never)) as never,
  };
};

async function stage(seed: number) {
  const sim = new SimEngines(seed);
  const { clock } = sim;
  const dns = new SimResolver({}, { clock, delayMs: 5 });
  const exchange = await SimExchange.open(sim, { resolver: remembered(dns, clock), trunks: [NAMED_TRUNK] });
  exchange.gateways.start();
  const carrier = await sim.engine(CARRIER, { onInvite: () => {}, onRequest: () => {} });
  const pbx: string[] = [];
  await sim.engine('10.0.0.3', answering(pbx));
  sim.world.host(DEAD).blackholed = true;
  sim.world.host(REFUSING);
  await sim.engine(BUSY, { onInvite: (invite) => void invite.respond(503), onRequest: (r) => void r.respond(503) });
  const alive: string[] = [];
  await sim.engine(ALIVE, answering(alive));
  /** Begins a call; `answeredMs` is set with its 200. */
  const begin = (did: string): { answeredMs: number | undefined; status: number } => {
    const from = clock.nowMs();
    const call: { answeredMs: number | undefined; status: number } = { answeredMs: undefined, status: 0 };
    carrier.invite(
      { uri: `sip:${did}@${EXCHANGE}`, from: '<sip:+919812345678@localhost>', body: Buffer.from('v=0\r\n') },
      {
        onProvisional: () => {},
        onAnswered: (_response, dialog) => {
          call.answeredMs = clock.nowMs() - from;
          dialog.ack();
          dialog.request('BYE', {}, { onResponse: () => (call.status = 200) });
        },
        onFailed: (response) => (call.status = response.status),
      },
    );
    return call;
  };
  const finish = (calls: readonly { status: number }[]): void => {
    for (let turn = 0; turn < 120_000 && calls.some(({ status }) => status === 0); turn++) clock.advance(1);
  };
  const call = (did = NAMED_DID) => {
    const one = begin(did);
    finish([one]);
    return one;
  };
  return { sim, clock, dns, exchange, alive, begin, finish, call };
}

const threeDead = (dns: SimResolver): void => {
  dns.setServices(`_sip._udp.${NAME}`, [
    '0 1 5060 dead.example',
    '1 1 5060 refusing.example',
    '2 1 5060 busy.example',
    '3 1 5060 alive.example',
  ]);
  dns.set('dead.example', [DEAD]);
  dns.set('refusing.example', [REFUSING]);
  dns.set('busy.example', [BUSY]);
  dns.set('alive.example', [ALIVE]);
};

t.test(
  'R10: SRV with dead targets: every call completes, the account names each place, no other call waits',
  async (t) => {
    const { dns, exchange, alive, begin, finish, call, sim } = await stage(31);
    threeDead(dns);
    const first = begin(NAMED_DID);
    const others = Array.from({ length: 20 }, () => begin(DID));
    finish([first, ...others]);
    t.equal(first.status, 200);
    t.ok((first.answeredMs ?? 0) >= 3_000 && (first.answeredMs ?? Infinity) < 3_200, `after ${first.answeredMs} ms`);
    const slowest = Math.max(...others.map(({ answeredMs }) => answeredMs ?? Infinity));
    t.ok(slowest < 50, `another call took ${slowest} ms`);
    const record = exchange.recorder.records.find(({ attempts }) => attempts.length > 1);
    t.match(record?.attempts, [
      { target: `${DEAD}:5060;transport=udp`, result: 'silence' },
      { target: `${REFUSING}:5060;transport=udp`, result: 'transport_error' },
      { target: `${BUSY}:5060;transport=udp`, result: 'response', sipStatus: 503 },
      { target: `${ALIVE}:5060;transport=udp`, result: 'answered' },
    ]);
    for (let n = 0; n < 100; n++) {
      const { status, answeredMs } = call();
      if (status !== 200 || (answeredMs ?? Infinity) > 50) t.fail(`call ${n}: ${status} after ${answeredMs} ms`);
    }
    t.equal(alive.filter((method) => method === 'INVITE').length, 101, 'dead places are skipped');
    t.match(
      exchange.gateways.list().filter((line) => 'of' in line && line.of === NAME),
      [{ state: 'down' }, { state: 'down' }, { state: 'down' }],
    );
    t.equal(exchange.gateways.health.isDown(NAME), false, 'the gateway itself is up: one of its places serves');
    t.same(sim.errors, []);
  },
);

t.test('a 503 after ringing, or a busy callee, is not asked for elsewhere in the same name', async (t) => {
  const { dns, exchange, begin, finish, sim } = await stage(32);
  dns.setServices(`_sip._udp.${NAME}`, ['0 1 5060 one.example', '1 1 5060 alive.example']);
  dns.set('one.example', ['10.0.1.9']);
  dns.set('alive.example', [ALIVE]);
  await sim.engine('10.0.1.9', { onInvite: (invite) => void invite.respond(486), onRequest: () => {} });
  const call = begin(NAMED_DID);
  finish([call]);
  t.equal(call.status, 486);
  t.match(exchange.recorder.records.at(-1)?.attempts, [{ result: 'response', sipStatus: 486 }]);
  t.equal(exchange.recorder.records.at(-1)?.attempts.length, 1);
});

t.test('R10: DNS dead for ten minutes and more: known names serve on, and nobody waits for it', async (t) => {
  const { clock, dns, begin, finish, call } = await stage(33);
  threeDead(dns);
  dns.setServices(`_sip._udp.${NAME}`, ['0 1 5060 alive.example']);
  t.equal(call().status, 200);
  for (const name of [NAME, `_sip._udp.${NAME}`, `_sip._tcp.${NAME}`, `_sips._tcp.${NAME}`, 'alive.example']) {
    dns.fail(name, 'silence');
  }
  let worstMs = 0;
  for (let minute = 0; minute < 20; minute++) {
    const calls = [begin(NAMED_DID), begin(DID), begin(NAMED_DID)];
    finish(calls);
    t.same(
      calls.map(({ status }) => status),
      [200, 200, 200],
    );
    worstMs = Math.max(worstMs, ...calls.map(({ answeredMs }) => answeredMs ?? Infinity));
    clock.advance(60_000);
  }
  t.ok(worstMs <= 100, `the slowest of sixty calls took ${worstMs} ms`);
});

t.test('R10: NXDOMAIN: the next destination at once, 503 where there is none, other calls undisturbed', async (t) => {
  const { exchange, begin, finish } = await stage(34);
  const calls = [begin(NAMED_DID), begin(DID)];
  finish(calls);
  t.equal(calls[0]?.status, 503);
  t.equal(calls[1]?.status, 200);
  t.ok((calls[1]?.answeredMs ?? Infinity) < 50);
  t.match(exchange.recorder.records.find(({ reasonCode }) => reasonCode === 'destination_unresolved')?.attempts, [
    { result: 'unresolved_host', sipStatus: 0 },
  ]);
});

t.test('R10: DNS that takes 5 s: the call takes its time and completes, the others do not wait', async (t) => {
  const { dns, begin, finish, call, clock } = await stage(35);
  threeDead(dns);
  dns.setServices(`_sip._udp.${NAME}`, ['0 1 5060 alive.example']);
  dns.delayMs = 5_000;
  const slow = [begin(NAMED_DID), begin(NAMED_DID)];
  const others = Array.from({ length: 20 }, () => begin(DID));
  finish([...slow, ...others]);
  t.same(
    slow.map(({ status }) => status),
    [200, 200],
  );
  const slowest = Math.max(...others.map(({ answeredMs }) => answeredMs ?? Infinity));
  t.ok(slowest < 50, `another call took ${slowest} ms`);
  clock.advance(TTL_MS);
  t.ok((call().answeredMs ?? Infinity) < 150, 'later calls have what is known while it is asked anew');
});

t.test('a caller who hangs up during the lookup ends the call; a late answer of DNS changes nothing', async (t) => {
  const { sim, clock, dns, exchange } = await stage(36);
  threeDead(dns);
  dns.delayMs = 2_000;
  const carrier = sim.engines[0];
  const invite = carrier?.invite(
    { uri: `sip:${NAMED_DID}@${EXCHANGE}`, from: '<sip:+919812345678@localhost>', body: Buffer.from('v=0\r\n') },
    { onProvisional: () => {}, onAnswered: () => t.fail('answered'), onFailed: () => {} },
  );
  clock.advance(500);
  if (invite !== undefined && 'cancel' in invite) invite.cancel();
  clock.advance(60_000);
  t.equal(exchange.recorder.records.at(-1)?.outcome, 'cancelled');
  t.match(exchange.alive(), { calls: 0, legs: 0, clientTransactions: 0 });
  t.same(sim.errors, []);
});
