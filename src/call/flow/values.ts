/** What variables, results and expressions hold. */
export type Value = string | number | boolean | null;

export interface Values {
  readonly [name: string]: Value;
}

/** Longer texts are cut when they are stored: a webhook's answer must not grow the call without bound. */
export const MAX_TEXT = 4096;

/** Text as a template prints it: nothing for null. */
export const textOf = (value: Value): string => (value === null ? '' : String(value));

/** False, null, 0 and the empty text are false. */
export const isTrue = (value: Value): boolean => value !== false && value !== null && value !== '' && value !== 0;

/** `value`, cut to what is kept. */
export const kept = (value: Value): Value => (typeof value === 'string' ? value.slice(0, MAX_TEXT) : value);
