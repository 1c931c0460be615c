import { type RtpPacket, timestampDelta } from './packet.js';
import type { ReceptionReport, SenderInfo } from './rtcp.js';

export interface ReceptionSummary {
  readonly received: number;
  readonly expected: number;
  /** Never below 0 here, though a report may say so. */
  readonly lost: number;
  /** RFC 3550 §6.4.1, in milliseconds. */
  readonly jitterMs: number;
  /** Undefined until a report of the peer answered one of ours. */
  readonly roundTripMs: number | undefined;
  /** Of what we send, as the peer last told. */
  readonly remoteLost: number | undefined;
  readonly remoteJitterMs: number | undefined;
}

export interface RtcpStatsOptions {
  /** Samples a second. Default 8000. */
  readonly clockRate?: number | undefined;
  /** What makes `nowMs` milliseconds since 1970; default 0: a sender report then tells elapsed time, as §4 allows. */
  readonly wallOffsetMs?: number | undefined;
}

/** Constants of RFC 3550 §A.1. */
const MAX_DROPOUT = 3000;
const MAX_MISORDER = 100;
const CYCLE = 65536;
/** From 1900, where NTP begins, to 1970. */
const NTP_TO_UNIX_S = 2_208_988_800;
/** A round trip beyond this is a wrong report, not a delay. */
const MAX_ROUND_TRIP_MS = 10_000;

/** Statistics of one source that we receive, and what its reports say of us (RFC 3550 §A.1, §A.3, §A.8). */
export class RtcpStats {
  #clockRate: number;
  readonly #wallOffsetMs: number;
  #ssrc: number | undefined;
  #base = 0;
  #highest = 0;
  #cycles = 0;
  /** The one sequence number after a wild jump that would make the jump true. */
  #suspect = -1;
  #received = 0;
  #transit = 0;
  #lastTimestamp = 0;
  #jitter = 0;
  #expectedPrior = 0;
  #receivedPrior = 0;
  #senderReport = 0;
  #senderReportMs = 0;
  #roundTripMs: number | undefined;
  #remote: ReceptionReport | undefined;
  /** Of sources before a change of SSRC: the call's totals go on. */
  #before = { received: 0, expected: 0 };

  constructor(options: RtcpStatsOptions = {}) {
    this.#clockRate = options.clockRate ?? 8000;
    this.#wallOffsetMs = options.wallOffsetMs ?? 0;
  }

