/** Keeps the parts of shared limits where the calls are: asks ahead of need, gives back, and survives being cut off. */
import { type Clock, type Random, TandemError, type Timer } from '../../kernel/index.js';
import type { LimitClaim } from '../routing/decision.js';
import type { LimitExchange } from './exchange.js';
import type { SharedLimiter } from './sharedLimiter.js';

/** Renewal of the node's lease. */
const BEAT_MS = 1000;
const TICK_MS = 25;
/** No answer for this long: the node goes by its own part until there is one. */
const SLOW_MS = 100;
const FIRST_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 2000;
/** Limits in one exchange: a script of some milliseconds. */
const MOST_ASKS = 100;
/** How long a node that joins waits for what others give back. */
const MOST_JOIN_TICKS = 8;
/** Beats in which every limit is accounted for once, whether it is used or not. */
const ROUND_BEATS = 600;

export type LeaseEvent = { readonly type: 'alone'; readonly reason: string } | { readonly type: 'together' };

export interface LimitLeasesDeps {
  readonly limiter: SharedLimiter;
  readonly exchange: LimitExchange;
  readonly clock: Clock;
  readonly random: Random;
  /** Once for each change. */
  readonly onEvent: (event: LeaseEvent) => void;
}

/** As long as a lease: by then the others count this node as dead. */
const CUT_OFF_MS = 10_000;

export class LimitLeases {
  readonly #deps: LimitLeasesDeps;
  readonly #rounds: Iterator<void>;
  #beat: Timer | undefined;
  #tick: Timer | undefined;
  #retry: Timer | undefined;
  #running: Promise<void> | undefined;
  #beatDue = false;
  #failures = 0;
  #joined = false;
  #rejoining = false;
  #closed = false;
  #reason: string | undefined;
  #settled: (() => void)[] = [];

  constructor(deps: LimitLeasesDeps) {
    this.#deps = deps;
    this.#rounds = deps.limiter.refresh();
    deps.limiter.onDirty(() => this.#pump());
    deps.exchange.onNews((news) => deps.limiter.hear(news, deps.clock.nowMs()));
  }

  /** The limits there are, whenever they change. */
  prepare(claims: Iterable<LimitClaim>): void {
    this.#deps.limiter.prepare(claims, this.#deps.clock.nowMs());
  }

  /**
   * Joins the others.
   * @returns when every limit's part is here, as far as others let go of theirs at once, or after `limitMs`
   */
  async start(limitMs: number): Promise<void> {
    const { clock, limiter } = this.#deps;
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => (timer = clock.setTimer('limits.start', limitMs, resolve)));
    const settled = new Promise<void>((resolve) => this.#settled.push(resolve));
    this.#armBeat();
    this.#armTick();
    this.#beatDue = true;
    this.#pump();
    await Promise.race([settled, late]);
    timer?.cancel();
    for (let turn = 0; turn < MOST_JOIN_TICKS && limiter.lacking > 0; turn++) {
      await new Promise<void>((resolve) => clock.setTimer('limits.join', TICK_MS, resolve));
    }
  }

  /** Gives everything back. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of [this.#beat, this.#tick, this.#retry]) timer?.cancel();
    await this.#running;
    await this.#deps.exchange.leave();
  }

  #armBeat(): void {
    this.#beat = this.#deps.clock.setTimer('limits.beat', BEAT_MS, () => {
      if (this.#closed) return;
      this.#beatDue = true;
      const due = Math.ceil(this.#deps.limiter.size / ROUND_BEATS);
      for (let i = 0; i < due; i++) this.#rounds.next();
      this.#armBeat();
      this.#pump();
    });
  }

  #armTick(): void {
    this.#tick = this.#deps.clock.setTimer('limits.tick', TICK_MS, () => {
      if (this.#closed) return;
      this.#deps.limiter.tick(this.#deps.clock.nowMs());
      this.#armTick();
    });
  }

  /** One exchange at a time: figures that cross each other would lie. */
  #pump(): void {
    if (this.#running !== undefined || this.#closed || this.#retry?.active === true) return;
    if (!this.#beatDue && this.#deps.limiter.pending === 0) return;
    this.#running = this.#exchangeAll().finally(() => {
      this.#running = undefined;
      this.#pump();
    });
  }

  async #exchangeAll(): Promise<void> {
    // What the same turn of the event loop adds goes along.
    await Promise.resolve();
    const { limiter } = this.#deps;
    try {
      while (!this.#closed && (this.#beatDue || limiter.pending > 0)) await this.#exchangeOnce();
      for (const resolve of this.#settled.splice(0)) resolve();
    } catch (error) {
      this.#onFailure(error instanceof TandemError ? error.message : String(error));
    }
  }

  async #exchangeOnce(): Promise<void> {
    const { limiter, exchange, clock } = this.#deps;
    this.#beatDue = false;
    const asked = limiter.asks(MOST_ASKS);
    // For each exchange: one after the other, all of them quick, may take any time.
    const slow = clock.setTimer('limits.slow', SLOW_MS, () => this.#alone('no answer in time'));
    const answer = await exchange.exchange(asked.asks, this.#rejoining).finally(() => slow.cancel());
    this.#failures = 0;
    this.#joined = true;
    this.#rejoining = false;
    const nowMs = clock.nowMs();
    limiter.settle(asked, answer, nowMs);
    if (answer.recovering) {
      this.#alone('what nodes hold is being put together');
      // Who has not come back yet still counts.
      limiter.meet({ ...limiter.company, nodes: Math.max(answer.nodes, limiter.company.nodes) });
      return;
    }
    limiter.meet({ nodes: answer.nodes, aloneSinceMs: undefined });
    if (this.#reason !== undefined) this.#deps.onEvent({ type: 'together' });
    this.#reason = undefined;
  }

  #alone(reason: string): void {
    const { limiter, clock } = this.#deps;
    const { nodes, aloneSinceMs } = limiter.company;
    const nowMs = clock.nowMs();
    const sinceMs = aloneSinceMs ?? nowMs;
    limiter.meet({ nodes, aloneSinceMs: sinceMs, cutOff: nowMs - sinceMs >= CUT_OFF_MS });
    if (this.#reason === undefined) this.#deps.onEvent({ type: 'alone', reason });
    this.#reason = reason;
  }

  #onFailure(reason: string): void {
    if (this.#closed) return;
    const { limiter, clock, random } = this.#deps;
    this.#alone(reason);
    this.#rejoining = this.#joined;
    const ceilingMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(this.#failures++, 10));
    // Half fixed, half random: nodes that lost the same Redis do not come back all at once.
    const delayMs = ceilingMs / 2 + (random.float() * ceilingMs) / 2;
    this.#retry = clock.setTimer('limits.backOff', delayMs, () => {
      this.#beatDue = true;
      limiter.markAll();
      this.#pump();
    });
  }
}
