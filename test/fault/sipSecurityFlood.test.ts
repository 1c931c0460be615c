/**
 * S9: INVITEs of strangers by the thousand beside calls of customers. What each costs is counted, as times on a busy
 * machine say nothing: one look at the access lists, one answer at most, and nothing kept.
 */
import t, { type Test } from 'tap';
import { EdgeRig } from '../support/edgeRig.js';
import { FOREIGN, NUMBER, TOWN, peerAt, sdpOf, townRouting } from '../support/edgeTown.js';
import { RawSocket } from '../support/rawSocket.js';

const ADDRESS = '127.0.34.6';
const PORT = 34_500;
const PORTS = { carrier: 34_510, pbx: 34_520 };
/** As many as come in two seconds of the flood that is to be borne. */
const PACKETS = 10_000;
const BATCH = 100;
const MEGABYTE = 1_048_576;

t.setTimeout(100_000);

const packet = (sender: RawSocket, i: number): string =>
  [
    `INVITE sip:${FOREIGN}@${ADDRESS}:${PORT} SIP/2.0`,
    `Via: SIP/2.0/UDP ${sender.address}:${sender.port};branch=z9hG4bKfl${i};rport`,
    'Max-Forwards: 70',
    `From: <sip:${i}@${sender.address}>;tag=f${i}`,
    `To: <sip:${FOREIGN}@${ADDRESS}>`,
    `Call-ID: flood${i}`,
    'CSeq: 1 INVITE',
    `Contact: <sip:x@${sender.address}:${sender.port}>`,
    'User-Agent: friendly-scanner',
    'Content-Type: application/sdp',
    `Content-Length: ${sdpOf(sender.address).length}`,
    '',
    sdpOf(sender.address),
  ].join('\r\n');

const flood = async (t: Test, unlisted: 'reject' | 'drop'): Promise<void> => {
  const asked = { listed: 0, records: 0, parties: 0 };
  const rig = await EdgeRig.open({
    ...{ address: ADDRESS, port: PORT, unlisted, routing: townRouting(PORTS) },
    gate: (gate) => ({
      unlisted: gate.unlisted,
      isListed: (address) => (asked.listed++, gate.isListed(address)),
      isWorthARecord: (address, nowMs) => gate.isWorthARecord(address, nowMs) && ++asked.records > 0,
      sameParty: (address, known) => (asked.parties++, gate.sameParty?.(address, known) === true),
      stranger: (invite, address) => gate.stranger?.(invite, address),
    }),
  });
  const pbx = await peerAt(TOWN.pbx, PORTS.pbx);
  const telco = await peerAt(TOWN.carrier, PORTS.carrier);
  const scanners = await Promise.all(Array.from({ length: 10 }, (_, i) => RawSocket.open(`127.0.34.${100 + i}`)));
  t.teardown(async () => {
    await rig.close();
    for (const one of [pbx, telco, ...scanners]) await one.close();
    if (rig.errors.length > 0) throw rig.errors[0];
  });
  /** A call of the trunk's, from INVITE to BYE. */
  const call = async (): Promise<void> => {
    const invite = pbx.sendInvite({
      ...{ target: rig.hostPort, uri: `sip:${FOREIGN}@${rig.hostPort}`, from: `<sip:${NUMBER}@${ADDRESS}>;tag=a` },
      ...{ body: sdpOf(TOWN.pbx), retransmitMs: 500 },
    });
    (await telco.expectRequest('INVITE')).respond(200, { body: sdpOf(TOWN.carrier) });
    const dialog = invite.confirm(await pbx.expect('200 INVITE'));
    await telco.expect('ACK');
    dialog.send('BYE');
    (await telco.expectRequest('BYE')).respond(200);
    await pbx.expect('200 BYE');
  };
  const answers = (): number => scanners.reduce((sum, one) => sum + one.received.length, 0);
  const rounds = async (packets: number, first: number): Promise<number> => {
    let calls = 0;
    for (let sent = 0; sent < packets; sent += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        const scanner = scanners[i % scanners.length] as RawSocket;
        scanner.send(packet(scanner, first + sent + i), rig.hostPort);
      }
      // What comes after the batch is served after it: the flood goes as fast as the edge takes it.
      await call();
      calls++;
    }
    return calls;
  };
  await rounds(2_000, 0);
  for (const one of scanners) one.received.length = 0;
  const before = { ...rig.counters(), listed: asked.listed, refused: rig.counters().unlistedRefused };
  const requests = before.requestsIn;
  const rss = process.memoryUsage.rss();
  const cpu = process.cpuUsage();
  const calls = await rounds(PACKETS, 2_000);
  const used = process.cpuUsage(cpu);
  const grown = process.memoryUsage.rss() - rss;
  const after = rig.counters();
  const taken = after.unlistedRefused - before.refused;
  t.equal(calls, PACKETS / BATCH, `${calls} of ${PACKETS / BATCH} calls beside it: 0 % lost`);
  t.ok(taken > PACKETS * 0.9, `${taken} of ${PACKETS} packets came (a socket's buffer is finite)`);
  const ofCustomers = after.requestsIn - requests - taken;
  // INVITE of a call; its ACK and BYE belong to a dialog.
  t.ok(asked.listed - before.listed <= taken + ofCustomers, 'one look at the lists for a packet');
  t.ok(asked.listed - before.listed >= taken);
  t.equal(asked.parties, 0);
  t.ok(unlisted === 'drop' ? answers() === 0 : answers() <= taken, `${answers()} answers, one each at most`);
  t.ok(asked.records < 400, `${asked.records} worth a record`);
  t.equal(after.legs, 0, 'nothing lives');
  t.equal(after.dialogs, 0);
  t.ok(after.serverTransactions <= 2 * (calls + 20), 'those of the calls, which linger');
  t.ok(grown <= 20 * MEGABYTE, `RSS + ${(grown / MEGABYTE).toFixed(1)} MB, the scanners' own included`);
  t.comment(`${((used.user + used.system) / (PACKETS + calls)).toFixed(0)} us of CPU a packet, both ends included`);
};

