/** What trunks and accounts have spent today (UTC), settled calls and those that are up. */
import { type Clock, SlotMap } from '../../kernel/index.js';
import { type Charge, chargeOf } from '../record/rating.js';
import type { Direction, Priced, SpendView } from '../routing/decision.js';

const DAY_MS = 86_400_000;
/** Calls that are up are charged anew, for those who ask, at most this often. */
const SWEEP_MS = 1000;

export interface SpendCall {
  readonly callId: string;
  /** Of a dial of the call's flow; undefined for the call itself. */
  readonly dialId?: string | undefined;
  readonly trunkSid: string | undefined;
  readonly accountSid: string | undefined;
  readonly direction: Direction;
  readonly priced: Priced;
}

interface Running {
  readonly call: SpendCall;
  readonly slots: readonly Slot[];
  answeredMs: number | undefined;
  micros: number;
}

/** One key and currency. Sums are integers: exact up to 9 x 10^9 units of a currency a day. */
interface Slot {
  readonly name: string;
  settled: number;
  /** Of the calls that are up. */
  up: number;
  /** Spent on other nodes, as last heard. */
  others: number;
  readonly running: Set<Running>;
  sweptMs: number;
  askedMs: number;
}

export interface SpendAmount {
  /** `trunk:<sid>` or `account:<sid>`. */
  readonly key: string;
  readonly currency: string;
  readonly micros: number;
}

