/** RFC 3263: from a URI's next hop to the places to try, in order. */
import type { Clock, Random } from '../../kernel/index.js';
import type {
  HostResolver,
  NamingRecord,
  RecordsOutcome,
  ResolveOutcome,
  ServiceRecord,
  TransportName,
} from '../ports.js';
import { type Ask, Gathering } from './gather.js';
import { type NextHop, type Target, defaultPort, isNumericHost } from './nextHop.js';
import { orderServices } from './weights.js';

export interface LocatorParts {
  readonly resolver: HostResolver;
  readonly clock: Clock;
  readonly random: Pick<Random, 'float'>;
  /** Whether we can send by a transport at all. */
  serves(transport: TransportName): boolean;
}

/** Targets in the order in which to try them; empty: there are none. Called exactly once. */
export type Located = (targets: readonly Target[]) => void;

/** Of a name; more are left out. */
const MAX_SERVICES = 16;
const MAX_TARGETS = 16;
/** With SRV records in hand, NAPTR records and other services' are waited for this long. */
const NAMING_GRACE_MS = 250;
/** With addresses in hand, SRV records, or the addresses of the other targets, are waited for this long. */
const ADDRESSES_GRACE_MS = 1_000;

/** Services that have SRV names, in our order of preference where DNS states none (RFC 3263 §4.1). */
const SERVICES: readonly { readonly transport: TransportName; readonly naptr: string; readonly prefix: string }[] = [
  { transport: 'udp', naptr: 'SIP+D2U', prefix: '_sip._udp.' },
  { transport: 'tcp', naptr: 'SIP+D2T', prefix: '_sip._tcp.' },
  { transport: 'tls', naptr: 'SIPS+D2T', prefix: '_sips._tcp.' },
];

type Service = (typeof SERVICES)[number];
type Answer =
  | { readonly kind: 'naming'; readonly outcome: RecordsOutcome<NamingRecord> }
  | { readonly kind: 'services'; readonly outcome: RecordsOutcome<ServiceRecord> }
  | { readonly kind: 'addresses'; readonly outcome: ResolveOutcome };

/** Looks names up for everybody; no lookup waits for another's. */
export class Locator {
  readonly #parts: LocatorParts;
  readonly #searches = new Set<Search>();

  constructor(parts: LocatorParts) {
    this.#parts = parts;
  }

