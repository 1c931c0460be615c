/** A whole engine under a small back-to-back user agent: any datagrams, in any order, and nothing may be left behind. */
import { ManualClock, SeededRandom } from '../../../src/kernel/index.js';
import { SimResolver } from '../../../src/net/index.js';
import {
  type Dialog,
  type DialogListener,
  type EngineHandler,
  type IncomingInvite,
  type OutgoingInviteListener,
  type SipEngine,
  type SipNetwork,
  createEngine,
} from '../../../src/sip/index.js';
import { SIP_WORDS, scenarioMessages, tortureMessages, writtenMessages } from '../seeds.js';
import { type Target, expect, show } from '../target.js';

/** Between the datagrams of an input. */
const NEXT = '\x1e';
/** More than every timer of the engine together. */
const LONG_MS = 900_000;
const OUR = { address: '192.0.2.1', port: 5060 };
const PEER = '192.0.2.10';

/** One socket: what comes in is given by hand, what goes out is kept. */
class Wire {
  readonly sent: string[] = [];
  deliver: (data: Buffer) => void = () => {};
  readonly network: SipNetwork = {
    bindDatagram: (local, sink) => {
      this.deliver = (data) => sink.onDatagram(data, PEER, 5060);
      return Promise.resolve({
        local,
        send: (data: Buffer) => void this.sent.push(data.toString('latin1')),
        close: () => {},
      });
    },
    listenStream: () => Promise.reject(new Error('no streams here')),
    connectStream: () => {
      throw new Error('no streams here');
    },
  };

