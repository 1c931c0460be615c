import { MessageChannel } from 'node:worker_threads';
import { type Clock, type Random, SlotMap, TandemError } from '../../kernel/index.js';
import type { EndpointEvents, EndpointSpec, MediaEndpoint, MediaPort, MediaProblem } from '../port.js';
import { sdpProblem } from '../sdp/description.js';
import { PortPool } from './portPool.js';
import type { EndpointEvent, OpenReply, SpawnWorker, WireSpec } from './protocol.js';
import { ProxyEndpoint, engineDown } from './proxyEndpoint.js';
import { WorkerProxy } from './workerProxy.js';

export interface EmbeddedMediaOptions {
  /** Threads that carry audio; at least 1. */
  readonly workers: number;
  /** Numeric address in SDP, and bound. */
  readonly address: string;
  /** Bound instead, where the address in SDP is not this machine's own. */
  readonly bindAddress?: string | undefined;
  /** First and last UDP port, both included; RTP takes the even ones. */
  readonly rtpPorts: readonly [number, number];
  /** Send silence when there is nothing to say. Default true. */
  readonly comfortSilence?: boolean | undefined;
  /** Networks beside the public ones that bots may be in, as CIDRs; `*`: any. Default none. */
  readonly botNetworks?: readonly string[] | undefined;
}

export interface EmbeddedMediaDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly spawn: SpawnWorker;
  /** A worker died; it is being restarted. */
  readonly onCrash?: ((reason: string) => void) | undefined;
}

/** Ports that others on this machine may hold, before a call is refused for it. */
const MAX_BUSY_PORTS = 16;
const START_MS = 10_000;
/** What the workers get to close their endpoints, before they are ended all the same. */
const STOP_MS = 3000;

type Opened = Awaited<ReturnType<MediaPort['open']>>;

/** The media engine of this process: endpoints on worker threads, audio in and out by RTP. */
export class EmbeddedMedia implements MediaPort {
  readonly #deps: EmbeddedMediaDeps;
  readonly #pool: PortPool;
  readonly #workers: readonly WorkerProxy[];
  readonly #endpoints = new SlotMap<ProxyEndpoint>();
  /** Endpoints of one call share a worker, or their bridge would have to cross threads. */
  readonly #calls = new SlotMap<{ readonly worker: WorkerProxy; endpoints: number }>();
  #opened = 0;
  #running = false;

