import { readFile, stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import type { Resource } from '../../call/routing/resources.js';
import { err, ok, type Result } from '../../kernel/index.js';
import { errorText, type RoutingChange, type StoreProblem } from '../problem.js';
import { ResourceTable } from '../resourceTable.js';
import { editDocument, formatOf, readDocument, type DocumentFormat, type EditedDocument } from './documentText.js';
import type { WorkerReply, WorkerTask } from './workerProtocol.js';

/** Documents up to this size are parsed in a few milliseconds; larger ones go to a worker thread. */
const INLINE_BYTES: Readonly<Record<DocumentFormat, number>> = { json: 256 * 1024, yaml: 16 * 1024 };

export interface LoadedDocument {
  readonly table: ResourceTable;
  readonly hash: string;
}

/** Reads and edits one document, off the calling thread when it is large. */
export class DocumentWork {
  readonly #path: string;
  readonly #format: DocumentFormat;
  readonly #workers = new Set<Worker>();

  constructor(path: string) {
    this.#path = path;
    this.#format = formatOf(path);
  }

  /**
   * @param knownHash what the caller holds already; equal contents answer `unchanged`.
   * @param path of another document of the same format
   */
  async load(
    knownHash: string | undefined,
    path = this.#path,
  ): Promise<Result<LoadedDocument | 'unchanged', StoreProblem>> {
    try {
      if (await this.#isLarge(path)) {
        return await this.#loadInWorker({ kind: 'load', path, format: this.#format, knownHash });
      }
      const read = readDocument(await readFile(path, 'utf8'), this.#format);
      if (!read.ok) return read;
      const { hash, resources } = read.value;
      return ok(hash === knownHash ? 'unchanged' : { hash, table: new ResourceTable(resources) });
    } catch (error) {
      return err({ code: 'unreadable_document', message: errorText(error) });
    }
  }

  async edit(change: Pick<RoutingChange, 'upserts' | 'deletes'>): Promise<Result<EditedDocument, StoreProblem>> {
    try {
      if (await this.#isLarge()) {
        const { upserts, deletes } = change;
        return await this.#editInWorker({
          kind: 'edit',
          path: this.#path,
          format: this.#format,
          change: { upserts, deletes },
        });
      }
      return editDocument(await readFile(this.#path, 'utf8'), this.#format, change);
    } catch (error) {
      return err({ code: 'unreadable_document', message: errorText(error) });
    }
  }

  /** Ends workers that still run; what waits for them gets a problem. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.terminate()));
  }

  async #isLarge(path = this.#path): Promise<boolean> {
    return (await stat(path)).size > INLINE_BYTES[this.#format];
  }

  #loadInWorker(task: WorkerTask): Promise<Result<LoadedDocument | 'unchanged', StoreProblem>> {
    const table = new ResourceTable();
    return this.#ask<LoadedDocument | 'unchanged'>(task, (reply, worker) => {
      if (reply.kind === 'unchanged') return ok('unchanged');
      if (reply.kind === 'loaded') return ok({ table, hash: reply.hash });
      if (reply.kind !== 'batch') return undefined;
      for (const resource of JSON.parse(reply.json) as Resource[]) table.set(resource);
      worker.postMessage('next');
      return undefined;
    });
  }

  #editInWorker(task: WorkerTask): Promise<Result<EditedDocument, StoreProblem>> {
    return this.#ask(task, (reply) => (reply.kind === 'edited' ? ok(reply.edited) : undefined));
  }

  /** Runs a worker until `take` makes a result of one of its replies, or it fails. */
  #ask<T>(
    task: WorkerTask,
    take: (reply: WorkerReply, worker: Worker) => Result<T, StoreProblem> | undefined,
  ): Promise<Result<T, StoreProblem>> {
    return new Promise((resolve) => {
      const worker = new Worker(new URL('./parseWorker.js', import.meta.url), { workerData: task });
      this.#workers.add(worker);
      let result: Result<T, StoreProblem> = err({ code: 'unreadable_document', message: 'the parser was stopped' });
      worker.on('message', (reply: WorkerReply) => {
        const taken = reply.kind === 'problem' ? err(reply.problem) : take(reply, worker);
        if (taken === undefined) return;
        result = taken;
        void worker.terminate();
      });
      worker.on('error', (error) => (result = err({ code: 'unreadable_document', message: errorText(error) })));
      worker.on('exit', () => {
        this.#workers.delete(worker);
        resolve(result);
      });
    });
  }
}
