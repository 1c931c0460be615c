/** What each applet does with a caller. Each ladder is one call. */
import t from 'tap';
import { dateTimeText, isTimeZone, longDateText, wallTimeIn } from '../../src/call/applets/wallTime.js';
import { FlowLadder, WALL_MS, flowOf, problemsOf } from '../support/flowLadder.js';

const bye = { applet: 'hangup' };
const ends = (cause: number) => ({ applet: 'hangup', params: { cause } });

t.test('greeting: files, URLs, tones, silence and speech, as often as wanted', async (t) => {
  const play = [
    { file: 'a.wav' },
    { url: 'https://x.example/b.wav' },
    { tone: [440, 480], duration_ms: 500 },
    { silence_ms: 100 },
    { text: 'Namaste' },
  ];
  const rig = new FlowLadder(
    flowOf({ hi: { applet: 'greeting', params: { play, repeat: 2 }, exits: { next: 'bye' } }, bye }),
  );
  rig.start();
  t.same(rig.ladder().slice(-1), ['<- play a.wav, https://x.example/b.wav, 440+480Hz, silence, "Namaste" x2']);
  rig.wait(900_000);
  t.equal(rig.state.reasonCode, 'play_timeout', 'a player that never reports its end does not keep the call');
});

t.test('menu: a key during the prompt silences it and takes its exit', async (t) => {
  const menu = {
    applet: 'menu',
    params: { prompt: [{ file: 'menu.wav' }], invalid_prompt: [{ file: 'no.wav' }], choices: ['1', '2'], retries: 1 },
    exits: { 1: 'one', 2: 'two', timeout: 'late', invalid: 'wrong' },
  };
  const flow = flowOf({ menu, one: ends(31), two: ends(32), late: ends(33), wrong: ends(34) });
  t.same(new FlowLadder(flow).start().keys('2').ladder().slice(3), [
    '<- play menu.wav',
    '-> key 2',
    '<- stop play',
    '<- hangup 32 flow_hangup',
  ]);
  t.same(new FlowLadder(flow).start().keys('7').played().keys('8').ladder().slice(4), [
    '-> key 7',
    '<- stop play',
    '<- play no.wav, menu.wav',
    '-> play ended',
    '-> key 8',
    '<- hangup 34 flow_hangup',
  ]);
  t.same(new FlowLadder(flow).start().played().wait(5000).played().wait(5000).ladder().slice(4), [
    '-> play ended',
    '.. key',
    '<- play menu.wav',
    '-> play ended',
    '.. key',
    '<- hangup 33 flow_hangup',
  ]);
});

t.test('menu: a prompt that must be heard is heard, and one that cannot be played still asks', async (t) => {
  const menu = {
    applet: 'menu',
    params: { prompt: [{ file: 'm.wav' }], choices: ['1'], barge_in: false },
    exits: { 1: 'bye' },
  };
  const rig = new FlowLadder(flowOf({ menu, bye })).start().keys('1');
  t.same(rig.ladder().slice(-1), ['-> key 1']);
  t.equal(rig.state.typed, '', 'the key is not kept for another node');
  rig.played('failed').keys('1');
  t.ok(rig.over);
});

t.test('gather: finish key, most digits, time between digits, patterns', async (t) => {
  const gather = (params: object) =>
    flowOf({
      ask: { applet: 'gather', params, exits: { digits: 'bye', timeout: 'late', invalid: 'wrong' } },
      bye,
      late: ends(33),
      wrong: ends(34),
    });
  const digits = (rig: FlowLadder) => [rig.state.results['ask']?.['digits'], rig.last('hangup')?.cause];
  t.same(digits(new FlowLadder(gather({})).start().keys('123#')), ['123', 16]);
  t.same(digits(new FlowLadder(gather({ max_digits: 2 })).start().keys('12')), ['12', 16]);
  t.same(digits(new FlowLadder(gather({})).start().keys('12').wait(3000)), ['12', 16]);
  t.same(digits(new FlowLadder(gather({ retries: 0 })).start().keys('#')), ['', 34]);
  t.same(digits(new FlowLadder(gather({ retries: 0 })).start().wait(5000)), ['', 33]);
  t.same(digits(new FlowLadder(gather({ retries: 0, min_digits: 3 })).start().keys('12#')), ['12', 34]);
  t.same(digits(new FlowLadder(gather({ finish_key: '', max_digits: 3 })).start().keys('1#2')), ['1#2', 16]);
  const pin = gather({ valid: ['0XXX', 'N.'], max_digits: 6, retries: 1, invalid_prompt: [{ file: 'no.wav' }] });
  const rig = new FlowLadder(pin).start().keys('111#');
  t.same(rig.ladder().slice(-1), ['<- play no.wav']);
  rig.keys('0123#');
  t.same(digits(rig), ['0123', 16]);
  t.equal(rig.state.results['ask']?.['tries'], 2);
  t.notOk(JSON.stringify(rig.trace).includes('0123'), 'what was pressed is not on the trace');
});

