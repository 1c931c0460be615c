import { createSocket, type Socket } from 'node:dgram';
import { writeSync } from 'node:fs';
import type { Clock, DatagramSink, SocketAddress, Timer } from '../kernel/index.js';
import { answerAtOnce, errorCode } from './addresses.js';
import { type UdpHandle, handleOf } from './polledSocket.js';
import type { Outbox, OutboxPeer } from './outbox.js';
import type { ReceivePace } from './receivePace.js';
import { askBuffers } from './socketBuffers.js';

/** Most peers that get a socket of their own; the rest share the main socket. */
export const MAX_PEERS = 256;
/** A peer's socket is closed after this long without traffic. */
const PEER_IDLE_MS = 60_000;
/** A peer that is only ever answered gets one, too, from so many answers on: sending costs half through it. */
export const ANSWERS_WORTH_A_SOCKET = 32;
/** Peers that are answered are counted up to here; then counting begins anew. */
const MAX_COUNTED = 256;
/** Of the table, what peers that are only answered may take: anybody can have himself answered. */
const MAX_ANSWERED_PEERS = MAX_PEERS / 2;
/** A full table gives up no peer that had traffic within this time: its answers may be waiting in the socket. */
const EVICTABLE_AFTER_MS = 5_000;

export interface PeerDeps {
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly pace?: ReceivePace | undefined;
}

/** One that has, or had, a socket of its own. */
class Peer implements OutboxPeer {
  readonly key: string;
  readonly remote: SocketAddress;
  /** Undefined when the system refused the socket: such a peer is served by the main socket until it is idle. */
  socket: Socket | undefined;
  /** Undefined where Node does not show it: then `dgram` sends. */
  handle: UdpHandle | undefined;
  usedMs: number;
  readonly sent: (error: Error | null) => void;

  constructor(key: string, remote: SocketAddress, nowMs: number, onFailed: (code: string) => void) {
    this.key = key;
    this.remote = remote;
    this.usedMs = nowMs;
    this.sent = (error) => {
      if (error !== null) onFailed(errorCode(error, 'EIO'));
    };
  }

  deliver(data: Buffer): void {
    const { handle, socket } = this;
    if (handle !== undefined && this.#write(handle, data)) return;
    try {
      socket?.send(data, this.sent);
    } catch (error) {
      this.#tell(error as Error);
    }
  }

  /**
   * At once, and without what `dgram` makes for each datagram. A refusal that waits is of an earlier datagram, and the
   * system tells it in place of sending this one: it is sent once more, and refused on its own account if it must be.
   * @returns false when the system has no room for it now
   */
  #write({ fd }: UdpHandle, data: Buffer): boolean {
    if (fd < 0) return false;
    let error = attempt(fd, data);
    if (error !== undefined && errorCode(error, '') === 'ECONNREFUSED') error = attempt(fd, data);
    if (error === undefined) return true;
    const code = errorCode(error, 'EIO');
    if (code === 'EAGAIN' || code === 'ENOBUFS') return false;
    this.#tell(error);
    return true;
  }

  /** A tick later: a sender never hears of its own datagram within send(), nor while others are being sent. */
  #tell(error: Error): void {
    process.nextTick(this.sent, error);
  }
}

/**
 * Sockets connected to single peers, on the same local address and port as the main socket. The system tells only a
 * connected UDP socket that a datagram was refused (ICMP port unreachable), and hands it what its peer sends; all
 * other traffic stays with the main socket. Both feed the same sink, so it does not matter which of them is given a
 * datagram that comes while the second one is being set up.
 */
export class ConnectedPeers {
  readonly #local: SocketAddress;
  readonly #sink: DatagramSink;
  readonly #clock: Clock;
  readonly #outbox: Outbox;
  readonly #pace: ReceivePace | undefined;
  readonly #peers = new Map<string, Peer>();
  /** Of each address the peer that was written to last: most have one port, and a key is put together for each look. */
  readonly #latest = new Map<string, Peer>();
  /** Answers to peers without a socket. */
  readonly #answers = new Map<string, number>();
  #sweep: Timer | undefined;
  #fullUntilMs = -Infinity;
  #closed = false;

  constructor(local: SocketAddress, sink: DatagramSink, { clock, outbox, pace }: PeerDeps) {
    this.#local = local;
    this.#sink = sink;
    this.#clock = clock;
    this.#outbox = outbox;
    this.#pace = pace;
  }

