/**
 * Two legs of one call: the caller's, which came in, and the callee's, which is made destination by destination.
 * BRIDGE_TABLE says what happens when; the methods below say how.
 */
import type { Timer } from '../../kernel/index.js';
import type {
  Content,
  InDialogRequest,
  IncomingReinvite,
  InviteFailure,
  Leg,
  LegEnd,
  LegEvents,
  ResponseSpec,
  SignalMessage,
} from '../../signal/port.js';
import type { Attempt, AttemptSink } from './attempt.js';
import { DialogRelay, isRelayed } from './dialogRelay.js';
import {
  type CallEnding,
  DURATION_LIMIT,
  type HangUpReason,
  INTERNAL_ERROR,
  endingOf,
  endingOfHangUp,
  hangUpHeaders,
  releaseHeaders,
} from './ending.js';
import type { AttemptFailure } from './failover.js';
import type { Estate, Heir } from './heir.js';
import { Hunt, type PickUp, giveUpHeaders } from './hunt.js';
import { lastWord } from './lastWord.js';
import { SessionWatch } from './sessionWatch.js';
import { LegPair } from './legPair.js';
import { contentOf } from './legHeaders.js';
import { type Act, DIALOG_LOST, LEG_LOST, type Occurrence, type TimerEvent, timerFor } from './occurrence.js';
import { ruledByUs } from './referRule.js';
import { A_END, BRIDGE_TABLE, B_END, type BridgeAction, type BridgeEvent, type BridgeState } from './states.js';
import type { BridgeCall, BridgeObserver, BridgeWorld } from './world.js';

const NONE: Occurrence = {};
const NO_CONTENT: Content = {};

export class Bridge implements LegEvents, AttemptSink {
  /** Who has the call, once it was handed over. */
  heir: Heir | undefined;
  readonly #world: BridgeWorld;
  readonly #legs: LegPair;
  readonly #observer: BridgeObserver;
  readonly #hunt: Hunt;
  #relay: DialogRelay;
  /** The caller's INVITE brought no offer: the callee makes it, and our ACK to it waits for the caller's. */
  readonly #lateOffer: boolean;
  /** RFC 3262 §3: whatever the callee does, the caller's provisionals are reliable. */
  readonly #requiresReliable: boolean;
  #state: BridgeState = 'deciding';
  /** Silence, then ringing, then duration, then release: one at a time. */
  #timer: Timer | undefined;
  #earlyContent = NO_CONTENT;
  #over = false;
  #faults = 0;
  #abandoned = 0;

  constructor(world: BridgeWorld, call: BridgeCall, observer: BridgeObserver) {
    this.#world = world;
    this.#legs = new LegPair(call.aLeg);
    this.#observer = observer;
    this.#hunt = new Hunt(world, call.plan, call.invite, observer);
    this.#lateOffer = call.aLeg.message.body.length === 0;
    this.#requiresReliable = call.invite.reliability === 'required';
    const policy = () => this.#hunt.policyOf(world.policy);
    this.#relay = new DialogRelay(policy, world.random, (error) => this.#fault('relay', error));
  }

  get state(): string {
    return this.heir?.state ?? this.#state;
  }

