import { type Registration, aorKey } from '../../call/registration/binding.js';
import type {
  RegistrationNews,
  RegistrationStore,
  RegistrationWrite,
  StoredRegistration,
} from '../../call/registration/store.js';
import type { Clock, Timer } from '../../kernel/index.js';
import { RedisConnection } from './connection.js';
import { hashTagged } from './hashTag.js';
import { LazyConnection } from './lazyConnection.js';
import { RedisScript } from './redisScript.js';

const CONNECT_MS = 1_000;
const ANSWER_MS = 1_000;
const AGAIN_MS = 1_000;
/** Entries fetched at once. */
const BATCH = 500;

export interface RedisRegistrationOptions {
  readonly url: string;
  /** As of the store: `tandem:`. */
  readonly prefix?: string;
  /** Of this start of the node: its own news are not told to it. */
  readonly node: string;
}

/** Registrations of all nodes in Redis 6.2 or later: written by one script, told by one channel, ended by their own time. */
export class RedisRegistrationStore implements RegistrationStore {
  readonly #options: RedisRegistrationOptions;
  readonly #clock: Clock;
  readonly #commands: LazyConnection;
  readonly #script = new RedisScript('writeRegistration');
  readonly #prefix: string;
  readonly #channel: string;
  readonly #index: string;
  #subscriber: RedisConnection | undefined;
  #again: Timer | undefined;
  #closed = false;

  constructor(options: RedisRegistrationOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#commands = new LazyConnection(options.url, clock);
    this.#prefix = `${hashTagged(options.prefix)}registrations:`;
    this.#channel = `${this.#prefix}news`;
    this.#index = `${this.#prefix}index`;
  }

  /** Hears news first and reads everything then, so that nothing falls between. */
  async follow(news: RegistrationNews): Promise<void> {
    if (this.#closed) return;
    try {
      const subscriber = await RedisConnection.open(this.#options.url, this.#clock, CONNECT_MS);
      this.#subscriber = subscriber;
      subscriber.client.on('message', (_channel: string, text: string) => this.#hear(text, news));
      subscriber.client.once('close', () => this.#followAgain(news));
      await subscriber.run('SUBSCRIBE', ANSWER_MS, (client) => client.subscribe(this.#channel));
      news.all(await this.#readAll());
    } catch {
      // Redis is away: calls are routed by what is known, and REGISTERs say so when they cannot be written.
      this.#subscriber?.close();
      this.#followAgain(news);
    }
    if (this.#closed) this.#subscriber?.close();
  }

  async write(registration: Registration, version: number): Promise<RegistrationWrite> {
    const { trunkSid, userName, bindings } = registration;
    const aor = aorKey(registration);
    const last = bindings.reduce((latest, { expiresMs }) => Math.max(latest, expiresMs), 0);
    const left = Math.ceil(last - this.#clock.wallMs());
    const json = bindings.length === 0 ? '' : JSON.stringify({ trunkSid, userName, bindings });
    const keys = [`${this.#prefix}of:${aor}`, this.#index];
    const words = [...keys, version, json, left, aor, this.#channel, this.#options.node];
    const connection = await this.#commands.use();
    const reply = (await connection.run('writeRegistration', ANSWER_MS, (client) =>
      this.#script.run(client, keys.length, words),
    )) as [number, string, string?];
    if (reply[0] === 1) return { ok: true, version: Number(reply[1]) };
    const current = readEntry(Number(reply[1]), reply[2] ?? '') ?? { trunkSid, userName, bindings: [], version: 0 };
    return { ok: false, current };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#again?.cancel();
    this.#subscriber?.close();
    await this.#commands.close();
  }

  async #readAll(): Promise<StoredRegistration[]> {
    const connection = await this.#commands.use();
    const aors = await connection.run('ZRANGE', ANSWER_MS, (client) => client.zrange(this.#index, '0', '-1'));
    const found: StoredRegistration[] = [];
    for (let start = 0; start < aors.length; start += BATCH) {
      const keys = aors.slice(start, start + BATCH).map((aor) => `${this.#prefix}of:${aor}`);
      for (const text of await connection.run('MGET', ANSWER_MS, (client) => client.mget(...keys))) {
        const cut = text?.indexOf('\n') ?? -1;
        const entry = text === null || cut < 0 ? undefined : readEntry(Number(text.slice(0, cut)), text.slice(cut + 1));
        if (entry !== undefined) found.push(entry);
      }
    }
    return found;
  }

  #hear(text: string, news: RegistrationNews): void {
    const [node, version = '', aor = '', ...rest] = text.split('\n');
    if (this.#closed || node === this.#options.node) return;
    const slash = aor.indexOf('/');
    const gone = { trunkSid: aor.slice(0, slash), userName: aor.slice(slash + 1), bindings: [] };
    const entry = readEntry(Number(version), rest.join('\n'));
    if (slash > 0) news.changed(entry ?? { ...gone, version: Number(version) });
  }

  #followAgain(news: RegistrationNews): void {
    if (this.#closed || this.#again?.active === true) return;
    this.#again = this.#clock.setTimer('registrations.follow', AGAIN_MS, () => void this.follow(news));
  }
}

function readEntry(version: number, json: string): StoredRegistration | undefined {
  if (json === '') return undefined;
  try {
    const entry = JSON.parse(json) as Registration;
    return Array.isArray(entry.bindings) ? { ...entry, version } : undefined;
  } catch {
    return undefined;
  }
}
