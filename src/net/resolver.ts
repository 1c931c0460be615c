import { lookup, Resolver } from 'node:dns';
import { type Clock, SystemClock } from '../kernel/index.js';
import { numericAddress } from './addresses.js';
import { AddressQuery, type QueryResult } from './addressQuery.js';
import { lookInHostsFile } from './hostsFile.js';
import type { NameResolver, ResolveOutcome } from './ports.js';

export interface SystemResolverOptions {
  readonly clock?: Clock;
  /** DNS servers, 'address' or 'address:port', '[v6]:port'. Default: the system's. */
  readonly servers?: readonly string[];
  /** For one attempt at one server. Default 2000. */
  readonly timeoutMs?: number;
  /** Attempts at each server. Default 2. */
  readonly tries?: number;
  /** Ask the system's own lookup for names that DNS does not know. Default: only without `servers`. */
  readonly systemLookup?: boolean;
  /** Default /etc/hosts. */
  readonly hostsFile?: string;
}

const MIN_TTL_MS = 1_000;
const MAX_TTL_MS = 3_600_000;
const NEGATIVE_TTL_MS = 5_000;
/** Hosts file and system lookup give no TTL. */
const UNTIMED_TTL_MS = 10_000;
/** RFC 8767: an answer this long out of date still beats none. */
const STALE_MS = 600_000;
/** While DNS is silent, an out-of-date answer is given after this long, and the query goes on. */
const STALE_AFTER_MS = 500;
/** How long an out-of-date answer is given at once after DNS failed. */
const STALE_RETRY_MS = 5_000;
const MAX_NAMES = 10_000;

interface Known {
  outcome: ResolveOutcome;
  freshUntilMs: number;
  readonly staleUntilMs: number;
}

type Answer = (outcome: ResolveOutcome) => void;

/** One lookup under way, and everybody who waits for it. */
interface Pending {
  readonly waiting: Answer[];
  /** Set once there is something good enough to give out before the lookup ends. */
  early: ResolveOutcome | undefined;
  cancel: () => void;
}

/** Codes that mean "the name has no address", as opposed to "nobody could tell". */
const isAbsence = (code: string): boolean => code === 'ENOTFOUND' || code === 'ENODATA';

/**
 * Host names to addresses: the hosts file first, then DNS (A and AAAA, IPv4 first), then, where DNS knows no such
 * name, the system's own lookup, which adds search domains and other sources.
 * Answers are kept for their TTL (1 s to 1 h), failures for 5 s; answers out of date serve for ten more minutes
 * while DNS does not work. Failure codes are those of node:dns, such as ENOTFOUND and ETIMEOUT.
 */
export class SystemResolver implements NameResolver {
  readonly #clock: Clock;
  readonly #dns: Resolver;
  readonly #hostsFile: string;
  readonly #useSystemLookup: boolean;
  readonly #known = new Map<string, Known>();
  readonly #pending = new Map<string, Pending>();
  #closed = false;

  constructor(options: SystemResolverOptions = {}) {
    this.#clock = options.clock ?? new SystemClock();
    this.#dns = new Resolver({ timeout: options.timeoutMs ?? 2_000, tries: options.tries ?? 2 });
    if (options.servers !== undefined) this.#dns.setServers(options.servers);
    this.#useSystemLookup = options.systemLookup ?? options.servers === undefined;
    this.#hostsFile = options.hostsFile ?? '/etc/hosts';
  }

