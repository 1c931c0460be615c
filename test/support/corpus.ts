import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface TortureMessage {
  readonly name: string;
  readonly file: string;
  readonly kind: 'request' | 'response';
  readonly accept_udp: readonly string[];
  readonly data: Buffer;
}

/** The RFC 4475 messages beside the checkout, or undefined when they are not there. */
export const readCorpus = (): readonly TortureMessage[] | undefined => {
  for (let at = process.cwd(); ; at = dirname(at)) {
    const folder = join(at, 'shared', 'corpus', 'rfc4475');
    if (existsSync(join(folder, 'manifest.json'))) {
      const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as {
        messages: Omit<TortureMessage, 'data'>[];
      };
      return manifest.messages.map((m) => ({ ...m, data: readFileSync(join(folder, m.file)) }));
    }
    if (dirname(at) === at) return undefined;
  }
};
