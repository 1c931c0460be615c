import type { Resolver } from 'node:dns';
import type { Clock, Timer } from '../kernel/index.js';

/** When one family has answered, the other is waited for this long (RFC 8305 §3 has 50 ms; slow links need more). */
const SECOND_FAMILY_MS = 250;

export interface QueryResult {
  /** IPv4 before IPv6; empty when there are none. */
  readonly addresses: readonly string[];
  /** Shortest of the records. */
  readonly ttlMs: number;
  /** Why there are none. */
  readonly code: string;
}

export interface QueryListener {
  /** One family has answered and the other is late: usable addresses. At most once, before `onDone`. */
  onEarly(addresses: readonly string[]): void;
  /** Exactly once, unless cancelled. */
  onDone(result: QueryResult): void;
}

interface FamilyAnswer {
  readonly addresses: readonly string[];
  readonly ttlMs: number;
  readonly code: string;
}

/** The A and AAAA queries for one name, asked side by side. */
export class AddressQuery {
  readonly #dns: Resolver;
  readonly #clock: Clock;
  readonly #listener: QueryListener;
  readonly #answers: [FamilyAnswer | undefined, FamilyAnswer | undefined] = [undefined, undefined];
  #timer: Timer | undefined;
  #cancelled = false;

  constructor(dns: Resolver, clock: Clock, listener: QueryListener) {
    this.#dns = dns;
    this.#clock = clock;
    this.#listener = listener;
  }

  start(name: string): void {
    this.#dns.resolve4(name, { ttl: true }, (error, records) => this.#answered(0, error, records));
    this.#dns.resolve6(name, { ttl: true }, (error, records) => this.#answered(1, error, records));
  }

  cancel(): void {
    this.#cancelled = true;
    this.#timer?.cancel();
  }

  #answered(
    family: 0 | 1,
    error: NodeJS.ErrnoException | null,
    records: readonly { readonly address: string; readonly ttl: number }[] | undefined,
  ): void {
    if (this.#cancelled || this.#answers[family] !== undefined) return;
    const found = error === null ? (records ?? []) : [];
    const addresses = [...new Set(found.map((record) => record.address))];
    const ttlMs = Math.min(...found.map((record) => record.ttl * 1000));
    this.#answers[family] = { addresses, ttlMs, code: error?.code ?? 'ENODATA' };
    const [v4, v6] = this.#answers;
    if (v4 !== undefined && v6 !== undefined) {
      this.#timer?.cancel();
      this.#listener.onDone(merge(v4, v6));
    } else if (addresses.length > 0) {
      this.#timer = this.#clock.setTimer('net.dns.second_family', SECOND_FAMILY_MS, () =>
        this.#listener.onEarly(addresses),
      );
    }
  }
}

const merge = (v4: FamilyAnswer, v6: FamilyAnswer): QueryResult => ({
  addresses: [...v4.addresses, ...v6.addresses],
  ttlMs: Math.min(v4.ttlMs, v6.ttlMs),
  // "Nobody could tell" in either family outweighs "no such record" in the other: it must not be kept as absence.
  code: v4.code === 'ENOTFOUND' || v4.code === 'ENODATA' ? v6.code : v4.code,
});
