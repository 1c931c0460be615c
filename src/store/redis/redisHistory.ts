import {
  type ResourceChange,
  type RevisionPage,
  type RevisionQuery,
  type RevisionRecord,
  type RevisionSummary,
  type RoutingHistory,
  revisionNotFound,
} from '../../call/routing/history.js';
import type { Resource } from '../../call/routing/resources.js';
import { canonicalJson } from '../canonicalJson.js';
import { countOf } from '../historyBounds.js';
import { historyTrimmed } from '../problem.js';
import { headOf } from '../revisionHead.js';
import { TimeSlice, type StoreDeps } from '../timeSlice.js';
import { typeOf } from './changeEntry.js';
import type { RedisConnection } from './connection.js';
import type { RoutingKeys } from './keys.js';
import type { LazyConnection } from './lazyConnection.js';

const TIMEOUT_MS = 5_000;
/** Parts a command: at most 8 MB. */
const PARTS_READ = 16;

/** As publishRevision.lua writes it. */
interface StoredSummary {
  readonly revision: string;
  readonly base: string;
  readonly author: string;
  readonly at: string;
  readonly note: string;
  readonly changes: number;
  readonly parts: number;
}

type StoredChange = readonly [type: number, id: string, before: string | false, after: string | false];

export class RedisHistory implements RoutingHistory {
  readonly #connection: LazyConnection;
  readonly #keys: RoutingKeys;
  readonly #deps: StoreDeps;

  constructor(connection: LazyConnection, keys: RoutingKeys, deps: StoreDeps) {
    this.#connection = connection;
    this.#keys = keys;
    this.#deps = deps;
  }

  async list({ before, limit }: RevisionQuery): Promise<RevisionPage> {
    const connection = await this.#connection.use();
    const { counter, from } = await this.#bounds(connection);
    const count = before === undefined ? counter + 1 : countOf(before);
    if (before !== undefined && (count < 1 || count > counter)) throw revisionNotFound(before);
    const counts: number[] = [];
    for (let one = count - 1; one >= from && counts.length < limit; one--) counts.push(one);
    const summaries = counts.length === 0 ? [] : await this.#summaries(connection, counts);
    const revisions: RevisionSummary[] = [];
    for (const stored of summaries) {
      if (stored !== undefined) revisions.push({ ...summaryOf(stored), changes: stored.changes });
    }
    return { revisions, trimmed: from > 1 };
  }

  async get(revision: string): Promise<RevisionRecord> {
    const connection = await this.#connection.use();
    const count = countOf(revision);
    const [stored] = count < 1 ? [] : await this.#summaries(connection, [count]);
    if (stored?.revision !== revision) {
      const { counter, from } = await this.#bounds(connection);
      throw stored === undefined && count > 0 && count < Math.min(from, counter + 1)
        ? historyTrimmed(revision)
        : revisionNotFound(revision);
    }
    // A resource that was deleted and written anew in one revision is there twice.
    const changes = new Map<string, ResourceChange>();
    for await (const part of historyParts(connection, this.#keys, count, stored.parts)) {
      const slice = new TimeSlice(this.#deps);
      for (const [type, id, before, after] of part) {
        const name = `${type} ${id}`;
        const first = changes.get(name);
        const was = first === undefined ? value(before) : first.before;
        changes.set(name, { key: { type: typeOf(type), id }, before: was, after: value(after) });
        if (slice.spent) await slice.rest();
      }
    }
    const effective = [...changes.values()].filter((one) => canonicalJson(one.before) !== canonicalJson(one.after));
    return { ...summaryOf(stored), changes: effective };
  }

  async #bounds(connection: RedisConnection): Promise<{ counter: number; from: number }> {
    const [counter, from] = await connection.run('HMGET', TIMEOUT_MS, (client) =>
      client.hmget(this.#keys.head, 'counter', 'historyFrom'),
    );
    // A document of before there was history.
    return { counter: Number(counter ?? 0), from: Number(from ?? Number(counter ?? 0) + 1) };
  }

  async #summaries(connection: RedisConnection, counts: readonly number[]): Promise<(StoredSummary | undefined)[]> {
    const texts = await connection.run('HMGET', TIMEOUT_MS, (client) =>
      client.hmget(this.#keys.history, ...counts.map(String)),
    );
    return texts.map((text) => (text === null ? undefined : (JSON.parse(text) as StoredSummary)));
  }
}

/** An empty note is none. */
const summaryOf = (stored: StoredSummary) => headOf({ ...stored, note: stored.note === '' ? undefined : stored.note });

const value = (text: string | false): Resource['value'] | undefined =>
  text === false ? undefined : (JSON.parse(text) as Resource['value']);

/** What a revision changed, part by part; ends early where a part is gone. */
async function* historyParts(
  connection: RedisConnection,
  keys: RoutingKeys,
  count: number,
  parts: number,
): AsyncGenerator<readonly StoredChange[]> {
  for (let first = 0; first < parts; first += PARTS_READ) {
    const fields = Array.from({ length: Math.min(PARTS_READ, parts - first) }, (_, i) => `${count}:${first + i}`);
    const texts = await connection.run('HMGET', TIMEOUT_MS, (client) => client.hmget(keys.historyChanges, ...fields));
    for (const text of texts) {
      if (text === null) throw historyTrimmed(String(count));
      yield JSON.parse(text) as StoredChange[];
    }
  }
}

/**
 * The changes of a revision that its stream entry does not carry, as resources are written in it.
 * @returns undefined when they are no longer kept
 */
export async function readLargeChange(
  connection: RedisConnection,
  keys: RoutingKeys,
  revision: string,
): Promise<AsyncIterable<readonly StoredChange[]> | undefined> {
  const count = countOf(revision);
  const text = await connection.run('HGET', TIMEOUT_MS, (client) => client.hget(keys.history, String(count)));
  if (text === null) return undefined;
  const stored = JSON.parse(text) as StoredSummary;
  return stored.revision === revision ? historyParts(connection, keys, count, stored.parts) : undefined;
}
