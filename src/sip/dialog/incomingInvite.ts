import type { Timer } from '../../kernel/index.js';
import type {
  IncomingInvite,
  IncomingInviteListener,
  IncomingRequest,
  Responded,
  ResponseFields,
  Source,
} from '../face.js';
import type { SipRequest } from '../message/message.js';
import type { ServerInviteTransaction, ServerInviteUser } from '../transaction/serverInvite.js';
import { patienceMs } from '../transaction/timers.js';
import type { Arrival } from '../transport/layer.js';
import type { InviteDialog } from './dialog.js';
import { routeSetOf } from './routeSet.js';
import type { CoreHost } from './host.js';
import { buildResponse } from './incomingRequest.js';

/** An INVITE or re-INVITE that we received: RFC 3261 §13.3 and §14.2, RFC 3262 §3. */
export class IncomingInviteCall implements IncomingInvite, ServerInviteUser {
  readonly request: SipRequest;
  readonly source: Source;
  readonly isReinvite: boolean;
  dialog: InviteDialog | undefined;
  listener: IncomingInviteListener | undefined;
  open = true;
  readonly seq: number;
  readonly #core: CoreHost;
  readonly #transaction: ServerInviteTransaction;
  readonly #arrival: Arrival;
  #tag: string | undefined;
  #ok: Buffer | undefined;
  #resendMs = 0;
  #resendTimer: Timer | undefined;
  #deadline: Timer | undefined;
  #reliable: { readonly rseq: number; readonly data: Buffer; timer: Timer | undefined; waitMs: number } | undefined;
  #rseq = 0;

  constructor(
    core: CoreHost,
    transaction: ServerInviteTransaction,
    request: SipRequest,
    context: { readonly arrival: Arrival; readonly dialog: InviteDialog | undefined },
  ) {
    this.#core = core;
    this.#transaction = transaction;
    this.request = request;
    this.#arrival = context.arrival;
    this.source = context.arrival;
    this.dialog = context.dialog;
    this.isReinvite = context.dialog !== undefined;
    this.seq = request.cseq.seq;
    transaction.user = this;
  }

  /** Our To tag, the same in every answer, the one to a CANCEL included. */
  get localTag(): string {
    return (this.#tag ??= this.#core.newTag());
  }

  respond(status: number, fields: ResponseFields = {}, reliable = false): Responded {
    if (!this.open) return { ok: false, refusal: 'unknown_transaction' };
    // Not by our own 100, which has no tag: the user's first response may choose it.
    if (status > 100) this.#tag ??= fields.toTag ?? this.#core.newTag();
    const provisional = status < 200;
    if (reliable && provisional && !this.#callerSpeaks100rel()) return { ok: false, refusal: 'not_100rel' };
    const success = status >= 200 && status < 300;
    const response = buildResponse(this.#core, this.request, status, {
      fields,
      tag: this.#tag,
      listener: this.#transaction.path.listener,
      contact: success || reliable || (this.isReinvite && status > 100),
    });
    if (reliable && provisional) {
      this.#rseq = this.#rseq === 0 ? 1 + Math.floor(this.#core.layer.random.float() * 0x7fff_0000) : this.#rseq + 1;
      response.set('RSeq', String(this.#rseq));
      if (!response.headerList('Require').includes('100rel')) response.add('Require', '100rel');
    }
    if (status > 100 && status < 300) this.#ensureDialog(success);
    const data = response.toBuffer();
    if (reliable && provisional) this.#repeatReliably(data);
    else if (!provisional) this.#close();
    if (success) this.#awaitAck(data);
    this.#transaction.respond(status, data);
    if (status >= 300 && !this.isReinvite) this.dialog?.terminate('failed', undefined);
    return { ok: true, sent: response };
  }

  // ------------------------------------------------------------------ ends

  /** The caller's CANCEL, already answered 200. */
  cancelled(cancel: SipRequest): void {
    if (!this.open) return;
    const { listener } = this;
    this.respond(487);
    this.#core.guard(() => listener?.onCancel(cancel));
  }

  /** Our dialog ended under a pending re-INVITE: it gets its final answer. */
  dialogEnded(): void {
    if (this.open && this.isReinvite) this.respond(487);
    this.#stopAckTimers();
  }

  /** ACK of our 2xx. */
  onAck(ack: SipRequest, arrival: Arrival): void {
    if (this.#ok === undefined) return;
    this.#stopAckTimers();
    this.#transaction.release();
    if (this.dialog?.pendingIn === this) this.dialog.pendingIn = undefined;
    const { listener } = this;
    this.#core.guard(() => listener?.onAck(ack, arrival));
  }

  onAckTimeout(): void {
    // The caller never acknowledged a failure: RFC 3261 §17.2.1 has nothing more to do.
  }

  // ------------------------------------------------------------------ 2xx, RFC 3261 §13.3.1.4

  #awaitAck(data: Buffer): void {
    const { clock, timers } = this.#core.layer;
    this.#ok = data;
    this.#resendMs = timers.t1Ms;
    this.#resendTimer = clock.setTimer('2xx', this.#resendMs, this.#resendOk);
    this.#deadline = clock.setTimer('2xx_ack', patienceMs(timers), this.#giveUp);
    if (this.dialog !== undefined) this.dialog.pendingIn = this;
  }

  readonly #resendOk = (): void => {
    if (this.#ok === undefined) return;
    const { clock, timers } = this.#core.layer;
    this.#core.layer.replyAgain(this.#transaction.path, this.#ok);
    this.#resendMs = Math.min(this.#resendMs * 2, timers.t2Ms);
    this.#resendTimer = clock.setTimer('2xx', this.#resendMs, this.#resendOk);
  };

  readonly #giveUp = (): void => {
    this.#stopAckTimers();
    this.dialog?.bye('ack_timeout', 'ACK timeout');
  };

  #stopAckTimers(): void {
    this.#resendTimer?.cancel();
    this.#deadline?.cancel();
    this.#resendTimer = this.#deadline = undefined;
    this.#ok = undefined;
    this.#stopReliable();
  }

  #close(): void {
    this.open = false;
    this.#stopReliable();
    if (this.dialog?.pendingIn === this) this.dialog.pendingIn = undefined;
  }

