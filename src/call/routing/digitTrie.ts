/** Longest prefix over decimal digits: destinations, network groups, prices. Versions share what they do not change. */

interface TrieNode<V> {
  edit: object;
  value: V | undefined;
  children: (TrieNode<V> | undefined)[] | undefined;
}

export interface PrefixMatch<V> {
  readonly prefix: string;
  readonly value: V;
}

const DIGIT_ZERO = 0x30;

/** Prefixes are digits only, at most 15 (E.164); anything else is never stored and never matches. */
export class DigitTrie<V> {
  #edit: object | undefined = {};
  #root: TrieNode<V> | undefined;
  #size: number;

  constructor(from?: DigitTrie<V>) {
    this.#root = from === undefined ? undefined : from.#root;
    this.#size = from === undefined ? 0 : from.#size;
  }

  get size(): number {
    return this.#size;
  }

  fork(): DigitTrie<V> {
    return new DigitTrie(this);
  }

  freeze(): this {
    this.#edit = undefined;
    return this;
  }

  /** The value of the longest stored prefix of `digits`, read from `start` (1 skips the `+` of E.164). */
  match(digits: string, start = 0): PrefixMatch<V> | undefined {
    let node = this.#root;
    let value = node?.value;
    let end = start;
    for (let i = start; i < digits.length && node !== undefined; i++) {
      const digit = digits.charCodeAt(i) - DIGIT_ZERO;
      if (digit < 0 || digit > 9) break;
      node = node.children?.[digit];
      if (node?.value === undefined) continue;
      value = node.value;
      end = i + 1;
    }
    return value === undefined ? undefined : { prefix: digits.slice(start, end), value };
  }

  /** The value stored under exactly this prefix. */
  get(prefix: string): V | undefined {
    let node = this.#root;
    for (let i = 0; i < prefix.length && node !== undefined; i++)
      node = node.children?.[prefix.charCodeAt(i) - DIGIT_ZERO];
    return node?.value;
  }

  /** Stores, or with undefined removes, the value of a prefix. */
  set(prefix: string, value: V | undefined): void {
    const edit = this.#edit;
    if (edit === undefined) throw new TypeError('write to a frozen trie');
    let node = own(this.#root, edit);
    this.#root = node;
    for (let i = 0; i < prefix.length; i++) {
      const digit = prefix.charCodeAt(i) - DIGIT_ZERO;
      if (digit < 0 || digit > 9) return;
      node.children ??= new Array<TrieNode<V> | undefined>(10).fill(undefined);
      const child: TrieNode<V> = own(node.children[digit], edit);
      node.children[digit] = child;
      node = child;
    }
    this.#size += (value === undefined ? 0 : 1) - (node.value === undefined ? 0 : 1);
    node.value = value;
  }
}

function own<V>(node: TrieNode<V> | undefined, edit: object): TrieNode<V> {
  if (node === undefined) return { edit, value: undefined, children: undefined };
  return node.edit === edit ? node : { edit, value: node.value, children: node.children?.slice() };
}
