/** Unmodified drachtio-srf programs that proxy: RFC 3261 §16 between scripted peers. */
import t, { type Test } from 'tap';
import { DrachtioRig, SECRET } from '../support/drachtioRig.js';
import type { PeerMessage, SipPeer } from '../support/sipPeer.js';
import { type ProxyResults, type SrfProgram, type SrfReq, startSrf } from '../support/srfApp.js';

const SERVER = '127.0.36.11';
const CALLER = '127.0.36.21';
const FAST = { t1Ms: 20, t2Ms: 80, t4Ms: 50 };

const SDP = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n';

interface Stage {
  readonly rig: DrachtioRig;
  readonly srf: SrfProgram;
  readonly caller: SipPeer;
  readonly bob: SipPeer;
  readonly carol: SipPeer;
  readonly dave: SipPeer;
  /** The next request that reaches the program. */
  asked(): Promise<SrfReq>;
  settled(): Promise<void>;
}

async function stage(t: Test, timers = {}): Promise<Stage> {
  const rig = await DrachtioRig.start({ address: SERVER, timers });
  const waiting: ((req: SrfReq) => void)[] = [];
  const arrived: SrfReq[] = [];
  const take = (req: SrfReq): void => {
    const waiter = waiting.shift();
    if (waiter === undefined) arrived.push(req);
    else waiter(req);
  };
  const srf = await startSrf(rig.control, SECRET, (program) => {
    for (const verb of ['invite', 'message', 'register']) program.use(verb, take);
  });
  t.teardown(async () => {
    srf.disconnect();
    await rig.stop();
  });
  return {
    ...{ rig, srf },
    caller: await rig.peer(CALLER, { name: 'alice' }),
    bob: await rig.peer('127.0.36.31', { name: 'bob' }),
    carol: await rig.peer('127.0.36.32', { name: 'carol' }),
    dave: await rig.peer('127.0.36.33', { name: 'dave' }),
    asked: async () => arrived.shift() ?? (await new Promise((resolve) => waiting.push(resolve))),
    settled: async () => {
      await rig.until(({ transactions, dialogs }) =>
        [transactions, dialogs].every((ids) => (ids as unknown[]).length === 0),
      );
      t.ok(srf.idle, 'drachtio-srf awaits nothing');
      t.equal(rig.engine.dump()['proxied'], 0);
    },
  };
}

/** `address: status status ...` of each target that the program was told of. */
const told = ({ responses }: ProxyResults): string[] =>
  responses.map(({ address, msgs }) => `${address}: ${msgs.map(({ status }) => status).join(' ')}`);

const viaHosts = (message: PeerMessage): string[] =>
  message.headerAll('Via').map((via) => /SIP\/2\.0\/\w+ ([^:;]+)/.exec(via)?.[1] ?? '');

