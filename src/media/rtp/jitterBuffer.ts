import { type RtpPacket, sequenceDelta, timestampDelta } from './packet.js';
import { PAUSE, PRESENT, SampleRing } from './sampleRing.js';

export interface JitterBufferOptions {
  /** Samples a second. Default 8000. */
  readonly clockRate?: number | undefined;
  /** Samples that one `pull` plays. Default 160: 20 ms. */
  readonly frameSamples?: number | undefined;
  /** Octets of one sample: 1 for G.711, 2 for L16. Default 1. */
  readonly bytesPerSample?: number | undefined;
  /** Bounds of the delay, the frame being played included. Default 20 and 200 ms. */
  readonly minMs?: number | undefined;
  readonly maxMs?: number | undefined;
  /** True for a frame whose loss nobody hears: where the delay is shortened first. Default: any frame will do. */
  readonly quiet?: ((payload: Buffer) => boolean) | undefined;
}

export type JitterFrame =
  /** `payload` holds `frameSamples` samples; it is valid until the next `pull`. */
  | { readonly kind: 'audio'; readonly payload: Buffer; readonly payloadType: number }
  /** Something should be here: conceal it. */
  | { readonly kind: 'lost' }
  /** Nothing is being said. */
  | { readonly kind: 'silence' };

export interface JitterStats {
  readonly received: number;
  readonly played: number;
  /** Frames that had to be concealed. */
  readonly concealed: number;
  /** Packets that came after their time. */
  readonly late: number;
  readonly duplicates: number;
  readonly reordered: number;
  /** Times the buffer began anew: new SSRC or payload type, timestamp jump. */
  readonly restarts: number;
  /** Frames left out to shorten the delay. */
  readonly skipped: number;
  /** Present delay from the arrival of an undelayed packet until it is played, and the delay aimed at. */
  readonly delayMs: number;
  readonly targetMs: number;
}

const LOST: JitterFrame = { kind: 'lost' };
const SILENCE: JitterFrame = { kind: 'silence' };

/** Spread of arrival that is assumed at first, and never forgotten: timers are not exact. */
const LEAST_SPREAD_MS = 3;
/** After so long without a packet the sender is taken to be silent, not disturbed. */
const STARVED_MS = 120;
/** Pulls over which the least surplus of delay is measured before any is taken away. */
const SURPLUS_PULLS = 50;
/** Pulls for which a pause is awaited to take it away in: speech has one, music need not. */
const PATIENT_PULLS = 1500;
/** Late packets in a row, with nothing in time between them, that show the sender's clock to have jumped back. */
const LATE_IN_A_ROW = 4;
/** Packets that a copy is known by. */
const RECENT = 64;
/** A source that another one has replaced is heard again when that one was silent for so long. */
const FORMER_SOURCE_MS = 200;

/**
 * Holds arriving audio until it is due. It is a ring of samples addressed by timestamp, so the packet length of the
 * sender need not be that of the player, and order, duplicates and overlaps settle themselves.
 *
 * The delay follows the network. `#spread` estimates how much later than the fastest packets most of the others come;
 * a frame is due that long after a fast packet with it would have come. Delay grows by waiting when the buffer is
 * empty anyway, and shrinks by leaving out frames: quiet ones, after it was too long for a second; any, after half a
 * minute or where it is too long by far.
 */
export class JitterBuffer {
  readonly #perMs: number;
  readonly #frame: number;
  readonly #width: number;
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #quiet: ((payload: Buffer) => boolean) | undefined;
  readonly #ring: SampleRing;
  readonly #out: Buffer;
  readonly #audio: { kind: 'audio'; payload: Buffer; payloadType: number };

  #running = false;
  #ssrc = 0;
  #formerSsrc: number | undefined;
  readonly #recentSequence = new Int32Array(RECENT).fill(-1);
  readonly #recentTimestamp = new Uint32Array(RECENT);
  /** Extended (unwrapped) timestamps: of the next sample to play, and after the last one received. */
  #play = 0;
  #end = 0;
  #latestTimestamp = 0;
  #latestExtended = 0;
  #latestSequence = 0;
  /** Arrival of the fastest packets: their time in samples minus their timestamp. */
  #base = 0;
  #spreadMs = LEAST_SPREAD_MS;
  #started = false;
  #lastArrivalMs = 0;
  #lateInARow = 0;
  #surplus = Infinity;
  #surplusPulls = 0;
  #waited = 0;
  #delaySamples = 0;

  #received = 0;
  #played = 0;
  #concealed = 0;
  #late = 0;
  #duplicates = 0;
  #reordered = 0;
  #restarts = 0;
  #skipped = 0;

  constructor(options: JitterBufferOptions = {}) {
    this.#perMs = (options.clockRate ?? 8000) / 1000;
    this.#frame = options.frameSamples ?? 160;
    this.#width = options.bytesPerSample ?? 1;
    this.#minMs = options.minMs ?? 20;
    this.#maxMs = Math.max(this.#minMs, options.maxMs ?? 200);
    this.#quiet = options.quiet;
    this.#ring = new SampleRing(this.#maxMs * this.#perMs * 2 + this.#frame * 4, this.#width);
    this.#out = Buffer.alloc(this.#frame * this.#width);
    this.#audio = { kind: 'audio', payload: this.#out, payloadType: 0 };
  }

