/**
 * Carries records from the journal to one sink, at least once and in order. What is not delivered yet is not in memory:
 * it is what lies behind the cursor in the files, however long the sink is away and however often the process dies.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Random, Timer } from '../../../kernel/index.js';
import { FIRST_PLACE, type JournalSlice, JournalReader, type Place, callIdOf, endPlace, isPlace } from '../segments.js';

export interface SinkRecord {
  /** The key by which a receiver knows a record that comes again. */
  readonly callId: string;
  /** One line of JSON, without the newline. */
  readonly json: Buffer;
}

/** Where records go. */
export interface RecordSink {
  readonly name: string;
  /** Most records of one `deliver`. */
  readonly batch: number;
  /**
   * Resolves when the receiver has them all. Tries once.
   * @throws when it is not known that it has; the same records come again, perhaps with others
   */
  deliver(records: readonly SinkRecord[]): Promise<void>;
  close(): Promise<void>;
}

export type SinkAlarm =
  | { readonly type: 'sink_failed'; readonly sink: string; readonly reason: string }
  | { readonly type: 'sink_recovered'; readonly sink: string }
  /** The receiver will never take this record; it was left in a file of its own. */
  | { readonly type: 'sink_refused'; readonly sink: string; readonly callId: string; readonly status: number }
  /** Files were removed before the sink had their records. */
  | { readonly type: 'sink_gap'; readonly sink: string };

export interface DrainOptions {
  readonly folder: string;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly onAlarm: (alarm: SinkAlarm) => void;
}

const READ_BYTES = 512 * 1024;
const FIRST_BACKOFF_MS = 250;
/** Well within the ten seconds in which a sink that is back has everything. */
const MAX_BACKOFF_MS = 4000;
/** A stop does not wait for a long backlog: the rest is the next start's. */
const LAST_TRY_MS = 5000;

export class SinkDrain {
  readonly #options: DrainOptions;
  readonly #cursorPath: string;
  #reader: JournalReader | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #retry: Timer | undefined;
  #failures = 0;
  #delivered = 0;
  /** Reading of the clock after which no batch is begun; Infinity until it is to end. */
  #endMs = Infinity;

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#cursorPath = join(options.folder, `sink.${options.sink.name}.cursor`);
  }

  /**
   * A sink that was never there before gets what is recorded from now on; any other goes on where it was.
   * @throws TandemError or errno error when the folder cannot be written
   */
  async start(): Promise<void> {
    const { folder } = this.#options;
    let place = readCursor(this.#cursorPath);
    if (place === 'none') {
      place = await endPlace(folder);
      this.#keep(place);
    }
    this.#reader = new JournalReader(folder, place);
    this.wake();
  }

  /** There may be something new. */
  readonly wake = (): void => {
    this.#again = true;
    if (this.#running !== undefined || this.#ending || this.#retry?.active === true || this.#reader === undefined)
      return;
    this.#running = this.#drain(this.#reader).finally(() => {
      this.#running = undefined;
      if (this.#again) this.wake();
    });
  };

  get #ending(): boolean {
    return this.#endMs !== Infinity;
  }

  get #hasTime(): boolean {
    return this.#options.clock.nowMs() < this.#endMs;
  }

  /**
   * Delivers what is there, if the sink takes it now, and ends; what it does not take comes at the next start. A sink
   * that failed a moment ago is tried once more without its pause: nobody knows whether there will be a next start.
   */
  async close(): Promise<void> {
    this.#endMs = this.#options.clock.nowMs() + LAST_TRY_MS;
    await this.#running;
    this.#retry?.cancel();
    const reader = this.#reader;
    if (reader !== undefined) await this.#drain(reader);
    await reader?.close();
    await this.#options.sink.close();
  }

  dump(): object {
    const { sink } = this.#options;
    return {
      sink: sink.name,
      delivered: this.#delivered,
      failures: this.#failures,
      place: this.#reader?.place ?? null,
    };
  }

  async #drain(reader: JournalReader): Promise<void> {
    try {
      while (this.#hasTime) {
        this.#again = false;
        const slice = await reader.next(READ_BYTES);
        if (slice.gap) this.#alarm({ type: 'sink_gap', sink: this.#options.sink.name });
        if (slice.lines.length === 0) return;
        await this.#deliver(slice);
      }
    } catch (error) {
      this.#again = false;
      const kept = readCursor(this.#cursorPath);
      await reader.moveTo(kept === 'none' ? FIRST_PLACE : kept);
      this.#fail(error instanceof Error ? error.message : String(error));
    }
  }

  async #deliver({ lines, place }: JournalSlice): Promise<void> {
    const { sink } = this.#options;
    const behindBytes = lines.map((line) => line.length);
    let left = behindBytes.reduce((sum, bytes) => sum + bytes, 0);
    for (let at = 0; at < lines.length && this.#hasTime; at += sink.batch) {
      const batch = lines.slice(at, at + sink.batch);
      const records = batch.flatMap((line) => {
        const callId = callIdOf(line);
        // What a crash or a person left between the records is nobody's.
        return callId === undefined ? [] : [{ callId, json: line.subarray(0, line.length - 1) }];
      });
      if (records.length > 0) await sink.deliver(records);
      for (const line of batch) left -= line.length;
      this.#delivered += records.length;
      this.#succeed();
      this.#keep({ ...place, offset: place.offset - left });
    }
  }

  #succeed(): void {
    if (this.#failures > 0) this.#alarm({ type: 'sink_recovered', sink: this.#options.sink.name });
    this.#failures = 0;
  }

  #fail(reason: string): void {
    const { sink, clock, random } = this.#options;
    if (this.#failures++ === 0) this.#alarm({ type: 'sink_failed', sink: sink.name, reason });
    if (this.#ending) return;
    const ceilingMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(this.#failures - 1, 10));
    this.#retry = clock.setTimer('cdr.sink', ceilingMs / 2 + (random.float() * ceilingMs) / 2, this.wake);
  }

  #alarm(alarm: SinkAlarm): void {
    this.#options.onAlarm(alarm);
  }

  /** Renamed into place: it is the old one or the new one, never half. Losing it costs repetitions, not records. */
  #keep(place: Place): void {
    const draft = `${this.#cursorPath}.new`;
    writeFileSync(draft, JSON.stringify(place), { mode: 0o640 });
    renameSync(draft, this.#cursorPath);
  }
}

/** `none` where there was never one; one that cannot be read stands for the beginning. */
const readCursor = (path: string): Place | 'none' => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'none' : FIRST_PLACE;
  }
  try {
    const value: unknown = JSON.parse(text);
    return isPlace(value) ? value : FIRST_PLACE;
  } catch {
    return FIRST_PLACE;
  }
};
