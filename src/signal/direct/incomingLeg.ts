import type { IncomingInvite, IncomingInviteListener, SipRequest } from '../../sip/index.js';
import type { IncomingLeg, LegEvents, ResponseSpec, SignalMessage, SignalSource } from '../port.js';
import { DirectLeg, type LegHost } from './leg.js';
import { DirectMessage, toFields } from './message.js';

/** The caller's leg, on the engine's INVITE server. */
export class DirectIncomingLeg extends DirectLeg implements IncomingLeg, IncomingInviteListener {
  readonly message: SignalMessage;
  readonly source: SignalSource;
  readonly callId: string;
  /** Set by the adapter when the application has given its sink. */
  sink: LegEvents | undefined;
  readonly #invite: IncomingInvite;
  readonly #reliable: boolean;
  #cancelled: SipRequest | undefined;

  constructor(host: LegHost, id: string, invite: IncomingInvite) {
    super(host, id);
    this.#invite = invite;
    this.message = new DirectMessage(invite.request);
    this.source = invite.source;
    this.callId = invite.request.callId;
    // RFC 3262 §3: a caller that requires it gets its provisionals reliably.
    this.#reliable =
      invite.request.count('Require') > 0 &&
      invite.request.headerList('Require').some((tag) => tag.toLowerCase() === '100rel');
    invite.listener = this;
  }

  protected get events(): LegEvents {
    return this.sink as LegEvents;
  }

  progress(status: number, spec: ResponseSpec = {}): void {
    if (this.ended) return;
    this.#invite.respond(status, toFields(spec), this.#reliable);
  }

  answer(spec: ResponseSpec): void {
    if (this.ended) return;
    const responded = this.#invite.respond(200, toFields(spec));
    if (!responded.ok) return;
    this.dialog = this.#invite.dialog;
    if (this.dialog !== undefined) this.dialog.listener = this;
  }

  reject(status: number, spec: ResponseSpec = {}): void {
    if (this.ended) return;
    this.ended = true;
    this.host.remove(this);
    this.#invite.respond(status, toFields(spec));
  }

  onCancel(cancel: SipRequest | undefined): void {
    this.#cancelled = cancel;
    // The sink may not exist yet: the application is then told as soon as it does.
    if (this.sink !== undefined) this.#tellCancelled();
    else this.host.soon(() => this.#tellCancelled());
  }

  onAck(ack: SipRequest): void {
    if (!this.ended) this.events.onAck(this, new DirectMessage(ack), undefined);
  }

  #tellCancelled(): void {
    const message = this.#cancelled === undefined ? undefined : new DirectMessage(this.#cancelled);
    this.end({ kind: 'cancelled', message });
  }
}
