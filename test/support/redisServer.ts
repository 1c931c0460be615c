import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const HOST = '127.0.32.1';
const FIRST_PORT = 12_000;
const PORTS = 1_000;
const READY = /Ready to accept connections/;
const START_ATTEMPTS = 10;

export interface RedisPlan {
  readonly host?: string;
  /** First of the thousand ports of which one is taken. */
  readonly firstPort?: number;
  /** What was acknowledged is there again after a restart, also after SIGKILL. */
  readonly keeps?: boolean;
}

/** A real redis-server of its own: random loopback port, empty, keeps nothing unless it is told to. */
export class RedisServer {
  readonly port: number;
  readonly host: string;
  readonly #directory: string;
  readonly #keeps: boolean;
  #process: ChildProcess | undefined;

  private constructor(port: number, directory: string, { host = HOST, keeps = false }: RedisPlan) {
    this.port = port;
    this.host = host;
    this.#directory = directory;
    this.#keeps = keeps;
  }

  /** Fails, naming the package, when the binary is absent. */
  static async start(plan: RedisPlan = {}): Promise<RedisServer> {
    if (spawnSync('redis-server', ['--version']).error !== undefined) {
      throw new Error('redis-server is not installed: apt-get install redis-server');
    }
    const directory = await mkdtemp(join(tmpdir(), 'tandem-redis-'));
    for (let attempt = 0; attempt < START_ATTEMPTS; attempt++) {
      const server = new RedisServer(
        (plan.firstPort ?? FIRST_PORT) + Math.floor(Math.random() * PORTS),
        directory,
        plan,
      );
      if (await server.restart()) return server;
    }
    throw new Error(`redis-server did not start on any of ${START_ATTEMPTS} ports of ${plan.host ?? HOST}`);
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  /** Starts it, again after `stop`, empty unless it keeps. @returns false when the port is taken. */
  async restart(): Promise<boolean> {
    const options = ['--bind', this.host, '--port', String(this.port), '--dir', this.#directory];
    const child = spawn('redis-server', [...options, '--save', '', '--appendonly', this.#keeps ? 'yes' : 'no'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    // A test that dies, by its timeout for one, must not leave a server behind.
    const killWithUs = (): void => void child.kill('SIGKILL');
    process.once('exit', killWithUs);
    child.once('exit', () => process.removeListener('exit', killWithUs));
    let log = '';
    const ready = new Promise<boolean>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        log += chunk.toString();
        if (READY.test(log)) resolve(true);
      });
      child.once('exit', () => resolve(false));
    });
    if (!(await ready)) return false;
    this.#process = child;
    return true;
  }

  /** Ends the process at once; its data is gone, unless it keeps. */
  async stop(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Holds the process: it accepts connections (the kernel does) and answers nothing. */
  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Ends it for good and removes its directory. */
  async close(): Promise<void> {
    await this.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Sends inline commands over a plain socket, so that tests do not depend on the client under test. */
  async send(...commands: string[][]): Promise<void> {
    const socket = connect(this.port, this.host);
    await once(socket, 'connect');
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    for (const words of [...commands, ['QUIT']]) {
      socket.write(`*${words.length}\r\n${words.map((w) => `$${Buffer.byteLength(w)}\r\n${w}\r\n`).join('')}`);
    }
    await once(socket, 'close');
    const failure = /^-(.*)$/m.exec(answer);
    if (failure !== null) throw new Error(`redis: ${failure[1]}`);
  }
}
