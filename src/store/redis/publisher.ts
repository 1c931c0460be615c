import { readFileSync } from 'node:fs';
import { SystemRandom, type Random } from '../../kernel/index.js';
import { prepareChange, revisionConflict, type RoutingChange } from '../problem.js';
import type { StoreDeps } from '../timeSlice.js';
import { packChange } from './changeEntry.js';
import { RedisConnection } from './connection.js';
import type { RoutingKeys } from './keys.js';

const CONNECT_MS = 2_000;
/** A script of the largest allowed revision runs for some 100 ms. */
const PUBLISH_MS = 2_000;
/** Entries kept for followers that were away. */
const STREAM_LENGTH = 1_000;
/** A stream of entries this large takes 256 MB at most; larger changes are not carried, but loaded. */
const MAX_ENTRY_CHARACTERS = 256 * 1024;
/** In a revision's id, beside its number. */
const NONCE_BYTES = 4;

/** Publishes revisions over a connection of its own, opened by the first. */
export class RedisPublisher {
  readonly #url: string;
  readonly #keys: RoutingKeys;
  readonly #deps: StoreDeps;
  readonly #random: Random;
  readonly #script = readFileSync(new URL('./lua/publishRevision.lua', import.meta.url), 'utf8');
  #connection: Promise<RedisConnection> | undefined;

  constructor(url: string, keys: RoutingKeys, deps: StoreDeps, random: Random = new SystemRandom()) {
    this.#url = url;
    this.#keys = keys;
    this.#deps = deps;
    this.#random = random;
  }

  /** @throws TandemError `revision_conflict`, `invalid_document`, `revision_too_large`, `store_unreachable`. */
  async publish(change: RoutingChange): Promise<string> {
    const [upserts, deletes] = await packChange(await prepareChange(change, this.#deps), this.#deps);
    const keys = this.#keys.all();
    const at = new Date(this.#deps.clock.wallMs()).toISOString();
    const reload = upserts.length + deletes.length > MAX_ENTRY_CHARACTERS ? '1' : '0';
    const nonce = this.#random.hex(NONCE_BYTES);
    const parameters = [change.base ?? '', nonce, change.author, at, STREAM_LENGTH, upserts, deletes, reload];
    const connection = await this.#usableConnection();
    const reply = await connection.run('publishRevision', PUBLISH_MS, (client) =>
      client.eval(this.#script, keys.length, ...keys, ...parameters),
    );
    const [published, revision] = reply as [number, string];
    if (published !== 1) throw revisionConflict(change.base ?? '', revision);
    return revision;
  }

  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => undefined);
    connection?.close();
  }

  async #usableConnection(): Promise<RedisConnection> {
    const present = await this.#connection?.catch(() => undefined);
    if (present?.usable === true) return present;
    present?.close();
    this.#connection = RedisConnection.open(this.#url, this.#deps.clock, CONNECT_MS);
    return this.#connection;
  }
}
