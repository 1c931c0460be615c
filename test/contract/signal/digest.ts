import { parseDigest, printDigest } from '../../../src/sip/auth/challenge.js';
import { algorithmOf, digestResponse } from '../../../src/sip/auth/digest.js';
import type { ReinviteOutcome, RequestOutcome } from '../../../src/signal/port.js';
import { type Behaviour, SDP_A, SDP_B, callOut, hangUp, sdp } from './behaviour.js';

const credentials = { userName: 'tandem', password: 'geheim', realm: 'carrier' };

const challenge = (params: Record<string, string> = {}): string =>
  printDigest(Object.entries({ realm: 'carrier', nonce: 'n1', qop: 'auth', ...params }), 'challenge');

/** Whether a field proves the password for this request. */
const proves = (field: string | undefined, uri: string, method = 'INVITE'): boolean => {
  const params = parseDigest(field ?? '');
  const value = (name: string) => params?.get(name) ?? '';
  const algorithm = algorithmOf(params?.get('algorithm'));
  if (algorithm === undefined || value('uri') !== uri) return false;
  const qop = { nc: value('nc'), cnonce: value('cnonce') };
  const input = { algorithm, userName: value('username'), realm: value('realm'), nonce: value('nonce'), qop };
  return value('response') === digestResponse({ ...input, password: 'geheim', method, uri });
};

const nonceOf = (field: string | undefined): string => parseDigest(field ?? '')?.get('nonce') ?? '';

