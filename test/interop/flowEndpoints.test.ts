/** Telephones that people use call numbers that flows answer: what they hear, press, say, and who hangs up. */
import t, { type Test } from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { bounded } from '../support/endpoints.js';
import { Baresip } from '../support/endpointsBaresip.js';
import { Linphone } from '../support/endpointsLinphone.js';
import { BotProcess, FlowTown, wayOf } from '../support/flowTown.js';
import { msOf, orderOf } from '../support/soundFiles.js';

const GREETING_HZ = 600;
const ELSEWHERE_HZ = 1000;
const BARESIP_HZ = 440;
const LINPHONE_HZ = 720;
const INDEX = 1;
const LINPHONE = `127.0.64.${INDEX * 10 + 6}`;
const LINPHONE_PORT = 30_030;
/** baresip leaves the source address of its RTP to the kernel: within 127/8 that is this one. */
const BARESIP = '127.0.0.1';
const BARESIP_PORT = 30_020;
const BOT_PORT = 30_050;

const tone = (hz: number, next: string, ms = 800): object => ({
  applet: 'greeting',
  params: { play: [{ tone: [hz], duration_ms: ms }] },
  exits: { next },
});
const bye = { applet: 'hangup' };
const nobody = { timeout: 'bye', invalid: 'bye' };
/** A menu, a bot that echoes, then the other telephone. */
const story = (id: string, callee: string) => ({
  id,
  start: 'greeting',
  nodes: {
    greeting: tone(GREETING_HZ, 'menu'),
    menu: {
      applet: 'menu',
      params: { choices: ['4', '5', '6', '7'] },
      exits: { 4: 'bot', 5: 'bye', 6: 'flow', 7: 'refer', ...nobody },
    },
    bot: {
      applet: 'voicebot',
      params: { url: `ws://127.0.64.${INDEX * 10 + 3}:${BOT_PORT}/`, frame_ms: 20 },
      exits: { next: 'dial', failed: 'bye' },
    },
    dial: { applet: 'connect', params: { to: [callee] } },
    flow: { applet: 'transfer', params: { flow: 'elsewhere' }, exits: { failed: 'bye' } },
    refer: {
      applet: 'transfer',
      params: { refer: `sip:+918040002002@127.0.64.${INDEX * 10}:30000` },
      exits: { failed: 'bye' },
    },
    bye,
  },
});

const town = await FlowTown.start({
  index: INDEX,
  callers: [BARESIP, LINPHONE],
  pbx: `${LINPHONE}:${LINPHONE_PORT}`,
  flows: [
    story('toLinphone', 'sip:trk'),
    story('toBaresip', `sip:+919812345678@${BARESIP}:${BARESIP_PORT}`),
    { id: 'elsewhere', start: 'tone', nodes: { tone: tone(ELSEWHERE_HZ, 'bye', 2000), bye } },
  ],
});
const { node } = town;
t.teardown(() => node.destroy());
const bot = await BotProcess.start(town.address('bot'), BOT_PORT);
t.teardown(() => bot.kill());
const baresip = await Baresip.start({
  address: BARESIP,
  port: BARESIP_PORT,
  user: '+919812345678',
  toneHz: BARESIP_HZ,
  rtpPorts: '30400-30499',
});
t.teardown(() => baresip.stop());
const linphone = await Linphone.start({
  address: LINPHONE,
  port: LINPHONE_PORT,
  user: '+919812345679',
  toneHz: LINPHONE_HZ,
  rtpPorts: '30500-30599',
  keysBy: 'info',
});
t.teardown(() => linphone.stop());

t.beforeEach(() => baresip.forget());
t.setTimeout(110_000);

const ALL_HZ = [GREETING_HZ, ELSEWHERE_HZ, BARESIP_HZ, LINPHONE_HZ];
const ANSWERED = { outcome: 'answered', sipStatus: 200, q850: 16, mode: 'flow', direction: 'inbound' } as const;

