import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

let sequence = 0;

/** Ends in `.tmp`, lies in the same directory (rename works within one file system only), unique in the machine. */
const temporaryName = (path: string): string => `${path}.${process.pid}.${++sequence}.tmp`;

/**
 * Replaces a file so that readers, and a machine that loses power, see the old content or the new, never a mixture.
 * @param mode permission bits; what lies here holds credentials, so it is for the owner unless the caller knows better.
 */
export async function writeAtomically(
  path: string,
  write: (file: FileHandle) => Promise<void>,
  mode = 0o600,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** The rename itself is durable only after the directory is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
