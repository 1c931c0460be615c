import type { Clock, Random } from '../../kernel/index.js';
import type {
  EngineEvent,
  EngineHandler,
  OutgoingInvite,
  OutgoingInviteListener,
  OutgoingRequest,
  OutgoingRequestListener,
  Refusal,
  RequestSpec,
  SipEngine,
} from '../face.js';
import type { SipRequest } from '../message/message.js';
import type { MessageLimits, ParseFailure } from '../message/parse.js';
import type { HostResolver, SipNetwork } from '../ports.js';
import { TransactionLayer, type TransactionCore } from '../transaction/layer.js';
import type { ServerInviteTransaction } from '../transaction/serverInvite.js';
import { DEFAULT_TIMERS, type TimerSettings } from '../transaction/timers.js';
import type { ListenSpec } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import { Admission } from './admission.js';
import { type DialogParts, InviteDialog } from './dialog.js';
import { type CoreHost, dialogKeyOfRequest } from './host.js';
import { IncomingInviteCall } from './incomingInvite.js';
import { IncomingRequestCall, buildResponse } from './incomingRequest.js';
import { receiveInDialog } from './inDialog.js';
import { buildOutOfDialog } from './outOfDialog.js';
import { OutgoingRequestCall, findHops } from './outgoing.js';
import { OutgoingInviteCall } from './outgoingInvite.js';

export interface EngineOptions {
  readonly network: SipNetwork;
  readonly clock: Clock;
  readonly random: Random;
  readonly resolver: HostResolver;
  readonly listen: readonly ListenSpec[];
  readonly handler: EngineHandler;
  readonly timers?: Partial<TimerSettings> | undefined;
  readonly limits?: Partial<MessageLimits> | undefined;
  /** Value of User-Agent and Server; absent: neither is written. */
  readonly userAgent?: string | undefined;
  /** Option tags that the handler can serve; a Require of any other gets 420. */
  readonly supported?: readonly string[] | undefined;
  readonly onEvent?: ((event: EngineEvent) => void) | undefined;
}

/** The user agent core, RFC 3261 §8: between the transactions below and the engine's user above. */
export class UserAgentCore implements TransactionCore, CoreHost, SipEngine {
  readonly layer: TransactionLayer;
  readonly resolver: HostResolver;
  readonly userAgent: string | undefined;
  readonly #handler: EngineHandler;
  readonly #onEvent: ((event: EngineEvent) => void) | undefined;
  readonly #admission: Admission;
  readonly #dialogs = new Map<string, InviteDialog>();
  #stopped = false;

  constructor(options: EngineOptions) {
    this.resolver = options.resolver;
    this.userAgent = options.userAgent;
    this.#handler = options.handler;
    this.#onEvent = options.onEvent;
    const timers = { ...DEFAULT_TIMERS, ...options.timers };
    this.layer = new TransactionLayer({ ...options, timers }, this);
    this.#admission = new Admission(this, options.handler, options.supported ?? ['100rel', 'timer', 'replaces']);
  }

  get listening(): readonly string[] {
    return this.layer.transport.listeners.map((l) => `${l.transport}/${l.sentBy}`);
  }

  // ------------------------------------------------------------------ requests from the network

