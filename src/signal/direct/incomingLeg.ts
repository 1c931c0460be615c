import type { Dialog, IncomingInvite, IncomingInviteListener, IncomingRequest, SipRequest } from '../../sip/index.js';
import type {
  HeaderEntry,
  IncomingLeg,
  InDialogRequest,
  LegEvents,
  ProgressSpec,
  ResponseSpec,
  SignalMessage,
  SignalSource,
} from '../port.js';
import { DirectLeg, type LegHost, answerable } from './leg.js';
import { DirectMessage, toFields } from './message.js';

/** The caller's leg, on the engine's INVITE server. */
export class DirectIncomingLeg extends DirectLeg implements IncomingLeg, IncomingInviteListener {
  readonly message: SignalMessage;
  readonly source: SignalSource;
  readonly callId: string;
  /** Set by the adapter when the application has given its sink. */
  sink: LegEvents | undefined;
  /** Until the ACK of its 2xx: nothing more can be said to it, and what it holds is more than the rest of the leg. */
  #invite: IncomingInvite | undefined;
  readonly #fromTag: string;
  readonly #reliable: boolean;
  #cancelled: SipRequest | undefined;
  #answered = false;
  #acknowledged = false;
  /** Who is told of the PRACK of a reliable provisional, by its fork and RSeq. */
  #pracks: Map<string, (prack: InDialogRequest) => void> | undefined;
  /** Early dialogs beside the first, until one of them all is answered. */
  #forks: Map<string, Dialog> | undefined;
  /** BYE asked for before the ACK: RFC 3261 §15 lets a callee send it only afterwards. */
  #heldBye: { readonly headers: readonly HeaderEntry[] | undefined } | undefined;

  constructor(host: LegHost, id: string, invite: IncomingInvite) {
    super(host, id);
    this.#invite = invite;
    this.message = new DirectMessage(invite.request);
    this.source = invite.source;
    this.callId = invite.request.callId;
    this.#fromTag = invite.request.fromTag ?? '';
    // RFC 3262 §3: a caller that requires it gets its provisionals reliably.
    this.#reliable =
      invite.request.count('Require') > 0 &&
      invite.request.headerList('Require').some((tag) => tag.toLowerCase() === '100rel');
    invite.listener = this;
  }

  protected get events(): LegEvents {
    return this.sink as LegEvents;
  }

  override get remoteTag(): string {
    return this.#fromTag;
  }

  progress(status: number, spec: ProgressSpec = {}): void {
    if (this.ended) return;
    const { reliable } = spec;
    const responded = this.#invite?.respond(status, toFields(spec), this.#reliable || reliable !== undefined);
    if (responded?.ok !== true) return;
    if (reliable !== undefined) {
      (this.#pracks ??= new Map()).set(`${spec.fork ?? ''} ${responded.sent.header('RSeq') ?? ''}`, reliable);
    }
    // RFC 3261 §12.1: from here on requests may come within the early dialog.
    if (spec.fork !== undefined) this.#enterFork(spec.fork);
    else if (this.dialog === undefined) this.#enter();
  }

  #enterFork(name: string): void {
    const forks = (this.#forks ??= new Map());
    const dialog = this.#invite?.dialog;
    if (dialog === undefined || forks.has(name)) return;
    forks.set(name, dialog);
    dialog.listener = this;
  }

  protected dialogOf(fork: string): Dialog | undefined {
    return this.#forks?.get(fork);
  }

  protected forkOf(dialog: Dialog | undefined): string | undefined {
    if (this.#forks !== undefined) for (const [name, one] of this.#forks) if (one === dialog) return name;
    return undefined;
  }

  #enter(): void {
    this.dialog = this.#invite?.dialog;
    if (this.dialog !== undefined) this.dialog.listener = this;
  }

  behindNat(): void {
    if (this.#invite !== undefined) this.#invite.symmetric = true;
  }

  answer(spec: ResponseSpec): void {
    if (this.ended) return;
    const responded = this.#invite?.respond(200, toFields(spec));
    if (responded?.ok !== true) return;
    this.#answered = true;
    this.#forks = undefined;
    this.#enter();
  }

  reject(status: number, spec: ResponseSpec = {}): void {
    if (this.ended) return;
    this.ended = true;
    this.host.remove(this);
    this.#invite?.respond(status, toFields(spec));
  }

  override bye(headers?: readonly HeaderEntry[]): void {
    if (this.ended || !this.#answered || this.#acknowledged) {
      super.bye(headers);
      return;
    }
    this.#heldBye = { headers };
    this.report({ kind: 'local_bye' });
  }

  onCancel(cancel: SipRequest | undefined): void {
    this.#cancelled = cancel;
    this.#whenTaken(() => this.#tellCancelled());
  }

  onAck(ack: SipRequest): void {
    this.#acknowledged = true;
    this.#invite = undefined;
    if (!this.ended) this.events.onAck(this, new DirectMessage(ack), undefined);
    const held = this.#heldBye;
    this.#heldBye = undefined;
    if (held !== undefined) this.dialog?.request('BYE', { headers: held.headers }, { onResponse: () => {} });
  }

  onPrack(prack: IncomingRequest): void {
    const fork = this.forkOf(prack.dialog);
    const key = `${fork ?? ''} ${Number.parseInt(prack.request.header('RAck') ?? '', 10)}`;
    const tell = this.#pracks?.get(key);
    this.#pracks?.delete(key);
    if (tell === undefined || this.ended) prack.respond(200);
    else tell(answerable(prack, fork));
  }

  onEngineLost(): void {
    this.#whenTaken(() => this.end({ kind: 'engine_lost' }));
  }

  /** The sink may not exist yet: the application is then told as soon as it does. */
  #whenTaken(tell: () => void): void {
    if (this.sink !== undefined) tell();
    else this.host.soon(tell);
  }

  #tellCancelled(): void {
    const message = this.#cancelled === undefined ? undefined : new DirectMessage(this.#cancelled);
    this.end({ kind: 'cancelled', message });
  }
}
