import type { Clock, Random, SocketAddress, StreamConnection, StreamSink } from '../../kernel/index.js';
import type { Path } from './link.js';
import type { Fate, SimPacket, Verdict } from './packet.js';

/** What simulated sockets need of the world they are in. */
export interface SimFabric {
  readonly clock: Clock;
  readonly random: Random;
  readonly connectTimeoutMs: number;
  path(from: string, to: string): Path;
  judge(packet: SimPacket): Verdict;
  record(packet: SimPacket, fate: Fate): void;
  at(address: string): SimStation | undefined;
}

/** What simulated sockets need of a host: their own, and the one they send to. */
export interface SimStation {
  readonly blackholed: boolean;
  datagramAt(to: SocketAddress): { arrive(packet: SimPacket): void } | undefined;
  listenerAt(to: SocketAddress): SimAcceptor | undefined;
  sourceFor(peer: string): string;
  ephemeralPort(): number;
  closed(socket: SimSocket): void;
  opened(stream: SimSocket): void;
}

export interface SimAcceptor {
  accept(connection: StreamConnection): StreamSink;
}

/** An open socket, as a host keeps it. */
export interface SimSocket {
  readonly kind: 'udp' | 'tcp';
  readonly local: SocketAddress;
}
