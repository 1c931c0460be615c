import t from 'tap';
import { DrachtioServer, type DrachtioServerOptions } from '../../src/drachtio/index.js';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import type { StreamConnection, StreamSink } from '../../src/sip/ports.js';
import { type ReceivedFrame, cutFrames, frameBytes } from '../support/drachtioClient.js';
import {
  FakeDialog,
  FakeEngine,
  FakeIncomingInvite,
  FakeIncomingRequest,
  type FakeInviteSent,
  fakeRequest,
} from '../support/fakeEngine.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const SDP = 'v=0\r\no=- 1 1 IN IP4 127.0.34.9\r\n';

/** An application without a socket. */
class App implements StreamConnection {
  readonly local = { address: '127.0.34.1', port: 9022 };
  readonly remote = { address: '127.0.34.9', port: 4000 };
  readonly frames: ReceivedFrame[] = [];
  closed = false;
  sink: StreamSink | undefined;
  #serial = 0;

  write(data: Buffer): boolean {
    this.frames.push(...cutFrames(data).frames);
    return !this.closed;
  }
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.sink?.onClose();
  }
  send(rest: string): void {
    this.sink?.onData(frameBytes(`f${++this.#serial}|${rest}`));
  }
  sip(ids: string, ...lines: string[]): ReceivedFrame {
    this.send(`sip|${ids}\r\n${lines.includes('') ? lines.join('\r\n') : `${lines.join('\r\n')}\r\n\r\n`}`);
    return this.take();
  }
  ask(rest: string): string {
    this.send(rest);
    return this.take().outcome;
  }
  take(name?: string): ReceivedFrame {
    const frame = this.frames.shift();
    if (frame === undefined || (name !== undefined && frame.name !== name)) {
      throw new Error(`expected ${name ?? 'a frame'}, got ${frame?.leader ?? 'none'}`);
    }
    return frame;
  }
}

async function serve(options: Partial<DrachtioServerOptions> = {}) {
  const clock = new ManualClock(Date.UTC(2026, 0, 2, 3, 4, 5));
  const engine = new FakeEngine();
  let accept: ((connection: StreamConnection) => StreamSink) | undefined;
  const network: DrachtioServerOptions['network'] = {
    connectStream: () => {
      throw new Error('nobody is dialled here');
    },
    listenStream: async (local, onConnection) => {
      accept = onConnection;
      return { local, close: () => undefined };
    },
  };
  const server = new DrachtioServer({
    ...{ network, clock, random: new SeededRandom(1), secret: 'sécret', listen: { address: '127.0.34.1', port: 9022 } },
    ...options,
  });
  server.attach(engine);
  await server.listen();
  const connect = (): App => {
    const app = new App();
    app.sink = accept?.(app);
    return app;
  };
  const join = (...verbs: string[]): App => {
    const app = connect();
    app.ask('authenticate|sécret|');
    for (const verb of verbs) app.ask(`route|${verb}`);
    return app;
  };
  return { server, engine, clock, connect, join };
}

type Served = Awaited<ReturnType<typeof serve>>;

/** An INVITE from the network, as far as the application's frame. */
function invited({ server }: Served, app: App, callId = 'call-1') {
  const invite = new FakeIncomingInvite(fakeRequest('INVITE', { callId }));
  server.handler.onInvite(invite);
  const frame = app.take('INVITE');
  return { invite, txn: frame.txnId, frame };
}

/** An answered incoming call. */
function answered(served: Served, app: App, callId = 'call-1') {
  const call = invited(served, app, callId);
  const ok = app.sip(`${call.txn}|`, 'SIP/2.0 200 OK');
  const dialog = call.invite.dialog as FakeDialog;
  call.invite.ackByPeer();
  app.take('ACK');
  return { ...call, dialog, dialogId: ok.dialogId };
}

/** An INVITE of the application's under way. */
function inviting({ engine }: Served, app: App) {
  const reply = app.sip('|', 'INVITE sip:bob@127.0.34.3 SIP/2.0', '', SDP);
  const invite = engine.invites.at(-1) as FakeInviteSent;
  return { invite, txn: reply.txnId, dialogId: invite.dialogId, reply };
}

function established(served: Served, app: App) {
  const call = inviting(served, app);
  const dialog = new FakeDialog(call.dialogId, 'me', 'bob');
  call.invite.answered(dialog);
  app.take('200 INVITE');
  app.sip(`|${call.dialogId}`, 'ACK sip:bob@127.0.34.3 SIP/2.0');
  return { ...call, dialog };
}

t.test('nothing is done for a connection that has not authenticated', async (t) => {
  const { connect, clock, server } = await serve();
  for (const rest of ['ping', 'route|invite', 'sip||\r\nOPTIONS sip:a SIP/2.0\r\n\r\n', 'nonsense']) {
    const app = connect();
    t.equal(app.ask(rest), 'NO|not authenticated');
    t.ok(app.closed);
  }
  const wrong = connect();
  t.equal(wrong.ask('authenticate|secret|a,b'), 'NO|incorrect secret');
  t.ok(wrong.closed);
  const big = connect();
  big.sink?.onData(Buffer.from('5000#'));
  t.ok(big.closed, 'a long frame from a stranger');
  const idle = connect();
  clock.advance(9_999);
  t.notOk(idle.closed);
  clock.advance(1);
  t.ok(idle.closed, 'ten seconds are enough');
  t.equal(clock.pending, 0);
  t.strictSame(server.dump()['sessions'], []);
});

