/** ITU-T Q.23: a key is one low and one high frequency. */
export const LOW_HZ: readonly number[] = [697, 770, 852, 941];
export const HIGH_HZ: readonly number[] = [1209, 1336, 1477, 1633];
/** Row after row. */
export const KEYPAD = '123A456B789C*0#D';

/** The pair of a key (letters in either case); undefined when it is none. */
export function frequenciesOf(digit: string): readonly [number, number] | undefined {
  const key = digit.length === 1 ? KEYPAD.indexOf(digit.toUpperCase()) : -1;
  return key < 0 ? undefined : [LOW_HZ[key >> 2] as number, HIGH_HZ[key & 3] as number];
}
