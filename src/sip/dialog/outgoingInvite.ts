import type { Timer } from '../../kernel/index.js';
import type {
  HeaderField,
  OutgoingInvite,
  OutgoingInviteListener,
  ResponseFields,
  ResponseOrigin,
  Source,
} from '../face.js';
import { isSipUri } from '../locate/nextHop.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import { detach } from '../message/text.js';
import type { ClientInviteTransaction, ClientUser } from '../transaction/clientInvite.js';
import { patienceMs } from '../transaction/timers.js';
import type { Way } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import type { InviteDialog } from './dialog.js';
import { LateAnswers, MAX_FORKS } from './lateAnswers.js';
import { wayBack } from './wayBack.js';
import { routeSetOf } from './routeSet.js';
import { cancelOf } from './cancel.js';
import { type CoreHost, outboundSource } from './host.js';
import {
  type InviteOrigin,
  type LaunchUser,
  hopOf,
  nameContact,
  stampOutgoingVia,
  synthesise,
  withLarge,
} from './outgoing.js';

/** Stands for a user who has heard all there is to hear: who holds the INVITE must not keep him. */
const HEARD: OutgoingInviteListener = { onProvisional: () => {}, onAnswered: () => {}, onFailed: () => {} };

const IGNORE_ANSWER: ClientUser = { onResponse: () => {}, onTimeout: () => {}, onTransportError: () => {} };

/**
 * An INVITE or re-INVITE that we sent: RFC 3261 §13.2 and §14.1, from the first datagram to the ACK. What comes after
 * that is for its LateAnswers.
 */
export class OutgoingInviteCall implements OutgoingInvite, ClientUser, LaunchUser {
  readonly request: SipRequest;
  readonly dialogId: string;
  source: Source;
  readonly #core: CoreHost;
  #listener: OutgoingInviteListener;
  readonly #reinviteOf: InviteDialog | undefined;
  readonly #origin: InviteOrigin;
  readonly #seq: number;
  #transaction: ClientInviteTransaction | undefined;
  #ways: readonly Way[] = [];
  #next = 0;
  #outcome: 'pending' | 'answered' | 'failed' = 'pending';
  /** Of the target tried last. */
  #provisional = false;
  /** Somebody was reached: more than 100 Trying has come. */
  #reached = false;
  #cancel: { readonly request: SipRequest; sent: boolean } | undefined;
  #timer: Timer | undefined;
  #early: Map<string, InviteDialog> | undefined;
  /** From its 2xx until our ACK. */
  #answeredBy: InviteDialog | undefined;
  #lastRSeq: Map<string, number> | undefined;
  #late: LateAnswers | undefined;

  constructor(core: CoreHost, request: SipRequest, origin: InviteOrigin, listener: OutgoingInviteListener) {
    this.#core = core;
    this.request = request;
    this.#listener = listener;
    this.#origin = origin;
    this.#reinviteOf = origin.dialog;
    this.#seq = request.cseq.seq;
    this.dialogId = origin.dialog?.id ?? detach(`${request.callId};from-tag=${request.fromTag ?? ''}`);
    this.source = outboundSource(origin.listener, undefined, 0);
  }

  // ------------------------------------------------------------------ launch

  onWays(ways: readonly Way[]): void {
    this.#ways = ways;
    this.#launch();
  }

