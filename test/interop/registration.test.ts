/** Telephones without a fixed address: they register with a password, are called where they are, and call out. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { SystemRandom } from '../../src/kernel/index.js';
import { DigestClient } from '../../src/signal/index.js';
import { KamailioRegistrar } from '../support/kamailioRegistrar.js';
import { publishRouting } from '../support/publishRouting.js';
import { RedisServer } from '../support/redisServer.js';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { Baresip } from '../support/endpointsBaresip.js';
import { bounded } from '../support/endpoints.js';
import { Linphone } from '../support/endpointsLinphone.js';
import { PeerMessage, SipPeer } from '../support/sipPeer.js';
import { Sipp } from '../support/sipp.js';
import { has, went } from '../support/sippChecks.js';
import { TandemNode } from '../support/tandemNode.js';
import { callIdOf } from '../support/tandemNodeSite.js';

const NODE = '127.0.35.1';
const PORT = 35_000;
const CARRIER = '127.0.35.11';
const FOREIGN = '+919812345678';
const SECRET = 'gr8-secret';

interface Line {
  readonly user: string;
  readonly number: string;
  readonly trunkSid: string;
  readonly address: string;
}

const lineOf = (index: number): Line => ({
  user: `phone${index}`,
  number: `+91804000010${index}`,
  trunkSid: `trk_${index}`,
  address: `127.0.35.${20 + index}`,
});
const LINES = [0, 1, 2, 3, 4, 5].map(lineOf) as [Line, Line, Line, Line, Line, Line];

/** A trunk that has no address: only a user and a password. */
const trunkOf = ({ user, number, trunkSid }: Line): object => ({
  trunk_sid: trunkSid,
  account_sid: 'demo',
  trunk_name: user,
  domain_name: `${user}.pstn.example`,
  credentials: [{ user_name: user, password: SECRET }],
  destination_uris: [{ destination: `registered:${user}` }],
  phone_numbers: [{ phone_number: number, mode: 'pstn', carrier: 'telco' }],
  settings: { trunk_external_alias: number },
});

const routing = {
  accounts: [{ sid: 'demo' }],
  carriers: [
    {
      id: 'telco',
      kind: 'byo',
      source_acl: [{ ip: CARRIER }],
      gateways: [{ uri: `sip:${CARRIER}:35100` }],
    },
  ],
  trunks: LINES.map(trunkOf),
};

const node = await TandemNode.start({
  address: NODE,
  port: PORT,
  listen: [`udp://${NODE}:${PORT}`, `tcp://${NODE}:${PORT}`, `ws://${NODE}:${PORT + 2}`],
  routing,
});
t.teardown(() => node.stop());
let callerPort = 35_200;

interface Registered {
  readonly userName: string;
  readonly contact: string;
  readonly source: string;
  readonly expiresInS: number;
}

const registrations = async (line: Line, of = node): Promise<readonly Registered[]> => {
  const answer = (await (await of.get('/api/registrations')).json()) as { registrations: Registered[] };
  return answer.registrations.filter(({ userName }) => userName === line.user);
};

const registered = (line: Line, count: number, of = node): Promise<void> =>
  bounded(`${count} contacts of ${line.user}`, 8000, async () => (await registrations(line, of)).length === count);

const callFromCarrier = async (line: Line, scenario = 'answer'): Promise<CallRecord> => {
  const caller = await Sipp.run({
    scenario: `uac/${scenario}`,
    address: CARRIER,
    port: callerPort++,
    remote: node.hostPort,
    service: line.number,
    keys: { caller: FOREIGN },
    pauseMs: 200,
  });
  if (scenario === 'answer') went(t, caller);
  return node.record(callIdOf(caller));
};

const ANSWERED = { outcome: 'answered', sipStatus: 200, reasonCode: 'normal_clearing' } as const;

