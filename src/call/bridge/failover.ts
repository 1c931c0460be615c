/** What to do when a destination does not take the call: a pure function over a table (docs/call.md, "Failover"). */
import type { InviteFailure } from '../../signal/port.js';
import type { ReasonCode } from '../routing/decision.js';
import type { FailoverAction, FailoverPolicy } from '../routing/resources.js';

/** How an attempt ended without an answer. */
export type AttemptFailure =
  | InviteFailure
  /** Nothing came back, not even 100 Trying. */
  | { readonly kind: 'silence' }
  /** It rang, or worked, for as long as it may. */
  | { readonly kind: 'ring_timeout' }
  /** The carrier's limits leave no room: it was not asked. */
  | { readonly kind: 'limit'; readonly code: ReasonCode };

/**
 * Used where a trunk's own policy says nothing. A decline is the callee's word and is not asked elsewhere
 * (RFC 3261 §21.6); a redirection is not followed, and a challenge is for us and not for the caller.
 */
export const DEFAULT_FAILOVER: FailoverPolicy = {
  '408': 'next',
  '480': 'next',
  '500': 'next',
  '502': 'next',
  '503': 'next',
  '504': 'next',
  silence: 'next',
  ring_timeout: 'next',
  timeout: 'next',
  transport_error: 'next',
  unresolved_host: 'next',
  invalid_request: 'next',
  limit: 'next',
  '3xx': { rewrite: 480 },
  '401': { rewrite: 403 },
  '407': { rewrite: 403 },
  '487': { rewrite: 480 },
  '4xx': 'stop',
  '5xx': 'stop',
  '6xx': 'stop',
};

/** Names under which a policy may list a failure, the most particular first. */
const keysOf = (failure: AttemptFailure): readonly string[] => {
  if (failure.kind === 'response') return [String(failure.status), `${Math.floor(failure.status / 100)}xx`];
  // A policy that speaks of silence means the transaction's own timeout as well (RFC 3261 §17.1.1.2, timer B).
  if (failure.kind === 'timeout') return ['timeout', 'silence'];
  if (failure.kind === 'unresolved_host') return ['unresolved_host', 'transport_error'];
  return [failure.kind];
};

const look = (policy: FailoverPolicy, keys: readonly string[]): FailoverAction | undefined => {
  for (const key of keys) {
    const action = Object.hasOwn(policy, key) ? policy[key] : undefined;
    if (action !== undefined) return action;
  }
  return undefined;
};

/**
 * The trunk's policy decides; what it does not list, the node's does, then the default; what none lists stops.
 * @param node of the configuration, for all trunks
 */
export const failoverAction = (
  trunk: FailoverPolicy,
  failure: AttemptFailure,
  node: FailoverPolicy = {},
): FailoverAction => {
  const keys = keysOf(failure);
  return look(trunk, keys) ?? look(node, keys) ?? look(DEFAULT_FAILOVER, keys) ?? 'stop';
};

/** Status that the caller is told for an attempt that brought no response (RFC 3261 §8.1.3.1). */
const STATUS_OF_EVENT: Record<Exclude<AttemptFailure['kind'], 'response'>, number> = {
  silence: 408,
  timeout: 408,
  ring_timeout: 480,
  transport_error: 503,
  unresolved_host: 503,
  invalid_request: 500,
  cancelled: 480,
  limit: 503,
};

/**
 * Codes that are never the caller's business: a challenge answers our request, a redirection names the inside, and a
 * 487 that nobody asked for would tell the caller that it hung up.
 */
const presentable = (status: number): number => {
  if (status < 400) return 480;
  if (status === 401 || status === 407) return 403;
  if (status === 487) return 480;
  return status <= 699 ? status : 500;
};

/** What the caller is told when this failure is the call's last word. */
export const finalStatus = (trunk: FailoverPolicy, failure: AttemptFailure, node: FailoverPolicy = {}): number => {
  const action = failoverAction(trunk, failure, node);
  const status =
    typeof action === 'object'
      ? action.rewrite
      : failure.kind === 'response'
        ? failure.status
        : STATUS_OF_EVENT[failure.kind];
  return presentable(status);
};

/**
 * Of all failures of a call, the one to tell: the last that a destination itself answered, since a dead spare gateway
 * says less about the callee than a live one did; if none answered, the last.
 */
export const decisiveFailure = (failures: readonly AttemptFailure[]): AttemptFailure | undefined =>
  failures.findLast((failure) => failure.kind === 'response') ?? failures.at(-1);

/**
 * RFC 3263 §4.3: what says that this server is of no use, so that another of the same name may be. Who rings without an
 * answer, or refuses, has been reached.
 */
export const speaksOfServer = (failure: AttemptFailure): boolean =>
  failure.kind === 'silence' ||
  failure.kind === 'timeout' ||
  failure.kind === 'transport_error' ||
  (failure.kind === 'response' && failure.status === 503);
