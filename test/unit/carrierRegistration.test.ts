/** Our registrations at carriers: asked for, proved, prolonged, tried again, given back. */
import t from 'tap';
import {
  CLIENT_TABLE,
  type ClientEvent,
  type ClientState,
  refreshDelayMs,
  retryDelayMs,
} from '../../src/call/registration/client.js';
import { NO_LIMITS, decide } from '../../src/call/routing/decide.js';
import type { CarrierRegistrationView } from '../../src/call/session/registrar/carrierRegistration.js';
import { CarrierRegistrations } from '../../src/call/session/registrar/carrierRegistrations.js';
import { callRequestOf } from '../../src/call/session/request.js';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { type AskSpec, DigestServer, type HeaderEntry, type RequestOutcome } from '../../src/signal/index.js';
import { FakeMessage } from '../support/fakeSignal.js';
import { tableOf } from '../support/registrarRig.js';

const CARRIER = {
  id: 'telco',
  source_acl: [{ ip: '192.0.2.1' }],
  gateways: [{ uri: 'sip:192.0.2.1' }],
  credentials: { user_name: 'acct7', password: 'pw', realm: 'telco.example' },
  register: { registrar: '192.0.2.1:5060;transport=tcp', domain: 'telco.example', contact_user: 'line7' },
};

interface Asked {
  readonly spec: AskSpec;
  answer(status: number, headers?: readonly HeaderEntry[]): void;
  fail(kind: 'timeout' | 'transport_error'): void;
}

const made = async (document: object = { carriers: [CARRIER] }) => {
  const clock = new ManualClock();
  const asked: Asked[] = [];
  const changes: string[] = [];
  const registrations = new CarrierRegistrations({
    clock,
    random: new SeededRandom(1),
    signal: () => ({
      ask: (spec: AskSpec, done: (outcome: RequestOutcome) => void) => {
        asked.push({
          spec,
          answer: (status, headers = []) => {
            done({ kind: 'response', message: new FakeMessage({ method: 'REGISTER', status, headers }) });
          },
          fail: (kind) => done(kind === 'timeout' ? { kind } : { kind, code: 'ECONNREFUSED' }),
        });
      },
    }),
    onChange: ({ carrierId, state, cause }: CarrierRegistrationView) =>
      changes.push(`${carrierId} ${state}${cause === null ? '' : ` ${cause}`}`),
  });
  registrations.follow(await tableOf(document));
  const last = (): Asked => {
    const one = asked.at(-1);
    if (one === undefined) throw new Error('nothing was asked');
    return one;
  };
  return { clock, asked, changes, registrations, last };
};

const header = ({ spec }: Asked, name: string): string | undefined =>
  spec.headers?.find(([field]) => field === name)?.[1];

const GRANTED: readonly HeaderEntry[] = [
  ['Contact', '<sip:other@10.0.0.1>;expires=5, <sip:line7@192.0.2.77:5060;transport=tcp>;expires=100'],
];

t.test('every cell of the table', async (t) => {
  const expected: { readonly [state in ClientState]: { readonly [event in ClientEvent]: string } } = {
    idle: {
      start: 'registering send',
      granted: 'idle',
      too_brief: 'idle',
      refused: 'idle',
      due: 'idle',
      stop: 'gone finish',
    },
    registering: {
      start: 'registering',
      granted: 'registered refresh_later',
      too_brief: 'registering send_longer',
      refused: 'failed retry_later',
      due: 'registering',
      stop: 'leaving leave',
    },
    registered: {
      start: 'registered',
      granted: 'registered',
      too_brief: 'registered',
      refused: 'registered',
      due: 'refreshing send',
      stop: 'leaving leave',
    },
    refreshing: {
      start: 'refreshing',
      granted: 'registered refresh_later',
      too_brief: 'refreshing send_longer',
      refused: 'failed retry_later',
      due: 'refreshing',
      stop: 'leaving leave',
    },
    failed: {
      start: 'failed',
      granted: 'failed',
      too_brief: 'failed',
      refused: 'failed',
      due: 'registering send',
      stop: 'leaving leave',
    },
    leaving: {
      start: 'leaving',
      granted: 'gone finish',
      too_brief: 'gone finish',
      refused: 'gone finish',
      due: 'gone finish',
      stop: 'leaving',
    },
    gone: { start: 'gone', granted: 'gone', too_brief: 'gone', refused: 'gone', due: 'gone', stop: 'gone' },
  };
  for (const [state, events] of Object.entries(expected)) {
    for (const [event, text] of Object.entries(events)) {
      const { next, act } = CLIENT_TABLE[state as ClientState][event as ClientEvent];
      t.equal([next, act].filter(Boolean).join(' '), text, `${state} + ${event}`);
    }
  }
});

