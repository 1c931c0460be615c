import type { TransportName } from '../ports.js';
import { type SipUri, parseUri, uriParam } from '../message/uri.js';

/** A URI's next hop before its host is looked up. */
export interface NextHop {
  readonly host: string;
  readonly port: number;
  readonly transport: TransportName;
  /**
   * What DNS may say of transport and port, RFC 3263 §4.1 and §4.2: both, the port alone, or nothing as the URI is
   * explicit. `transport` and `port` are then those to use when DNS is silent about it.
   */
  readonly open?: 'transport' | 'port' | undefined;
  /** The URI names UDP: RFC 3261 §18.1.1 does not override that here. */
  readonly pinned?: boolean;
  /** A `sips` URI: nothing but TLS will do. */
  readonly secure?: boolean;
}

/** One place to try. */
export interface Target {
  readonly transport: TransportName;
  /** Numeric. */
  readonly address: string;
  readonly port: number;
  /** The name that was looked for, which a certificate must hold (RFC 5922 §4). */
  readonly serverName: string;
}

const TRANSPORTS: ReadonlySet<string> = new Set(['udp', 'tcp', 'tls', 'ws', 'wss']);

/** RFC 3261 §26.2.2: `sips` runs whatever its parameter names over TLS, which nothing does for datagrams. */
const SECURED: { readonly [transport: string]: TransportName } = { tcp: 'tls', tls: 'tls', ws: 'wss', wss: 'wss' };

/** RFC 3261 §19.1.2; RFC 7118 §5. */
const DEFAULT_PORTS: { readonly [transport in TransportName]: number } = {
  udp: 5060,
  tcp: 5060,
  tls: 5061,
  ws: 80,
  wss: 443,
};

export const defaultPort = (transport: TransportName): number => DEFAULT_PORTS[transport];

/**
 * Transport and port of a SIP URI by RFC 3263 §4.1 and §4.2, as far as the URI itself tells. `maddr` is not followed.
 * @returns undefined when the URI is no SIP URI or names an unknown transport.
 */
const nextHopOf = (uri: SipUri): NextHop | undefined => {
  if (uri.scheme !== 'sip' && uri.scheme !== 'sips') return undefined;
  if (uri.host === '') return undefined;
  const secure = uri.scheme === 'sips';
  const named = uriParam(uri, 'transport')?.toLowerCase();
  if (named !== undefined && !TRANSPORTS.has(named)) return undefined;
  const transport = secure ? SECURED[named ?? 'tls'] : ((named ?? 'udp') as TransportName);
  if (transport === undefined) return undefined;
  const explicit = uri.port !== undefined || isNumericHost(uri.host);
  const open = explicit ? undefined : named === undefined ? 'transport' : 'port';
  return {
    host: uri.host,
    port: uri.port ?? DEFAULT_PORTS[transport],
    transport,
    open,
    secure,
    pinned: named === 'udp',
  };
};

export const nextHopOfText = (text: string): NextHop | undefined => {
  const uri = parseUri(text);
  return uri === undefined ? undefined : nextHopOf(uri);
};

/** Whether requests can be sent to a URI, as far as its scheme tells. */
export const isSipUri = (text: string): boolean => {
  if (text.startsWith('sip:')) return true;
  const scheme = text.slice(0, text.indexOf(':')).toLowerCase();
  return scheme === 'sip' || scheme === 'sips';
};

/** Dotted IPv4 or anything with a colon (IPv6): no look-up needed. */
export const isNumericHost = (host: string): boolean => {
  if (host.includes(':')) return true;
  let dots = 0;
  for (let i = 0; i < host.length; i++) {
    const code = host.charCodeAt(i);
    if (code === 46) dots++;
    else if (code < 48 || code > 57) return false;
  }
  return dots === 3;
};
