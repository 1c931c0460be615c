import type { Resource, ResourceKey, ResourceType } from '../../call/routing/resources.js';
import { resourceKey } from '../../call/routing/schema.js';
import { err, ok, type Result } from '../../kernel/index.js';
import { checkResource, type RoutingChange, type StoreProblem } from '../problem.js';
import { RESOURCE_TYPES } from '../resourceType.js';
import { TimeSlice, type StoreDeps } from '../timeSlice.js';

/** An entry of the changes stream as Redis returns it: id, then names and values in turn. */
export type RawEntry = readonly [id: string, fields: readonly string[]];

export interface ChangeEntry {
  /** Position in the stream. */
  readonly position: string;
  readonly revision: string;
  readonly base: string;
  /** True when the entry does not carry its changes. */
  readonly reload: boolean;
  readonly upserts: string;
  readonly deletes: string;
}

/** Characters of a part: what a follower parses in one go, and what an entry of the stream may carry. */
export const PART_CHARACTERS = 256 * 1024;

export interface PackedChange {
  /** Each a JSON array, as publishRevision.lua takes them. */
  readonly upserts: readonly string[];
  readonly deletes: readonly string[];
  /** Of all parts. */
  readonly characters: number;
}

/** Packs changes for publishRevision.lua, in parts. */
export async function packChange(change: RoutingChange, deps: StoreDeps): Promise<PackedChange> {
  const slice = new TimeSlice(deps);
  const upserts = new Parts();
  for (const resource of change.upserts) {
    const { type, id } = resourceKey(resource);
    upserts.add(JSON.stringify([typeNumber(type), id, JSON.stringify(resource.value)]));
    if (slice.spent) await slice.rest();
  }
  const deletes = new Parts();
  for (const key of change.deletes) deletes.add(JSON.stringify([typeNumber(key.type), key.id]));
  return {
    upserts: upserts.finish(),
    deletes: deletes.finish(),
    characters: upserts.characters + deletes.characters,
  };
}

class Parts {
  characters = 0;
  readonly #parts: string[] = [];
  #items: string[] = [];
  #size = 0;

  add(item: string): void {
    this.#items.push(item);
    this.#size += item.length;
    if (this.#size >= PART_CHARACTERS) this.#close();
  }

  finish(): string[] {
    if (this.#items.length > 0) this.#close();
    return this.#parts;
  }

  #close(): void {
    this.#parts.push(`[${this.#items.join(',')}]`);
    this.characters += this.#size;
    this.#items = [];
    this.#size = 0;
  }
}

const typeNumber = (type: ResourceType): number => RESOURCE_TYPES.indexOf(type) + 1;

/** Missing fields become empty texts: such an entry follows no revision, which makes the follower load anew. */
export function readEntry([position, fields]: RawEntry): ChangeEntry {
  const named = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) named.set(fields[i] as string, fields[i + 1] as string);
  const text = (name: string): string => named.get(name) ?? '';
  return {
    position,
    revision: text('revision'),
    base: text('base'),
    reload: text('reload') === '1',
    upserts: text('upserts'),
    deletes: text('deletes'),
  };
}

export interface UnpackedChange {
  readonly upserts: readonly Resource[];
  readonly deletes: readonly ResourceKey[];
  /** Keys of upserts that do not validate, and why. */
  readonly invalid: readonly { readonly key: ResourceKey; readonly problem: StoreProblem }[];
}

/** Parses and validates what an entry carries. An error means that the entry makes no sense at all. */
export function unpackChange(entry: ChangeEntry): Result<UnpackedChange, StoreProblem> {
  const upserts: Resource[] = [];
  const invalid: { key: ResourceKey; problem: StoreProblem }[] = [];
  try {
    for (const [number, id, json] of JSON.parse(entry.upserts) as [number, string, string][]) {
      const type = typeOf(number);
      const parsed = parseResource(type, id, json);
      if (parsed.ok) upserts.push(parsed.value);
      else invalid.push({ key: { type, id }, problem: parsed.error });
    }
    const deletes = (JSON.parse(entry.deletes) as [number, string][]).map(([n, id]) => ({ type: typeOf(n), id }));
    return ok({ upserts, deletes, invalid });
  } catch {
    return err({ code: 'invalid_document', message: `entry ${entry.position} of the changes is malformed` });
  }
}

export function typeOf(number: number): ResourceType {
  const type = RESOURCE_TYPES[number - 1];
  if (type === undefined) throw new RangeError('unknown resource type');
  return type;
}

/** Parses and validates one field of a resource hash. */
export function parseResource(type: ResourceType, id: string, json: string): Result<Resource, StoreProblem> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return err({ code: 'invalid_document', message: `${type} ${id}: not JSON` });
  }
  const checked = checkResource(type, value);
  if (!checked.ok) return err({ code: checked.error.code, message: `${id}: ${checked.error.message}` });
  const own = resourceKey(checked.value).id;
  if (own === id) return checked;
  return err({ code: 'invalid_document', message: `${type} ${own} lies under the id ${id}` });
}
