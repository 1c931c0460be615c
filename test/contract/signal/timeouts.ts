import { type Behaviour, SDP_B, callIn, callOut, establishOut, sdp } from './behaviour.js';

/** What the port reports when the peer is silent; run with a short T1. */
export const timeoutBehaviours: Behaviour[] = [
  {
    name: '<- INVITE and silence: timeout',
    run: async (stage) => {
      const { probe } = await callOut(stage);
      stage.t.match(await probe.failure(10_000), { kind: 'timeout' });
    },
  },
  {
    name: '<- INVITE, cancel, and silence: cancelled all the same',
    run: async (stage) => {
      const { leg, probe } = await callOut(stage);
      leg.cancel();
      stage.t.match(await probe.failure(10_000), { kind: 'cancelled' });
      stage.t.equal(stage.peer.count('CANCEL'), 0);
    },
  },
  {
    name: '-> 180, <- CANCEL, -> 200, but never 487: cancelled all the same (RFC 3261 9.1)',
    run: async (stage) => {
      const { leg, probe, invite } = await callOut(stage);
      invite.respond(180);
      await probe.expect('progress');
      leg.cancel();
      (await stage.peer.expectRequest('CANCEL')).respond(200);
      stage.t.match(await probe.failure(10_000), { kind: 'cancelled' });
    },
  },
  {
    name: '<- 200 and no ACK: <- BYE, ack_timeout',
    run: async (stage) => {
      const { leg, probe } = await callIn(stage);
      leg.answer(sdp(SDP_B));
      await stage.peer.expect('200 INVITE');
      (await stage.peer.expectRequest('BYE')).respond(200);
      stage.t.match(await probe.end(), { kind: 'ack_timeout' });
    },
  },
  {
    name: '<- INFO and silence: timeout, and the dialog is lost',
    run: async (stage) => {
      const { leg, probe } = await establishOut(stage);
      const outcome = new Promise<string>((resolve) => {
        leg.request({ method: 'INFO' }, ({ kind }) => resolve(kind));
      });
      await stage.peer.expect('INFO');
      stage.t.equal(await outcome, 'timeout');
      stage.t.match(await probe.end(), { kind: 'dialog_lost' });
      (await stage.peer.expectRequest('BYE')).respond(481);
    },
  },
];
