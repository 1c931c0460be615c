import { connect } from 'node:net';
import t from 'tap';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { NodeNetwork, SystemResolver } from '../../src/net/index.js';
import { type SipEngine, type SipNetwork, createEngine } from '../../src/sip/index.js';
import { type TortureMessage, readCorpus } from '../support/corpus.js';

const ADDRESS = '127.0.36.1';
const WANTED = 49;

/** How a normal request of each method is answered by the engine under test. */
const NORMAL = new Map([
  ['INVITE', 480],
  ['OPTIONS', 200],
]);

/** A network whose datagrams can be put in and seen going out, whatever address a Via names. */
class TappedNetwork implements SipNetwork {
  readonly sent: string[] = [];
  deliver: (data: Buffer) => void = () => {};
  readonly #inner: NodeNetwork;

  constructor(clock: SystemClock) {
    this.#inner = new NodeNetwork({ clock });
  }

  async bindDatagram(...[local, sink]: Parameters<SipNetwork['bindDatagram']>): ReturnType<SipNetwork['bindDatagram']> {
    this.deliver = (data) => sink.onDatagram(data, '127.0.36.2', 5060);
    return { local, send: (data) => void this.sent.push(data.toString('latin1')), close: () => {} };
  }

  listenStream(...args: Parameters<SipNetwork['listenStream']>): ReturnType<SipNetwork['listenStream']> {
    return this.#inner.listenStream(...args);
  }

  connectStream(...args: Parameters<SipNetwork['connectStream']>): ReturnType<SipNetwork['connectStream']> {
    return this.#inner.connectStream(...args);
  }
}

const engineOn = async (network: SipNetwork, clock: SystemClock, errors: unknown[]): Promise<SipEngine> =>
  createEngine({
    network,
    clock,
    random: new SystemRandom(),
    resolver: new SystemResolver({ clock }),
    listen: [
      { transport: 'udp', address: ADDRESS, port: 16060 },
      { transport: 'tcp', address: ADDRESS, port: 0 },
    ],
    handler: {
      onInvite: (invite) => void invite.respond(NORMAL.get('INVITE') ?? 480),
      onRequest: (request) => void request.respond(NORMAL.get(request.request.method) ?? 405),
    },
    onEvent: (event) => {
      if (event.type === 'user_error') errors.push(event.error);
    },
  });

/** Finals among what was sent: `400`, or `none`. */
const verdictOf = (sent: readonly string[]): string => {
  const finals = sent.map((text) => /^SIP\/2\.0 (\d{3})/.exec(text)?.[1] ?? '').filter((code) => code >= '200');
  return finals[0] ?? 'none';
};

/** Whether a verdict is among those that the RFC leaves open. */
const accepted = (message: TortureMessage, verdict: string): boolean =>
  message.accept_udp.some((word) => {
    if (word === 'drop' || word === 'response-ignored') return verdict === 'none';
    if (word === 'normal' || word === 'normal-repaired') return ['200', '480', '405', '404', '403'].includes(verdict);
    return word === verdict;
  });

const corpus = readCorpus() ?? [];
/** A test that is left out says so in the summary of the run. */
const skip = corpus.length > 0 ? false : 'the messages (../shared/corpus/rfc4475) are not beside this checkout';

t.test('RFC 4475 over datagrams', { skip }, async (t) => {
  const clock = new SystemClock();
  const errors: unknown[] = [];
  let score = 0;
  for (const message of corpus) {
    const network = new TappedNetwork(clock);
    const engine = await engineOn(network, clock, errors);
    network.deliver(message.data);
    const verdict = verdictOf(network.sent);
    if (accepted(message, verdict)) score++;
    else t.comment(`${message.name}: ${verdict}, not ${message.accept_udp.join(' or ')}`);
    t.notOk(
      network.sent.some((text) => text.startsWith('INVITE') || text.includes('255.255.255.255')),
      `${message.name}: nothing is forwarded`,
    );
    engine.stop();
  }
  t.strictSame(errors, []);
  t.ok(score >= Math.min(WANTED, corpus.length), `score ${score} of ${corpus.length}`);
});

/** Sends one message on a connection of its own; resolves to everything answered before close or quiet. */
const exchange = (
  port: number,
  message: TortureMessage,
): Promise<{ readonly text: string; readonly closed: boolean }> =>
  new Promise((resolve) => {
    let text = '';
    let closed = false;
    const socket = connect({ host: ADDRESS, port, localAddress: '127.0.36.2' });
    const done = (): void => {
      socket.destroy();
      resolve({ text, closed });
    };
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      // A request that the message is followed by proves that the framing held.
      if (text.includes('probe-') || FOLLOWED.has(message.name)) done();
    });
    socket.on('error', done);
    socket.on('close', () => {
      closed = true;
      done();
    });
    socket.write(message.data);
    // One of the files ends without the empty line, which a datagram forgives and a stream cannot.
    if (!message.data.includes('\r\n\r\n')) socket.write('\r\n');
    socket.write(probe(message.name));
  });

const probe = (name: string): string =>
  [
    `OPTIONS sip:probe@${ADDRESS} SIP/2.0`,
    `Via: SIP/2.0/TCP 127.0.36.2:5060;branch=z9hG4bKprobe-${name}`,
    'Max-Forwards: 70',
    `From: <sip:probe@127.0.36.2>;tag=1`,
    `To: <sip:probe@${ADDRESS}>`,
    `Call-ID: probe-${name}`,
    'CSeq: 1 OPTIONS',
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');

/** Where a stream cannot be cut into messages any more, or swallows what follows as the body it was promised. */
const FRAMING_LOST = new Set(['ncl', 'mcl01', 'inv2543']);
const SWALLOWS = new Set(['clerr']);
/** On a stream the octets behind it are a second message, cut short, which takes the probe as its body. */
const FOLLOWED = new Set(['dblreq']);

t.test(
  'RFC 4475 over streams: the same answers, and the framing holds or the connection closes',
  { skip },
  async (t) => {
    const clock = new SystemClock();
    const errors: unknown[] = [];
    const engine = await engineOn(new TappedNetwork(clock), clock, errors);
    const port = Number(engine.listening.find((one) => one.startsWith('tcp/'))?.split(':')[1]);
    let score = 0;
    for (const message of corpus) {
      if (SWALLOWS.has(message.name)) {
        score++;
        continue; // waits for a body of 9999 octets, as it must
      }
      const { text, closed } = await exchange(port, message);
      const answers = text.split(/(?=SIP\/2\.0 )/).filter((one) => !one.includes('probe-'));
      const verdict = verdictOf(answers);
      const framed = FRAMING_LOST.has(message.name) ? closed : FOLLOWED.has(message.name) || text.includes('probe-');
      const right = accepted(message, verdict) || (FRAMING_LOST.has(message.name) && verdict === '400');
      if (framed && right) score++;
      else
        t.comment(
          `${message.name}: ${verdict}, framing ${framed ? 'kept' : 'lost'}, wanted ${message.accept_udp.join(' or ')}`,
        );
    }
    engine.stop();
    t.strictSame(errors, []);
    t.ok(score >= Math.min(WANTED, corpus.length), `score ${score} of ${corpus.length}`);
  },
);
