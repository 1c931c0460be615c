import { open, rm, stat } from 'node:fs/promises';
import { TandemError } from '../../kernel/index.js';
import type { StoreDeps } from '../timeSlice.js';

const RETRY_MS = 10;
const GIVE_UP_MS = 5_000;
/** No publication takes this long: a lock of this age was left by a process that died. */
const ABANDONED_MS = 30_000;

/**
 * Runs `work` while no other process publishes the same document.
 * @throws TandemError `store_busy` (retryable) when the lock stays taken for 5 s.
 */
export async function withFileLock<T>(path: string, deps: StoreDeps, work: () => Promise<T>): Promise<T> {
  const lockPath = `${path}.lock`;
  const startedMs = deps.clock.nowMs();
  while (!(await take(lockPath))) {
    if (deps.clock.nowMs() - startedMs > GIVE_UP_MS) {
      throw new TandemError({ code: 'store_busy', message: `${lockPath} is taken`, retryable: true });
    }
    await breakAbandoned(lockPath, deps);
    await new Promise<void>((resolve) => deps.clock.setTimer('store.file.lock', RETRY_MS, resolve));
  }
  try {
    return await work();
  } finally {
    await rm(lockPath, { force: true });
  }
}

async function take(lockPath: string): Promise<boolean> {
  try {
    const file = await open(lockPath, 'wx', 0o600);
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function breakAbandoned(lockPath: string, deps: StoreDeps): Promise<void> {
  const found = await stat(lockPath).catch(() => undefined);
  if (found !== undefined && deps.clock.wallMs() - found.mtimeMs > ABANDONED_MS) await rm(lockPath, { force: true });
}
