import { stat } from 'node:fs/promises';
import type { RoutingHistory } from '../../call/routing/history.js';
import type { RoutingStore, RoutingStoreStatus } from '../../call/routing/resources.js';
import { TandemError, type Timer } from '../../kernel/index.js';
import { writeAtomically } from '../atomicWrite.js';
import { DeliveryGate, type Deliver, type OnProblem } from '../deliveryGate.js';
import { differenceOf } from '../difference.js';
import type { HistoryBounds } from '../historyBounds.js';
import {
  alreadyFollowing,
  errorText,
  prepareChange,
  revisionConflict,
  storeClosed,
  type RoutingChange,
  type StoreProblem,
  unwrap,
} from '../problem.js';
import type { ResourceTable } from '../resourceTable.js';
import type { StoreDeps } from '../timeSlice.js';
import { DirectoryWatch } from './directoryWatch.js';
import { DocumentWork, type LoadedDocument } from './documentWork.js';
import { EditJournal } from './editJournal.js';
import { FileHistory } from './fileHistory.js';
import { withFileLock } from './fileLock.js';
import { Journal } from './journal.js';
import { RevisionNames, hashOfRevision, publishedName } from './revisionName.js';

/** Events of one write come together; the first arms this, so that a busy writer cannot put reading off for ever. */
const SETTLE_MS = 20;
/** Up to so many changes are delivered as a patch. */
const MAX_PATCH = 1000;

export interface FileStoreOptions {
  /** For a look at it: edits that are found are served, and not written into the journal. */
  readonly readOnly?: boolean;
  readonly bounds?: HistoryBounds;
}

/** The routing document in one YAML or JSON file, with a journal of publications beside it. */
export class FileStore implements RoutingStore {
  readonly #path: string;
  readonly #deps: StoreDeps;
  readonly #work: DocumentWork;
  readonly #journal: Journal;
  readonly #edits: EditJournal | undefined;
  readonly history: RoutingHistory;
  readonly #names = new RevisionNames();
  readonly #publications = new Set<Promise<string>>();
  #gate: DeliveryGate | undefined;
  #watch: DirectoryWatch | undefined;
  #settling: Timer | undefined;
  #refreshing: Promise<void> | undefined;
  #changedMeanwhile = false;
  #held: LoadedDocument | undefined;
  #problem: StoreProblem | undefined;
  #closed = false;

