/**
 * Two nodes on one Redis: a telephone that is connected to one is called through the other, over the connection of the first.
 * Then that one dies.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { bounded } from '../support/endpoints.js';
import { Baresip } from '../support/endpointsBaresip.js';
import { publishRouting } from '../support/publishRouting.js';
import { RedisServer } from '../support/redisServer.js';
import { SipPeer } from '../support/sipPeer.js';
import { Sipp, type SippResult } from '../support/sipp.js';
import { has, went } from '../support/sippChecks.js';
import { TandemNode } from '../support/tandemNode.js';
import { callIdOf } from '../support/tandemNodeSite.js';

const PORT = 17_400;
const NODES_PORT = 17_450;
const CARRIER = '127.0.74.30';
const FALLBACK = '127.0.74.31';
const FOREIGN = '+919812345678';
const SECRET = 'gr8-secret';
/** A machine that is busy with other tests may keep Redis waiting; the node connects anew and says so. */
const STALLED = /store_unreachable|cannot be stored/;

const LINES = { desk: '+918040000701', spare: '+918040000702' } as const;
type LineName = keyof typeof LINES;

const routing = {
  accounts: [{ sid: 'demo' }],
  carriers: [{ id: 'telco', kind: 'byo', source_acl: [{ ip: CARRIER }], gateways: [{ uri: `sip:${CARRIER}:17500` }] }],
  trunks: (['desk', 'spare'] as const).map((user) => ({
    trunk_sid: `trk_${user}`,
    account_sid: 'demo',
    trunk_name: user,
    domain_name: `${user}.pstn.example`,
    credentials: [{ user_name: user, password: SECRET }],
    destination_uris: [
      { destination: `registered:${user}`, priority: 0 },
      ...(user === 'spare' ? [{ destination: `${FALLBACK}:17501`, priority: 1 }] : []),
    ],
    phone_numbers: [{ phone_number: LINES[user], mode: 'pstn', carrier: 'telco' }],
    limits: { concurrent_calls: 5 },
  })),
};

const folder = await mkdtemp(join(tmpdir(), 'tandem-nodes-'));
const redis = await RedisServer.start({ host: '127.0.74.40', firstPort: 17_600 });
await publishRouting(redis.url, routing);

const nodeOf = (address: string, id: string): Promise<TandemNode> =>
  TandemNode.start({
    address,
    port: PORT,
    routing,
    config: {
      node: { id },
      sip: {
        listen: [`udp://${address}:${PORT}`, `tcp://${address}:${PORT}`],
        cluster: { listen: `tcp://${address}:${NODES_PORT}` },
      },
      store: { kind: 'redis', url: redis.url, snapshotPath: join(folder, `${id}.ndjson`) },
    },
  });
const one = await nodeOf('127.0.74.1', 'one');
const two = await nodeOf('127.0.74.2', 'two');
t.teardown(async () => {
  await one.destroy();
  await two.stop(STALLED);
  await redis.close();
  await rm(folder, { recursive: true, force: true });
});

const phoneOf = (user: LineName, at: { readonly address: string; readonly port: number }): Promise<Baresip> =>
  Baresip.start({
    ...at,
    user,
    transport: 'tcp',
    rtpPorts: user === 'desk' ? '17700-17780' : '17800-17880',
    register: { registrar: one.hostPort, password: SECRET, seconds: 3600 },
  });

const registered = (user: LineName, count: number, at: TandemNode): Promise<void> =>
  bounded(`${count} contacts of ${user}`, 8000, async () => {
    const answer = (await (await at.get('/api/registrations')).json()) as { registrations: { userName: string }[] };
    return answer.registrations.filter(({ userName }) => userName === user).length === count;
  });

let callerPort = 17_510;
const place = async (line: LineName, scenario = 'answer'): Promise<SippResult> =>
  Sipp.run({
    scenario: `uac/${scenario}`,
    address: CARRIER,
    port: callerPort++,
    remote: two.hostPort,
    service: LINES[line],
    keys: { caller: FOREIGN },
    pauseMs: 200,
  });

/** One record, at the node with the call. */
const recorded = async (t: Test, caller: SippResult, wanted: object): Promise<CallRecord> => {
  const record = await two.record(callIdOf(caller));
  has(t, record, wanted);
  t.strictSame(one.records(), [], 'the node between has no call');
  return record;
};

const ANSWERED = { outcome: 'answered', sipStatus: 200, reasonCode: 'normal_clearing' } as const;

