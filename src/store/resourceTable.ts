import type { Resource, ResourceKey, ResourceType } from '../call/routing/resources.js';
import { resourceKey } from '../call/routing/schema.js';
import { RESOURCE_TYPES } from './resourceType.js';

/** A Map of a million entries takes 50 ms to grow by one step; 64 smaller ones never take 2 ms. */
const SHARDS = 64;
/** Resources a batch: about 5 ms of work for whoever compiles them. */
export const BATCH_SIZE = 1000;

const shardOf = (id: string): number => {
  let hash = 0;
  for (let i = Math.max(0, id.length - 4); i < id.length; i++) hash = hash * 31 + id.charCodeAt(i);
  return hash % SHARDS;
};

/** The resources of one revision by type and id. */
export class ResourceTable {
  readonly #shards = new Map<ResourceType, Map<string, Resource>[]>(
    RESOURCE_TYPES.map((type) => [type, Array.from({ length: SHARDS }, () => new Map<string, Resource>())]),
  );
  #size = 0;

  constructor(resources: Iterable<Resource> = []) {
    for (const resource of resources) this.set(resource);
  }

  get size(): number {
    return this.#size;
  }

  get(key: ResourceKey): Resource | undefined {
    return this.#shard(key.type, key.id).get(key.id);
  }

  set(resource: Resource): void {
    const { id } = resourceKey(resource);
    const shard = this.#shard(resource.type, id);
    const before = shard.size;
    shard.set(id, resource);
    this.#size += shard.size - before;
  }

  delete(key: ResourceKey): boolean {
    const deleted = this.#shard(key.type, key.id).delete(key.id);
    if (deleted) this.#size--;
    return deleted;
  }

  apply(change: { readonly upserts: readonly Resource[]; readonly deletes: readonly ResourceKey[] }): void {
    for (const key of change.deletes) this.delete(key);
    for (const resource of change.upserts) this.set(resource);
  }

  *resources(): IterableIterator<Resource> {
    for (const shards of this.#shards.values()) {
      for (const shard of shards) yield* shard.values();
    }
  }

  /** All resources, at most BATCH_SIZE at a time. The table must not change while they are read. */
  *batches(): IterableIterator<readonly Resource[]> {
    let batch: Resource[] = [];
    for (const resource of this.resources()) {
      batch.push(resource);
      if (batch.length === BATCH_SIZE) {
        yield batch;
        batch = [];
      }
    }
    if (batch.length > 0) yield batch;
  }

  #shard(type: ResourceType, id: string): Map<string, Resource> {
    return this.#shards.get(type)?.[shardOf(id)] as Map<string, Resource>;
  }
}
