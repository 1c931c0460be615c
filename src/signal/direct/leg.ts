import { NOT_LISTED, type Random, type RosterMember } from '../../kernel/index.js';
import type {
  Dialog,
  DialogEnd,
  DialogListener,
  IncomingInvite as EngineInvite,
  IncomingRequest as EngineRequest,
  OutgoingInvite as EngineOutgoingInvite,
  OverloadWord,
  ResponseFields,
  ResponseOrigin,
  SipRequest,
  SipResponse,
  Source,
} from '../../sip/index.js';
import { type Challenge, canAnswer } from '../challenge.js';
import type { LegLogin } from '../legLogin.js';
import type {
  Content,
  HeaderEntry,
  InDialogRequest,
  InDialogSpec,
  IncomingReinvite,
  Leg,
  LegEnd,
  LegEvents,
  ReinviteOutcome,
  RequestOutcome,
  ResponseSpec,
} from '../port.js';
import { DirectMessage, toFields } from './message.js';

/** What a leg needs of the adapter that holds it. */
export interface LegHost {
  remove(leg: DirectLeg): void;
  /** Runs soon, but not within the present call. */
  soon(work: () => void): void;
  readonly random: Pick<Random, 'hex'>;
  /** Told what next hops say of their load; absent: nobody asks them. */
  readonly onOverloadTold?: ((gateway: string, word: OverloadWord) => void) | undefined;
  /** A connection is closed by which a contact was reached: our flow, or the route to another node's. */
  onFlowClosed(flow: string): void;
}

const lostStatus = (status: number): boolean => status === 481 || status === 408;

/** What both kinds of leg share once there is a dialog. */
export abstract class DirectLeg implements Leg, DialogListener, RosterMember {
  readonly id: string;
  /** Among the adapter's legs. */
  place = NOT_LISTED;
  abstract readonly callId: string;
  protected readonly host: LegHost;
  protected dialog: Dialog | undefined;
  protected ended = false;
  /** The peer's BYE, until it is answered. */
  #farewell: EngineRequest | undefined;
  /** Requests of ours that have no outcome yet: most calls have none. */
  #outstanding: Set<(outcome: RequestOutcome) => void> | undefined;

  constructor(host: LegHost, id: string) {
    this.host = host;
    this.id = id;
  }

  /** Of a called leg that has credentials. */
  protected login: LegLogin | undefined;

  protected abstract get events(): LegEvents;
  /** One of several early dialogs. */
  protected abstract dialogOf(fork: string): Dialog | undefined;
  /** @returns undefined where there is but one, or for the caller's first */
  protected abstract forkOf(dialog: Dialog | undefined): string | undefined;
  /** The engine has stopped, or was never started. */
  abstract onEngineLost(): void;

  get localTag(): string {
    return this.dialog?.localTag ?? '';
  }

  get remoteTag(): string {
    return this.dialog?.remoteTag ?? '';
  }

  // ------------------------------------------------------------------ from the application

  request(spec: InDialogSpec, done: (outcome: RequestOutcome) => void): void {
    const dialog = spec.fork === undefined ? this.dialog : this.dialogOf(spec.fork);
    if (this.ended || dialog === undefined) return this.host.soon(() => done({ kind: 'leg_ended' }));
    const settle = this.#expectOutcome(done);
    const sent = this.ask(dialog, spec.method, toFields(spec), (response, origin) => {
      settle(outcomeOf(response, origin));
      if (lostStatus(response.status)) this.#lost(origin === 'network' ? response.status : undefined);
    });
    if (!sent) this.host.soon(() => settle({ kind: 'leg_ended' }));
  }

  /**
   * Sends a request within the dialog, and again for each challenge that the leg's credentials answer (RFC 3261 §22.2).
   * @param done told of the final response
   * @returns false when nothing was sent
   */
  protected ask(
    dialog: Dialog,
    method: string,
    fields: ResponseFields,
    done: (response: SipResponse, origin: ResponseOrigin) => void = IGNORE,
  ): boolean {
    const { login } = this;
    const prove = login?.forRequest();
    const send = (proof: readonly HeaderEntry[]): boolean => {
      let uri = '';
      const sent = dialog.request(method, withHeaders(fields, proof), {
        onResponse: (response, origin, source) => {
          if (response.status < 200) return;
          const again = source === undefined ? undefined : prove?.(challengeOf(response, source), { method, uri });
          if (again === undefined || !send(again)) done(response, origin);
        },
      });
      if ('refusal' in sent) return false;
      uri = sent.request.uri;
      return true;
    };
    return send(NO_HEADERS);
  }

