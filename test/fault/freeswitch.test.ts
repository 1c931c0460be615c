/** What goes wrong with a media server: every call hears of it, once and in time, and nothing else is harmed. */
import t, { type Test } from 'tap';
import type { EndpointSpec } from '../../src/media/index.js';
import { EventLog } from '../contract/media/events.js';
import { RtpPeer, sine } from '../contract/media/peer.js';
import { FreeswitchSite, type SiteOptions } from '../support/freeswitch/site.js';
import type { FreeswitchStandIn } from '../support/freeswitch/standIn.js';

const FIRST_PORT = 26_800;

const planOf = (host: number) => ({
  address: `127.0.61.${host}`,
  sipPort: FIRST_PORT,
  eslPort: FIRST_PORT + 1,
  rtpPorts: [FIRST_PORT + 2, FIRST_PORT + 39] as const,
});

/** A site of its own addresses: `.31` and up. */
const site = async (t: Test, servers = 1, more: Partial<SiteOptions> = {}) => {
  const plans = Array.from({ length: servers }, (_, i) => planOf(32 + i));
  const patience = { openMs: 5000, answerMs: 300, hangupMs: 300, probeMs: 300 };
  const made = new FreeswitchSite({ address: '127.0.61.31', servers: plans, patience, ...more });
  t.teardown(() => made.stop());
  await made.start();
  return made;
};

let peerPort = 26_300;

const call = async (t: Test, from: FreeswitchSite, spec: Partial<EndpointSpec> = {}) => {
  const peer = await RtpPeer.bind('127.0.61.39', (peerPort += 2));
  t.teardown(() => peer.close());
  const events = new EventLog();
  const opened = await from.open({ callId: `call ${peer.port}`, leg: 'a', offer: peer.sdp(), ...spec }, events);
  return { peer, events, opened };
};

const answered = async (t: Test, from: FreeswitchSite, spec: Partial<EndpointSpec> = {}) => {
  const { peer, events, opened } = await call(t, from, spec);
  if (!opened.ok) throw new Error(opened.problem.message);
  peer.pointAt(opened.sdp);
  return { peer, events, endpoint: opened.endpoint };
};

const only = (from: FreeswitchSite): FreeswitchStandIn => from.standIns[0] as FreeswitchStandIn;

const reported = (from: FreeswitchSite, pattern: RegExp): boolean =>
  from.reports.some((report) => pattern.test(JSON.stringify(report)));

