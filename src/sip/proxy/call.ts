import type { Source } from '../face.js';
import type { CoreHost } from '../dialog/host.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import { param, parseNameAddr } from '../message/nameAddr.js';
import type { ServerTransaction, ServerUser } from '../transaction/server.js';
import type { ServerInviteTransaction, ServerInviteUser } from '../transaction/serverInvite.js';
import type { Hop, Listener } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import { type BranchOwner, ProxyBranch } from './branch.js';
import { bestOf, gatherChallenges, soften } from './choice.js';
import { type Received, copyFor, nextHopOfTarget } from './forward.js';
import type { ProxyListener, ProxyPlan } from './plan.js';
import type { RouteSeal } from './recordRoute.js';

/** §16.5 wants each target once; a redirection that never ends has to end somewhere. */
const MAX_TARGETS = 32;

export interface ProxyParts {
  readonly transaction: ServerInviteTransaction | ServerTransaction;
  readonly received: Received;
  readonly arrival: Arrival;
  readonly seal: RouteSeal;
  /** Where copies leave from, where it is known: the second of our own two routes (RFC 5658 §3). */
  readonly leaveFrom?: Listener | undefined;
}

/** The response context of one request, RFC 3261 §16.7: its copies, their answers, and the one that goes back. */
export class ProxyCall implements BranchOwner, ServerInviteUser, ServerUser {
  readonly core: CoreHost;
  readonly loopMark: string;
  readonly provisionalTimeoutMs: number | undefined;
  readonly finalTimeoutMs: number | undefined;
  reasons: readonly string[] = [];
  readonly #parts: ProxyParts;
  readonly #plan: ProxyPlan;
  readonly #listener: ProxyListener;
  readonly #targets: string[] = [];
  readonly #branches: ProxyBranch[] = [];
  readonly #candidates: SipResponse[] = [];
  #searching = true;
  #withdrawn = false;
  #launching = false;
  #finished = false;

  constructor(core: CoreHost, parts: ProxyParts, plan: ProxyPlan, listener: ProxyListener) {
    this.core = core;
    this.#parts = parts;
    this.#plan = plan;
    this.#listener = listener;
    this.loopMark = parts.received.loopMark;
    this.provisionalTimeoutMs = plan.provisionalTimeoutMs;
    this.finalTimeoutMs = plan.finalTimeoutMs;
    parts.transaction.user = this;
    for (const target of plan.targets) this.#addTarget(target);
  }

  start(): void {
    this.advance();
  }

  // ------------------------------------------------------------------ branches

  /** @returns whether it is one that can be tried and was not yet. */
  #addTarget(uri: string): boolean {
    if (this.#targets.length >= MAX_TARGETS || this.#targets.includes(uri)) return false;
    if (nextHopOfTarget(uri) === undefined) return false;
    this.#targets.push(uri);
    return true;
  }

