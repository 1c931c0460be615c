import t from 'tap';
import { type AppRequest, type AppResponse, parseAppMessage } from '../../src/drachtio/appMessage.js';
import { dialogToken, timeOfDay } from '../../src/drachtio/envelope.js';
import {
  cancelHeaders,
  headerName,
  inDialogFields,
  lacksContentType,
  requestSpec,
  responsePlan,
} from '../../src/drachtio/headerRules.js';
import { RouteTable } from '../../src/drachtio/routes.js';
import { ManualClock } from '../../src/kernel/index.js';

function parse(...lines: string[]): AppRequest | AppResponse {
  const parsed = parseAppMessage(Buffer.from(lines.join('\r\n')));
  if (!parsed.ok) throw new Error(`not parsed: ${parsed.error}`);
  return parsed.value;
}
const request = (...lines: string[]): AppRequest => parse('INVITE sip:b@h SIP/2.0', ...lines) as AppRequest;
const response = (...lines: string[]): AppResponse => parse(...lines) as AppResponse;

t.test('application text is read leniently', async (t) => {
  const message = request('from:  <sip:a@localhost> ', 'X-Long: one', '\ttwo', 'no colon here', '', 'v=0\r\n\r\nrest');
  t.strictSame(message.headers, [
    ['from', '<sip:a@localhost>'],
    ['X-Long', 'one two'],
  ]);
  t.equal(message.body.toString(), 'v=0\r\n\r\nrest', 'the body may contain blank lines');
  t.equal(message.uri, 'sip:b@h');
  const bare = response('SIP/2.0 200');
  t.match(bare, { status: 200, reason: '' });
  t.equal(response('SIP/2.0 180 Ringing ünd', '', '').reason, Buffer.from('Ringing ünd').toString('latin1'));
  for (const bad of [
    '',
    'INVITE',
    'INVITE sip:b@h',
    'IN VITE sip:b@h SIP/2.0',
    'I\x00NVITE sip:b SIP/2.0',
    'SIP/2.0 99 X',
  ]) {
    t.notOk(parseAppMessage(Buffer.from(bad)).ok, JSON.stringify(bad));
  }
  t.strictSame(parseAppMessage(Buffer.from('NONSENSE\r\n\r\n')), { ok: false, error: 'NONSENSE' });
});

t.test('fields that could split the message or bear no name are dropped', async (t) => {
  const message = request('X-A: a\rVia: evil', 'X-B: a\nVia: evil', 'Bad Name: x', 'X-C: ok\x00', 'X-D: fine', '', '');
  t.strictSame(message.headers, [['X-D', 'fine']]);
});

t.test('the body is what follows the blank line, whatever Content-Length says', async (t) => {
  const message = request('Content-Length: 8', '', 'v=0 grün😀');
  t.equal(message.body.toString('utf8'), 'v=0 grün😀');
});

t.test('names are written as servers write them', async (t) => {
  t.equal(headerName('foo-bar'), 'Foo-Bar');
  t.equal(headerName('X-Foo-bar'), 'X-Foo-bar');
  t.equal(headerName('x-foo-bar'), 'x-foo-bar');
  t.equal(headerName('call-id'), 'Call-ID');
  t.equal(headerName('cseq'), 'CSeq');
  t.equal(headerName('rack'), 'RAck');
  t.equal(headerName('f'), 'From');
  t.equal(headerName('www-authenticate'), 'WWW-Authenticate');
  t.equal(headerName('P-Custom-thing'), 'P-Custom-Thing');
});

t.test('a request keeps identity and contact apart and drops what is the engine’s', async (t) => {
  const message = request(
    ...['from: "Al" <sip:a@localhost>;tag=mine', 'to: <sip:b@h>', 'call-id: c1', 'CSeq: 8 INVITE'],
    ...['contact: "Al" <sip:a@localhost>', 'Via: x', 'Route: <sip:r>', 'record-route: <sip:r>', 'RSeq: 1'],
    ...['Content-Length: 3', 'X-One: 1', 'subject: s', '', 'v=0'],
  );
  const spec = requestSpec(message, '10.0.0.1:5080');
  t.match(spec, {
    method: 'INVITE',
    uri: 'sip:b@h',
    nextHop: 'sip:10.0.0.1:5080',
    from: '"Al" <sip:a@localhost>;tag=mine',
    to: '<sip:b@h>',
    callId: 'c1',
    cseq: 8,
    contact: '"Al" <sip:a@localhost>',
  });
  t.strictSame(spec.headers, [
    ['X-One', '1'],
    ['Subject', 's'],
    ['Content-Type', 'application/sdp'],
  ]);
  t.equal(requestSpec(message, 'sip:p.example;transport=tcp').nextHop, 'sip:p.example;transport=tcp');
  t.equal(requestSpec(message, 'p.example').nextHop, 'sip:p.example');
  t.equal(requestSpec(message, '').nextHop, undefined);
  const inDialog = inDialogFields(message);
  t.equal(inDialog.cseq, 8);
  t.strictSame(inDialog.headers, [['Contact', '"Al" <sip:a@localhost>'], ...(spec.headers ?? [])]);
  t.strictSame(
    cancelHeaders(request('Reason: SIP;cause=200', 'X-Why: y', 'From: <sip:a@b>', 'Contact: <sip:c>', '', '')),
    [
      ['Reason', 'SIP;cause=200'],
      ['X-Why', 'y'],
    ],
  );
});

