/**
 * What is known of calls that are not over, on disk, so that a call whose process dies still gets its record.
 *
 * `calls.wal` in the recorder's folder has one line of JSON for each thing that happens:
 *   {base: NAME}                        records of calls below are in files that come after this closed one
 *   {open: OpenCall}                    all that is known of a call
 *   {more: {callId, record, ...}}       what has become otherwise since: members of the record and of the OpenCall
 *   {alive: [monotonic ms, wall ms]}    the process lives; once a second while calls are up
 * A call is over when its record is among the records; nothing is written here for that.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { type Clock, SlotMap, type Timer } from '../../kernel/index.js';
import type { CallRecord, OpenCall } from './cdr.js';
import { dialRecordAt } from './dialRecord.js';
import { isoTime } from './isoTime.js';
import { JsonLines } from './jsonLines.js';
import { closedNames, OPEN_NAME } from './recordFile.js';
import { chargeOf } from './rating.js';

const NAME = 'calls.wal';
const ALIVE_MS = 1000;
/** Written anew, without the calls that are over, when it has grown beyond this and beyond four times what is open. */
const COMPACT_BYTES = 8 * 1024 * 1024;
const COMPACT_FACTOR = 4;

export interface OpenCallsOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly onFailure: (code: string) => void;
}

/** A call as it was noted last. */
interface Noted {
  call: OpenCall;
  /** Of its lines in the file. */
  bytes: number;
}

export class OpenCalls {
  readonly #options: OpenCallsOptions;
  readonly #path: string;
  readonly #calls = new SlotMap<Noted>();
  readonly #lines = new JsonLines();
  #fd: number | undefined;
  #bytes = 0;
  #openBytes = 0;
  #alive: Timer | undefined;
  #failing = false;

  constructor(options: OpenCallsOptions) {
    this.#options = options;
    this.#path = join(options.folder, NAME);
  }

  get size(): number {
    return this.#calls.size;
  }

