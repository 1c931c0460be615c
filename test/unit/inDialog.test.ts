/** Requests within an established call, method by method: what crosses, byte by byte, and what is answered here. */
import t from 'tap';
import { CallRig } from '../support/callRig.js';
import type { FakeIncomingLeg, FakeOutgoingLeg } from '../support/fakeSignal.js';

const ALLOW = 'INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, MESSAGE, NOTIFY, SUBSCRIBE, REFER';
/** No text in any encoding. */
const BYTES = Buffer.from([0, 13, 10, 13, 10, 0xff, 0xfe, 0x80, 0x53, 0x49, 0x50]);

const established = (): { rig: CallRig; a: FakeIncomingLeg; b: FakeOutgoingLeg } => {
  const rig = new CallRig({ direction: 'outbound', callerSip: { refer: 'off' } });
  const a = rig.signal.call();
  rig.signal.b().answers();
  a.acks();
  rig.signal.takeLadder();
  return { rig, a, b: rig.signal.b() };
};

interface Row {
  /** Fields that mean something at the other end; others stay. */
  readonly fields?: readonly (readonly [string, string])[];
  readonly type?: string;
}

const CROSSING: { readonly [method: string]: Row } = {
  'INFO dtmf-relay': { type: 'application/dtmf-relay' },
  'INFO other': {
    type: 'application/x-whatever',
    fields: [
      ['Info-Package', 'foo'],
      ['Content-Disposition', 'Info-Package'],
    ],
  },
  MESSAGE: {
    type: 'text/plain',
    fields: [
      ['Subject', 'hi'],
      ['Content-Language', 'fr'],
    ],
  },
  NOTIFY: {
    type: 'message/sipfrag',
    fields: [
      ['Event', 'refer'],
      ['Subscription-State', 'active;expires=3'],
    ],
  },
  SUBSCRIBE: {
    type: 'application/x-filter',
    fields: [
      ['Event', 'conference'],
      ['Expires', '600'],
      ['Accept', 'a/b'],
    ],
  },
  UPDATE: { type: 'application/sdp' },
};

for (const [name, { fields = [], type }] of Object.entries(CROSSING)) {
  t.test(`${name} crosses both ways, and its answer comes back`, async (t) => {
    const { rig, a, b } = established();
    const method = name.split(' ')[0] as string;
    const ways = [
      [a, b],
      [b, a],
    ] as const;
    for (const [from, to] of ways) {
      const more = [
        ['Route', '<sip:evil@x>'],
        ['X-Tandem-Trunk', '1'],
        ['P-Asserted-Identity', '<sip:1@x>'],
      ] as const;
      const owed = from.asks(method, {
        body: BYTES,
        ...(type === undefined ? {} : { contentType: type }),
        headers: [...fields, ...more],
      });
      const sent = to.pending[0]?.spec;
      t.equal(sent?.method, method);
      t.ok(sent?.body?.equals(BYTES), 'the body, byte by byte');
      t.equal(sent?.contentType, type);
      t.strictSame(sent?.headers, fields, 'and no field besides');
      to.responds(200, { body: BYTES, contentType: 'application/x-reply' });
      t.ok(owed.answers[0]?.spec.body?.equals(BYTES));
      t.equal(owed.answers[0]?.spec.contentType, 'application/x-reply');
    }
    a.byes();
    b.confirms();
    t.strictSame(rig.leftovers(), []);
  });
}

const LOCAL: readonly (readonly [method: string, status: number, allow: string | undefined])[] = [
  ['OPTIONS', 200, ALLOW],
  ['PRACK', 200, undefined],
  ['REFER', 603, undefined],
  ['PUBLISH', 405, ALLOW],
  ['REGISTER', 405, ALLOW],
  ['FROBNICATE', 501, ALLOW],
  ['constructor', 501, ALLOW],
];

for (const [method, status, allow] of LOCAL) {
  t.test(`${method} is answered here: ${status}`, async (t) => {
    const { rig, a, b } = established();
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const owed = from.asks(method, { body: 'x' });
      t.equal(owed.answers[0]?.status, status);
      t.equal(owed.answers[0]?.spec.headers?.find(([name]) => name === 'Allow')?.[1], allow);
      t.equal(to.pending.length, 0, 'and the other end hears nothing');
    }
    a.byes();
    b.confirms();
    t.strictSame(rig.leftovers(), []);
  });
}

t.test('hold in all its spellings passes both ways, offers and answers byte by byte', async (t) => {
  const offers = ['a=sendonly', 'a=inactive', 'c=IN IP4 0.0.0.0', 'a=sendrecv'].map(
    (line) =>
      `v=0\r\no=- 1 2 IN IP4 127.0.33.1\r\ns=-\r\nc=IN IP4 127.0.33.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n${line}\r\n`,
  );
  const { rig, a, b } = established();
  for (const offer of offers) {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const reinvite = from.reinvitesWith(offer);
      t.equal(to.reinvites[0]?.spec.body?.toString('latin1'), offer);
      const answer = offer.replace('sendonly', 'recvonly');
      to.respondsReinvite(200, answer);
      t.equal(reinvite.owed.answers[0]?.spec.body?.toString('latin1'), answer);
      reinvite.acks();
    }
  }
  a.byes();
  b.confirms();
  t.strictSame(rig.leftovers(), []);
});
