/** Outbound mode: the server finds the unmodified drachtio-srf program that serves a request, and connects to it. */
import { type Server } from 'node:net';
import Srf from 'drachtio-srf';
import t, { type Test } from 'tap';
import type { DrachtioServerOptions, HttpQuestion } from '../../src/drachtio/index.js';
import { DrachtioRig, SECRET } from '../support/drachtioRig.js';
import { type SrfProgram, type SrfReq, type SrfRes, event, startSrf } from '../support/srfApp.js';

const SERVER = '127.0.36.12';
const CALLER = '127.0.36.41';
const CALLEE = '127.0.36.42';
const APP = '127.0.36.43';
const SDP = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n';

/** A program that waits for the server to connect. */
async function listening(t: Test, take: (req: SrfReq, res: SrfRes, srf: SrfProgram) => void, secret = SECRET) {
  const srf = new Srf() as unknown as SrfProgram & {
    listen(options: object): Server;
    endSession(message: unknown): void;
  };
  srf.on('error', () => undefined);
  srf.invite((req, res) => take(req, res, srf));
  const server = srf.listen({ host: APP, port: 0, secret });
  await event(server, 'listening');
  t.teardown(() => new Promise((done) => server.close(done)));
  const { port } = server.address() as { port: number };
  return { srf, place: `${APP}:${port}` };
}

async function stage(t: Test, server: Partial<DrachtioServerOptions>) {
  const rig = await DrachtioRig.start({ address: SERVER, server });
  t.teardown(() => rig.stop());
  return { rig, caller: await rig.peer(CALLER, { name: 'alice' }), callee: await rig.peer(CALLEE, { name: 'bob' }) };
}

/** Handlers that ask a web server which answers like this. */
const web = (
  answer: (question: HttpQuestion) => unknown,
  httpMethod?: 'GET' | 'POST',
): Partial<DrachtioServerOptions> => ({
  requestHandlers: [{ method: '*', url: 'http://router.example/route?x=1', httpMethod }],
  ask: (question, answered) => answered(answer(question)),
});

t.test('a handler tcp://host:port: one connection per call, dialogs stay on it, the program ends it', async (t) => {
  const app = await listening(t, (req, res, srf) => {
    void srf.createUAS(req, res, { localSdp: SDP }).then((uas) => {
      uas.on('destroy', () => app.srf.endSession(req));
    });
  });
  const { rig, caller } = await stage(t, { requestHandlers: [{ method: 'invite', url: `tcp://${app.place}` }] });
  t.ok(rig.server.claims('INVITE'));
  for (let i = 0; i < 2; i++) {
    const call = caller.sendInvite({ target: rig.sip(), body: SDP });
    const dialog = call.confirm(await caller.expect('200 INVITE'));
    await rig.until(({ sessions }) => (sessions as unknown[]).length === 1);
    dialog.send('BYE');
    await caller.expect('200 BYE');
    await rig.until(({ sessions, dialogs }) => (sessions as unknown[]).length + (dialogs as unknown[]).length === 0);
  }
  // Methods without a handler are for programs that registered, as ever.
  caller.sendRequest('OPTIONS', { target: rig.sip() });
  await caller.expect('503 OPTIONS');
});

t.test('nobody to connect to, or somebody who does not know the secret: 480', async (t) => {
  const impostor = await listening(t, () => t.fail('it must not get the call'), 'wrong');
  for (const url of ['tcp://127.0.36.99:36001', `tcp://${impostor.place}`, 'tcp://no-such-host.invalid:36001']) {
    const { rig, caller } = await stage(t, { requestHandlers: [{ method: '*', url }] });
    caller.sendInvite({ target: rig.sip(), body: SDP });
    await caller.expect('480 INVITE');
    await rig.until(({ sessions }) => (sessions as unknown[]).length === 0);
    t.equal(rig.server.dump()['findingApplications'], 0);
  }
});

