/** Early dialogs of several callees behind one INVITE: each is an early dialog of the caller's (RFC 3261 §12.1, §13.2.2.4). */
import t from 'tap';
import { CallRig } from '../support/callRig.js';
import type { FakeOutgoingLeg } from '../support/fakeSignal.js';

const says = (leg: FakeOutgoingLeg, tag: string, status: number, body = '', rseq?: string): void => {
  leg.remoteTag = tag;
  leg.progresses(status, body, rseq === undefined ? {} : { headers: [['RSeq', rseq]] });
};
const SUPPORTS = { headers: [['Supported', '100rel, 199']] } as const;

t.test('forks that only ring share the one dialog; from the first description on each has its own', async (t) => {
  const rig = new CallRig();
  const a = rig.signal.call();
  const b = rig.signal.b();
  rig.signal.ladder.length = 0;
  says(b, 'x', 180);
  says(b, 'y', 180);
  says(b, 'y', 183, 'sdp y');
  says(b, 'x', 183, 'sdp x');
  says(b, 'y', 180);
  says(b, 'x', 180);
  t.strictSame(
    rig.signal.ladder.filter((line) => line.startsWith('A')),
    ['A <- 180', 'A <- 180', 'A <- 183 [sdp y]', 'A <- 183 [sdp x] in fork1', 'A <- 180', 'A <- 180 in fork1'],
  );
  b.remoteTag = 'x';
  b.answers('');
  t.equal(
    rig.signal.ladder.find((line) => line.startsWith('A <- 200')),
    'A <- 200 [sdp x] in fork1',
    'its own words',
  );
  a.acks();
  a.byes();
  b.confirms();
  t.strictSame(rig.leftovers(), []);
});

t.test(
  'PRACK, UPDATE and INFO go to the fork that they are for, and offers of one are no glare in another',
  async (t) => {
    const rig = new CallRig();
    const a = rig.signal.call(SUPPORTS);
    const b = rig.signal.b();
    says(b, 'x', 183, 'sdp x', '7');
    says(b, 'y', 183, 'sdp y', '7');
    a.pracks();
    b.responds(200);
    a.pracks();
    b.responds(200);
    rig.signal.ladder.length = 0;
    const first = a.asks('UPDATE', { body: 'offer to x' });
    const second = a.asks('UPDATE', { body: 'offer to y' }, 'fork1');
    b.responds(200, { body: 'x agrees' });
    b.responds(200, { body: 'y agrees' });
    t.equal(first.answers[0]?.status, 200);
    t.equal(second.answers[0]?.status, 200);
    b.asks('INFO', { body: 'from y' }, 'y');
    a.responds(200);
    b.asks('INFO', { body: 'from x' }, 'x');
    a.responds(200);
    const sent = rig.signal.ladder.filter((line) => /<- (UPDATE|INFO)/.test(line));
    t.strictSame(sent, [
      'B1 <- UPDATE [offer to x] in x',
      'B1 <- UPDATE [offer to y] in y',
      'A <- INFO [from y] in fork1',
      'A <- INFO [from x]',
    ]);
    b.remoteTag = 'x';
    b.answers('');
    t.equal(rig.signal.ladder.at(-1), 'A <- 200', 'the first dialog of all, whose media were settled by PRACK');
    a.acks();
    a.byes();
    b.confirms();
    t.strictSame(rig.leftovers(), []);
  },
);

t.test('199 of a fork is told to a caller that knows the fork and asks for it', async (t) => {
  for (const [headers, told] of [
    [SUPPORTS.headers, true],
    [[], false],
  ] as const) {
    const rig = new CallRig();
    const a = rig.signal.call({ headers });
    const b = rig.signal.b();
    says(b, 'x', 183, 'sdp x');
    says(b, 'x', 199);
    says(b, 'y', 183, 'sdp y');
    says(b, 'z', 199);
    says(b, 'y', 199);
    const lines = rig.signal.ladder.filter((line) => line.startsWith('A <- 199'));
    t.strictSame(lines, told ? ['A <- 199 in fork1'] : [], 'never of the only one, nor of one unheard of');
    a.cancels();
    b.confirmsCancel();
    t.strictSame(rig.leftovers(), []);
  }
});

t.test('the next destination has the first dialog, unless media of the one before were heard in it', async (t) => {
  const rig = new CallRig({ destinations: ['127.0.20.20:5060', '127.0.20.21:5060'] });
  const a = rig.signal.call(SUPPORTS);
  says(rig.signal.b(), 'x', 180, '', '1');
  rig.signal.b().refuses(503);
  says(rig.signal.b(), 'y', 183, 'sdp y');
  t.equal(rig.signal.ladder.at(-1), 'A <- 183 [sdp y]');
  rig.signal.b().answers('sdp y');
  t.equal(rig.signal.ladder.at(-1), 'A <- 200 [sdp y]');
  a.acks();
  a.byes();
  rig.signal.b().confirms();
  t.strictSame(rig.leftovers(), []);
});
