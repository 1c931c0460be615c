import { timingSafeEqual } from 'node:crypto';
import { RTP_HEADER_BYTES, putUint32, rtpHeaderBytes, uint16At, uint32At } from './packet.js';
import { ReplayWindow } from './replayWindow.js';
import type { SdesCrypto } from './srtpCrypto.js';
import {
  Authenticator,
  CounterMode,
  LABEL_RTCP_AUTHENTICATION,
  LABEL_RTCP_ENCRYPTION,
  LABEL_RTCP_SALT,
  LABEL_RTP_AUTHENTICATION,
  LABEL_RTP_ENCRYPTION,
  LABEL_RTP_SALT,
  deriveKey,
  setIv,
} from './srtpKeys.js';

export { type SdesCrypto, type SrtpSuite, SRTP_SUITES, newCrypto, parseCrypto, printCrypto } from './srtpCrypto.js';

const AUTH_KEY_BYTES = 20;
const RTCP_HEADER_BYTES = 8;
const RTCP_TAG_BYTES = 10;
const INDEX_BYTES = 4;
const MAX_RTCP_INDEX = 0x7fffffff;
/** Sources of one peer that are told apart; the oldest gives way. */
const MAX_SOURCES = 8;
const NO_MKI = Buffer.alloc(0);

/** What one direction knows of one synchronization source. */
interface SourceState {
  /** Highest index (ROC * 2^16 + sequence) sent. */
  sent: number;
  sentControl: number;
  readonly received: ReplayWindow;
  readonly receivedControl: ReplayWindow;
}

const freshState = (): SourceState => ({
  sent: -1,
  sentControl: 0,
  received: new ReplayWindow(),
  receivedControl: new ReplayWindow(),
});

/** RFC 3711 §3.3.1 and appendix A: the index that a sequence number most likely stands for. */
function guessIndex(newest: number, sequence: number): number {
  if (newest < 0) return sequence;
  const roc = Math.floor(newest / 65536);
  const last = newest % 65536;
  if (last < 32768) return (sequence - last > 32768 && roc > 0 ? roc - 1 : roc) * 65536 + sequence;
  return (last - 32768 > sequence ? roc + 1 : roc) * 65536 + sequence;
}

/**
 * One direction of an SRTP session (RFC 3711) with the keys of one `a=crypto` line: use one object to protect what is
 * sent, with our key, and another to unprotect what comes, with the peer's. Nothing throws: a packet that is not
 * authentic, was seen before or does not fit gives 0 or undefined.
 */
export class SrtpContext {
  readonly #tagBytes: number;
  readonly #mki: Buffer;
  readonly #rtp: CounterMode;
  readonly #rtpSalt: Buffer;
  readonly #rtpAuth: Authenticator;
  readonly #rtcp: CounterMode;
  readonly #rtcpSalt: Buffer;
  readonly #rtcpAuth: Authenticator;
  readonly #sources = new Map<number, SourceState>();
  #rejected = 0;

  constructor(crypto: Pick<SdesCrypto, 'suite' | 'key' | 'salt' | 'mki'>) {
    this.#tagBytes = crypto.suite === 'AES_CM_128_HMAC_SHA1_80' ? 10 : 4;
    this.#mki = crypto.mki ?? NO_MKI;
    this.#rtp = new CounterMode(deriveKey(crypto, LABEL_RTP_ENCRYPTION, 16));
    this.#rtpAuth = new Authenticator(deriveKey(crypto, LABEL_RTP_AUTHENTICATION, AUTH_KEY_BYTES));
    this.#rtpSalt = deriveKey(crypto, LABEL_RTP_SALT, 14);
    this.#rtcp = new CounterMode(deriveKey(crypto, LABEL_RTCP_ENCRYPTION, 16));
    this.#rtcpAuth = new Authenticator(deriveKey(crypto, LABEL_RTCP_AUTHENTICATION, AUTH_KEY_BYTES));
    this.#rtcpSalt = deriveKey(crypto, LABEL_RTCP_SALT, 14);
  }

  /** Octets that protection adds to an RTP packet; an RTCP packet gets 14 and the key identifier. */
  get overhead(): number {
    return this.#mki.length + this.#tagBytes;
  }

  /** Packets that failed to be unprotected. */
  get rejected(): number {
    return this.#rejected;
  }

