/** Connect: whom it rings, in which order, for how long, and what it does with the audio. */
import t from 'tap';
import { FlowLadder, flowOf, problemsOf } from '../support/flowLadder.js';

const connect = (params: object, exits: object = {}) => ({ applet: 'connect', params, exits });
const plain = (params: object) => flowOf({ talk: connect(params) });
const hi = { applet: 'greeting', params: { play: [{ file: 'hi.wav' }] }, exits: { next: 'talk' } };
const ends = (cause: number) => ({ applet: 'hangup', params: { cause } });

t.test('a plain connect answers the caller with the callee’s answer: no media plane at all', async (t) => {
  const rig = new FlowLadder(plain({ to: ['sip:trk_demo'] })).start();
  rig.send({ type: 'dialProgress', dialId: 'dial-1', status: 180 });
  rig.send({ type: 'dialProgress', dialId: 'dial-1', status: 180 });
  rig.send({ type: 'dialProgress', dialId: 'dial-1', status: 183 });
  rig.dialUp().send({ type: 'answered' }).dialed('completed');
  t.same(rig.ladder(), [
    '-> started',
    '<- dial-1 trunk trk_demo direct',
    '-> dial-1 180',
    '<- 180',
    '-> dial-1 180',
    '-> dial-1 183',
    '<- 183',
    '-> dial-1 answered',
    '<- answer with dial-1',
    '-> answered',
    '-> dial-1 completed',
    '<- hangup 16 normal_clearing',
  ]);
});

t.test('what follows the talk needs the caller’s audio: it stays in the media plane', async (t) => {
  const rig = new FlowLadder(
    flowOf({
      talk: connect({ to: ['+914000'] }, { answered: 'thanks' }),
      thanks: { applet: 'greeting', params: { play: [{ file: 'thanks.wav' }] }, exits: { next: 'bye' } },
      bye: ends(16),
    }),
  );
  rig.start().dialUp().send({ type: 'answered' }).dialed('completed');
  t.same(rig.ladder(), [
    '-> started',
    '<- dial-1 +914000 anchored',
    '-> dial-1 answered',
    '<- answer',
    '-> answered',
    '<- bridge dial-1',
    '-> dial-1 completed',
    '<- play thanks.wav',
  ]);
});

t.test('serial: each target has its time, and the last word is the most telling one', async (t) => {
  const flow = (exits: object) =>
    flowOf({ talk: connect({ to: ['+911', '+912', '+913'], ring_ms: 20_000 }, exits), busy: ends(17), late: ends(19) });
  const rig = new FlowLadder(flow({ busy: 'busy', no_answer: 'late' })).start();
  rig.dialed('busy').wait(20_000).dialed('failed', 'dial-3');
  t.same(rig.ladder(), [
    '-> started',
    '<- dial-1 +911 direct',
    '-> dial-1 busy',
    '<- dial-2 +912 direct',
    '.. ring dial-2',
    '<- hang up dial-2',
    '<- dial-3 +913 direct',
    '-> dial-3 failed',
    '<- hang up dial-2',
    '<- reject 480 flow_hangup',
  ]);
  t.match(rig.state.results['talk'], { status: 'busy', whom: '+911', sip_status: 486 });
});

t.test('nobody wired: the caller is told what the callee said', async (t) => {
  const told = (outcome: 'busy' | 'no_answer' | 'failed') =>
    new FlowLadder(plain({ to: ['+911'] })).start().dialed(outcome).ladder().slice(-1);
  t.same(told('busy'), ['<- reject 486 callee_busy']);
  t.same(told('no_answer'), ['<- reject 480 no_answer']);
  t.same(told('failed'), ['<- reject 503 connect_failed']);
  const quiet = new FlowLadder(plain({ to: ['+911'], ring_ms: 5000 })).start().wait(5000);
  t.equal(quiet.state.reasonCode, 'no_answer');
});

t.test('parallel: the first who answers wins, the others are called off, also when they cross', async (t) => {
  const rig = new FlowLadder(plain({ to: ['+911', '+912', '+913'], mode: 'parallel', max_parallel: 2 })).start();
  rig.send({ type: 'dialProgress', dialId: 'dial-2', status: 183 }).dialed('busy', 'dial-1');
  rig.dialUp('dial-3').dialUp('dial-2').send({ type: 'answered' }).dialUp('dial-2').dialed('completed', 'dial-3');
  t.same(rig.ladder(), [
    '-> started',
    '<- dial-1 +911 direct',
    '<- dial-2 +912 direct',
    '-> dial-2 183',
    '<- 180',
    '-> dial-1 busy',
    '<- dial-3 +913 direct',
    '-> dial-3 answered',
    '<- hang up dial-2',
    '<- answer with dial-3',
    '-> dial-2 answered',
    '<- hang up dial-2',
    '-> answered',
    '-> dial-2 answered',
    '<- hang up dial-2',
    '-> dial-3 completed',
    '<- hang up dial-2',
    '<- hangup 16 normal_clearing',
  ]);
});

