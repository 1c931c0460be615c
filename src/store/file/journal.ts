import { copyFile, mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { ResourceChange } from '../../call/routing/history.js';
import { writeAtomically } from '../atomicWrite.js';
import { HISTORY_BOUNDS, type HistoryBounds } from '../historyBounds.js';
import { TimeSlice, type StoreDeps } from '../timeSlice.js';

/** Whole documents kept for a look back, besides what each revision changed. */
const KEPT_DOCUMENTS = 20;
const KEPT_DOCUMENT_BYTES = 256 * 1024 * 1024;
const INDEX = 'index.jsonl';
/** Written at once. */
const CHUNK_CHARACTERS = 256 * 1024;

export interface JournalEntry {
  /** Counts revisions, from 1. */
  readonly number: number;
  readonly revision: string;
  readonly base: string;
  /** Content hash of the document. */
  readonly hash: string;
  readonly author: string;
  readonly note?: string;
  /** ISO 8601. */
  readonly at: string;
  /** How many resources it changed. */
  readonly changes: number;
  /** Of what it changed, in the file `REVISION.changes.jsonl`. */
  readonly bytes: number;
  /** Name of the document within the journal, and its size. The document is there for the newest ones only. */
  readonly file: string;
  readonly documentBytes: number;
}

export type NewEntry = Omit<JournalEntry, 'file' | 'documentBytes' | 'changes' | 'bytes'>;

/** The document of a revision: its text, or the file that holds it. */
export type DocumentSource = { readonly text: string } | { readonly copyOf: string };

/** The last revisions, in a directory beside the document, with an index of one JSON line each. */
export class Journal {
  readonly #directory: string;
  readonly #extension: string;
  readonly #deps: StoreDeps;
  readonly #bounds: HistoryBounds;

  constructor(documentPath: string, deps: StoreDeps, bounds: HistoryBounds = HISTORY_BOUNDS) {
    this.#bounds = bounds;
    this.#directory = `${documentPath}.revisions`;
    this.#extension = extname(documentPath);
    this.#deps = deps;
  }

  /** Oldest first. A missing journal is an empty one; lines that do not parse are left out. */
  async entries(): Promise<JournalEntry[]> {
    const text = await readFile(join(this.#directory, INDEX), 'utf8').catch(() => '');
    return text.split('\n').flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as JournalEntry];
      } catch {
        return [];
      }
    });
  }

  /** Path of the whole document of a revision. */
  documentPath(entry: JournalEntry): string {
    return join(this.#directory, entry.file);
  }

  /** What a revision changed. */
  async changes(entry: JournalEntry): Promise<ResourceChange[]> {
    const slice = new TimeSlice(this.#deps);
    const changes: ResourceChange[] = [];
    const file = await open(this.#changesPath(entry.revision), 'r');
    try {
      for await (const line of file.readLines()) {
        const { key, before, after } = JSON.parse(line) as ResourceChange;
        changes.push({ key, before, after });
        if (slice.spent) await slice.rest();
      }
    } finally {
      await file.close();
    }
    return changes;
  }

  /** @returns the entry as written. */
  async append(entry: NewEntry, document: DocumentSource, changes: readonly ResourceChange[]): Promise<JournalEntry> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const bytes = await this.#writeChanges(entry.revision, changes);
    const file = `${entry.revision}${this.#extension}`;
    const path = join(this.#directory, file);
    if ('text' in document) await writeFile(path, document.text, { mode: 0o600 });
    else await copyFile(document.copyOf, path);
    const documentBytes = (await stat(path)).size;
    const written: JournalEntry = { ...entry, changes: changes.length, bytes, file, documentBytes };
    const all = [...(await this.entries()), written];
    const kept = newest(all, (one) => one.bytes ?? 0, this.#bounds.revisions, this.#bounds.bytes);
    await writeAtomically(join(this.#directory, INDEX), async (index) => {
      await index.write(kept.map((e) => `${JSON.stringify(e)}\n`).join(''));
    });
    const documents = newest(all, (one) => one.documentBytes ?? 0, KEPT_DOCUMENTS, KEPT_DOCUMENT_BYTES).length;
    // Older ones went when it was their turn: more than this many at once never have to go.
    for (const old of all.slice(-2 * KEPT_DOCUMENTS, -documents)) await rm(this.documentPath(old), { force: true });
    for (const old of all.slice(0, -kept.length)) await rm(this.#changesPath(old.revision), { force: true });
    return written;
  }

  #changesPath(revision: string): string {
    return join(this.#directory, `${revision}.changes.jsonl`);
  }

  /** @returns bytes written. */
  async #writeChanges(revision: string, changes: readonly ResourceChange[]): Promise<number> {
    const slice = new TimeSlice(this.#deps);
    const path = this.#changesPath(revision);
    const file = await open(path, 'w', 0o600);
    try {
      let chunk = '';
      for (const change of changes) {
        chunk += `${JSON.stringify(change)}\n`;
        if (chunk.length < CHUNK_CHARACTERS) continue;
        await file.writeFile(chunk);
        chunk = '';
        if (slice.spent) await slice.rest();
      }
      await file.writeFile(chunk);
      return (await file.stat()).size;
    } finally {
      await file.close();
    }
  }
}

/** The newest entries within both bounds, at least one. */
function newest(
  all: readonly JournalEntry[],
  bytesOf: (entry: JournalEntry) => number,
  most: number,
  mostBytes: number,
): readonly JournalEntry[] {
  let bytes = 0;
  let count = 0;
  for (let i = all.length - 1; i >= 0 && count < most; i--) {
    bytes += bytesOf(all[i] as JournalEntry);
    if (count > 0 && bytes > mostBytes) break;
    count++;
  }
  return all.slice(-count);
}
