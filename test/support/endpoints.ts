/** Other people's SIP programs as child processes: started when they listen, ended with the test, whatever happens. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const FOLDERS = ['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/local/bin', '/usr/local/sbin'];

/** Path of a program. A missing one fails the test with the name of its Debian package: CI installs them. */
export function programPath(program: string, debianPackage: string): string {
  for (const folder of FOLDERS) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Next folder.
    }
  }
  throw new Error(`${program} is not installed: apt-get install ${debianPackage}`);
}

/**
 * A child that cannot outlive us: where a test is killed (a timeout, ^C) no handler of ours runs, so the kernel is asked
 * to end it, PR_SET_PDEATHSIG. setpriv becomes the program: the pid is the child's own.
 */
export function spawnBound(path: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const setpriv = programPath('setpriv', 'util-linux');
  return spawn(setpriv, ['--pdeathsig', 'KILL', '--', path, ...args], options);
}

export interface EndpointPlan {
  readonly program: string;
  readonly debianPackage: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Kept open for `say`. Default: nothing to read. */
  readonly stdin?: 'pipe';
}

export class Endpoint {
  readonly name: string;
  /** What it printed, both streams together. */
  output = '';
  readonly #child: ChildProcess;
  readonly #exited: Promise<number>;
  #waiting: (() => void) | undefined;

  constructor(plan: EndpointPlan) {
    this.name = plan.program;
    const path = programPath(plan.program, plan.debianPackage);
    const child = spawnBound(path, plan.args, {
      cwd: plan.cwd,
      env: { ...process.env, TERM: 'xterm', ...plan.env },
      stdio: [plan.stdin ?? 'ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#exited = once(child, 'close').then(([code, signal]) => {
      this.#waiting?.();
      return (code as number | null) ?? (signal === 'SIGKILL' ? 137 : 143);
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString('utf8');
        this.#waiting?.();
      });
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Exit code, once the process is gone and its output read. */
  get exited(): Promise<number> {
    return this.#exited;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Waits until the output matches; output before `from` does not count. */
  async printed(pattern: RegExp, limitMs = 10_000, from = 0): Promise<RegExpExecArray> {
    const signal = AbortSignal.timeout(limitMs);
    for (;;) {
      const found = pattern.exec(this.output.slice(from));
      if (found !== null) return found;
      if (!this.running) throw new Error(`${this.name} ended before it printed ${String(pattern)}:\n${this.#tail()}`);
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
          reject(new Error(`${this.name} did not print ${String(pattern)} in ${limitMs} ms:\n${this.#tail()}`));
        };
        signal.addEventListener('abort', onAbort, { once: true });
        this.#waiting = () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        };
        if (signal.aborted) onAbort();
      });
    }
  }

  /** Waits until a socket of this address is bound, as the kernel sees it. */
  async bound(transport: 'udp' | 'tcp', address: string, port: number, limitMs = 10_000): Promise<void> {
    await bounded(`${this.name} on ${transport}/${address}:${port}`, limitMs, () => {
      if (!this.running) throw new Error(`${this.name} ended before it listened:\n${this.#tail()}`);
      return isBound(transport, address, port);
    });
  }

  /** Asks it to go; a process that does not is ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 3000): Promise<number> {
    if (this.running) this.#child.kill(signal);
    const limit = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    const code = await this.#exited;
    clearTimeout(limit);
    return code;
  }

  #tail(): string {
    return this.output.slice(-4000);
  }
}

const LOOK_EVERY_MS = 15;

/** For what tells nobody when it happens: asks again until it is so. @throws with `what` after the limit */
export async function bounded(what: string, limitMs: number, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + limitMs;
  while (!(await isSo())) {
    if (performance.now() > until) throw new Error(`not within ${limitMs} ms: ${what}`);
    await pause(LOOK_EVERY_MS);
  }
}

/** Reads the kernel's socket tables: nothing is sent, so nothing is disturbed. */
export function isBound(transport: 'udp' | 'tcp', address: string, port: number): boolean {
  const wanted = `${hexAddress(address)}:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const table = readFileSync(`/proc/net/${transport}${address.includes(':') ? '6' : ''}`, 'latin1');
  return table.split('\n').some((line) => {
    const [, local, , state] = line.trim().split(/\s+/);
    return local === wanted && (transport === 'udp' || state === '0A');
  });
}

/** As /proc/net writes it: 32-bit words, little endian. IPv6: `::1` only. */
function hexAddress(address: string): string {
  if (address.includes(':')) {
    if (address !== '::1') throw new Error(`only ::1 can be looked up, not ${address}`);
    return `${'0'.repeat(24)}01000000`;
  }
  const octets = address.split('.').map((octet) => Number(octet).toString(16).toUpperCase().padStart(2, '0'));
  return octets.reverse().join('');
}