t.test('authenticate names the addresses, remembers tags; ping, route and remove_route are idempotent', async (t) => {
  const { connect, server, clock } = await serve();
  const app = connect();
  app.send('authenticate|sécret|blue,green');
  const reply = app.take();
  t.equal(reply.tokens.length, 7);
  t.match(reply.tokens[0], UUID);
  const addresses = 'udp/127.0.34.1:5060,tcp/127.0.34.1:5060';
  t.strictSame(reply.tokens.slice(1), ['response', 'f1', 'OK', addresses, 'v0.9.10-tandem-trying', addresses]);
  t.equal(app.ask('ping'), 'OK|pong');
  for (const verb of ['INVITE', 'invite', 'options', 'cdr:start']) t.equal(app.ask(`route|${verb}`), 'OK');
  t.match(server.dump(), { routes: { invite: 1, options: 1 }, sessions: [{ tags: ['blue', 'green'] }] });
  t.equal(app.ask('remove_route|invite'), 'OK');
  t.equal(app.ask('remove_route|invite'), 'OK');
  t.strictSame(server.dump()['routes'], { options: 1, 'cdr:start': 1 });
  t.equal(app.ask('gibberish'), 'NO|Unknown message type');
  t.ok(app.closed);
  t.strictSame(server.dump()['routes'], {});
  t.equal(clock.pending, 0);
});

t.test('malformed frames end the connection with their reason', async (t) => {
  const { join } = await serve({ maxFrameBytes: 1000 });
  t.equal(join().ask('sip|x|'), 'NO|Invalid message format');
  t.equal(join().ask('sip||\r\nSIP/2.0 200 OK\r\n\r\n'), 'NO|transaction id missing');
  t.equal(join().ask('proxy|x'), 'NO|Invalid proxy request: no request');
  const app = join();
  app.sink?.onData(frameBytes('lonely'));
  t.equal(app.take().outcome, 'NO|Invalid message format');
  const long = join();
  long.sink?.onData(Buffer.from('1001#'));
  t.ok(long.closed);
});

t.test('requests outside dialogs take turns, and get 503 or 501 where nobody wants them', async (t) => {
  const served = await serve();
  const [a, b] = [served.join('options', 'invite'), served.join('options')];
  const send = (method: string): FakeIncomingRequest => {
    const request = new FakeIncomingRequest(fakeRequest(method));
    served.server.handler.onRequest(request);
    return request;
  };
  for (let i = 0; i < 4; i++) send('OPTIONS');
  t.equal(a.frames.length, 2);
  t.equal(b.frames.length, 2);
  const frame = a.take('OPTIONS');
  t.match(
    frame.leader,
    /^[^|]+\|sip\|network\|400\|udp\|127.0.34.2\|5070\|03:04:05.000000\|[^|]+\|\|127.0.34.1\|5060\|$/,
  );
  t.match(frame.txnId, UUID);
  for (const [method, status] of [
    ['REGISTER', 503],
    ['REFER', 503],
    ['BYE', 481],
    ['UPDATE', 481],
    ['BREW', 501],
  ] as const) {
    t.match(send(method).answers, [{ status }], method);
  }
  b.close();
  send('OPTIONS');
  send('OPTIONS');
  t.equal(a.frames.length, 3, 'the lost connection gets no more');
  a.close();
  const invite = new FakeIncomingInvite(fakeRequest('INVITE'));
  served.server.handler.onInvite(invite);
  t.match(invite.answers, [{ status: 503 }]);
});

