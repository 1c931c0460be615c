/** RFC 3261 §17, table 4 (RFC 6026 adds L and M). All in milliseconds. */
export interface TimerSettings {
  /** Round-trip estimate; every other timer is a multiple of it. */
  readonly t1Ms: number;
  /** Longest gap between retransmissions of a non-INVITE request or a final answer to INVITE. */
  readonly t2Ms: number;
  /** How long a message may linger in the network. */
  readonly t4Ms: number;
  /** Longest time without a response after a provisional one, RFC 3261 §16.6 step 11: over three minutes. */
  readonly timerCMs: number;
}

export const DEFAULT_TIMERS: TimerSettings = { t1Ms: 500, t2Ms: 4000, t4Ms: 5000, timerCMs: 185_000 };

/** Timers B, F, H, J, L, M: how long a transaction waits or lingers. */
export const patienceMs = (timers: TimerSettings): number => 64 * timers.t1Ms;
