/** Unmodified drachtio-srf programs against our server: the engine on UDP, scripted peers at the other ends. */
import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { DrachtioRig, SECRET } from '../support/drachtioRig.js';
import type { PeerMessage, SipPeer } from '../support/sipPeer.js';
import {
  type LateOffer,
  type SrfDialog,
  type SrfProgram,
  type SrfReq,
  type SrfRes,
  event,
  failure,
  startSrf,
} from '../support/srfApp.js';

const SERVER = '127.0.34.11';
const CALLER = '127.0.34.21';
const CALLEE = '127.0.34.31';
const FAST = { t1Ms: 20, t2Ms: 80, t4Ms: 50 };

const sdp = (name: string, mode = 'sendrecv'): string =>
  `v=0\r\no=${name} 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\na=${mode}\r\n`;

interface Stage {
  readonly rig: DrachtioRig;
  readonly srf: SrfProgram;
  readonly caller: SipPeer;
  readonly callee: SipPeer;
  /** The next INVITE that reaches the program. */
  invited(): Promise<[SrfReq, SrfRes]>;
  /** Nothing may be left of any call, on either side of the control connection. */
  settled(): Promise<void>;
}

async function stage(t: Test, fast = false): Promise<Stage> {
  const rig = await DrachtioRig.start({ address: SERVER, ...(fast ? { timers: FAST } : {}) });
  const arrived: [SrfReq, SrfRes][] = [];
  const waiting: ((call: [SrfReq, SrfRes]) => void)[] = [];
  const srf = await startSrf(rig.control, SECRET, (program) => {
    program.invite((req, res) => {
      const waiter = waiting.shift();
      if (waiter === undefined) arrived.push([req, res]);
      else waiter([req, res]);
    });
    program.options((_req, res) => res.send(200, { headers: { Allow: 'INVITE' } }));
  });
  t.teardown(async () => {
    srf.disconnect();
    await rig.stop();
  });
  return {
    ...{ rig, srf },
    caller: await rig.peer(CALLER, { name: 'alice' }),
    callee: await rig.peer(CALLEE, { name: 'bob' }),
    invited: async () => arrived.shift() ?? (await new Promise((resolve) => waiting.push(resolve))),
    settled: async () => {
      await rig.until(({ transactions, dialogs }) => [transactions, dialogs].every((ids) => (ids as []).length === 0));
      t.ok(srf.idle, 'drachtio-srf awaits nothing');
    },
  };
}

/** An answered call from the caller. */
async function callIn(scene: Stage) {
  const { rig, srf, caller } = scene;
  const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
  const [req, res] = await scene.invited();
  const uas = await srf.createUAS(req, res, { localSdp: sdp('app') });
  const acked = event(uas, 'ack');
  const dialog = call.confirm(await caller.expect('200 INVITE'));
  await acked;
  return { uas, dialog, req };
}

async function hangUp(dialog: SrfDialog, peer: SipPeer): Promise<void> {
  const destroyed = dialog.destroy();
  (await peer.expectRequest('BYE')).respond(200);
  await destroyed;
}

t.test('createUAS: the caller hangs up', async (t) => {
  const scene = await stage(t);
  const { uas, dialog, req } = await callIn(scene);
  t.match(req, {
    source_address: CALLER,
    source_port: scene.caller.port,
    protocol: 'udp',
    receivedOn: scene.rig.sip(),
  });
  t.ok(req.isNewInvite);
  t.equal(uas.remote.sdp, sdp('caller'));
  t.equal(uas.id, `${uas.sip.callId};from-tag=${uas.sip.remoteTag}`);
  const destroyed = event<[SrfReq, string]>(uas, 'destroy');
  dialog.send('BYE');
  await scene.caller.expect('200 BYE');
  t.equal((await destroyed)[1], 'normal release');
  await scene.settled();
});

t.test('createUAS with 180 and headers of its own; the program hangs up', async (t) => {
  const scene = await stage(t);
  const { rig, srf, caller } = scene;
  const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
  const [req, res] = await scene.invited();
  res.send(180, { headers: { 'X-Ring': 'yes', to: '<sip:x>;tag=chosen' } });
  const ringing = await caller.expect('180 INVITE');
  t.equal(ringing.header('X-Ring'), 'yes');
  t.equal(ringing.toTag, 'chosen');
  const uas = await srf.createUAS(req, res, { localSdp: sdp('app'), headers: { 'User-Agent': 'lab' } });
  const ok = await caller.expect('200 INVITE');
  t.equal(ok.toTag, 'chosen');
  t.equal(ok.header('User-Agent'), 'lab');
  t.equal(ok.text, sdp('app'));
  t.equal(uas.sip.localTag, 'chosen');
  call.confirm(ok);
  await hangUp(uas, caller);
  await scene.settled();
});

