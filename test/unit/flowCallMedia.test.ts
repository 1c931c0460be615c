/** What flows do with a caller's audio and with web servers, on fake media: keys, bots, recordings, webhooks, faults. */
import t from 'tap';
import { err, ok } from '../../src/kernel/index.js';
import type { HeaderEntry } from '../../src/signal/port.js';
import { FlowRig } from '../support/flowRig.js';

const TONE = { tone: [440], duration_ms: 1000 };
const bye = { applet: 'hangup' };
const greet = (next = 'bye', source: object = TONE) => ({
  applet: 'greeting',
  params: { play: [source] },
  exits: { next },
});
const bot = (exits: object = { next: 'bye' }) => ({
  applet: 'voicebot',
  params: { url: 'wss://user:secret@bot.example/talk', custom_parameters: { who: '{{caller.number}}' } },
  exits,
});

/** Ends of a call that the flow hangs up. */
const over = async (rig: FlowRig, a: { confirms(): void }): Promise<void> => {
  await rig.turn();
  a.confirms();
  await rig.turn();
};

t.test('digits by RFC 4733 and by SIP INFO fill one gather; a key that comes both ways counts once', async (t) => {
  const nodes = {
    first: { applet: 'gather', params: { prompt: [TONE], max_digits: 3 }, exits: { digits: 'hook' } },
    hook: { applet: 'passthru', params: { url: 'https://hook.example/{{nodes.first.digits}}' }, exits: { a: 'bye' } },
    bye,
  };
  const rig = await FlowRig.create({ nodes, flow: { fallback: 'bye' } });
  const a = await rig.answered();
  rig.media.last.presses('1');
  const info = a.asks('INFO', { contentType: 'application/dtmf-relay', body: 'Signal=1\r\nDuration=160\r\n' });
  t.equal(info.answers[0]?.status, 200);
  await rig.pass(400);
  a.asks('INFO', { contentType: 'application/dtmf-relay', body: 'Signal= 2\r\nDuration= 100\r\n' });
  await rig.pass(400);
  a.asks('INFO', { contentType: 'application/dtmf', body: '3' });
  await rig.turn();
  t.match(rig.http.asked[0]?.ask, { method: 'GET', url: 'https://hook.example/123', timeoutMs: 5000 });
  rig.http.answers(200);
  await over(rig, a);
  t.match(
    rig.record.flow?.path.map(({ exit }) => exit),
    ['digits', 'a', 'call_ended'],
  );
  t.notMatch(JSON.stringify(rig.record.flow), '123', 'digits are in no record');
  t.same(rig.leftovers(), []);
});

t.test('INFO about other things, and requests of all kinds, are answered', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: bot(), bye } });
  const a = await rig.answered();
  t.equal(a.asks('INFO', { contentType: 'application/dtmf', body: 'x' }).answers[0]?.status, 200);
  t.equal(a.asks('INFO', { contentType: 'application/media_control+xml', body: '<x/>' }).answers[0]?.status, 200);
  t.equal(a.asks('OPTIONS').answers[0]?.status, 200);
  t.equal(a.asks('NOTIFY').answers[0]?.status, 200);
  t.equal(a.asks('UPDATE').answers[0]?.status, 200);
  t.match(
    a.asks('REFER').answers,
    [{ status: 603, spec: { headers: [['Reason', 'SIP;cause=603;text="refer_off"']] } }],
    'a carrier’s subscribers transfer nobody',
  );
  t.equal(a.asks('MESSAGE').answers[0]?.status, 405);
  const update = a.asks('UPDATE', { body: 'hold' });
  await rig.turn();
  t.match(update.answers, [{ status: 200, spec: { body: Buffer.from('m1 answers [hold]') } }]);
  a.byes();
  await rig.turn();
  t.same(rig.leftovers(), []);
});

