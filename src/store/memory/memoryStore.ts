import {
  type RevisionPage,
  type RevisionQuery,
  type RevisionRecord,
  type RoutingHistory,
  revisionNotFound,
} from '../../call/routing/history.js';
import { assemble, flatten, validateDocument } from '../../call/routing/schema.js';
import type { RoutingStore, RoutingStoreStatus, RoutingUpdate } from '../../call/routing/resources.js';
import { TandemError } from '../../kernel/index.js';
import { changesOf } from '../changesOf.js';
import { DeliveryGate, type Deliver, type OnProblem } from '../deliveryGate.js';
import { HISTORY_BOUNDS, countOf, type HistoryBounds } from '../historyBounds.js';
import {
  alreadyFollowing,
  describeProblems,
  historyTrimmed,
  prepareChange,
  revisionConflict,
  storeClosed,
  type RoutingChange,
} from '../problem.js';
import { ResourceTable } from '../resourceTable.js';
import type { StoreDeps } from '../timeSlice.js';

type Listener = (update: Extract<RoutingUpdate, { kind: 'patch' }>) => void;

/** A routing document in this process, which any number of memory stores share. */
export class MemoryDocument implements RoutingHistory {
  #table: ResourceTable;
  #revision = 0;
  /** Oldest first, without gaps. */
  readonly #records: RevisionRecord[] = [];
  readonly #bounds: HistoryBounds;
  readonly #listeners = new Set<Listener>();

  /**
   * @param document nested form, as in a file; default: an empty one.
   * @throws TandemError `invalid_document`.
   */
  constructor(document: unknown = {}, bounds: HistoryBounds = HISTORY_BOUNDS) {
    this.#bounds = bounds;
    const checked = validateDocument(document);
    if (!checked.ok) throw new TandemError({ code: 'invalid_document', message: describeProblems(checked.error) });
    this.#table = new ResourceTable(flatten(checked.value));
  }

  get revision(): string {
    return String(this.#revision);
  }

  get table(): ResourceTable {
    return this.#table;
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  list({ before, limit }: RevisionQuery): Promise<RevisionPage> {
    if (before !== undefined && !this.#known(before)) return Promise.reject(revisionNotFound(before));
    const oldest = Number(this.#records[0]?.revision ?? this.#revision + 1);
    const end = before === undefined ? this.#records.length : Math.max(0, Number(before) - oldest);
    const page = this.#records.slice(Math.max(0, end - limit), end).reverse();
    const revisions = page.map(({ changes, ...summary }) => ({ ...summary, changes: changes.length }));
    return Promise.resolve({ revisions, trimmed: oldest > 1 });
  }

  get(revision: string): Promise<RevisionRecord> {
    const record = this.#records.find((one) => one.revision === revision);
    if (record !== undefined) return Promise.resolve(record);
    return Promise.reject(this.#known(revision) ? historyTrimmed(revision) : revisionNotFound(revision));
  }

  #known(revision: string): boolean {
    const count = countOf(revision);
    return revision === String(count) && count > 0 && count <= this.#revision;
  }

  /** @param at ISO 8601. @throws TandemError `revision_conflict`, `invalid_document`. */
  publish(change: RoutingChange, at: string): string {
    const base = this.revision;
    if (change.base !== undefined && change.base !== base) throw revisionConflict(change.base, base);
    const table = new ResourceTable(this.#table.resources());
    table.apply(change);
    const checked = validateDocument(assemble(table.resources()));
    if (!checked.ok) throw new TandemError({ code: 'invalid_document', message: describeProblems(checked.error) });
    const { upserts, deletes, author, note } = change;
    const before = this.#table;
    const changes = changesOf(change, (key) => before.get(key));
    this.#table = table;
    this.#revision++;
    const { revision } = this;
    this.#records.push({ revision, base, author, at, ...(note === undefined ? {} : { note }), changes });
    if (this.#records.length > this.#bounds.revisions) this.#records.shift();
    for (const listener of this.#listeners) {
      listener({ kind: 'patch', revision: this.revision, base, upserts, deletes });
    }
    return this.revision;
  }
}

/** The simplest adapter: for tests, and for explaining a document that no file holds. */
export class MemoryStore implements RoutingStore {
  readonly #document: MemoryDocument;
  readonly #deps: StoreDeps;
  #gate: DeliveryGate | undefined;
  #stopListening: (() => void) | undefined;
  #deliveries: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(document: MemoryDocument, deps: StoreDeps) {
    this.#document = document;
    this.#deps = deps;
  }

  async follow(deliver: Deliver, onProblem: OnProblem): Promise<void> {
    if (this.#closed) throw storeClosed();
    if (this.#gate !== undefined) throw alreadyFollowing();
    const gate = (this.#gate = new DeliveryGate(deliver, onProblem));
    this.#stopListening = this.#document.listen((update) => {
      this.#deliveries = this.#deliveries.then(async () => {
        if (!this.#closed && !(await gate.patch(update))) await this.#deliverFull(gate);
      });
    });
    this.#deliveries = this.#deliveries.then(() => this.#deliverFull(gate));
    await this.#deliveries;
  }

  async publish(change: RoutingChange): Promise<string> {
    if (this.#closed) throw storeClosed();
    const at = new Date(this.#deps.clock.wallMs()).toISOString();
    return this.#document.publish(await prepareChange(change, this.#deps), at);
  }

  get history(): RoutingHistory {
    return this.#document;
  }

  status(): RoutingStoreStatus {
    const { revision } = this.#document;
    return { connected: !this.#closed, stale: this.#closed, detail: `memory, revision ${revision}` };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening?.();
    await this.#deliveries;
  }

  async #deliverFull(gate: DeliveryGate): Promise<void> {
    const { revision, table } = this.#document;
    await gate.full(revision, table.batches());
  }
}
