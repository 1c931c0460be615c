/** The control port and what it tells: TLS, several programs, records, statistics. By unmodified drachtio-srf. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DrachtioServer } from '../../src/drachtio/index.js';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { NodeNetwork, TlsIdentity } from '../../src/net/index.js';
import { certificateFolder, makeCertificate } from '../support/certificates.js';
import { DrachtioClient } from '../support/drachtioClient.js';
import { DrachtioRig, SECRET } from '../support/drachtioRig.js';
import { type SrfMessage, type SrfProgram, connectSrf, event, failure, startSrf } from '../support/srfApp.js';

const SERVER = '127.0.36.13';
const CALLER = '127.0.36.51';
const CALLEE = '127.0.36.52';
const FAST = { t1Ms: 20, t2Ms: 80, t4Ms: 50 };
const SDP = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n';

async function stage(t: Test, prepare?: (srf: SrfProgram) => void) {
  const rig = await DrachtioRig.start({ address: SERVER, timers: FAST });
  const srf = await startSrf(rig.control, SECRET, prepare);
  t.teardown(async () => {
    srf.disconnect();
    await rig.stop();
  });
  return {
    rig,
    srf,
    caller: await rig.peer(CALLER, { name: 'alice' }),
    callee: await rig.peer(CALLEE, { name: 'bob' }),
  };
}

t.test('records of calls: attempt, start and stop, with their source, role and reason', async (t) => {
  const records: string[] = [];
  let heard: () => void = () => undefined;
  const note = (name: string, source: string, detail: string, message: SrfMessage): void => {
    const what = message.method !== undefined && message.status === undefined ? message.method : message.status;
    records.push([name, source, detail, what].filter((each) => each !== '').join(' '));
    heard();
  };
  const { rig, srf, caller, callee } = await stage(t, (program) => {
    program.on('cdr:attempt', (source: string, _time: string, message: SrfMessage) =>
      note('attempt', source, '', message),
    );
    for (const name of ['start', 'stop']) {
      program.on(`cdr:${name}`, (source: string, _time: string, detail: string, message: SrfMessage) =>
        note(name, source, detail, message),
      );
    }
    program.invite((req, res) => {
      if (req.uri.includes('busy')) return res.send(486);
      if (req.uri.includes('ring')) return res.send(180);
      if (req.uri.includes('proxy')) return void srf.proxyRequest(req, callee.uri, { remainInDialog: true });
      void srf.createUAS(req, res, { localSdp: SDP });
    });
  });
  /** The next `n` records, in any order. */
  const recorded = async (n: number): Promise<string[]> => {
    while (records.length < n) await new Promise<void>((resolve) => (heard = resolve));
    return records.splice(0, n).sort();
  };
  const call = caller.sendInvite({ target: rig.sip(), body: SDP });
  const dialog = call.confirm(await caller.expect('200 INVITE'));
  dialog.send('BYE');
  await caller.expect('200 BYE');
  t.strictSame(await recorded(3), [
    'attempt network INVITE',
    'start application uas 200',
    'stop network normal-release BYE',
  ]);

  caller.sendInvite({ target: rig.sip(), uri: `sip:busy@${rig.sip()}`, body: SDP });
  await caller.expect('486 INVITE');
  t.strictSame(await recorded(2), ['attempt network INVITE', 'stop application call-rejected 486']);

  const ringing = caller.sendInvite({ target: rig.sip(), uri: `sip:ring@${rig.sip()}`, body: SDP });
  await caller.expect('180 INVITE');
  ringing.cancel();
  await caller.expect('487 INVITE');
  t.strictSame(await recorded(2), ['attempt network INVITE', 'stop network call-canceled CANCEL']);

  const pending = srf.createUAC(callee.uri, { localSdp: SDP });
  (await callee.expectRequest('INVITE')).respond(200, { body: SDP });
  const uac = await pending;
  const gone = uac.destroy();
  (await callee.expectRequest('BYE')).respond(200);
  await gone;
  const expected = ['attempt application INVITE', 'start network uac 200', 'stop application normal-release BYE'];
  t.strictSame(await recorded(3), expected);

  const refused = failure(srf.createUAC(callee.uri, { localSdp: SDP }));
  (await callee.expectRequest('INVITE')).respond(404);
  await refused;
  t.strictSame(await recorded(2), ['attempt application INVITE', 'stop network call-rejected 404']);

  // The caller never acknowledges.
  caller.sendInvite({ target: rig.sip(), body: SDP });
  await caller.expect('200 INVITE');
  (await caller.expectRequest('BYE')).respond(200);
  t.strictSame(await recorded(3), [
    ...['attempt network INVITE', 'start application uas 200', 'stop application system-initiated-termination BYE'],
  ]);

  const proxied = caller.sendInvite({ target: rig.sip(), uri: `sip:proxy@${rig.sip()}`, body: SDP });
  (await callee.expectRequest('INVITE')).respond(200, { body: SDP });
  const answer = await caller.expect('200 INVITE');
  t.strictSame(await recorded(4), [
    ...['attempt application INVITE', 'attempt network INVITE', 'start application proxy-uas 200'],
    'start network proxy-uac 200',
  ]);
  proxied.confirm(answer).send('BYE');
  (await callee.expectRequest('BYE')).respond(200);
  t.strictSame(await recorded(1), ['stop network normal-release BYE']);
});

