/**
 * Two Kamailio between Tandem and the other end, UDP - TCP - UDP, each with double Record-Route: what follows within the
 * dialog takes that path, although the Contact names another place (RFC 3261 §12.2.1.1, §16.12).
 */
import t, { type Test } from 'tap';
import { Kamailio } from '../support/endpointsKamailio.js';
import { SipPeer } from '../support/sipPeer.js';
import { Sipp, type SippPlan, type SippResult } from '../support/sipp.js';
import { crossed, has, ofKind, went } from '../support/sippChecks.js';
import { type Lane, Site, callIdOf } from '../support/tandemNodeSite.js';

const PORT = 18_000;
const NEAR = '127.0.38.81';
const FAR = '127.0.38.82';
/** What Contacts name: a witness stands there. Only the far proxy knows where their owners are. */
const ELSEWHERE = '127.0.38.83';
const [CALLEE_ELSEWHERE, CALLER_ELSEWHERE] = [18_999, 18_998];

const through = (): object => ({
  trunk: { destination_uris: [{ destination: `${NEAR}:${PORT}` }] },
  carrier: { source_acl: [{ ip: NEAR }], gateways: [{ uri: `sip:${NEAR}:${PORT}` }] },
});
const behind = (_lane: Lane, { carrier }: Site): object => ({
  trunk: { destination_uris: [{ destination: `${NEAR}:${PORT}` }] },
  carrier: { source_acl: [{ ip: carrier }] },
});
const site: Site = new Site(
  7,
  { udp: behind, tcp: behind, hangUp: behind, busy: behind, cancel: behind, source: through },
  2,
);
const node = await site.start();
/** The callee and the caller behind the far proxy; one at a time. */
const CALLEE_PORT = 18_900;
const CALLER_PORT = 18_902;
const near = await Kamailio.start({
  name: 'near',
  address: NEAR,
  port: PORT,
  overTcp: `${FAR}:${PORT}`,
  overUdp: node.hostPort,
});
const far = await Kamailio.start({
  name: 'far',
  address: FAR,
  port: PORT,
  overTcp: `${NEAR}:${PORT}`,
  overUdp: `${site.pbx}:${CALLEE_PORT}`,
  behind: {
    [`${ELSEWHERE}:${CALLEE_ELSEWHERE}`]: `${site.pbx}:${CALLEE_PORT}`,
    [`${ELSEWHERE}:${CALLER_ELSEWHERE}`]: `${site.carrier}:${CALLER_PORT}`,
  },
});
t.teardown(async () => {
  if (!t.passing()) t.comment(`${near.output}\n${far.output}`);
  await Promise.all([near.stop(), far.stop()]);
  await node.stop();
});

/** Stands where the Contact points, and hopes to hear nothing. */
const witness = async (
  t: Test,
  port: number,
  transport: 'udp' | 'tcp',
): Promise<{ readonly peer: SipPeer; readonly place: string }> => {
  const peer = await SipPeer.open({ address: ELSEWHERE, port, transport, name: 'witness' });
  t.teardown(() => peer.close());
  return { peer, place: `${peer.hostPort}${transport === 'tcp' ? ';transport=tcp' : ''}` };
};

interface Seen {
  readonly near: readonly string[];
  readonly far: readonly string[];
}

/** Runs a call and tells what passed through the proxies during it. */
const during = async <T>(run: () => Promise<T>): Promise<readonly [T, Seen]> => {
  const before = [near.passed.length, far.passed.length] as const;
  const result = await run();
  return [result, { near: near.passed.slice(before[0]), far: far.passed.slice(before[1]) }];
};

/** A carrier's call to a callee behind both proxies. */
const call = async (lane: Lane, callerScenario: string, callee: Partial<SippPlan> & { readonly scenario: string }) => {
  const uas = await Sipp.start({ address: site.pbx, port: CALLEE_PORT, limitMs: 8000, ...callee });
  try {
    const caller: SippResult = await Sipp.run(site.callerPlan(site.inbound, lane, callerScenario, { limitMs: 8000 }));
    return { caller, callee: await uas.result, record: await node.record(callIdOf(caller)) };
  } finally {
    await uas.stop();
  }
};

