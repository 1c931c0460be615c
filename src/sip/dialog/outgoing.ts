/** Building and launching requests: hop choice, Via, and the transactions behind them. */
import type { Timer } from '../../kernel/index.js';
import type { OutgoingRequest, OutgoingRequestListener, ResponseOrigin, Source } from '../face.js';
import { type NextHop, type Target, isNumericHost } from '../locate/nextHop.js';
import { responseTo } from '../message/build.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { ClientUser } from '../transaction/clientInvite.js';
import { type Hop, type Listener, type Way, canonicalAddress, familyOf } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import { type CoreHost, outboundSource } from './host.js';
import type { InviteDialog } from './dialog.js';
import type { WantedDialog } from './subscription.js';

/** An answer that the network did not give, RFC 3261 §8.1.3.1: 408 for silence, 503 for a closed way. */
export const synthesise = (core: CoreHost, request: SipRequest, status: number, reason?: string): SipResponse => {
  const response = responseTo(request, status, reason);
  if (response.toTag === undefined) response.set('To', `${request.header('To') ?? ''};tag=${core.newTag()}`);
  return response;
};

/** Where an INVITE starts from. */
export interface InviteOrigin {
  readonly listener: Listener;
  /** For a re-INVITE: its dialog. */
  readonly dialog: InviteDialog | undefined;
  /** Over which a registered contact is reached, for a first INVITE. */
  readonly flow?: Way | undefined;
  /** The peer is behind NAT: see RequestSpec. */
  readonly symmetric?: boolean | undefined;
}

/** What a request's launch comes to. Exactly one of the callbacks is called, perhaps within the call. */
export interface LaunchUser {
  /** In the order in which to try them; never empty. */
  onWays(ways: readonly Way[]): void;
  onUnresolved(): void;
  /** The engine stops before either: the request's user is told. */
  abandon(): void;
}

/** Finds the targets of a next hop, and calls `user` once: within the call for numeric hosts and names in cache. */
export const findWays = (core: CoreHost, next: NextHop, prefer: Listener, user: LaunchUser): void => {
  if (isNumericHost(next.host)) {
    const way = wayOf(core, numericTarget(next), prefer, next.pinned);
    if (way === undefined) user.onUnresolved();
    else user.onWays([way]);
    return;
  }
  core.unlaunched.add(user);
  core.locator.locate(next, (targets) => {
    // Taken off by the first answer, and when the engine has stopped.
    if (core.unlaunched.delete(user)) takeWays(user, waysOf(core, targets, prefer, next.pinned));
  });
};

const takeWays = (user: LaunchUser, ways: readonly Way[]): void => {
  if (ways.length === 0) user.onUnresolved();
  else user.onWays(ways);
};

const numericTarget = ({ host, port, transport }: NextHop): Target => ({
  transport,
  address: canonicalAddress(host),
  port,
  serverName: host,
});

/** As findWays, with a live connection to that host to take first. */
export const findWaysBeyond = (core: CoreHost, next: NextHop, open: Hop, user: LaunchUser): void => {
  const { listener, address, port } = open;
  const first: Way = { listener, address, port, serverName: next.host, hop: open };
  // A name that means nothing outside (RFC 7118 §5.1: `.invalid`) leaves the open connection as the only way.
  const beyond = isNumericHost(next.host) ? waysOf(core, [numericTarget(next)], listener) : [];
  user.onWays([first, ...beyond]);
};

const waysOf = (core: CoreHost, targets: readonly Target[], prefer: Listener, pinned?: boolean): Way[] => {
  const ways: Way[] = [];
  for (const target of targets) {
    const way = wayOf(core, target, prefer, pinned);
    if (way !== undefined) ways.push(way);
  }
  return ways;
};

const wayOf = (core: CoreHost, target: Target, prefer: Listener, pinned: boolean | undefined): Way | undefined => {
  const { transport, address, port, serverName } = target;
  const suits = prefer.transport === transport && prefer.family === familyOf(address);
  const fits = suits && prefer.reaches?.(address) !== false;
  const listener = fits ? prefer : core.layer.transport.listenerFor(transport, address, prefer.local.address);
  return listener === undefined ? undefined : { listener, address, port, serverName, pinned };
};

/** The hop of a way, dialled now where it must be. */
export const hopOf = (core: CoreHost, way: Way): Hop =>
  way.hop?.connection !== undefined
    ? way.hop
    : core.layer.transport.hopTo(way.listener, way.address, way.port, way.serverName);

