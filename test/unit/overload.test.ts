/** Overload control: who waits and who is refused, against a simulated server, and what the engine does with messages meanwhile. */
import t, { type Test } from 'tap';
import { type OverloadChange, OverloadGuard } from '../../src/call/admission/overloadGuard.js';
import { ManualClock, SystemLoadProbe } from '../../src/kernel/index.js';
import { createEngine, type IncomingInvite, type OverloadGate } from '../../src/sip/index.js';
import { MORE_TO_READ, NewCalls } from '../../src/sip/transaction/newCalls.js';
import { MOST_WAITING, WaitingCalls } from '../../src/sip/transaction/waitingCalls.js';
import { SimResolver, SimWorld } from '../../src/net/index.js';
import { SeededRandom } from '../../src/kernel/index.js';
import { CAPACITY as C, type Second, runServer } from '../support/overloadedServer.js';
import { SimPeer } from '../support/simPeer.js';

const mean = (seconds: readonly Second[], of: (second: Second) => number): number =>
  seconds.reduce((sum, second) => sum + of(second), 0) / seconds.length;
const shareOfC = (seconds: readonly Second[]): number => mean(seconds, ({ good }) => good) / C;

t.test('without control a server at twice its capacity serves nobody in time', async (t) => {
  const { seconds } = runServer([{ seconds: 15, rate: 2 * C }], { controlled: false });
  t.ok(shareOfC(seconds.slice(5)) < 0.05, `${shareOfC(seconds.slice(5)).toFixed(2)} of the capacity`);
});

for (const [times, least] of [
  [1.2, 0.97],
  [2, 0.97],
  // Refusing nine tenths takes 15 % of the thread.
  [10, 0.82],
] as const) {
  t.test(`at ${times} times the capacity ${least * 100}% of it are served; nothing is left of it then`, async (t) => {
    const phases = [
      { seconds: 5, rate: 0.6 * C },
      { seconds: 60, rate: times * C },
      { seconds: 10, rate: 0.6 * C },
    ];
    const { seconds, changes } = runServer(phases, { controlled: true });
    const during = seconds.slice(5, 65);
    t.ok(shareOfC(during) >= least, `${shareOfC(during).toFixed(3)} of the capacity`);
    t.equal(
      mean(seconds.slice(0, 5), ({ refused }) => refused),
      0,
      'nobody is refused before',
    );
    t.equal(
      mean(during.slice(2), ({ repeated, lost }) => repeated + lost),
      0,
      'nothing is lost, nobody has to send again',
    );
    const longestMs = Math.max(...during.slice(3).map((second) => second.longestMs));
    t.ok(longestMs < 200, `a call that comes in is served within ${longestMs.toFixed(0)} ms, 30 of them its callee's`);
    const after = seconds.slice(70);
    t.ok(
      after.every(({ refused, queued }) => refused === 0 && queued <= 5),
      'nobody is refused, nobody waits for more than a moment',
    );
    t.ok(shareOfC(after) > 0.58, `${shareOfC(after).toFixed(3)} of the capacity, as offered`);
    t.same(
      changes.map(({ on }) => on),
      [true, false],
      'it began once and ended once',
    );
    t.ok(changes[1]!.refused > (times - 1.1) * C * 60, `${changes[1]!.refused} refused`);
  });
}

const refusedOf = ({ seconds }: { readonly seconds: readonly Second[] }): number =>
  seconds.reduce((sum, { refused }) => sum + refused, 0);

t.test('a server that is busy, but not full, refuses nobody', async (t) => {
  t.equal(refusedOf(runServer([{ seconds: 60, rate: 0.93 * C }], { controlled: true })), 0);
});

t.test('a thread that stood still catches up, and refuses nobody', async (t) => {
  const rate = 0.6 * C;
  const phases = [{ seconds: 5, rate }, ...[300, 600, 300].map((pauseMs) => ({ seconds: 5, rate, pauseMs }))];
  t.equal(refusedOf(runServer(phases, { controlled: true })), 0);
});