  /** The call as it is; undefined unless it is established. */
  get estate(): Estate | undefined {
    const attempt = this.#hunt.current;
    if (this.#state !== 'established' || attempt?.leg === undefined) return undefined;
    return { a: this.#legs.a, b: attempt.leg, destination: attempt.destination, relay: this.#relay };
  }

  /** From here on the heir has the call, with a relay that may be another call's. */
  handOver(heir: Heir, relay: DialogRelay): void {
    this.#state = 'handed_over';
    this.#relay.unwatch();
    this.heir = heir;
    this.#relay = relay;
  }

  /** Nothing of the call lives; the heir's word, too. */
  released(abandonedLegs: number): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#stopTimer();
    this.#observer.onReleased(abandonedLegs);
  }

  /** Whoever is being called, while somebody else may still take the call. */
  get ringing(): Attempt | undefined {
    return BRIDGE_TABLE[this.#state].picked_up.action === 'pickUp' ? this.#hunt.current : undefined;
  }

  /** Somebody else takes the call that rings (RFC 3891 §3). */
  pickUp(pickUp: PickUp): void {
    if (this.ringing !== undefined) this.#legs.bOpen++;
    this.#on('picked_up', { pickUp });
  }

  /** Calls the first destination. */
  begin(): void {
    this.#on('begin', NONE);
  }

  /** Ends the call on Tandem's own account. */
  hangUp(reason: HangUpReason): void {
    this.#on('hang_up', { hangUp: reason });
  }

  dump(): object {
    return {
      state: this.#state,
      attempt: this.#hunt.tried,
      timer: this.#timer?.name ?? null,
      ...this.#legs.dump(this.#hunt.current),
      ...this.#relay.dump(),
      ...this.heir?.dump(),
    };
  }

  // The caller's leg.

  onRequest(_leg: Leg, request: InDialogRequest): void {
    this.#on('a_request', { request, from: 'a' });
  }

  onReinvite(_leg: Leg, request: IncomingReinvite): void {
    this.#on('a_reinvite', { request, from: 'a' });
  }

  /** Of either leg; only the caller's acknowledges a first INVITE. */
  onAck(_leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    if (reinvite === undefined) this.#on('a_ack', { message });
    else this.#relay.acked(message, reinvite);
  }

  onReinviteCancelled(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#relay.cancelled(reinvite);
  }

  onEnded(_leg: Leg, end: LegEnd): void {
    if (!this.#legs.aOpen) return;
    this.#legs.aOpen = false;
    this.#on(A_END[end.kind], { end });
  }

  // The callee's legs. What a given-up attempt still says concerns the bookkeeping only.

  attemptSent(attempt: Attempt): void {
    if (attempt === this.#hunt.current) this.#awaitCallee();
  }

  attemptTrying(attempt: Attempt): void {
    if (attempt === this.#hunt.current) this.#on('b_trying', NONE);
  }

  attemptProgress(attempt: Attempt, message: SignalMessage): void {
    if (attempt === this.#hunt.current) this.#on('b_progress', { attempt, message });
    else if (attempt.relaysPrack) this.#relay.acknowledge(attempt, message);
  }

  attemptAnswered(attempt: Attempt, message: SignalMessage): void {
    if (attempt === this.#hunt.current) this.#on('b_answered', { attempt, message });
    else attempt.releaseAnswer();
  }

  attemptFailed(attempt: Attempt, failure: InviteFailure): void {
    this.#legs.bOpen--;
    if (attempt === this.#hunt.current) this.#on('b_failed', { failure });
    else this.#settle();
  }

  attemptOver(attempt: Attempt, end: LegEnd): void {
    this.#legs.bOpen--;
    if (attempt === this.#hunt.current) this.#on(B_END[end.kind], { end });
    else this.#settle();
  }

  attemptRequest(attempt: Attempt, request: InDialogRequest): void {
    if (attempt === this.#hunt.current) this.#on('b_request', { request, from: 'b' });
    else request.respond(481);
  }

  attemptReinvite(attempt: Attempt, request: IncomingReinvite): void {
    if (attempt === this.#hunt.current) this.#on('b_reinvite', { request, from: 'b' });
    else request.respond(481);
  }

  // The machine.

  static readonly #ACTIONS: { readonly [A in BridgeAction]: Act<Bridge> } = {
    ignore: () => {},
    tryNext: (bridge) => bridge.#tryNext(),
    noteTrying: (bridge) => bridge.#startTimer('ring_timeout'),
    forwardProgress: (bridge, now) => bridge.#forwardProgress(now.attempt as Attempt, now.message as SignalMessage),
    forwardAnswer: (bridge, now) => bridge.#forwardAnswer(now.attempt as Attempt, now.message as SignalMessage),
    releaseAnswer: (_bridge, now) => (now.attempt as Attempt).releaseAnswer(),
    attemptFailed: (bridge, now) => bridge.#attemptFailed(now.failure ?? LEG_LOST, true),
    lastAttemptFailed: (bridge, now) => bridge.#attemptFailed(now.failure ?? LEG_LOST, false),
    giveUpSilent: (bridge) => bridge.#giveUp('silence', true),
    giveUpRinging: (bridge) => bridge.#giveUp('ring_timeout', true),
    giveUpLast: (bridge) => bridge.#giveUp('ring_timeout', false),
    withdraw: (bridge, now) => bridge.#withdraw(now.end as LegEnd),
    pickUp: (bridge, now) => bridge.#hunt.pickUp(now.pickUp as PickUp, bridge),
    callerAcked: (bridge, now) => bridge.#legs.acked(bridge.#hunt.current, contentOf(now.message as SignalMessage)),
    callerGone: (bridge, now) => bridge.#legGone('a', now.end as LegEnd),
    calleeGone: (bridge, now) => bridge.#legGone('b', now.end ?? DIALOG_LOST),
    refuse: (bridge, now) => bridge.#refuse(now.hangUp ?? INTERNAL_ERROR),
    hangUpBoth: (bridge, now) => bridge.#hangUpBoth(now.hangUp ?? INTERNAL_ERROR),
    endAtLimit: (bridge) => bridge.#hangUpBoth(DURATION_LIMIT),
    sendHeldBye: (bridge) => bridge.#legs.sendHeldBye() && bridge.#startTimer('release_timeout'),
    finishRelease: (bridge) => bridge.#hangUpBoth(INTERNAL_ERROR),
    abandon: (bridge) => bridge.#abandon(),
    relayRequest: (bridge, now) => bridge.#relayRequest(now),
    relayReinvite: (bridge, now) => bridge.#relayReinvite(now),
    defer: (bridge, now) => bridge.#relay.defer(now.request as InDialogRequest),
    glare: (_bridge, now) => now.request?.respond(491),
    noDialog: (_bridge, now) => now.request?.respond(481),
    toHeir: (bridge, now, event) => bridge.heir?.take(bridge, event, now),
  };

  #on(event: BridgeEvent, occurrence: Occurrence): void {
    const { action, to } = BRIDGE_TABLE[this.#state][event];
    if (to !== undefined) this.#state = to;
    try {
      Bridge.#ACTIONS[action](this, occurrence, event);
    } catch (error) {
      this.#fault(event, error);
    }
    this.#settle();
  }

  /** An exception ends the call, and a second one on the way out ends the attempt to end it well. */
  #fault(where: string, error: unknown): void {
    this.#observer.onFault(where, error);
    if (++this.#faults === 1) this.#on('fault', NONE);
    else this.#abandon();
  }

  /** In the end only the legs matter: when all are gone, so is the call. */
  #settle(): void {
    if (this.#state === 'releasing' && this.#legs.gone) this.released(this.#abandoned);
  }

  #tryNext(): void {
    this.#earlyContent = NO_CONTENT;
    if (!this.#hunt.next(this)) return this.#finish();
    this.#legs.bOpen++;
    if (this.#hunt.current?.leg !== undefined) this.#awaitCallee();
    else this.#stopTimer();
  }

  #awaitCallee(): void {
    this.#startTimer(this.#world.port.capabilities.reportsTrying ? 'silence' : 'ring_timeout');
  }

  #forwardProgress(attempt: Attempt, message: SignalMessage): void {
    const status = message.status ?? 180;
    if (this.#timer?.name === 'silence') this.#startTimer('ring_timeout');
    if (status === 199 && !this.#relay.tellsEnd(attempt, this.#legs.a.message)) {
      return this.#relay.acknowledge(attempt, message);
    }
    // RFC 3261 §13.2.1: the first reliable response to an INVITE without an offer makes one, and this one cannot.
    if (this.#requiresReliable && this.#lateOffer && !isRelayed(attempt, message)) return;
    const before = this.#state;
    const spec = this.#relay.progress(attempt, message, this.#requiresReliable);
    if (message.body.length > 0) {
      this.#state = 'early_media';
      // What was sent reliably is settled, and what came after it in PRACK or UPDATE may have changed it.
      if (spec.fork === undefined) this.#earlyContent = spec.reliable === undefined ? contentOf(message) : NO_CONTENT;
    } else if (before === 'attempting') this.#state = 'ringing';
    this.#legs.a.progress(status, spec);
    if (this.#state !== before) this.#observer.onRinging(status, this.#state === 'early_media');
  }

  #forwardAnswer(attempt: Attempt, message: SignalMessage): void {
    this.#legs.answer(attempt, this.#lateOffer);
    // Before the caller is told: whoever was told of an answer has a record that says so, also if the process dies now.
    this.#hunt.won(message.status ?? 200);
    this.#observer.onAnswered(attempt);
    if (attempt.relaysTimers)
      this.#relay.watch = new SessionWatch(this.#world, () => this.#observer.onSessionExpired?.(attempt));
    const answer = this.#relay.answer(attempt, message, this.#lateOffer ? NO_CONTENT : this.#earlyContent);
    // A transfer may want to offer it to somebody else; the caller's own is in its INVITE.
    if (ruledByUs(this.#hunt.decision, attempt.destination)) this.#relay.remember(attempt.leg as Leg, answer.body);
    this.#legs.a.answer(answer);
    this.#startTimer('duration_limit');
  }

  #attemptFailed(failure: AttemptFailure, another: boolean): void {
    this.#hunt.fail(failure);
    this.#goOn(failure, another);
  }

  #giveUp(kind: 'silence' | 'ring_timeout', another: boolean): void {
    this.#hunt.giveUp({ kind }, giveUpHeaders(kind));
    this.#goOn({ kind }, another);
  }

  #goOn(failure: AttemptFailure, another: boolean): void {
    if (!another || !this.#hunt.goesOn(failure)) return this.#finish();
    this.#state = 'attempting';
    this.#tryNext();
  }

  /** The search is over: the final answer of the decisive attempt. */
  #finish(): void {
    this.#state = 'releasing';
    const { status, spec, ending } = lastWord(this.#hunt.verdict(), this.#relay);
    this.#reject(status, spec, ending);
  }

  #withdraw(end: LegEnd): void {
    this.conclude(endingOf('a', end, false));
    this.#legs.releaseB(this.#hunt.current, releaseHeaders(end, this.#relay.policy));
  }

  #legGone(side: 'a' | 'b', end: LegEnd): void {
    this.conclude(endingOf(side, end, true));
    const headers = releaseHeaders(end, this.#relay.policy);
    if (side === 'a') this.#legs.releaseB(this.#hunt.current, headers);
    else this.#legs.releaseA(headers);
  }

  #refuse(reason: HangUpReason): void {
    this.#reject(reason.sipStatus, { headers: hangUpHeaders(reason) }, endingOfHangUp(reason, false));
    this.#legs.releaseB(this.#hunt.current, hangUpHeaders(reason));
  }

  /** Also the last resort after a fault: whatever has not been released yet is. */
  #hangUpBoth(reason: HangUpReason): void {
    if (!this.#legs.answered && this.#legs.aOpen) return this.#refuse(reason);
    this.conclude(endingOfHangUp(reason, this.#legs.answered));
    this.#legs.releaseB(this.#hunt.current, hangUpHeaders(reason));
    this.#legs.releaseA(hangUpHeaders(reason));
  }

  #reject(status: number, spec: ResponseSpec, ending: CallEnding): void {
    // Nothing follows a rejection of the caller's leg.
    this.#legs.aOpen = false;
    // The record first: once the caller knows that the call is over, not even SIGKILL may lose it.
    this.conclude(ending);
    this.#legs.a.reject(status, spec);
  }

  /** Closes the books, once; at the heir's word, too. What follows concerns the legs only. */
  conclude(ending: CallEnding): void {
    if (this.#over) return;
    this.#over = true;
    this.#startTimer('release_timeout');
    this.#hunt.conclude('cancelled', this.#hunt.current?.lastStatus ?? 0);
    this.#relay.close();
    this.#observer.onOver(ending);
  }

  #abandon(): void {
    if (this.#state === 'ended') return;
    if (this.heir !== undefined) return this.heir.abandon();
    this.#state = 'releasing';
    this.conclude(endingOfHangUp(INTERNAL_ERROR, this.#legs.answered));
    this.#abandoned = this.#legs.abandon();
    this.#settle();
  }

  #relayRequest({ request, from = 'a' }: Occurrence): void {
    const asked = request as InDialogRequest;
    const { current } = this.#hunt;
    const to = from === 'a' ? current?.leg : this.#legs.a;
    if (asked.message.method === 'REFER') this.#observer.onRefer(from, asked);
    else if (to !== undefined) this.#relay.request(to, asked, from === 'b' ? current : undefined);
  }

  #relayReinvite({ request, from }: Occurrence): void {
    const b = this.#hunt.current?.leg as Leg;
    this.#relay.reinvite(from === 'a' ? this.#legs.a : b, from === 'a' ? b : this.#legs.a, request as IncomingReinvite);
  }

  #startTimer(event: TimerEvent): void {
    this.#timer?.cancel();
    this.#timer = timerFor(this.#world, event, () => this.#on(event, NONE));
  }

  #stopTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