/** Challenges of the peer's. Left is the peer: `->` it sends, `<-` it receives. */
export const digestBehaviours: Behaviour[] = [
  {
    name: '<- INVITE, -> 407, <- ACK, <- INVITE with credentials, -> 200, <- ACK with credentials',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { credentials, headers: [['X-Trunk', 'trk_demo']] });
      t.equal(invite.header('Proxy-Authorization'), undefined, 'nothing is proved unasked');
      invite.respond(407, { headers: [['Proxy-Authenticate', challenge({ algorithm: 'SHA-256' })]] });
      await peer.expect('ACK');
      const again = await peer.expectRequest('INVITE');
      t.ok(proves(again.header('Proxy-Authorization'), again.uri ?? ''));
      t.match(parseDigest(again.header('Proxy-Authorization') ?? '')?.get('algorithm'), 'SHA-256');
      t.equal(again.message.callId, invite.message.callId, 'RFC 3261 §22.2');
      t.equal(again.message.fromTag, invite.message.fromTag);
      t.equal(again.message.cseqNumber, invite.message.cseqNumber + 1);
      t.equal(again.header('X-Trunk'), 'trk_demo');
      t.equal(again.text, SDP_A);
      const ok = again.respond(200, { body: SDP_B });
      await probe.expect('answered');
      leg.ack();
      const ack = await peer.expect(
        (message) => message.method === 'ACK' && message.cseqNumber === again.message.cseqNumber,
      );
      t.ok(proves(ack.header('Proxy-Authorization'), again.uri ?? ''), 'RFC 3261 §13.2.2.4');
      t.equal(probe.count('failed'), 0);
      await hangUp(stage, { leg, probe, dialog: again.dialog(ok) });
    },
  },
  {
    name: 'wrong credentials, a foreign realm and no credentials end in one failure; nothing is proved in vain',
    run: async (stage) => {
      const { peer, t } = stage;
      const wrong = await callOut(stage, { credentials });
      wrong.invite.respond(401, { headers: [['WWW-Authenticate', challenge()]] });
      const again = await peer.expectRequest('INVITE');
      t.ok(proves(again.header('Authorization'), again.uri ?? ''));
      again.respond(401, { headers: [['WWW-Authenticate', challenge({ nonce: 'n2' })]] });
      t.match(await wrong.probe.failure(), { kind: 'response', status: 401 });
      for (const order of [{ credentials }, {}]) {
        const call = await callOut(stage, order);
        const before = peer.count('INVITE');
        call.invite.respond(407, { headers: [['Proxy-Authenticate', challenge({ realm: 'elsewhere.example' })]] });
        t.match(await call.probe.failure(), { kind: 'response', status: 407 });
        t.equal(peer.count('INVITE'), before);
      }
    },
  },
  {
    name: 'a call that is withdrawn while it is being challenged stays withdrawn',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { credentials });
      invite.respond(100);
      invite.respond(180);
      await probe.expect('progress');
      leg.cancel();
      (await peer.expectRequest('CANCEL')).respond(200);
      const before = peer.count('INVITE');
      invite.respond(401, { headers: [['WWW-Authenticate', challenge()]] });
      t.match(await probe.failure(), { kind: 'cancelled' });
      t.equal(peer.count('INVITE'), before);
    },
  },
  {
    name: 'INFO, UPDATE, re-INVITE with its ACK, and BYE are proved when they are challenged',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { credentials });
      const ok = invite.respond(200, { body: SDP_B });
      await probe.expect('answered');
      leg.ack();
      await peer.expect('ACK');
      for (const method of ['INFO', 'UPDATE']) {
        const outcome = new Promise<RequestOutcome>((done) => leg.request({ method }, done));
        const first = await peer.expectRequest(method);
        t.equal(first.header('Authorization'), undefined, 'nothing is proved unasked');
        first.respond(401, { headers: [['WWW-Authenticate', challenge({ nonce: method })]] });
        const again = await peer.expectRequest(method);
        t.ok(proves(again.header('Authorization'), again.uri, method), method);
        t.equal(again.message.cseqNumber, first.message.cseqNumber + 1);
        again.respond(200);
        t.match(await outcome, { kind: 'response', message: { status: 200 } });
      }
      const answered = new Promise<ReinviteOutcome>((done) => leg.reinvite(sdp(SDP_A), done));
      const first = await peer.expectRequest('INVITE');
      first.respond(407, { headers: [['Proxy-Authenticate', challenge({ nonce: 'UPDATE' })]] });
      await peer.expect('ACK');
      const again = await peer.expectRequest('INVITE');
      t.ok(proves(again.header('Proxy-Authorization'), again.uri));
      t.equal(parseDigest(again.header('Proxy-Authorization') ?? '')?.get('nc'), '00000002', 'RFC 7616 §3.4');
      t.equal(again.text, SDP_A);
      again.respond(200, { body: SDP_B });
      const outcome = await answered;
      if (outcome.kind !== 'answered') return void t.fail(outcome.kind);
      outcome.ack();
      const ack = await peer.expect('ACK');
      t.equal(ack.header('Proxy-Authorization'), again.header('Proxy-Authorization'), 'RFC 3261 §22.1');
      leg.bye();
      const bye = await peer.expectRequest('BYE');
      bye.respond(407, { headers: [['Proxy-Authenticate', challenge({ nonce: 'BYE' })]] });
      const proved = await peer.expectRequest('BYE');
      t.ok(proves(proved.header('Proxy-Authorization'), proved.uri, 'BYE'));
      proved.respond(200);
      await probe.expect('ended');
      t.ok(ok);
    },
  },
  {
    name: 'within the dialog, too, each nonce is answered once and a foreign realm never',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { credentials });
      const ok = invite.respond(200, { body: SDP_B });
      await probe.expect('answered');
      leg.ack();
      await peer.expect('ACK');
      const nonces = ['same', 'same', 'next'];
      const outcome = new Promise<RequestOutcome>((done) => leg.request({ method: 'INFO' }, done));
      (await peer.expectRequest('INFO')).respond(401, {
        headers: [['WWW-Authenticate', challenge({ nonce: 'same' })]],
      });
      const again = await peer.expectRequest('INFO');
      t.equal(nonceOf(again.header('Authorization')), 'same');
      again.respond(401, { headers: nonces.map((nonce) => ['WWW-Authenticate', challenge({ nonce })] as const) });
      t.match(await outcome, { kind: 'response', message: { status: 401 } }, 'refused credentials are not tried again');
      const foreign = new Promise<RequestOutcome>((done) => leg.request({ method: 'INFO' }, done));
      const asked = await peer.expectRequest('INFO');
      asked.respond(401, { headers: [['WWW-Authenticate', challenge({ realm: 'elsewhere.example' })]] });
      t.match(await foreign, { kind: 'response', message: { status: 401 } });
      t.equal(peer.count('INFO'), 3);
      await hangUp(stage, { leg, probe, dialog: invite.dialog(ok) });
    },
  },
  {
    name: 'a proxy and the server behind it each get their proof, in one request',
    run: async (stage) => {
      const { peer, t } = stage;
      const { leg, probe, invite } = await callOut(stage, { credentials });
      invite.respond(407, { headers: [['Proxy-Authenticate', challenge({ nonce: 'p' })]] });
      await peer.expect('ACK');
      const second = await peer.expectRequest('INVITE');
      second.respond(401, { headers: [['WWW-Authenticate', challenge({ nonce: 's' })]] });
      await peer.expect('ACK');
      const third = await peer.expectRequest('INVITE');
      t.ok(proves(third.header('Proxy-Authorization'), third.uri), 'the proxy is asked again, too');
      t.ok(proves(third.header('Authorization'), third.uri));
      const ok = third.respond(200, { body: SDP_B });
      await probe.expect('answered');
      leg.ack();
      await peer.expect('ACK');
      await hangUp(stage, { leg, probe, dialog: third.dialog(ok) });
    },
  },
];
