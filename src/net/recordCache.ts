import type { Clock, Timer } from '../kernel/index.js';

/** Failure codes are those of node:dns, such as ENOTFOUND and ETIMEOUT. */
export type Lookup<V> = { readonly ok: true; readonly value: V } | { readonly ok: false; readonly code: string };

/** One question under way. */
export interface Question<V> {
  /** Something usable before the end: given to everybody who waits. At most once. */
  onEarly(value: V): void;
  /** Exactly once, unless cancelled. */
  onDone(found: { readonly value: V; readonly ttlMs: number } | { readonly code: string }): void;
}

/** Asks, and returns how to give up. */
export type Ask<V> = (name: string, question: Question<V>) => () => void;

const MIN_TTL_MS = 1_000;
const MAX_TTL_MS = 3_600_000;
const NEGATIVE_TTL_MS = 5_000;
/** RFC 8767: an answer this long out of date still beats none, also one that there are no such records. */
const STALE_MS = 86_400_000;
/** An answer out of date is given when DNS takes longer than this to renew it; the question goes on. */
const STALE_AFTER_MS = 40;
/** How long an out-of-date answer is given at once after DNS failed. */
const STALE_RETRY_MS = 5_000;
/** A failure is the likely answer for this long: who asks meanwhile does not wait for the next one. */
const FAILURE_MS = 60_000;
const MAX_NAMES = 10_000;

interface Known<V> {
  readonly outcome: Lookup<V>;
  freshUntilMs: number;
  readonly staleUntilMs: number;
}

type Answer<V> = (outcome: Lookup<V>) => void;

/** One lookup under way, and everybody who waits for it. */
interface Pending<V> {
  readonly waiting: Answer<V>[];
  /** Set once there is something good enough to give out before the lookup ends. */
  early: Lookup<V> | undefined;
  stale: Timer | undefined;
  cancel: () => void;
}

/** Codes that mean "the name has no such record", as opposed to "nobody could tell". */
export const isAbsence = (code: string): boolean => code === 'ENOTFOUND' || code === 'ENODATA';

/** DNS itself has said so. */
const isAnswer = (outcome: Lookup<unknown>): boolean => outcome.ok || isAbsence(outcome.code);

/**
 * Records of one kind by name. Answers are kept for their TTL (1 s to 1 h), failures for 5 s; while DNS does not work,
 * answers out of date serve for a day more. Questions for one name are asked once at a time, and no name waits for
 * another.
 */
export class RecordCache<V> {
  readonly #clock: Clock;
  readonly #ask: Ask<V>;
  readonly #known = new Map<string, Known<V>>();
  readonly #pending = new Map<string, Pending<V>>();
  #closed = false;

  constructor(clock: Clock, ask: Ask<V>) {
    this.#clock = clock;
    this.#ask = ask;
  }

  get names(): number {
    return this.#known.size;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** @param name lower case, without a final dot */
  look(name: string, answer: Answer<V>): void {
    if (this.#closed) return answer({ ok: false, code: 'ECANCELLED' });
    const known = this.#known.get(name);
    if (known !== undefined && known.freshUntilMs > this.#clock.nowMs()) return answer(known.outcome);
    const pending = this.#pending.get(name);
    if (pending === undefined) this.#begin(name, answer, known);
    else if (pending.early !== undefined) answer(pending.early);
    else pending.waiting.push(answer);
  }

  flush(): void {
    this.#known.clear();
  }

  /** Ends lookups under way with ECANCELLED. */
  close(): void {
    this.#closed = true;
    for (const [name, pending] of [...this.#pending]) this.#end(name, pending, { ok: false, code: 'ECANCELLED' });
  }

  #begin(name: string, answer: Answer<V>, known: Known<V> | undefined): void {
    const pending: Pending<V> = { waiting: [answer], early: undefined, stale: undefined, cancel: () => {} };
    this.#pending.set(name, pending);
    if (known !== undefined && known.staleUntilMs > this.#clock.nowMs()) {
      const give = (): void => this.#early(pending, known.outcome);
      pending.stale = this.#clock.setTimer('net.dns.stale', STALE_AFTER_MS, give);
    }
    const cancel = this.#ask(name, {
      onEarly: (value) => this.#early(pending, { ok: true, value }),
      onDone: (found) => {
        if (this.#pending.get(name) === pending) this.#settle(name, pending, found);
      },
    });
    pending.cancel = cancel;
  }

  #settle(name: string, pending: Pending<V>, found: Parameters<Question<V>['onDone']>[0]): void {
    const nowMs = this.#clock.nowMs();
    const known = this.#known.get(name);
    const stale = known !== undefined && isAnswer(known.outcome) && known.staleUntilMs > nowMs ? known : undefined;
    let outcome: Lookup<V>;
    if ('value' in found) {
      outcome = { ok: true, value: found.value };
      const freshUntilMs = nowMs + Math.min(MAX_TTL_MS, Math.max(MIN_TTL_MS, found.ttlMs));
      this.#remember(name, { outcome, freshUntilMs, staleUntilMs: freshUntilMs + STALE_MS });
    } else if (!isAbsence(found.code) && stale !== undefined) {
      outcome = stale.outcome;
      stale.freshUntilMs = Math.min(nowMs + STALE_RETRY_MS, stale.staleUntilMs);
    } else {
      outcome = { ok: false, code: found.code };
      const freshUntilMs = nowMs + NEGATIVE_TTL_MS;
      const staleUntilMs = freshUntilMs + (isAbsence(found.code) ? STALE_MS : FAILURE_MS);
      this.#remember(name, { outcome, freshUntilMs, staleUntilMs });
    }
    this.#end(name, pending, outcome);
  }

  #early(pending: Pending<V>, outcome: Lookup<V>): void {
    pending.early ??= outcome;
    for (const answer of pending.waiting.splice(0)) answer(outcome);
  }

  #end(name: string, pending: Pending<V>, outcome: Lookup<V>): void {
    pending.stale?.cancel();
    pending.cancel();
    this.#pending.delete(name);
    for (const answer of pending.waiting.splice(0)) answer(outcome);
  }

  #remember(name: string, known: Known<V>): void {
    this.#known.delete(name);
    this.#known.set(name, known);
    if (this.#known.size <= MAX_NAMES) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
  }
}
