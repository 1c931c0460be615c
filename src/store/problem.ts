import type { Resource, ResourceKey, RoutingStore } from '../call/routing/resources.js';
import { validateResource, type DocumentProblem } from '../call/routing/schema.js';
import { TandemError, err, type Result } from '../kernel/index.js';
import { isResourceType } from './resourceType.js';
import { TimeSlice, type StoreDeps } from './timeSlice.js';

/** Why something was not delivered or not published. */
export interface StoreProblem {
  readonly code: string;
  readonly message: string;
}

export type RoutingChange = Parameters<RoutingStore['publish']>[0];

/** A revision is published in one go, and a shared Redis serves nobody else meanwhile: this many take it a second. */
const MAX_CHANGES = 200_000;
/** Problems named in one message; a wholly wrong document has many. */
const MAX_NAMED = 5;

/** One line that names path and rule of the first few faults. */
export function describeProblems(problems: readonly DocumentProblem[]): string {
  const named = problems.slice(0, MAX_NAMED).map((problem) => problem.message);
  const more = problems.length - named.length;
  return named.join('; ') + (more > 0 ? `; and ${more} more` : '');
}

/** Validates what came from outside against the rules of its type. Defaults are filled in in place. */
export function checkResource(type: string, value: unknown): Result<Resource, StoreProblem> {
  const checked = validateResource({ type, value });
  if (checked.ok) return checked;
  return err({ code: 'invalid_document', message: `${type}: ${describeProblems(checked.error)}` });
}

/**
 * Copies a change, so that what the caller holds stays as it is, and fills in defaults.
 * @throws TandemError `invalid_document`, `revision_too_large` for what no adapter may publish.
 */
export async function prepareChange(change: RoutingChange, deps: StoreDeps): Promise<RoutingChange> {
  if (change.upserts.length + change.deletes.length > MAX_CHANGES) {
    throw new TandemError({
      code: 'revision_too_large',
      message: `a revision holds at most ${MAX_CHANGES} changes, not ${change.upserts.length + change.deletes.length}`,
    });
  }
  const slice = new TimeSlice(deps);
  const upserts: Resource[] = [];
  for (const { type, value } of change.upserts) {
    const checked = checkResource(type, structuredClone(value));
    if (!checked.ok) throw new TandemError(checked.error);
    upserts.push(checked.value);
    if (slice.spent) await slice.rest();
  }
  return { ...change, upserts, deletes: change.deletes.map(checkKey) };
}

function checkKey({ type, id }: ResourceKey): ResourceKey {
  if (isResourceType(type) && typeof id === 'string') return { type, id };
  throw new TandemError({ code: 'invalid_document', message: `there is no resource ${String(type)} ${String(id)}` });
}

export const unwrap = <T>(result: Result<T, StoreProblem>): T => {
  if (result.ok) return result.value;
  throw new TandemError(result.error);
};

export const revisionConflict = (base: string, current: string): TandemError =>
  new TandemError({
    code: 'revision_conflict',
    message: `the change is based on revision ${base}, current is ${current}`,
  });

export const historyTrimmed = (revision: string): TandemError =>
  new TandemError({
    code: 'history_trimmed',
    message: `what revision '${revision.slice(0, 80)}' changed is no longer kept`,
  });

export const storeClosed = (): TandemError => new TandemError({ code: 'store_closed', message: 'the store is closed' });

export const alreadyFollowing = (): TandemError =>
  new TandemError({ code: 'already_following', message: 'a store has one follower' });

export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));
