/** Requests from the network that an application answers. */
import { NOT_LISTED, type Timer } from '../kernel/index.js';
import {
  type DialogListener,
  type IncomingInvite,
  type IncomingInviteListener,
  type IncomingRequest,
  type ProxyPlan,
  type ProxyRefusal,
  type RespondRefusal,
  type SipEngine,
  SipRequest,
  type SipResponse,
  type Source,
} from '../sip/index.js';
import type { AppResponse } from './appMessage.js';
import type { AppConnection } from './connection.js';
import { DialogEntry, type Inbound } from './dialogEntry.js';
import { dialogToken, networkLeader, responseSent, sender, timeOfDay } from './envelope.js';
import { headerOf, responsePlan } from './headerRules.js';
import type { Asked, Ledger, Transaction } from './ledger.js';
import { ProxyReport } from './proxying.js';
import { REFUSALS, type Reply, nok } from './replies.js';
import { answerSession } from './sessionTimer.js';

const REFUSAL_TEXTS: Record<RespondRefusal, string> = {
  unknown_transaction: REFUSALS.unknownTransaction,
  not_100rel: REFUSALS.no100rel,
  transport_closed: REFUSALS.transportClosed,
};

const answersCancel = (response: AppResponse): boolean => /\bCANCEL\b/i.test(headerOf(response, 'CSeq') ?? '');

/** Id of the dialog that an INVITE makes: the tag is that of its From, whoever sent it. */
const dialogIdOf = (request: SipRequest): string => dialogToken(`${request.callId};from-tag=${request.fromTag ?? ''}`);

abstract class Served implements Transaction {
  readonly id: string;
  place = NOT_LISTED;
  readonly owner: AppConnection;
  protected readonly ledger: Ledger;
  #parked: Timer | undefined;

  protected constructor(ledger: Ledger, owner: AppConnection) {
    this.ledger = ledger;
    this.owner = owner;
    this.id = ledger.random.uuid();
    ledger.openTransaction(this);
    this.#parked = ledger.clock.setTimer('drachtio answer', ledger.answerTimeoutMs, () => this.unanswered());
  }

  abstract respond(response: AppResponse): Reply;
  abstract abandon(): void;

  cancel(): undefined {
    return undefined;
  }

  /** Its answer is the proxy's business from here on. */
  protected handTo(
    engine: SipEngine,
    incoming: IncomingInvite | IncomingRequest,
    order: { readonly plan: ProxyPlan; readonly asked: Asked },
  ): ProxyRefusal | undefined {
    const report = new ProxyReport(this.ledger, incoming.request, order.asked);
    const flowTo = (target: string): string | undefined => this.ledger.flows.flowTo(target);
    const refused = engine.proxy(incoming, { ...order.plan, flowTo }, report);
    if (refused === undefined) this.close();
    return refused;
  }

  /** The application has been silent for too long. */
  protected abstract unanswered(): void;

  protected unpark(): void {
    this.#parked?.cancel();
    this.#parked = undefined;
  }

  protected close(): void {
    this.unpark();
    this.ledger.closeTransaction(this);
  }

  /** Sends the application a request that belongs to this transaction. */
  protected tell(request: SipRequest, from: Source, dialogId: string, receivedOn?: Source): void {
    const ids = { txnId: this.id, dialogId };
    const leader = networkLeader(sender(from), timeOfDay(this.ledger.clock), ids, receivedOn);
    this.owner.send(leader, request.toBuffer());
  }

  protected sent(response: SipResponse, peer: Source, dialogId: string): Reply {
    this.ledger.meters.responseOut(response.cseq.method, response.status);
    const bytes = response.toBuffer();
    const end = { ...sender(peer), bytes: bytes.length };
    return responseSent(end, timeOfDay(this.ledger.clock), { txnId: this.id, dialogId }, bytes);
  }
}

/** A request other than INVITE. */
class RequestServed extends Served {
  readonly #request: IncomingRequest;
  #dialogId: string;

  constructor(ledger: Ledger, owner: AppConnection, request: IncomingRequest, dialogId: string) {
    super(ledger, owner);
    this.#request = request;
    this.#dialogId = dialogId;
    ledger.meters.requestIn(request.request.method);
    this.tell(request.request, request.source, dialogId, dialogId === '' ? request.source : undefined);
  }

