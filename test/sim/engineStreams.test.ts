/** The engine's streams: lost in each state, bounded in number and patience, and what a peer may put on the wire. */
import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { SimResolver, SimWorld } from '../../src/net/index.js';
import { type Dialog, type IncomingInvite, type SipEngine, createEngine } from '../../src/sip/index.js';
import { SimPeer, SimStreamPeer, requestText } from '../support/simPeer.js';

const VIA = 'SIP/2.0/TCP 10.0.0.2:5060;branch=z9hG4bK';

class Stage {
  readonly clock = new ManualClock();
  readonly random = new SeededRandom(1);
  readonly world = new SimWorld({ clock: this.clock, random: this.random });
  readonly told: string[] = [];
  readonly errors: unknown[] = [];
  readonly invites: IncomingInvite[] = [];
  engine!: SipEngine;
  /** What streams that we accepted at 10.0.0.2:5060 have brought, one string each. */
  readonly dialled: string[] = [];

  static async open(maxConnections = 4096): Promise<Stage> {
    const stage = new Stage();
    const { clock, random, world } = stage;
    stage.engine = await createEngine({
      ...{ clock, random, maxConnections, network: world.host('10.0.0.1') },
      resolver: new SimResolver({}, { clock }),
      listen: (['tcp', 'udp'] as const).map((transport) => ({ transport, address: '10.0.0.1', port: 5060 })),
      handler: {
        onInvite: (invite) => void stage.invites.push(invite),
        onRequest: (request) => {
          stage.told.push(request.request.method);
          request.respond(200);
        },
      },
      onEvent: (event) => {
        if (event.type === 'user_error') stage.errors.push(event.error);
      },
    });
    return stage;
  }

  run(ms = 100): void {
    this.clock.advance(ms);
  }

  async accept(
    answer?: (connection: { write(data: Buffer): boolean; close(): void }, text: string) => void,
  ): Promise<void> {
    await this.world.host('10.0.0.2').listenStream({ address: '10.0.0.2', port: 5060 }, (connection) => {
      const at = this.dialled.push('') - 1;
      return {
        onData: (chunk) => {
          this.dialled[at] += chunk.toString('latin1');
          answer?.(connection, this.dialled[at] ?? '');
        },
        onClose: () => {},
      };
    });
  }

  ask(method = 'OPTIONS'): void {
    this.engine.request(
      { method, uri: 'sip:10.0.0.2;transport=tcp' },
      { onResponse: (response, origin) => this.told.push(`${response.status}:${origin}`) },
    );
  }

  get connections(): number {
    return (this.engine.dump()['transport'] as { connections: number }).connections;
  }

  rest(t: Pick<typeof import('tap').t, 'strictSame'>): void {
    this.clock.advance(64_000);
    const { clientTransactions, serverTransactions, dialogs } = this.engine.dump();
    t.strictSame([clientTransactions, serverTransactions, dialogs], [0, 0, 0]);
    this.engine.stop();
    this.clock.advance(10_000);
    t.strictSame(this.clock.dump(), {});
    t.strictSame(this.errors, []);
  }
}

t.test('a connection that is refused or lost ends those who wait for a first answer, at once', async (t) => {
  const stage = await Stage.open();
  stage.world.host('10.0.0.2');
  stage.ask();
  stage.run(500);
  t.strictSame(stage.told, ['503:transport'], 'refused');
  await stage.accept();
  stage.ask();
  stage.ask('INFO');
  stage.engine.invite(
    { uri: 'sip:10.0.0.2;transport=tcp' },
    {
      onProvisional() {},
      onAnswered() {},
      onFailed: (response, origin) => stage.told.push(`${response.status}:${origin}`),
    },
  );
  stage.run(500);
  t.equal(stage.dialled.length, 1, 'one connection for all');
  stage.world.resetStreams('10.0.0.1', '10.0.0.2');
  stage.run(500);
  t.strictSame(stage.told.slice(1), ['503:transport', '503:transport', '503:transport']);
  stage.ask();
  stage.run(500);
  t.equal(stage.dialled.length, 2, 'the next request dials anew');
  stage.rest(t);
});

t.test('a peer that closes after its answer is dialled anew, even while the close is under way', async (t) => {
  const stage = await Stage.open();
  await stage.accept((connection, text) => {
    if (!text.endsWith('\r\n\r\n')) return;
    const head = (name: string): string => new RegExp(`\r\n(${name}: [^\r]*)`).exec(text)?.[1] ?? '';
    const fields = ['Via', 'From', 'To', 'Call-ID', 'CSeq'].map(head).join('\r\n');
    connection.write(Buffer.from(`SIP/2.0 200 OK\r\n${fields}\r\nContent-Length: 0\r\n\r\n`));
    connection.close();
  });
  for (let i = 0; i < 3; i++) {
    stage.ask();
    stage.run(5);
  }
  stage.run(5_000);
  t.strictSame(stage.told, ['200:network', '200:network', '200:network']);
  stage.rest(t);
});

