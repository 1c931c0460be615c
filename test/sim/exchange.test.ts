import t from 'tap';
import type { Dialog, DialogListener, IncomingInvite, SipEngine } from '../../src/sip/index.js';
import { SeededRandom } from '../../src/kernel/index.js';
import { CARRIER, DID, EXCHANGE, PBX, SECOND_PBX, SimExchange } from '../support/simExchange.js';
import { SimEngines } from '../support/simEngines.js';

const sdp = (name: string): Buffer => Buffer.from(`v=0\r\no=${name} 1 1 IN IP4 10.9.9.9\r\ns=-\r\nt=0 0\r\n`);
const NOTHING = { calls: 0, limits: 0, legs: 0, dialogs: 0, clientTransactions: 0, serverTransactions: 0 };
const QUIET_MS = 400_000;

/** One end of a call, as it saw it. */
class End {
  readonly seen: string[] = [];
  dialog: Dialog | undefined;
  over = false;

  listener(): DialogListener {
    return {
      onRequest: (request) => {
        this.seen.push(request.request.method);
        request.respond(200);
      },
      onInvite: (invite) => {
        this.seen.push(`re-INVITE ${invite.request.body.toString().slice(7, 20).split(' ')[0]}`);
        invite.listener = { onCancel: () => {}, onAck: () => this.seen.push('re-ACK') };
        invite.respond(200, { body: sdp('again') });
      },
      onTerminated: (end) => {
        this.seen.push(end);
        this.over = true;
      },
    };
  }
}

type Script = (invite: IncomingInvite, end: End) => void;

const rings: Script = (invite) => void invite.respond(180);
const answers: Script = (invite, end) => {
  invite.respond(180);
  invite.respond(200, { body: sdp('callee') });
  end.dialog = invite.dialog;
  if (invite.dialog !== undefined) invite.dialog.listener = end.listener();
};

const world = async (seed: number, scripts: { readonly [address: string]: Script }, link = {}) => {
  const sim = new SimEngines(seed, link);
  const exchange = await SimExchange.open(sim);
  const callees = new Map<string, End>();
  for (const [address, script] of Object.entries(scripts)) {
    const end = new End();
    callees.set(address, end);
    await sim.engine(address, {
      onInvite: (invite) => {
        end.seen.push(`INVITE ${invite.request.uri.split('@')[0]}`);
        invite.listener = {
          onCancel: () => {
            end.seen.push('CANCEL');
            end.over = true;
          },
          onAck: () => end.seen.push('ACK'),
        };
        script(invite, end);
      },
      onRequest: (request) => void request.respond(200),
    });
  }
  const carrier = await sim.engine(CARRIER, { onInvite: () => {}, onRequest: () => {} });
  return { sim, exchange, carrier, callees };
};

const dial = (carrier: SipEngine, end: End, body: Buffer | undefined = sdp('caller')) => {
  const invite = carrier.invite(
    { uri: `sip:${DID}@${EXCHANGE}`, from: '<sip:+919812345678@localhost>', ...(body === undefined ? {} : { body }) },
    {
      onProvisional: (response) => end.seen.push(`${response.status}`),
      onAnswered: (response, dialog) => {
        end.seen.push(`${response.status} ${response.body.toString().slice(7, 13)}`);
        end.dialog = dialog;
        dialog.listener = end.listener();
        dialog.ack(body === undefined ? { body: sdp('late') } : {});
      },
      onFailed: (response) => {
        end.seen.push(`${response.status}`);
        end.over = true;
      },
    },
  );
  if ('refusal' in invite) throw new Error(invite.detail);
  return invite;
};