t.test('a bot gets the call, its report goes into the record, its leaving sends the flow on', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: bot({ next: 'end' }), end: bye } });
  const a = await rig.answered();
  const [spec] = rig.media.last.streams.values();
  t.match(spec, {
    url: 'wss://user:secret@bot.example/talk',
    dialect: 'exotel',
    direction: 'bidirectional',
    sampleRate: 8000,
    accountSid: 'demo',
    from: '+919820000000',
    to: '+918040000002',
    customParameters: { who: '+919820000000' },
  });
  rig.media.last.streamStarts();
  a.asks('INFO', { contentType: 'application/dtmf', body: '5' });
  t.equal(rig.media.log.at(-1), 'm1 inject 5', 'a key of signalling is handed to the bot');
  rig.media.last.streamEnds({ detail: 'bot_closed' });
  await over(rig, a);
  t.match(rig.record, { reasonCode: 'flow_hangup', streams: [{ disconnectedBy: 'bot', detail: 'bot_closed' }] });
  t.equal(rig.record.streams?.[0]?.streamSid, spec?.streamSid);
  t.equal(rig.record.callId, spec?.callSid);
  t.notMatch(JSON.stringify(rig.record), 'secret');
  t.same(rig.leftovers(), []);
});

t.test('the caller hangs up while talking to a bot: the bot is told, and its report is waited for', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: bot(), bye } });
  const a = await rig.answered();
  rig.media.last.streamStarts();
  await rig.pass(2000);
  a.byes();
  t.match(rig.media.log.at(-1), / stopStream callended$/, 'the bot is told that the call is over');
  t.equal(rig.limiter.dump().calls, 0, 'limits are free at once');
  await rig.turn();
  t.match(rig.record, {
    talkMs: 2000,
    endedBy: 'caller',
    streams: [{ disconnectedBy: 'user', status: 'completed' }],
  });
  t.same(rig.leftovers(), []);
});

t.test('a bot that cannot be reached leads to the exit for it', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: bot({ next: 'bye', failed: 'sorry' }), sorry: greet(), bye } });
  const a = await rig.answered();
  rig.media.last.streamEnds({ status: 'failed', disconnectedBy: 'NA', detail: 'refused', durationMs: 0 });
  await rig.turn();
  t.equal(rig.media.log.at(-1), 'm1 play tone');
  rig.media.last.playEnds();
  await over(rig, a);
  t.same(rig.leftovers(), []);
});

t.test('a message is recorded; hanging up ends it well', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: { applet: 'record', params: { beep: false } } } });
  const a = await rig.answered();
  t.equal(rig.media.last.records.size, 1);
  const [spec] = rig.media.last.records.values();
  t.match(spec?.path, /^\/recordings\/[0-9A-Z]{26}-record-\d+\.wav$/);
  await rig.pass(3000);
  a.byes();
  await rig.turn();
  t.match(rig.record.flow?.path, [{ node: 'first', applet: 'record', exit: 'next' }]);
  t.same(rig.leftovers(), []);
});

t.test('audio behind a URL is fetched, speech is spoken, files stay in their folder', async (t) => {
  const nodes = {
    first: greet('speak', { url: 'https://audio.example/a.wav' }),
    speak: greet('file', { text: 'Hello {{caller.number}}' }),
    file: greet('outside', { file: 'hello.wav' }),
    outside: { ...greet('bye', { file: '../etc/passwd' }), exits: { next: 'bye', error: 'bye' } },
    bye,
  };
  const spoken: string[] = [];
  const speech = (text: string) => {
    spoken.push(text);
    return ok(Buffer.from('speech'));
  };
  const rig = await FlowRig.create({ nodes, speech });
  const a = await rig.answered();
  t.match(rig.http.asked[0]?.ask, { url: 'https://audio.example/a.wav', whole: true });
  rig.http.answers(200, 'wav');
  await rig.turn();
  t.match([...rig.media.last.plays.values()], [{ sources: [{ kind: 'audio', wav: Buffer.from('wav') }] }]);
  rig.media.last.playEnds();
  await rig.turn();
  t.same(spoken, ['Hello +919820000000']);
  rig.media.last.playEnds();
  await rig.turn();
  t.match([...rig.media.last.plays.values()], [{ sources: [{ kind: 'file', path: '/sounds/hello.wav' }] }]);
  rig.media.last.playEnds();
  await over(rig, a);
  t.match(rig.record.flow?.path[3], { node: 'outside', exit: 'error', error: 'play_failed' });
  t.same(rig.leftovers(), []);
});

