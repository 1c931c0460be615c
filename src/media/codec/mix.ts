/** Adds `source` to `target`, sample by sample, held within 16 bits: a loud sum clips instead of wrapping around. */
export function mixInto(target: Int16Array, source: Int16Array): void {
  const count = Math.min(target.length, source.length);
  for (let i = 0; i < count; i++) {
    const sum = (target[i] as number) + (source[i] as number);
    target[i] = sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum;
  }
}

/** Multiplies by `gain` (1 = unchanged), held within 16 bits. */
export function scale(target: Int16Array, gain: number): void {
  for (let i = 0; i < target.length; i++) {
    const value = Math.round((target[i] as number) * gain);
    target[i] = value > 32767 ? 32767 : value < -32768 ? -32768 : value;
  }
}
