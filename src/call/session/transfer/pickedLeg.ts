/**
 * Whoever takes a call that rings elsewhere is a caller to us, and the callee to the call: its leg, turned round. The 200
 * that the bridge waits for is what the newcomer's INVITE says, and the bridge's ACK is the newcomer's 200.
 */
import type {
  Content,
  HeaderEntry,
  InDialogRequest,
  InDialogSpec,
  IncomingLeg,
  IncomingReinvite,
  Leg,
  LegEnd,
  LegEvents,
  OutgoingEvents,
  OutgoingLeg,
  ReinviteOutcome,
  RequestOutcome,
  ResponseSpec,
  SignalMessage,
} from '../../../signal/port.js';
import { contentOf } from '../../bridge/legHeaders.js';
import { reasonHeader } from '../../bridge/reason.js';
import { ImaginedAnswer } from '../imaginedInvite.js';

/** Who makes the offer, and who has it already. */
export type PickedMedia =
  /** Both have made one: each is the other's answer. */
  | { readonly kind: 'mutual'; readonly toCaller: Content; readonly toPicker: Content }
  /** The caller has made none: the newcomer's goes to it, and its answer comes in its ACK. */
  | { readonly kind: 'pickers' }
  /** The newcomer has made none: it is offered the caller's, and its answer comes in its ACK. */
  | { readonly kind: 'callers'; readonly offer: Content };

export class PickedLeg implements OutgoingLeg, LegEvents {
  readonly #leg: IncomingLeg;
  readonly #media: PickedMedia;
  readonly #events: OutgoingEvents;
  /** The bridge has been told of an answer. */
  #told = false;
  /** A 2xx was sent; its ACK has come. */
  #answered = false;
  #acked = false;
  #cancelled = false;
  #over = false;
  /** RFC 3261 §14.1, §15: what has to wait for the ACK. */
  #waiting: (() => void)[] = [];

  constructor(leg: IncomingLeg, media: PickedMedia, events: OutgoingEvents) {
    this.#leg = leg;
    this.#media = media;
    this.#events = events;
  }

  begin(): void {
    const media = this.#media;
    if (media.kind === 'callers') this.#answer(media.offer);
    else this.#tell(media.kind === 'mutual' ? media.toCaller : contentOf(this.#leg.message));
  }

  get id(): string {
    return this.#leg.id;
  }
  get callId(): string {
    return this.#leg.callId;
  }
  get localTag(): string {
    return this.#leg.localTag;
  }
  get remoteTag(): string {
    return this.#leg.remoteTag;
  }

  request(spec: InDialogSpec, done: (outcome: RequestOutcome) => void): void {
    this.#leg.request(spec, done);
  }

  reinvite(spec: ResponseSpec, done: (outcome: ReinviteOutcome) => void): void {
    this.#whenAcked(() => this.#leg.reinvite(spec, done));
  }

  /** The bridge has taken the answer. @param content of the caller's ACK, where that has the caller's description */
  ack(content: Content = {}): void {
    const media = this.#media;
    if (media.kind === 'mutual') this.#answer(media.toPicker);
    else if (media.kind === 'pickers' && content.body !== undefined) this.#answer(content);
  }

  bye(headers?: readonly HeaderEntry[]): void {
    if (this.#over) return;
    if (this.#answered) return this.#whenAcked(() => this.#leg.bye(headers));
    // The caller has gone before it could say where its media are.
    this.#over = true;
    this.#leg.reject(480, { headers: headers ?? [reasonHeader('SIP', 480, 'leg_lost')] });
    this.#events.onEnded(this, { kind: 'local_bye' });
  }

  prack(_progress: SignalMessage, _spec: ResponseSpec, done: (outcome: RequestOutcome) => void): void {
    // It sends no provisionals.
    done({ kind: 'leg_ended' });
  }

  /** While the newcomer's ACK is awaited. */
  cancel(headers?: readonly HeaderEntry[]): void {
    if (this.#told || this.#cancelled) return;
    this.#cancelled = true;
    this.#whenAcked(() => this.#leg.bye(headers));
  }

  dump(): object {
    return this.#leg.dump();
  }

  // The newcomer's leg.

  onAck(_leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    if (reinvite !== undefined) return this.#events.onAck(this, message, reinvite);
    this.#acked = true;
    for (const work of this.#waiting.splice(0)) work();
    if (this.#told || this.#cancelled || this.#over) return;
    if (message.body.length > 0) return this.#tell(contentOf(message));
    this.#over = true;
    this.#leg.bye([reasonHeader('SIP', 488, 'media_not_acceptable')]);
    this.#events.onFailed(this, { kind: 'invalid_request', detail: 'no answer in ACK' });
  }

  onRequest(_leg: Leg, request: InDialogRequest): void {
    if (this.#told) this.#events.onRequest(this, request);
    else request.respond(500, { headers: [['Retry-After', '2']] });
  }

  onReinvite(_leg: Leg, reinvite: IncomingReinvite): void {
    if (this.#told) this.#events.onReinvite(this, reinvite);
    else reinvite.respond(491);
  }

  onReinviteCancelled(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#events.onReinviteCancelled(this, reinvite);
  }

  onEnded(_leg: Leg, end: LegEnd): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#told) this.#events.onEnded(this, end);
    else this.#events.onFailed(this, { kind: this.#cancelled ? 'cancelled' : 'timeout' });
    // Each of them is told that there is no leg any more.
    for (const work of this.#waiting.splice(0)) work();
  }

  #tell(content: Content): void {
    this.#told = true;
    this.#events.onAnswered(this, new ImaginedAnswer(this.#leg.message, content));
  }

  #answer(content: Content): void {
    if (this.#answered || this.#over) return;
    this.#answered = true;
    this.#leg.answer(content);
  }

  #whenAcked(work: () => void): void {
    if (this.#acked || this.#over) work();
    else this.#waiting.push(work);
  }
}
