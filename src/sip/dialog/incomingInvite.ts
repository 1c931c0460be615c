import type { Timer } from '../../kernel/index.js';
import type {
  IncomingInvite,
  IncomingInviteListener,
  IncomingRequest,
  Responded,
  ResponseFields,
  Source,
} from '../face.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { ServerInviteTransaction, ServerInviteUser } from '../transaction/serverInvite.js';
import { patienceMs } from '../transaction/timers.js';
import type { Arrival } from '../transport/layer.js';
import type { InviteDialog } from './dialog.js';
import { wayBack } from './wayBack.js';
import { EarlyForks, FIRST_FORK } from './earlyForks.js';
import type { CoreHost } from './host.js';
import { type IncomingRequestCall, buildResponse, tagFor } from './incomingRequest.js';
import { ReliableProvisionals, parseRAck } from './reliable.js';
import { servedParts } from './servedParts.js';

/** Who forgets an INVITE for this many Timer Cs is no longer awaited by anybody. */
const FORGOTTEN_AFTER_CS = 2;

/** An INVITE or re-INVITE that we received: RFC 3261 §13.3 and §14.2, RFC 3262 §3. */
export class IncomingInviteCall implements IncomingInvite, ServerInviteUser {
  readonly request: SipRequest;
  readonly source: Source;
  readonly isReinvite: boolean;
  symmetric = false;
  dialog: InviteDialog | undefined;
  listener: IncomingInviteListener | undefined;
  open = true;
  readonly seq: number;
  readonly #core: CoreHost;
  readonly #transaction: ServerInviteTransaction;
  readonly #arrival: Arrival;
  #tag: string | undefined;
  #ok: Buffer | undefined;
  /** A 2xx that a PRACK must precede. */
  #held: { readonly status: number; readonly data: Buffer } | undefined;
  #resendMs = 0;
  #resendTimer: Timer | undefined;
  #deadline: Timer | undefined;
  #owed: Timer | undefined;
  #reliable: ReliableProvisionals | undefined;
  /** Of an INVITE that is answered for several callees. */
  #forks: EarlyForks | undefined;

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

