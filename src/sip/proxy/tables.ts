/** One branch of a proxied request: RFC 3261 §16.6 to §16.10 as a table. */

/**
 * `abandoned`: the search went on without it; `cancelling`: withdrawn by the caller, by another branch's success, or by
 * Timer C, and its answer still counts.
 */
export type BranchState = 'calling' | 'proceeding' | 'cancelling' | 'abandoned' | 'done';
export type BranchEvent =
  | 'trying'
  | 'provisional'
  | 'success'
  | 'redirect'
  | 'challenge'
  | 'failure'
  | 'global'
  | 'no_provisional'
  | 'no_final'
  | 'timer_c'
  | 'withdraw'
  | 'patience';
export type BranchAction =
  | 'stop_provisional'
  | 'start_c'
  | 'stop_timers'
  | 'forward'
  | 'forward_success'
  | 'recurse'
  | 'candidate'
  | 'timeout'
  | 'stop_search'
  | 'cancel_others'
  | 'cancel'
  | 'release_cancel';

interface Cell {
  readonly next?: BranchState;
  readonly actions: readonly BranchAction[];
}
const go = (next: BranchState, ...actions: BranchAction[]): Cell => ({ next, actions });
const stay = (...actions: BranchAction[]): Cell => ({ actions });
const IGNORE: Cell = { actions: [] };

const SUCCESS = go('done', 'stop_timers', 'forward_success', 'cancel_others'); // §16.7 steps 5 and 10
const REDIRECT = go('done', 'stop_timers', 'recurse'); // §16.7 step 4
const CHALLENGE = go('done', 'stop_timers', 'candidate', 'stop_search'); // whoever is asked for a password gives it
const FAILURE = go('done', 'stop_timers', 'candidate'); // §16.7 step 4
const GLOBAL = go('done', 'stop_timers', 'candidate', 'stop_search', 'cancel_others'); // §16.7 step 5
const LATE = go('done', 'stop_timers', 'candidate'); // §16.10: the answer of a cancelled branch
const FORGOTTEN = go('done', 'stop_timers');

export const BRANCH: { readonly [state in BranchState]: { readonly [event in BranchEvent]: Cell } } = {
  calling: {
    trying: go('proceeding', 'stop_provisional', 'start_c'), // §16.7 step 2
    provisional: go('proceeding', 'stop_provisional', 'start_c', 'forward'), // §16.7 step 5
    success: SUCCESS,
    redirect: REDIRECT,
    challenge: CHALLENGE,
    failure: FAILURE,
    global: GLOBAL,
    no_provisional: go('abandoned', 'stop_timers', 'cancel', 'timeout'),
    no_final: go('abandoned', 'stop_timers', 'cancel', 'timeout'),
    timer_c: IGNORE,
    withdraw: go('cancelling', 'stop_timers', 'cancel'), // §16.10
    patience: IGNORE,
  },
  proceeding: {
    trying: IGNORE,
    provisional: stay('start_c', 'forward'), // §16.7 step 2: each one but 100 starts Timer C anew
    success: SUCCESS,
    redirect: REDIRECT,
    challenge: CHALLENGE,
    failure: FAILURE,
    global: GLOBAL,
    no_provisional: IGNORE,
    no_final: go('abandoned', 'stop_timers', 'cancel', 'timeout'),
    timer_c: go('cancelling', 'stop_timers', 'cancel'), // §16.8
    withdraw: go('cancelling', 'stop_timers', 'cancel'), // §16.10
    patience: IGNORE,
  },
  cancelling: {
    trying: stay('release_cancel'), // §9.1
    provisional: stay('release_cancel'),
    success: SUCCESS,
    redirect: LATE,
    challenge: LATE,
    failure: LATE,
    global: LATE,
    no_provisional: IGNORE,
    no_final: IGNORE,
    timer_c: IGNORE,
    withdraw: IGNORE,
    patience: go('done', 'stop_timers', 'timeout'), // §9.1: 64*T1 after the CANCEL
  },
  abandoned: {
    trying: stay('release_cancel'),
    provisional: stay('release_cancel'),
    success: SUCCESS,
    redirect: FORGOTTEN,
    challenge: FORGOTTEN,
    failure: FORGOTTEN,
    global: FORGOTTEN,
    no_provisional: IGNORE,
    no_final: IGNORE,
    timer_c: IGNORE,
    withdraw: IGNORE,
    patience: FORGOTTEN,
  },
  done: {
    trying: IGNORE,
    provisional: IGNORE,
    success: stay('forward_success'), // §16.7 step 5: every 2xx of an INVITE, repeated ones too
    redirect: IGNORE,
    challenge: IGNORE,
    failure: IGNORE,
    global: IGNORE,
    no_provisional: IGNORE,
    no_final: IGNORE,
    timer_c: IGNORE,
    withdraw: IGNORE,
    patience: IGNORE,
  },
};

export const eventOf = (status: number): BranchEvent => {
  if (status === 100) return 'trying';
  if (status < 200) return 'provisional';
  if (status < 300) return 'success';
  if (status < 400) return 'redirect';
  if (status === 401 || status === 407) return 'challenge';
  return status < 600 ? 'failure' : 'global';
};