t.test('sound that cannot be had takes the error exit, else the fallback, else ends the call', async (t) => {
  const rig = await FlowRig.create({
    nodes: { first: greet('bye', { text: 'Hello' }), second: greet('bye', { url: 'https://a.example/a.wav' }), bye },
    flow: { fallback: 'second' },
    speech: () => err('no speech program is installed'),
  });
  const a = await rig.answered();
  t.equal(rig.http.asked.length, 1);
  rig.http.answers(404);
  await over(rig, a);
  t.match(rig.record, { reasonCode: 'flow_failed', outcome: 'answered', endedBy: 'tandem', q850: 41 });
  t.match(rig.record.flow, {
    reasonCode: 'play_failed',
    path: [
      { node: 'first', exit: 'error', error: 'speech_failed' },
      { node: 'second', exit: 'error', error: 'play_failed' },
    ],
  });
  t.same(rig.leftovers(), []);
});

t.test('the caller hangs up while a webhook and a sound are being fetched', async (t) => {
  const hook = { applet: 'passthru', params: { url: 'https://hook.example/' }, exits: { a: 'bye' } };
  for (const first of [greet('bye', { url: 'https://audio.example/a.wav' }), hook]) {
    const rig = await FlowRig.create({ nodes: { first, bye } });
    const a = rig.calls();
    await rig.turn();
    if (a.answered === undefined) a.cancels();
    else {
      a.acks();
      await rig.turn();
      a.byes();
    }
    await rig.turn();
    t.equal(rig.http.asked.length, 1);
    t.ok(rig.http.asked[0]?.cancelled);
    rig.http.answers(200);
    t.same(rig.leftovers(), []);
  }
});

t.test('a webhook branches by its status; one that is told only is never waited for', async (t) => {
  const nodes = {
    first: { applet: 'passthru', params: { url: 'https://hook.example/x?y=1' }, exits: { a: 'bye', b: 'tell' } },
    tell: { applet: 'passthru', params: { url: 'https://hook.example/t', async: true }, exits: { next: 'no' } },
    no: { applet: 'reject', params: { status: 603 } },
    bye,
  };
  const rig = await FlowRig.create({ nodes });
  const a = rig.calls();
  await rig.turn();
  t.equal(a.answered, undefined, 'a caller need not be answered for a webhook');
  t.match(new Map(rig.http.asked[0]?.ask.query).get('CallFrom'), '+919820000000');
  rig.http.answers(302);
  await rig.turn();
  t.match(a.rejected, { status: 603 });
  t.equal(rig.http.asked.length, 2);
  t.notOk(rig.http.asked[1]?.cancelled, 'what is only told outlives the call');
  rig.http.answers(200);
  t.match(rig.record, { outcome: 'rejected', sipStatus: 603, q850: 21, reasonCode: 'flow_reject', talkMs: 0 });
  t.same(rig.leftovers(), []);
});

t.test('a media worker dies in mid-announcement: the fallback is heard over new media', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), sorry: greet(), bye }, flow: { fallback: 'sorry' } });
  const a = await rig.answered();
  await rig.pass(300);
  rig.media.last.fails();
  await rig.turn();
  t.match(rig.signal.ladder.at(-1), /^A <- re-INVITE \[m2 offer 1\]$/);
  a.respondsReinvite(200, 'new answer');
  await rig.turn();
  t.equal(rig.signal.ladder.at(-1), 'A <- ACK (re-INVITE)');
  t.same(rig.media.last.answers, ['new answer']);
  t.equal(rig.media.log.at(-1), 'm2 play tone');
  rig.media.last.playEnds();
  await over(rig, a);
  t.match(rig.record, { outcome: 'answered', reasonCode: 'flow_hangup' });
  t.same(rig.leftovers(), []);
});