t.test('statistics in the format of Prometheus, under the names of drachtio-server', async (t) => {
  const { rig, srf, caller, callee } = await stage(t, (program) => {
    program.invite((req, res) => void srf.createUAS(req, res, { localSdp: SDP }));
    program.options((_req, res) => res.send(200));
  });
  const call = caller.sendInvite({ target: rig.sip(), body: SDP });
  const dialog = call.confirm(await caller.expect('200 INVITE'));
  caller.sendRequest('OPTIONS', { target: rig.sip() });
  await caller.expect('200 OPTIONS');
  const pending = srf.createUAC(callee.uri, { localSdp: SDP });
  const invite = await callee.expectRequest('INVITE');
  invite.respond(180);
  invite.respond(200, { body: SDP });
  const uac = await pending;
  await callee.expect('ACK');
  const lines = rig.server.metrics().split('\n');
  for (const line of [
    'drachtio_build_info{version="v0.9.10-tandem-trying"} 1',
    'drachtio_sip_requests_in_total{method="INVITE"} 1',
    'drachtio_sip_requests_in_total{method="OPTIONS"} 1',
    'drachtio_sip_requests_out_total{method="INVITE"} 1',
    'drachtio_sip_responses_in_total{method="INVITE",code="180"} 1',
    'drachtio_sip_responses_out_total{method="INVITE",code="200"} 1',
    'drachtio_stable_dialogs{type="inbound"} 1',
    'drachtio_stable_dialogs{type="outbound"} 1',
    'drachtio_app_connections 1',
    'drachtio_call_answer_seconds_in_count 1',
    'drachtio_call_answer_seconds_out_bucket{le="1"} 1',
    'drachtio_call_pdd_seconds_out_count 1',
    'drachtio_proxy_cores 0',
    'drachtio_sofia_dialogs 2',
  ]) {
    t.ok(lines.includes(line), line);
  }
  t.ok(lines.some((line) => /^drachtio_time_started \d{10}$/.test(line)));
  // Each series is described once, and nothing stands there that is no sample.
  const described = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2]);
  t.equal(new Set(described).size, described.length);
  for (const line of lines.filter((each) => each !== '' && !each.startsWith('#'))) {
    t.match(line, /^drachtio_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [\d.e+-]+$/);
  }
  dialog.send('BYE');
  await caller.expect('200 BYE');
  const gone = uac.destroy();
  (await callee.expectRequest('BYE')).respond(200);
  await gone;
  t.match(rig.server.metrics(), /drachtio_stable_dialogs\{type="inbound"\} 0\n/);
});

t.test(
  'several programs: each gets the methods that it registered for, in turns; a wrong secret gets none',
  async (t) => {
    const served: string[] = [];
    const { rig, caller } = await stage(t, (program) =>
      program.options((_req, res) => res.send(200, {}, () => served.push('first'))),
    );
    const second = await startSrf(rig.control, SECRET, (program) => {
      program.options((_req, res) => res.send(200, {}, () => served.push('second')));
      program.use('message', (_req, res) => res.send(202));
    });
    await rig.until(({ routes }) => (routes as { options?: number }).options === 2);
    for (let i = 0; i < 4; i++) {
      const call = caller.sendRequest('OPTIONS', { target: rig.sip() });
      await caller.expect((m) => m.callId === call.callId);
    }
    await rig.until(() => served.length === 4);
    t.strictSame(served, ['first', 'second', 'first', 'second']);
    caller.sendRequest('MESSAGE', { target: rig.sip() });
    await caller.expect('202 MESSAGE');
    second.disconnect();
    await rig.until(({ sessions }) => (sessions as unknown[]).length === 1);
    caller.sendRequest('MESSAGE', { target: rig.sip() });
    await caller.expect('503 MESSAGE');

    const impostor = await connectSrf({ ...rig.control, secret: 'wrong' });
    t.match(impostor.error, /failed to authenticate/);
    impostor.srf.disconnect();
  },
);

