interface Ring<T> {
  readonly members: T[];
  next: number;
}

/** Who wants which requests: verb (a SIP method in lower case, or a record event) to connections, in turns. */
export class RouteTable<T> {
  readonly #rings = new Map<string, Ring<T>>();

  /** Adding twice is adding once. */
  add(verb: string, member: T): void {
    const ring = this.#rings.get(verb);
    if (ring === undefined) this.#rings.set(verb, { members: [member], next: 0 });
    else if (!ring.members.includes(member)) ring.members.push(member);
  }

  remove(verb: string, member: T): void {
    const ring = this.#rings.get(verb);
    const at = ring?.members.indexOf(member) ?? -1;
    if (ring === undefined || at < 0) return;
    ring.members.splice(at, 1);
    // The turn stays with the member whose it was.
    if (at < ring.next) ring.next--;
    if (ring.members.length === 0) this.#rings.delete(verb);
  }

  removeAll(member: T): void {
    for (const verb of [...this.#rings.keys()]) this.remove(verb, member);
  }

  has(verb: string): boolean {
    return this.#rings.has(verb);
  }

  /** The next in turn, undefined when nobody is registered. */
  pick(verb: string): T | undefined {
    const ring = this.#rings.get(verb);
    if (ring === undefined) return undefined;
    const member = ring.members[ring.next % ring.members.length];
    ring.next = (ring.next + 1) % ring.members.length;
    return member;
  }

  /** Verbs and how many are registered for each. */
  dump(): Record<string, number> {
    return Object.fromEntries([...this.#rings].map(([verb, ring]) => [verb, ring.members.length]));
  }
}
