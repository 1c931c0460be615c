/** A real node: `tandem start` as a child process with its own configuration, addresses and folder. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { bounded, spawnBound } from './endpoints.js';

/** The compiled program: build/src/main.js beside build/test. */
export const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

export interface NodePlan {
  /** Address of SIP and of the administration. */
  readonly address: string;
  /** Default 18000: SIP over UDP and TCP; the administration has the next. */
  readonly port?: number;
  /** Default: udp and tcp of the address. */
  readonly listen?: readonly string[];
  /** The routing document, as an object. */
  readonly routing: object;
  /** Variables of its environment, beside our own. */
  readonly env?: { readonly [name: string]: string };
  /** Of a node that was there before, or that comes back: it is not removed. Default: one of its own. */
  readonly folder?: string;
  /** More of the configuration, by section. */
  readonly config?: { readonly [section: string]: object };
}

/** The parts of /api/dump that tests look at. */
export interface NodeDump {
  readonly service: { readonly draining: boolean; readonly liveCalls: number };
  readonly signal: {
    /** Over drachtio-srf: each of them. */
    readonly legs: number | readonly object[];
    /** The embedded engine's own. */
    readonly dialogs?: number;
    readonly clientTransactions: number;
    readonly serverTransactions: number;
    readonly unlistedRefused: number;
  };
  readonly limits: { readonly calls: number };
  readonly recordsPending: number;
}

/** Generous: the machine may be busy with other tests. */
const START_LIMIT_MS = 60_000;

export class TandemNode {
  readonly address: string;
  readonly port: number;
  readonly folder: string;
  readonly configFile: string;
  /** Lines of its log so far. */
  readonly log: string[] = [];
  readonly #child: ChildProcess;
  readonly #keepsFolder: boolean;
  readonly #exited: Promise<readonly [code: number | null, signal: string | null]>;
  #onLine: (() => void) | undefined;
  #gone = false;

