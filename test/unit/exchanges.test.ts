/** Offers that meet: UPDATE, re-INVITE and PRACK on their way across a call, RFC 3311 §5.2 and RFC 3261 §14. */
import t from 'tap';
import { EXCHANGE_TABLE, type ExchangeKind, type Verdict, verdictOf } from '../../src/call/bridge/exchanges.js';
import type { HeaderEntry } from '../../src/signal/port.js';
import { CallRig } from '../support/callRig.js';
import type { FakeIncomingLeg, FakeReinvite } from '../support/fakeSignal.js';

/** What the sender of the second request is told, by what is open: of its own side, of the other side. */
const GRID: { readonly [open in ExchangeKind]: { readonly [asked in ExchangeKind]: string } } = {
  update_offer: { update_offer: '500 491', update: '500 -', invite: '500 491', prack_offer: '- -' },
  update: { update_offer: '500 -', update: '500 -', invite: '- -', prack_offer: '- -' },
  invite: { update_offer: '500 491', update: '- -', invite: '500 491', prack_offer: '- -' },
  prack_offer: { update_offer: '500 491', update: '- -', invite: '500 491', prack_offer: '- -' },
};
const KINDS = Object.keys(EXCHANGE_TABLE) as ExchangeKind[];
const WORD: { readonly [verdict in Verdict]: string } = { cross: '-', later: '500', glare: '491' };

t.test('every cell of the table', async (t) => {
  for (const open of KINDS) {
    for (const asked of KINDS) {
      const words = ['b', 'a'].map((to) => WORD[verdictOf([{ kind: open, to: 'b' }], { kind: asked, to })]);
      t.equal(words.join(' '), GRID[open][asked], `${asked} while ${open} is open`);
    }
  }
  t.equal(verdictOf([], { kind: 'update_offer', to: 'a' }), 'cross');
  const both = [
    { kind: 'update', to: 'a' },
    { kind: 'update_offer', to: 'b' },
  ] as const;
  t.equal(verdictOf(both, { kind: 'update_offer', to: 'a' }), 'glare', 'the strictest word holds');
  const elsewhere = verdictOf(both, { kind: 'update_offer', to: 'a', fork: 'fork1' });
  t.equal(elsewhere, 'cross', 'each early dialog has offers and answers of its own');
});

interface Up {
  readonly rig: CallRig;
  readonly a: FakeIncomingLeg;
}

/** An established call; what went before is forgotten. */
const established = (): Up => {
  const rig = new CallRig();
  const a = rig.signal.call();
  rig.signal.b().answers();
  a.acks();
  rig.signal.takeLadder();
  return { rig, a };
};

/** A call that rings, with an early dialog on both legs. */
const ringing = (): Up => {
  const rig = new CallRig();
  const a = rig.signal.call();
  rig.signal.b().progresses(183, 'early');
  rig.signal.takeLadder();
  return { rig, a };
};

const over = (t: Tap, { rig, a }: Up): void => {
  if (rig.signal.b().answeredByPeer) {
    a.byes();
    rig.signal.b().confirms();
  } else {
    a.cancels();
    rig.signal.b().confirmsCancel();
  }
  t.same(rig.leftovers(), []);
};
type Tap = { same(found: unknown, wanted: unknown): unknown };

for (const [when, make] of [
  ['in an early dialog', ringing],
  ['in a call that is up', established],
] as const) {
  t.test(`UPDATE crosses octet by octet ${when}, both ways, and so does its answer`, async (t) => {
    const up = make();
    const { rig, a } = up;
    const asked = a.asks('UPDATE', { body: 'offer\0\xff' });
    rig.signal.b().responds(200, { body: 'answer' });
    const back = rig.signal.b().asks('UPDATE', { body: 'offer 2' });
    a.responds(488);
    t.same([asked.answers[0]?.status, back.answers[0]?.status], [200, 488]);
    t.same(rig.signal.takeLadder(), [
      'A -> UPDATE [offer\0\xff]',
      `B1 <- UPDATE [${Buffer.from('offer\0\xff').toString('latin1')}]`,
      'B1 -> 200 (UPDATE)',
      'A <- 200 (UPDATE) [answer]',
      'B1 -> UPDATE [offer 2]',
      'A <- UPDATE [offer 2]',
      'A -> 488 (UPDATE)',
      'B1 <- 488 (UPDATE)',
    ]);
    over(t, up);
  });

  t.test(`UPDATE that meets UPDATE ${when}: 491 across, 500 with Retry-After after one’s own`, async (t) => {
    const up = make();
    const { rig, a } = up;
    a.asks('UPDATE', { body: 'offer' });
    t.equal(rig.signal.b().asks('UPDATE', { body: 'offer' }).answers[0]?.status, 491);
    const second = a.asks('UPDATE', { body: 'offer' }).answers[0];
    t.equal(second?.status, 500);
    const retry = second?.spec.headers?.find(([name]) => name === 'Retry-After')?.[1];
    t.ok(Number(retry) >= 0 && Number(retry) <= 10, `Retry-After ${retry}`);
    t.equal(a.asks('UPDATE').answers[0]?.status, 500, 'without an offer, too');
    const plain = rig.signal.b().asks('UPDATE');
    a.responds(200);
    t.equal(plain.answers[0]?.status, 200, 'the other side’s refresh meets no offer');
    rig.signal.b().responds(200, { body: 'answer' });
    const later = rig.signal.b().asks('UPDATE', { body: 'offer' });
    a.responds(200, { body: 'answer' });
    t.equal(later.answers[0]?.status, 200, 'nothing is open any more');
    over(t, up);
  });
}