t.test('an incoming call: shapes of its frames and replies', async (t) => {
  const served = await serve();
  const app = served.join('invite');
  const { invite, txn, frame } = invited(served, app);
  t.equal(frame.tokens.length, 13);
  t.strictSame(frame.tokens.slice(9), ['', '127.0.34.1', '5060', '']);
  const ringing = app.sip(`${txn}|`, 'SIP/2.0 180 Ringing', 'to: <sip:us@127.0.34.1>;tag=mine');
  t.equal(invite.answers[0]?.fields.toTag, 'mine');
  t.match(
    ringing.leader,
    /\|response\|f\d+\|OK\|application\|\d+\|udp\|127.0.34.2\|5070\|[\d:.]+\|[^|]+\|call-1;from-tag=alice\|\|Msg sent:\|$/,
  );
  t.equal(ringing.txnId, txn);
  t.equal(ringing.tokens[5], String(Buffer.byteLength(ringing.text)));
  const ok = app.sip(`${txn}|`, 'SIP/2.0 200 OK', '', SDP);
  t.equal(ok.dialogId, 'call-1;from-tag=alice');
  t.strictSame(invite.answers[1]?.fields.headers, [['Content-Type', 'application/sdp']]);
  const again = app.sip(`${txn}|`, 'SIP/2.0 486 Busy');
  t.equal(again.text, ok.text, 'a second final is answered with the first');
  t.equal(invite.answers.length, 2);
  invite.ackByPeer();
  const ack = app.take('ACK');
  t.equal(ack.txnId, txn);
  t.equal(ack.tokens[4], 'udp');
  t.equal(ack.dialogId, ok.dialogId);
  t.equal(app.sip(`${txn}|`, 'SIP/2.0 200 OK').outcome, 'NOK|Response not sent due to unknown transaction');
  const bye = new FakeIncomingRequest(fakeRequest('BYE'), invite.dialog);
  invite.dialog?.listener?.onRequest(bye);
  invite.dialog?.ends('remote_bye');
  const byeFrame = app.take('BYE');
  t.equal(byeFrame.tokens.length, 11);
  t.equal(byeFrame.dialogId, ok.dialogId);
  const byeReply = app.sip(`${byeFrame.txnId}|`, 'SIP/2.0 200 OK');
  t.equal(byeReply.dialogId, '', 'as the reference has it');
  t.match(served.server.dump(), { transactions: [], dialogs: [] });
  t.equal(served.clock.pending, 0);
  t.strictSame(app.frames, []);
});

t.test('responses that cannot be sent say why', async (t) => {
  const served = await serve();
  const app = served.join('invite');
  const other = served.join();
  const { invite, txn } = invited(served, app);
  t.equal(app.sip('nobody|', 'SIP/2.0 200 OK').outcome, 'NOK|Response not sent due to unknown transaction');
  t.equal(other.sip(`${txn}|`, 'SIP/2.0 200 OK').outcome, 'NOK|Response not sent due to unknown transaction');
  t.equal(
    app.sip(`${txn}|`, 'SIP/2.0 200 OK', 'CSeq: 1 CANCEL').outcome,
    'NOK|200 OK to incoming CANCEL is automatically generated by the stack',
  );
  invite.refuse = 'not_100rel';
  t.equal(
    app.sip(`${txn}|`, 'SIP/2.0 183 X', 'require: 100rel').outcome,
    'NOK|Remote endpoint does not support 100rel',
  );
  invite.refuse = undefined;
  t.equal(app.sip(`${txn}|`, 'SIP/2.0 183 X', 'require: 100rel').tokens[3], 'OK', 'the transaction is still there');
  t.ok(invite.answers[0]?.reliable);
  invite.refuse = 'transport_closed';
  t.equal(app.sip(`${txn}|`, 'SIP/2.0 200 OK').outcome, 'NOK|transport for response has been shutdown or closed');
  t.match(served.server.dump(), { transactions: [], dialogs: [] });
});

t.test('a caller who gives up is reported once, and late answers are refused', async (t) => {
  const served = await serve();
  const app = served.join('invite');
  const early = invited(served, app, 'call-a');
  early.invite.cancelByPeer();
  const first = app.take('CANCEL');
  t.equal(first.txnId, early.txn);
  t.equal(first.dialogId, '');
  const { invite, txn } = invited(served, app, 'call-b');
  app.sip(`${txn}|`, 'SIP/2.0 180 Ringing');
  invite.cancelByPeer();
  const second = app.take('CANCEL');
  t.equal(second.txnId, txn);
  t.equal(second.dialogId, 'call-b;from-tag=alice');
  t.equal(app.sip(`${txn}|`, 'SIP/2.0 487 X').outcome, 'NOK|Response not sent due to unknown transaction');
  const broken = invited(served, app, 'call-c');
  broken.invite.open = false;
  broken.invite.listener?.onCancel(undefined);
  const implied = app.take('CANCEL');
  t.match(implied.message?.cseq, '1 CANCEL');
  t.equal(implied.message?.callId, 'call-c');
  t.match(served.server.dump(), { transactions: [], dialogs: [] });
  t.equal(served.clock.pending, 0);
});

t.test('what an application leaves unanswered is answered for it', async (t) => {
  const served = await serve();
  const app = served.join('invite', 'options');
  const silent = invited(served, app, 'call-a');
  const ringing = invited(served, app, 'call-b');
  app.sip(`${ringing.txn}|`, 'SIP/2.0 180 Ringing');
  const options = new FakeIncomingRequest(fakeRequest('OPTIONS'));
  served.server.handler.onRequest(options);
  app.take('OPTIONS');
  served.clock.advance(63_999);
  t.strictSame([...silent.invite.answers, ...options.answers], []);
  served.clock.advance(1);
  t.match(silent.invite.answers, [{ status: 408 }]);
  t.match(options.answers, [{ status: 500 }]);
  served.clock.advance(600_000);
  t.equal(ringing.invite.answers.length, 1, 'a call may ring for as long as it likes');
  t.equal(app.sip(`${silent.txn}|`, 'SIP/2.0 200 OK').outcome, 'NOK|Response not sent due to unknown transaction');
});

