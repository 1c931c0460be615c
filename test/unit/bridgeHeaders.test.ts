import fc from 'fast-check';
import t from 'tap';
import { failoverAction, finalStatus, DEFAULT_FAILOVER, decisiveFailure } from '../../src/call/bridge/failover.js';
import type { AttemptFailure } from '../../src/call/bridge/failover.js';
import { HeaderPolicy, PASSED, REBUILT } from '../../src/call/bridge/headerPolicy.js';
import {
  cleanText,
  escapeUser,
  hostOf,
  mentionsPrivateHost,
  parseAddress,
  unescapeUser,
  userOf,
} from '../../src/call/bridge/headerText.js';
import { identityHeaders } from '../../src/call/bridge/identityFields.js';
import { commonInvite, nextMaxForwards, toField } from '../../src/call/bridge/legHeaders.js';
import { parseReason, q850Of, reasonHeader } from '../../src/call/bridge/reason.js';
import { Draft } from '../../src/call/routing/draft.js';
import type { Decision } from '../../src/call/routing/decision.js';
import type { HeaderEntry, InviteSpec } from '../../src/signal/port.js';
import { FakeMessage } from '../support/fakeSignal.js';

const response = (status: number): AttemptFailure => ({
  kind: 'response',
  status,
  message: new FakeMessage({ status }),
});

t.test('failover policy', async (t) => {
  t.test(
    'the default of the design: what says "this way is closed" goes on, what speaks for the callee stops',
    async (t) => {
      const next = [408, 480, 500, 502, 503, 504];
      for (let status = 300; status < 700; status++) {
        const action = failoverAction({}, response(status));
        if (next.includes(status)) t.equal(action, 'next', String(status));
        else if (status < 400) t.strictSame(action, { rewrite: 480 });
        else if (status === 401 || status === 407) t.strictSame(action, { rewrite: 403 });
        else if (status === 487) t.strictSame(action, { rewrite: 480 });
        else t.equal(action, 'stop', String(status));
      }
      for (const kind of ['silence', 'ring_timeout', 'timeout'] as const) t.equal(failoverAction({}, { kind }), 'next');
      t.equal(failoverAction({}, { kind: 'transport_error', code: 'ECONNREFUSED' }), 'next');
      t.equal(failoverAction({}, { kind: 'unresolved_host', code: 'ENOTFOUND' }), 'next');
    },
  );

  t.test('a code outranks its class, a trunk’s class outranks the default code', async (t) => {
    const policy = { '5xx': 'stop', '503': { rewrite: 480 }, silence: 'stop', transport_error: 'stop' } as const;
    t.strictSame(failoverAction(policy, response(503)), { rewrite: 480 });
    t.equal(failoverAction(policy, response(500)), 'stop');
    t.equal(failoverAction(policy, response(480)), 'next');
    t.equal(failoverAction(policy, { kind: 'timeout' }), 'stop', 'a timeout is a silence');
    t.equal(failoverAction(policy, { kind: 'unresolved_host', code: '' }), 'stop', 'a dead name is a dead way');
    t.equal(failoverAction({ '486': 'stop' }, response(486), { '4xx': 'next' }), 'stop', 'trunk before node');
    t.equal(failoverAction({}, response(404), { '4xx': 'next' }), 'next', 'node before default');
    t.equal(finalStatus({}, response(404), { '404': { rewrite: 480 } }), 480);
    t.equal(failoverAction(JSON.parse('{"__proto__": "next"}'), response(486)), 'stop');
  });

  t.test('what the caller is told is never a redirection, a challenge or a 487', async (t) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 300, max: 699 }),
        fc.constantFrom(
          'next' as const,
          'stop' as const,
          ...[200, 302, 401, 407, 487, 480].map((rewrite) => ({ rewrite })),
        ),
        (status, action) => {
          const told = finalStatus({ [String(status)]: action }, response(status));
          return told >= 400 && told <= 699 && ![401, 407, 487].includes(told);
        },
      ),
    );
    t.equal(finalStatus({}, response(404)), 404);
    t.equal(finalStatus({}, { kind: 'silence' }), 408);
    t.equal(finalStatus({}, { kind: 'ring_timeout' }), 480);
    t.equal(finalStatus({}, { kind: 'transport_error', code: '' }), 503);
  });

  t.test('the decisive failure is the last that somebody answered', async (t) => {
    const busy = response(503);
    const dead: AttemptFailure = { kind: 'silence' };
    t.equal(decisiveFailure([busy, dead]), busy);
    t.equal(decisiveFailure([dead]), dead);
    t.equal(decisiveFailure([]), undefined);
    t.ok(Object.isFrozen(DEFAULT_FAILOVER) || typeof DEFAULT_FAILOVER === 'object');
  });
});

