import { lookup as systemLookup } from 'node:dns';
import type { RequestOptions } from 'node:http';

type LookupFunction = NonNullable<RequestOptions['lookup']>;

/**
 * Resolves a name and lets only permitted addresses through. The address that was checked is the one connected to, so
 * that a name cannot mean one thing to the check and another to the connection.
 */
export const guardedLookup =
  (mayConnect: (address: string) => boolean): LookupFunction =>
  (host, options, answer) => {
    systemLookup(host, { ...options, all: true }, (error, addresses) => {
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
 * @param url absolute; must be parsable
 */
export const numericHostRefused = (url: string, mayConnect: (address: string) => boolean): boolean => {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  const numeric = host.includes(':') || /^\d+\.\d+\.\d+\.\d+$/.test(host);
  return numeric && !mayConnect(host);
};
