import type { SocketAddress, StreamConnection, StreamSink } from '../../kernel/index.js';
import { isWildcard } from '../addresses.js';
import type { SimFabric, SimStation } from './fabric.js';
import { SimStream } from './stream.js';

interface Dialling {
  readonly sink: StreamSink;
  readonly timeoutMs: number | undefined;
  readonly from: string | undefined;
}

/** Opens a stream from a host: the request travels to the remote host, which accepts, refuses or stays silent. */
export const dial = (
  fabric: SimFabric,
  station: SimStation,
  remote: SocketAddress,
  { sink, timeoutMs, from = '::' }: Dialling,
): StreamConnection => {
  const address = isWildcard(from) ? station.sourceFor(remote.address) : from;
  const local = { address, port: station.ephemeralPort() };
  const dialled = new SimStream(fabric, station, { local, remote }, (stream) => arrive(fabric, stream));
  dialled.feed(sink);
  dialled.dial(timeoutMs);
  return dialled;
};

const arrive = (fabric: SimFabric, dialled: SimStream): void => {
  const { local, remote } = dialled;
  const target = fabric.at(remote.address);
  const acceptor = target?.listenerAt(remote);
  if (target !== undefined && acceptor !== undefined) {
    const accepted = new SimStream(fabric, target, { local: remote, remote: local });
    accepted.feed(acceptor.accept(accepted));
    accepted.answer(dialled);
  } else if (target !== undefined && !target.blackholed) {
    const back = fabric.path(remote.address, local.address);
    if (back.loses()) return;
    fabric.clock.setTimer('sim.tcp.reset', back.delayMs(), () => dialled.reset('ECONNREFUSED'));
  }
};
