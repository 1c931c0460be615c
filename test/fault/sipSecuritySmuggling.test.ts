/**
 * S11: what a peer writes stays in its line. Whatever comes in, what goes out parses strictly, and holds no header that
 * the policy does not name.
 */
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { PASSED, REBUILT } from '../../src/call/bridge/headerPolicy.js';
import { escapeUser } from '../../src/call/bridge/headerText.js';
import { EdgeRig } from '../support/edgeRig.js';
import { FOREIGN, NUMBER, TOWN, peerAt, sdpOf, townRouting } from '../support/edgeTown.js';
import { RawSocket } from '../support/rawSocket.js';
import type { PeerMessage, SipPeer } from '../support/sipPeer.js';

const ADDRESS = '127.0.34.5';
const PORT = 34_400;
const PORTS = { carrier: 34_410, pbx: 34_420 };

t.setTimeout(110_000);

const NAMES = new Set([...REBUILT, ...Object.keys(PASSED), 'content-length', 'warning', 'x-good']);

const hasControl = (text: string): boolean => [...text].some((char) => char < ' ' || char === '\x7f');

/** Why a message must not have been sent; undefined when all is well. Written without the product's parser. */
const flawOf = (raw: Buffer): string | undefined => {
  const end = raw.indexOf('\r\n\r\n');
  if (end < 0) return 'no end of the head';
  const head = raw.toString('latin1', 0, end);
  const lines = head.split('\r\n');
  if (/[\r\n]/.test(lines.join(''))) return 'a bare CR or LF';
  const start = lines[0] ?? '';
  if (hasControl(start) || !/^(?:[A-Z]+ [!-~]+ SIP\/2\.0|SIP\/2\.0 [1-6]\d\d .*)$/.test(start))
    return `start line: ${start}`;
  const seen = new Set<string>();
  for (const line of lines.slice(1)) {
    const field = /^([A-Za-z0-9\-.!%*_+`'~]+): ?(.*)$/s.exec(hasControl(line) ? '' : line);
    // An answer repeats what its receiver wrote itself, octet for octet (RFC 3261 §8.2.6.2), an escaped NUL included.
    const echoed =
      lines[0]?.startsWith('SIP/2.0') === true && /^(?:From|To|Via|Call-ID): (?:[^\r\n\0]|\\\0)*$/.test(line);
    if (field === null && echoed) continue;
    if (field === null) return `line: ${JSON.stringify(line)}`;
    const name = (field[1] ?? '').toLowerCase();
    if (!NAMES.has(name)) return `a header that the policy does not name: ${name}`;
    if (['from', 'to', 'call-id', 'cseq', 'content-length', 'max-forwards'].includes(name) && seen.has(name))
      return `two ${name}`;
    seen.add(name);
  }
  const length = Number(/^content-length: *(\d+)$/im.exec(head)?.[1] ?? -1);
  return length === raw.length - end - 4 ? undefined : `Content-Length ${length} of ${raw.length - end - 4}`;
};

interface Stage {
  readonly rig: EdgeRig;
  readonly attacker: RawSocket;
  readonly pbx: SipPeer;
  readonly telco: SipPeer;
  readonly fence: () => Promise<void>;
}

const open = async (t: Test): Promise<Stage> => {
  const headers = { pass: ['X-Good'] };
  const rig = await EdgeRig.open({ address: ADDRESS, port: PORT, routing: townRouting(PORTS), headers });
  const attacker = await RawSocket.open(TOWN.pbx);
  const pbx = await peerAt(TOWN.pbx, PORTS.pbx);
  const telco = await peerAt(TOWN.carrier, PORTS.carrier);
  t.teardown(async () => {
    await rig.close();
    await Promise.all([attacker.close(), pbx.close(), telco.close()]);
    if (rig.errors.length > 0) throw rig.errors[0];
  });
  const fence = async (): Promise<void> => {
    pbx.sendRequest('OPTIONS', { target: rig.hostPort });
    await pbx.expect('200 OPTIONS');
  };
  return { rig, attacker, pbx, telco, fence };
};

let serial = 0;

/** An INVITE of the trunk's as octets, with lines that a good one would not have. */
const invite = (stage: Stage, lines: readonly string[], own: { from?: string; uri?: string } = {}): string => {
  const { attacker, rig } = stage;
  const id = `s${++serial}`;
  const body = sdpOf(TOWN.pbx);
  return [
    `INVITE ${own.uri ?? `sip:${FOREIGN}@${rig.hostPort}`} SIP/2.0`,
    `Via: SIP/2.0/UDP ${TOWN.pbx}:${attacker.port};branch=z9hG4bK${id};rport`,
    `From: ${own.from ?? `<sip:${NUMBER}@${ADDRESS}>`};tag=${id}`,
    `To: <sip:${FOREIGN}@${ADDRESS}>`,
    `Call-ID: ${id}`,
    'CSeq: 1 INVITE',
    `Contact: <sip:x@${TOWN.pbx}:${attacker.port}>`,
    'Max-Forwards: 70',
    'Content-Type: application/sdp',
    ...lines,
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
};

/** Sends one INVITE; ends what comes of it. @returns the INVITE as it left, if it did, and all that went out */
const through = async (stage: Stage, text: string): Promise<{ left: PeerMessage | undefined; out: Buffer[] }> => {
  const { attacker, rig, telco, fence } = stage;
  const before = telco.received.length;
  const heard = attacker.received.length;
  attacker.send(text, rig.hostPort);
  await fence();
  const arrived = telco.received.slice(before);
  const left = arrived.find((one) => one.method === 'INVITE' && one.isRequest);
  if (left !== undefined) {
    const request = await telco.expectRequest('INVITE');
    request.respond(486);
    await telco.expect('ACK');
  }
  const out = [...telco.received.slice(before).map((one) => one.raw), ...attacker.received.slice(heard)];
  return { left, out };
};

/** Lines that smuggle, or try to; `internal` is the header that must not come out. */
const LINES: readonly (readonly [name: string, line: string])[] = [
  ['a space before the colon', 'X-Tandem-Trunk : trk_other'],
  ['a tab before the colon', 'X-Tandem-Trunk\t: trk_other'],
  ['the plain name', 'X-Tandem-Trunk: trk_other'],
  ['other case', 'x-TANDEM-trunk: trk_other'],
  ['folding', 'Subject: hello\r\n X-Tandem-Trunk: trk_other'],
  ['folding with a tab', 'Subject: hello\r\n\tX-Tandem-Trunk: trk_other'],
  ['a fold in front of the first value', 'Subject:\r\n X-Tandem-Trunk: trk_other'],
  ['LF alone', 'Subject: hello\nX-Tandem-Trunk: trk_other'],
  ['LF and a space', 'Subject: hello\n X-Tandem-Trunk: trk_other'],
  ['CR alone', 'Subject: hello\rX-Tandem-Trunk: trk_other'],
  ['CR CR LF', 'Subject: hello\r\r\nX-Tandem-Trunk: trk_other'],
  ['NUL', 'Subject: hello\0X-Tandem-Trunk: trk_other'],
  ['NUL in the name', 'X-Tandem-Trunk\0: trk_other'],
  ['vertical tab and form feed', 'Subject: hello\x0b\x0cX-Tandem-Trunk: trk_other'],
  ['NEL and the separators of Unicode', 'Subject: hello\x85\xe2\x80\xa8X-Tandem-Trunk: trk_other'],
  ['U+0A0D as UTF-8', 'Subject: hello\xe0\xa8\x8dX-Tandem-Trunk: trk_other'],
  ['%0d%0a', 'Subject: hello%0d%0aX-Tandem-Trunk: trk_other'],
  ['an escaped CR in a quoted string', 'Reason: SIP;cause=1;text="a\\\rX-Tandem-Trunk: trk_other"'],
  ['a compact form of a name that is none', 'q: X-Tandem-Trunk'],
  ['a name with a NUL-like octet', 'X-Tandem-Trunk\xa0: trk_other'],
  ['a name in quotes', '"X-Tandem-Trunk": trk_other'],
  ['a second Content-Length', 'Content-Length: 0'],
  ['a second Content-Length with a space', 'Content-Length : 0'],
  ['P-Asserted-Identity', 'P-Asserted-Identity: <sip:+15550100@evil.example>'],
  ['P-Asserted-Identity with a space', 'P-Asserted-Identity : <sip:+15550100@evil.example>'],
  ['Remote-Party-ID', 'Remote-Party-ID: <sip:+15550100@evil.example>;screen=yes'],
  ['Route', 'Route: <sip:evil.example;lr>'],
  ['Record-Route', `Record-Route: <sip:${TOWN.pbx};lr>`],
  ['X-Forwarded-For', 'X-Forwarded-For: 10.0.0.1'],
  ['an empty name', ': trk_other'],
  ['a line without a colon', 'X-Tandem-Trunk trk_other'],
];

t.test(`S11: ${LINES.length} lines of a trunk's INVITE`, async (t) => {
  const stage = await open(t);
  let accepted = 0;
  let emitted = 0;
  for (const [name, line] of LINES) {
    const { left, out } = await through(stage, invite(stage, [line, 'X-Good: 1']));
    const internal = left?.headers.some(([field]) => /^x-tandem/i.test(field)) === true;
    const foreign = /\+15550100|evil\.example|10\.0\.0\.1/.test(left?.raw.toString('latin1') ?? '');
    if (internal || foreign) accepted++;
    t.notOk(internal || foreign, `${name}: ${left === undefined ? 'refused' : 'passed without it'}`);
    for (const raw of out) {
      const flaw = flawOf(raw);
      if (flaw !== undefined) emitted++;
      t.equal(flaw ?? '', '', name);
    }
  }
  t.equal(accepted, 0, '0 internal headers accepted');
  t.equal(emitted, 0, '0 line ends emitted');
});

const OWN: readonly (readonly [name: string, own: { from?: string; uri?: string }])[] = [
  ['a control character in the display name', { from: `"A\x01\x1b[31m\x7fB" <sip:${NUMBER}@${ADDRESS}>` }],
  ['a tab in the display name', { from: `"A\tB" <sip:${NUMBER}@${ADDRESS}>` }],
  ['an escaped quote and a bracket', { from: `"A\\"><sip:evil@evil.example>" <sip:${NUMBER}@${ADDRESS}>` }],
  ['an escaped backslash at the end', { from: `"A\\\\" <sip:${NUMBER}@${ADDRESS}>` }],
  ['%0d%0a in the display name', { from: `"A%0d%0aX-Tandem-Trunk: 1" <sip:${NUMBER}@${ADDRESS}>` }],
  ['%0d%0a in the user of From', { from: `<sip:${NUMBER}%0d%0aX-Tandem-Trunk:1@${ADDRESS}>` }],
  ['%00 in the user of From', { from: `<sip:${NUMBER}%00@${ADDRESS}>` }],
  ['%0d%0a in the number called', { uri: `sip:${FOREIGN}%0d%0aX-Tandem-Trunk:1@${ADDRESS}:${PORT}` }],
  ['%3e and %22 in the number called', { uri: `sip:${FOREIGN}%3e%22@${ADDRESS}:${PORT}` }],
  ['a parameter of the number with %0d%0a', { uri: `sip:${FOREIGN};x=%0d%0aX-Tandem:1@${ADDRESS}:${PORT}` }],
];

t.test(`S11: ${OWN.length} addresses`, async (t) => {
  const stage = await open(t);
  for (const [name, own] of OWN) {
    const { left, out } = await through(stage, invite(stage, ['X-Good: 1'], own));
    t.notOk(
      left?.headers.some(([field]) => /^x-tandem/i.test(field)),
      `${name}: ${left === undefined ? 'refused' : 'passed'}`,
    );
    for (const raw of out) t.equal(flawOf(raw) ?? '', '', name);
  }
});

const octet = fc.constantFrom(
  'a',
  'Z',
  '0',
  ' ',
  '\t',
  '\r',
  '\n',
  '\r\n',
  '\r\n ',
  '\0',
  '\x0b',
  '\x7f',
  '\x85',
  '\xff',
  ':',
  ';',
  ',',
  '"',
  '\\',
  '<',
  '>',
  '%0d%0a',
  '%00',
  '=',
  '@',
);
const piece = fc.array(octet, { maxLength: 12 }).map((parts) => parts.join(''));
const name = fc.oneof(
  fc.constantFrom(
    'X-Good',
    'X-Tandem-A',
    'Subject',
    'Reason',
    'Alert-Info',
    'User-to-User',
    'Privacy',
    'Diversion',
    'Via',
    'From',
    'Content-Length',
    'P-Asserted-Identity',
    'Contact',
    'Supported',
    'Server',
    'X-Bad',
  ),
  piece,
);
const field = fc.tuple(name, fc.constantFrom(':', ' :', '\t: ', ': '), piece).map((parts) => parts.join(''));

t.test('S11: any lines, any display name, either way: 300 calls', async (t) => {
  const stage = await open(t);
  let passed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(field, { maxLength: 6 }), piece, async (lines, display) => {
      const from = `"${display}" <sip:${NUMBER}@${ADDRESS}>`;
      const { left, out } = await through(stage, invite(stage, lines, { from }));
      if (left !== undefined) passed++;
      for (const raw of out) {
        const flaw = flawOf(raw);
        if (flaw !== undefined) throw new Error(`${flaw}\n${raw.toString('latin1')}`);
      }
    }),
    { numRuns: 200, seed: 11, includeErrorInReport: true },
  );
  // The other way: what the carrier answers.
  await fc.assert(
    fc.asyncProperty(
      fc.array(field, { maxLength: 6 }),
      piece,
      fc.constantFrom(180, 183, 486, 200),
      async (lines, reason, status) => {
        const { attacker, rig, telco, fence } = stage;
        const heard = attacker.received.length;
        attacker.send(invite(stage, []), rig.hostPort);
        const arrived = await telco.expectRequest('INVITE');
        const { message } = arrived;
        const answer = [
          `SIP/2.0 ${status} ${reason}`,
          ...message.headerAll('Via').map((one) => `Via: ${one}`),
          `From: ${message.header('From') ?? ''}`,
          `To: ${message.header('To') ?? ''};tag=x`,
          `Call-ID: ${message.callId}`,
          `CSeq: ${message.cseq}`,
          `Contact: <sip:x@${telco.hostPort}>`,
          ...lines,
          'Content-Length: 0',
          '',
          '',
        ].join('\r\n');
        telco.send(answer, { address: ADDRESS, port: PORT });
        await fence();
        for (const raw of attacker.received.slice(heard)) {
          const flaw = flawOf(raw);
          if (flaw !== undefined) throw new Error(`${flaw}\n${raw.toString('latin1')}`);
        }
        rig.service.registry.hangUpAll({ sipStatus: 503, reasonCode: 'drain_limit', q850: 41 });
        await fence();
        telco.queue.length = 0;
      },
    ),
    { numRuns: 100, seed: 12, includeErrorInReport: true },
  );
  t.ok(passed > 20, `${passed} of 200 passed, all of them clean`);
});

t.test('S11: the user part that we write ourselves cannot leave it', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (user) => /^[A-Za-z0-9\-_.!~*'()&=+$,%]*$/.test(escapeUser(user))),
    { numRuns: 1000, seed: 13 },
  );
  t.end();
});