t.test('a second call of the same dialog id is refused', async (t) => {
  const served = await serve();
  const app = served.join('invite');
  answered(served, app);
  const { invite, txn } = invited(served, app);
  t.equal(app.sip(`${txn}|`, 'SIP/2.0 200 OK').outcome, 'NOK|dialog already exists, rejecting this request');
  t.match(invite.answers, [{ status: 480 }]);
});

t.test('an outgoing call: replies, provisionals of forks, answer, ACK', async (t) => {
  const served = await serve();
  const app = served.join();
  const { invite, txn, dialogId, reply } = inviting(served, app);
  t.match(reply.leader, /\|OK\|application\|\d+\|udp\|127.0.34.1\|5060\|[\d:.]+\|[^|]+\|Msg sent:\|$/);
  t.match(txn, UUID);
  t.equal(
    app.sip(`|${dialogId}`, 'INFO sip:placeholder SIP/2.0').outcome,
    'NOK|Server error: unable to find dialog for dialog id provided',
  );
  const [one, two] = [new FakeDialog(dialogId, 'me', 'one'), new FakeDialog(dialogId, 'me', 'two')];
  invite.provisional(180, one);
  invite.provisional(183, two);
  for (const tag of ['one', 'two']) {
    const frame = app.take();
    t.equal(frame.txnId, txn);
    t.equal(frame.dialogId, dialogId);
    t.equal(frame.message?.toTag, tag);
    t.equal(frame.tokens.length, 11);
  }
  t.equal(
    app.sip(`|${dialogId}`, 'ACK sip:x SIP/2.0').outcome,
    'NOK|ACK for non-success responses is automatically generated by the stack',
  );
  invite.answered(two);
  t.equal(app.take('200 INVITE').dialogId, dialogId);
  const ack = app.sip(`|${dialogId}`, 'ACK sip:x SIP/2.0', '', SDP);
  t.match(ack.leader, /\|OK\|application\|\d+\|udp\|127.0.34.1\|5060\|[\d:.]+\|[^|]+\|Msg sent:\|$/);
  t.equal(two.acks[0]?.body?.toString(), SDP);
  t.strictSame(two.acks[0]?.headers, [['Content-Type', 'application/sdp']]);
  t.match(served.server.dump(), { transactions: [], dialogs: [dialogId] });
});

t.test('a refused call leaves nothing, and the ACK that drachtio-srf sends is refused as usual', async (t) => {
  const served = await serve();
  const app = served.join();
  const { invite, dialogId } = inviting(served, app);
  invite.failed(486);
  t.equal(app.take('486 INVITE').dialogId, dialogId);
  t.equal(
    app.sip(`|${dialogId}`, 'ACK sip:x SIP/2.0').outcome,
    'NOK|Server error: ACK for non-success final response is automatically generated by server',
  );
  t.match(served.server.dump(), { transactions: [], dialogs: [] });
  const silent = inviting(served, app);
  silent.invite.listener.onFailed(silent.invite.response(408, 'x'), 'timeout', undefined);
  t.match(app.take('408 INVITE').leader, /\|sip\|network\|0\|udp\|\|0\|/);
});

t.test('events that happen while a frame is worked on come after its reply', async (t) => {
  const served = await serve();
  const app = served.join();
  const { invite, dialogId } = inviting(served, app);
  const dialog = new FakeDialog(dialogId, 'me', 'bob');
  invite.answered(dialog);
  app.take('200 INVITE');
  dialog.duringAck = () => dialog.ends('cancel_race', fakeRequest('BYE'));
  const reply = app.sip(`|${dialogId}`, 'ACK sip:x SIP/2.0');
  t.equal(reply.name, 'OK');
  const bye = app.take('BYE');
  t.match(bye.leader, /\|sip\|application\|\d+\|udp\|127.0.34.1\|5060\|[\d:.]+\|unsolicited\|/);
  t.equal(bye.dialogId, dialogId);
});

t.test('replies keep their places when several frames come at once', async (t) => {
  const { join } = await serve();
  const app = join();
  app.sink?.onData(Buffer.concat([frameBytes('a|ping'), frameBytes('b|route|x'), frameBytes('c|ping')]));
  t.strictSame(
    app.frames.map((frame) => frame.tokens[2]),
    ['a', 'b', 'c'],
  );
});