export class SpendLedger implements SpendView {
  readonly #clock: Clock;
  readonly #slots = new Map<string, Slot>();
  readonly #running = new SlotMap<Running>();
  /** Of a call's dials that count: their names among those that run. */
  readonly #dials = new Map<string, Set<string>>();
  readonly #changed = new Set<Slot>();
  #day: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#day = Math.floor(clock.wallMs() / DAY_MS);
  }

  /** Days since 1970-01-01 UTC. */
  get day(): number {
    this.#turnDay();
    return this.#day;
  }

  committedMicros(key: string, currency: string): number {
    this.#turnDay();
    const slot = this.#slots.get(nameOf(key, currency));
    if (slot === undefined) {
      // Asked for: others may have spent.
      this.#slot(key, currency).askedMs = this.#clock.nowMs();
      return 0;
    }
    const nowMs = this.#clock.nowMs();
    slot.askedMs = nowMs;
    if (nowMs - slot.sweptMs >= SWEEP_MS) this.#sweep(slot, nowMs);
    return slot.settled + slot.up + slot.others;
  }

  /** A call is let in: its first pulse counts, so that many that are set up at once do not slip through. */
  begin(call: SpendCall): void {
    const id = runningId(call);
    if (this.#running.has(id)) return;
    const charge = chargeOf(call.priced, call.direction, 0);
    if (charge === null) return;
    const running: Running = { call, slots: this.#slotsOf(call, charge.currency), answeredMs: undefined, micros: 0 };
    this.#running.set(id, running);
    if (call.dialId !== undefined) this.#dialsOf(call.callId).add(id);
    for (const slot of running.slots) slot.running.add(running);
    this.#reckon(running, charge.micros);
  }

  /** @param call as it turned out: the destination that answered may cost something else */
  answer(call: SpendCall): void {
    const id = runningId(call);
    this.#forget(id);
    this.begin(call);
    const running = this.#running.get(id);
    if (running !== undefined) running.answeredMs = this.#clock.nowMs();
  }

  /**
   * A dial costs nothing more. What it did cost is settled with its call, and on that day: a ledger that reads the records
   * anew comes to the same.
   * @param charge null where nobody answered, or nothing prices it
   */
  endDial(dial: Pick<SpendCall, 'callId' | 'dialId'>, charge: Charge | null): void {
    const running = this.#running.get(runningId(dial));
    if (running === undefined) return;
    running.answeredMs = undefined;
    if (charge === null) this.#forget(runningId(dial));
    else this.#reckon(running, charge.micros);
  }

  /** @param charges of its record: the call's own, and those of its flow's dials */
  end(call: Omit<SpendCall, 'priced' | 'direction' | 'dialId'>, ...charges: readonly (Charge | null)[]): void {
    this.#forget(call.callId);
    for (const id of this.#dials.get(call.callId) ?? []) this.#forget(id);
    this.#dials.delete(call.callId);
    for (const charge of charges) if (charge !== null) this.settle(call, charge);
  }

  /** Adds what a call cost today. */
  settle(call: Pick<SpendCall, 'trunkSid' | 'accountSid'>, { currency, micros }: Charge): void {
    this.#turnDay();
    for (const slot of this.#slotsOf(call, currency)) {
      slot.settled += micros;
      this.#changed.add(slot);
    }
  }

  /** Own sums that have changed since this was last asked, calls that are up included. */
  takeChanged(): SpendAmount[] {
    const nowMs = this.#clock.nowMs();
    const amounts: SpendAmount[] = [];
    for (const slot of this.#changed) {
      this.#sweep(slot, nowMs);
      amounts.push({ ...partsOf(slot.name), micros: slot.settled + slot.up });
    }
    this.#changed.clear();
    // What is up goes on to cost.
    for (const { slots } of this.#running.values()) for (const slot of slots) this.#changed.add(slot);
    return amounts;
  }

  /** All own sums are news again: whoever keeps those of all nodes has lost them. */
  changeAll(): void {
    for (const slot of this.#slots.values()) if (slot.settled + slot.up > 0) this.#changed.add(slot);
  }

  /** What decisions have asked for within `withinMs`. */
  *asked(withinMs: number): Generator<Omit<SpendAmount, 'micros'>> {
    const fromMs = this.#clock.nowMs() - withinMs;
    for (const slot of this.#slots.values()) if (slot.askedMs >= fromMs) yield partsOf(slot.name);
  }

  /** What other nodes have spent today. */
  hear(amounts: readonly SpendAmount[]): void {
    for (const { key, currency, micros } of amounts) this.#slot(key, currency).others = micros;
  }

  dump(): { readonly day: number; readonly running: number; readonly sums: number } {
    return { day: this.#day, running: this.#running.size, sums: this.#slots.size };
  }

  #dialsOf(callId: string): Set<string> {
    const known = this.#dials.get(callId) ?? new Set();
    this.#dials.set(callId, known);
    return known;
  }

  #forget(id: string): void {
    const running = this.#running.get(id);
    if (running === undefined) return;
    this.#reckon(running, 0);
    this.#running.delete(id);
    for (const slot of running.slots) slot.running.delete(running);
  }

  #reckon(running: Running, micros: number): void {
    for (const slot of running.slots) {
      slot.up += micros - running.micros;
      if (micros !== running.micros) this.#changed.add(slot);
    }
    running.micros = micros;
  }

  #sweep(slot: Slot, nowMs: number): void {
    slot.sweptMs = nowMs;
    for (const running of slot.running) {
      if (running.answeredMs === undefined) continue;
      const charge = chargeOf(running.call.priced, running.call.direction, nowMs - running.answeredMs);
      this.#reckon(running, charge?.micros ?? 0);
    }
  }

  #slotsOf({ trunkSid, accountSid }: Pick<SpendCall, 'trunkSid' | 'accountSid'>, currency: string): Slot[] {
    const slots: Slot[] = [];
    if (trunkSid !== undefined) slots.push(this.#slot(`trunk:${trunkSid}`, currency));
    if (accountSid !== undefined) slots.push(this.#slot(`account:${accountSid}`, currency));
    return slots;
  }

  #slot(key: string, currency: string): Slot {
    const name = nameOf(key, currency);
    let slot = this.#slots.get(name);
    if (slot === undefined) {
      slot = { name, settled: 0, up: 0, others: 0, running: new Set(), sweptMs: -Infinity, askedMs: -Infinity };
      this.#slots.set(name, slot);
    }
    return slot;
  }

  /** A new day begins with nothing but what is up: a call is charged, whole, on the day it ends. */
  #turnDay(): void {
    const day = Math.floor(this.#clock.wallMs() / DAY_MS);
    if (day === this.#day) return;
    this.#day = day;
    for (const [name, slot] of this.#slots) {
      slot.settled = 0;
      slot.others = 0;
      if (slot.running.size === 0) this.#slots.delete(name);
    }
    this.#changed.clear();
  }
}

const runningId = ({ callId, dialId }: Pick<SpendCall, 'callId' | 'dialId'>): string =>
  dialId === undefined ? callId : `${callId} ${dialId}`;

const nameOf = (key: string, currency: string): string => `${currency} ${key}`;

const partsOf = (name: string): { readonly key: string; readonly currency: string } => ({
  key: name.slice(4),
  currency: name.slice(0, 3),
});
