import type { InDialogRequest, RequestOutcome } from '../../../src/signal/port.js';
import type { PeerMessage } from '../../support/sipPeer.js';
import { type Behaviour, SDP_A, SDP_B, callIn, callOut, hangUp, sdp } from './behaviour.js';

const RELIABLE = [['Supported', '100rel']] as const;
const rackOf = (progress: PeerMessage): readonly [string, string] => [
  'RAck',
  `${progress.header('RSeq') ?? ''} ${progress.cseq}`,
];
const rseq = (number: number): (readonly [string, string])[] => [
  ['Require', '100rel'],
  ['RSeq', String(number)],
];

/** Before the answer: reliable provisionals (RFC 3262), requests within early dialogs (RFC 3311). Left is the peer. */
export const earlyBehaviours: Behaviour[] = [
  {
    name: '<- 183 with RSeq where the application says so, -> PRACK with a body, <- its answer',
    run: async (stage) => {
      const { peer, t } = stage;
      const { invite, leg, probe } = await callIn(stage, { headers: [...RELIABLE] });
      const prack = new Promise<InDialogRequest>((reliable) => leg.progress(183, { ...sdp(SDP_B), reliable }));
      const early = await peer.expect(183);
      t.match(early.header('Require'), /100rel/);
      const dialog = invite.dialog(early);
      dialog.send('PRACK', { body: SDP_A, headers: [rackOf(early)] });
      const asked = await prack;
      t.equal(asked.message.method, 'PRACK');
      t.equal(asked.message.body.toString(), SDP_A);
      asked.respond(200, { ...sdp(SDP_B), headers: [['X-Pracked', '1']] });
      const ok = await peer.expect('200 PRACK');
      t.equal(ok.text, SDP_B);
      t.equal(ok.header('X-Pracked'), '1');
      leg.answer({});
      await peer.expect('200 INVITE');
      dialog.ack(invite.request.cseqNumber);
      await probe.expect('ack');
      await hangUp(stage, { leg, probe, dialog });
    },
  },
  {
    name: '<- 180 to a caller who supports 100rel: not reliable unless asked for',
    run: async (stage) => {
      const { invite, leg, probe } = await callIn(stage, { headers: [...RELIABLE] });
      leg.progress(180);
      stage.t.equal((await stage.peer.expect(180)).header('RSeq'), undefined);
      leg.answer(sdp(SDP_B));
      const dialog = invite.confirm(await stage.peer.expect('200 INVITE'));
      await probe.expect('ack');
      await hangUp(stage, { leg, probe, dialog });
    },
  },
  {
    name: 'two reliable provisionals: each PRACK reaches whom its provisional names',
    run: async (stage) => {
      const { peer, t } = stage;
      const { invite, leg, probe } = await callIn(stage, { headers: [...RELIABLE] });
      const told: string[] = [];
      const reliably = (name: string) => ({
        reliable: (prack: InDialogRequest) => {
          told.push(name);
          prack.respond(200);
        },
      });
      leg.progress(180, reliably('ringing'));
      leg.progress(183, { ...sdp(SDP_B), ...reliably('early media') });
      const ringing = await peer.expect(180);
      t.equal(peer.count(183), 0, 'one at a time (RFC 3262 §3)');
      const dialog = invite.dialog(ringing);
      dialog.send('PRACK', { headers: [rackOf(ringing)] });
      await peer.expect('200 PRACK');
      dialog.send('PRACK', { headers: [rackOf(await peer.expect(183))] });
      await peer.expect('200 PRACK');
      t.same(told, ['ringing', 'early media']);
      leg.answer({});
      await peer.expect('200 INVITE');
      dialog.ack(invite.request.cseqNumber);
      await probe.expect('ack');
      await hangUp(stage, { leg, probe, dialog });
    },
  },
  {
    name: '-> 183 with RSeq: the application acknowledges it, with a body, and is told the answer',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { ownPrack: true, headers: [...RELIABLE] });
      const early = invite.respond(183, { body: SDP_B, headers: rseq(7) });
      const progress = await probe.message('progress');
      t.equal(peer.count('PRACK'), 0, 'the PRACK waits for the application');
      const outcome = new Promise<RequestOutcome>((done) => leg.prack(progress, sdp(SDP_A), done));
      const prack = await peer.expectRequest('PRACK');
      t.equal(prack.header('RAck'), `7 ${early.cseq}`);
      t.equal(prack.text, SDP_A);
      t.equal(prack.message.toTag, early.toTag);
      prack.respond(200, { body: SDP_B });
      const answered = await outcome;
      t.equal(answered.kind === 'response' && answered.message.body.toString(), SDP_B);
      const ok = invite.respond(200);
      await probe.expect('answered');
      leg.ack();
      await peer.expect('ACK');
      await hangUp(stage, { leg, probe, dialog: invite.dialog(ok) });
    },
  },
  {
    name: 'a fork: each PRACK goes to the early dialog of its provisional',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { ownPrack: true, headers: [...RELIABLE] });
      invite.respond(183, { body: SDP_B, headers: rseq(3), toTag: 'one' });
      // A drachtio-server tells the forks apart by their RSeq alone, which is drawn at random (RFC 3262 §3).
      invite.respond(183, { body: SDP_B, headers: rseq(9), toTag: 'two' });
      const [first, second] = [await probe.message('progress'), await probe.message('progress')];
      for (const progress of [second, first]) leg.prack(progress, {}, () => {});
      const tags: string[] = [];
      for (let i = 0; i < 2; i++) {
        const prack = await peer.expectRequest('PRACK');
        tags.push(prack.message.toTag);
        prack.respond(200);
      }
      t.same([...tags].sort(), ['one', 'two']);
      invite.respond(486, { toTag: 'one' });
      await probe.failure();
    },
  },
  {
    name: '-> UPDATE within the early dialog of a call that came in, <- its answer; and ours, both ways',
    run: async (stage) => {
      const { peer, t } = stage;
      const { invite, leg, probe } = await callIn(stage);
      leg.progress(183, sdp(SDP_B));
      const dialog = invite.dialog(await peer.expect(183));
      dialog.send('UPDATE', { body: SDP_A });
      const asked = await probe.expect('request');
      t.equal(asked.message?.method, 'UPDATE');
      asked.request?.respond(200, sdp(SDP_B));
      t.equal((await peer.expect('200 UPDATE')).text, SDP_B);
      const outcome = new Promise<RequestOutcome>((done) => leg.request({ method: 'UPDATE', ...sdp(SDP_B) }, done));
      const update = await peer.expectRequest('UPDATE');
      t.equal(update.text, SDP_B);
      update.respond(200, { body: SDP_A });
      const answered = await outcome;
      t.equal(answered.kind === 'response' && answered.message.body.toString(), SDP_A);
      leg.answer(sdp(SDP_B));
      await peer.expect('200 INVITE');
      dialog.ack(invite.request.cseqNumber);
      await probe.expect('ack');
      await hangUp(stage, { leg, probe, dialog });
    },
  },
  {
    name: '<- UPDATE within the early dialog of a call that went out, and the callee’s own; 481 ends no leg',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage);
      const early = invite.respond(183, { body: SDP_B });
      await probe.expect('progress');
      const dialog = invite.dialog(early);
      dialog.send('UPDATE', { body: SDP_B });
      const asked = await probe.expect('request');
      asked.request?.respond(200, sdp(SDP_A));
      t.equal((await peer.expect('200 UPDATE')).text, SDP_A);
      for (const status of [200, 481]) {
        const outcome = new Promise<RequestOutcome>((done) => leg.request({ method: 'UPDATE', ...sdp(SDP_A) }, done));
        (await peer.expectRequest('UPDATE')).respond(status);
        const answered = await outcome;
        t.equal(answered.kind === 'response' && answered.message.status, status);
      }
      t.equal(probe.count('ended'), 0);
      const ok = invite.respond(200, { body: SDP_B });
      await probe.expect('answered');
      leg.ack();
      await peer.expect('ACK');
      await hangUp(stage, { leg, probe, dialog: invite.dialog(ok) });
    },
  },
];