t.test('CANCEL takes the reason and extensions along and tells whether it is held', async (t) => {
  const served = await serve();
  const app = served.join('options');
  const { invite, txn } = inviting(served, app);
  const reply = app.sip(
    `${txn}|`,
    'CANCEL sip:bob@127.0.34.3 SIP/2.0',
    'Reason: SIP;cause=200',
    'From: <sip:x>',
    'X-A: b',
  );
  t.match(reply.leader, /\|OK\|application\|0\|udp\|127.0.34.1\|5060\|[\d:.]+\|[^|]+\|Msg sent:\|$/);
  t.not(reply.txnId, txn);
  t.strictSame(invite.cancels, [
    [
      ['Reason', 'SIP;cause=200'],
      ['X-A', 'b'],
    ],
  ]);
  const ringing = inviting(served, app);
  ringing.invite.provisional(180, new FakeDialog(ringing.dialogId, 'me', 'bob'));
  app.take('180 INVITE');
  t.not(app.sip(`${ringing.txn}|`, 'CANCEL sip:b SIP/2.0').tokens[5], '0');
  for (const id of [ringing.txn, 'nobody']) {
    t.equal(app.sip(`${id}|`, 'CANCEL sip:b SIP/2.0').outcome, `NOK|unable to cancel unknown transaction id: ${id}`);
  }
  const request = new FakeIncomingRequest(fakeRequest('OPTIONS'));
  served.server.handler.onRequest(request);
  const { txnId } = app.take('OPTIONS');
  t.match(app.sip(`${txnId}|`, 'CANCEL sip:b SIP/2.0').outcome, 'NOK|unable to cancel unknown transaction id');
  t.match(app.sip(`${txnId}|`, 'INFO sip:b SIP/2.0').outcome, 'NOK|Server error: invalid or missing method');
});

t.test('refusals of the engine become the texts that applications know', async (t) => {
  const served = await serve();
  const app = served.join();
  const line = 'OPTIONS tel:+1 SIP/2.0';
  for (const [refusal, text] of [
    ['invalid_uri', `invalid request-uri: ${line}`],
    ['invalid_header', 'Error creating leg'],
    ['self', 'can not send request to myself'],
    ['no_transport', 'requested protocol/transport not available'],
    ['missing_content_type', 'missing content-type'],
  ] as const) {
    served.engine.refuse = { refusal, detail: 'd' };
    t.equal(app.sip('|', line).outcome, `NOK|${text}`);
    t.equal(app.sip('|', line.replace('OPTIONS', 'INVITE')).outcome, `NOK|${text.replace('OPTIONS', 'INVITE')}`);
  }
  served.engine.refuse = { refusal: 'invalid_uri', detail: 'no SIP next hop' };
  t.equal(
    app.sip('|', 'OPTIONS sip:x@y;transport=pigeon SIP/2.0').outcome,
    'NOK|requested protocol/transport not available',
  );
  served.engine.refuse = undefined;
  t.equal(app.sip('|', 'HELLO').outcome, 'NOK|invalid request-uri: HELLO');
  t.equal(app.sip('|d', 'HELLO').outcome, 'NOK|Server error: invalid or missing method supplied on start line: HELLO');
  t.equal(app.sip('|', line, '', 'body').outcome, 'NOK|missing content-type');
  t.match(app.sip('|', 'ACK sip:x SIP/2.0').outcome, 'NOK|Server error: ACK for non-success');
  t.match(app.sip('|', 'PRACK sip:x SIP/2.0').outcome, 'NOK|Server error: unable to find IIP when sending PRACK');
  t.match(app.sip('|', 'CANCEL sip:x SIP/2.0').outcome, 'NOK|unable to cancel unknown transaction id: ');
  t.match(app.sip('|no;from-tag=x', 'PRACK sip:x SIP/2.0').outcome, 'NOK|Server error: unable to find IIP');
  t.equal(app.ask('proxy|t|||||serial|||sip:a\r\nINVITE sip:a SIP/2.0\r\n\r\n'), 'NOK|Unknown transaction id: t');
  const { dialog, dialogId } = established(served, app);
  t.equal(app.sip(`|${dialogId}`, 'INFO sip:x SIP/2.0', '', 'body').outcome, 'NOK|Server error: missing content-type');
  dialog.refuse = { refusal: 'dialog_gone', detail: '' };
  t.equal(
    app.sip(`|${dialogId}`, 'INFO sip:x SIP/2.0').outcome,
    'NOK|Server error: unable to find dialog for dialog id provided',
  );
  dialog.refuse = { refusal: 'request_pending', detail: 'an INVITE is pending' };
  t.equal(app.sip(`|${dialogId}`, 'INVITE sip:x SIP/2.0', '', SDP).outcome, 'NOK|Server error: an INVITE is pending');
});

t.test('the next hop and the application’s own Call-ID, CSeq and From tag reach the engine', async (t) => {
  const served = await serve();
  const app = served.join();
  app.sip(
    '||sip:127.0.34.3:5080',
    'INVITE sip:b@h SIP/2.0',
    'Call-ID: c',
    'CSeq: 7 INVITE',
    'From: <sip:a@h>;tag=t',
    '',
    SDP,
  );
  t.match(served.engine.specs.at(-1), {
    ...{ method: 'INVITE', nextHop: 'sip:127.0.34.3:5080', callId: 'c', cseq: 7, from: '<sip:a@h>;tag=t' },
  });
});

t.test('responses to other requests carry a dialog id only where there may be one', async (t) => {
  const served = await serve();
  const app = served.join();
  for (const [method, dialogId] of [
    ['OPTIONS', ''],
    ['SUBSCRIBE', /^out-\d+;from-tag=alice$/],
  ] as const) {
    const reply = app.sip('|', `${method} sip:x SIP/2.0`);
    served.engine.requests.at(-1)?.answer(202);
    const frame = app.take(`202 ${method}`);
    t.match(frame.dialogId, dialogId);
    t.equal(frame.txnId, reply.txnId);
  }
  t.match(served.server.dump(), { transactions: [] });
});

