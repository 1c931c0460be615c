import { TandemError, type Random } from '../../kernel/index.js';
import type { RoutingStoreStatus } from '../../call/routing/resources.js';
import type { DeliveryGate } from '../deliveryGate.js';
import { errorText, type StoreProblem } from '../problem.js';
import { ResourceTable } from '../resourceTable.js';
import type { StoreDeps } from '../timeSlice.js';
import { readEntry, unpackChange, type ChangeEntry, type RawEntry } from './changeEntry.js';
import { RedisConnection, redactUrl } from './connection.js';
import {
  EMPTY_REVISION,
  STREAM_START,
  loadAll,
  loadLargeChange,
  readChangesAfter,
  readHead,
  type LoadContext,
} from './fullLoad.js';
import type { RoutingKeys } from './keys.js';
import { readSnapshot } from './snapshotFile.js';
import { SnapshotKeeper } from './snapshotKeeper.js';

/** A start without Redis serves from the snapshot within 3 s: 1 s to connect, 1 s for an answer, the rest to load it. */
const FIRST_TIMEOUT_MS = 1_000;
const TIMEOUT_MS = 2_000;
/** A start with neither Redis nor snapshot tries so long: both may be starting at once. */
const GIVE_UP_MS = 3_000;
/** Redis answers a blocked read at the latest after this; silence beyond means that the connection is dead. */
const BLOCK_MS = 5_000;
const MAX_BACKOFF_MS = 2_000;
/** While nothing is served yet, every moment counts. */
const MAX_FIRST_BACKOFF_MS = 250;
const FIRST_BACKOFF_MS = 50;
const REFUSED = 'delivery_failed';
/** Entries a read: at most 4 MB. */
const READ_COUNT = 16;

export interface FollowerOptions {
  readonly url: string;
  readonly keys: RoutingKeys;
  readonly snapshotPath: string | undefined;
  readonly deps: StoreDeps;
  readonly random: Random;
}

/**
 * Follows the changes stream over one connection, for as long as it lives: connects, catches up with what it missed,
 * waits for the next entry, and begins anew when the connection breaks. What it cannot apply to the revision that was
 * delivered last - a gap, a trimmed stream, a Redis that lost its data - it heals by loading the whole document.
 */
export class RedisFollower {
  readonly #options: FollowerOptions;
  readonly #gate: DeliveryGate;
  readonly #keeper: SnapshotKeeper | undefined;
  readonly #where: string;
  #connection: RedisConnection | undefined;
  #position = STREAM_START;
  #problem: StoreProblem | undefined;
  #wake: (() => void) | undefined;
  #loop: Promise<void> | undefined;
  #live = false;
  #snapshotTried = false;
  #whyNoSnapshot = 'there is no snapshot to serve from';
  #closed = false;

  constructor(options: FollowerOptions, gate: DeliveryGate) {
    this.#options = options;
    this.#gate = gate;
    this.#where = redactUrl(options.url);
    if (options.snapshotPath !== undefined) {
      this.#keeper = new SnapshotKeeper(options.snapshotPath, options.deps, (problem) => gate.report(problem));
    }
  }

