import type { ClusterNode, NodeStore } from '../../call/registration/nodes.js';
import type { Clock } from '../../kernel/index.js';
import { RedisConnection } from './connection.js';
import { hashTagged } from './hashTag.js';
import { LazyConnection } from './lazyConnection.js';
import { RedisScript } from './redisScript.js';

const CONNECT_MS = 1_000;
const ANSWER_MS = 1_000;

export interface RedisNodesOptions {
  readonly url: string;
  /** As of the store: `tandem:`. */
  readonly prefix?: string;
}

/** Leases of nodes in Redis 6.2 or later: one script, see renewNode.lua. */
export class RedisNodes implements NodeStore {
  readonly #options: RedisNodesOptions;
  readonly #clock: Clock;
  readonly #commands: LazyConnection;
  readonly #script = new RedisScript('renewNode');
  readonly #prefix: string;
  readonly #channel: string;
  #subscriber: Promise<RedisConnection | undefined> | undefined;
  #node = '';
  #listener: () => void = () => {};
  #closed = false;

  constructor(options: RedisNodesOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#commands = new LazyConnection(options.url, clock);
    this.#prefix = `${hashTagged(options.prefix)}nodes:`;
    this.#channel = `${this.#prefix}news`;
  }

  onNews(listener: () => void): void {
    this.#listener = listener;
  }

  async renew(self: ClusterNode, leaseMs: number): Promise<readonly ClusterNode[]> {
    this.#node = self.owner;
    // Before the question: whoever comes after the answer is news.
    this.#subscriber ??= this.#subscribe().catch(() => (this.#subscriber = undefined));
    await this.#subscriber;
    return this.#run(self, leaseMs);
  }

  async leave(self: ClusterNode): Promise<void> {
    this.#closed = true;
    (await this.#subscriber)?.close();
    // Out of reach: the lease ends by itself.
    await this.#run(self, 0).catch(() => undefined);
    await this.#commands.close();
  }

  async #run({ owner, address }: ClusterNode, leaseMs: number): Promise<readonly ClusterNode[]> {
    const connection = await this.#commands.use();
    const keys = [`${this.#prefix}leases`, `${this.#prefix}addresses`];
    const words = [...keys, owner, address, leaseMs, this.#channel];
    const reply = (await connection.run('renewNode', ANSWER_MS, (client) =>
      this.#script.run(client, keys.length, words),
    )) as string[];
    const nodes: ClusterNode[] = [];
    for (let i = 0; i + 1 < reply.length; i += 2) nodes.push({ owner: reply[i] ?? '', address: reply[i + 1] ?? '' });
    return nodes;
  }

  async #subscribe(): Promise<RedisConnection> {
    const connection = await RedisConnection.open(this.#options.url, this.#clock, CONNECT_MS);
    connection.client.on('message', (_channel: string, node: string) => {
      if (!this.#closed && node !== this.#node) this.#listener();
    });
    connection.client.once('close', () => (this.#subscriber = undefined));
    await connection.run('SUBSCRIBE', ANSWER_MS, (client) => client.subscribe(this.#channel));
    if (this.#closed) connection.close();
    return connection;
  }
}
