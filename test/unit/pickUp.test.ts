/** Somebody of a trunk takes a call that rings elsewhere in it (RFC 3891 §3): ladders, and the descriptions of both ends. */
import t, { type Test } from 'tap';
import { mutualAnswers } from '../../src/call/session/transfer/mutualAnswer.js';
import { CallRig, type RigOptions } from '../support/callRig.js';
import type { FakeIncomingLeg, FakeSignal } from '../support/fakeSignal.js';

const sdp = (host: string, port: number, more = 'm=audio 4000 RTP/AVP 0 8'): string =>
  `v=0\r\no=- 1 1 IN IP4 ${host}\r\ns=-\r\nc=IN IP4 ${host}\r\nt=0 0\r\n${more.replace('4000', String(port))}\r\n`;
const A = sdp('127.0.33.1', 4000);
const B = sdp('127.0.33.2', 5000);
const C = sdp('127.0.33.3', 6000);

const RINGING = 'B1@fake;to-tag=lt;from-tag=rt';

const picker = (signal: FakeSignal, body: string, named = RINGING, host = '127.0.20.20'): FakeIncomingLeg =>
  signal.call({
    body,
    source: { transport: 'udp', address: host, port: 5060 },
    headers: [
      ['Replaces', named],
      ['Require', 'replaces'],
      ['Allow', 'INVITE, ACK, CANCEL, BYE, INFO, UPDATE'],
    ],
  });

/** An inbound call that rings at the trunk's first telephone. */
const ringing = (body = A, options: RigOptions = {}): { rig: CallRig; signal: FakeSignal; a: FakeIncomingLeg } => {
  const rig = new CallRig(options);
  const { signal } = rig;
  const a = signal.call({ body });
  signal.b(1).tries();
  signal.b(1).progresses(180);
  signal.takeLadder();
  return { rig, signal, a };
};

const short = (lines: readonly string[]): string[] =>
  lines.map((line) =>
    line.replaceAll(
      /\[v=0[^\]]*c=IN IP4 127\.0\.33\.(\d)[^\]]*\]/g,
      (_whole, host: string) => `[${' ABC'[Number(host)] ?? ''}]`,
    ),
  );

const whole = (t: Test, rig: CallRig): void => {
  t.strictSame(rig.leftovers(), []);
};

const ELSEWHERE = '{SIP;cause=200;text="Call completed elsewhere"}';

t.test('the caller gets the description of who takes the call, that one the caller’s; the other stops ringing', (t) => {
  for (const atOnce of [false, true]) {
    const { rig, signal, a } = ringing();
    signal.confirmAtOnce = atOnce;
    const z = picker(signal, C);
    t.strictSame(
      short(signal.takeLadder()).filter((line) => line !== 'B1 -> 487'),
      ['A2 -> INVITE [C]', `B1 <- CANCEL ${ELSEWHERE}`, 'A2 <- 200 [A]', 'A <- 200 [C]'],
    );
    if (!atOnce) signal.b(1).confirmsCancel();
    a.acks();
    a.asks('INFO', { body: 'early' });
    const hold = a.reinvitesWith(A);
    t.equal(z.reinvites.length, 0, 'RFC 3261 §14.1: no re-INVITE before the ACK of its INVITE');
    z.acks();
    z.responds(200);
    z.respondsReinvite(200, C);
    hold.acks();
    signal.confirmAtOnce = false;
    t.equal(rig.service.registry.size, 1, 'one call');
    rig.clock.advance(2000);
    z.byes();
    a.confirms();
    const { record } = rig;
    t.match(record, {
      outcome: 'answered',
      endedBy: 'callee',
      talkMs: 2000,
      bLegCallId: 'A2@fake',
      destination: 'sip:ann@10.9.8.7:5060',
      attempts: [
        { uri: 'sip:+918040000001@127.0.20.20:5060;transport=udp', sipStatus: 180, result: 'picked_up' },
        { uri: 'sip:ann@10.9.8.7:5060', sipStatus: 200, result: 'answered' },
      ],
    });
    const events = rig.eventTypes();
    t.equal(events.filter((type) => type === 'call_started').length, 1, 'and no call of the newcomer’s own');
    whole(t, rig);
  }
  t.end();
});

t.test('early-only says no more than is so', (t) => {
  const { rig, signal, a } = ringing();
  const z = picker(signal, C, `${RINGING};early-only`);
  t.ok(z.answered);
  signal.b(1).confirmsCancel();
  a.acks();
  z.acks();
  const second = picker(signal, C, 'A2@fake;to-tag=lt;from-tag=rt;early-only');
  t.equal(second.rejected?.status, 486, 'the dialog of who took it is a confirmed one');
  a.byes();
  z.confirms();
  whole(t, rig);
  t.end();
});

