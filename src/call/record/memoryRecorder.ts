import type { CallRecord, CallRecorder } from './cdr.js';

/** Keeps records in memory: for tests, and for tools that place a single call. */
export class MemoryCallRecorder implements CallRecorder {
  readonly records: CallRecord[] = [];
  #closed = false;

  write(record: CallRecord): void {
    if (!this.#closed) this.records.push(record);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }
}
