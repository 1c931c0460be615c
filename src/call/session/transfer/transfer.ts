/**
 * One transfer that Tandem carries out (RFC 5589): TRANSFER_TABLE says what happens when, the methods say how. The target
 * is called, or is an end of another call; in both cases the pair of before goes on until the media are connected.
 */
import type { Timer } from '../../../kernel/index.js';
import type {
  Content,
  InDialogRequest,
  IncomingReinvite,
  ReinviteOutcome,
  SignalMessage,
} from '../../../signal/port.js';
import type { Attempt } from '../../bridge/attempt.js';
import { reasonOf } from '../../bridge/dialogRelay.js';
import type { AttemptRecord } from '../../record/cdr.js';
import { Dial, type DialEnd, type DialSink } from '../flow/dial.js';
import { MAX_RETRIES, glareDelayMs } from '../flow/glare.js';
import type { DialWorld } from '../flow/world.js';
import type { Change, Conversation } from './conversation.js';
import { type Party, newParty, release } from './party.js';
import { resumed, samePlaces } from './sessionText.js';
import {
  type Failure,
  MEDIA_REFUSED,
  TARGET_GONE,
  descriptionOf,
  failureOf,
  isBusy,
  sdpOf,
  settleUnwanted,
} from './offers.js';
import { TRANSFER_TABLE, type TransferAction, type TransferEvent, type TransferState } from './states.js';
import type { TransferOrder, TransferTarget } from './order.js';

const NORMAL_CLEARING = 16;

export class Transfer implements Change, DialSink {
  readonly #world: DialWorld;
  readonly #order: TransferOrder;
  readonly #transferee: Party;
  #state: TransferState = 'reaching';
  #dial: Dial | undefined;
  #target: Party | undefined;
  /** The transferee's description that the target was told; undefined: the target was asked for an offer. */
  #told: string | undefined;
  /** The target's description. */
  #heard = '';
  /** The target's own offer awaits its answer. */
  #answerTarget: ((content: Content) => void) | undefined;
  #failure: Failure = TARGET_GONE;
  /** Ends that owe us an answer. */
  readonly #asked = new Set<Party>();
  #retry: Timer | undefined;

  constructor(world: DialWorld, order: TransferOrder) {
    this.#world = world;
    this.#order = order;
    this.#transferee = order.conversation.peerOf(order.referrer);
  }

