/**
 * A scripted SIP peer over real loopback sockets. It does only what the test says (no retransmission, no timers), with
 * two conveniences that can be switched off: it acknowledges failed INVITEs, and it hides repeated messages.
 *
 *   const peer = await SipPeer.open({ address: '127.0.35.1', transport: 'udp' });
 *   const call = peer.sendInvite({ target: '127.0.35.9:15060', body: sdp });
 *   const ok = await peer.expect('200 INVITE');
 *   const dialog = call.confirm(ok);           // sends ACK
 *   dialog.send('BYE');
 *   await peer.expect('200 BYE');
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type PeerHeader, PeerMessage, cutStream, hostPortOf, printMessage, tagOf, toBody, uriOf } from './sipText.js';

export { PeerMessage, type PeerHeader } from './sipText.js';

export interface PeerOptions {
  readonly address: string;
  /** 0 or absent: any free port. */
  readonly port?: number;
  readonly transport?: 'udp' | 'tcp';
  /** Name in ladders. */
  readonly name?: string;
  /** ACK to 300-699 of INVITE at once. Default true. */
  readonly autoAck?: boolean;
  /** Octet-identical repeats are counted but not queued. Default true. */
  readonly hideRepeats?: boolean;
  readonly timeoutMs?: number;
}

export interface PeerRequestSpec {
  /** `host:port` to send to; default: host and port of the URI. */
  readonly target?: string;
  readonly uri?: string;
  readonly from?: string;
  readonly to?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly branch?: string;
  readonly contact?: string;
  /** Default 70. */
  readonly maxForwards?: number;
  readonly headers?: readonly PeerHeader[];
  readonly body?: string | Buffer;
  /** Default `application/sdp` where there is a body. */
  readonly contentType?: string;
  /** Repeat over UDP at this interval until a response has come. Default: never. */
  readonly retransmitMs?: number;
}

export interface PeerResponseSpec {
  readonly reason?: string;
  readonly headers?: readonly PeerHeader[];
  readonly body?: string | Buffer;
  readonly contentType?: string;
  readonly toTag?: string;
  readonly contact?: string;
}

type Match = string | number | ((message: PeerMessage) => boolean);
interface Waiter {
  readonly match: (message: PeerMessage) => boolean;
  readonly resolve: (message: PeerMessage) => void;
}

let serial = 0;
const unique = (prefix: string): string =>
  `${prefix}${process.pid.toString(36)}${(++serial).toString(36)}x${Date.now().toString(36)}`;

export class SipPeer {
  readonly address: string;
  readonly transport: 'udp' | 'tcp';
  readonly name: string;
  /** Everything sent and received, repeats included, as `name -> INVITE sip:...`. */
  readonly ladder: string[] = [];
  /** Received and not yet taken by `expect`. */
  readonly queue: PeerMessage[] = [];
  /** Everything received, repeats left out. */
  readonly received: PeerMessage[] = [];
  autoAck: boolean;
  hideRepeats: boolean;
  #port = 0;
  readonly #timeoutMs: number;
  #udp: UdpSocket | undefined;
  #server: Server | undefined;
  readonly #streams = new Map<string, Socket>();
  readonly #waiters = new Set<Waiter>();
  readonly #seen = new Set<string>();
  readonly #invites = new Map<string, PeerTransaction>();
  readonly #repeating = new Map<string, NodeJS.Timeout>();

  private constructor(options: PeerOptions) {
    this.address = options.address;
    this.transport = options.transport ?? 'udp';
    this.name = options.name ?? 'peer';
    this.autoAck = options.autoAck ?? true;
    this.hideRepeats = options.hideRepeats ?? true;
    this.#timeoutMs = options.timeoutMs ?? 5000;
  }

  static async open(options: PeerOptions): Promise<SipPeer> {
    const peer = new SipPeer(options);
    if (peer.transport === 'udp') await peer.#openUdp(options.port ?? 0);
    else await peer.#openTcp(options.port ?? 0);
    return peer;
  }

