/**
 * The whole edge on real sockets in this process: engine, gate, admission, calls. What an attacker meets, with its
 * counters in reach.
 */
import type { PeerOverload } from '../../src/call/admission/peerOverload.js';
import { MemoryCallRecorder } from '../../src/call/record/memoryRecorder.js';
import { HeaderPolicy, type HeaderPolicySettings } from '../../src/call/bridge/headerPolicy.js';
import { TableHolder } from '../../src/call/routing/compile.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import type { CallEvent } from '../../src/call/session/events.js';
import { CallService } from '../../src/call/session/service.js';
import { LiveAdmission } from '../../src/cli/admission.js';
import { EventChannel, SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { NodeNetwork } from '../../src/net/index.js';
import { type SignalPort, type SourceGate, createDirectSignal } from '../../src/signal/index.js';
import { noNames } from './signalRig.js';

export interface EdgePlan {
  readonly address: string;
  /** SIP over UDP and TCP; the next port has WebSocket. */
  readonly port: number;
  readonly routing: object;
  readonly unlisted?: 'reject' | 'drop';
  readonly headers?: Partial<HeaderPolicySettings>;
  /** Where destinations of tenants may be; default: anywhere. */
  readonly egress?: (address: string) => boolean;
  /** Names that lead somewhere; all others do not. */
  readonly names?: { readonly [host: string]: readonly string[] };
  /** What next hops say of their load is obeyed. */
  readonly peers?: PeerOverload;
  /** Stands before the gate: counts, for example. */
  readonly gate?: (gate: SourceGate) => SourceGate;
}

/** Counters of the engine that tests look at. */
export interface EdgeCounters {
  readonly requestsIn: number;
  readonly responsesOut: number;
  readonly requestsOut: number;
  readonly foreignRequests: number;
  readonly foreignResponses: number;
  readonly unanswered: number;
  readonly strayAcks: number;
  readonly strayResponses: number;
  readonly dialogs: number;
  readonly legs: number;
  readonly clientTransactions: number;
  readonly serverTransactions: number;
  readonly unlistedRefused: number;
}

const namesOf = (names: { readonly [host: string]: readonly string[] }): typeof noNames => ({
  ...noNames,
  resolve: (host, answer) => {
    const addresses = names[host];
    if (addresses === undefined) noNames.resolve(host, answer);
    else answer({ ok: true, addresses });
  },
});

export class EdgeRig {
  readonly recorder = new MemoryCallRecorder();
  readonly events: CallEvent[] = [];
  readonly errors: unknown[] = [];
  readonly clock = new SystemClock((error) => this.errors.push(error));
  readonly admission: LiveAdmission;
  readonly port: SignalPort;
  readonly service: CallService;
  readonly hostPort: string;
  readonly #holder = new TableHolder();
  readonly #network: NodeNetwork;

  private constructor(plan: EdgePlan) {
    const { clock } = this;
    const random = new SystemRandom();
    this.hostPort = `${plan.address}:${plan.port}`;
    this.admission = new LiveAdmission(this.#holder, {
      ...{ clock, random, egress: plan.egress },
      ...{ unlisted: plan.unlisted ?? 'reject', peers: plan.peers },
    });
    this.#network = new NodeNetwork({ clock });
    const at = { address: plan.address, port: plan.port };
    this.port = createDirectSignal({
      ...{ network: this.#network, clock, random, resolver: namesOf(plan.names ?? {}), userAgent: 'tandem' },
      listen: [
        { transport: 'udp', ...at },
        { transport: 'tcp', ...at },
        { transport: 'ws', address: plan.address, port: plan.port + 1 },
      ],
      onOverloadTold: plan.peers && ((gateway, word) => plan.peers?.heard(gateway, word, clock.nowMs())),
      gate: plan.gate === undefined ? this.admission : plan.gate(this.admission),
      onEvent: (event) => {
        if (event.type === 'user_error') this.errors.push(event.error);
      },
    });
    const events = new EventChannel<CallEvent>((error) => this.errors.push(error));
    events.subscribe((event) => {
      this.events.push(event);
      if (event.type === 'call_fault') this.errors.push(event.error);
    });
    const policy = new HeaderPolicy(plan.headers);
    const { recorder, admission, port } = this;
    this.service = new CallService({ port, clock, random, recorder, events, nodeId: 'edge', admission, policy });
  }

  static async open(plan: EdgePlan): Promise<EdgeRig> {
    const rig = new EdgeRig(plan);
    await rig.publish(plan.routing);
    await rig.port.start(rig.service);
    return rig;
  }

  async publish(routing: object): Promise<void> {
    const valid = validateDocument(structuredClone(routing));
    if (!valid.ok) throw new Error(JSON.stringify(valid.error));
    await this.#holder.apply({ kind: 'full', revision: String(Math.random()), batches: [flatten(valid.value)] });
  }

  counters(): EdgeCounters {
    return this.port.dump() as EdgeCounters;
  }

  /** Ends what lives. */
  async close(): Promise<void> {
    this.service.registry.hangUpAll({ sipStatus: 503, reasonCode: 'drain_limit', q850: 41 });
    await this.port.stop();
  }
}
