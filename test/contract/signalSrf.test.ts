/** What only the adapter over drachtio-srf has to cope with: the connection, and servers that refuse or keep silent. */
import t, { type Test } from 'tap';
import { ManualClock, SeededRandom, TandemError } from '../../src/kernel/index.js';
import type { InviteSpec, OutgoingLeg, SignalPort } from '../../src/signal/index.js';
import { createSrfSignal } from '../../src/signal/srf/srfSignal.js';
import { fromSrf, headerObject, taggedFrom, toSrf } from '../../src/signal/srf/srfText.js';
import { type AppFrame, FakeDrachtio, sipText } from '../support/fakeDrachtio.js';
import { type LegProbe, SignalApp } from '../support/signalApp.js';
import { liveLegs, until } from '../support/signalRig.js';

interface Bench {
  readonly server: FakeDrachtio;
  readonly port: SignalPort;
  readonly app: SignalApp;
  readonly clock: ManualClock;
  readonly complaints: string[];
}

/** Runs with a port that is connected to a scripted server; afterwards nothing may be left of it. */
async function withServer(t: Test, run: (stage: Bench, t: Test) => Promise<void>): Promise<void> {
  const server = await new FakeDrachtio('127.0.35.21').open();
  const clock = new ManualClock();
  const complaints: string[] = [];
  const { port: number, secret, address } = server;
  const port = createSrfSignal({
    ...{ host: address, port: number, secret, clock, random: new SeededRandom(7) },
    logger: (message) => complaints.push(message),
  });
  const app = new SignalApp();
  try {
    t.same(await port.start(app), ['udp/127.0.35.9:5060']);
    await server.connected();
    await run({ server, port, app, clock, complaints }, t);
    await until('every leg is forgotten', () => liveLegs(port) === 0);
    t.same(app.verdict(), [], 'every leg had exactly one outcome');
  } finally {
    await Promise.all([port.stop(), server.close()]);
  }
  t.same(clock.dump(), {}, 'no timer is left');
}

const scenario = (name: string, run: (stage: Bench, t: Test) => Promise<void>): void => {
  void t.test(name, (t) => withServer(t, run));
};

const SPEC: InviteSpec = { uri: 'sip:bob@127.0.35.8', from: 'sip:a@localhost', to: 'sip:bob@127.0.35.8' };
const request = (method: string, tag = 'theirs', callId = 'call-1', cseq = 1): string =>
  sipText(`${method} sip:us@127.0.35.9 SIP/2.0`, {
    Via: `SIP/2.0/UDP 127.0.35.8;branch=z9hG4bK-${tag}-${method === 'CANCEL' ? 'INVITE' : method}`,
    From: `<sip:them@127.0.35.8>;tag=${tag}`,
    To: '<sip:us@127.0.35.9>',
    'Call-ID': callId,
    CSeq: `${cseq} ${method}`,
    Contact: '<sip:them@127.0.35.8>',
  });

interface Call {
  readonly leg: OutgoingLeg;
  readonly probe: LegProbe;
  readonly invite: AppFrame;
  readonly dialogId: string;
  /** A response to the INVITE, or another request's, as a frame. */
  response(status: number, to?: AppFrame, address?: string): string;
  /** A request of the peer within the dialog. */
  inDialog(method: string, txnId: string, reason?: string): string;
}

/** us -> INVITE, accepted by the server as transaction `t-invite`. */
async function place({ server, port, app }: Bench): Promise<Call> {
  const { leg, probe } = app.invite(port, SPEC);
  const invite = await server.frame('INVITE');
  const { callId, fromTag } = invite.message;
  const dialogId = `${callId};from-tag=${fromTag}`;
  server.accept(invite, 't-invite');
  const parties = (ours: boolean): Record<string, string> => {
    const us = `<sip:a@127.0.35.9>;tag=${fromTag}`;
    const them = '<sip:bob@127.0.35.8>;tag=theirs';
    return { From: ours ? us : them, To: ours ? them : us };
  };
  return {
    ...{ leg, probe, invite, dialogId },
    response: (status, to = invite, address = '127.0.35.8') =>
      server.sipFrame(
        { txnId: to === invite ? 't-invite' : `t-${to.message.method}`, dialogId, address },
        sipText(`SIP/2.0 ${status} Whatever`, {
          Via: 'SIP/2.0/UDP 127.0.35.9;branch=z9hG4bKx',
          ...parties(true),
          'Call-ID': callId,
          CSeq: `1 ${to.message.method}`,
          Contact: '<sip:bob@127.0.35.8>',
        }),
      ),
    inDialog: (method, txnId, reason) =>
      server.sipFrame(
        { txnId, dialogId, source: txnId === 'unsolicited' ? 'application' : 'network' },
        sipText(`${method} sip:a@127.0.35.9 SIP/2.0`, {
          Via: 'SIP/2.0/UDP 127.0.35.8;branch=z9hG4bKy',
          ...parties(txnId === 'unsolicited'),
          'Call-ID': callId,
          CSeq: `9 ${method}`,
          ...(reason === undefined ? {} : { Reason: reason }),
        }),
      ),
  };
}

