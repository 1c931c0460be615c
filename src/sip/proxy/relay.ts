import { createHash } from 'node:crypto';
import type { Source } from '../face.js';
import { buildResponse } from '../dialog/incomingRequest.js';
import type { CoreHost } from '../dialog/host.js';
import { type LaunchUser, findWays, hopOf } from '../dialog/outgoing.js';
import type { SipRequest } from '../message/message.js';
import { parseNameAddr } from '../message/nameAddr.js';
import { type SipUri, parseUri } from '../message/uri.js';
import { MAGIC_COOKIE } from '../transaction/layer.js';
import type { ServerTransaction } from '../transaction/server.js';
import type { ServerInviteTransaction } from '../transaction/serverInvite.js';
import type { Listener, Way } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import { ProxyCall } from './call.js';
import { type Received, copyFor, hasLooped, hopsLeft, loopMarkOf, nextHopOfTarget } from './forward.js';
import type { ProxyListener, ProxyPlan, ProxyRefusal } from './plan.js';
import { RouteSeal, flowIn, uriOfRoute } from './recordRoute.js';

/** A request with the routes taken off that lead through us. */
interface Unrouted extends Received {
  /** True when one of them carried our seal for this call. */
  readonly sealed: boolean;
  /** The listener that the last of them named, and the flow, where it had a seal. */
  readonly listener: Listener | undefined;
  readonly flow: string | undefined;
}

export interface RelaySettings {
  /** Told of each request within a dialog that passes. */
  readonly onRelayed: ((request: SipRequest, source: Source) => void) | undefined;
  /** How long a contact may be silent that another node calls; undefined: until Timer B. */
  readonly silenceMs?: number | undefined;
}

const NOBODY: ProxyListener = { onTargetFinal: () => {}, onDone: () => {} };

const refuse = (refusal: ProxyRefusal['refusal'], detail: string): ProxyRefusal => ({ refusal, detail });

/** The proxy role, RFC 3261 §16: requests that a user hands over, and whatever then follows on their route. */
export class Relay {
  readonly #core: CoreHost;
  readonly #seal: RouteSeal;
  readonly #onRelayed: ((request: SipRequest, source: Source) => void) | undefined;
  readonly #silenceMs: number | undefined;
  /** Requests that a user handed over and that have no final answer yet. */
  open = 0;

  /**
   * @param key seals our routes
   */
  constructor(core: CoreHost, key: string, { onRelayed, silenceMs }: RelaySettings) {
    this.#core = core;
    this.#seal = new RouteSeal(key);
    this.#onRelayed = onRelayed;
    this.#silenceMs = silenceMs;
  }

