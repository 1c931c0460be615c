/** The engine against peers that do the right thing at the wrong time, or the wrong thing. */
import t from 'tap';
import type { EngineHandler, IncomingInvite, IncomingRequest, OutgoingInvite, SipEngine } from '../../src/sip/index.js';
import { SimEngines } from '../support/simEngines.js';
import { SimPeer, requestText, responseText } from '../support/simPeer.js';

const REST = { clientTransactions: 0, serverTransactions: 0, dialogs: 0, timers: 0 };
const SDP = Buffer.from('v=0\r\n');

interface Stage {
  readonly sim: SimEngines;
  readonly engine: SipEngine;
  readonly peer: SimPeer;
  readonly told: string[];
  readonly invites: IncomingInvite[];
  readonly requests: IncomingRequest[];
}

/** One engine at 10.0.0.1 that notes what it is told, one hand-driven peer at 10.0.0.2. */
const stage = async (handler: Partial<EngineHandler> = {}): Promise<Stage> => {
  const sim = new SimEngines(1);
  const told: string[] = [];
  const invites: IncomingInvite[] = [];
  const requests: IncomingRequest[] = [];
  const engine = await sim.engine('10.0.0.1', {
    onInvite: (invite) => {
      told.push('INVITE');
      invites.push(invite);
      invite.listener = {
        onCancel: (cancel) => told.push(cancel?.method ?? 'given up'),
        onAck: () => told.push('ACK'),
      };
    },
    onRequest: (request) => {
      told.push(request.request.method);
      requests.push(request);
    },
    ...handler,
  });
  return { sim, engine, peer: await SimPeer.udp(sim.world, '10.0.0.2'), told, invites, requests };
};

const listen = (invite: IncomingInvite | undefined, told: string[]): void => {
  if (invite?.dialog === undefined) throw new Error('no dialog');
  invite.dialog.listener = {
    onRequest: (request) => {
      told.push(request.request.method);
      request.respond(200);
    },
    onInvite: (reinvite) => {
      told.push('re-INVITE');
      reinvite.listener = { onCancel: () => told.push('re-CANCEL'), onAck: () => told.push('re-ACK') };
    },
    onTerminated: (end) => told.push(`end:${end}`),
  };
};

/** The engine's own call to the peer. */
const call = (engine: SipEngine, told: string[], uri = 'sip:bob@10.0.0.2'): OutgoingInvite => {
  const sent = engine.invite(
    { uri, body: SDP },
    {
      onProvisional: (response, dialog) => told.push(`${response.status}${dialog === undefined ? '' : '+dialog'}`),
      onAnswered: (response, dialog) => {
        told.push(`${response.status}`);
        dialog.listener = {
          onRequest: (request) => void request.respond(200),
          onInvite: () => {},
          onTerminated: (end) => told.push(`end:${end}`),
        };
        dialog.ack();
      },
      onFailed: (response, origin) => told.push(`${response.status}:${origin}`),
    },
  );
  if ('refusal' in sent) throw new Error(sent.detail);
  return sent;
};

const CONTACT = ['Contact: <sip:bob@10.0.0.2:5060>'];