t.test('one target, remaining in the dialog: everything passes, nothing of it reaches the program', async (t) => {
  const { rig, srf, caller, bob, asked, settled } = await stage(t);
  const call = caller.sendInvite({ target: rig.sip(), body: SDP, headers: [['X-In', 'hello']] });
  await caller.expect('100 INVITE');
  const req = await asked();
  const done = srf.proxyRequest(req, bob.uri, { remainInDialog: true, headers: { 'X-Added': '1' } });
  const invite = await bob.expectRequest('INVITE');
  t.equal(invite.uri, bob.uri);
  t.equal(invite.text, SDP);
  t.equal(invite.header('X-In'), 'hello');
  t.equal(invite.header('X-Added'), '1');
  t.equal(invite.header('Max-Forwards'), '69');
  t.equal(invite.message.callId, call.callId);
  t.strictSame(viaHosts(invite.message), [SERVER, CALLER]);
  t.match(invite.header('Record-Route'), new RegExp(`^<sip:${rig.sip()};lr;seal=[0-9a-f]{24}>$`));
  invite.respond(100);
  invite.respond(183, { body: SDP });
  const early = await caller.expect('183 INVITE');
  t.equal(early.text, SDP);
  t.strictSame(viaHosts(early), [CALLER]);
  const answered = invite.respond(200, { body: SDP });
  const ok = await caller.expect('200 INVITE');
  t.equal(ok.toTag, answered.toTag);
  t.equal(ok.header('Contact'), `<${bob.uri}>`);
  const results = await done;
  t.match(results, { connected: true, finalStatus: 200 });
  t.strictSame(told(results), ['127.0.36.31: 200']);
  t.strictSame(results.responses[0]?.port, bob.port);
  t.equal(results.responses[0]?.msgs[0]?.msg.get('Via')?.split('SIP/2.0').length, 3, 'as it came, both Vias');

  const dialog = call.confirm(ok);
  const ack = await bob.expect('ACK');
  t.equal(ack.uri, bob.uri);
  t.equal(ack.header('Route'), undefined, 'our route was taken off');

  const reinvite = dialog.send('INVITE', { body: SDP });
  await caller.expect((m) => m.status === 100 && m.cseqNumber === reinvite.request.cseqNumber);
  const again = await bob.expectRequest('INVITE');
  again.respond(200, { body: SDP });
  await caller.expect((m) => m.status === 200 && m.cseqNumber === reinvite.request.cseqNumber);
  dialog.ack(reinvite.request.cseqNumber);
  await bob.expect('ACK');

  invite.dialog(answered).send('INFO', { body: 'x', contentType: 'text/plain' });
  const info = await caller.expectRequest('INFO');
  t.equal(info.uri, caller.uri);
  info.respond(200);
  await bob.expect('200 INFO');
  dialog.send('BYE');
  (await bob.expectRequest('BYE')).respond(200);
  await caller.expect('200 BYE');
  await settled();
});

t.test('without remaining in the dialog: no Record-Route, the ACK goes past us', async (t) => {
  const { rig, srf, caller, bob, asked, settled } = await stage(t);
  const call = caller.sendInvite({ target: rig.sip(), body: SDP });
  const done = srf.proxyRequest(await asked(), bob.hostPort);
  const invite = await bob.expectRequest('INVITE');
  t.equal(invite.header('Record-Route'), undefined);
  invite.respond(200, { body: SDP });
  const ok = await caller.expect('200 INVITE');
  t.ok((await done).connected);
  // A repeated 2xx is the caller's to acknowledge, so it passes.
  caller.hideRepeats = false;
  invite.respond(200, { body: SDP });
  await caller.expect('200 INVITE');
  call.dialog(ok);
  await settled();
});

t.test('serial: the next one after a failure; the best of the failures when all failed', async (t) => {
  const { rig, srf, caller, bob, carol, dave, asked, settled } = await stage(t);
  caller.sendInvite({ target: rig.sip() });
  let done = srf.proxyRequest(await asked(), [bob.uri, carol.uri, dave.uri]);
  (await bob.expectRequest('INVITE')).respond(486);
  await bob.expect('ACK');
  (await carol.expectRequest('INVITE')).respond(200);
  await caller.expect('200 INVITE');
  t.strictSame(told(await done), ['127.0.36.31: 486', '127.0.36.32: 200']);
  t.equal(dave.count('INVITE'), 0);

  // §16.7 step 6: the lowest class; within 4xx those that tell the caller what to change.
  caller.sendInvite({ target: rig.sip() });
  done = srf.proxyRequest(await asked(), [bob.uri, carol.uri, dave.uri]);
  (await bob.expectRequest('INVITE')).respond(500);
  (await carol.expectRequest('INVITE')).respond(404);
  (await dave.expectRequest('INVITE')).respond(484);
  await caller.expect('484 INVITE');
  t.match(await done, { connected: false, finalStatus: 484 });

  // §16.7 step 5: 6xx ends the search.
  caller.sendInvite({ target: rig.sip() });
  done = srf.proxyRequest(await asked(), [bob.uri, carol.uri]);
  (await bob.expectRequest('INVITE')).respond(603);
  await caller.expect('603 INVITE');
  t.strictSame(told(await done), ['127.0.36.31: 603']);

  // §16.7 step 6: a 503 speaks of one server only.
  caller.sendInvite({ target: rig.sip() });
  done = srf.proxyRequest(await asked(), [bob.uri]);
  (await bob.expectRequest('INVITE')).respond(503, { headers: [['Retry-After', '60']] });
  t.equal((await caller.expect('500 INVITE')).header('Retry-After'), undefined);
  t.strictSame(told(await done), ['127.0.36.31: 503']);
  await settled();
});

