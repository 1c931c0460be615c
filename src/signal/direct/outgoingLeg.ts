import {
  type Dialog,
  type OutgoingInvite,
  type OutgoingInviteListener,
  type Refusal,
  type ResponseOrigin,
  type SipResponse,
  type Source,
  leadsToNode,
  overloadWord,
} from '../../sip/index.js';
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
import { DirectLeg, type LegHost, outcomeOf } from './leg.js';
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
  /** These three until the call is answered: a dialog has all that is needed of them, and holds less. */
  #spec: InviteSpec | undefined;
  #launch: Launch | undefined;
  #invite: OutgoingInvite | undefined;
  /** RFC 3261 §22.1: the ACK carries the credentials of its INVITE. */
  #authorization: readonly HeaderEntry[] | undefined;
  /** Early dialogs, where the callee has forked. */
  #early: Map<string, Dialog> | undefined;
  #settled = false;
  #cancelled = false;
  /** Reliable provisionals that the application has yet to acknowledge, and the early dialog of each. */
  #unacknowledged: Map<SignalMessage, { readonly dialog: Dialog; readonly rack: string }> | undefined;

  constructor(host: LegHost, id: string, sink: OutgoingEvents, order: { spec: InviteSpec; launch: Launch }) {
    super(host, id);
    this.#sink = sink;
    this.#spec = order.spec;
    const { credentials } = order.spec;
    if (credentials !== undefined) this.login = new LegLogin(credentials, order.spec, host.random);
    this.#launch = order.launch;
  }

  /** Sends the INVITE. */
  start(): void {
    const sent = this.#spec === undefined ? undefined : this.#launch?.(this, this.#spec);
    if (sent === undefined) this.host.soon(() => this.onEngineLost());
    else this.launched(sent);
  }

  get callId(): string {
    return this.#invite?.request.callId ?? this.dialog?.callId ?? '';
  }

  override get localTag(): string {
    return this.#invite?.request.fromTag ?? this.dialog?.localTag ?? '';
  }

  protected get events(): LegEvents {
    return this.#sink;
  }

  /** The engine's side, once there is one. */
  launched(invite: OutgoingInvite | Refusal): void {
    if ('refusal' in invite) {
      const failure: InviteFailure =
        invite.refusal === 'flow_gone'
          ? { kind: 'transport_error', code: 'flow_gone' }
          : { kind: 'invalid_request', detail: `${invite.refusal}: ${invite.detail}` };
      this.host.soon(() => this.#fail(failure));
    } else {
      this.#invite = invite;
    }
  }

  ack(content: Content = {}): void {
    if (this.ended) return;
    const fields = toFields(content);
    const proof = this.#authorization;
    this.dialog?.ack(proof === undefined ? fields : { ...fields, headers: [...(fields.headers ?? []), ...proof] });
  }

  cancel(headers?: readonly HeaderEntry[]): void {
    if (this.#settled || this.#cancelled) return;
    this.#cancelled = true;
    this.#invite?.cancel(headers);
  }

  onTrying(): void {
    if (!this.#settled && !this.#cancelled) this.#sink.onTrying(this);
  }

  onProvisional(response: SipResponse, dialog: Dialog | undefined, source: Source): void {
    this.#told(response);
    const told = !this.#settled && !this.#cancelled;
    const message = new DirectMessage(response);
    if (dialog !== undefined) {
      // RFC 3261 §12.1: requests may come within it, and go to the latest of a fork's.
      if (told) {
        if (this.dialog !== undefined && this.dialog !== dialog) this.#fork(this.dialog, dialog);
        this.dialog = dialog;
        dialog.listener = this;
      }
      const rseq = response.header('RSeq');
      if (rseq !== undefined) {
        const rack = `${rseq} ${response.header('CSeq') ?? ''}`;
        this.login?.settle(source.address);
        // RFC 3262 §4: acknowledged whatever the application makes of it, unless it does that itself.
        if (told && this.#spec?.ownPrack === true) (this.#unacknowledged ??= new Map()).set(message, { dialog, rack });
        else this.ask(dialog, 'PRACK', { headers: [['RAck', rack]] });
      }
    }
    if (told) this.#sink.onProgress(this, message);
  }

  #fork(one: Dialog, other: Dialog): void {
    const early = (this.#early ??= new Map<string, Dialog>());
    early.set(one.remoteTag, one).set(other.remoteTag, other);
  }

  hasEarly(remoteTag: string): boolean {
    return !this.#settled && this.dialogOf(remoteTag) !== undefined;
  }

  protected dialogOf(fork: string): Dialog | undefined {
    return fork === this.dialog?.remoteTag ? this.dialog : this.#early?.get(fork);
  }

  protected forkOf(dialog: Dialog | undefined): string | undefined {
    return this.#early === undefined ? undefined : dialog?.remoteTag;
  }

  prack(progress: SignalMessage, spec: ResponseSpec, done: (outcome: RequestOutcome) => void): void {
    const owed = this.#unacknowledged?.get(progress);
    this.#unacknowledged?.delete(progress);
    const headers: HeaderEntry[] = [...(spec.headers ?? []), ['RAck', owed?.rack ?? '']];
    const sent =
      owed !== undefined &&
      this.ask(owed.dialog, 'PRACK', toFields({ ...spec, headers }), (response, origin) =>
        done(outcomeOf(response, origin)),
      );
    if (!sent) this.host.soon(() => done({ kind: 'leg_ended' }));
  }

  onAnswered(response: SipResponse, dialog: Dialog, source: Source): void {
    this.#told(response);
    this.login?.settle(source.address);
    if (this.#cancelled) {
      // The answer crossed our CANCEL: acknowledged here, released by the engine, of no interest to the application.
      dialog.listener = undefined;
      dialog.ack();
      this.#fail({ kind: 'cancelled' });
      return;
    }
    this.#settled = true;
    this.#spec = this.#launch = this.#invite = this.#early = undefined;
    this.dialog = dialog;
    dialog.listener = this;
    this.#sink.onAnswered(this, new DirectMessage(response));
  }

  onFailed(response: SipResponse, origin: ResponseOrigin): void {
    if (origin === 'network') this.#told(response);
    if (this.#cancelled) this.#fail({ kind: 'cancelled' });
    else if (origin === 'network' && this.#answersChallenge(response)) return;
    else if (origin === 'timeout') this.#fail({ kind: 'timeout' });
    else if (origin === 'transport') this.#fail({ kind: 'transport_error', code: 'unreachable' });
    else if (origin === 'dns') this.#fail({ kind: 'unresolved_host', code: response.reason });
    else if (response.status === 430 && leadsToNode(this.#spec?.flow)) this.#flowFailed();
    else this.#fail({ kind: 'response', status: response.status, message: new DirectMessage(response) });
  }

  /** RFC 5626 §5.3: the node that was to pass it on has lost the connection, so that nobody was asked. */
  #flowFailed(): void {
    const route = this.#spec?.route?.[0];
    if (route !== undefined) this.host.onFlowClosed(route);
    this.#fail({ kind: 'transport_error', code: 'flow_gone' });
  }

  /** RFC 7339 §5.9: what the next hop says of its load. */
  #told(response: SipResponse): void {
    const { onOverloadTold } = this.host;
    const spec = this.#spec;
    if (onOverloadTold === undefined || spec === undefined) return;
    const word = overloadWord(response.topVia.raw);
    if (word !== undefined) onOverloadTold(placeOf(spec.nextHop ?? spec.uri), word);
  }

  onEngineLost(): void {
    if (this.#settled) this.end({ kind: 'engine_lost' });
    else this.#fail(this.#cancelled ? { kind: 'cancelled' } : { kind: 'transport_error', code: 'engine_lost' });
  }

  /** The engine takes responses of the next hop alone, so whoever challenges here is whom the credentials are for. */
  #answersChallenge(response: SipResponse): boolean {
    const { login } = this;
    const [given, invite] = [this.#spec, this.#invite];
    if (login === undefined || given === undefined || invite === undefined) return false;
    if (!canAnswer(response.status)) return false;
    const { uri, headers = [] } = given;
    const challenge = { status: response.status, headers: response.headers() };
    const proof = login.answerInvite(challenge, { method: 'INVITE', uri });
    if (proof === undefined) return false;
    this.#authorization = proof;
    const { request } = invite;
    const spec = { ...given, from: request.header('From') ?? '', headers: [...headers, ...proof] };
    const sent = this.#launch?.(this, spec, { callId: request.callId, cseq: request.cseq.seq + 1 });
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

/** `sip:USER@HOST:PORT;transport=tcp` without scheme and user: as destinations are named. */
const placeOf = (uri: string): string => uri.slice(Math.max(uri.indexOf(':'), uri.lastIndexOf('@')) + 1);
