/** Ports under test, each with everything behind it, on loopback addresses of its own. */
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { DrachtioServer } from '../../src/drachtio/index.js';
import { NodeNetwork } from '../../src/net/index.js';
import { type HostResolver, createEngine } from '../../src/sip/index.js';
import { type SignalPort, createDirectSignal } from '../../src/signal/index.js';
import { createSrfSignal } from '../../src/signal/srf/srfSignal.js';
import { SignalApp } from './signalApp.js';
import { SipPeer } from './sipPeer.js';

export interface RigOptions {
  /** Listening address; ports are free ones. */
  readonly address: string;
  /** Short timers for tests that wait for a timeout; absent: those of RFC 3261. */
  readonly t1Ms?: number;
}

export interface Rig {
  readonly port: SignalPort;
  readonly app: SignalApp;
  /** `host:port` where the port listens, by transport. */
  readonly udp: string;
  readonly tcp: string;
  /** A second 2xx of a fork is released. */
  readonly releasesForks: boolean;
  /** What the adapter and the engine complained of. */
  readonly complaints: string[];
  /** Ends the port and what is behind it. */
  stop(): Promise<void>;
  /** Breaks the way to the signalling plane, where there is one. */
  readonly breakPlane: (() => void) | undefined;
}

export type MakeRig = (options: RigOptions) => Promise<Rig>;

/** Names for the tests: whatever is not a number is unknown, at once. */
export const noNames: HostResolver = {
  resolve: (host, answer) =>
    answer(/^[\d.]+$/.test(host) ? { ok: true, addresses: [host] } : { ok: false, code: 'ENOTFOUND' }),
};

const SECRET = 'contract';

/** drachtio-srf, over TCP, to our own server on the embedded engine in this process. */
export const makeSrfRig: MakeRig = async ({ address, t1Ms }) => {
  const clock = new SystemClock();
  const random = new SystemRandom();
  const network = new NodeNetwork({ clock });
  const complaints: string[] = [];
  const server = new DrachtioServer({ network, clock, random, listen: { address, port: 0 }, secret: SECRET });
  const engine = await createEngine({
    ...{ network, clock, random, resolver: noNames, handler: server.handler },
    listen: [
      { transport: 'udp', address, port: 0 },
      { transport: 'tcp', address, port: 0 },
    ],
    timers: t1Ms === undefined ? undefined : { t1Ms },
    onEvent: (event) => {
      if (event.type === 'user_error') complaints.push(`engine: ${String(event.error)}`);
    },
  });
  server.attach(engine);
  const control = await server.listen();
  const app = new SignalApp();
  const port = createSrfSignal({
    ...{ host: control.address, port: control.port, secret: SECRET, clock, random },
    logger: (message, error) => complaints.push(`${message}: ${String(error)}`),
  });
  const addresses = await port.start(app);
  return {
    ...{ port, app, complaints, releasesForks: true },
    ...endpoints(addresses),
    breakPlane: () => server.stop(),
    stop: async () => {
      await port.stop();
      server.stop();
      engine.stop();
    },
  };
};

/** Straight onto the embedded engine. */
export const makeDirectRig: MakeRig = async ({ address, t1Ms }) => {
  const clock = new SystemClock();
  const complaints: string[] = [];
  const app = new SignalApp();
  const port = createDirectSignal({
    ...{ network: new NodeNetwork({ clock }), clock, random: new SystemRandom(), resolver: noNames },
    listen: [
      { transport: 'udp', address, port: 0 },
      { transport: 'tcp', address, port: 0 },
    ],
    timers: t1Ms === undefined ? undefined : { t1Ms },
    onEvent: (event) => {
      if (event.type === 'user_error') complaints.push(`engine: ${String(event.error)}`);
    },
  });
  const addresses = await port.start(app);
  return {
    ...{ port, app, complaints, releasesForks: true, breakPlane: undefined },
    ...endpoints(addresses),
    stop: () => port.stop(),
  };
};

/** drachtio-srf to a server that somebody else runs: `tcp://host:9022?secret=...`. */
export const makeRemoteRig =
  (url: URL): MakeRig =>
  async () => {
    const complaints: string[] = [];
    const app = new SignalApp();
    const port = createSrfSignal({
      host: url.hostname,
      port: Number(url.port || '9022'),
      secret: url.searchParams.get('secret') ?? '',
      clock: new SystemClock(),
      random: new SystemRandom(),
      logger: (message, error) => complaints.push(`${message}: ${String(error)}`),
    });
    const addresses = await port.start(app);
    return {
      ...{ port, app, complaints, releasesForks: false, breakPlane: undefined },
      ...endpoints(addresses),
      stop: () => port.stop(),
    };
  };

export function endpoints(addresses: readonly string[]): { readonly udp: string; readonly tcp: string } {
  const of = (transport: string): string =>
    addresses.find((entry) => entry.startsWith(`${transport}/`))?.slice(transport.length + 1) ?? '';
  return { udp: of('udp'), tcp: of('tcp') };
}

/** Waits, turn by turn of the event loop, until a condition holds that no event announces. */
export async function until(what: string, holds: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** How many legs the port still holds. */
export function liveLegs(port: SignalPort): number {
  const { legs } = port.dump() as { readonly legs: number | readonly object[] };
  return typeof legs === 'number' ? legs : legs.length;
}

/** A peer with an address of this test file. */
export const openPeer = (transport: 'udp' | 'tcp' = 'udp', name = 'peer'): Promise<SipPeer> =>
  SipPeer.open({ address: '127.0.35.1', transport, name });

/** The request URI by which the port is asked to reach a peer. */
export const uriOfPeer = (peer: SipPeer): string =>
  `sip:bob@${peer.hostPort}${peer.transport === 'tcp' ? ';transport=tcp' : ''}`;
