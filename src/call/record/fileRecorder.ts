import * as fs from 'node:fs';
import { type Clock, TandemError, type Timer } from '../../kernel/index.js';
import type { DecidedCall } from './callFacts.js';
import type { CallRecord, CallRecorder } from './cdr.js';
import { recordsOfLeftCalls } from './leftCalls.js';
import { OpenCalls } from './openCalls.js';
import { RecordFile } from './recordFile.js';
import { recordLine } from './recordLine.js';

/** What an operator must hear of. Calls go on in any case. */
export type RecorderAlarm =
  | { readonly type: 'write_failed'; readonly code: string; readonly pending: number }
  | { readonly type: 'write_recovered'; readonly written: number }
  | { readonly type: 'record_dropped'; readonly callId: string; readonly line: string }
  | { readonly type: 'rotate_failed'; readonly code: string }
  | { readonly type: 'sync_failed'; readonly code: string }
  | { readonly type: 'partial_line_moved'; readonly path: string }
  /** Calls that were up when the process before this one died: they have their records now. */
  | { readonly type: 'calls_recovered'; readonly count: number }
  /** Calls that are up would have no record if the process died now. */
  | { readonly type: 'open_calls_not_kept'; readonly code: string };

export interface FileRecorderOptions {
  /** Folder; `cdr.jsonl` in it is the open file, `cdr.<time>.jsonl` are closed ones. */
  readonly folder: string;
  readonly rotateBytes: number;
  readonly rotateDaily: boolean;
  readonly clock: Clock;
  readonly onAlarm: (alarm: RecorderAlarm) => void;
  /** Records kept in memory while the disk takes none. Default 10,000. */
  readonly maxPending?: number;
  /** Records have reached the kernel. Called within `write` or `settle`; must not throw. */
  readonly onWritten?: () => void;
  /**
   * Calls what it is given at the end of this turn of the event loop. Then whoever sends must call `settle` first, and what
   * a turn has to write is written together. Absent: each line is written at once.
   */
  readonly atEndOfTurn?: ((settle: () => void) => void) | undefined;
}

/** Longest time that a written record stays in the page cache only. */
const SYNC_MS = 200;
const RETRY_MS = 1000;
const MAX_PENDING = 10_000;

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/**
 * JSON lines in a folder.
 *
 * What is guaranteed: a record handed to `write` has reached the kernel (write(2)) when `write` returns (with the option
 * `atEndOfTurn`: when `settle` does, which is at the end of the turn at the latest), so it survives the death of the process
 * by any signal, and whoever tells a peer afterwards that the call is over tells the truth; it has reached the disk (fdatasync) at most 200 ms and one disk flush later, so that much can be lost when the machine
 * loses power. A line is never half there: what a crash cut off is moved aside at the next start. One record costs a few
 * microseconds.
 *
 * While the disk is full or gone, records wait in memory, bounded, and are written in order once it is back.
 */
export class FileCallRecorder implements CallRecorder {
  readonly #options: FileRecorderOptions;
  readonly #file: RecordFile;
  readonly #maxPending: number;
  readonly #open: OpenCalls;
  #pending: CallRecord[] = [];
  #failing = false;
  #rotateFailed = false;
  #closed = false;
  #dirty = false;
  /** Something waits for `settle`. */
  #unsettled = false;
  #settling = false;
  #retry: Timer | undefined;
  #syncTimer: Timer | undefined;
  #syncing: Promise<string | undefined> | undefined;
  readonly #leaving = new Set<Promise<void>>();

  /** @throws TandemError `cdr_path_unusable` when the folder or file cannot be opened for writing. */
  constructor(options: FileRecorderOptions) {
    this.#options = options;
    this.#maxPending = options.maxPending ?? MAX_PENDING;
    try {
      this.#file = new RecordFile(options.folder, options.clock.wallMs());
    } catch (cause) {
      const message = `call records cannot be written to ${options.folder} (${codeOf(cause)}); set cdr.path to a folder that this process may write to`;
      throw new TandemError({ code: 'cdr_path_unusable', message, cause });
    }
    const { repaired } = this.#file;
    if (repaired !== undefined) this.#alarm({ type: 'partial_line_moved', path: repaired });
    const { folder, clock } = options;
    const onFailure = (code: string): void => this.#alarm({ type: 'open_calls_not_kept', code });
    this.#open = new OpenCalls({ folder, clock, onFailure, gathers: options.atEndOfTurn !== undefined });
    this.#recover();
  }

  /** Records that have not reached the kernel: those of this turn, unless the disk refuses. */
  get pending(): number {
    return this.#pending.length;
  }

