/** S8: what a forged source can make us send to its owner, who has asked for nothing. */
import t, { type Test } from 'tap';
import { EdgeRig } from '../support/edgeRig.js';
import { TOWN, peerAt, sdpOf, townRouting } from '../support/edgeTown.js';
import { RawSocket } from '../support/rawSocket.js';

const ADDRESS = '127.0.34.1';
const PORT = 34_000;
const VICTIM_PORT = 34_066;
const PORTS = { carrier: 34_010, pbx: 34_020 };

t.setTimeout(60_000);

const head = (method: string, index: number, more: readonly string[] = []): string[] => [
  `${method} sip:+441632960000@${ADDRESS}:${PORT} SIP/2.0`,
  `Via: SIP/2.0/UDP ${TOWN.stranger}:${VICTIM_PORT};branch=z9hG4bKr${index}`,
  'From: <sip:a@b>;tag=1',
  'To: <sip:c@d>',
  `Call-ID: r${index}`,
  `CSeq: 1 ${method}`,
  ...more,
];
const text = (lines: readonly string[], body = ''): string =>
  [...lines, ...(body === '' ? [] : [`Content-Length: ${body.length}`]), '', body].join('\r\n');

/** Everything that a stranger may send once. */
const PACKETS: { readonly [name: string]: (index: number) => string } = {
  'an INVITE with an offer': (i) =>
    text(head('INVITE', i, ['Contact: <sip:a@b>', 'Content-Type: application/sdp']), sdpOf(TOWN.stranger)),
  'the shortest INVITE there is': (i) => text(head('INVITE', i, ['m:<sip:a>'])),
  'an INVITE in compact form': (i) =>
    `INVITE sip:a SIP/2.0\r\nv:SIP/2.0/UDP b:${VICTIM_PORT};branch=z9hG4bK${i}\r\nf:<sip:a>;tag=1\r\nt:sip:a\r\ni:${i}\r\nCSeq:1 INVITE\r\nm:sip:a\r\n\r\n`,
  'an INVITE that asks for rport': (i) =>
    text(head('INVITE', i, ['Contact: <sip:a@b>'])).replace(';branch', ';rport;branch'),
  'an INVITE with many Vias': (i) =>
    text(
      head('INVITE', i, [
        ...Array.from({ length: 20 }, (_, n) => `Via: SIP/2.0/UDP p${n}.example;branch=z9hG4bKv${n}`),
        'Contact: <sip:a@b>',
      ]),
    ),
  'an INVITE with wrong credentials': (i) =>
    text(
      head('INVITE', i, [
        'Contact: <sip:a@b>',
        'Authorization: Digest username="a", realm="tandem", nonce="n", uri="u", response="r"',
      ]),
    ),
  ...Object.fromEntries(
    [
      'OPTIONS',
      'REGISTER',
      'MESSAGE',
      'SUBSCRIBE',
      'NOTIFY',
      'PUBLISH',
      'REFER',
      'INFO',
      'UPDATE',
      'PRACK',
      'BYE',
      'CANCEL',
      'ACK',
      'FROBNICATE',
    ].map((method) => [`${method} outside any dialog`, (i: number) => text(head(method, i))] as const),
  ),
  'a BYE of a dialog that is none': (i) => text(head('BYE', i)).replace('<sip:c@d>', '<sip:c@d>;tag=2'),
  'an OPTIONS of the least length': (i) =>
    `OPTIONS sip:a SIP/2.0\r\nv:SIP/2.0/UDP b:${VICTIM_PORT};branch=z9hG4bK${i}\r\nf:sip:a;tag=1\r\nt:sip:a\r\ni:${i}\r\nCSeq:1 OPTIONS\r\n\r\n`,
  'a request without To': (i) => text(head('INVITE', i).filter((line) => !line.startsWith('To'))),
  'a request with a Content-Length that is none': (i) => text(head('INVITE', i, ['Content-Length: -1'])),
  'a request of SIP/3.0': (i) => text(head('OPTIONS', i)).replace('SIP/2.0\r\nVia', 'SIP/3.0\r\nVia'),
  'a request with a space in its header name': (i) => text(head('INVITE', i, ['X-A : 1', 'Contact: <sip:a@b>'])),
  'a Require of what nobody knows': (i) => text(head('OPTIONS', i, ['Require: frobnicate'])),
  'a keep-alive': () => '\r\n\r\n',
  noise: () => 'x'.repeat(40),
  'a response': (i) =>
    `SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP ${ADDRESS}:${PORT};branch=z9hG4bK${i}\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n`,
};

