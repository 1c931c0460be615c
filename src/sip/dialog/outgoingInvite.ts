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
import { byteString, detach } from '../message/text.js';
import type { ClientInviteTransaction, ClientUser } from '../transaction/clientInvite.js';
import { patienceMs } from '../transaction/timers.js';
import type { Hop, Listener, Way } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import type { InviteDialog } from './dialog.js';
import { wayBack } from './wayBack.js';
import { routeSetOf } from './routeSet.js';
import { cancelOf } from './cancel.js';
import { type CoreHost, outboundSource } from './host.js';
import {
  type InviteOrigin,
  type LaunchUser,
  hopOf,
  identityOf,
  nameContact,
  stampOutgoingVia,
  synthesise,
  withLarge,
} from './outgoing.js';

/** An ACK as it went out, to be repeated; without a hop while that is still being looked up. */
interface SentAck {
  /** A byte string: a buffer of its size would keep the 8 kB that Node cut it from. */
  text: string;
  hop: Hop | undefined;
}

/** Branches of one fork that are remembered; a callee that invents more of them is not served further. */
const MAX_FORKS = 32;

const NO_WAYS: readonly Way[] = [];

/** Stands for a user who has heard all there is to hear: the transaction outlives the call and must not keep it. */
const HEARD: OutgoingInviteListener = { onProvisional: () => {}, onAnswered: () => {}, onFailed: () => {} };

const IGNORE_ANSWER: ClientUser = { onResponse: () => {}, onTimeout: () => {}, onTransportError: () => {} };

/**
 * An INVITE or re-INVITE that we sent: RFC 3261 §13.2 and §14.1, from the first datagram to the last 2xx of the last
 * fork. It may outlive its answer, to repeat the ACK and to release late forks.
 */
export class OutgoingInviteCall implements OutgoingInvite, ClientUser, LaunchUser {
  request: SipRequest;
  readonly dialogId: string;
  source: Source;
  readonly #core: CoreHost;
  #listener: OutgoingInviteListener;
  readonly #from: Listener;
  readonly #reinviteOf: InviteDialog | undefined;
  readonly #flow: Way | undefined;
  readonly #symmetric: boolean;
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
  /** Until its ACK has gone; then the tag alone, by which a repeated 2xx is known. */
  #answeredBy: InviteDialog | undefined;
  #answeredTag: string | undefined;
  #lastRSeq: Map<string, number> | undefined;
  #ack: SentAck | undefined;
  /** Of each 2xx that nobody waited for. */
  #released: Map<string, SentAck> | undefined;

  constructor(core: CoreHost, request: SipRequest, origin: InviteOrigin, listener: OutgoingInviteListener) {
    this.#core = core;
    this.request = request;
    this.#listener = listener;
    this.#from = origin.listener;
    this.#reinviteOf = origin.dialog;
    this.#flow = origin.flow;
    this.#symmetric = origin.symmetric === true;
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
    if (way.insteadOf === undefined) nameContact(this.request, this.#from, hop);
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
    if (this.#outcome === 'answered' && this.#answeredTag === (response.toTag ?? '')) {
      return this.#repeat(this.#ack);
    }
    if (this.#outcome !== 'pending') return this.#releaseFork(response, arrival);
    const dialog = this.#reinviteOf ?? this.#earlyDialog(response, arrival) ?? this.#dialogFrom(response, arrival);
    if (dialog.state === 'terminated') {
      // Our BYE of the early dialog crossed the answer: the peer has ended it too.
      this.#releaseFork(response, arrival);
      return this.#fail(synthesise(this.#core, this.request, 487), 'timeout', undefined);
    }
    this.#settle('answered');
    this.#answeredBy = dialog;
    this.#answeredTag = dialog.remoteTag;
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
    if (this.#outcome !== 'answered' || this.#answeredBy !== dialog || this.#ack !== undefined) return undefined;
    this.#ack = { text: '', hop: undefined };
    const ack = this.#sendAck(dialog, fields, this.#ack);
    dialog.lastOut = this.#answeredBy = undefined;
    this.request = identityOf(this.request);
    if (this.#ways[this.#next - 1]?.insteadOf === undefined) this.#ways = NO_WAYS;
    if (this.#cancel !== undefined) dialog.bye('cancel_race', 'ACK-BYE due to cancel race condition');
    return ack;
  }

  /** Sends the ACK of a 2xx as soon as its way is known, and notes in `sent` what went where. */
  #sendAck(dialog: InviteDialog, fields: ResponseFields, sent: SentAck): SipRequest {
    const { request, next } = dialog.buildAck(this.#seq, fields);
    if (next === undefined) return request;
    dialog.findWaysFor(next, {
      onWays: (ways) => {
        const hop = hopOf(this.#core, ways[0] as Way);
        stampOutgoingVia(this.#core, request, hop);
        const data = request.toBuffer();
        sent.text = byteString(data, 0, data.length);
        sent.hop = hop;
        this.#core.layer.counters.requestsOut++;
        this.#core.layer.transport.send(hop, data, false);
      },
      onUnresolved: () => {},
      abandon: () => {},
    });
    return request;
  }

  /** RFC 3261 §13.2.2.4: each repeated 2xx gets the same ACK again. */
  #repeat(ack: SentAck | undefined): void {
    if (ack?.hop !== undefined) this.#core.layer.resend(ack.hop, Buffer.from(ack.text, 'latin1'), false);
  }

  /** A 2xx that nobody waits for, from another branch of a fork or after we gave up: ACK, and BYE once. */
  #releaseFork(response: SipResponse, arrival: Arrival): void {
    const tag = response.toTag ?? '';
    const known = this.#released?.get(tag);
    if (known !== undefined) return this.#repeat(known);
    this.#released ??= new Map();
    if (this.#released.size >= MAX_FORKS) return;
    const ack: SentAck = { text: '', hop: undefined };
    this.#released.set(detach(tag), ack);
    if (this.#reinviteOf !== undefined) {
      // Of a dialog that has ended: its BYE is on the way or has come.
      this.#sendAck(this.#reinviteOf, {}, ack);
      return;
    }
    const dialog = this.#early?.get(tag) ?? this.#dialogFrom(response, arrival);
    dialog.adoptAnswer(response);
    this.#sendAck(dialog, {}, ack);
    dialog.confirm();
    dialog.bye('local_bye', 'answered elsewhere');
  }

  // ------------------------------------------------------------------ CANCEL

  cancel(headers?: readonly HeaderField[]): { readonly request: SipRequest; readonly held: boolean } | undefined {
    if (this.#outcome !== 'pending' || this.#cancel !== undefined) return undefined;
    const cancel = cancelOf(this.request, headers, this.#from.sentBy);
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
      peerWay: this.#symmetric ? wayBack(arrival) : undefined,
      hop: arrival.hop,
      flow: this.#flow,
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
