/**
 * The drachtio control protocol over TCP, as an application meets it: the real engine on UDP, a scripted SIP peer, and
 * a client that knows nothing but bytes. Token counts, positions and texts are those recorded from drachtio-server.
 */
import t, { type Test } from 'tap';
import type { HostResolver } from '../../src/sip/index.js';
import { DrachtioClient, type ReceivedFrame, frameBytes } from '../support/drachtioClient.js';
import { DrachtioRig } from '../support/drachtioRig.js';
import type { PeerDialog, PeerHeader, SipPeer } from '../support/sipPeer.js';

const SERVER = '127.0.34.10';
const CALLER = '127.0.34.20';
const CALLEE = '127.0.34.30';
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';
const TIME = '\\d\\d:\\d\\d:\\d\\d\\.\\d{6}';
const FAST = { t1Ms: 20, t2Ms: 80, t4Ms: 50 };

const sdp = (name: string, mode = 'sendrecv'): string =>
  ['v=0', `o=- 1 1 IN IP4 127.0.0.1`, `s=${name}`, 'c=IN IP4 127.0.0.1', 't=0 0', 'm=audio 20000 RTP/AVP 0', `a=${mode}`, '']
    .join('\r\n'); // prettier-ignore

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

interface Scene {
  readonly rig: DrachtioRig;
  readonly app: DrachtioClient;
  readonly caller: SipPeer;
  readonly callee: SipPeer;
}

/** A rig with an application that takes everything, a caller and a callee. Afterwards nothing may be left. */
async function scene(
  t: Test,
  options: { fast?: boolean; resolver?: HostResolver; onAppLost?: 'keep' | 'hangup' } = {},
): Promise<Scene> {
  const rig = await DrachtioRig.start({
    address: SERVER,
    ...(options.fast === true ? { timers: FAST } : {}),
    ...(options.resolver === undefined ? {} : { resolver: options.resolver }),
    ...(options.onAppLost === undefined ? {} : { server: { onAppLost: options.onAppLost } }),
  });
  t.teardown(() => rig.stop());
  const app = await rig.app('invite', 'options', 'message', 'register');
  const caller = await rig.peer(CALLER, { name: 'alice' });
  const callee = await rig.peer(CALLEE, { name: 'bob' });
  return { rig, app, caller, callee };
}

/** `sip` frame from the network, request or response, up to the dialog id. */
function networkFrame(peer: SipPeer, tail: string, bytes = '\\d+'): RegExp {
  return new RegExp(
    `^${UUID}\\|sip\\|network\\|${bytes}\\|udp\\|${escape(peer.address)}\\|${peer.port}\\|${TIME}\\|${tail}$`,
  );
}
function okForResponse(peer: SipPeer, dialogId: string): RegExp {
  const end = `udp\\|${escape(peer.address)}\\|${peer.port}`;
  return new RegExp(`^OK\\|application\\|\\d+\\|${end}\\|${TIME}\\|${UUID}\\|${escape(dialogId)}\\|\\|Msg sent:\\|$`);
}
function okForRequest(rig: DrachtioRig, bytes = '[1-9]\\d*'): RegExp {
  const [address, port] = rig.sip().split(':') as [string, string];
  return new RegExp(
    `^OK\\|application\\|${bytes}\\|udp\\|${escape(address)}\\|${port}\\|${TIME}\\|${UUID}\\|Msg sent:\\|$`,
  );
}

/** An application's response: only what drachtio-srf writes. */
function answer(
  app: DrachtioClient,
  request: ReceivedFrame,
  startLine: string,
  ...more: string[]
): Promise<ReceivedFrame> {
  const { message } = request;
  return app.askSip(
    ...[`${request.txnId}|`, `SIP/2.0 ${startLine}`, `Call-ID: ${message?.callId ?? ''}`],
    ...[`cseq: ${message?.cseq ?? ''}`, `from: ${message?.header('From') ?? ''}`, `to: ${message?.header('To') ?? ''}`],
    ...more,
  );
}

interface IncomingCall {
  readonly dialogId: string;
  readonly dialog: PeerDialog;
  readonly ok: ReceivedFrame;
}

/** An answered call from the caller. */
async function incomingCall({ rig, app, caller }: Scene, headers: PeerHeader[] = []): Promise<IncomingCall> {
  const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller'), headers });
  const invite = await app.expect('INVITE');
  const ok = await answer(app, invite, '200 OK', '', sdp('app'));
  const dialog = call.confirm(await caller.expect('200 INVITE'));
  await app.expect('ACK');
  return { dialogId: ok.dialogId, dialog, ok };
}

/** An answered call to the callee. */
async function outgoingCall({ app, callee }: Scene): Promise<IncomingCall & { readonly txnId: string }> {
  const ok = await app.askSip('|', `INVITE ${callee.uri} SIP/2.0`, '', sdp('app'));
  const invite = await callee.expectRequest('INVITE');
  const response = invite.respond(200, { body: sdp('callee') });
  const frame = await app.expect('200 INVITE');
  await app.askSip(`|${frame.dialogId}`, `ACK ${callee.uri} SIP/2.0`);
  await callee.expect('ACK');
  return { dialogId: frame.dialogId, dialog: invite.dialog(response), ok, txnId: ok.txnId };
}

