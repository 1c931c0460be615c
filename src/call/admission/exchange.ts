/** Port to whoever keeps the whole of every shared limit and hands out parts (`src/store/redis`). */

/** A node's account of one limit, and its wish. Absolute figures: an ask that is repeated does no harm. */
export interface Ask {
  /** `trunk:<sid>`, `carrier:<id>`, `account:<sid>`. */
  readonly key: string;
  /** Calls at a time of all nodes; -1: not limited. */
  readonly limit: number;
  /** Calls up on this node: it is granted as many in any case. */
  readonly up: number;
  readonly held: number;
  readonly wanted: number;
  /** Calls per second of all nodes; -1: not limited. */
  readonly rate: number;
  /** Calls started since the node began to count. */
  readonly consumed: number;
  /** Of these, how many the last answer knew. */
  readonly acknowledged: number;
  readonly tokensHeld: number;
  readonly tokensWanted: number;
  /** Calls are being refused here for want of it. */
  readonly urgent: boolean;
}

/** What the node holds from now on: as of the ask's `consumed`, for tokens. */
export interface Grant {
  readonly held: number;
  readonly tokens: number;
}

export interface ExchangeAnswer {
  /** In the order of the asks. */
  readonly grants: readonly Grant[];
  /** Live nodes, this one included. */
  readonly nodes: number;
  /** The whole was lost and is being put together from what nodes hold: nobody gets more for a while. */
  readonly recovering: boolean;
}

export type ExchangeNews =
  /** Another node wants of what is idle here. */
  | {
      readonly type: 'wish';
      readonly key: string;
      readonly slots: number;
      readonly tokens: number;
      readonly urgent: boolean;
    }
  /** Something was given back. */
  | { readonly type: 'freed'; readonly key: string };

export interface LimitExchange {
  /**
   * Renews the node's lease and settles the asks, all or none.
   * @param rejoining the node held parts before and has lost touch since
   * @throws TandemError `store_unreachable` (retryable)
   */
  exchange(asks: readonly Ask[], rejoining: boolean): Promise<ExchangeAnswer>;
  /** News of other nodes, which may be missed. Set once, before the first exchange. */
  onNews(listener: (news: ExchangeNews) => void): void;
  /** Gives everything back. */
  leave(): Promise<void>;
}
