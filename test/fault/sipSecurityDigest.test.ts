/** S12: passwords of ours, and who asks for them. The edge calls through a carrier that has credentials. */
import t, { type Test } from 'tap';
import { parseDigest, printDigest } from '../../src/sip/auth/challenge.js';
import { type Stage, openStage } from '../support/edgeStage.js';
import { FOREIGN, NUMBER, TOWN, peerAt, sdpOf, townRouting } from '../support/edgeTown.js';
import type { PeerDialog, PeerRequest, SipPeer } from '../support/sipPeer.js';

const ADDRESS = '127.0.34.2';
const PORT = 34_100;
const PORTS = { carrier: 34_110, pbx: 34_120 };
const REALM = 'telco.example';
const credentials = { user_name: 'acme', password: 'geheim', realm: REALM };

t.setTimeout(60_000);

const challenge = (realm: string, nonce: string): string =>
  printDigest(
    [
      ['realm', realm],
      ['nonce', nonce],
      ['qop', 'auth'],
    ],
    'challenge',
  );
const asking = (status: 401 | 407, value: string): readonly (readonly [string, string])[] => [
  [status === 401 ? 'WWW-Authenticate' : 'Proxy-Authenticate', value],
];
const proofs = (peer: SipPeer): string[] =>
  peer.received.flatMap((message) => [
    ...message.headerAll('Authorization'),
    ...message.headerAll('Proxy-Authorization'),
  ]);

interface Call extends Stage {
  /** The caller's end, and the callee's. */
  readonly a: PeerDialog;
  readonly b: PeerDialog;
}

const open = (t: Test): Promise<Stage> =>
  openStage(t, { address: ADDRESS, port: PORT, routing: townRouting(PORTS, { carrier: { credentials } }) }, PORTS);

const invite = (rig: Stage['rig'], pbx: SipPeer) =>
  pbx.sendInvite({
    target: rig.hostPort,
    uri: `sip:${FOREIGN}@${rig.hostPort}`,
    from: `<sip:${NUMBER}@${ADDRESS}>;tag=a`,
    body: sdpOf(TOWN.pbx),
  });

/** A call that is up; `contact` is where the callee says that it is. */
const establish = async (t: Test, contact?: string): Promise<Call> => {
  const { rig, pbx, telco } = await open(t);
  const called = invite(rig, pbx);
  const arrived = await telco.expectRequest('INVITE');
  const ok = arrived.respond(200, { body: sdpOf(TOWN.carrier), ...(contact === undefined ? {} : { contact }) });
  const a = called.confirm(await pbx.expect('200 INVITE'));
  return { rig, pbx, telco, a, b: arrived.dialog(ok) };
};

t.test(
  'S12: a challenge for another realm, or for none of ours, gets no password; the caller is told 403',
  async (t) => {
    const { rig, pbx, telco } = await open(t);
    for (const realm of ['evil.example', `${REALM}.evil.example`, `x${REALM}`, '', 'TELCO.EXAMPLE', `${REALM}\\"`]) {
      for (const status of [401, 407] as const) {
        invite(rig, pbx);
        (await telco.expectRequest('INVITE')).respond(status, { headers: asking(status, challenge(realm, 'n')) });
        await pbx.expect('403 INVITE');
      }
    }
    t.strictSame(proofs(telco), [], '0 passwords');
  },
);

t.test('S12: within the call, whatever asks: BYE, re-INVITE, INFO, UPDATE, MESSAGE', async (t) => {
  const { pbx, telco, a } = await establish(t);
  for (const method of ['INFO', 'UPDATE', 'MESSAGE', 'INVITE']) {
    a.send(method, method === 'INVITE' ? { body: sdpOf(TOWN.pbx) } : {});
    (await telco.expectRequest(method)).respond(407, { headers: asking(407, challenge('evil.example', 'n')) });
    await pbx.expect(`403 ${method}`);
    if (method === 'INVITE') await telco.expect('ACK');
  }
  a.send('BYE');
  (await telco.expectRequest('BYE')).respond(407, { headers: asking(407, challenge('evil.example', 'n')) });
  await pbx.expect('200 BYE');
  t.strictSame(proofs(telco), [], '0 passwords');
});

t.test('S12: a Contact that leads elsewhere does not take the password along, not even for our realm', async (t) => {
  const evil = await peerAt(TOWN.stranger, 34_166);
  t.teardown(() => evil.close());
  const { pbx, a } = await establish(t, `<sip:x@${TOWN.stranger}:34166>`);
  await evil.expect('ACK');
  a.send('INFO');
  (await evil.expectRequest('INFO')).respond(401, { headers: asking(401, challenge(REALM, 'n')) });
  await pbx.expect('403 INFO');
  a.send('BYE');
  (await evil.expectRequest('BYE')).respond(407, { headers: asking(407, challenge(REALM, 'm')) });
  await pbx.expect('200 BYE');
  t.strictSame(proofs(evil), [], '0 passwords');
});

