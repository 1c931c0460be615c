/** The proxy's decisions, without a network: RFC 3261 §16. */
import t from 'tap';
import { SipRequest, SipResponse } from '../../src/sip/message/message.js';
import { bestOf, gatherChallenges, soften } from '../../src/sip/proxy/choice.js';
import { copyFor, hasLooped, hopsLeft, loopMarkOf, nextHopOfTarget } from '../../src/sip/proxy/forward.js';
import { RouteSeal, uriOfRoute } from '../../src/sip/proxy/recordRoute.js';
import { BRANCH, type BranchEvent, type BranchState, eventOf } from '../../src/sip/proxy/tables.js';
import type { Listener } from '../../src/sip/transport/hop.js';

const answers = (...statuses: number[]): SipResponse[] => statuses.map((status) => new SipResponse(status));
const best = (statuses: number[], withdrawn = false): number | undefined =>
  bestOf(answers(...statuses), withdrawn)?.status;

t.test('the best answer, RFC 3261 §16.7 step 6', async (t) => {
  t.equal(best([]), undefined);
  t.equal(best([500, 404, 302]), 302, 'the lowest class');
  t.equal(best([302, 603, 404]), 603, 'but 6xx before all');
  t.equal(best([404, 486]), 404, 'the first of equals');
  for (const telling of [401, 407, 415, 420, 484]) t.equal(best([404, 480, telling]), telling);
  t.equal(best([408, 486]), 486, 'silence says least');
  t.equal(best([486, 487], true), 487, 'who has cancelled hears so');
  t.equal(best([486, 487]), 486);
});

t.test('challenges go back together, 503 goes no further', async (t) => {
  const first = new SipResponse(407).add('Proxy-Authenticate', 'Digest realm="a"');
  const second = new SipResponse(401).add('WWW-Authenticate', 'Digest realm="b"');
  gatherChallenges(first, [first, second, new SipResponse(404)]);
  t.strictSame(first.headerAll('Proxy-Authenticate'), ['Digest realm="a"']);
  t.strictSame(first.headerAll('WWW-Authenticate'), ['Digest realm="b"']);
  const other = new SipResponse(404);
  gatherChallenges(other, [other, second]);
  t.equal(other.count('WWW-Authenticate'), 0);
  const softened = soften(new SipResponse(503).add('Retry-After', '9').add('Call-ID', 'x'));
  t.equal(softened.status, 500);
  t.strictSame(softened.headers(), [['Call-ID', 'x']]);
  t.equal(soften(other), other);
});

t.test('every cell of a branch', async (t) => {
  const states = Object.keys(BRANCH) as BranchState[];
  const events = Object.keys(BRANCH.calling) as BranchEvent[];
  const finals: BranchEvent[] = ['success', 'redirect', 'challenge', 'failure', 'global'];
  for (const state of states) {
    for (const event of events) {
      const { next, actions } = BRANCH[state][event];
      const name = `${state} x ${event}`;
      if (finals.includes(event) && state !== 'done') t.equal(next, 'done', `${name} ends it`);
      if (event === 'success') t.ok(actions.includes('forward_success'), `${name}: every 2xx passes`);
      if (state === 'done') t.equal(next, undefined, `${name}: over is over`);
      if (next !== undefined && next !== state && (next === 'done' || actions.includes('cancel'))) {
        t.ok(actions.includes('stop_timers'), `${name} leaves no timer`);
      }
      if (state === 'abandoned') {
        t.notOk(actions.includes('candidate') || actions.includes('timeout'), `${name}: it was counted already`);
      }
      if (actions.includes('forward')) t.ok(state === 'calling' || state === 'proceeding', name);
    }
  }
  const statuses = [100, 183, 202, 302, 401, 407, 404, 503, 603].map(eventOf);
  t.strictSame(statuses, [
    ...['trying', 'provisional', 'success', 'redirect', 'challenge', 'challenge', 'failure', 'failure', 'global'],
  ]);
});

const invite = (uri = 'sip:x@h'): SipRequest =>
  new SipRequest('INVITE', uri)
    .add('Via', 'SIP/2.0/UDP 127.0.36.2;branch=z9hG4bKa')
    .add('Max-Forwards', '10')
    .add('From', '<sip:a@h>;tag=f')
    .add('To', '<sip:b@h>')
    .add('Call-ID', 'c1')
    .add('CSeq', '1 INVITE');

