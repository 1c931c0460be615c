/** Searches the files of a recorder. Synchronous: it runs on a thread of its own, beside the calls. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { CallRecord } from '../cdr.js';
import { OPEN_NAME, closedNames } from '../recordFile.js';
import { CSV_HEAD, csvLine } from './csv.js';
import { type QueryAnswer, type RecordFilter, type RecordQuery, headOf, matches } from './filter.js';
import { SegmentIndex } from './segmentIndex.js';

const FOLDER = 'index';
const CHUNK_BYTES = 1024 * 1024;
const MARK_BYTES = 64;
/** Of indexes in memory; the others are read from their files, which takes a millisecond each. */
const CACHE_BYTES = 64 * 1024 * 1024;
/** Records of one page, at most, in bytes. */
const PAGE_BYTES = 64 * 1024 * 1024;

interface OpenedFile {
  readonly fd: number;
  readonly name: string;
  readonly mark: string;
}

interface Segment extends OpenedFile {
  readonly index: SegmentIndex;
}

export class RecordArchive {
  readonly #folder: string;
  /** Oldest use first. */
  readonly #cache = new Map<string, SegmentIndex>();
  readonly #saved = new Set<string>();
  /** What is read at a time. One for all: a new one a time was a whole file's worth of garbage. */
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);

  constructor(folder: string) {
    this.#folder = folder;
  }

  query(query: RecordQuery): QueryAnswer {
    const page = new Page(query);
    let after = readCursor(query.cursor);
    if (after === 'malformed') return { ok: false, code: 'cursor_unknown', message: 'the cursor is malformed' };
    for (const segment of this.#segments()) {
      try {
        if (after !== undefined && segment.mark !== after.mark) continue;
        const fromRow = after === undefined ? undefined : segment.index.rowBefore(after.offset);
        after = undefined;
        if (this.#search(segment, query.filter, page, fromRow)) return page.answer(page.lastCursor);
      } finally {
        fs.closeSync(segment.fd);
      }
    }
    if (after !== undefined) return { ok: false, code: 'cursor_unknown', message: 'the file of the cursor is gone' };
    return page.answer(undefined);
  }

  /** Makes the indexes of closed files that are not there. */
  prepare(): void {
    for (const { fd, name, mark } of this.#files()) {
      try {
        if (name !== OPEN_NAME && !fs.existsSync(this.#path(mark))) this.#indexOf(fd, name, mark);
      } finally {
        fs.closeSync(fd);
      }
    }
  }

  /** @returns whether the page is full and there may be more */
  #search({ fd, index, mark }: Segment, filter: RecordFilter, page: Page, fromRow: number | undefined): boolean {
    for (const row of index.candidates(filter, fromRow)) {
      if (page.full) return true;
      const line = Buffer.allocUnsafe(index.length(row));
      if (fs.readSync(fd, line, 0, line.length, index.offset(row)) < line.length) continue;
      const head = headOf(line);
      if (head !== undefined && matches(head, filter)) page.add(line, `${mark}.${index.offset(row)}`);
    }
    return false;
  }

  *#segments(): Generator<Segment> {
    for (const file of this.#files()) yield { ...file, index: this.#indexOf(file.fd, file.name, file.mark) };
  }

  /** Newest first; the caller closes the descriptors. */
  *#files(): Generator<OpenedFile> {
    const names = [...(fs.existsSync(join(this.#folder, OPEN_NAME)) ? [OPEN_NAME] : [])];
    names.push(...(fs.existsSync(this.#folder) ? closedNames(this.#folder).reverse() : []));
    const seen = new Set<string>();
    for (const name of names) {
      let fd: number;
      try {
        fd = fs.openSync(join(this.#folder, name), 'r');
      } catch {
        continue;
      }
      const mark = markOf(fd);
      // The open file may have been closed, and so renamed, since the names were read.
      if (mark === undefined || seen.has(mark)) {
        fs.closeSync(fd);
        continue;
      }
      seen.add(mark);
      yield { fd, name, mark };
    }
  }

  #indexOf(fd: number, name: string, mark: string): SegmentIndex {
    const index = this.#cache.get(mark) ?? this.#load(mark) ?? new SegmentIndex();
    this.#cache.delete(mark);
    this.#cache.set(mark, index);
    const grown = this.#extend(fd, index);
    if (name !== OPEN_NAME && (grown || !this.#saved.has(mark))) this.#save(mark, index);
    let total = 0;
    for (const one of this.#cache.values()) total += one.size;
    for (const [old, one] of this.#cache) {
      if (total <= CACHE_BYTES || old === mark) break;
      // What is not in a file is dear to make.
      if (!this.#saved.has(old)) continue;
      this.#cache.delete(old);
      total -= one.size;
    }
    return index;
  }

  #extend(fd: number, index: SegmentIndex): boolean {
    const { size } = fs.fstatSync(fd);
    const before = index.bytes;
    let chunk = this.#chunk;
    while (index.bytes < size) {
      const read = fs.readSync(fd, chunk, 0, Math.min(chunk.length, size - index.bytes), index.bytes);
      const taken = index.extend(chunk.subarray(0, read));
      // A line that is not whole yet (or was taken back meanwhile), or longer than the chunk.
      if (taken === 0 && (read === 0 || index.bytes + read >= size)) break;
      if (taken === 0) chunk = Buffer.allocUnsafeSlow(2 * chunk.length);
    }
    return index.bytes > before;
  }

  #path(mark: string): string {
    return join(this.#folder, FOLDER, `${mark}.idx`);
  }

  #load(mark: string): SegmentIndex | undefined {
    try {
      const index = SegmentIndex.decode(fs.readFileSync(this.#path(mark)));
      if (index !== undefined) this.#saved.add(mark);
      return index;
    } catch {
      return undefined;
    }
  }

  /** An index that cannot be kept is made again by the next process. */
  #save(mark: string, index: SegmentIndex): void {
    try {
      fs.mkdirSync(join(this.#folder, FOLDER), { recursive: true });
      fs.writeFileSync(`${this.#path(mark)}.new`, index.encode(), { mode: 0o640 });
      fs.renameSync(`${this.#path(mark)}.new`, this.#path(mark));
      this.#saved.add(mark);
    } catch {
      this.#saved.delete(mark);
    }
  }
}

class Page {
  #last: string | undefined;
  readonly #query: RecordQuery;
  readonly #parts: Buffer[] = [];
  #count = 0;
  #bytes = 0;

  constructor(query: RecordQuery) {
    this.#query = query;
    if (query.format === 'csv') this.#push(Buffer.from(CSV_HEAD));
  }

  get full(): boolean {
    return this.#count >= this.#query.limit || this.#bytes > PAGE_BYTES;
  }

  /** After the record that was added last. */
  get lastCursor(): string | undefined {
    return this.#last === undefined ? undefined : Buffer.from(this.#last).toString('base64url');
  }

  /** @param place `mark.offset` */
  add(line: Buffer, place: string): void {
    const { format, trimmed } = this.#query;
    this.#last = place;
    this.#count++;
    if (format === 'json') {
      if (this.#count > 1) this.#push(COMMA);
      this.#push(trimmed ? trim(line) : line);
    } else this.#push(Buffer.from(csvLine(JSON.parse(line.toString('utf8')) as CallRecord)));
  }

  answer(cursor: string | undefined): QueryAnswer {
    return { ok: true, body: Buffer.concat(this.#parts), count: this.#count, cursor };
  }

  #push(part: Buffer): void {
    this.#parts.push(part);
    this.#bytes += part.length;
  }
}

const COMMA = Buffer.from(',\n');

/** A decision may name trunks, carriers and addresses of others ("the number is on trunk B"). */
const trim = (line: Buffer): Buffer => {
  const { decision: _decision, ...record } = JSON.parse(line.toString('utf8')) as CallRecord;
  return Buffer.from(JSON.stringify(record));
};

const markOf = (fd: number): string | undefined => {
  const head = Buffer.alloc(MARK_BYTES);
  if (fs.readSync(fd, head, 0, MARK_BYTES, 0) < MARK_BYTES) return undefined;
  return createHash('sha1').update(head).digest('hex').slice(0, 20);
};

const readCursor = (
  cursor: string | undefined,
): { readonly mark: string; readonly offset: number } | 'malformed' | undefined => {
  if (cursor === undefined) return undefined;
  const [, mark, offset] = /^([0-9a-f]{20})\.(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  return mark === undefined ? 'malformed' : { mark, offset: Number(offset) };
};
