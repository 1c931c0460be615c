import type {
  Dialog,
  OutgoingInvite,
  OutgoingInviteListener,
  Refusal,
  ResponseOrigin,
  SipResponse,
} from '../../sip/index.js';
import type { Content, HeaderEntry, InviteFailure, LegEvents, OutgoingEvents, OutgoingLeg } from '../port.js';
import { DirectLeg, type LegHost } from './leg.js';
import { DirectMessage, toFields } from './message.js';

/** The called leg, on the engine's INVITE client. */
export class DirectOutgoingLeg extends DirectLeg implements OutgoingLeg, OutgoingInviteListener {
  readonly #sink: OutgoingEvents;
  #invite: OutgoingInvite | undefined;
  #settled = false;
  #cancelled = false;

  constructor(host: LegHost, id: string, sink: OutgoingEvents) {
    super(host, id);
    this.#sink = sink;
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
    if (!this.ended) this.dialog?.ack(toFields(content));
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
    else if (origin === 'timeout') this.#fail({ kind: 'timeout' });
    else if (origin === 'transport') this.#fail({ kind: 'transport_error', code: 'unreachable' });
    else if (origin === 'dns') this.#fail({ kind: 'unresolved_host', code: response.reason });
    else this.#fail({ kind: 'response', status: response.status, message: new DirectMessage(response) });
  }

  onEngineLost(): void {
    if (this.#settled) this.end({ kind: 'engine_lost' });
    else this.#fail(this.#cancelled ? { kind: 'cancelled' } : { kind: 'transport_error', code: 'engine_lost' });
  }

  #fail(failure: InviteFailure): void {
    if (this.#settled) return;
    this.#settled = true;
    this.ended = true;
    this.host.remove(this);
    this.#sink.onFailed(this, failure);
  }
}
