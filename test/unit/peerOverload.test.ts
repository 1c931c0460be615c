/** RFC 7339 on the sending side: what next hops say by `oc` is obeyed towards them, and towards nobody else. */
import t from 'tap';
import { PeerOverload } from '../../src/call/admission/peerOverload.js';
import { overloadWord } from '../../src/sip/index.js';
import { EdgeRig } from '../support/edgeRig.js';
import { FOREIGN, NUMBER, TOWN, peerAt, sdpOf, townRouting } from '../support/edgeTown.js';
import type { SipPeer } from '../support/sipPeer.js';

const G = '192.0.2.1:5060';
const VIA = 'SIP/2.0/UDP h;rport;branch=z9hG4bK1';
const told = (oc: number, more = ';oc-algo="loss";oc-validity=1000;oc-seq=1.0'): string => `${VIA};oc=${oc}${more}`;

/** As the signalling plane hands it on. */
const hear = (peers: PeerOverload, gateway: string, via: string, nowMs: number): void => {
  const word = overloadWord(via);
  if (word !== undefined) peers.heard(gateway, word, nowMs);
};

const fresh = (roll = 0.5): PeerOverload => new PeerOverload({ roll: () => roll, emergencyNumbers: ['112'] });

t.test('a share of the calls is kept, for as long as it was said', (t) => {
  let roll = 0;
  const peers = new PeerOverload({ roll: () => (roll = (roll + 0.01) % 1), emergencyNumbers: [] });
  t.notOk(peers.keeps(G, '1', 0), 'nothing said, nothing kept');
  hear(peers, G, told(30), 0);
  let kept = 0;
  for (let i = 0; i < 1000; i++) if (peers.keeps(G, '1', 999)) kept++;
  t.ok(kept >= 290 && kept <= 310, `${kept} of 1000`);
  t.equal(peers.kept, kept);
  t.same(peers.dump(999), [{ gateway: G, lossPercent: 30 }]);
  t.notOk(peers.keeps('192.0.2.2:5060', '1', 999), 'others are not concerned');
  t.same(peers.dump(1000), [], 'over (RFC 7339 §4.4)');
  t.notOk(peers.keeps(G, '1', 1000));
  t.end();
});

t.test('words that end it, or that are none', (t) => {
  const cases: readonly (readonly [name: string, via: string, kept: boolean])[] = [
    ['100 percent', told(100), true],
    ['without oc-validity: half a second', told(100, ''), true],
    ['without quotes', told(100, ';oc-algo=loss'), true],
    ['0 percent', told(0), false],
    ['no time at all', told(100, ';oc-algo="loss";oc-validity=0'), false],
    ['another algorithm', told(100, ';oc-algo="rate";oc-validity=1000'), false],
    ['more than all', told(101), false],
    ['less than nothing', `${VIA};oc=-1`, false],
    ['no number', `${VIA};oc=x`, false],
    ['our own question', `${VIA};oc;oc-algo="loss"`, false],
    ['a parameter that ends in oc', `${VIA};xoc=100`, false],
    ['within quotes of another parameter', `${VIA};x=";oc=100"`, false],
    ['in capitals, with spaces', `${VIA} ; OC = 100 ; OC-Algo = "LOSS"`, true],
  ];
  for (const [name, via, kept] of cases) {
    const peers = fresh();
    hear(peers, G, via, 0);
    t.equal(peers.keeps(G, '1', 400), kept, name);
  }
  t.end();
});

t.test('the latest word counts, and emergencies go on', (t) => {
  const peers = fresh();
  hear(peers, G, told(100, ';oc-validity=1000;oc-seq=5.5'), 0);
  hear(peers, G, told(0, ';oc-validity=1000;oc-seq=5.4'), 0);
  t.ok(peers.keeps(G, '1', 10), 'an older answer that comes later');
  t.notOk(peers.keeps(G, '112', 10));
  hear(peers, G, told(0, ';oc-validity=0;oc-seq=5.6'), 20);
  t.notOk(peers.keeps(G, '1', 30));
  hear(peers, G, told(100, ';oc-validity=999999999;oc-seq=6'), 0);
  t.notOk(peers.keeps(G, '1', 61_000), 'nobody is believed for longer than a minute');
  t.end();
});

