/**
 * Requests that change the session and are on their way across, as a table: whether another may follow while one is open.
 * Both legs are one dialog to the ends, so that what RFC 3261 §14 and RFC 3311 §5 say of a dialog holds for the two.
 */

export type ExchangeKind =
  /** UPDATE with an offer. */
  | 'update_offer'
  /** UPDATE without one: a target or session timer refresh. */
  | 'update'
  /** re-INVITE, until its ACK. */
  | 'invite'
  /** PRACK with an offer, or the answer to one: which of them only the ends know. */
  | 'prack_offer';

/** `later`: 500 with Retry-After; `glare`: 491. */
export type Verdict = 'cross' | 'later' | 'glare';

/** For a request of the side that has the open one, and of the other side. */
type Rule = readonly [same: Verdict, other: Verdict];

const CROSS: Rule = ['cross', 'cross'];

export const EXCHANGE_TABLE: {
  readonly [Open in ExchangeKind]: { readonly [Asked in ExchangeKind]: Rule };
} = {
  update_offer: {
    // RFC 3311 §5.2: a second UPDATE before the answer to the first; an offer that meets one of the receiver's.
    update_offer: ['later', 'glare'],
    update: ['later', 'cross'],
    // RFC 3261 §14.2 by way of RFC 3264 §4: no offer while another is open.
    invite: ['later', 'glare'],
    // RFC 3262 §3: a PRACK of what is outstanding gets a 2xx.
    prack_offer: CROSS,
  },
  update: {
    // RFC 3311 §5.2.
    update_offer: ['later', 'cross'],
    update: ['later', 'cross'],
    invite: CROSS,
    prack_offer: CROSS,
  },
  invite: {
    // RFC 3311 §5.2: an offer that was received and not answered; an offer that was sent and not answered.
    update_offer: ['later', 'glare'],
    update: CROSS,
    // RFC 3261 §14.2: 500 while an earlier one of the same side is open, 491 while one of the other side is.
    invite: ['later', 'glare'],
    prack_offer: CROSS,
  },
  prack_offer: {
    // RFC 3311 §5.2 counts offers in PRACK.
    update_offer: ['later', 'glare'],
    update: CROSS,
    invite: ['later', 'glare'],
    prack_offer: CROSS,
  },
};

/** An open request, and the side that it goes to. */
export interface Exchange<Side> {
  readonly kind: ExchangeKind;
  readonly to: Side;
  /** The caller's early dialog, where it has several: each has offers and answers of its own. */
  readonly fork?: string | undefined;
}

/** The strictest word of all that is open. */
export const verdictOf = <Side>(open: Iterable<Exchange<Side>>, { kind, to, fork }: Exchange<Side>): Verdict => {
  let verdict: Verdict = 'cross';
  for (const exchange of open) {
    if (exchange.fork !== fork) continue;
    const [same, other] = EXCHANGE_TABLE[exchange.kind][kind];
    const word = exchange.to === to ? same : other;
    if (word === 'glare') return 'glare';
    if (word === 'later') verdict = 'later';
  }
  return verdict;
};
