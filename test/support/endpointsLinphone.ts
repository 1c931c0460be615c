/** linphonec as a PBX's telephone: answers by itself, has files for a sound card, is commanded over its standard input. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Endpoint } from './endpoints.js';

export interface LinphonePlan {
  readonly address: string;
  readonly port: number;
  /** User of its address of record: the number it is called by and calls from. */
  readonly user: string;
}

export class Linphone {
  readonly #endpoint: Endpoint;
  readonly #folder: string;

  private constructor(endpoint: Endpoint, folder: string) {
    this.#endpoint = endpoint;
    this.#folder = folder;
  }

  /** Resolves when it can be called and commanded. */
  static async start(plan: LinphonePlan): Promise<Linphone> {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-linphone-'));
    // Without it there is no database, and without that some versions take no calls.
    await mkdir(join(folder, '.local', 'share', 'linphone'), { recursive: true });
    await writeFile(join(folder, 'linphonerc'), configuration(plan));
    const endpoint = new Endpoint({
      program: 'linphonec',
      debianPackage: 'linphone-cli',
      args: ['-c', join(folder, 'linphonerc'), '-a'],
      cwd: folder,
      env: { HOME: folder },
      stdin: 'pipe',
    });
    await endpoint.bound('udp', plan.address, plan.port);
    await endpoint.bound('tcp', plan.address, plan.port);
    endpoint.say('soundcard use files');
    return new Linphone(endpoint, folder);
  }

  /** Length of what it printed so far: `printed` from there on. */
  get mark(): number {
    return this.#endpoint.output.length;
  }

  say(line: string): void {
    this.#endpoint.say(line);
  }

  /** Waits for a line such as `Call 1 with ... connected`. */
  async printed(pattern: RegExp, from: number): Promise<void> {
    await this.#endpoint.printed(pattern, 8000, from);
  }

  async stop(): Promise<void> {
    this.say('quit');
    await this.#endpoint.stop('SIGTERM');
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const configuration = ({ address, port, user }: LinphonePlan): string => `
[sip]
sip_port=${port}
sip_tcp_port=${port}
sip_tls_port=0
bind_address=${address}
guess_hostname=0
contact=sip:${user}@${address}
default_proxy=-1
[net]
firewall_policy=0
[rtp]
audio_rtp_port=18720-18799
`;
