import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';

/** A script that Redis keeps by its hash: sent whole only where it is not known yet. */
export class RedisScript {
  readonly #text: string;
  readonly #sha: string;

  /** @param name of a file in `lua/` */
  constructor(name: string) {
    this.#text = readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');
    this.#sha = createHash('sha1').update(this.#text).digest('hex');
  }

  /** @param words the keys, of which there are so many, and the arguments */
  run(client: Redis, keys: number, words: readonly (string | number)[]): Promise<unknown> {
    return client.evalsha(this.#sha, keys, ...words).catch((error: unknown) => {
      if (!String(error).includes('NOSCRIPT')) throw error;
      return client.eval(this.#text, keys, ...words);
    });
  }
}