t.test('refreshes come well before the end; waits double, are never alike, and are bounded', async (t) => {
  t.equal(refreshDelayMs(3600, 0), 2_520_000);
  t.equal(refreshDelayMs(3600, 1), 3_060_000);
  t.equal(refreshDelayMs(1, 0), 1000, 'never a storm');
  t.strictSame(
    [1, 2, 3, 20].map((failures) => retryDelayMs(failures, 0)),
    [2_500, 5_000, 10_000, 150_000],
  );
  t.equal(retryDelayMs(50, 0.999_999) <= 300_000, true);
  t.equal(retryDelayMs(1, 0, 60), 60_000, 'Retry-After');
  t.equal(retryDelayMs(1, 0, 99_999_999), 3_600_000, 'as far as it is believed');
});

t.test('it registers with a password, prolongs by what was granted, and gives it back', async (t) => {
  const { clock, asked, changes, registrations, last } = await made();
  const first = last();
  t.match(first.spec, {
    method: 'REGISTER',
    uri: 'sip:telco.example',
    nextHop: 'sip:192.0.2.1:5060;transport=tcp',
    from: '<sip:acct7@telco.example>',
    to: '<sip:acct7@telco.example>',
    contact: '<sip:line7@localhost;transport=tcp>;expires=3600',
    cseq: 1,
  });
  const server = new DigestServer({ realm: 'telco.example', secret: 'x'.repeat(32) });
  first.answer(401, server.challenge('us', 0));
  const proved = last();
  t.equal(proved.spec.cseq, 2);
  t.equal(proved.spec.callId, first.spec.callId);
  t.match(header(proved, 'Authorization'), /algorithm=SHA-256/);
  const proof = server.check(
    [header(proved, 'Authorization') ?? ''],
    { method: 'REGISTER', uri: 'sip:telco.example', address: 'us' },
    () => ['pw'],
    0,
  );
  t.equal(proof.kind, 'proved');
  proved.answer(200, GRANTED);
  t.match(registrations.of('telco'), { state: 'registered', expiresInS: 100, lastStatus: 200, failures: 0 });
  t.strictSame(registrations.counts(), [['registered', 1]]);

  clock.advance(69_000);
  t.equal(asked.length, 2);
  clock.advance(17_000);
  t.equal(asked.length, 3, 'between 70 and 85 % of the 100 s of our contact');
  t.equal(registrations.of('telco')?.state, 'refreshing');
  last().answer(407, [['Proxy-Authenticate', 'Digest realm="telco.example", nonce="n", algorithm=MD5, qop="auth"']]);
  t.match(header(last(), 'Proxy-Authorization'), /nonce="n"/);
  last().answer(200, GRANTED);

  const left = registrations.leave();
  t.match(last().spec, { contact: '<sip:line7@localhost;transport=tcp>;expires=0' });
  t.equal(header(last(), 'Expires'), '0');
  last().answer(200);
  await left;
  t.strictSame(changes, ['telco registered', 'telco gone']);
  t.equal(clock.pending, 0);
});

t.test('a stale nonce is no failure, a refused password is, and nobody is asked in a storm', async (t) => {
  const { clock, asked, changes, last } = await made();
  const challenge = (nonce: string, stale = ''): readonly HeaderEntry[] => [
    ['WWW-Authenticate', `Digest realm="telco.example", nonce="${nonce}", qop="auth"${stale}`],
  ];
  last().answer(401, challenge('a'));
  last().answer(401, challenge('b', ', stale=true'));
  t.equal(asked.length, 3);
  last().answer(401, challenge('c'));
  t.equal(asked.length, 3, 'the password was refused');
  t.strictSame(changes, ['telco failed 401']);
  for (let i = 0; i < 20; i++) {
    clock.advance(300_000);
    last().answer(503, [['Retry-After', '400']]);
  }
  t.ok(asked.length <= 3 + 20 && asked.length >= 10, `${asked.length} in 100 minutes`);
});