t.test('createUAC: progress, answer, INFO both ways, the callee hangs up', async (t) => {
  const scene = await stage(t);
  const { srf, callee } = scene;
  const seen: number[] = [];
  const pending = srf.createUAC(
    callee.uri,
    { localSdp: sdp('app'), callingNumber: '1000', callingName: 'Tandem', headers: { 'X-Out': '1', 'foo-bar': '2' } },
    {
      cbRequest: (error) => seen.push(error === null ? 0 : -1),
      cbProvisional: (response) => seen.push(response.status),
    },
  );
  const invite = await callee.expectRequest('INVITE');
  t.match(invite.header('From'), `"Tandem" <sip:1000@${scene.rig.sip()}>;tag=`);
  t.match(invite.header('Contact'), `<sip:1000@${scene.rig.sip()}>`);
  t.equal(invite.header('X-Out'), '1');
  t.equal(invite.header('Foo-Bar'), '2');
  invite.respond(100);
  invite.respond(180);
  const ok = invite.respond(200, { body: sdp('callee') });
  const uac = await pending;
  t.strictSame(seen, [0, 180]);
  t.equal(uac.remote.sdp, sdp('callee'));
  await callee.expect('ACK');

  const asked = uac.request({ method: 'INFO', body: 'ping', headers: { 'Content-Type': 'text/plain' } });
  const info = await callee.expectRequest('INFO');
  t.equal(info.text, 'ping');
  info.respond(200, { body: 'pong', contentType: 'text/plain' });
  const answer = await asked;
  t.equal(answer.status, 200);
  t.equal(answer.body, 'pong');

  const dialog = invite.dialog(ok);
  const heard = event<[SrfReq, SrfRes]>(uac, 'info');
  dialog.send('INFO', { body: 'hello', contentType: 'text/plain' });
  const [req, res] = await heard;
  t.equal(req.body, 'hello');
  res.send(488);
  await callee.expect('488 INFO');

  const destroyed = event(uac, 'destroy');
  dialog.send('BYE');
  await callee.expect('200 BYE');
  await destroyed;
  const late = await failure(uac.request({ method: 'INFO', body: 'x', headers: { 'Content-Type': 'text/plain' } }));
  t.equal(late.code, 'ENODIALOG');
  await scene.settled();
});

t.test('createB2BUA: SDP byte for byte, headers across, either side hangs up', async (t) => {
  const scene = await stage(t);
  const { rig, srf, caller, callee } = scene;
  for (const first of ['caller', 'callee']) {
    const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller'), headers: [['X-In', 'hello']] });
    const [req, res] = await scene.invited();
    const pending = srf.createB2BUA(req, res, callee.uri, {
      ...{ localSdpB: req.body, proxyRequestHeaders: ['X-In'], proxyResponseHeaders: ['X-Back'] },
    });
    const invite = await callee.expectRequest('INVITE');
    t.equal(invite.text, sdp('caller'));
    t.equal(invite.header('X-In'), 'hello');
    t.not(invite.message.callId, call.callId);
    invite.respond(100);
    invite.respond(183, { body: sdp('early') });
    t.equal((await caller.expect('183 INVITE')).text, sdp('early'));
    const ok = invite.respond(200, { body: sdp('callee'), headers: [['X-Back', 'yes']] });
    const answered = await caller.expect('200 INVITE');
    t.equal(answered.text, sdp('callee'));
    t.equal(answered.header('X-Back'), 'yes');
    await callee.expect('ACK');
    const dialog = call.confirm(answered);
    const { uas, uac } = await pending;
    const legs = first === 'caller' ? { ends: uas, other: uac, far: callee } : { ends: uac, other: uas, far: caller };
    const ended = event(legs.ends, 'destroy');
    (first === 'caller' ? dialog : invite.dialog(ok)).send('BYE');
    await ended;
    await hangUp(legs.other, legs.far);
    await (first === 'caller' ? caller : callee).expect('200 BYE');
    await scene.settled();
  }
});