/** The application hangs up. */
async function hangUp({ app }: Scene, dialogId: string, peer: SipPeer): Promise<void> {
  await app.askSip(`|${dialogId}`, 'BYE sip:placeholder SIP/2.0');
  (await peer.expectRequest('BYE')).respond(200);
  await app.expect('200 BYE');
}

t.test('authenticate comes first, with the right secret', async (t) => {
  const { rig } = await scene(t);
  const client = await DrachtioClient.connect(rig.control);
  const reply = await client.ask('authenticate|cymru|');
  t.equal(reply.tokens.length, 7);
  t.match(reply.tokens[0], new RegExp(`^${UUID}$`));
  t.strictSame(reply.tokens[4]?.split(',').sort(), [`tcp/${rig.sip('tcp')}`, `udp/${rig.sip()}`]);
  t.match(reply.tokens[5], /^v0\.9\.10/);
  t.equal(reply.tokens[6], reply.tokens[4]);
  t.match((await client.ask('ping')).leader, new RegExp(`^${UUID}\\|response\\|f2\\|OK\\|pong$`));
  t.equal((await client.ask('route|invite')).outcome, 'OK');
  t.equal((await client.ask('route|invite')).outcome, 'OK');
  t.equal((await client.ask('remove_route|invite')).outcome, 'OK');
  client.close();
  for (const [request, text] of [
    ['authenticate|wrong|', 'NO|incorrect secret'],
    ['route|invite', 'NO|not authenticated'],
    ['ping', 'NO|not authenticated'],
  ] as const) {
    const stranger = await DrachtioClient.connect(rig.control);
    t.equal((await stranger.ask(request)).outcome, text);
    await stranger.closed;
  }
});

t.test('frames may be split and joined at will; bad ones end the connection', async (t) => {
  const { rig } = await scene(t);
  const app = await rig.app();
  const pings = Buffer.concat([frameBytes('a|ping'), frameBytes('b|ping'), frameBytes('ü|ping')]);
  app.writeRaw(pings);
  for (const id of ['a', 'b']) t.equal((await app.next()).tokens[2], id);
  t.equal((await app.next()).tokens[2], Buffer.from('ü').toString('latin1'));
  for (const byte of pings) app.writeRaw(Buffer.from([byte]));
  for (let i = 0; i < 3; i++) t.equal((await app.next()).outcome, 'OK|pong');
  for (const bad of ['x#', '12', '0#']) {
    const client = await rig.app();
    client.writeRaw(Buffer.from(bad === '12' ? '9999999#' : bad));
    await client.closed;
  }
  for (const [request, text] of [
    ['whatever', 'NO|Unknown message type'],
    ['sip||\r\nSIP/2.0 200 OK\r\n\r\n', 'NO|transaction id missing'],
    ['sip||', 'NO|Invalid message format'],
  ] as const) {
    const client = await rig.app();
    t.equal((await client.ask(request)).outcome, text);
    await client.closed;
  }
});

t.test('a call comes in: 180, 200, ACK, BYE from the network', async (t) => {
  const { rig, app, caller } = await scene(t);
  const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller'), headers: [['X-In', 'hello']] });
  const invite = await app.expect('INVITE');
  await caller.expect('100 INVITE');
  const dialogId = `${call.callId};from-tag=${call.fromTag}`;
  const [address, port] = rig.sip().split(':') as [string, string];
  t.match(
    invite.leader,
    networkFrame(caller, `${UUID}\\|\\|${escape(address)}\\|${port}\\|`, String(call.request.raw.length)),
  );
  t.equal(invite.message?.header('X-In'), 'hello');
  t.match(invite.message?.header('Via'), new RegExp(`rport=${caller.port}`));
  t.equal(invite.message?.text, sdp('caller'));

  const ringing = await answer(app, invite, '180 Ringing');
  t.match(ringing.outcome, okForResponse(caller, dialogId));
  t.equal(ringing.tokens[5], String(ringing.message?.raw.length));
  const wire180 = await caller.expect('180 INVITE');
  t.ok(ringing.message?.raw.equals(wire180.raw), 'the echo is what went out');
  // RFC 3261 §12.1.1 wants one; a drachtio-server sends none but in reliable ones.
  t.match(wire180.header('Contact') ?? '<sip:', /^<sip:/, 'a Contact, where there is one, names us');

  const ok = await answer(app, invite, '200 OK', 'user-agent: lab', 'X-Foo-bar: baz', 'foo-bar: 1', '', sdp('app'));
  t.match(ok.outcome, okForResponse(caller, dialogId));
  const wire200 = await caller.expect('200 INVITE');
  t.ok(ok.message?.raw.equals(wire200.raw));
  t.equal(wire200.toTag, wire180.toTag);
  t.equal(wire200.header('Contact'), `<sip:${rig.sip()}>`);
  t.equal(wire200.header('Content-Type'), 'application/sdp');
  t.equal(wire200.header('User-Agent'), 'lab');
  t.ok(wire200.raw.toString().includes('\r\nX-Foo-bar: baz\r\n'));
  t.ok(wire200.raw.toString().includes('\r\nFoo-Bar: 1\r\n'));
  t.equal(wire200.text, sdp('app'));

  const dialog = call.confirm(wire200);
  const ack = await app.expect('ACK');
  t.match(ack.leader, networkFrame(caller, `${invite.txnId}\\|${escape(dialogId)}\\|`));
  dialog.send('BYE');
  const bye = await app.expect('BYE');
  t.match(bye.leader, networkFrame(caller, `${UUID}\\|${escape(dialogId)}\\|`));
  const byeReply = await answer(app, bye, '200 OK');
  t.match(byeReply.outcome, okForResponse(caller, ''));
  await caller.expect('200 BYE');
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
  t.strictSame(app.unread, []);
});