  reinvite(spec: ResponseSpec, done: (outcome: ReinviteOutcome) => void): void {
    const { dialog } = this;
    if (this.ended || dialog === undefined) return this.host.soon(() => done({ kind: 'leg_ended' }));
    const settle = this.#expectOutcome(done);
    const fields = toFields(spec);
    const prove = this.login?.forRequest();
    const send = (proof: readonly HeaderEntry[]): string | undefined => {
      let uri = '';
      const sent: EngineOutgoingInvite | { refusal: string } = dialog.invite(withHeaders(fields, proof), {
        onProvisional: () => {},
        onAnswered: (response) => {
          this.#outstanding?.delete(settle);
          const message = new DirectMessage(response);
          // RFC 3261 §22.1: the ACK carries the credentials of its INVITE.
          const ack = (content: Content = {}): void => void dialog.ack(withHeaders(toFields(content), proof));
          done({ kind: 'answered', message, ack });
        },
        onFailed: (response, origin, source) => {
          const challenge = source === undefined ? undefined : challengeOf(response, source);
          const again = challenge === undefined ? undefined : prove?.(challenge, { method: 'INVITE', uri });
          if (again !== undefined && send(again) === undefined) return;
          settle(outcomeOf(response, origin));
          if (lostStatus(response.status)) this.#lost(origin === 'network' ? response.status : undefined);
        },
      });
      if ('refusal' in sent) return sent.refusal;
      uri = sent.request.uri;
      return undefined;
    };
    const refusal = send(NO_HEADERS);
    if (refusal === undefined) return;
    // RFC 3261 §14.1: another INVITE is under way in this dialog.
    this.host.soon(() => settle({ kind: 'transport_error', code: refusal }));
  }

  bye(headers?: readonly HeaderEntry[]): void {
    const { dialog } = this;
    if (this.ended || dialog === undefined || dialog.state !== 'confirmed') return;
    // A 2xx that the application never acknowledged: RFC 3261 §13.2.2.4 wants its ACK all the same.
    dialog.ack();
    this.ask(dialog, 'BYE', { headers });
  }

  dump(): object {
    return { id: this.id, callId: this.callId, dialog: this.dialog?.state ?? 'none', ended: this.ended };
  }

  // ------------------------------------------------------------------ from the engine

  onRequest(request: EngineRequest): void {
    if (request.request.method === 'BYE') {
      this.#farewell = request;
      return;
    }
    if (this.ended) {
      request.respond(481);
      return;
    }
    this.events.onRequest(this, answerable(request, this.forkOf(request.dialog)));
  }

  onInvite(invite: EngineInvite): void {
    if (this.ended) {
      invite.respond(481);
      return;
    }
    const reinvite: IncomingReinvite = {
      message: new DirectMessage(invite.request),
      respond: (status, spec) => void invite.respond(status, toFields(spec ?? {})),
    };
    invite.listener = {
      onCancel: () => this.events.onReinviteCancelled(this, reinvite),
      onAck: (ack) => this.events.onAck(this, new DirectMessage(ack), reinvite),
    };
    this.events.onReinvite(this, reinvite);
  }

  onTerminated(end: DialogEnd, message: SipRequest | undefined): void {
    switch (end) {
      case 'remote_bye':
        this.end(
          message === undefined
            ? { kind: 'dialog_lost', status: undefined }
            : { kind: 'remote_bye', message: new DirectMessage(message) },
        );
        // Only now: the peer's 200 says that the books of the call are closed.
        this.#farewell?.respond(200);
        return;
      case 'local_bye':
      case 'cancel_race':
        return this.end({ kind: 'local_bye' });
      case 'ack_timeout':
        return this.end({ kind: 'ack_timeout' });
      case 'lost':
      case 'failed':
        return this.end({ kind: 'dialog_lost', status: undefined });
      case 'shutdown':
        return this.end({ kind: 'engine_lost' });
    }
  }

  protected end(end: LegEnd): void {
    this.host.remove(this);
    this.report(end);
  }

  /** The end, to the application, once; what still waits is settled before it. */
  protected report(end: LegEnd): void {
    if (this.ended) return;
    for (const settle of [...(this.#outstanding ?? [])]) settle({ kind: 'leg_ended' });
    this.ended = true;
    this.events.onEnded(this, end);
  }

  /** @returns calls `done` the first time, and never again. */
  #expectOutcome(done: (outcome: RequestOutcome) => void): (outcome: RequestOutcome) => void {
    const settle = (outcome: RequestOutcome): void => {
      if (this.#outstanding?.delete(settle) === true) done(outcome);
    };
    (this.#outstanding ??= new Set()).add(settle);
    return settle;
  }

  /** RFC 3261 §12.2.1.2: the leg is over for us; BYE for a peer that may still hold its half. */
  #lost(status: number | undefined): void {
    // An early dialog that is lost leaves its INVITE to be answered.
    if (this.ended || this.dialog?.state === 'early') return;
    this.end({ kind: 'dialog_lost', status });
    if (this.dialog !== undefined) this.ask(this.dialog, 'BYE', {});
  }
}

const NO_HEADERS: readonly HeaderEntry[] = [];
const IGNORE = (): void => {};

const challengeOf = (response: SipResponse, { address }: Source): Challenge => ({
  status: response.status,
  headers: canAnswer(response.status) ? response.headers() : NO_HEADERS,
  address,
});

const withHeaders = (fields: ResponseFields, more: readonly HeaderEntry[]): ResponseFields =>
  more.length === 0 ? fields : { ...fields, headers: [...(fields.headers ?? []), ...more] };

/** A request of the engine's, as the application answers it. */
export const answerable = (request: EngineRequest, fork?: string): InDialogRequest => ({
  message: new DirectMessage(request.request),
  fork,
  respond: (status, spec) => void request.respond(status, toFields(spec ?? {})),
});

export const outcomeOf = (response: SipResponse, origin: string): RequestOutcome => {
  if (origin === 'timeout') return { kind: 'timeout' };
  if (origin === 'transport' || origin === 'dns') return { kind: 'transport_error', code: origin };
  return { kind: 'response', message: new DirectMessage(response) };
};
