import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { SimResolver, SimWorld, type SimLink } from '../../src/net/index.js';
import { createEngine, type EngineHandler, type SipEngine, type TransportName } from '../../src/sip/index.js';

/** Two or more whole engines on one simulated network and one simulated clock. */
export class SimEngines {
  readonly clock = new ManualClock();
  readonly random: SeededRandom;
  readonly world: SimWorld;
  readonly engines: SipEngine[] = [];
  readonly errors: unknown[] = [];

  constructor(seed: number, link: Partial<SimLink> = {}) {
    this.random = new SeededRandom(seed);
    this.world = new SimWorld({ clock: this.clock, random: this.random, link });
  }

  async engine(address: string, handler: EngineHandler, transport: TransportName = 'udp'): Promise<SipEngine> {
    const engine = await createEngine({
      network: this.world.host(address),
      clock: this.clock,
      random: this.random,
      resolver: new SimResolver({}, { clock: this.clock }),
      listen: [{ transport, address, port: 5060 }],
      handler,
      onEvent: (event) => {
        if (event.type === 'user_error') this.errors.push(event.error);
      },
    });
    this.engines.push(engine);
    return engine;
  }

  /** What still lives, for assertions: all zero when the engines are at rest. */
  alive(): Record<string, number> {
    const sum = { clientTransactions: 0, serverTransactions: 0, dialogs: 0 };
    for (const engine of this.engines) {
      const dump = engine.dump() as Record<string, number>;
      sum.clientTransactions += dump['clientTransactions'] ?? 0;
      sum.serverTransactions += dump['serverTransactions'] ?? 0;
      sum.dialogs += dump['dialogs'] ?? 0;
    }
    return { ...sum, timers: this.clock.pending };
  }
}
