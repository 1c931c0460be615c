import type { Resource, ResourceKey, RoutingStore, RoutingUpdate } from '../../src/call/routing/resources.js';

export const keyText = ({ type, id }: ResourceKey): string => `${type} ${id}`;

const idOf = ({ type, value }: Resource): string => {
  const record = value as unknown as Record<string, string>;
  const name = { account: 'sid', carrier: 'id', flow: 'id', trunk: 'trunk_sid', phone_number: 'phone_number' };
  if (type === 'network_group') return `${record['carrier']}/${record['country_iso']}/${record['name']}`;
  return record[name[type]] as string;
};

/** Follows a store as a table would, and lets a test wait for what it is told. */
export class StoreFollower {
  readonly updates: { readonly kind: RoutingUpdate['kind']; readonly revision: string }[] = [];
  readonly problems: { readonly code: string; readonly message: string }[] = [];
  readonly resources = new Map<string, unknown>();
  /** Largest batch of a full update. */
  largestBatch = 0;
  #waiting: { readonly met: () => boolean; readonly resolve: () => void }[] = [];
  #overlapping = 0;

  /** @returns when the first update was delivered. */
  async follow(store: RoutingStore): Promise<this> {
    await store.follow(
      (update) => this.#take(update),
      (problem) => {
        this.problems.push(problem);
        this.#look();
      },
    );
    return this;
  }

  get revision(): string | undefined {
    return this.updates.at(-1)?.revision;
  }

  get numbers(): string[] {
    const keys = [...this.resources.keys()].filter((key) => key.startsWith('phone_number '));
    return keys.map((key) => key.slice('phone_number '.length)).sort();
  }

  /** Rejects after 30 s: a test that waits for what never comes must name it. */
  until(what: string, met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const state = JSON.stringify({ updates: this.updates.slice(-5), problems: this.problems.slice(-5) });
      const timer = setTimeout(() => reject(new Error(`never: ${what}; at its start ${state}`)), 30_000);
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#waiting.push({ met, resolve: done });
    });
  }

  untilRevision(revision: string): Promise<void> {
    return this.until(`revision ${revision}`, () => this.updates.some((update) => update.revision === revision));
  }

  untilProblem(code: string): Promise<void> {
    return this.until(`problem ${code}`, () => this.problems.some((problem) => problem.code === code));
  }

  async #take(update: RoutingUpdate): Promise<void> {
    if (++this.#overlapping > 1) throw new Error('a delivery began before the one before it ended');
    if (update.kind === 'full') {
      this.resources.clear();
      for await (const batch of update.batches) {
        this.largestBatch = Math.max(this.largestBatch, batch.length);
        for (const resource of batch) this.#set(resource);
      }
    } else {
      if (update.base !== this.revision) throw new Error(`a patch for ${update.base} on ${this.revision}`);
      for (const key of update.deletes) this.resources.delete(keyText(key));
      for (const resource of update.upserts) this.#set(resource);
    }
    await Promise.resolve();
    this.#overlapping--;
    this.updates.push({ kind: update.kind, revision: update.revision });
    // After the store took note, too: its status tells of what was delivered.
    setImmediate(() => this.#look());
  }

  #set(resource: Resource): void {
    this.resources.set(keyText({ type: resource.type, id: idOf(resource) }), resource.value);
  }

  #look(): void {
    const met = this.#waiting.filter((waiting) => waiting.met());
    this.#waiting = this.#waiting.filter((waiting) => !met.includes(waiting));
    for (const waiting of met) waiting.resolve();
  }
}
