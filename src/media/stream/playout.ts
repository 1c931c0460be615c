import { type Rate, frameSamples } from '../codec/rate.js';

/** Five minutes: a bot may send speech much faster than it is spoken, but not without end. */
export const MAX_QUEUED_S = 5 * 60;
/** What conversion between rates rounds up, message by message. */
const ROUNDING_S = 1;
/** Half a second at 8 kHz. */
const BLOCK_SAMPLES = 4000;
const MAX_MARKS = 1000;
/** A pause of up to so many frames in the bot's speech was not meant: its next words came late. */
const MOST_LATE = 10;
const MOST_OWED = 25;
/** Below it nobody hears what is left out: about -54 dBFS. */
const QUIET = 64;

/** Something to tell the bot once the audio before it has been played. */
export interface Mark {
  readonly kind: 'mark' | 'clip';
  readonly name: string;
}

interface PlacedMark extends Mark {
  /** The sample before which it stands. */
  readonly atSample: number;
}

const NO_MARKS: readonly Mark[] = [];

/**
 * What the bot wants the caller to hear, as samples, with its marks between them. A mark is due when the audio
 * before it has been taken, and not earlier. Samples lie in blocks, so that a bot that sends them one by one costs no
 * more than others.
 *
 * When the bot's words come too late, the caller hears a gap, and everything after it later by as much; with a bot that
 * speaks as it hears, for the rest of the call. As many silent frames are left out when they come.
 */
export class Playout {
  readonly #blocks: Int16Array[] = [];
  readonly #marks: PlacedMark[] = [];
  readonly #maxSamples: number;
  readonly #frame: Int16Array;
  /** Read position in the first block. */
  #from = 0;
  /** Write position in the last block. */
  #to = BLOCK_SAMPLES;
  /** The block emptied last, for the next one to fill. */
  #spare: Int16Array | undefined;
  #queued = 0;
  #taken = 0;
  #starved = false;
  #idle = true;
  /** Frames that were wanted and not there since the last one. */
  #late = MOST_LATE + 1;
  /** Frames of gaps that were not meant. */
  #owed = 0;

  constructor(rate: Rate = 8000) {
    this.#maxSamples = (MAX_QUEUED_S + ROUNDING_S) * rate;
    this.#frame = new Int16Array(frameSamples(rate));
  }

  /** Samples that wait. */
  get queued(): number {
    return this.#queued;
  }

  /** Nothing waits, and the last frame taken was none: the caller hears nothing of the bot. */
  get idle(): boolean {
    return this.#idle && this.#queued === 0;
  }

  /** Copies. @returns false when the queue is full: nothing is taken then. */
  add(pcm: Int16Array): boolean {
    if (this.#queued + pcm.length > this.#maxSamples) return false;
    for (let at = 0; at < pcm.length;) {
      if (this.#to === BLOCK_SAMPLES) {
        this.#blocks.push(this.#spare ?? new Int16Array(BLOCK_SAMPLES));
        this.#spare = undefined;
        this.#to = 0;
      }
      const count = Math.min(BLOCK_SAMPLES - this.#to, pcm.length - at);
      (this.#blocks[this.#blocks.length - 1] as Int16Array).set(pcm.subarray(at, at + count), this.#to);
      this.#to += count;
      at += count;
    }
    this.#queued += pcm.length;
    return true;
  }

  hasRoomForMarks(count: number): boolean {
    return this.#marks.length + count <= MAX_MARKS;
  }

  /** @returns false when there are too many already */
  mark(mark: Mark): boolean {
    if (!this.hasRoomForMarks(1)) return false;
    this.#marks.push({ ...mark, atSample: this.#taken + this.#queued });
    return true;
  }

  /** Marks that the audio taken so far has passed. Each is given once. */
  passed(): readonly Mark[] {
    if (this.#marks.length === 0 || (this.#marks[0] as PlacedMark).atSample > this.#taken) return NO_MARKS;
    const later = this.#marks.findIndex((mark) => mark.atSample > this.#taken);
    return this.#marks.splice(0, later < 0 ? this.#marks.length : later);
  }

  /**
   * The next frame, or undefined. The tail of an utterance that fills no frame waits one tick for more, then is filled
   * up with silence.
   */
  take(): Int16Array | undefined {
    this.#idle = this.#queued === 0;
    const { length } = this.#frame;
    if (this.#idle || (this.#queued < length && !this.#starved)) {
      this.#starved = !this.#idle;
      this.#late++;
      return undefined;
    }
    this.#starved = false;
    if (this.#late <= MOST_LATE) this.#owed = Math.min(MOST_OWED, this.#owed + this.#late);
    this.#late = 0;
    this.#read(Math.min(length, this.#queued));
    if (this.#owed > 0 && this.#queued >= length && isQuiet(this.#frame)) {
      this.#owed--;
      this.#read(length);
    }
    return this.#frame;
  }

  /** Moves samples into the frame; the rest of it is silence. */
  #read(wanted: number): void {
    for (let filled = 0; filled < wanted;) {
      const block = this.#blocks[0] as Int16Array;
      const count = Math.min(wanted - filled, BLOCK_SAMPLES - this.#from);
      this.#frame.set(block.subarray(this.#from, this.#from + count), filled);
      filled += count;
      this.#from += count;
      if (this.#from === BLOCK_SAMPLES) {
        this.#spare = this.#blocks.shift();
        this.#from = 0;
      }
    }
    this.#frame.fill(0, wanted);
    this.#queued -= wanted;
    this.#taken += wanted;
  }

  /** Empties the queue. @returns the marks that were in it */
  clear(): readonly Mark[] {
    this.#taken += this.#queued;
    this.#queued = 0;
    this.#blocks.length = 0;
    this.#from = 0;
    this.#to = BLOCK_SAMPLES;
    this.#starved = false;
    this.#late = MOST_LATE + 1;
    this.#owed = 0;
    return this.#marks.splice(0);
  }

  /** Forgets the marks alone. @returns those that the bot had set */
  clearMarks(): readonly Mark[] {
    const marks = this.#marks.splice(0);
    this.#marks.push(...marks.filter((mark) => mark.kind === 'clip'));
    return marks.filter((mark) => mark.kind === 'mark');
  }
}

const isQuiet = (frame: Int16Array): boolean => {
  for (let i = 0; i < frame.length; i++) {
    const sample = frame[i] as number;
    if (sample > QUIET || sample < -QUIET) return false;
  }
  return true;
};
