/** Destinations of equal preference that ring together (RFC 3261 §16.6, §16.7). */
import t from 'tap';
import { bestFailure } from '../../src/call/bridge/bestFailure.js';
import type { Decision, ReachableContact } from '../../src/call/routing/decision.js';
import { Draft } from '../../src/call/routing/draft.js';
import { contactsOf } from '../../src/call/routing/registeredTarget.js';
import type { InviteFailure } from '../../src/signal/port.js';
import { CallRig } from '../support/callRig.js';
import { FakeMessage } from '../support/fakeSignal.js';

const HOSTS = ['192.0.2.1:5060', '192.0.2.2:5060', '192.0.2.3:5060'];

/** Three telephones of one user, and a fourth destination after them. */
const ringing = (): { rig: CallRig } => {
  const plain = new CallRig({ destinations: [...HOSTS, '192.0.2.4:5060'] });
  plain.signal.call();
  const decision = [...plain.service.registry.values()][0]?.decision;
  const [first, second, third, after] = (decision as Decision).destinations;
  if (first === undefined || second === undefined || third === undefined || after === undefined)
    throw new Error('four');
  const together: Decision = {
    ...(decision as Decision),
    destinations: [{ ...first, beside: [second, third] }, after],
  };
  const rig = new CallRig({ decide: () => together });
  return { rig };
};

const failure = (status: number): InviteFailure => ({
  kind: 'response',
  status,
  message: new FakeMessage({ status }),
});

t.test('the best of the failures: RFC 3261 §16.7 step 6', async (t) => {
  const best = (...failures: InviteFailure[]): unknown => {
    const found = bestFailure(failures);
    return found.kind === 'response' ? found.status : found.kind;
  };
  t.equal(best(failure(486), failure(603), failure(302)), 603, '6xx before all');
  t.equal(best(failure(503), failure(486), failure(404)), 486, 'the lowest class, the first of it');
  t.equal(best(failure(404), failure(407)), 407, 'what says how it could succeed');
  t.equal(best(failure(486), failure(302)), 302);
  t.equal(best({ kind: 'timeout' }, failure(503)), 503, 'an answer before silence');
  t.equal(best(failure(487), { kind: 'timeout' }), 487);
  t.equal(best({ kind: 'cancelled' }, { kind: 'timeout' }), 'timeout');
  t.equal(best({ kind: 'cancelled' }), 'cancelled');
});

t.test('all ring; the first answer wins, the others are cancelled with the reason', async (t) => {
  const { rig } = ringing();
  const a = rig.signal.call();
  const legs = rig.signal.outgoing;
  t.equal(legs.length, 3, 'three INVITEs at once, and not the fourth');
  legs[0]?.tries();
  legs[1]?.tries();
  legs[1]?.progresses(180);
  legs[0]?.progresses(183, 'sdp 0');
  legs[1]?.progresses(183, 'sdp 1');
  legs[1]?.asks('INFO', { body: 'from 1' });
  a.responds(200);
  a.asks('INFO', { body: 'to 1' }, 'fork1');
  legs[1]?.responds(200);
  legs[1]?.answers('sdp 1');
  const lines = rig.signal.ladder.filter((line) => /<- (CANCEL|ACK|INFO)|^A <-/.test(line));
  t.strictSame(lines, [
    'A <- 180',
    'A <- 183 [sdp 0]',
    'A <- 183 [sdp 1] in fork1',
    'A <- INFO [from 1] in fork1',
    'B2 <- INFO [to 1] in rt',
    'A <- 200 (INFO)',
    'B1 <- CANCEL {SIP;cause=200;text="Call completed elsewhere"}',
    'B3 <- CANCEL {SIP;cause=200;text="Call completed elsewhere"}',
    'B2 <- ACK',
    'A <- 200 [sdp 1] in fork1',
  ]);
  legs[0]?.confirmsCancel();
  legs[2]?.confirmsCancel();
  a.acks();
  a.byes();
  legs[1]?.confirms();
  const { record } = rig;
  t.match(record, { outcome: 'answered', destination: 'sip:+918040000001@192.0.2.2:5060', bLegCallId: 'B2@fake' });
  t.strictSame(
    record.attempts.map(({ uri, result, branches }) => ({ uri, result, branches })),
    [
      {
        uri: 'sip:+918040000001@192.0.2.2:5060',
        result: 'answered',
        branches: [
          { uri: 'sip:+918040000001@192.0.2.1:5060', sipStatus: 183, result: 'cancelled' },
          { uri: 'sip:+918040000001@192.0.2.2:5060', sipStatus: 200, result: 'answered' },
          { uri: 'sip:+918040000001@192.0.2.3:5060', sipStatus: 0, result: 'cancelled' },
        ],
      },
    ],
  );
  t.strictSame(rig.leftovers(), []);
});

