/** 3xx of destinations: followed where the call may go, else told to the caller in words of our own. */
import t, { type Test } from 'tap';
import type { Destination } from '../../src/call/routing/decision.js';
import { redirectionsOf } from '../../src/call/bridge/redirects.js';
import { CallRig, type RigOptions } from '../support/callRig.js';
import { FakeMessage } from '../support/fakeSignal.js';

const TWO = ['192.0.2.1:5060', '192.0.2.2:5060'];
const outbound = (options: RigOptions = {}): RigOptions => ({
  direction: 'outbound',
  destinations: TWO,
  calleeSip: { redirects: 'follow', redirect_hosts: ['switch.example'] },
  ...options,
});
const contact = (...values: string[]) => ({ headers: values.map((value) => ['Contact', value] as const) });
const end = (t: Test, rig: CallRig): void => {
  rig.signal.b().answers();
  const leg = rig.signal.b();
  rig.service.registry.hangUpAll({ sipStatus: 480, reasonCode: 'ended_by_api', q850: 16 });
  leg.confirms();
  void t;
};

t.test('followed: the most wanted first, then the others, within the carrier', async (t) => {
  const rig = new CallRig(outbound());
  const { signal } = rig;
  const a = signal.call();
  signal
    .b()
    .refuses(
      302,
      contact(
        '<sip:+918040000001@192.0.2.2:5070;transport=tcp>;q=0.2, <sip:+918040000001@192.0.2.9>;q=0.9',
        '"a, b" <sip:+918040000001@switch.example;x=y?Replaces=1>;q=0.7;expires=3',
      ),
    );
  t.equal(signal.b().spec.uri, 'sip:+918040000001@switch.example', 'nothing else of what was written crosses');
  signal.b().refuses(404);
  t.equal(signal.b().spec.uri, 'sip:+918040000001@192.0.2.2:5070;transport=tcp');
  signal.b().answers();
  a.acks();
  a.byes();
  signal.b().confirms();
  t.match(rig.record, {
    outcome: 'answered',
    attempts: [
      {
        sipStatus: 302,
        redirectedTo: ['sip:+918040000001@switch.example', 'sip:+918040000001@192.0.2.2:5070;transport=tcp'],
      },
      { sipStatus: 404 },
      { result: 'answered' },
    ],
  });
  t.strictSame(rig.leftovers(), []);
});

t.test('a decline ends it, and so does one for everybody; silence goes on', async (t) => {
  for (const status of [486, 603]) {
    const rig = new CallRig(outbound());
    const { signal } = rig;
    const a = signal.call();
    signal.b().refuses(302, contact('<sip:+918040000001@192.0.2.2:5070>, <sip:+918040000001@192.0.2.2:5071>'));
    signal.b().refuses(status);
    t.equal(a.rejected?.status, status);
    t.equal(signal.outgoing.length, 2);
    t.strictSame(rig.leftovers(), []);
  }
});

t.test('a loop ends, and so do redirections without end', async (t) => {
  const loop = new CallRig(outbound({ destinations: ['192.0.2.1:5060'] }));
  const caller = loop.signal.call();
  loop.signal.b().refuses(302, contact('<sip:+918040000001@192.0.2.1:5061>'));
  loop.signal.b().refuses(302, contact('<sip:+918040000001@192.0.2.1:5060>, <sip:+918040000001@192.0.2.1:5061>'));
  t.equal(caller.rejected?.status, 480);
  t.equal(loop.signal.outgoing.length, 2);
  t.match(loop.record, { reasonCode: 'destination_3xx', attempts: [{}, { redirectedTo: [] }] });

  const rig = new CallRig(outbound({ destinations: ['192.0.2.1:5060'] }));
  const a = rig.signal.call();
  for (let port = 6000; a.rejected === undefined; port++) {
    rig.signal.b().refuses(302, contact(`<sip:+918040000001@192.0.2.1:${port}>`));
  }
  t.equal(rig.signal.outgoing.length, 11);
  t.equal(a.rejected.status, 480);
  t.strictSame(rig.leftovers(), []);
});

