/** Asks the thread that searches records. Nothing is searched, parsed or built on the thread of the calls. */
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../../../kernel/index.js';
import { closedNames } from '../recordFile.js';
import type { QueryAnswer, RecordQuery } from './filter.js';

const TIMEOUT_MS = 30_000;
/** Questions that may wait: a search takes milliseconds. */
const MOST_WAITING = 32;
/**
 * Indexes of files that were closed are made without being asked for, this often: a busy node closes several a minute, and
 * two dozen at once would take a core, which the calls may want, for seconds.
 */
const PREPARE_MS = 60_000;
/** A thread that nobody asks anything is ended: what it holds of the files it reads again in milliseconds. */
const IDLE_MS = 60_000;
/** The question to make indexes. */
const PREPARE_ID = 0;

interface Waiting {
  readonly done: (answer: QueryAnswer) => void;
  readonly timer: Timer;
}

/** By the thread, of a question: without an answer when it was to make indexes. */
interface Told {
  readonly id: number;
  readonly answer: QueryAnswer | undefined;
}

const failed = (message: string): QueryAnswer => ({ ok: false, code: 'query_failed', message });

export class RecordQueries {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #nextId = 1;
  #prepare: Timer | undefined;
  /** Indexes are being made. */
  #preparing = false;
  /** Closed files that the thread has been asked to index. */
  #prepared: ReadonlySet<string> = new Set();
  #idle: Timer | undefined;
  /** The thread has had a question; one that came for indexes only goes with them. */
  #asked = false;
  #closed = false;

  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** Keeps the indexes up to date in the background. */
  start(): void {
    this.#prepare = this.#clock.setTimer('cdr.index', PREPARE_MS, () => {
      this.#makeIndexes();
      this.start();
    });
  }

  query(query: RecordQuery): Promise<QueryAnswer> {
    if (this.#closed) return Promise.resolve(failed('the records are closed'));
    if (this.#waiting.size >= MOST_WAITING) return Promise.resolve(failed('too many searches wait'));
    return new Promise((done) => {
      const id = this.#nextId++;
      // A search that does not end is ended with its thread: others that wait are told as well.
      const timer = this.#clock.setTimer('cdr.query', TIMEOUT_MS, () => this.#drop('the search took too long'));
      this.#waiting.set(id, { done, timer });
      this.#asked = true;
      this.#thread().postMessage({ id, query });
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#prepare?.cancel();
    const worker = this.#worker;
    this.#drop('the records are closed');
    await worker?.terminate();
  }

  /** Whether a search has its thread at the moment. */
  get hasThread(): boolean {
    return this.#worker !== undefined;
  }

  /** A thread costs as much as a hundred calls to begin: not for nothing. */
  #makeIndexes(): void {
    const names = namesIn(this.#folder);
    if (names.every((name) => this.#prepared.has(name))) return;
    this.#prepared = new Set(names);
    this.#preparing = true;
    this.#thread().postMessage({ id: PREPARE_ID, query: null });
  }

  #thread(): Worker {
    this.#idle?.cancel();
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: { folder: this.#folder } });
    worker.unref();
    worker.on('message', ({ id, answer }: Told) => {
      if (worker !== this.#worker) return;
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (id === PREPARE_ID) this.#preparing = false;
      if (!this.#preparing && this.#waiting.size === 0) {
        if (this.#asked) this.#rest();
        else this.#drop('the indexes are made');
      }
      waiting?.timer.cancel();
      if (answer !== undefined) waiting?.done(answer);
    });
    worker.on('error', (error) => this.#drop(error.message, worker));
    this.#worker = worker;
    return worker;
  }

  #rest(): void {
    this.#idle?.cancel();
    this.#idle = this.#clock.setTimer('cdr.query.idle', IDLE_MS, () => this.#drop('nobody asked anything'));
  }

  #drop(reason: string, worker = this.#worker): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    if (this.#preparing) this.#prepared = new Set();
    this.#preparing = this.#asked = false;
    this.#idle?.cancel();
    void worker?.terminate();
    for (const { done, timer } of this.#waiting.values()) {
      timer.cancel();
      done(failed(reason));
    }
    this.#waiting.clear();
  }
}

/** A folder that cannot be read has nothing to index. */
const namesIn = (folder: string): readonly string[] => {
  try {
    return closedNames(folder);
  } catch {
    return [];
  }
};