t.test('header policy', async (t) => {
  const names = (headers: readonly HeaderEntry[]): string[] => headers.map(([name]) => name);
  const every = [...REBUILT, ...Object.keys(PASSED), 'x-custom', 'x-tandem-route', 'frobnicate'];

  t.test('each field crosses in the messages that its rule names, and in no others', async (t) => {
    const policy = new HeaderPolicy();
    const kinds = ['invite', 'progress', 'answer', 'failure', 'release', 'request', 'response'] as const;
    for (const kind of kinds) {
      const passed = names(
        policy.relay(
          kind,
          every.map((name) => [name, 'v'] as const),
        ),
      );
      t.strictSame(
        passed,
        Object.keys(PASSED).filter((name) => PASSED[name]?.includes(kind)),
        kind,
      );
    }
  });

  t.test('nothing that is rebuilt can be let through by configuration, nor Tandem’s own names', async (t) => {
    const policy = new HeaderPolicy({ pass: ['*', ...REBUILT, 'X-Tandem-Route'], strip: [] });
    const passed = names(
      policy.relay(
        'invite',
        every.map((name) => [name, 'v'] as const),
      ),
    );
    for (const name of REBUILT) t.notOk(passed.includes(name), name);
    t.notOk(passed.includes('x-tandem-route'));
    t.ok(passed.includes('x-custom') && passed.includes('frobnicate'));
  });

  t.test('prefixes, names, strip list and the bound on private fields', async (t) => {
    const policy = new HeaderPolicy({ pass: ['X-Acme-*', 'Geolocation'], strip: ['X-Acme-Secret', 'x-acme-int-*'] });
    const fields: HeaderEntry[] = [
      ['X-ACME-Id', '1'],
      ['x-acme-secret', '2'],
      ['X-Acme-Int-Id', '3'],
      ['X-Other', '4'],
      ['geolocation', '5'],
    ];
    t.strictSame(names(policy.relay('release', fields)), ['X-ACME-Id', 'geolocation']);
    const many = Array.from({ length: 100 }, (_, i): HeaderEntry => [`X-Acme-${i}`, 'v']);
    t.equal(policy.relay('invite', many).length, 32);
    t.equal(policy.relay('invite', [['Subject', 'x'.repeat(5000)]]).length, 0);
  });

  t.test('Diversion crosses on request only; values that name the inside never do', async (t) => {
    const diversion: HeaderEntry = ['Diversion', '<sip:+911@carrier.example>;reason=no-answer'];
    t.equal(new HeaderPolicy().relay('invite', [diversion]).length, 0);
    t.equal(new HeaderPolicy({ diversion: 'pass' }).relay('invite', [diversion]).length, 1);
    const inside: HeaderEntry = ['Alert-Info', '<http://10.1.2.3/ring.wav>'];
    t.equal(new HeaderPolicy().relay('invite', [inside]).length, 0);
    t.equal(new HeaderPolicy({ hidePrivateHosts: false }).relay('invite', [inside]).length, 1);
  });

  t.test('no CR, LF or NUL is ever emitted, and every name is a token', async (t) => {
    const policy = new HeaderPolicy({ pass: ['*'] });
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (name, value) => {
        for (const [passedName, passedValue] of policy.relay('invite', [
          [`X-${name}`, value],
          ['Subject', value],
        ])) {
          for (const text of [passedName, passedValue]) {
            for (let i = 0; i < text.length; i++) {
              const code = text.charCodeAt(i);
              if (code < 0x20 || code === 0x7f) return false;
            }
          }
          if (/[\s:]/.test(passedName)) return false;
        }
        return true;
      }),
    );
    t.equal(cleanText('a\r\nVia: x\0'), 'a  Via: x ');
  });
});

