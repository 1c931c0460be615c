/**
 * What is known of calls that are not over, on disk, so that a call whose process dies still gets its record.
 *
 * `calls.wal` in the recorder's folder has one line of JSON for each thing that happens:
 *   {base: NAME}                        records of calls below are in files that come after this closed one
 *   {open: {callId, ..., course}}       a call: how it began, its decision, and what has become of it
 *   {more: {callId, course}}            what has become of it: all of that, not the difference
 *   {alive: [monotonic ms, wall ms]}    the process lives; once a second while calls are up
 * A call is over when its record is among the records; nothing is written here for that.
 *
 * A file that has grown long becomes `calls.wal.old`, and a new one is begun. With each line that is written there, a few
 * calls that are still open are copied there, too; when none is left the old one is removed. So no call waits for another's
 * lines, however many are up.
 *
 * Moments are pairs like `alive`. Of the decision stands here what a bill and a search need: where it led is in the
 * call's course, and its steps would make the most of the line.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { type Clock, SlotMap, type Timer } from '../../kernel/index.js';
import type { DecidedCall } from './callFacts.js';
import { JsonLines } from './jsonLines.js';
import { type Entry, OLD_WAL_NAME, WAL_NAME, courseOf, lineOf } from './openLines.js';
import { closedNames } from './recordFile.js';

const ALIVE_MS = 1000;
/** A new file is begun when one has grown beyond this and beyond twice what is open. */
const TURN_BYTES = 8 * 1024 * 1024;
const TURN_FACTOR = 2;
/** Calls copied out of the old file with a line of the new one, and with each sign of life. */
const COPIES_A_LINE = 2;
const COPIES_A_SECOND = 200;
/** How many are looked at for each that is copied, at most: most are over by then. */
const LOOKS_A_COPY = 16;
/** Lines that wait are written when there are more of them. */
const MOST_WAITING_BYTES = 32 * 1024;

export interface OpenCallsOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly onFailure: (code: string) => void;
  /** Default 8 MB. */
  readonly turnBytes?: number;
  /** Lines wait for `settle`. */
  readonly gathers?: boolean;
}

interface Noted {
  readonly call: DecidedCall;
  /** Of its lines that count. */
  bytes: number;
}

/** Calls whose lines are in the old file: ids of all that were open when it was left, and how many have been looked at. */
interface Left {
  readonly callIds: readonly string[];
  looked: number;
}

export class OpenCalls {
  readonly #options: OpenCallsOptions;
  readonly #path: string;
  readonly #oldPath: string;
  readonly #turnBytes: number;
  readonly #calls = new SlotMap<Noted>();
  readonly #lines = new JsonLines();
  #left: Left | undefined;
  /** The old file is on its way out. */
  #removing = false;
  #fd: number | undefined;
  #bytes = 0;
  #openBytes = 0;
  #alive: Timer | undefined;
  #failing = false;

  constructor(options: OpenCallsOptions) {
    this.#options = options;
    this.#path = join(options.folder, WAL_NAME);
    this.#oldPath = join(options.folder, OLD_WAL_NAME);
    this.#turnBytes = options.turnBytes ?? TURN_BYTES;
  }

  get size(): number {
    return this.#calls.size;
  }

