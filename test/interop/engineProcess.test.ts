/** `tandem engine` as a process: unmodified drachtio-srf programs on it, SIPp at both ends. */
import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { certificateFolder, makeCertificate } from '../support/certificates.js';
import { bounded, spawnBound } from '../support/endpoints.js';
import { SipPeer } from '../support/sipPeer.js';
import { Sipp } from '../support/sipp.js';
import { went } from '../support/sippChecks.js';
import { connectSrf, event } from '../support/srfApp.js';
import { MAIN } from '../support/tandemNode.js';

const SERVER = '127.0.36.14';
const CALLER = '127.0.36.61';
const CALLEE = '127.0.36.62';
const SECRET = 'open sesame';
const SDP = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n';

interface Running {
  readonly child: ChildProcess;
  out: string;
  err: string;
  readonly ended: Promise<number | null>;
}

function tandem(args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawnBound(process.execPath, [MAIN, 'engine', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const running: Running = {
    child,
    out: '',
    err: '',
    ended: once(child, 'close').then(([code]) => code as number | null),
  };
  child.stdout?.on('data', (chunk: Buffer) => (running.out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (running.err += chunk.toString()));
  return running;
}

/** Up, and where: every port is one that was free. */
async function started(t: Test, args: readonly string[], env?: NodeJS.ProcessEnv) {
  const running = tandem([...args, '--address', SERVER, '--port', '0'], env);
  t.teardown(async () => {
    running.child.kill('SIGTERM');
    await running.ended;
  });
  const at = (name: RegExp): { address: string; port: number } => {
    const [, address = '', port = '0'] = name.exec(running.out) ?? [];
    return { address, port: Number(port) };
  };
  await bounded(
    'the engine is up',
    20_000,
    () => /programs connect to .*\n/.test(running.out) || running.child.exitCode !== null,
  );
  t.equal(running.child.exitCode, null, running.err);
  return { running, control: at(/programs connect to ([\d.]+):(\d+)/), at, sip: at(/udp\/([\d.]+):(\d+)/) };
}

const many = (calls: number) => ({ calls, rate: 20, limitMs: 60_000 });

// Processes start slowly on a busy machine.
t.setTimeout(240_000);

t.test(
  'a B2BUA program of its own process, 40 calls of SIPp through it, a clean end',
  { timeout: 120_000 },
  async (t) => {
    const { running, control, sip, at } = await started(t, [
      ...['--contact', `sip:${SERVER}:0;transport=udp`, '--contact', `sip:${SERVER}:0;transport=tcp`],
      ...['--secret', SECRET, '--metrics', `${SERVER}:0`],
    ]);
    const folder = mkdtempSync(join(tmpdir(), 'tandem-engine-'));
    const program = join(folder, 'b2bua.cjs');
    const modules = join(dirname(fileURLToPath(import.meta.resolve('drachtio-srf'))), '..');
    writeFileSync(
      program,
      `const Srf = require(${JSON.stringify(modules)});
     const srf = new Srf();
     srf.connect({ host: '${control.address}', port: ${control.port}, secret: '${SECRET}' });
     srf.on('connect', (err) => console.log(err ? 'refused' : 'connected'));
     srf.on('error', () => process.exit(0));
     srf.invite(async (req, res) => {
       const { uas, uac } = await srf.createB2BUA(req, res, 'sip:bob@${CALLEE}:36062', { localSdpB: req.body });
       uas.on('destroy', () => uac.destroy());
       uac.on('destroy', () => uas.destroy());
     });
     process.on('SIGTERM', () => process.exit(0));`,
    );
    const app = spawnBound(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const appEnded = once(app, 'close');
    let said = '';
    app.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await bounded('the program is connected', 20_000, () => said.includes('connected'));
    const callee = await Sipp.start({ address: CALLEE, port: 36_062, scenario: 'uas/answer', ...many(40) });
    const caller = await Sipp.run({
      ...{ address: CALLER, port: 36_061, scenario: 'uac/answer', ...many(40) },
      ...{ remote: `${sip.address}:${sip.port}`, keys: { caller: '1000' }, service: '2000' },
    });
    went(t, caller, await callee.result);
    t.equal(caller.succeeded, 40);

    const { address, port } = at(/statistics at http:\/\/([\d.]+):(\d+)/);
    const metrics = await (await fetch(`http://${address}:${port}/metrics`)).text();
    t.match(metrics, /drachtio_sip_requests_in_total\{method="INVITE"\} 40\n/);
    t.match(metrics, /drachtio_sip_responses_out_total\{method="INVITE",code="200"\} 40\n/);
    t.match(metrics, /drachtio_stable_dialogs\{type="inbound"\} 0\n/);
    t.match(metrics, /drachtio_sofia_dialogs 0\n/);
    t.equal((await fetch(`http://${address}:${port}/other`)).status, 404);

    running.child.kill('SIGTERM');
    t.equal(await running.ended, 0);
    t.match(running.out, /has stopped/);
    t.equal(running.err, '');
    await appEnded;
  },
);

t.test('it ends what is up before it goes', { timeout: 120_000 }, async (t) => {
  const { running, control, sip } = await started(t, ['-c', `sip:${SERVER}:0`], { DRACHTIO_SECRET: SECRET });
  const { srf } = await connectSrf({ ...control, secret: SECRET, reconnect: { maxAttempts: 1 } }, (program) => {
    program.invite((req, res) => void program.createUAS(req, res, { localSdp: SDP }));
  });
  const gone = event(srf, 'close');
  const peer = await SipPeer.open({ address: CALLER, name: 'alice' });
  t.teardown(() => peer.close());
  const call = peer.sendInvite({
    target: `${sip.address}:${sip.port}`,
    body: SDP,
    headers: [['Require', 'unheard-of']],
  });
  call.confirm(await peer.expect('200 INVITE'));
  t.match(running.out, /tcp\//, 'UDP and TCP, where no transport is named');
  running.child.kill('SIGINT');
  const bye = await peer.expectRequest('BYE');
  t.match(bye.header('Reason'), /text=/);
  bye.respond(200);
  t.equal(await running.ended, 0);
  await gone;
});

t.test(
  'TLS on both sides, remarks on what has no effect, OPTIONS of a load balancer',
  { timeout: 120_000 },
  async (t) => {
    const authority = makeCertificate({ name: 'authority', authority: true });
    const own = makeCertificate({ name: 'own', alternatives: [`IP:${SERVER}`], issuer: authority });
    const folder = certificateFolder({ own });
    const { running, at, sip } = await started(t, [
      ...['--contact', `sip:${SERVER}:0;transport=udp`, '--external-ip', '203.0.113.7'],
      ...['--contact', `sips:${SERVER}:0`, '--secret', SECRET, '--tls-port', '0'],
      ...['--chain-file', join(folder, 'own.pem'), '--key-file', join(folder, 'own.key')],
      ...['--loglevel', 'info', '--noconfig', '--user-agent-options-auto-respond', 'balancer'],
    ]);
    t.match(running.out, /udp\/203\.0\.113\.7/);
    t.match(running.out, /tls\/127\.0\.36\.14/);
    t.match(running.err, /--loglevel has no effect/);
    const peer = await SipPeer.open({ address: CALLER, name: 'balancer' });
    t.teardown(() => peer.close());
    const target = `${SERVER}:${sip.port}`;
    peer.sendRequest('OPTIONS', { target, headers: [['User-Agent', 'balancer']] });
    await peer.expect('200 OPTIONS');
    peer.sendRequest('OPTIONS', { target, headers: [['User-Agent', 'somebody']] });
    await peer.expect('503 OPTIONS');
    const secure = at(/over TLS at ([\d.]+):(\d+)/);
    const connected = await connectSrf({ ...secure, secret: SECRET, tls: { ca: authority.certificate } });
    t.equal(connected.error, undefined);
    connected.srf.disconnect();
  },
);

t.test('what cannot be understood, or cannot be had, is said in one line', { timeout: 120_000 }, async (t) => {
  const cases: [string[], RegExp][] = [
    [['--contact', 'sip:pbx.example:5060', '--secret', 'x'], /pbx\.example is a name/],
    [['--contact', 'sip:203.0.113.9:5060', '--secret', 'x'], /no network interface has this address/],
  ];
  for (const [args, message] of cases) {
    const failed = tandem(args);
    t.equal(await failed.ended, 1, args.join(' '));
    t.match(failed.err, message);
    t.equal(failed.err.trim().split('\n').length, 1);
  }
  const help = tandem(['--help']);
  t.equal(await help.ended, 0);
  t.match(help.out, /--contact URI/);
});
