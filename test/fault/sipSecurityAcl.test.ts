/** S10: ways round the access lists. A table of them; none may lead to a call, a dialog, or anything but a refusal. */
import { connect } from 'node:net';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import WebSocket from 'ws';
import { DigestClient } from '../../src/sip/index.js';
import { SeededRandom } from '../../src/kernel/index.js';
import { EdgeRig } from '../support/edgeRig.js';
import { FOREIGN, NEIGHBOURS_NUMBER, NUMBER, TOWN, peerAt, sdpOf, townRouting } from '../support/edgeTown.js';
import { RawSocket } from '../support/rawSocket.js';

const ADDRESS = '127.0.34.4';
const PORT = 34_300;
const PORTS = { carrier: 34_310, pbx: 34_320 };
const EDGE = `${ADDRESS}:${PORT}`;

t.setTimeout(90_000);

/** What an attacker's request differs by from the honest one of the same address. */
interface Attempt {
  readonly method?: string;
  readonly uri?: string;
  /** Instead of the attacker's own Via. */
  readonly via?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly contact?: string;
  readonly more?: readonly string[];
  readonly by?: 'udp' | 'tcp' | 'ws';
  /** Default: a stranger. */
  readonly source?: string;
}

const SPOOFED = [TOWN.carrier, TOWN.pbx] as const;
const each = (name: string, attempt: (address: string) => Attempt): [string, Attempt][] =>
  SPOOFED.map((address) => [`${name} of ${address === TOWN.pbx ? 'the trunk' : 'the carrier'}`, attempt(address)]);
const more = (...lines: string[]): Attempt => ({ more: lines });
const via = (sentBy: string, params = ''): string => `SIP/2.0/UDP ${sentBy};branch=z9hG4bKBRANCH${params}`;

const HEADERS: readonly (readonly [name: string, line: (address: string) => string])[] = [
  ['P-Asserted-Identity', () => `P-Asserted-Identity: <sip:${NUMBER}@${ADDRESS}>`],
  ['P-Preferred-Identity', () => `P-Preferred-Identity: <sip:${NUMBER}@${ADDRESS}>`],
  ['Remote-Party-ID', (a) => `Remote-Party-ID: <sip:${NUMBER}@${a}>;party=calling;screen=yes`],
  ['Route', (a) => `Route: <sip:${a};lr>`],
  ['Route through the edge', (a) => `Route: <sip:${EDGE};lr>, <sip:${a};lr>`],
  ['Record-Route', (a) => `Record-Route: <sip:${a};lr>`],
  ['Path', (a) => `Path: <sip:${a};lr>`],
  ['X-Forwarded-For', (a) => `X-Forwarded-For: ${a}`],
  ['X-Real-IP', (a) => `X-Real-IP: ${a}`],
  ['X-Original-Source', (a) => `X-Original-Source: ${a}:5060`],
  ['Forwarded', (a) => `Forwarded: for=${a}`],
  ['X-Tandem-Source', (a) => `X-Tandem-Source: ${a}`],
  ['Diversion', (a) => `Diversion: <sip:${NUMBER}@${a}>;reason=unconditional`],
  ['History-Info', (a) => `History-Info: <sip:${NUMBER}@${a}>;index=1`],
  ['Referred-By', (a) => `Referred-By: <sip:${NUMBER}@${a}>`],
  ['P-Visited-Network-ID', (a) => `P-Visited-Network-ID: "${a}"`],
];

