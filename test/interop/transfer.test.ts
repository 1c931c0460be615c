/** Telephones behind a trunk hold, resume and transfer calls of a carrier's, blind and attended, through a node. */
import t, { type Test } from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { Baresip } from '../support/endpointsBaresip.js';
import { Linphone } from '../support/endpointsLinphone.js';
import { SipPeer } from '../support/sipPeer.js';
import { type Lane, Site } from '../support/tandemNodeSite.js';
import { type Up, agrees, hangsUp } from '../support/talkers.js';

const BARESIP_PORT = 33_100;
const LINPHONE_PORT = 33_110;
const TARGET = '+919811111111';

const behind =
  (port: number) =>
  (_lane: unknown, { pbx }: Site): object => ({ trunk: { destination_uris: [{ destination: `${pbx}:${port}` }] } });

const PBX_PORT = 33_120;
const follows = (lane: Lane, own: Site): object => ({
  ...behind(PBX_PORT)(lane, own),
  carrier: { sip: { redirects: 'follow' } },
});
const lanes = { baresip: behind(BARESIP_PORT), linphone: behind(LINPHONE_PORT), pbx: follows };
const site: Site = new Site(1, lanes, 0, '127.0.33');
const node = await site.start();
t.teardown(() => node.stop());
const toTarget = `sip:${TARGET}@${node.hostPort}`;

const mediaAt = (port: number, more = ''): string =>
  `v=0\r\no=- ${port} 1 IN IP4 ${site.carrier}\r\ns=-\r\nc=IN IP4 ${site.carrier}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 8 0\r\n${more}`;
const X = mediaAt(33_200);
const Y = mediaAt(33_210);

const open = async (t: Test, name: string, port = 0): Promise<SipPeer> => {
  const peer = await SipPeer.open({ address: site.carrier, port, name });
  t.teardown(() => peer.close());
  return peer;
};

/** Somebody of the carrier's calls the number of a lane, and talks. */
const calls = async (t: Test, lane: Lane, media: string): Promise<Up> => {
  const peer = await open(t, 'caller');
  const uri = `sip:${lane.number}@${node.hostPort}`;
  const from = `<sip:+919812345678@${peer.hostPort}>;tag=${media.length}`;
  const invite = peer.sendInvite({ target: node.hostPort, uri, from, body: media });
  const dialog = invite.confirm(await peer.expect('200 INVITE'));
  // Whose answer says that the ACK was taken: only then is the call up for both.
  dialog.send('OPTIONS');
  await peer.expect('200 OPTIONS');
  return { peer, dialog, callId: invite.callId };
};

/** The carrier's gateway answers a call. */
const answers = async (
  peer: SipPeer,
  media: string,
): Promise<Up & { readonly offer: string; readonly from: string | undefined }> => {
  const invite = await peer.expectRequest('INVITE');
  invite.respond(180);
  const dialog = invite.dialog(invite.respond(200, { body: media }));
  await peer.expect('ACK');
  return { peer, dialog, callId: invite.message.callId, offer: invite.text, from: invite.header('From') };
};

const COMPLETED = { outcome: 'completed', sipStatus: 200, reasonCode: 'transfer_completed' } as const;

const charged = (t: Test, record: CallRecord, lane: Lane): void => {
  t.match(record, {
    outcome: 'answered',
    trunkSid: lane.trunkSid,
    transfers: [
      { kind: 'blind', referrer: 'callee', trunkSid: lane.trunkSid, ...COMPLETED, attempts: [{ sipStatus: 200 }] },
    ],
    dials: [{ carrierId: lane.carrierId }],
  });
};

