/**
 * E.164 normalisation. Everything in the table and in a Decision is `+` and digits; what cannot be brought into that form
 * is refused with its reason, because a guessed number is a call to a stranger.
 */
import { type Result, err, ok } from '../../kernel/index.js';

/** How a table, or one trunk, writes numbers that are not international. */
export interface NumberFormat {
  /** Digits of the country code for national numbers, without `+`. Undefined: there are no national numbers. */
  readonly countryCode?: string | undefined;
  /**
   * What stands before a national number (default `0`) and is removed. Empty: every number without `+` or the
   * international prefix is national.
   */
  readonly nationalPrefix?: string | undefined;
  /** What stands for `+` (default `00`). */
  readonly internationalPrefix?: string | undefined;
}

export type NumberProblem =
  'empty' | 'too_long' | 'invalid_character' | 'too_few_digits' | 'too_many_digits' | 'leading_zero' | 'local_number';

/** Longest input that is looked at. */
const MAX_NUMBER_TEXT = 64;
/** E.164 §6.1 allows 15 digits; three digits admit short codes. */
const MIN_DIGITS = 3;
const MAX_DIGITS = 15;

const PLUS = 0x2b;
const NO_FORMAT: NumberFormat = {};

/** Whether `text` is already `+` and 3-15 digits, the first not 0. */
export function isE164(text: string): boolean {
  const length = text.length;
  if (length < MIN_DIGITS + 1 || length > MAX_DIGITS + 1 || text.charCodeAt(0) !== PLUS) return false;
  if (text.charCodeAt(1) === 0x30) return false;
  for (let i = 1; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

/** `+` and digits as one integer, the key of the DID map; 0 for anything else. */
export function e164Key(text: string): number {
  if (!isE164(text)) return 0;
  let key = 0;
  for (let i = 1; i < text.length; i++) key = key * 10 + text.charCodeAt(i) - 0x30;
  return key;
}

/**
 * Brings a dialled or presented number to E.164: `+`, the international prefix, the national prefix with its country
 * code, or bare digits, which are taken as international. Visual separators (`-` `.` `(` `)` space, RFC 3966 §5.1.1) and
 * a `tel:` scheme are dropped, and so are parameters after `;` - except `phone-context=+...`, which completes a local
 * number.
 * @param text user part, unescaped, as received
 */
export function normaliseNumber(text: string, format: NumberFormat = NO_FORMAT): Result<string, NumberProblem> {
  if (isE164(text)) return ok(text);
  if (text.length > MAX_NUMBER_TEXT) return err('too_long');
  const tel = text.length >= 4 && text.slice(0, 4).toLowerCase() === 'tel:' ? text.slice(4) : text;
  const semicolon = tel.indexOf(';');
  const digits = stripSeparators(semicolon < 0 ? tel : tel.slice(0, semicolon));
  if (digits === undefined) return err('invalid_character');
  if (digits === '' || digits === '+') return err('empty');
  const context = semicolon < 0 ? undefined : phoneContext(tel.slice(semicolon));
  if (context !== undefined && digits.charCodeAt(0) !== PLUS) {
    const prefix = context.charCodeAt(0) === PLUS ? stripSeparators(context) : undefined;
    return prefix === undefined ? err('local_number') : check(prefix.slice(1) + digits);
  }
  return check(international(digits, format));
}

/** Digits of the international form, without `+`. */
function international(digits: string, format: NumberFormat): string {
  if (digits.charCodeAt(0) === PLUS) return digits.slice(1);
  const internationalPrefix = format.internationalPrefix ?? '00';
  if (internationalPrefix !== '' && digits.startsWith(internationalPrefix))
    return digits.slice(internationalPrefix.length);
  const { countryCode } = format;
  if (countryCode === undefined || countryCode === '') return digits;
  const nationalPrefix = format.nationalPrefix ?? '0';
  return digits.startsWith(nationalPrefix) ? countryCode + digits.slice(nationalPrefix.length) : digits;
}

function check(digits: string): Result<string, NumberProblem> {
  if (digits.charCodeAt(0) === 0x30) return err('leading_zero');
  if (digits.length < MIN_DIGITS) return err('too_few_digits');
  if (digits.length > MAX_DIGITS) return err('too_many_digits');
  return ok(`+${digits}`);
}

/** A leading `+` and digits, or undefined when anything but separators is between them. */
function stripSeparators(text: string): string | undefined {
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x30 && code <= 0x39) out += text[i];
    else if (code === PLUS && out === '') out = '+';
    else if (code !== 0x2d && code !== 0x2e && code !== 0x28 && code !== 0x29 && code !== 0x20) return undefined;
  }
  return out;
}

function phoneContext(params: string): string | undefined {
  for (const param of params.split(';')) {
    const equals = param.indexOf('=');
    if (equals > 0 && param.slice(0, equals).trim().toLowerCase() === 'phone-context')
      return param.slice(equals + 1).trim();
  }
  return undefined;
}

const PROBLEM_TEXT: { readonly [problem in NumberProblem]: string } = {
  empty: 'it is empty',
  too_long: `it is longer than ${MAX_NUMBER_TEXT} characters`,
  invalid_character: 'it holds a character that is no digit',
  too_few_digits: `it has fewer than ${MIN_DIGITS} digits`,
  too_many_digits: `it has more than ${MAX_DIGITS} digits`,
  leading_zero: 'it is a national number (leading 0) and no country code is set for it',
  local_number: 'its phone-context names no country',
};

/** The end of a sentence: "the number is invalid: ...". */
export function describeNumberProblem(problem: NumberProblem): string {
  return PROBLEM_TEXT[problem];
}