t.test('not followed: the caller is told 480, whatever the 3xx was', async (t) => {
  const cases: readonly [string, RigOptions, number, string][] = [
    ['by default', outbound({ calleeSip: {} }), 302, '<sip:+918040000001@192.0.2.2>'],
    ['to hosts that are none of the carrier', outbound(), 301, '<sip:+918040000001@203.0.113.9>'],
    ['to another number', outbound(), 302, '<sip:+919000000000@192.0.2.2>'],
    ['to another scheme', outbound(), 302, '<tel:+918040000001>'],
    ['to no port', outbound(), 302, '<sip:+918040000001@192.0.2.2:0>'],
    ['without a Contact', outbound(), 300, ''],
    ['305, which wants a proxy', outbound(), 305, '<sip:192.0.2.2>'],
    ['380, which describes another service', outbound(), 380, '<sip:+918040000001@192.0.2.2>'],
  ];
  for (const [what, options, status, to] of cases) {
    const rig = new CallRig(options);
    const a = rig.signal.call();
    rig.signal.b().refuses(status, to === '' ? {} : contact(to));
    t.equal(a.rejected?.status, 480, what);
    t.equal(rig.signal.outgoing.length, 1, what);
    t.notOk(
      a.rejected?.spec.headers?.some(([name]) => name === 'Contact'),
      what,
    );
    t.match(rig.record, { reasonCode: 'destination_3xx', attempts: [{ sipStatus: status }] }, what);
    t.strictSame(rig.leftovers(), []);
  }
});

t.test('a policy may send it on instead, and after early media nobody follows', async (t) => {
  const rig = new CallRig(outbound({ failover: { '3xx': 'next' }, calleeSip: {} }));
  rig.signal.call();
  rig.signal.b().refuses(302, contact('<sip:x@y>'));
  t.match(rig.signal.b().spec.uri, '192.0.2.2:5060');
  end(t, rig);
  const early = new CallRig(outbound());
  const a = early.signal.call();
  early.signal.b().progresses(183, 'media');
  early.signal.b().refuses(302, contact('<sip:+918040000001@192.0.2.2>'));
  t.equal(a.rejected?.status, 480);
  t.equal(early.signal.outgoing.length, 1);
});

t.test('a PBX may send the call to another of its own extensions, at the hosts of its trunk', async (t) => {
  const rig = new CallRig({ calleeSip: { redirects: 'follow' } });
  const a = rig.signal.call();
  rig.signal.b().refuses(302, contact('<sip:reception%20desk@127.0.20.20:5090>'));
  t.equal(rig.signal.b().spec.uri, 'sip:reception%20desk@127.0.20.20:5090');
  rig.signal.b().refuses(302, contact('<sip:+919811111111@carrier.example>'));
  t.equal(a.rejected?.status, 480);
  t.strictSame(rig.leftovers(), []);
});

t.test('hostile Contacts are read in linear time, and no more than a few of them', async (t) => {
  const from: Destination = {
    uri: 'sip:+1@192.0.2.1',
    gateway: '192.0.2.1',
    priority: 0,
    weight: 1,
    sip: { redirects: 'follow' },
  };
  const read = (...values: string[]): string[] =>
    redirectionsOf(
      new FakeMessage({ status: 302, ...contact(...values) }),
      from,
      { destinations: [from] },
      new Set(),
    ).map(({ uri }) => uri);
  t.equal(read(...Array.from({ length: 50 }, (_, i) => `<sip:1@192.0.2.1:${1000 + i}>`)).length, 5);
  for (const value of ['<'.repeat(60_000), '"'.repeat(60_001), ','.repeat(60_000), `<sip:${'@'.repeat(60_000)}>`]) {
    const before = process.cpuUsage().user;
    t.strictSame(read(value), []);
    t.ok(process.cpuUsage().user - before < 200_000, 'at once');
  }
  t.strictSame(read('<sip:1@192.0.2.1;transport=sctp>'), ['sip:1@192.0.2.1'], 'an unknown transport is left out');
});
