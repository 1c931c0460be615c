import type { Clock } from '../kernel/index.js';

/** Wrong passwords of one source a minute: more than a person mistypes, and far too few to guess one. */
const MAX_ATTEMPTS = 10;
const WINDOW_MS = 60_000;
/** Sources remembered; beyond, the oldest is forgotten. */
const MAX_SOURCES = 10_000;

interface Tally {
  count: number;
  readonly sinceMs: number;
}

/** Counts wrong credentials by source, so that nobody tries many. An IPv6 source is its network of 64 bits. */
export class Attempts {
  readonly #clock: Clock;
  /** In order of their windows' beginning. */
  readonly #tallies = new Map<string, Tally>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns seconds to wait, while a source has had its attempts; credentials are not looked at meanwhile. */
  blockedSeconds(address: string): number | undefined {
    const tally = this.#live(sourceOf(address));
    if (tally === undefined || tally.count < MAX_ATTEMPTS) return undefined;
    return Math.max(1, Math.ceil((tally.sinceMs + WINDOW_MS - this.#clock.nowMs()) / 1000));
  }

  failed(address: string): void {
    const source = sourceOf(address);
    const tally = this.#live(source);
    if (tally !== undefined) {
      tally.count++;
      return;
    }
    this.#tallies.set(source, { count: 1, sinceMs: this.#clock.nowMs() });
    const [oldest] = this.#tallies.keys();
    if (this.#tallies.size > MAX_SOURCES && oldest !== undefined) this.#tallies.delete(oldest);
  }

  #live(source: string): Tally | undefined {
    const tally = this.#tallies.get(source);
    if (tally === undefined || this.#clock.nowMs() - tally.sinceMs < WINDOW_MS) return tally;
    this.#tallies.delete(source);
    return undefined;
  }
}

/** `2001:db8:1:2:3::4` -> `2001:db8:1:2`; IPv4 as it is, mapped or not. */
const sourceOf = (address: string): string => {
  if (!address.includes(':') || address.includes('.')) return address.replace(/^.*:/, '');
  const [head = '', tail] = address.split('::', 2);
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const end = tail === '' ? [] : tail.split(':');
    while (groups.length + end.length < 8) groups.push('0');
    groups.push(...end);
  }
  return groups.slice(0, 4).join(':');
};