void t.test('baresip holds and resumes; its transfers fail and go through', async (t) => {
  const lane = site.lane('baresip');
  const baresip = await Baresip.start({
    address: site.pbx,
    port: BARESIP_PORT,
    user: lane.number,
    rtpPorts: '33300-33340',
  });
  t.teardown(() => baresip.stop());
  const gateway = await open(t, 'gateway', lane.gatewayPort);
  const caller = await calls(t, lane, X);
  await baresip.event('CALL_ESTABLISHED');

  await t.test('hold and resume', async (t) => {
    baresip.command('hold');
    t.match(await agrees(caller, mediaAt(33_200, 'a=recvonly\r\n')), /a=(?:sendonly|inactive)\r\n/);
    baresip.command('resume');
    t.match(await agrees(caller, X), /a=sendrecv\r\n/);
  });

  await t.test('a target that answers', async (t) => {
    baresip.command('transfer', toTarget);
    const target = await answers(gateway, Y);
    t.match(target.offer, 'm=audio 33200 ', "with the caller's media");
    t.match(target.from, `<sip:${lane.number}@`, 'from the number of the trunk');
    t.match(await agrees(caller, X), 'm=audio 33210 ', "and the caller is told of the target's");
    await baresip.event('CALL_CLOSED');
    t.match(
      baresip.output,
      /SIP\/2\.0 100 Trying[^]*SIP\/2\.0 180 Ringing[^]*SIP\/2\.0 200 OK/,
      'and it is told of each step',
    );
    await hangsUp(caller, target);
    charged(t, await node.record(caller.callId), lane);
  });

  await t.test('a target that is busy: it hangs up by itself', async (t) => {
    baresip.forget();
    const another = await calls(t, lane, X);
    await baresip.event('CALL_ESTABLISHED');
    baresip.command('transfer', toTarget);
    (await gateway.expectRequest('INVITE')).respond(486);
    (await another.peer.expectRequest('BYE')).respond(200);
    t.match(baresip.output, /transfer failed: 486/);
    t.match(await node.record(another.callId), {
      endedBy: 'callee',
      transfers: [{ outcome: 'failed', sipStatus: 486, reasonCode: 'callee_busy' }],
    });
  });
});

void t.test('linphone holds, resumes, transfers blind and attended', async (t) => {
  const lane = site.lane('linphone');
  const linphone = await Linphone.start({
    address: site.pbx,
    port: LINPHONE_PORT,
    user: lane.number,
    rtpPorts: '33400-33460',
  });
  t.teardown(() => linphone.stop());

  await t.test('hold, resume, blind', async (t) => {
    const gateway = await open(t, 'gateway', lane.gatewayPort);
    const mark = linphone.mark;
    const caller = await calls(t, lane, X);
    await linphone.printed(/Media streams established with .* for call 1/, mark);
    linphone.say('pause 1');
    t.match(await agrees(caller, mediaAt(33_200, 'a=recvonly\r\n')), /a=(?:sendonly|inactive)\r\n/);
    await linphone.printed(/Call 1 with .* is now paused/, mark);
    linphone.say('resume 1');
    const resumed = linphone.mark;
    t.notMatch(await agrees(caller, X), /a=(?:sendonly|inactive)\r\n/);
    await linphone.printed(/Media streams established/, resumed);
    linphone.say(`transfer 1 ${toTarget}`);
    const target = await answers(gateway, Y);
    await agrees(caller, X);
    await linphone.printed(/Call 1 with .* ended/, mark);
    await hangsUp(caller, target);
    charged(t, await node.record(caller.callId), lane);
  });

  await t.test('attended: two calls become one, and both are recorded to its end', async (t) => {
    const gateway = await open(t, 'gateway', lane.gatewayPort);
    const mark = linphone.mark;
    const caller = await calls(t, lane, X);
    await linphone.printed(/Media streams established with .* for call 2/, mark);
    linphone.say('pause 2');
    await agrees(caller, mediaAt(33_200, 'a=recvonly\r\n'));
    await linphone.printed(/Call 2 with .* is now paused/, mark);
    linphone.say(`call ${toTarget}`);
    const target = await answers(gateway, Y);
    await linphone.printed(/Call 3 with .* connected/, mark);
    linphone.say('transfer 2 --to-call 3');
    t.match(await agrees(target, Y), 'm=audio 33200 ', "the target is told of the caller's media");
    t.match(await agrees(caller, X), 'm=audio 33210 ', "and the caller of the target's");
    await linphone.printed(/Call 2 with .* ended/, mark);
    await hangsUp(target, caller);
    const first = await node.record(caller.callId);
    t.match(first.transfers, [{ kind: 'attended', referrer: 'callee', ...COMPLETED }]);
    t.notOk(first.dials, 'nobody new was called');
    const second = node.records().find((one) => one.callId === first.transfers?.[0]?.otherCallId);
    t.match(second, { direction: 'outbound', bLegCallId: target.callId, transfers: [{ otherCallId: first.callId }] });
    t.ok(Math.abs((second?.talkMs ?? 0) - first.talkMs) < first.talkMs, 'both to the end');
  });
});

