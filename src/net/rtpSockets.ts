import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { answerAtOnce, errorCode } from './addresses.js';

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
  #closed = false;

  constructor(rtp: Socket, rtcp: Socket, sink: RtpPairSink) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
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
    if (!this.#closed) send(this.#rtp, data, address, port);
  }

  sendRtcp(data: Buffer, address: string, port: number): void {
    if (!this.#closed) send(this.#rtcp, data, address, port);
  }

  /** Datagrams already handed over still leave. */
  async close(): Promise<void> {
    if (this.#closed) return;
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
