import { SrtpContext } from '../rtp/srtp.js';
import type { AgreedCrypto } from '../sdp/description.js';

/** SRTP of both directions (RFC 3711): what we send under our key, what comes under the peer's. */
export interface Protection {
  readonly send: SrtpContext;
  readonly receive: SrtpContext;
}

/** The protection of one endpoint over all its offers and answers: a key that stays keeps its context and counters. */
export class ProtectionKeeper {
  #agreed: AgreedCrypto | undefined;
  #protection: Protection | undefined;

  /** @returns undefined for plain RTP. */
  use(agreed: AgreedCrypto | undefined): Protection | undefined {
    const before = this.#agreed;
    this.#agreed = agreed;
    if (agreed === undefined) this.#protection = undefined;
    else
      this.#protection = {
        send: keep(before?.local, agreed.local, this.#protection?.send),
        receive: keep(before?.remote, agreed.remote, this.#protection?.receive),
      };
    return this.#protection;
  }
}

type Key = AgreedCrypto['local'];

const keep = (before: Key | undefined, now: Key, context: SrtpContext | undefined): SrtpContext => {
  const same =
    before !== undefined && before.suite === now.suite && before.key.equals(now.key) && before.salt.equals(now.salt);
  return same && context !== undefined ? context : new SrtpContext(now);
};
