import type { Timer } from '../../kernel/index.js';
import { canAnswer } from '../challenge.js';
import { LegLogin } from '../legLogin.js';
import type {
  Content,
  HeaderEntry,
  InviteFailure,
  InviteSpec,
  LegEvents,
  OutgoingEvents,
  OutgoingLeg,
  RequestOutcome,
  ResponseSpec,
  SignalMessage,
} from '../port.js';
import { isLocal, sendAck } from './srfExchange.js';
import { type LegContext, SrfLeg } from './srfLeg.js';
import { type SrfFault, isFault } from './srfLink.js';
import { type SrfMessage, readMessage } from './srfMessage.js';
import { hasLineBreak, headerObject, proxyOf, srfContent, taggedFrom, toSrf } from './srfText.js';
import type { SrfRequest, SrfRequestOptions, SrfResponse } from './srfTypes.js';

/** A drachtio-server forgets a CANCEL that nobody confirms after 32 s, in silence. */
const CANCEL_WAIT_MS = 33_000;
/** How long the server may take to release a call whose 2xx crossed our CANCEL, before we do it. */
const RELEASE_WAIT_MS = 2000;

/** The callee's leg. Call-ID and tag are ours, so the dialog id is known before the first frame. */
export class SrfOutgoingLeg extends SrfLeg implements OutgoingLeg {
  readonly localTag: string;
  readonly #events: OutgoingEvents;
  #remoteTag = '';
  #request: SrfRequest | undefined;
  #spec: InviteSpec | undefined;
  #cseq = 1;
  /** RFC 3261 §22.1: the ACK carries the credentials of its INVITE. */
  #authorization: readonly HeaderEntry[] | undefined;
  /** answered or failed has been decided; it is reported once. */
  #settled = false;
  #cancelHeaders: readonly HeaderEntry[] | undefined;
  /** `refused`: the server no longer had an INVITE to cancel, so it will not release a 2xx either. */
  #cancel: 'no' | 'wanted' | 'sent' | 'refused' = 'no';
  #timer: Timer | undefined;

  constructor(context: LegContext, events: OutgoingEvents) {
    const { random } = context.link;
    const localTag = random.hex(8);
    super(context, { role: 'uac', callId: random.uuid(), fromTag: localTag });
    this.localTag = localTag;
    this.#events = events;
  }

  get remoteTag(): string {
    return this.#remoteTag;
  }
  protected get sink(): LegEvents {
    return this.#events;
  }

  /** Sends the INVITE. */
  start(spec: InviteSpec): void {
    const flaw = [spec.uri, spec.from, spec.to, spec.nextHop ?? ''].find(hasLineBreak);
    if (flaw !== undefined || spec.uri === '') {
      this.#fail({ kind: 'invalid_request', detail: `not a URI: ${JSON.stringify(flaw ?? '')}` });
      return;
    }
    this.#spec = spec;
    if (spec.credentials !== undefined) this.login = new LegLogin(spec.credentials, spec, this.link.random);
    this.#send(spec);
  }

