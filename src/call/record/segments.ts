/** The files of a recorder's folder in their order, and places in them that survive renames, rotation and restarts. */
import { createHash } from 'node:crypto';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OPEN_NAME } from './recordFile.js';

const CLOSED_NAME = /^cdr\.\d{4}-\d\d-\d\dT.*\.jsonl$/;
/** Of a file's beginning: the id of its first call is within. Shorter files hold no whole record. */
const MARK_BYTES = 64;

/**
 * A place between two records. A file is known by how it begins (`mark`), as its name changes when it is closed; `after`
 * is the newest closed file at the time, so that a file that had nothing in it yet, or is gone, is found by its order.
 */
export interface Place {
  readonly mark: string | null;
  readonly offset: number;
  readonly after: string;
}

export const FIRST_PLACE: Place = { mark: null, offset: 0, after: '' };

export const isPlace = (value: unknown): value is Place => {
  if (typeof value !== 'object' || value === null) return false;
  const { mark, offset, after } = value as Record<string, unknown>;
  const known = mark === null || typeof mark === 'string';
  return known && Number.isSafeInteger(offset) && (offset as number) >= 0 && typeof after === 'string';
};

/** Names of the files with records, oldest first, the open one last. */
export const segmentNames = async (folder: string): Promise<string[]> => {
  const names = await readdir(folder).catch(() => [] as string[]);
  const closed = names.filter((name) => CLOSED_NAME.test(name)).sort();
  return names.includes(OPEN_NAME) ? [...closed, OPEN_NAME] : closed;
};

/** @returns null for a file without a whole record. */
export const markOf = async (file: FileHandle): Promise<string | null> => {
  const head = Buffer.alloc(MARK_BYTES);
  const { bytesRead } = await file.read(head, 0, MARK_BYTES, 0);
  return bytesRead < MARK_BYTES ? null : createHash('sha1').update(head).digest('hex').slice(0, 20);
};

/** A file, opened; undefined when it is gone. */
const openSegment = async (
  folder: string,
  name: string,
): Promise<{ readonly file: FileHandle; readonly mark: string | null } | undefined> => {
  const file = await open(join(folder, name), 'r').catch(() => undefined);
  return file === undefined ? undefined : { file, mark: await markOf(file) };
};

/** The end of everything written so far. */
export const endPlace = async (folder: string): Promise<Place> => {
  const names = await segmentNames(folder);
  const after = names.filter((name) => name !== OPEN_NAME).at(-1) ?? '';
  const last = names.at(-1) === OPEN_NAME ? await openSegment(folder, OPEN_NAME) : undefined;
  if (last === undefined) return { mark: null, offset: 0, after };
  const { size } = await last.file.stat();
  await last.file.close();
  return last.mark === null ? { mark: null, offset: 0, after } : { mark: last.mark, offset: size, after };
};

export interface JournalSlice {
  /** Whole lines, newline included. */
  readonly lines: readonly Buffer[];
  /** After the last of them. */
  readonly place: Place;
  /** The place asked for is gone: reading goes on with what is there. */
  readonly gap: boolean;
}

const NEWLINE = 0x0a;
/** Longer lines are none of ours. */
const MOST_LINE_BYTES = 4 * 1024 * 1024;

interface Current {
  readonly file: FileHandle;
  mark: string | null;
  offset: number;
}

/** Reads records in the order in which they were written, across files, from any place. One call at a time. */
export class JournalReader {
  readonly #folder: string;
  #place: Place;
  #current: Current | undefined;

  constructor(folder: string, place: Place) {
    this.#folder = folder;
    this.#place = place;
  }

  get place(): Place {
    return this.#place;
  }

  /** Goes on from another place. */
  async moveTo(place: Place): Promise<void> {
    await this.close();
    this.#place = place;
  }

