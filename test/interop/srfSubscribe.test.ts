/** Unmodified drachtio-srf programs with subscriptions, and with the other methods outside and inside dialogs. */
import t, { type Test } from 'tap';
import { DrachtioRig, SECRET } from '../support/drachtioRig.js';
import {
  type SrfDialog,
  type SrfProgram,
  type SrfReq,
  type SrfRes,
  event,
  failure,
  startSrf,
} from '../support/srfApp.js';

const SERVER = '127.0.36.15';
const CALLER = '127.0.36.71';
const CALLEE = '127.0.36.72';
const PRESENCE: [string, string][] = [['Event', 'presence']];
const active: [string, string][] = [...PRESENCE, ['Subscription-State', 'active;expires=60']];
const terminated: [string, string][] = [...PRESENCE, ['Subscription-State', 'terminated;reason=timeout']];

const DATA = { method: 'NOTIFY', body: 'data', headers: { event: 'presence', 'subscription-state': 'active', 'content-type': 'text/plain' } }; // prettier-ignore

async function stage(t: Test, prepare?: (srf: SrfProgram) => void) {
  const rig = await DrachtioRig.start({ address: SERVER });
  const srf = await startSrf(rig.control, SECRET, prepare);
  t.teardown(async () => {
    srf.disconnect();
    await rig.stop();
  });
  const settled = async (): Promise<void> => {
    await rig.until(({ transactions, dialogs }) =>
      [transactions, dialogs].every((ids) => (ids as unknown[]).length === 0),
    );
    t.equal(rig.engine.dump()['dialogs'], 0);
    await rig.until(() => srf.idle);
  };
  const caller = await rig.peer(CALLER, { name: 'alice' });
  return { rig, srf, settled, caller, callee: await rig.peer(CALLEE, { name: 'bob' }) };
}

t.test('createUAC of SUBSCRIBE: several NOTIFY, refresh, the notifier ends it', async (t) => {
  const { rig, srf, callee, settled } = await stage(t);
  const pending = srf.createUAC(callee.uri, { method: 'SUBSCRIBE', headers: { Event: 'presence', Expires: '60' } });
  const subscribe = await callee.expectRequest('SUBSCRIBE');
  t.match(subscribe.header('Contact'), /<sip:127\.0\.36\.15:/);
  const accepted = subscribe.respond(202, { headers: [['Contact', `<${callee.uri}>`], ['Expires', '60']] }); // prettier-ignore
  const dialog = await pending;
  t.equal(srf.findDialogById(dialog.id), dialog);
  t.match(rig.server.metrics(), /drachtio_stable_dialogs\{type="outbound"\} 0/, 'it is no call');
  const far = subscribe.dialog(accepted);
  dialog.on('notify', (_req: SrfReq, res: SrfRes) => res.send(200));
  for (let i = 0; i < 3; i++) {
    const heard = event<[SrfReq, SrfRes]>(dialog, 'notify');
    far.send('NOTIFY', { headers: active, body: `state ${i}`, contentType: 'text/plain' });
    t.equal((await heard)[0].body, `state ${i}`);
    await callee.expect('200 NOTIFY');
  }
  const refreshed = dialog.request({ method: 'SUBSCRIBE', headers: { Event: 'presence', Expires: '60' } });
  const again = await callee.expectRequest('SUBSCRIBE');
  t.equal(again.message.callId, subscribe.message.callId);
  t.ok(again.message.cseqNumber > subscribe.message.cseqNumber);
  again.respond(200, { headers: [['Expires', '60']] });
  t.equal((await refreshed).status, 200);
  // drachtio-srf knows subscriptions of its own by their To, so it sees no end in this NOTIFY; the server does.
  const last = event<[SrfReq]>(dialog, 'notify');
  far.send('NOTIFY', { headers: terminated });
  await callee.expect('200 NOTIFY');
  t.match((await last)[0].get('Subscription-State'), /terminated/);
  await settled();
});

t.test('a NOTIFY that overtakes the answer makes the dialog, and is told after it', async (t) => {
  const { rig, srf, callee, settled } = await stage(t);
  const pending = srf.createUAC(callee.uri, { method: 'SUBSCRIBE', headers: { Event: 'presence', Expires: '60' } });
  const subscribe = await callee.expectRequest('SUBSCRIBE');
  const from = `${subscribe.header('To') ?? ''};tag=${subscribe.toTag}`;
  const spec = { from, to: subscribe.header('From') ?? '', callId: subscribe.message.callId };
  const target = rig.sip();
  callee.sendRequest('NOTIFY', { ...spec, target, headers: active, body: 'early', contentType: 'text/plain' });
  await rig.until(({ dialogs }) => (dialogs as unknown[]).length === 1);
  const accepted = subscribe.respond(200, { headers: [['Contact', `<${callee.uri}>`]] });
  // A program that did not know the dialog yet would say 404.
  await callee.expect('200 NOTIFY');
  const dialog = await pending;
  t.equal(srf.findDialogById(dialog.id), dialog);
  // Another branch of the request that was forked.
  callee.sendRequest('NOTIFY', { ...spec, from: `<${callee.uri}>;tag=other`, target, headers: active });
  await callee.expect('481 NOTIFY');
  subscribe.dialog(accepted).send('NOTIFY', { headers: terminated });
  await callee.expect('200 NOTIFY');
  await settled();
});

