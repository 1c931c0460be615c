/** What can be fuzzed, and what is expected of it. */

/** How inputs are changed: as lines of text, as JSON, or as octets; each kind is also cut and spliced as octets. */
export type InputKind = 'sip' | 'lines' | 'json' | 'text' | 'octets';

export interface Target {
  readonly name: string;
  readonly kind: InputKind;
  /** Modules whose coverage guides the search: parts of their URLs. */
  readonly covers: readonly string[];
  /** Words worth inserting. */
  readonly words: readonly string[];
  /** Longer inputs are cut. */
  readonly maxBytes: number;
  seeds(): readonly Buffer[];
  /**
   * Does everything with the input that the program would. Throws `Finding` where an oracle is hurt; whatever else it
   * throws is a finding, too.
   */
  run(input: Buffer): void | Promise<void>;
}

/** An oracle was hurt. `oracle` is short and names the file that keeps the input. */
export class Finding extends Error {
  readonly oracle: string;

  constructor(oracle: string, detail: string) {
    super(`${oracle}: ${detail}`);
    this.oracle = oracle;
  }
}

/** @param detail built only when the oracle is hurt */
export const expect = (holds: boolean, oracle: string, detail: () => string): void => {
  if (!holds) throw new Finding(oracle, detail());
};

/** Octets as text for people: one char an octet, controls escaped. */
export const show = (data: Buffer | string): string => {
  const text = JSON.stringify(typeof data === 'string' ? data : data.toString('latin1'));
  return text.length > 600 ? `${text.slice(0, 600)}...` : text;
};
