import { type Clock, NOT_LISTED, type RosterMember, type Timer } from '../kernel/index.js';
import {
  type Dialog,
  type DialogEnd,
  type DialogListener,
  type IncomingInvite,
  type IncomingRequest,
  type OutgoingInvite,
  SipRequest,
  type SipResponse,
  type Source,
} from '../sip/index.js';
import type { AppConnection } from './connection.js';
import { dialogToken, ourEnd, timeOfDay, unsolicitedLeader } from './envelope.js';
import { type Records, stopReasonOf } from './records.js';
import { MIN_SECONDS, SessionTimer, isTooBrief } from './sessionTimer.js';
import { SubscriptionUsage } from './subscriptions.js';

/** Longer than any retry of a BYE with credentials takes. */
const BYE_RETRY_MS = 32_000;
/** Unlike 481 it leaves the peer its dialog (RFC 5057 §5.1). */
const OWNER_GONE = 480;

/** How requests from the network reach an application. */
export interface Inbound {
  /** @param dialogId empty outside dialogs. */
  request(owner: AppConnection, request: IncomingRequest, dialogId: string): void;
  /** @param entry the dialog of a re-INVITE. */
  invite(owner: AppConnection, invite: IncomingInvite, entry: DialogEntry | undefined): void;
}

/** Where dialogs are kept. */
export interface DialogHome {
  readonly clock: Clock;
  readonly records: Records;
  readonly inbound: Inbound;
  /** BYEs of our own that await an answer. */
  releasing: number;
  addDialog(entry: DialogEntry): void;
  removeDialog(entry: DialogEntry): void;
}

export interface DialogOrigin {
  /** Which side of its first request we are. */
  readonly role: 'uas' | 'uac';
  /** `<Call-ID>;from-tag=<tag>` */
  readonly id: string;
  readonly callId: string;
  /** Of the first INVITE: tells our end of the path. */
  readonly source: Source;
}

interface Fork {
  readonly dialog: Dialog;
  /** RSeq of the last provisional, if it was reliable. */
  readonly rseq: number | undefined;
}

/** A copy that does not keep the packet alive from which the text was cut. */
const owned = (text: string): string => Buffer.from(text, 'latin1').toString('latin1');

/**
 * A dialog under the id that its application knows. It exists from the first response (server) or from the INVITE
 * (client) on; the early dialogs of a forked INVITE share one entry.
 */
export class DialogEntry implements DialogListener, RosterMember {
  readonly id: string;
  /** Among those of its owner. */
  place = NOT_LISTED;
  readonly role: 'uas' | 'uac';
  /** Our end of the path. */
  local: Source;
  owner: AppConnection;
  /** The confirmed dialog. */
  dialog: Dialog | undefined;
  /** INVITE of ours under way: the first one or a re-INVITE. */
  invite: OutgoingInvite | undefined;
  /** Its 2xx had no Contact, so the application cannot use it: it is released once acknowledged. */
  releaseAfterAck = false;
  readonly session: SessionTimer;
  /** Of a dialog that SUBSCRIBE made; undefined: it is a call. */
  usage: SubscriptionUsage | undefined;
  /** The SUBSCRIBE that made it has no answer yet: its application does not know it. */
  unanswered = false;
  readonly #home: DialogHome;
  readonly #callId: string;
  readonly #forks = new Map<string, Fork>();
  /** Told when the ACK of our 2xx can no longer come. */
  #onAckLost: (() => void) | undefined;
  #updateHeld = false;
  #hangupReason: string | undefined;
  #hangupWaiting = false;
  #byeRetry: Timer | undefined;

  constructor(home: DialogHome, owner: AppConnection, origin: DialogOrigin) {
    this.#home = home;
    this.owner = owner;
    this.id = owned(dialogToken(origin.id));
    this.#callId = owned(origin.callId);
    this.role = origin.role;
    this.local = origin.source;
    this.session = new SessionTimer({
      clock: home.clock,
      dialog: () => this.dialog,
      expired: () => this.#sessionExpired(),
    });
    home.addDialog(this);
  }