t.test('a b2bua: both legs, byte for byte, replies before events', async (t) => {
  const stage = await scene(t);
  const { rig, app, caller, callee } = stage;
  const call = caller.sendInvite({
    target: rig.sip(),
    body: sdp('caller'),
    from: `"Alice" <sip:alice@${CALLER}>;tag=a1`,
  });
  const invite = await app.expect('INVITE');
  const sent = await app.askSip(
    ...['|', `INVITE ${callee.uri} SIP/2.0`, 'X-In: hello', 'from: "Alice" <sip:alice@localhost>'],
    ...['contact: "Alice" <sip:alice@localhost>', 'Route: <sip:evil;lr>', 'Content-Length: 3', '', sdp('caller')],
  );
  t.match(sent.outcome, okForRequest(rig));
  t.equal(sent.tokens[5], String(sent.message?.raw.length));
  const toCallee = await callee.expectRequest('INVITE');
  t.ok(sent.message?.raw.equals(toCallee.message.raw), 'the echo is what went out');
  t.match(toCallee.header('From'), new RegExp(`^"Alice" <sip:alice@${escape(rig.sip())}>;tag=.+$`));
  t.equal(toCallee.header('Contact'), `"Alice" <sip:alice@${rig.sip()}>`);
  t.equal(toCallee.header('To'), `<${callee.uri}>`);
  t.equal(toCallee.header('Route'), undefined);
  t.equal(toCallee.header('Max-Forwards'), '70');
  t.equal(toCallee.text, sdp('caller'));
  const bLeg = `${toCallee.message.callId};from-tag=${toCallee.message.fromTag}`;

  toCallee.respond(100);
  toCallee.respond(180);
  const ringing = await app.expect('180 INVITE');
  t.match(ringing.leader, networkFrame(callee, `${sent.txnId}\\|${escape(bLeg)}\\|`));
  await answer(app, invite, '180 Ringing');
  const answered = toCallee.respond(200, { body: sdp('callee'), headers: [['X-Back', 'yes']] });
  const ok = await app.expect('200 INVITE');
  t.match(ok.leader, networkFrame(callee, `${sent.txnId}\\|${escape(bLeg)}\\|`, String(answered.raw.length)));
  t.equal(ok.message?.header('X-Back'), 'yes');
  const acked = await app.askSip(`|${bLeg}`, `ACK ${callee.uri} SIP/2.0`, 'Content-Length: 0');
  t.match(acked.outcome, okForRequest(rig));
  const wireAck = await callee.expect('ACK');
  t.ok(acked.message?.raw.equals(wireAck.raw));
  t.equal(wireAck.cseqNumber, toCallee.message.cseqNumber);

  const aLeg = (await answer(app, invite, '200 OK', 'X-Back: yes', '', sdp('callee'))).dialogId;
  const dialog = call.confirm(await caller.expect('200 INVITE'));
  await app.expect('ACK');
  dialog.send('BYE');
  const bye = await app.expect('BYE');
  t.equal(bye.dialogId, aLeg);
  await answer(app, bye, '200 OK');
  const byeSent = await app.askSip(`|${bLeg}`, 'BYE sip:placeholder SIP/2.0', 'Content-Length: 0');
  t.match(byeSent.outcome, okForRequest(rig));
  const wireBye = await callee.expectRequest('BYE');
  t.equal(wireBye.uri, callee.uri);
  t.equal(wireBye.message.cseqNumber, toCallee.message.cseqNumber + 1);
  wireBye.respond(200);
  const byeOk = await app.expect('200 BYE');
  t.match(byeOk.leader, networkFrame(callee, `${byeSent.txnId}\\|${escape(bLeg)}\\|`));
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
});

t.test('the caller cancels: before any response, and while it rings', async (t) => {
  const { rig, app, caller } = await scene(t);
  for (const rings of [false, true]) {
    const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
    const invite = await app.expect('INVITE');
    if (rings) {
      await answer(app, invite, '180 Ringing');
      await caller.expect('180 INVITE');
    }
    call.cancel([['Reason', 'SIP;cause=200;text="elsewhere"']]);
    const ok = await caller.expect('200 CANCEL');
    const terminated = await caller.expect('487 INVITE');
    t.equal(terminated.toTag, ok.toTag, 'one tag for both');
    const cancel = await app.expect('CANCEL');
    const dialogId = rings ? `${call.callId};from-tag=${call.fromTag}` : '';
    t.match(cancel.leader, networkFrame(caller, `${invite.txnId}\\|${escape(dialogId)}\\|`));
    t.equal(cancel.message?.header('Reason'), 'SIP;cause=200;text="elsewhere"');
    t.equal(
      (await answer(app, invite, '487 Request Terminated')).outcome,
      'NOK|Response not sent due to unknown transaction',
    );
  }
  caller.sendRequest('CANCEL', { target: rig.sip() });
  await caller.expect('481 CANCEL');
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
  t.strictSame(app.unread, []);
});