/** What `explain` says of the registered users of a line, at the node that is called. */
const explained = async (line: LineName): Promise<string> => {
  const answer = await fetch(`http://${two.address}:${PORT + 1}/api/explain?format=text`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ from: CARRIER, caller: FOREIGN, to: LINES[line] }),
    signal: AbortSignal.timeout(5000),
  });
  return answer.text();
};

const desk = await phoneOf('desk', { address: '127.0.74.20', port: 17_420 });
t.teardown(() => desk.stop());
const spare = await phoneOf('spare', { address: '127.0.74.21', port: 17_430 });
t.teardown(() => spare.stop());
for (const user of ['desk', 'spare'] as const) for (const at of [one, two]) await registered(user, 1, at);

void t.test('a phone on TCP at one node is called through the other, and the caller hangs up', async (t) => {
  desk.forget();
  t.match(await explained('desk'), /desk is registered at 1 contacts, of them 1 through one/);
  const caller = await place('desk');
  went(t, caller);
  await desk.event('CALL_CLOSED');
  const record = await recorded(t, caller, { ...ANSWERED, endedBy: 'caller' });
  t.equal(record.attempts.length, 1);
  t.notMatch(JSON.stringify(record), /seal=/, 'the key to the connection is in no record');
  await two.quiet();
  await one.quiet();
});

void t.test('the phone hangs up', async (t) => {
  desk.forget();
  const call = place('desk', 'hung_up_on');
  await desk.event('CALL_ESTABLISHED');
  desk.command('hangup');
  const caller = await call;
  went(t, caller);
  await recorded(t, caller, { ...ANSWERED, endedBy: 'callee' });
  await two.quiet();
});

void t.test('nobody else is heard at the place of the nodes', async (t) => {
  const stranger = await SipPeer.open({ address: '127.0.74.66', transport: 'tcp', name: 'stranger' });
  t.teardown(() => stranger.close());
  const place = `127.0.74.1:${NODES_PORT}`;
  const unheard = stranger.sendRequest('OPTIONS', { target: place, uri: `sip:${place}` });
  const heard = stranger.sendRequest('OPTIONS', { target: one.hostPort, uri: `sip:${one.hostPort}` });
  await stranger.expect((message) => message.header('Call-ID') === heard.callId);
  t.equal(
    stranger.count((message) => message.header('Call-ID') === unheard.callId),
    0,
  );
});

void t.test('the node of the connection is killed while a call is up: it ends in one record', async (t) => {
  desk.forget();
  const carrier = await SipPeer.open({ address: CARRIER, name: 'carrier' });
  t.teardown(() => carrier.close());
  const sdp =
    'v=0\r\no=- 1 1 IN IP4 127.0.74.30\r\ns=-\r\nc=IN IP4 127.0.74.30\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n';
  const call = carrier.sendInvite({
    target: two.hostPort,
    uri: `sip:${LINES.desk}@${two.hostPort}`,
    from: `<sip:${FOREIGN}@${carrier.hostPort}>;tag=kill`,
    body: sdp,
  });
  const dialog = call.confirm(await carrier.expect('200 INVITE'));
  await desk.event('CALL_ESTABLISHED');
  one.signal('SIGKILL');
  await one.ended();
  dialog.send('BYE');
  await carrier.expect('200 BYE');
  has(t, await two.record(call.callId), { outcome: 'answered', sipStatus: 200, endedBy: 'caller' });
  await two.quiet(10_000);
});

void t.test('calls for its phones go on to the next destination, or fail with a word', async (t) => {
  const fallback = await Sipp.start({ scenario: 'uas/answer', address: FALLBACK, port: 17_501 });
  t.teardown(() => fallback.stop());
  const taken = await place('spare');
  went(t, taken);
  const record = await recorded(t, taken, ANSWERED);
  t.strictSame(
    record.attempts.map(({ result }) => result),
    ['transport_error', 'answered'],
  );
  const failed = await place('desk', 'refused');
  has(t, await two.record(callIdOf(failed)), { outcome: 'failed', sipStatus: 503 });

  // Its lease ends: nobody tries any more.
  await bounded('the lease of a dead node to end', 15_000, async () =>
    /desk is registered at 0 contacts here and 1 that only another node reaches/.test(await explained('desk')),
  );
  has(t, await two.record(callIdOf(await place('desk', 'refused'))), { sipStatus: 480, reasonCode: 'not_registered' });
  await two.quiet();
});

void t.test('each call has one record', async (t) => {
  const ids = two.records().map(({ aLegCallId }) => aLegCallId);
  t.equal(new Set(ids).size, ids.length);
  t.equal(ids.length, 6);
});
