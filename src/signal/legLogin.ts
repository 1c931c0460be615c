/** The credentials of one called leg: who may challenge which of its requests, and what is answered. */
import type { Random } from '../kernel/index.js';
import { DigestClient, type DigestRequest } from '../sip/index.js';
import { type Challenge, answerChallenge, hostOfUri } from './challenge.js';
import type { Credentials, HeaderEntry, InviteSpec } from './port.js';

/**
 * RFC 3261 §22: INVITE and every other request of the leg may be challenged. The credentials are for the next hop of the
 * INVITE. A Contact or a Record-Route may lead the requests of the dialog elsewhere, to hosts that the next hop names or
 * whose answers it forwards: those get nothing.
 */
export class LegLogin {
  readonly #first: DigestClient;
  #home: string | undefined;

  constructor(credentials: Credentials, spec: Pick<InviteSpec, 'uri' | 'nextHop'>, random: Pick<Random, 'hex'>) {
    this.#first = new DigestClient(credentials, hostOfUri(spec.nextHop ?? spec.uri), random);
  }

  /** The INVITE was answered from here: the engine takes answers of its next hop alone. */
  settle(address: string | undefined): void {
    this.#home = address;
  }

  /** @returns the fields with which to send the INVITE once more; undefined when this challenge is not to be answered */
  answerInvite(challenge: Omit<Challenge, 'address'>, request: DigestRequest): readonly HeaderEntry[] | undefined {
    return answerChallenge(this.#first, challenge, request);
  }

  /** Answers the challenges to one request within the dialog, each nonce once. */
  forRequest(): RequestLogin {
    const client = this.#first.forAnother();
    return (challenge, request) =>
      this.#home !== undefined && challenge.address === this.#home
        ? answerChallenge(client, challenge, request)
        : undefined;
  }
}

/** @returns the fields with which to send the request once more; undefined when this challenge is not to be answered */
export type RequestLogin = (challenge: Challenge, request: DigestRequest) => readonly HeaderEntry[] | undefined;
