import { createRequire } from 'node:module';
import type { Redis } from 'ioredis';
import { TandemError, type Clock } from '../../kernel/index.js';
import { errorText } from '../problem.js';

// Loaded with the first connection: a store in a file needs none.
const require = createRequire(import.meta.url);

/** ioredis names what failed, but `ECONNREFUSED` says more to an operator than "Connection is closed." */
const closedText = 'Connection is closed.';

/** Where to connect, without the password, for messages. */
export function redactUrl(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return 'redis (unreadable URL)';
  }
}

/**
 * One connection to Redis that never waits without a bound: no offline queue, no reconnection of its own (who uses it
 * must know what it missed, so connects anew), each command with a deadline. A missed deadline ends the connection, as
 * the answer to one command must never be taken for that to another.
 */
export class RedisConnection {
  readonly client: Redis;
  readonly #clock: Clock;
  readonly #where: string;
  #lastError: string | undefined;
  #closed = false;

  private constructor(url: string, clock: Clock) {
    this.#clock = clock;
    this.#where = redactUrl(url);
    const library = require('ioredis') as typeof import('ioredis');
    this.client = new library.Redis(url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
      connectionName: 'tandem-routing',
    });
    this.client.on('error', (error: Error) => (this.#lastError = error.message));
  }

  /** @throws TandemError `store_unreachable` (retryable), within `timeoutMs`. */
  static async open(url: string, clock: Clock, timeoutMs: number): Promise<RedisConnection> {
    const connection = new RedisConnection(url, clock);
    await connection.run('connect', timeoutMs, (client) => client.connect());
    return connection;
  }

  get usable(): boolean {
    return !this.#closed && this.client.status === 'ready';
  }

  /** @throws TandemError `store_unreachable` (retryable) when Redis refuses, is away or is silent for `timeoutMs`. */
  async run<T>(name: string, timeoutMs: number, command: (client: Redis) => Promise<T>): Promise<T> {
    let timer;
    const deadline = new Promise<never>((_, reject) => {
      timer = this.#clock.setTimer('store.redis.deadline', timeoutMs, () =>
        reject(new Error(`no answer to ${name} within ${timeoutMs} ms`)),
      );
    });
    const answer = command(this.client);
    try {
      return await Promise.race([answer, deadline]);
    } catch (error) {
      // When the deadline came first, closing makes the answer reject too: it is heard, and no longer of interest.
      answer.catch(() => {});
      this.close();
      const text = errorText(error);
      const why = text === closedText && this.#lastError !== undefined ? this.#lastError : text;
      const message = `${this.#where}: ${why}`;
      throw new TandemError({ code: 'store_unreachable', message, retryable: true, cause: error });
    } finally {
      (timer as { cancel(): void } | undefined)?.cancel();
    }
  }

  close(): void {
    this.#closed = true;
    this.client.disconnect();
  }
}
