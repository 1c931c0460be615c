/** Works through the destinations of a call, one attempt at a time, and keeps the account of each. */
import type { Clock } from '../../kernel/index.js';
import type { HeaderEntry, InviteSpec, SignalPort } from '../../signal/port.js';
import type { AttemptRecord } from '../record/cdr.js';
import type { Decision } from '../routing/decision.js';
import type { FailoverPolicy } from '../routing/resources.js';
import { Attempt, type AttemptSink } from './attempt.js';
import { type AttemptFailure, decisiveFailure, failoverAction, finalStatus } from './failover.js';
import { toField } from './legHeaders.js';
import { reasonHeader } from './reason.js';

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

/** The part of the callee's INVITE that all destinations share. */
export type CommonInvite = Omit<InviteSpec, 'uri' | 'to'>;

export class Hunt {
  /** The attempt whose events count: the latest that was not given up. */
  current: Attempt | undefined;
  /** Attempts made so far. */
  tried = 0;
  readonly #world: HuntWorld;
  readonly #decision: Decision;
  readonly #invite: CommonInvite;
  readonly #observer: HuntObserver;
  readonly #failures: AttemptFailure[] = [];

  constructor(world: HuntWorld, decision: Decision, invite: CommonInvite, observer: HuntObserver) {
    this.#world = world;
    this.#decision = decision;
    this.#invite = invite;
    this.#observer = observer;
  }

  /** Sends INVITE to the next destination. Returns false when all were tried. */
  next(sink: AttemptSink): boolean {
    const destination = this.#decision.destinations[this.tried];
    if (destination === undefined) return false;
    const { clock, port } = this.#world;
    const attempt = new Attempt(++this.tried, destination, { nowMs: clock.nowMs(), wallMs: clock.wallMs() }, sink);
    this.current = attempt;
    attempt.leg = port.invite(
      { ...this.#invite, uri: destination.uri, to: toField(this.#decision, destination) },
      attempt,
    );
    this.#observer.onAttemptStarted(attempt);
    return true;
  }

  /** Closes the current attempt's account, once; later calls change nothing. */
  conclude(result: string, sipStatus: number): void {
    const record = this.current?.conclude(result, sipStatus, this.#world.clock.nowMs());
    if (record !== undefined) this.#observer.onAttemptEnded(this.current as Attempt, record);
  }

  fail(failure: AttemptFailure): void {
    this.conclude(failure.kind, this.current?.lastStatus ?? 0);
    this.#failures.push(failure);
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
    const { destinations, failover } = this.#decision;
    return this.tried < destinations.length && failoverAction(failover, failure, this.#world.failover) === 'next';
  }

  /** What to tell the caller when the search is over: the decisive failure and its status. */
  verdict(): { readonly failure: AttemptFailure | undefined; readonly status: number } {
    const failure = decisiveFailure(this.#failures);
    if (failure === undefined) return { failure, status: 480 };
    return { failure, status: finalStatus(this.#decision.failover, failure, this.#world.failover) };
  }
}

const GIVEN_UP = {
  silence: [reasonHeader('SIP', 408, 'No response')],
  ring_timeout: [reasonHeader('Q.850', 19, 'No answer')],
} as const;

/** Reason of the CANCEL with which an attempt is given up. */
export const giveUpHeaders = (kind: 'silence' | 'ring_timeout'): readonly HeaderEntry[] => GIVEN_UP[kind];
