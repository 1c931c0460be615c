/** Requests that an application sent, and the frames of their responses. */
import { NOT_LISTED } from '../kernel/index.js';
import type {
  Dialog,
  DialogListener,
  HeaderField,
  IncomingInvite,
  IncomingRequest,
  OutgoingInvite,
  OutgoingInviteListener,
  OutgoingRequest,
  OutgoingRequestListener,
  ResponseOrigin,
  SipRequest,
  SipResponse,
  Source,
} from '../sip/index.js';
import type { AppConnection } from './connection.js';
import { DialogEntry } from './dialogEntry.js';
import {
  type EndpointTokens,
  dialogToken,
  networkLeader,
  nobody,
  ourEnd,
  requestSent,
  sender,
  timeOfDay,
} from './envelope.js';
import type { Ledger, Transaction } from './ledger.js';
import { REFUSALS, type Reply, nok } from './replies.js';
import { sessionIn } from './sessionTimer.js';

abstract class Sent implements Transaction {
  readonly id: string;
  place = NOT_LISTED;
  readonly owner: AppConnection;
  protected readonly ledger: Ledger;
  #callId: string | undefined;
  #closed = false;

  protected constructor(ledger: Ledger, owner: AppConnection) {
    this.ledger = ledger;
    this.owner = owner;
    this.id = ledger.random.uuid();
  }

  abstract abandon(): void;

  cancel(_headers: readonly HeaderField[]): Reply | undefined {
    return undefined;
  }

  respond(): Reply {
    return nok(REFUSALS.unknownTransaction);
  }

  /** It is on its way. */
  protected open(request: SipRequest, source: Source): Reply {
    if (!this.#closed) {
      this.#callId = request.callId;
      this.ledger.openTransaction(this);
      this.owner.outstanding.enter(request.callId);
    }
    this.ledger.meters.requestOut(request.method);
    const bytes = request.toBuffer();
    return requestSent(ourEnd(source, bytes.length), timeOfDay(this.ledger.clock), this.id, bytes);
  }

  protected tell(response: SipResponse, end: EndpointTokens, dialogId: string): void {
    if (end.address !== '') this.ledger.meters.responseIn(response.cseq.method, response.status);
    const leader = networkLeader(end, timeOfDay(this.ledger.clock), { txnId: this.id, dialogId });
    this.owner.send(leader, response.toBuffer());
  }

  /** The final response was passed on. */
  protected close(): void {
    this.#closed = true;
    this.ledger.closeTransaction(this);
    if (this.#callId !== undefined) this.owner.outstanding.leave(this.#callId);
    this.#callId = undefined;
  }
}

/** As in the id of the dialog that it makes. */
const subscriptionId = (request: SipRequest): string =>
  dialogToken(`${request.callId};from-tag=${request.fromTag ?? ''}`);

const NOWHERE: Source = { transport: 'udp', address: '', port: 0, localAddress: '', localPort: 0, bytes: 0 };

const endOf = (source: Source | undefined, sentFrom: Source): EndpointTokens =>
  source === undefined ? nobody(sentFrom) : sender(source);

/** A request other than INVITE and ACK. */
export class RequestSent extends Sent implements OutgoingRequestListener, DialogListener {
  readonly #method: string;
  readonly #entry: DialogEntry | undefined;
  /** The dialog that a SUBSCRIBE of ours has made. */
  #subscription: DialogEntry | undefined;
  #outgoing: OutgoingRequest | undefined;
  #dialogId = '';

  constructor(ledger: Ledger, owner: AppConnection, method: string, entry: DialogEntry | undefined) {
    super(ledger, owner);
    this.#method = method;
    this.#entry = entry;
  }

  /** Told of the dialog that a SUBSCRIBE makes, by its answer or by the first NOTIFY. */
  onEstablished(dialog: Dialog): void {
    const source = this.#outgoing?.source ?? NOWHERE;
    const { id, callId } = dialog;
    const entry = new DialogEntry(this.ledger, this.owner, { role: 'uac', id, callId, source });
    const usage = entry.subscribe();
    const request = this.#outgoing?.request;
    // A NOTIFY that overtakes the answer proves that there is a subscription.
    if (request !== undefined) usage.settled(request, 200, undefined);
    entry.confirm(dialog);
    entry.unanswered = true;
    this.#subscription = entry;
  }

  /** Until the dialog is there nothing is heard in it. */
  onRequest(request: IncomingRequest): void {
    request.respond(481);
  }

  onInvite(invite: IncomingInvite): void {
    invite.respond(481);
  }

  onTerminated(): void {}

