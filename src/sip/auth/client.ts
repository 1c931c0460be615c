/** Answers challenges of the next hop for one INVITE: for its realm only, each nonce once, and not for ever. */
import type { Random } from '../../kernel/index.js';
import { parseDigest, printDigest } from './challenge.js';
import { algorithmOf, digestResponse } from './digest.js';

export interface DigestCredentials {
  readonly userName: string;
  readonly password: string;
  /** The only realm that is answered; default: `host`, or a domain that it is in. */
  readonly realm?: string | undefined;
}

/** A 401 or 407 as it came. */
export interface Challenged {
  readonly status: number;
  /** Values of WWW-Authenticate (401) or Proxy-Authenticate (407), in their order: the server's preference. */
  readonly challenges: readonly string[];
}

export type DigestRefusal =
  | 'no_challenge'
  /** Somebody else asks for a password that is not theirs to ask for. */
  | 'foreign_realm'
  /** The nonce was answered before: the credentials are wrong. */
  | 'rejected'
  | 'too_many_challenges';

export type DigestAnswer =
  | { readonly ok: true; readonly header: readonly [name: string, value: string] }
  | { readonly ok: false; readonly refusal: DigestRefusal };

/** A proxy and the server behind it, and a stale nonce: more is a loop. */
const MAX_ANSWERS = 3;

const refused = (refusal: DigestRefusal): DigestAnswer => ({ ok: false, refusal });

export class DigestClient {
  readonly #credentials: DigestCredentials;
  readonly #host: string;
  readonly #random: Pick<Random, 'hex'>;
  readonly #answered = new Set<string>();
  readonly #realms = new Set<string>();

  /** @param host of the request's next hop, without port: what a realm must belong to, unless the credentials name one */
  constructor(credentials: DigestCredentials, host: string, random: Pick<Random, 'hex'>) {
    this.#credentials = credentials;
    this.#host = host.toLowerCase();
    this.#random = random;
  }

  /** @param request method and Request-URI of the request that was challenged, as it went out */
  answer(challenged: Challenged, request: { readonly method: string; readonly uri: string }): DigestAnswer {
    let refusal: DigestRefusal = 'no_challenge';
    // RFC 8760 §2.4: the first that we can serve.
    for (const field of challenged.challenges) {
      const params = parseDigest(field);
      const algorithm = algorithmOf(params?.get('algorithm'));
      const realm = params?.get('realm');
      const nonce = params?.get('nonce');
      if (params === undefined || algorithm === undefined || realm === undefined || nonce === undefined) continue;
      const qop = params.get('qop');
      if (qop !== undefined && !offersAuth(qop)) continue;
      if (!this.#isOurs(realm)) {
        refusal = 'foreign_realm';
        continue;
      }
      const stale = params.get('stale')?.toLowerCase() === 'true';
      // RFC 3261 §22.1: what was refused once is not sent again, unless only the nonce was too old.
      if (this.#answered.has(nonce) || (this.#realms.has(realm) && !stale)) return refused('rejected');
      if (this.#answered.size >= MAX_ANSWERS) return refused('too_many_challenges');
      this.#answered.add(nonce);
      this.#realms.add(realm);
      const counted = qop === undefined ? undefined : { nc: '00000001', cnonce: this.#random.hex(16) };
      const { userName, password } = this.#credentials;
      const { method, uri } = request;
      const response = digestResponse({ algorithm, userName, realm, password, method, uri, nonce, qop: counted });
      const value = printDigest(
        [
          ['username', userName],
          ['realm', realm],
          ['nonce', nonce],
          ['uri', uri],
          ['response', response],
          ['algorithm', algorithm],
          ['cnonce', counted?.cnonce],
          ['opaque', params.get('opaque')],
          ['qop', counted === undefined ? undefined : 'auth'],
          ['nc', counted?.nc],
        ],
        'credentials',
      );
      return { ok: true, header: [challenged.status === 407 ? 'Proxy-Authorization' : 'Authorization', value] };
    }
    return refused(refusal);
  }

  #isOurs(realm: string): boolean {
    const { realm: only } = this.#credentials;
    if (only !== undefined) return realm === only;
    const lower = realm.toLowerCase();
    // A domain has a dot: nobody's password is for the whole of `com`.
    return lower === this.#host || (lower.includes('.') && this.#host.endsWith(`.${lower}`));
  }
}

const offersAuth = (qop: string): boolean => qop.split(',').some((one) => one.trim().toLowerCase() === 'auth');
