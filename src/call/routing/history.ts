/** What became of the routing document, revision by revision: the port that stores implement beside `RoutingStore`. */
import { TandemError } from '../../kernel/index.js';
import type { Resource, ResourceKey } from './resources.js';

/** One resource before and after a revision; `undefined`: it was, or is, not there. */
export interface ResourceChange {
  readonly key: ResourceKey;
  readonly before: Resource['value'] | undefined;
  readonly after: Resource['value'] | undefined;
}

export interface RevisionSummary {
  readonly revision: string;
  /** The revision before it. */
  readonly base: string;
  /** `api:acme/key1`; `file` for what an editor wrote. */
  readonly author: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly note?: string;
  /** How many resources it wrote or deleted. */
  readonly changes: number;
}

export interface RevisionRecord extends Omit<RevisionSummary, 'changes'> {
  readonly changes: readonly ResourceChange[];
}

export interface RevisionPage {
  /** Newest first. */
  readonly revisions: readonly RevisionSummary[];
  /** Older revisions are no longer kept, or never were: what is asked of them is answered `history_trimmed`. */
  readonly trimmed: boolean;
}

/** Which page of the revisions. */
export interface RevisionQuery {
  /** The last revision of the page before. */
  readonly before?: string | undefined;
  readonly limit: number;
}

/** Bounded by count and bytes: the oldest go first. */
export interface RoutingHistory {
  /** @throws TandemError `revision_not_found`. */
  list(query: RevisionQuery): Promise<RevisionPage>;
  /**
   * One revision with all that it changed.
   * @throws TandemError `revision_not_found`; `history_trimmed` when it is known to have been, but no longer kept
   */
  get(revision: string): Promise<RevisionRecord>;
}

export const revisionNotFound = (revision: string): TandemError =>
  new TandemError({ code: 'revision_not_found', message: `there is no revision '${revision.slice(0, 80)}'` });