  /** A call was let in or answered, or a dial of its flow was answered or ended. In the kernel when this returns; a disk that refuses costs the safety, not the call. */
  note(call: OpenCall): void {
    const { callId } = call.record;
    const noted = this.#calls.get(callId);
    const bytes = this.#append(noted === undefined ? { open: call } : changeOf(noted.call, call));
    this.#openBytes += bytes;
    if (noted === undefined) this.#calls.set(callId, { call, bytes });
    else {
      noted.call = call;
      noted.bytes += bytes;
    }
    if (this.#bytes > COMPACT_BYTES && this.#bytes > COMPACT_FACTOR * this.#openBytes) this.begin();
    this.#arm();
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

  /** Writes the file anew: with what is open now. */
  begin(): void {
    const draft = `${this.#path}.new`;
    try {
      const lines = this.#lines;
      lines.clear();
      lines.add({ base: closedNames(this.#options.folder).at(-1) ?? '' });
      lines.add(this.#signOfLife());
      this.#openBytes = 0;
      for (const noted of this.#calls.values()) {
        const before = lines.length;
        lines.add({ open: noted.call });
        noted.bytes = lines.length - before;
        this.#openBytes += noted.bytes;
      }
      fs.writeFileSync(draft, lines.octets.subarray(0, lines.length), { mode: 0o640 });
      const fd = fs.openSync(draft, 'a');
      fs.renameSync(draft, this.#path);
      if (this.#fd !== undefined) fs.closeSync(this.#fd);
      this.#fd = fd;
      this.#bytes = lines.length;
      this.#failing = false;
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Nothing is open any more, or is given up. */
  close(): void {
    this.#alive?.cancel();
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }

  #arm(): void {
    if (this.#alive !== undefined) return;
    this.#alive = this.#options.clock.setTimer('cdr.alive', ALIVE_MS, () => {
      this.#alive = undefined;
      if (this.#fd === undefined) this.begin();
      else this.#append(this.#signOfLife());
      if (this.#calls.size > 0) this.#arm();
    });
  }

  #signOfLife(): Entry {
    const { clock } = this.#options;
    return { alive: [clock.nowMs(), clock.wallMs()] };
  }

  /** @returns the octets written */
  #append(entry: Entry): number {
    if (this.#fd === undefined) return 0;
    const lines = this.#lines;
    lines.clear();
    lines.add(entry);
    try {
      const bytes = fs.writeSync(this.#fd, lines.octets, 0, lines.length);
      if (bytes < lines.length) throw Object.assign(new Error('half a line was written'), { code: 'ENOSPC' });
      this.#bytes += bytes;
      return bytes;
    } catch (error) {
      // Half a line may stand there: the next second writes all of it anew.
      fs.closeSync(this.#fd);
      this.#fd = undefined;
      this.#fail(error);
      return 0;
    }
  }

  #fail(error: unknown): void {
    if (!this.#failing) this.#options.onFailure((error as NodeJS.ErrnoException).code ?? String(error));
    this.#failing = true;
  }
}

/** An answer changes a third of a record, and least of all its decision: the rest stands in the lines before. */
const changeOf = ({ record: before }: OpenCall, { record, ...rest }: OpenCall): Entry => {
  const changed: { [name: string]: unknown } = {};
  for (const name in record) {
    const value = record[name as keyof CallRecord];
    // Lists grow in place.
    if (value !== before[name as keyof CallRecord] || (Array.isArray(value) && value.length > 0)) changed[name] = value;
  }
  return { more: { callId: record.callId, record: changed, ...rest } };
};

/**
 * The records of calls that a dead process left without one, in the order of their beginning.
 * @throws errno errors other than that there is no file
 */
export const recordsOfLeftCalls = (folder: string): readonly CallRecord[] => {
  let text: string;
  try {
    text = fs.readFileSync(join(folder, NAME), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const calls = new Map<string, OpenCall>();
  let base = '';
  let alive: readonly [number, number] = [0, 0];
  for (const line of text.split('\n')) {
    const entry = parsed(line);
    if (entry.open !== undefined) calls.set(entry.open.record.callId, entry.open);
    if (entry.more !== undefined) amend(calls, entry.more);
    if (entry.alive !== undefined) alive = entry.alive;
    if (entry.base !== undefined) base = entry.base;
  }
  if (calls.size > 0) forgetRecorded(folder, base, calls);
  return [...calls.values()].map((call) => recordOf(call, alive));
};

/** What has changed of an open call: `changeOf`. */
type Change = Omit<OpenCall, 'record'> & { readonly callId: string; readonly record: Partial<CallRecord> };

const amend = (calls: Map<string, OpenCall>, { callId, record, ...rest }: Change): void => {
  const before = calls.get(callId);
  if (before !== undefined) calls.set(callId, { ...rest, record: { ...before.record, ...record } });
};

interface Entry {
  readonly base?: string;
  readonly open?: OpenCall;
  readonly more?: Change;
  readonly alive?: readonly [number, number];
}

/** The last line may be cut off; what it would have said never reached a peer. */
const parsed = (line: string): Entry => {
  if (line === '') return {};
  try {
    return JSON.parse(line) as Entry;
  } catch {
    return {};
  }
};

const CHUNK_BYTES = 1024 * 1024;
/** The id of a record's call, at the beginning of its line. */
const RECORD = /^\{"callId":"([A-Za-z0-9_-]{1,64})"/gm;
/** What of a line's beginning may stand in the chunk before. */
const OVERLAP_BYTES = 128;

/** Removes the calls that have their record. */
const forgetRecorded = (folder: string, base: string, calls: Map<string, OpenCall>): void => {
  const names = [...closedNames(folder).filter((name) => name > base), OPEN_NAME];
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (const name of names) {
    const fd = fs.openSync(join(folder, name), 'r');
    try {
      for (let at = 0, read = 0; ; at += read - OVERLAP_BYTES) {
        read = fs.readSync(fd, chunk, 0, CHUNK_BYTES, at);
        // `^` is also the beginning of a chunk, which is the middle of a line: no line has an id there but at its own.
        for (const [, callId = ''] of chunk.toString('latin1', 0, read).matchAll(RECORD)) calls.delete(callId);
        if (read < CHUNK_BYTES) break;
      }
    } finally {
      fs.closeSync(fd);
    }
  }
};

/** A call that was up is charged until the process was last known to live, and so are the dials that were up. */
const recordOf = (call: OpenCall, [aliveMs, aliveWallMs]: readonly [number, number]): CallRecord => {
  const { record, direction, priced, answeredMs, dials: up = [] } = call;
  const { decision, dials: over = [], ...rest } = record;
  const talkMs = answeredMs === undefined ? 0 : Math.max(0, Math.round(aliveMs - answeredMs));
  const endedMs = Math.max(aliveWallMs, Date.parse(record.endedAt));
  const rated = answeredMs !== undefined && direction !== undefined && priced !== undefined;
  const charge = rated ? chargeOf(priced, direction, talkMs) : null;
  const dials = [...over, ...up.map((dial) => dialRecordAt(dial, aliveMs))];
  // As in any record, the decision comes after whatever has cost something.
  const charged = { ...rest, endedAt: isoTime(endedMs), talkMs, charge };
  return { ...charged, ...(dials.length === 0 ? {} : { dials }), decision };
};
