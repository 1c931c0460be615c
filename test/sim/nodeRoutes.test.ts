/** Calls of one node for telephones that are connected to another: sealed routes, in-dialog requests, and who may use them. */
import t, { type Test } from 'tap';
import { SimResolver } from '../../src/net/index.js';
import {
  type Dialog,
  type DialogListener,
  type EngineHandler,
  type IncomingInvite,
  type OutgoingInvite,
  type OutgoingInviteListener,
  type SipEngine,
  type TransportName,
  createEngine,
  flowToNode,
  leadsToNode,
} from '../../src/sip/index.js';
import { SimEngines } from '../support/simEngines.js';

/** Behind NAT, or a browser: nobody finds it by this. */
const CONTACT = 'sip:alice@nowhere.invalid';
/** Of the nodes' own network, and of the world. */
const A = { nodes: '10.1.0.1', world: '10.0.0.1' } as const;
const B = { nodes: '10.1.0.2', world: '10.0.0.2' } as const;
const PHONE = '192.0.2.9';
const STRANGER = '192.0.2.66';

const SILENT: OutgoingInviteListener = { onProvisional: () => {}, onAnswered: () => {}, onFailed: () => {} };

interface Registered {
  readonly flow: string;
  readonly route: string;
}

/** Node A, where a telephone has registered, node B, which has a call for it, and the telephone. */
class Town {
  readonly sim = new SimEngines(7);
  readonly transport: TransportName;
  readonly between: 'udp' | 'tcp';
  /** What the telephone hears, and what it says of each INVITE. */
  readonly heard: string[] = [];
  readonly invites: IncomingInvite[] = [];
  readonly closed: string[] = [];
  /** Requests outside dialogs that the users of the nodes' engines got. */
  readonly offered: string[] = [];
  onInvite: (invite: IncomingInvite) => void = (invite) => this.answer(invite);
  a!: SipEngine;
  b!: SipEngine;
  phone!: SipEngine;
  registered!: Registered;

  constructor(transport: TransportName, between: 'udp' | 'tcp') {
    this.transport = transport;
    this.between = between;
  }

  static async open(transport: TransportName, between: 'udp' | 'tcp'): Promise<Town> {
    const town = new Town(transport, between);
    town.a = await town.node(A);
    town.b = await town.node(B);
    town.phone = await town.engine([{ transport, address: PHONE }], {
      onInvite: (invite) => {
        town.heard.push(`INVITE ${invite.request.uri}`);
        town.invites.push(invite);
        town.onInvite(invite);
      },
      onRequest: (request) => void request.respond(200),
    });
    town.register();
    return town;
  }

  /** A node's engine: the world's listener, and that of the nodes. */
  node(place: { readonly nodes: string; readonly world: string }): Promise<SipEngine> {
    const handler: EngineHandler = {
      onInvite: (invite) => {
        this.offered.push('INVITE');
        invite.respond(404);
      },
      onRequest: (request) => {
        this.offered.push(request.request.method);
        const flow = request.keepFlow?.() ?? '';
        this.registered = { flow, route: request.nodeRoute?.(flow) ?? '' };
        request.respond(200);
      },
      onFlowClosed: (flow) => this.closed.push(flow),
    };
    const admits = (address: string): boolean => address === A.nodes || address === B.nodes;
    const { transport, between } = this;
    return this.engine(
      [
        { transport, address: place.world },
        { transport: between, address: place.nodes, port: 5070, admits },
      ],
      handler,
    );
  }

  async engine(
    listen: readonly {
      readonly transport: TransportName;
      readonly address: string;
      readonly port?: number;
      readonly admits?: (address: string) => boolean;
    }[],
    handler: EngineHandler,
  ): Promise<SipEngine> {
    const { clock, random, world, errors } = this.sim;
    const engine = await createEngine({
      network: world.host(listen[0]?.address ?? '', ...listen.slice(1).map(({ address }) => address)),
      ...{ clock, random, handler, nodeSilenceMs: 3000 },
      resolver: new SimResolver({}, { clock }),
      listen: listen.map((spec) => ({ port: 5060, ...spec })),
      onEvent: (event) => {
        if (event.type === 'user_error') errors.push(event.error);
      },
    });
    this.sim.engines.push(engine);
    return engine;
  }

