import type { Resource, ResourceKey } from '../../call/routing/resources.js';
import { resourceKey } from '../../call/routing/schema.js';
import { TandemError, err, ok, type Result } from '../../kernel/index.js';
import type { StoreProblem } from '../problem.js';
import { RESOURCE_TYPES } from '../resourceType.js';
import { ResourceTable } from '../resourceTable.js';
import { TimeSlice, type StoreDeps } from '../timeSlice.js';
import {
  parseResource,
  readEntry,
  typeOf,
  unpackChange,
  type ChangeEntry,
  type RawEntry,
  type UnpackedChange,
} from './changeEntry.js';
import type { RedisConnection } from './connection.js';
import type { RoutingKeys } from './keys.js';
import { readLargeChange } from './redisHistory.js';

/** Fields that one HSCAN asks for. */
const SCAN_COUNT = 1000;
/** Resources between two looks at the clock. */
const STRIDE = 64;
/** Full loads in a row that publications may outrun before the connection is given up for a while. */
const MAX_ATTEMPTS = 5;

/** Revision of a Redis that nothing was published to. */
export const EMPTY_REVISION = '0';
/** Position before the first entry of a stream. */
export const STREAM_START = '0-0';

export interface Head {
  readonly revision: string;
  /** Id of the stream entry that published it. */
  readonly position: string;
}

export interface FullLoad extends Head {
  /** Empty when anything in it is invalid. */
  readonly content: Result<ResourceTable, StoreProblem>;
}

export interface LoadContext {
  readonly connection: RedisConnection;
  readonly keys: RoutingKeys;
  readonly deps: StoreDeps;
  /** Bound of each command. */
  readonly timeoutMs: number;
}

/** What is current; EMPTY_REVISION when nothing was published. */
export async function readHead({ connection, keys, timeoutMs }: LoadContext): Promise<Head> {
  const [revision, position] = await connection.run('HMGET', timeoutMs, (client) =>
    client.hmget(keys.head, 'revision', 'position'),
  );
  return { revision: revision ?? EMPTY_REVISION, position: position ?? STREAM_START };
}

/** Entries after a position, oldest first. */
export function readChangesAfter({ connection, keys, timeoutMs }: LoadContext, position: string): Promise<RawEntry[]> {
  return connection.run('XRANGE', timeoutMs, (client) =>
    client.xrange(keys.changes, `(${position}`, '+', 'COUNT', 1000),
  );
}

/**
 * Loads the whole document as of one revision. Scanning takes many commands, in which revisions may come: it notes the
 * revision before, and applies after the scan every change since, in order. As a change says what a resource is and
 * not how it differs, applying one that the scan had seen does no harm.
 */
export async function loadAll(context: LoadContext): Promise<FullLoad> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const draft = new Draft(context, await readHead(context));
    await draft.scan();
    if (await draft.catchUp()) return draft.finish();
  }
  throw new TandemError({
    code: 'store_unreachable',
    message: 'the document changes faster than it can be loaded',
    retryable: true,
  });
}

/** What a revision changed that its entry does not carry: from the history, part by part. */
export async function loadLargeChange(
  { connection, keys, deps }: LoadContext,
  { revision, position }: ChangeEntry,
): Promise<Result<UnpackedChange, StoreProblem>> {
  const gone = err({ code: 'history_trimmed', message: `entry ${position}: its changes are no longer kept` });
  const parts = await readLargeChange(connection, keys, revision);
  if (parts === undefined) return gone;
  const upserts: Resource[] = [];
  const deletes: ResourceKey[] = [];
  const invalid: { key: ResourceKey; problem: StoreProblem }[] = [];
  const slice = new TimeSlice(deps);
  for await (const part of parts) {
    for (const [number, id, , after] of part) {
      const key = { type: typeOf(number), id };
      if (after === false) deletes.push(key);
      else {
        const parsed = parseResource(key.type, id, after);
        if (parsed.ok) upserts.push(parsed.value);
        else invalid.push({ key, problem: parsed.error });
      }
      if (slice.spent) await slice.rest();
    }
  }
  return ok({ upserts, deletes, invalid });
}

class Draft {
  readonly #context: LoadContext;
  readonly #table = new ResourceTable();
  /** A later change may heal what the scan found invalid. */
  readonly #invalid = new Map<string, StoreProblem>();
  #head: Head;

  constructor(context: LoadContext, head: Head) {
    this.#context = context;
    this.#head = head;
  }

  async scan(): Promise<void> {
    const { connection, keys, deps, timeoutMs } = this.#context;
    const slice = new TimeSlice(deps);
    for (const type of RESOURCE_TYPES) {
      let cursor = '0';
      do {
        const [next, fields] = await connection.run('HSCAN', timeoutMs, (client) =>
          client.hscan(keys.resources(type), cursor, 'COUNT', SCAN_COUNT),
        );
        cursor = next;
        for (let i = 0; i + 1 < fields.length; i += 2) {
          const id = fields[i] as string;
          const parsed = parseResource(type, id, fields[i + 1] as string);
          if (parsed.ok) this.#table.set(parsed.value);
          else this.#invalid.set(keyText({ type, id }), parsed.error);
          if (i % STRIDE === 0 && slice.spent) await slice.rest();
        }
      } while (cursor !== '0');
    }
  }

  /** @returns false when changes were lost meanwhile. */
  async catchUp(): Promise<boolean> {
    for (;;) {
      const newest = await readHead(this.#context);
      const raw = await readChangesAfter(this.#context, this.#head.position);
      if (raw.length === 0) return newest.revision === this.#head.revision;
      for (const entry of raw.map(readEntry)) {
        if (entry.base !== this.#head.revision) return false;
        const change = entry.reload ? await loadLargeChange(this.#context, entry) : unpackChange(entry);
        if (!change.ok) return false;
        this.#apply(change.value);
        this.#head = entry;
      }
    }
  }

  finish(): FullLoad {
    const { revision, position } = this.#head;
    const [problem] = this.#invalid.values();
    if (problem === undefined) return { revision, position, content: ok(this.#table) };
    const more = this.#invalid.size > 1 ? ` (and ${this.#invalid.size - 1} more)` : '';
    return { revision, position, content: err({ code: problem.code, message: problem.message + more }) };
  }

  #apply(change: Extract<ReturnType<typeof unpackChange>, { ok: true }>['value']): void {
    this.#table.apply(change);
    for (const key of change.deletes) this.#invalid.delete(keyText(key));
    for (const resource of change.upserts) this.#invalid.delete(keyText(resourceKey(resource)));
    for (const { key, problem } of change.invalid) {
      this.#table.delete(key);
      this.#invalid.set(keyText(key), problem);
    }
  }
}

const keyText = (key: ResourceKey): string => `${key.type} ${key.id}`;