/** By name: an INVITE of the stranger's, unless it says otherwise. */
const ATTEMPTS: readonly (readonly [name: string, attempt: Attempt])[] = [
  ['an INVITE, with nothing forged', {}],
  ...each('sent-by of Via', (a) => ({ via: [via(`${a}:34320`)] })),
  ...each('received in Via', (a) => ({ via: [via('SELF', `;received=${a}`)] })),
  ...each('received and rport in Via', (a) => ({ via: [via('SELF', `;received=${a};rport=34320`)] })),
  ...each('maddr in Via', (a) => ({ via: [via('SELF', `;maddr=${a}`)] })),
  ...each('a second Via', (a) => ({ via: [via('SELF'), via(`${a}:34320`)] })),
  ...each('a first Via before our own', (a) => ({ via: [via(`${a}:34320`), via('SELF')] })),
  ['sent-by [::ffff:...] in Via', { via: [via(`[::ffff:${TOWN.pbx}]:34320`)] }],
  ['sent-by [::1] in Via', { via: [via('[::1]')] }],
  ['sent-by 0.0.0.0 in Via', { via: [via('0.0.0.0')] }],
  ['sent-by of the edge itself in Via', { via: [via(EDGE)] }],
  ...each('host of From', (a) => ({ from: `<sip:${NUMBER}@${a}>` })),
  ...each('display name of From', (a) => ({ from: `"${a}" <sip:${NUMBER}@${ADDRESS}>` })),
  ['From with a tel URI', { from: `<tel:${NUMBER}>` }],
  ['From with maddr', { from: `<sip:${NUMBER}@${ADDRESS};maddr=${TOWN.pbx}>` }],
  ...each('Contact', (a) => ({ contact: `<sip:${NUMBER}@${a}:34320>` })),
  ['Contact with maddr', { contact: `<sip:x@${TOWN.stranger};maddr=${TOWN.pbx}>` }],
  ...HEADERS.flatMap(([name, line]) => each(name, (a) => more(line(a)))),
  ['all of them at once', more(...HEADERS.map(([, line]) => line(TOWN.pbx)))],
  ...each('host of the Request-URI', (a) => ({ uri: `sip:${FOREIGN}@${a}` })),
  ['maddr in the Request-URI', { uri: `sip:${FOREIGN}@${EDGE};maddr=${TOWN.carrier}` }],
  ['a tel URI to call', { uri: `tel:${FOREIGN}` }],
  ['a sips URI to call', { uri: `sips:${FOREIGN}@${EDGE}` }],
  ['a number of ours to call', { uri: `sip:${NUMBER}@${EDGE}` }],
  ['headers in the Request-URI', { uri: `sip:${FOREIGN}@${EDGE}?Route=%3Csip:${TOWN.carrier}%3E` }],
  ['Replaces', more('Replaces: x;to-tag=1;from-tag=2', 'Require: replaces')],
  ['Join', more('Join: x;to-tag=1;from-tag=2')],
  ['a tag in To', { to: `<sip:${FOREIGN}@${EDGE}>;tag=0000` }],
  [
    'Authorization without a challenge',
    more('Authorization: Digest username="n", realm="tandem", nonce="0", uri="sip:x", response="0"'),
  ],
  [
    'Proxy-Authorization without a challenge',
    more('Proxy-Authorization: Digest username="n", realm="tandem", nonce="0", uri="sip:x", response="0"'),
  ],
  ['Basic Authorization', more('Authorization: Basic bjpw')],
  ...[
    'REFER',
    'SUBSCRIBE',
    'MESSAGE',
    'UPDATE',
    'PUBLISH',
    'OPTIONS',
    'INFO',
    'PRACK',
    'REGISTER',
    'NOTIFY',
    'BYE',
    'ACK',
    'CANCEL',
    'FROBNICATE',
  ].flatMap((method): [string, Attempt][] => [
    [`${method} outside any dialog`, { method, more: [`Refer-To: <sip:${FOREIGN}@${TOWN.carrier}>`, 'Event: refer'] }],
    [`${method} with a tag`, { method, to: `<sip:${FOREIGN}@${EDGE}>;tag=0000`, more: ['Event: refer'] }],
  ]),
  ...(['tcp', 'ws'] as const).flatMap((by): [string, Attempt][] => [
    [`an INVITE by ${by}`, { by }],
    [
      `an INVITE by ${by} with the trunk's address everywhere`,
      {
        by,
        via: [`SIP/2.0/${by.toUpperCase()} ${TOWN.pbx}:34320;branch=z9hG4bKBRANCH;received=${TOWN.pbx}`],
        from: `<sip:${NUMBER}@${TOWN.pbx}>`,
        contact: `<sip:x@${TOWN.pbx}>`,
        more: HEADERS.map(([, line]) => line(TOWN.pbx)),
      },
    ],
    [`a REFER by ${by}`, { by, method: 'REFER', more: [`Refer-To: <sip:${FOREIGN}@${TOWN.carrier}>`] }],
    [`a MESSAGE by ${by}`, { by, method: 'MESSAGE' }],
  ]),
  // Customers, too, are strangers on another's trunk.
  ["a neighbour with the trunk's number in From", { source: TOWN.neighbour, from: `<sip:${NUMBER}@${ADDRESS}>` }],
  [
    "a neighbour with the trunk's number in P-Asserted-Identity",
    {
      source: TOWN.neighbour,
      from: `<sip:${NUMBER}@${ADDRESS}>`,
      more: [`P-Asserted-Identity: <sip:${NUMBER}@${ADDRESS}>`],
    },
  ],
  ['a neighbour without its password', { source: TOWN.neighbour, from: `<sip:${NEIGHBOURS_NUMBER}@${ADDRESS}>` }],
  ['a carrier that calls out', { source: TOWN.carrier, from: `<sip:${NUMBER}@${ADDRESS}>` }],
  [
    'a carrier that calls a number that it does not deliver',
    { source: TOWN.carrier, uri: `sip:+918040000009@${EDGE}` },
  ],
  ...['REFER', 'SUBSCRIBE', 'MESSAGE', 'PUBLISH', 'REGISTER'].map((method): [string, Attempt] => [
    `${method} of the trunk itself`,
    { method, source: TOWN.pbxToo, more: [`Refer-To: <sip:${FOREIGN}@${TOWN.carrier}>`, 'Event: presence'] },
  ]),
];

