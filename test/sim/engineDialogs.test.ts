/** Dialogs against hand-driven peers: forks, route sets, overlapping requests, names with several addresses, IPv6. */
import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { SimResolver, SimWorld } from '../../src/net/index.js';
import {
  type Dialog,
  type IncomingInvite,
  type IncomingRequest,
  type SipEngine,
  createEngine,
} from '../../src/sip/index.js';
import { SimPeer, requestText, responseText } from '../support/simPeer.js';
import type { PeerMessage } from '../support/sipText.js';

const CONTACT = ['Contact: <sip:bob@10.0.0.2:5060>'];

class Stage {
  readonly clock = new ManualClock();
  readonly random = new SeededRandom(1);
  readonly world = new SimWorld({ clock: this.clock, random: this.random });
  readonly resolver = new SimResolver({}, { clock: this.clock });
  readonly told: string[] = [];
  readonly errors: unknown[] = [];
  readonly invites: IncomingInvite[] = [];
  readonly dialogs: Dialog[] = [];
  engine!: SipEngine;
  peer!: SimPeer;

  static async open(address = '10.0.0.1', peer = '10.0.0.2', transports = ['udp', 'tcp'] as const): Promise<Stage> {
    const stage = new Stage();
    stage.engine = await createEngine({
      network: stage.world.host(address),
      clock: stage.clock,
      random: stage.random,
      resolver: stage.resolver,
      listen: transports.map((transport) => ({ transport, address, port: 5060 })),
      handler: {
        onInvite: (invite) => {
          stage.invites.push(invite);
          invite.listener = {
            onCancel: (cancel) => stage.told.push(cancel?.method ?? 'given up'),
            onAck: () => stage.told.push('ACK'),
          };
        },
        onRequest: (request) => void request.respond(200),
      },
      onEvent: (event) => {
        if (event.type === 'user_error') stage.errors.push(event.error);
      },
    });
    stage.peer = await SimPeer.udp(stage.world, peer);
    return stage;
  }

  run(ms = 10): void {
    this.clock.advance(ms);
  }

  adopt(dialog: Dialog | undefined): Dialog {
    if (dialog === undefined) throw new Error('no dialog');
    this.dialogs.push(dialog);
    dialog.listener = {
      onRequest: (request) => {
        this.told.push(request.request.method);
        request.respond(200);
      },
      onInvite: (invite) => {
        this.told.push('re-INVITE');
        this.invites.push(invite);
      },
      onTerminated: (end) => this.told.push(`end:${end}`),
    };
    return dialog;
  }

  call(uri = 'sip:bob@10.0.0.2'): void {
    const sent = this.engine.invite(
      { uri },
      {
        onProvisional: (response, dialog) =>
          this.told.push(`${response.status}${dialog === undefined ? ' without dialog' : ''}`),
        onAnswered: (response, dialog) => {
          this.told.push(String(response.status));
          this.adopt(dialog).ack();
        },
        onFailed: (response, origin) => this.told.push(`${response.status}:${origin}`),
      },
    );
    if ('refusal' in sent) this.told.push(sent.refusal);
  }

  /** The engine's call to the peer, answered. */
  established(lines: readonly string[] = CONTACT): { readonly dialog: Dialog; readonly invite: PeerMessage } {
    this.call();
    this.run();
    const invite = this.peer.last('INVITE');
    this.peer.send(responseText(invite, 200, { toTag: 'b', lines }));
    this.run();
    return { dialog: this.dialogs.at(-1) as Dialog, invite };
  }

  /** A request of the peer within the call that the engine made. */
  within(
    invite: PeerMessage,
    method: string,
    cseq: number,
    more: Partial<Parameters<typeof requestText>[0]> = {},
  ): void {
    this.peer.send(
      requestText({ method, cseq, callId: invite.callId, fromTag: 'b', toTag: invite.fromTag, branch: `z9hG4bK${method}${cseq}`, ...more }), // prettier-ignore
    );
    this.run();
  }