t.test('a call crosses the exchange with its SDP untouched and ends with one record', async (t) => {
  const { sim, exchange, carrier, callees } = await world(1, { [PBX]: answers });
  const caller = new End();
  dial(carrier, caller);
  sim.clock.advance(500);
  t.strictSame(caller.seen, ['180', '200 callee']);
  t.strictSame(callees.get(PBX)?.seen, [`INVITE sip:${DID}`, 'ACK']);
  sim.clock.advance(10_000);
  caller.dialog?.request('BYE', { headers: [['Reason', 'Q.850;cause=16;text="bye"']] }, { onResponse: () => {} });
  sim.clock.advance(QUIET_MS);
  t.ok(callees.get(PBX)?.seen.includes('remote_bye'));
  t.strictSame(exchange.alive(), NOTHING);
  t.equal(sim.clock.pending, 0);
  t.equal(exchange.recorder.records.length, 1);
  t.match(exchange.recorder.records[0], {
    outcome: 'answered',
    endedBy: 'caller',
    sipStatus: 200,
    direction: 'inbound',
    trunkSid: 'trk',
    calledE164: DID,
  });
  t.ok(Math.abs((exchange.recorder.records[0]?.talkMs ?? 0) - 10_500) < 100, 'talk time from answer to BYE');
  t.strictSame(sim.errors, []);
});

t.test('late offer: the answer travels in both ACKs', async (t) => {
  const { sim, exchange, carrier, callees } = await world(2, { [PBX]: answers });
  const caller = new End();
  dial(carrier, caller, Buffer.alloc(0));
  sim.clock.advance(1000);
  t.strictSame(caller.seen, ['180', '200 callee']);
  callees.get(PBX)?.dialog?.request('BYE', {}, { onResponse: () => {} });
  sim.clock.advance(QUIET_MS);
  t.strictSame(exchange.alive(), NOTHING);
  t.match(exchange.recorder.records, [{ outcome: 'answered', endedBy: 'callee' }]);
});

t.test('a dead first destination costs no call: refused, silent, or 503', async (t) => {
  const ways: [string, { [address: string]: Script }, boolean][] = [
    ['transport_error', { [SECOND_PBX]: answers }, false],
    ['silence', { [SECOND_PBX]: answers }, true],
    ['response', { [PBX]: (invite) => void invite.respond(503), [SECOND_PBX]: answers }, false],
  ];
  for (const [result, scripts, silent] of ways) {
    const { sim, exchange, carrier } = await world(3, scripts);
    if (scripts[PBX] === undefined) sim.world.host(PBX).blackholed = silent;
    const caller = new End();
    dial(carrier, caller);
    sim.clock.advance(5000);
    t.equal(caller.seen.at(-1), '200 callee', result);
    caller.dialog?.request('BYE', {}, { onResponse: () => {} });
    sim.clock.advance(QUIET_MS);
    t.strictSame(exchange.alive(), NOTHING, `${result}: nothing stays`);
    t.match(exchange.recorder.records, [{ outcome: 'answered', attempts: [{ result }, { result: 'answered' }] }]);
  }
});

t.test('busy is final: no second destination is tried', async (t) => {
  const { sim, exchange, carrier, callees } = await world(4, {
    [PBX]: (invite) => void invite.respond(486),
    [SECOND_PBX]: answers,
  });
  const caller = new End();
  dial(carrier, caller);
  sim.clock.advance(QUIET_MS);
  t.strictSame(caller.seen, ['486']);
  t.strictSame(callees.get(SECOND_PBX)?.seen, []);
  t.match(exchange.recorder.records, [{ outcome: 'busy', sipStatus: 486 }]);
  t.strictSame(exchange.alive(), NOTHING);
});