async function answered(stage: Bench): Promise<Call> {
  const call = await place(stage);
  stage.server.deliver(call.response(200));
  await call.probe.expect('answered');
  call.leg.ack();
  await stage.server.frame('ACK');
  return call;
}

const forgotten = ({ port }: Bench): Promise<void> => until('the leg is forgotten', () => liveLegs(port) === 0);

void t.test('a wrong secret makes start() reject, and no attempt follows', async (t) => {
  const server = await new FakeDrachtio('127.0.35.21').open();
  const port = createSrfSignal({
    ...{ host: server.address, port: server.port, secret: 'wrong' },
    ...{ clock: new ManualClock(), random: new SeededRandom(1) },
  });
  const refused = await port.start(new SignalApp()).catch((error: unknown) => error);
  t.ok(refused instanceof TandemError);
  t.match(refused, { code: 'drachtio_refused', message: /authenticate/ });
  await port.stop();
  t.equal(server.connections, 1);
  await server.close();
});

void t.test('a server that comes up later is found; stop() before that leaves nothing running', async (t) => {
  const probe = await new FakeDrachtio('127.0.35.21').open();
  const { port: number, address, secret } = probe;
  await probe.close();
  const make = (): SignalPort =>
    createSrfSignal({
      ...{ host: address, port: number, secret },
      clock: new ManualClock(),
      random: new SeededRandom(1),
    });
  const [first, second] = [make(), make()];
  const app = new SignalApp();
  const started = first.start(app);
  void second.start(new SignalApp());
  await until('told that nobody is there', () => app.availability.length > 0);
  await second.stop();
  const server = new FakeDrachtio(address);
  server.port = number;
  await server.open();
  t.same(await started, ['udp/127.0.35.9:5060']);
  t.same(app.availability, [false, true]);
  await first.stop();
  await server.close();
});

scenario('a broken connection ends legs, is told, and comes back', async (stage, t) => {
  const { server, app, port } = stage;
  const call = await answered(stage);
  const info = new Promise((resolve) => call.leg.request({ method: 'INFO' }, resolve));
  await server.frame('INFO');
  server.drop();
  t.same(await info, { kind: 'leg_ended' });
  t.match(await call.probe.end(), { kind: 'engine_lost' });
  t.equal(liveLegs(port), 0);
  await server.connected();
  await until('told that it is back', () => app.availability.length === 3);
  t.same(app.availability, [true, false, true]);
  const next = await place(stage);
  server.deliver(next.response(486));
  t.match(await next.probe.failure(), { kind: 'response', status: 486 });
});

scenario('INVITE and CANCEL in one lump: the leg is handed over, then cancelled', async (stage, t) => {
  const { server, app } = stage;
  server.deliver(
    server.sipFrame({ txnId: 't1' }, request('INVITE')),
    server.sipFrame({ txnId: 't1' }, request('CANCEL')),
  );
  const { probe } = await app.call();
  t.equal((await probe.end()).kind, 'cancelled');
});

scenario(
  'a CANCEL that srf gives to the wrong call, as both have one Call-ID, reaches the right one',
  async ({ server, app }, t) => {
    server.deliver(
      server.sipFrame({ txnId: 't1' }, request('INVITE', 'first')),
      server.sipFrame({ txnId: 't2' }, request('INVITE', 'second')),
      server.sipFrame({ txnId: 't1' }, request('CANCEL', 'first')),
    );
    const first = await app.call();
    const second = await app.call();
    t.equal((await first.probe.end()).kind, 'cancelled');
    t.equal(second.probe.count('ended'), 0);
    second.probe.rejected = true;
    second.leg.reject(486);
    server.sent(await server.response(486), '');
  },
);

scenario('an answer that the server refuses because a CANCEL was ahead of it ends as cancelled', async (stage, t) => {
  const { server, app } = stage;
  server.deliver(server.sipFrame({ txnId: 't1' }, request('INVITE')));
  const { leg, probe } = await app.call();
  leg.answer({});
  const ok = await server.response(200);
  // srf forgot the INVITE when it sent the answer: this CANCEL is lost within it.
  server.deliver(server.sipFrame({ txnId: 't1' }, request('CANCEL')));
  server.refuse(ok, 'Response not sent due to unknown transaction');
  t.same(await probe.end(), { kind: 'cancelled', message: undefined });
});

