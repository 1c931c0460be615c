/** What can be cut without a copy: Buffer, Int16Array ... */
interface Cuttable<A> {
  readonly length: number;
  subarray(from: number, to: number): A;
}

/**
 * Room for one message at a time, of which there is one for the thread: what is in it is used up before the next comes.
 * The view of the message before is kept, for nearly always the next has its length.
 */
export class Scratch<A extends Cuttable<A>> {
  readonly room: A;
  #cut: A;

  constructor(room: A) {
    this.room = room;
    this.#cut = room;
  }

  /** @param length at most the room's @returns the room's beginning; valid until the next message is written */
  first(length: number): A {
    if (this.#cut.length !== length) this.#cut = this.room.subarray(0, length);
    return this.#cut;
  }
}
