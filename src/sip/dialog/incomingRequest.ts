import type { Timer } from '../../kernel/index.js';
import type { Dialog, IncomingRequest, Responded, ResponseFields, Source } from '../face.js';
import { responseTo } from '../message/build.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { ServerTransaction } from '../transaction/server.js';
import type { Listener } from '../transport/hop.js';
import { addUserFields, setBody } from './fields.js';
import type { CoreHost } from './host.js';

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
  },
): SipResponse => {
  const { fields, tag, listener } = parts;
  const response = responseTo(request, status, fields.reason);
  if (tag !== undefined && status > 100 && request.toTag === undefined) {
    response.set('To', `${request.header('To') ?? ''};tag=${tag}`);
  }
  if (fields.contact !== undefined) addUserFields(response, [['Contact', fields.contact]], listener.sentBy);
  else if (parts.contact) response.add('Contact', `<${listener.contactUri}>`);
  if (core.userAgent !== undefined) response.add('Server', core.userAgent);
  addUserFields(response, fields.headers, listener.sentBy);
  setBody(response, fields.body);
  return response;
};

/** How long a user may think about a request that is no INVITE: its sender gives up after 64*T1 anyway. */
const ANSWER_WITHIN_T1S = 64;

export class IncomingRequestCall implements IncomingRequest {
  readonly request: SipRequest;
  readonly source: Source;
  readonly dialog: Dialog | undefined;
  readonly #core: CoreHost;
  readonly #transaction: ServerTransaction;
  #done = false;
  #guard: Timer | undefined;

  constructor(
    core: CoreHost,
    transaction: ServerTransaction,
    request: SipRequest,
    context: { readonly source: Source; readonly dialog: Dialog | undefined },
  ) {
    this.#core = core;
    this.#transaction = transaction;
    this.request = request;
    this.source = context.source;
    this.dialog = context.dialog;
  }

  respond(status: number, fields: ResponseFields = {}): Responded {
    if (this.#done) return { ok: false, refusal: 'unknown_transaction' };
    const refreshes = status < 300 && (this.request.method === 'UPDATE' || this.request.method === 'SUBSCRIBE');
    const response = buildResponse(this.#core, this.request, status, {
      fields,
      tag: fields.toTag ?? this.#core.newTag(),
      listener: this.#transaction.path.listener,
      contact: refreshes,
    });
    if (status >= 200) {
      this.#done = true;
      this.#guard?.cancel();
    }
    this.#transaction.respond(status, response.toBuffer());
    return { ok: true, sent: response };
  }

  /** Called when the user has been told: a user that has not answered by now is watched. */
  watch(): void {
    if (this.#done) return;
    const { clock, timers } = this.#core.layer;
    this.#guard = clock.setTimer('answer_owed', ANSWER_WITHIN_T1S * timers.t1Ms, () => void this.respond(500));
  }

  /** The user threw. */
  abort(): void {
    this.respond(500);
  }
}
