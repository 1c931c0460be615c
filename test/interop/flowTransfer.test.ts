/** Telephones to which a flow has put callers through transfer them, blind and attended, with and without the media plane. */
import t, { type Test } from 'tap';
import { bounded } from '../support/endpoints.js';
import { Baresip } from '../support/endpointsBaresip.js';
import { Linphone } from '../support/endpointsLinphone.js';
import { FlowTown } from '../support/flowTown.js';
import { msOf } from '../support/soundFiles.js';
import { SipPeer } from '../support/sipPeer.js';
import { type Up, agrees, hangsUp } from '../support/talkers.js';

const INDEX = 24;
const PHONE_PORT = 30_040;
const GATEWAY_PORT = 30_010;
/** baresip leaves the source address of its RTP to the kernel: within 127/8 that is this one. */
const CALLER = '127.0.0.1';
const CALLER_PORT = 30_990;
const TARGET = '+919811111111';
const dial = (params: object): object => ({ applet: 'connect', params: { to: ['sip:trk'], ...params } });
const flow = (id: string, params: object): { readonly id: string } => ({
  id,
  ...{ start: 'dial', nodes: { dial: dial(params) } },
});

const town = await FlowTown.start({
  index: INDEX,
  callers: [CALLER],
  flows: [flow('direct', {}), flow('anchored', { media: 'anchored' })],
  pbx: `127.0.64.${INDEX * 10 + 2}:${PHONE_PORT}`,
});
const { node } = town;
t.teardown(() => node.destroy());
t.setTimeout(110_000);
const phones = town.address('pbx');
const people = town.address('caller');
const toTarget = `sip:${TARGET}@${node.hostPort}`;

const mediaAt = (port: number): string =>
  `v=0\r\no=- ${port} 1 IN IP4 ${people}\r\ns=-\r\nc=IN IP4 ${people}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 0 8\r\n`;
const X = mediaAt(30_700);
const Y = mediaAt(30_710);

const open = async (t: Test, name: string, port = 0): Promise<SipPeer> => {
  const peer = await SipPeer.open({ address: people, port, name });
  t.teardown(() => peer.close());
  return peer;
};

/** Somebody of the carrier's calls the number of a flow, and is put through. */
const calls = async (t: Test, flowId: string): Promise<Up> => {
  const peer = await open(t, 'caller');
  const from = `<sip:+919812345678@${peer.hostPort}>;tag=x`;
  const invite = peer.sendInvite({ target: node.hostPort, uri: town.uriOf(flowId), from, body: X });
  const dialog = invite.confirm(await peer.expect('200 INVITE'));
  dialog.send('OPTIONS');
  await peer.expect('200 OPTIONS');
  return { peer, dialog, callId: invite.callId };
};

/** The carrier's gateway answers. */
const answers = async (peer: SipPeer): Promise<Up & { readonly offer: string }> => {
  const invite = await peer.expectRequest('INVITE');
  invite.respond(180);
  const dialog = invite.dialog(invite.respond(200, { body: Y }));
  await peer.expect('ACK');
  return { peer, dialog, callId: invite.message.callId, offer: invite.text };
};

const OURS = `c=IN IP4 ${town.address('node')}`;
const COMPLETED = { outcome: 'completed', sipStatus: 200, reasonCode: 'transfer_completed' } as const;
const WAY = { flow: { path: [{ applet: 'connect', exit: 'answered' }] } } as const;

for (const flowId of ['direct', 'anchored'] as const) {
  void t.test(`baresip transfers blind: ${flowId} media`, async (t) => {
    const baresip = await Baresip.start({
      address: phones,
      port: PHONE_PORT,
      user: town.numberOf(flowId),
      rtpPorts: '30720-30760',
    });
    t.teardown(() => baresip.stop());
    const gateway = await open(t, 'gateway', GATEWAY_PORT);

    await t.test('a target that answers', async (t) => {
      const caller = await calls(t, flowId);
      await baresip.event('CALL_ESTABLISHED');
      baresip.command('transfer', toTarget);
      const target = await answers(gateway);
      if (flowId === 'anchored') t.match(target.offer, OURS, "with an endpoint of the node's");
      else {
        t.match(target.offer, 'm=audio 30700 ', "with the caller's media");
        t.match(await agrees(caller, X), 'm=audio 30710 ', "and the caller is told of the target's");
      }
      await baresip.event('CALL_CLOSED');
      t.match(baresip.output, /SIP\/2\.0 100 Trying[^]*SIP\/2\.0 180 Ringing[^]*SIP\/2\.0 200 OK/, 'step by step');
      await hangsUp(target, caller);
      t.match(await node.record(caller.callId), {
        ...WAY,
        outcome: 'answered',
        mode: 'flow',
        endedBy: 'callee',
        transfers: [{ kind: 'blind', referrer: 'callee', trunkSid: 'trk', ...COMPLETED }],
        dials: [{}, { carrierId: 'telco' }],
      });
    });

    await t.test('a target that is busy: baresip keeps the caller until it hangs up by itself', async (t) => {
      baresip.forget();
      const caller = await calls(t, flowId);
      await baresip.event('CALL_ESTABLISHED');
      baresip.command('transfer', toTarget);
      (await gateway.expectRequest('INVITE')).respond(486);
      (await caller.peer.expectRequest('BYE')).respond(200);
      t.match(baresip.output, /transfer failed: 486/);
      t.match(await node.record(caller.callId), {
        ...WAY,
        endedBy: 'callee',
        transfers: [{ outcome: 'failed', sipStatus: 486, reasonCode: 'callee_busy' }],
      });
    });
    await baresip.stop();
  });
}

