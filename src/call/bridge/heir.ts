/** Whoever takes an established call over from its bridge, for good: a conversation whose ends may change. */
import type { InDialogRequest, IncomingReinvite, Leg, LegEnd } from '../../signal/port.js';
import type { Destination } from '../routing/decision.js';
import type { Bridge } from './bridge.js';
import type { DialogRelay } from './dialogRelay.js';
import type { HangUpReason } from './ending.js';
import type { BridgeEvent } from './states.js';

/** What the heir hears of an event; which fields are set follows from the event. */
export interface HeirOccurrence {
  readonly end?: LegEnd;
  readonly hangUp?: HangUpReason;
  readonly request?: InDialogRequest | IncomingReinvite;
}

export interface Heir {
  readonly state: string;
  /** An event of the bridge's own legs, its timers and its owner. Exceptions come back as the event `fault`. */
  take(bridge: Bridge, event: BridgeEvent, now: HeirOccurrence): void;
  /** Gives up whatever does not come to its end by itself. */
  abandon(): void;
  dump(): object;
}

/** An established call, as its bridge leaves it. */
export interface Estate {
  readonly a: Leg;
  readonly b: Leg;
  /** Where `b` was called. */
  readonly destination: Destination;
  /** Carries on, with whatever it is carrying. */
  readonly relay: DialogRelay;
}
