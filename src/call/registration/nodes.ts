/**
 * The nodes of a cluster, as each knows the others: who is up, and where it takes the calls that others have for its
 * connections. Kept by leases in the store, so that nobody has to list them and one that died is soon known to be gone.
 */
import type { Clock, Timer } from '../../kernel/index.js';

export interface ClusterNode {
  /** As `Binding.owner`. */
  readonly owner: string;
  /** Numeric address that its requests to other nodes come from. */
  readonly address: string;
}

/** Port to where nodes tell one another that they are up (`src/store`). */
export interface NodeStore {
  /**
   * Says that a node is up for so many milliseconds more.
   * @returns all that are, that one included
   * @throws TandemError when the store is out of reach
   */
  renew(self: ClusterNode, leaseMs: number): Promise<readonly ClusterNode[]>;
  /** Told when a node has come or gone, as far as the store can tell. */
  onNews(listener: () => void): void;
  /** Ends the lease, as far as the store can be told, and closes. */
  leave(self: ClusterNode): Promise<void>;
}

const BEAT_MS = 2000;
/** Above some beats that fail: what is taken for dead is not called. */
const LEASE_MS = 10_000;

export class ClusterNodes {
  readonly #store: NodeStore;
  readonly #clock: Clock;
  readonly #self: ClusterNode;
  readonly #up = new Set<string>();
  readonly #addresses = new Set<string>();
  #timer: Timer | undefined;
  #asking = false;
  #asked = false;
  #closed = false;

  constructor(store: NodeStore, clock: Clock, self: ClusterNode) {
    this.#store = store;
    this.#clock = clock;
    this.#self = self;
  }

  /** Resolves when the others have been told, or cannot be for now. */
  async start(): Promise<void> {
    this.#store.onNews(() => void this.#beat());
    await this.#beat();
  }

  /** Whether this start of a node is up. */
  isUp(owner: string): boolean {
    return this.#up.has(owner);
  }

  /** Whether a message from this address is another node's. */
  isNode(address: string): boolean {
    return this.#addresses.has(plain(address));
  }

  /** Other nodes that are up. */
  get size(): number {
    return this.#up.size;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#store.leave(this.#self);
  }

  async #beat(): Promise<void> {
    // News that come while an answer is on its way may be newer than it.
    this.#asked = true;
    if (this.#asking) return;
    this.#asking = true;
    this.#timer?.cancel();
    while (this.#asked && !this.#closed) {
      this.#asked = false;
      // While the store is out of reach, those that were up are taken to be: whoever is not there does not answer.
      const nodes = await this.#store.renew(this.#self, LEASE_MS).catch(() => undefined);
      if (nodes !== undefined) this.#learn(nodes);
    }
    this.#asking = false;
    if (!this.#closed) this.#timer = this.#clock.setTimer('nodes.beat', BEAT_MS, () => void this.#beat());
  }

  #learn(nodes: readonly ClusterNode[]): void {
    this.#up.clear();
    this.#addresses.clear();
    for (const { owner, address } of nodes) {
      if (owner === this.#self.owner) continue;
      this.#up.add(owner);
      this.#addresses.add(plain(address));
    }
  }
}

/** A socket of both families writes IPv4 as IPv6. */
const plain = (address: string): string => (/^::ffff:\d+\./i.test(address) ? address.slice(7) : address.toLowerCase());
