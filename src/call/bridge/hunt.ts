/** Works through the destinations of a call, one attempt at a time, and keeps the account of each. */
import type { Clock } from '../../kernel/index.js';
import type { Credentials, HeaderEntry, InviteSpec, SignalPort } from '../../signal/port.js';
import type { AttemptRecord } from '../record/cdr.js';
import type { Decision, Destination, ReasonCode } from '../routing/decision.js';
import type { FailoverPolicy } from '../routing/resources.js';
import { Attempt, type AttemptSink } from './attempt.js';
import { type AttemptFailure, decisiveFailure, failoverAction, finalStatus } from './failover.js';
import { type Identity, identityHeaders, toField } from './legHeaders.js';
import { reasonHeader } from './reason.js';

import {
  type CallerReliability,
  DEFAULT_RELIABLE_MODE,
  OFFER_100REL,
  type Reliability,
  reliabilityOf,
} from './reliability.js';
export interface HuntWorld {
  readonly port: Pick<SignalPort, 'invite'>;
  readonly clock: Clock;
  /** For what a trunk's own policy does not list. */
  readonly failover?: FailoverPolicy;
}

export interface HuntObserver {
  onAttemptStarted(attempt: Attempt): void;
  onAttemptEnded(attempt: Attempt, record: AttemptRecord): void;
}

/** The part of the callee's INVITE that all destinations share, and what some of them are told of identities. */
export interface CommonInvite extends Omit<InviteSpec, 'uri' | 'to' | 'credentials'> {
  readonly identity?: Identity | undefined;
}

/** Where to go, and what an attempt needs of the carrier whose gateway it tries. */
  /** What the caller's INVITE says of 100rel; absent where it is none of the callee's business. */
  readonly reliability?: CallerReliability | undefined;
export interface HuntPlan {
  readonly decision: Decision;
  /** Takes the limits of the destination's carrier in place of those of the one before; or says why not. */
  enter?(destination: Destination): ReasonCode | undefined;
  /** For the carrier's digest challenges. */
  credentials?(destination: Destination): Credentials | undefined;
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
  readonly #decision: Decision;
  readonly #invite: CommonInvite;
  readonly #observer: HuntObserver;
  readonly #failures: Failed[] = [];

  constructor(world: HuntWorld, plan: HuntPlan, invite: CommonInvite, observer: HuntObserver) {
    this.#world = world;
    this.#plan = plan;
    this.#decision = plan.decision;
    this.#invite = invite;
    this.#observer = observer;
  }

  /** Sends INVITE to the next destination. Returns false when all were tried. */
  next(sink: AttemptSink): boolean {
    for (;;) {
      const destination = this.#decision.destinations[this.tried];
      if (destination === undefined) return false;
      const { clock } = this.#world;
      const attempt = new Attempt(++this.tried, destination, { nowMs: clock.nowMs(), wallMs: clock.wallMs() }, sink);
      this.current = attempt;
      const refused = this.#plan.enter?.(destination);
      if (refused === undefined) {
        this.#send(attempt);
        return true;
      }
      // Nobody was asked, and the account of the attempt says why.
      attempt.open = false;
      this.conclude(refused, 0);
      this.#failures.push({ failure: { kind: 'limit', code: refused }, policy: this.#policy });
      this.current = undefined;
    }
  }

  #send(attempt: Attempt): void {
    const { destination } = attempt;
    const { identity, ...invite } = this.#invite;
    const extra = identityHeaders(identity, destination);
    const credentials = this.#plan.credentials?.(destination);
    attempt.leg = this.#world.port.invite(
      {
        ...invite,
        uri: destination.uri,
        to: toField(this.decision, destination),
        ...(attempt.target === undefined ? {} : { target: attempt.target }),
        ...(destination.sip === undefined ? {} : networkOf(destination.sip)),
        ...(destination.reach === undefined ? {} : wayTo(destination.reach)),
        ...(own.length === 0 ? {} : { headers: [...(invite.headers ?? []), ...own] }),
        ...(credentials === undefined ? {} : { credentials }),
      },
      attempt,
    );
    this.#observer.onAttemptStarted(attempt);
  }

  /** Of the destination tried last. */
  get #policy(): FailoverPolicy {
    return this.#decision.destinations[this.tried - 1]?.failover ?? this.#decision.failover;
  }

  /** Closes the current attempt's account, once; later calls change nothing. */
  conclude(result: string, sipStatus: number): void {
    const record = this.current?.conclude(result, sipStatus, this.#world.clock.nowMs());
    if (record !== undefined) this.#observer.onAttemptEnded(this.current as Attempt, record);
  }

  fail(failure: AttemptFailure): void {
    this.conclude(failure.kind, this.current?.lastStatus ?? 0);
    this.#failures.push({ failure, policy: this.#policy });
  }

  /** CANCEL; whatever the attempt's leg says from here on does not concern the call. */
  giveUp(failure: AttemptFailure, headers: readonly HeaderEntry[]): void {
    const leg = this.current?.leg;
    this.fail(failure);
    this.current = undefined;
    leg?.cancel(headers);
  }

  /** Whether the policy sends the call on after this failure, and there is somewhere to go. */
  goesOn(failure: AttemptFailure): boolean {
    const { destinations } = this.#decision;
    return this.tried < destinations.length && failoverAction(this.#policy, failure, this.#world.failover) === 'next';
  }

  /** What to tell the caller when the search is over: the decisive failure and its status. */
  verdict(): { readonly failure: AttemptFailure | undefined; readonly status: number } {
    const decisive = decisiveFailure(this.#failures.map(({ failure }) => failure));
    const failed = this.#failures.findLast(({ failure }) => failure === decisive);
    if (failed === undefined) return { failure: undefined, status: 480 };
    return { failure: failed.failure, status: finalStatus(failed.policy, failed.failure, this.#world.failover) };
  }
}

const GIVEN_UP = {
  silence: [reasonHeader('SIP', 408, 'No response')],
  ring_timeout: [reasonHeader('Q.850', 19, 'No answer')],
} as const;

/** Reason of the CANCEL with which an attempt is given up. */
export const giveUpHeaders = (kind: 'silence' | 'ring_timeout'): readonly HeaderEntry[] => GIVEN_UP[kind];
    const { offered, relayed } = this.#reliability(destination);
    attempt.relaysPrack = relayed;
    const own = offered ? [...extra, OFFER_100REL] : extra;
        ...(relayed ? { ownPrack: true } : {}),
  #reliability({ sip }: Destination): Reliability {
    const { reliability = 'none', body } = this.#invite;
    const caller = this.decision.sip?.reliable_provisionals ?? DEFAULT_RELIABLE_MODE;
    const callee = sip?.reliable_provisionals ?? DEFAULT_RELIABLE_MODE;
    return reliabilityOf({ caller, callee }, reliability, body === undefined || body.length === 0);
  }

