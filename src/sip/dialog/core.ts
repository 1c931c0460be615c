import { type Clock, type Random, SlotMap } from '../../kernel/index.js';
import type {
  EngineEvent,
  EngineHandler,
  HeaderField,
  IncomingInvite,
  IncomingRequest,
  OutgoingInvite,
  OutgoingInviteListener,
  OutgoingRequest,
  OutgoingRequestListener,
  ProxyListener,
  ProxyPlan,
  ProxyRefusal,
  Refusal,
  RequestSpec,
  SipEngine,
} from '../face.js';
import type { SipRequest } from '../message/message.js';
import { Locator } from '../locate/locator.js';
import { type Target, nextHopOfText } from '../locate/nextHop.js';
import type { MessageLimits, ParseFailure } from '../message/parse.js';
import type { HostResolver, SipNetwork } from '../ports.js';
import { type CancelledInvite, TransactionLayer, type TransactionCore } from '../transaction/layer.js';
import { DEFAULT_TIMERS, type TimerSettings } from '../transaction/timers.js';
import type { ListenSpec } from '../transport/hop.js';
import { LargeRequests } from '../transport/largeRequests.js';
import type { Arrival } from '../transport/layer.js';
import type { OverloadGate } from '../transport/overload.js';
import { Admission } from './admission.js';
import { type DialogParts, InviteDialog } from './dialog.js';
import { type CoreHost, dialogKeyOfRequest } from './host.js';
import { IncomingInviteCall } from './incomingInvite.js';
import { IncomingRequestCall, buildResponse } from './incomingRequest.js';
import { receiveInDialog } from './inDialog.js';
import { type BuiltRequest, buildOutOfDialog } from './outOfDialog.js';
import { type SameParty, askParty, isPeerHost } from './party.js';
import { type LaunchUser, OutgoingRequestCall, findWays } from './outgoing.js';
import { OutgoingInviteCall } from './outgoingInvite.js';
import { Subscriptions } from './subscription.js';
import { Relay } from '../proxy/relay.js';

export interface EngineOptions {
  readonly network: SipNetwork;
  readonly clock: Clock;
  readonly random: Random;
  readonly resolver: HostResolver;
  readonly listen: readonly ListenSpec[];
  readonly handler: EngineHandler;
  readonly timers?: Partial<TimerSettings> | undefined;
  readonly limits?: Partial<MessageLimits> | undefined;
  /** Value of User-Agent and Server; absent: neither is written. */
  readonly userAgent?: string | undefined;
  /** As in TransactionOptions: `anyone` for peers that answer from another of their addresses. */
  readonly responsesFrom?: 'peer' | 'anyone' | undefined;
  /**
   * Requests of more than 1300 octets to where the URI does not name UDP (RFC 3261 §18.1.1): over TCP, where there is a
   * listener for it and the peer takes it, or over UDP all the same (default).
   */
  readonly largeRequests?: 'tcp' | 'udp' | undefined;
  /** Most streams open at a time; default 4096. */
  readonly maxConnections?: number | undefined;
  /** As in TransportOptions. */
  readonly idleConnectionMs?: number | undefined;
  readonly keepAliveMs?: number | undefined;
  /**
   * Secret that seals the routes of proxied calls. Given: requests on such routes are forwarded from the start, so that
   * calls survive a restart with the same one. Absent: from the first `proxy` on, with a key of this engine's own.
   */
  readonly routeKey?: string | undefined;
  /** How long a contact of ours may be silent before another node, which calls it, is told so; absent: until Timer B. */
  readonly nodeSilenceMs?: number | undefined;
  /** Option tags that the handler can serve; a Require of any other gets 420. `*`: all. */
  readonly supported?: readonly string[] | undefined;
  readonly onEvent?: ((event: EngineEvent) => void) | undefined;
  /** Refuses new calls while there are too many; absent: nobody does. */
  readonly overload?: OverloadGate | undefined;
  /** Ask next hops by `oc` (RFC 7339) how many calls they can take. What they say is in the Via of their answers. */
  readonly obeysOverload?: boolean | undefined;
}