const text = (attempt: Attempt, sender: string, index: number): string => {
  const { method = 'INVITE', uri = `sip:${FOREIGN}@${EDGE}`, by = 'udp' } = attempt;
  const body = method === 'INVITE' ? sdpOf(TOWN.stranger) : '';
  const ways = attempt.via ?? [`SIP/2.0/${by.toUpperCase()} SELF;branch=z9hG4bKBRANCH;rport`];
  return [
    `${method} ${uri} SIP/2.0`,
    ...ways.map((one, i) => `Via: ${one.replace('SELF', sender).replace('BRANCH', `a${index}x${i}`)}`),
    'Max-Forwards: 70',
    `From: ${attempt.from ?? `<sip:${NUMBER}@${ADDRESS}>`};tag=f${index}`,
    `To: ${attempt.to ?? `<${uri.split('?')[0]}>`}`,
    `Call-ID: acl${index}`,
    `CSeq: 1 ${method}`,
    `Contact: ${attempt.contact ?? `<sip:x@${sender}>`}`,
    ...(attempt.more ?? []),
    ...(body === '' ? [] : ['Content-Type: application/sdp']),
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
};

/** Sends one attempt by its transport. @returns what was answered, once `fence` says that it has been dealt with */
const sent = async (attempt: Attempt, index: number, fence: () => Promise<void>): Promise<string> => {
  const source = attempt.source ?? TOWN.stranger;
  if (attempt.by === 'tcp') {
    const socket = connect({ host: ADDRESS, port: PORT, localAddress: source });
    await once(socket, 'connect');
    let got = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => (got += chunk));
    socket.write(text(attempt, `${source}:${socket.localPort}`, index));
    await once(socket, 'data');
    socket.destroy();
    return got;
  }
  if (attempt.by === 'ws') {
    const socket = new WebSocket(`ws://${ADDRESS}:${PORT + 1}`, 'sip', { localAddress: source });
    await once(socket, 'open');
    socket.send(text(attempt, `${source}:1`, index));
    const [data] = (await once(socket, 'message')) as [Buffer];
    socket.terminate();
    return data.toString('latin1');
  }
  const socket = await RawSocket.open(source);
  socket.send(text(attempt, `${source}:${socket.port}`, index), EDGE);
  await fence();
  await socket.close();
  return socket.received.map(String).join('');
};

interface Stage {
  readonly rig: EdgeRig;
  readonly fence: () => Promise<void>;
  /** What carrier, trunk and neighbour have been asked. */
  readonly reached: () => string[];
}

const open = async (t: Test): Promise<Stage> => {
  const routing = townRouting(PORTS) as { trunks: object[] };
  routing.trunks[1] = { ...routing.trunks[1], credentials: [{ user_name: 'n', password: 'p' }] };
  const rig = await EdgeRig.open({ address: ADDRESS, port: PORT, routing });
  const peers = await Promise.all([
    peerAt(TOWN.carrier, PORTS.carrier),
    peerAt(TOWN.pbx, PORTS.pbx),
    peerAt(TOWN.neighbour, PORTS.pbx),
  ]);
  t.teardown(async () => {
    await rig.close();
    for (const peer of peers) await peer.close();
    if (rig.errors.length > 0) throw rig.errors[0];
  });
  const [, pbx] = peers;
  const fence = async (): Promise<void> => {
    pbx?.sendRequest('OPTIONS', { target: EDGE });
    await pbx?.expect('200 OPTIONS');
  };
  const reached = (): string[] => peers.flatMap((peer) => peer.received.filter((one) => one.isRequest).map(String));
  return { rig, fence, reached };
};