  /** Sockets open now. */
  get size(): number {
    let open = 0;
    for (const peer of this.#peers.values()) if (peer.socket !== undefined) open++;
    return open;
  }

  /**
   * Sends through the peer's own socket, at the end of the turn (see Outbox). False: there is none, and the caller must use the main socket.
   * @param open true gives the peer a socket when it has none
   */
  send(data: Buffer, address: string, port: number, open: boolean): boolean {
    const latest = this.#latest.get(address);
    const peer = latest?.remote.port === port ? latest : this.#find({ address, port }, open);
    if (peer === undefined) return false;
    peer.usedMs = this.#clock.nowMs();
    if (peer.socket === undefined) return false;
    this.#outbox.add(peer, data);
    return true;
  }

  /** @returns undefined where there is none, and none is made */
  #find(remote: SocketAddress, open: boolean): Peer | undefined {
    const key = `${remote.address}|${remote.port}`;
    const known = this.#peers.get(key);
    if (known === undefined && !open && !this.#isWorthOne(key)) return undefined;
    const peer = known ?? this.#add(key, remote, this.#clock.nowMs());
    if (peer !== undefined) this.#latest.set(remote.address, peer);
    return peer;
  }

  /** Counts the answers to a peer without a socket. */
  #isWorthOne(key: string): boolean {
    const count = (this.#answers.get(key) ?? 0) + 1;
    if (count >= ANSWERS_WORTH_A_SOCKET && this.#peers.size < MAX_ANSWERED_PEERS) return this.#answers.delete(key);
    if (count === 1 && this.#answers.size >= MAX_COUNTED) this.#answers.clear();
    this.#answers.set(key, count);
    return false;
  }

  /** After this the sink hears nothing more. */
  close(): void {
    this.#closed = true;
    this.#sweep?.cancel();
    for (const peer of [...this.#peers.values()]) this.#drop(peer);
  }

  #add(key: string, remote: SocketAddress, nowMs: number): Peer | undefined {
    if (this.#peers.size >= MAX_PEERS && !this.#makeRoom(nowMs)) return undefined;
    const peer = new Peer(key, remote, nowMs, (code) => this.#failed(remote, code));
    peer.socket = this.#open(remote, peer);
    peer.handle = peer.socket === undefined ? undefined : handleOf(peer.socket);
    this.#peers.set(key, peer);
    this.#sweep ??= this.#armSweep();
    return peer;
  }

  /** Binding and connecting numeric addresses completes within the calls (see answerAtOnce): nothing has to wait. */
  #open(remote: SocketAddress, peer: Peer): Socket | undefined {
    const v6 = this.#local.address.includes(':');
    const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', reuseAddr: true, ipv6Only: v6, lookup: answerAtOnce });
    let connected = false;
    socket.on('error', (error) => {
      if (connected) this.#failed(remote, errorCode(error, 'EIO'));
    });
    socket.on('message', (data, from) => {
      this.#pace?.took();
      peer.usedMs = this.#clock.nowMs();
      if (!this.#closed) this.#sink.onDatagram(data, from.address, from.port);
    });
    try {
      socket.bind({ address: this.#local.address, port: this.#local.port, exclusive: true });
      socket.connect(remote.port, remote.address);
      socket.remoteAddress();
      connected = true;
      askBuffers(socket);
      return socket;
    } catch {
      socket.close();
      return undefined;
    }
  }

  #failed(remote: SocketAddress, code: string): void {
    if (!this.#closed) this.#sink.onUnreachable(remote.address, remote.port, code);
  }

  #makeRoom(nowMs: number): boolean {
    if (nowMs < this.#fullUntilMs) return false;
    let oldest: Peer | undefined;
    for (const peer of this.#peers.values()) if (oldest === undefined || peer.usedMs < oldest.usedMs) oldest = peer;
    if (oldest === undefined || nowMs - oldest.usedMs < EVICTABLE_AFTER_MS) {
      // Looking again for every datagram would make a flood to many peers quadratic.
      this.#fullUntilMs = nowMs + 1_000;
      return false;
    }
    this.#drop(oldest);
    return true;
  }

  #armSweep(): Timer {
    return this.#clock.setTimer('net.peers.idle', PEER_IDLE_MS / 2, () => {
      const nowMs = this.#clock.nowMs();
      for (const peer of [...this.#peers.values()]) if (nowMs - peer.usedMs >= PEER_IDLE_MS) this.#drop(peer);
      this.#sweep = this.#peers.size === 0 ? undefined : this.#armSweep();
    });
  }

  #drop(peer: Peer): void {
    this.#outbox.release();
    this.#peers.delete(peer.key);
    if (this.#latest.get(peer.remote.address) === peer) this.#latest.delete(peer.remote.address);
    const { socket } = peer;
    peer.socket = peer.handle = undefined;
    // dgram hands a datagram to the system one tick after send(); closing at once would lose it.
    if (socket !== undefined) process.nextTick(() => socket.close());
  }
}

/** @returns what the system has against it */
const attempt = (fd: number, data: Buffer): Error | undefined => {
  try {
    writeSync(fd, data, 0, data.length);
    return undefined;
  } catch (error) {
    return error as Error;
  }
};
