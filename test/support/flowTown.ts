/** A node whose flows real programs call: their addresses, the routing between them, what the node says of a call. */
import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { type RequestListener, type Server, createServer } from 'node:http';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { bounded, spawnBound } from './endpoints.js';
import { MAIN, type NodePlan, TandemNode } from './tandemNode.js';

const SIP_PORT = 30_000;

export interface TownPlan {
  /** 1 to 24, one for each file: files run at the same time. */
  readonly index: number;
  readonly flows: readonly { readonly id: string; readonly [part: string]: unknown }[];
  /** Where the trunk's calls go: `host:port`. Default: nobody. */
  readonly pbx?: string;
  /** Addresses that may call, beside the town's own `caller`. */
  readonly callers?: readonly string[];
  readonly config?: { readonly [section: string]: object };
  /** More of the media section. */
  readonly media?: object;
  /** Even first RTP port and how many ports. Default 30200 and 200. */
  readonly rtp?: readonly [first: number, count: number];
}

/** What the node's dump tells of its media plane. */
export interface MediaDump {
  readonly endpoints: number;
  readonly ports: { readonly used: number; readonly resting: number; readonly free: number };
  readonly http: { readonly running: number };
  readonly workers: readonly {
    readonly state?: { readonly endpoints: { readonly [id: string]: { readonly streams: readonly StreamDump[] } } };
  }[];
}

interface StreamDump {
  readonly framesReceived: number;
}

export class FlowTown {
  readonly plan: TownPlan;
  /** Set by `start`. */
  #node: TandemNode | undefined;

  constructor(plan: TownPlan) {
    this.plan = plan;
  }

  static async start(plan: TownPlan, more: Partial<NodePlan> = {}): Promise<FlowTown> {
    const town = new FlowTown(plan);
    town.#node = await TandemNode.start({ ...town.nodePlan(), ...more });
    return town;
  }

  /** Addresses by what is there; all of one town. */
  address(role: 'node' | 'caller' | 'pbx' | 'bot' | 'web' | 'engine'): string {
    const at = ['node', 'caller', 'pbx', 'bot', 'web', 'engine'].indexOf(role);
    return `127.0.64.${this.plan.index * 10 + at}`;
  }