t.test('S9: a flood that is refused', (t) => flood(t, 'reject'));
t.test('S9: a flood that is dropped', (t) => flood(t, 'drop'));

const METHODS = ['INVITE', 'OPTIONS', 'REGISTER', 'MESSAGE', 'SUBSCRIBE', 'PUBLISH', 'REFER', 'INFO', 'NOTIFY'];

for (const unlisted of ['reject', 'drop'] as const) {
  t.test(`S9: of each method, ${unlisted}: one look-up a packet, and every counter exact`, async (t) => {
    let listed = 0;
    let parties = 0;
    const rig = await EdgeRig.open({
      ...{ address: '127.45.3.1', port: PORT, unlisted, routing: townRouting(PORTS) },
      gate: (gate) => ({
        unlisted: gate.unlisted,
        isListed: (address) => (listed++, gate.isListed(address)),
        isWorthARecord: (address, nowMs) => gate.isWorthARecord(address, nowMs),
        sameParty: (address, known) => (parties++, gate.sameParty?.(address, known) === true),
        stranger: (invite, address) => gate.stranger?.(invite, address),
      }),
    });
    const pbx = await peerAt(TOWN.pbx, PORTS.pbx);
    const scanner = await RawSocket.open('127.45.3.66');
    t.teardown(async () => {
      await rig.close();
      await Promise.all([pbx.close(), scanner.close()]);
    });
    const fence = async (): Promise<void> => {
      pbx.sendRequest('OPTIONS', { target: rig.hostPort });
      await pbx.expect('200 OPTIONS');
    };
    await fence();
    const before = { ...rig.counters(), listed };
    const rounds = 20;
    for (let round = 0; round < rounds; round++) {
      METHODS.forEach((method, i) =>
        scanner.send(packet(scanner, round * 100 + i).replaceAll('INVITE', method), rig.hostPort),
      );
      await fence();
    }
    const sent = rounds * METHODS.length;
    const after = rig.counters();
    t.equal(after.unlistedRefused - before.unlistedRefused, sent, 'all counted');
    t.equal(listed - before.listed, sent + rounds, 'one look-up each');
    t.equal(after.requestsIn - before.requestsIn, sent + rounds);
    const answers = unlisted === 'drop' ? 0 : sent;
    t.equal(after.responsesOut - before.responsesOut, answers + rounds, 'one answer each, or none');
    while (scanner.received.length < answers) await scanner.next();
    t.equal(scanner.received.length, answers);
    t.equal(parties, 0, 'nobody was compared with anybody');
    t.same([after.legs, after.dialogs, after.clientTransactions], [0, 0, 0], 'nothing lives');
    t.ok(after.serverTransactions <= rounds + 1, "none but the customer's");
  });
}