  respond(response: AppResponse): Reply {
    if (answersCancel(response)) return nok(REFUSALS.cancelAnswered);
    const { fields } = responsePlan(response);
    const { status } = response;
    const { request } = this.#request;
    const subscribes = request.method === 'SUBSCRIBE' && this.#dialogId === '' && status >= 200 && status < 300;
    if (subscribes && this.ledger.dialog(dialogIdOf(request)) !== undefined) {
      this.close();
      this.#request.respond(480);
      return nok(REFUSALS.dialogExists);
    }
    const dialog = subscribes ? this.#subscription() : undefined;
    const updates = request.method === 'UPDATE' && status >= 200 && status < 300;
    const session = updates ? answerSession(request, fields) : undefined;
    const responded = this.#request.respond(status, { ...(session?.fields ?? fields), dialog });
    if (responded.ok) this.#learnFlow(responded.sent);
    if (session?.agreed !== undefined) {
      this.ledger.dialog(this.#dialogId)?.session.agreed(session.agreed, session.agreed.refresher === 'uas');
    }
    if (status >= 200)
      this.ledger.dialog(this.#dialogId)?.usage?.settled(request, status, responded.ok ? responded.sent : undefined);
    if (response.status >= 200 || !responded.ok) this.close();
    if (!responded.ok) return nok(REFUSAL_TEXTS[responded.refusal]);
    const dialogId = this.#request.request.method === 'BYE' ? '' : this.#dialogId;
    return this.sent(responded.sent, this.#request.source, dialogId);
  }

  /** Whoever registered over a connection is reached by it. */
  #learnFlow(sent: SipResponse): void {
    const { request, source } = this.#request;
    const keeps = request.method === 'REGISTER' || (request.method === 'SUBSCRIBE' && this.#dialogId !== '');
    if (!keeps || sent.status < 200 || sent.status >= 300 || source.transport === 'udp') return;
    const flow = this.#request.keepFlow?.();
    if (flow !== undefined) this.ledger.flows.learn(request, sent, flow);
  }

  /** The dialog that our 2xx to a SUBSCRIBE makes. */
  #subscription(): DialogListener {
    const { callId } = this.#request.request;
    const origin = {
      role: 'uas',
      id: dialogIdOf(this.#request.request),
      callId,
      source: this.#request.source,
    } as const;
    const entry = new DialogEntry(this.ledger, this.owner, origin);
    entry.subscribe();
    this.#dialogId = entry.id;
    return entry;
  }

  proxy(engine: SipEngine, plan: ProxyPlan, asked: Asked): ProxyRefusal | undefined {
    const refused = this.handTo(engine, this.#request, { plan, asked });
    if (refused?.refusal === 'too_many_hops') {
      this.close();
      this.#request.respond(483);
    }
    return refused;
  }

  abandon(): void {
    this.close();
    this.#request.respond(this.#request.request.method === 'BYE' ? 200 : 500);
  }

  // 408 would be no use to a non-INVITE client (RFC 4320 §4.2).
  protected unanswered(): void {
    this.close();
    this.#request.respond(500);
  }
}

/** An INVITE or re-INVITE. */
class InviteServed extends Served implements IncomingInviteListener {
  readonly #invite: IncomingInvite;
  /** Known from the first response on; from the start for a re-INVITE. */
  #entry: DialogEntry | undefined;
  /** How our 2xx was reported: repeated to an application that answers twice. */
  #answered: Reply | undefined;
  readonly #sinceMs: number;
  #rang = false;

  constructor(ledger: Ledger, owner: AppConnection, invite: IncomingInvite, entry: DialogEntry | undefined) {
    super(ledger, owner);
    this.#invite = invite;
    this.#entry = entry;
    invite.listener = this;
    this.#sinceMs = ledger.clock.nowMs();
    ledger.meters.requestIn('INVITE');
    if (entry === undefined) ledger.records.attempt('network', invite.request);
    this.tell(invite.request, invite.source, entry?.id ?? '', entry === undefined ? invite.source : undefined);
  }

  respond(response: AppResponse): Reply {
    if (answersCancel(response)) return nok(REFUSALS.cancelAnswered);
    if (this.#answered !== undefined) {
      return response.status >= 200 ? this.#answered : nok(REFUSALS.unknownTransaction);
    }
    const dialogId = dialogIdOf(this.#invite.request);
    if (this.#entry === undefined && response.status < 300 && this.ledger.dialog(dialogId) !== undefined) {
      this.close();
      this.#invite.respond(480);
      return nok(REFUSALS.dialogExists);
    }
    const plan = responsePlan(response);
    const success = response.status >= 200 && response.status < 300;
    const session = success ? answerSession(this.#invite.request, plan.fields) : undefined;
    const responded = this.#invite.respond(response.status, session?.fields ?? plan.fields, plan.reliable);
    if (!responded.ok) {
      if (responded.refusal !== 'not_100rel') this.#fail();
      return nok(REFUSAL_TEXTS[responded.refusal]);
    }
    this.unpark();
    this.#record(responded.sent);
    const reply = this.sent(responded.sent, this.#invite.source, this.#entry?.id ?? dialogId);
    if (response.status >= 300) this.#fail();
    else this.#track(response.status, reply);
    if (session !== undefined) {
      this.#entry?.session.noteSdp(response.body);
      this.#entry?.session.agreed(session.agreed, session.agreed?.refresher === 'uas');
    }
    return reply;
  }

  /** Keeps the dialog that a response below 300 made or confirmed. */
  #track(status: number, reply: Reply): void {
    const dialog = this.#invite.dialog;
    if (dialog !== undefined && !this.#invite.isReinvite) {
      const { id, callId } = dialog;
      const source = this.#invite.source;
      this.#entry ??= new DialogEntry(this.ledger, this.owner, { role: 'uas', id, callId, source });
      if (status < 200) this.#entry.early(dialog);
      else this.#entry.confirm(dialog);
    }
    if (status < 200) return;
    this.#answered = reply;
    this.#entry?.awaitAck(() => this.close());
  }

  #record(response: SipResponse): void {
    if (this.#invite.isReinvite) return;
    const { records, meters, clock } = this.ledger;
    const { status } = response;
    if (status >= 300) return records.stop('application', 'call-rejected', response);
    const ms = clock.nowMs() - this.#sinceMs;
    if (!this.#rang && status > 100) meters.timed('in', 'pdd', ms);
    this.#rang = true;
    if (status < 200) return;
    meters.timed('in', 'answer', ms);
    records.start('application', 'uas', response);
  }

  proxy(engine: SipEngine, plan: ProxyPlan, asked: Asked): ProxyRefusal | undefined {
    const refused = this.handTo(engine, this.#invite, { plan, asked });
    if (refused?.refusal === 'too_many_hops') {
      this.#fail();
      this.#invite.respond(483);
    }
    return refused;
  }

  /** No dialog comes of it; a re-INVITE leaves its dialog as it was. */
  #fail(): void {
    this.close();
    if (!this.#invite.isReinvite) this.#entry?.remove();
  }

  onCancel(cancel: SipRequest | undefined): void {
    const request = cancel?.method === 'CANCEL' ? cancel : this.#impliedCancel();
    const from = { ...this.#invite.source, bytes: request.toBuffer().length };
    this.tell(request, from, this.#entry?.id ?? '');
    if (!this.#invite.isReinvite) this.ledger.records.stop('network', 'call-canceled', request);
    this.#fail();
  }

  /** The caller ended the call by BYE, or can no longer be reached: to the application it gave up. */
  #impliedCancel(): SipRequest {
    const invite = this.#invite.request;
    const cancel = new SipRequest('CANCEL', invite.uri);
    for (const name of ['Via', 'From', 'To', 'Call-ID']) cancel.set(name, invite.header(name) ?? '');
    return cancel.set('CSeq', `${invite.cseq.seq} CANCEL`);
  }

  onAck(ack: SipRequest, source: Source): void {
    this.tell(ack, source, this.#entry?.id ?? dialogIdOf(this.#invite.request));
    this.close();
    this.#entry?.ackReceived();
  }

  onPrack(prack: IncomingRequest): void {
    const dialogId = this.#entry?.id ?? dialogIdOf(this.#invite.request);
    if (this.owner.open) this.ledger.inbound.request(this.owner, prack, dialogId);
    else prack.respond(200);
  }

  abandon(): void {
    this.unpark();
    if (this.#answered !== undefined) return;
    this.#fail();
    this.#invite.respond(480);
  }

  protected unanswered(): void {
    this.#fail();
    this.#invite.respond(408);
  }
}

export const inboundOf = (ledger: Ledger): Inbound => ({
  request: (owner, request, dialogId) => void new RequestServed(ledger, owner, request, dialogId),
  invite: (owner, invite, entry) => void new InviteServed(ledger, owner, invite, entry),
});