/** One of the telephones, as a caller. */
interface Caller {
  readonly name: string;
  /** The flow that ends at the other telephone. */
  readonly flow: string;
  readonly ownHz: number;
  dial(uri: string): void;
  press(key: string): void;
  hangUp(): void;
  isOver(): Promise<void>;
  /** A call is about to begin. */
  begin(): void;
  /** In this call. */
  heard(): Int16Array;
  /** Whether that is known while the call lasts; linphone tells when it is over. */
  readonly live: boolean;
}

let baresipHeard = 0;
const callers: readonly Caller[] = [
  {
    name: 'baresip',
    flow: 'toLinphone',
    ownHz: BARESIP_HZ,
    live: true,
    begin: () => void (baresipHeard = baresip.heard().length),
    dial: (uri) => baresip.command('dial', uri),
    press: (key) => baresip.press(key),
    hangUp: () => baresip.command('hangup'),
    isOver: () => baresip.event('CALL_CLOSED'),
    heard: () => baresip.heard().subarray(baresipHeard),
  },
  {
    name: 'linphone',
    flow: 'toBaresip',
    ownHz: LINPHONE_HZ,
    live: false,
    begin: () => linphone.begin(),
    dial: (uri) => linphone.say(`call ${uri}`),
    press: (key) => linphone.say(key),
    hangUp: () => linphone.say('terminate'),
    isOver: () => linphone.over(),
    heard: () => linphone.heard(),
  },
];

/** Waits until a telephone that tells in time hears this. */
const hears = async ({ name, heard, live }: Caller, hz: number, ms = 500): Promise<void> => {
  if (live) await bounded(`${name} hears ${hz} Hz for ${ms} ms`, 10_000, () => msOf(heard(), hz) >= ms);
};

const call = (caller: Caller, flow: string): void => {
  caller.begin();
  caller.dial(town.uriOf(flow));
};

/** Calls, hears the greeting and stands at the menu. @returns how many records there were before */
async function reachMenu(caller: Caller): Promise<number> {
  const before = node.records().length;
  call(caller, caller.flow);
  await town.stands(caller.flow, 'menu');
  await hears(caller, GREETING_HZ);
  return before;
}

/** The caller's voice as a bot gives it back. */
async function talkToBot(caller: Caller): Promise<void> {
  caller.press('4');
  await town.stands(caller.flow, 'bot');
  // 200 ms each.
  await town.botHasSaid(6);
}

for (const [caller, callee] of [
  [callers[0], callers[1]],
  [callers[1], callers[0]],
] as readonly [Caller, Caller][]) {
  void t.test(`${caller.name}: greeting, menu, echo, then ${callee.name} with direct media`, async (t) => {
    const isCallee = caller.name === 'baresip';
    const before = await reachMenu(caller);
    await talkToBot(caller);
    callee.begin();
    caller.press('#');
    await Promise.all([hears(caller, callee.ownHz, 1000), hears(callee, caller.ownHz, 1000)]);
    // Once the callee hangs up, once the caller.
    if (isCallee) callee.hangUp();
    else caller.hangUp();
    await Promise.all([caller.isOver(), callee.isOver()]);
    const record = await town.recordOf(caller.flow, before);
    t.match(record, {
      ...ANSWERED,
      endedBy: isCallee ? 'callee' : 'caller',
      reasonCode: 'normal_clearing',
      attempts: [{ result: 'answered', sipStatus: 200 }],
      streams: [{ status: 'completed', disconnectedBy: 'bot' }],
      media: { a: { codec: 'PCMU', packetsLost: 0 } },
    });
    t.same(wayOf(record), ['greeting:next', 'menu:4', 'bot:next', 'dial:answered']);
    t.equal(record.streams?.length, 1);
    t.same(orderOf(caller.heard(), ALL_HZ), [GREETING_HZ, caller.ownHz, callee.ownHz], 'heard in this order');
    t.ok(msOf(caller.heard(), caller.ownHz) >= 500, 'the bot gave the voice back');
    t.same(orderOf(callee.heard(), ALL_HZ), [caller.ownHz]);
    directMedia(t, record);
  });
}

