import type { ResourceChange } from '../call/routing/history.js';
import type { Resource, ResourceKey } from '../call/routing/resources.js';
import { resourceKey } from '../call/routing/schema.js';
import { canonicalJson } from './canonicalJson.js';

/** What a change does to a document, each resource once; what stays as it was is left out. Deletes go before upserts. */
export function changesOf(
  change: { readonly upserts: readonly Resource[]; readonly deletes: readonly ResourceKey[] },
  before: (key: ResourceKey) => Resource | undefined,
): ResourceChange[] {
  const changes = new Map<string, ResourceChange>();
  for (const key of change.deletes) {
    const old = before(key)?.value;
    if (old !== undefined) changes.set(`${key.type} ${key.id}`, { key, before: old, after: undefined });
  }
  for (const resource of change.upserts) {
    const key = resourceKey(resource);
    const old = before(key)?.value;
    const name = `${key.type} ${key.id}`;
    if (old !== undefined && canonicalJson(old) === canonicalJson(resource.value)) changes.delete(name);
    else changes.set(name, { key, before: old, after: resource.value });
  }
  return [...changes.values()];
}
