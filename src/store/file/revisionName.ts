import type { JournalEntry } from './journal.js';

/**
 * Names what a follower finds in the file. A published document has the name that the journal gives it, the same in
 * every process: `NUMBER-HASH`. What an editor wrote is `NUMBER.COUNT-HASH`: the COUNTth unpublished state that this
 * process saw since publication NUMBER. So no name comes twice, even when an old content comes back.
 */
export class RevisionNames {
  #number = -1;
  #count = 0;
  #issued = -1;

  /** @param last newest entry of the journal, if there is one. */
  next(hash: string, last: JournalEntry | undefined): string {
    const number = last?.number ?? 0;
    if (number !== this.#number) this.#count = 0;
    this.#number = number;
    if (!this.isNew(hash, last)) return `${number}.${++this.#count}-${hash}`;
    this.#issued = number;
    return last?.revision ?? publishedName(0, hash);
  }

  /** True when this content is the newest publication, and was not named yet. Before any, the first content is. */
  isNew(hash: string, last: JournalEntry | undefined): boolean {
    return (last?.hash ?? hash) === hash && this.#issued !== (last?.number ?? 0);
  }
}

export const publishedName = (number: number, hash: string): string => `${number}-${hash}`;

/** The content hash at the end of a revision's name: what a base is compared by. */
export const hashOfRevision = (revision: string): string => revision.slice(revision.lastIndexOf('-') + 1);