t.test('serial: silence and slowness, by provisionalTimeout and finalTimeout', async (t) => {
  const { rig, srf, caller, bob, carol, asked, settled } = await stage(t);
  caller.sendInvite({ target: rig.sip() });
  let done = srf.proxyRequest(await asked(), [bob.uri, carol.uri], { provisionalTimeout: '300ms' });
  const silent = await bob.expectRequest('INVITE');
  const second = await carol.expectRequest('INVITE');
  second.respond(180);
  await caller.expect('180 INVITE');
  // It wakes up too late: its CANCEL was held until now (§9.1).
  silent.respond(180);
  (await bob.expectRequest('CANCEL')).respond(200);
  silent.respond(487);
  await bob.expect('ACK');
  second.respond(200);
  await caller.expect('200 INVITE');
  t.strictSame(told(await done), [': 408', '127.0.36.32: 200'], 'the silent one has no address to tell');
  t.equal(caller.count('180 INVITE'), 1, 'what was given up is not forwarded');

  caller.sendInvite({ target: rig.sip() });
  done = srf.proxyRequest(await asked(), [bob.uri, carol.uri], { finalTimeout: '300ms' });
  const ringing = await bob.expectRequest('INVITE');
  ringing.respond(180);
  (await bob.expectRequest('CANCEL')).respond(200);
  ringing.respond(487);
  (await carol.expectRequest('INVITE')).respond(200);
  await caller.expect('200 INVITE');
  t.match(await done, { connected: true });
  await settled();
});

t.test('all at once: the first 2xx wins, the others are cancelled', async (t) => {
  const { rig, srf, caller, bob, carol, dave, asked, settled } = await stage(t);
  caller.sendInvite({ target: rig.sip() });
  const done = srf.proxyRequest(await asked(), [bob.uri, carol.uri, dave.uri], { forking: 'simultaneous' });
  const [first, second, third] = await Promise.all([bob, carol, dave].map((peer) => peer.expectRequest('INVITE')));
  first?.respond(180);
  second?.respond(180);
  third?.respond(404);
  await dave.expect('ACK');
  second?.respond(200);
  t.equal((await caller.expect('200 INVITE')).toTag, second?.toTag);
  (await bob.expectRequest('CANCEL')).respond(200);
  // §16.7 step 10: a 2xx that crosses the CANCEL is the caller's too.
  first?.respond(200);
  t.equal((await caller.expect('200 INVITE')).toTag, first?.toTag);
  t.strictSame(told(await done), ['127.0.36.33: 404', '127.0.36.32: 200']);
  t.equal(caller.count('180 INVITE'), 2);
  await settled();
});

t.test('the caller cancels: each copy is, with its reason; 487 goes back', async (t) => {
  const { rig, srf, caller, bob, carol, asked, settled } = await stage(t);
  const call = caller.sendInvite({ target: rig.sip() });
  const done = srf.proxyRequest(await asked(), [bob.uri, carol.uri], { forking: 'simultaneous' });
  const ringing = await bob.expectRequest('INVITE');
  const silent = await carol.expectRequest('INVITE');
  ringing.respond(180);
  await caller.expect('180 INVITE');
  call.cancel([['Reason', 'SIP;cause=200;text="elsewhere"']]);
  await caller.expect('200 CANCEL');
  const cancel = await bob.expectRequest('CANCEL');
  t.match(cancel.header('Reason'), /elsewhere/);
  cancel.respond(200);
  ringing.respond(487);
  t.equal(carol.count('CANCEL'), 0, 'held until it gives a sign of life');
  silent.respond(100);
  (await carol.expectRequest('CANCEL')).respond(200);
  silent.respond(486);
  await caller.expect('487 INVITE');
  const results = await done;
  t.match(results, { connected: false });
  t.strictSame(told(results), ['127.0.36.31: 487', '127.0.36.32: 486']);

  // In serial search nobody else is tried.
  const again = caller.sendInvite({ target: rig.sip() });
  const serial = srf.proxyRequest(await asked(), [bob.uri, carol.uri]);
  const invite = await bob.expectRequest('INVITE');
  invite.respond(100);
  again.cancel();
  (await bob.expectRequest('CANCEL')).respond(200);
  invite.respond(487);
  await caller.expect((m) => m.status === 487 && m.callId === again.callId);
  t.strictSame(told(await serial), ['127.0.36.31: 487']);
  t.equal(carol.count('INVITE'), 1);
  await settled();
});

