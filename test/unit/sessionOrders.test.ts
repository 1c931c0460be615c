/** Whatever the order of events from both legs and the clock: one record, both legs ended, nothing left. */
import fc from 'fast-check';
import t from 'tap';
import { CallRig } from '../support/callRig.js';
import type { FakeIncomingLeg, FakeReinvite } from '../support/fakeSignal.js';

/** What may happen next. Impossible things (a ring after an answer) are skipped by the fake leg. */
const STEPS = [
  'a acks',
  'a cancels',
  'a byes',
  'a dies',
  'a re-INVITE',
  'a re-INVITE cancelled',
  'a re-INVITE acked',
  'a INFO',
  'b tries',
  'b rings',
  'b early media',
  'b answers',
  'b 486',
  'b 503',
  'b unreachable',
  'b byes',
  'b dies',
  'b re-INVITE',
  'b INFO',
  'b answers INFO',
  'b answers re-INVITE',
  'b refuses re-INVITE',
  'old attempt confirms',
  'confirmations',
  'short wait',
  'silence',
  'long wait',
  'hang up',
  'fault',
] as const;

type Step = (typeof STEPS)[number];

class Run {
  readonly rig: CallRig;
  readonly a: FakeIncomingLeg;
  #reinvite: FakeReinvite | undefined;

  constructor(options: { late: boolean; reportsTrying: boolean; confirmAtOnce: boolean }) {
    this.rig = new CallRig({
      destinations: ['192.0.2.1', '192.0.2.2', '192.0.2.3'],
      reportsTrying: options.reportsTrying,
    });
    this.rig.signal.confirmAtOnce = options.confirmAtOnce;
    this.a = this.rig.signal.call({ body: options.late ? '' : 'offer' });
  }

  step(step: Step): void {
    const { a, rig } = this;
    const { signal } = rig;
    const b = signal.b();
    const aUp = !a.ended && a.answered !== undefined;
    const bUp = !b.ended && b.answeredByPeer;
    if (step === 'a acks' && aUp) a.acks();
    else if (step === 'a cancels' && !a.ended) a.cancels();
    else if (step === 'a byes' && aUp) a.byes();
    else if (step === 'a dies' && !a.ended) a.ends({ kind: aUp && !a.acked ? 'ack_timeout' : 'engine_lost' });
    else if (step === 'a re-INVITE' && aUp) this.#reinvite = a.reinvitesWith('offer');
    else if (step === 'a re-INVITE cancelled' && aUp && this.#reinvite?.owed.closed === false) this.#reinvite.cancels();
    else if (step === 'a re-INVITE acked' && aUp) this.#reinvite?.acks();
    else if (step === 'a INFO' && !a.ended) a.asks('INFO');
    else if (step === 'b tries' && rig.signal.capabilities.reportsTrying) b.tries();
    else if (step === 'b rings') b.progresses(180);
    else if (step === 'b early media') b.progresses(183, 'early');
    else if (step === 'b answers') b.answers();
    else if (step === 'b 486') b.refuses(486);
    else if (step === 'b 503') b.refuses(503);
    else if (step === 'b unreachable') b.fails({ kind: 'transport_error', code: 'x' });
    else if (step === 'b byes' && bUp) b.byes();
    else if (step === 'b dies' && bUp) b.ends({ kind: 'dialog_lost', status: 481 });
    else if (step === 'b re-INVITE' && bUp) b.reinvitesWith('offer');
    else if (step === 'b INFO' && bUp) b.asks('INFO');
    else if (step === 'b answers INFO' && b.pending.length > 0) b.responds(200);
    else if (step === 'b answers re-INVITE' && b.reinvites.length > 0) b.respondsReinvite(200, 'answer');
    else if (step === 'b refuses re-INVITE' && b.reinvites.length > 0) b.respondsReinvite(488);
    else if (step === 'old attempt confirms')
      signal.outgoing.find((leg) => leg.cancelSent && !leg.ended)?.confirmsCancel();
    else if (step === 'confirmations') this.confirmAll();
    else if (step === 'short wait') rig.clock.advance(100);
    else if (step === 'silence') rig.clock.advance(3000);
    else if (step === 'long wait') rig.clock.advance(60_000);
    else if (step === 'hang up')
      rig.service.registry.hangUpAll({ sipStatus: 503, reasonCode: 'drain_limit', q850: 41 });
    else if (step === 'fault' && !a.ended) a.sink.onRequest(a, null as never);
  }

  confirmAll(): void {
    const { a, rig } = this;
    if (a.byeSent && !a.ended) a.confirms();
    for (const leg of rig.signal.outgoing) {
      if (leg.byeSent && !leg.ended) leg.confirms();
      else if (leg.cancelSent && !leg.ended) leg.confirmsCancel();
    }
  }

  /** Time and the port's promises bring the rest: everything asked for is confirmed, nothing answers any more. */
  finish(): void {
    const { a, rig } = this;
    for (let round = 0; round < 12; round++) {
      this.confirmAll();
      if (a.answered !== undefined && !a.acked && !a.ended) a.ends({ kind: 'ack_timeout' });
      rig.clock.advance(60_000);
    }
    rig.clock.advance(4 * 3_600_000);
    this.confirmAll();
  }
}

t.test('any order of events leaves one record and nothing else', async (t) => {
  const outcomes = new Set<string>();
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...STEPS), { maxLength: 30 }),
      fc.record({ late: fc.boolean(), reportsTrying: fc.boolean(), confirmAtOnce: fc.boolean() }),
      (steps, options) => {
        const run = new Run(options);
        for (const step of steps) run.step(step);
        run.finish();
        const { rig } = run;
        const left = rig.leftovers().filter((line) => !line.startsWith('fault TypeError'));
        if (left.length > 0) throw new Error(`${left.join('; ')}\n${rig.signal.ladder.join('\n')}`);
        const { record } = rig;
        outcomes.add(record.outcome);
        if (!run.a.ended) throw new Error('A lives');
        const living = rig.signal.outgoing.filter((leg) => !leg.ended);
        if (living.length > 0)
          throw new Error(`${living.map((leg) => leg.id).join()} live\n${rig.signal.ladder.join('\n')}`);
        if (rig.signal.outgoing.filter((leg) => leg.answeredByPeer).length > 1) throw new Error('two answered legs');
        const ends = rig.events.filter((event) => event.type === 'call_ended' || event.type === 'call_released');
        if (ends.map((event) => event.type).join() !== 'call_ended,call_released') throw new Error('events');
        if (record.attempts.length !== rig.signal.outgoing.length) throw new Error('attempts');
        if (record.outcome === 'answered' && record.answeredAt === null) throw new Error('answered, when?');
      },
    ),
    { numRuns: 3000, seed: 20_261_122 },
  );
  t.strictSame([...outcomes].sort(), ['answered', 'busy', 'cancelled', 'failed', 'no_answer']);
});

t.test('many calls at once do not touch each other', async (t) => {
  const rig = new CallRig();
  const legs = Array.from({ length: 50 }, () => rig.signal.call());
  rig.signal.outgoing.forEach((leg, index) => (index % 2 === 0 ? leg.answers() : leg.refuses(486)));
  for (const leg of legs) leg.acks();
  for (const leg of legs) if (leg.answered !== undefined) leg.byes();
  for (const leg of rig.signal.outgoing) if (leg.byeSent) leg.confirms();
  t.equal(rig.recorder.records.length, 50);
  t.equal(rig.recorder.records.filter(({ outcome }) => outcome === 'busy').length, 25);
  t.strictSame(rig.leftovers(), []);
});
