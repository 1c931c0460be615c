import type { ReinviteOutcome, RequestOutcome } from '../../../src/signal/port.js';
import {
  type Behaviour,
  EITHER_WAY,
  SDP_A,
  SDP_B,
  type Established,
  establishIn,
  establishOut,
  hangUp,
  sdp,
} from './behaviour.js';

type Ask = Established['leg'];

/** The single outcome of a request; a second one fails the test. */
function outcomeOf<T>(send: (done: (outcome: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let outcomes = 0;
    send((outcome) => {
      if (++outcomes > 1) reject(new Error('a second outcome'));
      resolve(outcome);
    });
  });
}
const reinvite = (leg: Ask, body = SDP_A): Promise<ReinviteOutcome> =>
  outcomeOf((done) => leg.reinvite(sdp(body), done));
const request = (leg: Ask, method: string): Promise<RequestOutcome> =>
  outcomeOf((done) => leg.request({ method, contentType: 'text/plain', body: Buffer.from('hello') }, done));

/** Runs a behaviour on an incoming and on an outgoing call. */
const eitherWay = (
  name: string,
  run: (stage: Parameters<Behaviour['run']>[0], call: Established) => Promise<void>,
): Behaviour[] =>
  EITHER_WAY.map(([which, establish]) => ({
    name: `${name}, ${which}`,
    run: async (stage) => run(stage, await establish(stage)),
  }));