/** The user agent core, RFC 3261 §8: between the transactions below and the engine's user above. */
export class UserAgentCore implements TransactionCore, CoreHost, SipEngine {
  readonly layer: TransactionLayer;
  readonly resolver: HostResolver;
  readonly locator: Locator;
  readonly large: LargeRequests | undefined;
  readonly userAgent: string | undefined;
  readonly sameParty: SameParty | undefined;
  readonly #handler: EngineHandler;
  readonly #onEvent: ((event: EngineEvent) => void) | undefined;
  readonly #admission: Admission;
  readonly #dialogs = new SlotMap<InviteDialog>();
  readonly unlaunched = new Set<LaunchUser>();
  /** Requests within dialogs whose sender's right is being found out. */
  readonly #asking = new Set<string>();
  /** The proxy role; undefined while nobody plays it. */
  #relay: Relay | undefined;
  readonly #silenceMs: number | undefined;
  /** Undefined while nobody subscribes to anything. */
  #subscriptions: Subscriptions | undefined;
  #stopped = false;

  constructor(options: EngineOptions) {
    this.resolver = options.resolver;
    this.userAgent = options.userAgent;
    this.#handler = options.handler;
    this.sameParty = options.handler.sameParty?.bind(options.handler);
    this.#onEvent = options.onEvent;
    this.#silenceMs = options.nodeSilenceMs;
    const hearsNodes = options.listen.some(({ admits }) => admits !== undefined);
    const routeKey = options.routeKey ?? (hearsNodes ? options.random.hex(32) : undefined);
    if (routeKey !== undefined) this.#relay = this.#newRelay(routeKey);
    const timers = { ...DEFAULT_TIMERS, ...options.timers };
    this.layer = new TransactionLayer({ ...options, timers }, this);
    const { transport, clock } = this.layer;
    if (options.largeRequests === 'tcp') this.large = new LargeRequests(transport, clock);
    this.locator = new Locator({
      ...options,
      serves: (wanted) => transport.listeners.some((l) => l.transport === wanted),
    });
    this.#admission = new Admission(this, options.handler, options.supported ?? ['100rel', 'timer', 'replaces']);
  }

  get listening(): readonly string[] {
    return this.layer.transport.listeners
      .filter((l) => !l.isInner && l.admits === undefined)
      .map((l) => `${l.transport}/${l.sentBy}`);
  }

  // ------------------------------------------------------------------ requests from the network