  /** Our To tag, the same in every answer but those of other forks; the answer to a CANCEL included. */
  get localTag(): string {
    const first = this.#forks?.current === FIRST_FORK ? undefined : this.#forks?.first;
    if (first !== undefined) return (first.tag ??= this.#core.newTag());
    return (this.#tag ??= this.#core.newTag());
  }

  /** No final answer has been sent; perhaps one is held. */
  get unanswered(): boolean {
    return this.open || this.#held !== undefined;
  }

  respond(status: number, fields: ResponseFields = {}, reliable = false): Responded {
    if (!this.open) return { ok: false, refusal: 'unknown_transaction' };
    if (this.#forks !== undefined || fields.fork !== undefined) {
      if (!this.#turn(status < 300 ? (fields.fork ?? FIRST_FORK) : FIRST_FORK, status)) {
        return { ok: false, refusal: 'unknown_transaction' };
      }
    }
    const reliably = reliable && status > 100 && status < 200;
    if (reliably && !this.#callerSpeaks100rel()) return { ok: false, refusal: 'not_100rel' };
    if (status > 100) this.#tag ??= tagFor(this.#core, fields);
    const response = this.#build(status, fields, reliably);
    const data = response.toBuffer();
    if (status < 200) {
      if (status > 100) this.#ensureDialog();
      if (reliably) this.#reliable?.send(status, data, response.body.length > 0);
      else this.#transaction.respond(status, data);
    } else if (status < 300 && this.#reliable?.blocksSuccess === true) {
      // RFC 3262 §3: the answer waits for the PRACK.
      this.open = false;
      this.#held = { status, data };
    } else {
      this.#sendFinal(status, data);
    }
    return { ok: true, sent: response };
  }

  #build(status: number, fields: ResponseFields, reliably: boolean): SipResponse {
    const response = buildResponse(this.#core, this.request, status, {
      fields,
      tag: this.#tag,
      listener: this.#transaction.path.listener,
      // RFC 3261 §12.1.1: an early dialog, too, has a target for the caller's requests.
      contact: status > 100 && status < 300,
    });
    if (reliably) {
      const name = this.#forks?.current ?? FIRST_FORK;
      const giveUp = (): void => this.#unacknowledged(name);
      this.#reliable ??= new ReliableProvisionals(this.#core, this.#transaction, this.seq, giveUp);
      response.set('RSeq', String(this.#reliable.nextRSeq()));
      if (!response.headerList('Require').includes('100rel')) response.add('Require', '100rel');
    }
    return response;
  }

  #sendFinal(status: number, data: Buffer): void {
    const success = status < 300;
    if (success) {
      const dialog = this.#ensureDialog();
      // A target refresh counts when it is accepted, RFC 3261 §12.2.2.
      if (this.isReinvite) dialog.refreshTarget(this.request);
      dialog.confirm();
    }
    this.#close();
    this.#forks?.endOthers();
    if (success) this.#awaitAck(data);
    this.#transaction.respond(status, data);
    if (!success && !this.isReinvite) this.dialog?.terminate('failed', undefined);
  }

  // ------------------------------------------------------------------ forks, RFC 3261 §12.1

  /** What is said from here on is said in this early dialog. @returns false when it is lost */
  #turn(name: string, status: number): boolean {
    const forks = (this.#forks ??= new EarlyForks());
    if (status < 300 && forks.isLost(name)) {
      // Whoever answers there is wanted by nobody, and nobody else will: the others were withdrawn when it did.
      if (status >= 200) {
        this.#owed?.cancel();
        this.#owed = this.#core.layer.clock.setTimer('fork_lost', 0, () => this.#withdraw(487));
      }
      return false;
    }
    if (name === forks.current) return true;
    const next = forks.turn(name, { tag: this.#tag, dialog: this.dialog, reliable: this.#reliable });
    this.#tag = next.tag;
    this.dialog = next.dialog;
    this.#reliable = next.reliable;
    return true;
  }

  /** RFC 3262 §3: no PRACK in 64*T1, a 5xx; of one fork of several, only that one is lost. */
  #unacknowledged(name: string): void {
    if (this.#forks?.lose(name) !== true || this.#held !== undefined) this.#withdraw(504);
  }

  /** RFC 3261 §15: the caller's BYE within an early dialog ends that one, and with the last of them the INVITE. */
  byeInEarly(dialog: InviteDialog, bye: SipRequest): void {
    const forks = this.#forks;
    if (forks?.lose(forks.nameOf(dialog)) !== true || this.#held !== undefined) this.cancelled(bye);
  }

  /**
   * Leaves the request to a proxy.
   * @returns undefined when it has been answered, or begun to be
   */
  handOver(): { readonly transaction: ServerInviteTransaction; readonly arrival: Arrival } | undefined {
    if (!this.open || this.isReinvite || this.#tag !== undefined) return undefined;
    this.open = false;
    this.#owed?.cancel();
    return { transaction: this.#transaction, arrival: this.#arrival };
  }

  /** Called when the user has been told: an INVITE that is neither answered nor withdrawn is not kept for ever. */
  watch(): void {
    if (!this.open) return;
    const { clock, timers } = this.#core.layer;
    this.#owed = clock.setTimer('answer_owed', FORGOTTEN_AFTER_CS * timers.timerCMs, () => this.#withdraw(408));
  }

  // ------------------------------------------------------------------ ends

  /** The caller's CANCEL, already answered 200. */
  cancelled(cancel: SipRequest): void {
    this.#withdraw(487, cancel);
  }

  /** Our dialog ended under a pending re-INVITE: it gets its final answer. */
  dialogEnded(): void {
    if (this.isReinvite && this.#reopen()) this.respond(487);
    this.#stopAckTimers();
  }

  /** ACK of our 2xx. */
  onAck(ack: SipRequest, arrival: Arrival): void {
    if (this.#ok === undefined) return;
    this.#stopAckTimers();
    this.#transaction.release();
    const { listener, dialog } = this;
    if (dialog?.pendingIn === this) dialog.pendingIn = undefined;
    if (!this.#core.guard(() => listener?.onAck(ack, arrival))) dialog?.bye('failed', 'internal error');
  }

  onAckTimeout(): void {
    // The caller never acknowledged a failure: RFC 3261 §17.2.1 has nothing more to do.
  }

  /** The engine stops, which its user knows: only the caller is told. */
  onTransportError(): void {
    if (this.#reopen()) this.respond(503);
    this.#stopAckTimers();
  }

  /** Ends it without the user, who then is told. */
  #withdraw(status: number, cancel?: SipRequest): void {
    if (!this.#reopen()) return;
    const { listener } = this;
    this.respond(status);
    this.#core.guard(() => listener?.onCancel(cancel));
  }

  /** True while no final answer has been sent: one that is held is taken back. */
  #reopen(): boolean {
    if (this.#held !== undefined) {
      this.#held = undefined;
      this.open = true;
    }
    return this.open;
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
  }

  #close(): void {
    this.open = false;
    this.#owed?.cancel();
    this.#owed = undefined;
    this.#reliable?.stop();
    const { dialog } = this;
    if (dialog === undefined) return;
    if (dialog.pendingIn === this) dialog.pendingIn = undefined;
    if (this.#reliable?.unacknowledged === true) dialog.lateReliable = this.#reliable;
  }

  // ------------------------------------------------------------------ PRACK, RFC 3262 §3

  #callerSpeaks100rel(): boolean {
    const tags = [...this.request.headerList('Supported'), ...this.request.headerList('Require')];
    return tags.some((tag) => tag.toLowerCase() === '100rel');
  }

  /** @returns false when it acknowledges nothing that is pending. */
  prack(call: IncomingRequestCall): boolean {
    const ours = this.#forks === undefined || call.dialog === this.dialog;
    const reliable = ours ? this.#reliable : this.#forks?.reliableOf(call.dialog);
    if (reliable === undefined || this.#ok !== undefined) return false;
    if (!reliable.acknowledge(parseRAck(call.request.header('RAck')), ours && this.#held !== undefined)) return false;
    const { listener } = this;
    if (listener?.onPrack === undefined) call.respond(200);
    else call.offer((prack: IncomingRequest) => listener.onPrack?.(prack));
    const held = this.#held;
    if (ours && held !== undefined && !reliable.blocksSuccess) {
      this.#held = undefined;
      this.#sendFinal(held.status, held.data);
    }
    return true;
  }

  // ------------------------------------------------------------------ dialog, RFC 3261 §12.1.1

  #ensureDialog(): InviteDialog {
    if (this.dialog !== undefined) return this.dialog;
    const peerWay = this.symmetric ? wayBack(this.#arrival) : undefined;
    const tag = (this.#tag ??= this.#core.newTag());
    const dialog = this.#core.newDialog(servedParts(this.request, this.#arrival, tag, peerWay));
    dialog.pendingIn = this;
    this.dialog = dialog;
    return dialog;
  }
}
