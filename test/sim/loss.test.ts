/** Hundreds of calls at once through the whole application while datagrams are lost, doubled and overtaken (R16). */
import t from 'tap';
import type { Dialog, DialogListener, IncomingInvite } from '../../src/sip/index.js';
import { CARRIER, DID, EXCHANGE, PBX, SECOND_PBX, SimExchange } from '../support/simExchange.js';
import { SimEngines } from '../support/simEngines.js';

const NOTHING = { calls: 0, limits: 0, legs: 0, dialogs: 0, clientTransactions: 0, serverTransactions: 0 };
const SDP = Buffer.from('v=0\r\no=x 1 1 IN IP4 10.9.9.9\r\ns=-\r\nt=0 0\r\n');
const QUIET_MS = 400_000;
/** Between two calls, and from the answer to the BYE: many are under way at a time. */
const EVERY_MS = 150;
const TALK_MS = 20_000;

interface Fate {
  answered: boolean;
  failed: boolean;
  /** Ends that were told of the dialog's end. */
  ended: boolean;
}

/** Callees: ring, answer a second later, and count who stays up. */
const callee = (standing: Set<Dialog>, clock: SimEngines['clock']) => (invite: IncomingInvite) => {
  let open = true;
  invite.listener = { onCancel: () => (open = false), onAck: () => {} };
  invite.respond(180);
  clock.setTimer('callee_answers', 1000, () => {
    if (!open || !invite.respond(200, { body: SDP }).ok) return;
    const { dialog } = invite;
    if (dialog === undefined) return;
    standing.add(dialog);
    dialog.listener = quiet(() => standing.delete(dialog));
  });
};

const quiet = (onTerminated: () => void): DialogListener => ({
  onRequest: (request) => void request.respond(200),
  onInvite: (invite) => void invite.respond(200, { body: SDP }),
  onTerminated,
});

/** @returns what became of each call, and of the records */
const run = async (seed: number, calls: number, lossRate: number) => {
  const link = { lossRate, duplicateRate: 0.05, reorderRate: 0.1, delayMs: { min: 1, max: 40 } };
  const sim = new SimEngines(seed, link);
  const exchange = await SimExchange.open(sim);
  const standing = new Set<Dialog>();
  for (const address of [PBX, SECOND_PBX]) {
    await sim.engine(address, {
      onInvite: callee(standing, sim.clock),
      onRequest: (request) => void request.respond(200),
    });
  }
  const carrier = await sim.engine(CARRIER, { onInvite: () => {}, onRequest: (request) => void request.respond(200) });
  const fates: Fate[] = [];
  let atOnce = 0;
  for (let i = 0; i < calls; i++) {
    const fate: Fate = { answered: false, failed: false, ended: false };
    fates.push(fate);
    carrier.invite(
      { uri: `sip:${DID}@${EXCHANGE}`, from: '<sip:+919812345678@localhost>', body: SDP },
      {
        onProvisional: () => {},
        onAnswered: (_response, dialog) => {
          fate.answered = true;
          dialog.listener = quiet(() => (fate.ended = true));
          dialog.ack();
          sim.clock.setTimer('caller_hangs_up', TALK_MS, () => {
            if (dialog.state === 'confirmed') dialog.request('BYE', {}, { onResponse: () => {} });
          });
        },
        onFailed: () => (fate.failed = true),
      },
    );
    sim.clock.advance(EVERY_MS);
    atOnce = Math.max(atOnce, exchange.service.registry.size);
  }
  sim.clock.advance(QUIET_MS);
  const ids = exchange.recorder.records.map(({ callId }) => callId);
  const talked = exchange.recorder.records.filter(({ outcome }) => outcome === 'answered');
  return { sim, exchange, fates, standing, atOnce, ids, talked };
};

for (const { lossRate, seeds, calls, least } of [
  { lossRate: 0.05, seeds: 2, calls: 400, least: 1 },
  { lossRate: 0.2, seeds: 4, calls: 400, least: 0.999 },
]) {
  t.test(`${seeds * calls} calls at ${lossRate * 100}% loss: ${least * 100}% complete, one record each`, async (t) => {
    let complete = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const { sim, exchange, fates, standing, atOnce, ids, talked } = await run(seed, calls, lossRate);
      const told = `seed ${seed}`;
      complete += fates.filter(({ answered, ended }) => answered && ended).length;
      t.ok(atOnce > 80, `${told}: up to ${atOnce} calls at once`);
      t.equal(fates.filter(({ answered, failed }) => answered === failed).length, 0, `${told}: each caller knows`);
      t.equal(standing.size, 0, `${told}: no callee is left hanging`);
      t.equal(ids.length, calls, `${told}: one record a call`);
      t.equal(new Set(ids).size, calls, `${told}: and none twice`);
      t.equal(talked.length, fates.filter(({ answered }) => answered).length, `${told}: the records say who talked`);
      const wrong = talked.filter(({ talkMs }) => talkMs < TALK_MS - 500 || talkMs > TALK_MS + 45_000);
      t.same(wrong, [], `${told}: and for how long`);
      t.strictSame(exchange.alive(), NOTHING, told);
      exchange.gateways.stop();
      t.same(sim.errors, [], told);
      t.equal(sim.clock.pending, 0, `${told}: ${JSON.stringify(sim.clock.dump())}`);
    }
    t.ok(complete >= least * seeds * calls, `${complete} of ${seeds * calls} complete`);
  });
}