t.test('a web server rejects, redirects, proxies, or makes no sense', async (t) => {
  const answers: [unknown, number][] = [
    [{ action: 'reject', data: { status: 486, reason: 'Not Now' } }, 486],
    [{ action: 'redirect', data: { contact: ['sip:else@127.0.36.50'] } }, 302],
    [{ action: 'reject', data: { status: 200 } }, 500],
    [{ action: 'route', data: { uri: 'nonsense' } }, 500],
    [{ action: 'proxy', data: { destination: [] } }, 500],
    [{ action: 'dance', data: {} }, 500],
    ['nonsense', 500],
    [undefined, 500],
    [{ action: 'route', data: { tag: 'unknown' } }, 480],
  ];
  let answer: unknown;
  const questions: HttpQuestion[] = [];
  const { rig, caller, callee } = await stage(
    t,
    web((question) => {
      questions.push(question);
      return answer;
    }, 'POST'),
  );
  for (const [each, status] of answers) {
    answer = each;
    caller.sendInvite({ target: rig.sip(), uri: `sip:1000@${rig.sip()};a=b`, body: SDP });
    const response = await caller.expect(`${status} INVITE`);
    if (status === 302) t.equal(response.header('Contact'), '<sip:else@127.0.36.50>');
    if (status === 486) t.match(response.toString(), /Not Now/);
  }
  const [first] = questions;
  const asked = new URL(first?.url ?? '');
  t.match(Object.fromEntries(asked.searchParams), {
    ...{ x: '1', method: 'INVITE', protocol: 'udp', source_address: CALLER, domain: SERVER, uriUser: '1000' },
    ...{ fromUser: 'alice', toUser: '1000', contentType: 'application/sdp', a: 'b' },
  });
  t.match(first?.body.toString(), /^INVITE sip:1000@/);
  t.equal(first?.httpMethod, 'POST');

  answer = { action: 'proxy', data: { destination: [callee.uri], recordRoute: true } };
  caller.sendInvite({ target: rig.sip(), body: SDP });
  const invite = await callee.expectRequest('INVITE');
  t.match(invite.header('Record-Route'), /;lr;seal=/);
  invite.respond(486);
  await caller.expect('486 INVITE');
  caller.sendRequest('MESSAGE', { target: rig.sip(), maxForwards: 0 });
  await caller.expect('483 MESSAGE');
  t.equal(rig.server.dump()['findingApplications'], 0);
});

t.test('a web server names an application by its address, or by its tag', async (t) => {
  const heard: string[] = [];
  const direct = await listening(t, (_req, res) => res.send(486, {}, () => heard.push('direct')));
  let answer: object = {};
  const { rig, caller } = await stage(
    t,
    web(() => answer),
  );
  const both = [
    await startSrf(rig.control, SECRET, (srf) => srf.invite((_req, res) => res.send(603)), ['blue', 'green']),
    await startSrf(rig.control, SECRET, (srf) => srf.invite((_req, res) => res.send(606)), ['green']),
    await startSrf(rig.control, SECRET, (srf) => srf.options((_req, res) => res.send(200)), ['blue']),
  ];
  t.teardown(() => both.forEach((srf) => srf.disconnect()));
  await rig.until(({ routes }) => (routes as { invite?: number }).invite === 2);

  answer = { action: 'route', data: { uri: `${direct.place};transport=tcp` } };
  caller.sendInvite({ target: rig.sip(), body: SDP });
  await caller.expect('486 INVITE');
  answer = { action: 'route', data: { tag: 'blue' } };
  caller.sendInvite({ target: rig.sip(), body: SDP });
  await caller.expect('603 INVITE');
  caller.sendRequest('OPTIONS', { target: rig.sip() });
  await caller.expect('200 OPTIONS');
  answer = { action: 'route', data: { tag: 'green' } };
  const statuses = [];
  for (let i = 0; i < 4; i++) {
    const call = caller.sendInvite({ target: rig.sip(), body: SDP });
    statuses.push((await caller.expect((m) => m.callId === call.callId && m.status >= 200)).status);
  }
  t.strictSame(statuses, [606, 603, 606, 603], 'in turns');
});

t.test('a caller who gives up while his application is looked for', async (t) => {
  let answered: (json: unknown) => void = () => undefined;
  const { rig, caller } = await stage(t, {
    requestHandlers: [{ method: '*', url: 'https://router.example/' }],
    ask: (_question, then) => (answered = then),
  });
  const call = caller.sendInvite({ target: rig.sip(), body: SDP });
  await caller.expect('100 INVITE');
  call.cancel();
  await caller.expect('487 INVITE');
  answered({ action: 'reject', data: { status: 486 } });
  caller.sendRequest('OPTIONS', { target: rig.sip() });
  await rig.until(({ findingApplications }) => findingApplications === 1);
  answered({ action: 'reject', data: { status: 404 } });
  await caller.expect('404 OPTIONS');
  t.equal(caller.count('486'), 0);
});
