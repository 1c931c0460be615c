/** Ways back to registered contacts: connections that they opened, and the two ends of their datagrams. */
import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { SimResolver, SimWorld } from '../../src/net/index.js';
import { type Dialog, type SipEngine, createEngine } from '../../src/sip/index.js';
import { SimEngines } from '../support/simEngines.js';

const CONTACT = 'sip:alice@nowhere.invalid;transport=tcp';

for (const transport of ['udp', 'tcp'] as const) {
  t.test(`a call over ${transport} goes back where the REGISTER came from, ACK and BYE too`, async (t) => {
    const sim = new SimEngines(5);
    const flows: string[] = [];
    const closed: string[] = [];
    const heard: string[] = [];
    const us = await sim.engine(
      '10.0.0.1',
      {
        onInvite: (invite) => void invite.respond(500),
        onRequest: (request) => {
          flows.push(request.keepFlow?.() ?? '');
          request.respond(200);
        },
        onFlowClosed: (flow) => closed.push(flow),
      },
      transport,
    );
    const phone = await sim.engine(
      '10.0.0.2',
      {
        onInvite: (invite) => {
          heard.push(`INVITE ${invite.request.uri}`);
          invite.listener = { onCancel: () => {}, onAck: () => heard.push('ACK') };
          // Behind NAT: an address that means nothing outside.
          invite.respond(200, { contact: '<sip:alice@192.168.1.7:5060>' });
          const { dialog } = invite;
          if (dialog !== undefined) {
            dialog.listener = {
              onRequest: (request) => {
                heard.push(request.request.method);
                request.respond(200);
              },
              onInvite: () => {},
              onTerminated: () => {},
            };
          }
        },
        onRequest: (request) => {
          heard.push(request.request.method);
          request.respond(200);
        },
      },
      transport,
    );
    const registered: number[] = [];
    phone.request(
      { method: 'REGISTER', uri: `sip:10.0.0.1;transport=${transport}` },
      { onResponse: ({ status }) => registered.push(status) },
    );
    sim.clock.advance(200);
    t.strictSame(registered, [200]);
    const [flow = ''] = flows;
    t.match(flow, `${transport}/10.0.0.1:5060>10.0.0.2:`);

    const dialogs: Dialog[] = [];
    const sent = us.invite(
      { uri: CONTACT, flow, from: '<sip:us@localhost>', to: '<sip:+91804@localhost>' },
      {
        onProvisional: () => {},
        onAnswered: (_response, dialog) => {
          dialogs.push(dialog);
          dialog.ack();
        },
        onFailed: () => {},
      },
    );
    t.notOk('refusal' in sent);
    sim.clock.advance(200);
    const ended: number[] = [];
    dialogs[0]?.request('BYE', {}, { onResponse: ({ status }) => ended.push(status) });
    sim.clock.advance(200);
    t.strictSame(heard, [`INVITE ${CONTACT}`, 'ACK', 'BYE']);
    t.strictSame(ended, [200]);

    t.strictSame(closed, []);
    phone.stop();
    sim.clock.advance(200);
    const again = us.invite(
      { uri: CONTACT, flow },
      { onProvisional: () => {}, onAnswered: () => {}, onFailed: () => {} },
    );
    if (transport === 'tcp') {
      t.strictSame(closed, [flow], 'told once');
      t.match(again, { refusal: 'flow_gone' });
    } else {
      t.strictSame(closed, [], 'a datagram’s way has no end');
      t.notOk('refusal' in again);
    }
    us.stop();
    t.strictSame(sim.errors, []);
  });
}

t.test('a flow is its connection’s alone, though another comes from the same port later', async (t) => {
  const clock = new ManualClock();
  const random = new SeededRandom(3);
  const world = new SimWorld({ clock, random });
  const flows: string[] = [];
  const engine: SipEngine = await createEngine({
    network: world.host('10.0.0.1'),
    clock,
    random,
    resolver: new SimResolver({}, { clock }),
    listen: [{ transport: 'tcp', address: '10.0.0.1', port: 5060 }],
    handler: {
      onInvite: () => {},
      onRequest: (request) => {
        flows.push(request.keepFlow?.() ?? '', request.keepFlow?.() ?? '');
        request.respond(200);
      },
    },
  });
  const connect = (cseq: number): { close(): void } => {
    const stream = world
      .host('10.0.0.2')
      .connectStream({ address: '10.0.0.1', port: 5060 }, { onData: () => {}, onClose: () => {} });
    const text = [
      'REGISTER sip:10.0.0.1 SIP/2.0',
      `Via: SIP/2.0/TCP 10.0.0.2;branch=z9hG4bK${cseq}`,
      'From: <sip:a@b>;tag=1',
      'To: <sip:a@b>',
      `Call-ID: c${cseq}`,
      `CSeq: ${cseq} REGISTER`,
      'Max-Forwards: 70',
      'Content-Length: 0',
    ].join('\r\n');
    stream.write(Buffer.from(`${text}\r\n\r\n`));
    clock.advance(100);
    return stream;
  };
  connect(1).close();
  clock.advance(100);
  connect(2);
  const [first = '', same, second = ''] = flows;
  t.equal(first, same, 'one name for one connection');
  t.not(first.split('#')[1], second.split('#')[1]);
  const listener = { onProvisional: () => {}, onAnswered: () => {}, onFailed: () => {} };
  t.match(engine.invite({ uri: CONTACT, flow: first }, listener), { refusal: 'flow_gone' });
  t.notOk('refusal' in engine.invite({ uri: CONTACT, flow: second }, listener));
  for (const nonsense of ['', 'udp/10.0.0.1:5060>', 'tcp/10.0.0.1:5060>10.0.0.2:1', 'x>y:z']) {
    t.match(engine.invite({ uri: CONTACT, flow: nonsense }, listener), { refusal: 'flow_gone' }, nonsense);
  }
  engine.stop();
});

t.test('Route fields are sent as they are given, and the first is the next hop', async (t) => {
  const sim = new SimEngines(6);
  const seen: (string | undefined)[] = [];
  const us = await sim.engine('10.0.0.1', { onInvite: () => {}, onRequest: () => {} });
  await sim.engine('10.0.0.3', {
    onInvite: (invite) => {
      seen.push(invite.request.uri, ...invite.request.headerList('Route'));
      invite.respond(486);
    },
    onRequest: () => {},
  });
  const route = ['<sip:token@10.0.0.3;lr;ob>', '<sip:10.0.0.4;lr>'];
  us.invite(
    { uri: 'sip:pbx@192.168.7.7', route },
    { onProvisional: () => {}, onAnswered: () => {}, onFailed: () => {} },
  );
  sim.clock.advance(200);
  t.strictSame(seen, ['sip:pbx@192.168.7.7', ...route]);
  sim.clock.advance(70_000);
  t.strictSame(sim.alive().dialogs, 0);
});
