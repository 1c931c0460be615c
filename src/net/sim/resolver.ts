import type {
  Clock,
  NameResolver,
  NamingRecord,
  RecordsOutcome,
  ResolveOutcome,
  ServiceRecord,
} from '../../kernel/index.js';
import { numericAddress } from '../addresses.js';

export interface SimResolverOptions {
  /** With a clock, names are answered after `delayMs` (default 0) by timer; without one, within the call. */
  readonly clock?: Clock;
  readonly delayMs?: number;
}

type Said<O> = O | 'silence';
const UNKNOWN = { ok: false, code: 'ENOTFOUND' } as const;

/** A resolver that knows what it is told. Numeric addresses answer within the call; unknown names are ENOTFOUND. */
export class SimResolver implements NameResolver {
  readonly #names = new Map<string, Said<ResolveOutcome>>();
  readonly #services = new Map<string, Said<RecordsOutcome<ServiceRecord>>>();
  readonly #naming = new Map<string, Said<RecordsOutcome<NamingRecord>>>();
  readonly #options: SimResolverOptions;
  /** How long answers take from now on, ms. */
  delayMs: number;
  /** Host names asked for, in order. */
  readonly asked: string[] = [];

  constructor(names: Record<string, readonly string[]> = {}, options: SimResolverOptions = {}) {
    for (const [name, addresses] of Object.entries(names)) this.set(name, addresses);
    this.#options = options;
    this.delayMs = options.delayMs ?? 0;
  }

  set(name: string, addresses: readonly string[]): void {
    this.#names.set(name.toLowerCase(), { ok: true, addresses });
  }

  /** SRV records, each as `priority weight port target`. */
  setServices(name: string, records: readonly string[]): void {
    this.#services.set(name.toLowerCase(), { ok: true, records: records.map(serviceOf) });
  }

  setNaming(name: string, records: readonly NamingRecord[]): void {
    this.#naming.set(name.toLowerCase(), { ok: true, records });
  }

  /** From now on the name fails with this code; 'silence' never answers. */
  fail(name: string, code: string): void {
    const key = name.toLowerCase();
    const said = code === 'silence' ? 'silence' : ({ ok: false, code } as const);
    for (const names of [this.#names, this.#services, this.#naming]) (names as Map<string, unknown>).set(key, said);
  }

  resolve(host: string, answer: (outcome: ResolveOutcome) => void): void {
    const numeric = numericAddress(host);
    if (numeric !== undefined) return answer({ ok: true, addresses: [numeric] });
    this.asked.push(host);
    this.#say(this.#names.get(host.toLowerCase()), answer);
  }

  resolveServices(name: string, answer: (outcome: RecordsOutcome<ServiceRecord>) => void): void {
    this.#say(this.#services.get(name.toLowerCase()), answer);
  }

  resolveNaming(name: string, answer: (outcome: RecordsOutcome<NamingRecord>) => void): void {
    this.#say(this.#naming.get(name.toLowerCase()), answer);
  }

  #say<O>(said: Said<O> | undefined, answer: (outcome: O | typeof UNKNOWN) => void): void {
    if (said === 'silence') return;
    const outcome = said ?? UNKNOWN;
    const { clock } = this.#options;
    if (clock === undefined) answer(outcome);
    else clock.setTimer('sim.dns', this.delayMs, () => answer(outcome));
  }
}

const serviceOf = (text: string): ServiceRecord => {
  const [priority = '', weight = '', port = '', target = ''] = text.split(' ');
  return { priority: Number(priority), weight: Number(weight), port: Number(port), target };
};