  /** @returns when the first document was delivered. @throws TandemError `no_routing_document`. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#loop = this.#run(resolve).catch((error: unknown) => reject(error as Error));
    });
  }

  status(): RoutingStoreStatus {
    const stale = !this.#live || this.#problem !== undefined;
    const why = this.#problem === undefined ? '' : `; ${this.#problem.message}`;
    const detail = `${this.#where}, revision ${this.#gate.revision ?? 'none'}${why}`;
    return { connected: this.#connection !== undefined, stale, detail };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#connection?.close();
    this.#wake?.();
    await this.#loop;
    await this.#keeper?.close();
  }

  async #run(onFirst: () => void): Promise<void> {
    const startedMs = this.#options.deps.clock.nowMs();
    let failures = 0;
    while (!this.#closed) {
      try {
        await this.#session(() => {
          failures = 0;
          onFirst();
        });
      } catch (error) {
        // A refusal was reported when it happened.
        const refused = error instanceof TandemError && error.code === REFUSED;
        if (!refused) this.#report({ code: 'store_unreachable', message: errorText(error) });
      }
      this.#connection?.close();
      this.#connection = undefined;
      this.#live = false;
      if (this.#closed) break;
      if (this.#gate.revision === undefined && (await this.#serveSnapshot())) onFirst();
      const waitedMs = this.#options.deps.clock.nowMs() - startedMs;
      if (this.#gate.revision === undefined && waitedMs > GIVE_UP_MS) throw this.#noDocument();
      await this.#backOff(failures++);
    }
    // Closed before the first delivery: nobody may wait for it for ever.
    if (this.#gate.revision === undefined) throw this.#noDocument();
  }

  /** One connection from its opening to its end, which is always an error. */
  async #session(onServing: () => void): Promise<void> {
    const { url, keys, deps } = this.#options;
    const timeoutMs = this.#gate.revision === undefined ? FIRST_TIMEOUT_MS : TIMEOUT_MS;
    const connection = await RedisConnection.open(url, deps.clock, timeoutMs);
    this.#connection = connection;
    if (this.#closed) return;
    const context: LoadContext = { connection, keys, deps, timeoutMs };
    await this.#resume(context);
    if (this.#gate.revision === undefined) return;
    onServing();
    while (!this.#closed) {
      for (const raw of await this.#nextEntries(connection)) await this.#take(readEntry(raw), context);
    }
  }

  /** Brings the follower to what is current, by changes if Redis still has them all. */
  async #resume(context: LoadContext): Promise<void> {
    const head = await readHead(context);
    if (head.revision === EMPTY_REVISION && this.#gate.revision !== EMPTY_REVISION) return this.#onEmpty();
    if (head.revision === this.#gate.revision) {
      this.#position = head.position;
      return this.#settle();
    }
    const missed = (await readChangesAfter(context, this.#position)).map(readEntry);
    if (missed[0]?.base !== this.#gate.revision) return this.#loadAll(context);
    for (const entry of missed) await this.#take(entry, context);
  }

  /** Nothing was ever published here, or all of it was lost: the latter must not empty a table that serves. */
  async #onEmpty(): Promise<void> {
    this.#position = STREAM_START;
    if (this.#gate.revision === undefined && !(await this.#serveSnapshot())) {
      return this.#deliverAll(new ResourceTable(), { revision: EMPTY_REVISION, position: STREAM_START });
    }
    const message = `${this.#where}: holds no routing document; revision ${this.#gate.revision} serves on`;
    this.#report({ code: 'routing_document_lost', message });
  }

  /** Blocks until there are entries after the position. No polling: Redis answers the moment one is added. */
  async #nextEntries(connection: RedisConnection): Promise<readonly RawEntry[]> {
    const { keys } = this.#options;
    const read = await connection.run('XREAD', BLOCK_MS + TIMEOUT_MS, (client) =>
      client.xread('COUNT', READ_COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', keys.changes, this.#position),
    );
    return (read as [string, RawEntry[]][] | null)?.[0]?.[1] ?? [];
  }

  async #take(entry: ChangeEntry, context: LoadContext): Promise<void> {
    if (this.#closed) return;
    this.#position = entry.position;
    if (entry.revision === this.#gate.revision) return;
    if (entry.base !== this.#gate.revision) return this.#loadAll(context);
    const change = entry.reload ? await loadLargeChange(context, entry) : unpackChange(entry);
    if (!change.ok) return this.#loadAll(context);
    const { upserts, deletes, invalid } = change.value;
    const [first] = invalid;
    if (first !== undefined) return this.#refuse(entry.revision, first.problem);
    const { revision, base, position } = entry;
    if (!(await this.#gate.patch({ kind: 'patch', revision, base, upserts, deletes }))) return this.#loadAll(context);
    this.#keeper?.patch({ revision, position, upserts, deletes });
    this.#settle();
  }

  async #loadAll(context: LoadContext): Promise<void> {
    const { revision, position, content } = await loadAll(context);
    this.#position = position;
    if (!content.ok) return this.#refuse(revision, content.error);
    await this.#deliverAll(content.value, { revision, position });
  }

  async #deliverAll(table: ResourceTable, head: { revision: string; position: string }): Promise<void> {
    if (!(await this.#gate.full(head.revision, table.batches()))) {
      // Ends the session: the next, after a while, offers it again.
      throw new TandemError({ code: REFUSED, message: `revision ${head.revision} was refused`, retryable: true });
    }
    this.#keeper?.replace({ table, ...head }, head.revision !== EMPTY_REVISION);
    this.#settle();
  }

  #refuse(revision: string, problem: StoreProblem): void {
    this.#report({ code: problem.code, message: `revision ${revision}: ${problem.message}` });
  }

  /** What serves is what Redis holds. */
  #settle(): void {
    this.#live = true;
    this.#problem = undefined;
  }

  async #serveSnapshot(): Promise<boolean> {
    const { snapshotPath, deps } = this.#options;
    if (snapshotPath === undefined || this.#snapshotTried) return false;
    this.#snapshotTried = true;
    const read = await readSnapshot(snapshotPath, deps);
    if (!read.ok) {
      this.#whyNoSnapshot = read.error.message;
      this.#gate.report(read.error);
    }
    if (!read.ok || read.value === undefined || this.#closed) return false;
    const { table, revision, position } = read.value;
    if (!(await this.#gate.full(revision, table.batches()))) return false;
    this.#position = position;
    this.#keeper?.replace(read.value, false);
    const message = `revision ${revision} is served from ${snapshotPath}: ${this.#problem?.message ?? 'Redis is away'}`;
    this.#report({ code: 'served_from_snapshot', message });
    return true;
  }

  /** Tells once: an outage of an hour is one problem, not thousands. */
  #report(problem: StoreProblem): void {
    if (this.#closed) return;
    const again =
      problem.code === this.#problem?.code || (!this.#live && this.#problem?.code === 'served_from_snapshot');
    if (again && problem.code === 'store_unreachable') return;
    this.#problem = problem;
    this.#gate.report(problem);
  }

  #noDocument(): TandemError {
    const message = `${this.#problem?.message ?? this.#where}; ${this.#whyNoSnapshot}`;
    return new TandemError({ code: 'no_routing_document', message, retryable: true });
  }

  async #backOff(failures: number): Promise<void> {
    const { deps, random } = this.#options;
    const maxMs = this.#gate.revision === undefined ? MAX_FIRST_BACKOFF_MS : MAX_BACKOFF_MS;
    const ceilingMs = Math.min(maxMs, FIRST_BACKOFF_MS * 2 ** Math.min(failures, 10));
    // Half fixed, half random: nodes that lost the same Redis do not come back all at once.
    const delayMs = ceilingMs / 2 + (random.float() * ceilingMs) / 2;
    await new Promise<void>((resolve) => {
      const timer = deps.clock.setTimer('store.redis.backOff', delayMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}