/** The ways, with one over TCP before the next where the request is too long for that (RFC 3261 §18.1.1). */
export const withLarge = (core: CoreHost, request: SipRequest, ways: readonly Way[], next: number): readonly Way[] => {
  const way = ways[next];
  const instead = way === undefined ? undefined : core.large?.instead(request, way);
  if (way === undefined || instead === undefined) return ways;
  return [...ways.slice(0, next), instead, { ...way, pinned: true }, ...ways.slice(next + 1)];
};

/** Our Contact is where the peer can reach us: when another listener serves than was expected, it is that one's. */
export const nameContact = (request: SipRequest, expected: Listener, hop: Hop): void => {
  if (hop.listener === expected || request.header('Contact') !== `<${expected.contactUri}>`) return;
  request.set('Contact', `<${hop.listener.contactUri}>`);
};

/** Puts Via on a request that is complete but for it; a second launch (next address) replaces the first's. */
export const stampOutgoingVia = (core: CoreHost, request: SipRequest, hop: Hop): string => {
  const branch = core.layer.newBranch();
  const via = core.layer.viaFor(hop.listener, branch);
  if (request.count('Via') === 0) request.prepend('Via', via);
  else request.replaceTopVia(via);
  return branch;
};

/** A non-INVITE request: RFC 3261 §8.1, with the next target tried when one fails (RFC 3263 §4.3). */
export class OutgoingRequestCall implements OutgoingRequest, ClientUser, LaunchUser {
  readonly request: SipRequest;
  source: Source;
  /** Of a SUBSCRIBE: the dialog that it is to make. */
  wanted: WantedDialog | undefined;
  readonly #core: CoreHost;
  readonly #listener: OutgoingRequestListener;
  #ways: readonly Way[] = [];
  #next = 0;
  #done = false;
  #unresolved: Timer | undefined;

  constructor(core: CoreHost, request: SipRequest, from: Listener, listener: OutgoingRequestListener) {
    this.#core = core;
    this.request = request;
    this.#listener = listener;
    this.source = outboundSource(from, undefined, 0);
  }

  onWays(ways: readonly Way[]): void {
    this.#ways = ways;
    this.#launch();
  }

  /** May come within the call that made us: nobody is told before that has returned. */
  onUnresolved(): void {
    this.#core.unlaunched.add(this);
    this.#unresolved = this.#core.layer.clock.setTimer('unresolved', 0, () => {
      this.#core.unlaunched.delete(this);
      this.#finish(synthesise(this.#core, this.request, 503, 'DNS Error'), 'dns', undefined);
    });
  }

  abandon(): void {
    this.#unresolved?.cancel();
    this.#core.unlaunched.delete(this);
    this.#finish(synthesise(this.#core, this.request, 503), 'transport', undefined);
  }

  onResponse(response: SipResponse, arrival: Arrival): void {
    if (response.status === 100) return;
    if (response.status === 503) this.#passOver();
    if (response.status === 503 && this.#goesOn()) return this.#launch();
    if (response.status >= 200) {
      this.wanted?.answered(response, arrival);
      return this.#finish(response, 'network', arrival);
    }
    this.#core.guard(() => this.#listener.onResponse(response, 'network', arrival));
  }

  onTimeout(): void {
    this.#passOver();
    if (this.#goesOn()) this.#launch();
    else this.#finish(synthesise(this.#core, this.request, 408), 'timeout', undefined);
  }

  onTransportError(code: string): void {
    this.#core.large?.refused(this.#ways[this.#next - 1] as Way, code);
    if (this.#goesOn()) this.#launch();
    else this.#finish(synthesise(this.#core, this.request, 503), 'transport', undefined);
  }

  /** Who was reached over TCP in place of UDP is not asked once more over UDP. */
  #passOver(): void {
    if (this.#ways[this.#next - 1]?.insteadOf !== undefined) this.#next++;
  }

  #goesOn(): boolean {
    return this.#next < this.#ways.length && !this.#core.stopped();
  }

  #launch(): void {
    if (this.#core.large !== undefined) this.#ways = withLarge(this.#core, this.request, this.#ways, this.#next);
    const hop = hopOf(this.#core, this.#ways[this.#next++] as Way);
    const branch = stampOutgoingVia(this.#core, this.request, hop);
    this.source = outboundSource(hop.listener, hop, 0);
    this.#core.layer.sendRequest(this.request, branch, hop, this);
  }

  #finish(response: SipResponse, origin: ResponseOrigin, source: Source | undefined): void {
    if (this.#done) return;
    this.#done = true;
    if (origin !== 'network') this.wanted?.failed();
    this.#core.guard(() => this.#listener.onResponse(response, origin, source));
  }
}
