/** Something that can be in a roster, one at a time. */
export interface RosterMember {
  /** Where it stands in its roster; the roster's own. Begin with `NOT_LISTED`. */
  place: number;
}

export const NOT_LISTED = -1;

/**
 * A set for what comes and goes with each call, without `Set`'s tables, whose old ones keep what was in them (see
 * `SlotMap`). Of no particular order.
 */
export class Roster<T extends RosterMember> {
  readonly #members: T[] = [];

  get size(): number {
    return this.#members.length;
  }

  has(member: T): boolean {
    return this.#members[member.place] === member;
  }

  add(member: T): void {
    if (this.has(member)) return;
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** @returns whether it was there */
  delete(member: T): boolean {
    if (!this.has(member)) return false;
    const last = this.#members.pop() as T;
    if (last !== member) {
      this.#members[member.place] = last;
      last.place = member.place;
    }
    member.place = NOT_LISTED;
    return true;
  }

  /** Empties it. @returns those who were in it */
  takeAll(): T[] {
    const members = this.#members.splice(0);
    for (const member of members) member.place = NOT_LISTED;
    return members;
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#members[Symbol.iterator]();
  }
}