  #last(pattern: RegExp): string {
    for (let i = this.sent.length - 1; i >= 0; i--) {
      const found = pattern.exec(this.sent[i]!)?.[1];
      if (found !== undefined) return found;
    }
    return 'x';
  }

  /** `$TAG` is our tag in the last response, `$BRANCH`, `$CALL`, `$FROM` are those of our last INVITE. */
  filled(text: string): Buffer {
    if (!text.includes('$')) return Buffer.from(text, 'latin1');
    const all = text
      .replaceAll('$TAG', () => this.#last(/^SIP\/2\.0[\s\S]*?\r\nTo:[^\r]*;tag=([^;\r]+)/))
      .replaceAll('$RSEQ', () => this.#last(/\r\nRSeq: (\d+)/))
      .replaceAll('$BRANCH', () => this.#last(/^INVITE[\s\S]*?;branch=([^;\r]+)/))
      .replaceAll('$CALL', () => this.#last(/^INVITE[\s\S]*?\r\nCall-ID: ([^\r]+)/))
      .replaceAll('$FROM', () => this.#last(/^INVITE[\s\S]*?\r\nFrom:[^\r]*;tag=([^;\r]+)/));
    return Buffer.from(all, 'latin1');
  }
}

/** Answers what comes, calls the other side for each INVITE, and joins the two. */
class Agent implements EngineHandler, DialogListener {
  engine: SipEngine | undefined;
  readonly dialogs = new Set<Dialog>();

  screen = () => ({ action: 'accept' }) as const;

  onRequest: DialogListener['onRequest'] = (request) => void request.respond(200);

  onInvite = (invite: IncomingInvite): void => {
    const answer = (status: number): void => {
      invite.respond(status, { body: Buffer.from('v=0\r\n') });
      this.#keep(invite.dialog);
    };
    invite.listener = { onCancel: () => {}, onAck: () => {}, onPrack: (prack) => void prack.respond(200) };
    if (invite.isReinvite) return answer(invite.request.uri.includes('late') ? 491 : 200);
    invite.respond(180, {}, invite.request.header('Require') !== undefined);
    if (invite.request.uri.includes('busy')) return answer(486);
    const events: OutgoingInviteListener = {
      onProvisional: (response) => void invite.respond(response.status),
      onAnswered: (_response, dialog) => {
        this.#keep(dialog);
        dialog.ack();
        answer(200);
      },
      onFailed: (response) => answer(response.status),
    };
    const placed = this.engine?.invite({ uri: `sip:callee@${PEER}` }, events);
    if (placed === undefined || 'refusal' in placed) answer(500);
    else if (invite.request.uri.includes('cancel')) placed.cancel();
  };

  onTerminated = (): void => {};

  #keep(dialog: Dialog | undefined): void {
    if (dialog === undefined) return;
    dialog.listener = this;
    this.dialogs.add(dialog);
  }

  hangUp(): void {
    for (const dialog of this.dialogs) {
      if (dialog.state === 'confirmed') void dialog.request('BYE', {}, { onResponse: () => {} });
    }
  }
}

const text = (...lines: string[]): string => [...lines, '', ''].join('\r\n');
const VIA = `Via: SIP/2.0/UDP ${PEER};branch=z9hG4bK`;
const OURS = [
  `From: <sip:a@${PEER}>;tag=1`,
  `Call-ID: call-1`,
  `Contact: <sip:a@${PEER}>`,
  'Max-Forwards: 70',
] as const;
const invite = (user: string, ...more: string[]): string =>
  text(`INVITE sip:${user}@192.0.2.1 SIP/2.0`, `${VIA}1`, ...OURS, 'To: <sip:b@192.0.2.1>', 'CSeq: 1 INVITE', ...more);
const inDialog = (method: string, seq: number, ...more: string[]): string =>
  text(
    `${method} sip:192.0.2.1 SIP/2.0`,
    `${VIA}${method}${seq}`,
    ...OURS,
    'To: <sip:b@192.0.2.1>;tag=$TAG',
    `CSeq: ${seq} ${method}`,
    ...more,
  );
const reply = (status: number, ...more: string[]): string =>
  text(
    `SIP/2.0 ${status} X`,
    'Via: SIP/2.0/UDP 192.0.2.1:5060;branch=$BRANCH',
    'From: <sip:192.0.2.1:5060>;tag=$FROM',
    `To: <sip:callee@${PEER}>;tag=9`,
    'Call-ID: $CALL',
    'CSeq: 1 INVITE',
    `Contact: <sip:callee@${PEER}>`,
    ...more,
  );

const CANCEL = invite('b').replace('INVITE sip', 'CANCEL sip').replace('1 INVITE', '1 CANCEL');
const SEEDS = [
  [
    invite('b'),
    reply(180),
    reply(200),
    inDialog('ACK', 1),
    inDialog('INVITE', 2),
    inDialog('ACK', 2),
    inDialog('BYE', 3),
  ],
  [
    invite('b', 'Require: 100rel'),
    inDialog('PRACK', 2, 'RAck: $RSEQ 1 INVITE'),
    reply(183, 'Require: 100rel', 'RSeq: 7'),
    reply(200),
  ],
  [invite('cancel'), reply(100), reply(200), reply(487)],
  [invite('b'), reply(100), CANCEL, reply(200), inDialog('ACK', 1)],
  [invite('busy'), inDialog('ACK', 1), inDialog('OPTIONS', 2)],
  [invite('b'), reply(407, 'Proxy-Authenticate: Digest realm="x", nonce="n"'), inDialog('ACK', 1)],
  [
    invite('b'),
    reply(200),
    inDialog('ACK', 1),
    inDialog('INFO', 2),
    inDialog('UPDATE', 3),
    inDialog('REFER', 4, 'Refer-To: <sip:x@h>'),
  ],
  [invite('b', 'Record-Route: <sip:192.0.2.10;lr>'), reply(302, 'Contact: <sip:z@h>'), inDialog('ACK', 1)],
  [invite('b'), invite('b'), reply(486), inDialog('ACK', 1), inDialog('BYE', 2)],
];

const run = async (input: Buffer): Promise<void> => {
  const clock = new ManualClock();
  const wire = new Wire();
  const agent = new Agent();
  const errors: unknown[] = [];
  const engine = await createEngine({
    network: wire.network,
    clock,
    random: new SeededRandom(1),
    resolver: new SimResolver({}, { clock }),
    listen: [{ transport: 'udp', ...OUR }],
    handler: agent,
    onEvent: (event) => {
      if (event.type === 'user_error') errors.push(event.error);
    },
  });
  agent.engine = engine;
  const datagrams = input.toString('latin1').split(NEXT).slice(0, 40);
  for (const datagram of datagrams) {
    wire.deliver(wire.filled(datagram));
    clock.advance(datagram.length % 3 === 0 ? 700 : 5);
  }
  clock.advance(LONG_MS);
  agent.hangUp();
  clock.advance(LONG_MS);
  const left = engine.dump() as { readonly [name: string]: number };
  engine.stop();
  const [error] = errors;
  if (error !== undefined) throw error;
  for (const name of ['clientTransactions', 'serverTransactions', 'dialogs']) {
    expect(left[name] === 0, `left-${name}`, () => show(input));
  }
  expect(clock.pending === 0, 'timer-left', () => `${JSON.stringify(clock.dump())} ${show(input)}`);
  expect(wire.sent.length <= 400 * datagrams.length, 'storm', () => `${wire.sent.length} datagrams: ${show(input)}`);
};

export const engineTarget: Target = {
  name: 'engine',
  kind: 'sip',
  covers: ['/src/sip/dialog/', '/src/sip/transaction/', '/src/sip/transport/'],
  words: [...SIP_WORDS, NEXT, '$TAG', '$BRANCH', '$CALL', '$FROM', '$RSEQ', 'busy', 'cancel', 'late'],
  maxBytes: 20_000,
  seeds: () => [
    ...SEEDS.map((all) => Buffer.from(all.join(NEXT), 'latin1')),
    ...[...writtenMessages(), ...scenarioMessages().slice(0, 20), ...tortureMessages()],
  ],
  run,
};
