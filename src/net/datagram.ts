import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Clock, DatagramSink, DatagramSocket, SocketAddress } from '../kernel/index.js';
import { answerAtOnce, errorCode } from './addresses.js';
import { ConnectedPeers } from './connectedPeers.js';
import type { Outbox } from './outbox.js';
import type { ReceivePace } from './receivePace.js';
import { askBuffers } from './socketBuffers.js';

export interface DatagramOptions {
  readonly clock: Clock;
  readonly connectPeers: boolean;
  /** See NodeNetworkOptions. */
  readonly beforeSending: () => void;
  /** Of the whole network: what waits in it leaves when the turn of the event loop is over. */
  readonly outbox: Outbox;
  /** Absent: each datagram is taken as it comes. */
  readonly pace?: ReceivePace | undefined;
  readonly onClosed: (socket: NodeDatagramSocket) => void;
}

/** What node:dgram attaches to the error of a send. */
interface SendError extends Error {
  readonly address?: string;
  readonly port?: number;
}

/** One bound UDP port: a main socket, and one more for each peer that owes us an answer (see ConnectedPeers). */
export class NodeDatagramSocket implements DatagramSocket {
  readonly local: SocketAddress;
  readonly #socket: Socket;
  readonly #sink: DatagramSink;
  readonly #peers: ConnectedPeers | undefined;
  readonly #onClosed: (socket: NodeDatagramSocket) => void;
  readonly #beforeSending: () => void;
  #closed = false;

  constructor(socket: Socket, sink: DatagramSink, options: DatagramOptions) {
    this.#socket = socket;
    this.#sink = sink;
    this.#onClosed = options.onClosed;
    this.#beforeSending = options.beforeSending;
    const { address, port } = socket.address();
    this.local = { address, port };
    this.#peers = options.connectPeers ? new ConnectedPeers(this.local, sink, options) : undefined;
    const { pace } = options;
    socket.on('message', (data, from) => {
      pace?.took();
      if (!this.#closed) sink.onDatagram(data, from.address, from.port);
    });
    // Errors of receiving belong to no peer and leave the socket working.
    socket.on('error', () => {});
  }

  /** Sockets connected to single peers. */
  get peerCount(): number {
    return this.#peers?.size ?? 0;
  }

  send(data: Buffer, address: string, port: number, expectAnswer: boolean): void {
    if (this.#closed) return;
    // dgram takes an empty address for 127.0.0.1.
    if (address === '') return this.#failSoon(address, port, 'EINVAL', expectAnswer);
    if (this.#peers?.send(data, address, port, expectAnswer) === true) return;
    this.#beforeSending();
    try {
      // Each callback costs a turn of the queue of ticks, and nobody waits to hear of an answer of ours that failed.
      this.#socket.send(data, port, address, expectAnswer ? this.#sent : undefined);
    } catch (error) {
      // A port outside 1..65535.
      this.#failSoon(address, port, errorCode(error, 'EINVAL'), expectAnswer);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#peers?.close();
    // dgram hands a datagram to the system one tick after send(); closing at once would lose it.
    process.nextTick(() => this.#socket.close());
    this.#onClosed(this);
  }

  /** One function for all datagrams: the error itself says which peer it was. */
  readonly #sent = (error: SendError | null): void => {
    if (error !== null) this.#failed(error.address ?? '', error.port ?? 0, errorCode(error, 'EIO'));
  };

  /** A tick later: a sender never hears of its own datagram within send(). */
  #failSoon(address: string, port: number, code: string, expectAnswer: boolean): void {
    if (expectAnswer) process.nextTick(() => this.#failed(address, port, code));
  }

  #failed(address: string, port: number, code: string): void {
    if (!this.#closed) this.#sink.onUnreachable(address, port, code);
  }
}

/** Binds a UDP socket. Rejects with the system's error. */
export const bindSocket = async (local: SocketAddress, shared: boolean): Promise<Socket> => {
  // A socket of this process that was closed just now lets go of its port on the next tick.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  if (!shared) return bindOne(local, false);
  // SO_REUSEADDR, which the peers' sockets need, would let two programs bind one port and one of them starve in
  // silence. So the port is first taken without it, which fails when anybody has it.
  const probe = await bindOne(local, false);
  const { address, port } = probe.address();
  probe.close();
  return bindOne({ address, port }, true);
};

const bindOne = async (local: SocketAddress, reuseAddr: boolean): Promise<Socket> => {
  const v6 = local.address.includes(':');
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', reuseAddr, ipv6Only: v6, lookup: answerAtOnce });
  try {
    const listening = once(socket, 'listening');
    socket.bind({ address: local.address, port: local.port, exclusive: true });
    await listening;
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.removeAllListeners();
  askBuffers(socket);
  return socket;
};
