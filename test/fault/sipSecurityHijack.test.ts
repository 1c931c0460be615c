/** S13: somebody who knows everything of a call but is not where its ends are. 0 effects. */
import t, { type Test } from 'tap';
import { type Stage, openStage } from '../support/edgeStage.js';
import { FOREIGN, NUMBER, TOWN, peerAt, sdpOf, townRouting } from '../support/edgeTown.js';
import { RawSocket } from '../support/rawSocket.js';
import type { PeerDialog, PeerMessage, PeerRequest } from '../support/sipPeer.js';

const ADDRESS = '127.0.34.3';
const PORT = 34_200;
const PORTS = { carrier: 34_210, pbx: 34_220 };
/** Strangers, and the neighbour: a customer whose address is known, but not in this call. */
const ATTACKERS = [TOWN.stranger, TOWN.neighbour] as const;

t.setTimeout(60_000);

const open = (t: Test, plan: object = {}): Promise<Stage> =>
  openStage(t, { address: ADDRESS, port: PORT, routing: townRouting(PORTS), ...plan }, PORTS);

const call = ({ rig, pbx }: Stage) =>
  pbx.sendInvite({
    ...{ target: rig.hostPort, uri: `sip:${FOREIGN}@${rig.hostPort}`, from: `<sip:${NUMBER}@${ADDRESS}>;tag=a` },
    body: sdpOf(TOWN.pbx),
  });

const establish = async (stage: Stage): Promise<{ a: PeerDialog; b: PeerDialog }> => {
  const invite = call(stage);
  const arrived = await stage.telco.expectRequest('INVITE');
  const ok = arrived.respond(200, { body: sdpOf(TOWN.carrier) });
  const a = invite.confirm(await stage.pbx.expect('200 INVITE'));
  await stage.telco.expect('ACK');
  return { a, b: arrived.dialog(ok) };
};

/** Both ends heard nothing, and the call still works: INFO crosses both ways, then BYE ends it. */
const stillWhole = async (t: Test, stage: Stage, { a, b }: { a: PeerDialog; b: PeerDialog }): Promise<void> => {
  const { pbx, telco, rig } = stage;
  for (const [from, to, peer] of [
    [a, telco, pbx],
    [b, pbx, telco],
  ] as const) {
    from.send('INFO', { headers: [['X-Ask', 'are you there']] });
    (await to.expectRequest('INFO')).respond(200);
    await peer.expect('200 INFO');
  }
  t.equal(rig.service.registry.size, 1);
  t.strictSame(
    [...pbx.received, ...telco.received].filter((one) => ['BYE', 'CANCEL', 'UPDATE', 'REFER'].includes(one.method)),
    [],
    'neither end heard of it',
  );
  a.send('BYE');
  (await telco.expectRequest('BYE')).respond(200);
  await pbx.expect('200 BYE');
};

