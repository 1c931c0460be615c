import type { Random } from '../../kernel/index.js';

/** RFC 4568 §6.2: suites with AES-128 in counter mode; the number is the length of the tag in bits. */
export type SrtpSuite = 'AES_CM_128_HMAC_SHA1_80' | 'AES_CM_128_HMAC_SHA1_32';

export const SRTP_SUITES: readonly SrtpSuite[] = ['AES_CM_128_HMAC_SHA1_80', 'AES_CM_128_HMAC_SHA1_32'];
const SRTP_KEY_BYTES = 16;
const SRTP_SALT_BYTES = 14;

/** One `a=crypto` line that we can use. */
export interface SdesCrypto {
  /** 1-9 digits; the answer repeats that of the offer's line. */
  readonly tag: number;
  readonly suite: SrtpSuite;
  readonly key: Buffer;
  readonly salt: Buffer;
  /** Master key identifier, as in each packet; absent: none. */
  readonly mki?: Buffer | undefined;
}

const MAX_MKI_BYTES = 128;

/** `1:4`: value and length in octets; undefined when malformed. */
function parseMki(text: string): Buffer | undefined {
  const match = /^(\d{1,20}):(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const length = Number(match[2]);
  if (length < 1 || length > MAX_MKI_BYTES) return undefined;
  const hex = BigInt(match[1] as string).toString(16);
  if (hex.length > length * 2) return undefined;
  return Buffer.from(hex.padStart(length * 2, '0'), 'hex');
}

const isLifetime = (text: string): boolean => /^(2\^)?\d{1,20}$/.test(text);

/**
 * Reads the value of `a=crypto:`, e.g. `1 AES_CM_128_HMAC_SHA1_80 inline:<base64>|2^31`. @returns undefined for a
 * line that is malformed, or that asks for what we do not do (another suite, several keys, session parameters that
 * switch protection off): the next line of the offer may do (RFC 4568 §5.1.2).
 */
export function parseCrypto(value: string): SdesCrypto | undefined {
  const [tag, suite, key, ...session] = value.trim().split(/\s+/, 16);
  if (tag === undefined || suite === undefined || key === undefined || !/^\d{1,9}$/.test(tag)) return undefined;
  const known = SRTP_SUITES.find((name) => name === suite.toUpperCase());
  // RFC 4568 §6.3: a session parameter that is not understood makes the line unusable, unless it begins with '-'.
  if (known === undefined || session.some((parameter) => !parameter.startsWith('-'))) return undefined;
  if (!key.toLowerCase().startsWith('inline:') || key.includes(';')) return undefined;
  const [base64 = '', ...rest] = key.slice(7).split('|');
  const secret = Buffer.from(base64, 'base64');
  if (secret.length !== SRTP_KEY_BYTES + SRTP_SALT_BYTES || !/^[A-Za-z0-9+/]{40}$/.test(base64)) return undefined;
  const mkis = rest.filter((part) => !isLifetime(part));
  const mki = mkis[0] === undefined ? undefined : parseMki(mkis[0]);
  if (rest.length > 2 || mkis.length > 1 || (mkis.length === 1 && mki === undefined)) return undefined;
  return {
    tag: Number(tag),
    suite: known,
    key: secret.subarray(0, SRTP_KEY_BYTES),
    salt: secret.subarray(SRTP_KEY_BYTES),
    ...(mki === undefined ? {} : { mki }),
  };
}

/** The value of `a=crypto:`. */
export function printCrypto(crypto: SdesCrypto): string {
  const inline = Buffer.concat([crypto.key, crypto.salt]).toString('base64');
  const mki = crypto.mki === undefined ? '' : `|${BigInt(`0x${crypto.mki.toString('hex')}`)}:${crypto.mki.length}`;
  return `${crypto.tag} ${crypto.suite} inline:${inline}${mki}`;
}

/** A fresh key of our own; `random` must be cryptographic in a live system. */
export function newCrypto(tag: number, suite: SrtpSuite, random: Random): SdesCrypto {
  const secret = Buffer.from(random.hex(SRTP_KEY_BYTES + SRTP_SALT_BYTES), 'hex');
  return { tag, suite, key: secret.subarray(0, SRTP_KEY_BYTES), salt: secret.subarray(SRTP_KEY_BYTES) };
}