const startBaresip = async (t: Test, line: Line, transport: 'udp' | 'tcp'): Promise<Baresip> => {
  const baresip = await Baresip.start({
    address: line.address,
    port: 35_010,
    user: line.user,
    transport,
    rtpPorts: '35600-35700',
    register: { registrar: `${NODE}:${PORT}`, password: SECRET },
  });
  t.teardown(() => {
    if (!t.passing()) t.comment(baresip.output.slice(-6000));
    return baresip.stop();
  });
  return baresip;
};

for (const [transport, line] of [
  ['udp', LINES[0]],
  ['tcp', LINES[1]],
] as const) {
  void t.test(
    `baresip registers over ${transport.toUpperCase()}, is called through a number, and calls out`,
    async (t) => {
      has(t, await callFromCarrier(line, 'refused'), { sipStatus: 480, reasonCode: 'not_registered' });

      const baresip = await startBaresip(t, line, transport);
      await registered(line, 1);
      const [contact] = await registrations(line);
      t.match(contact?.source, `${transport}/`);

      const record = await callFromCarrier(line);
      await baresip.event('CALL_ESTABLISHED');
      await baresip.event('CALL_CLOSED');
      has(t, record, { ...ANSWERED, direction: 'inbound', trunkSid: line.trunkSid });
      t.equal(record.destination, contact?.contact, 'the Request-URI is the contact');
      t.match(
        baresip.output,
        new RegExp(`To: <sip:\\${line.number}@${line.user}.pstn.example>`),
        'To says which number',
      );

      const gateway = await Sipp.start({ scenario: 'uas/answer', address: CARRIER, port: 35_100 });
      t.teardown(() => gateway.stop());
      baresip.command('dial', `sip:${FOREIGN}@${node.hostPort}`);
      await baresip.event('CALL_ESTABLISHED');
      baresip.command('hangup');
      const callee = await gateway.result;
      went(t, callee);
      await baresip.event('CALL_CLOSED');
      t.match(callee.received[0]?.header('From'), `<sip:${line.number}@`, 'in the name of the number of its trunk');

      await baresip.stop();
      await registered(line, 0);
      has(t, await callFromCarrier(line, 'refused'), { sipStatus: 480, reasonCode: 'not_registered' });
    },
  );
}

void t.test('linphone registers, is called, and calls out', async (t) => {
  const line = LINES[2];
  const linphone = await Linphone.start({
    address: line.address,
    port: 35_020,
    user: line.user,
    register: { registrar: `${NODE}:${PORT}`, password: SECRET },
  });
  t.teardown(() => linphone.stop());
  await registered(line, 1);
  let mark = linphone.mark;
  has(t, await callFromCarrier(line), { ...ANSWERED, direction: 'inbound' });
  await linphone.printed(/Call \d+ with .* ended/, mark);

  const gateway = await Sipp.start({ scenario: 'uas/answer', address: CARRIER, port: 35_100 });
  t.teardown(() => gateway.stop());
  mark = linphone.mark;
  linphone.say(`call sip:${FOREIGN}@${node.hostPort}`);
  await linphone.printed(/Call \d+ with .* connected/, mark);
  linphone.say('terminate');
  const callee = await gateway.result;
  went(t, callee);
  t.match(callee.received[0]?.header('From'), `<sip:${line.number}@`);
});

/** A REGISTER with whatever proof is asked for. */
const registerPeer = async (
  peer: SipPeer,
  line: Line,
  {
    contact,
    password = SECRET,
    expires = 120,
    callId = `reg-${line.user}`,
    cseq = 1,
  }: {
    readonly contact: string;
    readonly password?: string;
    readonly expires?: number;
    readonly callId?: string;
    readonly cseq?: number;
  },
): Promise<PeerMessage> => {
  const uri = `sip:${NODE}:${PORT}`;
  const to = `<sip:${line.user}@${NODE}>`;
  const base = { target: node.hostPort, uri, to, from: `${to};tag=${line.user}`, callId, contact };
  const headers = [['Expires', String(expires)]] as const;
  peer.sendRequest('REGISTER', { ...base, cseq, headers });
  const challenge = await peer.expect('401 REGISTER');
  const digest = new DigestClient({ userName: line.user, password, realm: 'tandem' }, NODE, new SystemRandom());
  const asked = challenge.headerAll('WWW-Authenticate');
  const answer = digest.answer({ status: 401, challenges: asked }, { method: 'REGISTER', uri });
  if (!answer.ok) throw new Error(answer.refusal);
  peer.sendRequest('REGISTER', { ...base, cseq: cseq + 1, headers: [...headers, answer.header] });
  return peer.expect((message) => message.cseq === `${cseq + 1} REGISTER`);
};

