/**
 * Every cell of the four transaction machines, driven through the real classes. What is expected is written here from
 * the RFCs' figures (RFC 3261 §17 figures 5, 6, 8; RFC 6026 §7 figures for INVITE), not read from the tables.
 */
import t, { type Test } from 'tap';
import type { Clock, Timer } from '../../src/kernel/index.js';
import { SipRequest, SipResponse } from '../../src/sip/message/message.js';
import { ClientTransaction } from '../../src/sip/transaction/client.js';
import { ClientInviteTransaction, type ClientUser } from '../../src/sip/transaction/clientInvite.js';
import type { ClientRemains, ServerRemains } from '../../src/sip/transaction/lingering.js';
import type { TransactionHost } from '../../src/sip/transaction/host.js';
import { ServerTransaction } from '../../src/sip/transaction/server.js';
import { ServerInviteTransaction } from '../../src/sip/transaction/serverInvite.js';
import { CLIENT, INVITE_CLIENT, INVITE_SERVER, SERVER } from '../../src/sip/transaction/tables.js';
import { DEFAULT_TIMERS } from '../../src/sip/transaction/timers.js';
import { Hop, type Listener } from '../../src/sip/transport/hop.js';
import type { Arrival } from '../../src/sip/transport/layer.js';

/** Time that passes only where the test says so, timer by timer. */
class Timers implements Clock {
  #live: { name: string; delayMs: number; fire: () => void; active: boolean }[] = [];

  nowMs = (): number => 0;
  wallMs = (): number => 0;
  dump = (): Record<string, number> => ({});

  setTimer(name: string, delayMs: number, fire: () => void): Timer {
    const timer = { name, delayMs, fire, active: true, cancel: () => void (timer.active = false) };
    this.#live.push(timer);
    return timer;
  }

  /** Such as `A 500`, in the order in which they were set. */
  get running(): string[] {
    return this.#live.filter((timer) => timer.active).map((timer) => `${timer.name} ${timer.delayMs}`);
  }

  /** False when no such timer runs. */
  fire(name: string): boolean {
    const timer = this.#live.find((each) => each.active && each.name === name);
    if (timer === undefined) return false;
    timer.active = false;
    timer.fire();
    return true;
  }
}

const ROUTE = 'SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx';

const requestOf = (method: string): SipRequest => {
  const request = new SipRequest(method, 'sip:bob@10.0.0.2');
  request.add('Via', ROUTE).add('From', '<sip:a@x>;tag=1').add('To', '<sip:b@x>').add('Call-ID', 'c');
  return request.add('CSeq', `1 ${method}`);
};

const responseOf = (status: number, method: string): SipResponse => {
  const response = new SipResponse(status);
  response.add('Via', ROUTE).add('From', '<sip:a@x>;tag=1').add('To', '<sip:b@x>;tag=2').add('Call-ID', 'c');
  return response.add('CSeq', `1 ${method}`);
};

const listenerOf = (transport: 'udp' | 'tcp'): Listener => ({
  id: `${transport}/10.0.0.1:5060`,
  transport,
  family: 4,
  local: { address: '10.0.0.1', port: 5060 },
  sentBy: '10.0.0.1:5060',
  viaHost: '10.0.0.1',
  viaPort: 5060,
  contactUri: 'sip:10.0.0.1:5060',
  socket: undefined,
  reaches: undefined,
  isInner: false,
});

/** A machine with its surroundings, and what they have seen since the last look. */
class Bench {
  readonly timers = new Timers();
  readonly seen: string[] = [];
  readonly host: TransactionHost;
  readonly hop: Hop;
  readonly arrival: Arrival;
  /** What was left behind, which plays the last rows. */
  client: ClientRemains | undefined;
  server: ServerRemains | undefined;
  #lingering: Timer | undefined;
  /** Its timer has fired, too. */
  gone = false;
  readonly user: ClientUser & { onAck(): void; onAckTimeout(): void; cancelled(): void };