t.test('the application cancels: held until a provisional, and across a 200', async (t) => {
  const { rig, app, callee } = await scene(t);
  const held = await app.askSip('|', `INVITE ${callee.uri} SIP/2.0`, '', sdp('app'));
  const invite = await callee.expectRequest('INVITE');
  const cancelled = await app.askSip(`${held.txnId}|`, `CANCEL ${callee.uri} SIP/2.0`, 'Reason: SIP;cause=200');
  t.match(cancelled.outcome, okForRequest(rig, '0'));
  t.not(cancelled.txnId, held.txnId);
  t.equal(callee.count('CANCEL'), 0);
  invite.respond(100);
  const cancel = await callee.expectRequest('CANCEL');
  t.equal(cancel.message.branch, invite.message.branch);
  t.equal(cancel.header('Reason'), 'SIP;cause=200');
  cancel.respond(200);
  invite.respond(487);
  const failed = await app.expect('487 INVITE');
  t.equal(failed.txnId, held.txnId);
  await callee.expect('ACK');
  t.equal(
    (await app.askSip(`|${failed.dialogId}`, `ACK ${callee.uri} SIP/2.0`)).outcome,
    'NOK|Server error: ACK for non-success final response is automatically generated by server',
  );
  t.equal(
    (await app.askSip(`${held.txnId}|`, `CANCEL ${callee.uri} SIP/2.0`)).outcome,
    `NOK|unable to cancel unknown transaction id: ${held.txnId}`,
  );

  const racing = await app.askSip('|', `INVITE ${callee.uri} SIP/2.0`, '', sdp('app'));
  const second = await callee.expectRequest('INVITE');
  second.respond(180);
  const { dialogId } = await app.expect('180 INVITE');
  t.match((await app.askSip(`${racing.txnId}|`, `CANCEL ${callee.uri} SIP/2.0`)).outcome, okForRequest(rig));
  (await callee.expectRequest('CANCEL')).respond(200);
  second.respond(200, { body: sdp('callee') });
  t.equal((await app.expect('200 INVITE')).txnId, racing.txnId);
  await app.askSip(`|${dialogId}`, `ACK ${callee.uri} SIP/2.0`);
  const bye = await app.expect('BYE');
  t.equal(bye.tokens.length, 11);
  const end = rig.sip().replace(':', '\\|');
  t.match(
    bye.leader,
    new RegExp(`^${UUID}\\|sip\\|application\\|\\d+\\|udp\\|${end}\\|${TIME}\\|unsolicited\\|${escape(dialogId)}\\|$`),
  );
  t.match(bye.message?.header('Reason'), /text="ACK-BYE due to cancel race condition"/);
  await callee.expect('ACK');
  (await callee.expectRequest('BYE')).respond(200);
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
  t.strictSame(app.unread, []);
});

t.test('re-INVITE from the network, then from the application, then BYE by the application', async (t) => {
  const stage = await scene(t);
  const { rig, app, caller } = stage;
  const { dialogId, dialog, ok } = await incomingCall(stage);
  const again = dialog.send('INVITE', { body: sdp('caller', 'sendonly') });
  const invite = await app.expect('INVITE');
  t.match(invite.leader, networkFrame(caller, `${UUID}\\|${escape(dialogId)}\\|`));
  const contact = ok.message?.header('Contact') ?? '';
  const reply = await answer(
    app,
    invite,
    '200 OK',
    `contact: ${contact}`,
    'content-type: application/sdp',
    '',
    sdp('app', 'recvonly'),
  );
  t.match(reply.outcome, okForResponse(caller, dialogId));
  const answered = await caller.expect((m) => m.status === 200 && m.cseqNumber === again.request.cseqNumber);
  t.strictSame(answered.headerAll('Contact'), [contact]);
  dialog.ack(again.request.cseqNumber);
  t.equal((await app.expect('ACK')).dialogId, dialogId);

  const sent = await app.askSip(
    `|${dialogId}`,
    'INVITE sip:placeholder SIP/2.0',
    `Contact: ${contact}`,
    '',
    sdp('app', 'inactive'),
  );
  t.match(sent.outcome, okForRequest(rig));
  const wire = await caller.expectRequest('INVITE');
  t.equal(wire.uri, caller.uri, 'the remote target, not the placeholder');
  t.equal(wire.header('From'), (await Promise.resolve(answered.header('To'))) ?? '');
  t.strictSame(wire.message.headerAll('Contact'), [contact]);
  wire.respond(200, { body: sdp('caller', 'inactive') });
  const accepted = await app.expect('200 INVITE');
  t.match(accepted.leader, networkFrame(caller, `${sent.txnId}\\|${escape(dialogId)}\\|`));
  t.match((await app.askSip(`|${dialogId}`, 'ACK sip:x SIP/2.0')).outcome, okForRequest(rig));
  t.equal((await caller.expect('ACK')).cseqNumber, wire.message.cseqNumber);

  await hangUp(stage, dialogId, caller);
  t.equal(
    (await app.askSip(`|${dialogId}`, 'INFO sip:placeholder SIP/2.0', 'Content-Type: text/plain', '', 'x')).outcome,
    'NOK|Server error: unable to find dialog for dialog id provided',
  );
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
});

