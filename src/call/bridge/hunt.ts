/** Works through the destinations of a call, one attempt at a time, and keeps the account of each. */
import type { Clock, Random } from '../../kernel/index.js';
import type {
  Credentials,
  HeaderEntry,
  InviteSpec,
  OutgoingEvents,
  OutgoingLeg,
  SignalMessage,
  SignalPort,
  SignalTarget,
} from '../../signal/port.js';
import type { AttemptRecord } from '../record/cdr.js';
import type { Decision, Destination, ReasonCode } from '../routing/decision.js';
import type { HeaderSettings } from '../routing/headerSettings.js';
import type { FailoverPolicy } from '../routing/resources.js';
import { Attempt, type AttemptSink, textOfTarget } from './attempt.js';
import { SESSION_EXPIRED, hangUpHeaders } from './ending.js';
import { type AttemptFailure, decisiveFailure, failoverAction, finalStatus, speaksOfServer } from './failover.js';
import { ELSEWHERE, ForkedLeg } from './forkedLeg.js';
import { hostOf } from './headerText.js';
import type { HeaderPolicy } from './headerPolicy.js';
import { type Identity, identityHeaders } from './identityFields.js';
import { toField } from './legHeaders.js';
import { reasonHeader } from './reason.js';
import { MAX_REDIRECTIONS, decidesForAll, redirectionsOf } from './redirects.js';
import { TimedOutgoingLeg } from './timedLegs.js';
import {
  type CallerReliability,
  DEFAULT_RELIABLE_MODE,
  OFFER_100REL,
  type Reliability,
  reliabilityOf,
} from './reliability.js';

export interface HuntWorld {
  readonly port: Pick<SignalPort, 'invite' | 'locate'>;
  readonly clock: Clock;
  readonly random: Random;
  /** For what a trunk's own policy does not list. */
  readonly failover?: FailoverPolicy;
  /** Of the places that a destination's name leads to, those that did not answer lately are tried last. */
  readonly health?: { isDown(place: string): boolean } | undefined;
}

export interface HuntObserver {
  onAttemptStarted(attempt: Attempt): void;
  onAttemptEnded(attempt: Attempt, record: AttemptRecord): void;
  /** RFC 4028 §10: nobody refreshed the session; the call is to be ended. Absent: the leg is. */
  onSessionExpired?(attempt: Attempt): void;
}

/** The part of the callee's INVITE that all destinations share, and what some of them are told of identities. */
export interface CommonInvite extends Pick<InviteSpec, 'from' | 'headers' | 'contentType' | 'body'> {
  readonly identity?: Identity | undefined;
  /** Instead of `headers`, where trunks or carriers have a say in them: those for a destination with these settings. */
  readonly headersFor?: ((to: HeaderSettings | undefined) => readonly HeaderEntry[]) | undefined;
  /** What the caller's INVITE says of 100rel; absent where it is none of the callee's business. */
  readonly reliability?: CallerReliability | undefined;
  /** What it says of session timers; absent where they are its own leg's affair. */
  readonly timers?: readonly HeaderEntry[] | undefined;
}

/** Where to go, and what an attempt needs of the carrier whose gateway it tries. */
export interface HuntPlan {
  readonly decision: Decision;
  /** Takes the limits of the destination's carrier in place of those of the one before; or says why not. */
  enter?(destination: Destination): ReasonCode | undefined;
  /** Whether calls to this destination may go to this address, as far as it is a tenant's word. Absent: anywhere. */
  mayCall?(destination: Destination, address: string): boolean;
  /** For the carrier's digest challenges. */
  credentials?(destination: Destination): Credentials | undefined;
}

/** Somebody who takes a call that rings elsewhere (RFC 3891 §3). */
export interface PickUp {
  /** As the callee that it is from now on. */
  readonly destination: Destination;
  /** Its leg; `begin` follows, and answers it. */
  leg(events: OutgoingEvents): OutgoingLeg & { begin(): void };
}

interface Failed {
  readonly failure: AttemptFailure;
  readonly policy: FailoverPolicy;
}

export class Hunt {
  /** The attempt whose events count: the latest that was not given up. */
  current: Attempt | undefined;
  /** Attempts made so far, those included that a carrier's limit prevented. */
  tried = 0;
  readonly #world: HuntWorld;
  readonly #plan: HuntPlan;
  readonly decision: Decision;
  #invite: CommonInvite;
  readonly #observer: HuntObserver;
  readonly #failures: Failed[] = [];
  /** The destination to try next. */
  #place = 0;
  /** The destination tried last: one of the decision's, or where one of them has sent the call. */
  #tried: Destination | undefined;
  /** Where the destination tried last sends the call (3xx). */
  #redirected: Destination[] = [];
  /** URIs tried and named so far, in lower case; absent until there is one. */
  #seen: Set<string> | undefined;
  #redirections = 0;
  /** Where else the name of the destination tried last leads to. */
  #targets: readonly SignalTarget[] = [];