  get port(): number {
    return this.#port;
  }
  /** `sip:peer@host:port[;transport=tcp]` */
  get uri(): string {
    return `sip:${this.name}@${this.hostPort}${this.transport === 'tcp' ? ';transport=tcp' : ''}`;
  }
  get hostPort(): string {
    return joinHostPort(this.address, this.#port);
  }

  sendInvite(spec: PeerRequestSpec): PeerTransaction {
    return this.sendRequest('INVITE', spec);
  }

  sendRequest(method: string, spec: PeerRequestSpec): PeerTransaction {
    const uri = spec.uri ?? `sip:callee@${spec.target ?? ''}`;
    const target = hostPortOf(spec.target ?? uri);
    const branch = spec.branch ?? `z9hG4bK${unique('p')}`;
    const body = toBody(spec.body);
    const headers: PeerHeader[] = [
      ['Via', `SIP/2.0/${this.transport.toUpperCase()} ${this.hostPort};branch=${branch};rport`],
      ['Max-Forwards', String(spec.maxForwards ?? 70)],
      ['From', spec.from ?? `<sip:${this.name}@${this.hostPort}>;tag=${unique('f')}`],
      ['To', spec.to ?? `<${uri}>`],
      ['Call-ID', spec.callId ?? unique('c')],
      ['CSeq', `${spec.cseq ?? 1} ${method}`],
      ['Contact', spec.contact ?? `<${this.uri}>`],
      ...(spec.headers ?? []),
    ];
    if (body.length > 0) headers.push(['Content-Type', spec.contentType ?? 'application/sdp']);
    const raw = printMessage(`${method} ${uri} SIP/2.0`, headers, body);
    const transaction = new PeerTransaction(this, new PeerMessage(raw, target.address, target.port));
    if (method === 'INVITE') this.#invites.set(branch, transaction);
    this.send(raw, target);
    if (spec.retransmitMs !== undefined) {
      this.#repeating.set(
        branch,
        setInterval(() => this.send(raw, target), spec.retransmitMs),
      );
    }
    return transaction;
  }

  /** Octets as they are. */
  send(raw: Buffer | string, target: { readonly address: string; readonly port: number }): void {
    const data = typeof raw === 'string' ? Buffer.from(raw, 'latin1') : raw;
    this.ladder.push(`${this.name} -> ${new PeerMessage(data).toString()}`);
    if (this.#udp !== undefined) this.#udp.send(data, target.port, target.address);
    else this.#stream(target).write(data);
  }

  /**
   * First message not taken yet that matches: `180`, `'INVITE'` (a request), `'200 BYE'` (response to a method), or a
   * predicate. Earlier messages that do not match stay in the queue. Rejects after 5 s with the ladder.
   */
  expect(match: Match): Promise<PeerMessage> {
    const matches = toPredicate(match);
    const at = this.queue.findIndex(matches);
    if (at >= 0) return Promise.resolve(this.queue.splice(at, 1)[0] as PeerMessage);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(new Error(`${this.name}: no ${String(match)} within ${this.#timeoutMs} ms\n${this.ladder.join('\n')}`));
      }, this.#timeoutMs);
      const waiter: Waiter = {
        match: matches,
        resolve: (message) => {
          clearTimeout(timer);
          resolve(message);
        },
      };
      this.#waiters.add(waiter);
    });
  }

  async expectRequest(method: string): Promise<PeerRequest> {
    return new PeerRequest(this, await this.expect(method));
  }

  /** How many distinct messages of this kind have come so far. */
  count(match: Match): number {
    return this.received.filter(toPredicate(match)).length;
  }

  async close(): Promise<void> {
    for (const timer of this.#repeating.values()) clearInterval(timer);
    for (const stream of this.#streams.values()) stream.destroy();
    const udp = this.#udp;
    const server = this.#server;
    this.#udp = this.#server = undefined;
    if (udp) await new Promise<void>((done) => udp.close(() => done()));
    if (server) await new Promise<void>((done) => server.close(() => done()));
  }

  /** Drops every stream connection (a peer that crashed). */
  dropConnections(): void {
    for (const stream of this.#streams.values()) stream.destroy();
    this.#streams.clear();
  }

  async #openUdp(port: number): Promise<void> {
    const socket = createSocket(this.address.includes(':') ? 'udp6' : 'udp4');
    this.#udp = socket;
    socket.on('message', (data, from) => this.#onData(data, from.address, from.port));
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(port, this.address, resolve);
    });
    socket.on('error', () => undefined);
    this.#port = socket.address().port;
  }

  async #openTcp(port: number): Promise<void> {
    const server = createServer((stream) => this.#adopt(stream, stream.remoteAddress ?? '', stream.remotePort ?? 0));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, this.address, resolve);
    });
    const bound = server.address();
    this.#port = bound !== null && typeof bound === 'object' ? bound.port : 0;
  }

  #stream(target: { readonly address: string; readonly port: number }): Socket {
    const known = this.#streams.get(`${target.address}:${target.port}`);
    if (known !== undefined && !known.destroyed) return known;
    const stream = connect({ host: target.address, port: target.port, localAddress: this.address });
    this.#adopt(stream, target.address, target.port);
    return stream;
  }

  #adopt(stream: Socket, address: string, port: number): void {
    this.#streams.set(`${address}:${port}`, stream);
    let pending: Buffer = Buffer.alloc(0);
    stream.setNoDelay(true);
    stream.on('error', () => undefined);
    stream.on('data', (chunk) => {
      const cut = cutStream(Buffer.concat([pending, chunk]));
      pending = cut.rest;
      for (const message of cut.messages) this.#onData(message, address, port);
    });
  }

  #onData(data: Buffer, address: string, port: number): void {
    if (data.toString('latin1').trim() === '') return;
    const message = new PeerMessage(Buffer.from(data), address, port);
    const key = data.toString('latin1');
    const repeat = this.#seen.has(key);
    this.#seen.add(key);
    this.ladder.push(`${this.name} <- ${message.toString()}${repeat ? ' (repeat)' : ''}`);
    if (!message.isRequest) this.#onResponse(message);
    if (repeat && this.hideRepeats) return;
    this.received.push(message);
    for (const waiter of this.#waiters) {
      if (!waiter.match(message)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(message);
      return;
    }
    this.queue.push(message);
  }

  #onResponse(message: PeerMessage): void {
    const timer = this.#repeating.get(message.branch);
    if (timer !== undefined) clearInterval(timer);
    if (message.method !== 'INVITE' || message.status < 300 || !this.autoAck) return;
    this.#invites.get(message.branch)?.ackFailure(message);
  }
}

