/** How calls walk through flows: the executor's own rules. Each ladder is one call. */
import t from 'tap';
import { APPLETS } from '../../src/call/applets/catalogue.js';
import { advance, dumpFlow, initialState } from '../../src/call/flow/executor.js';
import { maskUrl, withoutCredentials } from '../../src/call/flow/trace.js';
import { FACTS, FlowLadder, flowOf } from '../support/flowLadder.js';

const say = (file: string, next: string, more: object = {}) => ({
  applet: 'greeting',
  params: { play: [{ file }] },
  exits: { next, ...more },
});
const bye = { applet: 'hangup' };

t.test('a greeting is played to an answered caller, and the call ends where the flow says', async (t) => {
  const rig = new FlowLadder(flowOf({ welcome: say('welcome.wav', 'bye'), bye }));
  rig.send({ type: 'started' }).send({ type: 'answered' }).played();
  t.same(rig.ladder(), [
    '-> started',
    '<- answer',
    '-> answered',
    '<- play welcome.wav',
    '-> play ended',
    '<- hangup 16 flow_hangup',
  ]);
  t.equal(rig.state.reasonCode, 'flow_hangup');
  t.same([...rig.timers], [], 'no timer is left');
});

t.test('greeting, bot, webhook, connect: one chain, and the media are released at its end', async (t) => {
  const rig = new FlowLadder(
    flowOf({
      welcome: say('welcome.wav', 'bot'),
      bot: { applet: 'voicebot', params: { url: 'wss://user:secret@bot.example/ws?token=1' }, exits: { next: 'ask' } },
      ask: { applet: 'passthru', params: { url: 'https://crm.example/route' }, exits: { a: 'sales', b: 'bye' } },
      sales: { applet: 'connect', params: { to: ['sip:trk_demo', '+918040000009'] } },
      bye,
    }),
  );
  rig.start().played().botUp();
  rig.nowMs += 12_000;
  rig.bot();
  t.match(rig.query(), {
    CallSid: '01CALL',
    CallFrom: '+919876543210',
    CallType: 'call-attempt',
    'Stream[StreamSID]': 'strm1',
    'Stream[Status]': 'completed',
    'Stream[Duration]': '12',
    'Stream[DisconnectedBy]': 'bot',
    'Stream[StreamUrl]': 'wss://bot.example/ws?token=1',
  });
  rig.fetched(200).dialed('busy').dialUp();
  rig.nowMs += 60_000;
  rig.dialed('completed');
  t.same(rig.ladder(), [
    '-> started',
    '<- answer',
    '-> answered',
    '<- play welcome.wav',
    '-> play ended',
    '<- stream wss://user:secret@bot.example/ws?token=1',
    '-> stream started',
    '-> stream ended',
    '<- GET https://crm.example/route',
    '-> 200',
    '<- dial-4 trunk trk_demo anchored',
    '-> dial-4 busy',
    '<- dial-5 +918040000009 anchored',
    '-> dial-5 answered',
    '<- bridge dial-5',
    '<- release dial-5',
    '-> dial-5 completed',
    '<- hangup 16 normal_clearing',
  ]);
  t.same(
    rig.trace.map(({ step, nodeId, applet, exit, next, durationMs }) => [step, nodeId, applet, exit, next, durationMs]),
    [
      [1, 'welcome', 'greeting', 'next', 'bot', 0],
      [2, 'bot', 'voicebot', 'next', 'ask', 12_000],
      [3, 'ask', 'passthru', 'a', 'sales', 0],
      [4, 'sales', 'connect', 'answered', null, 60_000],
    ],
  );
  t.equal(rig.trace[1]?.inputs['url'], 'wss://bot.example/ws?***', 'neither credentials nor tokens are on the trace');
});

t.test('what fails takes the node’s error exit, else the fallback, else the end with its reason', async (t) => {
  const own = new FlowLadder(flowOf({ a: say('a.wav', 'bye', { error: 'b' }), b: say('sorry.wav', 'bye'), bye }));
  own.start().played('failed');
  t.same(own.ladder().slice(-2), ['-> play ended', '<- play sorry.wav']);
  t.match(own.trace[0], { exit: 'error', next: 'b', error: { code: 'play_failed' } });

  const fallback = new FlowLadder(
    flowOf({ a: say('a.wav', 'bye'), b: say('sorry.wav', 'bye'), bye }, { fallback: 'b' }),
  );
  fallback.start().played('failed');
  t.same(fallback.ladder().slice(-2), ['-> play ended', '<- play sorry.wav']);
  fallback.played('failed');
  t.same(fallback.ladder(), ['-> play ended', '<- hangup 41 play_failed'], 'a fallback that fails is the end');

  const none = new FlowLadder(flowOf({ a: say('a.wav', 'bye'), bye }));
  none.start().played('failed');
  t.same(none.ladder().slice(-1), ['<- hangup 41 play_failed']);
});