  constructor(world: HuntWorld, plan: HuntPlan, invite: CommonInvite, observer: HuntObserver) {
    this.#world = world;
    this.#plan = plan;
    this.decision = plan.decision;
    this.#invite = invite;
    this.#observer = observer;
  }

  /**
   * Sends INVITE to the next place of the same destination, or to the next destination. Returns false when all were
   * tried. Where a name has to be looked up the INVITE follows later, and `attemptSent` with it.
   */
  next(sink: AttemptSink): boolean {
    const [target] = this.#targets;
    if (this.#tried !== undefined && target !== undefined) {
      this.#sendTo(this.#begin(this.#tried, sink), this.#targets);
      return true;
    }
    // The limits of the carrier are held: it is the one that has sent the call on.
    for (let next = this.#redirected.shift(); next !== undefined; next = this.#redirected.shift()) {
      if (this.#open(this.#begin(next, sink), sink)) return true;
    }
    for (;;) {
      const destination = this.decision.destinations[this.#place];
      if (destination === undefined) return false;
      this.#place++;
      const attempt = this.#begin(destination, sink);
      const refused = this.#plan.enter?.(destination);
      if (refused !== undefined) this.#skip(attempt, { kind: 'limit', code: refused }, refused);
      else if (this.#open(attempt, sink)) return true;
      else if (failoverAction(this.#policy, NOWHERE, this.#world.failover) !== 'next') return false;
    }
  }

  /** @returns false when the destination's name is known to lead nowhere */
  #open(attempt: Attempt, sink: AttemptSink): boolean {
    const { destination } = attempt;
    if (isNamed(destination)) return this.#locate(attempt, sink);
    if (destination.reach === undefined && !this.#mayCall(destination, addressOf(destination))) {
      this.#skip(attempt, FORBIDDEN, FORBIDDEN.code);
      return false;
    }
    this.#send(attempt);
    return true;
  }

  /** Asked of what a name has led to, and of no other address afterwards: it may lead elsewhere the next moment. */
  #mayCall(destination: Destination, address: string): boolean {
    return this.#plan.mayCall?.(destination, address) !== false;
  }

  #begin(destination: Destination, sink: AttemptSink): Attempt {
    this.#tried = destination;
    const { clock } = this.#world;
    const at = { nowMs: clock.nowMs(), wallMs: clock.wallMs() };
    return (this.current = new Attempt(++this.tried, destination, at, sink));
  }

  /** Nobody was asked, and the account of the attempt says why. */
  #skip(attempt: Attempt, failure: AttemptFailure, result: string): void {
    attempt.open = false;
    this.conclude(result, 0);
    this.#failures.push({ failure, policy: this.#policy });
    this.current = undefined;
  }

  /**
   * RFC 3263: finds where the destination's name leads, and sends the INVITE to the first place.
   * @returns false when it is known already that it leads nowhere
   */
  #locate(attempt: Attempt, sink: AttemptSink): boolean {
    const { port } = this.#world;
    if (port.locate === undefined) {
      this.#send(attempt);
      return true;
    }
    let within = true;
    const { uri, sip } = attempt.destination;
    port.locate(sip?.next_hop ?? uri, (found) => {
      const targets = found.filter(({ address }) => this.#mayCall(attempt.destination, address));
      const nowhere = found.length > targets.length ? FORBIDDEN : NOWHERE;
      // Given up, or the caller has gone.
      if (attempt !== this.current || !attempt.open) return;
      if (targets.length > 0) {
        this.#sendTo(attempt, this.#byHealth(targets));
        if (!within) sink.attemptSent(attempt);
      } else if (within) this.#skip(attempt, nowhere, nowhere === FORBIDDEN ? nowhere.code : nowhere.kind);
      else attempt.fail(nowhere);
    });
    within = false;
    return attempt.open;
  }

  #byHealth(targets: readonly SignalTarget[]): readonly SignalTarget[] {
    const { health } = this.#world;
    if (health === undefined || targets.length < 2) return targets;
    const isDown = (target: SignalTarget): boolean => health.isDown(textOfTarget(target));
    if (!targets.some(isDown)) return targets;
    return [...targets.filter((target) => !isDown(target)), ...targets.filter(isDown)];
  }

