import { type Behaviour, SDP_A, SDP_B, callIn, establishIn, hangUp, sdp, targetOf } from './behaviour.js';

/** The port as callee. Left is the peer: `->` it sends, `<-` it receives. */
export const incomingBehaviours: Behaviour[] = [
  {
    name: '-> INVITE, <- 200, -> ACK, -> BYE, <- 200: the leg reports the ACK, then the end',
    run: async (stage) => {
      const { t, rig, peer } = stage;
      const { invite, leg, probe } = await callIn(stage, { headers: [['X-Trunk', 'trk_demo']] });
      t.equal(leg.message.method, 'INVITE');
      t.equal(leg.message.header('x-trunk'), 'trk_demo');
      t.equal(leg.message.body.toString(), SDP_A);
      t.equal(leg.message.contentType, 'application/sdp');
      t.match(leg.source, { transport: 'udp', address: peer.address, port: peer.port });
      t.equal(leg.callId, invite.callId);
      t.equal(leg.remoteTag, invite.fromTag);
      leg.answer({ ...sdp(SDP_B), headers: [['X-Answer', 'yes']] });
      const ok = await peer.expect('200 INVITE');
      t.equal(ok.text, SDP_B);
      t.equal(ok.header('X-Answer'), 'yes');
      t.not(ok.header('Contact'), undefined);
      const dialog = invite.confirm(ok);
      const ack = await probe.expect('ack');
      t.equal(ack.reinvite, undefined);
      t.equal(leg.localTag, ok.toTag);
      dialog.send('BYE', { headers: [['Reason', 'Q.850;cause=16']] });
      await peer.expect('200 BYE');
      const end = await probe.end();
      t.equal(end.kind, 'remote_bye');
      t.equal(end.kind === 'remote_bye' && end.message.header('Reason'), 'Q.850;cause=16');
      t.ok(rig.complaints.length === 0, rig.complaints.join('; '));
    },
  },
  {
    name: 'a call over TCP comes and goes like one over UDP',
    run: async (stage) => {
      const peer = await stage.open('tcp');
      const call = await establishIn({ ...stage, peer });
      stage.t.equal(call.leg.source.transport, 'tcp');
      call.leg.bye();
      (await peer.expectRequest('BYE')).respond(200);
      stage.t.equal((await call.probe.end()).kind, 'local_bye');
    },
  },
  {
    name: '<- BYE carries the headers of bye(), such as Reason',
    run: async (stage) => {
      const { leg, probe } = await establishIn(stage);
      leg.bye([['Reason', 'Q.850;cause=16;text="done"']]);
      const bye = await stage.peer.expectRequest('BYE');
      stage.t.equal(bye.header('Reason'), 'Q.850;cause=16;text="done"');
      bye.respond(200);
      stage.t.equal((await probe.end()).kind, 'local_bye');
    },
  },
  {
    name: 'BYE asked for before the ACK leaves only after it',
    run: async (stage) => {
      const { peer, rig, t } = stage;
      const { invite, leg, probe } = await callIn(stage);
      leg.answer(sdp(SDP_B));
      const ok = await peer.expect('200 INVITE');
      leg.bye();
      // A round trip through the application shows that nothing is on its way.
      peer.sendRequest('OPTIONS', { target: targetOf(rig, peer) });
      (await rig.app.requests.take('OPTIONS')).respond(200);
      await peer.expect('200 OPTIONS');
      t.equal(peer.count('BYE'), 0);
      invite.confirm(ok);
      (await peer.expectRequest('BYE')).respond(200);
      t.equal((await probe.end()).kind, 'local_bye');
    },
  },
  {
    name: '<- 486 with its headers; reject is followed by nothing',
    run: async (stage) => {
      const { leg, probe } = await callIn(stage);
      probe.rejected = true;
      leg.reject(486, {
        headers: [
          ['Reason', 'Q.850;cause=17'],
          ['X-Tandem-Reason', 'callee_busy'],
        ],
      });
      const busy = await stage.peer.expect('486 INVITE');
      stage.t.equal(busy.header('Reason'), 'Q.850;cause=17');
      stage.t.equal(busy.header('X-Tandem-Reason'), 'callee_busy');
      leg.reject(500);
      leg.answer(sdp(SDP_B));
      leg.progress(180);
      leg.bye();
    },
  },
  {
    name: 'a status and reason of the application pass as they are',
    run: async (stage) => {
      const { leg, probe } = await callIn(stage);
      probe.rejected = true;
      leg.reject(499, { reason: 'Nobody Wants To Talk' });
      stage.t.equal((await stage.peer.expect(499)).reason, 'Nobody Wants To Talk');
    },
  },
  {
    name: '<- 180, <- 183 with SDP, <- 200: provisionals reach the caller in order with one tag',
    run: async (stage) => {
      const { peer, t } = stage;
      const { invite, leg, probe } = await callIn(stage);
      leg.progress(180);
      leg.progress(183, { ...sdp(SDP_B), headers: [['X-Early', '1']] });
      const ringing = await peer.expect(180);
      const early = await peer.expect(183);
      t.equal(ringing.body.length, 0);
      t.equal(early.text, SDP_B);
      t.equal(early.header('X-Early'), '1');
      t.equal(early.toTag, ringing.toTag);
      leg.answer(sdp(SDP_B));
      const ok = await peer.expect('200 INVITE');
      t.equal(ok.toTag, ringing.toTag);
      const dialog = invite.confirm(ok);
      await probe.expect('ack');
      await hangUp(stage, { leg, probe, dialog });
    },
  },
  {
    name: 'a caller that requires 100rel: <- 183 with RSeq, -> PRACK, <- 200, and so to the answer',
    run: async (stage) => {
      const { peer, t } = stage;
      const { invite, leg, probe } = await callIn(stage, { headers: [['Require', '100rel']] });
      leg.progress(183, sdp(SDP_B));
      const early = await peer.expect(183);
      t.match(early.header('RSeq'), /^\d+$/);
      const dialog = invite.dialog(early);
      dialog.send('PRACK', { headers: [['RAck', `${early.header('RSeq') ?? ''} ${early.cseq}`]] });
      await peer.expect('200 PRACK');
      leg.answer({});
      dialog.ack(invite.request.cseqNumber);
      await peer.expect('200 INVITE');
      await probe.expect('ack');
      await hangUp(stage, { leg, probe, dialog });
    },
  },
  {
    name: '<- 180, -> BYE within the early dialog: <- 200, <- 487, and one end (RFC 3261 15.1.2)',
    run: async (stage) => {
      const { peer, t } = stage;
      const { invite, leg, probe } = await callIn(stage);
      leg.progress(180);
      invite.dialog(await peer.expect(180)).send('BYE');
      await peer.expect('200 BYE');
      await peer.expect('487 INVITE');
      t.match((await probe.end()).kind, /remote_bye|cancelled/);
    },
  },
  {
    name: 'answering within onInvite works; its events come afterwards',
    run: async (stage) => {
      const { peer, rig } = stage;
      rig.app.onCall = (leg) => leg.answer(sdp(SDP_B));
      const { invite, leg, probe } = await callIn(stage);
      rig.app.onCall = undefined;
      const dialog = invite.confirm(await peer.expect('200 INVITE'));
      await probe.expect('ack');
      await hangUp(stage, { leg, probe, dialog });
    },
  },
  {
    name: 'an application that throws in onInvite costs the caller a 500, not us the process',
    run: async ({ peer, rig, t }) => {
      rig.app.onCall = (_leg, probe) => {
        probe.rejected = true;
        throw new Error('deliberate');
      };
      peer.sendInvite({ target: targetOf(rig, peer), body: SDP_A });
      await peer.expect(500);
      rig.app.onCall = undefined;
      t.equal(rig.complaints.splice(0).length, 1);
    },
  },
  {
    name: '-> INVITE and CANCEL back to back: <- 200, <- 487, and one end',
    run: async (stage) => {
      const { peer, rig, t } = stage;
      const invite = peer.sendInvite({ target: targetOf(rig, peer), body: SDP_A });
      invite.cancel([['Reason', 'SIP;cause=200;text="Call completed elsewhere"']]);
      const { leg, probe } = await rig.app.call();
      await peer.expect('200 CANCEL');
      await peer.expect('487 INVITE');
      const end = await probe.end();
      t.equal(end.kind, 'cancelled');
      t.match(end.kind === 'cancelled' && end.message?.header('Reason'), /completed elsewhere/);
      leg.answer(sdp(SDP_B));
      leg.reject(486);
      leg.progress(180);
    },
  },
  {
    name: '<- 180, -> CANCEL, <- 200, <- 487',
    run: async (stage) => {
      const { peer, t } = stage;
      const { invite, leg, probe } = await callIn(stage);
      leg.progress(180);
      const ringing = await peer.expect(180);
      invite.cancel();
      await peer.expect('200 CANCEL');
      t.equal((await peer.expect('487 INVITE')).toTag, ringing.toTag);
      t.equal((await probe.end()).kind, 'cancelled');
    },
  },
  {
    name: '<- 200, -> CANCEL: too late, the call stands until BYE',
    run: async (stage) => {
      const { peer, t } = stage;
      const { invite, leg, probe } = await callIn(stage);
      leg.answer(sdp(SDP_B));
      const ok = await peer.expect('200 INVITE');
      invite.cancel();
      await peer.expect((message) => message.method === 'CANCEL' && message.status >= 200);
      const dialog = invite.confirm(ok);
      await probe.expect('ack');
      t.equal(probe.count('ended'), 0);
      await hangUp(stage, { leg, probe, dialog });
    },
  },
  {
    name: 'CANCEL crossing 200, over and over: the call is either cancelled or stands, never both',
    run: async (stage) => {
      const { peer } = stage;
      for (let round = 0; round < 12; round++) {
        const { invite, leg, probe } = await callIn(stage);
        // The answer leaves some turns of the event loop after the CANCEL.
        invite.cancel();
        for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
        leg.answer(sdp(SDP_B));
        const final = await peer.expect((message) => message.method === 'INVITE' && message.status >= 200);
        await peer.expect((message) => message.method === 'CANCEL' && message.status >= 200);
        if (final.status === 200) {
          const dialog = invite.confirm(final);
          await probe.expect('ack');
          await hangUp(stage, { leg, probe, dialog });
        } else {
          stage.t.equal(final.status, 487);
          stage.t.equal((await probe.end()).kind, 'cancelled');
        }
      }
    },
  },
  {
    name: 'a late offer: <- 200 with our offer, -> ACK with the answer',
    run: async (stage) => {
      const { peer, t } = stage;
      const { invite, leg, probe } = await callIn(stage, { body: '' });
      t.equal(leg.message.body.length, 0);
      leg.answer(sdp(SDP_B));
      const dialog = invite.confirm(await peer.expect('200 INVITE'), { body: SDP_A });
      const ack = await probe.expect('ack');
      t.equal(ack.message?.body.toString(), SDP_A);
      await hangUp(stage, { leg, probe, dialog });
    },
  },
  {
    name: 'a request outside dialogs is answered by the application',
    run: async ({ peer, rig, t }) => {
      peer.sendRequest('OPTIONS', { target: targetOf(rig, peer), headers: [['X-Probe', '7']] });
      const options = await rig.app.requests.take('OPTIONS');
      t.equal(options.message.method, 'OPTIONS');
      t.equal(options.message.header('X-Probe'), '7');
      t.match(options.source, { transport: 'udp', address: peer.address, port: peer.port });
      options.respond(200, { headers: [['Allow', 'INVITE, ACK, BYE, CANCEL, OPTIONS']] });
      const ok = await peer.expect('200 OPTIONS');
      t.equal(ok.header('Allow'), 'INVITE, ACK, BYE, CANCEL, OPTIONS');
    },
  },
  {
    name: 'a request of a dialog that nobody has gets 481',
    run: async ({ peer, rig }) => {
      peer.sendRequest('BYE', { target: targetOf(rig, peer), to: '<sip:x@y>;tag=nobody' });
      await peer.expect('481 BYE');
    },
  },
];
