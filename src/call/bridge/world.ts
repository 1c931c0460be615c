/** What a bridge needs from outside, and whom it tells. */
import type { Clock, Random } from '../../kernel/index.js';
import type { InDialogRequest, IncomingLeg, SignalPort } from '../../signal/port.js';
import type { Attempt } from './attempt.js';
import type { CallEnding } from './ending.js';
import type { HeaderPolicy } from './headerPolicy.js';
import type { CommonInvite, HuntObserver, HuntPlan, HuntWorld } from './hunt.js';

export interface BridgeSettings {
  /** A destination that sends nothing at all for this long is given up. Only where the port reports 100 Trying. */
  readonly silenceTimeoutMs: number;
  /** Longest wait for an answer of one destination, from its first sign of life. */
  readonly ringTimeoutMs: number;
  /** An answered call ends after this long; 0: never. */
  readonly maxCallMs: number;
  /** A leg that has not confirmed its end after this long is forgotten. More than 64*T1 of the engine. */
  readonly releaseTimeoutMs: number;
}

export const DEFAULT_BRIDGE_SETTINGS: BridgeSettings = {
  silenceTimeoutMs: 3000,
  ringTimeoutMs: 60_000,
  maxCallMs: 4 * 3_600_000,
  releaseTimeoutMs: 40_000,
};

/** What all bridges share. */
export interface BridgeWorld extends HuntWorld {
  readonly port: Pick<SignalPort, 'capabilities' | 'invite' | 'locate'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly policy: HeaderPolicy;
  readonly settings: BridgeSettings;
}

/** Who keeps the books. Called in the order of the events; `onOver` and then `onReleased` exactly once each. */
export interface BridgeObserver extends HuntObserver {
  /** First progress, and again when media begin. */
  onRinging(status: number, earlyMedia: boolean): void;
  onAnswered(attempt: Attempt): void;
  /** The call is over for both sides; legs may still be confirming. */
  onOver(ending: CallEnding): void;
  /** Nothing of the call lives in the bridge any more. */
  onReleased(abandonedLegs: number): void;
  /** A REFER within the established call, from the leg of this side; whoever keeps the books answers it. */
  onRefer(side: 'a' | 'b', request: InDialogRequest): void;
  onFault(where: string, error: unknown): void;
}

/** The caller's side of a bridge. */
export interface BridgeCall {
  readonly aLeg: IncomingLeg;
  readonly plan: HuntPlan;
  readonly invite: CommonInvite;
}
