import type { Clock, Random } from '../../kernel/index.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { ParseFailure } from '../message/parse.js';
import { sameHopRequest } from '../message/sameHop.js';
import { detach } from '../message/text.js';
import type { TransportName } from '../ports.js';
import { type Hop, type Listener, sameAddress } from '../transport/hop.js';
import type { ReplyPath, TransactionHost } from './host.js';
import { type Arrival, TransportLayer, type TransportOptions, type TransportSink } from '../transport/layer.js';
import { responsePort, stampVia } from '../transport/responsePath.js';
import { ClientTransaction } from './client.js';
import { ClientInviteTransaction, type ClientUser } from './clientInvite.js';
import { MAGIC_COOKIE } from './cookie.js';
import { type ClientRemains, Lingering, type ServerRemains } from './lingering.js';
import { Pressure, keyOfVia } from './pressure.js';
import { ServerTransaction } from './server.js';
import { ServerInviteTransaction, type ServerInviteUser } from './serverInvite.js';
import { shortened } from './shortened.js';
import { type TimerSettings, patienceMs } from './timers.js';

/** The core above: told of what no transaction absorbs. */
export interface TransactionCore {
  /** A new request, not ACK or CANCEL. `key` and `mergeKey` are for the server transaction that the core may start. */
  onRequest(request: SipRequest, arrival: Arrival, key: string): void;
  /** ACK outside any transaction: of a 2xx, or stray. */
  onAck(ack: SipRequest, arrival: Arrival): void;
  /** `invite`: the transaction that it withdraws, or would have, if any is known; its user while it has one. */
  onCancel(cancel: SipRequest, arrival: Arrival, key: string, invite: CancelledInvite | undefined): void;
  onMalformed(failure: ParseFailure, arrival: Arrival): void;
  onFlowClosed(flow: string): void;
  /** The engine itself threw while it dealt with a packet. */
  onFault(error: unknown): void;
}

export interface CancelledInvite {
  readonly user: ServerInviteUser | undefined;
}

export interface TransactionCounters {
  requestsIn: number;
  requestsOut: number;
  responsesIn: number;
  responsesOut: number;
  retransmissionsIn: number;
  retransmissionsOut: number;
  strayResponses: number;
  /** Of a known transaction, but not from where its request went, or with a Via that is not ours. */
  foreignResponses: number;
  /** Of a known dialog, but not from where its peer is. */
  foreignRequests: number;
  strayAcks: number;
  /** Requests of strangers whose refusal would have been longer than they were. */
  unanswered: number;
  malformed: number;
}

export interface TransactionOptions extends TransportOptions {
  readonly random: Random;
  readonly timers: TimerSettings;
  /**
   * Whose responses count: those from the address that the request went to (default; any port), or anyone's that name
   * the transaction's branch, for peers that answer from another of their addresses.
   */
  readonly responsesFrom?: 'peer' | 'anyone' | undefined;
  /** Ask next hops by `oc` (RFC 7339) how many calls they can take. What they say is in the Via of their answers. */
  readonly obeysOverload?: boolean | undefined;
}

export { MAGIC_COOKIE } from './cookie.js';

