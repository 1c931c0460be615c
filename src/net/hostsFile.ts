import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';

/** Larger files are blocklists, not host tables; reading one for each lookup would stall calls. */
const MAX_BYTES = 1024 * 1024;

/** Addresses that a hosts file gives a name (lower case), in the order of the file. Empty when it has none. */
export const lookInHostsFile = async (path: string, name: string): Promise<string[]> => {
  let text: string;
  try {
    text = await readFile(path, 'latin1');
  } catch {
    return [];
  }
  if (text.length > MAX_BYTES) return [];
  const found: string[] = [];
  for (const line of text.toLowerCase().split('\n')) {
    if (!line.includes(name)) continue;
    const [address, ...names] = (line.split('#', 1)[0] ?? '').trim().split(/\s+/);
    if (address !== undefined && isIP(address) !== 0 && names.includes(name)) found.push(address);
  }
  return found;
};
