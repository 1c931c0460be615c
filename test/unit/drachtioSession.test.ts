/** Session timers that the drachtio server keeps for applications: RFC 4028. */
import t from 'tap';
import { SessionTimer, answerSession, isTooBrief, sessionIn } from '../../src/drachtio/sessionTimer.js';
import { ManualClock } from '../../src/kernel/index.js';
import type { OutgoingInviteListener, OutgoingRequestListener, ResponseFields } from '../../src/sip/face.js';
import { SipRequest, SipResponse } from '../../src/sip/message/message.js';

const SDP = Buffer.from('v=0\r\n');
const invite = (expires?: string, supported?: string): SipRequest => {
  const request = new SipRequest('INVITE', 'sip:x@h').add('CSeq', '1 INVITE');
  if (expires !== undefined) request.add('Session-Expires', expires);
  return supported === undefined ? request : request.add('Supported', supported);
};
const answer = (status: number, expires?: string): SipResponse => {
  const response = new SipResponse(status);
  return expires === undefined ? response : response.add('Session-Expires', expires);
};

t.test('what a field says', async (t) => {
  t.strictSame(sessionIn(invite('1800')), { seconds: 1800, refresher: undefined });
  t.strictSame(sessionIn(invite(' 90 ; x=1;Refresher=UAS')), { seconds: 90, refresher: 'uas' });
  for (const bad of [undefined, '', 'x', '-1', '9999999999', '90 90'])
    t.equal(sessionIn(invite(bad)), undefined, String(bad));
  t.ok(isTooBrief(invite('89')));
  t.notOk(isTooBrief(invite('90')) || isTooBrief(invite()));
});

t.test('what a 2xx says: the application first, then the caller where it names who refreshes', async (t) => {
  const headersOf = (request: SipRequest, own: ResponseFields = {}) => answerSession(request, own).fields.headers ?? [];
  t.strictSame(headersOf(invite('1800')), [], 'no refresher is named: nobody has to');
  t.strictSame(headersOf(invite('1800;refresher=uas')), [['Session-Expires', '1800;refresher=uas']]);
  t.strictSame(headersOf(invite('60;refresher=uac', 'timer')), [
    ['Session-Expires', '90;refresher=uac'],
    ['Require', 'timer'],
  ]);
  const own = { headers: [['Session-Expires', '300;refresher=uas']] as const };
  t.strictSame(answerSession(invite('1800;refresher=uac'), own), {
    fields: own,
    agreed: { seconds: 300, refresher: 'uas' },
  });
});

function rig() {
  const clock = new ManualClock(0);
  const sent: { method: string; fields: ResponseFields; listener: OutgoingInviteListener & OutgoingRequestListener }[] =
    [];
  let acks = 0;
  let expired = 0;
  const note = (method: string) => (fields: ResponseFields, listener: unknown) => {
    sent.push({ method, fields, listener: listener as (typeof sent)[0]['listener'] });
    return { request: invite() };
  };
  const dialog = {
    invite: note('INVITE'),
    request: (method: string, fields: ResponseFields, listener: unknown) => note(method)(fields, listener),
    ack: () => void acks++,
  };
  const timer = new SessionTimer({ clock, dialog: () => dialog as never, expired: () => void expired++ });
  return { clock, timer, sent, acks: () => acks, expired: () => expired };
}

t.test('we refresh at half time, by re-INVITE with the SDP in force; the application hears nothing', async (t) => {
  const { clock, timer, sent, acks, expired } = rig();
  timer.noteSdp(SDP);
  timer.noteSdp(Buffer.from('no sdp'));
  timer.agreed({ seconds: 100, refresher: 'uas' }, true);
  clock.advance(49_999);
  t.equal(sent.length, 0);
  clock.advance(1);
  t.match(sent[0], { method: 'INVITE', fields: { body: SDP, headers: [['Supported', 'timer'], ['Session-Expires', '100;refresher=uac']] } }); // prettier-ignore
  sent[0]?.listener.onAnswered(answer(200, '120;refresher=uac'), undefined as never, undefined as never);
  t.equal(acks(), 1);
  clock.advance(60_000);
  t.equal(sent.length, 2, 'and again, by what was agreed then');
  sent[1]?.listener.onFailed(answer(491), 'network', undefined);
  clock.advance(3_000);
  t.equal(sent.length, 3, 'glare: again soon');
  sent[2]?.listener.onAnswered(answer(200), undefined as never, undefined as never);
  clock.advance(60_000);
  t.equal(sent.length, 4, 'an answer without it does not end our refreshing');
  sent[3]?.listener.onFailed(answer(488), 'network', undefined);
  t.equal(expired(), 1);
  timer.stop();
  t.strictSame(clock.dump(), {});
});

t.test('without SDP we refresh by UPDATE; the peer may take over', async (t) => {
  const { clock, timer, sent, expired } = rig();
  timer.agreed({ seconds: 90, refresher: 'uac' }, true);
  clock.advance(45_000);
  t.equal(sent[0]?.method, 'UPDATE');
  sent[0]?.listener.onResponse(answer(200, '90;refresher=uas'), 'network', undefined);
  clock.advance(89_999);
  t.equal(expired(), 0);
  t.strictSame(timer.headers[1], ['Session-Expires', '90;refresher=uas']);
  clock.advance(1);
  t.equal(expired(), 1, 'it did not');
  t.equal(sent.length, 1);
});

t.test('no agreement, no timer', async (t) => {
  const { clock, timer } = rig();
  timer.agreed({ seconds: 90, refresher: 'uac' }, false);
  timer.agreed(undefined, false);
  t.strictSame(timer.headers, []);
  t.strictSame(clock.dump(), {});
});
