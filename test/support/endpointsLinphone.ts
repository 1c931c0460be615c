/** linphonec as a PBX's telephone: answers by itself, has files for a sound card, is commanded over its standard input. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Endpoint } from './endpoints.js';
import { samplesOf, toneWav } from './soundFiles.js';

export interface LinphonePlan {
  readonly address: string;
  readonly port: number;
  /** User of its address of record: the number it is called by and calls from. */
  readonly user: string;
  /** Where it registers, and with which password. Default: nowhere. */
  readonly register?: { readonly registrar: string; readonly password: string };
  /** What its microphone hears; without it there is none, and it does not keep what it hears either. */
  readonly toneHz?: number;
  /** Default 18720-18799. */
  readonly rtpPorts?: string;
  /** How it tells of keys. Default RFC 4733. */
  readonly keysBy?: 'info' | 'rtp';
}

export class Linphone {
  readonly #endpoint: Endpoint;
  readonly #folder: string;
  #begun = 0;

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
      args: ['-c', join(folder, 'linphonerc'), '-a', '-d', '6', '-l', join(folder, 'trace.log')],
      cwd: folder,
      env: { HOME: folder },
      stdin: 'pipe',
    });
    await endpoint.bound('udp', plan.address, plan.port);
    await endpoint.bound('tcp', plan.address, plan.port);
    endpoint.say('soundcard use files');
    if (plan.toneHz !== undefined) {
      await writeFile(join(folder, 'tone.wav'), toneWav(plan.toneHz, 60));
      endpoint.say(`play ${join(folder, 'tone.wav')}`);
      endpoint.say(`record ${join(folder, 'heard.wav')}`);
    }
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

  /** A call is about to begin: what was printed and heard before counts no more. */
  begin(): void {
    this.#begun = this.mark;
    rmSync(join(this.#folder, 'heard.wav'), { force: true });
    this.say(`record ${join(this.#folder, 'heard.wav')}`);
  }

  /** Waits for the end of the call that began. */
  async over(): Promise<void> {
    await this.printed(/Call \d+ with .* ended/, this.#begun);
  }

  /** What it heard in its last call: whole only when that is over. 8000 Hz. */
  heard(): Int16Array {
    const file = join(this.#folder, 'heard.wav');
    return existsSync(file) ? samplesOf(file) : new Int16Array(0);
  }

  /** Its own account of what it does: SIP messages among it. */
  trace(): string {
    return readFileSync(join(this.#folder, 'trace.log'), 'latin1');
  }

  async stop(): Promise<void> {
    this.say('quit');
    await this.#endpoint.stop('SIGTERM');
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const configuration = ({ address, port, user, rtpPorts, keysBy, register }: LinphonePlan): string => `
[sip]
sip_port=${port}
sip_tcp_port=${port}
sip_tls_port=0
bind_address=${address}
guess_hostname=0
contact=sip:${user}@${address}
default_proxy=${register === undefined ? -1 : 0}
use_ipv6=0
use_info=${keysBy === 'info' ? 1 : 0}
use_rfc2833=${keysBy === 'info' ? 0 : 1}
[net]
firewall_policy=0
[rtp]
bind_address=${address}
audio_rtp_port=${rtpPorts ?? '18720-18799'}
${register === undefined ? '' : accountOf(user, register)}`;

const accountOf = (user: string, { registrar, password }: NonNullable<LinphonePlan['register']>): string => `
[proxy_0]
reg_proxy=sip:${registrar}
reg_identity=sip:${user}@${registrar}
reg_expires=60
reg_sendregister=1
publish=0
[auth_info_0]
username=${user}
passwd=${password}
`;
