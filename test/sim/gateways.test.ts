/** R8: what a destination that does not answer costs calls. */
import t from 'tap';
import type { EngineHandler, IncomingInvite } from '../../src/sip/index.js';
import { CARRIER, DID, EXCHANGE, PBX, SECOND_PBX, SimExchange } from '../support/simExchange.js';
import { SimEngines } from '../support/simEngines.js';

const answering = (seen: string[]): EngineHandler => ({
  onInvite: (invite: IncomingInvite) => {
    seen.push('INVITE');
    invite.listener = { onCancel: () => {}, onAck: () => {} };
    invite.respond(200, { body: Buffer.from('v=0\r\n') });
    if (invite.dialog !== undefined)
      invite.dialog.listener = {
        onRequest: (request) => void request.respond(200),
        onInvite: () => {},
        onTerminated: () => {},
      };
  },
  onRequest: (request) => {
    seen.push(request.request.method);
    request.respond(200);
  },
});

async function stage(seed: number) {
  const sim = new SimEngines(seed);
  const exchange = await SimExchange.open(sim);
  exchange.gateways.start();
  const carrier = await sim.engine(CARRIER, { onInvite: () => {}, onRequest: () => {} });
  /** One whole call; the time from INVITE to 200 in milliseconds, or undefined when it failed. */
  const call = (): number | undefined => {
    const from = sim.clock.nowMs();
    let answeredMs: number | undefined;
    let over = false;
    carrier.invite(
      { uri: `sip:${DID}@${EXCHANGE}`, from: '<sip:+919812345678@localhost>', body: Buffer.from('v=0\r\n') },
      {
        onProvisional: () => {},
        onAnswered: (_response, dialog) => {
          answeredMs = sim.clock.nowMs() - from;
          dialog.ack();
          dialog.request('BYE', {}, { onResponse: () => (over = true) });
        },
        onFailed: () => (over = true),
      },
    );
    for (let turn = 0; turn < 40_000 && !over; turn++) sim.clock.advance(1);
    return answeredMs;
  };
  return { sim, exchange, call };
}

t.test(
  'a black-holed destination costs the first call 3 s, later calls nothing; an answered probe brings it back',
  async (t) => {
    const { sim, exchange, call } = await stage(11);
    const second: string[] = [];
    await sim.engine(SECOND_PBX, answering(second));
    sim.world.host(PBX).blackholed = true;
    const first = call();
    t.ok(first !== undefined && first >= 2_900 && first <= 3_100, `the next destination after ${first} ms`);
    for (let n = 0; n < 20; n++) {
      const ms = call() ?? Infinity;
      if (ms > 50) t.fail(`call ${n} took ${ms} ms`);
    }
    t.equal(second.filter((method) => method === 'INVITE').length, 21);
    t.match(exchange.recorder.records.at(-1)?.decision.destinations, [
      { gateway: `${SECOND_PBX}:5060` },
      { gateway: `${PBX}:5060`, down: true },
    ]);
    sim.clock.advance(120_000);
    t.ok((call() ?? Infinity) < 50, 'no call is spent on finding out, however long it lasts');

    const back: string[] = [];
    sim.world.host(PBX).blackholed = false;
    await sim.engine(PBX, answering(back));
    sim.clock.advance(35_000);
    t.ok(back.includes('OPTIONS'), 'it was asked');
    t.ok((call() ?? Infinity) < 50);
    t.ok(back.includes('INVITE'), 'it has calls again');
    t.same(sim.errors, []);
  },
);

t.test('a refused connection costs no time at all, and 503 sends the next call elsewhere', async (t) => {
  const { sim, exchange, call } = await stage(12);
  const second: string[] = [];
  await sim.engine(SECOND_PBX, answering(second));
  sim.world.host(PBX); // there, but nothing listens: ICMP
  t.ok((call() ?? Infinity) <= 50, 'refused at once');
  t.ok(exchange.gateways.health.isDown(`${PBX}:5060`));
  const busy = await stage(13);
  const first: string[] = [];
  await busy.sim.engine(PBX, {
    ...answering(first),
    onInvite: (invite) => {
      first.push('INVITE');
      invite.respond(503);
    },
  });
  await busy.sim.engine(SECOND_PBX, answering([]));
  t.ok((busy.call() ?? Infinity) <= 50);
  t.ok((busy.call() ?? Infinity) <= 50);
  t.equal(first.filter((method) => method === 'INVITE').length, 1, 'the second call did not ask there');
  t.match(busy.exchange.recorder.records, [
    { attempts: [{ sipStatus: 503 }, { result: 'answered' }] },
    { attempts: [{ result: 'answered' }] },
  ]);
});

t.test('when every destination is down, all are tried all the same', async (t) => {
  const { sim, exchange, call } = await stage(14);
  sim.world.host(PBX).blackholed = true;
  sim.world.host(SECOND_PBX).blackholed = true;
  t.equal(call(), undefined);
  t.equal(call(), undefined);
  t.same(
    exchange.recorder.records.map(({ attempts }) => attempts.map(({ result }) => result)),
    [
      ['silence', 'silence'],
      ['silence', 'silence'],
    ],
  );
});
