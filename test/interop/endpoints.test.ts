/** Telephones that people use, behind a trunk: they are called by a carrier and call out through one. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { Baresip } from '../support/endpointsBaresip.js';
import { Linphone } from '../support/endpointsLinphone.js';
import { Sipp } from '../support/sipp.js';
import { SipPeer } from '../support/sipPeer.js';
import { has, ofKind, went } from '../support/sippChecks.js';
import { Site, callIdOf } from '../support/tandemNodeSite.js';

const PORT = 18_000;
const atPbxPort = (_lane: unknown, { pbx }: Site): object => ({
  trunk: {
    destination_uris: [{ destination: `${pbx}:${PORT}` }],
    // baresip leaves the source address of its TCP connections to the kernel.
    whitelisted_ips: [{ ip: pbx }, { ip: '127.0.0.1' }],
  },
});
const LINPHONE_PORT = 18_010;
const atLinphonePort = (_lane: unknown, { pbx }: Site): object => ({
  trunk: { destination_uris: [{ destination: `${pbx}:${LINPHONE_PORT}` }] },
});
const site: Site = new Site(8, { baresip: atPbxPort, linphone: atLinphonePort }, 1);
const node = await site.start();
t.teardown(() => node.stop());
const lane = site.lane('baresip');
const baresip = await Baresip.start({ address: site.pbx, port: PORT, user: lane.number });
t.teardown(() => baresip.stop());
t.beforeEach(() => baresip.forget());

/** Audio of somebody else, as a caller that only listens hears it. */
const ear = async (t: Test, address: string): Promise<{ readonly port: number; readonly heard: Promise<Buffer> }> => {
  const socket = createSocket('udp4');
  t.teardown(() => new Promise<void>((done) => socket.close(() => done())));
  const heard = once(socket, 'message', { signal: AbortSignal.timeout(8000) }).then(([data]) => data as Buffer);
  heard.catch(() => undefined);
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  return { port: socket.address().port, heard };
};

const offerOf = (address: string, port: number): string =>
  `v=0\r\no=- 1 1 IN IP4 ${address}\r\ns=-\r\nc=IN IP4 ${address}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 8 0\r\na=sendrecv\r\n`;

const ANSWERED = { outcome: 'answered', sipStatus: 200, reasonCode: 'normal_clearing' } as const;

void t.test('baresip is called by a carrier, answers, and is hung up on', async (t) => {
  const caller = await Sipp.run(site.callerPlan(site.inbound, lane, 'answer', { pauseMs: 300 }));
  went(t, caller);
  await baresip.event('CALL_ESTABLISHED');
  await baresip.event('CALL_CLOSED');
  const record = await node.record(callIdOf(caller));
  has(t, record, { ...ANSWERED, endedBy: 'caller', direction: 'inbound' });
  t.match(
    ofKind(caller.received, '200 INVITE')[0]?.text,
    `c=IN IP4 ${site.pbx}`,
    'its own media address: no anchoring',
  );
});

void t.test('audio flows straight from baresip to the caller', async (t) => {
  const peer = await SipPeer.open({ address: site.carrier, name: 'carrier' });
  t.teardown(() => peer.close());
  const { port, heard } = await ear(t, site.carrier);
  const uri = `sip:${lane.number}@${node.hostPort}`;
  const from = `<sip:+919812345678@${peer.hostPort}>;tag=audio`;
  const invite = peer.sendInvite({ target: node.hostPort, uri, from, body: offerOf(site.carrier, port) });
  const dialog = invite.confirm(await peer.expect('200 INVITE'));
  await baresip.event('CALL_ESTABLISHED');
  const packet = await heard;
  t.equal((packet[0] as number) >> 6, 2, 'RTP version 2');
  t.equal((packet[1] as number) & 0x7f, 8, 'in the codec of the answer');
  dialog.send('BYE');
  await peer.expect('200 BYE');
  await baresip.event('CALL_CLOSED');
  has(t, await node.record(invite.callId), { ...ANSWERED, endedBy: 'caller' });
});

