import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { err, ok, type Result } from '../../kernel/index.js';
import { writeAtomically } from '../atomicWrite.js';
import { checkResource, errorText, type StoreProblem } from '../problem.js';
import { ResourceTable } from '../resourceTable.js';
import { TimeSlice, type StoreDeps } from '../timeSlice.js';

/**
 * The last good document on disk, for a start without Redis. JSON lines: a header `{tandem_snapshot, revision,
 * position, at}`, one `{type, value}` per resource, and a trailer `{count, sha256}` over all lines before it.
 */
export interface Snapshot {
  readonly table: ResourceTable;
  readonly revision: string;
  /** Position in the changes stream. */
  readonly position: string;
}

const FORMAT = 1;
/** Written and hashed at once: some 500 resources. */
const CHUNK_CHARACTERS = 64 * 1024;
const STRIDE = 64;
const NEWLINE = 0x0a;

/** @param at date, ISO 8601. */
export async function writeSnapshot(path: string, snapshot: Snapshot, at: string, deps: StoreDeps): Promise<void> {
  const { table, revision, position } = snapshot;
  const slice = new TimeSlice(deps);
  const hash = createHash('sha256');
  await mkdir(dirname(path), { recursive: true });
  await writeAtomically(path, async (file) => {
    let chunk = `${JSON.stringify({ tandem_snapshot: FORMAT, revision, position, at })}\n`;
    const flush = async (): Promise<void> => {
      hash.update(chunk);
      await file.writeFile(chunk);
      chunk = '';
      if (slice.spent) await slice.rest();
    };
    for (const { type, value } of table.resources()) {
      chunk += `${JSON.stringify({ type, value })}\n`;
      if (chunk.length >= CHUNK_CHARACTERS) await flush();
    }
    await flush();
    await file.writeFile(`${JSON.stringify({ count: table.size, sha256: hash.digest('hex') })}\n`);
  });
}

/** @returns undefined when there is none; an error `snapshot_corrupt` when it is not what was written. */
export async function readSnapshot(path: string, deps: StoreDeps): Promise<Result<Snapshot | undefined, StoreProblem>> {
  const reader = new SnapshotReader();
  const slice = new TimeSlice(deps);
  let seen = 0;
  try {
    let rest: Buffer = Buffer.alloc(0);
    for await (const data of createReadStream(path, { highWaterMark: 256 * 1024 })) {
      const chunk = rest.length === 0 ? (data as Buffer) : Buffer.concat([rest, data as Buffer]);
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        reader.line(chunk.subarray(start, end + 1));
        start = end + 1;
        if (++seen % STRIDE === 0 && slice.spent) await slice.rest();
      }
      rest = chunk.subarray(start);
    }
    if (rest.length > 0) throw new Error('the last line is cut off');
    return ok(reader.finish());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ok(undefined);
    return err({ code: 'snapshot_corrupt', message: `${path}: refused, ${errorText(error)}` });
  }
}

/** Takes lines in order. What it throws is the reason to refuse the file. */
class SnapshotReader {
  readonly #hash = createHash('sha256');
  readonly #table = new ResourceTable();
  #header: { revision: string; position: string } | undefined;
  #complete = false;

  line(line: Buffer): void {
    if (this.#complete) throw new Error('there is more after the trailer');
    const parsed = JSON.parse(line.toString('utf8')) as Record<string, unknown>;
    if (this.#header === undefined) this.#readHeader(parsed);
    else if (typeof parsed.sha256 === 'string') return this.#readTrailer(parsed);
    else this.#readResource(parsed);
    this.#hash.update(line);
  }

  finish(): Snapshot {
    if (this.#header === undefined || !this.#complete) throw new Error('the trailer is missing');
    return { table: this.#table, ...this.#header };
  }

  #readHeader(parsed: Record<string, unknown>): void {
    const { tandem_snapshot: format, revision, position } = parsed;
    if (format !== FORMAT || typeof revision !== 'string' || typeof position !== 'string') {
      throw new Error(`it is not a snapshot of format ${FORMAT}`);
    }
    this.#header = { revision, position };
  }

  #readResource({ type, value }: Record<string, unknown>): void {
    const checked = checkResource(String(type), value);
    if (!checked.ok) throw new Error(checked.error.message);
    this.#table.set(checked.value);
  }

  #readTrailer({ count, sha256 }: Record<string, unknown>): void {
    if (count !== this.#table.size) throw new Error(`it holds ${this.#table.size} resources, not ${String(count)}`);
    if (this.#hash.digest('hex') !== sha256) throw new Error('its checksum does not match');
    this.#complete = true;
  }
}
