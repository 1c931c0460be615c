/** How clients connect to hosts that tenants name: to permitted addresses alone. */
import type { RequestOptions } from 'node:http';
import { isIP } from 'node:net';

export type MayConnect = (address: string) => boolean;

type LookupFunction = NonNullable<RequestOptions['lookup']>;

/** What names are resolved with: `lookup` of node:dns. */
type AllAddresses = (
  host: string,
  options: Parameters<LookupFunction>[1] & { readonly all: true },
  answer: (error: NodeJS.ErrnoException | null, addresses: { address: string; family: number }[]) => void,
) => void;

/**
 * Resolves a name and lets only permitted addresses through. The address that was checked is the one connected to, so
 * that a name cannot mean one thing to the check and another to the connection.
 */
export const permittedLookup =
  (lookup: AllAddresses, mayConnect: MayConnect): LookupFunction =>
  (host, options, answer) => {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return answer(error, '', 0);
      const permitted = addresses.filter((one) => mayConnect(one.address));
      const first = permitted[0];
      if (first === undefined) {
        answer(Object.assign(new Error(`${host} is not a permitted address`), { code: 'EACCES' }), '', 0);
      } else if (options.all === true) answer(null, permitted);
      else answer(null, first.address, first.family);
    });
  };

/**
 * A numeric host is not looked up, so it is asked about before. The URL parser has brought decimal, octal and
 * hexadecimal notations into the usual form.
 */
export const numericHostRefused = (url: URL, mayConnect: MayConnect): boolean => {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return isIP(host) > 0 && !mayConnect(host);
};