t.test('after early media the answer is in another dialog of the caller’s', (t) => {
  const { rig, signal, a } = ringing();
  signal.b(1).progresses(183, B);
  signal.takeLadder();
  const z = picker(signal, C);
  z.remoteTag = 'z';
  t.match(short(signal.takeLadder()).at(-1), /^A <- 200 \[C\]/);
  signal.b(1).confirmsCancel();
  a.acks();
  z.acks();
  a.byes();
  z.confirms();
  whole(t, rig);
  t.end();
});

t.test('a caller without an offer gets that of who takes the call, which is answered by the caller’s ACK', (t) => {
  const { rig, signal, a } = ringing('');
  const z = picker(signal, C);
  signal.b(1).confirmsCancel();
  a.acks(A);
  z.acks();
  t.strictSame(short(signal.takeLadder()), [
    'A2 -> INVITE [C]',
    `B1 <- CANCEL ${ELSEWHERE}`,
    'A <- 200 [C]',
    'B1 -> 487',
    'A -> ACK [A]',
    'A2 <- 200 [A]',
    'A2 -> ACK',
  ]);
  a.byes();
  z.confirms();
  whole(t, rig);

  const gone = ringing('');
  const left = picker(gone.signal, C);
  gone.signal.b(1).confirmsCancel();
  gone.a.ends({ kind: 'ack_timeout' });
  t.equal(left.rejected?.status, 480, 'the caller never said where its media are');
  t.match(gone.rig.record, { reasonCode: 'ack_timeout' });
  whole(t, gone.rig);

  const other = ringing('');
  const withdrawn = picker(other.signal, C);
  other.signal.b(1).confirmsCancel();
  withdrawn.cancels();
  other.a.acks(A);
  other.a.confirms();
  whole(t, other.rig);
  t.end();
});

t.test('who takes the call without an offer gets the caller’s, and answers it in ACK', (t) => {
  const { rig, signal, a } = ringing();
  const z = picker(signal, '');
  signal.b(1).confirmsCancel();
  const again = picker(signal, C, 'A2@fake;to-tag=lt;from-tag=rt');
  t.equal(again.rejected?.status, 481, 'its dialog is none of our making');
  z.acks(C);
  t.strictSame(
    short(signal.takeLadder()).filter((line) => !line.startsWith('A3')),
    ['A2 -> INVITE', `B1 <- CANCEL ${ELSEWHERE}`, 'A2 <- 200 [A]', 'B1 -> 487', 'A2 -> ACK [C]', 'A <- 200 [C]'],
  );
  a.acks();
  a.byes();
  z.confirms();
  t.equal(rig.recorder.records.length, 2);
  whole(t, rig);
  t.end();
});

t.test('the ACK does not come, or brings no answer; or the caller gives up meanwhile', (t) => {
  const lost = ringing();
  const silent = picker(lost.signal, '');
  lost.signal.b(1).confirmsCancel();
  silent.ends({ kind: 'ack_timeout' });
  t.equal(lost.a.rejected?.status, 408);
  whole(t, lost.rig);

  const empty = ringing();
  const mute = picker(empty.signal, '');
  empty.signal.b(1).confirmsCancel();
  mute.acks();
  t.ok(mute.byeSent);
  mute.confirms();
  t.equal(empty.a.rejected?.status, 500);
  whole(t, empty.rig);

  const { rig, signal, a } = ringing();
  const z = picker(signal, '');
  a.cancels();
  signal.b(1).confirmsCancel();
  t.notOk(z.byeSent, 'RFC 3261 §15: not before its ACK');
  z.acks(C);
  t.ok(z.byeSent);
  z.confirms();
  t.match(rig.record, { outcome: 'cancelled' });
  whole(t, rig);
  t.end();
});

t.test('several ring together: any of them may be named, and all are cancelled', (t) => {
  const plain = new CallRig({ destinations: ['192.0.2.1', '192.0.2.2'] });
  plain.signal.call();
  const decision = [...plain.service.registry.values()][0]?.decision;
  if (decision === undefined) throw new Error('no decision');
  const [first, second] = decision.destinations;
  if (first === undefined || second === undefined) throw new Error('two');
  const { rig, signal, a } = ringing(A, {
    decide: () => ({ ...decision, destinations: [{ ...first, beside: [second] }] }),
  });
  signal.b(2).progresses(180);
  const z = picker(signal, C, 'B2@fake;to-tag=lt;from-tag=rt');
  signal.b(1).confirmsCancel();
  signal.b(2).confirmsCancel();
  a.acks();
  z.acks();
  a.byes();
  z.confirms();
  t.match(rig.record.attempts, [
    { result: 'picked_up', branches: [{ result: 'cancelled' }, { result: 'cancelled' }] },
    { result: 'answered' },
  ]);
  whole(t, rig);
  t.end();
});