t.test(
  'a challenged INVITE is repeated with the same Call-ID and From tag, the next CSeq and a next hop',
  async (t) => {
    const stage = await scene(t);
    const { rig, app, callee } = stage;
    await app.askSip('|', `INVITE ${callee.uri} SIP/2.0`, '', sdp('app'));
    const challenged = await callee.expectRequest('INVITE');
    challenged.respond(407, {
      headers: [['Proxy-Authenticate', 'Digest realm="r", nonce="n1", qop="auth", algorithm=MD5']],
    });
    const refused = await app.expect('407 INVITE');
    t.equal(refused.dialogId, `${challenged.message.callId};from-tag=${challenged.message.fromTag}`);
    t.match(refused.message?.header('Proxy-Authenticate'), /nonce="n1"/);
    await callee.expect('ACK');
    const seq = challenged.message.cseqNumber + 1;
    const retried = await app.askSip(
      ...[`||sip:${callee.hostPort}`, 'INVITE sip:bob@elsewhere.invalid SIP/2.0', `CSeq: ${seq} INVITE`],
      ...[`Call-ID: ${challenged.message.callId}`, `From: ${challenged.header('From') ?? ''}`],
      ...['Proxy-Authorization: Digest username="u", nonce="n1"', '', sdp('app')],
    );
    t.match(retried.outcome, okForRequest(rig));
    const retry = await callee.expectRequest('INVITE');
    t.equal(retry.uri, 'sip:bob@elsewhere.invalid');
    t.equal(retry.message.callId, challenged.message.callId);
    t.equal(retry.header('From'), challenged.header('From'));
    t.equal(retry.message.cseqNumber, seq);
    t.match(retry.header('Proxy-Authorization'), /nonce="n1"/);
    const answered = retry.respond(200, { body: sdp('callee') });
    const ok = await app.expect('200 INVITE');
    t.equal(ok.txnId, retried.txnId);
    t.equal(ok.dialogId, refused.dialogId);
    await app.askSip(`|${ok.dialogId}`, `ACK ${callee.uri} SIP/2.0`);
    await callee.expect((m) => m.method === 'ACK' && m.cseqNumber === seq);

    await app.askSip(`|${ok.dialogId}`, 'BYE sip:placeholder SIP/2.0');
    (await callee.expectRequest('BYE')).respond(407, {
      headers: [['Proxy-Authenticate', 'Digest realm="r", nonce="n2"']],
    });
    await app.expect('407 BYE');
    await app.askSip(
      `|${ok.dialogId}|sip:${callee.hostPort}`,
      'BYE sip:placeholder SIP/2.0',
      `CSeq: ${seq + 2} BYE`,
      'Proxy-Authorization: Digest nonce="n2"',
    );
    const bye = await callee.expectRequest('BYE');
    t.equal(bye.message.cseqNumber, seq + 2);
    t.match(bye.header('Proxy-Authorization'), /n2/);
    t.equal(bye.message.toTag, answered.toTag);
    bye.respond(200);
    await app.expect('200 BYE');
    t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
  },
);

t.test('a reliable provisional as server: RSeq, Contact, PRACK to the application, or a refusal', async (t) => {
  const stage = await scene(t);
  const { rig, app, caller } = stage;
  const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller'), headers: [['Supported', '100rel']] });
  const invite = await app.expect('INVITE');
  const early = await answer(app, invite, '183 Session in Progress', 'require: 100rel', '', sdp('app'));
  const dialogId = `${call.callId};from-tag=${call.fromTag}`;
  t.match(early.outcome, okForResponse(caller, dialogId));
  t.match(early.message?.header('RSeq'), /^\d+$/);
  t.strictSame(early.message?.headerAll('Require'), ['100rel']);
  t.equal(early.message?.header('Contact'), `<sip:${rig.sip()}>`);
  const wire = await caller.expect('183 INVITE');
  const dialog = call.dialog(wire);
  dialog.send('PRACK', { headers: [['RAck', `${wire.header('RSeq') ?? ''} 1 INVITE`]] });
  const prack = await app.expect('PRACK');
  t.match(prack.leader, networkFrame(caller, `${UUID}\\|${escape(dialogId)}\\|`));
  t.not(prack.txnId, invite.txnId);
  t.match((await answer(app, prack, '200 OK')).outcome, okForResponse(caller, dialogId));
  await caller.expect('200 PRACK');
  await answer(app, invite, '200 OK');
  dialog.ack((await caller.expect('200 INVITE')).cseqNumber);
  t.equal((await app.expect('ACK')).txnId, invite.txnId);
  await hangUp(stage, dialogId, caller);

  caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
  const plain = await app.expect('INVITE');
  const refused = await answer(app, plain, '183 Session in Progress', 'require: 100rel', '', sdp('app'));
  t.equal(refused.outcome, 'NOK|Remote endpoint does not support 100rel');
  t.match((await answer(app, plain, '486 Busy Here')).tokens[3], 'OK');
  await caller.expect('486 INVITE');
  t.equal(caller.count('183 INVITE'), 1, 'the refused one was not sent');
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
});