  register(): void {
    const uri = `sip:${A.world};transport=${this.transport}`;
    this.phone.request({ method: 'REGISTER', uri }, { onResponse: () => {} });
    this.pass();
  }

  answer(invite: IncomingInvite): void {
    invite.listener = {
      onCancel: () => this.heard.push('CANCEL'),
      onAck: () => this.heard.push('ACK'),
    };
    invite.respond(200, { contact: '<sip:alice@192.168.1.7:5060>' });
    if (invite.dialog !== undefined) invite.dialog.listener = this.listener(this.heard);
  }

  listener(heard: string[]): DialogListener {
    return {
      onRequest: (request) => {
        heard.push(request.request.method);
        request.respond(200);
      },
      onInvite: (invite) => {
        heard.push('re-INVITE');
        invite.listener = { onCancel: () => {}, onAck: () => heard.push('ACK') };
        invite.respond(200);
      },
      onTerminated: (end) => heard.push(end),
    };
  }

  /** As the node with the call sends it. */
  call(listener: OutgoingInviteListener, { route } = this.registered): OutgoingInvite {
    const sent = this.b.invite(
      { uri: CONTACT, flow: flowToNode(route), route: [route], from: '<sip:us@localhost>', to: '<sip:+91@localhost>' },
      listener,
    );
    if ('refusal' in sent) throw new Error(sent.detail);
    return sent;
  }

  /** A call that is up. @returns B's side, and what it hears */
  established(): { readonly dialog: Dialog; readonly heard: string[] } {
    const up: Dialog[] = [];
    const heard: string[] = [];
    this.call({
      ...SILENT,
      onAnswered: (_response, dialog) => {
        up.push(dialog);
        dialog.listener = this.listener(heard);
        dialog.ack();
      },
    });
    this.pass();
    const [dialog] = up;
    if (dialog === undefined) throw new Error('nobody answered');
    return { dialog, heard };
  }

  /** @returns the status that the call ended with */
  failure(registered = this.registered): number {
    let status = 0;
    this.call({ ...SILENT, onFailed: (response) => (status = response.status) }, registered);
    this.pass();
    return status;
  }

  pass(ms = 400): void {
    this.sim.clock.advance(ms);
  }

  atRest(t: Test): void {
    this.pass(70_000);
    const { clientTransactions, serverTransactions, dialogs } = this.sim.alive();
    t.strictSame(
      { clientTransactions, serverTransactions, dialogs },
      {
        clientTransactions: 0,
        serverTransactions: 0,
        dialogs: 0,
      },
    );
    for (const engine of [this.a, this.b]) t.equal(engine.dump()['proxied'], 0);
    t.strictSame(this.sim.errors, []);
    for (const engine of this.sim.engines) engine.stop();
  }
}