  constructor(transport: 'udp' | 'tcp') {
    const word = (data: Buffer): string => data.toString('latin1').split(' ', 2).join(' ').replace('SIP/2.0 ', '');
    const sends = (verb: string, data: Buffer): void =>
      void this.seen.push(`${verb} ${word(data).split(' ')[0] ?? ''}`);
    this.host = {
      clock: this.timers,
      timers: DEFAULT_TIMERS,
      send: (_hop, data) => sends('send', data),
      resend: (_hop, data) => sends('resend', data),
      reply: (_path, data) => sends('send', data),
      replyAgain: (_path, data) => sends('resend', data),
      buildFailureAck: () => Buffer.from('ACK sip:bob'),
      lingerClient: (_key, timer, remains) => {
        this.client = remains;
        this.#linger(timer, timer === 'K' ? 5_000 : 32_000);
      },
      lingerServer: (_key, _mergeKey, timer, remains) => {
        this.server = remains;
        this.#linger(timer, timer === 'I' ? 5_000 : 32_000);
      },
      endClient: () => this.#end(),
      endServer: () => this.#end(),
    };
    this.hop = new Hop(listenerOf(transport), '10.0.0.2', 5060, true);
    this.arrival = {
      ...{ transport, address: '10.0.0.2', port: 5060, localAddress: '10.0.0.1', localPort: 5060, bytes: 1 },
      ...{ listener: this.hop.listener, hop: undefined },
    };
    this.user = {
      onResponse: (response) => void this.seen.push(`tell ${response.status}`),
      onTimeout: () => void this.seen.push('tell timeout'),
      onTransportError: (code) => void this.seen.push(`tell ${code}`),
      onAck: () => void this.seen.push('tell ACK'),
      onAckTimeout: () => void this.seen.push('tell timeout'),
      cancelled: () => void this.seen.push('tell cancelled'),
    };
  }

  #linger(timer: string, delayMs: number): void {
    this.#lingering = this.timers.setTimer(timer, delayMs, () => {
      this.gone = true;
      // Nobody knows its messages any more.
      this.server = { retransmitted: () => {} };
      this.#end();
    });
  }

  #end(): void {
    this.#lingering?.cancel();
    this.seen.push('end');
  }

  get path(): ServerTransaction['path'] {
    const { listener, address, port, reliable } = this.hop;
    return { reliable, listener, address, port, hop: undefined };
  }
}

/** What one event does: `next` state (same when absent), what happens in order, and which timers run afterwards. */
interface Effect {
  readonly next?: string;
  readonly does?: readonly string[];
  readonly timers?: readonly string[];
}

/** One machine brought into a state, and the means to fire an event at it. */
interface Machine {
  readonly state: string;
  fire(event: string): boolean;
}

interface Walk {
  readonly name: string;
  readonly table: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Events that bring a new machine into each state. */
  readonly paths: Readonly<Record<string, readonly string[]>>;
  readonly make: (bench: Bench) => Machine;
  /** Timers that run in each state before the event. */
  readonly running: Readonly<Record<string, readonly string[]>>;
  /** Cells that do something; all others do nothing at all. */
  readonly expected: Readonly<Record<string, Readonly<Record<string, Effect>>>>;
}

const walk = (t: Test, transport: 'udp' | 'tcp', spec: Walk): number => {
  let cells = 0;
  for (const [state, events] of Object.entries(spec.table)) {
    for (const event of Object.keys(events)) {
      cells++;
      const bench = new Bench(transport);
      const machine = spec.make(bench);
      for (const step of spec.paths[state] ?? ['no way there']) machine.fire(step);
      const where = `${spec.name} over ${transport}, ${state}, ${event}`;
      const running = spec.running[state] ?? [];
      t.equal(machine.state, state, `${where}: begins there`);
      t.strictSame(bench.timers.running.toSorted(), running.toSorted(), `${where}: timers before`);
      bench.seen.length = 0;
      const fired = machine.fire(event);
      const effect = spec.expected[state]?.[event];
      if (event.startsWith('timer_')) {
        const name = event.slice(6).toUpperCase();
        t.equal(
          fired,
          running.some((timer) => timer.startsWith(`${name} `)),
          `${where}: can it fire`,
        );
        t.equal(fired, effect !== undefined, `${where}: is it expected to fire`);
      }
      t.strictSame(bench.seen, effect?.does ?? [], `${where}: does`);
      t.equal(machine.state, effect?.next ?? state, `${where}: next state`);
      t.strictSame(bench.timers.running.toSorted(), (effect?.timers ?? running).toSorted(), `${where}: timers after`);
    }
  }
  return cells;
};

