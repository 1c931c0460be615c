/** Overload control: the controller against a simulated server, and what the engine does with messages meanwhile. */
import t, { type Test } from 'tap';
import { NO_OVERLOAD, type OverloadState, nextOverload } from '../../src/call/admission/overload.js';
import { type OverloadChange, OverloadGuard } from '../../src/call/admission/overloadGuard.js';
import { ManualClock, SystemLoadProbe } from '../../src/kernel/index.js';
import { createEngine, type IncomingInvite, type OverloadGate } from '../../src/sip/index.js';
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
  [1.2, 0.95],
  [2, 0.95],
  [10, 0.8],
] as const) {
  t.test(
    `at ${times} times the capacity ${least * 100}% of it are served; 5 s later nothing is left of it`,
    async (t) => {
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
      t.ok(mean(during.slice(5), ({ repeated }) => repeated) < 0.001 * C, 'nobody has to send again');
      const after = seconds.slice(70);
      t.equal(
        mean(after, ({ refused, queued }) => refused + queued),
        0,
        'nobody is refused, nobody waits',
      );
      t.ok(shareOfC(after) > 0.58, `${shareOfC(after).toFixed(3)} of the capacity, as offered`);
      t.same(
        changes.map(({ on }) => on),
        [true, false],
        'it began once and ended once',
      );
      t.ok(changes[1]!.refused > (times - 1.1) * C * 60, `${changes[1]!.refused} refused`);
    },
  );
}

t.test('a server that is busy, but not full, refuses nobody', async (t) => {
  const { seconds } = runServer([{ seconds: 60, rate: 0.93 * C }], { controlled: true });
  t.equal(
    seconds.reduce((sum, { refused }) => sum + refused, 0),
    0,
  );
});

const sampled = (state: OverloadState, busy: number, rate: number, times = 1): OverloadState => {
  let next = state;
  for (let i = 0; i < times; i++) {
    const offered = rate / 10;
    const admitted = Math.min(offered, next.limit / 10);
    next = nextOverload(next, { periodMs: 100, busy, offered, admitted }, { target: 0.9 });
  }
  return next;
};

/** A node that has served thousands of calls, and none for a while. */
const WARM: OverloadState = { ...NO_OVERLOAD, served: 3000 };

t.test('the controller: what makes it begin, what makes it end', async (t) => {
  t.equal(sampled(WARM, 1, 500, 5).limit, Infinity, 'a pause of 500 ms is none of its business');
  t.equal(sampled(WARM, 1, 30, 100).limit, Infinity, 'nor a thread that is busy with other things than calls');
  const limited = sampled(sampled(WARM, 0.5, 500, 20), 1, 500, 6);
  t.ok(limited.limit > 400 && limited.limit < 500, `${limited.limit.toFixed(0)} a second`);
  t.ok(sampled(limited, 1, 5000, 5).limit < 0.6 * limited.limit, 'it falls while the processor is full');
  t.equal(sampled(limited, 1, 5000, 500).limit, 50, 'but not to nothing');
  t.ok(sampled(limited, 0.5, 5000, 5).limit > 1.15 * limited.limit, 'it rises while there is room');
  t.not(sampled(limited, 0.5, 5000, 12).limit, Infinity, 'it stays while more is offered than it allows');
  t.equal(sampled(limited, 0.5, 100, 20).limit, Infinity, 'it ends when less is offered, after a second');
});

t.test('a new process has three seconds to compile its code', async (t) => {
  const soon = sampled(NO_OVERLOAD, 1, 300, 29);
  t.equal(soon.limit, Infinity, 'nobody is refused meanwhile');
  t.ok(sampled(soon, 1, 300).limit < 300, 'and no longer');
  const quick = sampled(NO_OVERLOAD, 0.5, 3000, 10);
  t.ok(sampled(quick, 1, 3000, 6).limit < 3000, 'after thousands of calls it is like any other');
});

