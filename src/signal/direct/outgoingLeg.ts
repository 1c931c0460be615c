import {
  type Dialog,
  DigestClient,
  type OutgoingInvite,
  type OutgoingInviteListener,
  type Refusal,
  type ResponseOrigin,
  type SipResponse,
} from '../../sip/index.js';
import { canAnswer, challengedBy, hostOfUri } from '../challenge.js';
import type {
  Content,
  HeaderEntry,
  InviteFailure,
  InviteSpec,
  LegEvents,
  OutgoingEvents,
  OutgoingLeg,
} from '../port.js';
import { DirectLeg, type LegHost } from './leg.js';
import { DirectMessage, toFields } from './message.js';

/** Makes an INVITE of the engine's: the first, and those that answer a challenge. */
export type Launch = (
  leg: DirectOutgoingLeg,
  spec: InviteSpec,
  again?: { readonly callId: string; readonly cseq: number },
) => OutgoingInvite | Refusal | undefined;

/** The called leg, on the engine's INVITE client. */
export class DirectOutgoingLeg extends DirectLeg implements OutgoingLeg, OutgoingInviteListener {
  readonly #sink: OutgoingEvents;
  readonly #spec: InviteSpec;
  readonly #launch: Launch;
  #digest: DigestClient | undefined;
  /** RFC 3261 §22.1: the ACK carries the credentials of its INVITE. */
  #authorization: HeaderEntry | undefined;
  #invite: OutgoingInvite | undefined;
  #settled = false;
  #cancelled = false;

  constructor(host: LegHost, id: string, sink: OutgoingEvents, order: { spec: InviteSpec; launch: Launch }) {
    super(host, id);
    this.#sink = sink;
    this.#spec = order.spec;
    this.#launch = order.launch;
  }

  /** Sends the INVITE. */
  start(): void {
    const sent = this.#launch(this, this.#spec);
    if (sent === undefined) this.host.soon(() => this.onEngineLost());
    else this.launched(sent);
  }

  get callId(): string {
    return this.#invite?.request.callId ?? '';
  }

  override get localTag(): string {
    return this.#invite?.request.fromTag ?? '';
  }

  protected get events(): LegEvents {
    return this.#sink;
  }

  /** The engine's side, once there is one. */
  launched(invite: OutgoingInvite | Refusal): void {
    if ('refusal' in invite) {
      const failure: InviteFailure = { kind: 'invalid_request', detail: `${invite.refusal}: ${invite.detail}` };
      this.host.soon(() => this.#fail(failure));
    } else {
      this.#invite = invite;
    }
  }

  ack(content: Content = {}): void {
    if (this.ended) return;
    const fields = toFields(content);
    const proof = this.#authorization;
    this.dialog?.ack(proof === undefined ? fields : { ...fields, headers: [...(fields.headers ?? []), proof] });
  }

  cancel(headers?: readonly HeaderEntry[]): void {
    if (this.#settled || this.#cancelled) return;
    this.#cancelled = true;
    this.#invite?.cancel(headers);
  }

  onTrying(): void {
    if (!this.#settled && !this.#cancelled) this.#sink.onTrying(this);
  }

  onProvisional(response: SipResponse, dialog: Dialog | undefined): void {
    const rseq = response.header('RSeq');
    if (rseq !== undefined && dialog !== undefined) {
      // RFC 3262 §4: acknowledged whatever the application makes of it.
      const rack = `${rseq} ${response.header('CSeq') ?? ''}`;
      dialog.request('PRACK', { headers: [['RAck', rack]] }, { onResponse: () => {} });
    }
    if (!this.#settled && !this.#cancelled) this.#sink.onProgress(this, new DirectMessage(response));
  }

  onAnswered(response: SipResponse, dialog: Dialog): void {
    if (this.#cancelled) {
      // The answer crossed our CANCEL: acknowledged here, released by the engine.
      dialog.ack();
      this.#fail({ kind: 'cancelled' });
      return;
    }
    this.#settled = true;
    this.dialog = dialog;
    dialog.listener = this;
    this.#sink.onAnswered(this, new DirectMessage(response));
  }

  onFailed(response: SipResponse, origin: ResponseOrigin): void {
    if (this.#cancelled) this.#fail({ kind: 'cancelled' });
    else if (origin === 'network' && this.#answersChallenge(response)) return;
    else if (origin === 'timeout') this.#fail({ kind: 'timeout' });
    else if (origin === 'transport') this.#fail({ kind: 'transport_error', code: 'unreachable' });
    else if (origin === 'dns') this.#fail({ kind: 'unresolved_host', code: response.reason });
    else this.#fail({ kind: 'response', status: response.status, message: new DirectMessage(response) });
  }

  onEngineLost(): void {
    if (this.#settled) this.end({ kind: 'engine_lost' });
    else this.#fail(this.#cancelled ? { kind: 'cancelled' } : { kind: 'transport_error', code: 'engine_lost' });
  }

  /** The engine takes responses of the next hop alone, so whoever challenges here is whom the credentials are for. */
  #answersChallenge(response: SipResponse): boolean {
    const { credentials, uri, nextHop, headers = [] } = this.#spec;
    const invite = this.#invite;
    if (credentials === undefined || invite === undefined || !canAnswer(response.status)) return false;
    this.#digest ??= new DigestClient(credentials, hostOfUri(nextHop ?? uri), this.host.random);
    const answer = this.#digest.answer(challengedBy(response.status, response.headers()), { method: 'INVITE', uri });
    if (!answer.ok) return false;
    this.#authorization = answer.header;
    const { request } = invite;
    const spec = { ...this.#spec, from: request.header('From') ?? '', headers: [...headers, answer.header] };
    const sent = this.#launch(this, spec, { callId: request.callId, cseq: request.cseq.seq + 1 });
    if (sent === undefined) return false;
    this.launched(sent);
    return true;
  }

  #fail(failure: InviteFailure): void {
    if (this.#settled) return;
    this.#settled = true;
    this.ended = true;
    this.host.remove(this);
    this.#sink.onFailed(this, failure);
  }
}