  #sendTo(attempt: Attempt, [target, ...others]: readonly SignalTarget[]): void {
    attempt.target = target;
    attempt.targetsLeft = others.length;
    this.#targets = others;
    this.#send(attempt);
  }

  #send(attempt: Attempt): void {
    const { destination } = attempt;
    // Of registered contacts the way is known; elsewhere each is asked for, as the first was.
    const beside = destination.beside?.filter((one) => one.reach !== undefined || this.#mayCall(one, addressOf(one)));
    if (beside === undefined) attempt.leg = this.#invited(attempt, destination, attempt);
    else {
      attempt.callees = [destination, ...beside];
      const callees = attempt.callees.map((one) => ({
        uri: one.uri,
        invite: (events: OutgoingEvents) => this.#invited(attempt, one, events),
      }));
      attempt.leg = attempt.forked = new ForkedLeg(callees, attempt);
    }
    this.#observer.onAttemptStarted(attempt);
  }

  #invited(attempt: Attempt, destination: Destination, events: OutgoingEvents): OutgoingLeg {
    const { target } = attempt;
    const { sip, reach } = destination;
    const { identity, from, contentType, body } = this.#invite;
    const headers = this.#invite.headersFor?.(sip?.headers) ?? this.#invite.headers ?? NO_HEADERS;
    const extra = [...identityHeaders(identity, destination), ...this.#extensions(attempt)];
    // One shape for all, without spreading: each call comes through here.
    const spec: InviteSpec = {
      uri: destination.uri,
      nextHop: reach === undefined ? sip?.next_hop : reach.flow === undefined ? reach.nextHop : undefined,
      target,
      flow: reach?.flow,
      route: reach?.route,
      behindNat: sip?.nat === true || reach?.nextHop !== undefined ? true : undefined,
      from,
      to: toField(this.decision, destination),
      headers: extra.length > 0 ? [...headers, ...extra] : headers,
      credentials: this.#plan.credentials?.(destination),
      ownPrack: attempt.relaysPrack ? true : undefined,
      contentType,
      body,
    };
    const { port } = this.#world;
    const timer = sip?.session_timer;
    if (timer?.mode !== 'terminate') return port.invite(spec, events);
    const expired = (): void => this.#expired(attempt);
    return new TimedOutgoingLeg(port, spec, events, { ...this.#world, settings: timer, expired });
  }

  #expired(attempt: Attempt): void {
    if (this.#observer.onSessionExpired !== undefined) this.#observer.onSessionExpired(attempt);
    else attempt.leg?.bye(hangUpHeaders(SESSION_EXPIRED));
  }

  /** What the callee is offered of SIP besides the call itself. */
  #extensions(attempt: Attempt): readonly HeaderEntry[] {
    const { destination } = attempt;
    const { offered, relayed } = this.#reliability(destination);
    const { timers = NO_HEADERS } = this.#invite;
    attempt.relaysPrack = relayed;
    attempt.relaysTimers = timers.length > 0 && (destination.sip?.session_timer?.mode ?? 'relay') === 'relay';
    if (!attempt.relaysTimers) return offered ? [OFFER_100REL] : NO_HEADERS;
    return offered ? [OFFER_100REL, ...timers] : timers;
  }

  /** What crosses after the INVITE, between the caller and the destination that is tried. */
  policyOf(policy: HeaderPolicy): HeaderPolicy {
    return policy.among(this.decision.sip?.headers, this.current?.destination.sip?.headers);
  }

  #reliability({ sip }: Destination): Reliability {
    const { reliability = 'none', body } = this.#invite;
    const caller = this.decision.sip?.reliable_provisionals ?? DEFAULT_RELIABLE_MODE;
    const callee = sip?.reliable_provisionals ?? DEFAULT_RELIABLE_MODE;
    return reliabilityOf({ caller, callee }, reliability, body === undefined || body.length === 0);
  }

  /** Of the destination tried last. */
  get #policy(): FailoverPolicy {
    return this.#tried?.failover ?? this.decision.failover;
  }

  /** The callee has answered: nobody else is called, and what the INVITE said is not kept for as long as they talk. */
  won(status: number): void {
    this.conclude('answered', status);
    this.#invite = SAID;
    this.#targets = [];
  }

  /** Closes the current attempt's account, once; later calls change nothing. */
  conclude(result: string, sipStatus: number): void {
    const record = this.current?.conclude(result, sipStatus, this.#world.clock.nowMs());
    if (record !== undefined) this.#observer.onAttemptEnded(this.current as Attempt, record);
  }

  fail(failure: AttemptFailure): void {
    if (failure.kind === 'response') this.#redirect(failure.status, failure.message);
    this.conclude(failure.kind, this.current?.lastStatus ?? 0);
    this.#failures.push({ failure, policy: this.#policy });
  }

  /** Takes note of where a 3xx sends the call; any other answer may end what one has begun. */
  #redirect(status: number, message: SignalMessage): void {
    if (decidesForAll(status)) this.#redirected = [];
    const { current } = this;
    if (status < 300 || status >= 400 || current?.destination.sip?.redirects !== 'follow') return;
    const { destinations } = this.decision;
    const seen = (this.#seen ??= new Set(destinations.slice(0, this.#place).map(({ uri }) => uri.toLowerCase())));
    const room = Math.max(0, MAX_REDIRECTIONS - this.#redirections);
    const followed = redirectionsOf(message, current.destination, this.decision, seen).slice(0, room);
    const uris = followed.flatMap(({ uri, beside = [] }) => [uri, ...beside.map((other) => other.uri)]);
    this.#redirections += uris.length;
    for (const uri of uris) seen.add(uri.toLowerCase());
    current.redirectedTo = uris;
    this.#redirected.unshift(...followed);
  }

  /** CANCEL; whatever the attempt's leg says from here on does not concern the call. */
  giveUp(failure: AttemptFailure, headers: readonly HeaderEntry[]): void {
    const attempt = this.current;
    this.fail(failure);
    this.current = undefined;
    attempt?.cancel(headers);
  }

  /** Whether the policy sends the call on after this failure, and there is somewhere to go. */
  goesOn(failure: AttemptFailure): boolean {
    if (this.#redirected.length > 0) return true;
    if (failoverAction(this.#policy, failure, this.#world.failover) !== 'next') return false;
    if (!speaksOfServer(failure)) this.#targets = [];
    return this.#targets.length > 0 || this.#place < this.decision.destinations.length;
  }

  /** Whoever rings is given up for somebody else, who has answered already. */
  pickUp({ destination, leg }: PickUp, sink: AttemptSink): void {
    const given = this.current;
    this.conclude('picked_up', given?.lastStatus ?? 0);
    const attempt = this.#begin(destination, sink);
    const by = leg(attempt);
    attempt.leg = by;
    attempt.picked = true;
    given?.cancel(ELSEWHERE);
    this.#observer.onAttemptStarted(attempt);
    by.begin();
  }

  /** What to tell the caller when the search is over: the decisive failure and its status. */
  verdict(): { readonly failure: AttemptFailure | undefined; readonly status: number } {
    const decisive = decisiveFailure(this.#failures.map(({ failure }) => failure));
    const failed = this.#failures.findLast(({ failure }) => failure === decisive);
    if (failed === undefined) return { failure: undefined, status: 480 };
    return { failure: failed.failure, status: finalStatus(failed.policy, failed.failure, this.#world.failover) };
  }
}

const NO_HEADERS: readonly HeaderEntry[] = [];
const SAID: CommonInvite = { from: '' };
/** A tenant's destination that leads to where calls of tenants may not go. */
const FORBIDDEN = { kind: 'unresolved_host', code: 'address_not_allowed' } as const;
const NOWHERE = { kind: 'unresolved_host', code: 'ENOTFOUND' } as const;

/** Of a destination that is no name: without brackets. */
const addressOf = ({ uri, sip }: Destination): string => {
  const host = hostOf(sip?.next_hop ?? uri);
  return host.startsWith('[') ? host.slice(1, -1) : host;
};

/** The host of the URI is a name, so that DNS decides where it leads: the last label of one begins with no digit. */
const isNamed = ({ uri, reach, sip }: Destination): boolean => {
  if (reach !== undefined) return false;
  const host = hostOf(sip?.next_hop ?? uri);
  const first = host.charCodeAt(host.lastIndexOf('.') + 1);
  return !(first >= 0x30 && first <= 0x39) && !host.includes(':');
};

const GIVEN_UP = {
  silence: [reasonHeader('SIP', 408, 'No response')],
  ring_timeout: [reasonHeader('Q.850', 19, 'No answer')],
} as const;

/** Reason of the CANCEL with which an attempt is given up. */
export const giveUpHeaders = (kind: 'silence' | 'ring_timeout'): readonly HeaderEntry[] => GIVEN_UP[kind];
