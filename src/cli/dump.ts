import type { Config } from '../config/index.js';
import { TandemError } from '../kernel/index.js';
import { readOptions } from './arguments.js';

/**
 * `tandem dump [--key KEY --token TOKEN]`: everything that lives in the running node, as JSON, from its admin address.
 * The key is asked for where that address is not loopback.
 */
export const dump = async (config: Config, argv: readonly string[]): Promise<number> => {
  const { key, token } = readOptions('dump', argv, ['key', 'token']);
  const basic = Buffer.from(`${key ?? ''}:${token ?? ''}`, 'utf8').toString('base64');
  const url = `http://${config.admin.listen}/api/dump`;
  let response: Response;
  try {
    response = await fetch(url, key === undefined ? {} : { headers: { Authorization: `Basic ${basic}` } });
  } catch (error) {
    throw new TandemError({
      code: 'node_unreachable',
      message: `no running node answers at ${url}; start one, or name its configuration with --config`,
      cause: error,
    });
  }
  process.stdout.write(`${JSON.stringify(await response.json(), null, 2)}\n`);
  return response.ok ? 0 : 1;
};
