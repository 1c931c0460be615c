import type { Clock, Random } from '../../kernel/index.js';

/** Crockford's base 32: no I, L, O, U. */
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_DIGITS = 10;

/** Two digits at a time. */
const PAIRS = Array.from({ length: 1024 }, (_, i) => `${DIGITS[i >> 5]}${DIGITS[i & 31]}`);

/** Of a lower-case hexadecimal digit. */
const nibble = (code: number): number => (code < 0x60 ? code - 0x30 : code - 0x57);

/** `value` in base 32, most significant digit first. */
const encode = (value: number, digits: number): string => {
  let text = '';
  for (let i = 0; i < digits; i++) {
    text = (DIGITS[value % 32] as string) + text;
    value = Math.floor(value / 32);
  }
  return text;
};

/**
 * Makes call ids: 26 characters, 48 bits of time and 80 of chance (the form of a ULID), so that ids sort by the
 * calls' beginning, to the millisecond, and never repeat across nodes.
 */
export class CallIds {
  readonly #clock: Clock;
  readonly #random: Random;
  #timeMs = -1;
  #timeText = '';

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  next(): string {
    const nowMs = Math.floor(this.#clock.wallMs());
    if (nowMs !== this.#timeMs) {
      this.#timeMs = nowMs;
      this.#timeText = encode(nowMs, TIME_DIGITS);
    }
    const hex = this.#random.hex(10);
    let text = this.#timeText;
    // 20 bits at a time: five hexadecimal digits are four of base 32.
    for (let i = 0; i < 20; i += 5) {
      let bits = 0;
      for (let k = i; k < i + 5; k++) bits = (bits << 4) | nibble(hex.charCodeAt(k));
      text += PAIRS[bits >> 10]! + PAIRS[bits & 1023]!;
    }
    return text;
  }
}
