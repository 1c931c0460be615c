/** What each end is told of who calls and who sent the call on, rule by rule and in both directions. */
import t from 'tap';
import { causeOf, forwardingOf } from '../../src/call/bridge/forwarding.js';
import { HeaderPolicy, type MessageKind } from '../../src/call/bridge/headerPolicy.js';
import { HEADER_RULES } from '../../src/call/bridge/headerRules.js';
import { asksForPrivacy, identityHeaders, identityOf, wantsMorePrivacy } from '../../src/call/bridge/identityFields.js';
import { commonInvite } from '../../src/call/bridge/legHeaders.js';
import { Draft } from '../../src/call/routing/draft.js';
import type { Decision, Destination } from '../../src/call/routing/decision.js';
import type { HeaderSettings } from '../../src/call/routing/headerSettings.js';
import type { HeaderEntry } from '../../src/signal/port.js';
import { CallRig } from '../support/callRig.js';
import { FakeMessage } from '../support/fakeSignal.js';

const NUMBER = '+918040000001';
const CALLED = '+447700900123';
const DIVERTING = '+918040000009';

const message = (headers: readonly HeaderEntry[] = []): FakeMessage =>
  new FakeMessage({ method: 'INVITE', headers: [['From', `<sip:${NUMBER}@pbx.example>;tag=a`], ...headers] });

const destination = (headers: HeaderSettings | undefined, carrierId: string | undefined): Destination => ({
  ...{ uri: `sip:${CALLED}@192.0.2.1`, gateway: '192.0.2.1', priority: 0, weight: 1, carrierId },
  ...(headers === undefined ? {} : { sip: { headers } }),
});

const decided = (direction: 'inbound' | 'outbound', to: Destination, caller?: HeaderSettings): Decision => {
  const request = {
    sourceAddress: '192.0.2.9',
    sourcePort: 5060,
    transport: 'udp',
    calledNumber: CALLED,
    callerNumber: NUMBER,
  };
  const draft = new Draft('1', request);
  Object.assign(draft, { direction, calledE164: CALLED, callerSent: NUMBER, destinations: [to] });
  if (caller !== undefined) draft.sip = { headers: caller };
  if (direction === 'outbound') Object.assign(draft, { asserted: NUMBER, diverting: DIVERTING });
  return draft.accept();
};

/** Identity headers of one destination's INVITE. */
const told = (
  direction: 'inbound' | 'outbound',
  headers: HeaderSettings | undefined,
  from: readonly HeaderEntry[] = [],
  caller?: HeaderSettings,
): readonly HeaderEntry[] => {
  const to = destination(headers, direction === 'outbound' ? 'telco' : undefined);
  return identityHeaders(identityOf(message(from), decided(direction, to, caller), true), to);
};

const PAI: HeaderEntry = ['P-Asserted-Identity', `"Bob" <sip:${NUMBER}@carrier.example>`];
const RPID: HeaderEntry = ['Remote-Party-ID', `<sip:${NUMBER}@carrier.example>;party=calling;screen=yes`];
const DIVERSION: HeaderEntry = ['Diversion', `<sip:${DIVERTING}@10.0.0.1>;reason=user-busy;counter=2, <sip:1@x>`];
const HISTORY: HeaderEntry = [
  'History-Info',
  `<sip:${DIVERTING}@10.0.0.1?Reason=SIP%3Bcause%3D486>;index=1, <sip:${CALLED}@x;cause=486>;index=1.1;mp=1`,
];
const ID: HeaderEntry = ['Privacy', 'id'];
const own = (number: string): string => `<sip:${number}@localhost>`;
const asserted: HeaderEntry = ['P-Asserted-Identity', own(NUMBER)];
const diverted = (reason: string): HeaderEntry => ['Diversion', `${own(DIVERTING)};reason=${reason}`];
const history = (cause: number): HeaderEntry => [
  'History-Info',
  `${own(DIVERTING)};index=1, <sip:${CALLED}@localhost;cause=${cause}>;index=1.1;mp=1`,
];
const party = (privacy: 'off' | 'full'): HeaderEntry => [
  'Remote-Party-ID',
  `${own(NUMBER)};party=calling;screen=yes;privacy=${privacy}`,
];