t.test('numbers that are none are dropped', async (t) => {
  const message = request('Expires: abc', 'Max-Forwards: 70, 70', 'Max-Forwards: 12', 'Min-Expires: 60', '', '');
  t.strictSame(requestSpec(message, '').headers, [
    ['Max-Forwards', '12'],
    ['Min-Expires', '60'],
  ]);
});

t.test('CSeq numbers that do not fit are left to the engine', async (t) => {
  for (const cseq of ['x INVITE', '2147483648 INVITE', '-1 INVITE', '']) {
    t.equal(requestSpec(request(`CSeq: ${cseq}`, '', ''), '').cseq, undefined, cseq);
  }
});

t.test('a body must say what it is, unless it looks like SDP', async (t) => {
  t.ok(lacksContentType(request('', 'hello')));
  t.notOk(lacksContentType(request('', 'v=0\r\n')));
  t.notOk(lacksContentType(request('content-type: text/plain', '', 'hello')));
  t.notOk(lacksContentType(request('', '')));
  t.strictSame(requestSpec(request('c: text/plain', '', 'v=0'), '').headers, [['Content-Type', 'text/plain']]);
});

t.test('a response brings its tag, its fields, and whether it is reliable', async (t) => {
  const plan = responsePlan(
    response(
      'SIP/2.0 183 Session Progress',
      'to: <sip:a@b>;tag=mine',
      'cseq: 1 INVITE',
      'require: 100rel, timer',
      '',
      'v=0',
    ),
  );
  t.ok(plan.reliable);
  t.equal(plan.fields.toTag, 'mine');
  t.equal(plan.fields.reason, 'Session Progress');
  t.strictSame(plan.fields.headers, [
    ['Require', 'timer'],
    ['Content-Type', 'application/sdp'],
  ]);
  t.strictSame(responsePlan(response('SIP/2.0 180 Ringing', 'Require: 100rel', '', '')).fields.headers, []);
  const final = responsePlan(response('SIP/2.0 200 OK', 'To: <sip:a@b>', 'Require: 100rel', '', 'unlabelled'));
  t.notOk(final.reliable);
  t.equal(final.fields.toTag, undefined);
  t.strictSame(final.fields.headers, [['Require', '100rel']]);
});

t.test('the time of day is UTC with microseconds', async (t) => {
  t.equal(timeOfDay(new ManualClock(Date.UTC(2026, 4, 6, 7, 8, 9) + 45)), '07:08:09.045000');
  t.equal(timeOfDay(new ManualClock(Date.UTC(2026, 4, 6, 23, 59, 59) + 999)), '23:59:59.999000');
});

t.test('a Call-ID cannot break the line that carries it', async (t) => {
  t.equal(dialogToken('a|b\r\nc;from-tag=x'), 'a_b__c;from-tag=x');
});

t.test('routes take turns, once each, and survive those who leave', async (t) => {
  const routes = new RouteTable<string>();
  t.equal(routes.pick('invite'), undefined);
  for (const name of ['a', 'b', 'b', 'c', 'a']) routes.add('invite', name);
  routes.add('options', 'a');
  const picks = (n: number): string => Array.from({ length: n }, () => routes.pick('invite')).join('');
  t.equal(picks(6), 'abcabc');
  t.equal(picks(1), 'a');
  routes.remove('invite', 'a');
  t.equal(picks(3), 'bcb', 'the turn stays whose it was');
  routes.remove('invite', 'nobody');
  t.equal(routes.pick('options'), 'a', 'removing one verb leaves the others');
  t.strictSame(routes.dump(), { invite: 2, options: 1 });
  routes.removeAll('b');
  t.equal(picks(2), 'cc');
  routes.removeAll('c');
  t.equal(routes.pick('invite'), undefined);
});
