import type { Clock } from '../../kernel/index.js';
import { numericAddress } from '../addresses.js';
import type { NameResolver, ResolveOutcome } from '../ports.js';

export interface SimResolverOptions {
  /** With a clock, names are answered after `delayMs` (default 0) by timer; without one, within the call. */
  readonly clock?: Clock;
  readonly delayMs?: number;
}

/** A resolver that knows what it is told. Numeric addresses answer within the call; unknown names are ENOTFOUND. */
export class SimResolver implements NameResolver {
  readonly #names = new Map<string, ResolveOutcome | 'silence'>();
  readonly #options: SimResolverOptions;
  /** Names asked for, in order. */
  readonly asked: string[] = [];

  constructor(names: Record<string, readonly string[]> = {}, options: SimResolverOptions = {}) {
    for (const [name, addresses] of Object.entries(names)) this.set(name, addresses);
    this.#options = options;
  }

  set(name: string, addresses: readonly string[]): void {
    this.#names.set(name.toLowerCase(), { ok: true, addresses });
  }

  /** From now on the name fails with this code; 'silence' never answers. */
  fail(name: string, code: string): void {
    this.#names.set(name.toLowerCase(), code === 'silence' ? 'silence' : { ok: false, code });
  }

  resolve(host: string, answer: (outcome: ResolveOutcome) => void): void {
    const numeric = numericAddress(host);
    if (numeric !== undefined) return answer({ ok: true, addresses: [numeric] });
    this.asked.push(host);
    const outcome = this.#names.get(host.toLowerCase()) ?? { ok: false, code: 'ENOTFOUND' };
    if (outcome === 'silence') return;
    const { clock, delayMs } = this.#options;
    if (clock === undefined) answer(outcome);
    else clock.setTimer('sim.dns', delayMs ?? 0, () => answer(outcome));
  }
}
