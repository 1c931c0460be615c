/** A placed call: rings whoever is called, then runs its flow with them. */
import type { Timer } from '../../../kernel/index.js';
import type { PlayEnd, RecordEnd, StreamReport } from '../../../media/port.js';
import type { InDialogRequest, IncomingReinvite, SignalMessage } from '../../../signal/port.js';
import type { Attempt } from '../../bridge/attempt.js';
import {
  type CallEnding,
  type HangUpReason,
  INTERNAL_ERROR,
  endingOfFailure,
  endingOfHangUp,
  hangUpHeaders,
} from '../../bridge/ending.js';
import { commonInvite } from '../../bridge/legHeaders.js';
import type { AttemptRecord } from '../../record/cdr.js';
import type { Decision } from '../../routing/decision.js';
import { Anchor, type AnchorSink } from '../flow/anchor.js';
import { Dial, type DialEnd, type DialSink } from '../flow/dial.js';
import { FlowCall } from '../flow/flowCall.js';
import type { FlowObserver, FlowWorld } from '../flow/world.js';
import type { CallCourse } from '../liveCall.js';
import type { CalledLeg } from './calledLeg.js';
import type { AdmittedOrigin, OriginateOrder } from './order.js';

const DIAL_ID = 'origin';
const NO_ANSWER = 19;
const RING_LIMIT: HangUpReason = { sipStatus: 480, reasonCode: 'no_answer', q850: NO_ANSWER };

/** Who hears of the called party's audio: nobody while it rings, then the flow. */
class AudioEvents implements AnchorSink {
  target: AnchorSink | undefined;

  onKey(digit: string, durationMs: number, by: 'rfc4733' | 'inband'): void {
    this.target?.onKey(digit, durationMs, by);
  }

  onPlayEnded(playId: string, end: PlayEnd, detail: string): void {
    this.target?.onPlayEnded(playId, end, detail);
  }

  onRecordEnded(recordId: string, end: RecordEnd, durationMs: number): void {
    this.target?.onRecordEnded(recordId, end, durationMs);
  }

  onStreamStarted(streamId: string): void {
    this.target?.onStreamStarted(streamId);
  }

  onStreamEnded(streamId: string, report: StreamReport): void {
    this.target?.onStreamEnded(streamId, report);
  }

  onMediaLost(detail: string): void {
    this.target?.onMediaLost(detail);
  }
}

export interface OriginStart {
  readonly callId: string;
  readonly leg: CalledLeg;
  readonly order: OriginateOrder;
  readonly admitted: AdmittedOrigin;
}

export class OriginCall implements CallCourse, DialSink {
  readonly #world: FlowWorld;
  readonly #start: OriginStart;
  readonly #observer: FlowObserver;
  readonly #audio = new AudioEvents();
  readonly #anchor = new Anchor(this.#audio);
  #dial: Dial | undefined;
  #flow: FlowCall | undefined;
  #timer: Timer | undefined;
  /** Why Tandem itself gave up. */
  #gaveUp: HangUpReason | undefined;
  #over = false;
  #released = false;

  constructor(world: FlowWorld, start: OriginStart, observer: FlowObserver) {
    const { maxMs } = start.order;
    const { maxCallMs } = world.settings;
    const settings = maxMs === undefined ? world.settings : { ...world.settings, maxCallMs: atMost(maxCallMs, maxMs) };
    this.#world = { ...world, settings };
    this.#start = start;
    this.#observer = observer;
  }

  get state(): string {
    return this.#flow?.state ?? (this.#over ? 'ended' : 'dialling');
  }

  /** Once somebody has answered. */
  get flow(): FlowCall | undefined {
    return this.#flow;
  }

  get liveStreams(): number {
    return this.#flow?.liveStreams ?? 0;
  }

