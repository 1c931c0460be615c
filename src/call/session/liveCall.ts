/** The books of one call, from its INVITE to its record. */
import type { Clock, EventChannel } from '../../kernel/index.js';
import type { InDialogRequest, IncomingLeg } from '../../signal/port.js';
import type { Attempt } from '../bridge/attempt.js';
import { type CallEnding, type HangUpReason, SESSION_EXPIRED } from '../bridge/ending.js';
import type { HuntPlan } from '../bridge/hunt.js';
import type { BridgeObserver } from '../bridge/world.js';
import { type CallFacts, type Moment, isDecided, msBetween, recordOf } from '../record/callFacts.js';
import type { AttemptRecord, CallRecorder } from '../record/cdr.js';
import { isoTime } from '../record/isoTime.js';
import type { TransferRecord } from '../record/transferRecord.js';
import type { TraceStep } from '../flow/trace.js';
import type { CallRequest, Decision } from '../routing/decision.js';
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

const iso = (moment: Moment | undefined): string | null => (moment === undefined ? null : isoTime(moment.wallMs));

const NONE: readonly never[] = Object.freeze([]);

export class LiveCall implements BridgeObserver, FlowObserver {
  readonly id: string;
  readonly request: CallRequest;
  readonly aLeg: IncomingLeg;
  /** Set once the call goes to a destination or to a flow. */
  course: CallCourse | undefined;
  readonly #world: CallWorld;
  readonly #onReleased: (call: LiveCall) => void;
  readonly #facts: CallFacts;
  readonly #dials: DialBooks;
  #admitted: AdmittedCall | undefined;
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
    this.#onReleased = events.onReleased;
    const { request } = this;
    const started = this.#now();
    this.#facts = {
      callId: id,
      nodeId: world.nodeId,
      aLegCallId: leg.callId,
      source: sourceText(request),
      callerReceived: request.callerNumber,
      calledReceived: request.calledNumber,
      placed: events.placed === true,
      started,
      decision: undefined,
      bLegCallId: null,
      destination: null,
      carrierId: undefined,
      ringing: undefined,
      answered: undefined,
      priced: undefined,
      attempts: NONE,
      transfers: undefined,
      dials: undefined,
      openDials: undefined,
    };
    this.#emit({ type: 'call_started', callId: id, atMs: started.wallMs, request, aLegCallId: leg.callId });
  }

  get decision(): Decision | undefined {
    return this.#facts.decision;
  }

  get placed(): boolean {
    return this.#facts.placed;
  }

  /** The record is written. */
  get isOver(): boolean {
    return this.#recorded;
  }

  decided(admitted: AdmittedCall): void {
    const { decision } = admitted;
    this.#admitted = admitted;
    this.#facts.decision = decision;
    if (decision.accepted) this.#note();
    this.#emit({
      type: 'call_decided',
      callId: this.id,
      atMs: this.#world.clock.wallMs(),
      decision,
    });
  }

  /** @param own false for one of a transfer's: it is no destination of the call */
  onAttemptStarted(attempt: Attempt, own = true): void {
    const bLegCallId = attempt.leg?.callId ?? '';
    if (own) {
      this.#facts.bLegCallId = bLegCallId;
      this.#facts.destination = attempt.destination.uri;
      this.#facts.carrierId = attempt.destination.carrierId;
    }
    const { number, startedWallMs: atMs, destination } = attempt;
    const { uri, gateway } = destination;
    this.#emit({ type: 'attempt_started', callId: this.id, atMs, attempt: number, uri, gateway, bLegCallId });
  }

  onAttemptEnded(attempt: Attempt, record: AttemptRecord, own = true): void {
    if (own) this.#facts.attempts = [...this.#facts.attempts, record];
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
    if (this.#facts.ringing !== undefined) return;
    const now = (this.#facts.ringing = this.#now());
    const afterMs = msBetween(this.#facts.started, now);
    this.#emit({ type: 'call_ringing', callId: this.id, atMs: now.wallMs, status, earlyMedia, afterMs });
  }

  onAnswered(attempt?: Attempt): void {
    const facts = this.#facts;
    const now = (facts.answered = this.#now());
    const setupMs = msBetween(facts.started, now);
    const bLegCallId = attempt?.leg?.callId ?? '';
    if (attempt?.forked !== undefined) {
      // Of several that rang, this one is the call's.
      facts.bLegCallId = bLegCallId;
      facts.destination = attempt.destination.uri;
    }
    const { decision } = facts;
    const priced = decision?.direction === 'inbound' ? decision.inbound : attempt?.destination;
    facts.priced = priced;
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
    this.#facts.transfers = [...(this.#facts.transfers ?? NONE), transfer];
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
  onEnding(): Moment {
    if (this.#ended !== undefined) return this.#ended;
    const ended = (this.#ended = this.#now());
    try {
      this.#admitted?.release();
    } catch (error) {
      this.onFault('limits', error);
    }
    return ended;
  }

  /** Writes the record and gives the limits back; the first ending counts, others are ignored. */
  onOver(ending: CallEnding, account?: FlowAccount): void {
    if (this.#recorded) return;
    this.#recorded = true;
    const ended = this.onEnding();
    const facts = this.#facts;
    try {
      if (!isDecided(facts)) return;
      // What the flow still dials is nobody's talk any more.
      for (const closed of this.#dials.endAll()) this.#dialEnded(closed);
      facts.aLegCallId = this.aLeg.callId;
      facts.dials = this.#dials.closed;
      const booked = recordOf(facts, ending, ended);
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
    const facts = this.#facts;
    const { decision, started, answered } = facts;
    const now = this.#now();
    return {
      callId: this.id,
      state: this.course?.state ?? 'deciding',
      startedAt: isoTime(started.wallMs),
      answeredAt: iso(answered),
      durationMs: msBetween(started, now),
      talkMs: msBetween(answered, now),
      direction: decision?.direction ?? null,
      mode: decision?.mode ?? null,
      accountSid: decision?.accountSid ?? null,
      trunkSid: decision?.trunkSid ?? null,
      carrierId: facts.carrierId ?? decision?.carrierId ?? null,
      caller: this.request.callerNumber,
      callerSent: decision?.callerNumber.sent ?? null,
      called: this.request.calledNumber,
      calledE164: decision?.calledNumber.e164 ?? null,
      source: facts.source,
      destination: facts.destination,
      revision: decision?.revision ?? null,
      aLegCallId: this.aLeg.callId,
      bLegCallId: facts.bLegCallId,
      streams: this.course?.liveStreams ?? 0,
      legs: this.course?.dump() ?? {},
    };
  }

  #note(): void {
    const facts = this.#facts;
    if (this.#recorded || this.#world.recorder.note === undefined || !isDecided(facts)) return;
    facts.aLegCallId = this.aLeg.callId;
    facts.dials = this.#dials.closed;
    facts.openDials = this.#dials.open;
    this.#world.recorder.note(facts);
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
