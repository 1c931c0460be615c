/** What peers on either side of a NAT are told, and where requests to those behind theirs go. */
import t from 'tap';
import { SimResolver } from '../../src/net/index.js';
import { type EngineHandler, type IncomingInvite, type SipEngine, createEngine } from '../../src/sip/index.js';
import { SimEngines } from '../support/simEngines.js';
import { SimPeer, SimStreamPeer, requestText, responseText } from '../support/simPeer.js';

const [US, LOCAL, OUTSIDE, ADVERTISED] = ['10.0.0.1', '10.0.0.2', '203.0.113.9', '198.51.100.1'] as const;

const answering = (onInvite?: (invite: IncomingInvite) => void): EngineHandler => ({
  onInvite: (invite) => {
    invite.listener = { onCancel: () => {}, onAck: () => {} };
    onInvite?.(invite);
    invite.respond(200);
    if (invite.dialog !== undefined) {
      invite.dialog.listener = {
        onRequest: (request) => void request.respond(200),
        onInvite: () => {},
        onTerminated: () => {},
      };
    }
  },
  onRequest: (request) => void request.respond(200),
});

const stage = async (handler: EngineHandler = answering()): Promise<{ sim: SimEngines; engine: SipEngine }> => {
  const sim = new SimEngines(51);
  const face = { advertise: { host: ADVERTISED, port: 5099 }, localNets: ['10.0.0.0/8', 'fd00::/8'] };
  const engine = await createEngine({
    network: sim.world.host(US),
    clock: sim.clock,
    random: sim.random,
    resolver: new SimResolver({}, { clock: sim.clock }),
    listen: [
      { transport: 'udp', address: US, port: 5060, ...face },
      { transport: 'tcp', address: US, port: 5060, ...face },
    ],
    handler,
  });
  sim.engines.push(engine);
  return { sim, engine };
};

const invite = (engine: SipEngine, host: string): void => {
  engine.invite(
    {
      uri: `sip:bob@${host}`,
      from: '<sip:alice@localhost>',
      headers: [['P-Asserted-Identity', '<sip:alice@localhost>']],
    },
    { onProvisional: () => {}, onAnswered: (_response, dialog) => void dialog.ack(), onFailed: () => {} },
  );
};

t.test('peers of the local networks see the address listened on, all others the advertised one', async (t) => {
  const { sim, engine } = await stage();
  t.same(engine.listening, [`udp/${ADVERTISED}:5099`, `tcp/${ADVERTISED}:5099`], 'one entry a port');
  for (const [host, told] of [
    [LOCAL, `${US}:5060`],
    [OUTSIDE, `${ADVERTISED}:5099`],
  ] as const) {
    const peer = await SimPeer.udp(sim.world, host);
    invite(engine, host);
    sim.clock.advance(1);
    const request = peer.last('INVITE');
    t.match(request.header('Via'), `SIP/2.0/UDP ${told};rport;branch=`);
    t.equal(request.header('Contact'), `<sip:${told}>`);
    t.match(request.header('From'), `<sip:alice@${told}>`);
    t.equal(request.header('P-Asserted-Identity'), `<sip:alice@${told}>`);
    peer.send(responseText(request, 200, { toTag: 'b', lines: [`Contact: <sip:bob@${host}:5060>`] }), US);
    sim.clock.advance(1);
    t.ok(peer.lines.includes('ACK'), 'the answer with our Via is taken');
    t.match(peer.last('ACK').header('Via'), `SIP/2.0/UDP ${told};`);

    const via = `SIP/2.0/UDP ${host}:5060;branch=z9hG4bK-${host}`;
    peer.send(requestText({ method: 'INVITE', callId: host, via }), US);
    sim.clock.advance(1);
    t.equal(peer.last('200 INVITE').header('Contact'), `<sip:${told}>`);
  }
});

t.test('over TCP, too', async (t) => {
  const { sim } = await stage();
  for (const [host, told] of [
    [LOCAL, `${US}:5060`],
    [OUTSIDE, `${ADVERTISED}:5099`],
  ] as const) {
    const peer = new SimStreamPeer(sim.world, host, { address: US, port: 5060 });
    const via = `SIP/2.0/TCP ${host}:5060;branch=z9hG4bK-${host}`;
    peer.send(requestText({ method: 'INVITE', callId: host, via }));
    sim.clock.advance(5);
    const answer = peer.got[peer.lines.indexOf('200 INVITE')];
    t.equal(answer?.header('Contact'), `<sip:${told};transport=tcp>`);
  }
});

