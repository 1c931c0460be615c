import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { decodeAlaw, decodeMulaw, encodeAlaw, encodeMulaw } from '../../../src/media/codec/g711.js';

export type TestLaw = 'PCMU' | 'PCMA';

export interface Heard {
  readonly atMs: number;
  readonly payloadType: number;
  readonly marker: boolean;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Buffer;
}

/** A sine of `hz`, continuous over calls that go on where the last one ended. */
export const sine = (hz: number, samples: number, from = 0, amplitude = 10_000): Int16Array =>
  Int16Array.from({ length: samples }, (_, i) =>
    Math.round(Math.sin((2 * Math.PI * hz * (from + i)) / 8000) * amplitude),
  );

/** Amplitude of `hz` in the signal: a sine of amplitude A gives A. */
export const amplitudeAt = (pcm: Int16Array, hz: number): number => {
  let re = 0;
  let im = 0;
  for (let i = 0; i < pcm.length; i++) {
    const angle = (2 * Math.PI * hz * i) / 8000;
    re += (pcm[i] as number) * Math.cos(angle);
    im += (pcm[i] as number) * Math.sin(angle);
  }
  return (2 * Math.hypot(re, im)) / Math.max(1, pcm.length);
};

/** 50 ms: in so many samples, tones of different multiples of 20 Hz have nothing of one another. */
const STRETCH = 400;

/** Amplitudes of `hz` in stretches of 50 ms, each half over the last, least first. */
const amplitudesAt = (pcm: Int16Array, hz: number): number[] => {
  const found: number[] = [];
  for (let at = 0; at + STRETCH <= pcm.length; at += STRETCH / 2) {
    found.push(amplitudeAt(pcm.subarray(at, at + STRETCH), hz));
  }
  return found.sort((a, b) => a - b);
};

/**
 * Amplitude of `hz` in the middle one of all stretches: frames that a busy machine brought too late spoil the stretches
 * that they lie in, and shift the phase of what follows, but not this.
 */
export const usualAmplitude = (pcm: Int16Array, hz: number): number => {
  const found = amplitudesAt(pcm, hz);
  return found[found.length >> 1] ?? 0;
};

/** Amplitude of `hz` in the stretch that has most of it: one frame of a tone gives two fifths of its amplitude. */
export const greatestAmplitude = (pcm: Int16Array, hz: number): number => amplitudesAt(pcm, hz).at(-1) ?? 0;

/** One end of a telephone call without SIP: a bare RTP socket. */
export class RtpPeer {
  readonly heard: Heard[] = [];
  readonly rtcp: Buffer[] = [];
  readonly address: string;
  readonly port: number;
  law: TestLaw = 'PCMU';
  eventsType: number | undefined = 101;
  readonly #rtp: Socket;
  readonly #rtcp: Socket;
  #to = { address: '', port: 0 };
  sequence = 65_500;
  timestamp = 0xffff_f000;
  ssrc = 0x1234_5678;
  #waiting: { test: () => boolean; resolve: () => void }[] = [];