function toPredicate(match: Match): (message: PeerMessage) => boolean {
  if (typeof match === 'function') return match;
  const [first = '', method] = String(match).split(' ');
  if (!/^\d+$/.test(first)) return (message) => message.isRequest && message.method === first;
  return (message) => message.status === Number(first) && (method === undefined || message.method === method);
}

/** A request that the peer sent. */
export class PeerTransaction {
  readonly peer: SipPeer;
  readonly request: PeerMessage;

  constructor(peer: SipPeer, request: PeerMessage) {
    this.peer = peer;
    this.request = request;
  }

  get branch(): string {
    return this.request.branch;
  }
  get callId(): string {
    return this.request.callId;
  }
  get fromTag(): string {
    return this.request.fromTag;
  }
  get #target(): { address: string; port: number } {
    return { address: this.request.address, port: this.request.port };
  }

  cancel(headers: readonly PeerHeader[] = []): void {
    this.#sameBranch('CANCEL', this.request.header('To') ?? '', headers);
  }

  /** ACK of 300-699: same branch, RFC 3261 17.1.1.3. */
  ackFailure(response: PeerMessage): void {
    this.#sameBranch('ACK', response.header('To') ?? '', []);
  }

  /** Sends ACK of a 2xx and returns the dialog. */
  confirm(response: PeerMessage, spec: PeerRequestSpec = {}): PeerDialog {
    const dialog = this.dialog(response);
    dialog.ack(this.request.cseqNumber, spec);
    return dialog;
  }

  /** The dialog of a response, nothing sent. */
  dialog(response: PeerMessage): PeerDialog {
    return new PeerDialog(this.peer, {
      local: this.request.header('From') ?? '',
      remote: response.header('To') ?? '',
      callId: this.callId,
      target: uriOf(response.header('Contact') ?? this.request.uri),
      routes: response
        .headerAll('Record-Route')
        .flatMap((value) => value.split(/\s*,\s*/))
        .reverse(),
      hop: this.#target,
      cseq: this.request.cseqNumber,
    });
  }

  #sameBranch(method: string, to: string, headers: readonly PeerHeader[]): void {
    const lines: PeerHeader[] = [
      ['Via', this.request.header('Via') ?? ''],
      ['Max-Forwards', '70'],
      ['From', this.request.header('From') ?? ''],
      ['To', to],
      ['Call-ID', this.callId],
      ['CSeq', `${this.request.cseqNumber} ${method}`],
      ...headers,
    ];
    this.peer.send(printMessage(`${method} ${this.request.uri} SIP/2.0`, lines, Buffer.alloc(0)), this.#target);
  }
}