/** A carrier's call through to a phone that the test plays; both ends see the other's whole dialog. */
const callToPeer = async (t: Test, line: Line, phone: SipPeer, contact: string): Promise<void> => {
  const carrier = await SipPeer.open({ address: CARRIER, name: 'carrier' });
  t.teardown(() => carrier.close());
  const call = carrier.sendInvite({
    target: node.hostPort,
    uri: `sip:${line.number}@${node.hostPort}`,
    from: `<sip:${FOREIGN}@${carrier.hostPort}>;tag=${line.user}`,
    body: SDP,
  });
  const invite = await phone.expectRequest('INVITE');
  t.equal(invite.uri, contact, 'the Request-URI is the contact');
  const answer = invite.respond(200, { body: SDP, contact: `<${contact}>` });
  const dialog = call.confirm(await carrier.expect('200 INVITE'));
  await phone.expectRequest('ACK');
  dialog.send('BYE');
  (await phone.expectRequest('BYE')).respond(200);
  await carrier.expect('200 BYE');
  t.ok(answer);
  has(t, await node.record(call.callId), ANSWERED);
};

/** The phone calls out, with its password; whoever it calls hangs up. */
const callFromPeer = async (t: Test, line: Line, phone: SipPeer, contact: string): Promise<void> => {
  const gateway = await SipPeer.open({ address: CARRIER, port: 35_100, name: 'gateway' });
  t.teardown(() => gateway.close());
  const uri = `sip:${FOREIGN}@${node.hostPort}`;
  const from = `<sip:${line.user}@${NODE}>;tag=out`;
  const base = { target: node.hostPort, uri, from, callId: `out-${line.user}`, contact: `<${contact}>`, body: SDP };
  // Long enough to be challenged: a stranger's INVITE gets no more octets than it has.
  const padding = ['Subject', 'x'.repeat(500)] as const;
  phone.sendInvite({ ...base, cseq: 1, headers: [padding] });
  const challenge = await phone.expect('401 INVITE');
  const digest = new DigestClient({ userName: line.user, password: SECRET, realm: 'tandem' }, NODE, new SystemRandom());
  const challenges = challenge.headerAll('WWW-Authenticate');
  const proof = digest.answer({ status: 401, challenges }, { method: 'INVITE', uri });
  if (!proof.ok) throw new Error(proof.refusal);
  const call = phone.sendInvite({ ...base, cseq: 2, headers: [padding, proof.header] });
  const invite = await gateway.expectRequest('INVITE');
  const answer = invite.respond(200, { body: SDP });
  const dialog = invite.dialog(answer);
  call.confirm(await phone.expect('200 INVITE'));
  await gateway.expectRequest('ACK');
  dialog.send('BYE');
  (await phone.expectRequest('BYE')).respond(200);
  await gateway.expect('200 BYE');
  has(t, await node.record(call.callId), { ...ANSWERED, endedBy: 'callee', direction: 'outbound' });
};

const SDP = 'v=0\r\no=- 1 1 IN IP4 127.0.35.9\r\ns=-\r\nc=IN IP4 127.0.35.9\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n';

void t.test('behind NAT a phone is called where it sends from, ACK and BYE too', async (t) => {
  const line = LINES[3];
  const phone = await SipPeer.open({ address: line.address, name: 'phone' });
  t.teardown(() => phone.close());
  const contact = `sip:${line.user}@10.99.99.99:5060`;
  const answer = await registerPeer(phone, line, { contact: `<${contact}>` });
  t.equal(answer.header('Contact'), `<${contact}>;expires=120`);
  await callToPeer(t, line, phone, contact);
  await callFromPeer(t, line, phone, contact);
  t.equal((await registerPeer(phone, line, { contact: '<sip:x@h>;expires=5', cseq: 5 })).status, 423);
  t.equal((await registerPeer(phone, line, { contact: '*', expires: 0, cseq: 10 })).status, 200);
});

