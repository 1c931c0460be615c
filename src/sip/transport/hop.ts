import type { DatagramSocket, SocketAddress, StreamConnection, TransportName } from '../ports.js';

/** Where the engine listens, and what it calls itself there. */
export interface ListenSpec {
  readonly transport: TransportName;
  readonly address: string;
  /** 0: any free port. */
  readonly port: number;
  /** Host and port to write into Via and Contact; default: the bound address. */
  readonly advertise?: { readonly host: string; readonly port?: number | undefined } | undefined;
}

export interface Listener {
  readonly transport: TransportName;
  readonly family: 4 | 6;
  readonly local: SocketAddress;
  /** `host:port` of Via and Contact, IPv6 in brackets. */
  readonly sentBy: string;
  /** Contact URI of this listener. */
  readonly contactUri: string;
  readonly socket: DatagramSocket | undefined;
}

/** Told when the way to a peer turns out to be closed. */
export interface HopUser {
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
  connection: StreamConnection | undefined;
  /** Client transactions without any response yet. */
  readonly waiting = new Set<HopUser>();

  constructor(listener: Listener, address: string, port: number) {
    this.transport = listener.transport;
    this.listener = listener;
    this.address = address;
    this.port = port;
  }

  get reliable(): boolean {
    return this.transport !== 'udp';
  }

  /** Each waiting user hears of the error once; users that begin to wait meanwhile do not. */
  fail(code: string): void {
    if (this.waiting.size === 0) return;
    const users = [...this.waiting];
    this.waiting.clear();
    for (const user of users) user.onTransportError(code);
  }
}

export const hopKey = (transport: string, address: string, port: number): string => `${transport}/${address}:${port}`;

export const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);