type Row = readonly [name: string, got: readonly HeaderEntry[], wanted: readonly HeaderEntry[]];

const ROWS: readonly Row[] = [
  // Outbound: a carrier, of our trust domain unless it says otherwise.
  ['nobody asks', told('outbound', undefined), []],
  ['asserted', told('outbound', { identity: 'asserted' }), [asserted]],
  ['preferred', told('outbound', { identity: 'preferred' }), [['P-Preferred-Identity', own(NUMBER)]]],
  ['remote_party', told('outbound', { identity: 'remote_party' }), [party('off')]],
  ['both', told('outbound', { identity: 'both' }), [asserted, party('off')]],
  ['none', told('outbound', { identity: 'none' }), []],
  ['withheld, a trusted carrier', told('outbound', { identity: 'both' }, [ID]), [asserted, party('full')]],
  ['withheld, an untrusted one', told('outbound', { identity: 'both', diversion: 'both', trusted: false }, [ID]), []],
  ['untrusted, nothing withheld', told('outbound', { identity: 'asserted', trusted: false }), [asserted]],
  ['Privacy: none', told('outbound', { identity: 'asserted', trusted: false }, [['Privacy', 'none']]), [asserted]],
  [
    'what the caller asserts is not copied',
    told('outbound', { identity: 'asserted' }, [['P-Asserted-Identity', '<sip:+15550100@evil.example>']]),
    [asserted],
  ],
  ['diversion', told('outbound', { diversion: 'diversion' }, [DIVERSION]), [diverted('user-busy')]],
  ['history_info', told('outbound', { diversion: 'history_info' }, [DIVERSION]), [history(486)]],
  ['both forms', told('outbound', { diversion: 'both' }, [HISTORY]), [diverted('user-busy'), history(486)]],
  [
    'a reason that is none',
    told('outbound', { diversion: 'diversion' }, [['Diversion', '<sip:1@x>;reason="a b\\"c"']]),
    [diverted('a')],
  ],
  // Inbound: a trunk, outside of it unless it says otherwise.
  ['in: nobody asks', told('inbound', undefined, [PAI]), []],
  ['in: asserted by a carrier', told('inbound', { identity: 'asserted' }, [PAI]), [asserted]],
  ['in: by Remote-Party-ID', told('inbound', { identity: 'asserted' }, [RPID]), [asserted]],
  ['in: for old gear', told('inbound', { identity: 'remote_party' }, [PAI]), [party('off')]],
  [
    'in: by a carrier that is not trusted',
    told('inbound', { identity: 'both', diversion: 'both' }, [PAI, DIVERSION], { trusted: false }),
    [],
  ],
  ['in: withheld', told('inbound', { identity: 'both', diversion: 'both' }, [PAI, DIVERSION, ID]), []],
  [
    'in: withheld, a trusted trunk',
    told('inbound', { identity: 'both', trusted: true }, [PAI, ID]),
    [asserted, party('full')],
  ],
  ['in: no number', told('inbound', { identity: 'asserted' }, [['P-Asserted-Identity', '<sip:bob%0d%0aX:1@x>']]), []],
  ['in: diversion', told('inbound', { diversion: 'diversion' }, [DIVERSION]), [diverted('user-busy')]],
  ['in: diversion from history', told('inbound', { diversion: 'diversion' }, [HISTORY]), [diverted('user-busy')]],
  ['in: history from diversion', told('inbound', { diversion: 'history_info' }, [DIVERSION]), [history(486)]],
];

for (const [name, got, wanted] of ROWS) t.test(`identity: ${name}`, async (t) => t.strictSame(got, wanted));

