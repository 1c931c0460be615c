/** Comma-separated values (RFC 4180), in pieces: also with semicolons or tabs, a byte order mark, and any line end. */

/** Longest row, in characters: a quote that nobody closes must not swallow the file. */
const MAX_ROW = 65_536;

export interface CsvRow {
  /** Of the row's first line, from 1. */
  readonly line: number;
  readonly cells: readonly string[];
  /** What is wrong with it as a row; then there are no cells. */
  readonly fault?: string;
}

const DELIMITERS = [',', ';', '\t', '|'] as const;

/** The one that stands most often in the first line, outside quotes. */
const delimiterOf = (line: string): string => {
  const bare = line.replace(/"[^"]*"/g, '');
  let best: string = ',';
  let most = 0;
  for (const one of DELIMITERS) {
    const count = bare.split(one).length - 1;
    if (count > most) [best, most] = [one, count];
  }
  return best;
};

/** Hands out rows as their text comes in; empty lines are none. Linear in the text. */
export class CsvReader {
  #delimiter: string | undefined;
  #rest = '';
  #line = 0;
  /** A row whose quotes are open at the end of its line, and the line that it began in. */
  #open: string | undefined;
  #openLine = 0;
  #openQuotes = false;

  *push(text: string): Generator<CsvRow> {
    const all = this.#rest + text;
    let from = 0;
    for (let end = all.indexOf('\n'); end >= 0; end = all.indexOf('\n', from)) {
      yield* this.#take(all.slice(from, all.charCodeAt(end - 1) === 13 && end > from ? end - 1 : end));
      from = end + 1;
    }
    this.#rest = all.slice(from);
    if (this.#rest.length > MAX_ROW) {
      this.#rest = '';
      yield { line: this.#line + 1, cells: [], fault: `a line is longer than ${MAX_ROW} characters` };
    }
  }

  /** What came after the last line end. */
  *end(): Generator<CsvRow> {
    if (this.#rest !== '') yield* this.#take(this.#rest);
    this.#rest = '';
    if (this.#open !== undefined) yield this.#unclosed();
  }

  *#take(line: string): Generator<CsvRow> {
    this.#line++;
    const text = this.#line === 1 && line.charCodeAt(0) === 0xfeff ? line.slice(1) : line;
    if (this.#open === undefined) {
      if (text.trim() === '') return;
      this.#delimiter ??= delimiterOf(text);
      if (!text.includes('"')) {
        yield { line: this.#line, cells: text.split(this.#delimiter) };
        return;
      }
      this.#open = text;
      this.#openLine = this.#line;
      this.#openQuotes = oddQuotes(text);
    } else {
      this.#open += `\n${text}`;
      if (oddQuotes(text)) this.#openQuotes = !this.#openQuotes;
    }
    if (this.#openQuotes) {
      if (this.#open.length > MAX_ROW) yield this.#unclosed();
      return;
    }
    const row = this.#open;
    this.#open = undefined;
    yield { line: this.#openLine, cells: quotedCells(row, this.#delimiter as string) };
  }

  #unclosed(): CsvRow {
    this.#open = undefined;
    return { line: this.#openLine, cells: [], fault: 'a quote is opened and not closed' };
  }
}

/** Quotes within quotes are doubled, so that a whole row has an even number of them. */
const oddQuotes = (text: string): boolean => {
  let odd = false;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) odd = !odd;
  return odd;
};

/** The cells of a row whose quotes are even. */
const quotedCells = (row: string, delimiter: string): string[] => {
  const cells: string[] = [];
  let at = 0;
  for (;;) {
    const start = at;
    while (row[at] === ' ') at++;
    if (row[at] !== '"') {
      const end = row.indexOf(delimiter, start);
      cells.push(row.slice(start, end < 0 ? row.length : end));
      if (end < 0) return cells;
      at = end + 1;
      continue;
    }
    let close = row.indexOf('"', at + 1);
    while (close >= 0 && row[close + 1] === '"') close = row.indexOf('"', close + 2);
    const last = close < 0 ? row.length : close;
    const end = row.indexOf(delimiter, last);
    cells.push(row.slice(at + 1, last).replaceAll('""', '"'));
    if (end < 0) return cells;
    at = end + 1;
  }
};
