import { bracketHost } from '../../kernel/index.js';
import { type ListenSpec, type Listener, familyOf } from './hop.js';
import { netsHold } from './localNets.js';

/** One bound port as its peers see it: those of the local networks by its own address, all others by what is advertised. */
export interface BoundPort {
  readonly outer: Listener;
  /** Undefined where all see the same. */
  readonly inner: Listener | undefined;
}

/** What a port calls itself towards a peer. */
export const faceTo = ({ outer, inner }: BoundPort, address: string): Listener =>
  inner?.reaches?.(address) === true ? inner : outer;

export const describePort = (
  spec: ListenSpec,
  local: { readonly address: string; readonly port: number },
  socket: Listener['socket'],
): BoundPort => {
  const { advertise, localNets = [] } = spec;
  const id = `${spec.transport}/${local.address}:${local.port}`;
  if (advertise === undefined || localNets.length === 0) {
    const host = advertise?.host ?? local.address;
    return { outer: describe(spec, local, { id, host, port: advertise?.port, socket }), inner: undefined };
  }
  const isLocal = netsHold(localNets);
  const outer = describe(spec, local, { id, host: advertise.host, port: advertise.port, socket });
  const inner = describe(spec, local, { id: `${id}/local`, host: local.address, port: undefined, socket });
  return {
    outer: { ...outer, reaches: (address) => !isLocal(address) },
    inner: { ...inner, reaches: isLocal, isInner: true },
  };
};

const describe = (
  spec: ListenSpec,
  local: { readonly address: string; readonly port: number },
  face: { id: string; host: string; port: number | undefined; socket: Listener['socket'] },
): Listener => {
  const host = bracketHost(face.host);
  const viaPort = face.port ?? local.port;
  const sentBy = `${host}:${viaPort}`;
  // RFC 7118 §5: `ws` stands for WebSocket with and without TLS.
  const named = spec.transport === 'wss' ? 'ws' : spec.transport;
  const suffix = named === 'udp' ? '' : `;transport=${named}`;
  return {
    id: face.id,
    transport: spec.transport,
    family: familyOf(local.address),
    local: { address: local.address, port: local.port },
    sentBy,
    viaHost: host.toLowerCase().replaceAll('[', '').replaceAll(']', ''),
    viaPort,
    contactUri: `sip:${sentBy}${suffix}`,
    socket: face.socket,
    reaches: undefined,
    isInner: false,
    admits: spec.admits,
  };
};
