import type { Clock, Random } from '../../kernel/index.js';
import type { SimFabric } from './fabric.js';
import { SimHost } from './host.js';
import { Path, PERFECT_LINK, type SimLink } from './link.js';
import type { Fate, Intercept, SimPacket, TraceEntry, Verdict } from './packet.js';

export interface SimWorldOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Of every pair of hosts without one of its own; missing fields as in PERFECT_LINK. */
  readonly link?: Partial<SimLink>;
  /** Most packets that `trace` keeps; older ones go. Default 10000. */
  readonly traceLimit?: number;
  /** How long a connection attempt may take. Default 5000. */
  readonly connectTimeoutMs?: number;
}

/**
 * A network in memory: hosts with addresses, links between them that lose, duplicate, delay and reorder, and a record
 * of what was sent. Everything happens by timers of the given clock, nothing within the call that causes it; with a
 * seeded Random a run is reproduced exactly.
 */
export class SimWorld implements SimFabric {
  readonly clock: Clock;
  readonly random: Random;
  readonly connectTimeoutMs: number;
  readonly #link: SimLink;
  readonly #traceLimit: number;
  readonly #hosts = new Map<string, SimHost>();
  readonly #paths = new Map<string, Path>();
  readonly #intercepts: Intercept[] = [];
  #trace: TraceEntry[] = [];

  constructor(options: SimWorldOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
    this.#link = { ...PERFECT_LINK, ...options.link };
    this.#traceLimit = options.traceLimit ?? 10_000;
  }

  /** The host with this address, made when first named. More addresses make a host of several interfaces. */
  host(address: string, ...more: string[]): SimHost {
    let host = this.#hosts.get(address);
    if (host === undefined) {
      host = new SimHost(this, [address, ...more]);
      for (const each of host.addresses) this.#hosts.set(each, host);
    }
    return host;
  }

  /** The host that has an address, if any. */
  at(address: string): SimHost | undefined {
    return this.#hosts.get(address);
  }

  /** Changes the link between two addresses, both ways; fields not given stay. */
  setLink(a: string, b: string, link: Partial<SimLink>): void {
    this.setPath(a, b, link);
    this.setPath(b, a, link);
  }

  /** Changes one direction of a link. */
  setPath(from: string, to: string, link: Partial<SimLink>): void {
    const path = this.path(from, to);
    path.link = { ...path.link, ...link };
  }

  /** Cuts the link between two addresses, both ways. */
  partition(a: string, b: string): void {
    this.path(a, b).up = this.path(b, a).up = false;
  }

  heal(a: string, b: string): void {
    this.path(a, b).up = this.path(b, a).up = true;
  }

  /** Shows every packet to `intercept` before the link has it; the first verdict other than 'pass' counts. */
  intercept(intercept: Intercept): () => void {
    this.#intercepts.push(intercept);
    return () => {
      const index = this.#intercepts.indexOf(intercept);
      if (index >= 0) this.#intercepts.splice(index, 1);
    };
  }

  /** Ends every stream between two addresses with ECONNRESET on both sides. */
  resetStreams(a: string, b: string): void {
    this.#hosts.get(a)?.resetStreams(b);
    this.#hosts.get(b)?.resetStreams(a);
  }

  /** The latest packets, in the order in which they were sent. */
  get trace(): readonly TraceEntry[] {
    return this.#trace;
  }

  clearTrace(): void {
    this.#trace = [];
  }

  /** Every open socket, such as 'udp 10.0.0.1:5060', 'tcp-listen 10.0.0.1:5060', 'tcp 10.0.0.1:5060 10.0.0.2:49152'. */
  dump(): string[] {
    return [...new Set(this.#hosts.values())].flatMap((host) => host.dump());
  }

  path(from: string, to: string): Path {
    const key = `${from} ${to}`;
    let path = this.#paths.get(key);
    if (path === undefined) this.#paths.set(key, (path = new Path(this.#link, this.random)));
    return path;
  }

  judge(packet: SimPacket): Verdict {
    for (const intercept of [...this.#intercepts]) {
      const verdict = intercept(packet);
      if (verdict !== 'pass') return verdict;
    }
    return 'pass';
  }

  record(packet: SimPacket, fate: Fate): void {
    this.#trace.push({ ...packet, atMs: this.clock.nowMs(), fate });
    // Cutting in halves keeps the cost of a packet constant.
    if (this.#trace.length > this.#traceLimit * 2) this.#trace = this.#trace.slice(-this.#traceLimit);
  }
}