t.test('somebody else’s challenge gets no answer', async (t) => {
  const { asked, changes, last } = await made();
  last().answer(401, [['WWW-Authenticate', 'Digest realm="evil.example", nonce="n", qop="auth"']]);
  t.equal(asked.length, 1);
  t.strictSame(changes, ['telco failed 401']);
});

t.test('423 is answered by what it wants, once for each that is more', async (t) => {
  const { asked, registrations, last } = await made({
    carriers: [{ ...CARRIER, register: { ...CARRIER.register, expires_seconds: 60 } }],
  });
  last().answer(423, [['Min-Expires', '600']]);
  t.match(last().spec.contact, 'expires=600');
  last().answer(423, [['Min-Expires', '600']]);
  t.equal(asked.length, 2, 'it has what it wanted');
  t.match(registrations.of('telco'), { state: 'failed', cause: '423' });
});

t.test('silence and a refused connection are failures that pass', async (t) => {
  const { clock, changes, registrations, last } = await made();
  last().fail('timeout');
  clock.advance(5_000);
  last().fail('transport_error');
  t.match(registrations.of('telco'), { state: 'failed', cause: 'transport_error', failures: 2, lastStatus: 0 });
  clock.advance(10_000);
  last().answer(200);
  t.match(
    registrations.of('telco'),
    { state: 'registered', expiresInS: 3600, failures: 0 },
    'as long as was asked for',
  );
  t.strictSame(changes, ['telco failed timeout', 'telco failed transport_error', 'telco registered']);
});

t.test(
  'it follows the routing table: carriers come, change and go; a carrier that is silent holds nothing up',
  async (t) => {
    const { clock, asked, changes, registrations, last } = await made();
    last().answer(200, GRANTED);
    const second = { ...CARRIER, id: 'other' };
    registrations.follow(await tableOf({ carriers: [CARRIER, second] }));
    t.equal(asked.length, 2, 'those that are as they were go on');
    last().answer(200, GRANTED);
    const moved = { ...CARRIER, register: { ...CARRIER.register, registrar: '192.0.2.2' } };
    registrations.follow(await tableOf({ carriers: [moved] }));
    t.strictSame(
      asked.slice(2).map(({ spec }) => [spec.nextHop, /expires=(\d+)/.exec(spec.contact ?? '')?.[1]]),
      [
        ['sip:192.0.2.1:5060;transport=tcp', '0'],
        ['sip:192.0.2.1:5060;transport=tcp', '0'],
        ['sip:192.0.2.2', '3600'],
      ],
    );
    last().answer(200, GRANTED);
    const left = registrations.leave();
    clock.advance(2_000);
    await left;
    t.equal(clock.pending, 0);
    t.strictSame(changes.filter((change) => change.endsWith('gone')).length, 3);
    asked.at(-1)?.answer(200, GRANTED);
    t.strictSame(registrations.list(), [], 'an answer that comes too late says nothing');
  },
);

t.test('a carrier that calls our contact means the number in To', async (t) => {
  const table = await tableOf({
    accounts: [{ sid: 'acme' }],
    carriers: [CARRIER],
    trunks: [
      {
        trunk_sid: 'trk',
        account_sid: 'acme',
        trunk_name: 'pbx',
        destination_uris: [{ destination: 'pbx.example' }],
        phone_numbers: [{ phone_number: '+918040000001', carrier: 'telco' }],
      },
    ],
  });
  t.ok(table.registersOut);
  t.notOk((await tableOf({})).registersOut);
  const source = { transport: 'tcp', address: '192.0.2.1', port: 5060 };
  const called = (user: string, to: string) => {
    const invite = new FakeMessage({ uri: `sip:${user}@us`, headers: [['To', `<sip:${to}@telco.example>`]] });
    const context = { limits: NO_LIMITS, nowMs: 0, random: () => 0 };
    return decide(table, callRequestOf(invite, source, table.registersOut), context);
  };
  t.equal(called('line7', '+918040000001').calledNumber.e164, '+918040000001');
  t.equal(called('line7', '+918040000001').accepted, true);
  t.equal(called('line7', 'line7').reasonCode, 'number_invalid');
  t.equal(called('+918040000001', 'line7').accepted, true, 'the number in the Request-URI, as ever');
  t.equal(called('+918040000009', '+918040000001').reasonCode, 'number_not_found', 'To alone says nothing');
});