/** Within an established call. Left is the peer. */
export const dialogBehaviours: Behaviour[] = [
  ...eitherWay('-> re-INVITE, <- 200, -> ACK', async (stage, call) => {
    const { peer, t } = stage;
    const offer = call.dialog.send('INVITE', { body: SDP_A });
    const asked = await call.probe.expect('reinvite');
    t.equal(asked.message?.body.toString(), SDP_A);
    asked.reinvite?.respond(200, { ...sdp(SDP_B), headers: [['X-Hold', 'no']] });
    const ok = await peer.expect('200 INVITE');
    t.equal(ok.text, SDP_B);
    t.equal(ok.header('X-Hold'), 'no');
    call.dialog.ack(offer.request.cseqNumber);
    const ack = await call.probe.expect('ack');
    t.equal(ack.reinvite, asked.reinvite);
    await hangUp(stage, call);
  }),
  ...eitherWay('-> re-INVITE without SDP, <- 200 with our offer, -> ACK with the answer', async (stage, call) => {
    const offer = call.dialog.send('INVITE');
    const asked = await call.probe.expect('reinvite');
    asked.reinvite?.respond(200, sdp(SDP_B));
    await stage.peer.expect('200 INVITE');
    call.dialog.ack(offer.request.cseqNumber, { body: SDP_A });
    stage.t.equal((await call.probe.message('ack')).body.toString(), SDP_A);
    await hangUp(stage, call);
  }),
  ...eitherWay('-> re-INVITE, <- 183, <- 488: the call stands', async (stage, call) => {
    call.dialog.send('INVITE', { body: SDP_A });
    const asked = await call.probe.expect('reinvite');
    asked.reinvite?.respond(183);
    asked.reinvite?.respond(488, { headers: [['Warning', '304 tandem "Media type not available"']] });
    await stage.peer.expect(183);
    stage.t.match((await stage.peer.expect('488 INVITE')).header('Warning'), /^304/);
    asked.reinvite?.respond(200);
    await hangUp(stage, call);
  }),
  ...eitherWay('-> re-INVITE, -> CANCEL: <- 487, reported as withdrawn, the call stands', async (stage, call) => {
    const offer = call.dialog.send('INVITE', { body: SDP_A });
    const asked = await call.probe.expect('reinvite');
    offer.cancel();
    await stage.peer.expect('200 CANCEL');
    await stage.peer.expect('487 INVITE');
    stage.t.equal((await call.probe.expect('reinviteCancelled')).reinvite, asked.reinvite);
    asked.reinvite?.respond(200, sdp(SDP_B));
    await hangUp(stage, call);
  }),
  ...eitherWay('<- re-INVITE, -> 200, <- ACK when the application says so', async (stage, call) => {
    const { peer, t } = stage;
    const outcome = reinvite(call.leg);
    const offer = await peer.expectRequest('INVITE');
    t.equal(offer.text, SDP_A);
    const acks = peer.count('ACK');
    offer.respond(100);
    offer.respond(200, { body: SDP_B });
    const answered = await outcome;
    t.equal(answered.kind, 'answered');
    if (answered.kind !== 'answered') return;
    t.equal(answered.message.body.toString(), SDP_B);
    t.equal(peer.count('ACK'), acks);
    answered.ack();
    const ack = await peer.expect('ACK');
    t.equal(ack.cseqNumber, offer.message.cseqNumber);
    await hangUp(stage, call);
  }),
  ...eitherWay('<- re-INVITE without SDP, -> 200 with an offer, <- ACK with our answer', async (stage, call) => {
    const outcome = outcomeOf<ReinviteOutcome>((done) => call.leg.reinvite({}, done));
    (await stage.peer.expectRequest('INVITE')).respond(200, { body: SDP_B });
    const answered = await outcome;
    if (answered.kind === 'answered') answered.ack(sdp(SDP_A));
    stage.t.equal((await stage.peer.expect('ACK')).text, SDP_A);
    await hangUp(stage, call);
  }),
  ...eitherWay('<- re-INVITE, -> 488 and -> 491 are outcomes, the call stands', async (stage, call) => {
    for (const status of [488, 491]) {
      const outcome = reinvite(call.leg);
      (await stage.peer.expectRequest('INVITE')).respond(status);
      const refused = await outcome;
      stage.t.equal(refused.kind, 'response');
      stage.t.equal(refused.kind === 'response' && refused.message.status, status);
      await stage.peer.expect('ACK');
    }
    await hangUp(stage, call);
  }),
  ...eitherWay('a second re-INVITE while one is under way is not sent: request_pending', async (stage, call) => {
    const first = reinvite(call.leg);
    const second = await reinvite(call.leg);
    stage.t.match(second, { kind: 'transport_error', code: 'request_pending' });
    (await stage.peer.expectRequest('INVITE')).respond(488);
    stage.t.equal((await first).kind, 'response');
    await hangUp(stage, call);
  }),
  ...eitherWay('glare: <- re-INVITE, -> re-INVITE: each side gets 491', async (stage, call) => {
    const { peer, t } = stage;
    const outcome = reinvite(call.leg);
    const ours = await peer.expectRequest('INVITE');
    call.dialog.send('INVITE', { body: SDP_B });
    await peer.expect('491 INVITE');
    ours.respond(491);
    const refused = await outcome;
    t.equal(refused.kind === 'response' && refused.message.status, 491);
    t.equal(call.probe.count('reinvite'), 0);
    await hangUp(stage, call);
  }),
  ...eitherWay('INFO both ways', async (stage, call) => {
    const { peer, t } = stage;
    call.dialog.send('INFO', { body: 'Signal=5\r\nDuration=160\r\n', contentType: 'application/dtmf-relay' });
    const asked = await call.probe.expect('request');
    t.equal(asked.message?.method, 'INFO');
    t.equal(asked.message?.contentType, 'application/dtmf-relay');
    t.equal(asked.message?.body.toString(), 'Signal=5\r\nDuration=160\r\n');
    asked.request?.respond(200, { headers: [['X-Got', '5']] });
    asked.request?.respond(500);
    t.equal((await peer.expect('200 INFO')).header('X-Got'), '5');
    const outcome = request(call.leg, 'INFO');
    const info = await peer.expectRequest('INFO');
    t.equal(info.text, 'hello');
    info.respond(200, { headers: [['X-Got', 'hello']] });
    const answer = await outcome;
    t.equal(answer.kind === 'response' && answer.message.header('X-Got'), 'hello');
    await hangUp(stage, call);
  }),
  ...eitherWay('UPDATE both ways, and crossing', async (stage, call) => {
    const { peer, t } = stage;
    call.dialog.send('UPDATE', { body: SDP_A });
    const asked = await call.probe.expect('request');
    t.equal(asked.message?.method, 'UPDATE');
    asked.request?.respond(200, sdp(SDP_B));
    t.equal((await peer.expect('200 UPDATE')).text, SDP_B);
    const outcome = request(call.leg, 'UPDATE');
    const update = await peer.expectRequest('UPDATE');
    call.dialog.send('UPDATE', { body: SDP_A });
    update.respond(200);
    t.equal((await outcome).kind, 'response');
    (await call.probe.expect('request')).request?.respond(200);
    await peer.expect('200 UPDATE');
    await hangUp(stage, call);
  }),
  ...eitherWay('a method that nobody has heard of is the application’s to answer', async (stage, call) => {
    call.dialog.send('WHISTLE');
    const asked = await call.probe.expect('request');
    stage.t.equal(asked.message?.method, 'WHISTLE');
    asked.request?.respond(501);
    await stage.peer.expect('501 WHISTLE');
    await hangUp(stage, call);
  }),
  ...eitherWay(
    '-> 481 to a request: its outcome, then the dialog is lost, and <- BYE clears the rest (RFC 3261 12.2.1.2)',
    async ({ peer, t }, call) => {
      const outcome = request(call.leg, 'INFO');
      (await peer.expectRequest('INFO')).respond(481);
      const refused = await outcome;
      t.equal(refused.kind === 'response' && refused.message.status, 481);
      t.match(await call.probe.end(), { kind: 'dialog_lost', status: 481 });
      (await peer.expectRequest('BYE')).respond(481);
    },
  ),
  ...eitherWay('BYE while a request waits: leg_ended for the request, then the end', async (stage, call) => {
    const { peer, t } = stage;
    const order: string[] = [];
    const outcome = request(call.leg, 'INFO');
    void outcome.then(({ kind }) => order.push(kind));
    const info = await peer.expectRequest('INFO');
    call.dialog.send('BYE');
    t.equal((await call.probe.end()).kind, 'remote_bye');
    t.equal((await outcome).kind, 'leg_ended');
    await peer.expect('200 BYE');
    info.respond(200);
  }),
  ...eitherWay('BYE of both sides at once', async ({ peer, t }, call) => {
    call.leg.bye();
    const ours = await peer.expectRequest('BYE');
    call.dialog.send('BYE');
    await peer.expect((message) => message.method === 'BYE' && message.status >= 200);
    ours.respond(481);
    t.equal((await call.probe.end()).kind, 'local_bye');
  }),
  ...eitherWay('after the end methods do nothing and requests say so', async (stage, call) => {
    const { t, peer } = stage;
    await hangUp(stage, call);
    call.leg.bye();
    t.equal((await request(call.leg, 'INFO')).kind, 'leg_ended');
    t.equal((await reinvite(call.leg)).kind, 'leg_ended');
    t.equal(peer.count('BYE') + peer.count('INFO') + peer.count((m) => m.isRequest && m.method === 'CANCEL'), 0);
  }),
  {
    name: 'octets of bodies and header text survive in both directions',
    run: async (stage) => {
      const { peer, t } = stage;
      const text = 'naïve → 電話 😀\r\n\r\nsecond part\r\n';
      const name = Buffer.from('"Zoë 電話"', 'utf8').toString('latin1');
      const call = await establishIn(stage, {
        from: `${name} <sip:zoe@${peer.hostPort}>;tag=zoe`,
        body: text,
        contentType: 'text/plain;charset=utf-8',
      });
      t.equal(call.leg.message.body.equals(Buffer.from(text)), true);
      t.equal(call.leg.message.header('From'), `${name} <sip:zoe@${peer.hostPort}>;tag=zoe`);
      const outcome = outcomeOf<RequestOutcome>((done) =>
        call.leg.request(
          { method: 'MESSAGE', headers: [['Subject', name]], contentType: 'text/plain', body: Buffer.from(text) },
          done,
        ),
      );
      const message = await peer.expectRequest('MESSAGE');
      t.equal(message.message.body.equals(Buffer.from(text)), true);
      t.equal(message.header('Subject'), name);
      message.respond(200, { body: text, contentType: 'text/plain' });
      const answer = await outcome;
      t.equal(answer.kind === 'response' && answer.message.body.equals(Buffer.from(text)), true);
      await hangUp(stage, call);
    },
  },
  {
    name: 'thirty calls at once, in both directions, end with one outcome each',
    run: async (stage) => {
      const { rig } = stage;
      const calls = Array.from({ length: 30 }, async (_, i) => {
        const peer = await stage.open('udp', `peer${i}`);
        const own = { ...stage, peer };
        if (i % 2 === 0) return hangUp(own, await establishOut(own));
        // Calls that come in at once are told apart by their caller.
        const invite = peer.sendInvite({ target: rig.udp, body: SDP_A });
        const { leg, probe } = await rig.app.calls.take(
          'call',
          ({ leg: candidate }) => candidate.callId === invite.callId,
        );
        leg.answer(sdp(SDP_B));
        const dialog = invite.confirm(await peer.expect('200 INVITE'));
        await probe.expect('ack');
        return hangUp(own, { leg, probe, dialog });
      });
      await Promise.all(calls);
    },
  },
];
