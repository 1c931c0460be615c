/** The open file of a recorder: appends bytes, repairs what a crash left, rotates. Synchronous calls throw errno errors. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { JsonLines } from './jsonLines.js';

export const OPEN_NAME = 'cdr.jsonl';

const DAY_MS = 86_400_000;
const NEWLINE = 0x0a;
const TAIL_BYTES = 65_536;

/** `2026-11-22T06-45-22.123Z`: sorts by time and is a file name everywhere. */
const stamp = (wallMs: number): string => new Date(wallMs).toISOString().replaceAll(':', '-');

const closedName = (stampMs: number): string => `cdr.${stamp(stampMs)}.jsonl`;

/** Names of closed files, oldest first. */
export const closedNames = (folder: string): string[] =>
  fs
    .readdirSync(folder)
    .filter((name) => CLOSED.test(name))
    .sort();

const CLOSED = /^cdr\.(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3})Z.*\.jsonl$/;

/** Of all closed files in the folder; 0 when there is none. */
const newestStamp = (folder: string): number =>
  fs.readdirSync(folder).reduce((newest, name) => {
    const [, day, hours, minutes, seconds] = CLOSED.exec(name) ?? [];
    const ms = day === undefined ? 0 : Date.parse(`${day}T${hours}:${minutes}:${seconds}Z`);
    return Math.max(newest, ms);
  }, 0);

/** Offset just after the last newline of the file; 0 when it has none. */
const endOfLastLine = (fd: number, size: number): number => {
  const tail = Buffer.alloc(TAIL_BYTES);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - TAIL_BYTES);
    const read = fs.readSync(fd, tail, 0, end - start, start);
    const newline = tail.lastIndexOf(NEWLINE, read - 1);
    if (read > 0 && newline >= 0) return start + newline + 1;
    end = start;
  }
  return 0;
};

export class RecordFile {
  readonly #folder: string;
  readonly #path: string;
  readonly #lines = new JsonLines();
  #fd: number;
  #bytes: number;
  #day: number;
  #inode: number;
  /** A piece of a line stands at the end and could not be removed. */
  #torn = false;
  /** Of the newest closed file: names only ever grow, whatever the wall clock does, so that they tell the order. */
  #stampMs: number;
  /** Where a partial last line was moved to at open; undefined when there was none. */
  readonly repaired: string | undefined;

  constructor(folder: string, wallMs: number) {
    this.#folder = folder;
    this.#path = join(folder, OPEN_NAME);
    fs.mkdirSync(folder, { recursive: true });
    this.#stampMs = newestStamp(folder);
    this.#fd = fs.openSync(this.#path, 'a+', 0o640);
    const stat = fs.fstatSync(this.#fd);
    this.#inode = stat.ino;
    this.#bytes = stat.size;
    this.#day = Math.floor((stat.size > 0 ? stat.mtimeMs : wallMs) / DAY_MS);
    this.repaired = this.#repair(wallMs);
    this.syncFolder();
  }

  get bytes(): number {
    return this.#bytes;
  }

  get fd(): number {
    return this.#fd;
  }

  /** Appends a line for each, all or nothing: what only partly fitted on the disk is taken back, then the error is thrown. */
  append(records: readonly object[]): void {
    this.#lines.clear();
    if (this.#torn) this.#lines.endLine();
    for (const record of records) this.#lines.add(record);
    const before = this.#bytes;
    try {
      this.#writeAll();
      this.#torn = false;
    } catch (error) {
      if (this.#bytes > before) this.#takeBack(before);
      throw error;
    }
  }

  #writeAll(): void {
    const { octets, length } = this.#lines;
    for (let at = 0; at < length;) {
      const written = fs.writeSync(this.#fd, octets, at, length - at);
      if (written === 0) throw Object.assign(new Error('nothing was written'), { code: 'ENOSPC' });
      at += written;
      this.#bytes += written;
    }
  }

  /** True when a line of today no longer belongs into this file. */
  isFull(maxBytes: number, daily: boolean, wallMs: number): boolean {
    if (this.#bytes === 0) return false;
    return this.#bytes >= maxBytes || (daily && Math.floor(wallMs / DAY_MS) !== this.#day);
  }

  /** Names the file by the time, opens a new one; returns the old descriptor, still to be synced and closed. */
  rotate(wallMs: number): number {
    let stampMs = Math.max(wallMs, this.#stampMs + 1);
    while (fs.existsSync(join(this.#folder, closedName(stampMs)))) stampMs++;
    fs.renameSync(this.#path, join(this.#folder, closedName(stampMs)));
    this.#stampMs = stampMs;
    return this.#reopen(wallMs);
  }

  /** Opens the file anew if its name now stands for another file or none; returns the descriptor to close. */
  reopenIfMoved(wallMs: number): number | undefined {
    const stat = fs.statSync(this.#path, { throwIfNoEntry: false });
    if (stat?.ino === this.#inode) return undefined;
    fs.mkdirSync(this.#folder, { recursive: true });
    return this.#reopen(wallMs);
  }

  /** Makes the names in the folder durable. Some file systems refuse to; their names are durable by themselves. */
  syncFolder(): void {
    const fd = fs.openSync(this.#folder, 'r');
    fs.fsync(fd, () => fs.close(fd, () => {}));
  }

  #takeBack(size: number): void {
    try {
      fs.ftruncateSync(this.#fd, size);
      this.#bytes = size;
    } catch {
      this.#torn = true;
    }
  }

  #reopen(wallMs: number): number {
    const old = this.#fd;
    this.#fd = fs.openSync(this.#path, 'a+', 0o640);
    const stat = fs.fstatSync(this.#fd);
    this.#inode = stat.ino;
    this.#bytes = stat.size;
    this.#torn = false;
    this.#day = Math.floor(wallMs / DAY_MS);
    this.syncFolder();
    return old;
  }

  /** A line without an end was cut off by a crash: it must not run into the next one, nor be lost to whoever looks. */
  #repair(wallMs: number): string | undefined {
    const end = endOfLastLine(this.#fd, this.#bytes);
    if (end === this.#bytes) return undefined;
    const partial = Buffer.alloc(this.#bytes - end);
    fs.readSync(this.#fd, partial, 0, partial.length, end);
    const aside = join(this.#folder, `cdr.partial.${stamp(wallMs)}`);
    fs.writeFileSync(aside, partial, { flag: 'a' });
    fs.ftruncateSync(this.#fd, end);
    this.#bytes = end;
    return aside;
  }
}