t.test('a load that was served before is refused only when it stays too much', async (t) => {
  const usual = sampled(NO_OVERLOAD, 0.8, 500, 300);
  const stalled = nextOverload(usual, { periodMs: 400, busy: 1, offered: 5, admitted: 5 }, { target: 0.9 });
  t.equal(sampled(stalled, 1, 620, 12).limit, Infinity, 'a thread that stood still catches up');
  t.equal(sampled(usual, 1, 500, 49).limit, Infinity, 'a machine that slows down for five seconds is waited for');
  t.ok(sampled(usual, 1, 500, 50).limit < 500, 'and no longer');
  const froze = nextOverload(usual, { periodMs: 1200, busy: 1, offered: 5, admitted: 5 }, { target: 0.9 });
  t.equal(sampled(froze, 1, 850, 16).limit, Infinity, 'what was offered while it stood still is no surge');
  t.ok(sampled(usual, 1, 1000, 9).limit < 1000, 'twice as many calls are too many after a second');
});

/** A guard that is made to limit by a probe that says so. */
const limitedGuard = (t: Test, more: { emergencyNumbers?: readonly string[]; listed?: string } = {}) => {
  const clock = new ManualClock();
  const changes: OverloadChange[] = [];
  const load = { busy: 1 };
  const guard = new OverloadGuard({
    clock,
    probe: { busy: () => load.busy },
    settings: { target: 0.9 },
    emergencyNumbers: more.emergencyNumbers ?? [],
    isListed: (address) => more.listed === undefined || address === more.listed,
    onChange: (change) => changes.push(change),
  });
  t.teardown(() => guard.close());
  const saturate = (): void => {
    // Longer than a new process is given.
    for (let i = 0; i < 35; i++) {
      for (let call = 0; call < 30; call++)
        if (guard.active) guard.admits('a', 'sip:x@h');
        else guard.counted();
      clock.advance(100);
    }
  };
  return { clock, guard, changes, load, saturate };
};

t.test('emergency calls and senders that nobody lists are let through', async (t) => {
  const { guard, saturate } = limitedGuard(t, { emergencyNumbers: ['112'], listed: 'a' });
  saturate();
  t.equal(guard.active, true);
  for (let i = 0; i < 1000 && guard.admits('a', 'sip:+911@h'); i++);
  t.equal(guard.admits('a', 'sip:+911@h'), false);
  for (const uri of [
    'urn:service:sos',
    'URN:service:sos.fire',
    'sip:112@h',
    'sip:112;x=y@h',
    'tel:112;phone-context=+91',
  ]) {
    t.equal(guard.admits('a', uri), true, uri);
  }
  t.equal(guard.admits('a', 'sip:1123@h'), false);
  t.equal(guard.admits('stranger', 'sip:+911@h'), true, 'strangers are refused elsewhere, at less cost');
  const waits = new Set(Array.from({ length: 9 }, () => (guard.admits('a', 'sip:x@h'), guard.retryAfterS)));
  t.same([...waits].sort(), [1, 2, 3], 'not all come back at once');
});