  // ------------------------------------------------------------------ reliable provisionals, RFC 3262 §3

  #callerSpeaks100rel(): boolean {
    const tags = [...this.request.headerList('Supported'), ...this.request.headerList('Require')];
    return tags.some((tag) => tag.toLowerCase() === '100rel');
  }

  #repeatReliably(data: Buffer): void {
    this.#stopReliable();
    const { clock, timers } = this.#core.layer;
    const pending = { rseq: this.#rseq, data, timer: undefined as Timer | undefined, waitMs: timers.t1Ms };
    const startedMs = clock.nowMs();
    const repeat = (): void => {
      if (clock.nowMs() - startedMs >= patienceMs(timers)) {
        this.#stopReliable();
        this.respond(504); // §3: no PRACK in 64*T1, a 5xx
        this.#core.guard(() => this.listener?.onCancel(undefined));
        return;
      }
      this.#core.layer.replyAgain(this.#transaction.path, data);
      pending.waitMs *= 2;
      pending.timer = clock.setTimer('rel1xx', pending.waitMs, repeat);
    };
    pending.timer = clock.setTimer('rel1xx', pending.waitMs, repeat);
    this.#reliable = pending;
  }

  #stopReliable(): void {
    this.#reliable?.timer?.cancel();
    this.#reliable = undefined;
  }

  /** @returns false when it acknowledges nothing that is pending: 481. */
  prack(call: IncomingRequest): boolean {
    const [rseq, cseq, method] = (call.request.header('RAck') ?? '').split(/[ \t]+/, 3);
    const pending = this.#reliable;
    if (pending === undefined || Number(rseq) !== pending.rseq || Number(cseq) !== this.seq || method !== 'INVITE') {
      return false;
    }
    this.#stopReliable();
    const { listener } = this;
    if (listener?.onPrack !== undefined) listener.onPrack(call);
    else call.respond(200);
    return true;
  }

  // ------------------------------------------------------------------ dialog, RFC 3261 §12.1.1

  #ensureDialog(confirmed: boolean): void {
    const { request } = this;
    if (this.dialog === undefined) {
      const tag = this.localTag;
      this.dialog = this.#core.newDialog({
        id: `${request.callId};from-tag=${request.fromTag ?? ''}`,
        callId: request.callId,
        localTag: tag,
        remoteTag: request.fromTag ?? '',
        localField: `${request.header('To') ?? ''};tag=${tag}`,
        remoteField: request.header('From') ?? '',
        remoteTarget: request.contact?.uri ?? request.from.uri,
        routeSet: routeSetOf(request, false),
        localSeq: 0,
        remoteSeq: this.seq,
        listener: this.#arrival.listener,
        hop: this.#arrival.hop,
      });
      this.dialog.pendingIn = this;
    } else if (confirmed && this.isReinvite) {
      this.dialog.refreshTarget(request);
    }
    if (confirmed) this.dialog.confirm();
  }
}
