/** The thread that searches records, and reads all of them for its indexes: calls and audio go first. */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { RecordArchive } from './archive.js';
import type { QueryAnswer, RecordQuery } from './filter.js';

/** Nice value. On Linux 0 is the calling thread, not its process. */
const PRIORITY = 15;

if (process.platform === 'linux') setPriority(0, PRIORITY);

const archive = new RecordArchive((workerData as { readonly folder: string }).folder);

const answerOf = (query: RecordQuery): QueryAnswer => {
  try {
    return archive.query(query);
  } catch (error) {
    return { ok: false, code: 'query_failed', message: error instanceof Error ? error.message : String(error) };
  }
};

/** Indexes that cannot be made now are made when somebody searches. */
const prepare = (): void => {
  try {
    archive.prepare();
  } catch {
    return;
  }
};

parentPort?.on('message', ({ id, query }: { readonly id: number; readonly query: RecordQuery | null }) => {
  if (query === null) prepare();
  parentPort?.postMessage({ id, answer: query === null ? undefined : answerOf(query) });
});
