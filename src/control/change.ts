import type { Resource, ResourceKey } from '../call/routing/resources.js';
import type { Directory } from './directory.js';

/** What becomes of the document. Deletes go before upserts. */
export interface Change {
  readonly upserts: readonly Resource[];
  readonly deletes: readonly ResourceKey[];
  readonly note?: string;
}

/** Who changes it: as history shows it. */
export interface Author {
  /** Undefined: the operator of the machine. */
  readonly accountSid: string | undefined;
  readonly key: string | undefined;
  readonly via: 'v2' | 'v1' | 'api' | 'cli';
}

/** `v2:account/key`, `api:operator`. */
export const authorText = ({ accountSid, key, via }: Author): string =>
  `${via}:${accountSid ?? 'operator'}${key === undefined ? '' : `/${key}`}`;

/** Deletes that take a trunk away with its numbers. */
export function* removalOfTrunk(directory: Directory, trunkSid: string): Generator<ResourceKey> {
  for (const { phone_number: id } of directory.numbersOf(trunkSid)) yield { type: 'phone_number', id };
  yield { type: 'trunk', id: trunkSid };
}

/** RFC 3339, UTC, whole seconds: the form of `date_created` and `date_updated`. */
export const dateText = (wallMs: number): string => `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
