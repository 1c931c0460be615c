import type { Ask, ExchangeAnswer, ExchangeNews, LimitExchange } from '../../call/admission/exchange.js';
import { SystemRandom, TandemError, type Clock, type Random } from '../../kernel/index.js';
import { RedisConnection } from './connection.js';
import { hashTagged } from './hashTag.js';
import { RedisScript } from './redisScript.js';

const CONNECT_MS = 1_000;
const ANSWER_MS = 1_000;
/** A node that is not heard of for this long is dead: what it held goes to others. Well above the longest back-off. */
const LEASE_MS = 10_000;
/** Hashes of limits that nobody accounts for any more; nodes account for each of theirs every ten minutes. */
const KEEP_MS = 3_600_000;
const NONCE_BYTES = 6;

export interface LimitExchangeOptions {
  readonly url: string;
  /** As of the store: `tandem:`. */
  readonly prefix?: string;
  readonly nodeId: string;
  /** For tests. */
  readonly leaseMs?: number;
}

/** Keeps the whole of every shared limit in Redis 6.2 or later: one script, see exchangeLimits.lua. */
export class RedisLimitExchange implements LimitExchange {
  readonly #options: LimitExchangeOptions;
  readonly #clock: Clock;
  readonly #script = new RedisScript('exchangeLimits');
  readonly #prefix: string;
  readonly #channel: string;
  /** Two starts of one node are two nodes: the calls of the first are gone, but Redis cannot know. */
  readonly #node: string;
  #listener: (news: ExchangeNews) => void = () => {};
  #connection: RedisConnection | undefined;
  #subscriber: Promise<RedisConnection | undefined> | undefined;
  #closed = false;

  constructor(options: LimitExchangeOptions, clock: Clock, random: Random = new SystemRandom()) {
    this.#options = options;
    this.#clock = clock;
    this.#prefix = `${hashTagged(options.prefix)}limits:`;
    this.#channel = `${this.#prefix}news`;
    this.#node = `${options.nodeId}#${random.hex(NONCE_BYTES)}`;
  }

  onNews(listener: (news: ExchangeNews) => void): void {
    this.#listener = listener;
  }

  async exchange(asks: readonly Ask[], rejoining: boolean): Promise<ExchangeAnswer> {
    const connection = await this.#usable();
    this.#subscribe();
    const keys = [`${this.#prefix}nodes`, `${this.#prefix}state`, ...asks.map(({ key }) => `${this.#prefix}of:${key}`)];
    const { leaseMs = LEASE_MS } = this.#options;
    const head = [this.#node, leaseMs, rejoining ? '1' : '0', this.#channel, KEEP_MS];
    const words = [...keys, ...head, ...asks.flatMap(wordsOf)];
    const reply = (await connection.run('exchangeLimits', ANSWER_MS, (client) =>
      this.#script.run(client, keys.length, words),
    )) as [number, string, ...number[]];
    const [nodes, recovering, ...figures] = reply;
    const grants = asks.map((_, i) => ({ held: figures[2 * i] ?? 0, tokens: figures[2 * i + 1] ?? 0 }));
    return { grants, nodes, recovering: recovering === '1' };
  }

  async leave(): Promise<void> {
    this.#closed = true;
    try {
      await this.#connection?.run('ZREM', ANSWER_MS, (client) => client.zrem(`${this.#prefix}nodes`, this.#node));
    } catch {
      // The lease ends by itself.
    }
    await this.close();
  }

  /** Lets go of Redis, as a process does that dies. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#connection?.close();
    (await this.#subscriber)?.close();
  }

  async #usable(): Promise<RedisConnection> {
    if (this.#closed) throw new TandemError({ code: 'store_closed', message: 'the limits are closed' });
    if (this.#connection?.usable === true) return this.#connection;
    this.#connection = await RedisConnection.open(this.#options.url, this.#clock, CONNECT_MS);
    if (this.#closed) this.#connection.close();
    return this.#connection;
  }

  /** News only make what would come anyway come sooner: nobody waits for the subscription. */
  #subscribe(): void {
    this.#subscriber ??= this.#openSubscriber().catch(() => {
      this.#subscriber = undefined;
      return undefined;
    });
  }

  async #openSubscriber(): Promise<RedisConnection> {
    const connection = await RedisConnection.open(this.#options.url, this.#clock, CONNECT_MS);
    connection.client.on('message', (_channel: string, text: string) => this.#hear(text));
    connection.client.once('close', () => (this.#subscriber = undefined));
    await connection.run('SUBSCRIBE', ANSWER_MS, (client) => client.subscribe(this.#channel));
    if (this.#closed) connection.close();
    return connection;
  }

  #hear(text: string): void {
    let news: Record<string, unknown>;
    try {
      news = JSON.parse(text) as Record<string, unknown>;
    } catch {
      return;
    }
    const { type, from, key } = news;
    if (this.#closed || from === this.#node || typeof key !== 'string') return;
    if (type === 'freed') this.#listener({ type, key });
    if (type !== 'wish') return;
    const { slots, tokens, urgent } = news;
    this.#listener({ type, key, slots: Number(slots) || 0, tokens: Number(tokens) || 0, urgent: urgent === true });
  }
}

/** In the order that the script wants them. */
const wordsOf = (ask: Ask): (string | number)[] => [
  ask.key,
  ask.limit,
  ask.up,
  ask.held,
  ask.wanted,
  ask.rate,
  ask.consumed,
  ask.acknowledged,
  ask.tokensWanted,
  ask.urgent ? '1' : '0',
];