t.test(
  'an answer whose connection is gone takes a new one to the Via’s port; a stateless refusal does not',
  async (t) => {
    const stage = await Stage.open();
    await stage.accept();
    const caller = new SimStreamPeer(stage.world, '10.0.0.2');
    caller.send(requestText({ method: 'INVITE', via: `${VIA}1` }));
    stage.run();
    t.strictSame(caller.lines, ['100 INVITE']);
    caller.connection.close();
    stage.run(5_000);
    t.ok(caller.closed);
    stage.invites[0]?.respond(180);
    stage.invites[0]?.respond(486);
    stage.run();
    t.match(stage.dialled[0], /^SIP\/2\.0 180 [^]*SIP\/2\.0 486 /);
    t.equal(stage.dialled.length, 1);
    const rude = new SimStreamPeer(stage.world, '10.0.0.2');
    rude.send(requestText({ method: 'BYE', toTag: 'none', via: `${VIA}2` }));
    rude.connection.close();
    stage.run(5_000);
    t.equal(stage.dialled.length, 1);
    stage.rest(t);
  },
);

t.test('a dialog goes on over another connection when the one it came by is gone', async (t) => {
  const stage = await Stage.open();
  await stage.accept();
  const caller = new SimStreamPeer(stage.world, '10.0.0.2');
  caller.send(requestText({ method: 'INVITE', via: `${VIA}1`, lines: ['Contact: <sip:a@10.0.0.2;transport=tcp>'] }));
  stage.run();
  const responded = stage.invites[0]?.respond(200);
  t.equal(responded?.ok, true);
  const dialog = stage.invites[0]?.dialog as Dialog;
  caller.send(requestText({ method: 'ACK', toTag: dialog.localTag, via: `${VIA}a` }));
  stage.run();
  dialog.request('INFO', {}, { onResponse: () => {} });
  stage.run();
  t.equal(caller.lines.at(-1), 'INFO', 'over the connection that is open');
  t.equal(stage.dialled.length, 0);
  // The peer is closing: the BYE written meanwhile is lost with it, and tries the Contact instead.
  caller.connection.close();
  dialog.request('BYE', {}, { onResponse: (response, origin) => stage.told.push(`BYE ${response.status}:${origin}`) });
  stage.run(5_000);
  t.match(
    stage.dialled[0],
    /^INFO [^]*\r\nBYE sip:a@10\.0\.0\.2;transport=tcp /,
    'and so does the INFO without answer',
  );
  stage.rest(t);
  t.strictSame(stage.told, ['BYE 408:timeout']);
});

t.test(
  'streams that say nothing, or never finish a message, are closed after 30 s; pings do not save them',
  async (t) => {
    const stage = await Stage.open();
    const silent = new SimStreamPeer(stage.world, '10.0.0.2');
    const pinging = new SimStreamPeer(stage.world, '10.0.0.2');
    const slow = new SimStreamPeer(stage.world, '10.0.0.2');
    const proven = new SimStreamPeer(stage.world, '10.0.0.2');
    proven.send(requestText({ method: 'OPTIONS', via: `${VIA}1` }));
    slow.send(requestText({ method: 'OPTIONS', via: `${VIA}2`, callId: 'slow' }));
    for (let i = 0; i < 29; i++) {
      stage.run(1_000);
      pinging.send('\r\n\r\n');
      slow.send(i === 0 ? 'OPTIONS sip:x SIP/2.0\r\nVia: ' : 'x');
    }
    t.equal(stage.connections, 4);
    stage.run(6_000);
    t.strictSame([silent.closed, pinging.closed, slow.closed, proven.closed], [true, true, true, false]);
    stage.run(600_000);
    t.notOk(proven.closed, 'who has said something whole may stay');
    stage.rest(t);
  },
);

t.test('the number of connections is bounded: the silent give way, then newcomers are refused', async (t) => {
  const stage = await Stage.open(4);
  const silent = [0, 1, 2].map(() => new SimStreamPeer(stage.world, '10.0.0.3'));
  const busy = new SimStreamPeer(stage.world, '10.0.0.2');
  stage.run();
  const speak = (peer: SimStreamPeer, id: string): void => {
    peer.send(requestText({ method: 'OPTIONS', callId: id, via: `${VIA}${id}` }));
    stage.run(3_000);
  };
  speak(busy, 'b');
  const next = new SimStreamPeer(stage.world, '10.0.0.4');
  speak(next, 'n');
  t.strictSame(next.lines, ['200 OPTIONS']);
  t.strictSame(
    silent.map((peer) => peer.closed),
    [true, false, false],
    'the oldest of the silent',
  );
  silent.slice(1).forEach((peer, i) => speak(peer, `s${i}`));
  const late = new SimStreamPeer(stage.world, '10.0.0.5');
  speak(late, 'l');
  t.ok(late.closed, 'all others are in use');
  t.equal(stage.connections, 4);
  stage.run(61_000);
  const later = new SimStreamPeer(stage.world, '10.0.0.5');
  speak(later, 'm');
  t.strictSame(later.lines, ['200 OPTIONS'], 'one that was quiet for a minute gave way');
  stage.rest(t);
});

