/**
 * RFC 3550 §5.1:
 *
 *     0                   1                   2                   3
 *     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    |                           timestamp                           |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    |           synchronization source (SSRC) identifier            |
 *    +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
 *    |            contributing source (CSRC) identifiers             |
 *    |                             ....                              |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */

export const RTP_HEADER_BYTES = 12;
/** Room for any packet that fits an Ethernet frame, authentication tag included. */
export const RTP_MAX_BYTES = 1500;
/** Static payload types of RFC 3551 §6. */
export const PAYLOAD_TYPE_PCMU = 0;
export const PAYLOAD_TYPE_PCMA = 8;

export interface RtpHeader {
  /** 0-127. */
  readonly payloadType: number;
  readonly marker: boolean;
  /** 16 bits. */
  readonly sequence: number;
  /** 32 bits, in samples of the payload's clock. */
  readonly timestamp: number;
  /** 32 bits. */
  readonly ssrc: number;
}

export interface RtpPacket extends RtpHeader {
  /** A view of the datagram: copy what must outlive it. CSRCs, extension and padding are cut off. */
  readonly payload: Buffer;
}

const at = (data: Buffer, i: number): number => data[i] as number;

export const uint16At = (data: Buffer, i: number): number => (at(data, i) << 8) | at(data, i + 1);
export const uint32At = (data: Buffer, i: number): number =>
  ((at(data, i) << 24) | (at(data, i + 1) << 16) | (at(data, i + 2) << 8) | at(data, i + 3)) >>> 0;

export function putUint32(data: Buffer, i: number, value: number): void {
  data[i] = value >>> 24;
  data[i + 1] = value >>> 16;
  data[i + 2] = value >>> 8;
  data[i + 3] = value;
}

/** Octets before the payload: fixed header, CSRCs and extension; -1 when the packet is too short for what it says. */
export function rtpHeaderBytes(data: Buffer, length: number): number {
  if (length < RTP_HEADER_BYTES || at(data, 0) >> 6 !== 2) return -1;
  let start = RTP_HEADER_BYTES + (at(data, 0) & 0x0f) * 4;
  if ((at(data, 0) & 0x10) !== 0) {
    if (start + 4 > length) return -1;
    start += 4 + uint16At(data, start + 2) * 4;
  }
  return start > length ? -1 : start;
}

/**
 * Reads one datagram. @returns undefined for anything that is not a whole RTP packet of version 2 (RFC 3550 §A.1);
 * RTCP is refused too: where both share a port its packet types lie where no payload type may (RFC 5761 §4).
 */
export function parseRtp(data: Buffer): RtpPacket | undefined {
  const start = rtpHeaderBytes(data, data.length);
  if (start < 0 || isRtcp(data)) return undefined;
  let end = data.length;
  if ((at(data, 0) & 0x20) !== 0) {
    const padding = at(data, end - 1);
    if (padding === 0 || start + padding > end) return undefined;
    end -= padding;
  }
  const second = at(data, 1);
  return {
    payloadType: second & 0x7f,
    marker: second > 0x7f,
    sequence: uint16At(data, 2),
    timestamp: uint32At(data, 4),
    ssrc: uint32At(data, 8),
    payload: data.subarray(start, end),
  };
}

/**
 * Writes header and payload to the start of `target`, without allocation. `payload` may lie in `target` already.
 * @returns the packet's length, or 0 when `target` is too small
 */
export function writeRtp(target: Buffer, header: RtpHeader, payload: Uint8Array): number {
  const length = RTP_HEADER_BYTES + payload.length;
  if (length > target.length) return 0;
  target.set(payload, RTP_HEADER_BYTES);
  target[0] = 0x80;
  target[1] = (header.marker ? 0x80 : 0) | (header.payloadType & 0x7f);
  target[2] = header.sequence >>> 8;
  target[3] = header.sequence;
  putUint32(target, 4, header.timestamp);
  putUint32(target, 8, header.ssrc);
  return length;
}

/** Tells RTCP from RTP on a shared port: RFC 5761 §4 keeps packet types 192-223 for RTCP. */
export function isRtcp(data: Buffer): boolean {
  if (data.length < 4) return false;
  const type = at(data, 1);
  return type >= 192 && type <= 223;
}

/** `a - b` modulo 2^16 as a signed number: positive when `a` is the later one. */
export const sequenceDelta = (a: number, b: number): number => ((a - b) << 16) >> 16;
/** `a - b` modulo 2^32 as a signed number: positive when `a` is the later one. */
export const timestampDelta = (a: number, b: number): number => (a - b) | 0;
