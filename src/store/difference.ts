import type { Resource, ResourceKey } from '../call/routing/resources.js';
import { resourceKey } from '../call/routing/schema.js';
import { canonicalJson } from './canonicalJson.js';
import type { ResourceTable } from './resourceTable.js';
import { TimeSlice, type StoreDeps } from './timeSlice.js';

export interface Difference {
  readonly upserts: readonly Resource[];
  readonly deletes: readonly ResourceKey[];
}

/** Looks at the clock once per so many comparisons. */
const STRIDE = 64;

/**
 * What leads from one table to the other, in turns of a few milliseconds.
 * @param limit gives up, returning undefined, when there are more changes than this.
 */
export async function differenceOf(
  from: ResourceTable,
  to: ResourceTable,
  limit: number,
  deps: StoreDeps,
): Promise<Difference | undefined> {
  const slice = new TimeSlice(deps);
  const upserts: Resource[] = [];
  const deletes: ResourceKey[] = [];
  let seen = 0;
  for (const resource of to.resources()) {
    const old = from.get(resourceKey(resource));
    if (old === undefined || canonicalJson(old.value) !== canonicalJson(resource.value)) upserts.push(resource);
    if (upserts.length > limit) return undefined;
    if (++seen % STRIDE === 0 && slice.spent) await slice.rest();
  }
  for (const resource of from.resources()) {
    const key = resourceKey(resource);
    if (to.get(key) === undefined) deletes.push(key);
    if (upserts.length + deletes.length > limit) return undefined;
    if (++seen % STRIDE === 0 && slice.spent) await slice.rest();
  }
  return { upserts, deletes };
}