const cellsOf = (table: Walk['table']): number =>
  Object.values(table).reduce((sum, events) => sum + Object.keys(events).length, 0);

// ---------------------------------------------------------------- INVITE client

const inviteClient = (bench: Bench): Machine => {
  const transaction = new ClientInviteTransaction(bench.host, 'k', bench.hop, bench.user);
  transaction.start(requestOf('INVITE'));
  const statuses: Record<string, number> = { '1xx': 180, '2xx': 200, '3xx_6xx': 486 };
  return {
    get state() {
      return bench.gone ? 'terminated' : transaction.state;
    },
    fire: (event) => {
      const status = statuses[event];
      if (status !== undefined) (bench.client ?? transaction).receive(responseOf(status, 'INVITE'), bench.arrival);
      else if (event === 'transport_error') transaction.onTransportError('EPIPE');
      else return bench.timers.fire(event.slice(6).toUpperCase());
      return true;
    },
  };
};

const INVITE_CLIENT_PATHS = {
  calling: [],
  proceeding: ['1xx'],
  accepted: ['2xx'],
  completed: ['1xx', '3xx_6xx'],
  terminated: ['timer_b'],
};

t.test('INVITE client: every cell, RFC 3261 §17.1.1 and RFC 6026 §7.2', async (t) => {
  const udp: Walk = {
    name: 'INVITE client',
    table: INVITE_CLIENT,
    paths: INVITE_CLIENT_PATHS,
    make: inviteClient,
    running: { calling: ['A 500', 'B 32000'], accepted: ['M 32000'], completed: ['D 32000'] },
    expected: {
      calling: {
        '1xx': { next: 'proceeding', does: ['tell 180'], timers: [] },
        '2xx': { next: 'accepted', does: ['tell 200'], timers: ['M 32000'] },
        '3xx_6xx': { next: 'completed', does: ['send ACK', 'tell 486'], timers: ['D 32000'] },
        timer_a: { does: ['resend INVITE'], timers: ['B 32000', 'A 1000'] },
        timer_b: { next: 'terminated', does: ['tell timeout', 'end'], timers: [] },
        transport_error: { next: 'terminated', does: ['tell EPIPE', 'end'], timers: [] },
      },
      proceeding: {
        '1xx': { does: ['tell 180'] },
        '2xx': { next: 'accepted', does: ['tell 200'], timers: ['M 32000'] },
        '3xx_6xx': { next: 'completed', does: ['send ACK', 'tell 486'], timers: ['D 32000'] },
        // Not in the figures: who can no longer be reached is not waited for.
        transport_error: { next: 'terminated', does: ['tell EPIPE', 'end'] },
      },
      accepted: {
        '2xx': { does: ['tell 200'] },
        timer_m: { next: 'terminated', does: ['end'], timers: [] },
      },
      completed: {
        '3xx_6xx': { does: ['send ACK'] },
        timer_d: { next: 'terminated', does: ['end'], timers: [] },
        // Figure 5 ends it here and informs the TU; but the TU has had its one final answer, and the next
        // retransmission of that answer still deserves an ACK.
        transport_error: {},
      },
    },
  };
  t.equal(walk(t, 'udp', udp), cellsOf(INVITE_CLIENT), 'every cell was walked');
  const { calling, proceeding } = udp.expected;
  const tcp: Walk = {
    ...udp,
    // Timer A is for unreliable transports; Timer D is zero on reliable ones, so that completed is never seen.
    paths: { ...INVITE_CLIENT_PATHS, completed: ['3xx_6xx'] },
    table: { calling: INVITE_CLIENT.calling, proceeding: INVITE_CLIENT.proceeding, accepted: INVITE_CLIENT.accepted },
    running: { calling: ['B 32000'], accepted: ['M 32000'] },
    expected: {
      ...udp.expected,
      calling: {
        ...omit(calling, 'timer_a'),
        '3xx_6xx': { next: 'terminated', does: ['send ACK', 'end', 'tell 486'], timers: [] },
      },
      proceeding: {
        ...proceeding,
        '3xx_6xx': { next: 'terminated', does: ['send ACK', 'end', 'tell 486'], timers: [] },
      },
    },
  };
  walk(t, 'tcp', tcp);
});

