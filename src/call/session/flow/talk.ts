/**
 * A caller and a callee of a flow's `connect`, once one of them transfers: from then on they are a conversation like any
 * other. The flow goes on waiting for its callee, whoever has that place, and gets its caller back in the end.
 */
import type { Leg, LegEnd } from '../../../signal/port.js';
import type { DialogRelay } from '../../bridge/dialogRelay.js';
import type { CallEnding, HangUpReason } from '../../bridge/ending.js';
import type { Heir } from '../../bridge/heir.js';
import type { Decision } from '../../routing/decision.js';
import type { LiveCall } from '../liveCall.js';
import type { Conversation, MemberBooks } from '../transfer/conversation.js';
import { type Party, newParty } from '../transfer/party.js';
import type { CallerLeg } from './callerLeg.js';
import type { Dial } from './dial.js';
import type { ThroughMedia } from './throughMedia.js';
import type { FlowCallStart } from './world.js';

const NORMAL_CLEARING = 16;

/** The flow's side of it. */
export interface TalkHost {
  /** The conversation begins. */
  talkBegins(talk: FlowTalk): void;
  /** The caller is the flow's again; `end`: how the other end left, where it was that who did. */
  talkOver(talk: FlowTalk, end: LegEnd | undefined): void;
  /** The conversation is over, and the caller has left it before. */
  callerLeft(ending: CallEnding): void;
  talkMoved(talk: FlowTalk, target: string): void;
  talkReleased(abandonedLegs: number): void;
}

export interface TalkStart {
  readonly call: LiveCall;
  readonly flow: FlowCallStart;
  readonly caller: CallerLeg;
  readonly dial: Dial;
  /** Of the dial. */
  readonly callee: Leg;
  readonly relay: DialogRelay;
  /** Where the caller's audio is in the media plane. */
  readonly through: ThroughMedia | undefined;
}

export class FlowTalk implements MemberBooks {
  readonly call: LiveCall;
  readonly a: Party;
  readonly b: Party;
  readonly relay: DialogRelay;
  readonly through: ThroughMedia | undefined;
  /** The flow's name for whoever has the callee's place. */
  readonly dialId: string;
  readonly #host: TalkHost;
  readonly #caller: CallerLeg;
  #conversation: Conversation | undefined;
  #over = false;
  #released = false;

  constructor({ call, flow, caller, dial, callee, relay, through }: TalkStart, host: TalkHost) {
    this.call = call;
    this.relay = relay;
    this.through = through;
    this.dialId = dial.id;
    this.#host = host;
    this.#caller = caller;
    const { request } = flow;
    const { decision } = dial.order.admitted;
    const destination = dial.attempt?.destination;
    const seat = { decision: callersDecision(call, flow), request, side: 'a', destination: undefined } as const;
    this.a = newParty(through ?? caller.leg, { call, seat, side: through }, (headers) =>
      this.#callerDismissed(headers),
    );
    const calleesSeat = { decision: calleesDecision(call, flow, decision), request, side: 'b', destination } as const;
    this.b = newParty(callee, { call, seat: calleesSeat }, (headers) => dial.hangUp(NORMAL_CLEARING, headers));
  }

  /** The conversation, once it has begun and while it lasts. */
  get conversation(): Conversation | undefined {
    return this.#over ? undefined : this.#conversation?.current;
  }

  /** A leg of the two of before is gone, wherever it has been by then. */
  ended(side: 'a' | 'b', end: LegEnd): void {
    this.#conversation?.current.partyEnded(this[side], end);
  }

  /** @param cause Q.850 */
  hangUp(cause: number): void {
    const reason: HangUpReason = { sipStatus: 480, reasonCode: 'flow_hangup', q850: cause };
    this.conversation?.hangUp(reason);
  }

  abandon(): void {
    if (!this.#released) this.#conversation?.current.abandon();
  }

  // The books, as part of the conversation.

  handOver(heir: Heir): void {
    const first = this.#conversation === undefined;
    this.#conversation = heir as Conversation;
    if (first) this.#host.talkBegins(this);
  }

  conclude(ending: CallEnding): void {
    if (this.#over) return;
    const caller = this.#conversation?.current.ends.includes(this.a) === true && this.a.open;
    this.#over = true;
    // Else the conversation dismisses it, and the flow gets it back.
    if (!caller) this.#host.callerLeft(ending);
  }

  moved(target: string): void {
    if (!this.#over) this.#host.talkMoved(this, target);
  }

  released(abandonedLegs: number): void {
    if (this.#released) return;
    this.#released = true;
    this.#host.talkReleased(abandonedLegs);
  }

  /** Out of the conversation: by its end, or since another has taken its place. */
  #callerDismissed(headers: Parameters<Party['hangUp']>[0]): void {
    const conversation = this.#conversation?.current;
    if (conversation?.ends.includes(this.a) !== true) return this.#caller.release(200, headers);
    const { end } = conversation.peerOf(this.a);
    conversation.partyEnded(this.a, { kind: 'local_bye' });
    this.#host.talkOver(this, end);
  }
}

/** Towards whom a placed call is put through to, the number of the trunk is the one that the call was placed with. */
const calleesDecision = (call: LiveCall, { decision: of }: FlowCallStart, decision: Decision): Decision =>
  call.placed ? { ...decision, calledNumber: { ...decision.calledNumber, e164: of.callerNumber.sent } } : decision;

/** Who was called by us is no customer's telephone, though the call leaves for a carrier: it sits where callers do. */
const callersDecision = (call: LiveCall, { decision }: FlowCallStart): FlowCallStart['decision'] =>
  call.placed ? { ...decision, direction: 'inbound', sip: undefined } : decision;