t.test('it tells when it begins and ends, and what it refused', async (t) => {
  const { clock, guard, changes, load, saturate } = limitedGuard(t);
  saturate();
  load.busy = 0.2;
  clock.advance(3000);
  t.same(
    changes.map(({ on }) => on),
    [true, false],
  );
  t.equal(guard.active, false);
  t.ok(changes[1]!.refused > 0);
  t.equal(guard.lossPercent, 0);
  t.match(guard.dump(), { limitPerS: Infinity });
  guard.close();
  t.equal(clock.pending, 0, 'no timer is left');
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
  const gate = { active: false, lossPercent: 0, retryAfterS: 2, asked: [] as string[], open: true, seen: 0 };
  const overload: OverloadGate = {
    get active() {
      return gate.active;
    },
    get lossPercent() {
      return gate.lossPercent;
    },
    get retryAfterS() {
      return gate.retryAfterS;
    },
    counted: () => void gate.seen++,
    admits: (address, uri) => {
      gate.asked.push(`${address} ${uri}`);
      return gate.open;
    },
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
  const send = (text: string): readonly string[] => {
    const before = peer.got.length;
    peer.send(text, HERE);
    clock.advance(50);
    return peer.got.slice(before).map(({ raw }) => raw.toString('latin1'));
  };
  return { engine, gate, invites, errors, send };
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

t.test(
  'a new call is refused in one datagram, with everything that the caller needs, and leaves nothing behind',
  async (t) => {
    const { engine, gate, invites, errors, send } = await site(t);
    gate.active = true;
    gate.open = false;
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
    t.match(engine.dump(), { serverTransactions: 0, strayAcks: 0, requestsIn: 2 });
    t.same(gate.asked, [`${THERE} sip:+911@${HERE}`]);
    gate.open = true;
    t.match(send(request('INVITE', { via: ';rport' }))[0], /^SIP\/2\.0 503/, 'what repeats it is refused again');
    t.equal(gate.asked.length, 1);
    send(request('INVITE', { call: 'c2' }));
    t.equal(invites.length, 1, 'the next one comes in');
    t.same(errors, []);
  },
);

t.test(
  'what belongs to calls that are there passes: repeats, CANCEL, ACK, BYE, re-INVITE; and so does all else',
  async (t) => {
    const { gate, invites, errors, send } = await site(t);
    t.match(send(request('INVITE'))[0], /^SIP\/2\.0 100/);
    gate.active = true;
    gate.open = false;
    t.match(send(request('INVITE'))[0], /^SIP\/2\.0 100/, 'a repeated INVITE is answered by its transaction');
    invites[0]?.respond(200);
    const [ok = ''] = send(request('INVITE'));
    t.match(ok, /^SIP\/2\.0 200/);
    const to = /^To:.*(;tag=\w+)/m.exec(ok)?.[1] ?? '';
    send(request('ACK', { to }));
    send(request('INVITE', { to, seq: 2 }));
    t.match(send(request('OPTIONS', { call: 'o1' }))[0], /^SIP\/2\.0 200/);
    t.same(gate.asked, []);
    send(request('INVITE', { call: 'c9' }));
    t.equal(gate.asked.length, 1, 'only the new call was asked about');
    t.match(send(request('BYE', { to, seq: 3 })).join(), /SIP\/2\.0 200/);
    t.same(errors, []);
  },
);

t.test('CANCEL withdraws a call that came in before', async (t) => {
  const { gate, errors, send } = await site(t);
  send(request('INVITE'));
  gate.active = true;
  gate.open = false;
  const answers = send(request('CANCEL')).join('\n');
  t.match(answers, /SIP\/2\.0 200[^]*SIP\/2\.0 487/);
  t.same(errors, []);
});

t.test('an INVITE in any spelling is refused, and costs no more than one answer', async (t) => {
  const { engine, gate, invites, errors, send } = await site(t);
  gate.active = true;
  gate.open = false;
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
  t.match(engine.dump(), { serverTransactions: 0 });
  t.same(errors, []);
});

t.test('a peer that asks by oc is told what to keep to itself (RFC 7339)', async (t) => {
  const { gate, invites, errors, send } = await site(t);
  const asking = (call: string, via: string) => send(request('INVITE', { call, via }))[0] ?? '';
  t.match(asking('c1', ';oc;oc-algo="loss,rate"'), /;oc=0;oc-algo="loss";oc-validity=0;oc-seq=\d+\.\d{3}/);
  t.notMatch(asking('c2', ''), /;oc/, 'who does not ask is told nothing');
  t.notMatch(asking('c3', ';oc;oc-algo="rate"'), /;oc=/, 'nor who knows other algorithms only');
  gate.active = true;
  gate.open = false;
  gate.lossPercent = 40;
  t.match(asking('c4', ';oc;oc-algo="loss"'), /^SIP\/2\.0 503[^]*;oc=40;oc-algo="loss";oc-validity=500;oc-seq=/);
  t.match(asking('c5', ';oc'), /;oc=40;/);
  gate.open = true;
  t.match(asking('c6', ';oc'), /^SIP\/2\.0 100[^]*;oc=40;/, 'also in the answers of calls that are let in');
  t.equal(invites.length, 4);
  t.same(errors, []);
});