  /**
   * Encrypts the RTP packet in the first `length` octets of `packet` in place and appends the tag.
   * @returns the new length; 0: not RTP, no room, or the key is used up
   */
  protectRtp(packet: Buffer, length: number): number {
    const start = rtpHeaderBytes(packet, length);
    if (start < 0 || length + this.overhead > packet.length) return 0;
    const source = this.#source(uint32At(packet, 8));
    const index = guessIndex(source.sent, uint16At(packet, 2));
    if (index >= 2 ** 48) return 0;
    if (!this.#cryptRtp(packet, { start, end: length }, index)) return 0;
    source.sent = Math.max(source.sent, index);
    const tag = this.#rtpAuth.tag(packet.subarray(0, length), Math.floor(index / 65536));
    return this.#append(packet, length, tag.subarray(0, this.#tagBytes));
  }

  /** Checks and decrypts in place. @returns the RTP packet, a view of `packet`; undefined: drop it */
  unprotectRtp(packet: Buffer): Buffer | undefined {
    const end = packet.length - this.overhead;
    const start = rtpHeaderBytes(packet, end);
    if (end < RTP_HEADER_BYTES || start < 0) return this.#reject();
    const ssrc = uint32At(packet, 8);
    const known = this.#sources.get(ssrc);
    const index = guessIndex(known?.received.newest ?? -1, uint16At(packet, 2));
    if (known?.received.fresh(index) === false) return this.#reject();
    const tag = this.#rtpAuth.tag(packet.subarray(0, end), Math.floor(index / 65536));
    if (!this.#isAuthentic(packet, end, tag.subarray(0, this.#tagBytes))) return this.#reject();
    if (!this.#cryptRtp(packet, { start, end }, index)) return this.#reject();
    // Only an authentic packet may make us remember a source.
    (known ?? this.#source(ssrc)).received.take(index);
    return packet.subarray(0, end);
  }

  /** RFC 3711 §3.4. As `protectRtp`, for a compound RTCP packet. */
  protectRtcp(packet: Buffer, length: number): number {
    const total = length + INDEX_BYTES + this.#mki.length + RTCP_TAG_BYTES;
    if (length < RTCP_HEADER_BYTES || total > packet.length) return 0;
    const ssrc = uint32At(packet, 4);
    const source = this.#source(ssrc);
    if (source.sentControl >= MAX_RTCP_INDEX) return 0;
    const index = ++source.sentControl;
    if (!this.#cryptRtcp(packet, length, index)) return 0;
    // The E bit: encrypted.
    putUint32(packet, length, (index | 0x80000000) >>> 0);
    const covered = length + INDEX_BYTES;
    return this.#append(
      packet,
      covered,
      this.#rtcpAuth.tag(packet.subarray(0, covered), -1).subarray(0, RTCP_TAG_BYTES),
    );
  }

  /** As `unprotectRtp`. */
  unprotectRtcp(packet: Buffer): Buffer | undefined {
    const covered = packet.length - RTCP_TAG_BYTES - this.#mki.length;
    const end = covered - INDEX_BYTES;
    if (end < RTCP_HEADER_BYTES) return this.#reject();
    const trailer = uint32At(packet, end);
    const index = trailer & MAX_RTCP_INDEX;
    const ssrc = uint32At(packet, 4);
    const known = this.#sources.get(ssrc);
    if (known?.receivedControl.fresh(index) === false) return this.#reject();
    const tag = this.#rtcpAuth.tag(packet.subarray(0, covered), -1);
    if (!this.#isAuthentic(packet, covered, tag.subarray(0, RTCP_TAG_BYTES))) return this.#reject();
    if (trailer !== index && !this.#cryptRtcp(packet, end, index)) return this.#reject();
    (known ?? this.#source(ssrc)).receivedControl.take(index);
    return packet.subarray(0, end);
  }

  #cryptRtp(packet: Buffer, part: { start: number; end: number }, index: number): boolean {
    const words = { high: Math.floor(index / 65536), low: index % 65536 };
    setIv(this.#rtp.iv, this.#rtpSalt, uint32At(packet, 8), words);
    return this.#rtp.apply(packet, part.start, part.end);
  }

  #cryptRtcp(packet: Buffer, end: number, index: number): boolean {
    setIv(this.#rtcp.iv, this.#rtcpSalt, uint32At(packet, 4), { high: index >>> 16, low: index & 0xffff });
    return this.#rtcp.apply(packet, RTCP_HEADER_BYTES, end);
  }

  /** RFC 3711 §3.1: key identifier, then tag. */
  #append(packet: Buffer, length: number, tag: Buffer): number {
    packet.set(this.#mki, length);
    packet.set(tag, length + this.#mki.length);
    return length + this.#mki.length + tag.length;
  }

  #isAuthentic(packet: Buffer, end: number, tag: Buffer): boolean {
    const tagAt = end + this.#mki.length;
    if (!packet.subarray(end, tagAt).equals(this.#mki)) return false;
    return timingSafeEqual(packet.subarray(tagAt, tagAt + tag.length), tag);
  }

  #reject(): undefined {
    this.#rejected++;
    return undefined;
  }

  #source(ssrc: number): SourceState {
    let state = this.#sources.get(ssrc);
    if (state === undefined) {
      state = freshState();
      if (this.#sources.size >= MAX_SOURCES) {
        for (const oldest of this.#sources.keys()) {
          this.#sources.delete(oldest);
          break;
        }
      }
      this.#sources.set(ssrc, state);
    }
    return state;
  }
}