t.test('redirections: followed or handed on; challenges: of all, together', async (t) => {
  const { rig, srf, caller, bob, carol, dave, asked, settled } = await stage(t);
  caller.sendInvite({ target: rig.sip() });
  let done = srf.proxyRequest(await asked(), bob.uri, { followRedirects: true });
  (await bob.expectRequest('INVITE')).respond(302, {
    headers: [['Contact', `<${carol.uri}>;q=0.2, <${dave.uri};x=1>;q=0.9`]],
  });
  const preferred = await dave.expectRequest('INVITE');
  t.equal(preferred.uri, `${dave.uri};x=1`);
  preferred.respond(480);
  (await carol.expectRequest('INVITE')).respond(200);
  await caller.expect('200 INVITE');
  t.strictSame(told(await done), ['127.0.36.31: 302', '127.0.36.33: 480', '127.0.36.32: 200']);

  caller.sendInvite({ target: rig.sip() });
  done = srf.proxyRequest(await asked(), bob.uri);
  (await bob.expectRequest('INVITE')).respond(302, { headers: [['Contact', `<${carol.uri}>`]] });
  t.equal((await caller.expect('302 INVITE')).header('Contact'), `<${carol.uri}>`);
  t.match(await done, { finalStatus: 302 });

  caller.sendInvite({ target: rig.sip() });
  done = srf.proxyRequest(await asked(), [bob.uri, carol.uri], { forking: 'simultaneous' });
  const invites = await Promise.all([bob, carol].map((peer) => peer.expectRequest('INVITE')));
  invites[0]?.respond(407, { headers: [['Proxy-Authenticate', 'Digest realm="b", nonce="1"']] });
  invites[1]?.respond(401, { headers: [['WWW-Authenticate', 'Digest realm="c", nonce="2"']] });
  const challenge = await caller.expect((m) => m.status === 407 || m.status === 401);
  t.match(challenge.header('Proxy-Authenticate'), /realm="b"/);
  t.match(challenge.header('WWW-Authenticate'), /realm="c"/);
  await done;
  await settled();
});

t.test('nobody there: 408 and 500; hops used up: 483; what cannot be a target is refused', async (t) => {
  const { rig, srf, caller, bob, asked, settled } = await stage(t, FAST);
  bob.autoAck = false;
  caller.sendInvite({ target: rig.sip() });
  let done = srf.proxyRequest(await asked(), bob.uri);
  await caller.expect('408 INVITE');
  t.match(await done, { connected: false, finalStatus: 408 });

  // Nothing listens there: the refusal comes at once.
  caller.sendInvite({ target: rig.sip() });
  done = srf.proxyRequest(await asked(), 'sip:x@127.0.36.99:36999');
  await caller.expect('500 INVITE');
  t.match(await done, { finalStatus: 503 });

  caller.sendInvite({ target: rig.sip() });
  done = srf.proxyRequest(await asked(), 'sip:x@no-such-host.invalid');
  await caller.expect('500 INVITE');
  await done;

  const call = caller.sendInvite({ target: rig.sip() });
  const req = await asked();
  await t.rejects(srf.proxyRequest(req, 'tel:+15551234'), 'a number is no place');
  t.equal(
    caller.count((m) => m.callId === call.callId && m.status >= 200),
    0,
    'the program still owns it',
  );
  const again = srf.proxyRequest(req, bob.uri);
  await bob.expect((m) => m.method === 'INVITE' && m.callId === call.callId);
  await t.rejects(srf.proxyRequest(req, bob.uri), 'twice');
  await caller.expect((m) => m.callId === call.callId && m.status === 408);
  await again;
  await settled();
});

