import type { Clock, Random } from '../../kernel/index.js';
import { SrfLink, type SrfLogger } from './srfLink.js';
import type { SrfDialOptions, SrfDialProgress, SrfUacDialog } from './srfTypes.js';

export interface SrfAgentOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: SrfLogger | undefined;
  /** The connection came up, or was lost; it is made again by itself. */
  readonly onAvailability?: ((up: boolean, detail: string) => void) | undefined;
}

/** Where a drachtio-server, or our own, takes applications. */
export interface SrfAgentPlace {
  readonly host: string;
  readonly port: number;
  readonly secret: string;
}

/**
 * A drachtio-srf instance for libraries that are built on it, beside the application: it places calls of its own and is
 * never given one that comes in.
 */
export class SrfAgent {
  readonly #options: SrfAgentOptions;
  #link: SrfLink | undefined;

  constructor(options: SrfAgentOptions) {
    this.#options = options;
  }

  get up(): boolean {
    return this.#link?.up ?? false;
  }

  /** Resolves at the first connection; rejects when the secret is refused. */
  async connect(place: SrfAgentPlace): Promise<void> {
    const { clock, random, logger, onAvailability } = this.#options;
    const link = new SrfLink({ ...place, clock, random, logger, routes: [] });
    this.#link = link;
    await link.connect({
      onRequest: () => undefined,
      onUp: (detail) => onAvailability?.(true, detail),
      onDown: (detail) => onAvailability?.(false, detail),
    });
  }

  /** srf's own: rejects with a `status` when the INVITE is refused, or when there is no connection. */
  readonly createUAC = (uri: string, options: SrfDialOptions, progress: SrfDialProgress): Promise<SrfUacDialog> =>
    this.#link?.dial(uri, options, progress) ?? Promise.reject(new Error('no connection to the signalling server'));

  async close(): Promise<void> {
    await this.#link?.close();
  }
}
