/** Building and launching requests: hop choice, Via, and the transactions behind them. */
import type { OutgoingRequest, OutgoingRequestListener, ResponseOrigin, Source } from '../face.js';
import { type NextHop, locate } from '../locate/nextHop.js';
import { responseTo } from '../message/build.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { ClientUser } from '../transaction/clientInvite.js';
import type { Hop, Listener } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import { type CoreHost, outboundSource } from './host.js';

/** An answer that the network did not give, RFC 3261 §8.1.3.1: 408 for silence, 503 for a closed way. */
export const synthesise = (core: CoreHost, request: SipRequest, status: number, reason?: string): SipResponse => {
  const response = responseTo(request, status, reason);
  if (response.toTag === undefined) response.set('To', `${request.header('To') ?? ''};tag=${core.newTag()}`);
  return response;
};

/** What a request's launch comes to. Exactly one of the callbacks is called, perhaps within the call. */
export interface LaunchUser {
  onHops(hops: readonly Hop[]): void;
  onUnresolved(code: string): void;
}

/**
 * Finds the hops of a next hop in the order in which to try them.
 * @param reuse a live hop to take instead when it leads to the same host (the connection a dialog came by).
 */
export const findHops = (core: CoreHost, next: NextHop, prefer: Listener, user: LaunchUser): void => {
  const { transport } = core.layer;
  locate(next, core.resolver, (located) => {
    if (core.stopped()) return;
    if (!located.ok) return user.onUnresolved(located.code);
    const hops: Hop[] = [];
    for (const address of located.addresses) {
      const fits = prefer.transport === next.transport && prefer.family === (address.includes(':') ? 6 : 4);
      const listener = fits ? prefer : transport.listenerFor(next.transport, address, prefer.local.address);
      if (listener !== undefined) hops.push(transport.hopTo(listener, address, next.port));
    }
    if (hops.length === 0) user.onUnresolved('EAFNOSUPPORT');
    else user.onHops(hops);
  });
};

/** Puts Via on a request that is complete but for it; a second launch (next address) replaces the first's. */
export const stampOutgoingVia = (core: CoreHost, request: SipRequest, hop: Hop): string => {
  const branch = core.layer.newBranch();
  const via = core.layer.viaFor(hop.listener, branch);
  if (request.count('Via') === 0) request.prepend('Via', via);
  else request.replaceTopVia(via);
  return branch;
};

/** A non-INVITE request: RFC 3261 §8.1, with the next address tried when a way proves closed. */
export class OutgoingRequestCall implements OutgoingRequest, ClientUser, LaunchUser {
  readonly request: SipRequest;
  source: Source;
  readonly #core: CoreHost;
  readonly #listener: OutgoingRequestListener;
  #hops: readonly Hop[] = [];
  #next = 0;
  #done = false;

  constructor(core: CoreHost, request: SipRequest, from: Listener, listener: OutgoingRequestListener) {
    this.#core = core;
    this.request = request;
    this.#listener = listener;
    this.source = outboundSource(from, undefined, 0);
  }

  onHops(hops: readonly Hop[]): void {
    this.#hops = hops;
    this.#launch();
  }

  /** May come within the call that made us: nobody is told before that has returned. */
  onUnresolved(): void {
    this.#core.layer.clock.setTimer('unresolved', 0, () =>
      this.#finish(synthesise(this.#core, this.request, 503, 'DNS Error'), 'dns', undefined),
    );
  }

  onResponse(response: SipResponse, arrival: Arrival): void {
    if (response.status === 100) return;
    if (response.status >= 200) return this.#finish(response, 'network', arrival);
    this.#core.guard(() => this.#listener.onResponse(response, 'network', arrival));
  }

  onTimeout(): void {
    this.#finish(synthesise(this.#core, this.request, 408), 'timeout', undefined);
  }

  onTransportError(): void {
    if (this.#next < this.#hops.length) this.#launch();
    else this.#finish(synthesise(this.#core, this.request, 503), 'transport', undefined);
  }

  #launch(): void {
    const hop = this.#hops[this.#next++] as Hop;
    const branch = stampOutgoingVia(this.#core, this.request, hop);
    this.source = outboundSource(hop.listener, hop, 0);
    this.#core.layer.sendRequest(this.request, branch, hop, this);
  }

  #finish(response: SipResponse, origin: ResponseOrigin, source: Source | undefined): void {
    if (this.#done) return;
    this.#done = true;
    this.#core.guard(() => this.#listener.onResponse(response, origin, source));
  }
}
