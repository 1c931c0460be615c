import type { Resource, ResourceKey } from '../../call/routing/resources.js';
import type { Timer } from '../../kernel/index.js';
import type { OnProblem } from '../deliveryGate.js';
import { errorText } from '../problem.js';
import type { StoreDeps } from '../timeSlice.js';
import { writeSnapshot, type Snapshot } from './snapshotFile.js';

/** Patches come in bursts; written this long after the first of one. */
const SETTLE_MS = 1_000;

export interface SnapshotPatch {
  readonly revision: string;
  readonly position: string;
  readonly upserts: readonly Resource[];
  readonly deletes: readonly ResourceKey[];
}

/** Keeps the snapshot on disk at the last delivered revision, a moment behind. */
export class SnapshotKeeper {
  readonly #path: string;
  readonly #deps: StoreDeps;
  readonly #onProblem: OnProblem;
  #current: Snapshot | undefined;
  #writing: Promise<void> | undefined;
  /** What came while the table was being written, and must not change under the writer. */
  #waiting: SnapshotPatch[] = [];
  #timer: Timer | undefined;
  #dirty = false;
  #failed = false;

  constructor(path: string, deps: StoreDeps, onProblem: OnProblem) {
    this.#path = path;
    this.#deps = deps;
    this.#onProblem = onProblem;
  }

  /** Takes over a whole document. @param fresh false when it was just read from the snapshot itself. */
  replace(snapshot: Snapshot, fresh = true): void {
    this.#current = snapshot;
    this.#waiting = [];
    if (fresh) this.#schedule();
  }

  patch(patch: SnapshotPatch): void {
    if (this.#writing !== undefined) this.#waiting.push(patch);
    else this.#apply(patch);
    this.#schedule();
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#writing;
    // Of what came during that writing nothing is written yet.
    if (this.#dirty) await this.#write();
    this.#timer?.cancel();
  }

  #apply({ revision, position, ...change }: SnapshotPatch): void {
    if (this.#current === undefined) return;
    this.#current.table.apply(change);
    this.#current = { table: this.#current.table, revision, position };
  }

  #schedule(): void {
    this.#dirty = true;
    if (this.#timer?.active === true || this.#writing !== undefined) return;
    this.#timer = this.#deps.clock.setTimer('store.snapshot', SETTLE_MS, () => void this.#write());
  }

  #write(): Promise<void> {
    this.#writing ??= this.#writeOnce().finally(() => {
      this.#writing = undefined;
      for (const patch of this.#waiting.splice(0)) this.#apply(patch);
      if (this.#dirty) this.#schedule();
    });
    return this.#writing;
  }

  async #writeOnce(): Promise<void> {
    const snapshot = this.#current;
    this.#dirty = false;
    if (snapshot === undefined) return;
    try {
      await writeSnapshot(this.#path, snapshot, new Date(this.#deps.clock.wallMs()).toISOString(), this.#deps);
      this.#failed = false;
    } catch (error) {
      // Once per series of failures: a full disk would otherwise report with every change.
      if (!this.#failed) this.#onProblem({ code: 'snapshot_not_written', message: errorText(error) });
      this.#failed = true;
    }
  }
}
