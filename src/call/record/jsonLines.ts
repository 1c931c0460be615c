/** What is kept for the next lines; memory that had to grow beyond it is let go of. */
const KEPT_BYTES = 64 * 1024;
/** Digits are worked out below this, where whole numbers are quick; moments of the calendar have two such parts. */
const PART = 1e9;

const [QUOTE, BACKSLASH, COMMA, COLON, NEWLINE, MINUS, ZERO] = [0x22, 0x5c, 0x2c, 0x3a, 0x0a, 0x2d, 0x30];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Lines of JSON on their way to a file, written as octets into memory that is used again: what `JSON.stringify` makes of
 * a record is garbage three times, in pieces, as one string, and as that string's octets. Says what `JSON.stringify`
 * says, octet by octet.
 *
 * Nothing looks whether there is room: an octet beyond the end of a typed array is not kept, but counted, so that a line
 * that did not fit is written once more where it does.
 */
export class JsonLines {
  #octets = Buffer.allocUnsafeSlow(KEPT_BYTES);
  #length = 0;

  /** The lines; good until the next are added. */
  get octets(): Buffer {
    return this.#octets;
  }

  /** Of `octets`, how many count. */
  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
    if (this.#octets.length > KEPT_BYTES) this.#octets = Buffer.allocUnsafeSlow(KEPT_BYTES);
  }

  /** @param value plain data: no cycles, bigints or symbols; `toJSON` counts where it is a class's */
  add(value: object): void {
    let end = this.#line(value);
    while (end > this.#octets.length) {
      this.#grow(end);
      end = this.#line(value);
    }
    this.#length = end;
  }

  /** An empty line, or the end of one that was cut off. */
  endLine(): void {
    if (this.#length === this.#octets.length) this.#grow(this.#length + 1);
    this.#octets[this.#length++] = NEWLINE;
  }

  #line(value: object): number {
    const end = putValue(this.#octets, this.#length, value);
    this.#octets[end] = NEWLINE;
    return end + 1;
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(2 * needed);
    this.#octets.copy(grown, 0, 0, this.#length);
    this.#octets = grown;
  }
}

/** Each writes from `at` on, and returns where it ended. */
const putValue = (octets: Buffer, at: number, value: unknown): number => {
  if (typeof value === 'string') return putText(octets, at, value);
  if (typeof value === 'number') return putNumber(octets, at, value);
  if (typeof value === 'boolean') return putWord(octets, at, value ? 'true' : 'false');
  if (value === null || typeof value !== 'object') return putWord(octets, at, 'null');
  if (Array.isArray(value)) return putList(octets, at, value);
  // What decisions hold back, and texts that are put together when somebody wants them.
  if (Object.getPrototypeOf(value) !== Object.prototype && 'toJSON' in value && typeof value.toJSON === 'function') {
    return putValue(octets, at, value.toJSON());
  }
  return putObject(octets, at, value as Record<string, unknown>);
};

const putObject = (octets: Buffer, at: number, object: Record<string, unknown>): number => {
  octets[at++] = OPEN_OBJECT;
  const start = at;
  for (const name in object) {
    const value = object[name];
    if (value === undefined || typeof value === 'function') continue;
    if (at !== start) octets[at++] = COMMA;
    at = putText(octets, at, name);
    octets[at++] = COLON;
    at = putValue(octets, at, value);
  }
  octets[at++] = CLOSE_OBJECT;
  return at;
};

const putList = (octets: Buffer, at: number, values: readonly unknown[]): number => {
  octets[at++] = OPEN_LIST;
  for (let i = 0; i < values.length; i++) {
    if (i > 0) octets[at++] = COMMA;
    at = putValue(octets, at, values[i]);
  }
  octets[at++] = CLOSE_LIST;
  return at;
};

/** Quoted. Almost all text is printable ASCII without quotes, and is copied; `JSON.stringify` knows about all other. */
const putText = (octets: Buffer, at: number, text: string): number => {
  const { length } = text;
  const start = at;
  octets[at++] = QUOTE;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) return putQuoted(octets, start, text);
    octets[at++] = code;
  }
  octets[at++] = QUOTE;
  return at;
};

const putQuoted = (octets: Buffer, at: number, text: string): number => {
  const quoted = JSON.stringify(text);
  const needed = Buffer.byteLength(quoted);
  // What fits in part would end at the last whole character.
  if (at + needed <= octets.length) octets.write(quoted, at);
  return at + needed;
};

const putNumber = (octets: Buffer, at: number, value: number): number => {
  if (!Number.isSafeInteger(value)) return putWord(octets, at, Number.isFinite(value) ? `${value}` : 'null');
  let left = value;
  if (left < 0) {
    octets[at++] = MINUS;
    left = -left;
  }
  if (left < PART) {
    let power = 1;
    while (power * 10 <= left) power *= 10;
    return putDigits(octets, at, left, power);
  }
  const above = Math.floor(left / PART);
  return putDigits(octets, putNumber(octets, at, above), left - above * PART, PART / 10);
};

/** @param power of ten of the first digit */
const putDigits = (octets: Buffer, at: number, value: number, power: number): number => {
  let left = value;
  for (; power >= 1; power /= 10) {
    const digit = Math.floor(left / power);
    octets[at++] = ZERO + digit;
    left -= digit * power;
  }
  return at;
};

const putWord = (octets: Buffer, at: number, word: string): number => {
  for (let i = 0; i < word.length; i++) octets[at++] = word.charCodeAt(i);
  return at;
};