  /** @returns what the application is told. */
  started(outgoing: OutgoingRequest): Reply {
    const request = outgoing.request;
    this.#outgoing = outgoing;
    if (this.#entry !== undefined) this.#dialogId = this.#entry.id;
    else if (this.#method === 'SUBSCRIBE') this.#dialogId = subscriptionId(request);
    return this.open(request, outgoing.source);
  }

  onResponse(response: SipResponse, _origin: ResponseOrigin, source: Source | undefined): void {
    this.tell(response, endOf(source, this.#outgoing?.source ?? NOWHERE), this.#dialogId);
    if (response.status < 200) return;
    const request = this.#outgoing?.request;
    const usage = (this.#entry ?? this.#subscription)?.usage;
    if (request !== undefined) usage?.settled(request, response.status, response);
    if (this.#subscription !== undefined) this.#subscription.unanswered = false;
    // A NOTIFY had promised what the answer then refused.
    if (response.status >= 300) this.#subscription?.discard();
    if (this.#method === 'UPDATE' && response.status < 300) {
      const wish = sessionIn(response);
      if (wish !== undefined) this.#entry?.session.agreed(wish, wish.refresher !== 'uas');
    }
    if (this.#method === 'BYE' && this.#entry !== undefined) {
      // The application may repeat a challenged BYE with credentials, in the same dialog.
      if (response.status === 401 || response.status === 407) this.#entry.awaitByeRetry();
      else this.#entry.remove();
    }
    this.close();
  }

  abandon(): void {
    this.close();
  }
}

/** An INVITE or re-INVITE. */
export class InviteSent extends Sent implements OutgoingInviteListener {
  #outgoing: OutgoingInvite | undefined;
  #entry: DialogEntry | undefined;
  readonly #isFirst: boolean;
  readonly #sinceMs: number;
  #rang = false;
  #cancelled = false;

  /** @param entry the dialog, for a re-INVITE. */
  constructor(ledger: Ledger, owner: AppConnection, entry: DialogEntry | undefined) {
    super(ledger, owner);
    this.#entry = entry;
    this.#isFirst = entry === undefined;
    this.#sinceMs = ledger.clock.nowMs();
  }

  /** @returns what the application is told. */
  started(outgoing: OutgoingInvite): Reply {
    const { request, source, dialogId } = outgoing;
    this.#outgoing = outgoing;
    const { callId } = request;
    this.#entry ??= new DialogEntry(this.ledger, this.owner, { role: 'uac', id: dialogId, callId, source });
    this.#entry.invite = outgoing;
    if (this.#isFirst) this.ledger.records.attempt('application', request);
    return this.open(request, source);
  }

  override cancel(headers: readonly HeaderField[]): Reply | undefined {
    const cancelled = this.#outgoing?.cancel(headers);
    if (cancelled === undefined) return undefined;
    this.#cancelled = true;
    this.ledger.meters.requestOut('CANCEL');
    const bytes = cancelled.request.toBuffer();
    const end = ourEnd(this.#source, cancelled.held ? 0 : bytes.length);
    return requestSent(end, timeOfDay(this.ledger.clock), this.ledger.random.uuid(), bytes);
  }

  /** Where the INVITE left from. */
  get #source(): Source {
    return this.#outgoing?.source ?? NOWHERE;
  }

  onTrying(response: SipResponse, source: Source): void {
    if (this.#isFirst && this.owner.wantsTrying) this.tell(response, sender(source), this.#entry?.id ?? '');
  }

  onProvisional(response: SipResponse, dialog: Dialog | undefined, source: Source): void {
    const entry = this.#entry;
    if (dialog !== undefined && this.#isFirst) {
      const rseq = response.header('RSeq');
      entry?.early(dialog, rseq === undefined ? undefined : Number(rseq));
    }
    this.#ring();
    this.tell(response, sender(source), entry?.id ?? '');
  }

  onAnswered(response: SipResponse, dialog: Dialog, source: Source): void {
    const entry = this.#entry;
    if (entry !== undefined) {
      entry.invite = undefined;
      if (this.#isFirst) {
        entry.confirm(dialog);
        // Known for certain only now, where a name had to be resolved.
        entry.local = this.#source;
      }
      entry.releaseAfterAck = response.count('Contact') === 0 && this.#isFirst;
      const wish = sessionIn(response);
      entry.session.noteSdp(this.#outgoing?.request.body ?? Buffer.alloc(0));
      entry.session.agreed(wish, wish?.refresher !== 'uas');
    }
    if (this.#isFirst) {
      this.#ring();
      this.ledger.meters.timed('out', 'answer', this.ledger.clock.nowMs() - this.#sinceMs);
      this.ledger.records.start('network', 'uac', response);
    }
    this.tell(response, sender(source), entry?.id ?? '');
    this.close();
    if (!this.owner.open) this.#answeredToNobody(dialog);
  }

  #ring(): void {
    if (this.#rang || !this.#isFirst) return;
    this.#rang = true;
    this.ledger.meters.timed('out', 'pdd', this.ledger.clock.nowMs() - this.#sinceMs);
  }

  /** The application that asked for this call is gone. */
  #answeredToNobody(dialog: Dialog): void {
    dialog.ack();
    if (this.#isFirst) this.#entry?.hangup();
  }

  onFailed(response: SipResponse, _origin: ResponseOrigin, source: Source | undefined): void {
    const entry = this.#entry;
    if (entry !== undefined) {
      entry.invite = undefined;
      // Before the frame: the application may answer a challenge with a new INVITE of the same dialog id.
      if (this.#isFirst) entry.remove();
    }
    const reason = this.#cancelled ? 'call-canceled' : 'call-rejected';
    if (this.#isFirst) this.ledger.records.stop(source === undefined ? 'application' : 'network', reason, response);
    this.tell(response, endOf(source, this.#source), entry?.id ?? '');
    this.close();
  }

  /** The attempt is withdrawn; what still comes of it is handled above. */
  abandon(): void {
    this.#outgoing?.cancel();
  }
}
