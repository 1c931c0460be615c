import type {
  Content,
  HeaderEntry,
  InDialogRequest,
  InDialogSpec,
  Leg,
  LegEnd,
  LegEvents,
  ReinviteOutcome,
  RequestOutcome,
  ResponseSpec,
} from '../port.js';
import { type Challenge, canAnswer } from '../challenge.js';
import type { LegLogin } from '../legLogin.js';
import { SrfInDialogRequest, SrfReinvite, isLocal, sendAck, sendResponse } from './srfExchange.js';
import { type SrfFault, type SrfLink, isFault } from './srfLink.js';
import { type SrfMessage, readMessage } from './srfMessage.js';
import { dialogIdOf, srfContent, toSrf, fromSrf } from './srfText.js';
import type { SrfRequest, SrfRequestOptions, SrfResponse } from './srfTypes.js';

export interface LegContext {
  readonly link: SrfLink;
  /** The leg has nothing left to do: frames of its dialog need not find it any more. */
  release(leg: SrfLeg): void;
  /** A request that srf gave to the wrong leg, as it looks at the Call-ID alone. */
  dispatch(request: SrfRequest, response: SrfResponse): void;
  /** A CANCEL of a first INVITE; srf looks at the Call-ID alone here, too. */
  cancelled(cancel: SrfMessage): void;
}

export interface LegIdentity {
  /** `uas` for the caller's leg. */
  readonly role: 'uas' | 'uac';
  readonly callId: string;
  /** From tag of the first INVITE. */
  readonly fromTag: string;
}

/** A request of ours that waits for its outcome. */
interface Outstanding {
  settle(outcome: RequestOutcome): void;
}

/** In-dialog URIs are the server's: it puts the remote target here. */
const REMOTE_TARGET = 'sip:placeholder';

/**
 * What both legs share: everything within the dialog. srf's own Dialog is not used: it exists only after a promise has
 * resolved, and loses what arrives before. A leg is found by its dialog id from the first packet on.
 */
export abstract class SrfLeg implements Leg {
  readonly id: string;
  readonly callId: string;
  readonly role: 'uas' | 'uac';
  readonly dialogId: string;
  protected readonly link: SrfLink;
  protected readonly context: LegContext;
  /** Deliveries held until `invite()` or `onInvite` has returned. */
  #held: (() => void)[] | undefined = [];
  #confirmed = false;
  #ended = false;
  readonly #outstanding = new Set<Outstanding>();
  readonly #received = new Map<number, SrfReinvite>();
  /** 2xx of our INVITE or re-INVITE that the application has not acknowledged yet. */
  #unacknowledged: SrfResponse | undefined;
  #reinviting = false;
  /** Of a called leg that has credentials. */
  protected login: LegLogin | undefined;

  constructor(context: LegContext, identity: LegIdentity) {
    this.context = context;
    this.link = context.link;
    this.role = identity.role;
    this.callId = identity.callId;
    this.dialogId = dialogIdOf(identity.callId, identity.fromTag);
    this.id = this.link.random.hex(6);
  }

  abstract get localTag(): string;
  abstract get remoteTag(): string;
  protected abstract get sink(): LegEvents;
  /** The ACK of our 2xx to the first INVITE has come (uas). */
  protected abstract onFirstAck(ack: SrfMessage): void;
  /** The peer ended a dialog that was never confirmed. */
  protected abstract onEarlyBye(bye: SrfMessage): void;
  /** The server sent BYE by itself. */
  protected abstract onServerBye(reason: string, bye: SrfMessage): void;
  /** The control connection is gone, or the port stops. */
  abstract onEngineLost(): void;
  /** PRACK of a provisional of ours. */
  protected onPrack = (prack: InDialogRequest): void => prack.respond(200);

  get ended(): boolean {
    return this.#ended;
  }
  get confirmed(): boolean {
    return this.#confirmed;
  }

