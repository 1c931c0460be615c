/** Early media of a real node: what a caller hears before it is answered, and that the answer repeats the description. */
import t from 'tap';
import { usualAmplitude, sine } from '../contract/media/peer.js';
import { Phone, mediaConfig } from '../support/flowSite.js';
import { TandemNode } from '../support/tandemNode.js';

const NODE = '127.0.63.101';
const CARRIER = '127.0.63.110';
const PBX = '127.0.63.120';
const TARGET = `${NODE}:29500`;

const say = (hz: number, next: string, more: object = {}) => ({
  applet: 'greeting',
  params: { play: [{ tone: [hz], duration_ms: 800 }], ...more },
  exits: { next },
});
const FLOWS = [
  {
    id: 'early',
    start: 'before',
    nodes: { before: say(600, 'after', { early: true }), after: say(900, 'bye'), bye: { applet: 'hangup' } },
  },
  {
    id: 'anchored',
    start: 'dial',
    nodes: { dial: { applet: 'connect', params: { to: ['sip:trk'], media: 'anchored' } } },
  },
];
const ROUTING = {
  accounts: [{ sid: 'demo' }],
  carriers: [{ id: 'telco', source_acl: [{ ip: CARRIER }], gateways: [{ uri: `sip:${CARRIER}:29510` }] }],
  trunks: [
    {
      trunk_sid: 'trk',
      account_sid: 'demo',
      trunk_name: 'pbx',
      whitelisted_ips: [{ ip: PBX }],
      destination_uris: [{ destination: `${PBX}:29520` }],
      phone_numbers: FLOWS.map(({ id }, i) => ({
        phone_number: `+91804001000${i}`,
        mode: 'flow',
        flow: id,
        carrier: 'telco',
      })),
    },
  ],
  flows: FLOWS,
};

const callsNumber = (phone: Phone, number: string) =>
  phone.sip.sendInvite({
    target: TARGET,
    uri: `sip:${number}@${TARGET}`,
    from: `<sip:+919812345678@${phone.sip.address}>;tag=e${number}`,
    body: phone.rtp.sdp(),
  });

t.test('with a node that is running', async (t) => {
  const config = { media: mediaConfig([29_600, 29_699], NODE) };
  const node = await TandemNode.start({ address: NODE, port: 29_500, routing: ROUTING, config });
  const caller = await Phone.open(CARRIER, 29_710);
  t.teardown(async () => {
    await caller.close();
    await node.destroy();
  });

  await t.test('a greeting is heard in the 183, the next one in the 200', async (t) => {
    const invite = callsNumber(caller, '+918040010000');
    const progress = await caller.sip.expect('183 INVITE');
    caller.rtp.pointAt(progress.body);
    await caller.rtp.next(30);
    t.ok(usualAmplitude(caller.rtp.audio().subarray(-3200), 600) > 5000, 'before the answer');
    const answer = await caller.sip.expect('200 INVITE');
    t.same(answer.body, progress.body, 'one description in both');
    caller.dialog = invite.confirm(answer);
    const from = caller.rtp.heard.length;
    await caller.rtp.next(30);
    t.ok(usualAmplitude(caller.rtp.audio(from).subarray(-3200), 900) > 5000, 'after it');
    await caller.isHungUp();
    t.match(await node.record(invite.callId), { outcome: 'answered', media: { a: { codec: 'PCMU', packetsLost: 0 } } });
  });

  await t.test('an anchored callee is heard before it answers, and talks when it has', async (t) => {
    const pbx = await Phone.open(PBX, 29_730, 29_520);
    t.teardown(() => pbx.close());
    const invite = callsNumber(caller, '+918040010001');
    const called = await pbx.sip.expectRequest('INVITE');
    pbx.rtp.pointAt(called.message.body);
    called.respond(183, { body: pbx.rtp.sdp() });
    const progress = await caller.sip.expect('183 INVITE');
    caller.rtp.pointAt(progress.body);
    const from = caller.rtp.heard.length;
    await pbx.rtp.say(sine(440, 8000));
    t.ok(usualAmplitude(caller.rtp.audio(from).subarray(-6400, -1600), 440) > 5000, 'announcements of its side');
    pbx.dialog = called.dialog(called.respond(200, { body: pbx.rtp.sdp() }));
    await pbx.sip.expect('ACK');
    const answer = await caller.sip.expect('200 INVITE');
    t.same(answer.body, progress.body);
    caller.dialog = invite.confirm(answer);
    await Promise.all([pbx.rtp.say(sine(440, 8000)), caller.rtp.say(sine(700, 8000))]);
    t.ok(usualAmplitude(caller.rtp.audio().subarray(-6400, -1600), 440) > 4000);
    t.ok(usualAmplitude(pbx.rtp.audio().subarray(-6400, -1600), 700) > 4000);
    await caller.hangsUp();
    await pbx.isHungUp();
    t.match(await node.record(invite.callId), { endedBy: 'caller', media: { a: { packetsLost: 0 }, b: {} } });
  });
});
