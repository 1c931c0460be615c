/**
 * What a call costs. Integers only: amounts are micros (1/1,000,000 of the currency's unit) and no number here is ever a
 * fraction. Pure.
 *
 * Bounds: a price has at most 9 digits before and 6 after the point, so 10^15 micros, which a double holds exactly; what
 * is multiplied is a BigInt. A charge beyond 2^53 - 1 micros (9,007,199,254 units) is recorded as that bound.
 */
import type { Direction, Priced } from '../routing/decision.js';
import type { Rate } from '../routing/resources.js';

export interface Charge {
  /** ISO 4217. */
  readonly currency: string;
  readonly micros: number;
  /** Time charged for, after rounding up to pulses. */
  readonly billedSeconds: number;
  /** As the document of the call's revision says it. */
  readonly rate: Rate;
  /** `carrier/country/name`; null for a carrier's flat rate. */
  readonly networkGroup: string | null;
  /** Digits that chose the group. */
  readonly prefix: string | null;
}

/** Where a rate names no currency. */
export const DEFAULT_CURRENCY = 'USD';

const DEFAULT_PULSE_SECONDS = 60;
const MICRO_DIGITS = 6;
const AMOUNT = /^([0-9]{1,9})(?:\.([0-9]{1,6}))?$/;
const MAX_MICROS = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * @param amount decimal text in major units, as the document's schema has it
 * @returns micros; undefined for anything else
 */
export const microsOf = (amount: string): number | undefined => {
  const [, units, fraction = ''] = AMOUNT.exec(amount) ?? [];
  return units === undefined ? undefined : Number(units + fraction.padEnd(MICRO_DIGITS, '0'));
};

/** Micros as decimal text in major units: `12500` -> `0.0125`. */
export const amountOf = (micros: number): string => {
  const digits = String(Math.abs(micros)).padStart(MICRO_DIGITS + 1, '0');
  const fraction = digits.slice(-MICRO_DIGITS).replace(/(?<!0)0+$/, '');
  return `${micros < 0 ? '-' : ''}${digits.slice(0, -MICRO_DIGITS)}${fraction === '' ? '' : `.${fraction}`}`;
};

/**
 * Time to charge for: `first_seconds` as soon as the call is answered, then whole steps of `next_seconds`.
 * @param talkMs whole milliseconds
 */
export const billedSecondsOf = (rate: Rate, talkMs: number): number => {
  const { first_seconds: first = DEFAULT_PULSE_SECONDS, next_seconds: next = DEFAULT_PULSE_SECONDS } = rate;
  const beyondMs = Math.max(0, Math.ceil(talkMs) - first * 1000);
  const stepMs = next * 1000;
  // An integer by itself: (a + b - 1) / b would round where a is large.
  const steps = (beyondMs - (beyondMs % stepMs)) / stepMs + (beyondMs % stepMs === 0 ? 0 : 1);
  return first + steps * next;
};

/**
 * The charge of an answered call: setup fee + price per minute x billed seconds / 60, at least the minimum. Rounded
 * once, at the end, half a micro up.
 * @param priced of the destination that answered (outbound), or the decision's `inbound`
 * @returns null where the rate names no price for the direction
 */
export const chargeOf = (priced: Priced, direction: Direction, talkMs: number): Charge | null => {
  const { rate, networkGroup = null, prefix = null } = priced;
  const text = direction === 'outbound' ? rate?.outbound_price : rate?.inbound_price;
  const perMinute = text === undefined ? undefined : microsOf(text);
  if (rate === undefined || perMinute === undefined) return null;
  const billedSeconds = billedSecondsOf(rate, talkMs);
  const sixtieths = BigInt(perMinute) * BigInt(billedSeconds);
  const total = (sixtieths * 2n + 60n) / 120n + BigInt(microsOf(rate.setup_fee ?? '0') ?? 0);
  const least = BigInt(microsOf(rate.minimum_charge ?? '0') ?? 0);
  const due = total < least ? least : total;
  const micros = Number(due > MAX_MICROS ? MAX_MICROS : due);
  return {
    currency: rate.currency ?? DEFAULT_CURRENCY,
    micros,
    billedSeconds,
    rate: bareRate(rate),
    networkGroup,
    prefix,
  };
};

/** What the rate says, and nothing that a group has besides. */
const bareRate = (rate: Rate): Rate => ({
  ...(rate.inbound_price === undefined ? {} : { inbound_price: rate.inbound_price }),
  ...(rate.outbound_price === undefined ? {} : { outbound_price: rate.outbound_price }),
  ...(rate.setup_fee === undefined ? {} : { setup_fee: rate.setup_fee }),
  ...(rate.minimum_charge === undefined ? {} : { minimum_charge: rate.minimum_charge }),
  ...(rate.first_seconds === undefined ? {} : { first_seconds: rate.first_seconds }),
  ...(rate.next_seconds === undefined ? {} : { next_seconds: rate.next_seconds }),
});

/** The price alone, where it may come as part of a destination. */
export const pricedOf = ({ rate, networkGroup, prefix }: Priced): Priced => ({ rate, networkGroup, prefix });