  /** Takes a packet of audio at its arrival. Its payload is copied. */
  push(packet: RtpPacket, nowMs: number): void {
    const samples = Math.floor(packet.payload.length / this.#width);
    if (samples === 0 || samples > this.#ring.length / 2) return;
    if (this.#isEcho(packet, nowMs)) return;
    this.#received++;
    if (this.#isCopy(packet)) {
      this.#duplicates++;
      return;
    }
    if (!this.#running || packet.ssrc !== this.#ssrc || packet.payloadType !== this.#audio.payloadType) {
      this.#restart(packet, nowMs);
    }
    const ahead = sequenceDelta(packet.sequence, this.#latestSequence);
    let extended = this.#latestExtended + timestampDelta(packet.timestamp, this.#latestTimestamp);
    const jump = this.#jumped(extended, samples, ahead, nowMs);
    if (jump) {
      this.#restart(packet, nowMs);
      extended = this.#latestExtended;
    }
    this.#lastArrivalMs = nowMs;
    // The first to arrive need not be the first in order.
    if (!this.#started && extended < this.#play && extended > this.#play - this.#maxMs * this.#perMs) {
      this.#play = extended;
    }
    this.#observe(nowMs * this.#perMs - extended);
    if (ahead === 1 && !jump) this.#ring.pause(Math.max(this.#end, this.#play), extended);
    if (ahead < 0 && !jump) this.#reordered++;
    else {
      this.#latestSequence = packet.sequence;
      this.#latestTimestamp = packet.timestamp;
      this.#latestExtended = extended;
    }
    this.#store(packet, extended, samples);
  }

  /** A packet of this stream that carries no audio (a digit, comfort noise): the sequence goes on through it. */
  note(packet: Pick<RtpPacket, 'ssrc' | 'sequence'>): void {
    if (this.#running && packet.ssrc === this.#ssrc && sequenceDelta(packet.sequence, this.#latestSequence) > 0) {
      this.#latestSequence = packet.sequence;
    }
  }

  /** What to play for the next `frameSamples` samples. Call it once per frame interval. */
  pull(nowMs: number): JitterFrame {
    if (!this.#running) return SILENCE;
    const ideal = nowMs * this.#perMs - this.#base - this.#waitSamples();
    if (!this.#started) {
      if (ideal < this.#play) return SILENCE;
      this.#started = true;
    }
    this.#shorten(ideal);
    let present = this.#present();
    // What was waited for is lost after all, and was concealed while waiting: the sound goes on behind it, unless the
    // wait was needed anyway to reach the delay aimed at.
    while (present * 2 <= this.#frame && this.#waited > 0 && this.#overdue(ideal)) {
      this.#waited--;
      this.#advance();
      present = this.#present();
    }
    if (present * 2 > this.#frame) return this.#take(present);
    return this.#missing(present, ideal, nowMs);
  }

  /** Drops what is held and begins anew with the next packet: after hold, say. */
  reset(): void {
    this.#running = false;
  }

  stats(): JitterStats {
    return {
      received: this.#received,
      played: this.#played,
      concealed: this.#concealed,
      late: this.#late,
      duplicates: this.#duplicates,
      reordered: this.#reordered,
      restarts: this.#restarts,
      skipped: this.#skipped,
      delayMs: this.#running && this.#started ? Math.max(0, this.#delaySamples / this.#perMs) : this.#targetMs(),
      targetMs: this.#targetMs(),
    };
  }

  #targetMs(): number {
    const frameMs = this.#frame / this.#perMs;
    return Math.max(this.#minMs, Math.min(this.#maxMs, frameMs + this.#spreadMs));
  }

  /** How long after its arrival a fast packet waits. */
  #waitSamples(): number {
    return this.#targetMs() * this.#perMs - this.#frame;
  }

  #restart(packet: RtpPacket, nowMs: number): void {
    if (this.#running) this.#restarts++;
    if (packet.ssrc !== this.#ssrc) this.#formerSsrc = this.#running ? this.#ssrc : undefined;
    this.#running = true;
    this.#started = false;
    this.#ssrc = packet.ssrc;
    this.#audio.payloadType = packet.payloadType;
    this.#latestSequence = packet.sequence;
    this.#latestTimestamp = packet.timestamp;
    this.#latestExtended = packet.timestamp;
    this.#play = packet.timestamp;
    this.#end = packet.timestamp;
    this.#base = nowMs * this.#perMs - packet.timestamp;
    this.#ring.clear();
    this.#lateInARow = 0;
    this.#surplus = Infinity;
    this.#surplusPulls = 0;
    this.#waited = 0;
  }

  /** Late packets of the source before must not bring it back while the new one is heard. */
  #isEcho(packet: RtpPacket, nowMs: number): boolean {
    return (
      this.#running &&
      packet.ssrc !== this.#ssrc &&
      packet.ssrc === this.#formerSsrc &&
      nowMs - this.#lastArrivalMs < FORMER_SOURCE_MS
    );
  }

  /** Told by number and timestamp: a copy of what was played already is not late. */
  #isCopy(packet: RtpPacket): boolean {
    const slot = packet.sequence & (RECENT - 1);
    const known = packet.ssrc === this.#ssrc && this.#recentSequence[slot] === packet.sequence;
    if (known && this.#recentTimestamp[slot] === packet.timestamp) return true;
    this.#recentSequence[slot] = packet.sequence;
    this.#recentTimestamp[slot] = packet.timestamp;
    return false;
  }

  /** The timestamp has left the neighbourhood of the arrival times: a new recording, another clock. */
  #jumped(extended: number, samples: number, ahead: number, nowMs: number): boolean {
    if (extended + samples > this.#play + this.#ring.length) return true;
    const transit = nowMs * this.#perMs - extended - this.#base;
    // Well before its time: no network delivers early.
    if (transit < -this.#maxMs * this.#perMs) return true;
    if (!this.#started || extended + samples > this.#play) {
      this.#lateInARow = 0;
      return false;
    }
    return ahead > 0 && ++this.#lateInARow >= LATE_IN_A_ROW;
  }

  /** Follows the fastest packets at once and the slowest quickly; forgets both slowly. */
  #observe(transit: number): void {
    if (transit < this.#base) this.#base = transit;
    const lateMs = (transit - this.#base) / this.#perMs;
    // Too late for any delay that we would accept: no reason to wait longer for the others.
    if (lateMs > this.#maxMs) return;
    // A sender's clock may be slower than ours: the base must be able to rise.
    this.#base += (transit - this.#base) * 0.0005;
    const spread = this.#spreadMs;
    const next = spread + (lateMs - spread) * (lateMs > spread ? 0.25 : 0.004);
    this.#spreadMs = Math.max(LEAST_SPREAD_MS, Math.min(this.#maxMs, next));
  }

  #store(packet: RtpPacket, extended: number, samples: number): void {
    const skip = Math.max(0, this.#play - extended);
    if (skip >= samples) {
      this.#late++;
      return;
    }
    const octets = packet.payload.subarray(skip * this.#width, samples * this.#width);
    if (!this.#ring.put(extended + skip, octets)) {
      this.#duplicates++;
      return;
    }
    if (extended + samples > this.#end) this.#end = extended + samples;
  }

  #present(): number {
    return this.#ring.count(this.#play, this.#frame, PRESENT);
  }

  #advance(): void {
    this.#ring.drop(this.#play, this.#frame);
    this.#play += this.#frame;
  }

  /** A whole frame of delay more than needed, and sound behind the present frame. */
  #overdue(ideal: number): boolean {
    return ideal - this.#play >= this.#frame && this.#end > this.#play + this.#frame;
  }

  #take(present: number): JitterFrame {
    this.#ring.read(this.#play, this.#out);
    if (present < this.#frame) this.#ring.fillHoles(this.#play, this.#out);
    this.#waited = 0;
    this.#played++;
    this.#advance();
    return this.#audio;
  }

  #missing(present: number, ideal: number, nowMs: number): JitterFrame {
    if (present === 0 && this.#ring.count(this.#play, this.#frame, PAUSE) * 2 > this.#frame) {
      this.#waited = 0;
      this.#advance();
      return SILENCE;
    }
    const starved = nowMs - this.#lastArrivalMs > STARVED_MS;
    // Playing earlier than the network allows, or nothing there at all: waiting costs no sound.
    const delay = ideal - this.#play;
    const nothing = this.#end <= this.#play + this.#frame;
    const room = (this.#maxMs - this.#targetMs()) * this.#perMs;
    if (delay < room && (delay < 0 || (nothing && !starved && this.#waited < 3))) this.#waited++;
    else this.#advance();
    if (starved && nothing) return SILENCE;
    this.#concealed++;
    return LOST;
  }

  /** Takes surplus delay away, a frame at a time. */
  #shorten(ideal: number): void {
    const surplus = ideal - this.#play;
    this.#delaySamples = surplus + this.#waitSamples() + this.#frame;
    if (surplus < this.#surplus) this.#surplus = surplus;
    const tooLong = surplus > (this.#maxMs - this.#targetMs()) * this.#perMs + this.#frame;
    if (++this.#surplusPulls < SURPLUS_PULLS && !tooLong) return;
    // A frame less, and still on time.
    if (this.#surplus >= this.#frame * 1.25 || tooLong) {
      const insist = tooLong || this.#surplusPulls > PATIENT_PULLS || this.#surplus >= this.#frame * 3;
      if (!insist && !this.#isQuiet()) return;
      this.#advance();
      this.#skipped++;
    }
    this.#surplus = Infinity;
    this.#surplusPulls = 0;
  }

  #isQuiet(): boolean {
    if (this.#quiet === undefined || this.#present() < this.#frame) return true;
    this.#ring.read(this.#play, this.#out);
    return this.#quiet(this.#out);
  }
}
