/** Calls placed by API: what is ordered, who may, what is answered; by Tandem's own route and by Exotel's. */
import t, { type Test } from 'tap';
import type { Decision } from '../../src/call/routing/decision.js';
import type { OriginateOrder, OriginateRefusal } from '../../src/call/session/originate/order.js';
import { type Result, err, ok } from '../../src/kernel/index.js';
import { adminRig } from '../support/adminRig.js';
import { callRecord } from '../support/callRecord.js';

const account = (sid: string) => ({
  sid,
  api_keys: [
    { key: sid, token: 't' },
    { key: `${sid}-read`, token: 't', scope: 'read' },
  ],
});
const DOCUMENT = { accounts: ['acme', 'bolt', 'ops'].map(account) };
const FROM = '+918040000001';
const TO = '+919812345678';
const ORDER = { from: FROM, to: TO, flow: 'flw' };
const FORM = { From: TO, CallerId: FROM, StreamUrl: 'wss://bot.example/x', StreamType: 'bidirectional' };
const FLOW_URL = 'https://my.exotel.com/acme/exoml/start_voice/flw';
const { decision: accepted } = callRecord({});

const setUp = async (t: Test) => {
  const orders: OriginateOrder[] = [];
  const ended: string[] = [];
  let outcome: Result<Decision, OriginateRefusal> = ok({ ...accepted, accepted: true });
  const rig = await adminRig(DOCUMENT, '192.0.2.65:31000', {
    liveCall: (callId) => (callId === 'c-acme' ? { callId, accountSid: 'acme' } : undefined),
    originate: (order) => {
      orders.push(order);
      return outcome.ok ? ok({ callId: 'c-new', decision: outcome.value }) : outcome;
    },
    hangUp: (callId) => ended.push(callId) > 0,
  });
  t.teardown(() => rig.close());
  const form = (fields: object | string, as = 'acme:t', sid = 'acme') =>
    rig.ask('POST', `/v1/Accounts/${sid}/Calls/connect`, {
      as,
      body: typeof fields === 'string' ? fields : new URLSearchParams({ ...fields }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
  return {
    ...rig,
    orders,
    ended,
    form,
    place: (body: object, as = 'acme:t') => rig.ask('POST', '/api/calls', { as, body }),
    answersWith: (next: typeof outcome) => (outcome = next),
  };
};

const REFUSED: readonly (readonly [code: OriginateRefusal, own: number, exotel: number])[] = [
  ['caller_number_unknown', 403, 403],
  ['flow_unknown', 404, 400],
  ['flow_not_available', 503, 503],
  ['draining', 503, 503],
  ['node_full', 503, 503],
];
const DECIDED = [
  ['number_invalid', 484, 403, 400],
  ['number_not_found', 404, 404, 400],
  ['table_not_loaded', 503, 503, 503],
  ['destination_denied', 403, 403, 403],
] as const;

t.test('an order reaches the call path as it was meant', async (t) => {
  const { place, orders } = await setUp(t);
  const custom = { order: '7' };
  const more = { custom, caller_name: 'Zoë', ring_seconds: 20, max_seconds: 60 };
  const placed = await place({ ...ORDER, ...more });
  t.equal(placed.status, 201);
  t.match(placed.body, { call_id: 'c-new', from: FROM });
  t.match(orders[0], { ...ORDER, accountSid: 'acme', custom, callerName: 'Zoë', ringMs: 20_000, maxMs: 60_000 });
  const stream = { url: 'wss://bot.example/', dialect: 'twilio' };
  t.equal((await place({ from: FROM, to: TO, stream })).status, 201);
  t.match(orders[1]?.flow, { start: 'bot', nodes: { bot: { applet: 'voicebot', params: stream } } });
  t.equal((await place({ ...ORDER, account_sid: 'bolt' })).status, 201);
  t.equal(orders[2]?.accountSid, 'acme', 'a key calls on its own account');
  t.equal((await place({ ...ORDER, account_sid: 'bolt' }, 'ops:t')).status, 201);
  t.equal(orders[3]?.accountSid, 'bolt', 'an operator on any');
});

t.test('orders that cannot be understood', async (t) => {
  const { place, orders } = await setUp(t);
  const stream = { url: 'wss://bot.example/' };
  for (const body of [
    {},
    { from: FROM, to: TO },
    { ...ORDER, stream },
    { ...ORDER, from: '040123' },
    { ...ORDER, ring_seconds: 1 },
    { ...ORDER, max_seconds: 0 },
    { ...ORDER, custom: { 'X-Y': '1' } },
    { ...ORDER, whatever: 1 },
    { from: FROM, to: TO, stream: { url: 'ftp://bot.example/' } },
    { from: FROM, to: TO, stream: { ...stream, dialect: 'twilio', sample_rate: 16_000 } },
  ]) {
    const refused = await place(body);
    t.equal(refused.status, 400, JSON.stringify(body));
    t.match(refused.body, { error: { code: 'invalid_request', message: /./, remedy: /./ } });
  }
  t.same(orders, []);
});

t.test('orders that are refused, by both routes', async (t) => {
  const { place, form, answersWith } = await setUp(t);
  for (const [code, own, exotel] of REFUSED) {
    answersWith(err(code));
    const refused = await place(ORDER);
    t.equal(refused.status, own, code);
    t.match(refused.body, { error: { code, message: /./, remedy: /./ } });
    const theirs = await form(FORM);
    t.match(theirs, { status: exotel, body: { RestException: { Status: exotel, Message: /./ } } });
  }
  for (const [reasonCode, sipStatus, own, exotel] of DECIDED) {
    answersWith(ok({ ...accepted, accepted: false, reasonCode, sipStatus } as Decision));
    const refused = await place(ORDER);
    t.equal(refused.status, own, reasonCode);
    t.match(refused.body, { error: { code: reasonCode, message: /call c-new/ } });
    const theirs = await form(FORM);
    t.match(theirs, { status: exotel, body: { RestException: { Message: /c-new/ } } });
  }
});

t.test('a call of another account, or none, is not there to be ended; a read key neither calls nor ends', async (t) => {
  const { ask, place, form, ended, orders } = await setUp(t);
  const end = (callId: string, as: string) => ask('DELETE', `/api/calls/${callId}`, { as });
  const strange = await end('c-acme', 'bolt:t');
  const absent = await end('c-none', 'bolt:t');
  t.match(strange, { status: 404, body: { error: { code: 'call_not_found' } } });
  t.same([strange.status, strange.text], [absent.status, absent.text]);
  t.match(await end('c-acme', 'acme-read:t'), { status: 403, body: { error: { code: 'scope_missing' } } });
  t.match(await place(ORDER, 'acme-read:t'), { status: 403, body: { error: { code: 'scope_missing' } } });
  t.match(await form(FORM, 'acme-read:t'), { status: 403, body: { RestException: { Status: 403 } } });
  t.same([ended, orders], [[], []]);
  t.equal((await end('c-acme', 'acme:t')).status, 204);
  t.equal((await end('c-acme', 'ops:t')).status, 204);
  t.same(ended, ['c-acme', 'c-acme']);
});

t.test('Calls/connect: a bot by StreamUrl, a flow by Url', async (t) => {
  const { form, orders } = await setUp(t);
  const named = { StreamName: 'sales', CustomField: 'id=7 {{call.from}}', TimeLimit: '14400', TimeOut: '30' };
  const answer = await form({ ...FORM, ...named, Record: 'false', CallType: 'trans', Whatever: 'x' });
  t.equal(answer.status, 200);
  t.same(answer.body, {
    Call: {
      Sid: 'c-new',
      Status: 'in-progress',
      From: TO,
      PhoneNumberSid: FROM,
      Direction: 'outbound-api',
      DateCreated: '2026-01-01 00:00:00',
      RecordingUrl: null,
    },
  });
  const custom = { stream_name: 'sales', custom_field: 'id=7 {{call.from}}' };
  t.match(orders[0], { accountSid: 'acme', from: FROM, to: TO, custom, ringMs: 30_000, maxMs: 14_400_000 });
  t.match(orders[0]?.flow, {
    nodes: {
      bot: {
        params: {
          url: FORM.StreamUrl,
          dialect: 'exotel',
          custom_parameters: { stream_name: '{{custom.x_stream_name}}', custom_field: '{{custom.x_custom_field}}' },
        },
      },
    },
  });
  t.equal((await form({ From: '09812345678', CallerId: FROM.slice(1), Url: FLOW_URL })).status, 200);
  t.match(orders[1], { from: FROM, to: '09812345678', flow: 'flw', custom: {}, ringMs: undefined, maxMs: undefined });
});

t.test('Calls/connect: what is refused, and in which words', async (t) => {
  const { ask, form, orders, errors } = await setUp(t);
  const { StreamUrl: _url, StreamType: _type, ...bare } = FORM;
  for (const [fields, words] of [
    [{}, /mandatory/],
    [bare, /StreamUrl or Url is mandatory/],
    [{ ...bare, StreamUrl: FORM.StreamUrl }, /StreamType is mandatory/],
    [{ ...FORM, Url: FLOW_URL }, /exclude each other/],
    [{ ...bare, Url: FLOW_URL, StreamName: 'x' }, /StreamName goes with StreamUrl/],
    [{ ...bare, Url: 'https://elsewhere.example/' }, /Url must end in/],
    [{ ...FORM, StreamUrl: 'https://bot.example/' }, /ws or wss/],
    [{ ...FORM, StreamUrl: 'wss://bot.example/{{call.from}}' }, /ws or wss/],
    [{ ...FORM, StreamUrl: `wss://${'x'.repeat(600)}` }, /600/],
    [{ ...FORM, StreamType: 'one-way' }, /bidirectional/],
    [{ ...FORM, StreamName: 'x'.repeat(33) }, /32/],
    [{ ...FORM, CustomField: 'x'.repeat(129) }, /128/],
    [{ ...FORM, TimeLimit: '14401' }, /14400/],
    [{ ...FORM, TimeLimit: '0' }, /14400/],
    [{ ...FORM, TimeOut: '301' }, /300/],
    [{ ...FORM, From: 'sip:x@y' }, /From must be/],
    [{ ...FORM, CallerId: '' }, /CallerId must be/],
    [{ ...FORM, CallType: 'promo' }, /trans/],
    [{ ...FORM, Record: 'true' }, /Record is not served/],
    [{ ...FORM, StatusCallback: 'https://x.example/' }, /StatusCallback is not served/],
    [{ ...FORM, 'StatusCallbackEvents[0]': 'terminal' }, /StatusCallbackEvents\[0\] is not served/],
    [`${new URLSearchParams(FORM).toString()}&From=2`, /From is there twice/],
    [Array.from({ length: 70 }, (_, i) => `f${i}=1`).join('&'), /64 fields/],
  ] as const) {
    const refused = await form(fields);
    t.equal(refused.status, 400, JSON.stringify(fields));
    t.match(refused.body, { RestException: { Status: 400, Message: words } });
  }
  const typed = async (type: string, body: string) =>
    ask('POST', '/v1/Accounts/acme/Calls/connect', { as: 'acme:t', body, headers: { 'content-type': type } });
  t.match(await typed('application/json', '{}'), { status: 415, body: { RestException: { Message: /urlencoded/ } } });
  const BOUNDARY = '------------------------b7edea381fdd301dCZ3vuY';
  const parts = (fields: { readonly [name: string]: string }, more = ''): string =>
    `${Object.entries(fields)
      .map(([name, value]) => `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
      .join('')}${more}--${BOUNDARY}--\r\n`;
  const multipart = `multipart/form-data; boundary=${BOUNDARY}`;
  t.match(await typed(multipart, parts(FORM)), { status: 200, body: { Call: { Status: 'in-progress' } } });
  t.match(await typed(multipart, 'no form'), { status: 400, body: { RestException: { Message: /cannot be read/ } } });
  t.match(await typed('multipart/form-data', parts(FORM)), { status: 400 }, 'no boundary');
  const file = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="Record"; filename="a"\r\n\r\nx\r\n`;
  t.match(await typed(multipart, parts(FORM, file)), {
    status: 400,
    body: { RestException: { Message: /Record is a file/ } },
  });
  t.match(await form(`From=${'1'.repeat(70_000)}`), { status: 413 });
  t.match(await form(FORM, 'acme:wrong'), { status: 401, body: { RestException: { Status: 401 } } });
  const strange = await form(FORM, 'acme:t', 'bolt');
  t.equal(strange.status, 404);
  t.equal(strange.text, (await form(FORM, 'acme:t', 'none')).text);
  t.equal(orders.length, 1, 'the multipart form alone');
  t.same(errors, []);
});