t.test('S12: each nonce is answered once, and no challenge is a loop', async (t) => {
  const { rig, pbx, telco } = await open(t);
  /** A carrier that never has enough. @returns nonces that were answered, until the caller was told 403 */
  const insatiable = async (challenges: readonly string[]): Promise<string[]> => {
    const before = proofs(telco).length;
    invite(rig, pbx);
    for (const value of challenges) {
      (await telco.expectRequest('INVITE')).respond(407, { headers: [['Proxy-Authenticate', value]] });
    }
    await pbx.expect('403 INVITE');
    return proofs(telco)
      .slice(before)
      .map((one) => parseDigest(one)?.get('nonce') ?? '');
  };
  t.strictSame(await insatiable([challenge(REALM, 'a'), challenge(REALM, 'a')]), ['a'], 'the same nonce again');
  t.strictSame(
    await insatiable([challenge(REALM, 'b'), challenge(REALM, 'c')]),
    ['b'],
    'wrong is wrong with any nonce',
  );
  const stale = ['d', 'e', 'f', 'g'].map((nonce) => `${challenge(REALM, nonce)}, stale=true`);
  t.strictSame(await insatiable(stale), ['d', 'e', 'f'], 'too old, they say, and too old again');
  const staleOnce = `${challenge(REALM, 'h')}, stale=true`;
  t.strictSame(await insatiable([staleOnce, staleOnce]), ['h'], 'stale, but the same');
  t.equal(telco.count('INVITE'), 2 + 2 + 4 + 2);
});

t.test('S12: the rightful carrier is answered: INVITE, re-INVITE and its ACK, INFO, BYE', async (t) => {
  const { rig, pbx, telco } = await open(t);
  const called = invite(rig, pbx);
  (await telco.expectRequest('INVITE')).respond(407, { headers: asking(407, challenge(REALM, 'i')) });
  await telco.expect('ACK');
  const proved = async (method: string): Promise<PeerRequest> => {
    const asked = await telco.expectRequest(method);
    t.match(parseDigest(asked.header('Proxy-Authorization') ?? '')?.get('realm'), REALM, method);
    return asked;
  };
  (await proved('INVITE')).respond(200, { body: sdpOf(TOWN.carrier) });
  const a = called.confirm(await pbx.expect('200 INVITE'));
  await telco.expect('ACK');
  for (const method of ['INFO', 'INVITE']) {
    a.send(method, method === 'INVITE' ? { body: sdpOf(TOWN.pbx) } : {});
    (await telco.expectRequest(method)).respond(407, { headers: asking(407, challenge(REALM, method)) });
    if (method === 'INVITE') await telco.expect('ACK');
    (await proved(method)).respond(200, method === 'INVITE' ? { body: sdpOf(TOWN.carrier) } : {});
    await pbx.expect(`200 ${method}`);
  }
  a.ack(a.cseq);
  const ack = await telco.expect('ACK');
  t.match(ack.header('Proxy-Authorization'), /^Digest /, 'RFC 3261 §22.1');
  a.send('BYE');
  (await telco.expectRequest('BYE')).respond(407, { headers: asking(407, challenge(REALM, 'BYE')) });
  (await proved('BYE')).respond(200);
  await pbx.expect('200 BYE');
});

t.test('S12: what callers prove to us goes no further, nor do challenges of the far end to them', async (t) => {
  const { rig, pbx, telco } = await open(t);
  const credentialsOfCaller = 'Digest username="u", realm="tandem", nonce="n", uri="u", response="00"';
  pbx.sendInvite({
    ...{ target: rig.hostPort, uri: `sip:${FOREIGN}@${rig.hostPort}`, from: `<sip:${NUMBER}@${ADDRESS}>;tag=a` },
    headers: [
      ['Authorization', credentialsOfCaller],
      ['Proxy-Authorization', credentialsOfCaller],
    ],
    body: sdpOf(TOWN.pbx),
  });
  const arrived = await telco.expectRequest('INVITE');
  t.strictSame(proofs(telco), []);
  arrived.respond(401, { headers: asking(401, challenge('evil.example', 'n')) });
  const told = await pbx.expect('403 INVITE');
  t.equal(told.header('WWW-Authenticate') ?? told.header('Proxy-Authenticate'), undefined);
});