t.test(`S10: ${ATTEMPTS.length} ways round the access lists`, async (t) => {
  const { rig, fence, reached } = await open(t);
  t.ok(ATTEMPTS.length >= 60);
  let passed = 0;
  for (const [index, [name, attempt]] of ATTEMPTS.entries()) {
    const answer = await sent(attempt, index, fence);
    const status = Number([...answer.matchAll(/^SIP\/2\.0 ([2-6]\d\d)/gm)].at(-1)?.[1] ?? 0);
    const refused = (status === 0 && attempt.by === undefined) || status >= 400;
    t.ok(refused, `${name}: ${status === 0 ? 'silence' : status}`);
    if (!refused || reached().length > 0) passed++;
    t.strictSame(reached(), [], `${name}: nobody was called`);
  }
  t.equal(passed, 0, '0 pass');
  const { legs, dialogs } = rig.counters();
  t.strictSame({ legs, dialogs, calls: rig.service.registry.size }, { legs: 0, dialogs: 0, calls: 0 });
  t.strictSame(
    rig.recorder.records.filter((record) => record.outcome !== 'rejected'),
    [],
  );
});

t.test('S10: the password of one trunk, rightly proved, opens no other, and not from another address', async (t) => {
  const { rig, fence, reached } = await open(t);
  for (const [source, from] of [
    [TOWN.stranger, NEIGHBOURS_NUMBER],
    [TOWN.stranger, NUMBER],
    [TOWN.neighbour, NUMBER],
  ] as const) {
    const socket = await RawSocket.open(source);
    t.teardown(() => socket.close());
    const sender = `${source}:${socket.port}`;
    const pad = `X-Pad: ${'p'.repeat(600)}`;
    socket.send(text({ from: `<sip:${from}@${ADDRESS}>`, more: [pad] }, sender, 1000 + socket.port), EDGE);
    await fence();
    const asked = String(socket.received.at(-1));
    t.match(asked, /^SIP\/2\.0 401 /, 'there are passwords here');
    const client = new DigestClient({ userName: 'n', password: 'p', realm: 'tandem' }, ADDRESS, new SeededRandom(1));
    const challenges = [...asked.matchAll(/^WWW-Authenticate: (.*)\r$/gim)].map((match) => match[1] ?? '');
    const proof = client.answer({ status: 401, challenges }, { method: 'INVITE', uri: `sip:${FOREIGN}@${EDGE}` });
    if (!proof.ok) return void t.fail(proof.refusal);
    const line = `${proof.header[0]}: ${proof.header[1]}`;
    socket.send(text({ from: `<sip:${from}@${ADDRESS}>`, more: [line] }, sender, 2000 + socket.port), EDGE);
    await fence();
    const told = String(socket.received.findLast((one) => !String(one).includes(' 100 ')));
    t.match(told, /^SIP\/2\.0 403 /, `${from} from ${source}`);
    t.strictSame(reached(), []);
  }
  t.equal(rig.counters().legs, 0);
});

t.test('S10: notations of listed addresses: only the address itself is listed', async (t) => {
  const { rig } = await open(t);
  t.ok(rig.admission.isListed(TOWN.pbx));
  t.ok(rig.admission.isListed(`::ffff:${TOWN.pbx}`), 'as a dual-stack socket says it');
  t.ok(rig.admission.isListed(`::FFFF:${TOWN.pbx}`));
  const [a, b, c, d] = TOWN.pbx.split('.').map(Number) as [number, number, number, number];
  for (const text of [
    `::${TOWN.pbx}`, `64:ff9b::${TOWN.pbx}`, `::ffff:0:${TOWN.pbx}`, `${TOWN.pbx}.`, `${TOWN.pbx}:5060`, `[${TOWN.pbx}]`,
    `${TOWN.pbx}/32`, ` ${TOWN.pbx}`, `${a}.${b}.${c}`, `${a}.${c * 256 + d}`, String(((a * 256 + b) * 256 + c) * 256 + d),
    `0${a.toString(8)}.${b}.${c}.${d}`, `0x7f.${b}.${c}.${d}`, `${TOWN.pbx}%lo`, '', '0.0.0.0', '::', '::1', '*', `${TOWN.pbx},${TOWN.stranger}`,
    `::ffff:${TOWN.stranger}`,
  ]) t.notOk(rig.admission.isListed(text), JSON.stringify(text)); // prettier-ignore
});
