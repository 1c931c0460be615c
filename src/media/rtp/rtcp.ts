import { putUint32, uint16At, uint32At } from './packet.js';

/**
 * RFC 3550 §6.4.1, one reception report block:
 *
 *     0                   1                   2                   3
 *     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    |                 SSRC_1 (SSRC of first source)                 |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    | fraction lost |       cumulative number of packets lost       |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    |           extended highest sequence number received           |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    |                      interarrival jitter                      |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    |                         last SR (LSR)                         |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *    |                   delay since last SR (DLSR)                  |
 *    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */
export interface ReceptionReport {
  readonly ssrc: number;
  /** 0-255: in 256ths, since the report before. */
  readonly fractionLost: number;
  /** Signed 24 bits: duplicates make it negative. */
  readonly cumulativeLost: number;
  /** Cycles in the upper 16 bits. */
  readonly highestSequence: number;
  /** In timestamp units. */
  readonly jitter: number;
  /** Middle 32 bits of the NTP time of the last sender report; 0: none came. */
  readonly lastSenderReport: number;
  /** In 1/65536 s. */
  readonly delaySinceLastSenderReport: number;
}

export interface SenderInfo {
  readonly ntpSeconds: number;
  readonly ntpFraction: number;
  readonly rtpTimestamp: number;
  readonly packets: number;
  readonly octets: number;
}

export type RtcpPacket =
  | {
      readonly kind: 'sr';
      readonly ssrc: number;
      readonly sender: SenderInfo;
      readonly reports: readonly ReceptionReport[];
    }
  | { readonly kind: 'rr'; readonly ssrc: number; readonly reports: readonly ReceptionReport[] }
  | { readonly kind: 'sdes'; readonly chunks: readonly { readonly ssrc: number; readonly cname: string | undefined }[] }
  | { readonly kind: 'bye'; readonly ssrcs: readonly number[]; readonly reason: string }
  | { readonly kind: 'other'; readonly packetType: number };

const SR = 200;
const RR = 201;
const SDES = 202;
const BYE = 203;
const REPORT_BYTES = 24;
const SENDER_BYTES = 20;
const CNAME = 1;
const MAX_REPORTS = 31;

const signed24 = (value: number): number => (value << 8) >> 8;

function readReports(data: Buffer, start: number, count: number): ReceptionReport[] {
  return Array.from({ length: count }, (_, i) => {
    const at = start + i * REPORT_BYTES;
    const lost = uint32At(data, at + 4);
    return {
      ssrc: uint32At(data, at),
      fractionLost: lost >>> 24,
      cumulativeLost: signed24(lost),
      highestSequence: uint32At(data, at + 8),
      jitter: uint32At(data, at + 12),
      lastSenderReport: uint32At(data, at + 16),
      delaySinceLastSenderReport: uint32At(data, at + 20),
    };
  });
}

function readReport(data: Buffer, count: number, type: number): RtcpPacket | undefined {
  const head = type === SR ? 8 + SENDER_BYTES : 8;
  if (data.length < head + count * REPORT_BYTES) return undefined;
  const ssrc = uint32At(data, 4);
  const reports = readReports(data, head, count);
  if (type === RR) return { kind: 'rr', ssrc, reports };
  const sender = {
    ntpSeconds: uint32At(data, 8),
    ntpFraction: uint32At(data, 12),
    rtpTimestamp: uint32At(data, 16),
    packets: uint32At(data, 20),
    octets: uint32At(data, 24),
  };
  return { kind: 'sr', ssrc, sender, reports };
}

/** RFC 3550 §6.5: chunks of items, each chunk padded with null octets to 32 bits. */
function readSdes(data: Buffer, count: number): RtcpPacket | undefined {
  const chunks: { ssrc: number; cname: string | undefined }[] = [];
  let at = 4;
  for (let i = 0; i < count; i++) {
    if (at + 4 > data.length) return undefined;
    const ssrc = uint32At(data, at);
    let cname: string | undefined;
    at += 4;
    for (;;) {
      if (at >= data.length) return undefined;
      const item = data[at] as number;
      if (item === 0) break;
      const length = data[at + 1];
      if (length === undefined || at + 2 + length > data.length) return undefined;
      if (item === CNAME) cname = data.toString('utf8', at + 2, at + 2 + length);
      at += 2 + length;
    }
    at = (at + 4) & ~3;
    chunks.push({ ssrc, cname });
  }
  return { kind: 'sdes', chunks };
}

function readBye(data: Buffer, count: number): RtcpPacket | undefined {
  const after = 4 + count * 4;
  if (after > data.length) return undefined;
  const ssrcs = Array.from({ length: count }, (_, i) => uint32At(data, 4 + i * 4));
  const length = data[after] ?? 0;
  if (after + 1 + length > data.length && length > 0) return undefined;
  return { kind: 'bye', ssrcs, reason: data.toString('utf8', after + 1, after + 1 + length) };
}