t.test('a PRACK finds the fork whose provisional it acknowledges', async (t) => {
  const served = await serve();
  const app = served.join();
  const { invite, dialogId } = inviting(served, app);
  const [one, two] = [new FakeDialog(dialogId, 'me', 'one'), new FakeDialog(dialogId, 'me', 'two')];
  invite.provisional(183, one, [['RSeq', '10']]);
  invite.provisional(183, two, [['RSeq', '77']]);
  t.strictSame(
    app.frames.map((frame) => frame.message?.toTag),
    ['one', 'two'],
  );
  app.frames.length = 0;
  t.equal(app.sip(`|${dialogId}`, 'PRACK sip:x SIP/2.0', 'rack: 10 1 INVITE').name, 'OK');
  t.strictSame(one.requests[0]?.fields?.headers, [['RAck', '10 1 INVITE']]);
  invite.provisional(183, one, [['RSeq', '11']]);
  t.equal(app.take('183 INVITE').message?.toTag, 'one');
  one.requests[0]?.answer(200);
  t.equal(app.take('200 PRACK').dialogId, dialogId);
});

t.test('PRACK for our own reliable provisional is the application’s to answer', async (t) => {
  const served = await serve();
  const app = served.join('invite');
  const { invite, txn } = invited(served, app);
  app.sip(`${txn}|`, 'SIP/2.0 183 Session Progress', 'require: 100rel', '', SDP);
  const prack = new FakeIncomingRequest(fakeRequest('PRACK', { cseq: '2' }));
  invite.listener?.onPrack?.(prack);
  const frame = app.take('PRACK');
  t.equal(frame.dialogId, 'call-1;from-tag=alice');
  t.not(frame.txnId, txn);
  t.equal(app.sip(`${frame.txnId}|`, 'SIP/2.0 200 OK').dialogId, 'call-1;from-tag=alice');
  t.match(prack.answers, [{ status: 200 }]);
});

t.test('an UPDATE waits while the application has a request outstanding in that call', async (t) => {
  const served = await serve();
  const app = served.join();
  const { dialog, dialogId } = established(served, app);
  app.sip(`|${dialogId}`, 'INFO sip:placeholder SIP/2.0');
  const update = new FakeIncomingRequest(fakeRequest('UPDATE'), dialog);
  dialog.listener?.onRequest(update);
  const second = new FakeIncomingRequest(fakeRequest('UPDATE'), dialog);
  dialog.listener?.onRequest(second);
  t.match(second.answers, [{ status: 500 }], 'one is enough');
  const message = new FakeIncomingRequest(fakeRequest('MESSAGE'), dialog);
  dialog.listener?.onRequest(message);
  app.take('MESSAGE');
  t.strictSame(app.frames, []);
  dialog.requests.at(-1)?.answer(200);
  app.take('200 INFO');
  const frame = app.take('UPDATE');
  app.sip(`${frame.txnId}|`, 'SIP/2.0 200 OK');
  t.match(update.answers, [{ status: 200 }]);
  app.sip(`|${dialogId}`, 'INFO sip:placeholder SIP/2.0');
  const late = new FakeIncomingRequest(fakeRequest('UPDATE'), dialog);
  dialog.listener?.onRequest(late);
  app.sip(`|${dialogId}`, 'BYE sip:placeholder SIP/2.0');
  for (const sent of dialog.requests.slice(-2)) sent.answer(200);
  t.match(late.answers, [{ status: 487 }], 'the call ended before its turn came');
});

t.test('an UPDATE in an early dialog is not held', async (t) => {
  const served = await serve();
  const app = served.join();
  const { invite, dialogId } = inviting(served, app);
  const dialog = new FakeDialog(dialogId, 'me', 'bob');
  invite.provisional(183, dialog);
  app.take('183 INVITE');
  dialog.listener?.onRequest(new FakeIncomingRequest(fakeRequest('UPDATE'), dialog));
  t.equal(app.take('UPDATE').dialogId, dialogId);
});

