import { TandemError } from '../kernel/index.js';
import { isLoopbackHost, parseHostPort } from './address.js';
import type { Config } from './schema.js';

/** The part of a routing document that decides who may administer. */
export interface DocumentAccounts {
  readonly accounts: Iterable<{
    readonly sid: string;
    readonly api_keys?: readonly { readonly key: string; readonly token?: string }[] | undefined;
  }>;
}

/**
 * Refuses to open the administration to a network while the demonstration's well-known credentials are valid.
 * Call it at start, and for each routing document that is about to replace another.
 * @throws TandemError `demo_credentials_exposed`
 */
export const assertSafeExposure = (config: Config, document: DocumentAccounts): void => {
  const host = parseHostPort(config.admin.listen)?.host ?? '';
  if (isLoopbackHost(host)) return;
  for (const account of document.accounts) {
    if (account.api_keys?.some((pair) => pair.key === 'demo' && pair.token === 'demo') !== true) continue;
    throw new TandemError({
      code: 'demo_credentials_exposed',
      message:
        `account "${account.sid}" still has the demonstration key demo:demo, and admin.listen ${config.admin.listen} ` +
        'can be reached from other machines; replace the key in the routing document, or set admin.listen to 127.0.0.1:8080',
    });
  }
};
