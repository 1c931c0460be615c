/** How the node dials its media servers: fsmrf wants a drachtio-server below it, ours or another. */
import { type Config, parseHostPort } from '../config/index.js';
import { DrachtioServer, type DrachtioServerOptions } from '../drachtio/index.js';
import { TandemError } from '../kernel/index.js';
import type { LogSink } from '../observe/index.js';
import { SrfAgent, type SrfAgentPlace } from '../signal/index.js';

type Deps = Pick<DrachtioServerOptions, 'clock' | 'random' | 'network'> & { readonly logger: LogSink['logger'] };

/** Our own drachtio server, and where programs of this process find it. */
export interface Neighbour {
  readonly server: DrachtioServer;
  readonly secret: string;
}

/**
 * The drachtio server on the embedded engine: for other programs where `drachtio.listen` says so, and for FreeSWITCH,
 * which gets one of its own on loopback, with a secret that nobody else knows, where it does not.
 */
export const createNeighbour = (config: Config, { logger, clock, random, network }: Deps): Neighbour | undefined => {
  const { listen, tlsListen, secret } = config.drachtio;
  const onError = (error: unknown): void => logger.error({ err: error }, 'fault in the drachtio server');
  const deps = { clock, random, network, onError };
  if (config.sip.engine !== 'embedded') return undefined;
  if (listen === undefined) {
    if (config.media.engine !== 'freeswitch') return undefined;
    const own = random.hex(32);
    const place = { address: '127.0.0.1', port: 0 };
    return { server: new DrachtioServer({ ...deps, listen: place, secret: own }), secret: own };
  }
  const place = parseHostPort(listen);
  if (place === undefined || secret === undefined) {
    throw new TandemError({
      code: 'drachtio_listen_invalid',
      message: 'drachtio.listen needs host:port and drachtio.secret a value',
    });
  }
  const at = { address: place.host, port: place.port };
  const tls = tlsListen === undefined ? undefined : parseHostPort(tlsListen);
  const listenTls = tls === undefined ? undefined : { address: tls.host, port: tls.port };
  return { server: new DrachtioServer({ ...deps, listen: at, listenTls, secret }), secret };
};

/** @returns undefined where audio needs no dialling */
export const createMediaAgent = (config: Config, { clock, random, logger }: Deps): SrfAgent | undefined =>
  config.media.engine !== 'freeswitch'
    ? undefined
    : new SrfAgent({
        ...{ clock, random },
        logger: (message, error) => logger.warn({ err: error }, message),
        onAvailability: (up, detail) => {
          if (!up) logger.warn({ detail }, 'media servers cannot be dialled');
        },
      });

/** @param bound where our own server listens; undefined: there is none */
export const agentPlace = (
  config: Config,
  bound: { readonly address: string; readonly port: number } | undefined,
  neighbour: Neighbour | undefined,
): SrfAgentPlace => {
  if (bound === undefined || neighbour === undefined) return config.sip.drachtio;
  // What listens on every address is reached on loopback.
  const host = bound.address === '0.0.0.0' ? '127.0.0.1' : bound.address === '::' ? '::1' : bound.address;
  return { host, port: bound.port, secret: neighbour.secret };
};
