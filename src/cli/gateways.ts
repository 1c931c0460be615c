import { type AilingGateway, GatewayHealth, type HealthChange } from '../call/health/gatewayHealth.js';
import type { PeerOverload, SparedGateway } from '../call/admission/peerOverload.js';
import { GatewayProber } from '../call/health/prober.js';
import { type Encounter, eventOf } from '../call/health/states.js';
import { textOfTarget } from '../call/bridge/attempt.js';
import { parseRegistered } from '../call/routing/registeredTarget.js';
import type { RoutingTable } from '../call/routing/table.js';
import type { CallEvent } from '../call/session/events.js';
import type { Config } from '../config/index.js';
import type { Clock } from '../kernel/index.js';
import type { RequestOutcome, SignalPort, SignalTarget } from '../signal/index.js';

/** A probe is for finding out quickly: what has not answered by then has not answered. */
const PROBE_MS = 3_000;
const MAX_PLACES = 10_000;

/** A gateway as `/api/gateways` shows it. */
export type GatewayLine = (
  { readonly gateway: string; readonly state: 'up' } | (AilingGateway & { readonly of?: string | undefined })
) & {
  /** Part of new calls that it asks us to keep from it (RFC 7339), 1 to 100. */
  readonly lossPercent?: number;
};

export interface GatewayWatchDeps {
  readonly clock: Clock;
  readonly signal: () => Pick<SignalPort, 'ask'>;
  readonly table: () => RoutingTable;
  readonly onChange: (change: HealthChange) => void;
  readonly peers?: PeerOverload | undefined;
}

/** What a node knows of the gateways it calls: from its calls, and from OPTIONS that it sends. */
export class GatewayWatch {
  readonly health: GatewayHealth;
  readonly #prober: GatewayProber;
  readonly #deps: GatewayWatchDeps;
  /** What is known of places that a gateway's name led to and that failed, by their text. */
  readonly #places = new Map<string, { readonly target: SignalTarget; readonly gateway: string }>();

  constructor(settings: Config['calls']['health'], deps: GatewayWatchDeps) {
    this.#deps = deps;
    const { quarantineMs, maxQuarantineMs, probeDownMs: downMs, probeAllMs: allMs } = settings;
    const { clock } = deps;
    this.health = new GatewayHealth(clock, { quarantineMs, maxQuarantineMs, probed: downMs > 0 }, deps.onChange);
    this.#prober = new GatewayProber(this.health, {
      clock,
      settings: { downMs, allMs },
      ask: (gateway, done) => this.#ask(gateway, done),
      all: () => gatewaysOf(deps.table()),
    });
  }

  /** Passive health: each attempt of each call. A gateway with a name is down when the last of its places failed. */
  readonly observe = (event: CallEvent): void => {
    // Registered contacts come and go by themselves: where they were nobody is to be asked.
    if (event.type !== 'attempt_ended' || parseRegistered(event.gateway) !== undefined) return;
    const { gateway, target, targetsLeft, record } = event;
    const faulty = eventOf(record) === 'fault';
    if (target !== undefined) this.#metPlace({ target, gateway }, record, faulty);
    if (targetsLeft === 0 || !faulty) this.health.met(gateway, record);
  };

  #metPlace(place: { readonly target: SignalTarget; readonly gateway: string }, met: Encounter, faulty: boolean): void {
    const text = textOfTarget(place.target);
    if (!faulty) this.#places.delete(text);
    else if (this.#places.size < MAX_PLACES) this.#places.set(text, place);
    this.health.met(text, met);
  }

  start(): void {
    this.#prober.start();
  }

  stop(): void {
    this.#prober.stop();
    this.health.close();
  }

  /** How many calls leave to the last. */
  get down(): number {
    let down = 0;
    for (const { gateway } of this.health.ailing()) if (this.health.isDown(gateway)) down++;
    return down;
  }

  /** Every gateway of the routing table with what is thought of it. */
  list(): GatewayLine[] {
    const ailing = new Map(this.health.dump().map((entry) => [entry.gateway, entry]));
    const spared = new Map(this.spared().map((one) => [one.gateway, one]));
    const lines: GatewayLine[] = [];
    for (const gateway of gatewaysOf(this.#deps.table())) {
      lines.push({ ...(ailing.get(gateway) ?? { gateway, state: 'up' }), ...spared.get(gateway) });
      ailing.delete(gateway);
    }
    // Places that names of gateways led to are listed while they ail.
    for (const [text, entry] of ailing) lines.push({ ...entry, of: this.#places.get(text)?.gateway });
    return lines;
  }

  /** Those that ask for fewer calls now. */
  spared(): readonly SparedGateway[] {
    return this.#deps.peers?.dump(this.#deps.clock.nowMs()) ?? [];
  }

  dump(): object {
    return { ailing: this.health.dump(), probes: this.#prober.dump() };
  }

  #ask(gateway: string, done: (encounter: Encounter) => void): void {
    let told = false;
    const tell = (encounter: Encounter): void => {
      if (told) return;
      told = true;
      timer.cancel();
      const place = this.#places.get(gateway);
      // One of its places answers, so the gateway does.
      if (place !== undefined && eventOf(encounter) === 'answer') {
        this.#places.delete(gateway);
        this.health.met(place.gateway, encounter);
      }
      done(encounter);
    };
    const timer = this.#deps.clock.setTimer('health.probe', PROBE_MS, () => tell({ result: 'timeout', sipStatus: 0 }));
    const place = this.#places.get(gateway);
    const where =
      place === undefined ? { uri: `sip:${gateway}` } : { uri: `sip:${place.gateway}`, target: place.target };
    this.#deps.signal().ask({ method: 'OPTIONS', ...where }, (outcome) => tell(encounterOf(outcome)));
  }
}

const encounterOf = (outcome: RequestOutcome): Encounter =>
  outcome.kind === 'response'
    ? { result: 'response', sipStatus: outcome.message.status ?? 0 }
    : { result: outcome.kind, sipStatus: 0 };

/** Every place that calls may go to, each once. */
function gatewaysOf(table: RoutingTable): Set<string> {
  const gateways = new Set<string>();
  for (const { targets } of table.carriers()) for (const { text } of targets) gateways.add(text);
  for (const { targets } of table.trunks()) {
    for (const { text, registered } of targets) if (registered === undefined) gateways.add(text);
  }
  return gateways;
}