  rest(t: Tap): void {
    this.clock.advance(64_000);
    const { clientTransactions, serverTransactions, dialogs } = this.engine.dump();
    t.strictSame({ clientTransactions, serverTransactions, dialogs }, { clientTransactions: 0, serverTransactions: 0, dialogs: 0 }); // prettier-ignore
    t.strictSame(this.clock.dump(), {});
    t.strictSame(this.errors, []);
  }
}

type Tap = Pick<typeof t, 'strictSame'>;

t.test(
  'forks: an early dialog each, the first answer wins, the second is acknowledged and released once',
  async (t) => {
    const stage = await Stage.open();
    const { peer, told } = stage;
    stage.call();
    stage.run();
    const invite = peer.last('INVITE');
    for (const tag of ['a', 'b', 'c']) peer.send(responseText(invite, 180, { toTag: tag, lines: CONTACT }));
    stage.run();
    t.equal(stage.engine.dump()['dialogs'], 3);
    peer.send(responseText(invite, 200, { toTag: 'b', lines: CONTACT }));
    peer.send(responseText(invite, 200, { toTag: 'c', lines: CONTACT }));
    stage.run();
    t.equal(stage.engine.dump()['dialogs'], 1);
    t.strictSame(peer.lines, ['INVITE', 'ACK', 'ACK', 'BYE']);
    t.equal(peer.last('BYE').toTag, 'c');
    // Both 2xx again, as when their ACKs were lost: the same ACKs, and no second BYE.
    for (const tag of ['b', 'c', 'c']) peer.send(responseText(invite, 200, { toTag: tag, lines: CONTACT }));
    stage.run();
    t.strictSame(peer.lines.slice(4), ['ACK', 'ACK', 'ACK']);
    peer.send(responseText(peer.last('BYE'), 200));
    t.strictSame(told, ['180', '180', '180', '200']);
    stage.dialogs[0]?.request('BYE', {}, { onResponse: () => {} });
    stage.run();
    peer.send(responseText(peer.last('BYE'), 200));
    stage.rest(t);
  },
);

t.test('a late answer under our branch that names another call makes no dialog of that call', async (t) => {
  const stage = await Stage.open();
  const { peer } = stage;
  stage.call();
  stage.run();
  const invite = peer.last('INVITE');
  peer.send(responseText(invite, 200, { toTag: 'b', lines: CONTACT }));
  stage.run();
  t.strictSame(peer.lines, ['INVITE', 'ACK']);
  const late = responseText(invite, 200, { toTag: 'd', lines: CONTACT });
  peer.send(late.replace(`Call-ID: ${invite.callId}`, 'Call-ID: of-somebody-else'));
  peer.send(late.replace(/(From: [^\r]*;tag=)[^\r;]+/, '$1of-somebody-else'));
  stage.run();
  t.strictSame(peer.lines, ['INVITE', 'ACK'], 'neither acknowledged nor released');
  t.equal(stage.engine.dump()['dialogs'], 1);
  peer.send(late);
  stage.run();
  t.strictSame(peer.lines.slice(2), ['ACK', 'BYE'], 'a fork that is ours is both');
  peer.send(responseText(peer.last('BYE'), 200));
  stage.dialogs[0]?.request('BYE', {}, { onResponse: () => {} });
  stage.run();
  peer.send(responseText(peer.last('BYE'), 200));
  stage.rest(t);
});

t.test('a callee that invents branches without end is bounded', async (t) => {
  const stage = await Stage.open();
  const { peer, told } = stage;
  stage.call();
  stage.run();
  const invite = peer.last('INVITE');
  for (let i = 0; i < 200; i++) peer.send(responseText(invite, 180, { toTag: `t${i}`, lines: CONTACT }));
  stage.run();
  t.equal(stage.engine.dump()['dialogs'], 32);
  t.equal(told.filter((line) => line === '180 without dialog').length, 168);
  for (let i = 0; i < 200; i++) peer.send(responseText(invite, 200, { toTag: `t${i}`, lines: CONTACT }));
  stage.run();
  t.equal(peer.lines.filter((line) => line === 'BYE').length, 32);
  stage.dialogs[0]?.request('BYE', {}, { onResponse: () => {} });
  stage.rest(t);
});

