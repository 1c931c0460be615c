/** Reliable provisional responses (RFC 3262) across a call: whose PRACK it is, and what becomes of offers in it. */
import t from 'tap';
import {
  type CallerReliability,
  type ReliableMode,
  callerReliability,
  reliabilityOf,
} from '../../src/call/bridge/reliability.js';
import { CallRig, type RigOptions } from '../support/callRig.js';
import { FakeMessage } from '../support/fakeSignal.js';

const MODES: readonly ReliableMode[] = ['relay', 'terminate', 'off'];
const SAID: readonly CallerReliability[] = ['none', 'supported', 'required'];

/** What the callee is offered: nothing, 100rel with our PRACK, or 100rel with the caller's. */
type Outcome = '-' | 'ours' | 'across';

/** RFC 3262 §3 and §4 by the caller's side, the callee's side; for callers who say none, supported, required. */
const WITH_OFFER: { readonly [pair: string]: readonly [Outcome, Outcome, Outcome] } = {
  'relay relay': ['-', 'across', 'across'],
  'relay terminate': ['ours', 'ours', 'ours'],
  'relay off': ['-', '-', '-'],
  'terminate relay': ['-', 'ours', 'ours'],
  'terminate terminate': ['ours', 'ours', 'ours'],
  'terminate off': ['-', '-', '-'],
  'off relay': ['-', '-', '-'],
  'off terminate': ['ours', 'ours', 'ours'],
  'off off': ['-', '-', '-'],
};
/** RFC 3262 §5: without an offer the answer is in the caller's PRACK, so that it is relayed or not at all. */
const LATE_OFFER: typeof WITH_OFFER = {
  'relay relay': ['-', 'across', 'across'],
  'relay terminate': ['-', 'across', 'across'],
  'relay off': ['-', '-', '-'],
  'terminate relay': ['-', 'across', 'across'],
  'terminate terminate': ['-', 'across', 'across'],
  'terminate off': ['-', '-', '-'],
  'off relay': ['-', '-', '-'],
  'off terminate': ['-', '-', '-'],
  'off off': ['-', '-', '-'],
};

t.test('every cell of the table: both sides, what the caller says, with and without an offer', async (t) => {
  for (const caller of MODES) {
    for (const callee of MODES) {
      for (const [lateOffer, table] of [
        [false, WITH_OFFER],
        [true, LATE_OFFER],
      ] as const) {
        const outcomes = SAID.map((said): Outcome => {
          const { offered, relayed } = reliabilityOf({ caller, callee }, said, lateOffer);
          return relayed ? 'across' : offered ? 'ours' : '-';
        });
        t.same(outcomes, table[`${caller} ${callee}`], `${caller} ${callee}${lateOffer ? ', no offer' : ''}`);
      }
    }
  }
});

t.test('option tags are found in any case and in any of several fields', async (t) => {
  const said = (...headers: [string, string][]): CallerReliability => callerReliability(new FakeMessage({ headers }));
  t.equal(said(), 'none');
  t.equal(said(['Supported', 'timer, path']), 'none');
  t.equal(said(['Supported', 'timer,100Rel']), 'supported');
  t.equal(said(['Supported', 'timer'], ['Supported', '100rel']), 'supported');
  t.equal(said(['Supported', '100rel'], ['Require', 'timer, 100rel']), 'required');
  t.equal(said(['Supported', 'x100rel']), 'none');
});

const SUPPORTS = { headers: [['Supported', 'timer, 100rel']] } as const;
const REQUIRES = { headers: [['Require', '100rel']] } as const;
const reliably = { headers: [['Require', '100rel'] as const, ['RSeq', '1'] as const] };
const offersIt = (rig: CallRig): boolean =>
  rig.signal.b().spec.headers?.some(([name, value]) => name === 'Supported' && value === '100rel') === true;

/** A call in which the fork of roads has been taken: rig, its caller's leg, its callee's. */
const begin = (options: RigOptions, invite: Parameters<CallRig['signal']['call']>[0]) => {
  const rig = new CallRig(options);
  const a = rig.signal.call(invite);
  rig.signal.takeLadder();
  return { rig, a, b: rig.signal.b() };
};

t.test('relay: a reliable 183 is the caller’s to acknowledge, with an offer that crosses as it is', async (t) => {
  const { rig, a, b } = begin({}, SUPPORTS);
  t.ok(offersIt(rig));
  b.progresses(183, 'answer', reliably);
  a.pracks('second offer');
  b.responds(200, { body: 'second answer' });
  b.answers('');
  a.acks();
  t.same(rig.signal.takeLadder(), [
    'B1 -> 183 [answer]',
    'A <- 183 [answer] reliably',
    'A -> PRACK [second offer]',
    'B1 <- PRACK [second offer]',
    'B1 -> 200 (PRACK)',
    'A <- 200 (PRACK) [second answer]',
    'B1 -> 200',
    'B1 <- ACK',
    'A <- 200',
    'A -> ACK',
  ]);
  a.byes();
  b.confirms();
  t.same(rig.leftovers(), []);
});

