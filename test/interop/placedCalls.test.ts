/** Calls that a real node places when curl asks: telephones behind carriers' gateways, tones, bots, who hangs up. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { sine } from '../contract/media/peer.js';
import { bounded } from '../support/endpoints.js';
import { Baresip } from '../support/endpointsBaresip.js';
import { Phone } from '../support/flowSite.js';
import { BotProcess, wayOf } from '../support/flowTown.js';
import { msOf } from '../support/soundFiles.js';
import { TandemNode } from '../support/tandemNode.js';

const NODE = '127.0.71.1';
const SIP_PORT = 37_000;
const GATEWAY = '127.0.71.10';
const GATEWAY_PORT = 37_010;
const BOT = '127.0.71.30';
const BOT_PORT = 37_050;
/** baresip leaves the source address of its RTP to the kernel: within 127/8 that is this one. */
const BARESIP = '127.0.0.1';
const BARESIP_PORT = 37_020;

const CALLEE = '+919812345678';
/** Caller IDs: calls from the first go to a gateway that the test speaks for, those from the second to baresip. */
const FROM_PEER = '+918040003001';
const FROM_BARESIP = '+918040003002';
const FOREIGN = '+918040003009';
const TONE_HZ = 600;
const BARESIP_HZ = 440;
const KEY = 'shop:secret';
const POUND = 11;

const tone = (ms: number): object => ({
  applet: 'greeting',
  params: { play: [{ tone: [TONE_HZ], duration_ms: ms }] },
  exits: { next: 'bye' },
});
const flow = (id: string, ms: number): object => ({
  id,
  start: 'tone',
  nodes: { tone: tone(ms), bye: { applet: 'hangup' } },
});
const number = (phone_number: string, carrier: string): object => ({ phone_number, carrier, mode: 'pstn' });
const trunk = (sid: string, account: string, phone_numbers: readonly object[]): object => ({
  trunk_sid: sid,
  account_sid: account,
  trunk_name: sid,
  phone_numbers,
});

const ROUTING = {
  accounts: [
    {
      sid: 'demo',
      api_keys: [
        { key: 'shop', token: 'secret' },
        { key: 'look', token: 'secret', scope: 'read' },
      ],
    },
    { sid: 'other', api_keys: [{ key: 'other', token: 'secret' }] },
  ],
  carriers: [
    { id: 'telco', gateways: [{ uri: `sip:${GATEWAY}:${GATEWAY_PORT}` }] },
    { id: 'phones', gateways: [{ uri: `sip:${BARESIP}:${BARESIP_PORT}` }] },
  ],
  trunks: [
    trunk('trk', 'demo', [number(FROM_PEER, 'telco'), number(FROM_BARESIP, 'phones')]),
    trunk('trk_other', 'other', [number(FOREIGN, 'telco')]),
  ],
  flows: [flow('short', 800), flow('long', 60_000)],
};

const node = await TandemNode.start({
  address: NODE,
  port: SIP_PORT,
  routing: ROUTING,
  config: {
    media: {
      address: NODE,
      rtpPorts: [37_200, 37_299],
      workers: 1,
      egress: ['127.0.0.0/8'],
      recordingsPath: './recordings',
    },
  },
});
t.teardown(() => node.destroy());
const bot = await BotProcess.start(BOT, BOT_PORT);
t.teardown(() => bot.kill());
t.setTimeout(60_000);

const run = promisify(execFile);

interface Told {
  readonly status: number;
  readonly body: {
    readonly call_id?: string;
    readonly to?: string;
    readonly error?: { readonly code: string; readonly message: string };
  };
}

/** What a shell script would do. */
async function curl(method: 'POST' | 'DELETE', path: string, body?: object, key = KEY): Promise<Told> {
  const data = body === undefined ? [] : ['-H', 'Content-Type: application/json', '-d', JSON.stringify(body)];
  const url = `http://${NODE}:${SIP_PORT + 1}${path}`;
  const args = ['-sS', '--max-time', '5', '-u', key, '-X', method, ...data, '-w', '\n%{http_code}', url];
  const { stdout } = await run('curl', args);
  const at = stdout.lastIndexOf('\n');
  const text = stdout.slice(0, at);
  return { status: Number(stdout.slice(at + 1)), body: (text === '' ? {} : JSON.parse(text)) as Told['body'] };
}