t.test('createB2BUA: a busy callee, a caller who gives up', async (t) => {
  const scene = await stage(t);
  const { rig, srf, caller, callee } = scene;
  caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
  const [req, res] = await scene.invited();
  const busy = failure(srf.createB2BUA(req, res, callee.uri, { localSdpB: req.body }));
  (await callee.expectRequest('INVITE')).respond(486);
  t.equal((await busy).status, 486);
  await caller.expect('486 INVITE');
  await callee.expect('ACK');
  await scene.settled();

  for (const rings of [true, false]) {
    const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
    const [req, res] = await scene.invited();
    const given = failure(srf.createB2BUA(req, res, callee.uri, { localSdpB: req.body }));
    const invite = await callee.expectRequest('INVITE');
    if (rings) {
      invite.respond(180);
      await caller.expect('180 INVITE');
    }
    call.cancel([['Reason', 'SIP;cause=200;text="elsewhere"']]);
    await caller.expect('200 CANCEL');
    await caller.expect('487 INVITE');
    if (!rings) {
      // Held until the callee gives a sign of life.
      invite.respond(100);
    }
    const cancel = await callee.expectRequest('CANCEL');
    t.match(cancel.header('Reason'), /elsewhere/);
    cancel.respond(200);
    invite.respond(487);
    t.equal((await given).status, 487);
    await scene.settled();
  }
});

t.test('createUAC: the program cancels, also across an answer', async (t) => {
  const scene = await stage(t);
  const { srf, callee } = scene;
  for (const answers of [false, true]) {
    let request: SrfReq | undefined;
    const pending = srf.createUAC(
      callee.uri,
      { localSdp: sdp('app') },
      { cbRequest: (_error, sent) => (request = sent) },
    );
    const invite = await callee.expectRequest('INVITE');
    invite.respond(180);
    await scene.rig.until(() => request !== undefined);
    const cancelled = new Promise((resolve) => request?.cancel({}, resolve));
    (await callee.expectRequest('CANCEL')).respond(200);
    t.equal(await cancelled, null);
    if (!answers) {
      const failed = failure(pending);
      invite.respond(487);
      t.equal((await failed).status, 487);
    } else {
      // The dialog resolves, and the server ends it: who cancelled does not want it.
      const destroyed = pending.then((uac) => event<[SrfReq, string]>(uac, 'destroy'));
      invite.respond(200, { body: sdp('callee') });
      await callee.expect('ACK');
      (await callee.expectRequest('BYE')).respond(200);
      t.match((await destroyed)[1], /cancel race/);
    }
    await scene.settled();
  }
});

t.test('rejections: by the program, and by the far end', async (t) => {
  const scene = await stage(t);
  const { rig, srf, caller, callee } = scene;
  caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
  const [, res] = await scene.invited();
  res.send(486, { headers: { 'Retry-After': '60' } });
  t.equal((await caller.expect('486 INVITE')).header('Retry-After'), '60');
  const rejected = failure(srf.createUAC(callee.uri, { localSdp: sdp('app') }));
  (await callee.expectRequest('INVITE')).respond(603);
  t.equal((await rejected).status, 603);
  const redirected = srf.createUAC(callee.uri, { localSdp: sdp('app'), followRedirects: true });
  const first = await callee.expectRequest('INVITE');
  first.respond(302, { headers: [['Contact', `<sip:else@${callee.hostPort}>`]] });
  const second = await callee.expectRequest('INVITE');
  t.equal(second.uri, `sip:else@${callee.hostPort}`);
  second.respond(200, { body: sdp('callee') });
  await hangUp(await redirected, callee);
  await scene.settled();
});