t.test('calls that wait: a burst may wait for 400 ms, a queue that stands for what is configured', async (t) => {
  const waiting = new WaitingCalls<number>(50);
  t.equal(waiting.next(0), undefined);
  let entered = 0;
  while (waiting.enter(entered, 0)) entered++;
  t.equal(entered, MOST_WAITING, 'there are so many places');
  t.ok(waiting.isRefusing(0));
  t.match(waiting.next(10), { call: 0, isLate: false });
  t.equal(waiting.enter(entered, 399), true, 'a place is free');
  t.match(waiting.next(400), { call: 1, isLate: false });
  t.equal(waiting.enter(entered + 1, 401), false, 'the first has waited for 401 ms');
  t.match(waiting.next(800), { call: 2, isLate: false }, 'those who were let in are served for as long again');
  t.match(waiting.next(801), { call: 3, isLate: true });
  let left = 0;
  while (waiting.next(802) !== undefined) left++;
  t.equal(left + 4, MOST_WAITING + 1, 'each leaves once');
  t.equal(waiting.size, 0);

  const standing = new WaitingCalls<number>(50);
  // One comes and one goes each 10 ms, and each has waited for 100.
  for (let i = 0; i < 10; i++) standing.enter(i, 10 * i);
  let nowMs = 100;
  const step = (): boolean => {
    standing.next(nowMs);
    const isIn = standing.enter(0, nowMs);
    nowMs += 10;
    return isIn;
  };
  let steps = 0;
  while (step()) steps++;
  t.ok(steps >= 90 && steps <= 92, `for a second that is a burst: ${steps * 10} ms`);
  for (let i = 0; i < 30; i++) step();
  t.ok(standing.size <= 6, `${standing.size} wait: a queue of 50 ms`);
  t.ok(standing.isRefusing(nowMs));
  t.notOk(standing.isRefusing(nowMs + 1000));
  while (standing.next(nowMs) !== undefined);
  nowMs += 2000;
  standing.enter(0, nowMs);
  t.equal(standing.enter(0, nowMs + 300), true, 'a second without refusals, and a burst may wait again');
});

t.test(
  'of one turn a few go on at once; those who wait do so for what there is to read, but not for ever',
  async (t) => {
    const clock = new ManualClock();
    const ends: (() => void)[] = [];
    const served: number[] = [];
    const calls = new NewCalls<number>({
      clock,
      targetMs: 50,
      atEndOfTurn: (done) => void ends.push(done),
      onNext: (call) => {
        served.push(call);
        clock.advance(0.5);
      },
    });
    const endTurn = (): void => ends.splice(0).forEach((done) => done());
    const turn = (messages: number): void => {
      for (let i = 0; i < messages; i++) calls.heard();
      endTurn();
    };
    let atOnce = 0;
    while (calls.mayGoOn()) atOnce++;
    t.equal(atOnce, 8);
    for (let i = 0; i < 6; i++) t.equal(calls.enter(i), true);
    t.equal(ends.length, 1, 'one visit at the end of the turn');
    turn(1);
    t.same(served, [0, 1, 2, 3], 'two milliseconds of them');
    t.equal(calls.mayGoOn(), false, 'nobody passes those who wait');
    for (let at = clock.nowMs(); clock.nowMs() < at + 19;) {
      clock.advance(1);
      turn(MORE_TO_READ);
    }
    t.equal(served.length, 4, 'a socket that holds more is read');
    clock.advance(2);
    turn(MORE_TO_READ);
    t.same(served, [0, 1, 2, 3, 4, 5], 'for 20 ms');
    t.same(ends, [], 'nobody waits: no more visits');
    t.equal(calls.mayGoOn(), true);
  },
);

const guardOf = (t: Test, more: { emergencyNumbers?: readonly string[]; listed?: string } = {}) => {
  const clock = new ManualClock();
  const changes: OverloadChange[] = [];
  const load = { busy: 1 };
  const guard = new OverloadGuard({
    clock,
    probe: { busy: () => load.busy },
    targetMs: 50,
    emergencyNumbers: more.emergencyNumbers ?? [],
    isListed: (address) => more.listed === undefined || address === more.listed,
    onChange: (change) => changes.push(change),
  });
  t.teardown(() => guard.close());
  return { clock, guard, changes, load };
};

t.test('emergency calls and senders that nobody lists neither wait nor are refused', async (t) => {
  const { guard } = guardOf(t, { emergencyNumbers: ['112'], listed: 'a' });
  t.equal(guard.isExempt('a', 'sip:+911@h'), false);
  for (const uri of [
    'urn:service:sos',
    'URN:service:sos.fire',
    'sip:112@h',
    'sip:112;x=y@h',
    'tel:112;phone-context=+91',
  ]) {
    t.equal(guard.isExempt('a', uri), true, uri);
  }
  t.equal(guard.isExempt('a', 'sip:1123@h'), false);
  t.equal(guard.isExempt('stranger', 'sip:+911@h'), true, 'strangers are refused elsewhere, at less cost');
  const waits = new Set(Array.from({ length: 9 }, () => (guard.refused(), guard.retryAfterS)));
  t.same([...waits].sort(), [1, 2, 3], 'not all come back at once');
});

