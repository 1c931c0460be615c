/**
 * Health of one gateway as a table. What calls meet (passive) and what OPTIONS requests meet (active) are the same two
 * events; time is the third.
 */

/** `trial`: it was down, its quarantine is over, and nothing was heard of it since. */
export type HealthState = 'up' | 'down' | 'trial';
/** `fault`: it did not answer, refused the connection, or said that it cannot serve. */
export type HealthEvent = 'answer' | 'fault' | 'quarantine_over';

export interface HealthRow {
  readonly next: HealthState;
  /** Begin a quarantine: the first, or one longer than the last. */
  readonly quarantine?: 'first' | 'longer';
}

export const HEALTH_TABLE: { readonly [state in HealthState]: { readonly [event in HealthEvent]: HealthRow } } = {
  up: {
    answer: { next: 'up' },
    fault: { next: 'down', quarantine: 'first' },
    quarantine_over: { next: 'up' },
  },
  // Calls that were on their way when it went down tell the same fault: the quarantine is not made longer for them.
  down: {
    answer: { next: 'up' },
    fault: { next: 'down' },
    quarantine_over: { next: 'trial' },
  },
  trial: {
    answer: { next: 'up' },
    fault: { next: 'down', quarantine: 'longer' },
    quarantine_over: { next: 'trial' },
  },
};

/** How an attempt or a probe ended, in the words of the call record. */
export interface Encounter {
  /** `answered`, `response`, `silence`, `timeout`, `transport_error`, `unresolved_host`, `ring_timeout`, `cancelled` ... */
  readonly result: string;
  /** SIP status; 0 where none came. */
  readonly sipStatus: number;
}

const FAULTS: ReadonlySet<string> = new Set(['silence', 'timeout', 'transport_error', 'unresolved_host']);

/**
 * What an encounter says of the gateway. Any SIP answer is a sign of life - 486 speaks of the callee, 404 of the number -
 * except 503, by which a server speaks of itself (RFC 3261 §21.5.4). A call that was withdrawn says nothing.
 */
export function eventOf({ result, sipStatus }: Encounter): HealthEvent | undefined {
  if (FAULTS.has(result)) return 'fault';
  if (sipStatus === 503) return 'fault';
  return sipStatus >= 100 ? 'answer' : undefined;
}
