/** The records of calls that were open when a process died, from what it left on disk. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Moment } from './callFacts.js';
import { lostWithItsNode, recordOf } from './callFacts.js';
import type { CallRecord } from './cdr.js';
import { dialRecordAt } from './dialRecord.js';
import {
  type Entry,
  type MomentPair,
  type MoreLine,
  type OpenLine,
  OLD_WAL_NAME,
  WAL_NAME,
  factsOf,
  momentOf,
} from './openLines.js';
import { closedNames, OPEN_NAME } from './recordFile.js';

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * The records of calls that a dead process left without one, in the order of their beginning.
 * @throws errno errors other than that there is no file
 */
export const recordsOfLeftCalls = (folder: string): readonly CallRecord[] => {
  const calls = new Map<string, OpenLine>();
  let base: string | undefined;
  let alive: MomentPair = [0, 0];
  for (const name of [OLD_WAL_NAME, WAL_NAME]) {
    for (const line of linesIn(join(folder, name))) {
      const entry = parsed(line);
      if (entry.open !== undefined) calls.set(entry.open.callId, entry.open);
      if (entry.more !== undefined) amend(calls, entry.more);
      if (entry.alive !== undefined) alive = entry.alive;
      // The older file's counts: its calls may have been recorded before the newer one began.
      base ??= entry.base;
    }
  }
  if (calls.size > 0) forgetRecorded(folder, base ?? '', calls);
  return [...calls.values()].map((call) => recordOfLeft(call, momentOf(alive)));
};

/** Whole lines of a file, which may be longer than any string; none where there is no file. */
function* linesIn(path: string): Generator<string> {
  let fd: number;
  try {
    fd = fs.openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    let chunk = Buffer.alloc(CHUNK_BYTES);
    /** Octets of a line that did not end in the chunk before. */
    let held = 0;
    for (;;) {
      const read = fs.readSync(fd, chunk, held, chunk.length - held, null);
      if (read === 0) break;
      const end = held + read;
      const whole = chunk.lastIndexOf(NEWLINE, end - 1) + 1;
      if (whole > 0) yield* chunk.toString('utf8', 0, whole).split('\n');
      held = end - whole;
      if (held === chunk.length) chunk = Buffer.concat([chunk, Buffer.alloc(held)]);
      else chunk.copy(chunk, 0, whole, end);
    }
    if (held > 0) yield chunk.toString('utf8', 0, held);
  } finally {
    fs.closeSync(fd);
  }
}

const amend = (calls: Map<string, OpenLine>, { callId, course }: MoreLine): void => {
  const before = calls.get(callId);
  if (before !== undefined) calls.set(callId, { ...before, course });
};

/** The last line may be cut off; what it would have said never reached a peer. */
const parsed = (line: string): Entry => {
  if (line === '') return {};
  try {
    return JSON.parse(line) as Entry;
  } catch {
    return {};
  }
};

/** The id of a record's call, at the beginning of its line. */
const RECORD = /^\{"callId":"([A-Za-z0-9_-]{1,64})"/gm;
/** What of a line's beginning may stand in the chunk before. */
const OVERLAP_BYTES = 128;

/** Removes the calls that have their record. */
const forgetRecorded = (folder: string, base: string, calls: Map<string, OpenLine>): void => {
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
const recordOfLeft = (line: OpenLine, alive: Moment): CallRecord => {
  const call = factsOf(line);
  const { answered, started, openDials = [] } = call;
  const dials = [...(call.dials ?? []), ...openDials.map((dial) => dialRecordAt(dial, alive.ms))];
  // It may have come after the last sign of life.
  const wallMs = Math.max(alive.wallMs, (answered ?? started).wallMs);
  const ended = { ms: alive.ms, wallMs };
  return recordOf(
    { ...call, dials: dials.length === 0 ? undefined : dials },
    lostWithItsNode(answered !== undefined),
    ended,
  );
};