/** The same dialog, spoken by somebody else. */
const forged = (dialog: PeerDialog, attacker: string, method: string, branch: string, cseq: number): string => {
  const { local, remote, callId, target } = dialog.state;
  const body = method === 'INVITE' || method === 'UPDATE' || method === 'ACK' ? sdpOf(attacker) : '';
  return [
    `${method} ${target} SIP/2.0`,
    `Via: SIP/2.0/UDP ${dialog.peer.hostPort};branch=${branch};rport`,
    `From: ${local}`,
    `To: ${remote}`,
    `Call-ID: ${callId}`,
    `CSeq: ${cseq} ${method}`,
    `Contact: <sip:${attacker}:34266>`,
    ...(method === 'REFER' ? [`Refer-To: <sip:${attacker}>`] : []),
    ...(body === '' ? [] : ['Content-Type: application/sdp']),
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
};

const METHODS = [
  'BYE',
  'INVITE',
  'UPDATE',
  'INFO',
  'REFER',
  'MESSAGE',
  'NOTIFY',
  'PRACK',
  'OPTIONS',
  'SUBSCRIBE',
  'CANCEL',
];

t.test('S13: requests within a call, with its ids, tags and CSeq, from elsewhere', async (t) => {
  const stage = await open(t);
  const { rig, pbx } = stage;
  const ends = await establish(stage);
  let sent = 0;
  for (const address of ATTACKERS) {
    const attacker = await RawSocket.open(address);
    t.teardown(() => attacker.close());
    for (const end of [ends.a, ends.b]) {
      for (const method of METHODS) {
        attacker.send(forged(end, address, method, `z9hG4bKh${sent}`, end.cseq + 1), rig.hostPort);
        const told = (await attacker.next()).toString('latin1');
        t.match(told, address === TOWN.stranger ? /^SIP\/2\.0 403 / : /^SIP\/2\.0 481 /, `${method} from ${address}`);
        sent++;
      }
      attacker.send(forged(end, address, 'ACK', `z9hG4bKh${sent++}`, end.cseq), rig.hostPort);
    }
  }
  pbx.sendRequest('OPTIONS', { target: rig.hostPort });
  await pbx.expect('200 OPTIONS');
  t.equal(sent, ATTACKERS.length * 2 * (METHODS.length + 1));
  await stillWhole(t, stage, ends);
});

t.test('S13: another address of the same trunk may speak, as may the address that the peer has named', async (t) => {
  const stage = await open(t);
  const ends = await establish(stage);
  const second = await peerAt(TOWN.pbxToo);
  t.teardown(() => second.close());
  const { local, remote, callId, target } = ends.a.state;
  second.sendRequest('BYE', {
    target: stage.rig.hostPort,
    uri: target,
    from: local,
    to: remote,
    callId,
    cseq: ends.a.cseq + 1,
  });
  (await stage.telco.expectRequest('BYE')).respond(200);
  await second.expect('200 BYE');
});

t.test('S13: the proxy that stays on the way (Record-Route) may speak', async (t) => {
  const stage = await open(t);
  const { rig, pbx, telco } = stage;
  const proxy = await peerAt(TOWN.strangerToo, 34_267);
  t.teardown(() => proxy.close());
  const invite = pbx.sendInvite({
    ...{ target: rig.hostPort, uri: `sip:${FOREIGN}@${rig.hostPort}`, from: `<sip:${NUMBER}@${ADDRESS}>;tag=a` },
    headers: [['Record-Route', `<sip:${proxy.hostPort};lr>`]],
    body: sdpOf(TOWN.pbx),
  });
  (await telco.expectRequest('INVITE')).respond(200, { body: sdpOf(TOWN.carrier) });
  const { local, remote, callId, target } = invite.dialog(await pbx.expect('200 INVITE')).state;
  proxy.sendRequest('ACK', { target: rig.hostPort, uri: target, from: local, to: remote, callId, cseq: 1 });
  proxy.sendRequest('BYE', { target: rig.hostPort, uri: target, from: local, to: remote, callId, cseq: 2 });
  (await telco.expectRequest('BYE')).respond(200);
  await proxy.expect('200 BYE');
});

t.test('S13: forged answers to our INVITE: wrong source, wrong branch, wrong CSeq, wrong Call-ID', async (t) => {
  const stage = await open(t);
  const { rig, pbx, telco } = stage;
  call(stage);
  const arrived = await telco.expectRequest('INVITE');
  const answer = (message: PeerMessage, change: (line: string) => string, status: string): string =>
    [
      `SIP/2.0 ${status}`,
      ...message.headerAll('Via').map((via) => `Via: ${via}`),
      `From: ${message.header('From') ?? ''}`,
      `To: ${message.header('To') ?? ''};tag=forged`,
      `Call-ID: ${message.callId}`,
      `CSeq: ${message.cseq}`,
      `Contact: <sip:${TOWN.stranger}:34266>`,
      'Content-Type: application/sdp',
    ]
      .map(change)
      .concat([`Content-Length: ${sdpOf(TOWN.stranger).length}`, '', sdpOf(TOWN.stranger)])
      .join('\r\n');
  const asIs = (line: string): string => line;
  const forgeries: readonly (readonly [from: string, change: (line: string) => string])[] = [
    ...ATTACKERS.map((from) => [from, asIs] as const),
    [TOWN.pbx, asIs],
    [TOWN.carrier, (line) => line.replace(/branch=z9hG4bK\w+/, 'branch=z9hG4bKguessed')],
    [TOWN.carrier, (line) => line.replace(/^CSeq: \d+ INVITE/, 'CSeq: 7 BYE')],
    [TOWN.carrier, (line) => line.replace(/^(Via: SIP\/2\.0\/UDP )[^;]+/, '$110.0.0.1:5060')],
    [TOWN.carrier, (line) => (line.startsWith('Via') ? `${line}\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx` : line)],
  ];
  const { foreignResponses, strayResponses } = rig.counters();
  let sent = 0;
  for (const [from, change] of forgeries) {
    const attacker = await RawSocket.open(from);
    t.teardown(() => attacker.close());
    for (const status of ['200 OK', '180 Ringing', '486 Busy Here', '302 Moved', '407 Proxy Authentication Required']) {
      attacker.send(answer(arrived.message, change, status), rig.hostPort);
      sent++;
    }
  }
  pbx.sendRequest('OPTIONS', { target: rig.hostPort });
  await pbx.expect('200 OPTIONS');
  const after = rig.counters();
  t.equal(
    after.foreignResponses + after.strayResponses - foreignResponses - strayResponses,
    sent,
    'all are recognised',
  );
  t.equal(
    pbx.count((one) => one.method === 'INVITE' && one.status > 100),
    0,
    'the caller hears of none',
  );
  t.equal(telco.count('ACK') + telco.count('CANCEL'), 0);
  await finish(t, stage, arrived);
});

/** The rightful end: busy. */
const finish = async (t: Test, { pbx, telco, rig }: Stage, arrived: PeerRequest): Promise<void> => {
  arrived.respond(486);
  await pbx.expect('486 INVITE');
  await telco.expect('ACK');
  t.equal(rig.service.registry.size, 0);
};

t.test('S13: CANCEL, ACK and BYE before the answer: from elsewhere, or with tags that are guessed', async (t) => {
  const stage = await open(t);
  const { rig, pbx, telco } = stage;
  const invite = call(stage);
  const arrived = await telco.expectRequest('INVITE');
  arrived.respond(180);
  const ringing = await pbx.expect('180 INVITE');
  const via = invite.request.header('Via') ?? '';
  const line = (method: string, to: string, way = via): string =>
    [
      `${method} ${invite.request.uri} SIP/2.0`,
      `Via: ${way}`,
      `From: ${invite.request.header('From') ?? ''}`,
      `To: ${to}`,
      `Call-ID: ${invite.callId}`,
      `CSeq: ${method === 'BYE' ? 2 : 1} ${method}`,
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n');
  const to = invite.request.header('To') ?? '';
  const tagged = ringing.header('To') ?? '';
  for (const address of ATTACKERS) {
    const attacker = await RawSocket.open(address);
    t.teardown(() => attacker.close());
    attacker.send(line('CANCEL', to), rig.hostPort);
    attacker.send(line('CANCEL', tagged), rig.hostPort);
    attacker.send(line('ACK', tagged), rig.hostPort);
    attacker.send(line('BYE', tagged, via.replace('branch=', 'branch=z9hG4bKx')), rig.hostPort);
  }
  // The trunk itself, or somebody behind the same address, who has to guess.
  const inside = await RawSocket.open(TOWN.pbx);
  t.teardown(() => inside.close());
  for (let i = 0; i < 20; i++) {
    inside.send(
      line(
        'BYE',
        `${to};tag=${i.toString(16).padStart(32, '0')}`,
        `SIP/2.0/UDP ${inside.address}:${inside.port};branch=z9hG4bKg${i}`,
      ),
      rig.hostPort,
    );
    inside.send(line('CANCEL', to, via.replace(/branch=\w+/, `branch=z9hG4bKg${i}`)), rig.hostPort);
  }
  pbx.sendRequest('OPTIONS', { target: rig.hostPort });
  await pbx.expect('200 OPTIONS');
  t.equal(telco.count('CANCEL') + telco.count('BYE'), 0);
  t.equal(pbx.count('487 INVITE'), 0);
  t.equal(rig.service.registry.size, 1);
  await finish(t, stage, arrived);
});

t.test('S13: an ACK from elsewhere does not stop the 2xx from being repeated, nor speak for the caller', async (t) => {
  const stage = await open(t);
  const { rig, pbx, telco } = stage;
  // A late offer: the ACK carries the answer.
  const invite = pbx.sendInvite({
    target: rig.hostPort,
    uri: `sip:${FOREIGN}@${rig.hostPort}`,
    from: `<sip:${NUMBER}@${ADDRESS}>;tag=a`,
  });
  (await telco.expectRequest('INVITE')).respond(200, { body: sdpOf(TOWN.carrier) });
  const dialog = invite.dialog(await pbx.expect('200 INVITE'));
  const attacker = await RawSocket.open(TOWN.neighbour);
  t.teardown(() => attacker.close());
  attacker.send(forged(dialog, TOWN.neighbour, 'ACK', 'z9hG4bKack', 1), rig.hostPort);
  pbx.sendRequest('OPTIONS', { target: rig.hostPort });
  await pbx.expect('200 OPTIONS');
  t.equal(telco.count('ACK'), 0, 'nothing was acknowledged in its name');
  t.equal(rig.counters().foreignRequests, 1);
  dialog.ack(1, { body: sdpOf(TOWN.pbx) });
  t.equal((await telco.expect('ACK')).body.toString(), sdpOf(TOWN.pbx));
  dialog.send('BYE');
  (await telco.expectRequest('BYE')).respond(200);
  await pbx.expect('200 BYE');
});
