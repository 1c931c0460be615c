/** Keys of one index per chunk: a change copies one chunk, and half of it moves on average. */
const CHUNK_KEYS = 512;

interface Chunk<K> {
  readonly edit: object;
  readonly keys: K[];
}

/**
 * Keys in order, shared between versions: `with` and `without` give the next version, which shares every chunk that they
 * do not touch. Calls with one and the same `edit` object change what that object made in place: a load of a million keys
 * copies nothing.
 */
export class SortedKeys<K extends string | number> {
  readonly #edit: object;
  readonly #chunks: Chunk<K>[];
  #size: number;

  constructor(edit: object, chunks: Chunk<K>[] = [], size = 0) {
    this.#edit = edit;
    this.#chunks = chunks;
    this.#size = size;
  }

  get size(): number {
    return this.#size;
  }

  has(key: K): boolean {
    const keys = this.#chunks[this.#chunkOf(key)]?.keys;
    return keys !== undefined && keys[lowerBound(keys, key)] === key;
  }

  with(edit: object, key: K): SortedKeys<K> {
    if (edit !== this.#edit && this.has(key)) return this;
    const own = this.#owned(edit);
    own.#insert(key);
    return own;
  }

  without(edit: object, key: K): SortedKeys<K> {
    if (!this.has(key)) return this;
    const own = this.#owned(edit);
    own.#remove(key);
    return own;
  }

  /** In order; with `after` only the keys beyond that one, which need not be there. */
  *keys(after?: K): Generator<K> {
    let index = after === undefined ? 0 : this.#chunkOf(after);
    for (; index < this.#chunks.length; index++) {
      const { keys } = this.#chunks[index] as Chunk<K>;
      let i = after === undefined ? 0 : lowerBound(keys, after);
      if (after !== undefined && keys[i] === after) i++;
      for (; i < keys.length; i++) yield keys[i] as K;
    }
  }

  /** The first chunk whose last key is not below the key; for a key beyond all others, the last chunk. */
  #chunkOf(key: K): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#chunks[middle]?.keys.at(-1) as K) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #owned(edit: object): SortedKeys<K> {
    return edit === this.#edit ? this : new SortedKeys(edit, this.#chunks.slice(), this.#size);
  }

  #writable(index: number): K[] {
    const chunk = this.#chunks[index];
    if (chunk !== undefined && chunk.edit === this.#edit) return chunk.keys;
    const keys = chunk === undefined ? [] : chunk.keys.slice();
    this.#chunks[index] = { edit: this.#edit, keys };
    return keys;
  }

  #insert(key: K): void {
    const index = this.#chunkOf(key);
    const keys = this.#writable(index);
    const place = lowerBound(keys, key);
    if (keys[place] === key) return;
    this.#size++;
    if (keys.length < CHUNK_KEYS) {
      keys.splice(place, 0, key);
      return;
    }
    // Keys that come in order fill each chunk to its end; others halve it.
    const cut = place === keys.length ? keys.length : keys.length >> 1;
    const right = keys.splice(cut);
    this.#chunks.splice(index + 1, 0, { edit: this.#edit, keys: right });
    if (place < cut) keys.splice(place, 0, key);
    else right.splice(place - cut, 0, key);
  }

  #remove(key: K): void {
    const index = this.#chunkOf(key);
    const keys = this.#writable(index);
    keys.splice(lowerBound(keys, key), 1);
    this.#size--;
    if (keys.length === 0) this.#chunks.splice(index, 1);
  }
}

/** Index of the first key that is not below `key`. */
function lowerBound<K extends string | number>(keys: readonly K[], key: K): number {
  // Documents are mostly in order.
  const last = keys[keys.length - 1];
  if (last === undefined || last < key) return keys.length;
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as K) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
