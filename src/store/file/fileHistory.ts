import {
  type RevisionPage,
  type RevisionQuery,
  type RevisionRecord,
  type RoutingHistory,
  revisionNotFound,
} from '../../call/routing/history.js';
import { countOf } from '../historyBounds.js';
import { headOf } from '../revisionHead.js';
import { historyTrimmed } from '../problem.js';
import type { Journal, JournalEntry } from './journal.js';

/** The journal as history. */
export class FileHistory implements RoutingHistory {
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  async list({ before, limit }: RevisionQuery): Promise<RevisionPage> {
    const kept = await this.#kept();
    const end = before === undefined ? kept.length : kept.findIndex((entry) => entry.revision === before);
    if (end < 0 && !olderThan(kept, before as string)) throw revisionNotFound(before as string);
    const page = kept.slice(Math.max(0, end - limit), Math.max(0, end)).reverse();
    const revisions = page.map((entry) => ({ ...headOf(entry), changes: entry.changes }));
    return { revisions, trimmed: kept.length > 0 && kept[0]?.number !== 1 };
  }

  async get(revision: string): Promise<RevisionRecord> {
    const kept = await this.#kept();
    const entry = kept.find((one) => one.revision === revision);
    if (entry === undefined) throw olderThan(kept, revision) ? historyTrimmed(revision) : revisionNotFound(revision);
    return { ...headOf(entry), changes: await this.#journal.changes(entry) };
  }

  /** Entries of a version that kept no changes do not count. */
  async #kept(): Promise<JournalEntry[]> {
    return (await this.#journal.entries()).filter((entry) => entry.base !== undefined);
  }
}

const olderThan = (kept: readonly JournalEntry[], revision: string): boolean => {
  const count = countOf(revision);
  return count > 0 && count < (kept[0]?.number ?? 0);
};