t.test('the copy, §16.6', async (t) => {
  const request = invite();
  request.body = Buffer.from('body');
  const received = { request, routes: [], loopMark: 'm' };
  const copied = copyFor(received, '<sip:t@127.0.36.9:5070;x=1?Subject=no>', [
    ['X-New', '1'],
    ['X-New', '2'],
    ['From', '<sip:evil@h>'],
    ['Route', '<sip:evil;lr>'],
    ['Call-ID', 'evil'],
  ]);
  t.equal(copied?.request.uri, 'sip:t@127.0.36.9:5070;x=1');
  t.match(copied?.next, { host: '127.0.36.9', port: 5070, transport: 'udp' });
  t.equal(copied?.request.header('Max-Forwards'), '9');
  t.strictSame(copied?.request.headerAll('X-New'), ['1', '2']);
  t.equal(copied?.request.header('From'), '<sip:a@h>;tag=f');
  t.equal(copied?.request.callId, 'c1');
  t.equal(copied?.request.count('Route'), 0);
  t.equal(copied?.request.body, request.body, 'not copied');
  t.equal(request.header('Max-Forwards'), '10', 'the original is as it was');

  const loose = copyFor({ ...received, routes: ['<sip:p.h;lr>', '<sip:q.h>'] }, 'sip:t@h', undefined);
  t.match(loose, { request: { uri: 'sip:t@h' }, next: { host: 'p.h' } });
  t.strictSame(loose?.request.headerAll('Route'), ['<sip:p.h;lr>', '<sip:q.h>']);
  const strict = copyFor({ ...received, routes: ['<sip:q.h>', '<sip:r.h>'] }, 'sip:t@h', undefined);
  t.match(strict, { request: { uri: 'sip:q.h' }, next: { host: 'q.h' } });
  t.strictSame(strict?.request.headerAll('Route'), ['<sip:r.h>', '<sip:t@h>'], '§16.6 step 6');
  for (const bad of ['tel:+1', 'x', '', '<>', 'sip:h;transport=smoke']) t.equal(nextHopOfTarget(bad), undefined, bad);
});

t.test('hops and loops, §16.3', async (t) => {
  t.equal(hopsLeft(invite()), 9);
  t.equal(hopsLeft(invite().set('Max-Forwards', '0')), undefined);
  t.equal(hopsLeft(invite().remove('Max-Forwards')), 70);
  const here = [{ viaHost: '127.0.36.1', viaPort: 5060 }] as unknown as Listener[];
  const request = invite();
  const mark = loopMarkOf(request);
  t.equal(loopMarkOf(invite()), mark, 'the same request');
  t.not(loopMarkOf(invite('sip:other@h')), mark, 'a spiral has another Request-URI (§16.3 step 4)');
  t.notOk(hasLooped(request, mark, here));
  request.prepend('Via', `SIP/2.0/UDP 127.0.36.1;branch=z9hG4bKb.${mark}`);
  t.notOk(hasLooped(request, 'other', here));
  t.ok(hasLooped(request, mark, here));
  t.notOk(hasLooped(request, mark, []), 'somebody else has the same hash');
});

t.test('the seal of our routes', async (t) => {
  const listener = { contactUri: 'sip:127.0.36.1:5060' } as Listener;
  const seal = new RouteSeal('key');
  const route = seal.routeFor(listener, invite());
  t.match(route, /^<sip:127\.0\.36\.1:5060;lr;seal=[0-9a-f]{24}>$/);
  const uri = uriOfRoute(route);
  if (uri === undefined) throw new Error('no URI');
  const later = invite().set('To', '<sip:b@h>;tag=t');
  t.ok(seal.holds(uri, later), 'from the caller');
  t.ok(seal.holds(uri, invite().set('From', '<sip:b@h>;tag=t').set('To', '<sip:a@h>;tag=f')), 'from the callee');
  t.notOk(seal.holds(uri, invite().set('Call-ID', 'c2')), 'of another call');
  t.notOk(new RouteSeal('other').holds(uri, later), 'of another server');
  const forged = uriOfRoute('<sip:127.0.36.1:5060;lr;seal=short>');
  t.notOk(forged === undefined || seal.holds(forged, later));
  t.equal(uriOfRoute('nonsense'), undefined);
});