  /**
   * A call was let in or answered, or a dial of its flow was answered or ended. In the kernel when this returns, or with the
   * option `gathers` when `settle` does; a disk that refuses costs the safety, not the call.
   */
  note(call: DecidedCall): void {
    const { callId } = call;
    const noted = this.#calls.get(callId);
    const entry = noted === undefined ? { open: lineOf(call) } : { more: { callId, course: courseOf(call) } };
    const bytes = this.#add(entry, COPIES_A_LINE);
    this.#openBytes += bytes;
    if (noted === undefined) this.#calls.set(callId, { call, bytes });
    else noted.bytes += bytes;
    if (this.#options.gathers !== true || this.#lines.length > MOST_WAITING_BYTES) this.settle();
    this.#arm();
  }

  /** Writes what waits. */
  settle(): void {
    this.#write();
    if (this.#bytes > this.#turnBytes && this.#bytes > TURN_FACTOR * this.#openBytes) this.#turn();
  }

  /** The call's record is written. */
  over(callId: string): void {
    const noted = this.#calls.get(callId);
    if (noted === undefined) return;
    this.#calls.delete(callId);
    this.#openBytes -= noted.bytes;
    if (this.#calls.size > 0) return;
    this.#alive?.cancel();
    this.#alive = undefined;
  }

  /** Writes one file of all that is open now: at the start, and when the disk is back. */
  begin(): void {
    const draft = `${this.#path}.new`;
    try {
      const lines = this.#lines;
      this.#head();
      this.#openBytes = 0;
      for (const noted of this.#calls.values()) {
        const before = lines.length;
        lines.add({ open: lineOf(noted.call) });
        noted.bytes = lines.length - before;
        this.#openBytes += noted.bytes;
      }
      fs.writeFileSync(draft, lines.octets.subarray(0, lines.length), { mode: 0o640 });
      const fd = fs.openSync(draft, 'a');
      fs.renameSync(draft, this.#path);
      this.#goOnIn(fd, lines.length);
      // All that was in it is in this one.
      this.#left = undefined;
      fs.rmSync(this.#oldPath, { force: true });
      this.#failing = false;
    } catch (error) {
      this.#fail(error);
    }
    this.#lines.clear();
  }

  /** Nothing is open any more, or is given up. */
  close(): void {
    this.#alive?.cancel();
    this.#letGo();
  }

  /** Goes on in a new file, into which what is open is copied bit by bit. */
  #turn(): void {
    if (this.#fd === undefined || this.#left !== undefined || this.#removing) return;
    try {
      fs.renameSync(this.#path, this.#oldPath);
      this.#left = { callIds: [...this.#calls.keys()], looked: 0 };
      this.#goOnIn(fs.openSync(this.#path, 'ax', 0o640), 0);
      this.#head();
      this.#write();
    } catch (error) {
      this.#letGo();
      this.#fail(error);
    }
  }

  /** Begins the lines of a new file. */
  #head(): void {
    this.#lines.clear();
    this.#lines.add({ base: closedNames(this.#options.folder).at(-1) ?? '' });
    this.#lines.add(this.#signOfLife());
  }

  #goOnIn(fd: number, bytes: number): void {
    this.#letGo();
    this.#fd = fd;
    this.#bytes = bytes;
  }

  #letGo(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }

  #arm(): void {
    if (this.#alive !== undefined) return;
    this.#alive = this.#options.clock.setTimer('cdr.alive', ALIVE_MS, () => {
      this.#alive = undefined;
      if (this.#fd === undefined) this.begin();
      else {
        this.#add(this.#signOfLife(), COPIES_A_SECOND);
        this.settle();
      }
      if (this.#calls.size > 0) this.#arm();
    });
  }

  #signOfLife(): Entry {
    const { clock } = this.#options;
    return { alive: [clock.nowMs(), clock.wallMs()] };
  }

  /** @returns the octets of the entry; 0 when there is no file now: all of it is written anew within a second */
  #add(entry: Entry, copies: number): number {
    if (this.#fd === undefined) return 0;
    const before = this.#lines.length;
    this.#lines.add(entry);
    const bytes = this.#lines.length - before;
    if (this.#left !== undefined) this.#copy(this.#left, copies);
    return bytes;
  }

  /** Adds lines of calls that are still in the old file only. */
  #copy(left: Left, most: number): void {
    const { callIds } = left;
    const end = Math.min(callIds.length, left.looked + LOOKS_A_COPY * most);
    for (let copied = 0; copied < most && left.looked < end; left.looked++) {
      const noted = this.#calls.get(callIds[left.looked]!);
      if (noted === undefined) continue;
      const before = this.#lines.length;
      this.#lines.add({ open: lineOf(noted.call) });
      const bytes = this.#lines.length - before;
      this.#openBytes += bytes - noted.bytes;
      noted.bytes = bytes;
      copied++;
    }
  }

  /** All lines that wait. Where the disk refuses, half a line may stand there: the next second writes all of it anew. */
  #write(): void {
    const { octets, length } = this.#lines;
    if (this.#fd === undefined || length === 0) return;
    this.#lines.clear();
    try {
      const written = fs.writeSync(this.#fd, octets, 0, length);
      if (written < length) throw Object.assign(new Error('half a line was written'), { code: 'ENOSPC' });
      this.#bytes += written;
    } catch (error) {
      this.#letGo();
      this.#fail(error);
      return;
    }
    if (this.#left !== undefined && this.#left.looked === this.#left.callIds.length) this.#removeOld();
  }

  /** A long file takes a while to go: not while calls wait. */
  #removeOld(): void {
    this.#left = undefined;
    this.#removing = true;
    fs.rm(this.#oldPath, { force: true }, (error) => {
      this.#removing = false;
      if (error) this.#fail(error);
    });
  }

  #fail(error: unknown): void {
    if (!this.#failing) this.#options.onFailure((error as NodeJS.ErrnoException).code ?? String(error));
    this.#failing = true;
  }
}