  private constructor(rtp: Socket, rtcp: Socket, address: string, port: number) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.address = address;
    this.port = port;
    rtp.on('message', (data) => {
      this.heard.push({
        atMs: performance.now(),
        payloadType: (data[1] ?? 0) & 0x7f,
        marker: ((data[1] ?? 0) & 0x80) !== 0,
        sequence: data.readUInt16BE(2),
        timestamp: data.readUInt32BE(4),
        ssrc: data.readUInt32BE(8),
        payload: data.subarray(12),
      });
      this.#wake();
    });
    rtcp.on('message', (data) => {
      this.rtcp.push(data);
      this.#wake();
    });
  }

  static async bind(address: string, port: number): Promise<RtpPeer> {
    const sockets: Socket[] = [];
    for (const at of [port, port + 1]) {
      const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
      socket.bind(at, address);
      await once(socket, 'listening');
      sockets.push(socket);
    }
    return new RtpPeer(sockets[0] as Socket, sockets[1] as Socket, address, port);
  }

  /** Our session description. @param lines replace the direction and what follows the formats. */
  sdp(lines: readonly string[] = ['a=sendrecv'], version = 1): Buffer {
    const law = this.law === 'PCMU' ? [0, 'PCMU'] : [8, 'PCMA'];
    const events = this.eventsType;
    const ip = this.address.includes(':') ? 'IP6' : 'IP4';
    return Buffer.from(
      [
        'v=0',
        `o=peer 1 ${version} IN ${ip} ${this.address}`,
        's=-',
        `c=IN ${ip} ${this.address}`,
        't=0 0',
        `m=audio ${this.port} RTP/AVP ${law[0]}${events === undefined ? '' : ` ${events}`}`,
        `a=rtpmap:${law[0]} ${law[1]}/8000`,
        ...(events === undefined ? [] : [`a=rtpmap:${events} telephone-event/8000`, `a=fmtp:${events} 0-16`]),
        ...lines,
        '',
      ].join('\r\n'),
    );
  }

  /** Where the other end listens, by its description. */
  pointAt(sdp: Buffer): void {
    const text = sdp.toString();
    this.#to = {
      address: /^c=IN IP[46] (\S+)/m.exec(text)?.[1] ?? '',
      port: Number(/^m=audio (\d+)/m.exec(text)?.[1] ?? 0),
    };
  }

  get target(): { address: string; port: number } {
    return this.#to;
  }

  /** One packet, right now. */
  send(payload: Uint8Array, options: { payloadType?: number; marker?: boolean; timestamp?: number } = {}): void {
    const header = Buffer.alloc(12);
    header[0] = 0x80;
    header[1] = (options.payloadType ?? (this.law === 'PCMU' ? 0 : 8)) | (options.marker === true ? 0x80 : 0);
    header.writeUInt16BE(this.sequence++ & 0xffff, 2);
    header.writeUInt32BE((options.timestamp ?? this.timestamp) >>> 0, 4);
    header.writeUInt32BE(this.ssrc, 8);
    this.#rtp.send(Buffer.concat([header, payload]), this.#to.port, this.#to.address);
  }

  sendRtcp(data: Buffer): void {
    this.#rtcp.send(data, this.#to.port + 1, this.#to.address);
  }

  /** Speaks in real time, a packet every 20 ms. */
  async say(pcm: Int16Array): Promise<void> {
    const startMs = performance.now();
    for (let at = 0; at + 160 <= pcm.length; at += 160) {
      const payload = new Uint8Array(160);
      (this.law === 'PCMU' ? encodeMulaw : encodeAlaw)(pcm.subarray(at, at + 160), payload);
      this.send(payload);
      this.timestamp = (this.timestamp + 160) >>> 0;
      const waitMs = startMs + (at / 160 + 1) * 20 - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  /** Presses a key the RFC 4733 way: updates, then the end three times. */
  async press(event: number, packets = 4): Promise<void> {
    const { timestamp } = this;
    for (let i = 1; i <= packets + 2; i++) {
      const duration = Math.min(i, packets) * 160;
      const payload = Buffer.from([event, (i >= packets ? 0x80 : 0) | 10, duration >> 8, duration & 0xff]);
      this.send(payload, { payloadType: this.eventsType ?? 101, marker: i === 1, timestamp });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.timestamp = (this.timestamp + (packets + 2) * 160) >>> 0;
  }

  /** What came as audio, from packet `from` on, joined. */
  audio(from = 0): Int16Array {
    const packets = this.heard.slice(from).filter((packet) => packet.payloadType === 0 || packet.payloadType === 8);
    const pcm = new Int16Array(packets.reduce((sum, packet) => sum + packet.payload.length, 0));
    let at = 0;
    for (const { payload, payloadType } of packets) {
      (payloadType === 8 ? decodeAlaw : decodeMulaw)(payload, pcm.subarray(at, at + payload.length));
      at += payload.length;
    }
    return pcm;
  }

  /** Resolves when `test` holds, looked at with every packet that comes. Rejects after `limitMs`. */
  until(test: () => boolean, limitMs = 5000): Promise<void> {
    if (test()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the awaited packets did not come')), limitMs);
      this.#waiting.push({
        test,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      });
    });
  }

  /** Resolves with the packets that come after this call. */
  async next(count: number): Promise<readonly Heard[]> {
    const from = this.heard.length;
    await this.until(() => this.heard.length >= from + count);
    return this.heard.slice(from, from + count);
  }

  async close(): Promise<void> {
    await Promise.all(
      [this.#rtp, this.#rtcp].map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
    );
  }

  #wake(): void {
    const ready = this.#waiting.filter((one) => one.test());
    this.#waiting = this.#waiting.filter((one) => !ready.includes(one));
    for (const one of ready) one.resolve();
  }
}
