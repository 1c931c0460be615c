/** Runs on a thread of its own: reads, parses, validates and edits documents too large for the thread of the calls. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { BATCH_SIZE } from '../resourceTable.js';
import { errorText } from '../problem.js';
import { editDocument, readDocument } from './documentText.js';
import type { WorkerReply, WorkerTask } from './workerProtocol.js';

const post = (reply: WorkerReply): void => parentPort?.postMessage(reply);

async function run(task: WorkerTask): Promise<void> {
  const text = readFileSync(task.path, 'utf8');
  if (task.kind === 'edit') {
    const edited = editDocument(text, task.format, task.change);
    post(edited.ok ? { kind: 'edited', edited: edited.value } : { kind: 'problem', problem: edited.error });
    return;
  }
  const read = readDocument(text, task.format);
  if (!read.ok) return post({ kind: 'problem', problem: read.error });
  const { resources, hash } = read.value;
  if (hash === task.knownHash) return post({ kind: 'unchanged' });
  for (let i = 0; i < resources.length; i += BATCH_SIZE) {
    // Text, as JSON.parse rebuilds small objects faster than a structured clone does.
    post({ kind: 'batch', json: JSON.stringify(resources.slice(i, i + BATCH_SIZE)) });
    if (parentPort !== null) await once(parentPort, 'message');
  }
  post({ kind: 'loaded', hash });
}

run(workerData as WorkerTask).catch((error: unknown) => {
  post({ kind: 'problem', problem: { code: 'unreadable_document', message: errorText(error) } });
});