  /** Whether the plan can be followed at all. Asked before the request is taken from its user. */
  check(request: SipRequest, plan: ProxyPlan): ProxyRefusal | undefined {
    if (this.#core.stopped()) return refuse('stopped', 'the engine has stopped');
    const bad = plan.targets.find((target) => nextHopOfTarget(target) === undefined);
    if (bad !== undefined) return refuse('invalid_target', `no SIP URI that can be reached: ${bad}`);
    if (plan.targets.length === 0) return refuse('invalid_target', 'there is no target');
    if (hopsLeft(request) === undefined) return refuse('too_many_hops', 'Max-Forwards is 0');
    return undefined;
  }

  /** A request outside dialogs, taken from its user. */
  proxy(
    transaction: ServerInviteTransaction | ServerTransaction,
    request: { readonly message: SipRequest; readonly arrival: Arrival },
    plan: ProxyPlan,
    listener: ProxyListener,
  ): void {
    const { message, arrival } = request;
    const received = this.#unroute(message);
    this.open++;
    const counted: ProxyListener = {
      onForwarded: (copy, source) => listener.onForwarded?.(copy, source),
      onTargetFinal: (response, source) => listener.onTargetFinal(response, source),
      onDone: (response) => {
        this.open--;
        listener.onDone(response);
      },
    };
    if (hasLooped(message, received.loopMark, this.#core.layer.transport.listeners)) {
      const looped = this.#answer(message, arrival, 482);
      transaction.respond(482, looped.toBuffer());
      counted.onDone(looped);
      return;
    }
    new ProxyCall(this.#core, { transaction, received, arrival, seal: this.#seal }, plan, counted).start();
  }

  /** The Route by which other nodes reach what this flow leads to; undefined where we listen to none. */
  nodeRoute(flow: string): string | undefined {
    const listener = this.#core.layer.transport.listeners.find(({ admits }) => admits !== undefined);
    return listener === undefined ? undefined : this.#seal.routeOver(listener, flow);
  }

  /**
   * An INVITE of another node for a contact that is connected here (RFC 5626 §5.3). Its call, with limits and record, is that
   * node's; here it is carried as by an edge proxy that stays in the path.
   * @returns false when no route of ours leads it on
   */
  enter(request: SipRequest, arrival: Arrival, key: string): boolean {
    const [first, ...others] = request.headerList('Route');
    const mine = first === undefined ? undefined : this.#own(uriOfRoute(first));
    if (mine === undefined || others.length > 0 || request.method !== 'INVITE') return false;
    const { layer } = this.#core;
    const flow = this.#seal.flowOfNodeRoute(mine.uri);
    const transaction = layer.newServerInvite(request, arrival, key, false);
    const received: Received = { request, routes: others, loopMark: loopMarkOf(request) };
    const status =
      flow === undefined || layer.transport.flows.way(flow) === undefined
        ? 430
        : hopsLeft(request) === undefined
          ? 483
          : nextHopOfTarget(request.uri) === undefined
            ? 404
            : 100;
    transaction.respond(status, this.#answer(request, arrival, status).toBuffer());
    if (status !== 100) return true;
    this.open++;
    const plan: ProxyPlan = {
      targets: [request.uri],
      recordRoute: true,
      keepFlow: true,
      flowTo: () => flow,
      provisionalTimeoutMs: this.#silenceMs,
    };
    const parts = { transaction, received, arrival, seal: this.#seal };
    new ProxyCall(this.#core, parts, plan, { ...NOBODY, onDone: () => void this.open-- }).start();
    return true;
  }

  /** A request within a dialog that is none of ours. @returns false when no sealed route of ours leads it here */
  follow(request: SipRequest, arrival: Arrival, key: string): boolean {
    const received = this.#sealedRoute(request);
    if (received === undefined) return false;
    const { layer } = this.#core;
    const isInvite = request.method === 'INVITE';
    const transaction = isInvite
      ? layer.newServerInvite(request, arrival, key, false)
      : layer.newServer(request, arrival, key, false);
    const status = hopsLeft(request) === undefined ? 483 : this.#unreachable(received) ? 404 : undefined;
    if (status !== undefined) {
      transaction.respond(status, this.#answer(request, arrival, status).toBuffer());
      return true;
    }
    if (isInvite) transaction.respond(100, this.#answer(request, arrival, 100).toBuffer());
    const onRelayed = this.#onRelayed;
    if (onRelayed !== undefined) this.#core.guard(() => onRelayed(request, arrival));
    const parts = { transaction, received, arrival, seal: this.#seal, leaveFrom: received.listener };
    const plan = { targets: [received.request.uri], flowTo: () => flowOf(received) };
    new ProxyCall(this.#core, parts, plan, NOBODY).start();
    return true;
  }

  /** The ACK of a 2xx: no transaction, RFC 3261 §16.11. @returns as `follow` */
  followAck(ack: SipRequest, arrival: Arrival): boolean {
    const received = this.#sealedRoute(ack);
    if (received === undefined) return false;
    const copied = hopsLeft(ack) === undefined ? undefined : copyFor(received, received.request.uri, undefined);
    if (copied === undefined) return true;
    const core = this.#core;
    const { request, next } = copied;
    const { transport } = core.layer;
    const prefer = received.listener ?? transport.listenerFor(next.transport, next.host) ?? arrival.listener;
    const named = flowOf(received);
    const flow = named === undefined ? undefined : transport.flows.way(named);
    const user: LaunchUser = {
      onWays: (ways) => {
        const hop = hopOf(core, ways[0] as Way);
        request.prepend('Via', core.layer.viaFor(hop.listener, statelessBranch(ack)));
        core.layer.counters.requestsOut++;
        transport.send(hop, request.toBuffer(), false);
      },
      onUnresolved: () => {},
      abandon: () => {},
    };
    if (flow === undefined) findWays(core, next, prefer, user);
    else user.onWays([flow]);
    return true;
  }

  #unreachable(received: Received): boolean {
    return copyFor(received, received.request.uri, undefined) === undefined;
  }

  #answer(request: SipRequest, { listener }: Arrival, status: number) {
    const tag = this.#core.newTag();
    return buildResponse(this.#core, request, status, { fields: {}, tag, listener, contact: false });
  }

  #sealedRoute(request: SipRequest): Unrouted | undefined {
    if (request.count('Route') === 0 && !request.uri.includes(';lr')) return undefined;
    const received = this.#unroute(request);
    return received.sealed ? received : undefined;
  }

  /** §16.4: what leads to us is taken off; a strict router's Request-URI is put right. */
  #unroute(request: SipRequest): Unrouted {
    const loopMark = loopMarkOf(request);
    const routes = request.headerList('Route');
    let sealed = false;
    let listener: Listener | undefined;
    let flow: string | undefined;
    const own = request.uri.includes(';lr') ? this.#own(parseUri(request.uri)) : undefined;
    const last = routes.at(-1);
    if (own !== undefined && last !== undefined) {
      sealed = this.#seal.holds(own.uri, request);
      routes.pop();
      request.uri = parseNameAddr(last)?.uri ?? last;
    }
    for (let first = routes[0]; first !== undefined; first = routes[0]) {
      const mine = this.#own(uriOfRoute(first));
      if (mine === undefined) break;
      const holds = this.#seal.holds(mine.uri, request);
      sealed ||= holds;
      flow = holds ? flowIn(mine.uri) : undefined;
      listener = mine.listener;
      routes.shift();
    }
    return { request, routes, loopMark, sealed, listener, flow };
  }

  #own(uri: SipUri | undefined): { readonly uri: SipUri; readonly listener: Listener } | undefined {
    if (uri === undefined) return undefined;
    const port = uri.port ?? 5060;
    const named = this.#core.layer.transport.listeners.filter((l) => l.viaHost === uri.host && l.viaPort === port);
    const transport = /;transport=(\w+)/i.exec(uri.params)?.[1]?.toLowerCase() ?? 'udp';
    const listener = named.find((l) => l.transport === transport) ?? named[0];
    return listener === undefined ? undefined : { uri, listener };
  }
}

/** Whoever put a route of his own behind ours is followed. */
const flowOf = ({ routes, flow }: Unrouted): string | undefined => (routes.length === 0 ? flow : undefined);

/** §16.11: the same ACK gets the same branch, though nothing is kept. */
const statelessBranch = (ack: SipRequest): string =>
  `${MAGIC_COOKIE}.${createHash('sha1').update(ack.topVia.raw).digest('hex').slice(0, 16)}`;