t.test(
  'reliable provisionals as client: PRACK to the branch that sent it, answered 2xx of forks released',
  async (t) => {
    const stage = await scene(t);
    const { rig, app, callee } = stage;
    const sent = await app.askSip('|', `INVITE ${callee.uri} SIP/2.0`, 'Supported: 100rel', '', sdp('app'));
    const invite = await callee.expectRequest('INVITE');
    const reliable = (toTag: string, rseq: number): void => {
      invite.respond(183, { toTag, headers: [['RSeq', String(rseq)], ['Require', '100rel']], contact: `<sip:${toTag}@${callee.hostPort}>` }); // prettier-ignore
    };
    reliable('one', 7);
    reliable('two', 9);
    const first = await app.expect('183 INVITE');
    const second = await app.expect('183 INVITE');
    t.strictSame([first.message?.toTag, second.message?.toTag], ['one', 'two']);
    t.equal(first.dialogId, second.dialogId);
    const cseq = `${invite.message.cseqNumber} INVITE`;
    t.match(
      (await app.askSip(`|${first.dialogId}`, 'PRACK sip:x SIP/2.0', `rack: 7 ${cseq}`)).outcome,
      okForRequest(rig),
    );
    const prack = await callee.expectRequest('PRACK');
    t.equal(prack.message.toTag, 'one');
    t.equal(prack.uri, `sip:one@${callee.hostPort}`);
    t.equal(prack.header('RAck'), `7 ${cseq}`);
    prack.respond(200);
    t.equal((await app.expect('200 PRACK')).dialogId, first.dialogId);
    reliable('one', 7);
    const winner = invite.respond(200, { toTag: 'two', body: sdp('callee') });
    const ok = await app.expect('200 INVITE');
    t.equal(ok.txnId, sent.txnId, 'and no 183 was repeated');
    await app.askSip(`|${ok.dialogId}`, 'ACK sip:x SIP/2.0');
    t.equal((await callee.expect('ACK')).toTag, winner.toTag);
    invite.respond(200, { toTag: 'three', body: sdp('callee') });
    t.equal((await callee.expect('ACK')).toTag, 'three');
    const release = await callee.expectRequest('BYE');
    t.equal(release.message.toTag, 'three');
    release.respond(200);
    await hangUp(stage, ok.dialogId, callee);
    t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
    t.strictSame(app.unread, []);
  },
);

t.test('requests that reach nobody end in a response all the same', async (t) => {
  const { rig, app, callee } = await scene(t, { fast: true });
  const closed = await rig.peer(CALLEE);
  const nobody = closed.uri;
  await closed.close();
  for (const method of ['INVITE', 'OPTIONS']) {
    const refused = await app.askSip('|', `${method} ${nobody} SIP/2.0`);
    const frame = await app.expect(`503 ${method}`);
    t.match(frame.leader, new RegExp(`\\|sip\\|network\\|0\\|udp\\|\\|0\\|${TIME}\\|${refused.txnId}\\|`));
    t.equal(frame.message?.startLine, 'SIP/2.0 503 Service Unavailable');
    t.equal(frame.dialogId === '', method === 'OPTIONS');
  }
  await app.askSip('|', `INVITE ${nobody};transport=tcp SIP/2.0`, '', sdp('app'));
  await app.expect('503 INVITE');
  for (const method of ['INVITE', 'OPTIONS']) {
    const silent = await app.askSip('|', `${method} ${callee.uri} SIP/2.0`);
    const frame = await app.expect(`408 ${method}`);
    t.match(frame.leader, new RegExp(`\\|sip\\|network\\|0\\|udp\\|\\|0\\|${TIME}\\|${silent.txnId}\\|`));
    t.equal(frame.message?.startLine, 'SIP/2.0 408 Request Timeout');
    t.not(frame.message?.toTag, '');
  }
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
});

t.test('a name that does not resolve: OK with nothing sent, then 503 DNS Error', async (t) => {
  let reply: (() => void) | undefined;
  const resolver: HostResolver = {
    resolve: (_host, done) => {
      reply = () => done({ ok: false, code: 'ENOTFOUND' });
    },
  };
  const { app, rig } = await scene(t, { resolver });
  const sent = await app.askSip('|', 'INVITE sip:bob@no-such-host.invalid SIP/2.0', '', sdp('app'));
  t.match(sent.outcome, new RegExp(`^OK\\|application\\|0\\|unknown\\|\\|0\\|${TIME}\\|${UUID}\\|Msg sent:\\|$`));
  reply?.();
  const failed = await app.expect('503 INVITE');
  t.match(
    failed.leader,
    new RegExp(`\\|sip\\|network\\|0\\|unknown\\|\\|0\\|${TIME}\\|${sent.txnId}\\|[^|]+;from-tag=[^|]+\\|$`),
  );
  t.equal(failed.message?.startLine, 'SIP/2.0 503 DNS Error');
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
});

t.test('a caller who never sends ACK: BYE on the wire and an unsolicited BYE to the application', async (t) => {
  const { app, caller, rig } = await scene(t, { fast: true });
  const call = caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
  const invite = await app.expect('INVITE');
  const { dialogId } = await answer(app, invite, '200 OK', '', sdp('app'));
  await caller.expect('200 INVITE');
  const wire = await caller.expectRequest('BYE');
  t.equal(wire.message.callId, call.callId);
  wire.respond(200);
  const bye = await app.expect('BYE');
  t.match(
    bye.leader,
    new RegExp(`\\|sip\\|application\\|\\d+\\|udp\\|[\\d.]+\\|\\d+\\|${TIME}\\|unsolicited\\|${escape(dialogId)}\\|$`),
  );
  t.match(bye.message?.header('Reason'), /^SIP ?;cause=200 ?;text="ACK timeout"$/);
  t.ok(bye.message?.raw.equals(wire.message.raw));
  t.ok(caller.ladder.filter((line) => line.includes('200 OK (INVITE)')).length > 4, 'the 200 was repeated meanwhile');
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
});

