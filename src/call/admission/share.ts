/**
 * This node's part of one limit that all nodes share. Pure; amounts are calls.
 *
 * Slots (calls at a time): the node starts calls as long as fewer are up here than it holds. Tokens (calls per second):
 * each start uses one up. Both are handed out by whoever keeps the whole (`exchange.ts`), which never hands out more
 * than the limit; so whatever a node does with its part, the sum stays within.
 */
import type { LimitClaim } from '../routing/decision.js';
import type { Ask, Grant } from './exchange.js';

/** What a node knows of the others. */
export interface Company {
  /** Live nodes, this one included, as last heard. */
  readonly nodes: number;
  /** Since when nobody hands out parts, on the clock of the calls; undefined while somebody does. */
  readonly aloneSinceMs: number | undefined;
  /** That has lasted for so long that calls matter more than the sum over the nodes: an equal part may be used, held or not. */
  readonly cutOff?: boolean | undefined;
}

/** Idle slots worth keeping ahead of need, at most. */
const MOST_RESERVE = 64;
/** After an ask that was not met in full; each time twice as long, until calls come. */
const ASK_AGAIN_MS = 25;
const ASK_AGAIN_AT_MOST_MS = 6400;
/** After a call was refused for want of a part. */
const URGENT_AGAIN_MS = 5;
/** How long another node's wish is remembered: what ends meanwhile goes there. */
const WISH_MS = 1000;

export class Share {
  readonly key: string;
  limit: number | undefined;
  rate: number | undefined;
  /** Calls up here. */
  up = 0;
  held = 0;
  tokens = 0;
  /** Something was granted once: before, an equal part is assumed. */
  known = false;
  urgent = false;
  /** Less was granted than asked for. */
  needy = false;
  #consumed = 0;
  /** `#consumed` as the keeper of the whole has it. */
  #acknowledged = 0;
  #atMs: number;
  #askAfterMs = -Infinity;
  #misses = 0;
  #grantedMs = -Infinity;
  #urgentAfterMs = -Infinity;
  #wishedUntilMs = -Infinity;
  /** Gave back: the next ask must not take it again. */
  #giving = false;
  #tokensGiven = 0;
  #tokensGivenAtAsk = 0;

  constructor(claim: LimitClaim, nowMs: number, { nodes }: Company) {
    this.key = claim.key;
    this.#atMs = nowMs;
    this.limit = claim.concurrentCalls;
    this.rate = claim.callsPerSecond;
    this.tokens = this.rate === undefined ? 0 : partOf(capacityOf(this.rate), nodes);
  }

  /** @returns whether the limits differ from before */
  adopt({ concurrentCalls, callsPerSecond }: LimitClaim): boolean {
    if (concurrentCalls === this.limit && callsPerSecond === this.rate) return false;
    this.limit = concurrentCalls;
    this.rate = callsPerSecond;
    this.#askAfterMs = -Infinity;
    return true;
  }

  /** Calls that may be up here at a time. Before anything was granted: an equal part, which nobody else is given. */
  quota(limit: number, { nodes, cutOff }: Company): number {
    const part = partOf(limit, nodes);
    const own = this.known ? this.held : part;
    return Math.min(limit, cutOff === true ? Math.max(own, part) : own);
  }

