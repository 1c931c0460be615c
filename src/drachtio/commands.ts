/** What an application asks for in a `sip` or `proxy` frame. */
import {
  type OutgoingInvite,
  type OutgoingRequest,
  type Refusal,
  type RequestSpec,
  type SipEngine,
  parseUri,
} from '../sip/index.js';
import { type AppRequest, type AppResponse, parseAppMessage } from './appMessage.js';
import type { AppConnection } from './connection.js';
import type { DialogEntry } from './dialogEntry.js';
import { ourEnd, requestSent, timeOfDay } from './envelope.js';
import type { Frame } from './frames.js';
import { cancelHeaders, headerOf, inDialogFields, lacksContentType, requestSpec } from './headerRules.js';
import type { Ledger } from './ledger.js';
import { InviteSent, RequestSent } from './outgoing.js';
import { proxyOrder, proxyRefused } from './proxying.js';
import { REFUSALS, type Reply, no, nok } from './replies.js';

type Outcome<T> = T | Refusal;
const isRefused = <T extends object>(outcome: Outcome<T>): outcome is Refusal => 'refusal' in outcome;

function outOfDialogRefusal(refusal: Refusal, { uri, startLine }: AppRequest): Reply {
  switch (refusal.refusal) {
    case 'invalid_uri':
      // A SIP URI that is well formed names a transport that we do not know.
      return nok(/^sips?$/.test(parseUri(uri)?.scheme ?? '') ? REFUSALS.noTransport : REFUSALS.badUri(startLine));
    case 'invalid_header':
      return nok(REFUSALS.badParty);
    case 'self':
      return nok(REFUSALS.self);
    case 'no_transport':
    case 'flow_gone':
      return nok(REFUSALS.noTransport);
    case 'missing_content_type':
      return nok(REFUSALS.missingContentType);
    case 'dialog_gone':
    case 'request_pending':
      return nok(`Server error: ${refusal.detail}`);
  }
}

function inDialogRefusal(refusal: Refusal): Reply {
  if (refusal.refusal === 'dialog_gone') return nok(REFUSALS.unknownDialog);
  if (refusal.refusal === 'missing_content_type') return nok(`Server error: ${REFUSALS.missingContentType}`);
  return nok(`Server error: ${refusal.detail}`);
}

/** A re-INVITE or UPDATE that says nothing of the session timer would end it. */
function withSession(request: AppRequest, { session }: DialogEntry) {
  const fields = inDialogFields(request);
  if (headerOf(request, 'Session-Expires') !== undefined) return fields;
  return { ...fields, headers: [...(fields.headers ?? []), ...session.headers] };
}

export class Commands {
  readonly #ledger: Ledger;
  readonly #engine: () => SipEngine | undefined;

  /** @param engine undefined until it runs. */
  constructor(ledger: Ledger, engine: () => SipEngine | undefined) {
    this.#ledger = ledger;
    this.#engine = engine;
  }

  sip(owner: AppConnection, frame: Frame): Reply {
    const [, , txnId = '', dialogId = '', nextHop = ''] = frame.tokens;
    if (frame.message === undefined || frame.message.length === 0) return no('Invalid message format');
    const parsed = parseAppMessage(frame.message);
    if (!parsed.ok) {
      return nok(dialogId === '' ? REFUSALS.badUri(parsed.error) : REFUSALS.badMethod(parsed.error));
    }
    const message = parsed.value;
    if (message.kind === 'response') return this.#respond(owner, txnId, message);
    if (dialogId !== '') return this.#inDialog(owner, dialogId, message);
    if (txnId !== '') return this.#withinTransaction(owner, txnId, message);
    return this.#outOfDialog(owner, message, nextHop);
  }

  /** @returns undefined when it is under way: its answers are frames of their own */
  proxy(owner: AppConnection, frame: Frame): Reply | undefined {
    const request = frame.message === undefined ? undefined : parseAppMessage(frame.message);
    if (request?.ok !== true || request.value.kind !== 'request') return no('Invalid proxy request: no request');
    const order = proxyOrder(frame, request.value);
    if (order === undefined) return no('Invalid proxy request: too few tokens');
    const transaction = this.#ledger.transaction(order.txnId);
    const engine = this.#engine();
    if (engine === undefined || transaction?.owner !== owner || transaction.proxy === undefined) {
      return nok(REFUSALS.unknownProxied(order.txnId));
    }
    const asked = { owner, fullResponse: order.fullResponse, frameId: frame.tokens[0] ?? '' };
    const refused = transaction.proxy(engine, order.plan, asked);
    return refused === undefined ? undefined : proxyRefused(refused, order);
  }

