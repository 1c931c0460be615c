/** Finds the leg that Replaces names. */
import type { Clock } from '../../../kernel/index.js';
import type { Leg } from '../../../signal/port.js';
import type { Attempt } from '../../bridge/attempt.js';
import { Bridge } from '../../bridge/bridge.js';
import type { LiveCall } from '../liveCall.js';
import { legsOf } from './callsOf.js';
import type { Replaces } from './referTo.js';

/** Each looks at all live calls: what all of a node's callers together may ask for in a second. */
const FINDS_PER_SECOND = 50;

/** Of an established call. */
export interface FoundLeg {
  readonly call: LiveCall;
  readonly leg: Leg;
}

/** Of a call that rings: an early dialog that we have begun. */
export interface FoundRinging {
  readonly call: LiveCall;
  readonly ringing: Attempt;
}

/** RFC 3891 §3: to-tag is ours, from-tag the peer's. */
export const isNamed = (leg: Leg, { callId, toTag, fromTag }: Omit<Replaces, 'earlyOnly'>): boolean =>
  leg.callId === callId && leg.localTag === toTag && leg.remoteTag === fromTag;

export class DialogFinder {
  readonly #clock: Clock;
  readonly #calls: () => Iterable<LiveCall>;
  #second = -1;
  #finds = 0;

  constructor(clock: Clock, calls: () => Iterable<LiveCall>) {
    this.#clock = clock;
    this.#calls = calls;
  }

  /** Undefined, too, when too many were asked for. */
  find(replaces: Replaces): FoundLeg | FoundRinging | undefined {
    const second = Math.floor(this.#clock.nowMs() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#finds = 0;
    }
    if (++this.#finds > FINDS_PER_SECOND) return undefined;
    // Of early dialogs those count that we have begun.
    const { callId, toTag, fromTag } = replaces;
    const dialog = { callId, localTag: toTag, remoteTag: fromTag };
    for (const call of this.#calls()) {
      const ringing = call.course instanceof Bridge ? call.course.ringing : undefined;
      if (ringing?.ringsIn(dialog) === true) return { call, ringing };
      for (const leg of legsOf(call)) {
        if (isNamed(leg, replaces)) return { call, leg };
      }
    }
    return undefined;
  }
}
