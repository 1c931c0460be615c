import type { SpendAmount } from '../../call/admission/spend.js';
import type { Clock } from '../../kernel/index.js';
import { RedisConnection } from './connection.js';
import { hashTagged } from './hashTag.js';
import { sendAll } from './pipeline.js';

const CONNECT_MS = 1_000;
const ANSWER_MS = 2_000;
/** Sums of a day are of use for that day, and for whoever looks at yesterday. */
const KEEP_SECONDS = 3 * 86_400;

export interface SpendStoreOptions {
  readonly url: string;
  readonly prefix?: string;
  readonly nodeId: string;
}

/**
 * Sums of money of all nodes. Each day, key and currency is a hash of node id -> micros; a node writes its own sums
 * only, whole, so that writing twice changes nothing.
 */
export class RedisSpendStore {
  readonly #options: SpendStoreOptions;
  readonly #clock: Clock;
  readonly #prefix: string;
  #connection: RedisConnection | undefined;

  constructor(options: SpendStoreOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#prefix = `${hashTagged(options.prefix)}spend:`;
  }

  /**
   * @param day days since 1970-01-01 UTC
   * @param own sums of this node
   * @param asked whose sums of other nodes are wanted
   * @throws TandemError `store_unreachable` (retryable)
   */
  async exchange(
    day: number,
    own: readonly SpendAmount[],
    asked: readonly Omit<SpendAmount, 'micros'>[],
  ): Promise<SpendAmount[]> {
    if (own.length === 0 && asked.length === 0) return [];
    const { url, nodeId } = this.#options;
    if (this.#connection?.usable !== true) {
      this.#connection = await RedisConnection.open(url, this.#clock, CONNECT_MS);
    }
    const date = new Date(day * 86_400_000).toISOString().slice(0, 10);
    const name = (of: Omit<SpendAmount, 'micros'>): string => `${this.#prefix}${date}:${of.currency}:${of.key}`;
    const replies = await this.#connection.run('spend', ANSWER_MS, (client) => {
      const pipeline = client.pipeline();
      for (const amount of own) pipeline.hset(name(amount), nodeId, amount.micros).expire(name(amount), KEEP_SECONDS);
      for (const one of asked) pipeline.hgetall(name(one));
      return sendAll(pipeline);
    });
    return asked.map((one, i) => {
      const nodes = replies[2 * own.length + i];
      const sums = Object.entries(nodes instanceof Error ? {} : (nodes as Record<string, string>)).filter(
        ([node]) => node !== nodeId,
      );
      return { ...one, micros: sums.reduce((sum, [, micros]) => sum + Number(micros), 0) };
    });
  }

  close(): void {
    this.#connection?.close();
  }
}