  #respond(owner: AppConnection, txnId: string, response: AppResponse): Reply {
    if (txnId === '') return no('transaction id missing');
    const transaction = this.#ledger.transaction(txnId);
    if (transaction?.owner !== owner) return nok(REFUSALS.unknownTransaction);
    return transaction.respond(response);
  }

  #withinTransaction(owner: AppConnection, txnId: string, request: AppRequest): Reply {
    if (request.method !== 'CANCEL') return nok(REFUSALS.badMethod(request.startLine));
    const transaction = this.#ledger.transaction(txnId);
    const reply = transaction?.owner === owner ? transaction.cancel(cancelHeaders(request)) : undefined;
    return reply ?? nok(REFUSALS.cancelUnknown(txnId));
  }

  #outOfDialog(owner: AppConnection, request: AppRequest, nextHop: string): Reply {
    if (request.method === 'ACK') return nok(REFUSALS.ackOfUnknownDialog);
    if (request.method === 'PRACK') return nok(REFUSALS.prackWithoutInvite);
    if (request.method === 'CANCEL') return nok(REFUSALS.cancelUnknown(''));
    if (lacksContentType(request)) return nok(REFUSALS.missingContentType);
    const spec = requestSpec(request, nextHop);
    const flow = nextHop === '' ? this.#ledger.flows.flowTo(request.uri) : undefined;
    const reply = this.#launch(owner, request, { ...spec, flow });
    if (reply !== 'flow_gone') return reply;
    // The connection of that contact is closed: perhaps it can be reached like any other.
    this.#ledger.flows.forget(request.uri);
    const second = this.#launch(owner, request, spec);
    return second === 'flow_gone' ? nok(REFUSALS.transportClosed) : second;
  }

  #launch(owner: AppConnection, request: AppRequest, spec: RequestSpec): Reply | 'flow_gone' {
    const engine = this.#engine();
    if (engine === undefined) return nok(REFUSALS.noTransport);
    const refused = (refusal: Refusal): Reply | 'flow_gone' =>
      refusal.refusal === 'flow_gone' ? 'flow_gone' : outOfDialogRefusal(refusal, request);
    if (request.method === 'INVITE') {
      const sent = new InviteSent(this.#ledger, owner, undefined);
      const outcome: Outcome<OutgoingInvite> = engine.invite(spec, sent);
      return isRefused(outcome) ? refused(outcome) : sent.started(outcome);
    }
    const sent = new RequestSent(this.#ledger, owner, request.method, undefined);
    const dialog = request.method === 'SUBSCRIBE' ? sent : undefined;
    const outcome: Outcome<OutgoingRequest> = engine.request({ ...spec, dialog }, sent);
    return isRefused(outcome) ? refused(outcome) : sent.started(outcome);
  }

  #inDialog(owner: AppConnection, dialogId: string, request: AppRequest): Reply {
    const entry = this.#ledger.dialog(dialogId);
    if (entry !== undefined && entry.owner !== owner && !entry.owner.open) this.#ledger.adopt(entry, owner);
    if (entry?.owner !== owner) {
      if (request.method === 'ACK') return nok(REFUSALS.ackOfUnknownDialog);
      return nok(request.method === 'PRACK' ? REFUSALS.prackWithoutInvite : REFUSALS.unknownDialog);
    }
    if (lacksContentType(request)) return nok(`Server error: ${REFUSALS.missingContentType}`);
    switch (request.method) {
      case 'ACK':
        return this.#ack(entry, request);
      case 'CANCEL':
        return nok(REFUSALS.badMethod(request.startLine));
      case 'INVITE':
        return this.#reinvite(entry, request);
      default:
        return this.#request(entry, request);
    }
  }

  #ack(entry: DialogEntry, request: AppRequest): Reply {
    entry.session.noteSdp(request.body);
    const ack = entry.dialog?.ack(inDialogFields(request));
    if (ack === undefined) return nok(REFUSALS.ackNotOwed);
    // Without a Contact in the 2xx there is nobody whom the application could send anything: it has no dialog.
    if (entry.releaseAfterAck) entry.hangup('no Contact in answer');
    const bytes = ack.toBuffer();
    const time = timeOfDay(this.#ledger.clock);
    return requestSent(ourEnd(entry.local, bytes.length), time, this.#ledger.random.uuid(), bytes);
  }

  #reinvite(entry: DialogEntry, request: AppRequest): Reply {
    const sent = new InviteSent(this.#ledger, entry.owner, entry);
    const outcome = entry.dialog?.invite(withSession(request, entry), sent);
    if (outcome === undefined) return nok(REFUSALS.unknownDialog);
    return isRefused(outcome) ? inDialogRefusal(outcome) : sent.started(outcome);
  }

  #request(entry: DialogEntry, request: AppRequest): Reply {
    const isPrack = request.method === 'PRACK';
    const target = isPrack ? entry.prackTarget(Number.parseInt(headerOf(request, 'RAck') ?? '', 10)) : entry.target;
    if (target === undefined) return nok(isPrack ? REFUSALS.prackWithoutInvite : REFUSALS.unknownDialog);
    // A BYE ends a re-INVITE that is still under way.
    if (request.method === 'BYE' && entry.dialog !== undefined) entry.invite?.cancel();
    const sent = new RequestSent(this.#ledger, entry.owner, request.method, entry);
    const fields = request.method === 'UPDATE' ? withSession(request, entry) : inDialogFields(request);
    const outcome = target.request(request.method, fields, sent);
    if (isRefused(outcome)) return inDialogRefusal(outcome);
    if (request.method === 'BYE') this.#ledger.records.stop('application', 'normal-release', outcome.request);
    return sent.started(outcome);
  }
}
