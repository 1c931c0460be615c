import { NOT_LISTED, type Result, Roster, err, ok } from '../../kernel/index.js';
import type { LimitClaim, LimitsView } from '../routing/decision.js';
import type { Ask, ExchangeAnswer, ExchangeNews } from './exchange.js';
import type { HeldLimits, LimitRefusal, Limiter } from './limiter.js';
import { type Company, Share } from './share.js';

/** Rounding of token sums must not cost a call its turn. */
const ALMOST_ONE = 1 - 1e-9;

/**
 * Limits that several nodes share. Decides at once, by this node's part alone (see `Share`); `LimitLeases` keeps the
 * parts where the calls are. Keys without a limit are only counted.
 */
export class SharedLimiter implements Limiter, LimitsView {
  readonly #shares = new Map<string, Share>();
  readonly #concurrent = new Map<string, number>();
  readonly #held = new Roster<HeldLimits>();
  readonly #dirty = new Set<Share>();
  readonly #needy = new Set<Share>();
  #company: Company = { nodes: 1, aloneSinceMs: 0 };
  #onDirty: () => void = () => {};
  #nowMs = 0;

  get company(): Company {
    return this.#company;
  }

  /** Keys whose account is due. */
  get pending(): number {
    return this.#dirty.size;
  }

  /** Keys of which less is here than was asked for. */
  get lacking(): number {
    return this.#needy.size;
  }

  /** Told, within the turn of a call, when there is something to ask for. */
  onDirty(listener: () => void): void {
    this.#onDirty = listener;
  }

  at(nowMs: number): LimitsView {
    this.#nowMs = nowMs;
    return this;
  }

