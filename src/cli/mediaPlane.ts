import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { FlowPlane } from '../call/session/flow/world.js';
import type { Config } from '../config/index.js';
import type { Clock, Random } from '../kernel/index.js';
import { EmbeddedMedia, type EmbeddedMediaDeps, spawnThread } from '../media/index.js';
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
}

/** What flows stand on, put together: audio on worker threads, questions to web servers, speech, folders. */
export class MediaPlane {
  readonly plane: FlowPlane;
  readonly #config: Config['media'];
  readonly #media: EmbeddedMedia;
  readonly #http: HttpClient;
  readonly #speech: LocalSpeech;
  readonly #log: LogSink['logger'];

  constructor({ media }: Config, deps: MediaPlaneDeps) {
    const { clock, random, logger } = deps;
    this.#config = media;
    this.#log = logger;
    this.#media = new EmbeddedMedia(
      {
        workers: media.workers ?? availableParallelism(),
        address: media.address,
        bindAddress: media.bindAddress,
        rtpPorts: media.rtpPorts,
        botNetworks: media.egress,
      },
      {
        clock,
        random,
        spawn: deps.spawnWorker ?? spawnThread(new URL('./mediaWorker.js', import.meta.url)),
        onCrash: (reason) => logger.warn({ reason }, 'a media worker died and is started anew'),
      },
    );
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
