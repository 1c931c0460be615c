/** S15 for SIP: destinations of tenants that lead inside, by whatever notation or name, at publishing and at calling. */
import t from 'tap';
import { Control, DirectoryHolder } from '../../src/control/index.js';
import { forbiddenTarget } from '../../src/control/callTargets.js';
import { egressPolicy } from '../../src/media/stream/egress.js';
import type { Resource } from '../../src/call/routing/resources.js';
import { EdgeRig } from '../support/edgeRig.js';
import { FOREIGN, NUMBER, TOWN, peerAt, sdpOf, townRouting } from '../support/edgeTown.js';

const ADDRESS = '127.0.34.8';
const PORT = 34_700;
const PORTS = { carrier: 34_710, pbx: 34_720 };
const EDGE = `${ADDRESS}:${PORT}`;
/** The carrier's, which is the operator's word, and nothing else inside. */
const egress = egressPolicy([]);

t.setTimeout(60_000);
t.ok(Control !== undefined && DirectoryHolder !== undefined);

const INSIDE = [
  '127.0.0.1',
  '127.0.34.20',
  '10.0.0.1',
  '192.168.0.1',
  '172.16.0.1',
  '169.254.169.254',
  '100.64.0.1',
  '[::1]',
  '[fe80::1]',
  '[fd00::1]',
  '[::ffff:127.0.0.1]',
  '0.0.0.0',
  '224.0.0.1',
  '168.63.129.16',
];

const trunkTo = (...destinations: string[]): Resource => ({
  type: 'trunk',
  value: {
    ...{ trunk_sid: 'trk', account_sid: 'acme', trunk_name: 'pbx', whitelisted_ips: [] },
    destination_uris: destinations.map((destination) => ({ destination, priority: 0, weight: 1 })),
  },
});
const carrierAt = (uri: string): Resource => ({
  type: 'carrier',
  value: {
    ...{ id: 'own', kind: 'byo', account_sid: 'acme', source_acl: [] },
    gateways: [{ uri, priority: 0, weight: 1 }],
  },
});

t.test('publishing: trunks, carriers brought along and flows must not name what is inside', async (t) => {
  const nothing = { trunk: () => undefined, carrier: () => undefined };
  for (const host of INSIDE) {
    t.ok(forbiddenTarget([trunkTo(`${host}:5060;transport=udp`)], nothing, egress), `trunk: ${host}`);
    t.ok(forbiddenTarget([carrierAt(`sip:${host}:5060`)], nothing, egress), `carrier: ${host}`);
    const nodes = { dial: { applet: 'connect', params: { to: [`sip:bob@${host}`] } } };
    const flow = { type: 'flow', value: { id: 'f', version: 1, start: 'dial', nodes } } as unknown as Resource;
    t.ok(forbiddenTarget([flow], nothing, egress), `flow: ${host}`);
  }
  t.equal(forbiddenTarget([trunkTo('8.8.8.8:5060', 'pbx.example:5060')], nothing, egress), undefined);
  const before = trunkTo('10.0.0.1:5060');
  const known = { ...nothing, trunk: () => (before.type === 'trunk' ? before.value : undefined) };
  t.equal(forbiddenTarget([before], known, egress), undefined, 'what the operator has put there stays');
  t.ok(forbiddenTarget([trunkTo('10.0.0.1:5060', '10.0.0.2:5060')], known, egress), 'what is new does not');
  t.equal(forbiddenTarget([trunkTo('10.0.0.1')], nothing, egressPolicy(['10.0.0.0/8'])), undefined, 'calls.egress');
});

t.test('calling: nothing is sent inside, neither to an address nor to where a name leads', async (t) => {
  const pbx = await peerAt(TOWN.pbx, PORTS.pbx);
  const telco = await peerAt(TOWN.carrier, PORTS.carrier);
  t.teardown(() => Promise.all([pbx.close(), telco.close()]));
  const destinations = [`${TOWN.pbx}:${PORTS.pbx}`, `rebound.example:${PORTS.pbx}`, `127.1:${PORTS.pbx}`];
  for (const [index, destination] of destinations.entries()) {
    const port = PORT + 30 + 2 * index;
    let rig: EdgeRig;
    try {
      const trunk = { destination_uris: [{ destination, priority: 0, weight: 1 }] };
      rig = await EdgeRig.open({
        address: ADDRESS,
        port,
        routing: townRouting(PORTS, { trunk }),
        egress,
        names: { 'rebound.example': [TOWN.pbx] },
      });
    } catch {
      t.pass(`${destination} is no destination at all`);
      continue;
    }
    t.teardown(() => rig.close());
    telco.sendInvite({
      target: rig.hostPort,
      uri: `sip:${NUMBER}@${rig.hostPort}`,
      from: `<sip:${FOREIGN}@x>;tag=a`,
      body: sdpOf(TOWN.carrier),
    });
    const told = await telco.expect((one) => !one.isRequest && one.status >= 300);
    t.ok(told.status >= 400, `${destination}: ${told.status}`);
    t.equal(pbx.received.length, 0, '0 connections');
    t.match(rig.recorder.records[0]?.attempts, [{ result: /address_not_allowed|unresolved_host/ }]);
  }
  // What the operator has said himself is called: the carrier's gateway is inside, too.
  const rig = await EdgeRig.open({ address: ADDRESS, port: PORT, routing: townRouting(PORTS), egress });
  t.teardown(() => rig.close());
  pbx.sendInvite({
    target: EDGE,
    uri: `sip:${FOREIGN}@${EDGE}`,
    from: `<sip:${NUMBER}@x>;tag=b`,
    body: sdpOf(TOWN.pbx),
  });
  (await telco.expectRequest('INVITE')).respond(486);
  await pbx.expect('486 INVITE');
});
