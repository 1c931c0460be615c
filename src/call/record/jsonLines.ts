/** What is kept for the next lines; memory that had to grow beyond it is let go of. */
const KEPT_BYTES = 64 * 1024;
/** Octets that a character takes at most: `\u0000`. */
const MOST_OCTETS = 6;

const [QUOTE, BACKSLASH, COMMA, COLON, NEWLINE] = [0x22, 0x5c, 0x2c, 0x3a, 0x0a];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

const isAbsent = (value: unknown): boolean => value === undefined || typeof value === 'function';

/**
 * Lines of JSON on their way to a file, written as octets into memory that is used again: what `JSON.stringify` makes of
 * a record is garbage three times, in pieces, as one string, and as that string's octets. Says what `JSON.stringify`
 * says, octet by octet.
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

  /** @param value plain data: no cycles, bigints or symbols */
  add(value: object): void {
    this.#value(value);
    this.endLine();
  }

  /** An empty line, or the end of one that was cut off. */
  endLine(): void {
    this.#room(1);
    this.#octets[this.#length++] = NEWLINE;
  }

  #value(value: unknown): void {
    if (typeof value === 'string') this.#text(value);
    else if (typeof value === 'number') this.#word(Number.isFinite(value) ? `${value}` : 'null');
    else if (typeof value === 'boolean') this.#word(value ? 'true' : 'false');
    else if (value === null || typeof value !== 'object') this.#word('null');
    else if (Array.isArray(value)) this.#list(value);
    else if ('toJSON' in value && typeof value.toJSON === 'function') this.#value(value.toJSON());
    else this.#object(value as Record<string, unknown>);
  }

  #object(object: Record<string, unknown>): void {
    this.#mark(OPEN_OBJECT);
    let isFirst = true;
    for (const name in object) {
      const value = object[name];
      if (isAbsent(value)) continue;
      if (!isFirst) this.#mark(COMMA);
      isFirst = false;
      this.#text(name);
      this.#mark(COLON);
      this.#value(value);
    }
    this.#mark(CLOSE_OBJECT);
  }

  #list(values: readonly unknown[]): void {
    this.#mark(OPEN_LIST);
    for (let i = 0; i < values.length; i++) {
      if (i > 0) this.#mark(COMMA);
      this.#value(values[i]);
    }
    this.#mark(CLOSE_LIST);
  }

  #mark(octet: number): void {
    this.#room(1);
    this.#octets[this.#length++] = octet;
  }

  #word(word: string): void {
    this.#room(word.length);
    const octets = this.#octets;
    for (let i = 0; i < word.length; i++) octets[this.#length++] = word.charCodeAt(i);
  }

  /** Quoted. Almost all text is printable ASCII without quotes, and is copied; `JSON.stringify` knows about all other. */
  #text(text: string): void {
    this.#room(text.length * MOST_OCTETS + 2);
    const octets = this.#octets;
    let at = this.#length;
    octets[at++] = QUOTE;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) {
        this.#length += octets.write(JSON.stringify(text), this.#length);
        return;
      }
      octets[at++] = code;
    }
    octets[at++] = QUOTE;
    this.#length = at;
  }

  #room(octets: number): void {
    const needed = this.#length + octets;
    if (needed <= this.#octets.length) return;
    const grown = Buffer.allocUnsafeSlow(2 * needed);
    this.#octets.copy(grown, 0, 0, this.#length);
    this.#octets = grown;
  }
}