t.test('relay without an offer: the callee’s is in its 183, and its answer in the caller’s PRACK', async (t) => {
  const { rig, a, b } = begin({}, { ...SUPPORTS, body: '' });
  b.progresses(183, 'B offer', reliably);
  a.pracks('A answer');
  b.responds(200);
  b.answers('');
  a.acks();
  t.same(rig.signal.takeLadder(), [
    'B1 -> 183 [B offer]',
    'A <- 183 [B offer] reliably',
    'A -> PRACK [A answer]',
    'B1 <- PRACK [A answer]',
    'B1 -> 200 (PRACK)',
    'A <- 200 (PRACK)',
    'B1 -> 200',
    'A <- 200',
    'A -> ACK',
    'B1 <- ACK',
  ]);
  a.byes();
  b.confirms();
  t.same(rig.leftovers(), []);
});

t.test('relay: a caller who does not speak of it is spared it', async (t) => {
  const { rig, a, b } = begin({}, {});
  t.notOk(offersIt(rig));
  t.notOk(b.spec.ownPrack);
  b.progresses(183, 'answer');
  t.same(rig.signal.takeLadder(), ['B1 -> 183 [answer]', 'A <- 183 [answer]']);
  a.cancels();
  b.confirmsCancel();
  t.same(rig.leftovers(), []);
});

t.test('a caller who requires it gets it from us where the callee does not have it', async (t) => {
  for (const calleeSip of [undefined, { reliable_provisionals: 'off' }] as const) {
    const { rig, a, b } = begin({ ...(calleeSip === undefined ? {} : { calleeSip }) }, REQUIRES);
    t.equal(offersIt(rig), calleeSip === undefined);
    b.progresses(183, 'answer');
    a.pracks();
    t.same(rig.signal.takeLadder(), [
      'B1 -> 183 [answer]',
      'A <- 183 [answer] reliably',
      'A -> PRACK',
      'A <- 200 (PRACK)',
    ]);
    // RFC 3311 §5.1: the callee learns by UPDATE of an offer in a PRACK that was not for it.
    b.progresses(180);
    a.pracks('offer');
    b.responds(200, { body: 'answer 2' });
    b.progresses(180);
    a.pracks('offer');
    b.responds(405);
    t.same(rig.signal.takeLadder().slice(3), [
      'B1 <- UPDATE [offer]',
      'B1 -> 200 (UPDATE)',
      'A <- 200 (PRACK) [answer 2]',
      'B1 -> 180',
      'A <- 180 reliably',
      'A -> PRACK [offer]',
      'B1 <- UPDATE [offer]',
      'B1 -> 405 (UPDATE)',
      'A <- 488 (PRACK)',
    ]);
    a.cancels();
    b.confirmsCancel();
    t.same(rig.leftovers(), []);
  }
});

t.test('terminate: the callee’s is acknowledged below the call, the caller’s only if it is required', async (t) => {
  const terminate = { reliable_provisionals: 'terminate' } as const;
  const { rig, a, b } = begin({ callerSip: terminate, calleeSip: terminate }, SUPPORTS);
  t.ok(offersIt(rig));
  t.notOk(b.spec.ownPrack);
  b.progresses(183, 'answer', reliably);
  t.same(rig.signal.takeLadder(), ['B1 -> 183 [answer]', 'A <- 183 [answer]']);
  a.cancels();
  b.confirmsCancel();
  t.same(rig.leftovers(), []);
});

t.test('off: a caller who requires it is refused with 420, others call without', async (t) => {
  const off = { callerSip: { reliable_provisionals: 'off' } } as const;
  const { rig, a } = begin(off, SUPPORTS);
  t.notOk(offersIt(rig));
  a.cancels();
  rig.signal.b().confirmsCancel();
  t.same(rig.leftovers(), []);
  const refusing = new CallRig(off);
  const refused = refusing.signal.call(REQUIRES);
  t.equal(refused.rejected?.status, 420);
  t.ok(refused.rejected?.spec.headers?.some(([name, value]) => name === 'Unsupported' && value === '100rel'));
  t.match(refusing.record, { outcome: 'rejected', reasonCode: 'extension_off', sipStatus: 420 });
  t.equal(refusing.signal.outgoing.length, 0);
  t.same(refusing.leftovers(), []);
});

t.test('a provisional that no caller will hear of is acknowledged all the same', async (t) => {
  const { rig, a, b } = begin({ destinations: ['192.0.2.1', '192.0.2.2'] }, SUPPORTS);
  b.progresses(199, '', reliably);
  t.same(rig.signal.takeLadder(), ['B1 -> 199', 'B1 <- PRACK']);
  b.responds(200);
  b.progresses(180, '', { headers: [['RSeq', '2']] });
  b.refuses(503);
  // The caller's PRACK of the first destination's 180 finds that destination gone.
  a.pracks();
  t.same(rig.signal.takeLadder().slice(-2), ['A -> PRACK', 'A <- 200 (PRACK)']);
  rig.signal.b(2).refuses(486);
  t.same(rig.leftovers(), []);
});

t.test('an answer that was sent reliably is not repeated in the 200: PRACK may have changed it since', async (t) => {
  const { rig, a, b } = begin({}, SUPPORTS);
  b.progresses(183, 'first answer', reliably);
  a.pracks();
  b.responds(200);
  b.answers('');
  t.equal(a.answered?.body, undefined);
  a.acks();
  a.byes();
  b.confirms();
  t.same(rig.leftovers(), []);
});