  concurrent(key: string, limit = Infinity): number {
    const share = this.#shares.get(key);
    if (share === undefined || limit === Infinity) return this.#concurrent.get(key) ?? 0;
    const counted = share.up + limit - share.quota(limit, this.#company);
    if (counted >= limit) this.#refused(share, this.#nowMs);
    return counted;
  }

  rateAllows(key: string, callsPerSecond: number, nowMs: number): boolean {
    const share = this.#shares.get(key);
    if (share?.rate === undefined) return callsPerSecond > 0;
    const allowed = share.tokensAt(nowMs, this.#company) >= ALMOST_ONE;
    if (!allowed) this.#refused(share, nowMs);
    return allowed;
  }

  claim(claims: readonly LimitClaim[], nowMs: number): Result<HeldLimits, LimitRefusal> {
    for (let i = 0; i < claims.length; i++) {
      const refusal = this.#take(claims[i] as LimitClaim, nowMs);
      if (refusal === undefined) continue;
      for (let taken = 0; taken < i; taken++) this.#giveBack(claims[taken] as LimitClaim);
      return err(refusal);
    }
    const held: HeldLimits = { claims, place: NOT_LISTED };
    this.#held.add(held);
    return ok(held);
  }

  release(held: HeldLimits, nowMs = this.#nowMs): void {
    if (!this.#held.delete(held)) return;
    for (const { key } of held.claims) {
      this.#count(key, -1);
      const share = this.#shares.get(key);
      if (share?.release(nowMs, this.#company) === true) this.#mark(share);
    }
  }

  /** All limits there are: parts are asked for before the first call needs them. Limits that are gone are forgotten. */
  prepare(claims: Iterable<LimitClaim>, nowMs: number): void {
    const gone = new Set(this.#shares.keys());
    for (const claim of claims) {
      this.#shareOf(claim, nowMs);
      gone.delete(claim.key);
    }
    for (const key of gone) if (this.#shares.get(key)?.up === 0) this.#forget(key);
  }

  /** The accounts that are due, at most `count`. What changes from now on is due again. */
  asks(count: number): { readonly asks: readonly Ask[]; readonly shares: readonly Share[] } {
    const shares: Share[] = [];
    for (const share of this.#dirty) {
      if (shares.length >= count) break;
      this.#dirty.delete(share);
      shares.push(share);
    }
    return { asks: shares.map((share) => share.ask(this.#company)), shares };
  }

  /** Settles what `asks` returned. */
  settle(
    asked: { readonly asks: readonly Ask[]; readonly shares: readonly Share[] },
    answer: ExchangeAnswer,
    nowMs: number,
  ): void {
    asked.shares.forEach((share, i) => {
      const [ask, grant] = [asked.asks[i], answer.grants[i]];
      if (ask === undefined || grant === undefined) return;
      share.grant(ask, grant, nowMs);
      if (share.needy) this.#needy.add(share);
      else this.#needy.delete(share);
    });
  }

  /** Nobody hands out parts from now on, or somebody does again. */
  meet(company: Company): void {
    this.#company = company;
  }

  /** Everything is to be accounted for anew. */
  markAll(): void {
    for (const share of this.#shares.values()) this.#dirty.add(share);
  }

  /** Accounts for some that were not asked for in a while, so that nobody takes them for forgotten. */
  *refresh(): Generator<void, never> {
    for (;;) {
      for (const share of [...this.#shares.values()]) {
        if (this.#shares.get(share.key) === share) this.#mark(share);
        yield;
      }
      yield;
    }
  }

  get size(): number {
    return this.#shares.size;
  }

  /** Time has passed: those who got less than they wanted ask again. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const share of this.#needy) if (share.mayAsk(nowMs)) this.#mark(share);
  }

  hear(news: ExchangeNews, nowMs: number): void {
    const share = this.#shares.get(news.key);
    if (share === undefined) return;
    if (news.type === 'wish') {
      if (share.give(news, nowMs)) this.#mark(share);
    } else if (this.#needy.has(share)) {
      share.askAtOnce();
      this.#mark(share);
    }
  }

  dump(): {
    readonly calls: number;
    readonly concurrent: { readonly [key: string]: number };
    readonly rates: number;
    readonly nodes: number;
    readonly alone: boolean;
    readonly held: { readonly [key: string]: number };
  } {
    const held: Record<string, number> = {};
    for (const { key, limit, held: slots } of this.#shares.values()) if (limit !== undefined) held[key] = slots;
    return {
      calls: this.#held.size,
      concurrent: Object.fromEntries(this.#concurrent),
      rates: this.#shares.size,
      nodes: this.#company.nodes,
      alone: this.#company.aloneSinceMs !== undefined,
      held,
    };
  }

  #take(claim: LimitClaim, nowMs: number): LimitRefusal | undefined {
    const { key, callsPerSecond, concurrentCalls } = claim;
    const share = this.#shareOf(claim, nowMs);
    if (share === undefined) {
      this.#count(key, 1);
      return undefined;
    }
    if (concurrentCalls !== undefined && share.up >= share.quota(concurrentCalls, this.#company)) {
      this.#refused(share, nowMs);
      return { key, limit: 'concurrent_calls', retryAfterMs: 0 };
    }
    if (callsPerSecond !== undefined) {
      if (share.tokensAt(nowMs, this.#company) < ALMOST_ONE) {
        this.#refused(share, nowMs);
        return { key, limit: 'calls_per_second', retryAfterMs: 1000 };
      }
      share.useToken();
    }
    share.start();
    this.#count(key, 1);
    if (share.isShort(nowMs, this.#company)) this.#mark(share);
    return undefined;
  }

  #giveBack({ key, callsPerSecond }: LimitClaim): void {
    this.#count(key, -1);
    const share = this.#shares.get(key);
    if (share === undefined) return;
    share.up--;
    if (callsPerSecond !== undefined) share.returnToken();
  }

  #count(key: string, by: number): void {
    const up = (this.#concurrent.get(key) ?? 0) + by;
    if (up > 0) this.#concurrent.set(key, up);
    else this.#concurrent.delete(key);
  }

  /** Undefined for what has no limit, unless it had one. */
  #shareOf(claim: LimitClaim, nowMs: number): Share | undefined {
    let share = this.#shares.get(claim.key);
    if (share === undefined) {
      if (claim.concurrentCalls === undefined && claim.callsPerSecond === undefined) return undefined;
      share = new Share(claim, nowMs, this.#company);
      share.up = this.#concurrent.get(claim.key) ?? 0;
      this.#shares.set(claim.key, share);
      this.#mark(share);
    } else if (share.adopt(claim)) this.#mark(share);
    return share;
  }

  #forget(key: string): void {
    const share = this.#shares.get(key);
    if (share === undefined) return;
    this.#shares.delete(key);
    this.#dirty.delete(share);
    this.#needy.delete(share);
  }

  #refused(share: Share, nowMs: number): void {
    if (share.refuse(nowMs)) this.#mark(share);
  }

  #mark(share: Share): void {
    this.#dirty.add(share);
    this.#onDirty();
  }
}
