/**
 * Whether a number can exist at all, by the numbering plan of its country. For people who ask: `explain`, `lint` and the
 * APIs. A call is never decided by it, for plans change before metadata do.
 */
import { numberingPlans } from './numberingPlans.js';

const TEXT: { readonly [code: string]: string } = {
  INVALID_COUNTRY: 'its country code does not exist',
  TOO_SHORT: 'it is too short for its country',
  TOO_LONG: 'it is too long for its country',
  INVALID_LENGTH: 'numbers of its country have other lengths',
};

/**
 * @param e164 `+` and digits
 * @returns the end of a sentence; undefined for a number that may exist
 */
export function impossibleBecause(e164: string): string | undefined {
  const problem = numberingPlans().validatePhoneNumberLength(e164);
  return problem === undefined ? undefined : (TEXT[problem] ?? 'it is no number');
}
