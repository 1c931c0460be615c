/** Kamailio as a carrier's edge: calls to it over TLS and WebSocket, proved by digest; calls from it over TLS. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { certificateFolder, makeCertificate } from '../support/certificates.js';
import { KamailioEdge } from '../support/endpointsKamailioEdge.js';
import { Sipp, type SippResult } from '../support/sipp.js';
import { crossed, has, ofKind, went } from '../support/sippChecks.js';
import { TandemNode } from '../support/tandemNode.js';
import { callIdOf } from '../support/tandemNodeSite.js';

const [NODE, PBX, EDGE, BEHIND] = ['127.0.39.21', '127.0.39.22', '127.0.39.23', '127.0.39.24'] as const;
const PORT = 39_100;
const TLS_PORT = 39_102;
const WS_PORT = 39_103;
const EDGE_PORT = 39_110;
const BEHIND_PORT = 39_120;
const PBX_PORT = 39_130;
const [OVER_TLS, OVER_WS, WRONG] = ['+918040000001', '+918040000002', '+918040000003'] as const;

const authority = makeCertificate({ name: 'authority', authority: true });
const folder = certificateFolder({
  authority,
  node: makeCertificate({ name: 'node', alternatives: [`IP:${NODE}`], issuer: authority }),
  edge: makeCertificate({ name: 'edge', alternatives: [`IP:${EDGE}`], issuer: authority }),
});
const file = (name: string): string => join(folder, name);

const edge = await KamailioEdge.start({
  address: EDGE,
  port: EDGE_PORT,
  certificate: file('edge.pem'),
  key: file('edge.key'),
  authorities: file('authority.pem'),
  realm: 'carrier.example',
  password: 'geheim',
  behind: `${BEHIND}:${BEHIND_PORT}`,
  exchange: `${NODE}:${TLS_PORT}`,
});

const carrier = (id: string, port: number, transport: string, password = 'geheim'): object => ({
  id,
  source_acl: [{ ip: EDGE }],
  gateways: [{ uri: `sip:${EDGE}:${port};transport=${transport}` }],
  credentials: { user_name: 'tandem', password, realm: 'carrier.example' },
});

const node = await TandemNode.start({
  address: NODE,
  port: PORT,
  config: {
    sip: {
      listen: [
        `udp://${NODE}:${PORT}`,
        `tcp://${NODE}:${PORT}`,
        `tls://${NODE}:${TLS_PORT}`,
        `ws://${NODE}:${WS_PORT}`,
      ],
      tls: {
        certificates: [{ certificate: file('node.pem'), key: file('node.key') }],
        authorities: file('authority.pem'),
      },
    },
  },
  routing: {
    accounts: [{ sid: 'demo' }],
    carriers: [
      carrier('tls', EDGE_PORT + 1, 'tls'),
      carrier('ws', EDGE_PORT + 2, 'ws'),
      carrier('wrong', EDGE_PORT + 1, 'tls', 'falsch'),
    ],
    trunks: [
      {
        trunk_sid: 'trk',
        account_sid: 'demo',
        trunk_name: 'pbx',
        whitelisted_ips: [{ ip: PBX }],
        destination_uris: [{ destination: `${PBX}:${PBX_PORT}` }],
        phone_numbers: [
          { phone_number: OVER_TLS, carrier: 'tls' },
          { phone_number: OVER_WS, carrier: 'ws' },
          { phone_number: WRONG, carrier: 'wrong' },
        ],
      },
    ],
  },
});
t.teardown(async () => {
  if (!t.passing()) t.comment(edge.output);
  await node.stop();
  await edge.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a call and tells what passed the edge meanwhile. */
const during = async (
  callee: { readonly scenario: string; readonly address: string; readonly port: number },
  caller: Parameters<typeof Sipp.run>[0],
): Promise<{ readonly caller: SippResult; readonly callee: SippResult; readonly passed: readonly string[] }> => {
  const before = edge.passed.length;
  const uas = await Sipp.start(callee);
  try {
    const called = await Sipp.run(caller);
    return { caller: called, callee: await uas.result, passed: edge.passed.slice(before) };
  } finally {
    await uas.stop();
  }
};

let callerPort = 39_140;
const outwards = (from: string, scenario: string) => ({
  scenario: `uac/${scenario}`,
  address: PBX,
  port: callerPort++,
  remote: node.hostPort,
  service: '+447700900123',
  keys: { caller: from },
});

for (const [name, from] of [
  ['tls', OVER_TLS],
  ['ws', OVER_WS],
] as const) {
  t.test(
    `a call to the edge over ${name}: challenged once, proved, and its dialog stays on the connection`,
    async (t) => {
      const callee = { scenario: 'uas/answer', address: BEHIND, port: BEHIND_PORT };
      const { caller, callee: called, passed } = await during(callee, outwards(from, 'answer'));
      went(t, caller, called);
      t.strictSame(passed, [`CHALLENGED INVITE ${name}`, `INVITE ${name}`, `ACK ${name}`, `BYE ${name}`]);
      has(t, await node.record(callIdOf(caller)), { outcome: 'answered', carrierId: name, endedBy: 'caller' });
      crossed(t, caller, called, 'INVITE');
      t.equal(
        ofKind(called.received, 'INVITE')[0]?.header('Proxy-Authorization'),
        undefined,
        'the edge kept the proof',
      );
    },
  );

  t.test(`the far end behind the edge hangs up, over ${name}`, async (t) => {
    const callee = { scenario: 'uas/hang_up', address: BEHIND, port: BEHIND_PORT };
    const { caller, callee: called, passed } = await during(callee, outwards(from, 'hung_up_on'));
    went(t, caller, called);
    t.equal(passed.at(-1), 'BYE udp');
    has(t, await node.record(callIdOf(caller)), { outcome: 'answered', endedBy: 'callee' });
  });
}

t.test('a wrong password: one try, and the caller learns that it failed', async (t) => {
  const before = edge.passed.length;
  const caller = await Sipp.run(outwards(WRONG, 'refused'));
  went(t, caller);
  t.strictSame(edge.passed.slice(before), ['CHALLENGED INVITE tls', 'CHALLENGED INVITE tls']);
});

t.test('a call from the edge over TLS reaches the PBX', async (t) => {
  const { caller, callee, passed } = await during(
    { scenario: 'uas/answer', address: PBX, port: PBX_PORT },
    {
      scenario: 'uac/answer',
      address: BEHIND,
      port: callerPort++,
      remote: `${EDGE}:${EDGE_PORT}`,
      service: OVER_TLS,
      keys: { caller: '+447700900123' },
    },
  );
  went(t, caller, callee);
  t.strictSame(passed, ['INVITE udp', 'ACK udp', 'BYE udp']);
  const record = await node.record(callIdOf(caller));
  has(t, record, { outcome: 'answered', direction: 'inbound', trunkSid: 'trk' });
  t.match(record.source, `tls/${EDGE}:`);
});
