import { COMMA, EQUAL, matchesWord, QUOTE, SEMI, skipClass, skipQuoted, skipSpace, TOKEN, VALUE } from './chars.js';
import { unquote } from './text.js';

/** Walks header parameters, `;name[=value]` with spaces where RFC 3261 §25.1 allows them. Positions, no strings. */
export class ParamCursor {
  text = '';
  end = 0;
  /** Where the walk stands; after the last parameter: the end, or the comma that ended the list. */
  at = 0;
  nameStart = 0;
  nameEnd = 0;
  /** -1: a flag, no value. Quotes of a quoted value lie within. */
  valueStart = -1;
  valueEnd = -1;

  /** Begins a walk of `text[at, end)`. Whoever walks often keeps one cursor for all that it walks. */
  over(text: string, at: number, end: number): this {
    this.text = text;
    this.at = at;
    this.end = end;
    return this;
  }

  /** @returns 1: a parameter was read; 0: no more; -1: malformed here */
  next(): 1 | 0 | -1 {
    const text = this.text;
    let i = skipSpace(text, this.at);
    if (i >= this.end) {
      this.at = this.end;
      return 0;
    }
    this.at = i;
    const c = text.charCodeAt(i);
    if (c === COMMA) return 0;
    if (c !== SEMI) return -1;
    this.nameStart = skipSpace(text, i + 1);
    i = this.nameEnd = skipClass(text, this.nameStart, TOKEN);
    if (this.nameEnd === this.nameStart) return -1;
    this.valueStart = this.valueEnd = -1;
    if (i < this.end && text.charCodeAt(i) !== SEMI) {
      i = skipSpace(text, i);
      if (text.charCodeAt(i) === EQUAL) return this.readValue(i + 1);
    }
    this.at = i;
    return 1;
  }

  private readValue(i: number): 1 | -1 {
    const text = this.text;
    i = this.valueStart = skipSpace(text, i);
    const end = text.charCodeAt(i) === QUOTE ? skipQuoted(text, i, this.end) : skipClass(text, i, VALUE);
    if (end <= i || end > this.end) return -1;
    this.valueEnd = this.at = end;
    return 1;
  }

  /** Compares the name, in lower case, without regard to case. */
  is(lower: string): boolean {
    return matchesWord(this.text, this.nameStart, this.nameEnd, lower);
  }

  /** The value without quotes; '' for a flag. */
  value(): string {
    if (this.valueStart < 0) return '';
    const raw = this.text.slice(this.valueStart, this.valueEnd);
    return this.text.charCodeAt(this.valueStart) === QUOTE ? unquote(raw) : raw;
  }
}

/**
 * Value of the first parameter of this name in `;a=b;c` (case-insensitive).
 * @returns '' for a flag, quoted values without quotes, undefined when absent
 */
export function param(params: string, name: string): string | undefined {
  if (params.length === 0) return undefined;
  const lower = name.toLowerCase();
  const cursor = new ParamCursor().over(params, 0, params.length);
  while (cursor.next() === 1) {
    if (cursor.is(lower)) return cursor.value();
  }
  return undefined;
}