void t.test('baresip hangs up', async (t) => {
  const placing = Sipp.run(site.callerPlan(site.inbound, lane, 'hung_up_on'));
  await baresip.event('CALL_ESTABLISHED');
  baresip.command('hangup');
  const caller = await placing;
  went(t, caller);
  has(t, await node.record(callIdOf(caller)), { ...ANSWERED, endedBy: 'callee' });
  await baresip.event('CALL_CLOSED');
});

void t.test('baresip calls out through a carrier, and hangs up', async (t) => {
  const gateway = await Sipp.start(site.calleePlan(site.outbound, lane, 'answer'));
  t.teardown(() => gateway.stop());
  baresip.command('dial', `sip:+919812345678@${node.hostPort}`);
  await baresip.event('CALL_ESTABLISHED');
  baresip.command('hangup');
  const callee = await gateway.result;
  went(t, callee);
  await baresip.event('CALL_CLOSED');
  const invite = callee.received[0];
  t.match(invite?.header('From'), `<sip:${lane.number}@`, 'from the number of the trunk');
  t.match(invite?.text, `c=IN IP4 ${site.pbx}`, 'with its own media address');
  const record = node.records().find((one) => one.bLegCallId === invite?.callId);
  has(t, record as NonNullable<typeof record>, { ...ANSWERED, endedBy: 'caller', direction: 'outbound' });
});

void t.test('baresip calls out over TCP, and the callee hangs up', async (t) => {
  const gateway = await Sipp.start(site.calleePlan(site.outbound, lane, 'hang_up', { pauseMs: 200 }));
  t.teardown(() => gateway.stop());
  baresip.command('dial', `sip:+919812345678@${node.hostPort};transport=tcp`);
  await baresip.event('CALL_ESTABLISHED');
  const callee = await gateway.result;
  went(t, callee);
  await baresip.event('CALL_CLOSED');
  const record = node.records().find((one) => one.bLegCallId === callee.received[0]?.callId);
  has(t, record as NonNullable<typeof record>, { ...ANSWERED, endedBy: 'callee' });
  t.match(record?.source, /^tcp\//);
});

void t.test('baresip is told why it may not call', async (t) => {
  const before = baresip.output.length;
  baresip.command('dial', `sip:reception@${node.hostPort}`);
  await baresip.event('CALL_CLOSED');
  t.match(baresip.output.slice(before), /SIP;cause=484;text="number_invalid"/);
});

void t.test('linphone is called by a carrier, calls out, hangs up and is hung up on', async (t) => {
  const trunk = site.lane('linphone');
  const linphone = await Linphone.start({ address: site.pbx, port: LINPHONE_PORT, user: trunk.number });
  t.teardown(() => linphone.stop());
  let mark = linphone.mark;
  const caller = await Sipp.run(site.callerPlan(site.inbound, trunk, 'answer', { pauseMs: 300 }));
  went(t, caller);
  await linphone.printed(/Call \d+ with .* ended/, mark);
  has(t, await node.record(callIdOf(caller)), { ...ANSWERED, endedBy: 'caller', direction: 'inbound' });

  const gateway = await Sipp.start(site.calleePlan(site.outbound, trunk, 'answer'));
  t.teardown(() => gateway.stop());
  mark = linphone.mark;
  linphone.say(`call sip:+919812345678@${node.hostPort}`);
  await linphone.printed(/Call \d+ with .* connected/, mark);
  linphone.say('terminate');
  const callee = await gateway.result;
  went(t, callee);
  const record = node.records().find((one) => one.bLegCallId === callee.received[0]?.callId);
  has(t, record as NonNullable<typeof record>, { ...ANSWERED, endedBy: 'caller', direction: 'outbound' });
  t.equal(record?.callerSent, trunk.number);
});