/** Places a call. @returns its id */
async function place(t: Test, order: object): Promise<string> {
  const told = await curl('POST', '/api/calls', { from: FROM_PEER, to: CALLEE, ...order });
  t.equal(told.status, 201, JSON.stringify(told.body));
  t.equal(told.body.to, CALLEE);
  return told.body.call_id ?? '';
}

/** The one record of a call, once nothing lives any more. */
async function recordOf(callId: string): Promise<CallRecord> {
  const find = (): CallRecord[] => node.records().filter((one) => one.callId === callId);
  await bounded(`a record of ${callId}`, 8000, () => find().length > 0);
  await node.quiet();
  const [record, ...more] = find();
  if (record === undefined || more.length > 0)
    throw new Error(`${more.length + (record === undefined ? 0 : 1)} records of ${callId}`);
  return record;
}

const PLACED = {
  direction: 'outbound',
  mode: 'flow',
  accountSid: 'demo',
  trunkSid: 'trk',
  calledE164: CALLEE,
} as const;
const ANSWERED = { ...PLACED, outcome: 'answered', sipStatus: 200 } as const;
const STREAM = { stream: { url: `ws://${BOT}:${BOT_PORT}/` } };

let rtpPort = 37_500;
/** The gateway of the carrier, with audio. */
async function gateway(t: Test): Promise<Phone> {
  const phone = await Phone.open(GATEWAY, (rtpPort += 10), GATEWAY_PORT);
  t.teardown(() => phone.close());
  return phone;
}

void t.test('baresip is called, hears the flow, talks with a bot, hangs up and is hung up on', async (t) => {
  const baresip = await Baresip.start({
    address: BARESIP,
    port: BARESIP_PORT,
    user: CALLEE,
    toneHz: BARESIP_HZ,
    rtpPorts: '37400-37499',
  });
  t.teardown(() => baresip.stop());
  const shown = { from: FROM_BARESIP, caller_name: 'Zoë', custom: { order: '7' } };
  const first = await place(t, { ...shown, flow: 'short' });
  await baresip.event('CALL_ESTABLISHED');
  await baresip.event('CALL_CLOSED');
  t.ok(msOf(baresip.heard(), TONE_HZ) >= 600, 'the tone of the flow was heard');
  const record = await recordOf(first);
  t.match(record, {
    ...ANSWERED,
    carrierId: 'phones',
    callerSent: FROM_BARESIP,
    endedBy: 'tandem',
    reasonCode: 'flow_hangup',
    attempts: [{ result: 'answered', sipStatus: 200 }],
    flow: { id: 'short' },
  });
  t.match(record.source, /^api\/127\./);
  t.same(wayOf(record), ['tone:next', 'bye:call_ended']);
  t.match(baresip.output, new RegExp(`From: "Zoë" <sip:\\${FROM_BARESIP}@`), 'number and name are shown');

  const before = baresip.heard().length;
  const second = await place(t, { from: FROM_BARESIP, ...STREAM });
  await baresip.event('CALL_ESTABLISHED');
  const echoed = (): number => msOf(baresip.heard().subarray(before), BARESIP_HZ);
  await bounded('its voice comes back', 10_000, () => echoed() >= 600);
  baresip.command('hangup');
  await baresip.event('CALL_CLOSED');
  t.match(await recordOf(second), {
    ...ANSWERED,
    endedBy: 'callee',
    reasonCode: 'normal_clearing',
    flow: { id: 'stream' },
    streams: [{ status: 'completed', disconnectedBy: 'user' }],
  });
});

void t.test('the bot leaves: the callee is hung up on', async (t) => {
  const phone = await gateway(t);
  const callId = await place(t, STREAM);
  await phone.answers();
  const heard = phone.hears(700, 300);
  await phone.rtp.say(sine(700, 12_000));
  await heard;
  await phone.rtp.press(POUND);
  await phone.isHungUp();
  const record = await recordOf(callId);
  t.match(record, {
    ...ANSWERED,
    endedBy: 'tandem',
    reasonCode: 'flow_hangup',
    streams: [{ status: 'completed', disconnectedBy: 'bot' }],
  });
  t.ok((record.media?.a?.packetsReceived ?? 0) > 50);
});

void t.test('the callee hangs up within the flow', async (t) => {
  const phone = await gateway(t);
  const callId = await place(t, { flow: 'long' });
  await phone.answers();
  await phone.hears(TONE_HZ, 200);
  await phone.hangsUp();
  const record = await recordOf(callId);
  t.match(record, { ...ANSWERED, endedBy: 'callee', reasonCode: 'normal_clearing' });
  t.equal(wayOf(record).length, 1);
});