  #send(spec: InviteSpec): void {
    const proof = this.#authorization;
    const headers = proof === undefined ? spec.headers : [...(spec.headers ?? []), ...proof];
    const options: SrfRequestOptions = {
      method: 'INVITE',
      ...srfContent(headers, spec),
    };
    options.headers = {
      From: taggedFrom(spec.from, this.localTag),
      To: toSrf(spec.to),
      'Call-ID': this.callId,
      ...(proof === undefined ? {} : { CSeq: `${this.#cseq} INVITE` }),
      ...options.headers,
    };
    const proxy = proxyOf(spec);
    if (proxy !== undefined) options.proxy = proxy;
    this.link.request(toSrf(spec.uri), options, (sent) => {
      if (isFault(sent)) this.#onFault(sent);
      else this.#onSent(sent);
    });
  }

  ack(content?: Content): void {
    if (!this.ended && this.confirmed) this.acknowledge({ ...content, ...this.#proof() });
  }

  #proof(): { readonly headers?: readonly HeaderEntry[] } {
    return this.#authorization === undefined ? {} : { headers: this.#authorization };
  }

  cancel(headers?: readonly HeaderEntry[]): void {
    if (this.#settled || this.#cancel !== 'no') return;
    this.#cancel = 'wanted';
    this.#cancelHeaders = headers;
    this.#timer = this.link.clock.setTimer('srf cancel', CANCEL_WAIT_MS, () => this.#fail({ kind: 'cancelled' }));
    if (this.#request !== undefined) this.#sendCancel(this.#request);
  }

  prack(progress: SignalMessage, spec: ResponseSpec, done: (outcome: RequestOutcome) => void): void {
    const rack = `${progress.header('RSeq') ?? ''} ${progress.header('CSeq') ?? ''}`;
    this.request({ ...spec, method: 'PRACK', headers: [...(spec.headers ?? []), ['RAck', rack]] }, done);
  }

  protected onFirstAck(): void {
    // Only a server gets an ACK.
  }

  protected onEarlyBye(): void {
    this.#fail({ kind: 'transport_error', code: 'early_dialog_ended' });
  }

  protected onServerBye(_reason: string, _bye: SrfMessage): void {
    if (this.ended || !this.confirmed) this.release();
    else this.end({ kind: 'dialog_lost', status: undefined });
  }

  onEngineLost(): void {
    if (!this.#settled) {
      this.#fail(this.#cancel === 'no' ? { kind: 'transport_error', code: 'engine_lost' } : { kind: 'cancelled' });
    } else {
      this.end({ kind: 'engine_lost' });
    }
  }

  protected override release(): void {
    this.#timer?.cancel();
    super.release();
  }

  #onSent(request: SrfRequest): void {
    this.#request = request;
    request.on('response', (response) => this.#onInviteResponse(response));
    this.takeUpdates(request);
    if (this.#cancel === 'wanted') this.#sendCancel(request);
  }

  #onFault(fault: SrfFault): void {
    if (this.#cancel !== 'no') this.#fail({ kind: 'cancelled' });
    else if (fault.kind === 'link_down') this.#fail({ kind: 'transport_error', code: 'engine_lost' });
    else this.#fail({ kind: 'invalid_request', detail: fault.detail });
  }

  #sendCancel(request: SrfRequest): void {
    this.#cancel = 'sent';
    try {
      request.cancel({ headers: headerObject(this.#cancelHeaders) }, (error) => {
        if (error) this.#cancel = 'refused';
      });
    } catch (error) {
      this.#cancel = 'refused';
      this.link.report('CANCEL was not sent', error);
    }
  }

  #onInviteResponse(response: SrfResponse): void {
    const message = readMessage(response.msg);
    if (message.toTag !== '' && !this.confirmed) this.#remoteTag = message.toTag;
    if (response.status < 200) this.#onProvisional(response, message);
    else if (response.status < 300) this.#onAnswered(response, message);
    else this.#onFinalFailure(response, message);
  }

  #onProvisional(response: SrfResponse, message: SrfMessage): void {
    if (this.#settled) return;
    if (response.status === 100) {
      if (this.#cancel === 'no') this.deliver(() => this.#events.onTrying(this));
      return;
    }
    const rseq = message.header('RSeq');
    const told = this.#cancel === 'no';
    // RFC 3262 §4: acknowledged whatever the application makes of it, unless it does that itself.
    if (rseq !== undefined && !(told && this.#spec?.ownPrack === true)) response.sendPrack(this.dialogId, {});
    if (told) this.deliver(() => this.#events.onProgress(this, message));
  }

  #onAnswered(response: SrfResponse, message: SrfMessage): void {
    if (this.#settled) {
      this.#releaseCrossed(response);
      return;
    }
    if (this.#cancel !== 'no') {
      this.#settle({ kind: 'cancelled' });
      this.#releaseCrossed(response);
      return;
    }
    this.#settled = true;
    this.login?.settle(response.source_address);
    this.markConfirmed();
    this.owesAck(response);
    this.deliver(() => this.#events.onAnswered(this, message));
  }

  /**
   * A 2xx crossed our CANCEL. The server sends BYE right after the ACK if it knew of the CANCEL, and tells us; where
   * it refused the CANCEL, or says nothing, the BYE is ours.
   */
  #releaseCrossed(response: SrfResponse): void {
    this.#timer?.cancel();
    this.#timer = this.link.clock.setTimer('srf release', RELEASE_WAIT_MS, () => this.sendBye());
    sendAck(response, this.dialogId, undefined, () => {
      if (this.#cancel !== 'refused') return;
      this.#timer?.cancel();
      this.sendBye();
    });
  }

  #onFinalFailure(response: SrfResponse, message: SrfMessage): void {
    if (this.#cancel !== 'no') this.#fail({ kind: 'cancelled' });
    else if (!this.#answersChallenge(response, message)) this.#fail(failureOf(response, message));
  }

  /** The server takes responses of the next hop alone, so whoever challenges here is whom the credentials are for. */
  #answersChallenge(response: SrfResponse, message: SrfMessage): boolean {
    const spec = this.#spec;
    const { login } = this;
    if (spec === undefined || login === undefined || !canAnswer(response.status) || isLocal(response)) return false;
    const challenge = { status: response.status, headers: message.headers() };
    const proof = login.answerInvite(challenge, { method: 'INVITE', uri: spec.uri });
    if (proof === undefined) return false;
    this.#authorization = proof;
    this.#cseq = (Number.parseInt(message.header('CSeq') ?? '', 10) || this.#cseq) + 1;
    this.#remoteTag = '';
    this.#request = undefined;
    this.#send(spec);
    return true;
  }

  /** Reports the failure, once, and forgets the leg. */
  #fail(failure: InviteFailure): void {
    this.#settle(failure);
    this.release();
  }

  #settle(failure: InviteFailure): void {
    this.#timer?.cancel();
    if (this.#settled) return;
    this.#settled = true;
    this.close();
    this.deliver(() => this.#events.onFailed(this, failure));
  }
}

/** A response of the server's own making tells by status and phrase why the network gave none. */
function failureOf(response: SrfResponse, message: SrfMessage): InviteFailure {
  const { status } = response;
  if (!isLocal(response)) return { kind: 'response', status, message };
  if (status === 408) return { kind: 'timeout' };
  const reason = message.reason ?? '';
  if (/DNS/i.test(reason)) return { kind: 'unresolved_host', code: reason };
  return { kind: 'transport_error', code: reason === '' ? String(status) : reason };
}