t.test('gather: an exit that leads nowhere is a failure with its name', async (t) => {
  const rig = new FlowLadder(
    flowOf({ ask: { applet: 'gather', params: { retries: 0 }, exits: { digits: 'bye' } }, bye }),
  );
  rig.start().wait(5000);
  t.same(rig.ladder().slice(-1), ['<- hangup 41 gather_timeout']);
});

t.test('voicebot: what templates make too much for the exotel dialect takes the error exit', async (t) => {
  const params = { url: 'wss://b.example/{{ vip }}', custom_parameters: { who: '{{ vip }}' } };
  const node = (more: object) => ({ applet: 'voicebot', params: { ...params, ...more }, exits: { error: 'sorry' } });
  const run = (vip: string, more: object = {}) => {
    const nodes = { bot: node(more), sorry: ends(38) };
    return new FlowLadder(flowOf(nodes, { start: 'bot', variables: { vip } })).start();
  };
  t.ok(run('x'.repeat(253)).last('startStream'));
  const parameters = run('x'.repeat(254));
  t.match(parameters.state.results['bot'], { error: 'stream_limits' });
  t.same(parameters.ladder().slice(-1), ['<- hangup 38 flow_hangup']);
  t.match(run('x'.repeat(700), { custom_parameters: {} }).state.results['bot'], { error: 'stream_limits' });
  t.ok(run('x'.repeat(700), { dialect: 'plivo' }).last('startStream'), 'others take more');
});

t.test('voicebot: who closes it, and what becomes of a bot that is not there', async (t) => {
  const flow = flowOf({
    bot: {
      applet: 'voicebot',
      params: {
        url: 'wss://b.example/{{ call.to }}',
        custom_parameters: { name: '{{ caller.name }}' },
        max_ms: 60_000,
      },
      exits: { next: 'bye', failed: 'sorry' },
    },
    bye,
    sorry: ends(38),
  });
  const rig = new FlowLadder(flow).start();
  t.match(rig.last('startStream'), {
    url: 'wss://b.example/%2B918040000002',
    dialect: 'exotel',
    direction: 'bidirectional',
    sampleRate: 8000,
    encoding: 'l16',
    customParameters: { name: 'Asha' },
    background: false,
  });
  rig.bot({ status: 'failed', disconnectedBy: 'NA', detail: 'handshake_timeout' });
  t.same(rig.ladder().slice(-1), ['<- hangup 38 flow_hangup']);
  t.match(rig.state.results['bot'], { status: 'failed', detail: 'handshake_timeout' });

  const silent = new FlowLadder(flow).start().wait(28_000);
  t.same(
    silent.ladder().slice(-4),
    ['.. start', '<- stop stream', '.. stop', '<- stop stream', '<- hangup 38 flow_hangup'].slice(-4),
  );

  const long = new FlowLadder(flow).start().botUp().wait(63_000);
  t.same(long.ladder().slice(-2), ['.. limit', '<- stop stream']);
  long.bot({ disconnectedBy: 'NA' });
  t.same(long.ladder().slice(-1), ['<- hangup 16 flow_hangup']);

  const broke = new FlowLadder(flow).start().botUp().bot({ status: 'failed', disconnectedBy: 'bot' });
  t.same(broke.ladder().slice(-1), ['<- hangup 38 flow_hangup'], 'a bot that breaks down is a failure');
  const plain = flowOf({
    bot: { applet: 'voicebot', params: { url: 'wss://b.example/' }, exits: { next: 'bye' } },
    bye,
  });
  const left = new FlowLadder(plain).start().botUp().bot({ status: 'failed', disconnectedBy: 'bot' });
  t.same(left.ladder().slice(-1), ['<- hangup 16 flow_hangup'], 'or has left, where nobody waits for failures');
});