  onRequest(request: SipRequest, arrival: Arrival, key: string): void {
    if (request.toTag !== undefined) {
      const dialog = this.#dialogs.get(dialogKeyOfRequest(request));
      if (dialog === undefined) {
        if (request.method === 'NOTIFY') {
          // RFC 6665 §4.1.2.2: it may come before the answer to our SUBSCRIBE.
          const made = this.#subscriptions?.notified(request, arrival);
          if (made !== undefined) return this.#inDialog(made, request, arrival, key);
        }
        if (this.#relay?.follow(request, arrival, key) === true) return;
        return this.#refuseUnknown(request, arrival); // RFC 3261 §12.2.2
      }
      return this.#inDialog(dialog, request, arrival, key);
    }
    if (arrival.listener.admits !== undefined) return this.#fromNode(request, arrival, key);
    if (!this.#admission.admit(request, arrival)) return;
    if (request.method === 'INVITE') {
      if (this.#hasRoomFor(request, arrival)) this.#newInvite(request, arrival, key);
    } else this.#newRequest(request, arrival, key);
  }

  /** What another node may want here is a contact that this one reaches, and nothing else. */
  #fromNode(request: SipRequest, arrival: Arrival, key: string): void {
    if (this.#relay?.enter(request, arrival, key) !== true) this.#admission.refuse(request, arrival, 403);
  }

  #inDialog(dialog: InviteDialog, request: SipRequest, arrival: Arrival, key: string): void {
    if (isPeerHost(this, dialog, arrival.address)) {
      return receiveInDialog(this, dialog, request, { arrival, key, admission: this.#admission });
    }
    // Its sender is still being looked up: a repetition.
    if (this.#asking.has(key)) return;
    this.#asking.add(key);
    askParty(this, dialog, arrival.address, (isPeer) => {
      this.#asking.delete(key);
      if (isPeer && dialog.state !== 'terminated') {
        return receiveInDialog(this, dialog, request, { arrival, key, admission: this.#admission });
      }
      if (!isPeer) this.layer.counters.foreignRequests++;
      this.#refuseUnknown(request, arrival);
    });
  }

  /** What belongs to nothing that we know: 481, or whatever the gate has for its sender. */
  #refuseUnknown(request: SipRequest, arrival: Arrival): void {
    const isNode = arrival.listener.admits !== undefined;
    if (isNode || this.#admission.screened(request, arrival)) this.#admission.refuse(request, arrival, 481);
  }

  /** New calls that the transport's glance could not read do not wait; they are refused here, at a higher price. */
  #hasRoomFor(request: SipRequest, arrival: Arrival): boolean {
    const { pressure } = this.layer;
    if (pressure === undefined || arrival.admitted === true) return true;
    const { gate } = pressure;
    if (!pressure.isRefusing || gate.isExempt(arrival.address, request.uri)) return true;
    gate.refused();
    const headers: HeaderField[] = [
      ['Retry-After', String(gate.retryAfterS)],
      ['Reason', 'SIP;cause=503;text="overload"'],
    ];
    this.#admission.refuse(request, arrival, 503, { headers });
    return false;
  }

  #newInvite(request: SipRequest, arrival: Arrival, key: string): void {
    const transaction = this.layer.newServerInvite(request, arrival, key, true);
    const invite = new IncomingInviteCall(this, transaction, request, { arrival, dialog: undefined });
    invite.respond(100); // RFC 3261 §17.2.1: at once, the user may take its time
    if (this.guard(() => this.#handler.onInvite(invite))) invite.watch();
    else invite.respond(500);
  }

  #newRequest(request: SipRequest, arrival: Arrival, key: string): void {
    const transaction = this.layer.newServer(request, arrival, key, true);
    const call = new IncomingRequestCall(this, transaction, request, { source: arrival, dialog: undefined });
    call.offer((offered) => this.#handler.onRequest(offered));
  }

  onAck(ack: SipRequest, arrival: Arrival): void {
    const dialog = this.#dialogs.get(dialogKeyOfRequest(ack));
    const invite = dialog?.pendingIn;
    if (dialog === undefined && this.#relay?.followAck(ack, arrival) === true) return;
    // RFC 3261 §17.2.3: silence.
    if (dialog === undefined || invite?.seq !== ack.cseq.seq) return void this.layer.counters.strayAcks++;
    askParty(this, dialog, arrival.address, (isPeer) => {
      if (isPeer) invite.onAck(ack, arrival);
      else this.layer.counters.foreignRequests++;
    });
  }

  /** RFC 3261 §9.2. */
  onCancel(cancel: SipRequest, arrival: Arrival, key: string, invite: CancelledInvite | undefined): void {
    // Only whoever sent the INVITE may withdraw it: the sender's address is part of the key that found it.
    if (invite === undefined) return this.#refuseUnknown(cancel, arrival);
    const call = invite.user;
    const transaction = this.layer.newServer(cancel, arrival, key, false);
    const response = buildResponse(this, cancel, 200, {
      fields: {},
      tag: call?.localTag ?? this.newTag(),
      listener: arrival.listener,
      contact: false,
    });
    transaction.respond(200, response.toBuffer());
    call?.cancelled(cancel);
  }

  onMalformed(failure: ParseFailure, arrival: Arrival): void {
    this.#emit({ type: 'malformed', source: arrival, reason: failure.reason });
    this.#admission.refuseMalformed(failure, arrival);
  }

  onFlowClosed(flow: string): void {
    this.guard(() => this.#handler.onFlowClosed?.(flow));
  }

  onFault(error: unknown): void {
    this.#emit({ type: 'user_error', error });
  }

  // ------------------------------------------------------------------ requests from the user

  invite(spec: Omit<RequestSpec, 'method'>, listener: OutgoingInviteListener): OutgoingInvite | Refusal {
    const built = buildOutOfDialog(this, spec, 'INVITE', true);
    if ('refusal' in built) return built;
    const flow = spec.flow === undefined ? undefined : built.flow;
    const origin = { listener: built.listener, dialog: undefined, flow, symmetric: spec.symmetric };
    const call = new OutgoingInviteCall(this, built.request, origin, listener);
    this.#launch(built, call);
    return call;
  }

  request(spec: RequestSpec, listener: OutgoingRequestListener): OutgoingRequest | Refusal {
    const built = buildOutOfDialog(this, spec, spec.method, false);
    if ('refusal' in built) return built;
    const call = new OutgoingRequestCall(this, built.request, built.listener, listener);
    if (spec.dialog !== undefined && spec.method === 'SUBSCRIBE') {
      call.wanted = (this.#subscriptions ??= new Subscriptions()).want(this, built.request, spec.dialog);
    }
    this.#launch(built, call);
    return call;
  }

  proxy(request: IncomingInvite | IncomingRequest, plan: ProxyPlan, listener: ProxyListener): ProxyRefusal | undefined {
    const relay = (this.#relay ??= this.#newRelay(this.layer.random.hex(32)));
    const refused = relay.check(request.request, plan);
    if (refused !== undefined) return refused;
    const call = request instanceof IncomingInviteCall || request instanceof IncomingRequestCall ? request : undefined;
    const taken = call?.handOver();
    if (taken === undefined) return { refusal: 'answered', detail: 'the request has been answered' };
    relay.proxy(taken.transaction, { message: request.request, arrival: taken.arrival }, plan, listener);
    return undefined;
  }

  #newRelay(key: string): Relay {
    const onRelayed = this.#handler.onRelayed?.bind(this.#handler);
    return new Relay(this, key, { onRelayed, silenceMs: this.#silenceMs });
  }

  #launch({ next, listener, flow }: BuiltRequest, user: LaunchUser): void {
    if (flow === undefined) findWays(this, next, listener, user);
    else user.onWays([flow]);
  }

  locate(uri: string, located: (targets: readonly Target[]) => void): void {
    const next = this.#stopped ? undefined : nextHopOfText(uri);
    if (next === undefined) located([]);
    else this.locator.locate(next, located);
  }

  // ------------------------------------------------------------------ host of dialogs and requests

  newTag(): string {
    return this.layer.random.hex(16);
  }

  nodeRoute(flow: string): string | undefined {
    return this.#relay?.nodeRoute(flow);
  }

  newDialog(parts: DialogParts): InviteDialog {
    const dialog = new InviteDialog(this, parts);
    this.#dialogs.set(dialog.key, dialog);
    return dialog;
  }

  removeDialog(dialog: InviteDialog): void {
    this.#dialogs.delete(dialog.key);
  }

  guard(call: () => void): boolean {
    try {
      call();
      return true;
    } catch (error) {
      this.onFault(error);
      return false;
    }
  }

  stopped(): boolean {
    return this.#stopped;
  }

  dump(): Record<string, unknown> {
    const proxied = this.#relay === undefined ? {} : { proxied: this.#relay.open };
    return { dialogs: this.#dialogs.size, ...proxied, ...this.locator.dump(), ...this.layer.dump() };
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const dialog of [...this.#dialogs.values()]) {
      // Those of open INVITEs end with the answer that their transactions now get.
      if (dialog.state === 'confirmed') dialog.terminate('shutdown', undefined);
    }
    for (const user of [...this.unlaunched]) user.abandon();
    this.locator.close();
    this.layer.stop();
    for (const dialog of [...this.#dialogs.values()]) dialog.terminate('shutdown', undefined);
  }

  /** An observer that throws is nobody's failure but its own. */
  #emit(event: EngineEvent): void {
    try {
      this.#onEvent?.(event);
    } catch {
      // There is nobody left to tell.
    }
  }
}
