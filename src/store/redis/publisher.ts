import { readFileSync } from 'node:fs';
import type { Random } from '../../kernel/index.js';
import type { HistoryBounds } from '../historyBounds.js';
import { prepareChange, revisionConflict, type RoutingChange } from '../problem.js';
import type { StoreDeps } from '../timeSlice.js';
import { PART_CHARACTERS, packChange } from './changeEntry.js';
import type { RoutingKeys } from './keys.js';
import type { LazyConnection } from './lazyConnection.js';

/** The script of a revision of 200,000 changes runs for a second or two, on a loaded machine for several. */
const PUBLISH_MS = 2_000;
const PUBLISH_LARGE_MS = 30_000;
/** Entries kept for followers that were away. */
const STREAM_LENGTH = 1_000;
/** In a revision's id, beside its number. */
const NONCE_BYTES = 4;

export interface PublisherOptions {
  readonly keys: RoutingKeys;
  readonly deps: StoreDeps;
  readonly random: Random;
  readonly connection: LazyConnection;
  readonly bounds: HistoryBounds;
}

/** Publishes revisions: one script each, so that nobody sees half of one. */
export class RedisPublisher {
  readonly #options: PublisherOptions;
  readonly #script = readFileSync(new URL('./lua/publishRevision.lua', import.meta.url), 'utf8');

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** @throws TandemError `revision_conflict`, `invalid_document`, `revision_too_large`, `store_unreachable`. */
  async publish(change: RoutingChange): Promise<string> {
    const { keys, deps, random, connection, bounds } = this.#options;
    const { upserts, deletes, characters } = await packChange(await prepareChange(change, deps), deps);
    // A stream of entries of one part takes 256 MB at most; followers find larger changes in the history.
    const large = characters > PART_CHARACTERS;
    const parameters = [
      change.base ?? '',
      random.hex(NONCE_BYTES),
      change.author,
      new Date(deps.clock.wallMs()).toISOString(),
      change.note ?? '',
      STREAM_LENGTH,
      large ? '1' : '0',
      bounds.revisions,
      bounds.bytes,
      deletes.length,
      ...deletes,
      ...upserts,
    ];
    const names = keys.all();
    const usable = await connection.use();
    const reply = await usable.run('publishRevision', large ? PUBLISH_LARGE_MS : PUBLISH_MS, (client) =>
      client.eval(this.#script, names.length, ...names, ...parameters),
    );
    const [published, revision] = reply as [number, string];
    if (published !== 1) throw revisionConflict(change.base ?? '', revision);
    return revision;
  }
}
