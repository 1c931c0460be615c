/**
 * What the engine needs of the outside world. `src/net` implements these with sockets, `src/net/sim` in memory;
 * the engine itself never imports either.
 */
export type {
  DatagramSink,
  DatagramSocket,
  NameResolver as HostResolver,
  NamingRecord,
  Network as SipNetwork,
  RecordsOutcome,
  ResolveOutcome,
  ServiceRecord,
  SocketAddress,
  StreamConnection,
  StreamDial,
  StreamListener,
  StreamProtocol,
  StreamSink,
} from '../kernel/index.js';

/** Transports of RFC 3261 §18 and RFC 7118, in lower case as in URI parameters. */
export type TransportName = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';
