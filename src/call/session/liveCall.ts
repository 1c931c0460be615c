/** The books of one call, from its INVITE to its record. */
import type { Clock, EventChannel } from '../../kernel/index.js';
import type { InDialogRequest, IncomingLeg } from '../../signal/port.js';
import type { Attempt } from '../bridge/attempt.js';
import { type CallEnding, type HangUpReason, NODE_LOST, SESSION_EXPIRED, endingOfHangUp } from '../bridge/ending.js';
import type { HuntPlan } from '../bridge/hunt.js';
import type { BridgeObserver } from '../bridge/world.js';
import type { AttemptRecord, CallRecord, CallRecorder } from '../record/cdr.js';
import { isoTime } from '../record/isoTime.js';
import type { TransferRecord } from '../record/transferRecord.js';
import { type Charge, chargeOf } from '../record/rating.js';
import { endedByOf, outcomeOf, q850OfStatus } from '../record/outcome.js';
import type { TraceStep } from '../flow/trace.js';
import type { CallRequest, Decision, Priced } from '../routing/decision.js';
import { type ClosedDial, DialBooks } from './dialBooks.js';
import type { CallEvent } from './events.js';
import type { FlowAccount, FlowObserver, PinnedFlows } from './flow/world.js';
import { sourceText } from './request.js';

/** What all calls of a node share. */
export interface CallWorld {
  readonly clock: Clock;
  readonly nodeId: string;
  readonly recorder: CallRecorder;
  readonly events: EventChannel<CallEvent>;
  /** Who answers a REFER; absent: nobody transfers. */
  readonly transfers?: { refer(call: LiveCall, side: 'a' | 'b', request: InDialogRequest): void } | undefined;
}

/** A decision together with what it took; `release` gives it back, once. */
export interface AdmittedCall extends HuntPlan {
  /** For a call that a flow answers. */
  readonly flows?: PinnedFlows | undefined;
  release(): void;
}

/** What runs a call: a bridge or a flow. */
export interface CallCourse {
  readonly state: string;
  /** Streams to bots that run; absent where there can be none. */
  readonly liveStreams?: number;
  /** Ends the call on Tandem's own account. */
  hangUp(reason: HangUpReason): void;
  dump(): object;
}

/** A point in time on both clocks. */
interface Moment {
  readonly ms: number;
  readonly wallMs: number;
}

const iso = (moment: Moment | undefined): string | null => (moment === undefined ? null : isoTime(moment.wallMs));

const between = (from: Moment | undefined, to: Moment): number =>
  from === undefined ? 0 : Math.max(0, Math.round(to.ms - from.ms));

/** Ends by which a flow refuses a caller whom it never answered. */
const REFUSALS: ReadonlySet<string> = new Set(['flow_reject', 'flow_hangup', 'flow_ended']);

export class LiveCall implements BridgeObserver, FlowObserver {
  readonly id: string;
  readonly request: CallRequest;
  readonly aLeg: IncomingLeg;
  /** Set once the call goes to a destination or to a flow. */
  course: CallCourse | undefined;
  readonly #world: CallWorld;
  readonly #onReleased: (call: LiveCall) => void;
  readonly #started: Moment;
  /** Replaced, not grown: an array that grows has room for sixteen, for as long as the call lasts. */
  #attempts: readonly AttemptRecord[] = [];
  readonly #dials: DialBooks;
  #transfers: TransferRecord[] | undefined;
  readonly placed: boolean;
  #admitted: AdmittedCall | undefined;
  /** The decision without its steps: the same one in each note. */
  #stepless: Decision | undefined;
  #ringing: Moment | undefined;
  #answered: Moment | undefined;
  #priced: Priced | undefined;
  #bLegCallId: string | null = null;
  #destination: string | null = null;
  /** Of the gateway tried last. */
  #carrierId: string | undefined;
  #ended: Moment | undefined;
  #recorded = false;

