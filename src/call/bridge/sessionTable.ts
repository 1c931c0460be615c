/** The session timer of one leg as a table (RFC 4028). What the actions do is in `legTimer.ts`. */

export type TimerState =
  /** The session does not expire. */
  | 'off'
  /** We refresh, at half of the interval. */
  | 'ours'
  /** Our refresh is under way. */
  | 'refreshing'
  /** The peer refreshes. */
  | 'theirs'
  | 'expired';

export type TimerEvent =
  /** Agreed, or agreed anew: we refresh. */
  | 'ours'
  /** Agreed, or agreed anew: the peer does. */
  | 'theirs'
  /** A 2xx without Session-Expires. */
  | 'none'
  /** It is time to refresh. */
  | 'half_time'
  /** The peer did not take our refresh. */
  | 'refused'
  /** Nobody refreshed in time. */
  | 'deadline'
  /** The leg is over. */
  | 'over';

export type TimerAction = 'ignore' | 'armRefresh' | 'armRetry' | 'armDeadline' | 'refresh' | 'disarm' | 'expire';

export interface TimerCell {
  readonly action: TimerAction;
  readonly to: TimerState;
}

/** RFC 4028 §7.2 and §9: each 2xx to a session refresh request settles anew who refreshes, and when. */
const SETTLED = {
  ours: { action: 'armRefresh', to: 'ours' },
  theirs: { action: 'armDeadline', to: 'theirs' },
  none: { action: 'disarm', to: 'off' },
} as const;

const stays = (to: TimerState): TimerCell => ({ action: 'ignore', to });

/** §10: at the end of the interval the session is over, whoever should have refreshed it. */
const EXPIRES: TimerCell = { action: 'expire', to: 'expired' };
const OVER: TimerCell = { action: 'disarm', to: 'off' };

export const TIMER_TABLE: { readonly [S in TimerState]: { readonly [E in TimerEvent]: TimerCell } } = {
  off: {
    ...SETTLED,
    half_time: stays('off'),
    refused: stays('off'),
    deadline: stays('off'),
    over: OVER,
  },
  ours: {
    ...SETTLED,
    // §10: half of the interval is recommended.
    half_time: { action: 'refresh', to: 'refreshing' },
    refused: stays('ours'),
    deadline: EXPIRES,
    over: OVER,
  },
  refreshing: {
    ...SETTLED,
    half_time: stays('refreshing'),
    // §7.4: a refresh that is refused ends nothing by itself; there is time to try again.
    refused: { action: 'armRetry', to: 'ours' },
    deadline: EXPIRES,
    over: OVER,
  },
  theirs: {
    ...SETTLED,
    half_time: stays('theirs'),
    refused: stays('theirs'),
    deadline: EXPIRES,
    over: OVER,
  },
  expired: {
    ours: stays('expired'),
    theirs: stays('expired'),
    none: stays('expired'),
    half_time: stays('expired'),
    refused: stays('expired'),
    deadline: stays('expired'),
    over: stays('expired'),
  },
};