t.test('rport and received: answers go back through the NAT that the request came by (RFC 3581)', async (t) => {
  const { sim } = await stage();
  const nat = await SimPeer.udp(sim.world, OUTSIDE, 40_123);
  nat.send(requestText({ method: 'OPTIONS', via: 'SIP/2.0/UDP 192.168.1.5:5060;rport;branch=z9hG4bK-nat' }), US);
  sim.clock.advance(1);
  t.match(nat.last('200 OPTIONS').header('Via'), /;rport=40123;received=203\.0\.113\.9$/);
});

const natted = (method: string, extra: object = {}): string =>
  requestText({
    method,
    via: `SIP/2.0/UDP 192.168.1.5:5060;rport;branch=z9hG4bK-${method}`,
    lines: ['Contact: <sip:alice@192.168.1.5:5060>'],
    ...extra,
  });

t.test('a caller behind NAT gets requests where its INVITE came from, and where it moves to', async (t) => {
  const taken: IncomingInvite[] = [];
  const { sim } = await stage(
    answering((each) => {
      each.symmetric = true;
      taken.push(each);
    }),
  );
  const nat = await SimPeer.udp(sim.world, OUTSIDE, 40_123);
  nat.send(natted('INVITE'), US);
  sim.clock.advance(1);
  const dialog = taken[0]?.dialog;
  const toTag = dialog?.localTag ?? '';
  nat.send(natted('ACK', { toTag }), US);
  sim.clock.advance(1);
  dialog?.request('INFO', {}, { onResponse: () => {} });
  sim.clock.advance(1);
  t.equal(nat.last('INFO').uri, 'sip:alice@192.168.1.5:5060', 'the Request-URI is what it wrote');
  const moved = await SimPeer.udp(sim.world, OUTSIDE, 40_999);
  moved.send(natted('INFO', { toTag, cseq: 2 }), US);
  sim.clock.advance(1);
  dialog?.request('BYE', {}, { onResponse: () => {} });
  sim.clock.advance(1);
  t.ok(moved.lines.includes('BYE'), 'the NAT gave it another port');
});

t.test('without the setting its Contact is believed, and a route set is always followed', async (t) => {
  const taken: IncomingInvite[] = [];
  const { sim } = await stage(
    answering((each) => {
      each.symmetric = taken.length > 0;
      taken.push(each);
    }),
  );
  const proxy = await SimPeer.udp(sim.world, OUTSIDE);
  const named = await SimPeer.udp(sim.world, '203.0.113.10');
  proxy.send(requestText({ method: 'INVITE', lines: ['Contact: <sip:a@203.0.113.10>'] }), US);
  sim.clock.advance(1);
  taken[0]?.dialog?.request('INFO', {}, { onResponse: () => {} });
  sim.clock.advance(1);
  t.same(named.lines, ['INFO']);
  const lines = ['Contact: <sip:a@203.0.113.10>', 'Record-Route: <sip:203.0.113.11;lr>'];
  const router = await SimPeer.udp(sim.world, '203.0.113.11');
  proxy.send(requestText({ method: 'INVITE', callId: 'two', branch: 'z9hG4bK-two', lines }), US);
  sim.clock.advance(1);
  taken[1]?.dialog?.request('INFO', {}, { onResponse: () => {} });
  sim.clock.advance(1);
  t.same(router.lines, ['INFO']);
});

t.test('a callee behind NAT: ACK and BYE go to where its answer came from', async (t) => {
  const { sim, engine } = await stage();
  const nat = await SimPeer.udp(sim.world, OUTSIDE);
  engine.invite(
    { uri: `sip:bob@${OUTSIDE}`, symmetric: true },
    {
      onProvisional: () => {},
      onAnswered: (_response, dialog) => {
        dialog.ack();
        dialog.request('BYE', {}, { onResponse: () => {} });
      },
      onFailed: () => {},
    },
  );
  sim.clock.advance(1);
  nat.send(responseText(nat.last('INVITE'), 200, { toTag: 'b', lines: ['Contact: <sip:bob@192.168.1.5>'] }), US);
  sim.clock.advance(1);
  t.ok(nat.lines.includes('ACK') && nat.lines.includes('BYE'), nat.lines.join(', '));
});
