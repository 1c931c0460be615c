/** The digest itself: RFC 7616 §3.4, with the algorithms that RFC 8760 names for SIP. */
import { createHash } from 'node:crypto';

export type DigestAlgorithm = 'MD5' | 'SHA-256' | 'SHA-512-256';

const HASHES: { readonly [algorithm in DigestAlgorithm]: string } = {
  MD5: 'md5',
  'SHA-256': 'sha256',
  'SHA-512-256': 'sha512-256',
};

/** @param name as in the field; absent means MD5 (RFC 7616 §3.3). Session variants are not served. */
export function algorithmOf(name: string | undefined): DigestAlgorithm | undefined {
  const upper = (name ?? 'MD5').toUpperCase();
  return Object.hasOwn(HASHES, upper) ? (upper as DigestAlgorithm) : undefined;
}

/** Lower-case hexadecimal; text is a byte string, as header text always is here. */
export function hash(algorithm: DigestAlgorithm, text: string): string {
  return createHash(HASHES[algorithm]).update(text, 'latin1').digest('hex');
}

export interface DigestInput {
  readonly algorithm: DigestAlgorithm;
  readonly userName: string;
  readonly realm: string;
  readonly password: string;
  readonly method: string;
  readonly uri: string;
  readonly nonce: string;
  /** With qop `auth`; undefined: the form of RFC 2069, which RFC 3261 §22.4 still admits. */
  readonly qop?: { readonly nc: string; readonly cnonce: string } | undefined;
}

/** Value of `response`. */
export function digestResponse(input: DigestInput): string {
  const { algorithm, userName, realm, password, method, uri, nonce, qop } = input;
  const secret = hash(algorithm, `${userName}:${realm}:${password}`);
  const request = hash(algorithm, `${method}:${uri}`);
  const middle = qop === undefined ? nonce : `${nonce}:${qop.nc}:${qop.cnonce}:auth`;
  return hash(algorithm, `${secret}:${middle}:${request}`);
}
