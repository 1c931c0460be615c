import { SlotMap } from '../../kernel/index.js';
import type { HangUpReason } from '../bridge/ending.js';
import type { LiveCall, LiveCallDump } from './liveCall.js';

/** The calls that live on this node. */
export class CallRegistry {
  readonly #calls = new SlotMap<LiveCall>();
  #waiting: (() => void)[] = [];

  get size(): number {
    return this.#calls.size;
  }

  add(call: LiveCall): void {
    this.#calls.set(call.id, call);
  }

  remove(call: LiveCall): void {
    if (!this.#calls.delete(call.id) || this.#calls.size > 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  get(callId: string): LiveCall | undefined {
    return this.#calls.get(callId);
  }

  /** All of them, in the order of their beginning. */
  values(): Iterable<LiveCall> {
    return this.#calls.values();
  }

  /** Streams to bots of all calls. */
  get liveStreams(): number {
    let streams = 0;
    for (const { course } of this.#calls.values()) streams += course?.liveStreams ?? 0;
    return streams;
  }

  /** Resolves when no call lives. */
  whenEmpty(): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends every call. Each is gone as soon as its legs have confirmed. */
  hangUpAll(reason: HangUpReason): void {
    for (const call of [...this.#calls.values()]) call.course?.hangUp(reason);
  }

  /** The calls in the order of their beginning. */
  dump(limit = Infinity): LiveCallDump[] {
    const dumps: LiveCallDump[] = [];
    for (const call of this.#calls.values()) {
      if (dumps.length >= limit) break;
      dumps.push(call.dump());
    }
    return dumps;
  }
}