  /** Tries what is left to try, and answers when nothing is. */
  advance(): void {
    if (this.#launching || this.#finished) return;
    this.#launching = true;
    while (this.#searching && this.#branches.length < this.#targets.length && this.#mayLaunch()) {
      this.#launch(this.#targets[this.#branches.length] as string);
    }
    this.#launching = false;
    if (!this.#finished && this.#branches.every((branch) => branch.over)) this.#finish();
  }

  #mayLaunch(): boolean {
    return this.#plan.parallel === true || this.#branches.every((branch) => branch.over);
  }

  #launch(uri: string): void {
    const copied = copyFor(this.#parts.received, uri, undefined);
    const { transport } = this.core.layer;
    const { arrival, leaveFrom } = this.#parts;
    const next = copied?.next ?? { host: '', port: 0, transport: arrival.transport };
    const named = this.#plan.flowTo?.(uri);
    const flow = named === undefined ? undefined : transport.flows.way(named);
    const near = transport.listenerFor(next.transport, next.host, arrival.localAddress);
    const prefer = flow?.listener ?? leaveFrom ?? near ?? arrival.listener;
    const branch = new ProxyBranch(this, { uri, next, flow }, prefer);
    this.#branches.push(branch);
    branch.start();
  }

  copyFor(branch: ProxyBranch, listener: Listener, hop?: Hop): SipRequest {
    const { received, arrival, seal } = this.#parts;
    const { request } = copyFor(received, branch.target, this.#plan.headers) as { request: SipRequest };
    if (this.#plan.recordRoute !== true) return request;
    const isRegister = request.method === 'REGISTER';
    const name = isRegister ? 'Path' : 'Record-Route';
    const { flows } = this.core.layer.transport;
    const back = openedByPeer(arrival.hop) ? flows.keep(arrival) : undefined;
    const on = openedByPeer(hop)
      ? flows.keep({ listener: hop.listener, address: hop.address, port: hop.port, hop })
      : this.#plan.keepFlow === true
        ? this.#plan.flowTo?.(branch.target)
        : undefined;
    // RFC 5658 §3: where it leaves by another way than it came, each side gets the route that it can use.
    if (arrival.listener !== listener || back !== undefined || on !== undefined) {
      request.prepend(name, seal.routeFor(arrival.listener, received.request, back));
    }
    request.prepend(name, seal.routeFor(listener, received.request, on));
    if (isRegister) request.add('Require', 'path'); // RFC 3327 §5.2: a registrar that cannot keep it must say so
    return request;
  }

  onSent(request: SipRequest, source: Source): void {
    const { onForwarded } = this.#listener;
    if (onForwarded !== undefined) this.core.guard(() => onForwarded.call(this.#listener, request, source));
  }

  // ------------------------------------------------------------------ answers

  forward(response: SipResponse, source: Source): void {
    if (response.status < 200) {
      if (!this.#finished) this.#respond(response);
      return;
    }
    const first = !this.#finished;
    this.#finished = true;
    if (first) this.#tell(() => this.#listener.onTargetFinal(response, source));
    // §16.7 step 10: 2xx of an INVITE always, of other requests once.
    if (first || response.cseq.method === 'INVITE') this.#respond(response);
    if (first) this.#tell(() => this.#listener.onDone(response));
  }

  candidate(response: SipResponse, source: Source | undefined): void {
    if (this.#finished) return;
    this.#candidates.push(response);
    this.#tell(() => this.#listener.onTargetFinal(response, source));
  }

  redirected(response: SipResponse, source: Source): void {
    if (this.#finished) return;
    if (this.#plan.followRedirects !== true || !this.#searching) return this.candidate(response, source);
    // §16.7 step 4: best first (q, §20.10); one that was followed is no candidate any more.
    let followed = false;
    for (const uri of contactsOf(response)) followed = this.#addTarget(uri) || followed;
    if (!followed) return this.candidate(response, source);
    this.#tell(() => this.#listener.onTargetFinal(response, source));
  }

  stopSearch(): void {
    this.#searching = false;
  }

  cancelOthers(than: ProxyBranch | undefined): void {
    this.#searching = false;
    for (const branch of this.#branches) if (branch !== than) branch.handle('withdraw');
  }

  #finish(): void {
    this.#finished = true;
    const best = bestOf(this.#candidates, this.#withdrawn);
    if (best !== undefined) gatherChallenges(best, this.#candidates);
    const response = best === undefined ? undefined : soften(best);
    // RFC 4320 §4.2: nobody waits for a 408 of anything but INVITE.
    const silent = response === undefined || (response.status === 408 && response.cseq.method !== 'INVITE');
    if (silent) this.#parts.transaction.dispose();
    else this.#respond(response);
    this.#tell(() => this.#listener.onDone(silent ? undefined : response));
  }

  /** §16.7 steps 3, 8 and 9: our Via comes off. Nobody else looks at the response any more. */
  #respond(response: SipResponse): void {
    response.removeTopVia();
    this.#parts.transaction.respond(response.status, response.toBuffer());
  }

  #tell(call: () => void): void {
    this.core.guard(call);
  }

  // ------------------------------------------------------------------ the caller

  /** §16.10: each copy is withdrawn; the caller's 487 is the best of what they then answer. */
  cancelled(cancel: SipRequest): void {
    this.#withdrawn = true;
    this.reasons = cancel.headerAll('Reason');
    this.cancelOthers(undefined);
    this.advance();
  }

  /** Of a 2xx, by the branch of its INVITE (RFC 2543): without a route of ours it is not for us to carry. */
  onAck(): void {}

  onAckTimeout(): void {}

  /** The engine stops. */
  onTransportError(): void {
    this.#searching = false;
  }
}

/** A connection that we could not make anew: whoever is at its other end is reached by it or not at all (RFC 5626 §5.1). */
const openedByPeer = (hop: Hop | undefined): hop is Hop => hop?.connection !== undefined && !hop.dialable;

/** Contacts of a redirection, by falling q. */
const contactsOf = (response: SipResponse): string[] =>
  response
    .headerList('Contact')
    .map((value) => ({ value, q: qOf(value) }))
    .sort((a, b) => b.q - a.q)
    .map(({ value }) => addressOf(value));

const qOf = (contact: string): number => {
  const q = Number.parseFloat(param(parseNameAddr(contact)?.params ?? '', 'q') ?? '1');
  return Number.isFinite(q) ? q : 1;
};
const addressOf = (contact: string): string => parseNameAddr(contact)?.uri ?? '';
