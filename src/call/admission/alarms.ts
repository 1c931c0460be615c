/** Signs of toll fraud, told once in a while: a stolen trunk makes fifty refusals a second, and one line is enough. */
import type { Decision, ReasonCode } from '../routing/decision.js';

export type AlarmCode = 'spend_cap_reached' | 'premium_prefix_denied' | 'cps_exceeded';

export interface Alarm {
  readonly alarm: AlarmCode;
  /** `trunk:<sid>` or `account:<sid>`: whose rule it was. */
  readonly key: string;
  /** Of the same alarm and key since the last that was told. */
  readonly untold: number;
}

const ALARM_OF: { readonly [code in ReasonCode]?: AlarmCode } = {
  spend_cap_reached: 'spend_cap_reached',
  destination_denied: 'premium_prefix_denied',
  trunk_calls_per_second: 'cps_exceeded',
  account_calls_per_second: 'cps_exceeded',
};

/** Time between two alarms of one kind for one key. */
const QUIET_MS = 60_000;
/** Keys remembered; the longest unheard is forgotten first. */
const MAX_KEYS = 10_000;

interface Told {
  readonly atMs: number;
  untold: number;
}

export class AlarmGate {
  readonly #told = new Map<string, Told>();

  /**
   * @param nowMs monotonic
   * @returns the alarm that a refused call raises; undefined for other refusals, and while it is still fresh
   */
  refused({ accepted, reasonCode, trunkSid, accountSid }: Decision, nowMs: number): Alarm | undefined {
    const alarm = accepted ? undefined : ALARM_OF[reasonCode];
    if (alarm === undefined) return undefined;
    const ofAccount = reasonCode === 'account_calls_per_second';
    return this.raise(alarm, ofAccount ? `account:${accountSid ?? ''}` : `trunk:${trunkSid ?? ''}`, nowMs);
  }

  raise(alarm: AlarmCode, key: string, nowMs: number): Alarm | undefined {
    const name = `${alarm} ${key}`;
    const told = this.#told.get(name);
    if (told !== undefined && nowMs - told.atMs < QUIET_MS) {
      told.untold++;
      return undefined;
    }
    this.#told.delete(name);
    this.#told.set(name, { atMs: nowMs, untold: 0 });
    if (this.#told.size > MAX_KEYS) this.#told.delete(this.#told.keys().next().value as string);
    return { alarm, key, untold: told?.untold ?? 0 };
  }
}