  note(call: DecidedCall): void {
    if (this.#closed) return;
    this.#open.note(call);
    this.#settleLater();
  }

  /** Before anybody is told anything: what is known of calls is in the kernel when this returns. Never throws. */
  settle(): void {
    if (!this.#unsettled) return;
    this.#unsettled = false;
    this.#open.settle();
    if (!this.#failing) this.#commit();
  }

  write(record: CallRecord): void {
    this.#open.over(record.callId);
    if (this.#closed || this.pending >= this.#maxPending) {
      this.#alarm({ type: 'record_dropped', callId: record.callId, line: recordLine(record) });
      return;
    }
    this.#pending.push(record);
    this.#settleLater();
    if (this.#options.atEndOfTurn === undefined) this.settle();
  }

  /** @throws TandemError `cdr_not_written` when the disk refuses; the records stay in memory and are tried again. */
  async flush(): Promise<void> {
    this.#commit();
    if (this.pending > 0) {
      const message = `${this.pending} call records are still in memory`;
      throw new TandemError({ code: 'cdr_not_written', message, retryable: true });
    }
    await this.#syncing;
    const code = await this.#sync();
    await Promise.all(this.#leaving);
    if (code !== undefined) {
      throw new TandemError({ code: 'cdr_not_written', message: `call records may not be on disk (${code})` });
    }
  }

  /** Flushes and closes. Records that cannot be written are reported as dropped, each with its line. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.settle();
    await this.flush().catch((error: unknown) => {
      this.#alarm({ type: 'write_failed', code: codeOf(error), pending: this.pending });
      for (const record of this.#pending) {
        this.#alarm({ type: 'record_dropped', callId: record.callId, line: recordLine(record) });
      }
    });
    this.#retry?.cancel();
    this.#syncTimer?.cancel();
    this.#open.close();
    await this.#syncing;
    await Promise.all(this.#leaving);
    await closeFile(this.#file.fd);
  }

  dump(): object {
    const open = this.#open.size;
    return { open, pending: this.pending, failing: this.#failing, openBytes: this.#file.bytes, unsynced: this.#dirty };
  }

  /** Calls that a process before this one left open get their records before the first call of this one. */
  #recover(): void {
    try {
      const left = recordsOfLeftCalls(this.#options.folder);
      for (const record of left) this.write(record);
      this.settle();
      if (left.length > 0) this.#alarm({ type: 'calls_recovered', count: left.length });
    } catch (error) {
      this.#alarm({ type: 'open_calls_not_kept', code: codeOf(error) });
    }
    // Until those records are written, the file that they come from stays.
    if (this.pending === 0) this.#open.begin();
  }

  readonly #commit = (): void => {
    const total = this.pending;
    if (total === 0) return;
    try {
      const wallMs = this.#options.clock.wallMs();
      if (this.#failing) this.#leave(this.#file.reopenIfMoved(wallMs));
      this.#drain(wallMs);
    } catch (error) {
      this.#fail(codeOf(error));
      return;
    }
    if (this.#failing) {
      this.#failing = false;
      this.#retry?.cancel();
      this.#open.begin();
      this.#alarm({ type: 'write_recovered', written: total });
    }
    this.#options.onWritten?.();
  };

  #settleLater(): void {
    this.#unsettled = true;
    if (this.#settling || this.#options.atEndOfTurn === undefined) return;
    this.#settling = true;
    this.#options.atEndOfTurn(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#settling = false;
    this.settle();
  };

  /** One write for everything that waits. */
  #drain(wallMs: number): void {
    const { rotateBytes, rotateDaily } = this.#options;
    if (this.#file.isFull(rotateBytes, rotateDaily, wallMs)) this.#rotate(wallMs);
    this.#file.append(this.#pending);
    this.#pending.length = 0;
    this.#touch();
  }

  /** A file that cannot be renamed grows on: better a long file than a lost record. */
  #rotate(wallMs: number): void {
    try {
      this.#leave(this.#file.rotate(wallMs));
      this.#rotateFailed = false;
    } catch (error) {
      if (!this.#rotateFailed) this.#alarm({ type: 'rotate_failed', code: codeOf(error) });
      this.#rotateFailed = true;
    }
  }

  #fail(code: string): void {
    if (!this.#failing) this.#alarm({ type: 'write_failed', code, pending: this.pending });
    this.#failing = true;
    this.#retry?.cancel();
    if (!this.#closed) this.#retry = this.#options.clock.setTimer('cdr.retry', RETRY_MS, this.#commit);
  }

  /** The file has bytes that the disk has not: sync soon, once for all that come until then. */
  #touch(): void {
    this.#dirty = true;
    if (this.#closed || this.#syncTimer?.active === true) return;
    this.#syncTimer = this.#options.clock.setTimer('cdr.sync', SYNC_MS, () => void this.#sync());
  }

  /** Resolves to an error code, or undefined when all is well. */
  #sync(): Promise<string | undefined> {
    if (this.#syncing !== undefined) return this.#syncing;
    if (!this.#dirty) return Promise.resolve(undefined);
    this.#dirty = false;
    this.#syncTimer?.cancel();
    this.#syncing = this.#syncFile(this.#file.fd).then((code) => {
      this.#syncing = undefined;
      // An operator or logrotate may have moved the file away: later records belong into a new one.
      if (!this.#closed) this.#followName();
      return code;
    });
    return this.#syncing;
  }

  #syncFile(fd: number): Promise<string | undefined> {
    return new Promise((resolve) => {
      fs.fdatasync(fd, (error) => {
        if (error) this.#alarm({ type: 'sync_failed', code: codeOf(error) });
        resolve(error ? codeOf(error) : undefined);
      });
    });
  }

  #alarm(alarm: RecorderAlarm): void {
    try {
      this.#options.onAlarm(alarm);
    } catch {
      // Whoever listens must not stop a record from being written.
    }
  }

  #followName(): void {
    try {
      this.#leave(this.#file.reopenIfMoved(this.#options.clock.wallMs()));
    } catch {
      // The next write says what is wrong.
    }
  }

  /** Syncs and closes a descriptor that is no longer written to, without waiting. */
  #leave(fd: number | undefined): void {
    if (fd === undefined) return;
    const done = Promise.resolve(this.#syncing)
      .then(() => this.#syncFile(fd))
      .then(() => closeFile(fd))
      .finally(() => this.#leaving.delete(done));
    this.#leaving.add(done);
  }
}

const closeFile = (fd: number): Promise<void> => new Promise((resolve) => fs.close(fd, () => resolve()));
