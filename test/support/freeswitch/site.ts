/** A FreeSWITCH engine with all that it needs below it: stand-ins, and our own drachtio face to dial them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock, SystemRandom } from '../../../src/kernel/index.js';
import {
  type EndpointEvents,
  type EndpointSpec,
  FreeswitchMedia,
  type FreeswitchMediaDeps,
  type MediaPort,
} from '../../../src/media/index.js';
import { SrfAgent } from '../../../src/signal/index.js';
import { DrachtioRig, SECRET } from '../drachtioRig.js';
import { FreeswitchStandIn, type StandInOptions } from './standIn.js';

export interface SiteOptions {
  /** Where Tandem is. */
  readonly address: string;
  readonly servers: readonly StandInOptions[];
  /** What we say the secret is; default: the right one. */
  readonly secret?: string;
  readonly patience?: FreeswitchMediaDeps['patience'];
}

export class FreeswitchSite implements MediaPort {
  readonly standIns: readonly FreeswitchStandIn[];
  /** What the engine has reported. */
  readonly reports: { readonly message: string; readonly detail: object }[] = [];
  readonly #options: SiteOptions;
  #media: FreeswitchMedia | undefined;
  #rig: DrachtioRig | undefined;
  #agent: SrfAgent | undefined;
  #scratch = '';

  constructor(options: SiteOptions) {
    this.#options = options;
    this.standIns = options.servers.map((server) => new FreeswitchStandIn(server));
  }

  get rig(): DrachtioRig {
    return this.#rig as DrachtioRig;
  }

  async start(): Promise<void> {
    const { address, servers, secret, patience } = this.#options;
    this.#scratch = await mkdtemp(join(tmpdir(), 'fsmrf-'));
    for (const standIn of this.standIns) await standIn.start();
    this.#rig = await DrachtioRig.start({ address });
    const deps = { clock: new SystemClock(), random: new SystemRandom() };
    const agent = new SrfAgent(deps);
    this.#agent = agent;
    await agent.connect({ host: this.#rig.control.address, port: this.#rig.control.port, secret: SECRET });
    this.#media = new FreeswitchMedia(
      {
        servers: servers.map((server) => ({
          address: server.address,
          port: server.eslPort,
          secret: secret ?? server.secret ?? 'ClueCon',
          profile: 'drachtio_mrf',
          listenAddress: address,
        })),
        scratchPath: this.#scratch,
        botNetworks: ['127.0.0.0/8'],
      },
      { ...deps, patience, dialer: agent, report: (message, detail) => this.reports.push({ message, detail }) },
    );
    await this.#media.start();
  }

  open(spec: EndpointSpec, events: EndpointEvents): ReturnType<MediaPort['open']> {
    return (this.#media as FreeswitchMedia).open(spec, events);
  }

  async dump(): Promise<object> {
    return (await this.#media?.dump()) ?? {};
  }

  async stop(): Promise<void> {
    await this.#media?.stop();
    await this.#agent?.close();
    for (const standIn of this.standIns) await standIn.stop();
    await this.#rig?.stop();
    await rm(this.#scratch, { recursive: true, force: true });
  }
}