  get #current(): Conversation {
    return this.#order.conversation.current;
  }

  get offersLocked(): boolean {
    return this.#state === 'connecting' || this.#state === 'settling' || this.#order.target.kind === 'end';
  }

  begin(): void {
    const { conversation, target, subscription } = this.#order;
    conversation.change = this;
    if (target.kind === 'end') {
      target.conversation.change = this;
      this.#target = target.party;
    }
    subscription.notify(100);
    const { side } = this.#transferee;
    if (side === undefined) return this.#reach(resumed(descriptionOf(conversation, this.#transferee)));
    side.offer().then(
      (offer) => this.#guard(() => this.#offered(offer)),
      (error: unknown) => this.#current.fault('transfer', error),
    );
  }

  /** What the media plane offers in the name of whoever is transferred; the transfer may have failed meanwhile. */
  #offered(offer: string | undefined): void {
    if (this.#state === 'reaching' && offer !== undefined) return this.#reach(offer);
    const { target } = this.#order;
    if (target.kind === 'dial') target.admitted.release();
    this.#failure = MEDIA_REFUSED;
    this.#on('target_refused');
  }

  #reach(told: string | undefined): void {
    const { target } = this.#order;
    this.#told = told;
    if (target.kind === 'end') this.#tellTarget(MAX_RETRIES);
    else this.#call(target);
  }

  partyEnded(party: Party): boolean {
    const { referrer, target, subscription } = this.#order;
    if (party === referrer) {
      subscription.drop();
      this.#on('referrer_gone');
      return true;
    }
    if (party === this.#transferee) this.#on('transferee_gone');
    else if (party === this.#target) this.#on('target_gone');
    // The referrer's end of the other call: it may hang up as soon as it has asked for the two to be joined.
    else return target.kind === 'end';
    return false;
  }

  hangUp(): void {
    this.#failure = { status: 487, code: 'transfer_stopped' };
    this.#on('hang_up');
  }

  dump(): object {
    return { transfer: this.#state, dial: this.#dial?.dump() ?? null, retry: this.#retry?.name ?? null };
  }

  // The table.

  static readonly #ACTIONS: { readonly [A in TransferAction]: (transfer: Transfer, message?: SignalMessage) => void } =
    {
      ignore: () => {},
      report: (transfer, message) => {
        if (message?.status !== undefined) transfer.#order.subscription.notify(message.status, reasonOf(message));
      },
      offerTransferee: (transfer) => transfer.#offerTransferee(MAX_RETRIES),
      retellTarget: (transfer) => transfer.#retellTarget(MAX_RETRIES),
      complete: (transfer) => transfer.#complete(),
      fail: (transfer) => transfer.#fail(),
      giveTargetBack: (transfer) => {
        transfer.#failure = MEDIA_REFUSED;
        transfer.#giveTargetBack();
        transfer.#fail();
      },
      giveTransfereeBack: (transfer) => {
        transfer.#failure = TARGET_GONE;
        transfer.#restore(transfer.#transferee);
        transfer.#fail();
      },
      abandon: (transfer) => transfer.#abandon(),
    };

  #on(event: TransferEvent, message?: SignalMessage): void {
    const { action, to } = TRANSFER_TABLE[this.#state][event];
    if (to !== undefined) this.#state = to;
    this.#guard(() => Transfer.#ACTIONS[action](this, message));
  }

  // The target.

  #call({ dialId, admitted, invite }: Extract<TransferTarget, { readonly kind: 'dial' }>): void {
    const { conversation, referrer } = this.#order;
    const content = this.#told === undefined ? {} : sdpOf(this.#told);
    const order = { dialId, callId: referrer.call.id, media: 'direct', admitted, invite: { ...invite, ...content } };
    this.#dial = new Dial(this.#world, order as ConstructorParameters<typeof Dial>[1], this);
    conversation.dials++;
    referrer.call.onDialStarted(dialId, admitted.decision);
    void this.#dial.begin();
  }

  #tellTarget(retries: number): void {
    const target = this.#target as Party;
    this.#ask(target, this.#told === undefined ? {} : sdpOf(this.#told), (outcome) => {
      if (this.#state !== 'reaching') return this.#unwanted(outcome, target);
      if (outcome.kind !== 'answered') {
        // The end of the leg follows, and says what there is to say.
        if (outcome.kind === 'leg_ended') return;
        if (isBusy(outcome) && this.#later(target, retries, (left) => this.#tellTarget(left))) return;
        this.#failure = MEDIA_REFUSED;
        return this.#on('target_refused');
      }
      this.#heard = outcome.message.body.toString('latin1');
      if (this.#told === undefined) this.#answerTarget = (answer) => outcome.ack(answer);
      else outcome.ack();
      this.#on('target_answered');
    });
  }

  #retellTarget(retries: number): void {
    const target = this.#target as Party;
    this.#ask(target, sdpOf(this.#told ?? ''), (outcome) => {
      if (this.#state !== 'settling') return this.#unwanted(outcome, target);
      settleUnwanted(outcome);
      if (outcome.kind === 'leg_ended') return;
      if (isBusy(outcome) && this.#later(target, retries, (left) => this.#retellTarget(left))) return;
      this.#on('target_settled');
    });
  }

  // Whoever is transferred.

  #offerTransferee(retries: number): void {
    const transferee = this.#transferee;
    this.#ask(transferee, sdpOf(this.#heard), (outcome) => {
      if (this.#state !== 'connecting') return this.#unwanted(outcome, transferee);
      if (outcome.kind === 'answered') return this.#transfereeAnswered(outcome);
      if (outcome.kind === 'leg_ended') return;
      if (isBusy(outcome) && this.#later(transferee, retries, (left) => this.#offerTransferee(left))) return;
      this.#on('transferee_refused');
    });
  }

  #transfereeAnswered({ message, ack }: Extract<ReinviteOutcome, { readonly kind: 'answered' }>): void {
    ack();
    const answer = message.body.toString('latin1');
    if (answer === '') return this.#on('transferee_refused');
    const told = this.#told;
    this.#told = answer;
    const give = this.#answerTarget;
    this.#answerTarget = undefined;
    give?.(sdpOf(answer));
    this.#on(told === undefined || samePlaces(told, answer) ? 'transferee_agreed' : 'transferee_moved');
  }

  // The end.

  #complete(): void {
    const { conversation, referrer, target, subscription, account } = this.#order;
    const joined = this.#target as Party;
    conversation.describe(this.#transferee, this.#told ?? '');
    conversation.describe(joined, this.#heard);
    this.#transferee.side?.commit();
    joined.side?.commit();
    this.#leave();
    // What the referrer had asked for last is nobody's business any more.
    conversation.relay.close();
    conversation.relay.unwatch();
    conversation.replace(referrer, joined);
    if (target.kind === 'end') conversation.absorb(target.conversation, joined);
    conversation.moved(account.target);
    account.close('completed', 200, 'transfer_completed');
    subscription.finish(200, 'OK', () => release(referrer, []));
  }

  #fail(): void {
    const { conversation, referrer, target, subscription, account } = this.#order;
    const { status, code, reason } = this.#failure;
    this.#leave();
    account.close('failed', status, code);
    subscription.finish(status, reason, () => {});
    // Who has hung up meanwhile is missing now that all stays as it was.
    conversation.miss(referrer);
    if (target.kind === 'end') target.conversation.miss(target.conversation.peerOf(target.party));
  }

  #abandon(): void {
    if (this.#failure.code !== 'transfer_stopped') this.#failure = { status: 487, code: 'transferee_gone' };
    this.#giveTargetBack();
    const { target, subscription, account } = this.#order;
    const { status, code } = this.#failure;
    this.#leave();
    account.close('failed', status, code);
    subscription.finish(status, undefined, () => {});
    if (target.kind === 'end') target.conversation.miss(target.conversation.peerOf(target.party));
  }

  /** A callee hangs up; an end of another call talks to the referrer again. */
  #giveTargetBack(): void {
    const { target } = this.#order;
    this.#answerTarget?.({});
    this.#answerTarget = undefined;
    if (target.kind === 'end') this.#restore(target.party);
    else this.#dial?.hangUp(NORMAL_CLEARING);
  }

  /** An end that answered too late: what it was offered is nobody's any more. */
  #unwanted(outcome: ReinviteOutcome, party: Party): void {
    settleUnwanted(outcome);
    if (outcome.kind === 'answered' && this.#state === 'failed') this.#restore(party);
  }

  /** Tells an end again what it knew of its peer, where that is still there and the end has heard of another. */
  #restore(party: Party): void {
    const { target, conversation: own } = this.#order;
    const conversation = target.kind === 'end' && party === target.party ? target.conversation : own;
    const peer = conversation.peerOf(party);
    if (party.side !== undefined || this.#asked.has(party) || !party.open || !peer.open) return;
    const description = resumed(descriptionOf(conversation, peer));
    if (description === undefined) return;
    this.#ask(party, sdpOf(description), settleUnwanted);
  }

  /** A re-INVITE; `done` is told of its outcome, and of no exception of its own. */
  #ask(party: Party, content: Content, done: (outcome: ReinviteOutcome) => void): void {
    this.#asked.add(party);
    party.leg.reinvite(content, (outcome) => {
      this.#asked.delete(party);
      this.#guard(() => done(outcome));
    });
  }

  #leave(): void {
    const { conversation, target } = this.#order;
    this.#retry?.cancel();
    conversation.change = undefined;
    this.#transferee.side?.discard();
    if (target.kind !== 'end') return;
    target.conversation.change = undefined;
    target.party.side?.discard();
  }

  /** An offer of the leg's own is on its way. @returns false when it has been in the way too often */
  #later({ seat }: Party, retries: number, again: (left: number) => void): boolean {
    if (retries <= 0) return false;
    const { clock, random } = this.#world;
    const delayMs = glareDelayMs(seat.side === 'b', random);
    this.#retry = clock.setTimer('transfer.retry', delayMs, () => this.#guard(() => again(retries - 1)));
    return true;
  }

  #guard(work: () => void): void {
    this.#current.guard('transfer', work);
  }

  // What the dial says. Once the transfer is complete its leg is an end of the conversation.

  onAttemptStarted(attempt: Attempt): void {
    this.#order.referrer.call.onAttemptStarted(attempt, false);
  }

  onAttemptEnded(attempt: Attempt, record: AttemptRecord): void {
    this.#order.account.attempts.push(record);
    this.#order.referrer.call.onAttemptEnded(attempt, record, false);
  }

  dialProgress(_dial: Dial, message: SignalMessage): void {
    this.#on('target_progress', message);
  }

  dialUp(dial: Dial, attempt: Attempt): void {
    const { referrer, target } = this.#order;
    referrer.call.onDialAnswered(dial.id, attempt);
    if (attempt.leg === undefined || target.kind !== 'dial') return;
    const { decision } = target.admitted;
    const seat = { ...referrer.seat, decision, side: 'b', destination: attempt.destination } as const;
    this.#target = newParty(attempt.leg, { call: referrer.call, seat }, (headers) =>
      dial.hangUp(NORMAL_CLEARING, headers),
    );
  }

  dialAnswered(dial: Dial): void {
    const { body } = dial.content;
    if (body === undefined) {
      dial.ack();
      return dial.hangUp(NORMAL_CLEARING);
    }
    this.#heard = body.toString('latin1');
    if (this.#told === undefined) this.#answerTarget = (content) => dial.ack(content);
    else dial.ack();
    this.#on('target_answered');
  }

  dialEnded(dial: Dial, end: DialEnd): void {
    this.#order.referrer.call.onDialEnded(dial.id);
    const target = this.#target;
    if (target === undefined) {
      if (end.failure !== undefined || end.sipStatus > 0) this.#failure = failureOf(end);
      return this.#on('target_refused');
    }
    if (this.#state === 'completed') return this.#current.partyEnded(target, end.leg ?? { kind: 'local_bye' });
    target.open = false;
    this.#on('target_gone');
  }

  dialReleased(): void {
    this.#current.dials--;
    this.#current.settle();
  }

  dialRequest(_dial: Dial, request: InDialogRequest): void {
    if (this.#state === 'completed') this.#current.request(this.#target as Party, request);
    else this.#current.relay.defer(request);
  }

  dialReinvite(_dial: Dial, reinvite: IncomingReinvite): void {
    if (this.#state !== 'completed') reinvite.respond(491);
    else this.#current.reinvite(this.#target as Party, reinvite);
  }

  dialReinviteAcked(message: SignalMessage, reinvite: IncomingReinvite): void {
    this.#current.relay.acked(message, reinvite);
  }

  dialReinviteCancelled(reinvite: IncomingReinvite): void {
    this.#current.relay.cancelled(reinvite);
  }

  /** Nothing is played: the media flow between the ends. */
  dialPlayEnded(): void {}

  dialFault(error: unknown): void {
    this.#current.fault('transfer', error);
  }
}