t.test('music on hold answers the caller; a whisper is the callee’s alone; then both are joined', async (t) => {
  const rig = new FlowLadder(
    plain({ to: ['+911'], music_on_hold: [{ file: 'moh.wav' }], whisper: [{ text: 'Sales call' }], send_digits: '42' }),
  );
  rig.start().dialUp().played();
  t.same(rig.ladder(), [
    '-> started',
    '<- answer',
    '-> answered',
    '<- play moh.wav x0',
    '<- dial-2 +911 anchored',
    '-> dial-2 answered',
    '<- play "Sales call" to dial-2',
    '-> play ended',
    '<- stop play',
    '<- bridge dial-2',
    '<- dtmf 42 to dial-2',
  ]);
  rig.send({ type: 'callerDtmfInfo', digit: '9', durationMs: 100 }).keys('8');
  t.same(rig.ladder(), ['-> key 9', '<- dtmf 9 to dial-2', '-> key 8'], 'keys of signalling need a hand, others pass');
});

t.test('a callee who leaves during the whisper was never there', async (t) => {
  const rig = new FlowLadder(plain({ to: ['+911', '+912'], whisper: [{ file: 'w.wav' }] })).start();
  rig.dialUp().dialed('completed');
  t.same(rig.ladder().slice(-2), ['-> dial-1 completed', '<- dial-3 +912 anchored']);
  const direct = new FlowLadder(plain({ to: ['+911', '+912'] })).start().dialUp().dialed('completed');
  t.same(direct.ladder().slice(-1), ['<- hangup 41 connect_failed'], 'its answer is out: there is no way back');
});

t.test('limits of the talk, recording of the talk', async (t) => {
  const rig = new FlowLadder(
    flowOf({
      hi,
      talk: connect({ to: ['+911'], talk_ms: 60_000, record: true, recording_channels: 'dual' }, { answered: 'tell' }),
      tell: { applet: 'passthru', params: { url: 'http://x.example/' } },
    }),
  );
  rig.start().played().dialUp().wait(60_000);
  rig.send({
    type: 'recordEnded',
    recordId: rig.id('startRecord'),
    end: 'stopped',
    durationMs: 60_000,
    url: 'http://r/1',
  });
  t.same(rig.ladder().slice(5), [
    '<- dial-2 +911 anchored',
    '-> dial-2 answered',
    '<- bridge dial-2',
    '<- record stereo',
    '.. talk',
    '<- hang up dial-2',
    '<- stop record',
    '-> record ended',
    '<- hang up dial-2',
    '<- GET http://x.example/',
  ]);
  t.match(rig.query(), {
    DialWhomNumber: '+911',
    DialCallDuration: '60',
    CallType: 'completed',
    RecordingUrl: 'http://r/1',
  });
});

t.test('the caller hangs up: while it rings, and in the talk', async (t) => {
  const flow = flowOf({
    talk: connect({ to: ['+911'], media: 'anchored' }, { answered: 'tell', cancelled: 'tell' }),
    tell: { applet: 'passthru', params: { url: 'http://x.example/' } },
  });
  const ringing = new FlowLadder(flow).start().send({ type: 'callerHungUp' });
  t.same(ringing.ladder().slice(-2), ['<- hang up dial-1', '<- tell http://x.example/']);
  t.equal(ringing.query()['CallType'], 'client-hangup');
  const talking = new FlowLadder(flow)
    .start()
    .dialUp()
    .send({ type: 'answered' })
    .wait(3000)
    .send({ type: 'callerHungUp' });
  t.same(talking.ladder().slice(-2), ['<- hang up dial-1', '<- tell http://x.example/']);
  t.match(talking.query(), { CallType: 'completed', DialCallDuration: '3' });
  t.ok(talking.over);
});

const server = { url: 'https://p.example/a', fallback_url: 'https://p.example/b' };

