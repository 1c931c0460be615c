/** The same flow call on both SIP engines: in the process, and over drachtio-srf on the engine of another Tandem. */
import t from 'tap';
import { sine } from '../contract/media/peer.js';
import { Phone } from '../support/flowSite.js';
import { BotProcess, FlowTown, wayOf } from '../support/flowTown.js';
import { TandemNode } from '../support/tandemNode.js';

const GREETING_HZ = 600;
const ELSEWHERE_HZ = 1000;
const VOICE_HZ = 440;
const CALLEE_HZ = 900;
const POUND = 11;
const SECRET = 'between-the-two';
const tone = (hz: number, next: string) => ({
  applet: 'greeting',
  params: { play: [{ tone: [hz], duration_ms: 400 }] },
  exits: { next },
});
const bye = { applet: 'hangup' };
const flowsWith = (botUrl: string) => [
  {
    id: 'story',
    start: 'greeting',
    nodes: {
      greeting: tone(GREETING_HZ, 'ask'),
      ask: {
        applet: 'gather',
        params: { max_digits: 2, type_ahead: true },
        exits: { digits: 'bot', timeout: 'bye', invalid: 'bye' },
      },
      bot: { applet: 'voicebot', params: { url: botUrl, frame_ms: 20 }, exits: { next: 'dial', failed: 'bye' } },
      dial: { applet: 'connect', params: { to: ['sip:trk'] } },
      bye,
    },
  },
  { id: 'straight', start: 'dial', nodes: { dial: { applet: 'connect', params: { to: ['sip:trk'] } } } },
  {
    id: 'sent',
    start: 'greeting',
    nodes: {
      greeting: tone(GREETING_HZ, 'refer'),
      refer: { applet: 'transfer', params: { refer: 'sip:elsewhere@127.0.64.99' }, exits: { failed: 'elsewhere' } },
      elsewhere: tone(ELSEWHERE_HZ, 'bye'),
      bye,
    },
  },
  { id: 'refused', start: 'no', nodes: { no: { applet: 'reject', params: { status: 486 } } } },
];
t.setTimeout(110_000);

for (const engine of ['embedded', 'drachtio'] as const) {
  t.test(`flow calls on the ${engine} engine`, async (t) => {
    const index = engine === 'embedded' ? 11 : 12;
    const bot = await BotProcess.start(`127.0.64.${index * 10 + 3}`, 30_050);
    t.teardown(() => bot.kill());
    const plan = { index, flows: flowsWith(bot.url) };
    const address = new FlowTown(plan).address('engine');
    let target: string;
    let town: FlowTown;
    if (engine === 'drachtio') {
      const sip = await TandemNode.start({
        address,
        port: 30_000,
        routing: { accounts: [{ sid: 'demo' }] },
        config: { drachtio: { listen: `${address}:30090`, secret: SECRET } },
      });
      t.teardown(() => sip.destroy());
      target = sip.hostPort;
      const drachtio = { host: address, port: 30_090, secret: SECRET };
      town = await FlowTown.start({ ...plan, config: { sip: { engine, drachtio } } });
    } else {
      town = await FlowTown.start(plan);
      target = town.node.hostPort;
    }
    const { node } = town;
    t.teardown(() => node.destroy());
    const pbx = await Phone.open(town.address('pbx'), 30_600, 30_040);
    t.teardown(() => pbx.close());
    let port = 30_500;
    const caller = async (): Promise<Phone> => {
      const phone = await Phone.open(town.address('caller'), (port += 2));
      t.teardown(() => phone.close());
      return phone;
    };

    const first = await caller();
    await first.calls(town.numberOf('story'), target);
    await first.hears(GREETING_HZ, 300, 0);
    await first.rtp.press(4);
    first.dialog?.send('INFO', { contentType: 'application/dtmf-relay', body: 'Signal=2\r\nDuration=160\r\n' });
    await first.sip.expect('200 INFO');
    const echo = first.hears(VOICE_HZ, 500);
    await first.rtp.say(sine(VOICE_HZ, 16_000));
    await echo;
    await first.rtp.press(POUND);
    await pbx.answers();
    await Promise.all([first.renegotiates(2), pbx.renegotiates(2)]);
    t.same(first.rtp.target, { address: town.address('pbx'), port: 30_600 }, 'audio goes straight to the callee');
    t.same(pbx.rtp.target, { address: town.address('caller'), port: first.rtp.port }, 'and straight back');
    const [there, back] = [pbx.hears(VOICE_HZ, 300), first.hears(CALLEE_HZ, 300)];
    await Promise.all([first.rtp.say(sine(VOICE_HZ, 6400)), pbx.rtp.say(sine(CALLEE_HZ, 6400))]);
    await Promise.all([there, back]);
    await pbx.hangsUp();
    await first.isHungUp();
    const story = await node.record(first.callId);
    t.match(story, { outcome: 'answered', endedBy: 'callee', reasonCode: 'normal_clearing', streams: [{}] });
    t.same(wayOf(story), ['greeting:next', 'ask:digits', 'bot:next', 'dial:answered']);

    const second = await caller();
    const answering = pbx.answers();
    await second.calls(town.numberOf('straight'), target);
    await answering;
    t.same(second.rtp.target, { address: town.address('pbx'), port: 30_600 });
    await second.hangsUp();
    await pbx.isHungUp();
    t.match(await node.record(second.callId), { endedBy: 'caller', reasonCode: 'normal_clearing', media: { a: null } });

    const third = await caller();
    await third.calls(town.numberOf('sent'), target);
    const refer = await third.sip.expectRequest('REFER');
    t.equal(refer.header('Refer-To'), '<sip:elsewhere@127.0.64.99>');
    refer.respond(202);
    third.dialog?.send('NOTIFY', {
      headers: [
        ['Event', 'refer'],
        ['Subscription-State', 'terminated;reason=noresource'],
      ],
      contentType: 'message/sipfrag',
      body: 'SIP/2.0 404 Not Found\r\n',
    });
    await third.sip.expect('200 NOTIFY');
    await third.hears(ELSEWHERE_HZ, 200, 0);
    await third.isHungUp();
    t.same(wayOf(await node.record(third.callId)), [
      'greeting:next',
      'refer:failed',
      'elsewhere:next',
      'bye:call_ended',
    ]);

    const fourth = await caller();
    fourth.sip.sendInvite({
      target,
      uri: `sip:${town.numberOf('refused')}@${target}`,
      from: `<sip:+919812345678@${town.address('caller')}>;tag=fourth`,
      body: fourth.rtp.sdp(),
    });
    await fourth.sip.expect('486 INVITE');
    await town.mediaQuiet();
    t.equal(node.records().length, 4, 'one record each');
    await node.stop();
  });
}