t.test('modify, hold and unhold, from the program and from the peer', async (t) => {
  const scene = await stage(t);
  const { caller } = scene;
  const { uas, dialog } = await callIn(scene);
  for (const [what, mode] of [
    ['hold', 'inactive'],
    ['unhold', 'sendrecv'],
    [sdp('new'), 'sendrecv'],
  ] as const) {
    // prettier-ignore
    const modified = uas.modify(what);
    const invite = await caller.expectRequest('INVITE');
    t.match(invite.text, `a=${mode}`);
    t.equal(invite.uri, caller.uri);
    invite.respond(200, { body: sdp('caller') });
    t.equal(await modified, sdp('caller'));
    await caller.expect((m: PeerMessage) => m.method === 'ACK' && m.cseqNumber === invite.message.cseqNumber);
  }
  const refused = failure(uas.modify(sdp('refused')));
  (await caller.expectRequest('INVITE')).respond(488);
  t.equal((await refused).status, 488);

  const names = ['hold', 'unhold', 'modify'];
  for (const [name, body] of [
    ['hold', sdp('caller', 'sendonly')],
    ['unhold', sdp('caller')],
    ['modify', sdp('other')],
  ] as const) {
    // prettier-ignore
    const heard = Promise.race(names.map(async (each) => [each, ...(await event(uas, each))] as [string, SrfReq, SrfRes]));
    const again = dialog.send('INVITE', { body });
    const [which, , res] = await heard;
    t.equal(which, name);
    if (name === 'modify') res.send(200, { body: sdp('agreed') });
    const ok = await caller.expect((m: PeerMessage) => m.status === 200 && m.cseqNumber === again.request.cseqNumber);
    t.match(ok.text, name === 'modify' ? sdp('agreed') : name === 'hold' ? 'a=recvonly' : 'a=sendrecv');
    const acked = event(uas, 'ack');
    dialog.ack(again.request.cseqNumber);
    await acked;
  }
  await hangUp(uas, caller);
  await scene.settled();
});

t.test('glare: two re-INVITEs that cross get 491 from each side, and the call goes on', async (t) => {
  const scene = await stage(t);
  const { caller } = scene;
  const { uas, dialog } = await callIn(scene);
  const modified = failure(uas.modify(sdp('ours')));
  const ours = await caller.expectRequest('INVITE');
  dialog.send('INVITE', { body: sdp('theirs') });
  await caller.expect('491 INVITE');
  ours.respond(491);
  t.equal((await modified).status, 491);
  await hangUp(uas, caller);
  await scene.settled();
});

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

/** Whether an Authorization header answers the challenge (RFC 2617, qop=auth). */
function proves(header: string | undefined, method: string, nonce: string): boolean {
  const field = (name: string): string => new RegExp(`${name}="?([^",]+)`).exec(header ?? '')?.[1] ?? '';
  const ha2 = md5(`${method}:${field('uri')}`);
  const expected = md5([md5('user:realm:pass'), nonce, field('nc'), field('cnonce'), 'auth', ha2].join(':'));
  return field('response') === expected;
}

t.test('digest: INVITE, INFO and BYE are repeated with credentials', async (t) => {
  const scene = await stage(t);
  const { srf, callee } = scene;
  const challenge = (nonce: string) => ({
    headers: [['WWW-Authenticate', `Digest realm="realm", nonce="${nonce}", qop="auth", algorithm=MD5`]] as const,
  });
  const pending = srf.createUAC(callee.uri, { localSdp: sdp('app'), auth: { username: 'user', password: 'pass' } });
  const first = await callee.expectRequest('INVITE');
  first.respond(401, challenge('n1'));
  await callee.expect('ACK');
  const second = await callee.expectRequest('INVITE');
  t.equal(second.message.callId, first.message.callId);
  t.equal(second.message.fromTag, first.message.fromTag);
  t.equal(second.message.cseqNumber, first.message.cseqNumber + 1);
  t.ok(proves(second.header('Authorization'), 'INVITE', 'n1'));
  t.equal(second.text, sdp('app'));
  second.respond(200, { body: sdp('callee') });
  const uac = await pending;
  await callee.expect((m: PeerMessage) => m.method === 'ACK' && m.cseqNumber === second.message.cseqNumber);
  const asked = uac.request({ method: 'INFO', body: 'x', headers: { 'Content-Type': 'text/plain' } });
  (await callee.expectRequest('INFO')).respond(401, challenge('n2'));
  const again = await callee.expectRequest('INFO');
  t.ok(proves(again.header('Authorization'), 'INFO', 'n2'));
  again.respond(200);
  t.equal((await asked).status, 200);
  const destroyed = uac.destroy();
  (await callee.expectRequest('BYE')).respond(401, challenge('n3'));
  const bye = await callee.expectRequest('BYE');
  t.ok(proves(bye.header('Authorization'), 'BYE', 'n3'));
  bye.respond(200);
  await destroyed;
  await scene.settled();
});

