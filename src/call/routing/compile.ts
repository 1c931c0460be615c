/** Makes tables from what stores deliver, in slices, and puts them in place. */
import { EventChannel, TandemError } from '../../kernel/index.js';
import type { NumberFormat } from './numbers.js';
import type { Resource, RoutingUpdate } from './resources.js';
import { RoutingTable, emptyParts } from './table.js';
import { TableWriter } from './tableWriter.js';

export type FullUpdate = Extract<RoutingUpdate, { kind: 'full' }>;
export type PatchUpdate = Extract<RoutingUpdate, { kind: 'patch' }>;

export interface CompileOptions {
  /** Gives the thread to others and comes back; without it nothing is sliced. */
  readonly pause?: (() => Promise<void>) | undefined;
  /** How numbers are written where a trunk does not say. */
  readonly format?: NumberFormat | undefined;
}

/** Entries written between pauses: about a millisecond. */
const SLICE_ENTRIES = 1000;

/** Counts entries and pauses when a slice is full. */
class Pacer {
  readonly #pause: (() => Promise<void>) | undefined;
  #spent = 0;

  constructor(pause: (() => Promise<void>) | undefined) {
    this.#pause = pause;
  }

  spend(entries: number): Promise<void> | undefined {
    this.#spent += entries;
    if (this.#spent < SLICE_ENTRIES || this.#pause === undefined) return undefined;
    this.#spent = 0;
    return this.#pause();
  }
}

export class TableBuilder {
  readonly #options: CompileOptions;

  constructor(options: CompileOptions = {}) {
    this.#options = options;
  }

  /**
   * Builds a table. Of resources with the same identity the last one counts.
   * @throws TandemError `routing_update_invalid`, or whatever the batches' source throws
   */
  async compile(update: FullUpdate, options: CompileOptions = this.#options): Promise<RoutingTable> {
    const pacer = new Pacer(options.pause);
    const writer = new TableWriter(emptyParts(), options.format ?? this.#options.format ?? {});
    for await (const batch of update.batches) {
      const waiting = pacer.spend(1);
      if (waiting !== undefined) await waiting;
      await write(writer, batch, pacer);
    }
    return writer.finish(update.revision);
  }

  /** `applyPatch` in slices, for patches of any size. */
  async patch(table: RoutingTable, patch: PatchUpdate): Promise<RoutingTable> {
    const pacer = new Pacer(this.#options.pause);
    const writer = new TableWriter(table.fork(), table.format);
    for (const key of patch.deletes) {
      for (const cost of writer.remove(key)) await pacer.spend(cost);
    }
    await write(writer, patch.upserts, pacer);
    return writer.finish(patch.revision);
  }
}

async function write(writer: TableWriter, batch: readonly Resource[], pacer: Pacer): Promise<void> {
  for (const resource of batch) {
    if (resource.type === 'phone_number') {
      writer.number(resource.value);
      const waiting = pacer.spend(1);
      if (waiting !== undefined) await waiting;
      continue;
    }
    for (const cost of writer.upsert(resource)) {
      const waiting = pacer.spend(cost);
      if (waiting !== undefined) await waiting;
    }
  }
}

/**
 * A new table that shares with the old one all that the patch does not touch; deletes go before upserts.
 * In one go: for patches of thousands of resources use `TableHolder.apply`.
 * @throws TandemError `routing_update_invalid`; the old table is as it was
 */
export function applyPatch(table: RoutingTable, patch: PatchUpdate): RoutingTable {
  const writer = new TableWriter(table.fork(), table.format);
  for (const key of patch.deletes) for (const _ of writer.remove(key));
  for (const resource of patch.upserts) for (const _ of writer.upsert(resource));
  return writer.finish(patch.revision);
}

export interface TableSwapped {
  readonly kind: 'full' | 'patch';
  readonly revision: string;
  readonly previous: string;
}

/** Holds the table that new calls are decided by. Calls keep the one they began with. */
export class TableHolder {
  /** Told after each swap. */
  readonly swapped = new EventChannel<TableSwapped>();
  readonly #builder: TableBuilder;
  #current: RoutingTable;
  #queue: Promise<void> = Promise.resolve();

  constructor(options: CompileOptions = {}) {
    this.#builder = new TableBuilder(options);
    this.#current = RoutingTable.unloaded(options.format);
  }

  get current(): RoutingTable {
    return this.#current;
  }

  /**
   * Builds the next table beside the current one and swaps them; updates wait for one another.
   * A rejected update leaves the current table in place.
   * @throws TandemError `routing_update_invalid`, or `routing_base_mismatch` for a patch of another revision
   */
  apply(update: RoutingUpdate): Promise<void> {
    const applied = this.#queue.then(() => this.#apply(update));
    this.#queue = applied.catch(() => undefined);
    return applied;
  }

  async #apply(update: RoutingUpdate): Promise<void> {
    const previous = this.#current.revision;
    if (update.kind === 'patch' && (!this.#current.loaded || update.base !== previous)) {
      const message = `the patch is for revision ${update.base}, the table is at ${previous}`;
      throw new TandemError({ code: 'routing_base_mismatch', message, retryable: true });
    }
    this.#current =
      update.kind === 'full' ? await this.#builder.compile(update) : await this.#builder.patch(this.#current, update);
    this.swapped.emit({ kind: update.kind, revision: update.revision, previous });
  }

  dump(): ReturnType<RoutingTable['dump']> {
    return this.#current.dump();
  }
}
