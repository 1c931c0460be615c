import type { Rate } from '../codec/rate.js';
import type { Codec, MediaProblem } from '../port.js';
import type { SdesCrypto } from '../rtp/srtp.js';

/** What one end does with audio, seen from that end (RFC 3264 §5.1). */
export type Direction = 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';

export interface Origin {
  readonly username: string;
  /** Decimal text: 64 bits do not fit a number. */
  readonly sessionId: string;
  readonly sessionVersion: string;
  readonly address: string;
}

/** One format of an audio section, its rtpmap and fmtp joined. */
export interface AudioFormat {
  readonly payloadType: number;
  /** Upper case. */
  readonly encoding: string;
  readonly clockRate: number;
  readonly channels: number;
  readonly fmtp: string;
}

export interface MediaSection {
  readonly kind: string;
  /** 0: rejected or ended. */
  readonly port: number;
  readonly protocol: string;
  /** The format list as written. */
  readonly formats: string;
  /** Numeric; of the section, else of the session. */
  readonly address: string | undefined;
  readonly direction: Direction;
  readonly ptimeMs: number | undefined;
  readonly maxptimeMs: number | undefined;
  readonly rtcp: { readonly port: number; readonly address: string | undefined } | undefined;
  /** RFC 4568: the ways to key SRTP that are understood, in the peer's order. */
  readonly crypto: readonly SdesCrypto[];
  /** Formats in the order of the m= line; empty unless `kind` is audio over RTP. */
  readonly audio: readonly AudioFormat[];
}

export interface SessionDescription {
  readonly origin: Origin;
  readonly sections: readonly MediaSection[];
}

/** SRTP as both ends agreed on it: what we send with and what the peer does. */
export interface AgreedCrypto {
  readonly local: SdesCrypto;
  readonly remote: SdesCrypto;
}

/** Codecs that this engine speaks. */
export type RtpCodec = Exclude<Codec, 'opus'>;

export const bytesPerSample = (codec: RtpCodec): number => (codec === 'L16' ? 2 : 1);

/** Audio in one packet: 20 ms of linear samples at 16 kHz. What is longer would have to be cut on the way. */
export const MAX_PAYLOAD_BYTES = 640;

/** What an exchange of offer and answer settled, in the words of the RTP engine. */
export interface NegotiatedAudio {
  /** What we send. */
  readonly codec: RtpCodec;
  readonly payloadType: number;
  /** Of the codec, and of everything that goes by this stream's timestamps. */
  readonly clockRate: Rate;
  /** What may arrive, at the same rate. */
  readonly receive: ReadonlyMap<number, RtpCodec>;
  /** Payload types of telephone-event (RFC 4733); undefined: digits travel as tones. */
  readonly sendEvents: number | undefined;
  readonly receiveEvents: number | undefined;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly remoteRtcpAddress: string;
  readonly remoteRtcpPort: number;
  readonly sends: boolean;
  readonly receives: boolean;
  /** Audio in one packet that we send. */
  readonly packetMs: number;
  readonly crypto: AgreedCrypto | undefined;
}

export const sdpProblem = (code: MediaProblem['code'], message: string): MediaProblem => ({
  code,
  message,
  sipStatus: code === 'sdp_invalid' ? 400 : code === 'no_port_free' || code === 'engine_down' ? 503 : 488,
});
