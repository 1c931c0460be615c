import type { ResourceChange } from '../../call/routing/history.js';
import { resourceKey } from '../../call/routing/schema.js';
import { differenceOf } from '../difference.js';
import type { StoreDeps } from '../timeSlice.js';
import type { DocumentWork, LoadedDocument } from './documentWork.js';
import { withFileLock } from './fileLock.js';
import type { Journal, JournalEntry } from './journal.js';
import { publishedName } from './revisionName.js';

/** What the history shows as the author of an edit. */
const AUTHOR = 'file';

/** Makes revisions of what people write into the file by hand, so that history has no gaps. */
export class EditJournal {
  readonly #path: string;
  readonly #journal: Journal;
  readonly #work: DocumentWork;
  readonly #deps: StoreDeps;

  constructor(path: string, journal: Journal, work: DocumentWork, deps: StoreDeps) {
    this.#path = path;
    this.#journal = journal;
    this.#work = work;
    this.#deps = deps;
  }

  /**
   * Notes a document that was found, unless it is the newest revision anyway.
   * @param held what this process served before, as revision `base`
   */
  async note(found: LoadedDocument, held: LoadedDocument | undefined, base: string | undefined): Promise<void> {
    const newest = (await this.#journal.entries()).at(-1);
    // The first state of all is where history begins.
    if (newest?.hash === found.hash || (newest === undefined && held === undefined)) return;
    try {
      await withFileLock(this.#path, this.#deps, () => this.noteLocked(found.hash, held, base));
    } catch {
      // A folder that this process may not write: edits are served all the same, under names of this process alone.
    }
  }

  /** Under the lock of the file. @param hash of what was found: what lies there now may be newer */
  async noteLocked(
    hash: string,
    held: LoadedDocument | undefined,
    base: string | undefined,
  ): Promise<JournalEntry | undefined> {
    const newest = (await this.#journal.entries()).at(-1);
    if (newest?.hash === hash) return newest;
    const before = newest === undefined || held?.hash === newest.hash ? held : await this.#documentOf(newest);
    const now = await this.#work.load(before?.hash);
    if (before === undefined || !now.ok || now.value === 'unchanged' || now.value.hash !== hash) return undefined;
    const changes = await this.#changes(before, now.value);
    const number = (newest?.number ?? 0) + 1;
    return this.#journal.append(
      {
        number,
        revision: publishedName(number, hash),
        base: newest?.revision ?? base ?? publishedName(0, before.hash),
        hash,
        author: AUTHOR,
        at: new Date(this.#deps.clock.wallMs()).toISOString(),
      },
      { copyOf: this.#path },
      changes,
    );
  }

  async #documentOf(entry: JournalEntry): Promise<LoadedDocument | undefined> {
    const loaded = await this.#work.load(undefined, this.#journal.documentPath(entry));
    return loaded.ok && loaded.value !== 'unchanged' ? loaded.value : undefined;
  }

  async #changes(before: LoadedDocument, after: LoadedDocument): Promise<ResourceChange[]> {
    const difference = await differenceOf(before.table, after.table, Infinity, this.#deps);
    if (difference === undefined) return [];
    const { upserts, deletes } = difference;
    return [
      ...deletes.map((key) => ({ key, before: before.table.get(key)?.value, after: undefined })),
      ...upserts.map((resource) => {
        const key = resourceKey(resource);
        return { key, before: before.table.get(key)?.value, after: resource.value };
      }),
    ];
  }
}