for (const transport of ['udp', 'tcp'] as const) {
  for (const between of ['udp', 'tcp'] as const) {
    void t.test(`a phone on ${transport} at one node is called by another over ${between}`, async (t) => {
      const town = await Town.open(transport, between);
      const { route } = town.registered;
      t.match(route, /^<sip:10\.1\.0\.1:5070(;transport=tcp)?;lr;seal=[0-9a-f]{24};flow=[\w-]+>$/);
      t.ok(leadsToNode(flowToNode(route)));

      const first = town.established();
      t.strictSame(town.heard, [`INVITE ${CONTACT}`, 'ACK']);
      const [invite] = town.invites;
      t.equal(invite?.request.count('Route'), 0, 'the route of the nodes is nobody else’s');
      t.notOk(String(invite?.request.toBuffer()).includes(route.slice(1, -1)));
      t.equal(invite?.request.headerList('Record-Route').length, 2, 'each side gets the route that it can use');
      town.invites[0]?.dialog?.request('INFO', {}, { onResponse: ({ status }) => town.heard.push(`INFO ${status}`) });
      town.pass();
      first.dialog.invite({}, { ...SILENT, onAnswered: (_response, dialog) => void dialog.ack() });
      town.pass();
      t.strictSame(first.heard, ['INFO']);
      t.strictSame(town.heard.splice(0), [`INVITE ${CONTACT}`, 'ACK', 'INFO 200', 're-INVITE', 'ACK']);
      first.dialog.request('BYE', {}, { onResponse: ({ status }) => first.heard.push(`BYE ${status}`) });
      town.pass();
      t.strictSame(town.heard.splice(0), ['BYE', 'remote_bye']);
      t.same(first.heard.splice(1).sort(), ['BYE 200', 'local_bye']);

      const second = town.established();
      town.invites[1]?.dialog?.request('BYE', {}, { onResponse: ({ status }) => town.heard.push(`BYE ${status}`) });
      town.pass();
      t.strictSame(second.heard, ['BYE', 'remote_bye']);
      t.ok(town.heard.includes('BYE 200'));
      t.strictSame(town.offered, ['REGISTER'], 'the node between takes no part in the calls');
      town.atRest(t);
    });
  }

  void t.test(
    `a call that its caller gives up is withdrawn from a phone on ${transport} at another node`,
    async (t) => {
      const town = await Town.open(transport, 'tcp');
      town.onInvite = (invite) => {
        invite.listener = { onCancel: () => town.heard.push('CANCEL'), onAck: () => {} };
        invite.respond(180);
      };
      const told: number[] = [];
      const sent = town.call({
        ...SILENT,
        onProvisional: ({ status }) => told.push(status),
        onFailed: ({ status }) => told.push(status),
      });
      town.pass();
      sent.cancel();
      town.pass();
      t.strictSame(told, [180, 487]);
      t.strictSame(town.heard, [`INVITE ${CONTACT}`, 'CANCEL']);
      town.atRest(t);
    },
  );
}

void t.test('a connection that is gone is told as 430, before the call and within it', async (t) => {
  const town = await Town.open('tcp', 'tcp');
  town.phone.stop();
  town.pass();
  t.strictSame(town.closed.splice(0), [town.registered.flow]);
  t.equal(town.failure(), 430);

  for (const rings of [false, true]) {
    const heard: string[] = [];
    const stream = town.sim.world
      .host('192.0.2.10')
      .connectStream(
        { address: A.world, port: 5060 },
        { onData: (data) => heard.push(String(data)), onClose: () => {} },
      );
    const say = (...lines: readonly string[]): void => {
      stream.write(Buffer.from([...lines, 'Content-Length: 0', '\r\n'].join('\r\n')));
      town.pass();
    };
    const register = ['Via: SIP/2.0/TCP 192.0.2.10;branch=z9hG4bKlast', 'From: <sip:a@b>;tag=1', 'To: <sip:a@b>'];
    say(`REGISTER sip:${A.world} SIP/2.0`, ...register, `Call-ID: ${rings}`, 'CSeq: 1 REGISTER', 'Max-Forwards: 70');
    const statuses: number[] = [];
    town.call({
      ...SILENT,
      onProvisional: ({ status }) => statuses.push(status),
      onFailed: ({ status }) => statuses.push(status),
    });
    town.pass();
    const invite = heard
      .join('')
      .replace(/^.*(?=INVITE )/s, '')
      .split('\r\n');
    t.ok(invite.includes(`INVITE ${CONTACT} SIP/2.0`));
    if (rings)
      say('SIP/2.0 180 Ringing', ...invite.filter((line) => /^(Via|From|To|Call-ID|CSeq|Record-R)/.test(line)));
    stream.close();
    town.pass();
    t.strictSame(statuses, rings ? [180, 430] : [430], 'it broke while the call was on its way');
    t.strictSame(town.closed.splice(0), [town.registered.flow]);
  }
  town.atRest(t);
});