t.test('the old switches of carriers go on working', async (t) => {
  const to: Destination = {
    ...destination(undefined, 'telco'),
    identity: { p_asserted_identity: true, diversion: true },
  };
  const identity = identityOf(message([DIVERSION]), decided('outbound', to), true);
  t.strictSame(identityHeaders(identity, to), [asserted, diverted('user-busy')]);
  t.strictSame(identityHeaders(identityOf(message(), decided('outbound', to), false), to), [diverted('unconditional')]);
});

t.test('RFC 7544: reasons and causes, both ways', async (t) => {
  for (const [reason, cause] of [
    ['unconditional', 302],
    ['user-busy', 486],
    ['no-answer', 408],
    ['deflection', 480],
    ['unavailable', 503],
    ['away', 404],
  ] as const) {
    t.equal(causeOf(reason), cause);
    const read = forwardingOf(message([['History-Info', `<sip:1@x>;index=1, <sip:2@x;cause=${cause}>;index=1.1`]]));
    t.strictSame(read, { number: '1', reason: reason === 'away' ? 'unknown' : reason });
  }
  t.equal(forwardingOf(message([['History-Info', '<sip:1@x>;index=1, <sip:2@x>;index=1.1']])), undefined, 'no cause');
  t.equal(forwardingOf(message([['Diversion', '<sip:a@x>']])), undefined);
  t.equal(forwardingOf(message([['History-Info', '<'.repeat(60_000)]])), undefined);
});

t.test('Privacy: its words', async (t) => {
  for (const value of ['id', 'ID', 'header;id', 'user', 'full', 'session; user;critical'])
    t.ok(asksForPrivacy(value), value);
  for (const value of ['none', 'none;id', 'session', 'critical', 'identity', '', 'history'])
    t.notOk(asksForPrivacy(value), value);
});

t.test('header and user privacy leave out what names the caller; From is anonymous', async (t) => {
  const to = destination(undefined, 'telco');
  const fields: HeaderEntry[] = [
    ['Subject', 's'],
    ['Organization', 'o'],
    ['Alert-Info', '<a>'],
  ];
  const names = (privacy: string): string[] | undefined =>
    commonInvite(message([...fields, ['Privacy', privacy]]), decided('outbound', to), new HeaderPolicy())?.headers?.map(
      ([name]) => name,
    );
  t.strictSame(names('header'), ['Alert-Info', 'Privacy', 'Max-Forwards']);
  t.strictSame(names('user'), ['Alert-Info', 'Privacy', 'Max-Forwards']);
  t.strictSame(names('id'), ['Subject', 'Organization', 'Alert-Info', 'Privacy', 'Max-Forwards']);
  const anonymous = commonInvite(message([ID]), decided('outbound', to), new HeaderPolicy());
  t.equal(anonymous?.from, '"Anonymous" <sip:anonymous@anonymous.invalid>', 'RFC 3323 §4.1.1.3');
});

const KINDS: readonly MessageKind[] = ['invite', 'progress', 'answer', 'failure', 'release', 'request', 'response'];