t.test('programmable: the server’s JSON is the plan', async (t) => {
  const rig = new FlowLadder(plain(server)).start();
  t.strictSame(rig.last('fetch').headers, [['Exotel-Version', '1.0']]);
  rig.fetched(200, {
    fetch_after_attempt: false,
    destination: { numbers: ['+911', '+912'] },
    outgoing_phone_number: '+918040000001',
    record: true,
    recording_channels: 'dual',
    max_ringing_duration: 45,
    max_conversation_duration: 3600,
    music_on_hold: { type: 'default_tone' },
    start_call_playback: { playback_to: 'both', type: 'text', value: 'Recorded' },
    parallel_ringing: { activate: true, max_parallel_attempts: 2 },
    dial_passthru_event_url: 'https://p.example/event',
    custom_params: 'a=b&c=d',
    something_else: 1,
  });
  rig.send({ type: 'answered' });
  t.match(rig.last('dial'), { callerId: '+918040000001', media: 'anchored' });
  t.equal(rig.timers.get([...rig.timers.keys()].find((id) => id.includes('ring')) ?? ''), 46_000);
  rig.dialed('busy', 'dial-3');
  t.match(rig.query(), { DialWhomNumber: '+911', DialCallStatus: 'busy', a: 'b', c: 'd' });
  rig.dialUp('dial-4').send({ type: 'playEnded', playId: 'play-6', end: 'finished', detail: '' });
  t.same(rig.ladder(), [
    '-> started',
    '<- GET https://p.example/a',
    '-> 200',
    '<- answer',
    '-> answered',
    '<- play 440Hz, silence x0',
    '<- dial-3 +911 anchored',
    '<- dial-4 +912 anchored',
    '-> dial-3 busy',
    '<- tell https://p.example/event',
    '-> dial-4 answered',
    '<- play "Recorded" to dial-4',
    '<- play "Recorded"',
    '-> play ended',
    '<- stop play',
    '<- bridge dial-4',
    '<- record stereo',
  ]);
});

t.test('programmable: trunk destinations, and the fallback URL for whatever the primary does wrong', async (t) => {
  for (const wrong of [
    (rig: FlowLadder) => rig.fetched(500),
    (rig: FlowLadder) => rig.fetched(200, 'not json'),
    (rig: FlowLadder) => rig.fetched(200, { destination: { numbers: [] } }),
    (rig: FlowLadder) => rig.fetched(200, { destination: { numbers: ['javascript:alert(1)'] } }),
    (rig: FlowLadder) => rig.fetched(200, { destination: { numbers: ['+911'] }, max_ringing_duration: -1 }),
    (rig: FlowLadder) => rig.send({ type: 'fetchFailed', fetchId: rig.id('fetch'), reason: 'refused' }),
    (rig: FlowLadder) => rig.wait(7000),
  ]) {
    const rig = new FlowLadder(plain(server)).start();
    wrong(rig);
    t.equal(rig.last('fetch').url, 'https://p.example/b');
    rig.fetched(200, { destination: { trunk: 'trk_demo' } });
    t.same(rig.ladder().slice(-1), ['<- dial-3 trunk trk_demo direct']);
    const none = new FlowLadder(plain(server)).start();
    wrong(none);
    wrong(none);
    t.equal(none.state.reasonCode, 'connect_url_failed');
  }
});

t.test('programmable: asked again after each round, and not for ever', async (t) => {
  const rig = new FlowLadder(plain({ url: 'https://p.example/a' })).start();
  const answer = { fetch_after_attempt: true, destination: { numbers: ['+911'] } };
  for (let i = 0; i < 10; i++) rig.fetched(200, answer).dialed('no_answer');
  t.ok(rig.over);
  t.equal(rig.state.reasonCode, 'no_answer');
  const enough = new FlowLadder(plain({ url: 'https://p.example/a' }))
    .start()
    .fetched(200, answer)
    .dialed('busy')
    .fetched(404);
  t.equal(enough.state.reasonCode, 'callee_busy', 'the search says more than a server without advice');
});

t.test('targets come from variables, too; what is none is left out', async (t) => {
  const rig = new FlowLadder(
    plain({ to: ['{{ custom.bad }}', '+{{ custom.good }}', 'sip:{{custom.bad}}@192.0.2.1'], caller_id: '{{call.to}}' }),
    {
      custom: { bad: 'x y<z>', good: '914000' },
    },
  ).start();
  t.match(rig.last('dial'), { target: { kind: 'number', number: '+914000' }, callerId: '+918040000002' });
  rig.dialed('failed');
  t.match(rig.last('dial'), { target: { uri: 'sip:x%20y%3Cz%3E@192.0.2.1' } });
  const none = new FlowLadder(plain({ to: ['{{ custom.bad }}'] }), { custom: {} }).start();
  t.equal(none.state.reasonCode, 'connect_failed');
});

t.test('what a connect must say', async (t) => {
  t.match(problemsOf({ talk: connect({}) }), [/nodes.talk.params.to must name somebody, or 'url'/]);
  t.match(problemsOf({ talk: connect({ to: ['bob'] }) }), [/nodes.talk.params.to\[0\] must be sip:<trunk_sid>/]);
  t.match(problemsOf({ talk: connect({ url: 'ftp://x.example' }) }), [/nodes.talk.params.url must begin with http/]);
  t.match(problemsOf({ talk: connect({ to: ['+911'], ring_ms: 5 }) }), [/nodes.talk.params.ring_ms must be >= 1000/]);
});