scenario('a call without ACK: the BYE that waits for it leaves in the end', async (stage, t) => {
  const { server, app, clock } = stage;
  server.deliver(server.sipFrame({ txnId: 't1' }, request('INVITE')));
  const { leg, probe } = await app.call();
  leg.answer({});
  server.sent(await server.response(200), 'call-1;from-tag=theirs');
  leg.bye();
  t.equal((await probe.end()).kind, 'local_bye');
  clock.advance(33_000);
  const bye = await server.frame('BYE');
  t.equal(bye.dialogId, 'call-1;from-tag=theirs');
  server.refuse(bye, 'Server error: unable to find dialog for dialog id provided');
  await forgotten(stage);
});

scenario('200 and BYE in one lump: answered, acknowledged, ended, in this order', async (stage, t) => {
  const { server } = stage;
  const call = await place(stage);
  server.deliver(call.response(200), call.inDialog('BYE', 't-bye'));
  await call.probe.expect('answered');
  t.equal((await call.probe.end()).kind, 'remote_bye');
  await server.frame('ACK');
  server.sent(await server.response(200), '');
});

scenario('a 200 that crosses a CANCEL is released by the server, which says so', async (stage, t) => {
  const { server, clock } = stage;
  const call = await place(stage);
  await until('the INVITE is sent', () => server.frames.all.length === 1);
  server.deliver(call.response(180));
  await call.probe.expect('progress');
  call.leg.cancel();
  const cancel = await server.frame('CANCEL');
  t.equal(cancel.txnId, 't-invite');
  server.accept(cancel, 't-cancel');
  server.deliver(call.response(200));
  server.accept(await server.frame('ACK'), 't-ack');
  server.deliver(call.inDialog('BYE', 'unsolicited', 'SIP;cause=200;text="ACK-BYE due to cancel race condition"'));
  t.match(await call.probe.failure(), { kind: 'cancelled' });
  await forgotten(stage);
  clock.advance(60_000);
  t.equal(server.frames.all.filter(({ message }) => message.method === 'BYE').length, 0);
});

scenario('a 200 that crosses a CANCEL is released by us when the server refused the CANCEL', async (stage, t) => {
  const { server } = stage;
  const call = await place(stage);
  server.deliver(call.response(180));
  await call.probe.expect('progress');
  call.leg.cancel();
  const cancel = await server.frame('CANCEL');
  server.deliver(call.response(200));
  const ack = await server.frame('ACK');
  server.refuse(cancel, 'unable to cancel unknown transaction id: t-invite');
  server.accept(ack, 't-ack');
  const bye = await server.frame('BYE');
  server.accept(bye, 't-BYE');
  server.deliver(call.response(200, bye));
  t.match(await call.probe.failure(), { kind: 'cancelled' });
  await forgotten(stage);
});

scenario('a 200 that crosses a CANCEL is released by us when the server does nothing', async (stage, t) => {
  const { server, clock } = stage;
  const call = await place(stage);
  server.deliver(call.response(180));
  await call.probe.expect('progress');
  call.leg.cancel();
  server.accept(await server.frame('CANCEL'), 't-cancel');
  server.deliver(call.response(200));
  server.accept(await server.frame('ACK'), 't-ack');
  t.match(await call.probe.failure(), { kind: 'cancelled' });
  clock.advance(2000);
  const bye = await server.frame('BYE');
  server.refuse(bye, 'Server error: unable to find dialog for dialog id provided');
  await forgotten(stage);
});

scenario('a CANCEL that nobody ever confirms is over after a bounded time', async (stage, t) => {
  const call = await place(stage);
  call.leg.cancel();
  stage.server.accept(await stage.server.frame('CANCEL'), 't-cancel');
  stage.clock.advance(33_000);
  t.match(await call.probe.failure(), { kind: 'cancelled' });
});

scenario('an UPDATE that srf gives to a request under way is answered all the same', async (stage, t) => {
  const { server } = stage;
  const call = await answered(stage);
  const outcome = new Promise<{ kind: string }>((resolve) => call.leg.request({ method: 'INFO' }, resolve));
  const info = await server.frame('INFO');
  server.accept(info, 't-INFO');
  server.deliver(call.inDialog('UPDATE', 't-update'));
  (await call.probe.expect('request')).request?.respond(200);
  const ok = await server.response(200);
  t.equal(ok.txnId, 't-update');
  server.sent(ok, call.dialogId);
  server.deliver(call.response(200, info));
  t.equal((await outcome).kind, 'response');
  server.deliver(call.inDialog('BYE', 't-bye'));
  await call.probe.end();
});

