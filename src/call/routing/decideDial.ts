/** Where a flow's dial goes: the same table, the same limits and the same account of it as for any call. */
import type { DialTarget } from '../flow/effects.js';
import { baseClaims } from './decideCarriers.js';
import { decideOutbound } from './decideOutbound.js';
import type { CallRequest, DecideContext, Decision } from './decision.js';
import { Draft, kept } from './draft.js';
import { checkLimits, destinationsOf } from './finish.js';
import { normaliseNumber } from './numbers.js';
import type { RoutingTable } from './table.js';

export interface DialWish {
  readonly target: DialTarget;
  /** Number to show; undefined: the caller's own towards trunks and URIs, the number called towards carriers. */
  readonly callerId: string | undefined;
}

/** The call that dials: what it was decided on, and what it came with. */
export interface DialOrigin {
  readonly decision: Decision;
  readonly request: CallRequest;
}

/** Printable ASCII alone: no octet and no character beyond it may get into a start line or a header. */
const SIP_URI =
  /^sips?:(?:[!#-;=?A-~]{1,128}@)?(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::\d{1,5})?(?:;[!#-;=@-~]{1,128})?$/i;

/**
 * Decides one dial of a flow. Pure; the destinations of an accepted decision are to be tried in their order.
 * @param table the one that the call is pinned to
 */
export function decideDial(table: RoutingTable, origin: DialOrigin, wish: DialWish, context: DecideContext): Decision {
  const { decision } = origin;
  const { target } = wish;
  const called = target.kind === 'number' ? target.number : target.kind === 'uri' ? target.uri : undefined;
  // Towards a carrier the call leaves in the name of the number that was called: the caller's own is not ours to show.
  const own = target.kind === 'number' ? decision.calledNumber.e164 : decision.callerNumber.sent;
  const request: CallRequest = {
    sourceAddress: origin.request.sourceAddress,
    sourcePort: origin.request.sourcePort,
    transport: origin.request.transport,
    calledNumber: called ?? decision.calledNumber.e164 ?? decision.calledNumber.received,
    callerNumber: wish.callerId ?? own ?? '',
  };
  const draft = new Draft(table.revision, request);
  draft.accountSid = decision.accountSid;
  switch (target.kind) {
    case 'number':
      draft.direction = 'outbound';
      return decideOutbound(
        { table, request, draft, context },
        decision.trunkSid === undefined ? [] : [decision.trunkSid],
      );
    case 'trunk':
      return toTrunk({ table, request, draft, context }, target.trunkSid);
    case 'uri':
      return toUri({ table, request, draft, context }, target.uri);
  }
}

interface Dial {
  readonly table: RoutingTable;
  readonly request: CallRequest;
  readonly draft: Draft;
  readonly context: DecideContext;
}

function toTrunk({ table, request, draft, context }: Dial, trunkSid: string): Decision {
  draft.direction = 'inbound';
  draft.mode = 'pstn';
  const trunk = table.trunk(trunkSid);
  if (trunk === undefined) {
    draft.fail('trunk', { trunk: kept(trunkSid) }, (d) => `trunk ${d.trunk} does not exist`);
    return draft.reject('trunk_not_found');
  }
  draft.trunkSid = trunkSid;
  draft.accountSid = trunk.trunk.account_sid;
  if (trunk.trunk.status === 'inactive') {
    draft.fail('trunk', { trunk: trunkSid }, (d) => `trunk ${d.trunk} is inactive`);
    return draft.reject('trunk_inactive');
  }
  const called = normaliseNumber(request.calledNumber, trunk.format);
  if (!called.ok) {
    draft.fail('called_number', { received: kept(request.calledNumber) }, (d) => `'${d.received}' is no number`);
    return draft.reject('number_invalid');
  }
  draft.calledE164 = called.value;
  showCaller(table, request, draft);
  draft.failover = trunk.failover;
  if (trunk.targets.length === 0) {
    draft.fail('destinations', { trunk: trunkSid }, (d) => `trunk ${d.trunk} has no destination URI`);
    return draft.reject('trunk_has_no_destination');
  }
  draft.destinations = destinationsOf(trunk, called.value, context, draft);
  if (draft.destinations.length === 0) return draft.reject('not_registered');
  return checkLimits(draft, context, baseClaims(trunk, table.account(trunk.trunk.account_sid)));
}

function toUri({ table, request, draft, context }: Dial, uri: string): Decision {
  draft.direction = 'inbound';
  draft.mode = 'pstn';
  if (!SIP_URI.test(uri)) {
    draft.fail('destinations', { uri: kept(uri) }, (d) => `'${d.uri}' is no SIP URI that can be called`);
    return draft.reject('number_invalid');
  }
  showCaller(table, request, draft);
  const gateway = uri.slice(uri.includes('@') ? uri.indexOf('@') + 1 : uri.indexOf(':') + 1);
  draft.destinations = [{ uri, gateway, priority: 0, weight: 1 }];
  draft.pass('destinations', { count: 1, first: gateway }, (d) => `to ${d.first}, as the flow says`);
  return checkLimits(draft, context, []);
}

/** As it came; in E.164 where it can be. */
function showCaller(table: RoutingTable, request: CallRequest, draft: Draft): void {
  const caller = normaliseNumber(request.callerNumber, table.format);
  if (caller.ok) draft.callerE164 = caller.value;
  draft.callerSent =
    draft.callerE164 ?? (/^[0-9+*#]{1,32}$/.test(request.callerNumber) ? request.callerNumber : undefined);
}
