import type { RequestOutcome } from '../../../src/signal/port.js';
import { uriOfPeer } from '../../support/signalRig.js';
import type { SipPeer } from '../../support/sipPeer.js';
import {
  type Behaviour,
  type Stage,
  SDP_A,
  SDP_B,
  callOut,
  establishOut,
  hangUp,
  outgoingSpec,
  sdp,
} from './behaviour.js';

/** Proves that whatever we sent before has left: a further call arrives and is refused. */
async function barrier(stage: Stage): Promise<void> {
  const peer = await stage.open('udp', 'barrier');
  const { probe, invite } = await callOut({ ...stage, peer });
  invite.respond(603);
  await probe.failure();
}

async function answersCancel(peer: SipPeer): Promise<void> {
  (await peer.expectRequest('CANCEL')).respond(200);
}

/** The port as caller. Left is the peer: `->` it sends, `<-` it receives. */
export const outgoingBehaviours: Behaviour[] = [
  {
    name: '<- INVITE, -> 180, -> 183, -> 200, <- ACK, <- BYE, -> 200',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { headers: [['X-Trunk', 'trk_demo']] });
      t.equal(invite.uri, outgoingSpec(peer).uri);
      t.equal(invite.text, SDP_A);
      t.equal(invite.header('X-Trunk'), 'trk_demo');
      t.match(invite.header('From'), /^"Tandem" <sip:\+918040000001@127\.[\d.:]+>;tag=/);
      t.equal(leg.callId, invite.message.callId);
      t.equal(leg.localTag, invite.message.fromTag);
      invite.respond(180);
      invite.respond(183, { body: SDP_B });
      t.equal((await probe.message('progress')).status, 180);
      t.equal((await probe.message('progress')).body.toString(), SDP_B);
      const ok = invite.respond(200, { body: SDP_B, headers: [['X-Answer', 'yes']] });
      const answer = await probe.message('answered');
      t.match(answer, { status: 200, reason: 'OK', method: 'INVITE' });
      t.equal(answer.header('X-Answer'), 'yes');
      t.equal(answer.body.toString(), SDP_B);
      t.equal(leg.remoteTag, ok.toTag);
      t.equal(peer.count('ACK'), 0, 'the ACK waits for the application');
      leg.ack();
      await peer.expect('ACK');
      leg.bye([['Reason', 'Q.850;cause=16']]);
      const bye = await peer.expectRequest('BYE');
      t.equal(bye.header('Reason'), 'Q.850;cause=16');
      bye.respond(200);
      t.equal((await probe.end()).kind, 'local_bye');
      t.equal(probe.count('trying') > 0, false, 'no 100 was sent');
    },
  },
  {
    name: 'the callee hangs up, over UDP and over TCP',
    run: async (stage) => {
      await hangUp(stage, await establishOut(stage));
      const overTcp = { ...stage, peer: await stage.open('tcp') };
      await hangUp(overTcp, await establishOut(overTcp));
    },
  },
  {
    name: '-> 100 is reported where the port says that it can',
    run: async (stage) => {
      const { probe, invite } = await callOut(stage);
      invite.respond(100);
      invite.respond(180);
      await probe.expect('progress');
      stage.t.equal(probe.count('trying'), stage.rig.port.capabilities.reportsTrying ? 1 : 0);
      invite.respond(486);
      await probe.failure();
    },
  },
  {
    name: '-> 486 fails with the response, <- ACK',
    run: async (stage) => {
      const { leg, probe, invite } = await callOut(stage);
      invite.respond(486, { headers: [['Retry-After', '30']] });
      const failure = await probe.failure();
      stage.t.match(failure, { kind: 'response', status: 486 });
      stage.t.equal(failure.kind === 'response' && failure.message.header('Retry-After'), '30');
      await stage.peer.expect('ACK');
      leg.ack();
      leg.cancel();
      leg.bye();
    },
  },
  {
    name: 'nextHop is where it goes, the request URI is what it says',
    run: async (stage) => {
      const { probe, invite } = await callOut(stage, {
        uri: 'sip:+918041234567@far.example',
        nextHop: `sip:${stage.peer.hostPort};transport=udp`,
      });
      stage.t.equal(invite.uri, 'sip:+918041234567@far.example');
      invite.respond(404);
      stage.t.match(await probe.failure(), { kind: 'response', status: 404 });
    },
  },
  {
    name: 'nobody listens there: transport_error',
    run: async (stage) => {
      for (const transport of ['udp', 'tcp'] as const) {
        const gone = await stage.open(transport);
        await gone.close();
        const { probe } = stage.rig.app.invite(stage.rig.port, outgoingSpec(gone));
        stage.t.equal((await probe.failure()).kind, 'transport_error', transport);
      }
    },
  },
  {
    name: 'a host name that does not exist: unresolved_host',
    run: async ({ rig, peer, t }) => {
      const { probe } = rig.app.invite(rig.port, outgoingSpec(peer, { uri: 'sip:bob@no-such-host.invalid' }));
      t.equal((await probe.failure()).kind, 'unresolved_host');
    },
  },
  {
    name: 'what is no SIP URI, or tries to smuggle a line, is invalid_request after invite() has returned',
    run: async ({ rig, peer, t }) => {
      for (const uri of ['nonsense', 'sip:', '', 'sip:a@127.0.0.1\r\nX-Evil: 1']) {
        const { probe } = rig.app.invite(rig.port, outgoingSpec(peer, { uri }));
        t.equal((await probe.failure()).kind, 'invalid_request', JSON.stringify(uri));
      }
    },
  },
  {
    name: 'a header value cannot start a line of its own',
    run: async (stage) => {
      const { probe, invite } = await callOut(stage, { headers: [['X-Note', 'a\r\nX-Evil: 1']] });
      stage.t.equal(invite.header('X-Evil'), undefined);
      invite.respond(603);
      await probe.failure();
    },
  },
  {
    name: 'several values of a header are several values',
    run: async (stage) => {
      const { probe, invite } = await callOut(stage, {
        headers: [
          ['X-Tag', 'one, with comma'],
          ['X-Tag', 'two'],
        ],
      });
      stage.t.same(invite.message.headerAll('X-Tag'), ['one, with comma', 'two']);
      invite.respond(603);
      await probe.failure();
    },
  },
  {
    name: 'cancel before any provisional: CANCEL is held until -> 180, then -> 487 fails as cancelled',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage);
      leg.cancel();
      leg.cancel();
      await barrier(stage);
      t.equal(peer.count('CANCEL'), 0);
      invite.respond(180);
      await answersCancel(peer);
      invite.respond(487);
      await peer.expect('ACK');
      t.match(await probe.failure(), { kind: 'cancelled' });
      t.equal(peer.count('CANCEL'), 1);
    },
  },
  {
    name: 'cancel at once, before the INVITE is on its way',
    run: async (stage) => {
      const { peer, rig, t } = stage;
      const { leg, probe } = rig.app.invite(rig.port, outgoingSpec(peer));
      leg.cancel();
      const failure = probe.failure();
      // An adapter that has not sent the INVITE yet need not send it any more.
      const invite = await Promise.race([peer.expectRequest('INVITE').catch(() => undefined), failure]);
      if (invite !== undefined && 'respond' in invite) {
        invite.respond(180);
        await answersCancel(peer);
        invite.respond(487);
      }
      t.match(await failure, { kind: 'cancelled' });
    },
  },
  {
    name: '-> 180, <- CANCEL with its headers, -> 200, -> 487',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage);
      invite.respond(180);
      await probe.expect('progress');
      leg.cancel([['Reason', 'SIP;cause=200;text="Call completed elsewhere"']]);
      const cancel = await peer.expectRequest('CANCEL');
      t.match(cancel.header('Reason'), /completed elsewhere/);
      t.equal(cancel.message.branch, invite.message.branch);
      cancel.respond(200);
      invite.respond(487);
      t.match(await probe.failure(), { kind: 'cancelled' });
      await peer.expect('ACK');
    },
  },
  {
    name: '<- CANCEL crosses -> 200: <- ACK, <- BYE, and the application sees a cancelled attempt',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage);
      invite.respond(180);
      await probe.expect('progress');
      leg.cancel();
      const cancel = await peer.expectRequest('CANCEL');
      invite.respond(200, { body: SDP_B });
      cancel.respond(200);
      await peer.expect('ACK');
      (await peer.expectRequest('BYE')).respond(200);
      t.match(await probe.failure(), { kind: 'cancelled' });
      t.equal(probe.count('answered'), 0);
    },
  },
  {
    name: 'cancel while the 200 is on its way to the application, over and over: never answered after cancel',
    run: async (stage) => {
      const { peer, t } = stage;
      for (let round = 0; round < 12; round++) {
        const { leg, probe, invite } = await callOut(stage);
        invite.respond(180);
        await probe.expect('progress');
        invite.respond(200, { body: SDP_B });
        for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
        const answered = probe.count('answered') === 1;
        if (answered) {
          leg.cancel();
          leg.ack();
          leg.bye();
          await probe.expect('answered');
          await probe.expect('ended');
        } else {
          leg.cancel();
          t.match(await probe.failure(), { kind: 'cancelled' });
        }
        await peer.expect('ACK');
        (await peer.expectRequest('BYE')).respond(200);
        for (const cancel of peer.queue.splice(0)) t.equal(cancel.method, 'CANCEL');
      }
    },
  },
  {
    name: 'a failure that crosses the CANCEL still reads cancelled',
    run: async (stage) => {
      const { leg, probe, invite } = await callOut(stage);
      invite.respond(180);
      await probe.expect('progress');
      leg.cancel();
      await answersCancel(stage.peer);
      invite.respond(486);
      stage.t.match(await probe.failure(), { kind: 'cancelled' });
    },
  },
  {
    name: 'a late offer: -> 200 with the offer, <- ACK with our answer',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { body: undefined, contentType: undefined });
      t.equal(invite.text, '');
      const ok = invite.respond(200, { body: SDP_B });
      t.equal((await probe.message('answered')).body.toString(), SDP_B);
      leg.ack(sdp(SDP_A));
      const ack = await peer.expect('ACK');
      t.equal(ack.text, SDP_A);
      t.equal(ack.header('Content-Type'), 'application/sdp');
      t.equal(ack.cseqNumber, invite.message.cseqNumber);
      leg.ack(sdp(SDP_B));
      await hangUp(stage, { leg, probe, dialog: invite.dialog(ok) });
      t.equal(peer.count('ACK'), 1);
    },
  },
  {
    name: 'bye() before ack() acknowledges first',
    run: async (stage) => {
      const { leg, probe, invite } = await callOut(stage);
      invite.respond(200, { body: SDP_B });
      await probe.expect('answered');
      leg.bye();
      await stage.peer.expect('ACK');
      (await stage.peer.expectRequest('BYE')).respond(200);
      stage.t.equal((await probe.end()).kind, 'local_bye');
    },
  },
  {
    name: 'a reliable provisional is acknowledged: -> 183 with RSeq, <- PRACK',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { headers: [['Supported', '100rel']] });
      const reliable = [
        ['Require', '100rel'],
        ['RSeq', '4711'],
      ] as const;
      invite.respond(183, { headers: reliable, body: SDP_B });
      const prack = await peer.expectRequest('PRACK');
      t.equal(prack.header('RAck'), `4711 ${invite.message.cseq}`);
      prack.respond(200);
      t.equal((await probe.message('progress')).status, 183);
      const ok = invite.respond(200);
      await probe.expect('answered');
      leg.ack();
      await peer.expect('ACK');
      await hangUp(stage, { leg, probe, dialog: invite.dialog(ok) });
    },
  },
  {
    name: 'a fork: 18x of both branches are reported, a second 200 is acknowledged and released',
    run: async (stage) => {
      const { peer, rig, t } = stage;
      if (!rig.releasesForks) {
        t.comment('this server does not release further 2xx');
        return;
      }
      const { leg, probe, invite } = await callOut(stage);
      const second = await stage.open('udp', 'fork');
      invite.respond(180, { toTag: 'fork-1' });
      invite.respond(180, { toTag: 'fork-2' });
      await probe.expect('progress');
      await probe.expect('progress');
      const ok = invite.respond(200, { toTag: 'fork-1', body: SDP_B });
      await probe.expect('answered');
      leg.ack();
      await peer.expect('ACK');
      invite.respond(200, { toTag: 'fork-2', body: SDP_B, contact: `<${second.uri}>` });
      await second.expect('ACK');
      const bye = await second.expectRequest('BYE');
      t.equal(bye.message.toTag, 'fork-2');
      bye.respond(200);
      t.equal(probe.count('answered'), 1);
      t.equal(leg.remoteTag, 'fork-1');
      await hangUp(stage, { leg, probe, dialog: invite.dialog(ok) });
    },
  },
  {
    name: 'a request outside dialogs ends in one outcome: <- OPTIONS, -> 200; nobody there',
    run: async (stage) => {
      const { peer, rig, t } = stage;
      const ask = (uri: string): Promise<RequestOutcome> =>
        new Promise((resolve) =>
          rig.port.ask({ method: 'OPTIONS', uri, headers: [['Accept', 'application/sdp']] }, resolve),
        );
      const asked = ask(uriOfPeer(peer));
      const options = await peer.expectRequest('OPTIONS');
      t.equal(options.header('Accept'), 'application/sdp');
      options.respond(100);
      options.respond(483);
      const outcome = await asked;
      t.equal(outcome.kind === 'response' && outcome.message.status, 483);
      t.equal((await ask('sip:127.0.35.250:9')).kind, 'transport_error', 'the port is closed');
      t.equal((await ask('sip:unknown.invalid')).kind, 'transport_error', 'the name is unknown');
    },
  },
];