t.test('large and strange messages on both transports: an answer or silence, never an exception', async (t) => {
  const stage = await Stage.open();
  const peer = await SimPeer.udp(stage.world, '10.0.0.2');
  const many = (count: number, line: (i: number) => string): string[] =>
    Array.from({ length: count }, (_, i) => line(i));
  const contact = 'Contact: <sip:a@10.0.0.2>';
  const shapes: [string, readonly string[], string, RegExp][] = [
    ['190 headers', [contact, ...many(180, (i) => `X-H${i}: v`)], '', /^100/],
    ['300 headers', [contact, ...many(300, (i) => `X-H${i}: v`)], '', /^(400|431|513)/],
    ['a body of 50 kB', [contact], 'x'.repeat(50_000), /^100/],
    ['a body of 65 kB', [contact], 'x'.repeat(65_300), /^(100|413|513|400)/],
    ['one header of 60 kB', [contact, `X: ${'y'.repeat(60_000)}`], '', /^(100|400|431|513)/],
    ['a comma list of 10,000', [contact, `Supported: ${many(5_000, () => 'a').join(',')}`], '', /^(100|400|513)/],
    ['a Require of 10,000', [contact, `Require: ${many(5_000, () => 'a').join(',')}`], '', /^(420|400|513)/],
    ['a Record-Route of 1,000', [contact, `Record-Route: ${many(1_000, (i) => `<sip:10.0.0.${i % 250};lr>`).join(', ')}`], '', /^(100|400|513)/], // prettier-ignore
    ['a Via of 500', [contact, `Via: ${many(500, (i) => `SIP/2.0/UDP h${i}`).join(', ')}`], '', /^(100|400|513)/],
    ['deep parameters', [`Contact: <sip:a@10.0.0.2${';p'.repeat(5_000)}>`], '', /^(100|400|513)/],
    ['quotes without end', [contact, `Subject: "${'\\"'.repeat(10_000)}`], '', /^(100|400|513)/],
    ['nested brackets', [`Contact: ${'<'.repeat(5_000)}`], '', /^400/],
  ];
  for (const [name, lines, body, wanted] of shapes) {
    peer.got.length = 0;
    const invites = stage.invites.length;
    const own = { method: 'INVITE', lines, body, callId: name.replaceAll(' ', '-') };
    peer.send(requestText({ ...own, branch: `z9hG4bK${own.callId}` }));
    stage.run();
    if (requestText(own).length < 65_507) t.match(peer.lines[0], wanted, `${name} by udp`);
    const stream = new SimStreamPeer(stage.world, '10.0.0.3');
    stream.send(requestText({ ...own, callId: `${own.callId}-t`, via: `${VIA}${own.callId}` }));
    stage.run(3_000);
    t.match(stream.lines[0], wanted, `${name} by tcp`);
    // Whatever was let in can be answered, and its dialog used.
    for (const invite of stage.invites.slice(invites)) {
      invite.respond(183, {});
      invite.respond(200);
      invite.dialog?.request('BYE', {}, { onResponse: () => {} });
    }
    stage.run(3_000);
  }
  stage.rest(t);
});

t.test('noise on both transports', async (t) => {
  const stage = await Stage.open();
  const peer = await SimPeer.udp(stage.world, '10.0.0.2');
  const dice = new SeededRandom(7);
  const base = requestText({ method: 'INVITE' });
  for (let round = 0; round < 600; round++) {
    const data = Buffer.from(base.replaceAll('call', `call${round}`), 'latin1');
    for (let flips = Math.floor(dice.float() * 6); flips >= 0; flips--) {
      data[Math.floor(dice.float() * data.length)] = Math.floor(dice.float() * 256);
    }
    const cut = dice.float() < 0.3 ? data.subarray(0, Math.floor(dice.float() * data.length)) : data;
    peer.send(cut);
    if (round % 10 === 0) {
      const stream = new SimStreamPeer(stage.world, '10.0.0.3');
      stream.connection.write(cut);
      stage.run(50);
      stream.connection.close();
    }
    stage.run(1);
    for (const invite of stage.invites.splice(0)) invite.respond(dice.float() < 0.5 ? 200 : 404);
  }
  peer.send(Buffer.alloc(0));
  peer.send(Buffer.alloc(60_000));
  stage.clock.advance(200_000);
  stage.rest(t);
});
