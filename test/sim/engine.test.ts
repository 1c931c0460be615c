import t from 'tap';
import type { Dialog, IncomingInvite, OutgoingInvite, SipEngine } from '../../src/sip/index.js';
import { SimEngines } from '../support/simEngines.js';

const SDP = Buffer.from(
  'v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n',
);
const REST = { clientTransactions: 0, serverTransactions: 0, dialogs: 0, timers: 0 };

/** What both ends of one call saw, in order. */
class Ladder {
  readonly caller: string[] = [];
  readonly callee: string[] = [];
  invite: IncomingInvite | undefined;
  calleeDialog: Dialog | undefined;
  callerDialog: Dialog | undefined;
  outgoing: OutgoingInvite | undefined;
}

type CalleeScript = (invite: IncomingInvite, ladder: Ladder) => void;

const callee = async (sim: SimEngines, ladder: Ladder, script: CalleeScript, transport: 'udp' | 'tcp' = 'udp') => {
  await sim.engine(
    '10.0.0.2',
    {
      onInvite: (invite) => {
        ladder.invite = invite;
        ladder.callee.push('INVITE');
        invite.listener = {
          onCancel: () => ladder.callee.push('CANCEL'),
          onAck: () => ladder.callee.push('ACK'),
        };
        script(invite, ladder);
      },
      onRequest: (request) => {
        ladder.callee.push(request.request.method);
        request.respond(200);
      },
    },
    transport,
  );
};

const answer: CalleeScript = (invite, ladder) => {
  invite.respond(180);
  invite.respond(200, { body: SDP });
  const { dialog } = invite;
  ladder.calleeDialog = dialog;
  if (dialog === undefined) return;
  dialog.listener = {
    onRequest: (request) => {
      ladder.callee.push(request.request.method);
      request.respond(200);
    },
    onInvite: (reinvite) => {
      ladder.callee.push('re-INVITE');
      reinvite.listener = {
        onCancel: () => ladder.callee.push('re-CANCEL'),
        onAck: () => ladder.callee.push('re-ACK'),
      };
      reinvite.respond(200, { body: SDP });
    },
    onTerminated: (end) => ladder.callee.push(`end:${end}`),
  };
};

const place = (engine: SipEngine, ladder: Ladder, uri = 'sip:bob@10.0.0.2'): void => {
  const invite = engine.invite(
    { uri, from: '<sip:alice@localhost>', body: SDP },
    {
      onTrying: () => ladder.caller.push('100'),
      onProvisional: (response) => ladder.caller.push(String(response.status)),
      onAnswered: (response, dialog) => {
        ladder.caller.push(String(response.status));
        ladder.callerDialog = dialog;
        dialog.listener = {
          onRequest: (request) => {
            ladder.caller.push(request.request.method);
            request.respond(200);
          },
          onInvite: (reinvite) => void reinvite.respond(488),
          onTerminated: (end) => ladder.caller.push(`end:${end}`),
        };
        dialog.ack();
      },
      onFailed: (response, origin) => ladder.caller.push(`${response.status}:${origin}`),
    },
  );
  if ('refusal' in invite) ladder.caller.push(`refused:${invite.refusal}`);
  else ladder.outgoing = invite;
};

const idle = { onInvite: () => {}, onRequest: () => {} };

const setup = async (seed: number, script: CalleeScript, link = {}, transport: 'udp' | 'tcp' = 'udp') => {
  const sim = new SimEngines(seed, link);
  const ladder = new Ladder();
  await callee(sim, ladder, script, transport);
  const caller = await sim.engine('10.0.0.1', idle, transport);
  return { sim, ladder, caller };
};

t.test('a call over udp is set up and released, and nothing stays behind', async (t) => {
  const { sim, ladder, caller } = await setup(1, answer);
  place(caller, ladder);
  sim.clock.advance(100);
  t.strictSame(ladder.caller, ['100', '180', '200']);
  t.strictSame(ladder.callee, ['INVITE', 'ACK']);
  t.equal(ladder.callerDialog?.remoteTarget, 'sip:10.0.0.2:5060');
  ladder.callerDialog?.request('BYE', {}, { onResponse: (r) => ladder.caller.push(`BYE:${r.status}`) });
  sim.clock.advance(100);
  t.strictSame(ladder.callee.slice(2), ['BYE', 'end:remote_bye']);
  t.strictSame(ladder.caller.slice(3), ['end:local_bye', 'BYE:200']);
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
  t.strictSame(sim.errors, []);
});

t.test('a call over tcp is set up and released', async (t) => {
  const { sim, ladder, caller } = await setup(2, answer, {}, 'tcp');
  place(caller, ladder, 'sip:bob@10.0.0.2;transport=tcp');
  sim.clock.advance(100);
  t.strictSame(ladder.caller, ['100', '180', '200']);
  ladder.calleeDialog?.request('BYE', {}, { onResponse: (r) => ladder.callee.push(`BYE:${r.status}`) });
  sim.clock.advance(100);
  t.strictSame(ladder.caller.slice(3), ['BYE', 'end:remote_bye']);
  t.ok(ladder.callee.includes('BYE:200'));
  sim.clock.advance(64_000);
  t.match(sim.alive(), { clientTransactions: 0, serverTransactions: 0, dialogs: 0 });
});

t.test('a refusal is acknowledged by the transaction and told once', async (t) => {
  const { sim, ladder, caller } = await setup(3, (invite) => void invite.respond(486));
  place(caller, ladder);
  sim.clock.advance(64_000);
  t.strictSame(ladder.caller, ['100', '486:network']);
  t.strictSame(ladder.callee, ['INVITE']);
  t.strictSame(sim.alive(), REST);
});