t.test('who calls whom, on the callee’s leg', async (t) => {
  interface Over {
    sent?: string;
    direction?: 'inbound' | 'outbound';
    e164?: string;
    asserted?: string;
    diverting?: string;
  }
  const decision = (over: Over = {}): Decision => {
    const draft = new Draft('r', {
      sourceAddress: '',
      sourcePort: 0,
      transport: 'udp',
      calledNumber: '0804',
      callerNumber: '0982',
    });
    draft.direction = over.direction ?? 'inbound';
    draft.callerSent = over.sent ?? '+919820000000';
    draft.calledE164 = over.e164 ?? '+918040000001';
    draft.asserted = over.asserted;
    draft.diverting = over.diverting;
    return draft.accept();
  };
  const invite = (
    from: string,
    headers: readonly HeaderEntry[] = [],
    of = decision(),
  ): Omit<InviteSpec, 'uri' | 'to'> =>
    commonInvite(new FakeMessage({ headers: [['From', from], ...headers], body: 'o' }), of, new HeaderPolicy()) ?? {
      from: '483',
    };

  t.test('From is rebuilt: number as decided, our host, the name when it is safe', async (t) => {
    t.equal(invite('"Ann B" <sip:0982@10.0.0.1>;tag=1').from, '"Ann B" <sip:+919820000000@localhost>');
    t.equal(invite('Ann <sip:0982@10.0.0.1>;tag=1').from, '"Ann" <sip:+919820000000@localhost>');
    t.equal(invite('sip:0982@10.0.0.1;tag=1').from, '<sip:+919820000000@localhost>');
    t.equal(invite('"a\\"b\\\\" <sip:x@y>').from, '"a\\"b\\\\" <sip:+919820000000@localhost>');
    t.equal(invite('"a\r\nVia: x" <sip:x@y>').from, '"a  Via: x" <sip:+919820000000@localhost>');
    t.equal(invite('"pbx-7.internal" <sip:x@y>').from, '<sip:+919820000000@localhost>');
    t.equal(invite(`"${'n'.repeat(129)}" <sip:x@y>`).from, '<sip:+919820000000@localhost>');
    t.equal(
      invite('"204" <sip:204@y>').from,
      '<sip:+919820000000@localhost>',
      'an extension is not shown beside an alias',
    );
    t.equal(invite('"09820000000" <sip:x@y>').from, '<sip:+919820000000@localhost>');
    t.equal(invite('"9820000000" <sip:x@y>').from, '"9820000000" <sip:+919820000000@localhost>');
    t.equal(
      invite('"Ann" <sip:ann@y>', [], decision({ sent: '' })).from,
      '"Anonymous" <sip:anonymous@anonymous.invalid>',
      'no number is shown where the decision shows none',
    );
    t.equal(
      invite('<sip:x@y>', [], decision({ sent: 'a b@c>' })).from,
      '<sip:a%20b%40c%3E@localhost>',
      'nothing leaves the user part',
    );
  });

  t.test('who asks not to be named is not', async (t) => {
    const anonymous = '"Anonymous" <sip:anonymous@anonymous.invalid>';
    for (const privacy of ['id', 'user;id', 'header;critical', 'full']) {
      const spec = invite('"Ann" <sip:0982@x>', [['Privacy', privacy]]);
      t.equal(spec.from, anonymous, privacy);
      t.strictSame(spec.headers?.[0], ['Privacy', privacy]);
    }
    t.equal(invite('<sip:anonymous@anonymous.invalid>').from, anonymous);
    t.equal(invite('"Ann" <sip:Anonymous@carrier.example>').from, anonymous);
    t.not(invite('"Ann" <sip:0982@x>', [['Privacy', 'none']]).from, anonymous);
  });

  t.test('the identity asserted by others stays behind; ours goes to carriers that ask for it only', async (t) => {
    const theirs: HeaderEntry = ['P-Asserted-Identity', '<sip:+91999@10.0.0.1>'];
    const of = decision({ direction: 'outbound', asserted: '+918040000009', diverting: '+918040000008' });
    const outbound = commonInvite(
      new FakeMessage({
        headers: [
          ['From', '<sip:204@pbx>'],
          theirs,
          ['Privacy', 'id'],
          ['Diversion', '<sip:+918040000008@10.0.0.1>;reason=No-Answer;privacy=full'],
        ],
      }),
      of,
      new HeaderPolicy(),
    );
    t.equal(outbound?.from, '"Anonymous" <sip:anonymous@anonymous.invalid>');
    t.notOk(outbound?.headers?.some(([name]) => /asserted|diversion/i.test(name)));
    const to = (identity?: object) =>
      identityHeaders(outbound?.identity, {
        uri: '',
        gateway: '',
        priority: 0,
        weight: 1,
        ...(identity && { identity }),
      });
    t.strictSame(to(), []);
    t.strictSame(to({}), []);
    t.strictSame(to({ p_asserted_identity: true }), [['P-Asserted-Identity', '<sip:+918040000009@localhost>']]);
    t.strictSame(to({ p_asserted_identity: true, diversion: true }), [
      ['P-Asserted-Identity', '<sip:+918040000009@localhost>'],
      ['Diversion', '<sip:+918040000008@localhost>;reason=no-answer'],
    ]);
    t.notOk(invite('<sip:1@c>', [theirs]).headers?.some(([name]) => name === 'P-Asserted-Identity'));
    const never = new HeaderPolicy({ assertedIdentity: 'never' });
    t.equal(commonInvite(new FakeMessage({}), of, never)?.identity?.asserted, undefined);
  });

  t.test('Max-Forwards goes down by one, and a call at its last hop goes nowhere', async (t) => {
    const hops = (value: string): number | undefined =>
      nextMaxForwards(new FakeMessage({ headers: [['Max-Forwards', value]] }));
    t.equal(hops('70'), 69);
    t.equal(hops('1'), 0);
    t.equal(hops('0'), undefined);
    t.equal(hops('99999'), 254);
    t.equal(hops('-1'), 70);
    t.equal(nextMaxForwards(new FakeMessage({})), 70);
    t.equal(invite('<sip:x@y>', [['Max-Forwards', '0']]).from, '483');
    t.strictSame(invite('<sip:x@y>', [['Max-Forwards', '5']]).headers, [['Max-Forwards', '4']]);
  });

  t.test('To is the number at the destination, without port', async (t) => {
    const to = (uri: string): string => toField(decision(), { uri, gateway: '', priority: 0, weight: 1 });
    t.equal(to('sip:1@gw.example:5070;transport=tcp'), '<sip:+918040000001@gw.example>');
    t.equal(to('sip:1@[2001:db8::1]:5070'), '<sip:+918040000001@[2001:db8::1]>');
    const carrier = { uri: 'sip:00918040000001@gw:5070', gateway: '', priority: 0, weight: 1, carrierId: 'telco' };
    t.equal(toField(decision(), carrier), '<sip:00918040000001@gw>', 'as the gateway writes it');
  });
});