t.test('it tells when it begins and ends, what it refused, and peers the share of it', async (t) => {
  const { clock, guard, changes, load } = guardOf(t);
  for (let i = 0; i < 100; i++) guard.letIn();
  t.equal(clock.pending, 0, 'it costs nothing while nobody is refused');
  for (let i = 0; i < 30; i++) guard.refused();
  for (let i = 0; i < 70; i++) guard.letIn();
  t.match(guard.dump(), { active: true, refused: 30, busy: 1 });
  clock.advance(500);
  t.equal(guard.lossPercent, 30);
  load.busy = 0.2;
  clock.advance(999);
  t.match(guard.dump(), { active: true, busy: 0.2 });
  t.equal(guard.lossPercent, 0);
  clock.advance(1);
  t.same(changes, [
    { on: true, refused: 0 },
    { on: false, refused: 30 },
  ]);
  t.match(guard.dump(), { active: false, refused: 30 });
  t.equal(clock.pending, 0, 'no timer is left');
  guard.refused();
  t.equal(changes.length, 3, 'it begins anew');
  guard.close();
  guard.refused();
  t.equal(clock.pending, 0, 'nor after the end');
});

t.test('the probe of this process: between idle and busy, rests are not work', async (t) => {
  let restedMs = 0;
  const probe = new SystemLoadProbe(() => restedMs);
  const busyFor = (ms: number): void => {
    const until = performance.now() + ms;
    while (performance.now() < until);
  };
  probe.busy();
  busyFor(60);
  t.ok(probe.busy() > 0.5, 'a thread that works is busy');
  for (let i = 0; i < 3; i++) t.ok(probe.busy() >= 0 && probe.busy() <= 1);
  const before = performance.now();
  busyFor(80);
  restedMs += 0.75 * (performance.now() - before);
  const share = probe.busy();
  t.ok(share > 0.1 && share < 0.5, `${share}: three quarters of it were rest`);
  restedMs += 1000;
  t.equal(probe.busy(), 0, 'never below 0');
});

// ------------------------------------------------------------------ the engine under it

const HERE = '192.0.2.1';
const THERE = '192.0.2.2';

const site = async (t: Test) => {
  const clock = new ManualClock();
  const random = new SeededRandom(5);
  const world = new SimWorld({ clock, random });
  const ends: (() => void)[] = [];
  const gate = { lossPercent: 0, exempt: [] as string[], letIn: 0, refused: 0 };
  const overload: OverloadGate = {
    targetMs: 50,
    retryAfterS: 2,
    get lossPercent() {
      return gate.lossPercent;
    },
    isExempt: (address, uri) => gate.exempt.includes(`${address} ${uri}`),
    letIn: () => void gate.letIn++,
    refused: () => void gate.refused++,
    atEndOfTurn: (done) => void ends.push(done),
  };
  const invites: IncomingInvite[] = [];
  const errors: unknown[] = [];
  const engine = await createEngine({
    network: world.host(HERE),
    clock,
    random,
    resolver: new SimResolver({}, { clock }),
    listen: [{ transport: 'udp', address: HERE, port: 5060 }],
    overload,
    handler: {
      onInvite: (invite) => void invites.push(invite),
      onRequest: (request) => void request.respond(200),
    },
    onEvent: (event) => event.type === 'user_error' && errors.push(event.error),
  });
  const peer = await SimPeer.udp(world, THERE);
  t.teardown(() => engine.stop());
  const got = (act: () => void): readonly string[] => {
    const before = peer.got.length;
    act();
    return peer.got.slice(before).map(({ raw }) => raw.toString('latin1'));
  };
  const send = (text: string): readonly string[] =>
    got(() => {
      peer.send(text, HERE);
      clock.advance(20);
    });
  const endTurn = (): readonly string[] =>
    got(() => {
      ends.splice(0).forEach((done) => done());
      clock.advance(20);
    });
  /** Calls of this turn that go on at once, until the next has to wait. */
  const fill = (): void => {
    for (let i = 0; i < 8; i++) send(request('INVITE', { call: `f${i}` }));
    invites.splice(0);
  };
  /** One that waits for so long that all others are refused. */
  const overflow = (): void => {
    fill();
    send(request('INVITE', { call: 'late' }));
    clock.advance(401);
  };
  return { engine, gate, invites, errors, send, endTurn, fill, overflow, clock };
};

