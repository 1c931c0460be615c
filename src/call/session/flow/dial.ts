/** One dial of a flow: a target's destinations tried in their order, its audio in the media plane or with the caller's. */
import type { Timer } from '../../../kernel/index.js';
import type { StreamReport } from '../../../media/port.js';
import type {
  Content,
  HeaderEntry,
  InDialogRequest,
  IncomingReinvite,
  InviteFailure,
  Leg,
  LegEnd,
  SignalMessage,
} from '../../../signal/port.js';
import type { Attempt, AttemptSink } from '../../bridge/attempt.js';
import type { AttemptFailure } from '../../bridge/failover.js';
import { type CommonInvite, Hunt, type HuntObserver, giveUpHeaders } from '../../bridge/hunt.js';
import { contentOf } from '../../bridge/legHeaders.js';
import { cleanText } from '../../bridge/headerText.js';
import { reasonHeader } from '../../bridge/reason.js';
import type { DialOutcome } from '../../flow/events.js';
import { Anchor } from './anchor.js';
import { addressesOf, endpointSpec } from './endpointSpec.js';
import type { AdmittedDial, DialWorld } from './world.js';

export interface DialEnd {
  readonly outcome: DialOutcome;
  /** 0 where none came. */
  readonly sipStatus: number;
  /** Why nobody answered; undefined for a dial that was answered or withdrawn. */
  readonly failure: AttemptFailure | undefined;
  /** The callee's side hung up. */
  readonly leg: LegEnd | undefined;
}

/** What the call hears of a dial. `dialEnded` once, then `dialReleased` once its legs are gone. */
export interface DialSink extends HuntObserver {
  dialProgress(dial: Dial, message: SignalMessage): void;
  /** The callee's 2xx is there; `dialAnswered` follows where the audio fits. */
  dialUp(dial: Dial, attempt: Attempt): void;
  dialAnswered(dial: Dial): void;
  dialEnded(dial: Dial, end: DialEnd): void;
  dialReleased(dial: Dial, abandoned: number): void;
  dialRequest(dial: Dial, request: InDialogRequest): void;
  dialReinvite(dial: Dial, reinvite: IncomingReinvite): void;
  dialReinviteAcked(message: SignalMessage, reinvite: IncomingReinvite): void;
  dialReinviteCancelled(reinvite: IncomingReinvite): void;
  dialPlayEnded(playId: string, end: 'finished' | 'stopped' | 'failed', detail: string): void;
  dialFault(error: unknown): void;
}

export interface DialOrder {
  readonly dialId: string;
  readonly callId: string;
  readonly media: 'direct' | 'anchored';
  readonly admitted: AdmittedDial;
  /** From, headers, and for direct media the caller's own offer. */
  readonly invite: CommonInvite;
  /** The audio, where it outlives the dial; default: its own. */
  readonly anchor?: Anchor | undefined;
}

const SDP = 'application/sdp';
const NO_CONTENT: Content = {};

export class Dial implements AttemptSink {
  readonly id: string;
  readonly order: DialOrder;
  /** Its audio in the media plane; undefined for direct media. */
  readonly anchor: Anchor | undefined;
  answered = false;
  over = false;
  readonly #world: DialWorld;
  readonly #sink: DialSink;
  #hunt: Hunt | undefined;
  #timer: Timer | undefined;
  #legsOpen = 0;
  #ackOwed = false;
  #content = NO_CONTENT;
  #earlyMedia: string | undefined;
  #released = false;