void t.test('linphone transfers attended: two calls become one, with and without the media plane', async (t) => {
  const linphone = await Linphone.start({
    address: phones,
    port: PHONE_PORT,
    user: town.numberOf('direct'),
    rtpPorts: '30800-30860',
  });
  t.teardown(() => linphone.stop());
  let call = 0;
  for (const flowId of ['direct', 'anchored'] as const) {
    const [held, second] = [++call, ++call];
    await t.test(flowId, async (t) => {
      const gateway = await open(t, 'gateway', GATEWAY_PORT);
      const mark = linphone.mark;
      const caller = await calls(t, flowId);
      await linphone.printed(new RegExp(`Media streams established with .* for call ${held}`), mark);
      linphone.say(`pause ${held}`);
      if (flowId === 'direct') await agrees(caller, X);
      await linphone.printed(new RegExp(`Call ${held} with .* is now paused`), mark);
      linphone.say(`call ${toTarget}`);
      const target = await answers(gateway);
      await linphone.printed(new RegExp(`Call ${second} with .* connected`), mark);
      linphone.say(`transfer ${held} --to-call ${second}`);
      const offered = await agrees(target, Y);
      if (flowId === 'anchored') t.match(offered, OURS, "the target is offered an endpoint of the node's");
      else {
        t.match(offered, 'm=audio 30700 ', "the target is told of the caller's media");
        t.match(await agrees(caller, X), 'm=audio 30710 ', "and the caller of the target's");
      }
      await linphone.printed(new RegExp(`Call ${held} with .* ended`), mark);
      await hangsUp(target, caller);
      const first = await node.record(caller.callId);
      t.match(first, { ...WAY, mode: 'flow', transfers: [{ kind: 'attended', referrer: 'callee', ...COMPLETED }] });
      const other = node.records().find((one) => one.callId === first.transfers?.[0]?.otherCallId);
      t.match(other, { mode: 'pstn', bLegCallId: target.callId, transfers: [{ otherCallId: first.callId }] });
    });
  }
});

void t.test('what is said follows the caller through the media plane', async (t) => {
  const callerHz = 440;
  const targetHz = 720;
  const baresip = await Baresip.start({
    address: CALLER,
    port: CALLER_PORT,
    user: '+919812345678',
    toneHz: callerHz,
    rtpPorts: '30900-30940',
  });
  t.teardown(() => baresip.stop());
  const target = await Linphone.start({
    address: people,
    port: GATEWAY_PORT,
    user: TARGET,
    toneHz: targetHz,
    rtpPorts: '30950-30980',
  });
  t.teardown(() => target.stop());
  const agent = await SipPeer.open({ address: phones, port: PHONE_PORT, name: 'agent' });
  t.teardown(() => agent.close());
  const before = node.records().length;
  target.begin();
  baresip.command('dial', town.uriOf('anchored'));
  const invite = await agent.expectRequest('INVITE');
  const dialog = invite.dialog(invite.respond(200, { body: mediaAt(30_770).replaceAll(people, phones) }));
  await agent.expect('ACK');
  await town.stands('anchored', 'dial');
  dialog.send('REFER', { headers: [['Refer-To', `<${toTarget}>`]] });
  await agent.expect('202 REFER');
  for (let last = false; !last;) {
    const notify = await agent.expectRequest('NOTIFY');
    notify.respond(200);
    last = notify.text.includes('SIP/2.0 200 OK');
  }
  (await agent.expectRequest('BYE')).respond(200);
  await bounded('the caller hears the target', 10_000, () => msOf(baresip.heard(), targetHz) >= 800);
  baresip.command('hangup');
  await target.over();
  t.ok(msOf(target.heard(), callerHz) >= 500, 'and the target the caller');
  t.match(await town.recordOf('anchored', before), {
    ...WAY,
    endedBy: 'caller',
    transfers: [COMPLETED],
    media: { a: { codec: 'PCMU', packetsLost: 0 } },
  });
});

void t.test('nothing is left', async () => {
  await town.mediaQuiet();
  await node.stop();
});