/** Each end was told of the other's address in the last description of the call, and none of the node's. */
function directMedia(t: Test, record: CallRecord): void {
  const ownOf: { readonly [name: string]: string } = { baresip: BARESIP, linphone: LINPHONE };
  for (const [name, trace, callId] of [
    ['baresip', baresip.output, record.flow?.id === 'toLinphone' ? record.aLegCallId : record.bLegCallId],
    ['linphone', linphone.trace(), record.flow?.id === 'toLinphone' ? record.bLegCallId : record.aLegCallId],
  ] as const) {
    const other = name === 'baresip' ? ownOf['linphone'] : ownOf['baresip'];
    const told = descriptionsIn(trace, callId ?? '').filter((address) => address !== ownOf[name]);
    t.equal(told.at(-1), other, `${name}: audio goes to the other telephone in the end`);
    t.equal(told[0], town.address('node'), `${name}: and went to the node before`);
  }
}

/** `c=` addresses of the messages of one call, in order, in a trace that has them as they are. */
function descriptionsIn(trace: string, callId: string): string[] {
  const messages = trace.split(/^(?=(?:[A-Z]+ sips?:\S+ SIP\/2\.0|SIP\/2\.0 \d{3}))/m);
  return messages
    .filter((text) => /^(?:Call-ID|i): *(\S+)/m.exec(text)?.[1] === callId)
    .flatMap((text) => /^c=IN IP4 (\S+)/m.exec(text)?.[1] ?? []);
}

for (const caller of callers) {
  void t.test(`${caller.name} is handed to another flow, which hangs up`, async (t) => {
    const before = await reachMenu(caller);
    caller.press('6');
    await caller.isOver();
    const record = await town.recordOf(caller.flow, before);
    t.match(record, { ...ANSWERED, endedBy: 'tandem', reasonCode: 'flow_hangup', attempts: [], streams: [] });
    t.same(wayOf(record), ['greeting:next', 'menu:6', 'flow:transferred', 'tone:next', 'bye:call_ended']);
    t.ok(msOf(caller.heard(), ELSEWHERE_HZ) > 600, 'the other flow was heard');
  });

  void t.test(`${caller.name} is sent elsewhere by REFER, and goes there`, async (t) => {
    const before = await reachMenu(caller);
    caller.press('7');
    const second = await town.recordOf('elsewhere', before, 15_000);
    const first = await town.recordOf(caller.flow, before);
    t.match(first, { ...ANSWERED, reasonCode: 'transferred', endedBy: 'tandem' });
    t.same(wayOf(first), ['greeting:next', 'menu:7', 'refer:call_ended']);
    t.match(second, { ...ANSWERED, endedBy: 'tandem', reasonCode: 'flow_hangup' });
    await caller.isOver();
  });

  void t.test(`${caller.name} hangs up while a bot listens, and in the middle of the greeting`, async (t) => {
    let before = await reachMenu(caller);
    await talkToBot(caller);
    caller.hangUp();
    await caller.isOver();
    const record = await town.recordOf(caller.flow, before);
    t.match(record, { ...ANSWERED, endedBy: 'caller', reasonCode: 'normal_clearing' });
    t.match(record.streams, [{ status: 'completed', disconnectedBy: 'user' }]);
    t.equal(wayOf(record).length, 3);

    before = node.records().length;
    call(caller, 'elsewhere');
    await town.stands('elsewhere', 'tone');
    caller.hangUp();
    await caller.isOver();
    const short = await town.recordOf('elsewhere', before);
    t.match(short, { ...ANSWERED, endedBy: 'caller', reasonCode: 'normal_clearing', streams: [] });
    t.same(wayOf(short), ['tone:caller_hung_up']);
  });
}

void t.test('nothing is left', async () => {
  await town.mediaQuiet();
  await node.stop();
});