  onRequest(request: SipRequest, arrival: Arrival, key: string): void {
    if (request.toTag !== undefined) {
      const dialog = this.#dialogs.get(dialogKeyOfRequest(request));
      if (dialog !== undefined) receiveInDialog(this, dialog, request, { arrival, key });
      else this.#admission.refuse(request, arrival, 481); // RFC 3261 §12.2.2
      return;
    }
    if (!this.#admission.admit(request, arrival)) return;
    if (request.method === 'INVITE') this.#newInvite(request, arrival, key);
    else this.#newRequest(request, arrival, key);
  }

  #newInvite(request: SipRequest, arrival: Arrival, key: string): void {
    const transaction = this.layer.newServerInvite(request, arrival, key, true);
    const invite = new IncomingInviteCall(this, transaction, request, { arrival, dialog: undefined });
    invite.respond(100); // RFC 3261 §17.2.1: at once, the user may take its time
    if (!this.guard(() => this.#handler.onInvite(invite))) invite.respond(500);
  }

  #newRequest(request: SipRequest, arrival: Arrival, key: string): void {
    const transaction = this.layer.newServer(request, arrival, key, true);
    const call = new IncomingRequestCall(this, transaction, request, { source: arrival, dialog: undefined });
    if (this.guard(() => this.#handler.onRequest(call))) call.watch();
    else call.abort();
  }

  onAck(ack: SipRequest, arrival: Arrival): void {
    const dialog = this.#dialogs.get(dialogKeyOfRequest(ack));
    const invite = dialog?.pendingIn;
    if (invite !== undefined && invite.seq === ack.cseq.seq) invite.onAck(ack, arrival);
    else this.layer.counters.strayAcks++; // RFC 3261 §17.2.3: silence
  }

  /** RFC 3261 §9.2. */
  onCancel(cancel: SipRequest, arrival: Arrival, key: string, invite: ServerInviteTransaction | undefined): void {
    // A CANCEL is hop by hop: only whoever sent the INVITE may withdraw it.
    const known = invite !== undefined && invite.path.address === arrival.address ? invite : undefined;
    if (known === undefined) return this.#admission.refuse(cancel, arrival, 481);
    const call = known.user instanceof IncomingInviteCall ? known.user : undefined;
    const transaction = this.layer.newServer(cancel, arrival, key, false);
    const response = buildResponse(this, cancel, 200, {
      fields: {},
      tag: call?.localTag ?? this.newTag(),
      listener: arrival.listener,
      contact: false,
    });
    transaction.respond(200, response.toBuffer());
    call?.cancelled(cancel);
  }

  onMalformed(failure: ParseFailure, arrival: Arrival): void {
    this.#onEvent?.({ type: 'malformed', source: arrival, reason: failure.reason });
    this.#admission.refuseMalformed(failure, arrival);
  }

  // ------------------------------------------------------------------ requests from the user

  invite(spec: Omit<RequestSpec, 'method'>, listener: OutgoingInviteListener): OutgoingInvite | Refusal {
    const built = buildOutOfDialog(this, { ...spec, method: 'INVITE' });
    if ('refusal' in built) return built;
    const origin = { listener: built.listener, dialog: undefined };
    const call = new OutgoingInviteCall(this, built.request, origin, listener);
    findHops(this, built.next, built.listener, call);
    return call;
  }

  request(spec: RequestSpec, listener: OutgoingRequestListener): OutgoingRequest | Refusal {
    const built = buildOutOfDialog(this, spec);
    if ('refusal' in built) return built;
    const call = new OutgoingRequestCall(this, built.request, built.listener, listener);
    findHops(this, built.next, built.listener, call);
    return call;
  }

  // ------------------------------------------------------------------ host of dialogs and requests

  newTag(): string {
    return this.layer.random.hex(8);
  }

  newDialog(parts: DialogParts): InviteDialog {
    const dialog = new InviteDialog(this, parts);
    this.#dialogs.set(dialog.key, dialog);
    return dialog;
  }

  removeDialog(dialog: InviteDialog): void {
    this.#dialogs.delete(dialog.key);
  }

  guard(call: () => void): boolean {
    try {
      call();
      return true;
    } catch (error) {
      this.#onEvent?.({ type: 'user_error', error });
      return false;
    }
  }

  stopped(): boolean {
    return this.#stopped;
  }

  dump(): Record<string, unknown> {
    return { dialogs: this.#dialogs.size, ...this.layer.dump() };
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const dialog of [...this.#dialogs.values()]) dialog.terminate('shutdown', undefined);
    this.layer.stop();
  }
}