t.test('an answer that crosses the CANCEL of a slower callee is acknowledged and ended', async (t) => {
  const { rig } = ringing();
  const a = rig.signal.call();
  const [one, two, three] = rig.signal.outgoing;
  one?.answers();
  three?.confirmsCancel();
  if (two !== undefined) {
    two.cancelSent = false;
    two.answers();
  }
  t.equal(two?.acks, 1);
  t.equal(two?.byeSent, true);
  two?.confirms();
  a.acks();
  a.byes();
  one?.confirms();
  t.strictSame(rig.leftovers(), []);
});

t.test('nobody answers: the best failure decides, a 6xx for all of them', async (t) => {
  const { rig } = ringing();
  rig.signal.call();
  const [one, two, three] = rig.signal.outgoing;
  one?.refuses(486);
  two?.fails({ kind: 'timeout' });
  t.notOk(
    rig.signal.ladder.some((line) => line.startsWith('A <- 4')),
    'the third still rings',
  );
  three?.refuses(503);
  t.equal(rig.signal.ladder.at(-1)?.startsWith('A <- 486'), true, 'busy, and so nobody else is tried');
  t.strictSame(rig.leftovers(), []);

  const declined = ringing().rig;
  declined.signal.call();
  const legs = declined.signal.outgoing;
  legs[1]?.refuses(603);
  t.ok(legs[0]?.cancelSent && legs[2]?.cancelSent, 'RFC 3261 §16.7 step 5');
  legs[0]?.confirmsCancel();
  legs[2]?.confirmsCancel();
  t.equal(declined.signal.ladder.at(-1)?.startsWith('A <- 603'), true);
  t.strictSame(declined.leftovers(), []);
});

t.test('all unreachable: the next destination; the caller gives up: all are cancelled', async (t) => {
  const { rig } = ringing();
  const a = rig.signal.call();
  for (const leg of [...rig.signal.outgoing]) leg.refuses(503);
  t.equal(rig.signal.b().spec.uri, 'sip:+918040000001@192.0.2.4:5060');
  a.cancels();
  rig.signal.b().confirmsCancel();
  t.strictSame(rig.leftovers(), []);

  const other = ringing().rig;
  const caller = other.signal.call();
  caller.cancels();
  t.equal(other.signal.outgoing.filter(({ cancelSent }) => cancelSent).length, 3);
  for (const leg of other.signal.outgoing) leg.confirmsCancel();
  t.equal(other.record.outcome, 'cancelled');
  t.strictSame(other.leftovers(), []);
});

t.test('registered contacts: those of one user and equal q, of one device only one', async (t) => {
  const contact = (userName: string, n: number, q: number, instance?: string): ReachableContact => ({
    uri: `sip:${userName}@192.0.2.${n}`,
    userName,
    q,
    instance,
    way: {},
  });
  const reachable = [
    contact('alice', 1, 1000, 'urn:x'),
    contact('bob', 2, 1000),
    contact('alice', 3, 1000),
    contact('alice', 4, 1000, 'urn:x'),
    contact('alice', 5, 500),
  ];
  const context = {
    contacts: { find: () => ({ reachable, elsewhere: 0 }) },
  } as unknown as Parameters<typeof contactsOf>[2];
  const request = { sourceAddress: '', sourcePort: 0, transport: 'udp', calledNumber: '', callerNumber: '' };
  const target = { text: 'registered', priority: 0, weight: 1, registered: { userName: undefined } };
  const found = contactsOf(
    target as unknown as Parameters<typeof contactsOf>[0],
    { trunk_sid: 'trk' },
    context,
    new Draft('r1', request),
  );
  t.strictSame(
    found.map(({ uri, beside = [] }) => [uri, ...beside.map((one) => one.uri)].join(' + ')),
    ['sip:alice@192.0.2.1 + sip:alice@192.0.2.3', 'sip:bob@192.0.2.2', 'sip:alice@192.0.2.4', 'sip:alice@192.0.2.5'],
  );
});

t.test('redirections of a PBX that says that they are equal ring together', async (t) => {
  const rig = new CallRig({
    destinations: ['192.0.2.1:5060'],
    calleeSip: { redirects: 'follow', redirect_hosts: ['192.0.2.8', '192.0.2.9'] },
  });
  const a = rig.signal.call();
  const value =
    '<sip:12@192.0.2.8>;q=0.5, <sip:13@192.0.2.9>;q=0.5, <sip:14@192.0.2.1>;q=0.3, <sip:15@192.0.2.1>;q=0.3';
  rig.signal.b().refuses(302, { headers: [['Contact', value]] });
  t.equal(rig.signal.outgoing.length, 3, 'two more INVITEs');
  rig.signal.outgoing[1]?.refuses(486);
  rig.signal.outgoing[2]?.answers();
  a.acks();
  a.byes();
  rig.signal.outgoing[2]?.confirms();
  t.match(rig.record.attempts.at(-1), { uri: 'sip:13@192.0.2.9', branches: [{ sipStatus: 486 }, { sipStatus: 200 }] });
  t.strictSame(rig.leftovers(), []);
});
