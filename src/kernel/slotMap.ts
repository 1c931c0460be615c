/**
 * A map for what comes and goes with each call: the part of `Map` that is used, at its cost and a list's.
 *
 * V8 makes a new table for a Map each time that additions have used up the old one, however many were removed, and the old
 * table keeps its entries and a reference to the new one, for iterators. Once one table has grown old, all that follow it
 * count as reachable until the next full collection, and so does everything that was ever in them: each finished call would
 * be copied twice and moved to the old generation. Here tables hold numbers only; values stand in a list that forgets.
 */
export class SlotMap<V> {
  readonly #slots = new Map<string, number>();
  readonly #values: (V | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#slots.size;
  }

  get(key: string): V | undefined {
    const slot = this.#slots.get(key);
    return slot === undefined ? undefined : this.#values[slot];
  }

  has(key: string): boolean {
    return this.#slots.has(key);
  }

  set(key: string, value: V): void {
    let slot = this.#slots.get(key);
    if (slot === undefined) this.#slots.set(key, (slot = this.#free.pop() ?? this.#values.length));
    this.#values[slot] = value;
  }

  delete(key: string): boolean {
    const slot = this.#slots.get(key);
    if (slot === undefined) return false;
    this.#slots.delete(key);
    this.#values[slot] = undefined;
    this.#free.push(slot);
    return true;
  }

  clear(): void {
    this.#slots.clear();
    this.#values.length = this.#free.length = 0;
  }

  /** Keys in the order in which they were added. */
  keys(): IterableIterator<string> {
    return this.#slots.keys();
  }

  /** Values in the order in which their keys were added; what is removed meanwhile does not come any more. */
  *values(): IterableIterator<V> {
    for (const slot of this.#slots.values()) yield this.#values[slot] as V;
  }

  /** As `values`, with the keys. */
  *[Symbol.iterator](): IterableIterator<[string, V]> {
    for (const [key, slot] of this.#slots) yield [key, this.#values[slot] as V];
  }
}