/** Matches messages to transactions, RFC 3261 §17.1.3 and §17.2.3. */
export class TransactionLayer implements TransportSink, TransactionHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly timers: TimerSettings;
  readonly transport: TransportLayer;
  readonly counters: TransactionCounters = {
    requestsIn: 0,
    requestsOut: 0,
    responsesIn: 0,
    responsesOut: 0,
    retransmissionsIn: 0,
    retransmissionsOut: 0,
    strayResponses: 0,
    foreignResponses: 0,
    foreignRequests: 0,
    strayAcks: 0,
    unanswered: 0,
    malformed: 0,
  };
  readonly #core: TransactionCore;
  readonly #anyonesResponses: boolean;
  /** RFC 7339 §4.1: what our Via asks next hops for. */
  readonly #offer: string;
  /** Lets new calls wait, and refuses some, while there are too many. */
  readonly pressure: Pressure | undefined;
  readonly #clients = new Map<string, ClientTransaction | ClientInviteTransaction | ClientRemains>();
  readonly #servers = new Map<string, ServerTransaction | ServerInviteTransaction | ServerRemains>();
  readonly #merges = new Map<string, string>();
  /** For Timers D, J, L, M, and for I, K. */
  readonly #lingering: Lingering;
  readonly #lingeringBriefly: Lingering;

  constructor(options: TransactionOptions, core: TransactionCore) {
    this.clock = options.clock;
    this.random = options.random;
    this.timers = options.timers;
    this.#core = core;
    this.#offer = options.obeysOverload === true ? ';oc;oc-algo="loss"' : '';
    this.#anyonesResponses = options.responsesFrom === 'anyone';
    this.#lingering = new Lingering(options.clock, patienceMs(options.timers));
    this.#lingeringBriefly = new Lingering(options.clock, options.timers.t4Ms);
    this.transport = new TransportLayer(options, this);
    const { overload } = options;
    if (overload !== undefined) {
      this.pressure = new Pressure(overload, options, (data, arrival) => this.transport.deliverLate(data, arrival));
    }
  }

  // ------------------------------------------------------------------ from the transport

  onRequest(request: SipRequest, arrival: Arrival): void {
    // One that waited was counted when it came.
    if (arrival.admitted !== true) this.counters.requestsIn++;
    stampVia(request, arrival);
    this.pressure?.stamp(request);
    const isAck = request.method === 'ACK';
    const key = serverKey(request, arrival, isAck ? 'INVITE' : request.method);
    const known = this.#servers.get(key);
    if (isAck) {
      if (known instanceof ServerInviteTransaction) known.receiveAck(request, arrival);
      else if (known === undefined) this.#core.onAck(request, arrival);
    } else if (known !== undefined) {
      this.counters.retransmissionsIn++;
      known.retransmitted();
    } else if (request.method === 'CANCEL') {
      const inviteKey = serverKey(request, arrival, 'INVITE');
      this.pressure?.hurry(inviteKey);
      const invite = this.#servers.get(inviteKey);
      const user = invite instanceof ServerInviteTransaction ? invite.user : undefined;
      this.#core.onCancel(request, arrival, key, invite === undefined ? undefined : { user });
    } else {
      this.#core.onRequest(request, arrival, key);
    }
  }

  onResponse(response: SipResponse, arrival: Arrival): void {
    this.counters.responsesIn++;
    const transaction = this.#clients.get(clientKey(response));
    if (transaction === undefined) this.counters.strayResponses++;
    else if (this.#isForeign(response, arrival, transaction)) this.counters.foreignResponses++;
    else transaction.receive(response, arrival);
  }

  /**
   * RFC 3261 §18.1.2: the top Via must be ours; §8.1.3.3: and the only one. Who has learnt a branch cannot answer in the
   * peer's place: responses come from where the request went (RFC 3581 §4).
   */
  #isForeign(
    response: SipResponse,
    arrival: Arrival,
    { hop, relays }: ClientTransaction | ClientInviteTransaction | ClientRemains,
  ): boolean {
    if (hop === undefined) return false;
    const { listener } = hop;
    const via = response.topVia;
    if (via.host !== listener.viaHost || (via.port ?? 5060) !== listener.viaPort) return true;
    if (!relays && response.count('Via') > 1) return true;
    return !this.#anyonesResponses && !sameAddress(arrival.address, hop.address);
  }

  onFlowClosed(flow: string): void {
    this.#core.onFlowClosed(flow);
  }

  onMalformed(failure: ParseFailure, arrival: Arrival): void {
    this.counters.malformed++;
    if (failure.partial !== undefined) stampVia(failure.partial, arrival);
    this.#core.onMalformed(failure, arrival);
  }

  onFault(error: unknown): void {
    this.#core.onFault(error);
  }

  onPressed(data: Buffer, arrival: Arrival): boolean {
    if (this.pressure?.takes(data, arrival, this.#knows) !== true) return false;
    this.counters.requestsIn++;
    return true;
  }

  readonly #knows = (key: string): boolean => this.#servers.has(key);

  // ------------------------------------------------------------------ for the core

  /**
   * The key of another live transaction for the same request that came by a different way (RFC 3261 §8.2.2.2), or
   * undefined.
   */
  mergedWith(request: SipRequest): string | undefined {
    return this.#merges.get(mergeKeyOf(request));
  }

  /** @param merge remember the request so that a merged copy is recognised: for requests without a To tag. */
  newServer(request: SipRequest, arrival: Arrival, key: string, merge: boolean): ServerTransaction {
    const mergeKey = merge ? detach(mergeKeyOf(request)) : '';
    const transaction = new ServerTransaction(this, detach(key), mergeKey, replyPath(request, arrival));
    this.#addServer(transaction);
    return transaction;
  }

  newServerInvite(request: SipRequest, arrival: Arrival, key: string, merge: boolean): ServerInviteTransaction {
    const mergeKey = merge ? detach(mergeKeyOf(request)) : '';
    const transaction = new ServerInviteTransaction(this, detach(key), mergeKey, replyPath(request, arrival));
    this.#addServer(transaction);
    return transaction;
  }

  newBranch(): string {
    return MAGIC_COOKIE + this.random.hex(12);
  }

  /** The Via value for a request that leaves by this hop; `rport` as in RFC 3581 §3. */
  viaFor(listener: Listener, branch: string): string {
    return `SIP/2.0/${VIA_TRANSPORT[listener.transport]} ${listener.sentBy};rport;branch=${branch}${this.#offer}`;
  }

  /** Starts a client transaction: the request already carries its Via. */
  sendInvite(request: SipRequest, branch: string, hop: Hop, user: ClientUser): ClientInviteTransaction {
    const transaction = new ClientInviteTransaction(this, `${branch}|INVITE`, hop, user);
    this.#clients.set(transaction.key, transaction);
    this.counters.requestsOut++;
    transaction.start(request);
    return transaction;
  }

  sendRequest(request: SipRequest, branch: string, hop: Hop, user: ClientUser): ClientTransaction {
    const transaction = new ClientTransaction(this, `${branch}|${request.method}`, hop, user);
    this.#clients.set(transaction.key, transaction);
    this.counters.requestsOut++;
    transaction.start(request);
    return transaction;
  }

  /**
   * An answer outside any transaction, RFC 3261 §8.2.7: no state, no repetition, no connection made for it.
   * @param mayExceed given for a sender who may have forged the address: over UDP there are no more octets than came from
   * there, so that nobody can aim more at a third party through us than he sends himself; where it says no, silence
   */
  replyStatelessly(request: SipRequest, arrival: Arrival, response: SipResponse, mayExceed?: () => boolean): void {
    const path = replyPath(request, arrival);
    if (path.hop === undefined) {
      const data = mayExceed === undefined ? response.toBuffer() : shortened(response, arrival.bytes);
      if (mayExceed !== undefined && data.length > arrival.bytes && !mayExceed()) this.counters.unanswered++;
      else this.reply(path, data);
      return;
    }
    this.counters.responsesOut++;
    path.hop.connection?.write(response.toBuffer());
  }

  // ------------------------------------------------------------------ for the transactions

  reply(path: ReplyPath, data: Buffer): void {
    this.counters.responsesOut++;
    if (path.listener.socket !== undefined) {
      path.listener.socket.send(data, path.address, path.port, false);
      return;
    }
    // RFC 3261 §18.2.2: the connection of the request, or a new one to where its Via says.
    const connection = path.hop?.connection;
    if (connection !== undefined && connection.write(data)) return;
    // RFC 7118 §5: nobody can connect to the client of a WebSocket.
    if (path.listener.transport === 'ws' || path.listener.transport === 'wss') return;
    this.transport.send(this.transport.hopTo(path.listener, path.address, path.port), data, false);
  }

  replyAgain(path: ReplyPath, data: Buffer): void {
    this.counters.retransmissionsOut++;
    this.reply(path, data);
  }

  send(hop: Hop, data: Buffer, expectAnswer: boolean): void {
    this.transport.send(hop, data, expectAnswer);
  }

  resend(hop: Hop, data: Buffer, expectAnswer: boolean): void {
    this.counters.retransmissionsOut++;
    this.transport.send(hop, data, expectAnswer);
  }

  lingerClient(key: string, timer: 'D' | 'K' | 'M', remains: ClientRemains): void {
    this.#clients.set(key, remains);
    (timer === 'K' ? this.#lingeringBriefly : this.#lingering).add(this.#clients, key);
  }

  lingerServer(key: string, mergeKey: string, timer: 'I' | 'J' | 'L', remains: ServerRemains): void {
    this.#servers.set(key, remains);
    const lingering = timer === 'I' ? this.#lingeringBriefly : this.#lingering;
    lingering.add(this.#servers, key);
    if (mergeKey !== '') lingering.add(this.#merges, mergeKey);
  }

  endClient(key: string): void {
    this.#clients.delete(key);
  }

  endServer(key: string, mergeKey: string): void {
    this.#servers.delete(key);
    if (mergeKey !== '') this.#merges.delete(mergeKey);
  }

  /** RFC 3261 §17.1.1.3. */
  buildFailureAck(request: SipRequest, response: SipResponse): Buffer {
    return sameHopRequest('ACK', request, response.header('To') ?? '').toBuffer();
  }

  dump(): Record<string, unknown> {
    return {
      clientTransactions: this.#clients.size,
      serverTransactions: this.#servers.size,
      ...this.counters,
      transport: this.transport.dump(),
    };
  }

  /** Every user that still waits is told once, then sockets close and no timer is left. */
  stop(): void {
    for (const transaction of [...this.#clients.values()]) {
      if (!(transaction instanceof ClientTransaction || transaction instanceof ClientInviteTransaction)) continue;
      transaction.onTransportError('ESHUTDOWN');
      transaction.dispose();
    }
    for (const transaction of [...this.#servers.values()]) {
      if (!(transaction instanceof ServerTransaction || transaction instanceof ServerInviteTransaction)) continue;
      // Sockets are still open: what is owed an answer may give one.
      transaction.user?.onTransportError('ESHUTDOWN');
      transaction.dispose();
    }
    this.transport.stop();
    this.#lingering.stop();
    this.#lingeringBriefly.stop();
    this.#clients.clear();
    this.#servers.clear();
    this.#merges.clear();
  }

  #addServer(transaction: ServerTransaction | ServerInviteTransaction): void {
    this.#servers.set(transaction.key, transaction);
    if (transaction.mergeKey !== '') this.#merges.set(transaction.mergeKey, transaction.key);
  }
}

const VIA_TRANSPORT: { readonly [transport in TransportName]: string } = {
  udp: 'UDP',
  tcp: 'TCP',
  tls: 'TLS',
  ws: 'WS',
  wss: 'WSS',
};

/**
 * RFC 3261 §17.2.3, and the address it came from: neither can a stranger touch a transaction whose branch he knows, nor
 * do two senders that chose the same branch meet. Whoever keeps it keeps `detach` of it: it is put together of pieces of
 * the message, which would live as long.
 */
const serverKey = (request: SipRequest, arrival: Arrival, method: string): string => {
  const via = request.topVia;
  const branch = via.branch;
  if (branch !== undefined && branch.length > MAGIC_COOKIE.length && branch.startsWith(MAGIC_COOKIE)) {
    return keyOfVia(via, arrival, method);
  }
  // RFC 2543 peers: no branch worth the name.
  const sender = `${arrival.address}|${via.host}:${via.port ?? 0}`;
  return `${request.callId}|${request.fromTag ?? ''}|${request.cseq.seq}|${method}|${sender}`;
};

const clientKey = (response: SipResponse): string => `${response.topVia.branch ?? ''}|${response.cseq.method}`;

const mergeKeyOf = (request: SipRequest): string =>
  `${request.callId}|${request.fromTag ?? ''}|${request.cseq.seq}|${request.method}`;

const replyPath = (request: SipRequest, arrival: Arrival): ReplyPath =>
  arrival.transport === 'udp'
    ? {
        reliable: false,
        listener: arrival.listener,
        address: arrival.address,
        port: responsePort(request, arrival),
        hop: undefined,
      }
    : {
        reliable: true,
        listener: arrival.listener,
        address: arrival.address,
        port: request.topVia.port ?? 5060,
        hop: arrival.hop,
      };
