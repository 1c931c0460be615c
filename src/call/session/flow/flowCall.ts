/** One call that a flow answers: performs the flow's effects on the caller's leg, the media plane and the callees' legs. */
import type { Timer } from '../../../kernel/index.js';
import type { MediaQuality, StreamReport } from '../../../media/port.js';
import type { InDialogRequest, IncomingReinvite, Leg, LegEnd, LegEvents, SignalMessage } from '../../../signal/port.js';
import { APPLETS } from '../../applets/catalogue.js';
import {
  type CallEnding,
  DURATION_LIMIT,
  type HangUpReason,
  INTERNAL_ERROR,
  endingOf,
  endingOfHangUp,
  hangUpHeaders,
  releaseHeaders,
} from '../../bridge/ending.js';
import { reasonHeader } from '../../bridge/reason.js';
import { callerReliability } from '../../bridge/reliability.js';
import type { FlowEffect } from '../../flow/effects.js';
import type { FlowEvent } from '../../flow/events.js';
import { advance, dumpFlow, initialState } from '../../flow/executor.js';
import type { FlowState } from '../../flow/state.js';
import type { HeaderEntry } from '../../../signal/port.js';
import type { Anchor, AnchorSink } from './anchor.js';
import { factsOf } from './callFacts.js';
import { CallerLeg } from './callerLeg.js';
import { CallerMedia } from './callerMedia.js';
import { Dials } from './dials.js';
import { infoKey } from './dtmfInfo.js';
import { Effects } from './effects.js';
import { endingOfFlow } from './ending.js';
import { answerLocally } from './localAnswers.js';
import { refuseRefer } from './referRefusal.js';
import { StepLog } from './stepLog.js';
import type { FlowCallStart, FlowObserver, FlowWorld } from './world.js';

/** For streams to report, and for the quality of the audio to come in, before the record is written without them. */
const STREAMS_END_MS = 150;
const MEDIA_END_MS = 250;
/** For a flow to come to its end behind a caller who has gone. What it does later is in the log alone. */
const FAREWELL_MS = 250;
/** Events that one event may bring about at once; a flow's own bounds are lower by far. */
const MAX_QUEUED = 10_000;

/** How the caller is told of the end. */
interface Farewell {
  readonly status: number;
  readonly headers: readonly HeaderEntry[];
}

export class FlowCall implements LegEvents {
  readonly start: FlowCallStart;
  readonly world: FlowWorld;
  readonly observer: FlowObserver;
  readonly caller: CallerLeg;
  readonly media: CallerMedia;
  readonly dials: Dials;
  readonly streams: StreamReport[] = [];
  readonly #effects: Effects;
  readonly #steps: StepLog;
  readonly #queue: FlowEvent[] = [];
  #flow: FlowState;
  #working = false;
  #faults = 0;
  /** Decided once; the record tells it. */
  #ending: CallEnding | undefined;
  #farewell: Farewell | undefined;
  #finishing = false;
  /** Media are being closed for the record. */
  #accounting = false;
  #recorded = false;
  #released = false;
  #abandoned = 0;
  /** Duration of an answered call, later release. */
  #timer: Timer | undefined;

  constructor(world: FlowWorld, start: FlowCallStart, observer: FlowObserver) {
    this.world = world;
    this.start = start;
    this.observer = observer;
    this.caller = new CallerLeg(start.aLeg);
    this.#effects = new Effects(this);
    const { callId, flows } = start;
    this.media = new CallerMedia(world, { callId, caller: this.caller, settings: flows.media }, this.#effects);
    this.dials = new Dials(world, this);
    this.#steps = new StepLog(start.flows.flow);
    this.#flow = initialState(start.flows.flow, APPLETS, factsOf(start, world.clock.wallMs()));
  }

  get state(): string {
    if (this.#released) return 'ended';
    if (this.#ending !== undefined) return 'releasing';
    return this.caller.answered ? 'in_flow' : 'deciding';
  }

  get liveStreams(): number {
    return this.#flow.activities.filter(({ kind }) => kind === 'stream').length;
  }

  begin(): void {
    const required = callerReliability(this.start.aLeg.message) === 'required';
    if (required) this.caller.onPrack = (prack) => this.#guard('prack', () => this.#pracked(prack));
    this.deliver({ type: 'started' });
  }

  /** Before `begin`: the leg was answered already, and its audio is there. @returns who is to hear of it */
  adopt(anchor: Anchor): AnchorSink {
    this.caller.answered = true;
    this.caller.acked = true;
    this.media.anchor = anchor;
    this.#flow = { ...this.#flow, answered: 'yes' };
    this.answered();
    return this.#effects;
  }

  /** Ends the call on Tandem's own account. */
  hangUp(reason: HangUpReason): void {
    this.#conclude(endingOfHangUp(reason, this.caller.answered), {
      status: reason.sipStatus,
      headers: hangUpHeaders(reason),
    });
    this.#finish();
  }

  dump(): object {
    return {
      ...dumpFlow(this.#flow),
      aLeg: this.caller.open ? this.caller.leg.dump() : null,
      media: this.media.anchor?.dump() ?? null,
      dials: this.dials.dump(),
      running: this.#effects.dump(),
    };
  }

  // The caller's leg.

  onRequest(_leg: Leg, request: InDialogRequest): void {
    this.#guard('request', () => {
      this.#answer(request);
      // Acted upon after its answer: what a key leads to must not overtake that, or a peer finds the dialog busy.
      const key = infoKey(request.message);
      if (key !== undefined) this.deliver({ type: 'callerDtmfInfo', ...key });
      if (request.message.method === 'NOTIFY') this.#effects.callerNotified(request.message);
    });
  }

