/** One record among the files of a recorder, by the call's id. For people who ask about a call, not for its path. */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { CallRecord } from './cdr.js';
import { OPEN_NAME } from './recordFile.js';

/** Newest files that are looked through. */
const MAX_FILES = 100;

/**
 * @param folder `cdr.path`
 * @returns undefined when no file has it, or there is no such folder
 */
export async function findRecord(folder: string, callId: string): Promise<CallRecord | undefined> {
  const names = await readdir(folder).catch((): string[] => []);
  const closed = names.filter((name) => name.endsWith('.jsonl') && name !== OPEN_NAME).sort();
  const files = [OPEN_NAME, ...closed.reverse()].filter((name) => names.includes(name)).slice(0, MAX_FILES);
  const needle = `"callId":${JSON.stringify(callId)}`;
  for (const name of files) {
    const record = await findIn(join(folder, name), needle, callId);
    if (record !== undefined) return record;
  }
  return undefined;
}

async function findIn(path: string, needle: string, callId: string): Promise<CallRecord | undefined> {
  const stream = createReadStream(path);
  // A file may be moved by its rotation between the list and the look: it is then found under its new name next time.
  stream.on('error', () => stream.destroy());
  try {
    for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
      if (!line.includes(needle)) continue;
      const record = parsed(line);
      if (record?.callId === callId) return record;
    }
  } catch {
    return undefined;
  } finally {
    stream.destroy();
  }
  return undefined;
}

function parsed(line: string): CallRecord | undefined {
  try {
    return JSON.parse(line) as CallRecord;
  } catch {
    return undefined;
  }
}
