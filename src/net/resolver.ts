import { lookup, Resolver } from 'node:dns';
import {
  type Clock,
  type NameResolver,
  type NamingRecord,
  type RecordsOutcome,
  type ResolveOutcome,
  type ServiceRecord,
  SystemClock,
} from '../kernel/index.js';
import { numericAddress } from './addresses.js';
import { AddressQuery, type QueryResult } from './addressQuery.js';
import { lookInHostsFile } from './hostsFile.js';
import { type Lookup, type Question, RecordCache, isAbsence } from './recordCache.js';

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

/** Hosts file and system lookup give no TTL. */
const UNTIMED_TTL_MS = 10_000;
/** node:dns tells no TTL of SRV and NAPTR records. */
const SERVICE_TTL_MS = 30_000;
/** RFC 6761 §6.3: never sent to DNS. */
const LOCALHOST: ResolveOutcome = { ok: true, addresses: ['127.0.0.1', '::1'] };
const NO_RECORDS = { ok: false, code: 'ENODATA' } as const;

type Addresses = Extract<ResolveOutcome, { ok: true }>;
type Records<R> = Extract<RecordsOutcome<R>, { ok: true }>;

/** Lower case without the final dot; undefined when it can be no name in DNS. */
const nameOf = (host: string): string | undefined => {
  const name = host.toLowerCase().replace(/\.$/, '');
  return name === '' || name.length > 253 ? undefined : name;
};

const isLocalhost = (name: string): boolean => name === 'localhost' || name.endsWith('.localhost');

/** Gives the ready-made outcome of a lookup that found something. */
const tell =
  <V>(answer: (outcome: V | { readonly ok: false; readonly code: string }) => void) =>
  (found: Lookup<V>): void =>
    answer(found.ok ? found.value : found);

/**
 * Host names to addresses: the hosts file first, then DNS (A and AAAA, IPv4 first), then, where DNS knows no such
 * name, the system's own lookup, which adds search domains and other sources. SRV and NAPTR records from DNS alone.
 * See RecordCache for how long answers serve.
 */
export class SystemResolver implements NameResolver {
  readonly #clock: Clock;
  readonly #dns: Resolver;
  readonly #hostsFile: string;
  readonly #useSystemLookup: boolean;
  readonly #addresses: RecordCache<Addresses>;
  readonly #services: RecordCache<Records<ServiceRecord>>;
  readonly #naming: RecordCache<Records<NamingRecord>>;

  constructor(options: SystemResolverOptions = {}) {
    this.#clock = options.clock ?? new SystemClock();
    this.#dns = new Resolver({ timeout: options.timeoutMs ?? 2_000, tries: options.tries ?? 2 });
    if (options.servers !== undefined) this.#dns.setServers(options.servers);
    this.#useSystemLookup = options.systemLookup ?? options.servers === undefined;
    this.#hostsFile = options.hostsFile ?? '/etc/hosts';
    this.#addresses = new RecordCache(this.#clock, (name, question) => this.#askAddresses(name, question));
    this.#services = new RecordCache(this.#clock, (name, question) => this.#askServices(name, question));
    this.#naming = new RecordCache(this.#clock, (name, question) => this.#askNaming(name, question));
  }

  resolve(host: string, answer: (outcome: ResolveOutcome) => void): void {
    const numeric = numericAddress(host);
    if (numeric !== undefined) return answer({ ok: true, addresses: [numeric] });
    const name = nameOf(host);
    if (name === undefined) return answer({ ok: false, code: 'EBADNAME' });
    if (isLocalhost(name)) return answer(LOCALHOST);
    this.#addresses.look(name, tell(answer));
  }

  resolveServices(host: string, answer: (outcome: RecordsOutcome<ServiceRecord>) => void): void {
    const name = nameOf(host);
    if (name === undefined || isLocalhost(name)) return answer(NO_RECORDS);
    this.#services.look(name, tell(answer));
  }

  resolveNaming(host: string, answer: (outcome: RecordsOutcome<NamingRecord>) => void): void {
    const name = nameOf(host);
    if (name === undefined || isLocalhost(name)) return answer(NO_RECORDS);
    this.#naming.look(name, tell(answer));
  }

  /** Forgets every answer. */
  flush(): void {
    for (const cache of this.#caches) cache.flush();
  }

  dump(): { readonly names: number; readonly pending: number } {
    let [names, pending] = [0, 0];
    for (const cache of this.#caches) {
      names += cache.names;
      pending += cache.pending;
    }
    return { names, pending };
  }

  /** Ends lookups under way with ECANCELLED. */
  close(): void {
    for (const cache of this.#caches) cache.close();
    this.#dns.cancel();
  }

  get #caches(): readonly RecordCache<unknown>[] {
    return [this.#addresses, this.#services, this.#naming] as RecordCache<unknown>[];
  }

  #askAddresses(name: string, question: Question<Addresses>): () => void {
    let query: AddressQuery | undefined;
    let cancelled = false;
    const done = ({ addresses, ttlMs, code }: QueryResult): void =>
      question.onDone(addresses.length > 0 ? { value: { ok: true, addresses }, ttlMs } : { code });
    void lookInHostsFile(this.#hostsFile, name).then((addresses) => {
      if (cancelled) return;
      if (addresses.length > 0) return done({ addresses, ttlMs: UNTIMED_TTL_MS, code: '' });
      query = new AddressQuery(this.#dns, this.#clock, {
        onEarly: (early) => question.onEarly({ ok: true, addresses: early }),
        onDone: (result) => {
          if (this.#useSystemLookup && isAbsence(result.code)) this.#askSystem(name, result, done);
          else done(result);
        },
      });
      query.start(name);
    });
    return () => {
      cancelled = true;
      query?.cancel();
    };
  }

  #askSystem(name: string, before: QueryResult, done: (result: QueryResult) => void): void {
    lookup(name, { all: true, verbatim: true }, (error, found) => {
      const addresses = error === null ? [...new Set(found.map((each) => each.address))] : [];
      done(addresses.length > 0 ? { addresses, ttlMs: UNTIMED_TTL_MS, code: '' } : before);
    });
  }

  #askServices(name: string, question: Question<Records<ServiceRecord>>): () => void {
    this.#dns.resolveSrv(name, (error, found) => {
      if (error !== null) return question.onDone({ code: error.code ?? 'EFORMERR' });
      const records = found.map(({ priority, weight, port, name: target }) => ({
        priority,
        weight,
        port,
        target: target === '' ? '.' : target,
      }));
      question.onDone({ value: { ok: true, records }, ttlMs: SERVICE_TTL_MS });
    });
    return () => {};
  }

  #askNaming(name: string, question: Question<Records<NamingRecord>>): () => void {
    this.#dns.resolveNaptr(name, (error, found) => {
      if (error !== null) return question.onDone({ code: error.code ?? 'EFORMERR' });
      const records = found.map(({ order, preference, flags, service, replacement }) => ({
        order,
        preference,
        flags,
        service,
        replacement,
      }));
      question.onDone({ value: { ok: true, records }, ttlMs: SERVICE_TTL_MS });
    });
    return () => {};
  }
}
