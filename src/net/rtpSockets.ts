import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { answerAtOnce, errorCode } from './addresses.js';
import { PolledSocket } from './polledSocket.js';

/** Half a second of audio for a worker that was held up, with the system's overhead per packet. */
const RTP_BUFFER_BYTES = 128 * 1024;

/** Receiver of a pair's datagrams. Must not throw. */
export interface RtpPairSink {
  onRtp(data: Buffer, address: string, port: number): void;
  onRtcp(data: Buffer, address: string, port: number): void;
}

/** Two bound UDP ports: the even one for RTP, the next for RTCP (RFC 3550 §11). */
export class RtpPair {
  readonly #rtp: Socket;
  readonly #rtcp: Socket;
  /** While one peer alone is heard. */
  #polled: PolledSocket | undefined;
  #peer: { readonly address: string; readonly port: number } | undefined;
  readonly #take: (data: Buffer) => void;
  #closed = false;

  constructor(rtp: Socket, rtcp: Socket, sink: RtpPairSink) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.#take = (data) => {
      const peer = this.#peer;
      if (peer !== undefined) sink.onRtp(data, peer.address, peer.port);
    };
    rtp.on('message', (data, from) => {
      if (!this.#closed) sink.onRtp(data, from.address, from.port);
    });
    rtcp.on('message', (data, from) => {
      if (!this.#closed) sink.onRtcp(data, from.address, from.port);
    });
    // What a peer's host says about a single datagram changes nothing: media timeouts tell when audio stays away.
    rtp.on('error', () => {});
    rtcp.on('error', () => {});
  }

  sendRtp(data: Buffer, address: string, port: number): void {
    if (this.#closed) return;
    if (this.#polled !== undefined) {
      if (this.#isPeer(address, port)) return this.#polled.send(data);
      this.widen();
    }
    send(this.#rtp, data, address, port);
  }

  /**
   * Hears RTP of this peer alone from now on, and soon only when `collect` asks for it: for many pairs whose peers are
   * known, at a fraction of the price. The buffers given to the sink are then valid within the call.
   * @returns false where the system cannot: all is as before
   */
  narrow(address: string, port: number): boolean {
    if (this.#closed) return false;
    if (this.#polled !== undefined) {
      if (this.#isPeer(address, port)) return true;
      this.widen();
    }
    this.#polled = PolledSocket.open(this.#rtp, address, port);
    this.#peer = this.#polled === undefined ? undefined : { address, port };
    return this.#polled !== undefined;
  }

  /** Hears whoever sends, as at first. */
  widen(): void {
    this.#polled?.release();
    this.#polled = undefined;
    this.#peer = undefined;
  }

  /** Hands over what a narrowed pair has received; see PolledSocket. */
  collect(all: boolean): void {
    if (!this.#closed) this.#polled?.collect(this.#take, all);
  }

  sendRtcp(data: Buffer, address: string, port: number): void {
    if (!this.#closed) send(this.#rtcp, data, address, port);
  }

  #isPeer(address: string, port: number): boolean {
    return this.#peer?.port === port && this.#peer.address === address;
  }

  /** Datagrams already handed over still leave. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.widen();
    this.#closed = true;
    await Promise.all([closed(this.#rtp), closed(this.#rtcp)]);
  }
}

/**
 * Binds a pair on a numeric address.
 * @returns undefined when one of the ports is in use; rejects with the system's error otherwise.
 */
export const bindRtpPair = async (
  address: string,
  rtpPort: number,
  sink: RtpPairSink,
): Promise<RtpPair | undefined> => {
  const rtp = await bindOne(address, rtpPort);
  if (rtp === undefined) return undefined;
  try {
    const rtcp = await bindOne(address, rtpPort + 1);
    if (rtcp !== undefined) return new RtpPair(rtp, rtcp, sink);
  } catch (error) {
    rtp.close();
    throw error;
  }
  rtp.close();
  return undefined;
};

const bindOne = async (address: string, port: number): Promise<Socket | undefined> => {
  const v6 = address.includes(':');
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', ipv6Only: v6, lookup: answerAtOnce });
  try {
    const listening = once(socket, 'listening');
    socket.bind({ address, port, exclusive: true });
    await listening;
  } catch (error) {
    socket.close();
    if (errorCode(error, 'EIO') === 'EADDRINUSE') return undefined;
    throw error;
  }
  socket.removeAllListeners();
  try {
    socket.setRecvBufferSize(RTP_BUFFER_BYTES);
  } catch {
    // The system's default holds some hundred packets; that does as well.
  }
  return socket;
};

const send = (socket: Socket, data: Buffer, address: string, port: number): void => {
  try {
    // Without a callback a send costs less; what becomes of a datagram, nobody would wait for.
    socket.send(data, port, address);
  } catch {
    // No such port or address: the offer that named it was accepted, so the audio just goes nowhere.
  }
};

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    // dgram hands a datagram to the system one tick after send(); closing at once would lose it.
    process.nextTick(() => socket.close(resolve));
  });