t.test('10,000 next hops are remembered, not more', (t) => {
  const peers = fresh(0);
  for (let i = 0; i <= 10_000; i++) hear(peers, `g${i}`, told(50), 0);
  t.equal(peers.dump(1).length, 10_000);
  t.notOk(peers.keeps('g0', '1', 1));
  t.end();
});

/** Answers with what a loaded server writes into our Via. */
const answer = (
  peer: SipPeer,
  request: Awaited<ReturnType<SipPeer['expectRequest']>>,
  oc: string,
  to: string,
): void => {
  const { message } = request;
  peer.send(
    [
      'SIP/2.0 503 Service Unavailable',
      `Via: ${(message.header('Via') ?? '').replace(';oc;oc-algo="loss"', oc)}`,
      `From: ${message.header('From') ?? ''}`,
      `To: ${message.header('To') ?? ''};tag=x`,
      `Call-ID: ${message.callId}`,
      `CSeq: ${message.cseq}`,
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n'),
    { address: to, port: 45_600 },
  );
};

t.test('a gateway that asks to be spared is passed over; where there is no other, the caller gets 503', async (t) => {
  const ADDRESS = '127.45.4.1';
  const PORTS = { carrier: 45_610, pbx: 45_620 };
  const gateway = (port: number, priority: number): object => ({
    uri: `sip:${TOWN.carrier}:${port}`,
    priority,
    weight: 1,
  });
  const gateways = [gateway(45_610, 0), gateway(45_611, 1)];
  const peers = new PeerOverload({ roll: () => 0.5, emergencyNumbers: [] });
  const rig = await EdgeRig.open({
    ...{ address: ADDRESS, port: 45_600, peers },
    routing: townRouting(PORTS, { carrier: { gateways } }),
  });
  const pbx = await peerAt(TOWN.pbx, PORTS.pbx);
  const first = await peerAt(TOWN.carrier, 45_610);
  const second = await peerAt(TOWN.carrier, 45_611);
  t.teardown(async () => {
    await rig.close();
    for (const one of [pbx, first, second]) await one.close();
  });
  const call = (): void =>
    void pbx.sendInvite({
      ...{ target: rig.hostPort, uri: `sip:${FOREIGN}@${rig.hostPort}`, from: `<sip:${NUMBER}@${ADDRESS}>;tag=a` },
      ...{ body: sdpOf(TOWN.pbx), retransmitMs: 500 },
    });
  const minute = ';oc-algo="loss";oc-validity=60000';
  call();
  const asked = await first.expectRequest('INVITE');
  t.match(asked.message.header('Via'), /;oc;oc-algo="loss"$/, 'RFC 7339 §4.1');
  answer(first, asked, `;oc=100${minute};oc-seq=1`, ADDRESS);
  await first.expect('ACK');
  (await second.expectRequest('INVITE')).respond(486);
  await pbx.expect('486 INVITE');
  t.same(peers.dump(rig.clock.nowMs()), [{ gateway: `${TOWN.carrier}:45610`, lossPercent: 100 }]);

  call();
  answer(second, await second.expectRequest('INVITE'), `;oc=100${minute};oc-seq=1`, ADDRESS);
  await second.expect('ACK');
  await pbx.expect('503 INVITE');
  const [kept] = rig.events.filter((event) => event.type === 'attempt_ended').slice(-2);
  t.match(kept, { record: { result: 'destination_overloaded' } }, 'the first was not asked');
  t.equal(first.received.filter(({ isRequest, method }) => isRequest && method === 'INVITE').length, 1);

  call();
  const refused = await pbx.expect('503 INVITE');
  t.match(refused.header('Reason'), /destination_overloaded/);
  t.equal(peers.kept, 3);
});