t.test('nobody there: 408 after 64*T1, or 503 at once where the port is closed', async (t) => {
  const sim = new SimEngines(4);
  const caller = await sim.engine('10.0.0.1', idle);
  sim.world.host('10.0.0.9');
  const closed = new Ladder();
  place(caller, closed, 'sip:bob@10.0.0.9');
  const silent = new Ladder();
  sim.world.partition('10.0.0.1', '10.0.0.8');
  place(caller, silent, 'sip:bob@10.0.0.8');
  sim.clock.advance(1000);
  t.strictSame(closed.caller, ['503:transport']);
  t.strictSame(silent.caller, []);
  sim.clock.advance(31_500);
  t.strictSame(silent.caller, ['408:timeout']);
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('CANCEL waits for a provisional, then ends the call with 487', async (t) => {
  const { sim, ladder, caller } = await setup(5, () => {}, { delayMs: { min: 50, max: 50 } });
  place(caller, ladder);
  const cancelled = ladder.outgoing?.cancel([['Reason', 'SIP;cause=200;text="elsewhere"']]);
  t.equal(cancelled?.held, true);
  t.equal(ladder.outgoing?.cancel(), undefined, 'a second cancel does nothing');
  sim.clock.advance(1000);
  t.strictSame(ladder.callee, ['INVITE', 'CANCEL']);
  t.strictSame(ladder.caller, ['100', '487:network']);
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('an answer that crosses the CANCEL is acknowledged and released', async (t) => {
  const { sim, ladder, caller } = await setup(6, (invite) => void invite.respond(180), {
    delayMs: { min: 50, max: 50 },
  });
  place(caller, ladder);
  sim.clock.advance(200);
  ladder.outgoing?.cancel();
  if (ladder.invite !== undefined) answer(ladder.invite, ladder);
  sim.clock.advance(1000);
  t.ok(ladder.caller.includes('200'));
  t.ok(ladder.caller.includes('end:cancel_race'));
  t.ok(ladder.callee.includes('end:remote_bye'));
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('a caller that never acknowledges is released after 64*T1', async (t) => {
  const { sim, ladder, caller } = await setup(7, answer);
  sim.world.intercept((packet) =>
    packet.kind === 'udp' && packet.data.subarray(0, 4).toString() === 'ACK ' ? 'drop' : 'pass',
  );
  place(caller, ladder);
  sim.clock.advance(33_000);
  t.ok(ladder.callee.includes('end:ack_timeout'));
  t.ok(ladder.caller.includes('end:remote_bye'));
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('re-INVITE, INFO and glare within a dialog', async (t) => {
  const { sim, ladder, caller } = await setup(8, answer);
  place(caller, ladder);
  sim.clock.advance(100);
  const { callerDialog, calleeDialog } = ladder;
  if (callerDialog === undefined || calleeDialog === undefined) throw new Error('no dialog');
  callerDialog.invite(
    { body: SDP },
    {
      onProvisional: () => {},
      onAnswered: (response) => {
        ladder.caller.push(`re:${response.status}`);
        callerDialog.ack();
      },
      onFailed: () => {},
    },
  );
  sim.clock.advance(100);
  t.ok(ladder.caller.includes('re:200'));
  t.ok(ladder.callee.includes('re-ACK'));
  callerDialog.request(
    'INFO',
    { headers: [['Content-Type', 'text/plain']], body: Buffer.from('x') },
    {
      onResponse: (response) => ladder.caller.push(`INFO:${response.status}`),
    },
  );
  sim.clock.advance(100);
  t.ok(ladder.caller.includes('INFO:200'));
  // Both at once: each finds the other's INVITE pending, RFC 3261 §14.1.
  const outcomes: string[] = [];
  for (const dialog of [callerDialog, calleeDialog]) {
    dialog.invite(
      { body: SDP },
      { onProvisional: () => {}, onAnswered: () => dialog.ack(), onFailed: (r) => outcomes.push(String(r.status)) },
    );
  }
  t.equal('refusal' in callerDialog.invite({}, { onProvisional() {}, onAnswered() {}, onFailed() {} }), true);
  sim.clock.advance(1000);
  t.strictSame(outcomes, ['491', '491']);
  calleeDialog.request('BYE', {}, { onResponse: () => {} });
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

for (const [lossRate, seeds] of [
  [0.05, 60],
  [0.2, 60],
] as const) {
  t.test(
    `${seeds} seeds at ${lossRate * 100}% loss, duplication and reordering: both ends agree, nothing stays`,
    async (t) => {
      let completed = 0;
      for (let seed = 1; seed <= seeds; seed++) {
        const link = { lossRate, duplicateRate: 0.05, reorderRate: 0.1, delayMs: { min: 1, max: 30 } };
        const { sim, ladder, caller } = await setup(seed * 7919, answer, link);
        place(caller, ladder);
        sim.clock.advance(35_000);
        const answered = ladder.callerDialog !== undefined;
        if (answered) {
          completed++;
          ladder.callerDialog?.request('BYE', {}, { onResponse: () => {} });
        }
        sim.clock.advance(400_000);
        const ends = [...ladder.caller, ...ladder.callee].filter((line) => line.startsWith('end:'));
        if (answered) t.equal(ends.length, 2, `seed ${seed}: each side ends once: ${ladder.caller} / ${ladder.callee}`);
        t.strictSame(sim.alive(), REST, `seed ${seed}: at rest`);
        t.strictSame(sim.errors, [], `seed ${seed}: no errors`);
        t.equal(ladder.caller.filter((line) => /^(200|\d+:)/.test(line)).length, 1, `seed ${seed}: one final`);
      }
      t.ok(completed >= seeds * (lossRate < 0.1 ? 1 : 0.97), `${completed} of ${seeds} calls completed`);
    },
  );
}