t.test('createUAS of SUBSCRIBE: NOTIFY to the subscriber, refresh, unsubscribe, the last NOTIFY ends it', async (t) => {
  const dialogs: Promise<SrfDialog>[] = [];
  const { rig, srf, caller, settled } = await stage(t, (program) =>
    program.use('subscribe', (req, res) => {
      dialogs.push(program.createUAS(req, res, { headers: { Expires: '60' } }));
    }),
  );
  const call = caller.sendRequest('SUBSCRIBE', { target: rig.sip(), headers: [...PRESENCE, ['Expires', '60']] });
  const accepted = await caller.expect('202 SUBSCRIBE');
  t.match(accepted.header('Contact'), /<sip:127\.0\.36\.15:/);
  const dialog = (await dialogs[0]) as SrfDialog;
  t.equal(srf.findDialogById(dialog.id), dialog);
  const far = call.dialog(accepted);
  for (let i = 0; i < 2; i++) {
    const told = dialog.request(DATA);
    const notify = await caller.expectRequest('NOTIFY');
    t.equal(notify.uri, caller.uri);
    t.equal(notify.text, 'data');
    t.match(notify.header('Contact'), /<sip:127\.0\.36\.15:/, 'RFC 6665 §8.2.1');
    notify.respond(200);
    t.equal((await told).status, 200);
  }
  const refreshing = event<[SrfReq, SrfRes]>(dialog, 'subscribe');
  far.send('SUBSCRIBE', { headers: [...PRESENCE, ['Expires', '60']] });
  const [, res] = await refreshing;
  res.send(200, { headers: { Expires: '60' } });
  await caller.expect('200 SUBSCRIBE');

  const unsubscribed = event(dialog, 'unsubscribe');
  far.send('SUBSCRIBE', { headers: [...PRESENCE, ['Expires', '0']] });
  await caller.expect('202 SUBSCRIBE');
  await unsubscribed;
  const destroyed = dialog.destroy();
  const last = await caller.expectRequest('NOTIFY');
  t.match(last.header('Subscription-State'), /terminated/);
  last.respond(200);
  await destroyed;
  await settled();
});

t.test('a subscription that the other side has forgotten, or that is refused, is gone', async (t) => {
  const dialogs: Promise<SrfDialog>[] = [];
  const { rig, srf, caller, callee, settled } = await stage(t, (program) =>
    program.use('subscribe', (req, res) => void dialogs.push(program.createUAS(req, res, {}))),
  );
  caller.sendRequest('SUBSCRIBE', { target: rig.sip(), headers: PRESENCE });
  await caller.expect('202 SUBSCRIBE');
  const dialog = (await dialogs[0]) as SrfDialog;
  const told = dialog.request(DATA);
  (await caller.expectRequest('NOTIFY')).respond(481);
  t.equal((await told).status, 481);
  await settled();
  const refused = failure(srf.createUAC(callee.uri, { method: 'SUBSCRIBE', headers: { Event: 'presence' } }));
  (await callee.expectRequest('SUBSCRIBE')).respond(489);
  t.equal((await refused).status, 489);
  await settled();
});

t.test('a program that is lost leaves no subscriptions behind', async (t) => {
  const rig = await DrachtioRig.start({ address: SERVER });
  t.teardown(() => rig.stop());
  const caller = await rig.peer(CALLER, { name: 'alice' });
  const callee = await rig.peer(CALLEE, { name: 'bob' });
  const app = await rig.app('subscribe');
  caller.sendRequest('SUBSCRIBE', { target: rig.sip(), headers: PRESENCE });
  const { txnId } = await app.expect('SUBSCRIBE');
  await app.askSip(`${txnId}|`, 'SIP/2.0 200 OK');
  await caller.expect('200 SUBSCRIBE');
  await app.askSip('|', `SUBSCRIBE ${callee.uri} SIP/2.0`, 'Event: presence;id=7');
  (await callee.expectRequest('SUBSCRIBE')).respond(200, { headers: [['Contact', `<${callee.uri}>`]] });
  await app.expect('200 SUBSCRIBE');
  app.close();
  t.match((await caller.expectRequest('NOTIFY')).header('Subscription-State'), /terminated/);
  const ended = await callee.expectRequest('SUBSCRIBE');
  t.equal(ended.header('Expires'), '0');
  t.equal(ended.header('Event'), 'presence;id=7');
  await rig.until(({ dialogs }) => (dialogs as unknown[]).length === 0);
});

t.test('requests outside dialogs, both ways: MESSAGE, OPTIONS, INFO, PUBLISH, REGISTER, REFER, NOTIFY', async (t) => {
  const methods = ['MESSAGE', 'OPTIONS', 'INFO', 'PUBLISH', 'REGISTER', 'REFER', 'NOTIFY'];
  const { rig, srf, caller, callee, settled } = await stage(t, (program) => {
    for (const method of methods) {
      program.use(method.toLowerCase(), (req, res) =>
        res.send(202, {
          headers: { 'X-Was': req.method, ...(method === 'REGISTER' ? { Contact: req.get('Contact') } : {}) },
        }),
      );
    }
  });
  for (const method of methods) {
    caller.sendRequest(method, { target: rig.sip(), headers: [['Refer-To', `<${callee.uri}>`], ...active] });
    const answer = await caller.expect(`202 ${method}`);
    t.equal(answer.header('X-Was'), method);
    if (method === 'REGISTER') t.equal(answer.header('Contact'), `<${caller.uri}>`);
    const answered = new Promise<SrfRes>((resolve, reject) =>
      srf.request(callee.uri, { method, headers: { 'Refer-To': '<sip:x@h>', 'X-Out': method } }, (error, request) => {
        if (error !== null) reject(error);
        else request.on('response', resolve);
      }),
    );
    const request = await callee.expectRequest(method);
    t.equal(request.header('X-Out'), method);
    request.respond(200);
    t.equal((await answered).status, 200);
  }
  await settled();
});
