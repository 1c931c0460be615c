/** Two nodes on one redis-server, their town, and what they have recorded together. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { Callee, Caller, type Place } from './clusterTown.js';
import { RedisServer } from './redisServer.js';
import { TandemNode } from './tandemNode.js';

export const ACCOUNT = 'acme';
export const KEY = 'acme_key:acme_token';
const REDIS_HOST = '127.0.70.3';
const PBX = '127.0.70.10';
const CARRIER = '127.0.70.20';
const STREAM = 'records';
const PORT = 36_000;

/** A trunk each, its number, and where it leads. */
export const LANES = {
  free: { number: '+918040000001', port: 36_101, limits: {} },
  slots: { number: '+918040000002', port: 36_102, limits: { concurrent_calls: 10 } },
  rate: { number: '+918040000003', port: 36_103, limits: { calls_per_second: 20 } },
  even: { number: '+918040000004', port: 36_104, limits: {} },
  odd: { number: '+918040000005', port: 36_105, limits: {} },
  api: { number: '+918040000006', port: 36_106, limits: {} },
} as const;
export type LaneName = keyof typeof LANES;
export const LANE_NAMES = Object.keys(LANES) as LaneName[];

export const destinationOf = (name: LaneName): object => ({
  destination: `${PBX}:${LANES[name].port}`,
  priority: 0,
  weight: 1,
});

const routing = (): object => ({
  accounts: [{ sid: ACCOUNT, api_keys: [{ key: 'acme_key', token: 'acme_token' }] }],
  carriers: [{ id: 'telco', source_acl: [{ ip: CARRIER }], gateways: [] }],
  trunks: LANE_NAMES.map((name) => ({
    trunk_sid: `trk_${name}`,
    account_sid: ACCOUNT,
    trunk_name: name,
    destination_uris: [destinationOf(name)],
    limits: LANES[name].limits,
    phone_numbers: [{ phone_number: LANES[name].number, mode: 'pstn' }],
  })),
});

export type NodeName = 'a' | 'b';

export interface Answer {
  readonly status: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers are looked at member by member
  readonly json: any;
}

export class ClusterRig {
  readonly redis: RedisServer;
  readonly caller: Caller;
  readonly callees: { readonly [name in LaneName]: Callee };
  readonly #folders: { readonly [name in NodeName]: string };
  readonly #nodes = new Map<NodeName, TandemNode>();

  private constructor(
    redis: RedisServer,
    folders: { readonly [name in NodeName]: string },
    town: { readonly caller: Caller; readonly callees: { readonly [name in LaneName]: Callee } },
  ) {
    this.redis = redis;
    this.#folders = folders;
    this.caller = town.caller;
    this.callees = town.callees;
  }

  static async start(): Promise<ClusterRig> {
    const redis = await RedisServer.start({ host: REDIS_HOST, keeps: true });
    const [a, b] = await Promise.all(['a', 'b'].map((name) => mkdtemp(join(tmpdir(), `tandem-cluster-${name}-`))));
    const callees: Partial<{ [name in LaneName]: Callee }> = {};
    for (const name of LANE_NAMES) callees[name] = await Callee.open({ address: PBX, port: LANES[name].port });
    const caller = await Caller.open({ address: CARRIER, port: 36_200 });
    const town = { caller, callees: callees as { readonly [name in LaneName]: Callee } };
    const rig = new ClusterRig(redis, { a: a as string, b: b as string }, town);
    await Promise.all([rig.startNode('a'), rig.startNode('b')]);
    // Neither has ever seen a document: what one is given, the other serves.
    const { status, json } = await rig.api('a', 'PUT', '/api/document', routing());
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(json)}`);
    return rig;
  }

  async startNode(name: NodeName): Promise<void> {
    const address = name === 'a' ? '127.0.70.1' : '127.0.70.2';
    const node = await TandemNode.start({
      address,
      port: PORT,
      routing: {},
      folder: this.#folders[name],
      config: {
        node: { id: `cluster-${name}` },
        // What is refused here is refused for its limits, however slow the machine is.
        calls: { overload: { enabled: false } },
        sip: { listen: [`udp://${address}:${PORT}`] },
        store: { kind: 'redis', url: this.redis.url, snapshotPath: './snapshot.ndjson' },
        cdr: { path: './cdr', redis: { stream: STREAM } },
      },
    });
    this.#nodes.set(name, node);
  }

  node(name: NodeName): TandemNode {
    return this.#nodes.get(name) as TandemNode;
  }

  place(name: NodeName): Place {
    const { address, port } = this.node(name);
    return { address, port };
  }

  get places(): readonly Place[] {
    return [this.place('a'), this.place('b')];
  }

  /** As the machine's operator below /api, with the account's key below /v2. */
  async api(name: NodeName, method: string, path: string, body?: object, ifMatch?: string): Promise<Answer> {
    const { address, port } = this.place(name);
    const response = await fetch(`http://${address}:${port + 1}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(ifMatch === undefined ? {} : { 'if-match': `"${ifMatch}"` }),
        ...(path.startsWith('/v2') ? { authorization: `Basic ${Buffer.from(KEY).toString('base64')}` } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(20_000),
    });
    return { status: response.status, json: await response.json() };
  }

  records(): CallRecord[] {
    return [...this.node('a').records(), ...this.node('b').records()];
  }

  /** Entries of the record stream: call id to the records that came with it. */
  async streamed(): Promise<Map<string, string[]>> {
    const client = new Redis(this.redis.url, { retryStrategy: () => null });
    client.on('error', () => {});
    try {
      const found = new Map<string, string[]>();
      for (const [, [, callId = '', , record = '']] of await client.xrange(STREAM, '-', '+')) {
        found.set(callId, [...(found.get(callId) ?? []), record]);
      }
      return found;
    } finally {
      client.disconnect();
    }
  }

  /** @param expected complaints of the nodes' logs that belong to the test */
  async stop(expected: RegExp): Promise<void> {
    try {
      for (const node of this.#nodes.values()) await node.stop(expected);
    } finally {
      for (const node of this.#nodes.values()) await node.destroy();
      this.caller.close();
      for (const name of LANE_NAMES) this.callees[name].close();
      await this.redis.close();
      for (const folder of Object.values(this.#folders)) await rm(folder, { recursive: true, force: true });
    }
  }
}

/** Something else on the port where Redis was: it accepts, and says what it says. */
export class Impostor {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  connections = 0;

  private constructor(answer: string | undefined) {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('data', () => {
        if (answer !== undefined) socket.end(answer);
      });
    });
  }

  /** @param answer to whatever is said; undefined: never any */
  static async listen({ host, port }: RedisServer, answer: string | undefined): Promise<Impostor> {
    const impostor = new Impostor(answer);
    impostor.#server.listen(port, host);
    await once(impostor.#server, 'listening');
    return impostor;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