t.test('a 2xx waits for the PRACK of a reliable provisional with a body', async (t) => {
  const { sim, peer, told, invites } = await stage();
  peer.send(requestText({ method: 'INVITE', lines: [...CONTACT, 'Supported: 100rel'] }));
  sim.clock.advance(10);
  const invite = invites[0] as IncomingInvite;
  invite.respond(183, { body: SDP }, true);
  invite.respond(180, {}, true);
  t.equal(invite.respond(200, { body: SDP }).ok, true);
  t.equal(invite.open, false);
  t.equal(invite.respond(486).ok, false, 'it has been answered, as far as the user is concerned');
  sim.clock.advance(400);
  t.strictSame(peer.lines, ['100 INVITE', '183 INVITE'], 'one at a time, and no 200');
  const early = peer.last('183 INVITE');
  const prack = { method: 'PRACK', toTag: early.toTag, lines: [`RAck: ${early.header('RSeq') ?? ''} 1 INVITE`] };
  peer.send(requestText({ ...prack, cseq: 2 }));
  sim.clock.advance(10);
  t.strictSame(peer.lines.slice(2), ['200 PRACK', '200 INVITE'], 'the queued 180 has no body and is overtaken');
  peer.send(requestText({ method: 'ACK', toTag: early.toTag, branch: 'z9hG4bK-a' }));
  sim.clock.advance(10);
  t.strictSame(told, ['INVITE', 'ACK']);
  peer.send(requestText({ method: 'BYE', toTag: early.toTag, cseq: 3 }));
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('a CANCEL takes back a 2xx that waits for its PRACK', async (t) => {
  const { sim, peer, told, invites } = await stage();
  peer.send(requestText({ method: 'INVITE', branch: 'z9hG4bK-i', lines: [...CONTACT, 'Require: 100rel'] }));
  sim.clock.advance(10);
  invites[0]?.respond(183, { body: SDP }, true);
  invites[0]?.respond(200, { body: SDP });
  peer.send(requestText({ method: 'CANCEL', branch: 'z9hG4bK-i' }));
  sim.clock.advance(10);
  t.strictSame(peer.lines.slice(2), ['200 CANCEL', '487 INVITE']);
  t.strictSame(told, ['INVITE', 'CANCEL']);
  peer.send(requestText({ method: 'ACK', branch: 'z9hG4bK-i' }));
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test(
  'a reliable provisional without PRACK ends the INVITE with 504; a PRACK that a 2xx overtook gets 200',
  async (t) => {
    const { sim, peer, told, invites } = await stage();
    peer.send(requestText({ method: 'INVITE', lines: [...CONTACT, 'Supported: 100rel'] }));
    sim.clock.advance(10);
    invites[0]?.respond(183, {}, true);
    sim.clock.advance(32_000);
    t.strictSame(told, ['INVITE', 'given up']);
    t.ok(peer.lines.includes('504 INVITE'));
    const answered = {
      method: 'INVITE',
      callId: 'second',
      branch: 'z9hG4bK-2',
      lines: [...CONTACT, 'Supported: 100rel'],
    };
    peer.send(requestText(answered));
    sim.clock.advance(10);
    invites[1]?.respond(180, {}, true);
    invites[1]?.respond(200);
    sim.clock.advance(10);
    const early = peer.last('180 INVITE');
    const own = { callId: 'second', toTag: early.toTag };
    peer.send(requestText({ ...own, method: 'ACK', branch: 'z9hG4bK-a2' }));
    sim.clock.advance(10);
    peer.send(
      requestText({ ...own, method: 'PRACK', cseq: 2, lines: [`RAck: ${early.header('RSeq') ?? ''} 1 INVITE`] }),
    );
    sim.clock.advance(10);
    t.ok(peer.lines.includes('200 PRACK'));
    peer.send(requestText({ ...own, method: 'PRACK', cseq: 3, lines: ['RAck: 1 1 INVITE'] }));
    peer.send(requestText({ ...own, method: 'PRACK', cseq: 4, lines: ['RAck: nonsense'] }));
    sim.clock.advance(10);
    t.equal(peer.lines.filter((line) => line === '481 PRACK').length, 2);
    peer.send(requestText({ ...own, method: 'BYE', cseq: 5 }));
    sim.clock.advance(64_000);
    t.strictSame(sim.alive(), REST);
  },
);

t.test('a CANCEL after the final answer gets 200 and changes nothing; a stray one gets 481', async (t) => {
  const { sim, peer, told, invites } = await stage();
  peer.send(requestText({ method: 'INVITE', branch: 'z9hG4bK-i' }));
  sim.clock.advance(10);
  invites[0]?.respond(486);
  peer.send(requestText({ method: 'CANCEL', branch: 'z9hG4bK-i' }));
  peer.send(requestText({ method: 'CANCEL', branch: 'z9hG4bK-other', callId: 'other' }));
  sim.clock.advance(10);
  t.strictSame(peer.lines.slice(-2), ['200 CANCEL', '481 CANCEL']);
  t.equal(peer.last('200 CANCEL').toTag, peer.last('486 INVITE').toTag, 'RFC 3261 §9.2: the same tag');
  t.strictSame(told, ['INVITE']);
  peer.send(requestText({ method: 'ACK', branch: 'z9hG4bK-i' }));
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('who knows a branch but is not the sender neither cancels, nor acknowledges, nor answers', async (t) => {
  const { sim, engine, peer, told, invites } = await stage();
  const stranger = await SimPeer.udp(sim.world, '10.0.0.66');
  peer.send(requestText({ method: 'INVITE', branch: 'z9hG4bK-i' }));
  sim.clock.advance(10);
  stranger.send(requestText({ method: 'CANCEL', branch: 'z9hG4bK-i', via: 'SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK-i;rport' })); // prettier-ignore
  sim.clock.advance(10);
  t.strictSame(stranger.lines, ['481 CANCEL']);
  t.strictSame(told, ['INVITE']);
  invites[0]?.respond(404);
  stranger.send(requestText({ method: 'ACK', branch: 'z9hG4bK-i' }));
  sim.clock.advance(600);
  t.equal(peer.lines.filter((line) => line === '404 INVITE').length, 2, 'it is still repeated');
  peer.send(requestText({ method: 'ACK', branch: 'z9hG4bK-i' }));
  sim.clock.advance(10);

  call(engine, told);
  sim.clock.advance(10);
  const invite = peer.last('INVITE');
  stranger.send(responseText(invite, 200, { toTag: 'evil', lines: ['Contact: <sip:evil@10.0.0.66>'] }));
  peer.send(responseText(invite, 200, { toTag: 'x', lines: CONTACT, via: ['Via: SIP/2.0/UDP 10.0.0.7:5060;branch=' + invite.branch] })); // prettier-ignore
  peer.send(responseText(invite, 200, { toTag: 'x', via: [`Via: ${invite.header('Via') ?? ''}`, 'Via: SIP/2.0/UDP 10.0.0.9'] })); // prettier-ignore
  sim.clock.advance(10);
  t.strictSame(told.slice(1), [], 'forged, misdirected and misrouted answers are nobody’s');
  t.equal(engine.dump()['foreignResponses'], 3);
  peer.send(responseText(invite, 486, { toTag: 'busy' }));
  sim.clock.advance(10);
  t.strictSame(told.slice(1), ['486:network']);
  peer.send(responseText(invite, 200, { toTag: 'late', lines: CONTACT }));
  sim.clock.advance(64_000);
  peer.send(responseText(invite, 200, { toTag: 'late', lines: CONTACT }));
  const before = peer.got.length;
  sim.clock.advance(10);
  t.equal(peer.got.length, before, 'a 2xx that belongs to nothing meets silence');
  t.strictSame(sim.alive(), REST);
});

t.test('an INVITE that is cancelled and never answered ends, and its transaction with it', async (t) => {
  const { sim, engine, peer, told } = await stage();
  const sent = call(engine, told);
  sim.clock.advance(10);
  peer.send(responseText(peer.last('INVITE'), 180, { toTag: 'b' }));
  sim.clock.advance(10);
  sent.cancel();
  sim.clock.advance(10);
  peer.send(responseText(peer.last('CANCEL'), 200));
  sim.clock.advance(33_000);
  t.strictSame(told, ['180+dialog', '487:timeout']);
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('a callee that rings for ever is cancelled by Timer C', async (t) => {
  const { sim, engine, peer, told } = await stage();
  call(engine, told);
  sim.clock.advance(10);
  peer.send(responseText(peer.last('INVITE'), 183, { toTag: 'b' }));
  sim.clock.advance(184_000);
  t.notOk(peer.lines.includes('CANCEL'));
  sim.clock.advance(2_000);
  t.ok(peer.lines.includes('CANCEL'));
  sim.clock.advance(200_000);
  t.strictSame(told, ['183+dialog', '487:timeout']);
  t.strictSame(sim.alive(), REST);
});

t.test('an INVITE that its user forgets is answered for him', async (t) => {
  const { sim, peer, told } = await stage();
  peer.send(requestText({ method: 'INVITE' }));
  sim.clock.advance(10);
  sim.clock.advance(370_000);
  t.strictSame(told, ['INVITE', 'given up']);
  t.ok(peer.lines.includes('408 INVITE'));
  peer.send(requestText({ method: 'MESSAGE', callId: 'm' }));
  sim.clock.advance(31_000);
  t.equal(peer.lines.at(-1), '500 MESSAGE');
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('a user that throws costs its call, never the engine', async (t) => {
  const broken = (): never => {
    throw new Error('user');
  };
  const { sim, peer, engine } = await stage({ onInvite: broken, onRequest: broken });
  peer.send(requestText({ method: 'INVITE', branch: 'z9hG4bK-i' }));
  peer.send(requestText({ method: 'OPTIONS', callId: 'o' }));
  sim.clock.advance(10);
  t.ok(peer.lines.includes('500 INVITE') && peer.lines.includes('500 OPTIONS'));
  peer.send(requestText({ method: 'ACK', branch: 'z9hG4bK-i' }));
  const sent = engine.invite({ uri: 'sip:bob@10.0.0.2' }, { onTrying: broken, onProvisional: broken, onAnswered: broken, onFailed: broken }); // prettier-ignore
  t.notOk('refusal' in sent);
  sim.clock.advance(10);
  const invite = peer.last('INVITE');
  peer.send(responseText(invite, 100));
  peer.send(responseText(invite, 180, { toTag: 'b' }));
  peer.send(responseText(invite, 200, { toTag: 'b', lines: CONTACT }));
  sim.clock.advance(10);
  t.strictSame(peer.lines.slice(-2), ['ACK', 'BYE']);
  t.equal(sim.errors.length, 5);
  peer.send(responseText(peer.last('BYE'), 200));
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('a gate that throws refuses with 500; one that drops or rejects does so for strays as well', async (t) => {
  let verdict: 'throw' | 'drop' | 'reject' = 'throw';
  const { sim, peer, told } = await stage({
    screen: () => {
      if (verdict === 'throw') throw new Error('gate');
      return verdict === 'drop' ? { action: 'drop' } : { action: 'reject', status: 403, reason: 'No' };
    },
  });
  const strays = [
    requestText({ method: 'BYE', toTag: 'none' }),
    requestText({ method: 'CANCEL', branch: 'z9hG4bK-none' }),
    requestText({ method: 'INVITE', callId: 'new' }),
  ];
  const answers = (): string[] => {
    peer.got.length = 0;
    for (const stray of strays) peer.send(stray);
    sim.clock.advance(10);
    return peer.lines;
  };
  t.strictSame(answers(), ['500 BYE', '500 CANCEL', '500 INVITE']);
  verdict = 'drop';
  t.strictSame(answers(), []);
  verdict = 'reject';
  t.strictSame(answers(), ['403 BYE', '403 CANCEL', '403 INVITE']);
  peer.got.length = 0;
  peer.send(requestText({ method: 'ACK', toTag: '1' }));
  sim.clock.advance(10);
  t.strictSame(peer.lines, [], 'the ACK of a stateless refusal meets silence');
  t.strictSame(told, []);
  t.strictSame(sim.alive(), REST);
});

t.test('stop() in the middle of everything: each side is told once, callers get 503, no timer is left', async (t) => {
  const { sim, engine, peer, told, invites, requests } = await stage();
  peer.send(requestText({ method: 'INVITE', callId: 'ringing', branch: 'z9hG4bK-1' }));
  peer.send(requestText({ method: 'INVITE', callId: 'unacked', branch: 'z9hG4bK-2' }));
  peer.send(requestText({ method: 'OPTIONS', callId: 'thinking' }));
  sim.clock.advance(10);
  invites[0]?.respond(183, {});
  invites[1]?.respond(200);
  listen(invites[1], told);
  call(engine, told, 'sip:silent@10.0.0.2');
  const ringing = call(engine, told);
  call(engine, told, 'sip:bob@unknown.example');
  engine.request({ method: 'OPTIONS', uri: 'sip:10.0.0.2' }, { onResponse: (r, o) => told.push(`OPTIONS ${r.status}:${o}`) }); // prettier-ignore
  sim.clock.advance(5);
  peer.send(responseText(peer.last('INVITE'), 180, { toTag: 'b' }));
  sim.clock.advance(5);
  ringing.cancel();
  call(engine, told, 'sip:bob@unknown.example');
  t.equal(requests.length, 1);
  told.length = 0;
  engine.stop();
  engine.stop();
  t.strictSame(told.toSorted(), ['503:transport', '503:transport', '503:transport', 'OPTIONS 503:transport', 'end:shutdown']); // prettier-ignore
  const late = engine.invite({ uri: 'sip:10.0.0.2' }, { onProvisional() {}, onAnswered() {}, onFailed() {} });
  t.match(late, { refusal: 'no_transport' });
  t.equal(invites[0]?.respond(200).ok, false);
  t.equal(requests[0]?.respond(200).ok, false);
  sim.clock.advance(1_000);
  t.ok(peer.lines.includes('503 INVITE') && peer.lines.includes('503 OPTIONS'));
  t.strictSame(sim.alive(), REST);
  t.strictSame(sim.world.dump(), ['udp 10.0.0.2:5060']);
  t.equal(told.length, 5);
});

t.test('requests that are broken, or lack what they need', async (t) => {
  const { sim, peer, told } = await stage();
  const answerTo = (text: string): string => {
    peer.got.length = 0;
    peer.send(text);
    sim.clock.advance(10);
    return peer.lines.find((line) => !line.startsWith('100')) ?? 'none';
  };
  t.equal(answerTo(requestText({ method: 'INVITE', callId: '1', lines: [] })), '400 INVITE', 'no Contact');
  t.equal(answerTo(requestText({ method: 'INVITE', callId: '2', lines: ['Contact: <tel:+15551>'] })), '400 INVITE');
  t.equal(answerTo(requestText({ method: 'INVITE', callId: '3', lines: ['Contact: *'] })), '400 INVITE');
  t.equal(answerTo(requestText({ method: 'INVITE', callId: '4', lines: [...CONTACT, 'Require: foo, 100rel, bar'] })), '420 INVITE'); // prettier-ignore
  t.equal(peer.last('420 INVITE').header('Unsupported'), 'foo, bar');
  t.equal(answerTo(requestText({ method: 'INVITE', callId: '5', uri: 'tes:x' })), '416 INVITE');
  t.equal(answerTo(requestText({ method: 'FROB', callId: '6' })), '501 FROB');
  t.equal(answerTo(requestText({ method: 'UPDATE', callId: '7' })), '481 UPDATE');
  t.equal(answerTo(requestText({ method: 'BYE', callId: '8', toTag: 'x' })), '481 BYE');
  t.equal(answerTo(requestText({ method: 'INVITE', callId: '9', lines: ['Max-Forwards: 1000', ...CONTACT] })), '400 INVITE'); // prettier-ignore
  t.strictSame(told, []);
  const plain = requestText({ method: 'OPTIONS', callId: '10' }).replace('Max-Forwards: 70\r\n', '');
  t.equal(answerTo(plain), 'none', 'no Max-Forwards: served');
  t.strictSame(told, ['OPTIONS']);
  const merged = requestText({ method: 'OPTIONS', callId: '10', branch: 'z9hG4bK-other-way' });
  t.equal(answerTo(merged), '482 OPTIONS');
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});

t.test('a retransmission finds its transaction, and its answer goes where the first came from', async (t) => {
  const { sim, peer, requests } = await stage();
  const elsewhere = await SimPeer.udp(sim.world, '10.0.0.2', 6060);
  const text = requestText({ method: 'MESSAGE', callId: 'm' });
  peer.send(text);
  sim.clock.advance(10);
  requests[0]?.respond(202);
  sim.clock.advance(10);
  elsewhere.send(text);
  sim.clock.advance(10);
  t.equal(requests.length, 1);
  t.strictSame(peer.lines, ['202 MESSAGE', '202 MESSAGE']);
  t.strictSame(elsewhere.lines, []);
  sim.clock.advance(64_000);
  t.strictSame(sim.alive(), REST);
});
