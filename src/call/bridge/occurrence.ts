/** What comes with the events of a bridge, and which delay each of its timers has. */
import type { Timer } from '../../kernel/index.js';
import type { InDialogRequest, IncomingReinvite, LegEnd, SignalMessage } from '../../signal/port.js';
import type { Attempt } from './attempt.js';
import type { HangUpReason } from './ending.js';
import type { AttemptFailure } from './failover.js';
import type { PickUp } from './hunt.js';
import type { BridgeEvent } from './states.js';
import type { BridgeSettings, BridgeWorld } from './world.js';

/** Which fields are set follows from the event. */
export interface Occurrence {
  readonly message?: SignalMessage;
  readonly attempt?: Attempt;
  readonly failure?: AttemptFailure;
  readonly end?: LegEnd;
  readonly hangUp?: HangUpReason;
  readonly request?: InDialogRequest | IncomingReinvite;
  /** The leg that a request came from. */
  readonly from?: 'a' | 'b';
  readonly pickUp?: PickUp;
}

export type TimerEvent = 'silence' | 'ring_timeout' | 'duration_limit' | 'release_timeout';

const DELAY_OF: { readonly [E in TimerEvent]: keyof BridgeSettings } = {
  silence: 'silenceTimeoutMs',
  ring_timeout: 'ringTimeoutMs',
  duration_limit: 'maxCallMs',
  release_timeout: 'releaseTimeoutMs',
};

export const LEG_LOST: AttemptFailure = { kind: 'transport_error', code: 'leg_lost' };
export const DIALOG_LOST: LegEnd = { kind: 'dialog_lost', status: undefined };

/** One row of the actions. */
export type Act<B> = (bridge: B, now: Occurrence, event: BridgeEvent) => void;

/** @returns undefined where the delay is 0: never */
export const timerFor = (
  world: Pick<BridgeWorld, 'clock' | 'settings'>,
  event: TimerEvent,
  fire: () => void,
): Timer | undefined => {
  const delayMs = world.settings[DELAY_OF[event]];
  return delayMs <= 0 ? undefined : world.clock.setTimer(event, delayMs, fire);
};