  /** What comes is counted by another clock from now on: a stream of its own (RFC 7160). */
  useClock(clockRate: number): void {
    if (clockRate === this.#clockRate) return;
    this.#jitter = (this.#jitter * clockRate) / this.#clockRate;
    this.#clockRate = clockRate;
    this.#close();
    this.#restart(0);
    this.#ssrc = undefined;
  }

  /** Counts a packet. Only its header is looked at. */
  received(packet: Pick<RtpPacket, 'sequence' | 'timestamp' | 'ssrc'>, nowMs: number): void {
    if (packet.ssrc !== this.#ssrc) this.#begin(packet.ssrc, packet.sequence);
    if (!this.#count(packet.sequence)) return;
    // RFC 3550 §A.8. The difference of clocks is kept small so that its 32 bits may wrap.
    const transit = nowMs * (this.#clockRate / 1000) - packet.timestamp;
    if (this.#received > 1 && packet.timestamp !== this.#lastTimestamp) {
      const moved = timestampDelta(packet.timestamp, this.#lastTimestamp);
      const difference = transit + packet.timestamp - (this.#transit + this.#lastTimestamp) - moved;
      const wild = Math.abs(difference) > this.#clockRate * 10;
      if (!wild) this.#jitter += (Math.abs(difference) - this.#jitter) / 16;
    }
    this.#transit = transit;
    this.#lastTimestamp = packet.timestamp;
  }

  /** The source's sender report came. */
  senderReport(sender: SenderInfo, nowMs: number): void {
    this.#senderReport = compact(sender.ntpSeconds, sender.ntpFraction);
    this.#senderReportMs = nowMs;
  }

  /** The peer reported on what we send. */
  receptionReport(report: ReceptionReport, nowMs: number): void {
    this.#remote = report;
    if (report.lastSenderReport === 0) return;
    const now = this.ntp(nowMs);
    const units =
      compact(now.ntpSeconds, now.ntpFraction) - report.lastSenderReport - report.delaySinceLastSenderReport;
    const roundTripMs = ((units | 0) * 1000) / 65536;
    // Clocks with coarse steps give slightly negative differences.
    if (roundTripMs > -50 && roundTripMs <= MAX_ROUND_TRIP_MS) this.#roundTripMs = Math.max(0, roundTripMs);
  }

  /** `nowMs` as an NTP timestamp. */
  ntp(nowMs: number): { readonly ntpSeconds: number; readonly ntpFraction: number } {
    const unixMs = nowMs + this.#wallOffsetMs;
    const seconds = Math.floor(unixMs / 1000);
    const fraction = Math.floor(((unixMs - seconds * 1000) / 1000) * 4294967296);
    return { ntpSeconds: (seconds + NTP_TO_UNIX_S) >>> 0, ntpFraction: fraction >>> 0 };
  }

  /** The block for our next report; begins a new interval. @returns undefined: nothing came yet */
  report(nowMs: number): ReceptionReport | undefined {
    if (this.#ssrc === undefined) return undefined;
    const expected = this.#expected();
    const interval = expected - this.#expectedPrior;
    const lost = interval - (this.#received - this.#receivedPrior);
    this.#expectedPrior = expected;
    this.#receivedPrior = this.#received;
    const sinceMs = this.#senderReport === 0 ? 0 : nowMs - this.#senderReportMs;
    return {
      ssrc: this.#ssrc,
      fractionLost: interval === 0 || lost <= 0 ? 0 : Math.min(255, Math.floor((lost * 256) / interval)),
      cumulativeLost: Math.max(-0x800000, Math.min(0x7fffff, expected - this.#received)),
      highestSequence: (this.#cycles + this.#highest) >>> 0,
      jitter: Math.floor(this.#jitter),
      lastSenderReport: this.#senderReport,
      delaySinceLastSenderReport: Math.round((sinceMs * 65536) / 1000) >>> 0,
    };
  }

  summary(): ReceptionSummary {
    const received = this.#before.received + this.#received;
    const expected = this.#before.expected + this.#expected();
    const perMs = this.#clockRate / 1000;
    return {
      received,
      expected,
      lost: Math.max(0, expected - received),
      jitterMs: this.#jitter / perMs,
      roundTripMs: this.#roundTripMs,
      remoteLost: this.#remote?.cumulativeLost,
      remoteJitterMs: this.#remote === undefined ? undefined : this.#remote.jitter / perMs,
    };
  }

  #expected(): number {
    return this.#ssrc === undefined ? 0 : this.#cycles + this.#highest - this.#base + 1;
  }

  #begin(ssrc: number, sequence: number): void {
    this.#close();
    this.#ssrc = ssrc;
    this.#senderReport = 0;
    this.#restart(sequence);
  }

  #close(): void {
    this.#before = {
      received: this.#before.received + this.#received,
      expected: this.#before.expected + this.#expected(),
    };
  }

  #restart(sequence: number): void {
    this.#base = sequence;
    this.#highest = sequence;
    this.#cycles = 0;
    this.#suspect = -1;
    this.#received = 0;
    this.#expectedPrior = 0;
    this.#receivedPrior = 0;
  }

  /** RFC 3550 §A.1. Probation is left out: who may send here was decided before. @returns false: do not use it */
  #count(sequence: number): boolean {
    const ahead = (sequence - this.#highest) & 0xffff;
    if (ahead < MAX_DROPOUT) {
      if (sequence < this.#highest) this.#cycles += CYCLE;
      this.#highest = sequence;
    } else if (ahead <= CYCLE - MAX_MISORDER) {
      // Two in a row after a wild jump: the source began anew without saying so.
      if (sequence !== this.#suspect) {
        this.#suspect = (sequence + 1) & 0xffff;
        return false;
      }
      this.#close();
      this.#restart(sequence);
    }
    this.#received++;
    return true;
  }
}

/** Middle 32 bits of an NTP timestamp. */
const compact = (seconds: number, fraction: number): number => (((seconds & 0xffff) << 16) | (fraction >>> 16)) >>> 0;
