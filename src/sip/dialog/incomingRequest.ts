import type { Timer } from '../../kernel/index.js';
import type { Dialog, DialogListener, IncomingRequest, Responded, ResponseFields } from '../face.js';
import { responseTo } from '../message/build.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { ServerTransaction, ServerUser } from '../transaction/server.js';
import type { Listener } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import { addUserFields, isToken, setBody } from './fields.js';
import type { CoreHost } from './host.js';
import { subscribedBy } from './subscription.js';

/** Builds a response; `tag` goes into a To that has none. */
export const buildResponse = (
  core: CoreHost,
  request: SipRequest,
  status: number,
  parts: {
    readonly fields: ResponseFields;
    readonly tag: string | undefined;
    readonly listener: Listener;
    /** Whether this response carries a Contact of ours when the user gives none. */
    readonly contact: boolean;
    /** True: whoever asks is a stranger, who need not know what program answers. */
    readonly anonymous?: boolean;
  },
): SipResponse => {
  const { fields, tag, listener } = parts;
  const response = responseTo(request, status, fields.reason);
  if (tag !== undefined && status > 100 && request.toTag === undefined) {
    response.set('To', `${request.header('To') ?? ''};tag=${tag}`);
  }
  if (fields.contact !== undefined) addUserFields(response, [['Contact', fields.contact]], listener.sentBy);
  else if (parts.contact) response.add('Contact', `<${listener.contactUri}>`);
  if (core.userAgent !== undefined && parts.anonymous !== true) response.add('Server', core.userAgent);
  addUserFields(response, fields.headers, listener.sentBy);
  setBody(response, fields.body);
  return response;
};

/** The To tag that a user chose, unless it would break the field; else a new one. */
export const tagFor = (core: CoreHost, { toTag }: ResponseFields): string =>
  toTag !== undefined && isToken(toTag) ? toTag : core.newTag();

/** How long a user may think about a request that is no INVITE: its sender gives up after 64*T1. */
const ANSWER_WITHIN_T1S = 60;

export class IncomingRequestCall implements IncomingRequest, ServerUser {
  readonly request: SipRequest;
  readonly source: Arrival;
  dialog: Dialog | undefined;
  readonly #core: CoreHost;
  readonly #transaction: ServerTransaction;
  #done = false;
  #tag: string | undefined;
  #guard: Timer | undefined;

  constructor(
    core: CoreHost,
    transaction: ServerTransaction,
    request: SipRequest,
    context: { readonly source: Arrival; readonly dialog: Dialog | undefined },
  ) {
    this.#core = core;
    this.#transaction = transaction;
    this.request = request;
    this.source = context.source;
    this.dialog = context.dialog;
    transaction.user = this;
  }

  keepFlow(): string {
    return this.#core.layer.transport.flows.keep(this.source);
  }

  nodeRoute(flow: string): string | undefined {
    return this.#core.nodeRoute(flow);
  }

  get unanswered(): boolean {
    return !this.#done;
  }

  respond(status: number, fields: ResponseFields = {}): Responded {
    if (this.#done) return { ok: false, refusal: 'unknown_transaction' };
    if (this.request.toTag === undefined) this.#tag ??= tagFor(this.#core, fields);
    const refreshes = status < 300 && (this.request.method === 'UPDATE' || this.request.method === 'SUBSCRIBE');
    const response = buildResponse(this.#core, this.request, status, {
      fields,
      tag: this.#tag,
      listener: this.#transaction.path.listener,
      contact: refreshes,
    });
    if (status < 300 && status >= 200 && fields.dialog !== undefined) this.#establish(fields.dialog);
    if (status >= 200) {
      this.#done = true;
      this.#guard?.cancel();
    }
    this.#transaction.respond(status, response.toBuffer());
    return { ok: true, sent: response };
  }

  /** RFC 6665 §4.2.1.1: whoever accepts a SUBSCRIBE has made a dialog. */
  #establish(listener: DialogListener): void {
    if (this.dialog !== undefined || this.#tag === undefined || this.request.method !== 'SUBSCRIBE') return;
    const context = { arrival: this.source, tag: this.#tag };
    this.dialog = subscribedBy(this.#core, this.request, context, listener);
  }

  /** As of IncomingInviteCall. */
  handOver(): { readonly transaction: ServerTransaction; readonly arrival: Arrival } | undefined {
    if (this.#done || this.dialog !== undefined || this.#tag !== undefined) return undefined;
    this.#done = true;
    this.#guard?.cancel();
    return { transaction: this.#transaction, arrival: this.source };
  }

  /** Hands it to the user: one who throws has it answered for him, one who has not answered by then is watched. */
  offer(tell: (call: IncomingRequest) => void): void {
    if (this.#core.guard(() => tell(this))) this.#watch();
    else this.respond(500);
  }

  #watch(): void {
    if (this.#done) return;
    const { clock, timers } = this.#core.layer;
    this.#guard = clock.setTimer('answer_owed', ANSWER_WITHIN_T1S * timers.t1Ms, () => void this.respond(500));
  }

  /** The engine stops. */
  onTransportError(): void {
    this.respond(503);
  }
}