  constructor(
    world: CallWorld,
    id: string,
    leg: IncomingLeg,
    events: {
      readonly request: CallRequest;
      /** Tandem called whoever is on this leg. */
      readonly placed?: boolean;
      readonly onReleased: (call: LiveCall) => void;
    },
  ) {
    this.#world = world;
    this.#dials = new DialBooks(world.clock);
    this.id = id;
    this.aLeg = leg;
    this.request = events.request;
    this.placed = events.placed === true;
    this.#onReleased = events.onReleased;
    this.#started = this.#now();
    const { request } = this;
    this.#emit({ type: 'call_started', callId: id, atMs: this.#started.wallMs, request, aLegCallId: leg.callId });
  }

  get decision(): Decision | undefined {
    return this.#admitted?.decision;
  }

  /** The record is written. */
  get isOver(): boolean {
    return this.#recorded;
  }

  decided(admitted: AdmittedCall): void {
    this.#admitted = admitted;
    this.#stepless = undefined;
    if (admitted.decision.accepted) this.#note();
    this.#emit({
      type: 'call_decided',
      callId: this.id,
      atMs: this.#world.clock.wallMs(),
      decision: admitted.decision,
    });
  }

  /** @param own false for one of a transfer's: it is no destination of the call */
  onAttemptStarted(attempt: Attempt, own = true): void {
    const bLegCallId = attempt.leg?.callId ?? '';
    if (own) {
      this.#bLegCallId = bLegCallId;
      this.#destination = attempt.destination.uri;
      this.#carrierId = attempt.destination.carrierId;
    }
    const { number, startedWallMs: atMs, destination } = attempt;
    const { uri, gateway } = destination;
    this.#emit({ type: 'attempt_started', callId: this.id, atMs, attempt: number, uri, gateway, bLegCallId });
  }

  onAttemptEnded(attempt: Attempt, record: AttemptRecord, own = true): void {
    if (own) this.#attempts = [...this.#attempts, record];
    const { target, targetsLeft, number, destination } = attempt;
    const { gateway } = destination;
    const atMs = this.#world.clock.wallMs();
    const end = { attempt: number, gateway, target, targetsLeft, record };
    this.#emit({ type: 'attempt_ended', callId: this.id, atMs, ...end });
  }

  onSessionExpired(): void {
    this.course?.hangUp(SESSION_EXPIRED);
  }

  onRinging(status: number, earlyMedia: boolean): void {
    if (this.#ringing !== undefined) return;
    const now = (this.#ringing = this.#now());
    const afterMs = between(this.#started, now);
    this.#emit({ type: 'call_ringing', callId: this.id, atMs: now.wallMs, status, earlyMedia, afterMs });
  }

  onAnswered(attempt?: Attempt): void {
    const now = (this.#answered = this.#now());
    const setupMs = between(this.#started, now);
    const bLegCallId = attempt?.leg?.callId ?? '';
    if (attempt?.forked !== undefined) {
      // Of several that rang, this one is the call's.
      this.#bLegCallId = bLegCallId;
      this.#destination = attempt.destination.uri;
    }
    const { decision } = this;
    this.#priced = decision?.direction === 'inbound' ? decision.inbound : attempt?.destination;
    const priced = this.#priced;
    this.#note();
    this.#emit({ type: 'call_answered', callId: this.id, atMs: now.wallMs, setupMs, bLegCallId, decision, priced });
  }

  onRefer(side: 'a' | 'b', request: InDialogRequest): void {
    const { transfers } = this.#world;
    if (transfers === undefined) request.respond(603);
    else transfers.refer(this, side, request);
  }

  onTransfer(transfer: TransferRecord): void {
    if (this.#recorded) return;
    (this.#transfers ??= []).push(transfer);
    this.#note();
    this.#emit({ type: 'call_transfer', callId: this.id, atMs: this.#world.clock.wallMs(), transfer });
  }

  onStep(step: TraceStep): void {
    this.#emit({ type: 'flow_step', callId: this.id, atMs: this.#world.clock.wallMs(), step });
  }

  onDialStarted(dialId: string, decision: Decision): void {
    if (this.#recorded) return;
    this.#dials.begin(dialId, decision);
    this.#emit({ type: 'dial_started', callId: this.id, atMs: this.#world.clock.wallMs(), dialId, decision });
  }

  onDialAnswered(dialId: string, attempt: Attempt): void {
    const up = this.#dials.answer(dialId, attempt);
    if (up === undefined) return;
    this.#note();
    const { uri, priced, decision } = up;
    const atMs = this.#world.clock.wallMs();
    this.#emit({ type: 'dial_answered', callId: this.id, atMs, dialId, uri, decision, priced });
  }

  onDialEnded(dialId: string): void {
    const closed = this.#dials.end(dialId);
    if (closed === undefined) return;
    if (closed.record !== undefined) this.#note();
    this.#dialEnded(closed);
  }

  #dialEnded({ dialId, record }: ClosedDial): void {
    this.#emit({ type: 'dial_ended', callId: this.id, atMs: this.#world.clock.wallMs(), dialId, record });
  }

  /** The call's time is up and its limits are free; what may still come is its account. */
  onEnding(): void {
    if (this.#ended !== undefined) return;
    this.#ended = this.#now();
    try {
      this.#admitted?.release();
    } catch (error) {
      this.onFault('limits', error);
    }
  }

  /** Writes the record and gives the limits back; the first ending counts, others are ignored. */
  onOver(ending: CallEnding, account?: FlowAccount): void {
    if (this.#recorded) return;
    this.#recorded = true;
    const admitted = this.#admitted;
    this.onEnding();
    try {
      if (admitted === undefined) return;
      // What the flow still dials is nobody's talk any more.
      for (const closed of this.#dials.endAll()) this.#dialEnded(closed);
      const booked = this.#record(ending, admitted.decision);
      const record = account === undefined ? booked : { ...booked, ...account };
      this.#world.recorder.write(record);
      this.#emit({ type: 'call_ended', callId: this.id, atMs: this.#world.clock.wallMs(), record });
    } catch (error) {
      this.onFault('record', error);
    }
  }

  onReleased(abandonedLegs: number): void {
    this.#onReleased(this);
    this.#emit({ type: 'call_released', callId: this.id, atMs: this.#world.clock.wallMs(), abandonedLegs });
  }

  onFault(where: string, error: unknown): void {
    this.#emit({ type: 'call_fault', callId: this.id, atMs: this.#world.clock.wallMs(), where, error });
  }

  /** For people and `/api/calls`. */
  dump(): LiveCallDump {
    const { decision } = this;
    const now = this.#now();
    return {
      callId: this.id,
      state: this.course?.state ?? 'deciding',
      startedAt: isoTime(this.#started.wallMs),
      answeredAt: iso(this.#answered),
      durationMs: between(this.#started, now),
      talkMs: between(this.#answered, now),
      direction: decision?.direction ?? null,
      mode: decision?.mode ?? null,
      accountSid: decision?.accountSid ?? null,
      trunkSid: decision?.trunkSid ?? null,
      carrierId: this.#carrierId ?? decision?.carrierId ?? null,
      caller: this.request.callerNumber,
      callerSent: decision?.callerNumber.sent ?? null,
      called: this.request.calledNumber,
      calledE164: decision?.calledNumber.e164 ?? null,
      source: sourceText(this.request),
      destination: this.#destination,
      revision: decision?.revision ?? null,
      aLegCallId: this.aLeg.callId,
      bLegCallId: this.#bLegCallId,
      streams: this.course?.liveStreams ?? 0,
      legs: this.course?.dump() ?? {},
    };
  }

  #record(ending: CallEnding, decision: Decision): CallRecord {
    const ended = this.#ended ?? this.#now();
    const talkMs = between(this.#answered, ended);
    const { request } = this;
    return {
      callId: this.id,
      nodeId: this.#world.nodeId,
      aLegCallId: this.aLeg.callId,
      bLegCallId: this.#bLegCallId,
      source: sourceText(request),
      destination: this.#destination,
      direction: decision.direction ?? null,
      mode: decision.mode ?? null,
      accountSid: decision.accountSid ?? null,
      trunkSid: decision.trunkSid ?? null,
      carrierId: this.#carrierId ?? decision.carrierId ?? null,
      callerReceived: request.callerNumber,
      callerE164: decision.callerNumber.e164 ?? null,
      callerSent: decision.callerNumber.sent ?? null,
      calledReceived: request.calledNumber,
      calledE164: decision.calledNumber.e164 ?? null,
      revision: decision.revision,
      startedAt: isoTime(this.#started.wallMs),
      ringingAt: iso(this.#ringing),
      answeredAt: iso(this.#answered),
      endedAt: isoTime(ended.wallMs),
      setupMs: between(this.#started, this.#answered ?? ended),
      ringMs: between(this.#ringing, this.#answered ?? ended),
      talkMs,
      ...this.#verdict(ending, decision),
      sipStatus: ending.sipStatus,
      reasonCode: ending.reasonCode,
      attempts: this.#attempts,
      ...(this.#transfers === undefined ? {} : { transfers: this.#transfers }),
      charge: ending.answered ? this.#charge(decision, talkMs) : null,
      ...(this.#dials.closed.length === 0 ? {} : { dials: [...this.#dials.closed] }),
      decision,
    };
  }

  /** What becomes of the call if the process dies now. Its steps would make the most of what is written. */
  #note(): void {
    const { decision } = this;
    if (decision === undefined || this.#recorded || this.#world.recorder.note === undefined) return;
    const answered = this.#answered !== undefined;
    const record = this.#record(endingOfHangUp(NODE_LOST, answered), (this.#stepless ??= { ...decision, steps: [] }));
    const { direction } = decision;
    const answeredMs = this.#answered?.ms;
    const { open: dials } = this.#dials;
    this.#world.recorder.note({ record, direction, priced: this.#priced, answeredMs, dials });
  }

  #charge({ direction }: Decision, talkMs: number): Charge | null {
    return direction === undefined || this.#priced === undefined ? null : chargeOf(this.#priced, direction, talkMs);
  }

  #verdict(ending: CallEnding, decision: Decision): Pick<CallRecord, 'outcome' | 'endedBy' | 'q850'> {
    const { answered, cancelled, sipStatus, lastResult, deliberate } = ending;
    // Refused means that nobody was asked; an error of ours is a failure all the same, and so is that of a flow.
    const asked = this.#destination !== null || (decision.mode === 'flow' && !REFUSALS.has(ending.reasonCode));
    const accepted = ending.reasonCode === 'internal_error' || (decision.accepted && asked);
    return {
      outcome: outcomeOf({ answered, cancelled, accepted, sipStatus, lastResult }),
      endedBy: endedByOf({
        leg: this.placed && ending.side === 'a' ? 'b' : ending.side,
        direction: decision.direction,
        deliberate,
      }),
      q850: ending.q850 ?? (answered ? 16 : q850OfStatus(sipStatus)),
    };
  }

  #now(): Moment {
    return { ms: this.#world.clock.nowMs(), wallMs: this.#world.clock.wallMs() };
  }

  #emit(event: CallEvent): void {
    this.#world.events.emit(event);
  }
}

/** A call as `/api/calls` shows it. Times as in the call record. */
export interface LiveCallDump {
  readonly callId: string;
  readonly state: string;
  readonly startedAt: string;
  readonly answeredAt: string | null;
  readonly durationMs: number;
  readonly talkMs: number;
  readonly direction: string | null;
  readonly mode: string | null;
  readonly accountSid: string | null;
  readonly trunkSid: string | null;
  readonly carrierId: string | null;
  readonly caller: string;
  readonly callerSent: string | null;
  readonly called: string;
  readonly calledE164: string | null;
  readonly source: string;
  readonly destination: string | null;
  readonly revision: string | null;
  readonly aLegCallId: string;
  readonly bLegCallId: string | null;
  /** Streams to bots that run. */
  readonly streams: number;
  readonly legs: object;
}
