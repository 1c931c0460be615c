import { Roster, type RosterMember } from '../../kernel/index.js';
import type { DatagramSocket, SocketAddress, StreamConnection, TransportName } from '../ports.js';

/** Where the engine listens, and what it calls itself there. */
export interface ListenSpec {
  readonly transport: TransportName;
  readonly address: string;
  /** 0: any free port. */
  readonly port: number;
  /** Host and port to write into Via and Contact; default: the bound address. */
  readonly advertise?: { readonly host: string; readonly port?: number | undefined } | undefined;
  /** Networks (`10.0.0.0/8`) whose peers are told the bound address all the same. */
  readonly localNets?: readonly string[] | undefined;
  /**
   * For the other nodes of a cluster alone: whether `address` is one of theirs. Nobody else is heard, and nothing leaves from
   * here but what goes to them.
   */
  readonly admits?: ((address: string) => boolean) | undefined;
}

export interface Listener {
  /** `transport/address:port` as bound: unique in an engine. */
  readonly id: string;
  readonly transport: TransportName;
  readonly family: 4 | 6;
  readonly local: SocketAddress;
  /** `host:port` of Via and Contact, IPv6 in brackets. */
  readonly sentBy: string;
  /** The same as a parsed Via has it: lower case, without brackets. */
  readonly viaHost: string;
  readonly viaPort: number;
  /** Contact URI of this listener. */
  readonly contactUri: string;
  readonly socket: DatagramSocket | undefined;
  /** Of two names of one port: whether this is the one for a peer. Undefined: for all. */
  readonly reaches: ((address: string) => boolean) | undefined;
  /** Of two names of one port: the one for the local networks. */
  readonly isInner: boolean;
  /** As in ListenSpec. */
  readonly admits?: ((address: string) => boolean) | undefined;
}

/** One address to try, and from where. Its hop is only made (a stream dialled) when its turn comes. */
export interface Way {
  readonly listener: Listener;
  readonly address: string;
  readonly port: number;
  /** The host as it was written, which a certificate must hold (RFC 5922 §4). */
  readonly serverName: string;
  /** An open connection to take. */
  readonly hop?: Hop | undefined;
  /** The URI names UDP: it stays UDP, however long the request. */
  readonly pinned?: boolean | undefined;
  /** Only for a request that is too long for UDP; the dialog that comes of it belongs to this listener. */
  readonly insteadOf?: Listener | undefined;
}

/** Told when the way to a peer turns out to be closed. */
export interface HopUser extends RosterMember {
  onTransportError(code: string): void;
}

/**
 * One way out: a listener and a peer's address, with the connection for streams. Shared by all transactions that go
 * there, so that one ICMP error or connection loss reaches each that still waits.
 */
export class Hop {
  readonly transport: TransportName;
  readonly address: string;
  readonly port: number;
  readonly listener: Listener;
  /** False for a connection that the peer opened: from its port nobody else may be accepting. */
  readonly dialable: boolean;
  connection: StreamConnection | undefined;
  /** The name that the peer's certificate was checked for; undefined for accepted connections, and without TLS. */
  serverName: string | undefined;
  /** How long its dialling may take; undefined: as long as the network says. */
  dialMs: number | undefined;
  /** Its name as a flow, once a registered contact is reached over it. */
  flowId: string | undefined;
  /** Dialogs whose requests go over this connection. */
  dialogs = 0;
  /** Client transactions without any response yet. */
  readonly waiting = new Roster<HopUser>();

  constructor(listener: Listener, address: string, port: number, dialable: boolean) {
    this.transport = listener.transport;
    this.listener = listener;
    this.address = address;
    this.port = port;
    this.dialable = dialable;
  }

  get reliable(): boolean {
    return this.transport !== 'udp';
  }

  /** Each waiting user hears of the error once; users that begin to wait meanwhile do not. */
  fail(code: string): void {
    if (this.waiting.size === 0) return;
    for (const user of this.waiting.takeAll()) user.onTransportError(code);
  }
}

/** Listeners are part of it: the same peer port may be connected to two of ours. */
export const hopKey = (listener: Listener, address: string, port: number, serverName?: string): string =>
  serverName === undefined
    ? `${listener.id}>${address}:${port}`
    : `${listener.id}>${address}:${port}/${serverName.toLowerCase()}`;

export const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);

/** Whether two texts name one address: IPv6 can be written in many ways. */
export const sameAddress = (a: string, b: string): boolean =>
  a === b || (a.includes(':') && b.includes(':') && canonicalAddress(a) === canonicalAddress(b));

/** The one way to write an IPv6 address (RFC 5952), so that texts compare; IPv4 as it is. */
export const canonicalAddress = (address: string): string => {
  if (!address.includes(':')) return address;
  try {
    return new URL(`http://[${address}]`).hostname.slice(1, -1);
  } catch {
    return address;
  }
};
