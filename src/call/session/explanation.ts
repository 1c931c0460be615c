/** What an operator wants to know of a call besides its decision: what would be sent, at what price, with how much room. */
import type { HeaderEntry } from '../../signal/port.js';
import type { HeaderPolicy } from '../bridge/headerPolicy.js';
import { identityHeaders } from '../bridge/identityFields.js';
import { commonInvite, toField } from '../bridge/legHeaders.js';
import { DEFAULT_CURRENCY } from '../record/rating.js';
import type {
  CallRequest,
  Decision,
  Destination,
  LimitClaim,
  LimitsView,
  Priced,
  SpendView,
} from '../routing/decision.js';
import type { Finding } from '../routing/finding.js';
import { impossibleBecause } from '../routing/possibleNumber.js';
import { kept } from '../routing/draft.js';
import type { RoutingTable } from '../routing/table.js';
import { ImaginedInvite } from './imaginedInvite.js';

/** How a limit stands. */
export interface LimitState {
  readonly key: string;
  readonly callsUp: number;
  readonly concurrentCalls: number | null;
  readonly callsPerSecond: number | null;
  /** One more call may start now. */
  readonly room: boolean;
}

export interface SpendState {
  readonly key: string;
  readonly currency: string;
  readonly committedMicros: number;
  readonly limitMicros: number;
}

/** One destination as it would be tried. */
export interface PlannedAttempt {
  readonly uri: string;
  readonly carrierId: string | null;
  /** Decimal text, major units a minute; null: not known, or nothing. */
  readonly price: string | null;
  readonly currency: string | null;
  readonly networkGroup: string | null;
  readonly health: 'up' | 'down' | 'unknown';
  /** Of its carrier. */
  readonly limit: LimitState | null;
  /** From, To, and what else our INVITE says of the parties; `localhost` stands for our own address. */
  readonly headers: readonly HeaderEntry[];
}

export interface Explanation {
  readonly decision: Decision;
  readonly attempts: readonly PlannedAttempt[];
  readonly limitsNow: readonly LimitState[];
  readonly spendNow: readonly SpendState[];
  readonly findings: readonly Finding[];
}

export interface ExplainView {
  readonly limits: LimitsView;
  readonly spend?: SpendView | undefined;
  readonly health?: { isDown(gateway: string): boolean } | undefined;
  readonly policy: HeaderPolicy;
  /** Why a carrier that wants a registration of ours has none now; undefined: it has one, or wants none. */
  readonly unregistered?: ((carrierId: string) => string | undefined) | undefined;
  /** Monotonic. */
  readonly nowMs: number;
}

/**
 * @param decision by `decide` on this table, or one that a call record has kept
 * @param table for what may be spent; the caller's, for a kept decision the current one
 */
export function explainDecision(
  decision: Decision,
  request: CallRequest,
  table: RoutingTable,
  view: ExplainView,
): Explanation {
  const limitOf = (claim: LimitClaim): LimitState => limitState(claim, view);
  return {
    decision,
    attempts: plan(decision, request, view),
    limitsNow: decision.limits.map(limitOf),
    spendNow: spendStates(decision, table, view),
    findings: [...findingsOf(decision), ...registrationsOf(decision, view)],
  };
}

function plan(decision: Decision, request: CallRequest, view: ExplainView): PlannedAttempt[] {
  const common = commonInvite(imagined(request), decision, view.policy);
  return decision.destinations.map((destination) => {
    const { uri, gateway, carrierId } = destination;
    const claim = decision.carriers?.find((one) => one.carrierId === carrierId)?.claim;
    return {
      uri,
      carrierId: carrierId ?? null,
      ...priceOf(destination),
      health: view.health === undefined ? 'unknown' : view.health.isDown(gateway) ? 'down' : 'up',
      limit: claim === undefined ? null : limitState(claim, view),
      headers: headersOf(common, decision, destination),
    };
  });
}

function headersOf(
  common: ReturnType<typeof commonInvite>,
  decision: Decision,
  destination: Destination,
): readonly HeaderEntry[] {
  const from = common?.from ?? '';
  return [['From', from], ['To', toField(decision, destination)], ...identityHeaders(common?.identity, destination)];
}

function priceOf({ rate, networkGroup }: Priced): Pick<PlannedAttempt, 'price' | 'currency' | 'networkGroup'> {
  const price = rate?.outbound_price ?? null;
  return {
    price,
    currency: price === null ? null : (rate?.currency ?? DEFAULT_CURRENCY),
    networkGroup: networkGroup ?? null,
  };
}

function limitState(claim: LimitClaim, { limits, nowMs }: ExplainView): LimitState {
  const { key, callsPerSecond, concurrentCalls } = claim;
  const callsUp = limits.concurrent(key, concurrentCalls ?? Infinity);
  const fast = callsPerSecond !== undefined && !limits.rateAllows(key, callsPerSecond, nowMs);
  return {
    key,
    callsUp,
    concurrentCalls: concurrentCalls ?? null,
    callsPerSecond: callsPerSecond ?? null,
    room: !fast && (concurrentCalls === undefined || callsUp < concurrentCalls),
  };
}

function spendStates(decision: Decision, table: RoutingTable, { spend }: ExplainView): SpendState[] {
  if (decision.direction !== 'outbound') return [];
  return table.capsOf(decision.trunkSid, decision.accountSid).map(({ key, currency, limitMicros }) => {
    return { key, currency, limitMicros, committedMicros: spend?.committedMicros(key, currency) ?? 0 };
  });
}

function findingsOf({ calledNumber, callerNumber, direction }: Decision): Finding[] {
  const findings: Finding[] = [];
  const look = (path: string, number: string | undefined): void => {
    const why = number === undefined ? undefined : impossibleBecause(number);
    if (why === undefined) return;
    const message = `${number} is not a possible number: ${why}`;
    findings.push({ ...IMPOSSIBLE, path, message });
  };
  look('calledNumber', calledNumber.e164);
  if (direction === 'outbound') look('callerNumber', callerNumber.sent);
  return findings;
}

/** Carriers of the decision that do not know us: they may refuse calls, and deliver none. */
function registrationsOf({ carrierId, destinations }: Decision, { unregistered }: ExplainView): Finding[] {
  if (unregistered === undefined) return [];
  const ids = new Set([carrierId, ...destinations.map((one) => one.carrierId)].filter((id) => id !== undefined));
  return [...ids].flatMap((id) => {
    const why = unregistered(id);
    const message = `this node is not registered at carrier ${id}: ${why ?? ''}`;
    return why === undefined ? [] : [{ ...UNREGISTERED, path: 'carriers', message }];
  });
}

const UNREGISTERED = findingOf('carrier_not_registered', 'See carriers of /api/registrations.');
const IMPOSSIBLE = findingOf('impossible_number', 'Look at the digits.');

function findingOf(code: string, remedy: string): Pick<Finding, 'severity' | 'code' | 'remedy'> {
  return { severity: 'warning', code, remedy };
}

/** The INVITE of a call that nobody has made. */
function imagined({ calledNumber, callerNumber, divertingNumber }: CallRequest): ImaginedInvite {
  const user = callerNumber === '' ? 'anonymous@anonymous.invalid' : `${kept(callerNumber)}@localhost`;
  const headers: HeaderEntry[] = [['From', `<sip:${user}>`]];
  if (divertingNumber !== undefined) headers.push(['Diversion', `<sip:${kept(divertingNumber)}@localhost>`]);
  return new ImaginedInvite(`sip:${kept(calledNumber)}@localhost`, headers);
}