t.test('refusals, word for word', async (t) => {
  const stage = await scene(t);
  const { rig, app, callee } = stage;
  const refusal = async (ids: string, ...lines: string[]): Promise<string> => (await app.askSip(ids, ...lines)).outcome;
  t.equal(await refusal('nobody|', 'SIP/2.0 200 OK'), 'NOK|Response not sent due to unknown transaction');
  t.equal(
    await refusal('|no;from-tag=x', 'INFO sip:placeholder SIP/2.0'),
    'NOK|Server error: unable to find dialog for dialog id provided',
  );
  t.equal(
    await refusal('|no;from-tag=x', 'PRACK sip:placeholder SIP/2.0'),
    'NOK|Server error: unable to find IIP when sending PRACK',
  );
  t.equal(await refusal('|', 'OPTIONS <> SIP/2.0'), 'NOK|invalid request-uri: OPTIONS <> SIP/2.0');
  t.equal(await refusal('|', 'GIBBERISH'), 'NOK|invalid request-uri: GIBBERISH');
  t.equal(await refusal('|', `MESSAGE ${callee.uri} SIP/2.0`, '', 'hello'), 'NOK|missing content-type');
  t.equal(await refusal('|', `OPTIONS sip:x@${rig.sip()} SIP/2.0`), 'NOK|can not send request to myself');
  t.equal(
    await refusal('|', `OPTIONS ${callee.uri};transport=sctp SIP/2.0`),
    'NOK|requested protocol/transport not available',
  );
  t.equal(await refusal('|', `OPTIONS sip:x@[::1]:5099 SIP/2.0`), 'NOK|requested protocol/transport not available');
  t.equal(await refusal('|', `OPTIONS ${callee.uri} SIP/2.0`, 'From: <sip:broken'), 'NOK|Error creating leg');
  t.equal(await refusal('x|', `CANCEL ${callee.uri} SIP/2.0`), 'NOK|unable to cancel unknown transaction id: x');
  t.equal(
    (await app.ask(`proxy|x|||full||serial|||${callee.uri}\r\nINVITE ${callee.uri} SIP/2.0\r\n\r\n`)).outcome,
    'NOK|Unknown transaction id: x',
  );
  const { dialogId } = await outgoingCall(stage);
  t.equal(
    await refusal(`|${dialogId}`, 'ACK sip:x SIP/2.0'),
    'NOK|ACK for non-success responses is automatically generated by the stack',
  );
  t.equal(
    await refusal(`|${dialogId}`, 'INFO sip:placeholder SIP/2.0', '', 'x'),
    'NOK|Server error: missing content-type',
  );
  await hangUp(stage, dialogId, callee);
});

t.test('bodies pass byte for byte, and Content-Length counts bytes', async (t) => {
  const stage = await scene(t);
  const { rig, app, caller, callee } = stage;
  const text = 'grüße 😀 #1|2\r\n\r\nnoch eine Zeile';
  caller.sendRequest('MESSAGE', { target: rig.sip(), body: text, contentType: 'text/plain;charset=utf-8' });
  const frame = await app.expect('MESSAGE');
  t.equal(frame.message?.text, text);
  await answer(app, frame, '200 OK');
  await caller.expect('200 MESSAGE');
  await app.askSip('|', `MESSAGE ${callee.uri} SIP/2.0`, 'content-type: text/plain', 'Content-Length: 9', '', text);
  const sent = await callee.expectRequest('MESSAGE');
  t.equal(sent.text, text);
  t.equal(sent.header('Content-Length'), String(Buffer.byteLength(text)));
  t.equal(sent.header('Content-Type'), 'text/plain');
  t.equal(sent.header('Contact'), undefined, 'only requests that make dialogs get one');
  sent.respond(200);
  t.equal((await app.expect('200 MESSAGE')).dialogId, '');
  const long = `v=0\r\n${'a=x\r\n'.repeat(2500)}`;
  const { dialogId } = await outgoingCall(stage);
  await app.askSip(`|${dialogId}`, 'INFO sip:placeholder SIP/2.0', `X-Long: ${'y'.repeat(9000)}`, '', long);
  const info = await callee.expectRequest('INFO');
  t.equal(info.text, long, 'no 12 kB limit');
  t.equal(info.header('X-Long')?.length, 9000);
  info.respond(200);
  await app.expect('200 INFO');
  await hangUp(stage, dialogId, callee);
});

t.test('requests within a dialog, both ways, in order', async (t) => {
  const stage = await scene(t);
  const { app, callee } = stage;
  const { dialogId, dialog } = await outgoingCall(stage);
  for (const method of ['INFO', 'MESSAGE', 'OPTIONS', 'NOTIFY', 'UPDATE']) {
    dialog.send(method, { headers: [['X-M', method]] });
    const frame = await app.expect(method);
    t.match(frame.leader, networkFrame(callee, `${UUID}\\|${escape(dialogId)}\\|`));
    const reply = await answer(app, frame, '200 OK');
    t.match(reply.outcome, okForResponse(callee, dialogId));
    await callee.expect(`200 ${method}`);
  }
  const sent = await app.askSip(`|${dialogId}`, 'INFO sip:placeholder SIP/2.0', 'Content-Type: text/plain', '', 'ping');
  const info = await callee.expectRequest('INFO');
  dialog.send('UPDATE');
  dialog.send('MESSAGE');
  const message = await app.expect('MESSAGE');
  await answer(app, message, '200 OK');
  info.respond(200);
  const response = await app.expect('200 INFO');
  t.match(response.leader, networkFrame(callee, `${sent.txnId}\\|${escape(dialogId)}\\|`));
  const update = await app.expect('UPDATE');
  await answer(app, update, '200 OK');
  await callee.expect('200 UPDATE');
  await hangUp(stage, dialogId, callee);
});