  constructor(world: DialWorld, order: DialOrder, sink: DialSink) {
    this.id = order.dialId;
    this.order = order;
    this.#world = world;
    this.#sink = sink;
    this.anchor = order.media === 'direct' ? undefined : (order.anchor ?? new Anchor(this.#anchorSink()));
  }

  get leg(): Leg | undefined {
    return this.answered && !this.over ? this.#hunt?.current?.leg : undefined;
  }

  get attempt(): Attempt | undefined {
    return this.#hunt?.current;
  }

  /** What the callee answered, early or late: for the caller, where the media are direct. */
  get content(): Content {
    return this.#content;
  }

  /** RFC 5009: the callee's word about its early media crosses with them. */
  get earlyMediaHeaders(): readonly HeaderEntry[] {
    return this.#earlyMedia === undefined ? [] : [['P-Early-Media', cleanText(this.#earlyMedia)]];
  }

  /** The callee's early media are taken into its anchor. @returns false where there are none that fit */
  async hearEarly(): Promise<boolean> {
    const { body } = this.#content;
    if (this.anchor === undefined || body === undefined || this.over) return false;
    return (await this.anchor.acceptAnswer(body)).ok;
  }

  async begin(): Promise<void> {
    try {
      const { decision } = this.order.admitted;
      if (!decision.accepted) return this.#end({ ...FAILED, sipStatus: decision.sipStatus ?? 480 });
      const body = await this.#offer();
      if (this.over) return;
      if (body === undefined && this.anchor !== undefined) return this.#end({ ...FAILED, sipStatus: 503 });
      const { invite } = this.order;
      const content = body === undefined ? {} : { contentType: SDP, body };
      this.#hunt = new Hunt(this.#world, this.order.admitted, { ...invite, ...content }, this.#sink);
      this.#next();
    } catch (error) {
      this.#sink.dialFault(error);
      this.hangUp(41);
    }
  }

  /** For direct media: the ACK, with the caller's answer where the callee made the offer. */
  ack(content?: Content): void {
    if (!this.#ackOwed) return;
    this.#ackOwed = false;
    this.attempt?.leg?.ack(content);
  }

  /** CANCEL or BYE. The dial's end is reported at once; its legs follow. */
  hangUp(cause: number, headers: readonly HeaderEntry[] = [reasonHeader('Q.850', cause)]): void {
    if (this.over) return;
    const attempt = this.attempt;
    if (this.answered) {
      this.ack();
      attempt?.leg?.bye(headers);
      this.#end({ ...WITHDRAWN, outcome: 'completed', sipStatus: 200 });
    } else {
      this.#hunt?.conclude('cancelled', attempt?.lastStatus ?? 0);
      if (attempt?.open === true) attempt.cancel(headers);
      this.#end(WITHDRAWN);
    }
  }

  dump(): object {
    return {
      dial: this.id,
      answered: this.answered,
      over: this.over,
      tried: this.#hunt?.tried ?? 0,
      legsOpen: this.#legsOpen,
      timer: this.#timer?.name ?? null,
      leg: this.leg?.dump() ?? null,
    };
  }

  // The legs. What a given-up attempt still says concerns the bookkeeping only.

  attemptSent(attempt: Attempt): void {
    if (this.#isCurrent(attempt)) this.#awaitCallee();
  }

  attemptTrying(attempt: Attempt): void {
    if (this.#isCurrent(attempt)) this.#wait('ring_timeout');
  }

  attemptProgress(attempt: Attempt, message: SignalMessage): void {
    if (!this.#isCurrent(attempt) || this.answered) return;
    if (this.#timer?.name === 'dial.silence') this.#wait('ring_timeout');
    // RFC 6228: 199 speaks of a fork of the callee's side.
    if (message.status === 199) return;
    if (message.body.length > 0) this.#content = contentOf(message);
    this.#earlyMedia = message.header('P-Early-Media') ?? this.#earlyMedia;
    this.#sink.dialProgress(this, message);
  }

  attemptAnswered(attempt: Attempt, message: SignalMessage): void {
    if (!this.#isCurrent(attempt)) return attempt.releaseAnswer();
    this.#stopTimer();
    this.answered = true;
    this.#ackOwed = true;
    if (message.body.length > 0) this.#content = contentOf(message);
    this.#hunt?.won(message.status ?? 200);
    this.#sink.dialUp(this, attempt);
    if (this.anchor === undefined) return this.#sink.dialAnswered(this);
    this.ack();
    void this.#joinMedia(this.anchor);
  }

  attemptFailed(attempt: Attempt, failure: InviteFailure): void {
    this.#legsOpen--;
    if (this.#isCurrent(attempt)) this.#goOn(failure, () => this.#hunt?.fail(failure));
    this.#settle();
  }

  attemptOver(attempt: Attempt, end: LegEnd): void {
    this.#legsOpen--;
    if (this.#isCurrent(attempt)) {
      if (this.answered) this.#end({ outcome: 'completed', sipStatus: 200, failure: undefined, leg: end });
      else this.#goOn(LEG_LOST, () => this.#hunt?.fail(LEG_LOST));
    }
    this.#settle();
  }

  attemptRequest(attempt: Attempt, request: InDialogRequest): void {
    if (this.#isCurrent(attempt)) this.#sink.dialRequest(this, request);
    else request.respond(481);
  }

  attemptReinvite(attempt: Attempt, reinvite: IncomingReinvite): void {
    if (this.#isCurrent(attempt)) this.#sink.dialReinvite(this, reinvite);
    else reinvite.respond(481);
  }

  onAck(_leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    if (reinvite !== undefined) this.#sink.dialReinviteAcked(message, reinvite);
  }

  onReinviteCancelled(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#sink.dialReinviteCancelled(reinvite);
  }

  // How it goes on.

  #isCurrent(attempt: Attempt): boolean {
    return !this.over && attempt === this.#hunt?.current;
  }

  /** Our own offer; undefined for direct media, and where the media plane has none. */
  async #offer(): Promise<Buffer | undefined> {
    if (this.anchor === undefined) return undefined;
    const { callId, admitted } = this.order;
    const leg = { callId, leg: 'b', peerAddresses: addressesOf(admitted.decision.destinations) } as const;
    const { plane } = this.#world;
    if (plane === undefined) return undefined;
    const opened = await this.anchor.open(plane.media, endpointSpec(leg, admitted.media, 0));
    return opened.ok ? opened.sdp : undefined;
  }

  async #joinMedia(anchor: Anchor): Promise<void> {
    try {
      const accepted = await anchor.acceptAnswer(this.#content.body ?? Buffer.alloc(0));
      if (this.over) return;
      if (accepted.ok) return this.#sink.dialAnswered(this);
      this.attempt?.leg?.bye([reasonHeader('SIP', 488, accepted.problem.code)]);
      this.#end({ ...FAILED, sipStatus: 488 });
    } catch (error) {
      this.#sink.dialFault(error);
      this.hangUp(41);
    }
  }

  #next(): void {
    this.#content = NO_CONTENT;
    this.#earlyMedia = undefined;
    // The leg may fail before `next` returns.
    this.#legsOpen++;
    if (this.#hunt?.next(this) !== true) {
      this.#legsOpen--;
      return this.#finish();
    }
    if (this.#hunt.current?.leg !== undefined) this.#awaitCallee();
    else this.#stopTimer();
  }

  #awaitCallee(): void {
    this.#wait(this.#world.port.capabilities.reportsTrying ? 'silence' : 'ring_timeout');
  }

  #goOn(failure: AttemptFailure, account: () => void): void {
    try {
      account();
      if (this.#hunt?.goesOn(failure) === true) this.#next();
      else this.#finish();
    } catch (error) {
      this.#sink.dialFault(error);
      this.hangUp(41);
    }
  }

  #giveUp(kind: 'silence' | 'ring_timeout'): void {
    this.#goOn({ kind }, () => this.#hunt?.giveUp({ kind }, giveUpHeaders(kind)));
  }

  #finish(): void {
    const verdict = this.#hunt?.verdict();
    const sipStatus = verdict?.status ?? 480;
    const failure = verdict?.failure;
    this.#end({ outcome: outcomeOf(failure, sipStatus), sipStatus, failure, leg: undefined });
  }

  /** Once. The audio is the call's to close: its quality goes into the record. */
  #end(end: DialEnd): void {
    if (this.over) return;
    this.#stopTimer();
    this.over = true;
    this.order.admitted.release();
    this.#sink.dialEnded(this, end);
    this.#settle();
  }

  #settle(): void {
    if (!this.over || this.#legsOpen > 0 || this.#released) return;
    this.#released = true;
    this.#stopTimer();
    this.#sink.dialReleased(this, 0);
  }

  /** Waits for legs that do not confirm their end no longer. */
  abandon(): void {
    if (this.#released) return;
    this.#released = true;
    this.#sink.dialReleased(this, this.#legsOpen);
  }

  #wait(kind: 'silence' | 'ring_timeout'): void {
    this.#stopTimer();
    const { silenceTimeoutMs, ringTimeoutMs } = this.#world.settings;
    const delayMs = kind === 'silence' ? silenceTimeoutMs : ringTimeoutMs;
    if (delayMs > 0) this.#timer = this.#world.clock.setTimer(`dial.${kind}`, delayMs, () => this.#giveUp(kind));
  }

  #stopTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #anchorSink(): ConstructorParameters<typeof Anchor>[0] {
    return {
      onKey: () => {},
      onPlayEnded: (playId, end, detail) => this.#sink.dialPlayEnded(playId, end, detail),
      onRecordEnded: () => {},
      onStreamStarted: () => {},
      onStreamEnded: (_id: string, _report: StreamReport) => {},
      // Its audio is gone for good: who is called hears nothing any more.
      onMediaLost: () => this.hangUp(41, [reasonHeader('SIP', 503, 'Media lost')]),
    };
  }
}

const FAILED: DialEnd = { outcome: 'failed', sipStatus: 500, failure: undefined, leg: undefined };
const WITHDRAWN: DialEnd = { outcome: 'cancelled', sipStatus: 0, failure: undefined, leg: undefined };
const LEG_LOST: AttemptFailure = { kind: 'transport_error', code: 'leg_lost' };

const BUSY = new Set([486, 600]);
const NO_ANSWER = new Set([408, 480, 487]);

function outcomeOf(failure: AttemptFailure | undefined, sipStatus: number): DialOutcome {
  if (failure?.kind === 'ring_timeout') return 'no_answer';
  if (failure?.kind !== 'response') return 'failed';
  if (BUSY.has(sipStatus)) return 'busy';
  return NO_ANSWER.has(sipStatus) ? 'no_answer' : 'failed';
}
