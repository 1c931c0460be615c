import { watch, type FSWatcher } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

/**
 * Tells of changes of one file. It watches the directory, as editors and publishers replace the file by a rename, and
 * compares the file's identity when other names come and go, as a mounted configuration swaps a symbolic link beside it.
 */
export class DirectoryWatch {
  readonly #path: string;
  readonly #watcher: FSWatcher;
  readonly #onChange: () => void;
  #identity: string | undefined;

  constructor(path: string, onChange: () => void, onError: (error: Error) => void) {
    this.#path = path;
    this.#onChange = onChange;
    const name = basename(path);
    this.#watcher = watch(dirname(path), (event, changed) => {
      if (changed === null || changed === name) onChange();
      // Not for every write to a log that lies beside it.
      else if (event === 'rename' && !changed.startsWith(`${name}.`)) void this.#compare();
    });
    this.#watcher.on('error', onError);
    void this.#compare();
  }

  close(): void {
    this.#watcher.close();
  }

  async #compare(): Promise<void> {
    const found = await stat(this.#path, { bigint: true }).catch(() => undefined);
    const identity = found && `${found.dev}:${found.ino}`;
    if (this.#identity !== undefined && identity !== undefined && identity !== this.#identity) this.#onChange();
    this.#identity = identity ?? this.#identity;
  }
}
