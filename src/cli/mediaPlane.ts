import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { FlowPlane } from '../call/session/flow/world.js';
import { type Config, isLoopbackHost } from '../config/index.js';
import type { Clock, Random } from '../kernel/index.js';
import {
  EmbeddedMedia,
  type EmbeddedMediaDeps,
  FreeswitchMedia,
  type MediaPort,
  type SrfDialer,
  spawnThread,
} from '../media/index.js';
import { LocalSpeech } from '../media/play/tts.js';
import { egressPolicy } from '../media/stream/egress.js';
import { HttpClient } from '../net/index.js';
import type { LogSink } from '../observe/index.js';
import { VERSION } from './version.js';

export interface MediaPlaneDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: LogSink['logger'];
  /** Default: threads. */
  readonly spawnWorker?: EmbeddedMediaDeps['spawn'] | undefined;
  /** Of media servers; needed where media.engine is freeswitch. */
  readonly dialer?: SrfDialer | undefined;
}

const embedded = ({ media }: Config, { clock, random, logger, spawnWorker }: MediaPlaneDeps): MediaPort =>
  new EmbeddedMedia(
    {
      workers: media.workers ?? availableParallelism(),
      address: media.address,
      bindAddress: media.bindAddress,
      rtpPorts: media.rtpPorts,
      botNetworks: media.egress,
    },
    {
      ...{ clock, random },
      spawn: spawnWorker ?? spawnThread(new URL('./mediaWorker.js', import.meta.url)),
      onCrash: (reason) => logger.warn({ reason }, 'a media worker died and is started anew'),
    },
  );

const freeswitch = ({ media }: Config, dialer: SrfDialer, { clock, random, logger }: MediaPlaneDeps): MediaPort =>
  new FreeswitchMedia(
    {
      servers: media.freeswitch.map((server) => ({
        ...server,
        listenAddress: server.listenAddress ?? nearTo(server.address) ?? media.bindAddress ?? media.address,
      })),
      // Beside the recordings: a folder that media servers share with us.
      scratchPath: join(media.recordingsPath, '.scratch'),
      botNetworks: media.egress,
    },
    { ...{ clock, random, dialer }, report: (message, detail) => logger.warn(detail, message) },
  );

/** A server on loopback reaches us there. */
const nearTo = (address: string): string | undefined => (isLoopbackHost(address) ? '127.0.0.1' : undefined);

/** What flows stand on, put together: audio on worker threads or media servers, questions to web servers, speech, folders. */
export class MediaPlane {
  readonly plane: FlowPlane;
  readonly #config: Config['media'];
  readonly #media: MediaPort;
  readonly #http: HttpClient;
  readonly #speech: LocalSpeech;
  readonly #log: LogSink['logger'];

  constructor(config: Config, deps: MediaPlaneDeps) {
    const { clock, logger, dialer } = deps;
    const { media } = config;
    this.#config = media;
    this.#log = logger;
    this.#media = dialer === undefined ? embedded(config, deps) : freeswitch(config, dialer, deps);
    this.#http = new HttpClient({ clock, mayConnect: egressPolicy(media.egress), userAgent: `tandem/${VERSION}` });
    this.#speech = new LocalSpeech({ clock });
    this.plane = {
      media: this.#media,
      http: this.#http,
      speech: this.#speech,
      settings: {
        soundsPath: media.soundsPath,
        recordingsPath: media.recordingsPath,
        recordingsUrl: media.recordingsUrl,
        mediaTimeoutMs: media.timeoutMs,
      },
    };
  }

  async start(): Promise<void> {
    const { recordingsPath } = this.#config;
    await mkdir(recordingsPath, { recursive: true }).catch((error: unknown) => {
      this.#log.warn({ err: error, recordingsPath }, 'the folder of recordings cannot be made: recordings will fail');
    });
    await this.#media.start();
  }

  async stop(): Promise<void> {
    this.#http.close();
    this.#speech.close();
    await this.#media.stop();
  }

  /** Port pairs of the embedded engine; undefined where another one has them. */
  get ports(): EmbeddedMedia['ports'] | undefined {
    return this.#media instanceof EmbeddedMedia ? this.#media.ports : undefined;
  }

  async dump(): Promise<object> {
    return { ...(await this.#media.dump()), http: this.#http.dump() };
  }
}