t.test('Timer A doubles without end, and the request stays the same', async (t) => {
  const bench = new Bench('udp');
  const machine = inviteClient(bench);
  const waits = [];
  for (let i = 0; i < 6; i++) {
    waits.push(bench.timers.running.find((timer) => timer.startsWith('A ')));
    machine.fire('timer_a');
  }
  t.strictSame(waits, ['A 500', 'A 1000', 'A 2000', 'A 4000', 'A 8000', 'A 16000']);
});

// ---------------------------------------------------------------- INVITE server

const inviteServer = (bench: Bench): Machine => {
  const transaction = new ServerInviteTransaction(bench.host, 'k', '', bench.path);
  transaction.user = bench.user;
  transaction.respond(100, Buffer.from('SIP/2.0 100'));
  const statuses: Record<string, number> = { send_1xx: 180, send_2xx: 200, send_3xx_6xx: 486 };
  return {
    get state() {
      return bench.gone ? 'terminated' : transaction.state;
    },
    fire: (event) => {
      const status = statuses[event];
      if (status !== undefined) transaction.respond(status, Buffer.from(`SIP/2.0 ${status} X`));
      else if (event === 'invite') (bench.server ?? transaction).retransmitted();
      else if (event === 'ack') transaction.receiveAck(requestOf('ACK'), bench.arrival);
      else if (event === 'transport_error') transaction.onTransportError('EPIPE');
      else return bench.timers.fire(event.slice(6).toUpperCase());
      return true;
    },
  };
};

t.test('INVITE server: every cell, RFC 3261 §17.2.1 and RFC 6026 §7.1', async (t) => {
  const udp: Walk = {
    name: 'INVITE server',
    table: INVITE_SERVER,
    paths: {
      proceeding: [],
      accepted: ['send_2xx'],
      completed: ['send_1xx', 'send_3xx_6xx'],
      confirmed: ['send_3xx_6xx', 'ack'],
      terminated: ['send_3xx_6xx', 'timer_h'],
    },
    make: inviteServer,
    running: { accepted: ['L 32000'], completed: ['G 500', 'H 32000'], confirmed: ['I 5000'] },
    expected: {
      proceeding: {
        invite: { does: ['resend 100'] },
        send_1xx: { does: ['send 180'] },
        send_2xx: { next: 'accepted', does: ['send 200'], timers: ['L 32000'] },
        send_3xx_6xx: { next: 'completed', does: ['send 486'], timers: ['G 500', 'H 32000'] },
        transport_error: { does: ['tell EPIPE'] },
      },
      accepted: {
        // Absorbed: it is the core that repeats its 2xx.
        ack: { does: ['tell ACK'] },
        send_2xx: { does: ['send 200'] },
        timer_l: { next: 'terminated', does: ['end'], timers: [] },
        transport_error: { does: ['tell EPIPE'] },
      },
      completed: {
        invite: { does: ['resend 486'] },
        ack: { next: 'confirmed', timers: ['I 5000'] },
        timer_g: { does: ['resend 486'], timers: ['H 32000', 'G 1000'] },
        timer_h: { next: 'terminated', does: ['tell timeout', 'end'], timers: [] },
        transport_error: { does: ['tell EPIPE'] },
      },
      confirmed: { timer_i: { next: 'terminated', does: ['end'], timers: [] } },
    },
  };
  t.equal(walk(t, 'udp', udp), cellsOf(INVITE_SERVER), 'every cell was walked');
  walk(t, 'tcp', {
    ...udp,
    // Timer G is for unreliable transports; Timer I is zero on reliable ones, so that confirmed is never seen.
    table: omit(INVITE_SERVER, 'confirmed'),
    running: { accepted: ['L 32000'], completed: ['H 32000'] },
    expected: {
      ...udp.expected,
      proceeding: {
        ...udp.expected['proceeding'],
        send_3xx_6xx: { next: 'completed', does: ['send 486'], timers: ['H 32000'] },
      },
      completed: {
        ...omit(udp.expected['completed'], 'timer_g'),
        ack: { next: 'terminated', does: ['end'], timers: [] },
      },
    },
  });
});

