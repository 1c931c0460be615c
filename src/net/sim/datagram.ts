import type { DatagramSink, DatagramSocket, SocketAddress } from '../../kernel/index.js';
import { isWildcard } from '../addresses.js';
import type { SimFabric, SimSocket, SimStation } from './fabric.js';
import type { SimPacket } from './packet.js';

/** The most that fits a UDP datagram over IPv4. */
const MAX_DATAGRAM_BYTES = 65_507;

/** A UDP socket of a SimHost. */
export class SimDatagramSocket implements DatagramSocket, SimSocket {
  readonly kind = 'udp';
  readonly local: SocketAddress;
  readonly #fabric: SimFabric;
  readonly #station: SimStation;
  readonly #sink: DatagramSink;
  #closed = false;

  constructor(fabric: SimFabric, station: SimStation, local: SocketAddress, sink: DatagramSink) {
    this.#fabric = fabric;
    this.#station = station;
    this.local = local;
    this.#sink = sink;
  }

  send(data: Buffer, address: string, port: number, expectAnswer: boolean): void {
    if (this.#closed) return;
    const to = { address, port };
    if (data.length > MAX_DATAGRAM_BYTES) return this.#refused(to, 0, 'EMSGSIZE');
    if (!(port > 0 && port < 65_536)) return this.#refused(to, 0, 'EINVAL');
    const source = isWildcard(this.local.address) ? this.#station.sourceFor(address) : this.local.address;
    // Copied: a sender that changes its buffer later must not change what is on the way.
    const packet = {
      kind: 'udp',
      from: { address: source, port: this.local.port },
      to,
      data: Buffer.from(data),
    } as const;
    const fabric = this.#fabric;
    const verdict = fabric.judge(packet);
    if (verdict === 'drop') return fabric.record(packet, 'dropped');
    const path = fabric.path(source, address);
    if (verdict === 'refuse') {
      fabric.record(packet, 'refused');
      if (expectAnswer) this.#refused(to, path.delayMs(), 'ECONNREFUSED');
      return;
    }
    if (verdict !== 'pass') return this.#sendAsTold(packet, verdict, expectAnswer);
    if (path.loses()) return fabric.record(packet, 'lost');
    const nowMs = fabric.clock.nowMs();
    this.#launch(packet, path.arrivalMs(nowMs) - nowMs, expectAnswer);
    if (path.duplicates()) this.#launch(packet, path.arrivalMs(nowMs) - nowMs, expectAnswer);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#station.closed(this);
  }

  arrive(packet: SimPacket): void {
    if (!this.#closed) this.#sink.onDatagram(packet.data, packet.from.address, packet.from.port);
  }

  #sendAsTold(
    packet: SimPacket,
    told: { readonly delayMs?: number; readonly copies?: number; readonly data?: Buffer },
    expectAnswer: boolean,
  ): void {
    const path = this.#fabric.path(packet.from.address, packet.to.address);
    const changed = told.data === undefined ? packet : { ...packet, data: Buffer.from(told.data) };
    const nowMs = this.#fabric.clock.nowMs();
    for (let copy = 0; copy < (told.copies ?? 1); copy++) {
      this.#launch(changed, told.delayMs ?? path.arrivalMs(nowMs) - nowMs, expectAnswer);
    }
  }

  #launch(packet: SimPacket, delayMs: number, expectAnswer: boolean): void {
    const fabric = this.#fabric;
    fabric.record(packet, 'sent');
    fabric.clock.setTimer('sim.udp', delayMs, () => {
      const host = fabric.at(packet.to.address);
      const socket = host?.datagramAt(packet.to);
      if (socket !== undefined) {
        // Each copy is a buffer of its own, as from a real socket.
        socket.arrive({ ...packet, data: Buffer.from(packet.data) });
        return;
      }
      if (host === undefined || host.blackholed) return;
      fabric.record(packet, 'unreachable');
      const back = fabric.path(packet.to.address, packet.from.address);
      if (expectAnswer && !back.loses()) this.#refused(packet.to, back.delayMs(), 'ECONNREFUSED');
    });
  }

  #refused(to: SocketAddress, delayMs: number, code: string): void {
    this.#fabric.clock.setTimer('sim.icmp', delayMs, () => {
      if (!this.#closed) this.#sink.onUnreachable(to.address, to.port, code);
    });
  }
}
