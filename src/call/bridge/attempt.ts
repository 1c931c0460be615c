/** One INVITE to one destination: reports what its leg does to the bridge, and ends in exactly one AttemptRecord. */
import { hostPort } from '../../kernel/index.js';
import type {
  HeaderEntry,
  InDialogRequest,
  IncomingReinvite,
  InviteFailure,
  Leg,
  LegEnd,
  OutgoingEvents,
  OutgoingLeg,
  SignalMessage,
  SignalTarget,
} from '../../signal/port.js';
import type { AttemptRecord } from '../record/cdr.js';
import { isoTime } from '../record/isoTime.js';
import type { Destination } from '../routing/decision.js';
import { type EarlyDialog, type ForkedLeg, isEarly } from './forkedLeg.js';

/** What the bridge hears of an attempt. */
export interface AttemptSink {
  /** The INVITE has left, after a lookup of its destination's name. Only where `next` had to wait for one. */
  attemptSent(attempt: Attempt): void;
  attemptTrying(attempt: Attempt): void;
  attemptProgress(attempt: Attempt, message: SignalMessage): void;
  attemptAnswered(attempt: Attempt, message: SignalMessage): void;
  attemptFailed(attempt: Attempt, failure: InviteFailure): void;
  /** After an answer. */
  attemptOver(attempt: Attempt, end: LegEnd): void;
  attemptRequest(attempt: Attempt, request: InDialogRequest): void;
  attemptReinvite(attempt: Attempt, reinvite: IncomingReinvite): void;
  onAck(leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void;
  onReinviteCancelled(leg: Leg, reinvite: IncomingReinvite): void;
}

export class Attempt implements OutgoingEvents {
  /** 1 for the call's first. */
  readonly number: number;
  /** Of several that ring at once: the first, later whoever answers. */
  destination: Destination;
  readonly startedMs: number;
  readonly startedWallMs: number;
  /** Undefined while the destination's name is being looked up. */
  leg: OutgoingLeg | undefined;
  /** Of several places that the destination's name leads to. */
  target: SignalTarget | undefined;
  /** Places of the same destination that could be tried after this one. */
  targetsLeft = 0;
  /** URIs that its 3xx has sent the call to, and that it may go to. */
  redirectedTo: readonly string[] | undefined;
  /** Its leg, where several destinations ring at once. */
  forked: ForkedLeg | undefined;
  callees: readonly Destination[] = NO_CALLEES;
  /** The latest status that came back, 0 before any. */
  lastStatus = 0;
  /** Its reliable provisionals are the caller's to acknowledge. */
  relaysPrack = false;
  /** Its session timer is the ends' own affair. */
  relaysTimers = false;
  /** Its leg is a caller's, who has taken a call that rang elsewhere. */
  picked = false;
  /** The leg has not reported its end. */
  open = true;
  record: AttemptRecord | undefined;
  readonly #sink: AttemptSink;
  #answered = false;

  constructor(number: number, destination: Destination, at: { nowMs: number; wallMs: number }, sink: AttemptSink) {
    this.number = number;
    this.destination = destination;
    this.startedMs = at.nowMs;
    this.startedWallMs = at.wallMs;
    this.#sink = sink;
  }

  /** Closes the books of this attempt. Further calls change nothing and return undefined. */
  conclude(result: string, sipStatus: number, nowMs: number): AttemptRecord | undefined {
    if (this.record !== undefined) return undefined;
    const uri = this.destination.uri;
    const startedAt = isoTime(this.startedWallMs);
    const durationMs = Math.round(nowMs - this.startedMs);
    const { target, redirectedTo, forked } = this;
    if (target === undefined && redirectedTo === undefined && forked === undefined) {
      return (this.record = { uri, startedAt, sipStatus, result, durationMs });
    }
    return (this.record = {
      uri,
      ...(target === undefined ? {} : { target: textOfTarget(target) }),
      startedAt,
      sipStatus,
      result,
      durationMs,
      ...(redirectedTo === undefined ? {} : { redirectedTo }),
      ...(forked === undefined ? {} : { branches: forked.branches }),
    });
  }

  /** RFC 3261 §13.2.2.4: an answer that nobody wants any more is acknowledged, then ended. */
  releaseAnswer(): void {
    this.leg?.ack();
    this.leg?.bye();
  }

  /** Whether a callee rings in this dialog. */
  ringsIn(dialog: EarlyDialog): boolean {
    if (this.leg === undefined || this.picked || this.lastStatus <= 100) return false;
    return this.forked === undefined ? isEarly(this.leg, dialog) : this.forked.ringsIn(dialog);
  }

  /** CANCEL, or nothing where there is no INVITE yet. */
  cancel(headers: readonly HeaderEntry[]): void {
    if (this.leg !== undefined) this.leg.cancel(headers);
    else this.fail({ kind: 'cancelled' });
  }

  /** For want of a leg that could say so. */
  fail(failure: InviteFailure): void {
    if (!this.open) return;
    this.open = false;
    this.#sink.attemptFailed(this, failure);
  }

  onTrying(): void {
    if (this.lastStatus === 0) this.lastStatus = 100;
    this.#sink.attemptTrying(this);
  }

  onProgress(_leg: OutgoingLeg, message: SignalMessage): void {
    this.lastStatus = message.status ?? 180;
    this.#sink.attemptProgress(this, message);
  }

  onAnswered(_leg: OutgoingLeg, message: SignalMessage): void {
    if (this.#answered) return;
    this.#answered = true;
    this.lastStatus = message.status ?? 200;
    const winner = this.forked?.winner ?? 0;
    if (winner > 0) this.destination = this.callees[winner] ?? this.destination;
    this.#sink.attemptAnswered(this, message);
  }

  onFailed(_leg: OutgoingLeg, failure: InviteFailure): void {
    if (!this.open) return;
    this.open = false;
    if (failure.kind === 'response') this.lastStatus = failure.status;
    this.#sink.attemptFailed(this, failure);
  }

  onEnded(_leg: Leg, end: LegEnd): void {
    if (!this.open) return;
    this.open = false;
    this.#sink.attemptOver(this, end);
  }

  onRequest(_leg: Leg, request: InDialogRequest): void {
    this.#sink.attemptRequest(this, request);
  }

  onReinvite(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#sink.attemptReinvite(this, reinvite);
  }

  onAck(leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    if (reinvite !== undefined) this.#sink.onAck(leg, message, reinvite);
  }

  onReinviteCancelled(leg: Leg, reinvite: IncomingReinvite): void {
    this.#sink.onReinviteCancelled(leg, reinvite);
  }
}

const NO_CALLEES: readonly Destination[] = [];

/** As gateways are written: `192.0.2.1:5060;transport=udp`. */
export const textOfTarget = ({ address, port, transport }: SignalTarget): string =>
  `${hostPort(address, port)};transport=${transport}`;
