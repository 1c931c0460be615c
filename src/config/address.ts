import { isIP, isIPv4 } from 'node:net';
import { type Result, err, ok } from '../kernel/index.js';

export interface HostPort {
  /** Host name or numeric address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** An entry of `sip.listen`, understood. */
export interface SipListener extends HostPort {
  readonly transport: 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';
  /** What peers are told instead of host and port. */
  readonly advertise: { readonly host: string; readonly port: number | undefined } | undefined;
  /** Networks whose peers are told host and port all the same. */
  readonly localNets: readonly string[];
}

const HOST_PORT = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/;
const HOST_ALONE = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/]+))$/;
const LISTENER = /^([A-Za-z]+):\/\/(.+)$/;
const KNOWN = new Set(['udp', 'tcp', 'tls', 'ws', 'wss']);

/** Reads `host:port` or `[IPv6]:port`; undefined when malformed. Port 0 means "any free". */
export const parseHostPort = (text: string): HostPort | undefined => {
  const found = HOST_PORT.exec(text);
  const port = Number(found?.[3]);
  const host = found?.[1] ?? found?.[2];
  if (host === undefined || !(port <= 65_535)) return undefined;
  if (found?.[1] !== undefined && isIP(host) !== 6) return undefined;
  return { host: host.toLowerCase(), port };
};

/** Reads `host` or `host:port`. */
export const parseAdvertised = (text: string): { host: string; port: number | undefined } | undefined => {
  const full = parseHostPort(text);
  if (full !== undefined) return full.port === 0 ? undefined : full;
  const found = HOST_ALONE.exec(text);
  const host = found?.[1] ?? found?.[2];
  return host === undefined ? undefined : { host: host.toLowerCase(), port: undefined };
};

export interface Fault {
  readonly rule: string;
  readonly message: string;
  readonly remedy: string;
}

/** Reads `udp://127.0.0.1:5060`. */
export const parseListener = (text: string): Result<Omit<SipListener, 'advertise' | 'localNets'>, Fault> => {
  const found = LISTENER.exec(text);
  const transport = found?.[1]?.toLowerCase() ?? '';
  if (!KNOWN.has(transport)) {
    return err({
      rule: 'listen_uri',
      message: `"${text}" is not TRANSPORT://HOST:PORT`,
      remedy: 'write, for example, udp://127.0.0.1:5060 or tcp://[::1]:5060',
    });
  }
  const address = parseHostPort(found?.[2] ?? '');
  if (address === undefined || isIP(address.host) === 0) {
    return err({
      rule: 'listen_uri',
      message: `"${text}" does not name a numeric address and a port`,
      remedy: 'write, for example, udp://127.0.0.1:5060 or tcp://[::1]:5060; names go to sip.advertise',
    });
  }
  return ok({ transport: transport as SipListener['transport'], ...address });
};

/** True for 0.0.0.0 and ::, which are no addresses that a peer could answer to. */
export const isWildcard = (host: string): boolean => host === '0.0.0.0' || (isIP(host) === 6 && /^[0:]+$/.test(host));

/** True when only this machine can reach a server that listens on `host`. Names other than localhost are not trusted. */
export const isLoopbackHost = (host: string): boolean => {
  const plain = host.toLowerCase().replace(/^::ffff:(?=\d+\.)/, '');
  if (isIPv4(plain)) return plain.startsWith('127.');
  return plain === 'localhost' || (isIP(plain) === 6 && /^[0:]*:0*1$/.test(plain));
};