t.test('requests in a dialog follow the route set, whatever its transports, not the Contact', async (t) => {
  const stage = await Stage.open();
  const proxy = await SimPeer.udp(stage.world, '10.0.0.3');
  const inner: string[] = [];
  await stage.world.host('10.0.0.3').listenStream({ address: '10.0.0.3', port: 5060 }, () => ({
    onData: (chunk) => void inner.push(chunk.toString('latin1')),
    onClose: () => {},
  }));
  const { dialog } = stage.established([
    'Contact: <sip:bob@10.9.9.9:5060>',
    'Record-Route: <sip:10.0.0.2;lr>, <sip:10.0.0.3;transport=tcp;lr>',
  ]);
  stage.run(100);
  t.equal(proxy.got.length, 0);
  t.match(
    inner[0],
    /^ACK sip:bob@10\.9\.9\.9:5060 SIP\/2\.0\r\nVia: SIP\/2\.0\/TCP/,
    'the ACK goes to the last recorder, by TCP',
  );
  t.match(inner[0], /\r\nRoute: <sip:10\.0\.0\.3;transport=tcp;lr>\r\nRoute: <sip:10\.0\.0\.2;lr>\r\n/);
  dialog.request('BYE', {}, { onResponse: () => {} });
  stage.run(100);
  t.match(inner.join(''), /\r\n\r\nBYE sip:bob@10\.9\.9\.9:5060 SIP\/2\.0\r\nVia: SIP\/2\.0\/TCP/);
  stage.engine.stop();
  stage.clock.advance(64_000);
  t.strictSame(stage.errors, []);
});

t.test('a strict router gets its own URI as Request-URI, and the target as the last Route', async (t) => {
  const stage = await Stage.open();
  stage.established(['Contact: <sip:bob@10.9.9.9>', 'Record-Route: <sip:next@10.0.0.9;lr>, <sip:strict@10.0.0.2>']);
  const ack = stage.peer.last('ACK');
  t.equal(ack.uri, 'sip:strict@10.0.0.2');
  t.strictSame(ack.headerAll('Route'), ['<sip:next@10.0.0.9;lr>', '<sip:bob@10.9.9.9>']);
  stage.dialogs[0]?.request('BYE', {}, { onResponse: () => {} });
  stage.rest(t);
});

t.test('a dialog whose target cannot be reached still ends by BYE', async (t) => {
  const stage = await Stage.open();
  const { dialog } = stage.established(['Contact: <sip:bob@10.0.0.2;transport=sctp>']);
  const finals: number[] = [];
  t.match(dialog.request('INFO', {}, { onResponse: () => {} }), { refusal: 'invalid_uri' });
  const bye = dialog.request('BYE', {}, { onResponse: (response) => finals.push(response.status) });
  t.notOk('refusal' in bye);
  stage.run();
  t.strictSame(finals, [503]);
  t.strictSame(stage.told, ['200', 'end:local_bye']);
  stage.rest(t);
});

t.test('requests out of order, with unknown needs, or with unknown methods', async (t) => {
  const stage = await Stage.open();
  const { invite } = stage.established();
  const { peer, told } = stage;
  stage.within(invite, 'INFO', 10);
  stage.within(invite, 'INFO', 9);
  t.strictSame(peer.lines.slice(-2), ['200 INFO', '500 INFO']);
  stage.within(invite, 'FROB', 11);
  t.equal(peer.lines.at(-1), '200 FROB', 'within a dialog that is the user’s');
  stage.within(invite, 'INVITE', 12, { lines: [...CONTACT, 'Require: magic'] });
  t.equal(peer.lines.at(-1), '420 INVITE');
  t.equal(peer.last('420 INVITE').header('Unsupported'), 'magic');
  stage.within(invite, 'INFO', 13, { fromTag: 'stranger' });
  t.equal(peer.lines.at(-1), '481 INFO');
  t.strictSame(told, ['200', 'INFO', 'FROB']);
  stage.within(invite, 'BYE', 20);
  t.equal(peer.lines.at(-1), '200 BYE');
  t.strictSame(told.slice(3), ['BYE', 'end:remote_bye']);
  stage.rest(t);
});

