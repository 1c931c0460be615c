/**
 * An INVITE with Replaces (RFC 3891): its sender takes the place of an end of an established call, an end of its own
 * trunk. The other end is offered its media first; only when both have agreed does the one who is replaced leave.
 */
import type {
  Content,
  IncomingLeg,
  InDialogRequest,
  IncomingReinvite,
  Leg,
  LegEnd,
  LegEvents,
  ReinviteOutcome,
  SignalMessage,
} from '../../../signal/port.js';
import { Described } from '../../bridge/described.js';
import { type CallEnding, type HangUpReason, endingOf, endingOfHangUp, hangUpHeaders } from '../../bridge/ending.js';
import type { EndingCode } from '../../bridge/endingReasons.js';
import { contentOf } from '../../bridge/legHeaders.js';
import { reasonHeader } from '../../bridge/reason.js';
import type { CallCourse } from '../liveCall.js';
import type { TransferAccount } from './account.js';
import type { Change, Conversation, MemberBooks } from './conversation.js';
import { descriptionOf, isBusy, sdpOf, settleUnwanted } from './offers.js';
import { type Party, release } from './party.js';
import { resumed } from './sessionText.js';

/** `asking`: the end that stays has our offer; `answering`: our 2xx awaits its ACK; then it is an end like any other. */
type ReplacementState = 'asking' | 'answering' | 'joined' | 'over';

export interface ReplacementOrder {
  /** The newcomer. */
  readonly party: Party;
  readonly leg: IncomingLeg;
  readonly conversation: Conversation;
  /** Whose place it takes. */
  readonly replaced: Party;
  readonly account: TransferAccount;
}

const NORMAL: readonly [] = [];

export class Replacement implements LegEvents, CallCourse, Change, MemberBooks {
  readonly offersLocked = true;
  readonly #order: ReplacementOrder;
  readonly #stays: Party;
  #state: ReplacementState = 'asking';
  /** The answer of the end that stays awaits its ACK, with the newcomer's description: it made the offer. */
  #owed: ((content?: Content) => void) | undefined;
  /** BYE that waits for the newcomer's ACK (RFC 3261 §15). */
  #held: Parameters<Party['hangUp']>[0] | undefined;
  #concluded = false;
  #releasedBooks = false;

  constructor(order: ReplacementOrder) {
    this.#order = order;
    this.#stays = order.conversation.peerOf(order.replaced);
  }

  get state(): string {
    return this.#state === 'joined' ? this.#order.conversation.current.state : this.#state;
  }

  begin(): void {
    const { conversation, leg } = this.#order;
    conversation.change = this;
    this.#stays.leg.reinvite(contentOf(leg.message), (outcome) => this.#guard(() => this.#asked(outcome)));
  }

