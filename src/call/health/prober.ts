/** Asks gateways whether they live, by OPTIONS (RFC 3261 §11): those that are down, so that they come back without a call. */
import type { Clock, Timer } from '../../kernel/index.js';
import type { GatewayHealth } from './gatewayHealth.js';
import type { Encounter } from './states.js';

/** Sends one OPTIONS to a gateway; answers once, at the latest when the transaction times out. */
export type Ask = (gateway: string, done: (encounter: Encounter) => void) => void;

export interface ProberSettings {
  /** Between two looks at those that are down. */
  readonly downMs: number;
  /** Between two looks at all gateways of the routing table; 0: only at those that are down. */
  readonly allMs: number;
}

/** Requests under way at a time: a table of thousands of gateways must not become a flood. */
const MAX_UNDER_WAY = 50;

export class GatewayProber {
  readonly #health: GatewayHealth;
  readonly #ask: Ask;
  readonly #clock: Clock;
  readonly #settings: ProberSettings;
  readonly #all: () => Iterable<string>;
  readonly #underWay = new Set<string>();
  #queue: string[] = [];
  #timers: Timer[] = [];
  #stopped = false;

  /** @param all every gateway of the routing table as it stands */
  constructor(
    health: GatewayHealth,
    parts: {
      readonly ask: Ask;
      readonly clock: Clock;
      readonly settings: ProberSettings;
      readonly all: () => Iterable<string>;
    },
  ) {
    this.#health = health;
    this.#ask = parts.ask;
    this.#clock = parts.clock;
    this.#settings = parts.settings;
    this.#all = parts.all;
  }

  start(): void {
    const { downMs, allMs } = this.#settings;
    if (downMs > 0) this.#every('health.probe_down', downMs, () => this.#askAiling());
    if (allMs > 0) this.#every('health.probe_all', allMs, () => this.#enqueue(this.#all()));
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#queue = [];
  }

  dump(): object {
    return { underWay: this.#underWay.size, waiting: this.#queue.length };
  }

  #every(name: string, ms: number, work: () => void): void {
    const slot = this.#timers.length;
    const tick = (): void => {
      work();
      this.#timers[slot] = this.#clock.setTimer(name, ms, tick);
    };
    this.#timers[slot] = this.#clock.setTimer(name, ms, tick);
  }

  #askAiling(): void {
    const gateways: string[] = [];
    for (const { gateway } of this.#health.ailing()) gateways.push(gateway);
    this.#enqueue(gateways);
  }

  #enqueue(gateways: Iterable<string>): void {
    const waiting = new Set(this.#queue);
    for (const gateway of gateways) {
      if (this.#underWay.has(gateway) || waiting.has(gateway)) continue;
      waiting.add(gateway);
      this.#queue.push(gateway);
    }
    this.#work();
  }

  #work(): void {
    while (!this.#stopped && this.#underWay.size < MAX_UNDER_WAY) {
      const gateway = this.#queue.shift();
      if (gateway === undefined) return;
      this.#underWay.add(gateway);
      this.#ask(gateway, (encounter) => {
        this.#underWay.delete(gateway);
        if (this.#stopped) return;
        this.#health.met(gateway, encounter);
        this.#work();
      });
    }
  }
}