t.test('stream: a fork goes on behind the nodes, keeps the media anchored, ends with the call', async (t) => {
  const rig = new FlowLadder(
    flowOf({
      fork: { applet: 'stream', params: { url: 'ws://x.example/' }, exits: { next: 'talk' } },
      talk: { applet: 'connect', params: { to: ['sip:bob@192.0.2.1'] } },
    }),
  );
  rig.start().dialUp().dialed('completed');
  t.same(rig.ladder(), [
    '-> started',
    '<- answer',
    '-> answered',
    '<- fork ws://x.example/',
    '<- dial-2 sip:bob@192.0.2.1 anchored',
    '-> dial-2 answered',
    '<- bridge dial-2',
    '-> dial-2 completed',
    '<- stop stream',
    '<- hangup 16 normal_clearing',
  ]);
  const again = { applet: 'stream', params: { url: 'ws://x.example/' }, exits: { next: 'ask', error: 'bye' } };
  const menu = { applet: 'menu', params: { choices: ['1'] }, exits: { 1: 'again', timeout: 'bye' } };
  const many = new FlowLadder(flowOf({ again, ask: menu, bye })).start().keys('1111');
  t.equal(many.trace.at(-2)?.error?.code, 'too_many_streams');
});

t.test('stream: its report waits for webhooks, whichever node the call is in', async (t) => {
  const rig = new FlowLadder(
    flowOf({
      fork: { applet: 'stream', params: { url: 'ws://x.example/' }, exits: { next: 'menu' } },
      menu: { applet: 'menu', params: { choices: ['1'] }, exits: { 1: 'tell' } },
      tell: { applet: 'passthru', params: { url: 'http://x.example/', async: true, stream_as: 'json' } },
    }),
  );
  rig.start().bot({ disconnectedBy: 'bot' }).keys('1');
  t.match(JSON.parse(rig.query()['Stream'] ?? '{}'), { StreamSID: 'strm1', DisconnectedBy: 'bot', Error: '' });
});

t.test('record: prompt, beep, message; the finish key, silence and the caller’s end all keep it', async (t) => {
  const flow = flowOf({
    mail: {
      applet: 'record',
      params: { prompt: [{ file: 'leave.wav' }], min_ms: 1000 },
      exits: { next: 'tell', empty: 'bye' },
    },
    tell: { applet: 'passthru', params: { url: 'http://x.example/' } },
    bye,
  });
  const done = (rig: FlowLadder, durationMs: number, end: 'stopped' | 'silence' | 'failed' = 'stopped') =>
    rig.send({ type: 'recordEnded', recordId: rig.id('startRecord'), end, durationMs, url: 'http://r.example/1.wav' });

  const rig = new FlowLadder(flow).start().played().keys('1#');
  done(rig, 4000);
  t.same(rig.ladder().slice(3), [
    '<- play leave.wav, 1000Hz',
    '-> play ended',
    '<- record mono',
    '-> key 1',
    '-> key #',
    '<- stop record',
    '-> record ended',
    '<- GET http://x.example/',
  ]);
  t.match(rig.query(), { CallType: 'voicemail', RecordingUrl: 'http://r.example/1.wav' });

  const left = new FlowLadder(flow).start().played().send({ type: 'callerHungUp' });
  done(left, 4000);
  t.same(left.ladder().slice(-4), [
    '-> caller hung up',
    '<- stop record',
    '-> record ended',
    '<- tell http://x.example/',
  ]);

  const short = done(new FlowLadder(flow).start().played(), 200, 'silence');
  t.same(short.ladder().slice(-1), ['<- hangup 16 flow_hangup']);
  const failed = done(new FlowLadder(flow).start().played(), 0, 'failed');
  t.equal(failed.state.reasonCode, 'record_failed');
  const stuck = new FlowLadder(flow).start().played().wait(130_000);
  t.equal(stuck.state.reasonCode, 'record_timeout');
});

t.test('record: the call itself, from here on', async (t) => {
  const rig = new FlowLadder(
    flowOf({
      tape: { applet: 'record', params: { what: 'call', channels: 'stereo' }, exits: { next: 'talk' } },
      talk: { applet: 'connect', params: { to: ['+914000'] } },
    }),
  );
  rig.start().dialUp().dialed('completed');
  t.same(rig.ladder().slice(3), [
    '<- record stereo',
    '<- dial-2 +914000 anchored',
    '-> dial-2 answered',
    '<- bridge dial-2',
    '-> dial-2 completed',
    '<- stop record',
    '<- hangup 16 normal_clearing',
  ]);
});