t.test('other methods: MESSAGE, REGISTER with Path, and hops that are used up', async (t) => {
  const { rig, srf, caller, bob, carol, asked, settled } = await stage(t, FAST);
  caller.sendRequest('MESSAGE', { target: rig.sip(), body: 'hello', contentType: 'text/plain' });
  let done = srf.proxyRequest(await asked(), [bob.uri, carol.uri], { remainInDialog: true });
  (await bob.expectRequest('MESSAGE')).respond(404);
  const message = await carol.expectRequest('MESSAGE');
  t.equal(message.text, 'hello');
  message.respond(202);
  await caller.expect('202 MESSAGE');
  t.strictSame(told(await done), ['127.0.36.31: 404', '127.0.36.32: 202']);

  caller.sendRequest('REGISTER', { target: rig.sip() });
  done = srf.proxyRequest(await asked(), bob.uri, { path: true });
  const register = await bob.expectRequest('REGISTER');
  t.match(register.header('Path'), /^<sip:127\.0\.36\.11:\d+;lr;seal=/);
  t.equal(register.header('Require'), 'path');
  t.equal(register.header('Record-Route'), undefined);
  register.respond(200);
  await caller.expect('200 REGISTER');
  await done;

  // RFC 4320 §4.2: the caller of a MESSAGE gets no 408, which could only come too late.
  caller.sendRequest('MESSAGE', { target: rig.sip() });
  t.match(await srf.proxyRequest(await asked(), bob.uri), { connected: false, finalStatus: 408 });
  t.equal(caller.count('408'), 0);
  await settled();
});

t.test('over TCP one side, UDP the other: each side gets the route that it can use', async (t) => {
  const { rig, srf, bob, asked, settled } = await stage(t);
  const caller = await rig.peer('127.0.36.22', { name: 'tom', transport: 'tcp' });
  const call = caller.sendInvite({ target: rig.sip('tcp'), body: SDP });
  const done = srf.proxyRequest(await asked(), bob.uri, { remainInDialog: true });
  const invite = await bob.expectRequest('INVITE');
  const routes = invite.message.headerAll('Record-Route');
  t.equal(routes.length, 2);
  t.notMatch(routes[0], /transport=tcp/);
  t.match(routes[1], /transport=tcp/);
  const answered = invite.respond(200, { body: SDP });
  const dialog = call.confirm(await caller.expect('200 INVITE'));
  await done;
  t.equal((await bob.expect('ACK')).header('Route'), undefined);
  invite.dialog(answered).send('BYE');
  (await caller.expectRequest('BYE')).respond(200);
  await bob.expect('200 BYE');
  t.ok(dialog);
  await settled();
});

t.test('nobody can make the server forward what was never proxied, nor in a loop', async (t) => {
  const { rig, srf, caller, bob, asked, settled } = await stage(t);
  const route = (seal: string): [string, string][] => [['Route', `<sip:${rig.sip()};lr${seal}>`]];
  for (const seal of ['', `;seal=${'0'.repeat(24)}`]) {
    caller.sendRequest('INFO', { target: rig.sip(), uri: bob.uri, to: `<${bob.uri}>;tag=x`, headers: route(seal) });
    await caller.expect('481 INFO');
  }
  const call = caller.sendInvite({ target: rig.sip(), body: SDP });
  const done = srf.proxyRequest(await asked(), bob.uri, { remainInDialog: true });
  const invite = await bob.expectRequest('INVITE');
  const answered = invite.respond(200, { body: SDP });
  const ok = await caller.expect('200 INVITE');
  call.confirm(ok);
  await bob.expect('ACK');
  await done;
  // The seal holds for the call that it was made for.
  const [stolen = ''] = ok.headerAll('Record-Route');
  const headers: [string, string][] = [['Route', stolen]];
  caller.sendRequest('INFO', { target: rig.sip(), uri: bob.uri, to: `<${bob.uri}>;tag=x`, headers });
  await caller.expect('481 INFO');
  // §16.3 step 3, in a dialog and before.
  const from = answered.header('To') ?? '';
  const spec = { from, to: invite.header('From') ?? '', callId: invite.message.callId, uri: caller.uri };
  const routed = invite.message.headerAll('Record-Route').map((value): [string, string] => ['Route', value]);
  bob.sendRequest('INFO', { ...spec, target: rig.sip(), maxForwards: 0, headers: routed });
  await bob.expect('483 INFO');
  caller.sendInvite({ target: rig.sip(), maxForwards: 0 });
  const tired = await asked();
  t.match(await srf.proxyRequest(tired, bob.uri).catch(String), /483/);
  await caller.expect('483 INVITE');
  t.equal(caller.count('INFO'), 0);
  await settled();
});

