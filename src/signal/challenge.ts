/** What is read of a 401 or 407 (RFC 3261 §22.2, §22.3), and answered. */
import type { Challenged, DigestClient, DigestRequest } from '../sip/index.js';
import type { HeaderEntry } from './port.js';

export const canAnswer = (status: number): boolean => status === 401 || status === 407;

/** The challenges of a response, each for itself. */
const challengedBy = (status: number, headers: readonly HeaderEntry[]): Challenged => {
  const wanted = status === 407 ? 'proxy-authenticate' : 'www-authenticate';
  return { status, challenges: headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value) };
};

/** A 401 or 407 of the network, and where it came from. */
export interface Challenge {
  readonly status: number;
  readonly headers: readonly HeaderEntry[];
  /** The socket's. */
  readonly address: string;
}

/** @returns the fields with which to send the request once more; undefined when this challenge is not to be answered */
export const answerChallenge = (
  client: DigestClient,
  { status, headers }: Omit<Challenge, 'address'>,
  request: DigestRequest,
): readonly HeaderEntry[] | undefined => {
  if (!canAnswer(status)) return undefined;
  const answered = client.answer(challengedBy(status, headers), request);
  return answered.ok ? answered.headers : undefined;
};

/** Host of a SIP URI, without port, brackets and parameters. */
export const hostOfUri = (uri: string): string => {
  const start = Math.max(uri.lastIndexOf('@'), uri.indexOf(':')) + 1;
  const rest = uri.slice(start);
  if (rest.startsWith('[')) return rest.slice(1, Math.max(1, rest.indexOf(']')));
  return rest.replace(/[:;?].*$/s, '');
};