const request = (
  method: string,
  more: { call?: string; to?: string; seq?: number; branch?: string; via?: string; fields?: string[] } = {},
): string => {
  const { call = 'c1', to = '', seq = 1, branch = `z9hG4bK${call}${seq}`, via = '', fields = [] } = more;
  return [
    `${method} sip:+911@${HERE} SIP/2.0`,
    `Via: SIP/2.0/UDP ${THERE}:5060;branch=${branch}${via}`,
    'Via: SIP/2.0/TCP inner.example;branch=z9hG4bKinner',
    'Max-Forwards: 70',
    `From: "A" <sip:a@${THERE}>;tag=${call}`,
    `To: <sip:+911@${HERE}>${to}`,
    `Call-ID: ${call}`,
    `CSeq: ${seq} ${method === 'CANCEL' ? 'CANCEL' : method}`,
    `Contact: <sip:a@${THERE}>`,
    ...fields,
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
};

t.test('a new call that waits hears nothing, and is served as any other at the end of the turn', async (t) => {
  const { engine, gate, invites, errors, send, endTurn, fill } = await site(t);
  t.match(send(request('INVITE', { call: 'c0' }))[0], /^SIP\/2\.0 100/, 'a few of each turn do not wait');
  t.same(endTurn(), []);
  fill();
  t.same(send(request('INVITE')), []);
  t.same(send(request('INVITE')), [], 'nor does it when it is repeated');
  const [trying, ...none] = endTurn();
  t.match(trying, /^SIP\/2\.0 100[^]*Call-ID: c1\r/);
  t.same(none, []);
  t.equal(invites.length, 1);
  t.match(send(request('INVITE'))[0], /^SIP\/2\.0 100/, 'then its transaction answers');
  t.match(gate, { letIn: 1, refused: 0 });
  t.match(engine.dump(), { requestsIn: 12 });
  t.same(errors, []);
});

t.test('CANCEL withdraws a call that waits', async (t) => {
  const { errors, invites, send, endTurn, fill } = await site(t);
  fill();
  send(request('INVITE'));
  const answers = send(request('CANCEL')).join('\n');
  t.match(answers, /SIP\/2\.0 100[^]*SIP\/2\.0 200[^]*SIP\/2\.0 487/);
  t.equal(invites.length, 1);
  t.same(endTurn(), [], 'it does not come in again');
  t.equal(invites.length, 1);
  t.same(errors, []);
});

t.test('who has waited for too long is refused', async (t) => {
  const { gate, invites, send, endTurn, overflow, clock } = await site(t);
  overflow();
  clock.advance(400);
  t.match(endTurn().join(), /^SIP\/2\.0 503[^]*Call-ID: late\r/);
  t.equal(invites.length, 0);
  t.match(gate, { letIn: 0, refused: 1 });
  t.same(send(request('INVITE')), [], 'the next one waits, though there is room: for a second all do');
  t.match(endTurn()[0], /^SIP\/2\.0 100/);
  clock.advance(1000);
  t.match(send(request('INVITE', { call: 'c2' }))[0], /^SIP\/2\.0 100/);
});

t.test(
  'a new call is refused in one datagram, with everything that the caller needs, and leaves nothing behind',
  async (t) => {
    const { engine, gate, invites, errors, send, endTurn, overflow } = await site(t);
    overflow();
    const [refusal, ...none] = send(request('INVITE', { via: ';rport' }));
    t.same(none, []);
    t.same(refusal?.split('\r\n'), [
      'SIP/2.0 503 Service Unavailable',
      `Via: SIP/2.0/UDP ${THERE}:5060;branch=z9hG4bKc11;rport=5060;received=${THERE}`,
      'Via: SIP/2.0/TCP inner.example;branch=z9hG4bKinner',
      `From: "A" <sip:a@${THERE}>;tag=c1`,
      refusal?.split('\r\n')[4],
      'Call-ID: c1',
      'CSeq: 1 INVITE',
      'Retry-After: 2',
      'Reason: SIP;cause=503;text="overload"',
      'Content-Length: 0',
      '',
      '',
    ]);
    const to = /^To: <sip:\+911@192\.0\.2\.1>(;tag=\w{16,})$/m.exec(refusal?.replaceAll('\r', '') ?? '')?.[1] ?? '';
    t.ok(to);
    t.same(send(request('ACK', { to })), [], 'its ACK is silence');
    t.same(invites, []);
    t.match(engine.dump(), { serverTransactions: 8, strayAcks: 0, requestsIn: 11 });
    t.match(gate, { letIn: 0, refused: 1 });
    endTurn();
    t.equal(invites.length, 1, 'the one before it comes in');
    t.match(send(request('INVITE', { via: ';rport' }))[0], /^SIP\/2\.0 503/, 'what repeats it is refused again');
    t.equal(gate.refused, 1, 'but not counted again');
    gate.exempt.push(`${THERE} sip:+911@${HERE}`);
    send(request('INVITE', { call: 'c2' }));
    t.equal(invites.length, 2, 'who is exempt does not wait');
    t.same(errors, []);
  },
);

t.test(
  'what belongs to calls that are there passes: repeats, CANCEL, ACK, BYE, re-INVITE; and so does all else',
  async (t) => {
    const { gate, invites, errors, send, endTurn, overflow } = await site(t);
    t.match(send(request('INVITE'))[0], /^SIP\/2\.0 100/);
    const [call] = invites;
    endTurn();
    overflow();
    t.match(send(request('INVITE'))[0], /^SIP\/2\.0 100/, 'a repeated INVITE is answered by its transaction');
    call?.respond(200);
    const [ok = ''] = send(request('INVITE'));
    t.match(ok, /^SIP\/2\.0 200/);
    const to = /^To:.*(;tag=\w+)/m.exec(ok)?.[1] ?? '';
    send(request('ACK', { to }));
    send(request('INVITE', { to, seq: 2 }));
    t.match(send(request('OPTIONS', { call: 'o1' }))[0], /^SIP\/2\.0 200/);
    t.equal(gate.refused, 0);
    t.match(send(request('INVITE', { call: 'c9' }))[0], /^SIP\/2\.0 503/);
    t.equal(gate.refused, 1, 'only the new call was');
    t.match(send(request('BYE', { to, seq: 3 })).join(), /SIP\/2\.0 200/);
    t.same(errors, []);
  },
);

t.test('CANCEL withdraws a call that came in before', async (t) => {
  const { errors, send, endTurn, overflow } = await site(t);
  send(request('INVITE'));
  endTurn();
  overflow();
  const answers = send(request('CANCEL')).join('\n');
  t.match(answers, /SIP\/2\.0 200[^]*SIP\/2\.0 487/);
  t.same(errors, []);
});

t.test('an INVITE in any spelling is refused, and costs no more than one answer', async (t) => {
  const { engine, invites, errors, send, overflow } = await site(t);
  overflow();
  send(request('INVITE', { call: 'first' }));
  const plain = request('INVITE');
  const spelt: readonly [string, string][] = [
    ['compact', plain.replaceAll('Via:', 'v:').replace('From:', 'f:').replace('To:', 't:').replace('Call-ID:', 'i:')],
    ['other case', plain.replaceAll('Via: ', 'VIA : ')],
    ['folded', plain.replace('From: "A" ', 'From:\r\n "A" ')],
    ['no blanks', plain.replaceAll(': ', ':')],
    ['several in one field', plain.replace('\r\nVia: SIP/2.0/TCP', ', SIP/2.0/TCP')],
  ];
  spelt.forEach(([name, text], i) => {
    const [answer, ...none] = send(text.replaceAll('c1', `s${i}`));
    t.match(answer, /^SIP\/2\.0 503/, name);
    t.match(answer, /Retry-After: 2/, name);
    t.equal([...(answer ?? '').matchAll(/SIP\/2\.0\/(?:UDP|TCP)/g)].length, 2, `${name}: both Vias`);
    t.same(none, []);
  });
  t.same(invites, []);
  t.match(engine.dump(), { serverTransactions: 8 });
  t.same(errors, []);
});

t.test('a peer that asks by oc is told what to keep to itself (RFC 7339)', async (t) => {
  const { gate, invites, errors, send, endTurn, overflow } = await site(t);
  const asking = (call: string, via: string) => send(request('INVITE', { call, via }))[0] ?? '';
  t.match(asking('c1', ';oc;oc-algo="loss,rate"'), /;oc=0;oc-algo="loss";oc-validity=0;oc-seq=\d+\.\d{3}/);
  t.notMatch(asking('c2', ''), /;oc/, 'who does not ask is told nothing');
  t.notMatch(asking('c3', ';oc;oc-algo="rate"'), /;oc=/, 'nor who knows other algorithms only');
  t.equal(invites.length, 3);
  endTurn();
  overflow();
  gate.lossPercent = 40;
  t.match(asking('c4', ';oc;oc-algo="loss"'), /^SIP\/2\.0 503[^]*;oc=40;oc-algo="loss";oc-validity=500;oc-seq=/);
  t.match(asking('c5', ';oc'), /;oc=40;/);
  endTurn();
  t.equal(asking('c6', ';oc'), '');
  t.match(endTurn()[0], /^SIP\/2\.0 100[^]*;oc=40;/, 'also in the answers of calls that are let in');
  t.same(errors, []);
});