void t.test('DELETE ends a call, answered or not; only its account may, and only with a key that writes', async (t) => {
  const phone = await gateway(t);
  const callId = await place(t, { flow: 'long' });
  await phone.answers();
  await phone.hears(TONE_HZ, 100);
  const path = `/api/calls/${callId}`;
  const strange = await curl('DELETE', path, undefined, 'other:secret');
  t.match(strange, { status: 404, body: { error: { code: 'call_not_found' } } });
  const reader = await curl('DELETE', path, undefined, 'look:secret');
  t.match(reader, { status: 403, body: { error: { code: 'scope_missing' } } });
  t.match(await curl('DELETE', path), { status: 204 });
  await phone.isHungUp();
  t.match(await recordOf(callId), { ...ANSWERED, endedBy: 'tandem', reasonCode: 'ended_by_api' });
  t.match(await curl('DELETE', path), { status: 404 }, 'once');

  const withdrawn = await place(t, { flow: 'long' });
  const invite = await phone.sip.expectRequest('INVITE');
  invite.respond(180);
  t.match(await curl('DELETE', `/api/calls/${withdrawn}`), { status: 204 });
  (await phone.sip.expectRequest('CANCEL')).respond(200);
  invite.respond(487);
  await phone.sip.expect('ACK');
  t.match(await recordOf(withdrawn), { ...PLACED, endedBy: 'tandem', reasonCode: 'ended_by_api', talkMs: 0 });
});

void t.test('busy, a number that nobody has, no answer; each with one record', async (t) => {
  const phone = await gateway(t);
  for (const [status, outcome, reasonCode] of [
    [486, 'busy', 'busy'],
    [404, 'failed', 'callee_unknown'],
  ] as const) {
    const callId = await place(t, { flow: 'short' });
    const invite = await phone.sip.expectRequest('INVITE');
    invite.respond(status);
    await phone.sip.expect('ACK');
    const told = await recordOf(callId);
    t.match(told, { ...PLACED, outcome, reasonCode, sipStatus: status, endedBy: 'callee', talkMs: 0 });
    t.match(told.attempts, [{ sipStatus: status }]);
  }
  const silent = await place(t, { flow: 'short', ring_seconds: 5 });
  const invite = await phone.sip.expectRequest('INVITE');
  invite.respond(180);
  // Rings for five seconds: longer than the peer waits for anything.
  await bounded('a CANCEL', 8000, () => phone.sip.count('CANCEL') > 0);
  (await phone.sip.expectRequest('CANCEL')).respond(200);
  invite.respond(487);
  await phone.sip.expect('ACK');
  t.match(await recordOf(silent), { ...PLACED, outcome: 'no_answer', reasonCode: 'no_answer' });
});

void t.test('the longest duration ends a call', async (t) => {
  const phone = await gateway(t);
  const callId = await place(t, { flow: 'long', max_seconds: 1 });
  await phone.answers();
  await phone.isHungUp();
  const record = await recordOf(callId);
  t.match(record, { ...ANSWERED, endedBy: 'tandem', reasonCode: 'max_duration' });
  t.ok(record.talkMs >= 900 && record.talkMs < 3000, `${record.talkMs} ms`);
});

void t.test('orders that ring nobody', async (t) => {
  const before = node.records().length;
  const order = { from: FROM_PEER, to: CALLEE, flow: 'short' };
  for (const [change, status, code] of [
    [{ from: FOREIGN }, 403, 'caller_number_unknown'],
    [{ flow: 'none' }, 404, 'flow_unknown'],
  ] as const) {
    t.match(await curl('POST', '/api/calls', { ...order, ...change }), { status, body: { error: { code } } });
  }
  t.match(await curl('POST', '/api/calls', order, 'look:secret'), { status: 403 });
  t.equal(node.records().length, before, 'no call, no record');
  const odd = await curl('POST', '/api/calls', { ...order, to: 'nonsense' });
  t.match(odd.body.error, { code: 'number_invalid' });
  const callId = /\(call (\S+)\)/.exec(odd.body.error?.message ?? '')?.[1] ?? '';
  t.match(await recordOf(callId), { outcome: 'rejected', endedBy: 'tandem', reasonCode: 'number_invalid' });
});

void t.test('nothing is left', async (t) => {
  const { media } = (await node.dump()) as unknown as { media: object };
  t.match(media, { endpoints: 0, ports: { used: 0 }, http: { running: 0 } });
  await node.stop();
});
