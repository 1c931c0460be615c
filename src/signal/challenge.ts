/** What both adapters read of a 401 or 407 (RFC 3261 §22.2, §22.3). */
import type { Challenged } from '../sip/index.js';
import type { HeaderEntry } from './port.js';

export const canAnswer = (status: number): boolean => status === 401 || status === 407;

/** The challenges of a response, each for itself. */
export const challengedBy = (status: number, headers: readonly HeaderEntry[]): Challenged => {
  const wanted = status === 407 ? 'proxy-authenticate' : 'www-authenticate';
  return { status, challenges: headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value) };
};

/** Host of a SIP URI, without port, brackets and parameters. */
export const hostOfUri = (uri: string): string => {
  const start = Math.max(uri.lastIndexOf('@'), uri.indexOf(':')) + 1;
  const rest = uri.slice(start);
  if (rest.startsWith('[')) return rest.slice(1, Math.max(1, rest.indexOf(']')));
  return rest.replace(/[:;?].*$/s, '');
};