t.test('hold and resume pass through; INFO too', async (t) => {
  const { sim, exchange, carrier, callees } = await world(5, { [PBX]: answers });
  const caller = new End();
  dial(carrier, caller);
  sim.clock.advance(1000);
  caller.dialog?.invite(
    { body: sdp('hold') },
    {
      onProvisional: () => {},
      onAnswered: (response, dialog) => {
        caller.seen.push(`re ${response.body.toString().slice(7, 12)}`);
        dialog.ack();
      },
      onFailed: (response) => caller.seen.push(`re ${response.status}`),
    },
  );
  sim.clock.advance(1000);
  t.ok(caller.seen.includes('re again'), String(caller.seen));
  t.ok(callees.get(PBX)?.seen.includes('re-INVITE hold'), String(callees.get(PBX)?.seen));
  t.ok(callees.get(PBX)?.seen.includes('re-ACK'));
  callees
    .get(PBX)
    ?.dialog?.request(
      'INFO',
      { headers: [['Content-Type', 'application/dtmf-relay']], body: Buffer.from('Signal=5\r\n') },
      { onResponse: () => {} },
    );
  sim.clock.advance(1000);
  t.ok(caller.seen.includes('INFO'));
  caller.dialog?.request('BYE', {}, { onResponse: () => {} });
  sim.clock.advance(QUIET_MS);
  t.strictSame(exchange.alive(), NOTHING);
});

/** What happens to a call, drawn by seed. */
const chaos = async (seed: number, lossRate: number) => {
  const draw = new SeededRandom(seed * 31 + 7);
  const fate = Math.floor(draw.float() * 6);
  const first: Script = (invite, end) => {
    if (fate === 0) answers(invite, end);
    else if (fate === 1) invite.respond(486);
    else if (fate === 2) invite.respond(503);
    else if (fate === 3) rings(invite, end);
    else answers(invite, end);
  };
  const link = { lossRate, duplicateRate: 0.05, reorderRate: 0.1, delayMs: { min: 1, max: 40 } };
  const made = await world(seed, { [PBX]: first, [SECOND_PBX]: answers }, link);
  const { sim, carrier, callees } = made;
  const caller = new End();
  const invite = dial(carrier, caller);
  if (fate === 3 || fate === 5) {
    sim.clock.advance(draw.float() * 3000);
    invite.cancel();
  }
  sim.clock.advance(40_000);
  const hangUpFirst = draw.float() < 0.5 ? caller : (callees.get(PBX) ?? caller);
  hangUpFirst.dialog?.request('BYE', {}, { onResponse: () => {} });
  sim.clock.advance(20_000);
  // Whoever is still up after that hangs up too, as people do.
  for (const end of [caller, ...callees.values()]) end.dialog?.request('BYE', {}, { onResponse: () => {} });
  sim.clock.advance(QUIET_MS);
  return { ...made, caller, fate };
};

for (const [lossRate, seeds] of [
  [0.05, 120],
  [0.2, 120],
] as const) {
  t.test(
    `${seeds} seeds of mixed fate at ${lossRate * 100}% loss: one record each, nothing stays, both ends agree`,
    async (t) => {
      let wanted = 0;
      let answered = 0;
      for (let seed = 1; seed <= seeds; seed++) {
        const { sim, exchange, caller, callees, fate } = await chaos(seed, lossRate);
        const told = `seed ${seed} fate ${fate}: ${caller.seen} / ${callees.get(PBX)?.seen} / ${callees.get(SECOND_PBX)?.seen}`;
        if (exchange.recorder.records.length !== 1) t.fail(`${exchange.recorder.records.length} records; ${told}`);
        t.strictSame(exchange.alive(), NOTHING, told);
        t.strictSame(sim.errors, [], told);
        if (sim.clock.pending !== 0) t.fail(`timers ${JSON.stringify(sim.clock.dump())}; ${told}`);
        const ups = [caller, ...callees.values()].filter((end) => end.dialog !== undefined);
        for (const end of ups) if (!end.over) t.fail(`an end is still up; ${told}`);
        // Two ends answered at once would be a call to two people.
        const acked = [...callees.values()].filter((end) => end.dialog !== undefined && end.seen.includes('ACK'));
        if (acked.length === 2 && fate !== 2) t.comment(`two answered legs, one released; ${told}`);
        if (fate === 0 || fate === 2 || fate === 4) {
          wanted++;
          if (caller.dialog !== undefined) answered++;
        }
      }
      t.ok(answered >= wanted * (lossRate < 0.1 ? 1 : 0.97), `${answered} of ${wanted} answered`);
    },
  );
}
