/** How a number is written to a gateway. */
import type { Gateway, NumberStyle } from './resources.js';

export interface DialFormat {
  readonly techPrefix: string;
  readonly style: NumberStyle;
  readonly countryCode: string;
}

/**
 * RFC 3261 §25.1: `#` stands escaped in a user part. Undefined for a gateway that takes E.164 as it is: the common case costs nothing.
 */
export function dialFormatOf(gateway: Partial<Gateway>): DialFormat | undefined {
  const { tech_prefix: techPrefix = '', number_style: style = 'e164', country_code: countryCode = '' } = gateway;
  return techPrefix === '' && style === 'e164'
    ? undefined
    : { techPrefix: techPrefix.replaceAll('#', '%23'), style, countryCode };
}

/**
 * The user part for a gateway. Style `national` leaves out the code of the gateway's own country only; a number of any
 * other country keeps its `+`, for without it it would be read as somebody else's number.
 * @param e164 `+` and digits
 */
export function dialString(e164: string, format: DialFormat | undefined): string {
  if (format === undefined) return e164;
  const { techPrefix, style, countryCode } = format;
  if (style === 'digits') return techPrefix + e164.slice(1);
  const own = style === 'national' && countryCode !== '' && e164.startsWith(countryCode, 1);
  return techPrefix + (own ? e164.slice(1 + countryCode.length) : e164);
}
