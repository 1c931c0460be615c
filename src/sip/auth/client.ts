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

type Field = readonly [name: string, value: string];

export type DigestAnswer =
  | {
      readonly ok: true;
      /** Answers this challenge. */
      readonly header: Field;
      /** The same, and those for the realms that have challenged before: the request goes through all of them again. */
      readonly headers: readonly Field[];
    }
  | { readonly ok: false; readonly refusal: DigestRefusal };

/** A proxy and the server behind it, and a stale nonce: more is a loop. */
const MAX_ANSWERS = 3;

/** Nonces whose uses are counted for one leg. */
const MOST_NONCES = 64;

const refused = (refusal: DigestRefusal): DigestAnswer => ({ ok: false, refusal });

/** A challenge as it was accepted: what the proofs for its realm are made from. */
interface Accepted {
  readonly field: 'Authorization' | 'Proxy-Authorization';
  readonly algorithm: NonNullable<ReturnType<typeof algorithmOf>>;
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  readonly counted: boolean;
}

/** Method and Request-URI of the request that was challenged, as it went out. */
export interface DigestRequest {
  readonly method: string;
  readonly uri: string;
}

export class DigestClient {
  readonly #credentials: DigestCredentials;
  readonly #host: string;
  readonly #random: Pick<Random, 'hex'>;
  readonly #answered = new Set<string>();
  /** By field and realm, in the order of the challenges. */
  readonly #accepted = new Map<string, Accepted>();
  /** RFC 7616 §3.4: how often each nonce was used, by this request and those before it on the leg. */
  readonly #uses: Map<string, number>;

  /** @param host of the request's next hop, without port: what a realm must belong to, unless the credentials name one */
  constructor(
    credentials: DigestCredentials,
    host: string,
    random: Pick<Random, 'hex'>,
    uses: Map<string, number> = new Map(),
  ) {
    this.#credentials = credentials;
    this.#host = host.toLowerCase();
    this.#random = random;
    this.#uses = uses;
  }

  /** For another request to the same next hop: no challenge was answered yet, nonces are counted on. */
  forAnother(): DigestClient {
    return new DigestClient(this.#credentials, this.#host, this.#random, this.#uses);
  }

  answer(challenged: Challenged, request: DigestRequest): DigestAnswer {
    const field = challenged.status === 407 ? 'Proxy-Authorization' : 'Authorization';
    let refusal: DigestRefusal = 'no_challenge';
    // RFC 8760 §2.4: the first that we can serve.
    for (const text of challenged.challenges) {
      const params = parseDigest(text);
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
      const key = `${field} ${realm}`;
      if (this.#answered.has(nonce) || (this.#accepted.has(key) && !stale)) return refused('rejected');
      if (this.#answered.size >= MAX_ANSWERS) return refused('too_many_challenges');
      this.#answered.add(nonce);
      const opaque = params.get('opaque');
      this.#accepted.set(key, { field, algorithm, realm, nonce, opaque, counted: qop !== undefined });
      const headers: Field[] = [];
      let header: Field | undefined;
      for (const [known, one] of this.#accepted) {
        const proof = this.#prove(one, request);
        headers.push(proof);
        if (known === key) header = proof;
      }
      return { ok: true, header: header as Field, headers };
    }
    return refused(refusal);
  }

  #prove({ field, algorithm, realm, nonce, opaque, counted }: Accepted, { method, uri }: DigestRequest): Field {
    const { userName, password } = this.#credentials;
    const qop = counted ? { nc: this.#count(nonce), cnonce: this.#random.hex(16) } : undefined;
    const response = digestResponse({ algorithm, userName, realm, password, method, uri, nonce, qop });
    const value = printDigest(
      [
        ['username', userName],
        ['realm', realm],
        ['nonce', nonce],
        ['uri', uri],
        ['response', response],
        ['algorithm', algorithm],
        ['cnonce', qop?.cnonce],
        ['opaque', opaque],
        ['qop', qop === undefined ? undefined : 'auth'],
        ['nc', qop?.nc],
      ],
      'credentials',
    );
    return [field, value];
  }

  #count(nonce: string): string {
    const uses = (this.#uses.get(nonce) ?? 0) + 1;
    this.#uses.set(nonce, uses);
    if (this.#uses.size > MOST_NONCES) this.#uses.delete(this.#uses.keys().next().value as string);
    return uses.toString(16).padStart(8, '0');
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