  /** Answers within the call when everything is known. */
  locate(next: NextHop, located: Located): void {
    if (isNumericHost(next.host)) {
      return located([{ transport: next.transport, address: next.host, port: next.port, serverName: next.host }]);
    }
    const search = new Search(this.#parts, next, (targets) => {
      this.#searches.delete(search);
      located(targets);
    });
    this.#searches.add(search);
    search.start();
  }

  dump(): { readonly searches: number } {
    return { searches: this.#searches.size };
  }

  /** Searches under way end unanswered. */
  close(): void {
    for (const search of this.#searches) search.cancel();
    this.#searches.clear();
  }
}

/** The way through DNS for one URI. */
class Search {
  readonly #parts: LocatorParts;
  readonly #next: NextHop;
  readonly #located: Located;
  #gathering: Gathering<Answer> | undefined;

  constructor(parts: LocatorParts, next: NextHop, located: Located) {
    this.#parts = parts;
    this.#next = next;
    this.#located = located;
  }

  /**
   * All questions at once rather than one after the other: a slow server then costs its delay once. Which answers
   * count is decided in the order of RFC 3263 §4.1.
   */
  start(): void {
    const { open } = this.#next;
    const { resolver } = this.#parts;
    const services = open === undefined || resolver.resolveServices === undefined ? [] : this.#services();
    if (services.length === 0) return this.#fall();
    const asks: Ask<Answer>[] = services.map((service) => this.#askServices(service.prefix + this.#next.host));
    asks.push(this.#askAddresses(this.#next.host));
    if (open === 'transport' && resolver.resolveNaming !== undefined) asks.push(this.#askNaming());
    this.#gather(asks, (answers) => this.#choose(services, answers));
  }

  cancel(): void {
    this.#gathering?.cancel();
  }

  /** RFC 3263 §4.1: those that we serve, and for `sips` those that are secure. RFC 7118 names none for WebSocket. */
  #services(): readonly Service[] {
    const { open, secure, transport } = this.#next;
    return SERVICES.filter((service) =>
      open === 'port'
        ? service.transport === transport
        : this.#parts.serves(service.transport) && (secure !== true || service.transport === 'tls'),
    );
  }

  #choose(services: readonly Service[], answers: readonly (Answer | undefined)[]): void {
    const naming = answers.at(-1);
    const named = naming?.kind === 'naming' && naming.outcome.ok ? naming.outcome.records : [];
    const pointer = this.#pointer(services, named);
    if (pointer !== undefined) {
      const { service, name } = pointer;
      const asked = services.indexOf(service);
      if (name === service.prefix + this.#next.host.toLowerCase()) return this.#take([service], [answers[asked]]);
      return this.#gather([this.#askServices(name)], (found) => this.#take([service], found));
    }
    this.#take(services, answers);
  }

  /** RFC 3263 §4.1: the first record, by order and preference, for a service that we can use. */
  #pointer(services: readonly Service[], records: readonly NamingRecord[]) {
    const sorted = [...records].sort((a, b) => a.order - b.order || a.preference - b.preference);
    for (const { flags, service: wanted, replacement } of sorted) {
      const service = services.find(({ naptr }) => naptr === wanted.toUpperCase());
      const name = replacement.toLowerCase().replace(/\.$/, '');
      if (service !== undefined && flags.toLowerCase() === 's' && name !== '') return { service, name };
    }
    return undefined;
  }

  /**
   * The SRV records of the first service that has any. Not those of others behind them: what is asked for by TLS must
   * not end up in the clear because its servers are down.
   */
  #take(services: readonly Service[], answers: readonly (Answer | undefined)[]): void {
    let refused = false;
    for (const [i, { transport }] of services.entries()) {
      const answer = answers[i];
      if (answer?.kind !== 'services' || !answer.outcome.ok) continue;
      // RFC 2782: a target of "." says that the service is decidedly not available here.
      const records = answer.outcome.records.filter(({ target }) => target !== '.');
      if (records.length === 0) refused ||= answer.outcome.records.length > 0;
      else return this.#follow(transport, records);
    }
    const addresses = answers.find((answer) => answer?.kind === 'addresses');
    if (refused) this.#located([]);
    else if (addresses?.kind !== 'addresses') this.#fall();
    else this.#located(this.#targets(addresses.outcome, this.#place()));
  }

  #follow(transport: TransportName, records: readonly ServiceRecord[]): void {
    const ordered = orderServices(records, () => this.#parts.random.float()).slice(0, MAX_SERVICES);
    const asks = ordered.map(({ target }) => this.#askAddresses(target));
    this.#gather(asks, (answers) => {
      const targets: Target[] = [];
      for (const [i, { port }] of ordered.entries()) {
        const answer = answers[i];
        if (answer?.kind === 'addresses') targets.push(...this.#targets(answer.outcome, { transport, port }));
      }
      this.#located(targets.slice(0, MAX_TARGETS));
    });
  }

  /** No SRV records: the addresses of the name itself (RFC 3263 §4.2). */
  #fall(): void {
    const { host } = this.#next;
    this.#gather([this.#askAddresses(host)], ([answer]) =>
      this.#located(answer?.kind === 'addresses' ? this.#targets(answer.outcome, this.#place()) : []),
    );
  }

  /** Transport and port where DNS has no word on them; UDP by default (§4.1), or what we do serve. */
  #place(): { readonly transport: TransportName; readonly port: number } {
    const { open, transport, port } = this.#next;
    if (open !== 'transport' || this.#parts.serves(transport)) return { transport, port };
    const served = this.#services()[0]?.transport ?? transport;
    return { transport: served, port: defaultPort(served) };
  }

  #targets(
    outcome: ResolveOutcome,
    { transport, port }: { readonly transport: TransportName; readonly port: number },
  ): Target[] {
    const serverName = this.#next.host;
    const addresses = outcome.ok ? outcome.addresses : [];
    return addresses.slice(0, MAX_TARGETS).map((address) => ({ transport, address, port, serverName }));
  }

  #gather(asks: readonly Ask<Answer>[], done: (answers: readonly (Answer | undefined)[]) => void): void {
    this.#gathering = new Gathering(this.#parts.clock, { patience, done });
    this.#gathering.start(asks);
  }

  #askNaming(): Ask<Answer> {
    return (answer) =>
      this.#parts.resolver.resolveNaming?.(this.#next.host, (outcome) => answer({ kind: 'naming', outcome }));
  }

  #askServices(name: string): Ask<Answer> {
    return (answer) => this.#parts.resolver.resolveServices?.(name, (outcome) => answer({ kind: 'services', outcome }));
  }

  #askAddresses(name: string): Ask<Answer> {
    return (answer) => this.#parts.resolver.resolve(name, (outcome) => answer({ kind: 'addresses', outcome }));
  }
}

/** Addresses are good enough only when nothing better comes in a while; NAPTR records alone lead nowhere. */
const patience = ({ kind, outcome }: Answer): number | undefined =>
  outcome.ok && kind !== 'naming' ? (kind === 'services' ? NAMING_GRACE_MS : ADDRESSES_GRACE_MS) : undefined;
