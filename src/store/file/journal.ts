import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { writeAtomically } from '../atomicWrite.js';

/** Documents kept for a look back or a roll back. */
const KEPT = 20;
const INDEX = 'index.jsonl';

export interface JournalEntry {
  /** Counts publications, from 1. */
  readonly number: number;
  readonly revision: string;
  /** Content hash of the document. */
  readonly hash: string;
  readonly author: string;
  /** ISO 8601. */
  readonly at: string;
  /** Name of the document within the journal. */
  readonly file: string;
}

/** The last published documents, in a directory beside the document, with an index of one JSON line each. */
export class Journal {
  readonly #directory: string;
  readonly #extension: string;

  constructor(documentPath: string) {
    this.#directory = `${documentPath}.revisions`;
    this.#extension = extname(documentPath);
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

  /** @returns the entry as written. `text` is the whole document. */
  async append(entry: Omit<JournalEntry, 'file'>, text: string): Promise<JournalEntry> {
    const written: JournalEntry = { ...entry, file: `${entry.revision}${this.#extension}` };
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const all = [...(await this.entries()), written];
    const kept = all.slice(-KEPT);
    await writeFile(join(this.#directory, written.file), text, { mode: 0o600 });
    await writeAtomically(join(this.#directory, INDEX), async (file) => {
      await file.write(kept.map((e) => `${JSON.stringify(e)}\n`).join(''));
    });
    for (const old of all.slice(0, -KEPT)) await rm(join(this.#directory, old.file), { force: true });
    return written;
  }
}