  /** The end that stays has answered, or will not. */
  #asked(outcome: ReinviteOutcome): void {
    if (this.#state !== 'asking') {
      settleUnwanted(outcome);
      if (outcome.kind === 'answered') this.#restore();
      return;
    }
    if (outcome.kind === 'leg_ended') return;
    if (outcome.kind !== 'answered') return this.#refuse(isBusy(outcome) ? 491 : 488, 'media_not_acceptable');
    const { leg, party } = this.#order;
    if (leg.message.body.length > 0) outcome.ack();
    else this.#owed = (content) => outcome.ack(content);
    this.#state = 'answering';
    party.call.onAnswered();
    leg.answer(contentOf(outcome.message));
  }

  /** The newcomer's ACK: from here on it is an end. */
  #join(message: SignalMessage): void {
    const { conversation, replaced, party, account, leg } = this.#order;
    const description = leg.message.body.length > 0 ? leg.message.body : message.body;
    this.#owed?.(contentOf(message));
    this.#owed = undefined;
    this.#state = 'joined';
    (conversation.relay.described ??= new Described()).keep(party.leg, description);
    conversation.change = undefined;
    conversation.relay.close();
    conversation.relay.unwatch();
    const place = conversation.ends[0] === replaced ? 0 : 1;
    conversation.replace(replaced, party);
    conversation.members.push({ bridge: this, call: party.call, own: { a: party, b: party }, aAt: place });
    this.#stays.side?.commit();
    conversation.moved(account.target);
    account.close('completed', 200, 'transfer_completed');
    release(replaced, NORMAL);
  }

  #refuse(status: number, code: EndingCode): void {
    const { leg, party } = this.#order;
    this.#leave(status, code);
    party.open = false;
    party.call.onOver(endingOfHangUp({ sipStatus: status, reasonCode: code, q850: 41 }, false));
    leg.reject(status, { headers: [reasonHeader('SIP', status, code)] });
    party.call.onReleased(0);
  }

  /** The newcomer has come to nothing: the pair of before goes on, as far as it is there. */
  #leave(status: number, code: EndingCode): void {
    const { conversation, account, replaced } = this.#order;
    this.#state = 'over';
    conversation.change = undefined;
    this.#stays.side?.discard();
    account.close('failed', status, code);
    this.#owed?.();
    this.#owed = undefined;
    if (replaced.end !== undefined) conversation.over(replaced, replaced.end);
  }

  #restore(): void {
    const { conversation, replaced } = this.#order;
    const known = resumed(descriptionOf(conversation, replaced));
    if (
      this.#stays.side !== undefined ||
      known === undefined ||
      !this.#stays.open ||
      !replaced.open ||
      conversation.change !== undefined
    )
      return;
    this.#stays.leg.reinvite(sdpOf(known), (outcome) => this.#guard(() => settleUnwanted(outcome)));
  }

  #guard(work: () => void): void {
    this.#order.conversation.current.guard('replaces', work);
  }

  // The newcomer's leg.

  onAck(_leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    this.#guard(() => {
      if (reinvite !== undefined) this.#order.conversation.current.relay.acked(message, reinvite);
      else if (this.#state === 'answering') this.#join(message);
      else if (this.#held !== undefined) release(this.#order.party, this.#held);
    });
  }

  onRequest(_leg: Leg, request: InDialogRequest): void {
    if (this.#state !== 'joined') return request.respond(500, { headers: [['Retry-After', '2']] });
    this.#guard(() => this.#order.conversation.current.request(this.#order.party, request));
  }

  onReinvite(_leg: Leg, reinvite: IncomingReinvite): void {
    if (this.#state !== 'joined') return reinvite.respond(491);
    this.#guard(() => this.#order.conversation.current.reinvite(this.#order.party, reinvite));
  }

  onReinviteCancelled(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#order.conversation.current.relay.cancelled(reinvite);
  }

  onEnded(_leg: Leg, end: LegEnd): void {
    const { party, conversation } = this.#order;
    if (!party.open) return;
    if (this.#state === 'joined') return this.#guard(() => conversation.current.partyEnded(party, end));
    party.open = false;
    if (this.#state === 'over') return party.call.onReleased(0);
    this.#guard(() => {
      const answered = this.#state === 'answering';
      this.#leave(487, 'caller_cancelled');
      if (answered) this.#restore();
      party.call.onOver(endingOf('a', end, answered));
      party.call.onReleased(0);
    });
  }

  // The conversation.

  partyEnded(party: Party): boolean {
    // Who is to be replaced may leave: its place is still to be had.
    if (party === this.#order.replaced) return true;
    this.#dismiss('leg_lost');
    return false;
  }

  /** By an operator, drain, the time limit; and where the conversation ends before the newcomer is in it. */
  hangUp(reason?: HangUpReason): void {
    if (this.#state === 'joined' && reason !== undefined) return this.#order.conversation.current.hangUp(reason);
    if (this.#state === 'asking' || this.#state === 'answering') this.#dismiss(reason?.reasonCode ?? 'leg_lost');
  }

  #dismiss(code: EndingCode): void {
    const reason: HangUpReason = { sipStatus: 480, reasonCode: code, q850: 41 };
    if (this.#state === 'asking') return this.#refuse(480, code);
    const { party } = this.#order;
    this.#leave(480, code);
    party.call.onOver(endingOfHangUp(reason, true));
    this.#held = hangUpHeaders(reason);
  }

  // The books of the newcomer's call, as part of the conversation.

  conclude(ending: CallEnding): void {
    if (this.#concluded) return;
    this.#concluded = true;
    this.#order.party.call.onOver(ending);
  }

  released(abandonedLegs: number): void {
    if (this.#releasedBooks) return;
    this.#releasedBooks = true;
    this.#order.party.call.onReleased(abandonedLegs);
  }

  handOver(): void {
    // Whatever happens is told to the conversation of the moment.
  }

  dump(): object {
    return { replacement: this.#state };
  }
}
