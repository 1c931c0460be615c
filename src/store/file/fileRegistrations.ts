import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Registration, aorKey } from '../../call/registration/binding.js';
import type {
  RegistrationNews,
  RegistrationStore,
  RegistrationWrite,
  StoredRegistration,
} from '../../call/registration/store.js';
import { writeAtomically } from '../atomicWrite.js';

/** Lines beyond which a file is written anew, and how many times the living entries it may be. */
const REWRITE_LINES = 1000;
const REWRITE_FACTOR = 4;

/**
 * Registrations of one node in a file: one JSON line for each change of a user's contacts, the last of a user counts. It is
 * written before the REGISTER is answered, into the kernel: it outlives the process. Nothing is made before the first.
 */
export class FileRegistrationStore implements RegistrationStore {
  readonly #path: string;
  readonly #wallMs: () => number;
  readonly #entries = new Map<string, StoredRegistration>();
  #file: FileHandle | undefined;
  #lines = 0;
  #work: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(path: string, wallMs: () => number) {
    this.#path = path;
    this.#wallMs = wallMs;
  }

  async follow(news: RegistrationNews): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch(() => '');
    for (const line of text.split('\n')) {
      const entry = readLine(line);
      if (entry !== undefined) this.#keep(entry);
    }
    if (this.#lines > 0) await this.#inTurn(() => this.#rewrite());
    news.all([...this.#entries.values()]);
  }

  async write(registration: Registration, version: number): Promise<RegistrationWrite> {
    const { trunkSid, userName, bindings } = registration;
    const current = this.#entries.get(aorKey(registration)) ?? { trunkSid, userName, bindings: [], version: 0 };
    if (current.version !== version) return { ok: false, current };
    const next = { trunkSid, userName, bindings, version: version + 1 };
    await this.#inTurn(() => this.#append(next));
    this.#keep(next);
    return { ok: true, version: next.version };
  }

  async close(): Promise<void> {
    await this.#work.catch(() => undefined);
    this.#closed = true;
    await this.#file?.close();
    this.#file = undefined;
  }

  #keep(entry: StoredRegistration): void {
    this.#lines++;
    const now = this.#wallMs();
    if (entry.bindings.some(({ expiresMs }) => expiresMs > now)) this.#entries.set(aorKey(entry), entry);
    else this.#entries.delete(aorKey(entry));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#work.then(work, work);
    this.#work = done.catch(() => undefined);
    return done;
  }

  async #append(entry: StoredRegistration): Promise<void> {
    if (this.#lines > REWRITE_LINES && this.#lines > REWRITE_FACTOR * this.#entries.size) await this.#rewrite();
    if (this.#closed) return;
    if (this.#file === undefined) {
      await mkdir(dirname(this.#path), { recursive: true });
      this.#file = await open(this.#path, 'a', 0o600);
    }
    await this.#file.write(`${JSON.stringify(entry)}\n`);
  }

  /** What lives, and nothing else. */
  async #rewrite(): Promise<void> {
    const now = this.#wallMs();
    for (const [aor, { bindings }] of this.#entries) {
      if (!bindings.some(({ expiresMs }) => expiresMs > now)) this.#entries.delete(aor);
    }
    await this.#file?.close();
    this.#file = undefined;
    await writeAtomically(this.#path, async (file) => {
      for (const entry of this.#entries.values()) await file.write(`${JSON.stringify(entry)}\n`);
    });
    this.#lines = this.#entries.size;
  }
}

/** A line cut off by a crash is left out. */
function readLine(line: string): StoredRegistration | undefined {
  if (line === '') return undefined;
  try {
    const entry = JSON.parse(line) as StoredRegistration;
    return Array.isArray(entry.bindings) && typeof entry.trunkSid === 'string' ? entry : undefined;
  } catch {
    return undefined;
  }
}
