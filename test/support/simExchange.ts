import { CallLimiter } from '../../src/call/admission/limiter.js';
import { MemoryCallRecorder } from '../../src/call/record/memoryRecorder.js';
import { TableBuilder } from '../../src/call/routing/compile.js';
import { decide } from '../../src/call/routing/decide.js';
import type { RoutingTable } from '../../src/call/routing/table.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import type { CallEvent } from '../../src/call/session/events.js';
import { GatewayWatch } from '../../src/cli/gateways.js';
import { CallService } from '../../src/call/session/service.js';
import { EventChannel } from '../../src/kernel/index.js';
import { SimResolver } from '../../src/net/index.js';
import type { HostResolver } from '../../src/sip/index.js';
import { type SignalPort, createDirectSignal } from '../../src/signal/index.js';
import type { SimEngines } from './simEngines.js';

export const EXCHANGE = '10.0.0.1';
export const CARRIER = '10.0.0.2';
export const PBX = '10.0.0.3';
export const SECOND_PBX = '10.0.0.4';
export const DID = '+918040000001';

const DOCUMENT = {
  accounts: [{ sid: 'acc' }],
  carriers: [
    {
      id: 'telco',
      kind: 'byo',
      source_acl: [{ ip: CARRIER, mask: 32 }],
      gateways: [{ uri: `sip:${CARRIER}:5060`, priority: 0, weight: 1 }],
    },
  ],
  trunks: [
    {
      trunk_sid: 'trk',
      account_sid: 'acc',
      trunk_name: 'pbx',
      whitelisted_ips: [
        { ip: PBX, mask: 32 },
        { ip: SECOND_PBX, mask: 32 },
      ],
      destination_uris: [
        { destination: `${PBX}:5060`, priority: 0, weight: 1 },
        { destination: `${SECOND_PBX}:5060`, priority: 1, weight: 1 },
      ],
      phone_numbers: [{ phone_number: DID, mode: 'pstn', carrier: 'telco' }],
      limits: { concurrent_calls: 1000 },
    },
  ],
  flows: [],
  network_groups: [],
};

/** The whole application on the embedded engine, between simulated peers. */
export class SimExchange {
  readonly recorder = new MemoryCallRecorder();
  readonly limiter = new CallLimiter();
  readonly events: CallEvent[] = [];
  readonly service: CallService;
  readonly port: SignalPort;
  readonly gateways: GatewayWatch;
  readonly #table: RoutingTable;

  private constructor(sim: SimEngines, table: RoutingTable, resolver: HostResolver) {
    this.#table = table;
    const { clock, random } = sim;
    this.port = createDirectSignal({
      network: sim.world.host(EXCHANGE),
      clock,
      random,
      resolver,
      listen: [{ transport: 'udp', address: EXCHANGE, port: 5060 }],
      onEvent: (event) => {
        if (event.type === 'user_error') sim.errors.push(event.error);
      },
    });
    const events = new EventChannel<CallEvent>((error) => sim.errors.push(error));
    events.subscribe((event) => {
      this.events.push(event);
      if (event.type === 'call_fault') sim.errors.push(event.error);
    });
    this.gateways = new GatewayWatch(
      { quarantineMs: 5_000, maxQuarantineMs: 60_000, probeDownMs: 2_000, probeAllMs: 0 },
      { clock, signal: () => this.port, table: () => table, onChange: () => {} },
    );
    events.subscribe(this.gateways.observe);
    this.service = new CallService({
      port: this.port,
      clock,
      random,
      recorder: this.recorder,
      events,
      nodeId: 'sim',
      health: this.gateways.health,
      admission: {
        revision: table.revision,
        isListed: (address) => table.matchSource(address) !== undefined,
        admit: (request) => {
          const { health } = this.gateways;
          const context = { limits: this.limiter, health, nowMs: clock.nowMs(), random: () => random.float() };
          const decision = decide(table, request, context);
          const held = decision.accepted ? this.limiter.claim(decision.limits, clock.nowMs()) : undefined;
          return { decision, release: () => (held?.ok === true ? this.limiter.release(held.value) : undefined) };
        },
      },
    });
  }

  /** @param parts in place of the usual ones: names, and trunks beside the usual one */
  static async open(
    sim: SimEngines,
    parts: { readonly resolver?: HostResolver; readonly trunks?: readonly object[] } = {},
  ): Promise<SimExchange> {
    const document = structuredClone(DOCUMENT) as { trunks: object[] };
    document.trunks.push(...(parts.trunks ?? []));
    const valid = validateDocument(document);
    if (!valid.ok) throw new Error(JSON.stringify(valid.error));
    const table = await new TableBuilder().compile({ kind: 'full', revision: '1', batches: [flatten(valid.value)] });
    const exchange = new SimExchange(sim, table, parts.resolver ?? new SimResolver({}, { clock: sim.clock }));
    await exchange.port.start(exchange.service);
    return exchange;
  }

  get revision(): string {
    return this.#table.revision;
  }

  /** What of calls still lives in the exchange. */
  alive(): Record<string, number> {
    const dump = this.port.dump() as Record<string, number>;
    return {
      calls: this.service.registry.size,
      limits: this.limiter.dump().calls,
      legs: dump['legs'] ?? -1,
      dialogs: dump['dialogs'] ?? -1,
      clientTransactions: dump['clientTransactions'] ?? -1,
      serverTransactions: dump['serverTransactions'] ?? -1,
    };
  }
}