  begin(): void {
    const { admitted, callId, leg, order } = this.#start;
    const { dial: admittedDial } = admitted;
    const common = commonInvite(leg.message, admittedDial.decision, this.#world.policy);
    if (common === undefined) return this.#end(endingOfHangUp(INTERNAL_ERROR, false));
    const { contentType: _type, body: _body, ...invite } = common;
    const dialOrder = { dialId: DIAL_ID, callId, media: 'anchored', admitted: admittedDial, invite } as const;
    this.#dial = new Dial(this.#world, { ...dialOrder, anchor: this.#anchor }, this);
    if (order.ringMs !== undefined) {
      this.#timer = this.#world.clock.setTimer('origin.ring', order.ringMs, () => this.hangUp(RING_LIMIT));
    }
    void this.#dial.begin();
  }

  hangUp(reason: HangUpReason): void {
    if (this.#flow !== undefined) return this.#flow.hangUp(reason);
    this.#gaveUp ??= reason;
    if (this.#dial === undefined) return this.#end(endingOfHangUp(reason, false));
    this.#dial.hangUp(reason.q850, hangUpHeaders(reason));
  }

  dump(): object {
    return this.#flow?.dump() ?? { dial: this.#dial?.dump() ?? null };
  }

  // What the dial says.

  onAttemptStarted(attempt: Attempt): void {
    this.#observer.onAttemptStarted(attempt);
  }

  onAttemptEnded(attempt: Attempt, record: AttemptRecord): void {
    this.#observer.onAttemptEnded(attempt, record);
  }

  dialProgress(_dial: Dial, message: SignalMessage): void {
    this.#observer.onRinging(message.status ?? 180, message.body.length > 0);
  }

  /** The call itself is what this leg costs. */
  dialUp(): void {}

  /** The audio is joined, the ACK is out: the flow begins. */
  dialAnswered(dial: Dial): void {
    const { admitted, callId, leg: aLeg } = this.#start;
    const { leg } = dial;
    if (leg === undefined || this.#over) return;
    this.#timer?.cancel();
    aLeg.up(leg);
    this.#observer.onAnswered(dial.attempt);
    const { request, flows, dial: admittedDial } = admitted;
    const { decision } = admittedDial;
    const flow = new FlowCall(this.#world, { callId, aLeg, request, decision, flows }, this.#observer);
    this.#flow = flow;
    this.#audio.target = flow.adopt(this.#anchor);
    flow.begin();
  }

  dialEnded(_dial: Dial, end: DialEnd): void {
    const { leg } = this.#start;
    if (this.#flow !== undefined) return this.#flow.onEnded(leg, end.leg ?? { kind: 'local_bye' });
    void this.#anchor.close();
    const { decision } = this.#start.admitted.dial;
    this.#end(this.#endingOf(end, decision));
  }

  dialReleased(_dial: Dial, abandoned: number): void {
    if (this.#flow === undefined) this.#release(abandoned);
  }

  dialRequest(_dial: Dial, request: InDialogRequest): void {
    if (this.#flow === undefined) request.respond(481);
    else this.#flow.onRequest(this.#start.leg, request);
  }

  dialReinvite(_dial: Dial, reinvite: IncomingReinvite): void {
    if (this.#flow === undefined) reinvite.respond(491);
    else this.#flow.onReinvite(this.#start.leg, reinvite);
  }

  dialReinviteAcked(message: SignalMessage, reinvite: IncomingReinvite): void {
    this.#flow?.onAck(this.#start.leg, message, reinvite);
  }

  dialReinviteCancelled(reinvite: IncomingReinvite): void {
    this.#flow?.onReinviteCancelled(this.#start.leg, reinvite);
  }

  /** Plays are the flow's own. */
  dialPlayEnded(): void {}

  dialFault(error: unknown): void {
    this.#observer.onFault('originate', error);
  }

  #endingOf(end: DialEnd, decision: Decision): CallEnding {
    if (this.#gaveUp !== undefined) return endingOfHangUp(this.#gaveUp, false);
    const ending = endingOfFailure(end.failure, end.sipStatus === 0 ? 480 : end.sipStatus);
    return decision.accepted ? ending : { ...ending, side: 'tandem', reasonCode: decision.reasonCode };
  }

  /** Over before a flow could begin. */
  #end(ending: CallEnding): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer?.cancel();
    this.#observer.onEnding();
    const { id, version } = this.#start.admitted.flows.flow;
    const flow = { id, version, reasonCode: ending.reasonCode, steps: 0, path: [] };
    this.#observer.onOver(ending, { flow, media: { a: null, b: null }, streams: [] });
    if (this.#dial === undefined) this.#release(0);
  }

  #release(abandoned: number): void {
    if (this.#released) return;
    this.#released = true;
    this.#observer.onReleased(abandoned);
  }
}

/** 0 means no limit. */
const atMost = (limit: number, wish: number): number => (limit > 0 ? Math.min(limit, wish) : wish);
