import { SystemRandom, type Random } from '../../kernel/index.js';
import type { RoutingHistory } from '../../call/routing/history.js';
import type { RoutingStore, RoutingStoreStatus } from '../../call/routing/resources.js';
import { DeliveryGate, type Deliver, type OnProblem } from '../deliveryGate.js';
import { HISTORY_BOUNDS, type HistoryBounds } from '../historyBounds.js';
import { alreadyFollowing, storeClosed, type RoutingChange } from '../problem.js';
import type { StoreDeps } from '../timeSlice.js';
import { redactUrl } from './connection.js';
import { RoutingKeys } from './keys.js';
import { LazyConnection } from './lazyConnection.js';
import { RedisPublisher } from './publisher.js';
import { RedisFollower } from './redisFollower.js';
import { RedisHistory } from './redisHistory.js';

export interface RedisStoreOptions {
  /** `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS. */
  readonly url: string;
  /** Before every key; default `tandem:`. It becomes the keys' hash tag: `{tandem}:routing:trunk`. */
  readonly prefix?: string;
  /** Where the last good document is kept for a start without Redis; none when absent. */
  readonly snapshotPath?: string;
  readonly bounds?: HistoryBounds;
}

/** The routing document in Redis 6.2 or later, shared by any number of nodes. */
export class RedisStore implements RoutingStore {
  readonly #options: RedisStoreOptions;
  readonly #keys: RoutingKeys;
  readonly #deps: StoreDeps;
  readonly #random: Random;
  readonly #commands: LazyConnection;
  readonly #publisher: RedisPublisher;
  readonly history: RoutingHistory;
  #follower: RedisFollower | undefined;
  #closed = false;

  constructor(options: RedisStoreOptions, deps: StoreDeps, random: Random = new SystemRandom()) {
    this.#options = options;
    this.#keys = new RoutingKeys(options.prefix);
    this.#deps = deps;
    this.#random = random;
    const bounds = options.bounds ?? HISTORY_BOUNDS;
    this.#commands = new LazyConnection(options.url, deps.clock);
    this.#publisher = new RedisPublisher({ keys: this.#keys, deps, random, connection: this.#commands, bounds });
    this.history = new RedisHistory(this.#commands, this.#keys, deps);
  }

  async follow(deliver: Deliver, onProblem: OnProblem): Promise<void> {
    if (this.#closed) throw storeClosed();
    if (this.#follower !== undefined) throw alreadyFollowing();
    const { url, snapshotPath } = this.#options;
    this.#follower = new RedisFollower(
      { url, keys: this.#keys, snapshotPath, deps: this.#deps, random: this.#random },
      new DeliveryGate(deliver, onProblem),
    );
    await this.#follower.start();
  }

  async publish(change: RoutingChange): Promise<string> {
    if (this.#closed) throw storeClosed();
    return this.#publisher.publish(change);
  }

  status(): RoutingStoreStatus {
    const idle = { connected: false, stale: true, detail: `${redactUrl(this.#options.url)}, not followed` };
    return this.#follower?.status() ?? idle;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#follower?.close(), this.#commands.close()]);
  }
}
