/** What of one file of records can be searched without reading it: a row of numbers for each record, by column. */
import { COLUMNS, type RecordFilter, hashOf, headOf, valueOf } from './filter.js';

const MAGIC = 0x54434931;
const HEADER_BYTES = 64;
const COLUMN_COUNT = COLUMNS.length;
const FIRST_ROWS = 1024;
const NEWLINE = 0x0a;

export class SegmentIndex {
  /** Bytes of the file that are in the index. */
  bytes = 0;
  count = 0;
  minMs = Infinity;
  maxMs = -Infinity;
  #offsets: Float64Array<ArrayBuffer>;
  #startedMs: Float64Array<ArrayBuffer>;
  #lengths: Uint32Array<ArrayBuffer>;
  readonly #hashes: Uint32Array<ArrayBuffer>[];

  constructor(rows = FIRST_ROWS) {
    this.#offsets = new Float64Array(rows);
    this.#startedMs = new Float64Array(rows);
    this.#lengths = new Uint32Array(rows);
    this.#hashes = COLUMNS.map(() => new Uint32Array(rows));
  }

  /** In memory. */
  get size(): number {
    return this.#offsets.length * (20 + 4 * COLUMN_COUNT);
  }

  offset(row: number): number {
    return this.#offsets[row] as number;
  }

  length(row: number): number {
    return this.#lengths[row] as number;
  }

  /** Adds the whole lines of what follows in the file. @returns bytes taken */
  extend(chunk: Buffer): number {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#add(chunk.subarray(start, end), this.bytes + start);
      start = end + 1;
    }
    this.bytes += start;
    return start;
  }

  /** Rows, newest first, that may match: all that do, and a few that only look like it. */
  *candidates(filter: RecordFilter, fromRow = this.count - 1): Generator<number, void> {
    const { fromMs = -Infinity, toMs = Infinity } = filter;
    if (this.count === 0 || this.maxMs < fromMs || this.minMs >= toMs) return;
    const wanted = COLUMNS.flatMap((column, i) => {
      const text = filter[column];
      return text === undefined ? [] : [{ hashes: this.#hashes[i] as Uint32Array, hash: hashOf(text) }];
    });
    const number = filter.number === undefined ? undefined : hashOf(filter.number);
    const callers = this.#hashes[COLUMNS.indexOf('caller')] as Uint32Array;
    const called = this.#hashes[COLUMNS.indexOf('called')] as Uint32Array;
    next: for (let row = Math.min(fromRow, this.count - 1); row >= 0; row--) {
      const startedMs = this.#startedMs[row] as number;
      if (startedMs < fromMs || startedMs >= toMs) continue;
      for (const { hashes, hash } of wanted) if (hashes[row] !== hash) continue next;
      if (number !== undefined && callers[row] !== number && called[row] !== number) continue;
      yield row;
    }
  }

  /** The row before an offset in the file. */
  rowBefore(offset: number): number {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.offset(middle) < offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  encode(): Buffer {
    const head = Buffer.alloc(HEADER_BYTES);
    head.writeUInt32LE(MAGIC, 0);
    head.writeUInt32LE(this.count, 4);
    head.writeDoubleLE(this.bytes, 8);
    head.writeDoubleLE(this.minMs, 16);
    head.writeDoubleLE(this.maxMs, 24);
    const { count } = this;
    const parts = [this.#offsets, this.#startedMs, this.#lengths, ...this.#hashes].map((column) => {
      const used = column.subarray(0, count);
      return Buffer.from(used.buffer, used.byteOffset, used.byteLength);
    });
    return Buffer.concat([head, ...parts]);
  }

  /** @returns undefined for anything that `encode` did not make */
  static decode(data: Buffer): SegmentIndex | undefined {
    if (data.length < HEADER_BYTES || data.readUInt32LE(0) !== MAGIC) return undefined;
    const count = data.readUInt32LE(4);
    if (data.length !== HEADER_BYTES + count * (20 + 4 * COLUMN_COUNT)) return undefined;
    const index = new SegmentIndex(Math.max(1, count));
    index.count = count;
    index.bytes = data.readDoubleLE(8);
    index.minMs = data.readDoubleLE(16);
    index.maxMs = data.readDoubleLE(24);
    let at = HEADER_BYTES;
    for (const column of [index.#offsets, index.#startedMs, index.#lengths, ...index.#hashes]) {
      const bytes = count * column.BYTES_PER_ELEMENT;
      Buffer.from(column.buffer).set(data.subarray(at, at + bytes));
      at += bytes;
    }
    return index;
  }

  #add(line: Buffer, offset: number): void {
    const head = headOf(line);
    if (head === undefined) return;
    if (this.count === this.#offsets.length) this.#grow();
    const row = this.count++;
    const startedMs = Date.parse(head.startedAt);
    this.#offsets[row] = offset;
    this.#startedMs[row] = startedMs;
    this.#lengths[row] = line.length;
    COLUMNS.forEach((column, i) => ((this.#hashes[i] as Uint32Array)[row] = hashOf(valueOf(head, column))));
    this.minMs = Math.min(this.minMs, startedMs);
    this.maxMs = Math.max(this.maxMs, startedMs);
  }

  #grow(): void {
    const rows = this.#offsets.length * 2;
    const wider = <T extends Float64Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>(next: T, old: T): T => {
      next.set(old);
      return next;
    };
    this.#offsets = wider(new Float64Array(rows), this.#offsets);
    this.#startedMs = wider(new Float64Array(rows), this.#startedMs);
    this.#lengths = wider(new Uint32Array(rows), this.#lengths);
    this.#hashes.forEach((column, i) => (this.#hashes[i] = wider(new Uint32Array(rows), column)));
  }
}
