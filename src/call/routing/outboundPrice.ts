/** What a call through a carrier costs, read once when a table is made: integers that a decision can compare. */
import { DEFAULT_CURRENCY, microsOf } from '../record/rating.js';
import type { Priced } from './decision.js';
import type { Money, NetworkGroup, Rate } from './resources.js';

export interface Price {
  readonly currency: string;
  readonly perMinuteMicros: number;
  readonly setupMicros: number;
  /** Charged as soon as the call is answered: fee and first pulse, or the minimum. */
  readonly firstMicros: number;
}

const DEFAULT_PULSE_SECONDS = 60;

/** The price of calls that leave; undefined where the rate names none. */
export function outboundPrice(rate: Rate): Price | undefined {
  const perMinuteMicros = rate.outbound_price === undefined ? undefined : microsOf(rate.outbound_price);
  if (perMinuteMicros === undefined) return undefined;
  const setupMicros = microsOf(rate.setup_fee ?? '0') ?? 0;
  const pulse = Math.ceil((perMinuteMicros * (rate.first_seconds ?? DEFAULT_PULSE_SECONDS)) / 60);
  const minimum = microsOf(rate.minimum_charge ?? '0') ?? 0;
  return {
    currency: rate.currency ?? DEFAULT_CURRENCY,
    perMinuteMicros,
    setupMicros,
    firstMicros: Math.max(minimum, setupMicros + pulse),
  };
}

/** A rate as decisions and records keep it: without the group's prefixes, of which it may have thousands. */
export function rateOf(group: NetworkGroup): Rate {
  const { inbound_price, outbound_price, currency, setup_fee, minimum_charge, first_seconds, next_seconds } = group;
  return {
    ...(inbound_price === undefined ? {} : { inbound_price }),
    ...(outbound_price === undefined ? {} : { outbound_price }),
    ...(currency === undefined ? {} : { currency }),
    ...(setup_fee === undefined ? {} : { setup_fee }),
    ...(minimum_charge === undefined ? {} : { minimum_charge }),
    ...(first_seconds === undefined ? {} : { first_seconds }),
    ...(next_seconds === undefined ? {} : { next_seconds }),
  };
}

/** The rate that a call through this carrier would be charged by, and which rule it is of. */
export interface Quote {
  readonly priced: Priced;
  readonly price: Price | undefined;
}

export const NO_QUOTE: Quote = Object.freeze({ priced: Object.freeze({}), price: undefined });

/** What a trunk or an account may spend a day (UTC). */
export interface SpendCap {
  /** `trunk:<sid>` or `account:<sid>`. */
  readonly key: string;
  readonly limitMicros: number;
  readonly currency: string;
}

export function capOf(key: string, money: Money | undefined): SpendCap | undefined {
  if (money === undefined) return undefined;
  return { key, limitMicros: microsOf(money.amount) ?? 0, currency: money.currency };
}