t.test('re-INVITE in both directions', async (t) => {
  const served = await serve();
  const app = served.join('invite');
  const { dialog, dialogId } = answered(served, app);
  const reinvite = new FakeIncomingInvite(fakeRequest('INVITE', { cseq: '2' }), dialog);
  dialog.listener?.onInvite(reinvite);
  const frame = app.take('INVITE');
  t.equal(frame.dialogId, dialogId);
  t.equal(frame.tokens.length, 11);
  t.equal(app.sip(`${frame.txnId}|`, 'SIP/2.0 200 OK', 'contact: <sip:127.0.34.1>', '', SDP).dialogId, dialogId);
  reinvite.ackByPeer();
  t.equal(app.take('ACK').dialogId, dialogId);
  const cancelled = new FakeIncomingInvite(fakeRequest('INVITE', { cseq: '3' }), dialog);
  dialog.listener?.onInvite(cancelled);
  app.take('INVITE');
  cancelled.cancelByPeer();
  t.equal(app.take('CANCEL').dialogId, dialogId);
  const sent = app.sip(`|${dialogId}`, 'INVITE sip:placeholder SIP/2.0', 'Contact: <sip:127.0.34.1>', '', SDP);
  t.equal(sent.name, 'OK');
  const ours = dialog.invites[0] as FakeInviteSent;
  ours.answered(dialog);
  t.equal(app.take('200 INVITE').txnId, sent.txnId);
  t.equal(app.sip(`|${dialogId}`, 'ACK sip:x SIP/2.0').name, 'OK');
  app.sip(`|${dialogId}`, 'INVITE sip:placeholder SIP/2.0', '', SDP);
  dialog.invites[1]?.failed(488);
  app.take('488 INVITE');
  t.match(app.sip(`|${dialogId}`, 'ACK sip:x SIP/2.0').outcome, 'NOK|ACK for non-success responses');
  app.sip(`|${dialogId}`, 'INVITE sip:placeholder SIP/2.0', '', SDP);
  app.sip(`|${dialogId}`, 'BYE sip:placeholder SIP/2.0');
  t.equal(dialog.invites[2]?.cancels.length, 1, 'BYE withdraws a re-INVITE under way');
  t.match(served.server.dump(), { dialogs: [dialogId] });
  dialog.requests.at(-1)?.answer(200);
  t.match(served.server.dump(), { dialogs: [] });
});

t.test('a challenged BYE may be repeated with credentials', async (t) => {
  const served = await serve();
  const app = served.join();
  const { dialog, dialogId } = established(served, app);
  app.sip(`|${dialogId}`, 'BYE sip:placeholder SIP/2.0');
  dialog.requests[0]?.answer(407);
  app.take('407 BYE');
  const retry = app.sip(`|${dialogId}`, 'BYE sip:placeholder SIP/2.0', 'CSeq: 9 BYE', 'Proxy-Authorization: Digest x');
  t.equal(retry.name, 'OK');
  t.strictSame(dialog.requests[1]?.fields?.headers, [['Proxy-Authorization', 'Digest x']]);
  dialog.requests[1]?.answer(200);
  app.take('200 BYE');
  t.match(served.server.dump(), { dialogs: [], transactions: [] });
  t.equal(served.clock.pending, 0);
  const forgotten = established(served, app);
  app.sip(`|${forgotten.dialogId}`, 'BYE sip:placeholder SIP/2.0');
  forgotten.dialog.requests[0]?.answer(401);
  served.clock.advance(32_000);
  t.match(served.server.dump(), { dialogs: [] });
});

t.test('dialogs that end by themselves are reported as a BYE of our own', async (t) => {
  const served = await serve();
  const app = served.join('invite');
  const { txn, invite } = invited(served, app);
  app.sip(`${txn}|`, 'SIP/2.0 200 OK');
  invite.dialog?.ends('ack_timeout', fakeRequest('BYE').set('Reason', 'SIP ;cause=200 ;text="ACK timeout"'));
  const frame = app.take('BYE');
  t.equal(frame.txnId, 'unsolicited');
  t.equal(frame.tokens[2], 'application');
  t.match(frame.message?.header('Reason'), /text="ACK timeout"/);
  const { dialog, dialogId } = established(served, app);
  dialog.ends('lost');
  const implied = app.take('BYE');
  t.equal(implied.dialogId, dialogId);
  t.match(implied.message?.header('Reason'), /text="dialog lost"/);
  t.match(served.server.dump(), { dialogs: [], transactions: [] });
});

t.test('an answer without Contact is acknowledged and released', async (t) => {
  const served = await serve();
  const app = served.join();
  const { invite, dialogId } = inviting(served, app);
  const dialog = new FakeDialog(dialogId, 'me', 'bob');
  invite.answered(dialog, []);
  app.take('200 INVITE');
  t.equal(app.sip(`|${dialogId}`, 'ACK sip:x SIP/2.0').name, 'OK');
  t.match(
    dialog.requests.map((sent) => sent.request.method),
    ['BYE'],
  );
  t.match(served.server.dump(), { dialogs: [], transactions: [] });
});