/** Asks again until it holds: the media server comes back in its own time. */
const until = async (holds: () => boolean | Promise<boolean>, limitMs = 8000): Promise<void> => {
  const endMs = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error('it did not come to be');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

t.test(
  'a media server that dies in mid-call fails its endpoints, once; when it is back calls are served',
  async (t) => {
    const made = await site(t);
    const { events, endpoint } = await answered(t, made);
    const other = await answered(t, made);
    const playId = endpoint.play({ sources: [{ kind: 'tone', frequenciesHz: [440], durationMs: 1000 }], repeat: 0 });
    await only(made).die();
    await events.next('failed');
    await other.events.next('failed');
    t.match(events.told, [
      { on: 'playEnded', id: playId, end: 'failed' },
      { on: 'failed', code: 'engine_down' },
    ]);
    t.match(await endpoint.makeOffer(), { ok: false, problem: { code: 'engine_down' } });
    const late = endpoint.play({ sources: [] });
    t.match(await events.next('playEnded'), { id: late, end: 'failed' });
    t.match((await call(t, made)).opened, { ok: false, problem: { code: 'engine_down', sipStatus: 503 } });
    t.match(await endpoint.close(), { packetsReceived: 0 });
    await other.endpoint.close();
    t.equal(events.count('failed'), 1);
    await only(made).start();
    await until(async () => {
      const { opened } = await call(t, made);
      if (opened.ok) await opened.endpoint.close();
      return opened.ok;
    });
    t.match(await made.dump(), { endpoints: 0, servers: [{ state: 'up', endpoints: 0 }] });
  },
);

t.test('of two media servers the one that lives serves all calls, those of one call together', async (t) => {
  const made = await site(t, 2);
  const calls: Awaited<ReturnType<typeof answered>>[] = [];
  for (let i = 0; i < 4; i++) calls.push(await answered(t, made));
  t.same(
    made.standIns.map((standIn) => standIn.channels.size),
    [2, 2],
    'shared out',
  );
  const legs = [await answered(t, made, { callId: 'one' }), await answered(t, made, { callId: 'one' })];
  t.match(
    made.standIns.map((standIn) => standIn.channels.size).sort((a, b) => a - b),
    [2, 4],
    'together',
  );
  await only(made).die();
  await until(() => calls.filter(({ events }) => events.count('failed') === 1).length === 2);
  for (let i = 0; i < 3; i++) calls.push(await answered(t, made));
  await Promise.all([...calls, ...legs].map(({ endpoint }) => endpoint.close()));
  t.equal(made.standIns[1]?.channels.size, 0);
});

t.test(
  'a wrong secret and an access list are named; calls are refused at once, and nothing is tried without end',
  async (t) => {
    const wrong = await site(t, 1, { secret: 'not it' });
    t.ok(reported(wrong, /refuses the secret/));
    t.match((await call(t, wrong)).opened, { ok: false, problem: { code: 'engine_down' } });
    t.match(await wrong.dump(), { servers: [{ state: /waiting|connecting/, fault: /secret/ }] });

    const barred = new FreeswitchSite({ address: '127.0.61.31', servers: [planOf(35)] });
    t.teardown(() => barred.stop());
    only(barred).faults.refuseAddress = true;
    await barred.start();
    t.ok(reported(barred, /access list/));
    only(barred).faults.refuseAddress = false;
    await until(() => reported(barred, /a media server is up/));
    const { endpoint } = await answered(t, barred);
    await endpoint.close();
  },
);

t.test('a media server without the profile is no reason to die', async (t) => {
  const made = new FreeswitchSite({ address: '127.0.61.31', servers: [planOf(35)] });
  t.teardown(() => made.stop());
  only(made).faults.noProfile = true;
  await made.start();
  t.ok(reported(made, /No drachtio_mrf sip profile/));
  t.match((await call(t, made)).opened, { ok: false, problem: { code: 'engine_down' } });
});

t.test('a bare percent sign in what the server says does no harm', async (t) => {
  const made = await site(t);
  only(made).faults.strangeData = '100% sure';
  const { peer, endpoint } = await answered(t, made);
  await peer.next(3);
  t.match(await endpoint.close(), { codec: 'PCMU' });
});

t.test('INVITE refused, unanswered; a channel that never calls back', async (t) => {
  const made = await site(t);
  const { faults, channels } = only(made);
  for (const [status, code] of [
    [488, 'no_common_codec'],
    [503, 'no_port_free'],
    [500, 'engine_down'],
  ] as const) {
    faults.refuseInvite = status;
    t.match((await call(t, made)).opened, { ok: false, problem: { code } });
  }
  faults.refuseInvite = 0;
  faults.noCallBack = true;
  const startMs = performance.now();
  t.match((await call(t, made)).opened, { ok: false, problem: { code: 'engine_down' } });
  t.ok(performance.now() - startMs < 9000);
  await until(() => channels.size === 0);
  t.ok(reported(made, /failed to open a channel/));
  faults.noCallBack = false;
  faults.silentInvite = true;
  t.match((await call(t, made)).opened, { ok: false, problem: { code: 'engine_down' } }, 'in bounded time');
  await until(() => only(made).cancelled === 1);
  faults.silentInvite = false;
  const { endpoint } = await answered(t, made);
  await endpoint.close();
  t.match(await made.dump(), { endpoints: 0, servers: [{ endpoints: 0 }] });
});

t.test('answers that never come hold nothing up for ever', async (t) => {
  const made = await site(t);
  const { faults } = only(made);
  faults.noBye = true;
  const { peer, events, endpoint } = await answered(t, made);
  faults.silentApi = new Set(['uuid_set_media_stats', 'uuid_dump', 'uuid_record', 'uuid_break', 'uuid_audio_fork']);
  t.match(await endpoint.quality(), { packetsReceived: 0, mos: 1 });
  const recordId = endpoint.record({ path: '/tmp/never-written.wav', channels: 'mono' });
  t.match(await events.next('recordEnded'), { id: recordId, end: 'failed' });
  const playId = endpoint.play({ sources: [{ kind: 'tone', frequenciesHz: [440], durationMs: 300 }] });
  await peer.next(5);
  endpoint.stopPlay(playId);
  t.match(await events.next('playEnded'), { id: playId, end: 'stopped' });
  await endpoint.close();
  t.match(await made.dump(), { endpoints: 0 });
});

t.test('a server that hangs with open sockets is found out, and its calls hear of it', async (t) => {
  const made = await site(t);
  const { peer, events, endpoint } = await answered(t, made);
  await peer.say(sine(440, 800));
  only(made).freeze();
  await events.next('failed', 12_000);
  t.ok(reported(made, /does not answer/));
  t.match((await call(t, made)).opened, { ok: false });
  await endpoint.close();
});

t.test('paths that mean more than they say are not passed on', async (t) => {
  const made = await site(t);
  const { events, endpoint } = await answered(t, made);
  for (const path of [
    '/tmp/${system(id)}.wav',
    'tone_stream://%(9,0,9)',
    '/tmp/a!/tmp/b',
    '/tmp/a\nb',
    '/tmp/a b',
    'x',
  ]) {
    endpoint.play({ sources: [{ kind: 'file', path }] });
    t.match(await events.next('playEnded'), { end: 'failed' }, JSON.stringify(path));
    endpoint.record({ path, channels: 'mono' });
    t.match(await events.next('recordEnded'), { end: 'failed' });
  }
  const { commands } = only(made);
  t.notOk(commands.some((line) => /uuid_record|system/.test(line)));
  endpoint.sendDtmf("1 ${x}'2");
  await until(() => commands.some((line) => /uuid_send_dtmf \S+ 12@160$/.test(line)));
  await endpoint.close();
});
