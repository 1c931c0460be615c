/**
 * Ends calls before they cost more than their trunk or account may spend today. Admission lets a call, or a
 * dial of its flow, in while its first pulse is paid for; from then on each second is looked at a little ahead, so that no
 * pulse begins that there is no money for. What it knows of calls it hears as events.
 */
import { type Clock, SlotMap, type Timer } from '../../kernel/index.js';
import { chargeOf } from '../record/rating.js';
import type { Decision, Priced, SpendView } from '../routing/decision.js';
import type { SpendCap } from '../routing/outboundPrice.js';
import type { CallEvent } from './events.js';

const TICK_MS = 1000;
/** What the view knows is a second old at most, and the next look is a second away. */
const AHEAD_MS = 2500;

export interface SpendWatchPorts {
  readonly clock: Clock;
  readonly spend: SpendView;
  /** By the routing document of now: who raises a cap lets calls go on. */
  capsOf(trunkSid: string | undefined, accountSid: string | undefined): readonly SpendCap[];
  /** Ends a call for want of money of this key. */
  end(callId: string, key: string): void;
}

/** A call, or a dial of its flow. */
interface Watched {
  readonly callId: string;
  readonly decision: Decision;
  priced: Priced | undefined;
  answeredMs: number | undefined;
}

export class SpendWatch {
  readonly #ports: SpendWatchPorts;
  readonly #calls = new SlotMap<Watched>();
  #timer: Timer | undefined;

  constructor(ports: SpendWatchPorts) {
    this.#ports = ports;
  }

  /** Listener for the channel of call events. */
  readonly observe = (event: CallEvent): void => {
    switch (event.type) {
      case 'call_decided':
        return this.#decided(event.callId, event.callId, event.decision);
      case 'dial_started':
        return this.#decided(dialName(event), event.callId, event.decision);
      case 'call_answered':
        return this.#answered(event.callId, event.priced);
      case 'dial_answered':
        return this.#answered(dialName(event), event.priced);
      case 'dial_ended':
        return this.#over(dialName(event));
      case 'call_ended':
        return this.#over(event.record.callId);
      default:
    }
  };

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  dump(): { readonly calls: number } {
    return { calls: this.#calls.size };
  }

  /** Only what a cap could end is watched. */
  #decided(name: string, callId: string, decision: Decision): void {
    if (!decision.accepted || !decision.destinations.some((one) => one.maxSeconds !== undefined)) return;
    this.#calls.set(name, { callId, decision, priced: undefined, answeredMs: undefined });
  }

  #answered(name: string, priced: Priced | undefined): void {
    const call = this.#calls.get(name);
    if (call !== undefined) {
      call.priced = priced;
      call.answeredMs = this.#ports.clock.nowMs();
    }
    this.#arm();
  }

  #over(name: string): void {
    this.#calls.delete(name);
    if (this.#calls.size === 0) this.close();
  }

  #arm(): void {
    if (this.#calls.size === 0) return;
    this.#timer ??= this.#ports.clock.setTimer('spend_watch', TICK_MS, () => {
      this.#timer = undefined;
      this.#look();
      this.#arm();
    });
  }

  #look(): void {
    const { capsOf } = this.#ports;
    const byKey = new Map<string, { readonly cap: SpendCap; readonly calls: Watched[] }>();
    for (const call of this.#calls.values()) {
      if (call.answeredMs === undefined) continue;
      for (const cap of capsOf(call.decision.trunkSid, call.decision.accountSid)) {
        const known = byKey.get(cap.key);
        if (known === undefined) byKey.set(cap.key, { cap, calls: [call] });
        else known.calls.push(call);
      }
    }
    for (const { cap, calls } of byKey.values()) this.#hold(cap, calls);
  }

  /** The oldest calls go on for as long as the money lasts. A dial ends with its call: its flow would only dial again. */
  #hold({ key, currency, limitMicros }: SpendCap, calls: readonly Watched[]): void {
    let committed = this.#ports.spend.committedMicros(key, currency);
    const ending = new Set<string>();
    for (const call of calls) {
      const more = this.#soon(call, currency);
      if (more === 0 || committed + more <= limitMicros) committed += more;
      else ending.add(call.callId);
    }
    for (const callId of ending) this.#ports.end(callId, key);
  }

  /** Micros that the call will have cost more, a little later than now. */
  #soon({ priced, answeredMs }: Watched, currency: string): number {
    if (priced === undefined || answeredMs === undefined) return 0;
    const talkMs = this.#ports.clock.nowMs() - answeredMs;
    const later = chargeOf(priced, 'outbound', talkMs + AHEAD_MS);
    if (later?.currency !== currency) return 0;
    return later.micros - (chargeOf(priced, 'outbound', talkMs)?.micros ?? 0);
  }
}

const dialName = ({ callId, dialId }: { readonly callId: string; readonly dialId: string }): string =>
  `${callId} ${dialId}`;