t.test('nothing heard from the caller for too long takes the fallback, as lost media do', async (t) => {
  const nodes = { first: greet(), sorry: greet(), bye };
  const rig = await FlowRig.create({ nodes, flow: { fallback: 'sorry' }, media: { carrier: { timeout_seconds: 30 } } });
  const a = await rig.answered();
  t.equal(rig.media.last.spec.mediaTimeoutMs, 30_000);
  rig.media.last.events.onMediaTimeout();
  await rig.turn();
  t.equal(rig.signal.ladder.at(-1), 'A <- re-INVITE [m2 offer 1]', 'a caller who is there after all is asked again');
  a.respondsReinvite({ kind: 'timeout' });
  await over(rig, a);
  t.match(rig.record.flow?.path, [
    { node: 'first', exit: 'error', error: 'media_failed' },
    { node: 'sorry', exit: 'error', error: 'play_failed' },
  ]);
  t.match(rig.record, { endedBy: 'tandem', outcome: 'answered' });
  t.same(rig.leftovers(), []);
});

t.test('a media worker dies, and the caller refuses new media: the call ends', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), sorry: greet(), bye }, flow: { fallback: 'sorry' } });
  const a = await rig.answered();
  rig.media.last.fails();
  await rig.turn();
  a.respondsReinvite(488);
  await over(rig, a);
  t.match(rig.record, { reasonCode: 'flow_failed', endedBy: 'tandem' });
  t.same(rig.leftovers(), []);
});

t.test('a media worker dies while a bot talks, and the caller hangs up in the middle of the repair', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: bot({ next: 'sorry', error: 'sorry' }), sorry: greet(), bye } });
  const a = await rig.answered();
  rig.media.last.streamStarts();
  rig.media.last.fails();
  await rig.turn();
  a.byes();
  await rig.turn();
  t.match(rig.record, { endedBy: 'caller', streams: [{ status: 'failed' }] });
  t.same(rig.leftovers(), []);
});

t.test('no media plane, no answer: the caller is told 503; no codec in common: 488', async (t) => {
  const down = await FlowRig.create({ nodes: { first: greet(), bye } });
  down.media.down = true;
  const a = down.calls();
  await down.turn();
  t.match(a.rejected, { status: 503 });
  t.match(down.record, { outcome: 'failed', sipStatus: 503, reasonCode: 'answer_failed', endedBy: 'tandem' });
  t.same(down.leftovers(), []);

  const strange = await FlowRig.create({ nodes: { first: greet(), bye } });
  strange.media.refuses = { code: 'no_common_codec', message: 'none', sipStatus: 488 };
  const b = strange.calls();
  await strange.turn();
  t.match(b.rejected, { status: 488 });
  t.match(strange.record, { sipStatus: 488, reasonCode: 'answer_failed' });
  t.same(strange.leftovers(), []);
});

t.test('a media engine that never confirms does not keep the record', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  const a = await rig.answered();
  rig.media.hangsOnClose = true;
  a.byes();
  await rig.pass(249);
  t.equal(rig.recorder.records.length, 0);
  await rig.pass(1);
  t.match(rig.record.media, { a: null, b: null });
  t.same(rig.leftovers(), []);
});

