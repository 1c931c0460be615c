/** Which numbers a trunk may call: allowed and denied prefixes, the longest decides. */

export interface PrefixVerdict {
  readonly allowed: boolean;
  /** The rule that decided; undefined when none matched. */
  readonly prefix: string | undefined;
}

export class PrefixRules {
  readonly #rules = new Map<string, boolean>();
  /** Longest first. */
  readonly #lengths: readonly number[];
  /** What holds where no prefix matches: all is allowed, unless something in particular is. */
  readonly #otherwise: boolean;

  /** @param allow undefined: everything that is not denied. A prefix in both lists is denied. */
  constructor(allow: readonly string[] | undefined, deny: readonly string[] = []) {
    for (const prefix of allow ?? []) this.#rules.set(prefix, true);
    for (const prefix of deny) this.#rules.set(prefix, false);
    this.#lengths = [...new Set([...this.#rules.keys()].map((prefix) => prefix.length))].sort((a, b) => b - a);
    this.#otherwise = allow === undefined;
  }

  /** Undefined for a trunk without rules: nothing is kept for it, nothing is asked. */
  static of(allow: readonly string[] | undefined, deny: readonly string[] | undefined): PrefixRules | undefined {
    return allow === undefined && (deny === undefined || deny.length === 0) ? undefined : new PrefixRules(allow, deny);
  }

  /** @param e164 `+` and digits */
  judge(e164: string): PrefixVerdict {
    for (const length of this.#lengths) {
      if (length >= e164.length) continue;
      const prefix = e164.slice(1, 1 + length);
      const allowed = this.#rules.get(prefix);
      if (allowed !== undefined) return { allowed, prefix };
    }
    return { allowed: this.#otherwise, prefix: undefined };
  }
}