  private constructor(plan: NodePlan, folder: string) {
    this.address = plan.address;
    this.port = plan.port ?? 18_000;
    this.folder = folder;
    this.#keepsFolder = plan.folder !== undefined;
    this.configFile = join(folder, 'tandem.yaml');
    const child = spawnBound(process.execPath, [MAIN, 'start', '--config', this.configFile], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...plan.env },
    });
    this.#child = child;
    this.#exited = once(child, 'close').then(([code, signal]) => {
      this.#gone = true;
      this.#onLine?.();
      return [code as number | null, signal as string | null] as const;
    });
    for (const stream of [child.stdout, child.stderr]) this.#read(stream as NodeJS.ReadableStream);
  }

  /** Resolves when it has said that it is up. */
  static async start(plan: NodePlan): Promise<TandemNode> {
    const folder = plan.folder ?? (await mkdtemp(join(tmpdir(), 'tandem-node-')));
    const port = plan.port ?? 18_000;
    const host = plan.address.includes(':') ? `[${plan.address}]` : plan.address;
    const config = {
      node: { id: 'interop' },
      sip: { listen: plan.listen ?? [`udp://${host}:${port}`, `tcp://${host}:${port}`] },
      store: { kind: 'file', path: './routing.yaml' },
      admin: { listen: `${host}:${port + 1}` },
      cdr: { path: './cdr' },
      registrar: { path: './registrations.jsonl' },
      ...plan.config,
    };
    // JSON is YAML.
    await writeFile(join(folder, 'tandem.yaml'), JSON.stringify(config, null, 2));
    await writeFile(join(folder, 'routing.yaml'), JSON.stringify(plan.routing, null, 2));
    const node = new TandemNode(plan, folder);
    await node.logged(/"msg":"tandem is up"/, START_LIMIT_MS);
    return node;
  }

  /** Where callers send: `host:port`. */
  get hostPort(): string {
    return this.address.includes(':') ? `[${this.address}]:${this.port}` : `${this.address}:${this.port}`;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** First line of the log that matches, now or later. */
  async logged(pattern: RegExp, limitMs = 5000): Promise<string> {
    const late = AbortSignal.timeout(limitMs);
    for (;;) {
      const line = this.log.find((one) => pattern.test(one));
      if (line !== undefined) return line;
      if (this.#gone) throw new Error(`tandem ended before it logged ${String(pattern)}:\n${this.log.join('\n')}`);
      await new Promise<void>((resolve, reject) => {
        const onLate = (): void => {
          reject(
            new Error(`tandem did not log ${String(pattern)} in ${limitMs} ms:\n${this.log.slice(-40).join('\n')}`),
          );
        };
        if (late.aborted) return onLate();
        late.addEventListener('abort', onLate, { once: true });
        this.#onLine = () => {
          late.removeEventListener('abort', onLate);
          resolve();
        };
      });
    }
  }

  /** All call records written so far, oldest first. */
  records(): CallRecord[] {
    let text: string;
    try {
      text = readFileSync(join(this.folder, 'cdr', 'cdr.jsonl'), 'utf8');
    } catch {
      return [];
    }
    const lines = text.split('\n');
    // The last piece is empty, or a line that is being written.
    lines.pop();
    return lines.map((line) => JSON.parse(line) as CallRecord);
  }

  /** The record of the call with this Call-ID on the caller's leg: exactly one. */
  async record(aLegCallId: string, limitMs = 5000): Promise<CallRecord> {
    let found: CallRecord[] = [];
    await bounded(`call record of ${aLegCallId}`, limitMs, () => {
      found = this.records().filter((record) => record.aLegCallId === aLegCallId);
      return found.length > 0;
    });
    if (found.length !== 1) throw new Error(`${found.length} call records of ${aLegCallId}`);
    return found[0] as CallRecord;
  }

  async get(path: string): Promise<Response> {
    const host = this.address.includes(':') ? `[${this.address}]` : this.address;
    return fetch(`http://${host}:${this.port + 1}${path}`, { signal: AbortSignal.timeout(5000) });
  }

  async dump(): Promise<NodeDump> {
    return (await (await this.get('/api/dump')).json()) as NodeDump;
  }

  /** Value of one series of /metrics, labels as printed; 0 where there is none. */
  async metric(series: string): Promise<number> {
    const text = await (await this.get('/metrics')).text();
    const line = text.split('\n').find((one) => one.startsWith(`${series} `));
    return line === undefined ? 0 : Number(line.slice(series.length + 1));
  }

  /** Waits until no call, leg or dialog lives, and no limit is held. */
  async quiet(limitMs = 5000): Promise<void> {
    let last: NodeDump | undefined;
    await bounded('nothing lives in the node', limitMs, async () => {
      last = await this.dump();
      const { service, signal, limits } = last;
      const legs = typeof signal.legs === 'number' ? signal.legs : signal.legs.length;
      return service.liveCalls + legs + (signal.dialogs ?? 0) + limits.calls === 0;
    }).catch(async (error: unknown) => {
      const calls = await (await this.get('/api/calls')).text();
      throw new Error(`${String(error)}\n${JSON.stringify(last, null, 1)}\n${calls}`);
    });
  }

  /** Publishes another routing document and waits until it is in force. */
  async publish(routing: object): Promise<void> {
    const before = this.log.length;
    await writeFile(join(this.folder, 'routing.yaml'), JSON.stringify(routing, null, 2));
    await bounded('the new routing table', 5000, () =>
      this.log.slice(before).some((line) => line.includes('routing table is in place')),
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Exit code and signal, once it is gone. @throws when that takes longer */
  async ended(limitMs = 15_000): Promise<readonly [code: number | null, signal: string | null]> {
    const limit = setTimeout(() => this.#child.kill('SIGKILL'), limitMs);
    const end = await this.#exited;
    clearTimeout(limit);
    return end;
  }

  /**
   * The end of a test: nothing lives, nothing went wrong inside, SIGTERM ends it with code 0.
   * @param expected complaints of the log that belong to the test
   * @throws with what was left
   */
  async stop(expected?: RegExp): Promise<void> {
    try {
      if (this.#gone) throw new Error(`tandem ended by itself:\n${this.log.slice(-40).join('\n')}`);
      await this.quiet();
      this.signal('SIGTERM');
      const [code, signal] = await this.ended();
      if (code !== 0) throw new Error(`tandem ended with ${code ?? signal}:\n${this.log.slice(-40).join('\n')}`);
      const faults = this.log.filter(
        (line) => /"level":"(error|fatal)"|^tandem: |Error: /.test(line) && expected?.test(line) !== true,
      );
      if (faults.length > 0) throw new Error(`tandem logged faults:\n${faults.join('\n')}`);
    } finally {
      await this.destroy();
    }
  }

  /** Ends it at once, if it lives, and removes its folder, if it is its own. */
  async destroy(): Promise<void> {
    this.signal('SIGKILL');
    await this.#exited;
    if (!this.#keepsFolder) await rm(this.folder, { recursive: true, force: true });
  }

  #read(stream: NodeJS.ReadableStream): void {
    let rest = '';
    stream.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      this.log.push(...lines);
      this.#onLine?.();
    });
  }
}