t.test('Timer G doubles up to T2', async (t) => {
  const bench = new Bench('udp');
  const machine = inviteServer(bench);
  machine.fire('send_3xx_6xx');
  const waits = [];
  for (let i = 0; i < 5; i++) {
    waits.push(bench.timers.running.find((timer) => timer.startsWith('G ')));
    machine.fire('timer_g');
  }
  t.strictSame(waits, ['G 500', 'G 1000', 'G 2000', 'G 4000', 'G 4000']);
});

// ---------------------------------------------------------------- non-INVITE client

const client = (bench: Bench): Machine => {
  const transaction = new ClientTransaction(bench.host, 'k', bench.hop, bench.user);
  transaction.start(requestOf('OPTIONS'));
  return {
    get state() {
      return bench.gone ? 'terminated' : transaction.state;
    },
    fire: (event) => {
      if (event === '1xx') (bench.client ?? transaction).receive(responseOf(183, 'OPTIONS'), bench.arrival);
      else if (event === 'final') (bench.client ?? transaction).receive(responseOf(404, 'OPTIONS'), bench.arrival);
      else if (event === 'transport_error') transaction.onTransportError('EPIPE');
      else return bench.timers.fire(event.slice(6).toUpperCase());
      return true;
    },
  };
};

t.test('non-INVITE client: every cell, RFC 3261 §17.1.2', async (t) => {
  const final: Effect = { next: 'completed', does: ['tell 404'], timers: ['K 5000'] };
  const over: Effect = { next: 'terminated', does: ['tell timeout', 'end'], timers: [] };
  const broken: Effect = { next: 'terminated', does: ['tell EPIPE', 'end'], timers: [] };
  const udp: Walk = {
    name: 'client',
    table: CLIENT,
    paths: { trying: [], proceeding: ['1xx'], completed: ['final'], terminated: ['timer_f'] },
    make: client,
    running: { trying: ['E 500', 'F 32000'], proceeding: ['E 500', 'F 32000'], completed: ['K 5000'] },
    expected: {
      trying: {
        '1xx': { next: 'proceeding', does: ['tell 183'] },
        final,
        timer_e: { does: ['resend OPTIONS'], timers: ['F 32000', 'E 1000'] },
        timer_f: over,
        transport_error: broken,
      },
      proceeding: {
        '1xx': { does: ['tell 183'] },
        final,
        timer_e: { does: ['resend OPTIONS'], timers: ['F 32000', 'E 4000'] },
        timer_f: over,
        transport_error: broken,
      },
      completed: { timer_k: { next: 'terminated', does: ['end'], timers: [] } },
    },
  };
  t.equal(walk(t, 'udp', udp), cellsOf(CLIENT), 'every cell was walked');
  const atOnce: Effect = { next: 'terminated', does: ['end', 'tell 404'], timers: [] };
  walk(t, 'tcp', {
    ...udp,
    table: omit(CLIENT, 'completed'),
    running: { trying: ['F 32000'], proceeding: ['F 32000'] },
    expected: {
      trying: { ...omit(udp.expected['trying'], 'timer_e'), final: atOnce },
      proceeding: { ...omit(udp.expected['proceeding'], 'timer_e'), final: atOnce },
    },
  });
});

t.test('Timer E doubles up to T2', async (t) => {
  const bench = new Bench('udp');
  const machine = client(bench);
  const waits = [];
  for (let i = 0; i < 5; i++) {
    waits.push(bench.timers.running.find((timer) => timer.startsWith('E ')));
    machine.fire('timer_e');
  }
  t.strictSame(waits, ['E 500', 'E 1000', 'E 2000', 'E 4000', 'E 4000']);
});

// ---------------------------------------------------------------- non-INVITE server

const server = (bench: Bench): Machine => {
  const transaction = new ServerTransaction(bench.host, 'k', '', bench.path);
  transaction.user = bench.user;
  return {
    get state() {
      return bench.gone ? 'terminated' : transaction.state;
    },
    fire: (event) => {
      if (event === 'request') (bench.server ?? transaction).retransmitted();
      else if (event === 'send_1xx') transaction.respond(183, Buffer.from('SIP/2.0 183'));
      else if (event === 'send_final') transaction.respond(404, Buffer.from('SIP/2.0 404'));
      else if (event === 'transport_error') transaction.onTransportError('EPIPE');
      else return bench.timers.fire(event.slice(6).toUpperCase());
      return true;
    },
  };
};