t.test('every row of the table, in every kind of message, both ways, by every switch', async (t) => {
  const node = new HeaderPolicy({ pass: ['*'] });
  const plain = new HeaderPolicy();
  for (const rule of HEADER_RULES) {
    const { name, does, in: kinds = [], switch: key, unless } = rule;
    t.match(rule.rfc, /^(?:RFC \d+ §|draft-)/, name);
    for (const kind of KINDS) {
      const crosses = (policy: HeaderPolicy): boolean => policy.relay(kind, [[name, 'v']]).length === 1;
      if (does !== 'crosses') {
        for (const policy of [
          node,
          plain,
          plain.between({ pass: [name] }, { pass: [name] }),
          plain.among({ pass: [name] }, { pass: [name] }),
        ])
          t.notOk(crosses(policy), `${name} never`);
        continue;
      }
      const means = kinds.includes(kind);
      if (key === undefined) {
        t.equal(crosses(plain), means, `${name} ${kind}`);
        t.notOk(crosses(plain.between({ strip: [name] }, undefined)), `${name} stripped by its sender`);
        t.notOk(crosses(plain.between(undefined, { strip: [name] })), `${name} stripped by its receiver`);
        continue;
      }
      t.equal(crosses(plain), means && unless !== 'strip', `${name} ${kind} unless said`);
      t.equal(
        crosses(plain.between(undefined, { [key]: 'pass' })),
        means,
        `${name} ${kind} where the receiver wants it`,
      );
      t.notOk(crosses(plain.between(undefined, { [key]: 'strip' })), `${name} not where it does not`);
      t.notOk(crosses(plain.between({ [key]: 'strip' }, { [key]: 'pass' })), `${name} not from where it is stripped`);
      t.equal(crosses(plain.among({ [key]: 'pass' }, { [key]: 'pass' })), means, `${name} where both want it`);
      if (unless === 'strip') t.notOk(crosses(plain.among(undefined, { [key]: 'pass' })), `${name} where one does`);
    }
  }
});

t.test('private fields: by the list of the receiver, in what follows by both', async (t) => {
  const policy = new HeaderPolicy();
  const fields: HeaderEntry[] = [
    ['X-Acme-Id', '1'],
    ['X-Other', '2'],
    ['X-Tandem-Id', '3'],
  ];
  const names = (of: HeaderPolicy): string[] => of.relay('invite', fields).map(([name]) => name);
  t.strictSame(names(policy), []);
  t.strictSame(names(policy.between(undefined, { pass: ['x-acme-*', 'X-Tandem-Id'] })), ['X-Acme-Id']);
  t.strictSame(names(policy.between({ pass: ['X-Acme-*'] }, undefined)), []);
  t.strictSame(names(policy.between({ strip: ['X-Acme-Id'] }, { pass: ['X-Acme-*'] })), []);
  t.strictSame(names(policy.among({ pass: ['X-Acme-*'] }, undefined)), []);
  t.strictSame(names(policy.among({ pass: ['x-acme-*'] }, { pass: ['X-Acme-*', 'X-Other'] })), ['X-Acme-Id']);
  const one: HeaderSettings = { pass: ['X-Acme-*'] };
  t.equal(policy.between(undefined, one), policy.between(undefined, one), 'made once for a pair');
  t.equal(policy.between(undefined, undefined), policy, 'and costs nothing where nobody says anything');
});

t.test(
  'Privacy: critical with what is not served refuses the call (RFC 3323 §5); without it the call goes on',
  async (t) => {
    const REFUSED = [
      'session;critical',
      'critical; session',
      'id;session;critical',
      'critical,frobnicate',
      'Critical;Session',
    ];
    const SERVED = [
      undefined,
      '',
      'session',
      'critical',
      'id;critical',
      'header;user;critical',
      'none;session;critical',
      'frobnicate',
    ];
    for (const value of [...REFUSED, `critical;${'x'.repeat(300)}`]) t.ok(wantsMorePrivacy(value), value);
    for (const value of SERVED) t.notOk(wantsMorePrivacy(value), String(value));
    for (const value of ['session;critical', 'session']) {
      const rig = new CallRig();
      const a = rig.signal.call({ headers: [['Privacy', value]] });
      t.equal(rig.signal.outgoing.length, value === 'session' ? 1 : 0, 'nobody is called');
      if (value === 'session') {
        a.cancels();
        rig.signal.b().confirmsCancel();
      } else {
        t.equal(a.rejected?.status, 500);
        t.match(rig.record, { outcome: 'rejected', reasonCode: 'privacy_not_served', sipStatus: 500 });
      }
      t.same(rig.leftovers(), []);
    }
  },
);
