/**
 * Texts on which a regular expression might take long: each of its repeated pieces pumped up, behind what leads there,
 * with an end that does not match. Knows the syntax of the expressions of this program, not all of ECMAScript's.
 */

interface Piece {
  /** Source of the atom without its quantifier; '' for assertions and back-references. */
  readonly source: string;
  /** Alternatives of a group; undefined for a single character or class. */
  readonly group: readonly Piece[][] | undefined;
  readonly min: number;
  readonly max: number;
}

const CANDIDATES = [...'0a Zf-_.,:;/@"\\<>=%+*#&?[]{}()|\'~!\t\r\n\0\u00e9\u00a0\ud7ff'];

class Reader {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  /** Alternatives up to the end or the closing parenthesis. */
  alternatives(): Piece[][] {
    const all: Piece[][] = [[]];
    while (this.#at < this.#source.length && this.#source[this.#at] !== ')') {
      if (this.#source[this.#at] === '|') {
        this.#at++;
        all.push([]);
      } else all.at(-1)!.push(this.#piece());
    }
    return all;
  }

  #piece(): Piece {
    const from = this.#at;
    const group = this.#atom();
    const atom = this.#source.slice(from, this.#at);
    const [min, max] = this.#quantifier();
    const assertion = /^(?:\^|\$|\\[bB]|\\[1-9]|\(\?<?[!=])/.test(atom);
    return assertion ? { source: '', group: undefined, min: 1, max: 1 } : { source: atom, group, min, max };
  }

  /** Steps over one atom. @returns the alternatives when it is a group */
  #atom(): Piece[][] | undefined {
    const char = this.#source[this.#at++];
    if (char === '\\') {
      const braced = /^[pPu]\{[^}]*\}|^u[0-9a-f]{4}|^x[0-9a-f]{2}|^k<[^>]*>/i.exec(this.#source.slice(this.#at));
      this.#at += braced === null ? 1 : braced[0].length;
    } else if (char === '[') {
      while (this.#source[this.#at] !== ']') this.#at += this.#source[this.#at] === '\\' ? 2 : 1;
      this.#at++;
    } else if (char === '(') {
      const lead = /^\?(?::|=|!|<=|<!|<[A-Za-z_]\w*>)/.exec(this.#source.slice(this.#at));
      if (lead !== null) this.#at += lead[0].length;
      const inner = this.alternatives();
      this.#at++;
      return inner;
    }
    return undefined;
  }

  #quantifier(): [min: number, max: number] {
    const found = /^(?:[*+?]|\{(\d+)(,(\d*))?\})\??/.exec(this.#source.slice(this.#at));
    if (found === null) return [1, 1];
    this.#at += found[0].length;
    if (found[0].startsWith('*')) return [0, Infinity];
    if (found[0].startsWith('+')) return [1, Infinity];
    if (found[0].startsWith('?')) return [0, 1];
    const min = Number(found[1]);
    return [min, found[2] === undefined ? min : found[3] === '' ? Infinity : Number(found[3])];
  }
}

/** Characters of different kinds that the atom takes. */
const charsOf = (source: string, flags: string): string[] => {
  const atom = new RegExp(`^(?:${source})$`, flags.replaceAll(/[gy]/g, ''));
  const all = CANDIDATES.filter((char) => atom.test(char));
  if (all.length > 0) return [all[0]!, all[Math.floor(all.length / 2)]!, all.at(-1)!];
  for (let code = 0; code < 0x3000; code++) {
    const char = String.fromCharCode(code);
    if (atom.test(char)) return [char];
  }
  return [];
};

/** Texts that the atom takes, one after another kind. */
const samplesOf = (piece: Piece, flags: string): string[] => {
  if (piece.source === '') return [''];
  if (piece.group === undefined) return charsOf(piece.source, flags);
  return piece.group.map((pieces) => sampleOf(pieces, flags));
};

/** A short text that a sequence takes. */
const sampleOf = (pieces: readonly Piece[], flags: string): string =>
  pieces.map((piece) => (samplesOf(piece, flags)[0] ?? '').repeat(Math.min(piece.min, 40))).join('');

interface Pump {
  readonly prefix: string;
  readonly pump: string;
}

const pumpsOf = (alternatives: readonly Piece[][], flags: string, before: string, into: Pump[]): void => {
  for (const pieces of alternatives) {
    pieces.forEach((piece, i) => {
      const prefix = before + sampleOf(pieces.slice(0, i), flags);
      const samples = samplesOf(piece, flags).filter((sample) => sample !== '');
      for (const sample of samples) {
        if (piece.max > 8) into.push({ prefix, pump: sample });
        // Where a search begins at every place, the way there is what has to be repeated.
        into.push({ prefix: '', pump: prefix + sample });
      }
      if (piece.max > 8 && samples.length > 1) into.push({ prefix, pump: samples.join('') });
      if (piece.group !== undefined) pumpsOf(piece.group, flags, prefix, into);
    });
  }
};

/** @returns makers of texts of a given length */
export const attacksOn = (expression: RegExp): ((length: number) => string)[] => {
  const pumps: Pump[] = [];
  pumpsOf(new Reader(expression.source).alternatives(), expression.flags, '', pumps);
  for (const char of ['a', '0', ' ', '\n', '"', '\\', '\0']) pumps.push({ prefix: '', pump: char });
  const seen = new Set<string>();
  const makers: ((length: number) => string)[] = [];
  for (const { prefix, pump } of pumps) {
    for (const end of ['', '\u0001', 'x ']) {
      const key = JSON.stringify([prefix, pump, end]);
      if (pump === '' || seen.has(key) || seen.size > 300) continue;
      seen.add(key);
      makers.push((length) => {
        const room = Math.max(0, length - prefix.length - end.length);
        return prefix + pump.repeat(Math.floor(room / pump.length)) + end;
      });
    }
  }
  return makers;
};
