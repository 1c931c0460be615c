/** What the dials of one call's flow cost: each that was answered, from its answer to its end. */
import type { Clock } from '../../kernel/index.js';
import type { Attempt } from '../bridge/attempt.js';
import { type DialRecord, type OpenDial, dialRecordAt } from '../record/dialRecord.js';
import { isoTime } from '../record/isoTime.js';
import { pricedOf } from '../record/rating.js';
import type { Decision } from '../routing/decision.js';

interface Entry {
  readonly decision: Decision;
  /** From its answer on. */
  open: OpenDial | undefined;
}

/** A dial that is over; without a record where nobody answered. */
export interface ClosedDial {
  readonly dialId: string;
  readonly record: DialRecord | undefined;
}

export class DialBooks {
  readonly #clock: Clock;
  /** Absent in calls without a flow, which are most. */
  #live: Map<string, Entry> | undefined;
  #closed: readonly DialRecord[] | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Of dials that are over, in the order of their ends; undefined where there are none. */
  get closed(): readonly DialRecord[] | undefined {
    return this.#closed;
  }

  /** Of dials that are up; undefined in calls without any. */
  get open(): readonly OpenDial[] | undefined {
    if (this.#live === undefined) return undefined;
    const open: OpenDial[] = [];
    for (const entry of this.#live.values()) if (entry.open !== undefined) open.push(entry.open);
    return open;
  }

  begin(dialId: string, decision: Decision): void {
    (this.#live ??= new Map()).set(dialId, { decision, open: undefined });
  }

  /** @returns what it is charged by; undefined for a dial that is not known, or already up */
  answer(dialId: string, { destination }: Attempt): (OpenDial & { readonly decision: Decision }) | undefined {
    const entry = this.#live?.get(dialId);
    if (entry === undefined || entry.open !== undefined) return undefined;
    const { uri, carrierId = null } = destination;
    const answeredAt = isoTime(this.#clock.wallMs());
    // Calls to trunks and to URIs of the flow's own cost nothing: only a carrier has a price for calls that leave.
    const priced = entry.decision.direction === 'outbound' ? pricedOf(destination) : undefined;
    entry.open = { uri, carrierId, answeredAt, answeredMs: this.#clock.nowMs(), priced };
    return { ...entry.open, decision: entry.decision };
  }

  /** @returns undefined for a dial that is not known, or already over */
  end(dialId: string): ClosedDial | undefined {
    const entry = this.#live?.get(dialId);
    if (entry === undefined) return undefined;
    this.#live?.delete(dialId);
    if (entry.open === undefined) return { dialId, record: undefined };
    const record = dialRecordAt(entry.open, this.#clock.nowMs());
    this.#closed = [...(this.#closed ?? []), record];
    return { dialId, record };
  }

  /** The call is over, and with it whatever its flow still dials. */
  endAll(): ClosedDial[] {
    const ended: ClosedDial[] = [];
    for (const dialId of [...(this.#live?.keys() ?? [])]) {
      const one = this.end(dialId);
      if (one !== undefined) ended.push(one);
    }
    return ended;
  }
}