function readOne(data: Buffer, type: number, count: number): RtcpPacket | undefined {
  switch (type) {
    case SR:
    case RR:
      return readReport(data, count, type);
    case SDES:
      return readSdes(data, count);
    case BYE:
      return readBye(data, count);
    default:
      return { kind: 'other', packetType: type };
  }
}

/** Reads a compound packet (RFC 3550 §A.2). @returns undefined when any part of it is malformed */
export function parseRtcp(data: Buffer): RtcpPacket[] | undefined {
  const packets: RtcpPacket[] = [];
  let at = 0;
  while (at < data.length) {
    if (at + 4 > data.length) return undefined;
    const first = data[at] as number;
    const type = data[at + 1] as number;
    const end = at + 4 + uint16At(data, at + 2) * 4;
    if (first >> 6 !== 2 || end > data.length || type < 192 || type > 223) return undefined;
    let last = end;
    if ((first & 0x20) !== 0) {
      // Only the last packet of a compound may be padded.
      const padding = data[end - 1] as number;
      if (end !== data.length || padding === 0 || padding > end - at - 4) return undefined;
      last -= padding;
    }
    const packet = readOne(data.subarray(at, last), type, first & 0x1f);
    if (packet === undefined) return undefined;
    packets.push(packet);
    at = end;
  }
  return packets.length === 0 ? undefined : packets;
}

export interface RtcpCompound {
  readonly ssrc: number;
  /** Names us through a change of SSRC (RFC 3550 §6.5.1); at most 255 octets. */
  readonly cname: string;
  /** Present: a sender report. Absent: nothing was sent since the report before. */
  readonly sender?: SenderInfo | undefined;
  readonly reports: readonly ReceptionReport[];
  /** The stream ends with this packet. */
  readonly bye?: boolean | undefined;
}

function putHead(target: Buffer, at: number, type: number, end: number): void {
  target[at + 1] = type;
  const words = (end - at) / 4 - 1;
  target[at + 2] = words >>> 8;
  target[at + 3] = words;
}

function putReport(target: Buffer, at: number, report: ReceptionReport): void {
  putUint32(target, at, report.ssrc);
  putUint32(target, at + 4, ((report.fractionLost & 0xff) << 24) | (report.cumulativeLost & 0xffffff));
  putUint32(target, at + 8, report.highestSequence);
  putUint32(target, at + 12, report.jitter);
  putUint32(target, at + 16, report.lastSenderReport);
  putUint32(target, at + 20, report.delaySinceLastSenderReport);
}

function putSender(target: Buffer, at: number, sender: SenderInfo): void {
  putUint32(target, at, sender.ntpSeconds);
  putUint32(target, at + 4, sender.ntpFraction);
  putUint32(target, at + 8, sender.rtpTimestamp);
  putUint32(target, at + 12, sender.packets);
  putUint32(target, at + 16, sender.octets);
}

/** Writes SR or RR, SDES with CNAME, and BYE if wanted. @returns the length, or 0 when `target` is too small */
export function writeRtcp(target: Buffer, compound: RtcpCompound): number {
  const name = Buffer.from(compound.cname, 'utf8').subarray(0, 255);
  const reports = compound.reports.slice(0, MAX_REPORTS);
  const head = compound.sender === undefined ? 8 : 8 + SENDER_BYTES;
  const reportEnd = head + reports.length * REPORT_BYTES;
  // Item, then at least one null octet, up to 32 bits.
  const sdesEnd = reportEnd + 8 + ((2 + name.length + 4) & ~3);
  const length = sdesEnd + (compound.bye === true ? 8 : 0);
  if (length > target.length) return 0;
  target.fill(0, 0, length);
  target[0] = 0x80 | reports.length;
  putHead(target, 0, compound.sender === undefined ? RR : SR, reportEnd);
  putUint32(target, 4, compound.ssrc);
  if (compound.sender !== undefined) putSender(target, 8, compound.sender);
  reports.forEach((report, i) => putReport(target, head + i * REPORT_BYTES, report));
  target[reportEnd] = 0x81;
  putHead(target, reportEnd, SDES, sdesEnd);
  putUint32(target, reportEnd + 4, compound.ssrc);
  target[reportEnd + 8] = CNAME;
  target[reportEnd + 9] = name.length;
  target.set(name, reportEnd + 10);
  if (compound.bye === true) {
    target[sdesEnd] = 0x81;
    putHead(target, sdesEnd, BYE, length);
    putUint32(target, sdesEnd + 4, compound.ssrc);
  }
  return length;
}

export { RtcpStats, type ReceptionSummary, type RtcpStatsOptions } from './rtcpStats.js';
