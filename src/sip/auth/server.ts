/** Challenges callers and checks their answers (RFC 7616, RFC 8760), without keeping anything for those who never come back. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { parseDigest, printDigest } from './challenge.js';
import { type DigestAlgorithm, algorithmOf, digestResponse } from './digest.js';

export interface DigestServerOptions {
  readonly realm: string;
  /** Signs nonces; of this process alone, at least 128 bits of chance. */
  readonly secret: string;
  /** A nonce is good for so long. */
  readonly lifetimeMs?: number;
}

/** What a caller's answer is worth. */
export type Proof =
  /** No answer to a challenge of this realm. */
  | { readonly kind: 'none' }
  /** The password is right or not, but the nonce is too old, or was used: a new one is needed. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'wrong' }
  | { readonly kind: 'proved'; readonly userName: string; readonly passwords: readonly string[] };

export interface Proven {
  readonly method: string;
  /** Request-URI. */
  readonly uri: string;
  /** Address of the socket: nonces are good for whom they were given to. */
  readonly address: string;
}

const LIFETIME_MS = 300_000;
/** In the order of our preference (RFC 8760 §2.3). */
const OFFERED: readonly DigestAlgorithm[] = ['SHA-256', 'MD5'];
const PLAIN: readonly DigestAlgorithm[] = ['MD5'];
/** Answers remembered, so that none serves twice; the oldest is forgotten first. */
const MAX_USED = 50_000;

const NONE: Proof = { kind: 'none' };
const STALE: Proof = { kind: 'stale' };
const WRONG: Proof = { kind: 'wrong' };

export class DigestServer {
  readonly #realm: string;
  readonly #secret: string;
  readonly #lifetimeMs: number;
  readonly #used = new Set<string>();

  constructor({ realm, secret, lifetimeMs = LIFETIME_MS }: DigestServerOptions) {
    this.#realm = realm;
    this.#secret = secret;
    this.#lifetimeMs = lifetimeMs;
  }

  /**
   * Fields of a 401, the preferred first.
   * @param nowMs monotonic
   * @param plain MD5 alone, for those who give up at an algorithm that they do not know
   */
  challenge(
    address: string,
    nowMs: number,
    stale = false,
    plain = false,
  ): readonly (readonly [name: string, value: string])[] {
    const nonce = this.#nonce(address, Math.floor(nowMs).toString(16));
    return (plain ? PLAIN : OFFERED).map((algorithm) => [
      'WWW-Authenticate',
      printDigest(
        [
          ['realm', this.#realm],
          ['nonce', nonce],
          ['algorithm', algorithm],
          ['qop', 'auth'],
          ['stale', stale ? 'true' : undefined],
        ],
        'challenge',
      ),
    ]);
  }

  /**
   * Reads the answer among the Authorization fields of a request. Changes nothing: `use` takes it.
   * @param passwordsOf that any holder of this user name may have; a wrong name and a wrong password look alike
   * @param nowMs monotonic
   */
  check(
    fields: readonly string[],
    proven: Proven,
    passwordsOf: (userName: string) => readonly string[],
    nowMs: number,
  ): Proof {
    const params = this.#ours(fields);
    if (params === undefined) return NONE;
    const nonce = params.get('nonce') ?? '';
    const [issued = ''] = nonce.split('.');
    if (!same(nonce, this.#nonce(proven.address, issued))) return STALE;
    const age = nowMs - Number.parseInt(issued, 16);
    const key = useKey(params);
    if (!(age >= 0 && age <= this.#lifetimeMs) || key === undefined || this.#used.has(key)) return STALE;
    const userName = params.get('username') ?? '';
    if (!speaksOf(params.get('uri') ?? '', proven.uri)) return WRONG;
    const passwords = passwordsOf(userName).filter((password) => this.#fits(params, proven.method, password));
    return passwords.length === 0 ? WRONG : { kind: 'proved', userName, passwords };
  }

  /** Takes an answer that `check` has found good: it serves once. */
  use(fields: readonly string[]): void {
    const params = this.#ours(fields);
    const key = params === undefined ? undefined : useKey(params);
    if (key === undefined) return;
    this.#used.add(key);
    if (this.#used.size > MAX_USED) this.#used.delete(this.#used.values().next().value as string);
  }

  #ours(fields: readonly string[]): Map<string, string> | undefined {
    for (const field of fields) {
      const params = parseDigest(field);
      if (params?.get('realm') === this.#realm) return params;
    }
    return undefined;
  }

  #fits(params: Map<string, string>, method: string, password: string): boolean {
    const algorithm = algorithmOf(params.get('algorithm'));
    // We asked for qop auth: an answer without it, which anybody could have prepared, is none.
    if (algorithm === undefined || params.get('qop') !== 'auth') return false;
    const expected = digestResponse({
      algorithm,
      userName: params.get('username') ?? '',
      realm: this.#realm,
      password,
      method,
      uri: params.get('uri') ?? '',
      nonce: params.get('nonce') ?? '',
      qop: { nc: params.get('nc') ?? '', cnonce: params.get('cnonce') ?? '' },
    });
    return same(params.get('response')?.toLowerCase() ?? '', expected);
  }

  /** Time and a signature over it and the address: nothing is kept for a nonce that was given out. */
  #nonce(address: string, issued: string): string {
    const mac = createHmac('sha256', this.#secret).update(`${issued}|${address}`).digest('hex');
    return `${issued}.${mac.slice(0, 32)}`;
  }
}

/** RFC 7616 §3.4: eight hexadecimal digits that count the uses of a nonce; each count is good once. */
function useKey(params: Map<string, string>): string | undefined {
  const nc = params.get('nc') ?? '';
  return /^[0-9a-f]{8}$/i.test(nc)
    ? `${params.get('nonce') ?? ''} ${nc.toLowerCase()} ${params.get('username')}`
    : undefined;
}

/** Equal texts, in time that tells nothing of where they differ. */
function same(a: string, b: string): boolean {
  const left = Buffer.from(a, 'latin1');
  const right = Buffer.from(b, 'latin1');
  return left.length === right.length && timingSafeEqual(left, right);
}

/**
 * Whether the digest's URI is of this request. Callers write the host in many ways, and some no user at all; but a number
 * that is proved must be the one that is called.
 */
function speaksOf(digestUri: string, requestUri: string): boolean {
  const user = userOf(digestUri);
  return user === undefined || user === userOf(requestUri);
}

function userOf(uri: string): string | undefined {
  const at = uri.indexOf('@');
  const colon = uri.indexOf(':');
  return at < 0 || colon < 0 ? undefined : uri.slice(colon + 1, at);
}
