/** A kamailio with a configuration of ours, in a folder of its own; its parts in a call are classes of this one. */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Endpoint } from './endpoints.js';

/** Debian keeps them by architecture: /usr/lib/x86_64-linux-gnu/kamailio/modules. */
export const modulesFolder = (): string => {
  for (const folder of readdirSync('/usr/lib')) {
    const modules = join('/usr/lib', folder, 'kamailio', 'modules');
    if (existsSync(modules)) return `${modules}/`;
  }
  throw new Error('the modules of kamailio are not installed: apt-get install kamailio');
};

interface KamailioProgramPlan {
  readonly configuration: string;
  readonly address: string;
  /** Awaited, in this order. */
  readonly ports: readonly (readonly [transport: 'udp' | 'tcp', port: number])[];
  /** Megabytes: shared, and of each process; default 32 and 4. */
  readonly memory?: readonly [shared: number, own: number];
}

/** One that listens, and the folder to be taken away with it. */
interface Running {
  readonly endpoint: Endpoint;
  readonly folder: string;
}

export class KamailioProgram {
  protected readonly endpoint: Endpoint;
  readonly #folder: string;

  protected constructor({ endpoint, folder }: Running) {
    this.endpoint = endpoint;
    this.#folder = folder;
  }

  /** Resolves when it listens. */
  protected static async run({
    configuration,
    address,
    ports,
    memory = [32, 4],
  }: KamailioProgramPlan): Promise<Running> {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-kamailio-'));
    const file = join(folder, 'kamailio.cfg');
    await writeFile(file, configuration);
    const [shared, own] = memory;
    const endpoint = new Endpoint({
      program: 'kamailio',
      debianPackage: 'kamailio',
      args: ['-f', file, '-DD', '-E', '-Y', folder, '-w', folder, '-m', String(shared), '-M', String(own)],
      cwd: folder,
    });
    for (const [transport, port] of ports) await endpoint.bound(transport, address, port);
    return { endpoint, folder };
  }

  get output(): string {
    return this.endpoint.output;
  }

  async stop(): Promise<void> {
    await this.endpoint.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