void t.test('a switchboard takes a call over by INVITE with Replaces; a stranger does not', async (t) => {
  const lane = site.lane('pbx');
  const pbx = await SipPeer.open({ address: site.pbx, port: PBX_PORT, name: 'pbx' });
  t.teardown(() => pbx.close());
  const calling = calls(t, lane, X);
  const first = await answers(pbx, mediaAt(33_500));
  const caller = await calling;
  const { local, remote } = first.dialog.state;
  const tagOf = (field: string): string => /;tag=([^;]+)/.exec(field)?.[1] ?? '';
  const replaces = `${first.callId};to-tag=${tagOf(remote)};from-tag=${tagOf(local)}`;
  const takeOver = (peer: SipPeer, number: string): ReturnType<SipPeer['sendInvite']> =>
    peer.sendInvite({
      target: node.hostPort,
      uri: `sip:${TARGET}@${node.hostPort}`,
      from: `<sip:${number}@${peer.hostPort}>;tag=z`,
      headers: [
        ['Replaces', replaces],
        ['Require', 'replaces'],
      ],
      body: mediaAt(33_510),
    });
  const other = await open(t, 'carrier');
  takeOver(other, '+919812345678');
  t.match(
    (await other.expect('403 INVITE')).header('Reason'),
    /replaces_not_allowed/,
    'from an address of the carrier',
  );

  const switchboard = await SipPeer.open({ address: site.pbx, name: 'switchboard' });
  t.teardown(() => switchboard.close());
  const taking = takeOver(switchboard, lane.number);
  t.match(await agrees(caller, X), 'm=audio 33510 ');
  const dialog = taking.confirm(await switchboard.expect('200 INVITE'));
  (await pbx.expectRequest('BYE')).respond(200);
  await hangsUp({ peer: switchboard, dialog, callId: taking.callId }, caller);
  t.match((await node.record(caller.callId)).transfers, [{ kind: 'replaced', ...COMPLETED }]);
  t.match(await node.record(taking.callId), { outcome: 'answered', destination: null, trunkSid: lane.trunkSid });
});

void t.test('a redirection of a carrier is followed to another of its switches, and to no other host', async (t) => {
  const lane = site.lane('pbx');
  const pbx = await SipPeer.open({ address: site.pbx, name: 'pbx' });
  t.teardown(() => pbx.close());
  const gateway = await open(t, 'gateway', lane.gatewayPort);
  const second = await open(t, 'second');
  const from = `<sip:${lane.number}@${pbx.hostPort}>;tag=r`;
  const dial = (): ReturnType<SipPeer['sendInvite']> =>
    pbx.sendInvite({ target: node.hostPort, uri: toTarget, from, body: X });
  const user = `sip:${TARGET}`;
  const followed = dial();
  (await gateway.expectRequest('INVITE')).respond(302, {
    headers: [['Contact', `<${user}@203.0.113.9>;q=1, <${user}@${second.hostPort}>;q=0.5`]],
  });
  const callee = await answers(second, Y);
  const dialog = followed.confirm(await pbx.expect('200 INVITE'));
  dialog.send('BYE');
  (await callee.peer.expectRequest('BYE')).respond(200);
  await pbx.expect('200 BYE');
  t.match((await node.record(followed.callId)).attempts, [
    { sipStatus: 302, redirectedTo: [`${user}@${second.hostPort}`] },
    { sipStatus: 200, uri: `${user}@${second.hostPort}` },
  ]);
  const refused = dial();
  (await gateway.expectRequest('INVITE')).respond(302, { headers: [['Contact', `<${user}@203.0.113.9>`]] });
  t.match((await pbx.expect('480 INVITE')).header('Reason'), /destination_3xx/);
  t.match(await node.record(refused.callId), { reasonCode: 'destination_3xx', attempts: [{ redirectedTo: [] }] });
});
