import type { Resource, RoutingUpdate } from '../call/routing/resources.js';
import { EventChannel } from '../kernel/index.js';
import { type Directory, DirectoryView } from './directory.js';
import { DirectoryWriter } from './directoryWriter.js';

/** Entries written between pauses: about a millisecond. */
const SLICE_ENTRIES = 1000;

/** One update on its way. */
export interface DirectoryDraft {
  /** To be handed to the table in place of the update: what the table reads of it, the directory learns. */
  readonly update: RoutingUpdate;
  /** Once the table has taken it: from here on it is what `current` says. */
  commit(): Promise<void>;
}

/** Holds the directory of the newest revision that this process has. Follows the updates that the table follows. */
export class DirectoryHolder {
  /** Told after each change of `current`. */
  readonly changed = new EventChannel<Directory>();
  readonly #pause: (() => Promise<void>) | undefined;
  #current = DirectoryView.empty();

  /** @param pause gives the thread to others and comes back; without it nothing is sliced. */
  constructor(pause?: () => Promise<void>) {
    this.#pause = pause;
  }

  get current(): Directory {
    return this.#current;
  }

  /** Begins to follow an update. One at a time: the next begins after `commit`, or after this one was given up. */
  begin(update: RoutingUpdate): DirectoryDraft {
    if (update.kind === 'patch') return { update, commit: () => this.#patch(update) };
    const writer = new DirectoryWriter();
    const batches = overheard(update.batches, (resource) => writer.upsert(resource));
    return {
      update: { ...update, batches },
      commit: () => {
        this.#replace(writer.finish(update.revision));
        return Promise.resolve();
      },
    };
  }

  /** For those who have no table. */
  async apply(update: RoutingUpdate): Promise<void> {
    const draft = this.begin(update);
    if (draft.update.kind === 'full') for await (const _ of draft.update.batches) await this.#pause?.();
    await draft.commit();
  }

  async #patch({ revision, upserts, deletes }: Extract<RoutingUpdate, { kind: 'patch' }>): Promise<void> {
    const writer = new DirectoryWriter(this.#current);
    let written = 0;
    for (const key of deletes) {
      writer.delete(key);
      if (++written % SLICE_ENTRIES === 0) await this.#pause?.();
    }
    for (const resource of upserts) {
      writer.upsert(resource);
      if (++written % SLICE_ENTRIES === 0) await this.#pause?.();
    }
    this.#replace(writer.finish(revision));
  }

  #replace(next: DirectoryView): void {
    this.#current = next;
    this.changed.emit(next);
  }
}

async function* overheard(
  batches: AsyncIterable<readonly Resource[]> | Iterable<readonly Resource[]>,
  hear: (resource: Resource) => void,
): AsyncGenerator<readonly Resource[]> {
  for await (const batch of batches) {
    for (const resource of batch) hear(resource);
    yield batch;
  }
}