  request(spec: InDialogSpec, done: (outcome: RequestOutcome) => void): void {
    const outstanding = this.#open(done);
    if (outstanding === undefined) return;
    this.#ask(spec, (got) => {
      if (isFault(got)) this.#settleFault(outstanding, got);
      else this.#onResponse(outstanding, got);
    });
  }

  reinvite(spec: ResponseSpec, done: (outcome: ReinviteOutcome) => void): void {
    const outstanding = this.#open(done);
    if (outstanding === undefined) return;
    if (this.#reinviting || this.#hasPendingReinvite()) {
      // RFC 3261 §14.1: another INVITE is under way in this dialog.
      queueMicrotask(() => outstanding.settle({ kind: 'transport_error', code: 'request_pending' }));
      return;
    }
    this.#reinviting = true;
    this.#ask({ ...spec, method: 'INVITE' }, (got, proof) => {
      if (isFault(got)) {
        this.#reinviting = false;
        this.#settleFault(outstanding, got);
      } else this.#onReinviteResponse(outstanding, done, { response: got, proof });
    });
  }

  /**
   * Sends a request within the dialog, and again for each challenge that the leg's credentials answer (RFC 3261 §22.2).
   * @param done told of every response but those challenges, and of what kept a request from being sent
   */
  #ask(spec: InDialogSpec, done: (got: SrfResponse | SrfFault, proof: readonly HeaderEntry[]) => void): void {
    const prove = this.login?.forRequest();
    const method = spec.method.toUpperCase();
    const send = (proof: readonly HeaderEntry[]): void => {
      const headers = proof.length === 0 ? spec.headers : [...(spec.headers ?? []), ...proof];
      this.send({ method, ...srfContent(headers, spec) }, (sent) => {
        if (isFault(sent)) return done(sent, proof);
        const { uri = '' } = readMessage(sent.msg);
        sent.on('response', (response) => {
          const again =
            prove === undefined || !canAnswer(response.status) || isLocal(response)
              ? undefined
              : prove(challengeOf(response), { method, uri });
          if (again === undefined) done(response, proof);
          else send(again);
        });
      });
    };
    send(NO_HEADERS);
  }

  bye(headers?: readonly HeaderEntry[]): void {
    if (this.#ended || !this.#confirmed) return;
    this.acknowledge();
    this.end({ kind: 'local_bye' }, 'keep');
    this.sendBye(headers);
  }

  dump(): object {
    const state = this.#ended ? 'closing' : this.#confirmed ? 'confirmed' : 'early';
    return { id: this.id, role: this.role, callId: this.callId, state, outstanding: this.#outstanding.size };
  }

  /** Lets events through; called once, when the application holds the leg. */
  open(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const fire of held) this.#fire(fire);
  }

  /** A frame of this dialog, other than a response. */
  onNetworkRequest(request: SrfRequest, response: SrfResponse, message = readMessage(request.msg)): void {
    if (request.source === 'application') {
      this.onServerBye(message.header('Reason') ?? '', message);
      return;
    }
    switch (message.method) {
      case 'ACK':
        this.#onAck(message);
        return;
      case 'BYE':
        this.#onBye(message, response);
        return;
      case 'PRACK':
        this.onPrack(new SrfInDialogRequest(message, response));
        return;
      case 'INVITE':
        this.#onReinvite(request, response);
        return;
      default:
        if (this.#ended) sendResponse(response, 481);
        else this.deliver(() => this.sink.onRequest(this, new SrfInDialogRequest(message, response)));
    }
  }

  protected markConfirmed(): void {
    this.#confirmed = true;
  }

  /** Runs an application callback, now or once the leg is open; what it throws stays here. */
  protected deliver(fire: () => void): void {
    if (this.#held !== undefined) this.#held.push(fire);
    else this.#fire(fire);
  }

  /** Reports the end once. `keep`: frames of the dialog are still expected; release later. */
  protected end(end: LegEnd, then: 'release' | 'keep' = 'release'): void {
    if (!this.#ended) {
      this.close();
      this.deliver(() => this.sink.onEnded(this, end));
    }
    if (then === 'release') this.release();
  }

  /** Ends without a report: whatever waits is settled, nothing more is delivered. */
  protected close(): void {
    if (this.#ended) return;
    for (const outstanding of [...this.#outstanding]) outstanding.settle({ kind: 'leg_ended' });
    this.#ended = true;
    for (const reinvite of this.#received.values()) reinvite.respond(487);
    this.#received.clear();
  }

  protected release(): void {
    this.context.release(this);
  }

  /** Remembers a 2xx until `acknowledge`. */
  protected owesAck(response: SrfResponse): void {
    this.#unacknowledged = response;
  }

  protected acknowledge(content?: ResponseSpec): void {
    const response = this.#unacknowledged;
    this.#unacknowledged = undefined;
    this.#reinviting = false;
    if (response !== undefined) sendAck(response, this.dialogId, content);
  }

  /** BYE; the leg is released with its final response, or when the server no longer knows the dialog. */
  protected sendBye(headers?: readonly HeaderEntry[]): void {
    this.#ask({ method: 'BYE', headers }, (got) => {
      if (isFault(got) || got.status >= 200) this.release();
    });
  }

  protected send(options: SrfRequestOptions, done: (sent: SrfRequest | SrfFault) => void): void {
    this.link.request(REMOTE_TARGET, { ...options, stackDialogId: toSrf(this.dialogId) }, (sent) => {
      if (!isFault(sent)) this.takeUpdates(sent);
      done(sent);
    });
  }

  /** srf hands an UPDATE of the peer to any request under way with the same Call-ID, of ours or of the peer. */
  protected takeUpdates(underWay: SrfRequest): void {
    underWay.on('update', (update, response) => {
      const dialogId = fromSrf(update.stackDialogId ?? '');
      if (dialogId === '' || dialogId === this.dialogId) this.onNetworkRequest(update, response);
      else this.context.dispatch(update, response);
    });
  }

  #fire(fire: () => void): void {
    try {
      fire();
    } catch (error) {
      this.link.report(`the application failed on an event of leg ${this.id}`, error);
    }
  }

  #open(done: (outcome: RequestOutcome) => void): Outstanding | undefined {
    if (this.#ended) {
      queueMicrotask(() => this.#fire(() => done({ kind: 'leg_ended' })));
      return undefined;
    }
    let settled = false;
    const outstanding: Outstanding = {
      settle: (outcome) => {
        if (settled) return;
        settled = true;
        this.#outstanding.delete(outstanding);
        this.deliver(() => done(outcome));
      },
    };
    this.#outstanding.add(outstanding);
    return outstanding;
  }

  #settleFault(outstanding: Outstanding, fault: SrfFault): void {
    if (fault.kind === 'dialog_gone' && this.#confirmed) {
      outstanding.settle({ kind: 'leg_ended' });
      // A BYE that crossed would have been told before this refusal: the dialog is really lost.
      this.end({ kind: 'dialog_lost', status: undefined });
      return;
    }
    outstanding.settle({ kind: 'transport_error', code: fault.kind === 'refused' ? fault.detail : fault.kind });
  }

  #onResponse(outstanding: Outstanding, response: SrfResponse): void {
    if (response.status < 200) return;
    const local = isLocal(response);
    outstanding.settle(outcomeOf(response));
    // RFC 3261 §12.2.1.2
    if (this.#ended || !this.#confirmed || (response.status !== 481 && response.status !== 408)) return;
    this.end({ kind: 'dialog_lost', status: local ? undefined : response.status }, 'keep');
    this.sendBye();
  }

  #onReinviteResponse(
    outstanding: Outstanding,
    done: (outcome: ReinviteOutcome) => void,
    { response, proof }: { readonly response: SrfResponse; readonly proof: readonly HeaderEntry[] },
  ): void {
    if (response.status < 200) return;
    if (response.status >= 300) {
      this.#reinviting = false;
      this.#onResponse(outstanding, response);
      return;
    }
    if (this.#ended || !this.#outstanding.delete(outstanding)) {
      sendAck(response, this.dialogId);
      return;
    }
    this.owesAck(response);
    const ack = (content?: Content): void => {
      // RFC 3261 §22.1: the ACK carries the credentials of its INVITE.
      if (this.#unacknowledged === response) this.acknowledge({ ...content, headers: proof });
    };
    this.deliver(() => done({ kind: 'answered', message: readMessage(response.msg), ack }));
  }

  #onAck(ack: SrfMessage): void {
    const reinvite = this.#received.get(ack.cseq.seq);
    if (reinvite === undefined) {
      this.onFirstAck(ack);
      return;
    }
    this.#received.delete(ack.cseq.seq);
    if (!this.#ended) this.deliver(() => this.sink.onAck(this, ack, reinvite));
  }

  #onBye(bye: SrfMessage, response: SrfResponse): void {
    sendResponse(response, 200);
    this.acknowledge();
    if (this.#ended) {
      this.release();
      return;
    }
    if (this.#confirmed) this.end({ kind: 'remote_bye', message: bye });
    else this.onEarlyBye(bye);
  }

  #hasPendingReinvite(): boolean {
    for (const reinvite of this.#received.values()) if (reinvite.pending) return true;
    return false;
  }

  #onReinvite(request: SrfRequest, response: SrfResponse): void {
    if (this.#ended) {
      sendResponse(response, 481);
      return;
    }
    // RFC 3261 §14.2: ours is in progress, or an earlier one of the peer's is not answered yet.
    if (this.#reinviting) {
      sendResponse(response, 491);
      return;
    }
    if (this.#hasPendingReinvite()) {
      sendResponse(response, 500, { headers: [['Retry-After', '2']] });
      return;
    }
    const reinvite = new SrfReinvite(request, response, {
      onCancelled: (withdrawn) => {
        this.#received.delete(withdrawn.cseq);
        if (!this.#ended) this.deliver(() => this.sink.onReinviteCancelled(this, withdrawn));
      },
      onAnswered: (answered, status) => {
        if (status >= 300) this.#received.delete(answered.cseq);
      },
    });
    this.takeUpdates(request);
    this.#received.set(reinvite.cseq, reinvite);
    this.deliver(() => this.sink.onReinvite(this, reinvite));
  }
}

const NO_HEADERS: readonly HeaderEntry[] = [];

const challengeOf = (response: SrfResponse): Challenge => ({
  status: response.status,
  headers: readMessage(response.msg).headers(),
  address: response.source_address ?? '',
});

/** A response of the server's own making tells by status and phrase why the network gave none. */
export function outcomeOf(response: SrfResponse): RequestOutcome {
  if (!isLocal(response)) return { kind: 'response', message: readMessage(response.msg) };
  if (response.status === 408) return { kind: 'timeout' };
  return { kind: 'transport_error', code: response.msg.reason || String(response.status) };
}