t.test('re-INVITE and BYE overlap: every INVITE gets its final answer, on both sides', async (t) => {
  const stage = await Stage.open();
  const { dialog, invite } = stage.established();
  const { peer, told } = stage;
  // The peer's re-INVITE is unanswered when its BYE comes.
  stage.within(invite, 'INVITE', 2, { lines: CONTACT });
  stage.within(invite, 'INVITE', 3, { lines: CONTACT });
  t.equal(peer.lines.at(-1), '500 INVITE', 'a second one while the first is open');
  t.ok(peer.last('500 INVITE').header('Retry-After'));
  const refused = dialog.invite({}, { onProvisional() {}, onAnswered() {}, onFailed() {} });
  t.match(refused, { refusal: 'request_pending' });
  stage.within(invite, 'BYE', 4);
  t.ok(peer.lines.includes('487 INVITE'));
  t.strictSame(told, ['200', 're-INVITE', 'BYE', 'end:remote_bye']);
  for (const cseq of [2, 3]) stage.within(invite, 'ACK', cseq, { branch: `z9hG4bKINVITE${cseq}` });
  stage.rest(t);

  // Ours is unanswered when the peer's BYE comes; its 200 comes later still.
  const again = await Stage.open();
  const second = again.established();
  second.dialog.invite(
    {},
    {
      onProvisional() {},
      onAnswered: () => again.told.push('re-answered'),
      onFailed: (response, origin) => again.told.push(`re-${response.status}:${origin}`),
    },
  );
  again.run();
  const reinvite = again.peer.last('INVITE');
  again.peer.send(responseText(reinvite, 100));
  again.within(second.invite, 'BYE', 2);
  t.strictSame(again.told, ['200', 'BYE', 're-487:timeout', 'end:remote_bye']);
  const before = again.peer.lines.length;
  again.peer.send(responseText(reinvite, 200, { lines: CONTACT }));
  again.run();
  t.strictSame(again.peer.lines.slice(before), ['ACK'], 'every 2xx gets its ACK');
  again.rest(t);
});

t.test('a peer that answers re-INVITE or INFO with 481 has left; one that never answers as well', async (t) => {
  for (const method of ['INVITE', 'INFO', 'UPDATE'] as const) {
    const stage = await Stage.open();
    const { dialog } = stage.established();
    if (method === 'INVITE') {
      dialog.invite({}, { onProvisional() {}, onAnswered() {}, onFailed: (r) => stage.told.push(`re-${r.status}`) });
    } else dialog.request(method, {}, { onResponse: (r) => stage.told.push(`re-${r.status}`) });
    stage.run();
    if (method === 'UPDATE') stage.run(32_000);
    else stage.peer.send(responseText(stage.peer.last(method), 481));
    stage.run();
    t.strictSame(stage.told, ['200', method === 'UPDATE' ? 're-408' : 're-481', 'end:lost'], method);
    t.equal(stage.peer.lines.at(-1), 'BYE');
    stage.rest(t);
  }
});

t.test(
  'an UPDATE before the answer to another gets 500 with Retry-After; the first is answered all the same',
  async (t) => {
    const stage = await Stage.open();
    const { dialog, invite } = stage.established();
    const updates: IncomingRequest[] = [];
    dialog.listener = { onRequest: (request) => updates.push(request), onInvite() {}, onTerminated() {} };
    stage.within(invite, 'UPDATE', 2);
    stage.within(invite, 'UPDATE', 3);
    t.equal(updates.length, 1);
    t.match(stage.peer.last('500 UPDATE').header('Retry-After'), /^(?:[0-9]|10)$/);
    updates[0]?.respond(200);
    stage.run();
    t.equal(stage.peer.last('200 UPDATE').cseq, '2 UPDATE');
    stage.within(invite, 'UPDATE', 4);
    t.equal(updates.length, 2, 'and then the next');
    updates[1]?.respond(488);
    dialog.request('BYE', {}, { onResponse: () => {} });
    stage.run();
    t.equal(stage.peer.lines.at(-1), 'BYE');
  },
);