t.test('passthru: 200 and 302 branch, all else is an error; asynchronous goes on at once', async (t) => {
  const ask = (params: object = {}) =>
    flowOf({
      ask: {
        applet: 'passthru',
        params: { url: 'https://x.example/?a=1', query: { pin: '{{custom.tier}}' }, ...params },
        exits: { a: 'a', b: 'b', error: 'c' },
      },
      a: ends(31),
      b: ends(32),
      c: ends(33),
    });
  const cause = (rig: FlowLadder) => rig.last('reject')?.cause;
  t.equal(cause(new FlowLadder(ask()).start().fetched(200)), 31);
  t.equal(cause(new FlowLadder(ask()).start().fetched(302)), 32);
  t.equal(cause(new FlowLadder(ask()).start().fetched(500)), 33);
  t.equal(cause(new FlowLadder(ask()).start().wait(7000)), 33);
  const failed = new FlowLadder(ask()).start();
  failed.send({ type: 'fetchFailed', fetchId: failed.id('fetch'), reason: 'refused' });
  t.equal(cause(failed), 33);
  t.match(failed.trace[0], { error: { code: 'webhook_failed', message: 'refused' } });
  t.strictSame(failed.last('fetch').query, [
    ['CallSid', '01CALL'],
    ['CallFrom', '+919876543210'],
    ['CallTo', '+918040000002'],
    ['From', '+919876543210'],
    ['To', '+918040000002'],
    ['Direction', 'incoming'],
    ['Created', 'Fri, 23 Jan 2026 14:54:59'],
    ['DialCallDuration', '0'],
    ['StartTime', '2026-01-23 14:54:59'],
    ['EndTime', '1970-01-01 05:30:00'],
    ['CallType', 'call-attempt'],
    ['DialWhomNumber', ''],
    ['flow_id', 'flw_test'],
    ['tenant_id', 'demo'],
    ['pin', 'gold'],
  ]);
  const async = new FlowLadder(
    flowOf({
      tell: { applet: 'passthru', params: { url: 'http://x.example/', async: true }, exits: { next: 'bye' } },
      bye,
    }),
  ).start();
  t.same(async.ladder(), ['-> started', '<- tell http://x.example/', '<- reject 480 flow_hangup']);
});

t.test('passthru: digits arrive in double quotes', async (t) => {
  const rig = new FlowLadder(
    flowOf({
      ask: { applet: 'gather', params: { max_digits: 3 }, exits: { digits: 'tell' } },
      tell: { applet: 'passthru', params: { url: 'http://x.example/' } },
    }),
  );
  t.equal(rig.start().keys('123').query()['digits'], '"123"');
});

t.test('transfer: to a flow that is there or not, and by REFER', async (t) => {
  const flow = flowOf({ go: { applet: 'transfer', params: { flow: 'flw_other' }, exits: { failed: 'bye' } }, bye });
  const other = flowOf({ only: { applet: 'reject', params: { status: 486 } } });
  const rig = new FlowLadder(flow).start();
  rig.send({ type: 'flowLoaded', transferId: rig.id('transfer'), flow: other });
  t.same(rig.ladder(), ['-> started', '<- transfer to flw_other', '-> flow loaded', '<- reject 486 flow_reject']);
  const gone = new FlowLadder(flow).start();
  gone.send({ type: 'flowLoaded', transferId: gone.id('transfer'), flow: undefined });
  t.same(gone.ladder().slice(-1), ['<- reject 480 flow_hangup']);
  t.ok(new FlowLadder(flow).start().wait(5000).over);

  const refer = flowOf({
    go: { applet: 'transfer', params: { refer: 'sip:{{custom.tier}}@192.0.2.1' }, exits: { failed: 'bye' } },
    bye,
  });
  const sent = new FlowLadder(refer).start();
  sent.send({ type: 'referEnded', referId: sent.id('refer'), accepted: true, sipStatus: 202 });
  t.same(sent.ladder().slice(3), ['<- REFER sip:gold@192.0.2.1', '-> refer ended', '<- hangup 16 transferred']);
  const refused = new FlowLadder(refer).start();
  refused.send({ type: 'referEnded', referId: refused.id('refer'), accepted: false, sipStatus: 603 });
  t.same(refused.ladder().slice(-1), ['<- hangup 16 flow_hangup']);
});

