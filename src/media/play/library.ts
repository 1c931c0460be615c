import { readFile, stat } from 'node:fs/promises';
import { type Result, err } from '../../kernel/index.js';
import { Clip } from './clip.js';

/** Together, in memory, on one worker. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_FILE_BYTES = 256 * 1024 * 1024;

interface Entry {
  readonly modifiedMs: number;
  readonly size: number;
  readonly clip: Clip;
}

/** The WAV files that plays ask for, read once and again when they change. */
export class ClipLibrary {
  readonly #maxBytes: number;
  /** In the order of last use, the oldest first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(maxBytes = MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** @returns the clip, or why there is none. */
  async load(path: string): Promise<Result<Clip, string>> {
    try {
      const { mtimeMs, size } = await stat(path);
      const known = this.#entries.get(path);
      if (known !== undefined && known.modifiedMs === mtimeMs && known.size === size) {
        this.#entries.delete(path);
        this.#entries.set(path, known);
        return { ok: true, value: known.clip };
      }
      if (size > MAX_FILE_BYTES) return err(`${path}: larger than 256 MB`);
      const clip = Clip.fromWav(await readFile(path));
      if (!clip.ok) return err(`${path}: ${clip.error}`);
      this.#keep(path, { modifiedMs: mtimeMs, size, clip: clip.value });
      return clip;
    } catch (error) {
      return err(error instanceof Error ? error.message : String(error));
    }
  }

  dump(): { clips: number; bytes: number } {
    return { clips: this.#entries.size, bytes: this.#bytes };
  }

  #keep(path: string, entry: Entry): void {
    this.#drop(path);
    this.#entries.set(path, entry);
    this.#bytes += entry.clip.bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#drop(oldest);
    }
  }

  #drop(path: string): void {
    const entry = this.#entries.get(path);
    if (entry === undefined) return;
    this.#entries.delete(path);
    this.#bytes -= entry.clip.bytes;
  }
}
