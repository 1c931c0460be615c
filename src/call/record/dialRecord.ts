/** What a call record keeps of the calls that its flow made: what each cost. Who was tried in vain is in `attempts`. */
import type { Priced } from '../routing/decision.js';
import { type Charge, chargeOf } from './rating.js';

/** One dial of a flow that was answered. */
export interface DialRecord {
  /** Request-URI of the destination that answered. */
  readonly uri: string;
  /** Null for a trunk, and for a URI of the flow's own. */
  readonly carrierId: string | null;
  /** ISO 8601 UTC with milliseconds, wall clock. */
  readonly answeredAt: string;
  /** Until this leg ended, or the call; from a monotonic clock. */
  readonly talkMs: number;
  /** By the price of the call's revision, beside the charge of the call itself; null where nothing prices it. */
  readonly charge: Charge | null;
}

/** A dial that is up. */
export interface OpenDial extends Pick<DialRecord, 'uri' | 'carrierId' | 'answeredAt'> {
  /** On the process' monotonic clock. */
  readonly answeredMs: number;
  /** Undefined where nothing prices it. */
  readonly priced: Priced | undefined;
}

/**
 * What the dial comes to if it ends now.
 * @param nowMs of the clock that `answeredMs` is of
 */
export const dialRecordAt = (dial: OpenDial, nowMs: number): DialRecord => {
  const { uri, carrierId, answeredAt, answeredMs, priced } = dial;
  const talkMs = Math.max(0, Math.round(nowMs - answeredMs));
  const charge = priced === undefined ? null : chargeOf(priced, 'outbound', talkMs);
  return { uri, carrierId, answeredAt, talkMs, charge };
};