/** A request that the peer received. */
export class PeerRequest {
  readonly peer: SipPeer;
  readonly message: PeerMessage;
  /** Tag that the peer puts into To where the request had none. */
  readonly toTag: string = unique('t');

  constructor(peer: SipPeer, message: PeerMessage) {
    this.peer = peer;
    this.message = message;
  }

  get uri(): string {
    return this.message.uri;
  }
  get text(): string {
    return this.message.text;
  }
  header(name: string): string | undefined {
    return this.message.header(name);
  }

  /** Returns the response as sent. A Contact is added to 101-299 of INVITE. */
  respond(status: number, spec: PeerResponseSpec = {}): PeerMessage {
    const { message, peer } = this;
    const body = toBody(spec.body);
    const to = message.header('To') ?? '';
    const headers: PeerHeader[] = [
      ...message.headerAll('Via').map((value): PeerHeader => ['Via', value]),
      ...message.headerAll('Record-Route').map((value): PeerHeader => ['Record-Route', value]),
      ['From', message.header('From') ?? ''],
      ['To', tagOf(to) !== '' || status === 100 ? to : `${to};tag=${spec.toTag ?? this.toTag}`],
      ['Call-ID', message.callId],
      ['CSeq', message.cseq],
      ...(spec.headers ?? []),
    ];
    if (message.method === 'INVITE' && status > 100 && status < 300)
      headers.push(['Contact', spec.contact ?? `<${peer.uri}>`]);
    if (body.length > 0) headers.push(['Content-Type', spec.contentType ?? 'application/sdp']);
    const raw = printMessage(`SIP/2.0 ${status} ${spec.reason ?? PHRASES[status] ?? 'Status'}`, headers, body);
    peer.send(raw, { address: message.address, port: message.port });
    return new PeerMessage(raw);
  }

  /** The dialog in which the peer is the server, made by a response of it. */
  dialog(response: PeerMessage): PeerDialog {
    return new PeerDialog(this.peer, {
      local: response.header('To') ?? '',
      remote: this.message.header('From') ?? '',
      callId: this.message.callId,
      target: uriOf(this.message.header('Contact') ?? ''),
      routes: this.message.headerAll('Record-Route').flatMap((value) => value.split(/\s*,\s*/)),
      hop: { address: this.message.address, port: this.message.port },
      cseq: 100,
    });
  }
}

interface DialogState {
  readonly local: string;
  readonly remote: string;
  readonly callId: string;
  readonly target: string;
  readonly routes: readonly string[];
  /** Where the other side's packets came from or were sent to. */
  readonly hop: { readonly address: string; readonly port: number };
  readonly cseq: number;
}

export class PeerDialog {
  readonly peer: SipPeer;
  readonly state: DialogState;
  cseq: number;

  constructor(peer: SipPeer, state: DialogState) {
    this.peer = peer;
    this.state = state;
    this.cseq = state.cseq;
  }

  /** Sends a request within the dialog. */
  send(method: string, spec: PeerRequestSpec = {}): PeerTransaction {
    const { local, remote, callId, target, routes, hop } = this.state;
    const cseq = spec.cseq ?? (method === 'ACK' ? this.cseq : ++this.cseq);
    return this.peer.sendRequest(method, {
      target: routes.length > 0 || this.peer.transport === 'tcp' ? joinHostPort(hop.address, hop.port) : hopOf(target),
      uri: target,
      from: local,
      to: remote,
      callId,
      ...spec,
      cseq,
      headers: [...routes.map((route): PeerHeader => ['Route', route]), ...(spec.headers ?? [])],
    });
  }

  /** ACK of a 2xx: its own branch, the CSeq number of the INVITE. */
  ack(inviteCseq: number, spec: PeerRequestSpec = {}): void {
    this.send('ACK', { ...spec, cseq: inviteCseq });
  }
}

function hopOf(uri: string): string {
  const { address, port } = hostPortOf(uri);
  return joinHostPort(address, port);
}

function joinHostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

const PHRASES: Record<number, string> = {
  100: 'Trying', 180: 'Ringing', 183: 'Session Progress', 200: 'OK', 202: 'Accepted', 401: 'Unauthorized',
  404: 'Not Found', 407: 'Proxy Authentication Required', 480: 'Temporarily Unavailable',
  481: 'Call/Transaction Does Not Exist', 486: 'Busy Here', 487: 'Request Terminated', 488: 'Not Acceptable Here',
  491: 'Request Pending', 500: 'Server Internal Error', 503: 'Service Unavailable', 603: 'Decline',
}; // prettier-ignore