for (const transport of ['udp', 'tcp'] as const) {
  void t.test(`ACK and BYE take the Record-Route path and not the Contact's (Contact: ${transport})`, async (t) => {
    const { peer, place } = await witness(t, CALLEE_ELSEWHERE, transport);
    const [{ caller, callee, record }, seen] = await during(() =>
      call(site.lane(transport), 'answer', { scenario: 'uas/contact_elsewhere', keys: { elsewhere: place } }),
    );
    went(t, caller, callee);
    has(t, record, { outcome: 'answered', endedBy: 'caller', reasonCode: 'normal_clearing' });
    t.strictSame(seen.near, ['INVITE udp', 'ACK udp', 'BYE udp'], 'Tandem sends to the first proxy, by UDP');
    t.strictSame(seen.far, ['INVITE tcp', 'ACK tcp', 'BYE tcp'], 'which sends to the second, by TCP');
    for (const kind of ['ACK', 'BYE']) {
      const [request] = ofKind(callee.received, kind);
      t.equal(request?.uri, `sip:callee@${place}`, `${kind}: the Request-URI is the Contact`);
      t.equal(request?.headerAll('Route').length, 0, `${kind}: no route is left`);
      t.equal(request?.headerAll('Via').length, 3, `${kind}: three hops`);
    }
    t.equal(peer.received.length, 0, 'nothing went to the Contact');
    t.equal(ofKind(callee.received, 'INVITE')[0]?.headerAll('Record-Route').join(',').split(',').length, 4);
    t.equal(
      ofKind(caller.received, '200 INVITE')[0]?.header('Record-Route'),
      undefined,
      'the other leg has its own path',
    );
    crossed(t, caller, callee, 'INVITE');
    crossed(t, callee, caller, '200 INVITE');
  });
}

void t.test('the callee behind the proxies hangs up', async (t) => {
  const [{ caller, callee, record }, seen] = await during(() =>
    call(site.lane('hangUp'), 'hung_up_on', { scenario: 'uas/hang_up' }),
  );
  went(t, caller, callee);
  has(t, record, { outcome: 'answered', endedBy: 'callee' });
  t.strictSame([...seen.near].sort(), ['ACK udp', 'BYE tcp', 'INVITE udp']);
  t.strictSame([...seen.far].sort(), ['ACK tcp', 'BYE udp', 'INVITE tcp']);
});

void t.test('busy behind the proxies', async (t) => {
  const { caller, callee, record } = await call(site.lane('busy'), 'refused', { scenario: 'uas/busy' });
  went(t, caller, callee);
  has(t, record, { outcome: 'busy', sipStatus: 486 });
});

void t.test('CANCEL reaches a callee behind the proxies', async (t) => {
  const lane = site.lane('cancel');
  const peer = await SipPeer.open({ address: site.pbx, port: CALLEE_PORT, name: 'callee' });
  t.teardown(() => peer.close());
  const placing = Sipp.run(site.callerPlan(site.inbound, lane, 'cancel_ringing'));
  const invite = await peer.expectRequest('INVITE');
  invite.respond(180);
  (await peer.expectRequest('CANCEL')).respond(200);
  invite.respond(487);
  await peer.expect('ACK');
  const caller = await placing;
  went(t, caller);
  has(t, await node.record(callIdOf(caller)), { outcome: 'cancelled', sipStatus: 487 });
});

void t.test('a caller behind the proxies: our BYE takes the Record-Route path of its INVITE', async (t) => {
  const { peer, place } = await witness(t, CALLER_ELSEWHERE, 'tcp');
  const lane = site.lane('source');
  const callee = await SipPeer.open({ address: NEAR, port: 18_901, name: 'callee' });
  t.teardown(() => callee.close());
  await node.publish(withDestination(lane, `${NEAR}:18901`));
  const more = { port: CALLER_PORT, remote: `${FAR}:${PORT}`, keys: { caller: '+919812345678', elsewhere: place } };
  const [caller, seen] = await during(async () => {
    const placing = Sipp.run(site.callerPlan(site.inbound, lane, 'contact_elsewhere', more));
    const invite = await callee.expectRequest('INVITE');
    const dialog = invite.dialog(invite.respond(200, { body: invite.message.body }));
    await callee.expect('ACK');
    // The caller's own ACK has to have passed: a BYE may overtake it.
    await near.saw('ACK tcp');
    dialog.send('BYE');
    await callee.expect('200 BYE');
    return placing;
  });
  went(t, caller);
  t.strictSame(seen.far, ['INVITE udp', 'ACK udp', 'BYE tcp']);
  t.strictSame(seen.near, ['INVITE tcp', 'ACK tcp', 'BYE udp']);
  t.equal(ofKind(caller.received, 'BYE')[0]?.uri, `sip:caller@${place}`, 'the Request-URI is the Contact');
  t.equal(peer.received.length, 0, 'nothing went to the Contact');
  has(t, await node.record(callIdOf(caller)), {
    outcome: 'answered',
    endedBy: 'callee',
    source: `udp/${NEAR}:${PORT}`,
  });
});

/** The site's routing with another destination of one trunk. */
function withDestination(lane: Lane, destination: string): object {
  const routing = structuredClone(site.routing()) as { trunks: { trunk_sid: string; destination_uris: object[] }[] };
  for (const trunk of routing.trunks) {
    if (trunk.trunk_sid === lane.trunkSid) trunk.destination_uris = [{ destination }];
  }
  return routing;
}