t.test('a flow that runs on behind a caller who has gone does not keep the record', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: bot(), bye }, flow: { fallback: 'bye' } });
  const a = await rig.answered();
  rig.media.last.streamStarts();
  // A bot whose end is never told.
  rig.media.last.stopStream = () => {};
  await rig.pass(1000);
  a.byes();
  await rig.pass(399);
  t.equal(rig.recorder.records.length, 0);
  await rig.pass(1);
  t.match(rig.record, { endedBy: 'caller', reasonCode: 'normal_clearing', talkMs: 1000, streams: [] });
  t.match(rig.record.media, { a: { mos: 4.4 } });
  t.same(rig.record.flow?.path, [], 'what the flow does later is in the log');
  t.equal(rig.service.registry.size, 1, 'it runs on');
  await rig.pass(2600);
  t.equal(rig.events.filter(({ type }) => type === 'flow_step').length, 1);
  t.same(rig.leftovers(), []);
});

t.test('new media that meet an offer of the caller (491) wait their turn, or take that offer', async (t) => {
  for (const how of ['again', 'theirs', 'never'] as const) {
    const rig = await FlowRig.create({
      nodes: { first: greet('second'), second: greet(), bye },
      flow: { fallback: 'second' },
    });
    const a = await rig.answered();
    rig.media.last.fails();
    await rig.turn();
    a.respondsReinvite(491);
    await rig.turn();
    if (how === 'theirs') {
      const own = a.reinvitesWith('own offer');
      await rig.turn();
      t.match(own.owed.answers, [{ status: 200, spec: { body: Buffer.from('m2 answers [own offer]') } }]);
    } else {
      const asked = rig.signal.ladder.length;
      await rig.pass(2000);
      t.equal(rig.signal.ladder[asked], 'A <- re-INVITE [m2 offer 1]');
      for (let i = 0; i < 2 && how === 'never'; i++) {
        a.respondsReinvite(491);
        await rig.pass(2000);
      }
      a.respondsReinvite(how === 'again' ? 200 : 491, 'new');
      await rig.turn();
    }
    t.equal(rig.media.log.includes('m2 play tone'), how !== 'never', how);
    if (how !== 'never') a.byes();
    await over(rig, a);
    t.same(rig.leftovers(), [], how);
  }
});

t.test(
  'a flow grants the session timer that its caller asks for, and ends a session that nobody refreshes',
  async (t) => {
    const rig = await FlowRig.create({ nodes: { first: greet('talk'), talk: bot(), bye }, flow: { fallback: 'bye' } });
    const a = rig.calls({ headers: [['Supported', 'timer'] as const, ['Session-Expires', '90'] as const] });
    await rig.turn();
    const fields = (headers: readonly HeaderEntry[] | undefined): unknown =>
      headers?.find(([name]) => name === 'Session-Expires')?.[1];
    t.equal(fields(a.answered?.headers), '90;refresher=uac');
    a.acks();
    rig.clock.advance(45_000);
    const refresh = a.asks('UPDATE', {
      headers: [
        ['Supported', 'timer'],
        ['Session-Expires', '90;refresher=uac'],
      ],
    });
    t.equal(fields(refresh.answers[0]?.spec.headers), '90;refresher=uac');
    rig.clock.advance(59_000);
    await rig.turn();
    t.equal(a.byeSent, false);
    rig.clock.advance(1000);
    await over(rig, a);
    t.match(a.byeHeaders, [['Reason', /session_expired/]]);
    t.same(rig.leftovers(), []);
  },
);

t.test('a caller who requires 100rel hears it by a reliable 183, and an offer in its PRACK is answered', async (t) => {
  const early = { ...greet('talk'), params: { play: [TONE], early: true } };
  const rig = await FlowRig.create({ nodes: { first: early, talk: bot(), bye }, flow: { fallback: 'bye' } });
  const a = rig.calls({ headers: [['Require', '100rel']] });
  await rig.turn();
  a.pracks('offer 2');
  await rig.turn();
  t.same(rig.signal.ladder, [
    'A -> INVITE [offer]',
    'A <- 183 [m1 answers [offer]] reliably',
    'A -> PRACK [offer 2]',
    'A <- 200 (PRACK) [m1 answers [offer 2]]',
  ]);
  a.cancels();
  await over(rig, a);
  t.same(rig.leftovers(), []);
});

