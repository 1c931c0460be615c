import { Counter, type Registry } from 'prom-client';

/**
 * Counts by a key of label values joined with spaces. Counting is one map access; labels are made when the page is
 * read, not while calls are handled.
 */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(key: string, count = 1): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  /** @param spec as many label names as the keys have words. */
  register(registry: Registry, spec: { name: string; help: string; labelNames: readonly string[] }): void {
    const counts = this.#counts;
    new Counter({
      name: spec.name,
      help: spec.help,
      labelNames: [...spec.labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const [key, count] of counts) {
          const values = key.split(' ');
          this.inc(Object.fromEntries(spec.labelNames.map((name, i) => [name, values[i] ?? ''])), count);
        }
      },
    });
  }
}