t.test('refused, and the call rings on', (t) => {
  const savp = sdp('127.0.33.3', 6000, 'm=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x');
  const outbound = { direction: 'outbound', calleeSip: { refer: 'terminate' } } as const;
  const cases: readonly [string, RigOptions, string, string, string, number, RegExp][] = [
    ['of another trunk', {}, C, RINGING, '127.0.20.99', 403, /replaces_not_allowed/],
    [
      'where transfers are off',
      { calleeSip: { refer: 'off' } },
      C,
      RINGING,
      '127.0.20.20',
      403,
      /replaces_not_allowed/,
    ],
    ['at a carrier', { ...outbound, speaksFor: () => true }, C, RINGING, '127.0.20.20', 403, /replaces_not_allowed/],
    ['no codec', {}, sdp('127.0.33.3', 6000, 'm=audio 4000 RTP/AVP 9'), RINGING, '127.0.20.20', 488, /replaces_media/],
    ['encrypted', {}, savp, RINGING, '127.0.20.20', 488, /replaces_media/],
    ['other tags', {}, C, 'B1@fake;to-tag=rt;from-tag=lt', '127.0.20.20', 481, /replaces_unknown/],
    ["the caller's dialog", {}, C, 'A@fake;to-tag=lt;from-tag=rt', '127.0.20.20', 481, /replaces_unknown/],
  ];
  for (const [what, options, body, named, host, status, reason] of cases) {
    const { rig, signal, a } = ringing(A, options);
    const z = picker(signal, body, named, host);
    t.equal(z.rejected?.status, status, what);
    t.match(z.rejected?.spec.headers, [['Reason', reason]], what);
    signal.b(1).answers(B);
    a.acks();
    a.byes();
    signal.b(1).confirms();
    t.match(rig.recorder.records, [{ outcome: 'rejected', sipStatus: status }, { outcome: 'answered' }], what);
    whole(t, rig);
  }
  const { rig, signal, a } = ringing('');
  t.equal(picker(signal, '').rejected?.status, 488, 'nobody has made an offer');
  signal.b(1).answers(B);
  a.acks(A);
  a.byes();
  signal.b(1).confirms();
  whole(t, rig);
  const early = new CallRig();
  const caller = early.signal.call({ body: A });
  early.signal.b(1).tries();
  t.equal(picker(early.signal, C).rejected?.status, 481, 'RFC 3261 §12.1: 100 makes no dialog');
  caller.cancels();
  early.signal.b(1).confirmsCancel();
  whole(t, early);
  t.end();
});

t.test('two offers as each other’s answers', (t) => {
  const one = sdp(
    '127.0.33.1',
    4000,
    [
      'm=audio 4000 RTP/AVP 96 8 101',
      'a=rtpmap:96 opus/48000/2',
      'a=rtpmap:101 telephone-event/8000',
      'a=fmtp:101 0-15',
      'a=ptime:20',
      'a=rtcp-mux',
      'a=candidate:1 1 UDP 1 127.0.33.1 4000 typ host',
    ].join('\r\n'),
  );
  const two = sdp(
    '127.0.33.3',
    6000,
    [
      'a=sendonly',
      'm=video 6100 RTP/AVP 31',
      'm=audio 4000 RTP/AVP 8 0 98',
      'a=rtpmap:98 telephone-event/8000',
      'a=fmtp:98 0-11',
    ].join('\r\n'),
  );
  const answers = mutualAnswers(one, two);
  const lines = (text: string | undefined): string[] =>
    (text ?? '').split('\r\n').filter((line) => /^[ma]=/.test(line));
  t.strictSame(
    lines(answers?.toFirst),
    ['m=audio 6000 RTP/AVP 8 98', 'a=rtpmap:98 telephone-event/8000', 'a=fmtp:98 0-11', 'a=sendonly'],
    'what both have; no multiplexing that only one has, nor candidates',
  );
  t.strictSame(lines(answers?.toSecond), [
    'm=video 0 RTP/AVP 31',
    'm=audio 4000 RTP/AVP 8 101',
    'a=rtpmap:101 telephone-event/8000',
    'a=fmtp:101 0-15',
    'a=ptime:20',
    'a=recvonly',
  ]);
  const audio = (media: string): string => sdp('127.0.33.3', 6000, media);
  t.equal(mutualAnswers(one, audio('m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000')), undefined);
  t.equal(mutualAnswers(one, audio('m=audio 0 RTP/AVP 8')), undefined);
  t.equal(mutualAnswers(one, audio('m=audio 4000 RTP/AVPF 8')), undefined);
  t.equal(mutualAnswers(one, 'offer'), undefined);
  t.equal(mutualAnswers(one, ''), undefined);
  const amr = (fmtp: string): string => audio(`m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 AMR/8000/1\r\na=fmtp:97 ${fmtp}`);
  t.equal(mutualAnswers(amr('octet-align=1'), amr('mode-set=7')), undefined, 'another codec by its parameters');
  t.ok(mutualAnswers(amr('octet-align=1'), amr('octet-align=1')));
  t.end();
});
