/** S19: calls over TLS to peers that cannot prove who they are, or prove to be somebody else. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { NodeNetwork, SimResolver, TlsIdentity } from '../../src/net/index.js';
import { type SipEngine, createEngine } from '../../src/sip/index.js';
import { type Certificate, certificateFolder, makeCertificate } from '../support/certificates.js';

const [US, PEER] = ['127.0.31.40', '127.0.31.41'] as const;
const DAY_MS = 86_400_000;

const authority = makeCertificate({ name: 'Test Authority', authority: true });
const stranger = makeCertificate({ name: 'Another Authority', authority: true });
const us = makeCertificate({ name: 'us', alternatives: [`IP:${US}`], issuer: authority });
const alternatives = ['DNS:carrier.example'];

const open = async (t: Test, address: string, certificate: Certificate, onInvite: () => void): Promise<SipEngine> => {
  const clock = new SystemClock();
  const folder = certificateFolder({ own: certificate, authority });
  const certificates = [{ certificate: join(folder, 'own.pem'), key: join(folder, 'own.key') }];
  const authorities = join(folder, 'authority.pem');
  const tls = new TlsIdentity({ certificates, authorities }, clock, (problem) => t.fail(problem.message));
  const names = { 'carrier.example': [PEER], 'other.example': [PEER], 'wrong.example': [PEER] };
  const engine = await createEngine({
    network: new NodeNetwork({ clock, tls }),
    clock,
    random: new SystemRandom(),
    resolver: new SimResolver(names, { clock }),
    listen: [{ transport: 'tls', address, port: 0 }],
    handler: {
      onInvite: (invite) => {
        onInvite();
        invite.respond(486);
      },
      onRequest: (request) => void request.respond(200),
    },
  });
  t.teardown(() => {
    engine.stop();
    tls.close();
    rmSync(folder, { recursive: true });
  });
  return engine;
};

const stage = async (t: Test, certificate: Certificate) => {
  const calls = { heard: 0 };
  const peer = await open(t, PEER, certificate, () => calls.heard++);
  const engine = await open(t, US, us, () => {});
  const port = (peer.listening[0] as string).split(':').at(-1);
  const call = (host: string): Promise<string> =>
    new Promise((resolve) => {
      const sent = engine.invite(
        { uri: `sip:bob@${host}:${port};transport=tls` },
        {
          onProvisional: () => {},
          onAnswered: () => resolve('answered'),
          onFailed: (response, origin) => resolve(`${response.status} ${origin}`),
        },
      );
      if ('refusal' in sent) resolve(sent.refusal);
    });
  return { calls, call };
};

const CASES: readonly [string, Certificate, string][] = [
  ['a wrong name', makeCertificate({ name: 'x', alternatives, issuer: authority }), 'wrong.example'],
  [
    'a certificate that is out of date',
    makeCertificate({
      name: 'x',
      alternatives,
      issuer: authority,
      from: new Date(Date.now() - 20 * DAY_MS),
      until: new Date(Date.now() - DAY_MS),
    }),
    'carrier.example',
  ],
  ['a self-signed certificate', makeCertificate({ name: 'carrier.example', alternatives }), 'carrier.example'],
  ['an unknown authority', makeCertificate({ name: 'x', alternatives, issuer: stranger }), 'carrier.example'],
  [
    'the name as common name alone',
    makeCertificate({ name: 'carrier.example', alternatives: ['DNS:x.example'], issuer: authority }),
    'carrier.example',
  ],
];

for (const [what, certificate, host] of CASES) {
  t.test(`S19: ${what}: no call`, async (t) => {
    const { calls, call } = await stage(t, certificate);
    t.equal(await call(host), '503 transport');
    t.equal(await call(host), '503 transport', 'nor the second time');
    t.equal(calls.heard, 0);
  });
}

t.test('S19: a connection that was checked for one name carries no call for another', async (t) => {
  const { calls, call } = await stage(t, makeCertificate({ name: 'x', alternatives, issuer: authority }));
  t.equal(await call('carrier.example'), '486 network');
  t.equal(await call('other.example'), '503 transport', 'the connection to the same place is open, and not taken');
  t.equal(await call(PEER), '503 transport', 'nor for the bare address');
  t.equal(await call('carrier.example'), '486 network');
  t.equal(calls.heard, 2);
});
