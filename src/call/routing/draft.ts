/** A decision while it is being made. */
import type {
  CallRequest,
  CarrierCandidate,
  Decision,
  DecisionStep,
  Destination,
  Direction,
  LimitClaim,
  ReasonCode,
} from './decision.js';
import { reason } from './reasons.js';
import type { FailoverPolicy, SipSettings } from './resources.js';

export type StepData = NonNullable<DecisionStep['data']>;

/** Longest text of the caller's that a decision keeps. */
const MAX_KEPT = 128;

export const kept = (text: string): string => (text.length <= MAX_KEPT ? text : text.slice(0, MAX_KEPT));

/** A step whose sentence is made when somebody reads it: most calls are routed and never explained. */
class Step<D extends StepData> implements DecisionStep {
  readonly step: string;
  readonly result: DecisionStep['result'];
  readonly data: D;
  readonly #say: (data: D) => string;

  constructor(step: string, result: DecisionStep['result'], data: D, say: (data: D) => string) {
    this.step = step;
    this.result = result;
    this.data = data;
    this.#say = say;
  }

  get detail(): string {
    return this.#say(this.data);
  }

  toJSON(): DecisionStep {
    return { step: this.step, result: this.result, detail: this.detail, data: this.data };
  }
}

export interface Refusal {
  readonly nearestMiss?: string | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

const NOTHING: readonly never[] = Object.freeze([]);
const NO_FAILOVER: FailoverPolicy = Object.freeze({});

export class Draft {
  direction: Direction | undefined;
  mode: 'pstn' | 'flow' | undefined;
  accountSid: string | undefined;
  trunkSid: string | undefined;
  carrierId: string | undefined;
  calledE164: string | undefined;
  callerE164: string | undefined;
  callerSent: string | undefined;
  asserted: string | undefined;
  diverting: string | undefined;
  sip: SipSettings | undefined;
  carriers: readonly CarrierCandidate[] | undefined;
  destinations: readonly Destination[] = NOTHING;
  failover: FailoverPolicy = NO_FAILOVER;
  flow: Decision['flow'];
  inbound: Decision['inbound'];
  limits: readonly LimitClaim[] = NOTHING;
  readonly #revision: string;
  readonly #request: CallRequest;
  readonly #steps: DecisionStep[] = [];

  constructor(revision: string, request: CallRequest) {
    this.#revision = revision;
    this.#request = request;
  }

  pass<D extends StepData>(step: string, data: D, say: (data: D) => string): void {
    this.#steps.push(new Step(step, 'pass', data, say));
  }

  fail<D extends StepData>(step: string, data: D, say: (data: D) => string): void {
    this.#steps.push(new Step(step, 'fail', data, say));
  }

  info<D extends StepData>(step: string, data: D, say: (data: D) => string): void {
    this.#steps.push(new Step(step, 'info', data, say));
  }

  accept(): Decision {
    return this.#finish('routed', {});
  }

  /** Where the call would have gone is not kept: nobody shall send a refused call there. */
  reject(code: ReasonCode, refusal: Refusal = {}): Decision {
    this.destinations = NOTHING;
    this.flow = undefined;
    this.limits = NOTHING;
    return this.#finish(code, refusal);
  }

  #finish(code: ReasonCode, refusal: Refusal): Decision {
    const { sipStatus, remedy } = reason(code);
    return {
      accepted: sipStatus === undefined,
      reasonCode: code,
      sipStatus,
      remedy,
      nearestMiss: refusal.nearestMiss,
      revision: this.#revision,
      direction: this.direction,
      mode: this.mode,
      accountSid: this.accountSid,
      trunkSid: this.trunkSid,
      userName: this.#request.userName,
      carrierId: this.carrierId,
      calledNumber: { received: kept(this.#request.calledNumber), e164: this.calledE164 },
      callerNumber: {
        received: kept(this.#request.callerNumber),
        e164: this.callerE164,
        sent: this.callerSent,
        asserted: this.asserted,
      },
      diverting: this.diverting,
      sip: this.sip,
      destinations: this.destinations,
      carriers: this.carriers,
      failover: this.failover,
      flow: this.flow,
      inbound: this.inbound,
      limits: this.limits,
      retryAfterSeconds: refusal.retryAfterSeconds,
      steps: this.#steps,
    };
  }
}