t.test('the media plane dies: the node fails, the fallback serves the caller', async (t) => {
  const rig = new FlowLadder(
    flowOf(
      {
        bot: { applet: 'voicebot', params: { url: 'wss://bot.example/' } },
        human: { applet: 'connect', params: { to: ['+914000'] } },
      },
      { fallback: 'human' },
    ),
  );
  rig.start().botUp().send({ type: 'mediaFailed', detail: 'worker died' });
  t.same(rig.ladder().slice(-2), ['-> media failed', '<- dial-2 +914000 anchored']);
});

t.test('the media plane dies while the caller is being answered: one answer is enough', async (t) => {
  const hold = { applet: 'connect', params: { to: ['+914000'], music_on_hold: [{ file: 'm.wav' }] } };
  const rig = new FlowLadder(
    flowOf({ hold, human: { applet: 'connect', params: { to: ['+915000'] } } }, { fallback: 'human' }),
  );
  rig.send({ type: 'started' }).send({ type: 'mediaFailed', detail: 'worker died' }).send({ type: 'answered' });
  t.same(rig.ladder(), ['-> started', '<- answer', '-> media failed', '<- dial-1 +915000 anchored', '-> answered']);
});

t.test('a caller who hangs up ends the flow; what runs is stopped, nothing is hung up twice', async (t) => {
  const rig = new FlowLadder(flowOf({ welcome: say('welcome.wav', 'bye'), bye }));
  rig.start().send({ type: 'callerHungUp' }).send({ type: 'callerHungUp' }).played();
  t.same(rig.ladder().slice(-4), ['-> caller hung up', '<- stop play', '-> caller hung up', '-> play ended']);
  t.match(rig.trace, [{ nodeId: 'welcome', exit: 'caller_hung_up', next: null }]);
  t.equal(rig.state.reasonCode, 'caller_hung_up');
  t.same([...rig.timers], []);
});

t.test(
  'a caller who leaves the bot is still reported to the webhook behind it, once the report is there',
  async (t) => {
    const rig = new FlowLadder(
      flowOf({
        bot: { applet: 'voicebot', params: { url: 'wss://bot.example/' }, exits: { next: 'which' } },
        which: {
          applet: 'switchcase',
          params: { cases: [{ when: 'call.hungup', exit: 'gone' }] },
          exits: { gone: 'ask', otherwise: 'bye' },
        },
        ask: { applet: 'passthru', params: { url: 'https://crm.example/' }, exits: { a: 'bye', b: 'bye' } },
        bye,
      }),
    );
    rig.start().botUp().ladder();
    rig.send({ type: 'callerHungUp' }).bot({ disconnectedBy: 'user' });
    t.same(rig.ladder(), ['-> caller hung up', '<- stop stream', '-> stream ended', '<- tell https://crm.example/']);
    t.match(rig.query(), { CallType: 'client-hangup', 'Stream[DisconnectedBy]': 'user' });
    t.ok(rig.over);
  },
);

t.test('a report that never comes does not keep a call alive whose caller has gone', async (t) => {
  const rig = new FlowLadder(flowOf({ bot: { applet: 'voicebot', params: { url: 'wss://bot.example/' } } }));
  rig.start().send({ type: 'callerHungUp' });
  t.notOk(rig.over);
  rig.wait(5000);
  t.ok(rig.over);
});

t.test('loops are bounded: visits per node, and steps in all', async (t) => {
  const menu = { applet: 'menu', params: { choices: ['1', '9'] }, exits: { 1: 'menu', 9: 'bye' } };
  const rig = new FlowLadder(flowOf({ menu, bye }));
  rig.start().keys('1'.repeat(30));
  t.equal(rig.state.reasonCode, 'flow_loop');
  t.equal(rig.trace.length, 21);

  const bounded = new FlowLadder(
    flowOf({ menu: { ...menu, max_visits: 3, exits: { ...menu.exits, error: 'bye' } }, bye }),
  );
  bounded.start().keys('111');
  t.same(bounded.ladder().slice(-1), ['<- hangup 16 flow_hangup'], 'the loop’s own error exit leads out');
});

t.test('the longest call ends at its limit, whatever it is doing', async (t) => {
  const rig = new FlowLadder(
    flowOf({ talk: { applet: 'connect', params: { to: ['+914000'] } } }, { max_call_ms: 60_000 }),
  );
  rig.start().dialUp().send({ type: 'answered' }).wait(60_000);
  t.same(rig.ladder().slice(-3), ['.. call_limit', '<- hang up dial-1', '<- hangup 102 max_duration']);
});

t.test('an answer that the caller never acknowledges ends the flow', async (t) => {
  const late = new FlowLadder(flowOf({ welcome: say('welcome.wav', 'bye'), bye }));
  late.send({ type: 'started' }).wait(35_000);
  t.same(late.ladder(), ['-> started', '<- answer', '.. answer_limit', '<- hangup 41 answer_failed']);
  const refused = new FlowLadder(flowOf({ welcome: say('welcome.wav', 'bye'), bye }));
  refused.send({ type: 'started' }).send({ type: 'answerFailed', detail: 'no_common_codec' });
  t.equal(refused.state.reasonCode, 'answer_failed');
});