t.test('a request nobody registered for is refused', async (t) => {
  const { rig, caller, app } = await scene(t);
  for (const method of ['INVITE', 'OPTIONS', 'REGISTER', 'MESSAGE'])
    await app.ask(`remove_route|${method.toLowerCase()}`);
  for (const [method, status] of [
    ['INVITE', 503],
    ['OPTIONS', 503],
    ['REGISTER', 503],
    ['SUBSCRIBE', 503],
    ['BYE', 481],
    ['UPDATE', 481],
    ['BREW', 501],
  ] as const) {
    // prettier-ignore
    caller.sendRequest(method, { target: rig.sip() });
    await caller.expect(`${status} ${method}`);
  }
  t.strictSame(app.unread, []);
});

t.test('REGISTER answers list contacts as the application wrote them', async (t) => {
  const { rig, caller, app } = await scene(t);
  caller.sendRequest('REGISTER', { target: rig.sip(), uri: `sip:${rig.sip()}` });
  const register = await app.expect('REGISTER');
  const contacts = [`<${caller.uri}>;expires=60`, '<sip:other@10.0.0.1>;expires=30'];
  await answer(app, register, '200 OK', ...contacts.map((contact) => `Contact: ${contact}`));
  t.strictSame((await caller.expect('200 REGISTER')).headerAll('Contact'), contacts);
});

t.test('two applications share the calls', async (t) => {
  const { rig, caller, app } = await scene(t);
  const other = await rig.app('options', 'options', 'options');
  for (let i = 0; i < 4; i++) caller.sendRequest('OPTIONS', { target: rig.sip() });
  const frames: [DrachtioClient, ReceivedFrame][] = [];
  for (const client of [app, other, app, other]) frames.push([client, await client.expect('OPTIONS')]);
  for (const [client, frame] of frames) await answer(client, frame, '200 OK');
  for (let i = 0; i < 4; i++) await caller.expect('200 OPTIONS');
  t.strictSame([...app.unread, ...other.unread], []);
});

t.test('an application goes away: its calls end, its requests are answered', async (t) => {
  const stage = await scene(t);
  const { rig, app, caller, callee } = stage;
  await incomingCall(stage);
  await outgoingCall(stage);
  caller.sendRequest('OPTIONS', { target: rig.sip() });
  await app.expect('OPTIONS');
  caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
  await app.expect('INVITE');
  await app.askSip('|', `INVITE ${callee.uri} SIP/2.0`, '', sdp('app'));
  const ringing = await callee.expectRequest('INVITE');
  ringing.respond(180);
  await app.expect('180 INVITE');
  app.close();
  for (const peer of [caller, callee]) {
    const bye = await peer.expectRequest('BYE');
    t.match(bye.header('Reason'), /application connection lost/);
    bye.respond(200);
  }
  await caller.expect('500 OPTIONS');
  await caller.expect('480 INVITE');
  (await callee.expectRequest('CANCEL')).respond(200);
  ringing.respond(487);
  await callee.expect((m) => m.method === 'ACK' && m.branch === ringing.message.branch);
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
  caller.sendInvite({ target: rig.sip(), body: sdp('caller') });
  await caller.expect('503 INVITE');
});

t.test('calls that are kept can be taken over', async (t) => {
  const stage = await scene(t, { onAppLost: 'keep' });
  const { rig, app, caller } = stage;
  const { dialogId, dialog } = await incomingCall(stage);
  app.close();
  await rig.until(({ sessions }) => (sessions as unknown[]).length === 0);
  dialog.send('INFO');
  await caller.expect('480 INFO');
  const back = await rig.app();
  await hangUp({ ...stage, app: back }, dialogId, caller);
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
});

t.test('over TCP the frames say so, and a broken connection leaves nothing behind', async (t) => {
  const { rig, app } = await scene(t);
  const caller = await rig.peer(CALLER, { name: 'carol', transport: 'tcp' });
  const call = caller.sendInvite({ target: rig.sip('tcp'), body: sdp('caller') });
  const invite = await app.expect('INVITE');
  t.equal(invite.tokens[4], 'tcp');
  const ok = await answer(app, invite, '200 OK', '', sdp('app'));
  t.equal(ok.tokens[6], 'tcp');
  t.match(ok.message?.header('Contact'), `<sip:${rig.sip('tcp')};transport=tcp>`);
  const dialog = call.confirm(await caller.expect('200 INVITE'));
  await app.expect('ACK');
  dialog.send('BYE');
  await answer(app, await app.expect('BYE'), '200 OK');
  await caller.expect('200 BYE');
  caller.sendInvite({ target: rig.sip('tcp'), body: sdp('caller') });
  const abandoned = await app.expect('INVITE');
  caller.dropConnections();
  const late = await answer(app, abandoned, '486 Busy Here');
  t.match(late.tokens[3], /^N?OK$/, 'there is an answer in any case');
  t.strictSame(rig.leftovers, { transactions: [], dialogs: [] });
});