scenario('why the server hung up by itself', async (stage, t) => {
  const call = await answered(stage);
  stage.server.deliver(call.inDialog('BYE', 'unsolicited', 'SIP;cause=200;text="Session timer expired"'));
  t.equal((await call.probe.end()).kind, 'dialog_lost');
  for (const [tag, text, kind] of [
    ['a', 'ACK timeout', 'ack_timeout'],
    ['b', 'CANCEL after 200 OK', 'cancelled'],
    ['c', 'Session timer expired', 'dialog_lost'],
  ] as const) {
    stage.server.deliver(stage.server.sipFrame({ txnId: `t-${tag}` }, request('INVITE', tag)));
    const { leg, probe } = await stage.app.call();
    leg.answer({});
    const ok = await stage.server.response(200);
    const dialogId = `call-1;from-tag=${tag}`;
    stage.server.sent(ok, dialogId);
    const bye = sipText('BYE sip:them@127.0.35.8 SIP/2.0', {
      Via: 'SIP/2.0/UDP 127.0.35.9;branch=z9hG4bKz',
      From: '<sip:us@127.0.35.9>;tag=ours',
      To: `<sip:them@127.0.35.8>;tag=${tag}`,
      'Call-ID': 'call-1',
      CSeq: '2 BYE',
      Reason: `SIP ;cause=200 ;text="${text}"`,
    });
    stage.server.deliver(stage.server.sipFrame({ source: 'application', txnId: 'unsolicited', dialogId }, bye));
    t.equal((await probe.end()).kind, kind, text);
    t.equal(leg.localTag, 'ours');
  }
});

scenario('a request that the server refuses for want of a dialog: leg_ended, then dialog_lost', async (stage, t) => {
  const call = await answered(stage);
  const outcome = new Promise((resolve) => call.leg.request({ method: 'INFO' }, resolve));
  const info = await stage.server.frame('INFO');
  stage.server.refuse(info, 'Server error: unable to find dialog for dialog id provided');
  t.same(await outcome, { kind: 'leg_ended' });
  t.same(await call.probe.end(), { kind: 'dialog_lost', status: undefined });
});

scenario('responses of the server’s own making are told from those of the network', async (stage, t) => {
  for (const [status, kind] of [
    [408, 'timeout'],
    [503, 'transport_error'],
  ] as const) {
    const call = await place(stage);
    stage.server.deliver(call.response(status, call.invite, ''));
    t.equal((await call.probe.failure()).kind, kind);
    const genuine = await place(stage);
    stage.server.deliver(genuine.response(status));
    t.match(await genuine.probe.failure(), { kind: 'response', status });
  }
});

scenario('an INVITE that the server refuses says why', async ({ server, app, port }, t) => {
  const { probe } = app.invite(port, SPEC);
  server.refuse(await server.frame('INVITE'), 'can not send request to myself');
  t.same(await probe.failure(), { kind: 'invalid_request', detail: 'can not send request to myself' });
});

scenario('an application that throws is reported and harms no other call', async (stage, t) => {
  const call = await place(stage);
  call.probe.onProgress = () => {
    throw new Error('deliberate');
  };
  stage.server.deliver(call.response(180), call.response(486));
  t.match(await call.probe.failure(), { kind: 'response', status: 486 });
  t.equal(stage.complaints.length, 1);
});

scenario('a reliable provisional is acknowledged with PRACK', async (stage, t) => {
  const call = await place(stage);
  const reliable = call.response(183).replace('CSeq: 1 INVITE', 'CSeq: 1 INVITE\r\nRequire: 100rel\r\nRSeq: 17');
  stage.server.deliver(reliable);
  const prack = await stage.server.frame('PRACK');
  t.match(prack.message.header('RAck'), /^17 \d+ INVITE$/);
  await call.probe.expect('progress');
  stage.server.deliver(call.response(486));
  await call.probe.failure();
});

void t.test('text: bytes in UTF-8 survive, lines cannot be smuggled, repeated fields stay apart', async (t) => {
  const bytes = Buffer.from('"Zoë 電話 😀"', 'utf8').toString('latin1');
  t.equal(fromSrf(toSrf(bytes)), bytes);
  t.equal(toSrf('a\r\nX-Evil: 1'), 'a X-Evil: 1');
  const fields = headerObject([
    ['X-A', '1'],
    ['x-a', '2'],
    ['Call-ID', 'not yours'],
    ['Bad Name', '3'],
    ['Content-Type', 'text/plain'],
  ]);
  t.same(fields, { 'X-A': '1\r\nX-A: 2', 'Content-Type': 'text/plain' });
  const typed = headerObject([['Content-Type', 'text/plain']], {
    contentType: 'application/sdp',
    body: Buffer.from('v'),
  });
  t.same(typed, { 'Content-Type': 'application/sdp' });
  t.equal(taggedFrom('sip:a@b;user=phone', 't1'), '<sip:a@b;user=phone>;tag=t1');
  t.equal(taggedFrom('"A" <sip:a@b>', 't1'), '"A" <sip:a@b>;tag=t1');
});
