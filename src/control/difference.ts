/** What leads from one revision to another, and from one document to another. */
import { isDeepStrictEqual } from 'node:util';
import { type ResourceChange, type RoutingHistory, revisionNotFound } from '../call/routing/history.js';
import type { Resource, ResourceKey } from '../call/routing/resources.js';
import type { Change } from './change.js';
import type { Directory } from './directory.js';
import { existing } from './references.js';
import { revisionNumber } from './revisionNumber.js';

/** More revisions than any store keeps. */
const MAX_STEPS = 100_000;

const text = ({ type, id }: ResourceKey): string => `${type} ${id}`;

/**
 * All changes after `older` up to and with `newer`, each resource once; what came back to what it was is left out.
 * @throws TandemError `revision_not_found`, `history_trimmed`
 */
export async function changesBetween(
  history: RoutingHistory,
  older: string,
  newer: string,
): Promise<readonly ResourceChange[]> {
  const changes = new Map<string, ResourceChange>();
  const floor = revisionNumber(older);
  let at = newer;
  for (let step = 0; at !== older; step++) {
    if (step > MAX_STEPS || revisionNumber(at) < floor) throw revisionNotFound(older);
    const record = await history.get(at);
    for (const { key, before, after } of record.changes) {
      const later = changes.get(text(key));
      changes.set(text(key), { key, before, after: later === undefined ? after : later.after });
    }
    at = record.base;
  }
  return [...changes.values()].filter((change) => !isDeepStrictEqual(change.before, change.after));
}

/** As `changesBetween`, in either direction. */
export async function difference(
  history: RoutingHistory,
  from: string,
  to: string,
): Promise<readonly ResourceChange[]> {
  if (revisionNumber(from) <= revisionNumber(to)) return changesBetween(history, from, to);
  const back = await changesBetween(history, to, from);
  return back.map(({ key, before, after }) => ({ key, before: after, after: before }));
}

/** The change that undoes these; what is so already is left out. */
export function undo(directory: Directory, changes: readonly ResourceChange[]): Change {
  const upserts: Resource[] = [];
  const deletes: ResourceKey[] = [];
  for (const { key, before } of changes) {
    const now = existing(directory, key)?.value;
    if (isDeepStrictEqual(now, before)) continue;
    if (before === undefined) deletes.push(key);
    else upserts.push({ type: key.type, value: before } as Resource);
  }
  return { upserts, deletes };
}
