/** The embedded engine with its drachtio face on real sockets, and peers and applications to go with it. */
import { DrachtioServer, type DrachtioServerOptions } from '../../src/drachtio/index.js';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { NodeNetwork, SystemResolver } from '../../src/net/index.js';
import { type HostResolver, type SipEngine, type TimerSettings, createEngine } from '../../src/sip/index.js';
import { DrachtioClient } from './drachtioClient.js';
import { type PeerOptions, SipPeer } from './sipPeer.js';

export const SECRET = 'cymru';

export interface RigOptions {
  /** Loopback address of the server; peers take others. */
  readonly address: string;
  readonly timers?: Partial<TimerSettings>;
  readonly server?: Partial<DrachtioServerOptions>;
  readonly resolver?: HostResolver;
}

export class DrachtioRig {
  readonly server: DrachtioServer;
  readonly engine: SipEngine;
  readonly clock: SystemClock;
  /** Where applications connect. */
  readonly control: { readonly address: string; readonly port: number };
  readonly #network: NodeNetwork;
  readonly #apps: DrachtioClient[] = [];
  readonly #peers: SipPeer[] = [];

  private constructor(parts: {
    server: DrachtioServer;
    engine: SipEngine;
    clock: SystemClock;
    network: NodeNetwork;
    control: { address: string; port: number };
  }) {
    this.server = parts.server;
    this.engine = parts.engine;
    this.clock = parts.clock;
    this.#network = parts.network;
    this.control = parts.control;
  }

  static async start({ address, timers, server: options, resolver }: RigOptions): Promise<DrachtioRig> {
    const clock = new SystemClock();
    const random = new SystemRandom();
    const network = new NodeNetwork({ clock });
    const listen = { address, port: 0 };
    const names = resolver ?? new SystemResolver({ clock });
    const base = { network, clock, random, listen, resolver: names, secret: SECRET };
    const server = new DrachtioServer({ ...base, ...options });
    const engine = await createEngine({
      ...{ network, clock, random, timers, handler: server.handler },
      resolver: names,
      listen: [
        { transport: 'udp', address, port: 0 },
        { transport: 'tcp', address, port: 0 },
      ],
    });
    server.attach(engine);
    const control = await server.listen();
    return new DrachtioRig({ server, engine, clock, network, control });
  }

  /** `host:port` of the engine. */
  sip(transport: 'udp' | 'tcp' = 'udp'): string {
    const listening = this.engine.listening.find((name) => name.startsWith(`${transport}/`));
    return listening?.slice(transport.length + 1) ?? '';
  }

  async app(...verbs: string[]): Promise<DrachtioClient> {
    const app = await DrachtioClient.app(this.control, SECRET, verbs);
    this.#apps.push(app);
    return app;
  }

  async peer(address: string, options: Partial<PeerOptions> = {}): Promise<SipPeer> {
    const peer = await SipPeer.open({ address, ...options });
    this.#peers.push(peer);
    return peer;
  }

  /** What is left of calls, as seen from the control side. */
  get leftovers(): unknown {
    const { transactions, dialogs } = this.server.dump();
    return { transactions, dialogs };
  }

  /** Resolves once the server's dump satisfies the condition; rejects after 5 s. */
  async until(condition: (dump: Record<string, unknown>) => boolean): Promise<void> {
    const deadline = this.clock.nowMs() + 5000;
    while (!condition(this.server.dump())) {
      if (this.clock.nowMs() > deadline) throw new Error(`not so: ${JSON.stringify(this.server.dump())}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Rejects when a socket outlives it. */
  async stop(): Promise<void> {
    for (const app of this.#apps) app.close();
    this.server.stop();
    this.engine.stop();
    for (const peer of this.#peers) await peer.close();
    await Promise.all(this.#apps.map((app) => app.closed));
    // Sockets that were told to close are gone a few turns of the loop later.
    for (let turn = 0; turn < 1000 && this.#alive > 0; turn++) await new Promise((resolve) => setImmediate(resolve));
    if (this.#alive > 0) throw new Error(`left open: ${JSON.stringify(this.#network.dump())}`);
  }

  get #alive(): number {
    const { datagramSockets, connectedPeers, listeners, streams } = this.#network.dump();
    return datagramSockets + connectedPeers + listeners + streams;
  }
}