t.test('the control port over TLS', async (t) => {
  const authority = makeCertificate({ name: 'authority', authority: true });
  const own = makeCertificate({ name: 'control', alternatives: [`IP:${SERVER}`], issuer: authority });
  const folder = certificateFolder({ own });
  const clock = new SystemClock();
  const files = { certificate: join(folder, 'own.pem'), key: join(folder, 'own.key') };
  const identity = new TlsIdentity({ certificates: [files] }, clock, (problem) => t.fail(problem.message));
  const network = new NodeNetwork({ clock, tls: identity });
  const listen = { address: SERVER, port: 0 };
  const server = new DrachtioServer({
    ...{ network, clock, listen, listenTls: listen, secret: SECRET, random: new SystemRandom() },
  });
  await server.listen();
  t.teardown(() => {
    server.stop();
    identity.close();
  });
  const port = server.tlsAddress?.port ?? 0;
  const trusting = await connectSrf({ address: SERVER, port, secret: SECRET, tls: { ca: authority.certificate } });
  t.equal(trusting.error, undefined);
  t.match(trusting.version, /^v0\.9\.10/);
  const gone = event(trusting.srf, 'close');
  trusting.srf.disconnect();
  await gone;
});

t.test('session timers: the server says them in the program’s name, and refuses what is too brief', async (t) => {
  const { rig, srf, caller, callee } = await stage(t, (program) => {
    program.invite((req, res) => {
      const headers = req.uri.includes('own') ? { 'Session-Expires': '300;refresher=uas' } : {};
      void program.createUAS(req, res, { localSdp: SDP, headers });
    });
  });
  const session = (value: string): [string, string][] => [['Supported', 'timer'], ['Session-Expires', value]]; // prettier-ignore
  for (const [user, offered, said] of [
    ['plain', '1800;refresher=uac', '1800;refresher=uac'],
    ['plain', '60;refresher=uas', '90;refresher=uas'],
    ['plain', '1800', undefined],
    ['own', '1800;refresher=uac', '300;refresher=uas'],
  ] as const) {
    const call = caller.sendInvite({
      target: rig.sip(),
      uri: `sip:${user}@${rig.sip()}`,
      body: SDP,
      headers: session(offered),
    });
    const ok = await caller.expect('200 INVITE');
    t.equal(ok.header('Session-Expires'), said, offered);
    const dialog = call.confirm(ok);
    const brief = dialog.send('INVITE', { body: SDP, headers: session('89') });
    const refused = await caller.expect((m) => m.status === 422);
    t.equal(refused.header('Min-SE'), '90');
    t.equal(refused.cseqNumber, brief.request.cseqNumber);
    dialog.send('UPDATE', { headers: session('200;refresher=uac') });
    t.equal((await caller.expect('200 UPDATE')).header('Session-Expires'), '200;refresher=uac');
    dialog.send('BYE');
    await caller.expect('200 BYE');
  }
  const pending = srf.createUAC(callee.uri, { localSdp: SDP, headers: { 'Session-Expires': '200' } });
  const invite = await callee.expectRequest('INVITE');
  t.equal(invite.header('Session-Expires'), '200');
  invite.respond(200, { body: SDP, headers: [['Session-Expires', '200;refresher=uac']] });
  const uac = await pending;
  const modified = uac.modify(SDP);
  const again = await callee.expectRequest('INVITE');
  t.equal(again.header('Session-Expires'), '200;refresher=uac', 'a re-INVITE without it would end the timer');
  again.respond(200, { body: SDP, headers: [['Session-Expires', '200;refresher=uac']] });
  await modified;
  const gone = uac.destroy();
  (await callee.expectRequest('BYE')).respond(200);
  await gone;
  await rig.until(({ dialogs }) => (dialogs as unknown[]).length === 0);
  t.notMatch(JSON.stringify(rig.clock.dump()), /drachtio session/);
});

