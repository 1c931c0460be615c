import type { JournalEntry } from './journal.js';

/**
 * Names what a follower finds in the file. A published document has the name that the journal gives it, the same in
 * every process: `NUMBER-HASH`. What an editor wrote is `NUMBER.COUNT-HASH`: the COUNTth unpublished state that this
 * process saw, after publication NUMBER. So no name comes twice, even when an old content comes back.
 */
export class RevisionNames {
  #count = 0;
  #issued = -1;

  /** @param journal oldest first. It is written before the document: its newest entry may not have come here yet. */
  next(hash: string, journal: readonly JournalEntry[]): string {
    const published = this.unnamed(hash, journal);
    if (published === undefined && (journal.length > 0 || this.#issued >= 0)) {
      return `${journal.at(-1)?.number ?? 0}.${++this.#count}-${hash}`;
    }
    this.#issued = published?.number ?? 0;
    return published?.revision ?? publishedName(0, hash);
  }

  /** The newest publication of this content, unless it or a later one was named already. */
  unnamed(hash: string, journal: readonly JournalEntry[]): JournalEntry | undefined {
    return journal.findLast((entry) => entry.hash === hash && entry.number > this.#issued);
  }
}

export const publishedName = (number: number, hash: string): string => `${number}-${hash}`;

/** The content hash at the end of a revision's name: what a base is compared by. */
export const hashOfRevision = (revision: string): string => revision.slice(revision.lastIndexOf('-') + 1);