t.test('a target refresh counts when the re-INVITE is accepted; a Contact that is no SIP URI does not', async (t) => {
  const stage = await Stage.open();
  const { dialog, invite } = stage.established();
  stage.within(invite, 'INVITE', 2, { lines: ['Contact: <sip:new@10.0.0.2:5060>'] });
  stage.invites.at(-1)?.respond(488);
  stage.within(invite, 'ACK', 2, { branch: 'z9hG4bKINVITE2' });
  t.equal(dialog.remoteTarget, 'sip:bob@10.0.0.2:5060');
  stage.within(invite, 'INVITE', 3, { lines: ['Contact: <sip:new@10.0.0.2:5060>'] });
  stage.invites.at(-1)?.respond(200);
  stage.within(invite, 'ACK', 3, { branch: 'z9hG4bKack3' });
  t.equal(dialog.remoteTarget, 'sip:new@10.0.0.2:5060');
  stage.within(invite, 'UPDATE', 4, { lines: ['Contact: <tel:123>'] });
  t.equal(dialog.remoteTarget, 'sip:new@10.0.0.2:5060');
  dialog.request('BYE', {}, { onResponse: () => {} });
  stage.rest(t);
});

t.test(
  'the UAS side: no BYE before the answer; an early dialog ends with the INVITE’s refusal or the caller’s BYE',
  async (t) => {
    const stage = await Stage.open();
    const { peer, told } = stage;
    peer.send(requestText({ method: 'INVITE', branch: 'z9hG4bK-i' }));
    stage.run();
    stage.invites[0]?.respond(180);
    const dialog = stage.adopt(stage.invites[0]?.dialog);
    t.equal(dialog.state, 'early');
    t.match(dialog.request('BYE', {}, { onResponse() {} }), { refusal: 'request_pending' });
    t.match(dialog.invite({}, { onProvisional() {}, onAnswered() {}, onFailed() {} }), { refusal: 'request_pending' });
    stage.invites[0]?.respond(480);
    t.equal(dialog.state, 'terminated');
    stage.run();
    peer.send(requestText({ method: 'ACK', branch: 'z9hG4bK-i' }));
    peer.send(requestText({ method: 'INVITE', branch: 'z9hG4bK-j', callId: 'two' }));
    stage.run();
    stage.invites[1]?.respond(180);
    peer.send(requestText({ method: 'BYE', callId: 'two', cseq: 2, toTag: stage.invites[1]?.dialog?.localTag ?? '' }));
    stage.run();
    t.strictSame(peer.lines.slice(-2), ['200 BYE', '487 INVITE']);
    peer.send(requestText({ method: 'ACK', branch: 'z9hG4bK-j', callId: 'two' }));
    t.strictSame(told, ['BYE'], 'told by onCancel, with the BYE');
    stage.rest(t);
  },
);

t.test('our BYE of an early dialog crosses its 2xx: acknowledged, and the attempt ends once', async (t) => {
  const stage = await Stage.open();
  const { peer, told } = stage;
  const early: Dialog[] = [];
  stage.engine.invite(
    { uri: 'sip:bob@10.0.0.2' },
    {
      onProvisional: (_response, dialog) => void (dialog !== undefined && early.push(dialog)),
      onAnswered: () => told.push('answered'),
      onFailed: (response) => told.push(String(response.status)),
    },
  );
  stage.run();
  const invite = peer.last('INVITE');
  peer.send(responseText(invite, 180, { toTag: 'b', lines: CONTACT }));
  stage.run();
  early[0]?.request('BYE', {}, { onResponse: () => {} });
  peer.send(responseText(invite, 200, { toTag: 'b', lines: CONTACT }));
  stage.run();
  t.strictSame(told, ['487']);
  t.strictSame(peer.lines, ['INVITE', 'BYE', 'ACK']);
  stage.rest(t);
});

