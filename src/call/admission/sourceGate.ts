/** The first question about a packet: do we know who sent it? Asked before a transaction or any state exists. */
import type { RoutingTable } from '../routing/table.js';

/**
 * @param address the socket's
 * @returns `unknown`: refuse without keeping anything
 *
 * One longest-prefix match, a fraction of a microsecond. There is no cache of refused addresses: it would cost as much as
 * the match, and a flood from forged addresses would only churn it.
 */
export function screenSource(table: RoutingTable, address: string): 'known' | 'unknown' {
  return table.matchSource(address) === undefined ? 'unknown' : 'known';
}

export interface UnlistedLogOptions {
  /** Lines for one address per minute. */
  readonly perSourcePerMinute?: number;
  /** Lines per second for all addresses together: forged addresses are cheap. */
  readonly perSecond?: number;
  /** Addresses remembered; the longest unheard is forgotten first. */
  readonly maxSources?: number;
}

interface Seen {
  tokens: number;
  atMs: number;
}

const DEFAULTS = { perSourcePerMinute: 6, perSecond: 20, maxSources: 10_000 };

/** Decides which refused sources are worth a log line, so that a flood cannot fill a disk. Counts all of them. */
export class UnlistedLog {
  readonly #perSource: number;
  readonly #perSecond: number;
  readonly #maxSources: number;
  readonly #sources = new Map<string, Seen>();
  readonly #all: Seen;
  #unlogged = 0;

  constructor(options: UnlistedLogOptions = {}) {
    this.#perSource = options.perSourcePerMinute ?? DEFAULTS.perSourcePerMinute;
    this.#perSecond = options.perSecond ?? DEFAULTS.perSecond;
    this.#maxSources = Math.max(1, options.maxSources ?? DEFAULTS.maxSources);
    this.#all = { tokens: this.#perSecond, atMs: 0 };
  }

  /** Addresses remembered now. */
  get size(): number {
    return this.#sources.size;
  }

  /** @param nowMs monotonic */
  shouldLog(address: string, nowMs: number): boolean {
    const seen = this.#touch(address, nowMs);
    refill(seen, this.#perSource / 60_000, this.#perSource, nowMs);
    refill(this.#all, this.#perSecond / 1000, this.#perSecond, nowMs);
    if (seen.tokens < 1 || this.#all.tokens < 1) {
      this.#unlogged++;
      return false;
    }
    seen.tokens--;
    this.#all.tokens--;
    return true;
  }

  /** How many refusals had no line since this was last asked. */
  takeUnlogged(): number {
    const count = this.#unlogged;
    this.#unlogged = 0;
    return count;
  }

  #touch(address: string, nowMs: number): Seen {
    const seen = this.#sources.get(address) ?? { tokens: this.#perSource, atMs: nowMs };
    this.#sources.delete(address);
    this.#sources.set(address, seen);
    if (this.#sources.size > this.#maxSources) {
      const oldest = this.#sources.keys().next().value;
      if (oldest !== undefined) this.#sources.delete(oldest);
    }
    return seen;
  }
}

function refill(bucket: Seen, perMs: number, capacity: number, nowMs: number): void {
  bucket.tokens = Math.min(capacity, bucket.tokens + Math.max(0, nowMs - bucket.atMs) * perMs);
  bucket.atMs = Math.max(bucket.atMs, nowMs);
}