  /** Tokens now. While nobody hands out any, an equal part of the rate comes by itself. */
  tokensAt(nowMs: number, { nodes, aloneSinceMs }: Company): number {
    const { rate = 0, known } = this;
    const fromMs = Math.max(this.#atMs, known ? (aloneSinceMs ?? nowMs) : -Infinity);
    this.#atMs = Math.max(this.#atMs, nowMs);
    const most = Math.max(this.tokens, partOf(capacityOf(rate), nodes));
    const elapsedMs = Math.max(0, nowMs - fromMs);
    this.tokens = Math.min(most, this.tokens + (elapsedMs * rate) / nodes / 1000);
    return this.tokens;
  }

  /** A call starts here: what it needs is worth asking for often. */
  start(): void {
    this.up++;
    this.#misses = 0;
    if (this.needy) this.#askAfterMs = Math.min(this.#askAfterMs, this.#grantedMs + ASK_AGAIN_MS);
  }

  useToken(): void {
    this.tokens = Math.max(0, this.tokens - 1);
    this.#consumed++;
  }

  returnToken(): void {
    this.tokens++;
    this.#consumed--;
  }

  /** Whether more should be asked for now, ahead of need. */
  isShort(nowMs: number, { nodes }: Company): boolean {
    if (nowMs < this.#askAfterMs) return false;
    const { limit, rate } = this;
    if (limit !== undefined && this.held < limit && this.held - this.up < reserveOf(limit, nodes)) return true;
    return rate !== undefined && this.tokens * 2 < partOf(capacityOf(rate), nodes);
  }

  /** Whether enough time has passed since an ask that was not met in full. */
  mayAsk(nowMs: number): boolean {
    return nowMs >= this.#askAfterMs;
  }

  /** A call was refused here. @returns whether to ask at once */
  refuse(nowMs: number): boolean {
    if (nowMs < this.#urgentAfterMs) return false;
    this.#urgentAfterMs = nowMs + URGENT_AGAIN_MS;
    this.#misses = 0;
    this.urgent = true;
    return true;
  }

  ask({ nodes }: Company): Ask {
    const { key, limit, rate, up, held, urgent } = this;
    const giving = this.#giving;
    this.#giving = false;
    this.urgent = false;
    this.#tokensGivenAtAsk = this.#tokensGiven;
    const wanted = Math.max(held, partOf(limit ?? 0, nodes), up + reserveOf(limit ?? 0, nodes));
    const tokensHeld = this.known ? Math.floor(this.tokens) : 0;
    const tokensWanted = Math.max(tokensHeld, partOf(capacityOf(rate ?? 0), nodes));
    return {
      key,
      limit: limit ?? -1,
      up,
      held,
      wanted: giving ? held : Math.min(limit ?? 0, wanted),
      rate: rate ?? -1,
      consumed: this.#consumed,
      acknowledged: this.#acknowledged,
      tokensHeld,
      tokensWanted: giving ? tokensHeld : rate === undefined ? 0 : tokensWanted,
      urgent: urgent && !giving,
    };
  }

  /** Takes over what was granted on `ask`; calls may have come and gone since. */
  grant(ask: Ask, grant: Grant, nowMs: number): void {
    // What was given back after the ask left is no longer ours, whatever it says.
    const givenSince = this.known ? Math.max(0, ask.held - this.held) : 0;
    this.held = Math.max(0, grant.held - givenSince);
    const tokensGone = this.#consumed - ask.consumed + this.#tokensGiven - this.#tokensGivenAtAsk;
    if (ask.rate >= 0) this.tokens = Math.max(0, grant.tokens - tokensGone);
    this.#acknowledged = ask.consumed;
    this.#atMs = nowMs;
    this.#grantedMs = nowMs;
    this.known = true;
    this.needy = grant.held < ask.wanted || grant.tokens < ask.tokensWanted;
    this.#misses = this.needy ? this.#misses + 1 : 0;
    const pauseMs = Math.min(ASK_AGAIN_AT_MOST_MS, ASK_AGAIN_MS * 2 ** Math.min(this.#misses - 1, 10));
    this.#askAfterMs = this.needy ? nowMs + pauseMs : -Infinity;
  }

  /** What another node could use is there for the taking. */
  askAtOnce(): void {
    this.#misses = 0;
    this.#askAfterMs = -Infinity;
  }

  /**
   * Another node wants of what is idle here. Half goes; the last piece only if calls are being refused there.
   * @returns whether anything is given back, by the next ask
   */
  give(wish: { readonly slots: number; readonly tokens: number; readonly urgent: boolean }, nowMs: number): boolean {
    if (!this.known) return false;
    if (wish.urgent) this.#wishedUntilMs = nowMs + WISH_MS;
    const half = wish.urgent ? Math.ceil : Math.floor;
    const slots = Math.min(wish.slots, half(Math.max(0, this.held - this.up) / 2));
    const tokens = Math.min(wish.tokens, half(Math.floor(this.tokens) / 2));
    if (slots <= 0 && tokens <= 0) return false;
    this.held -= Math.max(0, slots);
    this.tokens -= Math.max(0, tokens);
    this.#tokensGiven += Math.max(0, tokens);
    this.#giving = true;
    this.#askAfterMs = nowMs + ASK_AGAIN_MS;
    return true;
  }

  /**
   * A call ended here.
   * @returns whether its slot goes to a node that wished for one just now: only of what is more than an equal part, so
   *   that nodes that are all short end up with equal parts
   */
  release(nowMs: number, { nodes }: Company): boolean {
    this.up--;
    if (nowMs >= this.#wishedUntilMs || this.held <= partOf(this.limit ?? 0, nodes)) return false;
    return this.give({ slots: 1, tokens: 0, urgent: true }, nowMs);
  }
}

/** Room for one second's calls, and for one call where the rate is below one. */
export function capacityOf(callsPerSecond: number): number {
  return callsPerSecond > 0 ? Math.max(1, callsPerSecond) : 0;
}

/** An equal part, and never nothing of something: a limit below the number of nodes is one node's at a time. */
function partOf(whole: number, nodes: number): number {
  return whole <= 0 ? 0 : Math.max(1, Math.floor(whole / nodes));
}

function reserveOf(limit: number, nodes: number): number {
  return limit <= 0 ? 0 : Math.min(MOST_RESERVE, Math.max(1, Math.ceil(limit / (4 * nodes))));
}
