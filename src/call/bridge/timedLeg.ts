/**
 * A leg with a session timer of its own (RFC 4028): whoever uses it sees the leg, and of the timer nothing but its end.
 * Refreshes of the peer that change nothing are answered here; others cross, and their answers carry the timer.
 */
import type { Clock, Random } from '../../kernel/index.js';
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
  SignalMessage,
} from '../../signal/port.js';
import { LegTimer, type LegTimerUser } from './legTimer.js';
import { hasOption } from './reliability.js';
import {
  type SessionTimerSettings,
  type Verdict,
  agreedByPeer,
  agreedFields,
  answerTimer,
  leastOf,
  timerFields,
} from './sessionFields.js';

export interface TimedWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: SessionTimerSettings;
  /** The session is over; the leg is still to be ended. */
  expired(): void;
}

/** Method that a peer takes for a refresh; `UPDATE` needs no offer (RFC 4028 §7.4). */
const UPDATE = 'update';

export abstract class TimedLeg implements Leg, LegEvents, LegTimerUser {
  protected readonly world: TimedWorld;
  protected readonly timer: LegTimer;
  /** The last description that the peer took from us: what a refreshing re-INVITE repeats. */
  #described: Content = {};
  #takesUpdate = false;
  /** Of a 422 that a refresh got. */
  #least = 0;
  #reinvites: Map<IncomingReinvite, IncomingReinvite> | undefined;

  constructor(world: TimedWorld) {
    this.world = world;
    this.timer = new LegTimer(world.clock, world.random, this);
    this.#least = world.settings.min_se ?? 0;
  }

  protected abstract get inner(): Leg;
  protected abstract get sink(): LegEvents;

  get id(): string {
    return this.inner.id;
  }
  get callId(): string {
    return this.inner.callId;
  }
  get localTag(): string {
    return this.inner.localTag;
  }
  get remoteTag(): string {
    return this.inner.remoteTag;
  }

  // ------------------------------------------------------------------ from the application

  request(spec: InDialogSpec, done: (outcome: RequestOutcome) => void): void {
    if (spec.method !== 'UPDATE') return this.inner.request(spec, done);
    this.inner.request({ ...spec, headers: this.#withTimer(spec.headers) }, (outcome) => {
      if (outcome.kind === 'response' && isSuccess(outcome.message)) this.#accepted(outcome.message, spec);
      done(outcome);
    });
  }

  reinvite(spec: ResponseSpec, done: (outcome: ReinviteOutcome) => void): void {
    this.inner.reinvite({ ...spec, headers: this.#withTimer(spec.headers) }, (outcome) => {
      if (outcome.kind !== 'answered') return done(outcome);
      this.#accepted(outcome.message, spec);
      const { message, ack } = outcome;
      done({
        kind: 'answered',
        message,
        ack: (content) => {
          this.describe(content);
          ack(content);
        },
      });
    });
  }

  bye(headers?: readonly HeaderEntry[]): void {
    this.timer.on('over');
    this.inner.bye(headers);
  }

  dump(): object {
    return { ...this.inner.dump(), sessionTimer: this.timer.dump() };
  }

  // ------------------------------------------------------------------ from the leg

