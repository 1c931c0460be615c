/** Connections that stay, and those that close: RFC 5923, RFC 5626 §4.4.1. */
import t from 'tap';
import { SimResolver } from '../../src/net/index.js';
import { type SipEngine, type StreamConnection, createEngine } from '../../src/sip/index.js';
import { SimEngines } from '../support/simEngines.js';
import { SimStreamPeer, requestText } from '../support/simPeer.js';

const [US, PEER] = ['10.0.0.1', '10.0.0.2'] as const;

const stage = async (options: { idleConnectionMs?: number; keepAliveMs?: number; maxConnections?: number }) => {
  const sim = new SimEngines(61);
  const engine = await createEngine({
    network: sim.world.host(US),
    clock: sim.clock,
    random: sim.random,
    resolver: new SimResolver({}, { clock: sim.clock }),
    listen: [{ transport: 'tcp', address: US, port: 5060 }],
    handler: {
      onInvite: (invite) => {
        invite.listener = { onCancel: () => {}, onAck: () => {} };
        invite.respond(200);
      },
      onRequest: (request) => void request.respond(200),
    },
    ...options,
  });
  sim.engines.push(engine);
  return { sim, engine };
};

const connections = (engine: SipEngine): number => (engine.dump()['transport'] as { connections: number }).connections;

const options = (branch: string): string =>
  requestText({ method: 'OPTIONS', via: `SIP/2.0/TCP ${PEER}:5060;branch=z9hG4bK-${branch}` });

/** A far end that we dial: what it got, and whether it answers keep-alives. */
const farEnd = async (sim: SimEngines, answersPings: boolean) => {
  const far = { pings: 0, requests: 0, closed: 0, accepted: 0 };
  await sim.world.host(PEER).listenStream({ address: PEER, port: 5060 }, (connection: StreamConnection) => {
    far.accepted++;
    let held = '';
    const take = (text: string): void => {
      if (text === '') {
        far.pings++;
        if (answersPings) connection.write(Buffer.from('\r\n'));
        return;
      }
      far.requests++;
      const fields = text.split('\r\n').filter((line) => /^(Via|From|To|Call-ID|CSeq):/.test(line));
      connection.write(Buffer.from(`SIP/2.0 200 OK\r\n${fields.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`));
    };
    return {
      onData: (chunk) => {
        held += chunk.toString('latin1');
        for (let end = held.indexOf('\r\n\r\n'); end >= 0; end = held.indexOf('\r\n\r\n')) {
          take(held.slice(0, end));
          held = held.slice(end + 4);
        }
      },
      onClose: () => void far.closed++,
    };
  });
  return far;
};

const ask = (engine: SipEngine): void =>
  void engine.request({ method: 'OPTIONS', uri: `sip:${PEER};transport=tcp` }, { onResponse: () => {} });

t.test(
  'a connection without a message or keep-alive is closed in time, one with keep-alives stays, in however many pieces they come',
  async (t) => {
    const { sim, engine } = await stage({ idleConnectionMs: 60_000 });
    const silent = new SimStreamPeer(sim.world, PEER);
    const alive = new SimStreamPeer(sim.world, PEER);
    for (const [i, peer] of [silent, alive].entries()) peer.send(options(String(i)));
    for (let i = 0; i < 8; i++) {
      sim.clock.advance(10_000);
      alive.send('\r\n\r\n');
    }
    t.equal(silent.closed, true);
    t.equal(alive.closed, false);
    t.equal(connections(engine), 1);
  },
);

t.test('a double CRLF is answered by one CRLF (RFC 5626 §4.4.1)', async (t) => {
  const { sim } = await stage({});
  let heard = '';
  const connection = sim.world
    .host(PEER)
    .connectStream(
      { address: US, port: 5060 },
      { onData: (chunk) => void (heard += chunk.toString('latin1')), onClose: () => {} },
    );
  connection.write(Buffer.from('\r\n\r\n'));
  sim.clock.advance(5);
  t.equal(heard, '\r\n');
});

t.test('the connection of a call stays, however silent', async (t) => {
  const { sim, engine } = await stage({ idleConnectionMs: 60_000 });
  const caller = new SimStreamPeer(sim.world, PEER);
  caller.send(requestText({ method: 'INVITE', via: `SIP/2.0/TCP ${PEER}:5060;branch=z9hG4bK-call` }));
  sim.clock.advance(5);
  const toTag = /tag=(\w+)/.exec(caller.got.at(-1)?.header('To') ?? '')?.[1] ?? '';
  const inDialog = { via: `SIP/2.0/TCP ${PEER}:5060;branch=z9hG4bK-in`, toTag };
  caller.send(requestText({ method: 'ACK', ...inDialog }));
  sim.clock.advance(600_000);
  t.equal(caller.closed, false);
  caller.send(requestText({ method: 'BYE', cseq: 2, ...inDialog }));
  sim.clock.advance(120_000);
  t.equal(caller.closed, true, 'and closes after it');
  t.equal(connections(engine), 0);
});

t.test('one connection carries all requests to a place, and is kept alive where that is wanted', async (t) => {
  const { sim, engine } = await stage({ keepAliveMs: 20_000 });
  const far = await farEnd(sim, true);
  for (let i = 0; i < 5; i++) {
    ask(engine);
    sim.clock.advance(10);
  }
  t.match(far, { accepted: 1, requests: 5, pings: 0 });
  sim.clock.advance(200_000);
  t.ok(far.pings >= 6 && far.pings <= 12, `${far.pings} pings in 200 s`);
  t.equal(far.closed, 0);
});

t.test('who stops answering keep-alives is gone; who never answered one is left alone', async (t) => {
  const { sim, engine } = await stage({ keepAliveMs: 20_000 });
  const far = await farEnd(sim, false);
  ask(engine);
  sim.clock.advance(200_000);
  t.ok(far.pings > 1);
  t.equal(far.closed, 0);
  const other = await stage({ keepAliveMs: 20_000 });
  const faithful = await farEnd(other.sim, true);
  ask(other.engine);
  other.sim.clock.advance(60_000);
  t.ok(faithful.pings > 0);
  other.sim.world.intercept(({ from, kind }) => (kind === 'tcp' && from.address === PEER ? 'drop' : 'pass'));
  other.sim.clock.advance(60_000);
  t.equal(connections(other.engine), 0, 'the next request takes a new connection');
});

t.test('with neither wanted there is no timer for it', async (t) => {
  const { sim } = await stage({});
  const peer = new SimStreamPeer(sim.world, PEER);
  peer.send(options('quiet'));
  sim.clock.advance(40_000);
  t.equal(sim.clock.dump()['stream_upkeep'], undefined);
  t.equal(peer.closed, false);
});