  resolve(host: string, answer: Answer): void {
    const numeric = numericAddress(host);
    if (numeric !== undefined) return answer({ ok: true, addresses: [numeric] });
    const name = host.toLowerCase().replace(/\.$/, '');
    // RFC 6761 §6.3: never sent to DNS.
    if (name === 'localhost' || name.endsWith('.localhost')) {
      return answer({ ok: true, addresses: ['127.0.0.1', '::1'] });
    }
    if (name === '' || name.length > 253) return answer({ ok: false, code: 'EBADNAME' });
    if (this.#closed) return answer({ ok: false, code: 'ECANCELLED' });
    const known = this.#known.get(name);
    if (known !== undefined && known.freshUntilMs > this.#clock.nowMs()) return answer(known.outcome);
    const pending = this.#pending.get(name);
    if (pending === undefined) this.#begin(name, answer, known);
    else if (pending.early !== undefined) answer(pending.early);
    else pending.waiting.push(answer);
  }

  /** Forgets every answer. */
  flush(): void {
    this.#known.clear();
  }

  dump(): { readonly names: number; readonly pending: number } {
    return { names: this.#known.size, pending: this.#pending.size };
  }

  /** Ends lookups under way with ECANCELLED. */
  close(): void {
    this.#closed = true;
    for (const [name, pending] of [...this.#pending]) {
      this.#end(name, pending, { ok: false, code: 'ECANCELLED' });
    }
    this.#dns.cancel();
  }

  #begin(name: string, answer: Answer, known: Known | undefined): void {
    const pending: Pending = { waiting: [answer], early: undefined, cancel: () => {} };
    this.#pending.set(name, pending);
    const stale = this.#usable(known);
    const timer =
      stale && this.#clock.setTimer('net.dns.stale', STALE_AFTER_MS, () => this.#early(pending, stale.outcome));
    pending.cancel = () => timer?.cancel();
    void lookInHostsFile(this.#hostsFile, name).then((addresses) => {
      if (this.#pending.get(name) !== pending) return;
      if (addresses.length > 0) this.#settle(name, pending, { addresses, ttlMs: UNTIMED_TTL_MS, code: '' });
      else this.#query(name, pending);
    });
  }

  #query(name: string, pending: Pending): void {
    const query = new AddressQuery(this.#dns, this.#clock, {
      onEarly: (addresses) => this.#early(pending, { ok: true, addresses }),
      onDone: (result) => {
        if (this.#pending.get(name) !== pending) return;
        if (this.#useSystemLookup && isAbsence(result.code)) this.#askSystem(name, pending, result);
        else this.#settle(name, pending, result);
      },
    });
    const cancelStale = pending.cancel;
    pending.cancel = () => {
      cancelStale();
      query.cancel();
    };
    query.start(name);
  }

  #askSystem(name: string, pending: Pending, before: QueryResult): void {
    lookup(name, { all: true, verbatim: true }, (error, found) => {
      if (this.#pending.get(name) !== pending) return;
      const addresses = error === null ? [...new Set(found.map((each) => each.address))] : [];
      this.#settle(name, pending, addresses.length > 0 ? { addresses, ttlMs: UNTIMED_TTL_MS, code: '' } : before);
    });
  }

  #settle(name: string, pending: Pending, result: QueryResult): void {
    const nowMs = this.#clock.nowMs();
    const stale = this.#usable(this.#known.get(name));
    let outcome: ResolveOutcome;
    if (result.addresses.length > 0) {
      outcome = { ok: true, addresses: result.addresses };
      const freshUntilMs = nowMs + Math.min(MAX_TTL_MS, Math.max(MIN_TTL_MS, result.ttlMs));
      this.#remember(name, { outcome, freshUntilMs, staleUntilMs: freshUntilMs + STALE_MS });
    } else if (!isAbsence(result.code) && stale !== undefined) {
      outcome = stale.outcome;
      stale.freshUntilMs = Math.min(nowMs + STALE_RETRY_MS, stale.staleUntilMs);
    } else {
      outcome = { ok: false, code: result.code };
      const freshUntilMs = nowMs + NEGATIVE_TTL_MS;
      this.#remember(name, { outcome, freshUntilMs, staleUntilMs: freshUntilMs });
    }
    this.#end(name, pending, outcome);
  }

  #usable(known: Known | undefined): Known | undefined {
    return known?.outcome.ok === true && known.staleUntilMs > this.#clock.nowMs() ? known : undefined;
  }

  #early(pending: Pending, outcome: ResolveOutcome): void {
    pending.early ??= outcome;
    for (const answer of pending.waiting.splice(0)) answer(outcome);
  }

  #end(name: string, pending: Pending, outcome: ResolveOutcome): void {
    pending.cancel();
    this.#pending.delete(name);
    for (const answer of pending.waiting.splice(0)) answer(outcome);
  }

  #remember(name: string, known: Known): void {
    this.#known.delete(name);
    this.#known.set(name, known);
    if (this.#known.size <= MAX_NAMES) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
  }
}
