import type { Rate } from '../codec/rate.js';
import { AudioFromBot } from './audio.js';
import type { AudioFormat } from './dialect.js';
import { MAX_QUEUED_S, type Mark, Playout } from './playout.js';

/** Audio up to this length is converted when it comes. */
const AT_ONCE_MS = 400;
/** Of longer audio so much is converted a tick: ten times faster than it is heard, and never long at a time. */
const PER_TICK_MS = 200;

/** A message that waits for its conversion. */
interface Piece {
  readonly decoder: AudioFromBot;
  readonly audio: Buffer;
  readonly format: AudioFormat;
  /** Octets that have been converted. */
  at: number;
}

const isMark = (one: Piece | Mark): one is Mark => 'kind' in one;

const octetsOf = (ms: number, { encoding, sampleRate }: AudioFormat): number =>
  Math.ceil((ms * sampleRate) / 1000) * (encoding === 'mulaw' ? 1 : 2);

const msOf = (octets: number, { encoding, sampleRate }: AudioFormat): number =>
  (octets * 1000) / (sampleRate * (encoding === 'mulaw' ? 1 : 2));

/**
 * What a bot has said and the caller has not heard. A bot may send half a minute of speech in one message, whose
 * conversion at once would hold up every other call of the thread: it is done as the speech is played.
 */
export class BotSpeech {
  readonly #rate: Rate;
  readonly #playout: Playout;
  readonly #stream: AudioFromBot;
  /** In the order of their coming; what is in here comes after what is in the playout. */
  readonly #waiting: (Piece | Mark)[] = [];
  #waitingMs = 0;
  #waitingMarks = 0;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#playout = new Playout(rate);
    this.#stream = new AudioFromBot(rate);
  }

  get queuedMs(): number {
    return this.#waitingMs + (this.#playout.queued * 1000) / this.#rate;
  }

  /** Nothing waits, and the caller hears nothing of the bot. */
  get idle(): boolean {
    return this.#waiting.length === 0 && this.#playout.idle;
  }

  /** A piece of the bot's one long speech. @returns false when too much waits: nothing is taken then */
  add(audio: Buffer, format: AudioFormat): boolean {
    return this.#add(this.#stream, audio, format);
  }

  /** A recording of its own. @returns as `add` */
  addClip(audio: Buffer, format: AudioFormat): boolean {
    return this.#add(new AudioFromBot(this.#rate), audio, format);
  }

  /** @returns false when there are too many already */
  mark(mark: Mark): boolean {
    if (this.#waiting.length === 0) return this.#playout.mark(mark);
    if (!this.#playout.hasRoomForMarks(this.#waitingMarks + 1)) return false;
    this.#waiting.push(mark);
    this.#waitingMarks++;
    return true;
  }

  /** Marks whose audio has been heard. Each is given once. */
  passed(): readonly Mark[] {
    return this.#playout.passed();
  }

  /** The next 20 ms for the caller, or undefined; valid until the next call. */
  take(): Int16Array | undefined {
    if (this.#waiting.length > 0) this.#convert();
    return this.#playout.take();
  }

  /** Forgets all of it. @returns the marks that were in it */
  clear(): readonly Mark[] {
    this.#stream.reset();
    const marks = this.#waiting.splice(0).filter(isMark);
    this.#waitingMs = 0;
    this.#waitingMarks = 0;
    return [...this.#playout.clear(), ...marks];
  }

  /** Forgets the marks alone. @returns those that the bot had set */
  clearMarks(): readonly Mark[] {
    const waiting = this.#waiting.splice(0);
    const isBots = (one: Piece | Mark): one is Mark => isMark(one) && one.kind === 'mark';
    this.#waiting.push(...waiting.filter((one) => !isBots(one)));
    const marks = waiting.filter(isBots);
    this.#waitingMarks -= marks.length;
    return [...this.#playout.clearMarks(), ...marks];
  }

  #add(decoder: AudioFromBot, audio: Buffer, format: AudioFormat): boolean {
    const ms = msOf(audio.length, format);
    if (this.queuedMs + ms > MAX_QUEUED_S * 1000) return false;
    if (this.#waiting.length === 0 && ms <= AT_ONCE_MS) return this.#playout.add(decoder.decode(audio, format));
    this.#waiting.push({ decoder, audio: Buffer.from(audio), format, at: 0 });
    this.#waitingMs += ms;
    return true;
  }

  #convert(): void {
    let leftMs = PER_TICK_MS;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (isMark(first)) {
        this.#playout.mark(first);
        this.#waitingMarks--;
        this.#waiting.shift();
        continue;
      }
      if (leftMs <= 0) return;
      const { decoder, audio, format, at } = first;
      first.at = Math.min(audio.length, at + octetsOf(leftMs, format));
      const ms = msOf(first.at - at, format);
      this.#playout.add(decoder.decode(audio.subarray(at, first.at), format));
      leftMs -= ms;
      this.#waitingMs -= ms;
      if (first.at < audio.length) return;
      this.#waiting.shift();
    }
    this.#waitingMs = 0;
  }
}