void t.test('over TCP a phone is called over its own connection; when that breaks, it is gone at once', async (t) => {
  const line = LINES[4];
  const phone = await SipPeer.open({ address: line.address, transport: 'tcp', name: 'phone' });
  t.teardown(() => phone.close());
  const contact = `sip:${line.user}@nowhere.invalid;transport=tcp`;
  t.equal((await registerPeer(phone, line, { contact: `<${contact}>` })).status, 200);
  await callToPeer(t, line, phone, contact);
  phone.dropConnections();
  await registered(line, 0);
  has(t, await callFromCarrier(line, 'refused'), { sipStatus: 480, reasonCode: 'not_registered' });
});

void t.test('a browser’s socket is the way to it, as its contact leads nowhere (RFC 7118)', async (t) => {
  const line = LINES[5];
  const socket = new WebSocket(`ws://${NODE}:${PORT + 2}`, 'sip', { origin: 'https://phone.example' });
  t.teardown(() => socket.terminate());
  await once(socket, 'open');
  const inbox: PeerMessage[] = [];
  let wake = (): void => undefined;
  socket.on('message', (data: Buffer) => {
    inbox.push(new PeerMessage(data));
    wake();
  });
  const expected = async (wanted: RegExp): Promise<PeerMessage> => {
    for (;;) {
      const at = inbox.findIndex(({ startLine }) => wanted.test(startLine));
      if (at >= 0) return inbox.splice(at, 1)[0] as PeerMessage;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  const contact = `sip:c0ffee@df7jal23ls0d.invalid;transport=ws`;
  const register = (cseq: number, proof = ''): void =>
    socket.send(
      [
        `REGISTER sip:${line.user}.pstn.example SIP/2.0`,
        `Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKws${cseq}`,
        `To: <sip:${line.user}@${line.user}.pstn.example>`,
        `From: <sip:${line.user}@${line.user}.pstn.example>;tag=w`,
        `Call-ID: ws-${line.user}`,
        `CSeq: ${cseq} REGISTER`,
        'Max-Forwards: 70',
        `Contact: <${contact}>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";reg-id=1;expires=600`,
        'Supported: path, outbound, gruu',
        `${proof}Content-Length: 0`,
        '',
        '',
      ].join('\r\n'),
    );
  register(1);
  const challenge = await expected(/^SIP\/2.0 401/);
  const digest = new DigestClient({ userName: line.user, password: SECRET, realm: 'tandem' }, NODE, new SystemRandom());
  const answer = digest.answer(
    { status: 401, challenges: challenge.headerAll('WWW-Authenticate') },
    { method: 'REGISTER', uri: `sip:${line.user}.pstn.example` },
  );
  t.ok(answer.ok);
  if (!answer.ok) return;
  register(2, `${answer.header[0]}: ${answer.header[1]}\r\n`);
  const bound = await expected(/^SIP\/2.0 200/);
  t.equal(bound.header('Require'), 'outbound');
  t.match(bound.header('Contact'), /reg-id=1/);

  const calling = callFromCarrier(line, 'refused');
  const invite = await expected(/^INVITE/);
  t.equal(invite.uri, contact);
  socket.send(
    [
      'SIP/2.0 603 Decline',
      ...invite.headerAll('Via').map((via) => `Via: ${via}`),
      `From: ${invite.header('From') ?? ''}`,
      `To: ${invite.header('To') ?? ''};tag=ws`,
      `Call-ID: ${invite.callId}`,
      `CSeq: ${invite.header('CSeq') ?? ''}`,
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n'),
  );
  await expected(/^ACK/);
  has(t, await calling, { sipStatus: 603, trunkSid: line.trunkSid });
  socket.close();
  await registered(line, 0);
});

void t.test('nobody registers without a password, and ten guesses are the last for a while', async (t) => {
  const line = LINES[3];
  const thief = await SipPeer.open({ address: '127.0.35.90', name: 'thief' });
  t.teardown(() => thief.close());
  const contact = '<sip:thief@127.0.35.90>';
  const dump = await node.dump();
  let status = 0;
  for (let guess = 0; guess < 12 && status !== 403; guess++) {
    const callId = `guess-${guess}`;
    status =
      (await registerPeer(thief, line, { contact, password: `wrong${guess}`, callId }).catch(() => undefined))
        ?.status ?? 403;
  }
  t.equal(status, 403);
  t.equal((await registrations(line)).length, 0);
  t.equal((await node.dump()).signal.serverTransactions <= dump.signal.serverTransactions + 2, true, 'stateless');
});

void t.test('registrations by datagram outlive a restart', async (t) => {
  const line = LINES[0];
  const plan = { address: '127.0.35.2', port: PORT, routing };
  const folder = await mkdtemp(join(tmpdir(), 'tandem-registrations-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const registrar = { registrar: { path: join(folder, 'registrations.jsonl') } };
  const before = await TandemNode.start({ ...plan, config: registrar });
  const baresip = await Baresip.start({
    address: line.address,
    port: 35_030,
    user: line.user,
    rtpPorts: '35600-35700',
    register: { registrar: before.hostPort, password: SECRET, seconds: 3600 },
  });
  t.teardown(() => baresip.stop());
  await registered(line, 1, before);
  await before.stop();
  const after = await TandemNode.start({ ...plan, config: registrar });
  t.teardown(() => after.stop());
  t.equal((await registrations(line, after)).length, 1, 'before the phone has said anything');
  const caller = await Sipp.run({
    scenario: 'uac/answer',
    address: CARRIER,
    port: callerPort++,
    remote: after.hostPort,
    service: line.number,
    keys: { caller: FOREIGN },
    pauseMs: 200,
  });
  went(t, caller);
  await baresip.event('CALL_CLOSED');
});

void t.test('an operator sees contacts, and drops them', async (t) => {
  const line = LINES[3];
  const phone = await SipPeer.open({ address: line.address, name: 'phone' });
  t.teardown(() => phone.close());
  const contact = `sip:${line.user}@10.99.99.98`;
  await registerPeer(phone, line, { contact: `<${contact}>`, callId: 'admin' });
  t.match(await registrations(line), [{ trunkSid: line.trunkSid, accountSid: 'demo', contact, node: 'interop' }]);
  t.ok((await node.metric('tandem_registrations')) >= 1);
  const query = `trunk=${line.trunkSid}&user=${line.user}&contact=${encodeURIComponent(contact)}`;
  const drop = (): Promise<Response> =>
    fetch(`http://${NODE}:${PORT + 1}/api/registrations?${query}`, { method: 'DELETE' });
  t.strictSame(await (await drop()).json(), { removed: 1 });
  t.equal((await drop()).status, 404);
  t.equal((await registrations(line)).length, 0);
});

void t.test('a carrier’s registrar gets our REGISTER, and its calls are for the number in To', async (t) => {
  const address = '127.0.35.31';
  const realm = 'telco.example';
  const kamailio = await KamailioRegistrar.start({
    address,
    port: 35_060,
    realm,
    user: 'acct7',
    password: SECRET,
    maxExpires: 40,
  });
  t.teardown(() => {
    if (!t.passing()) t.comment(kamailio.output.slice(-4000));
    return kamailio.stop();
  });
  const pbx = '127.0.35.29';
  const number = '+918040000999';
  const registering = await TandemNode.start({
    address: '127.0.35.3',
    port: PORT,
    routing: {
      accounts: [{ sid: 'demo' }],
      carriers: [
        {
          id: 'telco',
          kind: 'byo',
          source_acl: [{ ip: address }],
          gateways: [{ uri: `sip:${address}:35060;transport=tcp` }],
          credentials: { user_name: 'acct7', password: SECRET, realm },
          register: {
            registrar: `${address}:35060;transport=tcp`,
            domain: realm,
            contact_user: 'line7',
            expires_seconds: 600,
          },
        },
      ],
      trunks: [
        {
          trunk_sid: 'trk_pbx',
          account_sid: 'demo',
          trunk_name: 'pbx',
          destination_uris: [{ destination: `${pbx}:35080` }],
          phone_numbers: [{ phone_number: number, carrier: 'telco' }],
        },
      ],
    },
  });
  t.teardown(() => registering.destroy());
  await kamailio.printed(/SAVED line7 .*expires=600/);
  await registering.logged(/carrier registration is registered/);
  const answer = await registering.get('/api/registrations');
  const { carriers } = (await answer.json()) as { carriers: { state: string; expiresInS: number }[] };
  t.match(carriers, [{ carrierId: 'telco', state: 'registered', aor: `sip:acct7@${realm}`, lastStatus: 200 }]);
  t.ok((carriers[0]?.expiresInS ?? 0) <= 40, 'as long as was granted');
  t.equal(await registering.metric('tandem_carrier_registrations{state="registered"}'), 1);

  const callee = await Sipp.start({ scenario: 'uas/answer', address: pbx, port: 35_080 });
  t.teardown(() => callee.stop());
  const caller = await SipPeer.open({ address: CARRIER, name: 'subscriber' });
  t.teardown(() => caller.close());
  const call = caller.sendInvite({
    target: `${address}:35060`,
    uri: `sip:acct7@${address}:35060`,
    to: `<sip:${number}@${realm}>`,
    from: `<sip:${FOREIGN}@${caller.hostPort}>;tag=s`,
    body: SDP,
  });
  const dialog = call.confirm(await caller.expect('200 INVITE'));
  dialog.send('BYE');
  await caller.expect('200 BYE');
  has(t, await registering.record(call.callId), { ...ANSWERED, calledE164: number, calledReceived: 'line7' });
  went(t, await callee.result);

  const before = kamailio.output.length;
  registering.signal('SIGTERM');
  t.strictSame(await registering.ended(), [0, null]);
  await kamailio.printed(/SAVED line7 .*expires=0/, before);
});

/** A machine that is busy with other tests may keep Redis waiting; the node connects anew and says so. */
const STALLED = /store_unreachable|cannot be stored/;

void t.test('two nodes on one Redis know the same phones, and call them', async (t) => {
  const redis = await RedisServer.start({ host: '127.0.35.40', firstPort: 35_800 });
  t.teardown(() => redis.stop());
  const line = LINES[0];
  const folder = await mkdtemp(join(tmpdir(), 'tandem-registrations-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await publishRouting(redis.url, routing);
  const nodeOf = (address: string, id: string): Promise<TandemNode> =>
    TandemNode.start({
      address,
      port: PORT,
      routing,
      config: {
        node: { id },
        store: { kind: 'redis', url: redis.url, snapshotPath: join(folder, `${id}.ndjson`) },
      },
    });
  const one = await nodeOf('127.0.35.41', 'one');
  t.teardown(() => one.stop(STALLED));
  const two = await nodeOf('127.0.35.42', 'two');
  t.teardown(() => two.stop(STALLED));
  const baresip = await Baresip.start({
    address: line.address,
    port: 35_040,
    user: line.user,
    rtpPorts: '35600-35700',
    register: { registrar: one.hostPort, password: SECRET, seconds: 3600 },
  });
  t.teardown(() => baresip.stop());
  await registered(line, 1, one);
  await registered(line, 1, two);
  const caller = await Sipp.run({
    scenario: 'uac/answer',
    address: CARRIER,
    port: callerPort++,
    remote: two.hostPort,
    service: line.number,
    keys: { caller: FOREIGN },
    pauseMs: 200,
  });
  went(t, caller);
  await baresip.event('CALL_CLOSED');
  await baresip.stop();
  await registered(line, 0, one);
  await registered(line, 0, two);
});