t.test('non-INVITE server: every cell, RFC 3261 §17.2.2', async (t) => {
  const final: Effect = { next: 'completed', does: ['send 404'], timers: ['J 32000'] };
  const udp: Walk = {
    name: 'server',
    table: SERVER,
    paths: { trying: [], proceeding: ['send_1xx'], completed: ['send_final'], terminated: ['send_final', 'timer_j'] },
    make: server,
    running: { completed: ['J 32000'] },
    expected: {
      trying: { send_1xx: { next: 'proceeding', does: ['send 183'] }, send_final: final },
      proceeding: {
        request: { does: ['resend 183'] },
        send_1xx: { does: ['send 183'] },
        send_final: final,
        transport_error: { next: 'terminated', does: ['tell EPIPE', 'end'] },
      },
      completed: {
        request: { does: ['resend 404'] },
        timer_j: { next: 'terminated', does: ['end'], timers: [] },
        // Figure 8 ends it here and informs the TU; but that is done with it, and the request may come again.
        transport_error: {},
      },
    },
  };
  t.equal(walk(t, 'udp', udp), cellsOf(SERVER), 'every cell was walked');
  const atOnce: Effect = { next: 'terminated', does: ['send 404', 'end'], timers: [] };
  walk(t, 'tcp', {
    ...udp,
    table: { trying: SERVER.trying, proceeding: SERVER.proceeding, terminated: SERVER.terminated },
    paths: { ...udp.paths, terminated: ['send_final'] },
    running: {},
    expected: {
      trying: { ...udp.expected['trying'], send_final: atOnce },
      proceeding: { ...udp.expected['proceeding'], send_final: atOnce },
    },
  });
});

t.test('a request too long for a datagram fails by itself, after the call that sent it', async (t) => {
  for (const method of ['INVITE', 'OPTIONS'] as const) {
    const bench = new Bench('udp');
    const request = requestOf(method);
    request.body = Buffer.alloc(70_000);
    const transaction =
      method === 'INVITE'
        ? new ClientInviteTransaction(bench.host, 'k', bench.hop, bench.user)
        : new ClientTransaction(bench.host, 'k', bench.hop, bench.user);
    transaction.start(request);
    t.strictSame(bench.seen, []);
    bench.timers.fire('too_long');
    t.strictSame(bench.seen, ['tell EMSGSIZE', 'end']);
    t.strictSame(bench.timers.running, []);
  }
});

t.test('dispose ends any machine in any state, in silence, and no timer is left', async (t) => {
  const makers = {
    inviteClient: (bench: Bench) => {
      const transaction = new ClientInviteTransaction(bench.host, 'k', bench.hop, bench.user);
      transaction.start(requestOf('INVITE'));
      return transaction;
    },
    client: (bench: Bench) => {
      const transaction = new ClientTransaction(bench.host, 'k', bench.hop, bench.user);
      transaction.start(requestOf('INFO'));
      return transaction;
    },
    inviteServer: (bench: Bench) => {
      const transaction = new ServerInviteTransaction(bench.host, 'k', '', bench.path);
      transaction.user = bench.user;
      transaction.respond(486, Buffer.from('SIP/2.0 486'));
      return transaction;
    },
    server: (bench: Bench) => {
      const transaction = new ServerTransaction(bench.host, 'k', '', bench.path);
      transaction.respond(200, Buffer.from('SIP/2.0 200'));
      return transaction;
    },
  };
  for (const make of Object.values(makers)) {
    const bench = new Bench('udp');
    const transaction = make(bench);
    bench.seen.length = 0;
    transaction.dispose();
    t.strictSame(bench.seen, ['end']);
    t.equal(transaction.state, 'terminated');
    t.strictSame(bench.timers.running, []);
    t.equal(bench.hop.waiting.size, 0);
  }
});

/** A record without one of its entries. */
function omit<T extends object, K extends keyof T & string>(record: T | undefined, key: K): Omit<T, K> {
  const { [key]: _left, ...rest } = record ?? ({} as T);
  return rest;
}