t.test('each end is told that the other takes UPDATE, where it does (RFC 3311 §5.1)', async (t) => {
  const allowed = (headers: readonly HeaderEntry[] | undefined): string | undefined =>
    headers?.find(([name]) => name === 'Allow')?.[1];
  const rig = new CallRig();
  const a = rig.signal.call({ headers: [['Allow', 'INVITE, ACK, update, X-OWN']] });
  const ours = 'INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, REFER, NOTIFY';
  t.equal(allowed(rig.signal.b().spec.headers), `${ours}, UPDATE`);
  rig.signal.b().progresses(180);
  t.equal(allowed(a.sent1xx[0]?.spec.headers), undefined, 'it has not said');
  rig.signal.b().answers('answer', { headers: [['Allow', 'INVITE,BYE,INFO,MESSAGE']] });
  t.equal(allowed(a.answered?.headers), `${ours}, INFO, MESSAGE`);
  a.acks();
  over(t, { rig, a });
});

t.test('re-INVITE that meets UPDATE, and UPDATE that meets re-INVITE', async (t) => {
  const up = established();
  const { rig, a } = up;
  a.asks('UPDATE', { body: 'offer' });
  t.equal(status(a.reinvitesWith('offer')), 500);
  t.equal(status(rig.signal.b().reinvitesWith('offer')), 491);
  rig.signal.b().responds(200);
  const reinvite = rig.signal.b().reinvitesWith('offer');
  t.equal(a.asks('UPDATE', { body: 'offer' }).answers[0]?.status, 491);
  t.equal(rig.signal.b().asks('UPDATE', { body: 'offer' }).answers[0]?.status, 500);
  a.respondsReinvite(200, 'answer');
  reinvite.acks();
  a.asks('UPDATE', { body: 'offer' });
  rig.signal.b().responds(200);
  over(t, up);
});

t.test('re-INVITEs that meet: 491 across, 500 after one’s own; the first goes on', async (t) => {
  const up = established();
  const { rig, a } = up;
  const first = a.reinvitesWith('offer');
  t.equal(status(rig.signal.b().reinvitesWith('offer')), 491);
  t.equal(status(a.reinvitesWith('offer')), 500);
  rig.signal.b().respondsReinvite(200, 'answer');
  t.equal(status(first), 200);
  first.acks();
  over(t, up);
});

t.test('a re-INVITE that finds the other dialog busy gets 491, not an error of ours', async (t) => {
  const up = established();
  const reinvite = up.a.reinvitesWith('offer');
  up.rig.signal.b().respondsReinvite({ kind: 'transport_error', code: 'request_pending' });
  t.equal(status(reinvite), 491);
  over(t, up);
});

t.test('UPDATE meets an offer in PRACK', async (t) => {
  const rig = new CallRig();
  const a = rig.signal.call({ headers: [['Supported', '100rel']] });
  rig.signal.b().progresses(183, 'answer', { headers: [['RSeq', '1']] });
  a.pracks('offer');
  t.equal(rig.signal.b().asks('UPDATE', { body: 'offer' }).answers[0]?.status, 491);
  t.equal(a.asks('UPDATE', { body: 'offer' }).answers[0]?.status, 500);
  rig.signal.b().responds(200, { body: 'answer 2' });
  a.asks('UPDATE', { body: 'offer' });
  rig.signal.b().responds(200);
  over(t, { rig, a });
});

const status = (reinvite: FakeReinvite): number | undefined => reinvite.owed.answers[0]?.status;