  constructor(path: string, deps: StoreDeps, options: FileStoreOptions = {}) {
    this.#path = path;
    this.#deps = deps;
    this.#work = new DocumentWork(path);
    this.#journal = new Journal(path, deps, options.bounds);
    this.history = new FileHistory(this.#journal);
    if (options.readOnly !== true) this.#edits = new EditJournal(path, this.#journal, this.#work, deps);
  }

  async follow(deliver: Deliver, onProblem: OnProblem): Promise<void> {
    if (this.#closed) throw storeClosed();
    if (this.#gate !== undefined) throw alreadyFollowing();
    this.#gate = new DeliveryGate(deliver, onProblem);
    try {
      this.#watch = new DirectoryWatch(
        this.#path,
        () => this.#onChange(),
        (error) => this.#report({ code: 'watch_failed', message: `${this.#path}: ${error.message}` }),
      );
    } catch (error) {
      throw this.#noDocument(errorText(error));
    }
    await this.#refresh();
    if (this.#gate.revision === undefined) {
      this.#watch.close();
      throw this.#noDocument(this.#problem?.message ?? 'it was refused');
    }
  }

  publish(change: RoutingChange): Promise<string> {
    if (this.#closed) return Promise.reject(storeClosed());
    const publication = prepareChange(change, this.#deps).then((prepared) =>
      withFileLock(this.#path, this.#deps, () => this.#publishLocked(prepared)),
    );
    this.#publications.add(publication);
    return publication.finally(() => this.#publications.delete(publication));
  }

  status(): RoutingStoreStatus {
    const stale = this.#problem !== undefined;
    const revision = this.#gate?.revision ?? 'none';
    const detail = `file ${this.#path}, revision ${revision}${stale ? `; ${this.#problem?.message}` : ''}`;
    return { connected: !this.#closed && this.#problem?.code !== 'unreadable_document', stale, detail };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.close();
    this.#settling?.cancel();
    await Promise.allSettled(this.#publications);
    await this.#work.close();
    await this.#refreshing;
  }

  #onChange(): void {
    if (this.#closed || this.#settling?.active === true) return;
    this.#settling = this.#deps.clock.setTimer('store.file.settle', SETTLE_MS, () => void this.#refresh());
  }

  /** Reads until what was read is what lies there. */
  #refresh(): Promise<void> {
    this.#changedMeanwhile = true;
    this.#refreshing ??= (async () => {
      while (this.#changedMeanwhile && !this.#closed) {
        this.#changedMeanwhile = false;
        try {
          await this.#readOnce();
        } catch (error) {
          this.#report({ code: 'unreadable_document', message: `${this.#path}: ${errorText(error)}` });
        }
      }
      this.#refreshing = undefined;
    })();
    return this.#refreshing;
  }

  async #readOnce(): Promise<void> {
    const loaded = await this.#work.load(this.#held?.hash);
    if (this.#closed) return;
    if (!loaded.ok) {
      return this.#report({ code: loaded.error.code, message: `${this.#path}: ${loaded.error.message}` });
    }
    if (loaded.value !== 'unchanged') return this.#deliver(loaded.value);
    this.#problem = undefined;
    // A publication that changed nothing is a revision all the same.
    const journal = await this.#journal.entries();
    if (this.#held && this.#names.unnamed(this.#held.hash, journal)) await this.#deliver(this.#held);
  }

  async #deliver(loaded: LoadedDocument): Promise<void> {
    const gate = this.#gate as DeliveryGate;
    await this.#edits?.note(loaded, this.#held, gate.revision);
    const revision = this.#names.next(loaded.hash, await this.#journal.entries());
    const patch = this.#held && (await this.#patchFrom(this.#held.table, loaded.table));
    const base = gate.revision;
    const delivered =
      patch !== undefined && base !== undefined
        ? await gate.patch({ kind: 'patch', revision, base, ...patch })
        : await gate.full(revision, loaded.table.batches());
    if (!delivered) return;
    this.#held = loaded;
    this.#problem = undefined;
  }

  #patchFrom(from: ResourceTable, to: ResourceTable): ReturnType<typeof differenceOf> {
    return differenceOf(from, to, MAX_PATCH, this.#deps);
  }

  async #publishLocked(change: RoutingChange): Promise<string> {
    const { text, hash, baseHash, changes } = unwrap(await this.#work.edit(change));
    let last = (await this.#journal.entries()).at(-1);
    if (change.base !== undefined && hashOfRevision(change.base) !== baseHash) {
      const known = last?.hash === baseHash ? last.revision : `with content ${baseHash}`;
      throw revisionConflict(change.base, known);
    }
    // An edit that nobody has seen yet is a revision of its own, before this one.
    if (last?.hash !== baseHash) last = (await this.#edits?.noteLocked(baseHash, this.#held, undefined)) ?? last;
    const number = (last?.number ?? 0) + 1;
    const base = last?.revision ?? publishedName(0, baseHash);
    const { author, note } = change;
    const revision = publishedName(number, hash);
    const at = new Date(this.#deps.clock.wallMs()).toISOString();
    // Journal first: a follower that sees the document finds its name there.
    const entry = { number, revision, base, hash, author, at, ...(note === undefined ? {} : { note }) };
    await this.#journal.append(entry, { text }, changes);
    const mode = (await stat(this.#path)).mode & 0o777;
    await writeAtomically(
      this.#path,
      async (file) => {
        // What open was given passed through the umask.
        await file.chmod(mode);
        await file.writeFile(text);
      },
      mode,
    );
    return revision;
  }

  #report(problem: StoreProblem): void {
    const again = problem.code === this.#problem?.code && problem.message === this.#problem.message;
    this.#problem = problem;
    if (!again && !this.#closed) this.#gate?.report(problem);
  }

  #noDocument(why: string): TandemError {
    const message = why.startsWith(this.#path) ? why : `${this.#path}: ${why}`;
    return new TandemError({ code: 'no_routing_document', message });
  }
}