  onReinvite(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#guard('reinvite', () => {
      if (!this.caller.acked) reinvite.respond(491);
      else if (!this.dials.callerReinvite(reinvite)) void this.#renegotiate(reinvite);
    });
  }

  onAck(_leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    this.#guard('ack', () => {
      if (reinvite === undefined) return this.#acked(message);
      this.dials.acked(message, reinvite);
      // The answer to an offer that the media plane made in our 2xx.
      if (reinvite.message.body.length === 0 && message.body.length > 0) {
        void this.media.anchor?.acceptAnswer(message.body);
      }
    });
  }

  onReinviteCancelled(_leg: Leg, reinvite: IncomingReinvite): void {
    this.dials.cancelled(reinvite);
  }

  onEnded(_leg: Leg, end: LegEnd): void {
    if (!this.caller.open) return;
    this.caller.open = false;
    this.#guard('caller_ended', () => {
      if (end.kind === 'remote_bye') this.#effects.callerLeft();
      if (this.dials.callerEnded(end)) return this.settle();
      if (this.#ending === undefined) {
        this.#conclude(endingOf('a', end, this.caller.answered), undefined);
        this.#effects.releaseHeaders = releaseHeaders(end, this.world.policy);
      }
      this.deliver({ type: 'callerHungUp' });
      if (!this.#finishing) this.#recordSoon();
      this.settle();
    });
  }

  // What the flow's effects, media and dials report.

  /** Tells the flow. What comes while it works waits its turn. */
  deliver(event: FlowEvent): void {
    if (this.#finishing || this.#queue.push(event) > MAX_QUEUED || this.#working) return;
    this.#working = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#work(next);
    } catch (error) {
      this.#queue.length = 0;
      this.fault('flow', error);
    } finally {
      this.#working = false;
    }
  }

  /** An exception ends the call. */
  fault(where: string, error: unknown): void {
    this.observer.onFault(where, error);
    if (++this.#faults === 1) this.hangUp(INTERNAL_ERROR);
    else if (this.#faults > 3) this.#abandon();
  }

  step(step: Parameters<FlowObserver['onStep']>[0]): void {
    this.#steps.add(step);
    this.observer.onStep(step);
  }

  /** The caller's 2xx is out: from here on the call has a longest duration. */
  answered(): void {
    const { maxCallMs } = this.world.settings;
    if (maxCallMs <= 0) return;
    this.#timer = this.world.clock.setTimer('flow.duration_limit', maxCallMs, () => this.hangUp(DURATION_LIMIT));
  }

  /** The flow ends the call. */
  end(effect: Extract<FlowEffect, { readonly type: 'hangup' | 'reject' }>, refused: number | undefined): void {
    const { cause, reasonCode } = effect;
    const { answered } = this.caller;
    const status = refused ?? (effect.type === 'reject' ? effect.status : 480);
    const { ends, telling } = this.dials;
    const dial = telling ?? (answered ? ends.at(-1) : ends.findLast((end) => end.sipStatus === status));
    const ending = endingOfFlow(
      { reasonCode, cause, sipStatus: answered ? 200 : status, answered },
      dial,
      telling !== undefined,
    );
    const headers = [reasonHeader('SIP', answered ? 200 : status, ending.reasonCode), reasonHeader('Q.850', cause)];
    this.#conclude(ending, { status, headers });
  }

  /** Without its caller, who has been transferred or has transferred, the conversation has gone on until now. */
  callerLeft(ending: CallEnding): void {
    this.#conclude(ending, undefined);
    this.deliver({ type: 'callerHungUp' });
    if (!this.#finishing) this.#recordSoon();
  }

  settle(): void {
    if (!this.#recorded || !this.#finishing || this.caller.open || this.dials.unsettled || this.#released) return;
    this.#released = true;
    this.#timer?.cancel();
    this.observer.onReleased(this.dials.abandoned + this.#abandoned);
  }

  // How it works.

  #work(event: FlowEvent): void {
    const last = event.type === 'dialEnded' ? this.dials.ends.at(-1) : undefined;
    const { state, effects } = advance(this.#flow, event, this.world.clock.nowMs());
    this.#flow = state;
    this.dials.telling = last;
    for (const effect of effects) this.#effects.perform(effect);
    this.dials.telling = undefined;
    if (state.status === 'ended') this.#finish();
  }

  #acked(message: SignalMessage): void {
    const { caller } = this;
    if (caller.acked) return;
    if (caller.onAck()) return this.#startReleaseTimer();
    this.dials.callerAcked(message);
    this.#effects.callerAcked(message);
  }

  /** RFC 3262 §5: an offer in it is answered in its 200. */
  #pracked(prack: InDialogRequest): void {
    if (prack.message.body.length === 0) prack.respond(200);
    else void this.#renegotiate(prack);
  }

  #answer(request: InDialogRequest): void {
    if (request.message.method === 'REFER') {
      if (!this.dials.refer('a', request)) refuseRefer(request, 'a', this.start.decision);
      return;
    }
    if (this.dials.callerRequest(request)) return;
    const { method, body } = request.message;
    if (method === 'UPDATE' && body.length > 0) void this.#renegotiate(request);
    else answerLocally(request);
  }

  async #renegotiate(request: InDialogRequest | IncomingReinvite): Promise<void> {
    try {
      await this.media.onReinvite(request);
    } catch (error) {
      request.respond(500);
      this.fault('reinvite', error);
    }
  }

  /** The first ending counts. The caller's time is up; the books wait for the media's account. */
  #conclude(ending: CallEnding, farewell: Farewell | undefined): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    this.#farewell = farewell;
    this.observer.onEnding();
  }

  /** Everything is stopped; the record is written once the media have told what they know; then the caller is told. */
  #finish(): void {
    if (this.#finishing) return;
    this.#finishing = true;
    this.#conclude(endingOfHangUp(INTERNAL_ERROR, this.caller.answered), {
      status: INTERNAL_ERROR.sipStatus,
      headers: hangUpHeaders(INTERNAL_ERROR),
    });
    this.#timer?.cancel();
    this.#guard('finish', () => this.#effects.stop());
    if (!this.#recorded) return this.#account();
    this.#startReleaseTimer();
    this.settle();
  }

  /** A process that ends now must not take the call's record with it, whatever its flow still waits for. */
  #recordSoon(): void {
    this.#timer?.cancel();
    this.#timer = this.world.clock.setTimer('flow.farewell', FAREWELL_MS, () => this.#account());
  }

  #account(): void {
    if (this.#accounting) return;
    this.#accounting = true;
    this.#closeMedia().then(
      ([a, b]) => this.#record(a, b),
      (error: unknown) => {
        this.observer.onFault('media', error);
        this.#record(null, null);
      },
    );
  }

  async #closeMedia(): Promise<readonly [MediaQuality | null, MediaQuality | null]> {
    const timers: Timer[] = [];
    const after = (name: string, ms: number): Promise<void> =>
      new Promise((resolve) => timers.push(this.world.clock.setTimer(name, ms, resolve)));
    try {
      const streamsEnd = after('flow.streams_end', STREAMS_END_MS);
      const both = Promise.all([this.media.close(streamsEnd), this.dials.close()]);
      const given = after('flow.media_end', MEDIA_END_MS).then(() => [null, null] as const);
      // What outlasts the limit is the engine's to end: the record does not wait for it.
      both.catch(() => {});
      return await Promise.race([both, given]);
    } finally {
      for (const timer of timers) timer.cancel();
    }
  }

  #record(a: MediaQuality | null, b: MediaQuality | null): void {
    if (this.#recorded) return;
    this.#recorded = true;
    const { reasonCode } = this.#flow;
    const ending = this.#ending ?? endingOfHangUp(INTERNAL_ERROR, false);
    const flow = this.#steps.record(reasonCode ?? ending.reasonCode);
    this.observer.onOver(ending, { flow, media: { a, b }, streams: this.streams });
    this.#startReleaseTimer();
    const { status, headers } = this.#farewell ?? { status: 500, headers: [] };
    this.#guard('farewell', () => this.caller.release(status, headers));
    this.settle();
  }

  #startReleaseTimer(): void {
    this.#timer?.cancel();
    if (this.#released) return;
    const { releaseTimeoutMs } = this.world.settings;
    this.#timer = this.world.clock.setTimer('flow.release_timeout', releaseTimeoutMs, () => this.#abandon());
  }

  /** Waits for nothing and nobody any more. */
  #abandon(): void {
    if (this.caller.open) this.#abandoned++;
    this.caller.open = false;
    this.dials.abandonAll();
    if (!this.#finishing) this.#finish();
    this.settle();
  }

  #guard(where: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fault(where, error);
    }
  }
}