  onRequest(_leg: Leg, request: InDialogRequest): void {
    const { message } = request;
    if (message.method !== 'UPDATE') return this.sink.onRequest(this, request);
    const verdict = this.#judge(request);
    if (verdict === undefined) return;
    // RFC 4028 §7.4: without an offer it is a refresh of this leg, and of no interest to the other.
    if (message.body.length === 0) return this.#answering(request, verdict).respond(200);
    this.sink.onRequest(this, this.#answering(request, verdict));
  }

  onReinvite(_leg: Leg, reinvite: IncomingReinvite): void {
    const verdict = this.#judge(reinvite);
    if (verdict === undefined) return;
    const ours = this.#answering(reinvite, verdict);
    (this.#reinvites ??= new Map()).set(reinvite, ours);
    this.sink.onReinvite(this, ours);
  }

  onAck(_leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    this.sink.onAck(this, message, this.#ours(reinvite));
  }

  onReinviteCancelled(_leg: Leg, reinvite: IncomingReinvite): void {
    this.sink.onReinviteCancelled(this, this.#ours(reinvite) ?? reinvite);
  }

  onEnded(_leg: Leg, end: LegEnd): void {
    this.timer.on('over');
    this.sink.onEnded(this, end);
  }

  expired(): void {
    this.world.expired();
  }

  /** RFC 4028 §7.4: UPDATE where the peer takes it, else re-INVITE with what the peer has already. */
  refresh(): void {
    const headers = this.#withTimer(undefined);
    const done = (outcome: RequestOutcome): void => {
      if (outcome.kind === 'leg_ended') return;
      const message = outcome.kind === 'response' ? outcome.message : undefined;
      if (message !== undefined && isSuccess(message)) return this.#settle(message);
      if (message?.status === 405 || message?.status === 501) this.#takesUpdate = false;
      if (message?.status === 422) this.#least = Math.max(this.#least, leastOf(message));
      this.timer.on('refused');
    };
    if (this.#takesUpdate) return this.inner.request({ method: 'UPDATE', headers }, done);
    this.inner.reinvite({ headers, ...this.#described }, (outcome) => {
      if (outcome.kind !== 'answered') return done(outcome);
      outcome.ack();
      this.#settle(outcome.message);
    });
  }

  // ------------------------------------------------------------------ for both kinds of leg

  /** We sent this, and the peer has taken it. */
  protected describe(content: Content | undefined): void {
    if (content?.body !== undefined && content.body.length > 0) {
      this.#described = { contentType: content.contentType, body: content.body };
    }
  }

  /** The peer's INVITE, or its 2xx. */
  protected learn(message: SignalMessage): void {
    this.#takesUpdate = hasOption(message.header('Allow'), UPDATE);
  }

  protected agree(verdict: Verdict): void {
    if (verdict.kind !== 'agreed') this.timer.agree('theirs', undefined);
    else this.timer.agree(verdict.refresher === 'uas' ? 'ours' : 'theirs', verdict.seconds);
  }

  /** A 2xx to an INVITE or UPDATE of ours. */
  protected settle(ok: SignalMessage, wanted: number | undefined): void {
    const agreed = agreedByPeer(ok, wanted);
    this.timer.agree(agreed?.refresher === 'uas' ? 'theirs' : 'ours', agreed?.seconds);
  }

  // ------------------------------------------------------------------ inside

  #settle(ok: SignalMessage): void {
    this.settle(ok, this.world.settings.expires === undefined ? undefined : this.timer.seconds);
  }

  #accepted(ok: SignalMessage, sent: Content): void {
    this.describe(sent);
    if (this.timer.seconds !== undefined) this.#settle(ok);
  }

  /** RFC 4028 §7.4: each INVITE and UPDATE says who refreshes; whoever does now goes on with it. */
  #withTimer(headers: readonly HeaderEntry[] | undefined): readonly HeaderEntry[] | undefined {
    const { seconds, state } = this.timer;
    if (seconds === undefined || state === 'off') return headers;
    const refresher = state === 'theirs' ? 'uas' : 'uac';
    return [...(headers ?? []), ...timerFields(Math.max(seconds, this.#least), refresher, this.#least)];
  }

  /** @returns undefined: it was refused, 422 */
  #judge(request: InDialogRequest | IncomingReinvite): Verdict | undefined {
    const verdict = answerTimer(request.message, this.world.settings, this.timer.seconds);
    if (verdict.kind !== 'too_small') return verdict;
    request.respond(422, { headers: [['Min-SE', String(verdict.least)]] });
    return undefined;
  }

  #answering(request: InDialogRequest | IncomingReinvite, verdict: Verdict): InDialogRequest & IncomingReinvite {
    return {
      message: request.message,
      fork: 'fork' in request ? request.fork : undefined,
      respond: (status, spec = {}) => {
        if (status < 200 || status >= 300) return request.respond(status, spec);
        this.describe(spec);
        request.respond(status, { ...spec, headers: [...(spec.headers ?? []), ...agreedFields(verdict)] });
        this.agree(verdict);
      },
    };
  }

  #ours(reinvite: IncomingReinvite | undefined): IncomingReinvite | undefined {
    if (reinvite === undefined) return undefined;
    const ours = this.#reinvites?.get(reinvite);
    this.#reinvites?.delete(reinvite);
    return ours ?? reinvite;
  }
}

const isSuccess = ({ status = 0 }: SignalMessage): boolean => status >= 200 && status < 300;