t.test('a program that is gone leaves what it proxied to the server', async (t) => {
  const rig = await DrachtioRig.start({ address: SERVER });
  t.teardown(() => rig.stop());
  const caller = await rig.peer(CALLER, { name: 'alice' });
  const bob = await rig.peer('127.0.36.31', { name: 'bob' });
  const app = await rig.app('invite');
  caller.sendInvite({ target: rig.sip() });
  const { txnId } = await app.expect('INVITE');
  app.send(`proxy|${txnId}||||serial|||${bob.uri}\r\nINVITE ${bob.uri} SIP/2.0\r\nContent-Length: 0\r\n\r\n`);
  const invite = await bob.expectRequest('INVITE');
  app.close();
  await rig.until(({ sessions }) => (sessions as unknown[]).length === 0);
  invite.respond(200);
  await caller.expect('200 INVITE');
  t.equal(rig.engine.dump()['proxied'], 0);
});

t.test(
  'a contact that registered over its connection is reached by it: called, proxied to, and within dialogs',
  async (t) => {
    const { rig, srf, caller, asked, settled } = await stage(t);
    const tom = await rig.peer('127.0.36.23', { name: 'tom', transport: 'tcp' });
    // Nobody can look this name up, as with browsers (RFC 7118 §5).
    const contact = 'sip:tom@df7jal23ls0d.invalid;transport=tcp';
    tom.sendRequest('REGISTER', { target: rig.sip('tcp'), contact: `<${contact}>`, headers: [['Expires', '60']] });
    const register = await asked();
    register.res.send(200, { headers: { Contact: `<${contact}>;expires=60` } });
    await tom.expect('200 REGISTER');
    t.match(rig.server.metrics(), /drachtio_registered_endpoints 1\n/);

    const pending = srf.createUAC(contact, { localSdp: SDP });
    const direct = await tom.expectRequest('INVITE');
    t.equal(direct.uri, contact);
    direct.respond(200, { body: SDP, contact: `<${contact}>` });
    const uac = await pending;
    await tom.expect('ACK');
    const gone = uac.destroy();
    (await tom.expectRequest('BYE')).respond(200);
    await gone;

    const call = caller.sendInvite({ target: rig.sip(), body: SDP });
    const done = srf.proxyRequest(await asked(), contact, { remainInDialog: true });
    const invite = await tom.expectRequest('INVITE');
    t.match(invite.message.headerAll('Record-Route')[0], /;transport=tcp;lr;seal=\w+;flow=[\w-]+>$/);
    const answered = invite.respond(200, { body: SDP, contact: `<${contact}>` });
    const dialog = call.confirm(await caller.expect('200 INVITE'));
    await done;
    await tom.expect('ACK');
    dialog.send('INFO');
    (await tom.expectRequest('INFO')).respond(200);
    await caller.expect('200 INFO');
    invite.dialog(answered).send('BYE');
    (await caller.expectRequest('BYE')).respond(200);
    await tom.expect('200 BYE');

    // The other way round: the caller is the one whom nobody can connect to.
    const out = tom.sendInvite({ target: rig.sip('tcp'), body: SDP, contact: `<${contact}>` });
    const proxied = srf.proxyRequest(await asked(), caller.uri, { remainInDialog: true });
    const arrived = await caller.expectRequest('INVITE');
    const accepted = arrived.respond(200, { body: SDP });
    out.confirm(await tom.expect('200 INVITE'));
    await proxied;
    await caller.expect('ACK');
    arrived.dialog(accepted).send('BYE');
    (await tom.expectRequest('BYE')).respond(200);
    await caller.expect('200 BYE');

    // Its connection is closed: there is no other way to it.
    tom.dropConnections();
    await rig.until(() => (rig.engine.dump()['transport'] as { connections: number }).connections === 0);
    const lost = await srf.createUAC(contact, { localSdp: SDP }).catch((error: { status?: number }) => error.status);
    t.equal(lost, 503);
    t.match(rig.server.metrics(), /drachtio_registered_endpoints 0\n/);
    await settled();
  },
);