t.test('digest: a CANCEL that meets the challenge goes to the repeated INVITE', async (t) => {
  const scene = await stage(t);
  const { srf, callee } = scene;
  let request: SrfReq | undefined;
  const pending = failure(
    srf.createUAC(
      callee.uri,
      { localSdp: sdp('app'), auth: { username: 'user', password: 'pass' } },
      { cbRequest: (_error, sent) => (request = sent) },
    ),
  );
  const first = await callee.expectRequest('INVITE');
  first.respond(407, { headers: [['Proxy-Authenticate', 'Digest realm="realm", nonce="n", qop="auth"']] });
  const second = await callee.expectRequest('INVITE');
  t.ok(proves(second.header('Proxy-Authorization'), 'INVITE', 'n'));
  second.respond(180);
  await scene.rig.until(() => request !== undefined);
  request?.cancel();
  const cancel = await callee.expectRequest('CANCEL');
  t.equal(cancel.message.branch, second.message.branch);
  cancel.respond(200);
  second.respond(487);
  t.equal((await pending).status, 487);
  await scene.settled();
});

t.test('a late offer: the SDP of the answer comes with the ACK', async (t) => {
  const scene = await stage(t);
  const { rig, srf, caller, callee } = scene;
  const offered = srf.createUAC(callee.uri, { noAck: true }) as unknown as Promise<LateOffer>;
  const invite = await callee.expectRequest('INVITE');
  t.equal(invite.message.body.length, 0);
  invite.respond(200, { body: sdp('offer') });
  const late = await offered;
  t.equal(late.sdp, sdp('offer'));
  const uac = await late.ack(sdp('answer'));
  const ack = await callee.expect('ACK');
  t.equal(ack.text, sdp('answer'));
  t.equal(ack.header('Content-Type'), 'application/sdp');
  await hangUp(uac, callee);

  const call = caller.sendInvite({ target: rig.sip() });
  const [req, res] = await scene.invited();
  const pending = srf.createB2BUA(req, res, callee.uri, {});
  const far = await callee.expectRequest('INVITE');
  t.equal(far.message.body.length, 0);
  far.respond(180);
  await caller.expect('180 INVITE');
  far.respond(200, { body: sdp('offer') });
  const ok = await caller.expect('200 INVITE');
  t.equal(ok.text, sdp('offer'));
  call.confirm(ok, { body: sdp('answer') });
  t.equal((await callee.expect('ACK')).text, sdp('answer'));
  const legs = await pending;
  t.equal(legs.uas.remote.sdp, sdp('answer'));
  await hangUp(legs.uac, callee);
  await hangUp(legs.uas, caller);
  await scene.settled();
});

t.test('reliable provisionals cross a b2bua, each leg with its own PRACK', async (t) => {
  const scene = await stage(t);
  const { rig, srf, caller, callee } = scene;
  const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller'), headers: [['Supported', '100rel']] });
  const [req, res] = await scene.invited();
  const pending = srf.createB2BUA(req, res, callee.uri, {
    ...{ localSdpB: req.body, proxyRequestHeaders: ['Supported'], proxyResponseHeaders: ['Require'] },
  });
  const invite = await callee.expectRequest('INVITE');
  t.match(invite.header('Supported'), '100rel');
  invite.respond(183, { body: sdp('callee'), headers: [['Require', '100rel'], ['RSeq', '41']] }); // prettier-ignore
  const prack = await callee.expectRequest('PRACK');
  t.equal(prack.header('RAck'), `41 ${invite.message.cseqNumber} INVITE`);
  prack.respond(200);
  const early = await caller.expect('183 INVITE');
  t.equal(early.text, sdp('callee'));
  const dialog = call.dialog(early);
  dialog.send('PRACK', { headers: [['RAck', `${early.header('RSeq') ?? ''} 1 INVITE`]] });
  await caller.expect('200 PRACK');
  invite.respond(200, { body: sdp('callee') });
  dialog.ack((await caller.expect('200 INVITE')).cseqNumber);
  const legs = await pending;
  await callee.expect('ACK');
  await hangUp(legs.uac, callee);
  await hangUp(legs.uas, caller);
  await scene.settled();
});