const open = async (t: Test, unlisted: 'reject' | 'drop', users = false): Promise<EdgeRig> => {
  const credentials = users ? { trunk: { credentials: [{ user_name: 'u', password: 'p' }] } } : {};
  const rig = await EdgeRig.open({ address: ADDRESS, port: PORT, unlisted, routing: townRouting(PORTS, credentials) });
  t.teardown(() => rig.close());
  return rig;
};

/** Sends each packet, then one that is known to be answered last, and waits for that. */
const collect = async (rig: EdgeRig, t: Test): Promise<{ packets: number; worst: number; least: number }> => {
  const victim = await RawSocket.open(TOWN.stranger, VICTIM_PORT);
  const witness = await peerAt(TOWN.pbx);
  t.teardown(() => victim.close());
  t.teardown(() => witness.close());
  let index = 0;
  let worst = 0;
  let least = Infinity;
  for (const [name, packet] of Object.entries(PACKETS)) {
    const data = packet(++index);
    const before = victim.received.length;
    victim.send(data, rig.hostPort);
    // The edge takes packets in their order: the answer to this one comes after all that the first has caused.
    witness.sendRequest('OPTIONS', { target: rig.hostPort });
    await witness.expect('200 OPTIONS');
    const answers = victim.received.slice(before);
    t.ok(answers.length <= 1, `${name}: ${answers.length} packets`);
    const ratio = answers.reduce((sum, one) => sum + one.length, 0) / data.length;
    t.ok(ratio <= 1, `${name}: ${ratio.toFixed(2)}x the octets`);
    worst = Math.max(worst, ratio);
    if (answers.length > 0) least = Math.min(least, ratio);
  }
  return { packets: victim.received.length, worst, least };
};

for (const users of [false, true]) {
  t.test(
    `S8: one packet at most and no octet more than came${users ? ', where callers may prove a password, too' : ''}`,
    async (t) => {
      const rig = await open(t, 'reject', users);
      const { packets, worst } = await collect(rig, t);
      t.ok(packets >= 3, 'what is long enough is answered');
      t.ok(worst <= 1);
      t.comment(`${packets} answers to ${Object.keys(PACKETS).length} packets, at most ${worst.toFixed(2)}x`);
      const { serverTransactions, dialogs, legs } = rig.counters();
      t.strictSame({ dialogs, legs }, { dialogs: 0, legs: 0 });
      t.ok(serverTransactions <= Object.keys(PACKETS).length, 'those of the witness');
      t.strictSame(rig.errors, []);
    },
  );
}

t.test('S8: what is never acknowledged is not repeated', async (t) => {
  const rig = await open(t, 'reject');
  const victim = await RawSocket.open(TOWN.stranger, VICTIM_PORT);
  t.teardown(() => victim.close());
  const before = rig.clock.dump().length;
  victim.send(PACKETS['an INVITE with an offer']?.(1) ?? '', rig.hostPort);
  await victim.next();
  t.equal(rig.counters().serverTransactions, 0, 'there is nothing that could repeat it');
  t.equal(rig.clock.dump().length, before, 'and no timer');
  t.match(victim.received[0]?.toString(), /^SIP\/2\.0 403 /);
});

t.test('S8: unlistedSources: drop is silence', async (t) => {
  const rig = await open(t, 'drop');
  const { packets } = await collect(rig, t);
  t.equal(packets, 0);
});