t.test('variables: set on leaving a node, used in templates and conditions; callers’ words stay words', async (t) => {
  const rig = new FlowLadder(
    flowOf(
      {
        ask: {
          applet: 'gather',
          params: { max_digits: 4 },
          set: { pin: '{{ nodes.ask.digits }}', seen: '{{ caller.name }}/{{custom.tier}}' },
          exits: { digits: 'which' },
        },
        which: {
          applet: 'switchcase',
          params: { cases: [{ when: 'pin == 1234 and startsWith(call.from, "+91")', exit: 'in' }] },
          exits: { in: 'say', otherwise: 'bye' },
        },
        say: {
          applet: 'greeting',
          params: {
            play: [{ text: 'Hi {{seen}}' }, { file: 'p/{{ caller.name }}.wav' }, { url: 'http://x/{{caller.name}}' }],
          },
          exits: { next: 'bye' },
        },
        bye,
      },
      { variables: { pin: '', seen: '' } },
    ),
    { caller: { name: '../a b?c' } },
  );
  rig.start().keys('1234');
  t.same(rig.ladder().slice(-1), ['<- play "Hi ../a b?c/gold", p/___a_b_c.wav, http://x/..%2Fa%20b%3Fc']);
});

t.test('one key that comes by two ways is one; keys reach the bot that the audio does not carry', async (t) => {
  const rig = new FlowLadder(
    flowOf({
      ask: { applet: 'gather', params: { max_digits: 3 }, exits: { digits: 'bot' } },
      bot: { applet: 'voicebot', params: { url: 'ws://b.example/' } },
    }),
  );
  rig.start().keys('1');
  rig
    .send({ type: 'callerDtmfInfo', digit: '1', durationMs: 100 })
    .send({ type: 'digit', digit: '1', durationMs: 90, by: 'inband' });
  rig.keys('1').keys('2');
  t.equal(rig.state.results['ask']?.['digits'], '112');
  rig.botUp().ladder();
  rig.send({ type: 'callerDtmfInfo', digit: '5', durationMs: 100 }).keys('6');
  t.same(rig.ladder(), ['-> key 5', '<- stream dtmf 5', '-> key 6']);
});

t.test('keys pressed early count where the flow wants them to, and never twice', async (t) => {
  const flow = (type_ahead: boolean) =>
    flowOf({
      hi: say('hi.wav', 'ask'),
      ask: { applet: 'gather', params: { max_digits: 2, type_ahead }, exits: { digits: 'again' } },
      again: { applet: 'gather', exits: { digits: 'bye' } },
      bye,
    });
  const eager = new FlowLadder(flow(true)).start().keys('42').played();
  t.equal(eager.state.results['ask']?.['digits'], '42');
  t.equal(eager.state.typed, '');
  const strict = new FlowLadder(flow(false)).start().keys('42').played();
  t.equal(strict.state.node?.nodeId, 'ask');
  t.equal(strict.state.typed, '');
});

t.test('another flow takes over, keeps what both know, and cannot be passed round for ever', async (t) => {
  const over = flowOf(
    { go: { applet: 'transfer', params: { flow: 'flw_test' } } },
    { version: 7, variables: { lang: 'en' } },
  );
  const rig = new FlowLadder(over);
  rig.send({ type: 'started' });
  for (let i = 0; i < 5; i++) rig.send({ type: 'flowLoaded', transferId: rig.id('transfer'), flow: over });
  t.notOk(rig.over);
  rig.send({ type: 'flowLoaded', transferId: rig.id('transfer'), flow: over });
  t.same(rig.ladder().slice(-1), ['<- reject 500 transfer_loop']);
  t.match(rig.trace[0], { exit: 'transferred', flowVersion: 7 });
});

t.test('events that fit nothing change nothing', async (t) => {
  const flow = flowOf({ welcome: say('welcome.wav', 'bye'), bye });
  const fresh = initialState(flow, APPLETS, FACTS);
  t.equal(advance(fresh, { type: 'answered' }, 0).state, fresh, 'nothing begins without its beginning');
  const rig = new FlowLadder(flow).start();
  const before = rig.state;
  for (const event of [
    { type: 'started' },
    { type: 'answered' },
    { type: 'timer', timerId: 'welcome:1:other' },
    { type: 'playEnded', playId: 'play-99', end: 'finished', detail: '' },
    { type: 'dialAnswered', dialId: 'dial-1' },
  ] as const) {
    t.same(advance(before, event, 2000), { state: before, effects: [] }, event.type);
  }
  t.match(dumpFlow(before), { flow: 'flw_test', node: 'welcome', applet: 'greeting', status: 'running' });
});

t.test('URLs for others to see', async (t) => {
  t.equal(withoutCredentials('wss://u:p@h/x?q=a@b'), 'wss://h/x?q=a@b');
  t.equal(withoutCredentials('wss://h/x@y'), 'wss://h/x@y');
  t.equal(withoutCredentials('wss://u:p@h'), 'wss://h');
  t.equal(withoutCredentials('nothing'), 'nothing');
  t.equal(maskUrl('https://u@h/p?token=1'), 'https://h/p?***');
});