void t.test('a phone that says nothing is given up after the time that the node was told', async (t) => {
  const town = await Town.open('udp', 'tcp');
  town.phone.stop();
  town.sim.world.host(PHONE).blackholed = true;
  let status = 0;
  town.call({ ...SILENT, onFailed: (response) => (status = response.status) });
  town.pass(2900);
  t.equal(status, 0);
  town.pass(400);
  t.equal(status, 408);
  town.atRest(t);
});

void t.test('a route is good for the start of the node that made it, and for the flow in it', async (t) => {
  const town = await Town.open('tcp', 'tcp');
  const { route } = town.registered;
  const forged = {
    'with another flow': route.replace(
      /flow=[\w-]+/,
      `flow=${Buffer.from('udp/10.0.0.1:5060>1.2.3.4:5').toString('base64url')}`,
    ),
    'with another seal': route.replace(/seal=\w{24}/, `seal=${'0'.repeat(24)}`),
    'without a seal': route.replace(/;seal=\w{24}/, ''),
  };
  for (const [how, other] of Object.entries(forged)) t.equal(town.failure({ flow: '', route: other }), 430, how);
  town.a.stop();
  town.pass();
  town.a = await town.node(A);
  t.equal(town.failure({ flow: '', route }), 430, 'of the start before');
  t.strictSame(town.heard, []);
  town.atRest(t);
});

void t.test('nobody but nodes is heard, and nodes only for what is connected here', async (t) => {
  for (const between of ['udp', 'tcp'] as const) {
    const town = await Town.open('tcp', between);
    const { route } = town.registered;
    const stranger = await town.engine([{ transport: between, address: STRANGER }], {
      onInvite: () => {},
      onRequest: () => {},
    });
    const statuses: string[] = [];
    const nextHop = `sip:${A.nodes}:5070;transport=${between}`;
    stranger.invite(
      { uri: CONTACT, nextHop, route: [route] },
      { ...SILENT, onFailed: ({ status }, origin) => statuses.push(`${status} ${origin}`) },
    );
    town.pass(40_000);
    t.strictSame(statuses.splice(0), [between === 'udp' ? '408 timeout' : '503 transport'], 'silence');

    // The same at the listener for the world is a call like any other, for its user to judge.
    const openly = await town.engine([{ transport: 'tcp', address: '192.0.2.67' }], {
      onInvite: () => {},
      onRequest: () => {},
    });
    openly.invite(
      { uri: CONTACT, nextHop: `sip:${A.world};transport=tcp`, route: [route] },
      { ...SILENT, onFailed: ({ status }) => statuses.push(String(status)) },
    );
    town.pass();
    t.strictSame(statuses.splice(0), ['404']);

    const flow = flowToNode(route);
    const ask = (method: string, routes: readonly string[]): void => {
      town.b.request(
        { method, uri: CONTACT, flow, route: routes },
        { onResponse: ({ status }) => statuses.push(`${method} ${status}`) },
      );
    };
    for (const method of ['OPTIONS', 'MESSAGE', 'REGISTER']) ask(method, [route]);
    town.b.invite({ uri: CONTACT, flow }, { ...SILENT, onFailed: ({ status }) => statuses.push(`INVITE ${status}`) });
    const onward = [route, '<sip:192.0.2.1;lr>'];
    town.b.invite(
      { uri: CONTACT, flow, route: onward },
      { ...SILENT, onFailed: ({ status }) => statuses.push(`on ${status}`) },
    );
    town.pass();
    t.strictSame(statuses.sort(), ['INVITE 403', 'MESSAGE 403', 'OPTIONS 403', 'REGISTER 403', 'on 403']);
    t.strictSame(town.heard, []);
    t.strictSame(town.offered, ['REGISTER', 'INVITE']);
    town.atRest(t);
  }
});

void t.test('nothing else leaves by the listener for nodes', async (t) => {
  const town = await Town.open('udp', 'tcp');
  const refused = town.b.invite({ uri: `sip:x@${A.nodes}:5070;transport=tcp` }, SILENT);
  t.match(refused, { refusal: 'no_transport' });
  t.strictSame(town.b.listening, [`udp/${B.world}:5060`]);
  town.atRest(t);
});
