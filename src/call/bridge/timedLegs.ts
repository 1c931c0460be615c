/** Both kinds of leg with a session timer of their own, and when there is one. */
import type {
  Content,
  HeaderEntry,
  IncomingLeg,
  InviteFailure,
  InviteSpec,
  LegEvents,
  OutgoingEvents,
  OutgoingLeg,
  ProgressSpec,
  RequestOutcome,
  ResponseSpec,
  SignalMessage,
  SignalPort,
  SignalSource,
} from '../../signal/port.js';
import { DEAF } from './deafLeg.js';
import {
  type SessionTimerSettings,
  type Verdict,
  agreedFields,
  answerTimer,
  askedFields,
  intervalOf,
  leastOf,
} from './sessionFields.js';
import { TimedLeg, type TimedWorld } from './timedLeg.js';

/** A caller's leg: we are the server, and answer what its INVITE asks for. */
export class TimedIncomingLeg extends TimedLeg implements IncomingLeg {
  protected readonly inner: IncomingLeg;
  protected sink: LegEvents;
  readonly #verdict: Verdict;

  constructor(leg: IncomingLeg, verdict: Verdict, world: TimedWorld) {
    super(world);
    this.inner = leg;
    this.#verdict = verdict;
    this.sink = DEAF;
    this.learn(leg.message);
  }

  get message(): SignalMessage {
    return this.inner.message;
  }
  get source(): SignalSource {
    return this.inner.source;
  }

  /** @returns who is to hear of the leg's events, and passes them on */
  attach(events: LegEvents): LegEvents {
    this.sink = events;
    return this;
  }

  behindNat(): void {
    this.inner.behindNat?.();
  }

  progress(status: number, spec?: ProgressSpec): void {
    this.describe(spec);
    this.inner.progress(status, spec);
  }

  answer(spec: ResponseSpec): void {
    this.describe(spec);
    this.inner.answer({ ...spec, headers: [...(spec.headers ?? []), ...agreedFields(this.#verdict)] });
    this.agree(this.#verdict);
  }

  reject(status: number, spec?: ResponseSpec): void {
    this.inner.reject(status, spec);
  }
}

/** INVITEs that one callee may refuse with 422 before it is believed. */
const MOST_TRIES = 3;

/** A callee's leg: we are the client, and ask as the settings say. */
export class TimedOutgoingLeg extends TimedLeg implements OutgoingLeg, OutgoingEvents {
  protected inner: OutgoingLeg;
  protected readonly sink: OutgoingEvents;
  readonly #port: Pick<SignalPort, 'invite'>;
  readonly #spec: InviteSpec;
  #tries = 1;
  #over = false;

  constructor(port: Pick<SignalPort, 'invite'>, spec: InviteSpec, events: OutgoingEvents, world: TimedWorld) {
    super(world);
    this.#port = port;
    this.#spec = spec;
    this.sink = events;
    this.describe(spec);
    this.inner = this.#invite(0);
  }

  ack(content?: Content): void {
    this.describe(content);
    this.inner.ack(content);
  }

  cancel(headers?: readonly HeaderEntry[]): void {
    this.#over = true;
    this.inner.cancel(headers);
  }

  hasEarly(remoteTag: string): boolean {
    return this.inner.hasEarly?.(remoteTag) === true;
  }

  prack(progress: SignalMessage, spec: ResponseSpec, done: (outcome: RequestOutcome) => void): void {
    this.describe(spec);
    this.inner.prack(progress, spec, done);
  }

  onTrying(): void {
    this.sink.onTrying(this);
  }

  onProgress(_leg: OutgoingLeg, message: SignalMessage): void {
    this.sink.onProgress(this, message);
  }

  onAnswered(_leg: OutgoingLeg, message: SignalMessage): void {
    this.learn(message);
    this.settle(message, this.world.settings.expires);
    this.sink.onAnswered(this, message);
  }

  /** RFC 4028 §7.3: an interval that is too small for the callee is asked for anew, as long as it likes. */
  onFailed(_leg: OutgoingLeg, failure: InviteFailure): void {
    const refused = failure.kind === 'response' && failure.status === 422 ? failure.message : undefined;
    if (refused?.header('Min-SE') === undefined || this.#over || this.#tries++ >= MOST_TRIES) {
      return this.sink.onFailed(this, failure);
    }
    this.inner = this.#invite(leastOf(refused));
  }

  #invite(least: number): OutgoingLeg {
    const headers = [...(this.#spec.headers ?? []), ...askedFields(this.world.settings, least)];
    return this.#port.invite({ ...this.#spec, headers }, this);
  }
}

/**
 * What the caller's side comes to where its timer is our own affair: with `terminate`, and where a flow answers. Undefined
 * where there is none, and nothing to be done.
 */
export const callerTimer = (
  settings: SessionTimerSettings | undefined,
  invite: SignalMessage,
  answeredHere: boolean,
): { readonly verdict: Verdict; readonly settings: SessionTimerSettings } | undefined => {
  const mode = settings?.mode ?? 'relay';
  if (mode === 'off' || (mode === 'relay' && !answeredHere)) return undefined;
  const ours: SessionTimerSettings = mode === 'terminate' && settings !== undefined ? settings : {};
  if (ours.expires === undefined && intervalOf(invite) === undefined) return undefined;
  return { verdict: answerTimer(invite, ours), settings: ours };
};