  get node(): TandemNode {
    if (this.#node === undefined) throw new Error('the town has no node');
    return this.#node;
  }

  /** The number that a flow answers. */
  numberOf(flowId: string): string {
    const at = this.plan.flows.findIndex(({ id }) => id === flowId);
    if (at < 0) throw new Error(`no flow ${flowId}`);
    return `+9180400020${String(at).padStart(2, '0')}`;
  }

  /** What a caller dials. */
  uriOf(flowId: string): string {
    return `sip:${this.numberOf(flowId)}@${this.address('node')}:${SIP_PORT}`;
  }

  nodePlan(): NodePlan {
    const { rtp = [30_200, 200], media, config } = this.plan;
    const address = this.address('node');
    return {
      address,
      port: SIP_PORT,
      routing: this.routing(),
      config: {
        ...config,
        media: {
          address,
          rtpPorts: [rtp[0], rtp[0] + rtp[1] - 1],
          workers: 1,
          egress: ['127.0.0.0/8'],
          recordingsPath: './recordings',
          ...media,
        },
      },
    };
  }

  routing(): object {
    const { flows, pbx, callers = [] } = this.plan;
    return {
      accounts: [{ sid: 'demo' }],
      carriers: [
        {
          id: 'telco',
          source_acl: [this.address('caller'), ...callers].map((ip) => ({ ip })),
          gateways: [{ uri: `sip:${this.address('caller')}:30010` }],
        },
      ],
      trunks: [
        {
          trunk_sid: 'trk',
          account_sid: 'demo',
          trunk_name: 'pbx',
          whitelisted_ips: [{ ip: this.address('pbx') }],
          destination_uris: [{ destination: pbx ?? `${this.address('pbx')}:30040` }],
          phone_numbers: flows.map(({ id }) => ({
            phone_number: this.numberOf(id),
            mode: 'flow',
            flow: id,
            carrier: 'telco',
          })),
        },
      ],
      flows,
    };
  }

  /** Waits until a live call of this number is answered and stands at a node of its flow. */
  async stands(flowId: string, nodeId: string, limitMs = 10_000): Promise<void> {
    const called = this.numberOf(flowId);
    let last = '';
    await bounded(`a call of ${flowId} at ${nodeId}`, limitMs, async () => {
      last = await (await this.node.get('/api/calls')).text();
      const calls = (
        JSON.parse(last) as { calls: { calledE164: string; legs: { node?: string; answered?: string } }[] }
      ).calls;
      return calls.some(
        (call) => call.calledE164 === called && call.legs.node === nodeId && call.legs.answered === 'yes',
      );
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${last}\n${this.#told()}`);
    });
  }

  /** The one record of calls of this number that came after the first `since` records. */
  async recordOf(flowId: string, since = 0, limitMs = 10_000): Promise<CallRecord> {
    const called = this.numberOf(flowId);
    const find = (): CallRecord[] =>
      this.node
        .records()
        .slice(since)
        .filter((one) => one.calledE164 === called);
    await bounded(`a record of ${flowId}`, limitMs, () => find().length > 0);
    // A second one would be written by the time that nothing of the call lives any more.
    await this.node.quiet();
    const found = find();
    if (found.length !== 1) throw new Error(`${found.length} records of ${flowId}\n${this.#told()}`);
    return found[0] as CallRecord;
  }

  async media(): Promise<MediaDump> {
    return ((await this.node.dump()) as unknown as { media: MediaDump }).media;
  }

  /** Waits until a bot has said so many messages in a stream that is open now. */
  async botHasSaid(messages: number, limitMs = 10_000): Promise<void> {
    await bounded(`a bot that has said ${messages} messages`, limitMs, async () => {
      const { workers } = await this.media();
      const streams = workers.flatMap(({ state }) =>
        Object.values(state?.endpoints ?? {}).flatMap((one) => one.streams),
      );
      return streams.some(({ framesReceived }) => framesReceived >= messages);
    });
  }

  /** Waits until the media plane holds nothing of any call. @throws with what it holds */
  async mediaQuiet(limitMs = 5000): Promise<void> {
    let last: MediaDump | undefined;
    await bounded('nothing lives in the media plane', limitMs, async () => {
      last = await this.media();
      return last.endpoints === 0 && last.ports.used === 0 && last.http.running === 0;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${JSON.stringify(last, null, 1)}`);
    });
  }

  #told(): string {
    return this.node
      .records()
      .map(({ decision: _decision, ...record }) => JSON.stringify(record))
      .join('\n');
  }
}

/** `node:exit` of each step of the flow's way, in order. */
export const wayOf = (record: CallRecord): string[] =>
  (record.flow?.path ?? []).map((step) => `${step.node}:${step.exit}`);

/** `tandem bot echo` (or `tone`) as a process. */
export class BotProcess {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.#exited = once(child, 'close');
    this.url = url;
  }

  static async start(host: string, port: number, name: 'echo' | 'tone' = 'echo'): Promise<BotProcess> {
    const args = [MAIN, 'bot', name, '--listen', `${host}:${port}`];
    const child = spawnBound(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const bot = new BotProcess(child, `ws://${host}:${port}/`);
    await new Promise<void>((resolve, reject) => {
      child.stdout?.on('data', (chunk: Buffer) => {
        if (chunk.toString().includes('listens')) resolve();
      });
      child.once('exit', () => reject(new Error('the bot did not start')));
    });
    return bot;
  }

  /** SIGSTOP: it is there, and says nothing. */
  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** A web server that keeps the paths that it was asked for. */
export async function webServer(
  place: { readonly host: string; readonly port: number },
  serve: RequestListener,
): Promise<{ readonly url: string; readonly paths: string[]; close(): Promise<void> }> {
  const paths: string[] = [];
  const server: Server = createServer((request, response) => {
    paths.push(request.url ?? '');
    serve(request, response);
  });
  server.listen(place.port, place.host);
  await once(server, 'listening');
  return {
    url: `http://${place.host}:${place.port}/`,
    paths,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
