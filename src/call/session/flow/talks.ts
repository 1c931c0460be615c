/** The talk of a flow's caller that a transfer has made, or may make, a conversation; and what comes of it for the flow. */
import type { InDialogRequest, IncomingReinvite, Leg, LegEnd, SignalMessage } from '../../../signal/port.js';
import type { DialogRelay } from '../../bridge/dialogRelay.js';
import type { CallEnding } from '../../bridge/ending.js';
import type { FlowEvent } from '../../flow/events.js';
import type { LiveCall } from '../liveCall.js';
import type { Anchor } from './anchor.js';
import type { CallerLeg } from './callerLeg.js';
import type { CallerMedia } from './callerMedia.js';
import type { Dial, DialEnd } from './dial.js';
import { FlowTalk, type TalkHost } from './talk.js';
import { ThroughMedia } from './throughMedia.js';
import type { FlowCallStart, FlowObserver, FlowWorld } from './world.js';

/** The call around it, and its dials. */
export interface TalksHost {
  readonly start: FlowCallStart;
  readonly caller: CallerLeg;
  readonly media: CallerMedia;
  readonly observer: FlowObserver;
  deliver(event: FlowEvent): void;
  /** The conversation is over without the caller, who has left it before. */
  callerLeft(ending: CallEnding): void;
  settle(): void;
}

/** What the dials know of it. */
export interface TalkDials {
  /** The caller talks with nobody any more; `end`: how whoever it talked with left, for a flow that is to hear of it. */
  parted(end: DialEnd | undefined): void;
  /** Closes audio of a callee, and keeps what it was like. */
  dispose(anchor: Anchor): void;
}

export class Talks implements TalkHost {
  /** Legs that never confirmed their end. */
  abandoned = 0;
  readonly #world: FlowWorld;
  readonly #host: TalksHost;
  readonly #dials: TalkDials;
  /** The latest. */
  #talk: FlowTalk | undefined;
  #unsettled = 0;
  /** A REFER went on to the caller, whose NOTIFYs are the callee's. */
  #passedOn = false;

  constructor(world: FlowWorld, host: TalksHost, dials: TalkDials) {
    this.#world = world;
    this.#host = host;
    this.#dials = dials;
  }

  /** Legs of a conversation may still live. */
  get unsettled(): boolean {
    return this.#unsettled > 0;
  }

  /** A conversation lasts. */
  get lasts(): boolean {
    return this.#talk?.conversation !== undefined;
  }

  get legs(): readonly Leg[] | undefined {
    return this.#talk?.conversation?.ends.map(({ leg }) => leg);
  }

  /** A conversation lasts, in which the ends send audio to each other. */
  get #direct(): FlowTalk | undefined {
    return this.lasts && this.#talk?.through === undefined ? this.#talk : undefined;
  }

  /**
   * Caller and callee, for whoever carries out a transfer: the conversation that lasts, or one that could begin.
   * @param direct their media flow directly
   */
  of(call: LiveCall, dial: Dial, relay: DialogRelay, direct: boolean): FlowTalk | undefined {
    if (this.lasts) return this.#talk;
    const { caller, start } = this.#host;
    const { leg: callee } = dial;
    if (callee === undefined || !caller.up) return undefined;
    const through = direct ? undefined : this.#through(caller, start.callId);
    return new FlowTalk({ call, flow: start, caller, dial, callee, relay, through }, this);
  }

  /** Whether the flow knows the callee of the conversation that lasts, or was the last, by this. */
  isNamed(dialId: string): boolean {
    return this.#talk?.dialId === dialId;
  }

  hangUp(cause: number): void {
    this.#talk?.hangUp(cause);
  }

  abandon(): void {
    this.#talk?.abandon();
  }

  close(): void {
    this.#talk?.through?.close();
  }

  /** @returns false when no conversation lasted: the end is the flow's to deal with */
  callerEnded(end: LegEnd): boolean {
    const lasted = this.lasts;
    this.#talk?.ended('a', end);
    return lasted;
  }

  calleeEnded(end: LegEnd): void {
    const { through } = this.#talk ?? {};
    // Nobody is heard until somebody has its place.
    if (through?.moved === false) this.#host.media.anchor?.endpoint?.unbridge();
    this.#talk?.ended('b', end);
  }

  /** @returns false when it is no business of a conversation */
  request(side: 'a' | 'b', request: InDialogRequest): boolean {
    const { method } = request.message;
    const talk = method === 'REFER' && this.lasts ? this.#talk : this.#direct;
    if (talk === undefined) return false;
    talk.conversation?.request(talk[side], request);
    return true;
  }

  /** @returns whether it is for the callee, to whom the caller's word on a REFER goes */
  notifies({ message }: InDialogRequest): boolean {
    return this.#passedOn && message.method === 'NOTIFY' && /^refer\b/i.test(message.header('Event') ?? '');
  }

  /** @returns false when it is no business of a conversation */
  reinvite(side: 'a' | 'b', reinvite: IncomingReinvite): boolean {
    const talk = this.#direct;
    if (talk === undefined) return false;
    talk.conversation?.reinvite(talk[side], reinvite);
    return true;
  }

  acked(message: SignalMessage, reinvite: IncomingReinvite): void {
    this.#talk?.conversation?.relay.acked(message, reinvite);
  }

  cancelled(reinvite: IncomingReinvite): void {
    this.#talk?.conversation?.relay.cancelled(reinvite);
  }

  dump(): object {
    return { conversation: this.#talk?.conversation?.dump() ?? null, unsettled: this.#unsettled };
  }

  // What the talk says.

  talkBegins(talk: FlowTalk): void {
    this.#talk = talk;
    this.#unsettled++;
  }

  talkOver(_talk: FlowTalk, leg: LegEnd | undefined): void {
    this.#part();
    this.#dials.parted({ outcome: 'completed', sipStatus: 200, failure: undefined, leg });
  }

  callerLeft(ending: CallEnding): void {
    this.#part();
    this.#dials.parted(undefined);
    this.#host.callerLeft(ending);
  }

  talkMoved({ dialId }: FlowTalk, target: string): void {
    this.#host.deliver({ type: 'dialTransferred', dialId, target });
  }

  talkReleased(abandonedLegs: number): void {
    this.abandoned += abandonedLegs;
    this.#unsettled--;
    this.#host.settle();
  }

  #part(): void {
    const { through } = this.#talk ?? {};
    this.#passedOn = false;
    if (through === undefined) return;
    this.#host.media.anchor?.endpoint?.unbridge();
    through.close();
  }

  #through(caller: CallerLeg, callId: string): ThroughMedia {
    const { media } = this.#host;
    return new ThroughMedia(caller.leg, {
      media: this.#world.plane.media,
      callId,
      join: (anchor) =>
        media.use({
          name: 'bridge transferred',
          start: ({ endpoint }) => {
            if (anchor.endpoint !== undefined && !anchor.closed) endpoint?.bridge(anchor.endpoint);
          },
          failed: () => this.hangUp(MEDIA_LOST),
        }),
      dispose: (anchor) => this.#dials.dispose(anchor),
      lost: () => this.hangUp(MEDIA_LOST),
      passedOn: () => (this.#passedOn = true),
    });
  }
}

/** Q.850: temporary failure. */
const MEDIA_LOST = 41;
