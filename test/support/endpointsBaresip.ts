/** baresip as a PBX's telephone: no sound card, a file with a tone as its microphone, commanded over its control port. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Endpoint } from './endpoints.js';
import { samplesOf, toneWav } from './soundFiles.js';

export interface BaresipPlan {
  readonly address: string;
  readonly port: number;
  /** User of its address of record: the number it is called by and calls from. */
  readonly user: string;
  readonly transport?: 'udp' | 'tcp';
  /** Where it registers, and with which password. Default: nowhere. */
  readonly register?: { readonly registrar: string; readonly password: string; readonly seconds?: number };
  /** Rings until it is told to answer. Default: it answers at once. */
  readonly rings?: boolean;
  /** What its microphone hears. Default 500. */
  readonly toneHz?: number;
  /** Default `18600-18700`. */
  readonly rtpPorts?: string;
}

interface ControlMessage {
  readonly event?: boolean;
  readonly type?: string;
  readonly response?: boolean;
  readonly ok?: boolean;
  readonly data?: string;
}

export class Baresip {
  readonly #endpoint: Endpoint;
  readonly #folder: string;
  readonly #control: Socket;
  readonly #messages: ControlMessage[] = [];
  #buffer = Buffer.alloc(0);
  #onMessage: (() => void) | undefined;

  private constructor(endpoint: Endpoint, folder: string, control: Socket) {
    this.#endpoint = endpoint;
    this.#folder = folder;
    this.#control = control;
    control.on('data', (chunk) => this.#read(chunk));
    control.on('error', () => undefined);
  }

  /** Resolves when it can be called and commanded. */
  static async start(plan: BaresipPlan): Promise<Baresip> {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-baresip-'));
    await writeFile(join(folder, 'config'), configuration(plan, folder));
    await writeFile(join(folder, 'accounts'), `${accountOf(plan)}\n`);
    await writeFile(join(folder, 'contacts'), '\n');
    await writeFile(join(folder, 'tone.wav'), toneWav(plan.toneHz ?? 500, 60));
    const endpoint = new Endpoint({
      program: 'baresip',
      debianPackage: 'baresip-core',
      args: ['-f', folder, '-4', '-s'],
      cwd: folder,
      env: { HOME: folder },
    });
    await endpoint.printed(/baresip is ready/);
    await endpoint.bound('udp', plan.address, plan.port);
    await endpoint.bound('tcp', plan.address, controlPort(plan));
    const control = connect(controlPort(plan), plan.address);
    await once(control, 'connect');
    return new Baresip(endpoint, folder, control);
  }

  /** What it printed: its SIP trace among it. */
  get output(): string {
    return this.#endpoint.output;
  }

  /** A command of its menu, as a netstring of JSON. */
  command(command: string, params = ''): void {
    const text = JSON.stringify({ command, params, token: command });
    this.#control.write(`${Buffer.byteLength(text)}:${text},`);
  }

  /** Presses keys, as RFC 4733 has it. */
  press(keys: string): void {
    this.command('sndcode', keys);
  }

  /** What it has heard since its start: whole only when no call is up. 8000 Hz. */
  heard(): Int16Array {
    const files = readdirSync(this.#folder).filter((name) => name.endsWith('-dec.wav'));
    return Int16Array.from(files.sort().flatMap((name) => [...samplesOf(join(this.#folder, name))]));
  }

  /** Events so far are of no interest. */
  forget(): void {
    this.#messages.length = 0;
  }

  /** Waits for an event such as `CALL_ESTABLISHED`; each is waited for once. */
  async event(type: string, limitMs = 5000): Promise<void> {
    const late = AbortSignal.timeout(limitMs);
    for (;;) {
      const at = this.#messages.findIndex((message) => message.event === true && message.type === type);
      if (at >= 0) {
        this.#messages.splice(at, 1);
        return;
      }
      await new Promise<void>((resolve, reject) => {
        const onLate = (): void => {
          const known = this.#messages.map((message) => JSON.stringify(message)).join('\n');
          reject(new Error(`baresip: no ${type} in ${limitMs} ms\n${known}\n${this.output.slice(-4000)}`));
        };
        if (late.aborted) return onLate();
        late.addEventListener('abort', onLate, { once: true });
        this.#onMessage = () => {
          late.removeEventListener('abort', onLate);
          resolve();
        };
      });
    }
  }

  async stop(): Promise<void> {
    this.#control.destroy();
    await this.#endpoint.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #read(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    for (;;) {
      const colon = this.#buffer.indexOf(':');
      const length = Number(this.#buffer.toString('latin1', 0, Math.max(colon, 0)));
      if (colon < 0 || this.#buffer.length < colon + length + 2) break;
      this.#messages.push(JSON.parse(this.#buffer.toString('utf8', colon + 1, colon + 1 + length)) as ControlMessage);
      this.#buffer = this.#buffer.subarray(colon + length + 2);
    }
    this.#onMessage?.();
  }
}

const accountOf = ({ user, address, transport = 'udp', register, rings = false }: BaresipPlan): string => {
  const answers = `answermode=${rings ? 'manual' : 'auto'}`;
  if (register === undefined) return `<sip:${user}@${address};transport=${transport}>;regint=0;${answers}`;
  const { registrar, password, seconds = 60 } = register;
  return `<sip:${user}@${registrar};transport=${transport}>;auth_user=${user};auth_pass=${password};regint=${seconds};${answers}`;
};

const controlPort = (plan: BaresipPlan): number => plan.port + 2;

const configuration = (plan: BaresipPlan, folder: string): string => `
sip_listen ${plan.address}:${plan.port}
sip_trans_def udp
call_local_timeout 60
call_max_calls 4
audio_player aufile,${join(folder, 'heard.wav')}
audio_source aufile,${join(folder, 'tone.wav')}
audio_alert aufile,${join(folder, 'alert.wav')}
audio_level no
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports ${plan.rtpPorts ?? '18600-18700'}
rtp_stats no
net_interface ${plan.address}
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module sndfile.so
module ctrl_tcp.so
module_app account.so
module_app menu.so
snd_path ${folder}
ctrl_tcp_listen ${plan.address}:${controlPort(plan)}
`;