t.test('a BYE before the ACK of a 2xx sends that ACK first', async (t) => {
  const stage = await Stage.open();
  stage.engine.invite(
    { uri: 'sip:bob@10.0.0.2' },
    {
      onProvisional() {},
      onAnswered: (_response, dialog) => void dialog.request('BYE', {}, { onResponse: () => {} }),
      onFailed() {},
    },
  );
  stage.run();
  stage.peer.send(responseText(stage.peer.last('INVITE'), 200, { toTag: 'b', lines: CONTACT }));
  stage.run();
  t.strictSame(stage.peer.lines, ['INVITE', 'ACK', 'BYE']);
  stage.rest(t);
});

t.test('reliable provisionals count in their turn only', async (t) => {
  const stage = await Stage.open();
  stage.call();
  stage.run();
  const invite = stage.peer.last('INVITE');
  const reliable = (rseq: number): void => {
    stage.peer.send(responseText(invite, 183, { toTag: 'b', lines: [...CONTACT, 'Require: 100rel', `RSeq: ${rseq}`] }));
    stage.run();
  };
  for (const rseq of [5, 5, 7, 6, 7]) reliable(rseq);
  t.equal(stage.told.length, 3);
  stage.peer.send(responseText(invite, 486, { toTag: 'b' }));
  stage.rest(t);
});

t.test(
  'a name with several addresses: the next is tried when one is closed, and none is dialled before its turn',
  async (t) => {
    for (const transport of ['udp', 'tcp'] as const) {
      const stage = await Stage.open();
      stage.world.host('10.0.0.7');
      stage.world.host('10.0.0.8');
      stage.resolver.set('pbx.example', ['10.0.0.7', '10.0.0.2', '10.0.0.8']);
      const dialled: string[] = [];
      const accept = async (): Promise<void> => {
        await stage.world.host('10.0.0.2').listenStream({ address: '10.0.0.2', port: 5060 }, () => ({
          onData: (chunk) => void dialled.push(chunk.toString('latin1', 0, 6)),
          onClose: () => {},
        }));
      };
      if (transport === 'tcp') await accept();
      stage.call(`sip:bob@pbx.example;transport=${transport}`);
      stage.run(2_000);
      if (transport === 'udp') t.equal(stage.peer.lines[0], 'INVITE');
      else t.equal(dialled[0], 'INVITE');
      t.equal(
        stage.world.trace.some((packet) => packet.to.address === '10.0.0.8'),
        false,
        'the third was left alone',
      );
      stage.engine.stop();
      stage.clock.advance(64_000);
      t.strictSame(stage.told, ['503:transport']);
    }
    const stage = await Stage.open();
    stage.world.host('10.0.0.7');
    stage.resolver.set('dead.example', ['10.0.0.7', '10.0.0.7']);
    stage.call('sip:bob@dead.example');
    stage.call('sip:bob@nowhere.example');
    stage.run(1_000);
    t.strictSame(stage.told.toSorted(), ['503:dns', '503:transport']);
    stage.rest(t);
  },
);

t.test('IPv6: brackets where they belong, none where they do not', async (t) => {
  const stage = await Stage.open('2001:db8::1', '2001:db8::2');
  const { peer } = stage;
  stage.call('sip:bob@[2001:DB8:0::2]:5060');
  stage.run();
  const invite = peer.last('INVITE');
  t.match(invite.header('Via'), /^SIP\/2\.0\/UDP \[2001:db8::1\]:5060;/);
  t.equal(invite.header('Contact'), '<sip:[2001:db8::1]:5060>');
  peer.send(responseText(invite, 200, { toTag: 'b', lines: ['Contact: <sip:bob@[2001:db8::2]:5060>'] }), '2001:db8::1');
  stage.run();
  t.strictSame(stage.told, ['200']);
  t.equal(peer.last('ACK').uri, 'sip:bob@[2001:db8::2]:5060');
  stage.dialogs[0]?.request('BYE', {}, { onResponse: () => {} });
  stage.run();
  peer.send(responseText(peer.last('BYE'), 200), '2001:db8::1');
  stage.rest(t);
});