  /** The dialog that an application's request goes out on: the confirmed one, else the latest early one. */
  get target(): Dialog | undefined {
    return this.dialog ?? [...this.#forks.values()].at(-1)?.dialog;
  }

  /** @param rseq of the reliable provisional that brought or repeated it (RFC 3262 §4). */
  early(dialog: Dialog, rseq?: number): void {
    dialog.listener = this;
    this.#forks.set(dialog.remoteTag, { dialog, rseq });
  }

  /** Makes it a dialog of subscriptions. It is over with the last of them. */
  subscribe(): SubscriptionUsage {
    return (this.usage ??= new SubscriptionUsage(this.#home.clock, () => this.discard()));
  }

  /** Forgets it, without a word to anybody. */
  discard(): void {
    this.remove();
    this.dialog?.end();
  }

  onEstablished(dialog: Dialog): void {
    this.confirm(dialog);
  }

  confirm(dialog: Dialog): void {
    dialog.listener = this;
    this.dialog = dialog;
    this.#forks.clear();
  }

  /** The early dialog whose reliable provisional a PRACK acknowledges. */
  prackTarget(rseq: number): Dialog | undefined {
    for (const fork of this.#forks.values()) if (fork.rseq === rseq) return fork.dialog;
    return this.target;
  }

  /** Our 2xx went out. `onLost` is called if the dialog ends before the ACK. */
  awaitAck(onLost: () => void): void {
    this.#onAckLost = onLost;
  }

  ackReceived(): void {
    this.#onAckLost = undefined;
    this.#hangupWaits(false);
    if (this.#hangupReason !== undefined) this.hangup(this.#hangupReason);
  }

  /** An end that waits for the ACK is one under way: who stops the engine waits for it too. */
  #hangupWaits(waits: boolean): void {
    if (this.#hangupWaiting === waits) return;
    this.#hangupWaiting = waits;
    this.#home.releasing += waits ? 1 : -1;
  }

  remove(): void {
    this.#byeRetry?.cancel();
    this.usage?.stop();
    this.session.stop();
    this.#hangupWaits(false);
    this.#home.removeDialog(this);
    const lost = this.#onAckLost;
    this.#onAckLost = undefined;
    lost?.();
  }

  /** Ends the dialog on behalf of an application that cannot. */
  hangup(reason = 'application connection lost'): void {
    this.#hangupReason = reason;
    // RFC 3261 §15: the callee must not send BYE before the ACK. Without one the engine ends the dialog by itself.
    if (this.dialog === undefined) return;
    if (this.#onAckLost !== undefined) return this.#hangupWaits(true);
    if (this.usage !== undefined) return this.#unsubscribe(this.dialog, this.usage);
    this.dialog.ack();
    this.invite?.cancel();
    const fields = { headers: [['Reason', `SIP;cause=200;text="${reason}"`]] as const };
    const onResponse = (response: SipResponse): void => {
      if (response.status >= 200) this.#home.releasing--;
    };
    this.#home.releasing++;
    const bye = this.dialog.request('BYE', fields, { onResponse });
    if ('refusal' in bye) this.#home.releasing--;
    else this.#home.records.stop('application', 'system-initiated-termination', bye.request);
    this.remove();
  }

  /** RFC 4028 §10: the call ends, and its application hears of it as of any end that it did not ask for. */
  #sessionExpired(): void {
    const reason = ['Reason', 'SIP;cause=200;text="Session timer expired"'] as const;
    const sent = this.dialog?.request('BYE', { headers: [reason] }, { onResponse: () => undefined });
    this.remove();
    if (sent !== undefined && 'request' in sent) this.#tellEnded('failed', sent.request);
  }

  /** RFC 6665 §4.1.2.3 and §4.2.2: the other side is told that nobody is there any more. */
  #unsubscribe(dialog: Dialog, usage: SubscriptionUsage): void {
    const method = this.role === 'uac' ? 'SUBSCRIBE' : 'NOTIFY';
    const how = this.role === 'uac' ? ['Expires', '0'] : ['Subscription-State', 'terminated;reason=deactivated'];
    for (const event of usage.events) {
      const headers = [['Event', event] as const, how as unknown as readonly [string, string]];
      dialog.request(method, { headers }, { onResponse: () => undefined });
    }
    this.discard();
  }

  /** The BYE that the application sent was challenged: it may come again with credentials. */
  awaitByeRetry(): void {
    this.#byeRetry?.cancel();
    this.#byeRetry = this.#home.clock.setTimer('drachtio bye retry', BYE_RETRY_MS, () => this.remove());
  }

  onRequest(request: IncomingRequest): void {
    const method = request.request.method;
    if (!this.owner.open) {
      request.respond(method === 'BYE' ? 200 : OWNER_GONE);
      return;
    }
    if (method === 'UPDATE' && isTooBrief(request.request)) {
      request.respond(422, { headers: [['Min-SE', String(MIN_SECONDS)]] });
      return;
    }
    if (this.unanswered) {
      this.owner.outstanding.whenIdle(this.#callId, () => this.#home.inbound.request(this.owner, request, this.id));
      return;
    }
    if (method !== 'UPDATE' || this.dialog === undefined) {
      this.#home.inbound.request(this.owner, request, this.id);
      return;
    }
    // RFC 3311 §5.2: one at a time.
    if (this.#updateHeld) {
      request.respond(500, { headers: [['Retry-After', '3']] });
      return;
    }
    this.#updateHeld = true;
    // A drachtio-srf program with a request under way takes an UPDATE for one that belongs to that request, and
    // never answers it.
    this.owner.outstanding.whenIdle(this.#callId, () => {
      this.#updateHeld = false;
      if (this.dialog?.state === 'terminated' || !this.owner.open) request.respond(487);
      else this.#home.inbound.request(this.owner, request, this.id);
    });
  }

  onInvite(invite: IncomingInvite): void {
    // RFC 4028 §6.
    if (isTooBrief(invite.request)) invite.respond(422, { headers: [['Min-SE', String(MIN_SECONDS)]] });
    else if (this.owner.open) this.#home.inbound.invite(this.owner, invite, this);
    else invite.respond(OWNER_GONE);
  }

  onTerminated(end: DialogEnd, message: SipRequest | undefined): void {
    // An application's own BYE: the entry stays until its outcome is known, for the sake of a challenge.
    if (end === 'local_bye') return;
    this.remove();
    if (this.usage !== undefined) return;
    const last = message ?? this.#impliedBye(end);
    this.#tellEnded(end, last);
  }

  #tellEnded(end: DialogEnd, last: SipRequest): void {
    const source = end === 'remote_bye' ? 'network' : 'application';
    this.#home.records.stop(source, stopReasonOf(end, last.header('Reason')), last);
    if (end === 'remote_bye' || end === 'shutdown') return;
    const bytes = last.toBuffer();
    const leader = unsolicitedLeader(ourEnd(this.local, bytes.length), timeOfDay(this.#home.clock), this.id);
    this.owner.send(leader, bytes);
  }

  /** The dialog ended without a BYE; the application understands nothing else. */
  #impliedBye(end: DialogEnd): SipRequest {
    const uri = this.dialog?.remoteTarget ?? 'sip:invalid';
    const bye = new SipRequest('BYE', uri);
    bye.set('From', `<sip:${this.local.localAddress}>;tag=${this.dialog?.localTag ?? ''}`);
    bye.set('To', `<${uri}>;tag=${this.dialog?.remoteTag ?? ''}`);
    bye.set('Call-ID', this.#callId).set('CSeq', '1 BYE');
    return bye.set('Reason', `SIP;cause=481;text="dialog ${end}"`);
  }
}
