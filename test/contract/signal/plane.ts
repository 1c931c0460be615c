import { type Behaviour, callIn, callOut, establishIn, establishOut, outgoingSpec } from './behaviour.js';

/** The signalling plane goes away; each of these has a rig of its own. */
export const planeBehaviours: Behaviour[] = [
  {
    name: 'stop() ends every leg and attempt with one outcome; later attempts fail at once',
    run: async (stage) => {
      const { rig, peer, t } = stage;
      const answered = await establishIn(stage);
      const called = await establishOut(stage);
      const ringingIn = await callIn(stage);
      const ringingOut = await callOut(stage);
      ringingOut.invite.respond(180);
      await ringingOut.probe.expect('progress');
      await rig.port.stop();
      for (const { probe } of [answered, called, ringingIn]) t.match(await probe.end(), { kind: 'engine_lost' });
      t.equal((await ringingOut.probe.failure()).kind, 'transport_error');
      t.equal((await rig.app.invite(rig.port, outgoingSpec(peer)).probe.failure()).kind, 'transport_error');
      // The plane may have released the calls on the wire; that is its own business.
      peer.queue.length = 0;
    },
  },
  {
    name: 'the way to the plane breaks: availability is told after every leg has ended',
    run: async (stage) => {
      const { rig, peer, t } = stage;
      if (rig.breakPlane === undefined) {
        t.comment('nothing to break here');
        return;
      }
      const answered = await establishIn(stage);
      const attempt = await callOut(stage);
      rig.breakPlane();
      t.match(await answered.probe.end(), { kind: 'engine_lost' });
      t.match(await attempt.probe.failure(), { kind: 'transport_error', code: 'engine_lost' });
      t.same(rig.app.availability, [true, false]);
      t.equal((await rig.app.invite(rig.port, outgoingSpec(peer)).probe.failure()).kind, 'transport_error');
      peer.queue.length = 0;
    },
  },
];
