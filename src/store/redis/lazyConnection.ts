import type { Clock } from '../../kernel/index.js';
import { RedisConnection } from './connection.js';

const CONNECT_MS = 2_000;

/** A connection for commands: opened by the first, and anew by the first after it broke. */
export class LazyConnection {
  readonly #url: string;
  readonly #clock: Clock;
  #connection: Promise<RedisConnection> | undefined;

  constructor(url: string, clock: Clock) {
    this.#url = url;
    this.#clock = clock;
  }

  /** @throws TandemError `store_unreachable`. */
  async use(): Promise<RedisConnection> {
    const before = this.#connection;
    const present = await before?.catch(() => undefined);
    if (present?.usable === true) return present;
    // Of several that found it broken, one opens it.
    if (this.#connection === before) {
      present?.close();
      this.#connection = RedisConnection.open(this.#url, this.#clock, CONNECT_MS);
    }
    return this.#connection as Promise<RedisConnection>;
  }

  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => undefined);
    connection?.close();
  }
}
