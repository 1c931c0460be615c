/** Which gateways answer: learnt from calls and probes, asked by every decision. */
import type { Clock, Timer } from '../../kernel/index.js';
import { type Encounter, HEALTH_TABLE, type HealthEvent, type HealthState, eventOf } from './states.js';

/** What decisions ask. */
export interface HealthView {
  /** Whether calls should try others first. `gateway`: host, port and transport as configured. */
  isDown(gateway: string): boolean;
}

export interface HealthChange {
  readonly gateway: string;
  readonly state: HealthState;
  /** Why: `silence`, `503`, `answer` ... */
  readonly cause: string;
  readonly quarantineMs: number;
}

/** A gateway that is not up, for people. */
export interface AilingGateway {
  readonly gateway: string;
  readonly state: HealthState;
  /** What it did last: `silence`, `503` ... */
  readonly cause: string;
  readonly forMs: number;
  readonly quarantineMs: number;
}

export interface HealthSettings {
  /** First quarantine; each one after a failed trial doubles it, up to `maxQuarantineMs`. */
  readonly quarantineMs: number;
  readonly maxQuarantineMs: number;
  /** Gateways that are down are probed: calls leave a trial to the probes. */
  readonly probed?: boolean | undefined;
}

/** Gateways remembered; beyond it the one that was heard of longest ago is forgotten. Only faults are remembered. */
const MAX_GATEWAYS = 10_000;

interface Entry {
  state: HealthState;
  cause: string;
  quarantineMs: number;
  sinceMs: number;
  timer: Timer | undefined;
}

/** A gateway that nothing is remembered of is up: only what failed costs memory. */
export class GatewayHealth implements HealthView {
  readonly #clock: Clock;
  readonly #settings: HealthSettings;
  readonly #onChange: (change: HealthChange) => void;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock, settings: HealthSettings, onChange: (change: HealthChange) => void) {
    this.#clock = clock;
    this.#settings = settings;
    this.#onChange = onChange;
  }

  isDown(gateway: string): boolean {
    const state = this.#entries.get(gateway)?.state;
    return state === 'down' || (state === 'trial' && this.#settings.probed === true);
  }

  /** Tells how a call or a probe fared at a gateway. */
  met(gateway: string, encounter: Encounter, retryAfterMs = 0): void {
    const event = eventOf(encounter);
    if (event === undefined) return;
    const cause = event === 'answer' ? 'answer' : encounter.sipStatus > 0 ? `${encounter.sipStatus}` : encounter.result;
    this.#apply(gateway, event, { cause, retryAfterMs });
  }

  /** Gateways that are not up, for probes and for people. */
  *ailing(): Generator<{ readonly gateway: string; readonly state: HealthState }> {
    for (const [gateway, { state }] of this.#entries) yield { gateway, state };
  }

  dump(): AilingGateway[] {
    const now = this.#clock.nowMs();
    return [...this.#entries].map(([gateway, { state, cause, sinceMs, quarantineMs }]) => ({
      gateway,
      state,
      cause,
      forMs: Math.round(now - sinceMs),
      quarantineMs,
    }));
  }

  close(): void {
    for (const entry of this.#entries.values()) entry.timer?.cancel();
    this.#entries.clear();
  }

  #apply(gateway: string, event: HealthEvent, why: { readonly cause: string; readonly retryAfterMs: number }): void {
    const known = this.#entries.get(gateway);
    const before = known?.state ?? 'up';
    const row = HEALTH_TABLE[before][event];
    if (row.next === 'up') return this.#healed(gateway, known);
    const entry = known ?? this.#remember(gateway);
    entry.state = row.next;
    if (row.quarantine !== undefined) {
      entry.cause = why.cause;
      this.#quarantine(gateway, entry, row.quarantine === 'longer' ? entry.quarantineMs * 2 : 0, why.retryAfterMs);
    }
    if (row.next === before) return;
    entry.sinceMs = this.#clock.nowMs();
    const { state, cause, quarantineMs } = entry;
    this.#onChange({ gateway, state, cause, quarantineMs });
  }

  #healed(gateway: string, known: Entry | undefined): void {
    if (known === undefined) return;
    known.timer?.cancel();
    this.#entries.delete(gateway);
    this.#onChange({ gateway, state: 'up', cause: 'answer', quarantineMs: 0 });
  }

  /** @param retryAfterMs the gateway's own word (RFC 3261 §20.33), as far as it is believed */
  #quarantine(gateway: string, entry: Entry, longerMs: number, retryAfterMs: number): void {
    const { quarantineMs, maxQuarantineMs } = this.#settings;
    entry.quarantineMs = Math.min(maxQuarantineMs, Math.max(quarantineMs, longerMs, retryAfterMs));
    entry.timer?.cancel();
    entry.timer = this.#clock.setTimer('health.quarantine', entry.quarantineMs, () =>
      this.#apply(gateway, 'quarantine_over', { cause: entry.cause, retryAfterMs: 0 }),
    );
  }

  #remember(gateway: string): Entry {
    if (this.#entries.size >= MAX_GATEWAYS) {
      for (const [oldest, entry] of this.#entries) {
        entry.timer?.cancel();
        this.#entries.delete(oldest);
        break;
      }
    }
    const entry: Entry = { state: 'up', cause: '', quarantineMs: 0, sinceMs: this.#clock.nowMs(), timer: undefined };
    this.#entries.set(gateway, entry);
    return entry;
  }
}