t.test('UPDATE: in an early dialog, and in a confirmed one while the program is busy', async (t) => {
  const scene = await stage(t);
  const { srf, callee } = scene;
  const pending = srf.createUAC(callee.uri, { localSdp: sdp('app') });
  const invite = await callee.expectRequest('INVITE');
  const dialog = invite.dialog(invite.respond(183, { body: sdp('callee') }));
  dialog.send('UPDATE', { body: sdp('updated') });
  t.equal((await callee.expect('200 UPDATE')).text, sdp('app'));
  invite.respond(200, { body: sdp('callee') });
  const uac = await pending;
  await callee.expect('ACK');
  const asked = uac.request({ method: 'INFO', body: 'x', headers: { 'Content-Type': 'text/plain' } });
  const info = await callee.expectRequest('INFO');
  const heard = event<[SrfReq, SrfRes]>(uac, 'update');
  dialog.send('UPDATE', { body: sdp('again') });
  info.respond(200);
  await asked;
  const [, res] = await heard;
  res.send(200, { body: sdp('agreed') });
  t.equal((await callee.expect('200 UPDATE')).text, sdp('agreed'));
  await hangUp(uac, callee);
  await scene.settled();
});

t.test('nobody acknowledges, nobody answers: the program hears of it', async (t) => {
  const scene = await stage(t, true);
  const { rig, srf, caller, callee } = scene;
  caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
  const [req, res] = await scene.invited();
  const uas = await srf.createUAS(req, res, { localSdp: sdp('app') });
  const destroyed = event<[SrfReq, string]>(uas, 'destroy');
  (await caller.expectRequest('BYE')).respond(200);
  t.equal((await destroyed)[1], 'ACK timeout');
  t.equal((await failure(srf.createUAC(callee.uri, { localSdp: sdp('app') }))).status, 408);
  const gone = await rig.peer(CALLEE);
  await gone.close();
  t.equal((await failure(srf.createUAC(gone.uri, { localSdp: sdp('app') }))).status, 503);
  t.match((await failure(srf.createUAC(`sip:me@${rig.sip()}`, { localSdp: sdp('app') }))).message, 'request to myself');
  await scene.settled();
});

t.test('an answer without Contact does not stay up', async (t) => {
  const scene = await stage(t);
  const { srf, callee } = scene;
  const pending = failure(srf.createUAC(callee.uri, { localSdp: sdp('app') }));
  const invite = await callee.expectRequest('INVITE');
  const { message } = invite;
  const fields = ['Via', 'From', 'Call-ID', 'CSeq'].map((name) => `${name}: ${message.header(name) ?? ''}`);
  const lines = [
    'SIP/2.0 200 OK',
    ...fields,
    `To: ${message.header('To') ?? ''};tag=bare`,
    'Content-Length: 0',
    '',
    '',
  ];
  callee.send(lines.join('\r\n'), { address: message.address, port: message.port });
  t.ok(await pending);
  await callee.expect('ACK');
  (await callee.expectRequest('BYE')).respond(200);
  await scene.settled();
});

t.test('requests outside dialogs, both ways', async (t) => {
  const scene = await stage(t);
  const { rig, srf, caller, callee } = scene;
  caller.sendRequest('OPTIONS', { target: rig.sip() });
  t.equal((await caller.expect('200 OPTIONS')).header('Allow'), 'INVITE');
  const request = await new Promise<SrfReq>((resolve, reject) =>
    srf.request(
      callee.uri,
      { method: 'MESSAGE', body: 'grüße 😀', headers: { 'Content-Type': 'text/plain' } },
      (error, sent) => (error === null ? resolve(sent) : reject(error)),
    ),
  );
  const answered = event<[SrfRes]>(request, 'response');
  const message = await callee.expectRequest('MESSAGE');
  t.equal(message.text, 'grüße 😀', 'though drachtio-srf counts characters');
  message.respond(202);
  t.equal((await answered)[0].status, 202);
  await scene.settled();
});

t.test('a program that loses its connection comes back by itself, and its calls have ended', async (t) => {
  const scene = await stage(t);
  const { rig, srf, caller } = scene;
  const { req } = await callIn(scene);
  const back = event(srf, 'connect');
  req.socket.destroy();
  (await caller.expectRequest('BYE')).respond(200);
  await back;
  await rig.until(({ routes }) => (routes as Record<string, number>)['invite'] === 1);
  const { uas } = await callIn(scene);
  await hangUp(uas, caller);
  await scene.settled();
});

t.test('a wrong secret is reported', async (t) => {
  const { rig } = await stage(t);
  const stray: SrfProgram[] = [];
  const failed = await failure(startSrf(rig.control, 'wrong', (srf) => stray.push(srf)));
  t.match(failed.message, 'failed to authenticate');
  for (const srf of stray) srf.disconnect();
});