t.test('address text', async (t) => {
  t.strictSame(parseAddress('"A, <b> \\"c" <sip:u@h;x=1>;tag=2'), { display: 'A, <b> "c', uri: 'sip:u@h;x=1' });
  t.strictSame(parseAddress('sip:u@h;tag=2'), { display: undefined, uri: 'sip:u@h' });
  t.strictSame(parseAddress('"open <sip:u@h>'), { display: undefined, uri: '' });
  t.strictSame(parseAddress('x <sip:u@h'), { display: undefined, uri: '' });
  t.equal(userOf('sip:+91;phone-context=x:pw@h'), '+91');
  t.equal(userOf('tel:+91-80;ext=1'), '+91-80');
  t.equal(userOf('sip:h'), '');
  t.equal(hostOf('sips:u:p@h.example:5061;transport=tls?x=y'), 'h.example');
  t.equal(hostOf('tel:+1'), '');
  t.equal(unescapeUser('%2B91%2525%zz%4'), '+91%25%zz%4', 'once, and broken escapes stay');
  t.equal(escapeUser('+1-2(3)'), '+1-2(3)');
  t.equal(escapeUser('a@b c\r\n'), 'a%40b%20c%0D%0A');

  t.test('private hosts are seen, public ones and ordinary text are not', async (t) => {
    for (const text of ['10.0.0.1', 'x@192.168.1.1:5060', '172.31.0.1', '127.0.0.1', '169.254.1.1', '100.64.0.1']) {
      t.ok(mentionsPrivateHost(text), text);
    }
    for (const text of ['[fd00::1]', '[fe80::1]', '[::1]', 'sip:x@localhost', 'http://a.b.internal/x', 'pbx.local']) {
      t.ok(mentionsPrivateHost(text), text);
    }
    for (const text of [
      '192.0.2.1',
      '172.32.0.1',
      '110.0.0.1',
      '8.10.0.0.1',
      'local news',
      'call 10.30 am',
      '00c6127.0',
    ]) {
      t.notOk(mentionsPrivateHost(text), text);
    }
  });

  t.test('anything at all is read without an exception and in linear time', async (t) => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const { uri } = parseAddress(text);
        return [userOf(uri), hostOf(uri), unescapeUser(text), escapeUser(text)].every(
          (part) => typeof part === 'string',
        );
      }),
    );
    const long = ['<', '"\\', '1.1.', '10.', ';cause=1', '%', 'a.local', 'fd00:'];
    for (const piece of long) {
      const text = piece.repeat(Math.floor(65_536 / piece.length));
      const started = performance.now();
      parseAddress(text);
      unescapeUser(text);
      mentionsPrivateHost(text);
      parseReason(text);
      q850Of([['Reason', text]]);
      t.ok(performance.now() - started < 200, piece);
    }
  });
});

t.test('Reason', async (t) => {
  t.strictSame(reasonHeader('SIP', 480, 'a "b"\r\n'), ['Reason', `SIP;cause=480;text="a 'b'  "`]);
  t.strictSame(parseReason('Q.850 ; cause=16 ; text="Terminated"'), {
    protocol: 'Q.850',
    cause: 16,
    text: 'Terminated',
  });
  t.equal(parseReason('SIP'), undefined);
  t.equal(q850Of([['Reason', 'SIP;cause=200;text="a, Q.850;cause=3", Q.850;cause=31']]), 31);
  t.equal(
    q850Of([
      ['Reason', 'SIP;cause=486'],
      ['reason', 'q.850;cause=17'],
    ]),
    17,
  );
  t.equal(q850Of([['Subject', 'Q.850;cause=17']]), undefined);
});