t.test('an early greeting is heard before the answer, and the answer repeats its description', async (t) => {
  const early = { ...greet('talk'), params: { play: [TONE], early: true } };
  const rig = await FlowRig.create({ nodes: { first: early, talk: bot(), bye }, flow: { fallback: 'bye' } });
  const a = rig.calls({ headers: [['P-Early-Media', 'supported']] });
  await rig.turn();
  t.same(rig.signal.ladder, ['A -> INVITE [offer]', 'A <- 183 [m1 answers [offer]]']);
  t.same(a.sent1xx[0]?.spec.headers, [['P-Early-Media', 'sendrecv']]);
  t.ok(rig.media.log.includes('m1 play tone'));
  rig.media.last.playEnds();
  await rig.turn();
  t.equal(rig.signal.ladder.at(-1), 'A <- 200 [m1 answers [offer]]');
  a.acks();
  await rig.turn();
  t.ok(rig.media.log.some((line) => line.startsWith('m1 stream')));
  t.equal(rig.media.endpoints.length, 1);
  a.byes();
  await over(rig, a);
  t.match(rig.record, { outcome: 'answered' });
  t.same(rig.leftovers(), []);
});

t.test('a flow may announce and refuse, without ever answering; the caller may leave while it listens', async (t) => {
  const first = { ...greet('busy'), params: { play: [TONE], early: true } };
  const nodes = { first, busy: { applet: 'reject', params: { status: 486 } } };
  const rig = await FlowRig.create({ nodes, flow: { fallback: 'busy' } });
  const a = rig.calls();
  await rig.turn();
  t.same(a.sent1xx[0]?.spec.headers, [], 'nobody asked for P-Early-Media');
  rig.media.last.playEnds();
  await rig.turn();
  t.match(a.rejected, { status: 486 });
  t.match(rig.record, { answeredAt: null, sipStatus: 486 });
  t.same(rig.leftovers(), []);

  const other = await FlowRig.create({ nodes, flow: { fallback: 'busy' } });
  const b = other.calls();
  await other.turn();
  b.cancels();
  await other.turn();
  t.match(other.record, { outcome: 'cancelled' });
  t.same(other.leftovers(), []);
});

t.test('who cannot have early media is answered: no offer, no codec in common', async (t) => {
  const first = { ...greet(), params: { play: [TONE], early: true } };
  const rig = await FlowRig.create({ nodes: { first, bye }, flow: { fallback: 'bye' } });
  const a = rig.calls({ body: '' });
  await rig.turn();
  t.equal(rig.signal.ladder.at(-1), 'A <- 200 [m1 offer 1]');
  a.acks('answer');
  await rig.turn();
  t.ok(rig.media.log.includes('m1 play tone'));
  a.byes();
  await over(rig, a);
  t.same(rig.leftovers(), []);

  const other = await FlowRig.create({ nodes: { first, bye }, flow: { fallback: 'bye' } });
  other.media.refuses = { code: 'no_common_codec', message: 'none', sipStatus: 488 };
  const b = other.calls();
  await other.turn();
  t.match(b.rejected, { status: 488 });
  t.same(other.leftovers(), []);
});

t.test('an INVITE without an offer gets ours, and its ACK answers it', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  const a = rig.calls({ body: '' });
  await rig.turn();
  t.equal(rig.signal.ladder.at(-1), 'A <- 200 [m1 offer 1]');
  a.acks('late answer');
  await rig.turn();
  t.same(rig.media.last.answers, ['late answer']);
  t.equal(rig.media.log.at(-1), 'm1 play tone');
  a.byes();
  await rig.turn();
  t.same(rig.leftovers(), []);
});

t.test('an INVITE without an offer whose ACK answers nothing usable is ended', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  const a = rig.calls({ body: '' });
  await rig.turn();
  rig.media.last.refuses = { code: 'sdp_invalid', message: 'no', sipStatus: 400 };
  a.acks('');
  await over(rig, a);
  t.match(rig.record, { reasonCode: 'answer_failed' });
  t.same(rig.leftovers(), []);
});

