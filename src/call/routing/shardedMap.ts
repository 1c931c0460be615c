/**
 * Hash maps cut into shards, shared between versions. `fork` copies the list of shards only; a write copies the one shard
 * it touches, once. So a new version of a map of a million keys costs microseconds, growth never rehashes more than one
 * shard, and the old version stays as it was for the calls that are pinned to it.
 */

const SHARD_BITS = 10;
const SHARDS = 1 << SHARD_BITS;
const FIRST_CAPACITY = 8;
const EMPTY = 0;

interface NumberShard<V> {
  readonly edit: object;
  keys: Float64Array;
  values: (V | undefined)[];
  used: number;
}

/** Mixes an integer below 2^53 into 32 bits. */
function hashNumber(key: number): number {
  let h = (key | 0) ^ Math.imul((key / 4294967296) | 0, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Open addressing with linear probing; keys are integers 1..2^53-1 (0 marks a free slot). */
export class NumberKeyMap<V> {
  #edit: object | undefined = {};
  readonly #shards: (NumberShard<V> | undefined)[];
  #size: number;

  constructor(from?: NumberKeyMap<V>) {
    this.#shards =
      from === undefined ? new Array<NumberShard<V> | undefined>(SHARDS).fill(undefined) : from.#shards.slice();
    this.#size = from === undefined ? 0 : from.#size;
  }

  get size(): number {
    return this.#size;
  }

  get(key: number): V | undefined {
    const hash = hashNumber(key);
    const shard = this.#shards[hash >>> (32 - SHARD_BITS)];
    if (shard === undefined) return undefined;
    const keys = shard.keys;
    const mask = keys.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const found = keys[slot];
      if (found === key) return shard.values[slot];
      if (found === EMPTY) return undefined;
    }
  }

  /** A writable copy that shares every shard until it is written. */
  fork(): NumberKeyMap<V> {
    return new NumberKeyMap(this);
  }

  /** No more writes: from here on the map is a value. */
  freeze(): this {
    this.#edit = undefined;
    return this;
  }

  set(key: number, value: V): void {
    const hash = hashNumber(key);
    let shard = this.#writable(hash >>> (32 - SHARD_BITS));
    if ((shard.used + 1) * 4 > shard.keys.length * 3) shard = grow(shard);
    const mask = shard.keys.length - 1;
    let slot = hash & mask;
    while (shard.keys[slot] !== EMPTY && shard.keys[slot] !== key) slot = (slot + 1) & mask;
    if (shard.keys[slot] === EMPTY) {
      shard.keys[slot] = key;
      shard.used++;
      this.#size++;
    }
    shard.values[slot] = value;
  }

  delete(key: number): boolean {
    if (this.get(key) === undefined) return false;
    const hash = hashNumber(key);
    const shard = this.#writable(hash >>> (32 - SHARD_BITS));
    const mask = shard.keys.length - 1;
    let slot = hash & mask;
    while (shard.keys[slot] !== key) slot = (slot + 1) & mask;
    closeGap(shard, slot);
    shard.used--;
    this.#size--;
    return true;
  }

  *entries(): Generator<[number, V]> {
    for (const shard of this.#shards) {
      if (shard === undefined) continue;
      for (let slot = 0; slot < shard.keys.length; slot++) {
        if (shard.keys[slot] !== EMPTY) yield [shard.keys[slot] as number, shard.values[slot] as V];
      }
    }
  }

  #writable(index: number): NumberShard<V> {
    const edit = this.#edit;
    if (edit === undefined) throw new TypeError('write to a frozen map');
    const shard = this.#shards[index];
    if (shard !== undefined && shard.edit === edit) return shard;
    const own: NumberShard<V> =
      shard === undefined
        ? {
            edit,
            keys: new Float64Array(FIRST_CAPACITY),
            values: new Array<V | undefined>(FIRST_CAPACITY).fill(undefined),
            used: 0,
          }
        : { edit, keys: shard.keys.slice(), values: shard.values.slice(), used: shard.used };
    this.#shards[index] = own;
    return own;
  }
}

function grow<V>(shard: NumberShard<V>): NumberShard<V> {
  const { keys, values } = shard;
  const capacity = keys.length * 2;
  const mask = capacity - 1;
  const grownKeys = new Float64Array(capacity);
  const grownValues = new Array<V | undefined>(capacity).fill(undefined);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as number;
    if (key === EMPTY) continue;
    let slot = hashNumber(key) & mask;
    while (grownKeys[slot] !== EMPTY) slot = (slot + 1) & mask;
    grownKeys[slot] = key;
    grownValues[slot] = values[i];
  }
  shard.keys = grownKeys;
  shard.values = grownValues;
  return shard;
}

/** Empties `gap` and moves later entries of the probe run back, so that no search stops early. */
function closeGap<V>(shard: NumberShard<V>, gap: number): void {
  const { keys, values } = shard;
  const mask = keys.length - 1;
  let hole = gap;
  for (let slot = (hole + 1) & mask; keys[slot] !== EMPTY; slot = (slot + 1) & mask) {
    const home = hashNumber(keys[slot] as number) & mask;
    const mayMove = ((slot - home) & mask) >= ((slot - hole) & mask);
    if (!mayMove) continue;
    keys[hole] = keys[slot] as number;
    values[hole] = values[slot];
    hole = slot;
  }
  keys[hole] = EMPTY;
  values[hole] = undefined;
}

const TEXT_SHARDS = 256;

/** FNV-1a over UTF-16 units. */
function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h ^ (h >>> 16)) & (TEXT_SHARDS - 1);
}

/** The same for identifiers: shards are plain Maps. */
export class TextKeyMap<V> {
  #edit: object | undefined = {};
  readonly #shards: { readonly edit: object; readonly map: Map<string, V> }[];
  #size: number;

  constructor(from?: TextKeyMap<V>) {
    this.#shards = from === undefined ? [] : from.#shards.slice();
    this.#size = from === undefined ? 0 : from.#size;
    if (from !== undefined) return;
    const edit = {};
    for (let i = 0; i < TEXT_SHARDS; i++) this.#shards.push({ edit, map: new Map() });
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    return this.#shards[hashText(key)]?.map.get(key);
  }

  fork(): TextKeyMap<V> {
    return new TextKeyMap(this);
  }

  freeze(): this {
    this.#edit = undefined;
    return this;
  }

  set(key: string, value: V): void {
    const map = this.#writable(hashText(key));
    const before = map.size;
    map.set(key, value);
    this.#size += map.size - before;
  }

  delete(key: string): boolean {
    if (this.get(key) === undefined) return false;
    this.#size--;
    return this.#writable(hashText(key)).delete(key);
  }

  *values(): Generator<V> {
    for (const shard of this.#shards) yield* shard.map.values();
  }

  #writable(index: number): Map<string, V> {
    const edit = this.#edit;
    if (edit === undefined) throw new TypeError('write to a frozen map');
    const shard = this.#shards[index] as { readonly edit: object; readonly map: Map<string, V> };
    if (shard.edit === edit) return shard.map;
    const map = new Map(shard.map);
    this.#shards[index] = { edit, map };
    return map;
  }
}