t.test('100 Trying: for a program that has the tag, and for no other', async (t) => {
  for (const tags of [['trying'], []]) {
    const rig = await DrachtioRig.start({ address: SERVER });
    const callee = await rig.peer(CALLEE, { name: 'bob' });
    const srf = await startSrf(rig.control, SECRET, undefined, tags);
    t.teardown(async () => {
      srf.disconnect();
      await rig.stop();
    });
    const seen: number[] = [];
    const done = new Promise<void>((resolve) =>
      srf.request(callee.uri, { method: 'INVITE', body: SDP }, (_error, request) =>
        request.on('response', (response: SrfMessage) => {
          seen.push(response.status);
          if (response.status >= 200) resolve();
        }),
      ),
    );
    const invite = await callee.expectRequest('INVITE');
    for (const status of [100, 180, 486]) invite.respond(status);
    await done;
    t.strictSame(seen, tags.length > 0 ? [100, 180, 486] : [180, 486]);
  }
});

t.test('heavy frames: many bytes a character, many characters a body, many frames at once', async (t) => {
  const { rig, srf, caller, callee } = await stage(t, (program) => {
    program.use('message', (req, res) => res.send(200, { headers: { Subject: req.get('Subject') }, body: req.body }));
  });
  const words = 'zażółć gęślą 日本語 \u{1F4DE}';
  const text = {
    body: words,
    contentType: 'text/plain;charset=utf-8',
    headers: [['Subject', words] as [string, string]],
  };
  caller.sendRequest('MESSAGE', { target: rig.sip(), ...text });
  const echoed = await caller.expect('200 MESSAGE');
  t.equal(Buffer.from(echoed.text, 'utf8').toString(), words);
  t.equal(echoed.header('Content-Length'), String(Buffer.byteLength(words)), 'octets, where srf counted characters');

  // Far beyond what drachtio-server takes in one frame, and 40 of them in one go.
  const long = words.repeat(800);
  const answers = Array.from(
    { length: 40 },
    (_, i) =>
      new Promise<SrfMessage>((resolve, reject) =>
        srf.request(
          callee.uri,
          { method: 'MESSAGE', body: long, headers: { 'Content-Type': 'text/plain', 'X-Number': String(i) } },
          (error, request) => (error === null ? request.on('response', resolve) : reject(error)),
        ),
      ),
  );
  const numbers = new Set<string | undefined>();
  for (let i = 0; i < 40; i++) {
    const message = await callee.expectRequest('MESSAGE');
    numbers.add(message.header('X-Number'));
    t.equal(message.message.body.length, Buffer.byteLength(long));
    message.respond(200);
  }
  t.equal(numbers.size, 40);
  for (const answer of await Promise.all(answers)) t.equal(answer.status, 200);
});

t.test('frames that lie about their length end that connection, and no other', async (t) => {
  const { rig, srf, caller } = await stage(t, (program) => program.options((_req, res) => res.send(200)));
  const auth = `x|authenticate|${SECRET}|`;
  const first = `${auth.length}#${auth}`;
  const lies = [
    ...['-5#', '+5#', '0#', '00000000000#', '99999999999#', '1e3#x', '5.0#', '#', ' 5#', '0x10#', '5 #', '\n5#'],
    ...[`${1024 * 1024 + 1}#`, '4294967301#', 'abc', '\0\0\0\0'],
  ];
  for (const lie of lies) {
    const app = await DrachtioClient.connect(rig.control);
    app.writeRaw(Buffer.from(first + lie + 'y|ping'));
    await app.expect('OK');
    await app.closed;
  }
  // One that says more than it sends is simply not there yet; one that says less makes the rest a lie.
  const waiting = await DrachtioClient.connect(rig.control);
  waiting.writeRaw(Buffer.from(`${first}500#y|ping`));
  await waiting.expect('OK');
  const short = await DrachtioClient.connect(rig.control);
  short.writeRaw(Buffer.from(`${first}6#y|pingz|ping`));
  await short.expect('OK');
  await short.expect('OK');
  await short.closed;
  // Every frame cut at every byte.
  const cut = await DrachtioClient.connect(rig.control);
  const whole = Buffer.from(`${first}6#y|ping`);
  for (const byte of whole) cut.writeRaw(Buffer.from([byte]));
  await cut.expect('OK');
  t.equal((await cut.expect('OK')).outcome, 'OK|pong');
  // Before it has proved itself, nobody may make us keep more than a little.
  const stranger = await DrachtioClient.connect(rig.control);
  stranger.writeRaw(Buffer.from('5000#'));
  await stranger.closed;
  caller.sendRequest('OPTIONS', { target: rig.sip() });
  await caller.expect('200 OPTIONS');
  t.ok(srf.idle);
  for (const app of [waiting, cut]) app.close();
  await Promise.all([waiting.closed, cut.closed]);
});