t.test('hold, resume and a re-INVITE without an offer are answered by the media plane', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: bot(), bye } });
  const a = rig.calls();
  await rig.turn();
  const early = a.reinvitesWith('too early');
  t.equal(early.owed.answers[0]?.status, 491);
  a.acks();
  await rig.turn();
  const hold = a.reinvitesWith('sendonly');
  await rig.turn();
  t.match(hold.owed.answers, [{ status: 200, spec: { body: Buffer.from('m1 answers [sendonly]') } }]);
  hold.acks();
  rig.media.last.refuses = { code: 'no_common_codec', message: 'none', sipStatus: 488 };
  const odd = a.reinvitesWith('video only');
  await rig.turn();
  t.match(odd.owed.answers, [{ status: 488 }]);
  const late = a.reinvitesWith('');
  await rig.turn();
  t.match(late.owed.answers, [{ status: 200, spec: { body: Buffer.from('m1 offer 1') } }]);
  late.acks('its answer');
  await rig.turn();
  t.same(rig.media.last.answers, ['its answer']);
  a.byes();
  await rig.turn();
  t.same(rig.leftovers(), []);
});

t.test('a drain ends flows, an operator can, and a longest duration does', async (t) => {
  for (const how of ['drain', 'limit'] as const) {
    const rig = await FlowRig.create({ nodes: { first: bot(), bye }, settings: { maxCallMs: 60_000 } });
    const a = await rig.answered();
    rig.media.last.streamStarts();
    const drained = how === 'drain' ? rig.service.drain(30_000) : undefined;
    await rig.pass(60_000);
    t.match(rig.signal.ladder.at(-1), /^A <- BYE/);
    a.confirms();
    await drained;
    t.match(rig.record, { reasonCode: how === 'drain' ? 'drain_limit' : 'max_duration', endedBy: 'tandem' });
    t.equal(rig.record.streams?.length, 1, 'the bot has reported');
    t.same(rig.leftovers(), []);
  }
});

t.test('an exception in the media plane ends the call, is told once, and leaves nothing', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  rig.expectsFaults = true;
  const a = await rig.answered();
  rig.media.last.play = () => {
    throw new Error('boom');
  };
  const { events } = rig.media.last;
  rig.media.last.playEnds('failed');
  await over(rig, a);
  t.equal(rig.faults.length, 0, 'a play that fails is no fault');
  events.onPlayEnded('nobody', 'finished', '');
  t.match(rig.record, { reasonCode: 'flow_failed' });

  const broken = await FlowRig.create({ nodes: { first: greet('again'), again: greet(), bye } });
  broken.expectsFaults = true;
  const b = await broken.answered();
  broken.media.last.play = () => {
    throw new Error('boom');
  };
  broken.media.last.playEnds();
  await over(broken, b);
  t.match(broken.faults, [{ message: 'boom' }]);
  t.match(broken.record, { reasonCode: 'internal_error', endedBy: 'tandem', q850: 41 });
  t.same(broken.leftovers(), []);
});

t.test('an exception before the answer is told as 500', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  rig.expectsFaults = true;
  rig.media.open = () => Promise.reject(new Error('boom'));
  const a = rig.calls();
  await rig.turn();
  t.match(a.rejected, { status: 500 });
  t.match(rig.record, { outcome: 'failed', reasonCode: 'internal_error', sipStatus: 500 });
  t.same(rig.leftovers(), []);
});

t.test('a leg that never confirms its BYE is forgotten', async (t) => {
  const rig = await FlowRig.create({ nodes: { first: greet(), bye } });
  await rig.answered();
  rig.media.last.playEnds();
  await rig.pass(39_999);
  t.equal(rig.service.registry.size, 1);
  await rig.pass(1);
  t.match(rig.events.at(-1), { type: 'call_released', abandonedLegs: 1 });
  t.same(rig.leftovers(), []);
});