  constructor(options: EmbeddedMediaOptions, deps: EmbeddedMediaDeps) {
    this.#deps = deps;
    this.#pool = new PortPool(options.rtpPorts, deps.clock, deps.random);
    const settings = {
      address: options.address,
      bindAddress: options.bindAddress ?? options.address,
      comfortSilence: options.comfortSilence ?? true,
      botNetworks: options.botNetworks ?? [],
    };
    const owner = {
      onEvent: (id: string, event: EndpointEvent) => this.#endpoints.get(id)?.deliver(event),
      onCrashed: (worker: WorkerProxy, reason: string) => this.#crashed(worker, reason),
    };
    const count = Math.max(1, Math.floor(options.workers));
    this.#workers = Array.from(
      { length: count },
      () => new WorkerProxy({ spawn: deps.spawn, settings, clock: deps.clock }, owner),
    );
  }

  /** Rejects with `engine_down` when no worker comes up. */
  async start(): Promise<void> {
    this.#running = true;
    const patience = new Promise<boolean>((resolve) => {
      const timer = this.#deps.clock.setTimer('mediaStart', START_MS, () => resolve(false));
      void Promise.all(this.#workers.map((worker) => worker.start())).then((ready) => {
        timer.cancel();
        resolve(ready.every(Boolean));
      });
    });
    if (await patience) return;
    await this.stop();
    throw new TandemError({ code: 'engine_down', message: 'the media workers did not start' });
  }

  async open(spec: EndpointSpec, events: EndpointEvents): Promise<Opened> {
    const worker = this.#running ? this.#chooseWorker(spec.callId) : undefined;
    if (worker === undefined) return refused(engineDown('no media worker is up'));
    this.#hold(spec.callId, worker);
    const wire: WireSpec = { ...spec, offer: spec.offer === undefined ? undefined : Uint8Array.from(spec.offer) };
    for (let attempt = 0; attempt < MAX_BUSY_PORTS; attempt++) {
      const rtpPort = this.#pool.take();
      if (rtpPort === undefined) break;
      const id = `${++this.#opened}`;
      const place = { id, callId: spec.callId, worker, rtpPort };
      const endpoint = new ProxyEndpoint(place, events, {
        onClosed: (closed) => this.#closed(closed),
        bridge: (one, other) => this.#bridge(one, other),
      });
      // Known before it is open: an event may overtake the continuation of this function.
      this.#endpoints.set(id, endpoint);
      const reply = (await worker.ask({ op: 'open', id, spec: wire, rtpPort })) as OpenReply | undefined;
      endpoint.established = reply?.ok === true;
      if (reply?.ok === true) return { ok: true, endpoint, sdp: Buffer.from(reply.sdp) };
      this.#endpoints.delete(id);
      this.#pool.release(rtpPort);
      if (reply !== undefined && 'portBusy' in reply) continue;
      this.#letGo(spec.callId, worker);
      return refused(reply?.problem ?? engineDown('the media worker died'));
    }
    this.#letGo(spec.callId, worker);
    return refused(sdpProblem('no_port_free', 'all RTP ports are in use'));
  }

  /** Port pairs in use, in quarantine and free. */
  get ports(): { readonly used: number; readonly resting: number; readonly free: number } {
    return this.#pool.dump();
  }

  async dump(): Promise<object> {
    const workers = this.#workers.map(async (worker) => ({
      alive: worker.alive,
      load: worker.load,
      crashes: worker.crashes,
      state: await worker.ask({ op: 'dump' }),
    }));
    return { ports: this.#pool.dump(), endpoints: this.#endpoints.size, workers: await Promise.all(workers) };
  }

  async stop(): Promise<void> {
    this.#running = false;
    const closed = Promise.all([...this.#endpoints.values()].map((endpoint: MediaEndpoint) => endpoint.close()));
    await new Promise<void>((resolve) => {
      const timer = this.#deps.clock.setTimer('mediaStop', STOP_MS, resolve);
      void closed.then(() => {
        timer.cancel();
        resolve();
      });
    });
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    await closed;
  }

  #chooseWorker(callId: string): WorkerProxy | undefined {
    const known = this.#calls.get(callId)?.worker;
    if (known?.alive === true) return known;
    let best: WorkerProxy | undefined;
    for (const worker of this.#workers) {
      if (worker.alive && (best === undefined || worker.load < best.load)) best = worker;
    }
    return best;
  }

  #hold(callId: string, worker: WorkerProxy): void {
    this.#calls.set(callId, { worker, endpoints: (this.#calls.get(callId)?.endpoints ?? 0) + 1 });
    worker.load++;
  }

  #letGo(callId: string, worker: WorkerProxy): void {
    worker.load--;
    const call = this.#calls.get(callId);
    if (call !== undefined && --call.endpoints <= 0) this.#calls.delete(callId);
  }

  #closed(endpoint: ProxyEndpoint): void {
    if (!this.#endpoints.delete(endpoint.id)) return;
    this.#pool.release(endpoint.rtpPort);
    this.#letGo(endpoint.callId, endpoint.worker);
  }

  #bridge(one: ProxyEndpoint, other: ProxyEndpoint): void {
    if (one.worker === other.worker) return one.worker.tell({ op: 'bridge', id: one.id, otherId: other.id });
    const { port1, port2 } = new MessageChannel();
    one.worker.tell({ op: 'bridgeFar', id: one.id, port: port1 }, [port1]);
    other.worker.tell({ op: 'bridgeFar', id: other.id, port: port2 }, [port2]);
  }

  #crashed(worker: WorkerProxy, reason: string): void {
    this.#deps.onCrash?.(reason);
    for (const endpoint of [...this.#endpoints.values()]) {
      if (endpoint.worker === worker && endpoint.established)
        endpoint.fail(engineDown(`the media worker died: ${reason}`));
    }
  }
}

const refused = (problem: MediaProblem): Opened => ({ ok: false, problem });