t.test('with its application lost, everything of it ends', async (t) => {
  const served = await serve();
  const app = served.join('invite', 'options');
  const pending = invited(served, app, 'call-a').invite;
  const unacked = invited(served, app, 'call-b');
  app.sip(`${unacked.txn}|`, 'SIP/2.0 200 OK');
  const up = answered(served, app, 'call-c');
  const options = new FakeIncomingRequest(fakeRequest('OPTIONS'));
  served.server.handler.onRequest(options);
  app.take('OPTIONS');
  const calling = inviting(served, app);
  const crossing = inviting(served, app);
  const outgoing = established(served, app);
  const unackedOut = inviting(served, app);
  const unackedDialog = new FakeDialog(unackedOut.dialogId, 'me', 'bob');
  unackedOut.invite.answered(unackedDialog);
  app.sip('|', 'MESSAGE sip:x SIP/2.0');
  app.close();
  t.match(pending.answers, [{ status: 480 }]);
  t.match(options.answers, [{ status: 500 }]);
  t.match(up.dialog.requests[0]?.request.method, 'BYE');
  t.match(outgoing.dialog.requests[0]?.request.method, 'BYE');
  t.equal(unackedDialog.acks.length, 1);
  t.match(unackedDialog.requests[0]?.request.method, 'BYE');
  t.strictSame(unacked.invite.dialog?.requests, [], 'no BYE before the ACK');
  t.match(served.server.dump(), { releasing: 4 }, 'which whoever stops the engine waits for, as for three BYEs');
  unacked.invite.ackByPeer();
  t.match(unacked.invite.dialog?.requests[0]?.request.method, 'BYE');
  t.equal(calling.invite.cancels.length, 1);
  calling.invite.failed(487);
  const crossed = new FakeDialog(crossing.dialogId, 'me', 'bob');
  crossing.invite.answered(crossed);
  t.equal(crossed.acks.length, 1);
  t.match(crossed.requests[0]?.request.method, 'BYE');
  t.match(served.server.dump(), { sessions: [], routes: {}, transactions: [], dialogs: [] });
  t.equal(served.clock.pending, 0);
});

t.test('calls can be kept, and the application that comes back can take them', async (t) => {
  const served = await serve({ onAppLost: 'keep' });
  const app = served.join('invite');
  const { dialog, dialogId } = answered(served, app);
  app.close();
  t.strictSame(dialog.requests, []);
  const info = new FakeIncomingRequest(fakeRequest('INFO'), dialog);
  dialog.listener?.onRequest(info);
  t.match(info.answers, [{ status: 480 }]);
  const reinvite = new FakeIncomingInvite(fakeRequest('INVITE'), dialog);
  dialog.listener?.onInvite(reinvite);
  t.match(reinvite.answers, [{ status: 480 }]);
  const back = served.join();
  t.equal(back.sip(`|${dialogId}`, 'INFO sip:placeholder SIP/2.0').name, 'OK');
  dialog.listener?.onRequest(new FakeIncomingRequest(fakeRequest('INFO'), dialog));
  t.equal(back.take('INFO').dialogId, dialogId);
  const thief = served.join();
  t.match(thief.sip(`|${dialogId}`, 'BYE sip:placeholder SIP/2.0').outcome, 'NOK|Server error: unable to find dialog');
  back.close();
  const bye = new FakeIncomingRequest(fakeRequest('BYE'), dialog);
  dialog.listener?.onRequest(bye);
  dialog.ends('remote_bye');
  t.match(bye.answers, [{ status: 200 }]);
  t.match(served.server.dump(), { dialogs: [], transactions: [] });
});

t.test('a fault of our own is answered and told', async (t) => {
  const faults: unknown[] = [];
  const served = await serve({ onError: (error) => faults.push(error) });
  const app = served.join();
  served.engine.request = () => {
    throw new Error('boom');
  };
  t.equal(app.sip('|', 'OPTIONS sip:x@y SIP/2.0').outcome, 'NOK|Server error: internal error');
  t.equal(app.ask('ping'), 'OK|pong');
  t.match(faults, [{ message: 'boom' }]);
});

t.test('a server claims the methods that applications have registered for', async (t) => {
  const { server, join } = await serve();
  t.notOk(server.claims('INVITE'));
  const app = join('invite');
  t.ok(server.claims('INVITE'));
  t.notOk(server.claims('OPTIONS'));
  app.close();
  t.notOk(server.claims('INVITE'));
});

t.test('noise never does more than end its own connection', async (t) => {
  const served = await serve({ onError: (error) => t.fail(String(error)) });
  const random = new SeededRandom(7);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random.float() * from.length)] as T;
  const witness = served.join('invite');
  const words = ['sip', '|', '\r\n', 'INVITE sip:a@b SIP/2.0', 'SIP/2.0 200 OK', 'To: <sip:x', ':', ' ', '\0', 'CSeq: 1 x', 'proxy', 'é', 'v=0', '\r\n\r\n', 'ACK sip:a SIP/2.0', 'RAck: x']; // prettier-ignore
  for (let round = 0; round < 3000; round++) {
    const app = served.join();
    const text = Array.from({ length: 1 + Math.floor(random.float() * 12) }, () => pick(words)).join('');
    app.sink?.onData(frameBytes(pick(['', 'id|', 'id|sip|', 'id|sip||', 'id|proxy|']) + text));
    if (app.frames.length !== 1) t.fail(`${app.frames.length} replies to ${JSON.stringify(text)}`);
    app.close();
  }
  t.equal(witness.ask('ping'), 'OK|pong');
  for (const invite of served.engine.invites) invite.failed(487);
  t.match(served.server.dump(), { dialogs: [] });
});

t.test('stopping the server ends connections and calls', async (t) => {
  const served = await serve();
  const app = served.join('invite');
  const { dialog } = answered(served, app);
  served.server.stop();
  t.ok(app.closed);
  t.equal(dialog.requests.length, 1);
});