  /**
   * The next records, none when there are none yet.
   * @throws errno errors of the file system
   */
  async next(mostBytes: number): Promise<JournalSlice> {
    let gap = false;
    for (;;) {
      if (this.#current === undefined) {
        const found = await this.#find();
        if (found === undefined) return { lines: [], place: this.#place, gap };
        gap ||= found.gap;
      }
      let lines = await this.#read(mostBytes);
      if (lines.length === 0 && (await this.#isClosed())) {
        // What was written between the reading and the closing.
        lines = await this.#read(mostBytes);
        if (lines.length === 0 && (await this.#advance())) continue;
      }
      return { lines, place: this.#place, gap };
    }
  }

  async close(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    await current?.file.close();
  }

  /** Opens the file of the place: by its mark, else the first after it in order. */
  async #find(): Promise<{ readonly gap: boolean } | undefined> {
    const { mark, offset } = this.#place;
    // Files are closed, and so renamed, at any time: only what two looks agree on is so.
    for (let names = await segmentNames(this.#folder), before = ''; ; names = await segmentNames(this.#folder)) {
      const marked = mark === null ? undefined : await this.#withMark(names, mark);
      if (marked !== undefined) {
        this.#current = { file: marked, mark, offset };
        return { gap: false };
      }
      if (names.join() === before) break;
      before = names.join();
    }
    for (;;) {
      const name = await this.#firstAfter();
      const segment = name === undefined ? undefined : await openSegment(this.#folder, name);
      if (segment === undefined) return undefined;
      if ((await this.#firstAfter()) === name) {
        this.#current = { ...segment, offset: 0 };
        return { gap: mark !== null };
      }
      await segment.file.close();
    }
  }

  async #firstAfter(): Promise<string | undefined> {
    const names = await segmentNames(this.#folder);
    return names.find((name) => name === OPEN_NAME || name > this.#place.after);
  }

  /** The newest first: that is where readers mostly are. */
  async #withMark(names: readonly string[], mark: string): Promise<FileHandle | undefined> {
    for (const name of names.toReversed()) {
      const segment = await openSegment(this.#folder, name);
      if (segment?.mark === mark) return segment.file;
      await segment?.file.close();
    }
    return undefined;
  }

  async #read(mostBytes: number): Promise<Buffer[]> {
    const current = this.#current;
    if (current === undefined) return [];
    let size = mostBytes;
    for (;;) {
      const chunk = Buffer.allocUnsafe(size);
      const { bytesRead } = await current.file.read(chunk, 0, size, current.offset);
      const end = chunk.subarray(0, bytesRead).lastIndexOf(NEWLINE) + 1;
      if (end === 0 && bytesRead === size && size < MOST_LINE_BYTES) {
        size *= 4;
        continue;
      }
      if (end === 0) return [];
      current.mark ??= await markOf(current.file);
      current.offset += end;
      this.#place = { mark: current.mark, offset: current.offset, after: this.#place.after };
      return linesOf(chunk.subarray(0, end));
    }
  }

  /** Nothing is added to the file any more. */
  async #isClosed(): Promise<boolean> {
    const ino = (await this.#current?.file.stat())?.ino;
    const open = await stat(join(this.#folder, OPEN_NAME)).catch(() => undefined);
    return open !== undefined && open.ino !== ino;
  }

  /** To the next file. @returns false when there is none */
  async #advance(): Promise<boolean> {
    const looked = await this.#nameAmong(await segmentNames(this.#folder));
    const names = await segmentNames(this.#folder);
    const after = looked ?? (await this.#nameAmong(names)) ?? this.#place.after;
    if (!names.some((name) => name === OPEN_NAME || name > after)) return false;
    await this.close();
    this.#place = { mark: null, offset: 0, after };
    return true;
  }

  /** What the file that is read is called now. */
  async #nameAmong(names: readonly string[]): Promise<string | undefined> {
    const ino = (await this.#current?.file.stat())?.ino;
    for (const name of names.toReversed()) {
      const one = name === OPEN_NAME ? undefined : await stat(join(this.#folder, name)).catch(() => undefined);
      if (one !== undefined && one.ino === ino) return name;
    }
    return undefined;
  }
}

const linesOf = (chunk: Buffer): Buffer[] => {
  const lines: Buffer[] = [];
  for (let start = 0; start < chunk.length;) {
    const end = chunk.indexOf(NEWLINE, start) + 1;
    if (end - start > 1) lines.push(chunk.subarray(start, end));
    start = end;
  }
  return lines;
};

const CALL_ID = /^\{"callId":"([A-Za-z0-9_-]{1,64})"/;

/** Of a line with a record; undefined for anything else. */
export const callIdOf = (line: Buffer): string | undefined => CALL_ID.exec(line.toString('latin1', 0, 96))?.[1];