t.test('switchcase: the first case that holds', async (t) => {
  const rig = (from: string) =>
    new FlowLadder(
      flowOf({
        which: {
          applet: 'switchcase',
          params: {
            cases: [
              { when: 'matchesDigits(call.from, "+91XXXXXXXXXX")', exit: 'india' },
              { when: 'startsWith(call.from, "+")', exit: 'world' },
            ],
          },
          exits: { india: 'a', world: 'b', otherwise: 'c' },
        },
        a: ends(31),
        b: ends(32),
        c: ends(33),
      }),
      { from },
    ).start();
  t.equal(rig('+919876543210').last('reject').cause, 31);
  t.equal(rig('+4930123').last('reject').cause, 32);
  t.equal(rig('').last('reject').cause, 33);
});

t.test('timing: opening hours in their own time zone, over midnight and daylight saving, and holidays', async (t) => {
  const at = (iso: string, params: object) => {
    const flow = flowOf({
      when: {
        applet: 'timing',
        params,
        exits: { open: 'a', closed: 'b', ...('holidays' in params ? { holiday: 'c' } : {}) },
      },
      a: ends(31),
      b: ends(32),
      ...('holidays' in params ? { c: ends(33) } : {}),
    });
    const rig = new FlowLadder(flow, { startedWallMs: Date.parse(iso) }).start();
    return { 31: 'open', 32: 'closed', 33: 'holiday' }[rig.last('reject').cause];
  };
  const office = {
    time_zone: 'Asia/Kolkata',
    open: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '09:00', to: '18:00' }],
  };
  t.equal(at('2026-01-23T03:29:59Z', office), 'closed', '08:59:59 in Kolkata');
  t.equal(at('2026-01-23T03:30:00Z', office), 'open');
  t.equal(at('2026-01-23T12:30:00Z', office), 'closed', '18:00');
  t.equal(at('2026-01-24T05:00:00Z', office), 'closed', 'Saturday');
  const closed = { ...office, holidays: ['2026-01-23', '08-15'] };
  t.equal(at('2026-01-23T05:00:00Z', closed), 'holiday');
  t.equal(at('2030-08-15T05:00:00Z', closed), 'holiday');
  const night = { time_zone: 'Europe/Berlin', open: [{ days: ['fri'], from: '22:00', to: '06:00' }] };
  t.equal(at('2026-01-23T21:30:00Z', night), 'open', 'Friday 22:30');
  t.equal(at('2026-01-24T04:59:00Z', night), 'open', 'Saturday 05:59 belongs to Friday');
  t.equal(at('2026-01-23T04:59:00Z', night), 'closed', 'Friday 05:59 belongs to Thursday');
  t.equal(at('2026-07-24T20:30:00Z', night), 'open', 'summer time: 22:30');
  t.equal(isTimeZone('Mars/Olympus'), false);
  t.match(
    problemsOf({
      w: { applet: 'timing', params: { ...office, time_zone: 'Mars/Olympus' }, exits: { open: 'w', closed: 'w' } },
    }),
    [/nodes.w.params.time_zone 'Mars\/Olympus' is no IANA time zone/],
  );
  const time = wallTimeIn('UTC', WALL_MS);
  t.equal(dateTimeText(time), '2026-01-23 09:24:59');
  t.equal(longDateText(time), 'Fri, 23 Jan 2026 09:24:59');
});

t.test('timing: a call that waits grows older', async (t) => {
  const rig = new FlowLadder(
    flowOf({
      ask: { applet: 'gather', params: { first_digit_ms: 300_000 }, exits: { digits: 'when' } },
      when: {
        applet: 'timing',
        params: { time_zone: 'UTC', open: [{ days: ['fri'], from: '09:26', to: '09:30' }] },
        exits: { open: 'bye', closed: 'no' },
      },
      bye,
      no: ends(31),
    }),
  );
  rig.start().wait(120_000).keys('1#');
  t.equal(rig.last('hangup').cause, 16);
});

t.test('reject and hangup: what a caller is told before and after an answer', async (t) => {
  t.match(new FlowLadder(flowOf({ no: { applet: 'reject', params: { status: 486 } } })).start().last('reject'), {
    status: 486,
    cause: 17,
  });
  t.match(
    new FlowLadder(flowOf({ no: { applet: 'hangup', params: { cause: 21, status: 403 } } })).start().last('reject'),
    {
      status: 403,
      cause: 21,
    },
  );
  const hi = { applet: 'greeting', params: { play: [{ silence_ms: 100 }] }, exits: { next: 'no' } };
  t.match(new FlowLadder(flowOf({ hi, no: { applet: 'reject' } })).start().played().last('hangup'), { cause: 21 });
});
