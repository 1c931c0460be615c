import type { Timer } from './clock.js';

/** One pending timer, linked into the list of all timers that were set with the same delay. */
class QueuedTimer implements Timer {
  readonly name: string;
  readonly dueMs: number;
  readonly order: number;
  fire: (() => void) | undefined;
  list: DelayList | undefined;
  previous: QueuedTimer | undefined;
  next: QueuedTimer | undefined;

  constructor(name: string, dueMs: number, order: number, fire: () => void) {
    this.name = name;
    this.dueMs = dueMs;
    this.order = order;
    this.fire = fire;
  }

  get active(): boolean {
    return this.list !== undefined;
  }

  cancel(): void {
    this.list?.remove(this);
    this.fire = undefined;
  }
}

/** Lists that may stand empty: more than SIP has delays, few enough to look through. */
const LISTS_KEPT = 24;

/** Timers of equal delay expire in the order in which they were set, so a list needs no sorting. */
class DelayList {
  head: QueuedTimer | undefined;
  #tail: QueuedTimer | undefined;
  readonly #queue: TimerQueue;
  readonly delayMs: number;

  constructor(queue: TimerQueue, delayMs: number) {
    this.#queue = queue;
    this.delayMs = delayMs;
  }

  append(timer: QueuedTimer): void {
    timer.list = this;
    timer.previous = this.#tail;
    if (this.#tail === undefined) this.head = timer;
    else this.#tail.next = timer;
    this.#tail = timer;
    this.#queue.size++;
  }

  remove(timer: QueuedTimer): void {
    if (timer.previous === undefined) this.head = timer.next;
    else timer.previous.next = timer.next;
    if (timer.next === undefined) this.#tail = timer.previous;
    else timer.next.previous = timer.previous;
    timer.list = timer.previous = timer.next = undefined;
    this.#queue.size--;
    if (this.head === undefined) this.#queue.drop(this);
  }
}

/**
 * Pending timers, ordered by due time. Setting and cancelling cost O(1): SIP uses a handful of different delays
 * (T1, 2*T1 ... 64*T1), so one first-in-first-out list per delay replaces a heap.
 */
export class TimerQueue {
  size = 0;
  #order = 0;
  readonly #lists = new Map<number, DelayList>();

  /** @param delayMs rounded up to whole milliseconds, so that random delays do not make a list each. */
  add(name: string, delayMs: number, nowMs: number, fire: () => void): Timer {
    const delay = Math.max(0, Math.ceil(delayMs));
    let list = this.#lists.get(delay);
    if (list === undefined) this.#lists.set(delay, (list = new DelayList(this, delay)));
    const timer = new QueuedTimer(name, nowMs + delay, this.#order++, fire);
    list.append(timer);
    return timer;
  }

  /** An empty list is kept, as its delay comes again with the next call, unless there are many. */
  drop(list: DelayList): void {
    if (this.#lists.size > LISTS_KEPT) this.#lists.delete(list.delayMs);
  }

  /** Due time of the earliest timer, or undefined when there is none. */
  nextDueMs(): number | undefined {
    return this.#earliest()?.dueMs;
  }

  /** Fires the earliest timer if it is due by `nowMs`. Returns false when none is. */
  fireNext(nowMs: number): boolean {
    const timer = this.#earliest();
    if (timer === undefined || timer.dueMs > nowMs) return false;
    const fire = timer.fire;
    timer.cancel();
    fire?.();
    return true;
  }

  /** How many timers live, by name. */
  dump(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const list of this.#lists.values()) {
      for (let timer = list.head; timer !== undefined; timer = timer.next) {
        counts[timer.name] = (counts[timer.name] ?? 0) + 1;
      }
    }
    return counts;
  }

  #earliest(): QueuedTimer | undefined {
    let best: QueuedTimer | undefined;
    for (const list of this.#lists.values()) {
      const head = list.head;
      if (head === undefined) continue;
      if (best === undefined || head.dueMs < best.dueMs || (head.dueMs === best.dueMs && head.order < best.order)) {
        best = head;
      }
    }
    return best;
  }
}