  /** May come within the call that made us: nobody is told before that has returned. */
  onUnresolved(): void {
    this.#core.unlaunched.add(this);
    this.#timer = this.#core.layer.clock.setTimer('unresolved', 0, () => {
      this.#core.unlaunched.delete(this);
      this.#fail(synthesise(this.#core, this.request, 503, 'DNS Error'), 'dns', undefined);
    });
  }

  abandon(): void {
    this.#core.unlaunched.delete(this);
    this.#fail(synthesise(this.#core, this.request, 503), 'transport', undefined);
  }

  #launch(): void {
    if (this.#outcome !== 'pending') return;
    if (this.#cancel !== undefined) return this.#fail(synthesise(this.#core, this.request, 487), 'timeout', undefined);
    this.#provisional = false;
    this.#timer?.cancel();
    if (this.#core.large !== undefined) this.#ways = withLarge(this.#core, this.request, this.#ways, this.#next);
    const way = this.#ways[this.#next++] as Way;
    const hop = hopOf(this.#core, way);
    // Too long for UDP now, but a dialog over UDP: its Contact stays.
    if (way.insteadOf === undefined) nameContact(this.request, this.#origin.listener, hop);
    const branch = stampOutgoingVia(this.#core, this.request, hop);
    this.source = outboundSource(hop.listener, hop, 0);
    this.#transaction = this.#core.layer.sendInvite(this.request, branch, hop, this);
  }

  // ------------------------------------------------------------------ answers

  onResponse(response: SipResponse, arrival: Arrival): void {
    if (response.status < 200) return this.#onProvisional(response, arrival);
    if (this.#outcome !== 'pending') this.#timer?.cancel();
    if (response.status < 300) this.#onSuccess(response, arrival);
    else if (response.status === 503 && this.#another()) this.#launch();
    else this.#fail(response, 'network', arrival);
  }

  onTimeout(): void {
    if (this.#another()) this.#launch();
    else this.#fail(synthesise(this.#core, this.request, 408), 'timeout', undefined);
  }

  onTransportError(code: string): void {
    if (this.#outcome !== 'pending') {
      this.#timer?.cancel();
      return;
    }
    this.#core.large?.refused(this.#ways[this.#next - 1] as Way, code);
    // Whoever lost its connection after a 100 may be ringing by now: that call is not made twice.
    if (!this.#provisional && this.#goesOn()) this.#launch();
    else this.#fail(synthesise(this.#core, this.request, 503), 'transport', undefined);
  }

  /** As below; who was reached over TCP in place of UDP is not asked once more over UDP. */
  #another(): boolean {
    if (this.#ways[this.#next - 1]?.insteadOf !== undefined) this.#next++;
    return this.#goesOn();
  }

  /** RFC 3263 §4.3: there is another target, and nobody was reached yet. Each gets a branch of its own. */
  #goesOn(): boolean {
    const pending = this.#outcome === 'pending' && !this.#reached && this.#cancel === undefined;
    return pending && this.#next < this.#ways.length && !this.#core.stopped();
  }

  #onProvisional(response: SipResponse, arrival: Arrival): void {
    if (this.#outcome !== 'pending') return this.#letGo();
    this.#provisional = true;
    if (this.#cancel !== undefined) {
      if (!this.#cancel.sent) this.#sendCancel();
    } else {
      this.#startTimerC();
    }
    if (response.status === 100) {
      const { onTrying } = this.#listener;
      if (onTrying !== undefined) this.#core.guard(() => onTrying.call(this.#listener, response, arrival));
      return;
    }
    this.#reached = true;
    if (this.#repeatsReliable(response)) return;
    const dialog = this.#reinviteOf ?? this.#earlyDialog(response, arrival);
    this.#core.guard(() => this.#listener.onProvisional(response, dialog, arrival));
  }

  #onSuccess(response: SipResponse, arrival: Arrival): void {
    // Its ACK is not due before the user sends it.
    if (this.#answeredBy !== undefined && this.#answeredBy.remoteTag === (response.toTag ?? '')) return;
    if (this.#outcome !== 'pending') return this.#release(response, arrival);
    const dialog = this.#reinviteOf ?? this.#earlyDialog(response, arrival) ?? this.#dialogFrom(response, arrival);
    if (dialog.state === 'terminated') {
      // Our BYE of the early dialog crossed the answer: the peer has ended it too.
      this.#release(response, arrival, dialog);
      return this.#fail(synthesise(this.#core, this.request, 487), 'timeout', undefined);
    }
    this.#settle('answered');
    this.#answeredBy = dialog;
    if (this.#reinviteOf === undefined) {
      dialog.adoptAnswer(response);
      this.#dropEarly(dialog);
    } else {
      dialog.refreshTarget(response); // RFC 3261 §12.2.1.2
    }
    dialog.confirm();
    dialog.lastOut = this;
    const listener = this.#listener;
    this.#listener = HEARD;
    const heard = this.#core.guard(() => listener.onAnswered(response, dialog, arrival));
    if (!heard) dialog.bye('failed', 'internal error');
  }

  #fail(response: SipResponse, origin: ResponseOrigin, source: Source | undefined): void {
    if (this.#outcome !== 'pending') return;
    this.#settle('failed');
    if (origin !== 'network') this.#letGo();
    this.#dropEarly(undefined);
    this.#core.guard(() => this.#listener.onFailed(response, origin, source));
    // RFC 3261 §12.2.1.2: the peer has forgotten the dialog, or nobody is there.
    const status = response.status;
    if (this.#reinviteOf !== undefined && (status === 481 || status === 408)) {
      this.#reinviteOf.bye('lost', 'dialog lost');
    }
  }

  /** A transaction that nobody waits for stays a while for the peer's late answer, RFC 3261 §9.1. */
  #letGo(): void {
    const transaction = this.#transaction;
    if (transaction?.state !== 'proceeding' || this.#timer?.active === true || this.#core.stopped()) return;
    const { clock, timers } = this.#core.layer;
    this.#timer = clock.setTimer('abandoned_invite', patienceMs(timers), () => transaction.dispose());
  }

  #settle(outcome: 'answered' | 'failed'): void {
    this.#outcome = outcome;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#reinviteOf?.pendingOut === this) this.#reinviteOf.pendingOut = undefined;
  }

  /** The dialog of a re-INVITE ended before its answer: 487 as if it had been withdrawn. */
  dialogEnded(): void {
    this.#fail(synthesise(this.#core, this.request, 487), 'timeout', undefined);
  }

  // ------------------------------------------------------------------ ACK

  /** @returns the ACK; undefined when no 2xx is unacknowledged. */
  acknowledge(dialog: InviteDialog, fields: ResponseFields): SipRequest | undefined {
    const transaction = this.#transaction;
    if (this.#answeredBy !== dialog || transaction === undefined) return undefined;
    const late = this.#lateAnswers(transaction);
    const ack = late.acknowledge(dialog, this.#seq, fields);
    dialog.lastOut = this.#answeredBy = undefined;
    transaction.leaveTo(late);
    if (this.#cancel !== undefined) dialog.bye('cancel_race', 'ACK-BYE due to cancel race condition');
    return ack;
  }

  #lateAnswers({ hop }: ClientInviteTransaction): LateAnswers {
    const listener = this.#ways[this.#next - 1]?.insteadOf ?? hop.listener;
    return (this.#late ??= new LateAnswers(this.#core, this.#origin, this.dialogId, { hop, listener }));
  }

  /** A 2xx that nobody waits for: of another branch of a fork, or after we gave up. */
  #release(response: SipResponse, arrival: Arrival, early?: InviteDialog): void {
    if (this.#transaction !== undefined) this.#lateAnswers(this.#transaction).release(response, arrival, early);
  }

  // ------------------------------------------------------------------ CANCEL

  cancel(headers?: readonly HeaderField[]): { readonly request: SipRequest; readonly held: boolean } | undefined {
    if (this.#outcome !== 'pending' || this.#cancel !== undefined) return undefined;
    const cancel = cancelOf(this.request, headers, this.#origin.listener.sentBy);
    this.#cancel = { request: cancel, sent: false };
    if (this.#provisional) this.#sendCancel();
    return { request: cancel, held: !this.#cancel.sent };
  }

  #sendCancel(): void {
    const cancel = this.#cancel;
    const transaction = this.#transaction;
    if (cancel === undefined || transaction === undefined) return;
    cancel.sent = true;
    this.#timer?.cancel();
    const via = this.request.header('Via') ?? '';
    if (cancel.request.count('Via') === 0) cancel.request.prepend('Via', via);
    else cancel.request.replaceTopVia(via);
    const branch = this.request.topVia.branch ?? '';
    this.#core.layer.sendRequest(cancel.request, branch, transaction.hop, IGNORE_ANSWER);
    // §9.1: without a final answer in 64*T1 the request counts as cancelled.
    this.#timer = this.#core.layer.clock.setTimer('cancelled_invite', patienceMs(this.#core.layer.timers), () =>
      this.#fail(synthesise(this.#core, this.request, 487), 'timeout', undefined),
    );
  }

  /** RFC 3261 §16.6 step 11: who rings for ever is cancelled. */
  #startTimerC(): void {
    this.#timer?.cancel();
    this.#timer = this.#core.layer.clock.setTimer('C', this.#core.layer.timers.timerCMs, () => void this.cancel());
  }

  // ------------------------------------------------------------------ early dialogs

  #earlyDialog(response: SipResponse, arrival: Arrival): InviteDialog | undefined {
    const tag = response.toTag;
    if (tag === undefined) return undefined;
    let dialog = this.#early?.get(tag);
    if (dialog === undefined) {
      if (response.status < 200 && (this.#early?.size ?? 0) >= MAX_FORKS) return undefined;
      dialog = this.#dialogFrom(response, arrival);
      (this.#early ??= new Map()).set(dialog.remoteTag, dialog);
    } else if (response.status < 200) {
      dialog.refreshTarget(response);
    }
    return dialog;
  }

  #dialogFrom(response: SipResponse, arrival: Arrival): InviteDialog {
    const contact = response.contact;
    return this.#core.newDialog({
      id: this.dialogId,
      callId: this.request.callId,
      localTag: this.request.fromTag ?? '',
      remoteTag: response.toTag ?? '',
      localField: this.request.header('From') ?? '',
      remoteField: response.header('To') ?? '',
      remoteTarget: contact !== undefined && isSipUri(contact.uri) ? contact.uri : this.request.uri,
      routeSet: routeSetOf(response, true),
      localSeq: this.#seq,
      remoteSeq: undefined,
      listener: this.#ways[this.#next - 1]?.insteadOf ?? this.#transaction?.hop.listener ?? arrival.listener,
      peerAddress: arrival.address,
      peerWay: this.#origin.symmetric === true ? wayBack(arrival) : undefined,
      hop: arrival.hop,
      flow: this.#origin.flow,
    });
  }

  #dropEarly(except: InviteDialog | undefined): void {
    if (this.#early === undefined) return;
    for (const dialog of this.#early.values()) if (dialog !== except) dialog.terminate('failed', undefined);
    this.#early = undefined;
  }

  /** RFC 3262 §4: a reliable provisional counts once, and only in its turn. */
  #repeatsReliable(response: SipResponse): boolean {
    const value = response.header('RSeq');
    if (value === undefined) return false;
    const rseq = Number(value);
    if (!Number.isInteger(rseq)) return false;
    const tag = response.toTag ?? '';
    const last = this.#lastRSeq?.get(tag);
    if (last !== undefined && rseq !== last + 1) return true;
    if (last === undefined && (this.#lastRSeq?.size ?? 0) >= MAX_FORKS) return true;
    (this.#lastRSeq ??= new Map()).set(detach(tag), rseq);
    return false;
  }
}
